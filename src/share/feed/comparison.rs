//! Comparing folders with what was told of them: what changed while no server ran, or where a hint could not say what. It reads no file, holds no
//! folder in memory, and lets others have the disk half of the time.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use crate::model::author::Author;
use crate::model::change::{Before, Change, ChangeKind, Resource};
use crate::model::path::{Name, SharePath};
use crate::model::stamp::Timestamp;
use crate::store::catalog::changes::Known;
use crate::store::catalog::known_members::KnownMember;
use crate::store::disk_error::Result;
use crate::store::handle::Dir;
use crate::store::local::commit::Site;
use crate::store::status::{Entry, Kind};

use super::super::shared_folder::Share;
use super::super::to_look_at::{By, Next};
use super::noticing::{Finding, Found, is_nowhere};

/// How often what was told is saved, at least where something was.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// How much may wait to be saved for longer.
const UNSAVED_MAX: usize = 20_000;

/// After how many members of a folder it is asked whether something else is to be done first.
const MEMBERS_AT_ONCE: usize = 256;

/// For how long others have the disk, as many times as long as a piece of a comparison took.
const REST: u32 = 1;

/// The longest rest, whatever the clock says, and how soon one ends where the server stops.
const REST_MAX: Duration = Duration::from_secs(5);
const REST_PIECE: Duration = Duration::from_millis(50);

/// How long to wait before what could not be looked at is looked at again.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// How much the paths of the folders may take that wait to be compared, in bytes.
const WAITING_BYTES_MAX: usize = 16 << 20;

/// How many names that were known are looked for at once.
const NAMES_AT_ONCE: usize = 1000;

/// The thread that keeps the feed: what it does next, and what the time is.
struct Keeper<'a> {
    share: &'a Share,
    clock: &'a dyn Fn() -> Timestamp,
    saved: Timestamp,
}

/// A comparison under way.
struct Comparison<'k, 'a> {
    keeper: &'k mut Keeper<'a>,
    finding: Finding,
    waiting: Vec<SharePath>,
    waiting_bytes: usize,
    since_rest: (Timestamp, usize),
}

/// What came of comparing one folder.
enum Compared {
    Whole,
    /// The server stops.
    Stopped,
}

impl Share {
    /// Keeps the feed until it is to stop: looks at what is to be looked at, and saves what was told. Runs on a thread of its own.
    pub fn keep_feed(&self, clock: &dyn Fn() -> Timestamp) {
        Keeper { share: self, clock, saved: clock() }.run();
    }

    /// Has all looked at that may have changed while no process was there. What is found is of another program, unless the last process could not
    /// save what it told.
    pub(in crate::share) fn look_at_everything(&self) {
        let by = self.changes.went_on().then(|| Arc::new(Author::Program));
        self.to_look_at.below(SharePath::root(), by);
    }

    /// Ends [`Share::keep_feed`].
    pub fn stop_feed(&self) {
        self.to_look_at.stop();
    }

    /// Whether all that has happened was told, as far as it is known that something has.
    pub fn feed_is_complete(&self) -> bool {
        self.changes.is_filled() && self.to_look_at.is_done()
    }
}

impl Keeper<'_> {
    fn run(&mut self) {
        loop {
            self.follow_folder();
            if !self.share.changes.is_filled() && self.fill().is_break() {
                return;
            }
            match self.share.to_look_at.next(SAVE_EVERY) {
                Next::Paths(paths) => self.look_at(paths),
                Next::Below(folder, by) => self.compare(folder, &by),
                Next::Nothing => {}
                Next::Stop => return,
            }
            self.save_if_due();
        }
    }

    /// Another folder may have come to the place of the one that was served: of that nothing was told.
    fn follow_folder(&mut self) {
        let Ok(now) = self.share.served_now() else { return };
        let before = self.share.feed_of.lock().replace(now);
        if before.is_some_and(|before| before != now) {
            self.share.changes.begin_anew();
            self.share.wakers.wake();
        }
    }

    /// Nothing is looked at while the folder is not there.
    fn look_at(&mut self, paths: std::collections::HashMap<SharePath, By>) {
        for (path, by) in paths {
            self.look_at_one(&path, by);
        }
    }

    fn look_at_one(&self, path: &SharePath, by: By) {
        match self.share.notice(path, &Finding::by(by.clone()), (self.clock)()) {
            _ if self.share.is_still_served().is_err() => {}
            Ok(Found::NewFolder) => self.share.to_look_at.below(path.clone(), by),
            Ok(_) => {}
            Err(_) => self.tell_uncertain(path.clone(), by),
        }
    }

    /// What cannot be looked at now: whoever can, looks.
    fn tell_uncertain(&self, path: SharePath, by: By) {
        let (at, kind, resource) = ((self.clock)(), ChangeKind::Uncertain, Resource::Folder);
        let change = Change { at, path, kind, resource, before: Before::Folder, displaced: None, by };
        self.share.changes.add(change, Known::AsBefore);
        self.share.wakers.wake();
    }

    fn save_if_due(&mut self) {
        let now = (self.clock)();
        // The clock may have been set back.
        let is_due = now.since(self.saved) >= SAVE_EVERY || now < self.saved;
        if is_due || self.share.changes.unsaved() >= UNSAVED_MAX {
            // It is tried again, and the index says why nothing can be saved.
            let _ = self.share.changes.save(now);
            self.saved = now;
        }
    }

    /// Learns what is there, where nothing is known.
    fn fill(&mut self) -> ControlFlow<()> {
        let finding = Finding { is_quiet: true, ..Finding::by(None) };
        match self.compare_below(SharePath::root(), finding) {
            Ok(Compared::Whole) if self.share.is_still_served().is_err() => self.rest(TRY_AGAIN),
            Ok(Compared::Whole) => {
                self.share.changes.now_filled();
                self.share.wakers.wake();
                ControlFlow::Continue(())
            }
            Ok(Compared::Stopped) => ControlFlow::Break(()),
            Err(_) => self.rest(TRY_AGAIN),
        }
    }

    fn compare(&mut self, folder: SharePath, by: &By) {
        let found = match self.share.notice(&folder, &Finding::by(by.clone()), (self.clock)()) {
            Ok(found) => found,
            Err(_) if self.share.is_still_served().is_err() => return,
            Err(_) => return self.tell_uncertain(folder, by.clone()),
        };
        if found != Found::Nothing
            && self.compare_below(folder.clone(), Finding::by(by.clone())).is_err()
            && self.share.is_still_served().is_ok()
        {
            self.tell_uncertain(folder, by.clone());
        }
    }

    fn compare_below(&mut self, folder: SharePath, finding: Finding) -> Result<Compared> {
        // What the database knows is compared with what is there.
        let _ = self.share.changes.save((self.clock)());
        let begun = ((self.clock)(), 0);
        let waiting_bytes = folder.as_bytes().len();
        let mut comparison =
            Comparison { keeper: self, finding, waiting: vec![folder], waiting_bytes, since_rest: begun };
        while let Some(folder) = comparison.waiting.pop() {
            comparison.waiting_bytes -= folder.as_bytes().len();
            if let Compared::Stopped = comparison.compare(&folder)? {
                return Ok(Compared::Stopped);
            }
        }
        Ok(Compared::Whole)
    }

    fn rest(&mut self, time: Duration) -> ControlFlow<()> {
        let mut left = time.min(REST_MAX);
        while !left.is_zero() && !self.share.to_look_at.stops() {
            let piece = left.min(REST_PIECE);
            std::thread::sleep(piece);
            left -= piece;
        }
        if self.share.to_look_at.stops() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Comparison<'_, '_> {
    /// Compares the members of one folder with what is known of them.
    fn compare(&mut self, path: &SharePath) -> Result<Compared> {
        let share = self.keeper.share;
        let dir = match share.tree.open_folder(path) {
            Err(error) if is_nowhere(error.cause) => {
                share.notice(path, &self.finding, (self.keeper.clock)())?;
                return Ok(Compared::Whole);
            }
            Err(_) => {
                self.cannot_be_read(path);
                return Ok(Compared::Whole);
            }
            Ok(dir) => dir,
        };
        let status = share.tree.folder_status(&dir)?;
        let site = |name: Name| {
            let (parent, folder, mount) = (dir.clone(), status.stamp.id, status.mount);
            Site { path: path.join(&name), parent, folder, mount, name }
        };
        let mut as_known = 0;
        let mut end: Option<Result<Compared>> = None;
        let listed = share.tree.list(&dir, &mut |entry| match self.member(&site, entry, &mut as_known) {
            Ok(ControlFlow::Continue(())) => ControlFlow::Continue(()),
            Ok(ControlFlow::Break(())) => {
                end = Some(Ok(Compared::Stopped));
                ControlFlow::Break(())
            }
            Err(error) => {
                end = Some(Err(error));
                ControlFlow::Break(())
            }
        });
        match (listed, end) {
            (_, Some(end)) => end,
            (Err(_), None) => {
                self.cannot_be_read(path);
                Ok(Compared::Whole)
            }
            (Ok(()), None) => self.look_for_those_known(path, &dir, as_known, &site).map(|()| Compared::Whole),
        }
    }

    /// Compares one member; breaks if the server stops.
    fn member(&mut self, site: &dyn Fn(Name) -> Site, entry: Entry, as_known: &mut usize) -> Result<ControlFlow<()>> {
        let Entry { name, status, is_linked } = entry;
        let kind = status.kind;
        if name.is_reserved() || matches!(kind, Kind::Link | Kind::Special) {
            return Ok(ControlFlow::Continue(()));
        }
        let site = site(name);
        let share = self.keeper.share;
        let (known, is_saved) = share.changes.known(&site.path)?;
        let is_as_known = match &known {
            Some(KnownMember::Folder) => kind == Kind::Dir,
            Some(KnownMember::File { stamp, is_settled, .. }) => {
                kind == Kind::File && *is_settled && *stamp == status.stamp
            }
            None => false,
        };
        if is_saved && known.is_some() {
            *as_known += 1;
        }
        let is_folder = if is_as_known {
            kind == Kind::Dir
        } else {
            share.notice_in(&site, &self.finding, (self.keeper.clock)())? != Found::Nothing
        };
        if is_folder && !is_linked {
            self.wait_for(site.path);
        }
        Ok(self.breathe())
    }

    /// Looks at the members that are known and were not met: there may be others in their place.
    fn look_for_those_known(
        &mut self,
        folder: &SharePath,
        dir: &Dir,
        as_known: usize,
        site: &dyn Fn(Name) -> Site,
    ) -> Result<()> {
        let share = self.keeper.share;
        let saved = |after: Option<&Name>| share.changes.saved_names(folder, after, NAMES_AT_ONCE);
        let (mut count, mut last) = (0, None);
        loop {
            let names = saved(last.as_ref())?;
            count += names.len();
            last = names.last().cloned();
            if names.len() < NAMES_AT_ONCE {
                break;
            }
        }
        if count == as_known {
            return Ok(());
        }
        let mut last = None;
        loop {
            let names = saved(last.as_ref())?;
            for name in &names {
                if share.tree.look_in(dir, name)?.is_none_or(|status| matches!(status.kind, Kind::Link | Kind::Special))
                {
                    share.notice_in(&site(name.clone()), &self.finding, (self.keeper.clock)())?;
                }
                if self.breathe().is_break() {
                    return Ok(());
                }
            }
            last = names.last().cloned();
            if names.len() < NAMES_AT_ONCE {
                return Ok(());
            }
        }
    }

    /// A folder that cannot be read now: whoever may read it looks.
    fn cannot_be_read(&mut self, path: &SharePath) {
        if !self.finding.is_quiet {
            self.keeper.tell_uncertain(path.clone(), self.finding.by.clone());
        }
    }

    fn wait_for(&mut self, folder: SharePath) {
        self.waiting_bytes += folder.as_bytes().len();
        if self.waiting_bytes <= WAITING_BYTES_MAX {
            self.waiting.push(folder);
        } else {
            self.waiting_bytes -= folder.as_bytes().len();
            self.keeper.tell_uncertain(folder, self.finding.by.clone());
        }
    }

    /// Lets others have the disk now and then, and what is more urgent be done.
    fn breathe(&mut self) -> ControlFlow<()> {
        self.since_rest.1 += 1;
        if self.since_rest.1 < MEMBERS_AT_ONCE {
            return ControlFlow::Continue(());
        }
        let took = (self.keeper.clock)().since(self.since_rest.0);
        let paths = self.keeper.share.to_look_at.take_paths();
        self.keeper.look_at(paths);
        self.keeper.save_if_due();
        let rested = self.keeper.rest(took * REST);
        self.since_rest = ((self.keeper.clock)(), 0);
        rested
    }
}
