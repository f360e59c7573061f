//! The half-done uploads of a share: which there are, whose, how far they go, and who is writing at one.
//!
//! At most one writes at an upload. Whoever comes next asks that one to stop, and waits until it has left the upload where it can be taken up.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::model::chunk_name::ChunkName;
use crate::model::path::SharePath;
use crate::model::principal::Principal;
use crate::model::stamp::Timestamp;
use crate::store::handle::Dir;
use crate::store::local::staging::{Mark, Note, Point, Staging};

use super::outcome::{Outcome, Refusal};
use super::stored::Stored;

/// How long a half-done upload is kept without a word of its client.
const IDLE_MAX: Duration = Duration::from_secs(60 * 60);

/// How long it is kept at most.
const AGE_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How many half-done uploads one principal may have.
const OF_ONE_MAX: usize = 128;

/// How many there may be in all.
const OF_ALL_MAX: usize = 1024;

/// How many chunks all half-done uploads of one principal may have.
const CHUNKS_OF_ONE_MAX: usize = 50_000;

/// How many chunks there may be in all.
const CHUNKS_OF_ALL_MAX: usize = 200_000;

/// How many uploads that are over are remembered, so that their clients can be told.
const OVER_MAX: usize = 4096;

/// In which way an upload was begun, and so in which it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dialect {
    /// Resumable Uploads for HTTP (draft-ietf-httpbis-resumable-upload).
    Draft,
    /// tus 1.0.
    Tus,
    /// The chunked upload of Nextcloud, version 2.
    Chunks,
}

/// What is kept of the request that began an upload.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Begun {
    /// In which way.
    pub dialect: Dialect,
    /// By whom: nobody else sees it.
    pub owner: Principal,
    /// For which path; the share itself, where that is told at the end.
    pub path: SharePath,
    /// Whether the folders above are to be made.
    pub make_parents: bool,
    /// The header fields that its end is judged by, as they came.
    pub fields: Vec<(Box<str>, Box<[u8]>)>,
    /// When.
    pub at: Timestamp,
}

/// How an upload stands.
#[derive(Clone, Debug)]
pub struct UploadState {
    /// What is kept of the request that began it.
    pub begun: Arc<Begun>,
    /// How many bytes count.
    pub offset: u64,
    /// How many it is to have in all, if that is known.
    pub length: Option<u64>,
    /// Whether it has become the file at its path.
    pub is_complete: bool,
    /// Until when it is kept, if nothing is heard of it.
    pub expires: Timestamp,
    /// What it is called on the disk.
    pub stem: Box<str>,
}

/// An upload in the table.
pub(super) struct Entry {
    pub(super) stem: Box<str>,
    pub(super) begun: Arc<Begun>,
    /// Where its bytes lie, and on which mount that is.
    pub(super) dir: Dir,
    pub(super) mount: u64,
    pub(super) state: Mutex<State>,
}

pub(super) struct State {
    pub(super) mark: Mark,
    pub(super) touched: Timestamp,
    pub(super) place: Place,
}

/// Where an upload is.
pub(super) enum Place {
    /// On the disk, as an earlier process or a failure left it.
    OnDisk,
    /// At rest, no file open.
    Resting(Box<Point>),
    /// Somebody writes at it.
    Held(Holder),
    /// It comes in chunks, each of them a file of its own.
    InChunks(InChunks),
    /// It has become the file at its path. Of one in chunks it is known at which, and how that ended.
    Complete(Option<Box<(SharePath, Stored)>>),
    /// It is gone: it was cancelled, or it expired, or its bytes are lost.
    Over,
}

/// The chunks of an upload.
#[derive(Debug)]
pub(super) struct InChunks {
    /// What the folder is called in which they lie.
    pub(super) folder: Box<str>,
    /// Those that came whole, with their lengths in bytes.
    pub(super) chunks: BTreeMap<ChunkName, u64>,
    /// How many are being written.
    pub(super) writers: usize,
    /// Whether the file is being made of them.
    pub(super) is_ending: bool,
}

/// What is needed to write at an upload.
#[derive(Debug)]
pub(super) struct Hands {
    pub(super) staging: Staging,
    pub(super) note: Note,
}

/// Who writes at an upload.
#[derive(Default)]
pub(super) struct Holder {
    /// Whether somebody else wants it, or it was cancelled.
    pub(super) is_to_stop: bool,
    /// Tells the holder so.
    pub(super) wake: Option<Box<dyn Fn() + Send>>,
    /// Tells those who wait that it is free.
    pub(super) waiting: Vec<Box<dyn FnOnce() + Send>>,
}

/// The half-done uploads of a share.
#[derive(Default)]
pub(super) struct UploadTable(Mutex<HashMap<Box<str>, Arc<Entry>>>);

impl Entry {
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state.lock().place, Place::Complete(_) | Place::Over)
    }

    /// How the upload stands.
    pub(super) fn told(&self) -> UploadState {
        let state = self.state.lock();
        UploadState {
            begun: Arc::clone(&self.begun),
            offset: state.mark.offset,
            length: state.mark.length,
            is_complete: matches!(state.place, Place::Complete(_)),
            expires: self.expires(state.touched),
            stem: self.stem.clone(),
        }
    }

    fn expires(&self, touched: Timestamp) -> Timestamp {
        touched.plus(IDLE_MAX).min(self.begun.at.plus(AGE_MAX))
    }

    /// How many bytes it takes besides those that have come. What comes in chunks is written once more when it is whole.
    fn to_come(&self) -> u64 {
        let mark = self.state.lock().mark;
        let all = match (self.begun.dialect, mark.length) {
            (Dialect::Chunks, length) => length.unwrap_or(mark.offset).saturating_mul(2),
            (_, length) => length.unwrap_or(mark.offset),
        };
        all.saturating_sub(mark.offset)
    }

    /// Whether it goes when its time is over: it is half done, and nobody does anything with it.
    pub(super) fn may_expire(state: &State) -> bool {
        match &state.place {
            Place::OnDisk | Place::Resting(_) => true,
            Place::InChunks(chunks) => chunks.writers == 0 && !chunks.is_ending,
            Place::Held(_) | Place::Complete(_) | Place::Over => false,
        }
    }

    /// Whether nobody writes at it. Whoever does is asked to stop, and `free` is called then.
    pub(super) fn is_free_or_told(state: &mut State, free: Box<dyn FnOnce() + Send>) -> bool {
        let Place::Held(holder) = &mut state.place else { return true };
        holder.waiting.push(free);
        holder.is_to_stop = true;
        if let Some(wake) = &holder.wake {
            wake();
        }
        false
    }

    /// Nobody writes at it any more.
    pub(super) fn comes_to(&self, place: Place) {
        let waiting = match std::mem::replace(&mut self.state.lock().place, place) {
            Place::Held(holder) => holder.waiting,
            _ => Vec::new(),
        };
        waiting.into_iter().for_each(|free| free());
    }
}

impl UploadTable {
    /// Takes in an upload that begins, if there may be one more.
    pub(super) fn admit(&self, entry: Arc<Entry>) -> Outcome<()> {
        let mut all = self.0.lock();
        let half_done = |entry: &&Arc<Entry>| !entry.is_over();
        let of_all = all.values().filter(half_done).count();
        let of_one = all.values().filter(half_done).filter(|there| there.begun.owner == entry.begun.owner).count();
        if of_one >= OF_ONE_MAX || of_all >= OF_ALL_MAX {
            return Err(Refusal::TooManyUploads.into());
        }
        if all.get(&entry.stem).is_some_and(|known| !known.is_over()) {
            return Err(Refusal::UploadExists.into());
        }
        all.insert(entry.stem.clone(), entry);
        Ok(())
    }

    /// Whether there may be one more chunk of an owner: what is known of each takes memory.
    pub(super) fn has_room_for_chunks(&self, owner: &Principal) -> bool {
        let (mut of_one, mut of_all) = (0, 0);
        for entry in self.0.lock().values() {
            if let Place::InChunks(there) = &entry.state.lock().place {
                of_all += there.chunks.len();
                of_one += if entry.begun.owner == *owner { there.chunks.len() } else { 0 };
            }
        }
        of_one < CHUNKS_OF_ONE_MAX && of_all < CHUNKS_OF_ALL_MAX
    }

    /// Takes in an upload that an earlier process left.
    pub(super) fn take_in(&self, entry: Arc<Entry>) {
        self.0.lock().insert(entry.stem.clone(), entry);
    }

    /// The upload of this name on the disk, if that is its owner's.
    pub(super) fn find(&self, stem: &str, owner: &Principal, dialect: Dialect) -> Outcome<Arc<Entry>> {
        let found = self.0.lock().get(stem).cloned();
        let is_theirs = |entry: &Arc<Entry>| entry.begun.owner == *owner && entry.begun.dialect == dialect;
        let entry = found.filter(is_theirs).ok_or(Refusal::NoUpload)?;
        if matches!(entry.state.lock().place, Place::Over) { Err(Refusal::UploadOver.into()) } else { Ok(entry) }
    }

    /// The upload of this name on the disk, whosever it is.
    pub(super) fn find_any(&self, stem: &str) -> Option<Arc<Entry>> {
        self.0.lock().get(stem).cloned()
    }

    /// The half-done uploads of an owner.
    pub(super) fn of(&self, owner: &Principal) -> Vec<UploadState> {
        let all = self.0.lock();
        let theirs = all.values().filter(|entry| entry.begun.owner == *owner && !entry.is_over());
        theirs.map(|entry| entry.told()).collect()
    }

    /// The folder of the uploads on a mount, as it is open already.
    pub(super) fn dir_on(&self, mount: u64) -> Option<Dir> {
        let all = self.0.lock();
        all.values().find(|entry| entry.mount == mount).map(|entry| entry.dir.clone())
    }

    /// How many bytes are announced and have not come, on a mount.
    pub(super) fn to_come(&self, mount: u64) -> u64 {
        let all = self.0.lock();
        let there = all.values().filter(|entry| entry.mount == mount && !entry.is_over());
        there.map(|entry| entry.to_come()).fold(0, u64::saturating_add)
    }

    /// Those whose time is over, and at which nobody writes. What is over for long is forgotten.
    pub(super) fn expired(&self, now: Timestamp) -> Vec<Arc<Entry>> {
        let mut all = self.0.lock();
        let mut over: Vec<_> = all
            .values()
            .filter(|entry| entry.is_over())
            .map(|entry| (entry.state.lock().touched, entry.stem.clone()))
            .collect();
        over.sort_unstable();
        let too_many = over.len().saturating_sub(OVER_MAX);
        for (at, (touched, stem)) in over.iter().enumerate() {
            if at < too_many || touched.plus(AGE_MAX) < now {
                all.remove(stem);
            }
        }
        let is_due = |entry: &&Arc<Entry>| {
            let state = entry.state.lock();
            Entry::may_expire(&state) && entry.expires(state.touched) < now
        };
        all.values().filter(is_due).cloned().collect()
    }
}

impl fmt::Debug for UploadTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UploadTable").field("uploads", &self.0.lock().len()).finish()
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("begun", &self.begun).finish_non_exhaustive()
    }
}
