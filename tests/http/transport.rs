//! The transport, seen from a raw socket: which bytes arrive, in which order, and when a connection ends.
//! The flush order that sending a file leans on is held here by byte-exact downloads of every kind, mixed and pipelined.
//! Nothing here knows a verb; the handler below answers by the words in the path.

#![allow(clippy::unwrap_used)]

use actix_http::{Payload, Request, Response, StatusCode};
use actix_web::body::BoxBody;
use actix_web::http::Method;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use futures_util::StreamExt as _;
use noclobber::http::wire::body::{self, CopyBody, LengthOnly, Part};
use noclobber::http::wire::encrypted::Encrypted;
use noclobber::http::wire::rejection::Rejection;
use noclobber::http::wire::socket::Listener;
use noclobber::http::wire::source::FileBytes;
use noclobber::http::wire::transport::{self, Handler, Plain, Reads, Say, TransportSettings};
use noclobber::os::open_file::OpenFile;
use rustls::ClientConfig;
use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

use crate::harness::left_out;
use crate::harness::tls::{TlsStream, both_sides};

const MIB: u64 = 1024 * 1024;

/// The size of the file that every server here serves.
const SIZE: u64 = 64 * MIB;

thread_local! {
    /// Whether the servers of this thread speak TLS, and their clients with them.
    static INSIDE_TLS: Cell<bool> = const { Cell::new(false) };
}

/// All that a connection promises it promises inside TLS.
#[test]
fn the_stories_are_true_inside_tls() {
    let stories: [(&str, fn()); _] = [
        ("a_large_file_arrives_byte_for_byte", a_large_file_arrives_byte_for_byte),
        ("a_range_arrives_byte_for_byte", a_range_arrives_byte_for_byte),
        (
            "answers_of_every_kind_keep_their_order_when_requests_are_pipelined",
            answers_of_every_kind_keep_their_order_when_requests_are_pipelined,
        ),
        ("a_kept_connection_serves_one_answer_after_the_other", a_kept_connection_serves_one_answer_after_the_other),
        (
            "a_plain_request_alone_is_answered_at_the_edge_and_no_other",
            a_plain_request_alone_is_answered_at_the_edge_and_no_other,
        ),
        (
            "nothing_is_answered_at_the_edge_of_a_connection_that_ends",
            nothing_is_answered_at_the_edge_of_a_connection_that_ends,
        ),
        ("what_has_been_answered_at_the_edge_leaves_whole", what_has_been_answered_at_the_edge_leaves_whole),
        (
            "a_connection_on_which_much_was_asked_ahead_is_kept_no_longer",
            a_connection_on_which_much_was_asked_ahead_is_kept_no_longer,
        ),
        ("a_connection_that_is_used_at_the_edge_is_kept", a_connection_that_is_used_at_the_edge_is_kept),
        ("head_says_the_length_and_sends_no_byte", head_says_the_length_and_sends_no_byte),
        ("parts_of_a_file_are_put_together", parts_of_a_file_are_put_together),
        (
            "a_client_that_goes_away_leaves_the_file_closed_and_the_others_served",
            a_client_that_goes_away_leaves_the_file_closed_and_the_others_served,
        ),
        (
            "a_file_cut_short_ends_the_connection_and_not_the_answer",
            a_file_cut_short_ends_the_connection_and_not_the_answer,
        ),
        ("a_file_changed_in_place_is_never_completed", a_file_changed_in_place_is_never_completed),
        (
            "a_file_written_to_while_it_is_sent_is_never_completed",
            a_file_written_to_while_it_is_sent_is_never_completed,
        ),
        ("a_file_that_is_not_in_memory_arrives_byte_for_byte", a_file_that_is_not_in_memory_arrives_byte_for_byte),
        ("what_the_kernel_cannot_send_is_copied", what_the_kernel_cannot_send_is_copied),
        ("http_1_0_gets_its_file_and_the_end", http_1_0_gets_its_file_and_the_end),
        ("http_1_0_gets_what_is_streamed_as_it_is", http_1_0_gets_what_is_streamed_as_it_is),
        ("a_streamed_answer_that_breaks_off_never_looks_whole", a_streamed_answer_that_breaks_off_never_looks_whole),
        ("half_a_body_is_told_as_a_fault", half_a_body_is_told_as_a_fault),
        (
            "a_client_that_closes_its_side_after_the_body_has_sent_it_whole",
            a_client_that_closes_its_side_after_the_body_has_sent_it_whole,
        ),
        ("a_reader_that_takes_nothing_is_dropped", a_reader_that_takes_nothing_is_dropped),
        ("a_slow_reader_is_not_dropped", a_slow_reader_is_not_dropped),
        ("a_reader_that_takes_too_little_is_dropped", a_reader_that_takes_too_little_is_dropped),
        ("a_reader_that_pauses_is_waited_for", a_reader_that_pauses_is_waited_for),
        ("an_address_has_no_more_connections_than_it_may", an_address_has_no_more_connections_than_it_may),
        ("a_refusal_comes_instead_of_100_continue", a_refusal_comes_instead_of_100_continue),
        ("a_body_that_is_welcome_is_asked_for", a_body_that_is_welcome_is_asked_for),
        ("http_1_0_is_never_told_to_continue", http_1_0_is_never_told_to_continue),
        ("a_refusal_can_be_read_although_the_body_was_not", a_refusal_can_be_read_although_the_body_was_not),
        (
            "a_chunked_body_that_was_not_read_closes_the_connection_too",
            a_chunked_body_that_was_not_read_closes_the_connection_too,
        ),
        (
            "a_short_body_that_was_not_read_costs_nobody_the_connection",
            a_short_body_that_was_not_read_costs_nobody_the_connection,
        ),
        ("headers_beyond_the_limit_are_refused", headers_beyond_the_limit_are_refused),
        ("a_target_beyond_the_limit_is_refused", a_target_beyond_the_limit_is_refused),
        (
            "a_fragment_in_the_target_is_refused_and_its_neighbours_are_not",
            a_fragment_in_the_target_is_refused_and_its_neighbours_are_not,
        ),
        ("requests_that_came_before_the_end_are_answered", requests_that_came_before_the_end_are_answered),
        ("a_later_head_that_does_not_go_on_ends_the_connection", a_later_head_that_does_not_go_on_ends_the_connection),
        ("a_client_that_dawdles_with_its_head_is_dropped", a_client_that_dawdles_with_its_head_is_dropped),
        ("uploads_in_flight_end_before_the_server_stops", uploads_in_flight_end_before_the_server_stops),
        ("the_second_word_stops_at_once", the_second_word_stops_at_once),
    ];
    INSIDE_TLS.set(true);
    for (name, story) in stories {
        println!("inside TLS: {name}");
        story();
    }
}

/// Whichever way a request takes, it is known whether it came encrypted.
#[test]
fn a_request_knows_whether_it_is_encrypted() {
    for is_encrypted in [false, true] {
        INSIDE_TLS.set(is_encrypted);
        let server = Server::start();
        let mut client = server.connect();
        for (path, way) in [("/send/0/10", None), ("/edge/0/10", Some("edge")), ("/memory/0/10", None)] {
            client.ask(&format!("GET {path} HTTP/1.1"));
            let answer = client.answer();
            assert_eq!(answer.header("x-way").as_deref(), way, "{path}");
            assert_eq!(answer.header("x-encrypted"), Some(is_encrypted.to_string()), "{path}");
        }
    }
}

// ---- the stories ----

#[test]
fn a_large_file_arrives_byte_for_byte() {
    let server = Server::start();
    for way in ["send", "copy"] {
        let mut client = server.connect();
        client.ask(&format!("GET /{way}/0/{} HTTP/1.1", SIZE));
        let answer = client.answer();
        assert_eq!(answer.status, 200);
        answer.expect_range(0, SIZE);
    }
}

#[test]
fn a_range_arrives_byte_for_byte() {
    let server = Server::start();
    let mut client = server.connect();
    for (start, end) in [(0, 1), (0, 0), (5, 8 * 1024 + 5), (5, 8 * 1024 + 6), (1, 512 * 1024), (3, MIB + 77)] {
        for way in ["send", "copy"] {
            client.ask(&format!("GET /{way}/{start}/{end} HTTP/1.1"));
            client.answer().expect_range(start, end);
        }
    }
}

#[test]
fn answers_of_every_kind_keep_their_order_when_requests_are_pipelined() {
    let server = Server::start();
    for seed in 1..=150 {
        pipeline(&server, seed);
    }
}

/// Sends two to twelve requests in one write and reads the answers slowly, through a small window.
fn pipeline(server: &Server, seed: u64) {
    let mut random = Random(seed);
    let wanted: Vec<Wanted> = (0..2 + random.below(11)).map(|_| Wanted::some(&mut random)).collect();
    let mut client = if random.below(3) == 0 { server.connect() } else { server.connect_narrow(16 * 1024) };
    let requests: String = wanted.iter().map(|wanted| format!("{}\r\nHost: a\r\n\r\n", wanted.line())).collect();
    client.send(requests.as_bytes());
    client.slow = random.below(3) == 0;
    for wanted in &wanted {
        wanted.check(&mut client, seed);
    }
}

struct Wanted {
    method: &'static str,
    way: &'static str,
    start: u64,
    end: u64,
}

impl Wanted {
    fn some(random: &mut Random) -> Self {
        let way = ["send", "copy", "memory", "later", "parts", "edge"][random.below(6) as usize];
        let length = match random.below(4) {
            0 => random.below(100),
            1 => random.below(20_000),
            2 => random.below(200_000),
            _ => random.below(900_000),
        };
        let start = random.below(2 * MIB);
        let method = if random.below(6) == 0 { "HEAD" } else { "GET" };
        Self { method, way, start, end: start + length }
    }

    fn line(&self) -> String {
        format!("{} /{}/{}/{} HTTP/1.1", self.method, self.way, self.start, self.end)
    }

    #[track_caller]
    fn check(&self, client: &mut Client, seed: u64) {
        let answer = if self.method == "HEAD" { client.head_only() } else { client.answer() };
        assert_eq!(answer.status, 200, "seed {seed}: {}", self.line());
        let wanted =
            if self.way == "parts" { in_parts(self.start, self.end) } else { content(self.start, self.end).to_vec() };
        assert_eq!(answer.header("content-length").unwrap(), wanted.len().to_string());
        assert!(self.method == "HEAD" || answer.body == wanted, "seed {seed}: other bytes for {}", self.line());
    }
}

#[test]
fn a_kept_connection_serves_one_answer_after_the_other() {
    let server = Server::start();
    let mut client = server.connect();
    let mut random = Random(7);
    for round in 0..60 {
        let wanted = Wanted::some(&mut random);
        client.ask(&wanted.line());
        wanted.check(&mut client, round);
    }
}

/// Only a plain request that comes alone, on a connection that is kept, is answered before actix-web sees it.
#[test]
fn a_plain_request_alone_is_answered_at_the_edge_and_no_other() {
    let server = Server::start();
    let at_the_edge = |request: &str, answers: usize| {
        let mut client = server.connect();
        client.ask("GET /edge/0/10 HTTP/1.1");
        assert!(client.answer().header("x-way").is_none(), "the first of a connection");
        client.send(request.as_bytes());
        (0..answers).map(|_| client.answer()).map(|answer| answer.header("x-way").is_some()).collect::<Vec<_>>()
    };
    for plain in [
        "Host: a",
        "host: a\r\nConnection: Keep-Alive\r\nUser-Agent: b\r\nAccept: */*",
        "If-None-Match: \"c\"\r\nHost: a",
        "Host: a\r\nCookie: b\r\nAuthorization: Basic b",
    ] {
        assert_eq!(at_the_edge(&format!("GET /edge/0/10 HTTP/1.1\r\n{plain}\r\n\r\n"), 1), [true], "{plain}");
    }
    for head in [
        "GET /edge/0/10 HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1",
        "GET /edge/0/10 HTTP/1.1\r\nHost: a\r\nConnection: close",
        "GET /edge/0/10 HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, upgrade",
        "GET /edge/0/10 HTTP/1.1\r\nHost: a\r\nHost: a",
        "GET /edge/0/10 HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"b\"\r\nIf-None-Match: \"c\"",
        "GET /edge/0/10 HTTP/1.1\r\nHost: a\r\nIf-Modified-Since: Sun, 22 Nov 2026 19:24:24 GMT",
        "GET /edge/0/10 HTTP/1.1\r\nHost: a\r\nCookie: b\r\nCookie: c",
        "GET /edge/0/10 HTTP/1.1\r\nHost: a\r\nAuthorization: Basic b\r\nAuthorization: Basic c",
        "GET /edge/0/10 HTTP/1.1\r\nHost: a\r\nContent-Length: 0",
        "GET /edge/0/10 HTTP/1.0\r\nHost: a\r\nConnection: keep-alive",
        "GET /edge/0/10?x HTTP/1.1\r\nHost: a",
        "GET http://a/edge/0/10 HTTP/1.1\r\nHost: a",
        "POST /edge/0/10 HTTP/1.1\r\nHost: a",
        "\r\nGET /edge/0/10 HTTP/1.1\r\nHost: a",
    ] {
        assert_eq!(at_the_edge(&format!("{head}\r\n\r\n"), 1), [false], "{head}");
    }
    let two = "GET /edge/0/10 HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2);
    assert_eq!(at_the_edge(&two, 2), [false, false], "requests that come together");
    assert_eq!(at_the_edge("GET /edge/0/10 HTTP/1.1\r\nHost: a\r\n\r\nGET", 1), [false], "more than one");
}

/// After an answer with which the connection ends, nothing is answered, whatever the client sends behind it.
#[test]
fn nothing_is_answered_at_the_edge_of_a_connection_that_ends() {
    let server = Server::start();
    let mut client = server.connect();
    client.ask_with("GET /send/0/900000 HTTP/1.1", "Connection: close");
    client.ask("GET /edge/0/10 HTTP/1.1");
    client.answer().expect_range(0, 900_000);
    client.expect_end();
}

/// The answer is longer than the socket has room for, and the server is stopped while it is on its way.
#[test]
fn what_has_been_answered_at_the_edge_leaves_whole() {
    let server = Server::start();
    let mut client = server.connect_narrow(16 * 1024);
    client.ask("GET /memory/0/10 HTTP/1.1");
    client.answer().expect_range(0, 10);
    for length in [900_000, 12 * MIB] {
        client.slow = length < MIB;
        client.ask(&format!("GET /edge/0/{length} HTTP/1.1"));
        client.read_some();
        if length > MIB {
            server.ask_to_stop();
            until("no connection is taken any more", || TcpStream::connect(server.address).is_err());
        }
        let answer = client.answer();
        assert!(answer.header("x-way").is_some());
        answer.expect_range(0, length);
    }
    client.expect_end();
    server.wait();
}

/// Also where answering all of them has taken longer than a connection is kept.
#[test]
fn a_connection_on_which_much_was_asked_ahead_is_kept_no_longer() {
    let settings = TransportSettings { keep_alive: Duration::from_millis(100), ..TransportSettings::default() };
    let server = Server::start_with(settings, vec![]);
    let mut client = server.connect();
    client.send(&b"GET /later/0/10 HTTP/1.1\r\nHost: a\r\n\r\n".repeat(200));
    for _ in 0..200 {
        client.answer().expect_range(0, 10);
    }
    let begun = Instant::now();
    client.expect_end();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

/// A connection is kept while it is used, although actix-web sees nothing of it, and not for longer.
#[test]
fn a_connection_that_is_used_at_the_edge_is_kept() {
    let settings = TransportSettings { keep_alive: Duration::from_millis(600), ..TransportSettings::default() };
    let server = Server::start_with(settings, vec![]);
    let mut client = server.connect();
    for _ in 0..6 {
        client.ask("GET /edge/0/10 HTTP/1.1");
        client.answer().expect_range(0, 10);
        client.expect_silence(Duration::from_millis(300));
    }
    let begun = Instant::now();
    client.expect_end();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn head_says_the_length_and_sends_no_byte() {
    let server = Server::start();
    let mut client = server.connect();
    for way in ["send", "copy", "parts", "memory"] {
        client.ask(&format!("HEAD /{way}/10/300000 HTTP/1.1"));
        let head = client.head_only();
        client.ask(&format!("GET /{way}/10/300000 HTTP/1.1"));
        let answer = client.answer();
        assert_eq!(head.header("content-length"), answer.header("content-length"), "{way}");
        assert_eq!(head.header("content-length").unwrap(), answer.body.len().to_string(), "{way}");
    }
}

#[test]
fn parts_of_a_file_are_put_together() {
    let server = Server::start();
    let mut client = server.connect();
    client.ask("GET /parts/1000/200000 HTTP/1.1");
    assert!(client.answer().body == in_parts(1000, 200_000));
}

#[test]
fn a_unix_socket_serves_files_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let server =
        Server::start_with(TransportSettings::default(), vec![Listener::Unix(UnixListener::bind(&path).unwrap())]);
    let mut client = Client::new(Wire::Unix(UnixStream::connect(&path).unwrap()));
    for way in ["send", "copy", "memory"] {
        client.ask(&format!("GET /{way}/0/{} HTTP/1.1", 3 * MIB));
        client.answer().expect_range(0, 3 * MIB);
    }
    drop(server);
}

#[test]
fn a_client_that_goes_away_leaves_the_file_closed_and_the_others_served() {
    let server = Server::start();
    for way in ["send", "copy"] {
        let mut client = server.connect_narrow(16 * 1024);
        client.ask(&format!("GET /{way}/0/{} HTTP/1.1", SIZE));
        client.read_some();
    }
    until("both files are closed", || server.open_sources() == 0);
    let mut client = server.connect();
    client.ask("GET /send/0/100000 HTTP/1.1");
    client.answer().expect_range(0, 100_000);
}

#[test]
fn a_file_cut_short_ends_the_connection_and_not_the_answer() {
    let server = Server::start();
    for way in ["send", "copy"] {
        for there in [0, 1, 5000, 2 * MIB] {
            let mut client = server.connect();
            client.ask(&format!("GET /{way}/{}/{} HTTP/1.1", SIZE - there, SIZE + MIB));
            let (head, body) = client.until_the_end();
            if head.status == 0 {
                // Copying met the end before even the head had left.
                continue;
            }
            assert_eq!(head.status, 200, "{way}");
            assert_eq!(head.header("content-length").unwrap(), (there + MIB).to_string());
            assert!(body == content(SIZE - there, SIZE - there + body.len() as u64));
        }
    }
}

#[test]
fn a_file_changed_in_place_is_never_completed() {
    let server = Server::start();
    for way in ["send-changed", "copy-changed"] {
        for length in [1, 5000, 100_000, 3 * MIB] {
            let mut client = server.connect();
            client.ask(&format!("GET /{way}/0/{length} HTTP/1.1"));
            let (_, body) = client.until_the_end();
            assert!((body.len() as u64) < length, "{way}: {length} bytes of two versions were completed");
        }
    }
}

/// The writer comes while the file is on its way: most of it has left, and the rest must not complete it.
#[test]
fn a_file_written_to_while_it_is_sent_is_never_completed() {
    let server = Server::start();
    for way in ["send-own", "copy-own"] {
        std::fs::write(server.own(), content(0, SIZE)).unwrap();
        let mut client = server.connect_narrow(16 * 1024);
        client.ask(&format!("GET /{way}/0/{SIZE} HTTP/1.1"));
        client.read_some();
        let writer = File::options().write(true).open(server.own()).unwrap();
        writer.write_all_at(b"other", SIZE / 2).unwrap();
        let (head, body) = client.until_the_end();
        assert_eq!(head.status, 200);
        assert!((body.len() as u64) < SIZE, "{way}: bytes of two versions were completed");
    }
}

/// What is not in the page cache is read in the blocking pool; the bytes are the same.
#[test]
fn a_file_that_is_not_in_memory_arrives_byte_for_byte() {
    let server = Server::start();
    std::fs::write(server.own(), content(0, SIZE)).unwrap();
    let file = File::open(server.own()).unwrap();
    file.sync_all().unwrap();
    for way in ["send-own", "copy-own"] {
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        let mut client = server.connect();
        client.ask(&format!("GET /{way}/3/{SIZE} HTTP/1.1"));
        client.answer().expect_range(3, SIZE);
    }
}

/// `sendfile` takes ordinary files only; what it does not take is copied.
#[test]
fn what_the_kernel_cannot_send_is_copied() {
    let server = Server::start();
    let mut client = server.connect();
    for length in [1, 100_000, 3 * MIB] {
        client.ask(&format!("GET /send-zeros/0/{length} HTTP/1.1"));
        assert!(client.answer().body == vec![0; length as usize]);
    }
}

#[test]
fn http_1_0_gets_its_file_and_the_end() {
    let server = Server::start();
    for way in ["send", "copy", "memory"] {
        let mut client = server.connect();
        client.ask(&format!("GET /{way}/7/600000 HTTP/1.0"));
        let answer = client.answer();
        answer.expect_range(7, 600_000);
        assert_eq!(answer.header("transfer-encoding"), None);
        client.expect_end();
    }
}

/// HTTP/1.0 knows no chunks: an answer whose length is not known beforehand ends with its connection, whatever the client would rather have.
#[test]
fn http_1_0_gets_what_is_streamed_as_it_is() {
    let server = Server::start();
    for fields in ["", "Connection: keep-alive"] {
        let mut client = server.connect();
        client.ask_with("GET /streamed/3/200000 HTTP/1.0", fields);
        let (answer, body) = client.until_the_end();
        assert_eq!(
            (answer.status, answer.header("transfer-encoding"), answer.header("content-length")),
            (200, None, None)
        );
        assert_ne!(answer.header("connection").as_deref(), Some("keep-alive"));
        assert!(body == content(3, 200_000), "{} bytes", body.len());
        let mut client = server.connect();
        client.ask_with("HEAD /streamed/3/200000 HTTP/1.0", fields);
        let (answer, body) = client.until_the_end();
        assert_eq!((answer.status, answer.header("transfer-encoding"), body.len()), (200, None, 0));
    }
    let mut client = server.connect();
    client.ask("GET /streamed/3/200000 HTTP/1.1");
    assert_eq!(client.head_only().header("transfer-encoding").as_deref(), Some("chunked"));
}

/// Where only the end of the connection tells the end of an answer, one that broke off does not look whole: the connection is reset.
#[test]
fn a_streamed_answer_that_breaks_off_never_looks_whole() {
    let server = Server::start();
    for version in ["HTTP/1.0", "HTTP/1.1"] {
        let mut client = server.connect();
        client.ask(&format!("GET /streamed-broken/3/200000 {version}"));
        let ended = loop {
            match client.more() {
                Ok(true) => {}
                ended => break ended.is_ok(),
            }
        };
        let is_whole = ended && (version == "HTTP/1.0" || client.buffer.ends_with(b"0\r\n\r\n"));
        assert!(!is_whole, "{version}: {} bytes", client.buffer.len());
    }
}

#[test]
fn half_a_body_is_told_as_a_fault() {
    let server = Server::start();
    for framing in ["Content-Length: 1000", "Transfer-Encoding: chunked"] {
        let mut client = server.connect();
        client.ask_with("PUT /keep HTTP/1.1", framing);
        client.send(b"64\r\nhalf of what was announced");
        client.finish_writing();
        assert_eq!(client.answer().status, 400, "{framing}");
    }
}

/// All bytes are there when the client closes its side, but the handler has not taken them yet: the body is whole, not half.
#[test]
fn a_client_that_closes_its_side_after_the_body_has_sent_it_whole() {
    let server = Server::start();
    for length in [1000, 60_000, 100_000, 1_000_000] {
        let mut client = server.connect();
        client.ask_with("PUT /keep-later HTTP/1.1", &format!("Content-Length: {length}"));
        client.send(&vec![b'x'; length - length / 3]);
        std::thread::sleep(Duration::from_millis(10));
        client.send(&vec![b'x'; length / 3]);
        client.finish_writing();
        let answer = client.answer();
        assert_eq!((answer.status, answer.body), (201, length.to_string().into_bytes()));
        client.expect_end();
    }
}

/// A client that pours in requests without reading is held up, and what it asked is answered once it reads.
#[test]
fn requests_sent_far_ahead_wait_their_turn() {
    let server = Server::start();
    let mut client = server.connect();
    let Wire::Tcp(wire) = &client.wire else { unreachable!() };
    let mut wire = wire.try_clone().unwrap();
    let asking = std::thread::spawn(move || {
        let request = format!("GET /memory/0/2000 HTTP/1.1\r\nHost: a\r\nX-Filler: {}\r\n\r\n", "a".repeat(1000));
        for _ in 0..2000 {
            wire.write_all(request.as_bytes()).unwrap();
        }
    });
    std::thread::sleep(Duration::from_millis(50));
    for _ in 0..2000 {
        client.answer().expect_range(0, 2000);
    }
    asking.join().unwrap();
}

#[test]
fn a_reader_that_takes_nothing_is_dropped() {
    let settings = TransportSettings { write_stall: Duration::from_millis(400), ..TransportSettings::default() };
    let server = Server::start_with(settings, vec![]);
    for way in ["send", "copy", "edge"] {
        let mut client = server.connect_narrow(16 * 1024);
        client.ask("GET /memory/0/10 HTTP/1.1");
        client.answer().expect_range(0, 10);
        client.ask(&format!("GET /{way}/0/{} HTTP/1.1", SIZE));
        client.read_some();
        if way == "edge" {
            std::thread::sleep(Duration::from_millis(1500));
        }
        until("the file is closed", || server.open_sources() == 0);
        let (_, body) = client.until_the_end();
        assert!((body.len() as u64) < SIZE);
    }
}

#[test]
fn a_slow_reader_is_not_dropped() {
    let settings = TransportSettings { write_stall: Duration::from_millis(1000), ..TransportSettings::default() };
    let server = Server::start_with(settings, vec![]);
    for way in ["send", "copy"] {
        let mut client = server.connect_narrow(64 * 1024);
        client.slow = true;
        client.ask(&format!("GET /{way}/0/{} HTTP/1.1", 12 * MIB));
        client.answer().expect_range(0, 12 * MIB);
    }
}

/// A byte now and then is no reading: it has to come to something on the average.
#[test]
fn a_reader_that_takes_too_little_is_dropped() {
    let patience = Duration::from_millis(600);
    let settings = TransportSettings { write_stall: patience, read_rate_min: MIB, ..TransportSettings::default() };
    let server = Server::start_with(settings, vec![]);
    for way in ["send", "copy"] {
        let mut client = server.connect_narrow(16 * 1024);
        client.ask(&format!("GET /{way}/0/{} HTTP/1.1", SIZE));
        let begun = Instant::now();
        while server.open_sources() > 0 || client.buffer.is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(10), "{way}: it is still waited for");
            client.read_a_little(2000);
            std::thread::sleep(Duration::from_millis(30));
        }
    }
}

/// What was read fast enough before and after makes up for a pause.
#[test]
fn a_reader_that_pauses_is_waited_for() {
    let patience = Duration::from_millis(1200);
    let settings = TransportSettings { write_stall: patience, read_rate_min: MIB, ..TransportSettings::default() };
    let server = Server::start_with(settings, vec![]);
    let mut client = server.connect_narrow(64 * 1024);
    client.ask(&format!("GET /send/0/{} HTTP/1.1", 40 * MIB));
    for _ in 0..5 {
        std::thread::sleep(patience / 2);
        while client.buffer.len() % (6 << 20) < (5 << 20) {
            client.read_some();
        }
        client.buffer.resize(client.buffer.len().next_multiple_of(6 << 20), 0);
    }
    assert!(server.open_sources() > 0);
}

/// Each client beyond this machine has as many connections as one may have; the next is closed as it comes, and others are served.
#[test]
fn an_address_has_no_more_connections_than_it_may() {
    let probe = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let own = probe.connect("192.0.2.1:9").and_then(|()| probe.local_addr()).map(|address| address.ip());
    let Some(own) = own.ok().filter(|ip| !ip.is_loopback() && !ip.is_unspecified()) else {
        return left_out("an_address_has_no_more_connections_than_it_may", "this machine has no address but loopback");
    };
    let socket = TcpListener::bind((own, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    let settings = TransportSettings { connections_per_address: 3, ..TransportSettings::default() };
    let server = Server::start_with(settings, vec![Listener::Tcp(socket)]);
    let connect = || Client::new(Wire::Tcp(TcpStream::connect(address).unwrap()));
    let ask = |client: &mut Client| {
        client.ask("GET /memory/0/10 HTTP/1.1");
        client.answer().expect_range(0, 10);
    };
    let mut crowd: Vec<Client> = (0..3).map(|_| connect()).collect();
    crowd.iter_mut().for_each(ask);
    connect().expect_end();
    (0..5).for_each(|_| ask(&mut server.connect()));
    crowd.iter_mut().for_each(ask);
    drop(crowd.pop());
    until("there is a place again", || {
        let mut client = connect();
        let asked = match &mut client.wire {
            Wire::Tcp(wire) => wire.write_all(b"GET /memory/0/10 HTTP/1.1\r\nHost: a\r\n\r\n"),
            Wire::Unix(_) | Wire::Tls(_) => unreachable!(),
        };
        asked.is_ok() && client.more().is_ok_and(|more| more)
    });
}

#[test]
fn a_refusal_comes_instead_of_100_continue() {
    let server = Server::start();
    for body in ["Content-Length: 1000000", "Transfer-Encoding: chunked"] {
        let mut client = server.connect();
        client.ask_with("PUT /refuse HTTP/1.1", &format!("Expect: 100-continue\r\n{body}"));
        let answer = client.answer();
        assert_eq!(answer.status, 412, "{body}");
        assert_eq!(answer.header("connection").as_deref(), Some("close"), "{body}");
        client.expect_end();
    }
}

#[test]
fn a_body_that_is_welcome_is_asked_for() {
    let server = Server::start();
    let mut client = server.connect();
    for _ in 0..3 {
        client.ask_with("PUT /keep HTTP/1.1", "Expect: 100-continue\r\nContent-Length: 300000");
        assert_eq!(client.head_only().status, 100);
        client.send(&vec![b'x'; 300_000]);
        let answer = client.answer();
        assert_eq!((answer.status, &answer.body[..]), (201, &b"300000"[..]));
    }
}

#[test]
fn http_1_0_is_never_told_to_continue() {
    let server = Server::start();
    let mut client = server.connect();
    client.ask_with("PUT /keep HTTP/1.0", "Expect: 100-continue\r\nContent-Length: 5");
    client.expect_silence(Duration::from_millis(100));
    client.send(b"hello");
    assert_eq!(client.answer().status, 201);
}

#[test]
fn a_refusal_can_be_read_although_the_body_was_not() {
    let server = Server::start();
    for _ in 0..5 {
        let mut client = server.connect();
        client.ask_with("PUT /refuse HTTP/1.1", "Content-Length: 1000000000");
        // A plain client sends on until it is told otherwise.
        client.send(&vec![b'x'; 3_000_000]);
        let answer = client.answer();
        assert_eq!((answer.status, &answer.body[..]), (412, &b"refused"[..]));
        assert_eq!(answer.header("connection").as_deref(), Some("close"));
    }
}

#[test]
fn a_chunked_body_that_was_not_read_closes_the_connection_too() {
    let server = Server::start();
    let mut client = server.connect();
    client.ask_with("PUT /refuse HTTP/1.1", "Transfer-Encoding: chunked");
    client.send(b"100000\r\n");
    client.send(&vec![b'x'; 0x100000]);
    let answer = client.answer();
    assert_eq!((answer.status, answer.header("connection").as_deref()), (412, Some("close")));
    client.finish_writing();
    client.expect_end();
}

#[test]
fn a_short_body_that_was_not_read_costs_nobody_the_connection() {
    let server = Server::start();
    let mut client = server.connect();
    for _ in 0..3 {
        client.ask_with("PUT /refuse HTTP/1.1", "Content-Length: 20000");
        client.send(&vec![b'x'; 20_000]);
        let answer = client.answer();
        assert_eq!((answer.status, answer.header("connection")), (412, None));
        client.ask_with("PUT /refuse HTTP/1.1", "Transfer-Encoding: chunked");
        client.send(b"5\r\nhello\r\n0\r\n\r\n");
        let answer = client.answer();
        assert_eq!((answer.status, answer.header("connection")), (412, None));
    }
    client.ask("GET /memory/0/10 HTTP/1.1");
    client.answer().expect_range(0, 10);
}

#[test]
fn headers_beyond_the_limit_are_refused() {
    let server = Server::start();
    let mut client = server.connect();
    client.ask_with("GET /memory/0/10 HTTP/1.1", &format!("X-A: {}", "a".repeat(32_000)));
    assert_eq!(client.answer().status, 200);
    client.ask_with("GET /memory/0/10 HTTP/1.1", &format!("X-A: {}", "a".repeat(33_000)));
    assert_eq!(client.answer().status, 431);
    let mut client = server.connect();
    client.ask_with("GET /memory/0/10 HTTP/1.1", &format!("X-A: {}", "a".repeat(200_000)));
    assert_eq!(client.answer().status, 431);
    let mut client = server.connect();
    client.ask_with(
        "PUT /keep HTTP/1.1",
        &format!("Expect: 100-continue\r\nContent-Length: 9\r\nX-A: {}", "a".repeat(33_000)),
    );
    assert_eq!(client.answer().status, 431);
    client.expect_end();
}

#[test]
fn a_target_beyond_the_limit_is_refused() {
    let server = Server::start();
    let mut client = server.connect();
    client.ask(&format!("GET /{} HTTP/1.1", "a".repeat(4095)));
    assert_eq!(client.answer().status, 404);
    client.ask(&format!("GET /{} HTTP/1.1", "a".repeat(4096)));
    assert_eq!(client.answer().status, 414);
}

#[test]
fn a_fragment_in_the_target_is_refused_and_its_neighbours_are_not() {
    let server = Server::start();
    let mut client = server.connect();
    let mut ask = |lines: &[&str]| {
        for line in lines {
            client.send(line.as_bytes());
            std::thread::sleep(Duration::from_millis(5));
        }
        client.answer().status
    };
    assert_eq!(ask(&["GET /memory/0/10 HTTP/1.1\r\nHost: a\r\nX: #\r\n\r\n"]), 200);
    assert_eq!(ask(&["PUT /keep HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n#\r\n\r\n"]), 201);
    assert_eq!(ask(&["PUT /keep HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n", "#\r\n", "#"]), 201);
    assert_eq!(ask(&["GET /mem", "ory/0/10 HTTP/1.1\r\nHo", "st: a\r\n\r", "\n"]), 200);
    assert_eq!(ask(&["GET /memory/0/10#x HTTP/1.1\r\nHost: a\r\n\r\n"]), 400);
    assert_eq!(ask(&["GET /memory/0/10 HTTP/1.1\r\nHost: a\r\n\r\n"]), 200);
    assert_eq!(ask(&["GET /memory/0/10", "#x HTTP/1.1\r\nHost: a\r\n\r\n"]), 400);
    assert_eq!(ask(&["PUT /keep HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n#\r\n0\r\n\r\n"]), 201);
    assert_eq!(ask(&["DELETE /a/#b HTTP/1.1\r\nHost: a\r\n\r\n"]), 400);
}

/// A client that sends all it has to ask and then closes its side still gets every answer.
#[test]
fn requests_that_came_before_the_end_are_answered() {
    let server = Server::start();
    let mut client = server.connect();
    client.send(&b"GET /later/0/10 HTTP/1.1\r\nHost: a\r\n\r\n".repeat(40));
    client.finish_writing();
    for _ in 0..40 {
        client.answer().expect_range(0, 10);
    }
    client.expect_end();
}

#[test]
fn a_later_head_that_does_not_go_on_ends_the_connection() {
    let settings = TransportSettings { header_time: Duration::from_millis(300), ..TransportSettings::default() };
    let server = Server::start_with(settings, vec![]);
    let mut client = server.connect();
    client.ask("GET /memory/0/10 HTTP/1.1");
    client.answer().expect_range(0, 10);
    // Waiting between two requests is no dawdling.
    client.expect_silence(Duration::from_millis(500));
    client.ask("GET /memory/0/10 HTTP/1.1");
    client.answer().expect_range(0, 10);
    client.send(b"GET /memory/0/10 HTTP/1.1\r\nHo");
    client.expect_end();
}

#[test]
fn a_client_that_dawdles_with_its_head_is_dropped() {
    let settings = TransportSettings { header_time: Duration::from_millis(300), ..TransportSettings::default() };
    let server = Server::start_with(settings, vec![]);
    let mut client = server.connect();
    client.send(b"GET /memory/0/10 HTTP/1.1\r\nHo");
    assert_eq!(client.answer().status, 408);
    client.expect_end();
}

#[test]
fn uploads_in_flight_end_before_the_server_stops() {
    let server = Server::start();
    let mut client = server.connect();
    client.ask_with("PUT /keep HTTP/1.1", "Expect: 100-continue\r\nContent-Length: 1000");
    assert_eq!(client.head_only().status, 100);
    let mut unused = server.connect();
    let mut idle = server.connect();
    idle.ask("GET /send/0/200000 HTTP/1.1");
    idle.answer().expect_range(0, 200_000);
    server.ask_to_stop();
    idle.expect_end();
    unused.expect_end();
    until("no connection is taken any more", || TcpStream::connect(server.address).is_err());
    client.send(&[b'x'; 1000]);
    assert_eq!(client.answer().status, 201);
    client.expect_end();
    server.wait();
}

#[test]
fn the_second_word_stops_at_once() {
    let server = Server::start();
    let mut client = server.connect();
    client.ask_with("PUT /keep HTTP/1.1", "Expect: 100-continue\r\nContent-Length: 1000");
    assert_eq!(client.head_only().status, 100);
    let asked = Instant::now();
    server.ask_to_stop();
    until("no connection is taken any more", || TcpStream::connect(server.address).is_err());
    server.ask_to_stop();
    server.wait();
    assert!(asked.elapsed() < Duration::from_secs(5));
}

// ---- the server ----

/// What the file looks like: its bytes say their offset, so that any range can be checked.
fn content(start: u64, end: u64) -> &'static [u8] {
    static CONTENT: LazyLock<Vec<u8>> = LazyLock::new(|| (0..SIZE).map(byte_at).collect());
    &CONTENT[start as usize..end as usize]
}

fn byte_at(offset: u64) -> u8 {
    let word = (offset / 4).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 29;
    word.to_le_bytes()[(offset % 4) as usize]
}

/// The file that all servers here serve; it has no name, so nothing of it stays.
fn whole() -> File {
    static WHOLE: LazyLock<File> = LazyLock::new(|| {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(content(0, SIZE), 0).unwrap();
        file
    });
    WHOLE.try_clone().unwrap()
}

/// An open file, and how many of them there are.
#[derive(Debug)]
struct Source {
    file: File,
    modified: (i64, i64),
    changed: bool,
    open: Arc<AtomicU64>,
}

impl FileBytes for Source {
    fn open_file(&self) -> Option<OpenFile<'_>> {
        Some(OpenFile::new(self.file.as_fd()))
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(into, offset)
    }

    fn still_the_same(&self) -> bool {
        let now = self.file.metadata().unwrap();
        !self.changed && (now.mtime(), now.mtime_nsec()) == self.modified
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Clone)]
struct Files {
    own: PathBuf,
    open: Arc<AtomicU64>,
}

impl Files {
    fn open(&self, way: &str) -> Arc<dyn FileBytes> {
        self.open.fetch_add(1, Ordering::SeqCst);
        let file = match way.split_once('-') {
            Some((_, "own")) => File::open(&self.own).unwrap(),
            Some((_, "zeros")) => File::open("/dev/zero").unwrap(),
            _ => whole(),
        };
        let now = file.metadata().unwrap();
        let changed = way.ends_with("-changed");
        Arc::new(Source { file, modified: (now.mtime(), now.mtime_nsec()), changed, open: Arc::clone(&self.open) })
    }
}

/// Answers by the words in the path: `/way/start/end`.
struct Words {
    files: Files,
}

impl Words {
    fn refused() -> Response<BoxBody> {
        Response::with_body(StatusCode::PRECONDITION_FAILED, BoxBody::new("refused"))
    }
}

fn words(path: &str) -> Option<(&str, u64, u64)> {
    let mut words = path[1..].split('/');
    Some((words.next()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

impl Handler for Words {
    fn at_the_edge(&self, plain: &Plain<'_>, say: &mut Say<'_>) -> bool {
        let Some(("edge", start, end)) = words(plain.path) else { return false };
        let body = if plain.reads == Reads::Get { content(start, end) } else { b"" };
        say(
            &[
                format!("HTTP/1.1 200 OK\r\nx-way: edge\r\nx-encrypted: {}\r\n", plain.is_encrypted).as_bytes(),
                format!("content-length: {}\r\n", end - start).as_bytes(),
            ],
            &Bytes::from_static(body),
        );
        true
    }

    async fn early(&self, request: &Request) -> Result<(), Response<BoxBody>> {
        tokio::task::yield_now().await;
        if request.path() == "/refuse" { Err(Self::refused()) } else { Ok(()) }
    }

    async fn handle(&self, request: HttpRequest, body: &mut Payload) -> HttpResponse {
        if request.method() == Method::PUT {
            if request.path() == "/refuse" {
                return HttpResponse::PreconditionFailed().body("refused");
            }
            if request.path() == "/keep-later" {
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
            let mut length = 0;
            while let Some(bytes) = body.next().await {
                let Ok(bytes) = bytes else { return HttpResponse::BadRequest().finish() };
                length += bytes.len();
            }
            return HttpResponse::Created().body(length.to_string());
        }
        let Some((way, start, end)) = words(request.path()) else { return HttpResponse::NotFound().finish() };
        let range = start..end;
        let mut answer = HttpResponse::Ok();
        answer.insert_header((CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")));
        if let Some(Encrypted(is_encrypted)) = request.conn_data() {
            answer.insert_header(("x-encrypted", is_encrypted.to_string()));
        }
        match way {
            "send" | "send-own" | "send-zeros" | "send-changed" => {
                body::file(&request, answer, self.files.open(way), range)
            }
            "copy" | "copy-own" | "copy-changed" if request.method() == Method::HEAD => {
                answer.body(BoxBody::new(LengthOnly(end - start)))
            }
            "copy" | "copy-own" | "copy-changed" => {
                answer.body(BoxBody::new(CopyBody::new(self.files.open(way), [Part::File(range)])))
            }
            "parts" => {
                let middle = start + (end - start) / 3;
                let between = Bytes::from_static(b"\r\n--x\r\n");
                let parts = [
                    Part::Bytes(between.slice(2..)),
                    Part::File(start..middle),
                    Part::Bytes(between),
                    Part::File(middle..end),
                    Part::Bytes(Bytes::from_static(b"\r\n--x--\r\n")),
                ];
                body::parts(&request, answer, self.files.open(way), parts)
            }
            "streamed" => answer.streaming(futures_util::stream::iter([
                Ok::<_, io::Error>(Bytes::from_static(content(start, end - 1))),
                Ok(Bytes::from_static(content(end - 1, end))),
            ])),
            "streamed-broken" => answer.streaming(futures_util::stream::iter([
                Ok(Bytes::from_static(content(start, end))),
                Err(io::Error::other("broken off")),
            ])),
            "later" => {
                tokio::time::sleep(Duration::from_millis(2)).await;
                answer.body(Bytes::from_static(content(start, end)))
            }
            "memory" | "edge" => answer.body(Bytes::from_static(content(start, end))),
            _ => answer.status(StatusCode::NOT_FOUND).finish(),
        }
    }

    fn reject(&self, _: &Request, rejection: Rejection) -> Response<BoxBody> {
        let status = match rejection {
            Rejection::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Rejection::TargetTooLong => StatusCode::URI_TOO_LONG,
            Rejection::FragmentInTarget | Rejection::Malformed | Rejection::WithoutTls(_) => StatusCode::BAD_REQUEST,
            Rejection::SlowHead => StatusCode::REQUEST_TIMEOUT,
        };
        Response::with_body(status, BoxBody::new(()))
    }
}

/// What `/parts/start/end` answers with.
fn in_parts(start: u64, end: u64) -> Vec<u8> {
    let middle = start + (end - start) / 3;
    [b"--x\r\n", content(start, middle), b"\r\n--x\r\n", content(middle, end), b"\r\n--x--\r\n"].concat()
}

/// A server in a thread of its own, stopped when dropped.
struct Server {
    address: SocketAddr,
    stop: mpsc::UnboundedSender<()>,
    thread: Option<JoinHandle<()>>,
    open: Arc<AtomicU64>,
    folder: tempfile::TempDir,
    tls: Option<Arc<ClientConfig>>,
}

impl Server {
    fn start() -> Self {
        Self::start_with(TransportSettings::default(), vec![])
    }

    fn start_with(settings: TransportSettings, mut listeners: Vec<Listener>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let (socket, tls) = match INSIDE_TLS.get().then(both_sides) {
            Some((server, client)) => (Listener::Tls(socket, server), Some(client)),
            None => (Listener::Tcp(socket), None),
        };
        listeners.push(socket);
        let open = Arc::new(AtomicU64::new(0));
        let files = Files { own: folder.path().join("own"), open: Arc::clone(&open) };
        let (stop, stopped) = mpsc::unbounded_channel();
        let thread = std::thread::spawn(move || {
            actix_rt::System::new()
                .block_on(transport::serve(settings, listeners, move || Words { files: files.clone() }, stopped))
                .unwrap();
        });
        Self { address, stop, thread: Some(thread), open, folder, tls }
    }

    fn connect(&self) -> Client {
        self.client(TcpStream::connect(self.address).unwrap())
    }

    /// Connects with a small receive buffer, which must be set before the connection is made.
    fn connect_narrow(&self, bytes: usize) -> Client {
        use rustix::net::{AddressFamily, SocketType, connect, socket, sockopt};
        let wire = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        sockopt::set_socket_recv_buffer_size(&wire, bytes).unwrap();
        connect(&wire, &self.address).unwrap();
        self.client(TcpStream::from(wire))
    }

    fn client(&self, wire: TcpStream) -> Client {
        Client::new(match &self.tls {
            None => Wire::Tcp(wire),
            Some(config) => Wire::Tls(Box::new(TlsStream::open(wire, config).unwrap())),
        })
    }

    /// A file of this server alone, which may be changed.
    fn own(&self) -> PathBuf {
        self.folder.path().join("own")
    }

    fn open_sources(&self) -> u64 {
        self.open.load(Ordering::SeqCst)
    }

    fn ask_to_stop(&self) {
        self.stop.send(()).unwrap();
    }

    fn wait(mut self) {
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        let _ = self.stop.send(());
        let _ = self.stop.send(());
        let _ = thread.join();
    }
}

// ---- the client ----

enum Wire {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream>),
}

struct Client {
    wire: Wire,
    buffer: Vec<u8>,
    slow: bool,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<String> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    }

    #[track_caller]
    fn expect_range(&self, start: u64, end: u64) {
        assert_eq!(self.body.len() as u64, end - start);
        assert!(self.body == content(start, end), "other bytes than those of {start}..{end}");
    }
}

impl Client {
    fn new(wire: Wire) -> Self {
        let client = Self { wire, buffer: Vec::new(), slow: false };
        client.set_timeout(Duration::from_secs(20));
        client
    }

    fn set_timeout(&self, timeout: Duration) {
        match &self.wire {
            Wire::Tcp(wire) => wire.set_read_timeout(Some(timeout)).unwrap(),
            Wire::Unix(wire) => wire.set_read_timeout(Some(timeout)).unwrap(),
            Wire::Tls(wire) => wire.tcp().set_read_timeout(Some(timeout)).unwrap(),
        }
    }

    fn ask(&mut self, line: &str) {
        self.send(format!("{line}\r\nHost: a\r\n\r\n").as_bytes());
    }

    fn ask_with(&mut self, line: &str, headers: &str) {
        self.send(format!("{line}\r\nHost: a\r\n{headers}\r\n\r\n").as_bytes());
    }

    fn send(&mut self, bytes: &[u8]) {
        match &mut self.wire {
            Wire::Tcp(wire) => wire.write_all(bytes).unwrap(),
            Wire::Unix(wire) => wire.write_all(bytes).unwrap(),
            Wire::Tls(wire) => wire.write_all(bytes).unwrap(),
        }
    }

    fn finish_writing(&mut self) {
        match &mut self.wire {
            Wire::Tcp(wire) => drop(wire.shutdown(Shutdown::Write)),
            Wire::Unix(wire) => drop(wire.shutdown(Shutdown::Write)),
            Wire::Tls(wire) => wire.finish_writing(),
        }
    }

    /// Reads more into the buffer; false at the end of the connection.
    fn more(&mut self) -> io::Result<bool> {
        if self.slow {
            std::thread::sleep(Duration::from_micros(300));
        }
        let mut piece = vec![0; if self.slow { 20_000 } else { 256 * 1024 }];
        let read = match &mut self.wire {
            Wire::Tcp(wire) => wire.read(&mut piece)?,
            Wire::Unix(wire) => wire.read(&mut piece)?,
            Wire::Tls(wire) => wire.read(&mut piece)?,
        };
        self.buffer.extend_from_slice(&piece[..read]);
        Ok(read > 0)
    }

    /// Reads at most so many bytes, if the connection still stands.
    fn read_a_little(&mut self, bytes: usize) {
        let mut piece = vec![0; bytes];
        let read = match &mut self.wire {
            Wire::Tcp(wire) => wire.read(&mut piece),
            Wire::Unix(wire) => wire.read(&mut piece),
            Wire::Tls(wire) => wire.read(&mut piece),
        };
        if let Ok(read) = read {
            self.buffer.extend_from_slice(&piece[..read]);
        }
    }

    #[track_caller]
    fn read_some(&mut self) {
        assert!(self.more().unwrap());
    }

    #[track_caller]
    fn head_only(&mut self) -> Answer {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            assert!(self.more().unwrap(), "the connection ended in the midst of a head");
        };
        let head = String::from_utf8(self.buffer.drain(..end + 4).collect()).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        Answer { status, headers, body: Vec::new() }
    }

    #[track_caller]
    fn answer(&mut self) -> Answer {
        let mut answer = self.head_only();
        let length: usize = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        while self.buffer.len() < length {
            assert!(self.more().unwrap(), "the connection ended at {} of {length}", self.buffer.len());
        }
        answer.body = self.buffer.drain(..length).collect();
        answer
    }

    /// Reads until the connection ends, in whatever way.
    #[track_caller]
    fn until_the_end(&mut self) -> (Answer, Vec<u8>) {
        let mut all_of_it = Vec::new();
        loop {
            match self.more() {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("the connection did not end"),
                Err(_) => break,
            }
        }
        if self.buffer.is_empty() {
            return (Answer { status: 0, headers: Vec::new(), body: Vec::new() }, all_of_it);
        }
        let head = self.head_only();
        all_of_it.append(&mut self.buffer);
        (head, all_of_it)
    }

    #[track_caller]
    fn expect_end(&mut self) {
        let (_, rest) = self.until_the_end();
        assert!(rest.is_empty());
    }

    #[track_caller]
    fn expect_silence(&mut self, time: Duration) {
        self.set_timeout(time);
        match self.more() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            other => panic!("{other:?}: {}", String::from_utf8_lossy(&self.buffer)),
        }
        self.set_timeout(Duration::from_secs(20));
    }
}

// ---- small tools ----

/// A small generator, so that a failing seed fails again.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(15), "waited too long until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
