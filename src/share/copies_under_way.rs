//! The copies of folders that are being made, and how far they have come. A copy appears whole, so that nothing else tells of it before.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::model::path::SharePath;
use crate::model::permissions::Permissions;
use crate::model::rights::Rights;

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
    /// How many there were to be copied when it began; `None` where that is not known.
    pub of: Option<u64>,
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

impl CopyUnderWay {
    /// Whether somebody is told of it who asks about a folder: whoever will see all of it, since it is told how much that is.
    pub fn is_shown(&self, folder: &SharePath, permissions: &Permissions) -> bool {
        let sees_all =
            || permissions.throughout_if_the_same(&self.to).is_some_and(|rights| rights.contains(Rights::LIST));
        self.to.is_within(folder) && sees_all()
    }
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
        copies.all.insert(number, CopyUnderWay { number, to, members: 0, of: None });
        CopyCount { copies: self, wakers, number }
    }
}

impl CopyCount<'_> {
    /// It begins, or begins anew, with so many to be copied.
    pub(super) fn begin(&self, of: Option<u64>) {
        self.change(|copy| (copy.members, copy.of) = (0, of));
    }

    pub(super) fn one_more(&self) {
        let count = |copy: &mut CopyUnderWay| {
            copy.members += 1;
            copy.members
        };
        if self.change(count).is_multiple_of(WAKES_AFTER) {
            self.wakers.wake();
        }
    }

    fn change<T>(&self, then: impl FnOnce(&mut CopyUnderWay) -> T) -> T {
        let mut copies = self.copies.0.lock();
        then(copies.all.get_mut(&self.number).expect("it is there until this is dropped"))
    }
}

impl Drop for CopyCount<'_> {
    fn drop(&mut self) {
        self.copies.0.lock().all.remove(&self.number);
        self.wakers.wake();
    }
}
