//! The folder of noclobber's own on each file system of the share: whether it can be used, and the note in it that commits may be under way.

use std::sync::atomic::Ordering;

use crate::model::path::{RESERVED, SharePath};

use super::super::place::{Running, own_name};
use super::super::spelling::FolderId;
use super::History;
use super::areas::{HISTORY, MOUNTS, RUNNING, SPARE, SWAP, UPLOADS, ensure_dir};
use crate::store::disk_error::{Cause, DiskError, Result};
use crate::store::handle::Dir;
use crate::store::notice::Notice;
use crate::store::status::{Kind, Status};

impl History {
    /// Notes on the disk that commits may be under way from now on: once a process, in each folder of noclobber's own. Another file system may
    /// have come to the place of the one that was mounted here.
    pub(super) fn begin(&self, top_path: &SharePath, top: &Dir) -> Result<Running> {
        let id = |status: &Status| (status.device, status.stamp.id);
        let there = self.disk.look(top, &own_name(RESERVED))?;
        let mut begun = self.begun.lock();
        if there.is_some_and(|there| begun.contains(&id(&there))) {
            return Ok(self.running.clone());
        }
        ensure_dir(&*self.disk, top, &own_name(RESERVED))?;
        self.check_own_folder(top)?;
        let own = self.disk.open_dir(top, RESERVED.as_bytes())?;
        let own_id = id(&self.disk.dir_status(&own)?);
        match self.disk.create_named(&own, &own_name(RUNNING)) {
            Err(error) if error.cause != Cause::Exists => return Err(error),
            _ => {}
        }
        self.disk.sync_dir(&own)?;
        self.disk.sync_dir(top)?;
        if !top_path.is_root() {
            // Where the top of the share cannot be written the rest can all the same; its history is then not pruned.
            let _ = self.note_mount(top_path);
        }
        begun.insert(own_id);
        self.spare_is_due.store(true, Ordering::Relaxed);
        Ok(self.running.clone())
    }

    /// Fails if what has the name of noclobber's own folder on any file system of the share cannot be used for it.
    pub fn check_own_folders(&self) -> Result<()> {
        self.tops()?.iter().try_for_each(|top| self.check_own_folder(&top.dir))
    }

    /// Whoever owns the folder could take the history away, and whoever may write there as well. Where the file system keeps no owners they
    /// tell nothing.
    fn check_own_folder(&self, top: &Dir) -> Result<()> {
        let name = own_name(RESERVED);
        let Some(status) = self.disk.look(top, &name)? else { return Ok(()) };
        if status.kind != Kind::Dir {
            return Err(unusable(
                "something of this name is there that is no folder; noclobber keeps the history in a folder of this name",
            ));
        }
        let own = self.disk.open_dir(top, RESERVED.as_bytes())?;
        if status.uid != self.disk.user() && !self.gives_everything_to(&own, status.uid) {
            return Err(unusable(&format!(
                "the folder belongs to another user (number {}), who could take the history away",
                status.uid
            )));
        }
        if status.mode & 0o077 != 0
            && let Err(error) = self.disk.make_private(&own)
        {
            self.notices.add(Notice::Open { why: error.to_string() });
        }
        Ok(())
    }

    /// Whether a file that is made here belongs to that user, whoever makes it.
    fn gives_everything_to(&self, own: &Dir, user: u32) -> bool {
        let name = own_name("owner");
        let Ok(file) = self.disk.create_named(own, &name) else { return false };
        let status = self.disk.status(&file);
        let _ = self.disk.unlink(own, &name);
        status.is_ok_and(|status| status.uid == user)
    }

    /// What to hold for as long as something is left of a commit.
    pub fn running(&self) -> Running {
        self.running.clone()
    }

    /// Whether an earlier process may have left commits unfinished.
    pub fn was_left_running(&self) -> Result<bool> {
        for own in self.own_folders()? {
            if self.disk.look(&own, &own_name(RUNNING))?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Says that the next start need not look for commits, if none is under way and nothing is left of one. Whatever begins after that takes it
    /// back.
    pub fn ends_running(&self) -> Result<()> {
        let mut begun = self.begun.lock();
        if self.running.is_held() {
            return Ok(());
        }
        begun.clear();
        for own in self.own_folders()? {
            match self.disk.unlink(&own, &own_name(RUNNING)) {
                Err(error) if error.cause != Cause::NotFound => return Err(error),
                _ => self.disk.sync_dir(&own)?,
            }
        }
        Ok(())
    }

    /// Which folders are noclobber's own, on every file system of the share: whatever name leads to them.
    pub fn own_folder_ids(&self) -> Result<Vec<FolderId>> {
        let mut ids = Vec::new();
        for own in self.own_folders()? {
            let status = self.disk.dir_status(&own)?;
            ids.push((status.device, status.stamp.id));
            for inside in [HISTORY, SWAP, UPLOADS, MOUNTS, SPARE] {
                let status = self.disk.look(&own, &own_name(inside))?;
                ids.extend(status.map(|status| (status.device, status.stamp.id)));
            }
        }
        Ok(ids)
    }
}

fn unusable(why: &str) -> DiskError {
    DiskError { operation: "use", name: RESERVED.to_owned(), cause: Cause::Failed, message: why.to_owned() }
}
