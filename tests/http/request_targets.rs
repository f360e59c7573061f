//! Which targets and hosts a request may name: what is no host or no target is told so, what is another server's is sent away, and the
//! spellings that clients have for one path lead to one file.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::harness::client::tag_of;
use crate::harness::{Answer, Connection, Server};

/// Sends a head exactly as it is given, and gives the answer.
#[track_caller]
fn raw(server: &Server, method: &str, target: &str, fields: &str) -> Answer {
    let mut connection = Connection::open(server.address()).unwrap();
    connection.write(format!("{method} {target} HTTP/1.1\r\n{fields}\r\n"));
    connection.answer(method)
}

/// RFC 9112 §3.2: what is no host is told so, whoever sends it and whatever is asked; nothing is done.
#[test]
fn what_is_no_host_is_malformed() {
    let server = Server::start();
    server.write("a.txt", "x");
    for host in [
        "",
        " ",
        "ev\u{ef}l.example",
        "localhost:+80",
        "localhost:-1",
        "localhost:x",
        "localhost:80:80",
        "localhost:65536",
        "localhost:99999999999999999999",
        "127.0.0.1:8 0",
        "local host",
        "localhost, localhost",
        "localhost/",
        "http://localhost",
        "user@localhost",
        "localhost?x",
        "localhost#x",
        "[::1",
        "::1",
        "[::1]x",
        "[::1]80",
        "[evil]",
        "[127.0.0.1]",
        "[::1%25eth0]",
        "a%zz",
        "a%2",
        "\"localhost\"",
        "<localhost>",
        "local\\host",
    ] {
        for method in ["GET", "PUT", "DELETE", "PROPFIND", "OPTIONS"] {
            let request = server.request(method, "/a.txt").host(host);
            let request = if method == "PUT" { request.body("evil") } else { request };
            let answer = request.expect(400);
            assert!(answer.text().contains("Host"), "{answer}");
        }
    }
    server.get("/a.txt").without_host().header("Host", b"evil\xe9.example").expect(400);
    server.put("/a.txt").without_host().header("Host", b"evil\xe9.example").body("evil").expect(400);
    for fields in ["", "Host: localhost\r\nHost: localhost\r\n", "Host: localhost\r\nhost: evil.example\r\n"] {
        assert_eq!(raw(&server, "GET", "/a.txt", fields).status, 400, "{fields:?}");
    }
    assert_eq!(server.read("a.txt"), "x");
}

/// Every spelling of an own host that the grammar knows is one; every other host is another server's.
#[test]
fn a_host_is_ours_or_anothers() {
    let server = Server::start();
    server.write("a.txt", "x");
    for host in
        ["localhost:", "localhost", "LocalHost:80", "127.0.0.1:", "127.0.0.1:00080", "[::1]:", "[0:0:0:0:0:0:0:1]:80"]
    {
        server.get("/a.txt").host(host).expect_body("x");
        server.put("/b.txt").host(host).body("y").expect_any(&[201, 204]);
    }
    for host in [
        "evil.example:",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "127.0.0.1.",
        "localhost.",
        "localhos%74",
        "evil%2eexample",
        "evil!$&'()*+;=.example",
        "[v1.evil]",
        "[v1.evil]:80",
        "_",
        "a,b",
    ] {
        server.get("/a.txt").host(host).expect(421);
        server.put("/a.txt").host(host).body("evil").expect(421);
    }
    assert_eq!(server.read("a.txt"), "x");
}

/// A machine answers to its own name, alone and as the name that it has on the local network.
#[test]
fn a_machine_answers_to_its_own_name() {
    let server = Server::start();
    server.write("a.txt", "x");
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let label = name.split('.').next().unwrap();
    for host in [name.clone(), format!("{name}:4918"), label.to_uppercase(), format!("{label}.local:80")] {
        server.get("/a.txt").host(&host).expect_body("x");
    }
    for host in [format!("{label}.example"), format!("{label}.local.example"), format!("x{label}.local")] {
        server.get("/a.txt").host(&host).expect(421);
    }
}

/// No page can reach a Unix socket, so whoever can calls it as it likes; what is no host is still malformed.
#[test]
fn a_unix_socket_answers_to_every_name() {
    let place = tempfile::tempdir().unwrap();
    let socket = place.path().join("socket");
    let server = Server::builder().value("--listen", format!("unix:{}", socket.display())).start();
    server.write("a.txt", "over a socket");
    for (host, status) in [("docker", 200), ("files.example:443", 200), ("", 200), ("localhost", 200), ("a b", 400)] {
        // A small file is answered from memory the second time.
        for _ in 0..3 {
            let mut stream = UnixStream::connect(&socket).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            write!(stream, "GET /a.txt HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
            let mut begin = [0; 12];
            stream.read_exact(&mut begin).unwrap();
            assert_eq!(begin, *format!("HTTP/1.1 {status}").as_bytes(), "{host}");
        }
    }
    server.get("/a.txt").host("docker").expect(421);
}

/// RFC 9112 §3.2.2 to §3.2.4: the forms of a target.
#[test]
fn targets_in_every_form() {
    let server = Server::start();
    server.write("a.txt", "x");
    let own = server.address();
    let host = format!("Host: {own}\r\n");
    for (method, target, fields, status) in [
        ("GET", format!("http://{own}/a.txt"), host.clone(), 200),
        ("GET", format!("HTTP://{own}/a.txt"), host.clone(), 200),
        ("GET", format!("https://{own}/a.txt"), host.clone(), 200),
        ("GET", format!("http://{own}"), host.clone(), 200),
        // The target's authority counts, and not the Host (RFC 9112 §3.2.2).
        ("GET", format!("http://{own}/a.txt"), "Host: evil.example\r\n".to_owned(), 200),
        ("GET", "http://evil.example/a.txt".to_owned(), host.clone(), 421),
        ("GET", format!("http://{own}/a.txt"), "Host: a b\r\n".to_owned(), 400),
        ("GET", format!("http://user@{own}/a.txt"), host.clone(), 400),
        ("GET", format!("http://user:secret@{own}/a.txt"), host.clone(), 400),
        ("PUT", format!("http://@{own}/a.txt"), host.clone(), 400),
        ("GET", format!("http://{own}/a.txt"), "Host: user@localhost\r\n".to_owned(), 400),
        ("GET", format!("http://{own}/a.txt"), format!("{host}{host}"), 400),
        ("PUT", format!("http://{own}/a.txt"), "Host: a\r\nHost: b\r\n".to_owned(), 400),
        ("GET", format!("http://{own}/a.txt"), String::new(), 400),
        // What was in Host is replaced by the authority, and may be nothing.
        ("GET", format!("http://{own}/a.txt"), "Host:\r\n".to_owned(), 200),
        ("GET", "http://localhost:/a.txt".to_owned(), host.clone(), 200),
        ("GET", "http://localhost:65535/a.txt".to_owned(), host.clone(), 200),
        ("GET", "http://localhost:65536/a.txt".to_owned(), host.clone(), 400),
        ("PUT", "http://localhost:99999999999/a.txt".to_owned(), host.clone(), 400),
        ("GET", "http://localhost:+80/a.txt".to_owned(), host.clone(), 400),
        ("GET", "http://localhost:80:80/a.txt".to_owned(), host.clone(), 400),
        ("GET", "http:///a.txt".to_owned(), host.clone(), 400),
        ("GET", "http://:80/a.txt".to_owned(), host.clone(), 400),
        ("PUT", "http://evil.example:99999/a.txt".to_owned(), host.clone(), 400),
        ("PUT", "http://evil.example/a.txt".to_owned(), host.clone(), 421),
        ("GET", "http:a.txt".to_owned(), host.clone(), 400),
        ("GET", format!("ftp://{own}/a.txt"), host.clone(), 400),
        ("GET", "*".to_owned(), host.clone(), 400),
        ("DELETE", "*".to_owned(), host.clone(), 400),
        ("PROPFIND", "*".to_owned(), host.clone(), 400),
        ("OPTIONS", "*".to_owned(), host.clone(), 200),
        ("OPTIONS", "*".to_owned(), "Host: evil.example\r\n".to_owned(), 421),
        ("GET", "localhost".to_owned(), host.clone(), 400),
        ("GET", "localhost:80".to_owned(), host.clone(), 400),
        ("GET", "a.txt".to_owned(), host.clone(), 400),
        ("DELETE", "a.txt".to_owned(), host.clone(), 400),
        ("CONNECT", "localhost:80".to_owned(), host.clone(), 405),
        ("CONNECT", "evil.example:443".to_owned(), "Host: evil.example:443\r\n".to_owned(), 405),
        ("CONNECT", "/a.txt".to_owned(), host.clone(), 405),
    ] {
        let answer = raw(&server, method, &target, &fields);
        assert_eq!(answer.status, status, "{method} {target} {fields:?}: {answer}");
        let text = answer.text();
        assert!(!text.contains("empty segment"), "{method} {target}: {answer}");
        assert!(status == 421 || !text.contains("another server"), "{method} {target}: {answer}");
        assert_eq!(answer.header("allow").is_some(), method == "OPTIONS" && status == 200 || status == 405, "{answer}");
    }
    assert_eq!(server.read("a.txt"), "x");
}

/// Slashes beside each other are one, wherever they stand and whatever is asked.
#[test]
fn empty_segments_are_as_if_they_were_not_there() {
    let server = Server::start();
    assert_eq!(server.mkcol("//d").expect(201).field("location"), "/d/");
    assert_eq!(server.put("//d//a.txt").body("one").expect(201).field("location"), "/d/a.txt");
    for target in ["/d/a.txt", "//d/a.txt", "/d//a.txt", "///d////a.txt"] {
        for _ in 0..2 {
            server.get(target).expect_body("one");
            server.request("HEAD", target).expect(200);
        }
        server.options(target).expect(200);
        let told = server.propfind(target, "0").expect(207).multistatus();
        assert_eq!(told.hrefs(), ["/d/a.txt"], "{target}");
    }
    for target in ["//", "///", "/d//", "//d/", "//d"] {
        server.get(target).expect(200);
    }
    assert_eq!(server.propfind("//d//", "1").expect(207).multistatus().hrefs(), ["/d/", "/d/a.txt"]);
    server.get("/d/a.txt//").expect(404);
    server.put("/d//a.txt").if_match(tag_of("one")).body("two").expect(204);
    server.put("/new.txt//").body("x").expect_any(&[404, 405, 409]);
    server.proppatch("/d//a.txt", "<D:set><D:prop><t:a>1</t:a></D:prop></D:set>").expect(207);
    assert_eq!(server.properties("/d/a.txt", "<t:a/>").value("{urn:t}a"), "1");
    let token = server.locked("/d//a.txt", "0");
    server.put("/d/a.txt").body("three").expect(423);
    server.put("//d/a.txt").states(format!("<//d//a.txt> (<{token}>)")).body("three").expect(204);
    server.put("/d/a.txt").states(format!("<http://{}//d//a.txt> (<{token}>)", server.address())).body("4").expect(204);
    server.unlock("//d/a.txt", &token).expect(204);
    assert_eq!(server.copying("/d//a.txt", "//d//b.txt").expect(201).field("location"), "/d/b.txt");
    server.moving("//d/b.txt", format!("http://{}//d//c.txt", server.address())).expect(201);
    server.delete("/d//c.txt").expect(204);
    server.get("//d/a.txt?versions").expect(200);
    // What is no path stays none.
    for target in ["//..", "/d//../d/a.txt", "//.//d", "//evil.example/..", "//d/%2f/a.txt", "//.noclobber//history"] {
        server.get(target).expect_any(&[400, 404]);
        server.copying("/d/a.txt", target).expect_any(&[400, 403]);
    }
    assert_eq!(server.names("d"), ["a.txt"]);
}

/// A backslash is a letter like any other here; a control character is none, and the answer says why.
#[test]
fn which_names_can_be_made() {
    let server = Server::start();
    for (name, target) in [
        ("system-systemd\\x2dfsck.slice", "/system-systemd%5Cx2dfsck.slice"),
        ("\\", "/%5c"),
        ("..\\..\\etc", "/..%5C..%5Cetc"),
        ("a:b?*|<>\"", "/a:b%3F*%7C%3C%3E%22"),
        (" a ", "/%20a%20"),
        ("~$a.", "/~$a."),
    ] {
        server.put(target).body("made").expect(201);
        assert_eq!(server.read(name), "made");
        server.get(target).expect_body("made");
        server.copying(target, format!("{target}2")).expect(201);
        server.moving(format!("{target}2"), format!("{target}3")).expect(201);
        server.delete(format!("{target}3")).expect(204);
        let told = server.propfind(target, "0").expect(207).multistatus();
        assert_eq!(told.hrefs().len(), 1, "{name}");
        server.delete(target).expect(204);
        server.mkcol(target).expect(201);
        server.put(format!("{target}/inner%5Cfile")).body("made").expect(201);
        server.get(format!("{target}?json")).expect(200);
        server.delete(target).expect(204);
        server.lock(target, "exclusive", "0").expect(201);
    }
    server.write("source", "x");
    for target in ["/a%0ab", "/%7f", "/%1b%5b0m", "/a%c2%85", "/%ff", "/%01"] {
        server.put(target).body("x").expect(400);
        server.mkcol(target).expect(400);
        let answer = server.copying("/source", target).expect(400);
        assert!(answer.text().contains("control characters") && !answer.text().contains("backslash"), "{answer}");
        server.moving("/source", target).expect(400);
        server.lock(target, "exclusive", "0").expect(400);
    }
    assert_eq!(server.read("source"), "x");
}
