//! How a change of a name ended.

use crate::model::path::Name;
use crate::model::stamp::Stamp;
use crate::model::version::VersionId;

use super::super::name_lock::WriteInProgress;
use super::seen::is_broken;
use crate::store::disk_error::{Cause, DiskError};
use crate::store::lease::Lease;

/// What to do when something else came out of the tree than was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnMismatch {
    /// Undo: the client named the version.
    Undo,
    /// Keep it in the history like what was expected, if nobody is writing it: the client named none.
    Accept,
}

/// How a change ended.
#[derive(Debug)]
pub enum Swap<'a> {
    /// It is done, and on the disk.
    Done(Changed<'a>),
    /// Something else was there: look again.
    Lost,
    /// A program waits to write into what would be displaced. Everything is as it was.
    Busy,
    /// A program got hold of the upload while it was being undone, or the name changed too fast: give up. What is at the name is the
    /// programs' own.
    Spoilt,
}

/// What a change did. Readers of the name wait until this is dropped, so that what is to be remembered of the new file can be before anybody
/// asks.
#[derive(Debug, Default)]
pub struct Changed<'a> {
    /// The version that what was displaced has become.
    pub displaced: Option<VersionId>,
    /// The state of the new file, if nobody can have written into it since.
    pub stamp: Option<Stamp>,
    /// The state in which a file that was moved was seen, if `stamp` is the same content: what was remembered for the one holds for the
    /// other.
    pub was: Option<Stamp>,
    /// Held on the new file since before anybody could see it, or on the one that was moved.
    pub(super) lease: HeldLease,
    pub(super) _under_way: Option<WriteInProgress<'a>>,
    pub(super) _under_way_too: Option<WriteInProgress<'a>>,
}

/// A lease that is held until what is to be remembered of a file is.
#[derive(Default)]
pub(super) struct HeldLease(pub(super) Option<Box<dyn Lease>>);

impl Changed<'_> {
    /// Whether nobody has come to write the new file by now, as far as can be told.
    pub fn is_unbroken(&self) -> bool {
        !is_broken(&self.lease.0)
    }
}

impl std::fmt::Debug for HeldLease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("HeldLease").field(&self.0.is_some()).finish()
    }
}

/// Why a swap is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Lost,
    Busy,
}

/// A name was changed and its folder could not be synced: nobody can say whether the change will last. So it is a fault whatever the
/// cause, and never a refusal, which promises that all is as it was.
pub(super) fn unsure(error: DiskError) -> DiskError {
    DiskError { cause: Cause::Unsure, ..error }
}

/// What was to be undone may not be undone whole, so this is a fault whatever the cause, and never a refusal.
pub(super) fn failure(error: DiskError) -> DiskError {
    DiskError { cause: Cause::Failed, ..error }
}

/// Whether the folder of a name is not there.
pub(super) fn leads_nowhere(error: &DiskError) -> bool {
    matches!(error.cause, Cause::NotFound | Cause::NotADirectory | Cause::Escapes)
}

pub(super) fn failed(operation: &'static str, name: &Name, message: &str) -> DiskError {
    DiskError { operation, name: name.to_text().into_owned(), cause: Cause::Failed, message: message.to_owned() }
}
