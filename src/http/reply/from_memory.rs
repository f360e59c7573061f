//! Answers from the cache of small files.

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};

/// The head of an answer as it is on the wire, up to `Date`: 200 for so many bytes, or 304.
pub(crate) fn on_the_wire(length: Option<usize>, headers: &[(HeaderName, HeaderValue)]) -> Box<[u8]> {
    let mut head = match length {
        Some(length) => format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n").into_bytes(),
        None => b"HTTP/1.1 304 Not Modified\r\n".to_vec(),
    };
    for (name, value) in headers {
        head.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    head.into()
}

/// The status of an answer from the cache of small files.
pub(crate) fn hot_status(modified: bool) -> StatusCode {
    if modified { StatusCode::OK } else { StatusCode::NOT_MODIFIED }
}
