//! Uploads that go on: begun, taken up again by who began them, and made the file at their path by the same commit as any other.
//!
//! They outlive their connection and the process. What they demand of the state of their path is judged when they begin, at each contact, and in
//! the commit; an upload that is refused stays as it is, so that its client can finish it in another way.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::model::path::SharePath;
use crate::model::principal::Principal;
use crate::model::stamp::Timestamp;
use crate::store::disk_error::{Cause, DiskError};
use crate::store::handle::Dir;
use crate::store::local::commit::Site;
use crate::store::local::staging::{Mark, Point, Staging};

use super::super::half_done::{Begun, Dialect, Entry, Hands, Holder, Place, State, UploadState};
use super::super::outcome::{Outcome, Refusal, Stop};
use super::super::request_context::RequestContext;
use super::super::room::A_NAME;
use super::super::shared_folder::Share;
use super::super::stored::Stored;
use super::super::storing::Replaced;
use super::held::HeldUpload;
use super::id::UploadId;

/// How an upload is named in a request.
#[derive(Clone, Copy, Debug)]
pub enum UploadName<'a> {
    /// By its secret.
    Secret(&'a UploadId),
    /// By what it is called on the disk: of use to those whom a name or a link tells from everybody else.
    Listed(&'a str),
}

impl Share {
    /// Begins an upload that goes on, if it could succeed now, with all that other uploads are to become; `announced` is how long it is to become.
    pub fn begin_resumable(
        &self,
        id: &UploadId,
        begun: Begun,
        announced: Option<u64>,
        request: &RequestContext,
    ) -> Outcome<HeldUpload> {
        let site = self.site_of_resumable(&begun, request)?;
        let to_come = announced.map(|bytes| bytes.saturating_add(self.uploads.to_come(site.mount)));
        to_come.map_or(Ok(()), |bytes| self.has_room(&site, bytes, request.now))?;
        let (stem, mark) = (id.stem(), Mark { offset: 0, length: announced });
        let purpose = postcard::to_allocvec(&begun).expect("memory takes whatever is written");
        let stage = || self.tree.stage_lasting(&site, (&stem, &purpose, mark));
        let (staging, note, dir) = match stage() {
            Err(error) if error.cause == Cause::NotFound => return Err(self.stop(error, Refusal::NoParent)),
            Err(error) if self.makes_room_after(&error, &site.parent, A_NAME, request.now) => stage()?,
            staged => staged?,
        };
        let dir = self.the_one_open(dir, site.mount);
        let state = State { mark, touched: request.now, place: Place::Held(Holder::default()) };
        let entry = Entry { stem, begun: Arc::new(begun), dir, mount: site.mount, state: Mutex::new(state) };
        let entry = Arc::new(entry);
        let held = HeldUpload { entry, hands: Some(Box::new(Hands { staging, note })), only_whole: None };
        if let Err(full) = self.uploads.admit(Arc::clone(&held.entry)) {
            self.let_go(held);
            return Err(full);
        }
        Ok(held)
    }

    /// The folder of the uploads on a mount as it is open already: one is enough for all that lie in it.
    pub(super) fn the_one_open(&self, dir: Dir, mount: u64) -> Dir {
        let known = self.uploads.dir_on(mount);
        let is_the_same = |known: &Dir| matches!((self.tree.folder_id(known), self.tree.folder_id(&dir)), (Ok(one), Ok(other)) if one == other);
        known.filter(is_the_same).unwrap_or(dir)
    }

    /// Where an upload begins: in the folder that its path is in, or the lowest one above it that is there.
    pub(super) fn site_of_resumable(&self, begun: &Begun, request: &RequestContext) -> Outcome<Site> {
        match self.judge_upload(&begun.path, request, None) {
            Err(Stop::Refusal(Refusal::NoParent)) if begun.make_parents => {
                self.may_put_with_parents(&begun.path, request, None)?;
                self.judge_new_parents(&begun.path)
            }
            judged => Ok(judged?.site),
        }
    }

    /// How an upload stands, for its owner. That is a sign of life from its client. Where somebody writes at it, that one is asked to stop: `None`,
    /// and `free` is called when it may be asked again. So what is told holds until somebody else writes.
    pub fn find_upload(
        &self,
        name: UploadName<'_>,
        owner: &Principal,
        dialect: Dialect,
        now: Timestamp,
        free: Box<dyn FnOnce() + Send>,
    ) -> Outcome<Option<UploadState>> {
        let entry = self.entry_of(name, owner, dialect)?;
        let mut state = entry.state.lock();
        state.touched = state.touched.max(now);
        let is_free = Entry::is_free_or_told(&mut state, free);
        drop(state);
        Ok(is_free.then(|| entry.told()))
    }

    /// Lets an upload go for good, with its bytes; as [`Share::find_upload`], where somebody writes at it.
    pub fn cancel_upload(
        &self,
        name: UploadName<'_>,
        owner: &Principal,
        dialect: Dialect,
        free: Box<dyn FnOnce() + Send>,
    ) -> Outcome<Option<()>> {
        let entry = self.entry_of(name, owner, dialect)?;
        let mut state = entry.state.lock();
        if !Entry::is_free_or_told(&mut state, free) {
            return Ok(None);
        }
        state.place = Place::Over;
        drop(state);
        self.tree.remove_lasting(&entry.dir, &entry.stem)?;
        Ok(Some(()))
    }

    fn entry_of(&self, name: UploadName<'_>, owner: &Principal, dialect: Dialect) -> Outcome<Arc<Entry>> {
        match name {
            UploadName::Secret(id) => self.uploads.find(&id.stem(), owner, dialect),
            // Of those who have not said who they are nobody is told from another.
            UploadName::Listed(_) if *owner == Principal::Anonymous => Err(Refusal::NoUpload.into()),
            UploadName::Listed(stem) => self.uploads.find(stem, owner, dialect),
        }
    }

    /// Takes an upload into the hands of whoever wants to write at it. Where somebody does, that one is asked to stop: `None`, and `free` is called
    /// when it may be tried again. A connection that broke without a word would keep the upload shut for as long as nothing comes.
    pub fn take_up_upload(
        &self,
        name: UploadName<'_>,
        owner: &Principal,
        dialect: Dialect,
        free: Box<dyn FnOnce() + Send>,
    ) -> Outcome<Option<HeldUpload>> {
        let entry = self.entry_of(name, owner, dialect)?;
        let mut state = entry.state.lock();
        match std::mem::replace(&mut state.place, Place::Held(Holder::default())) {
            Place::Resting(point) => {
                let mark = state.mark;
                drop(state);
                self.take_up_from_disk(entry, mark, Some(*point)).map(Some)
            }
            Place::OnDisk => {
                let mark = state.mark;
                drop(state);
                self.take_up_from_disk(entry, mark, None).map(Some)
            }
            Place::Held(holder) => {
                state.place = Place::Held(holder);
                Entry::is_free_or_told(&mut state, free);
                Ok(None)
            }
            Place::InChunks(chunks) => {
                state.place = Place::InChunks(chunks);
                Err(Refusal::NoUpload.into())
            }
            Place::Complete(how) => {
                state.place = Place::Complete(how);
                Err(Refusal::UploadComplete.into())
            }
            Place::Over => {
                state.place = Place::Over;
                Err(Refusal::UploadOver.into())
            }
        }
    }

    /// Its bytes are read for their hash, unless that is known at this point.
    fn take_up_from_disk(&self, entry: Arc<Entry>, mark: Mark, point: Option<Point>) -> Outcome<HeldUpload> {
        let mut held = HeldUpload { entry, hands: None, only_whole: None };
        match self.tree.take_up_lasting(&held.entry.dir, (&held.entry.stem, mark.offset, point)) {
            Ok((staging, note)) => {
                held.hands = Some(Box::new(Hands { staging, note }));
                Ok(held)
            }
            Err(error) if error.cause == Cause::NotFound => {
                self.let_go(held);
                Err(Refusal::UploadOver.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Notes how long an upload is to become, which it may be told once.
    pub fn note_upload_length(&self, held: &HeldUpload, length: u64, now: Timestamp) -> Outcome<()> {
        let known = held.state();
        match known.length {
            Some(known) if known != length => Err(Refusal::InconsistentLength.into()),
            Some(_) => Ok(()),
            None if length < held.written() => Err(Refusal::InconsistentLength.into()),
            None => {
                let site = self.site_of_upload_dir(held)?;
                let wanted = (length - held.written()).saturating_add(self.uploads.to_come(held.entry.mount));
                self.has_room(&site, wanted, now)?;
                held.note_length(Some(length));
                Ok(())
            }
        }
    }

    /// Room is asked for where the bytes lie.
    fn site_of_upload_dir(&self, held: &HeldUpload) -> Outcome<Site> {
        let path = held.entry.begun.path.clone();
        let (_, name) = path.split().ok_or(Refusal::IsCollection)?;
        let (parent, mount) = (held.entry.dir.clone(), held.entry.mount);
        let folder = self.tree.folder_id(&parent)?;
        Ok(Site { path, parent, folder, mount, name })
    }

    /// Writes an upload on, making room in the history when the disk is full. What is longer than was announced is refused.
    pub fn write_on(&self, held: &mut HeldUpload, bytes: &[u8], now: Timestamp) -> Outcome<()> {
        held.touch(now);
        let (length, dir) = (held.state().length, held.entry.dir.clone());
        let Some(hands) = &mut held.hands else { return Err(Refusal::UploadOver.into()) };
        if length.is_some_and(|length| hands.staging.written() + bytes.len() as u64 > length) {
            return Err(Refusal::InconsistentLength.into());
        }
        self.write_making_room(&mut hands.staging, &dir, length, bytes, now)?;
        Ok(held.checkpoint_if_due()?)
    }

    /// Reads what has been written of an upload, a piece at a time.
    pub fn read_upload(&self, held: &HeldUpload, each: &mut dyn FnMut(&[u8])) -> Outcome<()> {
        let Some(hands) = &held.hands else { return Err(Refusal::UploadOver.into()) };
        Ok(hands.staging.read_through(each)?)
    }

    /// Makes an upload the file at a path, as [`Share::put`] does. If that is refused the upload is as it was, with all its bytes.
    pub fn finish_upload(
        &self,
        mut held: HeldUpload,
        path: &SharePath,
        make_parents: bool,
        dated: Option<Timestamp>,
        request: &RequestContext,
    ) -> Outcome<Stored> {
        held.touch(request.now);
        let (found, folders) = self.judge_upload_making(path, request, None, make_parents)?;
        let site = found.site;
        let replaces = match found.replaces {
            None => self.to_be_replaced(&site)?,
            opened => opened,
        };
        let path = site.path.clone();
        if site.mount != held.entry.mount {
            let written = held.written();
            let stored = self.finish_elsewhere(&held, &site, replaces, dated, request)?;
            folders.keep();
            self.is_finished(held, written);
            return Ok(stored);
        }
        let Some(hands) = held.hands.take() else { return Err(Refusal::UploadOver.into()) };
        let Hands { mut staging, note } = *hands;
        staging.comes_into(&site.parent, site.folder);
        let written = staging.written();
        let (mut staged, dating) = self.seal_for(&path, staging, replaces, dated, request.now)?;
        match self.store(&site, &path, &mut staged, dating, request) {
            Ok(stored) => {
                folders.keep();
                self.is_finished(held, written);
                Ok(stored)
            }
            Err(stop) => {
                match staged.goes_back(&held.entry.dir, &held.entry.stem) {
                    Ok(()) => held.counts(note, written),
                    Err(_) => self.let_go(held),
                }
                Err(stop)
            }
        }
    }

    /// The path lies on another file system than the upload: its bytes are copied there.
    fn finish_elsewhere(
        &self,
        held: &HeldUpload,
        site: &Site,
        replaces: Option<Replaced>,
        dated: Option<Timestamp>,
        request: &RequestContext,
    ) -> Outcome<Stored> {
        let Some(hands) = &held.hands else { return Err(Refusal::UploadOver.into()) };
        self.has_room(site, hands.staging.written(), request.now)?;
        let mut copy: Staging = self.stage(site, request.now)?;
        copy.copy_lasting(&hands.staging, &|| !self.is_stopping())?;
        let (mut staged, dating) = self.seal_for(&site.path, copy, replaces, dated, request.now)?;
        self.store(site, &site.path, &mut staged, dating, request)
    }

    fn is_finished(&self, held: HeldUpload, written: u64) {
        // What cannot be removed now is at the next start.
        let _ = self.tree.remove_lasting(&held.entry.dir, &held.entry.stem);
        held.is_whole(written);
        held.comes_to(Place::Complete(None));
    }

    /// Lets an upload go for good, with its bytes.
    fn let_go(&self, held: HeldUpload) {
        let (dir, stem) = (held.entry.dir.clone(), held.entry.stem.clone());
        held.comes_to(Place::Over);
        let _ = self.tree.remove_lasting(&dir, &stem);
    }

    /// The half-done uploads of an owner, the oldest first.
    pub fn half_done_uploads(&self, owner: &Principal) -> Vec<UploadState> {
        let mut uploads = self.uploads.of(owner);
        uploads.sort_by_key(|upload| upload.begun.at);
        uploads
    }

    /// Lets the uploads go whose time is over.
    pub(in super::super) fn expire_uploads(&self, now: Timestamp) {
        for entry in self.uploads.expired(now) {
            let mut state = entry.state.lock();
            // Somebody may have taken it up since.
            if Entry::may_expire(&state) {
                let place = std::mem::replace(&mut state.place, Place::Over);
                drop(state);
                let _ = match place {
                    Place::InChunks(chunks) => self.tree.chunks().remove(&entry.dir, &chunks.folder),
                    _ => self.tree.remove_lasting(&entry.dir, &entry.stem),
                };
            }
        }
    }

    /// Finds the uploads that an earlier process left. That it was stopped and started is a sign of life.
    pub(in super::super) fn load_uploads(&self, now: Timestamp) -> Result<(), DiskError> {
        for (dir, mount, left) in self.tree.history().lasting_uploads()? {
            let Ok(begun) = postcard::from_bytes::<Begun>(&left.purpose) else {
                let _ = self.tree.remove_lasting(&dir, &left.stem);
                continue;
            };
            let state = State { mark: left.mark, touched: now, place: Place::OnDisk };
            let (stem, begun, state) = (left.stem, Arc::new(begun), Mutex::new(state));
            self.uploads.take_in(Arc::new(Entry { stem, begun, dir, mount, state }));
        }
        self.load_uploads_in_chunks(now)
    }
}
