//! The history: what was displaced, as plain files in the shape of the tree, and the room it may take.
//!
//! It knows where a version belongs, lists and opens versions, and lets them go by the keep rule. It never touches a name that a client
//! sees; what it unlinks lies in the folder that is noclobber's own.

mod census;
mod clock;
mod empty_folders;
mod layout;
mod pages;
mod release;
mod room;
mod running;
mod spare;
mod spellings;
mod walk;

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use crate::model::keep_rule::Room;
use crate::model::path::{Name, RESERVED, SharePath};
use crate::model::stamp::Timestamp;
use crate::model::version::{Ending, EntryName, VersionId};

use super::disk::{Cause, Dir, Disk, DiskError, Kind, Leased, Opened, Result, Status};
use super::notice::Notice;
use super::spelling::FolderId;
use super::staging;

use census::Memory;
use clock::Clock;
use layout::{EntryFolder, HISTORY, MOUNTS, RUNNING, SWAP, found, in_the_way};
use spare::SPARE;

pub use pages::{KeptVersion, Page, Wanted};
pub use running::Running;

pub(super) use layout::{own_name, relative};
pub(super) use walk::{each_file, remove_tree};

/// How many versions are remembered whose name could not be settled. Of more the oldest are found again after a restart.
const UNSETTLED_MAX: usize = 10_000;

/// For how long before the last version was displaced a start looks at versions once more: longer than they wait for their second look.
const LAST_MOMENTS: Duration = Duration::from_secs(20);

/// What a folder takes at most while it is small, in bytes.
const FOLDER_BYTES: u64 = 4096;

/// What the history may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepLimits {
    /// Versions older than this are let go.
    pub age_max: Duration,
    /// All versions together take at most this many hundredths of the file system.
    pub percent_max: u8,
}

/// The history of a share, or the place where displaced files wait to be let go, where there is none.
#[derive(Debug)]
pub struct History {
    disk: Arc<dyn Disk>,
    limits: Option<KeepLimits>,
    /// The folders of noclobber's own in which this process has noted that commits may be under way.
    begun: Mutex<HashSet<FolderId>>,
    running: Running,
    /// Versions whose name could not be settled, so that it is none that could be told from their identifier.
    unsettled: Mutex<BTreeMap<VersionId, EntryName>>,
    /// Read while a folder of the history is being used, written while empty ones are removed.
    folders: RwLock<()>,
    /// Held while the keep rule is applied, which may take long. Nobody but who applies it waits for this.
    pruning: Mutex<()>,
    /// Held while room is made, and by whoever applies the keep rule for each version that goes, so that no two do it for the same room.
    making_room: Mutex<()>,
    memory: Mutex<Memory>,
    /// How often a place was asked for: after that the history may hold more.
    places: AtomicU64,
    /// Whether the spare room is to be set aside, because it never was, or was used.
    spare_is_due: AtomicBool,
    clock: Mutex<Option<Clock>>,
    notices: Mutex<Vec<Notice>>,
}

/// The folder that holds the versions of one path.
#[derive(Debug)]
pub struct Place<'a> {
    /// The folder.
    pub dir: Dir,
    made_in: Vec<Dir>,
    running: Running,
    /// `None` where another place is held for longer.
    _in_use: Option<RwLockReadGuard<'a, ()>>,
}

/// The folder for uploads that need a name of their own.
#[derive(Debug)]
pub struct UploadFolder {
    /// The folder.
    pub dir: Dir,
    /// Held for as long as an upload has a name in it.
    pub running: Running,
}

/// A version of a path, or an entry that recovery has to settle.
#[derive(Clone, Debug)]
pub struct Version {
    /// Its name, taken apart.
    pub name: EntryName,
    /// Its name as it stands on the disk, which may have folded its case.
    pub entry: Name,
    /// What it is.
    pub status: Status,
}

/// An entry somewhere in the history.
#[derive(Clone, Debug)]
pub struct Found {
    /// The top of the mount whose history it is in.
    top: Dir,
    /// The folder it lies in, from there.
    folder: Box<[u8]>,
    /// The path it is a version of.
    pub path: SharePath,
    /// The version.
    pub version: Version,
    /// What the folders take that are there for its path, if it is the last version that goes.
    folders: Room,
}

/// Whether somebody has a file open for writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Writers {
    /// Nobody has.
    None,
    /// The disk cannot say.
    Unseen,
    /// Somebody has.
    Some,
}

impl Found {
    /// Opens the folder it lies in. Many entries may be found at once, so none keeps its folder open.
    pub fn dir(&self, disk: &dyn Disk) -> Result<Dir> {
        disk.open_dir(&self.top, &self.folder)
    }

    /// Whether it was displaced while there was no history.
    pub fn is_in_swap(&self) -> bool {
        self.folder.starts_with(format!("{RESERVED}/{SWAP}").as_bytes())
    }
}

impl History {
    /// The history of a share that keeps versions within `limits`; without limits nothing is kept.
    pub fn new(disk: Arc<dyn Disk>, limits: Option<KeepLimits>) -> Self {
        Self {
            disk,
            limits,
            begun: Mutex::default(),
            running: Running::default(),
            unsettled: Mutex::default(),
            folders: RwLock::default(),
            pruning: Mutex::default(),
            making_room: Mutex::default(),
            memory: Mutex::default(),
            places: AtomicU64::new(0),
            spare_is_due: AtomicBool::new(true),
            clock: Mutex::default(),
            notices: Mutex::default(),
        }
    }

    /// Whether displaced files are kept.
    pub fn keeps(&self) -> bool {
        self.limits.is_some()
    }

    /// The folder for the versions of `path`, whose parent lies on `mount`; made where it is not there yet. On a full disk the room for it
    /// is made, or taken from what is set aside for that.
    pub fn place(&self, path: &SharePath, mount: u64, now: Timestamp) -> Result<Place<'_>> {
        let place = || {
            let in_use = self.folders.read().unwrap_or_else(PoisonError::into_inner);
            self.make_place(path, mount, Some(in_use))
        };
        let placed = place();
        let Some(full) = placed.as_ref().err().and_then(DiskError::full) else { return placed };
        let folders = path.names().count() as u64 + 3;
        let wanted = Room { bytes: folders * FOLDER_BYTES, files: folders };
        let top = self.top_of(path, mount)?.1;
        let placed = if self.make_room(&top, wanted, full, now) { place() } else { placed };
        let placed = if is_full(&placed) && self.use_spare(&top)? { place() } else { placed };
        if is_full(&placed) {
            self.remove_empty_folders(std::slice::from_ref(path));
        }
        placed
    }

    /// One more place, for as long as `beside` is held: whoever waited for the folders a second time could wait for himself.
    pub fn place_beside<'a>(&'a self, _beside: &'a Place<'_>, path: &SharePath, mount: u64) -> Result<Place<'a>> {
        let placed = self.make_place(path, mount, None);
        if is_full(&placed) && self.use_spare(&self.top_of(path, mount)?.1)? {
            return self.make_place(path, mount, None);
        }
        placed
    }

    fn make_place<'a>(
        &'a self,
        path: &SharePath,
        mount: u64,
        in_use: Option<RwLockReadGuard<'a, ()>>,
    ) -> Result<Place<'a>> {
        self.places.fetch_add(1, Ordering::Relaxed);
        let (top_path, top) = self.top_of(path, mount)?;
        let running = self.begin(&top_path, &top)?;
        let below_top = relative(path, &top_path);
        if let Ok(dir) = self.disk.open_dir(&top, &self.entries_of(self.area(), below_top)) {
            return Ok(Place { dir, made_in: Vec::new(), running, _in_use: in_use });
        }
        let mut made_in = Vec::new();
        let mut dir = top;
        for name in Self::names_to(self.area(), below_top) {
            if self.make_dir(&dir, &name)? {
                made_in.push(dir.clone());
            }
            dir = self.disk.open_dir(&dir, name.as_bytes()).map_err(in_the_way)?;
        }
        Ok(Place { dir, made_in, running, _in_use: in_use })
    }

    /// The folder for uploads that need a name of their own, on the mount of `path`.
    pub fn swap(&self, path: &SharePath, mount: u64) -> Result<UploadFolder> {
        let (top_path, top) = self.top_of(path, mount)?;
        let running = self.begin(&top_path, &top)?;
        let mut dir = top;
        for name in Self::names_to(SWAP, b"") {
            self.make_dir(&dir, &name)?;
            dir = self.disk.open_dir(&dir, name.as_bytes()).map_err(in_the_way)?;
        }
        Ok(UploadFolder { dir, running })
    }

    /// What to hold for as long as something is left of a commit.
    pub fn running(&self) -> Running {
        self.running.clone()
    }

    /// The set is whole whatever thread panicked beside it.
    fn begun(&self) -> MutexGuard<'_, HashSet<FolderId>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens one version of `path`.
    pub fn open(&self, path: &SharePath, id: &VersionId) -> Result<Opened> {
        let Some(found) = self.find(path, id)? else { return Ok(Opened::Nothing) };
        self.disk.open(&found.dir(&*self.disk)?, &found.version.entry)
    }

    /// One version of `path`. It is opened by its name, however many there are.
    pub fn find(&self, path: &SharePath, id: &VersionId) -> Result<Option<Found>> {
        self.find_in(HISTORY, path, id)
    }

    /// What a change of `path` displaced just now, whether it is kept or not.
    pub fn find_displaced(&self, path: &SharePath, id: &VersionId) -> Result<Option<Found>> {
        self.find_in(self.area(), path, id)
    }

    fn find_in(&self, area: &str, path: &SharePath, id: &VersionId) -> Result<Option<Found>> {
        let (top, folders) = self.where_all_entries_lie(area, path)?;
        let name = EntryName::settled(id.clone());
        let unsettled = self.unsettled().get(id).map(EntryName::to_name);
        let entries: Vec<_> = [name.to_name(), name.to_lowercase_name()].into_iter().chain(unsettled).collect();
        for EntryFolder { path, folder } in folders {
            let Some(dir) = found(self.disk.open_dir(&top, &folder))? else { continue };
            for entry in &entries {
                if let Some(status) = self.disk.look(&dir, entry)?
                    && matches!(status.kind, Kind::File | Kind::Dir)
                {
                    let version = Version { name, entry: entry.clone(), status };
                    return Ok(Some(Found { top, folder, path, version, folders: Room::default() }));
                }
            }
        }
        Ok(None)
    }

    /// Takes note that an entry is a version although its name could not be settled. Recovery settles it.
    pub fn could_not_settle(&self, entry: &EntryName) {
        let mut unsettled = self.unsettled();
        if unsettled.len() == UNSETTLED_MAX {
            unsettled.pop_first();
        }
        unsettled.insert(entry.id.clone(), entry.clone());
    }

    /// The map is whole whatever thread panicked beside it.
    fn unsettled(&self) -> MutexGuard<'_, BTreeMap<VersionId, EntryName>> {
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an entry is a version, and not something that a commit is still about.
    fn is_version(&self, entry: &EntryName) -> bool {
        entry.ending == Ending::Settled || self.unsettled().get(&entry.id) == Some(entry)
    }

    /// An entry of a path, if it is there still.
    pub fn find_entry(&self, path: &SharePath, name: &EntryName) -> Result<Option<Found>> {
        let entry = name.to_name();
        let mut places: Vec<_> = self.places_in(&self.tops()?, path).collect();
        // Not every file system is noted, where the top of the share cannot be written.
        places.push(self.where_entries_lie(self.area(), path)?);
        for (top, folder) in places {
            if let Some(dir) = found(self.disk.open_dir(&top, &folder))?
                && let Some(status) = self.disk.look(&dir, &entry)?
            {
                let version = Version { name: name.clone(), entry, status };
                return Ok(Some(Found { top, folder, path: path.clone(), version, folders: Room::default() }));
            }
        }
        Ok(None)
    }

    /// Removes an entry that is not wanted any more: a file, or a tree.
    pub fn let_go(&self, dir: &Dir, name: &Name) -> Result<()> {
        match self.disk.look(dir, name)? {
            None => Ok(()),
            Some(status) if status.kind == Kind::Dir => remove_tree(&*self.disk, dir, name),
            Some(_) => self.disk.unlink(dir, name),
        }
    }

    /// What a person should hear of, since this was last asked.
    pub fn notices(&self) -> Vec<Notice> {
        std::mem::take(&mut *self.notices.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn tell(&self, notice: Notice) {
        self.notices.lock().unwrap_or_else(PoisonError::into_inner).push(notice);
    }

    /// Whether an earlier process may have left commits unfinished.
    pub fn was_left_running(&self) -> Result<bool> {
        for own in self.own_folders()? {
            if self.disk.look(&own, &own_name(RUNNING))?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What is to be settled: the entries that a commit left with a tail, all that was displaced while there was no history, and the versions of
    /// the last moments, whose second look is still to come. What unfinished uploads left is removed.
    pub fn left_behind(&self) -> Result<Vec<Found>> {
        for top in self.tops()? {
            if let Some(swap) = found(self.disk.open_dir(&top.dir, &self.entries_of(SWAP, b"")))?
                && let Err(error) = staging::sweep(&*self.disk, &swap)
            {
                self.tell_once_of_folder(&top.path, &error);
            }
        }
        let mut left = self.walk(HISTORY, &SharePath::root())?;
        let displaced = |found: &Found| found.version.name.id.time();
        let last = left.iter().map(displaced).max().unwrap_or_default();
        left.retain(|found| match found.version.name.ending {
            Ending::Tail(_) => true,
            Ending::Settled => last.since(displaced(found)) <= LAST_MOMENTS,
            Ending::Upload => false,
        });
        let mut displaced = self.walk(SWAP, &SharePath::root())?;
        displaced.retain(|found| found.version.name.ending != Ending::Upload);
        left.extend(displaced);
        Ok(left)
    }

    /// Says that the next start need not look for commits, if none is under way and nothing is left of one. Whatever begins after that takes it
    /// back.
    pub fn ends_running(&self) -> Result<()> {
        let mut begun = self.begun();
        if self.running.is_held() {
            return Ok(());
        }
        begun.clear();
        for own in self.own_folders()? {
            match self.disk.unlink(&own, &own_name(RUNNING)) {
                Err(error) if error.cause != Cause::NotFound => return Err(error),
                _ => self.disk.sync_dir(&own)?,
            }
        }
        Ok(())
    }

    /// Which folders are noclobber's own, on every file system of the share: whatever name leads to them.
    pub(super) fn own_folder_ids(&self) -> Result<Vec<FolderId>> {
        let mut ids = Vec::new();
        for own in self.own_folders()? {
            let status = self.disk.dir_status(&own)?;
            ids.push((status.device, status.stamp.id));
            for inside in [HISTORY, SWAP, MOUNTS, SPARE] {
                let status = self.disk.look(&own, &own_name(inside))?;
                ids.extend(status.map(|status| (status.device, status.stamp.id)));
            }
        }
        Ok(ids)
    }

    /// Whether it is a file that somebody has open for writing, or a folder with such a file in it, as far as can be told.
    pub fn is_busy(&self, dir: &Dir, name: &Name) -> Result<bool> {
        Ok(self.writers(dir, name)? == Writers::Some)
    }

    /// Who has a file open for writing, or a file in a folder.
    fn writers(&self, dir: &Dir, name: &Name) -> Result<Writers> {
        match self.disk.open(dir, name)? {
            Opened::File(file, _) => Ok(Writers::of(&self.disk.lease(&file, Duration::ZERO)?)),
            Opened::Dir(_) => {
                let mut writers = Writers::None;
                each_file(&*self.disk, self.disk.open_dir(dir, name.as_bytes())?, &mut |dir, entry| {
                    if entry.status.kind == Kind::File && writers != Writers::Some {
                        writers = writers.max(self.writers(dir, &entry.name)?);
                    }
                    Ok(())
                })?;
                Ok(writers)
            }
            _ => Ok(Writers::None),
        }
    }
}

impl Writers {
    fn of(leased: &Leased) -> Self {
        match leased {
            Leased::Held(_) => Self::None,
            Leased::Unavailable => Self::Unseen,
            Leased::Busy => Self::Some,
        }
    }
}

impl Place<'_> {
    /// What to hold for as long as something in it has not been settled.
    pub fn running(&self) -> Running {
        self.running.clone()
    }

    /// Brings the folder to the disk, and before it every one above that was made for it.
    pub fn sync(&self, disk: &dyn Disk) -> Result<()> {
        self.made_in.iter().try_for_each(|dir| disk.sync_dir(dir))?;
        disk.sync_dir(&self.dir)
    }
}

fn is_full<T>(result: &Result<T>) -> bool {
    result.as_ref().is_err_and(|error| error.full().is_some())
}
