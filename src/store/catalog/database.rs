//! The database of an index, in a file or in memory.
//!
//! After the disk has failed it once, redb refuses everything; so it is closed then, and opened again. That may take as long as a repair does,
//! so a thread of its own does it, and nobody waits for that longer than a moment. A disk that was full and has room again needs no restart.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, RwLock};
use redb::backends::{FileBackend, InMemoryBackend};
use redb::{Database, Error};

use crate::store::disk_error::{Cause, DiskError};

/// How long somebody waits for a database that is being opened again.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long to wait before it is opened again: as long as opening it took the last time, or twice as long as before where it could not be opened,
/// between these two.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A database, open unless the disk has just failed it. One in memory is made by whoever first writes to it.
pub(super) struct StateDatabase {
    file: Option<PathBuf>,
    shared: Arc<Shared>,
}

/// What is shared with the thread that opens the database again.
#[derive(Default)]
struct Shared {
    open: RwLock<Option<Database>>,
    opening: Mutex<Opening>,
    opened: Condvar,
}

/// How the database comes to be opened again.
#[derive(Debug, Default)]
struct Opening {
    /// Whether the disk has failed the database since it was opened.
    has_failed: bool,
    /// Whether there is a thread that opens it.
    is_under_way: bool,
    /// How long opening it took the last time.
    took: Duration,
}

impl StateDatabase {
    /// One that is gone with the process.
    pub(super) fn in_memory() -> Self {
        Self { file: None, shared: Arc::default() }
    }

    /// The one in this file, made if it is not there. Nobody but its owner may read it: there are lock tokens in it.
    pub(super) fn open(file: &Path) -> Result<Self, Error> {
        let began = Instant::now();
        let open = RwLock::new(Some(open(file)?));
        let opening = Opening { took: began.elapsed(), ..Opening::default() };
        let shared = Arc::new(Shared { open, opening: Mutex::new(opening), opened: Condvar::new() });
        Ok(Self { file: Some(file.to_owned()), shared })
    }

    /// Whether it is in a file.
    pub(super) fn is_kept(&self) -> bool {
        self.file.is_some()
    }

    /// As [`StateDatabase::with_now`], for what only reads: `None` if nothing can have been written yet.
    pub(super) fn with_what_there_is<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        let is_empty = !self.is_kept() && self.shared.open.read().is_none();
        if is_empty { Ok(None) } else { self.with_now(work).map(Some) }
    }

    /// Does something with the database, for whom it is worth waiting a moment until it is open. It must not hold up anybody else.
    pub(super) fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, Error>) -> Result<T, Error> {
        self.wait_until_open();
        self.with_now(work)
    }

    /// Does something with the database, if it is open. What fails for the disk's sake is told, and the database is opened again.
    pub(super) fn with_now<T>(&self, work: impl FnOnce(&Database) -> Result<T, Error>) -> Result<T, Error> {
        if !self.is_kept() {
            self.make_in_memory()?;
        }
        let Some(open) = self.shared.open.try_read() else { return Err(Error::DatabaseClosed) };
        let Some(database) = open.as_ref() else { return Err(Error::DatabaseClosed) };
        // It is closed only when nobody uses it any more: so what is told of it is told of this one, and not of the next.
        work(database).inspect_err(|error| {
            if is_of_the_disk(error) {
                self.have_opened_again();
            }
        })
    }

    /// Waits a moment for a database that is being opened again.
    pub(super) fn wait_until_open(&self) {
        let opening = self.shared.opening.lock();
        if !opening.has_failed {
            return;
        }
        drop(opening);
        self.have_opened_again();
        let waiting = |opening: &mut Opening| opening.has_failed;
        self.shared.opened.wait_while_for(&mut self.shared.opening.lock(), waiting, PATIENCE);
    }

    /// Holds it as whoever closes or opens it does.
    #[cfg(test)]
    pub(super) fn hold(&self) -> parking_lot::RwLockWriteGuard<'_, Option<Database>> {
        self.shared.open.write()
    }

    fn make_in_memory(&self) -> Result<(), Error> {
        if self.shared.open.read().is_some() {
            return Ok(());
        }
        let mut open = self.shared.open.write();
        if open.is_none() {
            *open = Some(Database::builder().create_with_backend(InMemoryBackend::new())?);
        }
        Ok(())
    }

    /// Has the database closed and opened again, by one thread however many ask for it.
    fn have_opened_again(&self) {
        let Some(file) = self.file.clone() else { return };
        let mut opening = self.shared.opening.lock();
        opening.has_failed = true;
        if !opening.is_under_way {
            let (shared, pause) = (Arc::downgrade(&self.shared), opening.took);
            let thread = thread::Builder::new().name("index".to_owned());
            // Whoever waits for it next tries again.
            opening.is_under_way = thread.spawn(move || open_again(&shared, &file, pause)).is_ok();
        }
    }
}

impl Shared {
    fn put(&self, database: Option<Database>) -> Option<Database> {
        std::mem::replace(&mut *self.open.write(), database)
    }
}

/// Closes the database and opens it again, as soon as it can be opened and for as long as anybody is there for it.
fn open_again(shared: &Weak<Shared>, file: &Path, pause: Duration) {
    if let Some(failed) = shared.upgrade().and_then(|shared| shared.put(None)) {
        // It has failed already; that it fails here too says nothing new.
        let _ = failed.close();
    }
    let mut pause = pause.clamp(PAUSE_MIN, PAUSE_MAX);
    loop {
        thread::sleep(pause);
        if shared.strong_count() == 0 {
            return;
        }
        let began = Instant::now();
        let opened = open(file);
        let Some(shared) = shared.upgrade() else { return };
        if let Ok(database) = opened {
            shared.put(Some(database));
            *shared.opening.lock() = Opening { took: began.elapsed(), ..Opening::default() };
            shared.opened.notify_all();
            return;
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}
fn open(file: &Path) -> Result<Database, Error> {
    let opened = open_private(OpenOptions::new().read(true).write(true), file)?;
    Ok(Database::builder().create_with_backend(FileBackend::new(opened)?)?)
}

/// Opens a file of the state, made if it is not there, never by a link. It is readable by its owner alone, also if it was not before.
pub(super) fn open_private(options: &mut OpenOptions, file: &Path) -> io::Result<File> {
    let opened = options.create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(file)?;
    if opened.metadata()?.permissions().mode() & 0o077 != 0 {
        opened.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(opened)
}

/// A table, if anything was ever written into it.
pub(super) fn table_if_any<K: redb::Key, V: redb::Value>(
    reading: &redb::ReadTransaction,
    table: redb::TableDefinition<'_, K, V>,
) -> Result<Option<redb::ReadOnlyTable<K, V>>, Error> {
    match reading.open_table(table) {
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        opened => Ok(Some(opened?)),
    }
}

fn is_of_the_disk(error: &Error) -> bool {
    matches!(error, Error::Io(_) | Error::PreviousIo | Error::DatabaseClosed)
}

/// What an error of the database is to whoever asked.
pub(super) fn failed(operation: &'static str, error: Error) -> DiskError {
    let is_full =
        matches!(&error, Error::Io(error) if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded));
    let cause = match &error {
        // It is being opened again.
        Error::DatabaseClosed => Cause::TooManyOpen,
        _ if is_full => Cause::NoSpace,
        _ => Cause::Failed,
    };
    DiskError { operation, name: String::new(), cause, message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[track_caller]
    fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < LIMIT, "{what}");
            thread::yield_now();
        }
    }

    /// After the disk has failed a database nobody but one thread opens it, again and again until it can be opened; everybody else is told at once
    /// that it is closed.
    #[test]
    fn a_database_that_failed_is_opened_again_by_one_thread() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, aside) = (folder.path().join("index.redb"), folder.path().join("aside"));
        let database = StateDatabase::open(&file).expect("a database");
        let is_closed = || matches!(database.with_now(|_| Ok(())), Err(Error::DatabaseClosed));
        assert!(!is_closed());
        fs::rename(&file, &aside).expect("moved");
        fs::create_dir(&file).expect("made");
        for _ in 0..3 {
            let _ = database.with_now(|_| Err::<(), _>(Error::PreviousIo));
        }
        eventually("it is closed", is_closed);
        assert!(database.shared.opening.lock().is_under_way);
        assert!(matches!(database.with(|_| Ok(())), Err(Error::DatabaseClosed)), "nobody waits for ever");
        fs::remove_dir(&file).expect("removed");
        fs::rename(&aside, &file).expect("moved");
        eventually("it is open again", || database.with(|_| Ok(())).is_ok());
        assert!(!database.shared.opening.lock().is_under_way && !database.shared.opening.lock().has_failed);
    }

    /// What fails for another reason than the disk closes nothing.
    #[test]
    fn a_database_that_did_not_fail_stays_open() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = StateDatabase::open(&folder.path().join("index.redb")).expect("a database");
        let _ = database.with_now(|_| Err::<(), _>(Error::TableDoesNotExist("a".to_owned())));
        assert!(!database.shared.opening.lock().has_failed);
        database.with_now(|_| Ok(())).expect("it is open");
    }

    /// One in memory is there for whoever writes first, and for whoever reads before that there is nothing.
    #[test]
    fn a_database_in_memory_is_made_when_it_is_needed() {
        let database = StateDatabase::in_memory();
        assert!(matches!(database.with_what_there_is(|_| Ok(())), Ok(None)));
        database.with_now(|_| Ok(())).expect("made");
        assert!(matches!(database.with_what_there_is(|_| Ok(())), Ok(Some(()))));
    }
}
