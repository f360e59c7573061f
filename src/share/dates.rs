//! What dates were told lately of each name, and which folders came to their names when: what has to be known, besides the file itself, to
//! say whether a date names a version. The rules are in [`crate::model::dating`].
//!
//! Only dates that are told within moments of themselves are remembered, so there are few. What is forgotten leaves a floor behind: of the
//! dates up to it none is taken for exact any more. All of it is forgotten with the process. What it has proved by then of what programs
//! wrote is noted in the index; of what is older than the process and is not noted there, nothing is believed. Names that differ in case or in
//! the form of their characters count as one.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use parking_lot::Mutex;

use crate::model::dating::{AHEAD_MAX, Dated, FRESH, ToldOfOthers};
use crate::model::path::SharePath;
use crate::model::stamp::{Stamp, Timestamp};
use crate::store::catalog::remembered::ToldBefore;

/// So long after its second a date counts as told lately: a little longer than it has to, since the clocks of disks tick.
pub(super) const TOLD_LATELY: Duration = FRESH.saturating_add(Duration::from_secs(2));

/// How many names are remembered, and how many folders.
const NAMES_MAX: usize = 64 * 1024;

const FOLDERS_MAX: usize = 4 * 1024;

/// The dates that were told lately.
#[derive(Debug)]
pub(super) struct Dates(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    names: Latest,
    folders: Latest,
    /// When the share was opened: nothing is known of what was told before, and no date that was told since is much older.
    since: i64,
    /// The latest time that the clock has shown.
    clock: i64,
    /// The seconds that the clock has gone through twice.
    twice: Option<(i64, i64)>,
    /// The latest date that was told at all.
    latest: Option<i64>,
    /// Whether the index does not know of these two yet.
    is_unsaved: bool,
}

/// The latest second of each name, the earliest of which are forgotten first.
#[derive(Debug, Default)]
struct Latest {
    of: HashMap<u64, ToldDate>,
    in_order: BTreeSet<(i64, u64)>,
    /// The latest of those that are forgotten.
    floor: Option<i64>,
}

/// A second, and the state of the file that it was told of; `None` if of several.
#[derive(Clone, Copy, Debug)]
struct ToldDate {
    second: i64,
    state: Option<u64>,
}

pub(super) fn margin() -> i64 {
    TOLD_LATELY.as_secs() as i64
}

/// Stands for a path, and for each that a disk may take for the same.
pub(super) fn key(path: &SharePath) -> u64 {
    let folded: Vec<Vec<u8>> = path.names().map(|name| name.folded(<[u8]>::to_vec)).collect();
    digest(&folded.join(&b'/'))
}

fn state(stamp: &Stamp) -> u64 {
    digest(&stamp.to_bytes())
}

fn digest(bytes: &[u8]) -> u64 {
    let hash = blake3::hash(bytes);
    u64::from_le_bytes(std::array::from_fn(|at| hash.as_bytes()[at]))
}

impl Dates {
    /// Nothing has been told yet.
    pub(super) fn since(now: Timestamp) -> Self {
        Self(Mutex::new(Told { since: now.seconds(), ..Told::default() }))
    }

    /// Nothing has been told yet by this process; an earlier one has left this word of what it told.
    pub(super) fn after(before: Option<ToldBefore>, now: Timestamp) -> Self {
        let Some(before) = before else { return Self::since(now) };
        let mut told =
            Told { since: now.seconds(), twice: before.twice, latest: Some(before.latest), ..Told::default() };
        if before.latest > now.plus(AHEAD_MAX).seconds() {
            told.goes_through_again(now.seconds(), before.latest);
        } else {
            told.since = told.since.max(before.latest);
        }
        Self(Mutex::new(told))
    }

    /// What is to be known to a later process of what was told, if that has changed since it was asked for.
    pub(super) fn take_unsaved(&self) -> Option<ToldBefore> {
        let mut told = self.0.lock();
        let is_unsaved = std::mem::take(&mut told.is_unsaved);
        let twice = told.twice;
        told.latest.filter(|_| is_unsaved).map(|latest| ToldBefore { latest, twice })
    }

    /// The latest date that anything at this name is known to have been told with.
    pub(super) fn latest(&self, path: &SharePath) -> Option<i64> {
        let told = self.0.lock();
        let name = told.names.of.get(&key(path)).map(|entry| entry.second);
        name.max(told.names.floor).max(told.came(path))
    }

    /// What is known of the dates that other versions of a name than this, of this date and arrival, were told with.
    pub(super) fn told_of_others(&self, path: &SharePath, stamp: &Stamp, dated: Dated) -> ToldOfOthers {
        let told = self.0.lock();
        let entry = told.names.of.get(&key(path)).filter(|entry| entry.state != Some(state(stamp)));
        let could_be_forgotten = dated.date + margin() >= told.since;
        let floor = told.names.floor.filter(|_| could_be_forgotten);
        let is_repeated = |(from, to): &(i64, i64)| {
            let repeated = *from..=*to;
            repeated.contains(&dated.date) || dated.arrived.is_some_and(|arrived| repeated.contains(&arrived))
        };
        let twice = told.twice.filter(is_repeated).map(|(_, to)| to);
        let lately = entry.map(|entry| entry.second).max(floor).max(twice).max(told.came(path));
        ToldOfOthers { lately, since: told.since }
    }

    /// When the last of the folders above came to its name, as far as this server has moved them.
    pub(super) fn folders_came(&self, path: &SharePath) -> Option<i64> {
        self.0.lock().came(path)
    }

    /// Remembers that a version was told with its date, if that is not long ago. A state that is not settled may be of several versions.
    pub(super) fn tell(&self, path: &SharePath, stamp: &Stamp, is_settled: bool, now: Timestamp) {
        // It is told as the time of the answer at the latest.
        let date = stamp.mtime.seconds().min(now.seconds());
        let mut told = self.0.lock();
        if told.latest.is_none_or(|latest| date > latest) {
            told.latest = Some(date);
            told.is_unsaved = true;
        }
        if date + margin() < now.seconds() {
            return;
        }
        told.watch_the_clock(now);
        told.names.note(key(path), date, is_settled.then(|| state(stamp)), NAMES_MAX);
    }

    /// Remembers that a folder has come to its name with all that is in it.
    pub(super) fn folder_came(&self, path: &SharePath, now: Timestamp) {
        self.0.lock().folders.note(key(path), now.seconds(), None, FOLDERS_MAX);
    }

    /// Notices that the clock was set back.
    pub(super) fn watch_the_clock(&self, now: Timestamp) {
        self.0.lock().watch_the_clock(now);
    }
}

impl Told {
    fn came(&self, path: &SharePath) -> Option<i64> {
        if self.folders.of.is_empty() && self.folders.floor.is_none() {
            return None;
        }
        let mut above = Some(path.clone());
        let mut latest = self.folders.floor;
        while let Some(folder) = above.filter(|folder| !folder.is_root()) {
            latest = latest.max(self.folders.of.get(&key(&folder)).map(|entry| entry.second));
            above = folder.split().map(|(parent, _)| parent);
        }
        latest
    }

    fn watch_the_clock(&mut self, now: Timestamp) {
        let now = now.seconds();
        if now + margin() < self.clock {
            self.goes_through_again(now, self.clock);
            self.clock = now;
        }
        self.clock = self.clock.max(now);
    }

    fn goes_through_again(&mut self, now: i64, clock: i64) {
        let (from, to) = self.twice.unwrap_or((now, clock));
        self.twice = Some((from.min(now - margin()), to.max(clock)));
        self.is_unsaved = true;
    }
}

impl Latest {
    fn note(&mut self, key: u64, second: i64, state: Option<u64>, most: usize) {
        let entry = match self.of.get(&key) {
            Some(older) if older.second > second => return,
            Some(same) if same.second == second && same.state != state => ToldDate { second, state: None },
            _ => ToldDate { second, state },
        };
        if let Some(older) = self.of.insert(key, entry) {
            self.in_order.remove(&(older.second, key));
        }
        self.in_order.insert((second, key));
        while self.of.len() > most {
            let Some((second, key)) = self.in_order.pop_first() else { return };
            self.of.remove(&key);
            self.floor = self.floor.max(Some(second));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::stamp::FileId;

    fn path(text: &str) -> SharePath {
        SharePath::parse_disk(text.as_bytes()).expect(text)
    }

    fn file(inode: u64, date: i64) -> Stamp {
        let time = Timestamp::new(date, 0);
        Stamp { id: FileId { inode, generation: 0 }, size: 1, mtime: time, ctime: time }
    }

    fn told_lately(dates: &Dates, at: &str, file: &Stamp) -> Option<i64> {
        let dated = Dated::of(file, Duration::ZERO);
        dates.told_of_others(&path(at), file, dated).lately
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::new(second, 0)
    }

    #[test]
    fn what_was_told_lately_of_others_is_known() {
        let dates = Dates::since(at(50));
        dates.tell(&path("old"), &file(1, 80), true, at(100));
        assert_eq!(dates.latest(&path("old")), None, "that is long ago");
        dates.tell(&path("a"), &file(1, 100), true, at(100));
        assert_eq!(told_lately(&dates, "a", &file(1, 100)), None, "it was of this very version");
        assert_eq!(told_lately(&dates, "a", &file(2, 100)), Some(100));
        dates.tell(&path("a"), &file(2, 100), true, at(100));
        assert_eq!(told_lately(&dates, "a", &file(1, 100)), Some(100), "of two");
        dates.tell(&path("b"), &file(1, 100), false, at(100));
        assert_eq!(told_lately(&dates, "b", &file(1, 100)), Some(100), "of a state that may be of two");
        dates.tell(&path("ahead"), &file(1, 900), true, at(100));
        assert_eq!(dates.latest(&path("ahead")), Some(100), "it is told as the time of the answer");
    }

    #[test]
    fn names_that_a_disk_may_take_for_one_are_one() {
        let dates = Dates::since(at(50));
        dates.tell(&path("caf\u{e9}/A.txt"), &file(1, 100), true, at(100));
        for same in ["cafe\u{301}/a.txt", "CAF\u{c9}/a.TXT", "caf\u{e9}./A.txt", "caf\u{e9}/A.txt "] {
            assert_eq!(dates.latest(&path(same)), Some(100), "{same}");
        }
        dates.tell(&path("stra\u{df}e"), &file(1, 100), true, at(100));
        assert_eq!(dates.latest(&path("STRASSE")), Some(100));
        assert_eq!(dates.latest(&path("cafe/a.txt")), None);
    }

    #[test]
    fn a_folder_comes_with_all_that_is_below() {
        let dates = Dates::since(at(50));
        dates.folder_came(&path("d"), at(100));
        for (below, expected) in [("d", Some(100)), ("d/a", Some(100)), ("d/e/f/a", Some(100)), ("da", None)] {
            assert_eq!(dates.folders_came(&path(below)), expected, "{below}");
            assert_eq!(dates.latest(&path(below)), expected, "{below}");
        }
    }

    #[test]
    fn what_is_forgotten_leaves_a_floor() {
        let dates = Dates::since(at(50));
        for number in 0..NAMES_MAX as i64 + 10 {
            dates.tell(&path(&format!("f{number}")), &file(1, 100 + number), true, at(100 + number));
        }
        let told = |name: &str, date| told_lately(&dates, name, &file(2, date));
        assert_eq!(told("f3", 103), Some(109), "forgotten");
        assert_eq!(told("f20", 120), Some(120), "remembered");
        assert_eq!(told("never", 109), Some(109), "nobody knows");
        assert_eq!(told("never", 20), None, "nothing of that age was told since the start");
    }

    #[test]
    fn a_clock_that_was_set_back_repeats_its_dates() {
        let dates = Dates::since(at(50));
        dates.watch_the_clock(at(1000));
        dates.watch_the_clock(at(998));
        assert_eq!(told_lately(&dates, "a", &file(1, 990)), None, "clocks are put right a little");
        dates.watch_the_clock(at(500));
        assert_eq!(told_lately(&dates, "a", &file(1, 700)), Some(1000));
        assert_eq!(told_lately(&dates, "a", &file(1, 300)), None);
        let arrived_in_it = Stamp { ctime: at(700), ..file(1, 300) };
        assert_eq!(told_lately(&dates, "a", &arrived_in_it), Some(1000));
    }

    #[test]
    fn a_clock_that_was_set_back_is_known_to_the_next_process() {
        let dates = Dates::since(at(50));
        assert_eq!(dates.take_unsaved(), None);
        dates.tell(&path("a"), &file(1, 1000), true, at(2000));
        let before = dates.take_unsaved();
        assert_eq!(before, Some(ToldBefore { latest: 1000, twice: None }));
        assert_eq!(dates.take_unsaved(), None, "it is saved once");
        let began = |now| Dates::after(before, at(now)).0.lock().since;
        assert_eq!((began(1500), began(1000), began(999)), (1500, 1000, 1000), "an upload may be dated a little ahead");
        let next = Dates::after(before, at(400));
        assert_eq!(told_lately(&next, "a", &file(2, 700)), Some(1000));
        assert_eq!(told_lately(&next, "a", &file(2, 1001)), None);
        let third = Dates::after(next.take_unsaved(), at(3000));
        assert_eq!(
            told_lately(&third, "a", &file(2, 700)),
            Some(1000),
            "it is not forgotten when the clock has caught up"
        );
        assert_eq!(Dates::after(None, at(70)).0.lock().since, 70);
        assert_eq!(told_lately(&dates, "a", &file(1, 1001)), None);
    }
}
