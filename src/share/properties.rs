//! Properties: what a resource is, for PROPFIND, and what clients note on it and change about it, with PROPPATCH.
//!
//! A change of several properties is one change: all of it or nothing. None of them makes another version of a file, so no tag changes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::model::path::{Name, SharePath};
use crate::model::property::{DeadProperty, PropertyName};
use crate::model::rights::Rights;
use crate::model::stamp::Timestamp;
use crate::model::tag::EntityTag;
use crate::model::verdict::Deed;
use crate::store::catalog::properties::{Following, Noted, Snapshot};
use crate::store::disk_error::{Cause, Result};
use crate::store::handle::Opened;
use crate::store::local::commit::{Seen, SeenFile};
use crate::store::notice::Notice;
use crate::store::space::Space;

use super::identity::Effort;
use super::judge::Looked;
use super::listing::ListedMember;
use super::outcome::{Forbidden, NotesBound, Outcome, Refusal, Stop};
use super::request_context::RequestContext;
use super::shared_folder::Share;

/// What the namespaces begin with that are noclobber's own. No client sets a property in them.
const OUR_OWN: &str = "urn:noclobber:";

/// The permission bits that Apache's `executable` property stands for.
const EXECUTABLE: u32 = 0o111;

/// One change of a property.
#[derive(Clone, Debug)]
pub enum PropertyUpdate {
    /// A dead property is noted, in place of the one of its name.
    Note(DeadProperty),
    /// A dead property is forgotten. That it is not there is no failure (RFC 4918 §14.23).
    Forget(PropertyName),
    /// The date of a file is set.
    Modified(Timestamp),
    /// Whether a file may be executed.
    Executable(bool),
}

/// The dead properties of the share as they were at one moment.
#[derive(Debug)]
pub struct Notes(Snapshot);

impl Notes {
    /// Whether nothing is noted anywhere.
    pub fn is_empty(&self) -> bool {
        !self.0.has_any(&SharePath::root()).unwrap_or(true)
    }

    /// The dead properties of a resource.
    pub fn of(&self, path: &SharePath) -> Outcome<Vec<DeadProperty>> {
        Ok(self.0.of(path)?)
    }

    /// Whether properties of this name are noclobber's own: no client sets them.
    pub fn are_our_own(name: &PropertyName) -> bool {
        name.namespace().get(..OUR_OWN.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(OUR_OWN))
    }
}

impl Share {
    /// What is at a path. The share itself has no name, and a word in its place. The tag is the one that a GET shows.
    pub fn resource(&self, path: &SharePath, with_tag: bool, request: &RequestContext) -> Outcome<ListedMember> {
        let (asked, now) = (path, request.now);
        let path = &*self.place_to_read(path, Rights::LIST, request)?;
        let name = asked.split().map_or_else(|| Name::new(*b"share").expect("letters"), |(_, name)| name);
        let opened = self.tree.read_consistent(path, || self.tree.open(path));
        match opened.map_err(|error| self.stop(error, Refusal::NotFound))? {
            Opened::Nothing | Opened::Link => Err(Refusal::NotFound.into()),
            Opened::Special => Err(Refusal::NotAllowed(Forbidden::Special).into()),
            Opened::Dir(status) => Ok(ListedMember::new(name, &status, None, now)),
            Opened::File(file, status) => {
                self.tell_date(path, &status.stamp, now);
                let identity =
                    if with_tag { Some(self.identify(path, &file, &status, Effort::HashSmall, now)?) } else { None };
                Ok(ListedMember::new(name, &status, identity.map(|known| known.validators.shown), now))
            }
        }
    }

    /// The dead properties of every resource, as they are now.
    pub fn notes(&self) -> Outcome<Notes> {
        Ok(Notes(self.properties.snapshot()?))
    }

    /// How many times properties have changed. Whoever asks before he takes [`Share::notes`] knows later whether they are still the same.
    pub fn changes_of_notes(&self) -> u64 {
        self.properties.changes()
    }

    /// How much room there is, in bytes; what the history would give back counts as free.
    pub fn space(&self, path: &SharePath) -> Outcome<Space> {
        self.tree.top().map_err(|_| Refusal::ShareGone)?;
        let path = &*self.spelled_to_read(path)?;
        let space = self.tree.space(path).map_err(|error| self.stop(error, Refusal::NotFound))?;
        let free = space.free.saturating_add(self.tree.history().gives_back(space.file_system)).min(space.total);
        Ok(Space { free, ..space })
    }

    /// The checksums of the version with this tag, as they came with an upload or were worked out, if they are known.
    pub fn checksums(&self, tag: &EntityTag) -> Option<Arc<str>> {
        self.checksums.of(tag)
    }

    /// Keeps the checksums of the version with this tag. They are told for as long as there is room for them.
    pub fn keep_checksums(&self, tag: &EntityTag, checksums: &str) {
        self.checksums.keep(tag, checksums);
    }

    /// Changes properties: all of them, or none.
    pub fn amend(
        &self,
        path: &SharePath,
        amendments: &[PropertyUpdate],
        request: &RequestContext,
        despite_locks: bool,
    ) -> Outcome<()> {
        let deed = if despite_locks { Deed::AmendDespiteLocks } else { Deed::Amend };
        let path = &*self.spelled(path)?;
        if path.is_root() {
            let _under_way = self.judge_root(request, deed)?;
            self.note_amendments(path, amendments)?;
            self.tell_properties(path, None, request);
            return Ok(());
        }
        match self.look_and_judge(path, request, deed)? {
            Looked { seen: Seen::Busy(_), .. } if amendments.iter().any(PropertyUpdate::is_of_the_file) => {
                Err(Refusal::OpenForWriting.into())
            }
            Looked { seen: Seen::File(seen), .. } => {
                let before = seen.status;
                let amended = self.amend_file(path, &seen, amendments, request.now).map_err(Stop::from);
                let amended = amended.and_then(|()| self.note_amendments(path, amendments)).inspect_err(|_| {
                    // What was changed about the file is changed back: all or nothing.
                    let _ = self.tree.set_modified(&seen, before.stamp.mtime);
                    let _ = self.tree.set_permissions(&seen, before.mode);
                });
                if amended.is_ok() {
                    let stamp = self.tree.status(&seen.file).map_or(before.stamp, |status| status.stamp);
                    self.tell_properties(path, Some((stamp, self.recall_tag(&stamp))), request);
                }
                amended
            }
            Looked { seen, .. } => {
                self.note_amendments(path, amendments)?;
                let busy = match &seen {
                    Seen::Busy(status) => Some((status.stamp, None)),
                    _ => None,
                };
                self.tell_properties(path, busy, request);
                Ok(())
            }
        }
    }

    pub(super) fn note_amendments(&self, path: &SharePath, amendments: &[PropertyUpdate]) -> Outcome<()> {
        let noted =
            |amendment: &&PropertyUpdate| matches!(amendment, PropertyUpdate::Note(_) | PropertyUpdate::Forget(_));
        if !amendments.iter().any(|amendment| noted(&amendment)) {
            return Ok(());
        }
        let noted = self.properties.update(path, |notes| apply(amendments, notes));
        are_noted(noted)
    }

    /// Notes on a new folder what it begins with, in place of what another program's removal may have left there.
    pub(super) fn begin_notes(&self, path: &SharePath, amendments: &[PropertyUpdate]) -> Outcome<()> {
        are_noted(self.properties.update(path, |notes| {
            notes.clear();
            apply(amendments, notes);
        }))
    }

    /// Lets the notes follow what has happened in the tree. It has happened: whatever becomes of the notes, the answer stays what it is. A
    /// person hears of it, once until it goes well again.
    pub(super) fn let_notes_follow(&self, what: Following) {
        let path = what.path().clone();
        let why = match self.properties.follow(what) {
            Ok(Noted::Done) if !self.properties.is_up_to_date() => return,
            Ok(Noted::Done) => return self.notes_stay_behind.store(false, Ordering::Relaxed),
            Ok(Noted::TooMuchOnOne | Noted::TooMuchOnAll) => {
                "the properties of a copy are more than there may be".to_owned()
            }
            Err(error) => format!("properties do not follow changes now: {}", error.message),
        };
        if self.properties.take_new_loss() {
            let why = "properties have not followed so many changes that some of these are forgotten".to_owned();
            self.tree.notice(Notice::NotNoted { path: path.clone(), why });
        }
        if !self.notes_stay_behind.swap(true, Ordering::Relaxed) {
            self.tree.notice(Notice::NotNoted { path, why });
        }
    }

    /// Changes what the file system keeps about a file. What was remembered of it is remembered of its new state, so that its tag stays.
    fn amend_file(
        &self,
        path: &SharePath,
        seen: &SeenFile,
        amendments: &[PropertyUpdate],
        now: Timestamp,
    ) -> Result<()> {
        let mut changed = false;
        for amendment in amendments {
            match amendment {
                PropertyUpdate::Modified(date) => self.tree.set_modified(seen, *date)?,
                PropertyUpdate::Executable(true) => self.tree.set_permissions(seen, seen.status.mode | EXECUTABLE)?,
                PropertyUpdate::Executable(false) => self.tree.set_permissions(seen, seen.status.mode & !EXECUTABLE)?,
                PropertyUpdate::Note(_) | PropertyUpdate::Forget(_) => continue,
            }
            changed = true;
        }
        if changed {
            self.tree.sync_attributes(seen)?;
            if seen.is_leased() && seen.is_unbroken() {
                self.tree.touched().note(&seen.status.stamp, &self.tree.status(&seen.file)?.stamp);
            }
            self.carry_over(path, seen, now)?;
        }
        Ok(())
    }

    /// Remembers of a file's new state what was remembered of the one that was seen, if only its attributes can have changed since.
    fn carry_over(&self, path: &SharePath, seen: &SeenFile, now: Timestamp) -> Result<()> {
        let before = &seen.status.stamp;
        let Some(known) = self.index.recall_unsettled(before) else { return Ok(()) };
        let stamp = self.tree.status(&seen.file)?.stamp;
        if stamp.id != before.id || stamp.size != before.size || !seen.is_leased() {
            return Ok(());
        }
        let same_date = stamp.mtime.seconds() == before.mtime.seconds();
        let date = if same_date { known.date } else { self.date_that_came(path, &stamp, Some(before), now) };
        let is_unchanged = || seen.is_unbroken() && self.tree.status(&seen.file).is_ok_and(|now| now.stamp == stamp);
        self.last_changes.restamp(path, before, stamp);
        self.remember_in(path, stamp, date, &known, is_unchanged);
        Ok(())
    }
}

fn are_noted(noted: Result<Noted>) -> Outcome<()> {
    let bound = match noted {
        Ok(Noted::Done) => return Ok(()),
        Ok(Noted::TooMuchOnOne) => NotesBound::OnOne,
        Ok(Noted::TooMuchOnAll) => NotesBound::OnAll,
        // The disk of the state is another than that of the share.
        Err(error) if error.cause == Cause::NoSpace => NotesBound::Disk,
        Err(error) => return Err(error.into()),
    };
    Err(Refusal::NoRoomForNotes(bound).into())
}

/// Makes those changes that are of notes. Of several with one name the last one counts.
fn apply(amendments: &[PropertyUpdate], notes: &mut Vec<DeadProperty>) {
    let mut last: HashMap<&PropertyName, Option<&DeadProperty>> = HashMap::new();
    for amendment in amendments {
        match amendment {
            PropertyUpdate::Note(property) => last.insert(property.name(), Some(property)),
            PropertyUpdate::Forget(name) => last.insert(name, None),
            PropertyUpdate::Modified(_) | PropertyUpdate::Executable(_) => None,
        };
    }
    notes.retain(|note| !last.contains_key(note.name()));
    notes.extend(last.into_values().flatten().cloned());
    notes.sort_by(|one, other| one.name().cmp(other.name()));
}

impl PropertyUpdate {
    fn is_of_the_file(&self) -> bool {
        matches!(self, Self::Modified(_) | Self::Executable(_))
    }
}
