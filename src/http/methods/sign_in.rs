//! Signing in on a page, and out: a name and a password become a cookie. `POST ?sign-in` takes a form or JSON, `POST ?sign-out` ends the session, and
//! `GET ?sign-in` is a form that needs no script. `GET ?sign-in=SECRET` is how whoever was invited comes in.

use actix_http::{Payload, RequestHead};
use actix_web::HttpResponse;
use actix_web::http::{Method, header};
use bytes::BytesMut;
use serde::Deserialize;

use crate::http::bodies::SHORT_TIME_MAX;
use crate::http::callers::credentials_of;
use crate::http::context::RequestScope;
use crate::http::headers::field;
use crate::http::limits::pace::Pace;
use crate::http::reply;
use crate::http::reply::{HandlerError, RequestError};
use crate::http::request::query::Invitation;
use crate::http::request::target::RequestTarget;

/// The longest form, in bytes.
const FORM_BYTES_MAX: usize = 16 << 10;

/// Who signs in.
#[derive(Deserialize)]
struct Form {
    name: String,
    password: String,
}

/// The form.
pub(crate) fn page() -> HttpResponse {
    reply::sign_in_page()
}

/// Signs in whoever comes with an invitation, and sends the browser on to the folder. A look at the head alone uses nothing up.
pub(crate) fn accept(
    app: &RequestScope,
    head: &RequestHead,
    asked: &RequestTarget,
    Invitation(secret): &Invitation,
) -> Result<HttpResponse, HandlerError> {
    if head.method == Method::HEAD {
        return Ok(reply::sign_in_page());
    }
    let session = app.access.accept(secret, &credentials_of(app)).map_err(RequestError::Unproven)?;
    Ok(match session {
        Some(session) => reply::signed_in(Some(&asked.path), &session, app.origin.is_https == Some(true)),
        None => reply::invitation_over(),
    })
}

/// Signs in: with a form the browser is sent back to the page that it came from.
pub(crate) async fn sign_in(
    app: &RequestScope,
    head: &RequestHead,
    body: &mut Payload,
    asked: &RequestTarget,
) -> Result<HttpResponse, HandlerError> {
    let is_json = media_type(head) == "application/json";
    let bytes = form_body(app, body).await?;
    let form = if is_json {
        serde_json::from_slice(&bytes).map_err(|_| RequestError::Form)?
    } else {
        form_of(&bytes).ok_or(RequestError::Form)?
    };
    let Form { name, password } = form;
    let secret = app.access.sign_in(name, password, &credentials_of(app)).await.map_err(RequestError::Unproven)?;
    let back_to = (!is_json).then_some(asked);
    Ok(reply::signed_in(back_to.map(|asked| &asked.path), &secret, app.origin.is_https == Some(true)))
}

/// Signs out.
pub(crate) fn sign_out(app: &RequestScope, head: &RequestHead, asked: &RequestTarget) -> HttpResponse {
    for cookie in field::lines(&head.headers, &header::COOKIE) {
        app.access.sign_out(cookie);
    }
    let is_json = media_type(head) == "application/json";
    reply::signed_out((!is_json).then_some(&asked.path))
}

fn media_type(head: &RequestHead) -> String {
    let named = field::text(&head.headers, header::CONTENT_TYPE).unwrap_or_default();
    named.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

async fn form_body(app: &RequestScope, body: &mut Payload) -> Result<BytesMut, HandlerError> {
    let mut pace = Pace::of_short_body(&app.settings, FORM_BYTES_MAX as u64, SHORT_TIME_MAX);
    let mut bytes = BytesMut::new();
    while let Some(chunk) = pace.next(body).await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// `application/x-www-form-urlencoded`.
fn form_of(bytes: &[u8]) -> Option<Form> {
    let mut fields: std::collections::HashMap<_, _> = form_urlencoded::parse(bytes).into_owned().collect();
    Some(Form { name: fields.remove("name")?, password: fields.remove("password")? })
}
