//! Making room: letting versions go for what would not fit, if that suffices, and no more than has to.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::model::keep_rule::{self, Room};
use crate::model::stamp::Timestamp;

use super::super::disk::{Dir, DiskError, Full, Result};
use super::super::notice::Notice;
use super::History;
use super::census::Census;
use super::layout::Top;

/// How often it is looked for other versions when some that were to make room cannot go.
const CHOICES_MAX: usize = 8;

/// For how long it is remembered how much the history could give, so that requests which do not fit cost no walk each.
const REMEMBERED: Duration = Duration::from_secs(2);

impl History {
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

    pub(super) fn remember_what_it_could_give(&self, top: &Top, census: &Census, full: Full, now: Timestamp) -> Room {
        let room = keep_rule::could_give(&census.kept, now);
        if top.path.is_root() && full == Full::Disk {
            self.gives_back.store(room.bytes, Ordering::Relaxed);
        }
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.could_give.insert((top.mount, full), (now, self.places.load(Ordering::Relaxed), room));
        room
    }
}
