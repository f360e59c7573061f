//! The folder that is served, and all that the server knows about it: the tables of the share, and the words that every request needs to speak of
//! a path. What a share can do stands in the files beside this one, each with a part of [`Share`]; this file uses none of them.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::model::path::SharePath;
use crate::model::rights::Rights;
use crate::model::stamp::{Stamp, Timestamp};
use crate::os::open_folder::{FolderIdentity, OpenFolder};
use crate::store::abilities::Abilities;
use crate::store::catalog::changes::{ChangeJournal, JournalLimits};
use crate::store::catalog::checksums::Checksums;
use crate::store::catalog::index::Index;
use crate::store::catalog::last_changes::LastChanges;
use crate::store::catalog::properties::{Properties, PropertyLimits};
use crate::store::disk_error::{Cause, DiskError};
use crate::store::local::commit::{LastLink, Site, Tree};
use crate::store::local::history::KeepLimits;
use crate::store::local::staging::RoomAhead;
use crate::store::status::Kind;

use super::copies_under_way::CopiesUnderWay;
use super::dates::Dates;
use super::half_done::UploadTable;
use super::hashing_slots::HashingSlots;
use super::hints::Hints;
use super::listeners::Feed;
use super::lock_table::LockTable;
use super::outcome::{Forbidden, Outcome, Refusal, Stop};
use super::recently_refused::RecentlyRefused;
use super::request_context::RequestContext;
use super::to_look_at::ToLookAt;
use super::wakers::{ServedFolder, Wakers};

/// What a share is told to do, apart from where it lies.
#[derive(Clone, Debug)]
pub struct ShareSettings {
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
    /// How many changes are kept for who asks later.
    pub journal: JournalLimits,
}

/// The folder that is served, and all that the server knows about it.
#[derive(Debug)]
pub struct Share {
    pub(super) tree: Tree,
    pub(super) index: Index,
    pub(super) properties: Properties,
    pub(super) checksums: Checksums,
    pub(super) last_changes: LastChanges,
    /// Whether notes did not follow the last change that they should have followed.
    pub(super) notes_stay_behind: AtomicBool,
    pub(super) locks: LockTable,
    pub(super) refused: RecentlyRefused,
    /// Tells whoever listens what happens.
    pub(super) feed: Arc<Feed<Share>>,
    /// What was told, and what is known.
    pub(super) changes: ChangeJournal,
    /// What is to be looked at, for the feed.
    pub(super) to_look_at: Arc<ToLookAt>,
    /// Whoever is woken when something was told.
    pub(super) wakers: Wakers,
    pub(super) copies: CopiesUnderWay,
    /// Which folder the feed tells of, once that is known.
    pub(super) feed_of: Mutex<Option<ServedFolder>>,
    pub(super) dates: Dates,
    /// What all uploads have set aside for bytes that are still to come.
    pub(super) ahead: Arc<RoomAhead>,
    pub(super) uploads: UploadTable,
    pub(super) hashing: HashingSlots,
    pub(super) is_stopping: AtomicBool,
    pub(super) hints: Hints,
    pub(super) settings: ShareSettings,
}

impl Default for ShareSettings {
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
            journal: JournalLimits::default(),
        }
    }
}

impl Share {
    /// A share of a tree that another process may be serving: to look at, not to change.
    pub fn open_read_only(tree: Tree, index: Index, settings: ShareSettings) -> Self {
        Self {
            tree: tree.keeping(settings.keep),
            properties: index.properties(settings.syncs, settings.properties),
            checksums: index.checksums(),
            last_changes: index.last_changes(),
            notes_stay_behind: AtomicBool::new(false),
            changes: index.changes(settings.journal),
            index,
            locks: LockTable::new(),
            refused: RecentlyRefused::default(),
            feed: Arc::default(),
            to_look_at: Arc::default(),
            wakers: Wakers::default(),
            copies: CopiesUnderWay::default(),
            feed_of: Mutex::default(),
            dates: Dates::since(Timestamp::default()),
            ahead: Arc::default(),
            uploads: UploadTable::default(),
            hashing: HashingSlots::new(settings.hashing_max),
            is_stopping: AtomicBool::new(false),
            hints: Hints::default(),
            settings,
        }
    }

    /// What the file system of the share's top can do.
    pub fn abilities(&self) -> Abilities {
        self.tree.abilities()
    }

    /// Which folder is served now; `None` if there is none, or none that the system knows.
    pub fn folder_identity(&self) -> Option<FolderIdentity> {
        FolderIdentity::of(self.tree.top_afresh().ok()?.0.fd()?).ok()
    }

    /// The folder that is served now, opened once more for whoever watches it; `None` if there is none, or none that the system knows.
    ///
    /// # Errors
    /// What the system says: the process may have no more descriptors.
    pub fn open_folder(&self) -> io::Result<Option<OpenFolder>> {
        let Ok(top) = self.tree.top_afresh() else { return Ok(None) };
        top.0.fd().map(OpenFolder::of).transpose()
    }

    /// Whether displaced versions are kept.
    pub fn keeps_history(&self) -> bool {
        self.tree.history().keeps()
    }

    /// Ends hashing and copying, whoever wants it, and lets none begin: nobody waits for it when the server stops.
    pub fn stop_what_takes_long(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }

    /// The path that the disk has for what is to be changed: all that is kept by path goes by it. A link at its end is meant itself.
    pub(super) fn spelled<'p>(&self, path: &'p SharePath) -> Outcome<Cow<'p, SharePath>> {
        self.tree.spelled(path, LastLink::Itself).map_err(|error| self.stop(error, Refusal::NotFound))
    }

    /// As [`Share::spelled`], for what is to be read: what a link at its end leads to.
    pub(super) fn spelled_to_read<'p>(&self, path: &'p SharePath) -> Outcome<Cow<'p, SharePath>> {
        self.tree.spelled(path, LastLink::Followed).map_err(|error| self.stop(error, Refusal::NotFound))
    }

    /// As [`Share::spelled_to_read`], for a client that has one of these rights there: for another nothing is there.
    pub(super) fn place_to_read<'p>(
        &self,
        path: &'p SharePath,
        one_of: Rights,
        request: &RequestContext,
    ) -> Outcome<Cow<'p, SharePath>> {
        let place = self.spelled_to_read(path)?;
        self.is_permitted(&place, one_of, request)?;
        Ok(place)
    }

    /// Whether a client has one of these rights at the place that a path has led to: if not, nothing is there for it.
    pub(super) fn is_permitted(&self, place: &SharePath, one_of: Rights, request: &RequestContext) -> Outcome<()> {
        if request.permissions.at(place).intersects(one_of) { Ok(()) } else { Err(Refusal::NotSeen.into()) }
    }

    /// The path by which all is kept that belongs to what is read at a path; that path itself where nothing is.
    pub fn place_of(&self, path: &SharePath) -> SharePath {
        self.spelled_to_read(path).map_or_else(|_| path.clone(), Cow::into_owned)
    }

    /// The path of what was just made there: some disks write a name in their own way, all in small letters or decomposed.
    pub(super) fn as_made<'p>(&self, path: &'p SharePath) -> Cow<'p, SharePath> {
        self.spelled(path).unwrap_or(Cow::Borrowed(path))
    }

    /// Where a path leads: its folder, and its name in there. `at_the_top` is why nothing can be done with the share itself, which is in no folder.
    pub(super) fn site(&self, path: &SharePath, at_the_top: Refusal) -> Outcome<Site> {
        let site = self.tree.site(path).map_err(|error| self.stop(error, Refusal::NoParent))?;
        Ok(site.ok_or(at_the_top)?)
    }

    /// Why a link is not changed: it is served as what it leads to, or it is not there for anybody.
    pub(super) fn refusal_of_link(&self, link: &SharePath, request: &RequestContext) -> Refusal {
        let is_served = self.place_to_read(link, Rights::LOOK, request).is_ok_and(|path| {
            let there = if *path == *link { Ok(None) } else { self.status_of(&path) };
            matches!(there, Ok(Some(status)) if matches!(status.kind, Kind::File | Kind::Dir))
        });
        if is_served { Refusal::NotAllowed(Forbidden::Link) } else { Refusal::NotFound }
    }

    pub(super) fn status_of(&self, path: &SharePath) -> Result<Option<crate::store::status::Status>, DiskError> {
        self.tree.look(path)
    }

    /// What an error of the disk means to a client. A missing name is told apart from a missing share.
    pub(super) fn stop(&self, error: DiskError, missing: Refusal) -> Stop {
        match error.cause {
            Cause::Reserved => Refusal::NotFound.into(),
            Cause::NotFound | Cause::NotADirectory | Cause::Escapes => {
                if self.tree.top_afresh().is_err() {
                    Refusal::ShareGone.into()
                } else {
                    missing.into()
                }
            }
            // What cannot be called so is not there.
            Cause::LongName | Cause::BadName if matches!(missing, Refusal::NotFound) => missing.into(),
            _ => error.into(),
        }
    }

    /// Whether a file is too large to be hashed for an answer.
    pub(super) fn is_large(&self, stamp: &Stamp) -> bool {
        stamp.size > self.settings.tag_threshold
    }
}
