//! Finding entries of the history by their names.

use std::ops::ControlFlow;

use crate::model::keep_rule::Room;
use crate::model::path::{Name, SharePath};
use crate::model::version::{Ending, EntryName, VersionId};

use super::History;
use super::areas::{HISTORY, found};
use super::found::{FoundVersion, Version};
use super::mounts::{EntryFolder, MountTop};
use crate::store::disk_error::Result;
use crate::store::handle::{Dir, Opened};
use crate::store::status::Kind;

/// How many versions are remembered whose name could not be settled. Of more the oldest are found again after a restart.
const UNSETTLED_MAX: usize = 10_000;

impl History {
    /// Opens one version of `path`.
    pub fn open(&self, path: &SharePath, id: &VersionId) -> Result<Opened> {
        let Some(found) = self.find(path, id)? else { return Ok(Opened::Nothing) };
        self.disk.open(&found.dir(&*self.disk)?, &found.version.entry)
    }

    /// One version of `path`. Where nobody is named who displaced it it is found by its name, however many there are.
    pub fn find(&self, path: &SharePath, id: &VersionId) -> Result<Option<FoundVersion>> {
        self.find_in(HISTORY, path, id)
    }

    /// What a change of `path` displaced just now, whether it is kept or not.
    pub fn find_displaced(&self, path: &SharePath, id: &VersionId) -> Result<Option<FoundVersion>> {
        self.find_in(self.area(), path, id)
    }

    fn find_in(&self, area: &str, path: &SharePath, id: &VersionId) -> Result<Option<FoundVersion>> {
        let (top, folders) = self.where_all_entries_lie(area, path)?;
        let name = EntryName::settled(id.clone());
        let unsettled = self.unsettled.lock().get(id).map(EntryName::to_name);
        let entries: Vec<_> = [name.to_name(), name.to_lowercase_name()].into_iter().chain(unsettled).collect();
        for EntryFolder { path, folder } in folders {
            let Some(dir) = found(self.disk.open_dir(&top, &folder))? else { continue };
            let version = match self.first_of(&dir, &name, &entries)? {
                None => self.find_listed(&dir, id)?,
                version => version,
            };
            if let Some(version) = version {
                return Ok(Some(FoundVersion { top, folder, path, version, folders: Room::default() }));
            }
        }
        Ok(None)
    }

    /// The first of several names that a version has in a folder.
    fn first_of(&self, dir: &Dir, name: &EntryName, entries: &[Name]) -> Result<Option<Version>> {
        for entry in entries {
            if let Some(status) = self.disk.look(dir, entry)?
                && matches!(status.kind, Kind::File | Kind::Dir)
            {
                return Ok(Some(Version { name: name.clone(), entry: entry.clone(), status }));
            }
        }
        Ok(None)
    }

    /// The version of this identifier in a folder, whoever displaced it.
    fn find_listed(&self, dir: &Dir, id: &VersionId) -> Result<Option<Version>> {
        let mut version = None;
        self.disk.list(dir, &mut |entry| {
            let name = EntryName::parse(&entry.name).filter(|name| name.id == *id && name.ending == Ending::Settled);
            let is_one = matches!(entry.status.kind, Kind::File | Kind::Dir);
            version = name.filter(|_| is_one).map(|name| Version { name, entry: entry.name, status: entry.status });
            if version.is_none() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(version)
    }

    /// Looks for entries on the file systems that the share has now.
    pub fn entry_finder(&self) -> Result<EntryFinder<'_>> {
        Ok(EntryFinder { history: self, tops: self.tops()? })
    }

    /// Takes note that an entry is a version although its name could not be settled. Recovery settles it.
    pub fn could_not_settle(&self, entry: &EntryName) {
        let mut unsettled = self.unsettled.lock();
        if unsettled.len() == UNSETTLED_MAX {
            unsettled.pop_first();
        }
        unsettled.insert(entry.id.clone(), entry.clone().displaced_by(None));
    }

    /// Whether an entry is a version, and not something that a commit is still about.
    pub(super) fn is_version(&self, entry: &EntryName) -> bool {
        entry.ending == Ending::Settled || self.unsettled.lock().get(&entry.id) == Some(entry)
    }
}

/// Finds many entries, one after the other.
#[derive(Debug)]
pub struct EntryFinder<'a> {
    history: &'a History,
    tops: Vec<MountTop>,
}

impl EntryFinder<'_> {
    /// An entry of a path with the folder that it lies in, if it is there still.
    pub fn find(&self, path: &SharePath, name: &EntryName) -> Result<Option<(FoundVersion, Dir)>> {
        for (top, folder) in self.history.places_in(&self.tops, path) {
            let found = self.find_at(top, folder, path, name)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        // Not every file system is noted, where the top of the share cannot be written.
        let (top, folder) = self.history.where_entries_lie(self.history.area(), path)?;
        self.find_at(top, folder, path, name)
    }

    fn find_at(
        &self,
        top: Dir,
        folder: Box<[u8]>,
        path: &SharePath,
        name: &EntryName,
    ) -> Result<Option<(FoundVersion, Dir)>> {
        let disk = &self.history.disk;
        let Some(dir) = found(disk.open_dir(&top, &folder))? else { return Ok(None) };
        let entry = name.to_name();
        let Some(status) = disk.look(&dir, &entry)? else { return Ok(None) };
        let version = Version { name: name.clone(), entry, status };
        Ok(Some((FoundVersion { top, folder, path: path.clone(), version, folders: Room::default() }, dir)))
    }
}
