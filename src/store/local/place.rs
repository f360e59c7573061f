//! Places in the folder of noclobber's own: where an entry of the history goes, and where an upload that needs a name lies.
//!
//! They are only held here; the history makes them, the staging and the commit use them.

use std::sync::Arc;

use parking_lot::RwLockReadGuard;

use crate::model::path::Name;

use super::disk::Disk;
use super::unsynced::Unsynced;
use crate::store::disk_error::Result;
use crate::store::handle::Dir;

/// What keeps the file `running` on the disk. While a clone of this is held a commit is under way or something is left of one: the next start is to look for it.
#[derive(Clone, Debug, Default)]
pub struct Running(Arc<()>);

impl Running {
    /// Something cannot be cleaned up by this process: it is left to the next start.
    pub fn stays(self) {
        std::mem::forget(self);
    }

    /// Whether any clone is held.
    pub(super) fn is_held(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

/// The folder that holds the versions of one path.
#[derive(Debug)]
pub struct VersionFolder<'a> {
    /// The folder.
    pub dir: Dir,
    /// The folders on the way to it that folders were made in which may not be on the disk yet, and the paths of those.
    made_in: Vec<Dir>,
    made: Vec<Box<[u8]>>,
    unsynced: &'a Unsynced,
    running: Running,
    /// `None` where another place is held for longer.
    _in_use: Option<RwLockReadGuard<'a, ()>>,
}

/// The folder for uploads that need a name of their own.
#[derive(Debug)]
pub struct UploadFolder {
    /// The folder.
    pub dir: Dir,
    /// Held for as long as an upload has a name in it.
    pub running: Running,
}

impl<'a> VersionFolder<'a> {
    pub(super) fn new(
        dir: Dir,
        (made_in, made): (Vec<Dir>, Vec<Box<[u8]>>),
        unsynced: &'a Unsynced,
        running: Running,
        in_use: Option<RwLockReadGuard<'a, ()>>,
    ) -> Self {
        Self { dir, made_in, made, unsynced, running, _in_use: in_use }
    }

    /// What to hold for as long as something in it has not been settled.
    pub fn running(&self) -> Running {
        self.running.clone()
    }

    /// Brings the folder to the disk, and before it every one above in which a folder on the way to it was made.
    pub fn sync(&self, disk: &dyn Disk) -> Result<()> {
        self.made_in.iter().try_for_each(|dir| disk.sync_dir(dir))?;
        disk.sync_dir(&self.dir)?;
        self.unsynced.forget(&self.made);
        Ok(())
    }
}

/// A name of noclobber's own.
pub(super) fn own_name(text: &str) -> Name {
    Name::new(text.as_bytes()).expect("a plain word")
}
