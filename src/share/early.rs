//! Judging an upload before its body has come, and again while it comes: from the headers alone, by what is there now. The commit judges once more.

use std::borrow::Cow;
use std::time::Duration;

use crate::model::path::SharePath;
use crate::model::stamp::Timestamp;
use crate::model::validators::Target;
use crate::model::verdict::{Change, Deed, Found};
use crate::store::commit::Site;
use crate::store::disk::Opened;

use super::evidence::{AtName, Moment};
use super::hints::Hint;
use super::identity::Effort;
use super::outcome::{Outcome, Refusal, Stop};
use super::request_context::RequestContext;
use super::shared_folder::Share;
use super::uploads::{Judged, UploadWatch};

/// How long an upload waits, before it is begun, for a program that has the file open for writing.
const PATIENCE: Duration = Duration::from_millis(250);

impl Share {
    /// Says early, from the headers alone, why an upload could not succeed now. The commit judges again.
    pub fn may_put(&self, path: &SharePath, request: &RequestContext, announced: Option<u64>) -> Outcome<()> {
        let site = self.judge_early(path, request, PATIENCE)?;
        announced.map_or(Ok(()), |bytes| self.has_room(&site, bytes, request.now))
    }

    /// As [`Share::may_put`], where the folders above may be missing, since the request makes them: nothing is made yet.
    pub fn may_put_with_parents(
        &self,
        path: &SharePath,
        request: &RequestContext,
        announced: Option<u64>,
    ) -> Outcome<()> {
        match self.may_put(path, request, announced) {
            Err(stop) if stop.is(Refusal::NoParent) => {
                self.judge_where_nothing_is(path, request, Deed::Put)?;
                let site = self.judge_new_parents(path)?;
                announced.map_or(Ok(()), |bytes| self.has_room(&site, bytes, request.now))
            }
            judged => judged,
        }
    }

    /// Puts an upload on the list of those that are told when their validator goes stale; `wake` is called then. This comes before
    /// [`Share::may_put`]: what changes between the two is seen by that look, what changes later is told.
    ///
    /// The upload is told of its own commit, too: once that has begun, what it is told means nothing.
    pub fn watch_upload(
        &self,
        path: &SharePath,
        request: &RequestContext,
        wake: Box<dyn Fn() + Send + Sync>,
    ) -> UploadWatch {
        let place = self.spelled(path).map_or_else(|_| path.clone(), Cow::into_owned);
        self.uploads.watch(&place, request, wake)
    }

    /// Says why an upload in flight can no longer succeed, after it was in doubt and the file it depends on was hashed.
    pub fn may_go_on(&self, path: &SharePath, request: &RequestContext) -> Outcome<()> {
        let path = self.spelled(path)?;
        self.gone_stale(&path, request).map_or(Ok(()), Err)
    }

    /// Judges an upload in flight, for whom others wait: no large file is hashed.
    pub(super) fn judge_in_flight(&self, path: &SharePath, request: &RequestContext) -> Judged {
        let is_to_be_hashed = self.unhashed(path, None, request).is_ok_and(|files| !files.is_empty());
        if is_to_be_hashed || self.is_large_and_to_be_confirmed(path) {
            return Judged::InDoubt;
        }
        self.gone_stale(path, request).map_or(Judged::Holds, Judged::Stale)
    }

    /// Why the condition of an upload in flight no longer holds. What may be otherwise by the time of the commit does not count: a program
    /// that has the file open, a folder that is still to be made, a disk that fails.
    fn gone_stale(&self, path: &SharePath, request: &RequestContext) -> Option<Stop> {
        let stop = self.judge_early(path, request, Duration::ZERO).err()?;
        match &stop {
            Stop::Refusal(Refusal::PreconditionFailed { .. }) => Some(stop),
            Stop::Refusal(Refusal::NoParent) => self.judge_conditions(path, request, &Target::Nothing).err(),
            Stop::Refusal(Refusal::IsCollection) => self.judge_conditions(path, request, &Target::Collection).err(),
            _ => None,
        }
    }

    /// Whether a look at what is there would have to hash a large file, because it is not sure whether that is still what it was.
    fn is_large_and_to_be_confirmed(&self, path: &SharePath) -> bool {
        let Ok(Some(status)) = self.status_of(path) else { return false };
        self.is_large(&status.stamp)
            && self.index.recall_unsettled(&status.stamp).is_some_and(|remembered| !remembered.is_settled)
    }

    /// Looks at what is there, waiting with `patience` for a program that writes it, and judges it by the headers.
    fn judge_early(&self, path: &SharePath, request: &RequestContext, patience: Duration) -> Outcome<Site> {
        let disk = self.tree.disk();
        let site = self.site_of_upload(path)?;
        let look = || disk.open(&site.parent, &site.name);
        // For an upload in flight nobody waits for long: a change that is under way speaks of it when it has ended.
        let opened =
            if patience.is_zero() { self.tree.steadily_beside(path, look) } else { self.tree.steadily(path, look) }?;
        let (mut is_mount_point, mut identity) = (false, None);
        let found = match opened {
            Opened::Nothing => Found::Nothing,
            Opened::Dir(_) => Found::Collection,
            Opened::Link => Found::Link,
            Opened::Special => Found::Special,
            Opened::File(_, status) if status.is_mount_point => {
                is_mount_point = true;
                Found::File
            }
            Opened::File(file, status) => {
                let asks = request.precondition.asks_for_content() || self.pins_ask_for_content(&site.path, request);
                let effort = if asks { Effort::HashSmall } else { Effort::Recall };
                let known = self.identify_patiently(&site.path, &file, &status, effort, patience, request.now)?;
                let found = if known.is_busy { Found::BusyFile } else { Found::File };
                identity = Some(known);
                found
            }
        };
        let change = Change { deed: Deed::Put, found, is_mount_point, is_fit_name: site.name.may_be_made() };
        let name = AtName { change, path: &site.path, site: Some(&site), seen: None, request, identity };
        self.judge(vec![name], Moment::Early)?;
        Ok(site)
    }

    /// Judges every name that would be new on the way to a path, and gives the site of the first of them.
    fn judge_new_parents(&self, path: &SharePath) -> Outcome<Site> {
        let mut above = SharePath::root();
        let mut first: Option<Site> = None;
        for name in path.names() {
            above = above.join(&name);
            match &first {
                Some(first) => self.judge_new_name(&Site { path: above.clone(), name, ..first.clone() })?,
                None => {
                    let site = self.site_of_upload(&above)?;
                    match self.tree.disk().open(&site.parent, &site.name)? {
                        Opened::Dir(_) => {}
                        Opened::Nothing => {
                            self.judge_new_name(&site)?;
                            first = Some(site);
                        }
                        Opened::File(..) | Opened::Link | Opened::Special => return Err(Refusal::NoParent.into()),
                    }
                }
            }
        }
        first.ok_or_else(|| Refusal::ChangedMeanwhile.into())
    }

    /// Tells the uploads in flight at once that something has changed here.
    pub(super) fn changed(&self, path: &SharePath, now: Timestamp) {
        self.tell_uploads(&Hint::Subtree(path.clone()), now);
    }

    /// Takes a hint: forgets what it speaks of, looks, and tells the uploads in flight whose validator has gone stale, or may have. No large file is
    /// hashed.
    pub fn noticed(&self, hint: &Hint, now: Timestamp) {
        self.hints.count(hint);
        if let Hint::Path(path) = hint
            && let Ok(Some(status)) = self.status_of(path)
            && self.index.recall_unsettled(&status.stamp).is_none()
        {
            self.index.forget(status.stamp.id.inode);
        }
        self.tell_uploads(hint, now);
    }

    /// Nothing is held while an upload is judged that a commit would wait for.
    fn tell_uploads(&self, hint: &Hint, now: Timestamp) {
        self.uploads.recheck(hint, |path, request| self.judge_in_flight(path, &request.clone().at(now)));
    }
}
