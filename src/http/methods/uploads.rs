//! Uploads that go on after their connection broke, in the dialects that clients speak. Each dialect has a file of its own; what they have in
//! common is here: who may go on, how bytes are added, and how an upload ends.

mod appending;
mod chunks;
mod contact;
mod draft;
mod kept;
mod tus;

use actix_http::{Payload, RequestHead};
use actix_web::{HttpRequest, HttpResponse};

use crate::http::bodies::{has_no_body, reads_away};
use crate::http::context::RequestScope;
use crate::http::reply::{self, HandlerError, RequestError};
use crate::http::request::method::{Allowed, DavMethod};
use crate::http::request::service_url::{self, Service};
use crate::http::request::target::RequestTarget;
use crate::model::principal::Principal;
use crate::share::{Dialect, UploadState};

use contact::owner;

/// Whether a PUT begins an upload that goes on.
pub(crate) fn begins(head: &RequestHead) -> bool {
    draft::how_it_begins(head).is_some()
}

/// Begins an upload by a PUT to the path that it is for.
pub(crate) async fn begin(
    app: &RequestScope,
    request: &HttpRequest,
    body: &mut Payload,
    asked: &RequestTarget,
) -> Result<HttpResponse, HandlerError> {
    draft::begin(app, request, body, asked).await
}

/// Serves what is below a folder for uploads.
pub(crate) async fn serve(
    app: &RequestScope,
    request: &HttpRequest,
    body: &mut Payload,
    folder: &RequestTarget,
    service: &Service,
) -> Result<HttpResponse, HandlerError> {
    let head = request.head();
    match (service, DavMethod::of(&head.method)) {
        (Service::Uploads(Dialect::Draft), DavMethod::Get) => {
            reads_away(body).await.map_err(|_| RequestError::BrokenBody)?;
            list(app, folder).await
        }
        (Service::Upload(Dialect::Draft, name), DavMethod::Get) => draft::tell(app, head, name).await,
        (Service::Upload(Dialect::Draft, name), DavMethod::Patch) => {
            draft::with_limits(app, head, draft::append(app, request, body, name).await)
        }
        (Service::Upload(Dialect::Draft, name), DavMethod::Delete) => {
            has_no_body(app, head, body).await?;
            draft::cancel(app, name).await
        }
        (Service::Uploads(Dialect::Tus) | Service::Upload(Dialect::Tus, _), DavMethod::Options) => {
            Ok(reply::options_of_tus(app.settings.upload_bytes_max))
        }
        (Service::Uploads(Dialect::Tus), _) => tus::serve(app, head, body, folder, None).await,
        (Service::Upload(Dialect::Tus, name), _) => tus::serve(app, head, body, folder, Some(name)).await,
        (Service::Chunked(_) | Service::Chunk(..), _) => chunks::serve(app, head, body, service).await,
        (_, DavMethod::Options) => Ok(reply::options_of_uploads(app.settings.upload_bytes_max)),
        (_, DavMethod::Unknown) => Err(RequestError::UnknownMethod.into()),
        _ => Err(RequestError::Method(Allowed::Upload).into()),
    }
}

/// The answer to a request to what is below a folder for uploads, if it has one before its body is asked for (`Expect: 100-continue`).
pub(crate) async fn early(
    app: &RequestScope,
    head: &RequestHead,
    folder: &RequestTarget,
    service: &Service,
) -> Result<Option<HttpResponse>, HandlerError> {
    match (service, DavMethod::of(&head.method)) {
        (Service::Upload(Dialect::Draft, name), DavMethod::Patch) => draft::early(app, head, name).await,
        (Service::Upload(Dialect::Tus, name), _) => tus::early(app, head, folder, name).await,
        _ => Ok(None),
    }
}

/// The half-done uploads of whoever asks, as far as they may see the places that these are for. Of those who have not said who they are, and of
/// those who came by one link, nobody is told how to go on with what may be another's.
async fn list(app: &RequestScope, folder: &RequestTarget) -> Result<HttpResponse, HandlerError> {
    let owner = owner(app);
    let mut uploads = app.ask(move |share| Ok(share.half_done_uploads(&owner))).await?;
    uploads.retain(|upload| {
        upload.begun.path.is_within(&folder.path) && app.caller.permissions().at(&upload.begun.path).see()
    });
    let named = matches!(app.caller.principal(), Principal::Named(_));
    let url = |upload: &UploadState| {
        named.then(|| service_url::of_upload(&folder.path, upload.begun.dialect, &chunks::url_name(upload)))
    };
    let listed: Vec<_> = uploads.iter().map(|upload| (upload, url(upload))).collect();
    Ok(reply::half_done(&listed))
}
