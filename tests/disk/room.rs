//! Room: what an upload may take from the history when the disk is full, what it may never take, and that nothing is given in vain.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread::{self, ThreadId};
use std::time::Duration;

use noclobber::model::extent::Extent;
use noclobber::model::stamp::Timestamp;
use noclobber::share::outcome::Outcome;
use noclobber::share::{CopyLimit, PageRequest, Relocation, RequestContext, Share, ShareSettings, Stored};
use noclobber::store::abilities::Tier;
use noclobber::store::local::disk::Disk as _;
use noclobber::store::local::history::KeepLimits;

use crate::harness::disk_images::{Bound, DiskImage, Kind};
use crate::harness::programs::StartProgram as _;
use crate::harness::sim_disk::{Event, Features, Pace, SimDisk, When};
use crate::harness::stories::share_path;
use crate::harness::stranger::Act;
use crate::harness::{Dice, Server, eventually, left_out};

const MEBIBYTE: usize = 1024 * 1024;

/// Renames the versions of a path as if they had been displaced on days of their own, the last of them this many days ago: they are not too many
/// for their age, so only what needs their room takes them.
pub fn age(server: &Server, path: &str, days: i64) {
    age_in(&server.versions_of(path), days);
}

fn age_in(folder: &Path, days: i64) {
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    for (name, days) in names.iter().rev().map(|name| name.to_str().unwrap()).zip(days..) {
        let then = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * days);
        let aged = folder.join(format!("{}{}", then.strftime("%Y-%m-%d"), &name[10..]));
        fs::rename(folder.join(name), &aged).unwrap();
        // What was written later than it was displaced would be somebody's words.
        let written = then - jiff::SignedDuration::from_hours(1);
        if aged.is_file() {
            fs::File::open(&aged).unwrap().set_modified(written.into()).unwrap();
        }
    }
}

/// Renames the versions of a path as if they had been displaced two hours ago: older than a second look, and younger than a day.
fn displaced_earlier_today(server: &Server, path: &str) {
    let folder = server.versions_of(path);
    for entry in fs::read_dir(&folder).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        let then = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(2);
        fs::rename(entry.path(), folder.join(format!("{}{}", then.strftime("%Y-%m-%dT%H"), &name[13..]))).unwrap();
    }
}

fn small_disk(test: &str, options: &str) -> Option<DiskImage> {
    DiskImage::tmpfs(options).map_err(|why| left_out(test, &why)).ok()
}

fn contents(server: &Server, path: &str) -> Vec<Vec<u8>> {
    server.versions(path).0.into_iter().map(|version| version.content).collect()
}

/// One request head announces more than the disk holds; another announces it in a header of its own; a copy, and a version that is brought back
/// or copied, do not fit. All are refused, and the history has every version that it had.
#[test]
fn what_cannot_fit_takes_nothing_from_the_history() {
    let Some(disk) = small_disk("what_cannot_fit_takes_nothing_from_the_history", "size=32m") else { return };
    let server = Server::with("--history-percent=100").folder(disk.path()).start();
    let mut dice = Dice::new(21);
    for _ in 0..4 {
        server.put("/a.bin").body(dice.bytes(MEBIBYTE)).expect_any(&[201, 204]);
    }
    age(&server, "a.bin", 9);
    let before = contents(&server, "/a.bin");
    assert_eq!(before.len(), 3);
    let still = |what: &str| assert!(contents(&server, "/a.bin") == before, "{what} took from the history");
    for length in ["9000000000000000000", "18446744073709551615", "34000000"] {
        let mut head = server.connect();
        head.write(server.put("/x").header("Expect", "100-continue").header("Content-Length", length).head());
        assert!(head.answer("PUT").status >= 400, "{length}");
        still(length);
        let announced = server.put("/x").header("X-Expected-Entity-Length", length).chunks(["small"]).send();
        assert!(announced.status >= 400, "{announced}");
        still("what was announced besides");
    }
    // It could fit with all of the history, and then the client goes away: not one byte has come.
    let mut head = server.connect();
    head.write(server.put("/x").header("Content-Length", "30000000").head());
    std::thread::sleep(Duration::from_millis(300));
    drop(head);
    still("an upload that never came");
    server.put("/large").body(dice.bytes(16 * MEBIBYTE)).expect(201);
    server.copying("/large", "/copy").expect(507);
    still("a copy");
    let chunks: Vec<_> = (0..16).map(|_| dice.bytes(MEBIBYTE)).collect();
    server.put("/x").header("X-Expected-Entity-Length", "16777216").chunks(&chunks).expect(507);
    still("chunks whose number was announced");
    let version = server.put("/large").body("small").expect(204).field("noclobber-displaced").to_owned();
    server.post(format!("/large?restore={version}")).expect(507);
    still("a version that was to come back");
    server.get("/large").expect_body("small");
    server.delete("/large").expect(204);
    server.post(format!("/large?restore={version}")).expect(507);
    still("a version that was to come back where nothing is");
    server.copying(format!("/large?version={version}"), "/copy").expect(507);
    still("a copy of a version");
    assert_eq!(server.versions("/large").0.len(), 2);
    assert_eq!(server.names(""), ["a.bin"]);
}

/// Nobody knows the length of an upload in chunks that does not say it: it takes old versions as it comes, and is refused where that is not
/// enough. The floor is not its to take.
#[test]
fn an_upload_of_unknown_length_takes_old_versions_and_never_the_floor() {
    let test = "an_upload_of_unknown_length_takes_old_versions_and_never_the_floor";
    let Some(disk) = small_disk(test, "size=32m") else { return };
    let server = Server::with("--history-percent=100").folder(disk.path()).start();
    let mut dice = Dice::new(25);
    for path in ["/old.bin", "/today.bin"] {
        for _ in 0..5 {
            server.put(path).body(dice.bytes(MEBIBYTE)).expect_any(&[201, 204]);
        }
    }
    age(&server, "old.bin", 9);
    displaced_earlier_today(&server, "today.bin");
    let [old, today] = ["/old.bin", "/today.bin"].map(|path| contents(&server, path));
    let chunks: Vec<_> = (0..32).map(|_| dice.bytes(MEBIBYTE)).collect();
    server.put("/x").chunks(&chunks).expect(507);
    let [old_left, today_left] = ["/old.bin", "/today.bin"].map(|path| contents(&server, path));
    assert!(old_left.len() < old.len() && old.starts_with(&old_left), "{} are left", old_left.len());
    assert!(today_left.first() == today.first() && today_left.last() == today.last(), "the floor gave way");
    assert_eq!(server.names(""), ["old.bin", "today.bin"]);
}

/// Whoever fills the disk is told that it is full. What was displaced within a day is not his to take: of each path the newest version stays,
/// and the one that was there a day ago.
#[test]
fn an_upload_never_takes_what_was_displaced_today() {
    let Some(disk) = small_disk("an_upload_never_takes_what_was_displaced_today", "size=24m") else { return };
    let server = Server::with("--history-percent=100").folder(disk.path()).start();
    let mut dice = Dice::new(22);
    server.put("/victim.bin").body(dice.bytes(2 * MEBIBYTE)).expect(201);
    for _ in 0..3 {
        server.put("/victim.bin").body(dice.bytes(MEBIBYTE)).expect(204);
    }
    let before = contents(&server, "/victim.bin");
    displaced_earlier_today(&server, "victim.bin");
    for number in 0..12 {
        server.put(format!("/hog-{number}")).body(dice.bytes(3 * MEBIBYTE)).expect_any(&[201, 507]);
        server.put(format!("/hog-{number}")).chunks([dice.bytes(3 * MEBIBYTE)]).expect_any(&[201, 204, 507]);
    }
    let after = contents(&server, "/victim.bin");
    assert!(after.first() == before.first() && after.last() == before.last(), "{} versions are left", after.len());
    server.wait_for_log("the history gave");
}

/// A copy of a folder takes room from the history as one of a file does: if all of it will fit then, and nothing otherwise.
#[test]
fn a_copy_of_a_folder_takes_room_from_the_history_if_it_fits() {
    let test = "a_copy_of_a_folder_takes_room_from_the_history_if_it_fits";
    for (deep, fits) in [(true, true), (true, false), (false, true)] {
        let Some(disk) = small_disk(test, "size=32m,nr_inodes=200") else { return };
        let server = Server::with("--history-percent=100").folder(disk.path()).start();
        let mut dice = Dice::new(24);
        for _ in 0..4 {
            server.put("/a.bin").body(dice.bytes(4 * MEBIBYTE)).expect_any(&[201, 204]);
        }
        age(&server, "a.bin", 9);
        for (number, folder) in ["/d", "/d/e", "/d/f"].into_iter().enumerate() {
            server.put(format!("{folder}/{number}.bin?mkdirs")).body(dice.bytes(2 * MEBIBYTE)).expect(201);
        }
        let left = if fits { 4 } else { 0 };
        fs::write(server.local("local.bin"), dice.bytes((9 - left) * MEBIBYTE)).unwrap();
        if !fits {
            // With all of the history there is not enough.
            server.put("/d/large.bin").body(dice.bytes(MEBIBYTE)).expect_any(&[201, 507]);
            fs::write(server.local("d/larger.bin"), []).unwrap();
            fs::File::options().write(true).open(server.local("d/larger.bin")).unwrap().set_len(64 << 20).unwrap();
        }
        if !deep {
            // Not one inode is left.
            fill(disk.path(), true);
        }
        // What made the disk full may itself have taken from the history.
        let before = contents(&server, "/a.bin");
        let copied = server.copying("/d", "/copy").depth(if deep { "infinity" } else { "0" }).send();
        let after = contents(&server, "/a.bin");
        if fits {
            assert_eq!(copied.status, 201, "deep: {deep}: {copied}");
            assert!(after.len() < before.len() || !deep, "the history gave nothing");
            let there = server.local("copy/e/1.bin").exists();
            assert_eq!(there, deep);
        } else {
            assert_eq!(copied.status, 507, "{copied}");
            assert!(after == before, "what does not fit took from the history");
            assert!(!server.local("copy").exists());
        }
    }
}

/// Folders that are made and deleted in a loop take the inodes of the disk. They are given back before anybody is told that it is full, and
/// so are those of empty files.
#[test]
fn empty_folders_in_the_history_never_fill_the_disk() {
    let Some(disk) = small_disk("empty_folders_in_the_history_never_fill_the_disk", "size=16m,nr_inodes=120") else {
        return;
    };
    let server = Server::with("--history-percent=100").folder(disk.path()).start();
    for number in 0..100 {
        server.mkcol("/same/").expect(201);
        server.delete("/same/").expect(204);
        server.mkcol(format!("/{number}/")).expect(201);
        server.delete(format!("/{number}/")).expect(204);
    }
    server.put("/a.txt").body("fits").expect(201);
}

/// What the history may take is a part of the disk's blocks and of its inodes, and not of the sizes of the files: on a disk that gives 4 KiB
/// to each file, a file of one byte takes as much.
#[test]
fn the_history_is_weighed_by_what_it_takes() {
    let disk = match DiskImage::mount(Kind::Ext4, 24) {
        Ok(disk) => disk,
        Err(why) => return left_out("the_history_is_weighed_by_what_it_takes", &why),
    };
    let mut server = Server::with("--history-percent=2").folder(disk.path()).start();
    for number in 0..300 {
        server.put("/a.txt").body(format!("{number}")).expect_any(&[201, 204]);
    }
    // Spread over days, so that their number alone is no reason to go.
    let folder = server.versions_of("a.txt");
    for (number, entry) in fs::read_dir(&folder).unwrap().flatten().enumerate() {
        let then = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 + number as i64);
        let name = then.strftime("%Y-%m-%dT%H-%M-%S.000000Z").to_string();
        fs::rename(entry.path(), folder.join(name)).unwrap();
    }
    server.stop();
    let options = Server::with("--history-percent=2").value("--history-days", 300).folder(disk.path());
    server.start_again_with(options);
    let blocks_max = 24 * 1024 * 1024 / 50 / 4096;
    eventually(Duration::from_secs(20), "the history to shrink to its part of the blocks", || {
        (fs::read_dir(&folder).unwrap().count() <= blocks_max).then_some(())
    });
}

/// The disk is full to the last block and inode, and the history has nothing to give. What a client deletes is kept all the same.
#[test]
fn on_a_full_disk_something_can_still_be_deleted() {
    for (kind, inodes) in [(Kind::Ext4, false), (Kind::Ext4, true), (Kind::Tmpfs, false)] {
        let disk = match DiskImage::mount(kind, 16) {
            Ok(disk) => disk,
            Err(why) => return left_out("on_a_full_disk_something_can_still_be_deleted", &why),
        };
        let server = Server::with("--history-percent=100").folder(disk.path()).start();
        for number in 0..8 {
            server.put(format!("/folder-{number}/a.txt?mkdirs")).body(format!("{number}")).expect(201);
        }
        server.put("/first.txt").body("1").expect(201);
        server.put("/first.txt").body("2").expect(204);
        eventually(Duration::from_secs(10), "the spare room", || {
            fs::read_dir(server.local(".noclobber/spare")).ok()?.nth(7).map(drop)
        });
        fill(disk.path(), inodes);
        for number in 0..8 {
            server.delete(format!("/folder-{number}/a.txt")).expect(204);
            server.versions(&format!("/folder-{number}/a.txt")).expect([&*format!("{number}")]);
        }
    }
}

/// Makes a file that takes all but so many bytes.
fn take_all_but(file: &Path, left: u64) {
    let place = file.parent().unwrap();
    let file = fs::File::create(file).unwrap();
    let free = || {
        let space = rustix::fs::statvfs(place).unwrap();
        space.f_bavail * space.f_frsize
    };
    for part in 0.. {
        let flags = rustix::fs::FallocateFlags::empty();
        if free() <= left || rustix::fs::fallocate(&file, flags, part << 20, 1 << 20).is_err() {
            return;
        }
    }
}

/// Takes every block, or every inode.
fn fill(folder: &Path, inodes: bool) {
    let place = folder.join("filler");
    fs::create_dir(&place).unwrap();
    if inodes {
        for number in 0.. {
            if fs::write(place.join(number.to_string()), "").is_err() {
                return;
            }
        }
    }
    for (number, size) in [MEBIBYTE, 64 * 1024, 4096, 1].into_iter().enumerate() {
        for part in 0.. {
            if fs::write(place.join(format!("{number}-{part}")), vec![1; size]).is_err() {
                break;
            }
        }
    }
}

/// Entries that cannot be removed or looked into shield nothing: the others go, uploads get their room, and each is told of once.
#[test]
fn an_entry_that_cannot_be_handled_stays_and_stops_nothing() {
    let test = "an_entry_that_cannot_be_handled_stays_and_stops_nothing";
    let disk = match DiskImage::mount(Kind::Ext4, 24) {
        Ok(disk) => disk,
        Err(why) => return left_out(test, &why),
    };
    let mut server = Server::with("--history-percent=100").folder(disk.path()).start();
    let mut dice = Dice::new(23);
    for path in ["fast.bin", "loose.bin"] {
        for _ in 0..4 {
            server.put(format!("/{path}")).body(dice.bytes(MEBIBYTE)).expect_any(&[201, 204]);
        }
        age(&server, path, 40);
    }
    server.stop();
    let fast: Vec<_> =
        fs::read_dir(server.versions_of("fast.bin")).unwrap().map(|entry| entry.unwrap().path()).collect();
    if !Command::new("chattr").arg("+i").args(&fast).run_to_end().is_ok_and(|status| status.success()) {
        return left_out(test, "chattr does not work here");
    }
    server.start_again();
    eventually(Duration::from_secs(20), "the others to go", || {
        (!server.versions_of("loose.bin").exists()).then_some(())
    });
    assert_eq!(server.versions("/fast.bin").0.len(), 3);
    server.put("/large").body(dice.bytes(15 * MEBIBYTE)).expect_any(&[201, 507]);
    server.put("/small").body("small").expect_any(&[201, 507]);
    server.put("/fast.bin").body("new").expect_any(&[204, 507]);
    server.wait_for_log("is not tried again");
    std::thread::sleep(Duration::from_millis(1500));
    let told = server.log().matches("is not tried again").count();
    assert!((1..=3).contains(&told), "{told} lines: {}", server.log());
    assert!(Command::new("chattr").arg("-i").args(&fast).run_to_end().unwrap().success());
}

/// An upload that announces nearly all of the disk, and then comes slowly or not at all, leaves the room to everybody else.
#[test]
fn an_announced_length_takes_no_room() {
    let disk = match DiskImage::mount(Kind::Ext4, 64) {
        Ok(disk) => disk,
        Err(why) => return left_out("an_announced_length_takes_no_room", &why),
    };
    let server = Server::on(disk.path());
    // At once, so that none of them sees what another is given.
    let (start, server) = (std::sync::Barrier::new(8), &server);
    let begin = |number: usize| {
        let mut hog = server.connect();
        hog.write(server.put(format!("/hog-{number}")).header("Content-Length", "45000000").head());
        start.wait();
        hog.write(vec![0; 100 * 1024]);
        hog
    };
    let hogs: Vec<_> = std::thread::scope(|scope| {
        let begin = &begin;
        let begun: Vec<_> = (0..8).map(|number| scope.spawn(move || begin(number))).collect();
        begun.into_iter().map(|hog| hog.join().unwrap()).collect()
    });
    std::thread::sleep(Duration::from_millis(500));
    server.put("/other.bin").body(vec![1; 20 * MEBIBYTE]).expect(201);
    fs::write(server.local("local.bin"), vec![1; 2 * MEBIBYTE]).unwrap();
    drop(hogs);
}

/// The quota is full, and the disk is not. What the history has in that quota makes room by the same rules: nothing goes unless all that comes
/// will fit, what was displaced today stays, and so does what is another's, since that would give the quota nothing.
#[test]
fn a_full_quota_takes_from_the_history_what_a_full_disk_would() {
    use noclobber::model::path::SharePath;
    use noclobber::share::outcome::{Outcome, Refusal, Stop};
    use noclobber::share::{Full, Relocation, RequestContext, Share, ShareSettings, Stored};
    use noclobber::store::abilities::Tier;
    use noclobber::store::local::history::KeepLimits;

    use crate::harness::sim_disk::{Features, SimDisk};

    const DAY: Duration = Duration::from_secs(86_400);
    const SIZE: usize = 100_000;
    /// A million, and what is set aside so that something can still be deleted.
    const QUOTA: u64 = 1_000_000 + 64 * 4096;
    let path = |text: &str| SharePath::parse_disk(text.as_bytes()).unwrap();
    let served_as = |root: bool| {
        let disk =
            SimDisk::new(Features { root, capacity: 64 << 20, quota: QUOTA, reflinks: false, ..Features::of(Tier::A) });
        let keep = Some(KeepLimits { age_max: 100 * DAY, percent_max: 100 });
        let settings = ShareSettings { keep, tag_threshold: 1 << 20, ..ShareSettings::default() };
        let index = noclobber::store::catalog::index::Index::in_memory();
        let share = Share::open(
            noclobber::store::local::commit::Tree::on(std::sync::Arc::new(disk.clone())),
            index,
            settings,
            disk.now(),
        )
        .unwrap();
        (disk, share)
    };
    let served = || served_as(false);
    let put = |share: &Share, disk: &SimDisk, name: &str, bytes: &[u8], announces: bool| -> Outcome<Stored> {
        let now = disk.now();
        let announced = announces.then_some(bytes.len() as u64);
        let mut upload = share.begin_long_upload(&path(name), &RequestContext::unconditional(now), announced, false)?;
        bytes.chunks(50_000).try_for_each(|piece| share.write(&mut upload, piece, now))?;
        share.put(&path(name), upload, None, &RequestContext::unconditional(now))
    };
    let kept = |share: &Share, name: &str| {
        share.versions_below(&path(name), PageRequest { before: None, count: 1000 }).unwrap().items.len()
    };
    let began = SimDisk::new(Features::of(Tier::A)).now();
    let let_pass = |share: &Share, disk: &SimDisk, time: Duration| {
        disk.advance(time);
        share.keep_time(disk.now(), disk.now().since(began));
        share.tick(disk.now());
    };
    let is_full = |stop: &Stop| matches!(stop, Stop::Refusal(Refusal::NoSpace(Full::Quota)));
    let with_history = |disk: &SimDisk, share: &Share| {
        for number in 0..8 {
            put(share, disk, "a", &vec![number; SIZE], true).unwrap();
            let_pass(share, disk, Duration::from_secs(60));
        }
        assert_eq!(kept(share, "a"), 7);
    };
    for announces in [true, false] {
        // Old versions go, and no more than have to.
        let (disk, share) = served();
        with_history(&disk, &share);
        let_pass(&share, &disk, 3 * DAY);
        put(&share, &disk, "b", &vec![b'b'; 4 * SIZE], announces).unwrap();
        assert!((1..7).contains(&kept(&share, "a")), "{} are left", kept(&share, "a"));
        // What does not fit takes nothing.
        let (disk, share) = served();
        with_history(&disk, &share);
        let_pass(&share, &disk, 3 * DAY);
        if announces {
            let stop = put(&share, &disk, "b", &vec![b'b'; 12 * SIZE], true).unwrap_err();
            assert!(is_full(&stop), "{stop:?}");
            assert_eq!(kept(&share, "a"), 7);
        }
        // Nor does what was displaced today go: the first and the last version of the day.
        let (disk, share) = served();
        with_history(&disk, &share);
        let_pass(&share, &disk, Duration::from_secs(3600));
        let stop = put(&share, &disk, "b", &vec![b'b'; 9 * SIZE], announces).unwrap_err();
        assert!(is_full(&stop), "{stop:?}");
        assert!(kept(&share, "a") >= 2, "the floor gave way");
        assert!(!announces || kept(&share, "a") == 7);
        // What belongs to others weighs on their quota; but no user's quota binds root, so one that does is of everything.
        for root in [false, true] {
            let (disk, share) = served_as(root);
            for number in 0..8 {
                disk.place("a", &number.to_string().repeat(SIZE));
                disk.give_away("a");
                share.delete(&path("a"), &RequestContext::unconditional(disk.now())).unwrap();
                let_pass(&share, &disk, Duration::from_secs(60));
            }
            let_pass(&share, &disk, 3 * DAY);
            let stored = put(&share, &disk, "b", &vec![b'b'; if root { 5 } else { 11 } * SIZE], announces);
            assert!(if root { stored.is_ok() } else { stored.is_err_and(|stop| is_full(&stop)) }, "root: {root}");
            assert_eq!(kept(&share, "a") == 8, !root);
        }
    }
    // The same for copies, of files and of folders, and for what comes back.
    let (disk, share) = served();
    with_history(&disk, &share);
    disk.place("d/e/f", &"f".repeat(SIZE));
    let_pass(&share, &disk, 3 * DAY);
    let wanted = |from: &str, to: &str| Relocation { from: path(from), to: path(to), may_replace: true, dated: None };
    for (from, to) in [("a", "copy"), ("d", "copies")] {
        let before = kept(&share, "a");
        share
            .copy(&wanted(from, to), Extent::Tree, &RequestContext::unconditional(disk.now()), CopyLimit::UNLIMITED)
            .unwrap();
        assert_eq!(kept(&share, "a") < before, to == "copies", "COPY to {to}");
    }
}

/// One start with the clock far ahead or far behind, and the history is what it was. What was kept under a clock that was behind is not old
/// when the clock is right again.
#[test]
fn a_start_with_a_wrong_clock_takes_nothing() {
    use noclobber::model::stamp::Timestamp;

    use crate::harness::sim_disk::{Features, SimDisk};

    const DAY: u64 = 86_400;
    let disk = SimDisk::new(Features::of(noclobber::store::abilities::Tier::A));
    let path = noclobber::model::path::SharePath::parse_url("/a.txt").unwrap();
    let settings = noclobber::share::ShareSettings {
        keep: Some(noclobber::store::local::history::KeepLimits {
            age_max: Duration::from_secs(30 * DAY),
            percent_max: 100,
        }),
        require_preconditions: false,
        tag_threshold: 1 << 20,
        hashing_max: 1,
        syncs: true,
        ..noclobber::share::ShareSettings::default()
    };
    let right = |seconds: u64| Timestamp::new(1_795_358_100, 0).plus(Duration::from_secs(seconds));
    let start = |now| {
        let index = noclobber::store::catalog::index::Index::in_memory();
        let share = noclobber::share::Share::open(
            noclobber::store::local::commit::Tree::on(std::sync::Arc::new(disk.clone())),
            index,
            settings.clone(),
            now,
        )
        .unwrap();
        share.keep_time(now, Duration::ZERO);
        share
    };
    let put = |share: &noclobber::share::Share, text: &[u8], now| {
        let mut upload = share.begin_upload(&path, None, now).unwrap();
        share.write(&mut upload, text, now).unwrap();
        share.put(&path, upload, None, &RequestContext::unconditional(now)).unwrap();
    };
    let run_for = |share: &noclobber::share::Share, begin: Timestamp, seconds: u64| {
        for second in (0..=seconds).step_by(60) {
            let now = begin.plus(Duration::from_secs(second));
            share.keep_time(now, Duration::from_secs(second));
            if second % 600 == 0 {
                share.prune(now).unwrap();
            }
        }
    };
    let share = start(right(0));
    for (text, at) in [("one", 0), ("two", 4000), ("three", 8000)] {
        share.keep_time(right(at), Duration::from_secs(at));
        put(&share, text.as_bytes(), right(at));
    }
    share.close().unwrap();
    let kept = |share: &noclobber::share::Share| {
        share.versions_below(&path, PageRequest { before: None, count: 1000 }).unwrap().items.len()
    };
    // Two months ahead, for half an hour.
    let share = start(right(60 * DAY));
    run_for(&share, right(60 * DAY), 1800);
    assert_eq!(kept(&share), 2);
    share.close().unwrap();
    // In 1970, and something is displaced there.
    let share = start(Timestamp::new(0, 0));
    put(&share, b"four", Timestamp::new(5, 0));
    run_for(&share, Timestamp::new(5, 0), 600);
    share.close().unwrap();
    let share = start(right(15_000));
    run_for(&share, right(15_000), 3600);
    assert_eq!(kept(&share), 3);
    // Years later they are old, though not in the first minute.
    let later = right(400 * DAY);
    let share = start(later);
    run_for(&share, later, 60);
    assert_eq!(kept(&share), 3);
    run_for(&share, later, 2 * DAY);
    assert_eq!(kept(&share), 0);
}

/// A share on a simulated disk, with the clock in the test's hand.
struct Kept {
    disk: SimDisk,
    share: Share,
    began: Timestamp,
}

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

impl Kept {
    fn on(features: Features) -> Self {
        let disk = SimDisk::new(features);
        let keep = Some(KeepLimits { age_max: 100 * DAY, percent_max: 100 });
        let settings = ShareSettings { keep, tag_threshold: 1 << 20, ..ShareSettings::default() };
        let index = noclobber::store::catalog::index::Index::in_memory();
        let began = disk.now();
        let share = Share::open(
            noclobber::store::local::commit::Tree::on(std::sync::Arc::new(disk.clone())),
            index,
            settings,
            began,
        )
        .unwrap();
        share.keep_time(began, Duration::ZERO);
        Self { disk, share, began }
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Outcome<Stored> {
        let (path, now) = (share_path(name), self.disk.now());
        let announced = Some(bytes.len() as u64);
        let mut upload = self.share.begin_long_upload(&path, &RequestContext::unconditional(now), announced, false)?;
        bytes.chunks(500_000).try_for_each(|piece| self.share.write(&mut upload, piece, self.disk.now()))?;
        self.share.put(&path, upload, None, &RequestContext::unconditional(self.disk.now()))
    }

    /// Writes a file as often as that, so that one version less is kept.
    fn put_often(&self, name: &str, times: u8, size: usize) {
        for number in 0..times {
            self.put(name, &vec![number; size]).unwrap();
            self.let_pass(Duration::from_secs(60));
        }
    }

    fn let_pass(&self, time: Duration) {
        self.disk.advance(time);
        self.share.keep_time(self.disk.now(), self.disk.now().since(self.began));
        self.share.tick(self.disk.now());
    }

    fn count(&self, name: &str) -> usize {
        self.share.versions_below(&share_path(name), PageRequest { before: None, count: 1000 }).unwrap().items.len()
    }

    fn free(&self) -> usize {
        usize::try_from(self.disk.space(&self.disk.root().unwrap()).unwrap().free).unwrap()
    }

    fn holds(&self, bytes: &[u8]) -> bool {
        self.disk.contents_everywhere().iter().any(|(_, there)| there == bytes)
    }
}

/// Much of what the history could give is a version that a program has open for writing. Without it there is not enough for the upload, which is
/// refused: so nothing of the rest goes either, however often it is tried, and whichever path gives first. More comes than is made room for in one
/// step.
#[test]
fn nothing_goes_for_an_upload_that_is_refused_anyway() {
    for (versions, held) in [(12, 20), (10, 30)] {
        let kept = Kept::on(Features { capacity: 100 << 20, ..Features::of(Tier::A) });
        kept.put("held", &vec![b'h'; held * MEBIBYTE]).unwrap();
        kept.disk.act(&Act::find(0, "held"));
        kept.put("held", b"another").unwrap();
        kept.put_often("loose", versions, 2 * MEBIBYTE);
        kept.let_pass(3 * DAY);
        kept.disk.act(&Act::Open { hand: 0 });
        let before = kept.count("loose");
        kept.disk.place("local", &"l".repeat(kept.free() - MEBIBYTE));
        let new = vec![b'n'; (2 * before + 8) * MEBIBYTE];
        for _ in 0..3 {
            assert!(kept.put("new", &new).is_err(), "it fits");
            assert_eq!(kept.count("loose"), before, "versions went in vain");
            kept.let_pass(Duration::from_secs(10));
        }
        kept.disk.act(&Act::Close { hand: 0 });
        kept.let_pass(DAY);
        kept.put("new", &new).unwrap();
    }
}

/// The versions share their blocks with a snapshot, so they give no room. That is seen after the first, and no more of them go, nor with every
/// upload that is tried again.
#[test]
fn versions_that_give_no_room_are_not_used_up() {
    let kept = Kept::on(Features { capacity: 2_000_000, ..Features::of(Tier::A) });
    for name in ["a", "b", "c", "d"] {
        kept.put_often(name, 20, 15_000);
    }
    kept.let_pass(3 * DAY);
    kept.disk.take_snapshot();
    let before = kept.count("");
    assert_eq!(before, 4 * 19);
    assert!(kept.put("new", &[b'n'; 900_000]).is_err());
    assert!(kept.count("") >= before - 2, "{} of {before} are left", kept.count(""));
    for _ in 0..60 {
        kept.let_pass(Duration::from_secs(60));
        assert!(kept.put("new", &[b'n'; 900_000]).is_err());
    }
    assert!(kept.count("") >= before - 16, "after an hour {} of {before} are left", kept.count(""));
}

/// The same in a quota, where nobody can see how much is free: whoever tries again, by upload or by copy, takes less and less often.
#[test]
fn versions_that_give_no_quota_are_not_used_up() {
    for copies in [false, true] {
        let features = Features { capacity: 64 << 20, quota: 2_500_000, reflinks: false, ..Features::of(Tier::A) };
        let kept = Kept::on(features);
        for name in ["a", "b", "c", "d"] {
            kept.put_often(name, 20, 20_000);
        }
        kept.put("from", &[b'f'; 60_000]).unwrap();
        kept.let_pass(3 * DAY);
        let used = kept.disk.contents_everywhere().iter().map(|(_, bytes)| bytes.len()).sum::<usize>() + 64 * 4096;
        kept.put("filler", &vec![b'f'; 2_480_000 - used]).unwrap();
        kept.disk.take_snapshot();
        let before = kept.count("");
        for _ in 0..60 {
            let copy = Relocation { from: share_path("from"), to: share_path("new"), may_replace: true, dated: None };
            let tried = if copies {
                kept.share
                    .copy(&copy, Extent::Tree, &RequestContext::unconditional(kept.disk.now()), CopyLimit::UNLIMITED)
                    .map(drop)
            } else {
                kept.put("new", &[b'n'; 60_000]).map(drop)
            };
            assert!(tried.is_err(), "copies: {copies}");
            kept.let_pass(Duration::from_secs(60));
        }
        assert!(kept.count("") > before / 5, "copies: {copies}: {} of {before} are left", kept.count(""));
    }
}

/// The file system counts what was removed as free only when it has synced. It is asked to, and no more goes than has to.
#[test]
fn room_that_is_free_a_little_later_is_waited_for() {
    let kept = Kept::on(Features { capacity: 2_000_000, frees_late: true, ..Features::of(Tier::A) });
    for name in ["a", "b", "c", "d"] {
        kept.put_often(name, 20, 15_000);
    }
    kept.let_pass(3 * DAY);
    let before = kept.count("");
    kept.put("new", &vec![b'n'; kept.free() + 150_000]).unwrap();
    let gone = before - kept.count("");
    assert!((10..=25).contains(&gone), "{gone} of {before} went");
}

/// btrfs counts what was removed as free with its next commit, xfs some milliseconds later: no more goes than has to there either.
#[test]
fn on_no_file_system_more_goes_than_has_to() {
    for kind in [Kind::Btrfs, Kind::Xfs] {
        let disk = match DiskImage::mount(kind, 128) {
            Ok(disk) => disk,
            Err(why) => return left_out("on_no_file_system_more_goes_than_has_to", &why),
        };
        let server = Server::with("--history-percent=100").folder(disk.path()).start();
        let mut dice = Dice::new(25);
        for _ in 0..9 {
            server.put("/a.bin").body(dice.bytes(4 * MEBIBYTE)).expect_any(&[201, 204]);
        }
        age(&server, "a.bin", 9);
        take_all_but(&server.local("local.bin"), 4 << 20);
        server.put("/new.bin").body(dice.bytes(8 * MEBIBYTE)).expect(201);
        let left = contents(&server, "/a.bin").len();
        assert!((4..8).contains(&left), "{kind:?}: {left} of 8 versions are left");
    }
}

/// Two mounts of one file system, and two subvolumes of a btrfs, have one room: an upload to either takes it from the history of both, if that
/// suffices.
#[test]
fn all_histories_on_a_file_system_make_room_for_an_upload() {
    let test = "all_histories_on_a_file_system_make_room_for_an_upload";
    for kind in [Kind::Tmpfs, Kind::Btrfs] {
        let disk = match DiskImage::mount(kind, 32) {
            Ok(disk) => disk,
            Err(why) => return left_out(test, &why),
        };
        let (share, inner) = (disk.path().join("share"), disk.path().join("share/inner"));
        fs::create_dir(&share).unwrap();
        let _bound = if kind == Kind::Tmpfs {
            fs::create_dir(disk.path().join("elsewhere")).unwrap();
            fs::create_dir(&inner).unwrap();
            match Bound::at(&inner, &disk.path().join("elsewhere")) {
                Ok(bound) => Some(bound),
                Err(why) => return left_out(test, &why),
            }
        } else {
            let made = Command::new("btrfs").args(["subvolume", "create"]).arg(&inner).run();
            if !made.is_ok_and(|made| made.status.success()) {
                return left_out(test, "btrfs is not installed");
            }
            None
        };
        let server = Server::with("--history-percent=100").folder(&share).start();
        let mut dice = Dice::new(26);
        for path in ["a.bin", "inner/b.bin"] {
            for _ in 0..5 {
                server.put(format!("/{path}")).body(dice.bytes(2 * MEBIBYTE)).expect_any(&[201, 204]);
            }
        }
        age(&server, "a.bin", 9);
        age_in(&share.join("inner/.noclobber/history/.noclobber/b.bin"), 9);
        let kept = || contents(&server, "/a.bin").len() + contents(&server, "/inner/b.bin").len();
        assert_eq!(kept(), 8);
        take_all_but(&server.local("local.bin"), MEBIBYTE as u64);
        // More than one of the two histories could give, be it announced or not.
        server.put("/inner/new.bin").body(dice.bytes(11 * MEBIBYTE)).expect(201);
        assert!((1..4).contains(&kept()), "{kind:?}: {} are left", kept());
        server.put("/chunks.bin").chunks([dice.bytes(MEBIBYTE), dice.bytes(MEBIBYTE)]).expect(201);
    }
}

/// A program makes an empty file, keeps it open, and is to fill it when an upload takes its place. Where nobody can see that the program has it
/// open, the empty version stays for an hour.
#[test]
fn an_empty_version_stays_while_a_program_may_be_filling_it() {
    for tier in [Tier::A, Tier::B, Tier::C] {
        let kept = Kept::on(Features::of(tier));
        kept.disk.place("a", "");
        kept.disk.act(&Act::find(0, "a"));
        kept.disk.act(&Act::Open { hand: 0 });
        kept.disk.act(&Act::Close { hand: 0 });
        kept.disk.act(&Act::find(0, "a"));
        kept.put("a", b"uploaded").unwrap();
        kept.disk.act(&Act::Open { hand: 0 });
        for _ in 0..58 {
            kept.let_pass(Duration::from_secs(60));
            kept.share.prune(kept.disk.now()).unwrap();
        }
        kept.disk.act(&Act::write(0, "his work"));
        kept.disk.act(&Act::Close { hand: 0 });
        assert!(kept.holds(b"his work"), "{tier}");
    }
    for (tier, stays) in [(Tier::A, Duration::from_secs(60)), (Tier::B, HOUR + Duration::from_secs(60))] {
        let kept = Kept::on(Features::of(tier));
        kept.put("a", b"").unwrap();
        kept.put("a", b"filled").unwrap();
        assert_eq!(kept.count("a"), 1);
        kept.let_pass(stays);
        kept.share.prune(kept.disk.now()).unwrap();
        assert_eq!(kept.count("a"), 0, "{tier}: a drive's empty file is kept");
    }
}

/// An empty version is let go. At any step of that a program that had found the file before opens it, and fills it: its words are in the history.
#[test]
fn an_empty_version_that_is_filled_while_it_is_let_go_stays() {
    let mut went = [0, 0];
    for at in 1.. {
        let kept = Kept::on(Features::of(Tier::A));
        kept.disk.place("a", "");
        kept.disk.act(&Act::find(0, "a"));
        kept.put("a", b"uploaded").unwrap();
        kept.let_pass(Duration::from_secs(60));
        let fill = [Act::Open { hand: 0 }, Act::write(0, "his work"), Act::Close { hand: 0 }];
        kept.disk.begin(fill.map(|act| Event::Stranger { at, when: When::Before, act }).to_vec());
        kept.share.prune(kept.disk.now()).unwrap();
        let (steps, trace) = (kept.disk.steps(), kept.disk.trace());
        if at > steps {
            break;
        }
        // In the instant between the last question and the removal nobody can be seen.
        let is_the_instant = trace.iter().any(|line| line.starts_with(&format!("{at:4} unlink ")));
        let is_late = trace
            .iter()
            .position(|line| line.contains(" unlink "))
            .is_some_and(|unlinked| trace[..unlinked].iter().all(|line| !line.contains("stranger")));
        assert!(is_the_instant || is_late || kept.holds(b"his work"), "step {at}: {trace:#?}");
        went[usize::from(is_late)] += 1;
    }
    assert!(went[0] > 5 && went[1] > 1, "{went:?}");
}

/// A folder without a file was deleted. At any step of letting it go, a program that is still in it makes a file there: that stays, unless the
/// program is told that its folder is gone.
#[test]
fn a_program_in_a_deleted_folder_keeps_what_it_makes_there() {
    let mut made_some = false;
    for at in 1.. {
        let kept = Kept::on(Features::of(Tier::A));
        kept.disk.place_folder("build/out");
        kept.share.delete(&share_path("build"), &RequestContext::unconditional(kept.disk.now())).unwrap();
        let folders = kept.disk.folders();
        let version = folders.iter().find(|path| path.ends_with("/out")).unwrap().strip_suffix("/out").unwrap();
        kept.let_pass(Duration::from_secs(60));
        kept.share.prune(kept.disk.now()).unwrap();
        for _ in 0..102 {
            kept.let_pass(DAY);
        }
        let places = ["", " (upload)"]
            .into_iter()
            .flat_map(|ending| [format!("{version}{ending}/out"), format!("{version}{ending}")]);
        let make = places.map(|folder| Event::Stranger {
            at,
            when: When::Before,
            act: Act::create(&format!("{folder}/result"), &format!("{folder}: result")),
        });
        kept.disk.begin(make.collect());
        kept.share.prune(kept.disk.now()).unwrap();
        let trace = kept.disk.trace();
        let is_the_last_of_the_walk = |line: &String| line.contains(" list ") && line.ends_with("/out");
        let measured = trace.iter().position(is_the_last_of_the_walk).unwrap_or(trace.len());
        let made = |line: &String| line.contains("stranger") && line.ends_with("done");
        if trace.iter().position(made).is_some_and(|made| made > measured) {
            made_some = true;
            let account = kept.disk.account();
            let mut owed = account.owed.iter().filter(|bytes| bytes.ends_with(b"result"));
            assert!(owed.all(|bytes| kept.holds(bytes)), "step {at}: {trace:#?}");
        }
        if at > kept.disk.steps() {
            assert_eq!(kept.count("build"), 0, "it never goes");
            break;
        }
    }
    assert!(made_some);
}

/// As above, where the folder goes because its inodes are needed, and was measured while it was empty.
#[test]
fn a_folder_that_was_empty_is_measured_again_before_its_room_is_taken() {
    let test = "a_folder_that_was_empty_is_measured_again_before_its_room_is_taken";
    let Some(disk) = small_disk(test, "size=16m,nr_inodes=120") else { return };
    let server = Server::with("--history-percent=100").folder(disk.path()).start();
    server.put("/large.bin").body(vec![1; 8 * MEBIBYTE]).expect(201);
    server.mkcol("/build/").expect(201);
    server.delete("/build/").expect(204);
    // What the history could give is found out for it.
    server.put("/x").header("X-Expected-Entity-Length", "12000000").chunks(["small"]).expect(507);
    let folder = server.versions_of("build");
    let version = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    fs::write(version.join("result"), "his work").unwrap();
    fill(disk.path(), true);
    server.put("/small.txt").body("small").expect_any(&[201, 507]);
    assert_eq!(fs::read_to_string(version.join("result")).expect("the folder is there"), "his work");
}

/// Stops one thread before its next step on the disk, until it may go on.
#[derive(Default)]
struct Gate {
    /// The thread, and whether it has come to the gate.
    state: Mutex<(Option<ThreadId>, bool)>,
    changed: Condvar,
}

impl Gate {
    fn stop_this_thread(&self) {
        self.state.lock().unwrap().0 = Some(thread::current().id());
    }

    fn wait_until_it_has_stopped(&self) {
        let state = self.state.lock().unwrap();
        drop(self.changed.wait_while(state, |(_, has_come)| !*has_come).unwrap());
    }

    fn let_go_on(&self) {
        self.state.lock().unwrap().0 = None;
        self.changed.notify_all();
    }
}

impl Pace for Gate {
    fn before_step(&self) {
        let mut state = self.state.lock().unwrap();
        let this = thread::current().id();
        state.1 |= state.0 == Some(this);
        self.changed.notify_all();
        drop(self.changed.wait_while(state, |(stopped, _)| *stopped == Some(this)).unwrap());
    }
}

/// The keep rule is being applied to a history, which may take long. An upload that needs room does not wait for that; and what it took is reckoned
/// with: of the versions of a day the first that is still there stays, and so does the newest.
#[test]
fn an_upload_takes_room_while_the_history_is_pruned() {
    let kept = Kept::on(Features { capacity: 2_000_000, ..Features::of(Tier::A) });
    kept.put_often("a", 21, 50_000);
    kept.let_pass(3 * DAY);
    let (gate, (send, uploaded)) = (Arc::new(Gate::default()), mpsc::channel());
    kept.disk.set_pace(Some(Arc::clone(&gate) as Arc<dyn Pace>));
    thread::scope(|scope| {
        let (gate, kept) = (&*gate, &kept);
        scope.spawn(move || {
            gate.stop_this_thread();
            kept.share.prune(kept.disk.now()).unwrap();
        });
        gate.wait_until_it_has_stopped();
        scope.spawn(move || send.send(kept.put("new", &vec![b'n'; kept.free() + 400_000]).map(drop)));
        let in_time = uploaded.recv_timeout(Duration::from_secs(120));
        let left = kept.count("a");
        gate.let_go_on();
        in_time.expect("the upload waited").unwrap();
        assert!((5..15).contains(&left), "{left} of 20 are left");
    });
    kept.disk.set_pace(None);
    assert_eq!(kept.count("a"), 2);
}
