//! What follows a change that was refused: some clients answer it with a DELETE of the name, for what they take to be half of their own file.
//! What stands there stays for those, and for nobody else.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use noclobber::model::path::SharePath;
use noclobber::model::principal::{Client, Principal};
use noclobber::model::stamp::Timestamp;
use noclobber::share::outcome::{Refusal, Stop};
use noclobber::share::{RequestContext, Share, ShareSettings};
use noclobber::store::abilities::Tier;
use noclobber::store::catalog::index::Index;
use noclobber::store::local::commit::Tree;

use crate::harness::client::tag_of;
use crate::harness::sim_disk::{Features, SimDisk};
use crate::harness::{Request, Server};

fn by(request: Request, program: &str) -> Request {
    request.header("User-Agent", program)
}

/// Two programs agree on who works by making a file that must not be there yet. Whoever made it takes it away again, however often the other
/// has tried meanwhile, also from the same machine and by the same program.
#[test]
fn who_made_a_lock_file_may_delete_it_although_others_were_refused() {
    let server = Server::start();
    let take = || by(server.put("/lock.json"), "node").if_none_match("*").body("{}");
    for _ in 0..3 {
        take().expect(201);
        take().expect(412);
        take().expect(412);
        by(server.delete("/lock.json"), "node").expect(204);
    }
}

/// A client that names its own condition knows what a 412 is: its DELETE is no mistake.
#[test]
fn a_condition_that_does_not_hold_is_followed_by_nothing() {
    let server = Server::start();
    let conditions = [
        ("If-None-Match", "*".to_owned()),
        ("If-None-Match", tag_of("theirs")),
        ("If-Match", tag_of("older")),
        ("If-Unmodified-Since", "Sat, 01 Jan 2000 00:00:00 GMT".to_owned()),
        ("If", format!("([{}])", tag_of("older"))),
        ("Overwrite", "F".to_owned()),
    ];
    for (name, value) in &conditions {
        server.write("f", "theirs");
        server.put("/f").header(name, value).body("mine").expect(412);
        server.put("/f").header(name, value).body_when_asked("mine").expect(412);
        server.delete("/f").expect(204);
    }
    // But for those that are known to delete after whatever goes wrong.
    for program in ["rclone/v1.60.1-DEV", "Microsoft-WebDAV-MiniRedir/10.0.19045", "DavClnt"] {
        for (name, value) in &conditions {
            server.write("f", "theirs");
            by(server.put("/f"), program).header(name, value).body("mine").expect(412);
            by(server.delete("/f"), program).expect(412);
            assert_eq!(server.read("f"), "theirs");
        }
    }
}

/// Whatever else an upload of a file failed for: what is there is not deleted by the client whose upload it was. That is
/// said as it is, with the way out.
#[test]
fn what_could_not_be_stored_is_not_taken_back() {
    let server = Server::start();
    server.write("f", "theirs");
    server.write("folder/member", "theirs");
    let wrong_digest = "SHA1:0000000000000000000000000000000000000000";
    for (refused, target) in [
        (server.put("/f").header("OC-Checksum", wrong_digest).body("mine"), "/f"),
        (server.put("/f").header("Content-Range", "bytes 0-3/9").body("mine"), "/f"),
        (server.put("/f").header("Content-Encoding", "gzip").body("mine"), "/f"),
        (server.put("/f").header("Content-Range", "bytes 0-3/9").body_when_asked("mine"), "/f"),
        (server.moving("/f", "/f"), "/f"),
        (server.copying("/folder", "/f").header("Depth", "1"), "/f"),
    ] {
        let program = format!("{refused}");
        assert!(by(refused, &program).send().status >= 400);
        let kept = by(server.delete(target), &program).expect(412);
        let problem = kept.problem();
        assert_eq!(problem["type"], "urn:noclobber:problem:refused-lately", "{problem}");
        assert!(problem.get("failed_header").is_none(), "no condition was sent: {problem}");
        let told = problem["retry"].as_str().unwrap();
        assert!(told.contains("minute") && told.contains("If-Match"), "{problem}");
        assert_eq!((server.read("f"), server.read("folder/member")), ("theirs".to_owned(), "theirs".to_owned()));
        // It is another program's business what was refused to this one.
        by(server.delete("/other"), "another").expect(404);
        by(server.delete(target), &program).if_match(kept.tag()).expect(204);
        server.write("f", "theirs");
    }
    let locked = server.lock("/f", "exclusive", "0").expect(200);
    by(server.put("/f"), "blind").body("mine").expect(423);
    by(server.request("MOVE", "/folder/member").header("Destination", "/f"), "mover").expect(423);
    server.request("UNLOCK", "/f").header("Lock-Token", locked.field("lock-token")).expect(204);
    by(server.delete("/f"), "blind").expect(412);
    by(server.delete("/f"), "mover").expect(412);
    // A save that succeeds ends the matter, whichever way it comes; and the others never were concerned.
    by(server.put("/f"), "blind").body("mine").expect(204);
    by(server.request("COPY", "/folder/member").header("Destination", "/f"), "mover").expect(204);
    by(server.delete("/f"), "mover").expect(204);
    server.write("f", "theirs");
    by(server.delete("/f"), "blind").expect(204);
    by(server.delete("/folder"), "another").expect(204);
}

/// A folder has no version that could be named, and what was refused for its source, or for the slash at its end, was not refused for what is
/// there.
#[test]
fn what_was_refused_for_something_else_stands_in_no_way() {
    let server = Server::start();
    for refused in [
        (|server: &Server| server.put("/folder").body("mine").expect(405)) as fn(&Server) -> _,
        |server| server.put("/folder/").body("mine").expect(405),
        |server| server.put("/folder").body_when_asked("mine").expect(405),
        |server| server.copying("/folder", "/folder").expect(403),
        |server| server.put("/f/").body("mine").expect(409),
        |server| server.put("/f/").body_when_asked("mine").expect(409),
        |server| server.copying("/nothing", "/f").expect(404),
        |server| server.moving("/nothing", "/f").expect(404),
        |server| server.copying("/a/", "/f").expect(404),
        |server| server.copying("/a?version=2001-01-01T00-00-00.000000Z", "/f").expect(404),
        |server| server.moving("/locked", "/f").expect(423),
        |server| {
            let token = server.locked("/changed", "0");
            server.write("changed", "by a program");
            let refused = server.moving("/changed", "/f").header("If", format!("</changed> (<{token}>)")).expect(412);
            server.unlock("/changed", &token).expect(204);
            refused
        },
    ] {
        for name in ["f", "a", "locked", "changed", "folder/member"] {
            server.write(name, "theirs");
        }
        let token = server.locked("/locked", "0");
        let told = refused(&server);
        assert_eq!(server.delete("/folder").send().status, 204, "after {told}");
        assert_eq!(server.delete("/f").send().status, 204, "after {told}");
        server.unlock("/locked", &token).expect(204);
    }
}

/// The token of a lock names the version that it pins: the holder deletes it, whoever else was kept from writing.
#[test]
fn the_holder_of_a_lock_may_delete_although_others_were_refused() {
    let server = Server::start();
    for depth in ["0", "infinity"] {
        let token = server.lock("/work.lock", "exclusive", depth).expect(201).token();
        server.put("/work.lock").body("another's").expect(423);
        server.delete("/work.lock").expect(423);
        server.delete("/work.lock").header("If", format!("(<{token}>)")).expect(204);
    }
    // One that pins nothing there names nothing.
    server.write("folder/f", "theirs");
    let token = server.locked("/folder", "infinity");
    server.put("/folder/f").body("mine").expect(423);
    server.delete("/folder/f").header("If", format!("</folder> (<{token}>)")).expect(412);
}

/// `Overwrite: F` on MOVE and COPY is a question, and the usual answer to a yes of the user is a DELETE.
#[test]
fn a_move_that_may_not_replace_is_followed_by_nothing() {
    let server = Server::start();
    for method in ["MOVE", "COPY"] {
        server.write("a", "mine");
        server.write("b", "theirs");
        let go = || {
            let go = server.request(method, "/a").header("Destination", "/b").header("Overwrite", "F");
            by(go, "Microsoft-WebDAV-MiniRedir/10.0.19045")
        };
        go().expect(412);
        by(server.delete("/b"), "Microsoft-WebDAV-MiniRedir/10.0.19045").expect(204);
        go().expect(201);
    }
}

/// What one client was refused is held against it alone: by address, by user and by program.
#[test]
fn a_refusal_is_held_against_one_client() {
    let disk = SimDisk::new(Features::of(Tier::A));
    disk.begin(vec![]);
    let settings = ShareSettings {
        keep: None,
        require_preconditions: false,
        tag_threshold: 1 << 20,
        hashing_max: 1,
        syncs: true,
        ..ShareSettings::default()
    };
    let share =
        Share::open(Tree::on(Arc::new(disk.clone())), Index::in_memory(), settings, disk.now()).expect("opened");
    let address = |last| Some(IpAddr::from([192, 0, 2, last]));
    let one = Client::new(Principal::Anonymous, address(1), Some("a"));
    let others = [
        Client::new(Principal::Anonymous, address(2), Some("a")),
        Client::new(Principal::named("eve"), address(1), Some("a")),
        Client::new(Principal::Anonymous, address(1), Some("b")),
        Client::new(Principal::Anonymous, None, Some("a")),
    ];
    let path = SharePath::parse_disk(b"f").unwrap();
    let delete = |client: &Client, now: Timestamp| {
        share.delete(&path, &RequestContext { client: client.clone(), ..RequestContext::unconditional(now) })
    };
    for other in &others {
        disk.place("f", "theirs");
        share.not_stored(one.clone(), &path, false, disk.now());
        let kept = delete(&one, disk.now());
        assert!(matches!(kept, Err(Stop::Refusal(Refusal::RefusedLately { .. }))), "{kept:?}");
        delete(other, disk.now()).unwrap();
    }
    disk.place("f", "theirs");
    delete(&one, disk.now().plus(Duration::from_secs(61))).unwrap();
}
