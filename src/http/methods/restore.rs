//! POST of a path with `?restore=ID`: brings a version back.

use crate::http::clock::now;
use crate::http::context::{RequestScope, request_context};
use crate::http::headers::dav_headers;
use crate::http::headers::dav_headers::Overwrite;
use crate::http::reply;
use crate::http::reply::HandlerError;
use crate::http::representations::versions::version_id;
use crate::http::request::target::RequestTarget;
use crate::share::outcome::{Refusal, Stop};
use actix_http::RequestHead;
use actix_web::HttpResponse;

/// Brings a version back.
pub(crate) async fn restore(
    app: &RequestScope,
    head: &RequestHead,
    asked: &RequestTarget,
) -> Result<HttpResponse, HandlerError> {
    let id = version_id(&asked.query.restore)?;
    let context = request_context(app, head, asked)?;
    let creates = dav_headers::overwrite(&head.headers)? == Overwrite::Forbid;
    let context = if creates { context.that_only_creates() } else { context };
    let path = asked.path.clone();
    if path.is_root() {
        return Err(Stop::from(Refusal::NotFound).into());
    }
    app.hashings.have_hashed(&path, None, &context).await?;
    let make_parents = asked.query.make_parents;
    let restored = app.copies.ask(app.origin.address, move |share, limit| {
        share.restore(&path, &id, make_parents, &context.clone().at(now()), limit)
    });
    match restored.await? {
        Some(stored) => Ok(reply::stored(&asked.path, &stored, now())),
        None => Ok(reply::made(&asked.path)),
    }
}
