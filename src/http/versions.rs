//! The history on the wire: `GET path?versions`, `GET path?version=ID`, `COPY path?version=ID`, `POST path?restore=ID`.

use actix_http::RequestHead;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use serde_json::json;

use crate::model::stamp::Timestamp;
use crate::model::version::VersionId;
use crate::share::outcome::{Refusal, Stop};
use crate::share::{KeptVersion, Kind, Target};

use super::change::has_no_body;
use super::get::{self, CACHE, Remember};
use super::query::Named;
use super::relocate;
use super::reply::{self, Wrong};
use super::request::Asked;
use super::verbs::{Trouble, Verbs, now, precondition};

/// Lists the versions of a path, the newest first.
pub(super) async fn list(verbs: &Verbs, request: &HttpRequest, asked: &Asked) -> Result<HttpResponse, Trouble> {
    let path = asked.path.clone();
    let versions = verbs.ask(move |share| share.versions(&path)).await?;
    if versions.is_empty() {
        let path = asked.path.clone();
        verbs.ask(move |share| share.is_collection(&path)).await?;
    }
    let versions: Vec<_> = versions.iter().map(Described::new).collect();
    let text = json!({ "path": asked.path.to_text(), "versions": versions }).to_string() + "\n";
    let mut answer = reply::found();
    answer.content_type("application/json").insert_header((header::CACHE_CONTROL, CACHE));
    answer.insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    if request.method() == actix_web::http::Method::HEAD {
        return Ok(answer.body(super::body::LengthOnly(text.len() as u64)));
    }
    Ok(answer.body(text))
}

/// Sends one version of a file.
pub(super) async fn get(verbs: &Verbs, request: &HttpRequest, asked: &Asked) -> Result<HttpResponse, Trouble> {
    let id = id(&asked.query.version)?;
    let path = asked.path.clone();
    match verbs.ask(move |share| share.read_version(&path, &id, now())).await? {
        Target::Collection(_) => Err(Wrong::VersionIsCollection.into()),
        Target::File(content, identity) => get::send(verbs, request, asked, *content, *identity, Remember::No).await,
    }
}

/// Copies one version of a file to another name, or back to its own.
pub(super) async fn copy(verbs: &Verbs, head: &RequestHead, asked: &Asked) -> Result<HttpResponse, Trouble> {
    has_no_body(head)?;
    let id = id(&asked.query.version)?;
    let precondition = precondition(verbs, head, asked)?;
    let wanted = relocate::wanted(verbs, head, asked)?;
    let to = wanted.to.clone();
    match verbs.ask(move |share| share.copy_version(&wanted, &id, &precondition, now())).await? {
        Some(copied) => Ok(reply::relocated(&to, false, &copied)),
        None => Err(Wrong::VersionIsCollection.into()),
    }
}

/// Brings a version back.
pub(super) async fn restore(verbs: &Verbs, head: &RequestHead, asked: &Asked) -> Result<HttpResponse, Trouble> {
    has_no_body(head)?;
    let id = id(&asked.query.restore)?;
    let precondition = precondition(verbs, head, asked)?;
    let path = asked.path.clone();
    if path.is_root() {
        return Err(Stop::from(Refusal::NotFound).into());
    }
    let make_parents = asked.query.make_parents;
    match verbs.ask(move |share| share.restore(&path, &id, make_parents, &precondition, now())).await? {
        Some(stored) => Ok(reply::stored(&asked.path, &stored, now())),
        None => Ok(reply::made(&asked.path)),
    }
}

fn id(named: &Option<Named>) -> Result<VersionId, Trouble> {
    named.as_ref().and_then(|named| named.0.clone()).ok_or_else(|| Wrong::VersionId.into())
}

/// A version, as JSON tells it, here and on the command line. Every version has every field.
#[derive(Serialize)]
pub(crate) struct Described {
    /// The path it was at; left out where all are of one path.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    id: String,
    kind: &'static str,
    /// In bytes; a folder has none.
    size: Option<u64>,
    modified: String,
    kept: String,
    href: String,
}

impl Described {
    /// One of the versions of a path.
    fn new(version: &KeptVersion) -> Self {
        let id = version.id.as_str();
        let is_file = version.kind != Kind::Dir;
        Self {
            path: None,
            id: id.to_owned(),
            kind: if is_file { "file" } else { "folder" },
            size: is_file.then_some(version.size),
            modified: time(version.modified),
            kept: time(version.id.time()),
            href: format!("{}?version={id}", version.path.to_url()),
        }
    }

    /// One among versions of many paths.
    pub(crate) fn with_path(version: &KeptVersion) -> Self {
        Self { path: Some(version.path.to_text()), ..Self::new(version) }
    }
}

/// In RFC 3339, to the microsecond.
fn time(time: Timestamp) -> String {
    let time = jiff::Timestamp::from_nanosecond(time.nanoseconds().into()).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}
