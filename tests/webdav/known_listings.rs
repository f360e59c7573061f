//! Folders that are listed again and again: what was written of their members is told again only as long as nothing about it is otherwise, whether
//! it lies in the file system, in what clients have noted and locked, or in who asks.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use crate::harness::users::{UsersFile, Way, signed};
use crate::harness::{Dice, Request, Server, eventually, full, left_out};

/// Whatever is told of a member, but for locks, checksums and room.
const PLAIN: &str = "<D:resourcetype/><D:getcontentlength/><D:getlastmodified/><D:getetag/><D:displayname/><D:creationdate/>\
    <D:getcontenttype/><A:executable/><D:current-user-privilege-set/><t:note/>";

/// All of that, and locks and checksums.
const ALL: &str = "<D:resourcetype/><D:getcontentlength/><D:getlastmodified/><D:getetag/><D:displayname/><D:lockdiscovery/>\
    <oc:checksums/><t:note/>";

/// What is told of each URL: the properties that there are, as text.
type Told = BTreeMap<String, Vec<String>>;

/// Who asks, and for what.
#[derive(Clone, Copy)]
struct Asking<'a> {
    server: &'a Server,
    users: Option<(&'a UsersFile, &'a str)>,
    properties: &'a str,
}

impl<'a> Asking<'a> {
    fn of(server: &'a Server, properties: &'a str) -> Self {
        Self { server, users: None, properties }
    }

    fn signed(&self, request: Request) -> Request {
        match self.users {
            Some((users, name)) => signed(request, name, Way::Token, users),
            None => request,
        }
    }

    /// What is told, perhaps from what was written before.
    fn told(&self, folder: &str) -> Told {
        self.ask(folder, self.properties)
    }

    /// What is told where all is written anew, since nobody has asked for just this before.
    fn told_anew(&self, folder: &str) -> Told {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let other = NEXT.fetch_add(1, Ordering::Relaxed);
        self.ask(folder, &format!("{}<u:other-{other}/>", self.properties))
    }

    fn ask(&self, folder: &str, properties: &str) -> Told {
        let answer = self.signed(self.server.ask(folder, "1", properties)).expect(207).multistatus();
        let found = |response: &crate::harness::dav::Response| {
            let there = response.propstats.iter().filter(|propstat| propstat.status == 200);
            there
                .flat_map(|propstat| &propstat.properties)
                .map(|property| without_time(&format!("{property:?}")))
                .collect()
        };
        answer.0.iter().map(|response| (response.href.clone(), found(response))).collect()
    }

    /// Has it remembered: it is asked for until it is told from memory.
    fn warm(&self, folder: &str) {
        for _ in 0..4 {
            self.told(folder);
        }
    }

    #[track_caller]
    fn expect_as_anew(&self, folder: &str, after: &str) {
        for _ in 0..2 {
            // A date ahead of the clock is told as now, which may be another second for the second of them; what is stale stays so.
            let both = || (self.told(folder), self.told_anew(folder));
            let (told, anew) = Some(both()).filter(|(told, anew)| told == anew).unwrap_or_else(both);
            assert_eq!(told, anew, "after {after}");
        }
    }
}

/// Without the seconds that are left of locks.
fn without_time(text: &str) -> String {
    let mut parts = text.split("Second-");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| all + "Second-" + part.trim_start_matches(|c: char| c.is_ascii_digit()))
}

/// A file whose date is not of the moment, so that what is told of it lasts.
fn old(server: &Server, path: &str, content: &str) {
    let file = server.write(path, content);
    set_age(&file, 3600);
}

fn set_age(file: &std::path::Path, seconds: u64) {
    let date = SystemTime::now() - Duration::from_secs(seconds);
    File::open(file).unwrap().set_modified(date).unwrap();
}

fn server_with_files() -> Server {
    let server = Server::with("--no-watch").start();
    for name in ["a", "b", "c"] {
        old(&server, &format!("d/{name}.txt"), name);
    }
    fs::create_dir(server.local("d/sub")).unwrap();
    ["d/sub", "d"].iter().for_each(|folder| set_age(&server.local(folder), 3600));
    server
}

/// How many folders the server watches, itself and not through its watcher, which is off.
fn watched(server: &Server) -> usize {
    let infos = fs::read_dir(format!("/proc/{}/fdinfo", server.process_id())).unwrap();
    let of_one = |info: fs::DirEntry| fs::read_to_string(info.path()).unwrap_or_default();
    infos.flatten().map(|info| of_one(info).matches("inotify wd:").count()).sum()
}

/// A folder is remembered when it is listed the second time, in whatever form, and no other is.
#[test]
fn what_is_listed_twice_is_remembered() {
    let server = server_with_files();
    server.propfind("/d/", "1").expect(207);
    assert_eq!(watched(&server), 0);
    server.propfind("/d/", "1").expect(207);
    if watched(&server) == 0 {
        return left_out("what_is_listed_twice_is_remembered", "no folder can be watched here");
    }
    server.get("/?json").expect(200);
    server.propfind("/d/sub/", "1").expect(207);
    assert_eq!(watched(&server), 1);
    server.get("/").header("accept", "text/html").expect(200);
    assert_eq!(watched(&server), 2);
}

/// What other programs do to the files, one thing after the other.
#[test]
fn what_programs_change_is_told_at_once() {
    let server = server_with_files();
    let asking = Asking::of(&server, PLAIN);
    let local = |name: &str| server.local(format!("d/{name}"));
    asking.warm("/d/");
    let sizes = |told: &Told| format!("{told:?}");
    let changes: [(&str, &dyn Fn()); 12] = [
        ("an append", &|| {
            OpenOptions::new().append(true).open(local("a.txt")).unwrap().write_all(b"more").unwrap();
        }),
        ("another date", &|| set_age(&local("a.txt"), 7200)),
        ("a date to come", &|| {
            File::open(local("b.txt")).unwrap().set_modified(SystemTime::now() + Duration::from_secs(9999)).unwrap();
        }),
        ("a right to execute", &|| {
            fs::set_permissions(local("c.txt"), fs::Permissions::from_mode(0o755)).unwrap();
        }),
        ("a new file", &|| old(&server, "d/new.txt", "new")),
        ("a replacement", &|| fs::rename(local("new.txt"), local("a.txt")).unwrap()),
        ("a new name", &|| fs::rename(local("a.txt"), local("z & < \u{e9}.txt")).unwrap()),
        ("a file that is gone", &|| fs::remove_file(local("b.txt")).unwrap()),
        ("a file in a folder", &|| drop(server.write("d/sub/x", "x"))),
        ("a folder", &|| fs::create_dir(local("sub2")).unwrap()),
        ("a file in the place of a folder", &|| {
            fs::remove_dir(local("sub2")).unwrap();
            old(&server, "d/sub2", "now a file");
        }),
        ("nothing", &|| {}),
    ];
    let mut before = asking.told("/d/");
    for (what, change) in changes {
        change();
        asking.expect_as_anew("/d/", what);
        let told = asking.told("/d/");
        assert_eq!(sizes(&told) == sizes(&before), what == "nothing", "after {what}: {told:?}");
        before = told;
    }
}

/// What clients do that is no change of any file: locks, notes, checksums, and what a way to ask brings along.
#[test]
fn what_clients_note_and_lock_is_told_at_once() {
    let server = server_with_files();
    for properties in [PLAIN, ALL] {
        let asking = Asking::of(&server, properties);
        asking.warm("/d/");
        let text = || format!("{:?}", asking.told("/d/"));
        server.note("/d/a.txt", "<t:note>first</t:note>");
        asking.expect_as_anew("/d/", "a note");
        assert!(text().contains("first"));
        server.note("/d/", "<t:note>of the folder</t:note>");
        asking.expect_as_anew("/d/", "a note on the folder");
        assert!(text().contains("of the folder"));
        server.note("/d/a.txt", "<D:displayname>shown so</D:displayname>");
        asking.expect_as_anew("/d/", "a name to be shown");
        assert!(text().contains("shown so"));
        server.moving("/d/a.txt", "/d/moved.txt").expect(201);
        asking.expect_as_anew("/d/", "a move");
        server.copying("/d/moved.txt", "/d/a.txt").expect(201);
        asking.expect_as_anew("/d/", "a copy");
        assert_eq!(text().matches("shown so").count(), 2);
        for name in ["a.txt", "moved.txt"] {
            let remove = "<D:remove><D:prop><t:note/><D:displayname/></D:prop></D:remove>";
            server.proppatch(format!("/d/{name}"), remove).expect(207);
        }
        asking.expect_as_anew("/d/", "notes that are gone");
        assert!(!text().contains("shown so") && !text().contains("first"));
        server.delete("/d/moved.txt").expect(204);
        asking.expect_as_anew("/d/", "a deletion");

        let token = server.locked("/d/b.txt", "0");
        asking.expect_as_anew("/d/", "a lock");
        assert_eq!(text().contains(&token), properties == ALL);
        server.unlock("/d/b.txt", &token).expect(204);
        asking.expect_as_anew("/d/", "no lock any more");
        assert!(!text().contains(&token));

        server.put("/d/new.txt").header("OC-Checksum", format!("SHA1:{:0>40}", 1)).body("new").expect_any(&[201, 400]);
        server.put("/d/c.txt").body("another").expect(204);
        asking.expect_as_anew("/d/", "uploads");
        server.delete("/d/new.txt").expect_any(&[204, 404]);
        asking.expect_as_anew("/d/", "another deletion");
    }
}

/// The same folder in several forms: each is told in its own, whatever was written in another.
#[test]
fn each_form_is_told_as_it_is_asked_for() {
    let server = server_with_files();
    let asks: Vec<(&str, Request)> = vec![
        ("size", server.ask("/d/", "1", "<D:getcontentlength/>")),
        ("tag", server.ask("/d/", "1", "<D:getetag/>")),
        ("size and tag", server.ask("/d/", "1", "<D:getcontentlength/><D:getetag/>")),
        ("tag and size", server.ask("/d/", "1", "<D:getetag/><D:getcontentlength/>")),
        ("minimal", server.ask("/d/", "1", "<D:getcontentlength/><t:none/>").header("prefer", "return=minimal")),
        ("not minimal", server.ask("/d/", "1", "<D:getcontentlength/><t:none/>")),
        ("without the folder", server.ask("/d/", "1,noroot", "<D:getetag/>")),
        ("all", server.propfind("/d/", "1")),
        ("all, of Windows", server.propfind("/d/", "1").header("user-agent", "Microsoft-WebDAV-MiniRedir/10.0")),
        ("names", server.propfind("/d/", "1").xml("<D:propfind xmlns:D=\"DAV:\"><D:propname/></D:propfind>")),
    ];
    let first: Vec<String> = asks.iter().map(|(_, ask)| ask.clone().expect(207).text()).collect();
    let different: BTreeSet<&String> = first.iter().collect();
    assert_eq!(different.len(), first.len(), "each is another");
    for round in 0..4 {
        for ((what, ask), first) in asks.iter().zip(&first) {
            let again = ask.clone().expect(207);
            assert_eq!(again.text().lines().count(), first.lines().count(), "{what} in round {round}");
            assert_eq!(sorted(&again.text()), sorted(first), "{what} in round {round}");
        }
    }
    // Under another name of the folder the URLs are others.
    fs::rename(server.local("d"), server.local("e")).unwrap();
    let hrefs = server.ask("/e/", "1", "<D:getetag/>").expect(207).multistatus();
    assert!(hrefs.hrefs().iter().all(|href| href.starts_with("/e/")), "{hrefs:?}");
    server.propfind("/d/", "1").expect(404);
}

/// The members of a folder come in no order.
fn sorted(answer: &str) -> Vec<&str> {
    let mut parts: Vec<_> = answer.trim_end_matches("</D:multistatus>").split("<D:response>").collect();
    parts.sort_unstable();
    parts
}

/// A file that a program has open for writing has a weak tag while it has, and a strong one afterwards, whatever is remembered.
#[test]
fn a_file_that_is_being_written_is_looked_at_each_time() {
    let server = server_with_files();
    let asking = Asking::of(&server, "<D:getetag/>");
    let writing = OpenOptions::new().append(true).open(server.local("d/a.txt")).unwrap();
    let tag = || {
        let told = server.ask("/d/", "1", "<D:getetag/>").expect(207).multistatus();
        told.of("/d/a.txt").value("D:getetag")
    };
    if !tag().starts_with("W/") {
        return left_out("a_file_that_is_being_written_is_looked_at_each_time", "there are no leases here");
    }
    asking.warm("/d/");
    assert!(tag().starts_with("W/"));
    drop(writing);
    // A lease may still be on its way to others.
    eventually(Duration::from_secs(5), "a strong tag", || (!tag().starts_with("W/")).then_some(()));
    let strong = tag();
    server.get("/d/a.txt").if_match(&strong).expect(200);
    asking.warm("/d/");
    assert_eq!(tag(), strong);
}

/// What one may see is told to nobody who may see less, and when the rules change so does the next answer.
#[test]
fn what_one_may_see_is_not_told_to_another() {
    let rules = |hidden: &str| {
        format!(
            "[[rules]]\npath = \"/\"\nwho = \"signed-in\"\nmay = \"read\"\n\
             [[rules]]\npath = \"/\"\nwho = \"user:admin\"\nmay = \"write\"\n\
             [[rules]]\npath = \"{hidden}\"\nwho = \"user:bob\"\nmay = \"none\"\n"
        )
    };
    let users = UsersFile::make(&rules("/d/b.txt"));
    let server = Server::with("--no-watch").value("--users", users.path().display()).start();
    for name in ["a", "b", "c"] {
        old(&server, &format!("d/{name}.txt"), name);
    }
    let asking = |name| Asking { users: Some((&users, name)), ..Asking::of(&server, PLAIN) };
    let [admin, bob, carl] = ["admin", "bob", "carl"].map(asking);
    let privileges = |told: &Told| told["/d/a.txt"].iter().filter(|text| text.contains("write-content")).count();
    for round in 0..5 {
        assert!(admin.told("/d/").contains_key("/d/b.txt"), "round {round}");
        assert!(!bob.told("/d/").contains_key("/d/b.txt"), "round {round}");
        assert!(carl.told("/d/").contains_key("/d/b.txt"), "round {round}");
        assert_eq!((privileges(&admin.told("/d/")), privileges(&carl.told("/d/"))), (1, 0), "round {round}");
    }
    let write = |hidden: &str| {
        users.write(&format!("{}{}", crate::harness::users::users(), rules(hidden)));
    };
    for (hidden, seen) in [("/d/a.txt", "/d/b.txt"), ("/d/b.txt", "/d/a.txt"), ("/other", "/d/b.txt")] {
        write(hidden);
        for round in 0..3 {
            let told = bob.told("/d/");
            assert!(told.contains_key(seen) && !told.contains_key(hidden), "{hidden} in round {round}: {told:?}");
        }
        bob.expect_as_anew("/d/", hidden);
    }
    // Nobody may see anything of it any more.
    write("/d");
    bob.signed(server.ask("/d/", "1", PLAIN)).expect(404);
    assert!(carl.told("/d/").contains_key("/d/b.txt"));
}

/// What a followed link leads to lies in another folder, of which nobody tells.
#[test]
fn what_links_lead_to_is_looked_at_each_time() {
    let server = Server::with("--no-watch").option("--follow-symlinks").start();
    old(&server, "d/a.txt", "a");
    old(&server, "e/target.txt", "one");
    symlink("../e/target.txt", server.local("d/link.txt")).unwrap();
    symlink("../e/missing.txt", server.local("d/dangling.txt")).unwrap();
    let asking = Asking::of(&server, "<D:getcontentlength/><D:getetag/><D:getlastmodified/>");
    asking.warm("/d/");
    asking.expect_as_anew("/d/", "nothing");
    old(&server, "e/target.txt", "longer");
    asking.expect_as_anew("/d/", "another target");
    let length = || {
        let told = server.ask("/d/", "1", "<D:getcontentlength/>").expect(207).multistatus();
        told.of("/d/link.txt").value("D:getcontentlength")
    };
    assert_eq!(length(), "6");
    old(&server, "e/missing.txt", "there");
    asking.expect_as_anew("/d/", "a target where none was");
    assert!(asking.told("/d/").contains_key("/d/dangling.txt"));
    fs::remove_file(server.local("e/target.txt")).unwrap();
    asking.expect_as_anew("/d/", "a target that is gone");
    assert!(!asking.told("/d/").contains_key("/d/link.txt"));
}

/// The listings for people and for programs stand on the same memory.
#[test]
fn json_and_the_page_tell_the_same() {
    let server = server_with_files();
    let names = || {
        let json = server.get("/d/?json").expect(200).json();
        let page = server.get("/d/").header("accept", "text/html").expect(200).text();
        let names: BTreeSet<String> =
            json["entries"].as_array().unwrap().iter().map(|entry| entry["name"].to_string()).collect();
        for name in &names {
            assert!(page.contains(&format!("<bdi>{}</bdi>", name.trim_matches('"'))), "{name} in {page}");
        }
        assert_eq!(page.matches("</bdi></a></th>").count(), names.len(), "{page}");
        names.into_iter().collect::<Vec<_>>().join(" ")
    };
    for _ in 0..4 {
        assert_eq!(names(), r#""a.txt" "b.txt" "c.txt" "sub""#);
    }
    old(&server, "d/new.txt", "x");
    fs::remove_file(server.local("d/a.txt")).unwrap();
    assert_eq!(names(), r#""b.txt" "c.txt" "new.txt" "sub""#);
    server.put("/d/put.txt").body("x").expect(201);
    server.delete("/d/b.txt").expect(204);
    assert_eq!(names(), r#""c.txt" "new.txt" "put.txt" "sub""#);
}

/// A long story of programs, clients, locks, notes and rules: at any time every user is told the same from memory as where all is written anew, and
/// the sizes and names are those on the disk.
#[test]
fn whatever_happens_what_is_told_again_is_what_would_be_told_anew() {
    let rules = |hidden: u64| {
        format!(
            "[[rules]]\npath = \"/\"\nwho = \"signed-in\"\nmay = \"write\"\n\
             [[rules]]\npath = \"/d/{hidden}.txt\"\nwho = \"user:bob\"\nmay = \"none\"\n\
             [[rules]]\npath = \"/\"\nwho = \"user:carl\"\nmay = \"list\"\n"
        )
    };
    let users = UsersFile::make(&rules(0));
    let server = Server::with("--no-watch").value("--users", users.path().display()).start();
    fs::create_dir(server.local("d")).unwrap();
    let mut dice = Dice::shaken("whatever_happens_what_is_told_again_is_what_would_be_told_anew");
    let admin = |request: Request| signed(request, "admin", Way::Token, &users);
    let mut hidden = 0;
    for _ in 0..if full() { 1500 } else { 120 } {
        let (one, other, age) = (dice.below(8), dice.below(8), dice.below(3) * 1800);
        let (url, file) = (format!("/d/{one}.txt"), server.local(format!("d/{one}.txt")));
        let what = dice.below(13);
        match what {
            0 | 1 => {
                let content = "x".repeat(dice.below(50) as usize);
                if file.is_dir() {
                    fs::remove_dir_all(&file).unwrap();
                }
                if age > 0 {
                    old(&server, &format!("d/{one}.txt"), &content)
                } else {
                    drop(server.write(format!("d/{one}.txt"), content))
                }
            }
            2 => drop(fs::remove_file(&file)),
            3 => drop(fs::rename(&file, server.local(format!("d/{other}.txt")))),
            4 => drop(fs::hard_link(&file, server.local(format!("d/{other}.txt")))),
            5 => drop(admin(server.put(&url).body("y".repeat(one as usize))).send()),
            6 => drop(admin(server.delete(&url)).send()),
            7 => drop(admin(server.moving(&url, format!("/d/{other}.txt"))).send()),
            8 => {
                let set = format!("<D:set><D:prop><t:note>{other}</t:note></D:prop></D:set>");
                drop(admin(server.proppatch(&url, &set)).send());
            }
            9 => {
                let locked = admin(server.lock(&url, "exclusive", "0")).send();
                if let Some(token) = locked.header("lock-token").filter(|_| dice.below(2) == 0) {
                    drop(admin(server.unlock(&url, token.trim_matches(['<', '>']))).send());
                }
            }
            10 => {
                hidden = other;
                users.write(&format!("{}{}", crate::harness::users::users(), rules(hidden)));
            }
            11 => drop(fs::create_dir(server.local(format!("d/{other}.txt")))),
            _ if file.is_file() => set_age(&file, 3600 + age),
            _ => {}
        }
        for (name, properties) in [("admin", PLAIN), ("bob", PLAIN), ("carl", PLAIN), ("admin", ALL), ("bob", ALL)] {
            let asking = Asking { users: Some((&users, name)), ..Asking::of(&server, properties) };
            // A date ahead of the clock is told as now, which may be another second for the second of them; what is stale stays so.
            let both = || (asking.told("/d/"), asking.told_anew("/d/"));
            let (told, anew) = Some(both()).filter(|(told, anew)| told == anew).unwrap_or_else(both);
            assert_eq!(told, anew, "{name}, after {what} at {one} and {other}");
            let there = server.names("d").into_iter().map(|name| format!("/d/{name}"));
            let there = there.filter(|url| name != "bob" || *url != format!("/d/{hidden}.txt"));
            let urls = told.keys().map(|url| url.trim_end_matches('/')).filter(|url| *url != "/d");
            assert_eq!(urls.map(str::to_owned).collect::<BTreeSet<_>>(), there.collect(), "{name} after {what}");
        }
    }
}
