//! The bodies of requests that are not stored: XML, and those where none is expected.

use crate::http::context::RequestScope;
use crate::http::headers::field;
use crate::http::limits::pace::Pace;
use crate::http::reply::HandlerError;
use crate::http::reply::RequestError;
use crate::http::xml;
use crate::http::xml::XmlError;
use std::time::Duration;

use actix_http::{Payload, RequestHead};
use actix_web::http::header;
use bytes::BytesMut;
use futures_util::StreamExt as _;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// A body of XML up to this length, in bytes, is parsed where it was received; it takes less time than the way to the blocking pool.
pub(super) const XML_AT_ONCE_MAX: usize = 4 * 1024;

/// How much is read of a body where none is expected, in bytes, and for how long; the rest is the transport's affair.
pub(super) const UNEXPECTED_BYTES_MAX: usize = 32 * 1024;

pub(super) const UNEXPECTED_TIME_MAX: Duration = Duration::from_millis(500);

/// How long a body may take that is XML, or that is to be none.
pub(super) const SHORT_TIME_MAX: Duration = Duration::from_secs(60);

/// How large such a body may be before it needs room, in bytes. Programs send less, so they never lack it.
pub(super) const XML_BYTES_FREE: usize = 16 * 1024;

/// The room that all the larger ones have together, in KiB.
pub(super) static XML_ROOM: Semaphore = Semaphore::const_new(32 * 1024);

/// A body that is XML, and its room.
#[derive(Debug)]
pub(crate) struct XmlBody {
    bytes: BytesMut,
    _room: Option<SemaphorePermit<'static>>,
}

impl std::ops::Deref for XmlBody {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads away a short body where none is expected: it may be there, but what is no body makes a request malformed.
pub(super) async fn reads_away(body: &mut Payload) -> Result<(), RequestError> {
    if matches!(body, Payload::None) {
        return Ok(());
    }
    let reading = async {
        let mut left = UNEXPECTED_BYTES_MAX;
        while let Some(chunk) = body.next().await {
            left = left.saturating_sub(chunk.map_err(|_| RequestError::BrokenBody)?.len());
            if left == 0 {
                break;
            }
        }
        Ok(())
    };
    timeout(UNEXPECTED_TIME_MAX, reading).await.unwrap_or(Ok(()))
}

/// Whether a request has no byte of a body where none is defined: with one it might mean something that is not known. A proxy may say that a
/// body comes in chunks before it knows that there is none.
pub(super) async fn has_no_body(
    app: &RequestScope,
    head: &RequestHead,
    body: &mut Payload,
) -> Result<(), HandlerError> {
    if field::announced_length(&head.headers).is_some_and(|length| length > 0) {
        return Err(RequestError::Body.into());
    }
    match Pace::of_short_body(&app.settings, 0, SHORT_TIME_MAX).next(body).await {
        Ok(None) => Ok(()),
        Ok(Some(_)) | Err(RequestError::LargeBody) => Err(RequestError::Body.into()),
        Err(wrong) => Err(wrong.into()),
    }
}

/// The body of a request that is XML, whole; empty where there is none.
pub(crate) async fn xml_body(
    app: &RequestScope,
    head: &RequestHead,
    body: &mut Payload,
) -> Result<XmlBody, HandlerError> {
    let max = xml::BODY_BYTES_MAX;
    if field::is_coded(&head.headers) {
        return Err(RequestError::CodedBody.into());
    }
    if field::announced_length(&head.headers).is_some_and(|length| length > max as u64) {
        return Err(RequestError::LargeBody.into());
    }
    let mut pace = Pace::of_short_body(&app.settings, max as u64, SHORT_TIME_MAX);
    let mut bytes = BytesMut::new();
    let mut room = None;
    while let Some(chunk) = pace.next(body).await? {
        let length = bytes.len() + chunk.len();
        if length > bytes.capacity() {
            let capacity = length.max(2 * bytes.capacity()).min(max);
            if capacity > XML_BYTES_FREE {
                take_room(&mut room, capacity)?;
            }
            bytes.reserve(capacity - bytes.len());
        }
        bytes.extend_from_slice(&chunk);
    }
    // Libraries send the XML of a LOCK as text/plain. MKCOL alone asks for the type, since its body may be anything (RFC 4918 §9.3).
    let media_type = field::text(&head.headers, header::CONTENT_TYPE).unwrap_or("application/xml");
    let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if head.method.as_str() == "MKCOL"
        && !bytes.is_empty()
        && !media_type.ends_with("/xml")
        && !media_type.ends_with("+xml")
    {
        return Err(RequestError::NotXml.into());
    }
    Ok(XmlBody { bytes, _room: room })
}

/// Takes as much of the room for XML as there is to be.
pub(super) fn take_room(room: &mut Option<SemaphorePermit<'static>>, bytes: usize) -> Result<(), HandlerError> {
    let wanted = bytes.div_ceil(1024) - room.as_ref().map_or(0, SemaphorePermit::num_permits);
    let more = XML_ROOM.try_acquire_many(wanted as u32).map_err(|_| RequestError::TooManyBodies)?;
    match room {
        Some(room) => room.merge(more),
        None => *room = Some(more),
    }
    Ok(())
}

/// Parses the body of a request that is XML: one of some length on the blocking pool, so that no other client waits for it.
pub(crate) async fn parse_xml<T: Send + 'static>(
    body: XmlBody,
    parse: fn(&[u8]) -> Result<T, XmlError>,
) -> Result<T, XmlError> {
    if body.len() <= XML_AT_ONCE_MAX {
        return parse(&body);
    }
    match tokio::task::spawn_blocking(move || parse(&body)).await {
        Ok(parsed) => parsed,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}
