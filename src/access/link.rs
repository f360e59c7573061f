//! A link: a secret by which somebody comes to one file or folder of the share, without being a user.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use jiff::{Span, SpanRelativeTo, Timestamp};
use serde::{Deserialize, Serialize};

use crate::model::grants::Grants;
use crate::model::path::SharePath;
use crate::model::rights::Rights;

use super::password::PasswordHash;

/// The longest life of a link that ends: ten years.
const LIFE_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// A link, as it is noted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// What it is called; no secret.
    pub id: Arc<str>,
    /// The BLAKE3 hash of its secret, as small hexadecimal digits.
    pub hash: Box<str>,
    /// Where it leads.
    pub place: Place,
    /// What it gives.
    pub may: LinkMay,
    /// Whose it is: it gives nothing that this user may not do. `None`: whoever runs the server.
    #[serde(default)]
    pub owner: Option<Arc<str>>,
    /// When that user was added, so that another one of the name does not get it; `None`: nobody knows.
    #[serde(default)]
    pub owner_added: Option<Box<str>>,
    /// Until when it is good; `None`: always.
    #[serde(default)]
    pub until: Option<Timestamp>,
    /// How often somebody can still come by it; `None`: always.
    #[serde(default)]
    pub uses_left: Option<u32>,
    /// The hash of the password that it takes besides.
    #[serde(default)]
    pub password: Option<PasswordHash>,
}

/// Where a link leads: the path of a URL below the base path, with a slash at the end if a folder is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Place {
    /// The path.
    pub path: SharePath,
    /// Whether a folder is there.
    pub is_folder: bool,
}

/// What a link gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LinkMay {
    /// Look around and read
    #[default]
    Read,
    /// Put new files into a folder, and see nothing of what is in it
    Drop,
    /// Look around, read, make, replace and delete; not see or bring back what was there before
    Write,
}

/// How long a link is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// So long.
    For(Duration),
    /// Until it is revoked.
    Unlimited,
}

/// What is wanted of a new link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLink {
    /// Where it is to lead.
    pub place: Place,
    /// What it is to give.
    pub may: LinkMay,
    /// Whose it is to be.
    pub owner: Option<LinkOwner>,
    /// How long it is to be good.
    pub life: Life,
    /// How often somebody can come by it.
    pub uses: Option<u32>,
    /// The hash of the password that it is to take.
    pub password: Option<PasswordHash>,
}

/// Whose a link is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkOwner {
    /// The name of the user.
    pub name: Arc<str>,
    /// When the user was added, if that is noted.
    pub added: Option<Box<str>>,
}

impl Link {
    /// Whether it is good at this time.
    pub fn is_good_at(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// What it gives, as far as its owner has it.
    pub(super) fn grants(&self) -> Grants {
        self.place.grants(self.may)
    }

    /// The same link, but for how often it was used.
    pub(super) fn is(&self, other: &Self) -> bool {
        *self == Self { uses_left: self.uses_left, ..other.clone() }
    }
}

impl Place {
    /// What is at a path.
    pub fn new(path: SharePath, is_folder: bool) -> Self {
        Self { path, is_folder }
    }

    /// Whether a link gives there what it says: no rights are given at a name that some file system takes for none.
    pub fn can_be_linked_to(&self) -> bool {
        self.grants(LinkMay::Read).at(&self.path) == LinkMay::Read.rights()
    }

    fn grants(&self, may: LinkMay) -> Grants {
        if self.is_folder {
            Grants::by_path([(self.path.clone(), may.rights())])
        } else {
            // It is replaced, and neither taken away nor made: what came next might be a folder.
            Grants::of_file(self.path.clone(), may.rights() & (Rights::LOOK | Rights::OVERWRITE))
        }
    }
}

impl From<Place> for String {
    fn from(place: Place) -> Self {
        if place.is_folder { place.path.to_collection_url() } else { place.path.to_url() }
    }
}

impl TryFrom<String> for Place {
    type Error = crate::model::path::PathError;

    fn try_from(url_path: String) -> Result<Self, Self::Error> {
        let is_folder = SharePath::url_names_a_collection(&url_path);
        SharePath::parse_url(&url_path).map(|path| Self { path, is_folder })
    }
}

impl LinkMay {
    /// The rights that it gives, as far as its owner has them.
    pub fn rights(self) -> Rights {
        match self {
            Self::Read => Rights::LOOK,
            Self::Drop => Rights::CREATE,
            // What was deleted, or written over, was not meant for whoever comes by the link.
            Self::Write => Rights::all() - Rights::HISTORY,
        }
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Drop => "drop",
            Self::Write => "write",
        }
    }
}

impl Default for Life {
    /// A week.
    fn default() -> Self {
        Self::For(Duration::from_secs(7 * 24 * 60 * 60))
    }
}

impl Life {
    /// When a link ends that is made at this time.
    pub(super) fn end(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::For(time) => now.checked_add(time).ok(),
            Self::Unlimited => None,
        }
    }
}

impl FromStr for Life {
    type Err = String;

    /// `7d`, `2h 30m`, `never`.
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "never" {
            return Ok(Self::Unlimited);
        }
        let span: Option<Span> = text.parse().ok();
        let time = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
        let time = time.and_then(|time| Duration::try_from(time).ok());
        match time.filter(|time| !time.is_zero() && *time <= LIFE_MAX) {
            Some(time) => Ok(Self::For(time)),
            None => Err("a time is wanted, like 30m, 12h, 7d or 4w, of ten years at most, or never".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_a_link_is_good() {
        let seconds = |text: &str| match text.parse() {
            Ok(Life::For(time)) => Some(time.as_secs()),
            Ok(Life::Unlimited) => Some(0),
            Err(_) => None,
        };
        for (text, expected) in [
            ("30s", Some(30)),
            ("30m", Some(1800)),
            ("12h", Some(43_200)),
            ("7d", Some(604_800)),
            ("4w", Some(2_419_200)),
            ("1d 12h", Some(129_600)),
            ("never", Some(0)),
            ("", None),
            ("7", None),
            ("0d", None),
            ("-7d", None),
            ("7d ago", None),
            ("11y", None),
            ("4000d", None),
            ("99999999999999999999d", None),
            ("Never", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }

    #[test]
    fn a_link_comes_back_as_it_was_noted() {
        let text = r#"{"id":"a1","hash":"00","place":"/docs/Z%C3%BCrich/","may":"drop","owner":"alice","until":"2026-12-01T00:00:00Z","uses_left":3}"#;
        let link: Link = serde_json::from_str(text).expect("a link");
        assert_eq!((&*link.place.path.to_text(), link.place.is_folder), ("/docs/Zürich", true));
        let again: Link = serde_json::from_str(&serde_json::to_string(&link).expect("text")).expect("a link");
        assert_eq!(again, link);
        assert!(link.is(&Link { uses_left: None, ..link.clone() }));
        assert!(!link.is(&Link { may: LinkMay::Read, ..link.clone() }));
        for wrong in ["/../a/", "a", "/.noclobber/"] {
            let text = text.replace("/docs/Z%C3%BCrich/", wrong);
            assert!(serde_json::from_str::<Link>(&text).is_err(), "{wrong}");
        }
    }
}
