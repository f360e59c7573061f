//! What the index remembers.

use serde::{Deserialize, Serialize};

use crate::model::content_hash::ContentHash;
use crate::model::stamp::Stamp;

/// What is remembered of a file in one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DateKnown {
    /// Nothing yet: another program wrote it.
    Unknown,
    /// No other version at the name that this number stands for was told with it.
    Exact(u64),
    /// Another version may have been told with it.
    Shared,
}

/// What a process leaves to the next of the dates that it told, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldBefore {
    /// The latest.
    pub latest: i64,
    /// The seconds that the clock has gone through twice: the first and the last.
    pub twice: Option<(i64, i64)>,
}

/// A form of tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShownForm {
    /// Made from the content.
    Content,
    /// Made from a stamp with this digest: that of the state in which it was first shown. What changes the stamp and not the content
    /// (a date, a mode, a new name) changes no tag.
    Stamp([u8; 16]),
}
