//! One request at a time: a connection gives its dispatcher the bytes of one request, and holds back what follows until the answer has left.
//! actix decodes ahead, and what it then knows of a later request (HEAD, the version, `Connection`) would shape the answer to an earlier one.
//! So it is known here of every byte which request it belongs to, whatever its body is framed by; bytes that can belong to none are never
//! handed on.

use crate::http::wire::chunks::{Chunks, Followed};
use crate::http::wire::heads::{Head, HeadSeen};
use crate::http::wire::rejection::Rejection;
use actix_http::{Payload, Request};
use actix_web::HttpMessage as _;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::http::{Method, Version};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// How much of what follows a request that cannot be read to its end is read away, in bytes, so that the client can read why.
const EXCESS_BYTES_MAX: u64 = 256 * 1024;

/// How much of a request line is kept, in bytes: the log tells no more of one that is refused.
const LINE_BYTES_MAX: usize = 1024;

/// Whose turn it is on a connection. Shared by the connection, which reads, and the service, which knows where a request ends.
#[derive(Clone, Debug)]
pub struct RequestGate(Rc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    head_bytes_max: usize,
    state: Cell<GateState>,
    rejection: Cell<Option<Rejection>>,
    line: RefCell<Vec<u8>>,
    /// Whether the present request is of HTTP/1.0, which knows no chunks.
    knows_no_chunks: Cell<bool>,
    /// Whether an answer has begun that only the end of the connection ends.
    is_endless: Cell<bool>,
    goes_on: Cell<bool>,
    reader: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy, Debug)]
enum GateState {
    /// The client's: a head is expected, or has begun.
    Head(Head),
    /// Ours: a whole head was handed on, and nobody has taken the request yet.
    Given,
    /// The client's: so many bytes of the body are still to come.
    Body(u64),
    /// The client's: the body says by itself where it ends.
    Chunks(Chunks),
    /// Ours: the request is complete, and is being answered.
    Answering,
    /// Nothing that comes is a request any more; so many bytes of it are read, only to be thrown away.
    Over(u64),
}

impl Default for GateState {
    fn default() -> Self {
        Self::Head(Head::default())
    }
}

/// What is to be done with bytes that have come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// So many of them belong to the present request and are handed on.
    Bytes(usize),
    /// They begin a head that is not complete: they are kept until it is.
    Begun,
    /// They begin a head that is refused, and nothing that follows is a request.
    Refused(Rejection),
}

impl RequestGate {
    /// The client's: a head of at most so many bytes is expected.
    pub(crate) fn new(head_bytes_max: usize) -> Self {
        Self(Rc::new(Inner { head_bytes_max, ..Inner::default() }))
    }

    /// Says what is to be done with these bytes. While a head is incomplete it is told of it from its beginning again.
    pub(crate) fn admit(&self, bytes: &mut [u8]) -> Admitted {
        match self.0.state.get() {
            GateState::Head(head) => self.admit_head(head, bytes),
            GateState::Body(left) => {
                let admitted = left.min(bytes.len() as u64);
                self.0.state.set(if admitted == left {
                    GateState::Answering
                } else {
                    GateState::Body(left - admitted)
                });
                Admitted::Bytes(admitted as usize)
            }
            GateState::Chunks(mut chunks) => {
                let (admitted, state) = match chunks.follow(bytes) {
                    Followed::All => (bytes.len(), GateState::Chunks(chunks)),
                    Followed::Complete(length) => (length, GateState::Answering),
                    Followed::Malformed(length) => (length, GateState::Over(EXCESS_BYTES_MAX)),
                };
                self.0.state.set(state);
                Admitted::Bytes(admitted)
            }
            GateState::Given | GateState::Answering | GateState::Over(_) => Admitted::Bytes(0),
        }
    }

    fn admit_head(&self, mut head: Head, bytes: &mut [u8]) -> Admitted {
        let looked = head.look(bytes, self.0.head_bytes_max);
        let (state, admitted) = match looked {
            HeadSeen::Begun => (GateState::Head(head), Admitted::Begun),
            HeadSeen::Complete(length, rejection) => {
                self.keep_line(&head, bytes);
                self.0.rejection.set(rejection);
                (GateState::Given, Admitted::Bytes(length))
            }
            HeadSeen::Refused(rejection) => (GateState::Head(head), Admitted::Refused(rejection)),
        };
        self.0.state.set(state);
        admitted
    }

    fn keep_line(&self, head: &Head, bytes: &[u8]) {
        let (mut kept, line) = (self.0.line.borrow_mut(), head.line(bytes));
        kept.clear();
        kept.extend_from_slice(&line[..line.len().min(LINE_BYTES_MAX)]);
    }

    /// The request line of the present head, of which these bytes have come if it is not complete; or its beginning.
    pub(crate) fn line(&self, bytes: &[u8]) -> Vec<u8> {
        if let GateState::Head(head) = self.0.state.get() {
            self.keep_line(&head, bytes);
        }
        self.0.line.borrow().clone()
    }

    /// How many bytes of an incomplete head have been looked at.
    pub(crate) fn looked_at(&self) -> usize {
        match self.0.state.get() {
            GateState::Head(head) => head.looked_at(),
            _ => 0,
        }
    }

    /// Whether the client's bytes are to be held back.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(self.0.state.get(), GateState::Given | GateState::Answering)
    }

    /// Whether a head was handed on of which nobody has made a request.
    pub(crate) fn is_given(&self) -> bool {
        matches!(self.0.state.get(), GateState::Given)
    }

    /// Whether a head is expected, or has begun.
    pub(crate) fn is_at_a_head(&self) -> bool {
        matches!(self.0.state.get(), GateState::Head(_))
    }

    /// Whether a head has begun and is not complete.
    pub(crate) fn head_begun(&self) -> bool {
        matches!(self.0.state.get(), GateState::Head(head) if head.has_begun())
    }

    /// Whether nothing of a head has come.
    pub(crate) fn head_awaited(&self) -> bool {
        matches!(self.0.state.get(), GateState::Head(head) if !head.has_begun())
    }

    /// Whether a request that comes now may be answered before the dispatcher sees it: one has been answered, after which the connection is
    /// kept, and nothing of the next has come.
    pub(crate) fn may_be_skipped(&self) -> bool {
        self.0.goes_on.get() && matches!(self.0.state.get(), GateState::Head(head) if head.looked_at() == 0)
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
        let GateState::Given = self.0.state.get() else { return };
        self.0.knows_no_chunks.set(request.head().version < Version::HTTP_11);
        if request.method() == Method::CONNECT {
            // What follows CONNECT is meant for somebody else (RFC 9110 §9.3.6), and comes only when that one can be had.
            return self.is_over_after(0);
        }
        if matches!(request.payload(), Payload::None) {
            return self.0.state.set(GateState::Answering);
        }
        let length = request.headers().get(CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.trim().parse().ok());
        self.give(match length {
            Some(0) => GateState::Answering,
            Some(length) => GateState::Body(length),
            None => GateState::Chunks(Chunks::default()),
        });
    }

    /// How much of the present body has not come yet, as far as its head told; in bytes.
    pub(crate) fn to_come(&self) -> u64 {
        match self.0.state.get() {
            GateState::Body(left) => left,
            _ => 0,
        }
    }

    /// Why the present request is not given to a method, if its bytes told; forgets it.
    pub(crate) fn rejection(&self) -> Option<Rejection> {
        self.0.rejection.take()
    }

    /// The rest of this connection is no request: the answer that leaves now is its last. No more than so many bytes of what still comes are
    /// worth reading: a client that sends on and on is cut off.
    pub(crate) fn is_over_after(&self, bytes: u64) {
        self.goes_on(false);
        // Behind a CONNECT nothing is, whatever was made of it.
        if self.to_throw_away() != Some(0) {
            self.give(GateState::Over(bytes));
        }
    }

    /// How many bytes of what still comes are to be thrown away, if nothing of it is a request any more.
    pub(crate) fn to_throw_away(&self) -> Option<u64> {
        match self.0.state.get() {
            GateState::Over(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Whether an answer was begun that only the end of the connection ends: one that is cut off would look whole.
    pub(crate) fn is_endless(&self) -> bool {
        self.0.is_endless.get()
    }

    /// Gives the turn to the client when the request has been answered.
    pub(crate) fn until_answered(&self) -> UntilAnswered {
        UntilAnswered(Some(self.clone()))
    }

    /// The answer has left: the next request may come.
    fn next(&self) {
        if self.to_throw_away().is_none() {
            self.give(GateState::default());
        }
    }

    fn give(&self, state: GateState) {
        self.0.state.set(state);
        let Some(reader) = self.0.reader.take() else { return };
        // Not at once: the worker looks at its other sockets first.
        let _ = pin!(tokio::task::yield_now()).poll(&mut Context::from_waker(&reader));
    }
}

/// The turn while it is ours. Dropped when the answer has left, or when there will be none: so it never stays with us.
#[derive(Debug)]
pub(crate) struct UntilAnswered(Option<RequestGate>);

impl UntilAnswered {
    /// Whether nothing that follows this answer is a request.
    pub(crate) fn is_last(&self) -> bool {
        self.0.as_ref().is_some_and(|turn| turn.to_throw_away().is_some())
    }

    /// Whether an answer without a length has no other end than that of the connection; then it has, and nothing follows it.
    pub(crate) fn ends_with_the_connection(&self) -> bool {
        let Some(turn) = self.0.as_ref().filter(|turn| turn.0.knows_no_chunks.get()) else { return false };
        turn.0.is_endless.set(true);
        if !self.is_last() {
            turn.is_over_after(EXCESS_BYTES_MAX);
        }
        true
    }

    /// There is no answer yet: the turn stays ours, and whoever answers later gives it on.
    pub(crate) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for UntilAnswered {
    fn drop(&mut self) {
        if let Some(turn) = &self.0 {
            turn.next();
        }
    }
}

/// The body of an answer, at whose end the turn goes to the client.
#[derive(Debug)]
pub(crate) struct InTurn {
    body: BoxBody,
    _turn: Option<UntilAnswered>,
}

impl InTurn {
    pub(crate) fn new(body: BoxBody, turn: Option<UntilAnswered>) -> Self {
        Self { body, _turn: turn }
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

/// Tells that an answer ends before its end, for the client is told nothing but that.
pub(crate) fn broken_off(error: &impl std::fmt::Display) {
    tracing::warn!("an answer was broken off: {error}");
}
