//! What the index remembers, and its bytes.

use crate::model::content_hash::ContentHash;
use crate::model::stamp::Stamp;

/// How many bytes an entry takes.
pub(super) const BYTES: usize = 97;

/// What is remembered of a file in one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The state.
    pub stamp: Stamp,
    /// The hash of its content, if it was hashed in this state.
    pub hash: Option<ContentHash>,
    /// Which form of tag was shown first.
    pub shown: ShownForm,
    /// What is known of its date.
    pub date: DateKnown,
    /// Whether a change made later would show in the state. If not, what is remembered holds only of a content that is found to be the same.
    pub is_settled: bool,
}

/// What is known of the date of a version, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateKnown {
    /// Nothing yet: another program wrote it.
    Unknown,
    /// No other version at the name that this number stands for was told with it.
    Exact(u64),
    /// Another version may have been told with it.
    Shared,
}

/// What a process leaves to the next of the dates that it told, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToldBefore {
    /// The latest.
    pub latest: i64,
    /// The seconds that the clock has gone through twice: the first and the last.
    pub twice: Option<(i64, i64)>,
}

/// A form of tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShownForm {
    /// Made from the content.
    Content,
    /// Made from a stamp with this digest: that of the state in which it was first shown. What changes the stamp and not the content
    /// (a date, a mode, a new name) changes no tag.
    Stamp([u8; 16]),
}

impl Remembered {
    /// The stamp, the hash or zeros, the digest that was shown or zeros, the name of an exact date or zeros, and a byte of flags.
    pub(super) fn to_bytes(self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..40].copy_from_slice(&self.stamp.to_bytes());
        bytes[40..72].copy_from_slice(self.hash.map_or([0; 32], |hash| *hash.as_bytes()).as_slice());
        let (stamp_is_shown, digest) = match self.shown {
            ShownForm::Content => (false, [0; 16]),
            ShownForm::Stamp(digest) => (true, digest),
        };
        bytes[72..88].copy_from_slice(&digest);
        let (date, name) = match self.date {
            DateKnown::Unknown => (0, 0),
            DateKnown::Exact(name) => (1, name),
            DateKnown::Shared => (2, 0),
        };
        bytes[88..96].copy_from_slice(&name.to_le_bytes());
        let flags = u8::from(self.hash.is_some()) | u8::from(stamp_is_shown) << 1 | date << 2;
        bytes[96] = flags | u8::from(self.is_settled) << 4;
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (stamp, rest) = bytes.split_first_chunk::<40>()?;
        let (hash, rest) = rest.split_first_chunk::<32>()?;
        let (digest, rest) = rest.split_first_chunk::<16>()?;
        let (name, flags) = rest.split_first_chunk::<8>()?;
        let [flags] = flags else { return None };
        Some(Self {
            stamp: Stamp::from_bytes(stamp),
            hash: (flags & 1 != 0).then(|| ContentHash::from_bytes(*hash)),
            shown: if flags & 2 != 0 { ShownForm::Stamp(*digest) } else { ShownForm::Content },
            date: match flags >> 2 & 3 {
                1 => DateKnown::Exact(u64::from_le_bytes(*name)),
                2 => DateKnown::Shared,
                _ => DateKnown::Unknown,
            },
            is_settled: flags & 16 != 0,
        })
    }
}

impl ToldBefore {
    pub(super) fn to_bytes(self) -> [u8; 24] {
        // That from which nothing reaches to before it is no time at all.
        let (from, to) = self.twice.unwrap_or((i64::MAX, i64::MIN));
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.latest.to_le_bytes());
        bytes[8..16].copy_from_slice(&from.to_le_bytes());
        bytes[16..].copy_from_slice(&to.to_le_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (latest, rest) = bytes.split_first_chunk()?;
        let (from, rest) = rest.split_first_chunk()?;
        let (from, to) = (i64::from_le_bytes(*from), i64::from_le_bytes(rest.try_into().ok()?));
        Some(Self { latest: i64::from_le_bytes(*latest), twice: (from <= to).then_some((from, to)) })
    }
}
