//! The transport: listens, takes connections, keeps the limits of a request's head, and hands requests to a [`Handler`].
//! It promises that refusals leave before `100 Continue`, that leftovers of a body are never taken for a request, and that stopping lets
//! uploads in flight end. It never knows a method, a status of a method, or a path's meaning.
//!
//! # The seam
//!
//! [`serve`]`(settings, listeners, make_handler, stop)`: `make_handler` is called once for each worker and listener, on the worker's thread; what
//! all workers share goes in as an `Arc` that the closure holds. A request takes this way:
//!
//! 0. [`Handler::at_the_edge`], for a plain GET or HEAD that has come alone on a connection that is kept: may answer from memory, before
//!    actix-web knows of it. All that follows is for what is left.
//! 1. The head's limits (bytes of the header fields, length of the target, no fragment): [`Handler::reject`] answers, as it answers what is no
//!    request, or does not become one in time; of that actix-web is not told.
//! 2. [`Handler::early`], only if the client waits for `100 Continue`: an `Err` is the final answer and the body is never asked for.
//! 3. [`Handler::handle`]: everything else. It gets the body by reference; what it leaves unread is read away if it is short, and otherwise
//!    the connection is closed in such a way that the client can still read the answer.
//!
//! A file is sent with [`body::file`](crate::http::wire::body::file), pieces of one with [`body::parts`](crate::http::wire::body::parts). HEAD goes through them too.

pub use crate::http::wire::fast_path::{Plain, Reads, Say};

use crate::http::clock;
use crate::http::wire::connection::{Connection, ConnectionLimits};
use crate::http::wire::crowd::Crowd;
use crate::http::wire::encrypted::Encrypted;
use crate::http::wire::entrance::{Accepted, TlsEntrance, accepted};
use crate::http::wire::fast_path::{Bounds, Edge, HeadTail, Rounds, SendAnswer, last_on_the_wire, named_in};
use crate::http::wire::handshake::{HandshakeLimits, Handshakes};
use crate::http::wire::rejection::Rejection;
use crate::http::wire::request_gate::{InTurn, RequestGate, UntilAnswered};
use crate::http::wire::socket::Listener;
use crate::os::process::{self, StopSignals};
use actix_http::error::DispatchError;
use actix_http::{ConnectionType, HttpService, KeepAlive, Payload, Request, Response};
use actix_rt::net::{TcpStream, UnixStream};
use actix_server::{GracefulShutdownSignal, Server, ServerBuilder};
use actix_service::{
    IntoServiceFactory as _, Service, ServiceFactory, ServiceFactoryExt as _, fn_factory, fn_service, map_config,
};
use actix_web::body::{BodySize, BoxBody, MessageBody as _};
use actix_web::dev::{AppConfig, ServiceRequest, ServiceResponse};
use actix_web::http::{Method, header};
use actix_web::{App, HttpMessage as _, HttpRequest, HttpResponse};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::{Either, Ready, ready};
use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// What leaves actix's own buffer at once, in bytes; also the most that it keeps between two answers.
const WRITE_BUFFER: usize = 128 * 1024;

/// What a head may hold besides a path and the names and values of its fields: the query, and the marks between all of them; in bytes.
const HEAD_ROOM: usize = 4 * 1024;

/// How much of a body that the handler left unread is read away, so that the connection can be used again, in bytes.
const LEFTOVER_BYTES_MAX: u64 = 64 * 1024;

/// How long that may take.
const LEFTOVER_TIME_MAX: Duration = Duration::from_millis(500);

/// How much is thrown away of a body that is larger still, after the answer, so that the client can read that; in bytes.
const THROWN_AWAY_BYTES_MAX: u64 = 4 << 20;

/// How many threads of a worker may wait for the disk. Each holds memory of its own for a while, so a crowd of uploads must not make
/// hundreds.
const BLOCKING_THREADS_MAX: usize = 64;

/// The methods, as the transport sees them.
pub trait Handler: 'static {
    /// Says the answer to a plain GET or HEAD, from memory, or nothing. Must not wait for anything.
    fn at_the_edge(&self, plain: &Plain<'_>, say: &mut Say<'_>) -> bool {
        let _ = (plain, say);
        false
    }

    /// Decides, from the head alone, whether the client that waits for `100 Continue` may send its body. An `Err` is the final answer.
    fn early(&self, request: &Request) -> impl Future<Output = Result<(), Response<BoxBody>>>;

    /// Answers a request. Dropped at its next `.await` when the client's connection breaks; a client that has only finished sending
    /// is still there.
    fn handle(&self, request: HttpRequest, body: &mut Payload) -> impl Future<Output = HttpResponse>;

    /// The answer to a request that never reaches a method, or to what is none. The connection closes after it if a body was announced.
    fn reject(&self, request: &Request, rejection: Rejection) -> Response<BoxBody>;
}

/// The numbers of the transport.
#[derive(Debug, Clone)]
pub struct TransportSettings {
    /// Threads that serve connections.
    pub workers: usize,
    /// Connections at once, over all workers; more wait in the kernel's queue.
    pub connections_max: usize,
    /// Connections at once from one address; more are closed as they come. This machine is not counted.
    pub connections_per_address: usize,
    /// Names and values of all header fields of a request together, in bytes.
    pub header_bytes_max: usize,
    /// The path of the request target, as it is on the wire, in bytes.
    pub path_bytes_max: usize,
    /// How long the handshake of TLS may take.
    pub handshake_time: Duration,
    /// Handshakes under way at once; where there are more the oldest ends.
    pub handshakes_max: usize,
    /// How long a client may take to send the head of a request.
    pub header_time: Duration,
    /// How long a connection is kept between two requests.
    pub keep_alive: Duration,
    /// How long a connection that is to close waits for the client to take the answer.
    pub linger_time: Duration,
    /// How long a reader may take nothing before it is dropped.
    pub write_stall: Duration,
    /// How fast a reader has to take an answer, in bytes a second, over the time of [`TransportSettings::write_stall`]; only while it is waited for.
    pub read_rate_min: u64,
    /// How long requests in flight have to end when the server is asked to stop; counted in whole seconds.
    pub stop_time: Duration,
}

impl Default for TransportSettings {
    fn default() -> Self {
        Self {
            workers: 2,
            connections_max: 4096,
            connections_per_address: 1024,
            header_bytes_max: 32 * 1024,
            path_bytes_max: 4096,
            handshake_time: Duration::from_secs(10),
            handshakes_max: 512,
            header_time: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            linger_time: Duration::from_secs(5),
            write_stall: Duration::from_secs(60),
            read_rate_min: 512,
            stop_time: Duration::from_secs(10),
        }
    }
}

impl TransportSettings {
    fn limits(&self) -> ConnectionLimits {
        ConnectionLimits {
            head_bytes_max: self.header_bytes_max.saturating_add(self.path_bytes_max).saturating_add(HEAD_ROOM),
            header_time: self.header_time,
            keep_alive: self.keep_alive,
            write_stall: self.write_stall,
            read_rate_min: self.read_rate_min,
            linger_time: self.linger_time,
        }
    }

    fn handshakes(&self) -> HandshakeLimits {
        HandshakeLimits { time: self.handshake_time, linger_time: self.linger_time }
    }

    fn bounds(&self) -> Bounds {
        Bounds { head_bytes_max: self.header_bytes_max, path_bytes_max: self.path_bytes_max }
    }
}

/// Serves until it is asked to stop. Runs inside an actix `System`.
///
/// # Errors
/// Where the sockets cannot be used, or there are none.
pub async fn serve<H: Handler>(
    settings: TransportSettings,
    listeners: Vec<Listener>,
    make_handler: impl Fn() -> H + Clone + Send + 'static,
    mut stop: StopSignals,
) -> io::Result<()> {
    if listeners.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is nothing to listen on"));
    }
    process::raise_open_files();
    let stop_seconds = settings.stop_time.as_secs();
    let workers = settings.workers.clamp(1, 512);
    let mut builder = Server::build()
        .workers(workers)
        .worker_max_blocking_threads(BLOCKING_THREADS_MAX)
        .max_concurrent_connections(settings.connections_max.div_ceil(workers).max(1))
        .shutdown_timeout(stop_seconds)
        .disable_signals();
    let stopping = builder.graceful_shutdown_signal();
    let for_all = ForAll {
        crowd: Crowd::new(settings.connections_per_address),
        handshakes: Handshakes::new(settings.handshakes_max),
        settings,
        stopping,
    };
    for listener in listeners {
        builder = listen(builder, listener, for_all.clone(), make_handler.clone())?;
    }

    let mut server = pin!(builder.run());
    let handle = server.handle();
    tokio::select! {
        result = &mut server => return result,
        () = heard(&mut stop) => tracing::info!("stopping; requests in flight have {stop_seconds} s"),
    }
    // The order is given at once and answered when all is done; a second word drops the server, which ends what is left.
    let stopped = handle.stop(true);
    tokio::select! {
        result = &mut server => result,
        () = heard(&mut stop) => {
            tracing::info!("stopping at once");
            Ok(())
        }
        () = async { stopped.await; std::future::pending().await } => Ok(()),
    }
}

/// What the connections of all listeners have in common.
#[derive(Clone)]
struct ForAll {
    settings: TransportSettings,
    crowd: Arc<Crowd>,
    handshakes: Arc<Handshakes>,
    stopping: GracefulShutdownSignal,
}

/// Adds a listener: each worker makes a handler and an edge of its own for it.
fn listen<H: Handler>(
    builder: ServerBuilder,
    listener: Listener,
    for_all: ForAll,
    make_handler: impl Fn() -> H + Clone + Send + 'static,
) -> io::Result<ServerBuilder> {
    let ForAll { settings, crowd, handshakes, stopping } = for_all;
    match listener {
        Listener::Tcp(socket) => builder.listen("tcp", socket, move || {
            let (limits, handler) = (settings.limits(), Rc::new(make_handler()));
            let (edge, crowd) = (at_the_edge(&settings, &handler, Encrypted(false)), Arc::clone(&crowd));
            fn_service(move |io: TcpStream| ready(accepted(Connection::tcp(io, limits, Rc::clone(&edge)), &crowd)))
                .and_then(http(&settings, handler, &stopping))
        }),
        Listener::Tls(socket, config) => builder.listen("tls", socket, move || {
            let handler = Rc::new(make_handler());
            let entrance = Rc::new(TlsEntrance {
                config: Arc::clone(&config),
                handshakes: Arc::clone(&handshakes),
                handshake: settings.handshakes(),
                limits: settings.limits(),
                crowd: Arc::clone(&crowd),
                edge: at_the_edge(&settings, &handler, Encrypted(true)),
                stopping: stopping.clone(),
            });
            fn_service(move |io: TcpStream| Rc::clone(&entrance).let_in(io))
                .and_then(http(&settings, handler, &stopping))
        }),
        Listener::Unix(socket) => builder.listen_uds("unix", socket, move || {
            let (limits, handler) = (settings.limits(), Rc::new(make_handler()));
            let (edge, crowd) = (at_the_edge(&settings, &handler, Encrypted(false)), Arc::clone(&crowd));
            fn_service(move |io: UnixStream| ready(accepted(Connection::unix(io, limits, Rc::clone(&edge)), &crowd)))
                .and_then(http(&settings, handler, &stopping))
        }),
    }
}

async fn heard(stop: &mut StopSignals) {
    if stop.recv().await.is_none() {
        std::future::pending::<()>().await;
    }
}

/// Builds what serves the connections of one worker.
fn http<H: Handler>(
    settings: &TransportSettings,
    handler: Rc<H>,
    stopping: &GracefulShutdownSignal,
) -> impl ServiceFactory<Accepted, Config = (), Response = (), Error = DispatchError, InitError = ()> + use<H> {
    let stopping = stopping.clone();
    let gate = Gate {
        header_bytes_max: settings.header_bytes_max,
        path_bytes_max: settings.path_bytes_max,
        handler: Rc::clone(&handler),
    };
    HttpService::build()
        // The connection itself ends when nothing has been asked of it for long enough, or a head takes too long: actix does not see every
        // request, and only the first head.
        .keep_alive(if settings.keep_alive.is_zero() { KeepAlive::Disabled } else { KeepAlive::Os })
        .client_request_timeout(Duration::ZERO)
        .client_disconnect_timeout(settings.linger_time)
        .h1_write_buffer_size(WRITE_BUFFER)
        .graceful_shutdown_signal(move || {
            let stopping = stopping.clone();
            async move { stopping.notified().await }
        })
        .on_connect_ext(|connection: &Connection, data| {
            data.insert(connection.jobs());
            data.insert(connection.turn());
            data.insert(connection.interims());
            data.insert(Encrypted(connection.is_encrypted()));
        })
        .expect(fn_service({
            let gate = gate.clone();
            move |request: Request| {
                let gate = gate.clone();
                // In a box, since every connection sets room aside for it, and few ask.
                Box::pin(async move { gate.before_continue(request).await })
            }
        }))
        .finish(front(gate, handler))
}

/// The edge of the connections of one worker.
struct AtEdge<H> {
    handler: Rc<H>,
    encrypted: Encrypted,
    bounds: Bounds,
    rounds: Rounds,
    ending: HeadTail,
    /// The head of the answer that is being said, kept for the room that it takes.
    head: RefCell<Vec<u8>>,
}

fn at_the_edge<H: Handler>(settings: &TransportSettings, handler: &Rc<H>, encrypted: Encrypted) -> Rc<dyn Edge> {
    let (handler, bounds) = (Rc::clone(handler), settings.bounds());
    Rc::new(AtEdge {
        handler,
        encrypted,
        bounds,
        rounds: Rounds::default(),
        ending: HeadTail::new(),
        head: RefCell::default(),
    })
}

impl<H: Handler> Edge for AtEdge<H> {
    fn answer(&self, bytes: &[u8], peer: Option<SocketAddr>, was_drained: bool, send: &mut SendAnswer<'_>) -> bool {
        let Some(plain) = self.bounds.read(bytes) else { return false };
        let Encrypted(is_encrypted) = self.encrypted;
        let plain = Plain { peer, is_encrypted, round: was_drained.then(|| self.rounds.present()).flatten(), ..plain };
        self.handler.at_the_edge(&plain, &mut |head, body| {
            let mut whole = self.head.borrow_mut();
            whole.clear();
            head.iter().for_each(|piece| whole.extend_from_slice(piece));
            self.ending.put(&mut whole);
            send(&whole, body);
        })
    }

    fn refuse(&self, line: &[u8], rejection: Rejection, peer: Option<SocketAddr>) -> Bytes {
        let (method, target) = named_in(line);
        let mut request = Request::new();
        let head = request.head_mut();
        (head.method, head.uri, head.peer_addr) = (method.clone(), target, peer);
        let mut answer = self.handler.reject(&request, rejection);
        answer.headers_mut().insert(header::DATE, clock::date());
        last_on_the_wire(answer, &method)
    }
}

/// Builds the fast path, and actix-web behind it.
fn front<H: Handler>(
    gate: Gate<H>,
    handler: Rc<H>,
) -> impl ServiceFactory<
    Request,
    Config = (),
    Response = Response<InTurn>,
    Error = actix_web::Error,
    InitError = (),
    Service: Service<Request, Future: 'static>,
    Future: 'static,
> {
    let app = App::new().default_service(fn_service(move |request: ServiceRequest| {
        let handler = Rc::clone(&handler);
        async move { Ok::<_, actix_web::Error>(answer(&*handler, request).await) }
    }));
    let app = Rc::new(map_config(app.into_factory(), |()| AppConfig::default()));
    fn_factory(move || {
        let (gate, app) = (gate.clone(), Rc::clone(&app));
        async move { Ok(Front { gate, app: app.new_service(()).await? }) }
    })
}

/// Lets a method answer, and leaves the connection fit for what comes next.
async fn answer<H: Handler>(handler: &H, request: ServiceRequest) -> ServiceResponse {
    let (request, mut body) = request.into_parts();
    let response = handler.handle(request.clone(), &mut body).await;
    let turn = request.conn_data::<RequestGate>();
    let far = turn.is_some_and(|turn| turn.to_come() > LEFTOVER_BYTES_MAX);
    let leftover = if far { Leftover::More } else { read_away(&mut body).await };
    if matches!(leftover, Leftover::More) {
        // Who uploads a file, or a part of one, may send all of it before reading the answer. Other bodies are small, or meant to hurt.
        let uploads = matches!(*request.method(), Method::PUT | Method::PATCH);
        let thrown_away = if uploads { u64::MAX } else { THROWN_AWAY_BYTES_MAX };
        turn.inspect(|turn| turn.is_over_after(thrown_away));
    }
    ServiceResponse::new(request, response)
}

enum Leftover {
    Nothing,
    More,
}

/// Reads away what is left of a body, within limits.
async fn read_away(body: &mut Payload) -> Leftover {
    if matches!(body, Payload::None) {
        return Leftover::Nothing;
    }
    let mut left = LEFTOVER_BYTES_MAX;
    let reading = async {
        loop {
            match body.next().await {
                None => return Leftover::Nothing,
                Some(Err(_)) => return Leftover::More,
                Some(Ok(bytes)) if bytes.len() as u64 > left => return Leftover::More,
                Some(Ok(bytes)) => left -= bytes.len() as u64,
            }
        }
    };
    tokio::time::timeout(LEFTOVER_TIME_MAX, reading).await.unwrap_or(Leftover::More)
}

/// Refuses a request for good: the body that was announced is neither asked for nor read.
fn refuse(mut request: Request, response: Response<BoxBody>) -> Response<BoxBody> {
    if !matches!(request.take_payload(), Payload::None)
        && let Some(turn) = request.conn_data::<RequestGate>()
    {
        turn.is_over_after(THROWN_AWAY_BYTES_MAX);
    }
    response
}

/// An answer at whose end the turn goes to the client, and which says so if nothing follows it. It says when it was given, since actix-web
/// would say that by another clock, which lags; and it comes in chunks only to who knows them (RFC 9112 §6.1).
fn in_turn(mut response: Response<BoxBody>, turn: Option<UntilAnswered>) -> Response<InTurn> {
    let is_chunked = response.body().size() == BodySize::Stream && response.head().chunked();
    if is_chunked && turn.as_ref().is_some_and(UntilAnswered::ends_with_the_connection) {
        response.head_mut().no_chunking(true);
    }
    if turn.as_ref().is_some_and(UntilAnswered::is_last) {
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    response.headers_mut().insert(header::DATE, clock::date());
    response.map_body(|_, body| InTurn::new(body, turn))
}

/// What every request passes first.
struct Gate<H> {
    header_bytes_max: usize,
    path_bytes_max: usize,
    handler: Rc<H>,
}

impl<H> Clone for Gate<H> {
    fn clone(&self) -> Self {
        Self { handler: Rc::clone(&self.handler), ..*self }
    }
}

impl<H: Handler> Gate<H> {
    fn rejects(&self, request: &Request) -> Option<Rejection> {
        if let Some(rejection) = request.conn_data::<RequestGate>().and_then(RequestGate::rejection) {
            return Some(rejection);
        }
        if request.path().len() > self.path_bytes_max {
            return Some(Rejection::TargetTooLong);
        }
        let bytes: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        (bytes > self.header_bytes_max).then_some(Rejection::HeadersTooLarge)
    }

    /// Decides before `100 Continue` is sent.
    async fn before_continue(&self, mut request: Request) -> Result<Request, Response<BoxBody>> {
        let turn = begin(&mut request).map(|turn| turn.until_answered());
        let refused = match self.rejects(&request) {
            Some(rejection) => self.handler.reject(&request, rejection),
            None => match self.handler.early(&request).await {
                Ok(()) => {
                    if let Some(turn) = turn {
                        turn.keep();
                    }
                    return Ok(request);
                }
                Err(refused) => refused,
            },
        };
        Err(in_turn(refuse(request, refused), turn).map_into_boxed_body())
    }

    /// Answers what needs no method.
    fn answer_at_once(&self, request: Request) -> Result<Response<BoxBody>, Request> {
        let Some(rejection) = self.rejects(&request) else { return Err(request) };
        let response = self.handler.reject(&request, rejection);
        Ok(refuse(request, response))
    }
}

/// Tells the connection what kind of request it gave, and whose turn it is now.
fn begin(request: &mut Request) -> Option<RequestGate> {
    let turn = request.conn_data::<RequestGate>().cloned()?;
    turn.begin(request);
    Some(turn)
}

struct Front<H, S> {
    gate: Gate<H>,
    app: S,
}

impl<H: Handler, S> Service<Request> for Front<H, S>
where
    S: Service<Request, Response = ServiceResponse<BoxBody>, Error = actix_web::Error, Future: Unpin>,
{
    type Response = Response<InTurn>;
    type Error = actix_web::Error;
    type Future = Either<Ready<Result<Self::Response, Self::Error>>, Answering<S::Future>>;

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.app.poll_ready(cx)
    }

    fn call(&self, mut request: Request) -> Self::Future {
        let turn = begin(&mut request).map(|turn| {
            turn.goes_on(request.head().connection_type() == ConnectionType::KeepAlive);
            turn.until_answered()
        });
        match self.gate.answer_at_once(request) {
            Ok(response) => Either::Left(ready(Ok(in_turn(response, turn)))),
            Err(request) => Either::Right(Answering { answer: self.app.call(request), turn }),
        }
    }
}

/// actix-web's answer, on its way to become the connection's.
struct Answering<F> {
    answer: F,
    turn: Option<UntilAnswered>,
}

impl<F: Future<Output = Result<ServiceResponse<BoxBody>, actix_web::Error>> + Unpin> Future for Answering<F> {
    type Output = Result<Response<InTurn>, actix_web::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = std::task::ready!(Pin::new(&mut self.answer).poll(cx))?;
        Poll::Ready(Ok(in_turn(Response::from(answer), self.turn.take())))
    }
}
