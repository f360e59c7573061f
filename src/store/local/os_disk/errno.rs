//! What the errors of the system mean: one table, of what was being done and the error, to the cause that the share decides on.
//!
//! The same error says different things of different calls: `EINVAL` of a new name says that the file system cannot hold it, of a rename of a
//! folder that it would come into itself, and of a descriptor that something is wrong. `errno(3)`, and the pages of the calls.

use rustix::io::Errno;

use crate::model::path::PathError;
use crate::store::disk_error::{Cause, DiskError, Result};

/// What was being done, as far as it matters to what an error means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// Looking, listing, opening for reading: openat2(2), statx(2), getdents(2), read(2).
    Reading,
    /// Giving something a name: open(2) with `O_CREAT`, mkdir(2), link(2).
    Naming,
    /// Changing a name that is there: rename(2), unlink(2), rmdir(2).
    Renaming,
    /// Changing what an open file holds: write(2), fallocate(2), fsync(2), fsetxattr(2), futimens(2), fchmod(2), flock(2).
    Writing,
}

impl Doing {
    /// What a primitive does, by the word for it in errors.
    fn of(operation: &str) -> Self {
        match operation {
            "create" | "create a nameless file in" | "make the folder" | "link" => Self::Naming,
            "rename" | "exchange" | "remove" | "remove the folder" => Self::Renaming,
            "write"
            | "reserve room for"
            | "share the blocks of"
            | "copy the attributes of"
            | "set the time of"
            | "set the permissions of"
            | "sync"
            | "sync a folder"
            | "lock" => Self::Writing,
            _ => Self::Reading,
        }
    }
}

/// What an error means.
fn cause_of(doing: Doing, errno: Errno) -> Cause {
    use Doing::{Naming, Reading, Renaming, Writing};
    match (errno, doing) {
        (Errno::NOENT | Errno::STALE, _) => Cause::NotFound,
        (Errno::EXIST, _) => Cause::Exists,
        (Errno::NOTDIR, _) => Cause::NotADirectory,
        (Errno::ISDIR, _) => Cause::IsADirectory,
        (Errno::NOTEMPTY, _) => Cause::NotEmpty,
        (Errno::LOOP, _) => Cause::Escapes,
        (Errno::XDEV, _) => Cause::OtherMount,
        (Errno::NOSPC, _) => Cause::NoSpace,
        (Errno::DQUOT, _) => Cause::OverQuota,
        // A folder has as many subfolders, or a file as many names, as there may be.
        (Errno::MLINK, _) => Cause::TooManyLinks,
        (Errno::FBIG | Errno::OVERFLOW, _) => Cause::TooLarge,
        (Errno::ROFS, _) => Cause::ReadOnly,
        (Errno::ACCESS | Errno::PERM, Reading) => Cause::NotReadable,
        (Errno::ACCESS | Errno::PERM, Naming | Renaming | Writing) => Cause::NotPermitted,
        (Errno::NAMETOOLONG, _) => Cause::LongName,
        // NTFS and exFAT say so of a colon, CIFS and strictly folding ext4 of what is no text to them.
        (Errno::INVAL, Naming | Renaming) | (Errno::ILSEQ, _) => Cause::BadName,
        (Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS | Errno::INTR, _) => Cause::TooManyOpen,
        (Errno::BUSY | Errno::TXTBSY | Errno::AGAIN, _) => Cause::InUse,
        (Errno::OPNOTSUPP | Errno::NOSYS | Errno::NOTTY, _) => Cause::Unsupported,
        _ => Cause::Failed,
    }
}

pub(super) fn no_name(path: &[u8], error: PathError) -> DiskError {
    refused("look at", path, Cause::LongName, error)
}

/// What the system refused, in its words.
pub(super) fn failed(operation: &'static str, name: &[u8], errno: Errno) -> DiskError {
    refused(operation, name, cause_of(Doing::of(operation), errno), explain(errno))
}

/// As [`failed`], for what went wrong on the way along a path.
pub(super) fn failed_to_resolve(operation: &'static str, path: &[u8], errno: Errno) -> DiskError {
    let error = failed(operation, path, errno);
    if errno == Errno::XDEV { DiskError { cause: Cause::Escapes, ..error } } else { error }
}

/// Nothing lies at the end of a path whose beginning is not there.
pub(super) fn reached<T>(within_reach: Result<T>) -> Result<Option<T>> {
    match within_reach {
        Ok(reached) => Ok(Some(reached)),
        Err(DiskError { cause: Cause::NotFound | Cause::NotADirectory, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// As [`failed`], for the share's own folder: a path to it that has broken off anywhere means that it is not there.
pub(super) fn of_root(operation: &'static str, path: &[u8], errno: Errno) -> DiskError {
    let error = failed(operation, path, errno);
    let gone = matches!(errno, Errno::NOTDIR | Errno::NODEV | Errno::NOTCONN);
    if gone { DiskError { cause: Cause::NotFound, ..error } } else { error }
}

pub(super) fn refused(operation: &'static str, name: &[u8], cause: Cause, message: impl ToString) -> DiskError {
    let name = String::from_utf8_lossy(name).into_owned();
    DiskError { operation, name, cause, message: message.to_string() }
}

/// The system's words for an error, without its number.
fn explain(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Doing::{Naming, Reading, Renaming, Writing};

    #[test]
    fn every_error_has_its_meaning() {
        let everywhere = [Reading, Naming, Renaming, Writing];
        let names = [Naming, Renaming];
        let others = [Reading, Writing];
        let changes = [Naming, Renaming, Writing];
        let rows: &[(&[Errno], &[Doing], Cause)] = &[
            (&[Errno::NOENT, Errno::STALE], &everywhere, Cause::NotFound),
            (&[Errno::EXIST], &everywhere, Cause::Exists),
            (&[Errno::NOTDIR], &everywhere, Cause::NotADirectory),
            (&[Errno::ISDIR], &everywhere, Cause::IsADirectory),
            (&[Errno::NOTEMPTY], &everywhere, Cause::NotEmpty),
            (&[Errno::LOOP], &everywhere, Cause::Escapes),
            (&[Errno::XDEV], &everywhere, Cause::OtherMount),
            (&[Errno::NOSPC], &everywhere, Cause::NoSpace),
            (&[Errno::DQUOT], &everywhere, Cause::OverQuota),
            (&[Errno::MLINK], &everywhere, Cause::TooManyLinks),
            (&[Errno::FBIG, Errno::OVERFLOW], &everywhere, Cause::TooLarge),
            (&[Errno::ROFS], &everywhere, Cause::ReadOnly),
            (&[Errno::ACCESS, Errno::PERM], &[Reading], Cause::NotReadable),
            (&[Errno::ACCESS, Errno::PERM], &changes, Cause::NotPermitted),
            (&[Errno::NAMETOOLONG], &everywhere, Cause::LongName),
            (&[Errno::INVAL], &names, Cause::BadName),
            (&[Errno::INVAL], &others, Cause::Failed),
            (&[Errno::ILSEQ], &everywhere, Cause::BadName),
            (&[Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS, Errno::INTR], &everywhere, Cause::TooManyOpen),
            (&[Errno::BUSY, Errno::TXTBSY, Errno::AGAIN], &everywhere, Cause::InUse),
            (&[Errno::OPNOTSUPP, Errno::NOSYS, Errno::NOTTY], &everywhere, Cause::Unsupported),
            (
                &[Errno::IO, Errno::NODEV, Errno::NXIO, Errno::NOTCONN, Errno::BADF, Errno::FAULT],
                &everywhere,
                Cause::Failed,
            ),
        ];
        for (errnos, doings, cause) in rows {
            for errno in *errnos {
                for doing in *doings {
                    assert_eq!(cause_of(*doing, *errno), *cause, "{doing:?} {errno:?}");
                }
            }
        }
    }
}
