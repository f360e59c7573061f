//! The time by which kept versions age. It follows the system's clock, but believes no jump of it before a day has passed: a machine whose
//! clock is wrong for one start neither loses its history nor makes versions that are old as soon as the clock is right.

use std::time::Duration;

use super::stamp::Timestamp;

/// How much faster than the time really passes a clock that is ahead is followed: a server that runs for an hour a day keeps up.
const PACE: u32 = 24;

/// How long a clock has to stand where it jumped to before it is believed.
const BELIEVED_AFTER: Duration = Duration::from_secs(86_400);

/// How far a clock may be set back, as is done to correct a small error, without that being a jump.
const SET_BACK_MAX: Duration = Duration::from_secs(60);

/// How far the time may go on between two observations: they are made every second.
const UNOBSERVED_MAX: Duration = Duration::from_secs(60);

/// The time by which versions age.
#[derive(Clone, Copy, Debug)]
pub struct AgeClock {
    time: Timestamp,
    running: Duration,
    jumped: Option<Jump>,
}

/// The system's clock went somewhere else.
#[derive(Clone, Copy, Debug)]
struct Jump {
    forward: bool,
    /// How long the process had been running when that was first seen.
    seen: Duration,
}

impl AgeClock {
    /// Begins at the time that an earlier run has `noted`, or where there is none by the system's clock, which shows `now`. `running` is how
    /// long the process has been running, by a clock that never jumps.
    pub fn begin(noted: Option<Timestamp>, now: Timestamp, running: Duration) -> Self {
        Self { time: noted.unwrap_or(now), running, jumped: None }
    }

    /// What time it is while the system's clock shows `now`, shortly after the last observation. It never goes back.
    pub fn time(&self, now: Timestamp) -> Timestamp {
        now.clamp(self.time, self.time.plus(UNOBSERVED_MAX))
    }

    /// What time it was when it was last observed.
    pub fn last(&self) -> Timestamp {
        self.time
    }

    /// Goes on to the present, and says what time it is.
    pub fn observe(&mut self, now: Timestamp, running: Duration) -> Timestamp {
        let elapsed = running.saturating_sub(self.running);
        self.running += elapsed;
        let forward = now >= self.time;
        let in_step =
            if forward { now <= self.time.plus(elapsed * PACE) } else { self.time.since(now) <= SET_BACK_MAX };
        if in_step {
            self.jumped = None;
            self.time = self.time.max(now);
            return self.time;
        }
        let jump = self.jumped.filter(|jump| jump.forward == forward).unwrap_or(Jump { forward, seen: self.running });
        let is_believed = self.running - jump.seen >= BELIEVED_AFTER;
        self.jumped = (!is_believed).then_some(jump);
        self.time = match forward {
            _ if is_believed => now,
            true => self.time.plus(elapsed * PACE),
            false => self.time.plus(elapsed),
        };
        self.time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;
    const DAY: u64 = 86_400;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::new(1_795_358_100 + seconds.cast_signed(), 0)
    }

    fn running(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_clock_that_goes_well_is_followed() {
        let mut clock = AgeClock::begin(None, at(0), running(0));
        for second in [0, 1, 600, 1200, DAY, 9 * DAY] {
            assert_eq!(clock.observe(at(second), running(second)), at(second));
        }
        // An error of a few seconds is corrected.
        assert_eq!(clock.observe(at(9 * DAY - 5), running(9 * DAY + 1)), at(9 * DAY));
        assert_eq!(clock.observe(at(9 * DAY + 2), running(9 * DAY + 8)), at(9 * DAY + 2));
    }

    #[test]
    fn a_clock_that_is_ahead_for_one_start_makes_nothing_old() {
        let mut clock = AgeClock::begin(Some(at(0)), at(60 * DAY), running(0));
        assert_eq!(clock.observe(at(60 * DAY), running(0)), at(0));
        assert_eq!(clock.observe(at(60 * DAY + HOUR), running(HOUR)), at(DAY), "at most a day in an hour");
        let noted = clock.time(at(0));
        let mut clock = AgeClock::begin(Some(noted), at(2 * HOUR), running(0));
        let hour_later = clock.observe(at(3 * HOUR), running(HOUR));
        assert_eq!(hour_later, at(DAY + HOUR), "and it never goes back at once");
    }

    #[test]
    fn a_machine_that_was_off_for_a_month_catches_up() {
        let mut clock = AgeClock::begin(Some(at(0)), at(30 * DAY), running(0));
        for minutes in 0..=DAY / 60 {
            clock.observe(at(30 * DAY + minutes * 60), running(minutes * 60));
        }
        assert_eq!(clock.time(at(31 * DAY)), at(31 * DAY), "after a day");
    }

    #[test]
    fn a_jump_is_believed_after_a_day_forward_and_backward() {
        for there in [at(4000 * DAY), Timestamp::new(0, 0)] {
            let mut clock = AgeClock::begin(Some(at(0)), there, running(0));
            for hour in 0..24 {
                let time = clock.observe(there.plus(running(hour * HOUR)), running(hour * HOUR));
                assert!(time >= at(0) && time < at(25 * DAY), "{time:?}");
            }
            let now = there.plus(running(25 * HOUR));
            assert_eq!(clock.observe(now, running(25 * HOUR)), now);
        }
    }

    #[test]
    fn a_clock_that_jumps_and_comes_back_was_never_believed() {
        let mut clock = AgeClock::begin(None, at(0), running(0));
        for hour in 1..200 {
            let wrong = hour % 2 == 0;
            let shown = if wrong { at(400 * DAY) } else { at(hour * HOUR) };
            let time = clock.observe(shown, running(hour * HOUR));
            assert!(time <= at(300 * DAY), "{hour} {time:?}");
        }
    }
}
