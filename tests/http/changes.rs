//! What has happened, by `?changes`, and what happens, by `?events`: in order, from where one was, and no more than one may see.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType, sockopt};
use rustix::process::Signal;
use serde_json::Value;

use crate::harness::users::{UsersFile, Way, signed};
use crate::harness::{Request, Server, eventually, left_out};

/// So long may a machine that is busy with other tests take.
const LIMIT: Duration = Duration::from_secs(60);

/// Everybody signed in writes; in `/mine` alice alone, and in `/mine/secret` nobody.
const RULES: &str = "[[rules]]\npath = \"/\"\nwho = \"signed-in\"\nmay = \"write\"\n\
    [[rules]]\npath = \"/mine\"\nwho = \"everybody\"\nmay = \"none\"\n\
    [[rules]]\npath = \"/mine\"\nwho = \"user:alice\"\nmay = \"write\"\n\
    [[rules]]\npath = \"/mine/secret\"\nwho = \"user:alice\"\nmay = \"none\"\n";

/// Waits until all is known, and gives a cursor.
fn cursor(server: &Server) -> String {
    cursor_of(|| server.get("/?changes"))
}

fn cursor_of(ask: impl Fn() -> Request) -> String {
    eventually(LIMIT, "the feed is complete", || (ask().expect(200).json()["complete"] == true).then_some(()));
    ask().expect(200).json()["cursor"].as_str().unwrap().to_owned()
}

/// What was told, as words: kind and path.
fn words(page: &Value) -> Vec<String> {
    let changes = page["changes"].as_array().unwrap().iter();
    changes.map(|change| format!("{} {}", change["kind"].as_str().unwrap(), change["path"].as_str().unwrap())).collect()
}

fn since(server: &Server, folder: &str, cursor: &str) -> Vec<String> {
    words(&server.get(format!("{folder}?changes&since={cursor}")).expect(200).json())
}

#[test]
fn what_has_happened_is_told_in_order_and_by_pages() {
    let server = Server::start();
    let begin = cursor(&server);
    server.put("/a").body("1").expect(201);
    server.put("/a").body("22").expect(204);
    server.mkcol("/d").expect(201);
    server.put("/d/b").body("3").expect(201);
    server.request("MOVE", "/d").header("destination", "/e").expect(201);
    server.delete("/a").expect(204);
    let all = ["created /a", "replaced /a", "created /d", "created /d/b", "moved /e", "deleted /a"];
    assert_eq!(since(&server, "/", &begin), all);
    assert_eq!(since(&server, "/e/", &begin), ["created /e", "uncertain /e"], "it came from outside of that folder");
    let (mut at, mut told) = (begin.clone(), Vec::new());
    loop {
        let page = server.get(format!("/?changes&since={at}&limit=2")).expect(200).json();
        told.extend(words(&page));
        at = page["cursor"].as_str().unwrap().to_owned();
        if page["goes_on"] == false {
            break;
        }
        assert_eq!(page["changes"].as_array().unwrap().len(), 2);
    }
    assert_eq!(told, all);
    let lines = server.get(format!("/?changes&since={begin}")).header("accept", "application/x-ndjson").expect(200);
    assert_eq!(lines.field("content-type"), "application/x-ndjson");
    let lines: Vec<Value> = lines.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), all.len() + 1);
    assert_eq!(lines[1]["size"], 2);
    assert_eq!(lines[6]["cursor"], at);
    let replaced = server.get(format!("/?changes&since={begin}")).expect(200).json()["changes"][1].clone();
    assert_eq!(replaced["displaced"].as_str().map(str::len), Some(27), "{replaced}");
}

#[test]
fn what_is_no_cursor_of_this_feed_is_said_to_be_none() {
    let server = Server::start();
    let begin = cursor(&server);
    let (feed, number) = begin.split_once('-').unwrap();
    let ahead = format!("{feed}-{}", number.parse::<u64>().unwrap() + 1000);
    let foreign = format!("{}-{number}", feed.chars().rev().collect::<String>());
    for wrong in ["", "garbled", "1", &ahead, &foreign, &begin.to_uppercase()] {
        let answer = server.get(format!("/?changes&since={wrong}")).expect(409);
        assert!(answer.problem()["detail"].as_str().unwrap().contains("list the folder again"), "{wrong}");
    }
    server.write("file", "text");
    server.get("/file?changes").expect_any(&[404, 405]);
    server.get("/none/?changes").expect(404);
    server.put("/?changes").body("x").expect(405);
    server.get("/?events&since=garbled").expect(409);
    server.get("/?changes&wait=x").expect(400);
    server.get("/?since=1").expect(400);
}

#[test]
fn who_waits_is_answered_when_something_happens() {
    let server = Server::start();
    let begin = cursor(&server);
    let before = Instant::now();
    let page = server.get(format!("/?changes&since={begin}&wait=1")).expect(200).json();
    assert!(words(&page).is_empty() && before.elapsed() >= Duration::from_millis(900));
    let waiting = {
        let request = server.get(format!("/?changes&since={begin}&wait=60"));
        std::thread::spawn(move || request.expect(200).json())
    };
    std::thread::sleep(Duration::from_millis(200));
    server.write("by-a-program", "text");
    assert_eq!(words(&waiting.join().unwrap()), ["created /by-a-program"]);
}

/// Of what is not kept any more nothing is told, and that is said; what is kept is told as ever.
#[test]
fn who_was_away_for_more_changes_than_are_kept_looks_again() {
    let server = Server::with("--feed-changes-max=5").start();
    let begin = cursor(&server);
    for number in 0..10 {
        server.put(format!("/{number}")).body("1").expect(201);
    }
    // What is too much goes when something is saved.
    let refused = eventually(LIMIT, "the first are let go", || {
        let answer = server.get(format!("/?changes&since={begin}")).expect_any(&[200, 409]);
        (answer.status == 409).then_some(answer)
    });
    assert!(refused.problem()["detail"].as_str().unwrap().contains("not known any more"));
    let (feed, number) = begin.split_once('-').unwrap();
    let kept = format!("{feed}-{}", number.parse::<u64>().unwrap() + 5);
    assert_eq!(since(&server, "/", &kept), ["created /5", "created /6", "created /7", "created /8", "created /9"]);
}

/// What changed while no server ran is told by the next one; nothing is told twice.
#[test]
fn what_changed_while_no_server_ran_is_told() {
    let mut server = Server::start();
    server.stop();
    for file in ["stays", "goes", "d/inside"] {
        server.write(file, "text");
    }
    server.start_again();
    let begin = cursor(&server);
    server.put("/put").body("by a client").expect(201);
    server.stop();
    std::fs::remove_file(server.local("goes")).unwrap();
    std::fs::write(server.local("stays"), "other text").unwrap();
    std::fs::write(server.local("d/new"), "text").unwrap();
    server.start_again();
    cursor(&server);
    let mut told = since(&server, "/", &begin);
    assert_eq!(told.remove(0), "created /put");
    told.sort();
    assert_eq!(told, ["created /d/new", "deleted /goes", "replaced /stays"]);
}

/// The kernel holds so many events for a program that does not read them, and drops the rest (inotify(7)).
#[test]
fn what_the_kernel_did_not_tell_is_found() {
    const NAME: &str = "what_the_kernel_did_not_tell_is_found";
    let held = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap_or_default();
    let Some(held) = held.trim().parse::<usize>().ok().filter(|held| *held <= 50_000) else {
        return left_out(NAME, "the kernel holds too many events");
    };
    let server = Server::start();
    let before = cursor(&server);
    for file in ["late/goes", "late/stays"] {
        server.write(file, "text");
    }
    std::fs::create_dir(server.local("many")).unwrap();
    eventually(LIMIT, "they are told", || (since(&server, "/", &before).len() == 4).then_some(()));
    let begin = cursor(&server);
    server.request("PROPFIND", "/late/").header("depth", "1").expect(207);
    server.signal(Signal::STOP);
    for number in 0..held + 1000 {
        std::fs::write(server.local(format!("many/{number}")), "text").unwrap();
    }
    std::fs::remove_file(server.local("late/goes")).unwrap();
    std::fs::write(server.local("late/stays"), "other text").unwrap();
    server.signal(Signal::CONT);
    // What it shows is never older than what it could know.
    server.get("/late/goes").expect(404);
    let listed = server.request("PROPFIND", "/late/").header("depth", "1").expect(207).text();
    assert!(!listed.contains("/late/goes") && listed.contains(">10<"), "{listed}");
    let told = eventually(LIMIT, "all of it is told", || {
        let (mut at, mut told) = (begin.clone(), Vec::new());
        loop {
            let page = server.get(format!("/?changes&since={at}")).expect(200).json();
            told.extend(words(&page));
            page["cursor"].as_str().unwrap().clone_into(&mut at);
            if page["goes_on"] == false {
                break;
            }
        }
        (told.len() >= held + 1002).then_some(told)
    });
    let late: Vec<_> = told.iter().filter(|change| change.contains("/late/")).map(String::as_str).collect();
    assert_eq!(late.iter().filter(|change| **change == "deleted /late/goes").count(), 1, "{late:?}");
    assert_eq!(late.iter().filter(|change| **change == "replaced /late/stays").count(), 1, "{late:?}");
    let made: std::collections::HashSet<_> =
        told.iter().filter(|change| change.starts_with("created /many/")).collect();
    assert_eq!((told.len(), made.len()), (held + 1002, held + 1000), "each of them once");
}

#[test]
fn what_one_may_not_see_is_not_told() {
    let users = UsersFile::make(RULES);
    let server = Server::builder().value("--users", users.path().display()).start();
    let by = |name: &str, request: Request| signed(request, name, Way::Token, &users);
    let first = cursor_of(|| by("alice", server.get("/?changes")));
    std::fs::create_dir_all(server.local("mine/secret")).unwrap();
    eventually(LIMIT, "the folders are told", || {
        let told = by("alice", server.get(format!("/?changes&since={first}"))).expect(200).json();
        words(&told).contains(&"created /mine".to_owned()).then_some(())
    });
    let begin = cursor_of(|| by("alice", server.get("/?changes")));
    by("alice", server.put("/mine/f")).body("x").expect(201);
    by("alice", server.put("/top")).body("x").expect(201);
    server.write("mine/secret/s", "x");
    by("alice", server.request("MOVE", "/mine/f")).header("destination", "/shown").expect(201);
    by("alice", server.request("MOVE", "/top")).header("destination", "/mine/hidden").expect(201);
    let told = |name: &str| words(&by(name, server.get(format!("/?changes&since={begin}"))).expect(200).json());
    eventually(LIMIT, "alice hears of all", || (told("alice").len() == 4).then_some(()));
    assert_eq!(told("alice"), ["created /mine/f", "created /top", "moved /shown", "moved /mine/hidden"]);
    assert_eq!(told("bob"), ["created /top", "created /shown", "deleted /top"]);
    let page = by("bob", server.get(format!("/?changes&since={begin}"))).expect(200).text();
    assert!(!page.contains("mine") && !page.contains("secret"), "{page}");
    server.get(format!("/?changes&since={begin}")).expect(401);
    by("bob", server.get("/mine/?changes")).expect(404);
    let who = by("alice", server.get(format!("/?changes&since={begin}"))).expect(200).json();
    assert_eq!(who["changes"][0]["by"]["user"], "alice");
}

/// A stream of events, read line by line.
struct Events(BufReader<TcpStream>);

impl Events {
    fn open(server: &Server, target: &str, headers: &str) -> Self {
        Self::ask(TcpStream::connect(server.address()).unwrap(), server, target, headers)
    }

    /// One whose system takes so many bytes that it has not read yet, or twice as many (socket(7), `SO_RCVBUF`).
    fn open_with_buffer(server: &Server, target: &str, headers: &str, bytes: usize) -> Self {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        sockopt::set_socket_recv_buffer_size(&socket, bytes).unwrap();
        rustix::net::connect(&socket, &server.address()).unwrap();
        Self::ask(TcpStream::from(socket), server, target, headers)
    }

    fn ask(mut stream: TcpStream, server: &Server, target: &str, headers: &str) -> Self {
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        // Without chunks, whose frames would stand between its lines.
        write!(stream, "GET {target} HTTP/1.0\r\nHost: {}\r\n{headers}\r\n", server.address()).unwrap();
        Self(BufReader::new(stream))
    }

    /// The next event: its identifier, its kind and its data; `None` at the end.
    fn next(&mut self) -> Option<(String, String, Value)> {
        let (mut id, mut kind) = (String::new(), String::new());
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).expect("it is not silent for that long");
            // One that is cut off is none.
            if !line.ends_with('\n') {
                return None;
            }
            let line = line.trim_end();
            if let Some(value) = line.strip_prefix("id: ") {
                id = value.to_owned();
            } else if let Some(value) = line.strip_prefix("event: ") {
                kind = value.to_owned();
            } else if let Some(value) = line.strip_prefix("data: ") {
                return Some((id, kind, serde_json::from_str(value).unwrap()));
            }
        }
    }
}

#[test]
fn what_happens_is_told_as_it_does_and_from_where_one_was() {
    let mut server = Server::start();
    cursor(&server);
    let mut events = Events::open(&server, "/?events", "");
    let (begun, kind, data) = events.next().unwrap();
    assert_eq!((kind.as_str(), &data["complete"]), ("begin", &Value::Bool(true)));
    server.put("/a").body("1").expect(201);
    let (first, kind, data) = events.next().unwrap();
    assert_eq!((kind.as_str(), &data["kind"], &data["path"]), ("change", &"created".into(), &"/a".into()));
    assert_ne!(first, begun);
    server.write("program", "text");
    assert_eq!(events.next().unwrap().2["path"], "/program");
    drop(events);
    let mut again = Events::open(&server, "/?events", &format!("Last-Event-ID: {first}\r\n"));
    assert_eq!(again.next().unwrap().1, "begin");
    assert_eq!(again.next().unwrap().2["path"], "/program");
    let mut lost = Events::open(&server, "/?events", "Last-Event-ID: nonsense\r\n");
    assert_eq!(lost.next().unwrap().1, "reset");
    server.delete("/a").expect(204);
    assert_eq!(lost.next().unwrap().2["kind"], "deleted");
    let before = Instant::now();
    server.stop();
    while again.next().is_some() {}
    assert!(before.elapsed() < Duration::from_secs(9), "streams end when the server stops");
}

/// Much that happened before a client came again is told in pieces, and whole.
#[test]
fn all_of_much_is_told() {
    let server = Server::start();
    let begin = cursor(&server);
    for number in 0..700 {
        server.write(format!("d/{number}"), "text");
    }
    eventually(LIMIT, "all is told", || (since(&server, "/", &begin).len() >= 701).then_some(()));
    let mut events = Events::open(&server, &format!("/?events&since={begin}"), "");
    assert_eq!(events.next().unwrap().1, "begin");
    let told: Vec<_> = (0..701).map(|_| events.next().unwrap().2["path"].as_str().unwrap().to_owned()).collect();
    let wanted: Vec<_> =
        std::iter::once("/d".to_owned()).chain((0..700).map(|number| format!("/d/{number}"))).collect();
    let sorted = |mut paths: Vec<String>| {
        paths.sort();
        paths
    };
    assert_eq!(sorted(told), sorted(wanted));
}

/// A user who is taken away hears nothing any more.
#[test]
fn a_stream_ends_with_the_right_to_it() {
    let users = UsersFile::make(RULES);
    let server = Server::builder().value("--users", users.path().display()).start();
    cursor_of(|| signed(server.get("/?changes"), "bob", Way::Token, &users));
    let token = format!("Authorization: Bearer {}\r\n", crate::harness::users::token_of("bob"));
    let mut events = Events::open(&server, "/?events", &token);
    assert_eq!(events.next().unwrap().1, "begin");
    users.write("");
    server.write("later", "text");
    assert!(events.next().is_none());
}

/// Streams that are told the same share what is made for it: nobody hears more for that than they may, and nobody misses anything, whenever their
/// streams were opened.
#[test]
fn whoever_sees_the_same_is_told_the_same_and_nobody_else() {
    const SEEN: &str = "[[rules]]\npath = \"/\"\nwho = \"user:alice\"\nmay = \"write\"\n\
        [[rules]]\npath = \"/\"\nwho = \"user:bob\"\nmay = \"read\"\n\
        [[rules]]\npath = \"/\"\nwho = \"user:carl\"\nmay = \"write\"\n\
        [[rules]]\npath = \"/hidden\"\nwho = \"user:carl\"\nmay = \"none\"\n";
    let users = UsersFile::make(SEEN);
    let server = Server::builder().value("--users", users.path().display()).start();
    let by_alice = |request: Request| signed(request, "alice", Way::Token, &users);
    for folder in ["/hidden", "/open"] {
        by_alice(server.mkcol(folder)).expect(201);
    }
    cursor_of(|| by_alice(server.get("/?changes")));
    let open = |who: &'static str, folder: &str| {
        let token = format!("Authorization: Bearer {}\r\n", crate::harness::users::token_of(who));
        let mut events = Events::open(&server, &format!("{folder}/?events"), &token);
        assert_eq!(events.next().unwrap().1, "begin");
        (who, folder.to_owned(), events)
    };
    let mut streams = Vec::new();
    for round in 0..200 {
        if round % 20 == 0 {
            streams.extend(["alice", "bob", "carl"].map(|who| open(who, "")));
            streams.push(open("alice", "/open"));
        }
        let folder = if round % 3 == 0 { "/hidden" } else { "/open" };
        let path = format!("{folder}/{}", round % 7);
        if by_alice(server.put(&path)).body(round.to_string()).expect_any(&[201, 204]).status == 204 && round % 5 == 0 {
            by_alice(server.delete(&path)).expect(204);
        }
    }
    by_alice(server.put("/open/end")).body("end").expect(201);
    for (nth, (who, folder, mut events)) in streams.into_iter().enumerate() {
        let story = format!("{who} of {folder:?}, {nth}");
        let mut told = BTreeMap::new();
        while !told.contains_key("/open/end") {
            let (_, kind, data) = events.next().unwrap();
            assert_eq!(kind, "change", "{story}: {data}");
            let path = data["path"].as_str().unwrap().to_owned();
            assert_eq!(data["by"]["user"].as_str(), (who != "bob").then_some("alice"), "{story}: {data}");
            assert!(who != "carl" || !path.starts_with("/hidden"), "{story}: {data}");
            assert!(path.starts_with(&folder), "{story}: {data}");
            told.insert(path, (data["kind"] != "deleted").then(|| data["tag"].as_str().unwrap().to_owned()));
        }
        // What was told last of a file is what it is now.
        for (path, tag) in &told {
            let there = by_alice(server.head(path)).send();
            assert_eq!(tag.as_deref(), (there.status == 200).then(|| there.tag()).as_deref(), "{story}: {path}");
        }
        let hidden = told.keys().filter(|path| path.starts_with("/hidden")).count();
        let sees_hidden = matches!(who, "alice" | "bob") && folder.is_empty();
        // Whoever was there from the beginning has heard of all.
        if nth < 4 {
            assert_eq!((told.len() - hidden, hidden), (8, if sees_hidden { 7 } else { 0 }), "{story}: {told:?}");
        }
    }
}

/// What was made to be sent waits for a client that is slow. What it may not see any more by then it is not told: its stream ends, and goes on with what
/// it may see when it comes again.
#[test]
fn a_slow_client_is_not_told_what_it_may_not_see_any_more() {
    const ALL: &str = "[[rules]]\npath = \"/\"\nwho = \"user:carl\"\nmay = \"write\"\n";
    const HIDDEN: &str = "[[rules]]\npath = \"/hidden\"\nwho = \"user:carl\"\nmay = \"none\"\n";
    const FILES: usize = 2500;
    let users = UsersFile::make(ALL);
    let server = Server::builder().value("--users", users.path().display()).start();
    let changes = |query: &str| signed(server.get(format!("/?changes{query}")), "carl", Way::Token, &users);
    std::fs::create_dir_all(server.local("hidden")).unwrap();
    std::fs::create_dir_all(server.local("open")).unwrap();
    let begin = eventually(LIMIT, "both folders are told of", || {
        let told = changes("").expect(200).json();
        let there = signed(server.get("/?json"), "carl", Way::Token, &users).expect(200).text();
        (told["complete"] == true && there.contains("hidden")).then(|| told["cursor"].as_str().unwrap().to_owned())
    });
    // Together they are more than the buffers between the two hold.
    let long = "x".repeat(200);
    for number in 0..FILES {
        let path = format!("/{}/{number}-{long}", if number % 2 == 0 { "hidden" } else { "open" });
        signed(server.put(path), "carl", Way::Token, &users).body("text").expect(201);
    }
    let token = format!("Authorization: Bearer {}\r\n", crate::harness::users::token_of("carl"));
    let mut slow = Events::open_with_buffer(&server, &format!("/?events&since={begin}"), &token, 32 << 10);
    assert_eq!(slow.next().unwrap().1, "begin");
    let mut last = slow.next().unwrap().0;
    std::thread::sleep(Duration::from_millis(1500));
    users.write(&format!("{}{ALL}{HIDDEN}", crate::harness::users::users()));
    std::thread::sleep(Duration::from_millis(500));
    let mut seen = 0;
    while let Some((id, _, data)) = slow.next() {
        (last, seen) = (id, seen + 1);
        assert!(seen < FILES - 1, "all were told of, up to {data}");
    }
    let mut again = Events::open(&server, "/?events", &format!("{token}Last-Event-ID: {last}\r\n"));
    assert_eq!(again.next().unwrap().1, "begin");
    signed(server.put("/open/end"), "carl", Way::Token, &users).body("text").expect(201);
    loop {
        let (_, kind, data) = again.next().unwrap();
        let path = data["path"].as_str().unwrap_or_else(|| panic!("{kind} {data}"));
        assert!(!path.starts_with("/hidden"), "{data}");
        if path == "/open/end" {
            break;
        }
    }
}

/// How many files are in the folder whose copy is watched; it takes long enough to be seen, also where other tests run beside it.
const COPIED: u64 = 20_000;

/// A folder with a folder `many` in it, which holds so many files and 20 folders.
fn folder_with_many() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let first = folder.path().join("many/0/0");
    for inner in 0..20 {
        let inner = folder.path().join(format!("many/{inner}"));
        std::fs::create_dir_all(&inner).unwrap();
        for number in 0..COPIED / 20 {
            let file = inner.join(number.to_string());
            if file == first {
                std::fs::write(file, "text").unwrap();
            } else {
                std::fs::hard_link(&first, file).unwrap();
            }
        }
    }
    folder
}

/// A copy appears whole; how far it has come is told meanwhile, to those who may see where it is to be, and nothing of it is there if nobody waits for it.
#[test]
fn how_far_a_copy_has_come_is_told() {
    let users = UsersFile::make(RULES);
    let folder = folder_with_many();
    std::fs::create_dir(folder.path().join("mine")).unwrap();
    let server = Server::builder().folder(folder.path()).value("--users", users.path().display()).start();
    cursor_of(|| signed(server.get("/?changes"), "alice", Way::Token, &users));
    let [alice, bob] =
        ["alice", "bob"].map(|who| format!("Authorization: Bearer {}\r\n", crate::harness::users::token_of(who)));
    let (mut seen, mut unseen) = (Events::open(&server, "/?events", &alice), Events::open(&server, "/?events", &bob));
    assert_eq!((seen.next().unwrap().1, unseen.next().unwrap().1), ("begin".to_owned(), "begin".to_owned()));
    let copy = signed(server.request("COPY", "/many"), "alice", Way::Token, &users).header("destination", "/mine/copy");
    let copying = std::thread::spawn(move || copy.expect(201));
    let mut counts = Vec::new();
    loop {
        let (_, kind, data) = seen.next().unwrap();
        if kind != "copying" {
            continue;
        }
        assert_eq!(data["path"], "/mine/copy");
        assert_eq!(data["of"], COPIED + 20, "{data}");
        counts.push(data["members"].as_u64().unwrap());
        if data["over"] == true {
            break;
        }
    }
    copying.join().unwrap();
    assert!(counts.len() > 1 && counts.is_sorted() && counts[0] > 0, "{counts:?}");
    assert!(counts.iter().all(|count| *count <= COPIED + 20), "{counts:?}");
    signed(server.put("/after"), "alice", Way::Token, &users).body("").expect(201);
    loop {
        let (_, kind, data) = unseen.next().unwrap();
        assert_ne!(kind, "copying", "{data}");
        if data["path"] == "/after" {
            break;
        }
    }
}

/// Whoever goes away while it is made does not want it any more.
#[test]
fn a_copy_that_nobody_waits_for_leaves_nothing() {
    let folder = folder_with_many();
    let server = Server::builder().folder(folder.path()).start();
    cursor(&server);
    let mut events = Events::open(&server, "/?events", "");
    assert_eq!(events.next().unwrap().1, "begin");
    let mut connection = server.connect();
    connection.write(server.request("COPY", "/many").header("destination", "/copy").head());
    while events.next().unwrap().1 != "copying" {}
    assert_ne!(std::fs::read_dir(server.local(".noclobber/uploads")).unwrap().count(), 0);
    connection.break_off();
    let over = loop {
        let (_, kind, data) = events.next().unwrap();
        assert!(kind == "copying", "nothing appears: {kind} {data}");
        if data["over"] == true {
            break data;
        }
    };
    assert!(over["members"].as_u64().unwrap() < COPIED, "{over}");
    server.get("/copy").expect(404);
    let left = eventually(LIMIT, "nothing is left of it", || {
        let names = std::fs::read_dir(server.local(".noclobber/uploads")).expect("the copy was begun there");
        Some(names.count()).filter(|left| *left == 0)
    });
    assert_eq!(left, 0);
}
