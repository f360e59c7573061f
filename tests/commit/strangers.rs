//! Every step of every request is followed by a stranger's act, on every tier: nobody's work is lost or overwritten unseen.
//!
//! The scripts are those of the model of the commit. What each tier does not promise is named in `Asking::is_known` and counted.

use std::time::Duration;

use noclobber::store::abilities::Tier;
use noclobber::store::disk_error::Cause;

use crate::harness::explore::{
    Story as _, Tally, crash_among_strangers, fail_among_strangers, finish, strangers_at_every_step,
    two_strangers_at_every_step,
};
use crate::harness::full;
use crate::harness::invariants::Answer;
use crate::harness::sim_disk::{Event, When};
use crate::harness::stories::{Asking, PATH, Request};
use crate::harness::stranger::{Act, Script, knock, scripts, short_scripts};

const TIERS: [Tier; 3] = [Tier::A, Tier::B, Tier::C];

#[test]
fn a_stranger_acts_at_every_step_on_tier_a() {
    one_stranger(Tier::A);
}

#[test]
fn a_stranger_acts_at_every_step_on_tier_b() {
    one_stranger(Tier::B);
}

#[test]
fn a_stranger_acts_at_every_step_on_tier_c() {
    one_stranger(Tier::C);
}

/// As on tier C, by links: nothing is destroyed.
#[test]
fn a_stranger_acts_at_every_step_where_there_are_links_only() {
    finish(Request::ALL.map(|request| one_brief_stranger(&Asking::with_links_only(request).shortened())).into());
}

/// The version that a request names is kept, and what a program saves is destroyed between the last look and the rename and at no other
/// step.
#[test]
fn a_stranger_acts_at_every_step_on_tier_d() {
    finish(Request::ALL.map(|request| one_brief_stranger(&Asking::short(request, Tier::D))).into());
}

#[test]
fn two_strangers_act_at_every_step_on_tier_a() {
    two_strangers(Tier::A);
}

#[test]
fn two_strangers_act_at_every_step_on_tier_b() {
    two_strangers(Tier::B);
}

#[test]
fn two_strangers_act_at_every_step_on_tier_c() {
    two_strangers(Tier::C);
}

#[test]
fn two_strangers_act_at_every_step_where_there_are_links_only() {
    let requests = [Request::PutNamed, Request::DeleteNamed];
    finish(requests.map(|request| two_brief_strangers(&Asking::with_links_only(request).shortened())).into());
}

#[test]
fn two_strangers_act_at_every_step_on_tier_d() {
    let requests = [Request::PutNamed, Request::DeleteNamed];
    finish(requests.map(|request| two_brief_strangers(&Asking::short(request, Tier::D))).into());
}

/// The lease is had before the file is looked at, and asked after both folders are on the disk: a state that was seen before the one, and
/// an answer that was got before the other, would prove nothing.
#[test]
fn the_lease_is_taken_at_the_look_and_asked_after_the_sync() {
    let request = Request::PutNamed;
    let story = Asking::short(request, Tier::A);
    let (disk, server) = story.set_up();
    let seen = disk.stamp_at(request.judged_at()).expect("the file is there").id.inode;
    disk.begin(vec![]);
    assert_eq!(story.operate(&disk, &server), Answer::Done);
    let trace = disk.trace();
    let steps = |call: &str| -> Vec<usize> {
        let number = |line: &String| line.trim_start().split_once(' ')?.0.parse().ok();
        trace.iter().filter(|line| line.contains(call)).filter_map(number).collect()
    };
    let lease = disk.leases().into_iter().rfind(|lease| lease.inode == seen).expect("a lease on what was seen");
    let opened = steps(" open d/a").into_iter().rfind(|step| *step < lease.taken).expect("an open");
    let looked = [steps(" status #"), steps(" read #")].concat();
    assert!(!looked.iter().any(|step| (opened..lease.taken).contains(step)), "{request:?}: looked before the lease");
    assert!(looked.iter().any(|step| *step > lease.taken), "{request:?}: looked with the lease");
    let swapped = [steps(" exchange "), steps(" rename_new d/a")].concat()[0];
    let synced = steps(" sync_dir ").into_iter().rfind(|step| *step < lease.dropped.unwrap()).expect("a sync");
    assert!(lease.taken < swapped && swapped < synced, "{request:?}: {lease:?}");
    assert!(lease.asked.is_some_and(|asked| asked > synced), "{request:?}: {lease:?}, synced at {synced}");
}

/// A program that takes the right to read a file from others has done so, at whatever moment of an upload: the new version is like the one that
/// it replaces.
#[test]
fn what_others_may_not_read_stays_so() {
    // On lower tiers the name leads nowhere for a moment, and to chmod, too.
    let requests = [Request::PutNamed, Request::PutNamedLarge];
    for (tier, request) in [Tier::A, Tier::B].into_iter().flat_map(|tier| requests.map(|request| (tier, request))) {
        let story = Asking::of(request, tier);
        let rehearsed = |plan| {
            let (disk, server) = story.set_up();
            disk.begin(plan);
            let answer = story.operate(&disk, &server);
            (disk, answer)
        };
        let steps = rehearsed(vec![]).0.steps();
        for at in 1..=steps {
            let path = request.judged_at();
            let act = Act::Chmod { path: path.to_owned(), mode: 0o600 };
            let (disk, answer) = rehearsed(vec![Event::Stranger { at, when: When::Before, act }]);
            let trace = || disk.trace().join("\n");
            assert_eq!(disk.mode_at(path), Some(0o600), "{request:?}, tier {tier}, step {at}: {answer:?}\n{}", trace());
        }
    }
}

/// A program that opens the file at any moment from the look to the end of the last sync gets it: the write is refused, and his words are
/// at the name.
#[test]
fn an_opener_before_the_end_of_the_sync_keeps_his_file() {
    for request in [Request::PutNamed] {
        let story = Asking::short(request, Tier::A);
        let rehearsed = |plan| {
            let (disk, server) = story.set_up();
            disk.begin(plan);
            let answer = story.operate(&disk, &server);
            (disk, answer)
        };
        let trace = rehearsed(vec![]).0.trace();
        let of = |call: &str| -> Vec<usize> {
            let called = trace.iter().filter(|line| line.contains(call));
            called.map(|line| line[..4].trim().parse().expect("a step")).collect()
        };
        let (leased, synced): (usize, usize) = (of(" lease #")[0], *of(" sync_dir ").last().expect("a sync"));
        for at in leased + 1..=synced {
            let stranger = |at, act| Event::Stranger { at, when: When::Before, act };
            let open = [Act::Open { hand: 1 }, Act::write(1, "his words"), Act::Close { hand: 1 }];
            let plan = std::iter::once(stranger(1, Act::find(1, request.judged_at())))
                .chain(open.into_iter().map(|act| stranger(at, act)));
            let (disk, answer) = rehearsed(plan.collect());
            assert!(
                matches!(answer, Answer::Refused(_)),
                "{request:?}, step {at}: {answer:?}\n{}",
                disk.trace().join("\n")
            );
            assert_eq!(
                disk.bytes_at(request.judged_at()).as_deref(),
                Some(&b"his words"[..]),
                "{request:?}, step {at}"
            );
        }
    }
}

/// The scripts of two writes in place, which are long: on the steps of one request of each kind.
#[test]
fn a_stranger_writes_twice() {
    let of = |request: Request| {
        let acts = if full() { 8 } else { 5 };
        let long: Vec<_> = up_to(acts, request, "A").into_iter().filter(|script| script.acts.len() > 4).collect();
        strangers_at_every_step(&Asking::short(request, Tier::A), &long)
    };
    finish([Request::PutNamed, Request::DeleteNamed].map(of).into());
}

/// On tiers B and C the history cannot be turned off without a warning: there a late writer is not noticed.
#[test]
fn a_stranger_acts_at_every_step_while_the_history_is_off() {
    let requests = [Request::PutNamed, Request::Put, Request::DeleteNamed];
    let of = |request: &Request| {
        let story = Asking::short(*request, Tier::A).without_history();
        strangers_at_every_step(&story, &up_to(4, *request, "A"))
    };
    finish(requests.iter().map(of).collect());
}

/// Tier D with the history off: the version that a request names is replaced like any other, and nothing else is destroyed outside of the
/// window.
#[test]
fn a_stranger_acts_at_every_step_on_tier_d_while_the_history_is_off() {
    let requests = [Request::PutNamed, Request::Put, Request::PutNew, Request::Create, Request::DeleteNamed];
    let of = |request: &Request| one_brief_stranger(&Asking::short(*request, Tier::D).without_history());
    finish(requests.iter().map(of).collect());
}

/// Where nothing is kept, recovery lets go what was to go and nothing else.
#[test]
fn a_stranger_acts_and_the_server_dies_at_every_step_while_the_history_is_off() {
    let requests = [Request::PutNamed, Request::DeleteNamed];
    let of = |request: Request| {
        let stories = Asking::everywhere(request).map(|story| story.shortened().without_history());
        stories.map(|story| crash_among_strangers(&story, &up_to(1, request, "A"), false))
    };
    finish(requests.into_iter().flat_map(of).collect());
}

#[test]
fn a_stranger_acts_and_the_server_dies_at_every_step() {
    let requests = [Request::PutNamed, Request::Put, Request::Create, Request::DeleteNamed, Request::Delete];
    let of = |request: Request| {
        let stories = Asking::everywhere(request).map(Asking::shortened);
        stories.map(|story| crash_among_strangers(&story, &up_to(1, request, "A"), true))
    };
    finish(requests.into_iter().flat_map(of).collect());
}

/// The upload took the right place and is undone all the same: a power cut may not bring it back.
#[test]
fn a_stranger_breaks_the_lease_and_the_server_dies_at_every_step() {
    let story = Asking::short(Request::PutNamed, Tier::A);
    finish(vec![crash_among_strangers(&story, &[knock(Request::PutNamed.judged_at())], true)]);
}

#[test]
fn a_stranger_acts_twice_and_the_server_is_killed_at_every_step() {
    let requests = [Request::PutNamed, Request::DeleteNamed];
    let of = |request: &Request, tier| {
        let twice: Vec<_> = up_to(2, *request, "A").into_iter().filter(|script| script.acts.len() == 2).collect();
        crash_among_strangers(&Asking::short(*request, tier), &twice, false)
    };
    finish(requests.iter().flat_map(|request| TIERS.map(|tier| of(request, tier))).collect());
}

#[test]
fn a_stranger_acts_and_every_step_fails() {
    let requests = [Request::PutNamed, Request::Put, Request::Create, Request::DeleteNamed, Request::Delete];
    let of = |request: Request| {
        let stories = Asking::everywhere(request).map(Asking::shortened);
        stories.map(|story| fail_among_strangers(&story, &up_to(1, request, "A")))
    };
    finish(requests.into_iter().flat_map(of).collect());
}

fn one_stranger(tier: Tier) {
    let of = |request: &Request| strangers_at_every_step(&Asking::short(*request, tier), &up_to(4, *request, "A"));
    finish(Request::ALL.iter().map(of).collect());
}

/// On disks where a request takes many steps: scripts of at most two acts, and a write in place in three.
fn one_brief_stranger(story: &Asking) -> Tally {
    let (request, acts) = (story.request, if full() { 4 } else { 2 });
    let write = short_scripts(request.judged_at(), "A").into_iter().filter(|script| script.acts.len() > 1);
    let scripts: Vec<_> = up_to(acts, request, "A").into_iter().chain(write).collect();
    strangers_at_every_step(story, &scripts)
}

/// The same for two: one act each, unless there is time for more.
fn two_brief_strangers(story: &Asking) -> Tally {
    let scripts = |voice| short_scripts(story.request.judged_at(), voice);
    let both = |one: &Script, other: &Script| full() || one.acts.len() + other.acts.len() < 3;
    two_strangers_at_every_step(story, (&scripts("A"), &scripts("B")), both)
}

fn two_strangers(tier: Tier) {
    let mut requests = vec![Request::PutNamed, Request::DeleteNamed];
    if tier == Tier::A || full() {
        requests.push(Request::Put);
    }
    let of = |request: &Request| {
        let story = Asking::short(*request, tier);
        let scripts = |voice| short_scripts(request.judged_at(), voice);
        // Two writers in place, each in three acts, can follow each other in twenty ways: only when there is time.
        let both = |one: &Script, other: &Script| full() || one.acts.len() + other.acts.len() < 6;
        two_strangers_at_every_step(&story, (&scripts("A"), &scripts("B")), both)
    };
    finish(requests.iter().map(of).collect());
}

/// The scripts of at most so many acts.
fn up_to(acts: usize, request: Request, voice: &str) -> Vec<Script> {
    scripts(request.judged_at(), voice).into_iter().filter(|script| script.acts.len() <= acts).collect()
}

/// Some file systems hold names of 143 bytes (eCryptfs): the name of a conflict copy is cut until it is held.
#[test]
fn a_conflict_copy_has_a_shorter_name_where_names_are_shorter() {
    let copy = |plan: Vec<Event>| {
        let story = Asking::short(Request::PutNamed, Tier::A);
        let (disk, server) = story.set_up();
        disk.begin(vec![]);
        disk.act(&Act::find(1, PATH));
        assert_eq!(story.operate(&disk, &server), Answer::Done);
        let late = [Act::Open { hand: 1 }, Act::write(1, "late words"), Act::Close { hand: 1 }];
        late.iter().for_each(|act| disk.act(act));
        disk.advance(Duration::from_secs(11));
        disk.begin(plan);
        story.look_again(&disk, &server);
        let visible = disk.visible_contents().into_iter();
        let copy = visible.map(|(path, _)| path).find(|path| path.contains("(conflict "));
        let names_it = |line: &String| line.contains("(conflict ") && line.contains("rename");
        let renamed = disk.trace().into_iter().rev().find(names_it).expect("a step");
        let step: usize = renamed.trim_start().split(' ').next().unwrap().parse().expect("a number");
        (copy.expect("a conflict copy"), step)
    };
    let (usual, at) = copy(vec![]);
    let refusal = |at| Event::Fail { at, cause: Cause::LongName };
    let (shorter, _) = copy(vec![refusal(at)]);
    assert_eq!((usual.len() - 1, usual.replacen("d/a", "d/", 1)), (shorter.len(), shorter));
}
