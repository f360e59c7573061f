//! Uploads that go on after their connection broke (draft-ietf-httpbis-resumable-upload): what counts, whose they are, and that the end is judged as
//! any other upload is.

use std::fs;
use std::time::Duration;

use serde_json::json;

use crate::harness::client::tag_of;
use crate::harness::users::{UsersFile, Way, signed};
use crate::harness::{Answer, Connection, Request, Server, canaries, eventually};

const LIMIT: Duration = Duration::from_secs(20);

const VERSION: (&str, &str) = ("upload-draft-interop-version", "8");

/// Bytes of which no two pieces are the same.
fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

/// Begins an upload that more is to come of; gives its URL.
#[track_caller]
fn begun(server: &Server, path: &str, first: &[u8], more: impl FnOnce(Request) -> Request) -> String {
    let answer = more(server.put(path).header("upload-complete", "?0")).body(first).expect(201);
    assert_eq!(answer.field("upload-complete"), "?0");
    url_in(&answer)
}

#[track_caller]
fn url_in(answer: &Answer) -> String {
    let url = answer.field("location").to_owned();
    note(&url);
    url
}

fn note(url: &str) {
    canaries::note(url.rsplit('/').next().unwrap());
}

fn patch(server: &Server, url: &str, offset: usize, complete: bool) -> Request {
    let complete = if complete { "?1" } else { "?0" };
    let request = server.request("PATCH", url).header("content-type", "application/partial-upload");
    request.header("upload-offset", offset.to_string()).header("upload-complete", complete)
}

/// How far an upload has come, once that is so.
#[track_caller]
fn offset(server: &Server, url: &str) -> usize {
    server.head(url).expect(204).field("upload-offset").parse().unwrap()
}

/// What lies in the folder for uploads.
fn half_done_files(server: &Server) -> Vec<String> {
    let folder = server.local(".noclobber/uploads");
    if folder.is_dir() { server.names(".noclobber/uploads") } else { Vec::new() }
}

/// Waits until so much of the only half-done upload was written; says how much.
fn wait_for_bytes(server: &Server, wanted: usize) -> usize {
    eventually(LIMIT, "bytes were written", || {
        let there = half_done_files(server).into_iter().find(|name| !name.ends_with(".note"))?;
        let bytes = fs::metadata(server.local(".noclobber/uploads").join(there)).ok()?.len() as usize;
        (bytes >= wanted).then_some(bytes)
    })
}

#[test]
fn a_file_comes_in_parts() {
    let server = Server::start();
    let all = content(300_000);
    let url = begun(&server, "/a.bin", &all[..1000], |put| put.header("upload-length", all.len().to_string()));
    assert!(url.starts_with("/.noclobber/uploads/"), "{url}");
    server.get("/a.bin").expect(404);
    let told = server.head(&url).expect(204);
    assert_eq!(told.field("upload-offset"), "1000");
    assert_eq!(told.field("upload-complete"), "?0");
    assert_eq!(told.field("upload-length"), "300000");
    assert!(told.field("upload-limit").contains("max-age="), "{told}");
    assert_eq!(told.field("cache-control"), "no-store");
    let answer = patch(&server, &url, 1000, false).body(&all[1000..200_000]).expect(204);
    assert_eq!(answer.field("upload-complete"), "?0");
    let answer = patch(&server, &url, 200_000, true).body(&all[200_000..]).expect(201);
    assert_eq!(answer.field("upload-complete"), "?1");
    assert_eq!(answer.tag(), tag_of(&all));
    assert_eq!(answer.field("location"), "/a.bin");
    server.get("/a.bin").expect_body(&all);
    let told = server.head(&url).expect(204);
    assert_eq!((told.field("upload-complete"), told.field("upload-offset")), ("?1", "300000"));
    assert_eq!(
        patch(&server, &url, 300_000, true).body("").expect(400).problem()["type"].as_str().unwrap().rsplit('#').next(),
        Some("completed-upload")
    );
    patch(&server, &url, 300_000, true).body("x").expect(400);
    assert_eq!(half_done_files(&server), [""; 0]);
}

/// What came before the connection broke counts, and nothing of it is sent again.
#[test]
fn what_came_before_the_connection_broke_counts() {
    let server = Server::start();
    let all = content(3 << 20);
    let url = begun(&server, "/a.bin", b"", |put| put);
    let mut sent = server.connect();
    let head = patch(&server, &url, 0, true).header("content-length", all.len().to_string());
    sent.write(head.head());
    sent.write(&all[..2 << 20]);
    let half = wait_for_bytes(&server, 1 << 20);
    sent.break_off();
    let counts = offset(&server, &url);
    assert!(counts >= half && counts <= 2 << 20, "{counts} of {half}");
    patch(&server, &url, counts, true).body(&all[counts..]).expect(201);
    server.get("/a.bin").expect_body(&all);
}

/// A client that speaks the draft is told where its upload goes on before it is answered, and how far it has come.
#[test]
fn a_whole_upload_goes_on_where_the_client_was_told() {
    let server = Server::start();
    let all = content(1 << 20);
    let mut connection = server.connect();
    let put = server.put("/a.bin").header("upload-complete", "?1").header(VERSION.0, VERSION.1);
    connection.write(put.header("content-length", all.len().to_string()).head());
    let url = told_url(&mut connection);
    connection.write(&all[..700_000]);
    wait_for_bytes(&server, 100_000);
    connection.break_off();
    let counts = offset(&server, &url);
    assert!((100_000..=700_000).contains(&counts), "{counts}");
    patch(&server, &url, counts, true).body(&all[counts..]).expect(201);
    server.get("/a.bin").expect_body(&all);
    // Whoever is not interrupted has an answer as any other.
    let put = server.put("/b.bin").header("upload-complete", "?1").header(VERSION.0, VERSION.1).body(&all);
    let answer = put.expect(201);
    assert_eq!(answer.interim, [104]);
    assert_eq!(answer.field("location"), "/b.bin");
    assert_eq!((answer.field("upload-complete"), answer.tag()), ("?1", tag_of(&all)));
    // Nobody else is told anything before.
    for other in [("upload-draft-interop-version", "7"), ("x-other", "8")] {
        let put = server.put("/b.bin").header("upload-complete", "?1").header(other.0, other.1).body(&all);
        assert_eq!(put.expect(204).interim, [0; 0], "{other:?}");
    }
    assert_eq!(half_done_files(&server), [""; 0]);
}

/// The URL in a 104.
#[track_caller]
fn told_url(connection: &mut Connection) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(connection.read_raw(1).unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 104 Upload Resumption Supported\r\n"), "{head}");
    assert!(head.contains("upload-draft-interop-version: 8\r\n"), "{head}");
    let url = head.lines().find_map(|line| line.strip_prefix("location: ")).unwrap().to_owned();
    note(&url);
    url
}

/// A long upload is told how far it has come that counts, whatever happens to the server.
#[test]
fn a_long_upload_is_told_what_counts_and_outlives_a_kill() {
    let mut server = Server::start();
    let all = content(100 << 20);
    let mut connection = server.connect();
    let put = server.put("/a.bin").header("upload-complete", "?1").header(VERSION.0, VERSION.1);
    connection.write(put.header("content-length", all.len().to_string()).head());
    let url = told_url(&mut connection);
    connection.write(&all[..90 << 20]);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(connection.read_raw(1).unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let told: usize = head.lines().find_map(|line| line.strip_prefix("upload-offset: ")).unwrap().parse().unwrap();
    assert!(told >= 64 << 20, "{head}");
    server.kill();
    server.start_again();
    let counts = offset(&server, &url);
    assert!(counts >= told, "{counts} of {told}");
    patch(&server, &url, counts, true).body(&all[counts..]).expect(201);
    server.get("/a.bin").expect_body(&all);
    assert_eq!(half_done_files(&server), [""; 0]);
}

#[test]
fn an_upload_outlives_a_restart_in_good_order() {
    let mut server = Server::start();
    let all = content(500_000);
    server.put("/a.bin").body("first").expect(201);
    let tag = tag_of("first");
    let url = begun(&server, "/a.bin", &all[..123_456], |put| put.if_match(&tag));
    server.stop();
    server.start_again();
    assert_eq!(offset(&server, &url), 123_456);
    assert_eq!(patch(&server, &url, 123_456, true).body(&all[123_456..]).expect(204).tag(), tag_of(&all));
    server.versions("/a.bin").expect(["first"]);
}

/// An offset that does not fit is told the right one, and nothing is written.
#[test]
fn an_offset_that_does_not_fit_is_refused() {
    let server = Server::start();
    let url = begun(&server, "/a", b"0123456789", |put| put);
    for wrong in [0, 9, 11] {
        let answer = patch(&server, &url, wrong, true).body("x").expect(409);
        assert_eq!(answer.field("upload-offset"), "10");
        let problem = answer.problem();
        assert_eq!(problem["type"], "https://iana.org/assignments/http-problem-types#mismatching-upload-offset");
        assert_eq!((&problem["expected-offset"], &problem["provided-offset"]), (&json!(10), &json!(wrong)));
    }
    assert_eq!(offset(&server, &url), 10);
    patch(&server, &url, 10, true).body("").expect(201);
    server.get("/a").expect_body("0123456789");
}

#[test]
fn what_is_no_part_of_an_upload_is_refused() {
    let server = Server::start();
    let url = begun(&server, "/a", b"0", |put| put);
    let patch = || server.request("PATCH", &url).header("upload-offset", "1").body("x");
    patch().header("upload-complete", "?1").expect(415);
    patch().header("upload-complete", "?1").header("content-type", "text/plain").expect(415);
    let partial = || patch().header("content-type", "application/partial-upload");
    partial().header("upload-complete", "?1").header("content-encoding", "gzip").expect(415);
    partial().expect(400);
    partial().header("upload-complete", "yes").expect(400);
    server
        .request("PATCH", &url)
        .header("content-type", "application/partial-upload")
        .header("upload-complete", "?1")
        .body("x")
        .expect(400);
    server.get(&url).expect(405);
    server.put(&url).body("x").expect(405);
    // What goes to the path itself would be written into the file.
    server.request("PATCH", "/a").header("content-type", "application/partial-upload").body("x").expect(415);
    server.put("/b").header("upload-complete", "perhaps").body("x").expect(400);
    server.get("/b").expect(404);
    assert_eq!(offset(&server, &url), 1);
    for unknown in
        ["/.noclobber/uploads/00000000000000000000000000000000", "/.noclobber/uploads/x", "/a/.noclobber/uploads/00"]
    {
        server.head(unknown).expect(404);
        server.delete(unknown).expect(404);
    }
    server.get("/.noclobber/uploads/../a").expect_any(&[400, 404]);
}

/// A length is said once. What is longer or shorter than it is refused, and the upload is as it was.
#[test]
fn a_length_that_changes_is_refused() {
    let server = Server::start();
    let url = begun(&server, "/a", b"01234", |put| put.header("upload-length", "10"));
    let kind = |answer: Answer| answer.problem()["type"].as_str().unwrap().rsplit('#').next().unwrap().to_owned();
    let wrong = [
        patch(&server, &url, 5, true).body("567890").expect(400),
        patch(&server, &url, 5, true).body("5678").expect(400),
        patch(&server, &url, 5, false).body("5678901").expect(400),
        patch(&server, &url, 5, false).header("upload-length", "11").body("5").expect(400),
        patch(&server, &url, 5, true).chunks(["567", "8901"]).expect(400),
        server.put("/b").header("upload-complete", "?0").header("upload-length", "1").body("01").expect(400),
    ];
    for answer in wrong {
        assert_eq!(kind(answer), "inconsistent-upload-length");
    }
    assert_eq!(offset(&server, &url), 5);
    patch(&server, &url, 5, true).chunks(["56", "78"]).expect(400);
    assert_eq!(offset(&server, &url), 9);
    patch(&server, &url, 9, true).body("9").expect(201);
    server.get("/a").expect_body("0123456789");
}

/// A validator that goes stale on the way is told at the next contact, and nothing that came is lost: the client finishes under another name, or against
/// what is there now.
#[test]
fn a_stale_upload_is_finished_in_another_way() {
    let server = Server::start();
    for way in ["elsewhere", "again", "restarted"] {
        let path = format!("/{way}");
        server.put(&path).body("mine").expect(201);
        let tag = tag_of("mine");
        let url = begun(&server, &path, b"my new ", |put| put.if_match(&tag));
        server.put(&path).body("theirs").expect(204);
        for answer in [server.head(&url).expect(412), patch(&server, &url, 7, true).body("text").expect(412)] {
            assert_eq!((answer.field("upload-offset"), answer.field("upload-complete")), ("7", "?0"));
            assert_eq!(answer.tag(), tag_of("theirs"));
        }
        server.get(&path).expect_body("theirs");
        match way {
            "elsewhere" => {
                let patch = patch(&server, &url, 7, true).header("destination", "/elsewhere%20(2)");
                let answer = patch.header("overwrite", "F").body("text").expect(201);
                assert_eq!(answer.field("location"), "/elsewhere%20%282%29");
                server.get("/elsewhere%20(2)").expect_body("my new text");
                server.get(&path).expect_body("theirs");
            }
            _ => {
                patch(&server, &url, 7, true).if_match(tag_of("theirs")).body("text").expect(204);
                server.get(&path).expect_body("my new text");
                server.versions(&path).expect(["theirs", "mine"]);
            }
        }
    }
    assert_eq!(half_done_files(&server), [""; 0]);
}

/// What has come whole and is refused at the very end is finished without sending a byte again.
#[test]
fn a_stale_upload_that_has_come_whole_is_not_sent_again() {
    let server = Server::start();
    server.put("/a").body("mine").expect(201);
    let url = begun(&server, "/a", b"whole", |put| put.if_match(tag_of("mine")));
    // Another program, past the server.
    server.write("a", "a program's");
    let refused = patch(&server, &url, 5, true).body("").expect(412);
    assert_eq!(refused.field("upload-offset"), "5");
    assert_eq!(server.read("a"), "a program's");
    let destination = patch(&server, &url, 5, true).header("destination", "/b").header("if-none-match", "*");
    destination.body("").expect(201);
    server.get("/b").expect_body("whole");
}

/// While its bytes come, an upload that names a version is told when that is no more, as any other is.
#[test]
fn an_upload_in_flight_is_told_that_it_is_stale() {
    let server = Server::start();
    server.put("/a").body("mine").expect(201);
    let url = begun(&server, "/a", b"", |put| put.if_match(tag_of("mine")));
    let mut connection = server.connect();
    connection.write(patch(&server, &url, 0, true).header("content-length", "10000000").head());
    connection.write(content(1_000_000));
    wait_for_bytes(&server, 100_000);
    server.put("/a").body("theirs").expect(204);
    let told = connection.answer("PATCH");
    assert_eq!(told.status, 412, "{told}");
    let counts: usize = server.head(&url).expect(412).field("upload-offset").parse().unwrap();
    assert!(counts > 0 && counts <= 1_000_000, "{counts}");
}

/// The newest request has the upload: a connection that broke without a word keeps nobody out.
#[test]
fn the_newest_request_has_the_upload() {
    let server = Server::start();
    let all = content(1 << 20);
    let url = begun(&server, "/a", b"", |put| put);
    let mut older = server.connect();
    older.write(patch(&server, &url, 0, true).header("content-length", all.len().to_string()).head());
    older.write(&all[..600_000]);
    wait_for_bytes(&server, 100_000);
    let counts = offset(&server, &url);
    assert!((100_000..=600_000).contains(&counts), "{counts}");
    let told = older.answer("PATCH");
    assert_eq!(told.status, 409, "{told}");
    assert_eq!(offset(&server, &url), counts);
    patch(&server, &url, counts, true).body(&all[counts..]).expect(201);
    server.get("/a").expect_body(&all);
}

#[test]
fn an_upload_is_cancelled() {
    let server = Server::start();
    let url = begun(&server, "/a", b"some", |put| put);
    assert_eq!(half_done_files(&server).len(), 2);
    let mut older = server.connect();
    older.write(patch(&server, &url, 4, true).header("content-length", "1000").head());
    older.write("more");
    server.delete(&url).expect(204);
    server.head(&url).expect(410);
    patch(&server, &url, 4, true).body("more").expect(410);
    server.delete(&url).expect(410);
    assert_eq!(half_done_files(&server), [""; 0]);
    server.get("/a").expect(404);
}

/// Digests are checked: of a part before it counts, and of the whole at its end.
#[test]
fn digests_of_parts_and_of_the_whole_are_checked() {
    use base64::Engine as _;
    use sha2::{Digest as _, Sha256};
    let sha =
        |bytes: &str| format!("sha-256=:{}:", base64::engine::general_purpose::STANDARD.encode(Sha256::digest(bytes)));
    let server = Server::start();
    let url = begun(&server, "/a", b"one ", |put| put.header("repr-digest", sha("one two three")));
    let wrong = patch(&server, &url, 4, false).header("content-digest", sha("other")).body("two ");
    assert_eq!(
        wrong.expect(400).problem()["type"],
        "https://iana.org/assignments/http-problem-types#digest-mismatched-values"
    );
    assert_eq!(offset(&server, &url), 4);
    patch(&server, &url, 4, false).header("content-digest", sha("two ")).body("two ").expect(204);
    let wrong = patch(&server, &url, 8, true).body("threE").expect(400);
    assert!(wrong.text().contains("digest"), "{wrong}");
    server.get("/a").expect(404);
    let url = begun(&server, "/a", b"one two ", |put| put.header("repr-digest", sha("one two three")));
    patch(&server, &url, 8, true).body("three").expect(201);
    server.get("/a").expect_body("one two three");
}

/// The folders above are made when the upload ends, and not before.
#[test]
fn missing_folders_are_made_at_the_end() {
    let server = Server::start();
    server.put("/x/y/a").header("upload-complete", "?0").body("1").expect(409);
    let url = begun(&server, "/x/y/a?mkdirs", b"1", |put| put);
    assert!(!server.local("x").exists());
    patch(&server, &url, 1, true).body("2").expect(201);
    server.get("/x/y/a").expect_body("12");
}

/// The folder may be moved while an upload comes: its end goes by what is there then.
#[test]
fn the_end_goes_by_the_folders_that_are_there_then() {
    let server = Server::start();
    server.mkcol("/f").expect(201);
    let url = begun(&server, "/f/a", b"1", |put| put);
    fs::rename(server.local("f"), server.local("g")).unwrap();
    patch(&server, &url, 1, true).body("2").expect(409);
    assert_eq!(offset(&server, &url), 2);
    server.mkcol("/f").expect(201);
    patch(&server, &url, 2, true).body("").expect(201);
    server.get("/f/a").expect_body("12");
    server.get("/g/a").expect(404);
}

/// A file that is made has the mode and the group that any other there has.
#[test]
fn an_upload_that_goes_on_makes_a_file_like_any_other() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let server = Server::start();
    server.put("/plain").body("x").expect(201);
    let url = begun(&server, "/a", b"x", |put| put.header("x-oc-mtime", "1500000000"));
    let answer = patch(&server, &url, 1, true).body("").expect(201);
    assert_eq!(answer.field("x-oc-mtime"), "accepted");
    let (plain, resumed) = (fs::metadata(server.local("plain")).unwrap(), fs::metadata(server.local("a")).unwrap());
    assert_eq!((plain.mode(), plain.gid(), plain.nlink()), (resumed.mode(), resumed.gid(), resumed.nlink()));
    assert_eq!(resumed.mtime(), 1_500_000_000);
    fs::set_permissions(server.local("a"), fs::Permissions::from_mode(0o600)).unwrap();
    let url = begun(&server, "/a", b"y", |put| put);
    patch(&server, &url, 1, true).body("").expect(204);
    assert_eq!(fs::metadata(server.local("a")).unwrap().mode() & 0o777, 0o600);
}

const RULES: &str = "[[rules]]\npath = \"/\"\nwho = \"signed-in\"\nmay = \"write\"\n\
    [[rules]]\npath = \"/alice\"\nwho = \"everybody\"\nmay = \"none\"\n\
    [[rules]]\npath = \"/alice\"\nwho = \"user:alice\"\nmay = \"write\"\n";

/// An upload is its owner's alone: nobody else sees it, goes on with it or cancels it, and its owner finds it in a list.
#[test]
fn an_upload_is_its_owners_alone() {
    let users = UsersFile::make(RULES);
    let server = Server::builder().value("--users", users.path().display()).start();
    fs::create_dir(server.local("alice")).unwrap();
    let by = |who: &str, request: Request| signed(request, who, Way::Token, &users);
    let put = server.put("/alice/a").header("upload-complete", "?0").header("upload-length", "9").body("half");
    let url = url_in(&by("alice", put).expect(201));
    assert!(url.starts_with("/alice/.noclobber/uploads/"), "{url}");
    for request in [server.head(&url), server.delete(&url), patch(&server, &url, 4, true).body("x")] {
        by("bob", request).expect(404);
    }
    server.head(&url).expect(401);
    let listed =
        |who: &str, folder: &str| by(who, server.get(format!("{folder}.noclobber/uploads/"))).expect(200).json();
    assert_eq!(listed("bob", "/"), json!({ "uploads": [] }));
    assert_eq!(listed("alice", "/x/"), json!({ "uploads": [] }));
    let all = listed("alice", "/");
    let (upload, none) = (&all["uploads"][0], &all["uploads"][1]);
    assert_eq!((&upload["path"], &upload["offset"], &upload["length"]), (&json!("/alice/a"), &json!(4), &json!(9)));
    assert!(none.is_null());
    // By the name in the list its owner goes on, and nobody else.
    let listed_url = upload["url"].as_str().unwrap();
    by("bob", server.head(listed_url)).expect(404);
    by("alice", patch(&server, listed_url, 4, false).body("-")).expect(204);
    by("alice", server.head(&url)).expect(204);
    // What its owner may no more is not done at its end.
    users.write(&users.text().replace("who = \"user:alice\"\nmay = \"write\"", "who = \"user:alice\"\nmay = \"read\""));
    by("alice", patch(&server, &url, 5, true).body("done")).expect(403);
    assert!(!server.local("alice/a").exists());
    by("alice", server.head(&url)).expect(403);
    users.write(&users.text().replace("who = \"user:alice\"\nmay = \"read\"", "who = \"user:alice\"\nmay = \"write\""));
    by("alice", patch(&server, &url, 5, true).body("done")).expect(201);
    assert_eq!(server.read("alice/a"), "half-done");
}

/// Where both may write, the upload of one is not there for the other, even if its URL is known.
#[test]
fn whoever_may_write_there_too_has_no_part_in_it() {
    let users = UsersFile::make(RULES);
    let server = Server::builder().value("--users", users.path().display()).start();
    for folder in ["both", "alice"] {
        fs::create_dir(server.local(folder)).unwrap();
    }
    let by = |who: &str, request: Request| signed(request, who, Way::Token, &users);
    let put = server.put("/both/a").header("upload-complete", "?0").body("half");
    let url = url_in(&by("alice", put).expect(201));
    for request in [server.head(&url), server.delete(&url), patch(&server, &url, 4, true).body("x")] {
        by("bob", request).expect(404);
    }
    assert_eq!(by("bob", server.get("/both/.noclobber/uploads/")).expect(200).json(), json!({ "uploads": [] }));
    let tus = server.post("/both/.noclobber/tus/").header("tus-resumable", "1.0.0").header("upload-length", "4");
    let url_of_tus = url_in(&by("alice", tus.header("upload-metadata", "filename Yg==").body("")).expect(201));
    by("bob", server.head(&url_of_tus).header("tus-resumable", "1.0.0")).expect(404);
    // Nor does anybody end an upload where he may not write.
    let put = server.put("/both/b").header("upload-complete", "?0").body("half");
    let url = url_in(&by("bob", put).expect(201));
    let elsewhere = patch(&server, &url, 4, true).header("destination", "/alice/b").body("");
    by("bob", elsewhere).expect_any(&[403, 404]);
    assert_eq!(server.names("alice"), [""; 0]);
    by("bob", patch(&server, &url, 4, true).body("")).expect(201);
    by("alice", server.head(url_in_list(&by("alice", server.get("/.noclobber/uploads/")).expect(200)))).expect(204);
}

fn url_in_list(answer: &Answer) -> String {
    let uploads = answer.json()["uploads"].as_array().unwrap().clone();
    let of_draft = uploads.iter().filter_map(|upload| upload["url"].as_str()).find(|url| url.contains("/uploads/"));
    of_draft.unwrap().to_owned()
}

/// Who has not said who he is is told of no upload how to go on with it: all of them are one.
#[test]
fn a_list_for_everybody_names_no_urls() {
    let server = Server::start();
    let url = begun(&server, "/a", b"half", |put| put);
    let listed = server.get("/.noclobber/uploads/").expect(200).json();
    assert_eq!(listed["uploads"][0]["path"], "/a");
    assert!(listed["uploads"][0]["url"].is_null(), "{listed}");
    let stem = half_done_files(&server)[0].trim_start_matches("lasting-").to_owned();
    server.head(format!("/.noclobber/uploads/{stem}")).expect(404);
    server.head(&url).expect(204);
}

/// Half-done uploads are bounded, and what they announce has to fit on the disk.
#[test]
fn half_done_uploads_are_bounded() {
    let server = Server::start();
    let put = |number: usize| server.put(format!("/{number}")).header("upload-complete", "?0").body("");
    let urls: Vec<_> = (0..128).map(|number| url_in(&put(number).expect(201))).collect();
    let refused = put(128).expect(429);
    assert!(refused.header("retry-after").is_some(), "{refused}");
    assert_eq!(half_done_files(&server).len(), 256);
    // What comes whole is taken all the same, and cannot go on.
    let whole = server.put("/whole").header("upload-complete", "?1").header(VERSION.0, VERSION.1).body([7; 300_000]);
    assert_eq!(whole.expect(201).interim, [0; 0]);
    server.delete(&urls[0]).expect(204);
    let put =
        |bytes: u64| server.put("/big").header("upload-complete", "?0").header("upload-length", bytes.to_string());
    put(900_000_000_000_000).body("").expect(507);
    let free = rustix::fs::statvfs(server.folder()).map(|there| there.f_bavail * there.f_frsize).unwrap();
    url_in(&put(free / 3 * 2).body("").expect(201));
    // Together they would not fit.
    server.delete(&urls[1]).expect(204);
    put(free / 3 * 2).body("").expect(507);
}

#[test]
fn options_tell_that_uploads_go_on() {
    let server = Server::with("--upload-bytes-max").option("1000").start();
    for path in ["/new", "/.noclobber/uploads/"] {
        let told = server.options(path).expect(200);
        assert_eq!(told.field("accept-patch"), "application/partial-upload", "{path}");
        assert_eq!(told.field("upload-limit"), "max-size=1000");
    }
    assert_eq!(server.options("/").expect(200).header("accept-patch"), None);
    let put = |length: &str| server.put("/a").header("upload-complete", "?0").header("upload-length", length);
    let refused = put("1001").body("x").expect(413);
    assert_eq!(refused.field("upload-limit"), "max-size=1000");
    let url = begun(&server, "/a", &[0; 600], |put| put);
    let refused = patch(&server, &url, 600, false).body([0; 401]).expect(413);
    assert_eq!(refused.field("upload-limit"), "max-size=1000");
    server.get("/a").expect(404);
}

/// curl waits with a large part until it is asked for it.
#[test]
fn a_part_is_judged_before_it_is_asked_for() {
    let server = Server::start();
    server.put("/a.bin").body("first").expect(201);
    let url = begun(&server, "/a.bin", b"0123", |put| put.if_match(tag_of("first")));
    let added = patch(&server, &url, 4, false).body_when_asked("4567").expect(204);
    assert_eq!(added.interim, [100]);
    let ahead = patch(&server, &url, 9, true).body_when_asked("x").expect(409);
    assert_eq!((ahead.interim.len(), &ahead.problem()["expected-offset"]), (0, &json!(8)));
    let unknown = "/.noclobber/uploads/00000000000000000000000000000000";
    assert_eq!(patch(&server, unknown, 0, true).body_when_asked("x").expect(404).interim, [0; 0]);
    server.put("/a.bin").if_match(tag_of("first")).body("second").expect(204);
    let stale = patch(&server, &url, 8, true).body_when_asked("89").expect(412);
    assert_eq!((stale.interim.len(), stale.field("upload-offset"), stale.tag()), (0, "8", tag_of("second")));
    let ended = patch(&server, &url, 8, true).if_match(tag_of("second")).body_when_asked("89").expect(204);
    assert_eq!(ended.interim, [100]);
    server.get("/a.bin").expect_body("0123456789");
    let over = patch(&server, &url, 10, true).body_when_asked("x").expect(400);
    assert_eq!(over.interim, [0; 0]);
}

/// Few clients read an answer before they have sent all.
#[test]
fn who_sends_all_of_what_is_refused_hears_why() {
    let server = Server::start();
    server.put("/a.bin").body("first").expect(201);
    let url = begun(&server, "/a.bin", b"", |put| put.if_match(tag_of("first")));
    server.put("/a.bin").if_match(tag_of("first")).body("second").expect(204);
    let whole = vec![b'x'; 64 << 20];
    for request in [patch(&server, &url, 0, true), server.put("/a.bin").if_match(tag_of("first"))] {
        let mut connection = server.connect();
        connection.write(request.header("content-length", whole.len().to_string()).head());
        connection.write(&whole);
        connection.answer("PUT").expect(412);
    }
    server.get("/a.bin").expect_body("second");
}
