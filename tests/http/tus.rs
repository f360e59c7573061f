//! tus 1.0: uploads that begin below a folder, with their path and conditions in the metadata.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::harness::client::tag_of;
use crate::harness::{Answer, Request, Server, canaries};

fn tus(request: Request) -> Request {
    request.header("tus-resumable", "1.0.0")
}

/// The pairs of metadata, as they are sent.
fn metadata(pairs: &[(&str, &str)]) -> String {
    pairs.iter().map(|(key, value)| format!("{key} {}", STANDARD.encode(value))).collect::<Vec<_>>().join(",")
}

fn post(server: &Server, folder: &str, length: usize, pairs: &[(&str, &str)]) -> Request {
    let post = tus(server.post(format!("{folder}.noclobber/tus/"))).header("upload-length", length.to_string());
    post.header("upload-metadata", metadata(pairs))
}

#[track_caller]
fn url_in(answer: &Answer) -> String {
    let url = answer.field("location").to_owned();
    canaries::note(url.rsplit('/').next().unwrap());
    url
}

fn patch(server: &Server, url: &str, offset: usize) -> Request {
    let patch = tus(server.request("PATCH", url)).header("content-type", "application/offset+octet-stream");
    patch.header("upload-offset", offset.to_string())
}

#[test]
fn a_file_comes_by_tus() {
    let server = Server::start();
    server.mkcol("/f").expect(201);
    let answer = post(&server, "/f/", 10, &[("filename", "a b.txt"), ("filetype", "text/plain")]).body("").expect(201);
    let url = url_in(&answer);
    assert!(url.starts_with("/f/.noclobber/tus/") && answer.header("upload-expires").is_some(), "{answer}");
    let told = tus(server.head(&url)).expect(200);
    assert_eq!((told.field("upload-offset"), told.field("upload-length")), ("0", "10"));
    assert_eq!(told.field("upload-metadata"), metadata(&[("filename", "a b.txt"), ("filetype", "text/plain")]));
    assert_eq!((told.field("cache-control"), told.field("tus-resumable")), ("no-store", "1.0.0"));
    let answer = patch(&server, &url, 0).body("01234").expect(204);
    assert_eq!(answer.field("upload-offset"), "5");
    for wrong in [0, 4, 6] {
        assert_eq!(patch(&server, &url, wrong).body("x").expect(409).field("upload-offset"), "5");
    }
    patch(&server, &url, 5).body("567890").expect(400);
    let answer = patch(&server, &url, 5).body("56789").expect(204);
    assert_eq!((answer.field("upload-offset"), answer.tag()), ("10", tag_of("0123456789")));
    server.get("/f/a%20b.txt").expect_body("0123456789");
    assert_eq!(tus(server.head(&url)).expect(200).field("upload-offset"), "10");
    patch(&server, &url, 10).body("x").expect(400);
}

#[test]
fn an_upload_may_bring_its_first_bytes() {
    let server = Server::start();
    let part = |request: Request| request.header("content-type", "application/offset+octet-stream");
    let answer = part(post(&server, "/", 4, &[("filename", "a")])).body("ab").expect(201);
    assert_eq!(answer.field("upload-offset"), "2");
    patch(&server, &url_in(&answer), 2).body("cd").expect(204);
    server.get("/a").expect_body("abcd");
    let answer = part(post(&server, "/", 2, &[("path", "b")])).body("ab").expect(201);
    assert_eq!((answer.field("upload-offset"), answer.tag()), ("2", tag_of("ab")));
    post(&server, "/", 0, &[("name", "empty")]).body("").expect(201);
    server.get("/empty").expect_body("");
}

/// Conditions stand in the metadata, and are judged as those of any upload.
#[test]
fn conditions_stand_in_the_metadata() {
    let server = Server::start();
    server.put("/a").body("mine").expect(201);
    let tag = tag_of("mine");
    post(&server, "/", 3, &[("filename", "a"), ("if-none-match", "*")]).body("").expect(412);
    post(&server, "/", 3, &[("filename", "a"), ("overwrite", "F")]).body("").expect(412);
    post(&server, "/", 3, &[("filename", "a"), ("if-match", "no tag\"")]).body("").expect(400);
    let pairs = [("filename", "a"), ("if-match", tag.as_str()), ("mtime", "1500000000")];
    let first = url_in(&post(&server, "/", 3, &pairs).body("").expect(201));
    let second = url_in(&post(&server, "/", 3, &pairs).body("").expect(201));
    patch(&server, &first, 0).body("one").expect(204);
    assert_eq!(server.get("/a").expect(200).field("last-modified"), "Fri, 14 Jul 2017 02:40:00 GMT");
    for answer in [patch(&server, &second, 0).body("two").expect(412), tus(server.head(&second)).expect(412)] {
        assert_eq!((answer.field("upload-offset"), answer.tag()), ("0", tag_of("one")));
    }
    let elsewhere = patch(&server, &second, 0).header("destination", "/b").header("if-none-match", "*");
    elsewhere.body("two").expect(204);
    server.get("/b").expect_body("two");
    server.versions("/a").expect(["mine"]);
}

/// An offset that is the length says that the file is there: so one that was not stored yet is stored before that is told.
#[test]
fn what_is_told_to_be_whole_is_the_file() {
    let server = Server::start();
    server.put("/a").body("mine").expect(201);
    let tag = tag_of("mine");
    let url = url_in(&post(&server, "/", 3, &[("filename", "a"), ("if-match", &tag)]).body("").expect(201));
    // Its end is refused, since a program has the file open for writing.
    let open = std::fs::OpenOptions::new().append(true).open(server.local("a")).unwrap();
    patch(&server, &url, 0).body("new").expect(423);
    tus(server.head(&url)).expect(423);
    drop(open);
    assert_eq!(tus(server.head(&url)).expect(200).field("upload-offset"), "3");
    server.get("/a").expect_body("new");
}

#[test]
fn checksums_of_parts_are_checked() {
    use sha1::{Digest as _, Sha1};
    let sha1 = |bytes: &str| format!("sha1 {}", STANDARD.encode(Sha1::digest(bytes)));
    let server = Server::start();
    let url = url_in(&post(&server, "/", 4, &[("filename", "a")]).body("").expect(201));
    patch(&server, &url, 0).header("upload-checksum", sha1("other")).body("ab").expect(460);
    for unknown in ["crc32 AAAA", "sha1 AAAA", "sha1", "sha1 *"] {
        patch(&server, &url, 0).header("upload-checksum", unknown).body("ab").expect(400);
    }
    assert_eq!(tus(server.head(&url)).expect(200).field("upload-offset"), "0");
    patch(&server, &url, 0).header("upload-checksum", sha1("ab")).body("ab").expect(204);
    patch(&server, &url, 2).header("upload-checksum", sha1("cd")).body("cd").expect(204);
    server.get("/a").expect_body("abcd");
}

#[test]
fn an_upload_by_tus_is_cancelled() {
    let server = Server::start();
    let url = url_in(&post(&server, "/", 4, &[("filename", "a")]).body("").expect(201));
    // Of the other dialect it is none.
    server.head(url.replace("/tus/", "/uploads/")).expect(404);
    let by_post = tus(server.post(&url)).header("x-http-method-override", "DELETE");
    by_post.expect(204);
    tus(server.head(&url)).expect(410);
    patch(&server, &url, 0).body("abcd").expect(410);
    assert_eq!(server.names(".noclobber/uploads"), [""; 0]);
}

#[test]
fn what_is_no_request_of_tus_is_refused() {
    let server = Server::start();
    let told = server.options("/.noclobber/tus/").expect(204);
    assert_eq!((told.field("tus-version"), told.field("tus-resumable")), ("1.0.0", "1.0.0"));
    assert_eq!(told.field("tus-extension"), "creation,creation-with-upload,expiration,checksum,termination");
    let other = server.post("/.noclobber/tus/").header("tus-resumable", "0.2.2").header("upload-length", "1");
    assert_eq!(other.body("").expect(412).field("tus-version"), "1.0.0");
    server.post("/.noclobber/tus/").header("upload-length", "1").body("").expect(412);
    let begin = |pairs: &[(&str, &str)]| post(&server, "/", 1, pairs).body("").send().status;
    for path in ["", "/", "../a", "a/", ".noclobber/a", "a/.noclobber/b"] {
        assert_eq!(begin(&[("filename", path)]), 400, "{path}");
    }
    assert_eq!(begin(&[]), 400);
    assert_eq!(begin(&[("filename", "missing/a")]), 409);
    assert_eq!(begin(&[("filename", "missing/a"), ("mkdirs", "")]), 201);
    let post = || tus(server.post("/.noclobber/tus/")).header("upload-metadata", metadata(&[("filename", "a")]));
    post().header("upload-defer-length", "1").body("").expect(400);
    post().header("upload-length", "-1").body("").expect(400);
    post().header("upload-length", "1").body("x").expect(415);
    let url = url_in(&post().header("upload-length", "1").body("").expect(201));
    let patch = || tus(server.request("PATCH", &url)).body("x");
    patch().header("upload-offset", "0").expect(415);
    patch().header("content-type", "application/offset+octet-stream").expect(400);
    tus(server.put(&url)).body("x").expect(405);
}

/// curl waits with a large part until it is asked for it.
#[test]
fn a_part_is_judged_before_it_is_asked_for() {
    let server = Server::start();
    server.put("/a.bin").body("first").expect(201);
    let pairs = [("filename", "a.bin"), ("if-match", &tag_of("first"))];
    let url = url_in(&post(&server, "/", 6, &pairs).body("").expect(201));
    assert_eq!(patch(&server, &url, 0).body_when_asked("012").expect(204).interim, [100]);
    let ahead = patch(&server, &url, 4).body_when_asked("x").expect(409);
    assert_eq!((ahead.interim.len(), ahead.field("upload-offset"), ahead.field("tus-resumable")), (0, "3", "1.0.0"));
    let instead = tus(server.post(&url)).header("x-http-method-override", "PATCH").header("upload-offset", "4");
    let ahead = instead.header("content-type", "application/offset+octet-stream").body_when_asked("x").expect(409);
    assert_eq!(ahead.interim, [0; 0]);
    server.put("/a.bin").if_match(tag_of("first")).body("second").expect(204);
    let stale = patch(&server, &url, 3).body_when_asked("345").expect(412);
    assert_eq!((stale.interim.len(), stale.field("upload-offset")), (0, "3"));
    assert_eq!(server.read("a.bin"), "second");
}
