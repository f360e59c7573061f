//! Open files and directories, and the calls that work on one handle alone.

use std::any::Any;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use rustix::fs::{CWD, Mode, OFlags, Timespec, Timestamps};
use rustix::io::{Errno, retry_on_intr};

use super::attributes::set_mode;
use super::errno::{failed, refused};
use crate::model::stamp::Timestamp;
use crate::store::disk_error::{Cause, DiskError, Result};
use crate::store::handle::{Dir, File, RawHandle};

/// An open file or directory.
#[derive(Debug)]
pub(super) struct Handle {
    fd: OwnedFd,
    /// Where links are followed: the share's top and the path from there, so that a link may lead up and down again.
    pub(super) place: Option<(Dir, Box<[u8]>)>,
    /// The number of the mount that it lies on, once that was asked for.
    pub(super) mount: OnceLock<u64>,
    /// Whether a lease was asked for and had: it must never be asked for again.
    pub(super) leased: AtomicBool,
}

impl Handle {
    pub(super) fn new(fd: OwnedFd, place: Option<(Dir, Box<[u8]>)>) -> Arc<Self> {
        Arc::new(Self { fd, place, mount: OnceLock::new(), leased: AtomicBool::new(false) })
    }

    pub(super) fn file(fd: OwnedFd) -> File {
        File(Self::new(fd, None))
    }
}

impl RawHandle for Handle {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.fd.as_fd())
    }
}

pub(super) fn open_handles() -> Result<OwnedFd> {
    let path = "/proc/self/fd";
    retry_on_intr(|| rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()))
        .map_err(|errno| DiskError { cause: Cause::Unsupported, ..failed("open", path.as_bytes(), errno) })
}

/// Creates a file, open for writing. Without a mode, what is left of 0666 is the umask's to say, or the folder's default list's.
pub(super) fn create(
    at: BorrowedFd<'_>,
    name: &[u8],
    flags: OFlags,
    mode: Option<u32>,
) -> std::result::Result<OwnedFd, Errno> {
    let flags = flags | OFlags::RDWR | OFlags::CLOEXEC;
    let file = retry_on_intr(|| rustix::fs::openat(at, name, flags, Mode::from_raw_mode(mode.unwrap_or(0o666))))?;
    mode.map_or(Ok(()), |mode| set_mode(file.as_fd(), mode))?;
    Ok(file)
}

/// Sets the mode of a folder that was made just now; it hands its group on if the folder that it is in does (inode(7)).
pub(super) fn set_mode_of_new_dir(at: BorrowedFd<'_>, name: &[u8], mode: u32) -> std::result::Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = retry_on_intr(|| rustix::fs::openat(at, name, flags, Mode::empty()))?;
    let hands_on = rustix::fs::fstat(&made)?.st_mode & 0o2000;
    set_mode(made.as_fd(), mode | hands_on)
}

/// Brings a file or a folder to the disk. XFS that was shut down meanwhile has thrown away what was to be synced, and says that nothing was left
/// to do; but it tells nothing of a file any more.
pub(super) fn sync(file: BorrowedFd<'_>) -> std::result::Result<(), Errno> {
    retry_on_intr(|| rustix::fs::fsync(file))?;
    rustix::fs::fstat(file).map(drop)
}

/// Opens a name anew below a descriptor.
pub(super) fn openat_again(at: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> std::result::Result<OwnedFd, Errno> {
    retry_on_intr(|| rustix::fs::openat(at, name, flags | OFlags::CLOEXEC, Mode::empty()))
}

/// Sets both times, the access time to what it is: file systems in user space take `UTIME_OMIT` (utimensat(2)) for success, and set neither.
pub(super) fn set_mtime_of(handle: &Arc<dyn RawHandle>, mtime: Timestamp) -> Result<()> {
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

pub(super) fn fd(handle: &Arc<dyn RawHandle>) -> Result<BorrowedFd<'_>> {
    handle.fd().ok_or_else(|| refused("use", b"", Cause::Unsupported, "a handle of another disk"))
}

pub(super) fn handle_of(handle: &Arc<dyn RawHandle>) -> Result<&Handle> {
    let handle: &dyn Any = &**handle;
    handle.downcast_ref().ok_or_else(|| refused("use", b"", Cause::Unsupported, "a handle of another disk"))
}
