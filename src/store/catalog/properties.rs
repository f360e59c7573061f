//! Dead properties: what clients have noted on files and folders, by path, in the database of the index.
//!
//! They are no cache: what was noted is on the disk before it is answered, and stays until it is removed, over a restart, a PUT and a move.
//! Each resource has one row with all of its properties, so that a change of several is one change; and all rows together are bounded,
//! in memory as on the disk.

mod following;
mod keys;
mod limits;
mod names;
mod rows;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
#[cfg(test)]
use std::sync::atomic::AtomicBool;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use redb::{Durability, ReadableDatabase, ReadableTable as _, TableDefinition};

use crate::model::extent::Extent;
use crate::model::path::SharePath;
use crate::model::property::DeadProperty;
use crate::model::version::VersionId;

use super::codec::decode;
use super::database::{self, StateDatabase, table_if_any};
use crate::store::disk_error::{DiskError, Result};
use keys::{version_of, version_part};
use names::NotedNames;
use rows::{Bytes, ReadTable, RowResult, Rows, as_slices, below, bytes_of_all, bytes_of_copy, bytes_within};

pub use following::Following;
pub use limits::{Noted, PropertyLimits};

/// The path of a resource to its properties.
const PROPERTIES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("properties");

/// The properties of displaced resources, for when the version comes back. The key is the version's identifier, its path, and the path of the
/// resource from there, with a NUL between them, which no path holds. An identifier begins with its time, so the oldest stand first. They
/// count as what is noted does, and give way to that, the oldest first.
const OF_VERSIONS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("version-properties");

/// How many changes of the tree may wait until the properties can follow them.
const WAITING_MAX: usize = 1024;

/// Names are only ever added to those in memory. When there are more than this they are read anew from the tables, without those of what is gone.
const NAMES_MAX: usize = 4_000_000;

/// The dead properties of a share.
pub struct Properties {
    database: Arc<StateDatabase>,
    syncs: bool,
    limits: PropertyLimits,
    books: Mutex<Books>,
    /// How many changes there were.
    changes: AtomicU64,
    /// Whether the disk fails.
    #[cfg(test)]
    fails: AtomicBool,
}

/// What is known of the table besides what stands in it.
#[derive(Debug, Default)]
struct Books {
    /// How many bytes all rows have; `None` until they were counted.
    bytes: Option<Bytes>,
    /// What could not be followed yet, oldest first.
    waiting: VecDeque<Following>,
    /// Whether anything that was waiting is lost, and whether that was told.
    loss: Loss,
    /// What is known of where something is noted; `None` until the tables were read.
    names: Option<NotedNames>,
}

/// Whether what was waiting is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Loss {
    #[default]
    Nothing,
    ToBeTold,
    Told,
}

/// The properties as they were at one moment, for whoever looks at many resources.
pub struct Snapshot {
    table: Option<ReadTable>,
}

impl Properties {
    /// The properties in this database.
    pub(super) fn new(database: Arc<StateDatabase>, syncs: bool, limits: PropertyLimits) -> Self {
        Self {
            database,
            syncs,
            limits,
            books: Mutex::default(),
            changes: AtomicU64::new(0),
            #[cfg(test)]
            fails: AtomicBool::new(false),
        }
    }

    /// What the tables hold now. What waits to be followed is not in it.
    pub fn snapshot(&self) -> Result<Snapshot> {
        self.database.wait_until_open();
        self.snapshot_now()
    }

    /// How many changes there were. Whoever asks before he takes a snapshot knows later whether it still holds.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    fn snapshot_now(&self) -> Result<Snapshot> {
        let opened = self.database.with_what_there_is(|database| table_if_any(&database.begin_read()?, PROPERTIES));
        Ok(Snapshot { table: opened.map_err(failed)?.flatten() })
    }

    /// Changes the properties of a resource, in one step whoever else changes them.
    pub fn update(&self, path: &SharePath, update: impl FnOnce(&mut Vec<DeadProperty>)) -> Result<Noted> {
        self.database.wait_until_open();
        self.change(|rows| rows.update(path, update))
    }

    /// Whether a copy of what is noted on a resource, in place of what is noted on the other, is not too much.
    pub fn have_room_for_copy(&self, from: &SharePath, to: &SharePath, extent: Extent) -> Result<bool> {
        self.database.wait_until_open();
        self.have_room_for(|table| Ok(bytes_of_copy(table, from, to, extent)?.saturating_sub(bytes_within(table, to)?)))
    }

    /// Whether what is noted on a resource and below it is not too much at another path, in place of what is noted there: each row has its
    /// path.
    pub fn have_room_for_move(&self, from: &SharePath, to: &SharePath) -> Result<bool> {
        self.have_room_for(|table| {
            let before = bytes_within(table, from)? + bytes_within(table, to)?;
            Ok(bytes_of_copy(table, from, to, Extent::Tree)?.saturating_sub(before))
        })
    }

    fn have_room_for(&self, added: impl FnOnce(&ReadTable) -> RowResult<u64>) -> Result<bool> {
        let counted = self.books.lock().bytes;
        let Some(table) = self.snapshot_now()?.table else { return Ok(true) };
        let is_room = || {
            let added = added(&table)?;
            if added == 0 {
                return Ok(true);
            }
            let noted = counted.map_or_else(|| bytes_of_all(&table), |bytes| Ok(bytes.noted))?;
            Ok(noted + added <= self.limits.all_bytes_max)
        };
        is_room().map_err(|error: redb::Error| failed(error))
    }

    /// Lets the properties follow what has happened in the tree. If they cannot now, the error is for a person to hear of, and they follow
    /// with the next change that can be made; what has happened has happened. A copy that would be too much has none.
    pub fn follow(&self, what: Following) -> Result<Noted> {
        // Under one lock: a later change of the same paths has to find this one waiting.
        let mut books = self.books.lock();
        if !self.concerns_any(&mut books, &what) {
            return Ok(Noted::Done);
        }
        let followed = self.change_in(&mut books, |rows| rows.follow(&what));
        if followed.is_err() {
            if books.waiting.len() == WAITING_MAX {
                books.waiting.pop_front();
                if books.loss == Loss::Nothing {
                    books.loss = Loss::ToBeTold;
                }
            }
            books.waiting.push_back(what);
        }
        followed
    }

    /// Lets the properties follow what they could not follow before.
    pub fn catch_up(&self) -> Result<()> {
        if self.is_up_to_date() {
            return Ok(());
        }
        self.database.wait_until_open();
        self.change(|_| Ok(Noted::Done)).map(drop)
    }

    /// Whether nothing waits to be followed.
    pub fn is_up_to_date(&self) -> bool {
        self.books.lock().waiting.is_empty()
    }

    /// Whether something that waited has been lost, for the first time since the properties were up to date. Says so once.
    pub fn take_new_loss(&self) -> bool {
        let mut books = self.books.lock();
        let is_new = books.loss == Loss::ToBeTold;
        if is_new {
            books.loss = Loss::Told;
        }
        is_new
    }

    /// Whether something is noted on what that is about, or may be once what is waiting is followed. What cannot be known may be.
    fn concerns_any(&self, books: &mut Books, what: &Following) -> bool {
        if books.names.as_ref().is_none_or(|names| names.0.len() > NAMES_MAX) {
            books.names = self.names().ok();
        }
        books.waiting.iter().any(|waiting| waiting.is_about_the_same_as(what))
            || books.names.as_ref().is_none_or(|names| names.are_of_any(what))
    }

    fn names(&self) -> Result<NotedNames> {
        let mut names = NotedNames::default();
        let read = self.on_disk(|| {
            self.database.with_what_there_is(|database| {
                let reading = database.begin_read()?;
                for (table, take_in) in [
                    (PROPERTIES, NotedNames::note as fn(&mut NotedNames, &[u8])),
                    (OF_VERSIONS, NotedNames::note_version),
                ] {
                    if let Some(table) = table_if_any(&reading, table)? {
                        table.iter()?.try_for_each(|row| row.map(|(key, _)| take_in(&mut names, key.value())))?;
                    }
                }
                Ok(())
            })
        });
        read.map_err(failed)?;
        Ok(names)
    }

    fn on_disk<T>(&self, work: impl FnOnce() -> RowResult<T>) -> RowResult<T> {
        #[cfg(test)]
        if self.fails.load(Ordering::Relaxed) {
            return Err(redb::Error::PreviousIo);
        }
        work()
    }

    /// Forgets what was noted on versions that are no more.
    pub fn forget_versions(&self, mut is_kept: impl FnMut(&SharePath, &VersionId) -> bool) -> Result<()> {
        let versions = self.database.with_what_there_is(|database| {
            let Some(table) = table_if_any(&database.begin_read()?, OF_VERSIONS)? else { return Ok(Vec::new()) };
            let mut versions: Vec<Vec<u8>> = Vec::new();
            for row in table.iter()? {
                let (key, _) = row?;
                let key = key.value();
                let of = version_part(key);
                if versions.last().is_none_or(|last| last != of) {
                    versions.push(of.to_vec());
                }
            }
            Ok(versions)
        });
        let mut gone = versions.map_err(failed)?.unwrap_or_default();
        gone.retain(|of| !version_of(of).is_some_and(|(path, version)| is_kept(&path, &version)));
        if gone.is_empty() {
            return Ok(());
        }
        let forgotten = self.change(|rows| {
            gone.iter().try_for_each(|of| rows.take_of_version(of).map(drop))?;
            Ok(Noted::Done)
        });
        forgotten.map(drop)
    }

    /// Makes one change, after those that are waiting. Where nothing is changed, nothing is written. Others wait for the books meanwhile, so a
    /// database that is being opened again is not waited for.
    fn change(&self, change: impl FnOnce(&mut Rows<'_>) -> RowResult<Noted>) -> Result<Noted> {
        self.change_in(&mut self.books.lock(), change)
    }

    fn change_in(&self, books: &mut Books, change: impl FnOnce(&mut Rows<'_>) -> RowResult<Noted>) -> Result<Noted> {
        let Books { bytes: counted, waiting, names, .. } = books;
        let changed = self.on_disk(|| {
            self.database.with_now(|database| {
                let mut writing = database.begin_write()?;
                writing.set_durability(if self.syncs { Durability::Immediate } else { Durability::None })?;
                let (table, of_versions) = (writing.open_table(PROPERTIES)?, writing.open_table(OF_VERSIONS)?);
                let bytes = match *counted {
                    Some(bytes) => bytes,
                    None => Bytes { noted: bytes_of_all(&table)?, of_versions: bytes_of_all(&of_versions)? },
                };
                let mut rows =
                    Rows { table, of_versions, bytes, limits: self.limits, names: names.as_mut(), are_changed: false };
                for earlier in &*waiting {
                    // Its answer was given long ago.
                    let _ = rows.follow(earlier)?;
                }
                let noted = change(&mut rows)?;
                let (bytes, are_changed) = (rows.bytes, rows.are_changed);
                drop(rows);
                if are_changed {
                    let committed = writing.commit();
                    self.changes.fetch_add(1, Ordering::Release);
                    committed?;
                } else {
                    writing.abort()?;
                }
                Ok((noted, bytes))
            })
        });
        match changed {
            Ok((noted, bytes)) => {
                (books.bytes, books.loss) = (Some(bytes), Loss::Nothing);
                books.waiting.clear();
                Ok(noted)
            }
            Err(error) => {
                books.bytes = None;
                Err(failed(error))
            }
        }
    }
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

fn failed(error: impl Into<redb::Error>) -> DiskError {
    database::failed("properties", error.into())
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Properties").field("syncs", &self.syncs).finish_non_exhaustive()
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("has_table", &self.table.is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use crate::model::property::PropertyName;
    use crate::model::stamp::Timestamp;
    use crate::store::catalog::index::Index;
    use keys::version_key;

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
        assert_eq!(properties.update(&path(at), |notes| *notes = vec![note]).expect("noted"), Noted::Done);
    }

    fn follow(properties: &Properties, what: Following) {
        assert_eq!(properties.follow(what).expect("followed"), Noted::Done);
    }

    /// What was set aside counts, too, and gives way to what is noted now.
    #[test]
    fn what_was_set_aside_is_bounded_with_the_rest() {
        let limits = PropertyLimits { one_bytes_max: 1000, all_bytes_max: 5000 };
        let properties = Index::in_memory().properties(false, limits);
        let xml = format!("<a>{}</a>", "x".repeat(900));
        let set = |at: &str| {
            let note = DeadProperty::new(PropertyName::new("urn:t", "a"), xml.as_str());
            properties.update(&path(at), |notes| notes.push(note)).expect("a change")
        };
        for number in 0..100 {
            assert_eq!(set("a"), Noted::Done, "{number}");
            let version = Some(VersionId::at(Timestamp::new(number, 0)));
            follow(&properties, Following::Gone { from: path("a"), version });
        }
        let noted: Vec<_> = (0..6).map(|number| set(&number.to_string())).collect();
        assert_eq!(noted[..5], [Noted::Done; 5]);
        assert_eq!(noted[5], Noted::TooMuchOnAll);
        let bytes = properties.books.lock().bytes.expect("they were counted");
        assert!(bytes.noted + bytes.of_versions <= 5000, "{bytes:?}");
    }

    /// What was noted on a version waits for it, and for no other; and it goes when the version does.
    #[test]
    fn what_was_noted_waits_for_the_version_and_goes_with_it() {
        let properties = Index::in_memory().properties(false, PropertyLimits::default());
        let version = |seconds| VersionId::at(Timestamp::new(seconds, 0));
        for (at, second) in [("d", 1), ("d/a", 1), ("d0", 2), ("da", 3)] {
            note(&properties, at);
            if at != "d" {
                let from = path(at.split('/').next().expect("a name"));
                follow(&properties, Following::Gone { from, version: Some(version(second)) });
            }
            assert_eq!(noted(&properties, at).is_empty(), at != "d", "{at}");
        }
        let bring_back = |from: &str, second, to: &str, stays| {
            let (of, version, to) = (path(from), version(second), path(to));
            follow(&properties, Following::Back { of, version, to, displaced: None, stays });
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

    fn set(properties: &Properties, at: &str, bytes: usize) -> Noted {
        let note = DeadProperty::new(PropertyName::new("urn:t", "a"), format!("<a>{}</a>", "x".repeat(bytes)));
        let update = |notes: &mut Vec<_>| {
            notes.clear();
            notes.push(note);
        };
        properties.update(&path(at), update).expect("a change")
    }

    fn version(seconds: i64) -> VersionId {
        VersionId::at(Timestamp::new(seconds, 0))
    }

    /// Whether what was set aside of a path comes back with its version.
    fn comes_back(properties: &Properties, of: &str, second: i64) -> bool {
        let begin = version_key(&path(of), &version(second));
        let kept = properties.database.with(|database| {
            let table = database.begin_read()?.open_table(OF_VERSIONS)?;
            let first = table.range::<&[u8]>(begin.as_slice()..)?.next().transpose()?;
            Ok(first.is_some_and(|(key, _)| key.value().starts_with(&begin)))
        });
        kept.expect("read")
    }

    /// A refused note or copy, and the question whether there is room for one, cost nobody what was set aside.
    #[test]
    fn what_is_refused_destroys_nothing_that_was_set_aside() {
        let limits = PropertyLimits { one_bytes_max: 10_000, all_bytes_max: 5000 };
        let properties = Index::in_memory().properties(false, limits);
        assert_eq!(set(&properties, "old", 1500), Noted::Done);
        follow(&properties, Following::Gone { from: path("old"), version: Some(version(1)) });
        assert_eq!(set(&properties, "live", 3000), Noted::Done);
        assert_eq!(set(&properties, "more", 2500), Noted::TooMuchOnAll);
        assert!(comes_back(&properties, "old", 1), "a note was refused");
        let copied = |from: &str, to: &str| {
            let (from, to, extent) = (path(from), path(to), Extent::Tree);
            assert!(!properties.have_room_for_copy(&from, &to, extent).expect("read"));
            properties.follow(Following::Copied { from, to, extent, displaced: None }).expect("followed")
        };
        assert_eq!(copied("live", "copy"), Noted::TooMuchOnAll);
        assert!(comes_back(&properties, "old", 1), "a copy was refused");
        assert_eq!(set(&properties, "less", 1800), Noted::Done);
        assert!(!comes_back(&properties, "old", 1), "now there is no room for both");
    }

    /// Whether there is room is a question: nothing gives way to what may never be done.
    #[test]
    fn a_question_for_room_takes_nothing_away() {
        let limits = PropertyLimits { one_bytes_max: 10_000, all_bytes_max: 5000 };
        let properties = Index::in_memory().properties(false, limits);
        assert_eq!(set(&properties, "old", 1500), Noted::Done);
        follow(&properties, Following::Gone { from: path("old"), version: Some(version(1)) });
        assert_eq!(set(&properties, "live", 2300), Noted::Done);
        assert!(properties.have_room_for_copy(&path("live"), &path("copy"), Extent::Tree).expect("read"));
        assert!(comes_back(&properties, "old", 1));
    }

    /// What was set aside first gives way first, wherever it lay, also to what is set aside now.
    #[test]
    fn the_oldest_of_what_was_set_aside_gives_way_first() {
        let limits = PropertyLimits { one_bytes_max: 10_000, all_bytes_max: 5000 };
        let properties = Index::in_memory().properties(false, limits);
        for (at, second) in [("z", 1), ("m", 2), ("a", 3)] {
            assert_eq!(set(&properties, at, 1500), Noted::Done);
            follow(&properties, Following::Gone { from: path(at), version: Some(version(second)) });
        }
        let there = || [("z", 1), ("m", 2), ("a", 3)].map(|(at, second)| comes_back(&properties, at, second));
        assert_eq!(there(), [true; 3]);
        assert_eq!(set(&properties, "b", 1500), Noted::Done);
        assert_eq!(there(), [false, true, true]);
        assert_eq!(set(&properties, "c", 1500), Noted::Done);
        assert_eq!(there(), [false, false, true]);
        follow(&properties, Following::Gone { from: path("b"), version: Some(version(4)) });
        assert_eq!(set(&properties, "d", 1500), Noted::Done);
        assert_eq!(there(), [false; 3]);
        assert!(comes_back(&properties, "b", 4));
    }

    /// While the disk of the state fails, what concerns nothing that is noted does not wait, and so does not push out what does.
    #[test]
    fn only_what_concerns_notes_waits_while_they_cannot_follow() {
        let properties = Index::in_memory().properties(false, PropertyLimits::default());
        note(&properties, "d/a");
        follow(&properties, Following::Gone { from: path("x"), version: None });
        properties.fails.store(true, Ordering::Relaxed);
        let moved = |from: &str, to: &str| {
            let (from, to) = (path(from), path(to));
            properties.follow(Following::Moved { from, to, displaced: None })
        };
        moved("d", "e").expect_err("it is to follow");
        for number in 0..2 * WAITING_MAX {
            let from = path(&format!("other/{number}"));
            follow(&properties, Following::Gone { from, version: None });
        }
        assert_eq!(properties.books.lock().waiting.len(), 1);
        moved("e/a", "e/b").expect_err("it is about what has not followed yet");
        assert!(!properties.take_new_loss());
        properties.fails.store(false, Ordering::Relaxed);
        properties.catch_up().expect("followed");
        assert_eq!(noted(&properties, "e/b"), ["<a>d/a</a>"]);
        assert!(properties.is_up_to_date());
    }

    /// What cannot wait any more is lost, and that is told once.
    #[test]
    fn that_what_waits_is_lost_is_told_once() {
        let properties = Index::in_memory().properties(false, PropertyLimits::default());
        note(&properties, "a");
        properties.fails.store(true, Ordering::Relaxed);
        let told = (0..WAITING_MAX + 10).filter(|_| {
            properties.follow(Following::Gone { from: path("a"), version: None }).expect_err("it fails");
            properties.take_new_loss()
        });
        assert_eq!(told.count(), 1);
    }

    /// A row has its path: many small ones at a long path are more than they were at a short one. Under a shorter one they are always less.
    #[test]
    fn what_moves_to_a_long_path_is_too_much_there() {
        let limits = PropertyLimits { one_bytes_max: 1000, all_bytes_max: 5000 };
        let properties = Index::in_memory().properties(false, limits);
        (0..50).for_each(|number| note(&properties, &format!("d/{number}")));
        let has_room = |from: &str, to: &str| properties.have_room_for_move(&path(from), &path(to)).expect("read");
        let long = ["x"; 100].concat();
        assert!(!has_room("d", &long));
        assert!(has_room("d", "e"));
        assert!(has_room("d/1", &long), "it is small");
        follow(&properties, Following::Moved { from: path("d"), to: path(&long), displaced: None });
        assert!(has_room(&long, "d"), "less is never too much");
    }
}
