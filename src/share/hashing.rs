//! How many large files are hashed at once, so that clients who ask for many do not take the machine.

use std::sync::{Condvar, Mutex, PoisonError};

/// A number of slots.
#[derive(Debug)]
pub(super) struct Slots {
    free: Mutex<usize>,
    released: Condvar,
}

/// A slot that is taken; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Slot<'a> {
    slots: &'a Slots,
}

impl Slots {
    /// At least one.
    pub(super) fn new(count: usize) -> Self {
        Self { free: Mutex::new(count.max(1)), released: Condvar::new() }
    }

    /// Waits for a slot and takes it.
    pub(super) fn take(&self) -> Slot<'_> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            free = self.released.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
        Slot { slots: self }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        *self.slots.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.slots.released.notify_one();
    }
}
