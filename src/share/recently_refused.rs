//! What was refused lately: which client could not store something at which name a moment ago.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use crate::model::path::SharePath;
use crate::model::principal::Client;
use crate::model::stamp::Timestamp;

/// How long a refusal is remembered.
const REMEMBERED: Duration = Duration::from_secs(60);

/// How many refusals are remembered at once. Beyond that the oldest go.
const REMEMBERED_MAX: usize = 10_000;

/// One thing that was refused, or several.
#[derive(Clone, Copy, Debug)]
pub(super) struct RefusedPath {
    until: Timestamp,
    /// Whether any of the requests came with `If`, in which a lock's holder submits its token.
    pub(super) by_a_holder: bool,
}

/// What was refused lately, to whom, and until when that is remembered.
#[derive(Debug, Default)]
pub(super) struct RecentlyRefused {
    until: Mutex<HashMap<(Client, SharePath), RefusedPath>>,
}

impl RecentlyRefused {
    /// What this client was refused, for which its removals wait, or name what they remove.
    pub(super) fn find(&self, client: &Client, path: &SharePath, now: Timestamp) -> Option<RefusedPath> {
        let key = (client.clone(), path.clone());
        // What is remembered until later than anything would be now was so before the clock was set back.
        let lasts = |it: &RefusedPath| it.until > now && it.until <= now.plus(REMEMBERED * 2);
        self.until.lock().get(&key).copied().filter(lasts)
    }

    pub(super) fn remember(&self, client: Client, path: SharePath, by_a_holder: bool, now: Timestamp) {
        let by_a_holder = by_a_holder || self.find(&client, &path, now).is_some_and(|it| it.by_a_holder);
        let mut until = self.until.lock();
        if until.len() >= REMEMBERED_MAX {
            until.retain(|_, it| it.until > now);
        }
        if until.len() >= REMEMBERED_MAX
            && let Some(oldest) = until.iter().min_by_key(|(_, it)| it.until).map(|(key, _)| key.clone())
        {
            until.remove(&oldest);
        }
        until.insert((client, path), RefusedPath { until: now.plus(REMEMBERED), by_a_holder });
    }

    pub(super) fn forget(&self, client: Client, path: &SharePath) {
        self.until.lock().remove(&(client, path.clone()));
    }
}
