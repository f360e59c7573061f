//! Moving and copying: what is at one path comes to another, and what was there becomes a version (RFC 4918 §9.8, §9.9).
//!
//! The conditional headers speak of the source, `Overwrite` and the locks of the destination too. A refusal or a fault leaves both ends as
//! they were.

use std::cell::Cell;
use std::fmt;

use crate::model::change::Before;
use crate::model::dating::ASKED_AHEAD_MAX;
use crate::model::extent::Extent;
use crate::model::path::SharePath;
use crate::model::rights::Rights;
use crate::model::stamp::{Stamp, Timestamp};
use crate::model::tag::EntityTag;
use crate::model::verdict::Deed;
use crate::model::version::VersionId;
use crate::store::catalog::properties::Following;
use crate::store::disk_error::{Cause, DiskError, Result as DiskResult};
use crate::store::handle::Dir;
use crate::store::local::commit::{Changed, CopyWish, Copying, Included, OnMismatches, Seen, Site, StagedCopy, Swap};
use crate::store::status::Kind;

use super::copies_under_way::CopyUnderWay;
use super::dating::Dating;
use super::evidence::{AtName, Halt, Moment};
use super::identity::shown;
use super::judge::{HASHINGS_MAX, LOOKS_MAX, Task};
use super::outcome::{Forbidden, NotesBound, Outcome, Refusal, Stop};
use super::request_context::RequestContext;
use super::room::A_NAME;
use super::shared_folder::Share;
use super::storing::{on_mismatch, state_of};

/// What is to be moved or copied, and where to.
#[derive(Clone, Debug)]
pub struct Relocation {
    /// Where it is.
    pub from: SharePath,
    /// Where it is to be.
    pub to: SharePath,
    /// Whether what is there may be replaced (`Overwrite`).
    pub may_replace: bool,
    /// The date that the client asks for.
    pub dated: Option<Timestamp>,
}

/// How long a file may be that is copied out of turn, in bytes.
const SHORT_MAX: u64 = 1 << 20;

/// In how many pieces it is copied, at most.
const SHORT_PIECES_MAX: u32 = 16;

/// Whether what is at a path may come to the same path, in another spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Respelling {
    Allowed,
    Refused,
}

/// How much a change may copy.
#[derive(Clone, Copy)]
pub enum CopyLimit<'a> {
    /// No more than a short file. What takes more is refused with [`Refusal::CopyOutOfTurn`], after whatever can be refused before a copy.
    Short,
    /// Whatever it takes, for as long as somebody wants it.
    WhileWanted(&'a dyn Fn() -> bool),
}

impl fmt::Debug for CopyLimit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Short => "Short",
            Self::WhileWanted(_) => "WhileWanted",
        })
    }
}

impl CopyLimit<'_> {
    /// No limit.
    pub const UNLIMITED: Self = Self::WhileWanted(&|| true);

    /// Whether so many bytes may be copied.
    pub(super) fn admits(self, bytes: u64) -> Outcome<()> {
        match self {
            Self::Short if bytes > SHORT_MAX => Err(Refusal::CopyOutOfTurn.into()),
            _ => Ok(()),
        }
    }
}

/// What a move or a copy has done.
#[derive(Clone, Debug)]
pub struct Relocated {
    /// Whether nothing was at the destination before.
    pub created: bool,
    /// The version that what it replaced has become.
    pub displaced: Option<VersionId>,
    /// The tag of a file that was copied.
    pub tag: Option<EntityTag>,
    /// Whether it has the date that the client asked for.
    pub is_dated_as_asked: bool,
    /// Folders that links lead to, which were in what was copied and are not in the copy.
    pub left_out: Vec<SharePath>,
}

/// What has come of a copy that was put in its place.
struct Arrived<'a> {
    changed: Changed<'a>,
    /// Whether nothing was there before.
    created: bool,
}

/// How one try of a move ended.
enum MoveTry {
    Done(Relocated),
    /// Something else was there than had been seen.
    Overtaken,
    /// The file can only be copied there.
    OtherMount,
    /// These large files have to be hashed first, outside the mutexes.
    HashFirst(Vec<SharePath>),
    /// The file system of this folder has no room for one more name. Room in the history of the source is made where it is needed.
    Full(DiskError, Dir),
}

impl Share {
    /// Moves a file, or a folder with all that is in it: one rename, whatever its size. A file that is to come to another file system is copied.
    pub fn relocate(&self, wanted: &Relocation, request: &RequestContext, limit: CopyLimit<'_>) -> Outcome<Relocated> {
        let (from, to) = self.two_places(wanted, Respelling::Allowed, request)?;
        let of_target = request.for_the_target(wanted.may_replace);
        self.hash_beforehand(&from, request);
        self.hash_beforehand(&to, &of_target);
        let copy_it = || self.stage_copy(&from, &to, Extent::Tree, limit, request);
        // Made only where a rename cannot do it: from one file system to another.
        let mut copy = None;
        let (mut made_room, mut hashings) = (false, 0);
        for _ in 0..LOOKS_MAX {
            match self.try_to_move((&from, request), (&to, &of_target), copy.as_mut())? {
                MoveTry::Done(moved) => return Ok(moved),
                MoveTry::Overtaken if copy.is_none() => {}
                MoveTry::Overtaken | MoveTry::OtherMount => copy = Some(copy_it()?),
                MoveTry::HashFirst(files) if hashings < HASHINGS_MAX => {
                    hashings += 1;
                    self.hash_first(&files, request.now)?;
                }
                MoveTry::HashFirst(files) => return Err(Halt::HashFirst(files).into()),
                MoveTry::Full(error, _) if made_room => return Err(error.into()),
                MoveTry::Full(error, at) => {
                    // A copy that was put in its place and taken back is a version now, and cannot be used again.
                    (made_room, copy) = (true, None);
                    if !self.makes_room_after(&error, &at, A_NAME, request.now) {
                        return Err(error.into());
                    }
                }
            }
        }
        Err(Refusal::ChangedMeanwhile.into())
    }

    /// Looks at both ends, judges, and moves: with `copy` by putting that at the destination and taking the source out.
    fn try_to_move(
        &self,
        (from, request): (&SharePath, &RequestContext),
        (to, of_target): (&SharePath, &RequestContext),
        copy: Option<&mut StagedCopy>,
    ) -> Outcome<MoveTry> {
        let pair = self.tree.claim_two(from, to).map_err(|error| self.stop(error, Refusal::NotFound))?;
        let Some(mut pair) = pair else { return Err(Refusal::NotAllowed(Forbidden::Root).into()) };
        pair.act_for(request.by.clone());
        let source = pair.source().look()?;
        let target = if pair.is_one_name() { Seen::Nothing } else { pair.target().look()? };
        // Held until the outcome is noted: a LOCK waits for it.
        let change_under_way = self.locks.begin_change();
        let names = [
            (Task::from(Deed::MoveAway), from, pair.source().site(), &source, request),
            (
                Task::move_of(from).bringing(matches!(source, Seen::Collection(_))),
                to,
                pair.target().site(),
                &target,
                of_target,
            ),
        ];
        let names = names.map(|(task, path, site, seen, request)| AtName {
            change: task.at(site, seen),
            path,
            site: Some(site),
            seen: Some(seen),
            request,
            identity: None,
        });
        let mut inside = match self.judge(names.into(), Moment::Commit) {
            Err(Halt::HashFirst(files)) => return Ok(MoveTry::HashFirst(files)),
            judged => judged?,
        };
        pair.require_inside_target(inside.pop().unwrap_or_default());
        // Where that cannot be known now, the notes follow later, however many they are.
        if !self.properties.have_room_for_move(from, to).unwrap_or(true) {
            return Err(Refusal::NoRoomForNotes(NotesBound::OnAll).into());
        }
        let is_file = matches!(source, Seen::File(_));
        let created = matches!(target, Seen::Nothing);
        let is_copied = copy.is_some();
        // A rename would tell (EXDEV) only after the target was taken out, so the mounts are compared first.
        if !is_copied && !pair.is_one_mount() {
            return if is_file { Ok(MoveTry::OtherMount) } else { Err(Refusal::OtherMount.into()) };
        }
        let (moved, replaced) = (state_of(&source), state_of(&target));
        let before = (Before::from(&source), Before::from(&target));
        let on_mismatch = on_mismatch(request);
        let on_mismatches = OnMismatches { source: on_mismatch, target: on_mismatch };
        let swap = match copy {
            Some(copy) => pair.relocate_copy(source, target, copy, on_mismatches, request.now),
            None => pair.relocate(source, target, on_mismatches, request.now),
        };
        match swap {
            Ok(Swap::Done(changed)) => {
                if !is_file {
                    // It comes with all that is in it, whose arrival does not show.
                    self.dates.folder_came(to, request.now);
                }
                self.note_moved((from, to), &changed, (moved, replaced), request);
                self.tell_moved((from, &self.as_made(to)), before, &changed, request);
                let displaced = self.kept(&changed).cloned();
                drop((changed, change_under_way, pair));
                self.forget_refusal(to, request);
                self.tell_of_change(from, request.now);
                self.tell_of_change(to, request.now);
                let left_out = Vec::new();
                Ok(MoveTry::Done(Relocated { created, displaced, tag: None, is_dated_as_asked: false, left_out }))
            }
            Ok(Swap::Lost) => Ok(MoveTry::Overtaken),
            Ok(Swap::Busy) => Err(Refusal::OpenForWriting.into()),
            Ok(Swap::Spoilt) => Err(Refusal::ChangedMeanwhile.into()),
            Err(error) if error.cause == Cause::OtherMount && is_file && !is_copied => Ok(MoveTry::OtherMount),
            Err(error) if error.cause == Cause::OtherMount => Err(Refusal::OtherMount.into()),
            Err(error) if error.full().is_some() => Ok(MoveTry::Full(error, pair.target().site().parent.clone())),
            Err(error) => Err(error.into()),
        }
    }

    /// The copies of folders that are being made, and how far they have come.
    pub fn copies_under_way(&self) -> Vec<CopyUnderWay> {
        self.copies.now()
    }

    /// Copies a file or a folder. The copy appears whole, or not at all if it is not wanted any more before it is complete.
    pub fn copy(
        &self,
        wanted: &Relocation,
        extent: Extent,
        request: &RequestContext,
        limit: CopyLimit<'_>,
    ) -> Outcome<Relocated> {
        let (from, to) = self.two_places(wanted, Respelling::Refused, request)?;
        self.judge_headers(&from, request)?;
        let of_target = request.for_the_target(wanted.may_replace);
        let is_folder = self.is_collection(&from, request)?;
        drop(self.look_and_judge(&to, &of_target, Task::copy_of(&from).bringing(is_folder))?);
        if !self.properties.have_room_for_copy(&from, &to, extent)? {
            return Err(Refusal::NoRoomForNotes(NotesBound::OnAll).into());
        }
        let copy = self.stage_copy(&from, &to, extent, limit, request)?;
        // Where something in the tree may not be copied, only what is noted on its top follows.
        let is_whole = request.permissions.over(Extent::Tree, &from).contains(Rights::LOOK);
        let noted = if is_whole { extent } else { Extent::Itself };
        let notes = |displaced: Option<VersionId>| {
            let (from, to) = (from.clone(), self.as_made(&to).into_owned());
            self.let_notes_follow(Following::Copied { from, to, extent: noted, displaced });
        };
        self.commit_copy(copy, (&from, &to), wanted.dated, (request, &of_target), &notes)
    }

    /// Judges a copy by what was copied, and puts it where it is to be. `notes` lets follow what is noted, before anybody can note something on the
    /// copy; it is told what the copy has displaced.
    pub(super) fn commit_copy(
        &self,
        mut copy: StagedCopy,
        (from, to): (&SharePath, &SharePath),
        dated: Option<Timestamp>,
        (of_source, of_target): (&RequestContext, &RequestContext),
        notes: &dyn Fn(Option<VersionId>),
    ) -> Outcome<Relocated> {
        let dated = dated.filter(|dated| *dated <= of_target.now.plus(ASKED_AHEAD_MAX));
        let mut is_dated_as_asked = false;
        if let StagedCopy::File(file) = &mut copy {
            self.judge_copied(from, &file.of, file.staged.hash(), of_source)?;
            // A copy has the date of its source, unless the client asks for another.
            dated.map_or(Ok(()), |dated| file.staged.postpone(dated))?;
            is_dated_as_asked = dated
                .is_some_and(|dated| Dating::Asked(dated).is_met(file.staged.sealed().mtime, self.tree.time_grain(to)));
        }
        let Arrived { changed, created } = self.put_copy((from, to), &mut copy, of_target, notes)?;
        let displaced = self.kept(&changed).cloned();
        drop(changed);
        let (tag, left_out) = match copy {
            StagedCopy::File(file) => (Some(EntityTag::of_content(file.staged.hash())), Vec::new()),
            StagedCopy::Folder(folder) => (None, folder.left_out),
        };
        self.forget_refusal(to, of_source);
        self.tell_of_change(to, of_target.now);
        Ok(Relocated { created, displaced, tag, is_dated_as_asked, left_out })
    }

    fn put_copy<'a>(
        &'a self,
        (from, to): (&SharePath, &SharePath),
        copy: &mut StagedCopy,
        of_target: &RequestContext,
        notes: &dyn Fn(Option<VersionId>),
    ) -> Outcome<Arrived<'a>> {
        let task = Task::copy_of(from).bringing(matches!(copy, StagedCopy::Folder(_)));
        let arrived = self.look_until_done(to, of_target, task, |claim, seen| {
            if let StagedCopy::File(file) = &*copy
                && claim.site().folder != file.staged.folder()
            {
                return Err(Refusal::FolderChanged.into());
            }
            let created = matches!(seen, Seen::Nothing);
            let (replaced, before) = (state_of(&seen), Before::from(&seen));
            let swap = claim.put_copy(seen, copy, on_mismatch(of_target), of_target.now)?;
            if let Swap::Done(changed) = &swap {
                self.drop_locks_below(to, of_target.now);
                match &*copy {
                    StagedCopy::File(file) => {
                        self.note_stored(to, &swap, &file.staged, replaced.as_ref(), of_target);
                        self.tell_stored(to, before, false, (changed, &file.staged), of_target);
                    }
                    StagedCopy::Folder(_) => {
                        self.note_folder_came(to);
                        let made = self.as_made(to);
                        self.tell_folder(&made, before, false, self.kept(changed), of_target);
                        self.look_below(&made, of_target);
                        self.dates.folder_came(to, of_target.now);
                        self.repin(to, of_target, None);
                    }
                }
                notes(self.kept(changed).cloned());
            }
            Ok((swap, created))
        });
        let (changed, created) = arrived.map_err(Stop::of_an_arrival)?;
        Ok(Arrived { changed, created })
    }

    fn stage_copy(
        &self,
        from: &SharePath,
        to: &SharePath,
        extent: Extent,
        limit: CopyLimit<'_>,
        request: &RequestContext,
    ) -> Outcome<StagedCopy> {
        let is_wanted = &self.go_on(limit);
        let site = self.site(to, Refusal::NotAllowed(Forbidden::Root))?;
        let takes = match self.tree.read_consistent(from, || self.status_of(from))? {
            Some(status) if status.kind != Kind::Dir => {
                limit.admits(status.stamp.size)?;
                Rights::READ
            }
            // How much there is in a folder takes a walk to say.
            Some(_) if extent == Extent::Tree => limit.admits(u64::MAX).map(|()| Rights::LIST)?,
            _ => Rights::LIST,
        };
        // Of a link at its end what that leads to is copied, by the rights there as well.
        let place = self.place_to_read(from, Rights::LOOK, request)?.into_owned();
        if !(request.permissions.at(from) & request.permissions.at(&place)).contains(takes) {
            return Err(Refusal::NotPermitted.into());
        }
        let wish = CopyWish {
            extent,
            is_wanted,
            is_included: &|member, is_linked| self.is_copied((from, &place), member, is_linked, request),
        };
        let staged = self.stage_counted((from, to), &site, &wish, request.now);
        match staged.map_err(|error| self.stop_of_copy(error, limit))? {
            Copying::Ready(copy) => Ok(*copy),
            Copying::Nothing | Copying::Link => Err(Refusal::NotFound.into()),
            Copying::Special => Err(Refusal::NotAllowed(Forbidden::Special).into()),
            Copying::Busy => Err(Refusal::OpenForWriting.into()),
        }
    }

    /// Stages a copy; what is copied is counted meanwhile, and the history gives room where there is none.
    fn stage_counted(
        &self,
        (from, to): (&SharePath, &SharePath),
        site: &Site,
        wish: &CopyWish<'_>,
        now: Timestamp,
    ) -> DiskResult<Copying> {
        let count = self.copies.count(to.clone(), &self.wakers);
        let of = self.members_to_copy(from, wish);
        let stage = || {
            count.begin(of);
            self.tree.stage_copy(from, site, &CopyWish { is_included: &counted(wish, &|| count.one_more()), ..*wish })
        };
        match stage() {
            Err(error) if error.full().is_some() => match self.tree.room_for_copy(from, wish) {
                Ok(room) if self.makes_room_after(&error, &site.parent, room, now) => {
                    self.with_room_made(stage(), &site.parent, now)
                }
                _ => Err(error),
            },
            staged => staged,
        }
    }

    /// How many files and folders there are to be copied in a folder; `None` where that cannot be said. Only who watches the copy wants to know, so
    /// nothing depends on it.
    fn members_to_copy(&self, from: &SharePath, wish: &CopyWish<'_>) -> Option<u64> {
        let found = Cell::new(0);
        let count = || found.set(found.get() + 1);
        let looking = CopyWish { is_included: &counted(wish, &count), ..*wish };
        self.tree.room_for_copy(from, &looking).ok().map(|_| found.get())
    }

    /// Whether a member of a folder that is copied is in the copy: what one may not see is not there. One that may be seen and not read stops the
    /// copy, which would not be whole.
    fn is_copied(
        &self,
        (from, place): (&SharePath, &SharePath),
        member: &SharePath,
        is_linked: bool,
        request: &RequestContext,
    ) -> Included {
        let place = if is_linked { self.place_of(member) } else { member.moved(from, place) };
        let rights = request.permissions.at(member) & request.permissions.at(&place);
        match (rights.contains(Rights::LIST), rights.contains(Rights::READ)) {
            (false, _) => Included::No,
            (true, false) => Included::Refused,
            (true, true) => Included::Yes,
        }
    }

    /// Whether a copy goes on, which is asked before each piece of it.
    pub(super) fn go_on<'a>(&'a self, limit: CopyLimit<'a>) -> impl Fn() -> bool + 'a {
        let pieces = Cell::new(0);
        move || {
            pieces.set(pieces.get() + 1);
            let is_wanted = match limit {
                // It may have become longer since it was looked at.
                CopyLimit::Short => pieces.get() <= SHORT_PIECES_MAX,
                CopyLimit::WhileWanted(is_wanted) => is_wanted(),
            };
            is_wanted && !self.is_stopping()
        }
    }

    /// What it means that a copy could not be made.
    pub(super) fn stop_of_copy(&self, error: DiskError, limit: CopyLimit<'_>) -> Stop {
        match (error.cause, limit) {
            (Cause::Unwanted, CopyLimit::Short) if !self.is_stopping() => Refusal::CopyOutOfTurn.into(),
            _ => self.stop(error, Refusal::NotFound),
        }
    }

    /// Both paths as the disk has them, if what is asked for can be at all. What is moved may be given another spelling of its name.
    fn two_places(
        &self,
        wanted: &Relocation,
        respelling: Respelling,
        request: &RequestContext,
    ) -> Outcome<(SharePath, SharePath)> {
        let (from, mut to) = (self.spelled(&wanted.from)?.into_owned(), self.spelled(&wanted.to)?.into_owned());
        let is_respelt = respelling == Respelling::Allowed && from == to && wanted.from != wanted.to;
        if is_respelt && let (Some((folder, _)), Some((_, name))) = (from.split(), wanted.to.split()) {
            to = folder.join(&name);
        }
        if from.is_root() {
            return Err(Refusal::NotAllowed(Forbidden::Root).into());
        }
        self.is_permitted(&from, Rights::LOOK, request)?;
        if self.is_permitted(&to, Rights::CREATE | Rights::OVERWRITE, request).is_err() {
            return Err(Refusal::NotPermitted.into());
        }
        // A file that is being replaced may be missing for an instant.
        let there = self.tree.read_consistent(&from, || self.status_of(&from));
        if there.map_err(|error| self.stop(error, Refusal::NotFound))?.is_none() {
            return Err(Refusal::NotFound.into());
        }
        if from.is_within(&to) || to.is_within(&from) {
            return Err(Refusal::WithinItself.into());
        }
        let site = self.site(&to, Refusal::NotAllowed(Forbidden::Root))?;
        let is_within = if is_respelt { Ok(false) } else { self.tree.is_within_by_another_path(&from, &site) };
        if is_within.map_err(|error| self.stop(error, Refusal::NotFound))? {
            return Err(Refusal::WithinItself.into());
        }
        Ok((from, to))
    }

    /// What is remembered and noted of what moved moves with it, before anybody else can ask.
    fn note_moved(
        &self,
        (from, to): (&SharePath, &SharePath),
        changed: &Changed<'_>,
        (moved, replaced): (Option<Stamp>, Option<Stamp>),
        request: &RequestContext,
    ) {
        let to = &*self.as_made(to);
        self.note_last_removed(from, moved.as_ref(), request);
        self.note_last_stored(to, None, None, request);
        if let (Some(was), Some(stamp)) = (changed.was, changed.stamp)
            && let Some(known) = self.index.recall_unsettled(&was)
        {
            let file = known.hash.map(|hash| (stamp, hash));
            self.note_last_stored(to, file, replaced.as_ref(), request);
            let date = self.date_that_came(to, &stamp, replaced.as_ref(), request.now);
            self.remember_in(to, stamp, date, &known, || changed.is_unbroken());
            self.repin(to, request, Some(&shown(&stamp, &known)));
        } else {
            self.repin(to, request, None);
        }
        self.drop_locks_in(from, request.now);
        self.drop_locks_below(to, request.now);
        let displaced = self.kept(changed).cloned();
        self.let_notes_follow(Following::Moved { from: from.clone(), to: to.clone(), displaced });
    }
}

/// Whether a member is in a copy, as the wish says, and counts those that are.
fn counted<'a>(wish: &'a CopyWish<'_>, count: &'a dyn Fn()) -> impl Fn(&SharePath, bool) -> Included + 'a {
    move |member, is_linked| {
        let is_included = (wish.is_included)(member, is_linked);
        if is_included == Included::Yes {
            count();
        }
        is_included
    }
}
