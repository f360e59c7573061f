//! A crowd of clients of every bad kind at once, from those who say nothing to those who leave at odd times. While it lasts others are served, whom
//! none of them keeps waiting, and afterwards the server has as many files, threads and as much memory as before.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::harness::{Server, eventually, full, heavy, left_out, report};

const MEBIBYTE: u64 = 1024 * 1024;

#[test]
fn every_connection_ends_and_leaves_nothing_behind() {
    let _turn = heavy();
    let count = if full() { 4096 } else { 1024 };
    if !may_open(count + 200) {
        return left_out("every_connection_ends_and_leaves_nothing_behind", "so many sockets cannot be had here");
    }
    let server = server_with_patience(2);
    server.request("PROPFIND", "/folder/").header("Depth", "1").expect(207);
    let before = State::of(&server);
    let gone = |within: u64, what: &str, is_as_before: &dyn Fn(&State) -> bool| {
        eventually(Duration::from_secs(within), what, || Some(State::of(&server)).filter(is_as_before))
    };
    // The first crowd makes the server as large as it becomes.
    crowd(&server, count);
    let between = gone(20, "its files to be closed", &|state| state.files <= before.files);
    crowd(&server, count);
    gone(20, "its files to be closed again", &|state| state.files <= before.files);
    // A thread that has nothing more to do ends after ten seconds.
    let after = gone(30, "its threads to end", &|state| state.threads <= before.threads + 2);
    report(&format!("{count} bad clients: {before:?} before, {between:?} between, {after:?} after"));
    assert!(after.memory <= between.memory + between.memory / 4 + 8 * MEBIBYTE, "{between:?}, {after:?}");
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

/// The server has patience with all of them for longer than this takes, so whoever had to wait for one of them would wait in vain: it is the
/// order that counts, and not how fast the machine is.
#[test]
fn nobody_waits_for_what_the_others_hold() {
    let _turn = heavy();
    let count = if full() { 4096 } else { 1024 };
    if !may_open(count + 200) {
        return left_out("nobody_waits_for_what_the_others_hold", "so many sockets cannot be had here");
    }
    let server = server_with_patience(3600);
    let kinds = kinds(&server);
    let clients = come(&server, &kinds, count);
    for _ in 0..5 {
        serve_others(&server);
    }
    // Those who are waited for are all still there.
    let waited_for = clients.iter().filter(|(kind, _)| kinds[*kind].is_waited_for).count();
    assert!(server.open_files() > waited_for, "{} of {waited_for}", server.open_files());
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

/// A server that waits for so many seconds for whatever a client can let it wait for.
fn server_with_patience(seconds: u64) -> Server {
    let server = Server::builder()
        .value("--connections-max", 8192)
        .value("--keep-alive-seconds", seconds)
        .value("--header-seconds", seconds)
        .value("--body-idle-seconds", seconds)
        .value("--body-rate-min", 0)
        .option("--no-watch")
        .start();
    server.write("a.txt", "a text");
    File::create(server.local("large.bin")).unwrap().set_len(64 * MEBIBYTE).unwrap();
    fs::create_dir(server.local("folder")).unwrap();
    for number in 0..4000 {
        server.write(format!("folder/a-file-with-a-name-that-takes-some-room-{number}"), "");
    }
    server
}

/// Lets so many clients come, of each kind one after the other.
fn come(server: &Server, kinds: &[Kind], count: usize) -> Vec<(usize, TcpStream)> {
    let one = |number: usize| {
        let kind = number % kinds.len();
        let mut client = TcpStream::connect(server.address()).unwrap();
        let _ = client.write_all(&kinds[kind].sends);
        (kind, client)
    };
    (0..count).map(one).collect()
}

fn serve_others(server: &Server) {
    server.get("/a.txt").expect_body("a text");
    server.put("/b.txt").body("another").expect_any(&[201, 204]);
    server.request("PROPFIND", "/").header("Depth", "0").expect(207);
    server.request("PROPFIND", "/folder/").header("Depth", "1").expect(207);
}

/// Lets so many clients come, serves others beside them, and waits until all have been left or have left.
fn crowd(server: &Server, count: usize) {
    let kinds = kinds(server);
    let clients = come(server, &kinds, count);
    for _ in 0..5 {
        serve_others(server);
    }
    for (number, (kind, client)) in clients.into_iter().enumerate() {
        let story = kinds[kind].name;
        match number / kinds.len() % 3 {
            0 if kinds[kind].ends => expect_end(client, story),
            1 => drop(client.shutdown(Shutdown::Both)),
            2 => set_socket_linger(&client, Some(Duration::ZERO)).unwrap(),
            _ => {}
        }
    }
}

/// The server closes the connection by itself, whatever it says before.
#[track_caller]
fn expect_end(mut client: TcpStream, story: &str) {
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut bytes = [0; 64 * 1024];
    loop {
        match client.read(&mut bytes) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("{story}: the connection does not end")
            }
            Err(_) => return,
        }
    }
}

/// A kind of client.
struct Kind {
    name: &'static str,
    sends: Vec<u8>,
    /// Whether the server has to end it soon, although the client does nothing.
    ends: bool,
    /// Whether the server waits for the client before that.
    is_waited_for: bool,
}

fn kinds(server: &Server) -> Vec<Kind> {
    // For these the server has a time of its own, or nothing to wait for.
    let is_timed = |name: &str| name.contains("not read") || name.contains("XML");
    let is_refused = |name: &str| ["malformed chunks", "no request", "a refusal instead of a body"].contains(&name);
    let kind = |name, sends: Vec<u8>, ends| {
        let is_waited_for = !is_timed(name) && !is_refused(name);
        Kind { name, sends, ends, is_waited_for }
    };
    let get = server.get("/a.txt").head();
    let large = server.get("/large.bin").head();
    let put = |length: &str| server.put("/bad.txt").header("Content-Length", length);
    let chunked = server.put("/bad.txt").header("Transfer-Encoding", "chunked").head();
    let refused = |length: &str| put(length).if_match("\"stale\"").header("Expect", "100-continue").head();
    let find = |depth: &str, length: &str| {
        let find = server.request("PROPFIND", "/folder/").header("Depth", depth);
        find.header("Content-Length", length).head()
    };
    let with = |mut head: Vec<u8>, body: &[u8]| {
        head.extend_from_slice(body);
        head
    };
    vec![
        kind("silent", Vec::new(), true),
        kind("one request", get.clone(), true),
        kind("half a head", get[..get.len() / 2].to_vec(), true),
        kind("half a second head", [&get[..], &get[..get.len() / 2]].concat(), true),
        kind("empty lines", b"\r\n\r\n\r\n".to_vec(), true),
        kind("requests ahead", get.repeat(50), true),
        kind("a body that never comes", put("1000000").head(), true),
        kind("half a small body", with(put("1000").head(), b"half"), true),
        kind("half a large body", with(put("1000000").head(), &[b'x'; 300_000]), true),
        kind("half a body in chunks", with(chunked.clone(), b"5\r\nhel"), true),
        kind("malformed chunks", with(chunked, b"5;\r\nhello"), true),
        kind("no request", b"nonsense\r\n\r\n".to_vec(), true),
        kind("a refusal without a body", refused("0"), true),
        kind("a refusal instead of a body", refused("1000000"), true),
        kind("a refusal, and another request", with(refused("0"), &get), true),
        kind("half of some XML", with(find("0", "1000"), b"<?xml"), true),
        kind("a large answer that is not read", large, false),
        kind("a listing that is not read", find("1", "0"), false),
    ]
}

/// What the server holds.
#[derive(Debug)]
struct State {
    files: usize,
    threads: usize,
    memory: u64,
}

impl State {
    fn of(server: &Server) -> Self {
        let threads = fs::read_dir(format!("/proc/{}/task", server.process_id())).unwrap().count();
        Self { files: server.open_files(), threads, memory: server.memory("Anonymous") }
    }
}

/// Raises the limit of open files of this process, as far as it goes.
fn may_open(count: usize) -> bool {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    getrlimit(Resource::Nofile).current.is_none_or(|current| current >= count as u64)
}
