//! The members of a folder, one after the other, and what a client is told of each: from memory where the folder is listed again and again,
//! else from the disk without holding them all.

use std::borrow::Cow;
use std::ops::ControlFlow;

use crate::model::dating::told;
use crate::model::path::{Name, SharePath};
use crate::model::rights::Rights;
use crate::model::stamp::{FileId, Timestamp};
use crate::model::tag::EntityTag;
use crate::store::disk_error::{Cause, Result};
use crate::store::handle::{Dir, Opened};
use crate::store::local::name_lock::Sequences;
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
    folders: [SharePath; 2],
    /// What it may do with all of them, if that is the same.
    all: Option<Rights>,
    request: &'a RequestContext,
}

impl<'a> ToldOf<'a> {
    fn new(asked: &SharePath, place: &SharePath, request: &'a RequestContext) -> Self {
        let all = request.permissions.throughout_if_the_same(place).filter(|_| asked == place);
        Self { folders: [asked.clone(), place.clone()], all, request }
    }

    fn includes(&self, name: &Name) -> bool {
        let is_listed = |folder: &SharePath| self.request.permissions.at(&folder.join(name)).contains(Rights::LIST);
        self.all.map_or_else(|| self.folders.iter().all(is_listed), |rights| rights.contains(Rights::LIST))
    }
}

/// What is told of one entry of a folder.
pub(super) struct Told {
    /// The member; `None` if the client is told of none.
    pub(super) member: Option<ListedMember>,
    /// Whether the same is told again as long as the entry is the same: nothing about it is of the moment.
    pub(super) lasts: bool,
}

/// A folder whose members a client is told of.
pub(super) struct ListedFolder<'a> {
    pub(super) share: &'a Share,
    pub(super) dir: Dir,
    pub(super) status: Status,
    place: SharePath,
    told_of: ToldOf<'a>,
    /// What was under way when it was opened; `None` if no member is to be told of anew.
    before: Option<Sequences>,
    tags: Tags,
}

/// Where an entry comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// It was just seen on the disk.
    Now,
    /// It is remembered, and nobody has told of a change.
    InMemory,
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
        let folder = ListedFolder::open(self, path, tags, request)?.for_telling();
        let mut stop = None;
        let mut tell = |entry: Cow<'_, Entry>, found: Found| match folder.tell(entry, found) {
            Ok(Told { member: Some(member), .. }) => each(member),
            Ok(Told { member: None, .. }) => ControlFlow::Continue(()),
            Err(error) => {
                stop = Some(error);
                ControlFlow::Break(())
            }
        };
        match self.tree.folders().members(&folder.dir, &folder.status, request.now)? {
            Some(known) => {
                let mut entries = known.pages().iter().flat_map(|page| page.entries());
                let _ = entries.try_for_each(|entry| tell(Cow::Borrowed(entry), Found::InMemory));
            }
            None => self.tree.list(&folder.dir, &mut |entry| tell(Cow::Owned(entry), Found::Now))?,
        }
        stop.map_or(Ok(()), |error| Err(error.into()))
    }

    /// What a client is told of one member of a folder by a look at it; `None` where there is nothing, or nothing that it is told of.
    pub(super) fn member(
        &self,
        path: &SharePath,
        tags: Tags,
        request: &RequestContext,
    ) -> Outcome<Option<ListedMember>> {
        let Some((folder, name)) = path.split() else { return Ok(None) };
        let folder = ListedFolder::open(self, &folder, tags, request)?.for_telling();
        let Some(entry) = self.tree.entry_in(&folder.dir, &name)? else { return Ok(None) };
        let member = folder.tell(Cow::Owned(entry), Found::Now)?.member;
        Ok(member.filter(|member| matches!(member.kind, Kind::Dir | Kind::File)))
    }
}

impl<'a> ListedFolder<'a> {
    /// Opens the folder at a path, for a client that may list it.
    pub(super) fn open(
        share: &'a Share,
        asked: &'a SharePath,
        tags: Tags,
        request: &'a RequestContext,
    ) -> Outcome<Self> {
        share.tree.top().map_err(|_| Refusal::ShareGone)?;
        let place = share.place_to_read(asked, Rights::LIST, request)?.into_owned();
        let dir = share.tree.open_folder(&place).map_err(|error| share.stop(error, Refusal::NotFound))?;
        let status = share.tree.folder_status(&dir)?;
        let told_of = ToldOf::new(asked, &place, request);
        Ok(Self { share, dir, status, place, told_of, before: None, tags })
    }

    /// The same, for whoever looks at its members from now on.
    pub(super) fn for_telling(self) -> Self {
        Self { before: Some(self.share.tree.mutexes().sequences()), ..self }
    }

    /// What may be done with every member, if that is the same for all, they may be listed, and their URLs are those of their places.
    pub(super) fn rights_of_all(&self) -> Option<Rights> {
        self.told_of.all.filter(|rights| rights.contains(Rights::LIST))
    }

    /// What the client is told of an entry. Fails where what is there cannot be told of now, and must not look as if it were not there.
    pub(super) fn tell(&self, entry: Cow<'_, Entry>, found: Found) -> Result<Told> {
        let is_elsewhere = entry.is_linked || entry.status.mount != self.status.mount;
        if self.is_left_out(&entry, is_elsewhere) {
            return Ok(Told { member: None, lasts: !is_elsewhere });
        }
        let is_unchanged = |before| self.share.tree.mutexes().is_unchanged_since(&entry.name, before);
        let is_calm = self.before.as_ref().is_some_and(is_unchanged);
        let tag = self.known_tag(&entry.status);
        let lasts = is_calm && !is_elsewhere && self.lasts(&entry.status, tag.is_some());
        // What is of the moment is seen in the moment. What a link leads to is looked at each time.
        if is_calm && (lasts || found == Found::Now || entry.is_linked) {
            return Ok(Told { member: Some(self.listed(entry.into_owned(), tag)), lasts });
        }
        match self.look_consistently(&entry.name) {
            Ok(there) => {
                let member = there.map(|entry| (self.known_tag(&entry.status), entry));
                Ok(Told { member: member.map(|(tag, entry)| self.listed(entry, tag)), lasts: false })
            }
            Err(error) if error.cause == Cause::TooManyOpen => Err(error),
            Err(_) => Ok(Told { member: None, lasts: false }),
        }
    }

    /// Whether a member is not told of: noclobber's own folder, a link that is not followed, what the client may not see, and what lies on another
    /// mount where no path of the share leads. The one place that says so, for listings and walks alike.
    fn is_left_out(&self, entry: &Entry, is_elsewhere: bool) -> bool {
        let path = || self.place.join(&entry.name);
        let leads_nowhere = || self.share.place_to_read(&path(), Rights::LIST, self.told_of.request).is_err();
        entry.name.is_reserved()
            || entry.status.kind == Kind::Link
            || !self.told_of.includes(&entry.name)
            || is_elsewhere && leads_nowhere()
    }

    /// Whether what is told of a member in this state is told of it later: its date is not one of those that are remembered when they are told, and
    /// its tag is remembered.
    fn lasts(&self, status: &Status, has_known_tag: bool) -> bool {
        let now = self.told_of.request.now;
        match status.kind {
            Kind::File => now.since(status.stamp.mtime) >= TOLD_LATELY && (has_known_tag || self.tags == Tags::Omit),
            _ => status.stamp.mtime <= now,
        }
    }

    /// The tag of a file that is remembered, if tags are shown.
    fn known_tag(&self, status: &Status) -> Option<EntityTag> {
        if status.kind == Kind::File && self.tags == Tags::Show { self.share.recall_tag(&status.stamp) } else { None }
    }

    /// Looks again at a member whose name was being changed, so that no upload is listed that may still be undone.
    fn look_consistently(&self, name: &Name) -> Result<Option<Entry>> {
        let tree = &self.share.tree;
        let found = tree.read_consistent(&self.place.join(name), || tree.look_in(&self.dir, name))?;
        let there = found.filter(|status| status.kind != Kind::Link);
        Ok(there.map(|status| Entry { name: name.clone(), status, is_linked: false }))
    }

    fn listed(&self, entry: Entry, known_tag: Option<EntityTag>) -> ListedMember {
        let (share, now) = (self.share, self.told_of.request.now);
        let Entry { name, status, is_linked } = entry;
        let is_file = status.kind == Kind::File;
        if is_file && now.since(status.stamp.mtime) < TOLD_LATELY {
            share.tell_date(&self.place.join(&name), &status.stamp, now);
        }
        let is_tagged = is_file && self.tags == Tags::Show;
        let tag = known_tag.or_else(|| if is_tagged { self.find_tag(&name, &status) } else { None });
        ListedMember { linked: is_linked.then_some(status.stamp.id), ..ListedMember::new(name, &status, tag, now) }
    }

    /// A tag that is made from the stamp, for what none is remembered of; for that the file is opened.
    fn find_tag(&self, name: &Name, status: &Status) -> Option<EntityTag> {
        let (share, now) = (self.share, self.told_of.request.now);
        let Ok(Opened::File(file, opened)) = share.tree.open_in(&self.dir, name) else { return None };
        if opened.stamp.id != status.stamp.id {
            return None;
        }
        let known = share.identify(&self.place.join(name), &file, &opened, Effort::Recall, now).ok()?;
        Some(known.validators.shown)
    }
}
