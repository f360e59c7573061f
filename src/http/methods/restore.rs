//! POST of a path with `?restore=ID`: brings a version back.

use crate::http::clock::now;
use crate::http::context::{Verbs, request_context};
use crate::http::headers::dav_headers;
use crate::http::headers::dav_headers::Overwrite;
use crate::http::reply;
use crate::http::reply::Trouble;
use crate::http::representations::versions::version_id;
use crate::http::request::target::Asked;
use crate::share::outcome::{Refusal, Stop};
use actix_http::RequestHead;
use actix_web::HttpResponse;

/// Brings a version back.
pub(crate) async fn restore(verbs: &Verbs, head: &RequestHead, asked: &Asked) -> Result<HttpResponse, Trouble> {
    let id = version_id(&asked.query.restore)?;
    let context = request_context(head, asked)?;
    let creates = dav_headers::overwrite(&head.headers)? == Overwrite::Forbid;
    let context = if creates { context.that_only_creates() } else { context };
    let path = asked.path.clone();
    if path.is_root() {
        return Err(Stop::from(Refusal::NotFound).into());
    }
    verbs.hashings.have_hashed(&path, None, &context).await?;
    let make_parents = asked.query.make_parents;
    let restored = verbs.copies.ask(head.peer_addr, move |share, limit| {
        share.restore(&path, &id, make_parents, &context.clone().at(now()), limit)
    });
    match restored.await? {
        Some(stored) => Ok(reply::stored(&asked.path, &stored, now())),
        None => Ok(reply::made(&asked.path)),
    }
}
