//! Folders that are listed again and again, on the simulated disk: what is remembered is never staler than a look at each member would have been,
//! whatever other programs do at whatever step, and whatever fails.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use noclobber::model::path::SharePath;
use noclobber::model::stamp::{Stamp, Timestamp};
use noclobber::share::{ListedMember, RequestContext, Share, ShareSettings, Tags};
use noclobber::store::abilities::Tier;
use noclobber::store::catalog::index::Index;
use noclobber::store::disk_error::{Cause, Result};
use noclobber::store::local::commit::Tree;
use noclobber::store::local::dir_cache::{DirCache, Effort, Limits};
use noclobber::store::local::disk::Disk;
use proptest::prelude::*;

use crate::harness::sim_disk::{Event, Features, Plan, SimDisk, When};
use crate::harness::stranger::{Act, Script, scripts, write_in_place};

/// What is told of a folder: its names, with the state of each.
type Told = BTreeMap<String, Stamp>;

/// What remembers, on a disk, and the folders that are asked for.
struct Rememberer {
    disk: SimDisk,
    cache: DirCache,
    /// The time of the next request.
    now: Timestamp,
}

impl Rememberer {
    fn new(disk: &SimDisk) -> Self {
        Self::within(disk, Limits::default())
    }

    fn within(disk: &SimDisk, limits: Limits) -> Self {
        Self { disk: disk.clone(), cache: DirCache::new(Arc::new(disk.clone()), limits), now: disk.now() }
    }

    /// What is remembered of a folder; `None` if nothing is.
    fn ask(&mut self, folder: &str) -> Result<Option<Told>> {
        self.now = self.now.plus(Duration::from_millis(1));
        let dir = self.disk.root()?;
        let dir = self.disk.open_dir(&dir, folder.as_bytes())?;
        let status = self.disk.dir_status(&dir)?;
        let known = self.cache.members(&dir, &status, self.now)?;
        Ok(known.map(|known| {
            let entries = known.pages().iter().flat_map(|page| page.entries());
            entries.map(|entry| (entry.name.to_text().into_owned(), entry.status.stamp)).collect()
        }))
    }

    /// As [`Rememberer::ask`], only if it takes a few looks.
    fn ask_at_hand(&mut self, folder: &str) -> Option<Told> {
        self.now = self.now.plus(Duration::from_millis(1));
        let dir = self.disk.open_dir(&self.disk.root().ok()?, folder.as_bytes()).ok()?;
        let status = self.disk.dir_status(&dir).ok()?;
        let known = self.cache.members_at_hand(&dir, &status, Effort::Little, self.now)?;
        let entries = known.pages().iter().flat_map(|page| page.entries());
        Some(entries.map(|entry| (entry.name.to_text().into_owned(), entry.status.stamp)).collect())
    }

    /// Has a folder remembered: it is asked for twice.
    fn warm(&mut self, folder: &str) {
        assert!(self.ask(folder).expect("asked").is_none(), "it comes for the first time");
        assert!(self.ask(folder).expect("asked").is_some(), "it comes again");
    }
}

/// What is in a folder of the disk now.
fn truth(disk: &SimDisk, folder: &str) -> Told {
    let inside = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let paths = disk.contents_everywhere().into_iter().map(|(path, _)| path).chain(disk.folders());
    let names = paths.filter_map(|path| path.strip_prefix(&inside).map(str::to_owned));
    let names: BTreeSet<String> = names.filter(|name| !name.contains('/')).collect();
    let told = names.into_iter().map(|name| (disk.stamp_at(&format!("{inside}{name}")).expect("it is there"), name));
    told.map(|(stamp, name)| (name, stamp)).collect()
}

fn disk_with_some_files() -> SimDisk {
    let disk = SimDisk::new(Features::of(Tier::A));
    for name in ["a", "b", "c"] {
        disk.place(&format!("d/{name}"), name);
    }
    disk.place_folder("d/sub");
    disk
}

/// Another program does something, at every step of the asking and in between: whatever was done before it is told, and of what is done meanwhile each
/// member is told in a state that it has had.
#[test]
fn whatever_is_done_at_whatever_step_shows_at_once() {
    let steps = {
        let disk = disk_with_some_files();
        let mut rememberer = Rememberer::new(&disk);
        rememberer.warm("d");
        disk.act(&Act::save("d/b", "b2"));
        disk.begin(Plan::new());
        rememberer.ask("d").expect("asked");
        disk.steps()
    };
    let mut stories = 0;
    for is_known_before in [true, false] {
        for script in scripts("d/a", "1") {
            for at in 1..=steps + 8 {
                for when in [When::Before, When::After] {
                    tell_a_story(&script, at, when, is_known_before);
                    stories += 1;
                }
            }
        }
    }
    assert!(stories > 500, "{stories}");
}

fn tell_a_story(script: &Script, at: usize, when: When, is_known_before: bool) {
    let disk = disk_with_some_files();
    let mut rememberer = Rememberer::new(&disk);
    if is_known_before {
        rememberer.warm("d");
    } else {
        assert!(rememberer.ask("d").expect("asked").is_none());
    }
    // Something is to be looked at in any case.
    disk.act(&Act::save("d/b", "b2"));
    let mut states: BTreeMap<String, HashSet<Option<Stamp>>> = BTreeMap::new();
    let mut note = |disk: &SimDisk| {
        let truth = truth(disk, "d");
        for name in ["a", "b", "c", "sub", "a.away1", "a.link1"] {
            states.entry(name.to_owned()).or_default().insert(truth.get(name).copied());
        }
    };
    note(&disk);
    let plan = script.acts.iter().map(|act| Event::Stranger { at, when, act: act.clone() }).collect();
    disk.begin(plan);
    let told = rememberer.ask("d").expect("asked").expect("it is remembered");
    // What was to be done later is done now.
    for act in disk.acts_to_come() {
        disk.act(&act);
    }
    note(&disk);
    let trace = || disk.trace().join("\n");
    // A script may go through states that were not noted; a name that was never touched has one.
    for (name, stamp) in told.iter().filter(|(name, _)| ["b", "c", "sub"].contains(&name.as_str())) {
        assert!(states[name].contains(&Some(*stamp)), "{name} {stamp:?} at {at}\n{}", trace());
    }
    for round in 0..2 {
        let told = rememberer.ask("d").expect("asked").expect("it is remembered");
        assert_eq!(told, truth(&disk, "d"), "round {round}, at step {at}, {when:?}\n{}", trace());
    }
    let told = rememberer.ask_at_hand("d").expect("nothing is to be done");
    assert_eq!(told, truth(&disk, "d"), "at hand, at step {at}\n{}", trace());
}

/// Every call fails once: what could not be found out is not told, and the next who asks is told how it is.
#[test]
fn whatever_fails_nothing_wrong_is_told() {
    for is_known_before in [true, false] {
        for at in 1..=16 {
            let disk = disk_with_some_files();
            let mut rememberer = Rememberer::new(&disk);
            assert!(rememberer.ask("d").expect("asked").is_none());
            if is_known_before {
                assert!(rememberer.ask("d").expect("asked").is_some());
            }
            disk.act(&Act::save("d/b", "b2"));
            disk.act(&Act::create("d/new", "n"));
            disk.begin(vec![Event::Fail { at, cause: Cause::Failed }]);
            if let Ok(Some(told)) = rememberer.ask("d") {
                assert_eq!(told, truth(&disk, "d"), "at step {at}\n{}", disk.trace().join("\n"));
            }
            disk.act(&Act::unlink("d/c"));
            disk.begin(Plan::new());
            for _ in 0..3 {
                if let Some(told) = rememberer.ask("d").expect("asked") {
                    assert_eq!(told, truth(&disk, "d"), "after a failure at step {at}");
                }
            }
        }
    }
}

/// What nobody is told of shows when the last look at all members is a second old, and not before: nothing else can be had.
#[test]
fn what_nobody_tells_shows_after_a_second() {
    let disk = disk_with_some_files();
    let mut rememberer = Rememberer::new(&disk);
    rememberer.warm("d");
    disk.write_unheard("d/a", "by a mapping");
    assert_ne!(rememberer.ask("d").expect("asked").expect("remembered"), truth(&disk, "d"));
    rememberer.now = rememberer.now.plus(Duration::from_secs(1));
    assert_eq!(rememberer.ask("d").expect("asked").expect("remembered"), truth(&disk, "d"));
    // A clock that is set back does not make it older.
    disk.write_unheard("d/a", "once more");
    rememberer.now = Timestamp::from_nanoseconds(rememberer.now.nanoseconds() - 3_600_000_000_000);
    assert_eq!(rememberer.ask("d").expect("asked").expect("remembered"), truth(&disk, "d"));
}

/// Of a file with two names, and of a folder, the system tells only a part: they are looked at each time.
#[test]
fn what_is_told_by_halves_is_looked_at_each_time() {
    let disk = disk_with_some_files();
    disk.place("e/other", "");
    disk.act(&Act::unlink("e/other"));
    disk.act(&Act::link("d/a", "e/z"));
    let mut rememberer = Rememberer::new(&disk);
    rememberer.warm("d");
    rememberer.warm("e");
    // The first name is told of, the second is not.
    write_in_place(1, "e/z", "through the other name").iter().for_each(|act| disk.act(act));
    disk.act(&Act::create("d/sub/inside", "x"));
    for folder in ["d", "e"] {
        assert_eq!(rememberer.ask(folder).expect("asked").expect("remembered"), truth(&disk, folder), "{folder}");
    }
    // Whoever has opened it by the name that is gone goes on writing.
    disk.act(&Act::find(2, "e/z"));
    disk.act(&Act::Open { hand: 2 });
    disk.act(&Act::unlink("e/z"));
    rememberer.ask("d").expect("asked");
    disk.write_unheard("d/a", "by what was opened elsewhere");
    assert_eq!(rememberer.ask("d").expect("asked").expect("remembered"), truth(&disk, "d"));
}

/// Where word is lost, all folders are looked at in full.
#[test]
fn where_word_is_lost_everything_is_looked_at() {
    let disk = SimDisk::new(Features { told_max: 8, ..Features::of(Tier::A) });
    for number in 0..20 {
        disk.place(&format!("d/{number}"), "x");
        disk.place(&format!("e/{number}"), "x");
    }
    let mut rememberer = Rememberer::new(&disk);
    rememberer.warm("d");
    rememberer.warm("e");
    for number in 0..20 {
        disk.act(&Act::save(&format!("e/{number}"), "y"));
    }
    disk.act(&Act::unlink("d/3"));
    for folder in ["d", "e", "d"] {
        assert_eq!(rememberer.ask(folder).expect("asked").expect("remembered"), truth(&disk, folder), "{folder}");
    }
}

/// A watch that ends by itself, and one that is not to be had: the folder is read each time.
#[test]
fn without_a_watch_nothing_is_remembered() {
    let disk = SimDisk::new(Features { watches: 1, ..Features::of(Tier::A) });
    for folder in ["d", "e"] {
        disk.place(&format!("{folder}/a"), "x");
    }
    let mut rememberer = Rememberer::new(&disk);
    rememberer.warm("d");
    for _ in 0..4 {
        assert!(rememberer.ask("e").expect("asked").is_none(), "there is no watch left");
    }
    disk.end_watches();
    assert!(rememberer.ask("d").expect("asked").is_none(), "its watch has ended");
    assert_eq!(rememberer.cache.len(), 0);
    // As if it came for the first time.
    disk.act(&Act::save("d/a", "y"));
    assert_eq!(rememberer.ask("d").expect("asked").expect("remembered"), truth(&disk, "d"));
}

/// A folder that nobody asks for is let go after a minute, with its watch.
#[test]
fn what_nobody_asks_for_is_let_go() {
    let disk = disk_with_some_files();
    let mut rememberer = Rememberer::new(&disk);
    rememberer.warm("d");
    rememberer.cache.let_go(rememberer.now.plus(Duration::from_secs(60)));
    assert_eq!(disk.watched(), 1);
    rememberer.cache.let_go(rememberer.now.plus(Duration::from_secs(61)));
    assert_eq!((disk.watched(), rememberer.cache.len()), (0, 0));
}

/// As many folders as may be, and no more bytes: the one that was not asked for the longest goes.
#[test]
fn the_oldest_goes_where_there_are_too_many() {
    let disk = SimDisk::new(Features::of(Tier::A));
    for folder in ["d", "e", "f"] {
        (0..10).for_each(|number| disk.place(&format!("{folder}/{number}"), "x"));
    }
    let mut rememberer = Rememberer::within(&disk, Limits { folders_max: 2, ..Limits::default() });
    ["d", "e"].into_iter().for_each(|folder| rememberer.warm(folder));
    rememberer.ask("d").expect("asked");
    rememberer.warm("f");
    assert_eq!(disk.watched(), 2);
    assert!(rememberer.ask_at_hand("d").is_some() && rememberer.ask_at_hand("e").is_none());

    let mut rememberer = Rememberer::within(&disk, Limits { bytes_max: 4000, ..Limits::default() });
    ["d", "e", "f"].into_iter().for_each(|folder| rememberer.warm(folder));
    assert!(rememberer.cache.len() < 3, "{} folders", rememberer.cache.len());
    assert!(rememberer.ask_at_hand("f").is_some(), "the last stays");
    let mut rememberer = Rememberer::within(&disk, Limits { bytes_max: 500, ..Limits::default() });
    for _ in 0..4 {
        assert!(rememberer.ask("d").expect("asked").is_none(), "it is too large");
    }
    assert_eq!(rememberer.cache.len(), 0);
}

/// One thing that another program does in the folder, among few names so that they meet.
fn acts() -> impl Strategy<Value = Act> {
    let path =
        || (0..40_u8, any::<bool>()).prop_map(|(name, deep)| format!("{}{name}", if deep { "d/sub/" } else { "d/" }));
    prop_oneof![
        (path(), "[a-z]{0,3}").prop_map(|(path, bytes)| Act::save(&path, &bytes)),
        path().prop_map(|path| Act::unlink(&path)),
        (path(), path()).prop_map(|(from, to)| Act::rename(&from, &to)),
        (path(), 0..0o777_u32).prop_map(|(path, mode)| Act::Chmod { path, mode }),
        path().prop_map(|path| Act::MakeFolder { path }),
        (path(), "[a-z]{0,3}").prop_map(|(path, bytes)| Act::create(&path, &bytes)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if crate::harness::full() { 2000 } else { 150 }, ..ProptestConfig::default() })]

    /// Whatever programs do between the questions, and however little may be remembered, what is told is what is there.
    #[test]
    fn what_is_told_is_what_is_there(
        rounds in prop::collection::vec((prop::collection::vec(acts(), 0..30), any::<bool>()), 1..12),
        told_max in prop_oneof![Just(4_usize), Just(1000)],
        bytes_max in prop_oneof![Just(6000_usize), Just(1 << 20)],
    ) {
        let disk = SimDisk::new(Features { told_max, ..Features::of(Tier::A) });
        disk.place_folder("d/sub");
        let mut rememberer = Rememberer::within(&disk, Limits { bytes_max, ..Limits::default() });
        for (acts, only_at_hand) in rounds {
            acts.iter().for_each(|act| disk.act(act));
            for folder in ["d", "d/sub"] {
                if disk.folders().iter().all(|there| there != folder) {
                    continue;
                }
                let told =
                    if only_at_hand { rememberer.ask_at_hand(folder) } else { rememberer.ask(folder).expect("asked") };
                if let Some(told) = told {
                    prop_assert_eq!(told, truth(&disk, folder));
                }
            }
        }
    }

    /// A folder of many pages, of which some are divided and some become empty.
    #[test]
    fn pages_are_divided_and_go(changes in prop::collection::vec((0..2000_u16, any::<bool>()), 1..600)) {
        let disk = SimDisk::new(Features::of(Tier::A));
        (0..300).for_each(|number| disk.place(&format!("d/{:05}", number * 7), "x"));
        let mut rememberer = Rememberer::new(&disk);
        rememberer.warm("d");
        for changes in changes.chunks(100) {
            for (name, stays) in changes {
                let path = format!("d/{name:05}");
                disk.act(&if *stays { Act::save(&path, "y") } else { Act::unlink(&path) });
            }
            prop_assert_eq!(rememberer.ask("d").expect("asked").expect("remembered"), truth(&disk, "d"));
        }
    }
}

/// A share lists from memory what it lists from the disk.
#[test]
fn a_share_lists_from_memory_what_is_there() {
    let disk = disk_with_some_files();
    let tree = Tree::on(Arc::new(disk.clone()));
    let share = Share::open(tree, Index::in_memory(), ShareSettings::default(), disk.now()).expect("opens");
    let path = SharePath::parse_disk(b"d").expect("a path");
    let mut now = disk.now().plus(Duration::from_secs(3600));
    let mut list = || {
        now = now.plus(Duration::from_millis(1));
        let (mut told, request) = (Vec::new(), RequestContext::unconditional(now));
        let mut each = |member: ListedMember| {
            told.push((member.name.to_text().into_owned(), member.size, member.tag.map(|tag| tag.to_string())));
            ControlFlow::Continue(())
        };
        share.list(&path, Tags::Show, &request, &mut each).expect("lists");
        told.sort();
        told
    };
    let first = list();
    assert_eq!(first.len(), 4);
    assert_eq!(disk.watched(), 0);
    assert_eq!(list(), first);
    assert_eq!(disk.watched(), 1, "from now on it is remembered");
    assert_eq!(list(), first);
    disk.act(&Act::save("d/a", "longer"));
    let changed = list();
    assert_eq!((&changed[0].0, changed[0].1), (&"a".to_owned(), 6));
    assert_ne!(changed[0].2, first[0].2, "another version has another tag");
    assert_eq!(changed[1..], first[1..]);
}
