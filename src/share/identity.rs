//! Which version a file is: its hash where it is known or cheap to know, its stamp where that is quiet and settled.
//!
//! A tag is chosen when a version is first shown, and stays. What is remembered is believed only for exactly the stamp it was
//! remembered for, and nothing is remembered of a file that somebody may be writing.

use std::time::Duration;

use crate::model::content_hash::ContentHash;
use crate::model::precondition::Validators;
use crate::model::stamp::{Stamp, Timestamp};
use crate::model::tag::EntityTag;
use crate::store::commit::{Changed, SeenFile, Swap};
use crate::store::disk::{File, Leased, Result, Status};
use crate::store::index::{DateKnown, Remembered, ShownForm};
use crate::store::staging::Staged;

use super::Share;

/// A date younger than this may be shared by another version that a program wrote in the same second.
const DATE_SETTLES: Duration = Duration::from_secs(2);

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

impl Share {
    /// Identifies an open file. Asks for a lease only if nothing is remembered of it.
    pub(super) fn identify(&self, file: &File, status: &Status, effort: Effort, now: Timestamp) -> Result<Identity> {
        self.identify_patiently(file, status, effort, Duration::ZERO, now)
    }

    /// As [`Share::identify`], but waits for a program that has the file open for writing.
    pub(super) fn identify_patiently(
        &self,
        file: &File,
        status: &Status,
        effort: Effort,
        patience: Duration,
        now: Timestamp,
    ) -> Result<Identity> {
        if let Some(known) = self.recall(&status.stamp, effort, now) {
            return Ok(known);
        }
        let disk = self.tree.disk();
        let lease = match disk.lease(file, patience)? {
            Leased::Busy => return Ok(Identity { is_busy: true, ..self.being_written(&status.stamp) }),
            Leased::Held(lease) => Some(lease),
            Leased::Unavailable => None,
        };
        let status = disk.status(file)?;
        let is_quiet = || lease.as_ref().is_none_or(|lease| lease.is_unbroken());
        self.find_out(file, &status.stamp, effort, now, is_quiet)
    }

    /// Identifies a file on which the commit holds a lease.
    pub(super) fn identify_seen(&self, seen: &SeenFile, effort: Effort, now: Timestamp) -> Result<Identity> {
        if let Some(known) = self.recall(&seen.status.stamp, effort, now) {
            return Ok(known);
        }
        self.find_out(&seen.file, &seen.status.stamp, effort, now, || seen.is_quiet())
    }

    /// What is remembered of a file in this state, if it is enough.
    pub(super) fn recall(&self, stamp: &Stamp, effort: Effort, now: Timestamp) -> Option<Identity> {
        let known = self.index.recall(stamp)?;
        let enough = effort != Effort::Hash || known.hash.is_some();
        enough.then(|| self.identity(stamp, &known, now))
    }

    /// The tag of a file in this state, if it is remembered.
    pub(super) fn recall_tag(&self, stamp: &Stamp) -> Option<EntityTag> {
        Some(shown(stamp, &self.index.recall(stamp)?))
    }

    /// Remembers an upload that has become the file at its name: under the mutex, and before any reader of the name goes on, so that
    /// nobody shows another tag for it first.
    pub(super) fn remember_upload(&self, swap: &Swap<'_>, staged: &Staged, date: DateKnown) {
        let Swap::Done(Changed { stamp: Some(stamp), .. }) = swap else { return };
        if self.is_settled(stamp).unwrap_or(false) {
            let hash = Some(*staged.hash());
            self.index.remember(Remembered { stamp: *stamp, hash, shown: ShownForm::Content, date });
        }
    }

    fn find_out(
        &self,
        file: &File,
        stamp: &Stamp,
        effort: Effort,
        now: Timestamp,
        is_quiet: impl Fn() -> bool,
    ) -> Result<Identity> {
        // Another request may have found it out meanwhile: the tag that it was shown with is the one that stays.
        if let Some(known) = self.recall(stamp, effort, now) {
            return Ok(known);
        }
        let before = self.index.recall(stamp);
        let hashes = match effort {
            Effort::Recall => false,
            Effort::HashSmall => stamp.size <= self.settings.tag_threshold,
            Effort::Hash => true,
        };
        let hash = if hashes { Some(self.hash(file, stamp.size, &is_quiet)?) } else { None };
        let unchanged = self.tree.disk().status(file)?.stamp == *stamp && is_quiet();
        let hash = match hash {
            Some(None) => return Ok(self.being_written(stamp)),
            Some(Some(hash)) if unchanged => Some(hash),
            None if unchanged => None,
            _ => return Ok(self.being_written(stamp)),
        };
        let is_settled = self.is_settled(stamp)?;
        let shown = match (before, hash) {
            (Some(before), _) => before.shown,
            (None, Some(_)) => ShownForm::Content,
            (None, None) if is_settled => ShownForm::Stamp(stamp.digest()),
            (None, None) => return Ok(self.being_written(stamp)),
        };
        let date = before.map_or(DateKnown::Unknown, |before| before.date);
        let known = Remembered { stamp: *stamp, hash, shown, date };
        if is_settled {
            self.index.remember(known);
        }
        let mut identity = self.identity(stamp, &known, now);
        if !is_settled {
            identity.validators.stamp = None;
        }
        Ok(identity)
    }

    /// Which version a file in this state is, whose content was read just now.
    pub(super) fn identity_with_hash(&self, stamp: &Stamp, hash: &ContentHash, now: Timestamp) -> Identity {
        let unknown = Remembered { stamp: *stamp, hash: None, shown: ShownForm::Content, date: DateKnown::Unknown };
        let known = self.index.recall(stamp).unwrap_or(unknown);
        self.identity(stamp, &Remembered { hash: Some(*hash), ..known }, now)
    }

    fn identity(&self, stamp: &Stamp, known: &Remembered, now: Timestamp) -> Identity {
        let date_is_exact = match known.date {
            DateKnown::Exact => true,
            DateKnown::Shared => false,
            DateKnown::Unknown => now.since(stamp.mtime) >= DATE_SETTLES,
        };
        let validators = Validators {
            shown: shown(stamp, known),
            content: known.hash.map(|hash| hash.short()),
            stamp: Some(stamp.digest()),
            modified: stamp.mtime,
            date_is_exact,
        };
        Identity { stamp: *stamp, validators, hash: known.hash, is_busy: false }
    }

    /// Somebody is writing the file, or may be: no If-Match can name what is there.
    fn being_written(&self, stamp: &Stamp) -> Identity {
        let validators = Validators {
            shown: EntityTag::of_unsettled(stamp),
            content: None,
            stamp: None,
            modified: stamp.mtime,
            date_is_exact: false,
        };
        Identity { stamp: *stamp, validators, hash: None, is_busy: false }
    }

    /// `None` if somebody began to write meanwhile; then there is no use in going on, and he is not kept waiting.
    fn hash(&self, file: &File, size: u64, is_quiet: &impl Fn() -> bool) -> Result<Option<ContentHash>> {
        let _slot = (size > self.settings.tag_threshold).then(|| self.hashing.take());
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; (128 << 10).min(size.max(1) as usize)];
        let mut offset = 0;
        loop {
            let count = self.tree.disk().read(file, offset, &mut buffer)?;
            if count == 0 {
                return Ok(Some(ContentHash::finish(&hasher)));
            }
            hasher.update(&buffer[..count]);
            offset += count as u64;
            if offset.is_multiple_of(1 << 20) && !is_quiet() {
                return Ok(None);
            }
        }
    }

    /// Whether a change made from now on would show in the stamp.
    fn is_settled(&self, stamp: &Stamp) -> Result<bool> {
        let disk = self.tree.disk();
        let grain = disk.abilities().time_grain;
        if grain.is_zero() {
            return Ok(true);
        }
        let clock = disk.clock(&disk.root()?)?;
        Ok(clock.since(stamp.ctime.max(stamp.mtime)) > grain)
    }
}

/// The tag that a version was first shown with, and is shown with ever after.
fn shown(stamp: &Stamp, known: &Remembered) -> EntityTag {
    match (known.shown, &known.hash) {
        (ShownForm::Content, Some(hash)) => EntityTag::of_content(hash),
        (ShownForm::Stamp(digest), _) => EntityTag::of_stamp_digest(&digest),
        (ShownForm::Content, None) => EntityTag::of_stamp(stamp),
    }
}
