//! How far a client has come in following a folder (RFC 6578): a place in the feed, or one amid what is told at once.

use std::fmt;

use data_encoding::BASE32_DNSSEC;

use super::cursor::Cursor;
use super::path::SharePath;

/// What every token begins with, so that it is a URI (RFC 2397).
const SCHEME: &str = "data:,";

/// The longest token that is read, in bytes.
const BYTES_MAX: usize = 16 << 10;

/// What begins the place of a token amid all members.
const LISTING: &str = "l";

/// A token that a client was given with what it was told of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncToken {
    /// All that happened before this was told.
    pub cursor: Cursor,
    /// Of which folder, and for whom.
    pub view: SyncView,
    /// What was told besides.
    pub place: SyncPlace,
}

/// Which folder it is, and what of it may be seen: whoever may see something else has been told something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncView(pub [u8; 5]);

/// What a client was told besides all that happened before its cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyncPlace {
    /// Nothing.
    Nothing,
    /// Of all members those up to this path, as they were later.
    Members(SharePath),
    /// Of the change that comes next so many steps.
    Steps(u8),
    /// The same, and of all that came with it what there is up to this path, as it was later.
    Below(u8, SharePath),
}

impl SyncToken {
    /// Whether a text might be one: it begins like one.
    pub fn looks_like_one(text: &str) -> bool {
        text.starts_with(SCHEME)
    }

    /// Reads a token, just as it was given out; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > BYTES_MAX {
            return None;
        }
        let mut parts = text.strip_prefix(SCHEME)?.split('.');
        let cursor = Cursor::parse(parts.next()?)?;
        let view = SyncView(BASE32_DNSSEC.decode(parts.next()?.as_bytes()).ok()?.try_into().ok()?);
        let place = match (parts.next(), parts.next(), parts.next()) {
            (None, ..) => SyncPlace::Nothing,
            (Some(LISTING), Some(path), None) => SyncPlace::Members(read_path(path)?),
            (Some(steps), None, _) => SyncPlace::Steps(steps.parse().ok()?),
            (Some(steps), Some(path), None) => SyncPlace::Below(steps.parse().ok()?, read_path(path)?),
            _ => return None,
        };
        let token = Self { cursor, view, place };
        (token.to_string() == text).then_some(token)
    }
}

/// The path of a member: no folder is one of its own.
fn read_path(text: &str) -> Option<SharePath> {
    let path = SharePath::parse_disk(&BASE32_DNSSEC.decode(text.as_bytes()).ok()?).ok()?;
    (!path.is_root()).then_some(path)
}

impl fmt::Display for SyncToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}.{}", self.cursor, BASE32_DNSSEC.encode(&self.view.0))?;
        let path = |path: &SharePath| BASE32_DNSSEC.encode(path.as_bytes());
        match &self.place {
            SyncPlace::Nothing => Ok(()),
            SyncPlace::Members(to) => write!(f, ".{LISTING}.{}", path(to)),
            SyncPlace::Steps(steps) => write!(f, ".{steps}"),
            SyncPlace::Below(steps, to) => write!(f, ".{steps}.{}", path(to)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::cursor::FeedId;

    fn token(place: SyncPlace) -> SyncToken {
        SyncToken { cursor: Cursor { feed: FeedId([7; 10]), number: 12 }, view: SyncView([3; 5]), place }
    }

    fn path(text: &str) -> SharePath {
        SharePath::parse_disk(text.as_bytes()).expect(text)
    }

    #[test]
    fn a_token_comes_back_from_its_text_and_from_nothing_like_it() {
        for place in [
            SyncPlace::Nothing,
            SyncPlace::Members(path("a/b c")),
            SyncPlace::Steps(0),
            SyncPlace::Below(255, path("\u{e9}")),
        ] {
            let text = token(place.clone()).to_string();
            assert_eq!(SyncToken::parse(&text), Some(token(place)), "{text}");
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":,.-".contains(&byte)), "{text}");
            for other in
                [&text[1..], &text.to_uppercase(), &format!("{text}."), &format!("{text} "), &format!("{text}.0")]
            {
                assert_ne!(SyncToken::parse(other).map(|other| other.to_string()), Some(text.clone()), "{other}");
            }
        }
        let whole = token(SyncPlace::Nothing).to_string();
        for other in [
            "",
            "data:,",
            "data:,1",
            "urn:x",
            &format!("{whole}.l"),
            &format!("{whole}.l."),
            &format!("{whole}.0."),
            &format!("{whole}.256"),
            &format!("{whole}.+1"),
        ] {
            assert_eq!(SyncToken::parse(other), None, "{other}");
        }
        let reserved = format!("{whole}.l.{}", BASE32_DNSSEC.encode(b"a/.noclobber"));
        assert_eq!(SyncToken::parse(&reserved), None, "what nobody is told of is no place");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_stumble(text in "(data:,)?[a-v0-9.-]{0,60}") {
            if let Some(token) = SyncToken::parse(&text) {
                prop_assert_eq!(token.to_string(), text);
            }
        }
    }
}
