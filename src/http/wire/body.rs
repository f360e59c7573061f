//! Response bodies that send a file: handed to the connection for `sendfile`, or copied through memory.
//! Both announce an exact length, and both end the connection instead of the answer when the file grew shorter or was changed in place,
//! so that a strong entity tag is never completed with bytes of two versions. Neither ever opens, locks or names a file.

use crate::http::wire::send_file::{Job, Jobs};
use crate::http::wire::source::{FileBytes, changed, read_at_once, read_fully};
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::task::{JoinHandle, spawn_blocking};

/// How much is copied at once, in bytes.
const PIECE: u64 = 64 * 1024;

/// How much a copying body gives before the other connections of the worker have their turn, in bytes.
const BURST_BYTES_MAX: u64 = 1024 * 1024;

/// A piece of a composed answer (`multipart/byteranges`).
#[derive(Debug, Clone)]
pub enum Part {
    /// Bytes of our own: boundaries and the headers of a part.
    Bytes(Bytes),
    /// Bytes of the file.
    File(Range<u64>),
}

impl Part {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(range) => range.end.saturating_sub(range.start),
        }
    }
}

/// Answers with a piece of a file: by `sendfile` where the connection can, else by copying. To HEAD it gives the length and no bytes.
///
/// The status and every header but `Content-Length` are the caller's. The range must lie within the file.
pub fn file(
    request: &HttpRequest,
    mut answer: HttpResponseBuilder,
    source: Arc<dyn FileBytes>,
    range: Range<u64>,
) -> HttpResponse {
    let length = range.end.saturating_sub(range.start);
    if request.method() == Method::HEAD || length == 0 {
        return answer.body(BoxBody::new(LengthOnly(length)));
    }
    match request.conn_data::<Jobs>() {
        Some(jobs) => {
            // "No chunking" writes the length by hand and lets the bytes bypass actix's buffer.
            answer.no_chunking(length);
            answer.body(BoxBody::new(SendBody { jobs: jobs.clone(), job: Some(Job::new(source, range)) }))
        }
        None => answer.body(BoxBody::new(CopyBody::new(source, [Part::File(range)]))),
    }
}

/// Answers with several pieces, by copying. To HEAD it gives the length and no bytes.
pub fn parts(
    request: &HttpRequest,
    mut answer: HttpResponseBuilder,
    source: Arc<dyn FileBytes>,
    parts: impl IntoIterator<Item = Part>,
) -> HttpResponse {
    let body = CopyBody::new(source, parts);
    if request.method() == Method::HEAD {
        return answer.body(BoxBody::new(LengthOnly(body.length)));
    }
    answer.body(BoxBody::new(body))
}

/// The body of an answer to HEAD: the length that GET would have.
///
/// `finish()` would say `Content-Length: 0`; this says the truth and sends nothing.
#[derive(Debug, Clone, Copy)]
pub struct LengthOnly(pub u64);

impl MessageBody for LengthOnly {
    type Error = io::Error;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.0)
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        Poll::Ready(None)
    }
}

/// A body whose bytes the connection sends by itself.
#[derive(Debug)]
struct SendBody {
    jobs: Jobs,
    job: Option<Job>,
}

impl MessageBody for SendBody {
    type Error = io::Error;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if let Some(job) = self.job.take() {
            self.jobs.put(job);
        }
        ready!(self.jobs.poll_finished(cx));
        Poll::Ready(None)
    }
}

/// A body that copies the file through memory, piece by piece.
#[derive(Debug)]
pub struct CopyBody {
    source: Arc<dyn FileBytes>,
    parts: VecDeque<Part>,
    length: u64,
    file_bytes_left: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    burst: u64,
}

impl CopyBody {
    /// A body made of these parts, in this order.
    pub fn new(source: Arc<dyn FileBytes>, parts: impl IntoIterator<Item = Part>) -> Self {
        let parts: VecDeque<Part> = parts.into_iter().filter(|part| part.len() > 0).collect();
        let length = parts.iter().map(Part::len).sum();
        let file_bytes_left = parts.iter().map(|part| if matches!(part, Part::File(_)) { part.len() } else { 0 }).sum();
        Self { source, parts, length, file_bytes_left, reading: None, burst: 0 }
    }

    /// Takes note of bytes of the file that have been read, and withholds the last of them if the file is not what it was.
    fn read(&mut self, bytes: Bytes) -> io::Result<Bytes> {
        let read = bytes.len() as u64;
        let Some(Part::File(range)) = self.parts.front_mut() else { unreachable!("only a part of the file is read") };
        range.start += read;
        if range.start >= range.end {
            self.parts.pop_front();
        }
        self.file_bytes_left -= read;
        self.burst += read;
        if self.file_bytes_left == 0 && !self.source.still_the_same() {
            return Err(changed());
        }
        Ok(bytes)
    }
}

impl MessageBody for CopyBody {
    type Error = io::Error;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.length)
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let this = self.get_mut();
        loop {
            if let Some(reading) = &mut this.reading {
                let read = ready!(Pin::new(reading).poll(cx)).map_err(io::Error::other);
                this.reading = None;
                return Poll::Ready(Some(read.flatten().and_then(|bytes| this.read(bytes))));
            }
            if this.burst >= BURST_BYTES_MAX {
                this.burst = 0;
                let _ = pin!(tokio::task::yield_now()).poll(cx);
                return Poll::Pending;
            }
            let range = match this.parts.front() {
                None => return Poll::Ready(None),
                Some(Part::File(range)) => range.clone(),
                Some(Part::Bytes(_)) => {
                    let Some(Part::Bytes(bytes)) = this.parts.pop_front() else { unreachable!("just seen") };
                    return Poll::Ready(Some(Ok(bytes)));
                }
            };
            let wanted = (range.end - range.start).min(PIECE);
            match read_at_once(&*this.source, range.start, wanted) {
                Ok(Some(bytes)) => return Poll::Ready(Some(this.read(bytes))),
                Ok(None) => {
                    let source = Arc::clone(&this.source);
                    this.reading = Some(spawn_blocking(move || read_fully(&*source, range.start, wanted)));
                }
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}
