//! What was displaced, or left by an error, and is looked at once more.

use std::time::Duration;

use crate::model::path::SharePath;
use crate::model::stamp::{Stamp, Timestamp};
use crate::model::version::EntryName;

use super::super::place::Running;

/// How far ahead of the clock noclobber itself sets a modification time, so that a later one means that somebody wrote.
pub(super) const MTIME_AHEAD: Duration = Duration::from_secs(2);

/// How long after it was displaced a file is looked at again.
pub(super) const SECOND_LOOK: Duration = Duration::from_secs(10);

/// A displaced file that is looked at once more, later.
#[derive(Debug)]
pub(super) struct HeldEntry {
    pub(super) entry: EntryName,
    pub(super) path: SharePath,
    /// Its state then, where that is known.
    pub(super) first_sight: Option<Stamp>,
    pub(super) what: HeldWhat,
    pub(super) due: Timestamp,
    /// Whether a person was told that it cannot be looked at.
    pub(super) is_told: bool,
    pub(super) _running: Running,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeldWhat {
    /// Somebody's version that a change displaced.
    Displaced,
    /// Somebody's version that a change which failed had in hand when its name was taken again: nobody asked for it to go.
    Kept,
    /// Our own upload, visible for an instant and then refused.
    Upload,
    /// One name more of a file that was to be moved, visible for an instant and then taken back.
    Link,
    /// What an interrupted run without a history had displaced: it goes, whether there is a history now or not.
    Left,
    /// Somebody's version in an area that keeps nothing, while the folder of its name is gone: it is put beside the name once that is back.
    Stranded,
    /// Whatever an error or a crash has left under its tail: step R is to be tried again.
    Unsettled(Verdict),
}

/// What step R is to make of an entry that holds what its commit expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The swap may have been right: the tail tells.
    Unknown,
    /// It was to be undone.
    Undone,
}

/// How a second look ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// Somebody has it open for writing: it is looked at again.
    Busy,
    /// It is a version of the history.
    Settled,
    /// The entry is there no more.
    Gone,
}
