//! An entry of the history, as it was found there.

use crate::model::keep_rule::Room;
use crate::model::path::{Name, RESERVED, SharePath};
use crate::model::stamp::FileId;
use crate::model::version::{EntryName, VersionId};

use super::super::disk::Disk;
use super::areas::SWAP;
use crate::store::disk_error::Result;
use crate::store::handle::Dir;
use crate::store::status::Status;

/// A version of a path, or an entry that recovery has to settle.
#[derive(Clone, Debug)]
pub struct Version {
    /// Its name, taken apart.
    pub name: EntryName,
    /// Its name as it stands on the disk, which may have folded its case.
    pub entry: Name,
    /// What it is.
    pub status: Status,
}

/// An entry somewhere in the history.
#[derive(Clone, Debug)]
pub struct FoundVersion {
    /// The top of the mount whose history it is in.
    pub(super) top: Dir,
    /// The folder it lies in, from there.
    pub(super) folder: Box<[u8]>,
    /// The path it is a version of.
    pub path: SharePath,
    /// The version.
    pub version: Version,
    /// What the folders take that are there for its path, if it is the last version that goes.
    pub(super) folders: Room,
}

impl FoundVersion {
    /// Opens the folder it lies in. Many entries may be found at once, so none keeps its folder open.
    pub fn dir(&self, disk: &dyn Disk) -> Result<Dir> {
        disk.open_dir(&self.top, &self.folder)
    }

    /// Whether it was displaced while there was no history.
    pub fn is_in_swap(&self) -> bool {
        self.folder.starts_with(format!("{RESERVED}/{SWAP}").as_bytes())
    }
}

/// Which version it is: the number of a file is used again once that is gone.
pub(super) type Which = (FileId, VersionId);

pub(super) fn which(found: &FoundVersion) -> Which {
    (found.version.status.stamp.id, found.version.name.id.clone())
}
