//! Judging an upload before its body has come, and again while it comes: from the headers alone, by what is there now. The commit judges once more.

use std::time::Duration;

use crate::model::path::SharePath;
use crate::model::verdict::{Change, Deed, Found};
use crate::store::handle::Opened;
use crate::store::local::commit::Site;

use super::evidence::{AtName, Moment};
use super::identity::Effort;
use super::outcome::{Outcome, Refusal, Stop};
use super::request_context::RequestContext;
use super::shared_folder::Share;
use super::storing::Replaced;

/// How long an upload waits, before it is begun, for a program that has the file open for writing.
pub(super) const PATIENCE: Duration = Duration::from_millis(250);

/// What an early look found.
pub(super) struct FoundEarly {
    pub(super) site: Site,
    pub(super) replaces: Option<Replaced>,
    /// Whether it is left to the commit to judge, since the content of a large file is asked for and was not hashed yet.
    pub(super) is_to_be_hashed: bool,
}

impl Share {
    /// Says early, from the headers alone, why an upload could not succeed now. The commit judges again.
    pub fn may_put(&self, path: &SharePath, request: &RequestContext, announced: Option<u64>) -> Outcome<()> {
        self.judge_upload(path, request, announced).map(drop)
    }

    /// As [`Share::may_put`], and tells what was found.
    pub(super) fn judge_upload(
        &self,
        path: &SharePath,
        request: &RequestContext,
        announced: Option<u64>,
    ) -> Outcome<FoundEarly> {
        let found = self.judge_early(path, Deed::Put, request, PATIENCE)?;
        announced.map_or(Ok(()), |bytes| self.has_room(&found.site, bytes, request.now))?;
        Ok(found)
    }

    /// As [`Share::may_put`], where the folders above may be missing, since the request makes them: nothing is made yet.
    pub fn may_put_with_parents(
        &self,
        path: &SharePath,
        request: &RequestContext,
        announced: Option<u64>,
    ) -> Outcome<()> {
        match self.may_put(path, request, announced) {
            Err(Stop::Refusal(Refusal::NoParent)) => {
                let site = self.judge_new_parents(path)?;
                self.judge_where_nothing_is(path, request, Deed::Put)?;
                announced.map_or(Ok(()), |bytes| self.has_room(&site, bytes, request.now))
            }
            judged => judged,
        }
    }

    /// Looks at what is there, waiting with `patience` for a program that writes it, and judges it by the headers.
    pub(super) fn judge_early(
        &self,
        path: &SharePath,
        deed: Deed,
        request: &RequestContext,
        patience: Duration,
    ) -> Outcome<FoundEarly> {
        let site = self.site_of_upload(path)?;
        let look = || self.tree.open_in(&site.parent, &site.name);
        // For an upload in flight nobody waits for long: a change that is under way speaks of it when it has ended.
        let opened = if patience.is_zero() {
            self.tree.read_consistent_without_lock(path, look)
        } else {
            self.tree.read_consistent(path, look)
        }?;
        let (mut is_mount_point, mut identity, mut replaces, mut is_to_be_hashed) = (false, None, None, false);
        let found = match opened {
            Opened::Nothing => Found::Nothing,
            // A link is never what a change means, even where links are followed for reading.
            Opened::Dir(status) | Opened::File(_, status) if self.tree.is_link(&site, &status)? => Found::Link,
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
                is_to_be_hashed = asks && known.hash.is_none() && !known.is_busy && self.is_large(&status.stamp);
                let found = if known.is_busy { Found::BusyFile } else { Found::File };
                identity = Some(known);
                replaces = Some(Replaced { file, modified: status.stamp.mtime });
                found
            }
        };
        let change = Change { deed, found, is_mount_point, is_fit_name: site.name.may_be_made(), brings_folder: false };
        let name = AtName { change, path: &site.path, site: Some(&site), seen: None, request, identity };
        self.judge(vec![name], Moment::Early)?;
        Ok(FoundEarly { site, replaces, is_to_be_hashed })
    }

    /// Judges every name that would be new on the way to a path, and gives the site of the first of them.
    pub(super) fn judge_new_parents(&self, path: &SharePath) -> Outcome<Site> {
        let mut above = SharePath::root();
        let mut first: Option<Site> = None;
        for name in path.names() {
            above = above.join(&name);
            match &first {
                Some(first) => self.judge_new_name(&Site { path: above.clone(), name, ..first.clone() })?,
                None => {
                    let site = self.site_of_upload(&above)?;
                    match self.tree.open_in(&site.parent, &site.name)? {
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
}
