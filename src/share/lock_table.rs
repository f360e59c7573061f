//! The locks of a share: the table of those that there are, and the gate by which a new one waits for the changes that know nothing of it.

use parking_lot::{Mutex, MutexGuard};

use crate::model::lock_table::{LockLimits, Locks};

use super::lock_gate::{ChangeUnderWay, LockGate};

/// The locks of a share.
#[derive(Debug)]
pub(super) struct LockTable {
    table: Mutex<Locks>,
    pub(super) gate: LockGate,
}

impl LockTable {
    pub(super) fn new() -> Self {
        Self { table: Mutex::new(Locks::new(LockLimits::default())), gate: LockGate::default() }
    }

    /// Begins a change that is judged by the locks.
    pub(super) fn begin_change(&self) -> ChangeUnderWay<'_> {
        self.gate.begin()
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Locks> {
        self.table.lock()
    }
}
