//! The history, as clients see it: what was kept of a path, and how to bring it back.

use std::ops::ControlFlow;

use crate::model::change::Before;
use crate::model::keep_rule::Room;
use crate::model::path::SharePath;
use crate::model::rights::Rights;
use crate::model::stamp::Timestamp;
use crate::model::verdict::Deed;
use crate::model::version::VersionId;
use crate::store::catalog::properties::Following;
use crate::store::handle::{File, Opened};
use crate::store::local::commit::{FileCopy, Site, StagedCopy, Swap};
use crate::store::local::history::{FoundVersion, KeptVersion, Page, PageRequest};
use crate::store::local::staging::Staging;
use crate::store::status::Kind;

use super::dating::Dating;
use super::folders::FoldersAbove;
use super::judge::Task;
use super::outcome::{Outcome, Refusal, Stop};
use super::read::OpenResource;
use super::relocate::{CopyLimit, Relocated, Relocation};
use super::request_context::RequestContext;
use super::room::A_NAME;
use super::shared_folder::Share;
use super::stored::Stored;
use super::storing::{Came, Storing};

/// A version that is kept, and where it was.
#[derive(Clone, Debug)]
pub struct KeptAt {
    /// The path it was at.
    pub path: SharePath,
    /// The version.
    pub version: KeptVersion,
}

impl Share {
    /// A page of the versions of a path. Nobody waits for it any more if `go_on` breaks.
    pub fn versions(
        &self,
        path: &SharePath,
        wanted: PageRequest<VersionId>,
        request: &RequestContext,
        go_on: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Outcome<Page<KeptVersion>> {
        let path = &*self.spelled(path)?;
        self.is_permitted(path, Rights::HISTORY, request)?;
        let is_first = wanted.before.is_none();
        let page = self.tree.history().versions(path, wanted, go_on);
        let page = page.map_err(|error| self.stop(error, Refusal::NotFound))?;
        if page.items.is_empty() && is_first {
            // What neither is nor was has no history.
            self.is_collection(path, request)?;
        }
        Ok(page)
    }

    /// A page of the versions of a path and of every one below.
    pub fn versions_below(
        &self,
        below: &SharePath,
        wanted: PageRequest<(VersionId, SharePath)>,
    ) -> Outcome<Page<KeptAt>> {
        let Page { items, goes_on } = self.tree.history().versions_below(&self.as_made(below), wanted)?;
        let items = items.into_iter().map(|(path, version)| KeptAt { path, version }).collect();
        Ok(Page { items, goes_on })
    }

    /// Opens a version.
    pub fn read_version(&self, path: &SharePath, id: &VersionId, request: &RequestContext) -> Outcome<OpenResource> {
        let path = &*self.spelled(path)?;
        self.is_permitted(path, Rights::HISTORY, request)?;
        match self.tree.history().open(path, id).map_err(|error| self.stop(error, Refusal::NotFound))? {
            Opened::File(file, status) => {
                let identity = self.identify_version(path, &file, &status, request.now)?;
                Ok(OpenResource::File(Box::new(self.content_of(file, &identity)), Box::new(identity)))
            }
            Opened::Dir(status) => Ok(OpenResource::Collection(status.stamp.mtime)),
            Opened::Nothing | Opened::Link | Opened::Special => Err(Refusal::NotFound.into()),
        }
    }

    /// Makes a version the file at its path again: a change like any other, which displaces what is there now. The version stays in the
    /// history. A folder comes back only where nothing is, and leaves the history. `None` for a folder, which has no tag. The folders above
    /// are made where they are missing, if that is asked for. Nothing is done if it is not wanted any more before the content is copied.
    pub fn restore(
        &self,
        path: &SharePath,
        id: &VersionId,
        make_parents: bool,
        request: &RequestContext,
        limit: CopyLimit<'_>,
    ) -> Outcome<Option<Stored>> {
        let path = &*self.spelled(path)?;
        self.is_permitted(path, Rights::HISTORY, request)?;
        let found = self.tree.history().find(path, id).map_err(|error| self.stop(error, Refusal::NotFound))?;
        let Some(found) = found else { return Err(Refusal::NotFound.into()) };
        let deed = if found.version.status.kind == Kind::File { Deed::Restore } else { Deed::BringBack };
        let folders = match self.tree.site(path).map_err(|error| self.stop(error, Refusal::NoParent)) {
            Err(Stop::Refusal(Refusal::NoParent)) if make_parents => {
                self.judge_where_nothing_is(path, request, deed)?;
                if deed == Deed::Restore {
                    limit.admits(found.version.status.stamp.size)?;
                }
                self.make_folders_above(path, Deed::BringBack, request)?
            }
            site => site.map(|_| FoldersAbove::default())?,
        };
        let stored = match deed {
            Deed::Restore => Some(self.restore_file(path, &found, request, limit)?),
            _ => {
                self.restore_collection(path, &found, request)?;
                self.note_folder_came(path);
                self.dates.folder_came(path, request.now);
                None
            }
        };
        folders.keep();
        self.tell_of_change(path, request.now);
        Ok(stored)
    }

    /// Copies a version of a file to another path, or back to its own. The conditional headers speak of the version, as those of a COPY do
    /// of its source. `None` where the version is a folder.
    pub fn copy_version(
        &self,
        wanted: &Relocation,
        id: &VersionId,
        request: &RequestContext,
        limit: CopyLimit<'_>,
    ) -> Outcome<Option<Relocated>> {
        let (from, to) = (self.spelled(&wanted.from)?, self.spelled(&wanted.to)?);
        self.is_permitted(&from, Rights::HISTORY, request)?;
        let found = self.tree.history().find(&from, id).map_err(|error| self.stop(error, Refusal::NotFound))?;
        let Some(found) = found else { return Err(Refusal::NotFound.into()) };
        let (version, status) = match self.tree.open_version(&found)? {
            Opened::File(version, status) => (version, status),
            Opened::Dir(_) => return Ok(None),
            Opened::Nothing | Opened::Link | Opened::Special => return Err(Refusal::NotFound.into()),
        };
        let of_target = request.for_the_target(wanted.may_replace);
        drop(self.look_and_judge(&to, &of_target, Task::copy_of(&from))?);
        let site = self.site_of_upload(&to)?;
        let staged =
            self.stage_version(&version, &site, limit, request.now)?.seal(Some(&version), status.stamp.mtime)?;
        let copy = StagedCopy::File(FileCopy { staged, of: status.stamp });
        let notes = |displaced: Option<VersionId>| {
            let (of, version, to) = (found.path.clone(), id.clone(), self.as_made(&to).into_owned());
            self.let_notes_follow(Following::Gone { from: to.clone(), version: displaced });
            self.let_notes_follow(Following::Back { of, version, to, displaced: None, stays: true });
        };
        let conditions = (request, &of_target);
        self.commit_copy(copy, (&from, &to), wanted.dated, conditions, &notes).map(Some)
    }

    fn restore_file(
        &self,
        path: &SharePath,
        found: &FoundVersion,
        request: &RequestContext,
        limit: CopyLimit<'_>,
    ) -> Outcome<Stored> {
        let site = self.look_and_judge(path, request, Deed::Restore)?.claim.site().clone();
        self.has_room(&site, found.version.status.stamp.size, request.now)?;
        let Opened::File(version, _) = self.tree.open_version(found)? else {
            return Err(Refusal::NotFound.into());
        };
        let staging = self.stage_version(&version, &site, limit, request.now)?;
        let there = self.to_be_replaced(&site)?;
        let mtime = self.next_date(path, there.as_ref().map(|there| there.modified), request.now);
        let like = there.as_ref().map_or(&version, |there| &there.file);
        let mut staged = staging.seal(Some(like), mtime)?;
        drop(there);
        let notes = |came: Came| {
            let (of, version, to) = (found.path.clone(), found.version.name.id.clone(), path.clone());
            let displaced = match came {
                Came::ToAFreeName => None,
                Came::InPlaceOf(displaced) => displaced,
            };
            self.let_notes_follow(Following::Back { of, version, to, displaced, stays: true });
        };
        let storing = Storing { deed: Deed::Restore, dating: Dating::Ours, base: None, notes: &notes };
        self.put_staged(&site, path, &mut staged, &storing, request)
    }

    /// The content of a version, for a file at a site.
    fn stage_version(&self, version: &File, site: &Site, limit: CopyLimit<'_>, now: Timestamp) -> Outcome<Staging> {
        let is_wanted = &self.go_on(limit);
        limit.admits(self.tree.status(version)?.stamp.size)?;
        let mut staging = self.stage(site, now)?;
        match staging.copy_from(version, is_wanted) {
            Err(error) if error.full().is_some() => {
                let size = self.tree.status(version)?.stamp.size;
                let rest = A_NAME + Room { bytes: size.saturating_sub(staging.written()), files: 0 };
                if !self.makes_room_after(&error, &site.parent, rest, now) {
                    return Err(error.into());
                }
                self.with_room_made(staging.copy_from(version, is_wanted), &site.parent, now)?;
            }
            copied => copied.map_err(|error| self.stop_of_copy(error, limit))?,
        }
        Ok(staging)
    }

    fn restore_collection(&self, path: &SharePath, found: &FoundVersion, request: &RequestContext) -> Outcome<()> {
        self.look_until_done(path, request, Deed::BringBack, |claim, _| {
            let swap = claim.bring_back(found)?;
            if matches!(swap, Swap::Done(_)) {
                self.tell_folder(path, Before::Nothing, true, None, request);
                self.look_below(path, request);
                let (of, version, to) = (found.path.clone(), found.version.name.id.clone(), path.clone());
                self.let_notes_follow(Following::Back { of, version, to, displaced: None, stays: false });
            }
            Ok((swap, ()))
        })?;
        Ok(())
    }
}
