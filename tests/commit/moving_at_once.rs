//! A move and another request at once, in every order in which their calls of the disk can follow each other: what comes of them is what
//! would have come of one after the other, and nothing is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use noclobber::model::precondition::Precondition;
use noclobber::share::{CopyLimit, OpenResource, Relocation, RequestContext, Share, Upload};
use noclobber::store::abilities::Tier;
use noclobber::store::local::commit::{OnMismatch, Swap, Tree};

use crate::harness::moves::{Move, Moving, relocate};
use crate::harness::sim_disk::{Pace, SimDisk};
use crate::harness::stories::{Asking, PATH, Request, share_path};
use crate::harness::turns::in_every_order;
use crate::harness::{full, left_out};

/// What one of the two asks for; the folder holds `d/a`, `d/b` and `d/c`, each with its own name in it.
#[derive(Clone, Copy, Debug)]
enum Ask {
    Move(&'static str, &'static str),
    Put(&'static str),
    Delete(&'static str),
}

/// A share, and an upload that is ready for each who wants to put one.
struct Scene {
    share: Share,
    uploads: [Mutex<Option<Upload>>; 2],
}

/// The visible files, and who was answered with success.
type Result = (BTreeMap<String, Vec<u8>>, [bool; 2]);

fn scene(tier: Tier, asks: [Ask; 2]) -> (SimDisk, Scene) {
    let (disk, server) = Asking::short(Request::Delete, tier).set_up_for_moves();
    for path in [PATH, "d/b", "d/c"] {
        disk.place(path, path);
    }
    disk.place_folder("e");
    let share = server.share;
    let upload = |number: usize| {
        let Ask::Put(path) = asks[number] else { return None };
        let now = disk.now();
        let mut upload = share.begin_upload(&share_path(path), Some(3), now).expect("begun");
        share.write(&mut upload, b"put", now).expect("written");
        Some(upload)
    };
    let uploads = [0, 1].map(|number| Mutex::new(upload(number)));
    (disk, Scene { share, uploads })
}

impl Scene {
    fn ask(&self, disk: &SimDisk, asks: [Ask; 2], who: usize) -> bool {
        let (any, now) = (Precondition::default(), disk.now());
        match asks[who] {
            Ask::Move(from, to) => {
                let (from, to) = (share_path(from), share_path(to));
                let wanted = Relocation { from, to, may_replace: true, dated: None };
                self.share.relocate(&wanted, &RequestContext::new(any.clone(), now), CopyLimit::UNLIMITED).is_ok()
            }
            Ask::Put(path) => {
                let upload = self.uploads[who].lock().expect("whole").take().expect("an upload is ready");
                self.share.put(&share_path(path), upload, None, &RequestContext::new(any.clone(), now)).is_ok()
            }
            Ask::Delete(path) => self.share.delete(&share_path(path), &RequestContext::new(any.clone(), now)).is_ok(),
        }
    }
}

fn state(disk: &SimDisk) -> BTreeMap<String, Vec<u8>> {
    disk.visible_contents().into_iter().collect()
}

/// What comes of the two one after the other, whoever is first.
fn one_after_the_other(tier: Tier, asks: [Ask; 2]) -> [Result; 2] {
    [0, 1].map(|first| {
        let (disk, scene) = scene(tier, asks);
        let mut done = [false; 2];
        for who in [first, 1 - first] {
            done[who] = scene.ask(&disk, asks, who);
        }
        (state(&disk), done)
    })
}

fn is_wrong(disk: &SimDisk, done: [bool; 2], serial: &[Result; 2]) -> Option<String> {
    let found = (state(disk), done);
    if !serial.contains(&found) {
        return Some(format!("{found:?} is none of {serial:?}"));
    }
    let kept: BTreeSet<_> = disk.contents_everywhere().into_iter().collect();
    let contents: BTreeSet<_> = kept.iter().map(|(_, bytes)| bytes.as_slice()).collect();
    if let Some(lost) = [PATH, "d/b", "d/c"].iter().find(|path| !contents.contains(path.as_bytes())) {
        return Some(format!("{lost} is lost"));
    }
    kept.iter().find(|(path, _)| path.contains('~')).map(|(path, _)| format!("{path} is left under way"))
}

fn in_every_order_as_one_after_the_other(asks: [Ask; 2]) {
    for tier in if full() { vec![Tier::A, Tier::B, Tier::C] } else { vec![Tier::A, Tier::C] } {
        let serial = one_after_the_other(tier, asks);
        let schedules = in_every_order(
            200_000,
            || {
                let (disk, scene) = scene(tier, asks);
                (disk, scene, vec![])
            },
            |disk, scene, who| scene.ask(disk, asks, who),
            |disk, _, done| is_wrong(disk, done, &serial),
        );
        println!("{asks:?}, tier {tier}: {schedules:?}");
    }
}

#[test]
fn a_move_and_an_upload_to_its_target() {
    in_every_order_as_one_after_the_other([Ask::Move(PATH, "d/b"), Ask::Put("d/b")]);
}

#[test]
fn a_move_and_an_upload_to_its_source() {
    in_every_order_as_one_after_the_other([Ask::Move(PATH, "d/b"), Ask::Put(PATH)]);
}

#[test]
fn a_move_and_the_move_back_do_not_wait_for_each_other_forever() {
    in_every_order_as_one_after_the_other([Ask::Move(PATH, "d/b"), Ask::Move("d/b", PATH)]);
}

#[test]
fn two_moves_to_one_target() {
    in_every_order_as_one_after_the_other([Ask::Move(PATH, "d/b"), Ask::Move("d/c", "d/b")]);
}

#[test]
fn two_moves_of_one_source() {
    in_every_order_as_one_after_the_other([Ask::Move(PATH, "e/x"), Ask::Move(PATH, "e/y")]);
}

#[test]
fn a_move_in_a_ring_does_not_wait_forever() {
    in_every_order_as_one_after_the_other([Ask::Move(PATH, "d/A"), Ask::Move("d/b", PATH)]);
}

/// They share no mutex, and would follow each other in too many ways: the one comes whole before every step of the other.
#[test]
fn a_folder_goes_away_at_every_step_of_a_move() {
    for tier in [Tier::A, Tier::B, Tier::C] {
        for (from, to) in [(PATH, "d/b"), (PATH, "e/b"), ("d/c", "e/new")] {
            for other in [Ask::Delete("d"), Ask::Move("d", "f"), Ask::Delete("e")] {
                whole_before_every_step(tier, [Ask::Move(from, to), other]);
            }
        }
    }
}

fn whole_before_every_step(tier: Tier, asks: [Ask; 2]) {
    let mut at = 0;
    loop {
        at += 1;
        let moving = Moving::of(Move::FileToFree, tier);
        let disk = SimDisk::new(moving.features.clone());
        for path in [PATH, "d/b", "d/c"] {
            disk.place(path, path);
        }
        disk.place_folder("e");
        let tree = Arc::new(moving.tree(&disk));
        // The first change of a process holds a mutex of its own while it makes the folder of the history.
        disk.place("first", "first");
        assert!(ask_tree(&tree, &disk, Ask::Delete("first")));
        let (disk, step) = (Arc::new(disk), AtomicUsize::new(0));
        let interruption = Arc::new(Interruption { disk: Arc::clone(&disk), tree: Arc::clone(&tree), asks, at, step });
        disk.begin(vec![]);
        disk.set_pace(Some(Arc::clone(&interruption) as Arc<dyn Pace>));
        let moved = ask_tree(&tree, &disk, asks[0]);
        disk.set_pace(None);
        if interruption.step.load(Ordering::Relaxed) < at {
            break;
        }
        let contents: BTreeSet<_> = disk.contents_everywhere().into_iter().map(|(_, bytes)| bytes).collect();
        let lost = [PATH, "d/b", "d/c"].into_iter().find(|path| !contents.contains(path.as_bytes()));
        let trace = || disk.trace().join("\n    ");
        assert!(lost.is_none(), "{asks:?} at step {at}: {lost:?} is lost\n    {}", trace());
        // A move that was answered has taken away what it moved, or the folder it was in has gone before.
        let Ask::Move(from, _) = asks[0] else { unreachable!("the first is a move") };
        assert!(!(moved && disk.exists(from)), "{asks:?} at step {at}: it is still there\n    {}", trace());
    }
    assert!(at > 5, "{at} steps are too few to be all");
}

/// Asks the tree itself: the share lets nobody change a lock, or what it may protect, in the middle of a move.
fn ask_tree(tree: &Tree, disk: &SimDisk, ask: Ask) -> bool {
    match ask {
        Ask::Move(from, to) => relocate(tree, disk, (&share_path(from), &share_path(to)), (None, None), false).is_ok(),
        Ask::Delete(path) => {
            let Ok(Some(claim)) = tree.claim(&share_path(path)) else { return false };
            let Ok(seen) = claim.look() else { return false };
            matches!(claim.remove(seen, OnMismatch::Accept, disk.now()), Ok(Swap::Done(_)))
        }
        Ask::Put(_) => unreachable!("an upload is put by the share"),
    }
}

/// Runs the other request whole, once, before a step.
struct Interruption {
    disk: Arc<SimDisk>,
    tree: Arc<Tree>,
    asks: [Ask; 2],
    at: usize,
    step: AtomicUsize,
}

impl Pace for Interruption {
    fn before_step(&self) {
        if self.step.fetch_add(1, Ordering::Relaxed) + 1 == self.at {
            ask_tree(&self.tree, &self.disk, self.asks[1]);
        }
    }
}

/// Whoever reads the target while a file is moved over it sees the one or the other, and whoever reads the source that or nothing.
#[test]
fn a_reader_sees_a_move_whole_or_not_at_all() {
    // There are 35,202 orders.
    if !full() {
        return left_out("a_reader_sees_a_move_whole_or_not_at_all", "it takes minutes; NOCLOBBER_FULL=1 runs it");
    }
    let asks = [Ask::Move(PATH, "d/b"), Ask::Delete("d/c")];
    let schedules = in_every_order(
        200_000,
        || {
            let (disk, scene) = scene(Tier::A, asks);
            (disk, scene, vec![])
        },
        |disk, scene, who| match who {
            0 => scene.ask(disk, asks, 0).then(Vec::new),
            _ => match scene.share.read(&share_path("d/b"), &RequestContext::unconditional(disk.now())) {
                Ok(OpenResource::File(content, _)) => {
                    let mut bytes = vec![0; content.size() as usize];
                    content.read_at(0, &mut bytes).expect("readable");
                    Some(bytes)
                }
                _ => None,
            },
        },
        |_, _, [moved, seen]| {
            let right = seen.as_deref().is_some_and(|seen| [PATH.as_bytes(), b"d/b"].contains(&seen));
            (moved.is_none() || !right).then(|| format!("{moved:?}, and a reader saw {seen:?}"))
        },
    );
    println!("a move and a reader, tier A: {schedules:?}");
}

/// Whoever takes two mutexes takes them in the same order as everybody else, whichever name is the source.
#[test]
fn two_names_are_claimed_in_one_order() {
    let moving = Moving::of(Move::FileToFree, Tier::A);
    let disk = SimDisk::new(moving.features.clone());
    disk.place_folder("d");
    let tree = Arc::new(moving.tree(&disk));
    let (done, finished) = std::sync::mpsc::channel();
    for (from, to) in [("d/a", "d/b"), ("d/b", "d/a")] {
        let (tree, done) = (Arc::clone(&tree), done.clone());
        std::thread::spawn(move || {
            for _ in 0..2000 {
                drop(tree.claim_two(&share_path(from), &share_path(to)).expect("claimed"));
            }
            done.send(()).expect("somebody waits");
        });
    }
    for _ in 0..2 {
        finished.recv_timeout(Duration::from_secs(60)).expect("they wait for each other");
    }
}
