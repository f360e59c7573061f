//! Every step of every request is followed by a stranger's act, on every tier: nobody's work is lost or overwritten unseen.

use noclobber::store::disk::Tier;

use crate::harness::explore::{finish, strangers_at_every_step};
use crate::harness::stories::{Asking, Request};
use crate::harness::stranger::scripts;

#[test]
fn a_stranger_acts_at_every_step_on_tier_a() {
    walk(Tier::A);
}

#[test]
fn a_stranger_acts_at_every_step_on_tier_b() {
    walk(Tier::B);
}

#[test]
fn a_stranger_acts_at_every_step_on_tier_c() {
    walk(Tier::C);
}

fn walk(tier: Tier) {
    let of = |request: &Request| {
        let story = Asking::short(*request, tier);
        let scripts: Vec<_> =
            scripts(request.judged_at(), "A").into_iter().filter(|script| script.acts.len() <= 4).collect();
        strangers_at_every_step(&story, &scripts)
    };
    finish(Request::ALL.iter().map(of).collect());
}
