//! Looking into the history a page at a time: the versions of one path, and the names below a folder that have any. What a page takes in
//! memory depends on how much is asked for, not on how much there is.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::model::author::Author;
use crate::model::path::{Name, RESERVED, SharePath};
use crate::model::stamp::{Stamp, Timestamp};
use crate::model::version::{EntryName, VersionId};

use super::History;
use super::areas::{HISTORY, folder_of, found, relative};
use super::mounts::EntryFolder;
use crate::store::disk_error::{DiskError, Result};
use crate::store::handle::Dir;
use crate::store::status::{Kind, Status};

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
    /// Who displaced it; `None` where that is not known.
    pub displaced_by: Option<Arc<Author>>,
}

/// Where a page of versions begins, and how long it is.
#[derive(Clone, Debug)]
pub struct PageRequest<K> {
    /// It holds what is older than this.
    pub before: Option<K>,
    /// So many at most.
    pub count: usize,
}

/// The newest of what comes by in no order.
struct Newest<K> {
    wanted: PageRequest<K>,
    found: BTreeMap<K, Found>,
    goes_on: bool,
}

/// What is known of a version besides its name.
struct Found {
    kind: Kind,
    stamp: Stamp,
    by: Option<Arc<Author>>,
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
    fn new(id: VersionId, Found { kind, stamp, by }: Found) -> Self {
        let size = if kind == Kind::File { stamp.size } else { 0 };
        Self { id, kind, size, modified: stamp.mtime, displaced_by: by }
    }
}

impl<K: Ord> Newest<K> {
    fn new(wanted: PageRequest<K>) -> Self {
        Self { wanted, found: BTreeMap::new(), goes_on: false }
    }

    fn take(&mut self, key: K, by: Option<Arc<Author>>, status: &Status) {
        if self.wanted.before.as_ref().is_some_and(|before| key >= *before) {
            return;
        }
        self.found.insert(key, Found { kind: status.kind, stamp: status.stamp, by });
        if self.found.len() > self.wanted.count {
            self.found.pop_first();
            self.goes_on = true;
        }
    }

    /// What it has found, the newest first.
    fn page<T>(self, item: impl Fn(K, Found) -> T) -> Page<T> {
        let items = self.found.into_iter().rev().map(|(key, found)| item(key, found)).collect();
        Page { items, goes_on: self.goes_on }
    }
}

impl History {
    /// The newest versions of a path, the newest first. Empty if `go_on` breaks: then nobody waits for it.
    pub fn versions(
        &self,
        path: &SharePath,
        wanted: PageRequest<VersionId>,
        go_on: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Page<KeptVersion>> {
        let nothing = Page { items: Vec::new(), goes_on: false };
        let mut newest = Newest::new(wanted);
        let (top, folders) = self.where_all_entries_lie(HISTORY, path)?;
        for EntryFolder { folder, .. } in folders {
            let Some(dir) = found(self.disk.open_dir(&top, &folder))? else { continue };
            let listed = self.each_version(&dir, &mut |EntryName { id, by, .. }, status| {
                newest.take(id, by, status);
                go_on()
            })?;
            if listed.is_break() {
                return Ok(nothing);
            }
        }
        Ok(newest.page(KeptVersion::new))
    }

    /// The newest versions of all paths below one, the newest first; where two were displaced in one instant their paths decide.
    pub fn versions_below(
        &self,
        below: &SharePath,
        wanted: PageRequest<(VersionId, SharePath)>,
    ) -> Result<Page<(SharePath, KeptVersion)>> {
        let mut newest = Newest::new(wanted);
        self.each_place(HISTORY, below, &mut |path, _, place, _| {
            let each = &mut |EntryName { id, by, .. }, status: &Status| {
                newest.take((id, path.clone()), by, status);
                ControlFlow::Continue(())
            };
            self.each_version(place, each).map(drop)
        })?;
        Ok(newest.page(|(id, path), found| (path, KeptVersion::new(id, found))))
    }

    /// Calls `each` for every version in a folder of them, until it breaks.
    fn each_version(
        &self,
        place: &Dir,
        each: &mut dyn FnMut(EntryName, &Status) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let mut end = ControlFlow::Continue(());
        self.disk.list(place, &mut |entry| {
            let parsed = EntryName::parse(&entry.name).filter(|parsed| self.is_version(parsed));
            if let Some(name) = parsed
                && matches!(entry.status.kind, Kind::File | Kind::Dir)
            {
                end = each(name, &entry.status);
            }
            end
        })?;
        Ok(end)
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
        let (mut folders, mut all) = (Vec::new(), Vec::new());
        if let Some(top) = holds {
            for spelled in self.spellings(HISTORY, (&top.path, &top.dir), folder)? {
                let place = folder_of(HISTORY, relative(&spelled, &top.path));
                let Some(dir) = found(self.disk.open_dir(&top.dir, &place))? else { continue };
                let members = found(self.disk.open_dir(&dir, RESERVED.as_bytes()))?;
                all.extend(members.clone());
                folders.push((dir.clone(), members));
                all.push(dir);
            }
        }
        let mut looked = Ok(());
        let of_members = folders.iter().filter_map(|(_, members)| Some((members.as_ref()?, None)));
        let of_folders = folders.iter().map(|(folder, members)| (folder, members.as_ref()));
        for (dir, members) in of_members.chain(of_folders) {
            self.disk.list(dir, &mut |entry| {
                if entry.status.kind == Kind::Dir {
                    let is_told = || {
                        let told =
                            members.map_or(Ok(false), |members| self.is_there_as_another(members, &entry.name))?;
                        Ok::<_, DiskError>(!told && self.is_first_spelling(&all, &entry.name)?)
                    };
                    match is_told() {
                        Ok(true) => take(entry.name),
                        Ok(false) => {}
                        Err(error) => looked = Err(error),
                    }
                }
                if looked.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
        }
        looked?;
        page.items.extend(first);
        Ok(page)
    }
}
