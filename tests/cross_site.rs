//! A server on loopback without a password is open to every page that the browser shows. Such a page must not be able to write,
//! nor to reach the server under a name of its own.

use crate::harness::Server;

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
