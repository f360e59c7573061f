//! Removing. For a while after a client could not store something at a name, its removals of a file there must name the version.
//!
//! Some clients answer every failed PUT, MOVE or COPY with a DELETE of the target, to take back what they believe to be half of their own
//! file. What stands there is whole, and not theirs. Other clients are not concerned.

use crate::model::change::Before;
use crate::model::path::SharePath;
use crate::model::principal::Client;
use crate::model::stamp::Timestamp;
use crate::model::verdict::Deed;
use crate::model::version::VersionId;
use crate::store::catalog::properties::Following;
use crate::store::local::commit::Swap;

use super::identity::Identity;
use super::outcome::{Outcome, Refusal, Stop};
use super::request_context::RequestContext;
use super::shared_folder::Share;
use super::storing::{on_mismatch, state_of};

/// What a removal has done.
#[derive(Clone, Debug)]
pub struct Removed {
    /// The version that what was removed has become.
    pub displaced: Option<VersionId>,
}

impl Share {
    /// Removes a file or a folder with all that is in it.
    pub fn delete(&self, path: &SharePath, request: &RequestContext) -> Outcome<Removed> {
        let path = &*self.spelled(path)?;
        let removed = self.look_until_done(path, request, Deed::Remove, |claim, seen| {
            let (file, before) = (state_of(&seen), Before::from(&seen));
            let swap = claim.remove(seen, on_mismatch(request), request.now)?;
            if let Swap::Done(changed) = &swap {
                self.note_last_removed(path, file.as_ref(), request);
                self.drop_locks_in(path, request.now);
                let version = self.kept(changed).cloned();
                self.tell_removed(path, before, version.as_ref(), request);
                self.let_notes_follow(Following::Gone { from: path.clone(), version });
            }
            Ok((swap, ()))
        });
        let removed = removed.map_err(|stop| match stop {
            Stop::Refusal(Refusal::NoParent) => Refusal::NotFound.into(),
            stop => stop,
        });
        let displaced = removed?.0.displaced;
        self.tell_of_change(path, request.now);
        Ok(Removed { displaced: displaced.filter(|_| self.keeps_history()) })
    }

    /// Takes note that a client could not store something at a path, for whatever reason; and whether it may have been a lock's holder.
    pub fn not_stored(&self, client: Client, path: &SharePath, by_a_holder: bool, now: Timestamp) {
        let Ok(path) = self.spelled(path) else { return };
        self.refused.remember(client, path.into_owned(), by_a_holder, now);
    }

    /// As [`Share::not_stored`], without a look at the disk: at the path as it was asked for.
    pub fn not_stored_as_asked(&self, client: Client, path: &SharePath, by_a_holder: bool, now: Timestamp) {
        self.refused.remember(client, path.clone(), by_a_holder, now);
    }

    /// Takes note that something was stored: what was refused before is over.
    pub(super) fn forget_refusal(&self, path: &SharePath, request: &RequestContext) {
        self.refused.forget(request.client.clone(), path);
    }

    /// Judges the removal of a file. The token of a lock names what it pins, unless a holder was refused: one whose own upload broke off would
    /// take back what stands there as well.
    pub(super) fn judge_removal(&self, path: &SharePath, request: &RequestContext, identity: &Identity) -> Outcome<()> {
        let is_free = match self.refused.find(&request.client, path, request.now) {
            None => true,
            Some(_) if request.precondition.matches_tags() || self.states_name(path, request) => true,
            Some(refused) => !refused.by_a_holder && self.is_pinned(path, request),
        };
        let current = Some(identity.current());
        if is_free {
            Ok(())
        } else {
            Err(Refusal::RefusedLately { of: self.subject_file(path, Some(identity)), current }.into())
        }
    }
}
