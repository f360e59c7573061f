//! Folders: made, listed for people and for programs, and deleted whole. A listing shows what is there and never what is ours.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use crate::harness::client::tag_of;
use crate::harness::{Server, eventually};

/// Folders are made one at a time, and never over something that is there.
#[test]
fn a_folder_is_made() {
    let server = Server::start();
    server.mkcol("/folder").expect(201);
    assert!(server.local("folder").is_dir());
    server.mkcol("/other/").expect(201);
    assert!(server.local("other").is_dir());
    let refused = server.mkcol("/folder").expect(405);
    assert!(refused.header("allow").is_some(), "{refused}");
    server.mkcol("/none/folder").expect(409);
    server.write("a.txt", "x");
    server.mkcol("/a.txt").expect(405);
    server.mkcol("/a.txt/below").expect(409);
    server.mkcol("/").expect(405);
    server.mkcol("/with-body").header("Content-Type", "text/plain").body("x").expect(415);
    assert_eq!(server.names(""), ["a.txt", "folder", "other"]);
}

/// Two hundred clients make the same folder; one of them did.
#[test]
fn a_folder_is_made_once() {
    let server = Server::start();
    let made: usize = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..32).map(|_| scope.spawn(|| server.mkcol("/folder").expect_any(&[201, 405]).status)).collect();
        threads.into_iter().map(|thread| usize::from(thread.join().unwrap() == 201)).sum()
    });
    assert_eq!(made, 1);
}

/// JSON comes to whoever names it in `Accept`, unless he likes HTML better (RFC 9110 §12.5.1).
#[test]
fn a_listing_is_json_where_accept_prefers_it() {
    let server = Server::start();
    for (accept, is_json) in [
        ("application/json", true),
        ("Application/JSON; charset=utf-8", true),
        ("text/html, application/json", true),
        ("text/html;q=0.5, application/json;q=0.8", true),
        ("application/json;q=0.5, text/html", false),
        ("application/json;q=0, */*", false),
        ("application/jsonl", false),
        ("*/*", false),
        ("", false),
        ("application/json;q=x", false),
    ] {
        let answer = server.get("/").header("Accept", accept).expect(200);
        let media_type = if is_json { "application/json" } else { "text/html" };
        assert!(answer.field("content-type").starts_with(media_type), "{accept:?}: {answer}");
    }
}

/// A program asks for the folder and gets its entries, with the validators that it needs to write.
#[test]
fn a_program_lists_a_folder() {
    let server = Server::start();
    server.put("/docs/b.txt?mkdirs").body("hello").expect(201);
    server.write("docs/a b.txt", "x");
    server.mkcol("/docs/folder").expect(201);
    std::os::unix::fs::symlink("b.txt", server.local("docs/link")).unwrap();
    let by_accept = server.get("/docs/").header("Accept", "application/json").expect(200);
    let by_query = server.get("/docs/?json").expect(200);
    assert_eq!(by_accept.json(), by_query.json());
    assert!(by_query.field("content-type").starts_with("application/json"), "{by_query}");
    let listing = by_query.json();
    assert_eq!(listing["path"], "/docs/");
    let entries = listing["entries"].as_array().unwrap();
    let entry = |name: &str| {
        entries.iter().find(|entry| entry["name"] == name).unwrap_or_else(|| panic!("no {name}: {listing}"))
    };
    let file = entry("b.txt");
    assert_eq!((&file["kind"], &file["size"]), (&"file".into(), &5.into()));
    assert_eq!(file["etag"], tag_of("hello"));
    assert_eq!(file["href"], "/docs/b.txt");
    let modified = file["modified"].as_str().expect("a time");
    assert!(modified.starts_with("20") && modified.ends_with('Z') && modified.contains('T'), "{modified}");
    assert_eq!(entry("a b.txt")["href"], "/docs/a%20b.txt");
    assert_eq!(entry("folder")["kind"], "folder");
    assert_eq!(entry("folder")["href"], "/docs/folder/");
    // What cannot be asked for is not listed.
    assert!(!entries.iter().any(|entry| entry["name"] == "link"), "{listing}");
    for entry in entries {
        if entry["kind"] != "other" {
            server.get(entry["href"].as_str().unwrap()).expect(200);
        }
    }
}

/// The tag in a listing is the tag that a write is judged by, even for a file whose bytes nobody has read yet.
#[test]
fn a_tag_from_a_listing_can_be_written_with() {
    let server = Server::start();
    server.write("a.txt", "old");
    std::thread::sleep(Duration::from_millis(50));
    let listing = server.get("/?json").expect(200).json();
    let tag = listing["entries"][0]["etag"].as_str().expect("a tag").to_owned();
    assert!(!tag.starts_with("W/"), "{tag}");
    server.put("/a.txt").if_match("\"other\"").body("new").expect(412);
    server.put("/a.txt").if_match(&tag).body("new").expect(204);
    server.put("/a.txt").if_match(&tag).body("newer").expect(412);
}

/// A person opens the folder in a browser: names that look like markup stay names.
#[test]
fn a_person_lists_a_folder() {
    let server = Server::start();
    let hostile = "<img src=x onerror=alert(1)>.txt";
    server.write(hostile, "x");
    server.write("\"onmouseover=\"alert(1).txt", "x");
    server.write("a&b.txt", "x");
    server.write("javascript:alert(1)", "x");
    server.write("zebra.txt", "x".repeat(2048));
    server.write("line\nbreak", "x");
    server.mkcol("/folder").expect(201);
    let answer = server.get("/").header("Accept", "text/html,*/*").expect(200);
    assert!(answer.field("content-type").to_ascii_lowercase().starts_with("text/html; charset=utf-8"), "{answer}");
    assert!(answer.header("content-security-policy").is_some(), "{answer}");
    assert_eq!(answer.field("x-content-type-options"), "nosniff");
    let page = answer.text();
    assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;.txt"), "{page}");
    assert!(!page.contains("<img src=x"), "{page}");
    assert!(!page.contains("\"onmouseover=\"alert"), "{page}");
    assert!(page.contains("a&amp;b.txt"), "{page}");
    assert!(!page.contains("href=\"javascript:"), "{page}");
    let place = |name: &str| page.find(name).unwrap_or_else(|| panic!("no {name} in {page}"));
    assert!(place("a&amp;b.txt") < place("zebra.txt"), "sorted");
    assert!(
        page.contains("2.0 KiB") || page.contains("2 KiB") || page.contains("2.0 kB") || page.contains("2,048"),
        "{page}"
    );
}

/// A folder without its slash is served as it is, and links in its page lead to the right places all the same.
#[test]
fn a_folder_needs_no_slash() {
    let server = Server::start();
    server.write("docs/a.txt", "x");
    let without = server.get("/docs").expect(200);
    assert_eq!(without.text(), server.get("/docs/").expect(200).text());
    assert!(without.text().contains("/docs/a.txt"), "{}", without.text());
    assert_eq!(server.get("/docs?json").expect(200).json()["path"], "/docs/");
    // A file has no slash.
    server.get("/docs/a.txt/").expect(404);
}

/// HEAD of a folder says what GET says.
#[test]
fn head_of_a_folder() {
    let server = Server::start();
    server.write("a.txt", "x");
    let mut connection = server.connect();
    let head = connection.send(&server.head("/")).expect(200);
    let get = connection.send(&server.get("/")).expect(200);
    assert_eq!(head.field("content-type"), get.field("content-type"));
    connection.send(&server.get("/a.txt")).expect(200);
}

/// What is ours is in no listing, at no depth.
#[test]
fn the_reserved_name_is_never_listed() {
    let server = Server::start();
    server.put("/a.txt").body("one").expect(201);
    server.put("/a.txt").body("two").expect(204);
    assert!(server.local(".noclobber").exists());
    server.write("folder/.noclobber/x", "x");
    server.write("folder/.hidden", "x");
    for target in ["/?json", "/", "/folder/?json", "/folder/"] {
        assert!(!server.get(target).expect(200).text().contains("noclobber/"), "{target}");
        let listing = server.get(target).expect(200).text();
        assert!(!listing.contains(".noclobber"), "{target}: {listing}");
    }
    assert!(server.get("/folder/?json").expect(200).text().contains(".hidden"));
}

/// A folder goes in one step, with all that is in it, and its files are gone too.
#[test]
fn a_folder_is_deleted_whole() {
    let server = Server::start();
    for path in ["folder/a.txt", "folder/deep/b.txt", "folder/deep/deeper/c.txt", "other.txt"] {
        server.write(path, path);
    }
    server.delete("/folder/").expect(204);
    server.get("/folder/").expect(404);
    server.get("/folder/deep/b.txt").expect(404);
    assert_eq!(server.names(""), ["other.txt"]);
    server.delete("/folder/").expect(404);
    server.mkcol("/empty").expect(201);
    server.delete("/empty").expect(204);
}

/// The top of the share cannot be deleted.
#[test]
fn the_share_itself_cannot_be_deleted() {
    let server = Server::start();
    server.write("a.txt", "x");
    server.delete("/").expect(403);
    server.get("/a.txt").expect_body("x");
}

/// A listing keeps up with local programs at the next request.
#[test]
fn a_listing_shows_what_is_there_now() {
    for options in [Server::builder(), Server::with("--no-watch")] {
        let server = options.start();
        for round in 0..20 {
            server.write(format!("{round}.txt"), "x");
            let listing = server.get("/?json").expect(200).json();
            assert_eq!(listing["entries"].as_array().unwrap().len(), round + 1);
        }
        for round in 0..20 {
            fs::remove_file(server.local(format!("{round}.txt"))).unwrap();
            let listing = server.get("/?json").expect(200).json();
            assert_eq!(listing["entries"].as_array().unwrap().len(), 19 - round);
        }
    }
}

/// A client asks for a page and goes away; the server does not go on listing for nobody.
#[test]
fn a_listing_that_nobody_reads_ends() {
    let server = Server::start();
    for number in 0..5000 {
        fs::write(server.local(format!("file-with-a-rather-long-name-{number}.txt")), "").unwrap();
    }
    let before = server.open_files();
    for _ in 0..20 {
        let mut connection = server.connect();
        connection.write(server.get("/?json").head());
        assert!(connection.is_answered_within(Duration::from_secs(20)));
    }
    eventually(Duration::from_secs(10), "its files to be closed", || (server.open_files() <= before + 2).then_some(()));
    let begun = Instant::now();
    assert_eq!(server.get("/?json").expect(200).json()["entries"].as_array().unwrap().len(), 5000);
    assert!(begun.elapsed() < Duration::from_secs(10));
}

/// Names that are not UTF-8 are listed, fetched and deleted like all others.
#[test]
fn names_that_are_not_utf_8_go_around() {
    let server = Server::start();
    let raw: &[u8] = b"caf\xe9 \xff.txt";
    fs::write(server.local(std::ffi::OsStr::from_bytes(raw)), "x").unwrap();
    let listing = server.get("/?json").expect(200).json();
    let href = listing["entries"][0]["href"].as_str().expect("a link").to_owned();
    assert_eq!(href, "/caf%E9%20%FF.txt");
    assert!(server.get("/").expect(200).text().contains(&href));
    server.get(&href).expect_body("x");
    let tag = server.head(&href).expect(200).tag();
    server.delete(&href).if_match("\"other\"").expect(412);
    server.delete(&href).if_match(tag).expect(204);
    assert!(server.names("").is_empty());
}
