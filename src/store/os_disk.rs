//! The disk as Linux gives it: each primitive of [`Disk`] by as few system calls as it takes.
//!
//! Every path is resolved beneath a directory handle (`openat2`), pipes and devices are never opened, and every descriptor is
//! closed on exec. It holds no lock over anything but its own root, and remembers nothing about the files.

mod attributes;
mod errno;
mod mounts;
mod probe;
mod walk;
mod write_out;

use std::any::Any;
use std::ffi::CStr;
use std::ops::{ControlFlow, Range};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::{
    AtFlags, CWD, FallocateFlags, FileType, FlockOperation, Mode, OFlags, RenameFlags, ResolveFlags, Statx,
    StatxAttributes, StatxFlags, StatxTimestamp, Timespec, Timestamps,
};
use rustix::io::{Errno, retry_on_intr};
use rustix::path::DecInt;

use super::disk::{
    Abilities, Cause, Dir, Disk, DiskError, Entry, File, Folding, Kind, Leased, Opened, RawHandle, Result, Space,
    Status, Tier,
};
use super::index::ShareIdentity;
use super::lease;
use crate::model::path::{Name, PathError, SharePath};
use crate::model::stamp::{FileId, Stamp, Timestamp};
use errno::Doing;

/// How long [`Disk::root`] goes on without looking whether the folder is still there.
const ROOT_LOOK_EVERY: Duration = Duration::from_secs(1);

/// Stands for the time of the last look while the folder is not there.
const NEVER: u64 = u64::MAX;

/// How often a resolution that raced with a rename is tried (`EAGAIN`, openat2(2)).
const RESOLVE_TRIES_MAX: usize = 128;

/// The longest path that the system takes in one call, in bytes (`PATH_MAX` without its NUL, path_resolution(7)).
const PATH_BYTES_MAX: usize = 4095;

/// How often a folder above the share is tried to be locked, and how long between two tries.
const LOCK_TRIES_MAX: usize = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// What is asked of every file: the mount tells a rename that cannot work, the birth tells an inode's reuse.
const ASKED: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::BTIME).union(StatxFlags::MNT_ID);

/// Whether symbolic links in the share are followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FollowLinks {
    /// None is: a path over a link leads nowhere.
    #[default]
    Never,
    /// Those that lead to a place inside the share are. An absolute link counts as leading out.
    Inside,
}

/// How an [`OsDisk`] is to behave.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether links are followed.
    pub links: FollowLinks,
    /// The highest tier to show, whatever the file system could do.
    pub at_most: Option<Tier>,
    /// The grain of the clock to show and to keep, whatever the file system could do.
    pub time_grain: Option<Duration>,
    /// Whether syncing really syncs. Without it a power cut loses what was answered; it is for measuring.
    pub syncs: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { links: FollowLinks::Never, at_most: None, time_grain: None, syncs: true }
    }
}

/// A folder on a Linux file system.
#[derive(Debug)]
pub struct OsDisk {
    folder: PathBuf,
    options: Options,
    /// Whether something was mounted at the folder: then the bare folder, without it, is not the share.
    is_mount: bool,
    /// `/proc/self/fd`, through which a handle is opened again or given a name.
    handles: OwnedFd,
    root: RwLock<Root>,
    began: Instant,
    /// When the root was last found to be where its path leads, in milliseconds since `began`; or [`NEVER`].
    root_looked: AtomicU64,
    /// Whether the file system keeps several trees in one mount, between which nothing can be renamed.
    subvolumes: AtomicBool,
}

/// The top of the share, as it was when it was last opened.
#[derive(Debug)]
struct Root {
    dir: Dir,
    place: Place,
    abilities: Abilities,
    folding: Folding,
    /// Keeps a second process off, while it is open.
    lock: Option<ShareLock>,
}

/// The locks of a share: one on its top that nobody else may have, and one on every folder above it that other shares below those may have
/// too. So neither a folder in it nor one above it is served by another process at the same time.
#[derive(Debug)]
struct ShareLock {
    _top: OwnedFd,
    _above: Vec<OwnedFd>,
}

/// Whether a second process is kept off the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FolderLock {
    /// It is.
    Held,
    /// It is not: the file system has no such locks.
    Unavailable,
}

/// Which directory a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    device: (u32, u32),
    inode: u64,
    mount: u64,
    /// Whether something is mounted right here.
    is_mount: bool,
}

/// An open file or directory.
#[derive(Debug)]
struct Handle {
    fd: OwnedFd,
    /// Where links are followed: the share's top and the path from there, so that a link may lead up and down again.
    place: Option<(Dir, Box<[u8]>)>,
    /// Whether a lease was asked for and had: it must never be asked for again.
    leased: AtomicBool,
}

impl RawHandle for Handle {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.fd.as_fd())
    }
}

impl OsDisk {
    /// Opens the folder and finds out what its file system can do.
    ///
    /// Nothing new is left in the folder. On file systems whose abilities are not known beforehand, some names are tried for an
    /// instant in a private folder below `.noclobber`.
    pub fn open(folder: &Path, options: Options) -> Result<Self> {
        lease::ignore_lease_signal();
        lease::ignore_size_signal();
        let shown = folder.as_os_str().as_encoded_bytes();
        let folder = std::path::absolute(folder).map_err(|error| refused("open", shown, Cause::Failed, error))?;
        let handles = open_handles()?;
        let (dir, place) = open_root(&folder)?;
        require_openat2(&dir)?;
        let abilities = probe::probe(fd(&dir.0)?, handles.as_fd());
        let disk = Self {
            folder,
            options,
            is_mount: place.is_mount,
            handles,
            subvolumes: AtomicBool::new(probe::has_subvolumes(fd(&dir.0)?)),
            root: RwLock::new(Root { folding: probe::folding(fd(&dir.0)?), dir, place, abilities, lock: None }),
            began: Instant::now(),
            root_looked: AtomicU64::new(0),
        };
        Ok(disk)
    }

    /// Locks the folder, so that only one process serves it. Fails with [`Cause::InUse`] if another one does already, or serves a folder in
    /// it or above it. What is above a folder that may not be read is not found out, nor is another place where a part of it is mounted.
    /// The lock ends with this value.
    pub fn lock_share(&self) -> Result<FolderLock> {
        let mut root = self.root.write().unwrap_or_else(PoisonError::into_inner);
        if root.lock.is_none() {
            root.lock = self.lock(&root.dir)?;
        }
        Ok(if root.lock.is_some() { FolderLock::Held } else { FolderLock::Unavailable })
    }

    /// Which share this is, for what is kept of it elsewhere.
    pub fn share_identity(&self) -> Result<ShareIdentity> {
        let name = self.folder.as_os_str().as_encoded_bytes();
        let root = self.root.read().unwrap_or_else(PoisonError::into_inner);
        let file_system = rustix::fs::fstatvfs(fd(&root.dir.0)?).map_err(|errno| failed("look at", name, errno))?;
        let mut folder = [0; 16];
        folder[..8].copy_from_slice(&file_system.f_fsid.to_le_bytes());
        folder[8..].copy_from_slice(&root.place.inode.to_le_bytes());
        let path = std::fs::canonicalize(&self.folder).unwrap_or_else(|_| self.folder.clone());
        Ok(ShareIdentity { path, folder })
    }

    fn lock(&self, dir: &Dir) -> Result<Option<ShareLock>> {
        let name = self.folder.as_os_str().as_encoded_bytes();
        let failed = |errno| failed("lock", name, errno);
        let top = openat_again(fd(&dir.0)?, c".", OFlags::RDONLY | OFlags::DIRECTORY).map_err(failed)?;
        match retry_on_intr(|| rustix::fs::flock(&top, FlockOperation::NonBlockingLockExclusive)) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let message = "another process is serving this folder already, or a folder in it";
                return Err(refused("lock", name, Cause::InUse, message));
            }
            Err(errno) if has_no_locks(errno) => return Ok(None),
            Err(errno) => return Err(failed(errno)),
        }
        let mut above = Vec::new();
        let mut below = folder_id(top.as_fd()).map_err(failed)?;
        // What may not be read ends the way up; at the very top the folder above is the folder itself.
        while let Ok(folder) =
            openat_again(above.last().unwrap_or(&top).as_fd(), c"..", OFlags::RDONLY | OFlags::DIRECTORY)
        {
            let id = folder_id(folder.as_fd()).map_err(failed)?;
            if id == below {
                break;
            }
            below = id;
            match lock_patiently(&folder) {
                Ok(()) => above.push(folder),
                Err(Errno::WOULDBLOCK) => {
                    return Err(refused(
                        "lock",
                        name,
                        Cause::InUse,
                        "another process is serving a folder above it already",
                    ));
                }
                Err(errno) if has_no_locks(errno) => above.push(folder),
                Err(errno) => return Err(failed(errno)),
            }
        }
        Ok(Some(ShareLock { _top: top, _above: above }))
    }

    /// Looks where the path of the share leads now, and opens it again if that is another directory than before.
    fn look_at_root(&self) -> Result<Dir> {
        let root = self.root.read().unwrap_or_else(PoisonError::into_inner);
        if self.place_now()? == root.place {
            return Ok(root.dir.clone());
        }
        drop(root);
        let mut root = self.root.write().unwrap_or_else(PoisonError::into_inner);
        // Somebody else may have opened it again by now, and with it the lock, which cannot be had twice.
        if self.place_now()? != root.place {
            self.replace_root(&mut root)?;
        }
        Ok(root.dir.clone())
    }

    /// Where the path of the share leads now.
    fn place_now(&self) -> Result<Place> {
        let name = self.folder.as_os_str().as_encoded_bytes();
        let found = rustix::fs::statx(CWD, &self.folder, AtFlags::empty(), ASKED)
            .map_err(|errno| of_root("look at", name, errno))?;
        let place = Place::of(&found);
        if self.is_mount && !place.is_mount {
            return Err(refused("look at", name, Cause::NotFound, "what was mounted there is gone"));
        }
        Ok(place)
    }

    fn replace_root(&self, root: &mut Root) -> Result<()> {
        let (dir, place) = open_root(&self.folder)?;
        let lock = if root.lock.is_some() { self.lock(&dir)? } else { None };
        let abilities = if place.device == root.place.device && place.mount == root.place.mount {
            root.abilities
        } else {
            probe::probe(fd(&dir.0)?, self.handles.as_fd())
        };
        self.subvolumes.store(probe::has_subvolumes(fd(&dir.0)?), Ordering::Relaxed);
        let folding = probe::folding(fd(&dir.0)?);
        *root = Root { dir, place, abilities, folding, lock };
        Ok(())
    }

    /// Whether a file lies where the abilities were found out. Other file systems may be mounted inside the share.
    fn is_on_root_mount(&self, file: BorrowedFd<'_>) -> bool {
        let root = self.root.read().unwrap_or_else(PoisonError::into_inner).place.mount;
        rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)
            .is_ok_and(|found| found.stx_mask & StatxFlags::MNT_ID.bits() != 0 && found.stx_mnt_id == root)
    }

    fn root_is_fresh(&self) -> bool {
        let looked = self.root_looked.load(Ordering::Relaxed);
        looked != NEVER && self.began.elapsed().saturating_sub(Duration::from_millis(looked)) < ROOT_LOOK_EVERY
    }

    fn follows(&self) -> bool {
        self.options.links == FollowLinks::Inside
    }

    /// Opens what `path` leads to, never leaving the share: `EXDEV` if it would, `ELOOP` over a link that is not followed.
    fn resolve(&self, from: &Dir, path: &[u8], flags: OFlags) -> std::result::Result<OwnedFd, Errno> {
        let Some(start) = from.0.fd() else { return Err(Errno::BADF) };
        let opened = self.resolve_beneath(start, path, flags);
        if !self.follows() || !matches!(opened, Err(Errno::XDEV)) {
            return opened;
        }
        // Out of `from`, but perhaps not out of the share: begin at its top.
        let Some((top, place)) = place_of(from) else { return opened };
        let Some(start) = top.0.fd() else { return opened };
        self.resolve_beneath(start, &join(place, path), flags)
    }

    fn resolve_beneath(
        &self,
        start: BorrowedFd<'_>,
        path: &[u8],
        flags: OFlags,
    ) -> std::result::Result<OwnedFd, Errno> {
        let mut within = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        if !self.follows() {
            within |= ResolveFlags::NO_SYMLINKS;
        }
        for _ in 0..RESOLVE_TRIES_MAX {
            match rustix::fs::openat2(start, path, flags | OFlags::CLOEXEC, Mode::empty(), within) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                done => return done,
            }
        }
        Err(Errno::AGAIN)
    }

    /// Goes down a path as far as it takes until one call reaches the rest; says from where, and which that is. A share's paths and those
    /// of the history may be longer than the system takes at once.
    fn within_reach<'p>(&self, from: &Dir, path: &'p [u8]) -> Result<(Dir, &'p [u8])> {
        let (mut from, mut path) = (from.clone(), path);
        while path.len() > PATH_BYTES_MAX {
            let Some(slash) = path[..=PATH_BYTES_MAX].iter().rposition(|byte| *byte == b'/') else {
                return Err(failed("open", path, Errno::NAMETOOLONG));
            };
            let (above, rest) = (&path[..slash], &path[slash + 1..]);
            let opened = self.resolve(&from, above, OFlags::PATH | OFlags::DIRECTORY);
            let opened = opened.map_err(|errno| failed_to_resolve("open", above, errno))?;
            (from, path) = (Dir(self.handle(opened, &from, above)), rest);
        }
        Ok((from, path))
    }

    /// Wraps what was opened at `path` beneath `from`.
    fn handle(&self, fd: OwnedFd, from: &Dir, path: &[u8]) -> Arc<Handle> {
        let place = self.follows().then(|| match place_of(from) {
            Some((top, place)) => (top.clone(), join(place, path)),
            None => (from.clone(), path.into()),
        });
        Arc::new(Handle { fd, place, leased: AtomicBool::new(false) })
    }

    /// Opens a regular file by three calls. Looking first keeps pipes and devices from being opened, but for one that takes
    /// the place of a regular file in between; that one is not waited for, and is closed untouched.
    fn open_at(&self, from: &Dir, path: &[u8]) -> Result<Opened> {
        let failed = |errno| failed_to_resolve("open", path, errno);
        // A link on the way may lead anywhere, so that only a name in this very folder is looked at without a walk.
        let guard =
            |at| rustix::fs::statx(at, path, AtFlags::NO_AUTOMOUNT | AtFlags::SYMLINK_NOFOLLOW, StatxFlags::TYPE);
        if !path.contains(&b'/') && guard(fd(&from.0)?).is_ok_and(|found| kind_of(&found) == Kind::File) {
            match self.resolve(from, path, self.reading_flags()) {
                Ok(opened) => {
                    let status = self.status_of(opened.as_fd()).map_err(failed)?;
                    if status.kind == Kind::File {
                        return Ok(Opened::File(self.file(opened), status));
                    }
                }
                Err(
                    Errno::NOENT | Errno::NOTDIR | Errno::NXIO | Errno::LOOP | Errno::XDEV | Errno::IO | Errno::STALE,
                ) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
        self.open_warily(from, path)
    }

    /// Finds out what a name is by a handle that opens nothing (`O_PATH`), and opens that if it is a regular file.
    fn open_warily(&self, from: &Dir, path: &[u8]) -> Result<Opened> {
        let failed = |errno| failed_to_resolve("open", path, errno);
        let flags = if self.follows() { OFlags::PATH } else { OFlags::PATH | OFlags::NOFOLLOW };
        // A handle that opens nothing may be had of a name that the kernel only remembers: its status tells whether that is still there. If it is
        // not, something else may have just come in its place.
        let look = || {
            let found = self.resolve(from, path, flags)?;
            match self.status_of(found.as_fd()) {
                Ok(status) => Ok(Some((found, status))),
                Err(Errno::NOENT) => Ok(None),
                Err(errno) => Err(errno),
            }
        };
        let found = match afresh(look) {
            Ok(None) => afresh(look),
            found => found,
        };
        let (found, status) = match found {
            Ok(Some(found)) => found,
            Err(Errno::LOOP | Errno::XDEV) => return Ok(Opened::Link),
            Ok(None) | Err(Errno::NOENT | Errno::NOTDIR) => return self.nothing_or_link(from, path),
            Err(errno) => return Err(failed(errno)),
        };
        Ok(match status.kind {
            Kind::Dir => Opened::Dir(status),
            Kind::Link => Opened::Link,
            Kind::Special => Opened::Special,
            Kind::File => {
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
                Opened::File(self.file(self.open_again(found.as_fd(), flags).map_err(failed)?), status)
            }
        })
    }

    /// Nothing lies at the end of this path; a link that leads nowhere may.
    fn nothing_or_link(&self, from: &Dir, path: &[u8]) -> Result<Opened> {
        if !self.follows() {
            return Ok(Opened::Nothing);
        }
        let found = self.resolve(from, path, OFlags::PATH | OFlags::NOFOLLOW);
        let is_link = found.is_ok_and(|found| self.status_of(found.as_fd()).is_ok_and(|it| it.kind == Kind::Link));
        Ok(if is_link { Opened::Link } else { Opened::Nothing })
    }

    fn reading_flags(&self) -> OFlags {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        if self.follows() { flags } else { flags | OFlags::NOFOLLOW }
    }

    fn file(&self, fd: OwnedFd) -> File {
        File(Arc::new(Handle { fd, place: None, leased: AtomicBool::new(false) }))
    }

    fn open_again(&self, fd: BorrowedFd<'_>, flags: OFlags) -> std::result::Result<OwnedFd, Errno> {
        openat_again(self.handles.as_fd(), DecInt::from_fd(fd).as_c_str(), flags)
    }

    fn status_of(&self, fd: BorrowedFd<'_>) -> std::result::Result<Status, Errno> {
        // Another program or machine may keep the files: what the kernel remembers of them may be a second old.
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC;
        rustix::fs::statx(fd, c"", flags, ASKED).map(|found| self.status_from(&found))
    }

    fn status_from(&self, found: &Statx) -> Status {
        let has = |flag: StatxFlags| found.stx_mask & flag.bits() != 0;
        let born = has(StatxFlags::BTIME).then(|| timestamp(found.stx_btime));
        let device = device_of((found.stx_dev_major, found.stx_dev_minor));
        let mount = match has(StatxFlags::MNT_ID) {
            true => self.mount_of(found.stx_mnt_id, device),
            false => device,
        };
        Status {
            kind: kind_of(found),
            stamp: Stamp {
                id: FileId {
                    inode: found.stx_ino,
                    generation: born.map_or(0, |born| born.nanoseconds().cast_unsigned()),
                },
                size: found.stx_size,
                mtime: self.in_grains(timestamp(found.stx_mtime)),
                ctime: self.in_grains(timestamp(found.stx_ctime)),
            },
            mode: u32::from(found.stx_mode) & 0o7777,
            uid: found.stx_uid,
            gid: found.stx_gid,
            links: found.stx_nlink,
            allocated: found.stx_blocks.saturating_mul(512),
            mount,
            device,
            is_mount_point: found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT),
            born,
        }
    }

    /// What counts as one mount.
    fn mount_of(&self, mount: u64, device: u64) -> u64 {
        if self.subvolumes.load(Ordering::Relaxed) { mount ^ device } else { mount }
    }

    /// A time as a clock of the forced grain would have kept it.
    fn in_grains(&self, time: Timestamp) -> Timestamp {
        let Some(grain) = self.options.time_grain.and_then(|grain| i64::try_from(grain.as_nanos()).ok()) else {
            return time;
        };
        Timestamp::from_nanoseconds(time.nanoseconds().div_euclid(grain) * grain)
    }

    /// What a listing tells of a name; nothing if it has vanished meanwhile.
    fn entry(&self, dir: &Dir, name: Name) -> Result<Option<Entry>> {
        let status = match self.look_with(dir, &name, AtFlags::empty()) {
            Ok(Some(status)) => status,
            Ok(None) => return Ok(None),
            Err(error) if error.cause == Cause::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if status.kind != Kind::Link || !self.follows() {
            return Ok(Some(Entry { name, status, is_linked: false }));
        }
        let target = self.resolve(dir, name.as_bytes(), OFlags::PATH);
        let target = target.and_then(|target| self.status_of(target.as_fd()));
        let is_linked = target.is_ok();
        Ok(Some(Entry { name, status: target.unwrap_or(status), is_linked }))
    }

    fn look_with(&self, at: &Dir, name: &Name, also: AtFlags) -> Result<Option<Status>> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | also;
        let at = fd(&at.0)?;
        match afresh(|| rustix::fs::statx(at, name.as_bytes(), flags, ASKED)) {
            Ok(found) => Ok(Some(self.status_from(&found))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(failed("look at", name.as_bytes(), errno)),
        }
    }

    fn rename(
        &self,
        operation: &'static str,
        from: (&Dir, &Name),
        to: (&Dir, &Name),
        flags: RenameFlags,
    ) -> Result<()> {
        let (one, other) = (fd(&from.0.0)?, fd(&to.0.0)?);
        match rustix::fs::renameat_with(one, from.1.as_bytes(), other, to.1.as_bytes(), flags) {
            Ok(()) => Ok(()),
            // A file system that does not know the flag says so; where the share lies it was asked before.
            Err(Errno::INVAL) if !flags.is_empty() && !self.is_on_root_mount(other) => {
                Err(DiskError { cause: Cause::Unsupported, ..failed(operation, from.1.as_bytes(), Errno::INVAL) })
            }
            Err(Errno::INVAL)
                if self.look(from.0, from.1).is_ok_and(|it| it.is_some_and(|it| it.kind == Kind::Dir)) =>
            {
                Err(DiskError { cause: Cause::WithinItself, ..failed(operation, from.1.as_bytes(), Errno::INVAL) })
            }
            Err(errno) => Err(self.in_use_or_mounted(failed(operation, from.1.as_bytes(), errno), &[from, to])),
        }
    }

    /// `EBUSY` is said of what is in use, and of a mount point (rename(2), unlink(2), rmdir(2)).
    fn in_use_or_mounted(&self, error: DiskError, names: &[(&Dir, &Name)]) -> DiskError {
        let is_mount_point = |(dir, name): &(&Dir, &Name)| {
            self.look(dir, name).is_ok_and(|status| status.is_some_and(|status| status.is_mount_point))
        };
        if error.cause == Cause::InUse && names.iter().any(is_mount_point) {
            return DiskError { cause: Cause::MountPoint, ..error };
        }
        error
    }
}

impl Disk for OsDisk {
    fn abilities(&self) -> Abilities {
        let abilities = self.root.read().unwrap_or_else(PoisonError::into_inner).abilities;
        let abilities = self.options.at_most.map_or(abilities, |tier| abilities.at_most(tier));
        Abilities { time_grain: self.options.time_grain.unwrap_or(abilities.time_grain), ..abilities }
    }

    fn root(&self) -> Result<Dir> {
        if self.root_is_fresh() {
            return Ok(self.root.read().unwrap_or_else(PoisonError::into_inner).dir.clone());
        }
        self.root_afresh()
    }

    fn root_afresh(&self) -> Result<Dir> {
        let looked = self.look_at_root();
        let now = looked.as_ref().map_or(NEVER, |_| self.began.elapsed().as_millis() as u64);
        self.root_looked.store(now, Ordering::Relaxed);
        looked
    }

    fn open_dir(&self, from: &Dir, path: &[u8]) -> Result<Dir> {
        if path.is_empty() {
            return Ok(from.clone());
        }
        let (from, path) = self.within_reach(from, path)?;
        let opened = self
            .resolve(&from, path, OFlags::RDONLY | OFlags::DIRECTORY)
            .map_err(|errno| failed_to_resolve("open", path, errno))?;
        Ok(Dir(self.handle(opened, &from, path)))
    }

    fn dir_status(&self, dir: &Dir) -> Result<Status> {
        self.status_of(fd(&dir.0)?).map_err(|errno| failed("look at", b"", errno))
    }

    fn look(&self, at: &Dir, name: &Name) -> Result<Option<Status>> {
        self.look_with(at, name, AtFlags::STATX_FORCE_SYNC)
    }

    fn look_path(&self, from: &Dir, path: &[u8]) -> Result<Option<Status>> {
        if path.is_empty() {
            return self.dir_status(from).map(Some);
        }
        let (from, path) = match self.within_reach(from, path) {
            Ok(reached) => reached,
            Err(error) if matches!(error.cause, Cause::NotFound | Cause::NotADirectory | Cause::Escapes) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        // No link can be on the way to a name in this very folder.
        if !self.follows() && !path.contains(&b'/') {
            return self.look_with(
                &from,
                &Name::new(path).map_err(|error| no_name(path, error))?,
                AtFlags::STATX_FORCE_SYNC,
            );
        }
        let flags = if self.follows() { OFlags::PATH } else { OFlags::PATH | OFlags::NOFOLLOW };
        match afresh(|| self.resolve(&from, path, flags).and_then(|found| self.status_of(found.as_fd()))) {
            Ok(status) => Ok(Some(status)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => Ok(None),
            Err(errno) => Err(failed_to_resolve("look at", path, errno)),
        }
    }

    fn has_one_path(&self, found: &Status) -> bool {
        let root = self.root.read().unwrap_or_else(PoisonError::into_inner);
        let mount = self.mount_of(root.place.mount, device_of(root.place.device));
        !self.follows() && root.folding == Folding::Never && found.mount == mount
    }

    fn is_the_only_path(&self, from: &Dir, path: &SharePath) -> Result<bool> {
        let look = |path: &[u8]| match self.look_path(from, path) {
            Err(error) if error.cause == Cause::LongName => Ok(None),
            looked => looked,
        };
        if let Some(status) = look(path.as_bytes())? {
            return Ok(self.has_one_path(&status));
        }
        let Some((parent, _)) = path.split().filter(|_| path.as_bytes().is_ascii()) else { return Ok(false) };
        Ok(look(parent.as_bytes())?.is_some_and(|folder| folder.kind == Kind::Dir && self.has_one_path(&folder)))
    }

    fn folding(&self, dir: &Dir) -> Folding {
        fd(&dir.0).map_or(Folding::Perhaps, probe::folding)
    }

    fn link_target(&self, at: &Dir, name: &Name) -> Result<Option<Box<[u8]>>> {
        if !self.follows() {
            return Ok(None);
        }
        match rustix::fs::readlinkat(fd(&at.0)?, name.as_bytes(), Vec::new()) {
            Ok(target) => Ok(Some(target.into_bytes().into())),
            Err(Errno::INVAL | Errno::NOENT) => Ok(None),
            Err(errno) => Err(failed("read the link", name.as_bytes(), errno)),
        }
    }

    fn names(&self, dir: &Dir, each: &mut dyn FnMut(Name) -> ControlFlow<()>) -> Result<()> {
        walk::names(dir, each)
    }

    fn open(&self, at: &Dir, name: &Name) -> Result<Opened> {
        self.open_at(at, name.as_bytes())
    }

    fn open_path(&self, from: &Dir, path: &[u8]) -> Result<Opened> {
        if path.is_empty() {
            return self.dir_status(from).map(Opened::Dir);
        }
        match reached(self.within_reach(from, path))? {
            Some((from, path)) => self.open_at(&from, path),
            None => Ok(Opened::Nothing),
        }
    }

    fn status(&self, file: &File) -> Result<Status> {
        self.status_of(fd(&file.0)?).map_err(|errno| failed("look at", b"", errno))
    }

    fn read(&self, file: &File, offset: u64, into: &mut [u8]) -> Result<usize> {
        let file = fd(&file.0)?;
        retry_on_intr(|| rustix::io::pread(file, &mut *into, offset)).map_err(|errno| failed("read", b"", errno))
    }

    fn list(&self, dir: &Dir, each: &mut dyn FnMut(Entry) -> ControlFlow<()>) -> Result<()> {
        walk::walk(self, dir, each)
    }

    fn create_nameless(&self, at: &Dir) -> Result<File> {
        match create(fd(&at.0)?, b".", OFlags::TMPFILE) {
            Ok(fd) => Ok(self.file(fd)),
            // What ext4 says of a folder that was removed.
            Err(Errno::PERM) if self.dir_status(at).is_ok_and(|status| status.links == 0) => {
                Err(failed("create a nameless file in", b"", Errno::NOENT))
            }
            // What kernels and file systems say that do not know O_TMPFILE (open(2)).
            Err(errno @ (Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOSYS)) => {
                Err(DiskError { cause: Cause::Unsupported, ..failed("create a nameless file in", b"", errno) })
            }
            Err(errno) => Err(failed("create a nameless file in", b"", errno)),
        }
    }

    fn create_named(&self, at: &Dir, name: &Name) -> Result<File> {
        let created = create(fd(&at.0)?, name.as_bytes(), OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW);
        created.map(|fd| self.file(fd)).map_err(|errno| failed("create", name.as_bytes(), errno))
    }

    fn reserve(&self, file: &File, bytes: Range<u64>) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let file = fd(&file.0)?;
        let length = bytes.end - bytes.start;
        match retry_on_intr(|| rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, bytes.start, length)) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            Err(errno) => Err(failed("reserve room for", b"", errno)),
        }
    }

    fn write(&self, file: &File, mut offset: u64, mut bytes: &[u8]) -> Result<()> {
        let file = fd(&file.0)?;
        let whole = offset..offset + bytes.len() as u64;
        while !bytes.is_empty() {
            match retry_on_intr(|| rustix::io::pwrite(file, bytes, offset)) {
                Ok(0) => return Err(failed("write", b"", Errno::IO)),
                Ok(written) => {
                    bytes = &bytes[written..];
                    offset += written as u64;
                }
                Err(errno) => return Err(failed("write", b"", errno)),
            }
        }
        match write_out::completed(whole).filter(|_| self.options.syncs) {
            Some(stretch) => write_out::begin(file, stretch).map_err(|errno| failed("write", b"", errno)),
            None => Ok(()),
        }
    }

    fn share_blocks(&self, from: &File, to: &File) -> Result<()> {
        match rustix::fs::ioctl_ficlone(fd(&to.0)?, fd(&from.0)?) {
            Ok(()) => Ok(()),
            // None of them says more than that the blocks cannot be shared (ioctl_ficlonerange(2)).
            Err(
                errno @ (Errno::XDEV | Errno::INVAL | Errno::PERM | Errno::OPNOTSUPP | Errno::NOTTY | Errno::TXTBSY),
            ) => Err(DiskError { cause: Cause::Unsupported, ..failed("share the blocks of", b"", errno) }),
            Err(errno) => Err(failed("share the blocks of", b"", errno)),
        }
    }

    fn copy_attributes(&self, from: &File, to: &File) -> Result<()> {
        attributes::copy(fd(&from.0)?, fd(&to.0)?).map_err(|errno| failed("copy the attributes of", b"", errno))
    }

    fn copy_dir_attributes(&self, from: &Dir, to: &Dir) -> Result<()> {
        attributes::copy(fd(&from.0)?, fd(&to.0)?).map_err(|errno| failed("copy the attributes of", b"", errno))
    }

    fn inherit_group(&self, folder: &Dir, to: &File) -> Result<()> {
        attributes::inherit_group(fd(&folder.0)?, fd(&to.0)?)
            .map_err(|errno| failed("copy the attributes of", b"", errno))
    }

    fn inherit_dir_group(&self, folder: &Dir, to: &Dir) -> Result<()> {
        attributes::inherit_group(fd(&folder.0)?, fd(&to.0)?)
            .map_err(|errno| failed("copy the attributes of", b"", errno))
    }

    fn set_dir_mtime(&self, dir: &Dir, mtime: Timestamp) -> Result<()> {
        set_mtime_of(&dir.0, mtime)
    }

    fn set_mtime(&self, file: &File, mtime: Timestamp) -> Result<()> {
        set_mtime_of(&file.0, mtime)
    }

    fn set_permissions(&self, file: &File, bits: u32) -> Result<()> {
        let mode = Mode::from_raw_mode(bits & 0o777);
        rustix::fs::fchmod(fd(&file.0)?, mode).map_err(|errno| failed("set the permissions of", b"", errno))
    }

    fn sync_file(&self, file: &File) -> Result<()> {
        if !self.options.syncs {
            return Ok(());
        }
        sync(fd(&file.0)?).map_err(|errno| failed("sync", b"", errno))
    }

    fn sync_dir(&self, dir: &Dir) -> Result<()> {
        if !self.options.syncs {
            return Ok(());
        }
        match sync(fd(&dir.0)?) {
            // Some file systems have nothing to sync in a directory, and say so (fsync(2)).
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(errno) => Err(failed("sync a folder", b"", errno)),
        }
    }

    fn sync_file_system(&self, dir: &Dir) -> Result<()> {
        rustix::fs::syncfs(fd(&dir.0)?).map_err(|errno| failed("sync a file system", b"", errno))
    }

    fn finish_writing(&self, file: File) -> Result<File> {
        if Arc::strong_count(&file.0) != 1 {
            let message = "the handle it was written with is still held elsewhere";
            return Err(refused("finish writing", b"", Cause::InUse, message));
        }
        let reading = self.open_again(fd(&file.0)?, OFlags::RDONLY | OFlags::NOCTTY);
        reading.map(|fd| self.file(fd)).map_err(|errno| failed("finish writing", b"", errno))
    }

    fn link(&self, file: &File, at: &Dir, name: &Name) -> Result<()> {
        if !self.abilities().link {
            return Err(refused("link", name.as_bytes(), Cause::Unsupported, "not to be had here"));
        }
        // By its place in /proc, since linking an open file by its descriptor alone needs a privilege (linkat(2)).
        let (file, at) = (DecInt::from_fd(fd(&file.0)?), fd(&at.0)?);
        rustix::fs::linkat(&self.handles, file.as_c_str(), at, name.as_bytes(), AtFlags::SYMLINK_FOLLOW)
            .map_err(|errno| failed("link", name.as_bytes(), errno))
    }

    fn rename_new(&self, from: (&Dir, &Name), to: (&Dir, &Name)) -> Result<()> {
        if !self.abilities().no_replace {
            return Err(refused("rename", from.1.as_bytes(), Cause::Unsupported, "not to be had here"));
        }
        self.rename("rename", from, to, RenameFlags::NOREPLACE)
    }

    fn rename_over(&self, from: (&Dir, &Name), to: (&Dir, &Name)) -> Result<()> {
        self.rename("rename", from, to, RenameFlags::empty())
    }

    fn exchange(&self, one: (&Dir, &Name), other: (&Dir, &Name)) -> Result<()> {
        if !self.abilities().exchange {
            return Err(refused("exchange", one.1.as_bytes(), Cause::Unsupported, "not to be had here"));
        }
        self.rename("exchange", one, other, RenameFlags::EXCHANGE)
    }

    fn make_dir(&self, at: &Dir, name: &Name, private: bool) -> Result<()> {
        let mode = Mode::from_raw_mode(if private { 0o700 } else { 0o777 });
        rustix::fs::mkdirat(fd(&at.0)?, name.as_bytes(), mode)
            .map_err(|errno| failed("make the folder", name.as_bytes(), errno))
    }

    fn make_private(&self, dir: &Dir) -> Result<()> {
        rustix::fs::fchmod(fd(&dir.0)?, Mode::RWXU).map_err(|errno| failed("make private", b"", errno))
    }

    fn user(&self) -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn unlink(&self, at: &Dir, name: &Name) -> Result<()> {
        rustix::fs::unlinkat(fd(&at.0)?, name.as_bytes(), AtFlags::empty())
            .map_err(|errno| self.in_use_or_mounted(failed("remove", name.as_bytes(), errno), &[(at, name)]))
    }

    fn remove_dir(&self, at: &Dir, name: &Name) -> Result<()> {
        match rustix::fs::unlinkat(fd(&at.0)?, name.as_bytes(), AtFlags::REMOVEDIR) {
            Ok(()) => Ok(()),
            // Both words are allowed for it (rmdir(2)).
            Err(Errno::EXIST) => Err(failed("remove the folder", name.as_bytes(), Errno::NOTEMPTY)),
            Err(errno) => {
                Err(self.in_use_or_mounted(failed("remove the folder", name.as_bytes(), errno), &[(at, name)]))
            }
        }
    }

    fn has_mounts_below(&self, at: &Dir, name: &Name) -> Result<bool> {
        let failed = |errno| failed("look for mounts in", name.as_bytes(), errno);
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        let folder = rustix::fs::openat(fd(&at.0)?, name.as_bytes(), flags | OFlags::CLOEXEC, Mode::empty());
        let folder = folder.map_err(failed)?;
        mounts::any_below(self.handles.as_fd(), folder.as_fd()).map_err(failed)
    }

    fn lease(&self, file: &File, patience: Duration) -> Result<Leased> {
        let raw = fd(&file.0)?;
        if !self.abilities().lease || !(self.is_on_root_mount(raw) || probe::leases_are_sound(raw)) {
            return Ok(Leased::Unavailable);
        }
        let handle = handle_of(&file.0)?;
        if handle.leased.load(Ordering::Relaxed) {
            return Err(refused("lease", b"", Cause::Failed, "this handle has held a lease before"));
        }
        let leased = lease::take(file, patience);
        handle.leased.store(matches!(leased, Leased::Held(_)), Ordering::Relaxed);
        Ok(leased)
    }

    fn space(&self, dir: &Dir) -> Result<Space> {
        let dir = fd(&dir.0)?;
        let failed = |errno| failed("look for room in", b"", errno);
        let found = rustix::fs::fstatvfs(dir).map_err(failed)?;
        let stat = rustix::fs::fstat(dir).map_err(failed)?;
        Ok(Space {
            total: found.f_blocks.saturating_mul(found.f_frsize),
            free: found.f_bavail.saturating_mul(found.f_frsize),
            files_total: found.f_files,
            files_free: found.f_favail,
            file_system: probe::file_system(dir, stat.st_dev, found.f_fsid),
        })
    }

    fn clock(&self, dir: &Dir) -> Result<Timestamp> {
        match self.create_nameless(dir).and_then(|file| self.status(&file)) {
            Ok(status) => Ok(status.stamp.ctime),
            // Where nothing can be made there is no better clock than the system's.
            Err(_) => Ok(Timestamp::from_system(SystemTime::now())),
        }
    }

    fn wait(&self, while_: Duration) {
        std::thread::sleep(while_);
    }
}

impl Place {
    fn of(found: &Statx) -> Self {
        Self {
            device: (found.stx_dev_major, found.stx_dev_minor),
            inode: found.stx_ino,
            mount: found.stx_mnt_id,
            is_mount: found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT),
        }
    }
}

fn open_handles() -> Result<OwnedFd> {
    let path = "/proc/self/fd";
    retry_on_intr(|| rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()))
        .map_err(|errno| DiskError { cause: Cause::Unsupported, ..failed("open", path.as_bytes(), errno) })
}

fn open_root(folder: &Path) -> Result<(Dir, Place)> {
    let name = folder.as_os_str().as_encoded_bytes();
    let failed = |errno| of_root("open", name, errno);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = retry_on_intr(|| rustix::fs::openat(CWD, folder, flags, Mode::empty())).map_err(failed)?;
    let found = rustix::fs::statx(&fd, c"", AtFlags::EMPTY_PATH, ASKED).map_err(failed)?;
    let handle = Handle { fd, place: None, leased: AtomicBool::new(false) };
    Ok((Dir(Arc::new(handle)), Place::of(&found)))
}

/// Says at once that nothing will work, rather than at the first request.
fn require_openat2(root: &Dir) -> Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::openat2(fd(&root.0)?, c".", flags, Mode::empty(), ResolveFlags::BENEATH) {
        Err(Errno::NOSYS | Errno::PERM) => {
            Err(refused("open", b".", Cause::Unsupported, "this system has no openat2 (Linux 5.6 has)"))
        }
        _ => Ok(()),
    }
}

/// Creates a file, open for writing. What is left of mode 0666 is the umask's to say, or the folder's default list's.
fn create(at: BorrowedFd<'_>, name: &[u8], flags: OFlags) -> std::result::Result<OwnedFd, Errno> {
    let flags = flags | OFlags::RDWR | OFlags::CLOEXEC;
    retry_on_intr(|| rustix::fs::openat(at, name, flags, Mode::from_raw_mode(0o666)))
}

/// Brings a file or a folder to the disk. XFS that was shut down meanwhile has thrown away what was to be synced, and says that nothing was left
/// to do; but it tells nothing of a file any more.
fn sync(file: BorrowedFd<'_>) -> std::result::Result<(), Errno> {
    retry_on_intr(|| rustix::fs::fsync(file))?;
    rustix::fs::fstat(file).map(drop)
}

/// Looks once more where a name was remembered as something else than it is by now: a file system behind another program (FUSE) says so by an
/// error, and what was remembered is forgotten with it.
fn afresh<T>(look: impl Fn() -> std::result::Result<T, Errno>) -> std::result::Result<T, Errno> {
    match look() {
        Err(Errno::IO | Errno::STALE) => look(),
        looked => looked,
    }
}

/// Opens a name anew below a descriptor.
fn openat_again(at: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> std::result::Result<OwnedFd, Errno> {
    retry_on_intr(|| rustix::fs::openat(at, name, flags | OFlags::CLOEXEC, Mode::empty()))
}

/// Sets both times, the access time to what it is: file systems in user space take `UTIME_OMIT` (utimensat(2)) for success, and set neither.
fn set_mtime_of(handle: &Arc<dyn RawHandle>, mtime: Timestamp) -> Result<()> {
    let file = fd(handle)?;
    let set = || {
        let there = rustix::fs::fstat(file)?;
        let times = Timestamps {
            last_access: Timespec { tv_sec: there.st_atime, tv_nsec: there.st_atime_nsec as _ },
            last_modification: Timespec { tv_sec: mtime.seconds(), tv_nsec: i64::from(mtime.subsecond_nanoseconds()) },
        };
        rustix::fs::futimens(file, &times)
    };
    set().map_err(|errno| failed("set the time of", b"", errno))
}

fn fd(handle: &Arc<dyn RawHandle>) -> Result<BorrowedFd<'_>> {
    handle.fd().ok_or_else(|| refused("use", b"", Cause::Unsupported, "a handle of another disk"))
}

fn handle_of(handle: &Arc<dyn RawHandle>) -> Result<&Handle> {
    let handle: &dyn Any = &**handle;
    handle.downcast_ref().ok_or_else(|| refused("use", b"", Cause::Unsupported, "a handle of another disk"))
}

fn place_of(dir: &Dir) -> Option<&(Dir, Box<[u8]>)> {
    handle_of(&dir.0).ok()?.place.as_ref()
}

fn join(place: &[u8], path: &[u8]) -> Box<[u8]> {
    [place, b"/", path].concat().into()
}

/// Takes a lock that others may have too. Programs that tidy up (systemd-tmpfiles) keep a folder for themselves for a moment.
fn lock_patiently(folder: &OwnedFd) -> std::result::Result<(), Errno> {
    let lock = || retry_on_intr(|| rustix::fs::flock(folder, FlockOperation::NonBlockingLockShared));
    for _ in 1..LOCK_TRIES_MAX {
        match lock() {
            Err(Errno::WOULDBLOCK) => std::thread::sleep(LOCK_PAUSE),
            locked => return locked,
        }
    }
    lock()
}

/// Network file systems that have no such locks say so in several ways.
fn has_no_locks(errno: Errno) -> bool {
    matches!(errno, Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS | Errno::BADF | Errno::INVAL)
}

/// Which folder, on which mount.
fn folder_id(folder: BorrowedFd<'_>) -> std::result::Result<(u32, u32, u64, u64), Errno> {
    let found = rustix::fs::statx(folder, c"", AtFlags::EMPTY_PATH, StatxFlags::INO | StatxFlags::MNT_ID)?;
    Ok((found.stx_dev_major, found.stx_dev_minor, found.stx_ino, found.stx_mnt_id))
}

fn device_of((major, minor): (u32, u32)) -> u64 {
    u64::from(major) << 52 ^ u64::from(minor) << 32
}

fn no_name(path: &[u8], error: PathError) -> DiskError {
    refused("look at", path, Cause::LongName, error)
}

fn kind_of(found: &Statx) -> Kind {
    match FileType::from_raw_mode(found.stx_mode.into()) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Dir,
        FileType::Symlink => Kind::Link,
        _ => Kind::Special,
    }
}

fn timestamp(time: StatxTimestamp) -> Timestamp {
    Timestamp::new(time.tv_sec, time.tv_nsec)
}

fn failed(operation: &'static str, name: &[u8], errno: Errno) -> DiskError {
    refused(operation, name, errno::cause_of(Doing::of(operation), errno), explain(errno))
}

/// As [`failed`], for what went wrong on the way along a path.
fn failed_to_resolve(operation: &'static str, path: &[u8], errno: Errno) -> DiskError {
    let error = failed(operation, path, errno);
    if errno == Errno::XDEV { DiskError { cause: Cause::Escapes, ..error } } else { error }
}

/// Nothing lies at the end of a path whose beginning is not there.
fn reached<T>(within_reach: Result<T>) -> Result<Option<T>> {
    match within_reach {
        Ok(reached) => Ok(Some(reached)),
        Err(DiskError { cause: Cause::NotFound | Cause::NotADirectory, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// As [`failed`], for the share's own folder: a path to it that has broken off anywhere means that it is not there.
fn of_root(operation: &'static str, path: &[u8], errno: Errno) -> DiskError {
    let error = failed(operation, path, errno);
    let gone = matches!(errno, Errno::NOTDIR | Errno::NODEV | Errno::NOTCONN);
    if gone { DiskError { cause: Cause::NotFound, ..error } } else { error }
}

fn refused(operation: &'static str, name: &[u8], cause: Cause, message: impl ToString) -> DiskError {
    let name = String::from_utf8_lossy(name).into_owned();
    DiskError { operation, name, cause, message: message.to_string() }
}

/// The system's words for an error, without its number.
fn explain(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}
