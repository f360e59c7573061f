//! The request log: one line for each request that was answered. That of a request which changes something says who made it and by which way in,
//! and what was displaced: it is the audit line.

use std::net::SocketAddr;
use std::time::Instant;

use actix_http::RequestHead;
use actix_web::HttpResponse;
use actix_web::body::{BodySize, MessageBody as _};
use actix_web::http::header::{REFERER, USER_AGENT};
use actix_web::http::{Method, StatusCode, Version};

use crate::access::Caller;
use crate::http::context::RequestScope;
use crate::http::reply;
use crate::http::request::method::DavMethod;
use crate::http::request::query::{Named, without_secrets};
use crate::http::request::service_url;
use crate::http::request::target::RequestTarget;
use crate::http::wire::fast_path::Plain;
use crate::log::{self, ChangeLine, RequestLine};
use crate::model::version::VersionId;

/// The status and the word of a request whose client left before it was answered; the status is that of nginx.
const CLIENT_LEFT: (u16, &str) = (499, "client-left");

/// Whether there is one.
pub(super) fn log_is_on() -> bool {
    log::requests().is_some()
}

/// Logs the answer to a request.
pub(super) fn log_answer(app: &RequestScope, head: &RequestHead, answer: &HttpResponse, begun: Instant) {
    if !log_is_on() {
        return;
    }
    let announced = answer.headers().get("content-length").and_then(|length| length.to_str().ok()?.parse().ok());
    let bytes = match answer.body().size() {
        _ if head.method == Method::HEAD => 0,
        BodySize::Sized(bytes) => bytes,
        _ => announced.unwrap_or(0),
    };
    let displaced = answer.headers().get(reply::DISPLACED).and_then(|id| id.to_str().ok());
    let word = reply::outcome_word(answer.status());
    write_line(app, head, (answer.status().as_u16(), word), bytes, displaced, begun);
}

fn write_line(
    app: &RequestScope,
    head: &RequestHead,
    (status, outcome): (u16, &str),
    bytes: u64,
    displaced: Option<&str>,
    begun: Instant,
) {
    let Some(requests) = log::requests() else { return };
    let field = |name| head.headers.get(name).map(|value| value.as_bytes());
    let query = head.uri.query().map(without_secrets);
    let destination = head.headers.get("destination").map(|value| String::from_utf8_lossy(value.as_bytes()));
    let destination = destination.as_deref().and_then(path_of);
    let (author, restored) = (app.caller.author(), restored(head));
    let restores = restored.as_ref().and_then(|version| version.0.as_ref()).map(VersionId::as_str);
    let change = (is_change(head) || restored.is_some()).then(|| ChangeLine {
        way_in: author.word(),
        destination,
        restores,
        displaced,
    });
    requests.write(&RequestLine {
        method: head.method.as_str(),
        path: service_url::without_secrets(head.uri.path()),
        query: query.as_deref(),
        version: version(head.version),
        status,
        outcome,
        bytes,
        took: begun.elapsed(),
        peer: app.origin.address,
        user: app.caller.principal().name().as_deref(),
        referer: field(REFERER),
        user_agent: field(USER_AGENT),
        change,
    });
}

/// Logs that a request to change something has no answer, if the client leaves before: what it had begun may have been done.
#[derive(Debug)]
pub(super) struct Unanswered<'a> {
    app: &'a RequestScope,
    head: &'a RequestHead,
    begun: Instant,
    is_answered: bool,
}

impl<'a> Unanswered<'a> {
    pub(super) fn new(app: &'a RequestScope, head: &'a RequestHead, begun: Instant) -> Self {
        Self { app, head, begun, is_answered: false }
    }

    /// Logs the answer instead.
    pub(super) fn answered(mut self, answer: &HttpResponse) {
        self.is_answered = true;
        log_answer(self.app, self.head, answer, self.begun);
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if !self.is_answered && (is_change(self.head) || restored(self.head).is_some()) {
            write_line(self.app, self.head, CLIENT_LEFT, 0, None, self.begun);
        }
    }
}

/// Whether a request is one to change something, whatever came of it.
fn is_change(head: &RequestHead) -> bool {
    match DavMethod::of(&head.method) {
        DavMethod::Put
        | DavMethod::Patch
        | DavMethod::Delete
        | DavMethod::MakeCollection
        | DavMethod::Proppatch
        | DavMethod::Copy
        | DavMethod::Move
        | DavMethod::Lock
        | DavMethod::Unlock => true,
        DavMethod::Post
        | DavMethod::Get
        | DavMethod::Options
        | DavMethod::Propfind
        | DavMethod::Report
        | DavMethod::Connect
        | DavMethod::Unserved
        | DavMethod::Unknown => false,
    }
}

/// The version that a request brings back, or copies from the history, as it names it.
fn restored(head: &RequestHead) -> Option<Named> {
    let method = DavMethod::of(&head.method);
    if !matches!(method, DavMethod::Post | DavMethod::Copy) {
        return None;
    }
    let query = RequestTarget::parse(head).ok()?.query;
    if method == DavMethod::Post { query.restore } else { query.version }
}

/// The path of a URL: neither who it names, nor its query.
fn path_of(url: &str) -> Option<&str> {
    let url = url.split(['?', '#']).next()?;
    if url.starts_with('/') {
        return Some(url);
    }
    let (_, place) = url.split_once("://")?;
    Some(place.find('/').map_or("/", |at| &place[at..]))
}

/// Logs the answer to a plain request.
pub(super) fn log_plain(plain: &Plain<'_>, status: StatusCode, bytes: u64, caller: &Caller, begun: Instant) {
    let Some(requests) = log::requests() else { return };
    requests.write(&RequestLine {
        method: plain.reads.as_str(),
        path: plain.path,
        query: None,
        version: version(Version::HTTP_11),
        status: status.as_u16(),
        outcome: reply::outcome_word(status),
        bytes,
        took: begun.elapsed(),
        peer: plain.peer.as_ref().map(SocketAddr::ip),
        user: caller.principal().name().as_deref(),
        referer: plain.referer,
        user_agent: plain.user_agent,
        change: None,
    });
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_url_has_neither_its_host_nor_its_query() {
        for (url, path) in [
            ("/a/b", Some("/a/b")),
            ("/a://b/c", Some("/a://b/c")),
            ("http://nas/caf\u{e9}.txt", Some("/caf\u{e9}.txt")),
            ("http://bob:secret@nas:80/a?secret/b", Some("/a")),
            ("http://nas?secret/b", Some("/")),
            ("http://nas", Some("/")),
            ("/a#secret", Some("/a")),
            ("a/b", None),
            ("", None),
        ] {
            assert_eq!(path_of(url), path, "{url}");
        }
    }
}
