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

/// One thing that was refused, or several.
#[derive(Clone, Copy, Debug)]
struct Remembered {
    until: Timestamp,
    /// Whether any of the requests came with `If`, in which a lock's holder submits its token.
    by_a_holder: bool,
}

/// What was refused lately, to whom, and until when that is remembered.
#[derive(Debug, Default)]
pub(super) struct Refused {
    until: Mutex<HashMap<(Client, SharePath), Remembered>>,
}

impl Refused {
    /// What this client was refused, for which its removals wait, or name what they remove.
    fn find(&self, client: &Client, path: &SharePath, now: Timestamp) -> Option<Remembered> {
        let key = (client.clone(), path.clone());
        // What is remembered until later than anything would be now was so before the clock was set back.
        let lasts = |it: &Remembered| it.until > now && it.until <= now.plus(REMEMBERED * 2);
        self.lock().get(&key).copied().filter(lasts)
    }

    fn remember(&self, client: Client, path: SharePath, by_a_holder: bool, now: Timestamp) {
        let by_a_holder = by_a_holder || self.find(&client, &path, now).is_some_and(|it| it.by_a_holder);
        let mut until = self.lock();
        if until.len() >= REMEMBERED_MAX {
            until.retain(|_, it| it.until > now);
        }
        if until.len() >= REMEMBERED_MAX
            && let Some(oldest) = until.iter().min_by_key(|(_, it)| it.until).map(|(key, _)| key.clone())
        {
            until.remove(&oldest);
        }
        until.insert((client, path), Remembered { until: now.plus(REMEMBERED), by_a_holder });
    }

    fn forget(&self, client: Client, path: &SharePath) {
        self.lock().remove(&(client, path.clone()));
    }

    /// The map is whole whatever thread panicked beside it.
    fn lock(&self) -> MutexGuard<'_, HashMap<(Client, SharePath), Remembered>> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Takes note that a client could not store something at a path, for whatever reason; and whether it may have been a lock's holder.
    pub fn not_stored(&self, client: Client, path: &SharePath, by_a_holder: bool, now: Timestamp) {
        let Ok(path) = self.spelled(path) else { return };
        self.refused.remember(client, path.into_owned(), by_a_holder, now);
    }

    /// As [`Share::not_stored`], without a look at the disk: at the path as it was asked for.
    pub fn not_stored_as_asked(&self, client: Client, path: &SharePath, by_a_holder: bool, now: Timestamp) {
        self.refused.remember(client, path.clone(), by_a_holder, now);
    }

    /// Judges the removal of a file. The token of a lock names what it pins, unless a holder was refused: one whose own upload broke off would
    /// take back what stands there as well.
    pub(super) fn judge_removal(
        &self,
        path: &SharePath,
        precondition: &Precondition,
        identity: &Identity,
        now: Timestamp,
    ) -> Outcome<()> {
        let is_free = match self.refused.find(precondition.submitted().client(), path, now) {
            None => true,
            Some(_) if precondition.matches_tags() || self.states_name(path, precondition) => true,
            Some(refused) => !refused.by_a_holder && self.is_pinned(path, precondition, now),
        };
        let current = Some(current(identity));
        if is_free { Ok(()) } else { Err(Refusal::RefusedLately { of: Subject::file(path), current }.into()) }
    }

    /// Takes note that something was stored: what was refused before is over.
    pub(super) fn was_stored(&self, path: &SharePath, precondition: &Precondition) {
        self.refused.forget(precondition.submitted().client().clone(), path);
    }
}
