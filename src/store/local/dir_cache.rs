//! The members of folders that are listed again and again, in memory, and never staler than a look at each of them would have been.
//!
//! Only folders that are remembered are watched. Before each answer the system is asked what has happened in them, under one lock with the marking
//! of the names, so that nobody finds nothing to ask for whose last word another thread has not marked yet. Word of a change is never
//! believed: it only names what is looked at. Members of which the system would not tell are looked at each time, and now and then all are.
//! Whatever cannot be had (a watch, the memory, a system that tells) makes a folder one that is read each time it is listed.
//!
//! The promise never leans on it: a change looks at the disk itself.

mod dirty;
mod folder_key;
mod kept_forms;
mod members;
mod newcomers;
mod page;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use super::disk::{Disk, FolderChange, WatchId};
use crate::model::stamp::Timestamp;
use crate::store::disk_error::Result;
use crate::store::handle::Dir;
use crate::store::status::Status;
use dirty::Dirty;
use folder_key::FolderKey;
use members::{Members, Moment};
use newcomers::Newcomers;

pub use kept_forms::KeptForms;
pub use page::Page;

/// How many folders are remembered. A user may have some thousand watches at least, and others need them too.
const FOLDERS_MAX: usize = 4096;

/// How much all of them may take, in bytes, with what was written of them for clients: about 100,000 members.
const BYTES_MAX: usize = 64 << 20;

/// How long a folder is remembered that nobody lists: whoever writes into it pays for the watch.
const UNASKED_MAX: Duration = Duration::from_secs(60);

/// How much may be done for an answer that is at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// A few looks, and no waiting for others.
    Little,
    /// Some more, but not a look at all members.
    Some,
}

/// How many looks are little, and how many are some.
const LITTLE: usize = 64;
const SOME: usize = 4096;

/// The folders that are remembered.
#[derive(Debug)]
pub struct DirCache {
    disk: Arc<dyn Disk>,
    limits: Limits,
    /// Taken after the members of a folder by whoever has both, and before the dirty names of one.
    table: Mutex<Table>,
}

/// The bounds of what is remembered.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many folders.
    pub folders_max: usize,
    /// How many bytes all of them take.
    pub bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { folders_max: FOLDERS_MAX, bytes_max: BYTES_MAX }
    }
}

#[derive(Debug, Default)]
struct Table {
    by_key: HashMap<FolderKey, Remembered>,
    by_watch: HashMap<WatchId, FolderKey>,
    newcomers: Newcomers,
    /// What all folders take together.
    bytes: usize,
}

#[derive(Debug)]
struct Remembered {
    folder: Arc<Folder>,
    bytes: usize,
}

/// A folder that is remembered.
#[derive(Debug)]
struct Folder {
    key: FolderKey,
    watch: WatchId,
    /// When it was last listed, in nanoseconds of [`Timestamp`].
    asked: AtomicI64,
    dirty: Mutex<Dirty>,
    members: Mutex<Members>,
    /// Counts the listings and the looks.
    moments: AtomicU64,
    /// What was written of the folder itself.
    forms: KeptForms,
}

/// The members of a folder as they were at one moment since they were asked for, for whoever tells of them. No lock is held.
#[derive(Debug)]
pub struct KnownMembers {
    folder: Arc<Folder>,
    pages: Vec<Arc<Page>>,
    /// How much may be kept of what is written of them, in bytes.
    room: AtomicUsize,
}

impl KnownMembers {
    /// The members, in pages.
    pub fn pages(&self) -> &[Arc<Page>] {
        &self.pages
    }

    /// What was written of the folder itself.
    pub fn forms(&self) -> &KeptForms {
        &self.folder.forms
    }

    /// Keeps what was written of a page, or of the folder itself, if there is room.
    pub fn keep(&self, forms: &KeptForms, form: &[u8], bytes: &Bytes, now: Timestamp) -> bool {
        let less = |room: usize| room.checked_sub(bytes.len() + form.len());
        let has_room = self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok();
        if has_room {
            forms.keep(form, bytes, now);
        }
        has_room
    }
}

impl DirCache {
    /// Remembers folders of this disk, within these bounds.
    pub fn new(disk: Arc<dyn Disk>, limits: Limits) -> Self {
        Self { disk, limits, table: Mutex::default() }
    }

    /// The members of an open folder of this status, brought up to date; `None` where they are not remembered, so that the folder is to be read.
    pub fn members(&self, dir: &Dir, status: &Status, now: Timestamp) -> Result<Option<KnownMembers>> {
        let Some(folder) = self.find_or_begin(dir, status, now) else { return Ok(None) };
        let came = folder.next_moment();
        let mut members = folder.members.lock();
        let dirty = std::mem::take(&mut *folder.dirty.lock());
        let is_known = match members.looks_for(&dirty, came, now) {
            Some(_) => members.look_again(&*self.disk, dir, &dirty, came, || folder.next_moment()).map(|()| true),
            None => {
                let meanwhile = || self.changed_meanwhile(&folder);
                members.look_at_all(&*self.disk, dir, self.limits.bytes_max, now, meanwhile)
            }
        };
        match is_known {
            Ok(true) => {
                let pages = members.pages().to_vec();
                let weight = self.weigh(&folder, &members);
                drop(members);
                let room = AtomicUsize::new(self.limits.bytes_max.saturating_sub(weight));
                Ok(Some(KnownMembers { folder, pages, room }))
            }
            ended => {
                *members = Members::default();
                self.turn_away(&folder, ended.is_ok(), now);
                ended.map(|_| None)
            }
        }
    }

    /// As [`DirCache::members`], if that takes no more than so much. Never fails, and begins nothing.
    pub fn members_at_hand(&self, dir: &Dir, status: &Status, effort: Effort, now: Timestamp) -> Option<KnownMembers> {
        let folder = {
            let mut table = if effort == Effort::Little { self.table.try_lock()? } else { self.table.lock() };
            self.take_in_changes(&mut table);
            Arc::clone(&table.by_key.get(&FolderKey::of(status))?.folder)
        };
        let came = folder.next_moment();
        let (mut members, looks_max) = match effort {
            Effort::Little => (folder.members.try_lock()?, LITTLE),
            Effort::Some => (folder.members.lock(), SOME),
        };
        let dirty = {
            let mut dirty = folder.dirty.lock();
            members.looks_for(&dirty, came, now).filter(|looks| *looks <= looks_max)?;
            std::mem::take(&mut *dirty)
        };
        folder.asked.store(now.nanoseconds(), Ordering::Relaxed);
        members.look_again(&*self.disk, dir, &dirty, came, || folder.next_moment()).ok()?;
        let pages = members.pages().to_vec();
        drop(members);
        Some(KnownMembers { folder, pages, room: AtomicUsize::new(0) })
    }

    /// Takes note of what was written of members: it counts as well.
    pub fn weigh_again(&self, known: &KnownMembers) {
        self.weigh(&known.folder, &known.folder.members.lock());
    }

    /// Forgets the folders that nobody has listed for a while, and keeps what the system has to tell short.
    pub fn let_go(&self, now: Timestamp) {
        let mut table = self.table.lock();
        self.take_in_changes(&mut table);
        let is_over = |folder: &Folder| now.since(folder.asked()) > UNASKED_MAX;
        let over: Vec<_> = table.by_key.values().filter(|it| is_over(&it.folder)).map(|it| it.folder.key).collect();
        over.into_iter().for_each(|key| self.forget(&mut table, key));
    }

    /// How many folders are remembered.
    pub fn len(&self) -> usize {
        self.table.lock().by_key.len()
    }

    /// Whether no folder is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The folder, with all names marked that changed before this was asked. One that comes again is watched from now on, and read after that.
    fn find_or_begin(&self, dir: &Dir, status: &Status, now: Timestamp) -> Option<Arc<Folder>> {
        let key = FolderKey::of(status);
        let mut table = self.table.lock();
        self.take_in_changes(&mut table);
        if let Some(remembered) = table.by_key.get(&key) {
            remembered.folder.asked.store(now.nanoseconds(), Ordering::Relaxed);
            return Some(Arc::clone(&remembered.folder));
        }
        if !table.newcomers.comes_again(key, now) {
            return None;
        }
        while table.by_key.len() >= self.limits.folders_max {
            self.forget_the_oldest(&mut table, key);
        }
        let Some(watch) = self.disk.watch(dir) else {
            table.newcomers.turn_away(key, now);
            return None;
        };
        // By another mount it is the same watch: the folder goes over to the one by which it is listed now.
        if let Some(other) = table.by_watch.insert(watch, key) {
            table.take_out(other);
        }
        let folder = Arc::new(Folder {
            key,
            watch,
            asked: AtomicI64::new(now.nanoseconds()),
            dirty: Mutex::default(),
            members: Mutex::default(),
            moments: AtomicU64::new(1),
            forms: KeptForms::default(),
        });
        table.by_key.insert(key, Remembered { folder: Arc::clone(&folder), bytes: 0 });
        Some(folder)
    }

    /// Marks the names at which something has happened. Whoever holds the table finds nothing unmarked that had happened before.
    fn take_in_changes(&self, table: &mut Table) {
        if table.by_watch.is_empty() {
            return;
        }
        self.disk.changes(&mut |change| match change {
            FolderChange::At(watch, name) => {
                if let Some(folder) = table.watched(watch) {
                    folder.dirty.lock().add(name);
                }
            }
            FolderChange::Ended(watch) => {
                if let Some(key) = table.by_watch.remove(&watch) {
                    table.take_out(key);
                }
            }
            FolderChange::Lost => table.by_key.values().for_each(|it| it.folder.dirty.lock().add_all()),
        });
    }

    /// What has changed in a folder since its changes were last taken.
    fn changed_meanwhile(&self, folder: &Folder) -> Dirty {
        self.take_in_changes(&mut self.table.lock());
        let mut dirty = folder.dirty.lock();
        // Another look at all of them is for the next time.
        if dirty.is_all() { Dirty::default() } else { std::mem::take(&mut *dirty) }
    }

    /// Notes how much a folder takes, in bytes, and makes room for it.
    fn weigh(&self, folder: &Folder, members: &Members) -> usize {
        let bytes = members.weight() + folder.forms.weight();
        let mut table = self.table.lock();
        let Some(remembered) = table.by_key.get_mut(&folder.key).filter(|it| it.folder.watch == folder.watch) else {
            return bytes;
        };
        let before = std::mem::replace(&mut remembered.bytes, bytes);
        table.bytes = table.bytes + bytes - before;
        while table.bytes > self.limits.bytes_max {
            self.forget_the_oldest(&mut table, folder.key);
        }
        bytes
    }

    /// Forgets the folder that was not listed for the longest time; this one only if there is no other.
    fn forget_the_oldest(&self, table: &mut Table, spared: FolderKey) {
        let oldest = table.by_key.values().min_by_key(|it| (it.folder.key == spared, it.folder.asked()));
        if let Some(key) = oldest.map(|it| it.folder.key) {
            self.forget(table, key);
        }
    }

    fn forget(&self, table: &mut Table, key: FolderKey) {
        if let Some(folder) = table.take_out(key) {
            table.by_watch.remove(&folder.watch);
            self.disk.unwatch(folder.watch);
        }
    }

    /// Forgets a folder that cannot be remembered, for a while if it is for its size.
    fn turn_away(&self, folder: &Folder, is_too_large: bool, now: Timestamp) {
        let mut table = self.table.lock();
        if table.by_watch.get(&folder.watch) == Some(&folder.key) {
            self.forget(&mut table, folder.key);
        }
        if is_too_large {
            table.newcomers.turn_away(folder.key, now);
        }
    }
}

impl Table {
    fn watched(&self, watch: WatchId) -> Option<&Folder> {
        Some(&*self.by_key.get(self.by_watch.get(&watch)?)?.folder)
    }

    fn take_out(&mut self, key: FolderKey) -> Option<Arc<Folder>> {
        let Remembered { folder, bytes } = self.by_key.remove(&key)?;
        self.bytes -= bytes;
        Some(folder)
    }
}

impl Folder {
    /// The place of whatever comes or begins now.
    fn next_moment(&self) -> Moment {
        self.moments.fetch_add(1, Ordering::AcqRel)
    }

    fn asked(&self) -> Timestamp {
        Timestamp::from_nanoseconds(self.asked.load(Ordering::Relaxed))
    }
}
