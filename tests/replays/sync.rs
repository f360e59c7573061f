//! rclone, KeePass2Android, Omni, Joplin, npm's `webdav` and Cyberduck: programs that copy, and apps that keep their data in a file.

use super::client::Body::{Chunked, None, Whole};
use super::client::{Client, token_of};
use super::multistatus::Multistatus;
use crate::harness::Server;
use crate::harness::client::tag_of;

const RCLONE: [&str; 2] = ["User-Agent: rclone/v1.60.1-DEV", "Accept-Encoding: gzip"];

/// rclone answers every refused PUT with a DELETE one second later. What is there is not its own, and stays.
#[test]
fn rclone_does_not_delete_what_it_could_not_replace() {
    let server = Server::start();
    server.write("keep.txt", "theirs");
    let mut rclone = Client::new(&server, &RCLONE);
    Multistatus::of(&rclone.bare("PROPFIND /keep.txt", &["Depth: 1"])).only().text("getetag");
    // Whatever the reason of the refusal is.
    let stale = format!("If-Match: {}", tag_of("first"));
    for (fields, body, status) in [
        (vec![stale.as_str()], "mine", 412),
        (vec!["OC-Checksum: SHA1:0000000000000000000000000000000000000000"], "mine", 400),
        (vec!["Content-Range: bytes 100-199/200"], "mine", 400),
        (vec!["Overwrite: F"], "mine", 412),
    ] {
        server.put("/keep.txt").body("theirs").expect(204);
        rclone.send("PUT /keep.txt", &fields, Whole(body)).expect(status);
        rclone.bare("DELETE /keep.txt", &[]).expect(412);
        rclone.bare("DELETE /keep.txt", &["If-Match: *"]).expect(412);
        assert_eq!(server.read("keep.txt"), "theirs");
    }
    // Whoever has looked at it and names it may delete it, and a save that succeeds ends the matter.
    rclone.bare("DELETE /keep.txt", &[&stale]).expect(412);
    rclone.bare("DELETE /keep.txt", &[&format!("If-Match: {}", tag_of("theirs"))]).expect(204);
    rclone.send("PUT /keep.txt", &[], Whole("mine")).expect(201);
    rclone.bare("DELETE /keep.txt", &[]).expect(204);
}

/// A PUT into a locked file is refused, and the DELETE after it as well, also when the lock has ended meanwhile.
#[test]
fn rclone_does_not_delete_what_was_locked() {
    let server = Server::start();
    server.write("keep.txt", "theirs");
    let lockinfo = "<D:lockinfo xmlns:D='DAV:'><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>";
    let token = token_of(&server.request("LOCK", "/keep.txt").header("Depth", "0").body(lockinfo).expect(200));
    let mut rclone = Client::new(&server, &RCLONE);
    rclone.send("PUT /keep.txt", &[], Whole("mine")).expect(423);
    rclone.bare("DELETE /keep.txt", &[]).expect_any(&[412, 423]);
    server.request("UNLOCK", "/keep.txt").header("Lock-Token", format!("<{token}>")).expect(204);
    rclone.bare("DELETE /keep.txt", &[]).expect(412);
    assert_eq!(server.read("keep.txt"), "theirs");
}

/// A copy of a tree: folders on the way, dates and checksums that are kept and told.
#[test]
fn rclone_copies_with_dates_and_checksums() {
    let server = Server::start();
    let mut rclone = Client::new(&server, &RCLONE);
    rclone.bare("PROPFIND /sub/f", &["Depth: 1"]).expect(404);
    rclone.send("PUT /sub/f", &[], Whole("lost")).expect(409);
    rclone.bare("MKCOL /sub/", &[]).expect(201);
    rclone.bare("MKCOL /sub/", &[]).expect(405);
    rclone.bare("MKCOL /not/there/", &[]).expect(409);
    let sha1 = "OC-Checksum: SHA1:aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d";
    let put = rclone.send("PUT /sub/f", &["X-Oc-Mtime: 1580702706", sha1], Whole("hello")).expect(201);
    assert_eq!(put.field("x-oc-mtime"), "accepted");
    let body = "<?xml version=\"1.0\"?>\n<d:propfind  xmlns:d=\"DAV:\" xmlns:oc=\"http://owncloud.org/ns\" xmlns:nc=\"http://nextcloud.org/ns\">\n\
         <d:prop>\n<d:displayname />\n<d:getlastmodified />\n<d:getcontentlength />\n<d:resourcetype />\n<d:getcontenttype />\n\
         <oc:checksums />\n<oc:permissions />\n</d:prop>\n</d:propfind>\n";
    let all = Multistatus::of(&rclone.send("PROPFIND /sub/", &["Depth: 1"], Whole(body)));
    let file = all.told("/sub/f");
    assert_eq!(file.text("getlastmodified"), "Mon, 03 Feb 2020 04:05:06 GMT");
    assert_eq!(file.status("{http://owncloud.org/ns}permissions"), 404);
    let checksums = file
        .property("{http://owncloud.org/ns}checksums")
        .child("{http://owncloud.org/ns}checksum")
        .expect("one in the other");
    assert!(checksums.text.contains("SHA1:aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"), "{checksums:?}");

    let later = "<d:propertyupdate xmlns:d=\"DAV:\"><d:set><d:prop><lastmodified xmlns=\"DAV:\">1580702707</lastmodified></d:prop></d:set></d:propertyupdate>";
    Multistatus::of(&rclone.send("PROPPATCH /sub/f", &[], Whole(later))).only().all(200, 1);
    assert_eq!(rclone.bare("HEAD /sub/f", &[]).expect(200).field("last-modified"), "Mon, 03 Feb 2020 04:05:07 GMT");

    let to = format!("Destination: {}", rclone.url("/sub/g"));
    let copied = rclone.bare("COPY /sub/f", &[&to, "Overwrite: T", "X-OC-Mtime: 1580702706"]).expect(201);
    assert_eq!((copied.content_tag(), copied.field("x-oc-mtime")), (tag_of("hello"), "accepted"));
    rclone.bare("DELETE /sub/", &[]).expect(204);
    assert_eq!(server.names(""), Vec::<String>::new());
}

/// KeePass2Android saves beside, deletes the database, and moves the new one there: what was deleted is kept.
#[test]
fn keepass_saves_by_deleting_and_moving() {
    let server = Server::start();
    server.write("db.kdbx", "old");
    let mut keepass =
        Client::new(&server, &["User-Agent: okhttp/4.12.0", "Connection: Keep-Alive", "Accept-Encoding: gzip"]);
    let body = "<?xml version=\"1.0\" encoding=\"utf-8\"?><d:propfind xmlns:d=\"DAV:\"><d:prop><d:displayname/><d:getlastmodified/><d:getcontentlength/></d:prop></d:propfind>";
    keepass.send("PUT /db.tmp.1a2b.kdbx", &[], Chunked(&["n", "ew"])).expect(201);
    Multistatus::of(&keepass.send("PROPFIND /db.kdbx", &["Depth: 0"], Whole(body))).only();
    keepass.bare("DELETE /db.kdbx", &[]).expect(204);
    let to = format!("Destination: {}", keepass.url("/db.kdbx"));
    keepass.bare("MOVE /db.tmp.1a2b.kdbx", &[&to, "Overwrite: T"]).expect(201);
    assert_eq!(keepass.bare("GET /db.kdbx", &[]).expect_any(&[200]).text(), "new");
    assert_eq!(server.names(""), ["db.kdbx"]);
    server.versions("/db.kdbx").expect(["old"]);
    // A folder is known by its slash alone.
    server.mkcol("/folder").expect(201);
    let all = Multistatus::of(&keepass.send("PROPFIND /", &["Depth: 1"], Whole(body)));
    assert_eq!(all.told("/folder/").status("getcontentlength"), 404);
}

/// Omni's apps name what they mean in every request, other resources included; each condition is judged, to the letter.
#[test]
fn omni_names_versions_everywhere() {
    let server = Server::start();
    let mut omni = Client::new(&server, &["User-Agent: OmniFocus/4.0 Darwin/21.1.0"]);
    for (name, content) in [("a", "one"), ("b", "two"), ("d", "three")] {
        server.write(name, content);
    }
    omni.bare("PROPFIND /d", &["Depth: 0", &format!("If-Match: {}", tag_of("three"))]).expect(207);
    omni.bare("PROPFIND /d", &["Depth: 0", "If-Match: \"other\""]).expect(412);
    omni.bare("GET /d", &["If-Match: \"other\""]).expect(412);
    omni.bare("DELETE /d", &["If-Match: \"old\""]).expect(412);
    server.get("/d").expect_body("three");

    // The destination is named, by its tag, and is another.
    let (to, on) = (format!("Destination: {}", omni.url("/b")), omni.url("/b"));
    let stale = format!("If: <{on}> ([\"stale\"])");
    omni.bare("MOVE /a", &[&to, "Overwrite: T", &stale]).expect(412);
    assert_eq!((server.read("a"), server.read("b")), ("one".to_owned(), "two".to_owned()));
    let fresh = format!("If: <{on}> ([{}])", tag_of("two"));
    let moved = omni.bare("MOVE /a", &[&to, "Overwrite: T", &fresh]).expect(204);
    assert!(moved.header("location").is_none() || moved.field("location").ends_with("/b"));
    server.get("/b").expect_body("one");
    server.versions("/b").expect(["two"]);

    // A third resource has to be there.
    server.mkcol("/src").expect(201);
    let to = format!("Destination: {}", omni.url("/dst"));
    let tag = format!("If: <{}> ([*])", omni.url("/dst/tag"));
    omni.bare("MOVE /src", &[&to, "Overwrite: F", &tag]).expect(412);
    server.write("src/tag", "x");
    let tag = format!("If: <{}> ([*])", omni.url("/src/tag"));
    let moved = omni.bare("MOVE /src", &[&to, "Overwrite: F", &tag]).expect(201);
    assert!(moved.field("location").ends_with("/dst/"), "{moved}");
    omni.bare("MOVE /b", &[&format!("Destination: {}", omni.url("/d")), "Overwrite: F"]).expect(412);
    omni.bare("MOVE /b", &[&format!("Destination: {}", omni.url("/no/where")), "Overwrite: F"]).expect(409);
    assert_eq!(server.names(""), ["b", "d", "dst"]);
}

/// A move onto a file changes the date of the folder it is in: Omni looks at that alone.
#[test]
fn omni_sees_a_replaced_child_by_the_date_of_its_folder() {
    let server = Server::start();
    server.write("in/a", "one");
    server.write("b", "two");
    let before = server.local("in").metadata().unwrap().modified().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    let mut omni = Client::new(&server, &["User-Agent: OmniFocus/4.0 Darwin/21.1.0"]);
    let to = format!("Destination: {}", omni.url("/in/a"));
    omni.bare("MOVE /b", &[&to, "Overwrite: T"]).expect(204);
    assert!(server.local("in").metadata().unwrap().modified().unwrap() > before);
}

/// Joplin sends a tag that is none with everything, so that nothing is answered from a cache.
#[test]
fn joplin_sends_a_tag_that_is_none() {
    let server = Server::start();
    server.write("dir/f", "one");
    let mut joplin = Client::new(&server, &["User-Agent: Joplin/1.0 (linux)", "Cache-Control: no-store"]);
    let body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><d:propfind xmlns:d=\"DAV:\"><d:prop><d:getlastmodified/><d:resourcetype/></d:prop></d:propfind>";
    let all = joplin.send("PROPFIND /dir/", &["Depth: 1", "If-None-Match: JoplinIgnore-4711"], Whole(body));
    assert_eq!(Multistatus::of(&all).hrefs(), ["/dir/", "/dir/f"]);
    joplin.send("PUT /dir/f", &["If-None-Match: JoplinIgnore-99"], Whole("two")).expect(204);
    joplin.send("PUT /dir/g", &["If-None-Match: JoplinIgnore-100"], Whole("new")).expect(201);
    joplin.bare("MKCOL /dir/", &["If-None-Match: JoplinIgnore-101"]).expect(405);
    joplin.bare("MKCOL /no/dir/", &["If-None-Match: JoplinIgnore-102"]).expect(409);
    let to = format!("Destination: {}", joplin.url("/dir/f"));
    joplin.bare("MOVE /dir/g", &[&to, "Overwrite: T", "If-None-Match: JoplinIgnore-103"]).expect(204);
    joplin.bare("DELETE /dir/f", &["If-None-Match: JoplinIgnore-104"]).expect(204);
    server.versions("/dir/f").expect(["new", "two", "one"]);
}

/// npm's `webdav` (and the notes apps built on it): tags without quotes, tokens without brackets, folders without slashes.
#[test]
fn npm_webdav_leaves_out_quotes_brackets_and_slashes() {
    let server = Server::start();
    server.mkcol("/dav").expect(201);
    let mut npm = Client::new(&server, &["Accept: text/plain,application/xml", "User-Agent: node-fetch"]);
    npm.send("PUT /dav/f", &["if-none-match: *"], Whole("one")).expect(201);
    npm.send("PUT /dav/f", &["if-none-match: *"], Whole("two")).expect(412);
    server.get("/dav/f").expect_body("one");
    let all = Multistatus::of(&npm.bare("PROPFIND /dav", &["Depth: 1"]).expect(207));
    assert_eq!(all.hrefs(), ["/dav/", "/dav/f"]);
    let bare = |content: &str| tag_of(content).replace('"', "");
    npm.send("PUT /dav/f", &[&format!("If-Match: {}", bare("other"))], Whole("two")).expect(412);
    npm.send("PUT /dav/f", &[&format!("If-Match: {}", bare("one"))], Whole("two")).expect(204);
    let lockinfo = "<?xml version=\"1.0\" ?><a:lockinfo xmlns:a=\"DAV:\"><a:locktype><a:write></a:write></a:locktype>\
         <a:lockscope><a:exclusive></a:exclusive></a:lockscope></a:lockinfo>";
    let token = token_of(&npm.send("LOCK /dav/f", &["Timeout: Second-600"], Whole(lockinfo)).expect(200));
    npm.bare("UNLOCK /dav/f", &[&format!("Lock-Token: {token}")]).expect(204);
    npm.send("PUT /dav/f", &[], Whole("three")).expect(204);
    // Where a part may be written it writes one.
    let classes = npm.bare("OPTIONS /dav/f", &[]).expect(200).field("dav").to_owned();
    assert!(classes.split(", ").any(|class| class == "sabredav-partialupdate"), "{classes}");
    let part = ["Content-Type: application/x-sabredav-partialupdate", "X-Update-Range: bytes=0-1"];
    npm.send("PATCH /dav/f", &part, Whole("TH")).expect(204);
    server.get("/dav/f").expect_body("THree");
}

/// Cyberduck goes on with an upload by a part of the file. It would become the whole file, so it is refused, and nothing changes.
#[test]
fn cyberduck_does_not_replace_a_file_by_its_tail() {
    let server = Server::start();
    let content = "0123456789".repeat(10);
    server.write("f", &content);
    let mut duck = Client::new(&server, &["User-Agent: Cyberduck/8.7.0 (Linux/6.1)", "Connection: Keep-Alive"]);
    duck.bare("HEAD /", &[]).expect(200);
    duck.send("PUT /f", &["Content-Range: bytes 100-199/200"], Whole(&content)).expect(400);
    duck.bare("DELETE /f", &[]).expect(412);
    assert_eq!(server.read("f"), content);
    // It uploads beside and moves, and notes dates of its own.
    duck.send("PUT /f-1a2b3c.tmp", &[], Whole("new")).expect(201);
    let to = format!("Destination: {}", duck.url("/f"));
    duck.send("MOVE /f-1a2b3c.tmp", &[&to, "Overwrite: T"], None).expect(204);
    let patch = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?><D:propertyupdate xmlns:D=\"DAV:\"><D:set><D:prop>\
         <S:lastmodified xmlns:S=\"SAR:\">Mon, 12 Dec 2011 17:37:10 GMT</S:lastmodified></D:prop></D:set></D:propertyupdate>";
    Multistatus::of(&duck.send("PROPPATCH /f", &[], Whole(patch))).only().all(200, 1);
    let told = Multistatus::of(&duck.bare("PROPFIND /f", &["Depth: 0"]));
    assert_eq!(told.only().text("{SAR:}lastmodified"), "Mon, 12 Dec 2011 17:37:10 GMT");
    server.versions("/f").expect([&content]);
}

/// Phones: ranges with the tag they were begun with, and a listing of everything.
#[test]
fn phones_page_through_files_and_ask_for_everything() {
    let server = Server::start();
    server.write("dir/film.mp4", "0123456789");
    let mut phone = Client::new(&server, &["User-Agent: DAVx5/4.4.4-ose", "Accept-Encoding: identity"]);
    let head = phone.bare("HEAD /dir/film.mp4", &[]).expect(200);
    assert_eq!((head.field("accept-ranges"), head.field("content-length")), ("bytes", "10"));
    let exactly = format!("If-Match: {}", head.tag());
    assert_eq!(phone.bare("GET /dir/film.mp4", &["Range: bytes=0-", &exactly]).expect(206).text(), "0123456789");
    assert_eq!(phone.bare("GET /dir/film.mp4", &["Range: bytes=-3", &exactly]).expect(206).text(), "789");
    phone.bare("GET /dir/film.mp4", &["Range: bytes=10-", &exactly]).expect(416);
    server.write("dir/film.mp4", "another film");
    phone.bare("GET /dir/film.mp4", &["Range: bytes=3-5", &exactly]).expect(412);
    phone.send("PUT /dir/new.jpg", &["If-None-Match: *"], Chunked(&["jpeg"])).expect(201);
    let all = Multistatus::of(&phone.bare("PROPFIND /dir/", &["Depth: infinity"]).expect(207));
    assert_eq!(all.hrefs().len(), 3, "the folder and two files");
    let body = "<propfind xmlns=\"DAV:\"><prop><current-user-privilege-set/><quota-used-bytes/></prop></propfind>";
    let told =
        Multistatus::of(&phone.send("PROPFIND /dir/", &["Depth: 0", "Content-Type: application/xml"], Whole(body)));
    assert!(told.only().property("current-user-privilege-set").children.len() > 1);
}

/// curl announces even three bytes, and backup tools list what is not there.
#[test]
fn curl_and_backups_get_through() {
    let server = Server::start();
    let mut curl = Client::new(&server, &["User-Agent: curl/7.88.1", "Accept: */*"]);
    let put = curl.send("PUT /f", &[], super::client::Body::Expecting("abc")).expect(201);
    assert_eq!(put.interim, [100]);
    curl.bare("PROPFIND /dup", &["Depth: 1"]).expect(404);
    curl.bare("MKCOL /dup/", &[]).expect(201);
    let all = Multistatus::of(&curl.bare("PROPFIND /dup/", &["Depth: 1"]));
    assert_eq!(all.hrefs(), ["/dup/"]);
}
