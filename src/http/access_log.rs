//! The request log: one line for each request that was answered.

use crate::http::reply;
use crate::log::escaped;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use actix_http::RequestHead;
use actix_web::HttpResponse;
use actix_web::body::{BodySize, MessageBody as _};

pub(super) fn log_is_on() -> bool {
    tracing::enabled!(target: "noclobber::request", tracing::Level::INFO)
}

pub(super) fn log_answer(head: &RequestHead, answer: &HttpResponse, begun: Instant) {
    if !log_is_on() {
        return;
    }
    let announced = answer.headers().get("content-length").and_then(|length| length.to_str().ok()?.parse().ok());
    let bytes = match answer.body().size() {
        BodySize::Sized(bytes) => bytes,
        _ => announced.unwrap_or(0),
    };
    log(&LoggedRequest::of(head), answer.status(), bytes, begun);
}

/// What the log says of a request.
pub(super) struct LoggedRequest<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) peer: Option<SocketAddr>,
}

impl<'a> LoggedRequest<'a> {
    pub(super) fn of(head: &'a RequestHead) -> Self {
        Self { method: head.method.as_str(), path: head.uri.path(), peer: head.peer_addr }
    }
}

/// One line a request: method, path, status, bytes, time, and a word for the outcome.
pub(super) fn log(asked: &LoggedRequest<'_>, status: actix_web::http::StatusCode, bytes: u64, begun: Instant) {
    let peer = asked.peer.map(|peer| peer.ip()).unwrap_or(IpAddr::from([0, 0, 0, 0]));
    tracing::info!(
        target: "noclobber::request",
        method = asked.method,
        path = %escaped(asked.path),
        status = status.as_u16(),
        bytes,
        microseconds = begun.elapsed().as_micros() as u64,
        outcome = reply::outcome_word(status),
        %peer,
    );
}
