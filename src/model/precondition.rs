//! The parsed conditional headers of one request, and what they decide (RFC 9110 §13).
//!
//! Parsing works on the raw bytes of the field lines and fails closed: what cannot be understood never lets a write through
//! that a right header would have stopped. Deciding is a pure function of the headers and of what is there.

use std::sync::Arc;

use super::http_date;
use super::path::SharePath;
use super::stamp::Timestamp;
use super::state_list::StateLists;
use super::tag::{EntityTag, TagForm};
use super::validators::{Target, Validators};

/// The conditional headers of one request.
#[derive(Clone, Debug, Default)]
pub struct Precondition {
    states: Option<Arc<States>>,
    only_creates: bool,
    if_match: Option<TagList>,
    if_none_match: Option<TagList>,
    if_modified_since: Option<DateField>,
    if_unmodified_since: Option<DateField>,
}

/// A header that holds a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DateField {
    /// In whole seconds.
    At(i64),
    /// It is no HTTP-date, or not alone.
    Malformed,
}

/// The `If` header of a request.
#[derive(Clone, Debug)]
pub struct States {
    /// Its lists.
    pub lists: StateLists,
    /// What the request is for.
    pub asked: SharePath,
}

/// The raw field lines of the conditional headers, in the order they came.
#[derive(Clone, Debug, Default)]
pub struct ConditionalFields<'a> {
    /// `If-Match`.
    pub if_match: Vec<&'a [u8]>,
    /// `If-None-Match`.
    pub if_none_match: Vec<&'a [u8]>,
    /// `If-Modified-Since`.
    pub if_modified_since: Vec<&'a [u8]>,
    /// `If-Unmodified-Since`.
    pub if_unmodified_since: Vec<&'a [u8]>,
}

/// A conditional header that cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is malformed")]
pub struct Malformed(pub Header);

/// One of the conditional headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// `If-Match`.
    IfMatch,
    /// `If-None-Match`.
    IfNoneMatch,
    /// `If-Modified-Since`.
    IfModifiedSince,
    /// `If-Unmodified-Since`.
    IfUnmodifiedSince,
    /// `If` (RFC 4918 §10.4).
    If,
    /// `Overwrite: F` (RFC 4918 §10.6).
    Overwrite,
    /// A lock token, whose lock was taken on one version.
    LockToken,
}

impl std::fmt::Display for Header {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::IfMatch => "If-Match",
            Self::IfNoneMatch => "If-None-Match",
            Self::IfModifiedSince => "If-Modified-Since",
            Self::IfUnmodifiedSince => "If-Unmodified-Since",
            Self::If => "If",
            Self::Overwrite => "Overwrite",
            Self::LockToken => "Lock-Token",
        })
    }
}

/// Whether a request reads or changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// GET and HEAD.
    Read,
    /// Every other method.
    Change,
}

/// What the conditional headers decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// They allow the request.
    Proceed,
    /// The client has this version already (304).
    NotModified,
    /// This header forbids the request (412).
    Refuse(Header),
}

#[derive(Clone, Debug)]
enum TagList {
    Any,
    Tags(Vec<ListedTag>),
}

/// A member of a list: a tag, or text without quotes that some clients send in its place.
#[derive(Clone, Debug)]
enum ListedTag {
    Tag(EntityTag),
    Unquoted(Box<[u8]>),
}

impl Precondition {
    /// Parses the raw field lines.
    ///
    /// A list whose quotes or commas are broken, or that mixes `*` with tags, is malformed. A member without quotes is kept: it
    /// matches only if its text equals the current tag's. A date that is not an HTTP-date, or not alone, is ignored by a read
    /// (RFC 9110 §13.1.3, §13.1.4); in `If-Unmodified-Since` it never lets a change through.
    pub fn parse(fields: &ConditionalFields<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            if_match: TagList::parse(&fields.if_match).map_err(|()| Malformed(Header::IfMatch))?,
            if_none_match: TagList::parse(&fields.if_none_match).map_err(|()| Malformed(Header::IfNoneMatch))?,
            if_modified_since: DateField::parse(&fields.if_modified_since),
            if_unmodified_since: DateField::parse(&fields.if_unmodified_since),
            ..Self::default()
        })
    }

    /// The same with the `If` header of a request for `asked`.
    pub fn with_states(self, lists: StateLists, asked: SharePath) -> Self {
        Self { states: Some(Arc::new(States { lists, asked })), ..self }
    }

    /// The same, only for where nothing is (`Overwrite: F`).
    pub fn that_only_creates(self) -> Self {
        Self { only_creates: true, ..self }
    }

    /// What a COPY demands of its destination: the `If` header and the locks speak of that too, the conditional headers only of the
    /// source.
    pub fn for_the_target(&self, may_replace: bool) -> Self {
        Self { states: self.states.clone(), only_creates: !may_replace, ..Self::default() }
    }

    /// `If` alone.
    pub fn of_states_alone(&self) -> Self {
        Self { states: self.states.clone(), ..Self::default() }
    }

    /// What a request demands that only reads: `If-Match` and `If`. `If-None-Match` at most spares it an answer.
    pub fn that_must_match(&self) -> Self {
        Self { if_none_match: None, ..self.clone() }
    }

    /// The `If` header.
    pub fn states(&self) -> Option<&States> {
        self.states.as_deref()
    }

    /// Whether `If-Match` names versions by their tags. `If-Match: *` names none.
    pub fn matches_tags(&self) -> bool {
        matches!(self.if_match, Some(TagList::Tags(_)))
    }

    /// The precondition that nothing is there (`If-None-Match: *`).
    pub fn nothing_there() -> Self {
        Self { if_none_match: Some(TagList::Any), ..Self::default() }
    }

    /// Whether there is any conditional header that a change heeds.
    pub fn is_empty(&self) -> bool {
        let no_header = self.if_match.is_none() && self.if_none_match.is_none() && self.if_unmodified_since.is_none();
        no_header && self.states.is_none() && !self.only_creates
    }

    /// Whether it can only hold where nothing is there.
    pub fn demands_nothing_there(&self) -> bool {
        self.only_creates || matches!(self.if_none_match, Some(TagList::Any))
    }

    /// Whether the content's hash has to be known to judge it.
    pub fn asks_for_content(&self) -> bool {
        let in_states = |states: &States| states.lists.asks_for_content(&states.asked, &states.asked);
        let lists = [&self.if_match, &self.if_none_match];
        self.states().is_some_and(in_states)
            || lists.into_iter().flatten().any(|list| match list {
                TagList::Any => false,
                TagList::Tags(tags) => tags.iter().any(ListedTag::is_of_content),
            })
    }

    /// Whether the conditional headers name the version of what they are judged by, so that a policy of required preconditions is content
    /// (RFC 6585 §3): a list of tags, a date that does not lie ahead of the clock, or that nothing is there.
    pub fn names_a_version(&self, now: Timestamp) -> bool {
        let is_past = |date: DateField| matches!(date, DateField::At(date) if date <= now.seconds());
        self.demands_nothing_there()
            || self.matches_tags()
            || (self.if_match.is_none() && self.if_unmodified_since.is_some_and(is_past))
    }

    /// Whether `If-Match`, if there is one, holds.
    pub fn if_match_holds(&self, target: &Target<'_>) -> bool {
        self.if_match.as_ref().is_none_or(|list| list.matches(target, ListedTag::strongly_is))
    }

    /// Decides, in the order of RFC 9110 §13.2.2, as far as the target alone says. What the `If` header asks of other places is judged
    /// beside it.
    pub fn decide(&self, target: &Target<'_>, intent: Intent) -> Decision {
        if self.only_creates && !matches!(target, Target::Nothing) {
            return Decision::Refuse(Header::Overwrite);
        }
        if let Some(list) = &self.if_match {
            if !list.matches(target, ListedTag::strongly_is) {
                return Decision::Refuse(Header::IfMatch);
            }
        } else if let Some(since) = self.if_unmodified_since
            && !since.holds_since(target, intent)
        {
            return Decision::Refuse(Header::IfUnmodifiedSince);
        }
        if let Some(list) = &self.if_none_match {
            if list.matches(target, ListedTag::weakly_is) {
                return match intent {
                    Intent::Read => Decision::NotModified,
                    Intent::Change => Decision::Refuse(Header::IfNoneMatch),
                };
            }
        } else if let (Some(DateField::At(since)), Target::File(file), Intent::Read) =
            (self.if_modified_since, target, intent)
            && file.date.is_named_by(since)
        {
            return Decision::NotModified;
        }
        Decision::Proceed
    }
}

impl DateField {
    /// `None` where there is no such header.
    fn parse(lines: &[&[u8]]) -> Option<Self> {
        match lines {
            [] => None,
            [line] => Some(http_date::parse(line).map_or(Self::Malformed, Self::At)),
            _ => Some(Self::Malformed),
        }
    }

    /// Whether a request may go on by `If-Unmodified-Since`. A folder has no date that tells its versions apart. Where nothing is, nothing
    /// has been modified (RFC 9110 §13.1.4).
    fn holds_since(self, target: &Target<'_>, intent: Intent) -> bool {
        match (self, target, intent) {
            (Self::Malformed, _, intent) => intent == Intent::Read,
            (Self::At(_), Target::Nothing, _) => true,
            (Self::At(_), Target::Collection | Target::Unidentified, intent) => intent == Intent::Read,
            (Self::At(date), Target::File(file), Intent::Read) => file.date.is_unmodified_since(date),
            (Self::At(date), Target::File(file), Intent::Change) => file.date.is_named_for_a_change_by(date),
        }
    }
}

impl TagList {
    /// `Ok(None)` where there is no such header.
    fn parse(lines: &[&[u8]]) -> Result<Option<Self>, ()> {
        if lines.is_empty() {
            return Ok(None);
        }
        let joined = lines.join(&b", "[..]);
        let mut rest = joined.trim_ascii();
        if rest == b"*" {
            return Ok(Some(Self::Any));
        }
        let mut tags = Vec::new();
        while !rest.is_empty() {
            if let [b',', after @ ..] = rest {
                rest = after.trim_ascii_start();
                continue;
            }
            let (listed, after) = ListedTag::parse(rest)?;
            tags.push(listed);
            rest = after.trim_ascii_start();
            if !matches!(rest, [] | [b',', ..]) {
                return Err(());
            }
        }
        // A list may be empty (RFC 9110 §8.8.3, §5.6.1): then no tag is among its members.
        Ok(Some(Self::Tags(tags)))
    }

    fn matches(&self, target: &Target<'_>, is: fn(&ListedTag, &Validators) -> bool) -> bool {
        match (self, target) {
            (_, Target::Nothing) => false,
            (Self::Any, _) => true,
            (Self::Tags(_), Target::Collection | Target::Unidentified) => false,
            (Self::Tags(tags), Target::File(file)) => tags.iter().any(|listed| is(listed, file)),
        }
    }
}

impl ListedTag {
    fn parse(text: &[u8]) -> Result<(Self, &[u8]), ()> {
        let (weak, quoted) = match text {
            [b'W', b'/', rest @ ..] => (true, rest),
            _ => (false, text),
        };
        if let [b'"', rest @ ..] = quoted {
            let end = rest.iter().position(|byte| *byte == b'"').ok_or(())?;
            let opaque = &rest[..end];
            if opaque.iter().any(|byte| *byte <= b' ' || *byte == 0x7f) {
                return Err(());
            }
            return Ok((Self::Tag(EntityTag::received(weak, opaque)), &rest[end + 1..]));
        }
        let end = text.iter().position(|byte| *byte == b',').unwrap_or(text.len());
        let bare = text[..end].trim_ascii_end();
        let spoilt = bare.is_empty() || bare.iter().any(|byte| matches!(byte, b'"' | b'*' | 0..=b' ' | 0x7f));
        if spoilt { Err(()) } else { Ok((Self::Unquoted(bare.into()), &text[end..])) }
    }

    fn is_of_content(&self) -> bool {
        matches!(self.as_tag().form(), TagForm::Content(_))
    }

    fn as_tag(&self) -> EntityTag {
        match self {
            Self::Tag(tag) => tag.clone(),
            Self::Unquoted(text) => EntityTag::received(false, text),
        }
    }

    fn strongly_is(&self, file: &Validators) -> bool {
        match self {
            Self::Tag(tag) => file.strongly_match(tag),
            Self::Unquoted(_) => file.strongly_match(&self.as_tag()),
        }
    }

    fn weakly_is(&self, file: &Validators) -> bool {
        match self {
            Self::Tag(tag) => file.weakly_match(tag),
            Self::Unquoted(_) => file.weakly_match(&self.as_tag()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::content_hash::ContentHash;
    use crate::model::dating::VersionDate;

    const DAY: i64 = 784_111_777; // Sun, 06 Nov 1994 08:49:37 GMT

    fn fields<'a>(headers: &[(&str, &'a str)]) -> ConditionalFields<'a> {
        let mut fields = ConditionalFields::default();
        for (name, value) in headers {
            let lines = match *name {
                "m" => &mut fields.if_match,
                "n" => &mut fields.if_none_match,
                "ms" => &mut fields.if_modified_since,
                "us" => &mut fields.if_unmodified_since,
                other => panic!("no header {other}"),
            };
            lines.push(value.as_bytes());
        }
        fields
    }

    fn file(tag: EntityTag) -> Validators {
        let date =
            VersionDate { modified: Timestamp::new(DAY, 9), is_exact: true, last_arrival: Some(DAY), now: DAY + 100 };
        Validators { shown: tag, content: None, stamp: None, date }
    }

    fn decide<'a>(headers: &[(&str, &str)], target: impl Into<Target<'a>>, intent: Intent) -> Decision {
        Precondition::parse(&fields(headers)).expect("parses").decide(&target.into(), intent)
    }

    const AT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sunday, 06-Nov-94 08:49:36 GMT";
    const SOON: &str = "Sun Nov  6 08:49:38 1994";
    const AFTER: &str = "Sun Nov  6 08:49:39 1994";
    const AHEAD: &str = "Fri, 31 Dec 9999 23:59:59 GMT";

    #[test]
    fn the_table_of_decisions() {
        use Decision::{NotModified, Proceed, Refuse};
        use Header::{IfMatch, IfNoneMatch, IfUnmodifiedSince};
        type Row<'a> = (&'a [(&'a str, &'a str)], Decision, Decision, Decision);
        // headers, change of a file, change where nothing is, read of a file
        let rows: &[Row<'_>] = &[
            (&[], Proceed, Proceed, Proceed),
            (&[("m", "\"cur\"")], Proceed, Refuse(IfMatch), Proceed),
            (&[("m", "\"old\"")], Refuse(IfMatch), Refuse(IfMatch), Refuse(IfMatch)),
            (&[("m", "W/\"cur\"")], Refuse(IfMatch), Refuse(IfMatch), Refuse(IfMatch)),
            (&[("m", "cur")], Proceed, Refuse(IfMatch), Proceed),
            (&[("m", "old")], Refuse(IfMatch), Refuse(IfMatch), Refuse(IfMatch)),
            (&[("m", "*")], Proceed, Refuse(IfMatch), Proceed),
            (&[("m", "\"a,b\", \"cur\"")], Proceed, Refuse(IfMatch), Proceed),
            (&[("m", "\"old\""), ("m", "\"cur\"")], Proceed, Refuse(IfMatch), Proceed),
            (&[("m", " , ,\"cur\",")], Proceed, Refuse(IfMatch), Proceed),
            (&[("n", "*")], Refuse(IfNoneMatch), Proceed, NotModified),
            (&[("m", "")], Refuse(IfMatch), Refuse(IfMatch), Refuse(IfMatch)),
            (&[("m", " , ,")], Refuse(IfMatch), Refuse(IfMatch), Refuse(IfMatch)),
            (&[("n", "")], Proceed, Proceed, Proceed),
            (&[("n", ","), ("n", "")], Proceed, Proceed, Proceed),
            (&[("n", "\"cur\"")], Refuse(IfNoneMatch), Proceed, NotModified),
            (&[("n", "W/\"cur\"")], Refuse(IfNoneMatch), Proceed, NotModified),
            (&[("n", "\"old\"")], Proceed, Proceed, Proceed),
            (&[("n", "JoplinIgnore-123")], Proceed, Proceed, Proceed),
            (&[("us", AT)], Proceed, Proceed, Proceed),
            (&[("us", AFTER)], Refuse(IfUnmodifiedSince), Proceed, Proceed),
            (&[("us", BEFORE)], Refuse(IfUnmodifiedSince), Proceed, Refuse(IfUnmodifiedSince)),
            (&[("us", SOON)], Refuse(IfUnmodifiedSince), Proceed, Refuse(IfUnmodifiedSince)),
            (&[("us", AHEAD)], Refuse(IfUnmodifiedSince), Proceed, Proceed),
            (&[("us", "garbage")], Refuse(IfUnmodifiedSince), Refuse(IfUnmodifiedSince), Proceed),
            (&[("us", "")], Refuse(IfUnmodifiedSince), Refuse(IfUnmodifiedSince), Proceed),
            (&[("us", "Mon, 06 Nov 1994 08:49:37 GMT")], Refuse(IfUnmodifiedSince), Refuse(IfUnmodifiedSince), Proceed),
            (&[("us", AT), ("us", AT)], Refuse(IfUnmodifiedSince), Refuse(IfUnmodifiedSince), Proceed),
            (&[("m", "\"cur\""), ("us", "garbage")], Proceed, Refuse(IfMatch), Proceed),
            (&[("ms", AT)], Proceed, Proceed, NotModified),
            (&[("ms", BEFORE)], Proceed, Proceed, Proceed),
            (&[("ms", AFTER)], Proceed, Proceed, Proceed),
            (&[("ms", AHEAD)], Proceed, Proceed, Proceed),
            (&[("ms", "garbage")], Proceed, Proceed, Proceed),
            (&[("m", "\"cur\""), ("us", BEFORE)], Proceed, Refuse(IfMatch), Proceed),
            (&[("m", "\"cur\""), ("n", "\"cur\"")], Refuse(IfNoneMatch), Refuse(IfMatch), NotModified),
            (&[("n", "\"old\""), ("ms", AT)], Proceed, Proceed, Proceed),
            (&[("m", "\"old\""), ("n", "\"cur\"")], Refuse(IfMatch), Refuse(IfMatch), Refuse(IfMatch)),
        ];
        let current = file(EntityTag::received(false, b"cur"));
        for (headers, change, create, read) in rows {
            assert_eq!(decide(headers, &current, Intent::Change), *change, "change {headers:?}");
            assert_eq!(decide(headers, Target::Nothing, Intent::Change), *create, "create {headers:?}");
            assert_eq!(decide(headers, &current, Intent::Read), *read, "read {headers:?}");
        }
    }

    #[test]
    fn broken_lists_are_malformed() {
        for value in
            ["\"a", "*, \"a\"", "\"a\", *", "\"a\" \"b\"", "W/", "W/*", "\"a\"b", "a\"", "* *", "a b", "\"a b\""]
        {
            for name in ["m", "n"] {
                let parsed = Precondition::parse(&fields(&[(name, value)]));
                // `W/` alone is text without quotes: it matches nothing, and so lets no write through.
                assert!(parsed.is_err() || value == "W/", "{name}: {value}");
            }
        }
    }

    #[test]
    fn either_form_of_the_current_tag_is_right() {
        let hash = ContentHash::of(b"x");
        let mut current = file(EntityTag::received(false, b"s0"));
        let by_content = [("m", EntityTag::of_content(&hash).to_string())];
        let by_content = by_content.each_ref().map(|(name, value)| (*name, value.as_str()));
        assert_eq!(decide(&by_content, &current, Intent::Change), Decision::Refuse(Header::IfMatch));
        current.content = Some(hash.short());
        assert_eq!(decide(&by_content, &current, Intent::Change), Decision::Proceed);
    }

    #[test]
    fn a_date_that_two_versions_share_is_no_validator() {
        let mut current = file(EntityTag::received(false, b"cur"));
        current.date.is_exact = false;
        let refused = Decision::Refuse(Header::IfUnmodifiedSince);
        assert_eq!(decide(&[("us", AT)], &current, Intent::Change), refused);
        assert_eq!(decide(&[("ms", AT)], &current, Intent::Read), Decision::Proceed);
        assert_eq!(decide(&[("us", AFTER)], &current, Intent::Read), Decision::Proceed);
        assert_eq!(decide(&[("us", AFTER)], &current, Intent::Change), refused);
    }

    #[test]
    fn a_date_names_no_state_of_a_folder() {
        for (headers, expected) in [
            (&[("us", AT)][..], Decision::Refuse(Header::IfUnmodifiedSince)),
            (&[("us", "garbage")], Decision::Refuse(Header::IfUnmodifiedSince)),
            (&[("ms", AT)], Decision::Proceed),
        ] {
            for target in [Target::Collection, Target::Unidentified] {
                assert_eq!(decide(headers, target.clone(), Intent::Change), expected, "{headers:?}, {target:?}");
                assert_eq!(decide(headers, target, Intent::Read), Decision::Proceed, "{headers:?}");
            }
        }
    }

    #[test]
    fn only_what_names_a_version_counts_for_the_policy() {
        for (headers, protects) in [
            (&[("m", "\"x\"")][..], true),
            (&[("m", "*")], false),
            (&[("n", "\"x\"")], false),
            (&[("n", "*")], true),
            (&[("us", AT)], true),
            (&[("us", "garbage")], false),
            (&[("us", AHEAD)], false),
            (&[("m", "*"), ("us", AT)], false),
            (&[], false),
        ] {
            let parsed = Precondition::parse(&fields(headers)).expect("parses");
            assert_eq!(parsed.names_a_version(Timestamp::new(DAY + 100, 0)), protects, "{headers:?}");
        }
    }
}
