//! The `If` header (RFC 4918 §10.4) over WebDAV: every row of the table in `standards.md` §12 as a PUT, and the same for the other methods.
//! Each row stands on a fresh file, and after a refusal everything is what it was.

use crate::harness::client::tag_of;
use crate::harness::{Request, Server};

const FOREIGN: &str = "urn:uuid:00000000-0000-4000-8000-000000000000";

/// What holds for the header alone: it is malformed, false, true without the token, or true with it.
const MALFORMED: u16 = 400;
const FALSE: u16 = 412;
const LOCKED: u16 = 423;
const TRUE: u16 = 200;

/// The header with `T` for the token of the lock, `Tx` for a token that nobody has, `e` for the tag of the file, and `F` for its URL.
fn fill(row: &str, path: &str, token: &str, server: &Server) -> String {
    row.replace("<Tx>", &format!("<{FOREIGN}>"))
        .replace("<T>", &format!("<{token}>"))
        .replace("(T)", &format!("({token})"))
        .replace("[\"e\"]", &format!("[{}]", tag_of("text")))
        .replace("[W/\"e\"]", &format!("[W/{}]", tag_of("text")))
        .replace("<HOST", &format!("<http://{}", server.address()))
        .replace("</F", &format!("<{path}"))
        .replace("/F>", &format!("{path}>"))
}

const ROWS: &[(&str, u16)] = &[
    ("(<T>)", TRUE),
    ("(<T> [\"e\"])", TRUE),
    ("(<T> [\"stale\"])", FALSE),
    ("(<T>) (Not <DAV:no-lock>)", TRUE),
    ("(<Tx>) (Not <DAV:no-lock>)", LOCKED),
    ("(<DAV:no-lock> [\"e\"])", FALSE),
    ("(<T> [\"e\"]) (Not <DAV:no-lock> [\"e\"])", TRUE),
    ("(<T> [\"stale\"]) (Not <DAV:no-lock> [\"stale\"])", FALSE),
    ("([\"e\"])", LOCKED),
    ("(Not <T>) ([\"e\"])", TRUE),
    ("</other> (<T>) </F> ([\"e\"])", TRUE),
    ("</F> (<T>)", TRUE),
    ("<HOST/F> (<T>)", TRUE),
    ("</F> ([\"stale\"]) (<T>)", TRUE),
    ("</F> ([\"stale\"] <T>)", FALSE),
    // A proxy in front may have changed scheme, host and port: the path says which file is meant.
    ("<http://elsewhere.example/F> (<T>)", TRUE),
    ("<https://elsewhere.example:8443/F> (<T>)", TRUE),
    ("<dav://me@elsewhere.example/F> (<T>)", TRUE),
    ("<http://elsewhere.example/F> (Not <T>)", FALSE),
    ("<ftp://elsewhere.example/F> (<T>)", FALSE),
    ("<ftp://elsewhere.example/F> (Not <T>)", TRUE),
    ("</none> (Not [\"x\"]) ", LOCKED),
    ("</none> ([\"x\"])", FALSE),
    ("</none> (Not <T>)", TRUE),
    ("(NOT <Tx> <T>)", TRUE),
    ("(not <T>)", FALSE),
    ("(<T>)(<Tx>)", TRUE),
    ("( <T>   [\"e\"] )", TRUE),
    ("([*] <T>)", TRUE),
    ("(Not [*] <T>)", FALSE),
    ("([W/\"e\"] <T>)", FALSE),
    ("([\"a b\"]) (<T>)", TRUE),
    ("()", MALFORMED),
    ("(<T>", MALFORMED),
    ("<T>", MALFORMED),
    ("(T)", MALFORMED),
    ("", MALFORMED),
    ("(<T>) x", MALFORMED),
    ("(<T>) </F> (<T>)", MALFORMED),
    ("(Not)", MALFORMED),
    ("(Not Not <T>)", MALFORMED),
    ("([\"e\")", MALFORMED),
    ("(<T>))", MALFORMED),
    ("</F> </F> (<T>)", MALFORMED),
    ("</F>", MALFORMED),
];

/// Every row as a PUT, a PROPPATCH, a DELETE, a MOVE away, a MOVE and a COPY onto the locked file, and a LOCK.
#[test]
fn the_table_holds_for_every_method() {
    let server = Server::start();
    let mut number = 0;
    for method in ["PUT", "PROPPATCH", "DELETE", "MOVE", "MOVE over", "COPY over", "LOCK", "UNLOCK"] {
        for (row, verdict) in ROWS {
            number += 1;
            let path = format!("/{number}.txt");
            server.put(&path).body("text").expect(201);
            let token = server.locked(&path, "0");
            let other = format!("/{number}-other.txt");
            // The source is what untagged lists judge; so that the table holds, it is the same file in everything but the lock.
            let states = fill(row, &path, &token, &server);
            let is_over = method.ends_with("over");
            if is_over && !states.starts_with('<') && *verdict != MALFORMED {
                continue;
            }
            if is_over {
                server.put(&other).body("text").expect(201);
            }
            let request = match method {
                "PUT" => server.put(&path).body("new"),
                "PROPPATCH" => server.proppatch(&path, "<D:set><D:prop><t:a>1</t:a></D:prop></D:set>"),
                "DELETE" => server.delete(&path),
                "MOVE" => server.moving(&path, &other),
                "MOVE over" => server.moving(&other, &path),
                "COPY over" => server.copying(&other, &path),
                "LOCK" => server.lock(&path, "exclusive", "0"),
                _ => server.unlock(&path, &token),
            };
            let answer = request.states(&states).send();
            let succeeds = match method {
                "PROPPATCH" => 207,
                // The lock that is there stands in the way of another one.
                "LOCK" => 423,
                "MOVE" => 201,
                _ => 204,
            };
            let status = match *verdict {
                TRUE => succeeds,
                // Nothing but the token in Lock-Token is asked of who gives a lock back.
                LOCKED if method == "UNLOCK" => 204,
                other => other,
            };
            assert_eq!(answer.status, status, "{method} with If: {row}: {answer}");
            if status >= 400 {
                assert_eq!(server.get(&path).expect(200).text(), "text", "{method} with If: {row}");
                assert_eq!(server.tokens_on(&path), [&*token], "{method} with If: {row}");
                assert_eq!(server.properties(&path, "<t:a/>").status_of("{urn:t}a"), Some(404));
            }
        }
    }
}

/// Two `If` fields are malformed, like one that is far too long.
#[test]
fn there_is_one_if_header_of_a_decent_length() {
    let server = Server::start();
    server.put("/a.txt").body("text").expect(201);
    let states = format!("([{}])", tag_of("text"));
    server.put("/a.txt").states(&states).states(&states).body("x").expect(400);
    server.put("/a.txt").states("([\"x\"]) ".repeat(3000)).body("x").expect_any(&[400, 412, 431]);
    server.put("/a.txt").states("(Not ".repeat(3000)).body("x").expect_any(&[400, 431]);
    assert_eq!(server.read("a.txt"), "text");
}

/// 12.6, 12.7, 12.11: what is judged is the place that is named: inherited locks count, and where nothing is, nothing matches.
#[test]
fn lists_judge_the_place_they_name() {
    let server = Server::start();
    server.mkcol("/d").expect(201);
    server.mkcol("/d/e").expect(201);
    server.put("/d/e/a.txt").body("text").expect(201);
    server.put("/b.txt").body("other").expect(201);
    let token = server.locked("/d", "infinity");
    let put = |states: String| server.put("/b.txt").states(states).body("other");
    put(format!("</d/e/a.txt> (<{token}> [{}])", tag_of("text"))).expect(204);
    put(format!("</d/e> (<{token}>)")).expect(204);
    put(format!("</d/e/> (<{token}> [*])")).expect(204);
    put(format!("</d/none> (<{token}>)")).expect(204);
    put(format!("</d/none> (<{token}> [*])")).expect(412);
    put(format!("</> (<{token}>)")).expect(412);
    put(format!("(<{token}>)")).expect(412);
    put(format!("</d/e> ([{}])", tag_of("text"))).expect(412);
    put("</none> (Not [\"x\"])".to_owned()).expect(204);
    put("<urn:elsewhere> (Not [\"x\"])".to_owned()).expect(204);
    put("(<urn:uuid:not-even-one>)".to_owned()).expect(412);
    put("(<DAV:no-lock>)".to_owned()).expect(412);
    server.put("/new.txt").states("([*])").body("x").expect(412);
    server.put("/new.txt").states("(Not [*])").body("x").expect(201);
    server.put("/new.txt").states("(Not [*])").body("y").expect(412);
}

/// 12.12: `If` and the other conditional headers are judged each by itself, and all have to hold.
#[test]
fn all_conditions_have_to_hold() {
    let server = Server::start();
    let tag = tag_of("text");
    for (states, if_match, status) in [
        (format!("([{tag}])"), &*tag, 204),
        (format!("([{tag}])"), "\"stale\"", 412),
        ("([\"stale\"])".to_owned(), &*tag, 412),
        ("(Not [\"stale\"])".to_owned(), "*", 204),
    ] {
        server.put("/a.txt").body("text").expect_any(&[201, 204]);
        server.put("/a.txt").states(&states).if_match(if_match).body("new").expect(status);
    }
    server.put("/a.txt").body("text").expect(204);
    server.put("/a.txt").states(format!("([{tag}])")).if_none_match("*").body("new").expect(412);
}

/// 10.4.17: the conditional headers of a COPY and a MOVE are about the source, a tagged `If` about what it names.
#[test]
fn conditions_of_two_places() {
    let server = Server::start();
    let begin = || {
        for (path, content) in [("/from.txt", "text"), ("/to.txt", "other")] {
            server.put(path).body(content).expect_any(&[201, 204]);
        }
    };
    type Condition<'a> = (&'a str, &'a dyn Fn(Request) -> Request, bool);
    let (text, other) = (tag_of("text"), tag_of("other"));
    let rows: &[Condition<'_>] = &[
        ("the source's tag", &|request| request.if_match(&text), true),
        ("the destination's tag", &|request| request.if_match(&other), false),
        ("If with the source's tag", &|request| request.states(format!("([{text}])")), true),
        ("If with the destination's tag", &|request| request.states(format!("([{other}])")), false),
        ("If about the destination", &|request| request.states(format!("</to.txt> ([{other}])")), true),
        ("If about the destination, stale", &|request| request.states(format!("</to.txt> ([{text}])")), false),
        (
            "If about both, one of them",
            &|request| request.states(format!("</to.txt> ([{text}]) </from.txt> ([{text}])")),
            true,
        ),
        ("Overwrite: F", &|request| request.header("Overwrite", "F"), false),
        ("If-None-Match", &|request| request.if_none_match("*"), false),
    ];
    for method in ["COPY", "MOVE"] {
        for (what, with, holds) in rows {
            begin();
            let request = server.request(method, "/from.txt").header("Destination", "/to.txt");
            with(request).send().expect(if *holds { 204 } else { 412 });
            let expected = if *holds { "text" } else { "other" };
            assert_eq!(server.read("to.txt"), expected, "{method}, {what}");
            assert_eq!(server.local("from.txt").exists(), !(*holds && method == "MOVE"), "{method}, {what}");
        }
    }
}

/// RFC 4918 §10.4: `If` makes a GET and a HEAD conditional, too, also of what would be answered from memory, of a folder and of a version.
#[test]
fn reading_is_judged_by_if() {
    let server = Server::start();
    server.mkcol("/d").expect(201);
    server.put("/d/a.txt").body("old").expect(201);
    server.put("/d/a.txt").body("text").expect(204);
    let versions = server.get("/d/a.txt?versions").expect(200).text();
    let version = versions.split("\"id\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let token = server.locked("/d/a.txt", "0");
    let version = format!("/d/a.txt?version={version}");
    for target in ["/d/a.txt", "/d/a.txt?download", "/d/a.txt?versions", &version] {
        for method in ["GET", "HEAD"] {
            let read = |states: &str| server.request(method, target).states(states);
            for _ in 0..2 {
                server.request(method, target).expect(200);
                read(&format!("([{}])", tag_of("text"))).expect(200);
                read(&format!("(<{token}>)")).expect(200);
                read(&format!("</d/a.txt> (<{token}> [{}])", tag_of("text"))).expect(200);
                read("([\"stale\"]) (Not [\"stale\"])").expect(200);
                read("([\"stale\"])").expect(412);
                read(&format!("(Not <{token}>)")).expect(412);
                read("<http://proxy.example/d/a.txt> ([\"stale\"])").expect(412);
                read("([\"stale\"").expect(400);
                read("").expect(400);
            }
            read("([\"stale\"])").if_none_match(tag_of("text")).expect(412);
        }
    }
    for target in ["/d/", "/d", "/d/?json"] {
        for method in ["GET", "HEAD"] {
            server.request(method, target).states("([*])").expect(200);
            server.request(method, target).states("(Not [*])").expect(412);
            server.request(method, target).states("(").expect(400);
        }
    }
    server.get("/none").states("([\"stale\"])").expect_any(&[404, 412]);
    server.get("/none").states("(").expect_any(&[400, 404]);
    server.get("/d/a.txt").states(format!("([{}])", tag_of("text"))).range("bytes=0-1").expect(206);
}
