//! The lock that keeps a second process off a share (flock(2)).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::fs::{AtFlags, FlockOperation, OFlags, StatxFlags};
use rustix::io::{Errno, retry_on_intr};

use super::errno::{failed, refused};
use super::handle::{fd, openat_again};
use crate::store::disk_error::{Cause, Result};
use crate::store::handle::Dir;

/// How often a folder above the share is tried to be locked, and how long between two tries.
const LOCK_TRIES_MAX: usize = 10;

const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// The locks of a share: one on its top that nobody else may have, and one on every folder above it that other shares below those may have
/// too. So neither a folder in it nor one above it is served by another process at the same time.
#[derive(Debug)]
pub(super) struct ShareLock {
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

impl ShareLock {
    /// Locks the folder `dir`, which errors call by `name`; `None` if its file system has no such locks.
    pub(super) fn take(dir: &Dir, name: &[u8]) -> Result<Option<Self>> {
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
        Ok(Some(Self { _top: top, _above: above }))
    }
}
