//! Taking locks, refreshing them and giving them back (RFC 4918 §6).
//!
//! A lock pins the version on which it was taken. A change and a new lock never pass each other: from the moment the locks are judged until the
//! swap is done, none is added.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::model::extent::Extent;
use crate::model::lock::{Lock, Pins, Reach, Scope, expiry};
use crate::model::lock_table::{Conflict, NotAdded};
use crate::model::lock_token::LockToken;
use crate::model::path::SharePath;
use crate::model::principal::Principal;
use crate::model::stamp::Stamp;
use crate::model::tag::EntityTag;
use crate::model::verdict::Deed;
use crate::store::local::commit::Seen;

use super::dating::Dating;
use super::identity::Effort;
use super::judge::Looked;
use super::outcome::{Forbidden, Outcome, Refusal, Stop};
use super::request_context::RequestContext;
use super::shared_folder::Share;
use super::storing::Storing;

/// For how long a new lock is granted at most: a client that has gone, or takes locks for the sake of it, keeps others out no longer. Each
/// refresh may be granted twice as long as the grant before it. Some builds of Office never refresh theirs, so it is no shorter.
const FIRST_GRANT_MAX: Duration = Duration::from_secs(1800);

/// How often LOCK tries again when what it is for comes or goes meanwhile.
const TRIES_MAX: usize = 4;

/// How long LOCK waits for changes that began before. Nobody waits for LOCK.
const CHANGES_WAIT: Duration = Duration::from_secs(30);

/// What a client asks of a new lock.
#[derive(Clone, Debug)]
pub struct LockRequest {
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
pub struct TakenLock {
    /// The lock.
    pub lock: Arc<Lock>,
    /// Whether an empty file was made for it.
    pub created: bool,
}

impl Share {
    /// Locks what is at a path. Where nothing is, an empty file is made (RFC 4918 §7.3).
    pub fn lock(&self, path: &SharePath, wish: LockRequest, request: &RequestContext) -> Outcome<TakenLock> {
        let path = &*self.spelled(path)?;
        if path.is_root() && !self.settings.root_locks && *request.principal() == Principal::Anonymous {
            return Err(Refusal::NotAllowed(Forbidden::RootLock).into());
        }
        let deed = if wish.reach == Reach::Below { Deed::LockTree } else { Deed::Lock };
        if path.is_root() {
            drop(self.judge_root(request, deed)?);
        } else {
            drop(self.look_and_judge(path, request, deed)?);
        }
        let lock = self.add_lock(path, wish, request)?;
        let pinned = if path.is_root() { Ok((None, None)) } else { self.make_and_identify(path, &lock, request) };
        let (pin, made) = pinned.inspect_err(|_| self.drop_lock(&lock.token))?;
        let created = made.is_some();
        let root = if created { self.as_made(path) } else { Cow::Borrowed(path) };
        let pinned = self.change_lock(|table| {
            table.note_made(&lock.token, made, request.now)?;
            let pinned = table.pin(&lock.token, path, pin, request.now)?;
            if *root == *path { Some(pinned) } else { table.respell(&lock.token, &root) }
        });
        self.tell_lock(&root, Some(request), request.now);
        Ok(TakenLock { lock: pinned.unwrap_or(lock), created })
    }

    /// Grants a lock that covers a path more time.
    pub fn refresh_lock(
        &self,
        path: &SharePath,
        timeout: Option<Duration>,
        request: &RequestContext,
    ) -> Outcome<Arc<Lock>> {
        let path = &*self.spelled(path)?;
        let covering = self.locks_covering(path, request.now);
        let mut submitted = covering.iter().filter(|lock| request.holds(lock));
        let (Some(lock), None) = (submitted.next(), submitted.next()) else { return Err(Refusal::UnknownToken.into()) };
        judge_keeping(lock, request)?;
        self.judge_headers(path, request)?;
        self.judge_states_alone(path, request)?;
        let longest = lock.timeout.map_or(FIRST_GRANT_MAX, |before| before.saturating_mul(2));
        let timeout = Some(timeout.map_or(longest, |asked| asked.min(longest)));
        let refreshed = self.change_lock(|table| table.refresh(&lock.token, timeout, request.now));
        Ok(refreshed.ok_or(Refusal::UnknownToken)?)
    }

    /// Gives a lock back.
    pub fn unlock(&self, path: &SharePath, token: &LockToken, request: &RequestContext) -> Outcome<()> {
        let path = &*self.spelled(path)?;
        self.judge_headers(path, request)?;
        self.judge_states_alone(path, request)?;
        let lock = self.table_about(path).named(token, request.now).cloned().filter(|lock| lock.covers(path));
        let Some(lock) = lock else { return Err(Refusal::ForeignToken.into()) };
        if lock.holder != *request.principal() {
            return Err(Refusal::NotYours.into());
        }
        judge_keeping(&lock, request)?;
        self.drop_lock(token);
        self.tell_lock(&lock.root, Some(request), request.now);
        Ok(())
    }

    fn add_lock(&self, path: &SharePath, wish: LockRequest, request: &RequestContext) -> Outcome<Arc<Lock>> {
        self.expire_locks(request.now);
        let LockRequest { token, scope, reach, owner, timeout } = wish;
        let timeout = Some(timeout.map_or(FIRST_GRANT_MAX, |asked| asked.min(FIRST_GRANT_MAX)));
        let (root, client) = (path.clone(), request.client.clone());
        let lock = Lock {
            token,
            root,
            scope,
            reach,
            owner,
            holder: client.principal,
            taken_from: client.address,
            timeout,
            expires: expiry(timeout, request.now),
            pin: None,
            pins_below: Pins::default(),
            made: None,
        };
        for _ in 0..TRIES_MAX {
            let added = self.table_about(path).add(lock.clone(), request.now);
            let added = added.map_err(|why| {
                Stop::from(match why {
                    NotAdded::Conflict(conflict) => self.conflict(&conflict),
                    NotAdded::LongOwner => Refusal::LongOwner,
                    NotAdded::Full | NotAdded::FullForAddress | NotAdded::KnownToken => Refusal::TooManyLocks,
                })
            })?;
            if !self.locks.gate.wait_for_those_begun(CHANGES_WAIT) {
                self.drop_lock(&added.token);
                return Err(Refusal::Overloaded.into());
            }
            // A change that began before may have ended it with what was there.
            if self.locks.table().named(&added.token, request.now).is_some() {
                return Ok(added);
            }
        }
        Err(Refusal::ChangedMeanwhile.into())
    }

    /// What the lock is pinned to, and the state of the file that was made for it, if one was. The conditions of the request hold for that very
    /// version, which may have come since they were judged first.
    fn make_and_identify(
        &self,
        path: &SharePath,
        lock: &Lock,
        request: &RequestContext,
    ) -> Outcome<(Option<EntityTag>, Option<Stamp>)> {
        let mine = request.clone().with_token(&lock.token);
        let creates = mine.clone().that_only_creates();
        for _ in 0..TRIES_MAX {
            let Looked { claim, seen, .. } = self.look_and_judge(path, &mine, Deed::Lock)?;
            match seen {
                Seen::Collection(_) => return Ok((None, None)),
                Seen::Nothing => {
                    drop(claim);
                    match self.put_nothing(path, &creates) {
                        Err(stop) if stop.is_failed_precondition() => continue,
                        stored => {
                            let (tag, made) = stored?;
                            return Ok((Some(tag), Some(made)));
                        }
                    }
                }
                Seen::File(file) => {
                    let mut known = self.identify_seen(path, &file, Effort::HashSmall, request.now)?;
                    if known.validators.shown.is_weak() {
                        known = self.identify_seen(path, &file, Effort::Hash, request.now)?;
                    }
                    return if known.validators.shown.is_weak() {
                        Err(Refusal::OpenForWriting.into())
                    } else {
                        Ok((Some(known.validators.shown), None))
                    };
                }
                Seen::Busy(_) | Seen::Link | Seen::Special => unreachable!("the verdict has refused it"),
            }
        }
        Err(Refusal::ChangedMeanwhile.into())
    }

    /// Makes an empty file; gives its tag and its state.
    fn put_nothing(&self, path: &SharePath, request: &RequestContext) -> Outcome<(EntityTag, Stamp)> {
        let site = self.site_of_upload(path)?;
        let staged = self.stage(&site, request.now)?;
        let mut staged = staged.seal(None, self.next_date(path, None, request.now))?;
        let storing = Storing { deed: Deed::Put, dating: Dating::Ours, base: None, notes: &self.notes_of_a_file(path) };
        let stored = self.put_staged(&site, path, &mut staged, &storing, request);
        let stored = stored.map_err(Stop::of_an_arrival)?;
        self.tell_of_change(path, request.now);
        Ok((stored.tag, *staged.sealed()))
    }

    fn conflict(&self, conflict: &Conflict) -> Refusal {
        let root = self.root_of(conflict.lock());
        match conflict {
            Conflict::Covers(_) => Refusal::LockConflict { with: root, inside: false },
            Conflict::Inside(_) => Refusal::LockConflict { with: root, inside: true },
        }
    }
}

/// Whoever may not take a lock may not keep it either, nor give it back: rights change, and whoever asks without a name is one with all others.
fn judge_keeping(lock: &Lock, request: &RequestContext) -> Outcome<()> {
    let extent = if lock.reach == Reach::Below { Extent::Tree } else { Extent::Itself };
    if request.permissions.over(extent, &lock.root).contains(lock.needs()) {
        return Ok(());
    }
    Err(Refusal::NotPermitted.into())
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::SystemTime;

    use super::*;
    use crate::model::stamp::Timestamp;
    use crate::share::ShareSettings;
    use crate::store::catalog::index::Index;
    use crate::store::local::commit::Tree;
    use crate::store::local::os_disk::{Options, OsDisk};

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
    fn lock_beside_a_change(meanwhile: impl FnOnce(&Share)) -> (Outcome<TakenLock>, Vec<Arc<Lock>>) {
        let folder = tempfile::tempdir().expect("a folder");
        ["a", "b"].iter().for_each(|name| std::fs::write(folder.path().join(name), "text").expect("written"));
        let disk = OsDisk::open(folder.path(), Options::default()).expect("a disk");
        let share = Share::open(Tree::on(Arc::new(disk)), Index::in_memory(), ShareSettings::default(), now())
            .expect("a share");
        let (token, scope, reach) = (LockToken::from_random([1; 16]), Scope::Exclusive, Reach::Itself);
        let wish = LockRequest { token, scope, reach, owner: None, timeout: None };
        let taken = thread::scope(|scope| {
            let change = share.locks.begin_change();
            let locking = scope.spawn(|| share.lock(&path("a"), wish, &RequestContext::unconditional(now())));
            while share.locks_on(&path("a"), &RequestContext::unconditional(now())).is_empty() {
                thread::yield_now();
            }
            meanwhile(&share);
            assert!(!locking.is_finished(), "a change is under way that does not know of the lock");
            drop(change);
            locking.join().expect("no panic")
        });
        (taken, share.locks_on(&path("a"), &RequestContext::unconditional(now())))
    }

    /// A lock waits until all changes have ended that were judged without it. Nobody waits for the lock.
    #[test]
    fn a_lock_waits_for_changes_and_no_change_for_a_lock() {
        let (taken, there) = lock_beside_a_change(|share| {
            let plain = RequestContext::unconditional(now());
            let refused = share.delete(&path("a"), &plain).expect_err("it is locked");
            assert!(matches!(refused, Stop::Refusal(Refusal::Locked { .. })), "{refused:?}");
            share.delete(&path("b"), &plain).expect("it is not");
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
