//! Pins: the versions on which locks were taken. Whoever changes something with the token of a lock changes the version that it pins and no other.

use crate::model::path::SharePath;
use crate::model::precondition::Header;
use crate::model::stamp::Timestamp;
use crate::model::tag::{EntityTag, TagForm};
use crate::model::validators::Target;
use crate::store::disk_error::Cause;
use crate::store::handle::Opened;
use crate::store::local::commit::Inside;

use super::identity::{Effort, Identity};
use super::outcome::{Outcome, Refusal, Subject};
use super::request_context::RequestContext;
use super::shared_folder::Share;

/// What is in a folder that submitted locks pin.
pub(super) enum Pinned {
    /// These files, and each is the version that it was.
    AsTheyWere(Vec<Inside>),
    /// Among others these large files, whose content has to be known first.
    Unhashed(Vec<SharePath>),
}

impl Share {
    /// Judges whether a file is the version that the submitted locks on it were taken on.
    pub(super) fn judge_pins(
        &self,
        path: &SharePath,
        request: &RequestContext,
        identity: Option<&Identity>,
    ) -> Outcome<()> {
        let is_that = |pin: &EntityTag| identity.is_some_and(|known| known.validators.strongly_match(pin));
        if self.pins(path, request).iter().all(is_that) {
            return Ok(());
        }
        let of = self.subject_file(path, identity);
        Err(Refusal::PreconditionFailed { header: Header::LockToken, of, current: identity.map(Identity::current) }
            .into())
    }

    /// Judges whether a folder that is to go is one, as far as the submitted locks know, and every file in it the version that they were taken
    /// on. No large file is hashed.
    pub(super) fn judge_pins_inside(&self, path: &SharePath, request: &RequestContext) -> Outcome<Pinned> {
        let changed = |of, current| Refusal::PreconditionFailed { header: Header::LockToken, of, current };
        if !self.pins(path, request).is_empty() {
            return Err(changed(Subject::judged(path, &Target::Collection), None).into());
        }
        let (mut files, mut unhashed) = (Vec::new(), Vec::new());
        for (at, pin) in self.pins_inside(path, request) {
            let asks = matches!(pin.form(), TagForm::Content(_));
            let effort = if asks { Effort::HashSmall } else { Effort::Recall };
            let known = self.identify_inside(&at, effort, request.now)?;
            match known {
                Some(known) if known.is_busy => return Err(Refusal::OpenForWriting.into()),
                Some(known) if asks && known.hash.is_none() && self.is_to_be_hashed(&at, &known.stamp, request.now) => {
                    unhashed.push(at);
                }
                Some(known) if known.validators.strongly_match(&pin) => {
                    files.push(Inside { path: at, stamp: known.stamp });
                }
                known => {
                    let current = known.as_ref().map(Identity::current);
                    return Err(changed(self.subject_file(&at, known.as_ref()), current).into());
                }
            }
        }
        Ok(if unhashed.is_empty() { Pinned::AsTheyWere(files) } else { Pinned::Unhashed(unhashed) })
    }

    /// Which version a file in a folder is whose mutex is held; `None` where no file is.
    fn identify_inside(&self, path: &SharePath, effort: Effort, now: Timestamp) -> Outcome<Option<Identity>> {
        match self.tree.read_consistent_without_lock(path, || self.tree.open(path)) {
            Ok(Opened::File(file, status)) => Ok(Some(self.identify(path, &file, &status, effort, now)?)),
            Ok(_) => Ok(None),
            Err(error) if matches!(error.cause, Cause::NotFound | Cause::NotADirectory | Cause::Escapes) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The files in a folder whose content has to be known to judge the locks that were submitted for them.
    pub(super) fn pinned_contents_inside(&self, path: &SharePath, request: &RequestContext) -> Vec<SharePath> {
        let mut pins = self.pins_inside(path, request);
        pins.retain(|(_, pin)| matches!(pin.form(), TagForm::Content(_)));
        pins.into_iter().map(|(at, _)| at).collect()
    }

    fn pins_inside(&self, path: &SharePath, request: &RequestContext) -> Vec<(SharePath, EntityTag)> {
        if !request.has_tokens() {
            return Vec::new();
        }
        self.follow_pins(path, request.now);
        self.table_about(path).pins_inside(path, &request.tokens, request.principal(), request.now)
    }

    /// Whether the content of a file has to be known to judge the locks that were submitted for it.
    pub(super) fn pins_ask_for_content(&self, path: &SharePath, request: &RequestContext) -> bool {
        self.pins(path, request).iter().any(|pin| matches!(pin.form(), TagForm::Content(_)))
    }

    /// Whether a lock that was submitted was taken on a version of what is at a path.
    pub(super) fn is_pinned(&self, path: &SharePath, request: &RequestContext) -> bool {
        !self.pins(path, request).is_empty()
    }

    fn pins(&self, path: &SharePath, request: &RequestContext) -> Vec<EntityTag> {
        self.submitted_on(path, request).iter().filter_map(|lock| lock.pin_of(path).cloned()).collect()
    }
}
