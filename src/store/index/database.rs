//! The database of an index, in a file or in memory.
//!
//! After the disk has failed it once, redb refuses everything; so it is closed then, and opened again by whoever asks next. A disk that was
//! full and has room again needs no restart.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use redb::backends::{FileBackend, InMemoryBackend};
use redb::{Database, Error};

/// A database, open unless the disk has just failed it. One in memory is made by whoever first writes to it.
pub(in crate::store) struct StateDatabase {
    file: Option<PathBuf>,
    open: RwLock<Option<Database>>,
}

impl StateDatabase {
    /// One that is gone with the process.
    pub(super) fn in_memory() -> Self {
        Self { file: None, open: RwLock::new(None) }
    }

    /// The one in this file, made if it is not there. Nobody but its owner may read it: there are lock tokens in it.
    pub(super) fn open(file: &Path) -> Result<Self, Error> {
        Ok(Self { open: RwLock::new(Some(open(file)?)), file: Some(file.to_owned()) })
    }

    /// Whether it is in a file.
    pub(super) fn is_kept(&self) -> bool {
        self.file.is_some()
    }

    /// As [`StateDatabase::with`], for what only reads: `None` if nothing can have been written yet.
    pub(in crate::store) fn with_what_there_is<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        let is_empty = !self.is_kept() && self.open.read().unwrap_or_else(PoisonError::into_inner).is_none();
        if is_empty { Ok(None) } else { self.with(work).map(Some) }
    }

    /// Does something with the database. What fails for the disk's sake is told, and the next one finds the database opened again.
    pub(in crate::store) fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, Error>) -> Result<T, Error> {
        let mut work = Some(work);
        let mut attempt = || -> Option<Result<T, Error>> {
            let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
            let database = open.as_ref()?;
            Some((work.take()?)(database))
        };
        let done = match attempt() {
            Some(done) => done,
            None => {
                self.open_again()?;
                attempt().unwrap_or(Err(Error::DatabaseClosed))
            }
        };
        if done.as_ref().is_err_and(is_of_the_disk) {
            self.close();
        }
        done
    }

    fn open_again(&self) -> Result<(), Error> {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if open.is_none() {
            *open = Some(match &self.file {
                Some(file) => self::open(file)?,
                None => Database::builder().create_with_backend(InMemoryBackend::new())?,
            });
        }
        Ok(())
    }

    fn close(&self) {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if self.is_kept()
            && let Some(database) = open.take()
        {
            // It has failed already; that it fails here too says nothing new.
            let _ = database.close();
        }
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

fn is_of_the_disk(error: &Error) -> bool {
    matches!(error, Error::Io(_) | Error::PreviousIo | Error::DatabaseClosed)
}
