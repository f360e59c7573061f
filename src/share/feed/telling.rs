//! Telling what a request has changed: under the mutex of the name, before anybody else can change it again.

use std::sync::Arc;

use crate::model::author::Author;
use crate::model::change::{Before, Change, ChangeKind, Resource};
use crate::model::path::SharePath;
use crate::model::stamp::{Stamp, Timestamp};
use crate::model::tag::EntityTag;
use crate::model::version::VersionId;
use crate::store::catalog::changes::Known;
use crate::store::catalog::known_members::KnownMember;
use crate::store::local::commit::{Changed, Seen};
use crate::store::local::staging::Staged;
use crate::store::status::Kind;

use super::super::request_context::RequestContext;
use super::super::shared_folder::Share;

/// How often it is tried to tell a change while folders move or go.
const TRIES_MAX: usize = 16;

impl From<&Seen> for Before {
    fn from(seen: &Seen) -> Self {
        match seen {
            Seen::Collection(_) => Self::Folder,
            Seen::File(_) | Seen::Busy(_) => Self::File,
            Seen::Nothing | Seen::Link | Seen::Special => Self::Nothing,
        }
    }
}

impl Before {
    /// What it is to find something else there.
    fn kind(self) -> ChangeKind {
        if self == Self::Nothing { ChangeKind::Created } else { ChangeKind::Replaced }
    }

    /// What is known of a path, as something that was there before.
    pub(super) fn known(member: Option<&KnownMember>) -> Self {
        match member {
            None => Self::Nothing,
            Some(KnownMember::File { .. }) => Self::File,
            Some(KnownMember::Folder) => Self::Folder,
        }
    }

    /// What is known from now on, where this is there.
    fn then(self, member: KnownMember) -> Known {
        if self == Self::Folder { Known::InPlaceOfFolder(member) } else { Known::Member(member) }
    }

    /// What is known from now on, where nothing is.
    fn gone(self) -> Known {
        if self == Self::Folder { Known::NoFolder } else { Known::NoFile }
    }

    fn resource(self) -> Resource {
        if self == Self::Folder { Resource::Folder } else { Resource::GONE_FILE }
    }
}

impl Share {
    /// Tells that a file has come to a path.
    pub(in crate::share) fn tell_stored(
        &self,
        path: &SharePath,
        before: Before,
        came_back: bool,
        (changed, staged): (&Changed<'_>, &Staged),
        request: &RequestContext,
    ) {
        let path = if before == Before::Nothing { self.as_made(path).into_owned() } else { path.clone() };
        let stamp = changed.stamp.unwrap_or(*staged.sealed());
        let tag = EntityTag::of_content(staged.hash());
        let member = self.known_file(&path, stamp, Some(tag.clone()), request.now);
        let resource = Resource::File { size: Some(stamp.size), tag: Some(tag) };
        let kind = if came_back { ChangeKind::Restored } else { before.kind() };
        let displaced = self.kept(changed).cloned();
        self.tell(Change { displaced, ..change_by(request, path, kind, resource, before) }, before.then(member));
    }

    /// Tells that a folder has come to a path. What is in it is looked for, and told by itself.
    pub(in crate::share) fn tell_folder(
        &self,
        path: &SharePath,
        before: Before,
        came_back: bool,
        displaced: Option<&VersionId>,
        request: &RequestContext,
    ) {
        let kind = if came_back { ChangeKind::Restored } else { before.kind() };
        let change = change_by(request, path.clone(), kind, Resource::Folder, before);
        self.tell(Change { displaced: displaced.cloned(), ..change }, before.then(KnownMember::Folder));
    }

    /// Has all looked at that has come with a folder.
    pub(in crate::share) fn look_below(&self, path: &SharePath, request: &RequestContext) {
        self.to_look_at.below(path.clone(), request.by.clone());
    }

    /// Tells that nothing is at a path any more.
    pub(in crate::share) fn tell_removed(
        &self,
        path: &SharePath,
        before: Before,
        displaced: Option<&VersionId>,
        request: &RequestContext,
    ) {
        let change = change_by(request, path.clone(), ChangeKind::Deleted, before.resource(), before);
        self.tell(Change { displaced: displaced.cloned(), ..change }, before.gone());
    }

    /// Tells that what was at one path is at another.
    pub(in crate::share) fn tell_moved(
        &self,
        (from, to): (&SharePath, &SharePath),
        (moved, target): (Before, Before),
        changed: &Changed<'_>,
        request: &RequestContext,
    ) {
        let kind = ChangeKind::Moved { from: from.clone() };
        let displaced = self.kept(changed).cloned();
        if moved == Before::Folder {
            let change = change_by(request, to.clone(), kind, Resource::Folder, target);
            self.tell(Change { displaced, ..change }, Known::FolderFrom(from.clone()));
            return;
        }
        let there = changed.stamp.or_else(|| self.status_of(to).ok().flatten().map(|status| status.stamp));
        let tag = there.as_ref().and_then(|stamp| self.recall_tag(stamp));
        let resource = Resource::File { size: there.map(|stamp| stamp.size), tag: tag.clone() };
        if target == Before::Folder {
            self.changes.learn(to, Known::NoFolder);
        }
        let member = there.map(|stamp| self.known_file(to, stamp, tag, request.now));
        let known = Known::FileFrom(from.clone(), member);
        self.tell(Change { displaced, ..change_by(request, to.clone(), kind, resource, target) }, known);
    }

    /// Tells that what is at a path has other properties; `there` is the file in its new state.
    pub(in crate::share) fn tell_properties(
        &self,
        path: &SharePath,
        there: Option<(Stamp, Option<EntityTag>)>,
        request: &RequestContext,
    ) {
        let (before, resource, known) = match there {
            None => (Before::Folder, Resource::Folder, Known::AsBefore),
            Some((stamp, tag)) => (
                Before::File,
                Resource::File { size: Some(stamp.size), tag: tag.clone() },
                Known::Member(self.known_file(path, stamp, tag, request.now)),
            ),
        };
        self.tell(change_by(request, path.clone(), ChangeKind::Properties, resource, before), known);
    }

    /// Tells that something was locked, or is not locked any more; `by` is who did that.
    pub(in crate::share) fn tell_lock(&self, path: &SharePath, request: Option<&RequestContext>, now: Timestamp) {
        let (before, resource) = match self.status_of(path) {
            Ok(Some(status)) if status.kind == Kind::File => {
                let tag = self.recall_tag(&status.stamp);
                (Before::File, Resource::File { size: Some(status.stamp.size), tag })
            }
            Ok(Some(_)) => (Before::Folder, Resource::Folder),
            // What is gone has been told already.
            Ok(None) | Err(_) => return,
        };
        let by = request.and_then(|request| request.by.clone());
        let (path, kind) = (path.clone(), ChangeKind::Lock);
        self.tell(Change { at: now, path, kind, resource, before, displaced: None, by }, Known::AsBefore);
    }

    /// Tells a change, and wakes whoever listens. Where a folder above is not there any more, what was changed has moved with it, and is looked for.
    fn tell(&self, change: Change, known: Known) {
        for _ in 0..TRIES_MAX {
            self.tell_what_went(&change);
            let since = self.changes.tree_changes();
            if !self.folders_above_are_told(&change.path, change.at) {
                break;
            }
            if self.changes.add_if_no_tree_changed(since, Some(change.clone()), &change.path, known.clone()) {
                return self.wakers.wake();
            }
        }
        self.to_look_at.below(SharePath::root(), change.by);
    }

    /// A request may have found something else at a path than was told to be there, which nobody has noticed yet: then what was there is told to be
    /// gone first. So a change says truly what it took the place of.
    fn tell_what_went(&self, change: &Change) {
        if let ChangeKind::Moved { from } = &change.kind {
            let moved = if change.resource.is_folder() { Before::Folder } else { Before::File };
            self.tell_gone_unless(from, moved, change.at);
        }
        self.tell_gone_unless(&change.path, change.before, change.at);
    }

    fn tell_gone_unless(&self, path: &SharePath, found: Before, at: Timestamp) {
        let since = self.changes.tree_changes();
        if !self.changes.is_filled() {
            return;
        }
        let told = self.changes.known(path).map_or(found, |(known, _)| Before::known(known.as_ref()));
        if told == found || told == Before::Nothing {
            return;
        }
        let (kind, resource, by) = (ChangeKind::Deleted, told.resource(), Some(Arc::new(Author::Program)));
        let change = Change { at, path: path.clone(), kind, resource, before: told, displaced: None, by };
        self.changes.add_if_no_tree_changed(since, Some(change), path, told.gone());
    }

    /// Tells of the folders above a path that a program has made a moment ago: nothing is told of what is in a folder before that is. Says whether
    /// all of them are there.
    pub(super) fn folders_above_are_told(&self, path: &SharePath, at: Timestamp) -> bool {
        let Some((above, _)) = path.split() else { return true };
        // While all is still being learnt nobody follows; and where it cannot be asked what is known, it is told.
        if !self.changes.is_filled() || self.changes.knows_folder(&above).unwrap_or(true) {
            return true;
        }
        let mut folder = SharePath::root();
        for name in above.names() {
            folder = folder.join(&name);
            let since = self.changes.tree_changes();
            if self.changes.knows_folder(&folder).unwrap_or(true) {
                continue;
            }
            let is_there =
                self.status_of(&folder).is_ok_and(|there| there.is_some_and(|status| status.kind == Kind::Dir));
            let by = Some(Arc::new(Author::Program));
            let before =
                self.changes.known(&folder).map_or(Before::Nothing, |(known, _)| Before::known(known.as_ref()));
            let (path, kind, resource) = (folder.clone(), ChangeKind::Created, Resource::Folder);
            let change = Change { at, path, kind, resource, before, displaced: None, by: by.clone() };
            let then = Known::Member(KnownMember::Folder);
            if !is_there || !self.changes.add_if_no_tree_changed(since, Some(change), &folder, then) {
                return false;
            }
            self.to_look_at.below(folder.clone(), by);
        }
        true
    }

    /// A file, as it is known from now on.
    pub(super) fn known_file(
        &self,
        path: &SharePath,
        stamp: Stamp,
        tag: Option<EntityTag>,
        now: Timestamp,
    ) -> KnownMember {
        let is_certain = tag.as_ref().is_none_or(|tag| !tag.is_weak());
        let is_settled = is_certain && self.is_settled(path, &stamp, now).unwrap_or(false);
        KnownMember::File { stamp, is_settled, tag }
    }

    /// Calls `wake` after each change that is told, soon and without waiting for anything.
    pub fn on_change(&self, wake: Box<dyn Fn() + Send + Sync>) {
        self.wakers.add(wake);
    }
}

fn change_by(
    request: &RequestContext,
    path: SharePath,
    kind: ChangeKind,
    resource: Resource,
    before: Before,
) -> Change {
    let by = request.by.as_ref().map(Arc::clone);
    Change { at: request.now, path, kind, resource, before, displaced: None, by }
}
