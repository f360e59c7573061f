//! The chunked upload of Nextcloud, version 2, which rclone speaks as well: MKCOL begins an upload, each PUT brings a chunk, in any order and many at
//! once, and the MOVE of `.file` makes the file of them. What the MOVE demands of its destination is judged as for any upload.

use std::sync::Arc;

use actix_http::{Payload, RequestHead};
use actix_web::HttpResponse;
use actix_web::http::{Method, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;

use crate::http::bodies::{has_no_body, parse_xml, xml_body};
use crate::http::clock::now;
use crate::http::context::{RequestScope, permit_elsewhere, reader};
use crate::http::headers::dav_headers::{self, Depth};
use crate::http::headers::digest::{Checker, Expected, Mismatch};
use crate::http::headers::field;
use crate::http::limits::pace::Pace;
use crate::http::methods::attempt::Attempt;
use crate::http::methods::put::{Demands, Piece, Sink, UploadBody, UploadWriter, crossed, keep_checksums, pour, turn};
use crate::http::reply::{self, HandlerError, RequestError};
use crate::http::request::method::{Allowed, DavMethod};
use crate::http::request::service_url::{self, ChunkedUrl, Service};
use crate::http::xml::read::Propfind;
use crate::model::chunk_name::ChunkName;
use crate::model::path::SharePath;
use crate::model::principal::Principal;
use crate::model::rights::Rights;
use crate::share::outcome::Outcome;
use crate::share::{ChosenId, ChunkStart, ChunkUpload, CopyLimit, Dialect, Share, Stored, UploadState};

use super::contact::owner;
use super::kept::{self, Ending};

/// What all chunks together are called.
const WHOLE: &str = ".file";

/// What of a name is written as it is in a URL.
const AS_WRITTEN: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// Under which name it is kept what the client calls an upload, so that its owner finds it in the list.
const CALLED: &str = "chunked-upload";

/// Serves an upload, or a chunk of one.
pub(super) async fn serve(
    app: &RequestScope,
    head: &RequestHead,
    body: &mut Payload,
    service: &Service,
) -> Result<HttpResponse, HandlerError> {
    match (service, DavMethod::of(&head.method)) {
        (_, DavMethod::Options) => Ok(reply::options(Allowed::Chunks, None)),
        (Service::Chunked(url), DavMethod::MakeCollection) => {
            has_no_body(app, head, body).await?;
            begin(app, head, url).await
        }
        (Service::Chunked(url), DavMethod::Propfind) => list(app, head, body, url).await,
        (Service::Chunked(url), DavMethod::Delete) => {
            has_no_body(app, head, body).await?;
            let (id, owner) = (id(app, url), owner(app));
            app.ask(move |share| share.cancel_chunked(&id, &owner, now())).await?;
            Ok(reply::done())
        }
        (Service::Chunk(url, name), DavMethod::Move) if name == WHOLE => {
            has_no_body(app, head, body).await?;
            end(app, head, url).await
        }
        (Service::Chunk(url, name), DavMethod::Put) if name != WHOLE => put(app, head, body, url, name).await,
        (_, DavMethod::Unknown) => Err(RequestError::UnknownMethod.into()),
        _ => Err(RequestError::Method(Allowed::Chunks).into()),
    }
}

/// What stands behind the place of all uploads in chunks, or for another the name under which it is listed.
pub(super) fn url_name(upload: &UploadState) -> String {
    let called = upload.begun.fields.iter().find(|(name, _)| &**name == CALLED);
    called.map_or_else(|| upload.stem.to_string(), |(_, url)| String::from_utf8_lossy(url).into_owned())
}

fn id(app: &RequestScope, url: &ChunkedUrl) -> ChosenId {
    ChosenId::new(app.caller.principal(), &[&url.user, &url.id])
}

/// Whoever cannot say yet where an upload ends may begin it if there is any place where it could.
fn permit_to_begin(app: &RequestScope, destination: Option<&SharePath>) -> Result<(), HandlerError> {
    const RIGHTS: Rights = Rights::CREATE.union(Rights::OVERWRITE);
    match destination {
        Some(path) => permit_elsewhere(app, RIGHTS, path),
        None if app.caller.permissions().anywhere().intersects(RIGHTS) => Ok(()),
        None => permit_elsewhere(app, RIGHTS, &SharePath::root()),
    }
}

async fn begin(app: &RequestScope, head: &RequestHead, url: &ChunkedUrl) -> Result<HttpResponse, HandlerError> {
    let destination = kept::destination(head)?;
    permit_to_begin(app, destination.as_ref())?;
    let total = total(app, head)?;
    let path = destination.clone().unwrap_or_else(SharePath::root);
    let mut begun = kept::begun(app, &head.headers, Dialect::Chunks, &path, false);
    // Where nobody is told from another it is a secret.
    if matches!(begun.owner, Principal::Named(_)) {
        begun.fields.push((CALLED.into(), called(url).into_bytes().into()));
    }
    let context = match destination {
        None => reader(app),
        Some(path) => {
            let Ending { demands: Demands { context, .. }, path, .. } =
                kept::ending_by_move(app, &begun, &RequestHead::default(), path)?;
            app.hashings.have_hashed(&path, None, &context.of_states_alone()).await?;
            context
        }
    };
    let id = id(app, url);
    app.ask(move |share| share.begin_chunked(&id, begun, total, &context.at(now()))).await?;
    Ok(reply::chunked_upload_made(&service_url::of_upload(&SharePath::root(), Dialect::Chunks, &called(url))))
}

fn called(url: &ChunkedUrl) -> String {
    let encoded = |text: &str| percent_encode(text.as_bytes(), &AS_WRITTEN).to_string();
    format!("{}/{}", encoded(&url.user), encoded(&url.id))
}

/// How long all chunks are to be together, if the client says so.
fn total(app: &RequestScope, head: &RequestHead) -> Result<Option<u64>, HandlerError> {
    let total = dav_headers::length_of_all_chunks(&head.headers)?;
    match app.settings.upload_bytes_max {
        Some(max) if total.is_some_and(|total| total > max) => Err(RequestError::LargeBody.into()),
        _ => Ok(total),
    }
}

/// A chunk that is written, and the digests that it has come to so far.
struct Writing {
    upload: ChunkUpload,
    checker: Checker,
    /// How long the upload may become, in bytes.
    bytes_max: u64,
}

impl Sink for Writing {
    fn write(&mut self, share: &Share, piece: &[u8]) -> Result<(), HandlerError> {
        if self.upload.in_all().saturating_add(piece.len() as u64) > self.bytes_max {
            return Err(RequestError::LargeBody.into());
        }
        self.checker.update(piece);
        Ok(share.write_chunk(&mut self.upload, piece, now())?)
    }
}

async fn put(
    app: &RequestScope,
    head: &RequestHead,
    body: &mut Payload,
    url: &ChunkedUrl,
    name: &str,
) -> Result<HttpResponse, HandlerError> {
    let headers = &head.headers;
    let name = ChunkName::parse(name).ok_or(RequestError::NoChunkName)?;
    permit_to_begin(app, kept::destination(head)?.as_ref())?;
    if headers.contains_key(header::CONTENT_RANGE) {
        return Err(RequestError::PartialPut.into());
    }
    if field::is_coded(headers) {
        return Err(RequestError::CodedBody.into());
    }
    let announced = field::announced_length(headers);
    if announced.is_none() && !headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(RequestError::NoLength.into());
    }
    let checker = Expected::from_headers(headers).map_err(RequestError::InvalidDigest)?.checker();
    let start = ChunkStart { name, bytes: announced, total: total(app, head)? };
    let (id, owner) = (id(app, url), owner(app));
    let upload = app.ask(move |share| share.begin_chunk(&id, &owner, start, now())).await?;
    let pace = Pace::of_upload(&app.settings);
    let (changed, is_to_stop) = (Arc::new(Notify::new()), Arc::default());
    let replaces = (SharePath::root(), reader(app));
    let mut source = UploadBody { app, body, announced, pace, watch: None, changed, is_to_stop, replaces, doubt: None };
    let bytes_max = app.settings.upload_bytes_max.unwrap_or(u64::MAX);
    let mut writer = UploadWriter::new(Arc::clone(&app.share), Writing { upload, checker, bytes_max });
    let next = source.next().await?;
    let held = turn(app).await?;
    let turn = pour(&mut source, &mut writer, &mut Piece::default(), next, Some(held)).await?;
    let Writing { upload, checker, .. } = writer.into_sink().await?;
    if announced.is_some_and(|announced| announced != upload.written()) {
        return Err(RequestError::BrokenBody.into());
    }
    let share = Arc::clone(&app.share);
    let is_new = crossed(spawn_blocking(move || {
        let _turn = turn;
        checker.finish().map_err(RequestError::Digest)?;
        Ok(share.end_chunk(upload)?)
    }));
    Ok(reply::chunk_stored(is_new.await?))
}

/// Makes the file of the chunks.
async fn end(app: &RequestScope, head: &RequestHead, url: &ChunkedUrl) -> Result<HttpResponse, HandlerError> {
    let destination = kept::destination(head)?.ok_or(RequestError::Destination(dav_headers::BadUrl::Missing))?;
    // What its client does when it fails is what that does after a PUT.
    let mut put = RequestHead::default();
    put.method = Method::PUT;
    for name in [header::USER_AGENT, header::HeaderName::from_static("if")] {
        head.headers.get_all(&name).for_each(|value| put.headers.append(name.clone(), value.clone()));
    }
    let attempt = Attempt::new(app, &put, &destination);
    attempt.ends(end_at(app, head, url, destination).await).await
}

async fn end_at(
    app: &RequestScope,
    head: &RequestHead,
    url: &ChunkedUrl,
    destination: SharePath,
) -> Result<HttpResponse, HandlerError> {
    permit_to_begin(app, Some(&destination))?;
    let total = total(app, head)?;
    let (id, owner) = (id(app, url), owner(app));
    let (asked, whose, path) = (id.clone(), owner.clone(), destination.clone());
    if let Some(stored) = app.ask(move |share| Ok(share.made_of_chunks(&asked, &whose, &path))).await? {
        return Ok(reply::stored(&destination, &stored, now()));
    }
    let (asked, whose) = (id.clone(), owner.clone());
    let (begun, _) = app.ask(move |share| share.find_chunked(&asked, &whose, now())).await?;
    let Ending { path, demands, .. } = kept::ending_by_move(app, &begun.begun, head, destination)?;
    app.hashings.have_hashed(&path, None, &demands.context).await?;
    let to = path.clone();
    let making = app
        .copies
        .ask(app.origin.address, move |share, limit| made(share, (&id, &owner, total), &path, demands.clone(), limit));
    let (stored, checksums) = making.await?.map_err(RequestError::Digest)?;
    keep_checksums(app, &stored, checksums);
    Ok(reply::stored(&to, &stored, now()))
}

/// Makes the file of the chunks, if it comes to what the client says.
fn made(
    share: &Share,
    (id, owner, total): (&ChosenId, &Principal, Option<u64>),
    path: &SharePath,
    demands: Demands,
    limit: CopyLimit<'_>,
) -> Outcome<Result<(Stored, Option<String>), Mismatch>> {
    let Demands { context, expected, dated } = demands;
    let end = share.end_chunked(id, owner, total, now())?;
    let mut checker = expected.checker();
    let upload =
        share.put_together(&end, path, &context.clone().at(now()), limit, &mut |bytes| checker.update(bytes))?;
    let checksums = match checker.finish() {
        Ok(checksums) => checksums,
        Err(mismatch) => return Ok(Err(mismatch)),
    };
    let stored = share.put(path, upload, dated, &context.at(now()))?;
    share.chunked_is_stored(end, path, &stored);
    Ok(Ok((stored, checksums)))
}

/// Tells which chunks have come, and how long they are.
async fn list(
    app: &RequestScope,
    head: &RequestHead,
    body: &mut Payload,
    url: &ChunkedUrl,
) -> Result<HttpResponse, HandlerError> {
    let depth = dav_headers::depth(&head.headers)?;
    let asked_for = parse_xml(xml_body(app, head, body).await?, Propfind::parse).await?;
    let (id, owner) = (id(app, url), owner(app));
    let (_, mut chunks) = app.ask(move |share| share.find_chunked(&id, &owner, now())).await?;
    if depth.is_some_and(|asked| asked.depth == Depth::Zero) {
        chunks.clear();
    }
    let place = service_url::of_upload(&SharePath::root(), Dialect::Chunks, &called(url));
    Ok(reply::chunks_of(&place, &asked_for, &chunks))
}
