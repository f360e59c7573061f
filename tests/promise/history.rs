//! The history: what a write or a delete displaced is kept, can be read without noclobber, and comes back with one request.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use crate::disk::room::age;
use crate::harness::client::{percent_encode, tag_of};
use crate::harness::disk_images::DiskImage;
use crate::harness::programs::StartProgram as _;
use crate::harness::{Answer, Dice, Server, eventually, left_out};

/// A mounted drive names no version and saves over the text of somebody else. The text is in the history, and comes back.
#[test]
fn what_an_unconditional_write_displaced_comes_back() {
    let server = Server::start();
    server.write("a.txt", "hers");
    server.put("/a.txt").body("his").expect(204);
    let versions = server.versions("/a.txt").expect(["hers"]);
    let restored = server.post(format!("/a.txt?restore={}", versions.0[0].id)).expect(204);
    assert_eq!(restored.tag(), tag_of("hers"));
    server.get("/a.txt").expect_body("hers");
    // Restoring is a write like any other: what it displaced is kept too.
    assert_eq!(server.versions("/a.txt").0[0].content, b"his");
}

/// What was deleted comes back, too.
#[test]
fn a_deleted_file_comes_back() {
    let server = Server::start();
    server.put("/docs/a.txt?mkdirs").body("text").expect(201);
    server.delete("/docs/a.txt").expect(204);
    let versions = server.versions("/docs/a.txt").expect(["text"]);
    server.post(format!("/docs/a.txt?restore={}", versions.0[0].id)).expect(201);
    server.get("/docs/a.txt").expect_body("text");
}

/// Whoever displaces something is told what it has become, whatever the method and whatever the file system can do; who displaces
/// nothing is told of nothing.
#[test]
fn an_answer_names_the_version_that_the_request_displaced() {
    const NOTE: &str = "<D:set><D:prop><a xmlns='b'>c</a></D:prop></D:set>";
    const LOCK: &str =
        "<lockinfo xmlns='DAV:'><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>";
    for tier in ["A", "B", "C", "D"] {
        let options = if tier == "A" { Server::builder() } else { Server::builder().value("--force-tier", tier) };
        let server = options.start();
        let to = |method: &str, from: &str, to: &str| server.request(method, from).header("Destination", to);
        let displaced = |answer: &Answer| answer.header("noclobber-displaced").map(str::to_owned);
        for path in ["file", "moved", "copied", "over/member", "source/member"] {
            server.write(path, path);
        }
        for (request, path, was) in [
            (server.put("/file").body("two"), "/file", "file"),
            (server.put("/file").if_match(tag_of("two")).body("three"), "/file", "two"),
            (to("MOVE", "/moved", "/file"), "/file", "three"),
            (to("COPY", "/copied", "/file"), "/file", "moved"),
            (server.delete("/file"), "/file", "copied"),
            (to("MOVE", "/source/", "/copied"), "/copied", "copied"),
        ] {
            let said = request.to_string();
            let id = displaced(&request.expect_any(&[201, 204])).unwrap_or_else(|| panic!("{tier}: {said}"));
            server.get(format!("{path}?version={id}")).expect_body(was);
        }
        let id = server.versions("/file").0.pop().expect("the oldest").id;
        assert_eq!(
            displaced(&server.post(format!("/file?restore={id}")).expect(201)),
            None,
            "{tier}: nothing was there"
        );
        let id = displaced(&server.post(format!("/file?restore={id}")).expect(204)).expect("it was there");
        server.get(format!("/file?version={id}")).expect_body("file");
        for (request, path) in [(to("COPY", "/file", "/over/"), "/over"), (server.delete("/copied/"), "/copied")] {
            let said = request.to_string();
            let id = displaced(&request.expect(204)).unwrap_or_else(|| panic!("{tier}: {said}"));
            server.delete(path).expect_any(&[204, 404]);
            assert_eq!(displaced(&server.post(format!("{path}?restore={id}")).expect(201)), None);
            server.get(format!("{path}/member")).expect(200);
        }
        for request in [
            server.put("/new").body("new"),
            server.mkcol("/folder"),
            to("COPY", "/file", "/copy"),
            to("MOVE", "/copy", "/moved"),
            to("COPY", "/over/", "/tree/"),
            server.proppatch("/file", NOTE),
            server.request("LOCK", "/locked").xml(LOCK),
        ] {
            let said = request.to_string();
            assert_eq!(displaced(&request.expect_any(&[200, 201, 207])), None, "{tier}: {said}");
        }
    }
    let server = Server::with("--no-history").start();
    for request in [server.put("/a"), server.put("/a"), server.delete("/a")] {
        assert_eq!(request.body("").expect_any(&[201, 204]).header("noclobber-displaced"), None);
    }
}

/// Versions come newest first, each under the time it was kept, and each can be fetched.
#[test]
fn versions_come_newest_first() {
    let server = Server::start();
    for text in ["one", "two", "three", "four"] {
        server.put("/a.txt").body(text).expect_any(&[201, 204]);
    }
    let versions = server.versions("/a.txt").expect(["three", "two", "one"]);
    let mut ids: Vec<&String> = versions.0.iter().map(|version| &version.id).collect();
    ids.sort();
    ids.reverse();
    assert!(ids.iter().zip(&versions.0).all(|(id, version)| **id == version.id), "{ids:?}");
    let listing = server.get("/a.txt?versions").expect(200).json();
    assert_eq!(listing["path"], "/a.txt");
    for version in listing["versions"].as_array().unwrap() {
        let (id, kept) = (version["id"].as_str().unwrap(), version["kept"].as_str().unwrap());
        assert_eq!(version["kind"], "file");
        assert!(id.starts_with(&kept[..13]) && id.ends_with('Z') && !id.contains('~'), "{id} {kept}");
        if let Some(tag) = version["etag"].as_str() {
            let content = server.get(format!("/a.txt?version={id}")).expect(200).body;
            assert_eq!(tag, tag_of(content));
        }
    }
}

/// The history is plain files: `ls` and `cp` suffice, and nobody else may look into it.
#[test]
fn the_history_is_readable_without_noclobber() {
    let server = Server::start();
    server.put("/docs/report.odt?mkdirs").body("old").expect(201);
    server.put("/docs/report.odt").body("new").expect(204);
    let folder = server.versions_of("docs/report.odt");
    let names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(names.len(), 1, "{names:?}");
    assert_eq!(fs::read_to_string(&names[0]).unwrap(), "old");
    let id = &server.versions("/docs/report.odt").0[0].id;
    assert_eq!(names[0].file_name().unwrap().to_str(), Some(id.as_str()));
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata(server.local(".noclobber")).unwrap().permissions().mode() & 0o777, 0o700);
}

/// A file that a write displaced is the very file, with its date and its attributes.
#[test]
fn a_version_keeps_its_date() {
    let server = Server::start();
    let path = server.write("a.txt", "old");
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
    server.put("/a.txt").body("new").expect(204);
    let (kept, content) = server.kept_files().pop().expect("a kept file");
    assert_eq!(content, b"old");
    assert_eq!(fs::metadata(kept).unwrap().modified().unwrap(), long_ago);
}

/// A restore obeys the conditions of the one who asks for it.
#[test]
fn a_restore_is_a_write_with_conditions() {
    let server = Server::start();
    for text in ["one", "two"] {
        server.put("/a.txt").body(text).expect_any(&[201, 204]);
    }
    let id = server.versions("/a.txt").0[0].id.clone();
    let target = format!("/a.txt?restore={id}");
    server.post(&target).if_match("\"stale\"").expect(412).problem();
    server.post(&target).if_none_match("*").expect(412);
    server.get("/a.txt").expect_body("two");
    server.post(&target).if_match(tag_of("two")).expect(204);
    server.get("/a.txt").expect_body("one");
    server.post("/a.txt?restore=2001-01-01T00-00-00.000000Z").expect(404);
    for hostile in ["..", "../../a.txt", "%2e%2e%2fa.txt", "", "x/y", "%00"] {
        server.post(format!("/a.txt?restore={hostile}")).expect_any(&[400, 404]);
        server.get(format!("/a.txt?version={hostile}")).expect_any(&[400, 404]);
    }
    server.get("/a.txt").expect_body("one");
}

/// With conditions required, a restore needs one too.
#[test]
fn a_restore_without_a_condition_can_be_refused() {
    let server = Server::with("--require-preconditions").start();
    let tag = server.put("/a.txt").if_none_match("*").body("one").expect(201).tag();
    server.put("/a.txt").if_match(tag).body("two").expect(204);
    let id = server.versions("/a.txt").0[0].id.clone();
    server.post(format!("/a.txt?restore={id}")).expect(428);
    server.get("/a.txt").expect_body("two");
}

/// A whole folder was deleted. It is one version, and comes back as it was.
#[test]
fn a_deleted_folder_comes_back() {
    let server = Server::start();
    for path in ["folder/a.txt", "folder/deep/b.txt"] {
        server.write(path, path);
    }
    server.delete("/folder/").expect(204);
    let versions = server.versions("/folder");
    assert_eq!(versions.0.len(), 1);
    assert_eq!(versions.0[0].kind, "folder");
    server.post(format!("/folder?restore={}", versions.0[0].id)).expect(201);
    server.get("/folder/a.txt").expect_body("folder/a.txt");
    server.get("/folder/deep/b.txt").expect_body("folder/deep/b.txt");
}

/// The rule for new names is not for what returns: whatever it is called, it was there.
#[test]
fn what_was_deleted_comes_back_whatever_it_is_called() {
    let server = Server::start();
    let accents = "é".repeat(127);
    let names: [&[u8]; 6] =
        [b"back\\slash", b"con\ntrol\x07", b"\xffno utf-8\xfe", b"del\x7f", &[b'x'; 255], accents.as_bytes()];
    let local = |bytes: &[u8]| server.folder().join(OsStr::from_bytes(bytes));
    for name in names {
        let file = format!("/{}", percent_encode(name));
        fs::write(local(name), "a file").unwrap();
        server.delete(&file).expect(204);
        let id = server.versions(&file).0.remove(0).id;
        server.post(format!("{file}?restore={id}")).expect(201);
        assert_eq!(fs::read(local(name)).unwrap(), b"a file");
        server.put(&file).body("newer").expect(204);
        server.post(format!("{file}?restore={id}")).expect(204);
        server.get(&file).expect_body("a file");
        // In a folder that is called so, too, and with the folders above.
        server.delete(&file).expect(204);
        fs::create_dir_all(local(name).join("deep")).unwrap();
        fs::write(local(name).join("deep").join(OsStr::from_bytes(name)), "inside").unwrap();
        let inside = format!("{file}/deep{file}");
        server.delete(&inside).expect(204);
        server.delete(&file).expect(204);
        let id = server.versions(&inside).0.remove(0).id;
        server.post(format!("{inside}?restore={id}")).expect(409);
        server.post(format!("{inside}?restore={id}&mkdirs")).expect(201);
        server.get(&inside).expect_body("inside");
        server.delete(&file).expect(204);
        let id = server.versions(&file).0.into_iter().rfind(|version| version.kind == "folder").unwrap().id;
        server.post(format!("{file}?restore={id}")).expect(201);
        assert!(local(name).join("deep").is_dir());
        // What is moved or copied keeps its name, or gets a proper one.
        server.request("COPY", &file).header("Destination", "/copy").expect(201);
        server.mkcol("/other").expect(201);
        for method in ["COPY", "MOVE"] {
            server.request(method, &file).header("Destination", format!("/other{file}")).expect_any(&[201, 204]);
        }
        server.request("MOVE", format!("/other{file}")).header("Destination", "/proper").expect(201);
        for folder in ["/copy", "/other", "/proper"] {
            server.delete(folder).expect(204);
        }
    }
}

/// Programs read the history as one array, whatever is in it, with what `?versions` tells of each.
#[test]
fn the_command_line_prints_one_array() {
    let mut server = Server::start();
    let history = |server: &Server, words: &[&str]| -> serde_json::Value {
        let mut program = Command::new(env!("CARGO_BIN_EXE_noclobber"));
        let output = program.args(["history", "--json"]).args(words).arg("--folder").arg(server.folder()).run();
        serde_json::from_slice(&output.unwrap().stdout).expect("one array")
    };
    assert_eq!(history(&server, &[]), serde_json::json!([]));
    for text in ["one", "two", "three"] {
        server.put("/docs/a%20b.txt?mkdirs").body(text).expect_any(&[201, 204]);
    }
    server.write("folder/b.txt", "text");
    server.delete("/folder").expect(204);
    let mut wanted = server.get("/docs/a%20b.txt?versions").expect(200).json()["versions"].take();
    wanted.as_array_mut().unwrap().iter_mut().for_each(|version| version["path"] = "/docs/a b.txt".into());
    let mut folder = server.get("/folder?versions").expect(200).json()["versions"][0].take();
    assert_eq!((&folder["kind"], &folder["size"]), (&"folder".into(), &serde_json::Value::Null));
    folder["path"] = "/folder".into();
    server.stop();
    assert_eq!(history(&server, &["docs"]), wanted);
    wanted.as_array_mut().unwrap().insert(0, folder);
    assert_eq!(history(&server, &[]), wanted);
    assert_eq!(history(&server, &["nothing"]), serde_json::json!([]));
}

/// The same without a server.
#[test]
fn the_command_line_restores_whatever_it_is_called() {
    let mut server = Server::start();
    let name = b"a\\b\n\xff";
    let url = format!("/{}", percent_encode(name));
    fs::write(server.folder().join(OsStr::from_bytes(name)), "text").unwrap();
    server.delete(&url).expect(204);
    let id = server.versions(&url).0.remove(0).id;
    server.stop();
    let program = env!("CARGO_BIN_EXE_noclobber");
    let mut restore = Command::new(program);
    let output = restore.arg("restore").arg(OsStr::from_bytes(name)).arg(&id).arg("--folder").arg(server.folder());
    let output = output.run().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read(server.folder().join(OsStr::from_bytes(name))).unwrap(), b"text");
}

/// The command line finds what was displaced by whatever spelling of its name, too.
#[test]
fn the_command_line_finds_all_spellings_of_a_name() {
    let mut server = Server::start();
    server.put("/D%C3%A9/%C3%BC.txt?mkdirs").body("one").expect(201);
    server.delete("/De%CC%81/u%CC%88.txt").expect(204);
    let id = server.versions("/D%C3%A9/%C3%BC.txt").0.remove(0).id;
    server.delete("/D%C3%A9").expect(204);
    server.put("/De%CC%81/u%CC%88.txt?mkdirs").body("two").expect(201);
    server.stop();
    let run = |words: &[&str]| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_noclobber"));
        let output = program.args(words).arg("--folder").arg(server.folder()).run().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    for path in ["D\u{e9}", "De\u{301}", "De\u{301}/u\u{308}.txt", "D\u{e9}/u\u{308}.txt", "De\u{301}/\u{fc}.txt"] {
        assert!(run(&["history", path]).contains(&id), "{path:?}");
    }
    run(&["restore", "D\u{e9}/\u{fc}.txt", &id]);
    assert_eq!(fs::read_to_string(server.local("De\u{301}/u\u{308}.txt")).unwrap(), "one");
    assert_eq!(server.names("").iter().filter(|name| name.starts_with('D')).count(), 1);
}

/// Where the folder is gone too it is made, if that is asked for, and not for a restore that is refused anyway.
#[test]
fn a_restore_makes_the_folders_above() {
    let server = Server::with("--require-preconditions").start();
    let tag = server.put("/a/b/c.txt?mkdirs").if_none_match("*").body("text").expect(201).tag();
    server.delete("/a/b/c.txt").if_match(tag).expect(204);
    server.delete("/a/").expect(204);
    let target = format!("/a/b/c.txt?restore={}", server.versions("/a/b/c.txt").0[0].id);
    server.post(&target).if_none_match("*").expect(409).problem();
    server.post(format!("{target}&mkdirs")).expect(428);
    server.post(format!("{target}&mkdirs")).if_match("*").expect(412);
    assert!(!server.local("a").exists());
    server.post(format!("{target}&mkdirs")).if_none_match("*").expect(201);
    server.get("/a/b/c.txt").expect_body("text");
}

/// A folder comes back where nothing is. What is there stays, and the answer says why.
#[test]
fn a_folder_is_not_restored_over_something() {
    let server = Server::start();
    server.write("folder/a.txt", "then");
    server.delete("/folder").expect(204);
    let target = format!("/folder?restore={}", server.versions("/folder").0[0].id);
    server.write("folder/b.txt", "now");
    let refused = server.post(&target).expect(409);
    assert!(refused.problem()["detail"].as_str().unwrap().contains("only where nothing is"), "{refused}");
    assert_eq!(server.names("folder"), ["b.txt"]);
    server.delete("/folder").expect(204);
    server.put("/folder").body("a file").expect(201);
    server.post(&target).expect(409).problem();
    server.get("/folder").expect_body("a file");
    let file = server.delete("/folder").expect(204).field("noclobber-displaced").to_owned();
    server.post(&target).expect(201);
    server.get("/folder/a.txt").expect_body("then");
    server.post(format!("/folder?restore={file}")).expect(409).problem();
    server.get("/folder/a.txt").expect_body("then");
}

/// However many versions there are: they come a page at a time, in one order, and each page says where the next one is.
#[test]
fn versions_come_in_pages() {
    let server = Server::start();
    server.put("/docs/a%20b.txt?mkdirs").body("now").expect(201);
    let ids = make_versions(&server, "docs/a b.txt", 25);
    let mut found = Vec::new();
    let mut next = Some("/docs/a%20b.txt?versions&limit=10".to_owned());
    let mut pages = Vec::new();
    while let Some(target) = next {
        let page = server.get(&target).expect(200).json();
        let versions = page["versions"].as_array().unwrap();
        pages.push(versions.len());
        found.extend(versions.iter().map(|version| version["id"].as_str().unwrap().to_owned()));
        next = page["next"].as_str().map(str::to_owned);
    }
    assert_eq!(pages, [10, 10, 5]);
    assert_eq!(found, ids);
    for (query, wanted) in [
        (format!("before={}", ids[20]), &ids[21..]),
        (format!("before={}&limit=2&json", ids[20]), &ids[21..23]),
        (format!("before={}", ids[24]), &[]),
        ("limit=25".to_owned(), &ids[..]),
    ] {
        let page = server.get(format!("/docs/a%20b.txt?versions&{query}")).expect(200).json();
        let versions = page["versions"].as_array().unwrap();
        let found: Vec<_> = versions.iter().map(|version| version["id"].as_str().unwrap()).collect();
        assert_eq!(found, wanted, "{query}");
        assert_eq!(page["next"].is_string(), wanted.len() == 2, "{query}");
    }
    server.head("/docs/a%20b.txt?versions").expect(200);
    server.get("/none?versions").expect(404).problem();
}

/// Many ask for the versions of a file that has very many, and do not read the answer. Nobody else waits for them, and what they take has
/// a bound.
#[test]
fn very_many_versions_take_little_memory_and_nobody_waits() {
    let server = Server::start();
    server.put("/a.txt").body("now").expect(201);
    server.put("/small").body("small").expect(201);
    let ids = make_versions(&server, "a.txt", 30_000);
    server.get("/a.txt?versions&limit=1").expect(200);
    let before = server.memory("VmHWM");
    let mut silent: Vec<_> = (0..16).map(|_| server.connect()).collect();
    for connection in &mut silent {
        connection.write("GET /a.txt?versions&limit=1000000 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    server.get("/small").expect_body("small");
    for connection in &mut silent {
        assert!(connection.is_answered_within(Duration::from_secs(30)));
        server.get("/small").expect_body("small");
    }
    let taken = server.memory("VmHWM") - before;
    assert!(taken < 64 << 20, "{taken} bytes for sixteen lists");
    // A version is opened by its name, whatever lies beside it.
    server.get(format!("/a.txt?version={}", ids[20_000])).expect_body("");
    let page = server.get("/a.txt?versions&limit=1000000").expect(200).json();
    let told = page["versions"].as_array().unwrap().iter().map(|version| version["id"].as_str().unwrap());
    assert!(told.eq(ids[..10_000].iter()), "a page has an end whatever was asked for, and the newest come first");
    assert_eq!(server.get("/a.txt?versions").expect(200).json()["versions"].as_array().unwrap().len(), 1000);
}

/// The command line tells of all versions that there are, and holds a page of them.
#[test]
fn the_command_line_tells_of_very_many_versions_in_little_memory() {
    use std::io::{BufRead as _, BufReader};

    // Up to its end it waits for whoever reads, so its memory can be looked at.
    let peak_of = |count: usize| {
        let mut server = Server::start();
        server.put("/a.txt").body("now").expect(201);
        // Some of these would be old enough to be thinned out by it meanwhile.
        server.kill();
        make_versions(&server, "a.txt", count as u32);
        let mut program = Command::new(env!("CARGO_BIN_EXE_noclobber"));
        let program = program.arg("history").arg("--folder").arg(server.folder()).stdout(std::process::Stdio::piped());
        let mut program = program.start().unwrap();
        let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
        assert_eq!(lines.by_ref().take(count * 4 / 5).map(Result::unwrap).count(), count * 4 / 5);
        let status = fs::read_to_string(format!("/proc/{}/status", program.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak: usize = peak.trim().trim_end_matches(" kB").parse().unwrap();
        assert_eq!(lines.map(Result::unwrap).count(), count - count * 4 / 5);
        assert!(program.wait().unwrap().success());
        peak
    };
    let (few, many) = (peak_of(12_000), peak_of(60_000));
    assert!(many < few + 8 * 1024, "{many} KiB, and {few} KiB for a fifth of them");
}

/// Puts so many empty versions of a file beside what is kept already, the newest a day old, and says what they are called, newest first.
fn make_versions(server: &Server, path: &str, count: u32) -> Vec<String> {
    let folder = server.versions_of(path);
    fs::create_dir_all(&folder).unwrap();
    let make = |number: u32| {
        let (minute, second) = (number / 60, number % 60);
        let id =
            format!("2026-01-{:02}T{:02}-{:02}-{second:02}.000000Z", 1 + minute / 1440, minute / 60 % 24, minute % 60);
        fs::write(folder.join(&id), "").unwrap();
        id
    };
    let mut ids: Vec<_> = (0..count).map(make).collect();
    ids.reverse();
    ids
}

/// What was in a folder and is no more can be found without knowing what it was called, and comes back from there.
#[test]
fn what_was_deleted_is_listed() {
    let server = Server::start();
    let deleted = |target: &str| -> Vec<serde_json::Value> {
        let answer = server.get(target).expect(200);
        assert_eq!(answer.field("content-type"), "application/x-ndjson");
        answer.text().lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect()
    };
    let paths = |target: &str| -> Vec<String> {
        deleted(target).iter().map(|line| line["path"].as_str().expect("a path").to_owned()).collect()
    };
    for path in ["a", "back", "d/x", "d/deep/y", "d/deep/stays", "gone/z", "moved", "stays", "we ird\u{e9}"] {
        server.write(path, path);
    }
    assert!(deleted("/?deleted").is_empty());
    server.put("/stays").body("newer").expect(204);
    for target in ["/a", "/back", "/d/x", "/d/deep/y", "/gone/z", "/gone/", "/we%20ird%C3%A9"] {
        server.delete(target).expect(204);
    }
    server.put("/back").body("again").expect(201);
    server.request("MOVE", "/moved").header("Destination", "/there").expect(201);
    assert_eq!(paths("/?deleted"), ["/a", "/gone", "/we ird\u{e9}"]);
    let all = ["/a", "/d/deep/y", "/d/x", "/gone", "/gone/z", "/we ird\u{e9}"];
    assert_eq!(paths("/?deleted&deep"), all);
    assert_eq!(paths("/d?deleted"), ["/d/x"]);
    assert_eq!(paths("/d/?deleted&deep"), ["/d/deep/y", "/d/x"]);
    assert_eq!(paths("/gone/?deleted"), ["/gone/z"], "in a folder that is no more, too");
    // A page at a time it is the same.
    for (first, wanted) in
        [("/?deleted&deep", &all[..]), ("/?deleted", &[all[0], all[3], all[5]]), ("/d/?deleted&deep", &all[1..3])]
    {
        let mut found = Vec::new();
        let mut next = Some(format!("{first}&limit=1"));
        while let Some(target) = next.take() {
            for line in deleted(&target) {
                match line["next"].as_str() {
                    Some(more) => next = Some(more.to_owned()),
                    None => found.push(line["path"].as_str().unwrap().to_owned()),
                }
            }
        }
        assert_eq!(found, wanted, "{first}");
    }
    for line in deleted("/?deleted&deep") {
        let text = |field: &str| line[field].as_str().unwrap_or_else(|| panic!("{field} in {line}")).to_owned();
        let (path, id) = (text("path"), text("id"));
        let is_folder = path == "/gone";
        assert_eq!(text("kind"), if is_folder { "folder" } else { "file" });
        assert_eq!(line["size"].as_u64(), (!is_folder).then_some(path.len() as u64 - 1), "{line}");
        assert!(text("restore").ends_with(&format!("?restore={id}")) && text("kept").starts_with(&id[..13]), "{line}");
        if !is_folder {
            server.get(text("href")).expect_body(&path.as_bytes()[1..]);
        }
    }
    for line in deleted("/?deleted&deep") {
        server.post(format!("{}&mkdirs", line["restore"].as_str().unwrap())).expect_any(&[201, 409]);
    }
    assert!(deleted("/?deleted&deep").is_empty());
    server.get("/stays?deleted").expect(405).problem();
    server.get("/none/?deleted").expect(404).problem();
    server.get("/.noclobber/?deleted").expect(404);
    assert!(server.head("/?deleted").expect(200).body.is_empty());
}

/// However many names the history knows, a page ends after some work, and the next one goes on there.
#[test]
fn a_search_among_very_many_names_ends_and_goes_on() {
    let server = Server::start();
    server.put("/z.txt").body("text").expect(201);
    server.delete("/z.txt").expect(204);
    for number in 0..5100 {
        fs::create_dir(server.local(format!(".noclobber/history/.noclobber/{number:05}"))).unwrap();
    }
    let first = server.get("/?deleted&deep").expect(200).text();
    let next: serde_json::Value = serde_json::from_str(&first).expect("one line");
    let second = server.get(next["next"].as_str().expect("where it goes on")).expect(200).text();
    let found: serde_json::Value = serde_json::from_str(&second).expect("one line, and no more to come");
    assert_eq!(found["path"], "/z.txt");
}

/// Names are bytes: what cannot be shown as text is found and comes back all the same.
#[test]
fn deleted_names_that_are_no_text_are_listed() {
    let server = Server::start();
    for name in [&b"\xff\xfe"[..], b"a\nb", b"%41", b"?deleted&x", b"z#"] {
        fs::write(server.folder().join(OsStr::from_bytes(name)), name).unwrap();
        server.delete(format!("/{}", percent_encode(name))).expect(204);
    }
    let mut next = Some("/?deleted&limit=1".to_owned());
    let mut count = 0;
    while let Some(target) = next.take() {
        for line in server.get(&target).expect(200).text().lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            next = next.or(line["next"].as_str().map(str::to_owned));
            if let Some(restore) = line["restore"].as_str() {
                server.post(restore).expect(201);
                count += 1;
            }
        }
    }
    assert_eq!(count, 5);
    assert_eq!(fs::read(server.folder().join(OsStr::from_bytes(b"\xff\xfe"))).unwrap(), b"\xff\xfe");
}

/// What never was has no history, and reading the history makes none.
#[test]
fn nothing_has_no_history() {
    let server = Server::start();
    server.write("a.txt", "x");
    assert!(server.versions("/a.txt").0.is_empty());
    assert!(!server.local(".noclobber").exists());
}

/// The history outlives the server, and the state folder.
#[test]
fn the_history_outlives_the_server() {
    let mut server = Server::start();
    server.put("/a.txt").body("one").expect(201);
    server.put("/a.txt").body("two").expect(204);
    server.stop();
    fs::remove_dir_all(server.state()).unwrap();
    fs::create_dir(server.state()).unwrap();
    server.start_again();
    server.versions("/a.txt").expect(["one"]);
}

/// Nobody gets into the history by its name on the disk.
#[test]
fn the_history_is_not_part_of_the_share() {
    let server = Server::start();
    server.put("/a.txt").body("one").expect(201);
    server.put("/a.txt").body("two").expect(204);
    let inside = format!("/.noclobber/history/.noclobber/a.txt/{}", server.versions("/a.txt").0[0].id);
    for target in
        ["/.noclobber", "/.noclobber/", "/.noclobber/history/", "/x/.noclobber/y", "/%2enoclobber/", inside.as_str()]
    {
        for method in
            ["GET", "HEAD", "PUT", "DELETE", "MKCOL", "POST", "OPTIONS", "PROPFIND", "LOCK", "COPY", "MOVE", "BREW"]
        {
            let answer = server.request(method, target).send();
            let allowed = if matches!(method, "BREW" | "PROPFIND" | "LOCK" | "COPY" | "MOVE") {
                [404, 405, 501]
            } else {
                [404; 3]
            };
            assert!(allowed.contains(&answer.status), "{answer}");
        }
    }
    server.versions("/a.txt").expect(["one"]);
}

/// Without a history nothing is kept for good, and a lost race is still nobody's loss.
#[test]
fn without_a_history_nothing_is_kept() {
    let server = Server::with("--no-history").start();
    server.put("/a.txt").body("one").expect(201);
    server.put("/a.txt").body("two").expect(204);
    server.put("/a.txt").if_match(tag_of("one")).body("three").expect(412);
    server.get("/a.txt").expect_body("two");
    server.put("/docs/b.txt?mkdirs").body("one").expect(201);
    server.put("/docs/b.txt").body("two").expect(204);
    server.delete("/docs/").expect(204);
    assert!(!server.local(".noclobber/history").exists());
    let answer = server.get("/a.txt?versions").send();
    assert!(answer.status == 404 || answer.json()["versions"].as_array().is_some_and(Vec::is_empty), "{answer}");
    assert_eq!(server.kept_files().len(), 2 + 1, "all of it is still to be looked at once more");
    eventually(Duration::from_secs(30), "what was displaced to be let go, and the folders that held it", || {
        let swap = fs::read_dir(server.local(".noclobber/swap")).into_iter().flatten();
        (swap.count() == 0).then_some(())
    });
    assert!(server.kept_files().is_empty());
}

/// Versions older than the keep rule says are let go, and younger ones are not.
#[test]
fn old_versions_are_let_go() {
    let mut server = Server::with("--history-days=30").start();
    server.put("/a.txt").body("one").expect(201);
    server.put("/a.txt").body("two").expect(204);
    server.stop();
    let folder = server.versions_of("a.txt");
    let aged = folder.join("2001-01-01T00-00-00.000000Z");
    fs::write(&aged, "very old").unwrap();
    let date = SystemTime::UNIX_EPOCH + Duration::from_secs(978_307_200);
    fs::File::options().write(true).open(&aged).unwrap().set_modified(date).unwrap();
    server.start_again();
    server.put("/a.txt").body("three").expect(204);
    eventually(Duration::from_secs(20), "the old version to be let go", || (!aged.exists()).then_some(()));
    server.versions("/a.txt").expect(["two", "one"]);
}

/// A drive makes a file first and fills it then: that it was empty is nothing to be kept for long. What was empty and was deleted is.
#[test]
fn an_empty_file_that_was_filled_is_let_go() {
    let mut server = Server::start();
    for name in ["a.txt", "gone.txt", "\u{e9}.txt"] {
        server.put(format!("/{}", percent_encode(name.as_bytes()))).body("").expect(201);
    }
    server.put("/a.txt").body("one").expect(204);
    server.put("/a.txt").body("two").expect(204);
    server.delete("/gone.txt").expect(204);
    // One that is filled by the other spelling of its name.
    server.delete("/e%CC%81.txt").expect(204);
    server.put("/e%CC%81.txt").body("filled").expect(201);
    server.versions("/%C3%A9.txt").expect([""]);
    server.versions("/a.txt").expect(["one", ""]);
    age(&server, "a.txt", 1);
    age(&server, "gone.txt", 1);
    age(&server, "\u{e9}.txt", 1);
    server.stop();
    server.start_again();
    eventually(Duration::from_secs(20), "the empty version to be let go", || {
        (server.kept_files().len() == 2).then_some(())
    });
    server.versions("/a.txt").expect(["one"]);
    server.versions("/gone.txt").expect([""]);
    server.versions("/e%CC%81.txt").expect([]);
}

/// What was displaced is looked at once more after a while. However much that is, no file is held open for it.
#[test]
fn what_waits_for_its_second_look_takes_no_handles() {
    for options in [Server::builder(), Server::with("--no-history")] {
        let server = options.start();
        let names: Vec<_> = (0..300).map(|number| format!("/{number}.txt")).collect();
        names.iter().for_each(|name| drop(server.put(name).body("one").expect(201)));
        let before = server.open_files();
        names.iter().for_each(|name| drop(server.put(name).body("two").expect(204)));
        let after = server.open_files();
        assert!(after < before + 50, "{before} files were open, and {after} after {} were replaced", names.len());
    }
}

/// The disk is full of history: an upload takes the room from it, oldest first, rather than fail.
#[test]
fn a_full_disk_takes_from_the_history_first() {
    let disk = match DiskImage::tmpfs("size=16m") {
        Ok(disk) => disk,
        Err(why) => return left_out("a_full_disk_takes_from_the_history_first", &why),
    };
    let server = Server::with("--history-percent=100").folder(disk.path()).start();
    let mut dice = Dice::new(5);
    for _ in 0..4 {
        server.put("/a.bin").body(dice.bytes(3 * 1024 * 1024)).expect_any(&[201, 204]);
    }
    // What was displaced a moment ago is still looked at again; make it yesterday's.
    age(&server, "a.bin", 1);
    let before: Vec<Vec<u8>> = server.versions("/a.bin").0.into_iter().map(|version| version.content).collect();
    assert_eq!(before.len(), 3);
    let content = dice.bytes(6 * 1024 * 1024);
    server.put("/a.bin").body_when_asked(&content).expect(204);
    assert!(fs::read(server.local("a.bin")).unwrap() == content);
    let after: Vec<Vec<u8>> = server.versions("/a.bin").0.into_iter().map(|version| version.content).collect();
    assert!((2..=3).contains(&after.len()), "no more goes than has to: {} versions", after.len());
    assert!(after[1] == before[0], "the newest stay");
    assert!(!after.contains(&before[2]), "the oldest goes first");
}

/// The keep rule holds a share of the disk and no more; what goes first is the oldest.
#[test]
fn the_history_takes_no_more_than_its_share() {
    let disk = match DiskImage::tmpfs("size=64m") {
        Ok(disk) => disk,
        Err(why) => return left_out("the_history_takes_no_more_than_its_share", &why),
    };
    let mut server = Server::with("--history-percent=10").folder(disk.path()).start();
    let mut dice = Dice::new(6);
    for _ in 0..16 {
        server.put("/a.bin").body(dice.bytes(1024 * 1024)).expect_any(&[201, 204]);
    }
    let newest = server.versions("/a.bin").0.remove(0).content;
    age(&server, "a.bin", 1);
    server.stop();
    server.start_again();
    // Until then versions go, and may be gone between the list of them and the answer.
    eventually(Duration::from_secs(60), "the history to shrink to its share", || {
        let kept: usize = server.kept_files().iter().map(|(_, content)| content.len()).sum();
        (kept <= 64 * 1024 * 1024 / 10).then_some(())
    });
    assert!(server.versions("/a.bin").0.remove(0).content == newest);
}

/// The command line shows the history and brings a version back, with no server running.
#[test]
fn the_command_line_restores_a_version() {
    let mut server = Server::start();
    server.put("/docs/a.txt?mkdirs").body("one").expect(201);
    server.put("/docs/a.txt").body("two").expect(204);
    let id = server.versions("/docs/a.txt").0[0].id.clone();
    server.stop();
    let noclobber = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_noclobber"))
            .args(arguments)
            .arg("--folder")
            .arg(server.folder())
            .run()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(noclobber(&["history", "docs/a.txt"]).contains(&id));
    noclobber(&["restore", "docs/a.txt", &id]);
    assert_eq!(server.read("docs/a.txt"), "one");
    assert!(server.kept_files().iter().any(|(_, content)| content == b"two"), "what the restore displaced is kept");
}

fn restore_by_command(server: &Server, words: &[&OsStr]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_noclobber"));
    program.env_remove("NOCLOBBER_STATE").arg("restore").args(words).arg("--folder").arg(server.folder()).run().unwrap()
}

/// The properties of what was deleted come back by the command line as they do by a request, wherever the server keeps its state.
#[test]
fn the_command_line_brings_properties_back() {
    let home = tempfile::tempdir().unwrap();
    for state_is_named in [false, true] {
        let mut server = match state_is_named {
            true => Server::start(),
            false => Server::builder().without_state().environment("XDG_STATE_HOME", home.path()).start(),
        };
        server.put("/docs/a.txt?mkdirs").body("text").expect(201);
        server.put("/b.txt").body("text").expect(201);
        let noted = ["/docs/", "/docs/a.txt", "/b.txt"];
        noted.iter().for_each(|target| server.note(target, "<t:color>red</t:color>"));
        for target in ["/docs", "/b.txt"] {
            server.delete(target).expect(204);
        }
        let ids = ["/docs", "/b.txt"].map(|path| server.versions(path).0.remove(0).id);
        server.stop();
        for (path, id) in ["docs", "b.txt"].iter().zip(&ids) {
            let mut program = Command::new(env!("CARGO_BIN_EXE_noclobber"));
            program.args(["restore", path, id]).env_remove("NOCLOBBER_STATE").env("XDG_STATE_HOME", home.path());
            if state_is_named {
                program.arg("--state").arg(server.state());
            }
            let output = program.arg("--folder").arg(server.folder()).run().unwrap();
            assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        }
        server.start_again();
        for target in noted {
            let color = server.properties(target, "<t:color/>").value("{urn:t}color");
            assert_eq!(color, "red", "{target}, --state: {state_is_named}");
        }
    }
}

/// Where the command line finds no state in the place where servers keep it, the version comes back without its properties, and a person is
/// told; no state is begun that would look like the one which is missing.
#[test]
fn a_restore_without_the_state_says_what_does_not_come_back() {
    let (server, id) = server_that_has_deleted_docs();
    let elsewhere = tempfile::tempdir().unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_noclobber"));
    program.env_remove("NOCLOBBER_STATE").env("XDG_STATE_HOME", elsewhere.path());
    let output = program.args(["restore", "docs", &id, "--folder"]).arg(server.folder()).run().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    for word in ["locks", "properties", "--state"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert_eq!(server.read("docs/a.txt"), "text");
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

/// Whoever names the state means one that is there: where it is not, a version would come back over what is locked, and without its
/// properties. It is named by a word, a variable or the file of settings.
#[test]
fn a_restore_with_a_state_that_is_not_there_changes_nothing() {
    let (server, id) = server_that_has_deleted_docs();
    let elsewhere = tempfile::tempdir().unwrap();
    let settings = elsewhere.path().join("settings.toml");
    let missing = elsewhere.path().join("state");
    fs::write(&settings, format!("state = {:?}\n", missing.to_str().unwrap())).unwrap();
    let restore = || {
        let mut program = Command::new(env!("CARGO_BIN_EXE_noclobber"));
        program.env_remove("NOCLOBBER_STATE").args(["restore", "docs", &id, "--folder"]).arg(server.folder());
        program
    };
    for output in [
        restore().arg("--state").arg(&missing).run().unwrap(),
        restore().env("NOCLOBBER_STATE", &missing).run().unwrap(),
        restore().arg("--config").arg(&settings).run().unwrap(),
        restore().env("NOCLOBBER_CONFIG", &settings).run().unwrap(),
    ] {
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("nothing was changed") && said.contains("--no-state"), "{said}");
        assert!(!server.local("docs").exists() && !missing.exists(), "{said}");
    }
    let output = restore().arg("--no-state").arg("--config").arg(&settings).run().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert_eq!(server.read("docs/a.txt"), "text");
}

/// The settings of the server hold for a restore, too, but for those that are about clients: a person at the machine names no version, and what
/// the restore replaces is kept.
#[test]
fn a_restore_reads_the_settings_of_the_server() {
    let mut server = Server::start();
    server.put("/a.txt").body("one").expect(201);
    server.put("/a.txt").body("two").expect(204);
    let id = server.versions("/a.txt").0.remove(0).id;
    server.stop();
    let home = tempfile::tempdir().unwrap();
    let settings = home.path().join("settings.toml");
    let [folder, state] = [server.folder(), server.state()].map(|path| path.to_str().unwrap().to_owned());
    let lines = "listen = [\"0.0.0.0:1\"]\nlog-level = \"off\"\nrequire-preconditions = true\nno-history = true\n";
    fs::write(&settings, format!("{lines}folder = {folder:?}\nstate = {state:?}\n")).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_noclobber"));
    program.env_remove("NOCLOBBER_STATE").args(["restore", "a.txt", &id, "--config"]).arg(&settings);
    let output = program.run().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert_eq!(server.read("a.txt"), "one");
    assert!(server.kept_files().iter().any(|(_, content)| content == b"two"), "what the restore displaced is kept");
}

/// A server, stopped, that has deleted a folder with a file, and that folder's version.
fn server_that_has_deleted_docs() -> (Server, String) {
    let mut server = Server::start();
    server.put("/docs/a.txt?mkdirs").body("text").expect(201);
    server.delete("/docs").expect(204);
    let id = server.versions("/docs").0.remove(0).id;
    server.stop();
    (server, id)
}

/// What clients hold and keep is heeded by the command line, too: it does not change what is locked, nor what a server serves, and what it
/// refuses comes back whole later.
#[test]
fn the_command_line_restores_nothing_behind_a_lock_or_a_server() {
    let mut server = Server::start();
    server.put("/docs/a.txt?mkdirs").body("text").expect(201);
    server.note("/docs/a.txt", "<t:color>red</t:color>");
    server.delete("/docs").expect(204);
    server.put("/b.txt").body("one").expect(201);
    server.put("/b.txt").body("two").expect(204);
    server.locked("/b.txt", "0");
    let [docs, b] = ["/docs", "/b.txt"].map(|path| server.versions(path).0.remove(0).id);
    let refused = |server: &Server, path: &str, id: &str, words: &str| {
        let words_of_state = [OsStr::new(path), OsStr::new(id), OsStr::new("--state"), server.state().as_os_str()];
        let output = restore_by_command(server, &words_of_state);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains(words), "{path}: {said}");
    };
    refused(&server, "docs", &docs, "POST");
    server.stop();
    refused(&server, "b.txt", &b, "lock");
    assert_eq!(server.read("b.txt"), "two");
    server.start_again();
    server.post(format!("/docs?restore={docs}")).expect(201);
    assert_eq!(server.properties("/docs/a.txt", "<t:color/>").value("{urn:t}color"), "red");
}

/// A version that is copied out of the history by `cp` has a name like an identifier, and so may any other file or folder. Such names are
/// names: nothing below them is taken for a version, moved out of the history, or let go by the date that the name speaks of.
#[test]
fn a_name_that_looks_like_a_version_is_a_name_like_any_other() {
    const LIKE: [&str; 5] = [
        "2020-01-01T00-00-00.000000Z",
        "2020-01-01T00-00-00.000000Z (upload)",
        "2030-01-01T00-00-00.000000Z~a-b",
        "2030-01-01T00-00-00.000000Z~a+b",
        "2030-01-01T00-00-00.000000Z~a!",
    ];
    let mut server = Server::start();
    for name in LIKE {
        for path in [format!("top {name}/{name}"), format!("{name}/report.txt"), format!("docs/{name}/{name}/a.txt")] {
            let url = path.replace(' ', "%20");
            server.put(format!("/{url}?mkdirs")).body("one").expect(201);
            server.put(format!("/{url}")).body("two").expect(204);
            server.versions(&format!("/{url}")).expect(["one"]);
        }
        let url = name.replace(' ', "%20");
        assert!(server.versions(&format!("/docs/{url}")).0.is_empty());
        // What stood there before does not hinder it either.
        server.put(format!("/swapped-{url}")).body("a file").expect(201);
        server.delete(format!("/swapped-{url}")).expect(204);
        server.put(format!("/swapped-{url}/{url}?mkdirs")).body("a folder").expect(201);
        server.put(format!("/swapped-{url}/{url}")).body("again").expect(204);
    }
    assert!(server.versions("/docs").0.is_empty());
    let kept = server.kept_files().len();
    server.moving("/docs", "/elsewhere").expect(201);
    for is_killed in [true, false] {
        let _ended = if is_killed { server.kill() } else { server.stop() };
        server.start_again();
    }
    assert_eq!(server.kept_files().len(), kept, "{}", server.log());
    assert!(!server.local("docs").exists());
    for name in LIKE {
        let url = name.replace(' ', "%20");
        server.versions(&format!("/{url}/report.txt")).expect(["one"]);
        server.versions(&format!("/docs/{url}/{url}/a.txt")).expect(["one"]);
        server.versions(&format!("/swapped-{url}")).expect(["a file"]);
        server.versions(&format!("/swapped-{url}/{url}")).expect(["a folder"]);
    }
}

/// A folder that is kept is kept as it is: nothing in it is taken for a version, whatever it is called, and nothing is put into it.
#[test]
fn a_kept_folder_is_opaque() {
    let mut server = Server::start();
    let version = "2001-01-01T00-00-00.000000Z";
    for inside in [format!("a/{version}"), format!("a/.noclobber/{version}"), format!(".noclobber/{version}~a+b")] {
        server.write(format!("docs/{inside}"), "inside");
    }
    server.delete("/docs/").expect(204);
    let id = server.versions("/docs").0.remove(0).id;
    // The place of the versions of a file whose name is that of the kept folder.
    server.put(format!("/docs/{id}/f?mkdirs")).body("one").expect(201);
    server.put(format!("/docs/{id}/f")).body("two").expect(204);
    server.delete(format!("/docs/{id}/")).expect(204);
    server.delete("/docs/").expect(204);
    server.kill();
    server.start_again();
    server.stop();
    server.start_again();
    let kept = server.versions_of("docs").join(&id);
    for inside in [format!("a/{version}"), format!("a/.noclobber/{version}"), format!(".noclobber/{version}~a+b")] {
        assert_eq!(fs::read_to_string(kept.join(inside)).unwrap(), "inside", "{}", server.log());
    }
    let mut names: Vec<_> = fs::read_dir(&kept).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [".noclobber", "a"]);
}

/// A file called like an unfinished upload is a file: what was displaced of it while no history is kept is not swept with those.
#[test]
fn a_name_that_looks_like_an_unfinished_upload_is_a_name_like_any_other() {
    let mut server = Server::with("--no-history").start();
    server.put("/unfinished-1/a.txt?mkdirs").body("one").expect(201);
    server.put("/unfinished-1/a.txt").body("two").expect(204);
    let entry = server.kept_files().pop().expect("what was displaced").0;
    fs::write(&entry, "written on").unwrap();
    server.kill();
    server.start_again();
    let beside = fs::read_dir(server.local("unfinished-1")).unwrap().flatten();
    let texts: Vec<_> = beside.map(|entry| fs::read_to_string(entry.path()).unwrap()).collect();
    assert!(texts.contains(&"written on".to_owned()) || entry.exists(), "{texts:?}");
}

/// A disk that folds case writes names in small letters. They are versions all the same.
#[test]
fn a_version_whose_name_was_written_in_small_letters_is_a_version() {
    let mut server = Server::start();
    server.put("/a.txt").body("one").expect(201);
    server.put("/a.txt").body("two").expect(204);
    server.stop();
    let folder = server.versions_of("a.txt");
    for entry in fs::read_dir(&folder).unwrap().flatten() {
        let folded = entry.file_name().into_string().unwrap().to_lowercase();
        fs::rename(entry.path(), folder.join(folded)).unwrap();
    }
    server.start_again();
    let id = server.versions("/a.txt").expect(["one"]).0.remove(0).id;
    server.post(format!("/a.txt?restore={}", id.to_lowercase())).expect(204);
    server.get("/a.txt").expect_body("one");
}

/// The path of a file may be as long as the system takes in one call. Its versions lie deeper, and are kept, read, restored and let go all
/// the same.
#[test]
fn versions_of_the_longest_paths_are_versions_like_any_other() {
    let mut server = Server::start();
    let names: Vec<String> = (0..20).map(|number| format!("{number:0>199}x")).collect();
    let folder = format!("/{}", names.join("/"));
    let path = format!("{folder}/{}", "r".repeat(4095 - folder.len() - 1));
    assert_eq!(path.len(), 4095);
    server.put(format!("{path}?mkdirs")).body("one").expect(201);
    server.put(&path).body("two").expect(204);
    let id = server.versions(&path).expect(["one"]).0.remove(0).id;
    server.post(format!("{path}?restore={id}")).expect(204);
    server.get(&path).expect_body("one");
    server.delete(&path).expect(204);
    server.post(format!("{path}?restore={id}")).expect(201);
    server.delete(&folder).expect(204);
    let id = server.versions(&folder).0.remove(0).id;
    server.post(format!("{folder}?restore={id}")).expect(201);
    server.get(&path).expect_body("one");
    server.kill();
    server.start_again();
    server.versions(&path).expect(["one", "two", "one"]);
    assert!(!server.log().contains("tried again") && !server.log().contains("cannot"), "{}", server.log());
}

/// The versions of all paths come a page at a time, the newest first, and a page holds no more than was asked for.
#[test]
fn the_versions_of_all_paths_come_in_pages() {
    use std::time::Duration;

    use noclobber::share::{PageRequest, RequestContext, Share, ShareSettings};
    use noclobber::store::abilities::Tier;
    use noclobber::store::local::history::KeepLimits;

    use crate::harness::sim_disk::{Features, SimDisk};
    use crate::harness::stories::share_path;

    let disk = SimDisk::new(Features::of(Tier::A));
    let keep = Some(KeepLimits { age_max: Duration::from_secs(1 << 20), percent_max: 50 });
    let index = noclobber::store::catalog::index::Index::in_memory();
    let settings = ShareSettings { keep, ..ShareSettings::default() };
    let share = Share::open(
        noclobber::store::local::commit::Tree::on(std::sync::Arc::new(disk.clone())),
        index,
        settings,
        disk.now(),
    )
    .unwrap();
    // Two paths at each time.
    for number in 0..10 {
        let now = disk.now().plus(Duration::from_secs(number));
        for path in ["a", "d/b", "d/e/c"].iter().take(1 + number as usize % 3) {
            disk.place(path, "x");
            share.delete(&share_path(path), &RequestContext::unconditional(now)).unwrap();
        }
    }
    for below in ["", "a", "d", "d/e", "d/e/c", "none"] {
        let page = |before, count| share.versions_below(&share_path(below), PageRequest { before, count }).unwrap();
        let all = page(None, 1000).items;
        assert!(all.is_sorted_by(|one, next| (&one.version.id, &one.path) > (&next.version.id, &next.path)));
        for count in [1, 2, 3, 100] {
            let (mut told, mut before) = (Vec::new(), None);
            loop {
                let page = page(before.take(), count);
                assert!(page.items.len() <= count);
                told.extend(page.items.iter().map(|kept| (kept.version.id.clone(), kept.path.clone())));
                before = told.last().cloned();
                if !page.goes_on {
                    break;
                }
            }
            let all: Vec<_> = all.iter().map(|kept| (kept.version.id.clone(), kept.path.clone())).collect();
            assert_eq!(told, all, "below {below:?}, {count} at once");
        }
    }
    assert_eq!(
        share.versions_below(&share_path(""), PageRequest { before: None, count: 1000 }).unwrap().items.len(),
        19
    );
}

/// Folders that were made for what could not come back go again, whatever stands in its way.
#[test]
fn what_cannot_be_restored_leaves_no_folders() {
    let server = Server::start();
    server.put("/d/e/a.txt?mkdirs").body("one").expect(201);
    server.mkcol("/d/e/f").expect(201);
    let id = |answer: crate::harness::Answer| answer.field("noclobber-displaced").to_owned();
    let (file, folder) = (id(server.delete("/d/e/a.txt").expect(204)), id(server.delete("/d/e/f").expect(204)));
    server.delete("/d").expect(204);
    for (path, version) in [("/d/e/a.txt", &file), ("/d/e/f", &folder)] {
        let restore = || server.post(format!("{path}?restore={version}&mkdirs"));
        restore().if_match("\"x\"").expect(412);
        server.post(format!("{path}?restore=2020-01-01T00-00-00.000000Z&mkdirs")).expect(404);
        server.post(format!("{path}?restore={version}")).expect(409);
        assert!(!server.local("d").exists(), "{path}");
        // A lock on the name that is to be taken, which somebody has removed since.
        server.put("/d/e/locked?mkdirs").body("x").expect(201);
        let token = server.locked("/d/e", "infinity");
        std::fs::remove_dir_all(server.local("d")).unwrap();
        restore().expect(423);
        assert!(!server.local("d/e").exists(), "{path}");
        assert!(!server.local("d").exists(), "{path}");
        server.unlock("/d/e", &token).expect(204);
    }
    server.post(format!("/d/e/a.txt?restore={file}&mkdirs")).expect(201);
    server.get("/d/e/a.txt").expect_body("one");
}

/// A share that keeps versions, on a simulated disk, with a folder that was deleted two days ago.
fn with_a_folder_that_was_deleted() -> (crate::harness::sim_disk::SimDisk, noclobber::share::Share) {
    use std::time::Duration;

    use noclobber::share::{RequestContext, Share, ShareSettings};
    use noclobber::store::abilities::Tier;
    use noclobber::store::local::history::KeepLimits;

    use crate::harness::sim_disk::{Features, SimDisk};
    use crate::harness::stories::share_path;

    let disk = SimDisk::new(Features::of(Tier::A));
    for name in ["a", "b", "e/c", "e/d"] {
        disk.place(&format!("folder/{name}"), name);
    }
    let keep = Some(KeepLimits { age_max: Duration::from_secs(86_400), percent_max: 50 });
    let index = noclobber::store::catalog::index::Index::in_memory();
    let settings = ShareSettings { keep, ..ShareSettings::default() };
    let began = disk.now();
    let share = Share::open(
        noclobber::store::local::commit::Tree::on(std::sync::Arc::new(disk.clone())),
        index,
        settings,
        began,
    )
    .unwrap();
    share.keep_time(began, Duration::ZERO);
    disk.act(&crate::harness::stranger::Act::find(0, "folder/e/c"));
    share.delete(&share_path("folder"), &RequestContext::unconditional(disk.now())).unwrap();
    disk.advance(Duration::from_secs(2 * 86_400));
    share.keep_time(disk.now(), disk.now().since(began));
    (disk, share)
}

/// A folder is let go in many steps. Whichever of them fails, or comes last before somebody brings the folder back: he has all of it or nothing.
#[test]
fn a_folder_that_is_being_let_go_comes_back_whole_or_not_at_all() {
    use noclobber::share::{PageRequest, RequestContext};
    use noclobber::store::disk_error::Cause;

    use crate::harness::sim_disk::Event;
    use crate::harness::stories::share_path;

    let mut ways = [0, 0];
    for at in 1.. {
        let (disk, share) = with_a_folder_that_was_deleted();
        let path = share_path("folder");
        let id =
            share.versions_below(&path, PageRequest { before: None, count: 1 }).unwrap().items.remove(0).version.id;
        disk.begin(vec![Event::Fail { at, cause: Cause::Failed }]);
        let gone = share.prune(disk.now());
        let (steps, trace) = (disk.steps(), disk.trace());
        disk.begin(vec![]);
        let restored = share.restore(
            &path,
            &id,
            false,
            &RequestContext::unconditional(disk.now()),
            noclobber::share::CopyLimit::UNLIMITED,
        );
        let there = disk.visible_contents().len();
        assert_eq!(there, if restored.is_ok() { 4 } else { 0 }, "step {at}: {gone:?}, {restored:?}: {trace:#?}");
        ways[usize::from(restored.is_ok())] += 1;
        if at > steps {
            break;
        }
    }
    assert!(ways[0] > 1 && ways[1] > 1, "{ways:?}");
}

/// A program has a file open for writing in a folder that was deleted. What it writes would be nowhere if the folder were let go: it stays until the
/// file is closed, as a file does.
#[test]
fn a_folder_in_which_somebody_writes_is_not_let_go() {
    use std::time::Duration;

    use noclobber::share::PageRequest;

    use crate::harness::stories::share_path;
    use crate::harness::stranger::Act;

    let (disk, share) = with_a_folder_that_was_deleted();
    let kept =
        || share.versions_below(&share_path("folder"), PageRequest { before: None, count: 9 }).unwrap().items.len();
    disk.act(&Act::Open { hand: 0 });
    assert_eq!((share.prune(disk.now()).unwrap(), kept()), (0, 1));
    disk.act(&Act::write(0, "his work"));
    assert!(disk.contents_everywhere().iter().any(|(_, bytes)| bytes == b"his work"));
    disk.act(&Act::Close { hand: 0 });
    disk.advance(Duration::from_secs(1));
    assert_eq!((share.prune(disk.now()).unwrap(), kept()), (1, 0));
}

/// The clock is set back by a day. What is to happen in some seconds happens in some seconds: what a program wrote into a file that was displaced
/// appears beside it, and a client whose upload was refused may delete again.
#[test]
fn a_clock_that_is_set_back_puts_nothing_off() {
    use std::time::Duration;

    use noclobber::model::principal::Client;
    use noclobber::model::stamp::Timestamp;
    use noclobber::share::RequestContext;

    use crate::harness::stories::share_path;
    use crate::harness::stranger::Act;

    let (disk, share) = with_a_folder_that_was_deleted();
    disk.place("a", "first");
    disk.act(&Act::find(1, "a"));
    let now = disk.now();
    share.delete(&share_path("a"), &RequestContext::unconditional(now)).unwrap();
    disk.act(&Act::Open { hand: 1 });
    disk.act(&Act::write(1, "his work"));
    disk.act(&Act::Close { hand: 1 });
    share.tick(now.plus(Duration::from_secs(1)));
    assert!(disk.visible_contents().is_empty(), "it is looked at again later");
    let set_back = Timestamp::new(now.seconds() - 86_400, 0);
    share.tick(set_back);
    let texts: Vec<_> = disk.visible_contents().into_iter().map(|(_, bytes)| bytes).collect();
    assert_eq!(texts, [b"his work"]);
    disk.place("b", "stands here");
    let delete = |now| share.delete(&share_path("b"), &RequestContext::unconditional(now));
    share.not_stored(Client::default(), &share_path("b"), false, now);
    assert!(delete(now).is_err());
    assert!(delete(set_back).is_ok());
}
