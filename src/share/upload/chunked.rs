//! Uploads that come in chunks: begun, filled in any order and by many requests at once, and made the file at a path by the same commit as any other.
//!
//! A chunk counts once it has come whole and is on the disk; sent anew, it takes the place of the one before. While the file is being made of them
//! no chunk comes and none goes, and an upload that is refused then is as it was.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::model::chunk_name::ChunkName;
use crate::model::path::SharePath;
use crate::model::principal::Principal;
use crate::model::stamp::Timestamp;
use crate::store::disk_error::{Cause, Result as DiskResult};
use crate::store::local::staging::{LeftChunks, Mark, Staging};

use super::super::half_done::{Begun, Dialect, Entry, InChunks, Place, State, UploadState};
use super::super::outcome::{Outcome, Refusal};
use super::super::relocate::CopyLimit;
use super::super::request_context::RequestContext;
use super::super::room::A_NAME;
use super::super::shared_folder::Share;
use super::super::stored::Stored;
use super::Upload;
use super::id::ChosenId;

/// How many chunks an upload may have.
const CHUNKS_MAX: usize = 10_000;

/// How many of those that are missing are named.
const NAMED_MAX: usize = 100;

/// What a client says of a chunk before it comes.
#[derive(Clone, Copy, Debug)]
pub struct ChunkStart {
    /// What it is called.
    pub name: ChunkName,
    /// How long it is, in bytes, if that is known.
    pub bytes: Option<u64>,
    /// How long all of them are, in bytes, if that is known.
    pub total: Option<u64>,
}

/// A chunk that is being written. Dropping it lets it go, and nothing has come.
#[derive(Debug)]
pub struct ChunkUpload {
    entry: Arc<Entry>,
    name: ChunkName,
    /// How long it is, in bytes, if that is known.
    bytes: Option<u64>,
    staging: Option<Staging>,
}

/// An upload of whose chunks the file is being made. Dropping it leaves the upload as it was.
#[derive(Debug)]
pub struct ChunkedEnd {
    entry: Arc<Entry>,
    folder: Box<str>,
    chunks: BTreeMap<ChunkName, u64>,
}

impl Share {
    /// Begins an upload in chunks, if it could succeed now as far as that is known, with all that other uploads are to become; `announced` is how
    /// long it is to become, in bytes. On the disk it may take that twice: as chunks, and as the file that is made of them.
    pub fn begin_chunked(
        &self,
        id: &ChosenId,
        begun: Begun,
        announced: Option<u64>,
        request: &RequestContext,
    ) -> Outcome<()> {
        if self.uploads.find_any(id.stem()).is_some_and(|known| !known.is_over()) {
            return Err(Refusal::UploadExists.into());
        }
        let at = match begun.path.is_root() {
            true => self.tree.top()?,
            false => self.site_of_resumable(&begun, request)?.parent,
        };
        let (uploads, mount) = match self.tree.upload_folder(&begun.path, &at) {
            Err(error) if self.makes_room_after(&error, &at, A_NAME, request.now) => {
                self.tree.upload_folder(&begun.path, &at)?
            }
            found => found?,
        };
        if let Some(bytes) = announced {
            self.has_room_at(&at, bytes.saturating_mul(2).saturating_add(self.uploads.to_come(mount)), request.now)?;
        }
        let folder: Box<str> = format!("{}-{:x}", id.stem(), request.now.nanoseconds()).into();
        let purpose = purpose(id.stem(), announced, &begun);
        let make = || self.tree.chunks().make(&uploads, &folder, &purpose);
        match make() {
            Err(error) if self.makes_room_after(&error, &at, A_NAME, request.now) => make()?,
            made => made?,
        }
        let chunks = InChunks { folder: folder.clone(), chunks: BTreeMap::new(), writers: 0, is_ending: false };
        let mark = Mark { offset: 0, length: announced };
        let state = Mutex::new(State { mark, touched: request.now, place: Place::InChunks(chunks) });
        let dir = self.the_one_open(uploads.dir, mount);
        let entry = Arc::new(Entry { stem: id.stem().into(), begun: Arc::new(begun), dir, mount, state });
        self.uploads.admit(Arc::clone(&entry)).inspect_err(|_| {
            let _ = self.tree.chunks().remove(&entry.dir, &folder);
        })
    }

    fn chunked(&self, id: &ChosenId, owner: &Principal, now: Timestamp) -> Outcome<Arc<Entry>> {
        let entry = match self.uploads.find(id.stem(), owner, Dialect::Chunks) {
            // Its client takes what is over for what never was, and begins again under the same name.
            Err(_) => return Err(Refusal::NoUpload.into()),
            Ok(entry) => entry,
        };
        let mut state = entry.state.lock();
        state.touched = state.touched.max(now);
        drop(state);
        Ok(entry)
    }

    /// How an upload stands, for its owner, and which chunks have come, with their lengths in bytes.
    pub fn find_chunked(
        &self,
        id: &ChosenId,
        owner: &Principal,
        now: Timestamp,
    ) -> Outcome<(UploadState, Vec<(ChunkName, u64)>)> {
        let entry = self.chunked(id, owner, now)?;
        let chunks = in_chunks_even_at_its_end(&mut entry.state.lock())?.chunks.clone();
        Ok((entry.told(), chunks.into_iter().collect()))
    }

    /// Lets an upload go for good, with its chunks.
    pub fn cancel_chunked(&self, id: &ChosenId, owner: &Principal, now: Timestamp) -> Outcome<()> {
        let entry = self.chunked(id, owner, now)?;
        let mut state = entry.state.lock();
        let folder = in_chunks(&mut state)?.folder.clone();
        state.place = Place::Over;
        drop(state);
        Ok(self.tree.chunks().remove(&entry.dir, &folder)?)
    }

    /// Begins a chunk.
    pub fn begin_chunk(
        &self,
        id: &ChosenId,
        owner: &Principal,
        start: ChunkStart,
        now: Timestamp,
    ) -> Outcome<ChunkUpload> {
        let entry = self.chunked(id, owner, now)?;
        if !self.uploads.has_room_for_chunks(owner) {
            return Err(Refusal::TooManyUploads.into());
        }
        if let Some(total) = start.total {
            self.note_total(&entry, total, now)?;
        }
        let named = start.name.bytes();
        if named.is_some_and(|named| start.bytes.is_some_and(|bytes| bytes != named)) {
            return Err(Refusal::NoChunk.into());
        }
        let bytes = start.bytes.or(named);
        bytes.map_or(Ok(()), |bytes| self.has_room_at(&entry.dir, bytes, now))?;
        let mut state = entry.state.lock();
        takes(&mut state, start.name, bytes.unwrap_or(0))?;
        let in_chunks = in_chunks(&mut state)?;
        in_chunks.writers += 1;
        let folder = in_chunks.folder.clone();
        drop(state);
        let mut upload = ChunkUpload { entry, name: start.name, bytes, staging: None };
        let begin = || self.tree.chunks().begin(&upload.entry.dir, &folder);
        let staging = match begin() {
            // It was cancelled a moment ago.
            Err(error) if error.cause == Cause::NotFound => return Err(Refusal::NoUpload.into()),
            Err(error) if self.makes_room_after(&error, &upload.entry.dir, A_NAME, now) => begin()?,
            begun => begun?,
        };
        upload.staging = Some(staging);
        Ok(upload)
    }

    /// Writes a chunk on, making room in the history when the disk is full. What is longer than was said is refused.
    pub fn write_chunk(&self, upload: &mut ChunkUpload, bytes: &[u8], now: Timestamp) -> Outcome<()> {
        let written = upload.written() + bytes.len() as u64;
        if upload.bytes.is_some_and(|most| written > most) {
            return Err(Refusal::InconsistentLength.into());
        }
        let mut state = upload.entry.state.lock();
        state.touched = state.touched.max(now);
        takes(&mut state, upload.name, written)?;
        drop(state);
        let (dir, announced) = (upload.entry.dir.clone(), upload.bytes);
        let Some(staging) = &mut upload.staging else { return Err(Refusal::NoUpload.into()) };
        self.write_making_room(staging, &dir, announced, bytes, now)
    }

    /// A chunk has come whole: it is brought to the disk, and then it counts, in place of the one of that name. Says whether there was none.
    pub fn end_chunk(&self, mut upload: ChunkUpload) -> Outcome<bool> {
        let written = upload.written();
        if upload.bytes.is_some_and(|bytes| bytes != written) {
            return Err(Refusal::NoChunk.into());
        }
        let Some(mut staging) = upload.staging.take() else { return Err(Refusal::NoUpload.into()) };
        staging.sync_chunk()?;
        let mut state = upload.entry.state.lock();
        takes(&mut state, upload.name, written)?;
        let in_chunks = in_chunks(&mut state)?;
        staging.name_chunk(&upload.name.to_string())?;
        let is_new = in_chunks.chunks.insert(upload.name, written).is_none();
        state.mark.offset = in_all(&in_chunks_even_at_its_end(&mut state)?.chunks);
        drop(state);
        staging.sync_chunk_name()?;
        Ok(is_new)
    }

    /// Notes how long an upload is to become, which it may be told once.
    fn note_total(&self, entry: &Entry, total: u64, now: Timestamp) -> Outcome<()> {
        let mut state = entry.state.lock();
        let Mark { offset, length } = state.mark;
        let folder = in_chunks(&mut state)?.folder.clone();
        drop(state);
        match length {
            Some(known) if known != total => return Err(Refusal::InconsistentLength.into()),
            Some(_) => return Ok(()),
            None if total < offset => return Err(Refusal::InconsistentLength.into()),
            None => {}
        }
        let wanted = total.saturating_mul(2).saturating_sub(offset).saturating_add(self.uploads.to_come(entry.mount));
        self.has_room_at(&entry.dir, wanted, now)?;
        self.tree.chunks().note(&entry.dir, &folder, &purpose(&entry.stem, Some(total), &entry.begun))?;
        let mut state = entry.state.lock();
        match *state.mark.length.get_or_insert(total) {
            known if known == total => Ok(()),
            _ => Err(Refusal::InconsistentLength.into()),
        }
    }

    /// Ends an upload that has come whole, as far as that is known; `total` is how long it is, in bytes, if the client says so.
    pub fn end_chunked(
        &self,
        id: &ChosenId,
        owner: &Principal,
        total: Option<u64>,
        now: Timestamp,
    ) -> Outcome<ChunkedEnd> {
        let entry = self.chunked(id, owner, now)?;
        let mut state = entry.state.lock();
        let length = match (state.mark.length, total) {
            (Some(known), Some(said)) if known != said => return Err(Refusal::InconsistentLength.into()),
            (known, said) => known.or(said),
        };
        let in_chunks = in_chunks(&mut state)?;
        are_whole(&in_chunks.chunks, length)?;
        in_chunks.is_ending = true;
        let (folder, chunks) = (in_chunks.folder.clone(), in_chunks.chunks.clone());
        drop(state);
        Ok(ChunkedEnd { entry, folder, chunks })
    }

    /// Writes what the chunks hold to an upload to a path, one after the other, and shows it to `each`, a piece at a time.
    pub fn put_together(
        &self,
        end: &ChunkedEnd,
        path: &SharePath,
        request: &RequestContext,
        limit: CopyLimit<'_>,
        each: &mut dyn FnMut(&[u8]),
    ) -> Outcome<Upload> {
        let all = in_all(&end.chunks);
        let mut upload = self.begin_long_upload(path, request, Some(all), false)?;
        limit.admits(all)?;
        let (place, chunks) = ((&end.entry.dir, &*end.folder), self.tree.chunks());
        for (name, bytes) in &end.chunks {
            chunks.read(place, (&name.to_string(), *bytes), &mut |piece| {
                if self.is_stopping() {
                    return Err(Refusal::CopyOutOfTurn.into());
                }
                each(piece);
                self.write(&mut upload, piece, request.now)
            })?;
        }
        Ok(upload)
    }

    /// How it ended, if the file at this path was made of the chunks already: its client did not hear of it.
    pub fn made_of_chunks(&self, id: &ChosenId, owner: &Principal, path: &SharePath) -> Option<Stored> {
        let entry = self.uploads.find(id.stem(), owner, Dialect::Chunks).ok()?;
        match &entry.state.lock().place {
            Place::Complete(Some(how)) if how.0 == *path => Some(how.1.clone()),
            _ => None,
        }
    }

    /// The file at this path was made of the chunks: they go.
    pub fn chunked_is_stored(&self, end: ChunkedEnd, path: &SharePath, stored: &Stored) {
        end.entry.comes_to(Place::Complete(Some(Box::new((path.clone(), stored.clone())))));
        // What cannot be removed now is an upload that is half done at the next start, and goes when its time is over.
        let _ = self.tree.chunks().remove(&end.entry.dir, &end.folder);
    }

    /// Finds the uploads in chunks that an earlier process left. That it was stopped and started is a sign of life.
    pub(super) fn load_uploads_in_chunks(&self, now: Timestamp) -> DiskResult<()> {
        for (dir, mount, left) in self.tree.history().uploads_in_chunks()? {
            let LeftChunks { folder, purpose, chunks } = left;
            let known = postcard::from_bytes::<(Box<str>, Option<u64>, Begun)>(&purpose).ok();
            // One that had begun anew under its name was let go before.
            let known = known.filter(|(stem, _, _)| self.uploads.find_any(stem).is_none());
            let Some((stem, length, begun)) = known else {
                let _ = self.tree.chunks().remove(&dir, &folder);
                continue;
            };
            let named = |(name, bytes): (Box<str>, u64)| Some((ChunkName::parse(&name)?, bytes));
            let chunks: BTreeMap<_, _> = chunks.into_iter().filter_map(named).collect();
            let mark = Mark { offset: in_all(&chunks), length };
            let place = Place::InChunks(InChunks { folder, chunks, writers: 0, is_ending: false });
            let (begun, state) = (Arc::new(begun), Mutex::new(State { mark, touched: now, place }));
            self.uploads.take_in(Arc::new(Entry { stem, begun, dir, mount, state }));
        }
        Ok(())
    }
}

impl ChunkUpload {
    /// How many bytes have been written.
    pub fn written(&self) -> u64 {
        self.staging.as_ref().map_or(0, Staging::written)
    }

    /// How many bytes the upload has with this chunk.
    pub fn in_all(&self) -> u64 {
        let mut state = self.entry.state.lock();
        in_chunks_even_at_its_end(&mut state).map_or(0, |there| others(there, self.name)) + self.written()
    }
}

impl Drop for ChunkUpload {
    fn drop(&mut self) {
        if let Place::InChunks(there) = &mut self.entry.state.lock().place {
            there.writers -= 1;
        }
    }
}

impl Drop for ChunkedEnd {
    fn drop(&mut self) {
        if let Place::InChunks(there) = &mut self.entry.state.lock().place {
            there.is_ending = false;
        }
    }
}

/// The chunks of an upload to which some may come.
fn in_chunks(state: &mut State) -> Outcome<&mut InChunks> {
    let there = in_chunks_even_at_its_end(state)?;
    if there.is_ending { Err(Refusal::UploadIsEnding.into()) } else { Ok(there) }
}

fn in_chunks_even_at_its_end(state: &mut State) -> Outcome<&mut InChunks> {
    if let Place::InChunks(there) = &mut state.place { Ok(there) } else { Err(Refusal::NoUpload.into()) }
}

/// Refuses a chunk that cannot be one of an upload, if it has so many bytes.
fn takes(state: &mut State, name: ChunkName, bytes: u64) -> Outcome<()> {
    let length = state.mark.length;
    let there = in_chunks(state)?;
    let is_new = !there.chunks.contains_key(&name);
    if there.chunks.keys().next().is_some_and(|other| !other.goes_with(name)) {
        return Err(Refusal::NoChunk.into());
    }
    if is_new && there.chunks.len() >= CHUNKS_MAX {
        return Err(Refusal::TooManyChunks.into());
    }
    let is_beyond = |last: u64| length.is_some_and(|length| last >= length);
    let is_too_much = length.is_some_and(|length| others(there, name).saturating_add(bytes) > length);
    match name {
        ChunkName::Bytes { last, .. } if is_beyond(last) => Err(Refusal::InconsistentLength.into()),
        ChunkName::Number(_) if is_too_much => Err(Refusal::InconsistentLength.into()),
        _ => Ok(()),
    }
}

/// How many bytes the chunks of other names have.
fn others(there: &InChunks, name: ChunkName) -> u64 {
    in_all(&there.chunks) - there.chunks.get(&name).unwrap_or(&0)
}

fn in_all(chunks: &BTreeMap<ChunkName, u64>) -> u64 {
    chunks.values().sum()
}

/// What an upload is for, as it is noted.
fn purpose(stem: &str, length: Option<u64>, begun: &Begun) -> Vec<u8> {
    postcard::to_allocvec(&(stem, length, begun)).expect("memory takes whatever is written")
}

/// Refuses chunks of which some are missing, as far as it can be told: a number that is left out, a byte that no chunk has, or less in all than
/// the client says. What fits that is whole, however it is numbered.
fn are_whole(chunks: &BTreeMap<ChunkName, u64>, length: Option<u64>) -> Outcome<()> {
    let all = in_all(chunks);
    let mut missing = Vec::new();
    match chunks.keys().next() {
        Some(ChunkName::Bytes { .. }) => {
            let mut next = 0;
            for name in chunks.keys() {
                let ChunkName::Bytes { first, last } = *name else { return Err(Refusal::NoChunk.into()) };
                if first < next {
                    return Err(Refusal::InconsistentLength.into());
                }
                if first > next {
                    missing.push(ChunkName::Bytes { first: next, last: first - 1 });
                }
                next = last + 1;
            }
            if let Some(length) = length.filter(|length| next < *length) {
                missing.push(ChunkName::Bytes { first: next, last: length - 1 });
            }
        }
        _ if length == Some(all) => {}
        _ => {
            let mut next = 1;
            for name in chunks.keys() {
                let ChunkName::Number(number) = *name else { return Err(Refusal::NoChunk.into()) };
                missing.extend((next..number).take(NAMED_MAX.saturating_sub(missing.len())).map(ChunkName::Number));
                next = number + 1;
            }
            if chunks.is_empty() || length.is_some_and(|length| all < length) {
                missing.push(ChunkName::Number(next));
            }
        }
    }
    match missing.is_empty() {
        true if length.is_some_and(|length| all != length) => Err(Refusal::InconsistentLength.into()),
        true => Ok(()),
        false => {
            missing.truncate(NAMED_MAX);
            let named = missing.iter().map(|name| name.to_string().into());
            Err(Refusal::MissingChunks(named.collect()).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::outcome::Stop;
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        for (chunks, length, missing) in [
            (&[("1", 5), ("2", 5)][..], None, Ok(())),
            (&[("1", 5), ("2", 5)], Some(10), Ok(())),
            (&[("0", 5), ("1", 5)], None, Ok(())),
            (&[("2", 5), ("7", 5)], Some(10), Ok(())),
            (&[("2", 5), ("10", 5)], Some(10), Ok(())),
            (&[], Some(0), Ok(())),
            (&[], None, Err("00001")),
            (&[], Some(9), Err("00001")),
            (&[("1", 5), ("3", 5)], None, Err("00002")),
            (&[("1", 5), ("4", 5)], Some(12), Err("00002 00003 00005")),
            (&[("1", 5)], Some(9), Err("00002")),
            (&[("1", 5), ("2", 5)], Some(9), Err("length")),
            (&[("0-4", 5), ("5-9", 5)], None, Ok(())),
            (&[("0-4", 5), ("5-9", 5)], Some(10), Ok(())),
            (&[("5-9", 5)], None, Err("000000000000000-000000000000004")),
            (&[("0-4", 5)], Some(7), Err("000000000000005-000000000000006")),
            (&[("0-4", 5), ("4-9", 6)], None, Err("length")),
            (&[("0-4", 5), ("5-9", 5)], Some(7), Err("length")),
        ] {
            let chunks: BTreeMap<_, _> =
                chunks.iter().map(|(name, bytes)| (ChunkName::parse(name).expect("a name"), *bytes)).collect();
            let found = match are_whole(&chunks, length) {
                Ok(()) => Ok(()),
                Err(Stop::Refusal(Refusal::MissingChunks(named))) => Err(named.join(" ")),
                Err(Stop::Refusal(Refusal::InconsistentLength)) => Err("length".to_owned()),
                Err(other) => panic!("{other:?}"),
            };
            assert_eq!(found, missing.map_err(str::to_owned), "{chunks:?} {length:?}");
        }
    }
}
