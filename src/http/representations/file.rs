//! A file as its bytes: what its conditional headers make of it, its ranges, and the headers that describe it.
//!
//! The bytes of one answer are of one version: the file is opened once, and the tag is that of the handle that is read.

use crate::http::clock::now;
use crate::http::context::{RequestScope, conditions, reader};
use crate::http::headers::range::Ranges;
use crate::http::headers::{digest, field, range};
use crate::http::media;
use crate::http::reply;
use crate::http::reply::{HandlerError, RequestError};
use crate::http::request::origin;
use crate::http::request::query::Query;
use crate::http::request::target::RequestTarget;
use crate::http::small_files::{FILE_BYTES_MAX, SmallFields};
use crate::http::urls;
use crate::http::wire::body;
use crate::http::wire::source::FileBytes;
use crate::model::dating::told;
use crate::model::http_date;
use crate::model::path::SharePath;
use crate::model::precondition::{Decision, Intent, Precondition};
use crate::model::stamp::Timestamp;
use crate::model::validators::Target;
use crate::os::open_file::OpenFile;
use crate::share::outcome::{Refusal, Stop, Subject};
use crate::share::{Content, Identity, OpenResource};
use std::io;
use std::ops::Range;
use std::sync::Arc;

use actix_http::RequestHead;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::{Bytes, BytesMut};

/// The answer may be kept, but is to be confirmed each time: another may replace it at any moment.
pub(crate) const CACHE: HeaderValue = HeaderValue::from_static("no-cache");

/// Whether a file that was sent may be kept in the cache of small files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remember {
    IfSmall,
    No,
}

/// Sends a file, or what the conditional headers make of it.
pub(crate) async fn send(
    app: &RequestScope,
    request: &HttpRequest,
    asked: &RequestTarget,
    content: Content,
    identity: Identity,
    remember: Remember,
) -> Result<HttpResponse, HandlerError> {
    let head = request.head();
    let precondition = conditions(head)?;
    let identity = hash_if_asked(app, asked, &precondition, &content, identity).await?;
    match precondition.decide(&Target::from(&identity.validators), Intent::Read) {
        Decision::Proceed => {}
        Decision::NotModified => {
            let mut answer = reply::not_modified();
            answer.insert_header((header::ETAG, identity.validators.shown.to_string()));
            answer.insert_header((header::CACHE_CONTROL, CACHE));
            return Ok(answer.finish());
        }
        Decision::Refuse(header) => {
            let current = app.share.describe(&identity);
            let of = Subject::file(&asked.path);
            return Err(Stop::from(Refusal::PreconditionFailed { header, of, current: Some(current) }).into());
        }
    }
    let ranges = ranges(head, &identity, content.size());
    let mut describe = Headers::new(app, asked, &identity);
    if let Some(checksums) = content.checksums() {
        describe.add("oc-checksum", checksums);
    }
    if let Some(value) = wanted_digest(app, head, &content, &identity).await? {
        describe.set(HeaderName::from_static("repr-digest"), value);
    }
    match ranges {
        Ranges::Unsatisfiable => Err(RequestError::Range(content.size()).into()),
        Ranges::Whole => {
            // What a program wrote after it was identified shows in the stamp, then and only then.
            if remember == Remember::IfSmall
                && is_plain(request, asked)
                && content.size() <= FILE_BYTES_MAX
                && identity.is_settled()
                && let Some(bytes) = read_small(app, &content).await?
            {
                keep(app, head, asked, &content, &identity, &describe, bytes.clone());
                return Ok(whole_from_memory(head, describe, bytes));
            }
            let size = content.size();
            Ok(body::file(request, describe.into(reply::found()), source(content), 0..size))
        }
        Ranges::Parts(parts) => Ok(send_parts(request, describe, content, parts)),
    }
}

/// For a 412 whose client prefers so: the current file in its place (RFC 8144 §3.2).
pub(crate) async fn instead_of_412(app: &RequestScope, request: &HttpRequest, stop: &Stop) -> Option<HttpResponse> {
    let Stop::Refusal(Refusal::PreconditionFailed { current: Some(_), of, .. }) = stop else { return None };
    let head = request.head();
    if !field::prefers(&head.headers, "return=representation") {
        return None;
    }
    let asked = RequestTarget { path: of.path.clone(), ..RequestTarget::parse(head).ok()? };
    let Ok(OpenResource::File(content, identity)) = open(app, &asked.path).await else { return None };
    let size = content.size();
    let mut describe = Headers::new(app, &asked, &identity);
    describe.add("content-location", &urls::of(&asked.path));
    describe.add("cache-control", "no-store");
    Some(body::file(request, describe.into(reply::precondition_failed_with_current()), source(*content), 0..size))
}

/// Opens what is at a path: on this thread if nothing has to be waited for, else on the blocking pool.
pub(crate) async fn open(app: &RequestScope, path: &SharePath) -> Result<OpenResource, HandlerError> {
    let reader = reader(app);
    if let Some(target) = app.share.read_now(path, &reader) {
        return Ok(target?);
    }
    let path = path.clone();
    app.ask(move |share| share.read(&path, &reader.at(now()))).await
}

/// `If-Match` with the tag of a content has a large file hashed once, and from then on that is remembered. `If-None-Match` has not: whoever
/// does not know that he has it already gets it once more.
async fn hash_if_asked(
    app: &RequestScope,
    asked: &RequestTarget,
    precondition: &Precondition,
    content: &Content,
    identity: Identity,
) -> Result<Identity, HandlerError> {
    let is_known = identity.hash.is_some() || identity.validators.shown.is_weak();
    let must_match = precondition.that_must_match();
    if is_known || !must_match.asks_for_content() || asked.query.version.is_some() {
        return Ok(identity);
    }
    app.hashings.have_hashed(&asked.path, None, &reader(app).demanding(must_match)).await?;
    match open(app, &asked.path).await? {
        OpenResource::File(other, hashed) if other.stamp() == content.stamp() => Ok(*hashed),
        _ => Ok(identity),
    }
}

fn ranges(head: &RequestHead, identity: &Identity, size: u64) -> Ranges {
    let lines = field::lines(&head.headers, &header::RANGE);
    if head.method != Method::GET || lines.is_empty() {
        return Ranges::Whole;
    }
    let conditions = field::lines(&head.headers, &header::IF_RANGE);
    // Two conditions where one may be, name no version (RFC 9110 §13.1.5).
    if conditions.len() > 1 {
        return Ranges::Whole;
    }
    let condition = conditions.first().copied();
    if !range::if_range_holds(condition, &identity.validators) {
        return Ranges::Whole;
    }
    range::parse(&lines, size)
}

/// One part is sent as it is, several as multipart/byteranges (RFC 9110 §15.3.7).
fn send_parts(request: &HttpRequest, mut describe: Headers, content: Content, parts: Vec<Range<u64>>) -> HttpResponse {
    let size = content.size();
    if let [only] = parts.as_slice() {
        describe.set(header::CONTENT_RANGE, range::content_range(only, size));
        return body::file(request, describe.into(reply::partial()), source(content), only.clone());
    }
    let (media_type, pieces) = range::multipart(&parts, size, &describe.media_type());
    describe.set(header::CONTENT_TYPE, media_type);
    body::parts(request, describe.into(reply::partial()), source(content), pieces)
}

/// `Repr-Digest`, if the client wants one and the file is small enough to be read for it.
async fn wanted_digest(
    app: &RequestScope,
    head: &RequestHead,
    content: &Content,
    identity: &Identity,
) -> Result<Option<HeaderValue>, HandlerError> {
    let Some(algorithm) = digest::wanted(&head.headers) else { return Ok(None) };
    let (content, identity) = (content.clone(), identity.clone());
    let answer = app.ask(move |share| {
        if !share.is_cheap_to_hash(&content) {
            return Ok(None);
        }
        let mut digest = digest::ReprDigest::new(algorithm);
        let is_right = share.read_identified(&content, &identity, |bytes| digest.update(bytes));
        Ok(is_right.then(|| digest.finish()))
    });
    answer.await
}

/// Reads a small file whole; `None` if it is being changed meanwhile.
async fn read_small(app: &RequestScope, content: &Content) -> Result<Option<Bytes>, HandlerError> {
    let content = content.clone();
    app.ask(move |_| {
        let mut bytes = BytesMut::with_capacity(content.size() as usize);
        let whole = content.read_all(|piece| bytes.extend_from_slice(piece));
        Ok((whole.is_ok() && content.is_exactly_unchanged()).then(|| bytes.freeze()))
    })
    .await
}

fn is_plain(request: &HttpRequest, asked: &RequestTarget) -> bool {
    request.uri().query().is_none() && asked.query == Query::default()
}

fn keep(
    app: &RequestScope,
    head: &RequestHead,
    asked: &RequestTarget,
    content: &Content,
    identity: &Identity,
    describe: &Headers,
    bytes: Bytes,
) {
    let tag = identity.validators.shown.to_string();
    let (false, Ok(tag)) = (identity.validators.shown.is_weak(), HeaderValue::from_str(&tag)) else { return };
    // What lies ahead of the clock is told with another date each time.
    let is_ahead = identity.stamp.mtime.seconds() > identity.validators.date.now;
    if describe.headers.iter().any(|(name, _)| name == "repr-digest") || is_ahead {
        return;
    }
    let Some(spot) = app.share.spot(&asked.path) else { return };
    let always = origin::to_others(&app.settings.allowed_origins);
    let is_its_own = |(name, _): &(HeaderName, HeaderValue)| *name == header::LAST_MODIFIED;
    let (mut own, found): (Vec<_>, Vec<_>) = describe.headers.iter().cloned().partition(is_its_own);
    own.push((header::CONTENT_LENGTH, bytes.len().into()));
    let fields = SmallFields {
        found: found.into_iter().filter(|(name, _)| *name != header::ETAG).chain(always.clone()).collect(),
        unmodified: [(header::CACHE_CONTROL, CACHE)].into_iter().chain(always).collect(),
        own,
        tag,
    };
    app.hot.keep(head.uri.path(), (spot, *content.stamp()), (identity.hash, bytes), &fields);
}

fn whole_from_memory(head: &RequestHead, describe: Headers, bytes: Bytes) -> HttpResponse {
    let mut answer = describe.into(reply::found());
    if head.method == Method::HEAD {
        return answer.body(body::LengthOnly(bytes.len() as u64));
    }
    answer.body(bytes)
}

/// The headers that describe a file.
pub(crate) struct Headers {
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Headers {
    fn new(app: &RequestScope, asked: &RequestTarget, identity: &Identity) -> Self {
        let name = asked.path.split().map(|(_, name)| name);
        let bytes = name.as_ref().map_or(&b""[..], |name| name.as_bytes());
        let media_type = media::media_type(bytes);
        // What lay there once is nobody's program any more.
        let is_trusted = asked.query.version.is_none() && app.settings.trusted_pages.include(&asked.path, &media_type);
        let policy = if is_trusted { None } else { media::policy(&media_type) };
        let mut headers = vec![
            (header::CONTENT_TYPE, media_type),
            (header::ACCEPT_RANGES, HeaderValue::from_static("bytes")),
            (header::CACHE_CONTROL, CACHE),
            (header::X_CONTENT_TYPE_OPTIONS, media::NOSNIFF),
        ];
        if let Some(policy) = policy {
            headers.push((header::CONTENT_SECURITY_POLICY, policy));
        }
        if asked.query.download {
            headers.push((header::CONTENT_DISPOSITION, media::attachment(bytes)));
        }
        let mut all = Self { headers };
        all.add("etag", &identity.validators.shown.to_string());
        let date = &identity.validators.date;
        all.add("last-modified", &http_date::format(told(date.modified, Timestamp::new(date.now, 0))));
        all
    }

    fn add(&mut self, name: &'static str, value: &str) {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.set(HeaderName::from_static(name), value);
        }
    }

    fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value));
    }

    fn media_type(&self) -> HeaderValue {
        let found = self.headers.iter().find(|(name, _)| *name == header::CONTENT_TYPE);
        found.map_or(HeaderValue::from_static("application/octet-stream"), |(_, value)| value.clone())
    }

    fn into(self, mut answer: HttpResponseBuilder) -> HttpResponseBuilder {
        for header in self.headers {
            answer.insert_header(header);
        }
        answer
    }
}

/// A file of the share, as the bodies need it.
#[derive(Debug)]
pub(crate) struct Source(Content);

pub(crate) fn source(content: Content) -> Arc<dyn FileBytes> {
    Arc::new(Source(content))
}

impl FileBytes for Source {
    fn open_file(&self) -> Option<OpenFile<'_>> {
        self.0.open_file()
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, into)
    }

    fn still_the_same(&self) -> bool {
        self.0.is_unchanged()
    }
}
