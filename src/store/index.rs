//! What is remembered of files: their hash, and which tag was shown for them.
//!
//! The index is a cache. An entry speaks of one stamp and of nothing else, so a file that has changed has none; and losing all of it costs
//! time, never truth. It lives in memory, and in a database in the state folder if there is one, which is written now and then.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use quick_cache::sync::Cache;
use redb::{Database, ReadableDatabase, ReadableTableMetadata, TableDefinition};

use crate::model::content_hash::ContentHash;
use crate::model::stamp::Stamp;

/// How many entries are kept in memory.
const IN_MEMORY: usize = 200_000;

/// How many entries are kept in the database before it is begun anew.
const IN_DATABASE: u64 = 4_000_000;

/// The inode number to the entry. The name carries the version of the format.
const FILES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("files-1");

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
}

/// What is known of the date of a version, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateKnown {
    /// Nothing: another program wrote it.
    Unknown,
    /// No other version of the file had it.
    Exact,
    /// Another version of the file had it.
    Shared,
}

/// A form of tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShownForm {
    /// Made from the content.
    Content,
    /// Made from the stamp.
    Stamp,
}

/// The index of a share.
pub struct Index {
    memory: Cache<u64, Remembered>,
    database: Option<Database>,
    unsaved: Mutex<HashMap<u64, Option<Remembered>>>,
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
        Self { memory: Cache::new(IN_MEMORY), database: None, unsaved: Mutex::default() }
    }

    /// Opens the index in this file, or begins one.
    pub fn open(file: &Path) -> Result<Self, IndexError> {
        let failed = |source| IndexError { file: file.to_owned(), source };
        let database = Database::create(file).map_err(|error| failed(error.into()))?;
        Ok(Self { memory: Cache::new(IN_MEMORY), database: Some(database), unsaved: Mutex::default() })
    }

    /// What is remembered of a file in exactly this state.
    pub fn recall(&self, stamp: &Stamp) -> Option<Remembered> {
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

    /// Writes what has changed to the database.
    pub fn save(&self) -> Result<(), redb::Error> {
        let Some(database) = &self.database else { return Ok(()) };
        let unsaved = std::mem::take(&mut *self.lock());
        if unsaved.is_empty() {
            return Ok(());
        }
        let transaction = database.begin_write()?;
        {
            let mut files = transaction.open_table(FILES)?;
            if files.len()? > IN_DATABASE {
                files.retain(|_, _| false)?;
            }
            for (inode, remembered) in &unsaved {
                match remembered {
                    Some(remembered) => files.insert(inode, remembered.to_bytes().as_slice())?,
                    None => files.remove(inode)?,
                };
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn load(&self, inode: u64) -> Option<Remembered> {
        let database = self.database.as_ref()?;
        if let Some(unsaved) = self.lock().get(&inode) {
            return *unsaved;
        }
        let files = database.begin_read().ok()?.open_table(FILES).ok()?;
        Remembered::from_bytes(files.get(inode).ok()??.value())
    }

    fn note(&self, inode: u64, remembered: Option<Remembered>) {
        if self.database.is_some() {
            self.lock().insert(inode, remembered);
        }
    }

    /// The map is whole whatever thread panicked beside it.
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Option<Remembered>>> {
        self.unsaved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Remembered {
    /// The stamp, the hash or zeros, and a byte of flags.
    fn to_bytes(self) -> [u8; 73] {
        let mut bytes = [0; 73];
        bytes[..40].copy_from_slice(&self.stamp.to_bytes());
        bytes[40..72].copy_from_slice(self.hash.map_or([0; 32], |hash| *hash.as_bytes()).as_slice());
        let stamp_is_shown = self.shown == ShownForm::Stamp;
        bytes[72] = u8::from(self.hash.is_some()) | u8::from(stamp_is_shown) << 1 | (self.date as u8) << 2;
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (stamp, rest) = bytes.split_first_chunk::<40>()?;
        let (hash, flags) = rest.split_first_chunk::<32>()?;
        let [flags] = flags else { return None };
        Some(Self {
            stamp: Stamp::from_bytes(stamp),
            hash: (flags & 1 != 0).then(|| ContentHash::from_bytes(*hash)),
            shown: if flags & 2 != 0 { ShownForm::Stamp } else { ShownForm::Content },
            date: match flags >> 2 & 3 {
                1 => DateKnown::Exact,
                2 => DateKnown::Shared,
                _ => DateKnown::Unknown,
            },
        })
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index").field("in_memory", &self.memory.len()).field("kept", &self.database.is_some()).finish()
    }
}
