//! The state machine of a connection: requests of every form, legal and not, one behind the other and cut into pieces everywhere, against a
//! simple reference. Each request has one answer, in order and with exactly its own body, or the connection ends within its times.
//! Requests come with the answers that are due, so the reference needs no parser of its own.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use actix_http::{Payload, Request, Response, StatusCode};
use actix_web::body::BoxBody;
use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use futures_util::StreamExt as _;
use noclobber::http::wire::rejection::Rejection;
use noclobber::http::wire::socket::Listener;
use noclobber::http::wire::transport::{self, Handler, Plain, Reads, Say, TransportSettings};
use tokio::sync::mpsc;

use crate::harness::Dice;

/// How long a connection may take to end.
const ENDS_WITHIN: Duration = Duration::from_secs(15);

// ---- the stories ----

/// Whatever is asked on one connection, and however the bytes are cut.
#[test]
fn every_request_has_its_own_answer_and_no_other() {
    let server = Server::start();
    for seed in seeds(250, "every_request_has_its_own_answer_and_no_other") {
        let dice = &mut Dice::new(seed);
        let pipeline = Pipeline::some(dice);
        let mut client = server.connect(seed);
        let mut rest = &pipeline.bytes[..];
        while !rest.is_empty() {
            let length = match dice.below(4) {
                0 => 1 + dice.below(3) as usize,
                1 => 1 + dice.below(60) as usize,
                _ => rest.len(),
            };
            let (piece, after) = rest.split_at(length.min(rest.len()));
            rest = after;
            if !client.send(piece) {
                break;
            }
            if dice.below(3) == 0 {
                std::thread::sleep(Duration::from_micros(dice.below(1500)));
            }
        }
        let told = client.read_to_the_end();
        pipeline.check(&told, pipeline.bytes.len(), &format!("seed {seed}"));
    }
}

/// The same pipelines in two pieces, cut at every byte.
#[test]
fn a_cut_anywhere_changes_nothing() {
    let server = Server::start();
    for seed in seeds(8, "a_cut_anywhere_changes_nothing") {
        let pipeline = Pipeline::some(&mut Dice::new(seed));
        let mut clients: Vec<_> = pipeline.cuts().map(|cut| (cut, server.connect(seed))).collect();
        for (cut, client) in &mut clients {
            client.send(&pipeline.bytes[..*cut]);
        }
        std::thread::sleep(Duration::from_millis(10));
        for (cut, client) in &mut clients {
            client.send(&pipeline.bytes[*cut..]);
        }
        for (cut, client) in clients {
            let told = client.read_to_the_end();
            pipeline.check(&told, pipeline.bytes.len(), &format!("seed {seed}, cut at {cut}"));
        }
    }
}

/// A client that falls silent at any byte, or closes its side there: what was asked before is answered, and the connection ends.
#[test]
fn silence_anywhere_ends_the_connection() {
    let server = Server::start_with(Duration::from_secs(1));
    for seed in seeds(3, "silence_anywhere_ends_the_connection") {
        let pipeline = Pipeline::some(&mut Dice::new(seed));
        for closes in [false, true] {
            let begun = Instant::now();
            let clients: Vec<_> = pipeline
                .cuts()
                .map(|cut| {
                    let mut client = server.connect(seed);
                    client.send(&pipeline.bytes[..cut]);
                    if closes {
                        client.finish_writing();
                    }
                    (cut, client)
                })
                .collect();
            for (cut, client) in clients {
                let told = client.read_to_the_end();
                pipeline.check(&told, cut, &format!("seed {seed}, silent from {cut} on, closed: {closes}"));
            }
            assert!(begun.elapsed() < ENDS_WITHIN, "seed {seed}, closed: {closes}: {:?}", begun.elapsed());
        }
    }
}

/// What cannot be a request, behind nothing and behind a request of every form: one refusal that says it is the last, and the end. Nothing
/// that stands behind it is done.
#[test]
fn what_is_no_request_is_refused_and_ends_the_connection() {
    let server = Server::start();
    let trap = "GET /trap HTTP/1.1\r\nHost: a\r\n\r\n";
    for (malformed, status) in malformed() {
        for before in [None, Some(Asked::get("/a")), Some(Asked::chunked("/b")), Some(Asked::sized("/c"))] {
            let mut pipeline = Pipeline::default();
            pipeline.asked.extend(before);
            pipeline.asked.push(Asked::refused(&malformed, status));
            pipeline.write();
            pipeline.bytes.extend_from_slice(trap.as_bytes());
            for closes in [false, true] {
                let mut client = server.connect(1);
                client.send(&pipeline.bytes);
                if closes {
                    client.finish_writing();
                }
                let begun = Instant::now();
                let told = client.read_to_the_end();
                let story = malformed.escape_debug().to_string();
                let story = &story[..story.len().min(120)];
                assert!(begun.elapsed() < ENDS_WITHIN, "{story}: {:?}", begun.elapsed());
                pipeline.check(&told, pipeline.bytes.len(), story);
            }
        }
    }
}

/// A refusal before `100 Continue` of a request that has no body: the connection goes on as after any other answer.
#[test]
fn a_refusal_without_a_body_gives_the_turn_on() {
    let server = Server::start();
    for (length, method) in [("Content-Length: 0\r\n", "PUT"), ("", "PUT"), ("", "GET"), ("", "DELETE")] {
        let refused = format!("{method} /refuse HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n{length}\r\n");
        let mut pipeline = Pipeline::default();
        for _ in 0..3 {
            pipeline.asked.push(Asked { text: refused.clone(), ..Asked::of(412, "refused") });
            pipeline.asked.push(Asked::get("/a"));
        }
        pipeline.asked.push(Asked::last("/b"));
        pipeline.write();
        let mut client = server.connect(1);
        client.send(&pipeline.bytes);
        pipeline.check(&client.read_to_the_end(), pipeline.bytes.len(), &refused);
    }
}

/// Another minor version is spoken to as this one, and the offer of another protocol is not taken; neither changes what a body is.
#[test]
fn another_version_and_an_offered_protocol_change_nothing() {
    let server = Server::start();
    let mut pipeline = Pipeline::default();
    for fields in ["Upgrade: websocket\r\n", "Connection: Upgrade\r\nUpgrade: h2c\r\n", "Upgrade: a\r\nUpgrade: b\r\n"]
    {
        for version in ["HTTP/1.1", "HTTP/1.2", "HTTP/1.9"] {
            let put = format!("PUT /a {version}\r\nHost: a\r\n{fields}Content-Length: 5\r\n\r\nhello");
            pipeline.asked.push(Asked { text: put, ..Asked::of(201, &told("PUT", "/a", b"hello")) });
            let get = format!("GET /b {version}\r\nHost: a\r\n{fields}\r\n");
            pipeline.asked.push(Asked { text: get, ..Asked::of(200, &told("GET", "/b", b"")) });
        }
    }
    let connect = "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n";
    pipeline.asked.push(Asked { text: connect.to_owned(), closes: true, ..Asked::of(200, &told("CONNECT", "", b"")) });
    pipeline.write();
    let mut client = server.connect(1);
    client.send(&pipeline.bytes);
    pipeline.check(&client.read_to_the_end(), pipeline.bytes.len(), "versions and protocols");
}

/// The connection of a CONNECT is over once that is answered, whatever the answer is and though the client neither says more nor closes.
#[test]
fn a_refused_connect_ends_its_connection() {
    let server = Server::start_with(Duration::from_secs(60));
    let large = format!("X: {}\r\n", "x".repeat(40_000));
    for (fields, status) in [("", "200"), (&*large, "431"), ("Expect: 100-continue\r\n", "200")] {
        let mut client = server.connect(2);
        client.send(format!("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n{fields}\r\n").as_bytes());
        loop {
            let mut bytes = [0; 4096];
            let read = client.wire.read(&mut bytes).unwrap();
            client.told.extend_from_slice(&bytes[..read]);
            if read == 0 {
                break;
            }
        }
        // The server is gone altogether, and has not only ended its own side.
        let is_heard = |_| {
            std::thread::sleep(Duration::from_millis(1));
            client.wire.write_all(b"x").is_ok()
        };
        assert!(!(0..3000).all(is_heard), "the connection does not end");
        let told = String::from_utf8_lossy(&client.told).into_owned();
        assert!(told.contains(&format!("HTTP/1.1 {status}")), "{told}");
    }
}

/// Behind a body in chunks, too, what comes is a request only once the answer has left: so the edge never answers the rest of a head.
#[test]
fn half_a_head_behind_chunks_is_no_request() {
    let server = Server::start();
    let mut client = server.connect(1);
    client.send(b"GET /edge HTTP/1.1\r\nHost: a\r\n\r\n");
    client.read_until(b"edge");
    client.send(
        b"PUT /t HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /secret HTTP/1.1\r\nX: aaaa",
    );
    client.read_until(told("PUT", "/t", b"").as_bytes());
    client.send(b"GET /edge HTTP/1.1\r\nHost: a\r\n\r\n");
    client.finish_writing();
    let answers = String::from_utf8(client.read_to_the_end()).unwrap();
    assert!(answers.ends_with(&told("GET", "/secret", b"")) && !answers.contains("edge\n"), "{answers}");
}

// ---- the reference ----

/// A request, and the answer that is due.
#[derive(Clone, Debug, Default)]
struct Asked {
    text: String,
    is_head: bool,
    /// Whether the client asks before it sends the body, and is answered.
    continues: bool,
    status: u16,
    body: String,
    /// Whether nothing is answered behind it.
    closes: bool,
}

impl Asked {
    fn of(status: u16, body: &str) -> Self {
        Self { status, body: body.to_owned(), ..Self::default() }
    }

    fn get(path: &str) -> Self {
        Self { text: format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"), ..Self::of(200, &told("GET", path, b"")) }
    }

    fn last(path: &str) -> Self {
        let text = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        Self { text, closes: true, ..Self::of(200, &told("GET", path, b"")) }
    }

    fn sized(path: &str) -> Self {
        let text = format!("PUT {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        Self { text, ..Self::of(201, &told("PUT", path, b"abc")) }
    }

    fn chunked(path: &str) -> Self {
        let text = format!("PUT {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
        Self { text, ..Self::of(201, &told("PUT", path, b"abc")) }
    }

    fn refused(text: &str, status: u16) -> Self {
        Self { text: text.to_owned(), status, closes: true, ..Self::default() }
    }

    /// A request of any form that the server has to understand.
    fn some(dice: &mut Dice, number: usize) -> Self {
        let method = ["GET", "HEAD", "PUT", "PUT", "PUT", "DELETE"][dice.below(6) as usize];
        let kind = ["a", "large", "later", "refuse", "edge", "unread"][dice.below(6) as usize];
        let path = if matches!(kind, "refuse" | "edge") { format!("/{kind}") } else { format!("/{kind}{number}") };
        let is_old = dice.below(8) == 0;
        let version = if is_old { "HTTP/1.0" } else { ["HTTP/1.1", "HTTP/1.1", "HTTP/1.2"][dice.below(3) as usize] };
        let mut text = "\r\n".repeat(dice.below(2) as usize) + &format!("{method} {path} {version}\r\nHost: a\r\n");
        let connection = dice.below(10);
        text += match connection {
            0 => "Connection: close\r\n",
            1 => "Connection: Upgrade\r\nUpgrade: websocket\r\n",
            2 => "Upgrade: h2c\r\n",
            3 => "Connection: keep-alive\r\n",
            _ => "",
        };
        let length = if dice.below(3) == 0 { 0 } else { 1 + dice.below(40) as usize };
        let length = if dice.below(12) == 0 { length * 900 } else { length };
        let body: String =
            (0..length).map(|_| "GET / HTTP/1.1\r\n0;#x"[dice.below(20) as usize..].chars().next().unwrap()).collect();
        let framing = if method == "PUT" || dice.below(6) == 0 { dice.below(3) } else { 0 };
        let framing = if is_old && framing == 2 { 1 } else { framing };
        let expects = framing > 0 && !is_old && dice.below(5) == 0;
        text += if expects { "Expect: 100-continue\r\n" } else { "" };
        let body = match framing {
            1 => {
                write!(text, "Content-Length: {length}\r\n\r\n{body}").unwrap();
                body.as_str()
            }
            2 => {
                text += "Transfer-Encoding: chunked\r\n\r\n";
                text += &in_chunks(&body, dice);
                body.as_str()
            }
            _ => {
                text += "\r\n";
                ""
            }
        };
        // A body of no bytes that says so by its length is none.
        let has_body = framing == 2 || framing == 1 && length > 0;
        let is_refused_early = expects && kind == "refuse";
        let (status, told) = answer_to(method, &path, kind, body.as_bytes());
        Self {
            text,
            is_head: method == "HEAD",
            continues: expects && !is_refused_early,
            status,
            body: told,
            closes: is_old && connection != 3 || connection == 0 || is_refused_early && has_body,
        }
    }
}

/// What the server below answers to a request that has come whole.
fn answer_to(method: &str, path: &str, kind: &str, body: &[u8]) -> (u16, String) {
    match (method, kind) {
        (_, "refuse") => (412, "refused".to_owned()),
        ("GET" | "HEAD", "edge") if body.is_empty() => (200, format!("{kind}\n")),
        (_, "unread") => (200, told(method, path, b"")),
        ("PUT", _) => (201, told(method, path, body)),
        (_, "large") => (200, told(method, path, b"").repeat(5000)),
        _ => (200, told(method, path, b"")),
    }
}

/// What an answer says of its request: no other has the same.
fn told(method: &str, path: &str, body: &[u8]) -> String {
    let sum = body.iter().fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    format!("{method} {path} {} {sum:x}\n", body.len())
}

fn in_chunks(body: &str, dice: &mut Dice) -> String {
    let (mut text, mut rest) = (String::new(), body);
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at((1 + dice.below(20) as usize * rest.len().div_ceil(20)).min(rest.len()));
        rest = after;
        let extension = ["", "", ";a", ";a=b", " ;a=\"b;\\\" \""][dice.below(5) as usize];
        let zeros = "0".repeat(dice.below(3) as usize);
        write!(text, "{zeros}{:x}{extension}\r\n{chunk}\r\n", chunk.len()).unwrap();
    }
    let trailers = ["", "", "X: y\r\n", "GET: / HTTP/1.1\r\nHost: a\r\n"][dice.below(4) as usize];
    text + "0\r\n" + trailers + "\r\n"
}

/// What cannot be a request, and what it is answered with.
fn malformed() -> Vec<(String, u16)> {
    let mut all = Vec::new();
    for head in [
        "nonsense\r\n\r\n",
        "GET /x\r\n\r\n",
        "GET /x HTTP/1.1\r\n\r\n",
        "GET /x HTTP/2.0\r\nHost: a\r\n\r\n",
        "GET /x HTTP/1.23\r\nHost: a\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n",
        "PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nabc",
        "PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nabc",
        "PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\nabc",
        "PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\nabc",
        "PUT /x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "\0\r\n\r\n",
        "\r\n\r\n\r\n\r\n\r\n\r\n",
    ] {
        all.push((head.to_owned(), 400));
    }
    for chunks in [
        "\r\n",
        "g\r\n",
        "-1\r\n",
        " 1\r\nx",
        "1 \r\nx\r\n",
        "1;\r\nx\r\n",
        "1;a=\r\nx\r\n",
        "1;a=\"b\r\nx\r\n",
        "1\nx\n0\n\n",
        "2\r\nxxx\r\n0\r\n\r\n",
        "2\r\nxx0\r\n\r\n",
        "2\r\nxx\n0\r\n\r\n",
        "10000000000000000\r\nx",
        "ffffffffffffffffff\r\n",
        "0\r\nno colon\r\n\r\n",
        "0\r\n: a\r\n\r\n",
        "0\r\n a: b\r\n\r\n",
        "0\r\na: b\n\r\n",
        "0\r\n\n",
        "0\r\nGET /trap HTTP/1.1\r\n\r\n",
        "1\r\nx\r\n0\r\na\0: b\r\n\r\n",
    ] {
        let head = "PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        all.push((format!("{head}{chunks}"), 400));
        all.push((format!("{head}3\r\nabc\r\n{chunks}"), 400));
    }
    let head = "PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    all.push((format!("{head}1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(9000)), 400));
    all.push((format!("{head}0\r\na: {}\r\n\r\n", "b".repeat(9000)), 400));
    all.push((format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(70_000)), 414));
    all.push((format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(50_000)), 414));
    all.push((format!("GET /x HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(70_000)), 431));
    all.push((format!("GET /x HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(20_000)), 431));
    all
}

/// Requests one behind the other.
#[derive(Clone, Debug, Default)]
struct Pipeline {
    asked: Vec<Asked>,
    /// Where each of them ends.
    ends: Vec<usize>,
    bytes: Vec<u8>,
}

impl Pipeline {
    fn some(dice: &mut Dice) -> Self {
        let mut asked: Vec<Asked> = (0..1 + dice.below(6) as usize).map(|number| Asked::some(dice, number)).collect();
        match dice.below(4) {
            0 => {
                let all = malformed();
                let (text, status) = &all[dice.below(all.len() as u64 - 4) as usize];
                asked.push(Asked::refused(text, *status));
            }
            _ => asked.push(Asked::last("/last")),
        }
        let mut pipeline = Self { asked, ..Self::default() };
        pipeline.write();
        pipeline
    }

    fn write(&mut self) {
        for asked in &self.asked {
            self.bytes.extend_from_slice(asked.text.as_bytes());
            self.ends.push(self.bytes.len());
        }
    }

    /// Where a pipeline is cut: at every byte, or of a long one at the first and the last ones.
    fn cuts(&self) -> impl Iterator<Item = usize> + use<> {
        let length = self.bytes.len();
        (0..length).filter(move |cut| *cut < 500 || length - cut < 200)
    }

    /// Holds the answers to so many bytes against those that are due.
    #[track_caller]
    fn check(&self, told: &[u8], sent: usize, story: &str) {
        let mut answers = Answers(told);
        let say = |what: &str| {
            let asked = String::from_utf8_lossy(&self.bytes[..sent.min(3000)]);
            let told = String::from_utf8_lossy(&told[..told.len().min(3000)]);
            panic!("{story}: {what}\n--- asked ---\n{asked}\n--- told ---\n{told}")
        };
        for (asked, end) in self.asked.iter().zip(&self.ends) {
            let is_whole = *end <= sent;
            let mut next = answers.next(asked.is_head);
            if let Some(answer) = &next
                && answer.status == 100
            {
                if !asked.continues {
                    say("a 100 that nobody asked for");
                }
                next = answers.next(asked.is_head);
            }
            let Some(answer) = next else {
                if is_whole {
                    say(&format!("no answer to {:?}", asked.text));
                }
                break;
            };
            let is_due = answer.status == asked.status && (answer.is_head || answer.body == asked.body.as_bytes());
            if !is_whole && !is_due {
                // What did not come whole may be refused, in whatever words; then that is the end.
                if !matches!(answer.status, 400 | 408 | 412) || !answers.0.is_empty() {
                    say(&format!("{} and more to half a request", answer.status));
                }
                return;
            }
            if asked.body.is_empty() && asked.closes && answer.status == asked.status {
                if !answer.closes || !answers.0.is_empty() {
                    say(&format!("a refusal that does not end the connection: {}", answer.closes));
                }
                return;
            }
            if !is_due {
                say(&format!("{} to {:?}", answer.status, asked.text));
            }
            if asked.closes {
                break;
            }
            if answer.closes && is_whole {
                say(&format!("the connection closes after {:?}", asked.text));
            }
        }
        if !answers.0.is_empty() {
            say(&format!("more than was asked for: {:?}", String::from_utf8_lossy(answers.0)));
        }
    }
}

/// The bytes of answers that are still to be read.
struct Answers<'a>(&'a [u8]);

struct Answer {
    status: u16,
    closes: bool,
    is_head: bool,
    body: Vec<u8>,
}

impl Answers<'_> {
    /// The next answer, if it is there to its end.
    fn next(&mut self, is_head: bool) -> Option<Answer> {
        let end = self.0.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&self.0[..end]).to_lowercase();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let field = |name: &str| Some(head.split_once(&format!("\r\n{name}: "))?.1.split_once("\r\n")?.0.to_owned());
        let length = if is_head { 0 } else { field("content-length").map_or(0, |length| length.parse().unwrap()) };
        if self.0.len() < end + length {
            return None;
        }
        let body = self.0[end..end + length].to_vec();
        self.0 = &self.0[end + length..];
        let closes = field("connection").is_some_and(|connection| connection.contains("close"));
        Some(Answer { status, closes, is_head, body })
    }
}

/// A few fixed seeds and some that nobody has tried.
fn seeds(count: u64, test: &str) -> impl Iterator<Item = u64> {
    let mut dice = Dice::shaken(test);
    (1..=count).chain((0..count.div_ceil(4)).map(move |_| dice.roll()))
}

// ---- the server ----

/// Answers by the words in the path: `answer_to` says how.
struct Mirror {
    patience: Duration,
}

impl Handler for Mirror {
    fn at_the_edge(&self, plain: &Plain<'_>, say: &mut Say<'_>) -> bool {
        let body = if plain.reads == Reads::Get { "edge\n" } else { "" };
        let answers = plain.path == "/edge";
        if answers {
            say(&[b"HTTP/1.1 200 OK\r\n", b"content-length: 5\r\n"], &Bytes::from_static(body.as_bytes()));
        }
        answers
    }

    async fn early(&self, request: &Request) -> Result<(), Response<BoxBody>> {
        tokio::task::yield_now().await;
        match request.path() {
            "/refuse" => Err(Response::with_body(StatusCode::PRECONDITION_FAILED, BoxBody::new("refused"))),
            _ => Ok(()),
        }
    }

    async fn handle(&self, request: HttpRequest, body: &mut Payload) -> HttpResponse {
        let (method, path) = (request.method().clone(), request.path().to_owned());
        let kind = path.trim_start_matches('/').trim_end_matches(|c: char| c.is_ascii_digit());
        let mut bytes = Vec::new();
        if kind != "unread" && kind != "refuse" && method != Method::CONNECT {
            loop {
                match tokio::time::timeout(self.patience, body.next()).await {
                    Err(_) => return HttpResponse::RequestTimeout().finish(),
                    Ok(None) => break,
                    Ok(Some(Err(_))) => return HttpResponse::BadRequest().finish(),
                    Ok(Some(Ok(piece))) => bytes.extend_from_slice(&piece),
                }
            }
        }
        if kind == "later" {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        let (status, told) = answer_to(method.as_str(), &path, kind, &bytes);
        HttpResponse::build(StatusCode::from_u16(status).unwrap()).body(told)
    }

    fn reject(&self, _: &Request, rejection: Rejection) -> Response<BoxBody> {
        let status = match rejection {
            Rejection::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Rejection::TargetTooLong => StatusCode::URI_TOO_LONG,
            _ => StatusCode::BAD_REQUEST,
        };
        Response::with_body(status, BoxBody::new(()))
    }
}

/// A server in a thread of its own, stopped when dropped.
struct Server {
    address: SocketAddr,
    stop: mpsc::UnboundedSender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start() -> Self {
        Self::start_with(Duration::from_secs(10))
    }

    /// A server that waits for so long for whatever a client can let it wait for.
    fn start_with(patience: Duration) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let (stop, stopped) = mpsc::unbounded_channel();
        let settings = TransportSettings {
            header_time: patience,
            keep_alive: patience,
            write_stall: patience,
            linger_time: patience,
            ..TransportSettings::default()
        };
        let thread = std::thread::spawn(move || {
            let make = move || Mirror { patience };
            let serving = transport::serve(settings, vec![Listener::Tcp(socket)], make, stopped);
            actix_rt::System::new().block_on(serving).unwrap();
        });
        Self { address, stop, thread: Some(thread) }
    }

    fn connect(&self, seed: u64) -> Client {
        let wire = TcpStream::connect(self.address).unwrap();
        wire.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        wire.set_nodelay(true).unwrap();
        Client { wire, seed, told: Vec::new() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.stop.send(());
        let _ = self.stop.send(());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

// ---- the client ----

struct Client {
    wire: TcpStream,
    seed: u64,
    told: Vec<u8>,
}

impl Client {
    /// Sends, unless the server has had enough.
    fn send(&mut self, bytes: &[u8]) -> bool {
        self.wire.write_all(bytes).is_ok()
    }

    fn finish_writing(&self) {
        let _ = self.wire.shutdown(Shutdown::Write);
    }

    #[track_caller]
    fn read_until(&mut self, wanted: &[u8]) {
        while !self.told.windows(wanted.len()).any(|window| window == wanted) {
            let mut bytes = [0; 4096];
            let read = self.wire.read(&mut bytes).unwrap();
            assert!(read > 0, "the connection ended: {}", String::from_utf8_lossy(&self.told));
            self.told.extend_from_slice(&bytes[..read]);
        }
        self.told.clear();
    }

    /// All that is told until the connection ends, in whatever way.
    #[track_caller]
    fn read_to_the_end(mut self) -> Vec<u8> {
        match self.wire.read_to_end(&mut self.told) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                panic!("seed {}: the connection does not end: {}", self.seed, String::from_utf8_lossy(&self.told))
            }
            _ => self.told,
        }
    }
}
