//! A little room that is set aside while there is enough, so that something can still be deleted when there is none: what is deleted moves
//! into the history, and the folders on its way there take blocks and inodes.

use std::sync::atomic::Ordering;

use crate::model::keep_rule::Room;
use crate::model::path::RESERVED;

use super::super::place::own_name;
use super::super::trees::list;
use super::History;
use super::areas::{SPARE, ensure_dir, found};
use crate::store::disk_error::Result;
use crate::store::handle::Dir;

/// How many there are at most, and how large each is in bytes.
const FILES_MAX: u64 = 64;
const FILE_BYTES: u64 = 4096;

/// They take at most this part of the disk and of its inodes.
const PART: u64 = 64;

/// Nothing is set aside while no more than so many times what it takes is free.
const FREE_TIMES: u64 = 4;

impl History {
    /// Sets the spare room aside on every file system with a history, where that is not done and there is enough.
    pub fn keep_spare(&self) {
        if !self.spare_is_due.swap(false, Ordering::Relaxed) {
            return;
        }
        let filled = self.tops().is_ok_and(|tops| tops.iter().all(|top| self.fill_spare(&top.dir).unwrap_or(true)));
        self.spare_is_due.fetch_or(!filled, Ordering::Relaxed);
    }

    /// Says whether it is full, or can never be.
    fn fill_spare(&self, top: &Dir) -> Result<bool> {
        let Some(own) = found(self.disk.open_dir(top, RESERVED.as_bytes()))? else { return Ok(true) };
        let space = self.disk.space(top)?;
        let files_part = if space.files_total == 0 { FILES_MAX } else { space.files_total / PART };
        let count = FILES_MAX.min(files_part).min(space.total / PART / FILE_BYTES);
        let wanted = Room { bytes: count * FILE_BYTES * FREE_TIMES, files: count * FREE_TIMES };
        if !space.free_room().covers(wanted) {
            return Ok(false);
        }
        ensure_dir(&*self.disk, &own, &own_name(SPARE))?;
        let spare = self.disk.open_dir(&own, SPARE.as_bytes())?;
        for number in 0..count {
            let name = own_name(&number.to_string());
            if self.disk.look(&spare, &name)?.is_none() {
                let file = self.disk.create_named(&spare, &name)?;
                self.disk.reserve(&file, 0..FILE_BYTES)?;
            }
        }
        Ok(true)
    }

    /// Gives up the spare room below `top`; says whether there was any.
    pub(super) fn use_spare(&self, top: &Dir) -> Result<bool> {
        self.spare_is_due.store(true, Ordering::Relaxed);
        let Some(spare) = found(self.disk.open_dir(top, format!("{RESERVED}/{SPARE}").as_bytes()))? else {
            return Ok(false);
        };
        let files = list(&*self.disk, &spare)?;
        files.iter().try_for_each(|file| self.disk.unlink(&spare, &file.name))?;
        Ok(!files.is_empty())
    }
}
