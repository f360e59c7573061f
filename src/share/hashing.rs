//! Hashing large files: which of them a request needs hashed, and the hashing itself, which stops when nobody wants it any more.
//!
//! Who serves clients asks for [`Share::unhashed`] before a request is carried out, and has those files hashed by [`Share::hash`], as many at
//! once as he likes. A request that still meets a file that is not hashed, because it changed in between, hashes it where it stands; only a
//! few do so at once, and nobody waits for them.

use std::time::Duration;

use crate::model::path::SharePath;
use crate::model::precondition::States;
use crate::model::stamp::{Stamp, Timestamp};
use crate::store::disk_error::Result;
use crate::store::handle::{File, Opened};
use crate::store::lease::Leased;
use crate::store::status::{Kind, Status};

use super::identity::Effort;
use super::outcome::{Outcome, Refusal, Stop};
use super::request_context::RequestContext;
use super::shared_folder::Share;

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

impl Share {
    /// The large files whose content a request asks for that is to change `path`, and `also` if it changes two, and that were not hashed in
    /// the state they are in. What is wrong with any of them otherwise is for the request itself to find out.
    pub fn unhashed(
        &self,
        path: &SharePath,
        also: Option<&SharePath>,
        request: &RequestContext,
    ) -> Outcome<Vec<Unhashed>> {
        let look = |place: &SharePath| Some(self.tree.read_consistent_without_lock(place, || self.status_of(place)));
        let is_hashed =
            |place: &SharePath, stamp: &Stamp| Some(self.recall(place, stamp, Effort::Hash, request.now).is_some());
        let places = self.places_asked_for_content(path, also, request)?;
        Ok(self.unhashed_of(&places, look, is_hashed)?.unwrap_or_default())
    }

    /// As [`Share::unhashed`], if that takes no waiting, only a look or two and nothing of the database; `None` otherwise.
    pub fn unhashed_now(
        &self,
        path: &SharePath,
        also: Option<&SharePath>,
        request: &RequestContext,
    ) -> Option<Vec<Unhashed>> {
        let look = |place: &SharePath| self.tree.try_read_consistent(self.tree.slot(place), || self.status_of(place));
        if asks_for_nothing(request) {
            return Some(Vec::new());
        }
        // Where one file may have several paths, finding the right one takes its time.
        let is_plain = |path: &SharePath| path.as_bytes().is_ascii();
        if !(is_plain(path) && also.is_none_or(is_plain) && self.tree.has_one_path_each(&self.tree.top().ok()?).ok()?) {
            return None;
        }
        let places = self.places_asked_for_content(path, also, request).ok()?;
        // What is not known in memory may be in the database.
        let is_hashed =
            |place: &SharePath, stamp: &Stamp| self.recall_now(place, stamp, Effort::Hash, request.now).map(|_| true);
        if places.len() > AT_ONCE_MAX { None } else { self.unhashed_of(&places, look, is_hashed).ok()? }
    }

    fn unhashed_of(
        &self,
        places: &[SharePath],
        look: impl Fn(&SharePath) -> Option<Result<Option<Status>>>,
        is_hashed: impl Fn(&SharePath, &Stamp) -> Option<bool>,
    ) -> Outcome<Option<Vec<Unhashed>>> {
        let mut found = Vec::new();
        for place in places {
            let Some(looked) = look(place) else { return Ok(None) };
            let Ok(Some(status)) = looked else { continue };
            if status.kind != Kind::File || !self.is_large(&status.stamp) {
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
            // Whatever changes it meanwhile, this is what is hashed.
            if let Ok(Opened::File(file, status)) = self.tree.open(place) {
                found.push(Unhashed { path: place.clone(), file, status });
            }
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
        request: &RequestContext,
    ) -> Outcome<Vec<SharePath>> {
        let mut places = Vec::new();
        if asks_for_nothing(request) {
            return Ok(places);
        }
        for place in [Some(path), also].into_iter().flatten() {
            let place = self.spelled(place)?.into_owned();
            if request.precondition.asks_for_content() || self.pins_ask_for_content(&place, request) {
                places.push(place);
            }
        }
        if let Some(states) = request.precondition.states() {
            let asked_for = states.lists.paths(&states.asked);
            for place in asked_for.into_iter().filter(|place| states.lists.asks_for_content(&states.asked, place)) {
                places.push(self.spelled(place)?.into_owned());
            }
        }
        places.sort();
        places.dedup();
        Ok(places)
    }

    /// Hashes the large files whose content a MOVE asks for before any mutex is taken: what is remembered of them then is enough under it.
    pub(super) fn hash_beforehand(&self, path: &SharePath, request: &RequestContext) {
        let itself = if self.asks_for_content_at(path, request) { vec![path.clone()] } else { Vec::new() };
        let inside = self.pinned_contents_inside(path, request);
        let elsewhere = self.places_to_be_hashed(&[path], request).unwrap_or_default();
        for file in itself.into_iter().chain(inside).chain(elsewhere) {
            // Whatever is wrong with it is told by the look.
            let _ = self.read_hashed(&file, &RequestContext::unconditional(request.now));
        }
    }

    /// Hashes large files before a change is judged again, which tells what it means that one of them is not there any more.
    pub(super) fn hash_first(&self, files: &[SharePath], now: Timestamp) -> Outcome<()> {
        files.iter().try_for_each(|file| match self.read_hashed(file, &RequestContext::unconditional(now)) {
            Err(Stop::Refusal(Refusal::NotFound)) => Ok(()),
            read => read.map(drop),
        })
    }

    /// Whether the content of what is at a path has to be known to judge the headers and the locks.
    pub(super) fn asks_for_content_at(&self, path: &SharePath, request: &RequestContext) -> bool {
        let is_it = |place: &&SharePath| self.spelled_to_read(place).is_ok_and(|place| *place == *path);
        let by_states = |states: &States| {
            let places = states.lists.paths(&states.asked);
            places.into_iter().filter(is_it).any(|place| states.lists.asks_for_content(&states.asked, place))
        };
        request.precondition.asks_for_content()
            || request.precondition.states().is_some_and(by_states)
            || self.pins_ask_for_content(path, request)
    }

    /// Whether a large file still has to be hashed before its content is known, for which no mutex is held. What was hashed in the very state that
    /// it is in, and cannot be told from another that the same second may bring, is never known any better.
    pub(super) fn is_to_be_hashed(&self, path: &SharePath, stamp: &Stamp, now: Timestamp) -> bool {
        let was_hashed = || self.index.recall_unsettled(stamp).is_some_and(|known| known.hash.is_some());
        self.is_large(stamp) && self.recall(path, stamp, Effort::Hash, now).is_none() && !was_hashed()
    }

    /// The large files that `If` asks for, at other places than those whose mutexes are held, and that still have to be hashed. What a program
    /// is writing has no hash yet, and fulfils no condition that names one.
    pub(super) fn places_to_be_hashed(&self, held: &[&SharePath], request: &RequestContext) -> Outcome<Vec<SharePath>> {
        let Some(states) = request.precondition.states() else { return Ok(Vec::new()) };
        let mut places = Vec::new();
        for place in states.lists.paths(&states.asked) {
            let spelled = self.spelled_to_read(place)?;
            if held.contains(&&*spelled) || !states.lists.asks_for_content(&states.asked, place) {
                continue;
            }
            let opened = self.tree.read_consistent_without_lock(&spelled, || self.tree.open(&spelled));
            // Whatever is wrong with it is told when it is judged.
            if let Ok(Opened::File(file, status)) = opened
                && self.is_to_be_hashed(&spelled, &status.stamp, request.now)
                && !matches!(self.tree.lease(&file, Duration::ZERO), Ok(Leased::Busy))
            {
                places.push(spelled.into_owned());
            }
        }
        Ok(places)
    }
}

/// Whether nothing that came with a request can ask for the content of any file.
fn asks_for_nothing(request: &RequestContext) -> bool {
    !request.precondition.asks_for_content() && !request.has_tokens() && request.precondition.states().is_none()
}
