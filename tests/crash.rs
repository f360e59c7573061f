//! Every step of every request fails once and crashes once, on every tier: old or new and whole, and every 2xx is there.

use noclobber::store::disk::{Cause, Tier};

use crate::harness::explore::{crash_at_every_step, fail_every_step, finish};
use crate::harness::stories::{Asking, Request};

const TIERS: [Tier; 3] = [Tier::A, Tier::B, Tier::C];

fn all() -> impl Iterator<Item = Asking> {
    Request::ALL.iter().flat_map(|request| TIERS.map(|tier| Asking::of(*request, tier)))
}

#[test]
fn every_step_fails_once() {
    let causes = [Cause::Failed, Cause::NoSpace, Cause::ReadOnly, Cause::TooManyOpen];
    finish(all().map(|story| fail_every_step(&story, &causes)).collect());
}

#[test]
fn every_step_crashes_once() {
    finish(all().map(|story| crash_at_every_step(&story)).collect());
}
