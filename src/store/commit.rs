//! The commit: the compare-and-swap of one name, and the only place where a name that a client can see is changed.
//!
//! [`Tree::claim`] takes the mutex of a name; [`Claim::look`] says what is there, with a lease on it; and one of the changes swaps
//! exactly that for something else, or says that it lost. What a change takes out of the tree becomes an entry of the history. It
//! decides nothing: whether a change is wanted is for the share to say, between the look and the swap.

mod copy;
mod relocate;

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::model::path::{NAME_BYTES_MAX, Name, SharePath};
use crate::model::stamp::{FileId, Stamp, Timestamp};
use crate::model::version::{Act, Ending, EntryName, VersionId, conflict_name};

use super::disk::{Cause, Dir, Disk, DiskError, File, Kind, Lease, Leased, Opened, Result, Status};
use super::history::{self, Found, History, Version};
use super::naming;
use super::notice::Notice;
use super::path_mutex::{PathGuard, PathKey, PathMutexes, Slot, UnderWay, does_not_end};
use super::place::{Place, Running};
use super::spelling::spelled;
use super::staging::{Staged, Staging};
use super::touched::Touched;
use super::trees::each_file;

pub use super::spelling::LastLink;
pub use copy::{Copying, FileCopy, FolderCopy, Members, StagedCopy};
pub use relocate::{Pair, Surprises};

/// How long a look waits for a program that has the file open for writing.
const PATIENCE: Duration = Duration::from_millis(250);

/// How often somebody who holds a mutex looks for a moment in which another name is not being changed, and how long between two looks.
const TRIES_BESIDE_MAX: u32 = 5000;
const PAUSE_BESIDE: Duration = Duration::from_millis(1);

/// How often an exchange is undone before what is held is put beside the name.
const UNDO_MAX: usize = 4;

/// How long after it was displaced a file is looked at again.
const SECOND_LOOK: Duration = Duration::from_secs(10);

/// How far ahead of the clock noclobber itself sets a modification time, so that a later one means that somebody wrote.
const MTIME_AHEAD: Duration = Duration::from_secs(2);

/// Two changes that lie no further apart may have one date: the clock of most file systems ticks.
const CLOCK_TICK: Duration = Duration::from_millis(10);

/// From this grain on a disk's clock cannot tell what was written from what was renamed.
const GRAIN_OF_WHOLE_SECONDS: Duration = Duration::from_secs(1);

/// What a person hears of late words that a start has found.
const WRITTEN_LATE: &str = "what a program wrote into a displaced file is put beside it";

/// How many conflict copies of one name may be made in one second.
const COPIES_MAX: u32 = 1000;

/// Where names are shorter than usual, those of conflict copies are cut down to this, in bytes.
const COPY_NAME_BYTES_MIN: usize = 40;

/// The names that clients see, and what is needed to change them.
#[derive(Debug)]
pub struct Tree {
    disk: Arc<dyn Disk>,
    history: History,
    mutexes: PathMutexes,
    touched: Arc<Touched>,
    held: Mutex<Vec<Held>>,
    notices: Mutex<Vec<Notice>>,
    /// Paths whose folder in the history may be empty.
    untidy: Mutex<Vec<SharePath>>,
}

/// Where a name is: its folder, resolved once, and what it is called in there.
#[derive(Clone, Debug)]
pub struct Site {
    /// The path it was resolved from.
    pub path: SharePath,
    /// The folder.
    pub parent: Dir,
    /// Which folder that is.
    pub folder: FileId,
    /// The mount it lies on.
    pub mount: u64,
    /// The name in it.
    pub name: Name,
}

impl Site {
    /// The same place, with the name in another spelling.
    fn called(self, name: &Name) -> Self {
        let folder = self.path.split().map_or_else(SharePath::root, |(folder, _)| folder);
        Self { path: folder.join(name), name: name.clone(), ..self }
    }
}

/// A file in a folder that was seen: the folder goes only with this state of it.
#[derive(Clone, Debug)]
pub struct Inside {
    /// Its path.
    pub path: SharePath,
    /// The state.
    pub stamp: Stamp,
}

/// A site whose mutex is held.
#[derive(Debug)]
pub struct Claim<'a> {
    tree: &'a Tree,
    site: Site,
    /// What is to be in a folder that is taken out.
    inside: Vec<Inside>,
    /// `None` where the other name of a [`Pair`] has the same mutex.
    _guard: Option<PathGuard<'a>>,
}

/// What a look found at a name.
#[derive(Debug)]
pub enum Seen {
    /// Nothing.
    Nothing,
    /// A folder.
    Collection(Status),
    /// A regular file.
    File(SeenFile),
    /// A regular file that a program has open for writing, and still had when patience ran out.
    Busy(Status),
    /// A link that is not followed.
    Link,
    /// A pipe, a socket or a device.
    Special,
}

/// A regular file as a look found it: the state after the lease was had.
pub struct SeenFile {
    /// The file, open for reading.
    pub file: File,
    /// Its state.
    pub status: Status,
    lease: Option<Box<dyn Lease>>,
}

/// What to do when something else came out of the tree than was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surprise {
    /// Undo: the client named the version.
    Undo,
    /// Keep it in the history like what was expected, if nobody is writing it: the client named none.
    Accept,
}

/// How a change ended.
#[derive(Debug)]
pub enum Swap<'a> {
    /// It is done, and on the disk.
    Done(Changed<'a>),
    /// Something else was there: look again.
    Lost,
    /// A program waits to write into what would be displaced. Everything is as it was.
    Busy,
    /// A program got hold of the upload while it was being undone, or the name changed too fast: give up. What is at the name is the
    /// programs' own.
    Spoilt,
}

/// What a change did. Readers of the name wait until this is dropped, so that what is to be remembered of the new file can be before anybody
/// asks.
#[derive(Debug, Default)]
pub struct Changed<'a> {
    /// The version that what was displaced has become.
    pub displaced: Option<VersionId>,
    /// The state of the new file, if nobody can have written into it since.
    pub stamp: Option<Stamp>,
    /// The state in which a file that was moved was seen, if `stamp` is the same content: what was remembered for the one holds for the
    /// other.
    pub was: Option<Stamp>,
    /// Held on the new file since before anybody could see it, or on the one that was moved.
    calm: Calm,
    _under_way: Option<UnderWay<'a>>,
    _under_way_too: Option<UnderWay<'a>>,
}

/// A lease that is held until what is to be remembered of a file is.
#[derive(Default)]
struct Calm(Option<Box<dyn Lease>>);

impl Changed<'_> {
    /// Whether nobody has come to write the new file by now, as far as can be told.
    pub fn is_calm(&self) -> bool {
        !is_broken(&self.calm.0)
    }
}

impl std::fmt::Debug for Calm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Calm").field(&self.0.is_some()).finish()
    }
}

/// A displaced file that is looked at once more, later.
#[derive(Debug)]
struct Held {
    entry: EntryName,
    path: SharePath,
    /// Its state then, where that is known.
    first_sight: Option<Stamp>,
    what: HeldWhat,
    due: Timestamp,
    /// Whether a person was told that it cannot be looked at.
    is_told: bool,
    _running: Running,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HeldWhat {
    /// Somebody's version that a change displaced.
    Displaced,
    /// Somebody's version that a change which failed had in hand when its name was taken again: nobody asked for it to go.
    Kept,
    /// Our own upload, visible for an instant and then refused.
    Upload,
    /// One name more of a file that was to be moved, visible for an instant and then taken back.
    Link,
    /// What an interrupted run without a history had displaced: it goes, whether there is a history now or not.
    Left,
    /// Somebody's version in an area that keeps nothing, while the folder of its name is gone: it is put beside the name once that is back.
    Stranded,
    /// Whatever an error or a crash has left under its tail: step R is to be tried again.
    Unsettled(Verdict),
}

/// What step R is to make of an entry that holds what its commit expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The swap may have been right: the tail tells.
    Unknown,
    /// It was to be undone.
    Undone,
}

/// How a second look ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    /// Somebody has it open for writing: it is looked at again.
    Busy,
    /// It is a version of the history.
    Settled,
    /// The entry is there no more.
    Gone,
}

/// What became of a displaced file or folder since it was first seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    /// Somebody has it open for writing.
    Busy,
    /// Somebody has written into it.
    Written,
    /// Nothing; and whether that is certain, by a lease.
    Quiet { leased: bool },
}

/// Why a swap is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Lost,
    Busy,
}

/// What stands at the private name after an exchange was undone.
#[derive(Debug)]
enum Back {
    /// What had been put in last, as it should.
    Ours(Status),
    /// The same as before: the public name had been removed.
    NameGone,
    /// The newest of all: the bound was reached.
    Newest,
}

impl Tree {
    /// The tree of a share on this disk.
    pub fn new(disk: Arc<dyn Disk>, history: History) -> Self {
        Self {
            disk,
            history,
            mutexes: PathMutexes::default(),
            touched: Arc::default(),
            held: Mutex::default(),
            notices: Mutex::default(),
            untidy: Mutex::default(),
        }
    }

    /// The disk.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// The history.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// What was done here to files besides writing them.
    pub fn touched(&self) -> &Arc<Touched> {
        &self.touched
    }

    /// The counters by which a listing notices changes under way.
    pub fn mutexes(&self) -> &PathMutexes {
        &self.mutexes
    }

    /// Finds the folder of a path. `None` for the share itself, which is in no folder.
    pub fn site(&self, path: &SharePath) -> Result<Option<Site>> {
        self.site_below(&self.disk.root()?, path)
    }

    /// The path that the disk itself has for what a path leads to: by it alone a file is known. [`Cause::Reserved`] if that is noclobber's own.
    pub fn spelled<'p>(&self, path: &'p SharePath, last: LastLink) -> Result<Cow<'p, SharePath>> {
        self.spelled_below(&self.disk.root()?, path, last)
    }

    fn spelled_below<'p>(&self, root: &Dir, path: &'p SharePath, last: LastLink) -> Result<Cow<'p, SharePath>> {
        spelled(&*self.disk, root, path, last, || self.history.own_folder_ids())
    }

    fn site_below(&self, root: &Dir, path: &SharePath) -> Result<Option<Site>> {
        let Some((parent_path, name)) = path.split() else { return Ok(None) };
        if path.as_bytes().is_ascii() {
            let parent = self.disk.open_dir(root, parent_path.as_bytes());
            let site = parent.and_then(|parent| self.site_in(parent, path, name));
            match site {
                Ok((site, true)) => return Ok(Some(site)),
                Err(error) if error.cause != Cause::NotFound => return Err(error),
                _ => {}
            }
        }
        let path = self.spelled_below(root, path, LastLink::Itself)?;
        let Some((parent_path, name)) = path.split() else { return Ok(None) };
        let parent = self.disk.open_dir(root, parent_path.as_bytes())?;
        Ok(Some(self.site_in(parent, &path, name)?.0))
    }

    /// The name in its folder, and whether no other path can lead there.
    fn site_in(&self, parent: Dir, path: &SharePath, name: Name) -> Result<(Site, bool)> {
        let status = self.disk.dir_status(&parent)?;
        let site = Site { path: path.clone(), parent, folder: status.stamp.id, mount: status.mount, name };
        Ok((site, self.disk.has_one_path(&status)))
    }

    /// Whether other file systems are mounted in the folder of this name.
    pub fn holds_mounts(&self, site: &Site) -> Result<bool> {
        self.disk.has_mounts_below(&site.parent, &site.name)
    }

    /// Takes the mutex of a path; fails if that is held for too long. `None` for the share itself, which nothing may change.
    pub fn claim(&self, path: &SharePath) -> Result<Option<Claim<'_>>> {
        let Some(mut site) = self.site(path)? else { return Ok(None) };
        loop {
            let guard = self.mutexes.take(PathKey::new(site.folder, &site.name))?;
            let Some(now) = self.site_below(&self.disk.root_afresh()?, path)? else { return Ok(None) };
            if now.folder == site.folder {
                return Ok(Some(Claim { tree: self, site: now, inside: Vec::new(), _guard: Some(guard) }));
            }
            site = now;
        }
    }

    /// Reads something of a path while no change of it is under way, so that no upload is shown that may still be undone.
    pub fn steadily<T>(&self, path: &SharePath, mut read: impl FnMut() -> Result<T>) -> Result<T> {
        if let Some(got) = self.steadily_now(self.slot(path), &mut read) {
            return got;
        }
        let _claim = self.claim(path)?;
        read()
    }

    /// As [`Tree::steadily`], but gives up instead of waiting.
    pub fn steadily_now<T>(&self, slot: Option<Slot>, read: impl FnOnce() -> Result<T>) -> Option<Result<T>> {
        let Some(slot) = slot else { return Some(read()) };
        let before = self.mutexes.calm(slot)?;
        let got = read();
        self.mutexes.still_calm(slot, before).then_some(got)
    }

    /// As [`Tree::steadily`], for whoever holds a mutex already and must not wait for another.
    pub fn steadily_beside<T>(&self, path: &SharePath, mut read: impl FnMut() -> Result<T>) -> Result<T> {
        for _ in 0..TRIES_BESIDE_MAX {
            if let Some(got) = self.steadily_now(self.slot(path), &mut read) {
                return got;
            }
            std::thread::sleep(PAUSE_BESIDE);
        }
        Err(does_not_end(path.as_bytes()))
    }

    /// The counter of a path; `None` for the share itself, which nothing changes.
    pub fn slot(&self, path: &SharePath) -> Option<Slot> {
        path.split().map(|(_, name)| self.mutexes.slot(&name))
    }

    /// What a person should hear of, since this was last asked.
    pub fn notices(&self) -> Vec<Notice> {
        let mut notices = std::mem::take(&mut *lock(&self.notices));
        notices.extend(self.history.notices());
        notices
    }

    /// How many displaced files are still to be looked at again.
    pub fn held(&self) -> usize {
        lock(&self.held).len()
    }

    /// Looks again at what was displaced long enough ago: what a program wrote into it since is put beside the name, for as long as
    /// somebody has it open it is kept in sight, and otherwise it is settled.
    pub fn second_look(&self, now: Timestamp) {
        let due: Vec<_> = {
            let mut held = lock(&self.held);
            // What is due later than anything that is held now would be was held before the clock was set back.
            let is_due = |held: &Held| held.due <= now || held.due > now.plus(SECOND_LOOK * 2);
            let (due, later) = std::mem::take(&mut *held).into_iter().partition(is_due);
            *held = later;
            due
        };
        let mut untidy = std::mem::take(&mut *lock(&self.untidy));
        for held in due {
            match self.look_again(&held, now) {
                Ok(Sight::Settled) => {}
                Ok(Sight::Gone) => untidy.push(held.path),
                Ok(Sight::Busy) => lock(&self.held).push(Held { due: now.plus(SECOND_LOOK), ..held }),
                Err(error) => {
                    if !held.is_told {
                        self.notice(Notice::Postponed { path: held.path.clone(), why: error.to_string() });
                    }
                    lock(&self.held).push(Held { due: now.plus(SECOND_LOOK), is_told: true, ..held });
                }
            }
        }
        untidy.sort_unstable();
        untidy.dedup();
        self.history.remove_empty_folders(&untidy);
    }

    /// Settles what an earlier process left when it was killed in the middle of commits, or ended while displaced files were still to be looked
    /// at.
    pub fn recover(&self, now: Timestamp) -> Result<()> {
        if !self.history.was_left_running()? {
            return Ok(());
        }
        for found in self.history.left_behind()? {
            let path = found.path.clone();
            match self.settle(&found, Verdict::Unknown, now) {
                Ok(how) => self.tell_recovered(path, how),
                Err(error) => {
                    self.notice(Notice::Postponed { path: path.clone(), why: error.to_string() });
                    let Version { name, status, .. } = found.version;
                    self.hold(name, &path, status.stamp, HeldWhat::Unsettled(Verdict::Unknown), now);
                }
            }
        }
        Ok(())
    }

    /// Ends in good order: if no commit is under way and nothing is left to be looked at, the next start has nothing to recover.
    pub fn close(&self) -> Result<()> {
        self.history.ends_running()
    }

    fn look_again(&self, held: &Held, now: Timestamp) -> Result<Sight> {
        if let HeldWhat::Unsettled(verdict) = held.what {
            return self.settle_again(held, verdict, now);
        }
        let name = held.entry.to_name();
        // Thousands may be held at once, so none keeps its folder open.
        let Some(found) = self.history.find_entry(&held.path, &held.entry)? else { return Ok(Sight::Gone) };
        let dir = &found.dir(&*self.disk)?;
        let mut opened = None;
        let (since, lease) = match self.disk.open(dir, &name)? {
            Opened::File(..) if held.what == HeldWhat::Link => {
                return self.release_link(dir, &held.entry).map(|()| Sight::Gone);
            }
            Opened::File(file, _) => self.since_first_sight(held, opened.insert(file))?,
            // In the history nobody looks into it: it has only kept its tail.
            Opened::Dir(_) if !found.is_in_swap() => (Since::Quiet { leased: false }, None),
            Opened::Dir(_) => (self.since_taken_out(&self.disk.open_dir(dir, name.as_bytes())?, held)?, None),
            _ => return Ok(Sight::Gone),
        };
        let sight = match (since, held.what) {
            (Since::Busy, _) => Sight::Busy,
            (Since::Quiet { leased: false }, HeldWhat::Upload) => {
                self.rename_entry(dir, &held.entry, Ending::Upload)?;
                Sight::Settled
            }
            (Since::Quiet { .. }, HeldWhat::Displaced | HeldWhat::Kept | HeldWhat::Link) if !found.is_in_swap() => {
                if held.entry.ending != Ending::Settled {
                    self.rename_entry(dir, &held.entry, Ending::Settled)?;
                }
                Sight::Settled
            }
            (Since::Written, _) | (_, HeldWhat::Kept | HeldWhat::Stranded) => {
                if self.put_beside(dir, &name, &held.path, now)? { Sight::Gone } else { self.strand(&found, now)? }
            }
            _ => {
                self.let_go_unseen(dir, &name, opened.as_ref())?;
                Sight::Gone
            }
        };
        drop(lease);
        Ok(sight)
    }

    /// Lets a file go of which somebody may still be reading.
    fn let_go_unseen(&self, dir: &Dir, name: &Name, file: Option<&File>) -> Result<()> {
        let state = |file: &File| self.disk.status(file).map(|status| status.stamp);
        let before = file.map(state).transpose()?;
        self.history.let_go(dir, name)?;
        if let (Some(before), Some(file)) = (before, file) {
            self.touched.note(&before, &state(file)?);
        }
        Ok(())
    }

    fn since_first_sight(&self, held: &Held, file: &File) -> Result<(Since, Option<Box<dyn Lease>>)> {
        let lease = match self.disk.lease(file, Duration::ZERO)? {
            Leased::Busy => return Ok((Since::Busy, None)),
            Leased::Held(lease) => Some(lease),
            Leased::Unavailable => None,
        };
        let now = self.disk.status(file)?.stamp;
        let same = held.first_sight.is_some_and(|first_sight| now.same_content_as(&first_sight));
        Ok((if same { Since::Quiet { leased: lease.is_some() } } else { Since::Written }, lease))
    }

    /// As [`Tree::since_first_sight`], for all that is in a folder. It is asked only of folders that are to go.
    fn since_taken_out(&self, folder: &Dir, held: &Held) -> Result<Since> {
        let taken_out = held.entry.id.time().plus(MTIME_AHEAD);
        let mut since = Since::Quiet { leased: false };
        each_file(&*self.disk, folder.clone(), &mut |dir, entry| {
            if entry.status.kind != Kind::File || since == Since::Busy {
                return Ok(());
            }
            if entry.status.stamp.mtime > taken_out {
                since = Since::Written;
            } else if self.history.is_busy(dir, &entry.name)? {
                since = Since::Busy;
            }
            Ok(())
        })?;
        Ok(since)
    }

    fn tell_recovered(&self, path: SharePath, how: Option<&'static str>) {
        how.into_iter().for_each(|how| self.notice(Notice::Recovered { path: path.clone(), how }));
    }

    /// Step R once more, for what it could not do before. No change of the name is under way meanwhile.
    fn settle_again(&self, held: &Held, verdict: Verdict, now: Timestamp) -> Result<Sight> {
        let Some(found) = self.history.find_entry(&held.path, &held.entry)? else { return Ok(Sight::Gone) };
        let claim = match self.claim(&held.path) {
            Err(error) if leads_nowhere(&error) => None,
            claimed => claimed?,
        };
        let _change = claim.as_ref().map(|claim| self.mutexes.begin_change(&claim.site.name));
        let how = self.settle(&found, verdict, now)?;
        self.tell_recovered(held.path.clone(), how);
        Ok(Sight::Gone)
    }

    /// Step R of the protocol, for one entry. Says what a person should hear.
    fn settle(&self, found: &Found, verdict: Verdict, now: Timestamp) -> Result<Option<&'static str>> {
        if found.version.name.ending == Ending::Settled && !found.is_in_swap() {
            return self.look_at_version(found, now);
        }
        self.settle_entry(found, verdict, now).map(Some)
    }

    fn settle_entry(&self, found: &Found, verdict: Verdict, now: Timestamp) -> Result<&'static str> {
        let dir = found.dir(&*self.disk)?;
        let Ending::Tail(tail) = &found.version.name.ending else { return self.let_go_later(found, &dir, now) };
        let entry = &found.version.name;
        let private = found.version.entry.clone();
        let digest = found.version.status.stamp.id.digest();
        if *digest == *tail.upload {
            self.release_link(&dir, entry)?;
            return Ok("an upload that was not answered is kept in the history");
        }
        let site = match self.site(&found.path) {
            Ok(site) => site,
            Err(error) if leads_nowhere(&error) => None,
            Err(error) => return Err(error),
        };
        let at_name = match &site {
            Some(site) => self.disk.look(&site.parent, &site.name)?,
            None => None,
        };
        if at_name.is_some_and(|status| status.stamp.id == found.version.status.stamp.id) {
            self.history.let_go(&dir, &private)?;
            return Ok("a second name of the file that is there is removed");
        }
        let expected = *digest == *tail.expected && verdict == Verdict::Unknown;
        if let Some(site) = &site {
            let was_taken_out = tail.act == Act::TakeOut || (tail.act == Act::Remove && !expected);
            if at_name.is_none() && was_taken_out {
                naming::take(&*self.disk, (&dir, &private), (&site.parent, &site.name))?;
                self.sync_both(&dir, site)?;
                return Ok("the file that a broken-off change had taken out is back");
            }
            let upload_is_there = at_name.filter(|status| *status.stamp.id.digest() == *tail.upload);
            if let (false, Act::Exchange, Some(upload)) = (expected, tail.act, upload_is_there) {
                let back = self.exchange_back(site, &dir, &private, upload.stamp.id)?;
                if self.keep_what_is_held(site, &dir, entry, &back, upload.stamp.id, now)? {
                    self.release_link(&dir, entry)?;
                }
                self.sync_both(&dir, site)?;
                return Ok("an upload that had not been answered is taken back");
            }
        }
        if found.is_in_swap() {
            let upload_is_there = at_name.is_some_and(|status| *status.stamp.id.digest() == *tail.upload);
            if found.version.status.kind == Kind::File && found.version.status.links > 1 {
                self.history.let_go(&dir, &private)?;
                return Ok("one name of a file that has another is removed");
            }
            let was_to_go = if tail.act == Act::Remove { at_name.is_none() } else { upload_is_there };
            if expected && was_to_go {
                return self.let_go_later(found, &dir, now);
            }
            if !self.put_beside(&dir, &private, &found.path, now)? {
                self.strand(found, now)?;
            }
            return Ok("a file that nobody asked to go is put beside its name");
        }
        if self.was_written_late(found)? && self.put_beside(&dir, &private, &found.path, now)? {
            return Ok(WRITTEN_LATE);
        }
        self.rename_entry(&dir, entry, Ending::Settled)?;
        Ok("a displaced version is kept in the history")
    }

    /// What was displaced while there was no history is let go after a second look, as it would have been.
    fn let_go_later(&self, found: &Found, dir: &Dir, now: Timestamp) -> Result<&'static str> {
        if self.was_written_late(found)? {
            if !self.put_beside(dir, &found.version.entry, &found.path, now)? {
                self.strand(found, now)?;
            }
            return Ok(WRITTEN_LATE);
        }
        let Version { name, status, .. } = &found.version;
        self.hold(name.clone(), &found.path, status.stamp, HeldWhat::Left, now);
        Ok("what was displaced while no history was kept is let go")
    }

    /// What an earlier process displaced in its last moments is a version, and its second look is still to come.
    fn look_at_version(&self, found: &Found, now: Timestamp) -> Result<Option<&'static str>> {
        let Version { name, entry, status } = &found.version;
        if status.kind != Kind::File {
            return Ok(None);
        }
        if self.shows_late_words(&found.version)
            && self.put_beside(&found.dir(&*self.disk)?, entry, &found.path, now)?
        {
            return Ok(Some(WRITTEN_LATE));
        }
        self.hold(name.clone(), &found.path, status.stamp, HeldWhat::Displaced, now);
        Ok(None)
    }

    /// Whether the last that befell a displaced file is that somebody wrote into it: to be renamed moves its ctime and not its mtime. Within a tick
    /// of the clock the two cannot be told apart, and what was written just before it was displaced looks the same; nor can they where the
    /// disk keeps whole seconds, or has no ctime. A date that a client or a program gave to it lies before or after both.
    fn shows_late_words(&self, version: &Version) -> bool {
        let (stamp, displaced) = (&version.status.stamp, version.name.id.time());
        let tells_ctime = self.disk.abilities().time_grain < GRAIN_OF_WHOLE_SECONDS;
        let ends_with_words = tells_ctime && stamp.mtime == stamp.ctime && stamp.mtime > displaced.plus(CLOCK_TICK);
        ends_with_words || stamp.mtime > displaced.plus(MTIME_AHEAD) && stamp.mtime <= stamp.ctime
    }

    fn was_written_late(&self, found: &Found) -> Result<bool> {
        if found.version.status.kind != Kind::File {
            return Ok(false);
        }
        let is_dated_late = found.version.status.stamp.mtime > found.version.name.id.time().plus(MTIME_AHEAD);
        if is_dated_late || self.shows_late_words(&found.version) {
            return Ok(true);
        }
        self.history.is_busy(&found.dir(&*self.disk)?, &found.version.entry)
    }

    /// Removes one name of a file that has another, as one that was to be moved does; a file that has none is kept.
    fn release_link(&self, dir: &Dir, entry: &EntryName) -> Result<()> {
        match self.disk.look(dir, &entry.to_name())? {
            Some(status) if status.links > 1 => self.history.let_go(dir, &entry.to_name()),
            Some(_) => self.rename_entry(dir, entry, Ending::Upload),
            None => Ok(()),
        }
    }

    /// Exchanges back until what comes out is what was last put in.
    fn exchange_back(&self, site: &Site, dir: &Dir, private: &Name, upload: FileId) -> Result<Back> {
        let mut placed = upload;
        for _ in 0..UNDO_MAX {
            let puts_in = self.must_look(dir, private)?.stamp.id;
            match self.disk.exchange((dir, private), (&site.parent, &site.name)) {
                Err(error) if error.cause == Cause::NotFound => return Ok(Back::NameGone),
                swapped => swapped?,
            }
            let came_out = self.must_look(dir, private)?;
            if came_out.stamp.id == placed {
                return Ok(Back::Ours(came_out));
            }
            placed = puts_in;
        }
        Ok(Back::Newest)
    }

    /// Gives what is held after an exchange was undone its place. Says whether it is the upload, untouched as far as the name goes.
    fn keep_what_is_held(
        &self,
        site: &Site,
        dir: &Dir,
        entry: &EntryName,
        back: &Back,
        upload: FileId,
        now: Timestamp,
    ) -> Result<bool> {
        let private = entry.to_name();
        match back {
            Back::Ours(status) if status.stamp.id == upload => Ok(true),
            Back::Newest if self.put_beside(dir, &private, &site.path, now)? => Ok(false),
            // Where its folder is gone meanwhile, what was last put in is kept like anything else.
            Back::Newest | Back::Ours(_) | Back::NameGone => {
                let status = self.must_look(dir, &private)?;
                self.adopt(dir, entry, &site.path, &status, HeldWhat::Kept, now);
                Ok(false)
            }
        }
    }

    /// Makes an entry a settled version, to be looked at once more. If the rename fails the tail stays, and recovery settles it. Without
    /// a history the tail tells recovery what nobody asked to go from what was to go.
    fn adopt(&self, dir: &Dir, entry: &EntryName, path: &SharePath, status: &Status, what: HeldWhat, now: Timestamp) {
        let keeps_tail = what == HeldWhat::Kept && !self.history.keeps();
        let renamed = !keeps_tail && self.rename_entry(dir, entry, Ending::Settled).is_ok();
        let entry = if renamed { EntryName::settled(entry.id.clone()) } else { entry.clone() };
        if !renamed {
            self.history.could_not_settle(&entry);
        }
        if renamed
            && let Ok(Some(now)) = self.disk.look(dir, &entry.to_name())
            && now.stamp.same_content_as(&status.stamp)
        {
            self.touched.note(&status.stamp, &now.stamp);
        }
        if status.kind == Kind::File || !self.history.keeps() || !renamed {
            self.hold(entry, path, status.stamp, what, now);
        }
    }

    /// A change is done and could not be brought to the disk. What it displaced keeps its tail, which recovery may need, until it is looked at
    /// again.
    fn leave_displaced(
        &self,
        entry: &EntryName,
        path: &SharePath,
        out: &Status,
        now: Timestamp,
        error: DiskError,
    ) -> DiskError {
        self.hold(entry.clone(), path, out.stamp, HeldWhat::Displaced, now);
        unsure(error)
    }

    fn hold(&self, entry: EntryName, path: &SharePath, first_sight: Stamp, what: HeldWhat, now: Timestamp) {
        self.hold_until(now.plus(SECOND_LOOK), entry, path, Some(first_sight), what);
    }

    fn hold_until(
        &self,
        due: Timestamp,
        entry: EntryName,
        path: &SharePath,
        first_sight: Option<Stamp>,
        what: HeldWhat,
    ) {
        let _running = self.history.running();
        lock(&self.held).push(Held { entry, path: path.clone(), first_sight, what, due, is_told: false, _running });
    }

    /// What cannot be put beside its name, since the folder of that is gone, is a version; or waits, where nothing is kept.
    fn strand(&self, found: &Found, now: Timestamp) -> Result<Sight> {
        let Version { name, status, .. } = &found.version;
        if found.is_in_swap() {
            self.hold(name.clone(), &found.path, status.stamp, HeldWhat::Stranded, now);
        } else if name.ending != Ending::Settled {
            self.rename_entry(&found.dir(&*self.disk)?, name, Ending::Settled)?;
        }
        Ok(Sight::Settled)
    }

    /// A change could not be undone whole. It is tried again soon, and at the next start; until then nobody can say what is at the name.
    fn leave_unsettled(&self, entry: &EntryName, path: &SharePath, now: Timestamp, error: DiskError) -> DiskError {
        self.hold_until(now, entry.clone(), path, None, HeldWhat::Unsettled(Verdict::Undone));
        failure(error)
    }

    fn rename_entry(&self, dir: &Dir, entry: &EntryName, ending: Ending) -> Result<()> {
        let to = EntryName { id: entry.id.clone(), ending };
        naming::move_within(&*self.disk, (dir, &entry.to_name()), (dir, &to.to_name()))
    }

    /// Puts an entry of the history beside the name it belongs to, as a conflict copy. Where its folder is gone it stays where it is, and that is
    /// said.
    fn put_beside(&self, dir: &Dir, private: &Name, path: &SharePath, now: Timestamp) -> Result<bool> {
        let site = match self.site(path) {
            Ok(Some(site)) => site,
            Ok(None) => return Ok(false),
            Err(error) if leads_nowhere(&error) => return Ok(false),
            Err(error) => return Err(error),
        };
        let (mut attempt, mut bytes_max) = (1, NAME_BYTES_MAX);
        while attempt <= COPIES_MAX {
            let name = conflict_name(&site.name, now, attempt, bytes_max);
            match naming::take(&*self.disk, (dir, private), (&site.parent, &name)) {
                Err(error) if error.cause == Cause::Exists => {
                    attempt += 1;
                    continue;
                }
                // Some file systems hold shorter names (eCryptfs: 143 bytes).
                Err(error) if error.cause == Cause::LongName && bytes_max > COPY_NAME_BYTES_MIN => {
                    bytes_max = name.as_bytes().len().min(bytes_max) - 1;
                    continue;
                }
                renamed => renamed?,
            }
            self.sync_both(dir, &site)?;
            let parent = path.split().map(|(parent, _)| parent).unwrap_or_else(SharePath::root);
            self.notice(Notice::ConflictCopy { of: path.clone(), copy: parent.join(&name) });
            return Ok(true);
        }
        Err(failed("conflict copy", &site.name, "there are too many already"))
    }

    /// What came out first, then what is shown.
    fn sync_both(&self, dir: &Dir, site: &Site) -> Result<()> {
        self.disk.sync_dir(dir)?;
        self.disk.sync_dir(&site.parent)
    }

    fn must_look(&self, dir: &Dir, name: &Name) -> Result<Status> {
        self.disk.look(dir, name)?.ok_or_else(|| failed("look", name, "an entry of the history has gone"))
    }

    /// Remembers something that a person should hear of.
    pub fn notice(&self, notice: Notice) {
        lock(&self.notices).push(notice);
    }
}

impl<'a> Claim<'a> {
    /// Where this is.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// A folder at this name is not taken out unless these files in it are what they were.
    pub fn goes_only_with(&mut self, inside: Vec<Inside>) {
        self.inside = inside;
    }

    /// Looks: opens, then asks for a lease, then takes the state. A stamp read before the lease would prove nothing.
    pub fn look(&self) -> Result<Seen> {
        let disk = &self.tree.disk;
        // A link at the name is never what a change means, even where links are followed for reading.
        if disk.look(&self.site.parent, &self.site.name)?.is_some_and(|status| status.kind == Kind::Link) {
            return Ok(Seen::Link);
        }
        let (file, status) = match disk.open(&self.site.parent, &self.site.name)? {
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
        let change = tree.mutexes.begin_change(&self.site.name);
        let calm = upload.lease_once();
        match upload.name_publicly(&self.site.parent, &self.site.name) {
            Err(error) if error.cause == Cause::Exists => return Ok(Swap::Lost),
            named => named?,
        }
        tree.disk.sync_dir(&self.site.parent).map_err(unsure)?;
        Ok(Swap::Done(Changed {
            displaced: None,
            stamp: self.stamp_if_calm(upload, &calm),
            calm: Calm(calm),
            _under_way: Some(change),
            ..Changed::default()
        }))
    }

    /// Swaps the file that was seen for an upload.
    pub fn replace(&self, seen: SeenFile, upload: &mut Staged, surprise: Surprise, now: Timestamp) -> Result<Swap<'a>> {
        let abilities = self.tree.disk.abilities();
        let place = self.tree.history.place(&self.site.path, self.site.mount, now)?;
        if abilities.exchange && abilities.no_replace {
            self.exchange_in(&place, seen, upload, surprise, now)
        } else if abilities.takes_free_names() {
            self.take_out_put_in(&place, seen, upload, surprise, now)
        } else {
            self.rename_over(&place, seen, upload, now)
        }
    }

    /// Takes the file or folder that was seen out of the tree.
    pub fn remove(&self, seen: Seen, surprise: Surprise, now: Timestamp) -> Result<Swap<'a>> {
        let (status, mut lease) = match seen {
            Seen::File(seen) => (seen.status, seen.lease),
            Seen::Collection(status) => (status, None),
            Seen::Busy(_) => return Ok(Swap::Busy),
            Seen::Nothing | Seen::Link | Seen::Special => return Ok(Swap::Lost),
        };
        let place = self.tree.history.place(&self.site.path, self.site.mount, now)?;
        let entry = self.free_entry(&place, now, |id| EntryName::under_way(id, Act::Remove, status.stamp.id, None))?;
        let change = self.tree.mutexes.begin_change(&self.site.name);
        let Some(out) = self.take_out(&place, &entry, now)? else { return Ok(Swap::Lost) };
        let undone = |why| self.put_back(&place, &entry, why, now);
        let verdict = self.verify(&place, &entry, &out, &status, &mut lease, surprise);
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
    pub fn bring_back(&self, version: &Found) -> Result<Swap<'a>> {
        let (dir, from) = (version.dir(&*self.tree.disk)?, version.version.entry.clone());
        // It ends when what was noted on the version has followed: whoever looks for the version meanwhile waits.
        let change = self.tree.mutexes.begin_change(&self.site.name);
        match naming::take(&*self.tree.disk, (&dir, &from), (&self.site.parent, &self.site.name)) {
            Err(error) if error.cause == Cause::Exists => return Ok(Swap::Lost),
            renamed => renamed?,
        }
        self.tree.sync_both(&dir, &self.site).map_err(unsure)?;
        Ok(Swap::Done(Changed { _under_way: Some(change), ..Changed::default() }))
    }

    /// Tier A and B. The upload is linked at the name in the history that the displaced version will have, and the two are exchanged.
    fn exchange_in(
        &self,
        place: &Place<'_>,
        seen: SeenFile,
        upload: &mut Staged,
        surprise: Surprise,
        now: Timestamp,
    ) -> Result<Swap<'a>> {
        let tree = self.tree;
        let expected = seen.status;
        let mut lease = seen.lease;
        let entry = self.free_entry(place, now, |id| {
            EntryName::under_way(id, Act::Exchange, expected.stamp.id, Some(upload.id()))
        })?;
        let private = entry.to_name();
        let change = tree.mutexes.begin_change(&self.site.name);
        upload.name_privately(place, &private)?;
        // Not needed for safety: it makes a lost exchange, and the refused upload that others then see for an instant, rare.
        let now_there = tree.disk.look(&self.site.parent, &self.site.name)?;
        if now_there.is_none_or(|status| status.stamp.id != expected.stamp.id) {
            return Ok(Swap::Lost);
        }
        let calm = upload.lease_once();
        upload.may_be_seen();
        if let Err(error) = tree.disk.exchange((&place.dir, &private), (&self.site.parent, &self.site.name)) {
            upload.was_not_seen();
            return if error.cause == Cause::NotFound { Ok(Swap::Lost) } else { Err(error) };
        }
        upload.gave_up_its_name();
        let out = match self.confirm_exchange(place, &entry, &expected, &mut lease, surprise) {
            Ok(Ok(out)) => out,
            Ok(Err(why)) => return self.undo_exchange(place, &entry, upload, why, now),
            Err(error) => return self.undo_exchange(place, &entry, upload, Why::Lost, now).and(Err(error)),
        };
        drop(lease);
        let stamp = self.stamp_if_calm(upload, &calm);
        tree.adopt(&place.dir, &entry, &self.site.path, &out, HeldWhat::Displaced, now);
        let (displaced, calm) = (Some(entry.id), Calm(calm));
        Ok(Swap::Done(Changed { displaced, stamp, calm, _under_way: Some(change), ..Changed::default() }))
    }

    /// Steps 6 to 8: what came out is what was seen, both folders are on the disk, and after that nobody waits to write.
    fn confirm_exchange(
        &self,
        place: &Place<'_>,
        entry: &EntryName,
        expected: &Status,
        lease: &mut Option<Box<dyn Lease>>,
        surprise: Surprise,
    ) -> Result<std::result::Result<Status, Why>> {
        let out = self.tree.must_look(&place.dir, &entry.to_name())?;
        if let Some(why) = self.verify(place, entry, &out, expected, lease, surprise)? {
            return Ok(Err(why));
        }
        self.sync(place)?;
        Ok(if is_broken(lease) { Err(Why::Busy) } else { Ok(out) })
    }

    fn undo_exchange(
        &self,
        place: &Place<'_>,
        entry: &EntryName,
        upload: &mut Staged,
        why: Why,
        now: Timestamp,
    ) -> Result<Swap<'a>> {
        let tree = self.tree;
        let private = entry.to_name();
        let (site, id) = (&self.site, upload.id());
        let back = tree.exchange_back(site, &place.dir, &private, id);
        let upload_is_out = back
            .and_then(|back| tree.keep_what_is_held(site, &place.dir, entry, &back, id, now))
            .map_err(|error| tree.leave_unsettled(entry, &site.path, now, error))?;
        if upload_is_out {
            upload.took_back_its_name(place, &private);
            tree.hold(entry.clone(), &self.site.path, *upload.sealed(), HeldWhat::Upload, now);
        }
        self.sync(place).map_err(failure)?;
        Ok(match why {
            Why::Busy => Swap::Busy,
            Why::Lost if upload_is_out && self.is_untouched(place, &private, upload)? => Swap::Lost,
            Why::Lost => Swap::Spoilt,
        })
    }

    /// Whether an upload that was visible for an instant was not written, and nobody can be about to.
    fn is_untouched(&self, place: &Place<'_>, private: &Name, upload: &Staged) -> Result<bool> {
        let disk = &self.tree.disk;
        let Opened::File(file, _) = disk.open(&place.dir, private)? else { return Ok(false) };
        let leased = disk.lease(&file, Duration::ZERO)?;
        let status = disk.status(&file)?;
        Ok(!matches!(leased, Leased::Busy) && status.stamp.same_content_as(upload.sealed()))
    }

    /// Tier C. The old file is taken out, verified, and the upload put in by no-replace: nothing is destroyed, but the name is missing
    /// for an instant.
    fn take_out_put_in(
        &self,
        place: &Place<'_>,
        seen: SeenFile,
        upload: &mut Staged,
        surprise: Surprise,
        now: Timestamp,
    ) -> Result<Swap<'a>> {
        let expected = seen.status;
        let mut lease = seen.lease;
        let entry = self.free_entry(place, now, |id| {
            EntryName::under_way(id, Act::TakeOut, expected.stamp.id, Some(upload.id()))
        })?;
        let change = self.tree.mutexes.begin_change(&self.site.name);
        let Some(out) = self.take_out(place, &entry, now)? else { return Ok(Swap::Lost) };
        let undone = |why| self.put_back(place, &entry, why, now);
        match self.verify(place, &entry, &out, &expected, &mut lease, surprise) {
            Ok(None) => {}
            Ok(Some(why)) => return undone(why),
            Err(error) => return undone(Why::Lost).and(Err(error)),
        }
        match upload.name_publicly(&self.site.parent, &self.site.name) {
            Ok(()) => {}
            Err(error) if error.cause == Cause::Exists => {
                self.tree.adopt(&place.dir, &entry, &self.site.path, &out, HeldWhat::Kept, now);
                self.sync(place).map_err(failure)?;
                return Ok(Swap::Spoilt);
            }
            Err(error) => return undone(Why::Lost).and(Err(error)),
        }
        let shown = self.sync(place);
        shown.map_err(|error| self.tree.leave_displaced(&entry, &self.site.path, &out, now, error))?;
        let stamp = self.stamp_if_calm(upload, &None);
        self.tree.adopt(&place.dir, &entry, &self.site.path, &out, HeldWhat::Displaced, now);
        Ok(Swap::Done(Changed { displaced: Some(entry.id), stamp, _under_way: Some(change), ..Changed::default() }))
    }

    /// Tier D, where a name cannot be taken only if it is free. The version that was seen is copied into the history, and the upload is
    /// renamed over it. What a program saves between the last look and the rename is destroyed; the documentation names this window.
    fn rename_over(&self, place: &Place<'_>, seen: SeenFile, upload: &mut Staged, now: Timestamp) -> Result<Swap<'a>> {
        let disk = &self.tree.disk;
        let kept = if self.tree.history.keeps() { Some(self.keep_copy(place, &seen, now)?) } else { None };
        let change = self.tree.mutexes.begin_change(&self.site.name);
        let there = disk.look(&self.site.parent, &self.site.name);
        if !matches!(&there, Ok(Some(status)) if status.stamp.same_content_as(&seen.status.stamp)) {
            if let Some(kept) = kept {
                self.tree.history.let_go(&place.dir, &kept.to_name())?;
            }
            return there.map(|_| Swap::Lost);
        }
        upload.name_over(&self.site.parent, &self.site.name)?;
        self.sync(place).map_err(unsure)?;
        let (displaced, stamp) = (kept.map(|entry| entry.id), self.stamp_if_calm(upload, &None));
        Ok(Swap::Done(Changed { displaced, stamp, _under_way: Some(change), ..Changed::default() }))
    }

    /// Copies a file into the history and brings the copy to the disk, since the rename destroys the only name of the original.
    fn keep_copy(&self, place: &Place<'_>, seen: &SeenFile, now: Timestamp) -> Result<EntryName> {
        let tree = self.tree;
        let swap = || tree.history.swap(&self.site.path, self.site.mount);
        let mut copy = Staging::begin(&tree.disk, &self.site.parent, swap)?;
        copy.copy_from(&seen.file, &|| true)?;
        let mut copy = copy.seal(Some(&seen.file), seen.status.stamp.mtime)?;
        let entry = self.free_entry(place, now, EntryName::settled)?;
        copy.name_privately(place, &entry.to_name())?;
        copy.gave_up_its_name();
        place.sync(&*tree.disk)?;
        Ok(entry)
    }

    /// Renames whatever is at the name to its entry in the history; `None` if there is nothing. What cannot be looked at afterwards is
    /// put back.
    fn take_out(&self, place: &Place<'_>, entry: &EntryName, now: Timestamp) -> Result<Option<Status>> {
        let disk = &self.tree.disk;
        let private = entry.to_name();
        let from = (&self.site.parent, &self.site.name);
        let taken = if disk.abilities().no_replace {
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
    fn put_back(&self, place: &Place<'_>, entry: &EntryName, why: Why, now: Timestamp) -> Result<Swap<'a>> {
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

    /// Whether what came out is what was seen; if not, and if that is accepted, whether nobody is writing it. A lease on it then takes the
    /// place of the one on what was seen.
    fn verify(
        &self,
        place: &Place<'_>,
        entry: &EntryName,
        out: &Status,
        expected: &Status,
        lease: &mut Option<Box<dyn Lease>>,
        surprise: Surprise,
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
        if surprise == Surprise::Undo || out.kind != Kind::File || expected.kind != Kind::File {
            return Ok(Some(Why::Lost));
        }
        let disk = &self.tree.disk;
        let Opened::File(file, _) = disk.open(&place.dir, &entry.to_name())? else { return Ok(Some(Why::Lost)) };
        *lease = match disk.lease(&file, Duration::ZERO)? {
            Leased::Busy => return Ok(Some(Why::Lost)),
            Leased::Held(other) => Some(other),
            Leased::Unavailable => None,
        };
        Ok(None)
    }

    /// Whether the files that were seen in a folder which was taken out are still in it as they were.
    fn holds_what_it_should(&self, place: &Place<'_>, entry: &EntryName) -> Result<bool> {
        if self.inside.is_empty() {
            return Ok(true);
        }
        let disk = &self.tree.disk;
        let folder = disk.open_dir(&place.dir, entry.to_name().as_bytes())?;
        for Inside { path, stamp } in &self.inside {
            let there = disk.look_path(&folder, history::relative(path, &self.site.path))?;
            if !there.is_some_and(|there| there.kind == Kind::File && there.stamp.same_content_as(stamp)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn sync(&self, place: &Place<'_>) -> Result<()> {
        let disk = &*self.tree.disk;
        place.sync(disk)?;
        disk.sync_dir(&self.site.parent)
    }

    /// An entry that does not exist yet: two versions of one microsecond are told apart by moving the later one on.
    fn free_entry(
        &self,
        place: &Place<'_>,
        now: Timestamp,
        entry: impl Fn(VersionId) -> EntryName,
    ) -> Result<EntryName> {
        let mut at = self.tree.history.clock().displaced_at(now);
        loop {
            let candidate = entry(VersionId::at(at));
            let settled = EntryName::settled(candidate.id.clone());
            let taken = |entry: &EntryName| Ok(self.tree.disk.look(&place.dir, &entry.to_name())?.is_some());
            if !taken(&settled)? && (candidate == settled || !taken(&candidate)?) {
                return Ok(candidate);
            }
            at = at.plus(Duration::from_micros(1));
        }
    }

    /// The state of the upload under its name, if it is the one that was sealed and nobody can have written since.
    fn stamp_if_calm(&self, upload: &Staged, calm: &Option<Box<dyn Lease>>) -> Option<Stamp> {
        let status = self.tree.disk.status(upload.file()).ok()?;
        let unbroken = match calm {
            Some(lease) => lease.is_unbroken(),
            None => !self.tree.disk.abilities().lease,
        };
        (unbroken && status.stamp.same_content_as(upload.sealed())).then_some(status.stamp)
    }
}

impl Seen {
    /// Whether something is mounted right at the name.
    pub fn is_mount_point(&self) -> bool {
        match self {
            Self::File(seen) => seen.status.is_mount_point,
            Self::Collection(status) | Self::Busy(status) => status.is_mount_point,
            Self::Nothing | Self::Link | Self::Special => false,
        }
    }

    /// Which file or folder it is, if it is one that may be changed.
    fn id(&self) -> Option<FileId> {
        match self {
            Self::File(seen) => Some(seen.status.stamp.id),
            Self::Collection(status) | Self::Busy(status) => Some(status.stamp.id),
            Self::Nothing | Self::Link | Self::Special => None,
        }
    }
}

impl SeenFile {
    /// Whether a lease is held on it: nobody else has it open for writing or mapped writable.
    pub fn is_leased(&self) -> bool {
        self.lease.is_some()
    }

    /// Whether nobody waits to write into it, as far as can be told.
    pub fn is_quiet(&self) -> bool {
        !is_broken(&self.lease)
    }
}

impl std::fmt::Debug for SeenFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SeenFile").field("status", &self.status).field("leased", &self.is_leased()).finish()
    }
}

fn is_broken(lease: &Option<Box<dyn Lease>>) -> bool {
    lease.as_ref().is_some_and(|lease| !lease.is_unbroken())
}

/// A name was changed and its folder could not be synced: nobody can say whether the change will last. So it is a fault whatever the
/// cause, and never a refusal, which promises that all is as it was.
fn unsure(error: DiskError) -> DiskError {
    DiskError { cause: Cause::Unsure, ..error }
}

/// What was to be undone may not be undone whole, so this is a fault whatever the cause, and never a refusal.
fn failure(error: DiskError) -> DiskError {
    DiskError { cause: Cause::Failed, ..error }
}

/// Whether the folder of a name is not there.
fn leads_nowhere(error: &DiskError) -> bool {
    matches!(error.cause, Cause::NotFound | Cause::NotADirectory | Cause::Escapes)
}

fn failed(operation: &'static str, name: &Name, message: &str) -> DiskError {
    DiskError { operation, name: name.to_text().into_owned(), cause: Cause::Failed, message: message.to_owned() }
}

/// Lists are whole whatever thread panicked beside them.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
