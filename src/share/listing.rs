//! The members of a folder, one after the other, without holding them all.

use std::ops::ControlFlow;

use crate::model::dating::told;
use crate::model::path::{Name, SharePath};
use crate::model::rights::Rights;
use crate::model::stamp::{FileId, Timestamp};
use crate::model::tag::EntityTag;
use crate::store::disk_error::{Cause, Result};
use crate::store::handle::{Dir, Opened};
use crate::store::status::{Entry, Kind, Status};

use super::dates::TOLD_LATELY;
use super::identity::Effort;
use super::outcome::{Outcome, Refusal};
use super::request_context::RequestContext;
use super::shared_folder::Share;

/// A member of a folder.
#[derive(Clone, Debug)]
pub struct ListedMember {
    /// Its name.
    pub name: Name,
    /// Whether it is a file, a folder, or something that noclobber does not open.
    pub kind: Kind,
    /// Its size in bytes; 0 for a folder.
    pub size: u64,
    /// When it was last changed; now, where that lies ahead of the clock.
    pub modified: Timestamp,
    /// When it was made, where the file system knows.
    pub born: Option<Timestamp>,
    /// Whether its owner may execute it.
    pub is_executable: bool,
    /// The tag of a file, if tags were asked for and one could be had.
    pub tag: Option<EntityTag>,
    /// Which file or folder it is, if a link was followed to it.
    pub linked: Option<FileId>,
}

impl ListedMember {
    pub(super) fn new(name: Name, status: &Status, tag: Option<EntityTag>, now: Timestamp) -> Self {
        let is_file = status.kind == Kind::File;
        Self {
            name,
            kind: status.kind,
            size: if is_file { status.stamp.size } else { 0 },
            modified: told(status.stamp.mtime, now),
            born: status.born,
            is_executable: is_file && status.mode & 0o100 != 0,
            tag,
            linked: None,
        }
    }
}

/// Whether a listing shows the tags of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tags {
    /// It does, where one can be had.
    Show,
    /// It does not, and no file is opened.
    Omit,
}

/// Of which members of a folder a client is told, as far as its rights say.
struct ToldOf<'a> {
    /// By which path it came, and where that leads.
    folders: [&'a SharePath; 2],
    /// Whether it is told of all of them or of none, if that is so.
    all: Option<bool>,
    request: &'a RequestContext,
}

impl<'a> ToldOf<'a> {
    fn new(asked: &'a SharePath, place: &'a SharePath, request: &'a RequestContext) -> Self {
        let all = request.permissions.throughout_if_the_same(place).filter(|_| asked == place);
        Self { folders: [asked, place], all: all.map(|rights| rights.contains(Rights::LIST)), request }
    }

    fn includes(&self, name: &Name) -> bool {
        let is_listed = |folder: &&SharePath| self.request.permissions.at(&folder.join(name)).contains(Rights::LIST);
        self.all.unwrap_or_else(|| self.folders.iter().all(is_listed))
    }
}

impl Share {
    /// Calls `each` for every member of a folder, in no order, until it breaks. Nothing is hashed but small files that were changed in this very
    /// instant, and memory does not grow with the folder.
    pub fn list(
        &self,
        path: &SharePath,
        tags: Tags,
        request: &RequestContext,
        each: &mut dyn FnMut(ListedMember) -> ControlFlow<()>,
    ) -> Outcome<()> {
        self.tree.top().map_err(|_| Refusal::ShareGone)?;
        let asked = path;
        let path = &*self.place_to_read(path, Rights::LIST, request)?;
        let told = ToldOf::new(asked, path, request);
        let dir = self.tree.open_folder(path).map_err(|error| self.stop(error, Refusal::NotFound))?;
        let mount = self.tree.folder_status(&dir)?.mount;
        let before = self.tree.mutexes().sequences();
        let mut stop = None;
        self.tree.list(&dir, &mut |entry| {
            if self.is_left_out(path, &entry, mount, &told) {
                return ControlFlow::Continue(());
            }
            let entry = if self.tree.mutexes().is_unchanged_since(&entry.name, &before) {
                Ok(Some(entry))
            } else {
                self.look_consistently(path, &dir, &entry.name)
            };
            match entry {
                Ok(Some(entry)) => each(self.listed(path, &dir, entry, tags, request.now)),
                // What is there, and cannot be told of now, must not look as if it were not there.
                Err(error) if error.cause == Cause::TooManyOpen => {
                    stop = Some(error);
                    ControlFlow::Break(())
                }
                Ok(None) | Err(_) => ControlFlow::Continue(()),
            }
        })?;
        stop.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Whether a member is not told of: noclobber's own folder, a link that is not followed, what the client may not see, and what lies on another
    /// mount where no path of the share leads. The one place that says so, for listings and walks alike.
    fn is_left_out(&self, folder: &SharePath, entry: &Entry, mount: u64, told: &ToldOf<'_>) -> bool {
        let is_elsewhere = entry.is_linked || entry.status.mount != mount;
        let leads_nowhere = || self.place_to_read(&folder.join(&entry.name), Rights::LIST, told.request).is_err();
        entry.name.is_reserved()
            || entry.status.kind == Kind::Link
            || !told.includes(&entry.name)
            || is_elsewhere && leads_nowhere()
    }

    /// Looks again at a member whose name was being changed, so that no upload is listed that may still be undone.
    fn look_consistently(&self, folder: &SharePath, dir: &Dir, name: &Name) -> Result<Option<Entry>> {
        let found = self.tree.read_consistent(&folder.join(name), || self.tree.look_in(dir, name))?;
        let there = found.filter(|status| status.kind != Kind::Link);
        Ok(there.map(|status| Entry { name: name.clone(), status, is_linked: false }))
    }

    fn listed(&self, folder: &SharePath, dir: &Dir, entry: Entry, tags: Tags, now: Timestamp) -> ListedMember {
        let Entry { name, status, is_linked } = entry;
        let is_file = status.kind == Kind::File;
        if is_file && now.since(status.stamp.mtime) < TOLD_LATELY {
            self.tell_date(&folder.join(&name), &status.stamp, now);
        }
        let tag = if is_file && tags == Tags::Show { self.tag_of(folder, dir, &name, &status, now) } else { None };
        ListedMember { linked: is_linked.then_some(status.stamp.id), ..ListedMember::new(name, &status, tag, now) }
    }

    /// The tag that is remembered, or else one made from the stamp; for that the file is opened, the first time.
    pub(super) fn tag_of(
        &self,
        folder: &SharePath,
        dir: &Dir,
        name: &Name,
        status: &Status,
        now: Timestamp,
    ) -> Option<EntityTag> {
        if let Some(tag) = self.recall_tag(&status.stamp) {
            return Some(tag);
        }
        let Ok(Opened::File(file, opened)) = self.tree.open_in(dir, name) else { return None };
        if opened.stamp.id != status.stamp.id {
            return None;
        }
        let known = self.identify(&folder.join(name), &file, &opened, Effort::Recall, now).ok()?;
        Some(known.validators.shown)
    }
}
