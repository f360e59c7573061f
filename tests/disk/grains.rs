//! Disks whose clock is coarse: kernels that stamp by the tick (4 and 10 ms), and file systems that keep whole seconds. Two states of a file can
//! have one stamp there. The tests of tags and of the promise are run again on each, and a few of its own.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::harness::client::tag_of;
use crate::harness::disk_images::{DiskImage, Kind};
use crate::harness::programs::StartProgram as _;
use crate::harness::server::Options;
use crate::harness::{Server, eventually, left_out, report};

/// In milliseconds.
const GRAINS: [u64; 3] = [4, 10, 1000];

/// The tests of tags and of the promise, which are run again as if this disk's clock had each grain.
const OF_TAGS_AND_THE_PROMISE: [&str; 18] = [
    "aliases::",
    "collections::",
    "conditions::",
    "dates::",
    "dav_if::",
    "dav_locks::",
    "dav_moves::",
    "history::",
    "outside_changes::",
    "race::a_name_is_created_once",
    "race::a_reader_sees_whole_versions_only",
    "race::every_text_of_many_writers_is_kept",
    "race::one_winner_per_tag",
    "race::puts_and_deletes_lose_nothing",
    "ranges::",
    "reading::",
    "refusals::",
    "writing::",
];

/// Those among them that are about how much there is, and not about what it is.
const OF_SCALE: [&str; 6] = [
    "collections::a_listing_that_nobody_reads_ends",
    "dav_locks::one_client_leaves_room_for_the_locks_of_others",
    "dav_moves::a_large_folder_goes_whole",
    "history::a_search_among_very_many_names_ends_and_goes_on",
    "history::very_many_versions_take_little_memory_and_nobody_waits",
    "history::what_waits_for_its_second_look_takes_no_handles",
];

/// Those that speak of dates which can be believed: where the clock keeps whole seconds, no date that a local program gave can.
const OF_EXACT_DATES: [&str; 5] = [
    "conditions::the_decision_table_for_reads",
    "dates::a_later_date_lets_no_change_through",
    "dates::every_change_is_judged_by_its_date",
    "dates::what_was_found_out_about_a_date_outlives_the_process",
    "dates::who_read_the_file_that_is_there_may_write",
];

/// The command line sees the disk's own clock, whatever the server is told.
const OF_THE_COMMAND_LINE: &str = "history::the_command_line_prints_one_array";

#[test]
fn what_is_promised_holds_on_a_clock_of_4_ms() {
    told_again(4, &[]);
}

#[test]
fn what_is_promised_holds_on_a_clock_of_10_ms() {
    told_again(10, &[]);
}

#[test]
fn what_is_promised_holds_on_a_clock_of_whole_seconds() {
    told_again(1000, &OF_EXACT_DATES);
}

/// Runs the tests once more in a process of their own, in which every server has this grain, in milliseconds.
fn told_again(grain: u64, but_for: &[&str]) {
    let mut tests = Command::new(std::env::current_exe().expect("the tests are a program"));
    tests.args(OF_TAGS_AND_THE_PROMISE).arg("--test-threads=4").env("NOCLOBBER_TEST_GRAIN", grain.to_string());
    tests.args(but_for.iter().chain(&OF_SCALE).chain(&[OF_THE_COMMAND_LINE]).flat_map(|test| ["--skip", test]));
    let ended = tests.run().expect("they can be run");
    let told = String::from_utf8_lossy(&ended.stdout);
    let summary = told.lines().rfind(|line| line.starts_with("test result")).unwrap_or("no result");
    report(&format!("a clock of {grain} ms: {summary}"));
    let failures = told.find("\nfailures:").map_or("", |begin| &told[begin..]);
    assert!(ended.status.success(), "a clock of {grain} ms: {summary}{failures}");
    assert!(told.matches(" ... ok").count() > 150, "a clock of {grain} ms: {told}");
}

/// Servers on disks of every grain, and on this disk as it is.
fn on_every_grain(story: impl Fn(Options, &str)) {
    story(Server::builder(), "this disk");
    for grain in GRAINS {
        story(Server::builder().time_grain(grain), &format!("{grain} ms"));
    }
}

/// An upload has one tag for life, however large it is and wherever the tag is shown, at once and later, after it was moved or dated anew, and
/// when the server was started again.
#[test]
fn an_upload_has_one_tag() {
    on_every_grain(|options, grain| {
        let mut server = options.option("--tag-threshold=10000").start();
        for size in [10, 200_000] {
            let content = vec![b'x'; size];
            let tag = server.put("/a").body(&content).expect(201).tag();
            assert_eq!(tag, tag_of(&content));
            let shows = |server: &Server, path: &str| {
                assert_eq!(server.get(path).expect(200).tag(), tag, "{grain}, {size}: GET");
                assert_eq!(server.head(path).expect(200).tag(), tag, "{grain}, {size}: HEAD");
                assert_eq!(server.put(path).if_match("\"x\"").body("y").expect(412).tag(), tag, "{grain}, {size}: 412");
                assert_eq!(
                    server.properties(path, "<D:getetag/>").value("D:getetag"),
                    tag,
                    "{grain}, {size}: PROPFIND"
                );
                let listed = server.get("/?json").expect(200).json();
                assert_eq!(listed["entries"][0]["etag"], tag, "{grain}, {size}: the listing");
            };
            for pause in [0, 3, 15, 1100] {
                std::thread::sleep(Duration::from_millis(pause));
                shows(&server, "/a");
            }
            server.put("/a").if_match(&tag).body(&content).expect(204);
            server.moving("/a", "/b").expect(201);
            shows(&server, "/b");
            let set = "<D:set><D:prop><D:lastmodified>1000000000</D:lastmodified></D:prop></D:set>";
            server.proppatch("/b", set).expect(207);
            shows(&server, "/b");
            server.kill();
            server.start_again();
            shows(&server, "/b");
            server.delete("/b").if_match(&tag).expect(204);
        }
    });
}

/// A program writes in place in the very instant in which the file was read or uploaded, and leaves size and date as they were. Nobody is
/// shown the old bytes, then or later, or the old tag for the new ones; and whoever reads can save.
#[test]
fn what_is_written_in_the_same_instant_is_seen() {
    on_every_grain(|options, grain| {
        written_in_the_same_instant(&options.option("--tag-threshold=10000").start(), grain)
    });
}

/// The same where it is the file system that keeps whole seconds, which no option says.
#[test]
fn what_is_written_in_the_same_second_is_seen_on_ext3() {
    match DiskImage::mount(Kind::Ext3OfWholeSeconds, 32) {
        Err(why) => left_out("what_is_written_in_the_same_second_is_seen_on_ext3", &why),
        Ok(disk) => {
            let share = disk.path().join("share");
            fs::create_dir(&share).unwrap();
            let server = Server::builder().option("--tag-threshold=10000").folder(&share).start();
            assert!(server.greeting().contains("Times: "), "{}", server.greeting());
            written_in_the_same_instant(&server, "ext3");
            an_upload_keeps_its_tag(&server);
        }
    }
}

fn an_upload_keeps_its_tag(server: &Server) {
    for size in [10, 20_000] {
        let content = vec![b'y'; size];
        let tag = server.put(format!("/tag{size}")).body(&content).expect(201).tag();
        for pause in [0, 1100, 1100] {
            std::thread::sleep(Duration::from_millis(pause));
            assert_eq!(server.head(format!("/tag{size}")).expect(200).tag(), tag);
        }
    }
}

fn written_in_the_same_instant(server: &Server, grain: &str) {
    for (at, size) in [100, 20_000].into_iter().enumerate() {
        let content = |letter: u8| vec![letter; size];
        for uploaded in [true, false] {
            let name = format!("f{at}{uploaded}");
            let path = format!("/{name}");
            if uploaded {
                server.put(&path).body(content(b'A')).expect(201);
            } else {
                server.write(&name, content(b'A'));
            }
            server.get(&path).expect(200);
            server.get(&path).expect(200);
            write_and_put_the_date_back(&server.local(&name), &content(b'B'));
            for pause in [0, 20, 1100] {
                std::thread::sleep(Duration::from_millis(pause));
                let read = server.get(&path).expect(200);
                assert!(read.body == content(b'B'), "{grain}, {size}, {uploaded}: old bytes after {pause} ms");
                assert_ne!(read.tag(), tag_of(content(b'A')), "{grain}, {size}, {uploaded}");
                server.put(&path).if_match(tag_of(content(b'A'))).body("blind").expect(412);
            }
            let tag = eventually(Duration::from_secs(10), "a tag that a write can name", || {
                let tag = server.get(&path).expect(200).tag();
                tag.starts_with('"').then_some(tag)
            });
            server.put(&path).if_match(tag).body("seen").expect(204);
        }
    }
}

fn write_and_put_the_date_back(path: &Path, content: &[u8]) {
    let file = File::options().write(true).open(path).unwrap();
    let before = file.metadata().unwrap().modified().unwrap();
    file.write_all_at(content, 0).unwrap();
    file.set_modified(before).unwrap();
}

/// A program writes into a file while it is being sent, and puts the date back: the answer breaks off, rather than ending as if it were one
/// version. What the server itself does to the file meanwhile disturbs nobody who reads it.
#[test]
fn a_file_that_is_written_while_it_is_sent_breaks_off() {
    let size = 24 << 20;
    let content = vec![b'A'; size];
    let server = Server::start();
    let reads_on = |path: &str, meanwhile: &dyn Fn(&str)| {
        server.put(path).body(&content).send();
        std::thread::sleep(Duration::from_millis(20));
        let mut connection = TcpStream::connect(server.address()).unwrap();
        let host = server.address();
        connection
            .write_all(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())
            .unwrap();
        let mut begun = [0; 1000];
        connection.read_exact(&mut begun).unwrap();
        meanwhile(path);
        let mut rest = Vec::new();
        let _ = connection.read_to_end(&mut rest);
        begun.len() + rest.len() >= size
    };
    assert!(!reads_on("/written", &|_| write_and_put_the_date_back(&server.local("written"), &content)));
    assert!(reads_on("/left-alone", &|_| {}));
    assert!(reads_on("/removed", &|_| fs::remove_file(server.local("removed")).unwrap()));
    assert!(reads_on("/saved-over", &|_| fs::rename(server.write("saved", "new"), server.local("saved-over")).unwrap()));
    assert!(reads_on("/replaced", &|path| drop(server.put(path).body("new").expect(204))));
    assert!(reads_on("/deleted", &|path| drop(server.delete(path).expect(204))));
    assert!(reads_on("/moved", &|path| drop(server.moving(path, "/elsewhere").expect(201))));
    assert!(reads_on("/moved-over", &|path| drop(server.moving("/elsewhere", path).expect(204))));
    let same_date =
        "<D:set><D:prop><A:executable xmlns:A=\"http://apache.org/dav/props/\">T</A:executable></D:prop></D:set>";
    assert!(reads_on("/made-executable", &|path| drop(server.proppatch(path, same_date).expect(207))));
}
