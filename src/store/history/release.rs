//! Letting versions go: by the keep rule, and to make room for what would not fit.
//!
//! What cannot be measured, opened or removed stays, is told once, and stops nothing. For room nothing goes unless that suffices, and no more
//! than has to.

use std::collections::{HashMap, HashSet};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::model::keep_rule::{self, KeepRule, Kept, KeptContent, Room, YOUNG};
use crate::model::path::{RESERVED, SharePath};
use crate::model::stamp::{FileId, Timestamp};
use crate::model::version::{Ending, EntryName};

use super::super::disk::{Dir, DiskError, File, Full, Kind, Opened, Result, Status};
use super::super::naming;
use super::super::notice::Notice;
use super::layout::{Top, own_name, relative};
use super::walk::{Measured, measure_tree};
use super::{Found, History, KeepLimits, Version};

/// How long a refused upload is kept where there is no history.
const UPLOADS_KEPT: Duration = Duration::from_secs(30 * 86_400);

/// How often it is looked for other versions when some that were to make room cannot go.
const CHOICES_MAX: usize = 8;

/// For how long it is remembered how much the history could give, so that requests which do not fit cost no walk each.
const REMEMBERED: Duration = Duration::from_secs(2);

/// How many bytes are read in one go of the keep rule to find versions with the same content.
const COMPARED_BYTES_MAX: u64 = 64 << 20;

/// How many bytes are compared at once.
const COMPARED_AT_ONCE: usize = 64 << 10;

/// For how many trees it is remembered what they take.
const TREES_MAX: usize = 100_000;

/// The user whom no quota of a user binds.
const ROOT: u32 = 0;

/// How many entries that cannot be handled are remembered.
const STUCK_MAX: usize = 100_000;

/// What is remembered of the history from one walk to the next.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// What the trees take that are kept: they do not change any more.
    trees: HashMap<FileId, Measured>,
    /// How much the history on a mount could give, when that was found out, and how often places had been asked for until then.
    could_give: HashMap<(u64, Full), (Timestamp, u64, Room)>,
    /// Entries that could not be handled. Each was told of.
    stuck: HashSet<FileId>,
    /// Paths whose folder could not be walked. Each was told of.
    closed: HashSet<SharePath>,
}

/// All versions on one file system that may go at all, the oldest first.
struct Census {
    found: Vec<Found>,
    kept: Vec<Kept>,
}

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

    /// Whether `wanted` is free on a mount or would be if the history gave what it may. Nothing goes.
    pub fn has_room(&self, at: &Dir, mount: u64, wanted: Room, now: Timestamp) -> Result<bool> {
        let space = self.disk.space(at)?;
        let short = wanted - space.free_room();
        if short == Room::default() {
            return Ok(true);
        }
        Ok(wanted.bytes <= space.total && self.could_give(mount, self.time(now)).covers(short))
    }

    /// Sees to it that `wanted` is free on a mount where that is `full`, by letting versions go, if that suffices; says whether it is free now.
    /// Whatever is wrong with an entry of the history, it is no error of whoever needs the room.
    pub fn make_room(&self, mount: u64, wanted: Room, full: Full, now: Timestamp) -> bool {
        self.make_room_for_a_step(mount, wanted, wanted, full, now)
    }

    /// As [`History::make_room`], for a `step` of something that will take `whole`: nothing goes unless that could be had.
    pub fn make_room_for_a_step(&self, mount: u64, step: Room, whole: Room, full: Full, now: Timestamp) -> bool {
        let _alone = self.making_room.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.time(now);
        let Ok(tops) = self.tops() else { return false };
        tops.iter().filter(|top| top.mount == mount).any(|top| {
            self.make_room_on(top, step, whole, full, now).unwrap_or_else(|error| {
                self.tell_once_of_folder(&top.path, &error);
                false
            })
        })
    }

    /// How much is free in a quota nobody says: it is taken for nothing, and what goes is free then.
    fn make_room_on(&self, top: &Top, step: Room, whole: Room, full: Full, now: Timestamp) -> Result<bool> {
        let mut given = Room::default();
        let free = |given: Room| match full {
            Full::Disk => Ok::<_, DiskError>(self.disk.space(&top.dir)?.free_room()),
            Full::Quota => Ok(given),
        };
        if free(given)?.covers(step) {
            return Ok(true);
        }
        let in_all_short = whole - free(given)?;
        if self.remembered(top.mount, full, now).is_some_and(|room| !room.covers(in_all_short)) {
            return Ok(false);
        }
        let mut census = self.census(top, full)?;
        if !keep_rule::could_give(&census.kept, now).covers(in_all_short) {
            self.remember_what_it_could_give(top, &census, full, now);
            return Ok(false);
        }
        let mut versions = 0;
        for _ in 0..CHOICES_MAX {
            let Some(chosen) = keep_rule::giving(&census.kept, step - free(given)?, now) else { break };
            // Nothing goes before it is known that all of it can.
            let blocked: Vec<_> =
                chosen.iter().copied().filter(|index| self.is_held_fast(&census.found[*index])).collect();
            if !blocked.is_empty() {
                census.leave_out(&blocked);
                continue;
            }
            for index in &chosen {
                if free(given)?.covers(step) {
                    break;
                }
                if self.let_found_go(&census.found[*index]) {
                    given += census.kept[*index].room;
                    versions += 1;
                }
            }
            census.leave_out(&chosen);
            if free(given)?.covers(step) {
                break;
            }
        }
        self.remember_what_it_could_give(top, &census, full, now);
        if versions > 0 {
            self.tell(Notice::GaveRoom { versions, bytes: given.bytes });
        }
        Ok(free(given)?.covers(step))
    }

    /// How many bytes the share's own file system would have free besides, if the history gave what it may; as of when that was last found
    /// out.
    pub fn gives_back(&self) -> u64 {
        self.gives_back.load(Ordering::Relaxed)
    }

    fn could_give(&self, mount: u64, now: Timestamp) -> Room {
        if let Some(room) = self.remembered(mount, Full::Disk, now) {
            return room;
        }
        let Ok(tops) = self.tops() else { return Room::default() };
        let mut room = Room::default();
        for top in tops.iter().filter(|top| top.mount == mount) {
            if let Ok(census) = self.census(top, Full::Disk) {
                room += self.remember_what_it_could_give(top, &census, Full::Disk, now);
            }
        }
        room
    }

    fn remembered(&self, mount: u64, full: Full, now: Timestamp) -> Option<Room> {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let (then, places, room) = memory.could_give.get(&(mount, full))?;
        let is_current = *places == self.places.load(Ordering::Relaxed) && now >= *then;
        (is_current && now.since(*then) <= REMEMBERED).then_some(*room)
    }

    fn remember_what_it_could_give(&self, top: &Top, census: &Census, full: Full, now: Timestamp) -> Room {
        let room = keep_rule::could_give(&census.kept, now);
        if top.path.is_root() && full == Full::Disk {
            self.gives_back.store(room.bytes, Ordering::Relaxed);
        }
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.could_give.insert((top.mount, full), (now, self.places.load(Ordering::Relaxed), room));
        room
    }

    /// Finds all versions on a file system that may go and can be measured, and what each would give back to what is `full`. A quota is that of
    /// whoever owns the folder of noclobber's own, and what belongs to others gives it nothing. No user's quota binds root (quotactl(2)): it is
    /// that of a folder or a part of the file system then, and whose anything is makes no difference.
    fn census(&self, top: &Top, full: Full) -> Result<Census> {
        let owner = match full {
            Full::Quota if self.disk.user() == ROOT => None,
            Full::Disk => None,
            Full::Quota => self.disk.look(&top.dir, &own_name(RESERVED))?.map(|own| own.uid),
        };
        let found = self.walk_top(self.area(), top)?;
        let mut trees = HashMap::new();
        let mut census: Vec<(Found, Kept)> = Vec::with_capacity(found.len());
        let (mut path, mut number) = (None, 0);
        for found in found {
            if path.as_ref() != Some(&found.path) {
                (path, number) = (Some(found.path.clone()), number + 1);
            }
            let may_go = match found.version.name.ending {
                Ending::Upload => true,
                Ending::Settled => self.keeps(),
                Ending::Tail(_) => false,
            };
            let is_others = owner.is_some_and(|owner| found.version.status.uid != owner);
            if !may_go || is_others || self.is_stuck(&found) {
                continue;
            }
            match self.measure(&found, &mut trees) {
                Ok(Measured { has_one_owner: false, .. }) if owner.is_some() => {}
                Ok(Measured { room, content, .. }) => {
                    let kept = Kept { path: number, since: found.version.name.id.time(), room, content };
                    census.push((found, kept));
                }
                Err(error) => self.tell_once(&found, &error),
            }
        }
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.trees.len() > TREES_MAX {
            memory.trees.clear();
        }
        memory.trees.extend(trees);
        drop(memory);
        census.sort_by(|(one, _), (other, _)| one.version.name.id.cmp(&other.version.name.id));
        let (found, kept) = census.into_iter().unzip();
        Ok(Census { found, kept })
    }

    fn measure(&self, found: &Found, trees: &mut HashMap<FileId, Measured>) -> Result<Measured> {
        let status = &found.version.status;
        if status.kind != Kind::Dir {
            // What has another name gives nothing back.
            let own = if status.links > 1 { Room::default() } else { Room { bytes: status.allocated, files: 1 } };
            let is_empty = status.kind == Kind::File && status.stamp.size == 0;
            let content = if is_empty { KeptContent::Empty } else { KeptContent::Bytes };
            return Ok(Measured { room: own + found.folders, content, has_one_owner: true });
        }
        let known = self.memory.lock().unwrap_or_else(PoisonError::into_inner).trees.get(&status.stamp.id).copied();
        let tree = match known {
            Some(tree) => tree,
            None => {
                let dir = found.dir(&*self.disk)?;
                measure_tree(&*self.disk, self.disk.open_dir(&dir, found.version.entry.as_bytes())?)?
            }
        };
        trees.insert(status.stamp.id, tree);
        Ok(Measured { room: tree.room + found.folders, ..tree })
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
    fn is_held_fast(&self, found: &Found) -> bool {
        let busy = found.dir(&*self.disk).and_then(|dir| self.is_busy(&dir, &found.version.entry));
        busy.unwrap_or_else(|error| {
            self.tell_once(found, &error);
            true
        })
    }

    fn let_found_go(&self, found: &Found) -> bool {
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

    fn is_stuck(&self, found: &Found) -> bool {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.stuck.contains(&found.version.status.stamp.id)
    }

    /// An entry that cannot be handled stays from now on, until the server is started again.
    fn tell_once(&self, found: &Found, error: &DiskError) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.stuck.len() < STUCK_MAX && memory.stuck.insert(found.version.status.stamp.id) {
            self.tell(Notice::Stuck { path: found.path.clone(), why: error.to_string() });
        }
    }

    /// As [`History::tell_once`], for all that lies below a folder.
    pub(super) fn tell_once_of_folder(&self, path: &SharePath, error: &DiskError) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.closed.len() < STUCK_MAX && memory.closed.insert(path.clone()) {
            self.tell(Notice::Stuck { path: path.clone(), why: error.to_string() });
        }
    }
}

impl Census {
    fn leave_out(&mut self, indices: &[usize]) {
        let out: HashSet<_> = indices.iter().copied().collect();
        let mut at = 0..;
        self.found.retain(|_| at.next().is_some_and(|index| !out.contains(&index)));
        let mut at = 0..;
        self.kept.retain(|_| at.next().is_some_and(|index| !out.contains(&index)));
    }
}
