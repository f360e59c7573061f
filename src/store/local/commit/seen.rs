//! What a look found at a name.

use crate::model::stamp::FileId;

use crate::store::handle::File;
use crate::store::lease::Lease;
use crate::store::status::Status;

/// What a look found at a name.
#[derive(Debug)]
pub enum Seen {
    /// Nothing.
    Nothing,
    /// A folder.
    Collection(Status),
    /// A regular file.
    File(SeenFile),
    /// A regular file that a program has open for writing, and still had when patience ran out.
    Busy(Status),
    /// A link that is not followed.
    Link,
    /// A pipe, a socket or a device.
    Special,
}

/// A regular file as a look found it: the state after the lease was had.
pub struct SeenFile {
    /// The file, open for reading.
    pub file: File,
    /// Its state.
    pub status: Status,
    pub(super) lease: Option<Box<dyn Lease>>,
}

impl Seen {
    /// Whether something is mounted right at the name.
    pub fn is_mount_point(&self) -> bool {
        match self {
            Self::File(seen) => seen.status.is_mount_point,
            Self::Collection(status) | Self::Busy(status) => status.is_mount_point,
            Self::Nothing | Self::Link | Self::Special => false,
        }
    }

    /// Which file or folder it is, if it is one that may be changed.
    pub(super) fn id(&self) -> Option<FileId> {
        match self {
            Self::File(seen) => Some(seen.status.stamp.id),
            Self::Collection(status) | Self::Busy(status) => Some(status.stamp.id),
            Self::Nothing | Self::Link | Self::Special => None,
        }
    }
}

impl SeenFile {
    /// Whether a lease is held on it: nobody else has it open for writing or mapped writable.
    pub fn is_leased(&self) -> bool {
        self.lease.is_some()
    }

    /// Whether nobody waits to write into it, as far as can be told.
    pub fn is_unbroken(&self) -> bool {
        !is_broken(&self.lease)
    }
}

impl std::fmt::Debug for SeenFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SeenFile").field("status", &self.status).field("leased", &self.is_leased()).finish()
    }
}

pub(super) fn is_broken(lease: &Option<Box<dyn Lease>>) -> bool {
    lease.as_ref().is_some_and(|lease| !lease.is_unbroken())
}
