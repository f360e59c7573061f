//! What the server does when something runs out: room, files, time, patience, permission. It refuses clearly, leaves everything
//! as it was, and goes on when there is enough again.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use crate::harness::disk_images::{DiskImage, Kind};
use crate::harness::{Connection, Dice, Server, eventually, has_program, heavy, is_root, left_out};

const MEBIBYTE: usize = 1024 * 1024;

/// The disk is full: the upload is refused, the old file is whole, and every byte of the attempt is given back.
#[test]
fn a_full_disk_keeps_the_old_file() {
    for kind in [Kind::Tmpfs, Kind::Ext4] {
        let disk = match DiskImage::mount(kind, 24) {
            Ok(disk) => disk,
            Err(why) => {
                left_out(&format!("a_full_disk_keeps_the_old_file ({kind:?})"), &why);
                continue;
            }
        };
        let server = Server::with("--no-history").folder(disk.path()).start();
        let old = Dice::new(1).bytes(10 * MEBIBYTE);
        server.put("/a.bin").body(&old).expect(201);
        let free = free_bytes(&disk);
        let too_much = Dice::new(2).bytes(20 * MEBIBYTE);
        let asked = server.put("/a.bin").body_when_asked(&too_much).expect(507);
        assert!(asked.interim.is_empty(), "{kind:?}: an announced length that does not fit is refused before the body");
        server.put("/a.bin").chunks(too_much.chunks(MEBIBYTE)).expect(507).problem();
        server.put("/b.bin").chunks(too_much.chunks(MEBIBYTE)).expect(507);
        eventually(Duration::from_secs(5), "the room to be given back", || {
            (free_bytes(&disk) + 64 * 1024 >= free).then_some(())
        });
        assert!(server.get("/a.bin").expect(200).body == old, "{kind:?}: the old file is not what it was");
        assert_eq!(server.names("").into_iter().filter(|name| name != "lost+found").collect::<Vec<_>>(), ["a.bin"]);
        assert!(
            server.kept_files().is_empty(),
            "{kind:?}: {:?}",
            server.kept_files().iter().map(|kept| &kept.0).collect::<Vec<_>>()
        );
    }
}

/// With no byte free, what needs none still works: reading, listing, deleting.
#[test]
fn a_full_disk_can_be_read_and_cleared() {
    let disk = match DiskImage::tmpfs("size=8m") {
        Ok(disk) => disk,
        Err(why) => return left_out("a_full_disk_can_be_read_and_cleared", &why),
    };
    let server = Server::with("--no-history").folder(disk.path()).start();
    server.put("/small.txt").body("small").expect(201);
    let _ = fs::write(server.local("filler"), vec![0; 16 * MEBIBYTE]);
    assert_eq!(free_bytes(&disk), 0);
    server.get("/small.txt").expect_body("small");
    server.get("/?json").expect(200);
    server.put("/another.txt").body("x").expect(507);
    server.delete("/filler").expect(204);
    eventually(Duration::from_secs(30), "the room to be given back", || {
        (server.put("/another.txt").body("x").send().status == 201).then_some(())
    });
}

/// The file system has no inode left: as full as any other.
#[test]
fn no_inodes_left_is_a_full_disk() {
    let disk = match DiskImage::tmpfs("size=8m,nr_inodes=60") {
        Ok(disk) => disk,
        Err(why) => return left_out("no_inodes_left_is_a_full_disk", &why),
    };
    let server = Server::with("--no-history").folder(disk.path()).start();
    server.put("/a.txt").body("old").expect(201);
    let refused =
        (0..100).map(|number| server.put(format!("/{number}")).body("x").send()).find(|answer| answer.status != 201);
    assert_eq!(refused.expect("the inodes run out").status, 507);
    server.put("/a.txt").body("new").expect(507);
    server.mkcol("/folder").expect(507);
    server.get("/a.txt").expect_body("old");
    // To keep what is deleted takes a folder, and that an inode; where it cannot be kept, it is not deleted.
    if server.delete("/0").expect_any(&[204, 507]).status == 507 {
        server.get("/0").expect_body("x");
    }
}

/// The disk is made read-only under the server and writable again: refused, then fine, with no restart.
#[test]
fn a_disk_that_turns_read_only_and_back() {
    let disk = match DiskImage::mount(Kind::Ext4, 32) {
        Ok(disk) => disk,
        Err(why) => return left_out("a_disk_that_turns_read_only_and_back", &why),
    };
    let server = Server::on(disk.path());
    server.put("/a.txt").body("old").expect(201);
    disk.remount("ro");
    for request in [
        server.delete("/a.txt"),
        server.put("/a.txt").body("new"),
        server.put("/b.txt").body("x"),
        server.mkcol("/folder"),
    ] {
        request.expect(403);
    }
    server.get("/a.txt").expect_body("old");
    disk.remount("rw");
    server.put("/a.txt").body("new").expect(204);
    server.versions("/a.txt").expect(["old"]);
}

/// A share that was read-only from the start is served all the same.
#[test]
fn a_read_only_disk_is_served() {
    let disk = match DiskImage::mount(Kind::Ext4, 32) {
        Ok(disk) => disk,
        Err(why) => return left_out("a_read_only_disk_is_served", &why),
    };
    fs::write(disk.path().join("a.txt"), "text").unwrap();
    disk.remount("ro");
    let server = Server::on(disk.path());
    server.get("/a.txt").expect_body("text");
    server.put("/b.txt").body("x").expect(403);
}

/// The server's user may not write into the folder, or not read a file: forbidden, and nothing else happens.
#[test]
fn what_the_user_may_not_is_forbidden() {
    if !is_root() || !has_program("setpriv") {
        return left_out("what_the_user_may_not_is_forbidden", "becoming another user takes root and setpriv");
    }
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let folder = place.path().join("share");
    fs::create_dir_all(folder.join("closed")).unwrap();
    fs::write(folder.join("closed/a.txt"), "text").unwrap();
    fs::write(folder.join("unreadable.txt"), "text").unwrap();
    let server = Server::builder().folder(&folder).unprivileged().start();
    // What belongs to others is theirs: given back to root only now, after the folder was given to nobody.
    for (path, mode) in [("closed", 0o555), ("unreadable.txt", 0o000)] {
        std::os::unix::fs::chown(folder.join(path), Some(0), Some(0)).unwrap();
        fs::set_permissions(folder.join(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    server.get("/closed/a.txt").expect_body("text");
    server.get("/unreadable.txt").expect(403);
    for request in [
        server.delete("/closed/a.txt"),
        server.put("/closed/a.txt").body("new"),
        server.put("/closed/b.txt").body("new"),
        server.mkcol("/closed/folder"),
    ] {
        request.expect(403);
    }
    assert_eq!(server.names("closed"), ["a.txt"]);
    assert_eq!(server.read("closed/a.txt"), "text");
    server.put("/open.txt").body("x").expect(201);
}

/// Files of another user can have no lease. They are served and replaced all the same, as on tier B.
#[test]
fn files_of_others_are_replaced_without_a_lease() {
    if !is_root() || !has_program("setpriv") {
        return left_out(
            "files_of_others_are_replaced_without_a_lease",
            "becoming another user takes root and setpriv",
        );
    }
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let folder = place.path().join("share");
    fs::create_dir(&folder).unwrap();
    let server = Server::builder().folder(&folder).unprivileged().start();
    let path = server.write("a.txt", "old");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let tag = server.get("/a.txt").expect_body("old").content_tag();
    server.put("/a.txt").if_match("\"stale\"").body("x").expect(412);
    server.put("/a.txt").if_match(tag).body("new").expect(204);
    server.get("/a.txt").expect_body("new");
    server.versions("/a.txt").expect(["old"]);
}

/// More connections than the server may have files: it stays up, and serves again as soon as they are gone.
#[test]
fn running_out_of_files_passes() {
    if !has_program("prlimit") {
        return left_out("running_out_of_files_passes", "prlimit is not installed");
    }
    let server = Server::builder().under(["prlimit", "--nofile=64:64"]).start();
    server.put("/a.txt").body("old").expect(201);
    let crowd: Vec<Connection> = (0..200).filter_map(|_| Connection::open(server.address()).ok()).collect();
    for mut connection in crowd.into_iter().rev().take(100) {
        let _ = connection.try_write(&server.put("/a.txt").if_match("*").header("Content-Length", "1000").head());
        connection.finish_writing();
    }
    eventually(Duration::from_secs(20), "the server to answer again", || {
        server.get("/a.txt").try_send().is_ok_and(|answer| answer.status == 200).then_some(())
    });
    server.put("/a.txt").body("new").expect(204);
    server.versions("/a.txt").expect(["old"]);
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

/// A head that is too large is refused at once, without being waited for to its end, and a query does not get round the limit.
#[test]
fn a_head_that_is_too_large_is_refused() {
    let server = Server::with("--header-bytes-max=8192").start();
    server.get("/").header("X-Filler", "x".repeat(4000)).expect(200);
    server.get("/").header("X-Filler", "x".repeat(9000)).expect(431).problem();
    server.get(format!("/?{}", "x".repeat(20_000))).expect(414).problem();
    let begun = Instant::now();
    let fields = format!("X-Filler: {}\r\n", "x".repeat(1000)).repeat(64);
    let line = format!("GET / HTTP/1.1\r\nHost: {}\r\nX-Filler: {}", server.address(), "x".repeat(64_000));
    let fields = format!("GET / HTTP/1.1\r\nHost: {}\r\n{fields}", server.address());
    let target = format!("GET /{}", "x".repeat(64_000));
    for (head, status) in [(fields, 431), (line, 431), (target, 414), ("\r\n".repeat(32_000), 400)] {
        for asked_before in [false, true] {
            let mut connection = server.connect();
            if asked_before {
                connection.send(&server.get("/")).expect(200);
            }
            let _ = connection.try_write(head.as_bytes());
            // A client that is still sending may find the connection reset before it has read why.
            if let Ok(answer) = connection.try_answer("GET") {
                assert_eq!(answer.status, status, "{answer}");
            }
            assert!(connection.is_closed_within(Duration::from_secs(5)), "{}", &head[..30]);
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    server.get("/").expect(200);
}

/// What comes behind a head that is too large is never a request, and the answers before it are whole.
#[test]
fn nothing_behind_a_head_that_is_too_large_is_done() {
    let server = Server::with("--header-bytes-max=1000").option("--path-bytes-max=100").start();
    let text = "a line of text\n".repeat(5000);
    server.put("/a.txt").body(&text).expect(201);
    let mut connection = server.connect();
    let get = String::from_utf8(server.get("/a.txt").head()).unwrap();
    let delete = String::from_utf8(server.delete("/a.txt").head()).unwrap();
    let large = format!("GET / HTTP/1.1\r\nHost: {}\r\nX: {}", server.address(), "x".repeat(6000));
    connection.write(format!("{get}{get}{large}"));
    for _ in 0..2 {
        assert_eq!(connection.answer("GET").expect(200).text(), text);
    }
    let _ = connection.try_write(format!("\r\n\r\n{delete}").as_bytes());
    if let Ok(answer) = connection.try_answer("GET") {
        assert_eq!(answer.status, 431, "{answer}");
    }
    assert!(connection.is_closed_within(Duration::from_secs(5)));
    server.get("/a.txt").expect_body(&text);
}

/// A head that does not go on is not waited for. Nor is one that never begins, but nothing is said then: a browser that opened the
/// connection ahead of time would take it for the answer to its first request.
#[test]
fn a_head_that_is_too_slow_is_refused() {
    let server = Server::with("--header-seconds=1").start();
    let mut silent = server.connect();
    let mut slow = server.connect();
    slow.write("GET / HT");
    let begun = Instant::now();
    assert!(silent.is_closed_within(Duration::from_secs(8)), "after {:?}", begun.elapsed());
    let answered = slow.try_answer("GET");
    assert!(answered.as_ref().is_err() || answered.is_ok_and(|answer| answer.status == 408));
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

/// What a client sends is no fault of the server's: nobody may fill the log with errors from outside.
#[test]
fn a_malformed_request_is_not_an_error_in_the_log() {
    let server = Server::start();
    for malformed in [&b"nonsense\r\n\r\n"[..], b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\n\r\n", b"\0\r\n"] {
        let mut connection = server.connect();
        connection.write(malformed);
        connection.answer("GET").expect(400);
        assert!(connection.is_closed_within(Duration::from_secs(5)));
    }
    server.get("/the-last-line").expect(404);
    server.wait_for_log("/the-last-line");
    let log = server.log();
    assert!(!log.contains("ERROR") && !log.contains("parse error"), "{log}");
}

/// A body that stops coming is given up, and what was there stays.
#[test]
fn a_body_that_stops_is_given_up() {
    let server = Server::with("--body-idle-seconds=1").start();
    server.put("/a.txt").body("old").expect(201);
    let before = server.open_files();
    let mut stalled = server.connect();
    stalled.write(server.put("/a.txt").header("Content-Length", "1000").head());
    stalled.write("begun");
    let begun = Instant::now();
    if let Ok(answer) = stalled.try_answer("PUT") {
        answer.expect(408);
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    drop(stalled);
    server.get("/a.txt").expect_body("old");
    eventually(Duration::from_secs(5), "its files to be closed", || (server.open_files() <= before + 1).then_some(()));
}

/// A body that arrives too slowly once it has had a minute is given up; one that is a little faster is stored.
#[test]
fn a_body_that_is_too_slow_for_a_minute_is_given_up() {
    let server = Server::with("--body-rate-min=4").start();
    server.put("/slow.txt").body("old").expect(201);
    let send = |name: &str, each_second: &str| {
        let mut connection = server.connect();
        let length = (70 * each_second.len()).to_string();
        connection.write(server.put(format!("/{name}")).header("Content-Length", length).head());
        for _ in 0..70 {
            if connection.try_write(each_second.as_bytes()).is_err() {
                break;
            }
            std::thread::sleep(Duration::from_secs(1));
        }
        connection.try_answer("PUT")
    };
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let fast = scope.spawn(|| send("fast.txt", "twelve bytes"));
        // Where the rest of the body meets a closed connection, the answer may not arrive.
        if let Ok(answer) = send("slow.txt", "xy") {
            answer.expect(408);
        }
        fast.join().unwrap().expect("an answer").expect(201);
    });
    assert!(begun.elapsed() > Duration::from_secs(60));
    assert_eq!(server.read("slow.txt"), "old");
    assert_eq!(server.read("fast.txt").len(), 840);
}

/// A connection that is kept and not used is closed after a while.
#[test]
fn an_idle_connection_is_closed() {
    let server = Server::with("--keep-alive-seconds=1").start();
    let mut connection = server.connect();
    connection.send(&server.get("/")).expect(200);
    assert!(connection.is_closed_within(Duration::from_secs(10)));
}

/// As many uploads are written at once as the server was told; who sends nothing, or little, has no part in that.
#[test]
fn uploads_that_do_not_go_on_hold_up_no_other() {
    let server = Server::with("--uploads-max=2").start();
    let lengths = [8, 100_000, 8_000_000];
    let begin = |number: usize, length: usize, sends: &str| {
        let mut connection = server.connect();
        connection.write(server.put(format!("/{number}")).header("Content-Length", length.to_string()).head());
        connection.write(sends);
        connection
    };
    let _silent: Vec<Connection> = (100..164).map(|number| begin(number, 1_000_000, "")).collect();
    let mut begun: Vec<(usize, Connection)> =
        (0..30).map(|number| (lengths[number % 3], begin(number, lengths[number % 3], "half"))).collect();
    let others = Instant::now();
    for _ in 0..3 {
        server.put("/small").body("x").expect_any(&[201, 204]);
        server.put("/large").body(vec![b'x'; 3_000_000]).expect_any(&[201, 204]);
        server.put("/chunks").chunks([vec![b'y'; 600_000], vec![b'y'; 600_000]]).expect_any(&[201, 204]);
    }
    assert!(others.elapsed() < Duration::from_secs(10), "{:?}", others.elapsed());
    for (length, upload) in &mut begun {
        upload.write(vec![b'z'; *length - 4]);
        upload.answer("PUT").expect(201);
    }
    assert_eq!(server.read("0"), "halfzzzz");
    for (number, length) in [(1, lengths[1]), (2, lengths[2])] {
        assert_eq!(fs::metadata(server.local(number.to_string())).unwrap().len(), length as u64);
    }
}

/// More clients than there are walks ask for a long listing and do not read it. Others are told what they ask for all the same: they do not wait
/// until those are sent away for not reading, after a minute, since whoever finds no place for half of that is refused (503).
#[test]
fn listings_that_are_not_read_hold_up_no_other() {
    let _turn = heavy();
    let server = Server::with("--no-watch").start();
    fs::create_dir(server.local("folder")).unwrap();
    for number in 0..6000 {
        server.write(format!("folder/a-file-with-a-name-that-takes-some-room-{number}"), "");
    }
    let ask = |path: &str, depth: &str| server.request("PROPFIND", path).header("Depth", depth);
    ask("/folder/", "1").expect(207);
    let mut slow: Vec<Connection> = (0..200).map(|_| server.connect()).collect();
    for connection in &mut slow {
        connection.write(ask("/folder/", "1").head());
    }
    for _ in 0..3 {
        for (path, depth) in [("/", "0"), ("/folder/", "0"), ("/", "1"), ("/folder/", "1")] {
            ask(path, depth).expect(207);
        }
        server.get("/?json").expect(200);
        server.get("/folder/").expect(200);
    }
}

/// Many clients begin large bodies of XML and do not end them. They have a part of the memory together, and small bodies need none of it.
#[test]
fn bodies_of_xml_have_a_bound_together() {
    let _turn = heavy();
    let server = Server::start();
    let small = || {
        let body = r#"<D:propfind xmlns:D="DAV:"><D:prop><D:getetag/></D:prop></D:propfind>"#;
        server.request("PROPFIND", "/").header("Depth", "0").body(body).expect(207)
    };
    small();
    let before = server.memory("Anonymous");
    let crowd: Vec<Connection> = (0..400)
        .map(|_| {
            let mut connection = server.connect();
            let ask = server.request("PROPFIND", "/").header("Depth", "0").header("Content-Length", "520000");
            let _ = connection.try_write(&ask.head());
            let _ = connection.try_write(&b" ".repeat(500_000));
            connection
        })
        .collect();
    let begun = Instant::now();
    small();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let grown = server.memory("Anonymous").saturating_sub(before);
    // Besides, each connection has buffers of its own.
    assert!(grown < 150 * MEBIBYTE as u64, "{grown} bytes for 400 bodies of half a megabyte");
    drop(crowd);
    eventually(Duration::from_secs(10), "room for a large body", || {
        let body =
            format!(r#"<D:propfind xmlns:D="DAV:"><D:prop><D:getetag/></D:prop>{}</D:propfind>"#, " ".repeat(100_000));
        let answer = server.request("PROPFIND", "/").header("Depth", "0").body(body).send();
        (answer.status == 207).then_some(())
    });
}

/// A refusal before the body, of a request that has none: the connection goes on, and when the client is gone nothing is left of it.
#[test]
fn a_refusal_that_came_instead_of_a_hundred_leaves_nothing_behind() {
    let server = Server::start();
    server.put("/a.txt").body("old").expect(201);
    let before = server.open_files();
    let refused = |length: &str| {
        let head = server.put("/a.txt").if_match("\"stale\"").header("Expect", "100-continue");
        if length.is_empty() { head } else { head.header("Content-Length", length) }
    };
    for (length, status) in [("", 411), ("0", 412)] {
        let mut connection = server.connect();
        for _ in 0..3 {
            connection.write(refused(length).head());
            connection.answer("PUT").expect(status);
            connection.send(&server.get("/a.txt")).expect_body("old");
        }
        for _ in 0..50 {
            let mut connection = server.connect();
            connection.write(refused(length).head());
            connection.answer("PUT").expect(status);
        }
        let mut connection = server.connect();
        connection.write(server.delete("/a.txt").host("elsewhere.example").header("Expect", "100-continue").head());
        connection.answer("DELETE").expect(421);
    }
    eventually(Duration::from_secs(10), "its files to be closed", || (server.open_files() <= before + 1).then_some(()));
}

/// What is no body in chunks is told so, by the verbs that read bodies and by those that do not, and the connection ends.
#[test]
fn a_malformed_body_is_refused_and_stores_nothing() {
    let server = Server::start();
    server.put("/a.txt").body("old").expect(201);
    for method in ["PUT", "PROPFIND", "PROPPATCH", "LOCK", "MKCOL", "GET", "OPTIONS"] {
        for chunks in
            ["5;\r\nhello\r\n0\r\n\r\n", "2\r\nxxx\r\n0\r\n\r\n", "0\r\nno colon\r\n\r\n", "1 \r\nx\r\n0\r\n\r\n"]
        {
            let path = if method == "MKCOL" { "/folder/" } else { "/a.txt" };
            let mut connection = server.connect();
            connection.write(server.request(method, path).header("Transfer-Encoding", "chunked").head());
            connection.write(chunks);
            connection.write(server.delete("/a.txt").head());
            let answer = connection.answer(method).expect(400);
            assert_eq!(answer.field("connection"), "close", "{method} {chunks:?}");
            assert!(connection.is_closed_within(Duration::from_secs(2)), "{method} {chunks:?}");
        }
    }
    assert_eq!(server.names(""), ["a.txt"]);
    assert_eq!(server.read("a.txt"), "old");
}

/// An upload that is larger than allowed is refused before its body, and where no length was announced, on the way.
#[test]
fn an_upload_that_is_too_large_is_refused() {
    let server = Server::with("--upload-bytes-max=1000").start();
    server.put("/a.txt").body(vec![b'x'; 1000]).expect(201);
    let refused = server.put("/a.txt").body_when_asked(vec![b'y'; 1001]).expect(413);
    assert!(refused.interim.is_empty());
    server.put("/a.txt").chunks([vec![b'y'; 600], vec![b'y'; 600]]).expect(413);
    assert_eq!(server.read("a.txt"), "x".repeat(1000));
}

/// A path that is longer than allowed.
#[test]
fn a_path_that_is_too_long_is_refused() {
    let server = Server::with("--path-bytes-max=100").start();
    server.get(format!("/{}", "a/".repeat(40))).expect(404);
    server.get(format!("/{}", "a/".repeat(60))).expect(414);
    server.put(format!("/{}", "a/".repeat(60))).body("x").expect(414);
}

/// No more connections at once than the server was told to take; the others wait or are turned away, and come in later.
#[test]
fn connections_beyond_the_limit_wait() {
    let server = Server::with("--connections-max=4").start();
    let mut crowd: Vec<Connection> = (0..4).map(|_| server.connect()).collect();
    for connection in &mut crowd {
        connection.send(&server.get("/")).expect(200);
    }
    let mut next = server.connect();
    let _ = next.try_write(&server.get("/").head());
    let answered = next.is_answered_within(Duration::from_millis(500));
    if answered {
        next.answer("GET").expect(503);
    }
    drop(crowd);
    eventually(Duration::from_secs(10), "a connection to be served", || {
        server.get("/").try_send().is_ok_and(|answer| answer.status == 200).then_some(())
    });
}

fn free_bytes(disk: &DiskImage) -> u64 {
    let space = rustix::fs::statvfs(disk.path()).unwrap();
    space.f_bfree * space.f_frsize
}
