//! Adding bytes to an upload: they come at the pace of any body, each piece is written while the next is collected, and what has come when
//! the connection breaks counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;

use actix_http::Payload;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::task::spawn_blocking;

use crate::http::clock::now;
use crate::http::context::RequestScope;
use crate::http::headers::digest::Checker;
use crate::http::limits::pace::Pace;
use crate::http::methods::put::{
    Checked, Demands, Piece, Sink, UploadBody, UploadWriter, crossed, pour, turn, watch_long,
};
use crate::http::reply::{self, HandlerError, RequestError};
use crate::http::wire::interim::Interims;
use crate::share::{HeldUpload, Share};

use super::kept::Ending;

/// A part of an upload, as it is announced.
pub(super) struct Part<'a> {
    pub(super) body: &'a mut Payload,
    /// How long it is, in bytes.
    pub(super) announced: Option<u64>,
    /// What it has to come to, if anything was said of that.
    pub(super) checker: Checker,
    /// Whether it counts only as a whole, since something was said of it.
    pub(super) only_whole: bool,
    /// How the client is told how far the upload has come.
    pub(super) progress: Option<Interims>,
}

/// An upload that is written on, and the digests that what comes has come to so far.
struct Appending {
    held: HeldUpload,
    checker: Checker,
    progress: Arc<Progress>,
    /// How long it may become, in bytes.
    bytes_max: u64,
}

/// How far an upload has come that the client can count on.
#[derive(Default)]
struct Progress {
    counts: AtomicU64,
    is_to_be_told: AtomicBool,
}

impl Sink for Appending {
    fn write(&mut self, share: &Share, piece: &[u8]) -> Result<(), HandlerError> {
        if self.held.written().saturating_add(piece.len() as u64) > self.bytes_max {
            return Err(RequestError::LargeBody.into());
        }
        self.checker.update(piece);
        share.write_on(&mut self.held, piece, now())?;
        let counts = self.held.state().offset;
        if self.progress.counts.swap(counts, Ordering::Relaxed) != counts {
            self.progress.is_to_be_told.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Adds a part to an upload. However it ends, what has come of it counts, unless it counts only as a whole. The turn of an upload is held when it
/// comes back.
pub(super) async fn append(
    app: &RequestScope,
    mut held: HeldUpload,
    ending: &Ending,
    part: Part<'_>,
) -> Result<(HeldUpload, OwnedSemaphorePermit), HandlerError> {
    let changed = Arc::new(Notify::new());
    let is_to_stop = Arc::new(AtomicBool::new(false));
    let (wake, stop) = (Arc::clone(&changed), Arc::clone(&is_to_stop));
    held.tell_when_to_stop(Box::new(move || {
        stop.store(true, Ordering::Relaxed);
        wake.notify_one();
    }));
    if part.only_whole {
        held.begin_whole();
    }
    let context = &ending.demands.context;
    let watch = watch_long(app, &ending.path, context, &changed).await?;
    let replaces = (ending.path.clone(), context.clone());
    let pace = Pace::of_upload(&app.settings);
    let (body, announced) = (part.body, part.announced);
    let mut source = UploadBody { app, body, announced, pace, watch, changed, is_to_stop, replaces, doubt: None };
    let progress = Arc::new(Progress::default());
    let bytes_max = app.settings.upload_bytes_max.unwrap_or(u64::MAX);
    let appending = Appending { held, checker: part.checker, progress: Arc::clone(&progress), bytes_max };
    let mut writer = UploadWriter::new(Arc::clone(&app.share), appending);
    let mut piece = Piece::default();
    let poured = async {
        let next = source.next().await?;
        let turn = turn(app).await?;
        let pouring = pour(&mut source, &mut writer, &mut piece, next, Some(turn));
        match part.progress {
            Some(interims) => telling(pouring, &progress, &interims).await,
            None => pouring.await,
        }
    };
    let poured = poured.await;
    let came = source.pace.received();
    // What was collected has come as well.
    let rest = if writer.has_sink() { writer.write(piece.take()).await.map(drop) } else { Ok(()) };
    // After an error of the disk the upload is at rest already.
    if !writer.has_sink() {
        return Err(poured.and(rest).expect_err("a write has failed"));
    }
    let appending = writer.into_sink().await?;
    let ended = match poured {
        Ok(_) if announced.is_some_and(|announced| announced != came) => Err(RequestError::BrokenBody.into()),
        Ok(turn) => Ok(turn),
        Err(why) => Err(why),
    };
    crossed(spawn_blocking(move || {
        let Appending { mut held, checker, .. } = appending;
        let turn = ended?;
        checker.finish().map_err(RequestError::Digest)?;
        held.end_whole();
        Ok((held, turn))
    }))
    .await
}

/// Carries a future on, and tells the client meanwhile how far the upload has come.
async fn telling<T>(pouring: impl Future<Output = T>, progress: &Progress, interims: &Interims) -> T {
    let mut pouring = std::pin::pin!(pouring);
    loop {
        let polled = std::future::poll_fn(|cx| {
            let polled = pouring.as_mut().poll(cx);
            let tells = progress.is_to_be_told.swap(false, Ordering::Relaxed);
            match polled {
                Poll::Pending if !tells => Poll::Pending,
                polled => Poll::Ready(polled),
            }
        });
        match polled.await {
            Poll::Ready(poured) => return poured,
            Poll::Pending => interims.say(&reply::upload_progress(progress.counts.load(Ordering::Relaxed))).await,
        }
    }
}

/// Lets go an upload that goes on later: what has come counts then.
pub(super) async fn rest(held: HeldUpload) -> Result<(), HandlerError> {
    crossed(spawn_blocking(move || {
        drop(held);
        Ok(())
    }))
    .await
}

/// Makes an upload that is complete the file at its path, if what was said of the whole is right. If it is refused it is as it was.
pub(super) async fn finish(
    app: &RequestScope,
    held: HeldUpload,
    ending: Ending,
    turn: OwnedSemaphorePermit,
) -> Result<Checked, HandlerError> {
    let Ending { path, make_parents, demands: Demands { context, expected, dated }, head: _ } = ending;
    if !app.hashings.nothing_is_to_be_hashed(&path, None, &context) {
        app.hashings.have_hashed(&path, None, &context).await?;
    }
    let share = Arc::clone(&app.share);
    crossed(spawn_blocking(move || {
        let _turn = turn;
        let mut checker = expected.checker();
        if !checker.is_idle() {
            share.read_upload(&held, &mut |bytes| checker.update(bytes))?;
        }
        let checksums = checker.finish().map_err(RequestError::Digest)?;
        Ok((share.finish_upload(held, &path, make_parents, dated, &context.at(now()))?, checksums))
    }))
    .await
}
