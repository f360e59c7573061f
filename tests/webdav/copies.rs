//! Copies that take long, and clients who do not wait for them: a copy ends with whoever asked for it, there is an end to how many are made at
//! once, and nothing else waits for one.

use std::fs::File;
use std::time::Duration;

use crate::harness::server::Options;
use crate::harness::{Connection, Request, Server, eventually, heavy};

const MEBIBYTE: u64 = 1 << 20;

/// How long the large files are, in bytes. They are holes, and so take no room; a copy does.
const LARGE: u64 = 32 << 30;

/// A server with a large file in a folder.
fn with_a_large_file(options: Options) -> Server {
    let server = options.start();
    server.mkcol("/folder").expect(201);
    File::create(server.local("folder/big.iso")).unwrap().set_len(LARGE).unwrap();
    server
}

fn asked(server: &Server, request: &Request) -> Connection {
    let mut connection = server.connect();
    connection.write(request.head());
    connection
}

/// How many copies are not complete: those that have a name in noclobber's own folder, and those that have none and only the server has open.
fn unfinished(server: &Server) -> usize {
    let named = |path: std::path::PathBuf| std::fs::read_dir(path).expect("it can be listed").flatten();
    let open = named(format!("/proc/{}/fd", server.process_id()).into());
    let nameless = open.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    let nameless = nameless.filter(|path| path.to_string_lossy().contains("/#")).count();
    let swap = server.local(".noclobber/uploads");
    nameless + if swap.exists() { named(swap).count() } else { 0 }
}

/// Whoever leaves in the middle of a copy has it ended, and nothing is left of it: not on the disk either.
#[test]
fn a_copy_ends_when_its_client_has_gone() {
    let _turn = heavy();
    let server = with_a_large_file(Server::builder());
    File::create(server.local("gone.iso")).unwrap().set_len(LARGE).unwrap();
    let version = server.delete("/gone.iso").expect(204).field("noclobber-displaced").to_owned();
    for request in [
        server.copying("/folder/big.iso", "/copy.iso"),
        server.copying("/folder", "/copy"),
        server.copying(format!("/gone.iso?version={version}"), "/copy.iso"),
        server.request("POST", format!("/gone.iso?restore={version}")),
    ] {
        let before = server.bytes_read();
        let waiting = asked(&server, &request);
        eventually(Duration::from_secs(20), "the copy to begin", || {
            (server.bytes_read() > before + 64 * MEBIBYTE).then_some(())
        });
        waiting.break_off();
        eventually(Duration::from_secs(20), "the copy to end", || {
            let read = server.bytes_read();
            std::thread::sleep(Duration::from_millis(200));
            (server.bytes_read() < read + MEBIBYTE && unfinished(&server) == 0).then_some(())
        });
        assert!(server.bytes_read() < before + LARGE, "it was over before its client had gone");
        for name in ["/copy.iso", "/copy/", "/gone.iso"] {
            server.head(name).expect(404);
        }
    }
}

/// There is an end to how many long copies are made at once. Who asks for one more waits for its turn; whoever asks for a short one, for none
/// after all, or for what cannot be done, waits for nobody.
#[test]
fn long_copies_are_made_in_turn() {
    let _turn = heavy();
    let server = with_a_large_file(Server::with("--copies-max=2"));
    server.put("/small.txt").body("text").expect(201);
    server.put("/small.txt").body("other").expect(204);
    server.mkcol("/gone").expect(201);
    let small = server.versions("/small.txt").0[0].id.clone();
    let gone = server.delete("/gone/").expect(204).field("noclobber-displaced").to_owned();
    let long = |to: &str| server.copying("/folder/big.iso", to);
    let waiting: Vec<_> = ["/1.iso", "/2.iso"].iter().map(|to| asked(&server, &long(to))).collect();
    eventually(Duration::from_secs(20), "both to begin", || (unfinished(&server) == 2).then_some(()));
    let mut next: Vec<_> =
        [long("/3.iso"), server.copying("/folder", "/other")].iter().map(|request| asked(&server, request)).collect();
    for (request, status) in [
        (server.copying("/small.txt", "/copy.txt"), 201),
        (server.request("POST", format!("/small.txt?restore={small}")), 204),
        (server.copying(format!("/small.txt?version={small}"), "/old.txt"), 201),
        (server.request("POST", format!("/gone?restore={gone}")), 201),
        (server.copying("/folder/", "/empty/").header("Depth", "0"), 201),
        (server.moving("/small.txt", "/moved.txt"), 201),
        (server.put("/small.txt").body("new"), 201),
        (long("/small.txt").header("Overwrite", "F"), 412),
        (long("/4.iso").if_none_match("*"), 412),
        (long("/nowhere/4.iso"), 409),
        (server.copying("/", "/4"), 403),
        (server.copying("/nothing", "/4"), 404),
    ] {
        let answer = request.expect(status);
        assert_eq!(unfinished(&server), 2, "{answer}");
    }
    for connection in &mut next {
        assert!(!connection.is_answered_within(Duration::from_millis(1)));
    }
    waiting.into_iter().for_each(Connection::break_off);
    eventually(Duration::from_secs(20), "the next two to begin", || {
        (unfinished(&server) == 2
            && server.local(".noclobber/uploads").read_dir().is_ok_and(|mut it| it.next().is_some()))
        .then_some(())
    });
    next.into_iter().for_each(Connection::break_off);
}
