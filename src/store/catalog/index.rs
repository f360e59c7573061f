//! What is remembered of files: their hash, and which tag was shown for them; and the locks that clients hold.
//!
//! What is remembered of files is a cache. An entry speaks of one stamp and of nothing else, so a file that has changed has none; and losing
//! all of it costs time, never truth. It lives in memory, and in a database in the state folder if there is one, which is written now and
//! then. What a lock is, is for the share to know. [`Properties`], [`Checksums`] and [`LastChanges`] lie in the same database.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use quick_cache::sync::Cache;
use redb::{ReadableDatabase, ReadableTable as _, ReadableTableMetadata, TableDefinition};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::model::stamp::Stamp;

use super::changes::{ChangeJournal, JournalLimits};
use super::checksums::Checksums;
use super::codec::{decode, encode};
use super::database::{StateDatabase, failed, table_if_any};
use super::index_error::IndexError;
use super::journal::{Journal, Record};
use super::last_changes::LastChanges;
use super::properties::{Properties, PropertyLimits};
use super::remembered::{DateKnown, Remembered, ToldBefore};
use super::unsaved::{Changes, Unsaved};
use crate::store::share_identity::ShareIdentity;

/// How many entries are kept in memory.
const IN_MEMORY: usize = 200_000;

/// How many entries are kept in the database before it is begun anew.
const IN_DATABASE: u64 = 4_000_000;

/// The inode number to what is remembered of the file.
const FILES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("files");

/// The token of a lock to the lock.
const LOCKS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("locks");

/// What is to be known of the index itself.
const ABOUT: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("about");

/// The key of the share that the index belongs to, in [`ABOUT`].
const SHARE: &str = "share";

/// The key of what was told, in [`ABOUT`].
const TOLD: &str = "told";

/// The index of a share.
pub struct Index {
    /// Which folder the share is, if the index outlives the process.
    folder: Option<[u8; 16]>,
    memory: Cache<u64, Remembered>,
    database: Arc<StateDatabase>,
    unsaved: Mutex<Unsaved>,
    /// The tokens of the locks that may be in the database: also of those that a save has begun to write, or could not write.
    saved_locks: Mutex<HashSet<Box<str>>>,
    /// Held by a save, so that none writes what is older than what another has written.
    saving: Mutex<()>,
}

/// The token of a lock, and the lock.
type LockRow = (Box<str>, Box<[u8]>);

impl Index {
    /// An index that is forgotten when the process ends.
    pub fn in_memory() -> Self {
        Self::on(StateDatabase::in_memory())
    }

    /// Opens the index of a share in this file, or begins one. Its journal stands beside it.
    pub fn open(file: &Path, share: &ShareIdentity) -> Result<Self, IndexError> {
        let failed = |error| IndexError::of(file, error);
        let mut index = Self::on(StateDatabase::open(file).map_err(failed)?);
        index.folder = Some(share.folder);
        if let Some(of) = index.belong_to(share).map_err(failed)? {
            return Err(IndexError::Foreign { file: file.to_owned(), of });
        }
        *index.saved_locks.lock() = index.saved_tokens().map_err(failed)?;
        let (journal, records) = Journal::open(file).map_err(|error| failed(error.into()))?;
        let mut unsaved = index.unsaved.lock();
        records.into_iter().for_each(|record| unsaved.take_in(record));
        unsaved.journal = Some(journal);
        drop(unsaved);
        Ok(index)
    }

    fn on(database: StateDatabase) -> Self {
        let (unsaved, saved_locks, saving) = Default::default();
        Self { folder: None, memory: Cache::new(IN_MEMORY), database: Arc::new(database), unsaved, saved_locks, saving }
    }

    /// Notes whose the index is; gives the folder of the share that it belongs to, if that is another.
    fn belong_to(&self, share: &ShareIdentity) -> Result<Option<PathBuf>, redb::Error> {
        self.database.with(|database| {
            let transaction = database.begin_write()?;
            let mut about = transaction.open_table(ABOUT)?;
            let noted = about.get(SHARE)?.and_then(|noted| decode::<ShareIdentity>(noted.value()));
            match noted {
                Some(other) if !other.is_same_as(share) => return Ok(Some(other.path)),
                Some(other) if other == *share => return Ok(None),
                _ => {
                    about.insert(SHARE, encode(share).as_slice())?;
                }
            }
            drop(about);
            transaction.commit()?;
            Ok(None)
        })
    }

    fn saved_tokens(&self) -> Result<HashSet<Box<str>>, redb::Error> {
        let rows = self.lock_rows()?;
        Ok(rows.into_iter().map(|(token, _)| token).collect())
    }

    /// The dead properties, in the same database.
    pub fn properties(&self, syncs: bool, limits: PropertyLimits) -> Properties {
        Properties::new(Arc::clone(&self.database), syncs && self.database.is_kept(), limits)
    }

    /// The checksums of contents, in the same database.
    pub fn checksums(&self) -> Checksums {
        Checksums::new(Arc::clone(&self.database))
    }

    /// The journal of the feed, in the same database.
    pub fn changes(&self, limits: JournalLimits) -> ChangeJournal {
        ChangeJournal::new(Arc::clone(&self.database), self.folder, limits)
    }

    /// What clients last did, path by path, in the same database.
    pub fn last_changes(&self) -> LastChanges {
        LastChanges::new(Arc::clone(&self.database))
    }

    /// What is remembered of a file in exactly this state.
    pub fn recall(&self, stamp: &Stamp) -> Option<Remembered> {
        self.recall_unsettled(stamp).filter(|remembered| remembered.is_settled)
    }

    /// As [`Index::recall`], without the disk: what is only in the database is not found.
    pub fn recall_now(&self, stamp: &Stamp) -> Option<Remembered> {
        let remembered = self.memory.get(&stamp.id.inode)?;
        (remembered.stamp == *stamp && remembered.is_settled).then_some(remembered)
    }

    /// As [`Index::recall`], also where it is still to be found out whether the content is the same.
    pub fn recall_unsettled(&self, stamp: &Stamp) -> Option<Remembered> {
        let inode = stamp.id.inode;
        let remembered = self.recall_or(inode, || self.load(inode).ok().flatten())?;
        (remembered.stamp == *stamp).then_some(remembered)
    }

    /// What is remembered of a file whose ctime alone has moved since, as long as that is to be confirmed anyway: its content tells whether it
    /// is the same version. Through FUSE the ctime of an upload moves once more when its own name goes at last, after it was answered.
    pub fn recall_unconfirmed(&self, stamp: &Stamp) -> Option<Remembered> {
        let inode = stamp.id.inode;
        let remembered = self.recall_or(inode, || self.load(inode).ok().flatten())?;
        let is_to_be_confirmed = !remembered.is_settled && remembered.hash.is_some();
        (is_to_be_confirmed && remembered.stamp.same_content_as(stamp)).then_some(remembered)
    }

    /// What is in memory of a file, or else what is loaded; that is kept in memory, unless the file was remembered or forgotten meanwhile.
    fn recall_or(&self, inode: u64, load: impl FnOnce() -> Option<Remembered>) -> Option<Remembered> {
        self.memory.get_or_insert_with(&inode, || load().ok_or(())).ok()
    }

    /// Remembers a file.
    pub fn remember(&self, remembered: Remembered) {
        let inode = remembered.stamp.id.inode;
        self.note(inode, Some(remembered));
        self.memory.insert(inode, remembered);
    }

    /// Remembers what was found out about the date of a file in this state, if the rest of what is remembered of it is settled.
    pub fn note_date(&self, stamp: &Stamp, date: DateKnown) {
        if let Some(known) = self.recall_now(stamp).filter(|known| known.date == DateKnown::Unknown) {
            self.remember(Remembered { date, ..known });
        }
    }

    /// Forgets a file, because it may have changed in a way that its stamp does not show.
    pub fn forget(&self, inode: u64) {
        // What cannot be known now may be there.
        if self.memory.contains_key(&inode) || !matches!(self.load(inode), Ok(None)) {
            self.note(inode, None);
        }
        // Also what is just being loaded is not kept.
        self.memory.remove(&inode);
    }

    /// Remembers a lock from now on, or forgets it.
    pub fn note_lock(&self, token: &str, lock: Option<&impl Serialize>) {
        if self.database.is_kept() {
            let mut unsaved = self.unsaved.lock();
            unsaved.note(Record::Lock(token.into(), lock.map(|lock| encode(lock).into())));
            if lock.is_none() && !self.saved_locks.lock().contains(token) {
                // The database has never heard of it: there is nothing to forget there.
                unsaved.changes.locks.remove(token);
            }
        }
    }

    /// Remembers what was told, from when it is saved.
    pub fn note_told(&self, told: ToldBefore) {
        if self.database.is_kept() {
            self.unsaved.lock().changes.told = Some(told);
        }
    }

    /// What an earlier process has told, as far as it is remembered.
    pub fn told_before(&self) -> Option<ToldBefore> {
        if !self.database.is_kept() {
            return None;
        }
        let told = self.database.with(|database| {
            let about = database.begin_read()?.open_table(ABOUT)?;
            Ok(about.get(TOLD)?.and_then(|told| decode(told.value())))
        });
        told.ok().flatten()
    }

    /// The locks that were remembered. What is unsaved is saved before, so that those of the journal are among them.
    pub fn load_locks<L: DeserializeOwned>(&self) -> crate::store::disk_error::Result<Vec<L>> {
        let rows = self.save().and_then(|()| self.lock_rows()).map_err(|error| failed("read the locks", error))?;
        Ok(rows.into_iter().filter_map(|(_, lock)| decode(&lock)).collect())
    }

    fn lock_rows(&self) -> Result<Vec<LockRow>, redb::Error> {
        self.database.wait_until_open();
        let rows = self.database.with_what_there_is(|database| {
            let Some(table) = table_if_any(&database.begin_read()?, LOCKS)? else { return Ok(Vec::new()) };
            let mut rows = Vec::new();
            for row in table.iter()? {
                let (token, lock) = row?;
                rows.push((token.value().into(), lock.value().into()));
            }
            Ok(rows)
        })?;
        Ok(rows.unwrap_or_default())
    }

    /// Writes what has changed to the database.
    pub fn save(&self) -> Result<(), redb::Error> {
        let _saving = self.saving.lock();
        let (saving, journaled) = {
            let mut unsaved = self.unsaved.lock();
            if !self.database.is_kept() || unsaved.changes.is_empty() {
                return Ok(());
            }
            let journaled = unsaved.journal.as_mut().map(Journal::end_file);
            unsaved.being_saved = Arc::new(std::mem::take(&mut unsaved.changes));
            // From here on a lock that is given back is to be forgotten in the database.
            let locks = &unsaved.being_saved.locks;
            let tokens = locks.iter().filter(|(_, lock)| lock.is_some()).map(|(token, _)| token.clone());
            self.saved_locks.lock().extend(tokens);
            (Arc::clone(&unsaved.being_saved), journaled)
        };
        let written = self.write(&saving);
        let mut unsaved = self.unsaved.lock();
        unsaved.being_saved = Arc::default();
        if written.is_ok() {
            let mut saved = self.saved_locks.lock();
            for (token, _) in saving.locks.iter().filter(|(_, lock)| lock.is_none()) {
                saved.remove(token);
            }
            if let (Some(journal), Some(number)) = (&mut unsaved.journal, journaled) {
                journal.remove_before(number);
            }
        } else {
            // The next time may go better.
            unsaved.changes.put_back(Arc::unwrap_or_clone(saving));
            unsaved.keep_within_bounds();
        }
        written
    }

    fn write(&self, changes: &Changes) -> Result<(), redb::Error> {
        self.database.with(|database| {
            let transaction = database.begin_write()?;
            if !changes.files.is_empty() || changes.files_were_lost {
                let mut files = transaction.open_table(FILES)?;
                if files.len()? > IN_DATABASE || changes.files_were_lost {
                    files.retain(|_, _| false)?;
                }
                for (inode, remembered) in &changes.files {
                    match remembered {
                        Some(remembered) => files.insert(inode, encode(remembered).as_slice())?,
                        None => files.remove(inode)?,
                    };
                }
            }
            if !changes.locks.is_empty() {
                let mut locks = transaction.open_table(LOCKS)?;
                for (token, lock) in &changes.locks {
                    match lock {
                        Some(lock) => locks.insert(&**token, &**lock)?,
                        None => locks.remove(&**token)?,
                    };
                }
            }
            if let Some(told) = changes.told {
                transaction.open_table(ABOUT)?.insert(TOLD, encode(&told).as_slice())?;
            }
            transaction.commit()?;
            Ok(())
        })
    }

    /// What is remembered of a file on the disk, or on its way to it. Nobody waits for a database that is being opened again.
    fn load(&self, inode: u64) -> Result<Option<Remembered>, redb::Error> {
        if !self.database.is_kept() {
            return Ok(None);
        }
        {
            let unsaved = self.unsaved.lock();
            for changes in [&unsaved.changes, &*unsaved.being_saved] {
                if let Some(remembered) = changes.files.get(&inode) {
                    return Ok(*remembered);
                }
                if changes.files_were_lost {
                    return Ok(None);
                }
            }
        }
        self.database.with_now(|database| {
            let Some(files) = table_if_any(&database.begin_read()?, FILES)? else { return Ok(None) };
            Ok(files.get(inode)?.and_then(|bytes| decode(bytes.value())))
        })
    }

    fn note(&self, inode: u64, remembered: Option<Remembered>) {
        if self.database.is_kept() {
            let mut unsaved = self.unsaved.lock();
            unsaved.note(Record::File(inode, remembered));
            unsaved.changes.keep_files_within_bounds();
        }
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index").field("in_memory", &self.memory.len()).field("kept", &self.database.is_kept()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::model::content_hash::ContentHash;
    use crate::model::lock::{Lock, Pins, Reach, Scope};
    use crate::model::lock_token::LockToken;
    use crate::model::path::SharePath;
    use crate::model::principal::Principal;
    use crate::model::stamp::{FileId, Timestamp};
    use crate::store::catalog::remembered::ShownForm;

    fn opened(folder: &Path) -> Index {
        let share = ShareIdentity { path: folder.to_owned(), folder: [1; 16] };
        Index::open(&folder.join("index.redb"), &share).expect("an index")
    }

    /// Lets a save come as far as the database, does something there and beside it, and lets the save go on.
    fn during_a_save(
        index: &Index,
        in_the_database: impl FnOnce(&redb::WriteTransaction),
        beside: impl FnOnce(),
    ) -> Result<(), redb::Error> {
        thread::scope(|scope| {
            let held = index.database.with(|database| Ok(database.begin_write()?)).expect("a transaction");
            let save = scope.spawn(|| index.save());
            while !index.unsaved.lock().changes.is_empty() {
                thread::yield_now();
            }
            beside();
            in_the_database(&held);
            held.commit().expect("committed");
            save.join().expect("no panic")
        })
    }

    #[test]
    fn what_was_told_is_known_to_the_next_process() {
        let folder = tempfile::tempdir().expect("a folder");
        for (latest, twice) in [(1000, None), (1, Some((-400, 1000)))] {
            let index = opened(folder.path());
            index.note_told(ToldBefore { latest, twice });
            index.save().expect("saved");
            drop(index);
            assert_eq!(opened(folder.path()).told_before(), Some(ToldBefore { latest, twice }));
        }
    }

    /// A lock that is given back while it is being saved is not there after a restart.
    #[test]
    fn a_lock_given_back_during_a_save_does_not_return() {
        let folder = tempfile::tempdir().expect("a folder");
        let index = opened(folder.path());
        index.note_lock(token(1).as_str(), Some(&lock(1)));
        during_a_save(&index, |_| (), || index.note_lock(token(1).as_str(), None::<&Lock>)).expect("saved");
        assert!(index.load_locks::<Lock>().expect("read").is_empty());
        drop(index);
        assert!(opened(folder.path()).load_locks::<Lock>().expect("read").is_empty());
    }

    /// The same where the save fails, and the next one does not.
    #[test]
    fn a_lock_given_back_during_a_save_that_fails_does_not_return() {
        const OTHER: TableDefinition<'_, u64, u64> = TableDefinition::new("locks");
        let folder = tempfile::tempdir().expect("a folder");
        let index = opened(folder.path());
        index.note_lock(token(1).as_str(), Some(&lock(1)));
        let fails = |held: &redb::WriteTransaction| drop(held.open_table(OTHER).expect("a table"));
        during_a_save(&index, fails, || index.note_lock(token(1).as_str(), None::<&Lock>))
            .expect_err("another table is in its place");
        index.note_lock(token(2).as_str(), Some(&lock(2)));
        let mended = index.database.with(|database| {
            let writing = database.begin_write()?;
            writing.delete_table(OTHER)?;
            Ok(writing.commit()?)
        });
        mended.expect("mended");
        assert_eq!(tokens(&index), [token(2)]);
        drop(index);
        assert_eq!(tokens(&opened(folder.path())), [token(2)]);
    }

    /// A save that failed may have come to the disk all the same: a lock of it that is given back afterwards is forgotten there, too.
    #[test]
    fn a_lock_of_a_save_that_failed_is_forgotten_in_the_database() {
        let folder = tempfile::tempdir().expect("a folder");
        let index = opened(folder.path());
        index.note_lock(token(1).as_str(), Some(&lock(1)));
        let fails = |held: &redb::WriteTransaction| {
            drop(held.open_table(TableDefinition::<u64, u64>::new("locks")).expect("a table"));
        };
        during_a_save(&index, fails, || ()).expect_err("another table is in its place");
        index.note_lock(token(1).as_str(), None::<&Lock>);
        assert_eq!(index.unsaved.lock().changes.locks.get(token(1).as_str()), Some(&None));
    }

    fn known(hash: u8) -> Remembered {
        let stamp = Stamp {
            id: FileId { inode: 1, generation: 1 },
            size: 1,
            mtime: Timestamp::new(1, 0),
            ctime: Timestamp::new(1, 0),
        };
        let hash = Some(ContentHash::from_bytes([hash; 32]));
        Remembered { stamp, hash, shown: ShownForm::Content, date: DateKnown::Unknown, is_settled: true }
    }

    fn token(number: u8) -> LockToken {
        LockToken::from_random([number; 16])
    }

    fn tokens(index: &Index) -> Vec<LockToken> {
        index.load_locks().expect("read").into_iter().map(|lock: Lock| lock.token).collect()
    }

    fn lock(number: u8) -> Lock {
        Lock {
            token: token(number),
            root: SharePath::root(),
            scope: Scope::Exclusive,
            reach: Reach::Itself,
            owner: None,
            holder: Principal::Anonymous,
            taken_from: None,
            timeout: None,
            expires: Timestamp::new(1, 0),
            pin: None,
            pins_below: Pins::default(),
            made: None,
        }
    }

    /// What was loaded of a file does not take the place of what became known of it meanwhile.
    #[test]
    fn what_was_loaded_does_not_replace_what_became_known_meanwhile() {
        let folder = tempfile::tempdir().expect("a folder");
        let index = opened(folder.path());
        let inode = known(1).stamp.id.inode;
        index.remember(known(1));
        let load_while = |meanwhile: &dyn Fn()| {
            index.memory.clear();
            index.recall_or(inode, || {
                let loaded = index.load(inode).expect("loaded");
                meanwhile();
                loaded
            });
        };
        load_while(&|| index.remember(known(2)));
        assert_eq!(index.recall(&known(2).stamp), Some(known(2)));
        load_while(&|| index.forget(inode));
        assert_eq!(index.recall(&known(2).stamp), None);
    }

    /// While the database is closed or opened again nobody who only looks for a file waits for that, and what is to be forgotten is forgotten there
    /// later.
    #[test]
    fn a_database_that_is_not_open_is_a_miss() {
        let folder = tempfile::tempdir().expect("a folder");
        let index = opened(folder.path());
        index.remember(known(1));
        index.save().expect("saved");
        index.memory.clear();
        let held = index.database.hold();
        thread::scope(|scope| {
            let (looked, has_looked) = std::sync::mpsc::channel();
            let index = &index;
            scope.spawn(move || {
                let found = index.recall(&known(1).stamp);
                index.forget(known(1).stamp.id.inode);
                let _ = looked.send(found);
            });
            let looked = has_looked.recv_timeout(Duration::from_secs(10));
            drop(held);
            assert_eq!(looked, Ok(None));
        });
        assert_eq!(index.recall(&known(1).stamp), None);
        index.save().expect("saved");
        index.memory.clear();
        assert_eq!(index.recall(&known(1).stamp), None);
    }

    /// What is on its way to the database is as well known as what waits for that and what is there, and so is what is to be forgotten.
    #[test]
    fn what_is_being_saved_is_known() {
        let folder = tempfile::tempdir().expect("a folder");
        let index = opened(folder.path());
        let inode = known(1).stamp.id.inode;
        index.remember(known(1));
        let recall = || {
            index.memory.clear();
            index.recall(&known(1).stamp)
        };
        during_a_save(&index, |_| (), || assert_eq!(recall(), Some(known(1)))).expect("saved");
        index.forget(inode);
        during_a_save(&index, |_| (), || assert_eq!(recall(), None)).expect("saved");
        index.remember(known(2));
        let forget = || {
            index.memory.clear();
            index.forget(inode);
        };
        during_a_save(&index, |_| (), forget).expect("saved");
        assert_eq!(recall(), None);
        index.remember(known(3));
        index.save().expect("saved");
        index.unsaved.lock().changes.files_were_lost = true;
        during_a_save(&index, |_| (), || assert_eq!(recall(), None)).expect("saved");
    }
}
