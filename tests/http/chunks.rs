//! Nextcloud's chunked upload: chunks in any order and many at once, judged as any upload when the file is made of them; and the other place of the
//! share, by which clients of Nextcloud know it.

use std::fs;
use std::time::Duration;

use crate::harness::client::tag_of;
use crate::harness::users::{UsersFile, Way, signed};
use crate::harness::{Answer, Request, Server, eventually};

const UPLOADS: &str = "/.noclobber/remote.php/dav/uploads/alice";

const FILES: &str = "/.noclobber/remote.php/dav/files/alice";

const LIMIT: Duration = Duration::from_secs(20);

/// An upload on a server.
struct Upload<'a> {
    server: &'a Server,
    url: String,
}

impl<'a> Upload<'a> {
    /// Begins one.
    #[track_caller]
    fn begin(server: &'a Server, id: &str) -> Self {
        let upload = Self::of(server, id);
        upload.make().expect(201);
        upload
    }

    /// One that is called so.
    fn of(server: &'a Server, id: &str) -> Self {
        Self { server, url: format!("{UPLOADS}/{id}") }
    }

    fn make(&self) -> Request {
        self.server.mkcol(&self.url)
    }

    fn put(&self, chunk: &str, bytes: impl AsRef<[u8]>) -> Request {
        self.server.put(format!("{}/{chunk}", self.url)).body(bytes)
    }

    fn end(&self, destination: &str) -> Request {
        self.server.request("MOVE", format!("{}/.file", self.url)).header("destination", destination)
    }

    fn cancel(&self) -> Request {
        self.server.delete(&self.url)
    }

    /// What has come, each with its length.
    #[track_caller]
    fn chunks(&self) -> Vec<(String, u64)> {
        let answer = self.server.request("PROPFIND", &self.url).header("depth", "1").expect(207).text();
        let responses = answer.split("<D:response>").skip(1).map(|response| {
            let href = between(response, "<D:href>", "</D:href>").expect("an address");
            let bytes = between(response, "<D:getcontentlength>", "</D:getcontentlength>");
            assert_eq!(response.contains("<D:collection/>"), bytes.is_none(), "{answer}");
            (href.strip_prefix(&format!("{}/", self.url)).expect(href).to_owned(), bytes)
        });
        let all: Vec<_> = responses.collect();
        assert_eq!(all[0], (String::new(), None), "{answer}");
        all[1..].iter().map(|(name, bytes)| (name.clone(), bytes.expect("a length").parse().unwrap())).collect()
    }
}

fn between<'t>(text: &'t str, from: &str, to: &str) -> Option<&'t str> {
    Some(text.split_once(from)?.1.split_once(to)?.0)
}

fn named(name: &str, bytes: u64) -> (String, u64) {
    (name.to_owned(), bytes)
}

/// Bytes of which no two pieces are the same.
fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

#[track_caller]
fn kind(answer: &Answer) -> String {
    answer.problem()["type"].as_str().unwrap().rsplit([':', '#']).next().unwrap().to_owned()
}

/// What lies in the folder for uploads.
fn half_done_files(server: &Server) -> Vec<String> {
    let folder = server.local(".noclobber/uploads");
    if folder.is_dir() { server.names(".noclobber/uploads") } else { Vec::new() }
}

#[test]
fn chunks_are_put_in_order() {
    let server = Server::start();
    for (id, chunks, all) in [
        ("numbers", &[("10", "c"), ("00002", "b"), ("1", "a")][..], "abc"),
        ("from-zero", &[("1", "b"), ("0", "a")], "ab"),
        ("bytes", &[("5-9", "fghij"), ("000000000000000-000000000000004", "abcde")], "abcdefghij"),
        ("sent-anew", &[("1", "wrong, and longer"), ("2", "b"), ("00001", "a")], "ab"),
    ] {
        let upload = Upload::begin(&server, id);
        for (name, bytes) in chunks {
            let is_anew = *name == "00001";
            upload.put(name, bytes).expect(if is_anew { 204 } else { 201 });
        }
        let path = format!("/{id}.txt");
        server.get(&path).expect(404);
        let answer = upload.end(&path).header("oc-total-length", all.len().to_string()).expect(201);
        assert_eq!(answer.tag(), tag_of(all));
        assert_eq!(answer.field("location"), path);
        server.get(&path).expect_body(all);
        upload.put("1", "x").expect(404);
    }
    assert_eq!(half_done_files(&server), [""; 0]);
}

/// A client that goes on asks what has come.
#[test]
fn what_has_come_is_listed() {
    let server = Server::start();
    let upload = Upload::begin(&server, "listed");
    assert_eq!(upload.chunks(), []);
    upload.put("2", "bb").expect(201);
    upload.put("10", "ccc").expect(201);
    upload.put("00001", "").expect(201);
    assert_eq!(upload.chunks(), [named("00001", 0), named("00002", 2), named("00010", 3)]);
    let asked = "<?xml version=\"1.0\"?><d:propfind xmlns:d=\"DAV:\" xmlns:o=\"http://owncloud.org/ns\"><d:prop>\
                 <d:getcontentlength/><o:size/></d:prop></d:propfind>";
    let answer = server.request("PROPFIND", format!("{}/", upload.url)).header("depth", "1");
    let told = answer.header("content-type", "application/xml").body(asked).expect(207).text();
    assert!(told.contains("<D:getcontentlength>3</D:getcontentlength>") && !told.contains("resourcetype"), "{told}");
    assert_eq!(told.matches("404").count(), 4, "{told}");
    let alone = server.request("PROPFIND", &upload.url).header("depth", "0").expect(207).text();
    assert_eq!(alone.matches("<D:response>").count(), 1, "{alone}");
}

/// What is missing is named, and nothing is stored; what was acknowledged is there still.
#[test]
fn missing_chunks_are_named() {
    let server = Server::start();
    server.put("/a").body("before").expect(201);
    for (id, chunks, total, missing) in [
        ("none", &[][..], None, &["00001"][..]),
        ("gap", &[("1", "aa"), ("4", "bb")], None, &["00002", "00003"]),
        ("short", &[("1", "aa"), ("2", "bb")], Some(5), &["00003"]),
        ("hole", &[("0-1", "aa"), ("5-6", "bb")], None, &["000000000000002-000000000000004"]),
        ("rest", &[("0-1", "aa")], Some(9), &["000000000000002-000000000000008"]),
    ] {
        let upload = Upload::begin(&server, id);
        for (name, bytes) in chunks {
            upload.put(name, bytes).expect(201);
        }
        let mut end = upload.end("/a");
        if let Some(total) = total {
            end = end.header("oc-total-length", total.to_string());
        }
        let answer = end.expect(409);
        assert_eq!(kind(&answer), "missing-chunks");
        assert_eq!(answer.problem()["missing"], serde_json::json!(missing), "{id}");
        assert_eq!(upload.chunks().len(), chunks.len());
    }
    server.get("/a").expect_body("before");
    // Numbers may be left out where the length says that nothing is.
    let upload = Upload::of(&server, "gap");
    upload.end("/a").header("oc-total-length", "4").expect(204);
    server.get("/a").expect_body("aabb");
}

/// A length that does not fit is refused, and the upload is as it was.
#[test]
fn a_length_that_does_not_fit_is_refused() {
    let server = Server::start();
    let upload = Upload::of(&server, "length");
    upload.make().header("oc-total-length", "4").expect(201);
    upload.put("1", "aa").expect(201);
    for (what, request, wrong) in [
        ("too much", upload.put("2", "bbb"), "inconsistent-upload-length"),
        ("another total", upload.put("2", "bb").header("oc-total-length", "5"), "inconsistent-upload-length"),
        ("another total at the end", upload.end("/a").header("oc-total-length", "2"), "inconsistent-upload-length"),
        ("of the other kind", upload.put("2-3", "bb"), "no-chunk"),
        ("no name", upload.put("one", "bb"), "no-chunk"),
        ("no total", upload.put("2", "bb").header("oc-total-length", "-1"), "bad-request"),
    ] {
        assert_eq!(kind(&request.expect(400)), wrong, "{what}");
        assert_eq!(upload.chunks(), [named("00001", 2)], "{what}");
    }
    upload.put("2", "").chunks(["b", "bb"]).expect(400);
    upload.put("2", "bb").header("content-range", "bytes 0-1/2").expect_any(&[400, 415]);
    upload.put("2", "bb").header("content-encoding", "gzip").expect(415);
    assert_eq!(upload.chunks(), [named("00001", 2)]);
    upload.put("2", "bb").expect(201);
    upload.end("/a").expect(201);
    let bytes = Upload::begin(&server, "bytes");
    for wrong in ["0-0", "0-2"] {
        assert_eq!(kind(&bytes.put(wrong, "bb").expect(400)), "no-chunk", "{wrong}");
    }
    bytes.put("0-4", "abcde").expect(201);
    bytes.put("4-5", "ef").expect(201);
    assert_eq!(kind(&bytes.end("/b").expect(400)), "inconsistent-upload-length");
    server.get("/b").expect(404);
}

/// The conditions of the MOVE are those of the file that it makes; those of the beginning hold where it has none.
#[test]
fn the_end_is_judged_as_any_upload() {
    let server = Server::start();
    let states = |tag: &str| format!("</a> ([{tag}])");
    let by_move = |upload: &Upload<'_>, name: &str, value: &str| upload.end("/a").header(name, value);
    server.put("/a").body("before").expect(201);
    let (now, stale) = (tag_of("before"), tag_of("long ago"));
    for (name, value) in [
        ("if-match", stale.clone()),
        ("if-none-match", "*".to_owned()),
        ("overwrite", "F".to_owned()),
        ("if", states(&stale)),
        ("if-unmodified-since", "Thu, 01 Jan 1970 00:00:01 GMT".to_owned()),
    ] {
        let upload = Upload::begin(&server, "refused");
        upload.put("1", "mine").expect(201);
        by_move(&upload, name, &value).expect(412);
        assert_eq!(upload.chunks(), [named("00001", 4)], "{name}");
        upload.cancel().expect(204);
        // As it was begun, once it is known where it ends; and found out at once if it is.
        let upload = Upload::of(&server, "refused");
        upload.make().header("destination", "/a").header(name, &value).expect(412);
        upload.make().header(name, &value).expect(201);
        upload.put("1", "mine").expect(201);
        upload.end("/a").expect(412);
        upload.end("/new").header("if-none-match", "*").expect(201);
        server.delete("/new").expect(204);
        server.get("/a").expect_body("before");
    }
    for (name, value, status) in
        [("if-match", now.clone(), 204), ("if", states(&tag_of("mine")), 204), ("overwrite", "T".to_owned(), 204)]
    {
        let upload = Upload::begin(&server, "done");
        upload.put("1", "mine").expect(201);
        by_move(&upload, name, &value).expect(status);
    }
    server.get("/a").expect_body("mine");
    server.versions("/a").expect(["mine", "mine", "before"]);
}

/// Somebody was faster: what came is not sent again, and ends under another name or in the place of what is there now.
#[test]
fn a_stale_upload_is_finished_in_another_way() {
    let server = Server::start();
    server.put("/a").body("mine").expect(201);
    let upload = Upload::begin(&server, "stale");
    upload.put("1", "my new ").expect(201);
    // Another program, past the server.
    server.write("a", "a program's");
    upload.put("2", "text").expect(201);
    let refused = upload.end("/a").if_match(tag_of("mine")).expect(412);
    assert_eq!(server.read("a"), "a program's");
    upload.end("/b").header("overwrite", "F").expect(201);
    server.get("/b").expect_body("my new text");
    assert!(!refused.tag().is_empty());
}

#[test]
fn digests_are_of_the_whole_and_of_each_chunk() {
    let server = Server::start();
    let sha1 = "SHA1:a9993e364706816aba3e25717850c26c9cd0d89d";
    let md5 = "MD5:900150983cd24fb0d6963f7d28e17f72";
    let sha256 = "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:";
    let upload = Upload::begin(&server, "digests");
    upload.put("1", "ab").expect(201);
    assert_eq!(upload.put("2", "c").header("oc-checksum", sha1).expect(400).status, 400);
    assert_eq!(upload.chunks(), [named("00001", 2)]);
    upload.put("2", "d").expect(201);
    for (name, value) in [("oc-checksum", sha1), ("oc-checksum", md5), ("repr-digest", sha256)] {
        let answer = upload.end("/a").header(name, value).expect(400);
        assert!(kind(&answer).contains("digest"), "{answer}");
        assert_eq!(upload.chunks().len(), 2);
    }
    server.get("/a").expect(404);
    upload.put("2", "c").expect(204);
    let end = upload.end("/a").header("oc-checksum", sha1).header("repr-digest", sha256);
    let answer = end.header("x-oc-mtime", "1580702706").expect(201);
    assert_eq!(answer.field("x-oc-mtime"), "accepted");
    let asked = "<?xml version=\"1.0\"?><d:propfind xmlns:d=\"DAV:\" xmlns:o=\"http://owncloud.org/ns\"><d:prop>\
                 <o:checksums/><d:getlastmodified/></d:prop></d:propfind>";
    let told = server.request("PROPFIND", "/a").header("depth", "0").body(asked).expect(207).text();
    assert!(told.contains(sha1) && told.contains("Mon, 03 Feb 2020 04:05:06 GMT"), "{told}");
}

#[test]
fn an_upload_is_cancelled_and_begins_again_under_its_name() {
    let server = Server::start();
    let upload = Upload::of(&server, "again");
    upload.cancel().expect(404);
    upload.put("1", "x").expect(404);
    upload.end("/a").expect(404);
    server.request("PROPFIND", &upload.url).header("depth", "1").expect(404);
    for round in 0..3 {
        upload.make().expect(201);
        let twice = upload.make().expect(405);
        assert_eq!(kind(&twice), "upload-exists");
        assert!(twice.field("allow").contains("MKCOL"));
        assert_eq!(upload.chunks(), []);
        upload.put("1", format!("round {round}")).expect(201);
        match round {
            0 => drop(upload.cancel().expect(204)),
            1 => drop(upload.end("/a").expect(201)),
            _ => drop(upload.end("/a").expect(204)),
        }
        upload.cancel().expect(404);
    }
    server.get("/a").expect_body("round 2");
    assert_eq!(half_done_files(&server), [""; 0]);
}

/// A client that did not hear the answer asks again: it is told what was done, and nothing is done again.
#[test]
fn the_end_is_told_again() {
    let server = Server::start();
    server.put("/a").body("before").expect(201);
    let upload = Upload::begin(&server, "told-again");
    upload.put("1", "after").expect(201);
    let end = || upload.end("/a").if_match(tag_of("before"));
    let first = end().expect(204);
    let again = end().expect(204);
    for name in ["etag", "noclobber-displaced"] {
        assert_eq!(first.field(name), again.field(name));
    }
    upload.end("/b").expect(404);
    server.put("/a").body("later").expect(204);
    end().expect(204);
    server.get("/a").expect_body("later");
    server.versions("/a").expect(["after", "before"]);
    server.get("/b").expect(404);
}

#[test]
fn other_methods_and_places_are_refused() {
    let server = Server::start();
    let upload = Upload::begin(&server, "methods");
    upload.put("1", "a").expect(201);
    for (method, url) in [
        ("GET", format!("{}/1", upload.url)),
        ("DELETE", format!("{}/1", upload.url)),
        ("PUT", format!("{}/.file", upload.url)),
        ("MOVE", upload.url.clone()),
        ("MOVE", format!("{}/1", upload.url)),
        ("COPY", format!("{}/.file", upload.url)),
        ("LOCK", upload.url.clone()),
    ] {
        let answer = server.request(method, &url).header("destination", "/b").body("").expect(405);
        assert!(answer.field("allow").contains("MKCOL"), "{method} {url}");
    }
    assert_eq!(server.options(&upload.url).expect(200).field("allow"), "OPTIONS, PUT, DELETE, MKCOL, PROPFIND, MOVE");
    server.request("MOVE", format!("{}/.file", upload.url)).expect(400);
    upload.end("http://elsewhere.example:1/x\u{1}").expect(400);
    upload.end("/folder/").expect_any(&[400, 409]);
    upload.end("/missing/a").expect(409);
    upload.end("/.noclobber/history/a").expect_any(&[400, 403, 404]);
    assert_eq!(upload.chunks(), [named("00001", 1)]);
    for none in ["/a/.noclobber/remote.php/dav/uploads/alice/methods", "/.noclobber/remote.php/dav/uploads/alice"] {
        server.mkcol(none).expect_any(&[403, 404]);
    }
}

/// What is called in the share as the places of Nextcloud are elsewhere is a member as any other.
#[test]
fn nothing_in_the_share_is_hidden() {
    let server = Server::start();
    for folder in
        ["/remote.php", "/remote.php/dav", "/remote.php/dav/uploads", "/remote.php/dav/uploads/alice", "/uploads"]
    {
        server.mkcol(folder).expect(201);
    }
    server.put("/remote.php/dav/uploads/alice/00001").body("a file").expect(201);
    server.put("/uploads/.file").body("another").expect(201);
    let upload = Upload::begin(&server, "beside");
    upload.put("00001", "a chunk").expect(201);
    server.get("/remote.php/dav/uploads/alice/00001").expect_body("a file");
    server.request("MOVE", "/uploads/.file").header("destination", "/moved").expect(201);
    upload.end("/remote.php/dav/uploads/alice/beside").expect(201);
    server.get("/remote.php/dav/uploads/alice/beside").expect_body("a chunk");
    server.get(format!("{FILES}/remote.php/dav/uploads/alice/beside")).expect_body("a chunk");
    assert_eq!(server.read("remote.php/dav/uploads/alice/00001"), "a file");
    assert_eq!(server.read("moved"), "another");
}

/// The share by its other place: what is told of it lies there.
#[test]
fn the_share_has_another_place() {
    let server = Server::start();
    let at = |path: &str| format!("{FILES}{path}");
    server.mkcol(at("/d")).expect(201);
    let tag = server.put(at("/d/a%20b")).body("text").expect(201).tag();
    server.get("/d/a%20b").expect_body("text");
    server.get(at("/d/a%20b")).if_none_match(&tag).expect(304);
    let hrefs = |answer: String| -> Vec<String> {
        answer.split("<D:href>").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned()).collect()
    };
    for round in 0..3 {
        // A folder that is listed again is remembered; by its other place it is told of all the same.
        let usual = server.request("PROPFIND", "/d/").header("depth", "1").expect(207).text();
        assert_eq!(hrefs(usual)[..2], ["/d/", "/d/a%20b"], "{round}");
        let other = server.request("PROPFIND", at("/d/")).header("depth", "1").expect(207).text();
        assert_eq!(hrefs(other)[..2], [at("/d/"), at("/d/a%20b")], "{round}");
    }
    let top = server.request("PROPFIND", FILES).header("depth", "infinity").expect(207);
    let folder = server.request("PROPFIND", at("/d")).header("depth", "0").expect(207);
    assert_eq!(folder.field("content-location"), at("/d/"));
    assert_eq!(hrefs(top.text()), [at("/"), at("/d/"), at("/d/a%20b")]);
    let set =
        "<d:propertyupdate xmlns:d=\"DAV:\"><d:set><d:prop><x xmlns=\"u:\">1</x></d:prop></d:set></d:propertyupdate>";
    let patched = server.request("PROPPATCH", at("/d/a%20b")).body(set).expect(207).text();
    assert_eq!(hrefs(patched), [at("/d/a%20b")]);
    server.request("MOVE", at("/d/a%20b")).header("destination", at("/c")).expect(201);
    let states = format!("<{}> ([{}])", at("/c"), tag_of("another"));
    server.put(at("/c")).header("if", &states).body("new").expect(412);
    let states = format!("<{}> ([{tag}])", at("/c"));
    server.put(at("/c")).header("if", &states).body("new").expect(204);
    assert_eq!(server.read("c"), "new");
    for (none, status) in [
        (at("/.noclobber/history/c"), 404),
        (at("/../c"), 400),
        (at("/%2e%2e/c"), 400),
        (at(&at("/c")), 404),
        ("/.noclobber/remote.php/dav/files/".to_owned(), 404),
        ("/.noclobber/remote.php/".to_owned(), 404),
    ] {
        server.get(&none).expect(status);
    }
}

/// An upload is its owner's, whatever name stands in the URL, and whoever may write nowhere begins none.
#[test]
fn an_upload_belongs_to_who_began_it() {
    let file = UsersFile::make("");
    let server = Server::builder().value("--users", file.path().display()).start();
    let upload = Upload::of(&server, "whose");
    let by = |request: Request, name: &str| signed(request, name, Way::Basic, &file);
    let (writer, other) = ("alice", "bob");
    upload.make().expect(401);
    by(upload.make(), writer).expect(201);
    by(upload.put("1", "alice's"), writer).expect(201);
    upload.put("2", "nobody's").expect(401);
    for request in [upload.put("2", "bob's"), upload.end("/a"), upload.cancel()] {
        by(request, other).expect_any(&[403, 404]);
    }
    by(upload.end("/a"), writer).expect(201);
    assert_eq!(server.read("a"), "alice's");
}

/// What has come whole outlives a kill, and what has not is gone.
#[test]
fn chunks_outlive_a_kill() {
    let mut server = Server::start();
    let all = content(300_000);
    let upload = Upload::begin(&server, "killed");
    let url = upload.url.clone();
    upload.put("1", &all[..100_000]).header("oc-total-length", "300000").expect(201);
    upload.put("3", &all[200_000..]).expect(201);
    let mut connection = server.connect();
    let put = server.put(format!("{url}/2")).header("content-length", "100000");
    connection.write(put.head());
    connection.write(&all[100_000..150_000]);
    let folder = server.local(".noclobber/uploads");
    eventually(LIMIT, "a part of the chunk was written", || {
        let upload = fs::read_dir(&folder).ok()?.flatten().next()?.path();
        fs::read_dir(upload).ok()?.flatten().find(|entry| entry.file_name().to_string_lossy().starts_with("unfinished"))
    });
    server.kill();
    server.start_again();
    let upload = Upload { server: &server, url };
    assert_eq!(upload.chunks(), [named("00001", 100_000), named("00003", 100_000)]);
    let inside = fs::read_dir(fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path()).unwrap();
    assert_eq!(inside.count(), 3, "two chunks and a note");
    assert_eq!(kind(&upload.end("/a").expect(409)), "missing-chunks");
    upload.put("2", &all[100_000..200_000]).header("oc-total-length", "300001").expect(400);
    upload.put("2", &all[100_000..200_000]).expect(201);
    assert_eq!(upload.end("/a").expect(201).tag(), tag_of(&all));
    assert_eq!(half_done_files(&server), [""; 0]);
}

/// A chunk whose connection breaks has not come, and nothing is left of it.
#[test]
fn a_chunk_counts_whole_or_not_at_all() {
    let server = Server::start();
    let upload = Upload::begin(&server, "broken");
    upload.put("1", "whole").expect(201);
    let mut connection = server.connect();
    let put = server.put(format!("{}/1", upload.url)).header("content-length", "1000000");
    connection.write(put.head());
    connection.write(content(500_000));
    connection.break_off();
    assert_eq!(upload.chunks(), [named("00001", 5)]);
    let folder = server.local(".noclobber/uploads");
    eventually(LIMIT, "what came of it is gone", || {
        let upload = fs::read_dir(&folder).ok()?.flatten().next()?.path();
        (fs::read_dir(upload).ok()?.count() == 2).then_some(())
    });
    upload.end("/a").expect(201);
    server.get("/a").expect_body("whole");
}

/// A client that asks before it sends its bytes is told to send them, to any half-done upload.
#[test]
fn bytes_are_asked_for() {
    let server = Server::start();
    let upload = Upload::begin(&server, "asked-for");
    let put = server.put(format!("{}/1", upload.url)).body_when_asked("in chunks");
    put.expect(201);
    upload.end("/a").expect(201);
    server.get("/a").expect_body("in chunks");
    let url = server.put("/b").header("upload-complete", "?0").body("in ").expect(201).field("location").to_owned();
    let patch = server.request("PATCH", &url).header("content-type", "application/partial-upload");
    let patch = patch.header("upload-offset", "3").header("upload-complete", "?1");
    patch.body_when_asked("parts").expect(201);
    server.get("/b").expect_body("in parts");
}

/// Sixteen chunks come at once, in no order.
#[test]
fn many_chunks_come_at_once() {
    let server = Server::start();
    let all = content(16 * 300_000);
    let upload = Upload::begin(&server, "at-once");
    std::thread::scope(|scope| {
        for (at, bytes) in all.chunks(300_000).enumerate() {
            let upload = &upload;
            scope.spawn(move || {
                upload.put(&(at + 1).to_string(), bytes).header("oc-total-length", "4800000").expect(201)
            });
        }
    });
    let end = |_| upload.end("/a").header("if-none-match", "*").send().status;
    // Many end it at once: one of them makes the file.
    let mut statuses: Vec<u16> = std::thread::scope(|scope| {
        (0..4)
            .map(|at| scope.spawn(move || end(at)))
            .collect::<Vec<_>>()
            .into_iter()
            .map(|end| end.join().unwrap())
            .collect()
    });
    statuses.sort_unstable();
    assert_eq!(statuses[0], 201, "{statuses:?}");
    assert!(statuses.iter().all(|status| [201, 423].contains(status)), "{statuses:?}");
    server.get("/a").expect_body(&all);
    server.versions("/a").expect([]);
}

/// The half-done uploads of a user are listed with all others, and there are no more than may be.
#[test]
fn uploads_are_bounded_and_listed() {
    let file = UsersFile::make("");
    let server = Server::builder().value("--users", file.path().display()).start();
    let by = |request: Request| signed(request, "alice", Way::Basic, &file);
    for number in 0..128 {
        by(Upload::of(&server, &format!("up-{number}")).make().header("destination", "/d")).expect(201);
    }
    by(Upload::of(&server, "one-more").make()).expect(429);
    let listed = by(server.get("/.noclobber/uploads/")).expect(200).json();
    let urls: Vec<_> =
        listed["uploads"].as_array().unwrap().iter().map(|upload| upload["url"].as_str().unwrap().to_owned()).collect();
    assert_eq!(urls.len(), 128);
    assert!(urls.contains(&format!("{UPLOADS}/up-77")), "{urls:?}");
    by(server.delete(format!("{UPLOADS}/up-77"))).expect(204);
    by(Upload::of(&server, "one-more").make()).expect(201);
}

/// What an upload announces has to fit on the disk twice: as chunks, and as the file that is made of them.
#[test]
fn what_does_not_fit_is_refused_at_once() {
    let server = Server::start();
    let upload = Upload::of(&server, "large");
    upload.make().header("oc-total-length", "1000000000000000").expect(507);
    upload.make().expect(201);
    upload.put("1", "a").header("oc-total-length", "1000000000000000").expect(507);
    assert_eq!(upload.chunks(), []);
    upload.put("1", "a").header("oc-total-length", "1").expect(201);
    upload.end("/a").expect(201);
    let server = Server::builder().value("--upload-bytes-max", 10).start();
    let upload = Upload::begin(&server, "bounded");
    upload.put("1", "123456").expect(201);
    upload.put("2", "12345").expect(413);
    upload.put("2", "1234").header("oc-total-length", "11").expect(413);
    upload.put("2", "1234").expect(201);
    upload.put("2", "12345").expect(413);
    upload.end("/a").expect(201);
    server.get("/a").expect_body("1234561234");
}
