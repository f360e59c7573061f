//! Small files that are asked for again and again: their bytes and headers in memory, confirmed by one look at the disk for every answer.
//!
//! The cache answers only what is plain: a GET or HEAD of a file with no range and at most an If-None-Match of one tag. Everything else goes
//! to the verbs.

use std::sync::Arc;

use actix_http::{RequestHead, Response};
use actix_web::body::BoxBody;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use quick_cache::sync::Cache;
use quick_cache::{OptionsBuilder, Weighter};

use crate::http::body::LengthOnly;
use crate::model::stamp::Stamp;
use crate::share::{Share, Spot};

use super::reply;

/// The largest file that is kept, in bytes.
pub(super) const FILE_BYTES_MAX: u64 = 128 * 1024;

/// What an entry takes besides its bytes, roughly.
const OVERHEAD_BYTES: u64 = 700;

/// Headers that make a request more than plain.
const NOT_PLAIN: [HeaderName; 5] =
    [header::RANGE, header::IF_MATCH, header::IF_MODIFIED_SINCE, header::IF_UNMODIFIED_SINCE, header::EXPECT];

/// The cache of small files, by the target of the request as it was sent.
#[derive(Debug)]
pub(super) struct HotCache {
    files: Cache<Box<str>, Arc<HotFile>, ByBytes>,
}

/// A small file.
#[derive(Debug)]
pub(super) struct HotFile {
    /// Where it is.
    pub(super) spot: Spot,
    /// The state in which its bytes were read.
    pub(super) stamp: Stamp,
    /// Its bytes.
    pub(super) bytes: Bytes,
    /// The headers of a 200.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// The headers of a 304.
    pub(super) unmodified_headers: Vec<(HeaderName, HeaderValue)>,
    /// Its tag.
    pub(super) tag: HeaderValue,
}

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<Box<str>, Arc<HotFile>> for ByBytes {
    fn weight(&self, target: &Box<str>, file: &Arc<HotFile>) -> u64 {
        OVERHEAD_BYTES + target.len() as u64 + file.bytes.len() as u64
    }
}

impl HotCache {
    /// A cache of at most so many bytes.
    pub(super) fn new(bytes_max: u64) -> Self {
        let options = OptionsBuilder::new()
            .estimated_items_capacity((bytes_max / 4096).max(16) as usize)
            .weight_capacity(bytes_max)
            .build()
            .expect("all that is needed is set");
        let files = Cache::with_options(options, ByBytes, Default::default(), Default::default());
        Self { files }
    }

    /// Keeps a file.
    pub(super) fn keep(&self, target: &str, file: HotFile) {
        self.files.insert(target.into(), Arc::new(file));
    }

    /// Answers from memory, if the request is plain and the file is still what it was.
    pub(super) fn answer(&self, share: &Share, head: &RequestHead) -> Option<Response<BoxBody>> {
        if head.uri.query().is_some() || NOT_PLAIN.iter().any(|name| head.headers.contains_key(name)) {
            return None;
        }
        let file = self.files.get(head.uri.path())?;
        if !share.is_still(&file.spot, &file.stamp) {
            self.files.remove(head.uri.path());
            return None;
        }
        let modified = match if_none_match(&head.headers) {
            Condition::None => true,
            Condition::Tag(tag) => tag != file.tag.as_bytes(),
            Condition::More => return None,
        };
        let body = match (modified, head.method == Method::HEAD) {
            (false, _) => BoxBody::new(()),
            (true, true) => BoxBody::new(LengthOnly(file.bytes.len() as u64)),
            (true, false) => BoxBody::new(file.bytes.clone()),
        };
        let mut answer = reply::hot(modified, body);
        let headers = if modified { &file.headers } else { &file.unmodified_headers };
        for (name, value) in headers {
            answer.headers_mut().insert(name.clone(), value.clone());
        }
        Some(answer)
    }
}

enum Condition<'a> {
    None,
    Tag(&'a [u8]),
    More,
}

/// Only one line with one tag, or one that matches nothing by its looks, is plain; lists and `*` are for the verbs.
fn if_none_match(headers: &HeaderMap) -> Condition<'_> {
    let mut lines = headers.get_all(header::IF_NONE_MATCH);
    match (lines.next().map(HeaderValue::as_bytes), lines.next()) {
        (None, _) => Condition::None,
        (Some(line @ [b'"', inner @ .., b'"']), None) if !inner.contains(&b'"') => Condition::Tag(line),
        _ => Condition::More,
    }
}
