//! Who stored what is there now, for a client that was refused. What is not certain is not said: after another program has written there, nobody is
//! named who wrote before, and where nothing is nobody is named at all, since nobody can know what came and went in between.

use std::sync::Arc;

use crate::model::author::Author;
use crate::model::content_hash::ContentHash;
use crate::model::path::SharePath;
use crate::model::stamp::{FileId, Stamp};
use crate::model::validators::Target;
use crate::store::catalog::last_changes::{LastChange, Left};

use super::identity::Identity;
use super::outcome::{StoredBy, Subject};
use super::request_context::RequestContext;
use super::shared_folder::Share;

impl Share {
    /// What a condition was judged by at a path, and who stored that, as far as it is known.
    pub(super) fn subject(&self, path: &SharePath, target: &Target<'_>, identity: Option<&Identity>) -> Subject {
        let stored_by = identity.and_then(|known| self.who_stored(path, known));
        Subject { stored_by, ..Subject::judged(path, target) }
    }

    /// As [`Share::subject`], of a file.
    pub(super) fn subject_file(&self, path: &SharePath, identity: Option<&Identity>) -> Subject {
        Subject { stored_by: identity.and_then(|known| self.who_stored(path, known)), ..Subject::file(path) }
    }

    fn who_stored(&self, path: &SharePath, known: &Identity) -> Option<StoredBy> {
        let (last, is_last) = self.last_changes.of(path)?;
        let is_it = |stamp: &Stamp, hash| known.hash == Some(hash) && known.stamp.same_content_as(stamp);
        // What was read before another client changed it was not written by a program.
        let came_later = |than, other: Option<FileId>| known.stamp.ctime > than && Some(known.stamp.id) != other;
        let is_of_a_program = match last.left {
            Left::File { stamp, hash, .. } if is_it(&stamp, hash) => {
                return Some(StoredBy { by: Arc::clone(&last.by), at: Some(last.at) });
            }
            Left::File { stamp, hash, .. } if stamp.id == known.stamp.id => {
                known.hash.is_some_and(|there| there != hash)
            }
            Left::File { stamp, replaced, .. } => came_later(stamp.ctime, replaced),
            Left::Nothing { removed } => came_later(last.at, removed),
        };
        (is_last && is_of_a_program).then(|| StoredBy { by: Arc::new(Author::Program), at: None })
    }

    /// Notes who has stored a file, if its state and its content are certain.
    pub(super) fn note_last_stored(
        &self,
        path: &SharePath,
        file: Option<(Stamp, ContentHash)>,
        replaced: Option<&Stamp>,
        request: &RequestContext,
    ) {
        let left = file.map(|(stamp, hash)| Left::File { stamp, hash, replaced: replaced.map(|stamp| stamp.id) });
        self.note_last(path, left, request);
    }

    /// Notes who has taken away what was at a path.
    pub(super) fn note_last_removed(&self, path: &SharePath, file: Option<&Stamp>, request: &RequestContext) {
        if file.is_none() {
            self.last_changes.much_changed();
        }
        self.note_last(path, Some(Left::Nothing { removed: file.map(|stamp| stamp.id) }), request);
    }

    fn note_last(&self, path: &SharePath, left: Option<Left>, request: &RequestContext) {
        let change = left.zip(request.by.clone()).map(|(left, by)| LastChange { by, at: request.now, left });
        self.last_changes.note(path, change);
    }

    /// Notes that a new folder was made at a path: what was noted there holds no more.
    pub(super) fn note_folder_made(&self, path: &SharePath) {
        self.last_changes.note(path, None);
    }

    /// Notes that a folder has come to a path, with all that is in it.
    pub(super) fn note_folder_came(&self, path: &SharePath) {
        self.last_changes.note(path, None);
        self.last_changes.much_changed();
    }
}
