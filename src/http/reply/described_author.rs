//! Somebody who made a change, as JSON tells it.

use serde::Serialize;

use crate::model::author::Author;

/// Somebody who made a change, as JSON tells it.
#[derive(Serialize)]
pub(crate) struct DescribedAuthor {
    /// None of somebody who has not signed in, and of another program.
    user: Option<String>,
    way_in: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
}

impl DescribedAuthor {
    pub(crate) fn new(author: &Author) -> Self {
        Self {
            user: author.user().map(str::to_owned),
            way_in: author.word(),
            link: author.link_id().map(str::to_owned),
        }
    }
}
