//! The time by which versions are named and age, and the note of it that outlives the process: the date of an empty file in the folder of
//! noclobber's own.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::model::age_clock::AgeClock;
use crate::model::path::RESERVED;
use crate::model::stamp::Timestamp;

use super::super::disk::Disk;
use super::super::place::own_name;
use super::areas::found;
use crate::store::disk_error::{Cause, Result};
use crate::store::handle::Opened;

/// The file whose date is the note.
const CLOCK: &str = "clock";

/// How often the time is noted.
const NOTED_EVERY: Duration = Duration::from_secs(600);

/// How often the time is observed.
const OBSERVED_EVERY: Duration = Duration::from_secs(1);

/// By how much identifiers of versions differ.
const IDENTIFIER_STEP: Duration = Duration::from_micros(1);

/// The clock of one history.
#[derive(Debug)]
pub struct Clock {
    disk: Arc<dyn Disk>,
    /// `None` until it is first asked.
    state: Mutex<Option<NotedTime>>,
}

/// The time, and when it was noted.
#[derive(Debug)]
struct NotedTime {
    time: AgeClock,
    noted: Option<Duration>,
    /// When something was last displaced.
    displaced: Option<Timestamp>,
}

impl Clock {
    pub(super) fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk, state: Mutex::default() }
    }

    /// What time it is, by the rule of [`AgeClock`], while the system's clock shows `now`.
    pub fn time(&self, now: Timestamp) -> Timestamp {
        let mut clock = self.state.lock();
        clock.get_or_insert_with(|| self.begin(now)).time.time(now)
    }

    /// When something is displaced while the system's clock shows `now`, or showed it when the request began that displaces it: versions of a
    /// path keep their order when the clock is set back, and when one request takes longer than others.
    ///
    /// Where the names of versions say more than the time, it is later than all that came before: no two may differ in the rest alone.
    pub fn displaced_at(&self, now: Timestamp, is_later_than_all: bool) -> Timestamp {
        let mut clock = self.state.lock();
        let clock = clock.get_or_insert_with(|| self.begin(now));
        let at = clock.time.last().max(now);
        // The time was observed a second ago; where this is further on, the clock was set back.
        let step = if is_later_than_all { IDENTIFIER_STEP } else { Duration::ZERO };
        let earliest = clock.displaced.map(|displaced| displaced.plus(step));
        let later = earliest.filter(|earliest| *earliest > at && *earliest <= at.plus(OBSERVED_EVERY * 2));
        let at = later.unwrap_or(at);
        clock.displaced = Some(at);
        at
    }

    /// Observes the clock, which is to be done every second; `running` is how long the process has been running. The time is noted now and
    /// then, if there is a history.
    pub fn observe(&self, now: Timestamp, running: Duration) {
        let mut clock = self.state.lock();
        let clock = clock.get_or_insert_with(|| self.begin(now));
        let time = clock.time.observe(now, running);
        let is_due = clock.noted.is_none_or(|noted| running.saturating_sub(noted) >= NOTED_EVERY);
        // A note that cannot be made is no worse than one that is old: versions then age more slowly.
        if is_due && self.note_time(time).unwrap_or(false) {
            clock.noted = Some(running);
        }
    }

    /// Notes the time when it was last observed.
    pub fn note_last_time(&self) {
        if let Some(clock) = &*self.state.lock() {
            let _ = self.note_time(clock.time.last());
        }
    }

    fn begin(&self, now: Timestamp) -> NotedTime {
        let time = AgeClock::begin(self.noted_time().unwrap_or(None), now, Duration::ZERO);
        NotedTime { time, noted: None, displaced: None }
    }

    /// The time that an earlier run has noted; or else when its folder was last changed, which was by the same clock.
    fn noted_time(&self) -> Result<Option<Timestamp>> {
        let Some(own) = found(self.disk.open_dir(&self.disk.root()?, RESERVED.as_bytes()))? else { return Ok(None) };
        let noted = match self.disk.look(&own, &own_name(CLOCK))? {
            Some(status) => status,
            None => self.disk.dir_status(&own)?,
        };
        Ok(Some(noted.stamp.mtime))
    }

    /// Says whether it was noted: where there is no folder of noclobber's own there is nothing that ages.
    fn note_time(&self, time: Timestamp) -> Result<bool> {
        let Some(own) = found(self.disk.open_dir(&self.disk.root()?, RESERVED.as_bytes()))? else { return Ok(false) };
        let name = own_name(CLOCK);
        let file = match self.disk.create_named(&own, &name) {
            Ok(file) => file,
            Err(error) if error.cause == Cause::Exists => match self.disk.open(&own, &name)? {
                Opened::File(file, _) => file,
                _ => return Err(error),
            },
            Err(error) => return Err(error),
        };
        self.disk.set_mtime(&file, time)?;
        Ok(true)
    }
}
