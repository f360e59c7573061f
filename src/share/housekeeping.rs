//! Opening a share, looking after it while it is served, telling of what happens in it, and closing it in good order.

use std::path::Path;
use std::time::Duration;

use crate::model::path::SharePath;
use crate::model::stamp::Timestamp;
use crate::store::catalog::index::Index;
use crate::store::catalog::index_error::IndexError;
use crate::store::local::commit::Tree;
use crate::store::notice::Notice;
use crate::store::share_identity::ShareIdentity;

use super::dates::Dates;
use super::hints::Hint;
use super::listeners::Happened;
use super::outcome::Outcome;
use super::shared_folder::{Share, ShareSettings};

/// What the file of the index is called.
pub const INDEX: &str = "index.redb";

impl Share {
    /// A share of this tree. What an earlier process left unfinished is settled before anything is served.
    pub fn open(tree: Tree, index: Index, settings: ShareSettings, now: Timestamp) -> Outcome<Self> {
        let mut share = Self::open_read_only(tree, index, settings);
        share.dates = Dates::after(share.index.told_before(), now);
        share.tree.history().check_own_folders()?;
        share.load_locks(now)?;
        share.tree.recover(now)?;
        share.load_uploads(now)?;
        // From now on a process that is killed has not ended in good order. What cannot be saved now is tried again.
        let _ = share.changes.save(now);
        share.look_at_everything();
        Ok(share)
    }

    /// Opens the index of a share that is kept in this folder.
    pub fn open_index(state: &Path, share: &ShareIdentity) -> Result<Index, IndexError> {
        Index::open(&state.join(INDEX), share)
    }

    /// What is done now and then: second looks at what was displaced, and what is remembered is saved. Says what a person should hear of.
    pub fn tick(&self, now: Timestamp) -> Vec<Notice> {
        self.tree.second_look(now);
        self.expire_locks(now);
        self.expire_uploads(now);
        self.dates.watch_the_clock(now);
        self.tree.folders().let_go(now);
        let notices = self.tree.take_notices();
        for notice in &notices {
            if let Notice::ConflictCopy { copy, .. } = notice {
                self.notice_conflict_copy(copy, now);
            }
        }
        notices
    }

    /// Observes the clock by which versions age, which is to be done every second; `running` is how long the process has been running, by a
    /// clock that never jumps. What is set aside for a full disk is set aside again.
    pub fn keep_time(&self, now: Timestamp, running: Duration) {
        self.tree.history().clock().observe(now, running);
        self.tree.history().keep_spare();
    }

    /// Saves what is remembered, and lets properties follow what they could not before.
    pub fn save_index(&self) -> Result<(), String> {
        // It was told when they could not.
        let _ = self.properties.catch_up();
        if let Some(told) = self.dates.take_unsaved() {
            self.index.note_told(told);
        }
        // The index says why nothing can be saved.
        let _ = self.checksums.save();
        let _ = self.last_changes.save();
        self.index.save().map_err(|error| error.to_string())
    }

    /// Lets versions go by the keep rule; says how many.
    pub fn prune(&self, now: Timestamp) -> Outcome<usize> {
        let history = self.tree.history();
        let gone = history.prune(now)?;
        // What cannot be looked for may be there; and of what is just coming back the notes are still to come, too.
        self.properties.forget_versions(|path, version| {
            self.tree.read_consistent(path, || history.find(path, version)).map_or(true, |found| found.is_some())
                || history.is_not_mounted(path).unwrap_or(true)
        })?;
        Ok(gone)
    }

    /// Ends in good order.
    pub fn close(&self) -> Outcome<()> {
        // What is not saved is looked for by the next process.
        let _ = self.changes.close();
        self.tree.history().clock().note_last_time();
        Ok(self.tree.close()?)
    }

    /// Takes a hint: forgets what it speaks of, and tells whoever listens. No large file is hashed.
    pub fn noticed(&self, hint: &Hint, now: Timestamp) {
        self.hints.count(hint);
        if let Hint::Path(path) = hint
            && let Ok(Some(status)) = self.status_of(path)
            && self.index.recall_unsettled(&status.stamp).is_none()
        {
            self.index.forget(status.stamp.id.inode);
        }
        self.look_at_hint(hint);
        self.feed.tell(self, &Happened::Hinted(hint.clone()), now);
    }

    /// Tells whoever listens that a request has changed something here.
    pub(super) fn tell_of_change(&self, path: &SharePath, now: Timestamp) {
        self.feed.tell(self, &Happened::Changed(path.clone()), now);
    }
}
