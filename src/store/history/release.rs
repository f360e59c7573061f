//! Letting versions go by the keep rule, and how any version goes.

use std::collections::{HashMap, HashSet};
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use crate::model::keep_rule::{self, KeepRule, KeptContent, YOUNG_UNSEEN};
use crate::model::path::Name;
use crate::model::stamp::Timestamp;
use crate::model::version::{Ending, EntryName};

use super::super::disk::{Cause, Dir, DiskError, File, Full, Kind, Leased, Opened, Result, Status};
use super::super::naming;
use super::super::spelling::{LastLink, spelled};
use super::census::Census;
use super::layout::FileSystem;
use super::walk::{measure_tree, remove_folders};
use super::{Found, History, KeepLimits, Version, Writers};

/// How long a refused upload is kept where there is no history.
const UPLOADS_KEPT: Duration = Duration::from_secs(30 * 86_400);

/// How many bytes are read in one go of the keep rule to find versions with the same content.
const COMPARED_BYTES_MAX: u64 = 64 << 20;

/// How many bytes are compared at once.
const COMPARED_AT_ONCE: usize = 64 << 10;

/// Why versions go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Going {
    /// By the keep rule.
    ByRule,
    /// Somebody needs their room, and holds [`History::making_room`].
    ForRoom,
}

/// Nobody else lets a version go while this is held.
struct Turn<'a>(#[expect(dead_code, reason = "it is held")] Option<MutexGuard<'a, ()>>);

impl History {
    /// Lets versions go by the keep rule; says how many. Without a history there are but refused uploads, which somebody may have seen for
    /// an instant and opened: they go when nobody can be about to write any more. Who needs room meanwhile takes it.
    pub fn prune(&self, now: Timestamp) -> Result<usize> {
        let _alone = self.pruning.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.time(now);
        let mut gone = 0;
        for system in &self.file_systems()? {
            self.memory().departed = Some(HashSet::new());
            let count = self.prune_file_system(system, now);
            self.memory().departed = None;
            match count {
                Ok(count) => gone += count,
                Err(error) => self.tell_once_of_folder(&system.tops[0].path, &error),
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

    fn was_only_begun(&self, found: &Found) -> bool {
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
                if !went && !self.none_departed() {
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

    /// Whether somebody may be about to write into it, which would be nowhere else then, or it cannot even be opened.
    pub(super) fn is_held_fast(&self, found: &Found, now: Timestamp) -> bool {
        let writers = found.dir(&*self.disk).and_then(|dir| self.writers(&dir, &found.version.entry));
        writers.map(|writers| is_in_use(writers, found, now)).unwrap_or_else(|error| {
            self.tell_once(found, &error);
            true
        })
    }

    /// Lets a version go if it is what was found, and nobody is about to write into it; says whether it went.
    pub(super) fn let_found_go(&self, found: &Found, content: KeptContent, going: Going, now: Timestamp) -> bool {
        let went = self.let_version_go(found, content, going, now).unwrap_or_else(|error| {
            self.tell_once(found, &error);
            false
        });
        if went {
            self.forget(found, going);
            let _alone = self.folders.write().unwrap_or_else(PoisonError::into_inner);
            self.remove_empty(&found.top, &found.folder);
        }
        went
    }

    /// Whoever makes room has his turn. Whoever applies the keep rule waits for it, and has none where he chose by what is no longer there.
    fn turn(&self, going: Going) -> Option<Turn<'_>> {
        if going == Going::ForRoom {
            return Some(Turn(None));
        }
        let alone = self.making_room.lock().unwrap_or_else(PoisonError::into_inner);
        self.none_departed().then_some(Turn(Some(alone)))
    }

    /// The last look is one under a lease: who opens it for writing from then on waits, and shows in the lease.
    fn let_version_go(&self, found: &Found, content: KeptContent, going: Going, now: Timestamp) -> Result<bool> {
        let (dir, Version { entry, status: seen, .. }) = (found.dir(&*self.disk)?, &found.version);
        match self.disk.open(&dir, entry)? {
            Opened::Nothing => Ok(false),
            Opened::File(file, _) => {
                let Some(_turn) = self.turn(going) else { return Ok(false) };
                let leased = self.disk.lease(&file, Duration::ZERO)?;
                let is_seen = self.disk.status(&file)?.stamp == seen.stamp;
                let is_left_alone = !matches!(&leased, Leased::Held(lease) if !lease.is_unbroken());
                let goes = is_seen && is_left_alone && !is_in_use(Writers::of(&leased), found, now);
                if goes {
                    self.disk.unlink(&dir, entry)?;
                }
                Ok(goes)
            }
            Opened::Dir(status) => {
                let goes = status.stamp == seen.stamp && !is_in_use(self.writers(&dir, entry)?, found, now);
                let Some(turn) = self.turn(going).filter(|_| goes) else { return Ok(false) };
                self.let_folder_go(found, &dir, content, turn, now)
            }
            Opened::Link | Opened::Special => {
                let Some(_turn) = self.turn(going) else { return Ok(false) };
                self.let_go(&dir, entry).map(|()| true)
            }
        }
    }

    /// A folder goes in many steps. So it is no version any more before the first: who brings it back has all of it or nothing, and nothing is
    /// removed from what has come back. With the first step the turn is over. A program that is in it may make a file there at any time.
    fn let_folder_go(
        &self,
        found: &Found,
        dir: &Dir,
        content: KeptContent,
        turn: Turn<'_>,
        now: Timestamp,
    ) -> Result<bool> {
        let Version { name, entry, .. } = &found.version;
        let going = EntryName { id: name.id.clone(), ending: Ending::Upload }.to_name();
        if name.ending == Ending::Upload {
            drop(turn);
            return self.remove_folder(dir, entry, content);
        }
        naming::move_within(&*self.disk, (dir, entry), (dir, &going))?;
        drop(turn);
        let is_used = self.writers(dir, &going).map(|writers| is_in_use(writers, found, now));
        let went = match is_used {
            Ok(false) => self.remove_folder(dir, &going, content),
            used => used.map(|_| false),
        };
        let is_whole = matches!(went, Ok(false)) || matches!(content, KeptContent::Empty | KeptContent::Folders);
        if is_whole && !matches!(went, Ok(true)) {
            naming::move_within(&*self.disk, (dir, &going), (dir, entry))?;
        }
        went
    }

    /// Removes a folder unless it holds more than it did; says whether it is gone.
    fn remove_folder(&self, dir: &Dir, name: &Name, content: KeptContent) -> Result<bool> {
        let is = |content| {
            let folder = self.disk.open_dir(dir, name.as_bytes())?;
            Ok::<_, DiskError>(measure_tree(&*self.disk, folder)?.content == content)
        };
        match content {
            KeptContent::Bytes | KeptContent::SameAsNext => self.let_go(dir, name).map(|()| true),
            KeptContent::Empty if is(KeptContent::Empty)? => self.let_go(dir, name).map(|()| true),
            KeptContent::Folders if is(KeptContent::Folders)? => match remove_folders(&*self.disk, dir, name) {
                Err(error) if error.cause == Cause::NotEmpty => Ok(false),
                removed => removed.map(|()| true),
            },
            KeptContent::Empty | KeptContent::Folders => Ok(false),
        }
    }
}

/// Whether somebody may be about to write into a version. Where nobody can say who has it open, that is so while it is young.
fn is_in_use(writers: Writers, found: &Found, now: Timestamp) -> bool {
    match writers {
        Writers::None => false,
        Writers::Unseen => now.since(found.version.name.id.time()) <= YOUNG_UNSEEN,
        Writers::Some => true,
    }
}
