//! The walks that write listings: how many there are, how many of them read the disk, and which of them gives way.
//! A walk has a thread of its own for as long as its client takes to read, and so there is a bound; where it is reached, the walk that has
//! waited longest for its client ends, so that slow readers stop nobody. The disk is read by few of them at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// How many walks there may be at once. Each has a thread, and holds some pieces of its listing.
const WALKS_MAX: usize = 128;

/// How many of them may read the disk at once.
const READING_MAX: usize = 32;

/// How long a walk may always wait for its client, however many others want to begin.
const WAIT_ALLOWED: Duration = Duration::from_millis(500);

/// How often somebody who wants to begin looks for a walk that waits.
const LOOKED_FOR_EVERY: Duration = Duration::from_millis(100);

/// How long one who wants to begin waits for that.
const BEGIN_TIME_MAX: Duration = Duration::from_secs(30);

static READING: Semaphore = Semaphore::const_new(READING_MAX);

static WALKS: LazyLock<Walks> = LazyLock::new(|| Walks::new(WALKS_MAX));

/// Threads for walks alone: those of the workers must be free for all else.
static THREADS: LazyLock<Runtime> = LazyLock::new(|| {
    let threads =
        tokio::runtime::Builder::new_current_thread().max_blocking_threads(WALKS_MAX).thread_name("walk").build();
    threads.expect("a runtime without a driver needs nothing")
});

/// The walks under way.
#[derive(Debug)]
struct Walks {
    places: Arc<Semaphore>,
    waiting: Mutex<Vec<Arc<QueuedWalk>>>,
}

/// A walk that waits for its client.
#[derive(Debug)]
struct QueuedWalk {
    since: Instant,
    gives_way: AtomicBool,
    told: Notify,
}

#[derive(Debug)]
pub(crate) struct RunningWalk {
    walks: &'static Walks,
    _place: tokio::sync::OwnedSemaphorePermit,
    reading: Option<SemaphorePermit<'static>>,
}

impl RunningWalk {
    /// Begins a walk, if need be in the place of another; `None` if that takes too long.
    pub(crate) async fn begin() -> Option<Self> {
        let walks = LazyLock::force(&WALKS);
        let place = timeout(BEGIN_TIME_MAX, walks.place()).await.ok()?;
        let reading = READING.acquire().await.ok()?;
        Some(Self { walks, _place: place, reading: Some(reading) })
    }

    /// Carries a walk out on its own thread.
    pub(crate) fn carry_out(self, walk: impl FnOnce(Self) + Send + 'static) {
        THREADS.spawn_blocking(move || walk(self));
    }

    /// Waits for the client, within this time, and reads no disk meanwhile. `None` if it took too long, or if the walk gives way to another.
    pub(crate) async fn wait<T>(&mut self, limit: Duration, client: impl Future<Output = T>) -> Option<T> {
        self.reading = None;
        let waiting = self.walks.begin_to_wait();
        let waited = tokio::select! {
            waited = timeout(limit, client) => waited.ok(),
            () = waiting.told.notified() => None,
        };
        self.walks.wait_no_more(&waiting);
        if waited.is_some() {
            self.reading = READING.acquire().await.ok();
        }
        waited
    }
}

impl Walks {
    fn new(max: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(max)), waiting: Mutex::default() }
    }

    /// A place for a walk. Where there is none, the one that has waited longest for its client gives way.
    async fn place(&self) -> tokio::sync::OwnedSemaphorePermit {
        let mut place = std::pin::pin!(Arc::clone(&self.places).acquire_owned());
        loop {
            if let Ok(place) = timeout(LOOKED_FOR_EVERY, &mut place).await {
                return place.expect("it is never closed");
            }
            self.let_one_give_way(Instant::now());
        }
    }

    fn let_one_give_way(&self, now: Instant) {
        let waiting = self.waiting.lock();
        let slowest =
            waiting.iter().filter(|walk| !walk.gives_way.load(Ordering::Relaxed)).min_by_key(|walk| walk.since);
        if let Some(slowest) = slowest.filter(|walk| now.duration_since(walk.since) >= WAIT_ALLOWED) {
            slowest.gives_way.store(true, Ordering::Relaxed);
            slowest.told.notify_one();
            tracing::debug!("a listing that its client reads slowly gives way to another");
        }
    }

    fn begin_to_wait(&self) -> Arc<QueuedWalk> {
        let waiting =
            Arc::new(QueuedWalk { since: Instant::now(), gives_way: AtomicBool::default(), told: Notify::default() });
        self.waiting.lock().push(Arc::clone(&waiting));
        waiting
    }

    fn wait_no_more(&self, waiting: &Arc<QueuedWalk>) {
        self.waiting.lock().retain(|other| !Arc::ptr_eq(other, waiting));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where all places are taken by walks that wait, the one that has waited longest ends; one that has only just begun to wait does not.
    #[actix_rt::test]
    async fn the_slowest_walk_gives_way() {
        let walks: &'static Walks = Box::leak(Box::new(Walks::new(2)));
        let walk = |place| RunningWalk { walks, _place: place, reading: None };
        let (mut first, mut second) = (walk(walks.place().await), walk(walks.place().await));
        let hour = Duration::from_secs(3600);
        let first = actix_rt::spawn(async move { first.wait(hour, std::future::pending::<()>()).await });
        tokio::time::sleep(Duration::from_millis(50)).await;
        let second = actix_rt::spawn(async move { second.wait(hour, std::future::pending::<()>()).await });
        let begun = Instant::now();
        let _third = timeout(Duration::from_secs(5), walks.place()).await.expect("a place");
        assert!(begun.elapsed() > Duration::from_millis(300), "{:?}: nobody gives way at once", begun.elapsed());
        assert_eq!(first.await.expect("no panic"), None);
        assert!(!second.is_finished());
        let _fourth = timeout(Duration::from_secs(5), walks.place()).await.expect("another place");
        assert_eq!(second.await.expect("no panic"), None);
        assert!(walks.waiting.lock().is_empty());
    }
}
