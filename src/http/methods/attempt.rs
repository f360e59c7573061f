//! An attempt to store something at a path, by PUT, MOVE or COPY. However it fails, also if the head is wrong or the client leaves, that is
//! taken note of, since some clients delete what they could not store. What a client's own condition refused is no failure, and what was refused
//! for the source of a MOVE or COPY says nothing of where it leads.

use std::sync::Arc;

use actix_http::RequestHead;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::http::clock::now;
use crate::http::context::{RequestScope, client};
use crate::http::quirks::Quirks;
use crate::http::reply::HandlerError;
use crate::http::request::method::DavMethod;
use crate::model::path::SharePath;
use crate::model::precondition::Header;
use crate::model::principal::Client;
use crate::share::Share;
use crate::share::outcome::{End, Refusal, Stop};

/// An attempt that has not ended yet.
pub(crate) struct Attempt {
    share: Arc<Share>,
    client: Client,
    path: SharePath,
    source: Option<SharePath>,
    by_a_holder: bool,
    knows_conditions: bool,
    is_over: bool,
}

impl Attempt {
    /// An attempt to store something at `path`.
    pub(crate) fn new(app: &RequestScope, head: &RequestHead, path: &SharePath) -> Self {
        let deletes_anyway = DavMethod::of(&head.method) == DavMethod::Put && Quirks::of(head).delete_after_failure;
        Self {
            share: Arc::clone(&app.share),
            client: client(app, head),
            path: path.clone(),
            source: None,
            by_a_holder: head.headers.contains_key("if"),
            knows_conditions: !deletes_anyway,
            is_over: false,
        }
    }

    /// The same, of something that comes from `source`.
    pub(crate) fn coming_from(mut self, source: &SharePath) -> Self {
        self.source = Some(source.clone());
        self
    }

    /// Ends it in this way. If it failed, that is noted before anybody is told.
    pub(crate) async fn ends<T>(mut self, how: Result<T, HandlerError>) -> Result<T, HandlerError> {
        self.is_over = match &how {
            Ok(_) => true,
            Err(trouble) => {
                let by_own_condition = self.knows_conditions && is_own_condition(trouble);
                by_own_condition || self.source.as_ref().is_some_and(|source| is_of_source(trouble, source))
            }
        };
        if let Some(noting) = self.note_failure() {
            let _ = noting.await;
        }
        how
    }

    /// Notes that it failed, if it did: on the blocking pool, since the disk is asked which path it has for the name.
    fn note_failure(&mut self) -> Option<JoinHandle<()>> {
        if std::mem::replace(&mut self.is_over, true) {
            return None;
        }
        self.share.not_stored_as_asked(self.client.clone(), &self.path, self.by_a_holder, now());
        let (share, client, path) = (Arc::clone(&self.share), self.client.clone(), self.path.clone());
        let by_a_holder = self.by_a_holder;
        // Where there is no runtime any more the server is ending, and nobody will be served.
        let runtime = Handle::try_current().ok()?;
        Some(runtime.spawn_blocking(move || share.not_stored(client, &path, by_a_holder, now())))
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.note_failure();
    }
}

/// Whether it was refused for what is, or is not, at its source.
fn is_of_source(trouble: &HandlerError, source: &SharePath) -> bool {
    let HandlerError::Stop(Stop::Refusal(refusal)) = trouble else { return false };
    match refusal {
        Refusal::NotFound | Refusal::NotSeen => true,
        Refusal::PreconditionRequired { end, .. } => *end == End::Target,
        Refusal::PreconditionFailed { of, .. } => of.path.is_within(source),
        Refusal::Locked { by } => by.iter().all(|root| root.path.is_within(source)),
        _ => false,
    }
}

/// Whether a condition that the client sent does not hold. That a lock was taken on another version is none.
fn is_own_condition(trouble: &HandlerError) -> bool {
    matches!(
        trouble,
        HandlerError::Stop(Stop::Refusal(Refusal::PreconditionFailed {
            header: Header::IfMatch
                | Header::IfNoneMatch
                | Header::IfModifiedSince
                | Header::IfUnmodifiedSince
                | Header::If
                | Header::Overwrite,
            ..
        }))
    )
}
