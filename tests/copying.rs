//! Every step of every copy fails once, crashes once, and is followed by a stranger's act at either end: the source is as it was, and the
//! target is as it was or a whole copy.

use noclobber::store::disk::{Cause, Tier};

use crate::harness::copies::{Duplicating, Kind};
use crate::harness::explore::{crash_at_every_step, fail_every_step, finish, strangers_at_every_step};
use crate::harness::stranger::{Script, scripts, short_scripts};

const TIERS: [Tier; 2] = [Tier::A, Tier::C];

fn all() -> impl Iterator<Item = Duplicating> {
    Kind::ALL.iter().flat_map(|what| TIERS.map(|tier| Duplicating::of(*what, tier)))
}

#[test]
fn every_step_of_a_copy_fails_once() {
    let causes = [Cause::Failed, Cause::NoSpace];
    finish(all().map(|story| fail_every_step(&story, &causes)).collect());
}

#[test]
fn every_step_of_a_copy_fails_once_where_blocks_cannot_be_shared() {
    let story = Duplicating::of(Kind::FolderOverFolder, Tier::A).without_shared_blocks();
    finish(vec![fail_every_step(&story, &[Cause::NoSpace])]);
}

#[test]
fn every_step_of_a_copy_crashes_once() {
    finish(all().map(|story| crash_at_every_step(&story)).collect());
}

#[test]
fn a_stranger_acts_at_every_step_of_a_copy() {
    let of = |what: Kind| {
        let story = Duplicating::of(what, Tier::A);
        ["s/b", "s/b/x", "d/a", "d/a/x"].map(|at| strangers_at_every_step(&story, &one_act(at)))
    };
    finish([Kind::FileOverFile, Kind::FolderOverFile, Kind::FolderToFree].into_iter().flat_map(of).collect());
}

fn one_act(path: &str) -> Vec<Script> {
    let write = short_scripts(path, "A").into_iter().filter(|script| script.acts.len() == 3);
    scripts(path, "A").into_iter().filter(|script| script.acts.len() == 1).chain(write).collect()
}
