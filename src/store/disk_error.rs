//! Why the disk did not do what it was told: the cause that the share decides on, and the words for a person.

/// Why a primitive did not do what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The name is not there.
    NotFound,
    /// The name is taken.
    Exists,
    /// What should be a directory is none.
    NotADirectory,
    /// A directory stands where a file should be.
    IsADirectory,
    /// A directory is not empty.
    NotEmpty,
    /// The path leads out of the share, or over a link that is not to be followed.
    Escapes,
    /// The path leads into noclobber's own folder.
    Reserved,
    /// The two ends lie on different mounts.
    OtherMount,
    /// No room is left on the disk.
    NoSpace,
    /// No room is left in the quota, whatever is free on the disk.
    OverQuota,
    /// The file would be larger than the file system or a limit allows.
    TooLarge,
    /// The file system is mounted read-only.
    ReadOnly,
    /// This user may not change that, or what is in there.
    NotPermitted,
    /// This user may not read that.
    NotReadable,
    /// The name is too long for the file system.
    LongName,
    /// The file system cannot hold this name.
    BadName,
    /// A folder would come into itself.
    WithinItself,
    /// There are as many names of this file, or folders in this folder, as the file system can have.
    TooManyLinks,
    /// Something is mounted there.
    MountPoint,
    /// Too many files are open, or the system is short of something else that it will have again; or what has to be waited for takes too long.
    TooManyOpen,
    /// Nobody waits for it any more.
    Unwanted,
    /// It is in use: by a program, as a swap file.
    InUse,
    /// The file system cannot do that.
    Unsupported,
    /// It was done, and could not be brought to the disk: nobody can say whether it will last.
    Unsure,
    /// The device failed, or anything else.
    Failed,
}

/// A primitive that failed: what was to be done, to which name, and why not.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{operation} {name:?}: {message}")]
pub struct DiskError {
    /// The primitive.
    pub operation: &'static str,
    /// The name it was to be done to, or the empty string.
    pub name: String,
    /// Why not, to decide on.
    pub cause: Cause,
    /// Why not, to be read.
    pub message: String,
}

/// What has no room left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Full {
    /// The disk.
    Disk,
    /// The quota.
    Quota,
}

impl DiskError {
    /// What has no room left, if that is why.
    pub fn full(&self) -> Option<Full> {
        match self.cause {
            Cause::NoSpace => Some(Full::Disk),
            Cause::OverQuota => Some(Full::Quota),
            _ => None,
        }
    }
}

/// What a primitive gives back.
pub type Result<T> = std::result::Result<T, DiskError>;
