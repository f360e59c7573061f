//! LOCK and UNLOCK (RFC 4918 §9.10, §9.11): parse, ask the share, tell of the locks.

use crate::http::bodies::{parse_xml, xml_body};
use crate::http::clock::now;
use crate::http::context::{RequestScope, request_context};
use crate::http::headers::dav_headers;
use crate::http::headers::dav_headers::{BadHeader, Depth};
use crate::http::quirks::Quirks;
use crate::http::reply;
use crate::http::reply::{HandlerError, RequestError};
use crate::http::representations::active_lock::describe;
use crate::http::request::target::RequestTarget;
use crate::http::xml::read::LockInfo;
use crate::model::lock::Reach;
use crate::model::lock_token::LockToken;
use crate::os::random;
use crate::share::LockRequest;
use crate::share::outcome::{Refusal, Stop};
use actix_http::{Payload, RequestHead};
use actix_web::HttpResponse;

/// Answers LOCK: without a body it grants a lock more time, with one it takes a new lock.
pub(crate) async fn lock(
    app: &RequestScope,
    head: &RequestHead,
    body: &mut Payload,
    asked: &RequestTarget,
) -> Result<HttpResponse, HandlerError> {
    let context = request_context(app, head, asked)?;
    let timeout = Some(dav_headers::timeout(&head.headers));
    let body = xml_body(app, head, body).await?;
    let path = asked.path.clone();
    app.hashings.have_hashed(&path, None, &context).await?;
    if body.is_empty() {
        if !context.has_tokens() {
            return Err(RequestError::Header("If").into());
        }
        let (lock, root) = app
            .ask(move |share| {
                let lock = share.refresh_lock(&path, timeout, &context.at(now()))?;
                let root = share.root_of(&lock);
                Ok((lock, root))
            })
            .await?;
        return Ok(reply::locked(None, false, &[describe(&lock, &root, Quirks::of(head), now())]));
    }
    let info = parse_xml(body, LockInfo::parse).await?;
    let reach = match dav_headers::depth_of_change(&head.headers)? {
        Some(Depth::Zero) => Reach::Itself,
        None | Some(Depth::Infinity) => Reach::Below,
        Some(Depth::One) => return Err(BadHeader("Depth").into()),
    };
    let wish = LockRequest {
        token: LockToken::from_random(random::bytes()),
        scope: info.scope,
        reach,
        owner: info.owner,
        timeout,
    };
    let has_trailing_slash = asked.has_trailing_slash;
    let taken = app.ask(move |share| {
        if has_trailing_slash && !share.is_collection(&path, &context).unwrap_or(false) {
            return Err(Refusal::NotFound.into());
        }
        let taken = share.lock(&path, wish, &context.at(now()))?;
        let root = share.root_of(&taken.lock);
        Ok((taken, root))
    });
    let (taken, root) = taken.await?;
    Ok(reply::locked(Some(&taken.lock.token), taken.created, &[describe(&taken.lock, &root, Quirks::of(head), now())]))
}

pub(crate) async fn unlock(
    app: &RequestScope,
    head: &RequestHead,
    asked: &RequestTarget,
) -> Result<HttpResponse, HandlerError> {
    let token = dav_headers::lock_token(&head.headers)?.ok_or(BadHeader("Lock-Token"))?;
    let context = request_context(app, head, asked)?;
    let path = asked.path.clone();
    app.hashings.have_hashed(&path, None, &context).await?;
    match app.ask(move |share| share.unlock(&path, &token, &context.at(now()))).await {
        Err(HandlerError::Stop(Stop::Refusal(Refusal::ForeignToken))) if Quirks::of(head).forget_on_conflict => {
            Err(BadHeader("Lock-Token").into())
        }
        unlocked => unlocked.map(|()| reply::done()),
    }
}
