//! The two tables of the properties, and their rows: how they are changed, counted and written.

use std::ops::Bound;

use redb::ReadableTable;

use crate::model::extent::Extent;
use crate::model::path::SharePath;
use crate::model::property::DeadProperty;
use crate::model::version::VersionId;

use super::super::codec::{decode, encode};
use super::following::Following;
use super::keys::version_key;
use super::limits::{Noted, PropertyLimits};
use super::names::NotedNames;

/// How many bytes the rows have.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bytes {
    /// Those of what is noted.
    pub(super) noted: u64,
    /// Those of what was noted on versions.
    pub(super) of_versions: u64,
}

pub(super) type ReadTable = redb::ReadOnlyTable<&'static [u8], &'static [u8]>;

pub(super) type Table<'a> = redb::Table<'a, &'static [u8], &'static [u8]>;

pub(super) type RowResult<T> = std::result::Result<T, redb::Error>;

pub(super) type Row = (Vec<u8>, Vec<u8>);

/// A table of rows, to be changed or only to be read.
pub(super) trait OfRows: ReadableTable<&'static [u8], &'static [u8]> {}

impl<T: ReadableTable<&'static [u8], &'static [u8]>> OfRows for T {}

/// The tables while they are changed.
pub(super) struct Rows<'a> {
    pub(super) table: Table<'a>,
    pub(super) of_versions: Table<'a>,
    pub(super) bytes: Bytes,
    pub(super) limits: PropertyLimits,
    pub(super) names: Option<&'a mut NotedNames>,
    pub(super) are_changed: bool,
}

impl Rows<'_> {
    pub(super) fn update(&mut self, path: &SharePath, update: impl FnOnce(&mut Vec<DeadProperty>)) -> RowResult<Noted> {
        let row = self.table.get(path.as_bytes())?.map(|row| row.value().to_vec());
        let before = row.as_ref().map_or(0, |row| bytes_of(path.as_bytes(), row));
        let mut properties = row.and_then(|row| decode(&row)).unwrap_or_default();
        update(&mut properties);
        if properties.is_empty() {
            self.remove(path.as_bytes())?;
            return Ok(Noted::Done);
        }
        let row = encode(&properties);
        let after = bytes_of(path.as_bytes(), &row);
        // Less than before is never too much: whoever has too much has to be able to make it less.
        if after > before && properties.iter().map(|note| note.xml().len()).sum::<usize>() > self.limits.one_bytes_max {
            return Ok(Noted::TooMuchOnOne);
        }
        if after > before && !self.make_room(after - before)? {
            return Ok(Noted::TooMuchOnAll);
        }
        self.insert(path.as_bytes(), &row)?;
        Ok(Noted::Done)
    }

    pub(super) fn follow(&mut self, what: &Following) -> RowResult<Noted> {
        match what {
            Following::Gone { from, version } => self.displace(from, version.as_ref())?,
            Following::Moved { from, to, displaced } => {
                let rows = rows(&self.table, from, Extent::Tree)?;
                rows.iter().try_for_each(|(row, _)| self.remove(row))?;
                self.displace(to, displaced.as_ref())?;
                self.insert_at(from, to, &rows)?;
            }
            Following::Copied { from, to, extent, displaced } => {
                let added = bytes_of_copy(&self.table, from, to, *extent)?;
                let rows = rows(&self.table, from, *extent)?;
                self.displace(to, displaced.as_ref())?;
                if added > 0 && !self.make_room(added)? {
                    return Ok(Noted::TooMuchOnAll);
                }
                self.insert_at(from, to, &rows)?;
            }
            Following::Back { of, version, to, displaced, stays } => {
                let rows = self.take_of_version(&version_key(of, version))?;
                if rows.is_empty() {
                    return Ok(Noted::Done);
                }
                self.displace(to, displaced.as_ref())?;
                for (below, properties) in &rows {
                    self.insert(&[to.as_bytes(), below].concat(), properties)?;
                    if *stays {
                        self.note_on_version(&[version_key(of, version).as_slice(), below].concat(), properties)?;
                    }
                }
            }
        }
        Ok(Noted::Done)
    }

    /// Moves the rows of a path and of everything below it to the version that it has become, if there is one.
    pub(super) fn displace(&mut self, path: &SharePath, version: Option<&VersionId>) -> RowResult<()> {
        for (row, properties) in rows(&self.table, path, Extent::Tree)? {
            self.remove(&row)?;
            if let Some(version) = version {
                let key = [version_key(path, version).as_slice(), &row[path.as_bytes().len()..]].concat();
                self.note_on_version(&key, &properties)?;
            }
        }
        Ok(())
    }

    /// Sets something aside, if there is room.
    pub(super) fn note_on_version(&mut self, key: &[u8], properties: &[u8]) -> RowResult<()> {
        self.are_changed = true;
        self.bytes.of_versions -= self.of_versions.remove(key)?.map_or(0, |before| bytes_of(key, before.value()));
        let bytes = bytes_of(key, properties);
        if self.make_room(bytes)? {
            self.of_versions.insert(key, properties)?;
            self.bytes.of_versions += bytes;
            if let Some(names) = &mut self.names {
                names.note_version(key);
            }
        }
        Ok(())
    }

    /// Takes out what was set aside under keys that begin so, with what is behind that.
    pub(super) fn take_of_version(&mut self, begin: &[u8]) -> RowResult<Vec<Row>> {
        let mut rows = Vec::new();
        for row in self.of_versions.range::<&[u8]>(begin..)? {
            let (key, properties) = row?;
            let Some(below) = key.value().strip_prefix(begin) else { break };
            rows.push((below.to_vec(), properties.value().to_vec()));
        }
        for (below, properties) in &rows {
            let key = [begin, below].concat();
            self.of_versions.remove(key.as_slice())?;
            self.bytes.of_versions -= bytes_of(&key, properties);
            self.are_changed = true;
        }
        Ok(rows)
    }

    /// Makes room for so much more, if there can be: then what was set aside gives way as far as it has to, the oldest first.
    pub(super) fn make_room(&mut self, more: u64) -> RowResult<bool> {
        let max = self.limits.all_bytes_max;
        if self.bytes.noted + more > max {
            return Ok(false);
        }
        while self.bytes.noted + self.bytes.of_versions + more > max {
            let Some((key, properties)) = self.of_versions.pop_first()? else { return Ok(false) };
            self.bytes.of_versions -= bytes_of(key.value(), properties.value());
            self.are_changed = true;
        }
        Ok(true)
    }

    pub(super) fn insert_at(&mut self, from: &SharePath, to: &SharePath, rows: &[Row]) -> RowResult<()> {
        let there = |path: &[u8]| [to.as_bytes(), &path[from.as_bytes().len()..]].concat();
        rows.iter().try_for_each(|(path, properties)| self.insert(&there(path), properties))
    }

    pub(super) fn insert(&mut self, path: &[u8], row: &[u8]) -> RowResult<()> {
        let before = self.table.insert(path, row)?.map_or(0, |before| bytes_of(path, before.value()));
        self.bytes.noted = self.bytes.noted + bytes_of(path, row) - before;
        self.are_changed = true;
        if let Some(names) = &mut self.names {
            names.note(path);
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &[u8]) -> RowResult<()> {
        if let Some(before) = self.table.remove(path)? {
            self.bytes.noted -= bytes_of(path, before.value());
            self.are_changed = true;
        }
        Ok(())
    }
}

pub(super) fn bytes_within(table: &impl OfRows, path: &SharePath) -> RowResult<u64> {
    let mut bytes = 0;
    each(table, path, Extent::Tree, |path, row| bytes += bytes_of(path, row))?;
    Ok(bytes)
}

/// How many bytes the rows of a path would have at another one.
pub(super) fn bytes_of_copy(table: &impl OfRows, from: &SharePath, to: &SharePath, extent: Extent) -> RowResult<u64> {
    let (shorter, longer) = (from.as_bytes().len() as u64, to.as_bytes().len() as u64);
    let mut bytes = 0;
    each(table, from, extent, |path, row| bytes += bytes_of(path, row) - shorter + longer)?;
    Ok(bytes)
}

pub(super) fn rows(table: &impl OfRows, path: &SharePath, extent: Extent) -> RowResult<Vec<Row>> {
    let mut rows = Vec::new();
    each(table, path, extent, |path, row| rows.push((path.to_vec(), row.to_vec())))?;
    Ok(rows)
}

/// Goes through the rows of a path: its own, and with [`Extent::Tree`] those below it, which begin with it and a slash.
pub(super) fn each(
    table: &impl OfRows,
    path: &SharePath,
    extent: Extent,
    mut each: impl FnMut(&[u8], &[u8]),
) -> RowResult<()> {
    if let Some(own) = table.get(path.as_bytes())? {
        each(path.as_bytes(), own.value());
    }
    if extent == Extent::Tree {
        for row in table.range::<&[u8]>(as_slices(&below(path)))? {
            let (path, properties) = row?;
            each(path.value(), properties.value());
        }
    }
    Ok(())
}

pub(super) fn bytes_of(path: &[u8], row: &[u8]) -> u64 {
    (path.len() + row.len()) as u64
}

pub(super) fn bytes_of_all(table: &impl OfRows) -> RowResult<u64> {
    let mut bytes = 0;
    for row in table.iter()? {
        let (path, properties) = row?;
        bytes += bytes_of(path.value(), properties.value());
    }
    Ok(bytes)
}

/// Where the rows of what lies below a path begin and end. Below the share itself lies every path that is not empty.
pub(super) fn below(path: &SharePath) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    if path.is_root() {
        return (Bound::Excluded(Vec::new()), Bound::Unbounded);
    }
    let and = |byte: u8| [path.as_bytes(), &[byte]].concat();
    (Bound::Excluded(and(b'/')), Bound::Excluded(and(b'/' + 1)))
}

pub(super) fn as_slices(bounds: &(Bound<Vec<u8>>, Bound<Vec<u8>>)) -> (Bound<&[u8]>, Bound<&[u8]>) {
    (bounds.0.as_ref().map(Vec::as_slice), bounds.1.as_ref().map(Vec::as_slice))
}
