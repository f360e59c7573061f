//! The conditional headers, judged by what is there: those of RFC 9110 §13 by the target alone, `If` (RFC 4918 §10.4) by every place that it names.

use std::borrow::Cow;

use crate::model::content_hash::ContentHash;
use crate::model::lock_token::LockToken;
use crate::model::path::SharePath;
use crate::model::precondition::{Decision, Header, Intent, States};
use crate::model::rights::Rights;
use crate::model::stamp::{Stamp, Timestamp};
use crate::model::state_list::{Standing, StateLists};
use crate::model::validators::Target;
use crate::store::disk_error::Cause;
use crate::store::handle::Opened;
use crate::store::local::commit::LastLink;

use super::identity::{Effort, Identity};
use super::outcome::{Current, Outcome, Refusal, Stop, Subject};
use super::request_context::RequestContext;
use super::shared_folder::Share;

impl Share {
    /// Judges the conditional headers and `If` alone, by what is known to be at a path.
    pub(super) fn judge_conditions(
        &self,
        path: &SharePath,
        request: &RequestContext,
        target: &Target<'_>,
    ) -> Outcome<()> {
        if let Decision::Refuse(header) = request.precondition.decide(target, Intent::Change) {
            return Err(
                Refusal::PreconditionFailed { header, of: self.subject(path, target, None), current: None }.into()
            );
        }
        let Some(states) = request.precondition.states() else { return Ok(()) };
        if self.states_hold(path, states, target, request)? {
            return Ok(());
        }
        Err(self.states_failed(states, &[(path, target.clone(), None)]))
    }

    /// Judges the conditional headers, but for `If`, by what is at a path that no mutex is held of: the source of a COPY, and what a lock is on that
    /// is refreshed or given back.
    pub(super) fn judge_headers(&self, path: &SharePath, request: &RequestContext) -> Outcome<()> {
        let there = self.standing(path, request.precondition.asks_for_content(), request)?.there;
        let Decision::Refuse(header) = request.precondition.decide(&there, Intent::Change) else { return Ok(()) };
        let of = Subject::judged(path, &there);
        Err(Refusal::PreconditionFailed { header, of, current: self.describe_at(path, request) }.into())
    }

    /// Judges the conditional headers of a COPY by what was copied: the source may have changed since it was judged.
    pub(super) fn judge_copied(
        &self,
        path: &SharePath,
        of: &Stamp,
        hash: &ContentHash,
        request: &RequestContext,
    ) -> Outcome<()> {
        let known = self.identity_with_hash(path, of, hash, request.now);
        match request.precondition.decide(&Target::from(&known.validators), Intent::Change) {
            Decision::Refuse(header) => {
                let (of, current) = (self.subject_file(path, Some(&known)), Some(known.current()));
                Err(Refusal::PreconditionFailed { header, of, current }.into())
            }
            _ => Ok(()),
        }
    }

    /// Judges what a PROPFIND demands: `If-Match` and `If`. The other conditional headers are not heeded there.
    pub fn judge_read(&self, path: &SharePath, request: &RequestContext) -> Outcome<()> {
        let path = &*self.place_to_read(path, Rights::LIST, request)?;
        let standing = self.standing(path, request.precondition.asks_for_content(), request)?;
        if !request.precondition.if_match_holds(&standing.there) {
            let (of, current) = (Subject::judged(path, &standing.there), self.describe_at(path, request));
            return Err(Refusal::PreconditionFailed { header: Header::IfMatch, of, current }.into());
        }
        self.judge_states_alone(path, request)
    }

    /// Judges the `If` header of a GET.
    pub fn judge_states(&self, path: &SharePath, request: &RequestContext) -> Outcome<()> {
        let path = &*self.spelled(path)?;
        self.judge_states_alone(path, request)
    }

    /// Judges the `If` header of a request that replaces nothing.
    pub(super) fn judge_states_alone(&self, path: &SharePath, request: &RequestContext) -> Outcome<()> {
        let Some(states) = request.precondition.states() else { return Ok(()) };
        let look = |place: &SharePath| {
            let standing = self.standing(place, states.lists.asks_for_content(&states.asked, place), request)?;
            Ok::<_, Stop>(self.with_sync_tokens(standing, place, &states.lists, &[path], request))
        };
        if states.lists.hold(path, look)? {
            return Ok(());
        }
        Err(self.states_failed(states, &[]))
    }

    /// Why an `If` header does not hold: the first place that it asks about, with what was judged there.
    pub(super) fn states_failed(
        &self,
        states: &States,
        judged: &[(&SharePath, Target<'_>, Option<&Identity>)],
    ) -> Stop {
        let place = states.lists.first_path(&states.asked).unwrap_or(&states.asked);
        let spelled = self.spelled(place).unwrap_or(Cow::Borrowed(place));
        let found = judged.iter().find(|(path, ..)| **path == *spelled);
        // Where a link leads is not told: the client's own words are.
        let of = found.map_or_else(|| Subject::file(place), |(path, there, known)| self.subject(path, there, *known));
        let current = found.and_then(|(.., identity)| identity.map(Identity::current));
        Refusal::PreconditionFailed { header: Header::If, of, current }.into()
    }

    /// What is at a path that no mutex is held of, for a client that is refused.
    fn describe_at(&self, path: &SharePath, request: &RequestContext) -> Option<Current> {
        let listed = self.resource(path, true, request).ok()?;
        Some(Current { tag: listed.tag?, modified: listed.modified, size: listed.size })
    }

    /// Whether the `If` header holds: what it asks of the target is judged by what was just seen there, other places are looked at.
    fn states_hold(
        &self,
        path: &SharePath,
        states: &States,
        target: &Target<'_>,
        request: &RequestContext,
    ) -> Outcome<bool> {
        states.lists.hold(&states.asked, |place| {
            let spelled = self.spelled_to_read(place)?;
            let asks_for_content = states.lists.asks_for_content(&states.asked, place);
            // Named by another path, it was looked at without knowing what would be asked of its content.
            let standing = if *spelled == *path && (*place == states.asked || !asks_for_content) {
                let there = target.clone();
                Standing { tokens: self.tokens_on(path, request.now), there, ..Standing::default() }
            } else {
                self.standing(&spelled, asks_for_content, request)?
            };
            Ok(self.with_sync_tokens(standing, &spelled, &states.lists, &[path], request))
        })
    }

    /// Whether `If` names the version of what is at a path by its tag.
    pub(super) fn states_name(&self, path: &SharePath, request: &RequestContext) -> bool {
        let is_it = |place: &SharePath| self.spelled_to_read(place).is_ok_and(|place| *place == *path);
        request.precondition.states().is_some_and(|states| states.lists.names_a_version(&states.asked, is_it))
    }

    /// What an `If` header can ask about a place that is not the target. What one may not see is not there.
    pub(super) fn standing(
        &self,
        path: &SharePath,
        asks_for_content: bool,
        request: &RequestContext,
    ) -> Outcome<Standing<'static>> {
        let now = request.now;
        let place = self.tree.spelled(path, LastLink::Followed);
        let path = place.as_deref().unwrap_or(path);
        let opened = match &place {
            Ok(path) if !request.permissions.at(path).see() => Ok(Opened::Nothing),
            Ok(path) => self.tree.read_consistent_without_lock(path, || self.tree.open(path)),
            Err(error) => Err(error.clone()),
        };
        let there = match opened {
            Ok(Opened::Dir(_)) => Target::Collection,
            Ok(Opened::File(file, status)) => {
                let effort = if asks_for_content { Effort::Hash } else { Effort::HashSmall };
                Target::from(self.identify(path, &file, &status, effort, now)?.validators)
            }
            Ok(Opened::Nothing | Opened::Link) => Target::Nothing,
            Ok(Opened::Special) => Target::Unidentified,
            Err(error)
                if matches!(error.cause, Cause::NotFound | Cause::NotADirectory | Cause::Escapes | Cause::Reserved) =>
            {
                Target::Nothing
            }
            // What cannot be looked at must not make a condition true that asks for nothing to be there.
            Err(error) => return Err(error.into()),
        };
        Ok(Standing { tokens: self.tokens_on(path, now), there, ..Standing::default() })
    }

    /// The same, with what sync-tokens say of a folder, for a request that is about to change what is at these paths.
    pub(super) fn with_sync_tokens<'a>(
        &self,
        standing: Standing<'a>,
        path: &SharePath,
        lists: &StateLists,
        changing: &[&SharePath],
        request: &RequestContext,
    ) -> Standing<'a> {
        match standing.there {
            Target::Collection => {
                let folder = self.place_of(path);
                let sync_tokens = self.current_sync_tokens(lists, &folder, changing, &request.permissions);
                Standing { sync_tokens, ..standing }
            }
            _ => standing,
        }
    }

    pub(super) fn tokens_on(&self, path: &SharePath, now: Timestamp) -> Vec<LockToken> {
        self.locks_covering(path, now).iter().map(|lock| lock.token.clone()).collect()
    }
}
