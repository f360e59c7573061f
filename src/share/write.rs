//! Changing: uploads, removals, new folders. Each is look, decide, swap, and look again if the swap lost.

use std::time::Duration;

use crate::model::path::SharePath;
use crate::model::precondition::{Decision, Intent, Precondition, Target};
use crate::model::stamp::Timestamp;
use crate::model::tag::EntityTag;
use crate::model::version::VersionId;
use crate::store::commit::{Changed, Claim, Seen, Site, Surprise, Swap};
use crate::store::disk::{Cause, DiskError, File, Opened};
use crate::store::index::DateKnown;
use crate::store::staging::{Staged, Staging};

use super::identity::{Effort, Identity};
use super::outcome::{Current, Forbidden, Outcome, Refusal, Stop};
use super::uploads::UploadWatch;
use super::{Hint, Share};

/// How often a change looks again before it gives up.
const LOOKS_MAX: usize = 16;

/// How long an upload waits, before it is begun, for a program that has the file open for writing.
const PATIENCE: Duration = Duration::from_millis(250);

/// How far ahead of the clock a modification time may be set, to tell two versions of one second apart.
const MTIME_AHEAD: Duration = Duration::from_secs(2);

/// An upload that is being written.
#[derive(Debug)]
pub struct Upload {
    staging: Staging,
    /// The mount it is written to.
    mount: u64,
}

/// What an upload has become.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Whether nothing was there before.
    pub created: bool,
    /// The tag of the new version.
    pub tag: EntityTag,
    /// Its date.
    pub modified: Timestamp,
    /// The version that what it replaced has become.
    pub displaced: Option<VersionId>,
}

/// What a removal has done.
#[derive(Clone, Debug)]
pub struct Removed {
    /// The version that what was removed has become.
    pub displaced: Option<VersionId>,
}

/// What a change makes of a name that nothing has. A request that could not succeed whatever its conditions say is told so, and not that
/// a condition failed (RFC 9110 §13.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missing {
    IsMade,
    IsNotFound,
}

/// What a look and the headers together say.
enum Judged {
    Go(Seen),
    /// A large file has to be hashed first, outside the mutex.
    HashFirst,
}

impl Upload {
    /// How many bytes have been written.
    pub fn written(&self) -> u64 {
        self.staging.written()
    }
}

impl Share {
    /// Says early, from the headers alone, why an upload could not succeed now. The commit judges again.
    pub fn may_put(
        &self,
        path: &SharePath,
        precondition: &Precondition,
        announced: Option<u64>,
        now: Timestamp,
    ) -> Outcome<()> {
        let site = self.judge_early(path, precondition, Effort::HashSmall, PATIENCE, now)?;
        let free = |share: &Self| Ok::<_, DiskError>(share.tree.disk().space(&site.parent)?.free);
        if let Some(bytes) = announced
            && bytes > free(self)?
        {
            self.make_room(site.mount, bytes, now)?;
            if bytes > free(self)? {
                return Err(Refusal::NoSpace.into());
            }
        }
        Ok(())
    }

    /// Why the condition of an upload in flight no longer holds. What may be otherwise by the time of the commit does not count: a program
    /// that has the file open, a folder that is still to be made, a disk that fails.
    pub(super) fn gone_stale(
        &self,
        path: &SharePath,
        precondition: &Precondition,
        effort: Effort,
        now: Timestamp,
    ) -> Option<Stop> {
        let stop = self.judge_early(path, precondition, effort, Duration::ZERO, now).err()?;
        match &stop {
            Stop::Refusal(Refusal::PreconditionFailed { .. }) => Some(stop),
            Stop::Refusal(Refusal::NoParent) => self.judge_nothing_there(precondition).err(),
            Stop::Refusal(Refusal::IsCollection) => self.judge_conditions(precondition, Target::Collection, None).err(),
            _ => None,
        }
    }

    /// Looks at what is there, waiting with `patience` for a program that writes it, and judges it by the headers.
    fn judge_early(
        &self,
        path: &SharePath,
        precondition: &Precondition,
        effort: Effort,
        patience: Duration,
        now: Timestamp,
    ) -> Outcome<Site> {
        let Some((_, name)) = path.split() else { return Err(Refusal::IsCollection.into()) };
        let disk = self.tree.disk();
        let site = self.tree.site(path).map_err(|error| self.stop(error, Refusal::NoParent))?;
        let Some(site) = site else { return Err(Refusal::IsCollection.into()) };
        let opened = self.tree.steadily(path, || disk.open(&site.parent, &site.name))?;
        let identity = match opened {
            Opened::Dir(_) => return Err(Refusal::IsCollection.into()),
            Opened::Link => return Err(Refusal::NotAllowed(Forbidden::Link).into()),
            Opened::Special => return Err(Refusal::NotAllowed(Forbidden::Special).into()),
            Opened::Nothing if !name.may_be_made() => return Err(Refusal::BadName.into()),
            Opened::Nothing => None,
            Opened::File(file, status) => {
                let effort = if precondition.asks_for_content() { effort } else { Effort::Recall };
                Some(self.identify_patiently(&file, &status, effort, patience, now)?)
            }
        };
        match &identity {
            Some(known) if known.is_busy && !precondition.demands_nothing_there() => {
                return Err(Refusal::OpenForWriting.into());
            }
            // Whether the content is the one that was named is found out in the commit.
            Some(known) if known.hash.is_none() && precondition.asks_for_content() => {}
            known => self.decide(precondition, known.as_ref())?,
        }
        Ok(site)
    }

    /// As [`Share::may_put`], but makes the folders above where they are missing and that is asked for.
    pub fn may_put_or_make_parents(
        &self,
        path: &SharePath,
        precondition: &Precondition,
        announced: Option<u64>,
        make_parents: bool,
        now: Timestamp,
    ) -> Outcome<()> {
        match self.may_put(path, precondition, announced, now) {
            Err(stop) if make_parents && stop.is(Refusal::NoParent) => {
                self.judge_nothing_there(precondition)?;
                self.make_parents(path, now)?;
                self.may_put(path, precondition, announced, now)
            }
            judged => judged,
        }
    }

    /// Begins an upload, setting the announced room aside.
    pub fn begin_upload(&self, path: &SharePath, announced: Option<u64>, now: Timestamp) -> Outcome<Upload> {
        let site = self.tree.site(path).map_err(|error| self.stop(error, Refusal::NoParent))?;
        let Some(site) = site else { return Err(Refusal::IsCollection.into()) };
        let begin = || {
            let swap = || self.tree.history().swap(path, site.mount);
            Staging::begin(self.tree.disk(), &site.parent, announced, swap)
        };
        let staging = match begin() {
            Err(error) if error.cause == Cause::NoSpace => {
                self.make_room(site.mount, announced.unwrap_or(1 << 20), now)?;
                begin()?
            }
            begun => begun?,
        };
        Ok(Upload { staging, mount: site.mount })
    }

    /// Writes an upload on, making room in the history when the disk is full.
    pub fn write(&self, upload: &mut Upload, bytes: &[u8], now: Timestamp) -> Outcome<()> {
        match upload.staging.write(bytes) {
            Err(error) if error.cause == Cause::NoSpace => {
                self.make_room(upload.mount, bytes.len() as u64, now)?;
                Ok(upload.staging.write(bytes)?)
            }
            written => Ok(written?),
        }
    }

    /// Puts an upload on the list of those that are told when their validator goes stale; `wake` is called then. This comes before
    /// [`Share::may_put`]: what changes between the two is seen by that look, what changes later is told.
    ///
    /// The upload is told of its own commit, too: once that has begun, what it is told means nothing.
    pub fn watch_upload(
        &self,
        path: &SharePath,
        precondition: &Precondition,
        wake: Box<dyn Fn() + Send + Sync>,
    ) -> UploadWatch {
        self.uploads.watch(path, precondition, wake)
    }

    /// Makes a complete upload the file at a path.
    pub fn put(
        &self,
        path: &SharePath,
        upload: Upload,
        precondition: &Precondition,
        now: Timestamp,
    ) -> Outcome<Stored> {
        let like = self.like(path)?;
        let displaced = like.as_ref().map(|(_, modified)| *modified);
        let (mtime, _) = date_after(displaced, now);
        let mut staged = upload.staging.seal(like.as_ref().map(|(file, _)| file), mtime)?;
        drop(like);
        let stored = self.put_staged(path, &mut staged, precondition, now)?;
        self.changed(path, now);
        Ok(stored)
    }

    /// Removes a file or a folder with all that is in it.
    pub fn delete(&self, path: &SharePath, precondition: &Precondition, now: Timestamp) -> Outcome<Removed> {
        let removed = self.look_until_done(path, precondition, Missing::IsNotFound, now, |claim, seen| match seen {
            Seen::Special => Err(Refusal::NotAllowed(Forbidden::Special).into()),
            seen => Ok((claim.remove(seen, surprise(precondition), now)?, ())),
        });
        let removed = removed.map_err(|stop| if stop.is(Refusal::NoParent) { Refusal::NotFound.into() } else { stop });
        let displaced = removed?.0.displaced;
        self.changed(path, now);
        Ok(Removed { displaced: displaced.filter(|_| self.keeps_history()) })
    }

    /// Makes a folder.
    pub fn make_collection(&self, path: &SharePath, precondition: &Precondition, now: Timestamp) -> Outcome<()> {
        let Some((_, name)) = path.split() else { return Err(Refusal::Exists.into()) };
        if !name.may_be_made() {
            return Err(Refusal::BadName.into());
        }
        let claim = self.tree.claim(path).map_err(|error| self.stop(error, Refusal::NoParent))?;
        let Some(claim) = claim else { return Err(Refusal::Exists.into()) };
        if !matches!(claim.look()?, Seen::Nothing) {
            return Err(Refusal::Exists.into());
        }
        self.judge_nothing_there(precondition)?;
        match claim.make_collection()? {
            Swap::Done(_) => {}
            _ => return Err(Refusal::Exists.into()),
        }
        drop(claim);
        self.changed(path, now);
        Ok(())
    }

    /// Makes every folder above a path that is not there yet.
    pub fn make_parents(&self, path: &SharePath, now: Timestamp) -> Outcome<()> {
        let Some((parent, _)) = path.split() else { return Ok(()) };
        let mut above = SharePath::root();
        for name in parent.names() {
            above = above.join(&name);
            match self.make_collection(&above, &Precondition::default(), now) {
                Err(stop) if stop.is(Refusal::Exists) => {}
                made => made?,
            }
        }
        Ok(())
    }

    pub(super) fn put_staged(
        &self,
        path: &SharePath,
        staged: &mut Staged,
        precondition: &Precondition,
        now: Timestamp,
    ) -> Outcome<Stored> {
        let (changed, created) = self.look_until_done(path, precondition, Missing::IsMade, now, |claim, seen| {
            if claim.site().folder != staged.folder() {
                return Err(Refusal::FolderChanged.into());
            }
            match seen {
                Seen::Nothing if !claim.site().name.may_be_made() => Err(Refusal::BadName.into()),
                Seen::Nothing => {
                    let swap = claim.create(staged)?;
                    self.remember_upload(&swap, staged, DateKnown::Exact);
                    Ok((swap, true))
                }
                Seen::File(seen) => {
                    let date = date_later(staged, seen.status.stamp.mtime, now)?;
                    let swap = claim.replace(seen, staged, surprise(precondition), now)?;
                    self.remember_upload(&swap, staged, date);
                    Ok((swap, false))
                }
                Seen::Busy(_) => Err(Refusal::OpenForWriting.into()),
                Seen::Collection(_) => Err(Refusal::IsCollection.into()),
                Seen::Link => Err(Refusal::NotAllowed(Forbidden::Link).into()),
                Seen::Special => Err(Refusal::NotAllowed(Forbidden::Special).into()),
            }
        })?;
        Ok(Stored {
            created,
            tag: EntityTag::of_content(staged.hash()),
            modified: staged.sealed().mtime,
            displaced: changed.displaced.filter(|_| self.keeps_history()),
        })
    }

    /// The loop of every change: look, decide, swap; if the swap lost, look again.
    fn look_until_done<'a, T>(
        &'a self,
        path: &SharePath,
        precondition: &Precondition,
        missing: Missing,
        now: Timestamp,
        mut swap: impl FnMut(&Claim<'a>, Seen) -> Outcome<(Swap<'a>, T)>,
    ) -> Outcome<(Changed<'a>, T)> {
        let mut hashed_outside = false;
        for _ in 0..LOOKS_MAX {
            let claim = self.tree.claim(path).map_err(|error| self.stop(error, Refusal::NoParent))?;
            let Some(claim) = claim else { return Err(Refusal::NotAllowed(Forbidden::Root).into()) };
            let seen = claim.look()?;
            if missing == Missing::IsNotFound && matches!(seen, Seen::Nothing | Seen::Link) {
                return Err(Refusal::NotFound.into());
            }
            let seen = match self.judge(seen, precondition, hashed_outside, now)? {
                Judged::Go(seen) => seen,
                Judged::HashFirst => {
                    drop(claim);
                    self.read_hashed(path, now)?;
                    hashed_outside = true;
                    continue;
                }
            };
            match swap(&claim, seen)? {
                (Swap::Done(changed), also) => return Ok((changed, also)),
                (Swap::Lost, _) => {}
                (Swap::Busy, _) => return Err(Refusal::OpenForWriting.into()),
                (Swap::Spoilt, _) => return Err(Refusal::ChangedMeanwhile.into()),
            }
        }
        Err(Refusal::ChangedMeanwhile.into())
    }

    /// Judges what a look found. A file that a program is writing is refused before the headers are, since waiting may help.
    fn judge(&self, seen: Seen, precondition: &Precondition, hashed_outside: bool, now: Timestamp) -> Outcome<Judged> {
        match &seen {
            Seen::File(file) => {
                let large = file.status.stamp.size > self.settings.tag_threshold;
                let effort = match (precondition.asks_for_content(), large && !hashed_outside) {
                    (false, _) => Effort::Recall,
                    (true, true) => Effort::HashSmall,
                    (true, false) => Effort::Hash,
                };
                let identity = self.identify_seen(file, effort, now)?;
                if precondition.asks_for_content() && identity.hash.is_none() && !hashed_outside && file.is_quiet() {
                    return Ok(Judged::HashFirst);
                }
                self.decide(precondition, Some(&identity))?;
            }
            Seen::Nothing => self.decide(precondition, None)?,
            Seen::Busy(_) if precondition.demands_nothing_there() => {
                self.judge_conditions(precondition, Target::Collection, None)?;
            }
            Seen::Busy(_) => return Err(Refusal::OpenForWriting.into()),
            Seen::Collection(_) => self.judge_conditions(precondition, Target::Collection, None)?,
            Seen::Link | Seen::Special => {}
        }
        Ok(Judged::Go(seen))
    }

    /// The conditional headers first, then the policy of required preconditions: 428 is for a header that is absent, 412 for one that
    /// is false.
    fn decide(&self, precondition: &Precondition, identity: Option<&Identity>) -> Outcome<()> {
        let target = identity.map_or(Target::Nothing, |identity| Target::File(&identity.validators));
        self.judge_conditions(precondition, target, identity)?;
        if self.settings.require_preconditions && !precondition.names_a_version() {
            return Err(Refusal::PreconditionRequired { current: identity.map(current) }.into());
        }
        Ok(())
    }

    /// Judges the conditional headers where nothing is there.
    pub(super) fn judge_nothing_there(&self, precondition: &Precondition) -> Outcome<()> {
        self.judge_conditions(precondition, Target::Nothing, None)
    }

    fn judge_conditions(
        &self,
        precondition: &Precondition,
        target: Target<'_>,
        identity: Option<&Identity>,
    ) -> Outcome<()> {
        match precondition.decide(target, Intent::Change) {
            Decision::Proceed => Ok(()),
            Decision::Refuse(header) => {
                Err(Refusal::PreconditionFailed { header, current: identity.map(current) }.into())
            }
            Decision::NotModified => unreachable!("only a read is told that nothing has changed"),
        }
    }

    fn make_room(&self, mount: u64, bytes: u64, now: Timestamp) -> Outcome<()> {
        self.tree.history().make_room(mount, bytes, now)?;
        Ok(())
    }

    /// Tells the uploads in flight at once that something has changed here.
    pub(super) fn changed(&self, path: &SharePath, now: Timestamp) {
        self.tell_uploads(&Hint::Subtree(path.clone()), Effort::HashSmall, now);
    }

    /// The file that an upload will replace, for its attributes, and its date.
    pub(super) fn like(&self, path: &SharePath) -> Outcome<Option<(File, Timestamp)>> {
        let site = self.tree.site(path).map_err(|error| self.stop(error, Refusal::NoParent))?;
        let Some(site) = site else { return Ok(None) };
        Ok(match self.tree.disk().open(&site.parent, &site.name)? {
            Opened::File(file, status) => Some((file, status.stamp.mtime)),
            _ => None,
        })
    }
}

/// What is there now, for a client that was refused.
pub(super) fn current(identity: &Identity) -> Current {
    Current { tag: identity.validators.shown.clone(), modified: identity.stamp.mtime, size: identity.stamp.size }
}

/// The date of a version that replaces one of `displaced`: at least one whole second later, and at most [`MTIME_AHEAD`] ahead of the
/// clock. Where both cannot be had, the two share a date.
pub(super) fn date_after(displaced: Option<Timestamp>, now: Timestamp) -> (Timestamp, DateKnown) {
    let Some(displaced) = displaced else { return (now, DateKnown::Exact) };
    if now.seconds() > displaced.seconds() {
        return (now, DateKnown::Exact);
    }
    let later = Timestamp::new(displaced.seconds() + 1, 0);
    if later <= now.plus(MTIME_AHEAD) { (later, DateKnown::Exact) } else { (displaced, DateKnown::Shared) }
}

/// Moves the date of an upload to a later second than that of the version it is to replace, if it is not later already.
fn date_later(staged: &mut Staged, displaced: Timestamp, now: Timestamp) -> Outcome<DateKnown> {
    if staged.sealed().mtime.seconds() > displaced.seconds() {
        return Ok(DateKnown::Exact);
    }
    let (mtime, date) = date_after(Some(displaced), now);
    if staged.sealed().mtime.seconds() < mtime.seconds() {
        staged.postpone(mtime)?;
    }
    Ok(date)
}

/// Only a client that names no version may find that it displaced another one than was seen.
fn surprise(precondition: &Precondition) -> Surprise {
    if precondition.is_empty() { Surprise::Accept } else { Surprise::Undo }
}

impl Stop {
    /// Whether it is this refusal.
    pub(super) fn is(&self, refusal: Refusal) -> bool {
        matches!(self, Self::Refusal(mine) if *mine == refusal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replacement_is_dated_later_by_a_whole_second_but_not_far_ahead() {
        let at = Timestamp::new;
        for (displaced, now, expected) in [
            (None, at(100, 5), (at(100, 5), DateKnown::Exact)),
            (Some(at(99, 0)), at(100, 5), (at(100, 5), DateKnown::Exact)),
            (Some(at(100, 1)), at(100, 5), (at(101, 0), DateKnown::Exact)),
            (Some(at(101, 0)), at(100, 5), (at(102, 0), DateKnown::Exact)),
            (Some(at(102, 0)), at(100, 5), (at(102, 0), DateKnown::Shared)),
            (Some(at(500, 7)), at(100, 5), (at(500, 7), DateKnown::Shared)),
        ] {
            assert_eq!(date_after(displaced, now), expected, "{displaced:?} {now:?}");
        }
    }
}
