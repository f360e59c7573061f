//! Every step of every request is followed by a stranger's act, on every tier: nobody's work is lost or overwritten unseen.

use noclobber::store::disk::Tier;

use crate::harness::explore::{finish, strangers_at_every_step};
use crate::harness::stories::{Asking, PATH, Request};
use crate::harness::stranger::scripts;

const TIERS: [Tier; 3] = [Tier::A, Tier::B, Tier::C];

fn all() -> impl Iterator<Item = Asking> {
    Request::ALL.iter().flat_map(|request| TIERS.map(|tier| Asking::short(*request, tier)))
}

#[test]
fn a_stranger_acts_at_every_step() {
    let scripts: Vec<_> = scripts(PATH, "A").into_iter().filter(|script| script.acts.len() <= 4).collect();
    finish(all().map(|story| strangers_at_every_step(&story, &scripts)).collect());
}
