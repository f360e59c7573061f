//! PUT: judged from the head, streamed into a nameless file, and committed, where it is judged again.
//!
//! Everything that touches the disk runs on the blocking pool, a piece at a time, so that an upload that sends nothing holds no thread. Once the
//! commit has begun it runs to its end. An upload whose condition turns false on the way is told then.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_http::{Payload, RequestHead};
use actix_web::HttpResponse;
use actix_web::http::header;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::model::path::SharePath;
use crate::model::precondition::Precondition;
use crate::model::stamp::Timestamp;
use crate::share::outcome::{Outcome, Refusal, Stop};
use crate::share::{Share, Stored, Upload, UploadWatch};

use super::attempt::Attempt;
use super::dav_headers::{self, Overwrite};
use super::digest::{Checker, Expected};
use super::reply::{self, Wrong};
use super::request::{self, Asked};
use super::verbs::{Trouble, Verbs, now, parse, precondition};

/// How much is written at once, in bytes. Larger pieces cost less, and hold more of the memory while an upload is slow.
const PIECE: usize = 64 * 1024;

/// How much is written at once of an upload that comes fast, in bytes.
const LARGE_PIECE: usize = 256 * 1024;

/// How much of an upload must have come before its pieces may grow, in bytes: what has come slowly by then is slow.
const LARGE_FROM: u64 = 4 * 1024 * 1024;

/// How long a piece may be collected before it is written as it is, and the next one is small again.
const COLLECTED_IN: Duration = Duration::from_millis(500);

/// A body up to this length, in bytes, is collected before anything is done about it: one crossing to the blocking pool, and the connection
/// can be used again whatever the answer is.
const SMALL: u64 = 256 * 1024;

/// From when on the rate of an upload is judged.
const RATE_FROM: Duration = Duration::from_secs(60);

/// How long an upload waits for its turn.
const TURN_WAIT: Duration = Duration::from_secs(5);

/// What the head of a PUT says.
struct Plan {
    path: SharePath,
    precondition: Precondition,
    announced: Option<u64>,
    expected: Expected,
    make_parents: bool,
    dated: Option<Timestamp>,
}

/// Judges a PUT before its body is asked for (`Expect: 100-continue`). Other methods have nothing to say yet.
pub(super) async fn early(verbs: &Verbs, head: &RequestHead) -> Result<(), Trouble> {
    if request::Verb::of(&head.method) != request::Verb::Put {
        return Ok(());
    }
    let asked = parse(head)?;
    let attempt = Attempt::new(verbs, head, &asked.path);
    attempt.ends(judge_early(verbs, head, &asked).await)
}

/// Answers PUT.
pub(super) async fn put(
    verbs: &Verbs,
    head: &RequestHead,
    body: &mut Payload,
    asked: &Asked,
) -> Result<HttpResponse, Trouble> {
    let attempt = Attempt::new(verbs, head, &asked.path);
    attempt.ends(store(verbs, head, body, asked).await)
}

async fn store(verbs: &Verbs, head: &RequestHead, body: &mut Payload, asked: &Asked) -> Result<HttpResponse, Trouble> {
    let plan = plan(verbs, head, asked)?;
    let changed = Arc::new(Notify::new());
    let watch = watch(verbs, &plan, &changed);
    let _turn = turn(verbs).await?;
    let (path, checksums) = (plan.path.clone(), plan.expected.checksums());
    let stored = match plan.announced {
        Some(length) if length <= SMALL => put_small(verbs, body, plan, length).await?,
        _ => put_large(verbs, body, plan, watch.as_ref(), &changed).await?,
    };
    if let Some(checksums) = checksums {
        let tag = stored.tag.clone();
        // The upload is stored whether or not this can be noted; what is not noted is not told.
        let _ = verbs.ask(move |share| share.note_checksums(&path, &tag, &checksums)).await;
    }
    Ok(reply::stored(&asked.path, &stored, now()))
}

fn plan(verbs: &Verbs, head: &RequestHead, asked: &Asked) -> Result<Plan, Trouble> {
    let headers = &head.headers;
    if asked.names_a_collection {
        return Err(Stop::from(Refusal::IsCollection).into());
    }
    if headers.contains_key(header::CONTENT_RANGE) {
        return Err(Wrong::PartialPut.into());
    }
    let codings = headers.get_all(header::CONTENT_ENCODING);
    if codings.map(|value| value.as_bytes()).any(|coding| !coding.eq_ignore_ascii_case(b"identity")) {
        return Err(Wrong::CodedPut.into());
    }
    let announced = request::announced_length(headers);
    // What the client believes to send has to be what it sends: a body in chunks can end early and still look whole.
    let announced = announced.or(dav_headers::expected_length(headers)?);
    let has_length = announced.is_some() || !headers.contains_key(header::TRANSFER_ENCODING);
    let announced = if has_length { Some(announced.unwrap_or(0)) } else { None };
    if let (Some(length), Some(max)) = (announced, verbs.settings.upload_bytes_max)
        && length > max
    {
        return Err(Wrong::LargeBody.into());
    }
    let conditions = precondition(verbs, head, asked)?;
    let creates = dav_headers::overwrite(headers)? == Overwrite::Forbid;
    Ok(Plan {
        path: asked.path.clone(),
        precondition: if creates { conditions.that_only_creates() } else { conditions },
        announced,
        expected: Expected::from_headers(headers).map_err(Wrong::InvalidDigest)?,
        make_parents: asked.query.make_parents,
        dated: dav_headers::asked_mtime(headers),
    })
}

async fn judge_early(verbs: &Verbs, head: &RequestHead, asked: &Asked) -> Result<(), Trouble> {
    let Plan { path, precondition, announced, make_parents, .. } = plan(verbs, head, asked)?;
    verbs.ask(move |share| judge(share, &path, &precondition, announced, make_parents)).await
}

/// A missing folder that the request itself will make is no reason to refuse it.
fn judge(
    share: &Share,
    path: &SharePath,
    precondition: &Precondition,
    announced: Option<u64>,
    make_parents: bool,
) -> Outcome<()> {
    match share.may_put(path, precondition, announced, now()) {
        Err(Stop::Refusal(Refusal::NoParent)) if make_parents => Ok(()),
        judged => judged,
    }
}

/// Only an upload that names a version can go stale, and only a body that takes a while is worth being told.
fn watch(verbs: &Verbs, plan: &Plan, changed: &Arc<Notify>) -> Option<UploadWatch> {
    let takes_a_while = plan.announced.is_none_or(|length| length > SMALL);
    if plan.precondition.is_empty() || !takes_a_while {
        return None;
    }
    let changed = Arc::clone(changed);
    Some(verbs.share.watch_upload(&plan.path, &plan.precondition, Box::new(move || changed.notify_one())))
}

async fn turn(verbs: &Verbs) -> Result<OwnedSemaphorePermit, Trouble> {
    match timeout(TURN_WAIT, Arc::clone(&verbs.uploads).acquire_owned()).await {
        Ok(Ok(permit)) => Ok(permit),
        _ => Err(Wrong::TooManyUploads.into()),
    }
}

/// A short body: it is collected, and everything else is one crossing to the blocking pool.
async fn put_small(verbs: &Verbs, body: &mut Payload, plan: Plan, length: u64) -> Result<Stored, Trouble> {
    let mut pace = Pace::new(verbs);
    let mut bytes = BytesMut::with_capacity(length as usize);
    while let Some(chunk) = pace.next(body).await? {
        bytes.extend_from_slice(&chunk);
    }
    if bytes.len() as u64 != length {
        return Err(Wrong::BrokenBody.into());
    }
    let share = Arc::clone(&verbs.share);
    crossed(tokio::task::spawn_blocking(move || {
        let Plan { path, precondition, announced: _, expected, make_parents, dated } = plan;
        let mut checker = expected.checker();
        checker.update(&bytes);
        checker.finish().map_err(Wrong::Digest)?;
        let mut upload = share.begin_short_upload(&path, &precondition, length, make_parents, now())?;
        share.write(&mut upload, &bytes, now())?;
        Ok(share.put(&path, upload, dated, &precondition, now())?)
    }))
    .await
}

/// A body of any length: while one piece is being written, the next is collected.
async fn put_large(
    verbs: &Verbs,
    body: &mut Payload,
    plan: Plan,
    watch: Option<&UploadWatch>,
    changed: &Notify,
) -> Result<Stored, Trouble> {
    let share = Arc::clone(&verbs.share);
    let checker = plan.expected.clone().checker();
    let (path, precondition, announced) = (plan.path.clone(), plan.precondition.clone(), plan.announced);
    let make_parents = plan.make_parents;
    let begun = verbs.ask(move |share| {
        share.may_put_or_make_parents(&path, &precondition, announced, make_parents, now())?;
        share.begin_upload(&path, announced, now())
    });
    let mut writer = Writer::new(share, begun.await?, checker);
    let mut pace = Pace::new(verbs);
    let mut piece = Piece::default();
    loop {
        let chunk = tokio::select! {
            biased;
            () = changed.notified() => {
                if let Some(stop) = watch.and_then(UploadWatch::told) {
                    return Err(stop.into());
                }
                continue;
            }
            chunk = pace.next(body) => chunk?,
            () = sleep(COLLECTED_IN), if piece.is_large() => {
                writer.write(piece.take()).await?;
                continue;
            }
        };
        let Some(mut chunk) = chunk else { break };
        while !chunk.is_empty() {
            piece.collect(&mut chunk);
            if piece.is_full() {
                let comes_fast = pace.received >= LARGE_FROM && piece.begun.elapsed() < COLLECTED_IN;
                let spare = writer.write(piece.take()).await?;
                piece = if comes_fast { Piece::large(spare) } else { Piece::default() };
            }
        }
    }
    writer.write(piece.take()).await?;
    writer.commit(plan).await
}

/// What is collected of an upload before it is written.
struct Piece {
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

    fn is_large(&self) -> bool {
        self.full > PIECE
    }

    /// What was collected; what is collected next is small.
    fn take(&mut self) -> BytesMut {
        std::mem::take(self).bytes
    }
}

/// Writes pieces one after the other on the blocking pool.
struct Writer {
    share: Arc<Share>,
    idle: Option<Box<Writing>>,
    writing: Option<JoinHandle<Result<Box<Writing>, Trouble>>>,
}

/// An upload, the digests that it has come to so far, and the buffer that was written last.
struct Writing {
    upload: Upload,
    checker: Checker,
    spare: BytesMut,
}

impl Writer {
    fn new(share: Arc<Share>, upload: Upload, checker: Checker) -> Self {
        Self { share, idle: Some(Box::new(Writing { upload, checker, spare: BytesMut::new() })), writing: None }
    }

    /// Begins to write a piece as soon as the one before it is written, and gives back the buffer of that one if it was large.
    async fn write(&mut self, mut piece: BytesMut) -> Result<BytesMut, Trouble> {
        let mut writing = self.upload().await?;
        let share = Arc::clone(&self.share);
        let spare = std::mem::take(&mut writing.spare);
        self.writing = Some(tokio::task::spawn_blocking(move || {
            writing.checker.update(&piece);
            share.write(&mut writing.upload, &piece, now())?;
            if piece.len() == LARGE_PIECE {
                piece.clear();
                writing.spare = piece;
            }
            Ok(writing)
        }));
        Ok(spare)
    }

    /// Waits for the last piece, compares the digests and the length, and commits.
    async fn commit(mut self, plan: Plan) -> Result<Stored, Trouble> {
        let upload = self.upload().await?;
        let share = self.share;
        crossed(tokio::task::spawn_blocking(move || {
            let Writing { upload, checker, spare: _ } = *upload;
            if plan.announced.is_some_and(|length| length != upload.written()) {
                return Err(Wrong::BrokenBody.into());
            }
            checker.finish().map_err(Wrong::Digest)?;
            Ok(share.put(&plan.path, upload, plan.dated, &plan.precondition, now())?)
        }))
        .await
    }

    async fn upload(&mut self) -> Result<Box<Writing>, Trouble> {
        match self.idle.take() {
            Some(upload) => Ok(upload),
            None => crossed(self.writing.take().expect("what is not idle is being written")).await,
        }
    }
}

/// Takes the body at the pace that the limits ask for.
struct Pace {
    idle_max: Duration,
    rate_min: u64,
    bytes_max: u64,
    begun: Instant,
    received: u64,
}

impl Pace {
    fn new(verbs: &Verbs) -> Self {
        let settings = &verbs.settings;
        let bytes_max = settings.upload_bytes_max.unwrap_or(u64::MAX);
        Self {
            idle_max: settings.body_idle_max,
            rate_min: settings.body_rate_min,
            bytes_max,
            begun: Instant::now(),
            received: 0,
        }
    }

    /// The next piece of the body; `None` only at its proper end.
    async fn next(&mut self, body: &mut Payload) -> Result<Option<Bytes>, Trouble> {
        let chunk = match timeout(self.idle_max, body.next()).await {
            Err(_) => return Err(Wrong::SlowBody.into()),
            Ok(None) => return Ok(None),
            Ok(Some(Err(_))) => return Err(Wrong::BrokenBody.into()),
            Ok(Some(Ok(chunk))) => chunk,
        };
        self.received += chunk.len() as u64;
        if self.received > self.bytes_max {
            return Err(Wrong::LargeBody.into());
        }
        let elapsed = self.begun.elapsed();
        if elapsed > RATE_FROM && self.received < self.rate_min.saturating_mul(elapsed.as_secs()) {
            return Err(Wrong::SlowBody.into());
        }
        Ok(Some(chunk))
    }
}

async fn crossed<T>(task: JoinHandle<Result<T, Trouble>>) -> Result<T, Trouble> {
    match task.await {
        Ok(outcome) => outcome,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}
