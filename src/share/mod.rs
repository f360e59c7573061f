//! Floor 2: the promise. Synchronous. Knows the model and the store, no clock and no HTTP.
//!
//! Every change is a compare-and-swap from a state that was just seen: look, decide, swap; if the swap loses, look again, a bounded number of
//! times. Headers only decide whether we may try.

mod dates;
mod deleted;
mod hashing;
mod hints;
mod identity;
mod judge;
mod listing;
mod locks;
pub mod outcome;
mod properties;
mod read;
mod refused;
mod relocate;
mod under_way;
mod uploads;
mod versions;
mod write;

use std::borrow::Cow;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::model::path::SharePath;
use crate::model::stamp::Timestamp;
use crate::store::checksums::Checksums;
use crate::store::commit::{LastLink, Tree};
use crate::store::disk::{Abilities, Disk, DiskError};
use crate::store::history::{History, KeepLimits};
use crate::store::index::Index;
use crate::store::notice::Notice;
use crate::store::properties::{Properties, PropertyLimits};
use crate::store::staging::RoomAhead;

use dates::Dates;
use hashing::Slots;
use hints::Hints;
use locks::LockTable;
use outcome::{Refusal, Stop};
use refused::Refused;
use uploads::Uploads;

pub use crate::store::disk::{Cause, Full, Kind};
pub use crate::store::history::{KeptVersion, Page, Wanted};
pub use crate::store::index::{IndexError, ShareIdentity};
pub use deleted::{DeletedWish, Walked};
pub use hashing::Unhashed;
pub use identity::{Effort, Identity};
pub use listing::Listed;
pub use locks::{LockWish, Taken};
pub use properties::{Amendment, Notes};
pub use read::{Content, FoundFolder, Occupant, Spot, Target};
pub use relocate::{CopyLimit, Relocated, Relocation};
pub use uploads::UploadWatch;
pub use versions::KeptAt;
pub use write::{Removed, Stored, Upload};

/// What the file of the index is called.
pub const INDEX: &str = "index.redb";

/// What a share is told to do, apart from where it lies.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the history may keep; without it nothing is kept.
    pub keep: Option<KeepLimits>,
    /// Whether a change of a file must name the version it replaces.
    pub require_preconditions: bool,
    /// Files larger than this, in bytes, are not hashed before they are answered.
    pub tag_threshold: u64,
    /// How many large files are hashed at once in the middle of requests.
    pub hashing_max: usize,
    /// Whether what clients note on files is brought to the disk before it is answered.
    pub syncs: bool,
    /// Whether somebody who has not said who he is may lock the share itself, and with it everybody else out.
    pub root_locks: bool,
    /// How much clients may note on files and folders.
    pub properties: PropertyLimits,
}

impl Default for Settings {
    /// Without a history, and with the bounds that the program has where nothing else is said.
    fn default() -> Self {
        Self {
            keep: None,
            require_preconditions: false,
            tag_threshold: 8 << 20,
            hashing_max: 1,
            syncs: true,
            root_locks: false,
            properties: PropertyLimits::default(),
        }
    }
}

/// The folder that is served, and all that the server knows about it.
#[derive(Debug)]
pub struct Share {
    tree: Tree,
    index: Index,
    properties: Properties,
    checksums: Checksums,
    /// Whether notes did not follow the last change that they should have followed.
    notes_stay_behind: AtomicBool,
    locks: LockTable,
    refused: Refused,
    uploads: Arc<Uploads>,
    dates: Dates,
    /// What all uploads have set aside for bytes that are still to come.
    ahead: Arc<RoomAhead>,
    hashing: Slots,
    is_stopping: AtomicBool,
    hints: Hints,
    settings: Settings,
}

/// Word from the watcher that something may have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// At this path.
    Path(SharePath),
    /// Anywhere below this path.
    Subtree(SharePath),
    /// Anywhere: events were lost.
    Anywhere,
}

impl Share {
    /// A share on this disk. What an earlier process left unfinished is settled before anything is served.
    pub fn open(disk: Arc<dyn Disk>, index: Index, settings: Settings, now: Timestamp) -> outcome::Outcome<Self> {
        let mut share = Self::only_to_look(disk, index, settings);
        share.dates = Dates::after(share.index.told_before(), now);
        share.tree.history().check_own_folders()?;
        share.take_up_locks(now)?;
        share.tree.recover(now)?;
        Ok(share)
    }

    /// A share on a disk that another process may be serving: to look at, not to change.
    pub fn only_to_look(disk: Arc<dyn Disk>, index: Index, settings: Settings) -> Self {
        let history = History::new(Arc::clone(&disk), settings.keep);
        Self {
            tree: Tree::new(disk, history),
            properties: index.properties(settings.syncs, settings.properties),
            checksums: index.checksums(),
            notes_stay_behind: AtomicBool::new(false),
            index,
            locks: LockTable::new(),
            refused: Refused::default(),
            uploads: Arc::default(),
            dates: Dates::since(Timestamp::default()),
            ahead: Arc::default(),
            hashing: Slots::new(settings.hashing_max),
            is_stopping: AtomicBool::new(false),
            hints: Hints::default(),
            settings,
        }
    }

    /// Opens the index of a share that is kept in this folder.
    pub fn open_index(state: &Path, share: &ShareIdentity) -> Result<Index, IndexError> {
        Index::open(&state.join(INDEX), share)
    }

    /// What the file system can do.
    pub fn abilities(&self) -> Abilities {
        self.tree.disk().abilities()
    }

    /// Looks at the folder that is served now, for whoever watches it; `None` if there is none, or none that the system knows.
    pub fn at_folder<T>(&self, look: impl FnOnce(BorrowedFd<'_>) -> T) -> Option<T> {
        Some(look(self.tree.disk().root_afresh().ok()?.0.fd()?))
    }

    /// Whether displaced versions are kept.
    pub fn keeps_history(&self) -> bool {
        self.tree.history().keeps()
    }

    /// What is done now and then: second looks at what was displaced, and what is remembered is saved. Says what a person should hear of.
    pub fn tick(&self, now: Timestamp) -> Vec<Notice> {
        self.tree.second_look(now);
        self.expire_locks(now);
        self.dates.watch_the_clock(now);
        self.tree.notices()
    }

    /// Observes the clock by which versions age, which is to be done every second; `running` is how long the process has been running, by a
    /// clock that never jumps. What is set aside for a full disk is set aside again.
    pub fn keep_time(&self, now: Timestamp, running: Duration) {
        self.tree.history().keep_time(now, running);
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
        self.index.save().map_err(|error| error.to_string())
    }

    /// Lets versions go by the keep rule; says how many.
    pub fn prune(&self, now: Timestamp) -> outcome::Outcome<usize> {
        let history = self.tree.history();
        let gone = history.prune(now)?;
        // What cannot be looked for may be there; and of what is just coming back the notes are still to come, too.
        self.properties.forget_versions(|path, version| {
            self.tree.steadily(path, || history.find(path, version)).map_or(true, |found| found.is_some())
                || history.is_not_mounted(path).unwrap_or(true)
        })?;
        Ok(gone)
    }

    /// Ends hashing and copying, whoever wants it, and lets none begin: nobody waits for it when the server stops.
    pub fn stop_what_takes_long(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }

    /// Ends in good order.
    pub fn close(&self) -> outcome::Outcome<()> {
        self.tree.history().note_last_time();
        Ok(self.tree.close()?)
    }

    /// Takes a hint: forgets what it speaks of, looks, and tells the uploads in flight whose validator has gone stale, or may have. No large file is
    /// hashed.
    pub fn noticed(&self, hint: &Hint, now: Timestamp) {
        self.hints.count(hint);
        if let Hint::Path(path) = hint
            && let Ok(Some(status)) = self.status_of(path)
            && self.index.recall_unsettled(&status.stamp).is_none()
        {
            self.index.forget(status.stamp.id.inode);
        }
        self.tell_uploads(hint, now);
    }

    /// Nothing is held while an upload is judged that a commit would wait for.
    fn tell_uploads(&self, hint: &Hint, now: Timestamp) {
        self.uploads.recheck(hint, |path, precondition| self.judge_in_flight(path, precondition, now));
    }

    /// The path that the disk has for what is to be changed: all that is kept by path goes by it. A link at its end is meant itself.
    fn spelled<'p>(&self, path: &'p SharePath) -> outcome::Outcome<Cow<'p, SharePath>> {
        self.tree.spelled(path, LastLink::Itself).map_err(|error| self.stop(error, Refusal::NotFound))
    }

    /// As [`Share::spelled`], for what is to be read: what a link at its end leads to.
    fn spelled_to_read<'p>(&self, path: &'p SharePath) -> outcome::Outcome<Cow<'p, SharePath>> {
        self.tree.spelled(path, LastLink::Followed).map_err(|error| self.stop(error, Refusal::NotFound))
    }

    /// The path by which all is kept that belongs to what is read at a path; that path itself where nothing is.
    pub fn place_of(&self, path: &SharePath) -> SharePath {
        self.spelled_to_read(path).map_or_else(|_| path.clone(), Cow::into_owned)
    }

    /// The path of what was just made there: some disks write a name in their own way, all in small letters or decomposed.
    fn as_made<'p>(&self, path: &'p SharePath) -> Cow<'p, SharePath> {
        self.spelled(path).unwrap_or(Cow::Borrowed(path))
    }

    /// Why a link is not changed: it is served as what it leads to, or it is not there for anybody.
    fn refusal_of_link(&self, link: &SharePath) -> Refusal {
        let is_served = self.spelled_to_read(link).is_ok_and(|path| {
            let there = if *path == *link { Ok(None) } else { self.status_of(&path) };
            matches!(there, Ok(Some(status)) if matches!(status.kind, Kind::File | Kind::Dir))
        });
        if is_served { Refusal::NotAllowed(outcome::Forbidden::Link) } else { Refusal::NotFound }
    }

    fn status_of(&self, path: &SharePath) -> Result<Option<crate::store::disk::Status>, DiskError> {
        let disk = self.tree.disk();
        disk.look_path(&disk.root()?, path.as_bytes())
    }

    /// What an error of the disk means to a client. A missing name is told apart from a missing share.
    fn stop(&self, error: DiskError, missing: Refusal) -> Stop {
        match error.cause {
            Cause::Reserved => Refusal::NotFound.into(),
            Cause::NotFound | Cause::NotADirectory | Cause::Escapes => {
                if self.tree.disk().root_afresh().is_err() {
                    Refusal::ShareGone.into()
                } else {
                    missing.into()
                }
            }
            // What cannot be called so is not there.
            Cause::LongName | Cause::BadName if missing == Refusal::NotFound => missing.into(),
            _ => error.into(),
        }
    }
}
