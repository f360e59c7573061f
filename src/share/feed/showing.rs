//! What a client is shown of a change: as much as a listing would show, of the folder that it asks about, and nothing of what it may not see.

use crate::model::change::{Before, Change, ChangeKind, Resource};
use crate::model::cursor::Cursor;
use crate::model::path::SharePath;
use crate::model::permissions::Permissions;
use crate::model::rights::Rights;
use crate::store::catalog::changes::{ChangesAfter, LostPlace, NumberedChange};

use super::super::shared_folder::Share;

/// What a client sees of the tree: a folder and all below it, as far as its rights say.
struct View<'a> {
    folder: &'a SharePath,
    permissions: &'a Permissions,
}

impl Share {
    /// The place behind the last change.
    pub fn feed_end(&self) -> Cursor {
        self.changes.end()
    }

    /// Whether what happened since a place can be told.
    ///
    /// # Errors
    /// Why not.
    pub fn check_place(&self, cursor: Cursor) -> Result<(), LostPlace> {
        self.changes.check(cursor)
    }

    /// As [`Share::changes_after`], without the disk; `None` where it takes that.
    ///
    /// # Errors
    /// Why what happened since then cannot be told.
    pub fn changes_in_memory_after(&self, cursor: Cursor, count: usize) -> Result<Option<ChangesAfter>, LostPlace> {
        self.changes.in_memory_after(cursor, count)
    }

    /// The changes behind a place in the feed, at most `count`: of the whole share, and whoever may see them.
    ///
    /// # Errors
    /// Why what happened since then cannot be told.
    pub fn changes_after(&self, cursor: Cursor, count: usize) -> Result<ChangesAfter, LostPlace> {
        self.changes.after(cursor, count)
    }
}

impl NumberedChange {
    /// What a client is shown of it that asks about a folder: nothing, or one change, or several.
    pub fn shown(&self, folder: &SharePath, permissions: &Permissions) -> Vec<Self> {
        let view = View { folder, permissions };
        let change = &self.change;
        let shown = match &change.kind {
            ChangeKind::Moved { from } => view.moved(from, &change.path, change.resource.is_folder()),
            kind => view.changed(&change.path, kind, change.resource.is_folder()),
        };
        shown.into_iter().map(|(path, kind)| self.show(path, kind, permissions)).collect()
    }

    fn show(&self, path: SharePath, kind: ChangeKind, permissions: &Permissions) -> Self {
        let change = &self.change;
        let is_told_who = permissions.at(&path).contains(Rights::HISTORY);
        let is_itself = path == change.path;
        let resource = match &kind {
            ChangeKind::Uncertain => Resource::Folder,
            ChangeKind::Deleted if !change.resource.is_folder() => Resource::GONE_FILE,
            _ => change.resource.clone(),
        };
        let change = Change {
            at: change.at,
            resource,
            before: if is_itself { change.before } else { Before::Nothing },
            displaced: change.displaced.clone().filter(|_| is_told_who && is_itself),
            by: change.by.clone().filter(|_| is_told_who),
            path,
            kind,
        };
        Self { number: self.number, change }
    }
}

impl View<'_> {
    fn changed(&self, path: &SharePath, kind: &ChangeKind, is_folder: bool) -> Vec<(SharePath, ChangeKind)> {
        if path.is_within(self.folder) {
            return match self.sees(path) {
                true => vec![(path.clone(), kind.clone())],
                false => self.hidden(path, kind, is_folder),
            };
        }
        if !self.folder.is_within(path) {
            return Vec::new();
        }
        // It is above the folder that is asked about.
        match kind {
            ChangeKind::Deleted => self.of_folder(ChangeKind::Deleted),
            ChangeKind::Replaced if !is_folder => self.of_folder(ChangeKind::Deleted),
            ChangeKind::Replaced | ChangeKind::Restored | ChangeKind::Uncertain => {
                self.of_folder(ChangeKind::Uncertain)
            }
            _ => Vec::new(),
        }
    }

    fn moved(&self, from: &SharePath, to: &SharePath, is_folder: bool) -> Vec<(SharePath, ChangeKind)> {
        let shows = |path: &SharePath| path.is_within(self.folder) && self.sees(path);
        let is_alike = !is_folder || (self.is_all_seen(from) && self.is_all_seen(to));
        let came = |to: &SharePath| {
            let uncertain = is_folder.then(|| (to.clone(), ChangeKind::Uncertain));
            [(to.clone(), ChangeKind::Created)].into_iter().chain(uncertain)
        };
        match (shows(from), shows(to)) {
            (true, true) if is_alike => vec![(to.clone(), ChangeKind::Moved { from: from.clone() })],
            (went, arrived) => {
                let mut shown = match went {
                    true => vec![(from.clone(), ChangeKind::Deleted)],
                    false => self.changed(from, &ChangeKind::Deleted, is_folder),
                };
                match arrived {
                    true => shown.extend(came(to)),
                    false => shown.extend(self.changed(to, &ChangeKind::Uncertain, is_folder)),
                }
                shown
            }
        }
    }

    /// What went or came with a folder that is not seen: something in it may be.
    fn hidden(&self, path: &SharePath, kind: &ChangeKind, is_folder: bool) -> Vec<(SharePath, ChangeKind)> {
        let takes_all_below =
            matches!(kind, ChangeKind::Deleted | ChangeKind::Replaced | ChangeKind::Restored | ChangeKind::Uncertain);
        let nothing_is_seen = || self.permissions.throughout_if_the_same(path).is_some();
        if !(is_folder && takes_all_below) || nothing_is_seen() {
            Vec::new()
        } else {
            self.of_folder(ChangeKind::Uncertain)
        }
    }

    /// The same, of the folder that is asked about.
    fn of_folder(&self, kind: ChangeKind) -> Vec<(SharePath, ChangeKind)> {
        if self.sees(self.folder) { vec![(self.folder.clone(), kind)] } else { Vec::new() }
    }

    fn sees(&self, path: &SharePath) -> bool {
        self.permissions.at(path).contains(Rights::LIST)
    }

    fn is_all_seen(&self, folder: &SharePath) -> bool {
        self.permissions.throughout_if_the_same(folder).is_some_and(|rights| rights.contains(Rights::LIST))
    }
}
