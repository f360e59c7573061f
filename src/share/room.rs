//! Room on the disk: whether there is enough for what is to come, and what the history gives up when there is not.

use crate::model::keep_rule::Room;
use crate::model::stamp::Timestamp;
use crate::store::disk_error::{DiskError, Full, Result as DiskResult};
use crate::store::handle::Dir;
use crate::store::local::commit::Site;

use super::outcome::{Outcome, Refusal};
use super::shared_folder::Share;

/// What a new name takes: an inode, and a block of its folder.
pub(super) const A_NAME: Room = Room { bytes: 16 << 10, files: 1 };

impl Share {
    /// Refuses what there is no room for, even if the history gives what it may. Nothing goes: bytes that have come take room, and words do
    /// not.
    pub(super) fn has_room(&self, site: &Site, bytes: u64, now: Timestamp) -> Outcome<()> {
        self.has_room_at(&site.parent, bytes, now)
    }

    /// As [`Share::has_room`], in a folder.
    pub(super) fn has_room_at(&self, at: &Dir, bytes: u64, now: Timestamp) -> Outcome<()> {
        let has_room = self.tree.history().has_room(at, Room { bytes, files: 1 }, now)?;
        if has_room { Ok(()) } else { Err(Refusal::NoSpace(Full::Disk).into()) }
    }

    /// Makes room in the history if that is what was missing; says whether there is room now.
    pub(super) fn makes_room_after(&self, error: &DiskError, at: &Dir, wanted: Room, now: Timestamp) -> bool {
        error.full().is_some_and(|full| self.tree.history().make_room(at, wanted, full, now))
    }

    /// What came of something that room was made for. How much is free in a quota nobody says, so the history is told here if it gave in vain.
    pub(super) fn with_room_made<T>(&self, tried: DiskResult<T>, at: &Dir, now: Timestamp) -> DiskResult<T> {
        if tried.as_ref().is_err_and(|error| error.full() == Some(Full::Quota)) {
            self.tree.history().gave_in_vain(at, Full::Quota, now);
        }
        tried
    }
}
