//! PUT, and PATCH as far as its body comes like one: judged from the head, streamed into a nameless file, and committed, where it is judged again.
//!
//! Everything that touches the disk runs on the blocking pool, a piece at a time, so that an upload that sends nothing holds no thread, and no
//! turn that another could have. Once the commit has begun it runs to its end. An upload whose condition turns false on the way is told then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use actix_http::{Payload, RequestHead};
use actix_web::HttpResponse;
use actix_web::http::header;
use bytes::{Bytes, BytesMut};
use futures_util::future::LocalBoxFuture;
use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::http::clock::now;
use crate::http::context::{RequestScope, allowed, parse, request_context};
use crate::http::headers::dav_headers::Overwrite;
use crate::http::headers::digest::{Checker, Expected};
use crate::http::headers::{dav_headers, field};
use crate::http::limits::pace::Pace;
use crate::http::methods::attempt::Attempt;
use crate::http::methods::patch::{self, CameAs, Part};
use crate::http::reply;
use crate::http::reply::{HandlerError, RequestError};
use crate::http::request::method::{Allowed, DavMethod};
use crate::http::request::target::RequestTarget;
use crate::model::path::SharePath;
use crate::model::stamp::Timestamp;
use crate::model::update_range::UpdateRange;
use crate::share::outcome::{Forbidden, Refusal, Stop};
use crate::share::{RequestContext, Share, Stored, Upload, UploadWatch};

/// How much is written at once, in bytes. Larger pieces cost less, and hold more of the memory while an upload is slow.
const PIECE: usize = 64 * 1024;

/// How much is written at once of an upload that comes fast, in bytes.
const LARGE_PIECE: usize = 256 * 1024;

/// How much of an upload must have come before its pieces may grow, in bytes: what has come slowly by then is slow.
const LARGE_FROM: u64 = 4 * 1024 * 1024;

/// How long nothing may come before what was collected is written as it is, and others have their turn; the next piece is small again.
const COLLECTED_IN: Duration = Duration::from_millis(500);

/// A body up to this length, in bytes, is collected before anything is done about it: one crossing to the blocking pool, and the connection
/// can be used again whatever the answer is.
const SMALL: u64 = 256 * 1024;

/// How long an upload waits for its turn.
const TURN_WAIT: Duration = Duration::from_secs(5);

/// What the head of a PUT says.
pub(super) struct Plan {
    pub(super) path: SharePath,
    pub(super) context: RequestContext,
    pub(super) announced: Option<u64>,
    pub(super) expected: Expected,
    pub(super) make_parents: bool,
    pub(super) dated: Option<Timestamp>,
    /// Where it goes, if it is a part of the file.
    part: Option<UpdateRange>,
}

impl Plan {
    fn into_part(self, range: UpdateRange, bytes: CameAs) -> Part {
        let Self { path, context, dated, .. } = self;
        Part { path, context, range, dated, bytes }
    }
}

/// What the head of a PUT demands, and says of the file that it stores.
#[derive(Clone)]
pub(super) struct Demands {
    pub(super) context: RequestContext,
    pub(super) expected: Expected,
    pub(super) dated: Option<Timestamp>,
}

/// A short upload that has come whole.
struct Whole {
    plan: Plan,
    bytes: Bytes,
}

/// What was stored, and its checksums if the client sent some.
pub(super) type Checked = (Stored, Option<String>);

/// Judges a PUT or a PATCH before its body is asked for (`Expect: 100-continue`). Other methods have nothing to say yet.
pub(crate) async fn early(app: &RequestScope, head: &RequestHead) -> Result<(), HandlerError> {
    if !matches!(DavMethod::of(&head.method), DavMethod::Put | DavMethod::Patch) {
        return Ok(());
    }
    let asked = parse(app, head).await?;
    names_a_file(app, &asked).await?;
    let attempt = Attempt::new(app, head, &asked.path);
    attempt.ends(judge_early(app, head, &asked).await).await
}

pub(crate) async fn put(
    app: &RequestScope,
    head: &RequestHead,
    body: &mut Payload,
    asked: &RequestTarget,
) -> Result<HttpResponse, HandlerError> {
    names_a_file(app, asked).await?;
    let attempt = Attempt::new(app, head, &asked.path);
    attempt.ends(store(app, head, body, asked).await).await
}

async fn store(
    app: &RequestScope,
    head: &RequestHead,
    body: &mut Payload,
    asked: &RequestTarget,
) -> Result<HttpResponse, HandlerError> {
    let plan = plan(app, head, asked)?;
    let changed = Arc::new(Notify::new());
    let watch = watch(app, &plan, &changed).await?;
    let replaces = (plan.path.clone(), plan.context.clone());
    let pace = Pace::of_upload(&app.settings);
    let (announced, is_whole) = (plan.announced, plan.part.is_none());
    let is_to_stop = Arc::default();
    let source = UploadBody { app, body, announced, pace, watch, changed, is_to_stop, replaces, doubt: None };
    let (stored, checksums) = match plan.announced {
        Some(length) if length <= SMALL => put_small(source, plan, length).await?,
        _ => put_large(source, plan, BytesMut::new(), None).await?,
    };
    keep_checksums(app, &stored, checksums.filter(|_| is_whole));
    Ok(reply::stored(&asked.path, &stored, now()))
}

/// Keeps what clients compare of a file that was stored, if one of them said what it should come to.
pub(super) fn keep_checksums(app: &RequestScope, stored: &Stored, checksums: Option<String>) {
    if let Some(checksums) = checksums {
        app.share.keep_checksums(&stored.tag, &checksums);
    }
}

/// A path that ends in a slash names no file. To store something there is no attempt to store it at the path without.
pub(super) async fn names_a_file(app: &RequestScope, asked: &RequestTarget) -> Result<(), HandlerError> {
    if !asked.has_trailing_slash {
        return Ok(());
    }
    match allowed(app, asked).await {
        Allowed::OnCollections => Err(Stop::from(Refusal::IsCollection).into()),
        Allowed::OnLinkedCollections => Err(Stop::from(Refusal::NotAllowed(Forbidden::Link)).into()),
        _ => Err(RequestError::NamesACollection.into()),
    }
}

pub(super) fn plan(app: &RequestScope, head: &RequestHead, asked: &RequestTarget) -> Result<Plan, HandlerError> {
    let headers = &head.headers;
    let part = patch::part(app, head)?;
    if field::is_coded(headers) {
        return Err(RequestError::CodedBody.into());
    }
    let announced = field::announced_length(headers);
    if part.is_none() && announced.is_none() && !headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(RequestError::NoLength.into());
    }
    // What the client believes to send has to be what it sends: a body in chunks can end early and still look whole.
    let expected = dav_headers::expected_length(headers)?;
    if announced.is_some() && expected.is_some() && announced != expected {
        return Err(RequestError::TwoLengths.into());
    }
    let announced = announced.or(expected);
    if let (Some(length), Some(max)) = (announced, app.settings.upload_bytes_max)
        && length > max
    {
        return Err(RequestError::LargeBody.into());
    }
    let Demands { context, expected, dated } = demands(app, head, asked)?;
    let part = part.map(|part| patch::place_of(part, head, announced, &expected)).transpose()?;
    let (path, make_parents) = (asked.path.clone(), asked.query.make_parents);
    Ok(Plan { path, context, announced, expected, make_parents, dated, part })
}

/// What a head demands of the state that is to be found, and says of the file.
pub(super) fn demands(app: &RequestScope, head: &RequestHead, asked: &RequestTarget) -> Result<Demands, HandlerError> {
    let context = request_context(app, head, asked)?;
    let creates = dav_headers::overwrite(&head.headers)? == Overwrite::Forbid;
    Ok(Demands {
        context: if creates { context.that_only_creates() } else { context },
        expected: Expected::from_headers(&head.headers).map_err(RequestError::InvalidDigest)?,
        dated: dav_headers::asked_mtime(&head.headers),
    })
}

async fn judge_early(app: &RequestScope, head: &RequestHead, asked: &RequestTarget) -> Result<(), HandlerError> {
    judge(app, &plan(app, head, asked)?).await
}

/// Says why it could not succeed now. A missing folder that the request itself will make is no reason to refuse it.
async fn judge(app: &RequestScope, plan: &Plan) -> Result<(), HandlerError> {
    let Plan { path, context, announced, make_parents, part, .. } = plan;
    app.hashings.have_hashed(path, None, &context.of_states_alone()).await?;
    let (path, context, announced, part) = (path.clone(), context.clone(), *announced, *part);
    let make_parents = *make_parents;
    app.ask(move |share| {
        let context = context.at(now());
        match part {
            Some(range) => share.may_patch(&path, range, announced, &context),
            None if make_parents => share.may_put_with_parents(&path, &context, announced),
            None => share.may_put(&path, &context, announced),
        }
    })
    .await
}

/// Only an upload that names a version can go stale, and only a body that takes a while is worth being told.
async fn watch(app: &RequestScope, plan: &Plan, changed: &Arc<Notify>) -> Result<Option<UploadWatch>, HandlerError> {
    if is_short(plan.announced) {
        return Ok(None);
    }
    watch_long(app, &plan.path, &plan.context, changed).await
}

/// Whether a body is collected before anything is done about it.
pub(super) fn is_short(announced: Option<u64>) -> bool {
    announced.is_some_and(|length| length <= SMALL)
}

pub(super) async fn watch_long(
    app: &RequestScope,
    path: &SharePath,
    context: &RequestContext,
    changed: &Arc<Notify>,
) -> Result<Option<UploadWatch>, HandlerError> {
    if context.is_unconditional() {
        return Ok(None);
    }
    let (changed, path, context) = (Arc::clone(changed), path.clone(), context.clone());
    let wake = Box::new(move || changed.notify_one());
    app.ask(move |share| Ok(Some(share.watch_upload(&path, &context, wake)))).await
}

/// Says that an upload in flight can no longer succeed, once the file that it depends on is hashed. What cannot be hashed now is hashed for the
/// commit.
pub(super) async fn look_again(
    app: &RequestScope,
    path: SharePath,
    context: RequestContext,
) -> Result<(), HandlerError> {
    if app.hashings.have_hashed(&path, None, &context).await.is_err() {
        return Ok(());
    }
    app.ask(move |share| share.may_go_on(&path, &context.at(now()))).await
}

pub(super) async fn turn(app: &RequestScope) -> Result<OwnedSemaphorePermit, HandlerError> {
    match timeout(TURN_WAIT, Arc::clone(&app.uploads).acquire_owned()).await {
        Ok(Ok(permit)) => Ok(permit),
        _ => Err(RequestError::TooManyUploads.into()),
    }
}

/// The body of an upload while it comes, and what makes it worthless meanwhile.
pub(super) struct UploadBody<'a> {
    pub(super) app: &'a RequestScope,
    pub(super) body: &'a mut Payload,
    /// How long the client says that it is, in bytes.
    pub(super) announced: Option<u64>,
    pub(super) pace: Pace,
    pub(super) watch: Option<UploadWatch>,
    pub(super) changed: Arc<Notify>,
    /// Whether another request has taken the upload over.
    pub(super) is_to_stop: Arc<AtomicBool>,
    /// What the upload is to replace.
    pub(super) replaces: (SharePath, RequestContext),
    /// The look that says whether the upload can still succeed, while it is in doubt; without it what is hashed for that is not wanted.
    pub(super) doubt: Option<LocalBoxFuture<'a, Result<(), HandlerError>>>,
}

impl UploadBody<'_> {
    /// The next piece of the body; `None` only at its proper end. What is longer than was said is broken as soon as that is seen.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, HandlerError> {
        loop {
            tokio::select! {
                biased;
                () = self.changed.notified() => {
                    if self.is_to_stop.load(Ordering::Relaxed) {
                        return Err(RequestError::TakenOver.into());
                    }
                    if let Some(stop) = self.watch.as_ref().and_then(UploadWatch::told) {
                        return Err(stop.into());
                    }
                    if self.watch.as_ref().is_some_and(UploadWatch::is_in_doubt) {
                        let (path, context) = self.replaces.clone();
                        self.doubt = Some(Box::pin(look_again(self.app, path, context)));
                    }
                }
                looked = async { self.doubt.as_mut().expect("it is there").await }, if self.doubt.is_some() => {
                    self.doubt = None;
                    looked?;
                }
                chunk = self.pace.next(self.body) => {
                    let chunk = chunk?;
                    return match self.announced {
                        Some(length) if self.pace.received() > length => Err(RequestError::BrokenBody.into()),
                        _ => Ok(chunk),
                    };
                }
            }
        }
    }

    /// The next piece, while a turn is held: `None` where nothing comes, and others may wait for the turn.
    async fn next_soon(&mut self) -> Result<Option<Option<Bytes>>, HandlerError> {
        let patience = if self.others_may_wait() { Duration::ZERO } else { COLLECTED_IN };
        match timeout(patience, self.next()).await {
            Ok(next) => next.map(Some),
            Err(_) => Ok(None),
        }
    }

    /// Whether no turn is free.
    fn others_may_wait(&self) -> bool {
        self.app.uploads.available_permits() == 0
    }
}

/// A short body: it is collected, and everything else is one crossing to the blocking pool. One that does not come at once is an upload like
/// any other.
async fn put_small(mut source: UploadBody<'_>, plan: Plan, length: u64) -> Result<Checked, HandlerError> {
    let mut next = source.next().await?;
    let turn = turn(source.app).await?;
    let mut bytes = BytesMut::with_capacity(length as usize);
    while let Some(chunk) = next {
        bytes.extend_from_slice(&chunk);
        next = match source.next_soon().await? {
            Some(next) => next,
            None => return put_large(source, plan, bytes, Some(turn)).await,
        };
    }
    if bytes.len() as u64 != length {
        return Err(RequestError::BrokenBody.into());
    }
    let app = source.app;
    if let Some(range) = plan.part {
        drop(turn);
        let checksums = compared(&plan.expected, &bytes)?;
        return Ok((patch::write(app, plan.into_part(range, CameAs::Bytes(bytes.freeze()))).await?, checksums));
    }
    let whole = Arc::new(Whole { plan, bytes: bytes.freeze() });
    // What is asked of the target is seen when it is looked at; what `If` asks of other places takes a look of its own.
    let looks_first = whole.plan.context.precondition.states().is_some();
    let turn = if looks_first { hashed(app, &whole.plan, turn).await? } else { turn };
    if let Some(stored) = store_whole(app, &whole, turn, !looks_first).await? {
        return Ok(stored);
    }
    let turn = hashed(app, &whole.plan, turn_again(app).await).await?;
    Ok(store_whole(app, &whole, turn, false).await?.expect("it waits for nothing"))
}

/// Stores a body on the blocking pool; `None` if something has to be hashed first, and it `can_wait` for that.
async fn store_whole(
    app: &RequestScope,
    whole: &Arc<Whole>,
    turn: OwnedSemaphorePermit,
    can_wait: bool,
) -> Result<Option<Checked>, HandlerError> {
    let (share, whole) = (Arc::clone(&app.share), Arc::clone(whole));
    crossed(tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let Whole { plan: Plan { path, context, expected, make_parents, dated, .. }, bytes } = &*whole;
        let checksums = compared(expected, bytes)?;
        let context = context.clone().at(now());
        let begun = share.begin_short_upload(path, &context, bytes.len() as u64, *make_parents, can_wait)?;
        let Some(mut upload) = begun else { return Ok(None) };
        share.write(&mut upload, bytes, now())?;
        Ok(Some((share.put(path, upload, *dated, &context.at(now()))?, checksums)))
    }))
    .await
}

/// The checksums of a short body, if the client sent some, and if they are right.
fn compared(expected: &Expected, bytes: &[u8]) -> Result<Option<String>, RequestError> {
    let mut checker = expected.clone().checker();
    checker.update(bytes);
    checker.finish().map_err(RequestError::Digest)
}

/// A body of any length, of which some may have come: while one piece is being written, the next is collected. A turn is held only while bytes
/// come, and never while the client is waited for.
async fn put_large(
    mut source: UploadBody<'_>,
    plan: Plan,
    come: BytesMut,
    mut held: Option<OwnedSemaphorePermit>,
) -> Result<Checked, HandlerError> {
    let app = source.app;
    judge(app, &plan).await?;
    let next = if come.is_empty() { source.next().await? } else { Some(come.freeze()) };
    if held.is_none() {
        held = Some(turn(app).await?);
    }
    let storing = Storing { upload: begin(app, &plan).await?, checker: plan.expected.clone().checker() };
    let mut writer = UploadWriter::new(Arc::clone(&app.share), storing);
    let turn = pour(&mut source, &mut writer, &mut Piece::default(), next, held).await?;
    let storing = writer.into_sink().await?;
    if let Some(range) = plan.part {
        let announced = plan.announced;
        let (upload, checksums) = crossed(tokio::task::spawn_blocking(move || storing.complete(announced))).await?;
        drop(turn);
        return Ok((patch::write(app, plan.into_part(range, CameAs::Upload(Box::new(upload)))).await?, checksums));
    }
    let _turn = hashed(app, &plan, turn).await?;
    commit(app, storing, plan).await
}

/// Writes a body to its end, of which the `next` piece has come: while one piece is being written, the next is collected. A turn is held only while
/// bytes come; the one that is held at the end comes back.
pub(super) async fn pour<S: Sink>(
    source: &mut UploadBody<'_>,
    writer: &mut UploadWriter<S>,
    piece: &mut Piece,
    mut next: Option<Bytes>,
    mut held: Option<OwnedSemaphorePermit>,
) -> Result<OwnedSemaphorePermit, HandlerError> {
    let app = source.app;
    while let Some(mut chunk) = next {
        if held.is_none() {
            held = Some(turn_again(app).await);
        }
        while !chunk.is_empty() {
            piece.collect(&mut chunk);
            if piece.is_full() {
                let comes_fast = source.pace.received() >= LARGE_FROM && piece.begun.elapsed() < COLLECTED_IN;
                let spare = writer.write(piece.take()).await?;
                *piece = if comes_fast { Piece::large(spare) } else { Piece::default() };
            }
        }
        next = match source.next_soon().await? {
            Some(next) => next,
            None => {
                writer.rest(piece.take(), held.take()).await?;
                source.next().await?
            }
        };
    }
    let turn = match held {
        Some(turn) => turn,
        None => turn_again(app).await,
    };
    writer.write(piece.take()).await?;
    Ok(turn)
}

/// Compares the digests and the length of what has come, and commits.
async fn commit(app: &RequestScope, storing: Storing, plan: Plan) -> Result<Checked, HandlerError> {
    let share = Arc::clone(&app.share);
    crossed(tokio::task::spawn_blocking(move || {
        let (upload, checksums) = storing.complete(plan.announced)?;
        Ok((share.put(&plan.path, upload, plan.dated, &plan.context.at(now()))?, checksums))
    }))
    .await
}

async fn begin(app: &RequestScope, plan: &Plan) -> Result<Upload, HandlerError> {
    let Plan { path, context, announced, make_parents, part, .. } = plan;
    let (path, context, announced, make_parents) = (path.clone(), context.clone(), *announced, *make_parents);
    match part {
        Some(_) => app.ask(move |share| share.begin_upload(&path, announced, now())).await,
        None => app.ask(move |share| share.begin_long_upload(&path, &context.at(now()), announced, make_parents)).await,
    }
}

/// Has what is there hashed if the upload names its content. Meanwhile others have the turn.
async fn hashed(
    app: &RequestScope,
    plan: &Plan,
    turn: OwnedSemaphorePermit,
) -> Result<OwnedSemaphorePermit, HandlerError> {
    if app.hashings.nothing_is_to_be_hashed(&plan.path, None, &plan.context) {
        return Ok(turn);
    }
    drop(turn);
    app.hashings.have_hashed(&plan.path, None, &plan.context).await?;
    Ok(turn_again(app).await)
}

/// Waits for another turn, however long it takes: what has come is on the disk.
pub(super) async fn turn_again(app: &RequestScope) -> OwnedSemaphorePermit {
    Arc::clone(&app.uploads).acquire_owned().await.expect("it is never closed")
}

/// What is collected of an upload before it is written.
pub(super) struct Piece {
    bytes: BytesMut,
    full: usize,
    begun: Instant,
}

impl Default for Piece {
    fn default() -> Self {
        Self { bytes: BytesMut::new(), full: PIECE, begun: Instant::now() }
    }
}

impl Piece {
    /// A piece of an upload that comes fast, in the buffer of an earlier one if there is one.
    fn large(buffer: BytesMut) -> Self {
        Self { bytes: buffer, full: LARGE_PIECE, begun: Instant::now() }
    }

    /// Takes in what has room of these bytes.
    fn collect(&mut self, chunk: &mut Bytes) {
        let fits = chunk.len().min(self.full - self.bytes.len());
        if self.bytes.capacity() < self.full {
            self.bytes.reserve(self.full - self.bytes.len());
        }
        self.bytes.extend_from_slice(&chunk.split_to(fits));
    }

    fn is_full(&self) -> bool {
        self.bytes.len() == self.full
    }

    /// What was collected; what is collected next is small.
    pub(super) fn take(&mut self) -> BytesMut {
        std::mem::take(self).bytes
    }
}

/// Writes pieces one after the other on the blocking pool.
pub(super) struct UploadWriter<S: Sink> {
    share: Arc<Share>,
    idle: Option<Box<Writing<S>>>,
    writing: Option<JoinHandle<Result<Box<Writing<S>>, HandlerError>>>,
}

/// What pieces are written to.
pub(super) trait Sink: Send + 'static {
    /// Takes a piece, on the blocking pool.
    fn write(&mut self, share: &Share, piece: &[u8]) -> Result<(), HandlerError>;
}

/// An upload, and the digests that it has come to so far.
struct Storing {
    upload: Upload,
    checker: Checker,
}

impl Sink for Storing {
    fn write(&mut self, share: &Share, piece: &[u8]) -> Result<(), HandlerError> {
        self.checker.update(piece);
        Ok(share.write(&mut self.upload, piece, now())?)
    }
}

/// What is written to, and the buffer that was written last.
struct Writing<S> {
    sink: S,
    spare: BytesMut,
}

impl Storing {
    /// What has come, if its length and its digests are right.
    fn complete(self, announced: Option<u64>) -> Result<(Upload, Option<String>), HandlerError> {
        if announced.is_some_and(|length| length != self.upload.written()) {
            return Err(RequestError::BrokenBody.into());
        }
        let checksums = self.checker.finish().map_err(RequestError::Digest)?;
        Ok((self.upload, checksums))
    }
}

impl<S: Sink> UploadWriter<S> {
    pub(super) fn new(share: Arc<Share>, sink: S) -> Self {
        Self { share, idle: Some(Box::new(Writing { sink, spare: BytesMut::new() })), writing: None }
    }

    /// Begins to write a piece as soon as the one before it is written, and gives back the buffer of that one if it was large.
    pub(super) async fn write(&mut self, mut piece: BytesMut) -> Result<BytesMut, HandlerError> {
        let mut writing = self.idle().await?;
        let share = Arc::clone(&self.share);
        let spare = std::mem::take(&mut writing.spare);
        self.writing = Some(tokio::task::spawn_blocking(move || {
            writing.sink.write(&share, &piece)?;
            if piece.len() == LARGE_PIECE {
                piece.clear();
                writing.spare = piece;
            }
            Ok(writing)
        }));
        Ok(spare)
    }

    /// Writes what there is, and keeps nothing meanwhile: no buffer, and the turn no longer than the disk takes.
    async fn rest(&mut self, piece: BytesMut, turn: Option<OwnedSemaphorePermit>) -> Result<(), HandlerError> {
        let mut writing = self.idle().await?;
        let share = Arc::clone(&self.share);
        self.writing = Some(tokio::task::spawn_blocking(move || {
            let _turn = turn;
            writing.spare = BytesMut::new();
            writing.sink.write(&share, &piece)?;
            Ok(writing)
        }));
        Ok(())
    }

    /// Whether what is written to is still there: after an error it is not.
    pub(super) fn has_sink(&self) -> bool {
        self.idle.is_some() || self.writing.is_some()
    }

    /// Waits for the last piece.
    pub(super) async fn into_sink(mut self) -> Result<S, HandlerError> {
        Ok(self.idle().await?.sink)
    }

    async fn idle(&mut self) -> Result<Box<Writing<S>>, HandlerError> {
        match self.idle.take() {
            Some(idle) => Ok(idle),
            None => crossed(self.writing.take().expect("what is not idle is being written")).await,
        }
    }
}

/// What becomes of nothing is let go on the blocking pool: the file may be large, and folders may have been made for it.
impl<S: Sink> Drop for UploadWriter<S> {
    fn drop(&mut self) {
        let (idle, writing) = (self.idle.take(), self.writing.take());
        let Ok(runtime) = Handle::try_current() else { return };
        if let Some(idle) = idle {
            runtime.spawn_blocking(move || drop(idle));
        }
        if let Some(writing) = writing {
            runtime.spawn(async move {
                if let Ok(written) = writing.await {
                    tokio::task::spawn_blocking(move || drop(written));
                }
            });
        }
    }
}

pub(super) async fn crossed<T>(task: JoinHandle<Result<T, HandlerError>>) -> Result<T, HandlerError> {
    match task.await {
        Ok(outcome) => outcome,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}
