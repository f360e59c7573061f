//! One request at a time: a connection gives its dispatcher the bytes of one request, and holds back what follows until the answer has left.
//! actix decodes ahead, and what it then knows of a later request (HEAD, the version, `Connection`) would shape the answer to an earlier one.
//! On the way the request line is looked at for a `#`, which no handler would ever see, and a head that is too large is
//! cut off. All other bytes are held, never changed and never dropped.

use crate::http::body::broken_off;
use actix_http::{Payload, Request};
use actix_web::HttpMessage as _;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::http::header::{CONTENT_LENGTH, UPGRADE};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::io::BufRead as _;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// More fields than the parser takes of one head: 96.
const FIELDS_TOO_MANY: usize = 100;

/// Whose turn it is on a connection. Shared by the connection, which reads, and the service, which knows where a request ends.
#[derive(Clone, Debug)]
pub struct Turn(Rc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    head_bytes_max: usize,
    state: Cell<State>,
    fragment: Cell<bool>,
    too_large: Cell<bool>,
    goes_on: Cell<bool>,
    reader: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// The client's: a head is expected, or has begun.
    Head(Head),
    /// The client's: so many bytes of the body are still to come.
    Body(u64),
    /// The client's until the answer has left: a body that says by itself where it ends.
    Chunks,
    /// Ours: the head is complete, or the body too.
    Ours,
    /// Nothing that comes is a request any more; so many bytes of it are read, only to be thrown away.
    Over(u64),
}

impl Default for State {
    fn default() -> Self {
        Self::Head(Head::default())
    }
}

/// How far a head has come.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    bytes: usize,
    begun: bool,
    request_line_ended: bool,
    line: Line,
}

/// What is known of the line that is being read.
#[derive(Clone, Copy, Debug, Default)]
enum Line {
    #[default]
    Empty,
    /// A carriage return and nothing else, which may be half of an empty line.
    Return,
    Filled,
}

impl Turn {
    /// The client's: a head of at most so many bytes is expected.
    pub(crate) fn new(head_bytes_max: usize) -> Self {
        Self(Rc::new(Inner { head_bytes_max, ..Inner::default() }))
    }

    /// Says how many of these bytes belong to the present request.
    pub(crate) fn admit(&self, bytes: &[u8]) -> usize {
        match self.0.state.get() {
            State::Head(head) => self.admit_head(head, bytes),
            State::Body(left) => {
                let admitted = left.min(bytes.len() as u64);
                self.0.state.set(if admitted == left { State::Ours } else { State::Body(left - admitted) });
                admitted as usize
            }
            State::Over(left) => {
                self.0.state.set(State::Over(left.saturating_sub(bytes.len() as u64)));
                bytes.len()
            }
            State::Chunks => bytes.len(),
            State::Ours => 0,
        }
    }

    fn admit_head(&self, mut head: Head, bytes: &[u8]) -> usize {
        let (before, mut rest) = (head.bytes, bytes);
        while !rest.is_empty() {
            let mut after = rest;
            let Ok(length) = after.skip_until(b'\n') else { break };
            let line = &rest[..length];
            rest = after;
            head.bytes = before + bytes.len() - rest.len();
            let ended = line.ends_with(b"\n");
            let empty = match head.line {
                Line::Empty => matches!(line, b"\n" | b"\r\n"),
                Line::Return => line == b"\n",
                Line::Filled => false,
            };
            if empty {
                head.line = Line::Empty;
                if head.request_line_ended {
                    self.0.too_large.set(head.bytes > self.0.head_bytes_max);
                    self.0.state.set(State::Ours);
                    return bytes.len() - rest.len();
                }
                // An empty line before the request line is skipped (RFC 9112 §2.2).
                continue;
            }
            if !head.request_line_ended && line.contains(&b'#') {
                self.0.fragment.set(true);
            }
            head.begun = true;
            head.request_line_ended |= ended;
            head.line = match (ended, head.line, line) {
                (true, _, _) => Line::Empty,
                (false, Line::Empty, b"\r") => Line::Return,
                (false, _, _) => Line::Filled,
            };
        }
        self.0.state.set(State::Head(head));
        bytes.len()
    }

    /// Whether the client's bytes are to be held back.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(self.0.state.get(), State::Ours)
    }

    /// Whether a head has begun and is not complete.
    pub(crate) fn head_begun(&self) -> bool {
        matches!(self.0.state.get(), State::Head(head) if head.begun)
    }

    /// Whether nothing of a head has come.
    pub(crate) fn head_awaited(&self) -> bool {
        matches!(self.0.state.get(), State::Head(head) if !head.begun)
    }

    /// Ends a head that has grown too large before it was complete: what the parser is to be given in place of all that follows.
    ///
    /// That never makes a request of it, for it has no empty line; it makes it a head with too many fields, which the parser answers with
    /// 431, or with 400 where it cannot be a head at all. So the refusal leaves in its order, after the answers to earlier requests.
    pub(crate) fn cut_off(&self) -> Option<Vec<u8>> {
        let State::Head(head) = self.0.state.get() else { return None };
        if head.bytes <= self.0.head_bytes_max {
            return None;
        }
        self.is_over();
        let line_end: &[u8] = if matches!(head.line, Line::Filled) { b":\r\n" } else { b"" };
        Some([line_end, &b"a:\r\n".repeat(FIELDS_TOO_MANY)].concat())
    }

    /// Whether a request that comes now may be answered before the dispatcher sees it: one has been answered, after which the connection is
    /// kept, and nothing of the next has come.
    pub(crate) fn may_be_skipped(&self) -> bool {
        self.0.goes_on.get() && matches!(self.0.state.get(), State::Head(Head { bytes: 0, .. }))
    }

    /// Says whether the connection is kept after the present request.
    pub(crate) fn goes_on(&self, goes_on: bool) {
        self.0.goes_on.set(goes_on);
    }

    /// Remembers whom to wake when the client's turn comes.
    pub(crate) fn wait(&self, cx: &Context<'_>) {
        self.0.reader.replace(Some(cx.waker().clone()));
    }

    /// The head has been parsed: lets its body through, if there is one. May be told twice of one request.
    pub(crate) fn begin(&self, request: &mut Request) {
        if !matches!(self.0.state.get(), State::Ours | State::Head(_)) || matches!(request.payload(), Payload::None) {
            return;
        }
        // What is upgraded has no length, whatever it says.
        let headers = request.headers();
        let length = headers.get(CONTENT_LENGTH).filter(|_| !headers.contains_key(UPGRADE));
        let length = length.and_then(|length| length.to_str().ok()?.trim().parse().ok());
        self.give(match length {
            Some(0) => State::Ours,
            Some(length) => State::Body(length),
            None => State::Chunks,
        });
    }

    /// How much of the present body has not come yet, as far as its head told; in bytes.
    pub(crate) fn to_come(&self) -> u64 {
        match self.0.state.get() {
            State::Body(left) => left,
            State::Head(_) | State::Chunks | State::Ours | State::Over(_) => 0,
        }
    }

    /// Whether the request line held a `#`; forgets it.
    pub(crate) fn had_fragment(&self) -> bool {
        self.0.fragment.take()
    }

    /// Whether the complete head was too large all the same; forgets it.
    pub(crate) fn was_too_large(&self) -> bool {
        self.0.too_large.take()
    }

    /// The rest of this connection is no request: the answer that leaves now is its last.
    pub(crate) fn is_over(&self) {
        self.is_over_after(u64::MAX);
    }

    /// The same, and no more than so many bytes of what still comes are worth reading: a client that sends on and on is cut off.
    pub(crate) fn is_over_after(&self, bytes: u64) {
        self.goes_on(false);
        self.give(State::Over(bytes));
    }

    /// Whether enough was read of what is only thrown away.
    pub(crate) fn had_enough(&self) -> bool {
        matches!(self.0.state.get(), State::Over(0))
    }

    /// The answer has left: the next request may come.
    fn next(&self) {
        if !matches!(self.0.state.get(), State::Over(_)) {
            self.give(State::default());
        }
    }

    fn give(&self, state: State) {
        self.0.state.set(state);
        let Some(reader) = self.0.reader.take() else { return };
        // Not at once: the worker looks at its other sockets first.
        let _ = pin!(tokio::task::yield_now()).poll(&mut Context::from_waker(&reader));
    }
}

/// The body of an answer, at whose end the turn goes to the client.
#[derive(Debug)]
pub(crate) struct InTurn {
    body: BoxBody,
    turn: Option<Turn>,
}

impl InTurn {
    pub(crate) fn new(body: BoxBody, turn: Option<Turn>) -> Self {
        Self { body, turn }
    }
}

impl MessageBody for InTurn {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let next = std::task::ready!(Pin::new(&mut self.body).poll_next(cx));
        Poll::Ready(next.map(|next| next.inspect_err(broken_off)))
    }
}

impl Drop for InTurn {
    fn drop(&mut self) {
        if let Some(turn) = &self.turn {
            turn.next();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However the bytes are cut, the same head is found.
    #[test]
    fn a_head_ends_at_its_empty_line() {
        for (bytes, length, fragment) in [
            (&b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /b"[..], 27, false),
            (b"GET / HTTP/1.1\nHost: a\n\nGET /b", 24, false),
            (b"\r\n\r\nGET / HTTP/1.1\r\n\r\nrest", 22, false),
            (b"\nGET / HTTP/1.1\n\r\nrest", 18, false),
            (b"DELETE /a#b HTTP/1.1\r\n\r\nrest", 24, true),
            (b"PUT /a HTTP/1.1\r\nX: #\r\n\r\n#", 25, false),
            (b"GET / HTTP/1.1\r\nX: \r \r\r\n\r\nrest", 26, false),
        ] {
            for cut in 0..length {
                let turn = Turn::new(100);
                assert_eq!(turn.admit(&bytes[..cut]), cut);
                assert!(!turn.is_ours(), "{cut}: {}", bytes.escape_ascii());
                assert_eq!(turn.admit(&bytes[cut..]), length - cut, "{cut}: {}", bytes.escape_ascii());
                assert!(turn.is_ours());
                assert!(!turn.was_too_large());
                assert_eq!(turn.had_fragment(), fragment, "{cut}: {}", bytes.escape_ascii());
            }
        }
    }

    /// Whether it is complete or not, and wherever it is cut; and never does its end make a request of it.
    #[test]
    fn a_head_that_is_too_large_is_known() {
        let bytes = b"\r\nGET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
        for max in [0, 1, 2, 10, 18, 19, 20, 28, 34, bytes.len() - 1] {
            for cut in 0..bytes.len() {
                let turn = Turn::new(max);
                assert_eq!(turn.admit(&bytes[..cut]), cut);
                let Some(end) = turn.cut_off() else {
                    assert!(cut <= max, "{max}: nothing is said of {cut}");
                    turn.admit(&bytes[cut..]);
                    assert!(turn.was_too_large(), "{max}, {cut}");
                    continue;
                };
                assert!(cut > max, "{max}: {cut} are not too many");
                let head = String::from_utf8([&bytes[..cut], &end].concat()).expect("only ASCII");
                assert!(!head.trim_start().contains("\n\r\n") && !head.contains("\n\n"), "{max}, {cut}: {head:?}");
                assert_eq!(turn.admit(b"GET /b"), 6, "what follows is no request");
                assert!(turn.cut_off().is_none() && !turn.is_ours());
            }
        }
        let turn = Turn::new(bytes.len());
        turn.admit(bytes);
        assert!(turn.is_ours() && !turn.was_too_large());
    }
}
