//! Signing in on a page, and out: a name and a password become a cookie. `POST ?sign-in` takes a form or JSON, `POST ?sign-out` ends the session, and
//! `GET ?sign-in` is a form that needs no script. `GET ?sign-in=SECRET` is how whoever was invited comes in, and `?link=SECRET` whoever has a link.

use std::collections::HashMap;

use actix_http::{Payload, RequestHead};
use actix_web::HttpResponse;
use actix_web::http::{Method, header};
use bytes::BytesMut;
use serde::Deserialize;

use crate::access::Unproven;
use crate::http::bodies::SHORT_TIME_MAX;
use crate::http::callers::credentials_of;
use crate::http::context::RequestScope;
use crate::http::headers::field;
use crate::http::limits::pace::Pace;
use crate::http::reply;
use crate::http::reply::{HandlerError, RequestError};
use crate::http::request::query::{Invitation, LinkSecret, without_link};
use crate::http::request::target::RequestTarget;
use crate::http::urls;

/// The longest form, in bytes.
const FORM_BYTES_MAX: usize = 16 << 10;

/// Who signs in.
#[derive(Deserialize)]
struct Form {
    name: String,
    password: String,
}

/// The password of a link.
#[derive(Deserialize)]
struct LinkForm {
    password: String,
}

/// The form.
pub(crate) fn page(asked: &RequestTarget) -> HttpResponse {
    asked.query.link.as_ref().map_or_else(reply::sign_in_page, |link| reply::link_page(link, false))
}

/// Where somebody opens a link in a browser, it becomes a cookie. Other programs send the link again each time.
pub(crate) fn open(app: &RequestScope, head: &RequestHead) -> Option<HttpResponse> {
    app.caller.place().filter(|_| is_opened(head))?;
    let asked = RequestTarget::parse(head).ok()?;
    let LinkSecret(secret) = asked.query.shown_link()?;
    let visit = app.access.stay(secret)?;
    Some(reply::opened(&visit, &without_secret(head, &asked), app.origin.is_https == Some(true)))
}

/// The answer to whoever has opened a link in a browser that lets nobody in, or not yet.
pub(crate) fn not_opened(head: &RequestHead, unproven: Unproven) -> Option<HttpResponse> {
    let link = RequestTarget::parse(head).ok().filter(|_| is_opened(head))?.query.link?;
    match unproven {
        Unproven::LinkPassword => Some(reply::link_page(&link, false)),
        Unproven::Wrong => Some(reply::link_over()),
        _ => None,
    }
}

/// Whether a person opens the address in a browser (`Sec-Fetch-Mode`; older ones want a page).
fn is_opened(head: &RequestHead) -> bool {
    let wants_a_page = || field::text(&head.headers, header::ACCEPT).is_some_and(|types| types.contains("text/html"));
    let mode = field::text(&head.headers, "sec-fetch-mode");
    head.method == Method::GET && mode.map_or_else(wants_a_page, |mode| mode == "navigate")
}

fn without_secret(head: &RequestHead, asked: &RequestTarget) -> String {
    let path = if asked.has_trailing_slash { urls::of_folder(&asked.path) } else { urls::of(&asked.path) };
    let query = head.uri.query().map(without_link).unwrap_or_default();
    if query.is_empty() { path } else { format!("{path}?{query}") }
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
    if let Some(link) = &asked.query.link {
        return visit(app, link, asked, &bytes, is_json).await;
    }
    let form = if is_json {
        serde_json::from_slice(&bytes).map_err(|_| RequestError::Form)?
    } else {
        Form::of(form_of(&bytes)).ok_or(RequestError::Form)?
    };
    let Form { name, password } = form;
    let secret = match app.access.sign_in(name, password, &credentials_of(app)).await {
        Ok(secret) => secret,
        Err(Unproven::Wrong) if !is_json => return Ok(reply::not_signed_in()),
        Err(unproven) => return Err(RequestError::Unproven(unproven).into()),
    };
    let back_to = (!is_json).then_some(asked);
    Ok(reply::signed_in(back_to.map(|asked| &asked.path), &secret, app.origin.is_https == Some(true)))
}

/// Lets somebody in who has a link that takes a password.
async fn visit(
    app: &RequestScope,
    link: &LinkSecret,
    asked: &RequestTarget,
    bytes: &[u8],
    is_json: bool,
) -> Result<HttpResponse, HandlerError> {
    let password = if is_json {
        serde_json::from_slice::<LinkForm>(bytes).map_err(|_| RequestError::Form)?.password
    } else {
        form_of(bytes).remove("password").ok_or(RequestError::Form)?
    };
    let LinkSecret(secret) = link;
    match app.access.visit(secret, Some(password), &credentials_of(app)).await {
        Ok(visit) => {
            let path = if asked.has_trailing_slash { urls::of_folder(&asked.path) } else { urls::of(&asked.path) };
            Ok(reply::opened(&visit, &path, app.origin.is_https == Some(true)))
        }
        Err(Unproven::LinkPassword) if !is_json => Ok(reply::link_page(link, true)),
        Err(unproven) => Err(RequestError::Unproven(unproven).into()),
    }
}

/// Signs out.
pub(crate) fn sign_out(app: &RequestScope, head: &RequestHead, asked: &RequestTarget) -> HttpResponse {
    let mut visited = Vec::new();
    for cookie in field::lines(&head.headers, &header::COOKIE) {
        app.access.sign_out(cookie);
        visited.extend(app.access.places_visited(cookie));
    }
    let is_json = media_type(head) == "application/json";
    reply::signed_out((!is_json).then_some(&asked.path), &visited)
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

impl Form {
    fn of(mut fields: HashMap<String, String>) -> Option<Self> {
        Some(Self { name: fields.remove("name")?, password: fields.remove("password")? })
    }
}

/// The fields of `application/x-www-form-urlencoded`.
fn form_of(bytes: &[u8]) -> HashMap<String, String> {
    form_urlencoded::parse(bytes).into_owned().collect()
}
