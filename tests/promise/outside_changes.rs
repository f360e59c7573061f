//! Local programs change files behind the server's back. Every request sees what is there, whether a watcher helps or not; a tag
//! that a client holds is judged by the file alone.

use std::fs::{self, File, FileTimes};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use crate::harness::client::{is_content_tag, tag_of};
use crate::harness::programs::StartProgram as _;
use crate::harness::server::{Options, grain_of_all};
use crate::harness::{Dice, Server, eventually, has_program, left_out, report};

/// Somebody edits a file a thousand times without changing its size, and puts its date back each time, by every way of saving.
/// The next request sees each edit.
#[test]
fn same_size_edits_with_the_date_put_back_are_seen() {
    for (options, what) in [(Server::builder(), "watched"), (Server::with("--no-watch"), "not watched")] {
        let server = options.start();
        let path = server.write("a.txt", content(0));
        let mut connection = server.connect();
        let mut before = connection.send(&server.head("/a.txt")).expect(200).tag();
        let mut missed = 0;
        for edit in 1..=1000 {
            save_and_put_the_date_back(&path, &content(edit), edit);
            let tag = connection.send(&server.head("/a.txt")).expect(200).tag();
            missed += u32::from(tag == before || (is_content_tag(&tag) && tag != tag_of(content(edit))));
            if edit % 50 == 0 {
                connection.send(&server.get("/a.txt").if_match(&before)).expect(412);
                server.put("/a.txt").if_match(&before).body("mine").expect(412);
                assert_eq!(server.read("a.txt"), content(edit));
            }
            before = tag;
        }
        assert_eq!(missed, 0, "{what}: of 1,000 edits");
    }
}

/// A thousand touches change the date and nothing else: no tag changes, and a client that holds one can still write.
#[test]
fn touches_change_no_tag() {
    let server = Server::start();
    let path = server.write("a.txt", "text");
    let mut connection = server.connect();
    let mut changed = 0;
    for touch in 0..1000_u64 {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_500_000_000 + touch * 7);
        File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        let tag = connection.send(&server.head("/a.txt")).expect(200).tag();
        changed += u32::from(tag != tag_of("text"));
    }
    assert_eq!(changed, 0, "of 1,000 touches");
    server.put("/a.txt").if_match(tag_of("text")).body("new").expect(204);
}

/// The server restarts, then its index is lost. Tags stay, and each that a client holds is judged rightly, large file or small.
#[test]
fn tags_outlive_the_server_and_its_index() {
    let mut server = Server::with("--tag-threshold=65536").start();
    let large = Dice::new(1).bytes(200_000);
    server.write("local-small.txt", "small");
    server.write("local-large.bin", &large);
    server.put("/put-small.txt").body("small").expect(201);
    server.put("/put-large.bin").body(&large).expect(201);
    let names = ["/local-small.txt", "/local-large.bin", "/put-small.txt", "/put-large.bin"];
    let tags = |server: &Server| names.map(|name| strong_tag(server, name));
    let first = tags(&server);
    assert!(is_content_tag(&first[0]) && is_content_tag(&first[2]) && is_content_tag(&first[3]), "{first:?}");
    assert!(first[1].starts_with("\"s"), "a large file that nobody has hashed: {first:?}");

    server.stop();
    server.start_again();
    assert_eq!(tags(&server), first, "after a restart");

    server.kill();
    server.start_again();
    assert_eq!(tags(&server), first, "after a crash");

    server.stop();
    fs::remove_dir_all(server.state()).unwrap();
    fs::create_dir(server.state()).unwrap();
    // On a coarse clock what is young, and what nobody knows any more, is refused rather than believed.
    std::thread::sleep(Duration::from_millis(grain_of_all().unwrap_or(0) * 3));
    server.start_again();
    for (name, tag) in names.iter().zip(&first) {
        server.get(name).if_match(tag).expect(200);
        server.get(name).if_none_match(tag).expect(304);
        server.get(name).if_match("\"0123456789abcdef0123456789abcdef\"").expect(412);
    }
    for (name, tag) in names.iter().zip(&first) {
        let local = server.local(&name[1..]);
        File::options().write(true).open(local).unwrap().write_at(b"!", 1).unwrap();
        server.get(name).if_match(tag).expect(412);
        server.put(name).if_match(tag).body("mine").expect(412);
        server.get(name).if_none_match(tag).expect(200);
    }
}

/// Without a state folder, and with a broken index, everything that was promised holds.
#[test]
fn a_lost_index_costs_time_and_never_truth() {
    let mut server = Server::start();
    let tag = server.put("/a.txt").body("text").expect(201).tag();
    server.stop();
    for entry in fs::read_dir(server.state()).unwrap().flatten() {
        if entry.path().is_file() {
            fs::write(entry.path(), "this is no index").unwrap();
        }
    }
    for file in files_below(server.state()) {
        fs::write(file, "this is no index").unwrap();
    }
    server.start_again();
    assert_eq!(server.get("/a.txt").expect(200).tag(), tag);
    server.put("/a.txt").if_match("\"x\"").body("y").expect(412);
    server.put("/a.txt").if_match(&tag).body("new").expect(204);
    server.stop();
    server.start_again_with(Server::with("--no-state").without_state());
    assert_eq!(server.get("/a.txt").expect(200).tag(), tag_of("new"));
    server.put("/a.txt").if_match(tag_of("new")).body("newer").expect(204);
}

/// A disk image of three gibibytes that nobody has read: its tag is there at once, can be written with, and goes stale with the
/// first byte that a local program changes.
#[test]
fn a_huge_file_has_a_tag_at_once() {
    let server = Server::start();
    let path = server.local("huge.img");
    File::create(&path).unwrap().set_len(3 << 30).unwrap();
    server.get("/").expect(200);
    let (read_before, begun) = (server.bytes_read(), Instant::now());
    let head = server.head("/huge.img").expect(200);
    let (took, read) = (begun.elapsed(), server.bytes_read() - read_before);
    report(&format!("HEAD of an unhashed file of 3 GiB: {took:?}, the server read {read} bytes"));
    assert!(read < 1024 * 1024, "it read {read} bytes");
    assert_eq!(head.field("content-length"), (3_u64 << 30).to_string());
    let tag = strong_tag(&server, "/huge.img");
    assert!(took < Duration::from_secs(5), "{took:?}");
    let part = server.get("/huge.img").if_match(&tag).range("bytes=1000000-1000009").expect(206);
    assert_eq!(part.body, [0; 10]);

    File::options().write(true).open(&path).unwrap().write_at(b"!", 2 << 30).unwrap();
    server.head("/huge.img").if_match(&tag).expect(412);
    server.put("/huge.img").if_match(&tag).body("mine").expect(412);
    let now = strong_tag(&server, "/huge.img");
    assert_ne!(now, tag);
    let written = server.put("/huge.img").if_match(&now).body("mine").expect(204);
    assert_eq!(written.tag(), tag_of("mine"));
    assert!(server.bytes_read() - read_before < 64 * 1024 * 1024, "it read the file all the same");
}

/// A program has the file open and writes on. No tag that could be written with is shown until it is done.
#[test]
fn a_file_that_is_being_written_has_no_strong_tag() {
    let server = Server::start();
    let path = server.write("a.txt", "begun");
    let mut program = File::options().write(true).open(&path).unwrap();
    program.seek(SeekFrom::End(0)).unwrap();
    program.write_all(b" and").unwrap();
    let answer = server.get("/a.txt").expect_body("begun and");
    if let Some(tag) = answer.header("etag") {
        assert!(tag.starts_with("W/"), "{answer}");
        server.get("/a.txt").if_match(tag).expect(412);
        server.get("/a.txt").if_match(tag.trim_start_matches("W/")).expect(412);
    }
    program.write_all(b" ended").unwrap();
    drop(program);
    let answer = server.get("/a.txt").expect_body("begun and ended");
    assert_eq!(answer.tag(), tag_of("begun and ended"));
}

/// A file has a second name outside the share, and is edited under that one.
#[test]
fn an_edit_under_another_name_is_seen() {
    let server = Server::start();
    let elsewhere = tempfile::tempdir().unwrap();
    let other = elsewhere.path().join("other");
    fs::write(&other, "0000").unwrap();
    if fs::hard_link(&other, server.local("a.txt")).is_err() {
        return left_out("an_edit_under_another_name_is_seen", "the two folders are on different file systems");
    }
    let mut connection = server.connect();
    for edit in 0..100 {
        let text = format!("{edit:04}");
        File::options().write(true).open(&other).unwrap().write_at(text.as_bytes(), 0).unwrap();
        assert_eq!(connection.send(&server.get("/a.txt")).expect(200).tag(), tag_of(&text));
    }
}

/// The same inode number, the same size and the same date, and yet another file.
#[test]
fn a_reused_inode_is_another_file() {
    let server = Server::start();
    let mut connection = server.connect();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000);
    for round in 0..300 {
        let path = server.write("a.txt", content(round));
        File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        let answer = connection.send(&server.get("/a.txt")).expect(200);
        assert_eq!((answer.text(), answer.tag()), (content(round), tag_of(content(round))));
        fs::remove_file(&path).unwrap();
        connection.send(&server.get("/a.txt")).expect(404);
    }
}

/// A long upload is under way when somebody else saves the file. The uploader hears of it now and not a gigabyte later.
#[test]
fn an_upload_in_flight_is_told_when_its_target_changes() {
    let server = Server::start();
    type Change = (&'static str, fn(&Server));
    let changes: [Change; 3] = [
        ("over HTTP", |server| drop(server.put("/a.txt").body("theirs").expect(204))),
        ("in place", |server| fs::write(server.local("a.txt"), "theirs").unwrap()),
        ("by rename", |server| {
            fs::write(server.local("b.txt"), "theirs").unwrap();
            fs::rename(server.local("b.txt"), server.local("a.txt")).unwrap();
        }),
    ];
    for (how, change) in changes {
        fs::write(server.local("a.txt"), "mine").unwrap();
        // Let the watcher settle on what was written here, so that the next hint is that of the change.
        std::thread::sleep(Duration::from_millis(1200));
        let tag = strong_tag(&server, "/a.txt");
        let mut upload = server.connect();
        upload.write(server.put("/a.txt").if_match(&tag).header("Content-Length", "1000000000").head());
        upload.write(vec![b'x'; 100_000]);
        assert!(!upload.is_answered_within(Duration::from_millis(300)), "{how}: answered before the change");
        change(&server);
        assert!(upload.is_answered_within(Duration::from_secs(8)), "{how}: not told while the upload is under way");
        let refused = upload.answer("PUT").expect(412);
        assert_eq!(refused.problem()["failed_header"], "If-Match", "{how}");
        assert_eq!(server.read("a.txt"), "theirs", "{how}");
    }
}

/// The same where the file is so large that it is not hashed for an answer: it is hashed for the upload that depends on it.
#[test]
fn an_upload_in_flight_is_told_when_a_large_target_changes() {
    let server = Server::with("--tag-threshold=65536").start();
    server.put("/a.bin").body("x".repeat(300_000)).expect(201);
    let tag = strong_tag(&server, "/a.bin");
    assert!(!tag.starts_with("\"s"), "that of its content: {tag}");
    let mut upload = server.connect();
    upload.write(server.put("/a.bin").if_match(&tag).header("Content-Length", "1000000000").head());
    upload.write(vec![b'x'; 100_000]);
    fs::File::options().append(true).open(server.local("a.bin")).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    assert!(!upload.is_answered_within(Duration::from_millis(1500)), "its content is the same");
    fs::write(server.local("a.bin"), "y".repeat(300_000)).unwrap();
    assert!(upload.is_answered_within(Duration::from_secs(30)), "not told while the upload is under way");
    assert_eq!(upload.answer("PUT").expect(412).problem()["failed_header"], "If-Match");
}

/// The same for an upload that was to create a file: somebody else created it first.
#[test]
fn an_upload_in_flight_is_told_when_its_name_is_taken() {
    let server = Server::start();
    let mut upload = server.connect();
    upload.write(server.put("/new.txt").if_none_match("*").header("Content-Length", "1000000000").head());
    upload.write(vec![b'x'; 100_000]);
    assert!(!upload.is_answered_within(Duration::from_millis(300)));
    server.write("new.txt", "theirs");
    assert!(upload.is_answered_within(Duration::from_secs(8)), "not told while the upload is under way");
    upload.answer("PUT").expect(412);
    server.get("/new.txt").expect_body("theirs");
}

/// A touch is not a change: the upload goes on.
#[test]
fn an_upload_in_flight_is_not_disturbed_by_a_touch() {
    let server = Server::start();
    let path = server.write("a.txt", "text");
    let tag = server.get("/a.txt").expect(200).tag();
    let mut upload = server.connect();
    upload.write(server.put("/a.txt").if_match(&tag).header("Content-Length", "8").head());
    upload.write("half");
    File::options().write(true).open(path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    assert!(!upload.is_answered_within(Duration::from_millis(1500)));
    upload.write("half");
    upload.answer("PUT").expect(204);
    server.get("/a.txt").expect_body("halfhalf");
}

/// The folder disappears under the server, as an unplugged disk does, and comes back.
#[test]
fn a_folder_that_vanishes_and_comes_back() {
    let place = tempfile::tempdir().unwrap();
    let (folder, away) = (place.path().join("share"), place.path().join("away"));
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("a.txt"), "text").unwrap();
    let server = Server::on(&folder);
    server.get("/a.txt").expect_body("text");
    fs::rename(&folder, &away).unwrap();
    // No change goes to the folder that went away, not even at once.
    for request in [
        server.put("/b.txt").body("x"),
        server.put("/a.txt").body("x"),
        server.delete("/a.txt"),
        server.mkcol("/folder"),
    ] {
        request.expect(503);
    }
    // Whether it is still where it was is not looked at for every single read.
    eventually(Duration::from_secs(2), "the absence to be noticed", || {
        (server.get("/a.txt").send().status == 503).then_some(())
    });
    for request in [
        server.get("/a.txt"),
        server.get("/"),
        server.put("/b.txt").body("x"),
        server.delete("/a.txt"),
        server.mkcol("/folder"),
    ] {
        request.expect(503);
    }
    let visible = |entry: &fs::DirEntry| entry.file_name() != ".noclobber";
    let left = fs::read_dir(&away).unwrap().map(Result::unwrap).filter(visible).count();
    assert_eq!(left, 1, "nothing was written into the folder that went away");
    assert_eq!(fs::read_to_string(away.join("a.txt")).unwrap(), "text");
    fs::rename(&away, &folder).unwrap();
    eventually(Duration::from_secs(2), "the folder to be served again", || {
        (server.get("/a.txt").send().status == 200).then_some(())
    });
    server.get("/a.txt").expect_body("text");
    server.put("/b.txt").body("x").expect(201);
}

/// Another folder under the old name is served as the folder it is now, by a server that may reach it. One that is confined to the first serves
/// nothing until it is started again.
#[test]
fn another_folder_under_the_old_name_is_another_share() {
    // The state of the first share is none of the second.
    let without_state = || Server::with("--no-state").without_state();
    for options in [without_state(), without_state().option("--no-landlock")] {
        let place = tempfile::tempdir().unwrap();
        let (folder, away) = (place.path().join("share"), place.path().join("away"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("a.txt"), "text").unwrap();
        let mut server = options.folder(&folder).start();
        server.get("/a.txt").expect_body("text");
        let is_confined = !server.greeting().contains("Not confined");
        fs::rename(&folder, &away).unwrap();
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("a.txt"), "another").unwrap();
        eventually(Duration::from_secs(2), "the other folder to be noticed", || {
            let answer = server.get("/a.txt").send();
            (answer.status == 503 || answer.text() == "another").then_some(())
        });
        if is_confined {
            server.get("/a.txt").expect(503);
            server.put("/b.txt").body("x").expect(503);
            server.stop();
            server.start_again();
        }
        server.get("/a.txt").expect_body("another");
        server.put("/b.txt").body("x").expect(201);
        assert!(!away.join("b.txt").exists());
    }
}

/// The machine gives out no more watches. The server says so once, and sees every change all the same.
#[test]
fn a_server_without_watches_sees_everything() {
    if !has_program("unshare") {
        return left_out("a_server_without_watches_sees_everything", "unshare is not installed");
    }
    let script = "echo 1 > /proc/sys/user/max_inotify_watches && exec \"$@\"";
    let wrapped = |script: &str| ["unshare", "-Ur", "sh", "-c", script, "sh"].map(str::to_owned);
    let words = wrapped(script);
    let tried = std::process::Command::new(&words[0]).args(&words[1..]).arg("true").run();
    if !tried.is_ok_and(|output| output.status.success()) {
        return left_out("a_server_without_watches_sees_everything", "user namespaces cannot be had here");
    }
    let folder = tempfile::tempdir().unwrap();
    for number in 0..50 {
        fs::create_dir(folder.path().join(number.to_string())).unwrap();
    }
    let server = Options::default().folder(folder.path()).under(words).start();
    let mut connection = server.connect();
    for edit in 0..100 {
        let text = content(edit);
        server.write(format!("{}/a.txt", edit % 50), &text);
        let answer = connection.send(&server.get(format!("/{}/a.txt", edit % 50))).expect(200);
        assert_eq!((answer.text(), answer.tag()), (text.clone(), tag_of(&text)));
    }
    let said = server.log().lines().filter(|line| line.contains("watch")).count();
    assert!((1..=2).contains(&said), "{said} lines about watches:\n{}", server.log());
}

/// Whole trees are moved about by local programs; what is found under each name is what is there.
#[test]
fn moved_trees_are_found_where_they_are() {
    let server = Server::start();
    for tree in ["one", "two"] {
        server.write(format!("{tree}/deep/a.txt"), tree);
        server.get(format!("/{tree}/deep/a.txt")).expect_body(tree);
    }
    for _ in 0..20 {
        fs::rename(server.local("one"), server.local("swap")).unwrap();
        server.get("/one/deep/a.txt").expect(404);
        fs::rename(server.local("two"), server.local("one")).unwrap();
        fs::rename(server.local("swap"), server.local("two")).unwrap();
        let answer = server.get("/one/deep/a.txt").expect(200);
        assert_eq!(
            (answer.tag(), answer.text()),
            (tag_of(server.read("one/deep/a.txt")), server.read("one/deep/a.txt"))
        );
    }
}

/// A strong tag, waited for: what was written an instant ago may be too young for one.
fn strong_tag(server: &Server, target: &str) -> String {
    eventually(Duration::from_secs(5), &format!("a strong tag of {target}"), || {
        server.head(target).expect(200).header("etag").filter(|tag| !tag.starts_with("W/")).map(str::to_owned)
    })
}

fn content(number: u32) -> String {
    format!("edit number {number:08}\n")
}

/// Saves in place, by truncating, or by rename, and puts both dates back as they were.
fn save_and_put_the_date_back(path: &Path, content: &str, how: u32) {
    let before = fs::metadata(path).unwrap();
    let times = FileTimes::new().set_modified(before.modified().unwrap()).set_accessed(before.accessed().unwrap());
    match how % 3 {
        0 => {
            let file = File::options().write(true).open(path).unwrap();
            file.write_all_at(content.as_bytes(), 0).unwrap();
            file.set_times(times).unwrap();
        }
        1 => {
            let mut file = File::create(path).unwrap();
            file.write_all(content.as_bytes()).unwrap();
            file.set_times(times).unwrap();
        }
        _ => {
            let beside = path.with_extension("new");
            let mut file = File::create(&beside).unwrap();
            file.write_all(content.as_bytes()).unwrap();
            file.set_times(times).unwrap();
            drop(file);
            fs::rename(beside, path).unwrap();
        }
    }
}

fn files_below(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        match entry.path() {
            path if path.is_dir() => found.append(&mut files_below(&path)),
            path => found.push(path),
        }
    }
    found
}

/// A program that has the file mapped for writing, and not open any more, counts as one that is writing it.
#[test]
fn a_program_that_has_the_file_mapped_is_waited_for() {
    const TEST: &str = "a_program_that_has_the_file_mapped_is_waited_for";
    let server = Server::start();
    if !server.greeting().contains("Tier A") {
        return left_out(TEST, "the disk gives no leases");
    }
    let path = server.write("a.txt", "one");
    let script = "import mmap,sys\nf=open(sys.argv[1],'r+b')\nm=mmap.mmap(f.fileno(),0)\nf.close()\nprint('mapped',flush=True)\n\
                  sys.stdin.readline()\nm[0:3]=b'two'\nm.flush()";
    let pipe = std::process::Stdio::piped;
    let program =
        std::process::Command::new("python3").args(["-c", script]).arg(&path).stdin(pipe()).stdout(pipe()).start();
    let Ok(mut program) = program else { return left_out(TEST, "python3 is not installed") };
    std::io::Read::read_exact(program.stdout.as_mut().unwrap(), &mut [0; 6]).unwrap();
    server.put("/a.txt").if_match(tag_of("one")).body("mine").expect(423);
    server.put("/a.txt").body("mine").expect(423);
    server.delete("/a.txt").expect(423);
    server.get("/a.txt").expect_body("one");
    program.stdin.take().unwrap().write_all(b"\n").unwrap();
    program.wait().unwrap();
    server.get("/a.txt").expect_body("two");
    server.put("/a.txt").if_match(tag_of("one")).body("mine").expect(412);
    server.put("/a.txt").if_match(tag_of("two")).body("mine").expect(204);
}
