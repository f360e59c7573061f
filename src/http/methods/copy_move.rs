//! COPY and MOVE (RFC 4918 §9.8, §9.9): parse, ask the share, reply.

use crate::http::clock::now;
use crate::http::context::{RequestScope, is_collection, permit_elsewhere, request_context};
use crate::http::headers::dav_headers;
use crate::http::headers::dav_headers::{BadHeader, Depth, Overwrite, UrlTarget};
use crate::http::methods::attempt::Attempt;
use crate::http::reply;
use crate::http::reply::{HandlerError, RequestError};
use crate::http::representations::versions::version_id;
use crate::http::request::target::RequestTarget;
use crate::model::extent::Extent;
use crate::model::rights::Rights;
use crate::share::outcome::{Refusal, Stop};
use crate::share::{Relocation, RequestContext};
use actix_http::RequestHead;
use actix_web::HttpResponse;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CopyOrMove {
    Copy,
    Move,
}

/// Answers COPY and MOVE.
pub(crate) async fn relocate(
    app: &RequestScope,
    head: &RequestHead,
    asked: &RequestTarget,
    act: CopyOrMove,
) -> Result<HttpResponse, HandlerError> {
    let context = request_context(app, head, asked)?;
    let wanted = wanted(app, head, asked)?;
    let attempt = Attempt::new(app, head, &wanted.to).coming_from(&wanted.from);
    attempt.ends(carry_out(app, head, asked, act, context, wanted).await).await
}

async fn carry_out(
    app: &RequestScope,
    head: &RequestHead,
    asked: &RequestTarget,
    act: CopyOrMove,
    context: RequestContext,
    wanted: Relocation,
) -> Result<HttpResponse, HandlerError> {
    let is_collection = is_collection(app, asked).await?;
    if asked.has_trailing_slash && !is_collection {
        return Err(Stop::from(Refusal::NotFound).into());
    }
    let depth = dav_headers::depth_of_change(&head.headers)?.unwrap_or(Depth::Infinity);
    if is_collection && (depth == Depth::One || (act == CopyOrMove::Move && depth != Depth::Infinity)) {
        return Err(BadHeader("Depth").into());
    }
    app.hashings.have_hashed(&wanted.from, Some(&wanted.to), &context).await?;
    let extent = if depth == Depth::Infinity { Extent::Tree } else { Extent::Itself };
    let to = wanted.to.clone();
    let done = app.copies.ask(app.origin.address, move |share, limit| match act {
        CopyOrMove::Move => share.relocate(&wanted, &context.clone().at(now()), limit),
        CopyOrMove::Copy => share.copy(&wanted, extent, &context.clone().at(now()), limit),
    });
    Ok(reply::relocated(&to, is_collection, &done.await?))
}

/// What is to be moved or copied, and where to, as the head says.
pub(crate) fn wanted(
    app: &RequestScope,
    head: &RequestHead,
    asked: &RequestTarget,
) -> Result<Relocation, HandlerError> {
    let place = dav_headers::destination(&head.headers).map_err(RequestError::Destination)?;
    let UrlTarget::Here { path: to, .. } = place else { return Err(RequestError::ForeignDestination.into()) };
    permit_elsewhere(app, Rights::CREATE | Rights::OVERWRITE, &to)?;
    Ok(Relocation {
        from: asked.path.clone(),
        to,
        may_replace: dav_headers::overwrite(&head.headers)? == Overwrite::Allow,
        dated: dav_headers::asked_mtime(&head.headers),
    })
}

/// Copies one version of a file to another name, or back to its own.
pub(crate) async fn copy_version(
    app: &RequestScope,
    head: &RequestHead,
    asked: &RequestTarget,
) -> Result<HttpResponse, HandlerError> {
    let id = version_id(&asked.query.version)?;
    let context = request_context(app, head, asked)?;
    let wanted = wanted(app, head, asked)?;
    let to = wanted.to.clone();
    let attempt = Attempt::new(app, head, &to).coming_from(&wanted.from);
    app.hashings.have_hashed(&to, None, &context.for_the_target(wanted.may_replace)).await?;
    let copied = app.copies.ask(app.origin.address, move |share, limit| {
        share.copy_version(&wanted, &id, &context.clone().at(now()), limit)
    });
    match attempt.ends(copied.await.map_err(HandlerError::from)).await? {
        Some(copied) => Ok(reply::relocated(&to, false, &copied)),
        None => Err(RequestError::VersionIsCollection.into()),
    }
}
