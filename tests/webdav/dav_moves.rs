//! DELETE, COPY, MOVE and MKCOL over WebDAV (RFC 4918 §8, §9.3, §9.6, §9.8, §9.9): every rule about what goes where, and what stays.
//! The numbers in front of a story are those of the rules it holds the server to. After a refusal both ends are what they were.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use crate::harness::client::tag_of;
use crate::harness::disk_images::{Bound, DiskImage};
use crate::harness::{Answer, Server, left_out};

/// A server with `/a.txt`, `/b.txt`, `/d/x.txt`, `/d/e/y.txt` and `/f/z.txt`.
fn with_a_tree() -> Server {
    let server = Server::start();
    for (path, content) in [("a.txt", "a"), ("b.txt", "b"), ("d/x.txt", "x"), ("d/e/y.txt", "y"), ("f/z.txt", "z")] {
        server.write(path, content);
    }
    server
}

/// Everything in the tree: the path and the content, folders with a slash.
fn tree(server: &Server) -> Vec<String> {
    fn walk(folder: &std::path::Path, name: &str, into: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = format!("{name}{}", entry.file_name().to_string_lossy());
            if path == ".noclobber" {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                into.push(format!("{path}/"));
                walk(&entry.path(), &format!("{path}/"), into);
            } else {
                into.push(format!("{path}={}", std::fs::read_to_string(entry.path()).unwrap()));
            }
        }
    }
    let mut found = Vec::new();
    walk(server.folder(), "", &mut found);
    found.sort();
    found
}

/// 10.2: a file and a folder with all that is in it go at once, and are kept as versions.
#[test]
fn what_is_deleted_is_gone_for_every_question() {
    let server = with_a_tree();
    server.delete("/a.txt").expect(204);
    server.delete("/d").expect(204);
    server.delete("/f/").header("Depth", "Infinity").expect(204);
    for target in ["/a.txt", "/d", "/d/", "/d/x.txt", "/f"] {
        server.get(target).expect(404);
        server.propfind(target, "0").expect(404);
        server.delete(target).expect(404);
    }
    assert_eq!(tree(&server), ["b.txt=b"]);
    server.versions("/a.txt").expect(["a"]);
    server.delete("/").expect(403);
    server.delete("/b.txt/").expect(404);
}

/// 8.5, 8.4.1: the depths that a method may have, and bodies where there are none.
#[test]
fn depths_and_bodies_that_cannot_be() {
    let server = with_a_tree();
    let before = tree(&server);
    for (method, depth, status) in [
        ("DELETE", "0", 400),
        ("DELETE", "1", 400),
        ("DELETE", "x", 400),
        ("COPY", "1", 400),
        ("COPY", "x", 400),
        ("MOVE", "0", 400),
        ("MOVE", "1", 400),
        ("LOCK", "1", 400),
        ("PROPFIND", "2", 400),
    ] {
        let request = match method {
            "LOCK" => server.lock("/d", "exclusive", depth),
            _ => server.request(method, "/d").header("Destination", "/new").depth(depth),
        };
        request.expect(status);
    }
    for method in ["DELETE", "COPY", "MOVE", "UNLOCK"] {
        let request = server.request(method, "/a.txt").header("Destination", "/new").header("Lock-Token", "<urn:x:y>");
        request.clone().body("x").expect(415);
        request.chunks(["x"]).expect(415);
    }
    assert_eq!(tree(&server), before);
    // On a file there is nothing below.
    server.copying("/a.txt", "/c.txt").depth("1").expect(201);
    server.moving("/c.txt", "/e.txt").depth("0").expect(201);
    server.delete("/e.txt").depth("0").header("Content-Length", "0").expect(204);
    server.mkcol("/g").depth("5").expect(201);
    server.put("/g/a.txt").depth("x").body("x").expect(201);
}

/// 10.1: a folder is made where nothing is and its own folder is.
#[test]
fn folders_are_made_one_at_a_time() {
    let server = with_a_tree();
    let created = server.mkcol("/new").expect(201);
    assert!(created.body.is_empty());
    assert!(server.names("new").is_empty());
    server.mkcol("/slash/").expect(201);
    for target in ["/new", "/a.txt", "/"] {
        assert!(server.mkcol(target).expect(405).header("allow").is_some());
    }
    server.mkcol("/none/deeper").expect(409);
    server.mkcol("/a.txt/deeper").expect_any(&[403, 409]);
    server.mkcol("/typed").header("Content-Type", "text/plain").body("x").expect(415);
    server.mkcol("/typed").header("Content-Type", "application/octet-stream").chunks(["x"]).expect(415);
    assert!(!server.local("none").exists() && !server.local("typed").exists());
}

/// 10.4.1, 10.4.2: destinations that cannot be, and why.
#[test]
fn a_destination_is_here_or_it_is_refused() {
    let server = with_a_tree();
    let before = tree(&server);
    for method in ["COPY", "MOVE"] {
        let to = |destination: &str| server.request(method, "/a.txt").header("Destination", destination).send();
        server.request(method, "/a.txt").expect(400);
        for (destination, status) in [
            ("", 400),
            ("c.txt", 400),
            ("http:/c.txt", 400),
            ("/c.txt?x", 400),
            ("/c.txt#x", 400),
            ("/../c.txt", 400),
            ("/%zz", 400),
            ("/c%00.txt", 400),
            ("ftp://127.0.0.1/c.txt", 502),
            ("/none/c.txt", 409),
            ("/b.txt/c.txt", 409),
            ("/a.txt", 403),
            ("/./a.txt", 400),
            ("/%61.txt", 403),
            ("//a.txt", 403),
            ("/.noclobber/c.txt", 403),
            ("/", 403),
        ] {
            let answer = to(destination);
            assert_eq!(answer.status, status, "{method} to {destination:?}: {answer}");
        }
        server.request(method, "/none.txt").header("Destination", "/c.txt").expect(404);
        server.request(method, "/a.txt/").header("Destination", "/c.txt").expect(404);
        server.request(method, "/a.txt").header("Destination", "/c.txt").header("Overwrite", "maybe").expect(400);
        assert_eq!(tree(&server), before, "{method}");
    }
    let host = server.address();
    for destination in [
        format!("http://{host}/c1.txt"),
        format!("HTTP://{host}/c2.txt"),
        "/c3.txt".into(),
        format!("https://{host}/c4.txt"),
    ] {
        server.copying("/a.txt", &destination).expect(201);
    }
    assert!((1..=4).all(|number| server.local(format!("c{number}.txt")).exists()));
    server.copying("/a.txt", format!("http://{host}/with%20space%C3%A9.txt")).expect(201);
    assert_eq!(server.read("with space\u{e9}.txt"), "a");
}

/// 10.4.5, 10.4.6, 10.4.8: `Overwrite`, for files and folders over files and folders.
#[test]
fn overwrite_says_whether_something_is_replaced() {
    for method in ["COPY", "MOVE"] {
        for (from, to, is_there) in [
            ("/a.txt", "/b.txt", true),
            ("/a.txt", "/new.txt", false),
            ("/a.txt", "/f", true),
            ("/d", "/b.txt", true),
            ("/d", "/f", true),
            ("/d", "/new", false),
            ("/d/", "/f/", true),
        ] {
            for overwrite in [None, Some("T"), Some("F"), Some("f")] {
                let server = with_a_tree();
                let before = tree(&server);
                let mut request = server.request(method, from).header("Destination", to);
                if let Some(overwrite) = overwrite {
                    request = request.header("Overwrite", overwrite);
                }
                let forbids = matches!(overwrite, Some("F" | "f"));
                let status = match (is_there, forbids) {
                    (true, true) => 412,
                    (true, false) => 204,
                    (false, _) => 201,
                };
                let answer = request.send();
                assert_eq!(answer.status, status, "{method} {from} to {to}, Overwrite: {overwrite:?}: {answer}");
                if status == 412 {
                    assert_eq!(tree(&server), before);
                    continue;
                }
                if status == 201 {
                    let location = answer.header("location").unwrap_or(to);
                    assert_eq!(location.trim_end_matches('/'), to.trim_end_matches('/'));
                }
                expect_relocated(&server, method, from, to, &before, &answer);
            }
        }
    }
}

/// 10.4.7: after a replacement the destination is the source and nothing besides.
#[track_caller]
fn expect_relocated(server: &Server, method: &str, from: &str, to: &str, before: &[String], answer: &Answer) {
    let (from, to) = (from.trim_matches('/'), to.trim_matches('/'));
    let within = |path: &str, folder: &str| {
        path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/') || rest.starts_with('='))
    };
    let mut expected: Vec<String> = before.iter().filter(|path| !within(path, to)).cloned().collect();
    expected.extend(before.iter().filter(|path| within(path, from)).map(|path| format!("{to}{}", &path[from.len()..])));
    if method == "MOVE" {
        expected.retain(|path| !within(path, from));
    }
    expected.sort();
    assert_eq!(tree(server), expected, "{method} {from} to {to}: {answer}");
}

/// 10.4.12: nothing is put into itself, and nothing over what it lies in.
#[test]
fn nothing_goes_into_itself() {
    let server = with_a_tree();
    let before = tree(&server);
    for (from, to) in
        [("/d", "/d/e/in"), ("/d/e", "/d"), ("/d/e/y.txt", "/d/e"), ("/d/e/y.txt", "/d"), ("/d", "/d/"), ("/d/", "/d")]
    {
        server.moving(from, to).expect_any(&[403, 409]);
        server.copying(from, to).expect_any(&[403, 409]);
        assert_eq!(tree(&server), before, "{from} to {to}");
    }
    server.moving("/", "/new").expect_any(&[403, 409]);
    server.copying("/", "/d/new").expect_any(&[403, 409]);
    assert_eq!(tree(&server), before);
}

/// 10.4.11: a folder without its members.
#[test]
fn a_folder_can_be_copied_alone() {
    let server = with_a_tree();
    server.note("/d", "<t:a>1</t:a>");
    server.copying("/d", "/new").depth("0").expect(201);
    assert!(server.names("new").is_empty());
    assert_eq!(server.properties("/new", "<t:a/>").value("{urn:t}a"), "1");
    server.copying("/d", "/f").depth("0").expect(204);
    assert!(server.names("f").is_empty(), "what was there is replaced");
    server.copying("/d", "/deep").depth("infinity").expect(201);
    assert_eq!(server.names("deep"), ["e", "x.txt"]);
}

/// 10.4.15, 10.4.19: what a move and a copy do to the validators.
#[test]
fn tags_and_dates_go_with_the_bytes() {
    let server = with_a_tree();
    let tag = server.get("/a.txt").expect(200).tag();
    let born = server.properties("/a.txt", "<D:creationdate/>").value("D:creationdate");
    let date_before = server.get("/b.txt").expect(200).field("last-modified").to_owned();
    server.moving("/a.txt", "/b.txt").expect(204);
    let moved = server.get("/b.txt").expect(200);
    assert_eq!((moved.tag(), &*moved.text()), (tag.clone(), "a"));
    assert_eq!(server.properties("/b.txt", "<D:creationdate/>").value("D:creationdate"), born);
    let dated = server.put("/b.txt").header("If-Unmodified-Since", date_before).body("x");
    dated.expect_any(&[204, 412]);
    let copied = server.copying("/b.txt", "/c.txt").expect(201);
    let there = server.get("/c.txt").expect(200);
    assert_eq!(copied.header("etag").unwrap_or(&there.tag()), there.tag());
    assert_eq!(there.tag(), server.get("/b.txt").expect(200).tag());
    assert_eq!(tag_of("a"), tag);
}

/// What is moved over or copied over is a version afterwards, and can be had again.
#[test]
fn what_is_replaced_is_kept() {
    let server = with_a_tree();
    server.copying("/a.txt", "/b.txt").expect(204);
    server.versions("/b.txt").expect(["b"]);
    server.moving("/d/x.txt", "/b.txt").expect(204);
    server.versions("/b.txt").expect(["a", "b"]);
    server.moving("/d", "/f").expect(204);
    let kept = server.versions("/f").0;
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].kind, "folder");
    server.post(format!("/f?restore={}", kept[0].id)).expect(409).problem();
}

/// 10.4.18: which locks stand in the way of a COPY and a MOVE, and where.
#[test]
fn locks_at_both_ends() {
    // What is locked and how deep, what is moved or copied where, and whether COPY and MOVE are stopped by it.
    for (locked, depth, from, to, stops_copy, stops_move) in [
        ("/a.txt", "0", "/a.txt", "/new.txt", false, true),
        ("/b.txt", "0", "/a.txt", "/b.txt", true, true),
        ("/f", "0", "/a.txt", "/f/new.txt", true, true),
        ("/f", "0", "/a.txt", "/f/z.txt", true, true),
        ("/f", "infinity", "/a.txt", "/f/z.txt", true, true),
        ("/d", "0", "/d/x.txt", "/new.txt", false, true),
        ("/d/e", "0", "/d/x.txt", "/new.txt", false, false),
        ("/d/e/y.txt", "0", "/d", "/new", false, true),
        ("/d", "infinity", "/d/x.txt", "/new.txt", false, true),
        ("/f/z.txt", "0", "/d", "/f", true, true),
        ("/f", "0", "/d", "/f", true, true),
    ] {
        for (method, stops) in [("COPY", stops_copy), ("MOVE", stops_move)] {
            let server = with_a_tree();
            let before = tree(&server);
            let token = server.locked(locked, depth);
            let request = || server.request(method, from).header("Destination", to);
            let answer = request().send();
            if !stops {
                assert!(matches!(answer.status, 201 | 204), "{method} {from} to {to}, {locked} is locked: {answer}");
                continue;
            }
            // A file of a folder that is locked alone may be replaced by a COPY: no name comes or goes.
            if method == "COPY" && (locked, to) == ("/f", "/f/z.txt") && depth == "0" && answer.status == 204 {
                continue;
            }
            assert_eq!(answer.status, 423, "{method} {from} to {to}, {locked} is locked: {answer}");
            answer.dav_error("D:lock-token-submitted");
            assert_eq!(tree(&server), before);
            let root = if locked.ends_with(".txt") { locked.to_owned() } else { format!("{locked}/") };
            request().states(format!("<{root}> (<{token}>)")).expect_any(&[201, 204]);
        }
    }
}

/// 13.3: what is refused for a reason that WebDAV has a word for says that word, and nothing is between the elements.
#[test]
fn errors_are_what_the_rfc_calls_them() {
    let server = with_a_tree();
    server.locked("/a.txt", "0");
    for (answer, condition) in [
        (server.put("/a.txt").body("x").send(), "D:lock-token-submitted"),
        (server.lock("/a.txt", "exclusive", "0").send(), "D:no-conflicting-lock"),
        (server.unlock("/b.txt", "urn:x:y").send(), "D:lock-token-matches-request-uri"),
        (server.refresh("/b.txt", "urn:x:y").send(), "D:lock-token-matches-request-uri"),
        (server.propfind("/", "0").xml("<!DOCTYPE a><a/>").send(), "D:no-external-entities"),
    ] {
        answer.dav_error(condition);
        let root = answer.xml();
        let texts = root
            .nodes
            .iter()
            .filter(|node| matches!(node, crate::harness::dav::Node::Text(text) if !text.trim().is_empty()));
        assert_eq!(texts.count(), 0, "{answer}");
        assert!(answer.header("cache-control").is_some_and(|value| value.contains("no-store")), "{answer}");
    }
}

/// 10.4.21, 14.1.4: a copy that has no room is refused in the words of the RFC, and nothing is replaced by half of it.
#[test]
fn a_copy_that_does_not_fit_changes_nothing() {
    let disk = match DiskImage::tmpfs("size=2m") {
        Ok(disk) => disk,
        Err(why) => return left_out("a_copy_that_does_not_fit_changes_nothing", &why),
    };
    let server = Server::with("--no-history").folder(disk.path()).start();
    server.put("/a.bin").body(vec![b'x'; 1 << 20]).expect(201);
    server.mkcol("/d").expect(201);
    server.put("/d/b.txt").body("small").expect(201);
    server.put("/d/c.bin").body(vec![b'y'; 700 << 10]).expect(201);
    server.put("/to.txt").body("old").expect(201);
    for from in ["/a.bin", "/d"] {
        server.copying(from, "/to.txt").expect(507).dav_error("D:sufficient-disk-space");
        server.copying(from, "/new").expect(507).dav_error("D:sufficient-disk-space");
        server.get("/to.txt").expect_body("old");
        server.get("/new").expect(404);
    }
    assert_eq!(server.names(""), ["a.bin", "d", "to.txt"]);
}

/// 14.1.18: methods of WebDAV that are not served are not promised.
#[test]
fn methods_that_are_not_served() {
    let server = with_a_tree();
    for method in ["SEARCH", "ACL", "VERSION-CONTROL", "BIND", "ORDERPATCH", "MKCALENDAR"] {
        let answer = server.request(method, "/a.txt").expect_any(&[405, 501]);
        let allowed = server.options("/a.txt").expect(200).field("allow").to_owned();
        assert!(!allowed.split(", ").any(|name| name == method), "{answer}");
    }
    // 14.1.14: a report that is not known is refused, and one without a body is none.
    let answer = server.request("REPORT", "/a.txt").expect(403);
    assert!(answer.text().contains("<D:supported-report/>"), "{answer}");
    server.request("REPORT", "/d").expect(403);
    server.request("REPORT", "/none").expect(404);
    server.request("REPORT", "/a.txt/").expect(404);
}

/// A thousand files are copied and moved with their folder, and every one of them is there.
#[test]
fn a_large_folder_goes_whole() {
    let server = Server::start();
    for number in 0..1000 {
        server.write(format!("d/{}/{number}.txt", number % 10), number.to_string());
    }
    server.copying("/d", "/copy").expect(201);
    server.moving("/d", "/moved").expect(201);
    for folder in ["copy", "moved"] {
        for number in [0, 1, 500, 999] {
            assert_eq!(server.read(format!("{folder}/{}/{number}.txt", number % 10)), number.to_string());
        }
        let count: usize = (0..10).map(|inner| server.names(format!("{folder}/{inner}")).len()).sum();
        assert_eq!(count, 1000);
    }
}

/// A proxy in front may have changed scheme, host and port, and not every client knows the server by the same name: the path says where to.
/// So KeePass, which saves by PUT, DELETE and MOVE, keeps its database.
#[test]
fn a_destination_is_a_path_whatever_host_it_names() {
    let server = Server::start();
    let port = server.address().port();
    let hosts = [
        "https://files.example".to_owned(),
        "http://files.example:8443".to_owned(),
        "HTTPS://FILES.EXAMPLE:443".to_owned(),
        format!("http://localhost:{port}"),
        format!("http://127.0.0.1:{}", port ^ 1),
        "https://[2001:db8::1]".to_owned(),
        "davs://me:secret@files.example".to_owned(),
        "webdav://files.example.".to_owned(),
        String::new(),
    ];
    for host in hosts {
        server.put("/db.kdbx").body("old").expect_any(&[201, 204]);
        server.put("/db.kdbx.tmp").body("new").expect(201);
        server.delete("/db.kdbx").expect(204);
        server.moving("/db.kdbx.tmp", format!("{host}/db.kdbx")).expect(201);
        assert_eq!(server.read("db.kdbx"), "new", "{host}");
        server.copying("/db.kdbx", format!("{host}/copy%20of.kdbx")).expect_any(&[201, 204]);
        server.copying("/db.kdbx", format!("{host}/none/a")).expect(409);
        server.copying("/db.kdbx", format!("{host}/../a")).expect(400);
        server.copying("/db.kdbx", format!("{host}/a?b")).expect(400);
        server.copying("/db.kdbx", format!("{host}/.noclobber/a")).expect(403);
    }
    for other in ["ftp://files.example/a", "urn:a", "mailto:a@b", "file:///a"] {
        server.moving("/db.kdbx", other).expect(502);
    }
    for bad in ["", "a", "http:///a", "http:/a", "http://:80/a", "http://a b/c", "https://"] {
        server.moving("/db.kdbx", bad).expect(400);
    }
    assert_eq!(server.names(""), ["copy of.kdbx", "db.kdbx"]);
}

/// A Depth that the method cannot carry out, or that cannot be read, is never taken for another: neither twice, nor with the `noroot` of an old
/// draft, which asks for the members without their folder.
#[test]
fn a_depth_that_cannot_be_is_never_taken_for_another() {
    let server = Server::start();
    server.write("d/m", "member");
    for values in [
        &[&b"infinity"[..], b"0"][..],
        &[b"0", b"infinity"],
        &[b"infinity", b"infinity"],
        &[b"infinity,noroot"],
        &[b"1,noroot"],
        &[b"0,noroot"],
        &[b"infinity, 0"],
        &[b"\xff"],
        &[b""],
        &[b"1"],
        &[b"2"],
        &[b"infinite"],
    ] {
        for method in ["DELETE", "COPY", "MOVE", "LOCK"] {
            let mut request = server.request(method, "/d/");
            for value in values {
                request = request.header("Depth", value);
            }
            let request = match method {
                "COPY" | "MOVE" => request.header("Destination", "/e/"),
                "LOCK" => request.xml(
                    "<lockinfo xmlns='DAV:'><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>",
                ),
                _ => request,
            };
            let answer = request.expect(400);
            assert!(answer.text().contains("Depth"), "{answer}");
            assert_eq!((server.names(""), server.read("d/m")), (vec!["d".to_owned()], "member".to_owned()), "{answer}");
        }
    }
    server
        .request("LOCK", "/d/m")
        .header("Depth", "infinity")
        .header("Depth", "0")
        .xml("<lockinfo xmlns='DAV:'/>")
        .expect(400);
    server.delete("/d/").header("Depth", "Infinity").expect(204);
}

/// A folder that cannot come to another file system leaves what is there alone: it is not even taken out for an instant.
#[test]
fn a_folder_that_cannot_be_moved_touches_nothing() {
    const TEST: &str = "a_folder_that_cannot_be_moved_touches_nothing";
    let server = Server::start();
    server.write("folder/f", "from here");
    fs::create_dir(server.local("other")).unwrap();
    let mounted =
        DiskImage::tmpfs("size=16m").and_then(|disk| Ok((Bound::at(&server.local("other"), disk.path())?, disk)));
    let _mounted = match mounted {
        Ok(mounted) => mounted,
        Err(why) => return left_out(TEST, &why),
    };
    server.write("other/folder/g", "from there");
    server.write("other/file", "a file");
    for target in ["other/folder", "other/file", "other/free"] {
        let look = || fs::metadata(server.local(target)).ok().map(|it| (it.ino(), it.ctime(), it.ctime_nsec()));
        let before = look();
        let answer = server.moving("/folder", format!("/{target}")).expect(403);
        assert_eq!(answer.problem()["type"], "urn:noclobber:problem:other-file-system", "{answer}");
        assert_eq!(look(), before, "{target}");
    }
    assert_eq!((server.read("folder/f"), server.read("other/folder/g")), ("from here".into(), "from there".into()));
}
