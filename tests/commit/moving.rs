//! Every step of every move fails once, crashes once, and is followed by a stranger's act at either name, on every tier: both ends are as
//! they were or as was asked, and nothing that anybody had is lost.

use noclobber::store::abilities::Tier;
use noclobber::store::disk_error::Cause;

use crate::harness::explore::{
    Tally, crash_among_strangers, crash_at_every_step, fail_among_strangers, fail_every_step, finish,
    strangers_at_every_step, two_strangers_at_every_step,
};
use crate::harness::full;
use crate::harness::moves::{Move, Moving};
use crate::harness::sim_disk::Features;
use crate::harness::stranger::{Script, knock, scripts, short_scripts};

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
    let stories = FILES[..4].iter().flat_map(|what| tiers().map(|tier| Moving::of(*what, tier).without_links()));
    finish(stories.map(|story| crash_at_every_step(&story)).collect());
}

#[test]
fn a_stranger_acts_at_the_target_of_a_move() {
    finish(at_every_tier(&Move::ALL, |story| strangers_at_every_step(story, &few(story.what, story.what.target()))));
}

#[test]
fn a_stranger_acts_at_the_source_of_a_move() {
    finish(at_every_tier(&Move::ALL, |story| strangers_at_every_step(story, &few(story.what, story.what.source()))));
}

#[test]
fn a_stranger_acts_at_either_name_of_a_move_while_the_history_is_off() {
    let stories = FILES[..4].iter().map(|what| Moving::short(*what, Tier::A).without_history());
    finish(stories.flat_map(at_both_names).collect());
}

#[test]
fn a_stranger_acts_at_either_name_of_a_move_where_there_are_links_only() {
    let links_only = |what: &Move| Moving { features: Features::with_links_only(), ..Moving::short(*what, Tier::C) };
    finish(FILES[..4].iter().map(links_only).flat_map(at_both_names).collect());
}

#[test]
fn a_stranger_acts_at_either_name_of_a_move_where_files_have_one_name() {
    let stories = FILES[..4].iter().flat_map(|what| tiers().map(|tier| Moving::short(*what, tier).without_links()));
    finish(stories.flat_map(at_both_names).collect());
}

/// To another file system a file comes as a copy, and its source is removed once the copy is in its place.
#[test]
fn every_step_of_a_move_by_a_copy_fails_once() {
    let causes = [Cause::Failed, Cause::NoSpace];
    finish(by_copy().map(|story| fail_every_step(&story, &causes)).collect());
}

#[test]
fn every_step_of_a_move_by_a_copy_crashes_once() {
    finish(by_copy().map(|story| crash_at_every_step(&story)).collect());
}

/// A program that changes the source, writes into it or waits to, keeps it: then nothing has moved.
#[test]
fn a_stranger_acts_at_either_name_of_a_move_by_a_copy() {
    let one_act = |at: &str| scripts(at, "A").into_iter().filter(|script| script.acts.len() == 1).collect::<Vec<_>>();
    let story = Moving::short(Move::NamedFileOverNamedFile, Tier::A).by_copy();
    for story in [story.clone(), story.without_history()] {
        finish(vec![strangers_at_every_step(&story, &one_act(story.what.source()))]);
        finish(vec![strangers_at_every_step(&story, &one_act(story.what.target()))]);
        if full() || story.keeps {
            finish(vec![strangers_at_every_step(&story, &[knock(story.what.source())])]);
        }
    }
}

fn by_copy() -> impl Iterator<Item = Moving> {
    let stories = FILES[..4].iter().flat_map(|what| tiers().map(|tier| Moving::of(*what, tier).by_copy()));
    stories.flat_map(|story| [story.clone(), story.without_history()])
}

/// One at the source, and one at the target.
#[test]
fn two_strangers_act_at_every_step_of_a_move() {
    let moves = [Move::NamedFileToFree, Move::FileOverFile, Move::NamedFileOverNamedFile];
    let pairs = |story: &Moving| {
        let others = short_scripts(story.what.target(), "B");
        let short = |one: &Script, other: &Script| full() || one.acts.len() + other.acts.len() < 4;
        let ones = short_scripts(story.what.source(), "A");
        let with_others = |one| two_strangers_at_every_step(story, (std::slice::from_ref(one), &others), short);
        ones.iter().map(with_others).collect::<Vec<_>>()
    };
    let stories = if full() { at_every_tier(&moves, Clone::clone) } else { vec![Moving::short(moves[1], Tier::A)] };
    finish(stories.iter().flat_map(pairs).collect());
}

#[test]
fn a_stranger_acts_and_the_server_dies_at_every_step_of_a_move() {
    finish(at_either_name(&|story, scripts| crash_among_strangers(story, scripts, true)));
}

#[test]
fn a_stranger_acts_and_every_step_of_a_move_fails() {
    finish(at_either_name(&|story, scripts| fail_among_strangers(story, scripts)));
}

fn at_either_name(of: &dyn Fn(&Moving, &[Script]) -> Tally) -> Vec<Tally> {
    let moves = [Move::FileOverFile, Move::NamedFileToFree, Move::NamedFileOverNamedFile, Move::FolderOverFile];
    let both = |story: &Moving| {
        [story.what.source(), story.what.target()].map(|at| {
            let acts = |script: &Script| script.acts.len() == 1 && (full() || script.name == "save");
            of(story, &scripts(at, "A").into_iter().filter(acts).collect::<Vec<_>>())
        })
    };
    let stories = at_every_tier(if full() { &moves } else { &moves[..2] }, Clone::clone);
    stories.iter().filter(|story| full() || story.is_on(Tier::A)).flat_map(both).collect()
}

fn at_both_names(story: Moving) -> [Tally; 2] {
    [story.what.source(), story.what.target()].map(|at| strangers_at_every_step(&story, &few(story.what, at)))
}

fn at_every_tier<T>(moves: &[Move], of: impl Fn(&Moving) -> T) -> Vec<T> {
    moves.iter().flat_map(|what| tiers().map(|tier| Moving::short(*what, tier))).map(|story| of(&story)).collect()
}

/// Tier B takes the way of A without its leases: only in the full size.
fn tiers() -> impl Iterator<Item = Tier> {
    TIERS.into_iter().filter(|tier| full() || *tier != Tier::B)
}

/// Scripts of one act, and a write in place; of two for a file over a file; all of them when there is time.
fn few(what: Move, path: &str) -> Vec<Script> {
    let acts = if full() { 4 } else { 1 + usize::from(what == Move::NamedFileOverNamedFile) };
    let mut few: Vec<_> = scripts(path, "A").into_iter().filter(|script| script.acts.len() <= acts).collect();
    few.extend(short_scripts(path, "A").into_iter().filter(|script| script.acts.len() == 3));
    few
}
