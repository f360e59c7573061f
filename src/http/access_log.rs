//! The request log: one line for each request that was answered.

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
use crate::http::request::query::without_secrets;
use crate::http::wire::fast_path::Plain;
use crate::log::{self, RequestLine};

/// Whether there is one.
pub(super) fn log_is_on() -> bool {
    log::requests().is_some()
}

/// Logs the answer to a request.
pub(super) fn log_answer(app: &RequestScope, head: &RequestHead, answer: &HttpResponse, begun: Instant) {
    let Some(requests) = log::requests() else { return };
    let announced = answer.headers().get("content-length").and_then(|length| length.to_str().ok()?.parse().ok());
    let bytes = match answer.body().size() {
        _ if head.method == Method::HEAD => 0,
        BodySize::Sized(bytes) => bytes,
        _ => announced.unwrap_or(0),
    };
    let field = |name| head.headers.get(name).map(|value| value.as_bytes());
    let query = head.uri.query().map(without_secrets);
    requests.write(&RequestLine {
        method: head.method.as_str(),
        path: head.uri.path(),
        query: query.as_deref(),
        version: version(head.version),
        status: answer.status().as_u16(),
        outcome: reply::outcome_word(answer.status()),
        bytes,
        took: begun.elapsed(),
        peer: app.origin.address,
        user: app.caller.principal().name().as_deref(),
        referer: field(REFERER),
        user_agent: field(USER_AGENT),
    });
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
