//! Every step of every move fails once, crashes once, and is followed by a stranger's act at either name, on every tier: both ends are as
//! they were or as was asked, and nothing that anybody had is lost.

use noclobber::store::disk::{Cause, Tier};

use crate::harness::explore::{
    crash_among_strangers, crash_at_every_step, fail_among_strangers, fail_every_step, finish, strangers_at_every_step,
    two_strangers_at_every_step,
};
use crate::harness::moves::{Move, Moving};
use crate::harness::stranger::{Script, scripts, short_scripts};

const TIERS: [Tier; 3] = [Tier::A, Tier::B, Tier::C];

fn all() -> impl Iterator<Item = Moving> {
    Move::ALL.iter().flat_map(|what| TIERS.map(|tier| Moving::of(*what, tier)))
}

/// The moves of files, whose names a stranger can save at.
const FILES: [Move; 5] =
    [Move::FileToFree, Move::NamedFileToFree, Move::FileOverFile, Move::NamedFileOverNamedFile, Move::FileOverItself];

#[test]
fn every_step_of_a_move_fails_once() {
    let causes = [Cause::Failed, Cause::NoSpace, Cause::ReadOnly, Cause::NotPermitted];
    finish(all().map(|story| fail_every_step(&story, &causes)).collect());
}

#[test]
fn every_step_of_a_move_fails_once_where_files_have_one_name() {
    let stories = FILES[..4].iter().flat_map(|what| TIERS.map(|tier| Moving::of(*what, tier).without_links()));
    finish(stories.map(|story| fail_every_step(&story, &[Cause::Failed])).collect());
}

#[test]
fn every_step_of_a_move_crashes_once() {
    finish(all().map(|story| crash_at_every_step(&story)).collect());
}

#[test]
fn every_step_of_a_move_crashes_once_while_the_history_is_off() {
    let stories = Move::ALL.iter().map(|what| Moving::of(*what, Tier::A).without_history());
    finish(stories.map(|story| crash_at_every_step(&story)).collect());
}

#[test]
fn every_step_of_a_move_crashes_once_where_files_have_one_name() {
    let stories = FILES[..4].iter().flat_map(|what| TIERS.map(|tier| Moving::of(*what, tier).without_links()));
    finish(stories.map(|story| crash_at_every_step(&story)).collect());
}

#[test]
fn a_stranger_acts_at_the_target_of_a_move() {
    finish(at_every_tier(&Move::ALL, |story| strangers_at_every_step(story, &up_to(4, story.what.target()))));
}

#[test]
fn a_stranger_acts_at_the_source_of_a_move() {
    finish(at_every_tier(&Move::ALL, |story| strangers_at_every_step(story, &up_to(4, story.what.source()))));
}

fn at_every_tier<T>(moves: &[Move], of: impl Fn(&Moving) -> T) -> Vec<T> {
    moves.iter().flat_map(|what| TIERS.map(|tier| of(&Moving::short(*what, tier)))).collect()
}

/// The scripts of at most so many acts.
fn up_to(acts: usize, path: &str) -> Vec<Script> {
    scripts(path, "A").into_iter().filter(|script| script.acts.len() <= acts).collect()
}
