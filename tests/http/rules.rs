//! Rules by path, as clients meet them: a matrix of requests, roles, paths and ways to sign in, compared with a table of rights that was written by
//! hand; and that no right is gained by another spelling, another end of a move, or a header.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::harness::tree::tree;
use crate::harness::users::{USERS, UsersFile, Way, signed};
use crate::harness::{Answer, Request, Server};

const RULES: &str = r#"
[[rules]]
path = "/"
who = "everybody"
may = "list"
[[rules]]
path = "/"
who = "signed-in"
may = "read"
[[rules]]
path = "/"
who = "user:admin"
may = "write"
[[rules]]
path = "/"
who = "user:carl"
may = ["read", "create"]
[[rules]]
path = "/"
who = "user:hugo"
may = ["read", "history"]
[[rules]]
path = "/"
who = "user:dora"
may = "drop"
[[rules]]
path = "/"
who = "user:nina"
may = "none"
[[rules]]
path = "/secret"
who = "everybody"
may = "none"
[[rules]]
path = "/secret"
who = "user:admin"
may = "write"
[[rules]]
path = "/home"
who = "signed-in"
may = "none"
[[rules]]
path = "/home/{user}"
who = "signed-in"
may = "write"
[[rules]]
path = "/team"
who = "group:staff"
may = ["list", "read", "create", "overwrite", "delete"]
[[rules]]
path = "/team"
who = "signed-in"
may = "read"
[[rules]]
path = "/inbox"
who = "everybody"
may = "drop"
[[rules]]
path = "/pit"
who = "everybody"
may = "write"
"#;

/// Who asks; the first has not said who it is.
const ROLES: [&str; 8] = ["", "bob", "alice", "admin", "carl", "dora", "hugo", "nina"];

/// What each of them may do in each area: list, read, create, overwrite, delete, history.
const RIGHTS: [(&str, [&str; 8]); 6] = [
    ("/", ["l", "lr", "lr", "lrcodh", "lrc", "c", "lrh", ""]),
    ("/secret", ["", "", "", "lrcodh", "", "", "", ""]),
    ("/home/bob", ["l", "lrcodh", "", "", "", "", "", ""]),
    ("/home/alice", ["l", "", "lrcodh", "", "", "", "", ""]),
    ("/team", ["l", "lr", "lrcod", "lr", "lr", "lr", "lr", "lr"]),
    ("/inbox", ["c", "c", "c", "c", "c", "c", "c", "c"]),
];

/// The paths, each with its area and what is there.
const PATHS: [(&str, usize, There); 15] = [
    ("/f", 0, There::File),
    ("/d/", 0, There::Folder),
    ("/d/m", 0, There::File),
    ("/new", 0, There::Nothing),
    ("/secret/", 1, There::Folder),
    ("/secret/x", 1, There::File),
    ("/secret/new", 1, There::Nothing),
    ("/home/bob/", 2, There::Folder),
    ("/home/bob/f", 2, There::File),
    ("/home/alice/f", 3, There::File),
    ("/team/f", 4, There::File),
    ("/team/new", 4, There::Nothing),
    ("/inbox/", 5, There::Folder),
    ("/inbox/f", 5, There::File),
    ("/inbox/new", 5, There::Nothing),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum There {
    Nothing,
    File,
    Folder,
}

/// A kind of request, and what it takes where nothing is, where a file is, and where a folder is: rights that stand together are all needed, and of
/// those between bars one set. `@` stands for the path.
type Row = (&'static str, &'static str, &'static [(&'static str, &'static str)], [&'static str; 3]);

const ROWS: &[Row] = &[
    ("GET", "@", &[], ["l|r", "r", "l"]),
    ("HEAD", "@", &[], ["l|r", "r", "l"]),
    ("GET", "@?json", &[], ["l|r", "r", "l"]),
    ("GET", "@?versions", &[], ["h", "h", "h"]),
    ("GET", "@?version=OLD", &[], ["h", "h", "h"]),
    ("GET", "@?deleted", &[], ["h", "h", "h"]),
    ("PROPFIND", "@", &[("depth", "0")], ["l", "l", "l"]),
    ("PROPFIND", "@", &[("depth", "1")], ["l", "l", "l"]),
    ("PROPFIND", "@", &[("depth", "infinity")], ["l", "l", "l"]),
    ("PROPPATCH", "@", &[], ["o", "o", "o"]),
    ("PUT", "@", &[], ["c", "o", "c|o"]),
    ("MKCOL", "@", &[], ["c", "cl|cr|co|cd", "cl|cr|co|cd"]),
    ("DELETE", "@", &[], ["d", "d", "d"]),
    ("COPY", "@", &[("destination", "/pit/x")], ["r", "r", "lr"]),
    ("COPY", "/pit/s", &[("destination", "@")], ["c", "o", "cod"]),
    ("MOVE", "@", &[("destination", "/pit/x")], ["d", "dlr", "dlr"]),
    ("MOVE", "/pit/s", &[("destination", "@")], ["c", "o", "cod"]),
    ("LOCK", "@", &[("depth", "0")], ["c", "o", "o"]),
    ("LOCK", "@", &[("depth", "infinity")], ["c", "o", "o"]),
    ("POST", "@?restore=OLD", &[], ["ch", "oh", "ch"]),
];

const LOCK: &str = "<D:lockinfo xmlns:D='DAV:'><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>";

const PROPERTY: &str =
    "<D:propertyupdate xmlns:D='DAV:'><D:set><D:prop><x xmlns='urn:x'>1</x></D:prop></D:set></D:propertyupdate>";

/// A share with files in every area, each of which has an older version, and its users and rules.
struct Stage {
    server: Server,
    users: UsersFile,
    old: BTreeMap<&'static str, String>,
}

impl Stage {
    fn set(rules: &str, options: &[&str]) -> Self {
        let mut server = Server::start();
        fill(server.folder());
        let mut old = BTreeMap::new();
        for (path, _, there) in PATHS.into_iter().filter(|(_, _, there)| *there == There::File) {
            assert_eq!(there, There::File);
            server.put(path).body("newer").expect(204);
            let versions = server.get(format!("{path}?versions")).expect(200).json();
            old.insert(path, versions["versions"][0]["id"].as_str().unwrap().to_owned());
        }
        server.stop();
        let users = UsersFile::make(rules);
        let options = options.iter().fold(Server::builder(), |server, word| server.option(*word));
        server.start_again_with(options.value("--users", users.path().display()));
        Self { server, users, old }
    }

    fn request(&self, row: &Row, path: &str) -> Request {
        let old = self.old.get(path).map_or("2026-01-01T00-00-00.000000Z", String::as_str);
        let filled = |text: &str| text.replace('@', path).replace("OLD", old);
        let mut request = self.server.request(row.0, filled(row.1));
        for (name, value) in row.2 {
            request = request.header(name, filled(value));
        }
        match row.0 {
            "PUT" => request.body("uploaded"),
            "LOCK" => request.header("content-type", "application/xml").body(LOCK),
            "PROPPATCH" => request.header("content-type", "application/xml").body(PROPERTY),
            _ => request,
        }
    }
}

/// The files and folders of the stage, as they are before each request.
fn fill(folder: &Path) {
    for name in ["new", "pit", "d", "secret", "home", "team", "inbox"] {
        let path = folder.join(name);
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { drop(fs::remove_file(path)) }
    }
    for inside in ["d", "secret", "home/bob", "home/alice", "team", "inbox", "pit"] {
        fs::create_dir_all(folder.join(inside)).unwrap();
    }
    for file in ["f", "d/m", "secret/x", "home/bob/f", "home/alice/f", "team/f", "inbox/f", "pit/s"] {
        fs::write(folder.join(file), file).unwrap();
    }
}

fn has(rights: &str, needed: &str) -> bool {
    needed.split('|').any(|all| all.chars().all(|right| rights.contains(right)))
}

/// How a request is answered to whom it is not permitted: who has not said who it is is asked to; what one may not see is not there.
fn is_refusal(role: &str, rights: &str, row: &Row, status: u16) -> bool {
    let sees = rights.contains(['l', 'r']);
    match status {
        401 => role.is_empty(),
        403 => !role.is_empty() && (sees || rights.contains('c') || row.1 != "@" && row.0 != "GET"),
        404 => !role.is_empty() && !sees,
        _ => false,
    }
}

fn judge(way: Way, row: &Row, path: (&str, usize, There), role: usize, answer: &Answer) {
    let (path, area, there) = path;
    let rights = RIGHTS[area].1[role];
    let needed = row.3[match there {
        There::Nothing => 0,
        There::File => 1,
        There::Folder => 2,
    }];
    let about = || format!("{} ({rights}) by {way:?}: {} {} at {path}: {answer}", ROLES[role], row.0, row.1);
    // Which version is meant is asked before what takes its place.
    let names_no_version = row.1.contains("restore") && there != There::File && has(rights, "h");
    if has(rights, needed) || names_no_version {
        assert!(![401, 403, 500].contains(&answer.status), "{}", about());
        let is_there = there != There::Nothing || row.1 != "@" || ["PUT", "MKCOL", "LOCK"].contains(&row.0);
        let is_of_versions = row.1.contains('?');
        assert!(answer.status != 404 || !is_there || is_of_versions, "{}", about());
    } else {
        assert!(is_refusal(ROLES[role], rights, row, answer.status), "{}", about());
        assert!(!answer.text().contains("uploaded") && !answer.text().contains("newer"), "{}", about());
    }
    if !has(rights, "l|r") && !ROLES[role].is_empty() && ["GET", "HEAD", "PROPFIND"].contains(&row.0) {
        assert!(answer.header("etag").is_none() && answer.header("last-modified").is_none(), "{}", about());
    }
}

/// 20 kinds of requests, 8 roles, 15 paths, 5 ways in.
#[test]
fn every_request_is_permitted_by_the_table_and_by_nothing_else() {
    let plain = Stage::set(RULES, &[]);
    let behind = Stage::set(RULES, &["--trusted-proxy=127.0.0.1", "--user-header=remote-user"]);
    let mut judged = 0;
    for way in [Way::Basic, Way::Digest, Way::Token, Way::Session, Way::Proxy] {
        let stage = if way == Way::Proxy { &behind } else { &plain };
        for (role, name) in ROLES.into_iter().enumerate() {
            for row in ROWS {
                for path in PATHS {
                    fill(stage.server.folder());
                    let before = tree(stage.server.folder(), &["pit"]);
                    judged += 1;
                    // What a client could not store counts against it, and so each of them is another.
                    let request = stage.request(row, path.0).header("user-agent", format!("client {judged}"));
                    let answer = signed(request, name, way, &stage.users).send();
                    judge(way, row, path, role, &answer);
                    if answer.status >= 400 {
                        assert_eq!(
                            tree(stage.server.folder(), &["pit"]),
                            before,
                            "{name}: {} {} was refused",
                            row.0,
                            path.0
                        );
                    }
                    if let (Some(token), "LOCK") = (answer.header("lock-token"), row.0) {
                        let unlock = stage.server.request("UNLOCK", path.0).header("lock-token", token);
                        signed(unlock, name, way, &stage.users).expect(204);
                    }
                }
            }
        }
    }
    assert_eq!(judged, 20 * 8 * 15 * 5);
}

/// What is in a tree and may not be seen is in no listing, no copy and no history, and keeps the tree where it is.
#[test]
fn what_one_may_not_see_is_not_in_a_tree() {
    let rules = r#"
[[rules]]
path = "/"
who = "signed-in"
may = "write"
[[rules]]
path = "/d/hidden"
who = "signed-in"
may = "none"
[[rules]]
path = "/d/hidden"
who = "user:admin"
may = "write"
"#;
    let stage = Stage::set(rules, &[]);
    let as_user = |request, name| signed(request, name, Way::Token, &stage.users);
    let request = |method: &str, target: &str| stage.server.request(method, target);
    as_user(request("MKCOL", "/d/hidden"), "admin").expect(201);
    as_user(stage.server.put("/d/hidden/canary-file").body("canary-text"), "admin").expect(201);
    as_user(stage.server.put("/d/hidden/canary-gone").body("canary-text"), "admin").expect(201);
    as_user(stage.server.delete("/d/hidden/canary-gone"), "admin").expect(204);
    let look = [
        ("GET", "/d/"),
        ("GET", "/d/?json"),
        ("PROPFIND", "/d/"),
        ("PROPFIND", "/"),
        ("GET", "/?deleted&deep"),
        ("GET", "/d/?deleted&deep"),
        ("GET", "/d/?deleted&deep&after=hidden"),
        ("GET", "/d/hidden/?versions"),
        ("OPTIONS", "/d/hidden/"),
    ];
    for (method, target) in look {
        let answer = as_user(request(method, target).header("depth", "infinity"), "bob").send();
        let text = answer.text();
        assert!(!text.contains("canary") && !text.contains("hidden/"), "{method} {target}: {answer}");
    }
    for (method, destination) in [("DELETE", None), ("MOVE", Some("/moved"))] {
        let request = request(method, "/d/");
        let request = if let Some(to) = destination { request.header("destination", to) } else { request };
        as_user(request, "bob").expect(403);
    }
    as_user(request("LOCK", "/d/").header("content-type", "application/xml").body(LOCK), "bob").expect(403);
    as_user(request("COPY", "/pit/").header("destination", "/d"), "bob").expect(403);
    as_user(request("COPY", "/d/").header("destination", "/copied"), "bob").expect(201);
    assert!(stage.server.local("copied/m").exists() && !stage.server.local("copied/hidden").exists());
    assert!(stage.server.local("d/hidden/canary-file").exists());
    as_user(request("MOVE", "/d/").header("destination", "/moved"), "admin").expect(201);
}

/// Another spelling of a name, or a link, leads to what is there and by no other rights than those of the place.
#[test]
fn no_right_is_gained_by_another_spelling_or_a_link() {
    let rules = RULES.replace("user:carl", "user:bob").replace("may = [\"read\", \"create\"]", "may = \"write\"");
    let stage = Stage::set(&rules, &["--follow-symlinks"]);
    symlink("secret", stage.server.local("link")).unwrap();
    symlink("../secret/x", stage.server.local("d/linked")).unwrap();
    symlink("../home", stage.server.local("d/homes")).unwrap();
    let targets = [
        "/secret/x",
        "/SECRET/x",
        "/Secret/x",
        "/%73ecret/x",
        "//secret/x",
        "/secret//x",
        "/secret./x",
        "/secret%20/x",
        "/sec%E2%80%8Bret/x",
        "/\u{ff53}ecret/x",
        "/link/x",
        "/d/linked",
        "/d/homes/alice/f",
        "/home/alice/f",
        "/HOME/alice/f",
    ];
    for target in targets {
        let target = target
            .as_bytes()
            .iter()
            .map(|byte| if byte.is_ascii() { (*byte as char).to_string() } else { format!("%{byte:02X}") });
        let target: String = target.collect();
        for (method, headers) in [
            ("GET", &[][..]),
            ("PROPFIND", &[("depth", "0")]),
            ("COPY", &[("destination", "/pit/x")]),
            ("MOVE", &[("destination", "/pit/x")]),
            ("PUT", &[]),
            ("DELETE", &[]),
            ("MKCOL", &[]),
        ] {
            let before = tree(stage.server.folder(), &["pit"]);
            let mut request = stage.server.request(method, &target).header("user-agent", format!("{method} {target}"));
            for (name, value) in headers {
                request = request.header(name, value);
            }
            let request = if method == "PUT" { request.body("uploaded") } else { request };
            let answer = signed(request, "bob", Way::Basic, &stage.users).send();
            let is_a_link_itself = target == "/d/linked" && ["DELETE", "MOVE", "PUT"].contains(&method);
            assert!(matches!(answer.status, 403 | 404 | 409) || is_a_link_itself, "{method} {target}: {answer}");
            assert!(
                is_a_link_itself || tree(stage.server.folder(), &["pit"]) == before,
                "{method} {target} has changed something"
            );
        }
        let put = signed(stage.server.put("/pit/y").header("destination", &target), "bob", Way::Basic, &stage.users);
        put.body("text").expect_any(&[201, 204]);
        let over = stage.server.request("COPY", "/pit/y").header("destination", &target);
        signed(over, "bob", Way::Basic, &stage.users).expect_any(&[403, 404, 409]);
    }
    let listed = signed(stage.server.get("/d/?json"), "bob", Way::Basic, &stage.users).expect(200);
    assert!(!listed.text().contains("linked") && !listed.text().contains("homes"), "{listed}");
}

/// A lock belongs to who has taken it; another's token opens nothing and is not told where it may not be seen.
#[test]
fn the_lock_of_another_is_no_right() {
    let stage = Stage::set(RULES, &[]);
    let lock = stage
        .server
        .request("LOCK", "/team/f")
        .header("depth", "0")
        .header("content-type", "application/xml")
        .body(LOCK);
    let token = signed(lock, "alice", Way::Basic, &stage.users).expect(200).field("lock-token").to_owned();
    let with_token = |method: &str, name: &str| {
        let request =
            stage.server.request(method, "/team/f").header("if", format!("({token})")).header("lock-token", &token);
        signed(request, name, Way::Basic, &stage.users)
    };
    with_token("PUT", "bob").body("text").expect(403);
    with_token("UNLOCK", "bob").expect(403);
    with_token("LOCK", "bob").expect_any(&[403, 412]);
    let foreign = stage.server.put("/home/bob/f").header("if", "<http://localhost/secret/x> ([\"x\"])").body("text");
    signed(foreign, "bob", Way::Basic, &stage.users).expect(403);
    let absent =
        stage.server.put("/home/bob/f").header("if", "<http://localhost/secret/none> (Not [\"x\"])").body("text");
    signed(absent, "bob", Way::Basic, &stage.users).expect(403);
    with_token("UNLOCK", "alice").expect(204);
    assert_eq!(USERS.len(), 7);
}

/// What is read through a link takes the rights of where it leads, in every method that reads, and for everything below it.
#[test]
fn a_copy_through_a_link_has_what_may_be_read_where_it_leads() {
    let rules = r#"
[[rules]]
path = "/"
who = "signed-in"
may = "write"
[[rules]]
path = "/secret"
who = "signed-in"
may = "none"
[[rules]]
path = "/team/hidden"
who = "signed-in"
may = "none"
[[rules]]
path = "/inbox"
who = "signed-in"
may = "drop"
[[rules]]
path = "/changed"
who = "signed-in"
may = ["list", "overwrite"]
"#;
    let stage = Stage::set(rules, &["--follow-symlinks"]);
    let as_bob = |request| signed(request, "bob", Way::Basic, &stage.users);
    fs::create_dir_all(stage.server.local("team/hidden")).unwrap();
    stage.server.write("team/hidden/x", "canary");
    stage.server.write("secret/x", "canary");
    stage.server.write("inbox/f", "canary");
    stage.server.write("changed", "text");
    for (name, to) in [("d/team", "../team"), ("d/x", "../secret/x"), ("d/inbox", "../inbox"), ("d/f", "../inbox/f")] {
        symlink(to, stage.server.local(name)).unwrap();
    }
    let copy = |from: &str, to: &str| as_bob(stage.server.request("COPY", from).header("destination", to));
    copy("/d/team", "/copied").expect(201);
    assert!(stage.server.local("copied/f").exists() && !stage.server.local("copied/hidden").exists());
    for from in ["/d/x", "/d/inbox", "/d/f"] {
        copy(from, "/leaked").expect_any(&[403, 404]);
    }
    assert!(!stage.server.local("leaked").exists());
    let put = |name: &str, value: &str| as_bob(stage.server.put("/d/x").header(name, value).body("text"));
    for (name, value) in
        [("if-none-match", "*"), ("if-match", "\"x\""), ("if-unmodified-since", "Sat, 01 Jan 2000 00:00:00 GMT")]
    {
        let answer = put(name, value).expect_any(&[403, 404]);
        assert!(answer.header("etag").is_none() && answer.header("last-modified").is_none(), "{answer}");
    }
    copy("/d/", "/changed").expect(403);
    assert_eq!(stage.server.read("changed"), "text");
}

/// What a drop box and a home are for.
#[test]
fn a_box_takes_what_clients_lock_first_and_a_home_has_folders() {
    let stage = Stage::set(RULES, &[]);
    let as_bob = |request| signed(request, "bob", Way::Basic, &stage.users);
    let lock = stage.server.request("LOCK", "/inbox/mine").header("depth", "0");
    let token =
        as_bob(lock.header("content-type", "application/xml").body(LOCK)).expect(201).field("lock-token").to_owned();
    let put = stage.server.put("/inbox/mine").header("if", format!("({token})")).body("filled");
    as_bob(put).expect(204);
    assert_eq!(stage.server.read("inbox/mine"), "filled");
    as_bob(stage.server.put("/inbox/mine").body("again")).expect_any(&[403, 423]);
    as_bob(stage.server.put("/home/bob/a/b/c?mkdirs").body("deep")).expect(201);
    as_bob(stage.server.put("/home/carl/a?mkdirs").body("deep")).expect(404);
}
