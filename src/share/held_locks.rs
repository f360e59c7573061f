//! The locks that are held: found by the paths that the disk has now, noted so that they outlive the process, and what they ask of every change
//! (RFC 4918 §7).

use std::sync::Arc;

use parking_lot::MutexGuard;

use crate::model::lock::{Lock, expiry};
use crate::model::lock_table::{Locks, Touches};
use crate::model::lock_token::LockToken;
use crate::model::path::SharePath;
use crate::model::stamp::Timestamp;
use crate::model::tag::EntityTag;
use crate::store::status::Kind;

use super::outcome::{LockRoot, Outcome, Refusal};
use super::request_context::RequestContext;
use super::shared_folder::Share;

/// How many locked things an answer names: who asks needs one, and each has to be looked for on the disk.
const ROOTS_TOLD_MAX: usize = 100;

impl Share {
    /// Takes up the locks that an earlier process remembered.
    pub(super) fn load_locks(&self, now: Timestamp) -> Outcome<()> {
        let remembered: Vec<Lock> = self.index.load_locks()?;
        let mut table = self.locks.table();
        for mut lock in remembered {
            let token = lock.token.clone();
            // The clock may have been set back since.
            lock.expires = lock.expires.min(expiry(lock.timeout, now));
            if !lock.is_live(now) || table.add(lock, now).is_err() {
                self.note_gone(&token);
            }
        }
        Ok(())
    }

    /// Whether there is any lock.
    pub fn has_locks(&self) -> bool {
        !self.locks.table().is_empty()
    }

    /// Whether there is any lock. Those that concern a path, or what is below it, are looked for from now on by the paths that the disk has.
    pub fn has_locks_about(&self, path: &SharePath) -> bool {
        !self.table_about(path).is_empty()
    }

    /// The locks that cover a path, as [`Share::place_of`] has it, and of which the client may know. [`Share::has_locks_about`] comes before.
    pub fn locks_on(&self, path: &SharePath, request: &RequestContext) -> Vec<Arc<Lock>> {
        let mut covering = self.locks.table().covering(path, request.now);
        covering.retain(|lock| request.permissions.at(&lock.root).see());
        covering
    }

    /// As [`Share::locks_on`], for one path alone.
    pub(super) fn locks_covering(&self, path: &SharePath, now: Timestamp) -> Vec<Arc<Lock>> {
        self.table_about(path).covering(path, now)
    }

    /// Judges what the locks ask of a change: the tokens of those in its way, and that what is there is what they were taken on.
    pub(super) fn judge_locks(&self, path: &SharePath, request: &RequestContext, touches: Touches) -> Outcome<()> {
        let missing =
            self.table_about(path).missing_for(path, touches, &request.tokens, request.principal(), request.now);
        if missing.is_empty() { Ok(()) } else { Err(Refusal::Locked { by: self.roots(&missing) }.into()) }
    }

    pub(super) fn submitted_on(&self, path: &SharePath, request: &RequestContext) -> Vec<Arc<Lock>> {
        if !request.has_tokens() {
            return Vec::new();
        }
        self.follow_pins(path, request.now);
        let covering = self.locks_covering(path, request.now);
        covering.into_iter().filter(|lock| request.holds(lock)).collect()
    }

    /// The root of a lock, for an answer.
    pub fn root_of(&self, lock: &Lock) -> LockRoot {
        self.root_at(&lock.root)
    }

    fn root_at(&self, root: &SharePath) -> LockRoot {
        let there = self.status_of(root).ok().flatten();
        LockRoot { path: root.clone(), is_collection: there.is_some_and(|status| status.kind == Kind::Dir) }
    }

    fn roots(&self, locks: &[Arc<Lock>]) -> Vec<LockRoot> {
        let mut roots: Vec<&SharePath> = locks.iter().map(|lock| &lock.root).collect();
        roots.dedup();
        let told = roots.into_iter().take(ROOTS_TOLD_MAX);
        told.map(|root| self.root_at(root)).collect()
    }

    /// After a change that was made with them, the locks on a path are pinned to the new version: those on a folder above it, too. They are to
    /// none where it has no tag, or none that is known.
    pub(super) fn repin(&self, path: &SharePath, request: &RequestContext, tag: Option<&EntityTag>) {
        let tokens: Vec<_> = self.submitted_on(path, request).iter().map(|lock| lock.token.clone()).collect();
        for token in tokens {
            self.change_lock(|table| table.pin(&token, path, tag.cloned(), request.now));
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
        let expired = {
            let mut table = self.locks.table();
            let expired = table.expire(now);
            expired.iter().for_each(|lock| self.note_gone(&lock.token));
            expired
        };
        expired.iter().for_each(|lock| self.tell_lock(&lock.root, None, now));
    }

    /// The locks, as far as a path is concerned: what is at it, above and below it goes by the path that the disk has now. Another program may
    /// have written a name in another way, which the disk takes for the same.
    pub(super) fn table_about(&self, path: &SharePath) -> MutexGuard<'_, Locks> {
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
    pub(super) fn follow_pins(&self, path: &SharePath, now: Timestamp) {
        let alike = self.table_about(path).pins_spelt_otherwise(path, now);
        for (token, pinned) in alike {
            if let Ok(spelling) = self.spelled(&pinned)
                && *spelling != pinned
            {
                self.change_lock(|table| table.respell_pin(&token, &pinned, &spelling, now));
            }
        }
    }

    /// Changes a lock, and notes what has become of it before anybody else changes it: a lock that was given back is not noted after that.
    pub(super) fn change_lock(&self, change: impl FnOnce(&mut Locks) -> Option<Arc<Lock>>) -> Option<Arc<Lock>> {
        let mut table = self.locks.table();
        change(&mut table).inspect(|lock| self.note(lock))
    }

    pub(super) fn drop_lock(&self, token: &LockToken) {
        let mut table = self.locks.table();
        table.remove(token);
        self.note_gone(token);
    }

    /// Notes a lock as it is. The table is held meanwhile.
    pub(super) fn note(&self, lock: &Lock) {
        self.index.note_lock(lock.token.as_str(), Some(lock));
    }

    fn note_gone(&self, token: &LockToken) {
        self.index.note_lock(token.as_str(), None::<&Lock>);
    }
}
