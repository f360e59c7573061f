//! Credentials that were verified a moment ago: known by a keyed hash, so that no password stays in memory.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;

use super::caller::Caller;
use crate::os::random;

/// How long credentials are remembered.
const REMEMBERED: Duration = Duration::from_secs(300);

/// How many are remembered.
const REMEMBERED_MAX: usize = 4096;

/// Whose credentials were verified.
pub(super) struct Verified {
    key: [u8; 32],
    callers: Cache<[u8; 32], (Arc<Caller>, Instant)>,
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified").field("callers", &self.callers.len()).finish_non_exhaustive()
    }
}

impl Default for Verified {
    fn default() -> Self {
        let key = [random::bytes(), random::bytes()].concat().try_into().expect("two halves");
        Self { key, callers: Cache::new(REMEMBERED_MAX) }
    }
}

impl Verified {
    /// Whose credentials these are, if that was found out a moment ago and still holds.
    pub(super) fn find(&self, credentials: &[u8], now: Instant) -> Option<Arc<Caller>> {
        let key = self.key_of(credentials);
        let (caller, until) = self.callers.get(&key)?;
        if now >= until || caller.has_ended() {
            self.callers.remove(&key);
            return None;
        }
        Some(caller)
    }

    pub(super) fn remember(&self, credentials: &[u8], caller: &Arc<Caller>, now: Instant) {
        self.callers.insert(self.key_of(credentials), (Arc::clone(caller), now + REMEMBERED));
    }

    fn key_of(&self, credentials: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&self.key, credentials).as_bytes()
    }
}
