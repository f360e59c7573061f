//! Requests made to hurt: bodies of XML that grow, nest or never end, headers as long as they may be, and more locks than anybody needs.
//! Each is refused for little time and little memory, which are measured on the running server and printed.

use std::io::Write as _;
use std::time::{Duration, Instant};

use noclobber::model::lock::{Lock, Pins, Reach, Scope};
use noclobber::model::lock_table::{LockLimits, Locks, NotAdded};
use noclobber::model::lock_token::LockToken;
use noclobber::model::path::SharePath;
use noclobber::model::principal::Principal;
use noclobber::model::stamp::Timestamp;

use crate::harness::client::tag_of;
use crate::harness::dav::{NAMESPACES, lock_info};
use crate::harness::{Dice, Request, Server, full, heavy, report};

const KIBIBYTE: u64 = 1024;

/// How much time of the processor one of these requests may take.
const CPU_MAX: Duration = Duration::from_millis(50);

/// How much memory they may take, in bytes.
const MEMORY_MAX: u64 = 2 << 20;

/// How often each is sent: the kernel counts the time in hundredths of a second.
const RUNS: u32 = 10;

/// What a bomb may be answered with.
const REFUSED: [u16; 3] = [400, 403, 413];

/// How long the process has run on a processor so far.
fn cpu_time(server: &Server) -> Duration {
    let stat =
        std::fs::read_to_string(format!("/proc/{}/stat", server.process_id())).expect("the figures of the process");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("what follows the name").split_ascii_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// Lets the highest mark of the memory begin at what is held now.
fn begin_anew(server: &Server) -> u64 {
    std::fs::write(format!("/proc/{}/clear_refs", server.process_id()), "5").expect("the mark can be taken back");
    server.memory("VmHWM")
}

/// What one of several requests took: time of the processor, and memory at the most.
fn cost_of(server: &Server, mut send: impl FnMut(&Server)) -> (Duration, u64) {
    let (memory, cpu) = (begin_anew(server), cpu_time(server));
    for _ in 0..RUNS {
        send(server);
    }
    ((cpu_time(server) - cpu) / RUNS, server.memory("VmHWM").saturating_sub(memory))
}

/// The first requests of each kind, whose costs come but once.
fn warm_up(server: &Server) {
    server.write("a.txt", "text");
    let large = format!("<D:propfind {NAMESPACES}><D:prop>{}</D:prop></D:propfind>", "<D:getetag/>".repeat(1000));
    for _ in 0..30 {
        server.propfind("/a.txt", "0").xml(&large).expect(207);
        server.propfind("/a.txt", "0").xml("x".repeat(200_000)).expect_any(&REFUSED);
        server.propfind("/a.txt", "0").xml(vec![b' '; 250_000]).expect_any(&REFUSED);
        server.proppatch("/a.txt", &"<D:set><D:prop><t:a/></D:prop></D:set>".repeat(6_000)).send();
    }
}

#[track_caller]
fn expect_cheap(what: &str, (cpu, memory): (Duration, u64)) {
    report(&format!(
        "{what}: {:.1} ms of CPU each, {} KiB more at most",
        cpu.as_secs_f64() * 1000.0,
        memory / KIBIBYTE
    ));
    assert!(cpu <= CPU_MAX, "{what}: {cpu:?}");
    assert!(memory <= MEMORY_MAX, "{what}: {memory} bytes");
}

/// Bodies of XML that grow, refer outwards, nest, or have more of everything than anybody needs.
#[test]
fn bombs_of_xml_are_refused_for_little() {
    let _turn = heavy();
    let server = Server::with("--no-watch").start();
    warm_up(&server);
    let laughs: String =
        (1..10).map(|n| format!("<!ENTITY l{n} \"{}\">", format!("&l{};", n - 1).repeat(10))).collect();
    let dav = "xmlns:D=\"DAV:\"";
    let attributes = |count: usize| (0..count).map(|n| format!(" a{n}=\"\"")).collect::<String>();
    let namespaces = |count: usize| (0..count).map(|n| format!(" xmlns:n{n}=\"urn:{n}\"")).collect::<String>();
    let bombs: Vec<(&str, String)> = vec![
        (
            "a billion laughs",
            format!("<!DOCTYPE D:propfind [<!ENTITY l0 \"lol\">{laughs}]><D:propfind {dav}>&l9;</D:propfind>"),
        ),
        (
            "an external entity",
            format!(
                "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><D:propfind {dav}><D:prop>&x;</D:prop></D:propfind>"
            ),
        ),
        (
            "an external parameter entity",
            format!(
                "<!DOCTYPE a [<!ENTITY % x SYSTEM \"http://127.0.0.1:9/\"> %x;]><D:propfind {dav}><D:allprop/></D:propfind>"
            ),
        ),
        (
            "an external document type",
            format!("<!DOCTYPE a SYSTEM \"file:///dev/zero\"><D:propfind {dav}><D:allprop/></D:propfind>"),
        ),
        ("an entity without a type", format!("<D:propfind {dav}><D:prop>&x;</D:prop></D:propfind>")),
        ("800,000 attributes", format!("<D:propfind {dav}{}><D:allprop/></D:propfind>", attributes(800_000))),
        ("20,000 attributes", format!("<D:propfind {dav}{}><D:allprop/></D:propfind>", attributes(20_000))),
        ("10,000 namespaces", format!("<D:propfind {dav}{}><D:allprop/></D:propfind>", namespaces(10_000))),
        (
            "depth 100,000",
            format!(
                "<D:propfind {dav}><D:prop>{}{}</D:prop></D:propfind>",
                "<a>".repeat(100_000),
                "</a>".repeat(100_000)
            ),
        ),
        (
            "depth 30,000",
            format!(
                "<D:propfind {dav}><D:prop>{}{}</D:prop></D:propfind>",
                "<a>".repeat(30_000),
                "</a>".repeat(30_000)
            ),
        ),
        ("depth 60,000 that never ends", format!("<D:propfind {dav}><D:prop>{}", "<a>".repeat(60_000))),
        ("60,000 properties", format!("<D:propfind {dav}><D:prop>{}</D:prop></D:propfind>", "<a/>".repeat(60_000))),
        ("one long name", format!("<D:propfind {dav}><D:prop><{}/></D:prop></D:propfind>", "a".repeat(250_000))),
        ("one long attribute", format!("<D:propfind {dav} a=\"{}", "a".repeat(250_000))),
        ("250,000 opening brackets", "<".repeat(250_000)),
        ("250,000 ampersands", format!("<D:propfind {dav}>{}", "&".repeat(250_000))),
        ("a comment that never ends", format!("<!--{}", "-".repeat(250_000))),
        ("a section that never ends", format!("<D:propfind {dav}><![CDATA[{}", "]".repeat(250_000))),
        ("60,000 declarations", "<?xml version=\"1.0\"?>".repeat(12_000)),
    ];
    for (what, body) in &bombs {
        for method in ["PROPFIND", "PROPPATCH", "LOCK", "MKCOL"] {
            let body = body.replace(
                "D:propfind",
                match method {
                    "PROPFIND" => "D:propfind",
                    "PROPPATCH" => "D:propertyupdate",
                    "LOCK" => "D:lockinfo",
                    _ => "D:mkcol",
                },
            );
            let target = if method == "MKCOL" { "/new" } else { "/a.txt" };
            let request = server.request(method, target).depth("0").xml(&body);
            let cost = cost_of(&server, |_| {
                // Who is told before he has sent everything may find the connection closed.
                if let Ok(answer) = request.clone().try_send() {
                    // 415 is the answer of MKCOL to a body of another type.
                    let refused = REFUSED.contains(&answer.status) || (method == "MKCOL" && answer.status == 415);
                    assert!(refused, "{what}, {method}: {answer}");
                }
            });
            expect_cheap(&format!("{what}, {method}"), cost);
        }
    }
    server.get("/a.txt").expect_body("text");
    assert!(!server.local("new").exists());
    assert!(server.tokens_on("/a.txt").is_empty());
}

/// The same where a property is set: values that grow, nest and repeat are bounded too, and what is within the bounds is cheap.
#[test]
fn bombs_in_values_are_refused_for_little() {
    let _turn = heavy();
    let server = Server::with("--no-watch").start();
    warm_up(&server);
    let value = |inside: &str| format!("<D:set><D:prop><t:a>{inside}</t:a></D:prop></D:set>");
    let declared: String = (0..60).map(|n| format!(" xmlns:n{n}=\"urn:{}\"", "x".repeat(1000))).collect();
    for (what, instructions) in [
        ("a deep value", value(&("<b>".repeat(20_000) + &"</b>".repeat(20_000)))),
        ("a value of many elements", value(&"<b/>".repeat(50_000))),
        ("many properties", "<D:set><D:prop><t:a/></D:prop></D:set>".repeat(6_000)),
        (
            "many properties under long declarations",
            format!("<D:set><D:prop{declared}>{}</D:prop></D:set>", "<n0:a/>".repeat(1000)),
        ),
        ("many owners", "<D:owner>x</D:owner>".repeat(10_000)),
    ] {
        let request = server.proppatch("/a.txt", &instructions);
        let cost = cost_of(&server, |_| {
            request.clone().expect_any(&[400, 403, 413, 507]);
        });
        expect_cheap(what, cost);
    }
    let owner = format!("<D:owner>{}</D:owner>", "<b/>".repeat(20_000));
    let request = server.request("LOCK", "/a.txt").depth("0").xml(lock_info("exclusive", &owner));
    let cost = cost_of(&server, |_| {
        request.clone().expect_any(&[400, 413, 503]);
    });
    expect_cheap("a long owner", cost);
    assert!(server.tokens_on("/a.txt").is_empty());
    assert_eq!(server.properties("/a.txt", "<t:a/>").status_of("{urn:t}a"), Some(404));
}

/// A gigabyte where a few kilobytes are expected: announced, and in chunks that only end when the server has had enough.
#[test]
fn a_gigabyte_of_xml_is_not_read() {
    let _turn = heavy();
    let server = Server::with("--no-watch").start();
    warm_up(&server);
    let total = std::cell::Cell::new(0_u64);
    let send = |server: &Server, request: &Request, framing: &str| {
        let mut connection = server.connect();
        let head = request.head();
        let head = String::from_utf8(head).unwrap().replace("\r\n\r\n", &format!("\r\n{framing}\r\n\r\n"));
        connection.write(head);
        let chunk = [format!("{:x}\r\n", 1 << 20).into_bytes(), vec![b' '; 1 << 20], b"\r\n".to_vec()].concat();
        let begun = Instant::now();
        let mut sent = 0_u64;
        let stream = connection.stream().try_clone().unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
        while sent < 1 << 30 && (&stream).write_all(&chunk).is_ok() && begun.elapsed() < Duration::from_secs(10) {
            sent += 1 << 20;
        }
        total.set(total.get() + (sent >> 20));
        // The answer may be lost behind what was not read; where it is there, it is a refusal.
        if let Ok(answer) = connection.try_answer("PROPFIND") {
            assert!(matches!(answer.status, 400 | 403 | 413 | 415), "{answer}");
        }
    };
    for method in ["PROPFIND", "PROPPATCH", "LOCK", "MKCOL", "DELETE", "COPY", "MOVE", "UNLOCK"] {
        for framing in ["Content-Length: 1073741824", "Transfer-Encoding: chunked"] {
            let target = if method == "MKCOL" { "/new" } else { "/a.txt" };
            let request = server.request(method, target).depth("0").header("Content-Type", "application/xml");
            let request = request.header("Destination", "/b.txt").header("Lock-Token", "<urn:x:y>");
            let cost = cost_of(&server, |server| send(server, &request, framing));
            let sent = total.take() / u64::from(RUNS);
            expect_cheap(&format!("1 GiB, {method}, {framing}, of which {sent} MiB were sent"), cost);
        }
    }
    let announced = server.propfind("/a.txt", "0").header("Content-Length", "1073741824");
    let mut connection = server.connect();
    connection.write(announced.head());
    connection.answer("PROPFIND").expect(413);
    server.get("/a.txt").expect_body("text");
    assert_eq!(server.names(""), ["a.txt"]);
}

/// Random bytes, and bodies that were right before somebody changed a few bytes of them.
#[test]
fn random_bytes_are_refused_for_little() {
    let _turn = heavy();
    let server = Server::with("--no-watch").start();
    warm_up(&server);
    let mut dice = Dice::shaken("random_bytes_are_refused_for_little");
    let bodies: Vec<Vec<u8>> = (0..200)
        .map(|_| {
            let length = 1 + dice.below(20_000) as usize;
            dice.bytes(length)
        })
        .collect();
    let mut connection = server.connect();
    let cost = cost_of(&server, |server| {
        for (at, body) in bodies.iter().enumerate() {
            let method = ["PROPFIND", "PROPPATCH", "LOCK"][at % 3];
            let answer = connection.send(&server.request(method, "/a.txt").depth("0").xml(body));
            assert!(REFUSED.contains(&answer.status), "{answer}");
        }
    });
    expect_cheap("random bytes", (cost.0 / 200, cost.1));

    let right = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><D:propfind {NAMESPACES}><D:prop><D:getetag/><t:a x=\"y\"/></D:prop></D:propfind>"
    );
    for _ in 0..2000 {
        let mut body = right.clone().into_bytes();
        for _ in 0..=dice.below(4) {
            let at = dice.below(body.len() as u64) as usize;
            body[at] = b"<>/&;\"' =:DAVxml\0\xff"[dice.below(18) as usize];
        }
        let answer = connection.send(&server.propfind("/a.txt", "0").xml(&body));
        assert!(matches!(answer.status, 207 | 400 | 403 | 413), "{:?}: {answer}", String::from_utf8_lossy(&body));
        if answer.status == 207 {
            answer.multistatus();
        }
    }
}

/// Headers as long as they may be, of as many parts as fit.
#[test]
fn long_headers_cost_little() {
    let _turn = heavy();
    let server = Server::with("--no-watch").start();
    warm_up(&server);
    let lists = "(<urn:x:y>)".repeat(2800);
    let tagged = "</a/b/c> (Not <urn:x:y> [\"e\"]) ".repeat(950);
    let many = (0..1500).map(|n| format!("</{n}> ([\"e\"]) ")).collect::<String>();
    let deep = format!("/{}", "a/".repeat(1900));
    for (what, name, value) in [
        ("2,800 lists", "If", lists),
        ("950 tagged lists", "If", tagged),
        ("1,500 places", "If", many),
        ("30,000 opening brackets", "If", "(".repeat(30_000)),
        ("a long token", "If", format!("(<urn:{}>)", "x".repeat(30_000))),
        ("a deep destination", "Destination", deep),
        ("a long destination", "Destination", format!("/{}", "%41".repeat(10_000))),
        ("many timeouts", "Timeout", "Second-1000000, x-".repeat(1700)),
        ("a long timeout", "Timeout", format!("Second-{}", "9".repeat(30_000))),
        ("a long depth", "Depth", "0".repeat(30_000)),
        ("6,000 tags", "If-Match", "\"e\", ".repeat(6000)),
        ("a long tag", "If-Match", format!("\"{}\"", "e".repeat(30_000))),
        ("no list of tags", "If-Match", "\"".repeat(29_999)),
        ("4,000 weak tags, and what is no tag", "If-None-Match", "W/\"e\",".repeat(4000) + "*"),
        ("6,000 tags, the last of them of this content", "If-None-Match", "\"e\",".repeat(6000) + &tag_of("text")),
        ("3,000 wanted digests", "Want-Repr-Digest", "sha-256=9,".repeat(2900) + "a=1"),
        ("a long wanted digest", "Want-Repr-Digest", format!("{}=1", "a".repeat(30_000))),
        ("3,000 checksums", "OC-Checksum", "SHA1:0123 ".repeat(3000)),
        ("a long checksum", "OC-Checksum", format!("SHA1:{}", "0".repeat(30_000))),
        ("4,900 preferences", "Prefer", "a=\"b\",".repeat(4900)),
        ("a long preference", "Prefer", format!("return=\"{}\"", "\\\\".repeat(14_000))),
    ] {
        let request = match name {
            "Destination" => server.copying("/a.txt", value),
            "Timeout" => server.lock("/a.txt", "exclusive", "1").header(name, value),
            "Depth" => server.request("PROPFIND", "/a.txt").header(name, value),
            "If-None-Match" | "Want-Repr-Digest" => server.get("/a.txt").header(name, value),
            "Prefer" => server.propfind("/a.txt", "0").header(name, value),
            _ => server.put("/a.txt").header(name, value).body("new"),
        };
        let cost = cost_of(&server, |_| {
            request.clone().expect_any(&[200, 207, 304, 400, 403, 404, 409, 412, 414, 431]);
        });
        expect_cheap(what, cost);
    }
    assert_eq!(server.read("a.txt"), "text");
}

/// A million locks in one table: beyond the limit none is added, and each question stays as quick as the first.
#[test]
fn a_million_locks_stay_within_the_bounds() {
    let _turn = heavy();
    let limits = LockLimits::default();
    let mut locks = Locks::new(limits);
    let now = Timestamp::new(0, 0);
    let place = |number: u32| SharePath::parse_disk(format!("d/{}/{number}", number % 100).as_bytes()).expect("a path");
    let begun = Instant::now();
    let (mut added, mut refused) = (0_usize, 0_usize);
    for number in 0..1_000_000_u32 {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        let lock = Lock {
            token: LockToken::from_random(bytes),
            root: place(number),
            scope: Scope::Exclusive,
            reach: Reach::Below,
            owner: Some("<D:owner xmlns:D=\"DAV:\">somebody</D:owner>".into()),
            holder: Principal::Anonymous,
            taken_from: None,
            timeout: Some(Duration::from_secs(600)),
            expires: now.plus(Duration::from_secs(600)),
            pin: None,
            pins_below: Pins::default(),
            made: None,
        };
        match locks.add(lock, now) {
            Ok(_) => added += 1,
            Err(NotAdded::Full | NotAdded::FullForAddress) => refused += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    report(&format!("1,000,000 locks: {added} taken, {refused} refused, in {:?}", begun.elapsed()));
    assert!(added <= limits.locks_max && added > 1000 && added == locks.len());
    assert_eq!(locks.expire(now.plus(Duration::from_secs(601))).len(), added);
    assert!(locks.is_empty());
}

/// As many locks over the wire as a hostile client sends in half a minute: the memory stays within its bound, and others are served.
#[test]
fn a_storm_of_locks_stays_within_the_bounds() {
    let _turn = heavy();
    let count = if full() { 200_000 } else { 50_000 };
    let server = Server::with("--no-sync").option("--no-watch").option("--no-history").start();
    warm_up(&server);
    let before = server.memory("VmRSS");
    let begun = Instant::now();
    let (connections, batch) = (4, 100);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..connections)
            .map(|client| {
                let server = &server;
                scope.spawn(move || {
                    let mut connection = server.connect();
                    let mut statuses = Vec::new();
                    for first in (0..count / connections).step_by(batch) {
                        let mut bytes = Vec::new();
                        for number in first..first + batch {
                            let body = lock_info("exclusive", "<D:owner>somebody who floods</D:owner>");
                            let request = server.request("LOCK", format!("/{client}-{number}")).depth("0").xml(&body);
                            bytes.extend_from_slice(&request.head());
                            bytes.extend_from_slice(body.as_bytes());
                        }
                        connection.write(&bytes);
                        statuses.extend((0..batch).map(|_| connection.answer("LOCK").status));
                        if begun.elapsed() > Duration::from_secs(50) {
                            break;
                        }
                    }
                    statuses
                })
            })
            .collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    let taken = statuses.iter().filter(|status| **status == 201).count();
    let refused = statuses.iter().filter(|status| **status == 503).count();
    let grown = server.memory("VmRSS").saturating_sub(before);
    report(&format!(
        "{} LOCKs in {:?}: {taken} taken, {refused} refused, {} KiB more, {:.1} s of CPU",
        statuses.len(),
        begun.elapsed(),
        grown / KIBIBYTE,
        cpu_time(&server).as_secs_f64(),
    ));
    assert_eq!(taken + refused, statuses.len(), "{:?}", statuses.iter().find(|status| !matches!(status, 201 | 503)));
    assert!(taken <= LockLimits::default().locks_max);
    assert_eq!(server.names("").len(), taken + 1, "what could not be locked was not made");
    assert!(grown <= 96 << 20, "{grown} bytes");
    let quick = Instant::now();
    server.propfind("/a.txt", "0").expect(207);
    server.put("/a.txt").body("still served").expect(204);
    assert!(quick.elapsed() < Duration::from_secs(5));
}
