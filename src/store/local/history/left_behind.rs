//! What an earlier process left in the history when it was killed, or ended while displaced files were still to be looked at.

use std::time::Duration;

use crate::model::path::SharePath;
use crate::model::version::Ending;

use super::super::staging::{self, Chunks, Left, LeftChunks};
use super::History;
use super::areas::{HISTORY, SWAP, UPLOADS, folder_of, found};
use super::found::FoundVersion;
use crate::store::disk_error::Result;
use crate::store::handle::Dir;

/// For how long before the last version was displaced a start looks at versions once more: longer than they wait for their second look.
const LAST_MOMENTS: Duration = Duration::from_secs(20);

impl History {
    /// Removes what unfinished uploads left. What cannot be removed is told of, and stays.
    pub fn sweep_uploads(&self) -> Result<()> {
        for top in self.tops()? {
            if let Some(uploads) = found(self.disk.open_dir(&top.dir, &folder_of(UPLOADS, b"")))?
                && let Err(error) = staging::sweep(&*self.disk, &uploads)
            {
                self.notices.add_stuck_folder(&top.path, &error);
            }
        }
        Ok(())
    }

    /// The uploads that outlived the process that began them, each with the folder that it lies in and the mount of that. What is only half
    /// there is removed.
    pub fn lasting_uploads(&self) -> Result<Vec<(Dir, u64, Left)>> {
        let mut all = Vec::new();
        for top in self.tops()? {
            let Some(uploads) = found(self.disk.open_dir(&top.dir, &folder_of(UPLOADS, b"")))? else { continue };
            match staging::lasting_in(&*self.disk, &uploads) {
                Ok(left) => all.extend(left.into_iter().map(|left| (uploads.clone(), top.mount, left))),
                Err(error) => self.notices.add_stuck_folder(&top.path, &error),
            }
        }
        Ok(all)
    }

    /// The uploads in chunks that outlived the process that began them, as [`History::lasting_uploads`].
    pub fn uploads_in_chunks(&self) -> Result<Vec<(Dir, u64, LeftChunks)>> {
        let mut all = Vec::new();
        for top in self.tops()? {
            let Some(uploads) = found(self.disk.open_dir(&top.dir, &folder_of(UPLOADS, b"")))? else { continue };
            match Chunks::on(&self.disk).left_in(&uploads) {
                Ok(left) => all.extend(left.into_iter().map(|left| (uploads.clone(), top.mount, left))),
                Err(error) => self.notices.add_stuck_folder(&top.path, &error),
            }
        }
        Ok(all)
    }

    /// What is to be settled: the entries that a commit left with a tail, all that was displaced while there was no history, and the versions of
    /// the last moments, whose second look is still to come.
    pub fn left_behind(&self) -> Result<Vec<FoundVersion>> {
        let mut left = self.walk(HISTORY, &SharePath::root())?;
        let displaced = |found: &FoundVersion| found.version.name.id.time();
        let last = left.iter().map(displaced).max().unwrap_or_default();
        left.retain(|found| match found.version.name.ending {
            Ending::Tail(_) => true,
            Ending::Settled => last.since(displaced(found)) <= LAST_MOMENTS,
            Ending::Upload => false,
        });
        let mut displaced = self.walk(SWAP, &SharePath::root())?;
        displaced.retain(|found| found.version.name.ending != Ending::Upload);
        left.extend(displaced);
        Ok(left)
    }
}
