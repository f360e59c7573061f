//! Resolving paths beneath a directory handle (openat2(2)): never out of the share, and however long the path is.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::errno::{failed, failed_to_resolve};
use super::handle::{Handle, handle_of};
use crate::store::disk_error::Result;
use crate::store::handle::Dir;

/// How often a resolution that raced with a rename is tried (`EAGAIN`, openat2(2)).
const RESOLVE_TRIES_MAX: usize = 128;

/// The longest path that the system takes in one call, in bytes (`PATH_MAX` without its NUL, path_resolution(7)).
const PATH_BYTES_MAX: usize = 4095;

/// Whether symbolic links in the share are followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FollowLinks {
    /// None is: a path over a link leads nowhere.
    #[default]
    Never,
    /// Those that lead to a place inside the share are. An absolute link counts as leading out.
    Inside,
}

fn place_of(dir: &Dir) -> Option<&(Dir, Box<[u8]>)> {
    handle_of(&dir.0).ok()?.place.as_ref()
}

fn join(place: &[u8], path: &[u8]) -> Box<[u8]> {
    [place, b"/", path].concat().into()
}

/// How paths are resolved.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resolver {
    pub(super) links: FollowLinks,
}

impl Resolver {
    pub(super) fn follows(&self) -> bool {
        self.links == FollowLinks::Inside
    }

    /// Opens what `path` leads to, never leaving the share: `EXDEV` if it would, `ELOOP` over a link that is not followed.
    pub(super) fn resolve(&self, from: &Dir, path: &[u8], flags: OFlags) -> std::result::Result<OwnedFd, Errno> {
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
    pub(super) fn within_reach<'p>(&self, from: &Dir, path: &'p [u8]) -> Result<(Dir, &'p [u8])> {
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
    pub(super) fn handle(&self, fd: OwnedFd, from: &Dir, path: &[u8]) -> Arc<Handle> {
        let place = self.follows().then(|| match place_of(from) {
            Some((top, place)) => (top.clone(), join(place, path)),
            None => (from.clone(), path.into()),
        });
        Handle::new(fd, place)
    }
}
