//! What a look at a name or a handle tells.

use crate::model::path::Name;
use crate::model::stamp::{Stamp, Timestamp};

/// What a name or a handle turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link, itself.
    Link,
    /// A pipe, a socket or a device.
    Special,
}

/// What one `statx` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// What it is.
    pub kind: Kind,
    /// Which file, and in which state.
    pub stamp: Stamp,
    /// The mode bits (permissions, set-user-ID and the like), the owner and the group.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// How many names it has.
    pub links: u32,
    /// How much of the disk its blocks take, in bytes.
    pub allocated: u64,
    /// Which mount it lies on: a rename works within one only.
    pub mount: u64,
    /// Which device it lies on, of which there may be several mounts: with the inode number, what it is whatever leads to it.
    pub device: u64,
    /// Whether something is mounted right here, so that the name can be neither renamed nor removed.
    pub is_mount_point: bool,
    /// When it was made, where the file system knows.
    pub born: Option<Timestamp>,
}

/// One entry of a directory.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name.
    pub name: Name,
    /// What it is; of a link, the link itself unless links are followed.
    pub status: Status,
    /// Whether a link was followed to it.
    pub is_linked: bool,
}
