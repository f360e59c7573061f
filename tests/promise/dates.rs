//! Clients that go by date alone: a date names a version only where no other can have been told with it, and where that is not certain the
//! date is not believed. Each story has a client that was told a date of one version, while another is there now.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::harness::Server;

const OLD: &str = "1000000100";

const NOTE: &str = "<D:set><D:prop><t:a>noted</t:a></D:prop></D:set>";

/// Until the present second is over: then a date of it is a strong validator.
fn sleep_out_the_second() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    std::thread::sleep(Duration::from_millis(1030 - u64::from(now.subsec_millis())));
}

/// The date that a client is told.
#[track_caller]
fn told(server: &Server, path: &str) -> String {
    server.get(path).expect(200).field("last-modified").to_owned()
}

/// Whoever was told this date has not seen what is there.
#[track_caller]
fn is_stale(server: &Server, path: &str, date: &str) {
    let now = server.get(path).expect(200);
    let refused = server.put(path).header("If-Unmodified-Since", date).body("blind").expect(412);
    assert_eq!(refused.problem()["failed_header"], "If-Unmodified-Since");
    server.delete(path).header("If-Unmodified-Since", date).expect(412);
    server.moving(path, "/away").header("If-Unmodified-Since", date).expect(412);
    server.copying(path, "/away").header("If-Unmodified-Since", date).expect(412);
    server.lock(path, "exclusive", "0").header("If-Unmodified-Since", date).expect(412);
    server.proppatch(path, NOTE).header("If-Unmodified-Since", date).expect(412);
    server.get(path).header("If-Modified-Since", date).expect(200);
    server.head(path).header("If-Modified-Since", date).expect(200);
    server.get(path).range("bytes=0-0").header("If-Range", date).expect(200);
    server.get(path).expect_body(now.text());
}

/// Whoever was told this date has what is there.
#[track_caller]
fn is_current(server: &Server, path: &str, date: &str) {
    server.get(path).header("If-Modified-Since", date).expect(304);
    server.get(path).range("bytes=0-0").header("If-Range", date).expect(206);
    server.put(path).header("If-Unmodified-Since", date).body("seen").expect(204);
}

fn set_date(path: &Path, time: SystemTime) {
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

fn date_of(path: &Path) -> SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

/// The common case: read, think, write, and nobody was there in between. It holds for what was uploaded and for what a program wrote, and
/// again after the server was started anew.
#[test]
fn who_read_the_file_that_is_there_may_write() {
    let mut server = Server::start();
    // Of the second in which it was started an earlier one may have told.
    sleep_out_the_second();
    server.put("/uploaded").body("one").expect(201);
    server.put("/replaced").body("one").expect(201);
    server.put("/replaced").body("two").expect(204);
    server.write("written", "one");
    server.write("d/e/saved.tmp", "one");
    fs::rename(server.local("d/e/saved.tmp"), server.local("d/e/saved")).unwrap();
    server.lock("/locked", "exclusive", "0").expect(201);
    sleep_out_the_second();
    sleep_out_the_second();
    for path in ["/uploaded", "/replaced", "/written", "/d/e/saved"] {
        is_current(&server, path, &told(&server, path));
    }
    sleep_out_the_second();
    sleep_out_the_second();
    for path in ["/uploaded", "/replaced", "/written", "/d/e/saved"] {
        is_current(&server, path, &told(&server, path));
    }
    let date = told(&server, "/locked");
    server.get("/locked").header("If-Modified-Since", &date).expect(304);
    sleep_out_the_second();
    sleep_out_the_second();
    let before = ["/uploaded", "/written"].map(|path| told(&server, path));
    server.stop();
    server.start_again();
    for (path, date) in ["/uploaded", "/written"].into_iter().zip(before) {
        is_current(&server, path, &date);
    }
}

/// Two versions of one second, of which the first was told by a process that has ended since, with what it knew or without.
#[test]
fn what_an_earlier_process_told_is_not_taken_for_what_is_there() {
    for state in [true, false] {
        let options = || if state { Server::builder() } else { Server::with("--no-state").without_state() };
        let mut server = options().start();
        sleep_out_the_second();
        server.write("program", "one");
        server.put("/fourth").body("one").expect(201);
        let dates = ["/program", "/fourth"].map(|path| told(&server, path));
        server.write("program", "two");
        for body in ["two", "three", "four"] {
            server.put("/fourth").body(body).expect(204);
        }
        server.stop();
        server.start_again_with(options());
        sleep_out_the_second();
        sleep_out_the_second();
        for (path, date) in ["/program", "/fourth"].into_iter().zip(&dates) {
            is_stale(&server, path, date);
            is_stale(&server, path, &told(&server, path));
        }
        // The first that a new process makes at a name may have the date of what an earlier one told, and is not named by it.
        server.put("/again").body("one").expect(201);
        let again = told(&server, "/again");
        server.stop();
        server.start_again_with(options());
        server.delete("/again").expect(204);
        server.put("/again").body("two").expect(201);
        sleep_out_the_second();
        sleep_out_the_second();
        is_stale(&server, "/again", &again);
    }
}

/// What a program wrote is named by its date over a restart, if that was found out before.
#[test]
fn what_was_found_out_about_a_date_outlives_the_process() {
    let mut server = Server::start();
    sleep_out_the_second();
    server.write("seen", "one");
    server.write("unseen", "one");
    std::thread::sleep(Duration::from_millis(7100));
    let seen = told(&server, "/seen");
    server.stop();
    server.start_again();
    is_current(&server, "/seen", &seen);
    is_stale(&server, "/unseen", &told(&server, "/unseen"));
}

/// A date is no order: what is older may have come later.
#[test]
fn a_version_with_an_older_date_is_another() {
    let server = Server::start();
    for path in ["/asked", "/moved", "/copied", "/deleted", "/local"] {
        server.put(path).body("one").expect(201);
    }
    server.put("/other").header("X-OC-Mtime", OLD).body("two").expect(201);
    sleep_out_the_second();
    let dates = ["/asked", "/moved", "/copied", "/deleted", "/local"].map(|path| told(&server, path));
    server.put("/asked").header("X-OC-Mtime", OLD).body("two").expect(204);
    server.copying("/other", "/copied").expect(204);
    server.moving("/other", "/moved").expect(204);
    server.delete("/deleted").expect(204);
    server.put("/deleted").header("X-OC-Mtime", OLD).body("two").expect(201);
    let saved = server.write("saved", "two");
    set_date(&saved, SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_100));
    fs::rename(saved, server.local("local")).unwrap();
    sleep_out_the_second();
    for (path, date) in ["/asked", "/moved", "/copied", "/deleted", "/local"].into_iter().zip(dates) {
        is_stale(&server, path, &date);
        // Nor may the date that is shown now be that of another.
        is_stale(&server, path, &told(&server, path));
    }
}

/// A version that is put there with the very date that another was told with, in every way in which a name gets a date.
#[test]
fn a_date_that_comes_back_names_nothing() {
    let server = Server::start();
    let asked = |path: &str, date: &str, body: &str| server.put(path).header("X-OC-Mtime", date).body(body).send();
    let paths = ["/asked", "/deleted", "/copied", "/moved", "/program", "/touched", "/patched", "/folder/moved"];
    server.mkcol("/folder").expect(201);
    for path in paths {
        asked(path, OLD, "one").expect(201);
    }
    let date = told(&server, "/asked");
    asked("/asked", "1000000050", "between").expect(204);
    asked("/asked", OLD, "two").expect(204);
    server.delete("/deleted").expect(204);
    asked("/deleted", OLD, "two").expect(201);
    asked("/source", OLD, "two").expect(201);
    server.delete("/copied").expect(204);
    server.copying("/source", "/copied").expect(201);
    server.delete("/moved").expect(204);
    server.moving("/source", "/moved").expect(201);
    let at = date_of(&server.local("program"));
    let saved = server.write("saved", "two");
    set_date(&saved, at);
    fs::rename(saved, server.local("program")).unwrap();
    server.write("touched", "two");
    set_date(&server.local("touched"), at);
    server.put("/patched").body("two").expect(204);
    for date in ["Sun, 09 Sep 2001 01:00:00 GMT", &date] {
        let set = format!(
            "<D:set><D:prop><Z:Win32LastModifiedTime xmlns:Z=\"urn:schemas-microsoft-com:\">{date}\
             </Z:Win32LastModifiedTime></D:prop></D:set>"
        );
        server.proppatch("/patched", &set).expect(207);
    }
    server.mkcol("/other").expect(201);
    asked("/other/moved", OLD, "two").expect(201);
    server.delete("/folder/").expect(204);
    server.moving("/other/", "/folder/").expect(201);
    for path in paths {
        assert_eq!(told(&server, path), date, "{path}");
        is_stale(&server, path, &date);
    }
}

/// Two versions of one second, of which the first was told.
#[test]
fn versions_of_one_second_are_told_apart() {
    let server = Server::start();
    for at in 0..2 {
        let paths = ["a", "b", "c", "d", "e"].map(|name| format!("/{name}{at}"));
        let [deleted, replaced, written, moved, locked] = &paths;
        server.mkcol("/d").send();
        for path in &paths[..4] {
            server.put(path).body("one").expect(201);
        }
        server.put(format!("{moved}.new")).body("two").expect(201);
        let dates = paths[..4].iter().map(|path| told(&server, path)).collect::<Vec<_>>();
        server.delete(deleted).expect(204);
        server.put(deleted).body("two").expect(201);
        server.put(replaced).body("two").expect(204);
        server.write(&written[1..], "two");
        server.delete(moved).expect(204);
        server.moving(format!("{moved}.new"), moved).expect(201);
        sleep_out_the_second();
        for (path, date) in paths.iter().zip(&dates) {
            is_stale(&server, path, date);
        }
        let token = server.lock(locked, "exclusive", "0").expect(201).token();
        let date = told(&server, locked);
        server.put(locked).holding(&token).body("two").expect(204);
        server.unlock(locked, &token).expect(204);
        sleep_out_the_second();
        is_stale(&server, locked, &date);
    }
}

/// A folder comes with all that is in it, whether a client or a program moves it.
#[test]
fn what_comes_with_a_folder_is_not_what_was_there() {
    let server = Server::start();
    let at = SystemTime::now() - Duration::from_secs(100);
    for folder in ["program", "client"] {
        for (name, content) in [(folder.to_owned(), "one"), (format!("{folder}.new"), "two")] {
            let file = server.write(format!("{name}/sub/a"), content);
            set_date(&file, at);
        }
    }
    // They have to be natural: dated when they came.
    let natural = |folder: &str, content: &str| server.write(format!("{folder}/sub/b"), content);
    for folder in ["program", "client"] {
        natural(folder, "one");
        natural(&format!("{folder}.new"), "two");
        let there = date_of(&server.local(format!("{folder}/sub/b")));
        set_date(&server.local(format!("{folder}.new/sub/b")), there);
    }
    sleep_out_the_second();
    let files = ["program", "client"].map(|folder| [format!("/{folder}/sub/a"), format!("/{folder}/sub/b")]);
    let dates = files.each_ref().map(|both| both.each_ref().map(|path| told(&server, path)));
    fs::rename(server.local("program"), server.local("away")).unwrap();
    fs::rename(server.local("program.new"), server.local("program")).unwrap();
    server.moving("/client.new/", "/client/").expect(204);
    for (paths, dates) in files.iter().zip(&dates) {
        for (path, date) in paths.iter().zip(dates) {
            is_stale(&server, path, date);
        }
    }
    // What is written there later is known again.
    sleep_out_the_second();
    server.put("/client/sub/a").body("three").expect(204);
    sleep_out_the_second();
    is_current(&server, "/client/sub/a", &told(&server, "/client/sub/a"));
}

/// A folder comes back to its own name, where its files had their dates to themselves when it went. Meanwhile another file was told with such a
/// date. Nor does it help that something is made in the folder then, so that it does not look as if it had just come.
#[test]
fn what_comes_back_with_a_folder_is_not_what_was_there_meanwhile() {
    let server = Server::start();
    sleep_out_the_second();
    server.put("/restored/sub/a?mkdirs").body("one").expect(201);
    server.put("/moved/sub/a?mkdirs").body("one").expect(201);
    let dates = ["/restored/sub/a", "/moved/sub/a"].map(|path| told(&server, path));
    sleep_out_the_second();
    let version = server.delete("/restored/").expect(204).field("noclobber-displaced").to_owned();
    server.moving("/moved/", "/away/").expect(201);
    for (path, date) in ["/restored/sub/a", "/moved/sub/a"].into_iter().zip(&dates) {
        let seconds =
            httpdate::parse_http_date(date).unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let asked = server.put(format!("{path}?mkdirs")).header("X-OC-Mtime", seconds.to_string());
        asked.body("between").expect(201);
        assert_eq!(told(&server, path), *date);
    }
    server.delete("/restored/").expect(204);
    server.delete("/moved/").expect(204);
    server.post(format!("/restored/?restore={version}")).expect(201);
    server.moving("/away/", "/moved/").expect(201);
    for made in ["/restored/new", "/restored/sub/new", "/moved/new", "/moved/sub/new"] {
        server.put(made).body("new").expect(201);
    }
    for (path, date) in ["/restored/sub/a", "/moved/sub/a"].into_iter().zip(&dates) {
        server.get(path).expect_body("one");
        assert_eq!(told(&server, path), *date);
        is_stale(&server, path, date);
    }
}

/// `If-Unmodified-Since` is heeded by every method that changes something, with a lock or without, and refuses nobody who has seen what is there.
/// COPY of a version is judged by the version.
#[test]
fn every_change_is_judged_by_its_date() {
    let server = Server::start();
    sleep_out_the_second();
    server.put("/a").body("one").expect(201);
    let stale = told(&server, "/a");
    sleep_out_the_second();
    server.put("/a").body("two").expect(204);
    sleep_out_the_second();
    let current = told(&server, "/a");
    let version = server.versions("/a").0[0].id.clone();
    let token = server.locked("/a", "0");
    let requests = || {
        [
            ("LOCK for more time", server.refresh("/a", &token), 200),
            ("PROPPATCH", server.proppatch("/a", NOTE).holding(&token), 207),
            ("COPY", server.copying("/a", "/copied"), 201),
            ("UNLOCK", server.unlock("/a", &token), 204),
            ("LOCK", server.lock("/a", "shared", "0"), 200),
            ("POST ?restore", server.post(format!("/a?restore={version}")), 204),
        ]
    };
    for (what, request, _) in requests() {
        let held = if what == "POST ?restore" { request.holding(&token) } else { request };
        let refused = held.header("If-Unmodified-Since", &stale).send();
        assert_eq!(refused.status, 412, "{what}: {refused}");
        assert_eq!(refused.problem()["failed_header"], "If-Unmodified-Since", "{what}");
    }
    server.put("/a").holding(&token).header("If-Unmodified-Since", &stale).body("blind").expect(412);
    server.delete("/a").holding(&token).header("If-Unmodified-Since", &stale).expect(412);
    server.moving("/a", "/moved").holding(&token).header("If-Unmodified-Since", &stale).expect(412);
    server.copying(format!("/a?version={version}"), "/copied").header("If-Unmodified-Since", &current).expect(412);
    server.get("/a").expect_body("two");
    assert_eq!(server.tokens_on("/a"), [&*token]);
    assert_eq!(server.names(""), ["a"]);
    for (what, request, done) in requests() {
        // The shared lock is another's to the last of them.
        let mine = server.tokens_on("/a").first().filter(|_| what == "POST ?restore").cloned();
        let request = mine.into_iter().fold(request, |request, token| request.holding(&token));
        let answer = request.header("If-Unmodified-Since", &current).send();
        assert_eq!(answer.status, done, "{what}: {answer}");
    }
    server.get("/a").expect_body("one");
}

/// A date ahead of the clock names no version, and one that is no date is not a reason to write.
#[test]
fn what_is_no_date_of_a_version_lets_nothing_through() {
    let server = Server::with("--require-preconditions").start();
    server.write("a", "one");
    for date in ["Fri, 31 Dec 9999 23:59:59 GMT", "Tue, 19 Jan 2038 03:14:07 GMT"] {
        server.put("/a").header("If-Unmodified-Since", date).body("blind").expect(412);
        server.put("/new").header("If-Unmodified-Since", date).body("blind").expect(428);
    }
    let shown = told(&server, "/a");
    let wrong_day = format!("{}{}", if shown.starts_with("Mon") { "Tue" } else { "Mon" }, &shown[3..]);
    let offset = shown.replace("GMT", "+0000");
    for date in ["yesterday", "", &wrong_day, &offset, &format!("{shown}, {shown}")] {
        for path in ["/a", "/new"] {
            server.put(path).header("If-Unmodified-Since", date).body("blind").expect(412);
        }
        server.delete("/a").header("If-Unmodified-Since", date).expect(412);
        server.moving("/a", "/b").header("If-Unmodified-Since", date).expect(412);
        server.get("/a").header("If-Unmodified-Since", date).expect(200);
        server.get("/a").header("If-Modified-Since", date).expect(200);
    }
    let twice = server.put("/a").header("If-Unmodified-Since", &shown).header("If-Unmodified-Since", &shown);
    twice.body("blind").expect(412);
    server.get("/a").expect_body("one");
}

/// A later date than that of the file lets a read through if nothing is known to have come since. It says nothing of what its client has read:
/// what is there may have come with another file system, from a snapshot, or while the clock went back. So it lets no change through.
#[test]
fn a_later_date_lets_no_change_through() {
    let server = Server::start();
    for name in ["a", "b", "c"] {
        server.write(name, "one");
    }
    server.put("/d").body("one").expect(201);
    std::thread::sleep(Duration::from_millis(3100));
    let read_at = server.get("/a").expect(200).field("date").to_owned();
    sleep_out_the_second();
    let saved = server.write("b.tmp", "two");
    set_date(&saved, date_of(&server.local("b")));
    fs::rename(saved, server.local("b")).unwrap();
    server.put("/c").header("X-OC-Mtime", OLD).body("two").expect(204);
    server.get("/a").header("If-Unmodified-Since", &read_at).expect(200);
    for path in ["/b", "/c"] {
        server.get(path).header("If-Unmodified-Since", &read_at).expect(412);
    }
    for path in ["/a", "/b", "/c", "/d"] {
        server.put(path).header("If-Unmodified-Since", &read_at).body("blind").expect(412);
        server.delete(path).header("If-Unmodified-Since", &read_at).expect(412);
    }
}

/// Clients ask for dates that nobody can have meant.
#[test]
fn a_date_far_ahead_is_not_taken_and_not_passed_on() {
    let server = Server::start();
    let day = 24 * 60 * 60;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    for seconds in [9_000_000_000, now + day + 60] {
        let put = server.put("/far").header("X-OC-Mtime", seconds.to_string()).body("x").send();
        assert_eq!(put.header("x-oc-mtime"), None, "{put}");
        assert!(date_of(&server.local("far")) <= SystemTime::now() + Duration::from_secs(2));
        let copied = server.copying("/far", "/copy").header("X-OC-Mtime", seconds.to_string()).send();
        assert_eq!(copied.header("x-oc-mtime"), None, "{copied}");
    }
    let near = server.put("/near").header("X-OC-Mtime", (now + 3600).to_string()).body("x").expect(201);
    assert_eq!(near.field("x-oc-mtime"), "accepted");
    let local = server.write("local", "x");
    set_date(&local, SystemTime::now() + Duration::from_secs(9_000_000));
    for path in ["near", "local"] {
        server.put(format!("/{path}")).body("y").expect(204);
        assert!(date_of(&server.local(path)) <= SystemTime::now() + Duration::from_secs(2), "{path}");
        sleep_out_the_second();
        sleep_out_the_second();
        is_current(&server, &format!("/{path}"), &told(&server, &format!("/{path}")));
    }
}

/// `Date` runs forwards, and nothing is modified after it (RFC 9110 §8.8.2.1), on whatever way the answer came.
#[test]
fn nothing_is_modified_after_the_date_of_the_answer() {
    let server = Server::start();
    server.mkcol("/d").expect(201);
    server.write("d/ahead", "x");
    set_date(&server.local("d/ahead"), SystemTime::now() + Duration::from_secs(5000));
    let mut connection = server.connect();
    let seconds = |text: &str| httpdate::parse_http_date(text).unwrap();
    let mut last = SystemTime::UNIX_EPOCH;
    let begun = SystemTime::now();
    while begun.elapsed().unwrap() < Duration::from_millis(2500) {
        for request in [
            server.put("/d/a").body("x"),
            server.get("/d/a"),
            server.get("/d/a"),
            server.get("/d/ahead"),
            server.get("/d/a").range("bytes=0-0"),
            server.put("/d/a").if_match("\"x\"").body("y"),
            server.get("/nothing"),
            server.propfind("/d/", "1"),
        ] {
            let answer = connection.send(&request);
            let date = seconds(answer.field("date"));
            assert!(date >= last, "{answer}");
            last = date;
            if let Some(modified) = answer.header("last-modified") {
                assert!(seconds(modified) <= date, "{answer}");
            }
            if answer.status == 207 {
                for href in ["/d/a", "/d/ahead"] {
                    let modified = answer.multistatus().of(href).value("D:getlastmodified");
                    assert!(seconds(&modified) <= date, "{modified} after {answer}");
                }
            }
        }
    }
    sleep_out_the_second();
    sleep_out_the_second();
    let shown = server.properties("/d/a", "<D:getlastmodified/>").value("D:getlastmodified");
    assert_eq!(shown, told(&server, "/d/a"));
}

/// Files may be older than the epoch.
#[test]
fn dates_of_before_the_epoch_are_told_as_they_are() {
    let server = Server::start();
    let put = server.put("/a").header("X-OC-Mtime", "-86400").body("x").expect(201);
    assert_eq!(put.field("x-oc-mtime"), "accepted");
    assert_eq!(put.field("last-modified"), "Wed, 31 Dec 1969 00:00:00 GMT");
    assert_eq!(told(&server, "/a"), "Wed, 31 Dec 1969 00:00:00 GMT");
    let shown = server.properties("/a", "<D:getlastmodified/><D:lastmodified/>");
    assert_eq!(shown.value("D:getlastmodified"), "Wed, 31 Dec 1969 00:00:00 GMT");
    assert_eq!(shown.value("D:lastmodified"), "-86400");
    let none = server.put("/b").header("X-OC-Mtime", "-99999999999").body("x").expect(201);
    assert_eq!(none.header("x-oc-mtime"), None);
    let windows = |date: &str| {
        format!(
            "<D:set><D:prop><Z:Win32LastModifiedTime xmlns:Z=\"urn:schemas-microsoft-com:\">{date}\
             </Z:Win32LastModifiedTime><t:note xmlns:t=\"urn:t\">1</t:note></D:prop></D:set>"
        )
    };
    let set = |instructions: &str| {
        let answer = server.proppatch("/a", instructions).expect(207);
        assert!(!answer.text().contains("409"), "{answer}");
        told(&server, "/a")
    };
    assert_eq!(set(&windows("Tue, 30 Dec 1969 00:00:00 GMT")), "Tue, 30 Dec 1969 00:00:00 GMT");
    for unkept in ["Mon, 01 Jan 1601 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT"] {
        assert_eq!(set(&windows(unkept)), "Tue, 30 Dec 1969 00:00:00 GMT", "what cannot be kept is left out");
    }
    let plain = |date: &str| format!("<D:set><D:prop><D:lastmodified>{date}</D:lastmodified></D:prop></D:set>");
    assert_eq!(set(&plain("Sun, 06 Nov 1994 08:49:37 GMT")), "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(set(&plain("-86400")), "Wed, 31 Dec 1969 00:00:00 GMT");
}

/// A folder has no date that tells its states apart.
#[test]
fn no_date_names_a_state_of_a_folder() {
    let server = Server::start();
    server.write("d/a", "x");
    let date = server.properties("/d/", "<D:getlastmodified/>").value("D:getlastmodified");
    server.delete("/d/").header("If-Unmodified-Since", &date).expect(412);
    server.moving("/d/", "/e/").header("If-Unmodified-Since", &date).expect(412);
    server.get("/d/").header("If-Modified-Since", &date).expect(200);
}
