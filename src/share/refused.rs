//! Refused uploads: for a while after an upload was not stored, a removal of the same name must name the version it removes.
//!
//! Some clients answer every failed PUT with a DELETE, to take back what they believe to be half of their own upload. What stands there is
//! whole, and not theirs.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::model::path::SharePath;
use crate::model::precondition::Precondition;
use crate::model::principal::Principal;
use crate::model::stamp::Timestamp;

use super::Share;

/// How long a refusal is remembered.
const REMEMBERED: Duration = Duration::from_secs(60);

/// How many refusals are remembered at once. Beyond that the oldest go.
const REMEMBERED_MAX: usize = 10_000;

/// Which uploads were refused lately, and until when that is remembered.
#[derive(Debug, Default)]
pub(super) struct Refused {
    until: Mutex<HashMap<(Principal, SharePath), Timestamp>>,
}

impl Refused {
    /// Whether a removal has to wait, or name what it removes.
    pub(super) fn holds(&self, path: &SharePath, precondition: &Precondition, now: Timestamp) -> bool {
        let key = (precondition.submitted().principal().clone(), path.clone());
        !precondition.names_a_tag() && self.lock().get(&key).is_some_and(|until| *until > now)
    }

    fn remember(&self, principal: Principal, path: SharePath, now: Timestamp) {
        let mut until = self.lock();
        if until.len() >= REMEMBERED_MAX {
            until.retain(|_, until| *until > now);
        }
        if until.len() >= REMEMBERED_MAX
            && let Some(oldest) = until.iter().min_by_key(|(_, until)| **until).map(|(key, _)| key.clone())
        {
            until.remove(&oldest);
        }
        until.insert((principal, path), now.plus(REMEMBERED));
    }

    fn forget(&self, principal: Principal, path: &SharePath) {
        self.lock().remove(&(principal, path.clone()));
    }

    /// The map is whole whatever thread panicked beside it.
    fn lock(&self) -> MutexGuard<'_, HashMap<(Principal, SharePath), Timestamp>> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Takes note that an upload was not stored, for whatever reason.
    pub fn upload_failed(&self, principal: Principal, path: &SharePath, now: Timestamp) {
        let Ok(path) = self.spelled(path) else { return };
        self.refused.remember(principal, path.into_owned(), now);
    }

    /// Takes note that an upload was stored: what was refused before is over.
    pub(super) fn upload_succeeded(&self, path: &SharePath, precondition: &Precondition) {
        self.refused.forget(precondition.submitted().principal().clone(), path);
    }
}
