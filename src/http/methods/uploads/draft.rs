//! Resumable Uploads for HTTP (draft-ietf-httpbis-resumable-upload, revision 12): a PUT that says with `Upload-Complete` whether it is all
//! begins an upload, whose URL stands in `Location`; PATCH goes on with it, HEAD tells how far it has come, DELETE cancels it.
//!
//! The newest request has the upload, and ends the one before it, as the draft advises: a connection that broke without a word would keep it shut
//! for as long as nothing comes.

use std::ops::ControlFlow;

use actix_http::{Payload, RequestHead};
use actix_web::http::{Method, Version, header};
use actix_web::{HttpRequest, HttpResponse};

use crate::http::clock::now;
use crate::http::context::RequestScope;
use crate::http::headers::digest::Expected;
use crate::http::headers::{field, upload_fields};
use crate::http::methods::attempt::Attempt;
use crate::http::methods::put::{Plan, is_short, keep_checksums, names_a_file, plan, put};
use crate::http::reply::{self, HandlerError, RequestError};
use crate::http::request::method::Allowed;
use crate::http::request::service_url;
use crate::http::request::target::RequestTarget;
use crate::http::wire::interim::Interims;
use crate::os::random;
use crate::share::outcome::{Refusal, Stop};
use crate::share::{Dialect, HeldUpload, UploadId, UploadState};

use super::appending::{self, Part};
use super::contact::{Named, let_go, place_of_url, refused, stale, state, take_up};
use super::kept::{self, Ending};

/// How an upload begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begins {
    /// With a part, and more is to come.
    Partly,
    /// With all of it, and goes on if the connection breaks.
    Whole,
}

/// Whether a PUT begins an upload that goes on, and how. Of one that brings everything the client has to be told before it is answered, so that it
/// has to speak this version of the draft; and what is short is sent once more as quickly.
pub(super) fn how_it_begins(head: &RequestHead) -> Option<Begins> {
    match upload_fields::complete(&head.headers)? {
        false => Some(Begins::Partly),
        true if !can_be_told(head) || is_short(field::announced_length(&head.headers)) => None,
        true => Some(Begins::Whole),
    }
}

/// Whether the client hears of anything before the answer (RFC 9110 §15.2).
fn can_be_told(head: &RequestHead) -> bool {
    head.version >= Version::HTTP_11 && upload_fields::speaks_the_draft(&head.headers)
}

/// Begins an upload by a PUT to the path that it is for.
pub(super) async fn begin(
    app: &RequestScope,
    request: &HttpRequest,
    body: &mut Payload,
    asked: &RequestTarget,
) -> Result<HttpResponse, HandlerError> {
    let head = request.head();
    names_a_file(app, asked).await?;
    let attempt = Attempt::new(app, head, &asked.path);
    let begun = begin_at(app, request, body, asked).await;
    // Whoever sends everything at once need not be able to go on.
    let is_whole = how_it_begins(head) == Some(Begins::Whole);
    if let (true, Err(HandlerError::Stop(Stop::Refusal(Refusal::TooManyUploads)))) = (is_whole, &begun) {
        attempt.ends(Ok(())).await?;
        return put(app, head, body, asked).await;
    }
    with_limits(app, head, attempt.ends(begun).await)
}

async fn begin_at(
    app: &RequestScope,
    request: &HttpRequest,
    body: &mut Payload,
    asked: &RequestTarget,
) -> Result<HttpResponse, HandlerError> {
    let head = request.head();
    let is_whole = how_it_begins(head) == Some(Begins::Whole);
    let Plan { path, context, announced, make_parents, .. } = plan(app, head, asked)?;
    let length = length(app, head, is_whole, 0, announced)?;
    app.hashings.have_hashed(&path, None, &context.of_states_alone()).await?;
    let begun = kept::begun(app, &head.headers, Dialect::Draft, &path, make_parents);
    let ending = kept::ending_as_begun(app, &begun, head)?;
    let id = UploadId::from_random(random::bytes());
    let url = service_url::of_upload(&place_of_url(app, &path), Dialect::Draft, &id.to_text());
    let held = app.ask(move |share| share.begin_resumable(&id, begun, length, &context.at(now()))).await?;
    let limits = limits(app, &held.state());
    let interims = interims(request);
    if let Some(interims) = &interims {
        interims.say(&reply::resumption_supported(&url, &limits)).await;
    }
    let part = part(head, body, announced, interims)?;
    let put = ending.head.clone();
    match added(app, held, ending, part, is_whole).await {
        Ok(Added::Stored(answer)) => Ok(answer),
        Ok(Added::Rests(state)) => Ok(reply::upload_begun(&url, &state, &limits)),
        Err(HandlerError::Stop(stop)) => {
            let told = state(app, &Named::of(id), Dialect::Draft).await?;
            Ok(reply::located(refused_with(app, &put, &told, stop), &url))
        }
        Err(wrong) => Err(wrong),
    }
}

/// A request that goes on with an upload, and may.
struct Contact {
    name: Named,
    ending: Ending,
    complete: bool,
    provided: u64,
}

/// Judges a request that goes on with an upload before its body is read: it is answered already, or may go on.
async fn contact(
    app: &RequestScope,
    head: &RequestHead,
    name: &str,
) -> Result<ControlFlow<HttpResponse, Contact>, HandlerError> {
    let headers = &head.headers;
    let is_a_part = field::text(headers, header::CONTENT_TYPE).is_some_and(|kind| {
        kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(upload_fields::PARTIAL)
    });
    if !is_a_part || field::is_coded(headers) {
        return Err(RequestError::NoPartOfAnUpload(upload_fields::PARTIAL).into());
    }
    let complete = upload_fields::complete(headers).ok_or(RequestError::Header("Upload-Complete"))?;
    let provided = upload_fields::offset(headers).ok_or(RequestError::Header("Upload-Offset"))?;
    let name = Named::new(name);
    let told = state(app, &name, Dialect::Draft).await?;
    if told.is_complete {
        let has_bytes = field::announced_length(headers) != Some(0);
        let why = if has_bytes { Refusal::InconsistentLength } else { Refusal::UploadComplete };
        let answer = refused(app, head, &told.begun.path, why.into());
        return Ok(ControlFlow::Break(reply::with_state(answer, &told, None)));
    }
    let ending = kept::ending(app, &told.begun, head)?;
    if let Some(stale) = stale(app, &ending).await {
        return Ok(ControlFlow::Break(refused_with(app, &ending.head, &told, stale)));
    }
    if provided != told.offset {
        return Err(RequestError::UploadOffset { expected: told.offset, provided }.into());
    }
    Ok(ControlFlow::Continue(Contact { name, ending, complete, provided }))
}

/// The answer to a request that goes on with an upload, if it has one before its body is asked for.
pub(super) async fn early(
    app: &RequestScope,
    head: &RequestHead,
    name: &str,
) -> Result<Option<HttpResponse>, HandlerError> {
    Ok(contact(app, head, name).await?.break_value())
}

/// Goes on with an upload, by PATCH.
pub(super) async fn append(
    app: &RequestScope,
    request: &HttpRequest,
    body: &mut Payload,
    name: &str,
) -> Result<HttpResponse, HandlerError> {
    let head = request.head();
    let Contact { name, ending, complete, provided } = match contact(app, head, name).await? {
        ControlFlow::Break(answer) => return Ok(answer),
        ControlFlow::Continue(contact) => contact,
    };
    let announced = field::announced_length(&head.headers);
    let held = take_up(app, &name, Dialect::Draft).await?;
    let expected = held.written();
    // Somebody else may have written since.
    if provided != expected {
        appending::rest(held).await?;
        return Err(RequestError::UploadOffset { expected, provided }.into());
    }
    let length = length(app, head, complete, expected, announced)?;
    let held = match length {
        Some(length) => app.ask(move |share| share.note_upload_length(&held, length, now()).map(|()| held)).await?,
        None => held,
    };
    let part = part(head, body, announced, interims(request))?;
    let put = ending.head.clone();
    let added = added(app, held, ending, part, complete).await;
    match added {
        Ok(Added::Stored(answer)) => Ok(answer),
        Ok(Added::Rests(state)) => Ok(reply::upload_goes_on(&state)),
        Err(HandlerError::Stop(stop)) => {
            let told = state(app, &name, Dialect::Draft).await?;
            Ok(refused_with(app, &put, &told, stop))
        }
        Err(wrong) => Err(wrong),
    }
}

/// Tells how far an upload has come. One whose condition does not hold any more is told so, and how far it has come all the same.
pub(super) async fn tell(app: &RequestScope, head: &RequestHead, name: &str) -> Result<HttpResponse, HandlerError> {
    if head.method != Method::HEAD {
        return Err(RequestError::Method(Allowed::Upload).into());
    }
    let told = state(app, &Named::new(name), Dialect::Draft).await?;
    if !told.is_complete {
        let ending = kept::ending(app, &told.begun, head)?;
        if let Some(stale) = stale(app, &ending).await {
            let mut head = ending.head;
            head.method = Method::HEAD;
            return Ok(refused_with(app, &head, &told, stale));
        }
    }
    Ok(reply::upload_state(&told, &limits(app, &told)))
}

/// Cancels an upload.
pub(super) async fn cancel(app: &RequestScope, name: &str) -> Result<HttpResponse, HandlerError> {
    let name = Named::new(name);
    state(app, &name, Dialect::Draft).await?;
    let_go(app, &name, Dialect::Draft).await?;
    Ok(reply::done())
}

/// An answer to what is too large says how large it may be.
pub(super) fn with_limits(
    app: &RequestScope,
    head: &RequestHead,
    answer: Result<HttpResponse, HandlerError>,
) -> Result<HttpResponse, HandlerError> {
    match answer {
        Err(HandlerError::RequestError(RequestError::LargeBody)) => {
            Ok(reply::too_large(reply::wrong(head, &RequestError::LargeBody), app.settings.upload_bytes_max))
        }
        answer => answer,
    }
}

/// What became of a part that was added.
enum Added {
    /// The upload is the file at its path.
    Stored(HttpResponse),
    /// More is to come.
    Rests(UploadState),
}

async fn added(
    app: &RequestScope,
    held: HeldUpload,
    ending: Ending,
    part: Part<'_>,
    complete: bool,
) -> Result<Added, HandlerError> {
    let (held, turn) = appending::append(app, held, &ending, part).await?;
    if !complete {
        let told = app.ask(move |_| {
            let mut held = held;
            held.checkpoint()?;
            Ok(held.state())
        });
        return Ok(Added::Rests(told.await?));
    }
    if held.state().length.is_some_and(|length| length != held.written()) {
        appending::rest(held).await?;
        return Err(Stop::from(Refusal::InconsistentLength).into());
    }
    let path = ending.path.clone();
    let written = held.written();
    let (stored, checksums) = appending::finish(app, held, ending, turn).await?;
    keep_checksums(app, &stored, checksums);
    Ok(Added::Stored(reply::upload_stored(reply::stored(&path, &stored, now()), written)))
}

/// The answer to what was refused, with what a client has to know to finish the upload in another way.
fn refused_with(app: &RequestScope, put: &RequestHead, told: &UploadState, stop: Stop) -> HttpResponse {
    reply::with_state(refused(app, put, &told.begun.path, stop), told, Some(&limits(app, told)))
}

/// How long the upload is to become, as this request says: by its own length if it is the end, by `Upload-Length`, or not at all.
fn length(
    app: &RequestScope,
    head: &RequestHead,
    is_end: bool,
    offset: u64,
    announced: Option<u64>,
) -> Result<Option<u64>, HandlerError> {
    let by_content = announced.filter(|_| is_end).map(|bytes| offset.saturating_add(bytes));
    let named = upload_fields::length(&head.headers);
    let inconsistent = || HandlerError::from(Stop::from(Refusal::InconsistentLength));
    let length = match (by_content, named) {
        (Some(one), Some(other)) if one != other => return Err(inconsistent()),
        (one, other) => one.or(other),
    };
    if let (Some(length), Some(bytes)) = (length, announced)
        && length < offset.saturating_add(bytes)
    {
        return Err(inconsistent());
    }
    match app.settings.upload_bytes_max {
        Some(max) if length.is_some_and(|length| length > max) => Err(RequestError::LargeBody.into()),
        _ => Ok(length),
    }
}

fn part<'a>(
    head: &RequestHead,
    body: &'a mut Payload,
    announced: Option<u64>,
    interims: Option<Interims>,
) -> Result<Part<'a>, HandlerError> {
    let checker = Expected::of_content(&head.headers).map_err(RequestError::InvalidDigest)?.checker();
    Ok(Part { body, announced, only_whole: !checker.is_idle(), checker, progress: interims })
}

fn interims(request: &HttpRequest) -> Option<Interims> {
    can_be_told(request.head()).then(|| request.conn_data::<Interims>().cloned()).flatten()
}

/// What a client may send, and for how long the upload is kept.
fn limits(app: &RequestScope, told: &UploadState) -> String {
    reply::limits_of_upload(app.settings.upload_bytes_max, Some((told.expires, now())))
}
