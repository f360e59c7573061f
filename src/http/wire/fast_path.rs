//! The edge: a plain GET or HEAD that has come alone and whole is read here, before actix-web sees it, and answered from memory where the
//! methods can. It takes only what it knows to be harmless and leaves all else, untouched, to the way that every request can take; so both ways
//! give the same answer. What is no request at all is refused here, by the same words as everything else. It never waits, and never knows a
//! status.

use std::cell::{Cell, RefCell};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Wake, Waker};

use actix_http::Response;
use actix_web::body::{BodySize, BoxBody, MessageBody as _};
use actix_web::http::{Method, Uri};
use bytes::Bytes;
use httparse::{Header, Request, Status};
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use tokio::runtime::Handle;

use crate::model::http_date;
use crate::model::stamp::Timestamp;

use crate::http::clock;
use crate::http::wire::rejection::Rejection;

/// More fields than this are not plain. Browsers send about fifteen.
const FIELDS_MAX: usize = 24;

/// Fields that change nothing about the answer to a plain request, besides those that are understood here.
const HARMLESS: [&str; 14] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "dnt",
    "pragma",
    "priority",
    "sec-ch-ua",
    "sec-ch-ua-mobile",
    "sec-ch-ua-platform",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "sec-fetch-user",
    "upgrade-insecure-requests",
];

/// A request that asks for a file and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plain<'a> {
    /// The method.
    pub reads: Reads,
    /// The path as it was sent, without a query.
    pub path: &'a str,
    /// The `Host`.
    pub host: &'a str,
    /// The only line of `If-None-Match`.
    pub if_none_match: Option<&'a [u8]>,
    /// `Authorization`.
    pub authorization: Option<&'a [u8]>,
    /// `Cookie`.
    pub cookie: Option<&'a [u8]>,
    /// `Referer`, for the log.
    pub referer: Option<&'a [u8]>,
    /// `User-Agent`, for the log.
    pub user_agent: Option<&'a [u8]>,
    /// The client's address; a Unix socket has none.
    pub peer: Option<SocketAddr>,
    /// Whether it came over TLS.
    pub is_encrypted: bool,
    /// The round of the worker (from one look at its sockets to the next) that found the request there, if that is known. A `statx` that is
    /// made in the same round comes after the request, and may serve others of that round.
    pub round: Option<u64>,
}

/// The methods that can be plain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// GET.
    Get,
    /// HEAD.
    Head,
}

impl Reads {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
        }
    }
}

/// Takes an answer: its head up to `Date`, in pieces, and its body. A body that is to be sent later is kept by its handle.
pub type Say<'a> = dyn FnMut(&[&[u8]], &Bytes) + 'a;

/// Takes an answer: its whole head, and its body.
pub(crate) type SendAnswer<'a> = dyn FnMut(&[u8], &Bytes) + 'a;

/// What answers at the edge of a connection.
pub(crate) trait Edge {
    /// Sends the answer to the request that these bytes are, if they are exactly one plain request that can be answered from memory.
    ///
    /// `was_drained` tells that the socket had been found empty before: then the worker has been told of these bytes by its look at all
    /// sockets, and they had come when it looked.
    fn answer(&self, bytes: &[u8], peer: Option<SocketAddr>, was_drained: bool, send: &mut SendAnswer<'_>) -> bool;

    /// The answer to what is no request, of whose first line this has come; the last on its connection.
    fn refuse(&self, line: &[u8], rejection: Rejection, peer: Option<SocketAddr>) -> Bytes;
}

/// What a request line names, as far as it can be read: for the answer to what is no request, and the log.
pub(crate) fn named_in(line: &[u8]) -> (Method, Uri) {
    /// What no target may hold, besides what is no ASCII.
    const NONE_OF_A_TARGET: &AsciiSet =
        &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'\\').add(b'`');
    let (method, rest) = line.split_at(line.iter().position(|byte| *byte == b' ').unwrap_or(line.len()));
    let rest = rest.trim_ascii();
    let version = rest.windows(6).rposition(|window| window == b" HTTP/");
    let target = percent_encode(&rest[..version.unwrap_or(rest.len())], NONE_OF_A_TARGET).to_string();
    let nameless = || Method::from_bytes(b"-").expect("a token");
    let method = Method::from_bytes(method).unwrap_or_else(|_| nameless());
    (method, Uri::try_from(target).unwrap_or_else(|_| Uri::from_static("*")))
}

/// An answer as it is on the wire, that says that it is the last.
pub(crate) fn last_on_the_wire(answer: Response<BoxBody>, method: &Method) -> Bytes {
    let length = if let BodySize::Sized(length) = answer.body().size() { length } else { 0 };
    let (status, headers) = (answer.status(), answer.headers().clone());
    let body = answer.into_body().try_into_bytes().ok().filter(|_| method != Method::HEAD).unwrap_or_default();
    let mut wire = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n").into_bytes();
    for (name, value) in &headers {
        wire.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    wire.extend_from_slice(b"\r\n");
    wire.extend_from_slice(&body);
    wire.into()
}

/// The largest plain request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) head_bytes_max: usize,
    pub(crate) path_bytes_max: usize,
}

impl Bounds {
    /// Reads a plain request; `None` if these bytes are anything else, or more or less than one.
    pub(crate) fn read<'a>(&self, bytes: &'a [u8]) -> Option<Plain<'a>> {
        if bytes.len() > self.head_bytes_max || !bytes.starts_with(b"GET /") && !bytes.starts_with(b"HEAD /") {
            return None;
        }
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let mut request = Request::new(&mut []);
        let Ok(Status::Complete(length)) = request.parse_with_uninit_headers(bytes, &mut fields) else { return None };
        if length != bytes.len() || request.version != Some(1) {
            return None;
        }
        let reads = match request.method? {
            "GET" => Reads::Get,
            "HEAD" => Reads::Head,
            _ => return None,
        };
        let path = request.path.filter(|path| path.len() <= self.path_bytes_max && !path.contains(['?', '#']))?;
        understood(reads, path, request.headers)
    }
}

/// A request with these fields: one `Host` and at most one `If-None-Match`; `None` if there is more than can be understood here.
fn understood<'a>(reads: Reads, path: &'a str, fields: &[Header<'a>]) -> Option<Plain<'a>> {
    let (mut host, mut if_none_match, mut referer, mut user_agent) = (None, None, None, None);
    let (mut authorization, mut cookie) = (None, None);
    for field in fields {
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        if is("host") {
            let before = host.replace(str::from_utf8(field.value).ok()?);
            before.is_none().then_some(())?;
        } else if is("if-none-match") {
            if_none_match.replace(field.value).is_none().then_some(())?;
        } else if is("authorization") {
            authorization.replace(field.value).is_none().then_some(())?;
        } else if is("cookie") {
            cookie.replace(field.value).is_none().then_some(())?;
        } else if is("user-agent") {
            user_agent = Some(field.value);
        } else if is("referer") {
            referer = Some(field.value);
        } else if is("sec-fetch-site") {
            // What a page of another site may have shown is decided elsewhere.
            matches!(field.value, b"same-origin" | b"none").then_some(())?;
        } else if is("connection") {
            field.value.eq_ignore_ascii_case(b"keep-alive").then_some(())?;
        } else {
            HARMLESS.iter().any(|harmless| is(harmless)).then_some(())?;
        }
    }
    let host = host?;
    let (peer, round, is_encrypted) = (None, None, false);
    Some(Plain {
        reads,
        path,
        host,
        if_none_match,
        authorization,
        cookie,
        referer,
        user_agent,
        peer,
        is_encrypted,
        round,
    })
}

/// Counts the rounds of a worker: from one look at its sockets to the next.
///
/// A request that has been there since the look with which a round began was asked before anything that is done in that round. So one look
/// at a file is enough for all those that ask for it in one round, and one walk to a folder for those that ask for files in it; each of
/// them still gets what was true after it had asked.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    ended: Arc<Ended>,
    /// The round whose end will be told.
    awaited: Cell<Option<u64>>,
    /// How often the worker had slept at the last request.
    slept: Cell<Option<u64>>,
}

/// How many rounds have ended.
#[derive(Debug, Default)]
struct Ended(AtomicU64);

impl Wake for Ended {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Rounds {
    /// The present round, if it has more than one request: a round that is counted costs one look at the sockets.
    pub(crate) fn present(&self) -> Option<u64> {
        let round = self.ended.0.load(Ordering::Relaxed);
        if self.awaited.get() == Some(round) {
            return Some(round);
        }
        let slept = Some(Handle::try_current().ok()?.metrics().worker_park_count(0));
        if self.slept.replace(slept) != slept {
            return None;
        }
        // The runtime wakes what has yielded just after it has looked at the sockets, and before anything that they have woken goes on.
        self.awaited.set(Some(round));
        let waker = Waker::from(Arc::clone(&self.ended));
        let _ = pin!(tokio::task::yield_now()).poll(&mut Context::from_waker(&waker));
        Some(round)
    }
}

/// The fields that end the head of an answer: `Date` and the empty line. Written anew once a second.
#[derive(Debug)]
pub(crate) struct HeadTail {
    second: Cell<i64>,
    text: RefCell<Vec<u8>>,
}

impl HeadTail {
    pub(crate) fn new() -> Self {
        Self { second: Cell::new(i64::MIN), text: RefCell::default() }
    }

    /// Puts the ending behind a head.
    pub(crate) fn put(&self, head: &mut Vec<u8>) {
        let second = clock::second();
        let mut text = self.text.borrow_mut();
        if self.second.replace(second) != second {
            let date = http_date::format(Timestamp::new(second, 0));
            *text = format!("date: {date}\r\n\r\n").into_bytes();
        }
        head.extend_from_slice(&text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_line_names_is_told_as_far_as_it_can_be_read() {
        for (line, method, target) in [
            (&b"GET /a?b HTTP/1.1\r\n"[..], "GET", "/a?b"),
            (b"PUT /caf\xe9 HTTP/1.1\n", "PUT", "/caf%E9"),
            (b"GET /a b HTTP/1.1", "GET", "/a%20b"),
            (b"GET /a\x07\0\x7f HTTP/2.0\r\n", "GET", "/a%07%00%7F"),
            (b"GET /a HTTP/1", "GET", "/a"),
            (b"HEAD /a", "HEAD", "/a"),
            (b"HEAD ", "HEAD", "*"),
            (b"GE", "GE", "*"),
            (b"(GET /a HTTP/1.1", "-", "/a"),
            (b"\x16\x03\x01", "-", "*"),
            (b"", "-", "*"),
        ] {
            let (read, uri) = named_in(line);
            assert_eq!((read.as_str(), uri.to_string().as_str()), (method, target), "{}", line.escape_ascii());
        }
    }
}
