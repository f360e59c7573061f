//! Every call to the disk fails once, in every change that a client can ask for: what was refused has changed nothing and left nothing, what
//! was answered well is done, and a fault says which of the two it was.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use noclobber::model::extent::Extent;
use noclobber::model::lock::{Reach, Scope};
use noclobber::model::lock_token::LockToken;
use noclobber::model::property::{DeadProperty, PropertyName};
use noclobber::model::version::VersionId;
use noclobber::share::outcome::{Outcome, Refusal, Stop};
use noclobber::share::{
    CopyLimit, LockRequest, PageRequest, PropertyUpdate, Relocation, RequestContext, Share, ShareSettings,
};
use noclobber::store::abilities::Tier;
use noclobber::store::catalog::index::Index;
use noclobber::store::disk_error::Cause;
use noclobber::store::local::commit::Tree;
use noclobber::store::local::history::KeepLimits;

use crate::harness::sim_disk::{Event, Features, SimDisk};
use crate::harness::stories::share_path;

type Deed = fn(&Share, &SimDisk) -> Outcome<()>;

const DEEDS: [(&str, Deed); 19] = [
    ("PUT of a new file", |share, disk| put(share, disk, "new", false)),
    ("PUT over a file", |share, disk| put(share, disk, "a", false)),
    ("PUT that makes folders", |share, disk| put(share, disk, "n/m/new", true)),
    ("DELETE of a file", |share, disk| {
        share.delete(&share_path("a"), &RequestContext::unconditional(disk.now())).map(drop)
    }),
    ("DELETE of a folder", |share, disk| {
        share.delete(&share_path("d"), &RequestContext::unconditional(disk.now())).map(drop)
    }),
    ("MKCOL", |share, disk| {
        share.make_collection(&share_path("m"), &[note()], &RequestContext::unconditional(disk.now()))
    }),
    ("LOCK of a file", |share, disk| {
        share.lock(&share_path("a"), wish(), &RequestContext::unconditional(disk.now())).map(drop)
    }),
    ("LOCK of a new file", |share, disk| {
        share.lock(&share_path("new"), wish(), &RequestContext::unconditional(disk.now())).map(drop)
    }),
    ("PROPPATCH", |share, disk| {
        share.amend(&share_path("a"), &[note()], &RequestContext::unconditional(disk.now()), false)
    }),
    ("MOVE to a free name", |share, disk| relocate(share, disk, "a", "new")),
    ("MOVE over a file", |share, disk| relocate(share, disk, "a", "b")),
    ("MOVE of a folder over a file", |share, disk| relocate(share, disk, "d", "b")),
    ("COPY to a free name", |share, disk| copy(share, disk, "a", "new")),
    ("COPY over a file", |share, disk| copy(share, disk, "a", "b")),
    ("COPY of a folder", |share, disk| copy(share, disk, "d", "new")),
    ("COPY of a folder over a file", |share, disk| copy(share, disk, "d", "b")),
    ("POST that restores a file", |share, disk| restore(share, disk, "was/kept")),
    ("POST that restores a file and the folders above it", |share, disk| restore(share, disk, "gone/far/kept")),
    ("POST that restores a folder and those above it", |share, disk| restore(share, disk, "gone/near")),
];

fn note() -> PropertyUpdate {
    PropertyUpdate::Note(DeadProperty::new(PropertyName::new("urn:t", "n"), "<n xmlns=\"urn:t\">x</n>".to_owned()))
}

fn wish() -> LockRequest {
    LockRequest {
        token: LockToken::from_random([7; 16]),
        scope: Scope::Exclusive,
        reach: Reach::Itself,
        owner: None,
        timeout: Some(Duration::from_secs(60)),
    }
}

fn put(share: &Share, disk: &SimDisk, path: &str, make_parents: bool) -> Outcome<()> {
    let path = share_path(path);
    let mut upload =
        share.begin_long_upload(&path, &RequestContext::unconditional(disk.now()), Some(8), make_parents)?;
    share.write(&mut upload, b"uploaded", disk.now())?;
    share.put(&path, upload, None, &RequestContext::unconditional(disk.now())).map(drop)
}

fn between(from: &str, to: &str) -> Relocation {
    Relocation { from: share_path(from), to: share_path(to), may_replace: true, dated: None }
}

fn relocate(share: &Share, disk: &SimDisk, from: &str, to: &str) -> Outcome<()> {
    share.relocate(&between(from, to), &RequestContext::unconditional(disk.now()), CopyLimit::UNLIMITED).map(drop)
}

fn copy(share: &Share, disk: &SimDisk, from: &str, to: &str) -> Outcome<()> {
    share
        .copy(&between(from, to), Extent::Tree, &RequestContext::unconditional(disk.now()), CopyLimit::UNLIMITED)
        .map(drop)
}

fn restore(share: &Share, disk: &SimDisk, path: &str) -> Outcome<()> {
    share
        .restore(
            &share_path(path),
            &newest(share, path)?,
            true,
            &RequestContext::unconditional(disk.now()),
            CopyLimit::UNLIMITED,
        )
        .map(drop)
}

/// The newest version of a path.
fn newest(share: &Share, path: &str) -> Outcome<VersionId> {
    let wanted = PageRequest { before: None, count: 1 };
    let mut page =
        share.versions(&share_path(path), wanted, &RequestContext::default(), &mut || ControlFlow::Continue(()))?;
    Ok(page.items.remove(0).id)
}

/// What clients see, and what of an upload or a copy lies about unfinished.
#[derive(Debug, PartialEq)]
struct Sight {
    files: Vec<(String, String)>,
    folders: BTreeSet<String>,
    unfinished: Vec<String>,
}

impl Sight {
    fn of(disk: &SimDisk) -> Self {
        let text = |(path, bytes): (String, Vec<u8>)| (path, String::from_utf8_lossy(&bytes).into_owned());
        let mut files: Vec<_> = disk.visible_contents().into_iter().map(text).collect();
        files.sort();
        let folders = disk.folders().into_iter().filter(|path| !path.contains(".noclobber")).collect();
        let everywhere = disk.contents_everywhere().into_iter().map(|(path, _)| path);
        Self { files, folders, unfinished: everywhere.filter(|path| path.contains("unfinished-")).collect() }
    }
}

fn served(tier: Tier) -> (SimDisk, Share) {
    served_on(Features::of(tier))
}

fn served_on(features: Features) -> (SimDisk, Share) {
    let disk = SimDisk::new(features);
    for (path, bytes) in [("a", "first"), ("b", "second"), ("d/x", "third"), ("d/e/y", "fourth")] {
        disk.place(path, bytes);
    }
    for path in ["was/kept", "gone/far/kept", "gone/near/inside"] {
        disk.place(path, "it was kept");
    }
    disk.begin(vec![]);
    let settings = ShareSettings {
        keep: Some(KeepLimits { age_max: Duration::from_secs(1 << 20), percent_max: 50 }),
        require_preconditions: false,
        tag_threshold: 1 << 20,
        hashing_max: 1,
        syncs: true,
        ..ShareSettings::default()
    };
    let share =
        Share::open(Tree::on(Arc::new(disk.clone())), Index::in_memory(), settings, disk.now()).expect("opened");
    for path in ["was/kept", "gone/far/kept", "gone/near", "gone"] {
        share.delete(&share_path(path), &RequestContext::unconditional(disk.now())).expect("deleted");
    }
    (disk, share)
}

fn every_call_fails_once(tier: Tier) {
    for (what, deed) in DEEDS {
        let (disk, share) = served(tier);
        let before = Sight::of(&disk);
        disk.begin(vec![]);
        deed(&share, &disk).expect(what);
        let (steps, after) = (disk.steps(), Sight::of(&disk));
        for cause in [Cause::Failed, Cause::NoSpace, Cause::NotPermitted, Cause::TooManyOpen] {
            for at in 1..=steps {
                let (disk, share) = served(tier);
                disk.begin(vec![Event::Fail { at, cause }]);
                let outcome = deed(&share, &disk);
                let (seen, trace) = (Sight::of(&disk), disk.trace());
                let failed = trace.get(at - 1).cloned().unwrap_or_default();
                let expected = match &outcome {
                    Ok(()) => &after,
                    Err(Stop::Refusal(_)) => &before,
                    Err(Stop::Fault(fault)) if fault.cause == Cause::Unsure => &after,
                    Err(Stop::Fault(_)) => &before,
                };
                let told = format!("{what} on {tier}, {cause:?} at {at} ({failed}): {outcome:?}");
                assert_eq!((&seen.files, &seen.folders), (&expected.files, &expected.folders), "{told}\n{trace:#?}");
                // What cannot be removed is swept at the next start.
                let sweeps = ["unlink", "remove", "look"].iter().any(|word| failed.contains(word));
                assert!(seen.unfinished.is_empty() || sweeps, "{told}: {:?}", seen.unfinished);
            }
        }
    }
}

/// A folder of the history that one change made, and did not bring to the disk, is brought there by the next that puts a version below it.
#[test]
fn folders_that_others_made_for_the_history_are_synced() {
    let disk = SimDisk::with_file(Tier::A, "d/a", "one");
    let tree = Tree::on(Arc::new(disk.clone()))
        .keeping(Some(KeepLimits { age_max: Duration::from_secs(86_400), percent_max: 50 }));
    let site = tree.site(&share_path("d/a")).unwrap().expect("it lies in a folder");
    let synced_for = |path: &str| {
        let place = tree.history().place(&share_path(path), site.mount, disk.now()).unwrap();
        let before = disk.trace().len();
        place.sync(&disk).unwrap();
        let synced: Vec<String> =
            disk.trace().into_iter().skip(before).filter(|line| line.contains("sync_dir")).collect();
        synced.len()
    };
    // .noclobber, history, d, .noclobber and a: each in the one before.
    drop(tree.history().place(&share_path("d/a"), site.mount, disk.now()).unwrap());
    assert_eq!(synced_for("d/b"), 3 + 1 + 1, "in .noclobber, in history and in d, and for b");
    assert_eq!(synced_for("d/b"), 1);
    assert_eq!(synced_for("d/a"), 2, "a itself was not synced yet");
    assert_eq!(synced_for("d/a"), 1);
}

#[test]
fn every_call_fails_once_on_tier_a() {
    every_call_fails_once(Tier::A);
}

#[test]
fn every_call_fails_once_on_tier_b() {
    every_call_fails_once(Tier::B);
}

#[test]
fn every_call_fails_once_on_tier_c() {
    every_call_fails_once(Tier::C);
}

#[test]
fn every_call_fails_once_on_tier_d() {
    every_call_fails_once(Tier::D);
}

/// A change that takes a copy, for somebody who may leave.
type Copying = fn(&Share, &SimDisk, &dyn Fn() -> bool) -> Outcome<()>;

const COPIES: [(&str, Copying); 4] = [
    ("COPY of a file", |share, disk, is_wanted| {
        share
            .copy(
                &between("a", "b"),
                Extent::Tree,
                &RequestContext::unconditional(disk.now()),
                CopyLimit::WhileWanted(is_wanted),
            )
            .map(drop)
    }),
    ("COPY of a folder", |share, disk, is_wanted| {
        share
            .copy(
                &between("d", "b"),
                Extent::Tree,
                &RequestContext::unconditional(disk.now()),
                CopyLimit::WhileWanted(is_wanted),
            )
            .map(drop)
    }),
    ("COPY of a version", |share, disk, is_wanted| {
        let id = newest(share, "was/kept")?;
        share
            .copy_version(
                &between("was/kept", "b"),
                &id,
                &RequestContext::unconditional(disk.now()),
                CopyLimit::WhileWanted(is_wanted),
            )
            .map(drop)
    }),
    ("POST that restores a file and the folders above it", |share, disk, is_wanted| {
        let (path, id) = (share_path("gone/far/kept"), newest(share, "gone/far/kept")?);
        share
            .restore(&path, &id, true, &RequestContext::unconditional(disk.now()), CopyLimit::WhileWanted(is_wanted))
            .map(drop)
    }),
];

/// Whoever asked for a copy leaves whenever it is asked whether he still waits: nothing has changed, and nothing is left.
#[test]
fn a_copy_that_nobody_waits_for_any_more_leaves_nothing() {
    for (what, copying) in COPIES {
        for tier in [Tier::A, Tier::B, Tier::C, Tier::D] {
            let mut patience = 0;
            loop {
                let (disk, share) = served(tier);
                let before = Sight::of(&disk);
                disk.begin(vec![]);
                let asked = Cell::new(0);
                let is_wanted = || {
                    asked.set(asked.get() + 1);
                    asked.get() <= patience
                };
                let outcome = copying(&share, &disk, &is_wanted);
                if asked.get() <= patience {
                    outcome.expect(what);
                    break;
                }
                assert!(matches!(outcome, Err(Stop::Refusal(Refusal::Overloaded))), "{what}: {outcome:?}");
                assert_eq!(Sight::of(&disk), before, "{what} on {tier}, asked {} times", asked.get());
                patience += 1;
            }
            assert!(patience > 0, "{what} on {tier}: nobody was asked");
        }
    }
}

/// A server that stops makes no copy more.
#[test]
fn a_share_that_stops_copies_nothing() {
    for (what, copying) in COPIES {
        let (disk, share) = served(Tier::A);
        let before = Sight::of(&disk);
        share.stop_what_takes_long();
        let outcome = copying(&share, &disk, &|| true);
        assert!(matches!(outcome, Err(Stop::Refusal(Refusal::Overloaded))), "{what}: {outcome:?}");
        assert_eq!(Sight::of(&disk), before, "{what}");
    }
}

/// Two files that a program behind the file system gives one number are two: neither is taken for another name of the other, and lost.
#[test]
fn two_files_of_one_number_are_not_moved_into_each_other() {
    for tier in [Tier::A, Tier::B, Tier::C, Tier::D] {
        let (disk, share) = served_on(Features { births: false, one_number: true, ..Features::of(tier) });
        for path in ["e/a", "d/a"] {
            disk.place(path, path);
        }
        for (from, to) in [("a", "b"), ("e/a", "d/a")] {
            let before = Sight::of(&disk);
            let outcome = relocate(&share, &disk, from, to);
            assert!(outcome.is_err(), "{tier}: {from} to {to}");
            assert_eq!(Sight::of(&disk), before, "{tier}: {from} to {to}");
        }
    }
}
