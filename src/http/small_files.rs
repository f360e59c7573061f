//! Small files that are asked for again and again: their bytes and headers in memory, confirmed by one look at the disk for every answer.
//!
//! The cache answers only what is plain: a GET or HEAD of a file with no range and at most an If-None-Match of one tag. Everything else goes
//! to the methods, and gets the same answer there.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

use actix_web::http::header::{HeaderName, HeaderValue};
use bytes::Bytes;
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use quick_cache::{OptionsBuilder, Weighter};

use crate::model::content_hash::ContentHash;
use crate::model::stamp::Stamp;
use crate::share::{FoundFolder, Share, Spot};

use crate::http::reply;
use crate::http::wire::fast_path::Plain;

/// The largest file that is kept, in bytes.
pub(crate) const FILE_BYTES_MAX: u64 = 128 * 1024;

/// What an entry takes besides its bytes, roughly.
const OVERHEAD_BYTES: u64 = 1000;

/// How many bytes of contents are looked at to find an equal one.
const CONTENTS_BYTES_MAX: usize = 1 << 20;

/// How many different heads are remembered, so that files share them.
const SHARED_LINES_MAX: usize = 1000;

/// How the line of `ETag` begins and how every line ends.
const TAG: &[u8] = b"etag: ";
const LINE_END: &[u8] = b"\r\n";

/// The cache of small files, by the target of the request as it was sent.
#[derive(Debug)]
pub(crate) struct HotCache {
    files: Cache<Box<str>, Arc<HotFile>, ByBytes>,
    shared: Mutex<HashSet<Arc<SharedLines>>>,
    /// The contents that were kept last. Files with equal bytes, of which a tree may have many, have them in memory once.
    contents: Cache<ContentHash, Bytes, ByLength>,
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
    /// What its heads have in common with those of other files.
    shared: Arc<SharedLines>,
    /// The lines of a 200 that are its own, as they are on the wire; the last of them is `ETag`, and the only one of a 304.
    own: Box<[u8]>,
    /// Where that begins.
    tag_line: usize,
}

/// How the heads of many files begin on the wire, from the status line on: of a 200, and of a 304.
#[derive(Debug, PartialEq, Eq, Hash)]
struct SharedLines {
    found: Box<[u8]>,
    unmodified: Box<[u8]>,
}

/// The fields of the answers about a small file.
#[derive(Debug)]
pub(crate) struct SmallFields {
    /// Those of a 200 and of a 304 that other files may have as well.
    pub(crate) found: Vec<(HeaderName, HeaderValue)>,
    pub(crate) unmodified: Vec<(HeaderName, HeaderValue)>,
    /// Those of a 200 that are its own, besides the tag.
    pub(crate) own: Vec<(HeaderName, HeaderValue)>,
    pub(crate) tag: HeaderValue,
}

/// What is to be said of a small file.
#[derive(Debug)]
pub(crate) struct SmallAnswer {
    pub(crate) file: Arc<HotFile>,
    /// Whether the client has not got it yet.
    pub(crate) modified: bool,
}

impl HotFile {
    fn tag(&self) -> &[u8] {
        let line = &self.own[self.tag_line..];
        &line[TAG.len()..line.len() - LINE_END.len()]
    }
}

impl SmallAnswer {
    fn new(file: Arc<HotFile>, if_none_match: Option<&[u8]>) -> Self {
        let modified = if_none_match.is_none_or(|tag| tag != file.tag());
        Self { file, modified }
    }

    /// The head of the answer as it is on the wire, up to `Date`.
    pub(crate) fn head(&self) -> [&[u8]; 2] {
        let HotFile { shared, own, tag_line, .. } = &*self.file;
        if self.modified { [&shared.found, own] } else { [&shared.unmodified, &own[*tag_line..]] }
    }
}

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<Box<str>, Arc<HotFile>> for ByBytes {
    fn weight(&self, target: &Box<str>, file: &Arc<HotFile>) -> u64 {
        OVERHEAD_BYTES + target.len() as u64 + file.bytes.len() as u64
    }
}

#[derive(Clone, Debug)]
struct ByLength;

impl Weighter<ContentHash, Bytes> for ByLength {
    fn weight(&self, _hash: &ContentHash, bytes: &Bytes) -> u64 {
        bytes.len().max(1) as u64
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
        let contents = Cache::with_weighter(CONTENTS_BYTES_MAX / 4096, CONTENTS_BYTES_MAX as u64, ByLength);
        Self { files, shared: Mutex::default(), contents }
    }

    /// Keeps a file that was read in this state, by the target of the request.
    pub(crate) fn keep(
        &self,
        target: &str,
        (spot, stamp): (Spot, Stamp),
        (hash, bytes): (Option<ContentHash>, Bytes),
        fields: &SmallFields,
    ) {
        let bytes = match hash {
            Some(hash) => self.once(hash, bytes),
            None => bytes,
        };
        let shared = self.share(SharedLines {
            found: reply::hot_head(true, &fields.found),
            unmodified: reply::hot_head(false, &fields.unmodified),
        });
        let mut own = reply::on_the_wire(&fields.own);
        let tag_line = own.len();
        own.extend_from_slice(&[TAG, fields.tag.as_bytes(), LINE_END].concat());
        let (target, own) = (Box::<str>::from(target), own.into());
        let file = HotFile { target: target.clone(), spot, stamp, bytes, shared, own, tag_line };
        self.files.insert(target, Arc::new(file));
    }

    /// The same bytes, once for all files that have them. The hash only finds them: a file may have been written since it was hashed, and what
    /// was read of it must never be told of another.
    fn once(&self, hash: ContentHash, bytes: Bytes) -> Bytes {
        if let Some(equal) = self.contents.get(&hash).filter(|known| *known == bytes) {
            return equal;
        }
        self.contents.insert(hash, bytes.clone());
        bytes
    }

    /// The same lines, once for all files that have them. There are as many as there are media types.
    fn share(&self, lines: SharedLines) -> Arc<SharedLines> {
        let mut shared = self.shared.lock();
        if let Some(lines) = shared.get(&lines) {
            return Arc::clone(lines);
        }
        let lines = Arc::new(lines);
        if shared.len() < SHARED_LINES_MAX {
            shared.insert(Arc::clone(&lines));
        }
        lines
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shared_by_what_is_equal_and_by_nothing_else() {
        let cache = HotCache::new(1 << 20);
        let hash = ContentHash::of(b"one");
        let first = cache.once(hash, Bytes::from(b"one".to_vec()));
        let second = cache.once(hash, Bytes::from(b"one".to_vec()));
        assert_eq!(first.as_ptr(), second.as_ptr());
        // A file that was written after it was hashed.
        assert_eq!(cache.once(hash, Bytes::from(b"two".to_vec())), "two");
        assert_eq!(cache.once(hash, Bytes::from(b"one".to_vec())), "one");
    }
}
