//! Every step of every request is followed by a stranger's act, on every tier: nobody's work is lost or overwritten unseen.
//!
//! The scripts are those of the model of the commit. What each tier does not promise is named in `Asking::is_known` and counted.

use noclobber::store::disk::Tier;

use crate::harness::explore::{
    crash_among_strangers, fail_among_strangers, finish, strangers_at_every_step, two_strangers_at_every_step,
};
use crate::harness::full;
use crate::harness::stories::{Asking, Request};
use crate::harness::stranger::{Script, knock, scripts, short_scripts};

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
    let of = |request: &Request| {
        strangers_at_every_step(&Asking::with_links_only(*request).shortened(), &up_to(4, *request, "A"))
    };
    finish(Request::ALL.iter().map(of).collect());
}

/// What the version that a request names is kept by, and what is destroyed between the last look and the rename and at no other step.
#[test]
fn a_stranger_acts_at_every_step_on_tier_d() {
    one_stranger(Tier::D);
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
    let of = |request: &Request| {
        let story = Asking::with_links_only(*request).shortened();
        let scripts = |voice| short_scripts(request.judged_at(), voice);
        let both = |one: &Script, other: &Script| full() || one.acts.len() + other.acts.len() < 6;
        two_strangers_at_every_step(&story, (&scripts("A"), &scripts("B")), both)
    };
    finish([Request::PutNamed, Request::DeleteNamed].iter().map(of).collect());
}

#[test]
fn two_strangers_act_at_every_step_on_tier_d() {
    two_strangers(Tier::D);
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
    let of = |request: &Request| {
        let story = Asking::short(*request, Tier::D).without_history();
        strangers_at_every_step(&story, &up_to(4, *request, "A"))
    };
    finish(requests.iter().map(of).collect());
}

/// Where nothing is kept, recovery lets go what was to go and nothing else.
#[test]
fn a_stranger_acts_and_the_server_dies_at_every_step_while_the_history_is_off() {
    let requests = [Request::PutNamed, Request::Put, Request::DeleteNamed];
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
