//! `GET folder?events`: what happens in a folder, as it happens, as server-sent events (HTML Living Standard, *Server-sent events*).
//!
//! The identifier of each event is a place in the feed, so that a client which comes again goes on where it was (`Last-Event-ID`). A client that is
//! too slow is told to look again. What one may not see is not told: that is asked for each event when it is sent.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use actix_http::RequestHead;
use actix_web::HttpResponse;
use actix_web::body::BodyStream;
use actix_web::http::header::{self, HeaderName};
use bytes::Bytes;
use futures_util::stream;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::http::context::{RequestScope, is_folder, reader};
use crate::http::event_steps::{ReadFrom, event};
use crate::http::headers::field;
use crate::http::limits::event_streams::{OpenStream, Waking};
use crate::http::reply;
use crate::http::reply::{HandlerError, RequestError};
use crate::http::request::target::RequestTarget;
use crate::model::cursor::Cursor;
use crate::model::path::SharePath;
use crate::model::permissions::Permissions;
use crate::model::rights::Rights;
use crate::share::outcome::{Refusal, Stop};
use crate::share::{CopyUnderWay, LostPlace, Share};

/// How long nothing is sent at most: a proxy may close what is silent.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// After how long a client comes again whose stream has broken, in milliseconds.
const RETRY_MS: u64 = 2000;

/// How much is handed to the connection at once, in bytes: its buffer grows to that, for as long as the client has not taken it.
const PIECE: usize = 16 << 10;

/// For how long what was made to be sent is sent without a look whether it may be seen still.
const WAITS_UNSEEN: Duration = Duration::from_secs(1);

/// Where a client was that comes again.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Streams what happens in a folder.
pub(crate) async fn stream(
    app: &RequestScope,
    head: &RequestHead,
    asked: &RequestTarget,
) -> Result<HttpResponse, HandlerError> {
    is_folder(app, asked).await?;
    let place = app.events.open().ok_or(Stop::from(Refusal::Overloaded))?;
    let mut events = Events {
        woken: app.events.listen(),
        folder: asked.path.clone(),
        permissions: reader(app).permissions,
        at: app.share.feed_end(),
        rests_until: Instant::now(),
        was_complete: false,
        goes_on: false,
        copies: BTreeMap::new(),
        unsent: Bytes::new(),
        unsent_besides: Bytes::new(),
        told_at: Instant::now(),
        told_to: None,
        app: app.clone(),
        _place: place,
    };
    events.told_to = events.may_see();
    events.unsent = events.begin(last_event(head, asked)?).into();
    let mut answer = reply::found();
    answer
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        .insert_header((header::CACHE_CONTROL, "no-store"));
    // A proxy is asked to pass on each event at once.
    answer.insert_header((HeaderName::from_static("x-accel-buffering"), "no"));
    if head.method == actix_web::http::Method::HEAD {
        return Ok(answer.finish());
    }
    let stream = stream::unfold(events, |mut events| async move {
        let piece = events.next().await?;
        Some((Ok::<_, io::Error>(piece), events))
    });
    Ok(answer.body(BodyStream::new(stream)))
}

/// From where on a client wants to hear, if it says; garbled if that is no place.
fn last_event(head: &RequestHead, asked: &RequestTarget) -> Result<Option<Result<Cursor, LostPlace>>, RequestError> {
    if let Some(last) = field::text(&head.headers, LAST_EVENT_ID).filter(|last| !last.is_empty()) {
        return Ok(Some(Cursor::parse(last).ok_or(LostPlace::Foreign)));
    }
    match &asked.query.since {
        Some(since) => Ok(Some(Ok(since.0.ok_or(RequestError::LostPlace(LostPlace::Foreign))?))),
        None => Ok(None),
    }
}

/// A stream, and how far it has come.
struct Events {
    app: RequestScope,
    folder: SharePath,
    permissions: Permissions,
    woken: watch::Receiver<Waking>,
    at: Cursor,
    /// Before that it is not woken again.
    rests_until: Instant,
    was_complete: bool,
    /// Whether there was more already than was told at once.
    goes_on: bool,
    /// The copies that were told of, each with how far it had come.
    copies: BTreeMap<u64, CopyUnderWay>,
    /// What is told and has not been sent, and what is to be sent after it.
    unsent: Bytes,
    unsent_besides: Bytes,
    /// When that was made, and for what may be seen.
    told_at: Instant,
    told_to: Option<Seen>,
    _place: OpenStream,
}

/// What somebody may see of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// All of it, with the same rights.
    All(Rights),
    /// Some of it: the rights to the folder itself, and which paths.
    Some(Rights, [u8; 32]),
}

impl Events {
    /// What is sent first.
    fn begin(&mut self, wanted: Option<Result<Cursor, LostPlace>>) -> String {
        let mut text = format!("retry: {RETRY_MS}\n\n");
        let lost = match wanted {
            None => None,
            Some(Err(lost)) => Some(lost),
            Some(Ok(cursor)) => {
                self.at = cursor;
                self.app.share.check_place(cursor).err()
            }
        };
        match lost {
            Some(lost) => text += &self.look_again(lost),
            None => {
                self.was_complete = self.app.share.feed_is_complete();
                text += &event("begin", self.at, &json!({ "complete": self.was_complete }).to_string());
            }
        }
        text
    }

    /// What is sent next; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.unsent.is_empty() {
                self.unsent = std::mem::take(&mut self.unsent_besides);
            }
            if !self.unsent.is_empty() {
                // What was handed over before leaves first.
                tokio::task::yield_now().await;
                // A client that comes again goes on with what it may see by then.
                if self.told_at.elapsed() > WAITS_UNSEEN && self.may_see() != self.told_to {
                    return None;
                }
                return Some(self.unsent.split_to(self.unsent.len().min(PIECE)));
            }
            sleep_until(self.rests_until).await;
            self.woken.mark_unchanged();
            let told_to = self.may_see();
            if *self.woken.borrow() == Waking::Stops || told_to.is_none() {
                return None;
            }
            (self.told_at, self.told_to) = (Instant::now(), told_to);
            let (told, besides) = self.what_happened().await;
            if !told.is_empty() || !besides.is_empty() {
                self.rests_until = self.app.events.rests_until(told.len(), self.goes_on).into();
                (self.unsent, self.unsent_besides) = (told, besides.into());
                continue;
            }
            if self.goes_on {
                continue;
            }
            match timeout(KEEP_ALIVE, self.woken.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) => return Some(Bytes::from_static(b": \n\n")),
            }
        }
    }

    /// What whoever listens may see of the folder now; `None` if nothing.
    fn may_see(&self) -> Option<Seen> {
        self.permissions.look_again();
        let rights = self.permissions.at(&self.folder);
        let sees = !self.app.caller.has_ended() && rights.contains(Rights::LIST);
        sees.then(|| match self.permissions.throughout_if_the_same(&self.folder) {
            Some(rights) => Seen::All(rights),
            None => Seen::Some(rights, self.permissions.digest_of_listed(&self.folder)),
        })
    }

    /// What is told, made for all who are told the same, and what is told besides.
    async fn what_happened(&mut self) -> (Bytes, String) {
        let (at, share) = (self.at, Arc::clone(&self.app.share));
        let is_complete = share.feed_is_complete();
        self.goes_on = false;
        let view = (&self.folder, &self.permissions);
        let some = match self.app.event_steps.after(&share, at, view, ReadFrom::Memory) {
            Ok(None) => {
                let (app, folder, permissions) = (self.app.clone(), self.folder.clone(), self.permissions.clone());
                let asked =
                    move |share: &Share| Ok(app.event_steps.after(share, at, (&folder, &permissions), ReadFrom::Disk));
                match self.app.ask(asked).await {
                    Ok(some) => some,
                    Err(_) => return Default::default(),
                }
            }
            some => some,
        };
        let some = match some {
            Ok(Some(some)) => some,
            // It is tried again when something else happens.
            Ok(None) | Err(LostPlace::Unreadable) => return Default::default(),
            Err(lost) => return (Bytes::new(), self.look_again(lost)),
        };
        (self.at, self.goes_on) = (some.to, some.goes_on);
        let mut text = String::new();
        if is_complete && !self.was_complete && !some.goes_on {
            self.was_complete = true;
            text += &event("complete", self.at, "{}");
        }
        text += &self.copies_that_go_on();
        (some.text, text)
    }

    /// How far the copies have come that are to appear in the folder, and which are over.
    fn copies_that_go_on(&mut self) -> String {
        let mut text = String::new();
        let may_be_told = |copy: &CopyUnderWay| copy.is_shown(&self.folder, &self.permissions);
        let now: BTreeMap<u64, CopyUnderWay> =
            self.app.share.copies_under_way().into_iter().filter(may_be_told).map(|copy| (copy.number, copy)).collect();
        for (number, copy) in &self.copies {
            if copy.members > 0 && !now.contains_key(number) {
                text += &copying(copy, true, self.at);
            }
        }
        for (number, copy) in &now {
            if copy.members > 0 && self.copies.get(number) != Some(copy) {
                text += &copying(copy, false, self.at);
            }
        }
        self.copies = now;
        text
    }

    /// Says that something happened which cannot be told, and goes on from now.
    fn look_again(&mut self, lost: LostPlace) -> String {
        self.was_complete = self.app.share.feed_is_complete();
        self.at = self.app.share.feed_end();
        let why = json!({ "why": lost.to_string(), "complete": self.was_complete });
        event("reset", self.at, &why.to_string())
    }
}

/// How far a copy has come.
fn copying(copy: &CopyUnderWay, is_over: bool, at: Cursor) -> String {
    let data = json!({ "path": copy.to.to_text(), "members": copy.members, "of": copy.of, "over": is_over });
    event("copying", at, &data.to_string())
}
