//! The Mini-Redirector of Windows: Explorer, and every program on a mapped drive. It names no version ever; its locks are all it has.

use super::client::Body::{None, Whole};
use super::client::{Client, token_of};
use super::multistatus::{Lock, Multistatus, count};
use crate::harness::client::tag_of;
use crate::harness::{Answer, Server};

const LOCKINFO: &str = "<?xml version=\"1.0\" encoding=\"utf-8\" ?><D:lockinfo xmlns:D=\"DAV:\"><D:lockscope><D:exclusive/></D:lockscope>\
     <D:locktype><D:write/></D:locktype><D:owner><D:href>PC\\user</D:href></D:owner></D:lockinfo>";

const ALL_FOUR: &str = "<?xml version=\"1.0\" encoding=\"utf-8\" ?><D:propertyupdate xmlns:D=\"DAV:\" xmlns:Z=\"urn:schemas-microsoft-com:\">\
     <D:set><D:prop><Z:Win32CreationTime>Mon, 12 Dec 2011 17:37:08 GMT</Z:Win32CreationTime>\
     <Z:Win32LastAccessTime>Mon, 12 Dec 2011 17:37:08 GMT</Z:Win32LastAccessTime>\
     <Z:Win32LastModifiedTime>Mon, 12 Dec 2011 17:37:08 GMT</Z:Win32LastModifiedTime>\
     <Z:Win32FileAttributes>00000000</Z:Win32FileAttributes></D:prop></D:set></D:propertyupdate>";

const LAST_TWO: &str = "<?xml version=\"1.0\" encoding=\"utf-8\" ?><D:propertyupdate xmlns:D=\"DAV:\" xmlns:Z=\"urn:schemas-microsoft-com:\">\
     <D:set><D:prop><Z:Win32LastModifiedTime>Mon, 12 Dec 2011 17:37:10 GMT</Z:Win32LastModifiedTime>\
     <Z:Win32FileAttributes>00000020</Z:Win32FileAttributes></D:prop></D:set></D:propertyupdate>";

const XML: &str = "Content-Type: text/xml; charset=\"utf-8\"";
const QUIET: [&str; 2] = ["Cache-Control: no-cache", "Pragma: no-cache"];

fn windows(server: &Server) -> Client<'_> {
    let always = ["Connection: Keep-Alive", "User-Agent: Microsoft-WebDAV-MiniRedir/10.0.19045", "translate: f"];
    Client::new(server, &always)
}

impl Client<'_> {
    #[track_caller]
    fn look(&mut self, target: &str, depth: &str) -> Answer {
        let depth = format!("Depth: {depth}");
        self.send(&format!("PROPFIND {target}"), &[QUIET[0], QUIET[1], &depth], Whole(""))
    }

    #[track_caller]
    fn lock_as_windows(&mut self, target: &str) -> String {
        let fields = [QUIET[0], QUIET[1], XML, "Timeout: Second-3600"];
        let answer = self.send(&format!("LOCK {target}"), &fields, Whole(LOCKINFO)).expect(200);
        let lock = Lock::of(&answer);
        assert_eq!((lock.scope.as_str(), lock.depth.as_str()), ("exclusive", "infinity"), "no Depth is infinity");
        assert!((1700..=1800).contains(&lock.seconds), "{lock:?}");
        assert_eq!(lock.owner.at("href").text, "PC\\user");
        token_of(&answer)
    }

    #[track_caller]
    fn patch(&mut self, target: &str, fields: &[&str], body: &str, properties: usize) {
        let fields: Vec<&str> = [XML].iter().chain(fields).copied().collect();
        let answer = self.send(&format!("PROPPATCH {target}"), &fields, Whole(body));
        // 200 and 204 are shown to the user as a full disk.
        Multistatus::of(&answer).only().all(200, properties);
    }
}

/// A drive is mapped: OPTIONS at the root whatever was typed, then PROPFIND without a slash, which must not be redirected.
#[test]
fn windows_maps_a_drive_and_browses_it() {
    let server = Server::start();
    server.write("share/a report.txt", "text");
    server.write("share/docs/b.txt", "");
    let mut windows = windows(&server);
    for path in ["/", "/share", "/share/docs/b.txt", "/not/there"] {
        let answer = windows.bare(&format!("OPTIONS {path}"), &[]).expect(200);
        let classes: Vec<&str> = answer.field("dav").split(',').map(str::trim).collect();
        assert!(classes.contains(&"1") && classes.contains(&"2"), "{answer}");
        assert_eq!(answer.field("ms-author-via"), "DAV");
        assert!(answer.body.is_empty());
    }
    let allowed = windows.bare("OPTIONS /share", &[]).expect(200);
    for method in ["OPTIONS", "GET", "HEAD", "DELETE", "PROPFIND", "PROPPATCH", "COPY", "MOVE", "LOCK", "UNLOCK"] {
        assert!(allowed.field("allow").split(", ").any(|allowed| allowed == method), "{method}: {allowed}");
    }

    let itself = Multistatus::of(&windows.look("/share", "0"));
    assert_eq!(itself.hrefs(), ["/share/"]);
    assert!(itself.only().is_collection());

    let all = Multistatus::of(&windows.look("/share", "1"));
    assert_eq!(all.hrefs()[0], "/share/", "the folder itself comes first");
    let file = all.told("/share/a%20report.txt");
    assert!(!file.is_collection());
    assert_eq!(file.text("displayname"), "a report.txt", "it is what Windows shows");
    assert_eq!(file.text("getcontentlength"), "4");
    assert_eq!(file.text("getetag"), server.head("/share/a%20report.txt").expect(200).tag());
    httpdate::parse_http_date(file.text("getlastmodified")).expect("a date");
    assert!(all.told("/share/docs/").is_collection());
    for told in &all.0 {
        assert!(told.properties.iter().all(|(status, _)| *status == 200), "allprop misses nothing: {told:?}");
    }

    for name in ["desktop.ini", "folder.jpg", "folder.gif", "Thumbs.db", "autorun.inf"] {
        let answer = windows.look(&format!("/share/{name}"), "0").expect(404);
        assert_eq!(answer.field("cache-control"), "no-store", "what comes later is seen at once");
    }
}

/// The answer for a whole folder may not be larger than a million bytes, so entries have to be short.
#[test]
fn windows_is_told_of_a_file_in_450_bytes() {
    let server = Server::start();
    for number in 0..100 {
        server.write(format!("share/report-{number:03}.txt"), "text");
    }
    let mut windows = windows(&server);
    let answer = windows.look("/share", "1");
    let told = Multistatus::of(&answer);
    assert_eq!(told.0.len(), 101);
    told.0.iter().for_each(|one| {
        let of_all = ["resourcetype", "displayname", "creationdate", "getlastmodified"];
        assert!(of_all.iter().all(|name| !one.property(name).name.is_empty()));
    });
    let each = answer.body.len() / 101;
    assert!(each <= 450, "{each} bytes an entry: {answer}");
}

/// Explorer copies a file in: an empty PUT, a lock, the dates, the content, the dates again.
#[test]
fn windows_copies_a_file_in() {
    for (with_token, brackets) in [(true, true), (false, false)] {
        let server = Server::start();
        server.mkcol("/share").expect(201);
        let mut windows = windows(&server);
        windows.look("/share/test1.txt", "0").expect(404);
        let empty = windows.send("PUT /share/test1.txt", &[], Whole("")).expect(201);
        assert_eq!(empty.content_tag(), tag_of(""));
        let token = windows.lock_as_windows("/share/test1.txt");
        let with = format!("If: (<{token}>)");
        // Sometimes it forgets the token, and gives up if it is then refused.
        let fields: &[&str] = if with_token { &[&with] } else { &[] };
        windows.patch("/share/test1.txt", fields, ALL_FOUR, 4);
        let head = windows.bare("HEAD /share/test1.txt", &[]).expect(200);
        assert_eq!(head.field("content-length"), "0");
        assert_eq!(head.tag(), tag_of(""), "dates make no other version");
        let put = windows.send("PUT /share/test1.txt", &[&with], Whole("text")).expect(204);
        assert_eq!(put.content_tag(), tag_of("text"));
        windows.patch("/share/test1.txt", fields, LAST_TWO, 2);
        let mark = if brackets { format!("Lock-Token: <{token}>") } else { format!("Lock-Token: {token}") };
        windows.send("UNLOCK /share/test1.txt", &[&mark], Whole("")).expect(204);

        assert_eq!(server.read("share/test1.txt"), "text");
        let read = windows.bare("GET /share/test1.txt", &[]).expect_any(&[200]);
        assert_eq!(read.tag(), put.tag());
        assert_eq!(read.field("last-modified"), "Mon, 12 Dec 2011 17:37:10 GMT", "the date it asked for");
        let told = Multistatus::of(&windows.look("/share/test1.txt", "0"));
        let told = told.only();
        assert_eq!(told.text("{urn:schemas-microsoft-com:}Win32FileAttributes"), "00000020");
        assert_eq!(told.text("{urn:schemas-microsoft-com:}Win32CreationTime"), "Mon, 12 Dec 2011 17:37:08 GMT");
        assert_eq!(told.text("getlastmodified"), "Mon, 12 Dec 2011 17:37:10 GMT");
    }
}

/// The dates of a file that somebody else has locked can be set, and nothing else.
#[test]
fn windows_sets_dates_despite_a_lock_but_no_other_property() {
    let server = Server::start();
    server.write("a.txt", "text");
    let mut windows = windows(&server);
    let token = windows.lock_as_windows("/a.txt");
    windows.patch("/a.txt", &[], ALL_FOUR, 4);
    let other = ALL_FOUR.replace("urn:schemas-microsoft-com:", "urn:example");
    windows.send("PROPPATCH /a.txt", &[XML], Whole(&other)).expect(423);
    let with = format!("If: (<{token}>)");
    windows.patch("/a.txt", &[&with], &other, 4);
    // The lock still names the version: that was no other content.
    windows.send("PUT /a.txt", &[&with], Whole("new")).expect(204);
}

/// Somebody else saves between the lock and the PUT: Windows is refused, and so is the DELETE that it sends then.
#[test]
fn windows_with_a_stale_lock_neither_overwrites_nor_deletes() {
    for in_place in [true, false] {
        let server = Server::start();
        server.write("share/test1.txt", "first");
        let mut windows = windows(&server);
        let token = windows.lock_as_windows("/share/test1.txt");
        let with = format!("If: (<{token}>)");
        if in_place {
            server.write("share/test1.txt", "theirs");
        } else {
            let beside = server.write("beside", "theirs");
            std::fs::rename(beside, server.local("share/test1.txt")).unwrap();
        }
        let refused = windows.send("PUT /share/test1.txt", &[&with], Whole("mine")).expect(412);
        assert_eq!(refused.tag(), server.get("/share/test1.txt").expect_body("theirs").tag(), "what is there now");
        windows.send("DELETE /share/test1.txt", &[&with], Whole("")).expect(412);
        windows.bare("DELETE /share/test1.txt", &[]).expect_any(&[412, 423]);
        let move_away = format!("Destination: {}", windows.url("/share/test2.txt"));
        windows.bare("MOVE /share/test1.txt", &[&with, &move_away, "Overwrite: F"]).expect(412);
        windows.send("UNLOCK /share/test1.txt", &[&format!("Lock-Token: <{token}>")], Whole("")).expect(204);
        windows.bare("DELETE /share/test1.txt", &[]).expect(412);
        assert_eq!(server.read("share/test1.txt"), "theirs");
        assert_eq!(server.names("share"), ["test1.txt"]);
    }
}

/// A copy-in that was begun is refused half way: what another put there in the meantime stays, although Windows made the file itself.
#[test]
fn windows_does_not_delete_what_came_in_place_of_its_empty_file() {
    let server = Server::start();
    let mut windows = windows(&server);
    windows.send("PUT /a.txt", &[], Whole("")).expect(201);
    let token = windows.lock_as_windows("/a.txt");
    let with = format!("If: (<{token}>)");
    windows.patch("/a.txt", &[&with], ALL_FOUR, 4);
    server.write("a.txt", "theirs");
    windows.send("PUT /a.txt", &[&with], Whole("mine")).expect(412);
    windows.bare("DELETE /a.txt", &[&with]).expect(412);
    assert_eq!(server.read("a.txt"), "theirs");
}

/// The lock ran out or was broken, and another client saved: the token names a lock that is no more.
#[test]
fn windows_whose_lock_is_gone_is_refused() {
    let server = Server::start();
    server.write("a.txt", "first");
    let mut windows = windows(&server);
    let token = windows.lock_as_windows("/a.txt");
    server.put("/a.txt").body("theirs").expect(423);
    server.put("/a.txt").if_match(tag_of("first")).body("theirs").expect(423);
    server.request("UNLOCK", "/a.txt").header("Lock-Token", format!("<{token}>")).expect(204);
    server.put("/a.txt").if_match(tag_of("first")).body("theirs").expect(204);
    let with = format!("If: (<{token}>)");
    windows.send("PUT /a.txt", &[&with], Whole("mine")).expect(412);
    windows.bare("DELETE /a.txt", &[&with]).expect(412);
    windows.bare("DELETE /a.txt", &[]).expect(412);
    assert_eq!(server.read("a.txt"), "theirs");
}

/// `New folder` is made and then called what it is to be called, with and without slashes.
#[test]
fn windows_makes_a_folder_and_names_it() {
    let server = Server::start();
    server.mkcol("/share").expect(201);
    let mut windows = windows(&server);
    windows.look("/share/New%20folder", "0").expect(404);
    windows.send("MKCOL /share/New%20folder", &[], Whole("")).expect(201);
    windows.patch("/share/New%20folder", &[], ALL_FOUR, 4);
    assert!(Multistatus::of(&windows.look("/share/New%20folder", "0")).only().is_collection());
    windows.look("/share/docs", "0").expect(404);
    let to = format!("Destination: {}", windows.url("/share/docs"));
    let moved = windows.bare("MOVE /share/New%20folder", &[&to, "Overwrite: F"]).expect(201);
    assert_eq!(moved.field("location"), "/share/docs/");
    assert_eq!(server.names("share"), ["docs"]);

    server.write("share/docs/a.txt", "text");
    let to = format!("Destination: {}", windows.url("/share/papers/"));
    windows.bare("MOVE /share/docs/", &[&to, "Overwrite: F"]).expect(201);
    assert_eq!(server.read("share/papers/a.txt"), "text");
    server.mkcol("/share/docs").expect(201);
    let to = format!("Destination: {}", windows.url("/share/docs"));
    windows.bare("MOVE /share/papers", &[&to, "Overwrite: F"]).expect(412);
    windows.bare("DELETE /share/docs", &[]).expect(204);
    assert_eq!(server.names("share"), ["papers"]);
}

/// Excel saves on a mapped drive: a file of its own beside, and two renames. The document is whole at every moment, and what it was is kept.
#[test]
fn excel_saves_on_a_mapped_drive() {
    let server = Server::start();
    server.write("x.xlsx", "old sheet");
    let mut windows = windows(&server);
    let document = excel_opens(&server, &mut windows);

    let temporary = excel_writes_beside(&mut windows, "new sheet");
    windows.send("UNLOCK /x.xlsx", &[&format!("Lock-Token: <{document}>")], Whole("")).expect(204);
    windows.look("/A9A97EC7.tmp", "0").expect(404);
    Multistatus::of(&windows.look("/34429E5E.tmp", "0"));
    let again = windows.lock_as_windows("/34429E5E.tmp");
    let away = format!("Destination: {}", windows.url("/A9A97EC7.tmp"));
    windows.bare("MOVE /x.xlsx", &[&away, "Overwrite: F"]).expect(201);
    let home = format!("Destination: {}", windows.url("/x.xlsx"));
    let with = format!("If: (<{again}>)");
    windows.bare("MOVE /34429E5E.tmp", &[&home, "Overwrite: F", &with]).expect(201);
    assert_ne!(temporary, again);
    windows.bare("DELETE /A9A97EC7.tmp", &[]).expect(204);

    assert_eq!(server.read("x.xlsx"), "new sheet");
    assert_eq!(windows.bare("GET /x.xlsx", &[]).expect(200).tag(), tag_of("new sheet"));
    assert_eq!(server.names(""), ["x.xlsx", "~$x.xlsx"]);
    // Locks do not come along with what is renamed.
    let told = Multistatus::of(&windows.send("PROPFIND /x.xlsx", &["Depth: 0", XML], Whole(LOCKS)));
    assert!(told.only().property("lockdiscovery").children.is_empty());
    server.versions("/A9A97EC7.tmp").expect(["old sheet"]);
}

/// As Excel saves, somebody else has saved the document: what they wrote is not lost, it is in the history under the name it had last.
#[test]
fn excel_that_renames_a_document_others_changed_loses_nothing() {
    let server = Server::start();
    server.write("x.xlsx", "old sheet");
    let mut windows = windows(&server);
    let document = excel_opens(&server, &mut windows);
    server.write("x.xlsx", "their sheet");
    let with = format!("If: (<{document}>)");
    let away = format!("Destination: {}", windows.url("/A9A97EC7.tmp"));
    windows.bare("MOVE /x.xlsx", &[&away, "Overwrite: F", &with]).expect(412);
    assert_eq!(server.read("x.xlsx"), "their sheet");

    excel_writes_beside(&mut windows, "new sheet");
    windows.send("UNLOCK /x.xlsx", &[&format!("Lock-Token: <{document}>")], Whole("")).expect(204);
    windows.bare("MOVE /x.xlsx", &[&away, "Overwrite: F"]).expect(201);
    let home = format!("Destination: {}", windows.url("/x.xlsx"));
    windows.bare("MOVE /34429E5E.tmp", &[&home]).expect(201);
    windows.bare("DELETE /A9A97EC7.tmp", &[]).expect(204);
    assert_eq!(server.read("x.xlsx"), "new sheet");
    server.versions("/A9A97EC7.tmp").expect(["their sheet"]);
}

/// A program that moves its file over the document names no version; what was there is kept.
#[test]
fn what_windows_moves_over_is_kept() {
    let server = Server::start();
    server.write("doc.txt", "theirs");
    server.write("new.tmp", "mine");
    let mut windows = windows(&server);
    let home = format!("Destination: {}", windows.url("/doc.txt"));
    windows.bare("MOVE /new.tmp", &[&home, "Overwrite: T"]).expect(204);
    assert_eq!(server.read("doc.txt"), "mine");
    server.versions("/doc.txt").expect(["theirs"]);
    let read = windows.bare("GET /doc.txt", &[]).expect(200);
    assert_eq!((read.text(), read.tag()), ("mine".to_owned(), tag_of("mine")));
}

/// Names with everything that has to be escaped, and an empty file; `href` stands once for each.
#[test]
fn windows_sees_names_as_they_are() {
    let server = Server::start();
    let names = ["a b#c%d&e+f.txt", "quo'te(1).txt", "über.txt", "🙂.txt", "semi;colon=1,2.txt"];
    names.iter().for_each(|name| drop(server.write(format!("share/{name}"), "x")));
    let mut windows = windows(&server);
    let answer = windows.look("/share", "1");
    let told = Multistatus::of(&answer);
    assert_eq!(count(&answer, "href"), names.len() + 1);
    for name in names {
        let href =
            told.0.iter().find(|told| told.properties.iter().any(|(_, p)| p.name == "displayname" && p.text == name));
        let href = &href.expect(name).href;
        assert!(href.bytes().all(|byte| byte.is_ascii_graphic() && !b"#?&<>\"".contains(&byte)), "{href}");
        windows.bare(&format!("GET {href}"), &[]).expect_body("x");
    }
}

const LOCKS: &str = "<?xml version=\"1.0\" encoding=\"utf-8\" ?><D:propfind xmlns:D=\"DAV:\"><D:prop><D:lockdiscovery/></D:prop></D:propfind>";

/// Excel opens `x.xlsx`; gives the token of its lock.
#[track_caller]
fn excel_opens(server: &Server, windows: &mut Client<'_>) -> String {
    let document = windows.lock_as_windows("/x.xlsx");
    windows.look("/~$x.xlsx", "0").expect(404);
    windows.send("PUT /~$x.xlsx", &[], Whole("")).expect(201);
    let owner = windows.lock_as_windows("/~$x.xlsx");
    let with = format!("If: (<{owner}>)");
    windows.patch("/~$x.xlsx", &[&with], ALL_FOUR, 4);
    let told = Multistatus::of(&windows.look("/x.xlsx", "0"));
    assert_eq!(told.only().text("displayname"), "x.xlsx");
    let office = ["User-Agent: Microsoft Office Excel 2014", "Authorization: Bearer"];
    let mut office = Client::new(server, &office[..1]);
    office.send("OPTIONS /", &[], None).expect(200);
    document
}

/// Excel writes what it is about to save beside the document; gives the token that it had for that.
#[track_caller]
fn excel_writes_beside(windows: &mut Client<'_>, content: &str) -> String {
    windows.send("PUT /34429E5E.tmp", &[], Whole("")).expect(201);
    let token = windows.lock_as_windows("/34429E5E.tmp");
    let with = format!("If: (<{token}>)");
    windows.patch("/34429E5E.tmp", &[&with], ALL_FOUR, 4);
    windows.bare("HEAD /34429E5E.tmp", &[]).expect(200);
    windows.send("PUT /34429E5E.tmp", &[&with], Whole(content)).expect(204);
    windows.patch("/34429E5E.tmp", &[&with], LAST_TWO, 2);
    windows.send("UNLOCK /34429E5E.tmp", &[&format!("Lock-Token: <{token}>")], Whole("")).expect(204);
    token
}
