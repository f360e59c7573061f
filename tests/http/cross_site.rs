//! A server on loopback without a password is open to every page that the browser shows. Such a page must not be able to write,
//! nor to reach the server under a name of its own, nor to look at what is in the folder. Pages that are allowed may.

use crate::harness::client::tag_of;
use crate::harness::{Answer, Request, Server};

/// A page of another site writes here through the visitor's browser. It cannot: not by form, not by script.
#[test]
fn a_page_of_another_site_writes_nothing() {
    let server = Server::start();
    server.write("a.txt", "old");
    let own = format!("http://{}", server.address());
    let foreign = ["http://evil.example", "null", "http://127.0.0.1:1", "https://localhost", "http://localhost"];
    for method in ["PUT", "DELETE", "MKCOL", "POST"] {
        for origin in foreign {
            let request = server.request(method, "/a.txt").header("Origin", origin);
            let request = if method == "PUT" { request.body("evil") } else { request };
            request.expect(403);
        }
        for site in ["cross-site", "same-site"] {
            let request = server.request(method, "/a.txt").header("Sec-Fetch-Site", site);
            let request = if method == "PUT" { request.body("evil") } else { request };
            request.expect(403);
        }
    }
    server.get("/a.txt").expect_body("old");
    server.put("/a.txt").header("Origin", &own).header("Sec-Fetch-Site", "same-origin").body("new").expect(204);
    server.put("/a.txt").header("Sec-Fetch-Site", "none").body("newer").expect(204);
}

/// No other site is ever given leave to read.
#[test]
fn no_other_site_is_given_leave() {
    let server = Server::start();
    server.write("a.txt", "x");
    for request in [server.get("/a.txt"), server.options("/a.txt").header("Access-Control-Request-Method", "PUT")] {
        let answer = request.header("Origin", "http://evil.example").send();
        assert!(!answer.headers.iter().any(|(name, _)| name.starts_with("access-control-")), "{answer}");
    }
}

/// A name of somebody else's that leads to this machine (DNS rebinding) is not answered.
#[test]
fn another_host_is_not_served_here() {
    let server = Server::start();
    server.write("a.txt", "x");
    let port = server.address().port();
    for host in [
        "evil.example",
        "evil.example:80",
        "localhost.evil.example",
        "evil.localhost.example",
        "127.0.0.1.evil.example",
    ] {
        for method in ["GET", "PUT", "DELETE", "OPTIONS"] {
            server.request(method, "/a.txt").host(host).expect(421);
        }
    }
    for host in [format!("localhost:{port}"), format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
        server.get("/a.txt").host(&host).expect_body("x");
    }
    server.get("/a.txt").without_host().expect(400);
    server.get("/a.txt").header("Host", "localhost").expect(400);
    server.get("http://evil.example/a.txt").expect(421);
    assert_eq!(server.read("a.txt"), "x");
}

/// A host that was named when the server started is served.
#[test]
fn a_host_that_was_allowed_is_served() {
    let server = Server::builder().value("--allow-host", "files.example").start();
    server.write("a.txt", "x");
    let port = server.address().port();
    server.get("/a.txt").host(&format!("files.example:{port}")).expect_body("x");
    server.get("/a.txt").host("FILES.example").expect_body("x");
    server.get("/a.txt").host("other.example").expect(421);
}

/// What the browser itself lets reach every site, no page can forge: extensions may write. What a browser says comes from another site is
/// refused also to them, and a local page is a page.
#[test]
fn extensions_of_the_browser_may_write() {
    let server = Server::start();
    for scheme in ["chrome-extension", "moz-extension", "safari-web-extension", "safari-extension", "extension"] {
        let put = || server.put("/a.txt").header("Origin", format!("{scheme}://fnaicdffflnofjppbagibeoednhnbjhg"));
        put().body("x").expect_any(&[201, 204]);
        put().header("Sec-Fetch-Site", "none").body("x").expect(204);
        put().header("Sec-Fetch-Site", "cross-site").body("evil").expect(403);
        put().header("Origin", "http://evil.example").body("evil").expect(403);
    }
    for origin in
        ["file://", "null", "data:", "chrome-extension", "chrome-extension:", "http-extension//", "https:", ""]
    {
        server.put("/a.txt").header("Origin", origin).header("Sec-Fetch-Site", "none").body("evil").expect(403);
    }
    assert_eq!(server.read("a.txt"), "x");
}

/// A proxy in front may give the server another host than the browser has. The browser says whose page it is.
#[test]
fn a_page_of_ours_behind_a_proxy_may_write() {
    let server = Server::start();
    let put = || server.put("/a.txt").header("Origin", "https://files.example");
    put().header("Sec-Fetch-Site", "same-origin").body("x").expect(201);
    put().body("evil").expect(403);
    server.put("/a.txt").header("Origin", "null").header("Sec-Fetch-Site", "same-origin").body("evil").expect(403);
    assert_eq!(server.read("a.txt"), "x");
}

const EDITOR: &str = "https://editor.example";

fn with_an_editor() -> Server {
    let server = Server::builder().value("--allow-origin", EDITOR).value("--allow-origin", "app://notes").start();
    server.write("a.txt", "text");
    server.write("d/b.txt", "text");
    server
}

fn grants(answer: &Answer) -> Vec<&str> {
    let fields = answer.headers.iter().map(|(name, _)| name.as_str());
    fields.filter(|name| name.starts_with("access-control-")).collect()
}

/// What the browser asks before a page may send what no form could: methods, headers, and the way to a local server.
#[test]
fn an_allowed_page_is_told_what_it_may_send() {
    let server = with_an_editor();
    let ask = |target: &str, origin: &str, method: &str| {
        server
            .options(target)
            .header("Origin", origin)
            .header("Access-Control-Request-Method", method)
            .header("Access-Control-Request-Headers", "if-match,x-my-own")
            .header("Access-Control-Request-Private-Network", "true")
    };
    for method in ["PUT", "DELETE", "PROPFIND", "PROPPATCH", "MKCOL", "MOVE", "COPY", "LOCK", "UNLOCK", "POST"] {
        for (target, origin) in [("/a.txt", EDITOR), ("/none/at/all", EDITOR), ("/d/", "app://notes")] {
            let answer = ask(target, origin, method).expect(200);
            assert_eq!(answer.field("access-control-allow-origin"), origin);
            let methods = answer.field("access-control-allow-methods").to_owned();
            assert!(methods.split(", ").any(|allowed| allowed == method), "{answer}");
            let fields = answer.field("access-control-allow-headers").to_ascii_lowercase();
            for field in [
                "if-match",
                "if-none-match",
                "if",
                "depth",
                "destination",
                "overwrite",
                "content-type",
                "range",
                "x-my-own",
            ] {
                assert!(fields.split(", ").any(|allowed| allowed == field), "{field}: {answer}");
            }
            assert_eq!(answer.field("access-control-allow-private-network"), "true");
            assert_eq!(answer.field("access-control-allow-credentials"), "true");
            assert!(varies_by_origin(&answer), "{answer}");
        }
    }
    for origin in ["https://evil.example", "http://editor.example", "https://editor.example:8443", "null", "*"] {
        let answer = ask("/a.txt", origin, "PUT").expect(200);
        assert!(grants(&answer).is_empty() && varies_by_origin(&answer), "{answer}");
    }
}

fn varies_by_origin(answer: &Answer) -> bool {
    let mut lines = answer.headers.iter().filter(|(name, _)| name == "vary");
    lines.any(|(_, value)| value.split(',').any(|word| word.trim().eq_ignore_ascii_case("origin")))
}

/// Every answer to an allowed page may be read by it, whatever it says; to all others it says nothing of the kind.
#[test]
fn an_allowed_page_may_read_and_write() {
    let server = with_an_editor();
    for (request, status) in every_kind_of_answer(&server) {
        let foreign = request.clone().header("Origin", "https://evil.example");
        let own = request.header("Origin", EDITOR).header("Sec-Fetch-Site", "cross-site");
        let foreign = foreign.send();
        assert!(grants(&foreign).is_empty() && varies_by_origin(&foreign), "{foreign}");
        assert_eq!(foreign.field("cross-origin-resource-policy"), "same-origin", "{foreign}");
        let answer = own.expect(status);
        assert_eq!(answer.field("access-control-allow-origin"), EDITOR, "{answer}");
        assert_eq!(answer.field("cross-origin-resource-policy"), "cross-origin", "{answer}");
        assert!(answer.field("access-control-expose-headers").contains("ETag"), "{answer}");
        assert!(varies_by_origin(&answer), "{answer}");
    }
    let put = |origin: &str| {
        server.put("/new.txt").header("Origin", origin).header("Sec-Fetch-Site", "cross-site").body("by a page").send()
    };
    put(EDITOR).expect(201);
    put("app://notes").expect(204);
    put("https://evil.example").expect(403);
    assert_eq!(server.read("new.txt"), "by a page");
}

/// Whether it is a picture or a script, found or not: what is here is not to be shown, run or measured by other sites' pages.
#[test]
fn no_other_page_may_embed_what_is_here() {
    let server = Server::start();
    server.write("a.txt", "text");
    server.write("d/b.txt", "text");
    for (request, status) in every_kind_of_answer(&server) {
        // A small file is answered from memory the second time.
        for request in
            [request.clone(), request.header("Sec-Fetch-Site", "cross-site").header("Sec-Fetch-Dest", "script")]
        {
            let answer = request.send();
            assert!([status, 403, 201, 404].contains(&answer.status), "{answer}");
            assert_eq!(answer.field("cross-origin-resource-policy"), "same-origin", "{answer}");
            assert!(grants(&answer).is_empty(), "{answer}");
        }
    }
}

/// In a frame a page would not read what it shows, but find out whether there is something.
#[test]
fn no_other_page_shows_in_a_frame_what_is_here() {
    let server = with_an_editor();
    let get = |site: &str, kind: &str| {
        let request = |target: &str| {
            server
                .get(target)
                .header("Sec-Fetch-Site", site)
                .header("Sec-Fetch-Dest", kind)
                .header("Sec-Fetch-Mode", "navigate")
        };
        // A small file is answered from memory the second time.
        ["/a.txt", "/a.txt", "/", "/none"].map(|target| {
            let answer = request(target).send();
            assert_eq!(answer.field("x-frame-options"), "SAMEORIGIN");
            answer.status
        })
    };
    for kind in ["iframe", "frame", "fencedframe", "object", "embed"] {
        for site in ["cross-site", "same-site"] {
            assert_eq!(get(site, kind), [403; 4], "{site} {kind}");
        }
        assert_eq!(get("same-origin", kind), [200, 200, 200, 404], "{kind}");
    }
    for site in ["cross-site", "same-site", "none"] {
        assert_eq!(get(site, "document"), [200, 200, 200, 404], "{site}");
    }
}

/// One request for each way in which an answer is made, and its status.
fn every_kind_of_answer(server: &Server) -> Vec<(Request, u16)> {
    server.put("/old.txt").body("old").expect_any(&[201, 204]);
    server.put("/old.txt").body("new").expect(204);
    let versions = server.get("/old.txt?versions").expect(200).text();
    let version = versions.split("\"id\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let tag = tag_of("text");
    let long = "x".repeat(10_000);
    vec![
        (server.get("/a.txt"), 200),
        (server.get("/a.txt"), 200),
        (server.request("HEAD", "/a.txt"), 200),
        (server.get("/a.txt").if_none_match(&tag), 304),
        (server.get("/a.txt").if_none_match("*"), 304),
        (server.get("/a.txt").range("bytes=1-2"), 206),
        (server.get("/a.txt").range("bytes=0-0,2-2"), 206),
        (server.get("/a.txt").range("bytes=9-"), 416),
        (server.get("/a.txt").if_match("\"stale\""), 412),
        (server.get("/a.txt?download"), 200),
        (server.get("/a.txt").header("Want-Repr-Digest", "sha-256=1"), 200),
        (server.get("/none"), 404),
        (server.get("/%zz"), 400),
        (server.get("/"), 200),
        (server.get("/?json"), 200),
        (server.get("/old.txt?versions"), 200),
        (server.get(format!("/old.txt?version={version}")), 200),
        (server.get("/old.txt?version=none"), 404),
        (server.get("/a.txt").header("X", &long).header("Y", &long).header("Z", &long).header("A", &long), 431),
        (server.get(format!("/{long}")), 414),
        (server.get("/a#b"), 400),
        (server.options("/a.txt"), 200),
        (server.propfind("/", "1"), 207),
        (server.put("/a.txt").if_match("\"stale\"").body("x"), 412),
        (server.put("/a.txt").if_match("\"stale\"").header("Prefer", "return=representation").body("x"), 412),
        (server.put("/a.txt").if_match("\"stale\"").body_when_asked("x"), 412),
        (server.put("/a.txt").body("text"), 204),
        (server.put("/none/a.txt").body("x"), 409),
        (server.delete("/none"), 404),
        (server.request("PATCH", "/a.txt"), 415),
        (server.request("FROBNICATE", "/a.txt"), 501),
        (server.request("REPORT", "/a.txt"), 403),
        (server.lock("/none/a.txt", "exclusive", "0"), 409),
    ]
}

/// What cannot be an origin is told when the server starts.
#[test]
fn an_origin_that_is_allowed_has_to_be_one() {
    for origin in
        ["*", "null", "editor.example", "https://editor.example/app", "https://", "https://a b", "https://u@a"]
    {
        let (status, printed) = Server::builder().value("--allow-origin", origin).start_in_vain();
        assert_eq!(status.code(), Some(2), "{origin}: {printed}");
        assert!(printed.contains("--allow-origin"), "{printed}");
    }
    // As a person may write what the browser says shorter.
    for origin in ["HTTPS://Editor.Example:443", "https://editor.example/"] {
        let server = Server::builder().value("--allow-origin", origin).start();
        server.put("/a.txt").header("Origin", EDITOR).body("x").expect(201);
    }
}
