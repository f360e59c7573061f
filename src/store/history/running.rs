//! What keeps the file `running` on the disk: commits under way, uploads with a name of noclobber's own, and whatever an error has left to be
//! settled. It is removed when nothing of that is left, so that the next start need not look for it.

use std::sync::Arc;

/// While a clone of this is held a commit is under way or something is left of one: the next start is to look for it.
#[derive(Clone, Debug, Default)]
pub struct Running(Arc<()>);

impl Running {
    /// Something cannot be cleaned up by this process: it is left to the next start.
    pub fn stays(self) {
        std::mem::forget(self);
    }

    /// Whether any clone is held.
    pub(super) fn is_held(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}
