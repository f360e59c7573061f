//! The verbs: takes requests from the transport, sends each to the function for its method, and writes one line about it to the log.
//!
//! Every request passes the wall of `target::welcome` and [`authorize`]; handlers parse, ask the share, and reply.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_http::{Payload, Request, RequestHead, Response};
use actix_web::body::{BodySize, BoxBody, MessageBody as _};
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::access::{Action, Principal, authorize};
use crate::http::clock::now;
use crate::http::headers::dav_headers::BadHeader;
use crate::http::limits::copies::Copies;
use crate::http::limits::hashing::Hashings;
use crate::http::limits::pace::Pace;
use crate::http::methods::copy_move::Act;
use crate::http::methods::{change, copy_move, get, lock, propfind, proppatch, put};
use crate::http::reply::{self, Allowed, Wrong};
use crate::http::representations::media::TrustedPages;
use crate::http::representations::versions;
use crate::http::request::host::Host;
use crate::http::request::origin;
use crate::http::request::query::{self, BadQuery};
use crate::http::request::target::{self, Asked, Verb};
use crate::http::small_files::{HotCache, LastLook};
use crate::http::wire::transport::{Handler, Plain, Reads, Rejection, Say};
use crate::http::xml;
use crate::http::xml::XmlError;
use crate::log::escaped;
use crate::model::path::SharePath;
use crate::model::precondition::Precondition;
use crate::share::outcome::{Outcome, Stop};
use crate::share::{RequestContext, Share};

/// A body of XML up to this length, in bytes, is parsed where it was received; it takes less time than the way to the blocking pool.
const XML_AT_ONCE_MAX: usize = 4 * 1024;

/// What the verbs are told to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The names of this server besides addresses and `localhost`, in small letters.
    pub own_names: Vec<String>,
    /// The origins of other pages that may read and write here, as browsers write them.
    pub allowed_origins: Vec<String>,
    /// How long an upload may send nothing.
    pub body_idle_max: Duration,
    /// How many bytes a second an upload must send, judged after its first minute.
    pub body_rate_min: u64,
    /// How large an upload may be, in bytes.
    pub upload_bytes_max: Option<u64>,
    /// How many uploads may be written at once.
    pub uploads_max: usize,
    /// How many copies may be made at once.
    pub copies_max: usize,
    /// How many large files are hashed at once.
    pub hashing_max: usize,
    /// How much of small files is kept in memory, in bytes.
    pub cache_bytes: u64,
    /// How many members PROPFIND tells of everything below a folder.
    pub propfind_members_max: usize,
    /// The pages that are shown without a sandbox.
    pub trusted_pages: TrustedPages,
}

/// What all workers share.
#[derive(Debug)]
pub struct Verbs {
    pub(crate) share: Arc<Share>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) uploads: Arc<Semaphore>,
    pub(crate) hot: Arc<HotCache>,
    pub(crate) hashings: Arc<Hashings>,
    pub(crate) copies: Arc<Copies>,
    last_look: LastLook,
}

impl Clone for Verbs {
    /// The same verbs, for another worker: it has its own rounds, and so its own looks.
    fn clone(&self) -> Self {
        let Self { share, settings, uploads, hot, hashings, copies, last_look: _ } = self;
        Self {
            share: Arc::clone(share),
            settings: Arc::clone(settings),
            uploads: Arc::clone(uploads),
            hot: Arc::clone(hot),
            hashings: Arc::clone(hashings),
            copies: Arc::clone(copies),
            last_look: LastLook::default(),
        }
    }
}

/// Why a request ends without having been carried out.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It is wrong in itself.
    Wrong(Wrong),
    /// The share did not carry it out.
    Stop(Stop),
}

impl From<Wrong> for Trouble {
    fn from(wrong: Wrong) -> Self {
        Self::Wrong(wrong)
    }
}

impl From<BadHeader> for Trouble {
    fn from(bad: BadHeader) -> Self {
        Self::Wrong(Wrong::Header(bad.0))
    }
}

impl From<XmlError> for Trouble {
    fn from(error: XmlError) -> Self {
        Self::Wrong(Wrong::Xml(error))
    }
}

impl From<Stop> for Trouble {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl Verbs {
    /// The verbs of a share.
    pub fn new(share: Arc<Share>, settings: Settings) -> Self {
        let hot = Arc::new(HotCache::new(settings.cache_bytes));
        let uploads = Arc::new(Semaphore::new(settings.uploads_max));
        let hashings = Arc::new(Hashings::new(settings.hashing_max));
        let copies = Arc::new(Copies::new(settings.copies_max));
        let settings = Arc::new(settings);
        Self { share, settings, uploads, hot, hashings, copies, last_look: LastLook::default() }
    }

    async fn carry_out(&self, request: &HttpRequest, body: &mut Payload) -> Result<HttpResponse, Trouble> {
        let head = request.head();
        if Verb::of(&head.method) == Verb::Connect {
            return Err(Wrong::Method(Allowed::Somewhere).into());
        }
        self.check_in(head)?;
        if head.uri.path() == "*" && Verb::of(&head.method) == Verb::Options {
            return Ok(reply::options(Allowed::Somewhere, None));
        }
        let asked = parse(self, head).await?;
        if Verb::of(&head.method) == Verb::Get {
            get::judge_states(self, head, &asked).await?;
        }
        let restores = asked.query.restore.is_some();
        match Verb::of(&head.method) {
            Verb::Delete | Verb::Copy | Verb::Move | Verb::Unlock => has_no_body(self, head, body).await?,
            Verb::Post if restores => has_no_body(self, head, body).await?,
            _ => {}
        }
        match Verb::of(&head.method) {
            Verb::Get | Verb::Options | Verb::Post if reads_away(body).await.is_err() => Err(Wrong::BrokenBody.into()),
            Verb::Get if asked.query.versions => versions::list(self, &asked).await,
            Verb::Get if asked.query.deleted => versions::deleted(self, &asked).await,
            Verb::Get if asked.query.version.is_some() => versions::get(self, request, &asked).await,
            Verb::Get => get::get(self, request, &asked).await,
            Verb::Put => put::put(self, head, body, &asked).await,
            Verb::Delete => change::delete(self, head, &asked).await,
            Verb::MakeCollection => change::make_collection(self, head, body, &asked).await,
            Verb::Post if restores => versions::restore(self, head, &asked).await,
            Verb::Propfind => propfind::propfind(self, request, body, &asked).await,
            Verb::Proppatch => proppatch::proppatch(self, head, body, &asked).await,
            Verb::Copy if asked.query.version.is_some() => versions::copy(self, head, &asked).await,
            Verb::Copy => copy_move::relocate(self, head, &asked, Act::Copy).await,
            Verb::Move => copy_move::relocate(self, head, &asked, Act::Move).await,
            Verb::Lock => lock::lock(self, head, body, &asked).await,
            Verb::Unlock => lock::unlock(self, head, &asked).await,
            Verb::Report => Err(change::report(self, &asked).await),
            Verb::Options => change::options(self, &asked).await,
            Verb::Post | Verb::Connect | Verb::Unserved => {
                Err(Wrong::Method(change::allowed(self, &asked).await).into())
            }
            Verb::Unknown => Err(Wrong::UnknownMethod.into()),
        }
    }

    fn check_in(&self, head: &RequestHead) -> Result<(), Trouble> {
        let Settings { own_names, allowed_origins, .. } = &*self.settings;
        target::welcome(head, own_names, allowed_origins).map_err(|unwelcome| Wrong::Unwelcome(unwelcome).into())
    }

    /// Says with an answer whose pages may use it.
    fn describe(&self, head: &RequestHead, answer: &mut HttpResponse) {
        origin::describe(head, answer.headers_mut(), &self.settings.allowed_origins);
    }

    /// Asks the share on the blocking pool. Once begun it runs to its end, whether or not the client is still there.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Share) -> Outcome<T> + Send + 'static,
    ) -> Result<T, Trouble> {
        let share = Arc::clone(&self.share);
        match tokio::task::spawn_blocking(move || question(&share)).await {
            Ok(outcome) => Ok(outcome?),
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        }
    }
}

impl Handler for Verbs {
    fn at_the_edge(&self, plain: &Plain<'_>, say: &mut Say<'_>) -> bool {
        let logged = log_is_on().then(Instant::now);
        let host = Host::parse(plain.host);
        if !host.is_some_and(|host| target::is_welcome_host(host, plain.peer, &self.settings.own_names) == Ok(true)) {
            return false;
        }
        let Some(found) = self.hot.find(&self.share, plain, &self.last_look) else { return false };
        if permit(Action::Read, found.file.spot.path()).is_err() {
            return false;
        }
        let nothing = Bytes::new();
        let sends = found.modified && plain.reads == Reads::Get;
        say(found.on_the_wire(), if sends { &found.file.bytes } else { &nothing });
        if let Some(begun) = logged {
            let bytes = if found.modified { found.file.bytes.len() as u64 } else { 0 };
            let asked = Asking { method: plain.reads.as_str(), path: plain.path, peer: plain.peer };
            log(&asked, reply::hot_status(found.modified), bytes, begun);
        }
        true
    }

    fn hot(&self, request: &Request) -> Option<Response<BoxBody>> {
        let begun = Instant::now();
        let head = request.head();
        self.check_in(head).ok()?;
        let mut answer = self.hot.answer(&self.share, head)?;
        origin::describe(head, answer.headers_mut(), &self.settings.allowed_origins);
        if log_is_on() {
            let bytes = match answer.body().size() {
                BodySize::Sized(bytes) => bytes,
                _ => 0,
            };
            log(&Asking::of(request.head()), answer.status(), bytes, begun);
        }
        Some(answer)
    }

    async fn early(&self, request: &Request) -> Result<(), Response<BoxBody>> {
        let begun = Instant::now();
        let head = request.head();
        let trouble = match self.check_in(head) {
            Ok(()) => put::early(self, head).await,
            trouble => trouble,
        };
        let Err(trouble) = trouble else { return Ok(()) };
        let mut answer = explain(self, None, head, trouble).await;
        self.describe(head, &mut answer);
        log_answer(head, &answer, begun);
        Err(answer.into())
    }

    async fn handle(&self, request: HttpRequest, body: &mut Payload) -> HttpResponse {
        let begun = Instant::now();
        let mut answer = match self.carry_out(&request, body).await {
            Ok(answer) => answer,
            Err(trouble) => explain(self, Some(&request), request.head(), trouble).await,
        };
        self.describe(request.head(), &mut answer);
        log_answer(request.head(), &answer, begun);
        answer
    }

    fn reject(&self, request: &Request, rejection: Rejection) -> Response<BoxBody> {
        let begun = Instant::now();
        let mut answer = reply::rejected(request.head(), rejection);
        self.describe(request.head(), &mut answer);
        log_answer(request.head(), &answer, begun);
        answer.into()
    }
}

/// The answer to a request that was not carried out. A client that prefers so gets the current file with its 412.
async fn explain(verbs: &Verbs, request: Option<&HttpRequest>, head: &RequestHead, trouble: Trouble) -> HttpResponse {
    match trouble {
        Trouble::Wrong(wrong) => reply::wrong(head, &wrong),
        Trouble::Stop(stop) => {
            let stop = stop.as_far_as(|path| permit(Action::Read, path).is_ok());
            if let Some(request) = request
                && let Some(answer) = get::instead_of_412(verbs, request, &stop).await
            {
                return answer;
            }
            reply::stop(head, &stop)
        }
    }
}

/// The path, with the permission to use it, and a query that means something to the method.
pub(crate) async fn parse(verbs: &Verbs, head: &RequestHead) -> Result<Asked, Trouble> {
    let (asked, verb) = (Asked::parse(head)?, Verb::of(&head.method));
    permit(action_of(verb), &asked.path)?;
    if verb.changes_something()
        && verb != Verb::Unknown
        && let Some(word) = head.uri.query().and_then(query::misspelt)
    {
        return Err(Wrong::Query(BadQuery::Misspelt(word)).into());
    }
    match asked.query.means_nothing_to(verb) {
        Some(word) => Err(Wrong::Word(word, change::allowed(verbs, &asked).await).into()),
        None => Ok(asked),
    }
}

/// What a method does to its target. A COPY reads it, and writes its destination, which is asked for by itself.
fn action_of(verb: Verb) -> Action {
    match verb {
        Verb::Get | Verb::Options | Verb::Propfind | Verb::Report | Verb::Copy => Action::Read,
        Verb::Put
        | Verb::Delete
        | Verb::MakeCollection
        | Verb::Proppatch
        | Verb::Move
        | Verb::Lock
        | Verb::Unlock
        | Verb::Post
        | Verb::Connect
        | Verb::Unserved
        | Verb::Unknown => Action::Write,
    }
}

pub(crate) fn permit(action: Action, path: &SharePath) -> Result<(), Trouble> {
    authorize(&Principal::Anonymous, action, path).map_err(|_| Wrong::Denied.into())
}

/// The conditional headers of a request that changes nothing.
pub(crate) fn conditions(head: &RequestHead) -> Result<Precondition, Trouble> {
    target::conditional_headers(&head.headers).map_err(|malformed| Wrong::Condition(malformed.0).into())
}

/// Who reads, and when, where nothing is demanded of what is there.
pub(crate) fn reader(head: &RequestHead) -> RequestContext {
    RequestContext { client: target::client(head), ..RequestContext::unconditional(now()) }
}

/// Who makes a request, and what it demands of the state that it is to find. Every place that it names has to be permitted.
pub(crate) fn request_context(head: &RequestHead, asked: &Asked) -> Result<RequestContext, Trouble> {
    let (precondition, tokens) =
        target::precondition(head, asked).map_err(|malformed| Wrong::Condition(malformed.0))?;
    if let Some(states) = precondition.states() {
        states.lists.paths(&states.asked).into_iter().try_for_each(|path| permit(Action::Read, path))?;
    }
    Ok(RequestContext { client: target::client(head), tokens, precondition, now: now() })
}

/// How much is read of a body where none is expected, in bytes, and for how long; the rest is the transport's affair.
const UNEXPECTED_BYTES_MAX: usize = 32 * 1024;
const UNEXPECTED_TIME_MAX: Duration = Duration::from_millis(500);

/// How long a body may take that is XML, or that is to be none.
const SHORT_TIME_MAX: Duration = Duration::from_secs(60);

/// How large such a body may be before it needs room, in bytes. Programs send less, so they never lack it.
const XML_BYTES_FREE: usize = 16 * 1024;

/// The room that all the larger ones have together, in KiB.
static XML_ROOM: Semaphore = Semaphore::const_new(32 * 1024);

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
async fn reads_away(body: &mut Payload) -> Result<(), Wrong> {
    if matches!(body, Payload::None) {
        return Ok(());
    }
    let reading = async {
        let mut left = UNEXPECTED_BYTES_MAX;
        while let Some(chunk) = body.next().await {
            left = left.saturating_sub(chunk.map_err(|_| Wrong::BrokenBody)?.len());
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
async fn has_no_body(verbs: &Verbs, head: &RequestHead, body: &mut Payload) -> Result<(), Trouble> {
    if target::announced_length(&head.headers).is_some_and(|length| length > 0) {
        return Err(Wrong::Body.into());
    }
    match Pace::of_short_body(&verbs.settings, 0, SHORT_TIME_MAX).next(body).await {
        Ok(None) => Ok(()),
        Ok(Some(_)) | Err(Wrong::LargeBody) => Err(Wrong::Body.into()),
        Err(wrong) => Err(wrong.into()),
    }
}

/// The body of a request that is XML, whole; empty where there is none.
pub(crate) async fn xml_body(verbs: &Verbs, head: &RequestHead, body: &mut Payload) -> Result<XmlBody, Trouble> {
    let max = xml::BODY_BYTES_MAX;
    if target::is_coded(&head.headers) {
        return Err(Wrong::CodedBody.into());
    }
    if target::announced_length(&head.headers).is_some_and(|length| length > max as u64) {
        return Err(Wrong::LargeBody.into());
    }
    let mut pace = Pace::of_short_body(&verbs.settings, max as u64, SHORT_TIME_MAX);
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
    let media_type = target::text(&head.headers, header::CONTENT_TYPE).unwrap_or("application/xml");
    let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if head.method.as_str() == "MKCOL"
        && !bytes.is_empty()
        && !media_type.ends_with("/xml")
        && !media_type.ends_with("+xml")
    {
        return Err(Wrong::NotXml.into());
    }
    Ok(XmlBody { bytes, _room: room })
}

/// Takes as much of the room for XML as there is to be.
fn take_room(room: &mut Option<SemaphorePermit<'static>>, bytes: usize) -> Result<(), Trouble> {
    let wanted = bytes.div_ceil(1024) - room.as_ref().map_or(0, SemaphorePermit::num_permits);
    let more = XML_ROOM.try_acquire_many(wanted as u32).map_err(|_| Wrong::TooManyBodies)?;
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

fn log_is_on() -> bool {
    tracing::enabled!(target: "noclobber::request", tracing::Level::INFO)
}

fn log_answer(head: &RequestHead, answer: &HttpResponse, begun: Instant) {
    if !log_is_on() {
        return;
    }
    let announced = answer.headers().get("content-length").and_then(|length| length.to_str().ok()?.parse().ok());
    let bytes = match answer.body().size() {
        BodySize::Sized(bytes) => bytes,
        _ => announced.unwrap_or(0),
    };
    log(&Asking::of(head), answer.status(), bytes, begun);
}

/// What the log says of a request.
struct Asking<'a> {
    method: &'a str,
    path: &'a str,
    peer: Option<SocketAddr>,
}

impl<'a> Asking<'a> {
    fn of(head: &'a RequestHead) -> Self {
        Self { method: head.method.as_str(), path: head.uri.path(), peer: head.peer_addr }
    }
}

/// One line a request: method, path, status, bytes, time, and a word for the outcome.
fn log(asked: &Asking<'_>, status: actix_web::http::StatusCode, bytes: u64, begun: Instant) {
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
