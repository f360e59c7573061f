//! The keep rule, applied to all versions of a file system.

use std::collections::{HashMap, HashSet};

use std::time::Duration;

use crate::model::keep_rule::{self, KeepRule, KeptContent};
use crate::model::stamp::Timestamp;
use crate::model::version::Ending;

use super::super::spelling::{LastLink, spelled};
use super::census::Census;
use super::found::{FoundVersion, which};
use super::memory::Going;
use super::mounts::FileSystem;
use super::{History, KeepLimits};
use crate::store::disk_error::{DiskError, Full, Result};
use crate::store::handle::{File, Opened};
use crate::store::status::{Kind, Status};

/// How long a refused upload is kept where there is no history.
const UPLOADS_KEPT: Duration = Duration::from_secs(30 * 86_400);

/// How many bytes are read in one go of the keep rule to find versions with the same content.
const COMPARED_BYTES_MAX: u64 = 64 << 20;

/// How many bytes are compared at once.
const COMPARED_AT_ONCE: usize = 64 << 10;

impl History {
    /// Lets versions go by the keep rule; says how many. Without a history there are but refused uploads, which somebody may have seen for
    /// an instant and opened: they go when nobody can be about to write any more. Who needs room meanwhile takes it.
    pub fn prune(&self, now: Timestamp) -> Result<usize> {
        let _alone = self.pruning.lock();
        let now = self.clock.time(now);
        let mut gone = 0;
        for system in &self.file_systems()? {
            self.memory.lock().departed = Some(HashSet::new());
            let count = self.prune_file_system(system, now);
            self.memory.lock().departed = None;
            match count {
                Ok(count) => gone += count,
                Err(error) => self.notices.add_stuck_folder(&system.tops[0].path, &error),
            }
        }
        Ok(gone)
    }

    fn prune_file_system(&self, system: &FileSystem, now: Timestamp) -> Result<usize> {
        let mut census = self.census(system, Full::Disk);
        let mut gone = self.let_chosen_go(&mut census, now, |census| self.empty_ones(census, now));
        let Some(KeepLimits { age_max, percent_max }) = self.limits else {
            let is_old = |census: &Census, index: &usize| now.since(census.kept[*index].since) > UPLOADS_KEPT;
            let old = |census: &Census| (0..census.kept.len()).filter(|index| is_old(census, index)).collect();
            return Ok(gone + self.let_chosen_go(&mut census, now, old));
        };
        let rule = KeepRule { age_max, room_max: self.disk.space(&system.tops[0].dir)?.percent(percent_max) };
        self.find_same_content(&mut census, now);
        gone += self.let_chosen_go(&mut census, now, |census| rule.outlived(&census.kept, now));
        gone += self.let_chosen_go(&mut census, now, |census| rule.exceeding(&census.kept, now));
        self.leave_out_departed(&mut census);
        self.remember_what_it_could_give(system.number, &census, Full::Disk, now);
        Ok(gone)
    }

    /// Which empty versions go because their file was filled since. Drives make a file first and fill it then, so every file that comes from them
    /// would have such a version, which tells nobody anything.
    fn empty_ones(&self, census: &Census, now: Timestamp) -> Vec<usize> {
        let goes = |index: &usize| {
            let (found, kept) = (&census.found[*index], &census.kept[*index]);
            !kept.is_young(now) && found.version.name.ending == Ending::Settled && self.was_only_begun(found)
        };
        (0..census.kept.len()).filter(goes).collect()
    }

    fn was_only_begun(&self, found: &FoundVersion) -> bool {
        let status = &found.version.status;
        status.kind == Kind::File && status.stamp.size == 0 && {
            let there = self.disk.root().and_then(|root| {
                let path = spelled(&*self.disk, &root, &found.path, LastLink::Itself, || self.own_folder_ids())?;
                self.disk.look_path(&root, path.as_bytes())
            });
            matches!(there, Ok(Some(Status { kind: Kind::File, .. })))
        }
    }

    /// Marks versions with the same content as the next version of their path, as far as reading so much tells.
    fn find_same_content(&self, census: &mut Census, now: Timestamp) {
        let mut newer = HashMap::<usize, usize>::new();
        let mut left = COMPARED_BYTES_MAX;
        for index in (0..census.kept.len()).rev() {
            let Some(next) = newer.insert(census.kept[index].path, index) else { continue };
            let (one, other) = (&census.found[index], &census.found[next]);
            let (size, files) = (one.version.status.stamp.size, [one, other].map(|found| found.version.status.kind));
            let may_be_same = files == [Kind::File; 2] && size > 0 && size == other.version.status.stamp.size;
            if may_be_same
                && keep_rule::is_past_its_first_hour(&census.kept[next], now)
                && self.has_same_content(one, other, &mut left).unwrap_or(false)
            {
                census.kept[index].content = KeptContent::SameAsNext;
            }
        }
    }

    fn has_same_content(&self, one: &FoundVersion, other: &FoundVersion, left: &mut u64) -> Result<bool> {
        let open = |found: &FoundVersion| match self.disk.open(&found.dir(&*self.disk)?, &found.version.entry)? {
            Opened::File(file, _) => Ok(Some(file)),
            _ => Ok::<_, DiskError>(None),
        };
        let (Some(one), Some(other)) = (open(one)?, open(other)?) else { return Ok(false) };
        let (mut mine, mut its) = (vec![0; COMPARED_AT_ONCE], vec![0; COMPARED_AT_ONCE]);
        let mut offset = 0;
        loop {
            let fill = |file: &File, buffer: &mut [u8]| {
                let mut filled = 0;
                while filled < buffer.len() {
                    match self.disk.read(file, offset + filled as u64, &mut buffer[filled..])? {
                        0 => break,
                        count => filled += count,
                    }
                }
                Ok::<_, DiskError>(filled)
            };
            let count = fill(&one, &mut mine)?;
            if count != fill(&other, &mut its)? || mine[..count] != its[..count] {
                return Ok(false);
            }
            if count == 0 {
                return Ok(true);
            }
            offset += count as u64;
            let Some(rest) = left.checked_sub(count as u64) else { return Ok(false) };
            *left = rest;
        }
    }

    /// Lets go what is chosen, as far as it can be, and takes it out of the census; says how many went. When some went for room meanwhile the
    /// choice is made anew, of what is left, and no more go than were chosen first.
    fn let_chosen_go(&self, census: &mut Census, now: Timestamp, choose: impl Fn(&Census) -> Vec<usize>) -> usize {
        let (mut gone, mut most) = (0, None);
        loop {
            self.leave_out_departed(census);
            let mut chosen = choose(census);
            chosen.truncate(most.unwrap_or(chosen.len()));
            let mut tried = 0;
            while tried < chosen.len() {
                let (found, kept) = (&census.found[chosen[tried]], &census.kept[chosen[tried]]);
                let went = self.let_found_go(found, kept.content, Going::ByRule, now);
                if !went && !self.memory.lock().none_departed() {
                    break;
                }
                gone += usize::from(went);
                tried += 1;
            }
            census.leave_out(&chosen[..tried]);
            if tried == chosen.len() {
                return gone;
            }
            most = Some(chosen.len() - tried);
        }
    }

    /// Takes what went for room out of the census of whoever applies the keep rule.
    pub(super) fn leave_out_departed(&self, census: &mut Census) {
        let departed = self.memory.lock().departed.as_mut().map(std::mem::take).unwrap_or_default();
        let is_gone = |index: &usize| departed.contains(&which(&census.found[*index]));
        let gone: Vec<_> = (0..census.found.len()).filter(is_gone).collect();
        census.leave_out(&gone);
    }
}
