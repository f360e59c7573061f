//! Uploads in chunks on the simulated disk: whatever fails and whenever the server dies, a chunk that was acknowledged is there whole, and none is there
//! in part. That the file at the path is old or new and whole is walked through with all other requests.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use noclobber::model::chunk_name::ChunkName;
use noclobber::model::principal::Principal;
use noclobber::share::outcome::{Outcome, Refusal, Stop};
use noclobber::share::{Begun, ChosenId, ChunkStart, CopyLimit, Dialect, RequestContext, Share, ShareSettings};
use noclobber::store::abilities::Tier;
use noclobber::store::catalog::index::Index;
use noclobber::store::disk_error::Cause;
use noclobber::store::local::commit::Tree;

use crate::harness::sim_disk::{Crash, Event, Features, SimDisk, When};
use crate::harness::stories::share_path;

const OWNER: Principal = Principal::Anonymous;

/// What comes: the second chunk, the first in another version, and the first.
const CHUNKS: [(u64, &str); 3] = [(2, "cd"), (1, "xyz"), (1, "ab")];

const ALL: &str = "abcd";

fn id() -> ChosenId {
    ChosenId::new(&OWNER, &["user", "up"])
}

/// What the disks of a tier can do; the one without nameless files is tried as well.
fn disks() -> impl Iterator<Item = Features> {
    [Tier::A, Tier::C, Tier::D].map(Features::of).into_iter().chain([Features::with_links_only()])
}

fn share_on(disk: &SimDisk) -> Share {
    let tree = Tree::on(Arc::new(disk.clone()));
    Share::open(tree, Index::in_memory(), ShareSettings::default(), disk.now()).expect("nothing fails at the start")
}

fn begin(disk: &SimDisk, share: &Share) -> Outcome<()> {
    let (dialect, path, at) = (Dialect::Chunks, share_path(""), disk.now());
    let begun = Begun { dialect, owner: OWNER, path, make_parents: false, fields: Vec::new(), at };
    share.begin_chunked(&id(), begun, None, &RequestContext::unconditional(at))
}

fn put(disk: &SimDisk, share: &Share, (number, bytes): (u64, &str)) -> Outcome<bool> {
    let start = ChunkStart { name: ChunkName::Number(number), bytes: Some(bytes.len() as u64), total: None };
    let mut chunk = share.begin_chunk(&id(), &OWNER, start, disk.now())?;
    share.write_chunk(&mut chunk, bytes.as_bytes(), disk.now())?;
    share.end_chunk(chunk)
}

fn end(disk: &SimDisk, share: &Share, path: &str) -> Outcome<()> {
    let (path, request) = (share_path(path), RequestContext::unconditional(disk.now()));
    let end = share.end_chunked(&id(), &OWNER, Some(ALL.len() as u64), disk.now())?;
    let upload = share.put_together(&end, &path, &request, CopyLimit::UNLIMITED, &mut |_| {})?;
    let stored = share.put(&path, upload, None, &request)?;
    share.chunked_is_stored(end, &path, &stored);
    Ok(())
}

/// What has come, as far as anybody knows: `None` without an upload.
fn come(disk: &SimDisk, share: &Share) -> Option<Vec<(ChunkName, u64)>> {
    match share.find_chunked(&id(), &OWNER, disk.now()) {
        Ok((_, chunks)) => Some(chunks),
        Err(Stop::Refusal(Refusal::NoUpload)) => None,
        Err(stop) => panic!("{stop:?}"),
    }
}

/// All of it; counts what was acknowledged: the beginning, and each chunk.
fn all_of_it(disk: &SimDisk, share: &Share, acknowledged: &mut usize) -> Outcome<()> {
    begin(disk, share)?;
    *acknowledged += 1;
    for chunk in CHUNKS {
        put(disk, share, chunk)?;
        *acknowledged += 1;
    }
    end(disk, share, "d/a")
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

/// What was acknowledged is there, and no chunk that never came whole; and the upload ends as it should. Unless the file is made: then it may be over.
fn goes_on(disk: &SimDisk, share: &Share, acknowledged: usize, point: &str) {
    let is_made = disk.bytes_at("d/a").as_deref() == Some(ALL.as_bytes());
    let Some(chunks) = come(disk, share) else {
        assert!(acknowledged == 0 || is_made, "{point}: it is lost");
        return;
    };
    let length = |number| chunks.iter().find(|(name, _)| *name == ChunkName::Number(number)).map(|(_, bytes)| *bytes);
    // A chunk that was not acknowledged may have come all the same.
    let (second, first): (&[_], &[_]) = match acknowledged {
        0 | 1 => (&[None, Some(2)], &[None]),
        2 => (&[Some(2)], &[None, Some(3)]),
        3 => (&[Some(2)], &[Some(3), Some(2)]),
        _ => (&[Some(2)], &[Some(2)]),
    };
    assert!(second.contains(&length(2)), "{point}: {chunks:?} of {acknowledged}");
    assert!(first.contains(&length(1)), "{point}: {chunks:?} of {acknowledged}");
    for chunk in [CHUNKS[0], CHUNKS[2]] {
        if length(chunk.0) != Some(2) {
            put(disk, share, chunk).expect(point);
        }
    }
    end(disk, share, "d/b").expect(point);
    assert_eq!(disk.bytes_at("d/b").as_deref(), Some(ALL.as_bytes()), "{point}");
}

#[test]
fn whatever_fails_what_was_acknowledged_is_there() {
    for features in disks() {
        for at in 1..=steps(&features) {
            for cause in [Cause::Failed, Cause::NoSpace] {
                let point = format!("{features:?}: {cause:?} at {at}");
                let disk = disk_with_a_file(&features);
                let share = share_on(&disk);
                disk.begin(vec![Event::Fail { at, cause }]);
                let mut acknowledged = 0;
                let done = all_of_it(&disk, &share, &mut acknowledged).is_ok();
                disk.begin(Vec::new());
                if !done {
                    goes_on(&disk, &share, acknowledged, &point);
                }
                let there = disk.bytes_at("d/a");
                assert!(matches!(there.as_deref(), Some(b"old" | b"abcd")), "{point}: {there:?}");
            }
        }
    }
}

#[test]
fn whenever_the_server_dies_what_was_acknowledged_is_there() {
    for features in disks() {
        for at in 1..=steps(&features) {
            let disk = disk_with_a_file(&features);
            let share = share_on(&disk);
            disk.begin(vec![Event::Crash { at, when: When::Before }]);
            let mut acknowledged = 0;
            let died = catch_unwind(AssertUnwindSafe(|| all_of_it(&disk, &share, &mut acknowledged))).is_err();
            assert!(died, "{at}");
            // What the dead process held means nothing any more.
            std::mem::forget(share);
            for crash in [Crash::Kill, Crash::PowerCut { changes: 0 }] {
                let point = format!("{features:?}: {crash:?} at {at}");
                let disk = disk.after_crash(crash);
                let share = share_on(&disk);
                let there = disk.bytes_at("d/a");
                assert!(matches!(there.as_deref(), Some(b"old" | b"abcd")), "{point}: {there:?}");
                goes_on(&disk, &share, acknowledged, &point);
            }
        }
    }
}

/// An upload is kept for an hour after the last word of its client, and then its chunks are gone; but not while one of them comes.
#[test]
fn an_upload_expires() {
    let disk = disk_with_a_file(&Features::of(Tier::A));
    let share = share_on(&disk);
    begin(&disk, &share).expect("begun");
    put(&disk, &share, CHUNKS[0]).expect("written");
    let start = ChunkStart { name: ChunkName::Number(1), bytes: None, total: None };
    let chunk = share.begin_chunk(&id(), &OWNER, start, disk.now()).expect("begun");
    disk.advance(std::time::Duration::from_secs(3_700));
    share.tick(disk.now());
    assert_eq!(left(&disk).len(), 3, "a note, a chunk, and one that comes");
    drop(chunk);
    assert_eq!(left(&disk).len(), 2);
    share.tick(disk.now());
    assert_eq!(left(&disk), [""; 0]);
    assert_eq!(come(&disk, &share), None);
    begin(&disk, &share).expect("it begins again under the same name");
    assert_eq!(come(&disk, &share), Some(Vec::new()));
}
