//! Answers from the cache of small files.

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};

/// The status of an answer from the cache of small files.
pub(crate) fn hot_status(modified: bool) -> StatusCode {
    if modified { StatusCode::OK } else { StatusCode::NOT_MODIFIED }
}

/// The beginning of such an answer as it is on the wire: the status line, and these fields.
pub(crate) fn hot_head(modified: bool, fields: &[(HeaderName, HeaderValue)]) -> Box<[u8]> {
    let line = format!("HTTP/1.1 {}\r\n", hot_status(modified));
    [line.as_bytes(), &on_the_wire(fields)].concat().into()
}

/// Fields as they are on the wire.
pub(crate) fn on_the_wire(fields: &[(HeaderName, HeaderValue)]) -> Vec<u8> {
    let lines =
        fields.iter().map(|(name, value)| [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    lines.collect::<Vec<_>>().concat()
}
