//! Every step of every copy fails once, crashes once, and is followed by a stranger's act at either end: the source is as it was, and the
//! target is as it was or a whole copy.

use noclobber::store::abilities::Tier;
use noclobber::store::disk_error::Cause;

use crate::harness::copies::{Duplicating, Kind};
use crate::harness::explore::{Story as _, crash_at_every_step, fail_every_step, finish, strangers_at_every_step};
use crate::harness::invariants::Answer;
use crate::harness::sim_disk::{Event, Pace, SimDisk};
use crate::harness::stranger::{Act, Script, scripts, short_scripts};

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

/// A program writes into a file between two reads of the copy: what is copied is the one or the other, and not half of each.
#[test]
fn a_file_that_is_written_while_it_is_copied_is_copied_again() {
    for what in [Kind::FileToFree, Kind::FolderToFree] {
        let story = Duplicating::of(what, Tier::A).without_shared_blocks();
        let (disk, tree) = story.set_up();
        let source = if what == Kind::FileToFree { "s/b" } else { "s/b/x" };
        let copy = if what == Kind::FileToFree { "d/a" } else { "d/a/x" };
        let bytes = |letter: &str| letter.repeat(600 << 10);
        disk.set_capacity(16 << 20);
        disk.place(source, &bytes("o"));
        disk.act(&Act::find(1, source));
        disk.act(&Act::Open { hand: 1 });
        let write = Act::WriteAndClose { hand: 1, bytes: bytes("n") };
        disk.begin(vec![Event::StrangerAfter { operation: "write", act: write }]);
        assert_eq!(story.operate(&disk, &tree), Answer::Done, "{what:?}");
        let copied = disk.bytes_at(copy).unwrap();
        assert!(copied == disk.bytes_at(source).unwrap(), "{what:?}: half of each");
        assert!(copied.iter().all(|byte| *byte == b'n'));
    }
}

/// A file that is written all the time is not copied; nothing is left of the attempt.
#[test]
fn a_file_that_is_written_all_the_time_is_not_copied() {
    let story = Duplicating::of(Kind::FolderToFree, Tier::A).without_shared_blocks();
    let (disk, tree) = story.set_up();
    disk.begin(vec![]);
    disk.set_pace(Some(std::sync::Arc::new(Restless(disk.clone()))));
    let answer = story.operate(&disk, &tree);
    disk.set_pace(None);
    assert_eq!(answer, Answer::Refused("423".to_owned()));
    assert!(!disk.exists("d/a"));
    assert!(!disk.folders().iter().any(|folder| folder.contains("unfinished-")), "{:?}", disk.folders());
}

/// Changes a file before every step that could notice.
struct Restless(SimDisk);

impl Pace for Restless {
    fn before_step(&self) {
        self.0.act(&Act::Chmod { path: "s/b/in/y".to_owned(), mode: 0o640 });
    }
}
