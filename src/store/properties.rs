//! Dead properties: what clients have noted on files and folders, by path, in the database of the index.
//!
//! They are no cache: what was noted is on the disk before it is answered, and stays until it is removed, over a restart, a PUT and a move.
//! Each resource has one row with all of its properties, so that a change of several is one change.

use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use crate::model::path::SharePath;
use crate::model::property::{DeadProperty, PropertyName};
use crate::model::version::VersionId;

use super::disk::{Cause, DiskError, Result};

/// The path of a resource to its properties. The name carries the version of the format.
const PROPERTIES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("properties-1");

/// What was noted on a resource before it was displaced, for when it comes back: the path of what was displaced, the version it has
/// become, and the path of the resource from there, with a NUL between them, which no path holds.
const KEPT: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("kept-properties-1");

/// The dead properties of a share.
pub struct Properties {
    database: Arc<Database>,
    syncs: bool,
}

/// The properties as they were at one moment, for whoever looks at many resources.
pub struct Snapshot {
    table: Option<redb::ReadOnlyTable<&'static [u8], &'static [u8]>>,
}

/// Which rows a change of a path is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The resource alone.
    Itself,
    /// Everything below it, too.
    Tree,
}

impl Properties {
    /// The properties in this database.
    pub(super) fn new(database: Arc<Database>, syncs: bool) -> Self {
        Self { database, syncs }
    }

    /// What is noted now.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let reading = self.database.begin_read().map_err(failed)?;
        match reading.open_table(PROPERTIES) {
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(Snapshot { table: None }),
            table => Ok(Snapshot { table: Some(table.map_err(failed)?) }),
        }
    }

    /// Changes the properties of a resource, in one step whoever else changes them; nothing is changed where `update` says no.
    pub fn update(&self, path: &SharePath, update: impl FnOnce(&mut Vec<DeadProperty>) -> bool) -> Result<bool> {
        let mut is_kept = false;
        self.change(|table| {
            is_kept = update_row(table, path, update)?;
            Ok(())
        })?;
        Ok(is_kept)
    }

    /// Notes one property in place of the one of its name. It comes to the disk with the next change that does: nobody waits for it.
    pub fn note_soon(&self, path: &SharePath, property: DeadProperty) -> Result<()> {
        self.change_with(Durability::None, |table| {
            update_row(table, path, |properties| {
                properties.retain(|other| other.name() != property.name());
                properties.push(property);
                true
            })?;
            Ok(())
        })
    }

    /// Forgets what is noted on a resource and everything below it.
    pub fn forget(&self, path: &SharePath) -> Result<()> {
        if self.snapshot()?.has_any(path)? {
            self.change(|table| remove(table, path))?;
        }
        Ok(())
    }

    /// Sets aside what is noted on a resource and everything below it, for when the version that it has become comes back; without a
    /// version it is forgotten.
    pub fn displace(&self, path: &SharePath, version: Option<&VersionId>) -> Result<()> {
        if self.snapshot()?.has_any(path)? {
            self.change_both(|noted, kept| displace(noted, kept, path, version))?;
        }
        Ok(())
    }

    /// Notes on a version of `from` that has come to `to` what was noted on it. What is noted there gives way as in
    /// [`Properties::displace`], if anything was noted on the version; else it is as after any other write, and stays. A version that stays in
    /// the history keeps its notes there.
    pub fn bring_back(
        &self,
        (from, version): (&SharePath, &VersionId),
        to: &SharePath,
        displaced: Option<&VersionId>,
        stays: bool,
    ) -> Result<()> {
        let begin = kept_key(from, version);
        let reading = self.database.begin_read().map_err(failed)?;
        match reading.open_table(KEPT) {
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(()),
            table => {
                let mut range = table.map_err(failed)?.range::<&[u8]>(begin.as_slice()..).map_err(failed)?;
                let first = range.next().transpose().map_err(failed)?;
                if !first.is_some_and(|(key, _)| key.value().starts_with(&begin)) {
                    return Ok(());
                }
            }
        }
        self.change_both(|noted, kept| {
            let mut rows = Vec::new();
            for row in kept.range::<&[u8]>(begin.as_slice()..)? {
                let (key, properties) = row?;
                let Some(below) = key.value().strip_prefix(begin.as_slice()) else { break };
                rows.push((below.to_vec(), properties.value().to_vec()));
            }
            displace(noted, kept, to, displaced)?;
            for (below, properties) in rows {
                noted.insert([to.as_bytes(), &below].concat().as_slice(), properties.as_slice())?;
                if !stays {
                    kept.remove([begin.as_slice(), &below].concat().as_slice())?;
                }
            }
            Ok(())
        })
    }

    /// Forgets what was noted on versions that are no more.
    pub fn forget_versions(&self, mut is_kept: impl FnMut(&SharePath, &VersionId) -> bool) -> Result<()> {
        let reading = self.database.begin_read().map_err(failed)?;
        let table = match reading.open_table(KEPT) {
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(()),
            table => table.map_err(failed)?,
        };
        let mut gone: Vec<Vec<u8>> = Vec::new();
        let mut looked: Option<(Vec<u8>, bool)> = None;
        for row in table.iter().map_err(failed)? {
            let (key, _) = row.map_err(failed)?;
            let key = key.value();
            let end = key.iter().enumerate().filter(|(_, byte)| **byte == 0).nth(1).map_or(key.len(), |(at, _)| at + 1);
            let (of, is_kept) = match looked.take() {
                Some((of, is_kept)) if of == key[..end] => (of, is_kept),
                _ => {
                    let of = key[..end].to_vec();
                    let is_kept = version_of(&of).is_some_and(|(path, version)| is_kept(&path, &version));
                    (of, is_kept)
                }
            };
            if !is_kept {
                gone.push(key.to_vec());
            }
            looked = Some((of, is_kept));
        }
        if gone.is_empty() {
            return Ok(());
        }
        self.change_both(|_, kept| {
            gone.iter().try_for_each(|key| kept.remove(key.as_slice()).map(drop)).map_err(redb::Error::from)
        })
    }

    /// Moves what is noted on a tree; what was noted on what it replaces is set aside for the version that that has become.
    pub fn relocate(&self, from: &SharePath, to: &SharePath, displaced: Option<&VersionId>) -> Result<()> {
        self.transfer(from, to, Extent::Tree, displaced, |table| remove(table, from))
    }

    /// Notes on a copy what is noted on the original; what was noted on what it replaces is set aside for the version that that has become.
    pub fn copy(&self, from: &SharePath, to: &SharePath, extent: Extent, displaced: Option<&VersionId>) -> Result<()> {
        self.transfer(from, to, extent, displaced, |_| Ok(()))
    }

    fn transfer(
        &self,
        from: &SharePath,
        to: &SharePath,
        extent: Extent,
        displaced: Option<&VersionId>,
        also: impl FnOnce(&mut Table<'_>) -> Changed,
    ) -> Result<()> {
        let before = self.snapshot()?;
        if !before.has_any(from)? && !before.has_any(to)? {
            return Ok(());
        }
        self.change_both(|noted, kept| {
            let rows = rows(noted, from, extent)?;
            also(noted)?;
            displace(noted, kept, to, displaced)?;
            for (path, properties) in rows {
                let there = [to.as_bytes(), &path[from.as_bytes().len()..]].concat();
                noted.insert(there.as_slice(), properties.as_slice())?;
            }
            Ok(())
        })
    }

    fn change(&self, change: impl FnOnce(&mut Table<'_>) -> Changed) -> Result<()> {
        self.change_with(if self.syncs { Durability::Immediate } else { Durability::None }, change)
    }

    fn change_both(&self, change: impl FnOnce(&mut Table<'_>, &mut Table<'_>) -> Changed) -> Result<()> {
        let write = || {
            let mut writing = self.database.begin_write()?;
            writing.set_durability(if self.syncs { Durability::Immediate } else { Durability::None })?;
            change(&mut writing.open_table(PROPERTIES)?, &mut writing.open_table(KEPT)?)?;
            Ok::<_, redb::Error>(writing.commit()?)
        };
        write().map_err(failed)
    }

    fn change_with(&self, durability: Durability, change: impl FnOnce(&mut Table<'_>) -> Changed) -> Result<()> {
        let write = || {
            let mut writing = self.database.begin_write()?;
            writing.set_durability(durability)?;
            change(&mut writing.open_table(PROPERTIES)?)?;
            Ok::<_, redb::Error>(writing.commit()?)
        };
        write().map_err(failed)
    }
}

type Table<'a> = redb::Table<'a, &'static [u8], &'static [u8]>;
type Changed = std::result::Result<(), redb::Error>;
type Rows = Vec<(Vec<u8>, Vec<u8>)>;

fn update_row(
    table: &mut Table<'_>,
    path: &SharePath,
    update: impl FnOnce(&mut Vec<DeadProperty>) -> bool,
) -> std::result::Result<bool, redb::Error> {
    let row = table.get(path.as_bytes())?.and_then(|row| decode(row.value()));
    let mut properties = row.unwrap_or_default();
    if !update(&mut properties) {
        return Ok(false);
    }
    match properties.as_slice() {
        [] => table.remove(path.as_bytes())?,
        properties => table.insert(path.as_bytes(), encode(properties).as_slice())?,
    };
    Ok(true)
}

/// Moves the rows of a path and of everything below it to the version that it has become, if there is one.
fn displace(noted: &mut Table<'_>, kept: &mut Table<'_>, path: &SharePath, version: Option<&VersionId>) -> Changed {
    for (row, properties) in rows(noted, path, Extent::Tree)? {
        noted.remove(row.as_slice())?;
        if let Some(version) = version {
            let key = [kept_key(path, version).as_slice(), &row[path.as_bytes().len()..]].concat();
            kept.insert(key.as_slice(), properties.as_slice())?;
        }
    }
    Ok(())
}

/// What the keys of all that was noted on a version begin with.
fn kept_key(path: &SharePath, version: &VersionId) -> Vec<u8> {
    [path.as_bytes(), b"\0", version.as_str().as_bytes(), b"\0"].concat()
}

/// What such a beginning stands for.
fn version_of(begin: &[u8]) -> Option<(SharePath, VersionId)> {
    let mut parts = begin.split(|byte| *byte == 0);
    let (path, version) = (parts.next()?, parts.next()?);
    Some((SharePath::parse_disk(path).ok()?, VersionId::parse(str::from_utf8(version).ok()?)?))
}

/// Removes the rows of a path and of everything below it.
fn remove(table: &mut Table<'_>, path: &SharePath) -> Changed {
    for (row, _) in rows(table, path, Extent::Tree)? {
        table.remove(row.as_slice())?;
    }
    Ok(())
}

/// The rows of a path: its own, and with [`Extent::Tree`] those below it, which begin with it and a slash.
fn rows(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    path: &SharePath,
    extent: Extent,
) -> std::result::Result<Rows, redb::Error> {
    let mut rows = Vec::new();
    if let Some(own) = table.get(path.as_bytes())? {
        rows.push((path.as_bytes().to_vec(), own.value().to_vec()));
    }
    if extent == Extent::Tree {
        for row in table.range::<&[u8]>(as_slices(&below(path)))? {
            let (path, properties) = row?;
            rows.push((path.value().to_vec(), properties.value().to_vec()));
        }
    }
    Ok(rows)
}

/// Where the rows of what lies below a path begin and end. Below the share itself lies every path that is not empty.
fn below(path: &SharePath) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    if path.is_root() {
        return (Bound::Excluded(Vec::new()), Bound::Unbounded);
    }
    let and = |byte: u8| [path.as_bytes(), &[byte]].concat();
    (Bound::Excluded(and(b'/')), Bound::Excluded(and(b'/' + 1)))
}

fn as_slices(bounds: &(Bound<Vec<u8>>, Bound<Vec<u8>>)) -> (Bound<&[u8]>, Bound<&[u8]>) {
    (bounds.0.as_ref().map(Vec::as_slice), bounds.1.as_ref().map(Vec::as_slice))
}

impl Snapshot {
    /// The properties of a resource, in the order of their names.
    pub fn of(&self, path: &SharePath) -> Result<Vec<DeadProperty>> {
        let Some(table) = &self.table else { return Ok(Vec::new()) };
        let row = table.get(path.as_bytes()).map_err(failed)?;
        Ok(row.and_then(|row| decode(row.value())).unwrap_or_default())
    }

    /// Whether anything is noted on a resource or below it.
    pub fn has_any(&self, path: &SharePath) -> Result<bool> {
        let Some(table) = &self.table else { return Ok(false) };
        if table.get(path.as_bytes()).map_err(failed)?.is_some() {
            return Ok(true);
        }
        let mut range = table.range::<&[u8]>(as_slices(&below(path))).map_err(failed)?;
        Ok(range.next().is_some())
    }
}

/// Each property as three texts, each behind its length: namespace, local name, element.
fn encode(properties: &[DeadProperty]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for property in properties {
        for text in [property.name().namespace(), property.name().local(), property.xml()] {
            bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    bytes
}

fn decode(mut bytes: &[u8]) -> Option<Vec<DeadProperty>> {
    let mut properties = Vec::new();
    while !bytes.is_empty() {
        let (namespace, local, xml) = (text(&mut bytes)?, text(&mut bytes)?, text(&mut bytes)?);
        properties.push(DeadProperty::new(PropertyName::new(namespace, local), xml));
    }
    Some(properties)
}

fn text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *bytes = rest;
    str::from_utf8(text).ok()
}

fn failed(error: impl Into<redb::Error>) -> DiskError {
    let error = error.into();
    let is_full = matches!(&error, redb::Error::Io(error) if error.kind() == std::io::ErrorKind::StorageFull);
    DiskError {
        operation: "properties",
        name: String::new(),
        cause: if is_full { Cause::NoSpace } else { Cause::Failed },
        message: error.to_string(),
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Properties").field("syncs", &self.syncs).finish_non_exhaustive()
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("is_empty", &self.table.is_none()).finish()
    }
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;

    use crate::model::stamp::Timestamp;

    use super::*;

    fn path(text: &str) -> SharePath {
        SharePath::parse_disk(text.as_bytes()).expect(text)
    }

    fn noted(properties: &Properties, at: &str) -> Vec<String> {
        let notes = properties.snapshot().and_then(|snapshot| snapshot.of(&path(at))).expect("read");
        notes.iter().map(|note| note.xml().to_owned()).collect()
    }

    fn note(properties: &Properties, at: &str) {
        let note = DeadProperty::new(PropertyName::new("urn:t", "a"), format!("<a>{at}</a>"));
        properties.note_soon(&path(at), note).expect("noted");
    }

    /// What was noted on a version waits for it, and for no other; and it goes when the version does.
    #[test]
    fn what_was_noted_waits_for_the_version_and_goes_with_it() {
        let database = Database::builder().create_with_backend(InMemoryBackend::new()).expect("memory");
        let properties = Properties::new(Arc::new(database), false);
        let version = |seconds| VersionId::at(Timestamp::new(seconds, 0));
        for (at, second) in [("d", 1), ("d/a", 1), ("d0", 2), ("da", 3)] {
            note(&properties, at);
            if at != "d" {
                properties
                    .displace(&path(at.split('/').next().expect("a name")), Some(&version(second)))
                    .expect("set aside");
            }
            assert_eq!(noted(&properties, at).is_empty(), at != "d", "{at}");
        }
        let bring_back = |from: &str, second, to: &str, stays| {
            let of = (&path(from), &version(second));
            properties.bring_back(of, &path(to), None, stays).expect("brought back");
        };
        bring_back("d", 2, "x", true);
        assert!(noted(&properties, "x").is_empty(), "nothing waits for that one");
        bring_back("d", 1, "x", true);
        assert_eq!(noted(&properties, "x"), ["<a>d</a>"]);
        assert_eq!(noted(&properties, "x/a"), ["<a>d/a</a>"]);
        properties.forget_versions(|of, _| *of != path("d0")).expect("forgotten");
        bring_back("d0", 2, "y", false);
        assert!(noted(&properties, "y").is_empty(), "it went with its version");
        bring_back("d", 1, "d", false);
        assert_eq!(noted(&properties, "d/a"), ["<a>d/a</a>"], "the others stay");
        bring_back("d", 1, "z", false);
        assert!(noted(&properties, "z").is_empty(), "what has left the history has left nothing behind");
        bring_back("da", 3, "da", false);
        assert_eq!(noted(&properties, "da"), ["<a>da</a>"]);
    }
}
