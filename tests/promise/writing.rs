//! PUT and DELETE of files, and every way an upload can go wrong. An upload is all or nothing; a refusal leaves everything as it
//! was, and no stray bytes.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::time::{Duration, Instant};

use crate::harness::client::tag_of;
use crate::harness::programs::StartProgram as _;
use crate::harness::{Connection, Dice, Server, eventually, has_program, is_root, left_out};

/// Somebody saves a new file and then a better one.
#[test]
fn a_file_is_created_and_replaced() {
    let server = Server::start();
    let created = server.put("/a.txt").body("one").expect(201);
    assert_eq!(created.tag(), tag_of("one"));
    httpdate::parse_http_date(created.field("last-modified")).expect("a date");
    let replaced = server.put("/a.txt").body("two").expect(204);
    assert_eq!(replaced.tag(), tag_of("two"));
    assert!(replaced.header("content-length").is_none(), "{replaced}");
    let read = server.get("/a.txt").expect_body("two");
    assert_eq!(read.tag(), replaced.tag());
    // A date that the clock has not reached yet is left out.
    if let (Some(told), Some(shown)) = (replaced.header("last-modified"), read.header("last-modified")) {
        assert_eq!(told, shown);
    }
    assert_eq!(server.read("a.txt"), "two");
}

/// A share that is only added to finds nothing new in its folder but what was added.
#[test]
fn adding_leaves_nothing_else_behind() {
    let server = Server::start();
    server.put("/a.txt").body("x").expect(201);
    server.mkcol("/folder").expect(201);
    server.put("/folder/b.txt").chunks(["y"]).expect(201);
    assert!(!server.local(".noclobber").exists());
    assert_eq!(server.names(""), ["a.txt", "folder"]);
    assert_eq!(server.names("folder"), ["b.txt"]);
}

/// Uploads of every size and framing arrive byte for byte.
#[test]
fn uploads_arrive_byte_for_byte() {
    let server = Server::start();
    for size in [0, 1, 4095, 65_536, 262_145, 5_000_003] {
        let content = Dice::new(size as u64).bytes(size);
        let whole = server.put(format!("/whole-{size}")).body(&content).expect(201);
        let chunked = server.put(format!("/chunked-{size}")).chunks(content.chunks(7919)).expect(201);
        let asked = server.put(format!("/asked-{size}")).body_when_asked(&content).expect(201);
        for (answer, name) in [(whole, "whole"), (chunked, "chunked"), (asked, "asked")] {
            assert_eq!(answer.tag(), tag_of(&content), "{name} {size}");
            assert!(fs::read(server.local(format!("{name}-{size}"))).unwrap() == content, "{name} {size}");
        }
    }
}

/// The client goes away half way, in every way there is: the old file stays, whole, and nothing else appears.
#[test]
fn half_a_body_changes_nothing() {
    let server = Server::start();
    server.write("a.txt", "old");
    let host = server.address();
    let announced = format!("PUT /a.txt HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100000\r\n\r\n");
    let chunked = format!("PUT /a.txt HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n");
    let half = "x".repeat(50_000);
    let cases = [
        ("short", format!("{announced}{half}")),
        ("no final chunk", format!("{chunked}c350\r\n{half}\r\n")),
        ("half a chunk", format!("{chunked}ffff\r\n{half}")),
        ("a chunk size that is none", format!("{chunked}c350\r\n{half}\r\nzz\r\nxx\r\n0\r\n\r\n")),
        ("a negative chunk size", format!("{chunked}-5\r\nhello\r\n0\r\n\r\n")),
        ("a chunk size beyond all numbers", format!("{chunked}fffffffffffffffff\r\nhello\r\n0\r\n\r\n")),
        ("a chunk longer than it said", format!("{chunked}3\r\nhello\r\n0\r\n\r\n")),
    ];
    for (what, bytes) in cases {
        for method_ends in [true, false] {
            let mut connection = server.connect();
            connection.write(&bytes);
            if method_ends {
                connection.finish_writing();
                let answered = connection.try_answer("PUT");
                assert!(!answered.is_ok_and(|answer| answer.status < 400), "{what} was taken");
            }
            drop(connection);
        }
    }
    // The body of a request ends where it said; what follows is not written.
    let mut connection = server.connect();
    connection.write(format!("PUT /b.txt HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3\r\n\r\nabcdef\r\n\r\n"));
    connection.answer("PUT").expect(201);
    server.get("/b.txt").expect_body("abc");

    eventually(Duration::from_secs(5), "the uploads to be forgotten", || {
        (server.names("") == ["a.txt", "b.txt"]).then_some(())
    });
    server.get("/a.txt").expect_body("old");
    assert!(!server.local(".noclobber/swap").exists(), "{:?}", server.kept_files());
}

/// Hundreds of clients go away in the middle of an upload; the server holds on to nothing of them.
#[test]
fn vanished_clients_leave_nothing_behind() {
    let server = Server::start();
    server.put("/a.txt").body("old").expect(201);
    let before = server.open_files();
    let mut dice = Dice::shaken("vanished_clients_leave_nothing_behind");
    for _ in 0..200 {
        let mut connection = server.connect();
        connection.write(server.put("/a.txt").header("Content-Length", "1000000").head());
        connection.write(dice.bytes(dice.clone().below(200_000) as usize));
    }
    eventually(Duration::from_secs(10), "its files to be closed", || (server.open_files() <= before + 2).then_some(()));
    server.get("/a.txt").expect_body("old");
    assert_eq!(server.names(""), ["a.txt"]);
}

/// A part of a file sent as if it were the whole is refused, not stored as the whole.
#[test]
fn a_part_is_not_taken_for_the_whole() {
    let server = Server::start();
    server.write("a.txt", "0123456789");
    server.put("/a.txt").header("Content-Range", "bytes 2-3/10").body("xx").expect(400);
    for (name, value) in [("Content-Range", "bytes 0-1/2"), ("X-Update-Range", "append"), ("Upload-Complete", "yes")] {
        server.put("/new.txt").header(name, value).body("xx").expect(400);
        server.put("/new.txt").header(name, value).body_when_asked("xx").expect(400);
    }
    server.put("/whole.txt").header("Upload-Complete", "?1").body("xx").expect(201);
    server.get("/a.txt").expect_body("0123456789");
    server.get("/new.txt").expect(404);
}

/// A body with a coding is not stored as if it had none.
#[test]
fn a_coded_body_is_not_stored_as_plain() {
    let server = Server::start();
    let refused = server.put("/a.txt").header("Content-Encoding", "gzip").body("x").expect(415);
    assert_eq!(refused.field("accept-encoding"), "identity");
    server.get("/a.txt").expect(404);
    server.put("/a.txt").header("Content-Encoding", "identity").body("x").expect(201);
}

/// The client said what the bytes would come to. Where they come to something else, nothing is stored, and the connection goes on.
#[test]
fn wrong_digests_store_nothing() {
    let server = Server::start();
    let content = "{\"hello\": \"world\"}\n";
    let right = [
        ("Content-Digest", "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"),
        ("Repr-Digest", "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"),
        (
            "Content-Digest",
            "sha-512=:YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qg==:",
        ),
        ("OC-Checksum", "SHA1:88E5C1F4D5F8F8B2A1B8B2D1F1F1F1F1F1F1F1F1"),
    ];
    let mut connection = server.connect();
    for (name, value) in &right[..3] {
        connection.send(&server.put("/a.json").header(name, value).body(content));
        assert_eq!(server.read("a.json"), content, "{name}");
        fs::remove_file(server.local("a.json")).unwrap();
    }
    for (name, value) in right {
        let refused = connection.send(&server.put("/b.json").header(name, value).body("other")).expect(400);
        assert!(refused.problem()["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
        connection.send(&server.get("/b.json")).expect(404);
    }
    // What it cannot check, it says nothing about.
    connection.send(&server.put("/c.json").header("Repr-Digest", "crc32c=:AAAAAA==:").body("x")).expect(201);
}

/// The checksums that the ownCloud clients send, right and wrong.
#[test]
fn checksums_of_owncloud_clients_are_checked() {
    let server = Server::start();
    let (sha1, md5) = ("SHA1:aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d", "MD5:5d41402abc4b2a76b9719d911017c592");
    for checksum in [sha1, md5, &sha1.to_uppercase()] {
        server.put("/a.txt").header("OC-Checksum", checksum).body("hello").expect_any(&[201, 204]);
        server.put("/b.txt").header("OC-Checksum", checksum).body("hullo").expect(400);
    }
    server.get("/b.txt").expect(404);
}

/// A parent that is not there is a conflict, unless the client asks for it to be made.
#[test]
fn parents_are_made_on_request_only() {
    let server = Server::start();
    server.put("/x/y/a.txt").body("a").expect(409);
    assert!(!server.local("x").exists());
    server.put("/x/y/a.txt?mkdirs").body("a").expect(201);
    assert_eq!(server.read("x/y/a.txt"), "a");
    server.put("/x/y/a.txt?mkdirs").body("b").expect(204);
    server.write("file", "x");
    server.put("/file/a.txt").body("a").expect(409);
    server.put("/file/a.txt?mkdirs").body("a").expect(409);
    assert_eq!(server.read("file"), "x");
}

/// A collection is no file: PUT to it is refused and says what it does take.
#[test]
fn put_to_a_collection_is_refused() {
    let server = Server::start();
    server.write("folder/a.txt", "x");
    for target in ["/", "/folder", "/folder/"] {
        let refused = server.put(target).body("x").expect(405);
        let allowed = refused.field("allow").to_owned();
        assert!(allowed.contains("GET") && !allowed.contains("PUT"), "{target}: {allowed}");
    }
    server.put("/new/").body("x").expect_any(&[405, 409]);
    assert!(!server.local("new").exists());
    assert_eq!(server.read("folder/a.txt"), "x");
}

/// DELETE takes the file away, once.
#[test]
fn a_file_is_deleted() {
    let server = Server::start();
    server.put("/a.txt").body("x").expect(201);
    server.delete("/a.txt").expect(204);
    server.get("/a.txt").expect(404);
    server.delete("/a.txt").expect(404);
    assert!(server.names("").is_empty());
}

/// A DELETE with a body means something that this server does not know; it deletes nothing.
#[test]
fn a_delete_with_a_body_is_refused() {
    let server = Server::start();
    server.write("a.txt", "x");
    server.delete("/a.txt").body("what about this").expect(415);
    server.delete("/a.txt").chunks(["what about this"]).expect(415);
    server.get("/a.txt").expect_body("x");
    server.delete("/a.txt").body("").expect(204);
}

/// The file's mode and its attributes are those of the file it replaces; the set-user-ID bit is not.
#[test]
fn a_replacement_keeps_the_attributes() {
    let server = Server::start();
    let path = server.write("a.sh", "old");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4750)).unwrap();
    let has_attributes = rustix::fs::setxattr(&path, "user.colour", b"blue", rustix::fs::XattrFlags::empty()).is_ok();
    server.put("/a.sh").body("new").expect(204);
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o750);
    if has_attributes {
        let mut value = [0; 16];
        let length = rustix::fs::getxattr(&path, "user.colour", &mut value[..]).unwrap();
        assert_eq!(&value[..length], b"blue");
    }
}

/// Root serves files of others; they still belong to them after an upload.
#[test]
fn a_replacement_keeps_the_owner() {
    if !is_root() {
        return left_out("a_replacement_keeps_the_owner", "changing owners takes root");
    }
    let server = Server::start();
    let path = server.write("a.txt", "old");
    std::os::unix::fs::chown(&path, Some(1234), Some(4321)).unwrap();
    server.put("/a.txt").body("new").expect(204);
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!((metadata.uid(), metadata.gid()), (1234, 4321));
}

/// An access control list that somebody gave a file is still there after an upload.
#[test]
fn a_replacement_keeps_the_access_list() {
    if !has_program("setfacl") {
        return left_out("a_replacement_keeps_the_access_list", "setfacl is not installed");
    }
    let server = Server::start();
    let path = server.write("a.txt", "old");
    let set = std::process::Command::new("setfacl").args(["-m", "u:1234:rw"]).arg(&path).run().unwrap();
    if !set.status.success() {
        return left_out("a_replacement_keeps_the_access_list", "the file system keeps none");
    }
    server.put("/a.txt").body("new").expect(204);
    let shown = std::process::Command::new("getfacl").arg("-n").arg(&path).run().unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("user:1234:rw-"), "{shown}");
}

/// A local program has the file open for writing. The upload is told so after a moment, and its words are not swept from under it.
#[test]
fn a_file_that_a_program_is_writing_is_locked() {
    let server = Server::start();
    let path = server.write("a.txt", "old");
    let mut program = fs::File::options().append(true).open(&path).unwrap();
    let begun = Instant::now();
    server.put("/a.txt").body("new").expect(423);
    assert!(begun.elapsed() < Duration::from_secs(5));
    server.delete("/a.txt").expect(423);
    program.write_all(b" and more").unwrap();
    drop(program);
    server.get("/a.txt").expect_body("old and more");
    server.put("/a.txt").body("new").expect(204);
    server.versions("/a.txt").expect(["old and more"]);
}

/// A program that only reads the file hinders nobody, and reads the old version to its end.
#[test]
fn a_reader_does_not_hinder() {
    let server = Server::start();
    let path = server.write("a.txt", "old");
    let mut reader = fs::File::open(path).unwrap();
    server.put("/a.txt").body("new").expect(204);
    let mut content = String::new();
    reader.read_to_string(&mut content).unwrap();
    assert_eq!(content, "old");
}

/// Pipes, sockets and devices are not files: they are never opened, so nobody waits, and never replaced.
#[test]
fn special_files_are_left_alone() {
    let server = Server::start();
    let pipe = server.local("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(server.local("socket")).unwrap();
    for name in ["pipe", "socket"] {
        for request in [
            server.get(format!("/{name}")),
            server.head(format!("/{name}")),
            server.put(format!("/{name}")).body("x"),
            server.delete(format!("/{name}")),
            server.get(format!("/{name}/below")),
        ] {
            let begun = Instant::now();
            request.expect_any(&[403, 404, 409]);
            assert!(begun.elapsed() < Duration::from_secs(2), "{name}");
        }
        server.get(format!("/{name}")).expect(403);
    }
    assert!(fs::symlink_metadata(&pipe).is_ok());
    let listing = server.get("/?json").expect(200).json();
    for entry in listing["entries"].as_array().unwrap() {
        assert_eq!(entry["kind"], "other", "{entry}");
    }
}

/// A link is not followed and not replaced, unless the server was told to follow.
#[test]
fn a_link_is_not_written_through() {
    let server = Server::start();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    symlink(outside.path().join("secret"), server.local("link")).unwrap();
    symlink("nowhere", server.local("dangling")).unwrap();
    for name in ["link", "dangling"] {
        server.get(format!("/{name}")).expect_any(&[403, 404]);
        server.put(format!("/{name}")).body("x").expect_any(&[403, 404, 409]);
    }
    assert_eq!(fs::read_to_string(outside.path().join("secret")).unwrap(), "secret");
    assert!(!server.local("nowhere").exists());
    assert!(server.local("link").is_symlink() && server.local("dangling").is_symlink());
}

/// Methods nobody knows are not implemented; those that are known but not meant for this are refused with a list of what is.
#[test]
fn other_methods_are_refused_with_a_list() {
    let server = Server::start();
    server.write("a.txt", "x");
    for method in ["BREW", "put", "Get", "XYZZY"] {
        server.request(method, "/a.txt").expect(501);
    }
    for method in ["POST", "TRACE", "CONNECT"] {
        let refused = server.request(method, "/a.txt").send();
        assert!(matches!(refused.status, 400 | 405 | 501), "{refused}");
        if refused.status == 405 {
            assert!(refused.field("allow").contains("GET"), "{refused}");
        }
    }
    for method in ["PROPFIND", "LOCK", "COPY", "MOVE", "PROPPATCH", "UNLOCK"] {
        server.request(method, "/a.txt").send();
    }
    server.get("/a.txt").expect_body("x");
    assert_eq!(server.names(""), ["a.txt"]);
}

/// OPTIONS says what can be done here, whatever conditions it carries.
#[test]
fn options_says_what_can_be_done() {
    let server = Server::start();
    server.write("folder/a.txt", "x");
    let file = server.options("/folder/a.txt").expect(200).field("allow").to_owned();
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] {
        assert!(file.split(", ").any(|allowed| allowed == method), "{method} in {file}");
    }
    let folder = server.options("/folder/").expect(200).field("allow").to_owned();
    assert!(!folder.split(", ").any(|allowed| allowed == "PUT"), "{folder}");
    let nothing = server.options("/none").expect(200).field("allow").to_owned();
    assert!(nothing.contains("PUT") && nothing.contains("MKCOL"), "{nothing}");
    server.options("*").expect_any(&[200, 204]);
}

/// `Allow` lists what could be done at a URL, and nothing else: at a file named as a folder, below a file, where the folder is missing, at a pipe
/// and at a link that is not followed nothing can.
#[test]
fn allow_lists_only_what_could_succeed() {
    const FILE: &str = "OPTIONS, GET, HEAD, PUT, PATCH, DELETE, PROPFIND, PROPPATCH, COPY, MOVE, LOCK, UNLOCK";
    const FOLDER: &str = "OPTIONS, GET, HEAD, DELETE, PROPFIND, PROPPATCH, REPORT, COPY, MOVE, LOCK, UNLOCK";
    const LINK: &str = "OPTIONS, GET, HEAD, PROPFIND, COPY";
    const LINKED_FOLDER: &str = "OPTIONS, GET, HEAD, PROPFIND, REPORT, COPY";
    const NONE: &str = "OPTIONS";
    let set = |follows: bool| {
        let server = if follows { Server::with("--follow-symlinks") } else { Server::builder() }.start();
        server.write("file", "f");
        server.write("folder/m", "m");
        rustix::fs::mknodat(rustix::fs::CWD, server.local("pipe"), rustix::fs::FileType::Fifo, 0o666.into(), 0)
            .unwrap();
        for (target, link) in
            [("folder", "to-folder"), ("file", "to-file"), ("none", "to-none"), ("pipe", "to-pipe"), ("/etc", "out")]
        {
            symlink(target, server.local(link)).unwrap();
        }
        server
    };
    for (target, plain, following) in [
        ("/file", FILE, FILE),
        ("/file/", NONE, NONE),
        ("/file/x", NONE, NONE),
        ("/file/x/", NONE, NONE),
        ("/file/x/y", NONE, NONE),
        ("/folder", FOLDER, FOLDER),
        ("/folder/", FOLDER, FOLDER),
        ("/none", "OPTIONS, PUT, MKCOL, LOCK", "OPTIONS, PUT, MKCOL, LOCK"),
        ("/none/", "OPTIONS, MKCOL", "OPTIONS, MKCOL"),
        ("/none/x", NONE, NONE),
        ("/none/x/", NONE, NONE),
        ("/pipe", NONE, NONE),
        ("/pipe/", NONE, NONE),
        ("/pipe/x", NONE, NONE),
        ("/to-folder", NONE, LINKED_FOLDER),
        ("/to-folder/", NONE, LINKED_FOLDER),
        ("/to-folder/m", NONE, FILE),
        ("/to-folder/m/", NONE, NONE),
        ("/to-folder/x", NONE, "OPTIONS, PUT, MKCOL, LOCK"),
        ("/to-file", NONE, LINK),
        ("/to-file/", NONE, NONE),
        ("/to-file/x", NONE, NONE),
        ("/to-none", NONE, NONE),
        ("/to-none/", NONE, NONE),
        ("/to-none/x", NONE, NONE),
        ("/to-pipe", NONE, NONE),
        ("/out", NONE, NONE),
        ("/out/passwd", NONE, NONE),
    ] {
        for (follows, wanted) in [(false, plain), (true, following)] {
            let mut server = set(follows);
            let answer = server.options(target).expect(200);
            assert_eq!(answer.field("allow"), wanted, "{target}, links are followed: {follows}");
            assert!(answer.field("dav").starts_with("1, 2"), "{answer}");
            for method in [
                "GET",
                "HEAD",
                "PUT",
                "DELETE",
                "MKCOL",
                "POST",
                "PROPFIND",
                "PROPPATCH",
                "COPY",
                "MOVE",
                "LOCK",
                "PATCH",
            ] {
                let request = match method {
                    "PUT" => server.put(target).body("new"),
                    "COPY" => server.copying(target, "/copied"),
                    "MOVE" => server.moving(target, "/moved"),
                    "LOCK" => server.lock(target, "exclusive", "0"),
                    "PROPPATCH" => server.proppatch(target, "<D:set><D:prop><t:a>1</t:a></D:prop></D:set>"),
                    "PROPFIND" => server.propfind(target, "0"),
                    "PATCH" => server
                        .request("PATCH", target)
                        .header("Content-Type", "application/x-sabredav-partialupdate")
                        .header("X-Update-Range", "append")
                        .body("more"),
                    _ => server.request(method, target),
                };
                let answer = request.send();
                let is_listed = wanted.split(", ").any(|listed| listed == method);
                assert_eq!(answer.status < 400, is_listed, "{method} {target}, followed: {follows}: {answer}");
                if answer.status == 405 {
                    assert_eq!(answer.field("allow"), wanted, "{method} {target}, followed: {follows}: {answer}");
                }
                if is_listed && !matches!(method, "GET" | "HEAD" | "PROPFIND") {
                    server = set(follows);
                }
            }
        }
    }
}

/// Requests whose end could be read in two ways are not read at all, and the connection is not used again.
#[test]
fn ambiguous_framing_is_refused() {
    let server = Server::start();
    server.write("a.txt", "old");
    let host = server.address();
    for framing in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 3",
        "Content-Length: 3\r\nContent-Length: 4",
        "Content-Length: +3",
        "Content-Length: -3",
        "Content-Length: 0x3",
        "Content-Length: 3,4",
        "Content-Length: 99999999999999999999999",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: gzip",
        "Content-Length : 3",
    ] {
        let mut connection = Connection::open(host).unwrap();
        connection.write(format!("PUT /a.txt HTTP/1.1\r\nHost: {host}\r\n{framing}\r\n\r\n3\r\nabc\r\n0\r\n\r\n"));
        if let Ok(answer) = connection.try_answer("PUT") {
            assert!(matches!(answer.status, 400 | 501), "{framing}: {answer}");
        }
        assert!(connection.is_closed_within(Duration::from_secs(10)), "{framing}");
        assert_eq!(server.read("a.txt"), "old", "{framing}");
    }
}

/// Trailers cannot add a condition or change where the bytes go; fields that nobody knows are ignored.
#[test]
fn what_is_not_understood_is_ignored() {
    let server = Server::start();
    let host = server.address();
    let mut connection = server.connect();
    connection.write(format!(
        "PUT /a.txt HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n3;name=value\r\nabc\r\n0\r\nIf-Match: \"x\"\r\nContent-Location: /b.txt\r\n\r\n"
    ));
    connection.answer("PUT").expect(201);
    server.put("/a.txt").header("Content-Location", "/b.txt").header("X-Unheard-Of", "1").body("new").expect(204);
    assert_eq!(server.names(""), ["a.txt"]);
    assert_eq!(server.read("a.txt"), "new");
}

/// The parent folder is taken away while the body is on its way. Nothing is written into what was taken away.
#[test]
fn a_parent_that_went_away_is_a_conflict() {
    let server = Server::start();
    server.write("folder/old.txt", "x");
    let mut slow = server.connect();
    slow.write(server.put("/folder/new.txt").header("Content-Length", "8").head());
    slow.write("half");
    std::thread::sleep(Duration::from_millis(200));
    fs::rename(server.local("folder"), server.local("moved")).unwrap();
    slow.write("half");
    slow.answer("PUT").expect(409);
    assert_eq!(server.names("moved"), ["old.txt"]);
    assert!(!server.local("folder").exists());
}

/// The first PUT of a client that expects to be asked for a password is empty, and cannot be told from one that is meant to be. It is done, what
/// follows is refused, and the history has what was there.
#[test]
fn an_empty_upload_empties_and_what_was_there_is_kept() {
    let server = Server::start();
    let tag = server.put("/a.txt").body("precious").expect(201).tag();
    server.put("/a.txt").if_match(&tag).body("").expect(204);
    server.put("/a.txt").if_match(&tag).body("precious, and more").expect(412);
    assert_eq!(server.read("a.txt"), "");
    server.versions("/a.txt").expect(["precious"]);
}

/// RFC 9110 §8.6: a PUT that says nothing of its length has none that could be trusted: it empties nothing. A length of 0 does.
#[test]
fn an_upload_without_a_length_is_refused() {
    let server = Server::start();
    server.put("/a.txt").body("precious").expect(201);
    for request in [
        server.put("/a.txt"),
        server.put("/a.txt").if_match(tag_of("precious")),
        server.put("/a.txt").header("Expect", "100-continue"),
        server.put("/a.txt").header("X-Expected-Entity-Length", "0"),
        server.put("/new.txt"),
        server.put("/new.txt").if_none_match("*"),
    ] {
        let answer = request.expect(411);
        assert!(answer.text().contains("Content-Length"), "{answer}");
    }
    let mut connection = Connection::open(server.address()).unwrap();
    connection.write("PUT /a.txt HTTP/1.0\r\nHost: localhost\r\n\r\n");
    connection.answer("PUT").expect(411);
    assert_eq!(server.read("a.txt"), "precious");
    assert_eq!(server.names(""), ["a.txt"]);
    server.put("/a.txt").body("").expect(204);
    let none: [&str; 0] = [];
    server.put("/b.txt").chunks(none).expect(201);
    assert_eq!((server.read("a.txt"), server.read("b.txt")), (String::new(), String::new()));
}

/// What a client says of the length in two places has to be one length, and what comes has to have it. Otherwise nothing is stored.
#[test]
fn lengths_that_contradict_each_other_store_nothing() {
    let server = Server::start();
    server.put("/a.txt").body("precious").expect(201);
    for name in ["X-Expected-Entity-Length", "OC-Total-Length"] {
        for (body, said) in [
            ("", "5"),
            ("text", "5"),
            ("text", "0"),
            ("text", "3"),
            ("text", "x"),
            ("text", ""),
            ("text", "-4"),
            ("", "x"),
        ] {
            server.put("/a.txt").header(name, said).body(body).expect(400);
            server.put("/a.txt").header(name, said).body_when_asked(body).expect(400);
            server.put("/a.txt").header(name, said).chunks([body].iter().filter(|body| !body.is_empty())).expect(400);
            server.put("/new.txt").header(name, said).body(body).expect(400);
        }
        server.put("/a.txt").header(name, "4").header(name, "4").body("text").expect(400);
        assert_eq!((server.read("a.txt"), server.names("")), ("precious".to_owned(), vec!["a.txt".to_owned()]));
        let large = "x".repeat(700_000);
        server.put("/a.txt").header(name, "700001").body(&large).expect(400);
        server.put("/a.txt").header(name, "699999").chunks([&large]).expect_any(&[400, 413]);
        assert_eq!(server.read("a.txt"), "precious");
        server.put("/b.txt").header(name, "4").body("text").expect_any(&[201, 204]);
        server.put("/b.txt").header(name, "4").chunks(["te", "xt"]).expect(204);
        server.put("/b.txt").header(name, "0").body("").expect(204);
        std::fs::remove_file(server.local("b.txt")).unwrap();
    }
    server
        .put("/a.txt")
        .header("X-Expected-Entity-Length", "4")
        .header("OC-Total-Length", "5")
        .body("text")
        .expect(400);
    server
        .put("/a.txt")
        .header("X-Expected-Entity-Length", "4")
        .header("OC-Total-Length", "5")
        .chunks(["text"])
        .expect(400);
    assert_eq!(server.read("a.txt"), "precious");
}
