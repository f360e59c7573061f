//! Files that nobody but their owner may read.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// The largest file that is read whole, in bytes.
const BYTES_MAX: u64 = 1024 * 1024;

/// What others may do with a file.
pub(super) const OF_OTHERS: u32 = 0o077;

/// A file as it was read.
#[derive(Debug)]
pub struct ReadFile {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Whether somebody besides its owner may read or write it.
    pub is_open_to_others: bool,
}

/// Reads a small file whole.
///
/// # Errors
/// What the disk says, and where it is too large.
pub fn read(path: &Path) -> io::Result<ReadFile> {
    read_at_most(path, BYTES_MAX)
}

/// As [`read`], where it may have so many bytes.
///
/// # Errors
/// What the disk says, and where it is larger.
pub fn read_at_most(path: &Path, bytes_max: u64) -> io::Result<ReadFile> {
    let file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode();
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(ReadFile { bytes, is_open_to_others: mode & OF_OTHERS != 0 })
}

/// Makes a folder, and those above it, that nobody but its owner may enter.
///
/// # Errors
/// What the disk says.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(0o700))
}

/// Writes a file anew that nobody but its owner may read: it is there whole, or as it was.
///
/// # Errors
/// What the disk says.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_its_owners() {
        let made = tempfile::tempdir().expect("a folder");
        let folder = made.path().join("a/b");
        make_folder(&folder).expect("made");
        assert_eq!(fs::metadata(&folder).expect("there").permissions().mode() & 0o777, 0o700);
        let path = folder.join("key.pem");
        fs::write(&path, "open").expect("written");
        fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("opened");
        assert!(read(&path).expect("read").is_open_to_others);
        for text in ["one", "two"] {
            write(&path, text.as_bytes()).expect("written");
            let found = read(&path).expect("read");
            assert_eq!((found.bytes, found.is_open_to_others), (text.into(), false));
        }
        assert_eq!(fs::read_dir(&folder).expect("listed").count(), 1);
    }
}
