//! An answer says what happened: each refusal names the right thing, says what to do now, and leaves nothing behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::harness::client::tag_of;
use crate::harness::dav::lock_info;
use crate::harness::programs::StartProgram as _;
use crate::harness::{Answer, Request, Server, has_program, is_root, left_out};

fn go(server: &Server, method: &str, from: &str, to: &str) -> Request {
    server.request(method, from).header("Destination", to)
}

#[track_caller]
fn tells(answer: &Answer, kind: &str, words: &[&str]) {
    let problem = answer.problem();
    assert_eq!(problem["type"], format!("urn:noclobber:problem:{kind}"), "{answer}");
    let told = format!("{} {}", problem["detail"].as_str().unwrap(), problem["retry"].as_str().unwrap_or_default());
    for word in words {
        assert!(told.contains(word), "{word:?} in {told:?}");
    }
}

/// A mount, undone when it is dropped.
struct Mount(PathBuf);

impl Mount {
    fn at(target: PathBuf, arguments: &[&str]) -> Result<Self, String> {
        if !is_root() {
            return Err("mounting takes root".to_owned());
        }
        let done =
            Command::new("mount").args(arguments).arg(&target).run_to_end().map_err(|error| error.to_string())?;
        if done.success() { Ok(Self(target)) } else { Err("it cannot be mounted".to_owned()) }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if !Command::new("umount").arg(&self.0).run_to_end().is_ok_and(|status| status.success()) {
            let _ = Command::new("umount").arg("--lazy").arg(&self.0).run_to_end();
        }
    }
}

/// A name that a file system of 255 bytes a name cannot have is nothing for those who read, and for those who make something a name that is
/// too long. The folder on the way counts too.
#[test]
fn a_name_that_is_too_long_is_told_as_that() {
    let server = Server::start();
    server.write("f", "text");
    server.write("d/f", "text");
    let long = "x".repeat(256);
    let (name, below) = (format!("/{long}"), format!("/{long}/f"));
    for target in [&name, &below] {
        server.get(target).expect(404);
        server.delete(target).expect(404);
        server.request("PROPFIND", target).header("Depth", "0").expect(404);
        for request in [
            server.put(target).body("x"),
            server.put(target).body_when_asked("x"),
            server.put(format!("{target}?mkdirs")).body("x"),
            server.mkcol(target),
            server.lock(target, "exclusive", "0"),
            go(&server, "MOVE", "/f", target),
            go(&server, "COPY", "/f", target),
            go(&server, "MOVE", "/d/", target),
            go(&server, "COPY", "/d", target),
        ] {
            tells(&request.expect(400), "long-name", &["255 bytes", "Choose a shorter one"]);
        }
        go(&server, "MOVE", target, "/g").expect(404);
        go(&server, "COPY", target, "/g").expect(404);
    }
    assert_eq!(server.names(""), ["d", "f"]);
}

/// What cannot be stored makes no folders on the way, whatever is wrong: a name at the end or in between, the body, a condition, the room.
#[test]
fn folders_are_made_for_what_is_stored_and_for_nothing_else() {
    let server = Server::builder().value("--upload-bytes-max", 1_000_000).start();
    let wrong = ("OC-Checksum", "SHA1:0000000000000000000000000000000000000000");
    for (request, status) in [
        (server.put("/n1/n2/bad%0A?mkdirs").body("x"), 400),
        (server.put("/n1/b%0Ad/f?mkdirs").body("x"), 400),
        (server.put(format!("/n1/n2/{}?mkdirs", "x".repeat(256))).body("x"), 400),
        (server.put("/n1/n2/f?mkdirs").header(wrong.0, wrong.1).body("x"), 400),
        (server.put("/n1/n2/f?mkdirs").header(wrong.0, wrong.1).body("x".repeat(600_000)), 400),
        (server.put("/n1/n2/f?mkdirs").if_match("\"a\"").body("x"), 412),
        (server.put("/n1/n2/f?mkdirs").header("X-Expected-Entity-Length", "9").chunks(["x"]), 400),
        (server.put("/n1/n2/f?mkdirs").chunks(["x".repeat(700_000), "x".repeat(700_000)]), 413),
        (server.put("/n1/n2/f?mkdirs").body("x".repeat(1_000_001)), 413),
        (server.put("/n1/n2/f/?mkdirs").body("x"), 409),
    ] {
        let what = request.to_string();
        let answer = request.send();
        assert_eq!(answer.status, status, "{what}: {answer}");
        crate::harness::eventually(std::time::Duration::from_secs(5), &what, || {
            server.names("").is_empty().then_some(())
        });
    }
    server.put("/n1/n2/f?mkdirs").body("x").expect(201);
    server.put("/n1/n2/f/g?mkdirs").body("x").expect(409);
    server.put("/n1/n2/m/f?mkdirs").chunks(["x".repeat(700_000)]).expect(201);
    assert_eq!(
        (server.names("n1"), server.names("n1/n2")),
        (vec!["n2".to_owned()], vec!["f".to_owned(), "m".to_owned()])
    );
}

/// A body that is longer than its client said is refused as soon as that is seen, and not when it has ended: it takes neither memory nor room.
#[test]
fn a_body_longer_than_was_said_is_refused_while_it_comes() {
    let server = Server::start();
    for length in [0, 1, 2_000_000] {
        let mut connection = server.connect();
        let put = server.put("/a").header("X-Expected-Entity-Length", length.to_string());
        connection.write(put.header("Transfer-Encoding", "chunked").head());
        connection.write(format!("{:x}\r\n{}", length + 100_000, "x".repeat(length + 10)));
        connection.answer("PUT").expect(400);
    }
    assert_eq!(server.names(""), [""; 0]);
}

/// Where something is there already, or nothing, 405 says which, and Allow what can be done about that.
#[test]
fn what_is_there_is_told_as_what_it_is() {
    let server = Server::start();
    server.write("file", "text");
    server.write("folder/f", "text");
    for (request, kind, allows) in [
        (server.mkcol("/file"), "file", true),
        (server.mkcol("/file/"), "file", false),
        (server.mkcol("/folder"), "folder", false),
        (server.mkcol("/folder/"), "folder", false),
        (server.mkcol("/"), "folder", false),
        (server.put("/folder").body("x"), "folder", false),
        (server.put("/folder/").body("x"), "folder", false),
        (server.put("/").body("x"), "folder", false),
    ] {
        let answer = request.expect(405);
        assert_eq!(answer.problem()["current_kind"], kind, "{answer}");
        assert_eq!(answer.field("allow").split(", ").any(|method| method == "PUT"), allows, "{answer}");
        assert!(answer.problem()["detail"].as_str().unwrap().contains(kind), "{answer}");
    }
    for target in ["/nothing/", "/file/", "/no/where/"] {
        tells(&server.put(target).body("x").expect(409), "names-a-folder", &["slash"]);
        tells(&server.put(target).body_when_asked("x").expect(409), "names-a-folder", &["slash"]);
    }
}

/// Each method says how the folder that is missing can be made.
#[test]
fn a_missing_folder_is_made_by_the_means_of_the_method() {
    let server = Server::start();
    server.write("f", "text");
    for (request, asks_for_mkdirs) in [
        (server.put("/no/f").body("x"), true),
        (server.mkcol("/no/d"), false),
        (server.lock("/no/f", "exclusive", "0"), false),
        (go(&server, "MOVE", "/f", "/no/f"), false),
        (go(&server, "COPY", "/f", "/no/f"), false),
    ] {
        let answer = request.expect(409);
        tells(&answer, "no-parent", &["MKCOL"]);
        assert_eq!(answer.problem()["detail"].as_str().unwrap().contains("mkdirs"), asks_for_mkdirs, "{answer}");
    }
    assert_eq!(server.names(""), ["f"]);
}

/// A condition that does not hold is told of the resource that it was asked of, with the state of that and no other.
#[test]
fn a_failed_condition_is_told_of_the_resource_that_it_is_about() {
    let server = Server::start();
    let source = server.put("/source").body("mine").expect(201).tag();
    let target = server.put("/target").body("theirs").expect(201).tag();
    server.write("folder/f", "text");
    let stale = |place: &str| format!("<{place}> ([\"stale\"])");
    for (request, resource, current) in [
        (go(&server, "MOVE", "/source", "/target").header("If", stale("/target")), "/target", Some(&target)),
        (go(&server, "COPY", "/source", "/target").header("If", stale("/target")), "/target", Some(&target)),
        (go(&server, "MOVE", "/source", "/target").header("If", stale("/source")), "/source", Some(&source)),
        (go(&server, "MOVE", "/source", "/target").if_match("\"stale\""), "/source", Some(&source)),
        (go(&server, "COPY", "/source", "/target").if_match("\"stale\""), "/source", Some(&source)),
        (go(&server, "MOVE", "/source", "/target").header("Overwrite", "F"), "/target", Some(&target)),
        (go(&server, "COPY", "/source", "/target").header("Overwrite", "F"), "/target", Some(&target)),
        (go(&server, "MOVE", "/source", "/folder").header("Overwrite", "F"), "/folder/", None),
        (server.put("/source").header("If", stale("/target")).body("x"), "/target", None),
        (server.delete("/source").if_match("\"stale\""), "/source", Some(&source)),
        (server.delete("/folder").if_match("\"stale\""), "/folder/", None),
        (go(&server, "MOVE", "/folder", "/other").if_match("\"stale\""), "/folder/", None),
        (server.put("/nothing").if_match("\"stale\"").body("x"), "/nothing", None),
        (server.lock("/source", "exclusive", "0").if_match("\"stale\""), "/source", Some(&source)),
        (server.mkcol("/nothing").if_match("\"stale\""), "/nothing", None),
    ] {
        let what = request.to_string();
        let answer = request.expect(412);
        let problem = answer.problem();
        assert_eq!(problem["resource"], resource, "{what}: {problem}");
        assert_eq!(
            problem.get("current_etag").and_then(|tag| tag.as_str()),
            current.map(String::as_str),
            "{what}: {problem}"
        );
        let told = format!("{} {}", problem["detail"], problem["retry"]);
        assert_eq!(told.contains("Nothing is here"), resource == "/nothing", "{what}: {told}");
        assert_eq!(told.contains("folder is here"), resource.ends_with('/'), "{what}: {told}");
        if problem["failed_header"] == "Overwrite" {
            assert!(!told.contains("state"), "{what}: {told}");
        }
    }
    // And so is the file that a client asks to be sent along.
    let asked = go(&server, "MOVE", "/source", "/target").header("If", stale("/target"));
    let brought = asked.header("Prefer", "return=representation").expect(412);
    assert_eq!((brought.field("content-location"), brought.text().as_str()), ("/target", "theirs"));
}

/// What the request gets wrong is named, each as what it is.
#[test]
fn what_the_request_gets_wrong_is_named() {
    let server = Server::start();
    server.write("folder/f", "text");
    let two = |request: Request| request.header("Depth", "2");
    for request in [
        two(server.request("PROPFIND", "/folder")),
        two(server.request("LOCK", "/new").xml(lock_info("exclusive", ""))),
        two(go(&server, "COPY", "/folder", "/g")),
        two(go(&server, "MOVE", "/folder", "/g")),
    ] {
        let answer = request.send();
        assert_eq!(answer.status, 400, "{answer}");
        tells(&answer, "bad-request", &["Depth", "infinity"]);
    }
    for method in ["PROPFIND", "PROPPATCH", "LOCK", "MKCOL"] {
        let coded = server.request(method, "/new").header("Content-Encoding", "gzip").body([0x1f, 0x8b, 8]);
        let answer = coded.expect(415);
        tells(&answer, "coded-body", &["Content-Encoding"]);
        assert_eq!(answer.field("accept-encoding"), "identity");
    }
    tells(&server.put("/new").header("Content-Encoding", "gzip").body("x").expect(415), "coded-body", &["as it is"]);
    assert_eq!(server.names(""), ["folder"]);
}

/// What the server may not read or change is told as that, and in a folder which.
#[test]
fn what_may_not_be_read_is_not_called_read_only() {
    const TEST: &str = "what_may_not_be_read_is_not_called_read_only";
    if !is_root() {
        return left_out(TEST, "files of another user take root");
    }
    let server = Server::builder().unprivileged().start();
    let close = |path: &Path, mode: u32| {
        use std::os::unix::fs::{PermissionsExt as _, chown};
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        chown(path, Some(0), Some(0)).unwrap();
    };
    close(&server.write("folder/inside/secret", "text"), 0o600);
    tells(&server.get("/folder/inside/secret").expect(403), "not-readable", &["may not read"]);
    for path in ["/folder", "/folder/inside", "/folder/inside/secret"] {
        let answer = go(&server, "COPY", path, "/copy").expect(403);
        tells(&answer, "not-readable", &["may not read"]);
        assert!(answer.problem()["detail"].as_str().unwrap().contains("secret"), "{answer}");
    }
    close(&server.local("folder/inside"), 0o755);
    for request in [
        server.put("/folder/inside/new").body("x"),
        server.mkcol("/folder/inside/new"),
        server.lock("/folder/inside/new", "exclusive", "0"),
    ] {
        tells(&request.expect(403), "not-allowed", &["permissions"]);
    }
    assert_eq!(server.names(""), ["folder"]);
}

/// A mount point cannot be renamed or removed, be it a folder or a single file, and one inside of a folder is not carried along.
#[test]
fn a_mount_point_stays_where_it_is() {
    const TEST: &str = "a_mount_point_stays_where_it_is";
    for history in [true, false] {
        let options = Server::builder();
        let server = if history { options } else { options.option("--no-history") }.start();
        server.write("top/below/inner/covered", "covered");
        server.write("behind", "one file");
        server.write("bound", "covered");
        server.write("f", "text");
        let bound = server.local("behind").display().to_string();
        let _inner = match Mount::at(server.local("top/below/inner"), &["-t", "tmpfs", "none"]) {
            Ok(mount) => mount,
            Err(why) => return left_out(TEST, &why),
        };
        let _bound = Mount::at(server.local("bound"), &["--bind", &bound]).unwrap();
        server.write("top/below/inner/f", "mounted");
        for target in ["/top/below/inner", "/top/below/inner/", "/bound"] {
            let mut requests = vec![
                server.delete(target),
                go(&server, "MOVE", target, "/moved"),
                go(&server, "MOVE", "/f", target),
                go(&server, "COPY", "/f", target),
            ];
            if target == "/bound" {
                requests.push(server.put(target).body("x"));
                requests.push(server.put(target).body_when_asked("x"));
            }
            for request in requests {
                let answer = request.expect(403);
                tells(&answer, "not-allowed", &["mount point", "Unmount"]);
            }
        }
        for target in ["/top", "/top/below/"] {
            for request in [
                server.delete(target),
                go(&server, "MOVE", target, "/moved"),
                go(&server, "MOVE", "/f", target),
                go(&server, "COPY", "/f", target),
            ] {
                tells(&request.expect(403), "not-allowed", &["mounted inside", "Unmount"]);
            }
        }
        server.get("/top/below/inner/f").expect_body("mounted");
        server.get("/bound").expect_body("one file");
        // What is in it goes its ways.
        server.put("/top/below/inner/f").body("x").expect(204);
        server.delete("/top/below/inner/f").expect(204);
        go(&server, "COPY", "/top", "/copied").expect(201);
        server.delete("/copied").expect(204);
        assert_eq!(server.names(""), ["behind", "bound", "f", "top"]);
    }
}

/// Folders that are moved away while uploads go into them: whatever comes of it, no PUT says that nothing is here.
#[test]
fn an_upload_into_a_folder_that_goes_is_a_conflict() {
    let server = Server::start();
    server.mkcol("/a").expect(201);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..300 {
                go(&server, "MOVE", "/a", "/b").send();
                go(&server, "MOVE", "/b", "/a").send();
            }
            is_over.store(true, Ordering::Relaxed);
        });
        for worker in 0..2 {
            let (server, is_over) = (&server, &is_over);
            scope.spawn(move || {
                let mut connection = server.connect();
                let mut number = 0;
                while !is_over.load(Ordering::Relaxed) {
                    number += 1;
                    let answer = connection.send(&server.put(format!("/a/{worker}-{}", number % 5)).body("x"));
                    assert!(matches!(answer.status, 201 | 204 | 409), "{answer}");
                    let answer = connection.send(&server.mkcol(format!("/a/d{worker}-{number}")));
                    assert!(matches!(answer.status, 201 | 405 | 409), "{answer}");
                }
            });
        }
    });
}

/// exFAT and NTFS refuse names that others take. That is told as such, before a body is sent, and nothing stays behind.
#[test]
fn a_name_that_the_disk_refuses_is_told_as_that() {
    const TEST: &str = "a_name_that_the_disk_refuses_is_told_as_that";
    type Maker = (&'static str, &'static [&'static str], &'static str, &'static [&'static str]);
    let makers: [Maker; 2] = [
        ("mkfs.exfat", &[], "mount.exfat-fuse", &[]),
        ("mkfs.ntfs", &["-F", "-q"], "ntfs-3g", &["-o", "windows_names"]),
    ];
    for (maker, options, mounter, mount_options) in makers {
        if !is_root() || !has_program(maker) || !has_program(mounter) {
            left_out(TEST, &format!("{maker} and {mounter}, and root, are needed"));
            continue;
        }
        let place = tempfile::Builder::new().prefix("noclobber-names-").tempdir().unwrap();
        let (image, at) = (place.path().join("image"), place.path().join("mounted"));
        fs::create_dir(&at).unwrap();
        fs::File::create(&image).unwrap().set_len(48 << 20).unwrap();
        let run = |program: &str, arguments: &[&str]| {
            let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
            let done = Command::new(program).args(arguments).env("PATH", path).run().unwrap();
            assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
            String::from_utf8(done.stdout).unwrap().trim().to_owned()
        };
        run(maker, &[options, &[image.to_str().unwrap()]].concat());
        let device = run("losetup", &["--find", "--show", image.to_str().unwrap()]);
        run(mounter, &[mount_options, &[device.as_str(), at.to_str().unwrap()]].concat());
        let _mount = Mount(at.clone());
        // It goes with the mount, however this ends.
        run("losetup", &["--detach", &device]);
        let share = at.join("share");
        fs::create_dir(&share).unwrap();
        let server = Server::on(&share);
        server.put("/f").body("text").expect(201);
        server.put("/d/f?mkdirs").body("text").expect(201);
        for name in ["a:b", "a%3Fb", "a%7Cb", "sub%22/f"] {
            let target = format!("/{name}");
            server.get(&target).expect(404);
            server.delete(&target).expect(404);
            for request in [
                server.put(format!("{target}?mkdirs")).body("x"),
                server.put(format!("{target}?mkdirs")).body_when_asked("x".repeat(300_000)),
                server.put(format!("{target}?mkdirs")).body("x".repeat(300_000)),
            ] {
                let answer = request.expect(400);
                tells(&answer, "name-not-held", &["file system", "Choose another"]);
                assert!(!answer.interim.contains(&100), "the body was asked for: {answer}");
            }
            if name.contains('/') {
                continue;
            }
            for request in [
                server.put(&target).body("x"),
                server.mkcol(&target),
                server.lock(&target, "exclusive", "0"),
                go(&server, "MOVE", "/f", &target),
                go(&server, "COPY", "/f", &target),
                go(&server, "MOVE", "/d", &target),
                go(&server, "COPY", "/d", &target),
            ] {
                tells(&request.expect(400), "name-not-held", &["file system", "Choose another"]);
            }
        }
        assert_eq!(server.names(""), ["d", "f"], "{maker}");
        let unfinished = run("find", &[share.to_str().unwrap(), "-name", "unfinished-*"]);
        assert_eq!(unfinished, "", "{maker}");
        // Other odd names are fine where they are.
        server.put("/caf%C3%A9%20%E2%82%AC").body("x").expect(201);
    }
}

/// A copy has the dates of what it is a copy of, the folders in it too; and in a folder that hands its group on, that group.
#[test]
fn a_copied_folder_keeps_its_dates_and_is_at_home_where_it_comes() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
    let server = Server::start();
    server.write("a/b/c/f", "text");
    server.write("a/g", "text");
    fs::create_dir(server.local("shared")).unwrap();
    if is_root() {
        chown(server.local("shared"), None, Some(4321)).unwrap();
    }
    fs::set_permissions(server.local("shared"), fs::Permissions::from_mode(0o2775)).unwrap();
    let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_580_702_706);
    for folder in ["a/b/c", "a/b", "a"] {
        fs::File::open(server.local(folder)).unwrap().set_modified(long_ago).unwrap();
    }
    go(&server, "COPY", "/a/", "/copy").expect(201);
    go(&server, "COPY", "/a/", "/shared/copy").expect(201);
    go(&server, "COPY", "/a/g", "/shared/g").expect(201);
    for folder in ["copy", "copy/b", "copy/b/c", "shared/copy", "shared/copy/b", "shared/copy/b/c"] {
        let found = fs::metadata(server.local(folder)).unwrap();
        assert_eq!(found.modified().unwrap(), long_ago, "{folder}");
        assert_eq!(found.mode() & 0o2000 != 0, folder.starts_with("shared"), "{folder}");
    }
    let group = fs::metadata(server.local("shared")).unwrap().gid();
    for path in ["shared/g", "shared/copy", "shared/copy/g", "shared/copy/b/c/f"] {
        assert_eq!(fs::metadata(server.local(path)).unwrap().gid(), group, "{path}");
    }
}

/// Nothing that is asked for is nothing that fails; and the prefix of XML's own names stays theirs.
#[test]
fn an_empty_change_of_properties_is_done() {
    let server = Server::start();
    server.write("f", "text");
    for body in ["<propertyupdate xmlns='DAV:'/>", "<propertyupdate xmlns='DAV:'><set><prop/></set></propertyupdate>"] {
        let answer = server.request("PROPPATCH", "/f").body(body).expect(207);
        assert!(answer.text().contains("200 OK"), "{answer}");
    }
    let set = "<propertyupdate xmlns='DAV:'><set><prop><xml:lang>de</xml:lang></prop></set></propertyupdate>";
    let ask = "<propfind xmlns='DAV:'><prop><xml:lang/><xml:other/></prop></propfind>";
    for answer in [
        server.request("PROPFIND", "/f").header("Depth", "0").body(ask).expect(207),
        server.request("PROPPATCH", "/f").body(set).expect(207),
        server.request("PROPFIND", "/f").header("Depth", "0").body(ask).expect(207),
    ] {
        let text = answer.text();
        assert!(text.contains("<xml:lang") && !text.contains("XML/1998"), "{text}");
    }
}

/// Two `If-Range` lines name no version: the whole file comes.
#[test]
fn two_conditions_of_a_range_are_none() {
    let server = Server::start();
    let tag = server.put("/f").body("0123456789").expect(201).tag();
    server.get("/f").range("bytes=0-3").header("If-Range", &tag).expect(206);
    for (one, other) in [(tag.as_str(), "\"other\""), ("\"other\"", tag.as_str()), (tag.as_str(), tag.as_str())] {
        server.get("/f").range("bytes=0-3").header("If-Range", one).header("If-Range", other).expect_body("0123456789");
    }
}

/// Whatever is wrong with what comes in place of a request, and on whichever turn of its connection: there is one refusal, which says why, tells
/// other pages nothing, stands in the log, and is the last.
#[test]
fn what_is_no_request_is_refused_as_everything_else_is() {
    let server = Server::with("--header-seconds=1").option("--log-level=info").start();
    let fields = format!("Host: {}\r\n", server.address());
    let with = |line: &[u8], more: &str| [line, b"\r\n", fields.as_bytes(), more.as_bytes(), b"\r\n"].concat();
    let mut expected = Vec::new();
    for (bytes, method, status) in [
        (with("GET /caf\u{e9}-1 HTTP/1.1".as_bytes(), ""), "GET", 400),
        (with("PUT /caf\u{e9}-2 HTTP/1.1".as_bytes(), "Content-Length: 1\r\n"), "PUT", 400),
        (with(b"GET /caf\xe9-3 HTTP/1.1", ""), "GET", 400),
        (with(b"GET /bell\x07-4 HTTP/1.1", ""), "GET", 400),
        (with(b"GET /delete\x7f-5 HTTP/1.1", ""), "GET", 400),
        (with(b"GET /nothing\0-6 HTTP/1.1", ""), "GET", 400),
        (with(b"HEAD /caf\xe9-7 HTTP/1.1", ""), "HEAD", 400),
        (with(b"HEAD /a-8 HTTP/1.1", "Host: other\r\n"), "HEAD", 400),
        (with(b"GET /{a}-9 HTTP/3.1", ""), "GET", 400),
        (with(b"GET /a b-10 HTTP/1.1", ""), "GET", 400),
        (with(b"GET http:///a-11 HTTP/1.1", ""), "GET", 400),
        (with(b"GET http://[::1/a-12 HTTP/1.1", ""), "GET", 400),
        (with(b"PUT /a-13 HTTP/1.1", "Content-Length: +1\r\n"), "PUT", 400),
        (with(b"PUT /a-14 HTTP/1.1", "Content-Length: 1, 1\r\n"), "PUT", 400),
        (with(b"PUT /a-15 HTTP/1.1", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"), "PUT", 400),
        (with(b"PUT /a-16 HTTP/1.1", "Transfer-Encoding: gzip, chunked\r\n"), "PUT", 400),
        (with(b"PUT /a-17 HTTP/1.0", "Transfer-Encoding: chunked\r\n"), "PUT", 400),
        (with(b"GET /a-18 HTTP/1.1", "Name : value\r\n"), "GET", 400),
        (with(b"GET /a-19 HTTP/1.1", "a: b\r\n c\r\n"), "GET", 400),
        (with(b"GET /a-20 HTTP/1.1", "a: \x01\r\n"), "GET", 400),
        (b"GET /a-21 HTTP/1.1\r\n\r\n".to_vec(), "GET", 400),
        (b"GET /a-22\r\n\r\n".to_vec(), "GET", 400),
        (b"POST /a-23 HTTP/1.0\r\n\r\n".to_vec(), "POST", 400),
        (b"\x16\x03\x01\x02\x00\x01".to_vec(), "GET", 400),
        (b"\r\n\r\n\r\n\r\n\r\n\r\n".to_vec(), "GET", 400),
        (with(b"GET /a-24 HTTP/1.1", &"X: y\r\n".repeat(200)), "GET", 431),
        (with(format!("HEAD /a-25{} HTTP/1.1", "x".repeat(66_000)).as_bytes(), ""), "HEAD", 414),
        (b"GET /a-26 HTTP/1.1\r\nHo".to_vec(), "GET", 408),
        (b"HEAD /a-27 HTTP/1.1\r\nHo".to_vec(), "HEAD", 408),
        (b"GE".to_vec(), "GET", 408),
    ] {
        for asked_before in [false, true] {
            let story = format!("{} {asked_before}", bytes[..bytes.len().min(100)].escape_ascii());
            let mut connection = server.connect();
            if asked_before {
                connection.send(&server.get("/")).expect(200);
            }
            let _ = connection.try_write(&bytes);
            let answer = connection.try_answer(method).unwrap_or_else(|error| panic!("{story}: {error}"));
            assert_eq!(answer.status, status, "{story}: {answer}");
            if method == "HEAD" {
                assert!(answer.field("content-length").parse::<u64>().unwrap() > 0, "{story}: {answer}");
            } else {
                answer.problem();
            }
            assert_eq!(answer.field("cross-origin-resource-policy"), "same-origin", "{story}: {answer}");
            assert_eq!(answer.field("connection"), "close", "{story}: {answer}");
            assert_eq!(answer.field("cache-control"), "no-store", "{story}: {answer}");
            assert!(answer.header("date").is_some(), "{story}: {answer}");
            assert!(connection.is_closed_within(std::time::Duration::from_secs(8)), "{story}");
            expected.push(format!("status={status}"));
        }
    }
    server.get("/the-last-line").expect(404);
    server.wait_for_log("/the-last-line");
    let log = server.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("microseconds=")).collect();
    let refused: Vec<&&str> = lines.iter().filter(|line| !line.contains("status=200")).collect();
    for (line, status) in refused.iter().zip(&expected) {
        assert!(line.contains(status.as_str()), "{line}");
    }
    assert_eq!(refused.len(), expected.len() + 1, "{log}");
    for (number, word) in [(1, "%C3%A9"), (3, "%E9"), (4, "%07"), (13, "PUT"), (19, "GET"), (23, "POST"), (26, "GET")] {
        let its = lines.iter().filter(|line| line.contains(&format!("-{number} ")) && line.contains(word)).count();
        assert_eq!(its, 2, "{number} {word}: {log}");
    }
}

/// What is too long for one thing is told as that, and not as something that might pass; and in a few words, however long it is.
#[test]
fn what_is_too_long_is_told_as_that() {
    let server = Server::start();
    server.write("f", "text");
    let long = "x".repeat(300_000);
    let set =
        |property: &str| format!("<propertyupdate xmlns='DAV:'><set><prop>{property}</prop></set></propertyupdate>");
    let own = |owner: &str| lock_info("exclusive", &format!("<D:owner>{owner}</D:owner>"));
    let collection = "<resourcetype><collection/></resourcetype>";
    let make = format!("<mkcol xmlns='DAV:'><set><prop>{collection}<a xmlns='b'>{long}</a></prop></set></mkcol>");
    let patch = |body: String| server.request("PROPPATCH", "/f").xml(body);
    for (request, status, word) in [
        (patch(set(&format!("<a xmlns='b'>{long}</a>"))), 507, "256 KiB"),
        (patch(set(&format!("<a xmlns='b' c='{long}'/>"))), 507, "256 KiB"),
        (server.request("MKCOL", "/new").xml(make), 507, "256 KiB"),
        (patch(set(&format!("<{long} xmlns='b'/>"))), 413, "a name that is too long"),
        (patch(set(&format!("<a xmlns='{long}'/>"))), 413, "a namespace that is too long"),
        (patch(set(&format!("<a xmlns='b'>{long}{long}</a>"))), 413, "no body as large"),
        (server.request("LOCK", "/f").header("Depth", "0").body(own(&long)), 413, "8 KiB"),
        (server.request("LOCK", "/new").header("Depth", "0").body(own(&long[..9000])), 413, "8 KiB"),
    ] {
        let answer = request.expect(status);
        assert!(answer.text().contains(word) && answer.text().len() < 1000, "{answer}");
        assert_eq!(answer.header("retry-after"), None, "{answer}");
        assert_eq!(server.names(""), ["f"], "{answer}");
    }
    server.request("LOCK", "/f").header("Depth", "0").body(own(&long[..7000])).expect(200);
}

/// A field that says nothing asks for nothing: an empty list of codings is none, and an empty list of tags is a right one without members.
#[test]
fn an_empty_list_has_no_members() {
    let server = Server::start();
    server.write("f", "text");
    for codings in [&[""][..], &["identity"], &["identity, Identity"], &[" , "], &["identity", ""]] {
        let with = |request: Request| {
            codings.iter().fold(request, |request, coding| request.header("Content-Encoding", coding))
        };
        with(server.put("/new")).body("text").expect_any(&[201, 204]);
        with(server.propfind("/f", "0")).xml("<propfind xmlns='DAV:'><allprop/></propfind>").expect(207);
    }
    for codings in [&["gzip"][..], &["identity, gzip"], &["identity", "br"], &["identity;q=1"], &["aws-chunked"]] {
        let with = |request: Request| {
            codings.iter().fold(request, |request, coding| request.header("Content-Encoding", coding))
        };
        tells(&with(server.put("/coded")).body("text").expect(415), "coded-body", &["Content-Encoding"]);
        with(server.propfind("/f", "0")).xml("<propfind xmlns='DAV:'><allprop/></propfind>").expect(415);
    }
    for tags in ["", ",", " , ,"] {
        server.get("/f").if_none_match(tags).expect_body("text");
        server.get("/f").if_match(tags).expect(412);
        server.put("/f").if_match(tags).body("lost").expect(412);
        server.delete("/f").if_match(tags).expect(412);
    }
    assert_eq!(server.names(""), ["f", "new"]);
}

/// A proxy that does not know whether a body follows says that one comes in chunks, and then there is none: that is no body. One that has a
/// single byte might mean something, and nothing is done.
#[test]
fn a_body_in_chunks_that_is_empty_is_none() {
    let server = Server::start();
    let none: [&str; 0] = [];
    server.put("/f").body("old").expect(201);
    server.put("/f").body("text").expect(204);
    let id = server.versions("/f").0[0].id.clone();
    let token = format!("<{}>", server.locked("/f", "0"));
    for (request, status) in [
        (server.request("UNLOCK", "/f").header("Lock-Token", token), 204),
        (go(&server, "COPY", "/f", "/g"), 201),
        (go(&server, "COPY", &format!("/f?version={id}"), "/g"), 204),
        (go(&server, "MOVE", "/g", "/h"), 201),
        (server.post(format!("/f?restore={id}")), 204),
        (server.delete("/h"), 204),
    ] {
        let what = request.to_string();
        tells(&request.clone().chunks(["x"]).expect(415), "unexpected-body", &["Nothing was changed"]);
        assert_eq!(request.chunks(none).send().status, status, "{what}");
    }
    assert_eq!((server.names(""), server.read("f")), (vec!["f".to_owned()], "old".to_owned()));
}

/// Of several reasons against an upload that one is told against which no header would help, then a header that is false, then one that is
/// missing.
#[test]
fn of_several_reasons_the_first_is_told() {
    let server = Server::builder().option("--require-preconditions").option("--tag-threshold=65536").start();
    let large = vec![b'x'; 200_000];
    server.write("f", "text");
    server.write("large", &large);
    let upload = vec![b'y'; 2_000_000];
    let below = server.put("/f/new/x?mkdirs").body("new").expect(409);
    tells(&below, "no-parent", &[]);
    server.put("/new/deep/x?mkdirs").body("new").expect(428);
    assert!(!server.local("new").exists());
    for body in [&upload[..10], &upload] {
        server.put("/large").if_none_match(tag_of(&large)).body(body).expect(412);
        server.put("/large").body(body).expect(428);
    }
    assert_eq!(server.read("large").into_bytes(), large);
}

/// A large file that a program is writing has no tag that a list of states could name, wherever it lies: the list does not hold, and nobody is
/// told to try again.
#[test]
fn a_file_that_is_being_written_fulfils_no_list_of_states() {
    let server = Server::builder().option("--allow-root-lock").option("--tag-threshold=65536").start();
    let large = vec![b'x'; 200_000];
    server.write("large", &large);
    server.write("f", "text");
    server.write("g", "text");
    let lists = format!("</large> ([{}])", tag_of(&large));
    let noted = "<D:set><D:prop><t:color>red</t:color></D:prop></D:set>";
    let requests = |server: &Server| {
        [
            server.proppatch("/", noted),
            server.lock("/", "exclusive", "0"),
            server.proppatch("/f", noted),
            server.lock("/f", "exclusive", "0"),
            server.put("/f").body("mine"),
            server.moving("/f", "/g"),
            server.copying("/f", "/g"),
            server.delete("/f"),
            server.request("MKCOL", "/new"),
        ]
        .map(|request| request.states(&lists))
    };
    {
        let _writer = fs::File::options().write(true).open(server.local("large")).unwrap();
        for request in requests(&server) {
            tells(&request.expect(412), "precondition-failed", &["If"]);
        }
        for method in ["MOVE", "COPY"] {
            let answer = go(&server, method, "/f", "/large").header("Overwrite", "F").expect(412);
            tells(&answer, "precondition-failed", &["something is here already", "Overwrite: F"]);
        }
    }
    assert_eq!((server.read("f").as_str(), server.read("g").as_str()), ("text", "text"));
    for request in requests(&server).into_iter().take(2) {
        let answer = request.send();
        assert!(answer.status < 300, "{answer}");
    }
}
