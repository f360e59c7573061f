//! Why there is no database behind an index.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Why there is no database behind an index.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Another process has it open.
    #[error("the index {file} is in use by another noclobber; give each share a --state of its own", file = .0.display())]
    InUse(PathBuf),
    /// It is another share's.
    #[error("the index {file} belongs to another share, {of}; give each share a --state of its own", file = .file.display(), of = .of.display())]
    Foreign {
        /// The file.
        file: PathBuf,
        /// The folder of that share.
        of: PathBuf,
    },
    /// What is in the file is no index.
    #[error("the index {file} is broken: {1}", file = .0.display())]
    Broken(PathBuf, redb::Error),
    /// The disk does not give it out now.
    #[error("the index {file} cannot be opened: {1}", file = .0.display())]
    Unavailable(PathBuf, redb::Error),
}

impl IndexError {
    /// Only what is no index at all is broken: another process, a full disk or a missing permission say nothing of what is in the file.
    pub(super) fn of(file: &Path, error: redb::Error) -> Self {
        let is_no_index = match &error {
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => {
                return Self::InUse(file.to_owned());
            }
            redb::Error::Corrupted(_) | redb::Error::UpgradeRequired(_) | redb::Error::TableTypeMismatch { .. } => true,
            redb::Error::Io(error) => {
                let is_link = error.raw_os_error() == Some(libc::ELOOP);
                is_link
                    || matches!(
                        error.kind(),
                        ErrorKind::InvalidData | ErrorKind::UnexpectedEof | ErrorKind::IsADirectory
                    )
            }
            _ => false,
        };
        if is_no_index { Self::Broken(file.to_owned(), error) } else { Self::Unavailable(file.to_owned(), error) }
    }
}
