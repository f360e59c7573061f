//! Large files that nobody has hashed yet, and requests that name their content: each is read once at most for all who wait for it, not at
//! all for who only would not mind, and no longer than somebody waits; and nobody else waits meanwhile. What is counted are bytes read.

use std::fs::File;
use std::time::Duration;

use crate::harness::{Connection, Request, Server, eventually, heavy};

const MEBIBYTE: u64 = 1 << 20;

/// The tag of a content that nothing here has.
const FOREIGN: &str = "\"00000000000000000000000000000000\"";

/// A server with files of so many mebibytes of zeros that a local program put there.
fn with_large_files(options: crate::harness::server::Options, names: &[&str], mebibytes: u64) -> Server {
    let server = options.start();
    for name in names {
        File::create(server.local(name)).unwrap().set_len(mebibytes * MEBIBYTE).unwrap();
    }
    server.get("/").expect(200);
    server
}

fn asked(server: &Server, request: &Request) -> Connection {
    let mut connection = server.connect();
    connection.write(request.head());
    connection
}

/// Those who have an answer by now.
fn answered(connections: &mut [Connection]) -> Vec<&mut Connection> {
    connections
        .iter_mut()
        .filter_map(|connection| connection.is_answered_within(Duration::from_millis(1)).then_some(connection))
        .collect()
}

/// Whoever asks to be spared what he has already gets the file where that would take a hashing: nothing is read for it.
#[test]
fn a_reader_with_another_tag_has_nothing_hashed() {
    let server = with_large_files(Server::builder(), &["big.iso"], 4096);
    let before = server.bytes_read();
    for _ in 0..70 {
        drop(asked(&server, &server.get("/big.iso").if_none_match(FOREIGN)));
    }
    let answer = server.head("/big.iso").if_none_match(FOREIGN).expect(200);
    assert!(answer.field("etag").starts_with("\"s"), "{answer}");
    let answer = server.get("/big.iso").if_none_match(FOREIGN).range("bytes=0-9").expect(206);
    assert!(answer.field("etag").starts_with("\"s"), "{answer}");
    server.propfind("/big.iso", "0").if_none_match(FOREIGN).expect(207);
    let read = server.bytes_read() - before;
    assert!(read < 16 * MEBIBYTE, "{read} bytes were read");
}

/// However many requests name the content of one file, it is read once, and nobody who wants something else waits for it.
#[test]
fn one_file_is_hashed_once_for_all_who_ask() {
    let _turn = heavy();
    let server = with_large_files(Server::builder(), &["big.iso"], 4096);
    server.put("/small.txt").body("before").expect(201);
    server.put("/small.txt").body("small").expect(204);
    let before = server.bytes_read();
    let version = format!("/small.txt?version={}", server.versions("/small.txt").0[0].id);
    let of_another = format!("</big.iso> ([{FOREIGN}])");
    let requests = [
        server.put("/big.iso").if_match(FOREIGN).header("Content-Length", "0"),
        server.delete("/big.iso").if_match(FOREIGN),
        server.moving("/big.iso", "/moved.iso").if_match(FOREIGN),
        server.copying("/big.iso", "/copied.iso").if_match(FOREIGN),
        server.propfind("/big.iso", "0").if_match(FOREIGN),
        server.get("/big.iso").if_match(FOREIGN),
        server.head("/big.iso").if_match(FOREIGN),
        server.put("/other.txt").states(&of_another).header("Content-Length", "0"),
        server.get("/small.txt").states(&of_another),
        server.copying(&version, "/other.txt").states(&of_another),
    ];
    let mut waiting: Vec<_> = (0..72).map(|number| asked(&server, &requests[number % requests.len()])).collect();
    for number in 0..20 {
        server.put(format!("/{number}.txt")).body("text").expect(201);
        server.get("/small.txt").expect_body("small");
    }
    let answered = answered(&mut waiting).len();
    assert_eq!(answered, 0, "so the others have not waited for the hashing");
    for (number, connection) in waiting.iter_mut().enumerate() {
        let method =
            ["PUT", "DELETE", "MOVE", "COPY", "PROPFIND", "GET", "HEAD", "PUT", "GET", "COPY"][number % requests.len()];
        connection.answer(method).expect(412);
    }
    let read = server.bytes_read() - before;
    assert!((4096 * MEBIBYTE..4200 * MEBIBYTE).contains(&read), "{read} bytes were read of 4 GiB");
    server.delete("/big.iso").if_match(FOREIGN).expect(412);
    assert!(server.bytes_read() - before < 4200 * MEBIBYTE, "what was found out once is known");
}

/// A hashing ends when the last who waited for it has gone, also one that has not begun yet.
#[test]
fn nothing_is_hashed_for_those_who_have_gone() {
    let _turn = heavy();
    let server = with_large_files(Server::with("--hashing-max=1"), &["a.iso", "b.iso"], 1 << 20);
    let before = server.bytes_read();
    let waiting: Vec<_> = ["/a.iso", "/b.iso", "/a.iso"]
        .iter()
        .map(|name| asked(&server, &server.put(*name).if_match(FOREIGN).header("Content-Length", "0")))
        .collect();
    eventually(Duration::from_secs(10), "the hashing to begin", || {
        (server.bytes_read() > before + 64 * MEBIBYTE).then_some(())
    });
    waiting.into_iter().for_each(Connection::break_off);
    eventually(Duration::from_secs(20), "the reading to end", || {
        let read = server.bytes_read();
        std::thread::sleep(Duration::from_millis(300));
        (server.bytes_read() < read + MEBIBYTE).then_some(())
    });
    // Nothing was left behind that another would wait for.
    File::create(server.local("c.iso")).unwrap().set_len(64 * MEBIBYTE).unwrap();
    server.delete("/c.iso").if_match(FOREIGN).expect(412);
}

/// There is an end to how many files wait to be hashed, and to how many one request may ask for: beyond it a client is told to come back.
#[test]
fn the_queue_of_hashings_has_an_end() {
    let _turn = heavy();
    let names: Vec<String> = (0..80).map(|number| format!("{number}.iso")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let server = with_large_files(Server::with("--hashing-max=1"), &names, 1 << 20);
    let mut waiting: Vec<_> =
        names.iter().map(|name| asked(&server, &server.delete(format!("/{name}")).if_match(FOREIGN))).collect();
    eventually(Duration::from_secs(20), "the last to be refused", || {
        (answered(&mut waiting).len() >= 15).then_some(())
    });
    let refused = answered(&mut waiting);
    assert_eq!(refused.len(), 15, "one is hashed, and 64 wait");
    for connection in refused {
        let answer = connection.answer("DELETE").expect(503);
        assert!(answer.header("retry-after").is_some(), "{answer}");
    }
    let lists: String = names[..64].iter().map(|name| format!("</{name}> ([{FOREIGN}]) ")).collect();
    let answer = server.put("/new.txt").states(lists).body("text").expect(503);
    assert!(answer.header("retry-after").is_some(), "{answer}");
    server.put("/new.txt").body("text").expect(201);
    server.get("/new.txt").expect_body("text");
    waiting.into_iter().for_each(Connection::break_off);
}

/// A program writes within one tick of the disk's clock, after a file was identified: nothing shows that it has changed, and what is read of it
/// then is not told of the version that was identified.
#[test]
fn what_is_read_of_an_unsettled_file_is_not_told_of_another() {
    use std::sync::Arc;

    use noclobber::share::{OpenResource, RequestContext, Share, ShareSettings};
    use noclobber::store::abilities::{Abilities, Tier};
    use noclobber::store::catalog::index::Index;
    use noclobber::store::local::commit::Tree;

    use crate::harness::sim_disk::{Features, SimDisk};
    use crate::harness::stories::share_path;
    use crate::harness::stranger::write_in_place;

    for grain in [Duration::from_millis(4), Duration::from_millis(10), Duration::from_secs(1)] {
        let features = Features::of(Tier::A);
        let abilities = Abilities { time_grain: grain, ..features.abilities };
        let disk = SimDisk::new(Features { abilities, ..features });
        disk.place("a", "first");
        let share =
            Share::open(Tree::on(Arc::new(disk.clone())), Index::in_memory(), ShareSettings::default(), disk.now())
                .unwrap();
        let read = || match share.read(&share_path("a"), &RequestContext::unconditional(disk.now())).unwrap() {
            OpenResource::File(content, identity) => (content, identity),
            OpenResource::Collection(_) => unreachable!(),
        };
        let (content, identity) = read();
        write_in_place(0, "a", "other").iter().for_each(|act| disk.act(act));
        assert!(content.is_exactly_unchanged(), "{grain:?}: the stamp says nothing of it");
        let is_told = |content, identity| share.read_identified(content, identity, |_| {});
        assert!(!is_told(&content, &identity), "{grain:?}");
        let (content, identity) = read();
        assert!(is_told(&content, &identity), "{grain:?}");
    }
}
