//! The history on the wire: `GET path?versions`, `GET path?version=ID`, `COPY path?version=ID`, `POST path?restore=ID`, and
//! `GET folder?deleted`. Listings are streamed, and come in pages: what one takes does not depend on how much there is.

use crate::http::context::{RequestScope, reader};
use crate::http::media;
use crate::http::reply;
use crate::http::reply::{DescribedAuthor, HandlerError, RequestError};
use crate::http::representations::file::{CACHE, Remember};
use crate::http::representations::listing::{Listing, Output};
use crate::http::representations::{file, listing};
use crate::http::request::query::Named;
use crate::http::request::target::RequestTarget;
use crate::http::urls;
use crate::model::path::SharePath;
use crate::model::version::VersionId;
use crate::share::outcome::{Refusal, Stop};
use crate::share::{DeletedWish, KeptAt, KeptVersion, Kind, OpenResource, PageRequest, Walked};
use std::sync::Arc;

use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use serde::Serialize;

/// How many versions or names one page tells where the client does not say, and at most.
const PAGE_DEFAULT: usize = 1000;
const PAGE_MAX: usize = 10_000;

/// One object a line.
const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// Lists the versions of a path, the newest first, a page at a time: as JSON, whose `next` is where the following page is.
pub(crate) async fn list(app: &RequestScope, asked: &RequestTarget) -> Result<HttpResponse, HandlerError> {
    let (share, path, before) = (Arc::clone(&app.share), asked.path.clone(), asked.query.before.clone());
    let (limit, reader) = (limit(asked), reader(app));
    let listing = Listing::begin(move |output| {
        let page = share.versions(&path, PageRequest { before, count: limit }, &reader, &mut || output.go_on())?;
        let next = page.items.last().filter(|_| page.goes_on).map(|last| next_versions(&path, limit, &last.id));
        write_versions(output, &path, &page.items, next);
        Ok(())
    });
    Ok(answer(listing::JSON).body(listing.await?))
}

/// Lists what was in a folder and is no more, one object a line; a last line with `next` alone says where the following page is.
pub(crate) async fn deleted(app: &RequestScope, asked: &RequestTarget) -> Result<HttpResponse, HandlerError> {
    let (share, path, deep) = (Arc::clone(&app.share), asked.path.clone(), asked.query.deep);
    let reader = reader(app);
    let wish = DeletedWish { deep, after: asked.query.after.clone(), count: limit(asked) };
    let listing = Listing::begin(move |output| {
        let walked = share.deleted(&path, &wish, &reader, &mut |version| match version {
            Some(version) => output.append(line(&Deleted::new(&version))),
            None => output.go_on(),
        })?;
        if let Walked::UpTo(last) = walked {
            let _ = output.append(line(&Next { next: next_deleted(&path, &wish, &last) }));
        }
        Ok(())
    });
    Ok(answer(NDJSON).body(listing.await?))
}

/// Sends one version of a file.
pub(crate) async fn get(
    app: &RequestScope,
    request: &HttpRequest,
    asked: &RequestTarget,
) -> Result<HttpResponse, HandlerError> {
    let id = version_id(&asked.query.version)?;
    let (path, reader) = (asked.path.clone(), reader(app));
    match app.ask(move |share| share.read_version(&path, &id, &reader)).await? {
        OpenResource::Collection(_) => Err(RequestError::VersionIsCollection.into()),
        OpenResource::File(..) if asked.has_trailing_slash => Err(Stop::from(Refusal::NotFound).into()),
        OpenResource::File(content, identity) => {
            file::send(app, request, asked, *content, *identity, Remember::No).await
        }
    }
}

pub(crate) fn version_id(named: &Option<Named>) -> Result<VersionId, HandlerError> {
    named.as_ref().and_then(|named| named.0.clone()).ok_or_else(|| RequestError::VersionId.into())
}

fn answer(media_type: HeaderValue) -> HttpResponseBuilder {
    let mut answer = reply::found();
    answer.insert_header((header::CONTENT_TYPE, media_type)).insert_header((header::CACHE_CONTROL, CACHE));
    answer.insert_header((header::X_CONTENT_TYPE_OPTIONS, media::NOSNIFF));
    answer
}

fn limit(asked: &RequestTarget) -> usize {
    asked.query.limit.unwrap_or(PAGE_DEFAULT).min(PAGE_MAX)
}

fn write_versions(output: &mut Output, path: &SharePath, versions: &[KeptVersion], next: Option<String>) {
    let text = |text: &str| serde_json::to_string(text).expect("text is JSON");
    let mut go_on = output.append(format!("{{\"path\":{},\"versions\":[", text(&path.to_text())).into_bytes());
    let mut separator = "\n";
    for version in versions {
        if go_on.is_break() {
            return;
        }
        let described = serde_json::to_string(&Listed::new(path, version)).expect("texts and numbers are JSON");
        go_on = output.append(format!("{separator}{described}").into_bytes());
        separator = ",\n";
    }
    let next = next.map_or_else(|| "null".to_owned(), |next| text(&next));
    let _ = output.append(format!("\n],\"next\":{next}}}\n").into_bytes());
}

fn next_versions(path: &SharePath, limit: usize, last: &VersionId) -> String {
    format!("{}?versions&limit={limit}&before={}", urls::of(path), last.as_str())
}

fn next_deleted(path: &SharePath, wish: &DeletedWish, last: &SharePath) -> String {
    let deep = if wish.deep { "&deep" } else { "" };
    let (folder, count) = (urls::of_folder(path), wish.count);
    format!("{folder}?deleted{deep}&limit={count}&after={}", &last.to_url()[1..])
}

fn line(object: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(object).expect("texts and numbers are JSON");
    line.push(b'\n');
    line
}

/// Where a listing goes on.
#[derive(Serialize)]
struct Next {
    next: String,
}

/// What was and is no more: its newest version, and how it comes back. Who displaced that is not told: it would be taken for who deleted it, which
/// another program may have done later.
#[derive(Serialize)]
struct Deleted {
    #[serde(flatten)]
    newest: Described,
    restore: String,
}

impl Deleted {
    fn new(kept: &KeptAt) -> Self {
        let restore = format!("{}?restore={}", urls::of(&kept.path), kept.version.id.as_str());
        Self { newest: Described::with_path(kept), restore }
    }
}

/// A version in a listing, here and on the command line, with who displaced it. Every version has every field.
#[derive(Serialize)]
pub(crate) struct Listed {
    #[serde(flatten)]
    version: Described,
    /// Who displaced it, where that is known. Whoever has the right to the history has the right to know.
    displaced_by: Option<DescribedAuthor>,
}

impl Listed {
    /// One of the versions of a path.
    fn new(path: &SharePath, version: &KeptVersion) -> Self {
        Self { version: Described::new(path, version), displaced_by: described_author(version) }
    }

    /// One among versions of many paths.
    pub(crate) fn with_path(kept: &KeptAt) -> Self {
        Self { version: Described::with_path(kept), displaced_by: described_author(&kept.version) }
    }
}

fn described_author(version: &KeptVersion) -> Option<DescribedAuthor> {
    version.displaced_by.as_deref().map(DescribedAuthor::new)
}

/// A version, as JSON tells it wherever it does.
#[derive(Serialize)]
struct Described {
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
    fn new(path: &SharePath, version: &KeptVersion) -> Self {
        let id = version.id.as_str();
        let is_file = version.kind != Kind::Dir;
        Self {
            path: None,
            id: id.to_owned(),
            kind: if is_file { "file" } else { "folder" },
            size: is_file.then_some(version.size),
            modified: version.modified.rfc_3339(),
            kept: version.id.time().rfc_3339(),
            href: format!("{}?version={id}", urls::of(path)),
        }
    }

    fn with_path(kept: &KeptAt) -> Self {
        Self { path: Some(kept.path.to_text()), ..Self::new(&kept.path, &kept.version) }
    }
}
