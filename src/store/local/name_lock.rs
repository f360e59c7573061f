//! One mutex for each name that is being changed, and the sequence lock by which readers notice a change under way: a counter that is read
//! before and after what is to be consistent.
//!
//! A mutex is keyed by the folder's identity and the name, folded generously: two names that some file system takes for one share a
//! mutex, and two that merely look alike wait for each other without harm. Nothing that waits for a client happens under it. A disk may be slow
//! all the same, so who waits does so for a while only, and where a change takes long only a few do: the others need their threads.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::model::path::Name;
use crate::model::stamp::FileId;

use crate::store::disk_error::{Cause, DiskError, Result};

const SHARDS: usize = 64;
const COUNTERS: usize = 4096;

/// How long who wants a mutex waits for it.
const PATIENCE: Patience =
    Patience { longest: Duration::from_secs(30), slow_after: Duration::from_secs(5), waiting_max: 32 };

/// How many commits of one counter may be under way at once: the low bits of the counter.
const UNDER_WAY: u64 = 0xffff;

/// What a mutex belongs to: a folder and a folded name in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathKey {
    folder: FileId,
    folded: Box<[u8]>,
}

/// All the mutexes and counters of a share.
#[derive(Debug)]
pub struct PathMutexes {
    shards: Box<[Shard]>,
    counters: Box<[AtomicU64]>,
    /// The counter of all names together.
    of_all: AtomicU64,
    hasher: RandomState,
    /// How many wait for a mutex.
    waiting: AtomicUsize,
    patience: Patience,
}

/// How long to wait for a mutex.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// At most.
    longest: Duration,
    /// How long a mutex may be held before not everybody waits for it any more.
    slow_after: Duration,
    /// How many wait for mutexes that are held longer: half as many as a worker has threads for the disk.
    waiting_max: usize,
}

#[derive(Debug, Default)]
struct Shard {
    /// The mutexes that are held, and since when.
    held: Mutex<HashMap<PathKey, Instant>>,
    released: Condvar,
}

/// Somebody who waits for a mutex; dropping it ends that.
struct WaitingTaker<'a> {
    count: &'a AtomicUsize,
    since: Instant,
}

/// A mutex that is held; dropping it lets the next one in.
#[derive(Debug)]
pub struct PathGuard<'a> {
    shard: &'a Shard,
    key: PathKey,
}

/// A write of a name that is in progress: readers that look meanwhile look again. Dropping it ends the write.
#[derive(Debug)]
pub struct WriteInProgress<'a> {
    counters: [&'a AtomicU64; 2],
}

/// Which counter belongs to a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterSlot(usize);

/// What a reader saw of a name's counter before it looked: the counter is a sequence lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequence(u64);

/// What a reader saw of all counters before it looked at many names.
#[derive(Debug)]
pub struct Sequences {
    /// As long as this is so nothing has to be asked of a single name.
    of_all: Option<Sequence>,
    each: Box<[Sequence]>,
}

impl PathKey {
    /// The key of `name` in the folder of this identity.
    pub fn new(folder: FileId, name: &Name) -> Self {
        Self { folder, folded: name.folded(|folded| folded.into()) }
    }
}

impl Default for PathMutexes {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            counters: (0..COUNTERS).map(|_| AtomicU64::new(0)).collect(),
            of_all: AtomicU64::new(0),
            hasher: RandomState::new(),
            waiting: AtomicUsize::new(0),
            patience: PATIENCE,
        }
    }
}

impl PathMutexes {
    /// Waits for the mutex and takes it; fails if it cannot be had within a while. Whoever takes two takes them in the order of the keys.
    pub fn take(&self, key: PathKey) -> Result<PathGuard<'_>> {
        let shard = &self.shards[self.hash(&key) % SHARDS];
        let mut held = shard.held.lock();
        let mut waiting = None;
        while let Some(since) = held.get(&key) {
            let waiting = waiting.get_or_insert_with(|| WaitingTaker::begin(&self.waiting));
            let left = self.patience_left(waiting, *since);
            if left.is_zero() {
                return Err(does_not_end(&key.folded));
            }
            shard.released.wait_for(&mut held, left);
        }
        held.insert(key.clone(), Instant::now());
        drop(held);
        Ok(PathGuard { shard, key })
    }

    /// How long to wait on for a mutex that is held since then.
    fn patience_left(&self, waiting: &WaitingTaker<'_>, held_since: Instant) -> Duration {
        let Patience { longest, slow_after, waiting_max } = self.patience;
        let at_most = longest.saturating_sub(waiting.since.elapsed());
        if waiting.count.load(Ordering::Acquire) > waiting_max {
            at_most.min(slow_after.saturating_sub(held_since.elapsed()))
        } else {
            at_most
        }
    }

    /// The counter of `name`, whatever folder it is in. Several names may share one.
    pub fn slot(&self, name: &Name) -> CounterSlot {
        CounterSlot(name.folded(|folded| self.hash(&folded)) % COUNTERS)
    }

    /// Begins a write of `name`.
    pub fn begin_write(&self, name: &Name) -> WriteInProgress<'_> {
        let counters = [&self.counters[self.slot(name).0], &self.of_all];
        counters.iter().for_each(|counter| {
            counter.fetch_add(1, Ordering::AcqRel);
        });
        WriteInProgress { counters }
    }

    /// What a counter says; `None` while a write is in progress.
    pub fn sequence(&self, slot: CounterSlot) -> Option<Sequence> {
        sequence(&self.counters[slot.0])
    }

    /// Whether no change was begun since `before` was seen.
    pub fn is_unchanged(&self, slot: CounterSlot, before: Sequence) -> bool {
        self.sequence(slot) == Some(before)
    }

    /// All counters as they are now, for whoever looks at many names.
    pub fn sequences(&self) -> Sequences {
        let of_all = sequence(&self.of_all);
        Sequences {
            of_all,
            each: self.counters.iter().map(|counter| Sequence(counter.load(Ordering::Acquire))).collect(),
        }
    }

    /// Whether no change of `name` was under way when `before` was seen, and none was begun since.
    pub fn is_unchanged_since(&self, name: &Name, before: &Sequences) -> bool {
        let is_all_unchanged = before.of_all.is_some() && before.of_all == sequence(&self.of_all);
        is_all_unchanged || {
            let slot = self.slot(name);
            self.is_unchanged(slot, before.each[slot.0])
        }
    }

    fn hash(&self, of: &impl Hash) -> usize {
        self.hasher.hash_one(of) as usize
    }
}

impl<'a> WaitingTaker<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self { count, since: Instant::now() }
    }
}

impl Drop for WaitingTaker<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What whoever waited for changes of a name in vain is told: they will end, and then he can try again.
pub(super) fn does_not_end(name: &[u8]) -> DiskError {
    DiskError {
        operation: "look at",
        name: String::from_utf8_lossy(name).into_owned(),
        cause: Cause::TooManyOpen,
        message: "changes of this name would not end".to_owned(),
    }
}

impl Drop for PathGuard<'_> {
    fn drop(&mut self) {
        self.shard.held.lock().remove(&self.key);
        self.shard.released.notify_all();
    }
}

impl Drop for WriteInProgress<'_> {
    /// One less under way, and one more that has been: the counter never comes back to what a reader saw.
    fn drop(&mut self) {
        self.counters.iter().for_each(|counter| {
            counter.fetch_add(UNDER_WAY, Ordering::AcqRel);
        });
    }
}

/// What a counter says; `None` while a write is in progress.
fn sequence(counter: &AtomicU64) -> Option<Sequence> {
    let now = counter.load(Ordering::Acquire);
    (now & UNDER_WAY == 0).then_some(Sequence(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text.as_bytes()).expect(text)
    }

    #[test]
    fn names_that_some_file_system_takes_for_one_share_a_mutex() {
        let folder = FileId { inode: 1, generation: 1 };
        let key = |text: &str| PathKey::new(folder, &name(text));
        for (one, other) in [("a.TXT", "A.txt"), ("\u{e9}", "e\u{301}"), ("\u{212a}", "k"), ("Å", "a\u{30a}")] {
            assert_eq!(key(one), key(other), "{one} {other}");
        }
        assert_ne!(key("a"), key("b"));
        assert_ne!(key("a"), PathKey::new(FileId { inode: 2, generation: 1 }, &name("a")));
    }

    #[test]
    fn a_reader_notices_a_change_under_way_and_one_that_has_been() {
        let mutexes = PathMutexes::default();
        let before = mutexes.sequence(mutexes.slot(&name("a"))).expect("nothing is under way");
        let change = mutexes.begin_write(&name("a"));
        assert_eq!(mutexes.sequence(mutexes.slot(&name("A"))), None);
        assert!(!mutexes.is_unchanged(mutexes.slot(&name("a")), before));
        let other = mutexes.begin_write(&name("a"));
        drop(change);
        assert_eq!(mutexes.sequence(mutexes.slot(&name("a"))), None);
        drop(other);
        assert!(mutexes.sequence(mutexes.slot(&name("a"))).is_some());
        assert!(!mutexes.is_unchanged(mutexes.slot(&name("a")), before));
    }

    #[test]
    fn a_change_of_one_name_disturbs_no_listing_of_others() {
        let mutexes = PathMutexes::default();
        let names: Vec<_> = (0..8).map(|number| name(&number.to_string())).collect();
        let are_unchanged =
            |before: &Sequences| names.iter().map(|name| mutexes.is_unchanged_since(name, before)).collect::<Vec<_>>();
        let (quiet, changed) = (mutexes.sequences(), &names[3]);
        let expected: Vec<_> = names.iter().map(|name| mutexes.slot(name) != mutexes.slot(changed)).collect();
        assert!(are_unchanged(&quiet).iter().all(|unchanged| *unchanged));
        let change = mutexes.begin_write(changed);
        let during = mutexes.sequences();
        assert_eq!((are_unchanged(&quiet), are_unchanged(&during)), (expected.clone(), expected.clone()));
        drop(change);
        assert_eq!((are_unchanged(&quiet), are_unchanged(&during)), (expected.clone(), expected));
        assert!(are_unchanged(&mutexes.sequences()).iter().all(|unchanged| *unchanged));
    }

    #[test]
    fn one_at_a_time_holds_a_mutex() {
        let mutexes = PathMutexes::default();
        let key = PathKey::new(FileId { inode: 1, generation: 1 }, &name("a"));
        let inside = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let _guard = mutexes.take(key.clone()).expect("nobody holds it for long");
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(mutexes.shards.iter().all(|shard| shard.held.lock().is_empty()), "nothing is left behind");
        assert_eq!(mutexes.waiting.load(Ordering::SeqCst), 0);
    }

    fn key(text: &str) -> PathKey {
        PathKey::new(FileId { inode: 1, generation: 1 }, &name(text))
    }

    /// Where a change takes long only a few wait for it; the others are told, and so are those that come later. The name can be changed as soon as
    /// that has ended, and other names are not concerned.
    #[test]
    fn a_crowd_does_not_wait_for_a_slow_name() {
        let patience =
            Patience { longest: Duration::from_secs(600), slow_after: Duration::from_millis(50), waiting_max: 4 };
        let mutexes = PathMutexes { patience, ..PathMutexes::default() };
        std::thread::scope(|scope| {
            let slow = mutexes.take(key("slow")).expect("it is free");
            let crowd: Vec<_> = (0..16).map(|_| scope.spawn(|| mutexes.take(key("slow")).is_ok())).collect();
            while crowd.iter().filter(|one| one.is_finished()).count() < 12 {
                std::thread::yield_now();
            }
            assert_eq!(mutexes.waiting.load(Ordering::SeqCst), 4);
            let refused = mutexes.take(key("slow")).expect_err("enough wait");
            assert_eq!(refused.cause, Cause::TooManyOpen);
            let _other = mutexes.take(key("other")).expect("it is free");
            drop(slow);
            let had = crowd.into_iter().filter_map(|one| one.join().expect("no panic").then_some(()));
            assert_eq!(had.count(), 4);
        });
        drop(mutexes.take(key("slow")).expect("it is free"));
    }

    /// Nobody waits for ever, however few wait.
    #[test]
    fn nobody_waits_for_a_name_for_ever() {
        let patience = Patience { longest: Duration::from_millis(50), ..PATIENCE };
        let mutexes = PathMutexes { patience, ..PathMutexes::default() };
        let slow = mutexes.take(key("slow")).expect("it is free");
        mutexes.take(key("slow")).expect_err("it is not");
        drop(slow);
        drop(mutexes.take(key("slow")).expect("it is free"));
    }
}
