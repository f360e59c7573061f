//! How many large files may be hashed at once in the middle of requests. Nobody waits for a slot: who gets none is refused.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::store::disk_error::{Cause, DiskError, Result};

/// How many may still be hashed in the middle of a request.
#[derive(Debug)]
pub(super) struct HashingSlots {
    free: AtomicUsize,
}

/// A slot that is taken; dropping it gives it back.
#[derive(Debug)]
pub(super) struct HashingSlot<'a> {
    slots: &'a HashingSlots,
}

impl HashingSlots {
    /// At least one.
    pub(super) fn new(count: usize) -> Self {
        Self { free: AtomicUsize::new(count.max(1)) }
    }

    /// Takes a slot, if one is free.
    pub(super) fn take(&self) -> Result<HashingSlot<'_>> {
        let taken = self.free.fetch_update(Ordering::AcqRel, Ordering::Acquire, |free| free.checked_sub(1));
        let none_free = |_| DiskError {
            operation: "hash",
            name: String::new(),
            cause: Cause::TooManyOpen,
            message: "too many large files are being hashed".to_owned(),
        };
        taken.map(|_| HashingSlot { slots: self }).map_err(none_free)
    }
}

impl Drop for HashingSlot<'_> {
    fn drop(&mut self) {
        self.slots.free.fetch_add(1, Ordering::AcqRel);
    }
}
