//! Locks over WebDAV (RFC 4918 §6, §7, §9.10, §9.11): taken, refused, refreshed, given back, and what they keep others from.
//! The numbers in front of a story are those of the rules it holds the server to. Time passes only where the clock is an argument.

use std::sync::Arc;
use std::time::Duration;

use noclobber::model::extent::Extent;
use noclobber::model::lock::{Reach, Scope};
use noclobber::model::lock_token::LockToken;
use noclobber::model::path::SharePath;
use noclobber::share::outcome::{Refusal, Stop};
use noclobber::share::{CopyLimit, LockRequest, RequestContext, Share, ShareSettings};
use noclobber::store::abilities::Tier;
use noclobber::store::catalog::index::Index;
use noclobber::store::local::commit::Tree;

use crate::harness::client::tag_of;
use crate::harness::dav::{Element, NAMESPACES, lock_info};
use crate::harness::sim_disk::{Features, SimDisk};
use crate::harness::{Connection, Request, Server};

/// A server with `/d/a.txt` and `/d/e/b.txt`.
fn with_a_tree() -> Server {
    let server = Server::start();
    server.mkcol("/d").expect(201);
    server.mkcol("/d/e").expect(201);
    server.put("/d/a.txt").body("text").expect(201);
    server.put("/d/e/b.txt").body("deeper").expect(201);
    server
}

/// The URLs in a condition element.
#[track_caller]
fn hrefs(condition: &Element) -> Vec<String> {
    condition.elements().map(Element::text).collect()
}

/// Fails unless the answer is 423 and names these roots.
#[track_caller]
fn expect_locked(request: Request, roots: &[&str]) {
    let answer = request.expect(423);
    assert_eq!(hrefs(&answer.dav_error("D:lock-token-submitted")), roots, "{answer}");
}

/// 11.1.2 to 11.1.5: a lock on a file says all there is to say of it, and PROPFIND says the same.
#[test]
fn a_lock_tells_of_itself() {
    let server = with_a_tree();
    let owner = "<D:owner><D:href>http://example.org/~me</D:href> &amp; <t:x t:y=\"z\">co</t:x></D:owner>";
    let request = server.request("LOCK", "/d/a.txt").depth("0").header("Timeout", "Infinite, Second-4100000000");
    let answer = request.xml(lock_info("exclusive", owner)).expect(200);
    let token = answer.token();
    assert!(token.starts_with("urn:uuid:") && token.len() == "urn:uuid:".len() + 36, "{token}");
    assert_eq!(token.as_bytes()["urn:uuid:".len() + 14], b'4', "a random one");
    let lock = answer.active_lock();
    assert_eq!(lock.at(&["D:locktype"]).names(), ["D:write"]);
    assert_eq!(lock.at(&["D:lockscope"]).names(), ["D:exclusive"]);
    assert_eq!(lock.at(&["D:depth"]).text(), "0");
    assert_eq!(lock.at(&["D:locktoken", "D:href"]).text(), token);
    assert_eq!(lock.at(&["D:lockroot", "D:href"]).text(), "/d/a.txt");
    let timeout = lock.at(&["D:timeout"]).text();
    assert!(
        timeout == "Infinite" || timeout.strip_prefix("Second-").is_some_and(|n| n.parse::<u32>().is_ok()),
        "{timeout}"
    );
    let sent = Element::parse(&format!("<all {NAMESPACES}>{owner}</all>")).at(&["D:owner"]).clone();
    assert_eq!(lock.at(&["D:owner"]), &sent, "11.1.5");

    let told = server.properties("/d/a.txt", "<D:lockdiscovery/>");
    let there = told.found("D:lockdiscovery").at(&["D:activelock"]).clone();
    assert_eq!(there.at(&["D:owner"]), &sent);
    assert_eq!(there.at(&["D:locktoken", "D:href"]).text(), token);
    assert_ne!(server.locked("/d/e/b.txt", "0"), token, "11.1.4: never the same twice");
}

/// 11.1.1, 11.1.6: what LOCK does not understand it does not take.
#[test]
fn locks_that_cannot_be_are_refused() {
    let server = with_a_tree();
    let wrong = |inside: &str| {
        server.request("LOCK", "/d/a.txt").xml(format!("<D:lockinfo {NAMESPACES}>{inside}</D:lockinfo>"))
    };
    let scope = "<D:lockscope><D:exclusive/></D:lockscope>";
    let kind = "<D:locktype><D:write/></D:locktype>";
    for inside in [
        String::new(),
        scope.to_owned(),
        kind.to_owned(),
        format!("<D:lockscope/>{kind}"),
        format!("<D:lockscope><t:other/></D:lockscope>{kind}"),
        format!("{scope}<D:locktype><t:read/></D:locktype>"),
        format!("<D:lockscope><D:exclusive/><D:shared/></D:lockscope>{kind}"),
    ] {
        wrong(&inside).expect_any(&[400, 422]);
    }
    server.request("LOCK", "/d/a.txt").xml(format!("<D:other {NAMESPACES}>{scope}{kind}</D:other>")).expect(400);
    server.lock("/d", "exclusive", "1").expect(400);
    server.lock("/d", "exclusive", "x").expect(400);
    server.request("LOCK", "/d/a.txt").expect(400);
    server.request("LOCK", "/none.txt").expect(400);
    assert!(server.tokens_on("/d/a.txt").is_empty() && server.tokens_on("/d").is_empty());
    assert!(!server.local("none.txt").exists(), "11.3.3");
    server.lock("/none/a.txt", "exclusive", "0").expect(409);
    server.lock("/d/a.txt/b", "exclusive", "0").expect(409);
}

/// 11.1.2, 11.1.10: a lock on a free name makes an empty file, which stays when the lock ends.
#[test]
fn a_free_name_can_be_locked() {
    let server = with_a_tree();
    let token = server.lock("/new.txt", "exclusive", "infinity").expect(201).token();
    let get = server.get("/new.txt").expect(200);
    assert_eq!((get.field("content-length"), get.body.len()), ("0", 0));
    assert!(server.propfind("/", "1").expect(207).multistatus().hrefs().contains(&"/new.txt"));
    let refused = server.mkcol("/new.txt").expect(405);
    assert!(refused.header("allow").is_some());
    server.mkcol("/new.txt").holding(&token).expect(405);
    expect_locked(server.put("/new.txt").body("x"), &["/new.txt"]);
    server.put("/new.txt").holding(&token).body("filled").expect(204);
    server.lock("/other.txt", "exclusive", "0").expect(201);
    let other = server.tokens_on("/other.txt")[0].clone();
    server.unlock("/other.txt", &other).expect(204);
    server.get("/other.txt").expect_body("");
    server.unlock("/new.txt", &token).expect(204);
    server.get("/new.txt").expect_body("filled");
}

/// 11.1.7, 11.1.9: who may lock what is locked.
#[test]
fn scopes_say_who_may_join() {
    let server = with_a_tree();
    for (first, second, status) in [
        ("exclusive", "exclusive", 423),
        ("exclusive", "shared", 423),
        ("shared", "exclusive", 423),
        ("shared", "shared", 200),
    ] {
        let token = server.lock("/d/a.txt", first, "0").expect(200).token();
        let answer = server.lock("/d/a.txt", second, "0").expect(status);
        if status == 423 {
            assert_eq!(hrefs(&answer.dav_error("D:no-conflicting-lock")), ["/d/a.txt"]);
        } else {
            server.unlock("/d/a.txt", &answer.token()).expect(204);
        }
        server.lock("/d/a.txt", second, "0").holding(&token).expect(status);
        for token in server.tokens_on("/d/a.txt") {
            server.unlock("/d/a.txt", &token).expect(204);
        }
    }
    let tokens: std::collections::BTreeSet<_> =
        (0..5).map(|_| server.lock("/d/a.txt", "shared", "0").expect(200).token()).collect();
    assert_eq!(tokens.len(), 5, "five shared locks have five tokens");
    assert_eq!(server.tokens_on("/d/a.txt").len(), 5);
    for token in &tokens {
        server.put("/d/a.txt").holding(token).body("x").expect_any(&[204, 412]);
    }
    expect_locked(server.put("/d/a.txt").body("x"), &["/d/a.txt"]);
}

/// 11.1.7, 11.4.9: a lock that reaches down is a lock on everything below, also on what comes later.
#[test]
fn a_deep_lock_covers_everything_below() {
    let server = with_a_tree();
    let token = server.locked("/d", "infinity");
    for target in ["/d", "/d/a.txt", "/d/e", "/d/e/b.txt"] {
        assert_eq!(server.tokens_on(target), [&*token], "{target}");
        let answer = server.lock(target, "shared", "0").expect(423);
        assert_eq!(hrefs(&answer.dav_error("D:no-conflicting-lock")), ["/d/"], "{target}");
    }
    let told = server.properties("/d/e/b.txt", "<D:lockdiscovery/>");
    assert_eq!(told.found("D:lockdiscovery").at(&["D:activelock", "D:lockroot", "D:href"]).text(), "/d/");
    for request in [
        server.put("/d/a.txt").body("x"),
        server.put("/d/new.txt").body("x"),
        server.mkcol("/d/new"),
        server.delete("/d/e/b.txt"),
        server.delete("/d"),
        server.lock("/d/new.txt", "exclusive", "0"),
        server.proppatch("/d/e", "<D:set><D:prop><t:a/></D:prop></D:set>"),
        server.moving("/d/a.txt", "/out.txt"),
        server.copying("/d/a.txt", "/d/copy.txt"),
    ] {
        request.expect(423);
    }
    server.copying("/d/a.txt", "/out.txt").expect(201);
    assert!(server.tokens_on("/out.txt").is_empty(), "10.4.13: a copy is not locked");
    server.moving("/out.txt", "/d/in.txt").expect(423);
    server.moving("/out.txt", "/d/in.txt").states(format!("</d/> (<{token}>)")).expect(201);
    assert_eq!(server.tokens_on("/d/in.txt"), [&*token], "11.4.10: covered at once");
    server.moving("/d/in.txt", "/free.txt").holding(&token).expect(201);
    assert!(server.tokens_on("/free.txt").is_empty(), "11.4.10: moved out, it is free");
    server.put("/d/e/b.txt").holding(&token).body("x").expect(204);
    server.put("/d/new.txt").holding(&token).body("x").expect(201);
    server.unlock("/d/e/b.txt", &token).expect(204);
    assert!(server.tokens_on("/d").is_empty(), "11.5.1: whichever member was named");
}

/// 11.4.3, 11.4.4, 11.4.5: a lock on a folder alone keeps its members' names, not what is in them.
#[test]
fn a_shallow_lock_keeps_the_names() {
    let server = with_a_tree();
    let token = server.locked("/d", "0");
    server.put("/d/a.txt").body("x").expect(204);
    server.put("/d/e/new.txt").body("x").expect(201);
    server.proppatch("/d/a.txt", "<D:set><D:prop><t:a/></D:prop></D:set>").expect(207);
    assert!(server.tokens_on("/d/a.txt").is_empty());
    for request in [
        server.put("/d/new.txt").body("x"),
        server.mkcol("/d/new"),
        server.delete("/d/a.txt"),
        server.lock("/d/new.txt", "exclusive", "0"),
        server.moving("/d/a.txt", "/out.txt"),
        server.moving("/d/a.txt", "/d/other.txt"),
        server.copying("/d/a.txt", "/d/other.txt"),
        server.proppatch("/d", "<D:set><D:prop><t:a/></D:prop></D:set>"),
    ] {
        expect_locked(request, &["/d/"]);
    }
    // What could not be done without the lock either is told as what it is, with a condition and without one (RFC 9110 13.2.1).
    server.put("/d").body("x").expect(405);
    server.put("/d").if_match(tag_of("text")).body("x").expect(405);
    server.mkcol("/d").expect(405);
    server.lock("/d/a.txt", "exclusive", "0").expect(200);
    let member = server.tokens_on("/d/a.txt")[0].clone();
    expect_locked(server.delete("/d/a.txt").states(format!("</d/> (<{token}>)")), &["/d/a.txt"]);
    expect_locked(server.delete("/d/a.txt").holding(&member), &["/d/"]);
    server.put("/d/a.txt").holding(&member).body("y").expect(204);
    server.delete("/d/a.txt").states(format!("</d/> (<{token}>) </d/a.txt> (<{member}>)")).expect(204);
    server.put("/d/new.txt").states(format!("</d/> (<{token}>)")).body("x").expect(201);
}

/// 11.4.1, 11.4.2: what a lock keeps others from, what it does not, and that the answer names the lock's root.
#[test]
fn a_locked_file_is_kept_from_change() {
    let server = with_a_tree();
    server.put("/other.txt").body("x").expect(201);
    let token = server.locked("/d/a.txt", "0");
    for request in [
        server.put("/d/a.txt").body("x"),
        server.delete("/d/a.txt"),
        server.proppatch("/d/a.txt", "<D:set><D:prop><t:a/></D:prop></D:set>"),
        server.moving("/d/a.txt", "/out.txt"),
        server.moving("/other.txt", "/d/a.txt"),
        server.copying("/other.txt", "/d/a.txt"),
        server.delete("/d"),
        server.moving("/d", "/elsewhere"),
    ] {
        expect_locked(request, &["/d/a.txt"]);
    }
    assert_eq!(server.read("d/a.txt"), "text");
    server.get("/d/a.txt").expect_body("text");
    server.head("/d/a.txt").expect(200);
    server.options("/d/a.txt").expect(200);
    server.propfind("/d/a.txt", "0").expect(207);
    server.copying("/d/a.txt", "/copy.txt").expect(201);
    // 11.4.8: a token in Lock-Token is no submission by the RFC, but Office sends it so, and it is taken.
    server.put("/d/a.txt").header("Lock-Token", format!("<{token}>")).body("x").expect_any(&[204, 423]);
    server.put("/d/a.txt").holding(&token).body("y").expect(204);
    server.put("/d/a.txt").holding(&token).if_match("\"stale\"").body("z").expect(412);
    server.put("/d/a.txt").holding(&token).if_match(tag_of("y")).body("z").expect(204);
}

/// 11.1.8: a lock on a whole tree, in which something is locked already, locks nothing, and says what was in the way.
#[test]
fn a_deep_lock_over_a_locked_member_is_refused() {
    let server = with_a_tree();
    let token = server.locked("/d/e/b.txt", "0");
    let answer = server.lock("/d", "exclusive", "infinity").expect(207);
    let told = answer.multistatus();
    assert_eq!(told.of("/d/e/b.txt").status, Some(423));
    assert_eq!(told.of("/d/").status, Some(424));
    let error = told.of("/d/e/b.txt").error.as_ref().expect("why");
    assert_eq!(error.names(), ["D:no-conflicting-lock"]);
    assert!(answer.header("lock-token").is_none());
    assert!(server.tokens_on("/d").is_empty() && server.tokens_on("/d/a.txt").is_empty());
    server.lock("/d", "exclusive", "0").expect(200);
    let folder = server.tokens_on("/d")[0].clone();
    server.unlock("/d", &folder).expect(204);
    server.unlock("/d/e/b.txt", &token).expect(204);
    server.lock("/d/e/b.txt", "shared", "0").expect(200);
    server.lock("/d", "shared", "infinity").expect(200);
}

/// 11.1.11: a name in a locked folder is locked with the folder's token.
#[test]
fn a_new_name_in_a_locked_folder_takes_its_token() {
    let server = with_a_tree();
    let token = server.locked("/d", "0");
    expect_locked(server.lock("/d/new.txt", "exclusive", "0"), &["/d/"]);
    assert!(!server.local("d/new.txt").exists());
    server.lock("/d/new.txt", "exclusive", "0").states(format!("</d/> (<{token}>)")).expect(201);
}

/// 11.2: what is asked for is granted within bounds, and told.
#[test]
fn timeouts_are_granted_within_bounds() {
    let server = Server::start();
    for (asked, least, most) in [
        (None, 1, 1800),
        (Some("Second-1000"), 900, 1000),
        (Some("Infinite"), 1700, 1800),
        (Some("Second-99999999999999999999"), 1700, 1800),
        (Some("Foo-3, Second-1000"), 900, 1000),
        (Some("nonsense"), 1, 1800),
        (Some("Infinite, Second-4100000000"), 1700, 1800),
        (Some("Second-1"), 1, 1800),
    ] {
        let mut request = server.lock("/a.txt", "exclusive", "0");
        if let Some(asked) = asked {
            request = request.header("Timeout", asked);
        }
        let answer = request.expect_any(&[200, 201]);
        let told = answer.active_lock().at(&["D:timeout"]).text();
        let seconds: u64 = told.strip_prefix("Second-").expect("a number of seconds").parse().unwrap();
        assert!((least..=most).contains(&seconds), "{asked:?} is granted {seconds} seconds");
        server.unlock("/a.txt", &answer.token()).expect(204);
    }
    // Who refreshes is granted twice as long each time, up to an hour.
    let token = server.lock("/a.txt", "exclusive", "0").header("Timeout", "Second-300").expect(200).token();
    for granted in [600, 1200, 2400, 3600, 3600] {
        let answer = server.refresh("/a.txt", &token).header("Timeout", "Infinite").expect(200);
        let told = answer.active_lock().at(&["D:timeout"]).text();
        let seconds: u64 = told.strip_prefix("Second-").expect("a number of seconds").parse().unwrap();
        assert!((granted - 20..=granted).contains(&seconds), "{seconds} instead of {granted}");
    }
}

/// 11.3: a lock is refreshed by its token alone, through any member, and nothing else about it changes.
#[test]
fn a_lock_is_refreshed_by_its_token() {
    let server = with_a_tree();
    let token = server.lock("/d", "exclusive", "infinity").header("Timeout", "Second-1700").expect(200).token();
    for target in ["/d", "/d/", "/d/a.txt", "/d/e/b.txt"] {
        let answer = server.refresh(target, &token).header("Timeout", "Second-3000").depth("0").expect(200);
        assert!(answer.header("lock-token").is_none(), "11.3.1");
        let lock = answer.active_lock();
        assert_eq!(lock.at(&["D:depth"]).text(), "infinity");
        assert_eq!(lock.at(&["D:lockroot", "D:href"]).text(), "/d/");
        let seconds: u64 = lock.at(&["D:timeout"]).text()["Second-".len()..].parse().unwrap();
        assert!((2900..=3000).contains(&seconds), "{seconds}");
    }
    for (target, token) in
        [("/d/a.txt", "urn:uuid:00000000-0000-4000-8000-000000000000"), ("/", &*token), ("/other.txt", &*token)]
    {
        server.refresh(target, token).expect(412).dav_error("D:lock-token-matches-request-uri");
    }
    server.refresh("/d/a.txt", &token).header("If-Match", "\"stale\"").expect_any(&[200, 412]);
    server.request("LOCK", "/d/a.txt").states(format!("(<{token}> [\"stale\"])")).expect(412);
    server.request("LOCK", "/d/a.txt").states(format!("(<{token}> [{}])", tag_of("text"))).expect(200);
    server.unlock("/d", &token).expect(204);
    server.refresh("/d", &token).expect(412);
    // 11.3.5: other shared locks are left alone.
    let one = server.lock("/d/a.txt", "shared", "0").header("Timeout", "Second-1700").expect(200).token();
    let two = server.lock("/d/a.txt", "shared", "0").header("Timeout", "Second-1700").expect(200).token();
    assert_eq!(
        server
            .refresh("/d/a.txt", &two)
            .header("Timeout", "Second-3000")
            .expect(200)
            .active_lock()
            .at(&["D:locktoken", "D:href"])
            .text(),
        two
    );
    let told = server.properties("/d/a.txt", "<D:lockdiscovery/>");
    let left = |token: &str| -> u64 {
        let mut locks = told.found("D:lockdiscovery").elements();
        let lock = locks.find(|lock| lock.at(&["D:locktoken", "D:href"]).text() == token).expect("the lock");
        lock.at(&["D:timeout"]).text()["Second-".len()..].parse().unwrap()
    };
    assert!(left(&one) <= 1700 && left(&two) > 2900);
}

/// 11.5: UNLOCK needs the right token and nothing else.
#[test]
fn a_lock_is_given_back_by_its_token() {
    let server = with_a_tree();
    let token = server.locked("/d/a.txt", "0");
    server.request("UNLOCK", "/d/a.txt").expect(400);
    server.request("UNLOCK", "/d/a.txt").header("Lock-Token", "no token").expect(400);
    let foreign = "urn:uuid:00000000-0000-4000-8000-000000000000";
    server.unlock("/d/a.txt", foreign).expect(409).dav_error("D:lock-token-matches-request-uri");
    server.unlock("/d/e/b.txt", &token).expect(409).dav_error("D:lock-token-matches-request-uri");
    server.unlock("/d", &token).expect(409);
    server.unlock("/d/a.txt", &token).states("([\"stale\"])").expect(412);
    server.unlock("/d/a.txt", &token).body("x").expect(415);
    assert_eq!(server.tokens_on("/d/a.txt"), [&*token]);
    let answer = server.unlock("/d/a.txt", &token).expect(204);
    assert!(answer.body.is_empty());
    server.unlock("/d/a.txt", &token).expect(409);
    server.put("/d/a.txt").body("x").expect(204);
    // Some clients send the token without brackets.
    let token = server.locked("/d/a.txt", "0");
    server.request("UNLOCK", "/d/a.txt").header("Lock-Token", &token).expect(204);
}

/// However many locks are in the way, the answer names a bounded number of them: one is enough to know.
#[test]
fn not_every_lock_in_the_way_is_named() {
    let server = Server::start();
    server.mkcol("/folder/").expect(201);
    for number in 0..120 {
        server.locked(&format!("/folder/{number}"), "0");
    }
    let answer = server.delete("/folder/").expect(423);
    assert_eq!(answer.text().matches("href>").count(), 2 * 100, "{answer}");
}

/// 11.4.11, 10.2.3, 10.4.14: a lock ends where what it was taken on goes, and does not travel.
#[test]
fn locks_end_with_their_root() {
    let server = with_a_tree();
    let token = server.locked("/d/e/b.txt", "0");
    server.delete("/d").states(format!("</d/e/b.txt> (<{token}>)")).expect(204);
    server.mkcol("/d").expect(201);
    server.mkcol("/d/e").expect(201);
    server.put("/d/e/b.txt").body("x").expect(201);
    assert!(server.tokens_on("/d/e/b.txt").is_empty());
    let token = server.locked("/d/e/b.txt", "0");
    server.moving("/d", "/f").states(format!("</d/e/b.txt> (<{token}>)")).expect(201);
    assert!(server.tokens_on("/f/e/b.txt").is_empty(), "10.4.14");
    server.unlock("/f/e/b.txt", &token).expect(409);
    server.put("/f/e/b.txt").body("y").expect(204);
}

/// 11.2.5: a lock that was granted holds over a restart, and over a kill once it was saved.
#[test]
fn locks_are_kept_over_a_restart() {
    let mut server = with_a_tree();
    let token = server.locked("/d", "infinity");
    let pinned = server.locked("/new.txt", "0");
    server.stop();
    server.start_again();
    assert_eq!(server.tokens_on("/d/e/b.txt"), [&*token]);
    server.put("/d/a.txt").body("x").expect(423);
    server.put("/d/a.txt").holding(&token).body("x").expect(204);
    server.put("/new.txt").holding(&pinned).body("x").expect(204);
    server.refresh("/d", &token).expect(200);
    server.unlock("/d", &token).expect(204);
    server.stop();
    server.start_again();
    assert!(server.tokens_on("/d").is_empty(), "what was given back stays so");
    assert_eq!(server.tokens_on("/new.txt"), [&*pinned]);
}

/// The lock pin: whoever locked a file writes over the version that was locked, and over no other.
#[test]
fn a_lock_writes_over_the_version_it_was_taken_on() {
    let server = Server::start();
    server.put("/a.txt").body("locked").expect(201);
    let token = server.locked("/a.txt", "0");
    server.write("a.txt", "changed by a program, which knows no locks");
    for request in [
        server.put("/a.txt").holding(&token).body("mine"),
        server.delete("/a.txt").holding(&token),
        server.moving("/a.txt", "/b.txt").holding(&token),
    ] {
        request.expect(412);
    }
    server.copying("/a.txt", "/other.txt").expect(201);
    server.copying("/other.txt", "/a.txt").states(format!("</a.txt> (<{token}>)")).expect(412);
    server.moving("/other.txt", "/a.txt").states(format!("</a.txt> (<{token}>)")).expect(412);
    assert!(server.read("a.txt").starts_with("changed by a program"));
    // A lock taken now is on what is there now, and every write with it moves it along.
    server.unlock("/a.txt", &token).expect(204);
    let token = server.locked("/a.txt", "0");
    for content in ["one", "two"] {
        server.put("/a.txt").holding(&token).body(content).expect(204);
    }
    server.delete("/a.txt").holding(&token).expect(204);
}

/// There are only so many locks on one thing, and a text about the holder is only so long.
#[test]
fn locks_are_bounded() {
    let server = Server::start();
    server.put("/a.txt").body("x").expect(201);
    for _ in 0..100 {
        server.lock("/a.txt", "shared", "0").expect(200);
    }
    server.lock("/a.txt", "shared", "0").expect(503);
    assert_eq!(server.tokens_on("/a.txt").len(), 100);
    let long = format!("<D:owner>{}</D:owner>", "x".repeat(9000));
    server.request("LOCK", "/b.txt").depth("0").xml(lock_info("exclusive", &long)).expect_any(&[413, 503]);
    assert!(server.get("/b.txt").send().status == 404, "what could not be locked was not made");
}

/// Nobody locks everybody else out of the whole share, unless the server was told to let them.
#[test]
fn the_share_itself_is_not_locked() {
    let server = with_a_tree();
    for (scope, depth) in [("exclusive", "infinity"), ("exclusive", "0"), ("shared", "infinity"), ("shared", "0")] {
        let answer = server.lock("/", scope, depth).expect(403);
        assert!(answer.text().contains("--allow-root-lock"), "{answer}");
    }
    server.request("LOCK", "/").xml(lock_info("exclusive", "")).expect(403);
    server.put("/new.txt").body("x").expect(201);
    server.lock("/d", "exclusive", "infinity").expect(200);
}

/// However many locks one client takes, another has room for its own.
#[test]
fn one_client_leaves_room_for_the_locks_of_others() {
    let server = Server::start();
    let owner = format!("<D:owner>{}</D:owner>", "x".repeat(7000));
    let take = |connection: &mut Connection, name: String| {
        connection.send(&server.request("LOCK", name).depth("0").xml(lock_info("exclusive", &owner))).status
    };
    let mut one = server.connect();
    let refused = (0..2000).find(|number| take(&mut one, format!("/one-{number}.txt")) == 503);
    assert!(refused.is_some_and(|taken| taken > 500), "{refused:?}");
    assert!(!server.local(format!("one-{}.txt", refused.unwrap())).exists(), "what is not locked is not made");
    let mut other = Connection::open_from([127, 0, 0, 2].into(), server.address()).expect("a connection");
    for number in 0..100 {
        assert_eq!(take(&mut other, format!("/other-{number}.txt")), 201);
    }
    assert_eq!(take(&mut one, "/again.txt".to_owned()), 503);
}

/// A lock on a folder pins what was written with its token below it, as one on a file pins the file.
#[test]
fn a_lock_on_a_folder_pins_what_was_written_with_it() {
    let mut server = with_a_tree();
    let token = server.locked("/d", "infinity");
    let holding = |request: Request| request.states(format!("</d/> (<{token}>)"));
    // What the holder has not written is as it was found.
    holding(server.put("/d/a.txt").body("one")).expect(204);
    holding(server.put("/d/a.txt").body("two")).expect(204);
    holding(server.put("/d/new.txt").body("new")).expect(201);
    holding(server.put("/d/b.txt").body("b")).expect(201);
    server.write("d/a.txt", "a local program's");
    holding(server.put("/d/a.txt").body("three")).expect(412);
    holding(server.delete("/d/a.txt")).expect(412);
    holding(server.moving("/d/a.txt", "/d/moved.txt")).expect(412);
    holding(server.moving("/d/b.txt", "/d/a.txt")).expect(412);
    holding(server.copying("/d/b.txt", "/d/a.txt")).expect(412);
    assert_eq!(server.read("d/a.txt"), "a local program's");
    // It is known over a restart, too.
    server.kill();
    server.start_again();
    let holding = |request: Request| request.states(format!("</d/> (<{token}>)"));
    holding(server.put("/d/a.txt").body("three")).expect(412);
    // What only moved, or went, goes on.
    holding(server.moving("/d/new.txt", "/d/moved.txt")).expect(201);
    holding(server.put("/d/moved.txt").body("moved")).expect(204);
    holding(server.put("/d/new.txt").body("another")).expect(201);
    holding(server.delete("/d/new.txt")).expect(204);
    holding(server.put("/d/new.txt").body("a third")).expect(201);
    server.write("d/moved.txt", "a local program's");
    holding(server.put("/d/moved.txt").body("x")).expect(412);
    // With the lock goes what it pinned.
    server.unlock("/d", &token).expect(204);
    server.put("/d/a.txt").body("three").expect(204);
}

/// A folder goes only with the locked files in it as they were when they were locked, or last written with the lock: whatever takes it away or
/// puts something else in its place, however deep they are, and whichever lock says so.
#[test]
fn a_folder_does_not_go_over_a_locked_file_that_has_changed() {
    let server = Server::start();
    let mut number = 0;
    for (lock, of_folder) in [("e/b.txt", false), ("e", true), ("", true)] {
        for change in ["nothing", "its bytes", "it was removed", "a folder took its place"] {
            for way in ["DELETE", "MOVE away", "COPY over", "MOVE over"] {
                number += 1;
                let told = format!("a lock on {lock:?}, {change}, {way}");
                let (top, other) = (format!("/d{number}"), format!("/x{number}"));
                let file = format!("{top}/e/b.txt");
                server.put(format!("{file}?mkdirs")).body("as it was locked").expect(201);
                server.put(format!("{other}/x.txt?mkdirs")).body("other").expect(201);
                let root = format!("{top}/{lock}").trim_end_matches('/').to_owned();
                let token = server.locked(&root, if of_folder { "infinity" } else { "0" });
                let holding = |request: Request| request.states(format!("<{root}> (<{token}>)"));
                if of_folder {
                    holding(server.put(&file).body("written with the lock")).expect(204);
                }
                let here = server.local(&file[1..]);
                match change {
                    "its bytes" => std::fs::write(&here, "a local program's").unwrap(),
                    "it was removed" => std::fs::remove_file(&here).unwrap(),
                    "a folder took its place" => {
                        std::fs::remove_file(&here).unwrap();
                        std::fs::create_dir(&here).unwrap();
                    }
                    _ => {}
                }
                let answer = holding(match way {
                    "DELETE" => server.delete(&top),
                    "MOVE away" => server.moving(&top, format!("/away{number}")),
                    "COPY over" => server.copying(&other, &top),
                    _ => server.moving(&other, &top),
                })
                .send();
                if change == "nothing" {
                    assert!(matches!(answer.status, 201 | 204), "{told}: {answer}");
                    continue;
                }
                assert_eq!(answer.status, 412, "{told}: {answer}");
                assert!(server.local(format!("{}/e", &top[1..])).exists(), "{told}: it went");
                assert!(server.local(&other[1..]).join("x.txt").exists(), "{told}: the other went");
                if change == "its bytes" {
                    assert_eq!(server.read(&file[1..]), "a local program's", "{told}");
                }
            }
        }
    }
    // What took the place of the locked file itself is no version of it either.
    server.put("/a.txt").body("locked").expect(201);
    let token = server.locked("/a.txt", "0");
    std::fs::remove_file(server.local("a.txt")).unwrap();
    server.write("a.txt/inside.txt", "a local program's");
    server.delete("/a.txt").holding(&token).expect(412);
    server.moving("/a.txt", "/b").holding(&token).expect(412);
    server.put("/c.txt").body("c").expect(201);
    server.moving("/c.txt", "/a.txt").states(format!("</a.txt> (<{token}>)")).expect(412);
    server.copying("/c.txt", "/a.txt").states(format!("</a.txt> (<{token}>)")).expect(412);
    assert_eq!(server.read("a.txt/inside.txt"), "a local program's");
}

/// Whoever holds a lock and puts a folder in the place of the locked file, or a file whose content nobody knows yet, goes on with it.
#[test]
fn the_holder_of_a_lock_goes_on_with_what_he_put_there() {
    let server = Server::with("--tag-threshold=1000").start();
    for method in ["COPY", "MOVE"] {
        for large in [false, true] {
            server.put("/a").body("locked").expect(201);
            let token = server.locked("/a", "0");
            server.mkcol("/d").expect(201);
            server.write("d/inside", "x");
            server.write("large", vec![b'x'; 5000]);
            let from = if large { "/large" } else { "/d" };
            let states = format!("</a> (<{token}>)");
            server.request(method, from).header("Destination", "/a").states(&states).expect(204);
            server.delete("/a").states(&states).expect(204);
            for left in ["/d", "/large"] {
                server.delete(left).expect_any(&[204, 404]);
            }
        }
    }
}

/// Where it is allowed, the root of the share can be locked like any folder.
#[test]
fn the_share_itself_can_be_locked_where_that_is_allowed() {
    let server = Server::with("--allow-root-lock").start();
    server.mkcol("/d").expect(201);
    server.mkcol("/d/e").expect(201);
    server.put("/d/e/b.txt").body("deeper").expect(201);
    let token = server.lock("/", "exclusive", "infinity").expect(200).token();
    assert_eq!(server.tokens_on("/d/e/b.txt"), [&*token]);
    expect_locked(server.put("/new.txt").body("x"), &["/"]);
    server.put("/new.txt").states(format!("</> (<{token}>)")).body("x").expect(201);
    server.unlock("/d", &token).expect(204);
}

/// Two clients that lock one name at once: one of them has it.
#[test]
fn one_of_many_gets_an_exclusive_lock() {
    let server = Server::start();
    for round in 0..8 {
        let target = format!("/{round}.txt");
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let clients: Vec<_> =
                (0..8).map(|_| scope.spawn(|| server.lock(&target, "exclusive", "0").send().status)).collect();
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        });
        let taken = statuses.iter().filter(|status| matches!(status, 200 | 201)).count();
        assert_eq!(taken, 1, "{statuses:?}");
        assert!(statuses.iter().all(|status| matches!(status, 200 | 201 | 423)), "{statuses:?}");
        assert_eq!(server.tokens_on(&target).len(), 1);
    }
}

/// 11.2.3, 11.2.4: a lock that has run out is gone for every question, and a refresh keeps it from running out.
#[test]
fn locks_run_out() {
    let disk = SimDisk::new(Features::of(Tier::A));
    disk.begin(vec![]);
    let settings = ShareSettings {
        keep: None,
        require_preconditions: false,
        tag_threshold: 1 << 20,
        hashing_max: 1,
        syncs: true,
        ..ShareSettings::default()
    };
    let share =
        Share::open(Tree::on(Arc::new(disk.clone())), Index::in_memory(), settings, disk.now()).expect("opened");
    let path = SharePath::parse_disk(b"a").expect("a path");
    let wish = |number: u8| LockRequest {
        token: LockToken::from_random([number; 16]),
        scope: Scope::Exclusive,
        reach: Reach::Itself,
        owner: None,
        timeout: Some(Duration::from_secs(600)),
    };
    let plain = || RequestContext::unconditional(disk.now());
    let first = share.lock(&path, wish(1), &plain()).expect("locked").lock;
    let holding = |token: &LockToken| plain().with_token(token);
    let is_locked = |stop: Stop| matches!(stop, Stop::Refusal(Refusal::Locked { .. }));
    assert!(share.delete(&path, &plain()).is_err_and(is_locked));
    disk.advance(Duration::from_secs(500));
    share.refresh_lock(&path, Some(Duration::from_secs(600)), &holding(&first.token)).expect("refreshed");
    disk.advance(Duration::from_secs(500));
    assert_eq!(
        share.locks_on(&path, &RequestContext::unconditional(disk.now())).len(),
        1,
        "a refresh restarts the time"
    );
    assert!(share.delete(&path, &plain()).is_err_and(is_locked));
    disk.advance(Duration::from_secs(101));
    assert!(share.locks_on(&path, &RequestContext::unconditional(disk.now())).is_empty());
    let refreshed = share.refresh_lock(&path, None, &holding(&first.token));
    assert!(matches!(refreshed, Err(Stop::Refusal(Refusal::UnknownToken))), "{refreshed:?}");
    let unlocked = share.unlock(&path, &first.token, &plain());
    assert!(matches!(unlocked, Err(Stop::Refusal(Refusal::ForeignToken))), "{unlocked:?}");
    share.lock(&path, wish(2), &plain()).expect("free again");
}

/// A program saves in a folder at any step of what the holder of a lock in it does with the whole folder: either the folder stays with what the
/// program saved, or it has gone without it.
#[test]
fn a_folder_is_judged_by_its_locked_files_at_the_instant_when_it_goes() {
    use noclobber::share::outcome::Outcome;
    use noclobber::share::{Relocation, RequestContext};
    use noclobber::store::local::history::KeepLimits;

    use crate::harness::sim_disk::{Event, When};
    use crate::harness::stories::share_path;
    use crate::harness::stranger::Act;

    let token = LockToken::from_random([5; 16]);
    let holding = |now| RequestContext::unconditional(now).with_token(&token);
    let served = |tier| {
        let disk = SimDisk::new(Features::of(tier));
        for (path, bytes) in [("d/e/a", "locked"), ("d/b", "other"), ("x/y", "another")] {
            disk.place(path, bytes);
        }
        let keep = Some(KeepLimits { age_max: Duration::from_secs(1 << 20), percent_max: 90 });
        let settings = ShareSettings { keep, ..ShareSettings::default() };
        let share =
            Share::open(Tree::on(Arc::new(disk.clone())), Index::in_memory(), settings, disk.now()).expect("opened");
        let (scope, reach, timeout) = (Scope::Exclusive, Reach::Itself, Some(Duration::from_secs(600)));
        let wish = LockRequest { token: token.clone(), scope, reach, owner: None, timeout };
        share.lock(&share_path("d/e/a"), wish, &RequestContext::unconditional(disk.now())).expect("locked");
        (disk, share)
    };
    let over = Relocation { from: share_path("x"), to: share_path("d"), may_replace: true, dated: None };
    type Deed<'a> = &'a dyn Fn(&Share, &SimDisk) -> Outcome<()>;
    let deeds: [(&str, Deed<'_>); 3] = [
        ("DELETE", &|share, disk| share.delete(&share_path("d"), &holding(disk.now())).map(drop)),
        ("COPY over", &|share, disk| {
            share.copy(&over, Extent::Tree, &holding(disk.now()), CopyLimit::UNLIMITED).map(drop)
        }),
        ("MOVE over", &|share, disk| share.relocate(&over, &holding(disk.now()), CopyLimit::UNLIMITED).map(drop)),
    ];
    for tier in [Tier::A, Tier::C, Tier::D] {
        for (what, deed) in &deeds {
            let (mut at, mut ways) = (1, [0, 0]);
            loop {
                let (disk, share) = served(tier);
                let act = Act::save("d/e/a", "a program's");
                disk.begin(vec![Event::Stranger { at, when: When::Before, act }]);
                let outcome = deed(&share, &disk);
                let saved =
                    |contents: Vec<(String, Vec<u8>)>| contents.iter().any(|(_, bytes)| bytes == b"a program's");
                let (shown, anywhere) = (saved(disk.visible_contents()), saved(disk.contents_everywhere()));
                let told = format!("{what} on {tier}, step {at}: {outcome:?}: {:#?}", disk.trace());
                assert_eq!(outcome.is_err(), shown, "{told}");
                assert_eq!(shown, anywhere, "{told}");
                ways[usize::from(shown)] += 1;
                if at > disk.steps() {
                    break;
                }
                at += 1;
            }
            assert!(ways[0] > 0 && ways[1] > 0, "{what} on {tier}: {ways:?}");
        }
    }
}
