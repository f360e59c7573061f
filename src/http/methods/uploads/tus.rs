//! tus 1.0 with the extensions creation, creation-with-upload, expiration, checksum and termination: uploads begin by a POST to
//! `FOLDER/.noclobber/tus/`, and their metadata says where in the folder they end and on which condition.
//!
//! The newest request has the upload and ends the one before it, as in the other dialect and for the same reason. A client of tus takes an upload
//! for done when its offset is its length; so that is told only of one that is the file at its path.

use std::ops::ControlFlow;

use actix_http::{Payload, RequestHead};
use actix_web::HttpResponse;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};

use crate::http::bodies::has_no_body;
use crate::http::clock::now;
use crate::http::context::{RequestScope, permit};
use crate::http::headers::digest::{Checker, Expected};
use crate::http::headers::{field, tus_fields, upload_fields};
use crate::http::methods::put::{keep_checksums, turn_again};
use crate::http::reply::{self, HandlerError, RequestError};
use crate::http::request::method::Allowed;
use crate::http::request::service_url;
use crate::http::request::target::RequestTarget;
use crate::model::path::SharePath;
use crate::model::rights::Rights;
use crate::os::random;
use crate::share::outcome::{Refusal, Stop};
use crate::share::{Begun, Dialect, HeldUpload, Stored, UploadId, UploadState};

use super::appending::{self, Part};
use super::contact::{Named, let_go, place_of_url, refused, stale, state, take_up};
use super::kept::{self, Ending};

/// Keys of metadata that are conditions, as the header fields of the same names.
const CONDITIONS: [&str; 6] = ["if-match", "if-none-match", "if-unmodified-since", "if", "lock-token", "overwrite"];

/// Serves the place where uploads begin, or one of them.
pub(super) async fn serve(
    app: &RequestScope,
    head: &RequestHead,
    body: &mut Payload,
    folder: &RequestTarget,
    name: Option<&str>,
) -> Result<HttpResponse, HandlerError> {
    if !tus_fields::speaks(&head.headers) {
        return Ok(reply::other_tus_version());
    }
    let served = match (asked(head).as_str(), name) {
        ("POST", None) => begin(app, head, body, folder).await,
        ("HEAD", Some(name)) => tell(app, head, name).await,
        ("PATCH", Some(name)) => append(app, head, body, name).await,
        ("DELETE", Some(name)) => {
            has_no_body(app, head, body).await?;
            cancel(app, name).await
        }
        _ => Err(RequestError::Method(Allowed::Upload).into()),
    };
    answered(app, head, folder, served)
}

/// The answer to a request that goes on with an upload, if it has one before its body is asked for.
pub(super) async fn early(
    app: &RequestScope,
    head: &RequestHead,
    folder: &RequestTarget,
    name: &str,
) -> Result<Option<HttpResponse>, HandlerError> {
    if !tus_fields::speaks(&head.headers) || asked(head) != "PATCH" {
        return Ok(None);
    }
    match contact(app, head, name).await {
        Ok(judged) => Ok(judged.break_value().map(reply::by_tus)),
        Err(wrong) => answered(app, head, folder, Err(wrong)).map(Some),
    }
}

/// An answer as clients of tus read it.
fn answered(
    app: &RequestScope,
    head: &RequestHead,
    folder: &RequestTarget,
    served: Result<HttpResponse, HandlerError>,
) -> Result<HttpResponse, HandlerError> {
    match served {
        Ok(answer) => Ok(reply::by_tus(answer)),
        // Whoever has not said who they are is asked to.
        Err(wrong @ HandlerError::RequestError(RequestError::Denied(_))) => Err(wrong),
        Err(HandlerError::RequestError(wrong)) => Ok(reply::by_tus(reply::wrong(head, &wrong))),
        Err(HandlerError::Stop(Stop::Refusal(Refusal::NoUpload))) => Err(Stop::from(Refusal::NoUpload).into()),
        Err(HandlerError::Stop(stop)) => Ok(reply::by_tus(refused(app, head, &folder.path, stop))),
    }
}

/// The method, which clients that cannot send every one put into a field of a POST.
fn asked(head: &RequestHead) -> String {
    let instead = field::text(&head.headers, "x-http-method-override").filter(|_| head.method.as_str() == "POST");
    instead.unwrap_or(head.method.as_str()).to_ascii_uppercase()
}

async fn begin(
    app: &RequestScope,
    head: &RequestHead,
    body: &mut Payload,
    folder: &RequestTarget,
) -> Result<HttpResponse, HandlerError> {
    let length =
        tus_fields::number(&head.headers, &upload_fields::LENGTH).ok_or(RequestError::Header("Upload-Length"))?;
    if app.settings.upload_bytes_max.is_some_and(|max| length > max) {
        return Err(RequestError::LargeBody.into());
    }
    let begun = begun(app, head, folder)?;
    permit(app, Rights::CREATE | Rights::OVERWRITE, &begun.path)?;
    let brings_bytes = is_a_part(head);
    if !brings_bytes {
        has_no_body(app, head, body).await?;
    }
    let ending = kept::ending_as_begun(app, &begun, head)?;
    let (path, context) = (ending.path.clone(), ending.demands.context.clone());
    app.hashings.have_hashed(&path, None, &context.of_states_alone()).await?;
    let id = UploadId::from_random(random::bytes());
    let url = service_url::of_upload(&place_of_url(app, &path), Dialect::Tus, &id.to_text());
    let held = app.ask(move |share| share.begin_resumable(&id, begun, Some(length), &context.at(now()))).await?;
    let put = ending.head.clone();
    let added =
        if brings_bytes { added(app, head, body, held, ending).await } else { ends_if_whole(app, held, ending).await };
    match added {
        Ok((state, stored)) => Ok(reply::tus_begun(&url, &state, stored.as_ref())),
        Err(HandlerError::Stop(stop)) => {
            let told = state(app, &Named::of(id), Dialect::Tus).await?;
            Ok(reply::located(reply::tus_state(refused(app, &put, &path, stop), &told), &url))
        }
        Err(wrong) => Err(wrong),
    }
}

/// What is kept of an upload that begins, by the fields of the request and by its metadata.
fn begun(app: &RequestScope, head: &RequestHead, folder: &RequestTarget) -> Result<Begun, HandlerError> {
    const BAD: RequestError = RequestError::Header("Upload-Metadata");
    let pairs = tus_fields::metadata(&head.headers).ok_or(BAD)?;
    let find = |key: &str| pairs.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_slice());
    let path = ["path", "filename", "name"].into_iter().find_map(find).ok_or(BAD)?;
    let path = path_below(&folder.path, path).ok_or(BAD)?;
    let mut headers = HeaderMap::new();
    for (name, value) in head.headers.iter() {
        headers.append(name.clone(), value.clone());
    }
    for (key, name) in CONDITIONS.map(|key| (key, key)).into_iter().chain([("mtime", "x-oc-mtime")]) {
        if let Some(value) = find(key) {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_bytes(value).map_err(|_| BAD)?);
        }
    }
    let mut begun = kept::begun(app, &headers, Dialect::Tus, &path, find("mkdirs").is_some());
    if let Some(metadata) = head.headers.get(tus_fields::METADATA) {
        begun.fields.push((tus_fields::METADATA.as_str().into(), metadata.as_bytes().into()));
    }
    Ok(begun)
}

/// The path below a folder that a text names, as it is.
fn path_below(folder: &SharePath, text: &[u8]) -> Option<SharePath> {
    let names = text.split(|byte| *byte == b'/').map(|name| percent_encode(name, NON_ALPHANUMERIC).to_string());
    let below = names.collect::<Vec<_>>().join("/");
    let path =
        SharePath::parse_url(&format!("{}{}", folder.to_collection_url(), below.trim_start_matches('/'))).ok()?;
    (path != *folder && !below.ends_with('/')).then_some(path)
}

/// A request that goes on with an upload, and may.
struct Contact {
    name: Named,
    ending: Ending,
    provided: u64,
}

/// Judges a request that goes on with an upload before its body is read: it is answered already, or may go on.
async fn contact(
    app: &RequestScope,
    head: &RequestHead,
    name: &str,
) -> Result<ControlFlow<HttpResponse, Contact>, HandlerError> {
    if !is_a_part(head) {
        return Err(RequestError::NoPartOfAnUpload(tus_fields::PART).into());
    }
    let provided =
        tus_fields::number(&head.headers, &upload_fields::OFFSET).ok_or(RequestError::Header("Upload-Offset"))?;
    let name = Named::new(name);
    let told = state(app, &name, Dialect::Tus).await?;
    if told.is_complete {
        return Err(Stop::from(Refusal::UploadComplete).into());
    }
    let ending = kept::ending(app, &told.begun, head)?;
    if let Some(stale) = stale(app, &ending).await {
        let answer = refused(app, &ending.head, &ending.path, stale);
        return Ok(ControlFlow::Break(reply::tus_state(answer, &told)));
    }
    if provided != told.offset {
        return Err(RequestError::UploadOffset { expected: told.offset, provided }.into());
    }
    Ok(ControlFlow::Continue(Contact { name, ending, provided }))
}

async fn append(
    app: &RequestScope,
    head: &RequestHead,
    body: &mut Payload,
    name: &str,
) -> Result<HttpResponse, HandlerError> {
    let Contact { name, ending, provided } = match contact(app, head, name).await? {
        ControlFlow::Break(answer) => return Ok(answer),
        ControlFlow::Continue(contact) => contact,
    };
    let (put, path) = (ending.head.clone(), ending.path.clone());
    let held = take_up(app, &name, Dialect::Tus).await?;
    let expected = held.written();
    // Somebody else may have written since.
    if provided != expected {
        appending::rest(held).await?;
        return Err(RequestError::UploadOffset { expected, provided }.into());
    }
    match added(app, head, body, held, ending).await {
        Ok((state, stored)) => Ok(reply::tus_goes_on(&state, stored.as_ref())),
        Err(HandlerError::Stop(stop)) => {
            let told = state(app, &name, Dialect::Tus).await?;
            Ok(reply::tus_state(refused(app, &put, &path, stop), &told))
        }
        Err(HandlerError::RequestError(RequestError::Digest(_))) => Err(RequestError::TusChecksum.into()),
        Err(wrong) => Err(wrong),
    }
}

/// Adds the body of a request to an upload, which ends with its last byte.
async fn added(
    app: &RequestScope,
    head: &RequestHead,
    body: &mut Payload,
    held: HeldUpload,
    ending: Ending,
) -> Result<(UploadState, Option<Stored>), HandlerError> {
    let checker = checker(head)?;
    let announced = field::announced_length(&head.headers);
    let part = Part { body, announced, only_whole: !checker.is_idle(), checker, progress: None };
    let (held, turn) = appending::append(app, held, &ending, part).await?;
    drop(turn);
    ends_if_whole(app, held, ending).await
}

/// What a part has to come to, if anything was said of that.
fn checker(head: &RequestHead) -> Result<Checker, HandlerError> {
    const BAD: RequestError = RequestError::Header("Upload-Checksum");
    let expected = match tus_fields::checksum(&head.headers).map_err(|()| BAD)? {
        Some((algorithm, digest)) => Expected::of_part(&algorithm, digest).ok_or(BAD)?,
        None => Expected::default(),
    };
    Ok(expected.checker())
}

/// Makes an upload that has all its bytes the file at its path, and leaves another at rest.
async fn ends_if_whole(
    app: &RequestScope,
    held: HeldUpload,
    ending: Ending,
) -> Result<(UploadState, Option<Stored>), HandlerError> {
    let mut state = held.state();
    if state.length != Some(held.written()) {
        let told = app.ask(move |_| {
            let mut held = held;
            held.checkpoint()?;
            Ok(held.state())
        });
        return Ok((told.await?, None));
    }
    state.offset = held.written();
    let turn = turn_again(app).await;
    let (stored, checksums) = appending::finish(app, held, ending, turn).await?;
    keep_checksums(app, &stored, checksums);
    state.is_complete = true;
    Ok((state, Some(stored)))
}

/// Tells how far an upload has come. One that has all its bytes is made the file at its path first, or told why it is not.
async fn tell(app: &RequestScope, head: &RequestHead, name: &str) -> Result<HttpResponse, HandlerError> {
    let name = Named::new(name);
    let mut told = state(app, &name, Dialect::Tus).await?;
    if !told.is_complete {
        let ending = kept::ending(app, &told.begun, head)?;
        let (mut put, path) = (ending.head.clone(), ending.path.clone());
        put.method = head.method.clone();
        if let Some(stale) = stale(app, &ending).await {
            return Ok(reply::tus_state(refused(app, &put, &path, stale), &told));
        }
        if told.length == Some(told.offset) {
            let held = take_up(app, &name, Dialect::Tus).await?;
            match ends_if_whole(app, held, ending).await {
                Ok((state, _)) => told = state,
                Err(HandlerError::Stop(stop)) => return Ok(refused(app, &put, &path, stop)),
                Err(wrong) => return Err(wrong),
            }
        }
    }
    let metadata = told.begun.fields.iter().find(|(name, _)| **name == *tus_fields::METADATA.as_str());
    Ok(reply::tus_told(&told, metadata.map(|(_, value)| &**value)))
}

async fn cancel(app: &RequestScope, name: &str) -> Result<HttpResponse, HandlerError> {
    let name = Named::new(name);
    state(app, &name, Dialect::Tus).await?;
    let_go(app, &name, Dialect::Tus).await?;
    Ok(reply::done())
}

fn is_a_part(head: &RequestHead) -> bool {
    field::text(&head.headers, header::CONTENT_TYPE)
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case(tus_fields::PART))
        && !field::is_coded(&head.headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_below_a_folder_are_taken_as_they_are_written() {
        let folder = SharePath::parse_url("/a%20b").expect("a path");
        for (text, expected) in [
            ("c.txt", Some("/a%20b/c.txt")),
            ("/c.txt", Some("/a%20b/c.txt")),
            ("c/d%20e", Some("/a%20b/c/d%2520e")),
            ("\u{e9}#?", Some("/a%20b/%C3%A9%23%3F")),
            ("", None),
            ("/", None),
            ("c/", None),
            ("../c", None),
            ("c/../../d", None),
            (".noclobber/uploads/x", None),
            ("c/.noclobber", None),
        ] {
            let path = path_below(&folder, text.as_bytes());
            assert_eq!(path, expected.map(|url| SharePath::parse_url(url).expect("a path")), "{text}");
        }
    }
}
