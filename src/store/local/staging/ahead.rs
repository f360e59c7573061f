//! Room that is set aside for bytes of uploads that are still to come, so that a full disk says so while they can still be refused.
//!
//! It is set aside in steps as bytes come, and all uploads together set aside no more than a part of what is free: what a client announces
//! takes nothing from anybody.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::super::disk::Disk;
use crate::store::handle::{Dir, File};

/// How much is set aside at once, in bytes.
const STEP: u64 = 64 << 20;

/// Less than this is not worth to be set aside, in bytes.
const LEAST: u64 = 1 << 20;

/// All uploads together set aside at most this part of what is free.
const PART: u64 = 4;

/// How much all uploads have set aside, by file system, in bytes.
#[derive(Debug, Default)]
pub struct RoomAhead(Mutex<HashMap<u64, u64>>);

/// What one upload has set aside; dropping it says that it is needed no more.
#[derive(Debug)]
pub(super) struct Aside {
    all: Arc<RoomAhead>,
    disk: Arc<dyn Disk>,
    at: Dir,
    file_system: u64,
    announced: u64,
    /// Up to where in the file room was set aside.
    until: u64,
    /// How much of it is counted as not written yet.
    ahead: u64,
}

impl Aside {
    /// For an upload of `announced` bytes to the file system of `at`; `None` where it is not worth while.
    pub(super) fn new(all: &Arc<RoomAhead>, disk: &Arc<dyn Disk>, at: &Dir, announced: u64) -> Option<Self> {
        if announced < LEAST {
            return None;
        }
        let file_system = disk.space(at).ok()?.file_system;
        let (all, disk, at) = (Arc::clone(all), Arc::clone(disk), at.clone());
        Some(Self { all, disk, at, file_system, announced, until: 0, ahead: 0 })
    }

    /// Sets room aside for what comes after the first `written` bytes, if it is not yet and if it may be. Where it cannot be, the bytes find
    /// out by themselves.
    pub(super) fn go_on(&mut self, file: &File, written: u64) {
        self.count(self.until.saturating_sub(written));
        if self.until > written {
            return;
        }
        // It is counted before it is set aside: of uploads that come at once each would be given what is free for one.
        let step = self.book(self.announced.saturating_sub(written).min(STEP));
        if step > 0 && self.disk.reserve(file, written..written + step).is_ok() {
            self.until = written + step;
        } else {
            self.count(0);
        }
    }

    /// Counts as many of these bytes as may be set aside, by whichever upload, if that is worth while. Says how many.
    fn book(&mut self, wanted: u64) -> u64 {
        let Ok(space) = self.disk.space(&self.at) else { return 0 };
        let mut all = self.all.0.lock();
        let already = all.entry(self.file_system).or_default();
        let may = (space.free.saturating_add(*already) / PART).saturating_sub(*already);
        let step = Some(wanted.min(may)).filter(|step| *step >= LEAST).unwrap_or_default();
        *already = (*already + step).saturating_sub(self.ahead);
        self.ahead = step;
        step
    }

    fn count(&mut self, ahead: u64) {
        let mut all = self.all.0.lock();
        let total = all.entry(self.file_system).or_default();
        *total = (*total + ahead).saturating_sub(self.ahead);
        self.ahead = ahead;
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        self.count(0);
    }
}
