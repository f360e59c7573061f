//! What is remembered of files: their hash, and which tag was shown for them; and the locks that clients hold.
//!
//! What is remembered of files is a cache. An entry speaks of one stamp and of nothing else, so a file that has changed has none; and losing
//! all of it costs time, never truth. It lives in memory, and in a database in the state folder if there is one, which is written now and
//! then. Locks are bytes here: what they mean is for the share to know. [`Properties`] lie in the same database.

mod journal;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use quick_cache::sync::Cache;
use redb::backends::InMemoryBackend;
use redb::{Database, ReadableDatabase, ReadableTable as _, ReadableTableMetadata, TableDefinition};

use crate::model::content_hash::ContentHash;
use crate::model::stamp::Stamp;

use super::properties::Properties;
use journal::{Journal, Record};

/// How many entries are kept in memory.
const IN_MEMORY: usize = 200_000;

/// How many entries are kept in the database before it is begun anew.
const IN_DATABASE: u64 = 4_000_000;

/// The inode number to the entry. The name carries the version of the format.
const FILES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("files-3");

/// The token of a lock to the lock.
const LOCKS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("locks-1");

/// How many bytes an entry takes.
const BYTES: usize = 97;

/// Which table a record of the journal belongs to.
const OF_FILES: u8 = 0;
const OF_LOCKS: u8 = 1;

/// What is remembered of a file in one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The state.
    pub stamp: Stamp,
    /// The hash of its content, if it was hashed in this state.
    pub hash: Option<ContentHash>,
    /// Which form of tag was shown first.
    pub shown: ShownForm,
    /// What is known of its date.
    pub date: DateKnown,
    /// Whether a change made later would show in the state. If not, what is remembered holds only of a content that is found to be the same.
    pub is_settled: bool,
}

/// What is known of the date of a version, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateKnown {
    /// Nothing: another program wrote it.
    Unknown,
    /// No other version at the name that this number stands for was told with it.
    Exact(u64),
    /// Another version may have been told with it.
    Shared,
}

/// A form of tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShownForm {
    /// Made from the content.
    Content,
    /// Made from a stamp with this digest: that of the state in which it was first shown. What changes the stamp and not the content
    /// (a date, a mode, a new name) changes no tag.
    Stamp([u8; 16]),
}

/// The index of a share.
pub struct Index {
    memory: Cache<u64, Remembered>,
    database: Arc<Database>,
    is_kept: bool,
    unsaved: Mutex<Unsaved>,
}

/// What the database does not know yet; `None` is what is to be forgotten.
#[derive(Debug, Default)]
struct Unsaved {
    files: HashMap<u64, Option<Remembered>>,
    locks: HashMap<Box<str>, Option<Box<[u8]>>>,
    /// The same on the disk, for a process that is killed before it is saved.
    journal: Option<Journal>,
}

/// Why there is no database behind an index.
#[derive(Debug, thiserror::Error)]
#[error("the index {file}: {source}", file = file.display())]
pub struct IndexError {
    file: PathBuf,
    source: redb::Error,
}

impl Index {
    /// An index that is forgotten when the process ends.
    pub fn in_memory() -> Self {
        let database = Database::builder().create_with_backend(InMemoryBackend::new());
        Self::on(database.expect("memory does not fail"), false)
    }

    /// Opens the index in this file, or begins one.
    pub fn open(file: &Path) -> Result<Self, IndexError> {
        let failed = |source| IndexError { file: file.to_owned(), source };
        let database = Database::create(file).map_err(|error| failed(error.into()))?;
        let index = Self::on(database, true);
        let (journal, records) = Journal::open(file);
        let mut unsaved = index.lock();
        records.into_iter().for_each(|record| unsaved.take_in(record));
        unsaved.journal = Some(journal);
        drop(unsaved);
        Ok(index)
    }

    fn on(database: Database, is_kept: bool) -> Self {
        Self { memory: Cache::new(IN_MEMORY), database: Arc::new(database), is_kept, unsaved: Mutex::default() }
    }

    /// The dead properties, in the same database.
    pub fn properties(&self, syncs: bool) -> Properties {
        Properties::new(Arc::clone(&self.database), syncs && self.is_kept)
    }

    /// What is remembered of a file in exactly this state.
    pub fn recall(&self, stamp: &Stamp) -> Option<Remembered> {
        self.recall_unsettled(stamp).filter(|remembered| remembered.is_settled)
    }

    /// As [`Index::recall`], also where it is still to be found out whether the content is the same.
    pub fn recall_unsettled(&self, stamp: &Stamp) -> Option<Remembered> {
        let inode = stamp.id.inode;
        let remembered = match self.memory.get(&inode) {
            Some(remembered) => remembered,
            None => {
                let remembered = self.load(inode)?;
                self.memory.insert(inode, remembered);
                remembered
            }
        };
        (remembered.stamp == *stamp).then_some(remembered)
    }

    /// Remembers a file.
    pub fn remember(&self, remembered: Remembered) {
        let inode = remembered.stamp.id.inode;
        self.memory.insert(inode, remembered);
        self.note(inode, Some(remembered));
    }

    /// Forgets a file, because it may have changed in a way that its stamp does not show.
    pub fn forget(&self, inode: u64) {
        if self.memory.remove(&inode).is_some() || self.load(inode).is_some() {
            self.note(inode, None);
        }
    }

    /// Remembers a lock from now on, or forgets it.
    pub fn note_lock(&self, token: &str, lock: Option<Box<[u8]>>) {
        if self.is_kept {
            let mut unsaved = self.lock();
            unsaved.journal(OF_LOCKS, token.as_bytes(), lock.as_deref());
            unsaved.locks.insert(token.into(), lock);
        }
    }

    /// The locks that were remembered.
    pub fn locks(&self) -> Result<Vec<Box<[u8]>>, redb::Error> {
        self.save()?;
        let reading = self.database.begin_read()?;
        let table = match reading.open_table(LOCKS) {
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            table => table?,
        };
        let mut locks = Vec::new();
        for row in table.iter()? {
            locks.push(row?.1.value().into());
        }
        Ok(locks)
    }

    /// Writes what has changed to the database.
    pub fn save(&self) -> Result<(), redb::Error> {
        let (unsaved, journaled) = {
            let mut lock = self.lock();
            if !self.is_kept || lock.is_empty() {
                return Ok(());
            }
            let journaled = lock.journal.as_mut().map(Journal::end_file);
            let journal = lock.journal.take();
            (std::mem::replace(&mut *lock, Unsaved { journal, ..Unsaved::default() }), journaled)
        };
        let written = self.write(&unsaved);
        let mut lock = self.lock();
        match (&written, &lock.journal, journaled) {
            (Ok(()), Some(journal), Some(number)) => journal.remove_before(number),
            (Ok(()), ..) => {}
            // The next time may go better.
            (Err(_), ..) => lock.put_back(unsaved),
        }
        written
    }

    fn write(&self, unsaved: &Unsaved) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        if !unsaved.files.is_empty() {
            let mut files = transaction.open_table(FILES)?;
            if files.len()? > IN_DATABASE {
                files.retain(|_, _| false)?;
            }
            for (inode, remembered) in &unsaved.files {
                match remembered {
                    Some(remembered) => files.insert(inode, remembered.to_bytes().as_slice())?,
                    None => files.remove(inode)?,
                };
            }
        }
        if !unsaved.locks.is_empty() {
            let mut locks = transaction.open_table(LOCKS)?;
            for (token, lock) in &unsaved.locks {
                match lock {
                    Some(lock) => locks.insert(&**token, &**lock)?,
                    None => locks.remove(&**token)?,
                };
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn load(&self, inode: u64) -> Option<Remembered> {
        if !self.is_kept {
            return None;
        }
        if let Some(unsaved) = self.lock().files.get(&inode) {
            return *unsaved;
        }
        let files = self.database.begin_read().ok()?.open_table(FILES).ok()?;
        Remembered::from_bytes(files.get(inode).ok()??.value())
    }

    fn note(&self, inode: u64, remembered: Option<Remembered>) {
        if self.is_kept {
            let mut unsaved = self.lock();
            let bytes = remembered.map(Remembered::to_bytes);
            unsaved.journal(OF_FILES, &inode.to_le_bytes(), bytes.as_ref().map(<[u8; BYTES]>::as_slice));
            unsaved.files.insert(inode, remembered);
        }
    }

    /// What is unsaved is whole whatever thread panicked beside it.
    fn lock(&self) -> std::sync::MutexGuard<'_, Unsaved> {
        self.unsaved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unsaved {
    fn is_empty(&self) -> bool {
        self.files.is_empty() && self.locks.is_empty()
    }

    /// What is newer stays.
    fn put_back(&mut self, older: Self) {
        for (inode, remembered) in older.files {
            self.files.entry(inode).or_insert(remembered);
        }
        for (token, lock) in older.locks {
            self.locks.entry(token).or_insert(lock);
        }
    }

    fn journal(&mut self, table: u8, key: &[u8], value: Option<&[u8]>) {
        if let Some(journal) = &mut self.journal {
            journal.append(table, key, value);
        }
    }

    /// Takes in what an earlier process did not come to save. What is of another format is left out.
    fn take_in(&mut self, record: Record) {
        let Record { table, key, value } = record;
        if table == OF_LOCKS {
            if let Ok(token) = str::from_utf8(&key) {
                self.locks.insert(token.into(), value);
            }
        } else if let (OF_FILES, Ok(inode)) = (table, <[u8; 8]>::try_from(&*key)) {
            let remembered = value.map(|bytes| Remembered::from_bytes(&bytes));
            if remembered != Some(None) {
                self.files.insert(u64::from_le_bytes(inode), remembered.flatten());
            }
        }
    }
}

impl Remembered {
    /// The stamp, the hash or zeros, the digest that was shown or zeros, the name of an exact date or zeros, and a byte of flags.
    fn to_bytes(self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..40].copy_from_slice(&self.stamp.to_bytes());
        bytes[40..72].copy_from_slice(self.hash.map_or([0; 32], |hash| *hash.as_bytes()).as_slice());
        let (stamp_is_shown, digest) = match self.shown {
            ShownForm::Content => (false, [0; 16]),
            ShownForm::Stamp(digest) => (true, digest),
        };
        bytes[72..88].copy_from_slice(&digest);
        let (date, name) = match self.date {
            DateKnown::Unknown => (0, 0),
            DateKnown::Exact(name) => (1, name),
            DateKnown::Shared => (2, 0),
        };
        bytes[88..96].copy_from_slice(&name.to_le_bytes());
        let flags = u8::from(self.hash.is_some()) | u8::from(stamp_is_shown) << 1 | date << 2;
        bytes[96] = flags | u8::from(self.is_settled) << 4;
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (stamp, rest) = bytes.split_first_chunk::<40>()?;
        let (hash, rest) = rest.split_first_chunk::<32>()?;
        let (digest, rest) = rest.split_first_chunk::<16>()?;
        let (name, flags) = rest.split_first_chunk::<8>()?;
        let [flags] = flags else { return None };
        Some(Self {
            stamp: Stamp::from_bytes(stamp),
            hash: (flags & 1 != 0).then(|| ContentHash::from_bytes(*hash)),
            shown: if flags & 2 != 0 { ShownForm::Stamp(*digest) } else { ShownForm::Content },
            date: match flags >> 2 & 3 {
                1 => DateKnown::Exact(u64::from_le_bytes(*name)),
                2 => DateKnown::Shared,
                _ => DateKnown::Unknown,
            },
            is_settled: flags & 16 != 0,
        })
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index").field("in_memory", &self.memory.len()).field("kept", &self.is_kept).finish()
    }
}
