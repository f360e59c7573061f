//! How the folder of noclobber's own is laid out.
//!
//! The entries of a path lie in a folder of its name. The folders of the names in one folder lie in one of the reserved name, which is in the folder
//! that stands for that one: `.noclobber/history/docs/.noclobber/report.odt/ENTRY`. No member of a folder can have the reserved name, so nothing
//! that a client calls a file is ever taken for an entry, nor an entry for a folder of the share; and a file whose neighbours have entries takes
//! one folder more.

use crate::model::path::{Name, RESERVED, SharePath};

use super::super::disk::Disk;
use super::super::place::own_name;
use crate::store::disk_error::{Cause, DiskError, Result};
use crate::store::handle::Dir;

/// The file that stands in noclobber's own folder while a process may have commits under way.
pub(super) const RUNNING: &str = "running";

/// The folder in there for what is kept.
pub(super) const HISTORY: &str = "history";

/// The folder in there for what was displaced and is not kept.
pub(super) const SWAP: &str = "swap";

/// The folder in there for uploads that need a name.
pub(super) const UPLOADS: &str = "uploads";

/// The folder in there that notes, as folders of the same names, where other file systems in the share have a history.
pub(super) const MOUNTS: &str = "mounts";

/// The folder in there for files that are set aside, so that something can still be deleted when the disk is full.
pub(super) const SPARE: &str = "spare";

pub(super) fn names(joined: &[u8]) -> impl Iterator<Item = Name> + '_ {
    let parts = joined.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
    parts.map(|part| Name::new(part).expect("a part of a path that is clean"))
}

pub(in super::super) fn relative<'a>(path: &'a SharePath, top: &SharePath) -> &'a [u8] {
    let below = &path.as_bytes()[top.as_bytes().len()..];
    below.strip_prefix(b"/").unwrap_or(below)
}

pub(super) fn found(opened: Result<Dir>) -> Result<Option<Dir>> {
    match opened {
        Ok(dir) => Ok(Some(dir)),
        Err(DiskError { cause: Cause::NotFound | Cause::NotADirectory, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Something stands where a folder of noclobber's own should be. It is nothing that the client asked for, so it is never said to be missing.
pub(super) fn in_the_way(error: DiskError) -> DiskError {
    match error.cause {
        Cause::NotADirectory | Cause::Escapes => DiskError { cause: Cause::Failed, ..error },
        _ => error,
    }
}

/// The folder that stands for a path, from the top of its file system.
pub(super) fn folder_of(area: &str, below_top: &[u8]) -> Vec<u8> {
    let mut path = format!("{RESERVED}/{area}").into_bytes();
    if !below_top.is_empty() {
        path.push(b'/');
        path.extend_from_slice(below_top);
    }
    path
}

/// The folder for the entries of a path, from the top of its file system. That of the top itself, which nothing displaces, is never there.
pub(super) fn entries_of(area: &str, below_top: &[u8]) -> Box<[u8]> {
    let (folder, name) = split(below_top);
    [&*folder_of(area, folder), b"/", RESERVED.as_bytes(), b"/", name].concat().into()
}

/// The names of the folders on the way to the entries of a path, from the top of its file system.
pub(super) fn names_to(area: &str, below_top: &[u8]) -> impl Iterator<Item = Name> {
    let (folder, name) = split(below_top);
    [RESERVED, area].map(own_name).into_iter().chain(names(folder)).chain([own_name(RESERVED)]).chain(names(name))
}

fn split(below_top: &[u8]) -> (&[u8], &[u8]) {
    match below_top.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&below_top[..slash], &below_top[slash + 1..]),
        None if below_top.is_empty() => (b"", RESERVED.as_bytes()),
        None => (b"", below_top),
    }
}

/// Makes a folder if it is not there; says whether it was made.
pub(super) fn ensure_dir(disk: &dyn Disk, at: &Dir, name: &Name) -> Result<bool> {
    match disk.make_dir(at, name, true) {
        Ok(()) => Ok(true),
        Err(error) if error.cause == Cause::Exists => Ok(false),
        Err(error) => Err(error),
    }
}
