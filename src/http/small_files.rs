//! Small files that are asked for again and again: their bytes and headers in memory, confirmed by one look at the disk for every answer.
//!
//! The cache answers only what is plain: a GET or HEAD of a file with no range and at most an If-None-Match of one tag. Everything else goes
//! to the methods, and gets the same answer there.

use std::cell::RefCell;
use std::sync::Arc;

use actix_web::http::header::{HeaderName, HeaderValue};
use bytes::Bytes;
use quick_cache::sync::Cache;
use quick_cache::{OptionsBuilder, Weighter};

use crate::model::stamp::Stamp;
use crate::share::{FoundFolder, Share, Spot};

use crate::http::reply;
use crate::http::wire::fast_path::Plain;

/// The largest file that is kept, in bytes.
pub(crate) const FILE_BYTES_MAX: u64 = 128 * 1024;

/// What an entry takes besides its bytes, roughly.
const OVERHEAD_BYTES: u64 = 1500;

/// The cache of small files, by the target of the request as it was sent.
#[derive(Debug)]
pub(crate) struct HotCache {
    files: Cache<Box<str>, Arc<HotFile>, ByBytes>,
}

/// What a worker has looked at last, and in which of its rounds.
#[derive(Debug, Default)]
pub(crate) struct LastLook(RefCell<Looks>);

#[derive(Debug, Default)]
struct Looks {
    round: Option<u64>,
    file: Option<Arc<HotFile>>,
    folder: Option<FoundFolder>,
}

#[derive(Debug)]
pub(crate) struct HotFile {
    /// The path that it was asked for by.
    target: Box<str>,
    pub(crate) spot: Spot,
    /// The state in which its bytes were read.
    stamp: Stamp,
    pub(crate) bytes: Bytes,
    /// The heads of a 200 and of a 304 as they are on the wire, up to `Date`.
    found: Box<[u8]>,
    unmodified: Box<[u8]>,
    tag: HeaderValue,
}

/// What is to be said of a small file.
#[derive(Debug)]
pub(crate) struct SmallAnswer {
    pub(crate) file: Arc<HotFile>,
    /// Whether the client has not got it yet.
    pub(crate) modified: bool,
}

impl HotFile {
    /// A file in this state, with the headers of its 200 and of its 304.
    pub(crate) fn new(
        target: &str,
        (spot, stamp): (Spot, Stamp),
        bytes: Bytes,
        headers: &[(HeaderName, HeaderValue)],
        unmodified_headers: &[(HeaderName, HeaderValue)],
        tag: HeaderValue,
    ) -> Self {
        let found = reply::on_the_wire(Some(bytes.len()), headers);
        let unmodified = reply::on_the_wire(None, unmodified_headers);
        Self { target: target.into(), spot, stamp, bytes, found, unmodified, tag }
    }
}

impl SmallAnswer {
    fn new(file: Arc<HotFile>, if_none_match: Option<&[u8]>) -> Self {
        let modified = if_none_match.is_none_or(|tag| tag != file.tag.as_bytes());
        Self { file, modified }
    }

    /// The head of the answer as it is on the wire, up to `Date`.
    pub(crate) fn on_the_wire(&self) -> &[u8] {
        if self.modified { &self.file.found } else { &self.file.unmodified }
    }
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
    pub(crate) fn new(bytes_max: u64) -> Self {
        let options = OptionsBuilder::new()
            .estimated_items_capacity((bytes_max / 4096).max(16) as usize)
            .weight_capacity(bytes_max)
            .build()
            .expect("all that is needed is set");
        let files = Cache::with_options(options, ByBytes, Default::default(), Default::default());
        Self { files }
    }

    pub(crate) fn keep(&self, file: HotFile) {
        self.files.insert(file.target.clone(), Arc::new(file));
    }

    /// Finds what to say to a plain request. A look at the file in the same round, for another request, is as good as one of its own.
    pub(crate) fn find(&self, share: &Share, plain: &Plain<'_>, last: &LastLook) -> Option<SmallAnswer> {
        if plain.if_none_match.is_some_and(|line| !is_one_tag(line)) {
            return None;
        }
        let mut last = last.0.borrow_mut();
        if plain.round.is_none() || last.round != plain.round {
            *last = Looks { round: plain.round, ..Looks::default() };
        }
        if let Some(file) = last.file.as_ref().filter(|file| *file.target == *plain.path) {
            return Some(SmallAnswer::new(Arc::clone(file), plain.if_none_match));
        }
        let file = match plain.round {
            Some(_) => {
                let is_still = |file: &HotFile| share.is_still_among(&mut last.folder, &file.spot, &file.stamp);
                let file = self.look(plain.path, is_still)?;
                last.file = Some(Arc::clone(&file));
                file
            }
            None => self.look(plain.path, |file| share.is_still(&file.spot, &file.stamp))?,
        };
        Some(SmallAnswer::new(file, plain.if_none_match))
    }

    /// A file that is kept, if it is still what it was.
    fn look(&self, path: &str, is_still: impl FnOnce(&HotFile) -> bool) -> Option<Arc<HotFile>> {
        let file = self.files.get(path)?;
        if !is_still(&file) {
            self.files.remove(path);
            return None;
        }
        Some(file)
    }
}

/// Only a strong tag, alone, is plain; lists, weak tags and `*` are for the methods.
fn is_one_tag(line: &[u8]) -> bool {
    matches!(line, [b'"', inner @ .., b'"'] if !inner.contains(&b'"'))
}
