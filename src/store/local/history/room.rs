//! Making room: letting versions go for what would not fit, if that suffices, and no more than has to.

use std::collections::BTreeSet;

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::model::keep_rule::{self, Room};
use crate::model::stamp::Timestamp;

use super::History;
use super::census::{Census, ROOT};
use super::memory::{Going, Pause};
use super::mounts::FileSystem;
use crate::store::disk_error::{DiskError, Full, Result};
use crate::store::handle::Dir;
use crate::store::notice::Notice;

/// How often it is looked for other versions when some that were to make room cannot go.
const CHOICES_MAX: usize = 8;

/// So many times in a row versions may go and give no room; then no more of them go.
const MISSES_MAX: usize = 2;

/// How long it is waited each time for what went to be free.
const FREED_WITHIN: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(5), Duration::from_millis(20), Duration::from_millis(75)];

/// For how long the history rests at most after it has given in vain.
const RESTS_MAX: Duration = Duration::from_secs(3600);

/// For how long it is remembered how much the history could give, so that requests which do not fit cost no walk each.
const REMEMBERED: Duration = Duration::from_secs(2);

impl History {
    /// Whether `wanted` is free on the file system of `at` or would be if the history gave what it may. Nothing goes.
    pub fn has_room(&self, at: &Dir, wanted: Room, now: Timestamp) -> Result<bool> {
        let space = self.disk.space(at)?;
        let short = wanted - space.free_room();
        if short == Room::default() {
            return Ok(true);
        }
        Ok(wanted.bytes <= space.total && self.could_give(space.file_system, self.clock.time(now)).covers(short))
    }

    /// Sees to it that `wanted` is free on the file system of `at` where that is `full`, by letting versions go, if that suffices; says whether
    /// it is free now.
    /// Whatever is wrong with an entry of the history, it is no error of whoever needs the room.
    pub fn make_room(&self, at: &Dir, wanted: Room, full: Full, now: Timestamp) -> bool {
        self.make_room_for_a_step(at, wanted, wanted, full, now)
    }

    /// As [`History::make_room`], for a `step` of something that will take `whole`: nothing goes unless that could be had.
    pub fn make_room_for_a_step(&self, at: &Dir, step: Room, whole: Room, full: Full, now: Timestamp) -> bool {
        let _alone = self.making_room.lock();
        let now = self.clock.time(now);
        let Ok(Some(system)) = self.file_system_of(at, full) else { return false };
        self.make_room_on(&system, step, whole, full, now).unwrap_or_else(|error| {
            self.notices.add_stuck_folder(&system.tops[0].path, &error);
            false
        })
    }

    /// A quota that binds root is that of a folder, perhaps, and another mount's not in it.
    fn file_system_of(&self, at: &Dir, full: Full) -> Result<Option<FileSystem>> {
        let number = self.disk.space(at)?.file_system;
        let mut system = self.file_systems()?.into_iter().find(|system| system.number == number);
        if let (Full::Quota, ROOT, Some(system)) = (full, self.disk.user(), &mut system) {
            let mount = self.disk.dir_status(at)?.mount;
            system.tops.retain(|top| top.mount == mount);
        }
        Ok(system.filter(|system| !system.tops.is_empty()))
    }

    fn make_room_on(&self, system: &FileSystem, step: Room, whole: Room, full: Full, now: Timestamp) -> Result<bool> {
        let mut giving = Giving::new(self, &system.tops[0].dir, full);
        let short = |giving: &Giving<'_>, wanted: Room| Ok::<_, DiskError>(wanted - giving.free()?);
        if giving.free()?.covers(step) {
            return Ok(true);
        }
        let in_all_short = short(&giving, whole)?;
        if self.remembered(system.number, full, now).is_some_and(|room| !room.covers(in_all_short)) {
            return Ok(false);
        }
        let mut census = self.census(system, full);
        for _ in 0..CHOICES_MAX {
            // It is asked each time whether what is left suffices for all of it.
            let (now_short, in_all_short) = (short(&giving, step)?, short(&giving, whole)?);
            let Some(in_all) = keep_rule::giving(&census.kept, in_all_short, now) else { break };
            // A step ahead of what has come is not always to be had.
            let chosen = keep_rule::giving(&census.kept, now_short, now).unwrap_or_else(|| in_all.clone());
            if chosen.is_empty() {
                break;
            }
            // Nothing goes before it is known that all of it can.
            let all: BTreeSet<_> = chosen.iter().chain(&in_all).copied().collect();
            let blocked: Vec<_> =
                all.into_iter().filter(|index| self.is_held_fast(&census.found[*index], now)).collect();
            if !blocked.is_empty() {
                census.leave_out(&blocked);
                continue;
            }
            let tried = giving.let_go(&census, &chosen, step, now)?;
            census.leave_out(&chosen[..tried]);
            if giving.is_in_vain() || giving.free()?.covers(step) {
                break;
            }
        }
        if giving.is_in_vain() {
            self.rest(system.number, full, now);
        } else if giving.versions > 0 && full == Full::Disk {
            self.memory.lock().in_vain.remove(&(system.number, full));
        }
        self.remember_what_it_could_give(system.number, &census, full, now);
        if giving.versions > 0 {
            self.notices.add(Notice::GaveRoom { versions: giving.versions, bytes: giving.given.bytes });
        }
        Ok(giving.free()?.covers(step))
    }

    /// Takes note that versions went for room on the file system of `at` and there is none: they share their blocks with others, or something
    /// takes the room as soon as it is free. The history rests then, each time for four times as long.
    pub fn gave_in_vain(&self, at: &Dir, full: Full, now: Timestamp) {
        if let Ok(space) = self.disk.space(at) {
            self.rest(space.file_system, full, self.clock.time(now));
        }
    }

    fn rest(&self, system: u64, full: Full, now: Timestamp) {
        let mut memory = self.memory.lock();
        let before = memory.in_vain.get(&(system, full)).filter(|rest| now.since(rest.since) <= 2 * RESTS_MAX);
        let lasts = before.map_or(REMEMBERED, |rest| (4 * rest.lasts).min(RESTS_MAX));
        memory.in_vain.insert((system, full), Pause { since: now, lasts });
    }

    /// How many bytes a file system would have free besides, if the history gave what it may; as of when that was last found out.
    pub fn gives_back(&self, system: u64) -> u64 {
        self.memory.lock().could_give.get(&(system, Full::Disk)).map_or(0, |(_, _, room)| room.bytes)
    }

    fn could_give(&self, system: u64, now: Timestamp) -> Room {
        if let Some(room) = self.remembered(system, Full::Disk, now) {
            return room;
        }
        let Ok(systems) = self.file_systems() else { return Room::default() };
        let Some(found) = systems.iter().find(|it| it.number == system) else { return Room::default() };
        self.remember_what_it_could_give(system, &self.census(found, Full::Disk), Full::Disk, now)
    }

    fn remembered(&self, system: u64, full: Full, now: Timestamp) -> Option<Room> {
        let memory = self.memory.lock();
        let is_current = |(then, places, _): &&(Timestamp, u64, Room)| {
            *places == self.places.load(Ordering::Relaxed) && now >= *then && now.since(*then) <= REMEMBERED
        };
        let known = memory.could_give.get(&(system, full)).filter(is_current).map(|(_, _, room)| *room);
        let rests = memory.in_vain.get(&(system, full)).is_some_and(|rest| rest.goes_on(now));
        if rests { Some(Room { bytes: 0, ..known.unwrap_or(Room::UNLIMITED) }) } else { known }
    }

    pub(super) fn remember_what_it_could_give(&self, system: u64, census: &Census, full: Full, now: Timestamp) -> Room {
        let mut room = keep_rule::could_give(&census.kept, now);
        let mut memory = self.memory.lock();
        if memory.in_vain.get(&(system, full)).is_some_and(|rest| rest.goes_on(now)) {
            room.bytes = 0;
        }
        memory.could_give.insert((system, full), (now, self.places.load(Ordering::Relaxed), room));
        room
    }
}

/// Versions that go for room, and whether that gives any.
struct Giving<'a> {
    history: &'a History,
    at: &'a Dir,
    full: Full,
    /// How many went.
    versions: usize,
    given: Room,
    /// How often that was in vain.
    misses: usize,
}

impl<'a> Giving<'a> {
    fn new(history: &'a History, at: &'a Dir, full: Full) -> Self {
        Self { history, at, full, versions: 0, given: Room::default(), misses: 0 }
    }

    /// How much is free in a quota nobody says: it is taken for nothing, and what goes is free then.
    fn free(&self) -> Result<Room> {
        match self.full {
            Full::Disk => Ok(self.history.disk.space(self.at)?.free_room()),
            Full::Quota => Ok(self.given),
        }
    }

    fn is_in_vain(&self) -> bool {
        self.misses >= MISSES_MAX
    }

    /// Lets these go until `step` is free, as long as it gives room and all of them can; says how many it came to. First one goes, and then, each
    /// time that this gave room, twice as many before it is looked at again, since that may take a while.
    fn let_go(&mut self, census: &Census, chosen: &[usize], step: Room, now: Timestamp) -> Result<usize> {
        let (mut tried, mut at_once, mut all_go) = (0, 1, true);
        while all_go && tried < chosen.len() && !self.is_in_vain() {
            let (before, given) = (self.free()?, self.given);
            if before.covers(step) {
                break;
            }
            for index in chosen[tried..].iter().take(at_once) {
                tried += 1;
                let kept = &census.kept[*index];
                all_go = self.history.let_found_go(&census.found[*index], kept.content, Going::ForRoom, now);
                if !all_go {
                    break;
                }
                self.versions += 1;
                self.given += kept.room;
                if self.free()?.covers(step) {
                    break;
                }
            }
            let counted = self.given - given;
            let gave = counted == Room::default() || self.shows(before, counted, step)?;
            self.misses = if gave { 0 } else { self.misses + 1 };
            at_once = if gave { 2 * at_once } else { 1 };
        }
        Ok(tried)
    }

    /// Whether what went since `before` was free gave at least half of what it takes, of what there is too little of. Some file systems free it
    /// a little later, or with the next sync.
    fn shows(&self, before: Room, counted: Room, step: Room) -> Result<bool> {
        let short = step - before;
        let shows = |free: Room| {
            let gave = free - before;
            short.bytes > 0 && gave.bytes >= counted.bytes / 2 && counted.bytes > 0
                || short.files > 0 && gave.files >= counted.files / 2 && counted.files > 0
        };
        for is_synced in [false, true] {
            if is_synced {
                self.history.disk.sync_file_system(self.at)?;
            }
            for wait in FREED_WITHIN {
                self.history.disk.wait(wait);
                if shows(self.free()?) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}
