//! A name whose mutex is held: looking at it, and the changes that take one step.

use std::sync::Arc;
use std::time::Duration;

use crate::model::author::Author;
use crate::model::path::SharePath;
use crate::model::stamp::Stamp;
use crate::model::stamp::Timestamp;
use crate::model::version::{Act, EntryName, VersionId};

use super::super::history::{FoundVersion, relative};
use super::super::name_lock::{CounterSlot, PathGuard, PathKey, does_not_end};
use super::super::naming;
use super::super::place::VersionFolder;
use super::super::staging::Staged;
use super::Tree;
use super::held::HeldWhat;
use super::seen::{Seen, SeenFile, is_broken};
use super::site::{Inside, Site};
use super::swap::{Changed, HeldLease, OnMismatch, Swap, Why, failure, unsure};
use crate::store::disk_error::{Cause, Result};
use crate::store::handle::Opened;
use crate::store::lease::{Lease, Leased};
use crate::store::status::{Kind, Status};

/// How long a look waits for a program that has the file open for writing.
const PATIENCE: Duration = Duration::from_millis(250);

/// How often a reader that holds another mutex tries again, at most: for five seconds in all.
const RETRIES_MAX: u32 = 5000;

/// The pause between two tries.
const RETRY_PAUSE: Duration = Duration::from_millis(1);

/// A site whose mutex is held.
#[derive(Debug)]
pub struct Claim<'a> {
    pub(super) tree: &'a Tree,
    pub(super) site: Site,
    /// Files that have to be in the folder at this name, in these states, when it is taken out; without any nothing is asked of it.
    pub(super) inside: Vec<Inside>,
    /// For whom it is changed, where that is known.
    pub(super) by: Option<Arc<Author>>,
    /// `None` where the other name of a pair of names has the same mutex.
    pub(super) _guard: Option<PathGuard<'a>>,
}

impl<'a> Claim<'a> {
    /// Where this is.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// What is displaced from now on is displaced by this one.
    pub fn act_for(&mut self, by: Option<Arc<Author>>) {
        self.by = by;
    }

    /// A folder at this name is not taken out unless these files in it are what they were.
    pub fn require_inside(&mut self, inside: Vec<Inside>) {
        self.inside = inside;
    }

    /// Looks: opens, then asks for a lease, then takes the state. A stamp read before the lease would prove nothing.
    pub fn look(&self) -> Result<Seen> {
        let disk = &self.tree.disk;
        let opened = disk.open(&self.site.parent, &self.site.name);
        // A link at the name is never what a change means, even where links are followed for reading.
        let may_be_linked = match &opened {
            Ok(Opened::File(_, at) | Opened::Dir(at)) => !disk.has_one_path(at),
            Ok(Opened::Special) | Err(_) => true,
            Ok(Opened::Nothing | Opened::Link) => false,
        };
        let is_link = |at: Status| at.kind == Kind::Link;
        if may_be_linked && disk.look(&self.site.parent, &self.site.name)?.is_some_and(is_link) {
            return Ok(Seen::Link);
        }
        let (file, status) = match opened? {
            Opened::Nothing => return Ok(Seen::Nothing),
            Opened::Dir(status) => return Ok(Seen::Collection(status)),
            Opened::Link => return Ok(Seen::Link),
            Opened::Special => return Ok(Seen::Special),
            Opened::File(file, status) => (file, status),
        };
        let lease = match disk.lease(&file, PATIENCE)? {
            Leased::Busy => return Ok(Seen::Busy(status)),
            Leased::Held(lease) => Some(lease),
            Leased::Unavailable => None,
        };
        let status = disk.status(&file)?;
        Ok(Seen::File(SeenFile { file, status, lease }))
    }

    /// Gives an upload this name, if it is free.
    pub fn create(&self, upload: &mut Staged) -> Result<Swap<'a>> {
        let tree = self.tree;
        let change = tree.mutexes.begin_write(&self.site.name);
        let lease = upload.lease_once();
        match upload.name_publicly(&self.site.parent, &self.site.name) {
            Err(error) if error.cause == Cause::Exists => return Ok(Swap::Lost),
            named => named?,
        }
        tree.disk.sync_dir(&self.site.parent).map_err(unsure)?;
        Ok(Swap::Done(Changed {
            displaced: None,
            stamp: self.stamp_if_unwritten(upload, &lease),
            lease: HeldLease(lease),
            _under_way: Some(change),
            ..Changed::default()
        }))
    }

    /// Takes the file or folder that was seen out of the tree.
    pub fn remove(&self, seen: Seen, on_mismatch: OnMismatch, now: Timestamp) -> Result<Swap<'a>> {
        let (status, mut lease) = match seen {
            Seen::File(seen) => (seen.status, seen.lease),
            Seen::Collection(status) => (status, None),
            Seen::Busy(_) => return Ok(Swap::Busy),
            Seen::Nothing | Seen::Link | Seen::Special => return Ok(Swap::Lost),
        };
        let place = self.tree.history.place(&self.site.path, self.site.mount, now)?;
        let entry = self.free_entry(&place, now, |id| EntryName::under_way(id, Act::Remove, status.stamp.id, None))?;
        let change = self.tree.mutexes.begin_write(&self.site.name);
        let Some(out) = self.take_out(&place, &entry, now)? else { return Ok(Swap::Lost) };
        let undone = |why| self.put_back(&place, &entry, why, now);
        let verdict = self.reason_to_undo(&place, &entry, &out, &status, &mut lease, on_mismatch);
        match verdict.map(|why| why.or_else(|| is_broken(&lease).then_some(Why::Busy))) {
            Ok(None) => {}
            Ok(Some(why)) => return undone(why),
            Err(error) => return undone(Why::Lost).and(Err(error)),
        }
        if let Err(error) = self.sync(&place) {
            return undone(Why::Lost).and(Err(error));
        }
        // The sync takes its time, and who came to write meanwhile keeps his file.
        if is_broken(&lease) {
            return undone(Why::Busy);
        }
        drop(lease);
        self.tree.adopt(&place.dir, &entry, &self.site.path, &out, HeldWhat::Displaced, now);
        Ok(Swap::Done(Changed {
            displaced: Some(entry.id),
            stamp: None,
            _under_way: Some(change),
            ..Changed::default()
        }))
    }

    /// Makes a folder of this name, if it is free.
    pub fn make_collection(&self) -> Result<Swap<'a>> {
        let disk = &self.tree.disk;
        match disk.make_dir(&self.site.parent, &self.site.name, false) {
            Err(error) if error.cause == Cause::Exists => return Ok(Swap::Lost),
            made => made?,
        }
        disk.sync_dir(&self.site.parent).map_err(unsure)?;
        Ok(Swap::Done(Changed::default()))
    }

    /// Brings a folder back from the history, if the name is free.
    pub fn bring_back(&self, version: &FoundVersion) -> Result<Swap<'a>> {
        let (dir, from) = (version.dir(&*self.tree.disk)?, version.version.entry.clone());
        // It ends when what was noted on the version has followed: whoever looks for the version meanwhile waits.
        let change = self.tree.mutexes.begin_write(&self.site.name);
        match naming::take(&*self.tree.disk, (&dir, &from), (&self.site.parent, &self.site.name)) {
            Err(error) if error.cause == Cause::Exists => return Ok(Swap::Lost),
            renamed => renamed?,
        }
        self.tree.sync_both(&dir, &self.site).map_err(unsure)?;
        Ok(Swap::Done(Changed { _under_way: Some(change), ..Changed::default() }))
    }

    /// Renames whatever is at the name to its entry in the history; `None` if there is nothing. What cannot be looked at afterwards is
    /// put back.
    pub(super) fn take_out(
        &self,
        place: &VersionFolder<'_>,
        entry: &EntryName,
        now: Timestamp,
    ) -> Result<Option<Status>> {
        let disk = &self.tree.disk;
        let private = entry.to_name();
        let from = (&self.site.parent, &self.site.name);
        let taken = if disk.abilities(&self.site.parent)?.no_replace {
            disk.rename_new(from, (&place.dir, &private))
        } else {
            disk.rename_over(from, (&place.dir, &private))
        };
        match taken {
            Err(error) if error.cause == Cause::NotFound => Ok(None),
            Err(error) => Err(error),
            Ok(()) => match self.tree.must_look(&place.dir, &private) {
                Ok(out) => Ok(Some(out)),
                Err(error) => self.put_back(place, entry, Why::Lost, now).and(Err(error)),
            },
        }
    }

    /// Undoes [`Claim::take_out`], unless somebody has saved a newer file meanwhile: then what was taken out stays in the history. What cannot be
    /// put back now is put back later.
    pub(super) fn put_back(
        &self,
        place: &VersionFolder<'_>,
        entry: &EntryName,
        why: Why,
        now: Timestamp,
    ) -> Result<Swap<'a>> {
        let (tree, path, private) = (self.tree, &self.site.path, entry.to_name());
        let put = match naming::take(&*tree.disk, (&place.dir, &private), (&self.site.parent, &self.site.name)) {
            Err(error) if error.cause == Cause::Exists => tree.must_look(&place.dir, &private).map(|status| {
                tree.adopt(&place.dir, entry, path, &status, HeldWhat::Kept, now);
            }),
            renamed => renamed,
        };
        put.map_err(|error| tree.leave_unsettled(entry, path, now, error))?;
        self.sync(place).map_err(failure)?;
        Ok(if why == Why::Busy { Swap::Busy } else { Swap::Lost })
    }

    /// Why the swap is to be undone now that `out` has come out; `None` if it stands. It does if that is what was `expected`, which is then noted
    /// as touched by us, or if any file is accepted and nobody has this one open for writing. A lease on it then takes the place of `lease`.
    pub(super) fn reason_to_undo(
        &self,
        place: &VersionFolder<'_>,
        entry: &EntryName,
        out: &Status,
        expected: &Status,
        lease: &mut Option<Box<dyn Lease>>,
        on_mismatch: OnMismatch,
    ) -> Result<Option<Why>> {
        let attributes = |status: &Status| (status.kind, status.mode, status.uid, status.gid);
        let same_content = match expected.kind {
            Kind::Dir => out.stamp.id == expected.stamp.id && self.holds_what_it_should(place, entry)?,
            _ => out.stamp.same_content_as(&expected.stamp),
        };
        if same_content && attributes(out) == attributes(expected) {
            self.tree.touched.note(&expected.stamp, &out.stamp);
            return Ok(None);
        }
        if on_mismatch == OnMismatch::Undo || out.kind != Kind::File || expected.kind != Kind::File {
            return Ok(Some(Why::Lost));
        }
        let disk = &self.tree.disk;
        let Opened::File(file, _) = disk.open(&place.dir, &entry.to_name())? else { return Ok(Some(Why::Lost)) };
        *lease = match disk.lease(&file, Duration::ZERO)? {
            // It is not the file that was seen; the next look waits for who writes it.
            Leased::Busy => return Ok(Some(Why::Lost)),
            Leased::Held(other) => Some(other),
            Leased::Unavailable => None,
        };
        Ok(None)
    }

    /// Whether the files that were seen in a folder which was taken out are still in it as they were.
    pub(super) fn holds_what_it_should(&self, place: &VersionFolder<'_>, entry: &EntryName) -> Result<bool> {
        if self.inside.is_empty() {
            return Ok(true);
        }
        let disk = &self.tree.disk;
        let folder = disk.open_dir(&place.dir, entry.to_name().as_bytes())?;
        for Inside { path, stamp } in &self.inside {
            let there = disk.look_path(&folder, relative(path, &self.site.path))?;
            if !there.is_some_and(|there| there.kind == Kind::File && there.stamp.same_content_as(stamp)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) fn sync(&self, place: &VersionFolder<'_>) -> Result<()> {
        let disk = &*self.tree.disk;
        place.sync(disk)?;
        disk.sync_dir(&self.site.parent)
    }

    /// Finds a name for an entry that is free in `place`, with its tail and without; nothing is made. An identifier has microseconds, and where
    /// it is taken the next microsecond is tried.
    pub(super) fn free_entry(
        &self,
        place: &VersionFolder<'_>,
        now: Timestamp,
        entry: impl Fn(VersionId) -> EntryName,
    ) -> Result<EntryName> {
        let by = self.by.clone().filter(|_| self.tree.history.keeps());
        let mut at = self.tree.history.clock().displaced_at(now, by.is_some());
        loop {
            let candidate = entry(VersionId::at(at)).displaced_by(by.clone());
            let settled = EntryName::settled(candidate.id.clone());
            let taken = |entry: &EntryName| Ok(self.tree.disk.look(&place.dir, &entry.to_name())?.is_some());
            if !taken(&settled)? && (candidate == settled || !taken(&candidate)?) {
                return Ok(candidate);
            }
            at = at.plus(Duration::from_micros(1));
        }
    }

    /// The state of the upload under its name, if it is the one that was sealed and nobody can have written since.
    pub(super) fn stamp_if_unwritten(&self, upload: &Staged, lease: &Option<Box<dyn Lease>>) -> Option<Stamp> {
        let status = self.tree.disk.status(upload.file()).ok()?;
        let unbroken = match lease {
            Some(lease) => lease.is_unbroken(),
            None => !self.tree.disk.abilities(&self.site.parent).ok()?.lease,
        };
        (unbroken && status.stamp.same_content_as(upload.sealed())).then_some(status.stamp)
    }
}

impl Tree {
    /// Takes the mutex of a path; fails if that is held for too long. `None` for the share itself, which nothing may change.
    pub fn claim(&self, path: &SharePath) -> Result<Option<Claim<'_>>> {
        let Some(mut site) = self.site(path)? else { return Ok(None) };
        loop {
            let guard = self.mutexes.take(PathKey::new(site.folder, &site.name))?;
            let Some(now) = self.site_below(&self.disk.root_afresh()?, path)? else { return Ok(None) };
            if now.folder == site.folder {
                return Ok(Some(Claim { tree: self, site: now, inside: Vec::new(), by: None, _guard: Some(guard) }));
            }
            site = now;
        }
    }

    /// As [`Tree::claim`], of a site that was found before. Its folder is opened again only where its path may lead to another one by now.
    pub fn claim_site(&self, site: &Site) -> Result<Option<Claim<'_>>> {
        let guard = self.mutexes.take(PathKey::new(site.folder, &site.name))?;
        if self.leads_there_still(site)? {
            return Ok(Some(Claim {
                tree: self,
                site: site.clone(),
                inside: Vec::new(),
                by: None,
                _guard: Some(guard),
            }));
        }
        drop(guard);
        self.claim(&site.path)
    }

    /// Whether the path of a site certainly still leads to the folder that it was resolved to; false where that cannot be told. While the folder
    /// is held open its inode number is not given to another, but numbers are trusted only where the file system keeps a birth time, too
    /// (`generation`). A path that is not ASCII may have several spellings, so it is resolved again.
    fn leads_there_still(&self, site: &Site) -> Result<bool> {
        let root = self.disk.root_afresh()?;
        let Some((parent, _)) = site.path.split().filter(|_| site.path.as_bytes().is_ascii()) else { return Ok(false) };
        let Some(now) = self.disk.look_path(&root, parent.as_bytes())? else { return Ok(false) };
        let is_it = now.kind == Kind::Dir && now.stamp.id == site.folder && now.mount == site.mount;
        Ok(is_it && site.folder.generation != 0 && self.disk.has_one_path(&now))
    }

    /// Runs `read` while no change of the path is under way, so that no upload is shown that may still be undone. If one comes between, what was
    /// read is dropped, and `read` runs again under the mutex.
    pub fn read_consistent<T>(&self, path: &SharePath, mut read: impl FnMut() -> Result<T>) -> Result<T> {
        if let Some(got) = self.try_read_consistent(self.slot(path), &mut read) {
            return got;
        }
        let _claim = self.claim(path)?;
        read()
    }

    /// As [`Tree::read_consistent`], but gives up instead of waiting.
    pub fn try_read_consistent<T>(
        &self,
        slot: Option<CounterSlot>,
        read: impl FnOnce() -> Result<T>,
    ) -> Option<Result<T>> {
        let Some(slot) = slot else { return Some(read()) };
        let before = self.mutexes.sequence(slot)?;
        let got = read();
        self.mutexes.is_unchanged(slot, before).then_some(got)
    }

    /// As [`Tree::read_consistent`], for whoever holds a mutex already and must not wait for another.
    pub fn read_consistent_without_lock<T>(&self, path: &SharePath, mut read: impl FnMut() -> Result<T>) -> Result<T> {
        for _ in 0..RETRIES_MAX {
            if let Some(got) = self.try_read_consistent(self.slot(path), &mut read) {
                return got;
            }
            std::thread::sleep(RETRY_PAUSE);
        }
        Err(does_not_end(path.as_bytes()))
    }

    /// The counter of a path: that of its last name, shared with every path that ends in it and with some others. `None` for the share itself,
    /// which nothing changes.
    pub fn slot(&self, path: &SharePath) -> Option<CounterSlot> {
        path.split().map(|(_, name)| self.mutexes.slot(&name))
    }
}
