//! Partial writes: a part of a file comes by PATCH in the manner of SabreDAV, or by PUT with `Content-Range` where that is turned on. The file is as it was
//! or as it was to become, whole; what it was is kept; and nothing is written over what nobody has seen.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::harness::client::tag_of;
use crate::harness::{Dice, Request, Server, eventually};

const KIND: &str = "application/x-sabredav-partialupdate";

trait Patches {
    fn patch(&self, target: &str, range: &str) -> Request;
}

impl Patches for Server {
    fn patch(&self, target: &str, range: &str) -> Request {
        self.request("PATCH", target).header("Content-Type", KIND).header("X-Update-Range", range)
    }
}

/// The examples of SabreDAV's documentation, and what lies at their edges. The answer tells the tag of the whole, and the version that was displaced.
#[test]
fn a_part_is_written_where_the_range_says() {
    let server = Server::start();
    for (range, expected) in [
        ("bytes=0-3", "----567890"),
        ("bytes=1-4", "1----67890"),
        ("bytes=0-", "----567890"),
        ("bytes=-4", "123456----"),
        ("bytes=-2", "12345678----"),
        ("bytes=2-", "12----7890"),
        ("bytes=12-", "1234567890\0\0----"),
        ("append", "1234567890----"),
        ("bytes=6-9", "123456----"),
        ("bytes=10-13", "1234567890----"),
        ("bytes=-10", "----567890"),
        ("bytes=-0", "1234567890----"),
    ] {
        server.put("/a.txt").body("1234567890").expect_any(&[201, 204]);
        let answer = server.patch("/a.txt", range).body("----").expect(204);
        assert_eq!(answer.tag(), tag_of(expected), "{range}");
        assert_eq!(server.get("/a.txt").expect_body(expected).tag(), answer.tag(), "{range}");
        let displaced = answer.field("noclobber-displaced");
        server.get(format!("/a.txt?version={displaced}")).expect_body("1234567890");
    }
    server.put("/empty").body("").expect(201);
    server.patch("/empty", "append").body("first").expect(204);
    server.patch("/empty", "append").body("").expect(204);
    server.get("/empty").expect_body("first");
    assert_eq!(server.names(""), ["a.txt", "empty"]);
}

/// Files beyond what is held in memory, and bodies too, on a disk that shares blocks and on one that does not.
#[test]
fn large_parts_of_large_files() {
    let places = [std::env::temp_dir(), "/dev/shm".into()];
    for place in places.iter().filter(|place| place.is_dir()) {
        let folder = tempfile::Builder::new().prefix("noclobber-share-").tempdir_in(place).unwrap();
        let server = Server::on(folder.path());
        let mut dice = Dice::new(12);
        let mut content = dice.bytes(9 << 20);
        let mut tag = server.put("/a.bin").body(&content).expect(201).tag();
        for (at, length) in [(0, 5), (3 << 20, 2 << 20), ((9 << 20) - 7, 300_000), (123_457, 256 << 10)] {
            let part = dice.bytes(length);
            let range = format!("bytes={at}-{}", at + length - 1);
            tag = server.patch("/a.bin", &range).if_match(&tag).body_when_asked(&part).expect(204).tag();
            content.resize(content.len().max(at + length), 0);
            content[at..at + length].copy_from_slice(&part);
            assert!(server.get("/a.bin").expect(200).body == content, "{range}");
            assert_eq!(server.head("/a.bin").expect(200).tag(), tag);
        }
        assert_eq!(tag, tag_of(&content));
        assert_eq!(server.versions("/a.bin").0.len(), 4);
    }
}

/// What cannot be a part is refused, and changes nothing: with the codes of SabreDAV.
#[test]
fn what_is_no_part_is_refused() {
    let server = Server::start();
    server.write("a.txt", "1234567890");
    server.write("folder/b.txt", "x");
    let patch = |range: &str| server.patch("/a.txt", range);
    let bare = || server.request("PATCH", "/a.txt");
    for (why, request, status) in [
        ("no range", bare().header("Content-Type", KIND).body("x"), 400),
        ("two ranges", patch("append").header("X-Update-Range", "append").body("x"), 400),
        ("several parts", patch("bytes=0-0,2-2").body("xx"), 400),
        ("no range that anybody knows", patch("lines=1-2").body("x"), 400),
        ("backwards", patch("bytes=4-3").body("x"), 416),
        ("a body that is shorter", patch("bytes=0-3").body("xxx"), 416),
        ("a body that is longer", patch("bytes=0-3").body("xxxxx"), 416),
        ("before the beginning", patch("bytes=-11").body("x"), 416),
        ("no type", bare().header("X-Update-Range", "append").body("x"), 415),
        ("another type", bare().header("X-Update-Range", "append").header("Content-Type", "text/plain").body("x"), 415),
        ("no length", patch("append").chunks(["x"]), 411),
        ("two places", patch("append").header("Content-Range", "bytes 0-0/1").body("x"), 400),
        ("a coded body", patch("append").header("Content-Encoding", "gzip").body("x"), 415),
        ("farther than any disk", patch("bytes=9999999999999999999-").body("x"), 413),
        ("a gap that no disk has room for", patch("bytes=4611686018427387904-").body("x"), 507),
        ("nothing is there", server.patch("/none", "append").body("x"), 404),
        ("no folder either", server.patch("/none/none", "append").body("x"), 404),
        ("a folder", server.patch("/folder", "append").body("x"), 405),
        ("named as a folder", server.patch("/folder/", "append").body("x"), 405),
        ("a file named as a folder", server.patch("/a.txt/", "append").body("x"), 409),
        (
            "a wrong digest",
            patch("append").header("OC-Checksum", "MD5:900150983cd24fb0d6963f7d28e17f72").body("x"),
            400,
        ),
    ] {
        let answer = request.send();
        assert_eq!(answer.status, status, "{why}: {answer}");
        if why.ends_with("type") {
            assert_eq!(answer.field("accept-patch"), KIND, "{answer}");
        }
        if why == "before the beginning" {
            assert_eq!(answer.field("content-range"), "bytes */10", "{answer}");
        }
        assert_eq!(
            (server.read("a.txt"), server.read("folder/b.txt")),
            ("1234567890".to_owned(), "x".to_owned()),
            "{why}"
        );
    }
    assert_eq!(server.names(""), ["a.txt", "folder"]);
    assert!(server.kept_files().is_empty());
}

/// A body that breaks off changes nothing, however much of it has come, and leaves nothing.
#[test]
fn half_a_part_changes_nothing() {
    let server = Server::start();
    server.write("a.txt", "1234567890");
    for come in [10, 300_000] {
        let mut connection = server.connect();
        connection.write(server.patch("/a.txt", "append").header("Content-Length", "400000").head());
        connection.write(vec![b'x'; come]);
        connection.break_off();
    }
    server.patch("/a.txt", "append").body("!").expect(204);
    server.get("/a.txt").expect_body("1234567890!");
    assert_eq!(server.versions("/a.txt").0.len(), 1);
    let uploads = server.local(".noclobber/uploads");
    assert!(fs::read_dir(uploads).map_or(0, Iterator::count) == 0);
}

/// Conditions, locks and their pins, and the policy that a version is named hold for a part as for the whole; and who asks first is told before a
/// byte is sent.
#[test]
fn a_part_of_what_was_not_seen_is_refused() {
    let server = Server::start();
    let tag = server.put("/a.txt").body("one").expect(201).tag();
    let large = vec![b'x'; 400_000];
    server.patch("/a.txt", "append").if_match(tag_of("other")).body("!").expect(412);
    let early = server.patch("/a.txt", "append").if_match(tag_of("other")).body_when_asked(&large).expect(412);
    assert!(early.interim.is_empty(), "{early}");
    server.patch("/a.txt", "append").if_none_match("*").body("!").expect(412);
    server
        .patch("/a.txt", "append")
        .header("If-Unmodified-Since", "Sun, 09 Sep 2001 01:46:40 GMT")
        .body("!")
        .expect(412);
    server.write("saved", "hers");
    fs::rename(server.local("saved"), server.local("a.txt")).unwrap();
    server.patch("/a.txt", "append").if_match(&tag).body("!").expect(412);
    let tag = server.patch("/a.txt", "append").if_match(tag_of("hers")).body("!").expect(204).tag();
    assert_eq!(tag, tag_of("hers!"));

    let token = server.locked("/a.txt", "0");
    server.patch("/a.txt", "append").body("?").expect(423);
    server.patch("/a.txt", "append").holding(&token).body("?").expect(204);
    server.write("saved", "another program's");
    fs::rename(server.local("saved"), server.local("a.txt")).unwrap();
    server.patch("/a.txt", "append").holding(&token).body("?").expect(412);
    server.get("/a.txt").expect_body("another program's");
    server.unlock("/a.txt", &token).expect(204);

    let open = fs::File::options().append(true).open(server.local("a.txt")).unwrap();
    server.patch("/a.txt", "append").body("?").expect(423);
    drop(open);
    server.patch("/a.txt", "append").body("?").expect(204);

    let strict = Server::with("--require-preconditions").start();
    strict.write("a.txt", "one");
    strict.patch("/a.txt", "append").body("!").expect(428);
    strict.patch("/a.txt", "append").if_match(tag_of("one")).body("!").expect(204);
}

/// A part that comes while the file that it is a part of changes: its condition is told as false at once, and nothing is written.
#[test]
fn a_part_on_its_way_is_told_that_its_file_has_changed() {
    let server = Server::start();
    let tag = server.put("/a.txt").body("one").expect(201).tag();
    let mut connection = server.connect();
    connection.write(server.patch("/a.txt", "append").if_match(&tag).header("Content-Length", "9000000").head());
    connection.write(vec![b'x'; 1_000_000]);
    server.put("/a.txt").body("two").expect(204);
    let answer = connection.answer("PATCH");
    assert_eq!(answer.status, 412, "{answer}");
    server.get("/a.txt").expect_body("two");
}

/// Many append at once, and none names a version: each line comes to the file, once and whole, and each state of the file is kept.
#[test]
fn of_many_that_append_at_once_all_are_in_the_file() {
    const WRITERS: usize = 8;
    const LINES: usize = 12;
    let server = Server::start();
    server.put("/log").body("").expect(201);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let server = &server;
            scope.spawn(move || {
                let mut connection = server.connect();
                for line in 0..LINES {
                    let text = format!("{writer} {line} {}\n", "x".repeat(line * 997));
                    let answer = connection.send(&server.patch("/log", "append").body(text));
                    assert_eq!(answer.status, 204, "{answer}");
                }
            });
        }
    });
    let text = server.get("/log").expect(200).text();
    let mut lines = BTreeMap::<usize, Vec<usize>>::new();
    for line in text.lines() {
        let mut parts = line.splitn(3, ' ').map(str::to_owned);
        let mut next = || parts.next().expect("a whole line");
        let (writer, number, rest) = (next().parse().unwrap(), next().parse().unwrap(), next());
        assert_eq!(rest, "x".repeat(number * 997), "half a line");
        lines.entry(writer).or_default().push(number);
    }
    let expected: Vec<usize> = (0..LINES).collect();
    assert!((0..WRITERS).all(|writer| lines[&writer] == expected), "{lines:?}");
    let versions = server.versions("/log").0;
    assert_eq!(versions.len(), WRITERS * LINES, "each state but the last is kept");
}

/// A program saves the file again and again while clients append to it: each line is in the file, or in a version that the program has replaced or
/// that was displaced; and what the program saved is nowhere torn.
#[test]
fn what_a_program_saves_meanwhile_is_not_written_over() {
    let server = Server::start();
    server.write("log", "saved 0\n");
    let done = AtomicBool::new(false);
    let (appended, saved) = std::thread::scope(|scope| {
        let program = scope.spawn(|| {
            let mut saved = 0;
            while !done.load(Ordering::Relaxed) && saved < 10_000 {
                saved += 1;
                server.write("new", format!("saved {saved}\n"));
                fs::rename(server.local("new"), server.local("log")).unwrap();
                std::thread::sleep(Duration::from_millis(3));
            }
            saved
        });
        let mut appended = 0;
        for line in 0..150 {
            let answer = server.patch("/log", "append").body(format!("line {line}\n")).expect_any(&[204, 423, 503]);
            appended += usize::from(answer.status == 204);
        }
        done.store(true, Ordering::Relaxed);
        (appended, program.join().unwrap())
    });
    assert!(appended > 100 && saved > 20, "{appended} {saved}");
    let mut all: Vec<Vec<u8>> = server.kept_files().into_iter().map(|(_, bytes)| bytes).collect();
    all.push(server.read("log").into_bytes());
    for bytes in &all {
        let text = String::from_utf8(bytes.clone()).unwrap();
        let mut lines = text.lines();
        assert!(lines.next().unwrap().starts_with("saved "), "{text:?}");
        assert!(lines.all(|line| line.starts_with("line ")) && text.ends_with('\n'), "{text:?}");
    }
}

/// The new version has the attributes of the old one, a date of its own or the one that is asked for, and what was noted on the file stays on it.
#[test]
fn what_else_the_file_is_stays() {
    let server = Server::start();
    let path = server.write("a.txt", "one");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    server.note("/a.txt", "<t:a>noted</t:a>");
    let modified = || fs::metadata(&path).unwrap().modified().unwrap();
    let before = modified();
    server.patch("/a.txt", "append").body("!").expect(204);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(server.properties("/a.txt", "<t:a/>").value("{urn:t}a"), "noted");
    assert!(modified() > before);
    let dated = server.patch("/a.txt", "append").header("X-OC-Mtime", "1000000000").body("!").expect(204);
    assert_eq!(dated.field("x-oc-mtime"), "accepted");
    assert_eq!(server.head("/a.txt").expect(200).field("last-modified"), "Sun, 09 Sep 2001 01:46:40 GMT");
}

/// The digests that come with a PATCH speak of what is sent (RFC 9530 §3.1), and are not taken for those of the whole.
#[test]
fn digests_speak_of_the_part() {
    const OF_ABC: &str = "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:";
    const MD_5: &str = "MD5:900150983cd24fb0d6963f7d28e17f72";
    let server = Server::start();
    server.write("a.txt", "one");
    for (name, value) in [("Content-Digest", OF_ABC), ("Repr-Digest", OF_ABC), ("OC-Checksum", MD_5)] {
        server.patch("/a.txt", "append").header(name, value).body("abd").expect(400);
        server.patch("/a.txt", "append").header(name, value).body("abc").expect(204);
    }
    server.get("/a.txt").expect_body("oneabcabcabc");
    let checksums = server.get("/a.txt").expect(200).header("oc-checksum").map(str::to_owned);
    assert_eq!(checksums, None, "nobody has said what the whole comes to");
}

/// A PUT with `Content-Range` writes a part where that is turned on (RFC 9110 §14.5). What its other digests say of the whole is not compared, and so
/// refused.
#[test]
fn a_part_is_put_where_that_is_turned_on() {
    let server = Server::with("--partial-put").start();
    server.write("a.txt", "1234567890");
    let put = |range: &str| server.put("/a.txt").header("Content-Range", range);
    put("bytes 2-5/10").body("----").expect(204);
    server.get("/a.txt").expect_body("12----7890");
    put("bytes 10-11/*").body("ab").expect(204);
    server.get("/a.txt").expect_body("12----7890ab");
    for (range, body, status) in [
        ("bytes 2-5/10", "---", 416),
        ("bytes 5-2/10", "----", 416),
        ("bytes */10", "----", 400),
        ("bytes 2-5/5", "----", 400),
        ("bytes=2-5", "----", 400),
    ] {
        put(range).body(body).expect(status);
    }
    put("bytes 0-0/1")
        .header("Repr-Digest", "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:")
        .body("x")
        .expect(400);
    server.put("/a.txt").header("X-Update-Range", "append").body("x").expect(400);
    server.put("/none").header("Content-Range", "bytes 0-0/1").body("x").expect(404);
    server.get("/a.txt").expect_body("12----7890ab");
    server.put("/a.txt").body("whole").expect(204);
}

/// No file becomes larger by parts than an upload may be.
#[test]
fn parts_do_not_add_up_beyond_the_limit() {
    let server = Server::with("--upload-bytes-max=10").start();
    server.put("/a.txt").body("12345678").expect(201);
    server.patch("/a.txt", "append").body("90").expect(204);
    server.patch("/a.txt", "append").body("1").expect(413);
    server.patch("/a.txt", "bytes=0-0").body("_").expect(204);
    server.write("large", "123456789012");
    server.patch("/large", "bytes=0-0").body("_").expect(204);
    server.patch("/large", "append").body("_").expect(413);
    server.get("/a.txt").expect_body("_234567890");
}

/// OPTIONS says where parts can be written, and how.
#[test]
fn options_says_where_parts_are_taken() {
    let server = Server::start();
    server.write("folder/a.txt", "x");
    for (target, is_taken) in [("/folder/a.txt", true), ("/folder/", false), ("/none", false)] {
        let answer = server.options(target).expect(200);
        assert!(answer.field("dav").split(", ").any(|class| class == "sabredav-partialupdate"), "{answer}");
        assert_eq!(answer.field("allow").split(", ").any(|method| method == "PATCH"), is_taken, "{answer}");
        // Where something may be stored, parts of an upload that goes on are named besides; they go to the URL of the upload.
        let mut kinds = answer.headers.iter().filter(|(name, _)| name == "accept-patch");
        assert_eq!(kinds.any(|(_, kind)| kind == KIND), is_taken, "{answer}");
    }
}

/// A part of a large file is a long copy: it ends when its client has gone, and what it has made goes with it.
#[test]
fn a_part_that_nobody_waits_for_any_more_is_not_written() {
    // Whoever watches the folder opens more in the meantime, and so does the feed before it knows all.
    let server = Server::with("--no-watch").start();
    let knows_all = || (server.get("/?changes").expect(200).json()["complete"] == true).then_some(());
    eventually(Duration::from_secs(20), "the feed to know all", knows_all);
    let path = server.local("large.bin");
    // A hole: it is read in no time, and takes none of the disk.
    fs::File::create(&path).unwrap().set_len(40 << 30).unwrap();
    let open = server.open_files();
    let mut connection = server.connect();
    connection.write(server.patch("/large.bin", "bytes=5-").header("Content-Length", "1").head());
    connection.write("x");
    std::thread::sleep(Duration::from_millis(300));
    connection.break_off();
    eventually(Duration::from_secs(20), "its files to be closed", || (server.open_files() <= open + 1).then_some(()));
    assert_eq!(fs::metadata(&path).unwrap().len(), 40 << 30);
    assert!(server.kept_files().is_empty());
}
