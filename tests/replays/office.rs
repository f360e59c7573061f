//! Office that opens a document by its URL (`ms-word:ofe`): it puts its token into `Lock-Token`, and asks before it has said who it is.

use super::client::Body::{None, Whole};
use super::client::{Client, token_of};
use super::multistatus::Lock;
use crate::harness::Server;
use crate::harness::client::tag_of;

const LOCKINFO: &str = "<D:lockinfo xmlns:D=\"DAV:\"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype>\
     <D:owner><D:href>COMPUTER\\user</D:href></D:owner></D:lockinfo>";

const WORD: [&str; 6] = [
    "User-Agent: Microsoft Office Word 2014",
    "X-Office-Major-Version: 16",
    "X-FeatureVersion: 1",
    "X-MS-CookieUri-Requested: t",
    "X-IDCRL_ACCEPTED: t",
    "translate: f",
];

const XML: &str = "Content-Type: text/xml; charset=\"utf-8\"";
const LOCK_FIELDS: [&str; 3] = [XML, "Depth: 0", "Timeout: Second-3600"];

/// Word locks a document and reads it.
#[track_caller]
fn word_opens(word: &mut Client<'_>, target: &str) -> (String, String) {
    let locked = word.send(&format!("LOCK {target}"), &LOCK_FIELDS, Whole(LOCKINFO)).expect(200);
    let lock = Lock::of(&locked);
    assert_eq!((lock.depth.as_str(), lock.scope.as_str()), ("0", "exclusive"));
    assert_eq!(lock.owner.at("href").text, "COMPUTER\\user");
    assert!(!lock.has_root, "old builds stumble over lockroot: {locked}");
    let read = word.bare(&format!("GET {target}"), &[XML, "Depth: 0"]).expect(200);
    assert!(!read.tag().starts_with("W/"), "{read}");
    (token_of(&locked), read.tag())
}

/// Discovery asks without a password, or with a Bearer that holds nothing, and a document that is said to be WebDAV opens for writing.
#[test]
fn office_discovers_that_it_may_write() {
    let server = Server::start();
    server.write("docs/a.docx", "document");
    for agent in
        ["Microsoft Office Protocol Discovery", "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Word 16.0.1)"]
    {
        let mut office = Client::new(&server, &[&format!("User-Agent: {agent}")]);
        for target in ["/docs/", "/", "/docs", "/docs/a.docx"] {
            let answer = office.bare(&format!("OPTIONS {target}"), &["Authorization: Bearer "]).expect(200);
            assert_eq!(answer.field("ms-author-via"), "DAV", "or Office opens read-only");
            assert!(answer.field("dav").contains('2') && answer.field("allow").contains("LOCK"), "{answer}");
            // They would switch on protocols that are not served.
            for other in ["x-msfsshttp", "x-msdavext", "resourcetag"] {
                assert!(answer.header(other).is_none(), "{answer}");
            }
        }
    }
    let mut office = Client::new(&server, &["User-Agent: Microsoft Office Existence Discovery"]);
    office.bare("HEAD /docs/a.docx", &[]).expect(200);
    office.bare("HEAD /docs/", &[]).expect(200);
    office.bare("HEAD /docs/b.docx", &[]).expect(404);
}

/// Word opens, asks again whether anything has changed, refreshes its lock right away, saves twice and closes.
#[test]
fn word_opens_a_url_edits_and_saves() {
    let server = Server::start();
    server.write("docs/a.docx", "document");
    let mut word = Client::new(&server, &WORD);
    let (token, tag) = word_opens(&mut word, "/docs/a.docx");
    word.bare("GET /docs/a.docx", &[&format!("If-None-Match: {tag}")]).expect(304);
    let with = format!("If: (<{token}>)");
    let refreshed = word.send("LOCK /docs/a.docx", &[XML, "Timeout: Second-3600", &with], Whole("")).expect(200);
    assert_eq!(Lock::of(&refreshed).token, token);
    assert!(Lock::of(&refreshed).seconds > 3000);
    let in_field = format!("Lock-Token: <{token}>");
    let saved = word.send("PUT /docs/a.docx", &[&in_field], Whole("document 2")).expect(204);
    assert_eq!(saved.content_tag(), tag_of("document 2"));
    word.bare("GET /docs/a.docx", &[&format!("If-None-Match: {}", saved.tag())]).expect(304);
    word.send("PUT /docs/a.docx", &[&in_field], Whole("document 3")).expect(204);
    // Without a token it is as locked for Word as for anybody.
    word.send("PUT /docs/a.docx", &[], Whole("document 4")).expect(423);
    word.send("UNLOCK /docs/a.docx", &[&in_field, "Authorization: Bearer "], None).expect(204);
    assert_eq!(server.read("docs/a.docx"), "document 3");
    server.versions("/docs/a.docx").expect(["document 2", "document"]);
}

/// The document changes under Word's lock: its save is refused, and so is everything it may try then.
#[test]
fn word_with_a_stale_lock_is_refused() {
    let server = Server::start();
    server.write("docs/a.docx", "document");
    let mut word = Client::new(&server, &WORD);
    let (token, tag) = word_opens(&mut word, "/docs/a.docx");
    server.write("docs/a.docx", "theirs");
    let read = word.bare("GET /docs/a.docx", &[&format!("If-None-Match: {tag}")]).expect_body("theirs");
    assert_ne!(read.tag(), tag);
    let in_field = format!("Lock-Token: <{token}>");
    let refused = word.send("PUT /docs/a.docx", &[&in_field], Whole("mine")).expect(412);
    assert_eq!(refused.tag(), read.tag());
    // More time for the lock makes it no lock on what is there now.
    let with = format!("If: (<{token}>)");
    word.send("LOCK /docs/a.docx", &[XML, &with], Whole("")).expect(200);
    word.send("PUT /docs/a.docx", &[&in_field], Whole("mine")).expect(412);
    word.send("DELETE /docs/a.docx", &[&in_field], None).expect(412);
    word.send("UNLOCK /docs/a.docx", &[&in_field], None).expect(204);
    assert_eq!(server.read("docs/a.docx"), "theirs");
}

/// The lock is no more and another has saved: a token that names nothing does not make a save blind.
#[test]
fn word_whose_lock_is_gone_is_refused() {
    let server = Server::start();
    server.write("docs/a.docx", "document");
    let mut word = Client::new(&server, &WORD);
    let (token, _) = word_opens(&mut word, "/docs/a.docx");
    let in_field = format!("Lock-Token: <{token}>");
    server.request("UNLOCK", "/docs/a.docx").header("Lock-Token", format!("<{token}>")).expect(204);
    server.put("/docs/a.docx").body("theirs").expect(204);
    let with = format!("If: (<{token}>)");
    word.send("LOCK /docs/a.docx", &[XML, &with], Whole("")).expect(412);
    word.send("PUT /docs/a.docx", &[&in_field], Whole("mine")).expect(412);
    word.send("DELETE /docs/a.docx", &[&in_field], None).expect(412);
    assert_eq!(server.read("docs/a.docx"), "theirs");
    server.versions("/docs/a.docx").expect(["document"]);
}

/// A new document is saved by its URL: the lock makes an empty file, which the token then fills.
#[test]
fn word_saves_a_new_document() {
    let server = Server::start();
    server.mkcol("/docs").expect(201);
    let mut word = Client::new(&server, &WORD);
    word.bare("HEAD /docs/new.docx", &[]).expect(404);
    let token = token_of(&word.send("LOCK /docs/new.docx", &LOCK_FIELDS, Whole(LOCKINFO)).expect(201));
    assert_eq!(server.read("docs/new.docx"), "");
    let in_field = format!("Lock-Token: <{token}>");
    word.send("PUT /docs/new.docx", &[&in_field], Whole("new")).expect_any(&[201, 204]);
    word.send("UNLOCK /docs/new.docx", &[&in_field], None).expect(204);
    assert_eq!(server.read("docs/new.docx"), "new");
}

/// A second Word finds the document locked and is told by whom the way is barred; it opens read-only.
#[test]
fn a_second_word_opens_read_only() {
    let server = Server::start();
    server.write("a.docx", "document");
    let (mut one, mut other) = (Client::new(&server, &WORD), Client::new(&server, &WORD));
    word_opens(&mut one, "/a.docx");
    let barred = other.send("LOCK /a.docx", &LOCK_FIELDS, Whole(LOCKINFO)).expect(423);
    assert!(barred.text().contains("no-conflicting-lock"), "{barred}");
    other.bare("GET /a.docx", &[XML]).expect_body("document");
}
