//! What is told of uploads that go on.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use serde_json::json;

use crate::http::headers::digest::part_algorithms;
use crate::http::headers::tus_fields::{EXPIRES, METADATA, RESUMABLE, VERSION};
use crate::http::headers::upload_fields::{COMPLETE, INTEROP, INTEROP_VERSION, LENGTH, LIMIT, OFFSET, PARTIAL};
use crate::http::reply::allow::allow;
use crate::http::reply::dav::multistatus;
use crate::http::reply::dav::of_property::{DONE, MISSING};
use crate::http::reply::problem::{Problem, with_header};
use crate::http::request::method::Allowed;
use crate::http::urls;
use crate::http::xml::read::Propfind;
use crate::http::xml::write::Multistatus;
use crate::model::chunk_name::ChunkName;
use crate::model::http_date;
use crate::model::property::PropertyName;
use crate::model::stamp::Timestamp;
use crate::share::{Stored, UploadState};

/// The head of a 104 that says where the upload goes on if the connection breaks.
pub(crate) fn resumption_supported(url: &str, limits: &str) -> Vec<u8> {
    interim(&[("location", url), (LIMIT.as_str(), limits)])
}

/// The head of a 104 that says how far an upload has come.
pub(crate) fn upload_progress(offset: u64) -> Vec<u8> {
    interim(&[(OFFSET.as_str(), &offset.to_string())])
}

fn interim(fields: &[(&str, &str)]) -> Vec<u8> {
    let version = INTEROP_VERSION.to_string();
    let mut head = "HTTP/1.1 104 Upload Resumption Supported\r\n".to_owned();
    for (name, value) in fields.iter().chain(&[(INTEROP.as_str(), version.as_str())]) {
        head += &format!("{name}: {value}\r\n");
    }
    (head + "\r\n").into_bytes()
}

/// `Upload-Limit`: how large an upload may become, in bytes, and for how many seconds it is kept from now on.
pub(crate) fn limits_of_upload(bytes_max: Option<u64>, kept: Option<(Timestamp, Timestamp)>) -> String {
    let size = bytes_max.map(|bytes| format!("max-size={}", bytes.min(999_999_999_999_999)));
    let age = kept.map(|(until, now)| format!("max-age={}", until.since(now).as_secs()));
    let parts: Vec<_> = size.into_iter().chain(age).collect();
    // A limit has to be named even where there is none.
    if parts.is_empty() { "min-size=0".to_owned() } else { parts.join(", ") }
}

/// 201 for an upload of which more is to come.
pub(crate) fn upload_begun(url: &str, state: &UploadState, limits: &str) -> HttpResponse {
    let mut answer = HttpResponse::build(StatusCode::CREATED);
    answer.insert_header((header::LOCATION, url)).insert_header((header::CACHE_CONTROL, "no-store"));
    with_state(answer.finish(), state, Some(limits))
}

/// An answer that says where the upload is that it speaks of.
pub(crate) fn located(answer: HttpResponse, url: &str) -> HttpResponse {
    with_header(answer, header::LOCATION, url)
}

/// 204 for a part that was added.
pub(crate) fn upload_goes_on(state: &UploadState) -> HttpResponse {
    with_state(HttpResponse::build(StatusCode::NO_CONTENT).finish(), state, None)
}

/// 204 that says how far an upload has come.
pub(crate) fn upload_state(state: &UploadState, limits: &str) -> HttpResponse {
    let mut answer = HttpResponse::build(StatusCode::NO_CONTENT);
    answer.insert_header((header::CACHE_CONTROL, "no-store"));
    with_state(answer.finish(), state, Some(limits))
}

/// The answer to the end of an upload.
pub(crate) fn upload_stored(answer: HttpResponse, offset: u64) -> HttpResponse {
    with_header(with_header(answer, COMPLETE, "?1"), OFFSET, &offset.to_string())
}

/// An answer that says how an upload stands.
pub(crate) fn with_state(mut answer: HttpResponse, state: &UploadState, limits: Option<&str>) -> HttpResponse {
    answer = with_header(answer, COMPLETE, if state.is_complete { "?1" } else { "?0" });
    answer = with_header(answer, OFFSET, &state.offset.to_string());
    if let Some(length) = state.length {
        answer = with_header(answer, LENGTH, &length.to_string());
    }
    match limits {
        Some(limits) => with_header(answer, LIMIT, limits),
        None => answer,
    }
}

/// The answer to what is too large, with what is not.
pub(crate) fn too_large(answer: HttpResponse, bytes_max: Option<u64>) -> HttpResponse {
    with_header(answer, LIMIT, &limits_of_upload(bytes_max, None))
}

/// 200 with what is served for uploads.
pub(crate) fn options_of_uploads(bytes_max: Option<u64>) -> HttpResponse {
    let mut answer = HttpResponse::build(StatusCode::OK);
    answer
        .insert_header((header::ALLOW, &*allow(Allowed::Upload, None)))
        .insert_header((header::CACHE_CONTROL, "no-store"));
    takes_uploads(answer.finish(), bytes_max)
}

/// Says with the answer to OPTIONS that uploads go on here.
pub(crate) fn takes_uploads(answer: HttpResponse, bytes_max: Option<u64>) -> HttpResponse {
    let mut answer = with_header(answer, LIMIT, &limits_of_upload(bytes_max, None));
    answer.headers_mut().append(HeaderName::from_static("accept-patch"), HeaderValue::from_static(PARTIAL));
    answer
}

/// 200 with the half-done uploads of whoever asks, each with its URL if that may be told.
pub(crate) fn half_done(uploads: &[(&UploadState, Option<String>)]) -> HttpResponse {
    let uploads: Vec<_> = uploads
        .iter()
        .map(|(upload, url)| {
            json!({
                "path": Some(&upload.begun.path).filter(|path| !path.is_root()).map(urls::of),
                "url": url,
                "offset": upload.offset,
                "length": upload.length,
                "begun": upload.begun.at.rfc_3339(),
                "expires": upload.expires.rfc_3339(),
            })
        })
        .collect();
    let text = json!({ "uploads": uploads }).to_string() + "\n";
    let mut answer = HttpResponse::build(StatusCode::OK);
    answer.content_type("application/json").insert_header((header::CACHE_CONTROL, "no-store"));
    answer.insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    answer.body(text)
}

/// The status that tus has for a checksum that does not fit.
pub(super) fn checksum_mismatch() -> StatusCode {
    StatusCode::from_u16(460).expect("three digits")
}

/// An answer by the version of tus that is spoken here.
pub(crate) fn by_tus(answer: HttpResponse) -> HttpResponse {
    with_header(answer, RESUMABLE, VERSION)
}

/// 412 to a client that speaks another version of tus.
pub(crate) fn other_tus_version() -> HttpResponse {
    let problem = Problem::new(
        StatusCode::PRECONDITION_FAILED,
        "tus-version",
        "Another version of tus",
        "Tus-Resumable names the version that a client speaks; Tus-Version the one that is spoken here.",
    );
    with_header(by_tus(problem.send()), HeaderName::from_static("tus-version"), VERSION)
}

/// 204 with what of tus is served.
pub(crate) fn options_of_tus(bytes_max: Option<u64>) -> HttpResponse {
    let mut answer = HttpResponse::build(StatusCode::NO_CONTENT);
    answer.insert_header(("tus-version", VERSION));
    answer.insert_header(("tus-extension", "creation,creation-with-upload,expiration,checksum,termination"));
    answer.insert_header(("tus-checksum-algorithm", part_algorithms()));
    if let Some(bytes) = bytes_max {
        answer.insert_header(("tus-max-size", bytes.to_string()));
    }
    answer.insert_header((header::ALLOW, &*allow(Allowed::Upload, None)));
    by_tus(answer.finish())
}

/// 201 for an upload that begins, and perhaps is the file at its path already.
pub(crate) fn tus_begun(url: &str, state: &UploadState, stored: Option<&Stored>) -> HttpResponse {
    let answer = HttpResponse::build(StatusCode::CREATED).insert_header((header::LOCATION, url)).finish();
    tus_state(with_tag(answer, stored), state)
}

/// 204 for a part that was added.
pub(crate) fn tus_goes_on(state: &UploadState, stored: Option<&Stored>) -> HttpResponse {
    tus_state(with_tag(HttpResponse::build(StatusCode::NO_CONTENT).finish(), stored), state)
}

/// 200 that says how far an upload has come.
pub(crate) fn tus_told(state: &UploadState, metadata: Option<&[u8]>) -> HttpResponse {
    let mut answer = HttpResponse::build(StatusCode::OK).insert_header((header::CACHE_CONTROL, "no-store")).finish();
    if let Some(metadata) = metadata.and_then(|metadata| HeaderValue::from_bytes(metadata).ok()) {
        answer.headers_mut().insert(METADATA, metadata);
    }
    tus_state(answer, state)
}

/// An answer that says how an upload of tus stands.
pub(crate) fn tus_state(answer: HttpResponse, state: &UploadState) -> HttpResponse {
    let mut answer = with_header(answer, OFFSET, &state.offset.to_string());
    if let Some(length) = state.length {
        answer = with_header(answer, LENGTH, &length.to_string());
    }
    if state.is_complete { answer } else { with_header(answer, EXPIRES, &http_date::format(state.expires)) }
}

fn with_tag(answer: HttpResponse, stored: Option<&Stored>) -> HttpResponse {
    match stored {
        Some(stored) => with_header(answer, header::ETAG, &stored.tag.to_string()),
        None => answer,
    }
}

/// 201 for an upload in chunks that begins.
pub(crate) fn chunked_upload_made(url: &str) -> HttpResponse {
    HttpResponse::build(StatusCode::CREATED).insert_header((header::LOCATION, url)).finish()
}

/// 201 for a chunk, or 204 for one in the place of another.
pub(crate) fn chunk_stored(is_new: bool) -> HttpResponse {
    HttpResponse::build(if is_new { StatusCode::CREATED } else { StatusCode::NO_CONTENT }).finish()
}

/// 207 with an upload and its chunks: what kind each of them is, and how long.
pub(crate) fn chunks_of(place: &str, asked_for: &Propfind, chunks: &[(ChunkName, u64)]) -> HttpResponse {
    let (all, names): (bool, &[PropertyName]) = match asked_for {
        Propfind::Prop(names) => (false, names),
        Propfind::AllProp { .. } | Propfind::PropName => (true, &[]),
    };
    let (kind, length) = (PropertyName::dav("resourcetype"), PropertyName::dav("getcontentlength"));
    let mut xml = Multistatus::new(names);
    let mut tell = |href: &str, bytes: Option<u64>| {
        xml.response(href, |response| {
            let has = |name: &PropertyName| *name == kind || *name == length && bytes.is_some();
            response.propstat(DONE, |out| {
                if all || names.contains(&kind) {
                    out.resource_type(bytes.is_none());
                }
                if let Some(bytes) = bytes.filter(|_| all || names.contains(&length)) {
                    out.number("getcontentlength", bytes);
                }
            });
            response.propstat(MISSING, |out| names.iter().filter(|name| !has(name)).for_each(|name| out.name(name)));
        });
    };
    tell(&format!("{place}/"), None);
    chunks.iter().for_each(|(name, bytes)| tell(&format!("{place}/{name}"), Some(*bytes)));
    multistatus().body(xml.finish())
}
