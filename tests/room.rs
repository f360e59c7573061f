//! Room: what an upload may take from the history when the disk is full, what it may never take, and that nothing is given in vain.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::harness::disk_images::{DiskImage, Kind};
use crate::harness::{Dice, Server, eventually, left_out};

const MEBIBYTE: usize = 1024 * 1024;

/// Renames the versions of a path as if they had been displaced this many days ago.
pub fn age(server: &Server, path: &str, days: i64) {
    let folder = server.versions_of(path);
    for entry in fs::read_dir(&folder).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        let then = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * days);
        fs::rename(entry.path(), folder.join(format!("{}{}", then.strftime("%Y-%m-%d"), &name[10..]))).unwrap();
    }
}

fn small_disk(test: &str, options: &str) -> Option<DiskImage> {
    DiskImage::tmpfs(options).map_err(|why| left_out(test, &why)).ok()
}

fn contents(server: &Server, path: &str) -> Vec<Vec<u8>> {
    server.versions(path).0.into_iter().map(|version| version.content).collect()
}

/// One request head announces more than the disk holds; another announces it in a header of its own; a copy and an upload without a length
/// turn out not to fit. All are refused, and the history has every version that it had.
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
    // Older than a second look, and younger than a day.
    let folder = server.versions_of("victim.bin");
    for entry in fs::read_dir(&folder).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        let then = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(2);
        fs::rename(entry.path(), folder.join(format!("{}{}", then.strftime("%Y-%m-%dT%H"), &name[13..]))).unwrap();
    }
    for number in 0..12 {
        server.put(format!("/hog-{number}")).body(dice.bytes(3 * MEBIBYTE)).expect_any(&[201, 507]);
        server.put(format!("/hog-{number}")).chunks([dice.bytes(3 * MEBIBYTE)]).expect_any(&[201, 204, 507]);
    }
    let after = contents(&server, "/victim.bin");
    assert!(after.first() == before.first() && after.last() == before.last(), "{} versions are left", after.len());
    server.wait_for_log("the history gave");
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
    if !Command::new("chattr").arg("+i").args(&fast).status().is_ok_and(|status| status.success()) {
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
    assert!(Command::new("chattr").arg("-i").args(&fast).status().unwrap().success());
}

/// An upload that announces nearly all of the disk, and then comes slowly or not at all, leaves the room to everybody else.
#[test]
fn an_announced_length_takes_no_room() {
    let disk = match DiskImage::mount(Kind::Ext4, 64) {
        Ok(disk) => disk,
        Err(why) => return left_out("an_announced_length_takes_no_room", &why),
    };
    let server = Server::on(disk.path());
    let hogs: Vec<_> = (0..8)
        .map(|number| {
            let mut hog = server.connect();
            hog.write(server.put(format!("/hog-{number}")).header("Content-Length", "45000000").head());
            hog.write(vec![0; 100 * 1024]);
            hog
        })
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    server.put("/other.bin").body(vec![1; 20 * MEBIBYTE]).expect(201);
    fs::write(server.local("local.bin"), vec![1; 2 * MEBIBYTE]).unwrap();
    drop(hogs);
}

/// One start with the clock far ahead or far behind, and the history is what it was. What was kept under a clock that was behind is not old
/// when the clock is right again.
#[test]
fn a_start_with_a_wrong_clock_takes_nothing() {
    use noclobber::model::precondition::Precondition;
    use noclobber::model::stamp::Timestamp;

    use crate::harness::sim_disk::{Features, SimDisk};

    const DAY: u64 = 86_400;
    let disk = SimDisk::new(Features::of(noclobber::store::disk::Tier::A));
    let path = noclobber::model::path::SharePath::parse_url("/a.txt").unwrap();
    let settings = noclobber::share::Settings {
        keep: Some(noclobber::store::history::KeepLimits { age_max: Duration::from_secs(30 * DAY), percent_max: 100 }),
        require_preconditions: false,
        tag_threshold: 1 << 20,
        hashing_max: 1,
        syncs: true,
        ..noclobber::share::Settings::default()
    };
    let right = |seconds: u64| Timestamp::new(1_795_358_100, 0).plus(Duration::from_secs(seconds));
    let start = |now| {
        let index = noclobber::store::index::Index::in_memory();
        let share =
            noclobber::share::Share::open(std::sync::Arc::new(disk.clone()), index, settings.clone(), now).unwrap();
        share.keep_time(now, Duration::ZERO);
        share
    };
    let put = |share: &noclobber::share::Share, text: &[u8], now| {
        let mut upload = share.begin_upload(&path, None, now).unwrap();
        share.write(&mut upload, text, now).unwrap();
        share.put(&path, upload, None, &Precondition::default(), now).unwrap();
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
    let kept = |share: &noclobber::share::Share| share.all_versions(&path).unwrap().len();
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
    assert_eq!(kept(&share), 3, "{:?}", share.all_versions(&path).unwrap());
    // Years later they are old, though not in the first minute.
    let later = right(400 * DAY);
    let share = start(later);
    run_for(&share, later, 60);
    assert_eq!(kept(&share), 3);
    run_for(&share, later, 2 * DAY);
    assert_eq!(kept(&share), 0);
}
