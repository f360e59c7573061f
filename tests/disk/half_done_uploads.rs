//! Uploads that go on, on a disk that is full: what counted counts, and nobody announces what the disk cannot hold.

use std::fs;

use crate::harness::client::tag_of;
use crate::harness::disk_images::DiskImage;
use crate::harness::{Answer, Dice, Request, Server, canaries, left_out};

const MEBIBYTE: usize = 1024 * 1024;

fn begin(server: &Server, path: &str, length: Option<usize>) -> Request {
    let put = server.put(path).header("upload-complete", "?0");
    match length {
        Some(length) => put.header("upload-length", length.to_string()),
        None => put,
    }
}

#[track_caller]
fn url_in(answer: &Answer) -> String {
    let url = answer.field("location").to_owned();
    canaries::note(url.rsplit('/').next().expect("a name"));
    url
}

fn patch(server: &Server, url: &str, offset: usize, complete: bool) -> Request {
    let patch = server.request("PATCH", url).header("content-type", "application/partial-upload");
    patch.header("upload-offset", offset.to_string()).header("upload-complete", if complete { "?1" } else { "?0" })
}

#[track_caller]
fn offset(server: &Server, url: &str) -> usize {
    server.head(url).expect(204).field("upload-offset").parse().expect("a number")
}

#[test]
fn a_disk_that_is_full_in_the_middle_takes_nothing_that_counted() {
    const TEST: &str = "a_disk_that_is_full_in_the_middle_takes_nothing_that_counted";
    let Some(disk) = DiskImage::tmpfs("size=32m").map_err(|why| left_out(TEST, &why)).ok() else { return };
    let mut server = Server::builder().folder(disk.path()).start();
    let all = Dice::new(41).bytes(24 * MEBIBYTE);
    let url = url_in(&begin(&server, "/a.bin", None).body(&all[..8 * MEBIBYTE]).expect(201));
    // A program takes the room.
    fs::write(server.local("hog"), vec![1; 16 * MEBIBYTE]).expect("there is room");
    // Nobody knows how much is to come, so that it is begun.
    patch(&server, &url, 8 * MEBIBYTE, true).chunks(all[8 * MEBIBYTE..].chunks(MEBIBYTE)).expect(507);
    let counts = offset(&server, &url);
    assert!((8 * MEBIBYTE..24 * MEBIBYTE).contains(&counts), "{counts}");
    // What is announced and cannot fit is refused before it comes.
    patch(&server, &url, counts, true).body_when_asked(&all[counts..]).expect(507);
    assert_eq!(offset(&server, &url), counts);
    server.stop();
    server.start_again();
    assert_eq!(offset(&server, &url), counts);
    fs::remove_file(server.local("hog")).expect("it is there");
    let stored = patch(&server, &url, counts, true).body(&all[counts..]).expect(201);
    assert_eq!(stored.tag(), tag_of(&all));
    assert!(fs::read(server.local("a.bin")).expect("it is there") == all);
}

/// Each of them could be held, and not all.
#[test]
fn what_is_announced_is_counted_together() {
    const TEST: &str = "what_is_announced_is_counted_together";
    let Some(disk) = DiskImage::tmpfs("size=32m").map_err(|why| left_out(TEST, &why)).ok() else { return };
    let server = Server::builder().folder(disk.path()).start();
    let first = url_in(&begin(&server, "/a.bin", Some(20 * MEBIBYTE)).body("").expect(201));
    begin(&server, "/b.bin", Some(20 * MEBIBYTE)).body("").expect(507);
    let tus =
        server.post("/.noclobber/tus/").header("tus-resumable", "1.0.0").header("upload-metadata", "filename Yg==");
    tus.header("upload-length", (20 * MEBIBYTE).to_string()).body("").expect(507);
    // One whose length is not known yet says it later.
    let second = url_in(&begin(&server, "/b.bin", None).body("b").expect(201));
    patch(&server, &second, 1, false).header("upload-length", (20 * MEBIBYTE).to_string()).body("").expect(507);
    assert_eq!(offset(&server, &second), 1);
    server.delete(&first).expect(204);
    patch(&server, &second, 1, false).header("upload-length", (20 * MEBIBYTE).to_string()).body("").expect(204);
    patch(&server, &second, 1, true).body(vec![b'b'; 20 * MEBIBYTE - 1]).expect(201);
}
