//! Who replaced or deleted something: it stands in the history, in a 412 and in the log, for whoever may know; and never is anybody named who did
//! not do it.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::client::tag_of;
use crate::harness::programs::StartProgram as _;
use crate::harness::server::Options;
use crate::harness::users::{UsersFile, Way, signed};
use crate::harness::{Answer, Request, Server};

/// Alice and bob may do everything, carl everything but look into the history, and dora and those who have not signed in only change.
const RULES: &str = r#"
[[rules]]
path = "/"
who = "user:alice"
may = "write"
[[rules]]
path = "/"
who = "user:bob"
may = "write"
[[rules]]
path = "/"
who = "user:carl"
may = ["list", "read", "create", "overwrite", "delete"]
[[rules]]
path = "/"
who = "everybody"
may = ["create", "overwrite", "delete"]
"#;

const PROXY: [&str; 2] = ["--trusted-proxy=127.0.0.1", "--user-header=Remote-User"];

const FULL_LOCK: &str =
    "<lockinfo xmlns='DAV:'><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>";

struct Stage {
    server: Server,
    users: UsersFile,
    way: Way,
}

impl Stage {
    fn set(options: &[&str], way: Way) -> Self {
        let users = UsersFile::make(RULES);
        let server = with(&users, options).start();
        Self { server, users, way }
    }

    /// Sends a request as this user.
    #[track_caller]
    fn send(&self, name: &str, request: Request) -> Answer {
        signed(request, name, self.way, &self.users).send()
    }

    #[track_caller]
    fn put(&self, name: &str, path: &str, body: &str) {
        let request = self.server.put(path).body(body);
        self.send(name, request).expect_any(&[201, 204]);
    }

    fn to(&self, method: &str, from: &str, to: &str) -> Request {
        self.server.request(method, from).header("Destination", to)
    }

    /// Who displaced each version of a path, the newest first.
    #[track_caller]
    fn displaced_by(&self, path: &str) -> Vec<Value> {
        let listing = self.send("alice", self.server.get(format!("{path}?versions"))).expect(200).json();
        let versions = listing["versions"].as_array().expect("versions").iter();
        versions.map(|version| version["displaced_by"].clone()).collect()
    }

    /// What a 412 to a PUT of this user says of the last change, where the version that it names is not there.
    #[track_caller]
    fn refused(&self, name: &str, path: &str) -> Answer {
        let request = self.server.put(path).if_match("\"0123456789abcdef0123456789abcdef\"").body("mine");
        self.send(name, request).expect(412)
    }

    #[track_caller]
    fn told(&self, name: &str, path: &str) -> Value {
        let mut told = self.refused(name, path).problem()["last_change"].clone();
        if let Some(at) = told.as_object_mut().and_then(|told| told.remove("at")) {
            assert!(at.is_null() || at.as_str().is_some_and(|at| at.ends_with('Z')), "{at}");
        }
        told
    }

    fn history(&self, words: &[&str]) -> String {
        let mut program = Command::new(env!("CARGO_BIN_EXE_noclobber"));
        let output = program.arg("history").args(words).arg("--folder").arg(self.server.folder()).run();
        String::from_utf8(output.expect("a list").stdout).expect("UTF-8")
    }
}

fn with(users: &UsersFile, options: &[&str]) -> Options {
    let options = options.iter().fold(Server::builder(), |server, word| server.option(*word));
    options.value("--users", users.path().display())
}

fn by(user: &str, way_in: &str) -> Value {
    json!({ "user": if user.is_empty() { Value::Null } else { user.into() }, "way_in": way_in })
}

fn stored(user: &str, way_in: &str) -> Value {
    json!({ "by": by(user, way_in) })
}

/// The columns of a line of `noclobber history`: the version, its size, who displaced it, and the path.
fn columns(line: &str) -> [&str; 4] {
    let (line, mut columns) = (&mut line.trim_start(), [""; 4]);
    for column in &mut columns[..3] {
        let (text, rest) = line.split_once("  ").expect("another column");
        (*column, *line) = (text, rest.trim_start());
    }
    columns[3] = line;
    columns
}

/// The names of the versions of a path, as they stand on the disk.
fn names(server: &Server, path: &str) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(server.versions_of(path))
        .expect("versions")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    names
}

/// Whatever way somebody came in by, it is that which is told, and with it the name.
#[test]
fn every_way_in_is_told() {
    for (way, word) in [
        (Way::Basic, "password"),
        (Way::Digest, "digest"),
        (Way::Token, "token"),
        (Way::Session, "session"),
        (Way::Proxy, "proxy"),
    ] {
        let stage = Stage::set(if way == Way::Proxy { &PROXY } else { &[] }, way);
        stage.put("alice", "/f", "one");
        assert_eq!(stage.told("bob", "/f"), stored("alice", word), "{way:?}");
        stage.put("bob", "/f", "two");
        stage.put("", "/f", "three");
        assert_eq!(stage.displaced_by("/f"), [by("", "anonymous"), by("bob", word)], "{way:?}");
        assert_eq!(stage.told("bob", "/f"), stored("", "anonymous"), "{way:?}");
        let listed = stage.history(&[]);
        let lines: Vec<&str> = listed.lines().collect();
        assert_eq!(columns(lines[0])[1..], ["3", "somebody who had not signed in", "/f"], "{listed}");
        assert_eq!(columns(lines[1])[1..], ["3", &format!("bob ({word})"), "/f"], "{listed}");
    }
}

/// Each method that displaces something says for whom it did; files and folders alike, and whatever the file system can do.
#[test]
fn every_change_that_displaces_something_says_who_made_it() {
    for tier in ["A", "B", "C", "D"] {
        let tier_option = format!("--force-tier={tier}");
        let options: &[&str] = if tier == "A" { &[] } else { &[&tier_option] };
        let stage = Stage::set(options, Way::Token);
        let server = &stage.server;
        for path in ["file", "moved", "copied", "over/member", "from/member", "gone/deep/member", "into/x"] {
            server.write(path, path);
        }
        let of_bob = by("bob", "token");
        for (request, path) in [
            (server.put("/file").body("two"), "/file"),
            (server.put("/file").if_match(tag_of("two")).body("three"), "/file"),
            (stage.to("MOVE", "/moved", "/file"), "/file"),
            (stage.to("COPY", "/copied", "/file"), "/file"),
            (server.delete("/file"), "/file"),
            (stage.to("MOVE", "/from", "/over"), "/over"),
            (stage.to("COPY", "/over", "/into"), "/into"),
            (server.delete("/gone"), "/gone"),
        ] {
            let before = stage.send("alice", server.get(format!("{path}?versions"))).expect(200).json();
            let before = before["versions"].as_array().map_or(0, Vec::len);
            let answer = stage.send("bob", request);
            let id = answer.header("noclobber-displaced").map(str::to_owned);
            if tier == "D" && id.is_none() {
                continue;
            }
            let all = stage.displaced_by(path);
            assert_eq!((all.len(), &all[0]), (before + 1, &of_bob), "{tier} {path}: {answer}");
            // Its identifier leads to it, whoever stands behind that in its name.
            let id = id.unwrap();
            let wanted = if ["/over", "/into", "/gone"].contains(&path) { 400..500 } else { 200..201 };
            let version = stage.send("alice", server.get(format!("{path}?version={id}")));
            assert!(wanted.contains(&i32::from(version.status)), "{tier} {path}: {version}");
        }
        // What is put back displaces, too, and comes back in its turn.
        server.write("file", "a program's");
        let listing = stage.send("alice", server.get("/file?versions")).expect(200).json();
        let oldest = listing["versions"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
        let restore = server.post(format!("/file?restore={oldest}"));
        stage.send("alice", restore).expect(204);
        assert_eq!(server.read("file"), "file");
        assert_eq!(stage.displaced_by("/file")[0], by("alice", "token"), "{tier}");
        assert_eq!(stage.told("bob", "/file"), stored("alice", "token"), "{tier}");
        let copy = stage.to("COPY", &format!("/file?version={oldest}"), "/copied");
        stage.send("bob", copy).expect(204);
        assert_eq!(stage.displaced_by("/copied")[0], of_bob, "{tier}");
        if tier != "D" {
            let listing = stage.send("alice", server.get("/gone?versions")).expect(200).json();
            let id = listing["versions"][0]["id"].as_str().unwrap().to_owned();
            stage.send("alice", server.post(format!("/gone?restore={id}"))).expect(201);
            assert_eq!(server.read("gone/deep/member"), "gone/deep/member");
            assert_eq!(stage.displaced_by("/gone"), [] as [Value; 0]);
        }
    }
}

/// Whoever displaced the newest version has not deleted what came after it, which a program may have done: `?deleted` names nobody.
#[test]
fn a_list_of_what_was_deleted_names_nobody() {
    let stage = Stage::set(&[], Way::Basic);
    for path in ["/d/by-bob", "/d/by-a-program"] {
        stage.put("alice", &format!("{path}?mkdirs"), "one");
        stage.put("bob", path, "two");
    }
    stage.send("bob", stage.server.delete("/d/by-bob")).expect(204);
    fs::remove_file(stage.server.local("d/by-a-program")).unwrap();
    for query in ["?deleted", "?deleted&deep"] {
        let answer = stage.send("alice", stage.server.get(format!("/d/{query}"))).expect(200);
        let text = answer.text();
        let told: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let paths: Vec<&Value> = told.iter().map(|line| &line["path"]).collect();
        assert_eq!(paths, ["/d/by-a-program", "/d/by-bob"]);
        assert!(told.iter().all(|line| line.get("displaced_by").is_none() && line["restore"].is_string()), "{text}");
        assert!(!text.contains("alice") && !text.contains("(password)") && !text.contains("way_in"), "{text}");
    }
    // Who displaced which version stands beside the versions.
    assert_eq!(stage.displaced_by("/d/by-a-program"), [by("bob", "password")]);
    assert_eq!(stage.displaced_by("/d/by-bob"), [by("bob", "password"), by("bob", "password")]);
}

/// Whatever a path is called, it is taken for no other column: it is the last.
#[test]
fn a_path_names_nobody_in_the_history() {
    let stage = Stage::set(&[], Way::Basic);
    let name = "f  2026-11-22T14-35-07.123456Z  3  bob (password)  displaced by bob (password)";
    let path = format!("/{}", name.replace(' ', "%20"));
    stage.server.write(name, "one");
    stage.put("alice", &path, "two");
    assert_eq!(columns(stage.history(&[]).trim_end())[1..], ["3", "alice (password)", &format!("/{name}")]);
    // Where nobody is noted there is a column, too.
    let server = Server::start();
    server.put(&path).body("one").expect(201);
    server.put(&path).body("two").expect(204);
    let mut program = Command::new(env!("CARGO_BIN_EXE_noclobber"));
    let output = program.args(["history", "--folder"]).arg(server.folder()).run().unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(columns(listed.trim_end())[1..], ["3", "-", &format!("/{name}")]);
}

/// Without the right to the history nobody is named, in no answer: neither in the list, nor in a 412, nor to whoever may not even look.
#[test]
fn who_may_not_look_into_the_history_hears_no_name() {
    let stage = Stage::set(&[], Way::Basic);
    stage.put("alice", "/f", "one");
    stage.put("bob", "/f", "two");
    for name in ["carl", "dora"] {
        let answer = stage.refused(name, "/f");
        let whole = answer.to_string();
        assert!(answer.problem().get("last_change").is_none(), "{whole}");
        assert!(!whole.contains("bob") && !whole.contains("alice") && !whole.contains("password"), "{whole}");
        let listing = stage.send(name, stage.server.get("/f?versions"));
        assert!([403, 404].contains(&listing.status), "{listing}");
        stage.send("alice", stage.server.delete("/f")).expect(204);
        let answer = stage.refused(name, "/f");
        assert!(answer.problem().get("last_change").is_none() && !answer.to_string().contains("alice"), "{answer}");
        stage.put("bob", "/f", "two");
    }
    // Carl may read what is there, as before.
    assert!(stage.refused("carl", "/f").problem()["current_etag"].is_string());
    assert_eq!(stage.told("alice", "/f"), stored("bob", "password"));
}

/// A 412 says it in words, too, for a person.
#[test]
fn a_412_says_who_was_faster() {
    let stage = Stage::set(&[], Way::Basic);
    let detail = |name: &str, path: &str| stage.refused(name, path).problem()["detail"].as_str().unwrap().to_owned();
    stage.put("alice", "/f", "one");
    let said = detail("bob", "/f");
    assert!(said.contains(" What is here was stored by alice (password) at 20"), "{said}");
    stage.put("alice", "/g", "one");
    stage.send("bob", stage.to("MOVE", "/g", "/h")).expect(201);
    assert_eq!(stage.told("alice", "/h"), stored("bob", "password"));
    // Whoever made a folder is not remembered, and nobody is named in their stead.
    stage.send("bob", stage.server.delete("/h")).expect(204);
    stage.send("carl", stage.server.mkcol("/h")).expect(201);
    let told = stage.send("alice", stage.server.delete("/h").if_match("\"x\"")).expect(412);
    assert!(told.problem().get("last_change").is_none(), "{told}");
    // The version that a lock was taken on is another condition.
    stage.put("alice", "/l", "one");
    let lock = stage.server.request("LOCK", "/l").header("content-type", "application/xml").body(FULL_LOCK);
    let token = stage.send("bob", lock).expect(200).field("lock-token").to_owned();
    stage.server.write("l", "a program's, of another length");
    let put = stage.server.put("/l").header("if", format!("({token})")).body("bob's");
    let told = stage.send("bob", put).expect(412).problem()["last_change"].clone();
    assert_eq!(told, json!({ "by": by("", "program"), "at": null }));
}

/// Where nothing is, somebody else may have stored and removed something since whoever was the last that is known: nobody is named.
#[test]
fn where_nothing_is_nobody_is_named() {
    let stage = Stage::set(&[], Way::Basic);
    let remove = |path: &str| stage.send("alice", stage.server.delete(path)).expect(204);
    type Go<'a> = &'a dyn Fn(&str);
    let ways: [(&str, Go<'_>); 5] = [
        ("removed by a client", &|path| drop(remove(path))),
        ("moved by a client", &|path| {
            stage.send("alice", stage.to("MOVE", path, &format!("{path}-moved"))).expect(201);
        }),
        ("removed by a program", &|path| fs::remove_file(stage.server.local(&path[1..])).unwrap()),
        ("stored and removed by a program after a client had removed it", &|path| {
            remove(path);
            stage.server.write(&path[1..], "a program's");
            fs::remove_file(stage.server.local(&path[1..])).unwrap();
        }),
        ("a folder that a program removed after a client had removed the file", &|path| {
            remove(path);
            stage.send("carl", stage.server.mkcol(path)).expect(201);
            fs::remove_dir(stage.server.local(&path[1..])).unwrap();
        }),
    ];
    for (number, (how, go)) in ways.into_iter().enumerate() {
        let path = format!("/f{number}");
        stage.put("alice", &path, "one");
        go(&path);
        let answer = stage.refused("bob", &path);
        assert!(answer.problem().get("last_change").is_none(), "{how}: {answer}");
        assert!(!answer.to_string().contains("alice") && !answer.to_string().contains("program"), "{how}: {answer}");
    }
}

/// A folder that was made where something was removed may have been replaced by whoever comes next: what was known before it is over.
#[test]
fn what_was_known_before_a_folder_was_made_is_over() {
    let stage = Stage::set(&[], Way::Basic);
    for (path, with_a_folder) in [("/f", false), ("/g", true)] {
        stage.put("alice", path, "one");
        stage.send("alice", stage.server.delete(path)).expect(204);
        if with_a_folder {
            stage.send("carl", stage.server.mkcol(path)).expect(201);
            fs::remove_dir(stage.server.local(&path[1..])).unwrap();
        }
        stage.server.write(&path[1..], "a program's");
        let told = stage.told("bob", path);
        assert_eq!(told, if with_a_folder { Value::Null } else { stored("", "program") }, "{path}");
    }
}

/// A program's write takes the name away at once, in whichever way it is made, and nothing brings it back.
#[test]
fn after_a_program_has_written_nobody_is_named_who_wrote_before() {
    let stage = Stage::set(&[], Way::Basic);
    type Write = fn(&Path);
    let ways: [(&str, Write, bool); 7] = [
        ("in place", |file| fs::write(file, "a program's").unwrap(), true),
        ("in place, as long", |file| fs::write(file, "eno").unwrap(), true),
        (
            "by a rename",
            |file| {
                let beside = file.with_extension("new");
                fs::write(&beside, "a program's").unwrap();
                fs::rename(beside, file).unwrap();
            },
            true,
        ),
        (
            "the same content by a rename",
            |file| {
                let beside = file.with_extension("new");
                fs::write(&beside, "one").unwrap();
                fs::rename(beside, file).unwrap();
            },
            true,
        ),
        (
            "with the old date",
            |file| {
                let dated = fs::metadata(file).unwrap().modified().unwrap();
                fs::write(file, "eno").unwrap();
                fs::File::options().write(true).open(file).unwrap().set_modified(dated).unwrap();
            },
            true,
        ),
        (
            "anew",
            |file| {
                fs::remove_file(file).unwrap();
                fs::write(file, "a program's").unwrap();
            },
            false,
        ),
        ("away", |file| fs::remove_file(file).unwrap(), false),
    ];
    for (number, (how, write, is_certain)) in ways.into_iter().enumerate() {
        let path = format!("/f{number}");
        stage.put("alice", &path, "one");
        assert_eq!(stage.told("bob", &path), stored("alice", "password"), "{how}");
        write(&stage.server.local(&path[1..]));
        let answer = stage.refused("bob", &path);
        assert!(!answer.to_string().contains("alice"), "{how}: {answer}");
        let told = stage.told("bob", &path);
        let of_a_program = stored("", "program");
        assert!(told == of_a_program || !is_certain && told.is_null(), "{how}: {told}");
        if is_certain {
            assert!(answer.problem()["detail"].as_str().unwrap().contains("stored by another program."), "{answer}");
            // Whoever displaces it is somebody; that it was a program's changes nothing.
            stage.put("bob", &path, "two");
            assert_eq!(stage.displaced_by(&path), [by("bob", "password")], "{how}");
        }
    }
}

/// What a program moves comes from where somebody else may have stored it: neither of the two is named.
#[test]
fn what_a_program_moves_is_nobodys() {
    let stage = Stage::set(&[], Way::Basic);
    let local = |path: &str| stage.server.local(path);
    stage.put("alice", "/a/f?mkdirs", "alice's");
    stage.put("bob", "/b/f?mkdirs", "bob's");
    fs::rename(local("a"), local("away")).unwrap();
    fs::rename(local("b"), local("a")).unwrap();
    for path in ["/a/f", "/away/f"] {
        let told = stage.refused("alice", path).to_string();
        assert!(!told.contains("bob") && !told.contains("alice"), "{path}: {told}");
    }
    // Back where it was stored it is what was stored there.
    fs::rename(local("a"), local("b")).unwrap();
    assert_eq!(stage.told("alice", "/b/f"), stored("bob", "password"));
    // What a client moves as a part of a folder came with that.
    stage.send("alice", stage.to("MOVE", "/b", "/c")).expect(201);
    let told = stage.told("alice", "/c/f");
    assert!(told.is_null(), "{told}");
}

/// Another date or another mode makes no other version.
#[test]
fn a_change_of_attributes_takes_no_name_away() {
    let stage = Stage::set(&[], Way::Basic);
    stage.put("alice", "/f", "one");
    let body = "<D:propertyupdate xmlns:D='DAV:' xmlns:Z='urn:schemas-microsoft-com:'><D:set><D:prop>\
        <Z:Win32LastModifiedTime>Sun, 06 Nov 1994 08:49:37 GMT</Z:Win32LastModifiedTime></D:prop></D:set></D:propertyupdate>";
    let dated = stage.server.request("PROPPATCH", "/f").header("content-type", "application/xml").body(body);
    stage.send("bob", dated).expect(207);
    assert_eq!(stage.told("bob", "/f"), stored("alice", "password"));
    // By a program it cannot be told from more.
    let dated = fs::File::options().write(true).open(stage.server.local("f")).unwrap();
    dated.set_modified(std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000)).unwrap();
    drop(dated);
    assert!(!stage.refused("bob", "/f").to_string().contains("bob (password)"));
}

/// What is in the history is there whatever becomes of the server and its state; what is remembered beside it survives a restart in good order.
#[test]
fn a_restart_forgets_nobody_and_invents_nobody() {
    let mut stage = Stage::set(&[], Way::Token);
    stage.put("alice", "/f", "one");
    stage.put("bob", "/f", "two");
    stage.put("alice", "/g", "one");
    stage.server.stop();
    stage.server.write("g", "a program's");
    stage.server.start_again();
    assert_eq!(stage.displaced_by("/f"), [by("bob", "token")]);
    assert_eq!(stage.told("alice", "/f"), stored("bob", "token"));
    assert!(stage.told("bob", "/g").is_null(), "nobody knows who wrote while nobody looked");
    // Killed, it may have forgotten who; what it says is true.
    stage.put("alice", "/f", "three");
    stage.server.kill();
    stage.server.start_again();
    assert_eq!(stage.displaced_by("/f"), [by("alice", "token"), by("bob", "token")]);
    let told = stage.told("bob", "/f");
    assert!(told.is_null() || told == stored("alice", "token"), "{told}");
    // Without its state it knows what is in the history.
    stage.server.stop();
    let options = with(&stage.users, &["--no-state"]);
    stage.server.start_again_with(options);
    assert_eq!(stage.displaced_by("/f"), [by("alice", "token"), by("bob", "token")]);
    assert!(stage.told("bob", "/f").is_null());
    stage.put("bob", "/f", "four");
    assert_eq!(stage.told("alice", "/f"), stored("bob", "token"));
}

/// A history of before, and one of a server without users, names nobody; with it all goes on.
#[test]
fn versions_that_say_nothing_of_who_are_versions() {
    let mut server = Server::start();
    server.put("/f").body("one").expect(201);
    server.put("/f").body("two").expect(204);
    let listing = server.get("/f?versions").expect(200).json();
    assert_eq!(listing["versions"][0]["displaced_by"], Value::Null);
    let id = listing["versions"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(names(&server, "f"), [id.as_str()]);
    assert!(server.put("/f").if_match("\"x\"").body("three").expect(412).problem().get("last_change").is_none());
    server.stop();
    let users = UsersFile::make(RULES);
    server.start_again_with(with(&users, &[]));
    let stage = Stage { server, users, way: Way::Token };
    stage.put("bob", "/f", "three");
    assert_eq!(stage.displaced_by("/f"), [by("bob", "token"), Value::Null]);
    let first = stage.send("alice", stage.server.get(format!("/f?version={id}"))).expect(200);
    assert_eq!(first.text(), "one");
    stage.send("alice", stage.server.post(format!("/f?restore={id}"))).expect(204);
    assert_eq!(stage.displaced_by("/f"), [by("alice", "token"), by("bob", "token"), Value::Null]);
}

/// Who restores at the command line is not told from others who sit there.
#[test]
fn the_command_line_names_nobody_but_itself() {
    let mut stage = Stage::set(&[], Way::Basic);
    stage.put("alice", "/f", "one");
    stage.put("bob", "/f", "two");
    stage.server.stop();
    let id = names(&stage.server, "f")[0].split(' ').next().unwrap().to_owned();
    let mut restore = Command::new(env!("CARGO_BIN_EXE_noclobber"));
    let restore = restore.args(["restore", "f", &id, "--no-state", "--folder"]).arg(stage.server.folder());
    let output = restore.run().unwrap();
    assert!(output.status.success(), "{output:?}");
    stage.server.start_again();
    assert_eq!(stage.displaced_by("/f"), [by("", "command"), by("bob", "password")]);
    assert!(!stage.refused("bob", "/f").to_string().contains("bob"));
    assert!(stage.history(&[]).contains("  somebody at the server's command line  /f"));
}

/// Names may have letters that file systems fold, or do not take: in the name of a version they are written so that none changes them.
#[test]
fn names_with_odd_letters_come_back_as_they_are() {
    let users = UsersFile::make(RULES);
    let odd = ["Änne.B", "ann@example.org", "a+b_c-d.e", "ÜBUNG", &"x".repeat(64), &"é".repeat(32)];
    let table = |name: &&str| {
        let token = data_encoding::HEXLOWER.encode(blake3::hash(format!("nc_{name}").as_bytes()).as_bytes());
        format!("[users.\"{name}\"]\n[[users.\"{name}\".tokens]]\nname = \"t\"\nhash = \"{token}\"\n")
    };
    users.write(&format!("{}{}{RULES}", crate::harness::users::users(), odd.iter().map(table).collect::<String>()));
    let server = with(&users, &[]).start();
    let stage = Stage { server, users, way: Way::Token };
    stage.put("alice", "/f", "one");
    for name in odd {
        let bearer = format!("Bearer nc_{name}");
        stage.server.put("/f").header("authorization", bearer).body(name).expect(204);
        assert_eq!(stage.displaced_by("/f")[0], by(name, "token"));
        assert_eq!(stage.told("alice", "/f"), stored(name, "token"));
    }
    for entry in names(&stage.server, "f") {
        assert!(entry.len() <= 143 && entry.is_ascii(), "{entry}");
        assert_eq!(entry[27..], entry[27..].to_ascii_lowercase(), "{entry}");
    }
}

/// The log has one line for each change that was made or refused, which says who, by which way in, and what was displaced; no secret and no line of
/// anybody else's making.
#[test]
fn the_audit_line_says_who_changed_what() {
    let stage = Stage::set(&["--log-format=json"], Way::Token);
    let server = &stage.server;
    stage.put("alice", "/f", "one");
    let displaced = stage.send("bob", server.put("/f").body("two")).expect(204).field("noclobber-displaced").to_owned();
    stage.refused("alice", "/f");
    stage.send("", server.mkcol("/d")).expect(201);
    let to = format!("http://alice:secret-password@{}/d/f?token=secret-token", server.address());
    stage.send("alice", stage.to("COPY", "/f", &to)).expect_any(&[201, 400]);
    stage.send("alice", stage.to("MOVE", "/f", "/d/g")).expect(201);
    let restore = server.post(format!("/f?restore={displaced}"));
    stage.send("bob", restore).expect(201);
    stage.send("carl", server.post(format!("/f?restore={displaced}"))).expect_any(&[403, 404]);
    stage.send("bob", server.delete("/f")).expect(204);
    server.put("/f").header("authorization", "Bearer wrong").body("no").expect(401);
    server.get("/d/").header("authorization", "Bearer wrong").expect(401);
    server.wait_for_log("\"GET\"");
    let log = server.log();
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let changes: Vec<&Value> = lines.iter().filter(|line| line.get("way_in").is_some()).collect();
    let text = |line: &Value, name: &str| line[name].as_str().unwrap_or("-").to_owned();
    let told: Vec<String> = changes
        .iter()
        .map(|line| {
            let words = ["method", "path", "outcome", "user", "way_in", "destination", "restores", "displaced"];
            words.map(|word| text(line, word)).join(" ").replace(&displaced, "ID")
        })
        .collect();
    let wanted = [
        "PUT /f created alice token - - -",
        "PUT /f done bob token - - ID",
        "PUT /f stale alice token - - -",
        "MKCOL /d created - anonymous - - -",
    ];
    assert_eq!(told[..4], wanted, "{told:#?}");
    assert!(told[4].starts_with("COPY /f ") && told[4].ends_with(" alice token /d/f - -"), "{}", told[4]);
    assert_eq!(told[5], "MOVE /f created alice token /d/g - -");
    assert_eq!(told[6], "POST /f created bob token - ID -");
    assert!(told[7].starts_with("POST /f ") && told[7].ends_with(" carl token - ID -"), "{}", told[7]);
    let deleted = &told[8];
    assert!(deleted.starts_with("DELETE /f done bob token - - 20"), "{deleted}");
    assert_eq!(told[9], "PUT /f refused - anonymous - - -");
    assert_eq!(told.len(), 10, "what only reads has no such line: {told:#?}");
    assert!(!log.contains("secret-"), "{log}");
    assert_eq!(changes.iter().filter(|line| line["method"] == "DELETE").count(), 1);
}

/// Where the line about a request has the form of other servers, the audit line is another one, for a person.
#[test]
fn where_requests_are_logged_as_others_do_the_audit_line_stands_beside() {
    for format in ["common", "combined"] {
        let option = format!("--log-format={format}");
        let stage = Stage::set(&[&option], Way::Token);
        stage.put("alice", "/f%20g", "one");
        stage.send("alice", stage.server.get("/f%20g")).expect(200);
        stage.server.wait_for_log("\"GET /f%20g");
        let log = stage.server.log();
        let audit: Vec<&str> = log.lines().filter(|line| line.contains("way_in=")).collect();
        assert_eq!(audit.len(), 1, "{log}");
        for field in
            ["INFO", "method=\"PUT\"", "path=\"/f%20g\"", "outcome=\"created\"", "user=\"alice\"", "way_in=\"token\""]
        {
            assert!(audit[0].contains(field), "{field}: {}", audit[0]);
        }
        assert_eq!(log.lines().filter(|line| line.contains("\"PUT /f%20g HTTP/1.1\"")).count(), 1, "{log}");
    }
}

/// Clients write `Destination` in UTF-8 as it is, too, and it is heeded: so it is told, in every form that has the field.
#[test]
fn a_destination_in_plain_utf_8_is_told() {
    for format in ["text", "json", "common", "combined"] {
        let stage = Stage::set(&[&format!("--log-format={format}")], Way::Token);
        stage.server.write("f", "one");
        stage.send("alice", stage.to("COPY", "/f", "http://localhost/café.txt")).expect(201);
        assert_eq!(stage.server.read("café.txt"), "one");
        // What is no UTF-8 is refused, and told as far as it can be.
        let broken = stage.server.request("MOVE", "/f").header("Destination", b"http://localhost/caf\xe9.txt");
        stage.send("alice", broken).expect(400);
        stage.server.wait_for_log("\u{fffd}");
        let log = stage.server.log();
        for path in ["/café.txt", "/caf\u{fffd}.txt"] {
            let field = if format == "json" {
                format!("\"destination\":\"{path}\"")
            } else {
                format!(" destination=\"{path}\"")
            };
            assert_eq!(log.matches(&field).count(), 1, "{format} {path}: {log}");
        }
    }
}

/// A change whose client leaves before it is answered may have been made: it has its line, too.
#[test]
fn a_client_that_leaves_has_its_line() {
    let stage = Stage::set(&[], Way::Token);
    let mut connection = stage.server.connect();
    let put = stage.server.put("/f").body_when_asked("x".repeat(1_000_000));
    connection.write(signed(put, "alice", Way::Token, &stage.users).head());
    connection.read_raw("HTTP/1.1 100 Continue\r\n\r\n".len()).expect("it is asked to go on");
    connection.write("some of it");
    connection.break_off();
    stage.server.wait_for_log("method=\"PUT\"");
    let log = stage.server.log();
    let line = log.lines().find(|line| line.contains("method=\"PUT\"")).unwrap();
    assert!(line.contains("user=\"alice\" way_in=\"token\""), "{line}");
}
