//! DELETE, MKCOL and OPTIONS: parse, ask the share, reply.

use actix_http::RequestHead;
use actix_web::HttpResponse;

use crate::share::outcome::{Refusal, Stop};

use super::reply::{self, Allowed, Wrong};
use super::request::{self, Asked};
use super::verbs::{Trouble, Verbs, now, precondition};

/// Answers DELETE of a file, or of a folder with all that is in it.
pub(super) async fn delete(verbs: &Verbs, head: &RequestHead, asked: &Asked) -> Result<HttpResponse, Trouble> {
    has_no_body(head)?;
    let depth = request::text(&head.headers, "depth");
    let precondition = precondition(head)?;
    let path = asked.path.clone();
    if let Some(depth) = depth
        && !depth.eq_ignore_ascii_case("infinity")
        && allowed(verbs, asked).await == Allowed::OnCollections
    {
        return Err(Wrong::Depth.into());
    }
    if asked.names_a_collection && allowed(verbs, asked).await == Allowed::OnFiles {
        return Err(Stop::from(Refusal::NotFound).into());
    }
    verbs.ask(move |share| share.delete(&path, &precondition, now())).await?;
    Ok(reply::done())
}

/// Answers MKCOL.
pub(super) async fn make_collection(verbs: &Verbs, head: &RequestHead, asked: &Asked) -> Result<HttpResponse, Trouble> {
    has_no_body(head)?;
    let precondition = precondition(head)?;
    let path = asked.path.clone();
    verbs.ask(move |share| share.make_collection(&path, &precondition, now())).await?;
    Ok(reply::made(&asked.path))
}

/// Answers OPTIONS.
pub(super) async fn options(verbs: &Verbs, asked: &Asked) -> Result<HttpResponse, Trouble> {
    Ok(reply::options(allowed(verbs, asked).await))
}

/// What is served where the request went.
pub(super) async fn allowed(verbs: &Verbs, asked: &Asked) -> Allowed {
    let path = asked.path.clone();
    match verbs.ask(move |share| share.is_collection(&path)).await {
        Ok(true) => Allowed::OnCollections,
        Ok(false) => Allowed::OnFiles,
        Err(_) => Allowed::OnNothing,
    }
}

fn has_no_body(head: &RequestHead) -> Result<(), Trouble> {
    if request::announces_a_body(&head.headers) { Err(Wrong::Body.into()) } else { Ok(()) }
}
