//! Conditional requests: what a client says about the version it means, and that nothing is ever written where it was wrong.
//! The table of `standards.md` §2.7 stands here as it is; the finer rules are tables over pure values on the lowest floor.

use std::time::Duration;

use crate::harness::client::tag_of;
use crate::harness::{Request, Server, eventually};

/// Header fields of one request.
type Headers<'a> = &'a [(&'a str, &'a str)];

const OLD_DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const FUTURE_DATE: &str = "Fri, 01 Jan 2100 00:00:00 GMT";

/// Two editors loaded the same text. The second to save learns of the first, and nothing is lost.
#[test]
fn the_slower_editor_is_told() {
    let server = Server::start();
    let tag = server.put("/a.txt").body("draft").expect(201).content_tag();
    let hers = server.put("/a.txt").if_match(&tag).body("hers").expect(204).content_tag();
    let refused = server.put("/a.txt").if_match(&tag).body("his").expect(412);
    assert_eq!(refused.tag(), hers);
    server.get("/a.txt").expect_body("hers");
    server.versions("/a.txt").expect(["draft"]);
}

/// A refusal says what is there now, which header failed, and how to go on.
#[test]
fn a_refusal_tells_the_way_out() {
    let server = Server::start();
    server.write("a.txt", "current");
    let current = server.get("/a.txt").expect(200);
    let refused = server.put("/a.txt").if_match("\"stale\"").body("mine").expect(412);
    assert_eq!(refused.tag(), current.tag());
    assert_eq!(refused.field("last-modified"), current.field("last-modified"));
    assert!(refused.field("cache-control").contains("no-store"), "{refused}");
    let problem = refused.problem();
    assert_eq!(problem["failed_header"], "If-Match");
    assert_eq!(problem["current_etag"], current.tag());
    assert_eq!(problem["current_last_modified"], current.field("last-modified"));
    assert_eq!(problem["current_length"], 7);
    assert!(problem["retry"].as_str().is_some_and(|retry| !retry.is_empty()), "{refused}");

    let missing = server.put("/new.txt").if_match("\"stale\"").body("mine").expect(412);
    assert!(missing.header("etag").is_none());
    assert_eq!(missing.problem()["failed_header"], "If-Match");

    let exists = server.put("/a.txt").if_none_match("*").body("mine").expect(412);
    assert_eq!(exists.problem()["failed_header"], "If-None-Match");
    let dated = server.put("/a.txt").header("If-Unmodified-Since", OLD_DATE).body("mine").expect(412);
    assert_eq!(dated.problem()["failed_header"], "If-Unmodified-Since");
    server.get("/a.txt").expect_body("current");
}

/// A client that merges by itself asks for the current file along with the refusal, and saves a round trip.
#[test]
fn a_refusal_brings_the_current_file_when_asked() {
    let server = Server::start();
    server.write("a.txt", "current");
    let tag = server.get("/a.txt").expect(200).tag();
    let wish = server.put("/a.txt").if_match("\"stale\"").header("Prefer", "return=representation").body("mine");
    let refused = wish.expect(412);
    assert_eq!(refused.text(), "current");
    assert_eq!(refused.tag(), tag);
    assert_eq!(refused.field("preference-applied"), "return=representation");
    assert_eq!(refused.field("content-location"), "/a.txt");
    assert_eq!(refused.field("content-type").to_ascii_lowercase(), "text/plain; charset=utf-8");
}

/// The decision table: each row on a fresh file, and after a refusal the file is what it was.
#[test]
fn the_decision_table_for_writes() {
    let server = Server::start();
    let current = tag_of("current");
    let weak = format!("W/{current}");
    let tag = current.as_str();
    let rows: &[(Headers<'_>, u16, u16)] = &[
        (&[], 204, 201),
        (&[("If-Match", tag)], 204, 412),
        (&[("If-Match", "\"old\"")], 412, 412),
        (&[("If-Match", &weak)], 412, 412),
        (&[("If-Match", "*")], 204, 412),
        (&[("If-None-Match", "*")], 412, 201),
        (&[("If-None-Match", tag)], 412, 201),
        (&[("If-None-Match", &weak)], 412, 201),
        (&[("If-None-Match", "\"old\"")], 204, 201),
        (&[("If-Unmodified-Since", FUTURE_DATE)], 412, 201),
        (&[("If-Unmodified-Since", OLD_DATE)], 412, 201),
        (&[("If-Unmodified-Since", "yesterday")], 412, 412),
        (&[("If-Modified-Since", OLD_DATE)], 204, 201),
        (&[("If-Modified-Since", FUTURE_DATE)], 204, 201),
        (&[("If-Match", tag), ("If-Unmodified-Since", OLD_DATE)], 204, 412),
        (&[("If-Match", tag), ("If-None-Match", tag)], 412, 412),
        (&[("If-Match", "\"x\", \"y\""), ("If-Match", tag)], 204, 412),
        (&[("If-Match", "\"a,b\", \"c\"")], 412, 412),
        (&[("If-Match", &format!(", ,\"a\",{tag},"))], 204, 412),
        (&[("If-Match", &format!("\"a,{}\"", tag.trim_matches('"')))], 412, 412),
        (&[("If-Match", &tag.to_uppercase())], 412, 412),
    ];
    for (number, (headers, mapped, unmapped)) in rows.iter().enumerate() {
        for (exists, status) in [(true, *mapped), (false, *unmapped)] {
            let path = format!("row-{number}-{exists}.txt");
            if exists {
                server.write(&path, "current");
            }
            with_all(server.put(format!("/{path}")), headers).body("new").expect(status);
            let there = server.local(&path).exists().then(|| server.read(&path));
            let expected = match (status, exists) {
                (412, true) => Some("current"),
                (412, false) => None,
                _ => Some("new"),
            };
            assert_eq!(there.as_deref(), expected, "{headers:?}, the file {exists}");
        }
    }
}

/// A tag that comes without its quotes counts as the one it equals; nothing else that is malformed ever lets a write through.
#[test]
fn a_malformed_condition_never_lets_a_write_through() {
    let server = Server::start();
    server.write("a.txt", "current");
    let tag = tag_of("current");
    let bare = tag.trim_matches('"');
    server.put("/a.txt").if_match(bare).body("current").expect(204);
    let junk =
        ["abc", "'x'", "\"a", "", ",", "*, \"a\"", "\"a\", *", "\"a\" \"b\"", "W/", "w/\"a\"", "\"a\u{e9}", "\"\t\"\""];
    for value in junk {
        let refused = server.put("/a.txt").if_match(value).body("mine").send();
        assert!(matches!(refused.status, 400 | 412), "If-Match: {value:?}: {refused}");
        let refused = server.delete("/a.txt").if_match(value).send();
        assert!(matches!(refused.status, 400 | 412), "If-Match: {value:?}: {refused}");
        assert_eq!(server.read("a.txt"), "current", "If-Match: {value:?}");
    }
    let refused = server.put("/a.txt").if_match(b"\xff\xfe").body("mine").send();
    assert!(matches!(refused.status, 400 | 412), "{refused}");
    assert_eq!(server.read("a.txt"), "current");
}

/// One client in the wild sends junk in If-None-Match with every write. It matches nothing, and the write goes ahead.
#[test]
fn junk_in_if_none_match_matches_nothing() {
    let server = Server::start();
    server.write("a.txt", "current");
    server.put("/a.txt").if_none_match("JoplinIgnore-4711").body("new").expect(204);
    server.versions("/a.txt").expect(["current"]);
}

/// Reading with conditions: 304 for what the client has, 412 for what it wrongly believes, 404 for what is not there.
#[test]
fn the_decision_table_for_reads() {
    let server = Server::start();
    server.write("a.txt", "current");
    let tag = tag_of("current");
    let weak = format!("W/{tag}");
    let modified = server.get("/a.txt").expect(200).field("last-modified").to_owned();
    let rows: &[(Headers<'_>, u16)] = &[
        (&[("If-None-Match", &tag)], 304),
        (&[("If-None-Match", &weak)], 304),
        (&[("If-None-Match", "*")], 304),
        (&[("If-None-Match", &format!("\"x\", {tag}"))], 304),
        (&[("If-None-Match", "\"old\"")], 200),
        (&[("If-None-Match", "\"old\""), ("If-Modified-Since", FUTURE_DATE)], 200),
        (&[("If-Modified-Since", FUTURE_DATE)], 200),
        (&[("If-Modified-Since", OLD_DATE)], 200),
        (&[("If-Modified-Since", "yesterday")], 200),
        (&[("If-Match", &tag)], 200),
        (&[("If-Match", "\"old\"")], 412),
        (&[("If-Match", &weak)], 412),
        (&[("If-Match", "\"old\""), ("If-None-Match", &tag)], 412),
        (&[("If-Unmodified-Since", OLD_DATE)], 412),
        (&[("If-Unmodified-Since", FUTURE_DATE)], 200),
        (&[("If-Match", &tag), ("If-Unmodified-Since", OLD_DATE)], 200),
    ];
    for (headers, status) in rows {
        for method in ["GET", "HEAD"] {
            with_all(server.request(method, "/a.txt"), headers).expect(*status);
            with_all(server.request(method, "/none.txt"), headers).expect(404);
        }
    }
    // The date of a file that has just changed is exact to the second only; it may or may not be trusted so soon.
    server.get("/a.txt").header("If-Modified-Since", modified).expect_any(&[200, 304]);
}

/// 304 brings the validators again and no content, and never says that a file of seven bytes has none.
#[test]
fn not_modified_is_short_and_right() {
    let server = Server::start();
    server.write("a.txt", "current");
    let tag = tag_of("current");
    let mut connection = server.connect();
    for method in ["GET", "HEAD"] {
        let answer = connection.send(&server.request(method, "/a.txt").if_none_match(&tag)).expect(304);
        assert_eq!(answer.tag(), tag);
        assert!(matches!(answer.header("content-length"), None | Some("7")), "{answer}");
        assert!(answer.header("cache-control").is_some(), "{answer}");
    }
    assert_eq!(connection.send(&server.get("/a.txt")).expect(200).text(), "current");
}

/// DELETE obeys the same conditions, and what is not there is not found rather than failed.
#[test]
fn a_stale_delete_deletes_nothing() {
    let server = Server::start();
    server.write("a.txt", "current");
    let tag = tag_of("current");
    server.delete("/a.txt").if_match("\"old\"").expect(412);
    server.delete("/a.txt").if_match(format!("W/{tag}")).expect(412);
    server.delete("/a.txt").if_none_match(&tag).expect(412);
    server.delete("/a.txt").header("If-Unmodified-Since", OLD_DATE).expect(412);
    server.get("/a.txt").expect_body("current");
    server.delete("/none.txt").if_match("\"old\"").expect(404);
    server.delete("/a.txt").if_match(&tag).expect(204);
    server.get("/a.txt").expect(404);
}

/// What changes only a lock obeys the same conditions.
#[test]
fn refreshing_a_lock_and_giving_it_back_have_conditions_too() {
    let server = Server::start();
    server.write("a.txt", "current");
    let tag = tag_of("current");
    let tag = tag.as_str();
    let rows: &[(Headers<'_>, bool)] = &[
        (&[("If-Match", tag)], true),
        (&[("If-Match", "*")], true),
        (&[("If-Match", "\"old\"")], false),
        (&[("If-None-Match", "\"old\"")], true),
        (&[("If-None-Match", tag)], false),
        (&[("If-None-Match", "*")], false),
    ];
    for (headers, holds) in rows {
        let wanted = |status| if *holds { status } else { 412 };
        let token = server.locked("/a.txt", "0");
        with_all(server.refresh("/a.txt", &token), headers).expect(wanted(200));
        with_all(server.unlock("/a.txt", &token), headers).expect(wanted(204));
        assert_eq!(server.tokens_on("/a.txt").is_empty(), *holds, "{headers:?}");
        let _ = server.unlock("/a.txt", &token).send();
    }
    let token = server.locked("/a.txt", "0");
    server.refresh("/a.txt", &token).header("If-Unmodified-Since", OLD_DATE).expect(412);
    server.unlock("/a.txt", &token).header("If-Unmodified-Since", OLD_DATE).expect(412);
}

/// `Overwrite: F` is heeded wherever something may be replaced.
#[test]
fn a_restore_that_may_not_replace_replaces_nothing() {
    let server = Server::start();
    server.put("/a.txt").body("one").expect(201);
    server.put("/a.txt").body("two").expect(204);
    let target = format!("/a.txt?restore={}", server.versions("/a.txt").0[0].id);
    server.post(&target).header("Overwrite", "F").expect(412);
    server.post(&target).header("Overwrite", "never").expect(400);
    server.get("/a.txt").expect_body("two");
    server.delete("/a.txt").expect(204);
    server.post(&target).header("Overwrite", "F").expect(201);
    server.get("/a.txt").expect_body("one");
}

/// Other reasons to refuse come before the conditions: they say what is wrong with the request itself.
#[test]
fn conditions_do_not_hide_other_refusals() {
    let server = Server::start();
    std::fs::create_dir(server.local("folder")).unwrap();
    server.put("/none/a.txt").if_match("\"old\"").body("x").expect(409);
    server.put("/folder").if_none_match("*").body("x").expect(405);
    server.mkcol("/folder").if_none_match("*").expect(405);
    server.options("/a.txt").if_match("\"old\"").expect(200);
}

/// The server is told to take no write that could overwrite unseen: such a write is asked for its condition.
#[test]
fn writes_without_a_condition_can_be_refused() {
    let server = Server::with("--require-preconditions").start();
    server.write("a.txt", "current");
    let tag = server.get("/a.txt").expect(200).tag();
    for request in [
        server.put("/a.txt").body("new"),
        server.put("/a.txt").if_match("*").body("new"),
        server.put("/a.txt").if_none_match("\"old\"").body("new"),
        server.delete("/a.txt"),
    ] {
        let refused = request.expect(428);
        assert!(refused.field("cache-control").contains("no-store"), "{refused}");
        let problem = refused.problem();
        assert_eq!(problem["current_etag"], tag, "{refused}");
        let wanted = problem["required_headers"].as_array().expect("the headers that would do");
        assert!(wanted.iter().any(|header| header == "If-Match"), "{refused}");
        server.get("/a.txt").expect_body("current");
    }
    server.put("/none/a.txt").body("x").expect(409);
    server.put("/b.txt").if_none_match("*").body("new").expect(201);
    server.put("/a.txt").if_match(&tag).body("new").expect(204);
    server.delete("/a.txt").if_match(tag_of("new")).expect(204);
}

/// Whatever a request takes the place of, or takes away, it has to name, by the way that the method has for it. What is no file has no version
/// to name, and a copy or a move to a free name takes nothing away from it.
#[test]
fn every_version_that_goes_has_to_be_named() {
    let server = Server::with("--require-preconditions").start();
    let (f, g) = (tag_of("f"), tag_of("g"));
    let (of_f, of_g) = (format!("</N/f> ([{f}])"), format!("</N/g> ([{g}])"));
    let (here_f, here_g, any_g) = (format!("([{f}])"), format!("([{g}])"), format!("([{g}]) (Not <DAV:no-lock>)"));
    let both = format!("{of_g} {of_f}");
    let (f, g, of_f, of_g, both): (&str, &str, &str, &str, &str) = (&f, &g, &of_f, &of_g, &both);
    // Method, what for, where to, what is named, and the outcome. `LOCK` stands for the token of a lock on that.
    let rows: &[(&str, &str, &str, Headers<'_>, u16)] = &[
        ("PUT", "g", "", &[], 428),
        ("PUT", "g", "", &[("If-Match", g)], 204),
        ("PUT", "g", "", &[("If", &here_g)], 204),
        ("PUT", "g", "", &[("If", of_g)], 204),
        ("PUT", "g", "", &[("If", of_f)], 428),
        ("PUT", "g", "", &[("If", &any_g)], 428),
        ("PUT", "g", "", &[("LOCK", "g")], 204),
        ("PUT", "free", "", &[], 428),
        ("DELETE", "g", "", &[], 428),
        ("DELETE", "g", "", &[("If-Match", g)], 204),
        ("DELETE", "g", "", &[("If", &here_g)], 204),
        ("DELETE", "g", "", &[("If", of_f)], 428),
        ("DELETE", "g", "", &[("If", &any_g)], 428),
        ("DELETE", "g", "", &[("LOCK", "g")], 204),
        ("DELETE", "d", "", &[], 204),
        ("MOVE", "f", "g", &[], 428),
        ("MOVE", "f", "g", &[("If-Match", f)], 428),
        ("MOVE", "f", "g", &[("If-Match", g)], 412),
        ("MOVE", "f", "g", &[("If", &here_f)], 428),
        ("MOVE", "f", "g", &[("If", of_g)], 428),
        ("MOVE", "f", "g", &[("LOCK", "f")], 428),
        ("MOVE", "f", "g", &[("LOCK", "g")], 428),
        ("MOVE", "f", "g", &[("If-Match", f), ("If", of_g)], 204),
        ("MOVE", "f", "g", &[("If-Match", f), ("If", both)], 428),
        ("MOVE", "f", "g", &[("If-Match", f), ("LOCK", "g")], 204),
        ("MOVE", "f", "g", &[("If-Match", f), ("Overwrite", "F")], 412),
        ("MOVE", "f", "free", &[], 428),
        ("MOVE", "f", "free", &[("If-Match", f)], 201),
        ("MOVE", "f", "free", &[("If", &here_f)], 201),
        ("MOVE", "f", "free", &[("LOCK", "f")], 201),
        ("MOVE", "f", "e", &[], 428),
        ("MOVE", "f", "e", &[("If-Match", f)], 204),
        ("MOVE", "d", "g", &[], 428),
        ("MOVE", "d", "g", &[("If", of_g)], 204),
        ("MOVE", "d", "g", &[("LOCK", "g")], 204),
        ("MOVE", "d", "g", &[("LOCK", "d")], 428),
        ("MOVE", "d", "g", &[("Overwrite", "F")], 412),
        ("MOVE", "d", "e", &[], 204),
        ("MOVE", "d", "free", &[], 201),
        ("COPY", "f", "g", &[], 428),
        ("COPY", "f", "g", &[("If-Match", f)], 428),
        ("COPY", "f", "g", &[("If-Match", g)], 412),
        ("COPY", "f", "g", &[("If", &here_f)], 428),
        ("COPY", "f", "g", &[("If", of_g)], 204),
        ("COPY", "f", "g", &[("If", of_g), ("If-Match", f)], 204),
        ("COPY", "f", "g", &[("LOCK", "f")], 428),
        ("COPY", "f", "g", &[("LOCK", "g")], 204),
        ("COPY", "f", "g", &[("Overwrite", "F")], 412),
        ("COPY", "f", "free", &[], 201),
        ("COPY", "f", "e", &[], 204),
        ("COPY", "d", "g", &[], 428),
        ("COPY", "d", "g", &[("If", of_g)], 204),
        ("COPY", "d", "e", &[], 204),
        ("COPY", "d", "free", &[], 201),
    ];
    for (number, (method, of, to, headers, status)) in rows.iter().enumerate() {
        let at = |name: &str| format!("/{number}/{name}");
        for (name, content) in [("f", "f"), ("g", "g"), ("d/x", "x"), ("e/y", "y")] {
            server.write(&at(name)[1..], content);
        }
        let mut request = server.request(method, at(of)).header("Destination", at(to));
        if *method == "PUT" {
            request = request.body("new");
        }
        for (name, value) in *headers {
            request = match *name {
                "LOCK" => {
                    let token = server.locked(&at(value), "0");
                    request.header("If", format!("<{}> (<{token}>)", at(value)))
                }
                name => request.header(name, value.replace("/N/", &at(""))),
            };
        }
        let row = format!("{method} {of} {to} {headers:?}");
        let answer = request.send();
        assert_eq!(answer.status, *status, "{row}: {answer}");
        if *status < 400 {
            continue;
        }
        for (name, content) in [("f", "f"), ("g", "g"), ("d/x", "x"), ("e/y", "y")] {
            assert_eq!(server.read(&at(name)[1..]), content, "{row}");
        }
        // The way out that is told leads out, unless it is that of the source.
        if *status == 428
            && *to == "g"
            && !headers.iter().any(|(name, _)| *name == "LOCK")
            && answer.problem()["resource"] == at("g")
        {
            let problem = answer.problem();
            assert_eq!(problem["required_headers"], serde_json::json!(["If"]), "{row}");
            let told = format!("<{}> ([{}])", at("g"), answer.tag());
            assert!(problem["retry"].as_str().unwrap().contains(&told), "{row}: {problem}");
            let source = if *of == "f" { f } else { "*" };
            server
                .request(method, at(of))
                .header("Destination", at(to))
                .if_match(source)
                .header("If", told)
                .expect(204);
        }
    }
}

/// An old version is copied over a file like anything else.
#[test]
fn a_version_that_a_version_is_copied_over_has_to_be_named() {
    let server = Server::with("--require-preconditions").start();
    server.put("/g").if_none_match("*").body("old").expect(201);
    server.put("/g").if_match(tag_of("old")).body("new").expect(204);
    let from = format!("/g?version={}", server.versions("/g").0[0].id);
    server.copying(&from, "/g").expect(428);
    server.copying(&from, "/g").if_match(tag_of("old")).expect(428);
    server.copying(&from, "/g").header("If", format!("([{}])", tag_of("old"))).expect(412);
    server.get("/g").expect_body("new");
    server.copying(&from, "/free").expect(201);
    server.copying(&from, "/g").header("If", format!("</g> ([{}])", tag_of("new"))).expect(204);
    server.get("/g").expect_body("old");
}

/// A stale upload is refused from its headers alone: the body is neither asked for nor read.
#[test]
fn a_stale_upload_is_refused_before_its_body() {
    let server = Server::start();
    server.write("a.txt", "current");
    let body = vec![b'x'; 10 * 1024 * 1024];
    for _ in 0..20 {
        let refused = server.put("/a.txt").if_match("\"old\"").body_when_asked(&body).expect(412);
        assert!(refused.interim.is_empty(), "asked for the body all the same: {refused}");
    }
    let taken = server.put("/a.txt").if_match(tag_of("current")).body_when_asked("new").expect(204);
    assert_eq!(taken.interim, [100]);
    // Who does not wait for 100 is answered all the same, and the rest of its body is not taken for a request.
    let mut connection = server.connect();
    connection.write(format!(
        "PUT /a.txt HTTP/1.1\r\nHost: {}\r\nIf-Match: \"old\"\r\nContent-Length: 99999999\r\n\r\n",
        server.address()
    ));
    connection.answer("PUT").expect(412);
    let _ = connection.try_write(b"DELETE /a.txt HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(connection.is_closed_within(Duration::from_secs(10)));
    server.get("/a.txt").expect_body("new");
}

/// The condition held when the upload began and no longer when it ended. It is judged again at the swap.
#[test]
fn a_slow_upload_is_judged_again_at_its_end() {
    let server = Server::with("--no-watch").start();
    for round in 0..20 {
        let path = format!("/slow-{round}.txt");
        let tag = server.put(&path).body("first").expect(201).tag();
        let mut slow = server.connect();
        slow.write(server.put(&path).if_match(&tag).header("Content-Length", "8").head());
        slow.write("slow");
        server.put(&path).if_match(&tag).body("quick").expect(204);
        // It may have been told already, and then nobody takes the rest.
        let _ = slow.try_write(b"slow");
        let refused = slow.answer("PUT").expect(412);
        assert_eq!(refused.tag(), tag_of("quick"));
        server.get(&path).expect_body("quick");
    }
}

/// A retry whose first answer was lost sends the same bytes with the old tag: two clients are two clients, and the tag in the
/// refusal lets this one see that it was itself.
#[test]
fn a_repeated_write_is_told_that_its_bytes_are_there() {
    let server = Server::start();
    let tag = server.put("/a.txt").body("first").expect(201).tag();
    server.put("/a.txt").if_match(&tag).body("second").expect(204);
    let refused = server.put("/a.txt").if_match(&tag).body("second").expect(412);
    assert_eq!(refused.tag(), tag_of("second"));
}

/// Clients that go by date alone see a later one after every replacement, by a whole second at least, and so are not deceived
/// by two saves in one second.
#[test]
fn a_replacement_has_a_later_date() {
    let server = Server::start();
    let shown = |server: &Server| server.get("/a.txt").expect(200).field("last-modified").to_owned();
    server.put("/a.txt").body("first").expect(201);
    let first = shown(&server);
    server.put("/a.txt").body("second").expect(204);
    server.put("/a.txt").body("third").expect(204);
    let early = server.put("/a.txt").header("If-Unmodified-Since", &first).body("fourth").expect(412);
    assert_eq!(early.problem()["failed_header"], "If-Unmodified-Since");
    // A date that lies ahead of the clock is told as the time of the answer, until it has come.
    let third = eventually(Duration::from_secs(10), "the date of the third", || {
        let date = shown(&server);
        (server.get("/a.txt").header("If-Modified-Since", &date).send().status == 304).then_some(date)
    });
    let (before, after) = (httpdate::parse_http_date(&first).unwrap(), httpdate::parse_http_date(&third).unwrap());
    assert!(after >= before + Duration::from_secs(1), "{first} then {third}");
    assert!(after <= before + Duration::from_secs(10), "{first} then {third}");
    server.put("/a.txt").header("If-Unmodified-Since", &first).body("fourth").expect(412);
    server.get("/a.txt").expect_body("third");
    server.put("/a.txt").header("If-Unmodified-Since", &third).body("fourth").expect(204);
}

/// The same bytes have the same tag, however they came and whatever else about the file changed.
#[test]
fn the_same_bytes_have_the_same_tag() {
    let server = Server::start();
    let put = server.put("/a.txt").body("text").expect(201).tag();
    assert_eq!(server.get("/a.txt").expect(200).tag(), put);
    assert_eq!(server.head("/a.txt").expect(200).tag(), put);
    assert_eq!(server.put("/a.txt").if_match("\"x\"").body("y").expect(412).tag(), put);
    server.write("a.txt", "text");
    assert_eq!(server.get("/a.txt").expect(200).tag(), put);
    server.put("/a.txt").if_match(&put).body("text").expect(204);
    assert_eq!(server.get("/a.txt").expect(200).tag(), put);
}

/// A collection has no tag of its own: `*` is true for one that is there, a list never.
#[test]
fn a_collection_has_no_tag() {
    let server = Server::start();
    std::fs::create_dir(server.local("folder")).unwrap();
    server.write("folder/a.txt", "x");
    server.delete("/folder/").if_match("\"x\"").expect(412);
    assert!(server.local("folder/a.txt").exists());
    server.delete("/folder/").if_match("*").expect(204);
    assert!(!server.local("folder").exists());
}

fn with_all(request: Request, headers: Headers<'_>) -> Request {
    headers.iter().fold(request, |request, (name, value)| request.header(name, value))
}
