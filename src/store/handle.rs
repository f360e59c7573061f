//! Open files and folders, as handles that only their store can look into.

use std::any::Any;
use std::fmt;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use super::status::Status;

/// What a disk keeps behind a handle; closed when the last clone is dropped.
pub trait RawHandle: Any + Send + Sync + fmt::Debug {
    /// The file descriptor, where there is one.
    fn fd(&self) -> Option<BorrowedFd<'_>>;
}

/// An open directory.
#[derive(Clone, Debug)]
pub struct Dir(pub Arc<dyn RawHandle>);

/// An open regular file.
#[derive(Clone, Debug)]
pub struct File(pub Arc<dyn RawHandle>);

/// What [`Disk::open`](crate::store::local::disk::Disk::open) found at a name.
#[derive(Clone, Debug)]
pub enum Opened {
    /// Nothing has this name.
    Nothing,
    /// A directory.
    Dir(Status),
    /// A regular file, open for reading.
    File(File, Status),
    /// A symbolic link that is not to be followed, or leads out of the share or nowhere.
    Link,
    /// A pipe, a socket or a device, which is never opened.
    Special,
}
