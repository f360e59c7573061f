//! The share against a plain map: whatever clients, local programs and restarts do one after the other, the folder holds what the map
//! says, and everything that was ever replaced is in the history.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use noclobber::model::path::SharePath;
use noclobber::model::precondition::Precondition;
use noclobber::share::outcome::{Outcome, Refusal, Stop};
use noclobber::share::{CopyLimit, KeptVersion, OpenResource, PageRequest, RequestContext, Share, ShareSettings};
use noclobber::store::abilities::Tier;
use noclobber::store::catalog::index::Index;
use noclobber::store::local::commit::Tree;
use noclobber::store::local::history::KeepLimits;
use proptest::prelude::*;
use proptest::test_runner::Config;

use crate::harness::sim_disk::{Crash, Features, SimDisk};
use crate::harness::stories::{if_match, share_path, somebodys, tag_of};
use crate::harness::stranger::{Act, write_in_place};

const PATHS: [&str; 4] = ["a", "b", "d/a", "d/b"];

/// What is done next; numbers pick a path.
#[derive(Clone, Debug)]
enum Doing {
    /// PUT without a condition.
    Put(usize),
    /// PUT that names what the client saw last, which may be stale.
    PutNamed(usize),
    /// PUT that makes something new.
    Create(usize),
    /// DELETE without a condition.
    Delete(usize),
    /// DELETE that names what the client saw last.
    DeleteNamed(usize),
    /// The client looks.
    Read(usize),
    /// The newest version comes back.
    Restore(usize),
    /// A local program saves.
    Save(usize),
    /// A local program writes in place.
    Write(usize),
    /// A local program removes.
    Unlink(usize),
    /// Time passes, and second looks are taken.
    Wait,
    /// noclobber is killed and starts again.
    Kill,
    /// The power goes, and everything starts again.
    PowerCut,
}

fn doing() -> impl Strategy<Value = Doing> {
    let path = 0..PATHS.len();
    prop_oneof![
        3 => path.clone().prop_map(Doing::Put),
        3 => path.clone().prop_map(Doing::PutNamed),
        1 => path.clone().prop_map(Doing::Create),
        2 => path.clone().prop_map(Doing::Delete),
        1 => path.clone().prop_map(Doing::DeleteNamed),
        3 => path.clone().prop_map(Doing::Read),
        1 => path.clone().prop_map(Doing::Restore),
        2 => path.clone().prop_map(Doing::Save),
        2 => path.clone().prop_map(Doing::Write),
        1 => path.prop_map(Doing::Unlink),
        2 => Just(Doing::Wait),
        1 => Just(Doing::Kill),
        1 => Just(Doing::PowerCut),
    ]
}

/// The share, the map, and what a client remembers.
struct World {
    disk: SimDisk,
    share: Share,
    map: BTreeMap<&'static str, String>,
    /// What a client saw last at a path: the content and its tag.
    seen: BTreeMap<&'static str, (String, String)>,
    /// The tags that were shown since the last start, by content: they stay.
    tags: BTreeMap<String, String>,
    /// What was replaced or removed by clients, the newest last.
    replaced: BTreeMap<&'static str, Vec<String>>,
    next: usize,
}

impl World {
    fn new(tier: Tier, time_grain: Duration) -> Self {
        let mut features = Features::of(tier);
        features.abilities.time_grain = time_grain;
        let disk = SimDisk::new(features);
        disk.place_folder("d");
        disk.begin(vec![]);
        let share = open(&disk);
        Self {
            disk,
            share,
            map: BTreeMap::new(),
            seen: BTreeMap::new(),
            tags: BTreeMap::new(),
            replaced: BTreeMap::new(),
            next: 0,
        }
    }

    fn fresh(&mut self) -> String {
        self.next += 1;
        format!("content {}", self.next)
    }

    fn put(&mut self, path: &'static str, precondition: &Precondition, allowed: bool) {
        let (bytes, now, at) = (self.fresh(), self.disk.now(), share_path(path));
        let upload = || -> Outcome<()> {
            let mut upload = self.share.begin_upload(&at, None, now)?;
            self.share.write(&mut upload, bytes.as_bytes(), now)?;
            let stored = self.share.put(&at, upload, None, &somebodys(precondition.clone(), now))?;
            assert_eq!(stored.tag.to_string(), tag_of(&bytes));
            assert_eq!(stored.created, !self.map.contains_key(path));
            Ok(())
        };
        self.expect(upload(), allowed);
        if allowed {
            self.replace(path, Some(bytes.clone()));
            self.tags.insert(bytes.clone(), tag_of(&bytes));
            self.seen.insert(path, (bytes.clone(), tag_of(&bytes)));
        }
    }

    fn delete(&mut self, path: &'static str, precondition: &Precondition, allowed: bool) {
        let removed = self.share.delete(&share_path(path), &somebodys(precondition.clone(), self.disk.now())).map(drop);
        if !self.map.contains_key(path) {
            assert!(matches!(removed, Err(Stop::Refusal(Refusal::NotFound))), "{removed:?}");
            return;
        }
        self.expect(removed, allowed);
        if allowed {
            self.replace(path, None);
        }
    }

    fn expect(&self, outcome: Outcome<()>, allowed: bool) {
        match outcome {
            Ok(()) => assert!(allowed, "it names another version"),
            Err(Stop::Refusal(Refusal::PreconditionFailed { .. })) => assert!(!allowed, "it names the right version"),
            Err(error) => panic!("{error:?}"),
        }
    }

    /// A client replaces or removes what is at a path.
    fn replace(&mut self, path: &'static str, bytes: Option<String>) {
        let old = match bytes {
            Some(bytes) => self.map.insert(path, bytes),
            None => self.map.remove(path),
        };
        self.replaced.entry(path).or_default().extend(old);
    }

    /// `If-Match` with what the client saw last, and whether that is what is there.
    fn named(&self, path: &'static str) -> (Precondition, bool) {
        let never = || ("never seen".to_owned(), tag_of("never seen"));
        let (seen, tag) = self.seen.get(path).cloned().unwrap_or_else(never);
        (if_match(&tag), self.map.get(path) == Some(&seen))
    }

    fn read(&mut self, path: &'static str) {
        let target = self.share.read(&share_path(path), &RequestContext::unconditional(self.disk.now()));
        let Some(expected) = self.map.get(path) else {
            assert!(matches!(target, Err(Stop::Refusal(Refusal::NotFound))), "{target:?}");
            self.seen.remove(path);
            return;
        };
        let Ok(OpenResource::File(content, identity)) = target else { panic!("{target:?}") };
        let mut bytes = vec![0; content.size() as usize];
        assert_eq!(content.read_at(0, &mut bytes).expect("readable"), bytes.len());
        assert_eq!(bytes, expected.as_bytes());
        let tag = identity.validators.shown.to_string();
        // A content tag, or a stamp tag if it was first shown in a refusal that read nothing.
        assert!(tag == tag_of(expected) || tag.starts_with("\"s"), "{tag} for {expected}");
        let first = self.tags.entry(expected.clone()).or_insert_with(|| tag.clone());
        assert_eq!(*first, tag, "the tag of {expected} stays");
        self.seen.insert(path, (expected.clone(), tag));
    }

    fn restore(&mut self, path: &'static str) {
        let versions = all_versions(&self.share, &share_path(path));
        let kept = self.replaced.get(path).cloned().unwrap_or_default();
        assert_eq!(versions.len(), kept.len(), "{path} has as many versions as were replaced");
        let (Some(newest), Some(bytes)) = (versions.first(), kept.last()) else { return };
        self.share
            .restore(
                &share_path(path),
                &newest.id,
                false,
                &RequestContext::unconditional(self.disk.now()),
                CopyLimit::UNLIMITED,
            )
            .expect("restored");
        // The same content, and another version: a stamp tag of the first does not name it.
        self.tags.insert(bytes.clone(), tag_of(bytes));
        self.seen.remove(path);
        let bytes = bytes.clone();
        self.replace(path, Some(bytes));
    }

    fn crash(&mut self, crash: Crash) {
        self.disk = self.disk.after_crash(crash);
        self.share = open(&self.disk);
        // What was remembered of tags is gone; any that a client holds is judged from the file.
        self.tags.clear();
    }

    fn step(&mut self, doing: &Doing) {
        match *doing {
            Doing::Put(at) => self.put(PATHS[at], &Precondition::default(), true),
            Doing::PutNamed(at) => {
                let (named, allowed) = self.named(PATHS[at]);
                self.put(PATHS[at], &named, allowed);
            }
            Doing::Create(at) => {
                let allowed = !self.map.contains_key(PATHS[at]);
                self.put(PATHS[at], &Precondition::nothing_there(), allowed);
            }
            Doing::Delete(at) => self.delete(PATHS[at], &Precondition::default(), true),
            Doing::DeleteNamed(at) => {
                let (named, allowed) = self.named(PATHS[at]);
                self.delete(PATHS[at], &named, allowed);
            }
            Doing::Read(at) => self.read(PATHS[at]),
            Doing::Restore(at) => self.restore(PATHS[at]),
            Doing::Save(at) => {
                let bytes = self.fresh();
                self.disk.act(&Act::save(PATHS[at], &bytes));
                self.map.insert(PATHS[at], bytes);
            }
            Doing::Write(at) if self.map.contains_key(PATHS[at]) => {
                let bytes = self.fresh();
                for act in write_in_place(1, PATHS[at], &bytes) {
                    self.disk.act(&act);
                }
                self.map.insert(PATHS[at], bytes);
            }
            Doing::Write(_) => {}
            Doing::Unlink(at) => {
                self.disk.act(&Act::unlink(PATHS[at]));
                self.map.remove(PATHS[at]);
            }
            Doing::Wait => {
                self.disk.advance(Duration::from_secs(11));
                self.share.tick(self.disk.now());
            }
            Doing::Kill => self.crash(Crash::Kill),
            // What clients did is on the disk; what local programs did is as good as synced only if all of it is kept.
            Doing::PowerCut => self.crash(Crash::PowerCut { changes: self.disk.unsynced_changes() }),
        }
        self.check();
    }

    fn check(&self) {
        let visible = self.disk.visible_contents();
        let expected: Vec<_> =
            self.map.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.as_bytes().to_vec())).collect();
        assert_eq!(visible, expected, "the folder is the map");
        let everywhere: BTreeSet<_> = self.disk.contents_everywhere().into_iter().map(|(_, bytes)| bytes).collect();
        for bytes in self.replaced.values().flatten() {
            assert!(everywhere.contains(bytes.as_bytes()), "{bytes} is lost");
        }
        assert!(!self.disk.contents_everywhere().iter().any(|(path, _)| path.contains('~')), "something is under way");
    }
}

fn open(disk: &SimDisk) -> Share {
    let keep = KeepLimits { age_max: Duration::from_secs(86_400), percent_max: 90 };
    let settings = ShareSettings {
        keep: Some(keep),
        require_preconditions: false,
        tag_threshold: 1 << 20,
        hashing_max: 1,
        syncs: true,
        ..ShareSettings::default()
    };
    Share::open(Tree::on(Arc::new(disk.clone())), Index::in_memory(), settings, disk.now()).expect("opened")
}

fn run(tier: Tier, time_grain: Duration, story: &[Doing]) {
    let mut world = World::new(tier, time_grain);
    for doing in story {
        world.step(doing);
    }
    let paths: Vec<SharePath> = PATHS.map(share_path).into();
    for path in paths {
        let _ = all_versions(&world.share, &path);
    }
}

proptest! {
    #![proptest_config(Config { cases: 1000, failure_persistence: None, ..Config::default() })]

    #[test]
    fn the_share_is_a_map_that_forgets_nothing(story in prop::collection::vec(doing(), 1..40)) {
        for tier in [Tier::A, Tier::B, Tier::C] {
            run(tier, Duration::ZERO, &story);
        }
        let time_grain = Duration::from_millis([4, 10, 1000][story.len() % 3]);
        run(Tier::A, time_grain, &story);
    }
}

fn all_versions(share: &Share, path: &SharePath) -> Vec<KeptVersion> {
    match share.versions(path, PageRequest { before: None, count: usize::MAX }, &RequestContext::default(), &mut || {
        ControlFlow::Continue(())
    }) {
        Err(Stop::Refusal(Refusal::NotFound)) => Vec::new(),
        page => page.expect("listed").items,
    }
}
