//! Hashing large files: which of them a request needs hashed, and the hashing itself, which stops when nobody wants it any more.
//!
//! Who serves clients asks for [`Share::unhashed`] before a request is carried out, and has those files hashed by [`Share::hash`], as many at
//! once as he likes. A request that still meets a file that is not hashed, because it changed in between, hashes it where it stands; only a
//! few do so at once, and nobody waits for them.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::model::path::SharePath;
use crate::model::precondition::Precondition;
use crate::model::stamp::{Stamp, Timestamp};
use crate::store::disk::{Cause, DiskError, File, Opened, Result, Status};

use super::Share;
use super::identity::Effort;
use super::outcome::{Outcome, Refusal};

/// For how many files one request may be the first to ask for their content.
const OF_ONE_REQUEST_MAX: usize = 8;

/// At how many places a look costs so little that nobody has to wait for it elsewhere.
const AT_ONCE_MAX: usize = 2;

/// A large file whose content nobody knows yet.
#[derive(Clone, Debug)]
pub struct Unhashed {
    path: SharePath,
    file: File,
    status: Status,
}

impl Unhashed {
    /// The state that it is in.
    pub fn stamp(&self) -> &Stamp {
        &self.status.stamp
    }
}

/// How many may still be hashed in the middle of a request.
#[derive(Debug)]
pub(super) struct Slots {
    free: AtomicUsize,
}

/// A slot that is taken; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Slot<'a> {
    slots: &'a Slots,
}

impl Slots {
    /// At least one.
    pub(super) fn new(count: usize) -> Self {
        Self { free: AtomicUsize::new(count.max(1)) }
    }

    /// Takes a slot, if one is free.
    pub(super) fn take(&self) -> Result<Slot<'_>> {
        let taken = self.free.fetch_update(Ordering::AcqRel, Ordering::Acquire, |free| free.checked_sub(1));
        let none_free = |_| DiskError {
            operation: "hash",
            name: String::new(),
            cause: Cause::TooManyOpen,
            message: "too many large files are being hashed".to_owned(),
        };
        taken.map(|_| Slot { slots: self }).map_err(none_free)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.slots.free.fetch_add(1, Ordering::AcqRel);
    }
}

impl Share {
    /// The large files whose content a request asks for that is to change `path`, and `also` if it changes two, and that were not hashed in
    /// the state they are in. What is wrong with any of them otherwise is for the request itself to find out.
    pub fn unhashed(
        &self,
        path: &SharePath,
        also: Option<&SharePath>,
        precondition: &Precondition,
        now: Timestamp,
    ) -> Outcome<Vec<Unhashed>> {
        let disk = self.tree.disk();
        let look = |place: &SharePath| {
            Some(self.tree.steadily_beside(place, || disk.open_path(&disk.root()?, place.as_bytes())))
        };
        let is_hashed = |place: &SharePath, stamp: &Stamp| Some(self.recall(place, stamp, Effort::Hash, now).is_some());
        let places = self.places_asked_for_content(path, also, precondition, now)?;
        Ok(self.unhashed_of(&places, look, is_hashed)?.unwrap_or_default())
    }

    /// As [`Share::unhashed`], if that takes no waiting, only a look or two and nothing of the database; `None` otherwise.
    pub fn unhashed_now(
        &self,
        path: &SharePath,
        also: Option<&SharePath>,
        precondition: &Precondition,
        now: Timestamp,
    ) -> Option<Vec<Unhashed>> {
        let disk = self.tree.disk();
        let look = |place: &SharePath| {
            self.tree.steadily_now(self.tree.slot(place), || disk.open_path(&disk.root()?, place.as_bytes()))
        };
        if asks_for_nothing(precondition) {
            return Some(Vec::new());
        }
        // Where one file may have several paths, finding the right one takes its time.
        let is_plain = |path: &SharePath| path.as_bytes().is_ascii();
        if !(is_plain(path)
            && also.is_none_or(is_plain)
            && disk.has_one_path(&disk.dir_status(&disk.root().ok()?).ok()?))
        {
            return None;
        }
        let places = self.places_asked_for_content(path, also, precondition, now).ok()?;
        // What is not known in memory may be in the database.
        let is_hashed =
            |place: &SharePath, stamp: &Stamp| self.recall_now(place, stamp, Effort::Hash, now).map(|_| true);
        if places.len() > AT_ONCE_MAX { None } else { self.unhashed_of(&places, look, is_hashed).ok()? }
    }

    fn unhashed_of(
        &self,
        places: &[SharePath],
        look: impl Fn(&SharePath) -> Option<Result<Opened>>,
        is_hashed: impl Fn(&SharePath, &Stamp) -> Option<bool>,
    ) -> Outcome<Option<Vec<Unhashed>>> {
        let mut found = Vec::new();
        for place in places {
            let Some(opened) = look(place) else { return Ok(None) };
            let Ok(Opened::File(file, status)) = opened else { continue };
            if !self.is_large(&status.stamp) {
                continue;
            }
            match is_hashed(place, &status.stamp) {
                None => return Ok(None),
                Some(true) => continue,
                Some(false) => {}
            }
            if found.len() == OF_ONE_REQUEST_MAX {
                return Err(Refusal::Overloaded.into());
            }
            found.push(Unhashed { path: place.clone(), file, status });
        }
        Ok(Some(found))
    }

    /// Hashes a file for as long as somebody wants it, and remembers what it found; nothing if it was found out meanwhile.
    pub fn hash(&self, file: &Unhashed, is_wanted: &dyn Fn() -> bool, now: Timestamp) -> Outcome<()> {
        self.identify_while_wanted(&file.path, &file.file, &file.status, is_wanted, now)?;
        Ok(())
    }

    fn places_asked_for_content(
        &self,
        path: &SharePath,
        also: Option<&SharePath>,
        precondition: &Precondition,
        now: Timestamp,
    ) -> Outcome<Vec<SharePath>> {
        let mut places = Vec::new();
        if asks_for_nothing(precondition) {
            return Ok(places);
        }
        for place in [Some(path), also].into_iter().flatten() {
            let place = self.spelled(place)?.into_owned();
            if precondition.asks_for_content() || self.pins_ask_for_content(&place, precondition, now) {
                places.push(place);
            }
        }
        if let Some(states) = precondition.states() {
            let asked_for = states.lists.paths(&states.asked);
            for place in asked_for.into_iter().filter(|place| states.lists.asks_for_content(&states.asked, place)) {
                places.push(self.spelled(place)?.into_owned());
            }
        }
        places.sort();
        places.dedup();
        Ok(places)
    }

    /// Whether a file is too large to be hashed for an answer.
    pub(super) fn is_large(&self, stamp: &Stamp) -> bool {
        stamp.size > self.settings.tag_threshold
    }
}

/// Whether nothing that came with a request can ask for the content of any file.
fn asks_for_nothing(precondition: &Precondition) -> bool {
    !precondition.asks_for_content() && !precondition.submitted().has_tokens() && precondition.states().is_none()
}
