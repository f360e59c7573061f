//! Large files that requests need hashed: one hashing for one file, however many wait for it, a few at once, and a queue with an end. One
//! that nobody waits for any more stops, so a client that has left costs nothing. Who waits holds no thread.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tokio::task::{AbortHandle, spawn_blocking};

use crate::http::ask::ask;
use crate::http::clock::now;
use crate::model::path::SharePath;
use crate::model::stamp::Stamp;
use crate::share::outcome::{Outcome, Refusal, Stop};
use crate::share::{RequestContext, Share, Unhashed};

/// How many files may wait to be hashed.
const WAITING_MAX: usize = 64;

/// The hashings of a share.
pub(crate) struct Hashings {
    share: Arc<Share>,
    slots: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    by_state: Mutex<HashMap<Stamp, Weak<Hashing>>>,
}

/// One hashing, for all who wait for it; it stops when the last of them is gone.
struct Hashing {
    of: Stamp,
    hashings: Arc<Hashings>,
    is_over: watch::Receiver<()>,
    is_unwanted: Arc<AtomicBool>,
    task: AbortHandle,
}

/// A place in the queue.
struct QueuePlace(Arc<AtomicUsize>);

impl Hashings {
    /// Hashes so many files at once.
    pub(crate) fn new(share: Arc<Share>, hashing_max: usize) -> Self {
        Self {
            share,
            slots: Arc::new(Semaphore::new(hashing_max)),
            waiting: Arc::default(),
            by_state: Mutex::default(),
        }
    }

    /// Whether it is seen at once that no file has to be hashed for a request.
    pub(crate) fn nothing_is_to_be_hashed(
        &self,
        path: &SharePath,
        also: Option<&SharePath>,
        context: &RequestContext,
    ) -> bool {
        self.share.unhashed_now(path, also, &context.clone().at(now())).is_some_and(|files| files.is_empty())
    }

    /// Has the large files hashed whose content a request asks for, before it is carried out.
    pub(crate) async fn have_hashed(
        self: &Arc<Self>,
        path: &SharePath,
        also: Option<&SharePath>,
        context: &RequestContext,
    ) -> Outcome<()> {
        let unhashed = match self.share.unhashed_now(path, also, &context.clone().at(now())) {
            Some(unhashed) => unhashed,
            None => {
                let (path, also, context) = (path.clone(), also.cloned(), context.clone());
                ask(&self.share, move |share| share.unhashed(&path, also.as_ref(), &context.at(now()))).await?
            }
        };
        for file in unhashed {
            let hashing = self.join(file).ok_or(Stop::from(Refusal::Overloaded))?;
            let _ = hashing.is_over.clone().changed().await;
        }
        Ok(())
    }

    /// Joins the hashing of a file, or begins it; `None` if as many wait as may.
    fn join(self: &Arc<Self>, file: Unhashed) -> Option<Arc<Hashing>> {
        let mut by_state = self.by_state.lock();
        if let Some(running) = by_state.get(file.stamp()).and_then(Weak::upgrade) {
            return Some(running);
        }
        let place = QueuePlace::take(&self.waiting)?;
        let of = *file.stamp();
        let (over, is_over) = watch::channel(());
        let is_unwanted = Arc::<AtomicBool>::default();
        let (share, slots, unwanted) = (Arc::clone(&self.share), Arc::clone(&self.slots), Arc::clone(&is_unwanted));
        let task = tokio::spawn(async move {
            let Ok(slot) = slots.acquire_owned().await else { return };
            drop(place);
            // What cannot be hashed is told by the request that needs it.
            let hash = move || {
                let _slot = slot;
                let _ = share.hash(&file, &|| !unwanted.load(Ordering::Relaxed), now());
            };
            let _ = spawn_blocking(hash).await;
            drop(over);
        });
        let task = task.abort_handle();
        let hashing = Arc::new(Hashing { of, hashings: Arc::clone(self), is_over, is_unwanted, task });
        by_state.insert(of, Arc::downgrade(&hashing));
        Some(hashing)
    }
}

impl QueuePlace {
    fn take(waiting: &Arc<AtomicUsize>) -> Option<Self> {
        let one_more = |waiting| if waiting < WAITING_MAX { Some(waiting + 1) } else { None };
        waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).ok()?;
        Some(Self(Arc::clone(waiting)))
    }
}

impl Drop for QueuePlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for Hashing {
    fn drop(&mut self) {
        self.is_unwanted.store(true, Ordering::Relaxed);
        self.task.abort();
        let mut by_state = self.hashings.by_state.lock();
        // Another may have been begun since the last who waited for this one left.
        if by_state.get(&self.of).is_some_and(|hashing| hashing.strong_count() == 0) {
            by_state.remove(&self.of);
        }
    }
}

impl fmt::Debug for Hashings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hashings").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}
