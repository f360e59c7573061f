//! The table of all locks of a share (RFC 4918 §6, §7): which there are, what stands in the way of a new one, and what a change needs.
//!
//! A lock that has expired is gone for every question, and nothing here grows past [`LockLimits`]. Paths are compared byte by byte, and
//! there is no clock: who asks says what time it is. The table writes nothing to a disk and never looks at a file.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use super::lock::{Lock, Reach, Scope, expiry};
use super::lock_token::LockToken;
use super::path::SharePath;
use super::principal::Principal;
use super::stamp::{Stamp, Timestamp};
use super::submitted::Submitted;
use super::tag::EntityTag;

/// How much the pins of one lock may weigh, in bytes.
const PINS_BYTES_MAX: usize = 32 << 10;

/// By how much a time may be earlier than another that was asked for before, without the clock having been set back.
const CLOCKS_DIFFER_MAX: Duration = Duration::from_secs(5);

/// How many locks there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockLimits {
    /// In all.
    pub locks_max: usize,
    /// From one address, as a part of what there may be in all, of the locks as of their memory.
    pub address_part: usize,
    /// Shared ones with one and the same root.
    pub shared_max: usize,
    /// The memory that all of them may take, in bytes.
    pub bytes_max: usize,
    /// The text about its holder in one, in bytes.
    pub owner_bytes_max: usize,
}

/// What a change touches, as far as locks are asked (RFC 4918 §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touches {
    /// The content or the properties of what is there: PUT over a file, PROPPATCH.
    Itself,
    /// A name that appears in its folder, or a single thing that goes: PUT, MKCOL and LOCK of something new, COPY and MOVE to where nothing is.
    Membership,
    /// Everything at and below a name, and the name itself: DELETE, the source of MOVE, and what COPY or MOVE replaces.
    Tree,
}

/// Locks of which one at least must be submitted before a change may be made.
#[derive(Clone, Debug)]
pub struct Need {
    /// Never empty. More than one only where they are shared.
    pub any_of: Vec<Arc<Lock>>,
}

/// A lock that stands in the way of a new one (RFC 4918 §6.1, §9.10.5).
#[derive(Clone, Debug)]
pub enum Conflict {
    /// It covers what is to be locked.
    Covers(Arc<Lock>),
    /// Its root lies below what is to be locked.
    Inside(Arc<Lock>),
}

/// Why a lock is not added.
#[derive(Clone, Debug)]
pub enum NotAdded {
    /// This one stands in the way.
    Conflict(Conflict),
    /// There are as many as may be, here or in all.
    Full,
    /// There are as many from this address as may be.
    FullForAddress,
    /// The text about its holder is too long.
    LongOwner,
    /// There is a lock of this name already.
    KnownToken,
}

/// All locks of a share.
#[derive(Debug)]
pub struct Locks {
    by_root: BTreeMap<Box<[u8]>, Vec<Arc<Lock>>>,
    /// The roots that some file system takes for one path, by that path, folded.
    alike: BTreeMap<Box<[u8]>, BTreeSet<Box<[u8]>>>,
    by_token: HashMap<LockToken, Arc<Lock>>,
    by_expiry: BTreeSet<(Timestamp, LockToken)>,
    weight: usize,
    by_address: HashMap<Option<IpAddr>, Held>,
    limits: LockLimits,
    /// The time when it was last looked for what has expired.
    looked_at: Timestamp,
}

/// What is held from one address.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    locks: usize,
    weight: usize,
}

impl Default for LockLimits {
    /// 20,000 locks, a quarter of them from one address, 100 shared ones on one thing, 32 MiB in all, 8 KiB about one holder.
    fn default() -> Self {
        Self { locks_max: 20_000, address_part: 4, shared_max: 100, bytes_max: 32 << 20, owner_bytes_max: 8 << 10 }
    }
}

impl Need {
    /// Whether one of its locks was submitted by its holder.
    pub fn is_met(&self, submitted: &Submitted, sender: &Principal) -> bool {
        self.any_of.iter().any(|lock| submitted.hold(lock, sender))
    }
}

impl Conflict {
    /// The lock that stands in the way.
    pub fn lock(&self) -> &Arc<Lock> {
        match self {
            Self::Covers(lock) | Self::Inside(lock) => lock,
        }
    }
}

impl Locks {
    /// No locks yet.
    pub fn new(limits: LockLimits) -> Self {
        let (by_root, alike, by_token, by_expiry, by_address) = Default::default();
        Self { by_root, alike, by_token, by_expiry, weight: 0, by_address, limits, looked_at: Timestamp::default() }
    }

    /// How many there are, the expired ones among them that nobody has taken out yet.
    pub fn len(&self) -> usize {
        self.by_token.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_token.is_empty()
    }

    /// Adds a lock, unless another stands in its way or there are too many.
    ///
    /// Expired locks never stand in the way, but count against the limits until [`Locks::expire`] has taken them out: call it before.
    pub fn add(&mut self, lock: Lock, now: Timestamp) -> Result<Arc<Lock>, NotAdded> {
        if let Some(conflict) = self.conflict(&lock.root, lock.scope, lock.reach, now) {
            return Err(NotAdded::Conflict(conflict));
        }
        if self.by_token.contains_key(&lock.token) {
            return Err(NotAdded::KnownToken);
        }
        if lock.owner.as_ref().is_some_and(|owner| owner.len() > self.limits.owner_bytes_max) {
            return Err(NotAdded::LongOwner);
        }
        let beside = self.by_root.get(lock.root.as_bytes()).map_or(0, Vec::len);
        let is_full = self.by_token.len() >= self.limits.locks_max
            || self.weight + lock.weight() > self.limits.bytes_max
            || beside >= self.limits.shared_max;
        if is_full {
            return Err(NotAdded::Full);
        }
        let held = self.by_address.get(&lock.counted_address()).copied().unwrap_or_default();
        let part = self.limits.address_part;
        if held.locks >= self.limits.locks_max / part || held.weight + lock.weight() > self.limits.bytes_max / part {
            return Err(NotAdded::FullForAddress);
        }
        let lock = Arc::new(lock);
        self.put_in(&lock);
        Ok(lock)
    }

    /// Grants a live lock another `timeout` from now on. `None` where there is no such lock.
    pub fn refresh(&mut self, token: &LockToken, timeout: Option<Duration>, now: Timestamp) -> Option<Arc<Lock>> {
        self.change(token, now, |lock| {
            lock.timeout = timeout;
            lock.expires = expiry(timeout, now);
        })
    }

    /// Pins a live lock to another version of its root, or of a file below it. `None` where there is no such lock.
    pub fn pin(
        &mut self,
        token: &LockToken,
        path: &SharePath,
        pin: Option<EntityTag>,
        now: Timestamp,
    ) -> Option<Arc<Lock>> {
        let most = self.most_of_pins(self.named(token, now)?);
        self.change(
            token,
            now,
            |lock| {
                if *path == lock.root { lock.pin = pin } else { lock.pins_below.set(path, pin, most) }
            },
        )
    }

    /// Takes note of the empty file that was made for a lock.
    pub fn note_made(&mut self, token: &LockToken, made: Option<Stamp>, now: Timestamp) -> Option<Arc<Lock>> {
        self.change(token, now, |lock| lock.made = made)
    }

    /// How much the pins of a lock may weigh, in bytes: what the locks of its address, and all locks, leave of their bounds.
    fn most_of_pins(&self, lock: &Lock) -> usize {
        let LockLimits { bytes_max, address_part, .. } = self.limits;
        let of_address = self.by_address.get(&lock.counted_address()).map_or(0, |held| held.weight);
        let free = bytes_max.saturating_sub(self.weight).min((bytes_max / address_part).saturating_sub(of_address));
        PINS_BYTES_MAX.min(lock.pins_below.weight() + free)
    }

    /// Takes off the pins below a path that locks above it hold, and with `and_itself` the path's own; gives those locks.
    pub fn unpin(&mut self, path: &SharePath, and_itself: bool, now: Timestamp) -> Vec<Arc<Lock>> {
        let is_gone = |pinned: &SharePath| pinned.is_within(path) && (and_itself || pinned != path);
        let mut above = self.covering(path, now);
        above.retain(|lock| lock.pins_below.0.iter().any(|(pinned, _)| is_gone(pinned)));
        let forget = |lock: &mut Lock| lock.pins_below.0.retain(|(pinned, _)| !is_gone(pinned));
        above.iter().filter_map(|lock| self.change(&lock.token, now, forget)).collect()
    }

    /// The locks whose root some file system takes for this path, for a folder above or for something below, although it is spelt otherwise.
    /// Whether the disk does, who calls has to find out.
    pub fn spelt_otherwise(&self, path: &SharePath) -> Vec<Arc<Lock>> {
        if self.is_empty() {
            return Vec::new();
        }
        let mut roots: Vec<&[u8]> = Vec::new();
        for place in std::iter::successors(Some(path.clone()), |place| place.split().map(|(above, _)| above)) {
            let alike = self.alike.get(&place.folded()).into_iter().flatten();
            roots.extend(alike.map(|root| &**root).filter(|root| *root != place.as_bytes()));
        }
        let (_, begin, end) = below(&path.folded());
        let alike = self.alike.range::<[u8], _>((as_slice(&begin), as_slice(&end))).flat_map(|(_, roots)| roots);
        roots.extend(alike.map(|root| &**root).filter(|root| {
            !(path.is_root() || root.strip_prefix(path.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'/')))
        }));
        roots.into_iter().filter_map(|root| self.by_root.get(root)).flatten().cloned().collect()
    }

    /// Takes note that the root of a lock, and with it all below, is spelt otherwise now. `None` where there is no such lock.
    pub fn respell(&mut self, token: &LockToken, root: &SharePath) -> Option<Arc<Lock>> {
        let old = self.by_token.get(token)?.clone();
        let mut new = Lock { root: root.clone(), ..(*old).clone() };
        for (pinned, _) in &mut new.pins_below.0 {
            let inside = &pinned.as_bytes()[old.root.as_bytes().len()..];
            *pinned = SharePath::parse_disk(&[root.as_bytes(), inside].concat()).ok()?;
        }
        self.take_out(&old);
        let new = Arc::new(new);
        self.put_in(&new);
        Some(new)
    }

    /// As [`Locks::spelt_otherwise`], for what locks above `path` have pinned at and below it.
    pub fn pins_spelt_otherwise(&self, path: &SharePath, now: Timestamp) -> Vec<(LockToken, SharePath)> {
        let pins = |lock: Arc<Lock>| {
            let pinned: Vec<_> = lock.pins_below.spelt_otherwise(path).cloned().collect();
            pinned.into_iter().map(move |pinned| (lock.token.clone(), pinned))
        };
        self.covering(path, now).into_iter().flat_map(pins).collect()
    }

    /// As [`Locks::respell`], for what a lock has pinned below its root.
    pub fn respell_pin(
        &mut self,
        token: &LockToken,
        pinned: &SharePath,
        spelling: &SharePath,
        now: Timestamp,
    ) -> Option<Arc<Lock>> {
        let most = self.most_of_pins(self.named(token, now)?);
        self.change(token, now, |lock| {
            let pin = lock.pins_below.get(pinned).cloned();
            lock.pins_below.set(pinned, None, most);
            lock.pins_below.set(spelling, pin, most);
        })
    }

    /// Takes a lock out. `None` where there is none of this name.
    pub fn remove(&mut self, token: &LockToken) -> Option<Arc<Lock>> {
        let lock = self.by_token.get(token)?.clone();
        self.take_out(&lock);
        Some(lock)
    }

    /// Takes out every lock whose root is `path` or lies below it: locks end where their root is no more (RFC 4918 §6.1, §7.6).
    pub fn remove_tree(&mut self, path: &SharePath) -> Vec<Arc<Lock>> {
        let gone: Vec<Arc<Lock>> = self.rooted_within(path).cloned().collect();
        gone.iter().for_each(|lock| self.take_out(lock));
        gone
    }

    /// Takes out what has expired. Where the clock was set back since this was last asked, no lock lasts any longer for that; what has changed by
    /// it is not given back.
    pub fn expire(&mut self, now: Timestamp) -> Vec<Arc<Lock>> {
        if now.plus(CLOCKS_DIFFER_MAX) < self.looked_at {
            let ahead: Vec<Arc<Lock>> =
                self.by_token.values().filter(|lock| lock.expires > expiry(lock.timeout, now)).cloned().collect();
            for lock in ahead {
                self.change(&lock.token, now, |lock| lock.expires = expiry(lock.timeout, now));
            }
        }
        self.looked_at = now;
        let tokens = self.by_expiry.iter().take_while(|(expires, _)| *expires <= now).map(|(_, token)| token);
        let gone: Vec<Arc<Lock>> = tokens.map(|token| self.by_token[token].clone()).collect();
        gone.iter().for_each(|lock| self.take_out(lock));
        gone
    }

    /// All live locks, from the top.
    pub fn all(&self, now: Timestamp) -> impl Iterator<Item = &Arc<Lock>> {
        self.by_root.values().flatten().filter(move |lock| lock.is_live(now))
    }

    /// The live lock of this name.
    pub fn named(&self, token: &LockToken, now: Timestamp) -> Option<&Arc<Lock>> {
        self.by_token.get(token).filter(|lock| lock.is_live(now))
    }

    /// The live locks that cover `path`: rooted there, or above it and reaching down. From the top.
    ///
    /// Takes one look into the table for each folder above, however many locks there are.
    pub fn covering(&self, path: &SharePath, now: Timestamp) -> Vec<Arc<Lock>> {
        if self.is_empty() {
            return Vec::new();
        }
        let mut found: Vec<Arc<Lock>> = Vec::new();
        for (up, place) in path.lineage().enumerate() {
            let here = self.by_root.get(place).into_iter().flatten().rev();
            found.extend(here.filter(|lock| (up == 0 || lock.reach == Reach::Below) && lock.is_live(now)).cloned());
        }
        found.reverse();
        found
    }

    /// The live locks whose root is `path` or lies below it, from the top.
    pub fn at_or_below(&self, path: &SharePath, now: Timestamp) -> Vec<Arc<Lock>> {
        self.rooted_within(path).filter(|lock| lock.is_live(now)).cloned().collect()
    }

    /// The versions to which the submitted locks pin what lies below `path`.
    pub fn pins_inside(
        &self,
        path: &SharePath,
        submitted: &Submitted,
        sender: &Principal,
        now: Timestamp,
    ) -> Vec<(SharePath, EntityTag)> {
        if self.is_empty() || submitted.is_empty() {
            return Vec::new();
        }
        let above = self.covering(path, now).into_iter().filter(|lock| lock.root != *path);
        let locks = above.chain(self.at_or_below(path, now)).filter(|lock| submitted.hold(lock, sender));
        let pins =
            |lock: Arc<Lock>| lock.pins_inside(path).map(|(at, pin)| (at.clone(), pin.clone())).collect::<Vec<_>>();
        locks.flat_map(pins).collect()
    }

    /// The lock that stands in the way of a new one, if any does (RFC 4918 §6.1, §7.4).
    pub fn conflict(&self, path: &SharePath, scope: Scope, reach: Reach, now: Timestamp) -> Option<Conflict> {
        if let Some(lock) = self.covering(path, now).into_iter().find(|lock| lock.excludes(scope)) {
            return Some(Conflict::Covers(lock));
        }
        if reach == Reach::Itself {
            return None;
        }
        let mut below = self.rooted_within(path).filter(|lock| lock.is_live(now));
        below.find(|lock| lock.excludes(scope)).cloned().map(Conflict::Inside)
    }

    /// What must be submitted before something that touches `path` may be done (RFC 4918 §7).
    ///
    /// Of the shared locks on one thing, one is enough: whoever holds another could not know it. The folder's lock and the
    /// member's are both needed where the membership changes (§7.4).
    pub fn needed_for(&self, path: &SharePath, touches: Touches, now: Timestamp) -> Vec<Need> {
        if self.is_empty() {
            return Vec::new();
        }
        let mut needs = vec![self.covering(path, now)];
        if touches != Touches::Itself
            && let Some((folder, _)) = path.split()
        {
            needs.insert(0, self.covering(&folder, now));
        }
        if touches == Touches::Tree {
            let of_one_root = |locks: &Vec<Arc<Lock>>| locks.iter().filter(|lock| lock.is_live(now)).cloned().collect();
            needs.extend(self.roots_within(path).map(of_one_root));
        }
        needs.into_iter().filter(|locks| !locks.is_empty()).map(|any_of| Need { any_of }).collect()
    }

    /// The locks that are in the way of a change because nothing of what it needs was submitted, from the top, each once; empty where
    /// the change may be made. What the answer 423 names.
    pub fn missing_for(
        &self,
        path: &SharePath,
        touches: Touches,
        submitted: &Submitted,
        sender: &Principal,
        now: Timestamp,
    ) -> Vec<Arc<Lock>> {
        let unmet = self.needed_for(path, touches, now).into_iter().filter(|need| !need.is_met(submitted, sender));
        let mut missing: Vec<Arc<Lock>> = unmet.flat_map(|need| need.any_of).collect();
        missing.sort_by(|one, other| (&one.root, &one.token).cmp(&(&other.root, &other.token)));
        missing.dedup_by(|one, other| one.token == other.token);
        missing
    }

    fn change(&mut self, token: &LockToken, now: Timestamp, change: impl FnOnce(&mut Lock)) -> Option<Arc<Lock>> {
        let old = self.named(token, now)?.clone();
        let mut new = (*old).clone();
        change(&mut new);
        let new = Arc::new(new);
        let here = self.by_root.get_mut(old.root.as_bytes()).into_iter().flatten();
        here.filter(|lock| lock.token == *token).for_each(|lock| *lock = new.clone());
        self.by_token.insert(token.clone(), new.clone());
        self.by_expiry.remove(&(old.expires, token.clone()));
        self.by_expiry.insert((new.expires, token.clone()));
        self.count(&old, false);
        self.count(&new, true);
        Some(new)
    }

    fn put_in(&mut self, lock: &Arc<Lock>) {
        self.by_root.entry(lock.root.as_bytes().into()).or_default().push(lock.clone());
        self.alike.entry(lock.root.folded()).or_default().insert(lock.root.as_bytes().into());
        self.by_token.insert(lock.token.clone(), lock.clone());
        self.by_expiry.insert((lock.expires, lock.token.clone()));
        self.count(lock, true);
    }

    fn take_out(&mut self, lock: &Arc<Lock>) {
        if let Some(here) = self.by_root.get_mut(lock.root.as_bytes()) {
            here.retain(|other| other.token != lock.token);
            if here.is_empty() {
                self.by_root.remove(lock.root.as_bytes());
                let folded = lock.root.folded();
                if let Some(alike) = self.alike.get_mut(&folded) {
                    alike.remove(lock.root.as_bytes());
                    if alike.is_empty() {
                        self.alike.remove(&folded);
                    }
                }
            }
        }
        self.by_token.remove(&lock.token);
        self.by_expiry.remove(&(lock.expires, lock.token.clone()));
        self.count(lock, false);
    }

    fn count(&mut self, lock: &Lock, is_held: bool) {
        let (address, weight) = (lock.counted_address(), lock.weight());
        let held = self.by_address.entry(address).or_default();
        if is_held {
            self.weight += weight;
            *held = Held { locks: held.locks + 1, weight: held.weight + weight };
        } else {
            self.weight -= weight;
            *held = Held { locks: held.locks - 1, weight: held.weight - weight };
        }
        if held.locks == 0 {
            self.by_address.remove(&address);
        }
    }

    fn rooted_within(&self, path: &SharePath) -> impl Iterator<Item = &Arc<Lock>> {
        self.roots_within(path).flatten()
    }

    /// The locks of each root within `path`. What lies below a folder follows its name and a slash; `a-b` lies between `a` and `a/b`.
    fn roots_within(&self, path: &SharePath) -> impl Iterator<Item = &Vec<Arc<Lock>>> {
        let (has_name, begin, end) = below(path.as_bytes());
        let itself = if has_name { self.by_root.get(path.as_bytes()) } else { None };
        let below = self.by_root.range::<[u8], _>((as_slice(&begin), as_slice(&end))).map(|(_, locks)| locks);
        itself.into_iter().chain(below)
    }
}

/// Whether a path has a name, and between which bytes lies what is below it.
fn below(path: &[u8]) -> (bool, Bound<Vec<u8>>, Bound<Vec<u8>>) {
    if path.is_empty() {
        return (false, Bound::Unbounded, Bound::Unbounded);
    }
    let (begin, end) = ([path, b"/"].concat(), [path, &[b'/' + 1]].concat());
    (true, Bound::Included(begin), Bound::Excluded(end))
}

fn as_slice(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    bound.as_ref().map(Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::lock::Pins;
    use Reach::{Below, Itself};
    use Scope::{Exclusive, Shared};

    const AN_HOUR: Duration = Duration::from_secs(3600);

    /// When all of these stories begin.
    fn start() -> Timestamp {
        Timestamp::new(0, 0)
    }

    fn path(text: &str) -> SharePath {
        SharePath::parse_disk(text.as_bytes()).expect(text)
    }

    fn token(number: u8) -> LockToken {
        LockToken::from_random([number; 16])
    }

    fn lock(number: u8, root: &str, scope: Scope, reach: Reach) -> Lock {
        Lock {
            token: token(number),
            root: path(root),
            scope,
            reach,
            owner: None,
            holder: Principal::Anonymous,
            taken_from: None,
            timeout: Some(AN_HOUR),
            expires: expiry(Some(AN_HOUR), start()),
            pin: None,
            pins_below: Pins::default(),
            made: None,
        }
    }

    fn table(locks: &[(u8, &str, Scope, Reach)]) -> Locks {
        let mut table = Locks::new(LockLimits::default());
        for (number, root, scope, reach) in locks {
            table.add(lock(*number, root, *scope, *reach), start()).expect("no conflict");
        }
        table
    }

    /// The numbers of locks that [`lock`] made.
    fn numbers<'a>(locks: impl IntoIterator<Item = &'a Arc<Lock>>) -> Vec<u8> {
        let number = |lock: &Lock| (0..=255).find(|number| token(*number) == lock.token).expect("made by a number");
        locks.into_iter().map(|lock| number(lock)).collect()
    }

    fn submitted(numbers: &[u8]) -> Submitted {
        let tokens: Vec<LockToken> = numbers.iter().map(|number| token(*number)).collect();
        Submitted::new(tokens.iter().map(LockToken::as_str))
    }

    #[test]
    fn what_conflicts_with_what() {
        // what is there; what is asked for; whether the lock that is there covers it, lies inside it, or neither
        for (there, asked, expected) in [
            (("a", Exclusive, Itself), ("a", Exclusive, Itself), "covers"),
            (("a", Exclusive, Itself), ("a", Shared, Itself), "covers"),
            (("a", Shared, Itself), ("a", Exclusive, Itself), "covers"),
            (("a", Shared, Itself), ("a", Shared, Below), ""),
            (("a", Exclusive, Below), ("a/b/c", Shared, Itself), "covers"),
            (("a", Shared, Below), ("a/b/c", Exclusive, Itself), "covers"),
            (("a", Shared, Below), ("a/b/c", Shared, Below), ""),
            (("", Exclusive, Below), ("a/b", Shared, Itself), "covers"),
            (("a", Exclusive, Itself), ("a/b", Exclusive, Below), ""),
            (("a/b", Exclusive, Itself), ("a", Exclusive, Below), "inside"),
            (("a/b", Exclusive, Itself), ("a", Shared, Below), "inside"),
            (("a/b", Shared, Itself), ("a", Exclusive, Below), "inside"),
            (("a/b", Shared, Itself), ("a", Shared, Below), ""),
            (("a/b", Exclusive, Itself), ("", Exclusive, Below), "inside"),
            (("a/b", Exclusive, Itself), ("a", Exclusive, Itself), ""),
            (("a", Exclusive, Below), ("ab", Exclusive, Below), ""),
            (("a", Exclusive, Below), ("a-b", Exclusive, Below), ""),
            (("a-b", Exclusive, Below), ("a", Exclusive, Below), ""),
            (("a0", Exclusive, Below), ("a", Exclusive, Below), ""),
        ] {
            let mut table = table(&[(1, there.0, there.1, there.2)]);
            let found = match table.conflict(&path(asked.0), asked.1, asked.2, start()) {
                Some(Conflict::Covers(_)) => "covers",
                Some(Conflict::Inside(_)) => "inside",
                None => "",
            };
            assert_eq!(found, expected, "{there:?} {asked:?}");
            let added = table.add(lock(2, asked.0, asked.1, asked.2), start());
            assert_eq!(added.is_ok(), expected.is_empty(), "{there:?} {asked:?}");
        }
    }

    #[test]
    fn what_covers_and_what_lies_below() {
        let table = table(&[
            (1, "", Shared, Itself),
            (2, "a", Shared, Below),
            (3, "a", Shared, Itself),
            (4, "a/b", Shared, Itself),
            (5, "a/b/c", Shared, Itself),
            (6, "a-z", Shared, Below),
            (7, "a0", Shared, Below),
        ]);
        for (at, covering, below) in [
            ("", &[1][..], &[1, 2, 3, 6, 4, 5, 7][..]),
            ("a", &[2, 3], &[2, 3, 4, 5]),
            ("a/b", &[2, 4], &[4, 5]),
            ("a/b/c", &[2, 5], &[5]),
            ("a/b/c/d", &[2], &[]),
            ("a/x", &[2], &[]),
            ("a-z/x", &[6], &[]),
            ("x", &[], &[]),
        ] {
            assert_eq!(numbers(&table.covering(&path(at), start())), covering, "{at}");
            assert_eq!(numbers(&table.at_or_below(&path(at), start())), below, "{at}");
        }
    }

    #[test]
    fn what_must_be_submitted() {
        use Touches::{Itself as Content, Membership, Tree};
        let locks: &[(u8, &str, Scope, Reach)] = &[
            (1, "folder", Exclusive, Itself),
            (2, "folder/file", Exclusive, Itself),
            (3, "deep", Exclusive, Below),
            (4, "team", Shared, Below),
            (5, "team", Shared, Below),
            (6, "team/mine", Shared, Itself),
            (7, "top/one/file", Exclusive, Itself),
            (8, "top/two", Shared, Itself),
            (9, "top/two", Shared, Itself),
        ];
        let table = table(locks);
        // where, what is touched, what was submitted, what is missing
        for (at, touches, sent, missing) in [
            ("free", Tree, &[][..], &[][..]),
            ("folder", Content, &[], &[1]),
            ("folder", Content, &[1], &[]),
            ("folder/other", Content, &[], &[]),
            ("folder/other", Membership, &[], &[1]),
            ("folder/other", Membership, &[1], &[]),
            ("folder/file", Content, &[1], &[2]),
            ("folder/file", Content, &[2], &[]),
            ("folder/file", Tree, &[2], &[1]),
            ("folder/file", Tree, &[1], &[2]),
            ("folder/file", Tree, &[1, 2], &[]),
            ("folder/sub/file", Membership, &[], &[]),
            ("folder", Tree, &[1], &[2]),
            ("deep/a/b", Content, &[], &[3]),
            ("deep/a/b", Membership, &[3], &[]),
            ("deep/a/b", Tree, &[], &[3]),
            ("team/file", Content, &[], &[4, 5]),
            ("team/file", Content, &[5], &[]),
            ("team/file", Membership, &[4], &[]),
            ("team/mine", Content, &[6], &[]),
            ("team/mine", Tree, &[6], &[4, 5]),
            ("team/mine", Tree, &[4], &[6]),
            ("team", Tree, &[4], &[6]),
            ("team", Tree, &[4, 6], &[]),
            ("top", Content, &[], &[]),
            ("top", Tree, &[], &[7, 8, 9]),
            ("top", Tree, &[7], &[8, 9]),
            ("top", Tree, &[7, 9], &[]),
            ("", Tree, &[1, 2, 3, 4, 6, 7], &[8, 9]),
        ] {
            let sent_by = |principal| table.missing_for(&path(at), touches, &submitted(sent), &principal, start());
            assert_eq!(numbers(&sent_by(Principal::Anonymous)), missing, "{at} {touches:?} {sent:?}");
            let needs = !table.needed_for(&path(at), touches, start()).is_empty();
            assert_eq!(!sent_by(Principal::named("eve")).is_empty(), needs, "somebody else's token counts for nothing");
        }
    }

    #[test]
    fn what_has_expired_is_gone_everywhere() {
        let mut table = table(&[(1, "a", Exclusive, Below), (2, "b", Exclusive, Itself)]);
        let end = start().plus(AN_HOUR);
        let just_before = Timestamp::new(3599, 999_999_999);
        assert!(table.conflict(&path("a/x"), Shared, Itself, just_before).is_some());
        assert_eq!(table.named(&token(1), just_before).expect("live").remaining(just_before), Duration::from_nanos(1));
        assert!(table.refresh(&token(2), Some(AN_HOUR * 2), just_before).is_some());
        assert!(table.named(&token(1), end).is_none());
        assert!(table.covering(&path("a/x"), end).is_empty());
        assert!(table.at_or_below(&path("a"), end).is_empty());
        assert!(table.conflict(&path("a"), Exclusive, Below, end).is_none());
        assert!(table.needed_for(&path("a"), Touches::Tree, end).is_empty());
        assert!(table.refresh(&token(1), Some(AN_HOUR), end).is_none());
        assert!(table.pin(&token(1), &path("a"), None, end).is_none());
        assert_eq!(numbers(table.all(end)), [2]);
        assert_eq!(table.len(), 2);
        assert_eq!(numbers(&table.expire(end)), [1]);
        assert_eq!(table.len(), 1);
        assert!(table.expire(end).is_empty());
        assert_eq!(numbers(&table.expire(end.plus(AN_HOUR * 2))), [2]);
        assert!(table.is_empty() && table.weight == 0 && table.by_root.is_empty() && table.by_expiry.is_empty());
    }

    #[test]
    fn a_lock_for_ever_outlives_everything() {
        let mut table = table(&[(1, "a", Exclusive, Itself)]);
        table.refresh(&token(1), None, start()).expect("live");
        assert!(table.named(&token(1), Timestamp::new(9_000_000_000, 0)).is_some());
    }

    #[test]
    fn a_pin_moves_without_anything_else() {
        let mut table = table(&[(1, "a", Exclusive, Itself)]);
        let tag = EntityTag::received(false, b"v2");
        let later = start().plus(Duration::from_secs(9));
        let pinned = table.pin(&token(1), &path("a"), Some(tag.clone()), later).expect("live");
        assert!(pinned.pin.as_ref().is_some_and(|pin| pin.strong_eq(&tag)));
        assert_eq!(pinned.expires, expiry(Some(AN_HOUR), start()), "using a lock does not refresh it");
        let covering = table.covering(&path("a"), start());
        assert!(covering[0].pin.as_ref().is_some_and(|pin| pin.strong_eq(&tag)), "seen on every way to it");
    }

    /// What is written below a locked folder is pinned, too, as long as there is room; what is gone is not.
    #[test]
    fn a_lock_on_a_folder_pins_what_is_written_below() {
        let mut table = table(&[(1, "d", Exclusive, Below), (2, "e", Exclusive, Itself)]);
        let tag = |version: usize| EntityTag::received(false, format!("v{version}").as_bytes());
        let pin_of = |table: &Locks, at: &str| {
            table.named(&token(1), start()).expect("live").pin_of(&path(at)).map(EntityTag::to_string)
        };
        for (version, at) in ["d/a", "d/a/b", "d/ab", "d", "d/a"].into_iter().enumerate() {
            table.pin(&token(1), &path(at), Some(tag(version)), start()).expect("live");
        }
        assert_eq!(pin_of(&table, "d/a").as_deref(), Some("\"v4\""));
        assert_eq!(pin_of(&table, "d").as_deref(), Some("\"v3\""));
        assert_eq!(pin_of(&table, "d/c"), None);
        assert_eq!(numbers(&table.unpin(&path("d/a"), false, start())), [1]);
        assert_eq!((pin_of(&table, "d/a/b"), pin_of(&table, "d/a").is_some()), (None, true));
        assert_eq!(numbers(&table.unpin(&path("d/a"), true, start())), [1]);
        assert_eq!((pin_of(&table, "d/a"), pin_of(&table, "d/ab").is_some()), (None, true));
        assert!(table.unpin(&path("d/a"), true, start()).is_empty());
        for number in 0..10_000 {
            table.pin(&token(1), &path(&format!("d/{number}")), Some(tag(number)), start()).expect("live");
        }
        assert!(pin_of(&table, "d/9999").is_some() && pin_of(&table, "d/0").is_none(), "the first give way");
        assert_eq!(table.weight, table.all(start()).map(|lock| lock.weight()).sum::<usize>());
        table.remove(&token(1));
        table.remove(&token(2));
        assert!(table.weight == 0 && table.by_address.is_empty());
    }

    /// Whoever takes as many locks as it can leaves most of them to others; the addresses of one network are one.
    #[test]
    fn one_address_takes_a_part_of_the_locks() {
        let mut table = Locks::new(LockLimits { locks_max: 8, ..LockLimits::default() });
        let mut number = 0;
        let mut take = |table: &mut Locks, from: &str| {
            number += 1;
            let taken_from = Some(from.parse().expect("an address"));
            table.add(Lock { taken_from, ..lock(number, &number.to_string(), Exclusive, Itself) }, start()).map(|_| ())
        };
        for from in ["192.0.2.1", "::ffff:192.0.2.1"] {
            assert!(take(&mut table, from).is_ok());
        }
        assert!(matches!(take(&mut table, "192.0.2.1"), Err(NotAdded::FullForAddress)));
        for from in ["2001:db8::1", "2001:db8::2:0:0:1"] {
            assert!(take(&mut table, from).is_ok(), "{from}");
        }
        assert!(matches!(take(&mut table, "2001:db8::3"), Err(NotAdded::FullForAddress)));
        assert!(take(&mut table, "2001:db8:0:1::1").is_ok(), "another network");
        table.remove(&token(1));
        assert!(take(&mut table, "192.0.2.1").is_ok(), "what is given back can be taken again");
    }

    /// What is written below locked folders is pinned in every lock that was submitted. Those of one address take no more of the table with it
    /// than their part, however many there are: others can still lock.
    #[test]
    fn the_pins_of_one_address_leave_room_for_others() {
        let address = |last| Some(IpAddr::from([192, 0, 2, last]));
        let limits = LockLimits { bytes_max: 64 << 10, ..LockLimits::default() };
        let mut table = Locks::new(limits);
        for number in 0..10 {
            let lock = Lock { taken_from: address(1), ..lock(number, "folder", Shared, Below) };
            table.add(lock, start()).expect("there is room");
        }
        for file in 0..200 {
            for number in 0..10 {
                let at = path(&format!("folder/{file}"));
                let pinned = table.pin(&token(number), &at, Some(EntityTag::received(false, b"one")), start());
                let pinned = pinned.expect("it is live");
                assert!(file > 0 || pinned.pin_of(&at).is_some(), "as long as there is room");
            }
        }
        assert!(table.weight <= limits.bytes_max / limits.address_part, "{}", table.weight);
        for number in 10..13 {
            let lock = Lock { taken_from: address(number), ..lock(number, "elsewhere", Shared, Below) };
            table.add(lock, start()).expect("there is room for others");
        }
        let mut refused = lock(20, "elsewhere", Shared, Below);
        refused.taken_from = address(1);
        refused.owner = Some("x".repeat(1024).into());
        assert!(table.add(refused, start()).is_err(), "its part is used up");
    }

    #[test]
    fn locks_end_with_their_roots() {
        let mut table = table(&[
            (1, "a", Exclusive, Itself),
            (2, "a/b", Exclusive, Itself),
            (3, "a-b", Exclusive, Itself),
            (4, "", Shared, Itself),
        ]);
        assert_eq!(numbers(&table.remove_tree(&path("a"))), [1, 2]);
        assert_eq!(numbers(table.remove(&token(3)).as_ref()), [3]);
        assert!(table.remove(&token(3)).is_none());
        assert_eq!(numbers(&table.remove_tree(&SharePath::root())), [4]);
        assert!(table.is_empty() && table.weight == 0);
    }

    #[test]
    fn there_are_never_too_many() {
        let limits =
            LockLimits { locks_max: 4, address_part: 1, shared_max: 2, bytes_max: 1 << 20, owner_bytes_max: 10 };
        let mut table = Locks::new(limits);
        let mut add = |lock: Lock| match table.add(lock, start()) {
            Ok(_) => "added",
            Err(NotAdded::Conflict(_)) => "conflict",
            Err(NotAdded::Full | NotAdded::FullForAddress) => "full",
            Err(NotAdded::LongOwner) => "long",
            Err(NotAdded::KnownToken) => "known",
        };
        assert_eq!(add(lock(1, "a", Shared, Itself)), "added");
        assert_eq!(add(lock(2, "a", Shared, Itself)), "added");
        assert_eq!(add(lock(3, "a", Shared, Itself)), "full");
        assert_eq!(add(lock(3, "a", Exclusive, Itself)), "conflict");
        assert_eq!(add(lock(1, "b", Exclusive, Itself)), "known");
        assert_eq!(add(Lock { owner: Some("01234567890".into()), ..lock(3, "b", Exclusive, Itself) }), "long");
        assert_eq!(add(Lock { owner: Some("0123456789".into()), ..lock(3, "b", Exclusive, Itself) }), "added");
        assert_eq!(add(lock(4, "c", Exclusive, Itself)), "added");
        assert_eq!(add(lock(5, "d", Exclusive, Itself)), "full");
        table.remove(&token(4));
        assert!(table.add(lock(5, "d", Exclusive, Itself), start()).is_ok());
    }

    /// Somebody who asks for a million locks gets as many as there may be, whatever they are like, and no question takes longer for it.
    #[test]
    fn a_million_attempts_stay_within_the_bounds() {
        let limits = LockLimits::default();
        let mut table = Locks::new(limits);
        let deep = "d/".repeat(100);
        for attempt in 0..1_000_000_u32 {
            let mut random = [0; 16];
            random[..4].copy_from_slice(&attempt.to_le_bytes());
            let lock = Lock {
                token: LockToken::from_random(random),
                owner: (attempt % 7 == 0).then(|| "x".repeat(5000).into()),
                taken_from: Some(IpAddr::from((attempt % 4 + 1).to_be_bytes())),
                ..lock(
                    0,
                    &format!("f{}/{}{attempt}", attempt % 100, if attempt % 1000 == 0 { &deep } else { "" }),
                    Exclusive,
                    Itself,
                )
            };
            let _ = table.add(lock, start());
        }
        assert!(table.len() <= limits.locks_max && table.weight <= limits.bytes_max);
        assert!(table.len() > 10_000, "{}", table.len());
        assert_eq!(table.weight, table.all(start()).map(|lock| lock.weight()).sum::<usize>());
        assert!(table.covering(&path("f1/1/x"), start()).is_empty());
    }

    fn any_scope() -> impl Strategy<Value = Scope> {
        prop_oneof![Just(Exclusive), Just(Shared)]
    }

    fn any_reach() -> impl Strategy<Value = Reach> {
        prop_oneof![Just(Itself), Just(Below)]
    }

    /// What happens to the table, and to a plain list that does the same the long way.
    #[derive(Clone, Debug)]
    enum Doing {
        Add(u8, usize, Scope, Reach),
        Refresh(u8),
        Remove(u8),
        RemoveTree(usize),
        Pass,
        Expire,
    }

    const PLACES: [&str; 9] = ["", "a", "a-b", "a/b", "a/b/c", "a0", "b", "a/bc", "a/b/d"];

    fn doing() -> impl Strategy<Value = Doing> {
        let place = 0..PLACES.len();
        prop_oneof![
            6 => (0..12_u8, place.clone(), any_scope(), any_reach()).prop_map(|(n, p, s, r)| Doing::Add(n, p, s, r)),
            1 => (0..12_u8).prop_map(Doing::Refresh),
            1 => (0..12_u8).prop_map(Doing::Remove),
            1 => place.prop_map(Doing::RemoveTree),
            1 => Just(Doing::Pass),
            1 => Just(Doing::Expire),
        ]
    }

    proptest! {
        #[test]
        fn the_table_does_what_a_plain_list_does(doings in prop::collection::vec(doing(), 1..60)) {
            let (mut table, mut plain, mut now) = (Locks::new(LockLimits::default()), Vec::<Lock>::new(), start());
            for doing in doings {
                match doing {
                    Doing::Add(number, place, scope, reach) => {
                        let new = Lock { expires: expiry(Some(AN_HOUR), now), ..lock(number, PLACES[place], scope, reach) };
                        let stands_in_the_way = |old: &Lock| {
                            let meet = old.covers(&new.root) || new.covers(&old.root);
                            old.is_live(now) && meet && (old.scope == Exclusive || new.scope == Exclusive)
                        };
                        let may = !plain.iter().any(stands_in_the_way) && !plain.iter().any(|old| old.token == new.token);
                        prop_assert_eq!(table.add(new.clone(), now).is_ok(), may);
                        plain.extend(may.then_some(new));
                    }
                    Doing::Refresh(number) => {
                        let live = plain.iter_mut().find(|lock| lock.token == token(number) && lock.is_live(now));
                        prop_assert_eq!(table.refresh(&token(number), Some(AN_HOUR), now).is_some(), live.is_some());
                        live.into_iter().for_each(|lock| lock.expires = expiry(Some(AN_HOUR), now));
                    }
                    Doing::Remove(number) => {
                        let was = plain.len();
                        plain.retain(|lock| lock.token != token(number));
                        prop_assert_eq!(table.remove(&token(number)).is_some(), plain.len() < was);
                    }
                    Doing::RemoveTree(place) => {
                        let was = plain.len();
                        plain.retain(|lock| !lock.root.is_within(&path(PLACES[place])));
                        prop_assert_eq!(table.remove_tree(&path(PLACES[place])).len(), was - plain.len());
                    }
                    Doing::Pass => now = now.plus(AN_HOUR / 3),
                    Doing::Expire => {
                        let was = plain.len();
                        plain.retain(|lock| lock.is_live(now));
                        prop_assert_eq!(table.expire(now).len(), was - plain.len());
                    }
                }
                prop_assert_eq!(table.len(), plain.len());
                prop_assert_eq!(table.weight, plain.iter().map(Lock::weight).sum::<usize>());
                prop_assert_eq!(table.by_expiry.len(), plain.len());
                for place in PLACES {
                    let sorted = |mut tokens: Vec<LockToken>| { tokens.sort(); tokens };
                    let tokens = |locks: &[Arc<Lock>]| sorted(locks.iter().map(|lock| lock.token.clone()).collect());
                    let plainly = |is: &dyn Fn(&Lock) -> bool| {
                        sorted(plain.iter().filter(|lock| lock.is_live(now) && is(lock)).map(|lock| lock.token.clone()).collect())
                    };
                    let place = path(place);
                    prop_assert_eq!(tokens(&table.covering(&place, now)), plainly(&|lock| lock.covers(&place)));
                    prop_assert_eq!(tokens(&table.at_or_below(&place, now)), plainly(&|lock| lock.root.is_within(&place)));
                }
            }
        }
    }

    fn pinned(mut lock: Lock, below: &[(&str, &str)]) -> Lock {
        let tag = |text: &str| EntityTag::received(false, text.as_bytes());
        lock.pin = Some(tag("itself"));
        below.iter().for_each(|(at, text)| lock.pins_below.set(&path(at), Some(tag(text)), PINS_BYTES_MAX));
        lock
    }

    #[test]
    fn what_goes_with_a_folder_is_pinned_by_every_lock_that_was_submitted() {
        let mut table = Locks::new(LockLimits::default());
        table
            .add(pinned(lock(1, "d", Shared, Below), &[("d/a", "one"), ("d/e/b", "two")]), start())
            .expect("room for it");
        table.add(pinned(lock(2, "d/e/b", Shared, Itself), &[]), start()).expect("room for it");
        for (inside, numbers, expected) in [
            ("d", &[1, 2][..], &["d/a", "d/e/b", "d/e/b"][..]),
            ("d/e", &[1, 2], &["d/e/b", "d/e/b"]),
            ("d/e", &[2], &["d/e/b"]),
            ("d/e/b", &[1, 2], &[]),
            ("d", &[3], &[]),
            ("", &[1], &["d", "d/a", "d/e/b"]),
            ("d/ee", &[1, 2], &[]),
        ] {
            let pins = table.pins_inside(&path(inside), &submitted(numbers), &Principal::Anonymous, start());
            let paths: Vec<_> = pins.iter().map(|(at, _)| String::from_utf8_lossy(at.as_bytes())).collect();
            assert_eq!(paths, expected, "in {inside:?} by {numbers:?}");
        }
        let (taken, another) = (submitted(&[1, 2]), Principal::named("another"));
        assert!(table.pins_inside(&path("d"), &taken, &another, start()).is_empty());
    }

    #[test]
    fn a_lock_is_found_by_every_spelling_and_follows_to_another() {
        let mut table = table(&[(1, "Docs/caf\u{e9}", Exclusive, Below), (2, "docs/Other", Exclusive, Itself)]);
        let pins = [("Docs/caf\u{e9}/A.txt", "one"), ("Docs/caf\u{e9}/b.txt", "two")];
        table.remove(&token(1));
        table.add(pinned(lock(1, "Docs/caf\u{e9}", Exclusive, Below), &pins), start()).expect("room for it");
        for (asked, expected) in [
            ("Docs/caf\u{e9}", &[][..]),
            ("Docs/cafe\u{301}", &[1]),
            ("DOCS/CAF\u{c9}/below/it", &[1]),
            ("Docs", &[2]),
            ("DOCS", &[1, 2]),
            ("docs", &[1]),
            ("", &[]),
            ("doc", &[]),
            ("docs/OTHER", &[2]),
        ] {
            let mut found = numbers(&table.spelt_otherwise(&path(asked)));
            found.sort_unstable();
            assert_eq!(found, expected, "{asked:?}");
        }
        let alike = |table: &Locks, asked: &str| {
            let found = table.pins_spelt_otherwise(&path(asked), start());
            found
                .into_iter()
                .map(|(_, pinned)| String::from_utf8_lossy(pinned.as_bytes()).into_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(alike(&table, "Docs/caf\u{e9}/a.TXT"), ["Docs/caf\u{e9}/A.txt"]);
        assert!(alike(&table, "Docs/caf\u{e9}/A.txt").is_empty());
        let weight = table.weight;
        let moved = table.respell(&token(1), &path("DOCS/cafe\u{301}")).expect("it is there");
        assert_eq!(moved.pin_of(&path("DOCS/cafe\u{301}/b.txt")).map(EntityTag::opaque), Some(&b"two"[..]));
        assert_eq!(numbers(&table.covering(&path("DOCS/cafe\u{301}/x"), start())), [1]);
        assert!(table.covering(&path("Docs/caf\u{e9}"), start()).is_empty());
        let (from, to) = (path("DOCS/cafe\u{301}/b.txt"), path("DOCS/cafe\u{301}/B.TXT"));
        let lock = table.respell_pin(&token(1), &from, &to, start()).expect("it is there");
        assert!(lock.pin_of(&from).is_none());
        assert_eq!(lock.pin_of(&to).map(EntityTag::opaque), Some(&b"two"[..]));
        assert!(table.weight > weight, "the longer spelling weighs more");
        table.remove_tree(&path(""));
        assert!(table.alike.is_empty() && table.weight == 0);
    }

    #[test]
    fn a_clock_that_is_set_back_makes_no_lock_last_longer() {
        let hours = |count: u32| Timestamp::new(1_000_000, 0).plus(AN_HOUR * count);
        let mut table = Locks::new(LockLimits::default());
        table.expire(hours(100));
        for (number, timeout) in [(1, AN_HOUR), (2, AN_HOUR * 2)] {
            let lock = Lock {
                timeout: Some(timeout),
                expires: expiry(Some(timeout), hours(100)),
                ..lock(number, &number.to_string(), Exclusive, Below)
            };
            table.add(lock, hours(100)).expect("no conflict");
        }
        // Not yet by what two requests may differ in.
        assert!(table.expire(Timestamp::new(hours(100).seconds() - 2, 0)).is_empty());
        assert_eq!(table.named(&token(1), hours(100)).expect("it lives").expires, hours(101));
        assert!(table.expire(hours(10)).is_empty());
        assert_eq!(numbers(&table.expire(hours(11))), [1]);
        assert_eq!(numbers(&table.expire(hours(12))), [2]);
    }
}
