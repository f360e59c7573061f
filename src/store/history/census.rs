//! Which versions may go at all, what each would give back, and what is remembered of that from one walk over the history to the next.
//!
//! What cannot be measured, opened or removed stays, is told once, and stops nothing.

use std::collections::{HashMap, HashSet};
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use crate::model::keep_rule::{Kept, KeptContent, Room, YOUNG, YOUNG_UNSEEN};
use crate::model::path::{RESERVED, SharePath};
use crate::model::stamp::{FileId, Timestamp};
use crate::model::version::{Ending, VersionId};

use super::super::disk::{Cause, DiskError, Full, Kind, Result, Status};
use super::super::notice::Notice;
use super::layout::{FileSystem, Top, own_name};
use super::release::Going;
use super::spellings::composed;
use super::walk::{Measured, measure_tree};
use super::{Found, History};

/// For how many trees it is remembered what they take.
const TREES_MAX: usize = 100_000;

/// The user whom no quota of a user binds.
pub(super) const ROOT: u32 = 0;

/// How many entries that cannot be handled are remembered.
const STUCK_MAX: usize = 100_000;

/// What is remembered of the history from one walk to the next.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// What the trees take that are kept and have bytes in them: those hardly change any more. One without is measured each time, since it
    /// may go early, and a program that is in it may still write there.
    trees: HashMap<Which, Measured>,
    /// How much the history on a file system could give, when that was found out, and how often places had been asked for until then.
    pub(super) could_give: HashMap<(u64, Full), (Timestamp, u64, Room)>,
    /// Where versions went for room and there was none.
    pub(super) in_vain: HashMap<(u64, Full), Rest>,
    /// What went for room since whoever applies the keep rule last took note of that; `None` while nobody does.
    pub(super) departed: Option<HashSet<Which>>,
    /// Entries that could not be handled. Each was told of.
    stuck: HashSet<Which>,
    /// Paths whose folder could not be walked. Each was told of.
    closed: HashSet<SharePath>,
}

/// A while in which the history gives nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rest {
    pub(super) since: Timestamp,
    pub(super) lasts: Duration,
}

/// Which version it is: the number of a file is used again once that is gone.
pub(super) type Which = (FileId, VersionId);

/// All versions on one file system that may go at all, the oldest first.
pub(super) struct Census {
    pub(super) found: Vec<Found>,
    pub(super) kept: Vec<Kept>,
}

impl History {
    /// What is remembered is whole whatever thread panicked beside it.
    pub(super) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds all versions on a file system that may go and can be measured, and what each would give back to what is `full`. A quota is that of
    /// whoever owns the folder of noclobber's own, and what belongs to others gives it nothing. No user's quota binds root (quotactl(2)): it is
    /// that of a folder or a part of the file system then, and whose anything is makes no difference.
    pub(super) fn census(&self, system: &FileSystem, full: Full) -> Census {
        let mut census = Vec::new();
        let (mut trees, mut paths) = (HashMap::new(), HashMap::new());
        for top in &system.tops {
            if let Err(error) = self.count_top(top, full, &mut census, &mut trees, &mut paths) {
                self.tell_once_of_folder(&top.path, &error);
            }
        }
        let mut memory = self.memory();
        if memory.trees.len() > TREES_MAX {
            memory.trees.clear();
        }
        memory.trees.extend(trees);
        drop(memory);
        census.sort_by(|(one, _): &(Found, Kept), (other, _)| one.version.name.id.cmp(&other.version.name.id));
        let (found, kept) = census.into_iter().unzip();
        Census { found, kept }
    }

    fn count_top(
        &self,
        top: &Top,
        full: Full,
        census: &mut Vec<(Found, Kept)>,
        trees: &mut HashMap<Which, Measured>,
        paths: &mut HashMap<Vec<u8>, usize>,
    ) -> Result<()> {
        let owner = match full {
            Full::Quota if self.disk.user() == ROOT => None,
            Full::Disk => None,
            Full::Quota => self.disk.look(&top.dir, &own_name(RESERVED))?.map(|own| own.uid),
        };
        for found in self.walk_top(self.area(), top)? {
            let next = paths.len();
            let number = *paths.entry(composed(&found.path)).or_insert(next);
            let may_go = match found.version.name.ending {
                Ending::Upload => true,
                Ending::Settled => self.keeps(),
                Ending::Tail(_) => false,
            };
            let is_others = owner.is_some_and(|owner| found.version.status.uid != owner);
            if !may_go || is_others || self.is_stuck(&found) {
                continue;
            }
            match self.measure(&found, trees) {
                Ok(Measured { has_one_owner: false, .. }) if owner.is_some() => {}
                Ok(Measured { room, content, .. }) => {
                    let young_for = self.young_for(&found.version.status);
                    let kept = Kept { path: number, since: found.version.name.id.time(), young_for, room, content };
                    census.push((found, kept));
                }
                Err(error) => self.tell_once(&found, &error),
            }
        }
        Ok(())
    }

    fn measure(&self, found: &Found, trees: &mut HashMap<Which, Measured>) -> Result<Measured> {
        let status = &found.version.status;
        if status.kind != Kind::Dir {
            // What has another name gives nothing back.
            let own = if status.links > 1 { Room::default() } else { Room { bytes: status.allocated, files: 1 } };
            let is_empty = status.kind == Kind::File && status.stamp.size == 0;
            let content = if is_empty { KeptContent::Empty } else { KeptContent::Bytes };
            return Ok(Measured { room: own + found.folders, content, has_one_owner: true });
        }
        let known = self.memory().trees.get(&which(found)).copied();
        let tree = match known {
            Some(tree) => tree,
            None => {
                let dir = found.dir(&*self.disk)?;
                measure_tree(&*self.disk, self.disk.open_dir(&dir, found.version.entry.as_bytes())?)?
            }
        };
        if tree.content == KeptContent::Bytes {
            trees.insert(which(found), tree);
        }
        Ok(Measured { room: tree.room + found.folders, ..tree })
    }

    /// For how long it stays in any case. Leases are to be had on files of one's own (fcntl(2)).
    fn young_for(&self, status: &Status) -> Duration {
        let user = self.disk.user();
        let shows_writers = self.disk.abilities().lease && (user == ROOT || user == status.uid);
        if shows_writers { YOUNG } else { YOUNG_UNSEEN }
    }

    /// It is gone.
    pub(super) fn forget(&self, found: &Found, going: Going) {
        let mut memory = self.memory();
        memory.trees.remove(&which(found));
        memory.stuck.remove(&which(found));
        if let (Going::ForRoom, Some(departed)) = (going, &mut memory.departed) {
            departed.insert(which(found));
        }
    }

    /// Whether nothing went for room that whoever applies the keep rule does not know of.
    pub(super) fn none_departed(&self) -> bool {
        self.memory().departed.as_ref().is_none_or(HashSet::is_empty)
    }

    /// Takes what went for room out of the census of whoever applies the keep rule.
    pub(super) fn leave_out_departed(&self, census: &mut Census) {
        let departed = self.memory().departed.as_mut().map(std::mem::take).unwrap_or_default();
        let is_gone = |index: &usize| departed.contains(&which(&census.found[*index]));
        let gone: Vec<_> = (0..census.found.len()).filter(is_gone).collect();
        census.leave_out(&gone);
    }

    fn is_stuck(&self, found: &Found) -> bool {
        let memory = self.memory();
        memory.stuck.contains(&which(found))
    }

    /// An entry that cannot be handled stays from now on, until the server is started again. One that is gone is
    /// none, and a lack of handles passes.
    pub(super) fn tell_once(&self, found: &Found, error: &DiskError) {
        if matches!(error.cause, Cause::NotFound | Cause::TooManyOpen) {
            return;
        }
        let mut memory = self.memory();
        if memory.stuck.len() < STUCK_MAX && memory.stuck.insert(which(found)) {
            self.tell(Notice::Stuck { path: found.path.clone(), why: error.to_string() });
        }
    }

    /// As [`History::tell_once`], for all that lies below a folder.
    pub(super) fn tell_once_of_folder(&self, path: &SharePath, error: &DiskError) {
        if error.cause == Cause::TooManyOpen {
            return;
        }
        let mut memory = self.memory();
        if memory.closed.len() < STUCK_MAX && memory.closed.insert(path.clone()) {
            self.tell(Notice::Stuck { path: path.clone(), why: error.to_string() });
        }
    }
}

fn which(found: &Found) -> Which {
    (found.version.status.stamp.id, found.version.name.id.clone())
}

impl Census {
    pub(super) fn leave_out(&mut self, indices: &[usize]) {
        let out: HashSet<_> = indices.iter().copied().collect();
        let mut at = 0..;
        self.found.retain(|_| at.next().is_some_and(|index| !out.contains(&index)));
        let mut at = 0..;
        self.kept.retain(|_| at.next().is_some_and(|index| !out.contains(&index)));
    }
}
