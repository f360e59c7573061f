//! What is known of the file systems that are mounted in the share, besides that of its top: each is tried when something is first to be done there.
//!
//! They are known by the numbers of their mounts, which Linux uses once since version 6.8. Nothing here holds a mount in use.

use std::collections::HashMap;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use parking_lot::RwLock;
use rustix::fs::{AtFlags, Mode, OFlags, Statx};
use rustix::io::{Errno, retry_on_intr};

use super::probe::{self, Probed};
use super::status::{ASKED, mount_number};
use crate::store::abilities::Abilities;

/// Of how many mounts something is remembered; a share has few.
const MOUNTS_MAX: usize = 1024;

/// How many folders a folder may lie below the top of its file system; below more, it is tried where it is.
const DEPTH_MAX: usize = 4096;

/// The other file systems of the share.
#[derive(Debug, Default)]
pub(super) struct FileSystems(RwLock<HashMap<u64, Known>>);

#[derive(Clone, Copy, Debug)]
struct Known {
    has_subvolumes: bool,
    /// Once it was tried.
    abilities: Option<Abilities>,
}

impl FileSystems {
    /// Whether none was ever met.
    pub(super) fn is_empty(&self) -> bool {
        self.0.read().is_empty()
    }

    /// Whether a mount holds several trees, between which nothing can be renamed. `open` opens what was `found` there, if it can.
    pub(super) fn has_subvolumes(&self, found: &Statx, open: impl FnOnce() -> Option<OwnedFd>) -> bool {
        let mount = mount_number(found);
        if let Some(known) = self.0.read().get(&mount) {
            return known.has_subvolumes;
        }
        // Something else may have come there since: it is asked again when it is met again.
        let opened = open().filter(|opened| look(opened.as_fd()).is_ok_and(|now| mount_number(&now) == mount));
        let has_subvolumes = opened.is_some_and(|opened| probe::has_subvolumes(opened.as_fd()));
        self.note(mount, Known { has_subvolumes, abilities: None });
        has_subvolumes
    }

    /// What a mount was found to be able to do, if it was tried.
    pub(super) fn tried(&self, mount: u64) -> Option<Abilities> {
        self.0.read().get(&mount).and_then(|known| known.abilities)
    }

    /// What the file system of a folder can do, which is on this mount. Where it could not be tried now it will be tried again.
    pub(super) fn abilities(
        &self,
        mount: u64,
        folder: BorrowedFd<'_>,
        handles: BorrowedFd<'_>,
    ) -> Result<Abilities, Errno> {
        if let Some(abilities) = self.tried(mount) {
            return Ok(abilities);
        }
        let top = top_of(folder, mount)?;
        let Probed { abilities, is_guess } = probe::probe(top.as_fd(), handles);
        let has_subvolumes = probe::has_subvolumes(top.as_fd());
        self.note(mount, Known { has_subvolumes, abilities: (!is_guess).then_some(abilities) });
        Ok(abilities)
    }

    fn note(&self, mount: u64, known: Known) {
        let mut all = self.0.write();
        if all.len() >= MOUNTS_MAX {
            all.clear();
        }
        all.insert(mount, known);
    }
}

/// The topmost folder of the file system that a folder is on, as far as it is mounted there. noclobber's own folder is there too.
fn top_of(folder: BorrowedFd<'_>, mount: u64) -> Result<OwnedFd, Errno> {
    let open = |at: BorrowedFd<'_>, name: &str, flags: OFlags| {
        retry_on_intr(|| rustix::fs::openat(at, name, flags | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()))
    };
    let mut top = open(folder, ".", OFlags::PATH)?;
    for _ in 0..DEPTH_MAX {
        // What may not be entered is not gone through.
        let Ok(above) = open(top.as_fd(), "..", OFlags::PATH) else { break };
        let (found, here) = (look(above.as_fd())?, look(top.as_fd())?);
        let is_same = (found.stx_ino, found.stx_dev_major, found.stx_dev_minor)
            == (here.stx_ino, here.stx_dev_major, here.stx_dev_minor);
        if mount_number(&found) != mount || is_same {
            break;
        }
        top = above;
    }
    open(top.as_fd(), ".", OFlags::RDONLY).or_else(|_| open(folder, ".", OFlags::RDONLY))
}

fn look(fd: BorrowedFd<'_>) -> Result<Statx, Errno> {
    rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, ASKED)
}
