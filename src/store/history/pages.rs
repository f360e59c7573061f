//! Looking into the history a page at a time: the versions of one path, and the names below a folder that have any. What a page takes in
//! memory depends on how much is asked for, not on how much there is.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use crate::model::path::{Name, SharePath};
use crate::model::stamp::{Stamp, Timestamp};
use crate::model::version::{EntryName, VersionId};

use super::super::disk::{Kind, Result};
use super::layout::{HISTORY, found, relative};
use super::{History, Version};

/// A version that is kept, in short.
#[derive(Clone, Debug)]
pub struct KeptVersion {
    /// What it is called.
    pub id: VersionId,
    /// Whether it is a file, or a folder with all that was in it.
    pub kind: Kind,
    /// Its size in bytes; 0 for a folder.
    pub size: u64,
    /// When it had last been changed before it was displaced.
    pub modified: Timestamp,
}

/// A piece of something, and whether more follows.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The piece.
    pub items: Vec<T>,
    /// Whether more follows.
    pub goes_on: bool,
}

impl KeptVersion {
    fn new(id: VersionId, kind: Kind, stamp: &Stamp) -> Self {
        Self { id, kind, size: if kind == Kind::File { stamp.size } else { 0 }, modified: stamp.mtime }
    }
}

impl From<Version> for KeptVersion {
    fn from(version: Version) -> Self {
        Self::new(version.name.id, version.status.kind, &version.status.stamp)
    }
}

impl History {
    /// The newest versions of a path that are older than `before`, at most so many, the newest first. Empty if `go_on` breaks: then nobody
    /// waits for it.
    pub fn versions(
        &self,
        path: &SharePath,
        before: Option<&VersionId>,
        count: usize,
        go_on: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Page<KeptVersion>> {
        let mut newest = BTreeMap::new();
        let mut page = Page { items: Vec::new(), goes_on: false };
        let (top, folder) = self.where_versions_lie(path)?;
        let Some(dir) = found(self.disk.open_dir(&top, &folder))? else { return Ok(page) };
        let mut is_wanted = true;
        self.disk.list(&dir, &mut |entry| {
            if go_on().is_break() {
                is_wanted = false;
                return ControlFlow::Break(());
            }
            let status = entry.status;
            let parsed = EntryName::parse(&entry.name).filter(|parsed| self.is_version(parsed));
            let Some(EntryName { id, .. }) = parsed else { return ControlFlow::Continue(()) };
            if !matches!(status.kind, Kind::File | Kind::Dir) || before.is_some_and(|before| id >= *before) {
                return ControlFlow::Continue(());
            }
            newest.insert(id, (status.kind, status.stamp));
            if newest.len() > count {
                newest.pop_first();
                page.goes_on = true;
            }
            ControlFlow::Continue(())
        })?;
        if is_wanted {
            page.items.extend(newest.into_iter().rev().map(|(id, (kind, stamp))| KeptVersion::new(id, kind, &stamp)));
        }
        Ok(page)
    }

    /// The names in a folder that something was displaced at or below, at most so many of those behind `after`, in their order.
    pub fn names(&self, folder: &SharePath, after: Option<&Name>, count: usize) -> Result<Page<Name>> {
        let mut first = BTreeSet::new();
        let mut page = Page { items: Vec::new(), goes_on: false };
        let mut take = |name: Name| {
            if !name.is_reserved() && after.is_none_or(|after| name > *after) {
                first.insert(name);
            }
            if first.len() > count {
                first.pop_last();
                page.goes_on = true;
            }
        };
        let tops = self.tops()?;
        // Another file system below the folder has a history of its own.
        for top in tops.iter().filter(|top| top.path != *folder && top.path.is_within(folder)) {
            let below = SharePath::parse_disk(relative(&top.path, folder));
            below.ok().and_then(|below| below.names().next()).into_iter().for_each(&mut take);
        }
        let holds = tops.iter().filter(|top| folder.is_within(&top.path)).max_by_key(|top| top.path.as_bytes().len());
        if let Some(top) = holds
            && let Some(dir) =
                found(self.disk.open_dir(&top.dir, &self.folder_of(HISTORY, relative(folder, &top.path))))?
        {
            self.disk.list(&dir, &mut |entry| {
                if entry.status.kind == Kind::Dir {
                    take(entry.name);
                }
                ControlFlow::Continue(())
            })?;
        }
        page.items.extend(first);
        Ok(page)
    }
}
