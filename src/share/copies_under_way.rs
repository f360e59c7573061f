//! The copies of folders that are being made, and how far they have come. A copy appears whole, so that nothing else tells of it before.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::model::path::SharePath;

use super::wakers::Wakers;

/// After how many members whoever listens is woken once more.
const WAKES_AFTER: u64 = 32;

/// A copy of a folder that is being made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyUnderWay {
    /// Which one it is.
    pub number: u64,
    /// Where it is to appear.
    pub to: SharePath,
    /// How many files and folders have been copied.
    pub members: u64,
}

/// The copies of folders that are being made.
#[derive(Debug, Default)]
pub(super) struct CopiesUnderWay(Mutex<Copies>);

#[derive(Debug, Default)]
struct Copies {
    last: u64,
    all: BTreeMap<u64, CopyUnderWay>,
}

/// Counts what has been copied; dropping it ends that.
pub(super) struct CopyCount<'a> {
    copies: &'a CopiesUnderWay,
    wakers: &'a Wakers,
    number: u64,
}

impl CopiesUnderWay {
    /// What they are now.
    pub(super) fn now(&self) -> Vec<CopyUnderWay> {
        self.0.lock().all.values().cloned().collect()
    }

    /// Begins to count a copy that is to appear at a path, and wakes whoever listens.
    pub(super) fn count<'a>(&'a self, to: SharePath, wakers: &'a Wakers) -> CopyCount<'a> {
        let mut copies = self.0.lock();
        copies.last += 1;
        let number = copies.last;
        copies.all.insert(number, CopyUnderWay { number, to, members: 0 });
        CopyCount { copies: self, wakers, number }
    }
}

impl CopyCount<'_> {
    pub(super) fn begin(&self) {
        self.change(|_| 0);
    }

    pub(super) fn one_more(&self) {
        if self.change(|members| members + 1).is_multiple_of(WAKES_AFTER) {
            self.wakers.wake();
        }
    }

    fn change(&self, then: impl FnOnce(u64) -> u64) -> u64 {
        let mut copies = self.copies.0.lock();
        let copy = copies.all.get_mut(&self.number).expect("it is there until this is dropped");
        copy.members = then(copy.members);
        copy.members
    }
}

impl Drop for CopyCount<'_> {
    fn drop(&mut self) {
        self.copies.0.lock().all.remove(&self.number);
        self.wakers.wake();
    }
}
