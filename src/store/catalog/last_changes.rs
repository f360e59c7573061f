//! What clients last did at a path, and who: so that whoever is refused can be told who was faster.
//!
//! It says nothing for certain of what is there now: that is for who asks to compare. It may be lost at any time, and refuses nobody anything.
//! What is new waits in memory until it is saved, and lies in the database of the index then.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use quick_cache::sync::Cache;
use redb::{ReadableDatabase as _, ReadableTableMetadata as _, TableDefinition};
use serde::{Deserialize, Serialize};

use crate::model::author::Author;
use crate::model::content_hash::ContentHash;
use crate::model::path::SharePath;
use crate::model::stamp::{FileId, Stamp, Timestamp};

use super::codec::{decode, encode};
use super::database::{StateDatabase, table_if_any};

/// The hash of a path to what was last done there.
const LAST_CHANGES: TableDefinition<'_, [u8; 16], &[u8]> = TableDefinition::new("last-changes");

/// Of how many paths it is kept, before it is begun anew.
const KEPT_MAX: u64 = 1_000_000;

/// Of how many paths it is known in memory.
const IN_MEMORY: usize = 50_000;

/// How many may wait to be saved. Where there are more, all that is saved is forgotten.
const UNSAVED_MAX: usize = 50_000;

/// What a client last did at a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastChange {
    /// Who.
    pub by: Arc<Author>,
    /// When.
    pub at: Timestamp,
    /// What it left there.
    pub left: Left,
}

/// What a change left at a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Left {
    /// A file.
    File {
        /// Its state then.
        stamp: Stamp,
        /// Its content.
        hash: ContentHash,
        /// The file that it took the place of.
        replaced: Option<FileId>,
    },
    /// Nothing.
    Nothing {
        /// The file that went, if it was one.
        removed: Option<FileId>,
    },
}

/// What was last done, path by path.
pub struct LastChanges {
    memory: Cache<Key, Noted>,
    database: Arc<StateDatabase>,
    unsaved: Mutex<Unsaved>,
    /// Goes up when much changes at once. What was noted before is not certainly the last any more.
    era: AtomicU64,
    /// Whether anything was ever noted: where nobody is told from anybody nothing is, and nothing needs to be forgotten.
    is_used: AtomicBool,
}

type Key = [u8; 16];

/// What is known of a path, and since which era; none that was saved by another process is one of this.
type Noted = Option<(Arc<LastChange>, u64)>;

/// What is to be saved; `None` is what is to be forgotten.
#[derive(Clone, Default)]
struct Unsaved {
    changes: HashMap<Key, Option<Arc<LastChange>>>,
    /// How often there was too much, and how often the database has forgotten all for that.
    losses: u64,
    forgotten: u64,
}

impl Unsaved {
    /// Whether the database knows what may be older than what was lost.
    fn were_lost(&self) -> bool {
        self.losses > self.forgotten
    }
}

/// The era of what another process has noted.
const BEFORE: u64 = 0;

impl LastChanges {
    /// Those in this database.
    pub(super) fn new(database: Arc<StateDatabase>) -> Self {
        let is_there =
            database.with_what_there_is(|database| Ok(table_if_any(&database.begin_read()?, LAST_CHANGES)?.is_some()));
        let is_used = AtomicBool::new(!matches!(is_there, Ok(None | Some(false))));
        let era = AtomicU64::new(BEFORE + 1);
        Self { memory: Cache::new(IN_MEMORY), database, unsaved: Mutex::default(), era, is_used }
    }

    /// Notes what was done at a path, or that what was noted there holds no more.
    pub fn note(&self, path: &SharePath, change: Option<LastChange>) {
        if change.is_none() && !self.is_used.load(Ordering::Relaxed) {
            return;
        }
        self.is_used.store(true, Ordering::Relaxed);
        let (key, change) = (key_of(path), change.map(Arc::new));
        if self.database.is_kept() {
            let mut unsaved = self.unsaved.lock();
            if unsaved.changes.len() >= UNSAVED_MAX {
                unsaved.changes = HashMap::new();
                unsaved.losses += 1;
            }
            unsaved.changes.insert(key, change.clone());
        }
        self.memory.insert(key, change.map(|change| (change, self.era.load(Ordering::Relaxed))));
    }

    /// The file at a path has another stamp now, with the content that it had.
    pub fn restamp(&self, path: &SharePath, before: &Stamp, now: Stamp) {
        let Some((last, _)) = self.find(path) else { return };
        match last.left {
            Left::File { stamp, hash, replaced } if stamp.same_content_as(before) => {
                let left = Left::File { stamp: now, hash, replaced };
                self.note(path, Some(LastChange { left, ..LastChange::clone(&last) }));
            }
            _ => {}
        }
    }

    /// Folders have come or gone, with all that was in them: what was noted below their paths may not be the last any more.
    pub fn much_changed(&self) {
        self.era.fetch_add(1, Ordering::Relaxed);
    }

    /// What was last noted at a path, and whether no client has done anything there since, for certain.
    pub fn of(&self, path: &SharePath) -> Option<(Arc<LastChange>, bool)> {
        let (last, era) = self.find(path)?;
        Some((last, era == self.era.load(Ordering::Relaxed)))
    }

    fn find(&self, path: &SharePath) -> Option<(Arc<LastChange>, u64)> {
        if !self.is_used.load(Ordering::Relaxed) {
            return None;
        }
        let key = key_of(path);
        // What came meanwhile stays.
        self.memory.get_or_insert_with(&key, || self.load(&key).ok_or(())).ok().flatten()
    }

    /// Writes to the database what is new. What cannot be written now waits.
    pub fn save(&self) -> Result<(), redb::Error> {
        let saving = self.unsaved.lock().clone();
        if saving.changes.is_empty() && !saving.were_lost() {
            return Ok(());
        }
        self.write(&saving)?;
        let mut unsaved = self.unsaved.lock();
        unsaved.forgotten = saving.losses;
        unsaved.changes.retain(|key, change| saving.changes.get(key) != Some(change));
        Ok(())
    }

    fn write(&self, saving: &Unsaved) -> Result<(), redb::Error> {
        self.database.with(|database| {
            let writing = database.begin_write()?;
            let mut table = writing.open_table(LAST_CHANGES)?;
            if saving.were_lost() || table.len()? > KEPT_MAX {
                table.retain(|_, _| false)?;
            }
            for (key, change) in &saving.changes {
                match change {
                    Some(change) => table.insert(key, encode(&**change).as_slice())?,
                    None => table.remove(key)?,
                };
            }
            drop(table);
            Ok(writing.commit()?)
        })
    }

    /// What is saved of a path; `None` if that cannot be known now.
    fn load(&self, key: &Key) -> Option<Noted> {
        {
            let unsaved = self.unsaved.lock();
            if let Some(change) = unsaved.changes.get(key) {
                return Some(change.clone().map(|change| (change, BEFORE)));
            }
            if unsaved.were_lost() {
                return Some(None);
            }
        }
        let loaded = self.database.with_what_there_is(|database| {
            let Some(table) = table_if_any(&database.begin_read()?, LAST_CHANGES)? else { return Ok(None) };
            Ok(table.get(key)?.and_then(|change| decode::<LastChange>(change.value())))
        });
        loaded.ok().map(|change| change.flatten().map(|change| (Arc::new(change), BEFORE)))
    }
}

impl fmt::Debug for LastChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LastChanges").field("in_memory", &self.memory.len()).finish_non_exhaustive()
    }
}

fn key_of(path: &SharePath) -> Key {
    ContentHash::of(path.as_bytes()).short()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::model::author::WayIn;
    use crate::model::principal::Principal;
    use crate::store::catalog::index::Index;
    use crate::store::share_identity::ShareIdentity;

    fn opened(folder: &Path) -> Index {
        let share = ShareIdentity { path: folder.to_owned(), folder: [1; 16] };
        Index::open(&folder.join("index.redb"), &share).expect("an index")
    }

    fn path(text: &str) -> SharePath {
        SharePath::parse_disk(text.as_bytes()).expect(text)
    }

    fn by(user: &str, left: Left) -> LastChange {
        let by = Author::client(Principal::named(user), WayIn::Session);
        LastChange { by: Arc::new(by), at: Timestamp::new(5, 0), left }
    }

    fn stamp(size: u64) -> Stamp {
        let time = Timestamp::new(1, 0);
        Stamp { id: FileId { inode: 1, generation: 1 }, size, mtime: time, ctime: time }
    }

    fn stored(user: &str, size: u64) -> LastChange {
        by(user, Left::File { stamp: stamp(size), hash: ContentHash::of(b"a"), replaced: None })
    }

    #[test]
    fn what_was_saved_is_known_to_the_next_process_which_is_not_certain_of_it() {
        let folder = tempfile::tempdir().expect("a folder");
        {
            let changes = opened(folder.path()).last_changes();
            changes.note(&path("a"), Some(stored("alice", 1)));
            changes.note(&path("b"), Some(stored("alice", 1)));
            changes.note(&path("c"), Some(stored("alice", 1)));
            changes.save().expect("saved");
            changes.note(&path("b"), None);
            changes.save().expect("saved");
            changes.note(&path("c"), Some(stored("bob", 2)));
        }
        let changes = opened(folder.path()).last_changes();
        assert_eq!(changes.of(&path("a")), Some((Arc::new(stored("alice", 1)), false)));
        assert_eq!(changes.of(&path("b")), None);
        assert_eq!(changes.of(&path("c")), Some((Arc::new(stored("alice", 1)), false)), "it was not saved");
        changes.note(&path("a"), Some(stored("bob", 2)));
        assert_eq!(changes.of(&path("a")), Some((Arc::new(stored("bob", 2)), true)));
    }

    #[test]
    fn after_folders_have_come_or_gone_nothing_is_certain() {
        let changes = Index::in_memory().last_changes();
        changes.note(&path("a"), Some(by("alice", Left::Nothing { removed: None })));
        assert!(changes.of(&path("a")).is_some_and(|(_, is_last)| is_last));
        changes.much_changed();
        assert!(changes.of(&path("a")).is_some_and(|(_, is_last)| !is_last));
    }

    #[test]
    fn another_date_is_no_other_content() {
        let changes = Index::in_memory().last_changes();
        changes.note(&path("a"), Some(stored("alice", 1)));
        changes.restamp(&path("a"), &stamp(2), stamp(3));
        assert_eq!(changes.of(&path("a")).map(|(last, _)| (*last).clone()), Some(stored("alice", 1)));
        changes.restamp(&path("a"), &stamp(1), stamp(3));
        assert_eq!(changes.of(&path("a")).map(|(last, _)| (*last).clone()), Some(stored("alice", 3)));
    }

    /// Nothing that is older may be believed where what is newer was lost.
    #[test]
    fn where_more_waits_than_may_what_is_saved_is_forgotten() {
        let folder = tempfile::tempdir().expect("a folder");
        let index = opened(folder.path());
        let changes = index.last_changes();
        changes.note(&path("old"), Some(stored("alice", 1)));
        changes.save().expect("saved");
        for number in 0..=UNSAVED_MAX {
            changes.note(&path(&number.to_string()), Some(stored("bob", 1)));
        }
        changes.save().expect("saved");
        drop(changes);
        let changes = index.last_changes();
        assert_eq!(changes.of(&path("old")), None);
        assert!(changes.of(&path(&UNSAVED_MAX.to_string())).is_some());
    }
}
