//! The streams of events that are open: how many there are, and how they are woken when something has happened.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::share::Share;

/// How long a stream that was woken rests before it is woken again, and by how much longer for each that is open: a folder in which much goes on
/// does not keep the machine busy with telling of it.
const REST: Duration = Duration::from_millis(20);
const REST_FOR_EACH: Duration = Duration::from_micros(500);

/// How many bytes all streams together are told in a second, once more than half a second's has been told without a rest.
const BYTES_PER_SECOND: u64 = 40 << 20;
const WITHOUT_A_REST: Duration = Duration::from_millis(500);

/// The longest rest: a power of two in microseconds, as are all that end at once.
const REST_MAX: Duration = Duration::from_micros(1 << 23);

/// The streams, and whoever else waits for something to happen.
pub(crate) struct EventStreams {
    woken: watch::Sender<Waking>,
    open: AtomicUsize,
    open_max: usize,
    begun: Instant,
    /// Until when it would take to tell what was told, if not more than that were told in a second: how long after the beginning.
    told_until: Mutex<Duration>,
}

/// What those who wait are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waking {
    /// Something has happened.
    Told,
    /// The server stops.
    Stops,
}

/// One stream that is open; dropping it makes room for another.
#[derive(Debug)]
pub(crate) struct OpenStream(Arc<EventStreams>);

impl EventStreams {
    /// The streams of a share, which has them woken after each change.
    pub(crate) fn new(share: &Share, open_max: usize) -> Arc<Self> {
        let streams = Arc::new(Self {
            woken: watch::Sender::new(Waking::Told),
            open: AtomicUsize::new(0),
            open_max,
            begun: Instant::now(),
            told_until: Mutex::default(),
        });
        let waking = Arc::downgrade(&streams);
        share.on_change(Box::new(move || {
            if let Some(streams) = waking.upgrade() {
                streams.wake(Waking::Told);
            }
        }));
        streams
    }

    /// Opens one more, unless there are as many as there may be.
    pub(crate) fn open(self: &Arc<Self>) -> Option<OpenStream> {
        let stream = OpenStream(Arc::clone(self));
        let before = self.open.fetch_add(1, Ordering::Relaxed);
        (before < self.open_max).then_some(stream)
    }

    /// By which one hears that something has happened.
    pub(crate) fn listen(&self) -> watch::Receiver<Waking> {
        self.woken.subscribe()
    }

    /// Until when whoever was woken rests, after having told so many bytes; if there is more to tell, only where all streams are told too much. Then
    /// those that rest for about as long as each other end their rest at once, so that they tell the same.
    pub(crate) fn rests_until(&self, bytes: usize, goes_on: bool) -> Instant {
        let (now, open) = (self.begun.elapsed(), self.open.load(Ordering::Relaxed));
        let open = u32::try_from(open).unwrap_or(u32::MAX);
        let takes = Duration::from_micros((bytes as u64).saturating_mul(1_000_000) / BYTES_PER_SECOND);
        let is_too_much = {
            let mut until = self.told_until.lock();
            *until = until.max(now) + takes;
            *until - now > WITHOUT_A_REST
        };
        let after_waking = if goes_on { Duration::ZERO } else { REST + REST_FOR_EACH.saturating_mul(open) };
        let rest = takes.saturating_mul(open).min(REST_MAX);
        if !is_too_much || rest <= after_waking {
            return self.begun + now + after_waking;
        }
        let step = (rest.as_micros() as u64).next_power_of_two();
        self.begun + Duration::from_micros((now.as_micros() as u64 / step + 1) * step)
    }

    /// Ends all of them.
    pub(crate) fn stop(&self) {
        self.wake(Waking::Stops);
    }

    /// Once it stops nothing else is said.
    fn wake(&self, waking: Waking) {
        self.woken.send_modify(|last| {
            if *last != Waking::Stops {
                *last = waking;
            }
        });
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for EventStreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStreams").field("open", &self.open).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streams(open: usize) -> EventStreams {
        EventStreams {
            woken: watch::Sender::new(Waking::Told),
            open: AtomicUsize::new(open),
            open_max: 1000,
            begun: Instant::now(),
            told_until: Mutex::default(),
        }
    }

    #[test]
    fn one_stream_rests_for_a_moment_and_not_while_it_has_more_to_tell() {
        let streams = streams(1);
        for bytes in [0, 300, 4 << 20] {
            let before = Instant::now();
            let until = streams.rests_until(bytes, false);
            assert!(until > before && until - before <= 2 * (REST + REST_FOR_EACH), "{bytes}");
            assert!(streams.rests_until(0, true) <= Instant::now());
        }
    }

    #[test]
    fn many_that_are_told_much_rest_until_the_same_instant() {
        let streams = streams(1000);
        let all: Vec<_> = (0..1000).map(|_| streams.rests_until(200 << 10, true)).collect();
        let now = Instant::now();
        assert!(all[0] <= now, "the first may go on");
        let latest = all.iter().max().expect("there are a thousand");
        assert!(*latest - now <= REST_MAX);
        // At most two instants: the clock may pass one meanwhile.
        let mut resting: Vec<_> = all.iter().filter(|until| **until > now).collect();
        assert!(resting.len() > 800);
        resting.dedup();
        assert!(resting.len() <= 2, "{resting:?}");
    }

    #[test]
    fn one_of_many_that_has_much_to_hear_alone_does_not_rest_for_all() {
        let streams = streams(1000);
        let until = streams.rests_until(3 << 20, true);
        assert!(until <= Instant::now());
    }
}
