//! The folder that is served: opened, locked, and opened again when another directory has come to its place.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{RwLock, RwLockReadGuard};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, Statx, StatxAttributes};
use rustix::io::{Errno, retry_on_intr};

use super::super::disk::Folding;
use super::errno::{failed, of_root, refused};
use super::handle::{Handle, fd, open_handles};
use super::probe;
use super::share_lock::{FolderLock, ShareLock};
use super::status::{ASKED, device_of, mount_number};
use crate::store::abilities::Abilities;
use crate::store::disk_error::{Cause, DiskError, Result};
use crate::store::handle::Dir;
use crate::store::share_identity::ShareIdentity;
use crate::store::status::Status;

/// How long `Disk::root` goes on without looking whether the folder is still there.
const ROOT_LOOK_EVERY: Duration = Duration::from_secs(1);

/// Stands for the time of the last look while the folder is not there.
const NEVER: u64 = u64::MAX;

/// The top of the share.
#[derive(Debug)]
pub(super) struct Top {
    folder: PathBuf,
    /// Whether something was mounted at the folder: then the bare folder, without it, is not the share.
    is_mount: bool,
    /// `/proc/self/fd`, through which a handle is opened again or given a name.
    pub(super) handles: OwnedFd,
    root: RwLock<Root>,
    began: Instant,
    /// The number of the mount that it lies on.
    mount: AtomicU64,
    /// When the root was last found to be where its path leads, in milliseconds since `began`; or [`NEVER`].
    looked: AtomicU64,
    /// Whether the file system keeps several trees in one mount, between which nothing can be renamed.
    subvolumes: AtomicBool,
}

/// The folder as it was when it was last opened.
#[derive(Debug)]
struct Root {
    dir: Dir,
    place: Directory,
    abilities: Abilities,
    folding: Folding,
    /// Keeps a second process off, while it is open.
    lock: Option<ShareLock>,
}

/// Which directory a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Directory {
    device: (u32, u32),
    inode: u64,
    mount: u64,
    /// Whether something is mounted right here.
    is_mount: bool,
}

impl Directory {
    fn of(found: &Statx) -> Self {
        Self {
            device: (found.stx_dev_major, found.stx_dev_minor),
            inode: found.stx_ino,
            mount: mount_number(found),
            is_mount: found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT),
        }
    }
}

fn open_root(folder: &Path) -> Result<(Dir, Directory)> {
    let name = folder.as_os_str().as_encoded_bytes();
    let failed = |errno| of_root("open", name, errno);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = retry_on_intr(|| rustix::fs::openat(CWD, folder, flags, Mode::empty())).map_err(failed)?;
    let found = rustix::fs::statx(&fd, c"", AtFlags::EMPTY_PATH, ASKED).map_err(failed)?;
    Ok((Dir(Handle::new(fd, None)), Directory::of(&found)))
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

impl Top {
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let shown = folder.as_os_str().as_encoded_bytes();
        let folder = std::path::absolute(folder).map_err(|error| refused("open", shown, Cause::Failed, error))?;
        let handles = open_handles()?;
        let (dir, place) = open_root(&folder)?;
        require_openat2(&dir)?;
        let abilities = probe::probe(fd(&dir.0)?, handles.as_fd()).abilities;
        Ok(Self {
            folder,
            is_mount: place.is_mount,
            handles,
            mount: AtomicU64::new(place.mount),
            subvolumes: AtomicBool::new(probe::has_subvolumes(fd(&dir.0)?)),
            root: RwLock::new(Root { folding: probe::folding(fd(&dir.0)?), dir, place, abilities, lock: None }),
            began: Instant::now(),
            looked: AtomicU64::new(0),
        })
    }

    /// What is served now, wherever the path of the share may lead by now.
    pub(super) fn root(&self) -> Result<Dir> {
        if self.is_fresh() {
            return Ok(self.read().dir.clone());
        }
        self.root_afresh()
    }

    pub(super) fn root_afresh(&self) -> Result<Dir> {
        let looked = self.look();
        let now = looked.as_ref().map_or(NEVER, |_| self.began.elapsed().as_millis() as u64);
        self.looked.store(now, Ordering::Relaxed);
        looked
    }

    pub(super) fn abilities(&self) -> Abilities {
        self.read().abilities
    }

    /// Whether what was found lies on the mount of the share's top, where names are one whatever their case.
    pub(super) fn has_one_path(&self, found: &Status) -> bool {
        let root = self.read();
        let subvolumes = self.has_subvolumes();
        let mount = mount_of(root.place.mount, device_of(root.place.device), subvolumes);
        root.folding == Folding::Never && found.mount == mount
    }

    fn read(&self) -> RwLockReadGuard<'_, Root> {
        self.root.read()
    }

    fn name(&self) -> &[u8] {
        self.folder.as_os_str().as_encoded_bytes()
    }

    /// Locks the folder, so that only one process serves it. Fails with [`Cause::InUse`] if another one does already, or serves a folder in
    /// it or above it. What is above a folder that may not be read is not found out, nor is another place where a part of it is mounted.
    /// The lock ends with this value.
    pub(super) fn lock(&self) -> Result<FolderLock> {
        let mut root = self.root.write();
        if root.lock.is_none() {
            root.lock = ShareLock::take(&root.dir, self.name())?;
        }
        Ok(if root.lock.is_some() { FolderLock::Held } else { FolderLock::Unavailable })
    }

    /// Which share this is, for what is kept of it elsewhere.
    pub(super) fn identity(&self) -> Result<ShareIdentity> {
        let name = self.name();
        let root = self.read();
        let file_system = rustix::fs::fstatvfs(fd(&root.dir.0)?).map_err(|errno| failed("look at", name, errno))?;
        let mut folder = [0; 16];
        folder[..8].copy_from_slice(&file_system.f_fsid.to_le_bytes());
        folder[8..].copy_from_slice(&root.place.inode.to_le_bytes());
        let path = std::fs::canonicalize(&self.folder).unwrap_or_else(|_| self.folder.clone());
        Ok(ShareIdentity { path, folder })
    }

    /// Looks where the path of the share leads now, and opens it again if that is another directory than before.
    fn look(&self) -> Result<Dir> {
        let root = self.read();
        if self.place_now()? == root.place {
            return Ok(root.dir.clone());
        }
        drop(root);
        let mut root = self.root.write();
        // Somebody else may have opened it again by now, and with it the lock, which cannot be had twice.
        if self.place_now()? != root.place {
            self.replace_root(&mut root)?;
        }
        Ok(root.dir.clone())
    }

    /// Where the path of the share leads now.
    fn place_now(&self) -> Result<Directory> {
        let name = self.name();
        let found = rustix::fs::statx(CWD, &self.folder, AtFlags::empty(), ASKED)
            .map_err(|errno| of_root("look at", name, errno))?;
        let place = Directory::of(&found);
        if self.is_mount && !place.is_mount {
            return Err(refused("look at", name, Cause::NotFound, "what was mounted there is gone"));
        }
        Ok(place)
    }

    fn replace_root(&self, root: &mut Root) -> Result<()> {
        let (dir, place) = open_root(&self.folder).map_err(|error| self.out_of_reach(error))?;
        let lock = if root.lock.is_some() { ShareLock::take(&dir, self.name())? } else { None };
        let abilities = if place.device == root.place.device && place.mount == root.place.mount {
            root.abilities
        } else {
            probe::probe(fd(&dir.0)?, self.handles.as_fd()).abilities
        };
        self.mount.store(place.mount, Ordering::Relaxed);
        self.subvolumes.store(probe::has_subvolumes(fd(&dir.0)?), Ordering::Relaxed);
        let folding = probe::folding(fd(&dir.0)?);
        *root = Root { dir, place, abilities, folding, lock };
        Ok(())
    }

    /// What is told of another folder that this process may not read: the kernel may have confined it to the one before. The share is not there.
    fn out_of_reach(&self, error: DiskError) -> DiskError {
        if error.cause != Cause::NotReadable {
            return error;
        }
        let message = "another folder has come there, which a server that is confined to the first (Landlock) can serve when it is started again";
        refused("open", self.name(), Cause::NotFound, message)
    }

    /// Whether this is the mount that it lies on. Other file systems may be mounted inside the share.
    pub(super) fn is_on(&self, mount: u64) -> bool {
        self.mount.load(Ordering::Relaxed) == mount
    }

    /// Whether its mount holds several trees, between which nothing can be renamed.
    pub(super) fn has_subvolumes(&self) -> bool {
        self.subvolumes.load(Ordering::Relaxed)
    }

    fn is_fresh(&self) -> bool {
        let looked = self.looked.load(Ordering::Relaxed);
        looked != NEVER && self.began.elapsed().saturating_sub(Duration::from_millis(looked)) < ROOT_LOOK_EVERY
    }
}

/// What counts as one mount.
pub(super) fn mount_of(mount: u64, device: u64, has_subvolumes: bool) -> u64 {
    if has_subvolumes { mount ^ device } else { mount }
}
