//! Storing a file that is complete: the staged file becomes the one at its path, and what is to be known of it is remembered before anybody asks.

use crate::model::change::Before;
use crate::model::dating::AHEAD_MAX;
use crate::model::path::SharePath;
use crate::model::stamp::{Stamp, Timestamp};
use crate::model::tag::EntityTag;
use crate::model::verdict::Deed;
use crate::model::version::VersionId;
use crate::store::catalog::properties::Following;
use crate::store::disk_error::Cause;
use crate::store::handle::{File, Opened};
use crate::store::local::commit::{Changed, OnMismatch, Seen, Site, Swap};
use crate::store::local::staging::{Staged, Staging};

use super::dating::Dating;
use super::judge::Task;
use super::outcome::{Outcome, Refusal};
use super::request_context::RequestContext;
use super::room::A_NAME;
use super::shared_folder::Share;
use super::stored::Stored;

/// How a staged file is to be stored.
#[derive(Clone, Copy)]
pub(super) struct Storing<'a> {
    /// As what kind of change it is judged.
    pub(super) deed: Deed,
    /// Whose its date is.
    pub(super) dating: Dating,
    /// The one version that it may take the place of, since it was made from that.
    pub(super) base: Option<&'a Stamp>,
    /// Lets what is noted follow, before anybody can note something on the file.
    pub(super) notes: &'a dyn Fn(Came),
}

/// A file that is to be replaced, for its attributes, and its date.
#[derive(Clone, Debug)]
pub(super) struct Replaced {
    pub(super) file: File,
    pub(super) modified: Timestamp,
}

/// What a file has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// A name that was free.
    ToAFreeName,
    /// The name of another file, which has become this version, if it is kept.
    InPlaceOf(Option<VersionId>),
}

impl Share {
    /// Begins a file that nobody sees yet, making room for it in the history when the disk is full.
    pub(super) fn stage(&self, site: &Site, now: Timestamp) -> Outcome<Staging> {
        match self.tree.stage(site) {
            // The folder was there a moment ago.
            Err(error) if error.cause == Cause::NotFound => Err(self.stop(error, Refusal::NoParent)),
            Err(error) if self.makes_room_after(&error, &site.parent, A_NAME, now) => Ok(self.tree.stage(site)?),
            begun => Ok(begun?),
        }
    }

    /// The file at a site, which is to be replaced.
    pub(super) fn to_be_replaced(&self, site: &Site) -> Outcome<Option<Replaced>> {
        Ok(match self.tree.open_in(&site.parent, &site.name)? {
            Opened::File(file, status) => Some(Replaced { file, modified: status.stamp.mtime }),
            Opened::Nothing | Opened::Dir(_) | Opened::Link | Opened::Special => None,
        })
    }

    /// Makes a staged file the one at a path, which is spelled as on the disk, and was found at a site.
    pub(super) fn put_staged(
        &self,
        site: &Site,
        path: &SharePath,
        staged: &mut Staged,
        storing: &Storing<'_>,
        request: &RequestContext,
    ) -> Outcome<Stored> {
        let Storing { deed, dating, base, notes } = *storing;
        let on_mismatch = if base.is_some() { OnMismatch::Undo } else { on_mismatch(request) };
        let (changed, created) =
            self.look_until_done(path, request, Task::from(deed).found_at(site), |claim, seen| {
                if claim.site().folder != staged.folder() {
                    return Err(Refusal::FolderChanged.into());
                }
                match seen {
                    Seen::Nothing => {
                        self.date(path, staged, dating, None, request.now)?;
                        let swap = claim.create(staged)?;
                        if matches!(swap, Swap::Done(_)) {
                            notes(Came::ToAFreeName);
                        }
                        self.note_stored(path, &swap, staged, None, request);
                        if let Swap::Done(changed) = &swap {
                            self.tell_stored(path, Before::Nothing, deed == Deed::Restore, (changed, staged), request);
                        }
                        Ok((swap, true))
                    }
                    Seen::File(seen) => {
                        let replaced = seen.status.stamp;
                        if base.is_some_and(|base| *base != replaced) {
                            return Err(Refusal::ChangedMeanwhile.into());
                        }
                        staged.look_like(&seen.file, &replaced)?;
                        self.date(path, staged, dating, Some(replaced.mtime), request.now)?;
                        let swap = claim.replace(seen, staged, on_mismatch, request.now)?;
                        if let Swap::Done(changed) = &swap {
                            notes(Came::InPlaceOf(self.kept(changed).cloned()));
                        }
                        self.note_stored(path, &swap, staged, Some(&replaced), request);
                        if let Swap::Done(changed) = &swap {
                            self.tell_stored(path, Before::File, deed == Deed::Restore, (changed, staged), request);
                        }
                        Ok((swap, false))
                    }
                    Seen::Busy(_) | Seen::Collection(_) | Seen::Link | Seen::Special => {
                        unreachable!("the verdict has refused it")
                    }
                }
            })?;
        Ok(Stored {
            created,
            tag: EntityTag::of_content(staged.hash()),
            modified: staged.sealed().mtime,
            displaced: changed.displaced.filter(|_| self.keeps_history()),
            is_dated_as_asked: dating.is_met(staged.sealed().mtime, self.tree.time_grain(path)),
        })
    }

    /// A file that is stored is the one that things were noted on, if there was one. Where there was none another program may have removed it, and
    /// left notes behind.
    pub(super) fn notes_of_a_file(&self, path: &SharePath) -> impl Fn(Came) {
        move |came| {
            if came == Came::ToAFreeName {
                self.let_notes_follow(Following::Gone { from: path.clone(), version: None });
            }
        }
    }

    /// What is to be known of a new version before anybody else can ask for it.
    pub(super) fn note_stored(
        &self,
        path: &SharePath,
        swap: &Swap<'_>,
        staged: &Staged,
        replaced: Option<&Stamp>,
        request: &RequestContext,
    ) {
        if let Swap::Done(changed) = swap {
            let stamp = changed.stamp.unwrap_or(*staged.sealed());
            let date = self.date_that_came(path, &stamp, replaced, request.now);
            // The answer to the upload tells its date if that has come by then.
            let is_near = stamp.mtime <= request.now.plus(AHEAD_MAX);
            self.tell_date(path, &stamp, if is_near { request.now.max(stamp.mtime) } else { request.now });
            self.remember_upload(path, changed, staged, date);
            self.note_last_stored(path, changed.stamp.map(|stamp| (stamp, *staged.hash())), replaced, request);
            self.repin(path, request, Some(&EntityTag::of_content(staged.hash())));
        }
    }

    /// The version that what a change displaced has become, if it is kept for longer than a while.
    pub(super) fn kept<'c>(&self, changed: &'c Changed<'_>) -> Option<&'c VersionId> {
        changed.displaced.as_ref().filter(|_| self.keeps_history())
    }
}

/// The state of a file that was seen.
pub(super) fn state_of(seen: &Seen) -> Option<Stamp> {
    match seen {
        Seen::File(file) => Some(file.status.stamp),
        _ => None,
    }
}

/// Only a client that names no version may find that it displaced another one than was seen.
pub(super) fn on_mismatch(request: &RequestContext) -> OnMismatch {
    if request.is_unconditional() { OnMismatch::Accept } else { OnMismatch::Undo }
}
