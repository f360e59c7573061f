//! Lets events gather in the kernel's queue where they come one close behind the other, so that the thread that takes them in is not woken for
//! each of them. A crowd of uploads is four events each, and a waking costs more than the event.

use std::time::{Duration, Instant};

/// How long events gather. The kernel keeps 16,384 by default (inotify(7)), which is more than come in that time.
const GATHERS_FOR: Duration = Duration::from_millis(10);

/// An event that comes this soon after another was already in the queue.
const QUEUED: Duration = Duration::from_micros(20);

/// An event that comes this late after another is not one of a crowd.
const ALONE: Duration = Duration::from_millis(5);

/// How long events are taken in without a pause after they have gathered, at least, however they come.
const TAKES_IN_FOR: Duration = Duration::from_millis(2);

/// When the last event was taken in, and until when events have gathered.
#[derive(Debug)]
pub(super) struct Gathering {
    last: Instant,
    gathered: Instant,
}

impl Gathering {
    pub(super) fn new(now: Instant) -> Self {
        Self { last: now, gathered: now }
    }

    /// How long to wait before an event that has come now is taken in.
    pub(super) fn pause(&self, now: Instant) -> Option<Duration> {
        let since_last = now.saturating_duration_since(self.last);
        let is_of_a_crowd = (QUEUED..ALONE).contains(&since_last);
        (is_of_a_crowd && now.saturating_duration_since(self.gathered) >= TAKES_IN_FOR).then_some(GATHERS_FOR)
    }

    /// Events have gathered until now.
    pub(super) fn have_gathered(&mut self, now: Instant) {
        self.gathered = now;
    }

    /// An event has been taken in.
    pub(super) fn took_in(&mut self, now: Instant) {
        self.last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_crowd_that_has_been_taken_in_gathers() {
        let start = Instant::now();
        let after = |micros| start + Duration::from_micros(micros);
        let mut gathering = Gathering::new(start);
        assert_eq!(gathering.pause(after(100_000)), None, "the first");
        gathering.took_in(after(100_010));
        assert_eq!(gathering.pause(after(100_015)), None, "it was in the queue already");
        assert_eq!(gathering.pause(after(100_100)), Some(GATHERS_FOR), "it comes close behind another");
        assert_eq!(gathering.pause(after(105_010)), None, "it comes late");
        gathering.have_gathered(after(110_100));
        for micros in [110_101, 110_500, 112_000] {
            gathering.took_in(after(micros));
            assert_eq!(
                gathering.pause(after(micros + 50)),
                None,
                "after {micros}: what has gathered is taken in first"
            );
        }
        gathering.took_in(after(112_090));
        assert_eq!(gathering.pause(after(112_120)), Some(GATHERS_FOR));
    }
}
