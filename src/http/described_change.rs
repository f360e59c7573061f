//! A change of the tree, as JSON tells it.

use serde::Serialize;

use crate::http::reply::DescribedAuthor;
use crate::http::urls;
use crate::model::change::{ChangeKind, Resource};
use crate::model::cursor::Cursor;
use crate::share::NumberedChange;

/// A change, as JSON tells it.
#[derive(Serialize)]
pub(crate) struct DescribedChange {
    number: u64,
    at: String,
    kind: &'static str,
    path: String,
    href: String,
    /// Where it was, of what has moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    resource: &'static str,
    /// In bytes; of a file that is there.
    size: Option<u64>,
    tag: Option<String>,
    /// The version that what was displaced has become, and who made the change, for who may use the history.
    displaced: Option<String>,
    by: Option<DescribedAuthor>,
}

impl DescribedChange {
    pub(crate) fn new(numbered: &NumberedChange) -> Self {
        let change = &numbered.change;
        let (is_folder, size, tag) = match &change.resource {
            Resource::Folder => (true, None, None),
            Resource::File { size, tag } => (false, *size, tag.as_ref().map(ToString::to_string)),
        };
        let from = match &change.kind {
            ChangeKind::Moved { from } => Some(from.to_text()),
            _ => None,
        };
        Self {
            number: numbered.number,
            at: change.at.rfc_3339(),
            kind: change.kind.word(),
            path: change.path.to_text(),
            href: if is_folder { urls::of_folder(&change.path) } else { urls::of(&change.path) },
            from,
            resource: if is_folder { "folder" } else { "file" },
            size,
            tag,
            displaced: change.displaced.as_ref().map(|version| version.as_str().to_owned()),
            by: change.by.as_deref().map(DescribedAuthor::new),
        }
    }
}

/// How far a client has come in the feed.
#[derive(Serialize)]
pub(crate) struct DescribedPlace {
    /// What to ask with for what happens next.
    pub(crate) cursor: String,
    /// Whether there is more already.
    pub(crate) goes_on: bool,
    /// Whether all that has happened was told: not while what changed behind the server's back is still being looked for.
    pub(crate) complete: bool,
}

impl DescribedPlace {
    pub(crate) fn new(cursor: Cursor, goes_on: bool, complete: bool) -> Self {
        Self { cursor: cursor.to_string(), goes_on, complete }
    }
}
