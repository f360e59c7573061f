//! Hints: word from the watcher that something may have changed. How often one has spoken of a path is counted, so that who has kept something of
//! it for a while can tell whether there was one since.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::path::SharePath;

/// Word from the watcher that something may have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// At this path.
    Path(SharePath),
    /// Anywhere below this path.
    Subtree(SharePath),
    /// Anywhere: events were lost.
    Anywhere,
}

/// How many paths are told apart, at most.
const SLOTS: usize = 1024;

/// The counters.
#[derive(Debug)]
pub(super) struct Hints {
    anywhere: AtomicU64,
    slots: Box<[AtomicU64]>,
}

/// The counter of a path.
#[derive(Clone, Copy, Debug)]
pub(super) struct HintSlot(usize);

impl Default for Hints {
    fn default() -> Self {
        Self { anywhere: AtomicU64::new(0), slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Hints {
    pub(super) fn count(&self, hint: &Hint) {
        let counter = match hint {
            Hint::Path(path) | Hint::Subtree(path) => &self.slots[self.slot(path).0],
            Hint::Anywhere => &self.anywhere,
        };
        counter.fetch_add(1, Ordering::Release);
    }

    /// Where the hints of a path are counted.
    pub(super) fn slot(&self, path: &SharePath) -> HintSlot {
        let mut hasher = DefaultHasher::new();
        path.as_bytes().hash(&mut hasher);
        HintSlot(hasher.finish() as usize % SLOTS)
    }

    /// How many there were.
    pub(super) fn so_far(&self, slot: HintSlot) -> u64 {
        self.slots[slot.0].load(Ordering::Acquire).wrapping_add(self.anywhere.load(Ordering::Acquire))
    }
}
