//! Whose the state is that is kept elsewhere: which share, wherever its folder lies by now.

use std::ffi::OsString;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Whose an index is: where the share lies, and the file system and inode of its folder. A folder that was moved is still the same share,
/// and so is one that was brought back from a backup to its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "([u8; 16], OsString)", into = "([u8; 16], OsString)")]
pub struct ShareIdentity {
    /// Where the folder lies.
    pub path: PathBuf,
    /// Which folder it is, wherever it lies.
    pub folder: [u8; 16],
}

impl From<([u8; 16], OsString)> for ShareIdentity {
    fn from((folder, path): ([u8; 16], OsString)) -> Self {
        Self { path: path.into(), folder }
    }
}

/// A path need not be text, and what is no text is written down as what it is for the system.
impl From<ShareIdentity> for ([u8; 16], OsString) {
    fn from(share: ShareIdentity) -> Self {
        (share.folder, share.path.into())
    }
}

impl ShareIdentity {
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.path == other.path || self.folder == other.folder
    }
}
