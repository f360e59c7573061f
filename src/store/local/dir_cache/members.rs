//! The members of one folder, in pages and in the order of their names, and the looks by which they stay what they are on the disk.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::disk::Disk;
use super::dirty::Dirty;
use super::page::{MEMBERS, Member, Page, weight};
use crate::model::path::Name;
use crate::model::stamp::Timestamp;
use crate::store::disk_error::Result;
use crate::store::handle::Dir;
use crate::store::status::Entry;

/// How long a look at all members holds at least. What nobody is told of shows after that.
const AGE_MIN: Duration = Duration::from_secs(1);

/// And how many times as long as it took: so it takes no more than a fiftieth of the time.
const AGE_BY_COST: u32 = 50;

/// What was found at a name; `None` if nothing.
type Found = (Name, Option<Entry>);

/// The members of a folder.
#[derive(Debug, Default)]
pub(super) struct Members {
    pages: Vec<Arc<Page>>,
    count: usize,
    /// How many are looked at each time.
    each_time: usize,
    /// The last look at all of them; `None` before the first, and while they are not whole.
    looked: Option<WholeLook>,
    /// When that at those that are looked at each time began.
    looked_each_time: Moment,
}

/// A place in the order in which listings of a folder come and looks begin.
pub(super) type Moment = u64;

#[derive(Clone, Copy, Debug)]
struct WholeLook {
    at: Timestamp,
    cost: Duration,
}

impl WholeLook {
    fn holds(&self, now: Timestamp) -> bool {
        // Requests look at the clock before they wait for each other; more than that is a clock that was set back.
        self.at <= now.plus(AGE_MIN) && now.since(self.at) < AGE_MIN.max(self.cost * AGE_BY_COST)
    }
}

impl Members {
    pub(super) fn pages(&self) -> &[Arc<Page>] {
        &self.pages
    }

    pub(super) fn weight(&self) -> usize {
        self.pages.iter().map(|page| page.weight()).sum()
    }

    /// How many looks bring them up to date with this, for a listing that came then; `None` if it takes a look at all of them.
    pub(super) fn looks_for(&self, dirty: &Dirty, came: Moment, now: Timestamp) -> Option<usize> {
        let holds = self.looked.is_some_and(|looked| looked.holds(now)) && !dirty.is_for_a_whole_look(self.count);
        holds.then(|| dirty.len() + if self.looked_each_time > came { 0 } else { self.each_time })
    }

    /// Looks at the names that may be otherwise, and at what is looked at each time, unless another has begun to since this listing came. If that fails
    /// they are not whole.
    pub(super) fn look_again(
        &mut self,
        disk: &dyn Disk,
        dir: &Dir,
        dirty: &Dirty,
        came: Moment,
        next: impl FnOnce() -> Moment,
    ) -> Result<()> {
        let looked = self.looked.take();
        self.look_at(disk, dir, dirty)?;
        if self.looked_each_time <= came {
            self.looked_each_time = next();
            self.look_each_time(disk, dir)?;
        }
        self.looked = looked;
        Ok(())
    }

    /// Looks at all of them, and then at what has changed `meanwhile`; `false` if they take more than so many bytes. If that fails they are not
    /// whole.
    pub(super) fn look_at_all(
        &mut self,
        disk: &dyn Disk,
        dir: &Dir,
        bytes_max: usize,
        now: Timestamp,
        meanwhile: impl FnOnce() -> Dirty,
    ) -> Result<bool> {
        self.looked = None;
        let (began, mut bytes, mut found) = (Instant::now(), 0, Vec::with_capacity(self.count));
        disk.list(dir, &mut |entry| {
            bytes += weight(&entry);
            found.push(entry);
            if bytes > bytes_max { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if bytes > bytes_max {
            return Ok(false);
        }
        found.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        // What is renamed while a folder is read may be met twice.
        found.dedup_by(|one, other| one.name == other.name);
        if self.pages.is_empty() {
            self.take(found)
        } else {
            self.merge(found)
        }
        self.look_at(disk, dir, &meanwhile())?;
        self.looked = Some(WholeLook { at: now, cost: began.elapsed() });
        Ok(true)
    }

    fn look_at(&mut self, disk: &dyn Disk, dir: &Dir, dirty: &Dirty) -> Result<()> {
        let mut elsewhere = dirty.nameless();
        for name in dirty.names() {
            let found = disk.entry(dir, &name)?;
            // That a file has got one name more is told of that name, and shows in the file whatever it is called.
            let linked = found.iter().map(|entry| &entry.status).filter(|status| status.links > 1);
            elsewhere.extend(linked.map(|status| status.stamp.id.inode));
            self.apply((name, found));
        }
        if elsewhere.is_empty() {
            return Ok(());
        }
        for name in self.names_of(&elsewhere) {
            let found = disk.entry(dir, &name)?;
            self.apply((name, found));
        }
        Ok(())
    }

    fn look_each_time(&mut self, disk: &dyn Disk, dir: &Dir) -> Result<()> {
        if self.each_time == 0 {
            return Ok(());
        }
        let mut changed: Vec<Found> = Vec::new();
        let members = self.pages.iter().flat_map(|page| page.members());
        for member in members.filter(|member| member.is_looked_at_each_time) {
            let name = &member.entry.name;
            // A look is cheaper than an entry, which only links need.
            if !member.may_be_a_link() && disk.look(dir, name)?.is_some_and(|status| member.has_still(&status)) {
                continue;
            }
            let found = disk.entry(dir, name)?;
            changed.push((name.clone(), found));
        }
        changed.into_iter().for_each(|found| self.apply(found));
        Ok(())
    }

    fn names_of(&self, inodes: &HashSet<u64>) -> Vec<Name> {
        let entries = self.pages.iter().flat_map(|page| page.entries());
        entries.filter(|entry| inodes.contains(&entry.status.stamp.id.inode)).map(|entry| entry.name.clone()).collect()
    }

    /// Takes in what was found in a folder of which nothing was known, in the order of the names.
    fn take(&mut self, found: Vec<Entry>) {
        self.count = found.len();
        let mut members = found.into_iter().map(|entry| Member::new(entry, None)).peekable();
        while members.peek().is_some() {
            let page: Vec<_> = members.by_ref().take(MEMBERS).collect();
            self.each_time += page.iter().filter(|member| member.is_looked_at_each_time).count();
            self.pages.push(Arc::new(Page::new(page)));
        }
    }

    /// Takes in what was found in the whole folder, in the order of the names. Pages on which nothing is otherwise stay as they are.
    fn merge(&mut self, found: Vec<Entry>) {
        let mut changed: Vec<Found> = Vec::new();
        let mut found = found.into_iter().peekable();
        for member in self.pages.iter().flat_map(|page| page.members()) {
            let name = &member.entry.name;
            while let Some(new) = found.next_if(|entry| entry.name < *name) {
                changed.push((new.name.clone(), Some(new)));
            }
            match found.next_if(|entry| entry.name == *name) {
                Some(entry) if member.is_still(&entry) => {}
                entry => changed.push((name.clone(), entry)),
            }
        }
        changed.extend(found.map(|entry| (entry.name.clone(), Some(entry))));
        changed.into_iter().for_each(|found| self.apply(found));
    }

    /// Makes what is known of a name what was found there.
    fn apply(&mut self, (name, found): Found) {
        let page = self.pages.partition_point(|page| page.members()[0].entry.name.cmp(&name) != Ordering::Greater);
        let at = page.saturating_sub(1);
        let Some(page) = self.pages.get_mut(at) else {
            self.take(found.into_iter().collect());
            return;
        };
        let place = page.place_of(&name);
        let before = place.ok().map(|place| &page.members()[place]);
        match (before, found) {
            (None, None) => {}
            (Some(before), Some(found)) if before.is_still(&found) => {}
            (Some(before), found) => {
                let after = found.map(|found| Member::new(found, Some(before)));
                self.each_time -= usize::from(before.is_looked_at_each_time);
                self.replace(at, place.unwrap_or_default(), after);
            }
            (None, Some(found)) => {
                let (place, member) = (place.unwrap_or_else(|place| place), Member::new(found, None));
                (self.count, self.each_time) =
                    (self.count + 1, self.each_time + usize::from(member.is_looked_at_each_time));
                Arc::make_mut(page).change(|members| members.insert(place, member));
                if let Some(second) = Arc::make_mut(page).divide() {
                    self.pages.insert(at + 1, Arc::new(second));
                }
            }
        }
    }

    fn replace(&mut self, at: usize, place: usize, after: Option<Member>) {
        let page = Arc::make_mut(&mut self.pages[at]);
        match after {
            Some(member) => {
                self.each_time += usize::from(member.is_looked_at_each_time);
                page.change(|members| members[place] = member);
            }
            None => {
                self.count -= 1;
                page.change(|members| drop(members.remove(place)));
            }
        }
        if page.is_empty() {
            self.pages.remove(at);
        }
    }
}
