//! What was done, or is sent.

use crate::http::headers::update_range;
use crate::http::reply::allow::allow;
use crate::http::reply::dav::left_out;
use crate::http::request::method::Allowed;
use crate::http::request::query::TakenWord;
use crate::http::urls;
use crate::model::http_date;
use crate::model::path::SharePath;
use crate::model::stamp::Timestamp;
use crate::model::version::VersionId;
use crate::share::{Relocated, Removed, Stored};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName};
use actix_web::{HttpResponse, HttpResponseBuilder};

/// Names the version that a change has displaced.
pub(crate) const DISPLACED: HeaderName = HeaderName::from_static("noclobber-displaced");

/// Names the kinds of patches that are taken (RFC 5789 §3.1).
pub(super) const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

/// The classes of WebDAV that are served (RFC 4918 §18), the extended MKCOL of RFC 5689, and the partial updates of SabreDAV.
pub(super) const CLASSES: &str = "1, 2, 3, extended-mkcol, sabredav-partialupdate";

/// 201 or 204 for what was stored, with the validators of exactly what was sent (RFC 9110 §9.3.4).
pub(crate) fn stored(path: &SharePath, stored: &Stored, now: Timestamp) -> HttpResponse {
    let status = if stored.created { StatusCode::CREATED } else { StatusCode::NO_CONTENT };
    let mut answer = HttpResponse::build(status);
    answer.insert_header((header::ETAG, stored.tag.to_string()));
    // The very date, or none: the client is to find what it was told when it reads.
    if stored.modified.seconds() <= now.seconds() {
        answer.insert_header((header::LAST_MODIFIED, http_date::format(stored.modified)));
    }
    if stored.created {
        answer.insert_header((header::LOCATION, urls::of(path)));
    }
    if stored.is_dated_as_asked {
        answer.insert_header(("x-oc-mtime", "accepted"));
    }
    name_displaced(&mut answer, stored.displaced.as_ref());
    answer.finish()
}

/// 201 for a new folder.
pub(crate) fn made(path: &SharePath) -> HttpResponse {
    HttpResponse::build(StatusCode::CREATED).insert_header((header::LOCATION, urls::of_folder(path))).finish()
}

/// 201 or 204 for what was moved or copied.
pub(crate) fn relocated(to: &SharePath, is_collection: bool, relocated: &Relocated) -> HttpResponse {
    if !relocated.left_out.is_empty() {
        return left_out(&relocated.left_out);
    }
    let status = if relocated.created { StatusCode::CREATED } else { StatusCode::NO_CONTENT };
    let mut answer = HttpResponse::build(status);
    if relocated.created {
        answer.insert_header((header::LOCATION, if is_collection { urls::of_folder(to) } else { urls::of(to) }));
    }
    if let Some(tag) = &relocated.tag {
        answer.insert_header((header::ETAG, tag.to_string()));
    }
    if relocated.is_dated_as_asked {
        answer.insert_header(("x-oc-mtime", "accepted"));
    }
    name_displaced(&mut answer, relocated.displaced.as_ref());
    answer.finish()
}

/// 204: done, and nothing to say.
pub(crate) fn done() -> HttpResponse {
    HttpResponse::build(StatusCode::NO_CONTENT).finish()
}

/// 204 for what was removed.
pub(crate) fn removed(removed: &Removed) -> HttpResponse {
    let mut answer = HttpResponse::build(StatusCode::NO_CONTENT);
    name_displaced(&mut answer, removed.displaced.as_ref());
    answer.finish()
}

/// Names the version that what was there has become: it opens with `?version=` at the path that was changed, and comes back with
/// `?restore=`.
pub(super) fn name_displaced(answer: &mut HttpResponseBuilder, displaced: Option<&VersionId>) {
    if let Some(id) = displaced {
        answer.insert_header((DISPLACED, id.as_str()));
    }
}

/// 200 with what is served here: old clients take no 204 for it.
pub(crate) fn options(there: Allowed, words: Option<TakenWord>) -> HttpResponse {
    let mut answer = HttpResponse::build(StatusCode::OK);
    answer.insert_header(("dav", CLASSES)).insert_header(("ms-author-via", "DAV"));
    answer.insert_header((header::ALLOW, &*allow(there, words))).insert_header((header::CACHE_CONTROL, "no-store"));
    if matches!(there, Allowed::OnFiles | Allowed::Somewhere) && words.is_none() {
        answer.insert_header((ACCEPT_PATCH, update_range::MEDIA_TYPE));
    }
    answer.insert_header((header::ACCEPT_RANGES, "bytes")).finish()
}

/// 200.
pub(crate) fn found() -> HttpResponseBuilder {
    HttpResponse::build(StatusCode::OK)
}

/// 206.
pub(crate) fn partial() -> HttpResponseBuilder {
    HttpResponse::build(StatusCode::PARTIAL_CONTENT)
}

/// 304.
pub(crate) fn not_modified() -> HttpResponseBuilder {
    HttpResponse::build(StatusCode::NOT_MODIFIED)
}

/// 412 that brings the current representation along (RFC 8144 §3.2).
pub(crate) fn precondition_failed_with_current() -> HttpResponseBuilder {
    let mut answer = HttpResponse::build(StatusCode::PRECONDITION_FAILED);
    answer.insert_header(("preference-applied", "return=representation"));
    answer
}
