//! `--base-path`: every URL that is told begins with it, every URL that is read is taken from behind it, and outside of it there is nothing.

use serde_json::Value;

use crate::harness::{Answer, Server};

/// Where the share is: below two folders, one of which has to be encoded.
const BASE: &str = "/files/%C3%BC%20b";

fn server() -> Server {
    Server::with("--base-path").option("/files/ü b").start()
}

/// A target below the base.
fn at(path: &str) -> String {
    format!("{BASE}{path}")
}

/// What stands between these in a text, each time.
fn all_between<'a>(text: &'a str, before: &'a str, after: &'a str) -> Vec<&'a str> {
    text.split(before).skip(1).filter_map(|rest| rest.split(after).next()).collect()
}

fn hrefs(answer: &Answer) -> Vec<String> {
    all_between(&answer.text(), "<D:href>", "</").into_iter().map(str::to_owned).collect()
}

#[test]
fn the_start_tells_the_whole_url() {
    let server = server();
    server.wait_until_it_says(&format!("Listening on http://{}{BASE}/", server.address()));
    server.get(at("/")).expect(200);
}

#[test]
fn what_is_made_is_where_location_says() {
    let server = server();
    for (method, target, location) in [("PUT", "/a.txt", "/a.txt"), ("MKCOL", "/d", "/d/"), ("MKCOL", "/e/", "/e/")] {
        let made = server.request(method, at(target)).body("").expect(201);
        if let Some(told) = made.header("location") {
            assert_eq!(told, at(location), "{method} {target}");
        }
    }
    for (method, to) in [("COPY", "/b.txt"), ("MOVE", "/d/c.txt"), ("COPY", "/b.txt")] {
        server.put(at("/from.txt")).body("x").expect_any(&[201, 204]);
        let moved = server.request(method, at("/from.txt")).header("Destination", at(to)).expect_any(&[201, 204]);
        if moved.status == 201 {
            assert_eq!(moved.field("location"), at(to));
        }
    }
    let moved = server.request("MOVE", at("/d")).header("Destination", at("/moved")).expect(201);
    assert_eq!(moved.field("location"), at("/moved/"));
    let stale = server.put(at("/a.txt")).if_match("\"0\"").body("y");
    let shown = stale.header("Prefer", "return=representation").expect(412);
    assert_eq!(shown.field("content-location"), at("/a.txt"));
    assert_eq!(server.names(""), ["a.txt", "b.txt", "e", "from.txt", "moved"]);
}

#[test]
fn listings_lead_to_what_they_list() {
    let server = server();
    server.write("one/two/a b.txt", "x");
    server.write("one/two/three/deep.txt", "x");
    for (depth, expected) in [("0", &["/one/two/"][..]), ("1", &["/one/two/", "/one/two/a%20b.txt", "/one/two/three/"])]
    {
        let told = server.request("PROPFIND", at("/one/two/")).header("Depth", depth).expect(207);
        let mut told = hrefs(&told);
        told.sort();
        assert_eq!(told, expected.iter().map(|path| at(path)).collect::<Vec<_>>());
    }
    let unslashed = server.request("PROPFIND", at("/one/two")).header("Depth", "0").expect(207);
    assert_eq!(unslashed.field("content-location"), at("/one/two/"));
    for target in ["", "/"] {
        let top = server.request("PROPFIND", at(target)).header("Depth", "1").expect(207);
        let mut told = hrefs(&top);
        told.sort();
        assert_eq!(told, [at("/"), at("/one/")]);
    }

    let json = server.get(at("/one/two/?json")).expect(200).json();
    let entries = json["entries"].as_array().unwrap().iter().map(|entry| entry["href"].as_str().unwrap().to_owned());
    let mut entries: Vec<_> = entries.collect();
    entries.sort();
    assert_eq!(entries, [at("/one/two/a%20b.txt"), at("/one/two/three/")]);

    let page = server.get(at("/one/two/")).header("Accept", "text/html").expect(200).text();
    let links: Vec<_> = all_between(&page, "<a href=\"", "\"");
    let wanted = ["/", "/one/", "/one/", "/one/two/three/", "/one/two/a%20b.txt"].map(at);
    assert_eq!(links[..5], wanted, "{page}");
    assert_eq!(links[5..], ["?json"]);
    for link in wanted {
        server.get(link).expect(200);
    }
}

/// A page links to `?json`, so it is shown where the browser takes that for the folder's: behind a slash.
#[test]
fn a_page_without_a_slash_has_links_that_lead_on() {
    let server = server();
    server.write("d/a.txt", "x");
    for (target, member) in [(BASE.to_owned(), at("/d/")), (at("/d"), at("/d/a.txt"))] {
        let page = server.get(&target).header("Accept", "text/html").send();
        match page.status {
            301 | 302 | 307 | 308 => assert_eq!(page.field("location"), format!("{target}/")),
            200 => assert!(page.text().contains(&format!("href=\"{member}\"")), "{page}"),
            _ => panic!("{page}"),
        }
        server.get(format!("{target}?json")).expect(200);
    }
}

#[test]
fn versions_and_what_was_deleted_are_below_the_base() {
    let server = server();
    for content in ["one", "two", "three", "four"] {
        server.put(at("/d/a.txt?mkdirs")).body(content).expect_any(&[201, 204]);
    }
    let versions = server.get(at("/d/a.txt?versions&limit=1")).expect(200).json();
    let next = versions["next"].as_str().expect("there are more").to_owned();
    assert!(next.starts_with(&at("/d/a.txt?")), "{next}");
    assert_eq!(server.get(next).expect(200).json()["versions"].as_array().map(Vec::len), Some(1));
    let href = versions["versions"][0]["href"].as_str().expect("a URL").to_owned();
    assert!(href.starts_with(&at("/d/a.txt?version=")), "{href}");
    server.get(&href).expect_body("three");
    server.request("COPY", &href).header("Destination", at("/old.txt")).expect(201);

    server.put(at("/d/b.txt")).body("b").expect(201);
    server.delete(at("/d/a.txt")).expect(204);
    server.delete(at("/d/b.txt")).expect(204);
    let first = server.get(at("/d/?deleted&limit=1")).expect(200).text();
    let lines: Vec<Value> = first.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let next = lines.last().and_then(|line| line["next"].as_str()).expect("there are more").to_owned();
    assert!(next.starts_with(&at("/d/?deleted")), "{next}");
    assert!(server.get(next).expect(200).text().contains("b.txt"));
    let restore = lines[0]["restore"].as_str().unwrap_or_else(|| panic!("how to bring it back: {first}"));
    assert!(restore.starts_with(&at("/d/a.txt?restore=")), "{restore}");
    let restored = server.post(restore).expect(201);
    assert_eq!(restored.field("location"), at("/d/a.txt"));
    server.get(at("/d/a.txt")).expect_body("four");
}

const LOCK: &str =
    "<lockinfo xmlns=\"DAV:\"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>";

#[test]
fn locks_and_refusals_name_what_they_mean_below_the_base() {
    let server = server();
    server.put(at("/d/a.txt?mkdirs")).body("x").expect(201);
    let lock = |target: &str| server.request("LOCK", at(target)).header("Content-Type", "application/xml").body(LOCK);
    let locked = lock("/d/a.txt").expect(200);
    assert_eq!(all_between(&locked.text(), "<D:lockroot><D:href>", "<"), [at("/d/a.txt")], "{locked}");
    let token = locked.field("lock-token").to_owned();
    let told = server.request("PROPFIND", at("/d/a.txt")).header("Depth", "0").expect(207);
    assert_eq!(hrefs(&told).last(), Some(&at("/d/a.txt")), "its lock root: {told}");
    let refused = server.put(at("/d/a.txt")).body("y").expect(423);
    assert!(refused.text().contains(&at("/d/a.txt")), "{refused}");
    let around = lock("/d").expect_any(&[207, 423]);
    assert!(around.text().contains(&at("/d/a.txt")) && around.text().contains(&at("/d/")), "{around}");

    // The lists of `If` are taken from behind the base, whatever server they name, and others are elsewhere.
    for (place, status) in [
        (at("/d/a.txt"), 204),
        (format!("https://files.example.org{BASE}/d/a.txt"), 204),
        (BASE.to_lowercase() + "/d/a.txt", 204),
        ("/d/a.txt".to_owned(), 412),
    ] {
        server.put(at("/d/a.txt")).header("If", format!("<{place}> ({token})")).body("y").expect(status);
    }
    server.request("UNLOCK", at("/d/a.txt")).header("Lock-Token", token).expect(204);
    let stale = server.put(at("/d/a.txt")).if_match("\"0\"").body("z").expect(412).problem();
    assert_eq!(stale["resource"], at("/d/a.txt"));
    let patched = server
        .request("PROPPATCH", at("/d"))
        .header("Content-Type", "application/xml")
        .body("<propertyupdate xmlns=\"DAV:\"><set><prop><x xmlns=\"urn:x\">y</x></prop></set></propertyupdate>");
    assert_eq!(hrefs(&patched.expect(207)), [at("/d/")]);
}

#[test]
fn what_is_demanded_is_said_below_the_base() {
    let server = Server::with("--require-preconditions").option("--base-path=/files/ü b").start();
    server.write("a.txt", "a");
    server.write("b.txt", "b");
    let problem = server.put(at("/a.txt")).body("x").expect(428).problem();
    assert_eq!(problem["resource"], at("/a.txt"));
    let tag = server.get(at("/a.txt")).expect(200).tag();
    let copy = server.request("COPY", at("/a.txt")).if_match(tag).header("Destination", at("/b.txt")).expect(428);
    let retry = copy.problem()["retry"].as_str().unwrap().to_owned();
    assert!(retry.contains(&format!("<{}>", at("/b.txt"))), "{retry}");
}

/// Scheme and host may be a proxy's; the path says where it leads.
#[test]
fn destinations_are_below_the_base_or_elsewhere() {
    let server = server();
    for (destination, status) in [
        (at("/b.txt"), 201),
        (format!("https://files.example.org{BASE}/b.txt"), 204),
        (format!("HTTP://files.example.org:8443{}/b.txt", BASE.to_lowercase()), 204),
        ("/b.txt".to_owned(), 502),
        ("https://files.example.org/b.txt".to_owned(), 502),
        (format!("{BASE}b.txt"), 502),
        (format!("/files{BASE}/b.txt"), 502),
        (at("/../b.txt"), 400),
        (at("/.noclobber/b.txt"), 403),
        (BASE.to_owned(), 403),
    ] {
        for method in ["COPY", "MOVE"] {
            server.put(at("/a.txt")).body("a").expect_any(&[201, 204]);
            let answer = server.request(method, at("/a.txt")).header("Destination", &destination).send();
            let wanted = if method == "MOVE" && status == 201 { 204 } else { status };
            assert_eq!(answer.status, wanted, "{method} to {destination}: {answer}");
        }
    }
    assert_eq!(server.names("")[..1], ["a.txt"]);
}

#[test]
fn outside_of_the_base_there_is_nothing() {
    let server = server();
    server.write("a.txt", "x");
    for target in
        ["/", "/files", "/files/", "/a.txt", "/filesystem", "/files/%C3%BC%20bc/a.txt", "/files%2F%C3%BC%20b/a.txt"]
    {
        for method in ["GET", "HEAD", "PUT", "DELETE", "MKCOL", "PROPFIND", "PROPPATCH", "LOCK", "UNLOCK", "POST"] {
            server.request(method, target).expect(404);
        }
        for method in ["COPY", "MOVE"] {
            server.request(method, target).header("Destination", at("/b.txt")).expect(404);
        }
    }
    assert_eq!(server.names(""), ["a.txt"]);
    server.get(at("/a.txt")).expect_body("x");
    server.get(format!("{}/a.txt", BASE.to_lowercase())).expect_body("x");
}

/// Windows asks the top of a server before it asks for the share, and goes no further where nothing is.
#[test]
fn the_folders_above_say_what_server_this_is() {
    let server = server();
    for target in ["/", "/files", "/files/", BASE] {
        assert!(server.options(target).expect(200).field("dav").starts_with("1, 2"), "{target}");
    }
    server.options("/other").expect(404);
}
