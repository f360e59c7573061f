//! GET and HEAD of files and folders.
//!
//! The bytes of one answer are of one version: the file is opened once, and the tag is that of the handle that is read.

use std::sync::Arc;

use actix_http::RequestHead;
use actix_web::http::header::{self, HeaderMap, Quality, QualityItem};
use actix_web::{HttpRequest, HttpResponse};
use mime_guess::Mime;

use crate::http::clock::now;
use crate::http::context::{RequestScope, conditions, permit, reader, request_context};
use crate::http::media;
use crate::http::reply;
use crate::http::reply::HandlerError;
use crate::http::representations::file::{CACHE, Remember, open, send};
use crate::http::representations::listing;
use crate::http::request::target::RequestTarget;
use crate::model::path::SharePath;
use crate::model::precondition::{Decision, Intent, Precondition};
use crate::model::rights::Rights;
use crate::model::validators::Target;
use crate::share::OpenResource;
use crate::share::outcome::{Refusal, Stop, Subject};

/// Answers GET and HEAD.
pub(crate) async fn get(
    app: &RequestScope,
    request: &HttpRequest,
    asked: &RequestTarget,
) -> Result<HttpResponse, HandlerError> {
    let head = request.head();
    match open(app, &asked.path).await? {
        OpenResource::Collection(_) => {
            permit(app, Rights::LIST, &asked.path)?;
            judge_collection(&asked.path, &conditions(head)?)?;
            list(app, head, asked).await
        }
        OpenResource::File(..) if asked.has_trailing_slash => Err(Stop::from(Refusal::NotFound).into()),
        OpenResource::File(content, identity) => {
            permit(app, Rights::READ, &asked.path)?;
            send(app, request, asked, *content, *identity, Remember::IfSmall).await
        }
    }
}

/// Judges `If`, which makes a GET and a HEAD conditional as it does every other method (RFC 4918 §10.4).
pub(crate) async fn judge_states(
    app: &RequestScope,
    head: &RequestHead,
    asked: &RequestTarget,
) -> Result<(), HandlerError> {
    if !head.headers.contains_key("if") {
        return Ok(());
    }
    let (path, context) = (asked.path.clone(), request_context(app, head, asked)?.of_states_alone());
    app.hashings.have_hashed(&path, None, &context).await?;
    app.ask(move |share| share.judge_states(&path, &context.at(now()))).await
}

fn judge_collection(path: &SharePath, precondition: &Precondition) -> Result<(), HandlerError> {
    match precondition.decide(&Target::Collection, Intent::Change) {
        Decision::Refuse(header) if header == crate::model::precondition::Header::IfMatch => {
            let of = Subject::judged(path, &Target::Collection);
            Err(Stop::from(Refusal::PreconditionFailed { header, of, current: None }).into())
        }
        _ => Ok(()),
    }
}

async fn list(app: &RequestScope, head: &RequestHead, asked: &RequestTarget) -> Result<HttpResponse, HandlerError> {
    let wants_json = asked.query.json || prefers_json(&head.headers);
    let (media_type, policy) =
        if wants_json { (listing::JSON, None) } else { (listing::HTML, Some(listing::html_policy())) };
    let mut answer = reply::found();
    answer.insert_header((header::CONTENT_TYPE, media_type)).insert_header((header::CACHE_CONTROL, CACHE));
    answer.insert_header((header::VARY, "Accept")).insert_header((header::X_CONTENT_TYPE_OPTIONS, media::NOSNIFF));
    if let Some(policy) = policy {
        answer.insert_header((header::CONTENT_SECURITY_POLICY, policy));
    }
    let (share, path) = (Arc::clone(&app.share), asked.path.clone());
    let listing = if wants_json {
        listing::json(share, path, reader(app)).await
    } else {
        listing::html(share, path, reader(app)).await
    };
    Ok(answer.body(listing?))
}

/// Whether JSON is named in `Accept` (RFC 9110 §12.5.1), and HTML is not named as better.
fn prefers_json(headers: &HeaderMap) -> bool {
    let accepted: Vec<QualityItem<Mime>> =
        header::from_comma_delimited(headers.get_all(header::ACCEPT)).unwrap_or_default();
    let quality = |named: &str| {
        let of_it = accepted.iter().filter(|accepted| accepted.item.essence_str() == named);
        of_it.map(|accepted| accepted.quality).max()
    };
    let (json, html) = (quality("application/json"), quality("text/html"));
    json.is_some_and(|json| json > Quality::ZERO) && json >= html
}
