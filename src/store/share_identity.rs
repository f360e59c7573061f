//! Whose the state is that is kept elsewhere: which share, wherever its folder lies by now.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

/// Whose an index is: where the share lies, and the file system and inode of its folder. A folder that was moved is still the same share,
/// and so is one that was brought back from a backup to its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareIdentity {
    /// Where the folder lies.
    pub path: PathBuf,
    /// Which folder it is, wherever it lies.
    pub folder: [u8; 16],
}

impl ShareIdentity {
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.path == other.path || self.folder == other.folder
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        [&self.folder[..], self.path.as_os_str().as_bytes()].concat()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (folder, path) = bytes.split_first_chunk::<16>()?;
        Some(Self { path: PathBuf::from(OsStr::from_bytes(path)), folder: *folder })
    }
}
