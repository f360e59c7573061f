//! Which versions may go at all, and what each would give back.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::model::keep_rule::{Kept, KeptContent, Room, YOUNG, YOUNG_UNSEEN};
use crate::model::path::RESERVED;
use crate::model::version::Ending;

use super::super::place::own_name;
use super::History;
use super::found::{FoundVersion, Which, which};
use super::measure::{Measured, measure_tree};
use super::mounts::{FileSystem, MountTop};
use super::spellings::composed;
use crate::store::disk_error::{Full, Result};
use crate::store::status::{Kind, Status};

/// For how many trees it is remembered what they take.
const TREES_MAX: usize = 100_000;

/// The user whom no quota of a user binds.
pub(super) const ROOT: u32 = 0;

/// All versions on one file system that may go at all, the oldest first.
pub(super) struct Census {
    pub(super) found: Vec<FoundVersion>,
    pub(super) kept: Vec<Kept>,
}

impl History {
    /// Finds all versions on a file system that may go and can be measured, and what each would give back to what is `full`. A quota is that of
    /// whoever owns the folder of noclobber's own, and what belongs to others gives it nothing. No user's quota binds root (quotactl(2)): it is
    /// that of a folder or a part of the file system then, and whose anything is makes no difference.
    pub(super) fn census(&self, system: &FileSystem, full: Full) -> Census {
        let mut census = Vec::new();
        let (mut trees, mut paths) = (HashMap::new(), HashMap::new());
        for top in &system.tops {
            if let Err(error) = self.count_top(top, full, &mut census, &mut trees, &mut paths) {
                self.notices.add_stuck_folder(&top.path, &error);
            }
        }
        let mut memory = self.memory.lock();
        if memory.trees.len() > TREES_MAX {
            memory.trees.clear();
        }
        memory.trees.extend(trees);
        drop(memory);
        census.sort_by(|(one, _): &(FoundVersion, Kept), (other, _)| one.version.name.id.cmp(&other.version.name.id));
        let (found, kept) = census.into_iter().unzip();
        Census { found, kept }
    }

    fn count_top(
        &self,
        top: &MountTop,
        full: Full,
        census: &mut Vec<(FoundVersion, Kept)>,
        trees: &mut HashMap<Which, Measured>,
        paths: &mut HashMap<Vec<u8>, usize>,
    ) -> Result<()> {
        let owner = match full {
            Full::Quota if self.disk.user() == ROOT => None,
            Full::Disk => None,
            Full::Quota => self.disk.look(&top.dir, &own_name(RESERVED))?.map(|own| own.uid),
        };
        let gives_leases = self.disk.abilities(&top.dir)?.lease;
        for found in self.walk_top(self.area(), top)? {
            let next = paths.len();
            let number = *paths.entry(composed(&found.path)).or_insert(next);
            let may_go = match found.version.name.ending {
                Ending::Upload => true,
                Ending::Settled => self.keeps(),
                Ending::Tail(_) => false,
            };
            let is_others = owner.is_some_and(|owner| found.version.status.uid != owner);
            if !may_go || is_others || self.notices.is_stuck(&found) {
                continue;
            }
            match self.measure(&found, trees) {
                Ok(Measured { has_one_owner: false, .. }) if owner.is_some() => {}
                Ok(Measured { room, content, .. }) => {
                    let young_for = self.young_for(&found.version.status, gives_leases);
                    let kept = Kept { path: number, since: found.version.name.id.time(), young_for, room, content };
                    census.push((found, kept));
                }
                Err(error) => self.notices.add_stuck(&found, &error),
            }
        }
        Ok(())
    }

    fn measure(&self, found: &FoundVersion, trees: &mut HashMap<Which, Measured>) -> Result<Measured> {
        let status = &found.version.status;
        if status.kind != Kind::Dir {
            // What has another name gives nothing back.
            let own = if status.links > 1 { Room::default() } else { Room { bytes: status.allocated, files: 1 } };
            let is_empty = status.kind == Kind::File && status.stamp.size == 0;
            let content = if is_empty { KeptContent::Empty } else { KeptContent::Bytes };
            return Ok(Measured { room: own + found.folders, content, has_one_owner: true });
        }
        let known = self.memory.lock().trees.get(&which(found)).copied();
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
    fn young_for(&self, status: &Status, gives_leases: bool) -> Duration {
        let user = self.disk.user();
        let shows_writers = gives_leases && (user == ROOT || user == status.uid);
        if shows_writers { YOUNG } else { YOUNG_UNSEEN }
    }
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
