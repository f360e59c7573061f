//! Which versions go, and when: those that are too old or too many, and those whose room an upload needs.

use std::iter;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::model::stamp::Timestamp;
use crate::model::version::{Ending, KeepRule, Kept};

use super::super::disk::{Kind, Result, Status};
use super::layout::{Top, relative};
use super::walk::tree_bytes;
use super::{Found, History, KeepLimits, Version};

/// Versions younger than this are not let go: a second look is still to come.
const YOUNG: Duration = Duration::from_secs(30);

/// How long a refused upload is kept where there is no history.
const UPLOADS_KEPT: Duration = Duration::from_secs(30 * 86_400);

/// What was let go, and what could have been.
#[derive(Clone, Copy, Debug, Default)]
struct Released {
    count: usize,
    /// How many bytes the versions take that stay.
    stays: u64,
}

impl History {
    /// Lets versions go by the keep rule; says how many. Without a history there are but refused uploads, which somebody may have seen for
    /// an instant and opened: they go when nobody can be about to write any more.
    pub fn prune(&self, now: Timestamp) -> Result<usize> {
        let (mut gone, mut stays) = (0, 0);
        for top in &self.tops()? {
            let rule = match self.limits {
                None => KeepRule { age_max: UPLOADS_KEPT, bytes_max: u64::MAX },
                Some(KeepLimits { age_max, percent_max }) => {
                    let total = self.disk.space(&top.dir)?.total;
                    KeepRule { age_max, bytes_max: total / 100 * u64::from(percent_max) }
                }
            };
            let released = self.release(top, now, |kept| rule.lets_go(kept, now))?;
            gone += released.count;
            // What other file systems give back is of no use to the share's own.
            stays += if top.path.is_root() { released.stays } else { 0 };
        }
        self.bytes.store(stays, Ordering::Relaxed);
        Ok(gone)
    }

    /// Lets the oldest versions on a mount go until `bytes` are free there; says whether any was.
    pub fn make_room(&self, mount: u64, bytes: u64, now: Timestamp) -> Result<bool> {
        let mut released = 0;
        for top in self.tops()?.iter().filter(|top| top.mount == mount) {
            let free = self.disk.space(&top.dir)?.free;
            let gone = self.release(top, now, |kept| {
                let mut gained = 0;
                let enough = |version: &Kept| {
                    let already = free.saturating_add(gained) >= bytes;
                    gained += version.bytes;
                    already
                };
                kept.iter().position(enough).unwrap_or(kept.len())
            })?;
            released += gone.count;
            if top.path.is_root() {
                self.bytes.store(gone.stays, Ordering::Relaxed);
            }
        }
        Ok(released > 0)
    }

    /// Lets as many of the oldest versions on a file system go as `count` says.
    fn release(&self, top: &Top, now: Timestamp, count: impl FnOnce(&[Kept]) -> usize) -> Result<Released> {
        let mut versions = Vec::new();
        self.walk_top(self.area(), top, &top.path, &mut versions)?;
        versions.retain(|found| {
            let may_go = match found.version.name.ending {
                Ending::Upload => true,
                Ending::Settled => self.keeps(),
                Ending::Tail(_) => false,
            };
            may_go && now.since(found.version.name.id.time()) > YOUNG
        });
        versions.sort_by(|one, other| one.version.name.id.cmp(&other.version.name.id));
        let empty: Vec<_> = versions.extract_if(.., |found| self.was_only_begun(top, found)).collect();
        let mut kept = Vec::with_capacity(versions.len());
        for found in &versions {
            kept.push(Kept { since: found.version.name.id.time(), bytes: self.bytes_of(found)? });
        }
        let count = count(&kept);
        let mut released = Released { stays: kept[count..].iter().map(|kept| kept.bytes).sum(), ..Released::default() };
        let bytes = kept[..count].iter().map(|kept| kept.bytes).chain(iter::repeat(0));
        for (found, bytes) in versions[..count].iter().chain(&empty).zip(bytes) {
            let (dir, name) = (found.dir(&*self.disk)?, &found.version.entry);
            // What a program writes into it now is nowhere else.
            if self.is_busy(&dir, name)? {
                released.stays += bytes;
                continue;
            }
            self.let_go(&dir, name)?;
            let _alone = self.folders.write().unwrap_or_else(PoisonError::into_inner);
            self.remove_empty(&found.top, &found.folder);
            released.count += 1;
        }
        Ok(released)
    }

    /// Whether it is an empty file, and there is a file again in its place. Drives make a file first and fill it then, so every file that comes
    /// from them would have such a version, which tells nobody anything.
    fn was_only_begun(&self, top: &Top, found: &Found) -> bool {
        let Version { name, status, .. } = &found.version;
        let is_empty = name.ending == Ending::Settled && status.kind == Kind::File && status.stamp.size == 0;
        is_empty && {
            let there = self.disk.look_path(&top.dir, relative(&found.path, &top.path));
            matches!(there, Ok(Some(Status { kind: Kind::File, .. })))
        }
    }

    fn bytes_of(&self, found: &Found) -> Result<u64> {
        match found.version.status.kind {
            Kind::Dir => {
                tree_bytes(&*self.disk, self.disk.open_dir(&found.dir(&*self.disk)?, found.version.entry.as_bytes())?)
            }
            _ => Ok(found.version.status.stamp.size),
        }
    }
}
