//! Walking over folder trees, and removing them whole. Nothing here knows what the trees are for; what is removed lies in noclobber's own
//! folder.

use std::ops::ControlFlow;

use crate::model::path::Name;

use super::disk::Disk;
use super::naming;
use super::place::own_name;
use crate::store::disk_error::{Cause, DiskError, Result};
use crate::store::handle::Dir;
use crate::store::status::{Entry, Kind};

pub(super) fn list(disk: &dyn Disk, dir: &Dir) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    disk.list(dir, &mut |entry| {
        entries.push(entry);
        ControlFlow::Continue(())
    })?;
    Ok(entries)
}

/// A folder that is still to be walked. It is opened when it is its turn, so that a wide tree does not hold a handle for each folder.
pub(super) enum Pending {
    Open(Dir),
    In(Dir, Name),
}

impl Pending {
    pub(super) fn open(self, disk: &dyn Disk) -> Result<Dir> {
        match self {
            Self::Open(dir) => Ok(dir),
            Self::In(parent, name) => disk.open_dir(&parent, name.as_bytes()),
        }
    }
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

/// Removes a tree with all that is in it.
pub(super) fn remove_tree(disk: &dyn Disk, at: &Dir, name: &Name) -> Result<()> {
    remove_all(disk, at, name, &|dir, file| disk.unlink(dir, file))
}

/// Removes a tree of folders; [`Cause::NotEmpty`] if there is anything else in it, which stays.
pub(super) fn remove_folders(disk: &dyn Disk, at: &Dir, name: &Name) -> Result<()> {
    remove_all(disk, at, name, &|_, file| {
        let message = "something was made in it".to_owned();
        Err(DiskError { operation: "remove", name: file.to_text().into_owned(), cause: Cause::NotEmpty, message })
    })
}

/// However deep the tree is: every folder in it is first moved up to the top, so that neither the stack nor the number of open folders grows
/// with the depth.
fn remove_all(disk: &dyn Disk, at: &Dir, name: &Name, file: &dyn Fn(&Dir, &Name) -> Result<()>) -> Result<()> {
    let top = disk.open_dir(at, name.as_bytes())?;
    let mut todo = Vec::new();
    let mut moved = 0_u64;
    files_and_folders(disk, &top, file, &mut |folder| {
        todo.push(folder);
        Ok(())
    })?;
    while let Some(folder) = todo.pop() {
        let dir = disk.open_dir(&top, folder.as_bytes())?;
        files_and_folders(disk, &dir, file, &mut |inner| {
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

fn files_and_folders(
    disk: &dyn Disk,
    dir: &Dir,
    file: &dyn Fn(&Dir, &Name) -> Result<()>,
    folder: &mut dyn FnMut(Name) -> Result<()>,
) -> Result<()> {
    for entry in list(disk, dir)? {
        match entry.status.kind {
            Kind::Dir => folder(entry.name)?,
            _ => file(dir, &entry.name)?,
        }
    }
    Ok(())
}

/// Whether the folder at `folder`, a path from `top`, is there and holds nothing.
pub(super) fn is_empty_dir(disk: &dyn Disk, top: &Dir, folder: &[u8]) -> bool {
    let Ok(dir) = disk.open_dir(top, folder) else { return false };
    let mut is_empty = true;
    let listed = disk.list(&dir, &mut |_| {
        is_empty = false;
        ControlFlow::Break(())
    });
    listed.is_ok() && is_empty
}

/// Calls `each` for every entry of a folder until it fails.
pub(super) fn each_entry(disk: &dyn Disk, dir: &Dir, each: &mut dyn FnMut(Entry) -> Result<()>) -> Result<()> {
    let mut failed: Option<DiskError> = None;
    disk.list(dir, &mut |entry| match each(entry) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    })?;
    failed.map_or(Ok(()), Err)
}
