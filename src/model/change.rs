//! One change of the tree, as the feed tells it: what has become of a path, when, and by whom.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::author::Author;
use super::path::SharePath;
use super::stamp::Timestamp;
use super::tag::EntityTag;
use super::version::VersionId;

/// One change of the tree.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Change {
    /// When it was made, or noticed.
    pub at: Timestamp,
    /// The path.
    pub path: SharePath,
    /// What has become of it.
    pub kind: ChangeKind,
    /// What is there now; what was there, if it was deleted.
    pub resource: Resource,
    /// What was told to be there before.
    pub before: Before,
    /// The version that what it displaced has become, if that is kept.
    pub displaced: Option<VersionId>,
    /// Who made it; `None` where nobody can know, and where nobody is told from anybody.
    pub by: Option<Arc<Author>>,
}

/// What has become of a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChangeKind {
    /// Something is there where nothing was. Of a folder what is in it is told by itself.
    Created,
    /// Something else is there.
    Replaced,
    /// What was at another path is here, with all that is below it, and in place of what was here.
    Moved {
        /// That path.
        from: SharePath,
    },
    /// Nothing is there any more, nor below it.
    Deleted,
    /// A version has come back from the history. Of a folder what is in it is told by itself.
    Restored,
    /// What a program wrote into a displaced file was put here.
    ConflictCopy,
    /// It has other properties, or another date.
    Properties,
    /// It was locked, or is not locked any more.
    Lock,
    /// What is below it may have changed, and cannot be told.
    Uncertain,
}

/// What was at a path before a change of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Before {
    /// Nothing.
    Nothing,
    /// A file.
    File,
    /// A folder, which has gone with all that was in it, if something else is there now.
    Folder,
}

/// What is at a path, as far as a listing tells it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Resource {
    /// A file.
    File {
        /// Its size in bytes; `None` of one that is gone.
        size: Option<u64>,
        /// Its tag, if one was shown already; of others nobody has heard of it yet.
        tag: Option<EntityTag>,
    },
    /// A folder.
    Folder,
}

impl ChangeKind {
    /// The word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Replaced => "replaced",
            Self::Moved { .. } => "moved",
            Self::Deleted => "deleted",
            Self::Restored => "restored",
            Self::ConflictCopy => "conflict-copy",
            Self::Properties => "properties",
            Self::Lock => "lock",
            Self::Uncertain => "uncertain",
        }
    }
}

impl Resource {
    /// A file that is gone.
    pub const GONE_FILE: Self = Self::File { size: None, tag: None };

    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        matches!(self, Self::Folder)
    }
}
