//! The harness is held to what the tests lean on, against a tiny server of a few lines: what is sent leaves byte for byte, and
//! what comes back is read as it was framed.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use noclobber::store::handle::Opened;
use noclobber::store::lease::Leased;
use noclobber::store::local::disk::Disk as _;
use noclobber::store::local::os_disk::Options;

use crate::harness::client::{is_content_tag, percent_encode, tag_of};
use crate::harness::disk_images::{DiskImage, Kind};
use crate::harness::programs::{self, StartProgram as _, open_disk, while_none_starts};
use crate::harness::{Connection, Request, left_out};

/// Answers one connection: reads until it has seen `until`, then writes `answer`, and gives back what it read.
fn one_answer(until: &'static str, answer: &'static str) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut seen, mut byte) = (Vec::new(), [0]);
        while !seen.ends_with(until.as_bytes()) && stream.read(&mut byte).unwrap() == 1 {
            seen.push(byte[0]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(seen).unwrap()
    });
    (address, thread)
}

#[test]
fn a_request_leaves_as_it_was_built() {
    let (address, thread) = one_answer("v2", "HTTP/1.1 204 No Content\r\nETag: \"x\"\r\n\r\n");
    let answer = Request::new(address, "PUT", "/a%zz").if_match("\"old\"").body("v2").expect(204);
    assert_eq!(answer.tag(), "\"x\"");
    let sent = thread.join().unwrap();
    assert_eq!(
        sent,
        format!("PUT /a%zz HTTP/1.1\r\nHost: {address}\r\nIf-Match: \"old\"\r\nContent-Length: 2\r\n\r\nv2")
    );
}

#[test]
fn chunks_are_framed_and_read() {
    let (address, thread) = one_answer(
        "0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
    );
    Request::new(address, "PUT", "/a").chunks(["one", "", "three"]).expect_body("abcde");
    assert!(thread.join().unwrap().ends_with("3\r\none\r\n5\r\nthree\r\n0\r\n\r\n"));
}

#[test]
fn a_body_waits_until_it_is_asked_for() {
    let (address, thread) = one_answer("\r\n\r\n", "HTTP/1.1 412 No\r\nContent-Length: 0\r\n\r\n");
    let refused = Request::new(address, "PUT", "/a").body_when_asked("body").expect(412);
    assert!(refused.interim.is_empty());
    assert!(!thread.join().unwrap().contains("body"));

    let (address, thread) =
        one_answer("\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    let taken = Request::new(address, "PUT", "/a").body_when_asked("body").expect(201);
    assert_eq!(taken.interim, [100]);
    thread.join().unwrap();
}

#[test]
fn a_connection_that_breaks_is_an_error_and_never_a_short_answer() {
    let (address, thread) = one_answer("\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort");
    let mut connection = Connection::open(address).unwrap();
    assert!(connection.try_send(&Request::new(address, "GET", "/")).is_err());
    thread.join().unwrap();
}

#[test]
fn tags_and_names_are_written_as_the_standard_says() {
    assert_eq!(tag_of(""), "\"af1349b9f5f9a1a6a0404dea36dcc949\"");
    assert!(is_content_tag(&tag_of("x")) && !is_content_tag("\"s0\"") && !is_content_tag("W/\"x\""));
    assert_eq!(percent_encode(b"a b\xff%/"), "a%20b%FF%25%2F");
}

#[test]
fn a_disk_image_can_be_written_to_and_goes_away() {
    for kind in Kind::ALL {
        let disk = match DiskImage::mount(kind, 16) {
            Ok(disk) => disk,
            Err(why) => {
                left_out(&format!("a_disk_image_can_be_written_to_and_goes_away ({kind:?})"), &why);
                continue;
            }
        };
        let path = disk.path().to_owned();
        std::fs::write(path.join("a"), "x").unwrap();
        drop(disk);
        assert!(!path.exists(), "{kind:?}");
    }
}

/// The power cut bites: what was synced is there afterwards, and what was only written is not.
#[test]
fn a_power_cut_takes_what_was_not_synced() {
    for kind in [Kind::Ext4, Kind::Xfs] {
        for journal in [true, false] {
            let left_out = |why: &str| left_out(&format!("a_power_cut_takes_what_was_not_synced ({kind:?})"), why);
            let disk = match DiskImage::mount(kind, 32) {
                Ok(disk) => disk,
                Err(why) => return left_out(&why),
            };
            let (synced, written) = (disk.path().join("synced"), disk.path().join("written"));
            std::fs::write(&synced, "text").unwrap();
            std::fs::File::open(&synced).unwrap().sync_all().unwrap();
            std::fs::File::open(disk.path()).unwrap().sync_all().unwrap();
            std::fs::write(&written, "text").unwrap();
            if let Err(why) = disk.cut_power(journal) {
                return left_out(&why);
            }
            disk.mount_again();
            assert_eq!(std::fs::read_to_string(&synced).unwrap(), "text", "{kind:?}");
            assert_ne!(std::fs::read_to_string(&written).unwrap_or_default(), "text", "{kind:?}");
        }
    }
}

/// A test beside this one that starts a program gives it, for an instant, a copy of every file that is open: what a test has written and closed has
/// no writer left when anybody is asked about it.
#[test]
fn a_program_that_starts_is_no_writer() {
    let folder = tempfile::tempdir().unwrap();
    let (path, disk) = (folder.path().join("a"), open_disk(folder.path(), Options::default()).unwrap());
    if !disk.top_abilities().lease {
        return left_out("a_program_that_starts_is_no_writer", "the folder for temporary files gives no leases");
    }
    let is_leased = || {
        let opened = disk.open_path(&disk.root()?, b"a")?;
        let Opened::File(file, _) = opened else { return Ok(false) };
        Ok::<_, noclobber::store::disk_error::DiskError>(matches!(disk.lease(&file, Duration::ZERO)?, Leased::Held(_)))
    };
    let is_over = AtomicBool::new(false);
    let leased = std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    Command::new("true").run_to_end().expect("it can be run");
                }
            });
        }
        let rounds = 0..500;
        let leased = rounds.map(|round| {
            let write = || std::fs::write(&path, round.to_string());
            if round % 2 == 0 {
                let _ = while_none_starts(write);
            } else {
                let _ = write();
                programs::have_started();
            }
            matches!(is_leased(), Ok(true))
        });
        let leased: Vec<_> = leased.collect();
        is_over.store(true, Ordering::Relaxed);
        leased
    });
    let busy: Vec<_> = (0..).zip(leased).filter(|(_, leased)| !leased).map(|(round, _)| round).collect();
    assert_eq!(busy, Vec::<usize>::new());
}
