//! Letting versions go by the keep rule, and how any version goes.

use std::collections::HashMap;
use std::sync::PoisonError;
use std::time::Duration;

use crate::model::keep_rule::{self, KeepRule, Kept, KeptContent, YOUNG};
use crate::model::stamp::Timestamp;
use crate::model::version::{Ending, EntryName};

use super::super::disk::{DiskError, File, Full, Kind, Opened, Result, Status};
use super::super::naming;
use super::census::Census;
use super::layout::{Top, relative};
use super::{Found, History, KeepLimits, Version};

/// How long a refused upload is kept where there is no history.
const UPLOADS_KEPT: Duration = Duration::from_secs(30 * 86_400);

/// How many bytes are read in one go of the keep rule to find versions with the same content.
const COMPARED_BYTES_MAX: u64 = 64 << 20;

/// How many bytes are compared at once.
const COMPARED_AT_ONCE: usize = 64 << 10;

impl History {
    /// Lets versions go by the keep rule; says how many. Without a history there are but refused uploads, which somebody may have seen for
    /// an instant and opened: they go when nobody can be about to write any more.
    pub fn prune(&self, now: Timestamp) -> Result<usize> {
        let _alone = self.making_room.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.time(now);
        let mut gone = 0;
        for top in &self.tops()? {
            match self.prune_top(top, now) {
                Ok(count) => gone += count,
                Err(error) => self.tell_once_of_folder(&top.path, &error),
            }
        }
        Ok(gone)
    }

    fn prune_top(&self, top: &Top, now: Timestamp) -> Result<usize> {
        let mut census = self.census(top, Full::Disk)?;
        let mut gone = self.let_empty_ones_go(&mut census, top, now);
        let Some(KeepLimits { age_max, percent_max }) = self.limits else {
            let old = |kept: &Kept| now.since(kept.since) > UPLOADS_KEPT;
            let old: Vec<_> = (0..census.kept.len()).filter(|index| old(&census.kept[*index])).collect();
            return Ok(gone + self.let_all_go(&mut census, &old));
        };
        let rule = KeepRule { age_max, room_max: self.disk.space(&top.dir)?.percent(percent_max) };
        self.find_same_content(&mut census, now);
        let outlived = rule.outlived(&census.kept, now);
        gone += self.let_all_go(&mut census, &outlived);
        let exceeding = rule.exceeding(&census.kept, now);
        gone += self.let_all_go(&mut census, &exceeding);
        self.remember_what_it_could_give(top, &census, Full::Disk, now);
        Ok(gone)
    }

    /// Lets empty versions go whose file was filled since. Drives make a file first and fill it then, so every file that comes from them would
    /// have such a version, which tells nobody anything.
    fn let_empty_ones_go(&self, census: &mut Census, top: &Top, now: Timestamp) -> usize {
        let goes = |index: &usize| {
            let (found, kept) = (&census.found[*index], &census.kept[*index]);
            now.since(kept.since) > YOUNG
                && found.version.name.ending == Ending::Settled
                && self.was_only_begun(top, found)
        };
        let empty: Vec<_> = (0..census.kept.len()).filter(goes).collect();
        self.let_all_go(census, &empty)
    }

    fn was_only_begun(&self, top: &Top, found: &Found) -> bool {
        let status = &found.version.status;
        status.kind == Kind::File && status.stamp.size == 0 && {
            let there = self.disk.look_path(&top.dir, relative(&found.path, &top.path));
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

    fn has_same_content(&self, one: &Found, other: &Found, left: &mut u64) -> Result<bool> {
        let open = |found: &Found| match self.disk.open(&found.dir(&*self.disk)?, &found.version.entry)? {
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

    /// Lets these go, as far as it can be, and takes them out of the census; says how many went.
    fn let_all_go(&self, census: &mut Census, chosen: &[usize]) -> usize {
        let goes = |index: &&usize| {
            let found = &census.found[**index];
            !self.is_held_fast(found) && self.let_found_go(found)
        };
        let gone = chosen.iter().filter(goes).count();
        census.leave_out(chosen);
        gone
    }

    /// Whether somebody writes into it now, which would be nowhere else then, or it cannot even be opened.
    pub(super) fn is_held_fast(&self, found: &Found) -> bool {
        let busy = found.dir(&*self.disk).and_then(|dir| self.is_busy(&dir, &found.version.entry));
        busy.unwrap_or_else(|error| {
            self.tell_once(found, &error);
            true
        })
    }

    pub(super) fn let_found_go(&self, found: &Found) -> bool {
        match self.let_version_go(found) {
            Ok(()) => {
                let _alone = self.folders.write().unwrap_or_else(PoisonError::into_inner);
                self.remove_empty(&found.top, &found.folder);
                true
            }
            Err(error) => {
                self.tell_once(found, &error);
                false
            }
        }
    }

    /// A folder goes in many steps. So it is no version any more before the first: who brings it back has all of it or nothing, and nothing is
    /// removed from what has come back.
    fn let_version_go(&self, found: &Found) -> Result<()> {
        let (dir, Version { name, entry, status }) = (found.dir(&*self.disk)?, &found.version);
        if status.kind != Kind::Dir || name.ending == Ending::Upload {
            return self.let_go(&dir, entry);
        }
        let going = EntryName { id: name.id.clone(), ending: Ending::Upload }.to_name();
        naming::move_within(&*self.disk, (&dir, entry), (&dir, &going))?;
        self.let_go(&dir, &going)
    }
}
