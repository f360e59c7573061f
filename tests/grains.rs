//! Disks whose clock is coarse: kernels that stamp by the tick (4 and 10 ms), and file systems that keep whole seconds. Two states of a file can
//! have one stamp there. The stories of tags and of the promise are told again on each, and a few of their own.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use crate::harness::client::tag_of;
use crate::harness::disk_images::{DiskImage, Kind};
use crate::harness::server::Options;
use crate::harness::{Server, eventually, left_out};

/// In milliseconds.
const GRAINS: [u64; 3] = [4, 10, 1000];

/// The stories of other files, told again on disks of each grain.
macro_rules! again {
    ($($file:ident: $($story:ident)*;)*) => {$(
        mod $file {
            $(
                #[test]
                fn $story() {
                    for grain in super::GRAINS {
                        crate::harness::server::with_time_grain(grain, || crate::$file::$story());
                    }
                }
            )*
        }
    )*};
}

again! {
    conditions: the_slower_editor_is_told a_refusal_tells_the_way_out the_decision_table_for_writes
        a_stale_delete_deletes_nothing a_slow_upload_is_judged_again_at_its_end a_repeated_write_is_told_that_its_bytes_are_there
        a_replacement_has_a_later_date the_same_bytes_have_the_same_tag;
    collections: a_tag_from_a_listing_can_be_written_with a_listing_shows_what_is_there_now;
    dates: a_version_with_an_older_date_is_another a_date_that_comes_back_names_nothing versions_of_one_second_are_told_apart
        what_comes_with_a_folder_is_not_what_was_there nothing_is_modified_after_the_date_of_the_answer;
    dav_moves: tags_and_dates_go_with_the_bytes;
    outside_changes: same_size_edits_with_the_date_put_back_are_seen touches_change_no_tag tags_outlive_the_server_and_its_index
        a_lost_index_costs_time_and_never_truth an_edit_under_another_name_is_seen a_reused_inode_is_another_file;
    race: one_winner_per_tag;
    ranges: if_range_resumes_one_version_or_begins_anew;
    reading: a_file_comes_with_its_validators a_kept_connection_gets_the_answer_that_a_new_one_gets
        a_crowd_of_readers_does_not_hide_a_change;
    writing: a_file_is_created_and_replaced;
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
