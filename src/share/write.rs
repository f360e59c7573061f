//! Changing: uploads, removals, new folders. Each is look, decide, swap, and look again if the swap lost.

use std::borrow::Cow;
use std::time::Duration;

use crate::model::dating::{AHEAD_MAX, ASKED_AHEAD_MAX, next_date, told};
use crate::model::keep_rule::Room;
use crate::model::lock::Touches;
use crate::model::path::SharePath;
use crate::model::precondition::Precondition;
use crate::model::stamp::{Stamp, Timestamp};
use crate::model::tag::EntityTag;
use crate::model::validators::Target;
use crate::model::version::VersionId;
use crate::store::commit::{Changed, Seen, Site, Surprise, Swap};
use crate::store::disk::{Cause, Dir, DiskError, File, Full, Opened, Result as DiskResult};
use crate::store::properties::Following;
use crate::store::staging::{NewFolders, Staged, Staging};

use super::identity::{Effort, Identity};
use super::judge::Deed;
use super::outcome::{Current, Forbidden, Outcome, Refusal, Stop};
use super::uploads::{Judged, UploadWatch};
use super::{Amendment, Hint, Share};

/// How long an upload waits, before it is begun, for a program that has the file open for writing.
const PATIENCE: Duration = Duration::from_millis(250);

/// What a new name takes: an inode, and a block of its folder.
pub(super) const A_NAME: Room = Room { bytes: 16 << 10, files: 1 };

/// What the file system takes besides, to note where the bytes are.
const SLACK: u64 = 64 << 10;

/// How far an upload that finds the disk full makes room ahead of the bytes that have come, in bytes.
const AHEAD: u64 = 16 << 20;

/// An upload that is being written.
#[derive(Debug)]
pub struct Upload {
    staging: Staging,
    /// The mount it is written to.
    /// The folder that it is for.
    at: Dir,
    /// What was made for it, and goes with it if it comes to nothing.
    folders: NewFolders,
    /// How long it is to become, if the client said so.
    announced: Option<u64>,
}

/// What an upload has become.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Whether nothing was there before.
    pub created: bool,
    /// The tag of the new version.
    pub tag: EntityTag,
    /// Its date.
    pub modified: Timestamp,
    /// The version that what it replaced has become.
    pub displaced: Option<VersionId>,
    /// Whether it has the date that the client asked for.
    pub is_dated_as_asked: bool,
}

/// Whose the date of a new version is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dating {
    /// The client asks for this one.
    Asked(Timestamp),
    /// Ours: later than all that the name is known to have had.
    Ours,
}

/// How a staged file is to be stored.
#[derive(Clone, Copy)]
pub(super) struct Storing<'a> {
    /// As what kind of change it is judged.
    pub(super) deed: Deed,
    /// Whose its date is.
    pub(super) dating: Dating,
    /// Lets what is noted follow, before anybody can note something on the file.
    pub(super) notes: &'a dyn Fn(Came),
}

/// What a file has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// A name that was free.
    ToAFreeName,
    /// The name of another file, which has become this version, if it is kept.
    InPlaceOf(Option<VersionId>),
}

/// What a removal has done.
#[derive(Clone, Debug)]
pub struct Removed {
    /// The version that what was removed has become.
    pub displaced: Option<VersionId>,
}

impl Upload {
    /// How many bytes have been written.
    pub fn written(&self) -> u64 {
        self.staging.written()
    }
}

impl Share {
    /// Says early, from the headers alone, why an upload could not succeed now. The commit judges again.
    pub fn may_put(
        &self,
        path: &SharePath,
        precondition: &Precondition,
        announced: Option<u64>,
        now: Timestamp,
    ) -> Outcome<()> {
        let site = self.judge_early(path, precondition, PATIENCE, now)?;
        announced.map_or(Ok(()), |bytes| self.has_room(&site, bytes, now))
    }

    /// Refuses what there is no room for, even if the history gives what it may. Nothing goes: bytes that have come take room, and words do
    /// not.
    pub(super) fn has_room(&self, site: &Site, bytes: u64, now: Timestamp) -> Outcome<()> {
        let wanted = Room { bytes, files: 1 };
        let has_room = self.tree.history().has_room(&site.parent, wanted, now)?;
        if has_room { Ok(()) } else { Err(Refusal::NoSpace(Full::Disk).into()) }
    }

    /// Why the condition of an upload in flight no longer holds. What may be otherwise by the time of the commit does not count: a program
    /// that has the file open, a folder that is still to be made, a disk that fails.
    fn gone_stale(&self, path: &SharePath, precondition: &Precondition, now: Timestamp) -> Option<Stop> {
        let stop = self.judge_early(path, precondition, Duration::ZERO, now).err()?;
        match &stop {
            Stop::Refusal(Refusal::PreconditionFailed { .. }) => Some(stop),
            Stop::Refusal(Refusal::NoParent) => self.judge_nothing_there(path, precondition, now).err(),
            Stop::Refusal(Refusal::IsCollection) => {
                self.judge_conditions(path, precondition, &Target::Collection, None, now).err()
            }
            _ => None,
        }
    }

    /// Judges an upload in flight, for whom others wait: no large file is hashed.
    pub(super) fn judge_in_flight(&self, path: &SharePath, precondition: &Precondition, now: Timestamp) -> Judged {
        let is_to_be_hashed = self.unhashed(path, None, precondition, now).is_ok_and(|files| !files.is_empty());
        if is_to_be_hashed || self.is_large_and_to_be_confirmed(path) {
            return Judged::InDoubt;
        }
        self.gone_stale(path, precondition, now).map_or(Judged::Holds, Judged::Stale)
    }

    /// Says why an upload in flight can no longer succeed, after it was in doubt and the file it depends on was hashed.
    pub fn may_go_on(&self, path: &SharePath, precondition: &Precondition, now: Timestamp) -> Outcome<()> {
        let path = self.spelled(path)?;
        self.gone_stale(&path, precondition, now).map_or(Ok(()), Err)
    }

    /// Whether a look at what is there would have to hash a large file, because it is not sure whether that is still what it was.
    fn is_large_and_to_be_confirmed(&self, path: &SharePath) -> bool {
        let Ok(Some(status)) = self.status_of(path) else { return false };
        self.is_large(&status.stamp)
            && self.index.recall_unsettled(&status.stamp).is_some_and(|remembered| !remembered.is_settled)
    }

    /// Looks at what is there, waiting with `patience` for a program that writes it, and judges it by the headers.
    fn judge_early(
        &self,
        path: &SharePath,
        precondition: &Precondition,
        patience: Duration,
        now: Timestamp,
    ) -> Outcome<Site> {
        let disk = self.tree.disk();
        let site = self.tree.site(path).map_err(|error| self.stop(error, Refusal::NoParent))?;
        let Some(site) = site else { return Err(Refusal::IsCollection.into()) };
        let look = || disk.open(&site.parent, &site.name);
        // For an upload in flight nobody waits for long: a change that is under way speaks of it when it has ended.
        let opened =
            if patience.is_zero() { self.tree.steadily_beside(path, look) } else { self.tree.steadily(path, look) }?;
        let identity = match opened {
            Opened::Dir(_) => return Err(Refusal::IsCollection.into()),
            Opened::Link => return Err(Refusal::NotAllowed(Forbidden::Link).into()),
            Opened::Special => return Err(Refusal::NotAllowed(Forbidden::Special).into()),
            Opened::Nothing => {
                self.judge_new_name(&site)?;
                None
            }
            Opened::File(_, status) if status.is_mount_point => {
                return Err(Refusal::NotAllowed(Forbidden::MountPoint).into());
            }
            Opened::File(file, status) => {
                let asks = precondition.asks_for_content() || self.pins_ask_for_content(&site.path, precondition, now);
                let effort = if asks { Effort::HashSmall } else { Effort::Recall };
                Some(self.identify_patiently(&site.path, &file, &status, effort, patience, now)?)
            }
        };
        match &identity {
            Some(known) if known.is_busy && !precondition.demands_nothing_there() => {
                return Err(Refusal::OpenForWriting.into());
            }
            // Whether the content is the one that was named is found out in the commit.
            Some(known) if known.hash.is_none() && precondition.asks_for_content() => {}
            known => self.decide(&site.path, precondition, known.as_ref(), Deed::Put, now)?,
        }
        let touches = if identity.is_some() { Touches::Itself } else { Touches::Membership };
        self.judge_locks(&site.path, precondition, touches, now)?;
        match &identity {
            Some(known) if known.hash.is_none() && self.pins_ask_for_content(&site.path, precondition, now) => {}
            known => self.judge_pins(&site.path, precondition, known.as_ref(), now)?,
        }
        Ok(site)
    }

    /// As [`Share::may_put`], where the folders above may be missing, since the request makes them: nothing is made yet.
    pub fn may_put_with_parents(
        &self,
        path: &SharePath,
        precondition: &Precondition,
        announced: Option<u64>,
        now: Timestamp,
    ) -> Outcome<()> {
        match self.may_put(path, precondition, announced, now) {
            Err(stop) if stop.is(Refusal::NoParent) => {
                self.judge_nothing_there(path, precondition, now)?;
                let site = self.judge_new_parents(path)?;
                announced.map_or(Ok(()), |bytes| self.has_room(&site, bytes, now))
            }
            judged => judged,
        }
    }

    /// Judges every name that would be new on the way to a path, and gives the site of the first of them.
    fn judge_new_parents(&self, path: &SharePath) -> Outcome<Site> {
        let mut above = SharePath::root();
        let mut first: Option<Site> = None;
        for name in path.names() {
            above = above.join(&name);
            match &first {
                Some(first) => self.judge_new_name(&Site { path: above.clone(), name, ..first.clone() })?,
                None => {
                    let site = self.site_of_upload(&above)?;
                    match self.tree.disk().open(&site.parent, &site.name)? {
                        Opened::Dir(_) => {}
                        Opened::Nothing => {
                            self.judge_new_name(&site)?;
                            first = Some(site);
                        }
                        Opened::File(..) | Opened::Link | Opened::Special => return Err(Refusal::NoParent.into()),
                    }
                }
            }
        }
        first.ok_or_else(|| Refusal::ChangedMeanwhile.into())
    }

    /// Begins an upload, setting the announced room aside; whether it can succeed is for the commit to say.
    pub fn begin_upload(&self, path: &SharePath, announced: Option<u64>, now: Timestamp) -> Outcome<Upload> {
        self.begin_upload_in(&self.site_of_upload(path)?, path, announced, NewFolders::default(), now)
    }

    /// As [`Share::begin_upload`], if it could succeed now; makes the folders above where they are missing and that is asked for.
    pub fn begin_long_upload(
        &self,
        path: &SharePath,
        precondition: &Precondition,
        announced: Option<u64>,
        make_parents: bool,
        now: Timestamp,
    ) -> Outcome<Upload> {
        let folders = match self.may_put(path, precondition, announced, now) {
            Err(stop) if make_parents && stop.is(Refusal::NoParent) => {
                self.may_put_with_parents(path, precondition, announced, now)?;
                let folders = self.make_parents(path, precondition, now)?;
                self.may_put(path, precondition, announced, now)?;
                folders
            }
            judged => judged.map(|()| NewFolders::default())?,
        };
        self.begin_upload_in(&self.site_of_upload(path)?, path, announced, folders, now)
    }

    /// As [`Share::begin_long_upload`], for an upload whose body is there already. To judge early saves nothing any more, so one that has no
    /// condition is judged by the commit alone.
    pub fn begin_short_upload(
        &self,
        path: &SharePath,
        precondition: &Precondition,
        bytes: u64,
        make_parents: bool,
        now: Timestamp,
    ) -> Outcome<Upload> {
        if make_parents || !precondition.is_empty() {
            return self.begin_long_upload(path, precondition, Some(bytes), make_parents, now);
        }
        let site = self.site_of_upload(path)?;
        self.has_room(&site, bytes, now)?;
        self.begin_upload_in(&site, path, None, NewFolders::default(), now)
    }

    fn site_of_upload(&self, path: &SharePath) -> Outcome<Site> {
        let site = self.tree.site(path).map_err(|error| self.stop(error, Refusal::NoParent))?;
        site.ok_or_else(|| Refusal::IsCollection.into())
    }

    fn begin_upload_in(
        &self,
        site: &Site,
        path: &SharePath,
        announced: Option<u64>,
        folders: NewFolders,
        now: Timestamp,
    ) -> Outcome<Upload> {
        let mut staging = self.begin_staging(site, path, now)?;
        if let Some(bytes) = announced {
            staging.announce(&self.ahead, &site.parent, bytes);
        }
        Ok(Upload { staging, at: site.parent.clone(), folders, announced })
    }

    /// Begins a file that nobody sees yet, making room for it in the history when the disk is full.
    pub(super) fn begin_staging(&self, site: &Site, path: &SharePath, now: Timestamp) -> Outcome<Staging> {
        let begin = || {
            let swap = || self.tree.history().swap(path, site.mount);
            Staging::begin(self.tree.disk(), &site.parent, swap)
        };
        match begin() {
            // The folder was there a moment ago.
            Err(error) if error.cause == Cause::NotFound => Err(self.stop(error, Refusal::NoParent)),
            Err(error) if self.makes_room_after(&error, &site.parent, A_NAME, now) => Ok(begin()?),
            begun => Ok(begun?),
        }
    }

    /// Writes an upload on, making room in the history when the disk is full: for what has come, and a little ahead of an upload that goes
    /// on, but only if all of it will fit.
    pub fn write(&self, upload: &mut Upload, bytes: &[u8], now: Timestamp) -> Outcome<()> {
        match upload.staging.write(bytes) {
            Err(error) if let Some(full) = error.full() => {
                let (written, come) = (upload.staging.written(), bytes.len() as u64);
                // How long it will become is not always known.
                let rest = upload.announced.map_or(come + written / 4, |all| all.saturating_sub(written)).max(come);
                let step = Room { bytes: rest.min(come.max(AHEAD)) + SLACK, files: 0 };
                let whole = Room { bytes: upload.announced.map_or(come, |_| rest) + SLACK, files: 0 };
                let history = self.tree.history();
                let made_room = history.make_room_for_a_step(&upload.at, step, whole, full, now);
                let written = upload.staging.write(bytes);
                Ok(if made_room { self.with_room_made(written, &upload.at, now) } else { written }?)
            }
            written => Ok(written?),
        }
    }

    /// Puts an upload on the list of those that are told when their validator goes stale; `wake` is called then. This comes before
    /// [`Share::may_put`]: what changes between the two is seen by that look, what changes later is told.
    ///
    /// The upload is told of its own commit, too: once that has begun, what it is told means nothing.
    pub fn watch_upload(
        &self,
        path: &SharePath,
        precondition: &Precondition,
        wake: Box<dyn Fn() + Send + Sync>,
    ) -> UploadWatch {
        let place = self.spelled(path).map_or_else(|_| path.clone(), Cow::into_owned);
        self.uploads.watch(&place, precondition, wake)
    }

    /// Makes a complete upload the file at a path, dated as the client asks, if it does and the date is no more than a day ahead of the clock.
    pub fn put(
        &self,
        path: &SharePath,
        upload: Upload,
        dated: Option<Timestamp>,
        precondition: &Precondition,
        now: Timestamp,
    ) -> Outcome<Stored> {
        let path = &*self.spelled(path).map_err(Stop::of_an_arrival)?;
        let like = self.like(path)?;
        let displaced = like.as_ref().map(|(_, modified)| *modified);
        let dated = dated.filter(|dated| *dated <= now.plus(ASKED_AHEAD_MAX));
        let mtime = dated.unwrap_or_else(|| self.next_date(path, displaced, now));
        let Upload { staging, folders, .. } = upload;
        let mut staged = staging.seal(like.as_ref().map(|(file, _)| file), mtime)?;
        drop(like);
        let dating = dated.map_or(Dating::Ours, Dating::Asked);
        let storing = Storing { deed: Deed::Put, dating, notes: &self.notes_of_a_file(path) };
        let stored = self.put_staged(path, &mut staged, &storing, precondition, now);
        let stored = stored.map_err(Stop::of_an_arrival)?;
        folders.keep();
        self.was_stored(path, precondition);
        self.changed(path, now);
        Ok(stored)
    }

    /// Removes a file or a folder with all that is in it.
    pub fn delete(&self, path: &SharePath, precondition: &Precondition, now: Timestamp) -> Outcome<Removed> {
        let path = &*self.spelled(path)?;
        let removed = self.look_until_done(path, precondition, Deed::Remove, now, |claim, seen| match seen {
            Seen::Special => Err(Refusal::NotAllowed(Forbidden::Special).into()),
            seen => {
                let swap = claim.remove(seen, surprise(precondition), now)?;
                if let Swap::Done(changed) = &swap {
                    self.drop_locks_in(path, now);
                    let version = self.kept(changed).cloned();
                    self.let_notes_follow(Following::Gone { from: path.clone(), version });
                }
                Ok((swap, ()))
            }
        });
        let removed = removed.map_err(|stop| if stop.is(Refusal::NoParent) { Refusal::NotFound.into() } else { stop });
        let displaced = removed?.0.displaced;
        self.changed(path, now);
        Ok(Removed { displaced: displaced.filter(|_| self.keeps_history()) })
    }

    /// Makes a folder, with these properties from the beginning: all of it or nothing.
    pub fn make_collection(
        &self,
        path: &SharePath,
        amendments: &[Amendment],
        precondition: &Precondition,
        now: Timestamp,
    ) -> Outcome<()> {
        self.make_folder(path, amendments, Deed::MakeCollection, precondition, now)
    }

    fn make_folder(
        &self,
        path: &SharePath,
        amendments: &[Amendment],
        deed: Deed,
        precondition: &Precondition,
        now: Timestamp,
    ) -> Outcome<()> {
        if path.is_root() {
            return Err(Refusal::Exists { is_collection: true }.into());
        }
        let path = &*self.spelled(path)?;
        self.look_until_done(path, precondition, deed, now, |claim, seen| {
            if !matches!(seen, Seen::Nothing) {
                return Err(Refusal::Exists { is_collection: matches!(seen, Seen::Collection(_)) }.into());
            }
            // What is to be noted comes first: if it cannot be, nothing is made (RFC 5689 §3).
            if !amendments.is_empty() {
                self.begin_notes(path, amendments)?;
            }
            let swap = claim.make_collection();
            let (is_made, made) = (matches!(swap, Ok(Swap::Done(_))), self.as_made(path).into_owned());
            if is_made && !amendments.is_empty() {
                if made != *path {
                    self.let_notes_follow(Following::Moved { from: path.clone(), to: made, displaced: None });
                }
            } else if is_made || !amendments.is_empty() {
                // What another program removed here may have left notes behind; and where nothing was made, nothing is noted.
                let from = if is_made { made } else { path.clone() };
                self.let_notes_follow(Following::Gone { from, version: None });
            }
            Ok((swap?, ()))
        })
        .map_err(Stop::of_an_arrival)?;
        self.changed(path, now);
        Ok(())
    }

    /// Makes every folder above a path that is not there yet. If one cannot be made, none stays.
    pub fn make_parents(&self, path: &SharePath, precondition: &Precondition, now: Timestamp) -> Outcome<NewFolders> {
        self.make_folders_above(path, Deed::MakeCollection, precondition, now)
    }

    /// As [`Share::make_parents`]; those above something that comes back come back too, whatever they are called.
    pub(super) fn make_folders_above(
        &self,
        path: &SharePath,
        deed: Deed,
        precondition: &Precondition,
        now: Timestamp,
    ) -> Outcome<NewFolders> {
        let mine = Precondition::default().with_submitted(precondition.submitted().clone());
        let mut folders = NewFolders::default();
        let Some((parent, _)) = path.split() else { return Ok(folders) };
        let mut above = SharePath::root();
        for name in parent.names() {
            above = above.join(&name);
            let site = self.site_of_upload(&above)?;
            match self.make_folder(&above, &[], deed, &mine, now) {
                Err(stop) if stop.is(Refusal::Exists { is_collection: true }) || stop.is(Refusal::NotFree) => {}
                Err(stop) if stop.is(Refusal::Exists { is_collection: false }) => return Err(Refusal::NoParent.into()),
                // It is there, and goes again.
                Err(Stop::Fault(fault)) if fault.cause == Cause::Unsure => {
                    folders.add(self.tree.disk(), &site.parent, &site.name)?;
                    return Err(Stop::Fault(DiskError { cause: Cause::Failed, ..fault }));
                }
                made => {
                    made?;
                    folders.add(self.tree.disk(), &site.parent, &site.name)?;
                }
            }
        }
        Ok(folders)
    }

    /// Makes a staged file the one at a path, which is spelled as on the disk.
    pub(super) fn put_staged(
        &self,
        path: &SharePath,
        staged: &mut Staged,
        storing: &Storing<'_>,
        precondition: &Precondition,
        now: Timestamp,
    ) -> Outcome<Stored> {
        let Storing { deed, dating, notes } = *storing;
        let (changed, created) = self.look_until_done(path, precondition, deed, now, |claim, seen| {
            if claim.site().folder != staged.folder() {
                return Err(Refusal::FolderChanged.into());
            }
            match seen {
                Seen::Nothing => {
                    self.date(path, staged, dating, None, now)?;
                    let swap = claim.create(staged)?;
                    if matches!(swap, Swap::Done(_)) {
                        notes(Came::ToAFreeName);
                    }
                    self.has_stored(path, &swap, staged, None, precondition, now);
                    Ok((swap, true))
                }
                Seen::File(seen) => {
                    let replaced = seen.status.stamp;
                    staged.look_like(&seen.file, &replaced)?;
                    self.date(path, staged, dating, Some(replaced.mtime), now)?;
                    let swap = claim.replace(seen, staged, surprise(precondition), now)?;
                    if let Swap::Done(changed) = &swap {
                        notes(Came::InPlaceOf(self.kept(changed).cloned()));
                    }
                    self.has_stored(path, &swap, staged, Some(&replaced), precondition, now);
                    Ok((swap, false))
                }
                Seen::Busy(_) => Err(Refusal::OpenForWriting.into()),
                Seen::Collection(_) => Err(Refusal::IsCollection.into()),
                Seen::Link => Err(Refusal::NotAllowed(Forbidden::Link).into()),
                Seen::Special => Err(Refusal::NotAllowed(Forbidden::Special).into()),
            }
        })?;
        Ok(Stored {
            created,
            tag: EntityTag::of_content(staged.hash()),
            modified: staged.sealed().mtime,
            displaced: changed.displaced.filter(|_| self.keeps_history()),
            is_dated_as_asked: dating.is_met(staged.sealed().mtime, self.abilities().time_grain),
        })
    }

    /// A file that is stored is the one that things were noted on, if there was one. Where there was none another program may have removed it, and
    /// left notes behind.
    pub(super) fn notes_of_a_file(&self, path: &SharePath) -> impl Fn(Came) {
        move |came| {
            if came == Came::ToAFreeName {
                self.let_notes_follow(Following::Gone { from: path.clone(), version: None });
            }
        }
    }

    /// What came of something that room was made for. How much is free in a quota nobody says, so the history is told here if it gave in vain.
    pub(super) fn with_room_made<T>(&self, tried: DiskResult<T>, at: &Dir, now: Timestamp) -> DiskResult<T> {
        if tried.as_ref().is_err_and(|error| error.full() == Some(Full::Quota)) {
            self.tree.history().gave_in_vain(at, Full::Quota, now);
        }
        tried
    }

    /// Makes room in the history if that is what was missing; says whether there is room now.
    pub(super) fn makes_room_after(&self, error: &DiskError, at: &Dir, wanted: Room, now: Timestamp) -> bool {
        error.full().is_some_and(|full| self.tree.history().make_room(at, wanted, full, now))
    }

    /// What is to be known of a new version before anybody else can ask for it.
    pub(super) fn has_stored(
        &self,
        path: &SharePath,
        swap: &Swap<'_>,
        staged: &Staged,
        replaced: Option<&Stamp>,
        precondition: &Precondition,
        now: Timestamp,
    ) {
        if let Swap::Done(changed) = swap {
            let stamp = changed.stamp.unwrap_or(*staged.sealed());
            let date = self.date_that_came(path, &stamp, replaced, now);
            // The answer to the upload tells its date if that has come by then.
            let is_near = stamp.mtime <= now.plus(AHEAD_MAX);
            self.tell_date(path, &stamp, if is_near { now.max(stamp.mtime) } else { now });
            self.remember_upload(changed, staged, date);
            self.repin(path, precondition, Some(&EntityTag::of_content(staged.hash())), now);
        }
    }

    /// The version that what a change displaced has become, if it is kept for longer than a while.
    pub(super) fn kept<'c>(&self, changed: &'c Changed<'_>) -> Option<&'c VersionId> {
        changed.displaced.as_ref().filter(|_| self.keeps_history())
    }

    /// Tells the uploads in flight at once that something has changed here.
    pub(super) fn changed(&self, path: &SharePath, now: Timestamp) {
        self.tell_uploads(&Hint::Subtree(path.clone()), now);
    }

    /// The file that an upload will replace, for its attributes, and its date.
    pub(super) fn like(&self, path: &SharePath) -> Outcome<Option<(File, Timestamp)>> {
        let site = self.tree.site(path).map_err(|error| self.stop(error, Refusal::NoParent))?;
        let Some(site) = site else { return Ok(None) };
        Ok(match self.tree.disk().open(&site.parent, &site.name)? {
            Opened::File(file, status) => Some((file, status.stamp.mtime)),
            _ => None,
        })
    }
}

/// What is there now, for a client that was refused.
pub(super) fn current(identity: &Identity) -> Current {
    let modified = told(identity.stamp.mtime, Timestamp::new(identity.validators.date.now, 0));
    Current { tag: identity.validators.shown.clone(), modified, size: identity.stamp.size }
}

impl Share {
    /// The date that the server gives a new version at a path.
    pub(super) fn next_date(&self, path: &SharePath, displaced: Option<Timestamp>, now: Timestamp) -> Timestamp {
        next_date(self.latest_date(path, displaced, now), now, self.abilities().time_grain)
    }

    /// The latest date that the name of a path is known to have been told with.
    fn latest_date(&self, path: &SharePath, displaced: Option<Timestamp>, now: Timestamp) -> Option<i64> {
        let was_told = |displaced: &Timestamp| *displaced <= now.plus(AHEAD_MAX);
        displaced.filter(was_told).map(Timestamp::seconds).max(self.dates.latest(path))
    }

    /// Moves the date of an upload to a later second than all that its name is known to have had, unless it is later already or the client
    /// asks for it.
    fn date(
        &self,
        path: &SharePath,
        staged: &mut Staged,
        dating: Dating,
        displaced: Option<Timestamp>,
        now: Timestamp,
    ) -> Outcome<()> {
        let sealed = staged.sealed().mtime.seconds();
        let latest = self.latest_date(path, displaced, now);
        let is_later = latest.is_none_or(|latest| sealed > latest);
        if dating != Dating::Ours || is_later {
            return Ok(());
        }
        let date = self.next_date(path, displaced, now);
        if date.seconds() != sealed {
            staged.postpone(date)?;
        }
        Ok(())
    }
}

impl Dating {
    /// Whether this is the date that was asked for, as far as the disk can keep it.
    pub(super) fn is_met(self, mtime: Timestamp, grain: Duration) -> bool {
        match self {
            Self::Asked(asked) => asked.since(mtime).max(mtime.since(asked)) <= grain.max(Duration::from_secs(1)),
            Self::Ours => false,
        }
    }
}

/// Only a client that names no version may find that it displaced another one than was seen.
pub(super) fn surprise(precondition: &Precondition) -> Surprise {
    if precondition.is_empty() { Surprise::Accept } else { Surprise::Undo }
}

impl Stop {
    /// Whether a condition did not hold.
    pub(super) fn is_failed_precondition(&self) -> bool {
        matches!(self, Self::Refusal(Refusal::PreconditionFailed { .. }))
    }

    /// For what was to come into a folder: that something is not there means that the folder has gone meanwhile.
    pub(super) fn of_an_arrival(self) -> Self {
        if self.is(Refusal::NotFound) { Refusal::FolderChanged.into() } else { self }
    }

    /// What has no room left, if that is why.
    pub(super) fn full(&self) -> Option<Full> {
        match self {
            Self::Refusal(Refusal::NoSpace(full)) => Some(*full),
            _ => None,
        }
    }

    /// Whether it is this refusal.
    pub(super) fn is(&self, refusal: Refusal) -> bool {
        matches!(self, Self::Refusal(mine) if *mine == refusal)
    }
}
