//! File systems that can do little: links and nothing more (bindfs), or not even those (exFAT through FUSE). Files are made, replaced,
//! deleted, brought back and found whole after a kill, and the start-up lines say what is not promised. It takes root to mount them.

use std::fs;
use std::time::Duration;

use crate::harness::client::tag_of;
use crate::harness::disk_images::{Bound, DiskImage, FuseDisk};
use crate::harness::{Dice, Server, left_out};

fn a_date_that_is_asked_for_is_set(server: &Server) {
    const DATE: &str = "Sun, 09 Sep 2001 01:46:40 GMT";
    server.put("/dated").header("X-OC-Mtime", "1000000000").body("a").expect(201);
    assert_eq!(server.head("/dated").expect(200).field("last-modified"), DATE);
    server.put("/dated").body("b").expect(204);
    assert_ne!(server.head("/dated").expect(200).field("last-modified"), DATE);
    let set = format!(
        "<D:set><D:prop><Z:Win32LastModifiedTime xmlns:Z=\"urn:schemas-microsoft-com:\">{DATE}\
         </Z:Win32LastModifiedTime></D:prop></D:set>"
    );
    server.proppatch("/dated", &set).expect(207);
    assert_eq!(server.head("/dated").expect(200).field("last-modified"), DATE);
    server.delete("/dated").expect(204);
}

/// What the tests of behaviour ask of every disk, in short.
fn goes_through_its_life(mut server: Server, keeps: bool) {
    a_date_that_is_asked_for_is_set(&server);
    let tag = server.put("/docs/a.txt?mkdirs").if_none_match("*").body("one").expect(201).tag();
    server.put("/docs/a.txt").if_none_match("*").body("other").expect(412);
    let tag = server.put("/docs/a.txt").if_match(tag).body("two").expect(204).tag();
    server.put("/docs/a.txt").if_match(tag_of("one")).body("late").expect(412);
    // A program saves behind the server's back, by rename and in place.
    server.write("docs/saved", "hers");
    fs::rename(server.local("docs/saved"), server.local("docs/a.txt")).unwrap();
    server.put("/docs/a.txt").if_match(&tag).body("unseen").expect(412);
    server.get("/docs/a.txt").expect_body("hers");
    server.write("docs/a.txt", "hers, and more");
    server.delete("/docs/a.txt").if_match(tag_of("hers")).expect(412);
    server.put("/docs/a.txt").body("three").expect(204);
    server.delete("/docs/a.txt").if_match(tag_of("three")).expect(204);
    server.get("/docs/a.txt").expect(404);
    if keeps {
        let versions = server.versions("/docs/a.txt").expect(["three", "hers, and more", "one"]);
        server.post(format!("/docs/a.txt?restore={}", versions.0[0].id)).expect(201);
        server.get("/docs/a.txt").expect_body("three");
        server.delete("/docs/").expect(204);
        let folder = server.versions("/docs").0[0].id.clone();
        server.post(format!("/docs?restore={folder}")).expect(201);
        server.get("/docs/a.txt").expect_body("three");
    }
    is_rearranged(&server);
    // Killed in the middle of writes: each file is old or new, whole, and what was answered is there.
    let mut dice = Dice::new(3);
    for round in 0..3 {
        let content = dice.bytes(300_000);
        let tag = server.put("/big.bin").body(&content).expect_any(&[201, 204]).tag();
        server.kill();
        server.start_again();
        assert!(server.get("/big.bin").expect(200).body == content, "round {round}");
        assert_eq!(server.head("/big.bin").expect(200).tag(), tag, "round {round}: the tag is as before the kill");
        let strange: Vec<_> = server.names("").into_iter().filter(|name| name != "docs" && name != "big.bin").collect();
        assert!(strange.is_empty(), "round {round}: {strange:?}");
    }
}

/// Files and folders are copied and moved, to free names and over others, and to a name that differs in its letters' case only.
fn is_rearranged(server: &Server) {
    server.put("/from/deep/a.txt?mkdirs").body("a").expect(201);
    server.put("/b.txt").body("b").expect(201);
    server.copying("/from", "/copy").expect(201);
    server.copying("/b.txt", "/copy/deep/a.txt").expect(204);
    server.get("/copy/deep/a.txt").expect_body("b");
    server.copying("/from", "/copy").header("Overwrite", "F").expect(412);
    server.copying("/from", "/copy").expect(204);
    server.get("/copy/deep/a.txt").expect_body("a");
    server.moving("/copy", "/moved").expect(201);
    server.get("/copy/").expect(404);
    server.moving("/b.txt", "/moved/deep/a.txt").if_match(tag_of("other")).expect(412);
    server.moving("/b.txt", "/moved/deep/a.txt").if_match(tag_of("b")).expect(204);
    server.moving("/moved", "/from").expect(204);
    // Where the letters' case makes no other name, the file has it already.
    let respelled = server.moving("/from/deep/a.txt", "/from/deep/A.TXT").expect_any(&[201, 409]);
    server.get(if respelled.status == 201 { "/from/deep/A.TXT" } else { "/from/deep/a.txt" }).expect_body("b");
    assert_eq!(server.names("from/deep").len(), 1);
    assert!(["b.txt", "copy", "moved"].iter().all(|name| !server.local(name).exists()));
    server.delete("/from/").expect(204);
}

#[test]
fn links_are_enough_for_tier_c() {
    let mounted = match FuseDisk::bindfs() {
        Ok(mounted) => mounted,
        Err(why) => return left_out("links_are_enough_for_tier_c", &why),
    };
    let server = Server::on(mounted.path());
    assert!(server.greeting().contains("Tier C"), "{}", server.greeting());
    goes_through_its_life(server, true);
}

/// A file over the threshold has the tag of its upload for all its life, and a write that names it goes through, also while its stamp is not
/// settled.
#[test]
fn a_large_upload_keeps_its_tag_on_every_disk() {
    const TEST: &str = "a_large_upload_keeps_its_tag_on_every_disk";
    let disks = [FuseDisk::bindfs(), FuseDisk::exfat()].into_iter();
    for disk in disks.filter_map(|disk| disk.map_err(|why| left_out(TEST, &why)).ok()) {
        let server = Server::on(disk.path());
        let large = |letter: u8| vec![letter; 9 << 20];
        let keeps = |path: &str, tag: &str| {
            for pause in [0, 0, 1100, 1100, 1100] {
                std::thread::sleep(Duration::from_millis(pause));
                assert_eq!(server.head(path).expect(200).tag(), tag, "{path} on tier {}", server.greeting());
                assert_eq!(server.get(path).expect(200).tag(), tag);
            }
            assert_eq!(server.properties(path, "<D:getetag/>").value("D:getetag"), tag);
        };
        let first = server.put("/large").body(large(b'1')).expect(201).tag();
        keeps("/large", &first);
        let second = server.put("/large").if_match(&first).body(large(b'2')).expect(204).tag();
        server.copying("/large", "/copy").if_match(&second).expect(201);
        assert_eq!(server.head("/copy").expect(200).tag(), second);
        server.moving("/copy", "/moved").if_match(&second).expect(201);
        keeps("/moved", &second);
        keeps("/large", &second);
        server.delete("/large").if_match(&second).expect(204);
    }
}

#[test]
fn a_file_system_that_can_do_nothing_is_tier_d() {
    let mounted = match FuseDisk::exfat() {
        Ok(mounted) => mounted,
        Err(why) => return left_out("a_file_system_that_can_do_nothing_is_tier_d", &why),
    };
    let server = Server::on(mounted.path());
    assert!(server.greeting().contains("Tier D"), "{}", server.greeting());
    goes_through_its_life(server, true);
}

/// Of a name that was written in two ways, for a file and later for a folder, the history tells once where both are one name.
#[test]
fn a_name_in_two_cases_is_told_once() {
    let mounted = match FuseDisk::exfat() {
        Ok(mounted) => mounted,
        Err(why) => return left_out("a_name_in_two_cases_is_told_once", &why),
    };
    let server = Server::on(mounted.path());
    for (file, folder) in [("/Report", "/report"), ("/papers", "/PAPERS")] {
        server.put(file).body("file").expect(201);
        server.delete(file).expect(204);
        server.mkcol(folder).expect(201);
        server.put(format!("{folder}/x")).body("x").expect(201);
        server.delete(format!("{folder}/x")).expect(204);
        server.delete(folder).expect(204);
    }
    // For so long a name that was looked for in vain is not there.
    std::thread::sleep(Duration::from_millis(1100));
    for (target, expected) in [("/?deleted", 2), ("/?deleted&deep", 4)] {
        let told = server.get(target).expect(200).text();
        let mut names: Vec<_> = told.lines().map(str::to_lowercase).collect();
        names.sort();
        names.dedup();
        assert_eq!((names.len(), told.lines().count()), (expected, expected), "{told}");
    }
}

/// The same code where it can be forced, with the history on and off.
#[test]
fn tier_d_can_be_forced() {
    for keeps in [true, false] {
        let options = Server::with("--force-tier=D");
        let server = if keeps { options } else { options.option("--no-history") }.start();
        assert!(server.greeting().contains("Tier D"), "{}", server.greeting());
        goes_through_its_life(server, keeps);
    }
}

#[test]
fn one_can_refuse_to_start_on_tier_d() {
    let (status, said) = Server::with("--force-tier=D").option("--require-tier=C").start_in_vain();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("tier D") && said.contains("tier C is required"), "{said}");
}

/// A copy in the history is the version as it was, with its date.
#[test]
fn what_tier_d_copies_keeps_its_date() {
    let server = Server::with("--force-tier=D").start();
    let path = server.write("a.txt", "old");
    let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    fs::File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
    server.put("/a.txt").body("new").expect(204);
    let (kept, content) = server.kept_files().pop().expect("a kept file");
    assert_eq!(content, b"old");
    assert_eq!(fs::metadata(kept).unwrap().modified().unwrap(), long_ago);
}

/// A file goes from one file system to another as a copy, which is made before the original goes; a folder does not.
#[test]
fn a_file_moves_to_another_file_system_and_a_folder_is_copied_there() {
    const TEST: &str = "a_file_moves_to_another_file_system_and_a_folder_is_copied_there";
    let share = tempfile::Builder::new().prefix("noclobber-share-").tempdir().unwrap();
    let inner = share.path().join("inner");
    fs::create_dir_all(&inner).unwrap();
    let disk = match DiskImage::tmpfs("size=16m") {
        Ok(disk) => disk,
        Err(why) => return left_out(TEST, &why),
    };
    let _bound = match Bound::at(&inner, disk.path()) {
        Ok(bound) => bound,
        Err(why) => return left_out(TEST, &why),
    };
    for keeps in [true, false] {
        let options = Server::builder().folder(share.path());
        let server = if keeps { options } else { options.option("--no-history") }.start();
        let tag = server.put("/a.txt").body("one").expect(201).tag();
        server.note("/a.txt", "<t:a>noted</t:a>");
        server.moving("/a.txt", "/inner/a.txt").if_match(tag_of("other")).expect(412);
        assert_eq!((server.read("a.txt"), inner.join("a.txt").exists()), ("one".to_owned(), false));
        server.moving("/a.txt", "/inner/a.txt").if_match(&tag).expect(201);
        assert_eq!(server.head("/inner/a.txt").expect(200).tag(), tag);
        assert!(!server.local("a.txt").exists());
        server.get("/inner/a.txt").expect_body("one");
        assert_eq!(server.properties("/inner/a.txt", "<t:a/>").value("{urn:t}a"), "noted");
        // Back over another file, which is kept.
        server.put("/b.txt").body("two").expect(201);
        server.moving("/inner/a.txt", "/b.txt").header("Overwrite", "F").expect(412);
        server.moving("/inner/a.txt", "/b.txt").expect(204);
        server.get("/b.txt").expect_body("one");
        assert!(!inner.join("a.txt").exists());
        if keeps {
            server.versions("/b.txt").expect(["two"]);
        }
        // What was displaced is looked at again although its folder is gone meanwhile.
        server.put("/inner/x/a.txt?mkdirs").body("one").expect(201);
        server.put("/inner/x/a.txt").body("two").expect(204);
        fs::remove_dir_all(inner.join("x")).unwrap();
        if !keeps {
            crate::harness::eventually(std::time::Duration::from_secs(40), "what was displaced to be let go", || {
                let left = fs::read_dir(inner.join(".noclobber/swap/x/.noclobber/a.txt"));
                left.map_or(true, |mut left| left.next().is_none()).then_some(())
            });
        }
        // A folder is not moved in pieces, and a refusal leaves both sides as they were.
        server.put("/d/e/f.txt?mkdirs").body("f").expect(201);
        let refused = server.moving("/d", "/inner/d").send();
        assert_eq!(refused.status, 403, "{refused}");
        assert_eq!((server.read("d/e/f.txt"), inner.join("d").exists()), ("f".to_owned(), false));
        server.copying("/d", "/inner/d").expect(201);
        server.get("/inner/d/e/f.txt").expect_body("f");
        for path in ["/b.txt", "/d/", "/inner/d/"] {
            server.delete(path).expect(204);
        }
        let left: Vec<_> = server.names("").into_iter().chain(server.names("inner")).collect();
        assert_eq!(left, ["inner"], "nothing stray");
    }
}

/// Another file system in the share has a history of its own, which is listed, settled and pruned like the first.
#[test]
fn the_history_of_a_mount_in_the_share_is_pruned_too() {
    const TEST: &str = "the_history_of_a_mount_in_the_share_is_pruned_too";
    let share = tempfile::Builder::new().prefix("noclobber-share-").tempdir().unwrap();
    let inner = share.path().join("docs/inner");
    fs::create_dir_all(&inner).unwrap();
    let disk = match DiskImage::tmpfs("size=16m") {
        Ok(disk) => disk,
        Err(why) => return left_out(TEST, &why),
    };
    let _bound = match Bound::at(&inner, disk.path()) {
        Ok(bound) => bound,
        Err(why) => return left_out(TEST, &why),
    };
    let mut server = Server::with("--history-percent=100").folder(share.path()).start();
    for text in ["one", "two", "three"] {
        server.put("/docs/inner/a.txt").body(text).expect_any(&[201, 204]);
    }
    server.versions("/docs/inner/a.txt").expect(["two", "one"]);
    let folder = inner.join(".noclobber/history/.noclobber/a.txt");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
    // What a killed process leaves there is settled at the next start, and an old version goes.
    server.kill();
    let aged = folder.join("2001-01-01T00-00-00.000000Z");
    fs::write(&aged, "very old").unwrap();
    let tail = folder.join("2026-11-22T10-00-00.000000Z~00-00");
    fs::write(&tail, "left").unwrap();
    let unfinished = inner.join(".noclobber/uploads");
    fs::create_dir_all(&unfinished).unwrap();
    fs::write(unfinished.join("unfinished-7"), "half").unwrap();
    server.start_again();
    assert!(!tail.exists() && !unfinished.join("unfinished-7").exists(), "settled: {}", server.log());
    crate::harness::eventually(std::time::Duration::from_secs(20), "the old version to go", || {
        (!aged.exists()).then_some(())
    });
    // An upload that finds the inner disk full takes from the history there.
    let mut dice = Dice::new(9);
    for _ in 0..4 {
        server.put("/docs/inner/b.bin").body(dice.bytes(3 << 20)).expect_any(&[201, 204]);
    }
    for entry in fs::read_dir(inner.join(".noclobber/history/.noclobber/b.bin")).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        fs::rename(entry.path(), entry.path().with_file_name(format!("2026-10-01{}", &name[10..]))).unwrap();
    }
    server.put("/docs/inner/b.bin").body_when_asked(dice.bytes(6 << 20)).expect(204);
    server.stop();
    let own = fs::read_dir(inner.join(".noclobber")).unwrap().flatten();
    let left: Vec<_> = own.map(|entry| entry.file_name()).filter(|name| name == "running").collect();
    assert!(left.len() <= 1);
}
