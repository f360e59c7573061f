//! Answers about links.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header;
use serde::Serialize;

use crate::access::LinkError;
use crate::access::link::{Link, Place};
use crate::access::link_file::LinkFileError;
use crate::http::reply::problem::Problem;
use crate::http::urls;

/// A link, as whoever has it is told of it.
#[derive(Serialize)]
struct Described<'a> {
    id: &'a str,
    /// The path of the URL that it leads to.
    path: String,
    /// The same with the secret, which is told once.
    #[serde(skip_serializing_if = "Option::is_none")]
    href: Option<String>,
    may: &'static str,
    expires: Option<String>,
    uses_left: Option<u32>,
    has_password: bool,
}

#[derive(Serialize)]
struct List<'a> {
    links: Vec<Described<'a>>,
}

impl<'a> Described<'a> {
    fn new(link: &'a Link, secret: Option<&str>) -> Self {
        Self {
            id: &link.id,
            path: url(&link.place),
            href: secret.map(|secret| format!("{}?link={secret}", url(&link.place))),
            may: link.may.word(),
            expires: link.until.map(|until| until.to_string()),
            uses_left: link.uses_left,
            has_password: link.password.is_some(),
        }
    }
}

fn url(place: &Place) -> String {
    if place.is_folder { urls::of_folder(&place.path) } else { urls::of(&place.path) }
}

/// A link was made; its secret is told this once.
pub(crate) fn made_link(secret: &str, link: &Link) -> HttpResponse {
    json(StatusCode::CREATED, &Described::new(link, Some(secret)))
}

/// The links that there are.
pub(crate) fn links_of(links: &[Link]) -> HttpResponse {
    json(StatusCode::OK, &List { links: links.iter().map(|link| Described::new(link, None)).collect() })
}

/// A link is good no more.
pub(crate) fn revoked() -> HttpResponse {
    HttpResponse::build(StatusCode::NO_CONTENT).insert_header((header::CACHE_CONTROL, "no-store")).finish()
}

/// Why there is no link.
pub(crate) fn no_link(error: &LinkError) -> HttpResponse {
    let (status, kind, title) = match error {
        LinkError::NoUsers | LinkError::NoState => (StatusCode::CONFLICT, "no-links", "No links here"),
        LinkError::File(LinkFileError::Unknown) => (StatusCode::NOT_FOUND, "no-such-link", "No such link"),
        LinkError::File(LinkFileError::TooMany) => (StatusCode::CONFLICT, "too-many-links", "Too many links"),
        LinkError::Password(_) | LinkError::File(_) => {
            tracing::error!("{error}");
            let detail = "What is kept of links cannot be read or changed; the log says why. Nothing was changed.";
            return Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "fault", "A fault", detail).send();
        }
    };
    let mut detail = error.to_string();
    detail[..1].make_ascii_uppercase();
    Problem::new(status, kind, title, format!("{detail}. Nothing was changed.")).send()
}

fn json(status: StatusCode, value: &impl Serialize) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((header::CONTENT_TYPE, "application/json"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(serde_json::to_string(value).expect("texts and numbers are JSON"))
}
