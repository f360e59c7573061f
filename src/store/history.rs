//! The history: what was displaced, as plain files in the shape of the tree, and the room it may take.
//!
//! It knows where a version belongs, lists and opens versions, and lets them go by the keep rule. It never touches a name that a client
//! sees; what it unlinks lies in the folder that is noclobber's own.

use std::collections::HashSet;
use std::iter;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use crate::model::path::{Name, RESERVED, SharePath};
use crate::model::stamp::Timestamp;
use crate::model::version::{Ending, EntryName, KeepRule, Kept, VersionId};

use super::disk::{Cause, Dir, Disk, DiskError, Entry, Kind, Leased, Opened, Result, Status};
use super::{naming, staging};

/// The file that stands in noclobber's own folder while a process may have commits under way.
const RUNNING: &str = "running";

/// The folder in there for what is kept.
const HISTORY: &str = "history";

/// The folder in there for unfinished uploads, and for what was displaced and is not kept.
const SWAP: &str = "swap";

/// The folder in there that notes, as folders of the same names, where other file systems in the share have a history.
const MOUNTS: &str = "mounts";

/// Versions younger than this are not let go: a second look is still to come.
const YOUNG: Duration = Duration::from_secs(30);

/// How long a refused upload is kept where there is no history.
const UPLOADS_KEPT: Duration = Duration::from_secs(30 * 86_400);

/// How many empty folders are removed in one go, while commits wait.
const REMOVED_AT_ONCE_MAX: usize = 256;

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
    /// The tops of the mounts on which this process has begun to displace files.
    begun: Mutex<HashSet<SharePath>>,
    /// Read while a folder of the history is being used, written while empty ones are removed.
    folders: RwLock<()>,
    /// How many bytes the versions took that could be let go, when that was last counted.
    bytes: AtomicU64,
}

/// What was let go, and what could have been.
#[derive(Clone, Copy, Debug, Default)]
struct Released {
    count: usize,
    /// How many bytes the versions take that stay.
    stays: u64,
}

/// A file system in the share: where its topmost folder is.
#[derive(Clone, Debug)]
struct Top {
    path: SharePath,
    dir: Dir,
    mount: u64,
}

/// The folder that holds the versions of one path.
#[derive(Debug)]
pub struct Place<'a> {
    /// The folder.
    pub dir: Dir,
    made_in: Vec<Dir>,
    /// `None` where another place is held for longer.
    _in_use: Option<RwLockReadGuard<'a, ()>>,
}

/// A version of a path, or an entry that recovery has to settle.
#[derive(Clone, Debug)]
pub struct Version {
    /// Its name, taken apart.
    pub name: EntryName,
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
        Self { disk, limits, begun: Mutex::default(), folders: RwLock::default(), bytes: AtomicU64::new(0) }
    }

    /// Whether displaced files are kept.
    pub fn keeps(&self) -> bool {
        self.limits.is_some()
    }

    /// The folder for the versions of `path`, whose parent lies on `mount`; made where it is not there yet.
    pub fn place(&self, path: &SharePath, mount: u64) -> Result<Place<'_>> {
        let in_use = self.folders.read().unwrap_or_else(PoisonError::into_inner);
        self.make_place(path, mount, Some(in_use))
    }

    /// One more place, for as long as `beside` is held: whoever waited for the folders a second time could wait for himself.
    pub fn place_beside<'a>(&'a self, _beside: &'a Place<'_>, path: &SharePath, mount: u64) -> Result<Place<'a>> {
        self.make_place(path, mount, None)
    }

    fn make_place<'a>(
        &'a self,
        path: &SharePath,
        mount: u64,
        in_use: Option<RwLockReadGuard<'a, ()>>,
    ) -> Result<Place<'a>> {
        let (top_path, top) = self.top_of(path, mount)?;
        self.begin(&top_path, &top)?;
        let below_top = relative(path, &top_path);
        if let Ok(dir) = self.disk.open_dir(&top, &self.inside(self.area(), below_top)) {
            return Ok(Place { dir, made_in: Vec::new(), _in_use: in_use });
        }
        let mut made_in = Vec::new();
        let mut dir = top;
        for name in [RESERVED, self.area()].map(own_name).into_iter().chain(names(below_top)) {
            if self.make_dir(&dir, &name)? {
                made_in.push(dir.clone());
            }
            dir = self.disk.open_dir(&dir, name.as_bytes())?;
        }
        Ok(Place { dir, made_in, _in_use: in_use })
    }

    /// The folder for uploads that need a name of their own, on the mount of `path`.
    pub fn swap(&self, path: &SharePath, mount: u64) -> Result<Dir> {
        let (top_path, top) = self.top_of(path, mount)?;
        self.begin(&top_path, &top)?;
        self.make_dir(&top, &own_name(RESERVED))?;
        let own = self.disk.open_dir(&top, RESERVED.as_bytes())?;
        self.make_dir(&own, &own_name(SWAP))?;
        self.disk.open_dir(&own, SWAP.as_bytes())
    }

    /// The versions of `path`, the newest first.
    pub fn versions(&self, path: &SharePath) -> Result<Vec<Version>> {
        let (top, folder) = self.where_versions_lie(path)?;
        let mut versions: Vec<_> = match found(self.disk.open_dir(&top, &folder))? {
            None => Vec::new(),
            Some(dir) => entries(&*self.disk, &dir)?
                .into_iter()
                .filter(|version| version.name.ending != Ending::Upload)
                .collect(),
        };
        versions.sort_by(|one, other| other.name.id.cmp(&one.name.id));
        Ok(versions)
    }

    /// Opens one version of `path`.
    pub fn open(&self, path: &SharePath, id: &VersionId) -> Result<Opened> {
        let Some(found) = self.find(path, id)? else { return Ok(Opened::Nothing) };
        self.disk.open(&found.dir(&*self.disk)?, &found.version.name.to_name())
    }

    /// One version of `path`.
    pub fn find(&self, path: &SharePath, id: &VersionId) -> Result<Option<Found>> {
        let (top, folder) = self.where_versions_lie(path)?;
        let Some(dir) = found(self.disk.open_dir(&top, &folder))? else { return Ok(None) };
        let version = entries(&*self.disk, &dir)?
            .into_iter()
            .find(|version| version.name.id == *id && version.name.ending != Ending::Upload);
        Ok(version.map(|version| Found { top, folder, path: path.clone(), version }))
    }

    /// Every path below `path` that has versions, with them.
    pub fn all(&self, below: &SharePath) -> Result<Vec<Found>> {
        self.walk(HISTORY, below)
    }

    /// The folder in which an entry of a path lies, if it is there still.
    pub fn dir_of(&self, path: &SharePath, entry: &Name) -> Result<Option<Dir>> {
        let mut places: Vec<_> = self.places_in(&self.tops()?, path).collect();
        // Not every file system is noted, where the top of the share cannot be written.
        places.push(self.where_entries_lie(self.area(), path)?);
        for (top, folder) in places {
            if let Some(dir) = found(self.disk.open_dir(&top, &folder))?
                && self.disk.look(&dir, entry)?.is_some()
            {
                return Ok(Some(dir));
            }
        }
        Ok(None)
    }

    /// Every folder that may hold entries of a path. The folder that the path names may be gone, so it does not tell on which file system
    /// they are.
    fn places_in<'a>(&'a self, tops: &'a [Top], path: &'a SharePath) -> impl Iterator<Item = (Dir, Box<[u8]>)> + 'a {
        tops.iter().filter(|top| path.is_within(&top.path)).flat_map(|top| {
            let below_top = relative(path, &top.path);
            [HISTORY, SWAP].map(|area| (top.dir.clone(), self.inside(area, below_top).into()))
        })
    }

    /// Removes an entry that is not wanted any more: a file, or a tree.
    pub fn let_go(&self, dir: &Dir, name: &Name) -> Result<()> {
        match self.disk.look(dir, name)? {
            None => Ok(()),
            Some(status) if status.kind == Kind::Dir => remove_tree(&*self.disk, dir, name),
            Some(_) => self.disk.unlink(dir, name),
        }
    }

    /// Lets versions go by the keep rule; says how many. Without a history there are but refused uploads, which somebody may have seen for
    /// an instant and opened: they go when nobody can be about to write any more.
    pub fn prune(&self, now: Timestamp) -> Result<usize> {
        let (mut gone, mut stays) = (0, 0);
        for top in &self.tops()? {
            let rule = match self.limits {
                None => KeepRule { age_max: UPLOADS_KEPT, bytes_max: u64::MAX },
                Some(KeepLimits { age_max, percent_max }) => {
                    let total = self.disk.space(&top.dir)?.total;
                    KeepRule { age_max, bytes_max: total / 100 * u64::from(percent_max) }
                }
            };
            let released = self.release(top, now, |kept| rule.lets_go(kept, now))?;
            gone += released.count;
            // What other file systems give back is of no use to the share's own.
            stays += if top.path.is_root() { released.stays } else { 0 };
        }
        self.bytes.store(stays, Ordering::Relaxed);
        Ok(gone)
    }

    /// Lets the oldest versions on a mount go until `bytes` are free there; says whether any was.
    pub fn make_room(&self, mount: u64, bytes: u64, now: Timestamp) -> Result<bool> {
        let mut released = 0;
        for top in self.tops()?.iter().filter(|top| top.mount == mount) {
            let free = self.disk.space(&top.dir)?.free;
            let gone = self.release(top, now, |kept| {
                let mut gained = 0;
                let enough = |version: &Kept| {
                    let already = free.saturating_add(gained) >= bytes;
                    gained += version.bytes;
                    already
                };
                kept.iter().position(enough).unwrap_or(kept.len())
            })?;
            released += gone.count;
            if top.path.is_root() {
                self.bytes.store(gone.stays, Ordering::Relaxed);
            }
        }
        Ok(released > 0)
    }

    /// How many bytes it would give back, as of when it was last walked.
    pub fn gives_back(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
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

    /// What is to be settled: the entries that a commit left with a tail, and all that was displaced while there was no history. What
    /// unfinished uploads left is removed.
    pub fn left_behind(&self) -> Result<Vec<Found>> {
        for own in self.own_folders()? {
            match self.disk.open_dir(&own, SWAP.as_bytes()) {
                Ok(swap) => staging::sweep(&*self.disk, &swap)?,
                Err(error) if error.cause == Cause::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let mut left = self.walk(HISTORY, &SharePath::root())?;
        left.retain(|found| matches!(found.version.name.ending, Ending::Tail(_)));
        let mut displaced = self.walk(SWAP, &SharePath::root())?;
        displaced.retain(|found| found.version.name.ending != Ending::Upload);
        left.extend(displaced);
        Ok(left)
    }

    /// Says that no commit is under way any more: the next start need not look for any.
    pub fn ends_running(&self) -> Result<()> {
        for own in self.own_folders()? {
            match self.disk.unlink(&own, &own_name(RUNNING)) {
                Err(error) if error.cause != Cause::NotFound => return Err(error),
                _ => self.disk.sync_dir(&own)?,
            }
        }
        Ok(())
    }

    fn area(&self) -> &'static str {
        if self.keeps() { HISTORY } else { SWAP }
    }

    fn inside(&self, area: &str, below_top: &[u8]) -> Vec<u8> {
        let mut path = format!("{RESERVED}/{area}").into_bytes();
        if !below_top.is_empty() {
            path.push(b'/');
            path.extend_from_slice(below_top);
        }
        path
    }

    /// The folders of noclobber's own, on every file system of the share that has one.
    fn own_folders(&self) -> Result<Vec<Dir>> {
        let mut folders = Vec::new();
        for top in self.tops()? {
            folders.extend(found(self.disk.open_dir(&top.dir, RESERVED.as_bytes()))?);
        }
        Ok(folders)
    }

    /// The top of the share, and the top of every other file system in it on which anything was ever displaced. What is not mounted now is
    /// left out, and so is what is the same file system again.
    fn tops(&self) -> Result<Vec<Top>> {
        let root = self.disk.root()?;
        let mount = self.disk.dir_status(&root)?.mount;
        let mut tops = vec![Top { path: SharePath::root(), dir: root.clone(), mount }];
        let mounts = format!("{RESERVED}/{MOUNTS}").into_bytes();
        let Some(noted) = found(self.disk.open_dir(&root, &mounts))? else { return Ok(tops) };
        let mut todo = vec![(SharePath::root(), mount, noted)];
        while let Some((above, mount_above, noted)) = todo.pop() {
            for entry in list(&*self.disk, &noted)? {
                let path = above.join(&entry.name);
                let Ok(dir) = self.disk.open_dir(&root, path.as_bytes()) else { continue };
                let mount = self.disk.dir_status(&dir)?.mount;
                if mount != mount_above {
                    tops.push(Top { path: path.clone(), dir, mount });
                }
                todo.push((path, mount, self.disk.open_dir(&noted, entry.name.as_bytes())?));
            }
        }
        Ok(tops)
    }

    /// Notes at the top of the share that another file system in it has a history, as folders of the same names.
    fn note_mount(&self, path: &SharePath) -> Result<()> {
        let mut dir = self.disk.root()?;
        for name in [RESERVED, MOUNTS].map(own_name).into_iter().chain(path.names()) {
            if self.make_dir(&dir, &name)? {
                self.disk.sync_dir(&dir)?;
            }
            dir = self.disk.open_dir(&dir, name.as_bytes())?;
        }
        Ok(())
    }

    fn where_versions_lie(&self, path: &SharePath) -> Result<(Dir, Box<[u8]>)> {
        self.where_entries_lie(HISTORY, path)
    }

    /// The top of the mount that `path` lies on, and from there the folder for its entries, which may not be there.
    fn where_entries_lie(&self, area: &str, path: &SharePath) -> Result<(Dir, Box<[u8]>)> {
        let root = self.disk.root()?;
        let parent = path.split().map(|(parent, _)| self.disk.open_dir(&root, parent.as_bytes()));
        let lies_on = match parent {
            Some(Ok(parent)) => self.disk.dir_status(&parent)?.mount,
            None | Some(Err(_)) => self.disk.dir_status(&root)?.mount,
        };
        let (top_path, top) = self.top_of(path, lies_on)?;
        Ok((top, self.inside(area, relative(path, &top_path)).into()))
    }

    /// The topmost folder of the share that lies on `mount` above `path`. A rename works within one mount only, so each has a history of
    /// its own.
    fn top_of(&self, path: &SharePath, mount: u64) -> Result<(SharePath, Dir)> {
        let root = self.disk.root()?;
        if self.disk.dir_status(&root)?.mount == mount {
            return Ok((SharePath::root(), root));
        }
        let mut above = SharePath::root();
        let mut dir = root.clone();
        let names: Vec<_> = path.split().map(|(parent, _)| parent.names().collect()).unwrap_or_default();
        for name in names {
            above = above.join(&name);
            dir = self.disk.open_dir(&dir, name.as_bytes())?;
            if self.disk.dir_status(&dir)?.mount == mount {
                return Ok((above, dir));
            }
        }
        Ok((SharePath::root(), root))
    }

    /// Notes on the disk, once a process and mount, that commits may be under way from now on.
    fn begin(&self, top_path: &SharePath, top: &Dir) -> Result<()> {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        if begun.contains(top_path) {
            return Ok(());
        }
        self.make_dir(top, &own_name(RESERVED))?;
        let own = self.disk.open_dir(top, RESERVED.as_bytes())?;
        match self.disk.create_named(&own, &own_name(RUNNING)) {
            Err(error) if error.cause != Cause::Exists => return Err(error),
            _ => {}
        }
        self.disk.sync_dir(&own)?;
        self.disk.sync_dir(top)?;
        if !top_path.is_root() {
            // Where the top of the share cannot be written the rest can all the same; its history is then not pruned.
            let _ = self.note_mount(top_path);
        }
        begun.insert(top_path.clone());
        Ok(())
    }

    /// Says whether it was made, or was there already.
    fn make_dir(&self, at: &Dir, name: &Name) -> Result<bool> {
        match self.disk.make_dir(at, name, true) {
            Ok(()) => Ok(true),
            Err(error) if error.cause == Cause::Exists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Lets as many of the oldest versions on a file system go as `count` says.
    fn release(&self, top: &Top, now: Timestamp, count: impl FnOnce(&[Kept]) -> usize) -> Result<Released> {
        let mut versions = Vec::new();
        self.walk_top(self.area(), top, &top.path, &mut versions)?;
        versions.retain(|found| {
            let may_go = match found.version.name.ending {
                Ending::Upload => true,
                Ending::Settled => self.keeps(),
                Ending::Tail(_) => false,
            };
            may_go && now.since(found.version.name.id.time()) > YOUNG
        });
        versions.sort_by(|one, other| one.version.name.id.cmp(&other.version.name.id));
        let empty: Vec<_> = versions.extract_if(.., |found| self.was_only_begun(top, found)).collect();
        let mut kept = Vec::with_capacity(versions.len());
        for found in &versions {
            kept.push(Kept { since: found.version.name.id.time(), bytes: self.bytes_of(found)? });
        }
        let count = count(&kept);
        let mut released = Released { stays: kept[count..].iter().map(|kept| kept.bytes).sum(), ..Released::default() };
        let bytes = kept[..count].iter().map(|kept| kept.bytes).chain(iter::repeat(0));
        for (found, bytes) in versions[..count].iter().chain(&empty).zip(bytes) {
            let (dir, name) = (found.dir(&*self.disk)?, found.version.name.to_name());
            // What a program writes into it now is nowhere else.
            if self.is_busy(&dir, &name)? {
                released.stays += bytes;
                continue;
            }
            self.let_go(&dir, &name)?;
            let _alone = self.folders.write().unwrap_or_else(PoisonError::into_inner);
            self.remove_empty(&found.top, &found.folder);
            released.count += 1;
        }
        Ok(released)
    }

    /// Whether it is an empty file, and there is a file again in its place. Drives make a file first and fill it then, so every file that comes
    /// from them would have such a version, which tells nobody anything.
    fn was_only_begun(&self, top: &Top, found: &Found) -> bool {
        let Version { name, status } = &found.version;
        let is_empty = name.ending == Ending::Settled && status.kind == Kind::File && status.stamp.size == 0;
        is_empty && {
            let there = self.disk.look_path(&top.dir, relative(&found.path, &top.path));
            matches!(there, Ok(Some(Status { kind: Kind::File, .. })))
        }
    }

    /// Whether it is a file that somebody has open for writing, as far as can be told.
    pub fn is_busy(&self, dir: &Dir, name: &Name) -> Result<bool> {
        let Opened::File(file, _) = self.disk.open(dir, name)? else { return Ok(false) };
        Ok(matches!(self.disk.lease(&file, Duration::ZERO)?, Leased::Busy))
    }

    fn bytes_of(&self, found: &Found) -> Result<u64> {
        match found.version.status.kind {
            Kind::Dir => tree_bytes(
                &*self.disk,
                self.disk.open_dir(&found.dir(&*self.disk)?, found.version.name.to_name().as_bytes())?,
            ),
            _ => Ok(found.version.status.stamp.size),
        }
    }

    /// Removes the folders that held entries of these paths as far as they are empty. What cannot be removed stays, and does no harm.
    pub fn remove_empty_folders(&self, paths: &[SharePath]) {
        if paths.is_empty() {
            return;
        }
        let Ok(tops) = self.tops() else { return };
        let places = paths.iter().flat_map(|path| self.places_in(&tops, path));
        // Commits wait while folders are removed, so those that are in use are told apart before.
        let empty: Vec<_> = places.filter(|(top, folder)| self.is_empty(top, folder)).collect();
        for some in empty.chunks(REMOVED_AT_ONCE_MAX) {
            let _alone = self.folders.write().unwrap_or_else(PoisonError::into_inner);
            some.iter().for_each(|(top, folder)| self.remove_empty(top, folder));
        }
    }

    fn is_empty(&self, top: &Dir, folder: &[u8]) -> bool {
        let Ok(dir) = self.disk.open_dir(top, folder) else { return false };
        let mut is_empty = true;
        let listed = self.disk.list(&dir, &mut |_| {
            is_empty = false;
            ControlFlow::Break(())
        });
        listed.is_ok() && is_empty
    }

    /// Removes a folder and those above it, for as long as they are empty. Nobody else may be using one.
    fn remove_empty(&self, top: &Dir, mut folder: &[u8]) {
        while let Some(slash) = folder.iter().rposition(|byte| *byte == b'/') {
            let (above, name) = (&folder[..slash], &folder[slash + 1..]);
            let (Ok(dir), Ok(name)) = (self.disk.open_dir(top, above), Name::new(name)) else { return };
            if above == RESERVED.as_bytes() || self.disk.remove_dir(&dir, &name).is_err() {
                return;
            }
            folder = above;
        }
    }

    /// All entries of an area of the history below a path, on every file system.
    fn walk(&self, area: &str, below: &SharePath) -> Result<Vec<Found>> {
        let mut all = Vec::new();
        for top in self.tops()? {
            if below.is_within(&top.path) {
                self.walk_top(area, &top, below, &mut all)?;
            } else if top.path.is_within(below) {
                self.walk_top(area, &top, &top.path, &mut all)?;
            }
        }
        Ok(all)
    }

    /// All entries of an area of the history of one file system, below a path that lies in it.
    fn walk_top(&self, area: &str, top: &Top, below: &SharePath, all: &mut Vec<Found>) -> Result<()> {
        let folder = |path: &SharePath| self.inside(area, relative(path, &top.path));
        let Some(first) = found(self.disk.open_dir(&top.dir, &folder(below)))? else { return Ok(()) };
        let mut todo = vec![(below.clone(), Pending::Open(first))];
        while let Some((path, pending)) = todo.pop() {
            let Some(dir) = found(pending.open(&*self.disk))? else { continue };
            for entry in list(&*self.disk, &dir)? {
                if let Some(name) = EntryName::parse(&entry.name) {
                    let version = Version { name, status: entry.status };
                    all.push(Found { top: top.dir.clone(), folder: folder(&path).into(), path: path.clone(), version });
                } else if entry.status.kind == Kind::Dir {
                    todo.push((path.join(&entry.name), Pending::In(dir.clone(), entry.name)));
                }
            }
        }
        Ok(())
    }
}

impl Place<'_> {
    /// Brings the folder to the disk, and before it every one above that was made for it.
    pub fn sync(&self, disk: &dyn Disk) -> Result<()> {
        self.made_in.iter().try_for_each(|dir| disk.sync_dir(dir))?;
        disk.sync_dir(&self.dir)
    }
}

/// A name of noclobber's own.
pub(super) fn own_name(text: &str) -> Name {
    Name::new(text.as_bytes()).expect("a plain word")
}

fn names(joined: &[u8]) -> impl Iterator<Item = Name> + '_ {
    let parts = joined.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
    parts.map(|part| Name::new(part).expect("a part of a path that is clean"))
}

pub(super) fn relative<'a>(path: &'a SharePath, top: &SharePath) -> &'a [u8] {
    let below = &path.as_bytes()[top.as_bytes().len()..];
    below.strip_prefix(b"/").unwrap_or(below)
}

fn found(opened: Result<Dir>) -> Result<Option<Dir>> {
    match opened {
        Ok(dir) => Ok(Some(dir)),
        Err(DiskError { cause: Cause::NotFound | Cause::NotADirectory, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn list(disk: &dyn Disk, dir: &Dir) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    disk.list(dir, &mut |entry| {
        entries.push(entry);
        ControlFlow::Continue(())
    })?;
    Ok(entries)
}

fn entries(disk: &dyn Disk, dir: &Dir) -> Result<Vec<Version>> {
    let parse = |entry: Entry| Some(Version { name: EntryName::parse(&entry.name)?, status: entry.status });
    Ok(list(disk, dir)?.into_iter().filter_map(parse).collect())
}

/// A folder that is still to be walked. It is opened when it is its turn, so that a wide tree does not hold a handle for each folder.
enum Pending {
    Open(Dir),
    In(Dir, Name),
}

impl Pending {
    fn open(self, disk: &dyn Disk) -> Result<Dir> {
        match self {
            Self::Open(dir) => Ok(dir),
            Self::In(parent, name) => disk.open_dir(&parent, name.as_bytes()),
        }
    }
}

fn tree_bytes(disk: &dyn Disk, top: Dir) -> Result<u64> {
    let mut bytes = 0;
    each_file(disk, top, &mut |_, entry| {
        bytes += entry.status.stamp.size;
        Ok(())
    })?;
    Ok(bytes)
}

/// Calls `each` for all in a tree that is no folder, with the folder it lies in.
pub(super) fn each_file(disk: &dyn Disk, top: Dir, each: &mut dyn FnMut(&Dir, &Entry) -> Result<()>) -> Result<()> {
    let mut todo = vec![Pending::Open(top)];
    while let Some(pending) = todo.pop() {
        let dir = pending.open(disk)?;
        for entry in list(disk, &dir)? {
            match entry.status.kind {
                Kind::Dir => todo.push(Pending::In(dir.clone(), entry.name)),
                _ => each(&dir, &entry)?,
            }
        }
    }
    Ok(())
}

/// Removes a tree however deep it is: every folder in it is first moved up to the top, so that neither the stack nor the number of open
/// folders grows with the depth.
pub(super) fn remove_tree(disk: &dyn Disk, at: &Dir, name: &Name) -> Result<()> {
    let top = disk.open_dir(at, name.as_bytes())?;
    let mut todo = Vec::new();
    let mut moved = 0_u64;
    remove_files(disk, &top, &mut |folder| {
        todo.push(folder);
        Ok(())
    })?;
    while let Some(folder) = todo.pop() {
        let dir = disk.open_dir(&top, folder.as_bytes())?;
        remove_files(disk, &dir, &mut |inner| {
            loop {
                let higher = own_name(&format!("removed-{moved}"));
                moved += 1;
                match naming::move_within(disk, (&dir, &inner), (&top, &higher)) {
                    Err(error) if error.cause == Cause::Exists => continue,
                    renamed => renamed?,
                }
                todo.push(higher);
                return Ok(());
            }
        })?;
        drop(dir);
        disk.remove_dir(&top, &folder)?;
    }
    drop(top);
    disk.remove_dir(at, name)
}

/// Unlinks what is no folder, and hands the folders over.
fn remove_files(disk: &dyn Disk, dir: &Dir, folder: &mut dyn FnMut(Name) -> Result<()>) -> Result<()> {
    for entry in list(disk, dir)? {
        match entry.status.kind {
            Kind::Dir => folder(entry.name)?,
            _ => disk.unlink(dir, &entry.name)?,
        }
    }
    Ok(())
}
