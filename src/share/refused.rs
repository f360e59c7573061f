//! What was refused lately: for a while after a client could not store something at a name, its removals of a file there must name
//! the version.
//!
//! Some clients answer every failed PUT, MOVE or COPY with a DELETE of the target, to take back what they believe to be half of their own
//! file. What stands there is whole, and not theirs. Other clients are not concerned.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::model::path::SharePath;
use crate::model::precondition::Precondition;
use crate::model::principal::Client;
use crate::model::stamp::Timestamp;

use super::Share;
use super::identity::Identity;
use super::outcome::{Outcome, Refusal, Subject};
use super::write::current;

/// How long a refusal is remembered.
const REMEMBERED: Duration = Duration::from_secs(60);

/// How many refusals are remembered at once. Beyond that the oldest go.
const REMEMBERED_MAX: usize = 10_000;

/// What was refused lately, to whom, and until when that is remembered.
#[derive(Debug, Default)]
pub(super) struct Refused {
    until: Mutex<HashMap<(Client, SharePath), Timestamp>>,
}

impl Refused {
    /// Whether a removal by this client has to wait, or name what it removes.
    fn holds(&self, client: &Client, path: &SharePath, now: Timestamp) -> bool {
        let key = (client.clone(), path.clone());
        // What is remembered until later than anything would be now was so before the clock was set back.
        let lasts = |until: &Timestamp| *until > now && *until <= now.plus(REMEMBERED * 2);
        self.lock().get(&key).is_some_and(lasts)
    }

    fn remember(&self, client: Client, path: SharePath, now: Timestamp) {
        let mut until = self.lock();
        if until.len() >= REMEMBERED_MAX {
            until.retain(|_, until| *until > now);
        }
        if until.len() >= REMEMBERED_MAX
            && let Some(oldest) = until.iter().min_by_key(|(_, until)| **until).map(|(key, _)| key.clone())
        {
            until.remove(&oldest);
        }
        until.insert((client, path), now.plus(REMEMBERED));
    }

    fn forget(&self, client: Client, path: &SharePath) {
        self.lock().remove(&(client, path.clone()));
    }

    /// The map is whole whatever thread panicked beside it.
    fn lock(&self) -> MutexGuard<'_, HashMap<(Client, SharePath), Timestamp>> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Takes note that a client could not store something at a path, for whatever reason.
    pub fn not_stored(&self, client: Client, path: &SharePath, now: Timestamp) {
        let Ok(path) = self.spelled(path) else { return };
        self.refused.remember(client, path.into_owned(), now);
    }

    /// As [`Share::not_stored`], without a look at the disk: at the path as it was asked for.
    pub fn not_stored_as_asked(&self, client: Client, path: &SharePath, now: Timestamp) {
        self.refused.remember(client, path.clone(), now);
    }

    /// Judges the removal of a file.
    pub(super) fn judge_removal(
        &self,
        path: &SharePath,
        precondition: &Precondition,
        identity: &Identity,
        now: Timestamp,
    ) -> Outcome<()> {
        let is_free = !self.refused.holds(precondition.submitted().client(), path, now)
            || precondition.matches_tags()
            || self.states_name(path, precondition, now);
        let current = Some(current(identity));
        if is_free { Ok(()) } else { Err(Refusal::RefusedLately { of: Subject::file(path), current }.into()) }
    }

    /// Takes note that something was stored: what was refused before is over.
    pub(super) fn was_stored(&self, path: &SharePath, precondition: &Precondition) {
        self.refused.forget(precondition.submitted().client().clone(), path);
    }
}
