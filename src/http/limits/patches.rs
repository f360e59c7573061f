//! The partial writes under way: of each file one at a time, since each begins with the version that the one before has made. Who waits for another
//! holds no thread. That they come one after the other saves work, and nothing hangs on it.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::model::path::SharePath;
use crate::share::outcome::{Outcome, Refusal};

/// How long one waits for those before.
const TURN_WAIT: Duration = Duration::from_secs(60);

/// The partial writes of a share, in turn.
#[derive(Debug, Default)]
pub(crate) struct Patches(Mutex<HashMap<SharePath, Weak<Semaphore>>>);

/// A turn; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct PatchTurn {
    _permit: OwnedSemaphorePermit,
}

impl Patches {
    /// A turn for this path, if nobody has it.
    pub(crate) fn turn_now(&self, path: &SharePath) -> Option<PatchTurn> {
        self.of(path).try_acquire_owned().ok().map(|permit| PatchTurn { _permit: permit })
    }

    /// The next turn for this path.
    pub(crate) async fn turn(&self, path: &SharePath) -> Outcome<PatchTurn> {
        match timeout(TURN_WAIT, self.of(path).acquire_owned()).await {
            Ok(turn) => Ok(PatchTurn { _permit: turn.expect("it is never closed") }),
            Err(_) => Err(Refusal::CopyOutOfTurn.into()),
        }
    }

    fn of(&self, path: &SharePath) -> Arc<Semaphore> {
        let mut turns = self.0.lock();
        if let Some(turn) = turns.get(path).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::new(Semaphore::new(1));
        turns.insert(path.clone(), Arc::downgrade(&turn));
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> SharePath {
        SharePath::parse_url(text).expect("a path")
    }

    #[actix_rt::test]
    async fn one_of_each_file_at_a_time() {
        let patches = Patches::default();
        let first = patches.turn_now(&path("/a")).expect("a turn");
        assert!(patches.turn_now(&path("/a")).is_none());
        assert!(patches.turn_now(&path("/b")).is_some());
        drop(first);
        drop(patches.turn(&path("/a")).await.expect("a turn"));
        drop(patches.turn_now(&path("/c")).expect("a turn"));
        assert_eq!(patches.0.lock().len(), 1, "nothing is kept of what nobody waits for");
    }
}
