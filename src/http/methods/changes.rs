//! `GET folder?changes&since=CURSOR`: what has happened in a folder since a place in the feed, a page at a time; with `wait` the answer comes when
//! something has.

use std::time::{Duration, Instant};

use actix_http::RequestHead;
use actix_web::HttpResponse;
use actix_web::http::header::{self, HeaderValue};
use serde::Serialize;

use crate::http::context::{RequestScope, is_folder, reader};
use crate::http::described_change::{DescribedChange, DescribedPlace};
use crate::http::headers::field;
use crate::http::limits::event_streams::Waking;
use crate::http::media;
use crate::http::reply;
use crate::http::reply::{HandlerError, RequestError};
use crate::http::representations::file::CACHE;
use crate::http::representations::listing;
use crate::http::request::target::RequestTarget;
use crate::model::cursor::Cursor;
use crate::model::path::SharePath;
use crate::share::{LostPlace, NumberedChange, RequestContext, Share};

/// How many changes one page tells where the client does not say, and at most.
const PAGE_DEFAULT: usize = 1000;
const PAGE_MAX: usize = 10_000;

/// How many are looked at in one step.
const STEP: usize = 1000;

/// For how long one may wait at most, in seconds.
const WAIT_MAX: u64 = 60;

/// One object a line.
const NDJSON: &str = "application/x-ndjson";

/// Some changes of a folder, as a client is shown them, and how far that goes.
pub(crate) struct ShownPage {
    pub(crate) changes: Vec<NumberedChange>,
    pub(crate) up_to: Cursor,
    pub(crate) goes_on: bool,
    pub(crate) is_complete: bool,
}

/// Tells what has happened.
pub(crate) async fn list(
    app: &RequestScope,
    head: &RequestHead,
    asked: &RequestTarget,
) -> Result<HttpResponse, HandlerError> {
    is_folder(app, asked).await?;
    let since = match &asked.query.since {
        Some(since) => Some(since.0.ok_or(RequestError::LostPlace(LostPlace::Foreign))?),
        None => None,
    };
    let limit = asked.query.limit.unwrap_or(PAGE_DEFAULT).min(PAGE_MAX);
    let page = match since {
        None => beginning(&app.share),
        Some(since) => wait_for_page(app, asked, since, limit).await?,
    };
    Ok(answer(head, &asked.path, &page))
}

/// The place from which on things are told.
fn beginning(share: &Share) -> ShownPage {
    // Asked in this order: what happens in between is told once more.
    let (is_complete, up_to) = (share.feed_is_complete(), share.feed_end());
    ShownPage { changes: Vec::new(), up_to, goes_on: false, is_complete }
}

/// The next page; with `wait` as soon as there is something in it.
async fn wait_for_page(
    app: &RequestScope,
    asked: &RequestTarget,
    since: Cursor,
    limit: usize,
) -> Result<ShownPage, HandlerError> {
    let until = Instant::now() + Duration::from_secs(asked.query.wait.unwrap_or(0).min(WAIT_MAX));
    let mut woken = app.events.listen();
    let mut from = since;
    loop {
        woken.mark_unchanged();
        let stops = *woken.borrow() == Waking::Stops;
        let (path, reader) = (asked.path.clone(), reader(app));
        let page = app.ask(move |share| Ok(page(share, &path, &reader, from, limit))).await?;
        let page = page.map_err(RequestError::LostPlace)?;
        let left = until.saturating_duration_since(Instant::now());
        if !page.changes.is_empty() || page.goes_on || left.is_zero() || stops || app.caller.has_ended() {
            return Ok(page);
        }
        from = page.up_to;
        let _ = tokio::time::timeout(left, woken.changed()).await;
        tokio::time::sleep_until(app.events.rests_until(0, false).min(until).into()).await;
    }
}

/// The changes behind a place, as many as are wanted.
fn page(
    share: &Share,
    folder: &SharePath,
    reader: &RequestContext,
    since: Cursor,
    limit: usize,
) -> Result<ShownPage, LostPlace> {
    reader.permissions.look_again();
    // Before the changes: what is found meanwhile is told by the next page.
    let is_complete = share.feed_is_complete();
    let (mut changes, mut up_to) = (Vec::new(), since);
    loop {
        let some = share.changes_after(up_to, STEP)?;
        for numbered in &some.changes {
            let shown = numbered.shown(folder, &reader.permissions);
            // What belongs to one change is in one page.
            if !changes.is_empty() && changes.len() + shown.len() > limit {
                return Ok(ShownPage { changes, up_to, goes_on: true, is_complete });
            }
            changes.extend(shown);
            up_to.number = numbered.number;
        }
        if !some.goes_on {
            return Ok(ShownPage { changes, up_to, goes_on: false, is_complete });
        }
    }
}

fn answer(head: &RequestHead, folder: &SharePath, page: &ShownPage) -> HttpResponse {
    let place = DescribedPlace::new(page.up_to, page.goes_on, page.is_complete);
    let changes = page.changes.iter().map(DescribedChange::new);
    let accept = field::text(&head.headers, header::ACCEPT);
    let in_lines = accept.is_some_and(|accept| accept.contains(NDJSON));
    let (media_type, body) = if in_lines {
        let mut lines: Vec<u8> = changes.flat_map(|change| line(&change)).collect();
        lines.extend(line(&place));
        (HeaderValue::from_static(NDJSON), lines)
    } else {
        let document = Document { path: folder.to_text(), changes: changes.collect(), place };
        (listing::JSON, line(&document))
    };
    let mut answer = reply::found();
    answer.insert_header((header::CONTENT_TYPE, media_type)).insert_header((header::CACHE_CONTROL, CACHE));
    answer.insert_header((header::VARY, "Accept"));
    answer.insert_header((header::X_CONTENT_TYPE_OPTIONS, media::NOSNIFF));
    answer.body(body)
}

#[derive(Serialize)]
struct Document {
    path: String,
    changes: Vec<DescribedChange>,
    #[serde(flatten)]
    place: DescribedPlace,
}

fn line(object: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(object).expect("texts and numbers are JSON");
    line.push(b'\n');
    line
}
