//! The gate between changes and new locks. A change is judged by the locks that there are when it begins, and a new lock holds once all changes
//! have ended that began before it was there. No change waits for a lock, and a lock waits for changes for a while only.

use std::collections::BTreeSet;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// All changes of a share that are under way.
#[derive(Debug, Default)]
pub(super) struct LockGate {
    numbers: Mutex<Numbers>,
    ended: Condvar,
}

/// In the order in which they began.
#[derive(Debug, Default)]
struct Numbers {
    next: u64,
    under_way: BTreeSet<u64>,
}

/// A change that is under way. It sees every lock that is added before it began, and none that holds is added before it is dropped.
#[derive(Debug)]
#[must_use = "the change is over when this is dropped"]
pub(super) struct ChangeUnderWay<'a> {
    gate: &'a LockGate,
    number: u64,
}

impl LockGate {
    pub(super) fn begin(&self) -> ChangeUnderWay<'_> {
        let mut numbers = self.numbers.lock();
        let number = numbers.next;
        numbers.next += 1;
        numbers.under_way.insert(number);
        ChangeUnderWay { gate: self, number }
    }

    /// Waits until all that have begun by now have ended; says whether they have.
    pub(super) fn wait_for_those_begun(&self, at_most: Duration) -> bool {
        let mut numbers = self.numbers.lock();
        let next = numbers.next;
        let is_one_under_way =
            |numbers: &mut Numbers| numbers.under_way.first().is_some_and(|earliest| *earliest < next);
        self.ended.wait_while_for(&mut numbers, is_one_under_way, at_most);
        !is_one_under_way(&mut numbers)
    }
}

impl Drop for ChangeUnderWay<'_> {
    fn drop(&mut self) {
        self.gate.numbers.lock().under_way.remove(&self.number);
        self.gate.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    /// Who waits for changes keeps none from beginning, and waits for those alone that had begun by then.
    #[test]
    fn changes_begin_while_somebody_waits_for_earlier_ones() {
        let changes = LockGate::default();
        assert!(changes.wait_for_those_begun(Duration::ZERO), "there are none");
        let (first, second) = (changes.begin(), changes.begin());
        assert!(!changes.wait_for_those_begun(Duration::from_millis(1)));
        thread::scope(|scope| {
            let (tell, told) = mpsc::channel();
            let all = &changes;
            scope.spawn(move || tell.send(all.wait_for_those_begun(LONG)));
            drop(first);
            assert!(told.recv_timeout(Duration::from_millis(50)).is_err(), "one is still under way");
            // From now on there is always one under way, and each ends.
            let mut latest = changes.begin();
            drop(second);
            while told.try_recv() != Ok(true) {
                latest = changes.begin();
                thread::yield_now();
            }
            drop(latest);
        });
        assert!(changes.numbers.lock().under_way.is_empty());
    }
}
