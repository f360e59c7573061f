//! What whoever has not said who they are may do: `--anonymous read`, `create` and `write`.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::thread;
use std::time::SystemTime;

use crate::harness::tree::tree;
use crate::harness::{Answer, Request, Server};

const MAY: [&str; 3] = ["read", "create", "write"];

/// A request, and how it is answered to those who may read, who may create, too, and who may write.
type Row = (&'static str, &'static str, &'static [(&'static str, &'static str)], [u16; 3]);

const LOCK: &str = "<D:lockinfo xmlns:D='DAV:'><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>";

const PROPERTY: &str =
    "<D:propertyupdate xmlns:D='DAV:'><D:set><D:prop><x xmlns='urn:x'>1</x></D:prop></D:set></D:propertyupdate>";

/// `OLD` stands for the version of `/f` in the history, `TAG` for the tag of `/f`, `HERE` for the server.
const ROWS: &[Row] = &[
    ("GET", "/f", &[], [200; 3]),
    ("HEAD", "/f", &[], [200; 3]),
    ("GET", "/d/", &[], [200; 3]),
    ("GET", "/d/?json", &[], [200; 3]),
    ("GET", "/none", &[], [404; 3]),
    ("OPTIONS", "/f", &[], [200; 3]),
    ("PROPFIND", "/", &[("depth", "1")], [207; 3]),
    ("REPORT", "/f", &[], [403; 3]),
    ("PATCH", "/f", &[], [403, 403, 415]),
    ("GET", "/f?versions", &[], [403, 403, 200]),
    ("GET", "/f?version=OLD", &[], [403, 403, 200]),
    ("HEAD", "/f?version=OLD", &[], [403, 403, 200]),
    ("GET", "/d/?deleted", &[], [403, 403, 200]),
    ("GET", "/d/?deleted&deep", &[], [403, 403, 200]),
    ("POST", "/f?restore=OLD", &[], [403, 403, 204]),
    ("COPY", "/f?version=OLD", &[("destination", "/x")], [403, 403, 201]),
    ("PUT", "/new", &[], [403, 201, 201]),
    ("PUT", "/new", &[("if-none-match", "*")], [403, 201, 201]),
    ("PUT", "/new", &[("if-match", "*")], [403, 412, 412]),
    ("PUT", "/a/b/c?mkdirs", &[], [403, 201, 201]),
    ("PUT", "/d/new?mkdirs", &[], [403, 201, 201]),
    ("PUT", "/none/new", &[], [403, 409, 409]),
    ("PUT", "/d", &[], [403, 405, 405]),
    ("PUT", "/f", &[], [403, 403, 204]),
    ("PUT", "/f", &[("if-match", "TAG")], [403, 403, 204]),
    ("PUT", "/f", &[("if-match", "\"another\"")], [403, 403, 412]),
    ("PUT", "/f", &[("if-none-match", "*")], [403, 403, 412]),
    ("PUT", "/f?mkdirs", &[], [403, 403, 204]),
    ("DELETE", "/f", &[], [403, 403, 204]),
    ("DELETE", "/f", &[("if-match", "TAG")], [403, 403, 204]),
    ("DELETE", "/d/", &[], [403, 403, 204]),
    ("DELETE", "/none", &[], [403, 403, 404]),
    ("MKCOL", "/x", &[], [403, 201, 201]),
    ("MKCOL", "/d", &[], [403, 405, 405]),
    ("PROPPATCH", "/f", &[], [403, 403, 207]),
    ("PROPPATCH", "/", &[], [403, 403, 207]),
    ("COPY", "/f", &[("destination", "/x")], [403, 201, 201]),
    ("COPY", "/d/", &[("destination", "/x")], [403, 201, 201]),
    ("COPY", "/d/", &[("destination", "/x"), ("depth", "0")], [403, 201, 201]),
    ("COPY", "/f", &[("destination", "/d/m")], [403, 403, 204]),
    ("COPY", "/f", &[("destination", "/d/m"), ("overwrite", "F")], [403, 403, 412]),
    ("COPY", "/f", &[("destination", "/d")], [403, 403, 204]),
    ("MOVE", "/f", &[("destination", "/x")], [403, 403, 201]),
    ("MOVE", "/f", &[("destination", "/F")], [403, 403, 201]),
    ("MOVE", "/d/", &[("destination", "/x")], [403, 403, 201]),
    ("MOVE", "/f", &[("destination", "/d/m")], [403, 403, 204]),
    ("LOCK", "/f", &[], [403, 403, 200]),
    ("LOCK", "/d/", &[], [403, 403, 200]),
    ("LOCK", "/new", &[], [403, 201, 201]),
    ("UNLOCK", "/f", &[("lock-token", "<urn:uuid:00000000-0000-0000-0000-000000000000>")], [403, 409, 409]),
];

/// A folder with a file that has an older version, and a folder with a member.
struct Stage {
    server: Server,
    old: String,
    tag: String,
}

impl Stage {
    fn set(may: &str) -> Self {
        let mut server = Server::start();
        server.put("/f").body("old").expect(201);
        server.put("/f").body("new").expect(204);
        server.request("MKCOL", "/d").expect(201);
        server.put("/d/m").body("member").expect(201);
        let tag = server.get("/f").send().tag();
        let versions = server.get("/f?versions").expect(200).json();
        let old = versions["versions"][0]["id"].as_str().expect("an identifier").to_owned();
        server.stop();
        server.start_again_with(Server::with(format!("--anonymous={may}")));
        Self { server, old, tag }
    }

    fn send(&self, (method, target, headers, _): &Row) -> Answer {
        let filled = |text: &str| text.replace("OLD", &self.old).replace("TAG", &self.tag);
        let mut request = self.server.request(method, filled(target));
        for (name, value) in *headers {
            request = request.header(name, filled(value));
        }
        match *method {
            "PUT" => request.body("uploaded"),
            "LOCK" => request.header("content-type", "application/xml").body(LOCK),
            "PROPPATCH" => request.header("content-type", "application/xml").body(PROPERTY),
            _ => request,
        }
        .send()
    }
}

/// Locks a path, and gives the token as `Lock-Token` has it.
fn lock(server: &Server, target: &str, depth: &str) -> String {
    let request = server.request("LOCK", target).header("depth", depth).header("content-type", "application/xml");
    request.body(LOCK).expect_any(&[200, 201]).field("lock-token").to_owned()
}

#[test]
fn whoever_has_not_said_who_they_are_may_do_what_was_given_and_no_more() {
    for (nth, may) in MAY.into_iter().enumerate() {
        let mut stage = Stage::set(may);
        for row in ROWS {
            let before = tree(stage.server.folder(), &[]);
            let answer = stage.send(row);
            assert_eq!(answer.status, row.3[nth], "{may}: {row:?}\n{answer}");
            let after = tree(stage.server.folder(), &[]);
            if answer.status >= 400 {
                assert_eq!(after, before, "{may}: {row:?} was refused");
            }
            if answer.status == 403 && row.0 != "REPORT" && row.0 != "HEAD" {
                assert!(answer.text().contains("need-privileges"), "{may}: {row:?}\n{answer}");
            }
            if may == "create" {
                let kept = before.iter().all(|(name, text)| after.get(name) == Some(text));
                assert!(kept, "{row:?} changed what was there: {before:?}, {after:?}");
            }
            if after != before || row.0 == "LOCK" || row.0 == "PROPPATCH" {
                stage = Stage::set(may);
            }
        }
    }
}

/// Before the body is asked for.
#[test]
fn who_may_not_is_told_before_the_body_comes() {
    for (may, target) in [("read", "/new"), ("read", "/f"), ("create", "/f")] {
        let stage = Stage::set(may);
        let answer = stage.server.put(target).body_when_asked("uploaded").send();
        assert_eq!(answer.status, 403, "{may} {target}: {answer}");
        assert!(answer.interim.is_empty(), "{may} {target}: {answer}");
    }
}

/// A crowd stores something at one free name: one of them does, and nobody's bytes are replaced.
#[test]
fn of_a_crowd_that_may_create_one_has_the_name() {
    let stage = Stage::set("create");
    let address = stage.server.address();
    for round in 0..20 {
        let target = format!("/crowd-{round}");
        let put = |nth: usize| Request::new(address, "PUT", &target).body(format!("of {nth}")).send().status;
        let put = &put;
        let statuses: Vec<u16> = thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|nth| scope.spawn(move || put(nth))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let stored: Vec<usize> = (0..8).filter(|nth| statuses[*nth] == 201).collect();
        let [first] = stored[..] else { panic!("one of them stores it: {statuses:?}") };
        assert!(statuses.iter().all(|status| [201, 403].contains(status)), "{statuses:?}");
        stage.server.get(&target).expect_body(format!("of {first}"));
    }
}

/// Many clients lock a free name first, which makes an empty file. Whoever did so may fill it, once.
#[test]
fn who_locks_a_free_name_may_fill_it_once() {
    let stage = Stage::set("create");
    let server = &stage.server;
    let token = lock(server, "/new", "infinity");
    let holding = |request: Request| request.header("if", format!("({token})"));
    assert_eq!(server.put("/new").body("of another").send().status, 403, "the token is missing");
    assert_eq!(holding(server.delete("/new")).send().status, 403);
    holding(server.put("/new")).body("filled").expect(204);
    assert_eq!(holding(server.put("/new")).body("again").send().status, 403);
    server.request("UNLOCK", "/new").header("lock-token", &token).expect(204);
    assert_eq!(server.put("/new").body("again").send().status, 403);
    server.get("/new").expect_body("filled");
}

/// A body of no bytes fills it, too.
#[test]
fn filling_it_with_nothing_is_filling_it() {
    let stage = Stage::set("create");
    let server = &stage.server;
    let token = lock(server, "/new", "infinity");
    let fill = |body: &str| server.put("/new").header("if", format!("({token})")).body(body).send().status;
    assert_eq!((fill(""), fill(""), fill("filled")), (204, 403, 403));
    server.get("/new").expect_body("");
}

/// The lock is on the file that was made for it: whatever another program has put there or done to it is nobody's to replace.
#[test]
fn only_the_file_that_the_lock_made_is_filled() {
    type Act = fn(&Path);
    let acts: [(&str, Act); 6] = [
        ("written", |file| fs::write(file, "saved").unwrap()),
        ("written and emptied", |file| {
            fs::write(file, "saved").unwrap();
            fs::write(file, "").unwrap();
        }),
        ("another empty file in its place", |file| {
            let other = file.with_extension("other");
            fs::write(&other, "").unwrap();
            fs::rename(other, file).unwrap();
        }),
        ("removed and made anew", |file| {
            fs::remove_file(file).unwrap();
            fs::write(file, "").unwrap();
        }),
        ("linked to another", |file| {
            let other = file.with_extension("other");
            fs::write(&other, "").unwrap();
            fs::remove_file(file).unwrap();
            fs::hard_link(other, file).unwrap();
        }),
        ("given another date", |file| {
            let file = fs::File::options().write(true).open(file).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        }),
    ];
    for (what, act) in acts {
        let stage = Stage::set("create");
        let server = &stage.server;
        let token = lock(server, "/new", "infinity");
        let file = server.folder().join("new");
        act(&file);
        let before = (fs::read(&file).unwrap(), fs::metadata(&file).unwrap().ino());
        for body in ["filled", ""] {
            let refused = server.put("/new").header("if", format!("({token})")).body(body).send();
            assert!([403, 412].contains(&refused.status), "{what}: {refused}");
        }
        assert_eq!((fs::read(&file).unwrap(), fs::metadata(&file).unwrap().ino()), before, "{what}");
    }
}

/// Nor does a lock on a folder that has come where it was taken reach what is in that.
#[test]
fn a_lock_fills_nothing_below_its_root() {
    let stage = Stage::set("create");
    let server = &stage.server;
    let token = lock(server, "/new", "infinity");
    fs::remove_file(server.folder().join("new")).unwrap();
    fs::create_dir(server.folder().join("new")).unwrap();
    let put = |body: &str| {
        let holding = format!("<http://{}/new> ({token})", server.address());
        server.put("/new/in").header("if", holding).body(body).send().status
    };
    assert_eq!((put(""), put(""), put("filled")), (201, 403, 403));
}

/// Rights may be fewer than when a lock was taken: it is then of no use, and nobody's to keep or to give back.
#[test]
fn a_lock_from_before_gives_no_right() {
    for now in ["read", "create"] {
        let (folder, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let may = |may: &str| Server::with(format!("--anonymous={may}")).state(state.path());
        let mut server = may("write").folder(folder.path()).start();
        server.put("/empty").body("").expect(201);
        server.request("MKCOL", "/d").expect(201);
        let (file, below) = (lock(&server, "/empty", "0"), lock(&server, "/d", "infinity"));
        let in_folder = format!("<http://{}/d/> ({below})", server.address());
        server.put("/d/empty").header("if", in_folder).body("").expect(201);
        server.stop();
        server.start_again_with(may(now).folder(folder.path()));
        let in_folder = format!("<http://{}/d/> ({below})", server.address());
        for (method, target, name, value) in [
            ("PUT", "/empty", "if", format!("({file})")),
            ("PUT", "/d/empty", "if", in_folder),
            ("LOCK", "/empty", "if", format!("({file})")),
            ("UNLOCK", "/empty", "lock-token", file.clone()),
            ("UNLOCK", "/d", "lock-token", below.clone()),
        ] {
            let request = server.request(method, target).header(name, value);
            let answer = if method == "PUT" { request.body("filled") } else { request }.send();
            assert_eq!(answer.status, 403, "{now}: {answer}");
        }
        server.get("/empty").expect_body("");
        server.get("/d/empty").expect_body("");
        server.stop();
    }
}

/// An empty file that was there before is no free name.
#[test]
fn an_empty_file_is_not_filled() {
    let stage = Stage::set("create");
    fs::write(stage.server.folder().join("empty"), "").unwrap();
    let row: Row = ("LOCK", "/empty", &[], [403; 3]);
    assert_eq!(stage.send(&row).status, 403);
    assert_eq!(stage.server.put("/empty").body("filled").send().status, 403);
}

/// A client that asks before it writes is told the truth (RFC 3744 §5.5).
#[test]
fn the_privileges_that_are_told_are_those_that_hold() {
    let all = ["read", "write", "write-properties", "write-content", "bind", "unbind", "unlock"];
    for (may, expected) in [("read", &["read"][..]), ("create", &["read", "bind", "unlock"]), ("write", &all)] {
        let stage = Stage::set(may);
        let asked = "<D:propfind xmlns:D='DAV:'><D:prop><D:current-user-privilege-set/></D:prop></D:propfind>";
        let told = stage.server.request("PROPFIND", "/f").header("depth", "0").body(asked).expect(207).text();
        for privilege in all {
            let is_told = told.contains(&format!("<D:privilege><D:{privilege}/></D:privilege>"));
            assert_eq!(is_told, expected.contains(&privilege), "{may}: {privilege}\n{told}");
        }
    }
}
