//! A folder that is being made, with all that is in it, before anybody sees it.
//!
//! A [`StagedTree`] lies in noclobber's own folder on the file system it is for. Dropping it removes it; what a crash leaves of it is swept at
//! the next start. It becomes visible whole, by one rename.

use std::sync::Arc;

use crate::model::path::Name;
use crate::model::stamp::FileId;

use super::super::disk::Disk;
use super::super::naming;
use super::super::place::{Running, UploadFolder};
use super::super::trees::remove_tree;
use super::{must_be_wanted, unfinished_name};
use crate::store::disk_error::{Cause, Result};
use crate::store::handle::{Dir, File};
use crate::store::status::Status;

/// How many bytes of a file are copied at once, where blocks cannot be shared.
const BUFFER_BYTES: usize = 256 << 10;

/// The right of a folder's owner to change what is in it.
const OWNER_MAY_CHANGE: u32 = 0o300;

/// A folder that nobody sees yet.
#[derive(Debug)]
pub struct StagedTree {
    disk: Arc<dyn Disk>,
    swap: Dir,
    name: Name,
    top: Dir,
    id: FileId,
    sweep: bool,
    running: Running,
    /// The folder that it is for, whose group all of it has if that hands its group on.
    heir_of: Dir,
}

impl StagedTree {
    /// Begins an empty folder in `swap`, for the folder `target`.
    pub fn begin(disk: &Arc<dyn Disk>, swap: UploadFolder, target: &Dir) -> Result<Self> {
        let UploadFolder { dir: swap, running } = swap;
        let name = loop {
            let name = unfinished_name();
            match disk.make_dir(&swap, &name, true) {
                // Left by an earlier process that could not remove it.
                Err(error) if error.cause == Cause::Exists => continue,
                made => made?,
            }
            break name;
        };
        let opened = disk.open_dir(&swap, name.as_bytes()).and_then(|top| Ok((disk.dir_status(&top)?, top)));
        match opened {
            Ok((status, top)) => Ok(Self {
                disk: Arc::clone(disk),
                swap,
                name,
                top,
                id: status.stamp.id,
                sweep: true,
                running,
                heir_of: target.clone(),
            }),
            Err(error) => {
                let _ = disk.remove_dir(&swap, &name);
                Err(error)
            }
        }
    }

    /// Which folder it is.
    pub fn id(&self) -> FileId {
        self.id
    }

    /// Opens the folder at `inside`, a path from its top; `make` says that its last name is new.
    pub fn folder(&self, inside: &[u8], make: bool) -> Result<Dir> {
        if make && !inside.is_empty() {
            let (above, name) = split(inside);
            self.disk.make_dir(&self.disk.open_dir(&self.top, above)?, &name, true)?;
        }
        self.disk.open_dir(&self.top, inside)
    }

    /// Copies an open file to a name in one of its folders, with its attributes and its date, and brings it to the disk. It ends with
    /// [`Cause::Unwanted`] when nobody wants it any more.
    pub fn copy_file(
        &self,
        (source, status): (&File, &Status),
        dir: &Dir,
        name: &Name,
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<()> {
        let disk = &self.disk;
        let copy = disk.create_named(dir, name)?;
        if disk.share_blocks(source, &copy).is_err() {
            self.copy_bytes(source, &copy, is_wanted)?;
        }
        disk.copy_attributes(source, &copy)?;
        disk.inherit_group(&self.heir_of, &copy)?;
        disk.set_mtime(&copy, status.stamp.mtime)?;
        disk.sync_file(&copy)
    }

    /// Removes a copy that was not to be had whole.
    pub fn take_away(&self, dir: &Dir, name: &Name) -> Result<()> {
        self.disk.unlink(dir, name)
    }

    /// Removes a folder whose original has gone.
    pub fn take_away_folder(&self, inside: &[u8]) -> Result<()> {
        let (above, name) = split(inside);
        self.disk.remove_dir(&self.disk.open_dir(&self.top, above)?, &name)
    }

    /// Gives one of its folders, in which everything has been made, the attributes and the date of the folder it is a copy of, and brings its names to the disk. A folder that its owner may
    /// not change stays the server's alone.
    pub fn finish_folder(&self, source: &Dir, dir: &Dir) -> Result<()> {
        let status = self.disk.dir_status(source)?;
        if status.mode & OWNER_MAY_CHANGE == OWNER_MAY_CHANGE {
            self.disk.copy_dir_attributes(source, dir)?;
            self.disk.inherit_dir_group(&self.heir_of, dir)?;
        }
        self.disk.set_dir_mtime(dir, status.stamp.mtime)?;
        self.disk.sync_dir(dir)
    }

    /// Gives it a name that clients see, if that is free.
    pub fn name_publicly(&mut self, dir: &Dir, name: &Name) -> Result<()> {
        naming::take(&*self.disk, (&self.swap, &self.name), (dir, name))?;
        self.sweep = false;
        Ok(())
    }

    /// The folder it was made in.
    pub fn made_in(&self) -> &Dir {
        &self.swap
    }

    fn copy_bytes(&self, source: &File, copy: &File, is_wanted: &dyn Fn() -> bool) -> Result<()> {
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut offset = 0;
        loop {
            must_be_wanted(is_wanted)?;
            let count = self.disk.read(source, offset, &mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            self.disk.write(copy, offset, &buffer[..count])?;
            offset += count as u64;
        }
    }
}

/// A path from the top, taken apart.
fn split(inside: &[u8]) -> (&[u8], Name) {
    let (above, name) = match inside.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&inside[..at], &inside[at + 1..]),
        None => (&inside[..0], inside),
    };
    (above, Name::new(name).expect("the name of a folder that was listed"))
}

impl Drop for StagedTree {
    /// What cannot be removed now is swept at the next start.
    fn drop(&mut self) {
        if !self.sweep {
            return;
        }
        let removed = self.disk.look(&self.swap, &self.name).and_then(|there| match there {
            Some(status) if status.stamp.id == self.id => remove_tree(&*self.disk, &self.swap, &self.name),
            _ => Ok(()),
        });
        if removed.is_err() {
            self.running.clone().stays();
        }
    }
}
