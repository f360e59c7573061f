//! The feed tells everything that happens, and nothing that does not: whoever has an old listing and replays what was told since has the present one,
//! whatever clients and programs have done, over restarts and kills. Where that cannot be, the feed says so, and only there.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use noclobber::model::change::{Change, ChangeKind, Resource};
use noclobber::model::cursor::Cursor;
use noclobber::model::extent::Extent;
use noclobber::model::lock::{Reach, Scope};
use noclobber::model::lock_token::LockToken;
use noclobber::model::path::SharePath;
use noclobber::model::property::{DeadProperty, PropertyName};
use noclobber::model::stamp::Timestamp;
use noclobber::share::outcome::Outcome;
use noclobber::share::{
    CopyLimit, Hint, JournalLimits, LockRequest, LostPlace, PageRequest, PropertyUpdate, Relocation, RequestContext,
    Share, ShareIdentity, ShareSettings, Tags, Walk, WalkReach,
};
use noclobber::store::abilities::Tier;
use noclobber::store::local::commit::Tree;
use noclobber::store::local::history::KeepLimits;
use noclobber::store::local::os_disk::{FollowLinks, Options, OsDisk};

use crate::harness::full;
use crate::harness::stories::share_path;

/// So long may a machine that is busy with other tests take.
const LIMIT: Duration = Duration::from_secs(60);

/// The paths on which everything happens.
const PATHS: &[&str] = &["a", "b", "d", "d/a", "d/b", "d/e", "d/e/a", "f", "f/a", "f/e"];

fn now() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}

fn anybody() -> RequestContext {
    RequestContext::unconditional(now())
}

/// What a listing tells of one path: `None` for a folder.
type Told = Option<(u64, Option<String>)>;

/// A listing of the whole share.
type View = BTreeMap<SharePath, Told>;

/// A share that is served, in this process, with the thread that keeps its feed.
struct Served {
    share: Arc<Share>,
    keeper: Option<JoinHandle<()>>,
}

/// Where a share and its state lie.
struct Place {
    folder: tempfile::TempDir,
    state: tempfile::TempDir,
    tier: Option<Tier>,
    journal: JournalLimits,
}

impl Place {
    fn new(tier: Tier) -> Self {
        let folder = || tempfile::tempdir().expect("a folder");
        Self { folder: folder(), state: folder(), tier: Some(tier), journal: JournalLimits::default() }
    }

    fn serve(&self) -> Served {
        self.serve_following(FollowLinks::Never)
    }

    fn serve_following(&self, links: FollowLinks) -> Served {
        let options = Options { at_most: self.tier, links, ..Options::default() };
        let disk = OsDisk::open(self.folder.path(), options).expect("a disk");
        let identity = ShareIdentity { path: self.folder.path().to_owned(), folder: [7; 16] };
        let index = Share::open_index(self.state.path(), &identity).expect("an index");
        let settings = ShareSettings {
            keep: Some(KeepLimits { age_max: Duration::from_secs(86_400), percent_max: 90 }),
            journal: self.journal,
            ..ShareSettings::default()
        };
        let share = Arc::new(Share::open(Tree::on(Arc::new(disk)), index, settings, now()).expect("a share"));
        let kept = Arc::clone(&share);
        Served { share, keeper: Some(thread::spawn(move || kept.keep_feed(&now))) }
    }

    fn on_disk(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }
}

impl Served {
    #[track_caller]
    fn wait_until_complete(&self) {
        let began = Instant::now();
        while !self.share.feed_is_complete() {
            assert!(began.elapsed() < LIMIT, "the feed is never complete");
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn end_keeper(&mut self) {
        self.share.stop_feed();
        self.keeper.take().expect("it runs").join().expect("no panic");
    }

    /// Ends in good order.
    fn stop(mut self) {
        self.end_keeper();
        self.share.save_index().expect("saved");
        self.share.close().expect("closed");
    }

    /// Ends as after a kill, with what is on the disk by then.
    fn kill(mut self) {
        self.end_keeper();
    }

    fn listing(&self) -> View {
        let walk =
            Walk { top: SharePath::root(), reach: WalkReach::Everything, tags: Tags::Show, members_max: usize::MAX };
        let mut view = View::new();
        let walked = self.share.walk(&walk, &anybody(), &mut |folder, member| {
            let tag = member.tag.as_ref().map(ToString::to_string);
            let is_file = member.kind == noclobber::share::Kind::File;
            view.insert(folder.path.join(&member.name), is_file.then_some((member.size, tag)));
            Ok(ControlFlow::Continue(()))
        });
        walked.expect("a walk");
        view
    }
}

/// A client that has listed the share once, and follows the feed.
struct Follower {
    view: View,
    at: Cursor,
    /// What was told of late, for whoever reads why a test failed.
    heard: Vec<String>,
    resets: usize,
}

impl Follower {
    fn begin(served: &Served) -> Self {
        let at = served.share.feed_end();
        Self { view: served.listing(), at, heard: Vec::new(), resets: 0 }
    }

    /// Hears all that was told since.
    #[track_caller]
    fn follow(&mut self, served: &Served) {
        loop {
            match served.share.changes_after(self.at, 3) {
                Ok(page) => {
                    for numbered in &page.changes {
                        self.at.number = numbered.number;
                        self.replay(&numbered.change, served);
                    }
                    if !page.goes_on {
                        return;
                    }
                }
                Err(LostPlace::TooOld | LostPlace::Foreign) => {
                    *self = Self { resets: self.resets + 1, ..Self::begin(served) };
                    self.heard.push("look again".to_owned());
                }
                Err(other) => panic!("{other}"),
            }
        }
    }

    fn replay(&mut self, change: &Change, served: &Served) {
        self.heard.push(format!("{:?} {:?} {:?}", change.kind, change.path, change.resource));
        let there = match &change.resource {
            Resource::Folder => None,
            Resource::File { size, tag } => Some((size.unwrap_or_default(), tag.as_ref().map(ToString::to_string))),
        };
        let path = &change.path;
        match &change.kind {
            ChangeKind::Lock => {}
            ChangeKind::Deleted => self.remove(path),
            ChangeKind::Moved { from } => {
                self.remove(path);
                let moved: Vec<_> = self.view.keys().filter(|other| other.is_within(from)).cloned().collect();
                for old in moved {
                    let told = self.view.remove(&old).expect("it is there");
                    self.view.insert(old.moved(from, path), told);
                }
                if there.is_some() {
                    self.view.insert(path.clone(), there);
                }
            }
            ChangeKind::Created | ChangeKind::Replaced | ChangeKind::Restored | ChangeKind::ConflictCopy => {
                self.remove(path);
                self.view.insert(path.clone(), there);
            }
            ChangeKind::Properties if path.is_root() => {}
            ChangeKind::Properties => drop(self.view.insert(path.clone(), there)),
            ChangeKind::Uncertain => {
                self.remove(path);
                let present = served.listing().into_iter().filter(|(other, _)| other.is_within(path));
                self.view.extend(present);
            }
        }
    }

    fn remove(&mut self, path: &SharePath) {
        self.view.retain(|other, _| !other.is_within(path));
    }

    /// What was told has to be what is there: of a file that is being written no more than that it is there.
    #[track_caller]
    fn has_what_is_there(&self, served: &Served, why: &str) {
        let (mut told, mut there) = (self.view.clone(), served.listing());
        let is_weak =
            |told: &Told| told.as_ref().is_some_and(|(_, tag)| tag.as_ref().is_none_or(|tag| tag.starts_with('W')));
        let weak: Vec<_> = there.iter().filter(|(_, told)| is_weak(told)).map(|(path, _)| path.clone()).collect();
        // No tag is told of a file that was shown to nobody.
        let untold: Vec<_> =
            told.iter().filter(|(_, told)| matches!(told, Some((_, None)))).map(|(path, _)| path.clone()).collect();
        for path in untold {
            there.entry(path).and_modify(|there| *there = there.as_ref().map(|(size, _)| (*size, None)));
        }
        for path in weak {
            there.insert(path.clone(), Some((0, None)));
            told.entry(path).and_modify(|told| *told = told.as_ref().map(|_| (0, None)));
        }
        let heard = self.heard.join("\n  ");
        assert_eq!(told, there, "{why}; heard:\n  {heard}");
    }
}

/// Numbers by chance, the same ones for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }

    fn path(&mut self) -> &'static str {
        PATHS[self.below(PATHS.len())]
    }
}

/// Something that a client asks for by chance. Whether it succeeds is not what is asked here.
fn request(share: &Share, chance: &mut Chance) -> String {
    let (path, other, what) = (chance.path(), chance.path(), chance.below(11));
    let (at, to, context) = (share_path(path), share_path(other), anybody());
    let relocation = Relocation { from: at.clone(), to: to.clone(), may_replace: chance.below(3) > 0, dated: None };
    let done = match what {
        0..=2 => put(share, &at, &format!("{}", chance.below(1000))).is_ok(),
        3 => share.make_collection(&at, &[], &context).is_ok(),
        4 => share.delete(&at, &context).is_ok(),
        5 => share.relocate(&relocation, &context, CopyLimit::UNLIMITED).is_ok(),
        6 => share.copy(&relocation, Extent::Tree, &context, CopyLimit::UNLIMITED).is_ok(),
        7 => {
            let name = PropertyName::new("urn:x", "p");
            let note = DeadProperty::new(name, "<p xmlns=\"urn:x\">1</p>");
            share.amend(&at, &[PropertyUpdate::Note(note)], &context, false).is_ok()
        }
        8 => {
            let dated = Timestamp::new(1_000_000_000 + chance.below(1000) as i64, 0);
            share.amend(&at, &[PropertyUpdate::Modified(dated)], &context, false).is_ok()
        }
        9 => {
            let token = LockToken::from_random([chance.below(255) as u8; 16]);
            let wish = LockRequest {
                token: token.clone(),
                scope: Scope::Exclusive,
                reach: Reach::Itself,
                owner: None,
                timeout: None,
            };
            share.lock(&at, wish, &context).is_ok() && share.unlock(&at, &token, &context).is_ok()
        }
        _ => {
            let wanted = PageRequest { before: None, count: 1 };
            let versions = share.versions(&at, wanted, &context, &mut || ControlFlow::Continue(()));
            versions
                .ok()
                .and_then(|page| page.items.into_iter().next())
                .is_some_and(|version| share.restore(&at, &version.id, true, &context, CopyLimit::UNLIMITED).is_ok())
        }
    };
    format!("request {what} {path} {other}: {done}")
}

fn put(share: &Share, path: &SharePath, content: &str) -> Outcome<()> {
    let mut upload = share.begin_upload(path, Some(content.len() as u64), now())?;
    share.write(&mut upload, content.as_bytes(), now())?;
    share.put(path, upload, None, &anybody()).map(drop)
}

/// Something that a program does by chance; and the hints that the watcher gives of it.
fn program(place: &Place, chance: &mut Chance) -> (String, Vec<Hint>) {
    let (path, other, what) = (chance.path(), chance.path(), chance.below(7));
    let (at, to) = (place.on_disk(path), place.on_disk(other));
    let itself = vec![Hint::Path(share_path(path))];
    let (done, hints) = match what {
        0 | 1 => (fs::write(&at, format!("by a program {}", chance.below(1000))).is_ok(), itself),
        2 => {
            let saved = place.on_disk("saved.tmp");
            let done =
                fs::write(&saved, format!("saved {}", chance.below(1000))).and_then(|()| fs::rename(&saved, &at));
            let _ = fs::remove_file(&saved);
            (done.is_ok(), vec![Hint::Path(share_path("saved.tmp")), Hint::Subtree(share_path(path))])
        }
        3 => (fs::remove_file(&at).is_ok(), itself),
        4 => (fs::remove_dir_all(&at).is_ok(), vec![Hint::Subtree(share_path(path))]),
        5 => {
            let within = other.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            let done = !within && fs::rename(&at, &to).is_ok();
            (done, vec![Hint::Subtree(share_path(path)), Hint::Subtree(share_path(other))])
        }
        _ => {
            let done = fs::create_dir_all(&at).and_then(|()| fs::write(at.join("a"), "made"));
            (
                done.is_ok(),
                vec![Hint::Subtree(share_path(path)), Hint::Subtree(share_path("d")), Hint::Subtree(share_path("f"))],
            )
        }
    };
    (format!("program {what} {path} {other}: {done}"), hints)
}

fn hint(share: &Share, hints: &[Hint], chance: &mut Chance) {
    if chance.below(50) == 0 {
        // Events were lost: the watcher cannot say where.
        share.noticed(&Hint::Anywhere, now());
    } else {
        hints.iter().for_each(|hint| share.noticed(hint, now()));
    }
}

/// One by one: after each step whoever follows has what is there.
fn every_step_is_told(tier: Tier, seed: u64, steps: usize) {
    let place = Place::new(tier);
    let mut chance = Chance(seed);
    let mut served = place.serve();
    served.wait_until_complete();
    let mut follower = Follower::begin(&served);
    for step in 0..steps {
        let (done, may_reset) = match chance.below(40) {
            0 => {
                served.stop();
                let done = if chance.below(2) == 0 { program(&place, &mut chance).0 } else { String::new() };
                served = place.serve();
                (format!("restart, {done}"), false)
            }
            1 => {
                served.kill();
                served = place.serve();
                ("kill".to_owned(), true)
            }
            2..=19 => {
                let (done, hints) = program(&place, &mut chance);
                hint(&served.share, &hints, &mut chance);
                (done, false)
            }
            _ => (request(&served.share, &mut chance), false),
        };
        served.wait_until_complete();
        let resets = follower.resets;
        follower.follow(&served);
        assert!(may_reset || follower.resets == resets, "{done}: nobody had to look again");
        follower.has_what_is_there(&served, &format!("tier {tier}, seed {seed}, step {step}: {done}"));
    }
    served.stop();
}

#[test]
fn whoever_replays_what_was_told_has_what_is_there() {
    let (seeds, steps) = if full() { (25, 400) } else { (2, 120) };
    for tier in [Tier::A, Tier::B, Tier::C, Tier::D] {
        for seed in 1..=seeds {
            every_step_is_told(tier, seed * 7919, steps);
        }
    }
}

/// All at once, as fast as they can; whoever follows meanwhile has what is there when it is calm again.
#[test]
fn whoever_follows_while_all_happens_at_once_has_what_is_there_afterwards() {
    for round in 1..=if full() { 40 } else { 4 } {
        let place = Place::new(Tier::A);
        let served = place.serve();
        served.wait_until_complete();
        let mut follower = Follower::begin(&served);
        thread::scope(|scope| {
            for client in 1..=2 {
                let share = &served.share;
                scope.spawn(move || {
                    let mut chance = Chance(round * 1000 + client);
                    (0..200).for_each(|_| drop(request(share, &mut chance)));
                });
            }
            let (share, place) = (&served.share, &place);
            scope.spawn(move || {
                let mut chance = Chance(round * 1000 + 7);
                for _ in 0..200 {
                    let (_, hints) = program(place, &mut chance);
                    hint(share, &hints, &mut chance);
                }
            });
        });
        served.wait_until_complete();
        follower.follow(&served);
        assert_eq!(follower.resets, 0);
        follower.has_what_is_there(&served, &format!("round {round}"));
        served.stop();
    }
}

/// What is kept is bounded, and whoever comes from before is told to look again; whoever does not is not.
#[test]
fn a_place_before_what_is_kept_is_lost() {
    let journal = JournalLimits { count: 10, ..JournalLimits::default() };
    let place = Place { journal, ..Place::new(Tier::A) };
    let served = place.serve();
    served.wait_until_complete();
    let before = served.share.feed_end();
    let mut places = Vec::new();
    for number in 0..30 {
        places.push(served.share.feed_end());
        put(&served.share, &share_path("a"), &number.to_string()).expect("stored");
    }
    served.stop();
    let served = place.serve();
    assert_eq!(served.share.check_place(before), Err(LostPlace::TooOld));
    assert_eq!(served.share.check_place(places[19]), Err(LostPlace::TooOld));
    assert_eq!(served.share.changes_after(places[20], 100).expect("it is kept").changes.len(), 10);
    served.stop();
}

/// What is kept is bounded by its age, too.
#[test]
fn a_place_before_what_is_young_enough_is_lost() {
    let journal = JournalLimits { age: Duration::from_secs(2), ..JournalLimits::default() };
    let place = Place { journal, ..Place::new(Tier::A) };
    let served = place.serve();
    served.wait_until_complete();
    let before = served.share.feed_end();
    put(&served.share, &share_path("old"), "1").expect("stored");
    let between = served.share.feed_end();
    thread::sleep(Duration::from_secs(3));
    put(&served.share, &share_path("young"), "2").expect("stored");
    served.stop();
    let served = place.serve();
    assert_eq!(served.share.check_place(before), Err(LostPlace::TooOld));
    let told = served.share.changes_after(between, 100).expect("it is kept").changes;
    assert_eq!(told.iter().map(|told| told.change.path.clone()).collect::<Vec<_>>(), [share_path("young")]);
    served.stop();
}

/// A place that was given out for what a killed process could not save means nothing; one from before that does.
#[test]
fn only_what_a_killed_process_had_not_saved_is_lost() {
    let place = Place::new(Tier::A);
    let served = place.serve();
    served.wait_until_complete();
    put(&served.share, &share_path("a"), "1").expect("stored");
    served.stop();
    let served = place.serve();
    let saved = served.share.feed_end();
    served.wait_until_complete();
    put(&served.share, &share_path("b"), "2").expect("stored");
    let not_saved = served.share.feed_end();
    put(&served.share, &share_path("c"), "3").expect("stored");
    drop(served.share.delete(&share_path("c"), &anybody()));
    served.kill();
    let served = place.serve();
    served.wait_until_complete();
    assert_eq!(served.share.check_place(not_saved), Err(LostPlace::TooOld), "what came next may be missing");
    let told = served.share.changes_after(saved, 100).expect("it is known what happened");
    let told: Vec<_> = told.changes.iter().map(|told| (told.change.kind.clone(), told.change.path.clone())).collect();
    assert_eq!(told, [(ChangeKind::Created, share_path("b"))], "what is there was found");
    let ahead = Cursor { number: served.share.feed_end().number + 1, ..saved };
    assert_eq!(served.share.check_place(ahead), Err(LostPlace::Ahead));
    served.kill();
    let served = place.serve();
    assert_eq!(served.share.check_place(not_saved), Err(LostPlace::TooOld), "a second kill makes nothing known again");
    assert_eq!(served.share.check_place(saved), Ok(()));
    served.stop();
}

/// Where the folder goes away nothing in it was deleted; and where another one comes, nothing that was told is of that.
#[test]
fn a_folder_that_goes_away_is_not_a_folder_that_was_emptied() {
    let outer = tempfile::tempdir().expect("a folder");
    let place = Place { folder: tempfile::tempdir_in(outer.path()).expect("a folder"), ..Place::new(Tier::A) };
    let served = place.serve();
    served.wait_until_complete();
    put(&served.share, &share_path("a"), "1").expect("stored");
    let follower = served.share.feed_end();
    let away = outer.path().join("away");
    fs::rename(place.folder.path(), &away).expect("moved");
    served.share.noticed(&Hint::Anywhere, now());
    served.share.noticed(&Hint::Path(share_path("a")), now());
    served.wait_until_complete();
    assert!(served.share.changes_after(follower, 10).expect("the same feed").changes.is_empty());
    fs::create_dir(place.folder.path()).expect("made");
    served.share.noticed(&Hint::Anywhere, now());
    let began = Instant::now();
    while served.share.check_place(follower).is_ok() {
        assert!(began.elapsed() < LIMIT, "it is another folder");
        thread::sleep(Duration::from_millis(10));
    }
    served.wait_until_complete();
    let told = served.share.changes_after(served.share.feed_end(), 10).expect("a place").changes.len();
    assert_eq!(told, 0);
    fs::remove_dir_all(place.folder.path()).expect("removed");
    fs::rename(&away, place.folder.path()).expect("moved back");
    served.kill();
}

/// What a link leads to is told where it is, and not once more by every link: they may go in a circle.
#[test]
fn what_a_link_leads_to_is_told_once() {
    let place = Place::new(Tier::A);
    fs::create_dir_all(place.on_disk("d")).expect("made");
    let served = place.serve_following(FollowLinks::Inside);
    served.wait_until_complete();
    let before = served.share.feed_end();
    std::os::unix::fs::symlink("../d", place.on_disk("d/round")).expect("a link");
    fs::write(place.on_disk("d/x"), "text").expect("written");
    for hint in ["d/round", "d"] {
        served.share.noticed(&Hint::Subtree(share_path(hint)), now());
    }
    served.share.noticed(&Hint::Path(share_path("d/round")), now());
    served.wait_until_complete();
    let told = served.share.changes_after(before, 100).expect("a place").changes;
    let mut told: Vec<_> = told.iter().map(|told| told.change.path.to_text()).collect();
    told.sort();
    assert_eq!(told, ["/d/round", "/d/x"]);
    served.stop();
}
