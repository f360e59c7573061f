//! Passwords, tokens, links and sessions, right and wrong, brought along in every way there is: none is in a log, an answer, a file, the list of
//! processes or what a crash leaves. What every other test brings along the harness looks for when it stops a server (`harness::canaries`).

use std::fs;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::Signal;

use crate::harness::canaries::{are_not_below, are_not_in, found_in, note};
use crate::harness::client::percent_encode;
use crate::harness::server::Options;
use crate::harness::users::{UsersFile, Way, basic, password_of, signed, token_of};
use crate::harness::{Request, Server, left_out};

const RULES: &str = "[[rules]]\npath = \"/\"\nwho = \"user:bob\"\nmay = [\"write\", \"history\"]\n";

/// Secrets that are none here, as those that somebody mistypes or has for another server.
const WRONG_PASSWORD: &str = "canary-of-a-password";
const WRONG_TOKEN: &str = "nc_canary-of-a-token";
const WRONG_SESSION: &str = "canary-of-a-session-4QyXr2";
const WRONG_LINK: &str = "canaryOfALinkAAAAAAAAA";

fn serve(users: &UsersFile, options: Options) -> Server {
    options.value("--users", users.path().display()).start()
}

/// Each of these secrets in each place of a request where one may come to stand.
fn every_way(server: &Server) -> Vec<Request> {
    let (get, address) = (|| server.get("/f"), server.address());
    let mut requests = Vec::new();
    for secret in [WRONG_PASSWORD, WRONG_TOKEN, WRONG_SESSION, WRONG_LINK, &password_of("bob"), &token_of("bob")] {
        let encoded = percent_encode(secret.as_bytes());
        for authorization in [
            basic("bob", secret),
            basic("nobody", secret),
            basic(secret, "x"),
            format!("Basic {secret}"),
            format!("Basic bob:{secret}"),
            format!("basic   {} ", STANDARD.encode(format!(":{secret}"))),
            format!("Bearer {secret} more"),
            format!("Digest username=\"bob\", response=\"{encoded}\", nonce=\"{encoded}\""),
            format!("Unknown {secret}"),
            secret.to_owned(),
        ] {
            requests.push(get().header("authorization", authorization));
        }
        requests.push(get().header("authorization", "Basic x").header("authorization", format!("Bearer {secret}")));
        for (field, value) in [
            ("cookie", format!("noclobber-session={secret}")),
            ("cookie", format!("a=b; noclobber-session={encoded}; noclobber-session={secret}")),
            ("referer", format!("http://bob:{encoded}@{address}/f")),
            ("referer", format!("http://{address}/?sign-in={encoded}")),
            ("proxy-authorization", format!("Basic {}", STANDARD.encode(secret))),
            ("x-api-key", secret.to_owned()),
            ("if", format!("<http://bob:{encoded}@{address}/f> ([\"x\"])")),
            ("if", format!("<http://{address}/f?sign-in={encoded}> ([\"x\"])")),
        ] {
            requests.push(get().header(field, &value));
            requests.push(server.put("/f").header(field, value).body("x"));
        }
        for target in [
            format!("/?sign-in={encoded}"),
            format!("/f?sign%2Din={encoded}"),
            format!("/?sign-in={encoded}&sign-in={encoded}"),
            format!("http://bob:{encoded}@{address}/f"),
            format!("http://bob:{encoded}@other.example/f"),
        ] {
            requests.push(server.get(&target));
            requests.push(server.post(&target).body("x"));
        }
        for destination in
            [format!("http://bob:{encoded}@{address}/g"), format!("http://{address}/g?sign-in={encoded}")]
        {
            requests.push(server.request("COPY", "/f").header("destination", destination));
        }
        let form = |kind: &str, body: String| server.post("/?sign-in").header("content-type", kind).body(body);
        requests.push(form("application/x-www-form-urlencoded", format!("name=carl&password={encoded}")));
        requests.push(form("application/x-www-form-urlencoded", format!("name={encoded}&passwort={encoded}")));
        requests.push(form("application/json", serde_json::json!({ "name": "carl", "password": secret }).to_string()));
        requests.push(form("application/json", format!("{{\"password\": \"{secret}\"")));
        requests.push(form("text/plain", secret.to_owned()));
    }
    requests
}

/// However closely the log looks, and whatever its form.
#[test]
fn no_secret_is_written_down_whatever_way_it_comes() {
    [WRONG_PASSWORD, WRONG_TOKEN, WRONG_SESSION, WRONG_LINK].into_iter().for_each(note);
    for form in ["text", "json", "common", "combined"] {
        let users = UsersFile::make(RULES);
        let log = tempfile::tempdir().unwrap();
        let file = log.path().join("log");
        let options = Server::builder().value("--log-level", "trace").value("--log-format", form);
        let server = serve(&users, options.value("--log-file", file.display()));
        server.write("f", "text");
        for way in [Way::Basic, Way::Token, Way::Digest, Way::Session] {
            signed(server.put("/f"), "bob", way, &users).body("text").expect(204);
        }
        for request in every_way(&server) {
            // The harness looks at each answer.
            let signed_in = request.clone().header("cookie", "x=y");
            let _ = (request.try_send(), signed_in.try_send());
        }
        // Somebody has to wait for his turn.
        std::thread::scope(|scope| {
            for guess in 0..40 {
                let request =
                    server.get("/f").header("authorization", basic(&format!("nobody-{guess}"), WRONG_PASSWORD));
                scope.spawn(|| request.send());
            }
        });
        server.get("/the/last").send();
        crate::harness::eventually(Duration::from_secs(10), "the log to be written", || {
            fs::read_to_string(&file).unwrap().contains("/the/last").then_some(())
        });
        for line in fs::read_to_string(&file).unwrap().lines().chain(server.log().lines()) {
            assert_eq!(found_in(line.as_bytes()), None, "{form}: {line}");
        }
        are_not_in("the file of users", users.text().as_bytes());
        for file in ["cmdline", "environ", "status", "comm"] {
            let path = format!("/proc/{}/{file}", server.process_id());
            are_not_in(&path, &fs::read(&path).unwrap());
        }
    }
}

/// A crash leaves no picture of the memory, where there are secrets in it.
#[test]
fn a_crash_leaves_no_core_where_there_are_secrets() {
    const TEST: &str = "a_crash_leaves_no_core_where_there_are_secrets";
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    if pattern.trim().is_empty() || pattern.contains(['|', '/', '%']) {
        return left_out(TEST, "the system puts core dumps where this test does not look");
    }
    let users = UsersFile::make(RULES);
    // One that is confined writes none outside of its folders in any case.
    let server = || Server::with("--no-landlock");
    for (options, leaves_one) in [
        (server(), true),
        (server().value("--users", users.path().display()), false),
        (server().option("--tls"), false),
    ] {
        let place = tempfile::tempdir().unwrap();
        let unlimited = "cd \"$0\" && ulimit -c unlimited && exec \"$@\"";
        let mut server =
            options.under(["sh".into(), "-c".into(), unlimited.to_owned(), place.path().display().to_string()]).start();
        if server.get("/f").try_send().is_ok() {
            let _ = signed(server.get("/f"), "bob", Way::Basic, &users).send();
        }
        server.signal(Signal::ABORT);
        server.wait(Duration::from_secs(60));
        let left = fs::read_dir(place.path()).unwrap().count();
        assert_eq!(left > 0, leaves_one, "{:?}", fs::read_dir(place.path()).unwrap().collect::<Vec<_>>());
        are_not_below(server.state());
    }
}

/// What is looked for is found: a harness that overlooks would let everything pass.
#[test]
fn a_secret_that_stands_somewhere_is_found() {
    note("a secret: gr\u{fc}n");
    for text in [
        "before a secret: gr\u{fc}n after",
        "/?sign-in=a%20secret%3A%20gr%C3%BCn",
        "Authorization: Basic YSBzZWNyZXQ6IGdyw7xu",
        "\"YSBzZWNyZXQ6IGdyw7xu\"",
    ] {
        assert!(found_in(text.as_bytes()).is_some(), "{text}");
    }
    assert_eq!(found_in(b"a secret: green"), None);
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("deep")).unwrap();
    fs::write(folder.path().join("deep/file"), "a secret: gr\u{fc}n").unwrap();
    let looked = std::panic::catch_unwind(|| are_not_below(folder.path()));
    assert!(looked.is_err());
}
