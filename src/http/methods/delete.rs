//! DELETE of a file, or of a folder with all that is in it.

use crate::http::clock::now;
use crate::http::context::{RequestScope, is_collection, request_context};
use crate::http::headers::dav_headers;
use crate::http::headers::dav_headers::{BadHeader, Depth};
use crate::http::reply;
use crate::http::reply::HandlerError;
use crate::http::request::target::RequestTarget;
use crate::share::outcome::{Refusal, Stop};
use actix_http::RequestHead;
use actix_web::HttpResponse;

/// Answers DELETE of a file, or of a folder with all that is in it.
pub(crate) async fn delete(
    app: &RequestScope,
    head: &RequestHead,
    asked: &RequestTarget,
) -> Result<HttpResponse, HandlerError> {
    let depth = dav_headers::depth_of_change(&head.headers);
    let context = request_context(app, head, asked)?;
    let path = asked.path.clone();
    // A folder goes with all that is in it. Of a file nothing lies below.
    if !matches!(depth, Ok(None | Some(Depth::Infinity))) && matches!(is_collection(app, asked).await, Ok(true)) {
        return Err(BadHeader("Depth").into());
    }
    if asked.has_trailing_slash && matches!(is_collection(app, asked).await, Ok(false)) {
        return Err(Stop::from(Refusal::NotFound).into());
    }
    app.hashings.have_hashed(&path, None, &context).await?;
    let removed = app.ask(move |share| share.delete(&path, &context.at(now()))).await?;
    Ok(reply::removed(&removed))
}
