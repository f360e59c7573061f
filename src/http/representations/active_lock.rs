//! A lock, as answers tell of it.

use crate::http::quirks::Quirks;
use crate::http::urls;
use crate::http::xml::write::ActiveLock;
use crate::model::lock::{Lock, Reach};
use crate::model::stamp::Timestamp;
use crate::share::outcome::LockRoot;

/// What is told of a lock, to this client, now.
pub(crate) fn describe(lock: &Lock, root: &LockRoot, quirks: Quirks, now: Timestamp) -> ActiveLock {
    ActiveLock {
        scope: lock.scope,
        is_deep: lock.reach == Reach::Below,
        owner: lock.owner.clone(),
        timeout: lock.timeout.map(|_| lock.remaining(now).as_secs()),
        token: lock.token.clone(),
        root: (!quirks.stumble_over_lock_roots).then(|| urls::of_lock_root(root)),
    }
}
