//! What a person should hear of the history. What cannot be measured, opened or removed is told once, stays, and stops nothing.

use std::collections::HashSet;

use parking_lot::Mutex;

use crate::model::path::SharePath;

use super::found::{FoundVersion, Which, which};
use crate::store::disk_error::{Cause, DiskError};
use crate::store::notice::Notice;

/// How many entries that cannot be handled are remembered.
const STUCK_MAX: usize = 100_000;

/// What happened since it was last asked, and what was told of already.
#[derive(Debug, Default)]
pub(super) struct Notices {
    new: Mutex<Vec<Notice>>,
    /// Entries that could not be handled.
    stuck: Mutex<HashSet<Which>>,
    /// Paths whose folder could not be walked.
    closed: Mutex<HashSet<SharePath>>,
}

impl Notices {
    pub(super) fn add(&self, notice: Notice) {
        self.new.lock().push(notice);
    }

    /// What happened since this was last asked.
    pub(super) fn take(&self) -> Vec<Notice> {
        std::mem::take(&mut *self.new.lock())
    }

    /// An entry that cannot be handled stays from now on, until the server is started again. One that is gone is none, and a lack of handles
    /// passes.
    pub(super) fn add_stuck(&self, found: &FoundVersion, error: &DiskError) {
        if matches!(error.cause, Cause::NotFound | Cause::TooManyOpen) {
            return;
        }
        let mut stuck = self.stuck.lock();
        if stuck.len() < STUCK_MAX && stuck.insert(which(found)) {
            self.add(Notice::Stuck { path: found.path.clone(), why: error.to_string() });
        }
    }

    /// As [`Notices::add_stuck`], for all that lies below a folder.
    pub(super) fn add_stuck_folder(&self, path: &SharePath, error: &DiskError) {
        if error.cause == Cause::TooManyOpen {
            return;
        }
        let mut closed = self.closed.lock();
        if closed.len() < STUCK_MAX && closed.insert(path.clone()) {
            self.add(Notice::Stuck { path: path.clone(), why: error.to_string() });
        }
    }

    pub(super) fn is_stuck(&self, found: &FoundVersion) -> bool {
        self.stuck.lock().contains(&which(found))
    }

    /// The entry is gone.
    pub(super) fn forget(&self, found: &FoundVersion) {
        self.stuck.lock().remove(&which(found));
    }
}
