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
    let swap = server.local(".noclobber/swap/.noclobber");
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

/// There is an end to how many copies are made at once. Who asks for one more waits for its turn, and nobody else waits for it.
#[test]
fn copies_are_made_in_turn() {
    let _turn = heavy();
    let server = with_a_large_file(Server::with("--copies-max=2"));
    server.put("/small.txt").body("text").expect(201);
    let waiting: Vec<_> =
        (0..2).map(|number| asked(&server, &server.copying("/folder/big.iso", format!("/{number}.iso")))).collect();
    eventually(Duration::from_secs(20), "all to begin", || (unfinished(&server) == 2).then_some(()));
    let mut next = asked(&server, &server.copying("/small.txt", "/next.txt"));
    assert!(!next.is_answered_within(Duration::from_millis(300)));
    server.put("/small.txt").body("other").expect(204);
    server.moving("/small.txt", "/moved.txt").expect(201);
    server.moving("/moved.txt", "/small.txt").expect(201);
    waiting.into_iter().for_each(Connection::break_off);
    next.answer("COPY").expect(201);
    server.get("/next.txt").expect_body("other");
}
