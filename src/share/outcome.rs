//! How a request to the share ends when it does not end well: a refusal, or a fault.
//!
//! A refusal says what the state forbids and changes nothing; a fault says that the disk failed us. Neither knows a status code.

use std::sync::Arc;

use crate::model::author::Author;
use crate::model::path::SharePath;
use crate::model::precondition::Header;
use crate::model::rights::Rights;
use crate::model::stamp::Timestamp;
use crate::model::tag::EntityTag;
use crate::model::validators::Target;
use crate::store::disk_error::{Cause, DiskError, Full};

/// What a request to the share comes to.
pub type Outcome<T> = Result<T, Stop>;

/// Why a request did not do what it asked for.
#[derive(Clone, Debug)]
pub enum Stop {
    /// The state forbids it.
    Refusal(Refusal),
    /// The disk failed.
    Fault(DiskError),
}

/// What the state forbids. The words are for the command line; a client gets them from the reply.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    /// Nothing is there, or nothing that may be shown.
    #[error("nothing is there")]
    NotFound,
    /// There is no half-done upload of that name, or none of whoever asks.
    #[error("there is no such upload")]
    NoUpload,
    /// The half-done upload is no more: its time is over, or it was cancelled.
    #[error("the upload is over")]
    UploadOver,
    /// The upload has become a file, and takes no more.
    #[error("the upload is complete")]
    UploadComplete,
    /// An upload is to have another length than was said before.
    #[error("the upload was to have another length")]
    InconsistentLength,
    /// An upload of that name is half done.
    #[error("an upload of that name is half done")]
    UploadExists,
    /// The file is being made of the chunks of the upload.
    #[error("the file is being made of its chunks")]
    UploadIsEnding,
    /// Chunks of an upload are missing: these, as far as it is known which.
    #[error("chunks are missing")]
    MissingChunks(Box<[Box<str>]>),
    /// A chunk is called so that it cannot be one of this upload, or is not as long as its name says.
    #[error("this is no chunk of the upload")]
    NoChunk,
    /// An upload has as many chunks as one may have.
    #[error("the upload has as many chunks as one may have")]
    TooManyChunks,
    /// There are as many half-done uploads as may be.
    #[error("there are too many half-done uploads")]
    TooManyUploads,
    /// Whoever asks may not know what is there.
    #[error("nothing is there for whoever asks")]
    NotSeen,
    /// The folder it would lie in is not there, or is no folder.
    #[error("the folder it would lie in is not there")]
    NoParent,
    /// A folder is there, and the request is for files.
    #[error("a folder is there")]
    IsCollection,
    /// A file is there, and the request is for folders.
    #[error("a file is there")]
    NotACollection,
    /// Something is there, and the request makes something new.
    #[error("something is there already")]
    Exists {
        /// Whether it is a folder.
        is_collection: bool,
    },
    /// What is there is nothing that a version can take the place of.
    #[error("a folder comes back only where nothing is, and a file only over a file")]
    NotFree,
    /// A conditional header does not hold.
    #[error("{header} does not hold")]
    PreconditionFailed {
        /// The header.
        header: Header,
        /// What it was judged by.
        of: Subject,
        /// What is there now.
        current: Option<Current>,
    },
    /// A client would remove what stands where it could not store something a moment ago, and does not name it.
    #[error("something was refused here lately")]
    RefusedLately {
        /// What would be removed.
        of: Subject,
        /// What is there now.
        current: Option<Current>,
    },
    /// Locks are in the way whose tokens did not come along.
    #[error("it is locked")]
    Locked {
        /// What was locked.
        by: Vec<LockRoot>,
    },
    /// Another lock is in the way of a new one.
    #[error("another lock is in the way")]
    LockConflict {
        /// What was locked.
        with: LockRoot,
        /// Whether that lies below what was to be locked.
        inside: bool,
    },
    /// No lock that covers this is refreshed by the tokens that came along.
    #[error("there is no such lock here")]
    UnknownToken,
    /// The lock that is given back does not cover this.
    #[error("that lock is not one of this")]
    ForeignToken,
    /// The lock is somebody else's.
    #[error("the lock is somebody else's")]
    NotYours,
    /// There are as many locks as may be.
    #[error("there are too many locks")]
    TooManyLocks,
    /// A lock says more of its owner than is kept.
    #[error("the lock says too much of its owner")]
    LongOwner,
    /// The two ends lie on different file systems.
    #[error("it would come to another file system")]
    OtherMount,
    /// What is to be moved or copied would lie within itself, or is what it would replace.
    #[error("it would lie within itself")]
    WithinItself,
    /// The request names no version, and the share demands that.
    #[error("the request names no version")]
    PreconditionRequired {
        /// What the request would replace.
        of: Subject,
        /// Which end of the request that is.
        end: End,
        /// What is there now.
        current: Option<Current>,
    },
    /// A program on the server has the file open for writing.
    #[error("a program has the file open for writing")]
    OpenForWriting,
    /// The name kept changing while the request was tried.
    #[error("it kept changing meanwhile")]
    ChangedMeanwhile,
    /// The folder was moved or replaced while the upload was on its way.
    #[error("the folder was moved meanwhile")]
    FolderChanged,
    /// Whoever asks may not do that here.
    #[error("this is not permitted")]
    NotPermitted,
    /// Noclobber does not do that to this.
    #[error("it is not allowed here ({0:?})")]
    NotAllowed(Forbidden),
    /// It takes a long copy, which has to be made in turn.
    #[error("it takes a long copy")]
    CopyOutOfTurn,
    /// A file of this name may not be made.
    #[error("a file of this name may not be made")]
    BadName,
    /// The file system cannot hold this name.
    #[error("the file system cannot hold this name")]
    NameNotHeld,
    /// The name, or the whole path, is too long for the file system.
    #[error("the name is too long for the file system")]
    LongName,
    /// The server may not read what it would have to read.
    #[error("the server may not read {name:?}")]
    NotReadable {
        /// What it is called; empty for what the request is about.
        name: String,
    },
    /// The folder holds as many folders as it can, or the file has as many names.
    #[error("the folder can hold no more")]
    FolderFull,
    /// No room is left there.
    #[error("the disk is full, or the quota")]
    NoSpace(Full),
    /// There is no room for what a client notes on a file.
    #[error("there is no room for these properties")]
    NoRoomForNotes(NotesBound),
    /// The file would be larger than the file system allows.
    #[error("the file would be too large")]
    TooLarge,
    /// The file has no byte so far before its end.
    #[error("the file has no such bytes")]
    NoSuchRange {
        /// How long it is, in bytes.
        size: u64,
    },
    /// The shared folder itself is not there at the moment.
    #[error("the shared folder is not there")]
    ShareGone,
    /// Too many files are open at the moment.
    #[error("too many files are open")]
    Overloaded,
}

/// What a condition was judged by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Where it is, or would be.
    pub path: SharePath,
    /// Whether a folder is there.
    pub is_collection: bool,
    /// Who stored what is there, as far as that is known; nobody where nothing is.
    pub stored_by: Option<StoredBy>,
}

/// Who stored a version, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBy {
    /// Who.
    pub by: Arc<Author>,
    /// When; of another program that is not known.
    pub at: Option<Timestamp>,
}

/// An end of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// What the request is for.
    Target,
    /// Where a COPY or MOVE leads.
    Destination,
}

/// What stands in the way of noting more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotesBound {
    /// What may be noted on one file or folder.
    OnOne,
    /// What may be noted on all together.
    OnAll,
    /// The disk that the state lies on is full.
    Disk,
}

/// What was locked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockRoot {
    /// Where it is.
    pub path: SharePath,
    /// Whether it is a folder.
    pub is_collection: bool,
}

/// Why something is not allowed whatever the headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forbidden {
    /// It is the share itself.
    Root,
    /// It would lock the share itself, and everybody else out of it.
    RootLock,
    /// It is a pipe, a socket or a device.
    Special,
    /// It is a symbolic link.
    Link,
    /// The file system is read-only.
    ReadOnly,
    /// This user may not change that, or the folder that it lies in.
    NotWritable,
    /// Something is mounted right there.
    MountPoint,
    /// Something is mounted in the folder.
    HoldsMounts,
}

/// What is there now, for a client that was refused.
#[derive(Clone, Debug)]
pub struct Current {
    /// Its tag.
    pub tag: EntityTag,
    /// When it was last changed.
    pub modified: Timestamp,
    /// Its size in bytes.
    pub size: u64,
}

impl Stop {
    /// The same to a request for `asked`, without what the client may not hear of, by its rights at each path.
    pub fn as_far_as(mut self, asked: &SharePath, rights: impl Fn(&SharePath) -> Rights) -> Self {
        // Whoever may only add to what is there is not told what that is.
        if self.tells_what_is_there() && !rights(asked).intersects(Rights::all() - Rights::CREATE - Rights::HISTORY) {
            return Refusal::NotPermitted.into();
        }
        let hide = |root: &mut LockRoot| {
            if !rights(&root.path).see() {
                *root = LockRoot { path: asked.clone(), is_collection: false };
            }
        };
        match &mut self {
            Self::Refusal(Refusal::Locked { by }) => by.iter_mut().for_each(hide),
            Self::Refusal(Refusal::LockConflict { with, .. }) => hide(with),
            Self::Refusal(
                Refusal::PreconditionFailed { of, current, .. }
                | Refusal::PreconditionRequired { of, current, .. }
                | Refusal::RefusedLately { of, current },
            ) => {
                let rights = rights(&of.path);
                if !rights.contains(Rights::READ) {
                    *current = None;
                }
                // By the history, too, only these may know who it was.
                if !(rights.see() && rights.contains(Rights::HISTORY)) {
                    of.stored_by = None;
                }
            }
            _ => {}
        }
        self
    }

    /// Whether it goes by what is at the target: whether something is, and which kind and state of it.
    fn tells_what_is_there(&self) -> bool {
        matches!(
            self,
            Self::Refusal(
                Refusal::IsCollection
                    | Refusal::NotACollection
                    | Refusal::NotFree
                    | Refusal::Exists { .. }
                    | Refusal::PreconditionFailed { .. }
                    | Refusal::PreconditionRequired { .. }
                    | Refusal::RefusedLately { .. }
                    | Refusal::Locked { .. }
                    | Refusal::LockConflict { .. }
                    | Refusal::OpenForWriting
                    | Refusal::NoSuchRange { .. }
            )
        )
    }
}

impl Subject {
    /// A file, or nothing, at this path.
    pub fn file(path: &SharePath) -> Self {
        Self { path: path.clone(), is_collection: false, stored_by: None }
    }

    /// What a condition was judged by, at this path.
    pub fn judged(path: &SharePath, target: &Target<'_>) -> Self {
        Self { path: path.clone(), is_collection: matches!(target, Target::Collection), stored_by: None }
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

/// Errors that a client can do something about are refusals; the rest are faults.
impl From<DiskError> for Stop {
    fn from(error: DiskError) -> Self {
        Self::Refusal(match error.cause {
            Cause::NotFound | Cause::Escapes | Cause::Reserved | Cause::NotADirectory => Refusal::NotFound,
            Cause::NoSpace => Refusal::NoSpace(Full::Disk),
            Cause::OverQuota => Refusal::NoSpace(Full::Quota),
            Cause::TooManyLinks => Refusal::FolderFull,
            Cause::TooLarge => Refusal::TooLarge,
            Cause::ReadOnly => Refusal::NotAllowed(Forbidden::ReadOnly),
            Cause::NotPermitted => Refusal::NotAllowed(Forbidden::NotWritable),
            Cause::NotReadable => Refusal::NotReadable { name: error.name },
            Cause::MountPoint => Refusal::NotAllowed(Forbidden::MountPoint),
            Cause::OtherMount => Refusal::OtherMount,
            Cause::WithinItself => Refusal::WithinItself,
            Cause::TooManyOpen | Cause::Unwanted => Refusal::Overloaded,
            Cause::LongName => Refusal::LongName,
            Cause::BadName => Refusal::NameNotHeld,
            Cause::InUse => Refusal::OpenForWriting,
            Cause::Exists
            | Cause::IsADirectory
            | Cause::NotEmpty
            | Cause::Unsupported
            | Cause::Unsure
            | Cause::Failed => return Self::Fault(error),
        })
    }
}

impl Stop {
    /// Whether a condition did not hold.
    pub(super) fn is_failed_precondition(&self) -> bool {
        matches!(self, Self::Refusal(Refusal::PreconditionFailed { .. }))
    }

    /// For what was to come into a folder: that something is not there means that the folder has gone meanwhile.
    pub(super) fn of_an_arrival(self) -> Self {
        match self {
            Self::Refusal(Refusal::NotFound) => Refusal::FolderChanged.into(),
            stop => stop,
        }
    }

    /// What has no room left, if that is why.
    pub(super) fn full(&self) -> Option<Full> {
        match self {
            Self::Refusal(Refusal::NoSpace(full)) => Some(*full),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_not_be_read_is_not_described() {
        let path = SharePath::parse_url("/f").expect("a path");
        let current =
            || Some(Current { tag: EntityTag::received(false, b"a"), modified: Timestamp::new(0, 0), size: 1 });
        let of = || Subject::file(&path);
        for refusal in [
            Refusal::PreconditionFailed { header: Header::IfMatch, of: of(), current: current() },
            Refusal::PreconditionRequired { of: of(), end: End::Target, current: current() },
            Refusal::RefusedLately { of: of(), current: current() },
        ] {
            for may_read in [true, false] {
                let told = Stop::from(refusal.clone()).as_far_as(&path, |of| {
                    assert_eq!(*of, path);
                    if may_read { Rights::READ } else { Rights::LIST }
                });
                let Stop::Refusal(
                    Refusal::PreconditionFailed { current, .. }
                    | Refusal::PreconditionRequired { current, .. }
                    | Refusal::RefusedLately { current, .. },
                ) = told
                else {
                    panic!("{told:?}")
                };
                assert_eq!(current.is_some(), may_read);
            }
        }
    }

    #[test]
    fn every_cause_has_its_outcome() {
        let refusal = |cause| {
            let error = DiskError { operation: "open", name: "a".to_owned(), cause, message: String::new() };
            match Stop::from(error) {
                Stop::Refusal(refusal) => Some(refusal),
                Stop::Fault(fault) => {
                    assert_eq!(fault.cause, cause);
                    None
                }
            }
        };
        for (cause, expected) in [
            (Cause::NotFound, Some(Refusal::NotFound)),
            (Cause::Escapes, Some(Refusal::NotFound)),
            (Cause::Reserved, Some(Refusal::NotFound)),
            (Cause::NotADirectory, Some(Refusal::NotFound)),
            (Cause::NoSpace, Some(Refusal::NoSpace(Full::Disk))),
            (Cause::OverQuota, Some(Refusal::NoSpace(Full::Quota))),
            (Cause::TooManyLinks, Some(Refusal::FolderFull)),
            (Cause::TooLarge, Some(Refusal::TooLarge)),
            (Cause::ReadOnly, Some(Refusal::NotAllowed(Forbidden::ReadOnly))),
            (Cause::NotPermitted, Some(Refusal::NotAllowed(Forbidden::NotWritable))),
            (Cause::NotReadable, Some(Refusal::NotReadable { name: "a".to_owned() })),
            (Cause::MountPoint, Some(Refusal::NotAllowed(Forbidden::MountPoint))),
            (Cause::OtherMount, Some(Refusal::OtherMount)),
            (Cause::WithinItself, Some(Refusal::WithinItself)),
            (Cause::TooManyOpen, Some(Refusal::Overloaded)),
            (Cause::Unwanted, Some(Refusal::Overloaded)),
            (Cause::LongName, Some(Refusal::LongName)),
            (Cause::BadName, Some(Refusal::NameNotHeld)),
            (Cause::InUse, Some(Refusal::OpenForWriting)),
            (Cause::Exists, None),
            (Cause::IsADirectory, None),
            (Cause::NotEmpty, None),
            (Cause::Unsupported, None),
            (Cause::Unsure, None),
            (Cause::Failed, None),
        ] {
            assert_eq!(format!("{:?}", refusal(cause)), format!("{expected:?}"), "{cause:?}");
        }
    }
}
