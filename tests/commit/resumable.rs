//! Uploads that go on, on the simulated disk: whatever fails and whenever the server dies, what counted counts, and no other byte does. That the file
//! at the path is old or new and whole is walked through with all other requests.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use noclobber::model::principal::Principal;
use noclobber::share::outcome::{Outcome, Refusal, Stop};
use noclobber::share::{Begun, Dialect, HeldUpload, RequestContext, Share, ShareSettings, UploadId, UploadName};
use noclobber::store::abilities::Tier;
use noclobber::store::catalog::index::Index;
use noclobber::store::disk_error::Cause;
use noclobber::store::local::commit::Tree;

use crate::harness::sim_disk::{Crash, Event, Features, SimDisk, When};
use crate::harness::stories::{if_match, share_path, somebodys, tag_of};

const ID: UploadId = UploadId::from_random([1; 16]);

const NAME: UploadName<'static> = UploadName::Secret(&ID);

/// What comes: twice two letters.
const ALL: &str = "abcd";

/// What the disks of a tier can do; the one without nameless files is tried as well.
fn disks() -> impl Iterator<Item = Features> {
    [Tier::A, Tier::C, Tier::D].map(Features::of).into_iter().chain([Features::with_links_only()])
}

fn share_on(disk: &SimDisk) -> Share {
    let tree = Tree::on(Arc::new(disk.clone()));
    Share::open(tree, Index::in_memory(), ShareSettings::default(), disk.now()).expect("nothing fails at the start")
}

fn begin(disk: &SimDisk, share: &Share) -> Outcome<HeldUpload> {
    let (dialect, owner, at) = (Dialect::Draft, Principal::Anonymous, disk.now());
    let begun = Begun { dialect, owner, path: share_path("d/a"), make_parents: false, fields: Vec::new(), at };
    share.begin_resumable(&ID, begun, Some(4), &RequestContext::unconditional(at))
}

fn take_up(share: &Share) -> Outcome<HeldUpload> {
    let taken = share.take_up_upload(NAME, &Principal::Anonymous, Dialect::Draft, Box::new(|| {}))?;
    Ok(taken.expect("nobody writes at it"))
}

fn finish(disk: &SimDisk, share: &Share, held: HeldUpload, path: &str) -> Outcome<()> {
    let request = RequestContext::unconditional(disk.now());
    share.finish_upload(held, &share_path(path), false, None, &request).map(drop)
}

/// Begins, writes half, leaves it, goes on and ends; notes after each acknowledgement how much counts.
fn all_of_it(disk: &SimDisk, share: &Share, counts: &mut u64) -> Outcome<()> {
    let mut held = begin(disk, share)?;
    share.write_on(&mut held, &ALL.as_bytes()[..2], disk.now())?;
    held.checkpoint()?;
    *counts = held.state().offset;
    drop(held);
    let mut held = take_up(share)?;
    share.write_on(&mut held, &ALL.as_bytes()[2..], disk.now())?;
    held.checkpoint()?;
    *counts = held.state().offset;
    finish(disk, share, held, "d/a")
}

fn disk_with_a_file(features: &Features) -> SimDisk {
    let disk = SimDisk::new(features.clone());
    disk.place("d/a", "old");
    disk
}

fn steps(features: &Features) -> usize {
    let disk = disk_with_a_file(features);
    let share = share_on(&disk);
    disk.begin(Vec::new());
    all_of_it(&disk, &share, &mut 0).expect("nothing fails");
    assert_eq!(disk.bytes_at("d/a").as_deref(), Some(ALL.as_bytes()));
    assert_eq!(left(&disk), [""; 0]);
    disk.steps()
}

fn left(disk: &SimDisk) -> Vec<String> {
    let everywhere = disk.contents_everywhere();
    everywhere.into_iter().map(|(path, _)| path).filter(|path| path.contains("/uploads/")).collect()
}

/// What counted is there, goes on where it was, and ends as it should; or it is the file at its path.
fn goes_on(disk: &SimDisk, share: &Share, counted: u64, was_begun: bool, point: &str) {
    match take_up(share) {
        Ok(mut held) => {
            let written = held.written();
            assert!(written >= counted, "{point}: {written} of {counted} count");
            share.write_on(&mut held, &ALL.as_bytes()[written as usize..], disk.now()).expect(point);
            finish(disk, share, held, "d/b").expect(point);
            assert_eq!(disk.bytes_at("d/b").as_deref(), Some(ALL.as_bytes()), "{point}");
        }
        Err(Stop::Refusal(Refusal::UploadComplete | Refusal::NoUpload | Refusal::UploadOver)) => {
            // Nobody was told of it, or it was at its end: its bytes are under a name of the commit's then.
            let is_in_the_commit =
                counted == 4 && disk.contents_everywhere().iter().any(|(_, bytes)| bytes == ALL.as_bytes());
            assert!(!was_begun || is_in_the_commit, "{point}: it is lost");
        }
        Err(stop) => panic!("{point}: {stop:?}"),
    }
}

#[test]
fn whatever_fails_what_counted_counts() {
    for features in disks() {
        for at in 1..=steps(&features) {
            for cause in [Cause::Failed, Cause::NoSpace] {
                let point = format!("{features:?}: {cause:?} at {at}");
                let disk = disk_with_a_file(&features);
                let share = share_on(&disk);
                disk.begin(vec![Event::Fail { at, cause }]);
                let mut counts = 0;
                let done = all_of_it(&disk, &share, &mut counts).is_ok();
                disk.begin(Vec::new());
                if !done {
                    goes_on(&disk, &share, counts, counts > 0, &point);
                }
                let there = disk.bytes_at("d/a");
                assert!(matches!(there.as_deref(), Some(b"old" | b"abcd")), "{point}: {there:?}");
            }
        }
    }
}

#[test]
fn whenever_the_server_dies_what_counted_counts() {
    for features in disks() {
        for at in 1..=steps(&features) {
            let disk = disk_with_a_file(&features);
            let share = share_on(&disk);
            disk.begin(vec![Event::Crash { at, when: When::Before }]);
            let mut counts = 0;
            let died = catch_unwind(AssertUnwindSafe(|| all_of_it(&disk, &share, &mut counts))).is_err();
            assert!(died, "{at}");
            // What the dead process held means nothing any more.
            std::mem::forget(share);
            for crash in [Crash::Kill, Crash::PowerCut { changes: 0 }] {
                let point = format!("{features:?}: {crash:?} at {at}");
                let disk = disk.after_crash(crash);
                let share = share_on(&disk);
                let there = disk.bytes_at("d/a");
                let is_whole = matches!(there.as_deref(), Some(b"old" | b"abcd"));
                // Without a rename that exchanges the name is missing for a moment, until the next start.
                assert!(is_whole, "{point}: {there:?}");
                goes_on(&disk, &share, counts, counts > 0, &point);
            }
        }
    }
}

/// What another program did to the file meanwhile is found by the end, and what had come is finished elsewhere.
#[test]
fn a_stranger_meanwhile_is_found_and_nothing_is_sent_again() {
    for features in disks() {
        let disk = disk_with_a_file(&features);
        let share = share_on(&disk);
        let mut held = begin(&disk, &share).expect("begun");
        share.write_on(&mut held, ALL.as_bytes(), disk.now()).expect("written");
        disk.place("d/a", "a program's");
        let named = somebodys(if_match(&tag_of("old")), disk.now());
        let refused = share.finish_upload(held, &share_path("d/a"), false, None, &named).expect_err("it is another");
        assert!(matches!(refused, Stop::Refusal(Refusal::PreconditionFailed { .. })), "{refused:?}");
        assert_eq!(disk.bytes_at("d/a").as_deref(), Some(&b"a program's"[..]));
        goes_on(&disk, &share, 4, true, "a stranger");
    }
}

/// An upload is kept for an hour after the last word of its client, and then its bytes are gone.
#[test]
fn an_upload_expires() {
    let disk = disk_with_a_file(&Features::of(Tier::A));
    let share = share_on(&disk);
    let mut held = begin(&disk, &share).expect("begun");
    share.write_on(&mut held, b"ab", disk.now()).expect("written");
    drop(held);
    disk.advance(std::time::Duration::from_secs(3_500));
    share.tick(disk.now());
    let told = share.find_upload(NAME, &Principal::Anonymous, Dialect::Draft, disk.now(), Box::new(|| {}));
    assert_eq!(told.expect("it is there").expect("nobody writes").offset, 2);
    disk.advance(std::time::Duration::from_secs(3_500));
    share.tick(disk.now());
    assert_eq!(left(&disk).len(), 2);
    disk.advance(std::time::Duration::from_secs(200));
    share.tick(disk.now());
    assert_eq!(left(&disk), [""; 0]);
    assert!(matches!(take_up(&share), Err(Stop::Refusal(Refusal::UploadOver))));
}
