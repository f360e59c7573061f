//! davfs2, the file systems of GNOME and KDE, LibreOffice and cadaver, as they were recorded.

use super::client::Body::{Expecting, None, Whole};
use super::client::{Client, token_of};
use super::multistatus::{Lock, Multistatus};
use crate::harness::Server;
use crate::harness::client::tag_of;

const DAVFS2: [&str; 3] = ["User-Agent: davfs2/1.6.1 neon/0.32.5", "Connection: TE", "TE: trailers"];
const DAVFS2_LOCK: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<lockinfo xmlns='DAV:'>\n <lockscope><exclusive/></lockscope>\n\
     <locktype><write/></locktype><owner>davfs2 1.6.1</owner>\n</lockinfo>\n";
const DAVFS2_LOCK_FIELDS: [&str; 3] = ["Content-Type: application/xml", "Depth: 0", "Timeout: Second-1800"];

const DAVFS2_LIST: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<propfind xmlns=\"DAV:\"><prop>\n<resourcetype xmlns=\"DAV:\"/>\n\
     <getcontentlength xmlns=\"DAV:\"/>\n<getetag xmlns=\"DAV:\"/>\n<getlastmodified xmlns=\"DAV:\"/>\n\
     <executable xmlns=\"http://apache.org/dav/props/\"/>\n</prop></propfind>\n";

impl Client<'_> {
    /// davfs2 locks a file; gives the token, and the tagged `If` that it sends with it.
    #[track_caller]
    fn lock_as_davfs2(&mut self, target: &str, status: u16) -> (String, String) {
        let answer = self.send(&format!("LOCK {target}"), &DAVFS2_LOCK_FIELDS, Whole(DAVFS2_LOCK)).expect(status);
        let lock = Lock::of(&answer);
        assert_eq!(lock.owner.text, "davfs2 1.6.1");
        assert!(lock.seconds > 1700, "{lock:?}");
        let token = token_of(&answer);
        let with = format!("If: <{}> (<{token}>)", self.url(target));
        (token, with)
    }

    #[track_caller]
    fn give_back(&mut self, target: &str, token: &str) {
        self.bare(&format!("UNLOCK {target}"), &[&format!("Lock-Token: <{token}>")]).expect(204);
    }
}

/// davfs2 mounts, makes a file, saves it, changes it, and makes it executable.
#[test]
fn davfs2_creates_saves_and_marks_a_file() {
    let server = Server::start();
    server.write("old.txt", "old");
    let mut davfs2 = Client::new(&server, &DAVFS2);
    let options = davfs2.bare("OPTIONS /", &[]).expect(200);
    assert!(options.field("dav").contains('1') && options.field("dav").contains('2'));
    let fields = ["Content-Type: application/xml", "Depth: 1"];
    let all = Multistatus::of(&davfs2.send("PROPFIND /", &fields, Whole(DAVFS2_LIST)));
    assert_eq!(all.hrefs(), ["/", "/old.txt"]);
    let executable = "{http://apache.org/dav/props/}executable";
    assert_eq!(all.told("/old.txt").text(executable), "F");
    assert_eq!(all.told("/old.txt").text("getetag"), server.head("/old.txt").expect(200).tag());
    assert_eq!(all.told("/").status(executable), 404);

    let (token, with) = davfs2.lock_as_davfs2("/new.txt", 201);
    let head = davfs2.bare("HEAD /new.txt", &[]).expect(200);
    assert_eq!(head.content_tag(), tag_of(""));
    let exactly = format!("If-Match: {}", head.tag());
    let put = davfs2.send("PUT /new.txt", &[&exactly, &with], Whole("line 1")).expect_any(&[201, 204]);
    assert_eq!(put.content_tag(), tag_of("line 1"), "or it asks once more");
    davfs2.give_back("/new.txt", &token);
    assert_eq!(server.read("new.txt"), "line 1");

    let (token, with) = davfs2.lock_as_davfs2("/new.txt", 200);
    let exactly = format!("If-Match: {}", put.tag());
    davfs2.send("PUT /new.txt", &[&exactly, &with], Whole("line 2")).expect(204);
    davfs2.give_back("/new.txt", &token);

    let chmod = "<D:propertyupdate xmlns:D=\"DAV:\"><D:set><D:prop><executable xmlns=\"http://apache.org/dav/props/\">T</executable>\
         </D:prop></D:set></D:propertyupdate>";
    let answer = davfs2.send("PROPPATCH /new.txt", &["Content-Type: application/xml"], Whole(chmod));
    Multistatus::of(&answer).only().all(200, 1);
    let all = Multistatus::of(&davfs2.send("PROPFIND /", &fields, Whole(DAVFS2_LIST)));
    assert_eq!(all.told("/new.txt").text(executable), "T");
    assert_eq!(all.told("/new.txt").text("getetag"), tag_of("line 2"));
    use std::os::unix::fs::PermissionsExt as _;
    assert_ne!(server.local("new.txt").metadata().unwrap().permissions().mode() & 0o100, 0);
}

/// A stale save is 412, with the lock and the tag in hand; davfs2 then looks again, and the edit is in its lost+found.
#[test]
fn davfs2_with_a_stale_tag_is_refused() {
    for before_the_lock in [true, false] {
        let server = Server::start();
        server.write("a.txt", "first");
        let mut davfs2 = Client::new(&server, &DAVFS2);
        let exactly = format!("If-Match: {}", tag_of("first"));
        if before_the_lock {
            server.put("/a.txt").body("theirs").expect(204);
        }
        let (token, with) = davfs2.lock_as_davfs2("/a.txt", 200);
        if !before_the_lock {
            server.write("a.txt", "theirs");
        }
        davfs2.send("PUT /a.txt", &[&exactly, &with], Whole("mine")).expect(412);
        davfs2.give_back("/a.txt", &token);
        let fields = ["Content-Type: application/xml", "Depth: 1"];
        let all = Multistatus::of(&davfs2.send("PROPFIND /", &fields, Whole(DAVFS2_LIST)));
        assert_eq!(all.told("/a.txt").text("getetag"), server.get("/a.txt").expect_body("theirs").tag());
        assert_eq!(server.read("a.txt"), "theirs");
    }
}

/// A new file that somebody else makes first: the PUT with `If-None-Match: *` is refused.
#[test]
fn davfs2_does_not_take_a_name_that_was_taken() {
    let server = Server::start();
    let mut davfs2 = Client::new(&server, &DAVFS2);
    server.write("new.txt", "theirs");
    let (token, with) = davfs2.lock_as_davfs2("/new.txt", 200);
    davfs2.send("PUT /new.txt", &["If-None-Match: *", &with], Whole("mine")).expect(412);
    davfs2.give_back("/new.txt", &token);
    assert_eq!(server.read("new.txt"), "theirs");
}

/// A program saves by a rename: a file beside, moved over the old one, which is kept.
#[test]
fn davfs2_moves_a_save_over_the_old_file() {
    let server = Server::start();
    server.write("new.txt", "old");
    let mut davfs2 = Client::new(&server, &DAVFS2);
    let (token, with) = davfs2.lock_as_davfs2("/.tmp1", 201);
    let exactly = format!("If-Match: {}", davfs2.bare("HEAD /.tmp1", &[]).expect(200).tag());
    davfs2.send("PUT /.tmp1", &[&exactly, &with], Whole("saved")).expect_any(&[201, 204]);
    davfs2.give_back("/.tmp1", &token);
    let to = format!("Destination: {}", davfs2.url("/new.txt"));
    davfs2.bare("MOVE /.tmp1", &[&to, "Overwrite: T"]).expect(204);
    assert_eq!(davfs2.bare("HEAD /new.txt", &[]).expect(200).content_tag(), tag_of("saved"));
    server.versions("/new.txt").expect(["old"]);
    assert_eq!(server.names(""), ["new.txt"]);
}

const GVFS: [&str; 3] = ["User-Agent: gvfs/1.50.3", "Accept-Encoding: gzip, deflate", "Connection: Keep-Alive"];
const GVFS_XML: [&str; 2] = ["Content-Type: application/xml", "Depth: 1"];
const GVFS_LIST: &str = "<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n <D:propfind xmlns:D=\"DAV:\">\n  <D:prop>\n<D:creationdate/>\n\
     <D:displayname/>\n<D:getcontentlength/>\n<D:getcontenttype/>\n<D:getetag/>\n<D:getlastmodified/>\n<D:resourcetype/>\n  </D:prop>\n </D:propfind>";

/// GNOME mounts, walking up to the root; copies in, creates, renames, moves over and deletes.
#[test]
fn gvfs_mounts_and_works() {
    let server = Server::start();
    server.write("dav/a b.txt", "text");
    let mut gvfs = Client::new(&server, &GVFS);
    for target in ["/dav", "/"] {
        gvfs.bare(&format!("OPTIONS {target}"), &[]).expect(200);
        let all = Multistatus::of(&gvfs.send(&format!("PROPFIND {target}"), &GVFS_XML, Whole(GVFS_LIST)).expect(207));
        assert!(all.0[0].is_collection());
        assert!(all.0[0].href.ends_with('/'));
    }
    let all = Multistatus::of(&gvfs.send("PROPFIND /dav", &GVFS_XML, Whole(GVFS_LIST)));
    let file = all.told("/dav/a%20b.txt");
    let tag = gvfs.bare("HEAD /dav/a%20b.txt", &[]).expect(200).tag();
    assert_eq!((file.text("displayname"), file.text("getetag")), ("a b.txt", tag.as_str()));
    assert_eq!(file.text("getcontenttype"), "text/plain; charset=utf-8");

    // Copying in: T where the user was asked, F where not.
    let zero = ["Content-Type: application/xml", "Depth: 0"];
    gvfs.send("PROPFIND /dav/up.txt", &zero, Whole(GVFS_LIST)).expect(404);
    let put = gvfs.send("PUT /dav/up.txt", &["Overwrite: F", "X-OC-Mtime: 1580702706"], Whole("up")).expect(201);
    assert_eq!(put.field("x-oc-mtime"), "accepted");
    assert_eq!(gvfs.bare("HEAD /dav/up.txt", &[]).expect(200).field("last-modified"), "Mon, 03 Feb 2020 04:05:06 GMT");
    gvfs.send("PUT /dav/up.txt", &["Overwrite: F"], Whole("mine")).expect(412);
    assert_eq!(server.read("dav/up.txt"), "up");
    gvfs.send("PUT /dav/up.txt", &["Overwrite: T"], Whole("up 2")).expect(204);
    gvfs.bare("HEAD /dav/saved.txt", &[]).expect(404);
    gvfs.send("PUT /dav/saved.txt", &[], Whole("saved")).expect(201);

    let to = format!("Destination: {}", gvfs.url("/dav/renamed.txt"));
    gvfs.bare("MOVE /dav/saved.txt", &[&to, "Overwrite: F"]).expect(201);
    gvfs.bare("MOVE /dav/up.txt", &[&to, "Overwrite: F"]).expect(412);
    gvfs.bare("MOVE /dav/up.txt", &[&to, "Overwrite: T"]).expect(204);
    server.versions("/dav/renamed.txt").expect(["saved"]);
    // It lists before it deletes, files too.
    let told = Multistatus::of(&gvfs.send("PROPFIND /dav/renamed.txt", &GVFS_XML, Whole(GVFS_LIST)));
    assert_eq!(told.only().href, "/dav/renamed.txt");
    gvfs.bare("DELETE /dav/renamed.txt", &[]).expect(204);
    gvfs.bare("MKCOL /dav/", &[]).expect(405);
    gvfs.bare("MKCOL /dav/x/y", &[]).expect(409);
}

/// An editor that knows tags saves with the one it read; HEAD is asked first and has to agree with PUT.
#[test]
fn gvfs_saves_with_a_tag_or_not_at_all() {
    let server = Server::start();
    server.write("saved.txt", "first");
    let mut gvfs = Client::new(&server, &GVFS);
    let exactly = format!("If-Match: {}", tag_of("first"));
    gvfs.bare("HEAD /saved.txt", &[&exactly]).expect(200);
    gvfs.send("PUT /saved.txt", &[&exactly], Whole("mine")).expect(204);
    let exactly = format!("If-Match: {}", tag_of("mine"));
    server.write("saved.txt", "theirs");
    gvfs.bare("HEAD /saved.txt", &[&exactly]).expect(412);
    gvfs.send("PUT /saved.txt", &[&exactly], Whole("mine 2")).expect(412);
    assert_eq!(server.read("saved.txt"), "theirs");
}

const LIBREOFFICE: [&str; 2] =
    ["User-Agent: LibreOffice 7.4.7.2 denylistedbackend/7.88.1", "Accept-Encoding: deflate, gzip, br"];
const LIBREOFFICE_OPEN: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?><propfind xmlns=\"DAV:\"><prop><resourcetype xmlns=\"DAV:\"/>\
     <IsReadOnly xmlns=\"http://ucb.openoffice.org/dav/props/\"/><getcontenttype xmlns=\"DAV:\"/><supportedlock xmlns=\"DAV:\"/></prop></propfind>";
const LIBREOFFICE_LOCK: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?><lockinfo xmlns=\"DAV:\"><lockscope><exclusive/></lockscope>\
     <locktype><write/></locktype><owner>LibreOffice - </owner></lockinfo>";

impl Client<'_> {
    /// LibreOffice opens a document; gives the token of its lock.
    #[track_caller]
    fn open_as_libreoffice(&mut self, target: &str) -> String {
        self.bare(&format!("OPTIONS {target}"), &[]).expect(200);
        let fields = ["Content-Type: application/xml", "Depth: 0"];
        let answer = self.send(&format!("PROPFIND {target}"), &fields, Expecting(LIBREOFFICE_OPEN));
        assert_eq!(answer.interim, [100]);
        let told = Multistatus::of(&answer);
        assert_eq!(told.only().status("{http://ucb.openoffice.org/dav/props/}IsReadOnly"), 404);
        let entry = told.only().property("supportedlock").at("lockentry");
        entry.at("lockscope/exclusive");
        entry.at("locktype/write");
        self.bare(&format!("HEAD {target}"), &[]).expect(200);
        self.bare(&format!("GET {target}"), &[]).expect(200);
        let fields = ["Content-Type: application/xml", "Depth: 0", "Timeout: Second-180"];
        let answer = self.send(&format!("LOCK {target}"), &fields, Expecting(LIBREOFFICE_LOCK)).expect(200);
        assert!(Lock::of(&answer).seconds >= 170);
        token_of(&answer)
    }
}

/// LibreOffice opens, saves and closes. It looks at the folder above before it saves.
#[test]
fn libreoffice_opens_and_saves() {
    let server = Server::start();
    server.write("dav/a.odt", "document");
    let mut office = Client::new(&server, &LIBREOFFICE);
    let token = office.open_as_libreoffice("/dav/a.odt");
    office.bare("HEAD /dav/", &[]).expect(200);
    office.bare("GET /dav/", &[]).expect(200);
    let with = format!("If: (<{token}>)");
    office.send("PUT /dav/a.odt", &[&with], Expecting("document 2")).expect(204);
    let fields = ["Content-Type: application/xml", "Depth: 0"];
    office.send("PROPFIND /dav/a.odt", &fields, Expecting(LIBREOFFICE_OPEN)).expect(207);
    office.give_back("/dav/a.odt", &token);
    assert_eq!(server.read("dav/a.odt"), "document 2");
}

/// Somebody else saves while LibreOffice holds its lock: it is told before it sends the document at all.
#[test]
fn libreoffice_with_a_stale_lock_is_refused() {
    let server = Server::start();
    server.write("dav/a.odt", "document");
    let mut office = Client::new(&server, &LIBREOFFICE);
    let token = office.open_as_libreoffice("/dav/a.odt");
    server.write("dav/a.odt", "theirs");
    let with = format!("If: (<{token}>)");
    let refused = office.send("PUT /dav/a.odt", &[&with], Expecting("document 2")).expect(412);
    assert!(refused.interim.is_empty(), "a refusal costs no upload: {refused}");
    office.give_back("/dav/a.odt", &token);
    office.bare("DELETE /dav/a.odt", &[]).expect(412);
    assert_eq!(server.read("dav/a.odt"), "theirs");
}

/// KDE says it is a browser, asks for thirteen properties and never locks; a MOVE has to be 201 or 204, and MKCOL 201.
#[test]
fn kde_lists_copies_and_renames() {
    let agent = "User-Agent: Mozilla/5.0 (X11; Linux x86_64) KIO/5.103 kioclient/5.27.5";
    let accept = "Accept: text/html, text/*;q=0.9, image/jpeg;q=0.9, image/png;q=0.9, image/*;q=0.9, */*;q=0.8";
    let server = Server::start();
    server.write("dav/a.html", "<p>text</p>");
    let mut kde = Client::new(&server, &[agent, accept, "Accept-Encoding: gzip, deflate", "Pragma: no-cache"]);
    let names = [
        "creationdate",
        "getcontentlength",
        "displayname",
        "source",
        "getcontentlanguage",
        "getcontenttype",
        "getlastmodified",
        "getetag",
        "supportedlock",
        "lockdiscovery",
        "resourcetype",
        "quota-available-bytes",
        "quota-used-bytes",
    ];
    let names: String = names.iter().map(|name| format!("<D:{name}/>")).collect();
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\" ?><D:propfind xmlns:D=\"DAV:\"><D:prop>{names}</D:prop></D:propfind>"
    );
    let answer = kde.send("PROPFIND /dav", &["Depth: 1", "Content-Type: text/xml; charset=utf-8"], Whole(&body));
    let all = Multistatus::of(&answer);
    assert_eq!(all.told("/dav/").text("getcontenttype"), "httpd/unix-directory");
    assert_eq!(all.told("/dav/a.html").status("source"), 404);
    kde.bare("GET /dav/a.html", &[]).expect_body("<p>text</p>");
    kde.send("PUT /dav/new", &[], Whole("new")).expect(201);
    kde.bare("MKCOL /dav/folder/", &[]).expect(201);
    let to = format!("Destination: {}", kde.url("/dav/folder/new"));
    kde.bare("MOVE /dav/new", &[&to, "Overwrite: F", "Depth: infinity"]).expect(201);
    kde.bare("COPY /dav/a.html", &[&to, "Overwrite: F", "Depth: infinity"]).expect(412);
    kde.bare("COPY /dav/a.html", &[&to, "Overwrite: T", "Depth: infinity"]).expect(204);
    server.versions("/dav/folder/new").expect(["new"]);
    kde.bare("DELETE /dav/folder/new", &[]).expect_any(&[200, 204]);
}

/// cadaver asks for the destination of a move as if it were a folder; a file must not answer to that.
#[test]
fn cadaver_locks_puts_and_moves() {
    let server = Server::start();
    server.write("f", "one");
    let mut cadaver = Client::new(&server, &["User-Agent: cadaver/0.24 neon/0.32.5", "Connection: TE", "TE: trailers"]);
    let (token, with) = cadaver.lock_as_davfs2_without_end("/f");
    cadaver.send("PUT /f", &[&with], Whole("two")).expect(204);
    cadaver.give_back("/f", &token);
    let ask = ["Content-Type: application/xml", "Depth: 0"];
    cadaver.send("PROPFIND /f/", &ask, Whole(DAVFS2_LIST)).expect(404);
    cadaver.send("PROPFIND /g/", &ask, Whole(DAVFS2_LIST)).expect(404);
    let to = format!("Destination: {}", cadaver.url("/g"));
    cadaver.send("MOVE /f", &[&to, "Overwrite: F"], None).expect(201);
    for method in ["LOCK", "PROPPATCH", "DELETE", "COPY", "MOVE"] {
        let fields = [to.replace("/g", "/h"), "Content-Type: application/xml".to_owned()];
        let body = match method {
            "LOCK" => Whole(DAVFS2_LOCK),
            "PROPPATCH" => Whole(
                "<D:propertyupdate xmlns:D=\"DAV:\"><D:set><D:prop><x xmlns=\"urn:x\"/></D:prop></D:set></D:propertyupdate>",
            ),
            _ => None,
        };
        cadaver.send(&format!("{method} /g/"), &[&fields[0], &fields[1]], body).expect(404);
    }
    assert_eq!((server.names(""), server.read("g")), (vec!["g".to_owned()], "two".to_owned()));
}

impl Client<'_> {
    /// cadaver asks for a lock that never ends.
    #[track_caller]
    fn lock_as_davfs2_without_end(&mut self, target: &str) -> (String, String) {
        let fields = ["Content-Type: application/xml", "Depth: 0", "Timeout: Infinite"];
        let answer = self.send(&format!("LOCK {target}"), &fields, Whole(DAVFS2_LOCK)).expect(200);
        assert!((1700..=1800).contains(&Lock::of(&answer).seconds), "no lock is for ever: {answer}");
        let token = token_of(&answer);
        let with = format!("If: <{}> (<{token}>)", self.url(target));
        (token, with)
    }
}
