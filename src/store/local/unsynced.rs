//! Folders of the history that were made and may not be on the disk yet. Whoever puts a version below one of them syncs the folder that it was
//! made in, whoever made it: fsync(2) of a folder need not bring its own name to the disk.

use std::collections::HashSet;

use parking_lot::Mutex;

use crate::store::disk_error::Result;

/// The paths of those folders from the top of the share.
#[derive(Debug, Default)]
pub(super) struct Unsynced(Mutex<HashSet<Box<[u8]>>>);

impl Unsynced {
    /// Makes a folder, unless it is there, and notes it in the same step: whoever finds it there finds the note. Says whether it is noted.
    pub(super) fn make(&self, path: &[u8], make: impl FnOnce() -> Result<bool>) -> Result<bool> {
        let mut paths = self.0.lock();
        if make()? {
            paths.insert(path.into());
            return Ok(true);
        }
        Ok(paths.contains(path))
    }

    /// Whether a folder is noted on the way to this one, or this one.
    pub(super) fn has_any_on_the_way_to(&self, folder: impl FnOnce() -> Vec<u8>) -> bool {
        let paths = self.0.lock();
        if paths.is_empty() {
            return false;
        }
        let folder = folder();
        paths
            .iter()
            .any(|path| folder.strip_prefix(&**path).is_some_and(|rest| matches!(rest.first(), None | Some(b'/'))))
    }

    /// The folders that these were made in are on the disk.
    pub(super) fn forget(&self, paths: &[Box<[u8]>]) {
        if !paths.is_empty() {
            self.0.lock().retain(|path| !paths.contains(path));
        }
    }
}
