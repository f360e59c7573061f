//! What is told of a file that was stored.

use crate::model::stamp::Timestamp;
use crate::model::tag::EntityTag;
use crate::model::version::VersionId;

/// What an upload has become.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Whether nothing was there before.
    pub created: bool,
    /// The tag of the new version.
    pub tag: EntityTag,
    /// Its date.
    pub modified: Timestamp,
    /// The version that what it replaced has become.
    pub displaced: Option<VersionId>,
    /// Whether it has the date that the client asked for.
    pub is_dated_as_asked: bool,
}
