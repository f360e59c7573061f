//! A file of the user's that is read again when it has changed, and changed under a lock: whole, or not at all.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::private_file::OF_OTHERS;
use super::random;

/// In which state a file was found: what changes when it is written or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileState {
    identity: (u64, u64),
    size: u64,
    times: [(i64, i64); 2],
    mode: u32,
}

/// A file that nobody else changes who locks it first.
#[derive(Debug)]
pub struct LockedFile {
    path: PathBuf,
    file: File,
}

impl FileState {
    /// The state of the file at a path now.
    ///
    /// # Errors
    /// What stat(2) says.
    pub fn of(path: &Path) -> io::Result<Self> {
        let found = fs::metadata(path)?;
        Ok(Self {
            identity: (found.dev(), found.ino()),
            size: found.size(),
            times: [(found.mtime(), found.mtime_nsec()), (found.ctime(), found.ctime_nsec())],
            mode: found.mode(),
        })
    }
}

impl LockedFile {
    /// Opens a file and locks it, waiting for others who have it locked; makes it, its owner's alone, if it is missing.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        // A link is followed to the file that it leads to, which is the one that is replaced.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        loop {
            let file =
                OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
            flock(&file, FlockOperation::LockExclusive)?;
            // Whoever had the lock before may have put another file in its place.
            let held = file.metadata()?;
            let is_there =
                fs::metadata(&path).is_ok_and(|there| (there.dev(), there.ino()) == (held.dev(), held.ino()));
            if is_there {
                return Ok(Self { path, file });
            }
        }
    }

    /// Whether somebody besides its owner may read or write it.
    ///
    /// # Errors
    /// What the file system says.
    pub fn is_open_to_others(&self) -> io::Result<bool> {
        Ok(self.file.metadata()?.mode() & OF_OTHERS != 0)
    }

    /// What is in it.
    ///
    /// # Errors
    /// What the file system says.
    pub fn text(&mut self) -> io::Result<String> {
        let mut text = String::new();
        self.file.read_to_string(&mut text)?;
        Ok(text)
    }

    /// Puts a file with this text in its place, of the same owner and for nobody else to read, if `check` finds nothing wrong with it.
    ///
    /// # Errors
    /// What the file system or `check` says; nothing has changed then.
    pub fn replace<E: From<io::Error>>(self, text: &str, check: impl FnOnce(&Path) -> Result<(), E>) -> Result<(), E> {
        let folder = folder_of(&self.path);
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let beside = folder.join(format!(".{name}.{}", data_encoding::HEXLOWER.encode(&random::bytes())));
        let replaced = self.write(&beside, text).map_err(E::from).and_then(|()| {
            check(&beside)?;
            fs::rename(&beside, &self.path)?;
            Ok(File::open(folder)?.sync_all()?)
        });
        if replaced.is_err() {
            let _ = fs::remove_file(&beside);
        }
        replaced
    }

    fn write(&self, beside: &Path, text: &str) -> io::Result<()> {
        let there = self.file.metadata()?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside)?;
        let own = file.metadata()?;
        if (own.uid(), own.gid()) != (there.uid(), there.gid()) {
            fchown(&file, Some(there.uid()), Some(there.gid()))?;
        }
        file.set_permissions(Permissions::from_mode(there.mode() & 0o700))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    }
}

/// The folder that a path names before its last component.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
