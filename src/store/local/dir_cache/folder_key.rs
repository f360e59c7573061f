//! By what a folder is known that is remembered.

use crate::model::stamp::FileId;
use crate::store::status::Status;

/// Which folder it is, whatever path leads to it, and by which mount: others may have other mounts in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FolderKey {
    pub(super) device: u64,
    pub(super) mount: u64,
    pub(super) id: FileId,
}

impl FolderKey {
    pub(super) fn of(status: &Status) -> Self {
        Self { device: status.device, mount: status.mount, id: status.stamp.id }
    }
}
