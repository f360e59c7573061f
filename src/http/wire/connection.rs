//! The connection: a socket under actix, TCP, Unix or encrypted, which can also send a piece of a file by itself, by `sendfile` if it can.
//! A response body puts a `Job` in place, and the connection carries it out in `poll_flush`, which the dispatcher calls only when
//! every byte before it has left its own buffer; that order is held by a contract test, for actix does not promise it. Where a plain request
//! can be answered at the edge (`http::edge`), actix is not told of it.
//! It never blocks on a cold disk, never completes an answer with bytes of two versions, and never waits for ever for a reader.

use crate::http::wire::crowd::ConnectionPermit;
use crate::http::wire::farewell::{Farewell, THROWN_AWAY_BYTES_MAX};
use crate::http::wire::fast_path::Edge;
use crate::http::wire::interim::Interims;
use crate::http::wire::rejection::Rejection;
use crate::http::wire::request_gate::{Admitted, RequestGate, broken_off};
use crate::http::wire::send_file::{Job, Jobs, SendStep, WINDOW};
use crate::http::wire::socket::Socket;
use crate::http::wire::source::cut_short;
use crate::http::wire::timers::{HeaderTimeout, IdleTimeout, SlowReader};
use crate::http::wire::tls_socket::TlsSocket;
use actix_rt::net::{TcpStream, UnixStream};
use bytes::{Buf, Bytes, BytesMut};
use std::fmt;
use std::io::{self};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much is taken from the socket before the dispatcher has to make something of it, in bytes. Its buffer grows with what it is given
/// at once, and keeps that size for as long as the connection lives.
const TAKE_MAX: usize = 32 * 1024;

/// How much of the requests that a client sends ahead is taken in before they have their turn, in bytes.
const HELD_BYTES_MAX: usize = 16 * 1024;

/// How long a request whose client has closed its side may neither say anything nor have anything to say.
const GONE_TIME_MAX: Duration = Duration::from_secs(30);

/// What a connection bears of a client.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// How large a head may be from its request line to its empty line, in bytes.
    pub head_bytes_max: usize,
    /// How long the rest of a head that has begun may take.
    pub header_time: Duration,
    /// How long nothing may be asked between two requests.
    pub keep_alive: Duration,
    /// How long a reader may take nothing.
    pub write_stall: Duration,
    /// How fast it has to take what there is over that time, in bytes a second.
    pub read_rate_min: u64,
    /// How long a connection that is to close waits for the client to take the answer.
    pub linger_time: Duration,
}

/// A client's connection.
pub struct Connection {
    socket: Socket,
    peer: Option<SocketAddr>,
    edge: Rc<dyn Edge>,
    unsent: Unsent,
    /// Whether the socket was empty when it was last read: what comes next is told by the worker's look at its sockets.
    drained: bool,
    /// Whether actix may have bytes in its buffer that have not left.
    holds_bytes: bool,
    jobs: Jobs,
    interims: Interims,
    idle: IdleTimeout,
    stall: SlowReader,
    gone: IdleTimeout,
    turn: RequestGate,
    /// What has come and was not handed on.
    held: BytesMut,
    /// How much of that belongs to the present request.
    admitted: usize,
    /// Whether the client has closed its side.
    ended: bool,
    /// Whether the next head waits until the answer before it has left actix's buffer.
    waits_to_read: bool,
    /// Whether actix has been woken to learn that nothing more comes.
    end_announced: bool,
    taken: usize,
    dawdle: HeaderTimeout,
    /// Whether what came is no request, and its refusal the last answer.
    refused: bool,
    /// Whether it ends before everything was said, if it ends now.
    is_cut_off: bool,
    farewell: Farewell,
    _place: Option<ConnectionPermit>,
}

impl Connection {
    /// Takes over a TCP connection, switches Nagle's delay off, and bounds what is on its way to a client on this machine.
    pub(crate) fn tcp(socket: TcpStream, limits: ConnectionLimits, edge: Rc<dyn Edge>) -> Self {
        // Without this an answer of several writes waits 40 ms for the client's acknowledgement. If it fails the client is gone.
        let _ = socket.set_nodelay(true);
        // A client that is gone already still came by TCP: only a Unix socket has no address.
        let peer = socket.peer_addr().unwrap_or((Ipv4Addr::UNSPECIFIED, 0).into());
        let socket = Socket::Tcp(socket);
        if peer.ip().to_canonical().is_loopback() {
            socket.bound_local_buffer();
        }
        Self::new(socket, Some(peer), limits, edge)
    }

    /// Takes over a TCP connection that has made the handshake of TLS, as [`Connection::tcp`] does.
    pub(crate) fn tls(socket: TlsSocket, limits: ConnectionLimits, edge: Rc<dyn Edge>) -> Self {
        let peer = socket.tcp().peer_addr().unwrap_or((Ipv4Addr::UNSPECIFIED, 0).into());
        let socket = Socket::Tls(socket);
        if peer.ip().to_canonical().is_loopback() {
            socket.bound_local_buffer();
        }
        Self::new(socket, Some(peer), limits, edge)
    }

    /// Takes over a connection on a Unix socket.
    pub(crate) fn unix(socket: UnixStream, limits: ConnectionLimits, edge: Rc<dyn Edge>) -> Self {
        Self::new(Socket::Unix(socket), None, limits, edge)
    }

    fn new(socket: Socket, peer: Option<SocketAddr>, limits: ConnectionLimits, edge: Rc<dyn Edge>) -> Self {
        Self {
            socket,
            peer,
            edge,
            unsent: Unsent::default(),
            drained: false,
            holds_bytes: false,
            idle: IdleTimeout::new(limits.keep_alive),
            jobs: Jobs::default(),
            interims: Interims::default(),
            stall: SlowReader::new(limits.write_stall, limits.read_rate_min),
            gone: IdleTimeout::new(GONE_TIME_MAX),
            turn: RequestGate::new(limits.head_bytes_max),
            held: BytesMut::new(),
            admitted: 0,
            ended: false,
            waits_to_read: false,
            end_announced: false,
            taken: 0,
            dawdle: HeaderTimeout { heads: 0, limit: limits.header_time, timer: None },
            refused: false,
            is_cut_off: true,
            farewell: Farewell::new(limits.linger_time),
            _place: None,
        }
    }

    /// Keeps the place of its client until it is closed.
    pub(crate) fn takes(&mut self, place: ConnectionPermit) {
        self._place = Some(place);
    }

    /// The place where response bodies put their jobs; one for each connection.
    pub fn jobs(&self) -> Jobs {
        self.jobs.clone()
    }

    /// Where what is said before an answer waits.
    pub fn interims(&self) -> Interims {
        self.interims.clone()
    }

    /// Whose turn it is on this connection.
    pub fn turn(&self) -> RequestGate {
        self.turn.clone()
    }

    /// Whether it is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.socket.is_encrypted()
    }

    /// The client's address; a Unix socket has none.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Sends until the job is done, the socket is full, the file is not in memory, or others have waited long enough.
    fn carry_out(&mut self, job: &mut Job, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut sent_max = WINDOW;
        job.copies |= self.socket.is_encrypted();
        loop {
            if !matches!(job.step, SendStep::Fetch(_)) {
                ready!(self.flush(cx))?;
            }
            match &mut job.step {
                SendStep::Done => {
                    self.socket.wait_no_longer();
                    return self.flush(cx);
                }
                SendStep::Choose => job.choose().inspect_err(broken_off)?,
                SendStep::Fetch(reading) => {
                    let fetched = ready!(Pin::new(reading).poll(cx)).map_err(io::Error::other).flatten();
                    fetched.and_then(|fetched| job.fetched(fetched)).inspect_err(broken_off)?;
                }
                SendStep::Send { .. } | SendStep::Copy { .. } if sent_max == 0 => {
                    // The deferred waker lets the worker look at its other sockets first; waking ourselves would not (a 40 times
                    // longer wait for everybody else, measured).
                    let _ = pin!(tokio::task::yield_now()).poll(cx);
                    return Poll::Pending;
                }
                SendStep::Send { until } => {
                    let wanted = (*until - job.position).min(sent_max);
                    let Some(file) = job.source.open_file() else {
                        job.copy_instead();
                        continue;
                    };
                    match self.socket.try_send_file(file, job.position, wanted) {
                        Ok(0) => return Poll::Ready(Err(cut_short())),
                        Ok(sent) => {
                            job.sent(sent as u64);
                            sent_max = sent_max.saturating_sub(sent as u64);
                            self.has_sent(sent);
                        }
                        // A file system whose files the kernel cannot send by itself.
                        Err(error) if error.kind() == io::ErrorKind::InvalidInput => job.copy_instead(),
                        Err(error) => ready!(self.wait_or_fail(error, cx))?,
                    }
                }
                SendStep::Copy { piece } => match self.socket.try_send(piece, false) {
                    Ok(sent) => {
                        piece.advance(sent);
                        job.sent(sent as u64);
                        sent_max = sent_max.saturating_sub(sent as u64);
                        self.has_sent(sent);
                    }
                    Err(error) => ready!(self.wait_or_fail(error, cx))?,
                },
            }
        }
    }

    /// Sends what the socket has taken and still holds.
    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.socket.has_unsent() {
            match self.socket.try_flush() {
                Ok(sent) => self.has_sent(sent),
                Err(error) => ready!(self.wait_or_fail(error, cx))?,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// After a write that failed: waits for room in the socket if that was all, and says when it may be tried again.
    fn wait_or_fail(&mut self, error: io::Error, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match error.kind() {
            io::ErrorKind::Interrupted => Poll::Ready(Ok(())),
            io::ErrorKind::WouldBlock => self.room(cx),
            _ => Poll::Ready(Err(error)),
        }
    }

    /// Waits for room in the socket, but not longer than a reader may stall.
    fn room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.socket.poll_write_ready(cx) {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => self.stalled(cx),
        }
    }

    fn has_sent(&mut self, bytes: usize) {
        self.stall.progress(bytes);
        self.gone.progress();
    }

    fn stalled(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.stall.poll(cx));
        self.socket.reset_when_closed();
        tracing::debug!(peer = ?self.peer(), "dropped a client that takes nothing of what it asked for");
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Connection {
    /// While an answer is on its way: buffers what the client sends meanwhile, up to [`HELD_BYTES_MAX`], and so notices when it closes the
    /// connection.
    fn hold(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.ended && self.held.len() < HELD_BYTES_MAX {
            let mut bytes = [MaybeUninit::uninit(); 4096];
            let mut bytes = ReadBuf::uninit(&mut bytes);
            match self.socket.poll_read(cx, &mut bytes) {
                Poll::Ready(result) => result?,
                Poll::Pending => break,
            }
            self.ended = bytes.filled().is_empty();
            self.held.extend_from_slice(bytes.filled());
        }
        // The socket wakes us for what is in the socket; for what is held, and for the end, the change of turn has to. The end is not
        // told before the answer has left: actix would take a body that waits for its handler for one that was cut off.
        if self.ended || !self.held.is_empty() {
            self.turn.wait(cx);
        }
        // Who has gone for good looks like who has only closed his side and waits for the answer; so it is not waited for ever.
        if self.ended && !self.stall.has_begun() {
            ready!(self.gone.poll(cx));
            tracing::debug!(peer = ?self.peer, "gave up a request whose client is gone");
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }

    /// Finds out what is to be done with what is held, if anything of it has not been looked at.
    fn admit_held(&mut self) {
        match self.turn.admit(&mut self.held) {
            Admitted::Bytes(bytes) => self.admitted = bytes,
            Admitted::Begun => {}
            Admitted::Refused(rejection) => self.refuse(rejection),
        }
    }

    /// Hands on what belongs to the present request, as much as there is room for.
    fn hand_on(&mut self, into: &mut ReadBuf<'_>) {
        let bytes = self.admitted.min(into.remaining());
        into.put_slice(&self.held.split_to(bytes));
        self.admitted -= bytes;
        self.idle.progress();
        if self.held.is_empty() {
            self.held = BytesMut::new();
        }
        if self.admitted == 0 && self.turn.is_given() {
            self.dawdle.head_complete();
        }
    }

    /// Answers a request that has just come, if it can be done without actix.
    ///
    /// actix must have nothing on its way: its bytes come first. And it must not be about to close the connection.
    fn answer_at_the_edge(&mut self, request: &[u8], was_drained: bool) -> io::Result<bool> {
        let Self { edge, socket, unsent, peer, .. } = self;
        let mut sent = Ok(());
        let mut send = |head: &[u8], body: &Bytes| sent = unsent.send(socket, head, body);
        let answered = edge.answer(request, *peer, was_drained, &mut send);
        sent?;
        if answered {
            self.dawdle.head_complete();
        }
        Ok(answered)
    }

    /// Sends what is said before an answer, and what is left of an answer from the edge.
    fn send_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.flush(cx))?;
            if self.unsent.is_empty() {
                // Behind what of the answer has left it would be a part of that.
                let interim = if self.holds_bytes { None } else { self.interims.take() };
                let Some(head) = interim else { return Poll::Ready(Ok(())) };
                self.unsent.head = head;
            }
            match self.unsent.send_more(&mut self.socket) {
                Ok(sent) => self.has_sent(sent),
                Err(error) => ready!(self.wait_or_fail(error, cx))?,
            }
        }
    }

    /// Waits for the client, for the rest of a head or for a request, and gives it up when its time is over.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_idle() {
            ready!(self.idle.poll(cx));
            self.ended = true;
            return Poll::Ready(());
        }
        ready!(self.dawdle.poll(&self.turn, cx));
        if self.turn.head_begun() {
            self.refuse(Rejection::SlowHead);
        } else {
            // A client that opened the connection ahead of time would take a refusal for the answer to a request that is on its way.
            self.ended = true;
        }
        Poll::Ready(())
    }

    fn is_idle(&self) -> bool {
        self.dawdle.heads > 0 && self.turn.head_awaited()
    }

    /// Once an answer has left, nothing asks for the next request that could set the timer.
    fn begin_idling(&mut self, cx: &mut Context<'_>) {
        if self.is_idle() && self.idle.since.is_none() && self.idle.poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("socket", &self.socket).field("turn", &self.turn).finish_non_exhaustive()
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.send_rest(cx))?;
        loop {
            if this.admitted > 0 {
                this.hand_on(into);
                return Poll::Ready(Ok(()));
            }
            // What comes behind the last request is not for actix, which would take it for another.
            if this.turn.to_throw_away().is_some() {
                if this.refused {
                    ready!(this.send_rest(cx))?;
                    ready!(this.take_leave(cx))?;
                }
                return Poll::Ready(Ok(()));
            }
            if this.turn.is_ours() {
                return this.hold(cx);
            }
            if this.holds_bytes && this.turn.is_at_a_head() {
                this.waits_to_read = true;
                return Poll::Pending;
            }
            if this.held.len() > this.turn.looked_at() {
                this.admit_held();
                continue;
            }
            if this.ended {
                if !this.turn.is_at_a_head() {
                    // The body has no end, and the connection no other request.
                    this.turn.is_over_after(0);
                }
                return Poll::Ready(Ok(()));
            }
            if this.taken >= TAKE_MAX {
                this.taken = 0;
                let _ = pin!(tokio::task::yield_now()).poll(cx);
                return Poll::Pending;
            }
            let before = into.filled().len();
            let read = this.socket.poll_read(cx, into);
            if read.is_pending() {
                this.taken = 0;
                this.drained = true;
                ready!(this.wait(cx));
                continue;
            }
            ready!(read)?;
            if into.filled().len() == before {
                this.ended = true;
                continue;
            }
            this.taken += into.filled().len() - before;
            let was_drained = std::mem::take(&mut this.drained);
            let edge = !this.holds_bytes && this.turn.may_be_skipped() && this.held.is_empty();
            if edge && this.answer_at_the_edge(&into.filled()[before..], was_drained)? {
                this.idle.progress();
                into.set_filled(before);
                ready!(this.send_rest(cx))?;
                continue;
            }
            if this.take_in(into, before) {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl Connection {
    /// Leaves there what belongs to the present request of the bytes that have just been read, and holds the rest. Tells whether anything
    /// was left.
    fn take_in(&mut self, into: &mut ReadBuf<'_>, before: usize) -> bool {
        let mut left = 0;
        let bytes = &mut into.filled_mut()[before..];
        let admitted = if self.held.is_empty() { self.turn.admit(bytes) } else { Admitted::Begun };
        if let Admitted::Bytes(admitted) = admitted {
            left = admitted;
        }
        self.held.extend_from_slice(&bytes[left..]);
        if let Admitted::Refused(rejection) = admitted {
            self.refuse(rejection);
        }
        into.set_filled(before + left);
        if self.turn.is_given() && left > 0 {
            self.dawdle.head_complete();
        }
        if !self.turn.head_awaited() {
            self.idle.progress();
        }
        left > 0
    }

    /// Refuses what has come in place of a request: that is said, and nothing follows. Every answer before it has left.
    fn refuse(&mut self, rejection: Rejection) {
        self.unsent.head = self.edge.refuse(&self.turn.line(&self.held), rejection, self.peer);
        self.turn.is_over_after(THROWN_AWAY_BYTES_MAX);
        self.refused = true;
    }

    /// Closes our side, and reads away what the client may still be sending: a connection that is closed with something unread is reset, and
    /// that may take the answer with it.
    fn take_leave(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.farewell.has_begun() {
            self.socket.say_end();
            ready!(self.flush(cx))?;
            self.farewell.begin(self.turn.to_throw_away());
            ready!(self.socket.shut_down(cx))?;
        }
        while !self.ended && !self.farewell.is_over(cx) {
            let mut bytes = [MaybeUninit::uninit(); 4096];
            let mut bytes = ReadBuf::uninit(&mut bytes);
            match self.socket.poll_read(cx, &mut bytes) {
                Poll::Pending => return if self.farewell.waits { Poll::Pending } else { Poll::Ready(Ok(())) },
                Poll::Ready(Ok(())) if !bytes.filled().is_empty() => {
                    self.farewell.has_thrown_away(bytes.filled().len());
                }
                Poll::Ready(_) => self.ended = true,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.send_rest(cx))?;
        // Every answer before this head had left when it was handed on; so these bytes are what the parser says by itself to what it cannot
        // read. It is said as everything else is.
        if this.turn.is_given() {
            this.refuse(Rejection::Malformed);
        }
        if this.refused {
            // Once these bytes are taken actix drops the connection.
            ready!(this.send_rest(cx))?;
            ready!(this.take_leave(cx))?;
            return Poll::Ready(Ok(bytes.len()));
        }
        this.holds_bytes = true;
        ready!(this.flush(cx))?;
        // The header of a file that is about to follow waits for its first bytes, so that both leave in one segment.
        let more = this.jobs.waiting();
        loop {
            match this.socket.try_send(bytes, more) {
                Ok(sent) => {
                    this.has_sent(sent);
                    return Poll::Ready(Ok(sent));
                }
                Err(error) => ready!(this.wait_or_fail(error, cx))?,
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.holds_bytes = false;
        // A head of which actix made neither a request nor a refusal will never be answered.
        if this.turn.is_given() && this.admitted == 0 {
            this.turn.is_over_after(0);
        }
        let ends = this.turn.to_throw_away().is_some() && !this.end_announced;
        this.end_announced |= ends;
        if ends || std::mem::take(&mut this.waits_to_read) {
            cx.waker().wake_by_ref();
        }
        // The job is taken out while it runs: nothing below can meet a cell that is already borrowed.
        let Some(mut job) = this.jobs.take() else {
            this.socket.wait_no_longer();
            ready!(this.flush(cx))?;
            this.begin_idling(cx);
            return Poll::Ready(Ok(()));
        };
        let result = this.carry_out(&mut job, cx);
        match &result {
            Poll::Pending => this.jobs.put_back(job),
            Poll::Ready(Ok(())) => this.jobs.finish(job),
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::InvalidData => this.socket.reset_when_closed(),
            Poll::Ready(Err(_)) => {}
        }
        result
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // Everything that was to be said has left actix's buffer.
        this.is_cut_off = false;
        ready!(this.send_rest(cx))?;
        this.take_leave(cx)
    }
}

impl Drop for Connection {
    /// An answer that only the end of the connection ends must not look whole where it was cut off.
    fn drop(&mut self) {
        if self.is_cut_off && self.turn.is_endless() {
            self.socket.reset_when_closed();
        }
    }
}

/// What the socket did not take at once of an answer from the edge.
#[derive(Debug, Default)]
struct Unsent {
    head: Bytes,
    body: Bytes,
}

impl Unsent {
    fn is_empty(&self) -> bool {
        self.head.is_empty() && self.body.is_empty()
    }

    /// Sends a head and a body, and keeps what the socket does not take.
    fn send(&mut self, socket: &mut Socket, head: &[u8], body: &Bytes) -> io::Result<()> {
        let sent = match socket.try_send_both(head, body) {
            Ok(sent) => sent,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => 0,
            Err(error) => return Err(error),
        };
        if sent < head.len() + body.len() {
            self.head = Bytes::copy_from_slice(&head[sent.min(head.len())..]);
            self.body = body.slice(sent.saturating_sub(head.len())..);
        }
        Ok(())
    }

    fn send_more(&mut self, socket: &mut Socket) -> io::Result<usize> {
        let sent = socket.try_send_both(&self.head, &self.body)?;
        let of_head = sent.min(self.head.len());
        self.head.advance(of_head);
        self.body.advance(sent - of_head);
        if self.is_empty() {
            *self = Self::default();
        }
        Ok(sent)
    }
}
