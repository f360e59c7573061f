//! Looking at the tree without changing a name: what is there, by its path or in a folder that is open already, and what is known of an open file.
//! Whoever serves the tree asks here, and never the disk itself.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use crate::model::path::{Name, SharePath};
use crate::model::stamp::Timestamp;
use crate::store::disk_error::{Cause, Result};

use super::super::disk::Disk;
use super::super::history::FoundVersion;
use super::super::spelling::LastLink;
use super::super::staging::{NewFolders, try_name};
use super::{SeenFile, Site, Tree};
use crate::store::abilities::{Abilities, COARSEST_GRAIN};
use crate::store::handle::{Dir, File, Opened};
use crate::store::lease::Leased;
use crate::store::space::Space;
use crate::store::status::{Entry, Kind, Status};

/// An open file, for as long as somebody reads it.
#[derive(Clone, Debug)]
pub struct HeldFile {
    disk: Arc<dyn Disk>,
    file: File,
}

impl HeldFile {
    /// Looks at it.
    pub fn status(&self) -> Result<Status> {
        self.disk.status(&self.file)
    }

    /// Reads from it; 0 at its end.
    pub fn read(&self, offset: u64, into: &mut [u8]) -> Result<usize> {
        self.disk.read(&self.file, offset, into)
    }

    /// What the disk keeps behind it.
    pub fn handle(&self) -> &File {
        &self.file
    }
}

impl Tree {
    /// What the file system of the share's top can do.
    pub fn abilities(&self) -> Abilities {
        self.disk.top_abilities()
    }

    /// The grain of the clock by which what is at a path is dated; where that cannot be found out, that of the coarsest clock there is.
    pub fn time_grain(&self, path: &SharePath) -> Duration {
        if !self.disk.has_other_mounts() {
            return self.disk.top_abilities().time_grain;
        }
        let found = self.history.mount_top(path).and_then(|top| self.disk.abilities(&top));
        found.map_or(COARSEST_GRAIN, |can| can.time_grain)
    }

    /// The folder that is served; it may be one that was there a moment ago.
    pub fn top(&self) -> Result<Dir> {
        self.disk.root()
    }

    /// As [`Tree::top`], by a look.
    pub fn top_afresh(&self) -> Result<Dir> {
        self.disk.root_afresh()
    }

    /// Whether nothing on the file system of a folder has more than one path: never where that is not the share's own.
    pub fn has_one_path_each(&self, folder: &Dir) -> Result<bool> {
        Ok(self.disk.has_one_path(&self.disk.dir_status(folder)?))
    }

    /// Looks at what a path leads to; `None` where nothing is.
    pub fn look(&self, path: &SharePath) -> Result<Option<Status>> {
        self.disk.look_path(&self.disk.root()?, path.as_bytes())
    }

    /// Opens what a path leads to, if it is a file.
    pub fn open(&self, path: &SharePath) -> Result<Opened> {
        self.disk.open_path(&self.disk.root()?, path.as_bytes())
    }

    /// Opens the folder at a path.
    pub fn open_folder(&self, path: &SharePath) -> Result<Dir> {
        self.disk.open_dir(&self.disk.root()?, path.as_bytes())
    }

    /// Looks at an open folder.
    pub fn folder_status(&self, folder: &Dir) -> Result<Status> {
        self.disk.dir_status(folder)
    }

    /// Calls `each` for every member of an open folder, in no order, until it breaks.
    pub fn list(&self, folder: &Dir, each: &mut dyn FnMut(Entry) -> ControlFlow<()>) -> Result<()> {
        self.disk.list(folder, each)
    }

    /// Calls `each` for the name of every member of an open folder, in no order, until it breaks.
    pub fn names(&self, folder: &Dir, each: &mut dyn FnMut(Name) -> ControlFlow<()>) -> Result<()> {
        self.disk.names(folder, each)
    }

    /// What [`Tree::list`] would tell of one member of an open folder.
    pub fn entry_in(&self, folder: &Dir, name: &Name) -> Result<Option<Entry>> {
        self.disk.entry(folder, name)
    }

    /// Looks at a member of an open folder; a link is looked at itself.
    pub fn look_in(&self, folder: &Dir, name: &Name) -> Result<Option<Status>> {
        self.disk.look(folder, name)
    }

    /// Whether a link is at a site, by which what has this status was found.
    pub fn is_link(&self, site: &Site, found: &Status) -> Result<bool> {
        let is_link = |at: Status| at.kind == Kind::Link;
        Ok(!self.disk.has_one_path(found) && self.disk.look(&site.parent, &site.name)?.is_some_and(is_link))
    }

    /// Opens a member of an open folder, if it is a file.
    pub fn open_in(&self, folder: &Dir, name: &Name) -> Result<Opened> {
        self.disk.open(folder, name)
    }

    /// Opens a version of the history.
    pub fn open_version(&self, found: &FoundVersion) -> Result<Opened> {
        self.disk.open(&found.dir(&*self.disk)?, &found.version.entry)
    }

    /// A file that stays open.
    pub fn keep_open(&self, file: File) -> HeldFile {
        HeldFile { disk: Arc::clone(&self.disk), file }
    }

    /// Looks at an open file.
    pub fn status(&self, file: &File) -> Result<Status> {
        self.disk.status(file)
    }

    /// Reads from an open file; 0 at its end.
    pub fn read(&self, file: &File, offset: u64, into: &mut [u8]) -> Result<usize> {
        self.disk.read(file, offset, into)
    }

    /// Asks for a read lease on an open file, again and again until `patience` runs out.
    pub fn lease(&self, file: &File, patience: Duration) -> Result<Leased> {
        self.disk.lease(file, patience)
    }

    /// What the clock says by which what is at a path is dated.
    pub fn clock(&self, path: &SharePath) -> Result<Timestamp> {
        let top = if self.disk.has_other_mounts() { self.history.mount_top(path)? } else { self.disk.root()? };
        self.disk.clock(&top)
    }

    /// Lets so much of that clock's time pass.
    pub fn wait(&self, time: Duration) {
        self.disk.wait(time);
    }

    /// How much room there is where a path leads.
    pub fn space(&self, path: &SharePath) -> Result<Space> {
        let folder = match self.open_folder(path) {
            Err(error) if error.cause == Cause::NotADirectory => {
                self.open_folder(&path.split().map_or_else(SharePath::root, |(parent, _)| parent))
            }
            opened => opened,
        };
        self.disk.space(&folder?)
    }

    /// Fails with [`Cause::BadName`] or [`Cause::LongName`] if the file system cannot hold a name. Where it is not known to hold every name, an odd
    /// one is tried.
    pub fn can_hold(&self, site: &Site) -> Result<()> {
        // What has nameless files takes names as they are.
        if site.name.is_portable() || self.disk.abilities(&site.parent)?.nameless {
            return Ok(());
        }
        try_name(&self.disk, self.history.upload_folder(&site.path, site.mount)?, &site.name)
    }

    /// Takes note of a folder that was just made for an upload.
    pub fn was_made(&self, folders: &mut NewFolders, site: &Site) -> Result<()> {
        folders.add(&self.disk, &site.parent, &site.name)
    }

    /// Sets the date of a file that was seen.
    pub fn set_modified(&self, seen: &SeenFile, date: Timestamp) -> Result<()> {
        self.disk.set_mtime(&seen.file, date)
    }

    /// Sets the permissions of a file that was seen, the lower nine mode bits.
    pub fn set_permissions(&self, seen: &SeenFile, bits: u32) -> Result<()> {
        self.disk.set_permissions(&seen.file, bits)
    }

    /// Brings to the disk what was set of a file that was seen.
    pub fn sync_attributes(&self, seen: &SeenFile) -> Result<()> {
        self.disk.sync_file(&seen.file)
    }

    /// Whether what `from` leads to is what is at a place, or one of them lies in the other, although their paths do not say so: where `from` is a
    /// link that is followed, and where a folder is mounted twice. Some file systems in user space give one number to several folders, and tell no
    /// time of birth; there all that can be seen of two has to be the same. What is missed by that comes to an end, since no copy is made where it
    /// is to be.
    pub fn is_within_by_another_path(&self, from: &SharePath, to: &Site) -> Result<bool> {
        let disk = &self.disk;
        let from = self.spelled(from, LastLink::Followed)?;
        let Some(source) = self.look(&from)? else { return Ok(false) };
        if disk.has_one_path(&source) && disk.has_one_path(&disk.dir_status(&to.parent)?) {
            return Ok(false);
        }
        if from.is_within(&to.path) || to.path.is_within(&from) {
            return Ok(true);
        }
        let root = disk.root()?;
        let id = |status: &Status| {
            let is_unique = status.stamp.id.generation != 0;
            (status.device, status.stamp.id, (!is_unique).then_some((status.stamp, status.mode)))
        };
        let folders_above = |path: &SharePath| -> Result<Vec<_>> {
            let looked = path.lineage().skip(1).map(|above| disk.look_path(&root, above));
            looked.filter_map(Result::transpose).map(|found| found.map(|status| id(&status))).collect()
        };
        let above_target = folders_above(&to.path)?;
        if source.kind == Kind::Dir && above_target.contains(&id(&source)) {
            return Ok(true);
        }
        let target = match self.look(&to.path) {
            Err(error) if matches!(error.cause, Cause::LongName | Cause::BadName) => None,
            looked => looked?,
        };
        let Some(target) = target else { return Ok(false) };
        let above_source = folders_above(&from)?;
        Ok(match (source.kind, target.kind) {
            (_, Kind::Dir) => id(&target) == id(&source) || above_source.contains(&id(&target)),
            (Kind::Dir, _) => false,
            // A file may have two names, but not the same twice in one folder.
            _ => above_source.first() == above_target.first() && from.split().is_some_and(|(_, name)| name == to.name),
        })
    }
}
