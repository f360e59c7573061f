//! What a start finds of the process before it, whether that was killed or ended in good order while something was still to be done: nothing
//! that a commit has left stays as it is, and what a program wrote into a displaced file appears beside it.

use std::time::Duration;

use noclobber::store::abilities::Tier;
use noclobber::store::disk_error::Cause;

use crate::harness::explore::Story as _;
use crate::harness::invariants::Answer;
use crate::harness::moves::{Move, Moving};
use crate::harness::sim_disk::Event;
use crate::harness::stories::{Asking, PATH, Request, share_path};
use crate::harness::stranger::Act;

/// The file that tells a start to look for what commits have left.
const RUNNING: &str = ".noclobber/running";

/// Longer than the tick of a clock.
const A_MOMENT: Duration = Duration::from_millis(20);

/// Longer than a displaced file is kept in sight.
const A_WHILE: Duration = Duration::from_secs(11);

#[test]
fn a_server_that_ends_in_the_middle_of_a_commit_says_so() {
    let (disk, tree) = Moving::of(Move::FileOverFile, Tier::C).set_up();
    let site = tree.site(&share_path("d/a")).unwrap().expect("not the share itself");
    let place = tree.history().place(&site.path, site.mount, disk.now()).unwrap();
    let uploads = tree.history().upload_folder(&site.path, site.mount).unwrap();
    tree.close().unwrap();
    assert!(disk.exists(RUNNING), "a commit is under way");
    drop(place);
    tree.close().unwrap();
    assert!(disk.exists(RUNNING), "an upload may have a name still");
    drop(uploads);
    tree.close().unwrap();
    assert!(!disk.exists(RUNNING));
    let _place = tree.history().place(&site.path, site.mount, disk.now()).unwrap();
    assert!(disk.exists(RUNNING), "one that begins afterwards says it again");
}

/// Another disk is plugged in where one was, or somebody has moved the folder away.
#[test]
fn a_folder_of_noclobbers_own_that_another_took_the_place_of_is_begun_anew() {
    let (disk, tree) = Moving::of(Move::FileOverFile, Tier::A).set_up();
    let site = tree.site(&share_path("d/a")).unwrap().expect("not the share itself");
    let displace = || drop(tree.history().place(&site.path, site.mount, disk.now()).unwrap());
    displace();
    assert!(disk.exists(RUNNING));
    disk.act(&Act::rename(".noclobber", "away"));
    displace();
    assert!(disk.exists(RUNNING));
}

/// Whoever had found the file before it was displaced may open it a moment later, and go on in it whatever becomes of the server.
#[test]
fn what_is_written_into_a_displaced_file_before_or_after_a_restart_appears_beside_it() {
    for request in [Request::PutNamed, Request::Put, Request::DeleteNamed] {
        for tier in [Tier::A, Tier::B, Tier::C] {
            for ending in [Ending::Kill, Ending::InGoodOrder] {
                for late in [Late::Before, Late::Across, Late::After] {
                    let story = Asking::short(request, tier);
                    let (disk, server) = story.set_up();
                    disk.begin(vec![]);
                    disk.act(&Act::find(1, PATH));
                    assert_eq!(story.operate(&disk, &server), Answer::Done);
                    disk.advance(A_MOMENT);
                    let acts = [Act::Open { hand: 1 }, Act::write(1, "late words"), Act::Close { hand: 1 }];
                    let (before, after) = acts.split_at(late as usize);
                    before.iter().for_each(|act| disk.act(act));
                    if ending == Ending::InGoodOrder {
                        server.share.close().unwrap();
                    }
                    drop(server);
                    let server = story.start(&disk);
                    after.iter().for_each(|act| disk.act(act));
                    for _ in 0..2 {
                        disk.advance(A_WHILE);
                        server.share.tick(disk.now());
                    }
                    let visible = disk.visible_contents();
                    let beside =
                        |(path, bytes): &(String, Vec<u8>)| path.contains("(conflict ") && bytes == b"late words";
                    assert!(visible.iter().any(beside), "{request:?} on {tier}, {ending:?}, {late:?}: {visible:?}");
                    server.share.close().unwrap();
                    assert!(!disk.exists(RUNNING), "nothing is left to be looked at");
                }
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Kill,
    InGoodOrder,
}

/// How many of his three acts (he opens it, writes, and closes it) come before the restart.
#[derive(Clone, Copy, Debug)]
enum Late {
    Before = 3,
    Across = 1,
    After = 0,
}

/// What nobody has written into stays a version, whether it is old or was displaced in the last moments, be it in the tick of the clock in which
/// it was written.
#[test]
fn a_restart_puts_nothing_beside_a_file_that_nobody_wrote_late() {
    let grains = [0, 4, 10].map(Duration::from_millis);
    for (tier, grain) in [Tier::A, Tier::B, Tier::C, Tier::D].into_iter().flat_map(|tier| grains.map(|it| (tier, it))) {
        let mut story = Asking::short(Request::Put, tier);
        story.features.abilities.time_grain = grain;
        let (disk, server) = story.set_up();
        disk.begin(vec![]);
        assert_eq!(story.operate(&disk, &server), Answer::Done);
        drop(server);
        for _ in 0..3 {
            let server = story.start(&disk);
            disk.advance(A_WHILE);
            server.share.tick(disk.now());
        }
        let visible: Vec<_> = disk.visible_contents().into_iter().map(|(path, _)| path).collect();
        assert_eq!(visible, [PATH], "tier {tier}, a clock of {grain:?}");
    }
}

/// The first call that fails breaks a change off, and the second may be one of those that would undo it. What cannot be undone at once is undone
/// as soon as the disk lets it, and no answer promises meanwhile that nothing has changed.
#[test]
fn what_could_not_be_undone_is_undone_later() {
    let requests = [Request::PutNamed, Request::DeleteNamed, Request::DeleteFolder];
    let stories = requests.into_iter().flat_map(|request| [Tier::A, Tier::C].map(|tier| Asking::short(request, tier)));
    for story in stories.flat_map(|story| [story.clone(), story.without_history()]) {
        for first in 1.. {
            let (steps, happened) = fail(&story, &[first], |_| {});
            if !happened {
                break;
            }
            for second in first + 1..=steps {
                fail(&story, &[first, second], |found| panic!("{}: steps {first} and {second}: {found}", story.name()));
            }
        }
    }
}

/// Runs a story in which these calls fail, and says how many calls it had and whether the last one was among them.
fn fail(story: &Asking, calls: &[usize], mut wrong: impl FnMut(String)) -> (usize, bool) {
    let (disk, server) = story.set_up();
    let before = disk.visible_contents();
    disk.begin(calls.iter().map(|&at| Event::Fail { at, cause: Cause::NoSpace }).collect());
    let answer = story.operate(&disk, &server);
    let steps = disk.steps();
    let mut tell = |found: String| wrong(format!("{found}\n    {}", disk.trace().join("\n    ")));
    if matches!(answer, Answer::Refused(_)) && disk.visible_contents() != before {
        tell(format!("{answer:?}, and there is {:?}", disk.visible_contents()));
    }
    disk.resume(vec![]);
    for _ in 0..3 {
        disk.advance(A_WHILE);
        story.look_again(&disk, &server);
    }
    let everywhere = disk.contents_everywhere();
    if let Some((path, _)) = everywhere.iter().find(|(path, _)| path.contains('~')) {
        tell(format!("{path} is not settled after {answer:?}"));
    }
    if disk.folders().iter().any(|path| path.contains('~')) {
        tell(format!("a folder is not settled after {answer:?}"));
    }
    let at = story.request.judged_at();
    if answer != Answer::Done && !disk.exists(at) {
        tell(format!("{at} is missing after {answer:?}"));
    }
    if let Some(lost) = disk.lost().first().filter(|_| story.keeps) {
        tell(format!("{:?} is lost", String::from_utf8_lossy(lost)));
    }
    server.share.close().unwrap();
    if disk.exists(RUNNING) {
        tell("something is left to the next start".to_owned());
    }
    (steps, calls.iter().all(|at| *at <= steps))
}
