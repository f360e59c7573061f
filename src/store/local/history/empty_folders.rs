//! Removing the folders of the history that hold nothing any more.

use crate::model::path::{Name, RESERVED, SharePath};

use super::super::disk::Disk;
use super::super::trees::is_empty_dir;
use super::History;
use crate::store::handle::Dir;

/// How many empty folders are removed in one go, while commits wait.
const REMOVED_AT_ONCE_MAX: usize = 256;

impl History {
    /// Removes the folders that held entries of these paths as far as they are empty. What cannot be removed stays, and does no harm.
    pub fn remove_empty_folders(&self, paths: &[SharePath]) {
        if paths.is_empty() {
            return;
        }
        let Ok(tops) = self.tops() else { return };
        let places = paths.iter().flat_map(|path| self.places_in(&tops, path));
        // Commits wait while folders are removed, so those that are in use are told apart before.
        let empty: Vec<_> = places.filter(|(top, folder)| is_empty_dir(&*self.disk, top, folder)).collect();
        for some in empty.chunks(REMOVED_AT_ONCE_MAX) {
            let _alone = self.folders.write();
            some.iter().for_each(|(top, folder)| remove_empty(&*self.disk, top, folder));
        }
    }
}

/// Removes a folder and those above it, for as long as they are empty. Nobody else may be using one.
pub(super) fn remove_empty(disk: &dyn Disk, top: &Dir, mut folder: &[u8]) {
    while let Some(slash) = folder.iter().rposition(|byte| *byte == b'/') {
        let (above, name) = (&folder[..slash], &folder[slash + 1..]);
        let (Ok(dir), Ok(name)) = (disk.open_dir(top, above), Name::new(name)) else { return };
        if above == RESERVED.as_bytes() || disk.remove_dir(&dir, &name).is_err() {
            return;
        }
        folder = above;
    }
}
