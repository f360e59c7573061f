//! Making the places that something is moved to: the folder for the versions of a path, and the one for uploads.

use std::sync::atomic::Ordering;

use parking_lot::RwLockReadGuard;

use crate::model::keep_rule::Room;
use crate::model::path::{Name, RESERVED, SharePath};
use crate::model::stamp::Timestamp;

use super::super::place::{UploadFolder, VersionFolder, own_name};
use super::History;
use super::areas::{UPLOADS, ensure_dir, entries_of, in_the_way, names_to, relative};
use crate::store::disk_error::{Cause, DiskError, Result};
use crate::store::handle::Dir;

/// What a folder takes at most while it is small, in bytes.
const FOLDER_BYTES: u64 = 4096;

impl History {
    /// The folder for the versions of `path`, whose parent lies on `mount`; made where it is not there yet. On a full disk the room for it
    /// is made, or taken from what is set aside for that.
    pub fn place(&self, path: &SharePath, mount: u64, now: Timestamp) -> Result<VersionFolder<'_>> {
        let place = || {
            let in_use = self.folders.read();
            self.make_place(path, mount, Some(in_use))
        };
        let placed = place();
        let Some(full) = placed.as_ref().err().and_then(DiskError::full) else { return placed };
        let folders = path.names().count() as u64 + 3;
        let wanted = Room { bytes: folders * FOLDER_BYTES, files: folders };
        let top = self.top_of(path, mount)?.1;
        let placed = if self.make_room(&top, wanted, full, now) { place() } else { placed };
        let placed = if is_full(&placed) && self.use_spare(&top)? { place() } else { placed };
        if is_full(&placed) {
            self.remove_empty_folders(std::slice::from_ref(path));
        }
        placed
    }

    /// One more place, for as long as `beside` is held. Takes no second read lock: with a writer queued between the two it would wait for itself.
    pub fn place_beside<'a>(
        &'a self,
        _beside: &'a VersionFolder<'_>,
        path: &SharePath,
        mount: u64,
    ) -> Result<VersionFolder<'a>> {
        let placed = self.make_place(path, mount, None);
        if is_full(&placed) && self.use_spare(&self.top_of(path, mount)?.1)? {
            return self.make_place(path, mount, None);
        }
        placed
    }

    fn make_place<'a>(
        &'a self,
        path: &SharePath,
        mount: u64,
        in_use: Option<RwLockReadGuard<'a, ()>>,
    ) -> Result<VersionFolder<'a>> {
        self.places.fetch_add(1, Ordering::Relaxed);
        let (top_path, top) = self.top_of(path, mount)?;
        let running = self.begin(&top_path, &top)?;
        let below_top = relative(path, &top_path);
        let entries = entries_of(self.area(), below_top);
        let opened = self.disk.open_dir(&top, &entries);
        let is_on_the_disk = || !self.unsynced.has_any_on_the_way_to(|| [top_path.as_bytes(), b"/", &entries].concat());
        if let Ok(dir) = opened
            && is_on_the_disk()
        {
            return Ok(VersionFolder::new(dir, Default::default(), &self.unsynced, running, in_use));
        }
        let (mut made_in, mut made, mut path) = (Vec::new(), Vec::new(), top_path.as_bytes().to_vec());
        let has_aliases = !self.disk.has_one_path(&self.disk.dir_status(&top)?);
        let mut dir = top;
        for name in names_to(self.area(), below_top) {
            path.extend([b"/", name.as_bytes()].concat());
            if self.unsynced.make(&path, || ensure_dir(&*self.disk, &dir, &name))? {
                made_in.push(dir.clone());
                made.push(path.as_slice().into());
            }
            let next = self.disk.open_dir(&dir, name.as_bytes()).map_err(in_the_way)?;
            if has_aliases && !name.is_reserved() && self.is_reserved_folder(&dir, &next)? {
                return Err(alias_error(&name));
            }
            dir = next;
        }
        Ok(VersionFolder::new(dir, (made_in, made), &self.unsynced, running, in_use))
    }

    /// Whether `folder`, opened in `at` by an ordinary name, is really the `.noclobber` in it: FAT and NTFS make a short alias for a long name,
    /// by which a client's name could lead there.
    fn is_reserved_folder(&self, at: &Dir, folder: &Dir) -> Result<bool> {
        let members = self.disk.look(at, &own_name(RESERVED))?;
        let folder = self.disk.dir_status(folder)?;
        Ok(members.is_some_and(|members| members.stamp.id == folder.stamp.id))
    }

    /// The folder for uploads that need a name of their own, on the mount of `path`.
    pub fn upload_folder(&self, path: &SharePath, mount: u64) -> Result<UploadFolder> {
        let (top_path, top) = self.top_of(path, mount)?;
        let running = self.begin(&top_path, &top)?;
        let mut dir = top;
        for name in [RESERVED, UPLOADS].map(own_name) {
            // An upload that is to outlive the process must not lie in a folder that a power cut takes away.
            if ensure_dir(&*self.disk, &dir, &name)? {
                self.disk.sync_dir(&dir)?;
            }
            dir = self.disk.open_dir(&dir, name.as_bytes()).map_err(in_the_way)?;
        }
        Ok(UploadFolder { dir, running })
    }
}

fn alias_error(name: &Name) -> DiskError {
    let message = format!("its file system takes {RESERVED} for the same name in the history");
    DiskError { operation: "make", name: name.to_text().into_owned(), cause: Cause::Failed, message }
}

fn is_full<T>(result: &Result<T>) -> bool {
    result.as_ref().is_err_and(|error| error.full().is_some())
}
