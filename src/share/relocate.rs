//! Moving and copying: what is at one path comes to another, and what was there becomes a version (RFC 4918 §9.8, §9.9).
//!
//! The conditional headers speak of the source, `Overwrite` and the locks of the destination too. A refusal or a fault leaves both ends as
//! they were.

use crate::model::path::SharePath;
use crate::model::precondition::Precondition;
use crate::model::stamp::Timestamp;
use crate::model::tag::EntityTag;
use crate::model::version::VersionId;
use crate::store::commit::{Changed, Seen, Surprises, Swap};
use crate::store::disk::{Cause, Opened};
use crate::store::index::{DateKnown, Remembered};
use crate::store::properties::Extent;
use crate::store::staging::Staging;

use super::Share;
use super::identity::Effort;
use super::judge::LOOKS_MAX;
use super::outcome::{Forbidden, Outcome, Refusal};
use super::write::{Dating, date_after, surprise};

/// What is to be moved or copied, and where to.
#[derive(Clone, Debug)]
pub struct Relocation {
    /// Where it is.
    pub from: SharePath,
    /// Where it is to be.
    pub to: SharePath,
    /// Whether what is there may be replaced (`Overwrite`).
    pub may_replace: bool,
    /// The date that the client asks for.
    pub dated: Option<Timestamp>,
}

/// What a move or a copy has done.
#[derive(Clone, Debug)]
pub struct Relocated {
    /// Whether nothing was at the destination before.
    pub created: bool,
    /// The version that what it replaced has become.
    pub displaced: Option<VersionId>,
    /// The tag of a file that was copied.
    pub tag: Option<EntityTag>,
    /// Whether it has the date that the client asked for.
    pub is_dated_as_asked: bool,
}

impl Share {
    /// Moves a file, or a folder with all that is in it: one rename, whatever its size.
    pub fn relocate(&self, wanted: &Relocation, precondition: &Precondition, now: Timestamp) -> Outcome<Relocated> {
        let (from, to) = self.two_places(wanted)?;
        for _ in 0..LOOKS_MAX {
            let pair = self.tree.claim_two(&from, &to).map_err(|error| self.stop(error, Refusal::NotFound))?;
            let Some(pair) = pair else { return Err(Refusal::NotAllowed(Forbidden::Root).into()) };
            let source = must_be_there(pair.source().look()?)?;
            let target = pair.target().look()?;
            match &target {
                Seen::Link => return Err(Refusal::NotAllowed(Forbidden::Link).into()),
                Seen::Special => return Err(Refusal::NotAllowed(Forbidden::Special).into()),
                Seen::Busy(_) => return Err(Refusal::OpenForWriting.into()),
                Seen::Nothing if !pair.target().site().name.may_be_made() => return Err(Refusal::BadName.into()),
                Seen::Nothing | Seen::Collection(_) | Seen::File(_) => {}
            }
            let _still = self.locks.hold_still();
            self.judge_move((&from, &source), (&to, &target), precondition, wanted.may_replace, now)?;
            let created = matches!(target, Seen::Nothing);
            let displaced_date = date_of(&target);
            let surprise = surprise(precondition);
            let moved = pair.relocate(source, target, Surprises { source: surprise, target: surprise }, now);
            match moved {
                Ok(Swap::Done(changed)) => {
                    self.has_moved(&from, &to, &changed, displaced_date, precondition, now)?;
                    let displaced = changed.displaced.clone().filter(|_| self.keeps_history());
                    drop((changed, _still, pair));
                    self.changed(&from, now);
                    self.changed(&to, now);
                    return Ok(Relocated { created, displaced, tag: None, is_dated_as_asked: false });
                }
                Ok(Swap::Lost) => {}
                Ok(Swap::Busy) => return Err(Refusal::OpenForWriting.into()),
                Ok(Swap::Spoilt) => return Err(Refusal::ChangedMeanwhile.into()),
                Err(error) if error.cause == Cause::OtherMount => return Err(Refusal::OtherMount.into()),
                Err(error) => return Err(error.into()),
            }
        }
        Err(Refusal::ChangedMeanwhile.into())
    }

    /// Copies a file, or a folder with all that is in it; a folder alone without its members if not `deep`.
    pub fn copy(
        &self,
        wanted: &Relocation,
        _deep: bool,
        precondition: &Precondition,
        now: Timestamp,
    ) -> Outcome<Relocated> {
        let (from, to) = self.two_places(wanted)?;
        let disk = self.tree.disk();
        let opened = self.tree.steadily(&from, || disk.open_path(&disk.root()?, from.as_bytes()));
        match opened.map_err(|error| self.stop(error, Refusal::NotFound))? {
            Opened::Nothing | Opened::Link => Err(Refusal::NotFound.into()),
            Opened::Special => Err(Refusal::NotAllowed(Forbidden::Special).into()),
            Opened::File(..) => self.copy_file(&from, &to, wanted, precondition, now),
            Opened::Dir(_) => Err(Refusal::IsCollection.into()),
        }
    }

    fn copy_file(
        &self,
        from: &SharePath,
        to: &SharePath,
        wanted: &Relocation,
        precondition: &Precondition,
        now: Timestamp,
    ) -> Outcome<Relocated> {
        self.judge_source(from, precondition, now)?;
        let disk = self.tree.disk();
        let of_target = precondition.for_the_target(wanted.may_replace);
        for _ in 0..LOOKS_MAX {
            let opened = self.tree.steadily(from, || disk.open_path(&disk.root()?, from.as_bytes()));
            let Opened::File(source, status) = opened.map_err(|error| self.stop(error, Refusal::NotFound))? else {
                return Err(Refusal::NotFound.into());
            };
            if self.identify(&source, &status, Effort::Recall, now)?.is_busy {
                return Err(Refusal::OpenForWriting.into());
            }
            self.may_put(to, &of_target, Some(status.stamp.size), now)?;
            let site = self.tree.site(to).map_err(|error| self.stop(error, Refusal::NoParent))?;
            let Some(site) = site else { return Err(Refusal::IsCollection.into()) };
            let swap = || self.tree.history().swap(to, site.mount);
            let mut staging = Staging::begin(disk, &site.parent, Some(status.stamp.size), swap)?;
            staging.copy_from(&source)?;
            if !disk.status(&source)?.stamp.same_content_as(&status.stamp) {
                continue;
            }
            let there = self.like(to)?;
            let displaced = there.as_ref().map(|(_, modified)| *modified);
            let mtime = wanted.dated.unwrap_or_else(|| date_after(displaced, now).0);
            let mut staged = staging.seal(Some(&source), mtime)?;
            let dating = if wanted.dated.is_some() { Dating::Asked } else { Dating::Ours };
            let stored = self.put_staged(to, &mut staged, dating, &of_target, now)?;
            self.properties.copy(from, to, Extent::Itself)?;
            self.changed(to, now);
            return Ok(Relocated {
                created: stored.created,
                displaced: stored.displaced,
                tag: Some(stored.tag),
                is_dated_as_asked: stored.is_dated_as_asked,
            });
        }
        Err(Refusal::ChangedMeanwhile.into())
    }

    /// Both paths as they are spelled on the disk, if what is asked for can be at all.
    fn two_places(&self, wanted: &Relocation) -> Outcome<(SharePath, SharePath)> {
        let (from, to) = (self.spelled(&wanted.from)?.into_owned(), self.spelled(&wanted.to)?.into_owned());
        if from.is_root() {
            return Err(Refusal::NotAllowed(Forbidden::Root).into());
        }
        if self.status_of(&from).map_err(|error| self.stop(error, Refusal::NotFound))?.is_none() {
            return Err(Refusal::NotFound.into());
        }
        if from.is_within(&to) || to.is_within(&from) {
            return Err(Refusal::WithinItself.into());
        }
        self.tree.site(&to).map_err(|error| self.stop(error, Refusal::NoParent))?;
        Ok((from, to))
    }

    /// What is remembered and noted of what moved moves with it, before anybody else can ask.
    fn has_moved(
        &self,
        from: &SharePath,
        to: &SharePath,
        changed: &Changed<'_>,
        displaced_date: Option<Timestamp>,
        precondition: &Precondition,
        now: Timestamp,
    ) -> Outcome<()> {
        if let (Some(was), Some(stamp)) = (changed.was, changed.stamp)
            && let Some(known) = self.index.recall(&was)
        {
            // A date that the displaced version had, or a later one than this, tells the two apart no more.
            let is_later = displaced_date.is_none_or(|displaced| stamp.mtime.seconds() > displaced.seconds());
            let date = if is_later { known.date } else { DateKnown::Shared };
            self.index.remember(Remembered { stamp, date, ..known });
            if let Some(known) = self.recall(&stamp, Effort::Recall, now) {
                self.repin(to, precondition, &known.validators.shown, now);
            }
        }
        self.drop_locks_in(from);
        self.drop_locks_below(to, now);
        Ok(self.properties.relocate(from, to)?)
    }
}

fn must_be_there(seen: Seen) -> Outcome<Seen> {
    match seen {
        Seen::Nothing | Seen::Link => Err(Refusal::NotFound.into()),
        Seen::Special => Err(Refusal::NotAllowed(Forbidden::Special).into()),
        Seen::Busy(_) => Err(Refusal::OpenForWriting.into()),
        Seen::File(_) | Seen::Collection(_) => Ok(seen),
    }
}

fn date_of(seen: &Seen) -> Option<Timestamp> {
    match seen {
        Seen::File(file) => Some(file.status.stamp.mtime),
        _ => None,
    }
}
