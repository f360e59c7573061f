//! The commit of two names: MOVE.
//!
//! [`Tree::claim_two`] takes both mutexes, in one order for everybody, and [`Pair::relocate`] moves what was seen at the one name to the
//! other. At no moment, and after no crash, is what moves at neither of them or in the history; two public names are never exchanged,
//! since a crash would leave them swapped.

use std::sync::Arc;

use crate::model::author::Author;
use crate::model::path::SharePath;
use crate::model::stamp::{FileId, Stamp, Timestamp};
use crate::model::version::{Act, EntryName};

use super::super::name_lock::{PathKey, WriteInProgress};
use super::super::naming;
use super::super::place::VersionFolder;
use super::Tree;
use super::claim::Claim;
use super::held::HeldWhat;
use super::seen::{Seen, SeenFile, is_broken};
use super::site::{Inside, Site};
use super::swap::{Changed, HeldLease, OnMismatch, Swap, Why, failed, failure, unsure};
use crate::store::disk_error::{Cause, Result};
use crate::store::handle::{Dir, File};
use crate::store::lease::Lease;
use crate::store::status::{Kind, Status};

/// How many folders of the history wait to be removed if they are empty.
const UNTIDY_MAX: usize = 4096;

/// Two sites whose mutexes are held.
#[derive(Debug)]
pub struct Pair<'a> {
    tree: &'a Tree,
    source: Claim<'a>,
    target: Claim<'a>,
    is_one_name: bool,
}

/// What to do when something else was at one of two names than was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnMismatches {
    /// At the source.
    pub source: OnMismatch,
    /// At the target.
    pub target: OnMismatch,
}

/// A file or folder as a look found it.
struct Ready {
    status: Status,
    file: Option<File>,
    lease: Option<Box<dyn Lease>>,
}

/// Why what was seen cannot be moved.
enum Unready {
    Busy,
    Lost,
}

/// How an attempt to bring the source to a free name ended.
pub(super) enum Entered {
    /// It is there, and not at the source any more; these folders are still to be synced.
    Done(Vec<Dir>),
    /// The name was taken, or the source was not what was seen: all is as it was.
    Lost,
    /// Somebody waits to write into the source: all is as it was.
    Busy,
}

impl Tree {
    /// Takes the mutexes of two paths, in the order of their keys; fails if one is held for too long. `None` if one of them is the share itself, which nothing may change.
    pub fn claim_two(&self, source: &SharePath, target: &SharePath) -> Result<Option<Pair<'_>>> {
        let (Some(mut at), Some(mut to)) = (self.site(source)?, self.site(target)?) else { return Ok(None) };
        let Some((_, wanted)) = target.split() else { return Ok(None) };
        loop {
            let (one, other) = (PathKey::new(at.folder, &at.name), PathKey::new(to.folder, &to.name));
            let (source_guard, target_guard) = match one.cmp(&other) {
                // Two spellings of one name: the mutex is one, too.
                std::cmp::Ordering::Equal => (Some(self.mutexes.take(one)?), None),
                std::cmp::Ordering::Less => {
                    let first = self.mutexes.take(one)?;
                    (Some(first), Some(self.mutexes.take(other)?))
                }
                std::cmp::Ordering::Greater => {
                    let first = self.mutexes.take(other)?;
                    (Some(self.mutexes.take(one)?), Some(first))
                }
            };
            let root = self.disk.root_afresh()?;
            let now = (self.site_below(&root, source)?, self.site_below(&root, target)?);
            let (Some(at_now), Some(mut to_now)) = now else { return Ok(None) };
            if at_now.folder == at.folder && to_now.folder == to.folder {
                let is_one_name = at_now.path == to_now.path;
                if is_one_name {
                    to_now = to_now.called(&wanted);
                }
                return Ok(Some(Pair {
                    tree: self,
                    is_one_name,
                    source: Claim { tree: self, site: at_now, inside: Vec::new(), by: None, _guard: source_guard },
                    target: Claim { tree: self, site: to_now, inside: Vec::new(), by: None, _guard: target_guard },
                }));
            }
            (at, to) = (at_now, to_now);
        }
    }

    /// Syncs folders in this order, after a change that is not undone any more.
    pub(super) fn sync_all(&self, dirs: &[Dir]) -> Result<()> {
        dirs.iter().try_for_each(|dir| self.disk.sync_dir(dir)).map_err(unsure)
    }
}

impl<'a> Pair<'a> {
    /// The name that something is moved away from.
    pub fn source(&self) -> &Claim<'a> {
        &self.source
    }

    /// The name that it is moved to.
    pub fn target(&self) -> &Claim<'a> {
        &self.target
    }

    /// What is displaced from now on, at either name, is displaced by this one.
    pub fn act_for(&mut self, by: Option<Arc<Author>>) {
        self.source.act_for(by.clone());
        self.target.act_for(by);
    }

    /// As [`Claim::require_inside`], of a folder at the target.
    pub fn require_inside_target(&mut self, inside: Vec<Inside>) {
        self.target.require_inside(inside);
    }

    /// Whether both are one name, in two spellings.
    pub fn is_one_name(&self) -> bool {
        self.is_one_name
    }

    /// Whether both names lie on one mount, within which alone something can be moved.
    pub fn is_one_mount(&self) -> bool {
        self.source.site.mount == self.target.site.mount
    }

    /// Moves what was seen at the source to the target. What was seen at the target becomes a version in the target's history; versions
    /// of the source stay with the source's path.
    ///
    /// A file that moves to a free name, and a folder, is one rename. A file takes the place of another as an upload does. Where a folder
    /// is to be replaced, or replaces something, the target is taken out first and put back if the source cannot take its place.
    /// [`Cause::OtherMount`] if the two names lie on different mounts; nothing has changed then.
    pub fn relocate(
        &self,
        source: Seen,
        target: Seen,
        on_mismatches: OnMismatches,
        now: Timestamp,
    ) -> Result<Swap<'a>> {
        let source = match Ready::of(source) {
            Ok(source) => source,
            Err(unready) => return Ok(unready.into()),
        };
        if matches!(target, Seen::Nothing) {
            return self.move_to_free_name(source, on_mismatches.source, now);
        }
        if target.id() == Some(source.status.stamp.id) {
            // What cannot be told to be one file is left alone: some file systems in user space give one number to two.
            return match target {
                Seen::File(target) if are_one_file(&source.status, &target.status) => {
                    self.drop_the_source_name(source, on_mismatches.source, now)
                }
                _ => Ok(Swap::Lost),
            };
        }
        let abilities = self.disk().abilities(&self.target.site.parent)?;
        match target {
            Seen::File(target) if source.status.kind == Kind::File && abilities.exchange && abilities.no_replace => {
                self.exchange_with_link(source, target, on_mismatches, now)
            }
            target => self.take_out_move_in(source, target, on_mismatches, now),
        }
    }

    /// Nothing is there: one rename, or, if the version was named, a second name for exactly that file and then the first one taken away.
    fn move_to_free_name(&self, mut source: Ready, on_mismatch: OnMismatch, now: Timestamp) -> Result<Swap<'a>> {
        let changes = self.begin();
        let mut place = None;
        let dirs = match self.enter(&mut source, on_mismatch, (None, &mut place), now)? {
            Entered::Done(dirs) => dirs,
            Entered::Lost => return Ok(Swap::Lost),
            Entered::Busy => return Ok(Swap::Busy),
        };
        self.tree.sync_all(&dirs)?;
        Ok(Swap::Done(self.changed(source, None, changes)))
    }

    /// Tier A and B, a file over a file. A second name of the source is linked where the displaced version will be, and exchanged with the
    /// target; then the source's own name is taken away. A crash in between leaves the file at both names.
    fn exchange_with_link(
        &self,
        source: Ready,
        target: SeenFile,
        on_mismatches: OnMismatches,
        now: Timestamp,
    ) -> Result<Swap<'a>> {
        let (tree, site) = (self.tree, &self.target.site);
        let (expected, moved) = (target.status, source.status.stamp.id);
        let place = tree.history.place(&site.path, site.mount, now)?;
        let source_place = self.source_place(Some(&place), now)?;
        let entry = self
            .target
            .free_entry(&place, now, |id| EntryName::under_way(id, Act::Exchange, expected.stamp.id, Some(moved)))?;
        let private = entry.to_name();
        let changes = self.begin();
        match source.link_at(&**self.disk(), &place.dir, &private) {
            Err(error) if error.cause == Cause::NotFound => return Ok(Swap::Lost),
            // It is somebody else's file, or the file system has no links.
            Err(error) if matches!(error.cause, Cause::NotPermitted | Cause::Unsupported | Cause::TooManyLinks) => {
                drop(source_place);
                drop(place);
                return self.take_out_move_in(source, Seen::File(target), on_mismatches, now);
            }
            linked => linked?,
        }
        let released = || {
            let released = tree.release_link(&place.dir, &entry);
            released.inspect_err(|_| tree.hold(entry.clone(), &site.path, source.status.stamp, HeldWhat::Link, now))
        };
        let unchanged = source.is_unchanged(&**self.disk()).and_then(|same| {
            let there = self.disk().look(&site.parent, &site.name)?;
            Ok(same && there.is_some_and(|status| status.stamp.id == expected.stamp.id))
        });
        match unchanged {
            Ok(true) => {}
            Ok(false) => return released().map(|()| Swap::Lost),
            Err(error) => return released().and(Err(error)),
        }
        match self.disk().exchange((&place.dir, &private), (&site.parent, &site.name)) {
            Err(error) if error.cause == Cause::NotFound => return released().map(|()| Swap::Lost),
            Err(error) => return released().and(Err(error)),
            Ok(()) => {}
        }
        let mut lease = target.lease;
        let undone = |why| self.undo_exchange_with_link(&place, &entry, source.status.stamp, why, now);
        let out = match self.target.confirm_exchange(&place, &entry, &expected, &mut lease, on_mismatches.target) {
            Ok(Ok(out)) => out,
            Ok(Err(why)) => return undone(why),
            Err(error) => return undone(Why::Lost).and(Err(error)),
        };
        drop(lease);
        if let Err(error) = self.source.give_up_name(&source_place, moved, now) {
            return undone(Why::Lost).and(Err(error));
        }
        tree.adopt(&place.dir, &entry, &site.path, &out, HeldWhat::Displaced, now);
        self.source.sync(&source_place).map_err(unsure)?;
        Ok(Swap::Done(self.changed(source, Some(entry), changes)))
    }

    /// As for an upload; but what comes out is a second name of somebody's file, and is removed once it is known to be that.
    fn undo_exchange_with_link(
        &self,
        place: &VersionFolder<'_>,
        entry: &EntryName,
        moved: Stamp,
        why: Why,
        now: Timestamp,
    ) -> Result<Swap<'a>> {
        let (tree, site) = (self.tree, &self.target.site);
        let back = tree.exchange_back(site, &place.dir, &entry.to_name(), moved.id);
        let link_is_out = back
            .and_then(|back| tree.keep_what_is_held(site, &place.dir, entry, &back, moved.id, now))
            .map_err(|error| tree.leave_unsettled(entry, &site.path, now, error))?;
        if link_is_out {
            tree.hold(entry.clone(), &site.path, moved, HeldWhat::Link, now);
        }
        self.target.sync(place).map_err(failure)?;
        Ok(if why == Why::Busy { Swap::Busy } else { Swap::Lost })
    }

    /// Everything else that has a target: that is taken out, and the source brought to the name that is free then.
    fn take_out_move_in(
        &self,
        mut source: Ready,
        target: Seen,
        on_mismatches: OnMismatches,
        now: Timestamp,
    ) -> Result<Swap<'a>> {
        let at_source = self.tree.mutexes.begin_write(&self.source.site.name);
        let moved = source.status.stamp.id;
        let swap = self.target.take_out_then(target, moved, on_mismatches.target, now, &mut |place| {
            self.enter(&mut source, on_mismatches.source, (Some(place), &mut None), now)
        })?;
        let Swap::Done(mut changed) = swap else { return Ok(swap) };
        (changed.was, changed.stamp) = self.carried(&source);
        changed.lease = HeldLease(source.lease);
        changed._under_way_too = Some(at_source);
        Ok(Swap::Done(changed))
    }

    /// Both names lead to one file. If they are two, only the source's is taken away; if they are one in two spellings, it is spelt anew.
    fn drop_the_source_name(&self, mut source: Ready, on_mismatch: OnMismatch, now: Timestamp) -> Result<Swap<'a>> {
        let expected = source.status;
        let place = self.source_place(None, now)?;
        let entry = self
            .source
            .free_entry(&place, now, |id| EntryName::under_way(id, Act::TakeOut, expected.stamp.id, None))?;
        let changes = self.begin();
        let Some(out) = self.source.take_out(&place, &entry, now)? else { return Ok(Swap::Lost) };
        let undone = |why| self.source.put_back(&place, &entry, why, now);
        match self.source.reason_to_undo(&place, &entry, &out, &expected, &mut source.lease, on_mismatch) {
            Ok(None) => {}
            Ok(Some(why)) => return undone(why),
            Err(error) => return undone(Why::Lost).and(Err(error)),
        }
        let (site, private) = (&self.target.site, entry.to_name());
        let done = self.disk().look(&site.parent, &site.name).and_then(|there| match there {
            Some(there) if are_one_file(&there, &out) => self.tree.history.let_go(&place.dir, &private).map(|()| true),
            Some(_) => Ok(false),
            None => free(naming::take(&**self.disk(), (&place.dir, &private), (&site.parent, &site.name))),
        });
        match done {
            Ok(true) => {}
            Ok(false) => return undone(Why::Lost),
            Err(error) => return undone(Why::Lost).and(Err(error)),
        }
        self.tree.sync_all(&self.both_folders())?;
        place.sync(&**self.disk()).map_err(unsure)?;
        Ok(Swap::Done(self.changed(source, None, changes)))
    }

    /// Brings the source to the target's name, which should be free. On an error all is as it was.
    ///
    /// Whatever has the source's name moves if the client named no version of it, and a folder moves as it is. A named version is first given
    /// its second name, which can be of no other file, and then its first is taken away.
    ///
    /// A folder of the history that it goes by is left in `place`, to be held until it is synced: it is empty again, and a file system in user
    /// space knows no folder that was removed. If something was `taken_out`, the place of that keeps it.
    fn enter<'b>(
        &'b self,
        source: &mut Ready,
        on_mismatch: OnMismatch,
        (taken_out, place): (Option<&'b VersionFolder<'_>>, &mut Option<VersionFolder<'b>>),
        now: Timestamp,
    ) -> Result<Entered> {
        let (from, to) = (&self.source.site, &self.target.site);
        let moves_as_it_is = on_mismatch == OnMismatch::Accept || source.status.kind != Kind::File;
        // Its own name would be in the way.
        if self.is_one_name || moves_as_it_is && !self.disk().abilities(&to.parent)?.no_replace {
            let place = place.insert(self.source_place(taken_out, now)?);
            return self.enter_by_private_name(source, place, on_mismatch, now);
        }
        if moves_as_it_is {
            return match self.disk().rename_new((&from.parent, &from.name), (&to.parent, &to.name)) {
                Err(error) if matches!(error.cause, Cause::Exists | Cause::NotFound) => Ok(Entered::Lost),
                Err(error) => Err(error),
                Ok(()) => Ok(Entered::Done(self.both_folders())),
            };
        }
        let place = place.insert(self.source_place(taken_out, now)?);
        if !source.is_unchanged(&**self.disk())? {
            return Ok(Entered::Lost);
        }
        match source.link_at(&**self.disk(), &to.parent, &to.name) {
            Ok(()) => {}
            Err(error) if matches!(error.cause, Cause::Exists | Cause::NotFound) => return Ok(Entered::Lost),
            Err(error) if matches!(error.cause, Cause::Unsupported | Cause::NotPermitted | Cause::TooManyLinks) => {
                return self.enter_by_private_name(source, place, on_mismatch, now);
            }
            Err(error) => return Err(error),
        }
        let shown = taken_out.map_or(Ok(()), |place| place.sync(&**self.disk()));
        let shown = shown.and_then(|()| self.disk().sync_dir(&to.parent));
        match shown.and_then(|()| self.source.give_up_name(place, source.status.stamp.id, now)) {
            Ok(()) => Ok(Entered::Done(vec![from.parent.clone(), place.dir.clone()])),
            Err(error) => {
                let second = self.tree.history.place_beside(place, &to.path, to.mount).map_err(failure)?;
                self.target.give_up_name(&second, source.status.stamp.id, now).map_err(failure).and(Err(error))
            }
        }
    }

    /// Where a file can have one name only: by way of a name that nobody else can interfere with.
    fn enter_by_private_name(
        &self,
        source: &mut Ready,
        place: &VersionFolder<'_>,
        on_mismatch: OnMismatch,
        now: Timestamp,
    ) -> Result<Entered> {
        let (to, expected) = (&self.target.site, source.status);
        let entry =
            self.source.free_entry(place, now, |id| EntryName::under_way(id, Act::TakeOut, expected.stamp.id, None))?;
        let Some(out) = self.source.take_out(place, &entry, now)? else { return Ok(Entered::Lost) };
        let undone = |why| match self.source.put_back(place, &entry, why, now)? {
            Swap::Busy => Ok(Entered::Busy),
            _ => Ok(Entered::Lost),
        };
        match self.source.reason_to_undo(place, &entry, &out, &expected, &mut source.lease, on_mismatch) {
            Ok(None) => {}
            Ok(Some(why)) => return undone(why),
            Err(error) => return undone(Why::Lost).and(Err(error)),
        }
        match free(naming::take(&**self.disk(), (&place.dir, &entry.to_name()), (&to.parent, &to.name))) {
            Ok(true) => Ok(Entered::Done([vec![to.parent.clone(), place.dir.clone()], self.both_folders()].concat())),
            Ok(false) => undone(Why::Lost),
            Err(error) => undone(Why::Lost).and(Err(error)),
        }
    }

    fn source_place<'b>(&'b self, beside: Option<&'b VersionFolder<'_>>, now: Timestamp) -> Result<VersionFolder<'b>> {
        let (history, site) = (&self.tree.history, &self.source.site);
        let place = match beside {
            Some(beside) => history.place_beside(beside, &site.path, site.mount)?,
            None => history.place(&site.path, site.mount, now)?,
        };
        let mut untidy = self.tree.untidy.lock();
        if untidy.len() < UNTIDY_MAX {
            untidy.push(site.path.clone());
        }
        Ok(place)
    }

    fn begin(&self) -> (WriteInProgress<'a>, WriteInProgress<'a>) {
        let mutexes = &self.tree.mutexes;
        (mutexes.begin_write(&self.target.site.name), mutexes.begin_write(&self.source.site.name))
    }

    fn changed(
        &self,
        source: Ready,
        displaced: Option<EntryName>,
        changes: (WriteInProgress<'a>, WriteInProgress<'a>),
    ) -> Changed<'a> {
        let (was, stamp) = self.carried(&source);
        Changed {
            displaced: displaced.map(|entry| entry.id),
            stamp,
            was,
            lease: HeldLease(source.lease),
            _under_way: Some(changes.0),
            _under_way_too: Some(changes.1),
        }
    }

    /// The state of a file before and after, if both are states of what was seen.
    fn carried(&self, source: &Ready) -> (Option<Stamp>, Option<Stamp>) {
        let stamp = source.stamp_at(&**self.disk(), &self.target.site);
        if let Some(stamp) = &stamp {
            self.tree.touched.note(&source.status.stamp, stamp);
        }
        (stamp.map(|_| source.status.stamp), stamp)
    }

    /// Where it is now, then where it was: whatever a power cut leaves, it is at one of them.
    fn both_folders(&self) -> Vec<Dir> {
        let (from, to) = (&self.source.site, &self.target.site);
        let mut dirs = vec![to.parent.clone()];
        if from.folder != to.folder {
            dirs.push(from.parent.clone());
        }
        dirs
    }

    fn disk(&self) -> &'a std::sync::Arc<dyn super::Disk> {
        &self.tree.disk
    }
}

impl<'a> Claim<'a> {
    /// Takes what was seen out, verifies it, and lets `enter` bring something else to the name that is free then. The name is missing for an
    /// instant; whatever stops the other from taking it puts back what was taken out, and so does recovery.
    pub(super) fn take_out_then(
        &self,
        seen: Seen,
        incoming: FileId,
        on_mismatch: OnMismatch,
        now: Timestamp,
        enter: &mut dyn FnMut(&VersionFolder<'_>) -> Result<Entered>,
    ) -> Result<Swap<'a>> {
        let (tree, site) = (self.tree, &self.site);
        let (expected, mut lease) = match Ready::of(seen) {
            Ok(ready) => (ready.status, ready.lease),
            Err(unready) => return Ok(unready.into()),
        };
        let place = tree.history.place(&site.path, site.mount, now)?;
        let entry = self
            .free_entry(&place, now, |id| EntryName::under_way(id, Act::TakeOut, expected.stamp.id, Some(incoming)))?;
        let change = tree.mutexes.begin_write(&site.name);
        let Some(out) = self.take_out(&place, &entry, now)? else { return Ok(Swap::Lost) };
        let undone = |why| self.put_back(&place, &entry, why, now);
        match self.reason_to_undo(&place, &entry, &out, &expected, &mut lease, on_mismatch) {
            Ok(None) => {}
            Ok(Some(why)) => return undone(why),
            Err(error) => return undone(Why::Lost).and(Err(error)),
        }
        if lease.is_some() {
            // Asked after the sync, as ever.
            match self.sync(&place) {
                Ok(()) if is_broken(&lease) => return undone(Why::Busy),
                Ok(()) => {}
                Err(error) => return undone(Why::Lost).and(Err(error)),
            }
        }
        drop(lease);
        let dirs = match enter(&place) {
            Ok(Entered::Done(dirs)) => dirs,
            Ok(Entered::Lost) => return undone(Why::Lost),
            Ok(Entered::Busy) => return undone(Why::Busy),
            Err(error) => return undone(Why::Lost).and(Err(error)),
        };
        let shown = place.sync(&*tree.disk).and_then(|()| tree.sync_all(&dirs));
        shown.map_err(|error| tree.leave_displaced(&entry, &site.path, &out, now, error))?;
        tree.adopt(&place.dir, &entry, &site.path, &out, HeldWhat::Displaced, now);
        Ok(Swap::Done(Changed { displaced: Some(entry.id), _under_way: Some(change), ..Changed::default() }))
    }

    /// Takes this name away from a file that has another one. What has the name and is another file keeps it; a file that has come to have no
    /// other name becomes a version.
    fn give_up_name(&self, place: &VersionFolder<'_>, file: FileId, now: Timestamp) -> Result<()> {
        let entry = self.free_entry(place, now, |id| EntryName::under_way(id, Act::TakeOut, file, None))?;
        let Some(out) = self.take_out(place, &entry, now)? else { return Ok(()) };
        if out.stamp.id != file {
            return self.put_back(place, &entry, Why::Lost, now).map(drop);
        }
        if out.links < 2 {
            self.tree.adopt(&place.dir, &entry, &self.site.path, &out, HeldWhat::Kept, now);
            return Ok(());
        }
        match self.tree.history.let_go(&place.dir, &entry.to_name()) {
            Ok(()) => Ok(()),
            Err(error) => self.put_back(place, &entry, Why::Lost, now).and(Err(error)),
        }
    }
}

/// Whether what was seen at two names is one file that has both.
fn are_one_file(one: &Status, other: &Status) -> bool {
    let is_file_with_names = |status: &Status| status.kind == Kind::File && status.links >= 2;
    is_file_with_names(one) && is_file_with_names(other) && one.stamp == other.stamp && one.device == other.device
}

impl Ready {
    /// What was seen, if it can be moved; else how the attempt ends.
    fn of(seen: Seen) -> std::result::Result<Self, Unready> {
        match seen {
            Seen::File(seen) => Ok(Self { status: seen.status, file: Some(seen.file), lease: seen.lease }),
            Seen::Collection(status) => Ok(Self { status, file: None, lease: None }),
            Seen::Busy(_) => Err(Unready::Busy),
            Seen::Nothing | Seen::Link | Seen::Special => Err(Unready::Lost),
        }
    }

    fn link_at(&self, disk: &dyn super::Disk, dir: &Dir, name: &super::Name) -> Result<()> {
        match &self.file {
            Some(file) => disk.link(file, dir, name),
            None => Err(failed("link", name, "only a file can have two names")),
        }
    }

    /// Whether nobody has written into it since it was seen; who waits for the lease to be dropped has not.
    fn is_unchanged(&self, disk: &dyn super::Disk) -> Result<bool> {
        match &self.file {
            Some(file) if self.lease.is_none() => Ok(disk.status(file)?.stamp.same_content_as(&self.status.stamp)),
            _ => Ok(true),
        }
    }

    /// The state of the file at its new name, if its content is what was seen and nobody can have written since.
    fn stamp_at(&self, disk: &dyn super::Disk, site: &Site) -> Option<Stamp> {
        let there = disk.look(&site.parent, &site.name).ok()??;
        let same = self.file.is_some() && there.stamp.same_content_as(&self.status.stamp);
        (same && !is_broken(&self.lease)).then_some(there.stamp)
    }
}

impl From<Unready> for Swap<'_> {
    fn from(unready: Unready) -> Self {
        match unready {
            Unready::Busy => Self::Busy,
            Unready::Lost => Self::Lost,
        }
    }
}

/// Whether a name was free to be taken.
fn free(taken: Result<()>) -> Result<bool> {
    match taken {
        Ok(()) => Ok(true),
        Err(error) if error.cause == Cause::Exists => Ok(false),
        Err(error) => Err(error),
    }
}
