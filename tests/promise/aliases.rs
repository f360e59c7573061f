//! One file, one key: by whatever spelling or link a client comes, locks, properties, conditions and versions are those of the file that the
//! disk takes it for. A link that is not followed is a wall, one that is followed is a second path, and noclobber's own folder is reached by
//! none.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use noclobber::model::path::SharePath;
use noclobber::store::abilities::Tier;
use noclobber::store::local::commit::{LastLink, OnMismatch, OnMismatches, Seen, Swap, Tree};
use noclobber::store::local::history::KeepLimits;

use crate::harness::client::{Connection, percent_encode, tag_of};
use crate::harness::dav::lock_info;
use crate::harness::disk_images::{Bound, DiskImage, FuseDisk};
use crate::harness::sim_disk::{Features, SimDisk};
use crate::harness::{Answer, Request, Server, eventually, left_out};

/// Every request that can be made of a path, and what it is called.
fn everything(server: &Server, path: &str) -> Vec<(String, Request)> {
    let named = |method: &str, query: &str| server.request(method, format!("{path}{query}"));
    let version = "2026-11-22T10-00-00.000000Z";
    let patch = "<D:set><D:prop><t:a>1</t:a></D:prop></D:set>";
    [
        ("GET", named("GET", "")),
        ("GET ?json", named("GET", "?json")),
        ("GET ?versions", named("GET", "?versions")),
        ("GET ?version", named("GET", &format!("?version={version}"))),
        ("GET ?deleted", named("GET", "?deleted")),
        ("HEAD", named("HEAD", "")),
        ("OPTIONS", named("OPTIONS", "")),
        ("POST ?restore", named("POST", &format!("?restore={version}"))),
        ("PROPFIND 0", server.propfind(path, "0")),
        ("PROPFIND 1", server.propfind(path, "1")),
        ("PROPPATCH", server.proppatch(path, patch)),
        ("PUT", named("PUT", "").body("written")),
        ("PUT If-None-Match", named("PUT", "").if_none_match("*").body("written")),
        ("PUT If", named("PUT", "").states(format!("<{path}> ([\"{}\"])", "0".repeat(32))).body("written")),
        (
            "PATCH",
            named("PATCH", "")
                .header("Content-Type", "application/x-sabredav-partialupdate")
                .header("X-Update-Range", "append")
                .body("written"),
        ),
        ("MKCOL", named("MKCOL", "")),
        ("LOCK", named("LOCK", "").depth("0").xml(lock_info("exclusive", ""))),
        ("UNLOCK", server.unlock(path, "urn:uuid:00000000-0000-4000-8000-000000000000")),
        ("COPY from", server.copying(path, "/copied")),
        ("COPY to", server.copying("/source", path)),
        ("MOVE from", server.moving(path, "/moved")),
        ("MOVE to", server.moving("/source", path)),
        ("DELETE", named("DELETE", "")),
        ("TRACE", named("TRACE", "")),
    ]
    .map(|(name, request)| (name.to_owned(), request))
    .into()
}

/// What of an answer tells one place from another, the path itself apart.
fn told(answer: &Answer, path: &str) -> (u16, Option<String>, String) {
    (answer.status, answer.header("allow").map(str::to_owned), answer.text().replace(path, "PATH"))
}

/// The folder that is not there and the one behind a link that is not followed cannot be told apart.
#[test]
fn behind_a_link_is_nothing() {
    for words in [&[][..], &["--follow-symlinks"]] {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir_all(place.path().join("outside/folder/deep")).unwrap();
        fs::write(place.path().join("outside/file"), "secret").unwrap();
        fs::create_dir(place.path().join("share")).unwrap();
        let options = words.iter().fold(Server::builder(), |options, word| options.option(*word));
        let server = options.folder(place.path().join("share")).start();
        symlink("../outside", server.local("x")).unwrap();
        symlink(place.path().join("outside"), server.local("absolute")).unwrap();
        server.write("source", "source");
        for link in ["x", "absolute"] {
            for below in ["file", "folder", "folder/", "folder/deep", "nothing", "file/below"] {
                let (behind, nowhere) = (format!("/{link}/{below}"), format!("/none/{below}"));
                for (one, other) in everything(&server, &behind).into_iter().zip(everything(&server, &nowhere)) {
                    let (name, mine) = (one.0, told(&one.1.send(), &behind));
                    assert_eq!(mine, told(&other.1.send(), &nowhere), "{name} {behind} {words:?}");
                    assert!(mine.0 >= 400 || name == "OPTIONS", "{name} {behind}");
                }
            }
        }
        assert_eq!(fs::read_to_string(place.path().join("outside/file")).unwrap(), "secret");
        assert_eq!(fs::read_dir(place.path().join("outside")).unwrap().count(), 2);
        assert_eq!(server.read("source"), "source");
    }
}

/// What was read before is served from memory only for as long as its path leads to it.
#[test]
fn a_file_in_memory_goes_when_a_link_takes_the_place_of_its_folder() {
    for words in [&[][..], &["--follow-symlinks"]] {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("share")).unwrap();
        let options = words.iter().fold(Server::builder(), |options, word| options.option(*word));
        let server = options.folder(place.path().join("share")).start();
        server.put("/dir/deep/f.txt?mkdirs").body("inside").expect(201);
        for _ in 0..3 {
            server.get("/dir/deep/f.txt").expect_body("inside");
        }
        fs::rename(server.local("dir"), place.path().join("dir")).unwrap();
        symlink("../dir", server.local("dir")).unwrap();
        for target in ["/dir/deep/f.txt", "/dir/deep/f.txt?"] {
            server.get(target).expect(404);
            server.head(target).if_none_match(tag_of("inside")).expect(404);
        }
    }
}

/// The file that is spelt just as it was asked for comes before one that is spelt otherwise, in memory too.
#[test]
fn a_file_in_memory_is_the_one_of_this_spelling() {
    let server = Server::start();
    server.write("caf\u{e9}.txt", "composed");
    for _ in 0..3 {
        server.get("/cafe%CC%81.txt").expect_body("composed");
    }
    server.write("cafe\u{301}.txt", "decomposed");
    server.get("/cafe%CC%81.txt").expect_body("decomposed");
    server.get("/caf%C3%A9.txt").expect_body("composed");
    // The other way of spelling is the one that is on the disk from now on.
    server.moving("/cafe%CC%81.txt", "/other").expect(201);
    server.moving("/cafe%CC%81.txt", "/cafe%CC%81.txt").expect(403);
    server.moving("/caf%C3%A9.txt", "/cafe%CC%81.txt").header("Overwrite", "F").expect(201);
    assert_eq!(server.names(""), ["cafe\u{301}.txt", "other"]);
}

/// A link is read through. Nothing changes it, nor what it leads to, and the answer says why.
#[test]
fn a_link_itself_is_not_changed() {
    let server = Server::with("--follow-symlinks").start();
    server.write("real.txt", "real");
    server.write("folder/f.txt", "f");
    server.write("source", "source");
    symlink("real.txt", server.local("link")).unwrap();
    symlink("folder", server.local("alias")).unwrap();
    symlink("nowhere", server.local("dangling")).unwrap();
    server.get("/link").expect_body("real");
    server.propfind("/alias/", "1").expect(207);
    for link in ["/link", "/alias"] {
        for (name, request) in everything(&server, link) {
            let is_read = ["GET", "GET ?json", "GET ?versions", "HEAD", "OPTIONS", "PROPFIND 0", "PROPFIND 1"];
            if is_read.contains(&name.as_str()) || name == "COPY from" {
                request.expect_any(&[200, 201, 207]);
                let _ = fs::remove_file(server.local("copied"));
                let _ = fs::remove_dir_all(server.local("copied"));
                continue;
            }
            let answer = request.send();
            assert!(answer.status >= 400 || name == "GET ?deleted", "{name} {link}: {answer}");
            if ["DELETE", "MOVE from", "PROPPATCH", "LOCK"].contains(&name.as_str()) {
                assert_eq!(answer.status, 403, "{name} {link}: {answer}");
                assert!(answer.text().contains("symbolic link"), "{name} {link}: {answer}");
            }
        }
    }
    for method in ["DELETE", "PROPFIND", "GET"] {
        server.request(method, "/dangling").expect(404);
    }
    server.mkcol("/dangling").expect(403);
    assert!(["link", "alias", "dangling"].iter().all(|link| server.local(link).is_symlink()));
    assert_eq!((server.read("real.txt"), server.read("folder/f.txt")), ("real".to_owned(), "f".to_owned()));
}

/// What a link leads to is copied: not into itself, nor over itself, nor over the folder that it lies in.
#[test]
fn what_a_link_leads_to_is_not_copied_into_itself() {
    let server = Server::with("--follow-symlinks").start();
    server.write("sub/f.txt", "f");
    server.write("sub/deep/g.txt", "g");
    for (target, link) in [
        ("..", "sub/up"),
        ("../..", "sub/deep/top"),
        ("sub", "here"),
        ("sub/deep", "below"),
        ("sub/f.txt", "file"),
        ("here", "twice"),
    ] {
        symlink(target, server.local(link)).unwrap();
    }
    for (from, to) in [
        ("/sub/up", "/sub/new"),
        ("/sub/up/", "/sub/new/"),
        ("/sub/up", "/new"),
        ("/sub/up", "/sub/up/new"),
        ("/sub/up", "/here/deep/new"),
        ("/sub/deep/top", "/sub/deep/new"),
        ("/sub/deep/top", "/sub"),
        ("/here", "/sub"),
        ("/here", "/sub/new"),
        ("/here", "/sub/deep/new"),
        ("/here", "/sub/up/sub/new"),
        ("/here", "/sub/f.txt"),
        ("/twice", "/sub/new"),
        ("/twice", "/twice/new"),
        ("/below", "/sub"),
        ("/below", "/sub/deep"),
        ("/file", "/sub/f.txt"),
        ("/file", "/sub"),
        ("/file", "/here/f.txt"),
    ] {
        for request in [server.copying(from, to), server.copying(from, to).depth("0"), server.moving(from, to)] {
            let answer = request.expect(403);
            assert_eq!(answer.problem()["type"], "urn:noclobber:problem:within-itself", "{from} to {to}: {answer}");
        }
    }
    assert_eq!(server.names(""), ["below", "file", "here", "sub", "twice"]);
    assert_eq!(server.names("sub"), ["deep", "f.txt", "up"]);
    assert_eq!(server.names("sub/deep"), ["g.txt", "top"]);
    server.copying("/here", "/copy").expect(207);
    server.copying("/below", "/sub/other").expect(207);
    server.copying("/file", "/sub/deep/f.txt").expect(201);
    server.moving("/here/f.txt", "/below/f.txt").expect(204);
}

/// A folder that is mounted at another place too is no second folder.
#[test]
fn what_is_mounted_twice_is_not_copied_into_itself() {
    const TEST: &str = "what_is_mounted_twice_is_not_copied_into_itself";
    let share = tempfile::Builder::new().prefix("noclobber-share-").tempdir().unwrap();
    fs::create_dir_all(share.path().join("a/deep")).unwrap();
    fs::write(share.path().join("a/f.txt"), "f").unwrap();
    fs::create_dir(share.path().join("b")).unwrap();
    let _bound = match Bound::at(&share.path().join("b"), &share.path().join("a")) {
        Ok(bound) => bound,
        Err(why) => return left_out(TEST, &why),
    };
    let server = Server::on(share.path());
    for (from, to) in [
        ("/a", "/b/new"),
        ("/a", "/b/deep/new"),
        ("/b", "/a/new"),
        ("/a/deep", "/b/deep/new"),
        ("/b/deep", "/a/deep"),
        ("/a/deep", "/b/deep"),
        ("/a/f.txt", "/b/f.txt"),
        ("/b/f.txt", "/a/f.txt"),
    ] {
        for request in [server.copying(from, to), server.moving(from, to)] {
            let answer = request.expect(403);
            assert_eq!(answer.problem()["type"], "urn:noclobber:problem:within-itself", "{from} to {to}: {answer}");
        }
    }
    assert_eq!(server.names("a"), ["deep", "f.txt"]);
    assert_eq!(server.read("b/f.txt"), "f");
    server.copying("/a/f.txt", "/b/g.txt").expect(201);
    server.copying("/a/deep", "/b/other").expect(201);
}

/// Behind another program two folders may have one number, since they are of two file systems: they are two all the same.
#[test]
fn folders_that_have_one_number_are_two() {
    const TEST: &str = "folders_that_have_one_number_are_two";
    let tmpfs = || DiskImage::tmpfs("size=16m");
    let (outer, inner) = match (tmpfs(), tmpfs()) {
        (Ok(outer), Ok(inner)) => (outer, inner),
        (Err(why), _) | (_, Err(why)) => return left_out(TEST, &why),
    };
    fs::create_dir(outer.path().join("in")).unwrap();
    let mounted = Bound::at(&outer.path().join("in"), inner.path());
    let (_mounted, behind) = match mounted.and_then(|mounted| Ok((mounted, FuseDisk::bindfs_of(outer.path())?))) {
        Ok(mounted) => mounted,
        Err(why) => return left_out(TEST, &why),
    };
    let number = |path: &Path| fs::metadata(path).unwrap().ino();
    assert_eq!(number(behind.path()), number(&behind.path().join("in")), "what this is about");
    let server = Server::on(behind.path());
    fs::write(inner.path().join("f.txt"), "inner").unwrap();
    server.put("/f.txt").body("outer").expect(201);
    server.copying("/in/f.txt", "/f.txt").expect(204);
    server.copying("/in", "/copy").expect(201);
    assert_eq!((server.read("f.txt"), server.read("copy/f.txt")), ("inner".to_owned(), "inner".to_owned()));
}

/// A folder with two paths has one set of locks, properties, versions and uploads.
#[test]
fn what_is_kept_of_a_file_is_the_same_by_every_link() {
    let server = Server::with("--follow-symlinks").start();
    server.write("dir/f.txt", "one");
    server.write("dir/deep/g.txt", "g");
    server.write("source", "source");
    symlink("dir", server.local("alias")).unwrap();
    symlink("../dir/deep", server.local("dir/again")).unwrap();
    server.note("/alias/f.txt", "<t:a>noted</t:a>");
    assert_eq!(server.properties("/dir/f.txt", "<t:a/>").value("{urn:t}a"), "noted");
    let listed = server.ask("/alias/", "1", "<t:a/>").expect(207).multistatus();
    assert_eq!(listed.of("/alias/f.txt").value("{urn:t}a"), "noted");
    let token = server.locked("/dir/f.txt", "0");
    let deep = server.locked("/alias/deep/", "infinity");
    assert_eq!(server.tokens_on("/alias/f.txt").concat(), token);
    for (path, token) in [("/alias/f.txt", &token), ("/dir/again/g.txt", &deep), ("/alias/again/g.txt", &deep)] {
        server.put(path).body("blind").expect(423);
        server.delete(path).expect(423);
        server.moving(path, "/moved").expect(423);
        server.moving("/source", path).expect(423);
        server.copying("/source", path).expect(423);
        server.lock(path, "exclusive", "0").expect(423);
        server.proppatch(path, "<D:set><D:prop><t:a>2</t:a></D:prop></D:set>").expect(423);
        server.put(path).holding(token).body("two").expect(204);
    }
    server.put("/alias/deep/new").body("x").expect(423);
    server.mkcol("/dir/again/new/").expect(423);
    server.delete("/alias/deep/").expect(423);
    server.put("/source").states(format!("</alias/f.txt> (<{token}>)")).body("named by the other path").expect(204);
    assert_eq!(server.versions("/alias/f.txt").0.len(), server.versions("/dir/f.txt").0.len());
    assert_eq!(server.versions("/dir/f.txt").0.len(), 1);
    server.unlock("/alias/f.txt", &token).expect(204);
    server.put("/dir/f.txt").body("three").expect(204);
    server.delete("/dir/f.txt").expect(204);
    for folder in ["/dir/", "/alias/"] {
        assert!(server.get(format!("{folder}?deleted")).expect(200).text().contains("f.txt"), "{folder}");
    }
}

/// An upload is under way by the one path when somebody saves by the other: it is told.
#[test]
fn an_upload_in_flight_is_told_by_whatever_path_its_target_changes() {
    let server = Server::with("--follow-symlinks").option("--no-watch").start();
    server.write("dir/f.txt", "one");
    symlink("dir", server.local("alias")).unwrap();
    for (mine, other) in [("/alias/f.txt", "/dir/f.txt"), ("/dir/f.txt", "/alias/f.txt")] {
        let tag = server.head(mine).expect(200).tag();
        is_told_of(server.put(mine).if_match(&tag), || {
            server.put(other).body(format!("saved by {other}")).expect(204);
        });
    }
}

/// Begins an upload that does not end, and fails unless it is answered 412 because of this change.
#[track_caller]
fn is_told_of(upload: Request, change: impl FnOnce()) {
    let mut under_way = Connection::open(upload.address()).unwrap();
    under_way.write(upload.header("Content-Length", "10000000").head());
    under_way.write(vec![b'x'; 100_000]);
    assert!(!under_way.is_answered_within(Duration::from_millis(300)), "answered before the change");
    change();
    under_way.answer("PUT").expect(412);
}

/// The same where it is one name in two spellings: in another letter case where the disk makes no difference, and composed or decomposed on
/// every disk. The target is there, or is made meanwhile, or is spelt anew meanwhile.
#[test]
fn an_upload_in_flight_is_told_by_whatever_spelling_its_target_changes() {
    const TEST: &str = "an_upload_in_flight_is_told_by_whatever_spelling_its_target_changes";
    let is_told_in_both = |folder: &Path, spellings: [&str; 2]| {
        let server = Server::with("--no-watch").folder(folder).start();
        let [top, _] = spellings.map(|path| path.rsplit_once('/').unwrap().0);
        server.mkcol(top).expect(201);
        for (mine, other) in [(spellings[0], spellings[1]), (spellings[1], spellings[0])] {
            is_told_of(server.put(mine).if_none_match("*"), || {
                server.put(other).body("made meanwhile").expect(201);
            });
            let tag = server.head(mine).expect(200).tag();
            is_told_of(server.put(mine).if_match(&tag), || {
                server.put(other).body("saved meanwhile").expect(204);
            });
            let tag = server.head(mine).expect(200).tag();
            is_told_of(server.put(other).if_match(&tag), || {
                server.moving(other, mine).expect(201);
                server.put(mine).body("spelt anew and saved").expect(204);
            });
            server.delete(other).expect(204);
        }
    };
    let folder = tempfile::tempdir().unwrap();
    is_told_in_both(folder.path(), ["/d%C3%BC/%C3%A9", "/du%CC%88/e%CC%81"]);
    for disk in disks_that_fold(TEST) {
        is_told_in_both(disk.path(), ["/Docs/Report.txt", "/DOCS/REPORT.TXT"]);
    }
}

/// MOVE and COPY see through a link where the folder would come to.
#[test]
fn a_folder_comes_to_no_place_within_itself_by_a_link() {
    let server = Server::with("--follow-symlinks").start();
    server.write("dir/deep/f.txt", "f");
    symlink("dir", server.local("alias")).unwrap();
    symlink("../dir/deep", server.local("dir/again")).unwrap();
    for to in ["/alias/deep/dir", "/alias/dir", "/dir/again/dir", "/alias/again/new"] {
        for method in ["MOVE", "COPY"] {
            server.request(method, "/dir/").header("Destination", to).expect(403);
        }
    }
    server.moving("/dir/deep/", "/alias/deep/").expect(403);
    assert_eq!(server.read("dir/deep/f.txt"), "f");
}

/// A folder is copied with the files that links lead to. Folders that links lead to are left out, which the answer says.
#[test]
fn a_copy_says_what_it_left_out() {
    let server = Server::with("--follow-symlinks").start();
    server.write("dir/f.txt", "f");
    server.write("other/g.txt", "g");
    symlink("../other", server.local("dir/linked")).unwrap();
    symlink("../other/g.txt", server.local("dir/g.txt")).unwrap();
    symlink("..", server.local("dir/up")).unwrap();
    symlink("nowhere", server.local("dir/dangling")).unwrap();
    let told = server.copying("/dir/", "/copy").expect(207).multistatus();
    let mut left_out = told.hrefs();
    left_out.sort_unstable();
    assert_eq!(left_out, ["/dir/linked/", "/dir/up/"]);
    assert_eq!(server.names("copy"), ["f.txt", "g.txt"]);
    assert!(!server.local("copy/g.txt").is_symlink() && server.read("copy/g.txt") == "g");
    fs::remove_file(server.local("dir/linked")).unwrap();
    fs::remove_file(server.local("dir/up")).unwrap();
    server.copying("/dir/", "/copy").expect(204);
}

/// Whatever leads into noclobber's own folder leads to nothing, and is in no list.
#[test]
fn noclobbers_own_folder_is_reached_by_nothing() {
    let server = Server::with("--follow-symlinks").start();
    server.put("/a").body("one").expect(201);
    server.put("/a").body("two").expect(204);
    server.write("source", "source");
    let (kept, _) = server.kept_files().pop().expect("a version");
    let kept = kept.strip_prefix(server.folder()).unwrap_or(&kept).to_owned();
    let inside = kept.parent().unwrap().to_owned();
    let before = server.kept_files();
    symlink(".noclobber", server.local("n")).unwrap();
    symlink(&inside, server.local("v")).unwrap();
    symlink(&kept, server.local("file")).unwrap();
    symlink("n/history", server.local("twice")).unwrap();
    fs::create_dir(server.local("sub")).unwrap();
    symlink("../.noclobber/history/..", server.local("sub/up")).unwrap();
    let id = kept.file_name().unwrap().to_str().unwrap();
    let below = inside.strip_prefix(".noclobber").unwrap().to_str().unwrap();
    let paths = ["/n", "/n/history", "/v", "/file", "/twice", "/sub/up", "/sub/up/history"].map(str::to_owned);
    let deep = [format!("/n/{below}/{id}"), format!("/v/{id}"), format!("/sub/up/{below}/{id}"), "/v/new".to_owned()];
    for path in paths.iter().chain(&deep) {
        for (name, request) in everything(&server, path) {
            let answer = request.send();
            let is_refused = matches!(answer.status, 403 | 404 | 405 | 409 | 412) || name == "OPTIONS";
            assert!(is_refused, "{name} {path}: {answer}");
            let is_there = ["GET", "GET ?deleted", "PROPFIND 0", "PUT", "DELETE", "MKCOL"].contains(&name.as_str());
            assert!(!is_there || matches!(answer.status, 403..=405), "{name} {path}: {answer}");
        }
    }
    assert_eq!(server.kept_files(), before);
    let listed = server.get("/?json").expect(200).text();
    assert!(
        ["n", "v", "file", "twice"].iter().all(|name| !listed.contains(&format!("\"name\":\"{name}\""))),
        "{listed}"
    );
    assert_eq!(server.propfind("/sub/", "1").expect(207).multistatus().hrefs(), ["/sub/"]);
    server.copying("/sub/", "/copy").expect(201);
    assert_eq!(server.names("copy"), [""; 0]);
    server.versions("/a").expect(["one"]);
}

/// A place where it is mounted once more is noclobber's own folder, too.
#[test]
fn noclobbers_own_folder_is_reached_by_no_mount() {
    const TEST: &str = "noclobbers_own_folder_is_reached_by_no_mount";
    let server = Server::start();
    server.put("/a").body("one").expect(201);
    server.put("/a").body("two").expect(204);
    server.write("source", "source");
    let mut bound = Vec::new();
    for (place, folder) in [("m", ".noclobber"), ("h", ".noclobber/history"), ("sub/m", ".noclobber")] {
        fs::create_dir_all(server.local(place)).unwrap();
        match Bound::at(&server.local(place), &server.local(folder)) {
            Ok(mount) => bound.push(mount),
            Err(why) => return left_out(TEST, &why),
        }
    }
    let before = server.kept_files();
    for path in ["/m", "/m/history", "/m/history/a", "/h", "/h/a", "/sub/m", "/sub/m/history/a", "/h/new"] {
        for (name, request) in everything(&server, path) {
            let answer = request.send();
            let is_refused = matches!(answer.status, 403 | 404 | 405 | 409 | 412) || name == "OPTIONS";
            assert!(is_refused, "{name} {path}: {answer}");
        }
        server.get(path).expect(404);
        server.propfind(path, "1").expect(404);
        server.get(format!("{path}?versions")).expect(404);
    }
    let listed = server.propfind("/", "1").expect(207).multistatus();
    assert!(!listed.hrefs().iter().any(|href| ["/m/", "/h/"].contains(href)), "{:?}", listed.hrefs());
    server.copying("/sub/", "/copy").expect(201);
    assert_eq!(server.names("copy"), [""; 0]);
    drop(bound);
    assert_eq!(server.kept_files(), before);
}

/// Where names that differ in the letters' case are one, everything that is kept of a file is kept once.
#[test]
fn what_is_kept_of_a_file_is_the_same_in_every_case() {
    const TEST: &str = "what_is_kept_of_a_file_is_the_same_in_every_case";
    for disk in disks_that_fold(TEST) {
        let server = Server::on(disk.path());
        server.put("/Docs/Report.txt?mkdirs").body("one").expect(201);
        server.put("/source").body("source").expect(201);
        let token = server.locked("/Docs/Report.txt", "0");
        server.note_with("/DOCS/REPORT.TXT", &token);
        assert_eq!(server.properties("/docs/report.TXT", "<t:a/>").value("{urn:t}a"), "noted");
        assert_eq!(server.tokens_on("/docs/report.txt").concat(), token);
        for path in ["/Docs/Report.txt", "/DOCS/REPORT.TXT", "/docs/report.txt", "/Docs/REPORT.txt"] {
            server.put(path).body("blind").expect(423);
            server.delete(path).expect(423);
            server.moving(path, "/moved").expect(423);
            server.moving("/source", path).expect(423);
            server.copying("/source", path).expect(423);
            server.lock(path, "exclusive", "0").expect(423);
            server.proppatch(path, "<D:set><D:prop><t:a>2</t:a></D:prop></D:set>").expect(423);
        }
        for folder in ["/DOCS/", "/docs/"] {
            server.delete(folder).expect(423);
            server.moving(folder, "/moved").expect(423);
        }
        // The lock on a name that was free, and the guard after a refusal, go by what the disk has made of the name.
        let made = server.locked("/Made.txt", "0");
        server.put("/MADE.TXT").body("blind").expect(423);
        server.delete("/made.txt").expect(423);
        server.unlock("/made.TXT", &made).expect(204);
        server.delete("/Made.TXT").expect(412);
        let tag = server.put("/docs/REPORT.TXT").holding(&token).body("two").expect(204).tag();
        server.get("/Docs/Report.txt").expect_body("two");
        server.put("/Docs/Report.txt").holding(&token).if_match(tag_of("one")).body("stale").expect(412);
        server.put("/source").states(format!("</DOCS/report.txt> ([{tag}])")).body("by the other").expect(204);
        server.unlock("/docs/report.txt", &token).expect(204);
        assert_eq!(kept(&server), ["one", "source"]);
        server.put("/docs/report.txt").if_none_match("*").body("three").expect(412);
        server.mkcol("/DOCS/").expect(405);
        server.copying("/Docs/Report.txt", "/Docs/REPORT.txt").expect(403);
        assert_eq!(server.names("Docs").len(), 1, "{:?}", server.names("Docs"));
        assert_eq!(server.properties("/docs/report.TXT", "<t:a/>").value("{urn:t}a"), "noted");
        is_spelt_anew(&server);
    }
}

/// Composed and decomposed, on every file system: whatever spelling a name has now, and whatever it had when something was displaced, there is
/// one history of it, of files, of folders and of what lies in them.
#[test]
fn a_name_has_one_history_in_all_its_spellings() {
    let test = "a_name_has_one_history_in_all_its_spellings";
    let folder = tempfile::tempdir().unwrap();
    let has_one_history = |server: &Server| {
        has_one_history_in_both_spellings(server, "/%C3%A9", "/e%CC%81");
        has_one_history_in_both_spellings(server, "/e%CC%81o", "/%C3%A9o");
        has_one_history_in_both_spellings(server, "/D%C3%BC/f.txt", "/Du%CC%88/f.txt");
        has_one_history_in_both_spellings(server, "/%C3%A5/u%CC%88/%C3%B6", "/a%CC%8A/%C3%BC/o%CC%88");
    };
    has_one_history(&Server::on(folder.path()));
    for disk in disks_that_fold(test) {
        has_one_history(&Server::on(disk.path()));
    }
}

fn has_one_history_in_both_spellings(server: &Server, one: &str, other: &str) {
    let top_of = |path: &str| path.split('/').nth(1).map(|name| format!("/{name}")).unwrap();
    let both = [one, other];
    let versions = |path: &str| -> Vec<String> {
        let list = server.get(format!("{path}?versions")).expect(200).json();
        list["versions"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    };
    let displaced = |answer: Answer| answer.header("noclobber-displaced").unwrap().to_owned();
    // Displaced by one spelling, with nothing there since.
    server.put(format!("{one}?mkdirs")).body("first").expect(201);
    server.note(one, "<t:a>noted</t:a>");
    let first = displaced(server.delete(other).expect(204));
    for path in both {
        assert_eq!(versions(path), [first.as_str()], "{path}");
        server.get(format!("{path}?version={first}")).expect_body("first");
    }
    // Deleted names are told once, and their links lead to what they say.
    let mut folder = one.rsplit_once('/').unwrap().0.to_owned() + "/";
    let told = |folder: &str| -> Vec<serde_json::Value> {
        let lines = server.get(format!("{folder}?deleted")).expect(200).text();
        let lines = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        // Some disks write small letters for capitals.
        let is_it =
            |href: &str| both.iter().any(|path| href.to_lowercase().starts_with(&format!("{path}?").to_lowercase()));
        lines.filter(|line| line["href"].as_str().is_some_and(is_it)).collect()
    };
    let lines = told(&folder);
    assert_eq!(lines.len(), 1, "{one} in {folder}: {}", server.get(format!("{folder}?deleted")).expect(200).text());
    server.get(lines[0]["href"].as_str().unwrap()).expect_body("first");
    server.post(lines[0]["restore"].as_str().unwrap()).expect(201);
    server.get(one).expect_body("first");
    assert_eq!(server.properties(one, "<t:a/>").value("{urn:t}a"), "noted");
    // Made again by the other spelling, it is there in both.
    let second = displaced(server.delete(one).expect(204));
    server.put(other).body("second").expect(201);
    assert_eq!(told(&folder).len(), 0);
    let third = displaced(server.put(one).body("third").expect(204));
    for path in both {
        assert_eq!(versions(path), [&*third, &*second, &*first], "{path}");
        server.get(format!("{path}?version={third}")).expect_body("second");
    }
    server.post(format!("{one}?restore={first}")).expect(204);
    server.get(other).expect_body("first");
    server.copying(format!("{other}?version={third}"), other).expect(204);
    server.get(one).expect_body("second");
    // It is spelled anew by a MOVE; a folder above it is deleted, and made again.
    let (from, to) = if folder == "/" { (other, one) } else { (one, other) };
    server.moving(top_of(from), top_of(to)).expect(201);
    let so_far = versions(other);
    assert_eq!((versions(one), so_far.len()), (so_far.clone(), 5));
    if folder != "/" {
        let gone = displaced(server.delete(top_of(one)).expect(204));
        server.put(format!("{one}?mkdirs")).body("anew").expect(201);
        assert_eq!((versions(one), versions(other)), (so_far.clone(), so_far.clone()));
        folder = top_of(other);
        assert!(versions(&folder).contains(&gone));
        server.delete(&folder).expect(204);
        server.post(format!("{folder}?restore={gone}")).expect(201);
        server.get(other).expect_body("second");
    }
    // It is displaced by both.
    let all = versions(one).len();
    server.delete(one).expect(204);
    server.put(one).body("by one").expect(201);
    server.delete(other).expect(204);
    server.put(other).body("by the other").expect(201);
    server.delete(other).expect(204);
    assert_eq!((versions(one).len(), versions(other).len()), (all + 3, all + 3));
    if one.matches('/').count() == 1 {
        assert_eq!(told("/").len(), 1, "one name, however many spellings");
    }
}

/// A program writes the name of what is locked, or of a folder above it, in another way that stands for the same: in other letters' case where
/// the disk makes no difference, or composed in another way. The lock holds as before, for others and for its holder, and so does what it pins.
#[test]
fn a_lock_holds_when_a_program_spells_its_name_anew() {
    const TEST: &str = "a_lock_holds_when_a_program_spells_its_name_anew";
    // What is locked, how the part of it is spelt that is renamed, and how it is spelt anew.
    let in_case = [("top/e/b.txt", "top", "TOP"), ("top/e/b.txt", "e", "E"), ("top/e/b.txt", "b.txt", "B.TXT")];
    let composed = [
        ("caf\u{e9}/e/b.txt", "caf\u{e9}", "cafe\u{301}"),
        ("top/caf\u{e9}/b.txt", "caf\u{e9}", "cafe\u{301}"),
        ("top/e/caf\u{e9}", "caf\u{e9}", "cafe\u{301}"),
    ];
    let disks = [(FuseDisk::exfat().map(Some), in_case), (FuseDisk::ntfs_that_folds().map(Some), in_case)];
    for (disk, renames) in disks.into_iter().chain([(Ok(None), composed)]) {
        let disk = match disk {
            Ok(disk) => disk,
            Err(why) => {
                left_out(TEST, &why);
                continue;
            }
        };
        let server = match &disk {
            Some(disk) => Server::on(disk.path()),
            None => Server::start(),
        };
        let url = |path: &str| {
            let names: Vec<_> = path.split('/').map(|name| percent_encode(name.as_bytes())).collect();
            format!("/{}", names.join("/"))
        };
        for (number, (locked, from, to)) in renames.into_iter().enumerate() {
            for deep in [false, true] {
                let top = format!("{number}-{deep}");
                let was = format!("{top}/{locked}");
                let is = was.replacen(&format!("/{from}"), &format!("/{to}"), 1);
                let told = format!("{was} to {is}, deep: {deep}");
                let root = if deep { url(&top) } else { url(&was) };
                server.put(format!("{}?mkdirs", url(&was))).body("first").expect(201);
                let token = server.locked(&root, if deep { "infinity" } else { "0" });
                let holding = |request: Request| request.states(format!("<{root}> (<{token}>)"));
                holding(server.put(url(&was)).body("locked")).expect(204);
                let upto = |path: &str, name: &str| {
                    server.local(&path[..path.find(&format!("/{name}")).unwrap() + 1 + name.len()])
                };
                fs::rename(upto(&was, from), upto(&is, to)).expect(&told);
                for path in [url(&was), url(&is)] {
                    server.put(&path).body("blind").expect(423);
                    server.delete(&path).expect(423);
                    server.moving(&path, "/moved").expect(423);
                    server.lock(&path, "exclusive", "0").expect(423);
                    assert_eq!(server.tokens_on(&path), [&*token], "{told}");
                }
                server.delete(url(&top)).expect(423);
                holding(server.put(url(&is)).body("by its holder")).expect(204);
                server.write(&is, "a local program's");
                holding(server.put(url(&is)).body("mine")).expect(412);
                holding(server.delete(url(&is))).expect(412);
                holding(server.delete(url(&top))).expect(412);
                server.unlock(url(&is), &token).expect(204);
                assert_eq!(server.tokens_on(&url(&is)), [""; 0], "{told}");
                server.delete(url(&top)).expect(204);
            }
        }
    }
}

/// The commit goes by the name on the disk, on every tier, and a MOVE by case alone displaces nothing.
#[test]
fn a_name_is_found_as_it_stands_in_its_folder() {
    let path = |text: &str| SharePath::parse_disk(text.as_bytes()).unwrap();
    for tier in [Tier::A, Tier::B, Tier::C, Tier::D] {
        let sim = SimDisk::new(Features { folds: true, ..Features::of(tier) });
        sim.place("Docs/Report.txt", "one");
        let limits = KeepLimits { age_max: Duration::from_secs(86_400), percent_max: 100 };
        let tree = Tree::on(Arc::new(sim.clone())).keeping(Some(limits));
        for (asked, there) in [
            ("DOCS/REPORT.TXT", "Docs/Report.txt"),
            ("docs", "Docs"),
            ("Docs/Report.txt", "Docs/Report.txt"),
            ("docs/New.txt", "Docs/New.txt"),
            ("None/A", "None/A"),
        ] {
            assert_eq!(*tree.spelled(&path(asked), LastLink::Itself).unwrap(), path(there), "{asked} on tier {tier}");
        }
        assert_eq!(tree.claim(&path("docs/report.TXT")).unwrap().unwrap().site().path, path("Docs/Report.txt"));
        let pair = tree.claim_two(&path("docs/report.txt"), &path("docs/REPORT.txt")).unwrap().unwrap();
        assert!(pair.is_one_name());
        let source = pair.source().look().unwrap();
        let on_mismatches = OnMismatches { source: OnMismatch::Undo, target: OnMismatch::Undo };
        let done = pair.relocate(source, Seen::Nothing, on_mismatches, sim.now()).unwrap();
        assert!(matches!(done, Swap::Done(_)), "on tier {tier}: {done:?}");
        drop((done, pair));
        let everywhere = sim.contents_everywhere().into_iter().filter(|(path, _)| path != ".noclobber/running");
        let is_there = [("Docs/REPORT.txt".to_owned(), b"one".to_vec())];
        assert_eq!(everywhere.collect::<Vec<_>>(), is_there, "on tier {tier}");
    }
}

/// A disk of each kind on which names that differ in the letters' case are one; without those that cannot be had here, which is told.
fn disks_that_fold(test: &'static str) -> impl Iterator<Item = FuseDisk> {
    let disks = [FuseDisk::exfat(), FuseDisk::ntfs_that_folds()].into_iter();
    disks.filter_map(|disk| disk.map_err(|why| left_out(test, &why)).ok())
}

impl Server {
    fn note_with(&self, target: &str, token: &str) {
        let set = "<D:set><D:prop><t:a>noted</t:a></D:prop></D:set>";
        self.proppatch(target, set).expect(423);
        self.proppatch(target, set).holding(token).expect(207);
    }
}

/// MOVE to a name that differs in the letters' case alone: the file is called so from then on, and nothing else has happened.
fn is_spelt_anew(server: &Server) {
    let tag = server.put("/Docs/plain.txt").body("plain").expect(201).tag();
    server.note("/Docs/plain.txt", "<t:a>noted</t:a>");
    let kept_before = kept(server);
    server.moving("/Docs/plain.txt", "/Docs/plain.txt").expect(403);
    server.moving("/Docs/plain.txt", "/Docs/Plain.TXT").header("Overwrite", "F").expect(201);
    server.moving("/docs/PLAIN.txt", "/DOCS/PLAIN.TXT").if_match(&tag).expect(201);
    server.moving("/docs/plain.txt", "/Docs/Plain.txt").if_match(tag_of("other")).expect(412);
    server.get("/Docs/plain.txt").expect_body("plain");
    assert_eq!(server.head("/Docs/Plain.txt").expect(200).tag(), tag);
    assert_eq!(server.properties("/docs/plain.TXT", "<t:a/>").value("{urn:t}a"), "noted");
    assert_eq!(kept(server), kept_before, "nothing was displaced");
    server.moving("/docs/", "/DOCS/").expect(201);
    server.get("/Docs/plain.txt").expect_body("plain");
    server.delete("/Docs/Plain.txt").if_match(&tag).expect(204);
    server.get("/docs/plain.txt").expect(404);
    assert!(kept(server).contains(&"plain".to_owned()));
}

/// A folder is deleted, and a file takes its name at once: what the disk still remembers of the other case makes no error.
#[test]
fn a_name_that_was_something_else_just_now_is_read() {
    const TEST: &str = "a_name_that_was_something_else_just_now_is_read";
    for disk in disks_that_fold(TEST) {
        let server = Server::on(disk.path());
        for name in ["/k", "/Ka", "/K.b"] {
            server.mkcol(name).expect(201);
            server.put(format!("{name}/f")).body("in it").expect(201);
            server.delete(name).expect(204);
            server.put(name).body("a file").expect(201);
            server.get(name).expect_body("a file");
            server.put(name).body("another").expect(204);
            server.delete(name).expect(204);
            server.mkcol(name).expect(201);
            server.get(format!("{name}/")).expect(200);
        }
    }
}

/// Something has just gone from a name. Its other case is as free as it is, for whatever makes something and for whoever reads, although the disk
/// still remembers it.
#[test]
fn a_name_is_free_once_its_other_case_has_gone() {
    const TEST: &str = "a_name_is_free_once_its_other_case_has_gone";
    type Asking = fn(&Server, &str) -> Option<Request>;
    let deeds: [(&str, u16, Asking); 13] = [
        ("GET", 404, |server, name| Some(server.get(name))),
        ("PROPFIND", 404, |server, name| Some(server.propfind(name, "0"))),
        ("DELETE", 404, |server, name| Some(server.delete(name))),
        ("PUT", 201, |server, name| Some(server.put(name).body("new"))),
        ("PUT If-None-Match", 201, |server, name| Some(server.put(name).if_none_match("*").body("new"))),
        ("MKCOL", 201, |server, name| Some(server.mkcol(name))),
        ("LOCK", 201, |server, name| Some(server.lock(name, "exclusive", "0"))),
        ("COPY of a file", 201, |server, name| Some(server.copying("/file", name))),
        ("COPY of a folder", 201, |server, name| Some(server.copying("/folder", name))),
        ("MOVE of a file", 201, |server, name| Some(server.moving("/file", name))),
        ("MOVE of a folder", 201, |server, name| Some(server.moving("/folder", name))),
        ("MOVE Overwrite: F", 201, |server, name| Some(server.moving("/file", name).header("Overwrite", "F"))),
        ("restore", 201, |server, name| {
            let list = server.get(format!("{name}?versions")).send();
            let id = (list.status == 200).then(|| list.json()["versions"][0]["id"].as_str().map(str::to_owned));
            Some(server.post(format!("{name}?restore={}", id??)))
        }),
    ];
    for disk in disks_that_fold(TEST) {
        let server = Server::on(disk.path());
        let mut round = 0;
        for was_folder in [false, true] {
            for is_moved in [true, false] {
                for (deed, status, ask) in deeds {
                    round += 1;
                    let (name, other) = (format!("/st{round}"), format!("/ST{round}"));
                    server.put("/file").body("file").expect_any(&[201, 204]);
                    server.request("MKCOL", "/folder").expect_any(&[201, 405]);
                    if was_folder {
                        server.mkcol(&name).expect(201);
                    } else {
                        server.put(&name).body("old").expect(201);
                        server.put(&other).body("one").expect(204);
                    }
                    server.get(&other).expect(200);
                    match is_moved {
                        true => server.moving(&name, format!("/gone{round}")).expect(201),
                        false => server.delete(&name).expect(204),
                    };
                    let Some(request) = ask(&server, &other) else { continue };
                    let answer = request.send();
                    let story = format!("{deed}, a folder: {was_folder}, moved away: {is_moved}: {answer}");
                    assert_eq!(answer.status, status, "{story}");
                    let is_there = server.names("").iter().any(|name| format!("/{name}").eq_ignore_ascii_case(&other));
                    assert_eq!(is_there, status == 201, "{story}");
                    server.get(&other).expect_any(if is_there { &[200] } else { &[404] });
                }
            }
        }
    }
}

/// The contents of all versions that have any.
fn kept(server: &Server) -> Vec<String> {
    let mut kept: Vec<_> =
        server.kept_files().into_iter().map(|(_, bytes)| String::from_utf8(bytes).expect("a text")).collect();
    kept.retain(|content| !content.is_empty());
    kept.sort_unstable();
    kept
}

/// A write that was answered is there, or in the history, whatever spelling it and the next one came by, and however soon.
#[test]
fn no_write_is_nowhere_where_names_have_two_spellings() {
    const TEST: &str = "no_write_is_nowhere_where_names_have_two_spellings";
    for disk in disks_that_fold(TEST) {
        let server = Server::on(disk.path());
        for round in 0..5 {
            let names = [format!("Doc{round}.txt"), format!("DOC{round}.TXT")];
            let [one, other] = names.clone().map(|name| format!("/{name}"));
            let tag = server.put(&one).body("one").expect(201).tag();
            let second = server.put(&other).if_match(&tag).body("two: Ben's work").expect(204).tag();
            server.get(&one).expect_body("two: Ben's work");
            server.put(&one).if_match(&tag).body("three").expect(412);
            // A program saves by the other spelling, in place and by rename.
            fs::write(server.local(&names[1]), format!("hers, in place, {round}")).unwrap();
            server.put(&one).if_match(&second).body("stale").expect(412);
            server.write("saved", format!("hers, by rename, {round}"));
            fs::rename(server.local("saved"), server.local(&names[1])).unwrap();
            server.put(&one).if_match(&second).body("stale").expect(412);
            server.put(&one).body("last").expect_any(&[201, 204]);
            let kept = kept(&server);
            for owed in ["one".to_owned(), format!("hers, by rename, {round}")] {
                assert!(kept.contains(&owed), "{owed}: {kept:?}");
            }
            server.get(&other).expect_body("last");
        }
    }
}

/// A MOVE to another file system whose source cannot be taken away leaves both ends as they were.
#[test]
fn a_move_off_a_read_only_file_system_leaves_nothing_behind() {
    const TEST: &str = "a_move_off_a_read_only_file_system_leaves_nothing_behind";
    let share = tempfile::Builder::new().prefix("noclobber-share-").tempdir().unwrap();
    let inner = share.path().join("inner");
    fs::create_dir_all(&inner).unwrap();
    let disk = match DiskImage::tmpfs("size=16m") {
        Ok(disk) => disk,
        Err(why) => return left_out(TEST, &why),
    };
    fs::write(disk.path().join("a.txt"), "inner").unwrap();
    let _bound = match Bound::at(&inner, disk.path()) {
        Ok(bound) => bound,
        Err(why) => return left_out(TEST, &why),
    };
    for keeps in [true, false] {
        let options = Server::builder().folder(share.path());
        let server = if keeps { options } else { options.option("--no-history") }.start();
        // A version there, so that its folder in the history is there already.
        server.put("/inner/a.txt").body("inner").expect(204);
        server.write("b.txt", "there");
        disk.remount("ro");
        for condition in [None, Some(tag_of("inner"))] {
            for (to, is_there) in [("/new.txt", false), ("/b.txt", true)] {
                let request = server.moving("/inner/a.txt", to);
                let request = condition.iter().fold(request, |request, tag| request.if_match(tag));
                request.expect(403);
                assert_eq!(server.local(&to[1..]).exists(), is_there, "{to}");
            }
        }
        disk.remount("rw");
        assert_eq!((server.read("b.txt"), server.read("inner/a.txt")), ("there".to_owned(), "inner".to_owned()));
        server.moving("/inner/a.txt", "/new.txt").header("Overwrite", "F").expect(201);
        server.moving("/new.txt", "/inner/a.txt").expect(201);
    }
}

/// What one process serves no other does, nor a part of it, nor what it is a part of.
#[test]
fn one_process_serves_a_folder_and_all_that_is_in_it() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir_all(place.path().join("share/sub/deep")).unwrap();
    fs::create_dir_all(place.path().join("beside")).unwrap();
    let folder = |path: &str| place.path().join(path);
    let is_refused = |path: &Path| {
        let (status, said) = Server::builder().folder(path).start_in_vain();
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains("another process is serving"), "{said}");
    };
    let mut server = Server::on(folder("share/sub"));
    for other in ["share/sub/deep", "share/sub", "share", ""] {
        is_refused(&folder(other));
    }
    let beside = Server::on(folder("beside"));
    server.put("/a").body("a").expect(201);
    beside.put("/a").body("a").expect(201);
    server.stop();
    // What ended keeps nobody off.
    eventually(Duration::from_secs(5), "the lock to go", || Some(Server::on(folder("share"))));
}
