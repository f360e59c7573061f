//! Who is woken when something was told, and of which folder it is told.

use std::fmt;

use parking_lot::RwLock;

use crate::model::stamp::FileId;

/// Which folder the feed tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ServedFolder {
    pub(super) id: FileId,
    pub(super) device: u64,
}

/// Calls that are made after each change that was told.
#[derive(Default)]
pub(super) struct Wakers(RwLock<Vec<Box<dyn Fn() + Send + Sync>>>);

impl Wakers {
    pub(super) fn add(&self, wake: Box<dyn Fn() + Send + Sync>) {
        self.0.write().push(wake);
    }

    pub(super) fn wake(&self) {
        self.0.read().iter().for_each(|wake| wake());
    }
}

impl fmt::Debug for Wakers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Wakers").field(&self.0.read().len()).finish()
    }
}
