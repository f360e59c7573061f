//! Which version a file is: its hash where it is known or cheap to know, its stamp where that is quiet and settled.
//!
//! A tag is chosen when a version is first shown, and stays. What is remembered is believed only for exactly the stamp it was
//! remembered for, and nothing is remembered of a file that somebody may be writing.

use std::time::Duration;

use crate::model::content_hash::ContentHash;
use crate::model::dating::{VersionDate, told};
use crate::model::path::SharePath;
use crate::model::stamp::{Stamp, Timestamp};
use crate::model::tag::EntityTag;
use crate::model::validators::Validators;
use crate::store::catalog::remembered::{DateKnown, Remembered, ShownForm};
use crate::store::disk_error::Result;
use crate::store::handle::File;
use crate::store::lease::Leased;
use crate::store::local::commit::{Changed, SeenFile};
use crate::store::local::staging::Staged;
use crate::store::status::Status;

use super::outcome::Current;
use super::shared_folder::Share;

/// The grain of a clock that ticks: it is waited out. One that is coarser is not.
const TICK_MAX: Duration = Duration::from_millis(10);

/// How long it takes to be past a tick, after its grain.
const TICK_OVER: Duration = Duration::from_millis(1);

/// After so long a tick is over whatever the disk's clock says.
const LONG_SETTLED: Duration = Duration::from_secs(1);

/// How much may be done to know the content of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Nothing is read.
    Recall,
    /// A small file is hashed.
    HashSmall,
    /// The file is hashed whatever its size.
    Hash,
}

/// On whose time a large file is hashed.
#[derive(Clone, Copy)]
enum Hasher<'a> {
    /// On that of the request that needs it, if only few do so now.
    TheRequest,
    /// On a thread that is there for it, for as long as somebody wants it.
    While(&'a dyn Fn() -> bool),
}

/// What is known of a file in one state.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The state.
    pub stamp: Stamp,
    /// What identifies it.
    pub validators: Validators,
    /// The hash of its content, if it is known.
    pub hash: Option<ContentHash>,
    /// Whether a program has it open for writing.
    pub is_busy: bool,
}

impl Identity {
    /// Whether its stamp was settled before its content was read: what changes it from then on shows in the stamp.
    pub fn is_settled(&self) -> bool {
        self.validators.stamp.is_some()
    }

    /// What is there now, for a client that was refused.
    pub fn current(&self) -> Current {
        let modified = told(self.stamp.mtime, Timestamp::new(self.validators.date.now, 0));
        Current { tag: self.validators.shown.clone(), modified, size: self.stamp.size }
    }
}

impl Share {
    /// Identifies the open file at a path. Asks for a lease only if nothing is remembered of it.
    pub(super) fn identify(
        &self,
        path: &SharePath,
        file: &File,
        status: &Status,
        effort: Effort,
        now: Timestamp,
    ) -> Result<Identity> {
        self.identify_patiently(path, file, status, effort, Duration::ZERO, now)
    }

    /// As [`Share::identify`], but waits for a program that has the file open for writing.
    pub(super) fn identify_patiently(
        &self,
        path: &SharePath,
        file: &File,
        status: &Status,
        effort: Effort,
        patience: Duration,
        now: Timestamp,
    ) -> Result<Identity> {
        self.identify_with(path, file, status, (effort, Hasher::TheRequest), patience, now)
    }

    /// Hashes a file whatever its size, for as long as it is wanted.
    pub(super) fn identify_while_wanted(
        &self,
        path: &SharePath,
        file: &File,
        status: &Status,
        is_wanted: &dyn Fn() -> bool,
        now: Timestamp,
    ) -> Result<Identity> {
        self.identify_with(path, file, status, (Effort::Hash, Hasher::While(is_wanted)), Duration::ZERO, now)
    }

    fn identify_with(
        &self,
        path: &SharePath,
        file: &File,
        status: &Status,
        (effort, hasher): (Effort, Hasher<'_>),
        patience: Duration,
        now: Timestamp,
    ) -> Result<Identity> {
        if let Some(known) = self.recall(path, &status.stamp, effort, now) {
            return Ok(known);
        }
        let lease = match self.tree.lease(file, patience)? {
            Leased::Busy => return Ok(Identity { is_busy: true, ..self.being_written(path, &status.stamp, now) }),
            Leased::Held(lease) => Some(lease),
            Leased::Unavailable => None,
        };
        let status = self.tree.status(file)?;
        let is_unbroken = || lease.as_ref().is_none_or(|lease| lease.is_unbroken());
        self.find_out(path, file, &status.stamp, (effort, hasher), now, is_unbroken)
    }

    /// Identifies a file on which the commit holds a lease.
    pub(super) fn identify_seen(
        &self,
        path: &SharePath,
        seen: &SeenFile,
        effort: Effort,
        now: Timestamp,
    ) -> Result<Identity> {
        if let Some(known) = self.recall(path, &seen.status.stamp, effort, now) {
            return Ok(known);
        }
        self.find_out(path, &seen.file, &seen.status.stamp, (effort, Hasher::TheRequest), now, || seen.is_unbroken())
    }

    /// Identifies a version in the history: nothing comes to its name any more.
    pub(super) fn identify_version(
        &self,
        path: &SharePath,
        file: &File,
        status: &Status,
        now: Timestamp,
    ) -> Result<Identity> {
        let mut identity = self.identify(path, file, status, Effort::HashSmall, now)?;
        identity.validators.date.is_exact = true;
        Ok(identity)
    }

    /// What is remembered of a file in this state, if it is enough.
    pub(super) fn recall(&self, path: &SharePath, stamp: &Stamp, effort: Effort, now: Timestamp) -> Option<Identity> {
        self.enough(path, stamp, self.index.recall(stamp)?, effort, now)
    }

    /// As [`Share::recall`], without the disk.
    pub(super) fn recall_now(
        &self,
        path: &SharePath,
        stamp: &Stamp,
        effort: Effort,
        now: Timestamp,
    ) -> Option<Identity> {
        self.enough(path, stamp, self.index.recall_now(stamp)?, effort, now)
    }

    fn enough(
        &self,
        path: &SharePath,
        stamp: &Stamp,
        known: Remembered,
        effort: Effort,
        now: Timestamp,
    ) -> Option<Identity> {
        let is_enough = effort != Effort::Hash || known.hash.is_some();
        is_enough.then(|| self.identity(path, stamp, &known, now))
    }

    /// The tag of a file in this state, if it is remembered.
    pub(super) fn recall_tag(&self, stamp: &Stamp) -> Option<EntityTag> {
        Some(shown(stamp, &self.index.recall(stamp)?))
    }

    /// Remembers an upload that has become the file at its name: under the mutex, and before any reader of the name goes on, so that
    /// nobody shows another tag for it first.
    ///
    /// What is small is hashed again until its stamp is settled. A large one is waited for where the clock ticks; where that would take too
    /// long its hash is remembered to be confirmed.
    pub(super) fn remember_upload(&self, path: &SharePath, changed: &Changed<'_>, staged: &Staged, date: DateKnown) {
        let Some(stamp) = changed.stamp else { return };
        if stamp.size > self.settings.tag_threshold {
            self.let_tick(path);
        }
        let is_settled = self.is_settled(path, &stamp, Timestamp::default()).unwrap_or(false) && changed.is_unbroken();
        let hash = Some(*staged.hash());
        self.index.remember(Remembered { stamp, hash, shown: ShownForm::Content, date, is_settled });
    }

    /// What was remembered of a file in one state is remembered of it in another, which its content did not change with.
    pub(super) fn remember_in(
        &self,
        path: &SharePath,
        stamp: Stamp,
        date: DateKnown,
        known: &Remembered,
        is_calm: impl Fn() -> bool,
    ) {
        let is_large = stamp.size > self.settings.tag_threshold;
        if known.hash.is_none() || is_large {
            self.let_tick(path);
        }
        // What was never hashed cannot be confirmed. A write would have moved its date, which lies apart from the clock's time.
        let is_apart = || known.hash.is_none() && self.is_dated_apart(path, stamp.mtime).unwrap_or(false);
        let is_past = self.is_settled(path, &stamp, Timestamp::default()).unwrap_or(false) || is_apart();
        let is_settled = known.is_settled && is_past && is_calm();
        if is_settled || known.hash.is_some() {
            self.index.remember(Remembered { stamp, date, is_settled, ..*known });
        }
    }

    fn find_out(
        &self,
        path: &SharePath,
        file: &File,
        stamp: &Stamp,
        (effort, hasher): (Effort, Hasher<'_>),
        now: Timestamp,
        is_unbroken: impl Fn() -> bool,
    ) -> Result<Identity> {
        // Another request may have found it out meanwhile: the tag that it was shown with is the one that stays.
        if let Some(known) = self.recall(path, stamp, effort, now) {
            return Ok(known);
        }
        let before = self.index.recall_unsettled(stamp).or_else(|| self.index.recall_unconfirmed(stamp));
        let is_to_be_confirmed = before.is_some_and(|before| !before.is_settled);
        let is_large = stamp.size > self.settings.tag_threshold;
        if is_large && effort != Effort::Recall {
            self.let_tick_after(path, stamp, now)?;
        }
        // Before anything is read: what is written from now on shows.
        let is_settled = before.is_some_and(|before| before.is_settled) || self.is_settled(path, stamp, now)?;
        let hashes = match effort {
            // Without its hash nothing could be said of it but that it may be being written.
            Effort::Recall => is_to_be_confirmed || !(is_settled || is_large),
            Effort::HashSmall => is_to_be_confirmed || !is_large,
            Effort::Hash => true,
        };
        let hash = if hashes { Some(self.hash_bytes(file, stamp, hasher, &is_unbroken)?) } else { None };
        let unchanged = self.tree.status(file)?.stamp == *stamp && is_unbroken();
        let hash = match hash {
            Some(None) => return Ok(self.being_written(path, stamp, now)),
            Some(Some(hash)) if unchanged => Some(hash),
            None if unchanged => None,
            _ => return Ok(self.being_written(path, stamp, now)),
        };
        let (shown, date) = match (before, hash) {
            // Somebody has written in the very instant after: another version of the same date.
            (Some(before), Some(hash)) if is_to_be_confirmed && before.hash != Some(hash) => {
                (ShownForm::Content, DateKnown::Shared)
            }
            (Some(before), Some(_)) => (before.shown, before.date),
            (Some(before), None) if before.is_settled => (before.shown, before.date),
            (None, Some(_)) => (ShownForm::Content, DateKnown::Unknown),
            (None, None) if is_settled => (ShownForm::Stamp(stamp.digest()), DateKnown::Unknown),
            (_, None) => return Ok(self.being_written(path, stamp, now)),
        };
        let known = Remembered { stamp: *stamp, hash, shown, date, is_settled };
        if before != Some(known) {
            self.index.remember(known);
        }
        let mut identity = self.identity(path, stamp, &known, now);
        if !is_settled {
            identity.validators.stamp = None;
        }
        Ok(identity)
    }

    /// Which version a file in this state is, whose content was read just now.
    pub(super) fn identity_with_hash(
        &self,
        path: &SharePath,
        stamp: &Stamp,
        hash: &ContentHash,
        now: Timestamp,
    ) -> Identity {
        let (shown, date) = (ShownForm::Content, DateKnown::Unknown);
        let unknown = Remembered { stamp: *stamp, hash: None, shown, date, is_settled: false };
        let known = self.index.recall(stamp).unwrap_or(unknown);
        self.identity(path, stamp, &Remembered { hash: Some(*hash), ..known }, now)
    }

    fn identity(&self, path: &SharePath, stamp: &Stamp, known: &Remembered, now: Timestamp) -> Identity {
        let validators = Validators {
            shown: shown(stamp, known),
            content: known.hash.map(|hash| hash.short()),
            stamp: Some(stamp.digest()),
            date: self.date_of(path, stamp, known.date, now),
        };
        Identity { stamp: *stamp, validators, hash: known.hash, is_busy: false }
    }

    /// Somebody is writing the file, or may be: no If-Match can name what is there.
    fn being_written(&self, path: &SharePath, stamp: &Stamp, now: Timestamp) -> Identity {
        self.tell_date(path, stamp, now);
        let date = VersionDate::unknown(stamp.mtime, now);
        let validators = Validators { shown: EntityTag::of_unsettled(stamp), content: None, stamp: None, date };
        Identity { stamp: *stamp, validators, hash: None, is_busy: false }
    }

    /// `None` if somebody began to write meanwhile, who is not to be kept waiting, if nobody wants it any more, or if the server stops.
    fn hash_bytes(
        &self,
        file: &File,
        stamp: &Stamp,
        hasher: Hasher<'_>,
        is_unbroken: &impl Fn() -> bool,
    ) -> Result<Option<ContentHash>> {
        let (_slot, is_wanted): (_, &dyn Fn() -> bool) = match hasher {
            Hasher::TheRequest if self.is_large(stamp) => (Some(self.hashing.take()?), &|| true),
            Hasher::TheRequest => (None, &|| true),
            Hasher::While(is_wanted) => (None, is_wanted),
        };
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; (128 << 10).min(stamp.size.max(1) as usize)];
        let mut offset = 0;
        loop {
            let count = self.tree.read(file, offset, &mut buffer)?;
            if count == 0 {
                return Ok(Some(ContentHash::finish(&hasher)));
            }
            hasher.update(&buffer[..count]);
            offset += count as u64;
            if offset.is_multiple_of(1 << 20) && !(is_unbroken() && is_wanted() && !self.is_stopping()) {
                return Ok(None);
            }
        }
    }

    /// Whether a change made from now on would show in the stamp. It has to be asked before what the stamp is to stand for is read.
    pub fn is_settled(&self, path: &SharePath, stamp: &Stamp, now: Timestamp) -> Result<bool> {
        let grain = self.tree.time_grain(path);
        if grain.is_zero() {
            return Ok(true);
        }
        // Where the clock ticks it is that of this machine, and every change moves the ctime. Others have no ctime but what the mtime was.
        let last = if grain <= TICK_MAX { stamp.ctime } else { stamp.ctime.max(stamp.mtime) };
        if grain <= TICK_MAX && now.since(last) > LONG_SETTLED {
            return Ok(true);
        }
        let clock = self.tree.clock(path)?;
        Ok(clock.since(last.min(clock)) > grain)
    }

    /// Waits until what has just been changed is settled, where the disk's clock ticks.
    fn let_tick(&self, path: &SharePath) {
        let grain = self.tree.time_grain(path);
        if !grain.is_zero() && grain <= TICK_MAX {
            self.tree.wait(grain + TICK_OVER);
        }
    }

    fn let_tick_after(&self, path: &SharePath, stamp: &Stamp, now: Timestamp) -> Result<()> {
        if !self.is_settled(path, stamp, now)? {
            self.let_tick(path);
        }
        Ok(())
    }

    /// Whether a write made from now on would show in this modification time.
    fn is_dated_apart(&self, path: &SharePath, mtime: Timestamp) -> Result<bool> {
        let grain = self.tree.time_grain(path);
        Ok(grain.is_zero() || {
            let clock = self.tree.clock(path)?;
            mtime > clock || clock.since(mtime) > grain
        })
    }
}

/// The tag that a version was first shown with, and is shown with ever after.
pub(super) fn shown(stamp: &Stamp, known: &Remembered) -> EntityTag {
    match (known.shown, &known.hash) {
        (ShownForm::Content, Some(hash)) => EntityTag::of_content(hash),
        (ShownForm::Stamp(digest), _) => EntityTag::of_stamp_digest(&digest),
        (ShownForm::Content, None) => EntityTag::of_stamp(stamp),
    }
}
