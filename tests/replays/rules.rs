//! What holds for every client alike: where OPTIONS is answered, what conditions are worth on each method, what a Destination may look like.

use super::multistatus::Multistatus;
use crate::harness::Server;
use crate::harness::client::tag_of;

/// OPTIONS is 200 wherever it is asked, for what is there and what is not.
#[test]
fn options_are_told_everywhere() {
    let server = Server::start();
    server.write("dir/f", "x");
    for target in ["*", "/", "/dir", "/dir/", "/dir/f", "/dir/f/", "/new", "/no/where/at/all", "/dir/f/below"] {
        let answer = server.options(target).expect(200);
        assert!(answer.field("dav").starts_with("1, 2") && !answer.field("allow").is_empty(), "{answer}");
        assert_eq!(answer.field("content-length"), "0");
    }
}

/// A PROPFIND is no read that a cache may answer: only `If-Match` and `If` are heeded, and the answer has no tag.
#[test]
fn propfind_heeds_if_match_alone() {
    let server = Server::start();
    server.write("f", "text");
    let ask = || server.request("PROPFIND", "/f").header("Depth", "0");
    let date = server.get("/f").expect(200);
    Multistatus::of(&ask().if_none_match(tag_of("text")).expect(207));
    Multistatus::of(&ask().if_none_match("*").expect(207));
    if let Some(date) = date.header("last-modified") {
        Multistatus::of(&ask().header("If-Modified-Since", date).expect(207));
    }
    ask().if_match(tag_of("text")).expect(207);
    ask().if_match("*").expect(207);
    ask().if_match(tag_of("other")).expect(412);
    ask().header("If", "([\"other\"])").expect(412);
}

/// `Overwrite: F` on a PUT makes and never replaces; other letters are none.
#[test]
fn overwrite_f_on_a_put_only_creates() {
    let server = Server::start();
    server.put("/f").header("Overwrite", "F").body("one").expect(201);
    let refused = server.put("/f").header("Overwrite", "F").body("two").expect(412);
    assert_eq!(refused.tag(), tag_of("one"));
    assert_eq!(refused.problem()["failed_header"], "Overwrite");
    server.put("/f").header("Overwrite", "maybe").body("two").expect(400);
    assert_eq!(server.read("f"), "one");
    server.put("/f").header("Overwrite", "T").body("two").expect(204);
}

/// A proxy in front changes scheme, host and port; the path counts.
#[test]
fn a_destination_is_taken_by_its_path() {
    let server = Server::start();
    let port = server.address().port();
    for (destination, status) in [
        ("https://127.0.0.1/g".to_owned(), 201),
        ("http://127.0.0.1:1/g".to_owned(), 201),
        (format!("http://user@127.0.0.1:{port}/g"), 201),
        ("dav://127.0.0.1/g".to_owned(), 201),
        ("/g".to_owned(), 201),
        (format!("http://127.0.0.1:{port}/%67"), 201),
        ("https://elsewhere.example/g".to_owned(), 201),
        ("/".to_owned() + "/g", 201),
        ("ftp://127.0.0.1/g".to_owned(), 502),
        ("g".to_owned(), 400),
        ("/g#h".to_owned(), 400),
        ("/g?h".to_owned(), 400),
        ("/../g".to_owned(), 400),
        ("/.noclobber/g".to_owned(), 403),
        ("/no/where".to_owned(), 409),
        ("/f".to_owned(), 403),
        ("/%66".to_owned(), 403),
    ] {
        for method in ["MOVE", "COPY"] {
            server.put("/f").body("text").expect_any(&[201, 204]);
            let answer = server.request(method, "/f").header("Destination", &destination).send();
            assert_eq!(answer.status, status, "{method} to {destination}: {answer}");
            if status == 201 {
                assert!(answer.field("location").ends_with("/g"), "{answer}");
                server.get("/g").expect_body("text");
                server.delete("/g").expect(204);
            } else {
                server.get("/f").expect_body("text");
            }
        }
    }
    server.request("MOVE", "/f").expect(400);
    server.request("MOVE", "/not/there").header("Destination", "/g").expect(404);
}

/// What a MOVE does to what is there: it is replaced and never merged into, its locks are asked, and its version is kept.
#[test]
fn a_move_replaces_and_never_merges() {
    let server = Server::start();
    let go = |from: &str, to: &str, overwrite: &str| {
        server.request("MOVE", from).header("Destination", to).header("Overwrite", overwrite)
    };
    server.write("a/one", "1");
    server.write("b/two", "2");
    go("/a", "/b", "F").expect(412);
    assert_eq!((server.names("a"), server.names("b")), (vec!["one".to_owned()], vec!["two".to_owned()]));
    go("/a", "/b", "T").expect(204);
    assert_eq!(server.names("b"), ["one"], "replaced, not merged");
    assert_eq!(server.names(""), ["b"]);
    // A file over a folder and the other way round.
    server.write("f", "file");
    go("/f", "/b", "T").expect(204);
    server.get("/b").expect_body("file");
    server.write("d/x", "x");
    go("/d/", "/b", "T").expect(204);
    server.get("/b/x").expect_body("x");
    // Into itself, and over what it lies in.
    go("/b", "/b/c", "T").expect_any(&[403, 409]);
    go("/b/x", "/b", "T").expect_any(&[403, 409]);
    go("/", "/z", "T").expect_any(&[403, 405]);
    go("/b/x", "/", "T").expect_any(&[403, 405, 409]);
    server.get("/b/x").expect_body("x");
    // Depths.
    go("/b", "/e", "T").header("Depth", "0").expect(400);
    go("/b", "/e", "T").header("Depth", "1").expect(400);
    go("/b/x", "/e", "T").header("Depth", "0").expect(201);
    server.request("COPY", "/b").header("Destination", "/h").header("Depth", "1").expect(400);
}

/// A move needs the tokens of what it takes away and of what it replaces, and takes no lock along.
#[test]
fn a_move_asks_the_locks_of_both_ends() {
    let server = Server::start();
    let lockinfo = "<D:lockinfo xmlns:D='DAV:'><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>";
    let lock = |target: &str| {
        let answer = server.request("LOCK", target).header("Depth", "0").body(lockinfo).expect_any(&[200, 201]);
        super::client::token_of(&answer)
    };
    server.write("a", "one");
    server.write("b", "two");
    let (on_a, on_b) = (lock("/a"), lock("/b"));
    let go = || server.request("MOVE", "/a").header("Destination", "/b");
    go().expect(423);
    go().header("If", format!("</a> (<{on_a}>)")).expect(423);
    go().header("If", format!("</b> (<{on_b}>)")).expect(423);
    assert_eq!((server.read("a"), server.read("b")), ("one".to_owned(), "two".to_owned()));
    go().header("If", format!("</a> (<{on_a}>) </b> (<{on_b}>)")).expect(204);
    server.get("/b").expect_body("one");
    let ask = server.request("PROPFIND", "/b").header("Depth", "0");
    let ask = ask.body("<propfind xmlns='DAV:'><prop><lockdiscovery/></prop></propfind>");
    let told = Multistatus::of(&ask.expect(207));
    let tokens = &told.only().property("lockdiscovery").children;
    assert!(tokens.iter().all(|lock| lock.at("locktoken/href").text != on_a), "no lock moves: {tokens:?}");
    // The folder's own lock, for what is added and taken out.
    server.write("dir/x", "x");
    let on_dir = lock("/dir");
    server.request("MOVE", "/dir/x").header("Destination", "/y").expect(423);
    server.request("MOVE", "/b").header("Destination", "/dir/b").header("If", format!("</b> (<{on_b}>)")).expect(423);
    server
        .request("MOVE", "/dir/x")
        .header("Destination", "/y")
        .header("If", format!("</dir> (<{on_dir}>)"))
        .expect(201);
}

/// Dead properties go where the file goes, outlive a PUT, and end with a DELETE.
#[test]
fn notes_follow_their_file() {
    let server = Server::start();
    server.write("a", "one");
    let patch = "<propertyupdate xmlns='DAV:'><set><prop><n xmlns='urn:x' xml:lang='de'>Grüße <b>!</b></n></prop></set></propertyupdate>";
    server.request("PROPPATCH", "/a").body(patch).expect(207);
    let note = |target: &str| {
        let told = Multistatus::of(&server.request("PROPFIND", target).header("Depth", "0").expect(207));
        let found = told.only().properties.iter().find(|(_, property)| property.name == "{urn:x}n").cloned();
        found.map(|(_, property)| property.text)
    };
    assert_eq!(note("/a").as_deref(), Some("Grüße "));
    server.put("/a").body("two").expect(204);
    server.request("MOVE", "/a").header("Destination", "/b").expect(201);
    server.request("COPY", "/b").header("Destination", "/c").expect(201);
    assert!(note("/b").is_some() && note("/c").is_some());
    server.put("/a").body("anew").expect(201);
    assert_eq!(note("/a"), None);
    server.delete("/b").expect(204);
    server.put("/b").body("anew").expect(201);
    assert_eq!(note("/b"), None);
    // What replaces a file brings its own notes, or none.
    server.request("MOVE", "/a").header("Destination", "/c").expect(204);
    assert_eq!(note("/c"), None);
}

/// MKCOL with a body of another type is 415, and an empty body is no body whatever its type is said to be.
#[test]
fn mkcol_minds_only_a_body_that_is_there() {
    let server = Server::start();
    server.mkcol("/a").header("Content-Type", "application/json").body("").expect(201);
    server.mkcol("/b").header("Content-Type", "application/json").body("{}").expect(415);
    server.mkcol("/a").expect(405);
    server.mkcol("/no/where").expect(409);
    assert_eq!(server.names(""), ["a"]);
}

/// A lock on a name that is not there makes an empty file, which stays when the lock ends.
#[test]
fn a_lock_on_a_new_name_makes_an_empty_file() {
    let server = Server::start();
    let lockinfo = "<D:lockinfo xmlns:D='DAV:'><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>";
    let answer = server.request("LOCK", "/new").header("Depth", "0").body(lockinfo).expect(201);
    let token = super::client::token_of(&answer);
    server.get("/new").expect_body("");
    assert_eq!(
        Multistatus::of(&server.request("PROPFIND", "/").header("Depth", "1").expect(207)).hrefs(),
        ["/", "/new"]
    );
    server.mkcol("/new").expect(405);
    server.request("UNLOCK", "/new").header("Lock-Token", &token).expect(204);
    server.get("/new").expect_body("");
    server.request("LOCK", "/no/where").header("Depth", "0").body(lockinfo).expect(409);
    server.request("LOCK", "/new").header("Depth", "1").body(lockinfo).expect(400);
    server.request("LOCK", "/new/").header("Depth", "0").body(lockinfo).expect(404);
}
