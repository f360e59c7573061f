//! The parsed `If` header of one request (RFC 4918 §10.4): lists of states that resources must be in.
//!
//! The header holds if any of its lists does, and a list if all of its conditions do. Judging is a pure function of the header and of what
//! is there; what a resource is like, the caller says when it is asked.

use std::collections::BTreeMap;
use std::fmt;

use super::lock_token::LockToken;
use super::path::SharePath;
use super::tag::{EntityTag, TagForm};
use super::validators::Target;

/// The state token that no resource ever has (RFC 4918 §10.4.8).
pub const NO_LOCK: &str = "DAV:no-lock";

/// The parsed `If` header: never without a list, and either all lists name a resource or none does.
#[derive(Clone, Debug)]
pub struct StateLists {
    /// The lists, in the order they came.
    pub lists: Vec<StateList>,
}

/// One list: conditions on one resource that must all hold.
#[derive(Clone, Debug)]
pub struct StateList {
    /// What is judged.
    pub resource: Resource,
    /// Never empty.
    pub conditions: Vec<StateCondition>,
}

/// What a list judges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// What the request is for: the list names nothing.
    Asked,
    /// This.
    Path(SharePath),
    /// Nothing that this share could hold, as it was written; judged as a place where nothing is.
    Elsewhere(Box<str>),
}

/// One condition of a list.
#[derive(Clone, Debug)]
pub struct StateCondition {
    /// Whether the state must not be there.
    pub not: bool,
    /// The state.
    pub state: State,
}

/// A state that a resource can be in.
#[derive(Clone, Debug)]
pub enum State {
    /// Covered by the live lock of this name, or a folder in the state that this sync-token tells. The text may be no token at all; then nothing is.
    Token(Box<str>),
    /// A file with this entity tag.
    Tag(EntityTag),
    /// Anything at all (`[*]`, which some clients send).
    AnyTag,
}

/// What is at a place, as far as an `If` header can ask.
#[derive(Clone, Debug, Default)]
pub struct Standing<'a> {
    /// The names of the live locks that cover the place.
    pub tokens: Vec<LockToken>,
    /// Those sync-tokens of the header that tell the present state of the folder that is there (RFC 6578 §5).
    pub sync_tokens: Vec<Box<str>>,
    /// What is there.
    pub there: Target<'a>,
}

impl StateLists {
    /// Whether the header holds for a request for `asked`. Each place is looked at once at most, and only if it matters.
    pub fn hold<'a, E>(
        &self,
        asked: &SharePath,
        mut look: impl FnMut(&SharePath) -> Result<Standing<'a>, E>,
    ) -> Result<bool, E> {
        let mut seen: BTreeMap<&SharePath, Standing<'_>> = BTreeMap::new();
        let nothing = Standing::default();
        for list in &self.lists {
            let standing = match list.resource.path(asked) {
                None => &nothing,
                Some(path) => {
                    if !seen.contains_key(path) {
                        seen.insert(path, look(path)?);
                    }
                    &seen[path]
                }
            };
            if list.conditions.iter().all(|condition| condition.holds(standing)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Every state token anywhere in the header, in whatever list: by that it counts as submitted (RFC 4918 §10.4.1).
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        self.conditions().filter_map(|condition| match &condition.state {
            State::Token(token) if **token != *NO_LOCK => Some(&**token),
            State::Token(_) | State::Tag(_) | State::AnyTag => None,
        })
    }

    /// The places that it judges for a request for `asked`, each once.
    pub fn paths<'a>(&'a self, asked: &'a SharePath) -> Vec<&'a SharePath> {
        let mut paths: Vec<&SharePath> = self.lists.iter().filter_map(|list| list.resource.path(asked)).collect();
        paths.sort();
        paths.dedup();
        paths
    }

    /// The place that its first list is about, for a request for `asked`.
    pub fn first_path<'a>(&'a self, asked: &'a SharePath) -> Option<&'a SharePath> {
        self.lists.iter().find_map(|list| list.resource.path(asked))
    }

    /// Whether the content's hash at `path` has to be known to judge it, in a request for `asked`.
    pub fn asks_for_content(&self, asked: &SharePath, path: &SharePath) -> bool {
        let here = self.lists.iter().filter(|list| list.resource.path(asked) == Some(path));
        here.flat_map(|list| &list.conditions)
            .any(|condition| matches!(&condition.state, State::Tag(tag) if matches!(tag.form(), TagForm::Content(_))))
    }

    /// Whether it can only hold for one version of a file, in a request for `asked`: every list demands a tag of it. Which of the places that
    /// lists are about is the file's, `is_its` says.
    pub fn names_a_version(&self, asked: &SharePath, is_its: impl Fn(&SharePath) -> bool) -> bool {
        self.lists.iter().all(|list| {
            let names_one = |condition: &StateCondition| !condition.not && matches!(condition.state, State::Tag(_));
            list.conditions.iter().any(names_one) && list.resource.path(asked).is_some_and(&is_its)
        })
    }

    fn conditions(&self) -> impl Iterator<Item = &StateCondition> {
        self.lists.iter().flat_map(|list| &list.conditions)
    }
}

impl Resource {
    /// The place, for a request for `asked`; `None` where nothing can be.
    fn path<'a>(&'a self, asked: &'a SharePath) -> Option<&'a SharePath> {
        match self {
            Self::Asked => Some(asked),
            Self::Path(path) => Some(path),
            Self::Elsewhere(_) => None,
        }
    }
}

impl StateCondition {
    fn holds(&self, standing: &Standing<'_>) -> bool {
        self.not != self.state.is_that_of(standing)
    }
}

impl State {
    /// Tags are compared strongly, since nearly all that `If` guards is change.
    fn is_that_of(&self, standing: &Standing<'_>) -> bool {
        match (self, &standing.there) {
            (Self::Token(token), _) => {
                **token != *NO_LOCK
                    && (standing.tokens.iter().any(|live| live.as_str() == &**token)
                        || standing.sync_tokens.contains(token))
            }
            (Self::Tag(tag), Target::File(file)) => file.strongly_match(tag),
            (Self::Tag(_), Target::Nothing | Target::Collection | Target::Unidentified) => false,
            (Self::AnyTag, there) => !matches!(there, Target::Nothing),
        }
    }
}

/// As it stands in the header.
impl fmt::Display for StateLists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = &Resource::Asked;
        for (at, list) in self.lists.iter().enumerate() {
            if at > 0 {
                f.write_str(" ")?;
            }
            match &list.resource {
                same if same == last => {}
                Resource::Asked => {}
                Resource::Path(path) => write!(f, "<{}> ", path.to_url())?,
                Resource::Elsewhere(text) => write!(f, "<{text}> ")?,
            }
            last = &list.resource;
            f.write_str("(")?;
            for (at, condition) in list.conditions.iter().enumerate() {
                write!(f, "{}{condition}", if at > 0 { " " } else { "" })?;
            }
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl fmt::Display for StateCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.not {
            f.write_str("Not ")?;
        }
        match &self.state {
            State::Token(token) => write!(f, "<{token}>"),
            State::Tag(tag) => write!(f, "[{tag}]"),
            State::AnyTag => f.write_str("[*]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> SharePath {
        SharePath::parse_disk(text.as_bytes()).expect(text)
    }

    fn tag(text: &str) -> State {
        State::Tag(EntityTag::received(false, text.as_bytes()))
    }

    fn token(text: &str) -> State {
        State::Token(text.into())
    }

    /// Lists of one or more states each; a `!` before a resource's name stands for `Not` before all of them.
    fn lists(rows: &[(&str, &[State])]) -> StateLists {
        let list = |(name, states): &(&str, &[State])| {
            let (not, name) = name.strip_prefix('!').map_or((false, *name), |name| (true, name));
            let resource = match name {
                "" => Resource::Asked,
                "elsewhere" => Resource::Elsewhere("http://elsewhere.example/".into()),
                name => Resource::Path(path(name)),
            };
            let conditions = states.iter().map(|state| StateCondition { not, state: state.clone() }).collect();
            StateList { resource, conditions }
        };
        StateLists { lists: rows.iter().map(list).collect() }
    }

    #[test]
    fn each_place_is_looked_at_once_and_only_if_it_matters() {
        let all = lists(&[
            ("elsewhere", &[tag("x")]),
            ("a", &[tag("x")]),
            ("b", &[tag("x")]),
            ("a", &[State::AnyTag]),
            ("c", &[tag("x")]),
        ]);
        let mut looks = Vec::new();
        let held = all.hold(&path("a"), |place| {
            looks.push(place.to_text());
            let there = if place.as_bytes() == b"a" { Target::Collection } else { Target::Nothing };
            Ok::<_, ()>(Standing { there, ..Standing::default() })
        });
        assert_eq!((held, looks), (Ok(true), vec!["/a".to_owned(), "/b".to_owned()]));
        assert_eq!(all.paths(&path("a")), [&path("a"), &path("b"), &path("c")]);
        assert_eq!(all.hold(&path("a"), |_| Err("the disk")), Err("the disk"), "a fault is not an answer");
    }

    #[test]
    fn a_list_that_names_nothing_is_about_what_was_asked() {
        let untagged = lists(&[("", &[State::AnyTag])]);
        for (asked, holds) in [("a", true), ("b", false)] {
            let look = |place: &SharePath| {
                let there = if place.as_bytes() == b"a" { Target::Collection } else { Target::Nothing };
                Ok::<_, ()>(Standing { there, ..Standing::default() })
            };
            assert_eq!(untagged.hold(&path(asked), look), Ok(holds));
        }
    }

    #[test]
    fn nobody_holds_the_lock_that_is_none() {
        let live = LockToken::parse(NO_LOCK).expect("a URI like others");
        let look = |_: &SharePath| Ok::<_, ()>(Standing { tokens: vec![live.clone()], ..Standing::default() });
        assert_eq!(lists(&[("", &[token(NO_LOCK)])]).hold(&path("a"), look), Ok(false));
        assert_eq!(lists(&[("!", &[token(NO_LOCK)])]).hold(&path("a"), look), Ok(true));
        assert_eq!(lists(&[("", &[token(NO_LOCK), token("a:b")])]).tokens().collect::<Vec<_>>(), ["a:b"]);
    }

    #[test]
    fn content_is_asked_for_by_the_form_of_a_tag() {
        let content = tag("0123456789abcdef0123456789abcdef");
        let asked = path("a");
        for (rows, at_a, at_b) in [
            (&[("", &[content.clone()][..])][..], true, false),
            (&[("b", &[tag("x"), content.clone()])], false, true),
            (&[("a", &[tag("x"), content.clone()])], true, false),
            (&[("", &[tag("x"), token("a:b"), State::AnyTag])], false, false),
        ] {
            let lists = lists(rows);
            let asks = (lists.asks_for_content(&asked, &asked), lists.asks_for_content(&asked, &path("b")));
            assert_eq!(asks, (at_a, at_b), "{lists}");
        }
    }

    #[test]
    fn a_version_is_named_by_every_list_or_not_at_all() {
        let asked = path("a");
        for (rows, names) in [
            (&[("", &[tag("x")][..])][..], true),
            (&[("", &[token("a:b")])], false),
            (&[("a", &[tag("x")]), ("a", &[State::AnyTag, tag("y")])], true),
            (&[("a", &[tag("x")]), ("a", &[State::AnyTag, token("a:b")])], false),
            (&[("", &[State::AnyTag])], false),
            (&[("!", &[tag("x")])], false),
            (&[("", &[tag("x")]), ("!", &[token(NO_LOCK)])], false),
            (&[("b", &[tag("x")])], false),
            (&[("elsewhere", &[tag("x")])], false),
        ] {
            let lists = lists(rows);
            assert_eq!(lists.names_a_version(&asked, |place| *place == asked), names, "{lists}");
        }
    }
}
