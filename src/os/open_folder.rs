//! An open folder, for who watches what happens beneath it. It stays the same folder whatever its path leads to meanwhile.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};

/// An open folder of the operating system.
#[derive(Debug)]
pub struct OpenFolder {
    folder: OwnedFd,
    identity: FolderIdentity,
}

/// Which folder it is: device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FolderIdentity(u64, u64);

impl FolderIdentity {
    /// That of the folder of this descriptor (fstat(2)).
    ///
    /// # Errors
    /// What the system says.
    pub fn of(folder: BorrowedFd<'_>) -> io::Result<Self> {
        let found = rustix::fs::fstat(folder)?;
        Ok(Self(found.st_dev, found.st_ino))
    }
}

impl OpenFolder {
    /// The folder of this descriptor, opened once more.
    ///
    /// # Errors
    /// What the system says: the process may have no more descriptors.
    pub fn of(folder: BorrowedFd<'_>) -> io::Result<Self> {
        let identity = FolderIdentity::of(folder)?;
        Ok(Self { folder: folder.try_clone_to_owned()?, identity })
    }

    /// Which folder it is.
    pub fn identity(&self) -> FolderIdentity {
        self.identity
    }

    /// A path that leads to this very folder for as long as it is open (proc(5), `/proc/self/fd`).
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.folder.as_raw_fd()))
    }

    /// Whether there is a folder at this path beneath it. No link is followed, and no path leads out of the folder.
    pub fn has_folder(&self, inside: &Path) -> bool {
        self.open(inside).is_ok()
    }

    /// The names of the folders in the folder at this path beneath it. No link is followed, and no path leads out of the folder.
    ///
    /// # Errors
    /// What the system says: there is no such folder, or it may not be read.
    pub fn folders_in(&self, inside: &Path) -> io::Result<Vec<OsString>> {
        let opened = self.open(inside)?;
        let mut names = Vec::new();
        for entry in Dir::read_from(&opened)?.flatten() {
            let is_folder = match entry.file_type() {
                FileType::Unknown => rustix::fs::statat(&opened, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)
                    .is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Directory),
                known => known == FileType::Directory,
            };
            let name = entry.file_name().to_bytes();
            if is_folder && name != b"." && name != b".." {
                names.push(OsString::from_vec(name.to_vec()));
            }
        }
        Ok(names)
    }

    fn open(&self, inside: &Path) -> rustix::io::Result<OwnedFd> {
        let path = if inside.as_os_str().is_empty() { Path::new(".") } else { inside };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        rustix::io::retry_on_intr(|| rustix::fs::openat2(&self.folder, path, flags, Mode::empty(), resolve))
    }
}

/// A path of these bytes.
pub fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}
