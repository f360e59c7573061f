//! Locks: taken, refreshed and given back; and what they ask of every change (RFC 4918 §6, §7).
//!
//! A lock pins the version on which it was taken: whoever writes with its token writes over that version and no other. A change and a new lock
//! never pass each other: from the moment the locks are judged until the swap is done, none is added.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::model::lock::{Conflict, Lock, LockLimits, LockToken, Locks, NotAdded, Pins, Reach, Scope, Touches, expiry};
use crate::model::path::SharePath;
use crate::model::precondition::{Header, Precondition};
use crate::model::principal::Principal;
use crate::model::stamp::Timestamp;
use crate::model::tag::{EntityTag, TagForm};
use crate::store::commit::{Inside, Seen};
use crate::store::disk::{Cause, Kind, Opened};

use super::Share;
use super::identity::{Effort, Identity};
use super::judge::{Deed, Looked};
use super::outcome::{Forbidden, LockRoot, Outcome, Refusal, Stop, Subject};
use super::under_way::{Changes, UnderWay};
use super::write::{Dating, Storing, current};

/// For how long a new lock is granted at most: a client that has gone, or takes locks for the sake of it, keeps others out no longer. Each
/// refresh may be granted twice as long as the grant before it. Some builds of Office never refresh theirs, so it is no shorter.
const FIRST_GRANT_MAX: Duration = Duration::from_secs(1800);

/// How many locked things an answer names: who asks needs one, and each has to be looked for on the disk.
const ROOTS_TOLD_MAX: usize = 100;

/// How often LOCK tries again when what it is for comes or goes meanwhile.
const TRIES_MAX: usize = 4;

/// How long LOCK waits for changes that began before. Nobody waits for LOCK.
const CHANGES_WAIT: Duration = Duration::from_secs(30);

/// The locks of a share.
#[derive(Debug)]
pub(super) struct LockTable {
    table: Mutex<Locks>,
    changes: Changes,
}

/// What is in a folder that submitted locks pin.
pub(super) enum Pinned {
    /// These files, and each is the version that it was.
    AsTheyWere(Vec<Inside>),
    /// Among others these large files, whose content has to be known first.
    Unhashed(Vec<SharePath>),
}

/// What a client asks of a new lock.
#[derive(Clone, Debug)]
pub struct LockWish {
    /// Its name.
    pub token: LockToken,
    /// Whether others may lock the same.
    pub scope: Scope,
    /// How far down it is to reach.
    pub reach: Reach,
    /// What its holder says about itself, as XML.
    pub owner: Option<Box<str>>,
    /// For how long; `None` for ever.
    pub timeout: Option<Duration>,
}

/// A lock that was taken.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The lock.
    pub lock: Arc<Lock>,
    /// Whether an empty file was made for it.
    pub created: bool,
}

impl Pinned {
    /// The files, where large ones were hashed before: one that is not known even so lets nothing go.
    pub(super) fn into_files(self) -> Outcome<Vec<Inside>> {
        match self {
            Self::AsTheyWere(files) => Ok(files),
            Self::Unhashed(_) => Err(Refusal::ChangedMeanwhile.into()),
        }
    }
}

impl LockTable {
    pub(super) fn new() -> Self {
        Self { table: Mutex::new(Locks::new(LockLimits::default())), changes: Changes::default() }
    }

    /// Begins a change that is judged by the locks.
    pub(super) fn begin_change(&self) -> UnderWay<'_> {
        self.changes.begin()
    }

    /// The table is whole whatever thread panicked beside it.
    fn table(&self) -> MutexGuard<'_, Locks> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Takes up the locks that an earlier process remembered.
    pub(super) fn take_up_locks(&self, now: Timestamp) -> Outcome<()> {
        let remembered = self.index.locks()?;
        let mut table = self.locks.table();
        for mut lock in remembered.iter().filter_map(|bytes| Lock::from_bytes(bytes)) {
            let token = lock.token.clone();
            // The clock may have been set back since.
            lock.expires = lock.expires.min(expiry(lock.timeout, now));
            if !lock.is_live(now) || table.add(lock, now).is_err() {
                self.note_gone(&token);
            }
        }
        Ok(())
    }

    /// Whether there is any lock. Those that concern a path, or what is below it, are looked for from now on by the paths that the disk has.
    pub fn has_locks_about(&self, path: &SharePath) -> bool {
        !self.table_about(path).is_empty()
    }

    /// The locks that cover a path, as [`Share::place_of`] has it. [`Share::has_locks_about`] comes before.
    pub fn locks_on(&self, path: &SharePath, now: Timestamp) -> Vec<Arc<Lock>> {
        self.locks.table().covering(path, now)
    }

    /// As [`Share::locks_on`], for one path alone.
    pub(super) fn locks_covering(&self, path: &SharePath, now: Timestamp) -> Vec<Arc<Lock>> {
        self.table_about(path).covering(path, now)
    }

    /// Locks what is at a path. Where nothing is, an empty file is made (RFC 4918 §7.3).
    pub fn lock(
        &self,
        path: &SharePath,
        wish: LockWish,
        precondition: &Precondition,
        now: Timestamp,
    ) -> Outcome<Taken> {
        let path = &*self.spelled(path)?;
        if path.is_root() && !self.settings.root_locks && *precondition.submitted().principal() == Principal::Anonymous
        {
            return Err(Refusal::NotAllowed(Forbidden::RootLock).into());
        }
        if path.is_root() {
            drop(self.judge_root(precondition, Deed::Lock, now)?);
        } else {
            let Looked { seen, .. } = self.look_and_judge(path, precondition, Deed::Lock, now)?;
            match seen {
                Seen::Link => return Err(Refusal::NotAllowed(Forbidden::Link).into()),
                Seen::Special => return Err(Refusal::NotAllowed(Forbidden::Special).into()),
                Seen::Busy(_) => return Err(Refusal::OpenForWriting.into()),
                Seen::Nothing | Seen::Collection(_) | Seen::File(_) => {}
            }
        }
        let lock = self.add_lock(path, wish, precondition, now)?;
        let pinned =
            if path.is_root() { Ok((None, false)) } else { self.make_and_identify(path, &lock, precondition, now) };
        let (pin, created) = pinned.inspect_err(|_| self.drop_lock(&lock.token))?;
        let root = if created { self.as_made(path) } else { Cow::Borrowed(path) };
        let pinned = self.change_lock(|table| {
            let pinned = table.pin(&lock.token, path, pin, now)?;
            if *root == *path { Some(pinned) } else { table.respell(&lock.token, &root) }
        });
        Ok(Taken { lock: pinned.unwrap_or(lock), created })
    }

    /// Grants a lock that covers a path more time.
    pub fn refresh_lock(
        &self,
        path: &SharePath,
        timeout: Option<Duration>,
        precondition: &Precondition,
        now: Timestamp,
    ) -> Outcome<Arc<Lock>> {
        let path = &*self.spelled(path)?;
        let covering = self.locks_covering(path, now);
        let mut submitted = covering.iter().filter(|lock| precondition.submitted().holds(lock));
        let (Some(lock), None) = (submitted.next(), submitted.next()) else { return Err(Refusal::UnknownToken.into()) };
        self.judge_headers(path, precondition, now)?;
        self.judge_states_alone(path, precondition, now)?;
        let longest = lock.timeout.map_or(FIRST_GRANT_MAX, |before| before.saturating_mul(2));
        let timeout = Some(timeout.map_or(longest, |asked| asked.min(longest)));
        let refreshed = self.change_lock(|table| table.refresh(&lock.token, timeout, now));
        Ok(refreshed.ok_or(Refusal::UnknownToken)?)
    }

    /// Gives a lock back.
    pub fn unlock(
        &self,
        path: &SharePath,
        token: &LockToken,
        precondition: &Precondition,
        now: Timestamp,
    ) -> Outcome<()> {
        let path = &*self.spelled(path)?;
        self.judge_headers(path, precondition, now)?;
        self.judge_states_alone(path, precondition, now)?;
        let lock = self.table_about(path).named(token, now).cloned().filter(|lock| lock.covers(path));
        let Some(lock) = lock else { return Err(Refusal::ForeignToken.into()) };
        if lock.holder != *precondition.submitted().principal() {
            return Err(Refusal::NotYours.into());
        }
        self.drop_lock(token);
        Ok(())
    }

    /// Judges what the locks ask of a change: the tokens of those in its way, and that what is there is what they were taken on.
    pub(super) fn judge_locks(
        &self,
        path: &SharePath,
        precondition: &Precondition,
        touches: Touches,
        now: Timestamp,
    ) -> Outcome<()> {
        let missing = self.table_about(path).missing_for(path, touches, precondition.submitted(), now);
        if missing.is_empty() { Ok(()) } else { Err(Refusal::Locked { by: self.roots(&missing) }.into()) }
    }

    /// Judges whether a file is the version that the submitted locks on it were taken on.
    pub(super) fn judge_pins(
        &self,
        path: &SharePath,
        precondition: &Precondition,
        identity: Option<&Identity>,
        now: Timestamp,
    ) -> Outcome<()> {
        let is_that = |pin: &EntityTag| identity.is_some_and(|known| known.validators.strongly_match(pin));
        if self.pins(path, precondition, now).iter().all(is_that) {
            return Ok(());
        }
        let of = Subject::file(path);
        Err(Refusal::PreconditionFailed { header: Header::LockToken, of, current: identity.map(current) }.into())
    }

    /// Judges whether a folder that is to go is one, as far as the submitted locks know, and every file in it the version that they were taken
    /// on. No large file is hashed.
    pub(super) fn judge_pins_inside(
        &self,
        path: &SharePath,
        precondition: &Precondition,
        now: Timestamp,
    ) -> Outcome<Pinned> {
        let changed = |of, current| Refusal::PreconditionFailed { header: Header::LockToken, of, current };
        if !self.pins(path, precondition, now).is_empty() {
            return Err(changed(Subject { path: path.clone(), is_collection: true }, None).into());
        }
        let (mut files, mut unhashed) = (Vec::new(), Vec::new());
        for (at, pin) in self.pins_inside(path, precondition, now) {
            let asks = matches!(pin.form(), TagForm::Content(_));
            let effort = if asks { Effort::HashSmall } else { Effort::Recall };
            let known = self.identify_inside(&at, effort, now)?;
            match known {
                Some(known) if known.is_busy => return Err(Refusal::OpenForWriting.into()),
                Some(known) if asks && known.hash.is_none() && self.is_to_be_hashed(&at, &known.stamp, now) => {
                    unhashed.push(at);
                }
                Some(known) if known.validators.strongly_match(&pin) => {
                    files.push(Inside { path: at, stamp: known.stamp });
                }
                known => return Err(changed(Subject::file(&at), known.as_ref().map(current)).into()),
            }
        }
        Ok(if unhashed.is_empty() { Pinned::AsTheyWere(files) } else { Pinned::Unhashed(unhashed) })
    }

    /// Which version a file in a folder is whose mutex is held; `None` where no file is.
    fn identify_inside(&self, path: &SharePath, effort: Effort, now: Timestamp) -> Outcome<Option<Identity>> {
        let disk = self.tree.disk();
        match self.tree.steadily_beside(path, || disk.open_path(&disk.root()?, path.as_bytes())) {
            Ok(Opened::File(file, status)) => Ok(Some(self.identify(path, &file, &status, effort, now)?)),
            Ok(_) => Ok(None),
            Err(error) if matches!(error.cause, Cause::NotFound | Cause::NotADirectory | Cause::Escapes) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The files in a folder whose content has to be known to judge the locks that were submitted for them.
    pub(super) fn pinned_contents_inside(
        &self,
        path: &SharePath,
        precondition: &Precondition,
        now: Timestamp,
    ) -> Vec<SharePath> {
        let mut pins = self.pins_inside(path, precondition, now);
        pins.retain(|(_, pin)| matches!(pin.form(), TagForm::Content(_)));
        pins.into_iter().map(|(at, _)| at).collect()
    }

    fn pins_inside(
        &self,
        path: &SharePath,
        precondition: &Precondition,
        now: Timestamp,
    ) -> Vec<(SharePath, EntityTag)> {
        if !precondition.submitted().has_tokens() {
            return Vec::new();
        }
        self.follow_pins(path, now);
        self.table_about(path).pins_inside(path, precondition.submitted(), now)
    }

    /// The locks, as far as a path is concerned: what is at it, above and below it goes by the path that the disk has now. Another program may
    /// have written a name in another way, which the disk takes for the same.
    fn table_about(&self, path: &SharePath) -> MutexGuard<'_, Locks> {
        let alike = self.locks.table().spelt_otherwise(path);
        for lock in alike {
            if let Ok(root) = self.spelled(&lock.root)
                && *root != lock.root
            {
                self.change_lock(|table| table.respell(&lock.token, &root));
            }
        }
        self.locks.table()
    }

    /// As [`Share::table_about`], for what locks above have pinned.
    fn follow_pins(&self, path: &SharePath, now: Timestamp) {
        let alike = self.table_about(path).pins_spelt_otherwise(path, now);
        for (token, pinned) in alike {
            if let Ok(spelling) = self.spelled(&pinned)
                && *spelling != pinned
            {
                self.change_lock(|table| table.respell_pin(&token, &pinned, &spelling, now));
            }
        }
    }

    /// Whether the content of a file has to be known to judge the locks that were submitted for it.
    pub(super) fn pins_ask_for_content(&self, path: &SharePath, precondition: &Precondition, now: Timestamp) -> bool {
        self.pins(path, precondition, now).iter().any(|pin| matches!(pin.form(), TagForm::Content(_)))
    }

    /// After a change that was made with them, the locks on a path are pinned to the new version: those on a folder above it, too. They are to
    /// none where it has no tag, or none that is known.
    pub(super) fn repin(&self, path: &SharePath, precondition: &Precondition, tag: Option<&EntityTag>, now: Timestamp) {
        let tokens: Vec<_> = self.submitted_on(path, precondition, now).iter().map(|lock| lock.token.clone()).collect();
        for token in tokens {
            self.change_lock(|table| table.pin(&token, path, tag.cloned(), now));
        }
    }

    /// Locks end where their root is no more (RFC 4918 §6.1), and what was pinned there is none of those above any more.
    pub(super) fn drop_locks_in(&self, path: &SharePath, now: Timestamp) {
        let mut table = self.table_about(path);
        table.unpin(path, true, now).iter().for_each(|lock| self.note(lock));
        table.remove_tree(path).iter().for_each(|lock| self.note_gone(&lock.token));
    }

    /// Locks end in what was replaced, and pins; one on its very name stays, since the name does.
    pub(super) fn drop_locks_below(&self, path: &SharePath, now: Timestamp) {
        let mut table = self.table_about(path);
        table.unpin(path, false, now).iter().for_each(|lock| self.note(lock));
        for lock in table.at_or_below(path, now).into_iter().filter(|lock| lock.root != *path) {
            table.remove(&lock.token);
            self.note_gone(&lock.token);
        }
    }

    /// Forgets the locks that have expired.
    pub(super) fn expire_locks(&self, now: Timestamp) {
        let mut table = self.locks.table();
        table.expire(now).iter().for_each(|lock| self.note_gone(&lock.token));
    }

    fn add_lock(
        &self,
        path: &SharePath,
        wish: LockWish,
        precondition: &Precondition,
        now: Timestamp,
    ) -> Outcome<Arc<Lock>> {
        self.expire_locks(now);
        let LockWish { token, scope, reach, owner, timeout } = wish;
        let timeout = Some(timeout.map_or(FIRST_GRANT_MAX, |asked| asked.min(FIRST_GRANT_MAX)));
        let (root, client) = (path.clone(), precondition.submitted().client().clone());
        let lock = Lock {
            token,
            root,
            scope,
            reach,
            owner,
            holder: client.principal,
            taken_from: client.address,
            timeout,
            expires: expiry(timeout, now),
            pin: None,
            pins_below: Pins::default(),
        };
        for _ in 0..TRIES_MAX {
            let added = self.table_about(path).add(lock.clone(), now);
            let added = added.map_err(|why| {
                Stop::from(match why {
                    NotAdded::Conflict(conflict) => self.conflict(&conflict),
                    NotAdded::LongOwner => Refusal::LongOwner,
                    NotAdded::Full | NotAdded::FullForAddress | NotAdded::KnownToken => Refusal::TooManyLocks,
                })
            })?;
            if !self.locks.changes.wait_for_those_begun(CHANGES_WAIT) {
                self.drop_lock(&added.token);
                return Err(Refusal::Overloaded.into());
            }
            // A change that began before may have ended it with what was there.
            if self.locks.table().named(&added.token, now).is_some() {
                return Ok(added);
            }
        }
        Err(Refusal::ChangedMeanwhile.into())
    }

    /// What the lock is pinned to, and whether it was made for it. The conditions of the request hold for that very version, which may have come
    /// since they were judged first.
    fn make_and_identify(
        &self,
        path: &SharePath,
        lock: &Lock,
        precondition: &Precondition,
        now: Timestamp,
    ) -> Outcome<(Option<EntityTag>, bool)> {
        let submitted = precondition.submitted().and(&lock.token);
        let mine = precondition.clone().with_submitted(submitted);
        let creates = mine.clone().that_only_creates();
        for _ in 0..TRIES_MAX {
            let Looked { claim, seen, .. } = self.look_and_judge(path, &mine, Deed::Lock, now)?;
            match seen {
                Seen::Collection(_) => return Ok((None, false)),
                Seen::Nothing => {
                    drop(claim);
                    match self.put_nothing(path, &creates, now) {
                        Err(stop) if stop.is_failed_precondition() => continue,
                        stored => return Ok((Some(stored?), true)),
                    }
                }
                Seen::File(file) => {
                    let mut known = self.identify_seen(path, &file, Effort::HashSmall, now)?;
                    if known.validators.shown.is_weak() {
                        known = self.identify_seen(path, &file, Effort::Hash, now)?;
                    }
                    return if known.validators.shown.is_weak() {
                        Err(Refusal::OpenForWriting.into())
                    } else {
                        Ok((Some(known.validators.shown), false))
                    };
                }
                Seen::Busy(_) => return Err(Refusal::OpenForWriting.into()),
                Seen::Link | Seen::Special => return Err(Refusal::NotFound.into()),
            }
        }
        Err(Refusal::ChangedMeanwhile.into())
    }

    /// Makes an empty file.
    fn put_nothing(&self, path: &SharePath, precondition: &Precondition, now: Timestamp) -> Outcome<EntityTag> {
        let site = self.tree.site(path).map_err(|error| self.stop(error, Refusal::NoParent))?;
        let Some(site) = site else { return Err(Refusal::IsCollection.into()) };
        let staged = self.begin_staging(&site, path, now)?;
        let mut staged = staged.seal(None, self.next_date(path, None, now))?;
        let storing = Storing { deed: Deed::Put, dating: Dating::Ours, notes: &self.notes_of_a_file(path) };
        let stored = self.put_staged(path, &mut staged, &storing, precondition, now);
        let stored = stored.map_err(Stop::of_an_arrival)?;
        self.changed(path, now);
        Ok(stored.tag)
    }

    fn submitted_on(&self, path: &SharePath, precondition: &Precondition, now: Timestamp) -> Vec<Arc<Lock>> {
        if !precondition.submitted().has_tokens() {
            return Vec::new();
        }
        self.follow_pins(path, now);
        let covering = self.locks_covering(path, now);
        covering.into_iter().filter(|lock| precondition.submitted().holds(lock)).collect()
    }

    /// Whether a lock that was submitted was taken on a version of what is at a path.
    pub(super) fn is_pinned(&self, path: &SharePath, precondition: &Precondition, now: Timestamp) -> bool {
        !self.pins(path, precondition, now).is_empty()
    }

    fn pins(&self, path: &SharePath, precondition: &Precondition, now: Timestamp) -> Vec<EntityTag> {
        self.submitted_on(path, precondition, now).iter().filter_map(|lock| lock.pin_of(path).cloned()).collect()
    }

    fn conflict(&self, conflict: &Conflict) -> Refusal {
        let root = self.root_of(conflict.lock());
        match conflict {
            Conflict::Covers(_) => Refusal::LockConflict { with: root, inside: false },
            Conflict::Inside(_) => Refusal::LockConflict { with: root, inside: true },
        }
    }

    fn roots(&self, locks: &[Arc<Lock>]) -> Vec<LockRoot> {
        let mut roots: Vec<&SharePath> = locks.iter().map(|lock| &lock.root).collect();
        roots.dedup();
        let told = roots.into_iter().take(ROOTS_TOLD_MAX);
        told.map(|root| self.root_at(root)).collect()
    }

    /// The root of a lock, for an answer.
    pub fn root_of(&self, lock: &Lock) -> LockRoot {
        self.root_at(&lock.root)
    }

    fn root_at(&self, root: &SharePath) -> LockRoot {
        let there = self.status_of(root).ok().flatten();
        LockRoot { path: root.clone(), is_collection: there.is_some_and(|status| status.kind == Kind::Dir) }
    }

    /// Changes a lock, and notes what has become of it before anybody else changes it: a lock that was given back is not noted after that.
    fn change_lock(&self, change: impl FnOnce(&mut Locks) -> Option<Arc<Lock>>) -> Option<Arc<Lock>> {
        let mut table = self.locks.table();
        change(&mut table).inspect(|lock| self.note(lock))
    }

    fn drop_lock(&self, token: &LockToken) {
        let mut table = self.locks.table();
        table.remove(token);
        self.note_gone(token);
    }

    /// Notes a lock as it is. The table is held meanwhile.
    fn note(&self, lock: &Lock) {
        self.index.note_lock(lock.token.as_str(), Some(lock.to_bytes().into()));
    }

    fn note_gone(&self, token: &LockToken) {
        self.index.note_lock(token.as_str(), None);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::SystemTime;

    use super::*;
    use crate::share::Settings;
    use crate::store::index::Index;
    use crate::store::os_disk::{Options, OsDisk};

    fn now() -> Timestamp {
        Timestamp::from_system(SystemTime::now())
    }

    fn path(text: &str) -> SharePath {
        SharePath::parse_disk(text.as_bytes()).expect(text)
    }

    fn tokens(locks: &[Arc<Lock>]) -> Vec<&str> {
        locks.iter().map(|lock| lock.token.as_str()).collect()
    }

    /// Locks `a` while a change is under way that was judged before, and calls `meanwhile` when the lock waits for that to end.
    fn lock_beside_a_change(meanwhile: impl FnOnce(&Share)) -> (Outcome<Taken>, Vec<Arc<Lock>>) {
        let folder = tempfile::tempdir().expect("a folder");
        ["a", "b"].iter().for_each(|name| std::fs::write(folder.path().join(name), "text").expect("written"));
        let disk = OsDisk::open(folder.path(), Options::default()).expect("a disk");
        let share = Share::open(Arc::new(disk), Index::in_memory(), Settings::default(), now()).expect("a share");
        let (token, scope, reach) = (LockToken::from_random([1; 16]), Scope::Exclusive, Reach::Itself);
        let wish = LockWish { token, scope, reach, owner: None, timeout: None };
        let taken = thread::scope(|scope| {
            let change = share.locks.begin_change();
            let locking = scope.spawn(|| share.lock(&path("a"), wish, &Precondition::default(), now()));
            while share.locks_on(&path("a"), now()).is_empty() {
                thread::yield_now();
            }
            meanwhile(&share);
            assert!(!locking.is_finished(), "a change is under way that does not know of the lock");
            drop(change);
            locking.join().expect("no panic")
        });
        (taken, share.locks_on(&path("a"), now()))
    }

    /// A lock waits until all changes have ended that were judged without it. Nobody waits for the lock.
    #[test]
    fn a_lock_waits_for_changes_and_no_change_for_a_lock() {
        let (taken, there) = lock_beside_a_change(|share| {
            let plain = Precondition::default();
            let refused = share.delete(&path("a"), &plain, now()).expect_err("it is locked");
            assert!(matches!(refused, Stop::Refusal(Refusal::Locked { .. })), "{refused:?}");
            share.delete(&path("b"), &plain, now()).expect("it is not");
        });
        assert_eq!(tokens(&there), tokens(&[taken.expect("locked").lock]));
    }

    /// A change that began before may take away what was locked, and the locks with it: the lock is one on what is there afterwards.
    #[test]
    fn a_lock_outlives_changes_that_began_before_it() {
        let (taken, there) = lock_beside_a_change(|share| share.drop_locks_in(&path("a"), now()));
        assert_eq!(tokens(&there), tokens(&[taken.expect("locked").lock]));
    }
}
