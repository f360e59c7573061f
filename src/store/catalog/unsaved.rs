//! What the database of the index does not know yet. It waits in memory and, for a process that is killed, in a journal.

use std::collections::HashMap;
use std::sync::Arc;

use super::journal::{Journal, Record};
use super::remembered::{Remembered, ToldBefore};

/// How many entries may wait to be written to the database. While it cannot be written, what is beyond is forgotten.
const UNSAVED_MAX: usize = 100_000;

/// How many bytes the journal may take before it is written anew, with what is still unsaved alone.
const JOURNAL_BYTES_MAX: u64 = 16 << 20;

/// What the database does not know yet.
#[derive(Debug, Default)]
pub(super) struct Unsaved {
    pub(super) changes: Changes,
    /// What a save is writing now: the database may know it or not. The changes are newer.
    pub(super) being_saved: Arc<Changes>,
    /// Both on the disk, for a process that is killed before they are saved.
    pub(super) journal: Option<Journal>,
}

/// What is to be written to the database; `None` is what is to be forgotten there.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    pub(super) files: HashMap<u64, Option<Remembered>>,
    /// Whether there was too much to be written: then the database is to forget all files first.
    pub(super) files_were_lost: bool,
    pub(super) locks: HashMap<Box<str>, Option<Box<[u8]>>>,
    pub(super) told: Option<ToldBefore>,
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.locks.is_empty() && self.told.is_none() && !self.files_were_lost
    }

    /// What is newer stays; so where that was too much, nothing older is known of files any more.
    pub(super) fn put_back(&mut self, older: Self) {
        if !self.files_were_lost {
            self.files_were_lost = older.files_were_lost;
            for (inode, remembered) in older.files {
                self.files.entry(inode).or_insert(remembered);
            }
        }
        self.told = self.told.or(older.told);
        for (token, lock) in older.locks {
            self.locks.entry(token).or_insert(lock);
        }
    }

    /// What is forgotten of files costs time and nothing else; but what the database has of them may be older by then.
    pub(super) fn keep_files_within_bounds(&mut self) {
        if self.files.len() > UNSAVED_MAX {
            self.files = HashMap::new();
            self.files_were_lost = true;
        }
    }
}

impl Unsaved {
    pub(super) fn keep_within_bounds(&mut self) {
        self.changes.keep_files_within_bounds();
        if self.journal.as_ref().is_some_and(|journal| journal.bytes() > JOURNAL_BYTES_MAX) {
            self.write_journal_anew();
        }
    }

    pub(super) fn write_journal_anew(&mut self) {
        let Some(mut journal) = self.journal.take() else { return };
        let number = journal.end_file();
        for (inode, remembered) in &self.changes.files {
            journal.append(&Record::File(*inode, *remembered));
        }
        for (token, lock) in &self.changes.locks {
            journal.append(&Record::Lock(token.clone(), lock.clone()));
        }
        // Where the new one could not be written whole, the old ones say more than it does; but they do not grow.
        if journal.is_whole() {
            journal.remove_before(number);
        }
        self.journal = Some(journal);
    }

    /// Takes in a change, and writes it into the journal.
    pub(super) fn note(&mut self, record: Record) {
        if let Some(journal) = &mut self.journal {
            journal.append(&record);
        }
        self.take_in(record);
    }

    /// Takes in a change that is in the journal.
    pub(super) fn take_in(&mut self, record: Record) {
        match record {
            Record::File(inode, remembered) => {
                self.changes.files.insert(inode, remembered);
            }
            Record::Lock(token, lock) => {
                self.changes.locks.insert(token, lock);
            }
        }
    }
}
