//! The file system of macOS (Finder, and every program on a mounted volume): locks on every open for writing, tokens on every save, tags never.

use std::time::Duration;

use super::client::Body::{Chunked, None, Whole};
use super::client::{Client, token_of};
use super::multistatus::{Element, Lock, Multistatus, count};
use crate::harness::client::tag_of;
use crate::harness::{Answer, Server, eventually};

const LOCKINFO: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:lockinfo xmlns:D=\"DAV:\">\n<D:lockscope><D:exclusive/></D:lockscope>\n\
     <D:locktype><D:write/></D:locktype>\n<D:owner>\n<D:href>http://www.apple.com/webdav_fs/</D:href>\n</D:owner>\n</D:lockinfo>\n";

const XML: &str = "Content-Type: text/xml; charset=\"utf-8\"";
const FINDER: [&str; 2] = ["Accept: */*", "User-Agent: WebDAVFS/3.0.0 (03008000) Darwin/21.1.0 (x86_64)"];

fn asking_for(names: &[&str]) -> String {
    let names: String = names.iter().map(|name| format!("<D:{name}/>\n")).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:propfind xmlns:D=\"DAV:\">\n<D:prop>\n{names}</D:prop>\n</D:propfind>\n"
    )
}

fn four() -> String {
    asking_for(&["getlastmodified", "getcontentlength", "creationdate", "resourcetype"])
}

impl Client<'_> {
    #[track_caller]
    fn ask(&mut self, target: &str, depth: &str, body: &str) -> Answer {
        let depth = format!("Depth: {depth}");
        self.send(&format!("PROPFIND {target}"), &["Content-Type: text/xml", &depth], Whole(body))
    }

    #[track_caller]
    fn lock_as_macos(&mut self, target: &str) -> String {
        let fields = ["Depth: 0", "Timeout: Second-600", XML];
        let answer = self.send(&format!("LOCK {target}"), &fields, Whole(LOCKINFO)).expect(200);
        let lock = Lock::of(&answer);
        assert_eq!((lock.depth.as_str(), lock.scope.as_str()), ("0", "exclusive"));
        assert!((500..=600).contains(&lock.seconds), "{lock:?}");
        assert_eq!(lock.owner.at("href").text, "http://www.apple.com/webdav_fs/");
        token_of(&answer)
    }

    #[track_caller]
    fn unlock(&mut self, target: &str, token: &str) -> Answer {
        self.send(&format!("UNLOCK {target}"), &[&format!("Lock-Token: <{token}>")], None)
    }
}

/// A mount: without a bare `2` in DAV the volume would be read-only; then what the volume is and how full, then what is in it.
#[test]
fn macos_mounts_and_lists() {
    let server = Server::start();
    server.write("dav/a.txt", "text");
    server.write("dav/folder/b.txt", "");
    let mut finder = Client::new(&server, &FINDER);
    let options = finder.bare("OPTIONS /dav/", &[]).expect(200);
    assert!(options.field("dav").split(',').any(|class| class.trim() == "2"), "{options}");

    let root = Multistatus::of(&finder.ask("/dav/", "0", &four()));
    assert_eq!(root.hrefs(), ["/dav/"]);
    let root = root.only();
    assert!(root.is_collection());
    assert_eq!(root.status("getcontentlength"), 404, "a folder has none");
    is_creation_date(root.text("creationdate"));

    let quota = asking_for(&["quota-available-bytes", "quota-used-bytes", "quota", "quotaused"]);
    let volume = Multistatus::of(&finder.ask("/dav/", "0", &quota));
    let volume = volume.only();
    let free: u64 = volume.text("quota-available-bytes").parse().expect("never negative");
    let used: u64 = volume.text("quota-used-bytes").parse().expect("never negative");
    assert!(free > 0 && used > 0 && free < u64::MAX / 4);
    assert_eq!((volume.status("quota"), volume.status("quotaused")), (404, 404));

    let listing = four().replace("<D:prop>", "<D:prop xmlns:A=\"http://www.apple.com/webdav_fs/props/\">");
    let listing = listing.replace("</D:prop>", "<A:appledoubleheader/>\n</D:prop>");
    let all = Multistatus::of(&finder.ask("/dav/", "1", &listing));
    assert_eq!(all.hrefs()[0], "/dav/");
    let file = all.told("/dav/a.txt");
    assert!(!file.is_collection());
    assert_eq!(file.text("getcontentlength"), "4");
    assert_eq!(file.status("{http://www.apple.com/webdav_fs/props/}appledoubleheader"), 404);
    httpdate::parse_http_date(file.text("getlastmodified")).expect("a date");
    is_creation_date(file.text("creationdate"));
    assert!(all.told("/dav/folder/").is_collection());

    for noise in
        ["._a.txt", ".DS_Store", ".hidden", ".metadata_never_index", ".Spotlight-V100", "Contents", "mach_kernel"]
    {
        finder.ask(&format!("/dav/{noise}"), "0", &four()).expect(404);
    }
}

/// A file is made: zero bytes without a lock, then the lock, then the bytes in chunks with their length said beside.
#[test]
fn macos_creates_and_fills_a_file() {
    let server = Server::start();
    server.mkcol("/dav").expect(201);
    let mut finder = Client::new(&server, &FINDER);
    finder.ask("/dav/._new.txt", "0", &four()).expect(404);
    finder.ask("/dav/new.txt", "0", &four()).expect(404);
    let made = finder.send("PUT /dav/new.txt", &[], Whole("")).expect(201);
    httpdate::parse_http_date(made.field("date")).expect("a date, which it takes for that of the file");
    let token = finder.lock_as_macos("/dav/new.txt");
    let with = format!("If: (<{token}>)");
    let put =
        finder.send("PUT /dav/new.txt", &["X-Expected-Entity-Length: 5", &with], Chunked(&["he", "llo"])).expect(204);
    assert_eq!(put.content_tag(), tag_of("hello"));
    finder.unlock("/dav/new.txt", &token).expect(204);
    assert_eq!(server.read("dav/new.txt"), "hello");
    let told = Multistatus::of(&finder.ask("/dav/new.txt", "0", &four()));
    assert_eq!(told.only().text("getcontentlength"), "5");
    // The AppleDouble file beside is stored as any other.
    finder.send("PUT /dav/._new.txt", &[], Whole("")).expect(201);
}

/// A file is opened for writing: first the lock, then a conditional GET; every 300 seconds the lock is refreshed without a body.
#[test]
fn macos_edits_a_file() {
    let server = Server::start();
    server.write("a.txt", "first");
    let mut finder = Client::new(&server, &FINDER);
    let read = eventually(Duration::from_secs(10), "a date that tells versions apart", || {
        let read = finder.bare("GET /a.txt", &[]).expect_body("first");
        read.header("last-modified").is_some().then_some(read)
    });
    let since = format!("If-Modified-Since: {}", read.field("last-modified"));
    let token = finder.lock_as_macos("/a.txt");
    finder.bare("GET /a.txt", &[&since]).expect_any(&[200, 304]);
    let with = format!("If: (<{token}>)");
    let fields = ["Depth: 0", "Timeout: Second-600", "Content-Type: text/xml", &with];
    let refreshed = finder.send("LOCK /a.txt", &fields, None).expect(200);
    assert_eq!(Lock::of(&refreshed).token, token);
    let put = finder.send("PUT /a.txt", &[&with], Whole("second")).expect(204);
    assert_eq!(put.content_tag(), tag_of("second"));
    // A second save of the same open file, and what another reader is told.
    finder.send("PUT /a.txt", &[&with], Whole("third")).expect(204);
    finder.unlock("/a.txt", &token).expect(204);
    finder.bare("GET /a.txt", &[&since]).expect_body("third");
    assert_eq!(server.read("a.txt"), "third");
    server.versions("/a.txt").expect(["second", "first"]);
}

/// Somebody else saves after the lock: the save is EINVAL for the program, and what is there stays.
#[test]
fn macos_with_a_stale_lock_is_refused() {
    for chunked in [false, true] {
        let server = Server::start();
        server.write("a.txt", "first");
        let mut finder = Client::new(&server, &FINDER);
        let token = finder.lock_as_macos("/a.txt");
        finder.bare("GET /a.txt", &[]).expect_body("first");
        server.write("a.txt", "theirs");
        let with = format!("If: (<{token}>)");
        let refused = match chunked {
            true => finder.send("PUT /a.txt", &[&with, "X-Expected-Entity-Length: 4"], Chunked(&["mi", "ne"])),
            false => finder.send("PUT /a.txt", &[&with], Whole("mine")),
        };
        assert_eq!(refused.expect(412).tag(), server.get("/a.txt").expect_body("theirs").tag());
        finder.bare("DELETE /a.txt", &[&with]).expect(412);
        let to = format!("Destination: {}", finder.url("/b.txt"));
        finder.bare("MOVE /a.txt", &[&to, &with]).expect(412);
        finder.unlock("/a.txt", &token).expect(204);
        finder.bare("DELETE /a.txt", &[]).expect(412);
        assert_eq!(server.read("a.txt"), "theirs");
        assert_eq!(server.names(""), ["a.txt"]);
    }
}

/// The lock is gone when it saves (a night asleep), and another has saved meanwhile.
#[test]
fn macos_whose_lock_is_gone_is_refused() {
    let server = Server::start();
    server.write("a.txt", "first");
    let mut finder = Client::new(&server, &FINDER);
    let token = finder.lock_as_macos("/a.txt");
    server.request("UNLOCK", "/a.txt").header("Lock-Token", format!("<{token}>")).expect(204);
    server.put("/a.txt").body("theirs").expect(204);
    let with = format!("If: (<{token}>)");
    let fields = ["Depth: 0", "Timeout: Second-600", "Content-Type: text/xml", &with];
    finder.send("LOCK /a.txt", &fields, None).expect(412);
    finder.send("PUT /a.txt", &[&with], Whole("mine")).expect(412);
    // 404 and 409 would make it forget the file as one that is gone.
    finder.unlock("/a.txt", &token).expect(400);
    let mut other = Client::new(&server, &["User-Agent: other"]);
    other.unlock("/a.txt", &token).expect(409);
    assert_eq!(server.read("a.txt"), "theirs");
}

/// A body that ends early looks whole in chunks; its length said beside tells. The old content stays.
#[test]
fn macos_that_is_cut_off_leaves_the_old_content() {
    let server = Server::start();
    server.write("a.txt", "first");
    let mut finder = Client::new(&server, &FINDER);
    let token = finder.lock_as_macos("/a.txt");
    let with = format!("If: (<{token}>)");
    finder.send("PUT /a.txt", &["X-Expected-Entity-Length: 5", &with], Chunked(&["abc"])).expect(400);
    assert_eq!(server.read("a.txt"), "first");
    finder.send("PUT /a.txt", &["X-Expected-Entity-Length: 2", &with], Chunked(&["abc"])).expect(400);
    assert_eq!(server.read("a.txt"), "first");
    finder.bare("DELETE /a.txt", &[&with]).expect(412);
    finder.send("PUT /a.txt", &["X-Expected-Entity-Length: 3", &with], Chunked(&["abc"])).expect(204);
    assert_eq!(server.read("a.txt"), "abc");
}

/// rmdir counts the hrefs and sends no DELETE if there are two; nothing of the server's own may be among them, nor a lock's root.
#[test]
fn macos_removes_an_empty_folder() {
    let server = Server::start();
    server.write("dir/a.txt", "text");
    let mut finder = Client::new(&server, &FINDER);
    let kinds = asking_for(&["resourcetype"]);
    assert_eq!(count(&finder.ask("/dir/", "1", &kinds), "href"), 2);
    finder.send("PUT /dir/a.txt", &[], Whole("replaced")).expect(204);
    finder.bare("DELETE /dir/a.txt", &[]).expect(204);
    finder.lock_as_macos("/dir/");
    assert_eq!(count(&finder.ask("/dir/", "1", &kinds), "href"), 1);
    assert_eq!(count(&finder.ask("/", "1", &kinds), "href"), 2, "neither history nor swap is shown");
    let token = {
        let told = finder.ask("/dir/", "0", &asking_for(&["lockdiscovery"]));
        let told = Multistatus::of(&told);
        Lock::read(told.only().property("lockdiscovery").at("activelock")).token
    };
    finder.bare("DELETE /dir/", &[&format!("If: (<{token}>)")]).expect(204);
    assert!(!server.local("dir").exists());
}

/// A rename has an absolute Destination and no Overwrite; what it replaces is kept.
#[test]
fn macos_renames_onto_another_file() {
    let server = Server::start();
    server.write("a.txt", "mine");
    let mut finder = Client::new(&server, &FINDER);
    let to = format!("Destination: {}", finder.url("/b.txt"));
    finder.bare("MOVE /a.txt", &[&to]).expect(201);
    server.write("a.txt", "mine 2");
    finder.bare("MOVE /a.txt", &[&to]).expect(204);
    assert_eq!(server.read("b.txt"), "mine 2");
    server.versions("/b.txt").expect(["mine"]);
}

/// A read goes on where it stopped, if the file is still the one it began with.
#[test]
fn macos_goes_on_reading() {
    let server = Server::start();
    let content = "0123456789".repeat(1000);
    server.write("a.bin", &content);
    let mut finder = Client::new(&server, &FINDER);
    let date = eventually(Duration::from_secs(10), "a date", || {
        finder.bare("GET /a.bin", &[]).expect(200).header("last-modified").map(str::to_owned)
    });
    let fields = [format!("If-Range: {date}"), "Range: bytes=4096-".to_owned()];
    let rest = finder.bare("GET /a.bin", &[&fields[0], &fields[1]]).expect_any(&[200, 206]);
    let wanted = if rest.status == 206 { &content[4096..] } else { &content };
    assert_eq!(rest.text(), wanted);
    server.write("a.bin", "other");
    std::fs::File::open(server.local("a.bin")).unwrap();
    let whole = finder.bare("GET /a.bin", &["If-Range: Mon, 12 Dec 2011 17:37:08 GMT", &fields[1]]).expect(200);
    assert_eq!(whole.text(), "other");
}

/// Finder writes names decomposed. One name in two forms is one file.
#[test]
fn macos_finds_names_in_either_form() {
    let server = Server::start();
    let mut finder = Client::new(&server, &FINDER);
    let (decomposed, composed) = ("/u%CC%88ber.txt", "/%C3%BCber.txt");
    finder.send(&format!("PUT {decomposed}"), &[], Whole("one")).expect(201);
    server.get(composed).expect_body("one");
    let token = finder.lock_as_macos(composed);
    server.put(decomposed).body("blind").expect(423);
    let with = format!("If: (<{token}>)");
    finder.send(&format!("PUT {composed}"), &[&with], Whole("two")).expect(204);
    finder.send(&format!("PUT {decomposed}"), &[&with], Whole("three")).expect(204);
    finder.unlock(decomposed, &token).expect(204);
    assert_eq!(server.names("").len(), 1, "{:?}", server.names(""));
    assert_eq!(Multistatus::of(&finder.ask("/", "1", &four())).0.len(), 2);
    server.versions(composed).expect(["two", "one"]);

    // The other way round, for folders, and for what is moved.
    server.write("k\u{f6}ln/a.txt", "text");
    finder.ask("/ko%CC%88ln/a.txt", "0", &four()).expect(207);
    finder.bare("MKCOL /ko%CC%88ln/", &[]).expect(405);
    let to = format!("Destination: {}", finder.url("/ko%CC%88ln/u%CC%88ber.txt"));
    finder.bare(&format!("MOVE {composed}"), &[&to]).expect(201);
    assert_eq!(server.names(""), ["k\u{f6}ln"]);
    finder.bare("DELETE /ko%CC%88ln/a.txt", &[]).expect(204);
    assert_eq!(server.names("k\u{f6}ln").len(), 1);
}

#[track_caller]
fn is_creation_date(text: &str) {
    let digits = text.bytes().map(|byte| if byte.is_ascii_digit() { '0' } else { char::from(byte) });
    assert_eq!(digits.collect::<String>(), "0000-00-00T00:00:00Z", "{text}");
}

/// The locks of an open file are told to whoever asks, and a shared one can be had too (O_SHLOCK).
#[test]
fn macos_takes_a_shared_lock() {
    let server = Server::start();
    server.write("a.txt", "text");
    let mut finder = Client::new(&server, &FINDER);
    let shared = LOCKINFO.replace("exclusive", "shared");
    let fields = ["Depth: 0", "Timeout: Second-600", XML];
    let one = finder.send("LOCK /a.txt", &fields, Whole(&shared)).expect(200);
    let other = finder.send("LOCK /a.txt", &fields, Whole(&shared)).expect(200);
    assert_ne!(token_of(&one), token_of(&other));
    finder.send("LOCK /a.txt", &fields, Whole(LOCKINFO)).expect(423);
    let told = Multistatus::of(&finder.ask("/a.txt", "0", &asking_for(&["lockdiscovery", "supportedlock"])));
    let locks: Vec<&Element> = told.only().property("lockdiscovery").children.iter().collect();
    assert_eq!(locks.len(), 2);
    assert_eq!(told.only().property("supportedlock").children.len(), 2);

    // Each of the two holds the version that it was taken on: the second to save is stale.
    let with = |answer: &Answer| format!("If: (<{}>)", token_of(answer));
    finder.send("PUT /a.txt", &[&with(&one)], Whole("one's")).expect(204);
    finder.send("PUT /a.txt", &[&with(&other)], Whole("other's")).expect(412);
    assert_eq!(server.read("a.txt"), "one's");
}
