//! Places in the folder of noclobber's own: where an entry of the history goes, and where an upload that needs a name lies.
//!
//! They are only held here; the history makes them, the staging and the commit use them.

use std::sync::Arc;

use parking_lot::RwLockReadGuard;

use crate::model::path::Name;

use super::disk::Disk;
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
    /// The folders that folders were made in on the way to it.
    made_in: Vec<Dir>,
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
    pub(super) fn new(dir: Dir, made_in: Vec<Dir>, running: Running, in_use: Option<RwLockReadGuard<'a, ()>>) -> Self {
        Self { dir, made_in, running, _in_use: in_use }
    }

    /// What to hold for as long as something in it has not been settled.
    pub fn running(&self) -> Running {
        self.running.clone()
    }

    /// Brings the folder to the disk, and before it every one above that was made for it.
    pub fn sync(&self, disk: &dyn Disk) -> Result<()> {
        self.made_in.iter().try_for_each(|dir| disk.sync_dir(dir))?;
        disk.sync_dir(&self.dir)
    }
}

/// A name of noclobber's own.
pub(super) fn own_name(text: &str) -> Name {
    Name::new(text.as_bytes()).expect("a plain word")
}
