//! The simulated disk itself: that leases, the journal, the plan and the accounts behave as the tests of the commit take for
//! granted. It never touches the real disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use noclobber::model::path::Name;
use noclobber::store::abilities::Tier;
use noclobber::store::disk_error::Cause;
use noclobber::store::handle::{Dir, File, Opened};
use noclobber::store::lease::{Lease, Leased};
use noclobber::store::local::disk::Disk;
use noclobber::store::status::Kind;

use crate::harness::sim_disk::{Crash, Crashed, Event, Features, SimDisk, TORN, When};
use crate::harness::stranger::{Act, write_in_place};

const PATIENCE: Duration = Duration::from_millis(250);

fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).expect("a clean name")
}

fn open(disk: &SimDisk, path: &str) -> File {
    match disk.open_path(&disk.root().expect("root"), path.as_bytes()).expect("open") {
        Opened::File(file, _) => file,
        other => panic!("{path} is no file: {other:?}"),
    }
}

fn lease(disk: &SimDisk, file: &File) -> Box<dyn Lease> {
    match disk.lease(file, PATIENCE).expect("lease") {
        Leased::Held(lease) => lease,
        other => panic!("no lease: {other:?}"),
    }
}

/// Stages bytes without a name, as an upload does.
fn stage(disk: &SimDisk, root: &Dir, bytes: &str) -> File {
    let file = disk.create_nameless(root).expect("nameless");
    disk.write(&file, 0, bytes.as_bytes()).expect("write");
    disk.sync_file(&file).expect("sync");
    disk.finish_writing(file).expect("finish")
}

#[test]
fn a_writer_waits_for_the_lease_and_then_writes_into_the_same_file() {
    let disk = SimDisk::with_file(Tier::A, "a", "old");
    let root = disk.root().expect("root");
    let file = open(&disk, "a");
    let held = lease(&disk, &file);
    let upload = stage(&disk, &root, "new");
    disk.link(&upload, &root, &name("b")).expect("link");
    disk.exchange((&root, &name("a")), (&root, &name("b"))).expect("exchange");
    assert!(held.is_unbroken());
    for act in write_in_place(1, "b", "words") {
        disk.act(&act);
    }
    assert!(!held.is_unbroken(), "somebody waits");
    assert_eq!(disk.bytes_at("b").as_deref(), Some(&b"old"[..]), "nothing is written while the lease is held");
    assert!(matches!(disk.lease(&open(&disk, "b"), PATIENCE), Ok(Leased::Busy)), "a waiting writer counts as one");
    drop(held);
    assert_eq!(disk.bytes_at("b").as_deref(), Some(&b"words"[..]), "then it is, into the file that was opened");
    assert_eq!(disk.bytes_at("a").as_deref(), Some(&b"new"[..]));
    lease(&disk, &open(&disk, "b"));
}

#[test]
fn no_lease_while_somebody_writes() {
    let disk = SimDisk::with_file(Tier::A, "a", "old");
    let file = open(&disk, "a");
    disk.act(&Act::find(1, "a"));
    disk.act(&Act::Open { hand: 1 });
    assert!(matches!(disk.lease(&file, PATIENCE), Ok(Leased::Busy)));
    disk.act(&Act::Close { hand: 1 });
    let held = lease(&disk, &file);
    drop(held);
    let again = catch_unwind(AssertUnwindSafe(|| disk.lease(&file, PATIENCE)));
    assert!(again.is_err(), "never a second lease on one handle");
}

#[test]
fn our_own_writing_handle_stands_in_the_way_of_a_lease() {
    let disk = SimDisk::new(Features::of(Tier::A));
    let root = disk.root().expect("root");
    let file = disk.create_named(&root, &name("a")).expect("create");
    assert!(matches!(disk.lease(&file, PATIENCE), Ok(Leased::Busy)));
    let file = disk.finish_writing(file).expect("finish");
    lease(&disk, &file);
}

#[test]
fn a_program_that_does_not_wait_breaks_the_lease_all_the_same() {
    let disk = SimDisk::with_file(Tier::A, "a", "old");
    let held = lease(&disk, &open(&disk, "a"));
    disk.act(&Act::find(1, "a"));
    disk.act(&Act::OpenOrLeave { hand: 1 });
    disk.act(&Act::write(1, "words"));
    assert!(!held.is_unbroken());
    drop(held);
    assert_eq!(disk.bytes_at("a").as_deref(), Some(&b"old"[..]));
}

#[test]
fn tiers_and_foreign_files_have_what_they_have() {
    let b = SimDisk::with_file(Tier::B, "a", "old");
    assert!(matches!(b.lease(&open(&b, "a"), PATIENCE), Ok(Leased::Unavailable)));
    assert_eq!(b.top_abilities().tier(), Tier::B);
    let a = SimDisk::with_file(Tier::A, "a", "old");
    a.give_away("a");
    assert!(matches!(a.lease(&open(&a, "a"), PATIENCE), Ok(Leased::Unavailable)));
    let c = SimDisk::with_file(Tier::C, "a", "old");
    let root = c.root().expect("root");
    let refused = c.exchange((&root, &name("a")), (&root, &name("a"))).expect_err("no exchange");
    assert_eq!(refused.cause, Cause::Unsupported);
}

#[test]
fn a_power_cut_keeps_a_prefix_of_the_names() {
    let run = || {
        let disk = SimDisk::with_file(Tier::A, "a", "old");
        disk.begin(vec![]);
        let root = disk.root().expect("root");
        let upload = stage(&disk, &root, "new");
        disk.link(&upload, &root, &name("b")).expect("link");
        disk.exchange((&root, &name("a")), (&root, &name("b"))).expect("exchange");
        disk.unlink(&root, &name("b")).expect("unlink");
        disk
    };
    let at = |disk: &SimDisk, path: &str| disk.bytes_at(path).map(|bytes| String::from_utf8(bytes).expect("text"));
    let seen: Vec<_> = (0..=run().unsynced_changes())
        .map(|changes| run().after_crash(Crash::PowerCut { changes }))
        .map(|disk| (at(&disk, "a").expect("a is always there"), at(&disk, "b")))
        .collect();
    let expected = [("old", None), ("old", Some("new")), ("new", Some("old")), ("new", None)];
    let expected: Vec<_> = expected.map(|(a, b)| (a.to_owned(), b.map(str::to_owned))).into();
    assert_eq!(seen, expected);
    let disk = run();
    disk.sync_dir(&disk.root().expect("root")).expect("sync");
    assert_eq!(disk.unsynced_changes(), 0);
    assert_eq!(at(&disk.after_crash(Crash::PowerCut { changes: 0 }), "a").as_deref(), Some("new"));
}

#[test]
fn what_was_never_synced_is_torn_by_a_power_cut_and_by_nothing_else() {
    let disk = SimDisk::new(Features::of(Tier::A));
    let root = disk.root().expect("root");
    let file = disk.create_named(&root, &name("a")).expect("create");
    disk.write(&file, 0, b"words").expect("write");
    disk.sync_dir(&root).expect("sync");
    assert_eq!(disk.after_crash(Crash::Kill).bytes_at("a").as_deref(), Some(&b"words"[..]));
    assert_eq!(disk.after_crash(Crash::PowerCut { changes: 0 }).bytes_at("a").as_deref(), Some(TORN));
}

#[test]
fn a_sync_that_failed_is_never_made_good() {
    let disk = SimDisk::new(Features::of(Tier::A));
    let root = disk.root().expect("root");
    let file = disk.create_named(&root, &name("a")).expect("create");
    disk.write(&file, 0, b"words").expect("write");
    disk.begin(vec![Event::FailAfter { at: 1, cause: Cause::Failed }]);
    disk.sync_file(&file).expect_err("as planned");
    disk.sync_file(&file).expect("the second sync says nothing, and means nothing");
    assert_eq!(disk.after_crash(Crash::PowerCut { changes: 0 }).bytes_at("a").as_deref(), Some(TORN));
}

/// A little of everything, for the plan to happen to.
fn story(disk: &SimDisk) -> noclobber::store::disk_error::Result<()> {
    let root = disk.root()?;
    let file = disk.create_nameless(&root)?;
    disk.reserve(&file, 0..3)?;
    disk.write(&file, 0, b"new")?;
    disk.sync_file(&file)?;
    let file = disk.finish_writing(file)?;
    disk.make_dir(&root, &name("d"), true)?;
    let dir = disk.open_dir(&root, b"d")?;
    disk.link(&file, &dir, &name("b"))?;
    disk.exchange((&root, &name("a")), (&dir, &name("b")))?;
    disk.rename_new((&dir, &name("b")), (&dir, &name("c")))?;
    disk.sync_dir(&dir)?;
    disk.unlink(&dir, &name("c"))?;
    disk.remove_dir(&root, &name("d"))?;
    disk.sync_dir(&root)
}

#[test]
fn every_call_is_a_step_that_can_fail_alone() {
    let disk = SimDisk::with_file(Tier::A, "a", "old");
    disk.begin(vec![]);
    story(&disk).expect("nothing fails of its own");
    assert_eq!(disk.steps(), 15);
    for at in 1..=15 {
        let disk = SimDisk::with_file(Tier::A, "a", "old");
        disk.begin(vec![Event::Fail { at, cause: Cause::NoSpace }]);
        assert_eq!(story(&disk).expect_err("as planned").cause, Cause::NoSpace, "step {at}");
        assert_eq!(disk.steps(), at, "the story stops there");
        assert_eq!(disk.open_handles(), 0, "step {at} leaves no handle");
        assert_eq!(disk.lost().is_empty(), at <= 13, "step {at}: only the unlink loses anything");
    }
}

#[test]
fn every_call_is_a_step_that_can_crash_before_and_after() {
    for at in 1..=15 {
        for when in [When::Before, When::After] {
            let disk = SimDisk::with_file(Tier::A, "a", "old");
            disk.begin(vec![Event::Crash { at, when }]);
            let end = catch_unwind(AssertUnwindSafe(|| story(&disk))).expect_err("it dies");
            assert_eq!(end.downcast_ref(), Some(&Crashed));
            assert!(disk.root().is_err(), "nothing works any more");
            let next = disk.after_crash(Crash::Kill);
            assert_eq!(next.open_handles(), 0);
            assert!(next.exists("a"), "and the next start can look, step {at}");
        }
    }
}

#[test]
fn strangers_act_at_their_steps_and_the_rest_of_them_later() {
    let disk = SimDisk::with_file(Tier::A, "a", "old");
    let stranger = |at, when, act| Event::Stranger { at, when, act };
    disk.begin(vec![
        stranger(2, When::Before, Act::save("a", "x")),
        stranger(2, When::After, Act::unlink("a")),
        stranger(9, When::Before, Act::create("a", "c")),
    ]);
    let root = disk.root().expect("root");
    let Opened::File(..) = disk.open(&root, &name("a")).expect("open") else { panic!("x is there") };
    assert!(matches!(disk.open(&root, &name("a")), Ok(Opened::Nothing)));
    disk.finish_strangers();
    assert_eq!(disk.bytes_at("a").as_deref(), Some(&b"c"[..]));
    assert_eq!(disk.account().newest["a"].as_deref(), Some(&b"c"[..]));
    assert!(disk.lost().is_empty(), "the strangers replaced all of it themselves");
}

#[test]
fn what_the_server_destroys_is_missed() {
    let disk = SimDisk::with_file(Tier::C, "a", "old");
    let root = disk.root().expect("root");
    let upload = stage(&disk, &root, "new");
    disk.link(&upload, &root, &name("b")).expect("link");
    disk.rename_over((&root, &name("b")), (&root, &name("a"))).expect("rename");
    assert_eq!(disk.lost(), [b"old".to_vec()]);
    assert_eq!(disk.account().overwritten[0].path, "a");
}

#[test]
fn what_a_writer_opened_before_somebody_else_saved_is_his_own_loss() {
    let disk = SimDisk::with_file(Tier::A, "a", "old");
    disk.act(&Act::find(1, "a"));
    disk.act(&Act::Open { hand: 1 });
    disk.act(&Act::save("a", "x"));
    disk.act(&Act::write(1, "words"));
    assert!(disk.lost().is_empty());
    assert_eq!(disk.account().newest["a"].as_deref(), Some(&b"x"[..]));
}

#[test]
fn room_runs_out_by_itself() {
    let disk = SimDisk::with_file(Tier::A, "a", "12345");
    disk.set_capacity(10);
    let root = disk.root().expect("root");
    assert_eq!(disk.space(&root).expect("space").free, 5);
    let file = disk.create_nameless(&root).expect("nameless");
    assert_eq!(disk.reserve(&file, 0..6).expect_err("too much").cause, Cause::NoSpace);
    disk.write(&file, 0, b"12345").expect("just fits");
    assert_eq!(disk.write(&file, 5, b"6").expect_err("too much").cause, Cause::NoSpace);
    drop(file);
    assert_eq!(disk.space(&root).expect("space").free, 5, "what has neither name nor handle takes no room");
}

#[test]
fn read_only_and_vanished_folders_say_so() {
    let disk = SimDisk::with_file(Tier::A, "a", "old");
    let root = disk.root().expect("root");
    disk.set_read_only(true);
    assert_eq!(disk.unlink(&root, &name("a")).expect_err("read-only").cause, Cause::ReadOnly);
    disk.set_vanished(true);
    assert_eq!(disk.root().expect_err("gone").cause, Cause::NotFound);
}

#[test]
fn the_clock_moves_at_every_change_unless_it_is_coarse() {
    let disk = SimDisk::with_file(Tier::A, "a", "1");
    let before = disk.stamp_at("a").expect("there");
    for act in write_in_place(1, "a", "2") {
        disk.act(&act);
    }
    let after = disk.stamp_at("a").expect("there");
    assert_eq!((before.id, before.size), (after.id, after.size));
    assert_ne!(before.mtime, after.mtime);

    let mut features = Features::of(Tier::A);
    features.abilities.time_grain = Duration::from_secs(2);
    let coarse = SimDisk::new(features);
    coarse.place("a", "1");
    let before = coarse.stamp_at("a").expect("there");
    for act in write_in_place(1, "a", "2") {
        coarse.act(&act);
    }
    assert_eq!(coarse.stamp_at("a"), Some(before), "a change that the stamp cannot tell");
}

#[test]
fn links_lead_nowhere_and_names_are_taken_once() {
    let disk = SimDisk::new(Features::of(Tier::A));
    disk.place("d/a", "1");
    disk.place_other("link", Kind::Link);
    disk.place_other("pipe", Kind::Special);
    let root = disk.root().expect("root");
    assert!(matches!(disk.open(&root, &name("link")), Ok(Opened::Link)));
    assert!(matches!(disk.open(&root, &name("pipe")), Ok(Opened::Special)));
    assert_eq!(disk.open_path(&root, b"link/a").expect_err("out of the share").cause, Cause::Escapes);
    assert_eq!(disk.open_path(&root, b"pipe/a").expect_err("no folder").cause, Cause::NotADirectory);
    assert_eq!(disk.create_named(&root, &name("d")).expect_err("taken").cause, Cause::Exists);
    assert_eq!(disk.remove_dir(&root, &name("d")).expect_err("full").cause, Cause::NotEmpty);
    let dir = disk.open_dir(&root, b"d").expect("folder");
    assert_eq!(disk.rename_new((&root, &name("d")), (&dir, &name("e"))).expect_err("a loop").cause, Cause::Failed);
    let mut names = Vec::new();
    disk.list(&root, &mut |entry| {
        names.push(entry.name);
        std::ops::ControlFlow::Continue(())
    })
    .expect("list");
    assert_eq!(names, [name("d"), name("link"), name("pipe")]);
    assert_eq!(Arc::strong_count(&dir.0), 1);
}

#[test]
fn a_file_without_names_gets_none_again() {
    let disk = SimDisk::with_file(Tier::A, "a", "1");
    let root = disk.root().expect("root");
    let file = open(&disk, "a");
    disk.unlink(&root, &name("a")).expect("unlink");
    assert_eq!(disk.link(&file, &root, &name("b")).expect_err("too late").cause, Cause::NotFound);
}
