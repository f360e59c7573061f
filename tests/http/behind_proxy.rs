//! What a proxy says of its client, as the proxies of `tests/clients/proxies.rs` and others say it: believed of those that are trusted, and as far
//! as all that they hand on agrees. What is believed decides whether passwords are taken, how guesses are counted, and who is let in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::harness::one_user::OneUserFile;
use crate::harness::{Request, Server};

const PASSWORD: &str = "grün:Tür";

fn users() -> OneUserFile {
    OneUserFile::with("alice", PASSWORD, &[])
}

fn basic(password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("alice:{password}")))
}

/// As a proxy hands it on.
fn handed_on(mut request: Request, fields: &[(&str, &str)]) -> Request {
    for (name, value) in fields {
        request = request.header(name, value);
    }
    request
}

/// A proxy that speaks TLS says so; of one that does not, or does not say, passwords are not taken, wherever it is.
#[test]
fn passwords_are_taken_where_the_proxy_says_that_nobody_reads_them() {
    let users = users();
    let trusting = users.options().value("--trusted-proxy", "127.0.0.1").start();
    for (fields, status) in [
        (&[("X-Forwarded-Proto", "https")][..], 200),
        (&[("X-Forwarded-Proto", "HTTPS")], 200),
        (&[("Forwarded", "for=192.0.2.7;proto=https")], 200),
        (
            &[
                ("Forwarded", "for=192.0.2.7;proto=https"),
                ("X-Forwarded-Proto", "https"),
                ("X-Forwarded-For", "192.0.2.7"),
            ],
            200,
        ),
        (&[], 403),
        (&[("X-Forwarded-Proto", "http")], 403),
        (&[("X-Forwarded-Proto", "https, http")], 403),
        (&[("X-Forwarded-For", "127.0.0.1")], 403),
        // One of them is the client's own.
        (&[("Forwarded", "proto=https"), ("X-Forwarded-Proto", "http")], 403),
        (&[("Forwarded", "proto=http"), ("X-Forwarded-Proto", "https")], 403),
        (&[("Forwarded", "proto=https"), ("X-Forwarded-For", "192.0.2.7")], 403),
    ] {
        let request = handed_on(trusting.get("/").header("Authorization", basic(PASSWORD)), fields);
        let answer = request.send();
        assert_eq!(answer.status, status, "{fields:?}: {answer}");
    }
}

/// Guesses are counted for each client, not for the proxy; a client that nobody names is one of many, and is at no machine of ours.
#[test]
fn guesses_are_counted_for_the_client_that_the_proxy_names() {
    let users = users();
    let server = users.options().value("--trusted-proxy", "127.0.0.1").start();
    let guess = |password: &str, fields: &[(&str, &str)]| {
        let request = server.get("/").header("Authorization", basic(password)).header("X-Forwarded-Proto", "https");
        handed_on(request, fields).send().status
    };
    for named in [
        &[("X-Forwarded-For", "192.0.2.7")][..],
        &[],
        &[("X-Forwarded-For", "192.0.2.9"), ("Forwarded", "for=127.0.0.1;proto=https")],
    ] {
        let mut statuses: Vec<u16> = (0..7).map(|_| guess("wrong", named)).collect();
        statuses.sort_unstable();
        assert_eq!(statuses.last(), Some(&429), "{named:?}: {statuses:?}");
    }
    assert_eq!(guess(PASSWORD, &[("X-Forwarded-For", "192.0.2.7, 192.0.2.8")]), 200, "another client of the proxy");
    server.wait_for_log("peer=192.0.2.8");
}

#[test]
fn the_user_whom_a_trusted_proxy_names_has_signed_in() {
    let users = users();
    let options = || users.options().value("--user-header", "Remote-User");
    let trusting = options().value("--trusted-proxy", "127.0.0.1").start();
    let status = |server: &Server, fields: &[(&str, &str)]| handed_on(server.get("/"), fields).send().status;
    for (fields, expected) in [
        (&[("Remote-User", "alice")][..], 200),
        (&[("remote-user", "alice"), ("Authorization", "Basic bm9ib2R5Og==")], 200),
        (&[], 401),
        (&[("Remote-User", "bob")], 401),
        (&[("Remote-User", "")], 401),
        (&[("Remote-User", "alice, bob")], 401),
        (&[("Remote-User", "alice"), ("Remote-User", "alice")], 401),
        (&[("Remote_User", "alice")], 401),
        (&[("X-Remote-User", "alice")], 401),
    ] {
        // That proxies may be trusted with users has nothing to do with what they say of the client.
        let mut fields = fields.to_vec();
        fields.push(("X-Forwarded-Proto", "https"));
        assert_eq!(status(&trusting, &fields), expected, "{fields:?}");
    }
    // Whoever is not named is everybody, and whoever is named wrong is nobody.
    let open = options().value("--trusted-proxy", "127.0.0.1").value("--anonymous", "read").start();
    for (name, expected) in [("alice", 200), ("", 200), (" ", 200), ("bob", 401)] {
        let fields = [("Remote-User", name), ("X-Forwarded-Proto", "https")];
        assert_eq!(status(&open, &fields), expected, "{name:?}");
    }
    let others = [options().value("--trusted-proxy", "192.0.2.1").start(), options().start(), users.options().start()];
    for server in &others {
        assert_eq!(status(server, &[("Remote-User", "alice"), ("X-Forwarded-For", "192.0.2.1")]), 401);
    }
}

/// The name that the client has called the proxy is to be one of ours, and pages are of its site.
#[test]
fn the_host_that_a_proxy_was_called_is_judged() {
    let server = Server::with("--base-path=/files")
        .value("--trusted-proxy", "127.0.0.1")
        .value("--allow-host", "files.example.org")
        .start();
    for (host, origin, status) in [
        ("files.example.org", None, 201),
        ("files.example.org", Some("https://files.example.org"), 204),
        ("files.example.org", Some("https://evil.example"), 403),
        ("evil.example", None, 421),
        ("evil.example", Some("https://evil.example"), 421),
        ("files.example.org, evil.example", None, 421),
        ("evil.example, files.example.org", None, 204),
    ] {
        let request = server.put("/files/a.txt").header("X-Forwarded-Host", host).body("x");
        let answer = origin.iter().fold(request, |request, origin| request.header("Origin", origin)).send();
        assert_eq!(answer.status, status, "{host} {origin:?}: {answer}");
    }
}

/// The form leads back to where it came from, and its cookie goes to the share alone.
#[test]
fn a_session_begins_and_ends_below_the_base() {
    let users = users();
    let server = users.options().value("--base-path", "/files").value("--trusted-proxy", "127.0.0.1").start();
    server.write("d/a.txt", "x");
    let form = |target: &str, body: &str| {
        let request = server.post(target).header("Content-Type", "application/x-www-form-urlencoded");
        request.header("X-Forwarded-Proto", "https").body(body)
    };
    // Of a proxy that does not say how it was reached it is not known who reads what is typed.
    server.get("/files/d/?sign-in").expect(403);
    let page = server.get("/files/d/?sign-in").header("X-Forwarded-Proto", "https").expect(200).text();
    assert!(page.contains("action=\"?sign-in\""), "{page}");
    let signed_in = form("/files/d/?sign-in", "name=alice&password=gr%C3%BCn%3AT%C3%BCr").expect(303);
    assert_eq!(signed_in.field("location"), "/files/d/");
    let cookie = signed_in.field("set-cookie").to_owned();
    assert!(cookie.contains("; Path=/files;") && cookie.contains("; Secure"), "{cookie}");
    let secret = cookie.split(';').next().unwrap();
    let read = || server.get("/files/d/a.txt").header("Cookie", secret).header("X-Forwarded-Proto", "https");
    read().expect_body("x");
    let signed_out = form("/files/d/?sign-out", "").header("Cookie", secret).expect(303);
    assert_eq!(signed_out.field("location"), "/files/d/");
    assert!(signed_out.field("set-cookie").contains("; Path=/files;"), "{signed_out}");
    read().expect(401);
}
