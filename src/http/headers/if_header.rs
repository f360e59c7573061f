//! The `If` header of WebDAV (RFC 4918 §10.4), from its field line to [`StateLists`].
//!
//! Parsing fails closed: what the grammar does not know is malformed, and lets no write through. Two things are taken that it does not know,
//! because clients send them: tags without quotes or with spaces in them, and `[*]` for whatever is there.

use crate::http::headers::dav_headers::{BadHeader, BadUrl, UrlTarget, place};
use crate::model::path::PathError;
use crate::model::state_list::{Resource, State, StateCondition, StateList, StateLists};
use crate::model::tag::EntityTag;

/// The longest field line that is read, in bytes.
const BYTES_MAX: usize = 32 << 10;

/// The most lists in one header.
const LISTS_MAX: usize = 1024;

/// The most changes of the resource in one header: each may need a look at the disk.
const RESOURCES_MAX: usize = 64;

/// What is wrong with every header that is turned away.
const MALFORMED: BadHeader = BadHeader("If");

/// Parses the raw field lines; `None` where there is none.
pub(crate) fn parse(lines: &[&[u8]]) -> Result<Option<StateLists>, BadHeader> {
    match lines {
        [] => Ok(None),
        [line] if line.len() <= BYTES_MAX => {
            let mut rest = IfReader(str::from_utf8(line).map_err(|_| MALFORMED)?);
            read_lists(&mut rest).map(|lists| Some(StateLists { lists })).ok_or(MALFORMED)
        }
        _ => Err(MALFORMED),
    }
}

/// What is left to read of the field line.
struct IfReader<'a>(&'a str);

impl<'a> IfReader<'a> {
    fn skip_blanks(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }

    /// Takes a sign, after blanks.
    fn take(&mut self, sign: char) -> bool {
        self.skip_blanks();
        let after = self.0.strip_prefix(sign);
        self.0 = after.unwrap_or(self.0);
        after.is_some()
    }

    /// Takes a word in any case, after blanks.
    fn take_word(&mut self, word: &str) -> bool {
        self.skip_blanks();
        let is_it = self.0.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word));
        self.0 = if is_it { &self.0[word.len()..] } else { self.0 };
        is_it
    }

    /// Takes everything up to a sign, and the sign.
    fn take_until(&mut self, sign: char) -> Option<&'a str> {
        let (taken, rest) = self.0.split_once(sign)?;
        self.0 = rest;
        Some(taken)
    }

    fn is_at_end(&mut self) -> bool {
        self.skip_blanks();
        self.0.is_empty()
    }
}

/// `1*No-tag-list | 1*Tagged-list`.
fn read_lists(rest: &mut IfReader<'_>) -> Option<Vec<StateList>> {
    let mut lists: Vec<StateList> = Vec::new();
    let (mut resource, mut resources) = (Resource::Asked, 0);
    while !rest.is_at_end() {
        if rest.take('<') {
            let is_mixed = resource == Resource::Asked && !lists.is_empty();
            resources += 1;
            if is_mixed || resources > RESOURCES_MAX {
                return None;
            }
            resource = read_resource(rest)?;
        }
        if !rest.take('(') || lists.len() == LISTS_MAX {
            return None;
        }
        lists.push(StateList { resource: resource.clone(), conditions: read_conditions(rest)? });
    }
    (!lists.is_empty()).then_some(lists)
}

/// The inside of `< >` that names a resource, up to its end.
fn read_resource(rest: &mut IfReader<'_>) -> Option<Resource> {
    let text = rest.take_until('>')?.trim_matches([' ', '\t']);
    match place(text) {
        Ok(UrlTarget::Here { path, .. }) => Some(Resource::Path(path)),
        // Where nothing can be that a client may see, nothing is.
        Ok(UrlTarget::Elsewhere) | Err(BadUrl::Path(PathError::Reserved)) => {
            (!text.contains('<')).then(|| Resource::Elsewhere(text.into()))
        }
        Err(BadUrl::Missing | BadUrl::Form | BadUrl::Path(_)) => None,
    }
}

/// The inside of a list, up to its end.
fn read_conditions(rest: &mut IfReader<'_>) -> Option<Vec<StateCondition>> {
    let mut conditions = Vec::new();
    while !rest.take(')') {
        let not = rest.take_word("Not");
        let state = if rest.take('<') {
            State::Token(read_token(rest)?)
        } else if rest.take('[') {
            read_tag(rest)?
        } else {
            return None;
        };
        conditions.push(StateCondition { not, state });
    }
    (!conditions.is_empty()).then_some(conditions)
}

/// The inside of `< >` that names a state, up to its end. Any text without blanks will do: what is no token of a live lock matches nothing.
fn read_token(rest: &mut IfReader<'_>) -> Option<Box<str>> {
    let token = rest.take_until('>')?;
    let is_right = !token.is_empty() && !token.contains(|c: char| c == '<' || c.is_whitespace() || c.is_control());
    is_right.then(|| token.into())
}

/// The inside of `[ ]`, up to its end.
fn read_tag(rest: &mut IfReader<'_>) -> Option<State> {
    let state = if rest.take('*') {
        State::AnyTag
    } else {
        rest.skip_blanks();
        let after = rest.0.strip_prefix("W/");
        let is_weak = after.is_some();
        rest.0 = after.unwrap_or(rest.0);
        let opaque = match rest.0.strip_prefix('"') {
            Some(inside) => {
                rest.0 = inside;
                rest.take_until('"').filter(|opaque| !opaque.contains(char::is_control))?
            }
            None if is_weak => return None,
            None => bare_tag(rest)?,
        };
        State::Tag(EntityTag::received(is_weak, opaque.as_bytes()))
    };
    rest.take(']').then_some(state)
}

/// A tag whose quotes a client took off.
fn bare_tag<'a>(rest: &mut IfReader<'a>) -> Option<&'a str> {
    let end = rest.0.find([']', ' ', '\t'])?;
    let (tag, after) = rest.0.split_at(end);
    rest.0 = after;
    let is_right = !tag.is_empty() && !tag.contains(|c: char| "\"<>()[*".contains(c) || c.is_control());
    is_right.then_some(tag)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;
    use crate::model::dating::VersionDate;
    use crate::model::lock_token::LockToken;
    use crate::model::path::SharePath;
    use crate::model::stamp::Timestamp;
    use crate::model::state_list::Standing;
    use crate::model::validators::{Target, Validators};

    const TOKEN: &str = "urn:uuid:11111111-1111-4111-8111-111111111111";

    fn parsed(value: &str) -> Result<StateLists, BadHeader> {
        let lists = parse(&[value.as_bytes()])?;
        Ok(lists.expect("there is a field line"))
    }

    /// The file F, locked with T, with the tag "e"; the collection C with the lock of a parent on it; nothing else.
    fn look(path: &SharePath) -> Result<Standing<'static>, Infallible> {
        let live = LockToken::parse(TOKEN).expect("a token");
        let file = Validators {
            shown: EntityTag::received(false, b"e"),
            content: Some([0xab; 16]),
            stamp: None,
            date: VersionDate::unknown(Timestamp::new(0, 0), Timestamp::new(0, 0)),
        };
        Ok(match path.as_bytes() {
            b"F" => Standing { tokens: vec![live], there: Target::from(file), ..Standing::default() },
            b"C" => Standing { tokens: vec![live], there: Target::Collection, ..Standing::default() },
            b"free" => Standing { there: Target::from(file), ..Standing::default() },
            _ => Standing::default(),
        })
    }

    fn judge(value: &str, asked: &str) -> bool {
        let asked = SharePath::parse_url(asked).expect("a path");
        let lists = parsed(&value.replace("<T>", &format!("<{TOKEN}>"))).expect(value);
        match lists.hold(&asked, look) {
            Ok(holds) => holds,
        }
    }

    /// The table of standards: what the header says, and whether the token of F's lock came with it.
    #[test]
    fn the_table_of_headers() {
        for (value, holds, submits) in [
            ("(<T>)", true, true),
            ("(<T> [\"e\"])", true, true),
            ("(<T> [\"stale\"])", false, true),
            ("(<T>) (Not <DAV:no-lock>)", true, true),
            ("(<urn:uuid:x>) (Not <DAV:no-lock>)", true, false),
            ("(<DAV:no-lock> [\"e\"])", false, false),
            ("(<T> [\"e\"]) (Not <DAV:no-lock> [\"e\"])", true, true),
            ("(<T> [\"stale\"]) (Not <DAV:no-lock> [\"stale\"])", false, true),
            ("([\"e\"])", true, false),
            ("(Not <T>) ([\"e\"])", true, true),
            ("</other> (<T>) </F> ([\"e\"])", true, true),
            ("</F> (<T>)", true, true),
            ("<http://here.example:4918/F> (<T>)", true, true),
            ("<https://here.example/F> (<T>)", true, true),
            ("</other> (<T>)", false, true),
            ("</F> (<T> [\"stale\"]) (<T> [\"e\"])", true, true),
            ("([W/\"e\"])", false, false),
            ("(Not [W/\"e\"])", true, false),
            ("([e])", true, false),
            ("([\"abababababababababababababababab\"])", true, false),
            ("([*])", true, false),
            ("</C> ([*])", true, false),
            ("</other> ([*])", false, false),
            ("</other> (Not [*])", true, false),
            ("</other> (Not [\"x\"])", true, false),
            ("</other> ([\"x\"])", false, false),
            ("</C> ([\"e\"])", false, false),
            ("</C> (<T>)", true, true),
            ("<http://elsewhere.example/F> (<T>)", true, true),
            ("<http://elsewhere.example//F> (<T>)", true, true),
            ("<//F> (<T>)", true, true),
            ("<ftp://here.example/F> (<T>)", false, true),
            ("<ftp://here.example/F> (Not <T>)", true, true),
            ("</.noclobber/x> (Not [*])", true, false),
            ("(NOT <urn:uuid:x>)", true, false),
            ("(not<T>)", false, true),
            ("(<T>Not[\"x\"])", true, true),
            ("\t(  <T>\t[ \"e\" ] )  ", true, true),
            ("(<not-a-token>)", false, false),
            ("(Not <not-a-token>)", true, false),
        ] {
            assert_eq!(judge(value, "/F"), holds, "{value}");
            let lists = parsed(&value.replace("<T>", &format!("<{TOKEN}>"))).expect(value);
            assert_eq!(lists.tokens().any(|token| token == TOKEN), submits, "{value}");
        }
        assert!(!judge("(<DAV:no-lock>)", "/free"), "no lock is no lock's name");
        assert!(judge("([\"e\"])", "/free"));
        assert!(!judge("(<T>)", "/free"));
    }

    #[test]
    fn tags_may_hold_blanks() {
        let lists = parsed("([\"a b ] ) c\"])").expect("parses");
        assert_eq!(lists.to_string(), "([\"a b ] ) c\"])");
    }

    #[test]
    fn what_the_grammar_does_not_know_is_malformed() {
        for value in [
            "",
            " ",
            "()",
            "( )",
            "(<T>",
            "<T>",
            "(T)",
            "(<>)",
            "(< >)",
            "(<a b>)",
            "(<a<b>)",
            "(<T>))",
            "((<T>))",
            "(<T>), (<T>)",
            "(<T>) x",
            "x (<T>)",
            "(Not)",
            "(Not Not <T>)",
            "(Nota <T>)",
            "(<T> Not)",
            "([])",
            "([ ])",
            "([\"a])",
            "([\"a\"b])",
            "([a\"])",
            "([W/a])",
            "([w/\"a\"])",
            "([a b])",
            "([* \"a\"])",
            "([**])",
            "([\"a\", \"b\"])",
            "</F>",
            "</F> </C> (<T>)",
            "(<T>) </F> (<T>)",
            "<F> (<T>)",
            "</a/../b> (<T>)",
            "</a%zz> (<T>)",
            "</F?x> (<T>)",
            "<> (<T>)",
            "</F (<T>)",
            "*",
            "\"e\"",
        ] {
            assert_eq!(parsed(value).map(|lists| lists.to_string()), Err(MALFORMED), "{value:?}");
        }
        assert!(parse(&[]).expect("no header").is_none());
        assert!(parse(&[b"(<a:b>)", b"(<a:b>)"]).is_err(), "two field lines");
        assert!(parse(&[b"(<a:\xff>)"]).is_err(), "not UTF-8");
    }

    #[test]
    fn headers_are_bounded() {
        assert!(parsed(&"([a])".repeat(LISTS_MAX)).is_ok());
        assert!(parsed(&"([a])".repeat(LISTS_MAX + 1)).is_err());
        assert!(parsed(&"</a>([a])".repeat(RESOURCES_MAX)).is_ok());
        assert!(parsed(&"</a>([a])".repeat(RESOURCES_MAX + 1)).is_err());
        assert!(parsed(&format!("(<a:{}>)", "b".repeat(BYTES_MAX))).is_err());
    }

    fn state() -> impl Strategy<Value = State> {
        prop_oneof![
            "[!-;=?-~é]{1,12}".prop_map(|token| State::Token(token.into())),
            Just(State::AnyTag),
            (any::<bool>(), "[ !#-~é]{0,12}")
                .prop_map(|(weak, tag)| { State::Tag(EntityTag::received(weak, tag.as_bytes())) }),
        ]
    }

    fn resource() -> impl Strategy<Value = Resource> {
        prop_oneof![
            "[^/\\x00]{1,8}(/[^/\\x00]{1,8}){0,2}".prop_filter_map("a clean path", |path| {
                SharePath::parse_disk(path.as_bytes()).ok().map(Resource::Path)
            }),
            "ftp://else\\.example/[!-;=?-~]{0,12}".prop_filter_map("no angle brackets", |url| {
                (!url.contains('>')).then(|| Resource::Elsewhere(url.into()))
            }),
        ]
    }

    fn conditions() -> impl Strategy<Value = Vec<StateCondition>> {
        let condition = (any::<bool>(), state()).prop_map(|(not, state)| StateCondition { not, state });
        prop::collection::vec(condition, 1..5)
    }

    fn lists() -> impl Strategy<Value = StateLists> {
        let untagged = conditions().prop_map(|conditions| StateList { resource: Resource::Asked, conditions });
        let tagged = (resource(), conditions()).prop_map(|(resource, conditions)| StateList { resource, conditions });
        let lists = prop_oneof![prop::collection::vec(untagged, 1..6), prop::collection::vec(tagged, 1..6)];
        lists.prop_map(|lists| StateLists { lists })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(lists in lists()) {
            let again = parsed(&lists.to_string());
            prop_assert_eq!(again.map(|again| format!("{again:?}")), Ok(format!("{lists:?}")));
        }

        #[test]
        fn nothing_makes_the_parser_stumble(value in r#"([()<>\[\]"* \t/NotW:a-c%é]|\PC){0,80}"#) {
            if let Ok(lists) = parsed(&value) {
                prop_assert!(!lists.lists.is_empty());
                prop_assert_eq!(format!("{:?}", parsed(&lists.to_string())), format!("Ok({lists:?})"));
            }
        }
    }
}
