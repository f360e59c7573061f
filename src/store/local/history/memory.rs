//! What is remembered of the history from one walk over it to the next.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::model::keep_rule::Room;
use crate::model::stamp::Timestamp;

use super::found::{FoundVersion, Which, which};
use super::measure::Measured;
use crate::store::disk_error::Full;

/// What is remembered of the history from one walk to the next.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// What the trees take that are kept and have bytes in them: those hardly change any more. One without is measured each time, since it
    /// may go early, and a program that is in it may still write there.
    pub(super) trees: HashMap<Which, Measured>,
    /// How much the history on a file system could give, when that was found out, and how often places had been asked for until then.
    pub(super) could_give: HashMap<(u64, Full), (Timestamp, u64, Room)>,
    /// Where versions went for room and there was none.
    pub(super) in_vain: HashMap<(u64, Full), Pause>,
    /// What went for room since whoever applies the keep rule last took note of that; `None` while nobody does.
    pub(super) departed: Option<HashSet<Which>>,
}

/// A while in which the history gives nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pause {
    pub(super) since: Timestamp,
    pub(super) lasts: Duration,
}

/// Why versions go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Going {
    /// By the keep rule.
    ByRule,
    /// Somebody needs their room, and holds the mutex of who makes room.
    ForRoom,
}

impl Memory {
    /// It is gone.
    pub(super) fn forget(&mut self, found: &FoundVersion, going: Going) {
        self.trees.remove(&which(found));
        if let (Going::ForRoom, Some(departed)) = (going, &mut self.departed) {
            departed.insert(which(found));
        }
    }

    /// Whether nothing went for room that whoever applies the keep rule does not know of.
    pub(super) fn none_departed(&self) -> bool {
        self.departed.as_ref().is_none_or(HashSet::is_empty)
    }
}

impl Pause {
    pub(super) fn goes_on(&self, now: Timestamp) -> bool {
        now.since(self.since) <= self.lasts
    }
}
