//! Following a folder by `sync-collection` (RFC 6578): what is in it, what has become of it since, in pages, and no more than one may see; and whoever
//! keeps a copy by it has what is there.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use crate::harness::users::{UsersFile, Way, signed};
use crate::harness::{Answer, Dice, Request, Server, eventually, full};

/// So long may a machine that is busy with other tests take.
const LIMIT: Duration = Duration::from_secs(60);

const PROPERTIES: &str = "<D:resourcetype/><D:getcontentlength/><D:getetag/>";

/// Asks for what is in a folder, or has become of it since a token.
fn asks(server: &Server, folder: &str, token: &str, level: &str, limit: Option<usize>) -> Request {
    let limit = limit.map_or(String::new(), |count| format!("<D:limit><D:nresults>{count}</D:nresults></D:limit>"));
    server.request("REPORT", folder).xml(format!(
        "<D:sync-collection xmlns:D='DAV:'><D:sync-token>{token}</D:sync-token><D:sync-level>{level}</D:sync-level>{limit}\
         <D:prop>{PROPERTIES}</D:prop></D:sync-collection>"
    ))
}

/// A page: what is told of each URL (404 of what is gone), the token, and whether there is more.
struct Told {
    words: Vec<String>,
    token: String,
    goes_on: bool,
}

fn told(answer: &Answer, folder: &str) -> Told {
    let (multistatus, mut words, mut goes_on) = (answer.multistatus(), Vec::new(), false);
    for response in &multistatus.0 {
        let error = response.error.as_ref().map(|error| error.elements().next().unwrap().name.clone());
        match (response.status, error.as_deref()) {
            (Some(507), Some("D:number-of-matches-within-limits")) if response.href == folder => goes_on = true,
            (Some(status), None) => words.push(format!("{status} {}", response.href)),
            (Some(status), Some(error)) => words.push(format!("{status} {error} {}", response.href)),
            (None, _) => words.push(response.href.clone()),
        }
    }
    let token = answer.xml().at(&["D:sync-token"]).text();
    assert!(token.starts_with("data:,") && !token.contains(char::is_whitespace), "{token}");
    Told { words, token, goes_on }
}

/// All of it, page by page, and the token behind it.
fn all(server: &Server, folder: &str, token: &str, level: &str, limit: Option<usize>) -> (Vec<String>, String) {
    let (mut words, mut token) = (Vec::new(), token.to_owned());
    loop {
        let page = told(&asks(server, folder, &token, level, limit).expect(207), folder);
        assert!(limit.is_none_or(|limit| page.words.len() <= limit), "{:?}", page.words);
        words.extend(page.words);
        assert!(!page.goes_on || page.token != token, "it goes on for ever");
        token = page.token;
        if !page.goes_on {
            return (words, token);
        }
    }
}

fn wait_until_complete(server: &Server) {
    eventually(LIMIT, "the feed is complete", || {
        (server.get("/?changes").expect(200).json()["complete"] == true).then_some(())
    });
}

/// A server with a tree that its feed knows.
fn with_a_tree() -> Server {
    with_a_tree_and(&[])
}

fn with_a_tree_and(options: &[&str]) -> Server {
    let mut server = options.iter().fold(Server::builder(), |server, option| server.option(*option)).start();
    server.stop();
    for file in ["a", "d/b", "d/e/c", "d-x", "f/g"] {
        server.write(file, file);
    }
    server.start_again();
    wait_until_complete(&server);
    server
}

fn sorted(mut words: Vec<String>) -> Vec<String> {
    words.sort();
    words
}

#[test]
fn all_is_told_and_then_what_has_become_of_it() {
    let server = with_a_tree();
    let everything = ["/a", "/d-x", "/d/", "/d/b", "/d/e/", "/d/e/c", "/f/", "/f/g"];
    let (words, deep) = all(&server, "/", "", "infinite", None);
    assert_eq!(sorted(words), everything);
    let (words, flat) = all(&server, "/", "", "1", None);
    assert_eq!(sorted(words), ["/a", "/d-x", "/d/", "/f/"]);
    let (words, of_d) = all(&server, "/d/", "", "infinite", None);
    assert_eq!(sorted(words), ["/d/b", "/d/e/", "/d/e/c"]);
    let (words, again) = all(&server, "/", &deep, "infinite", None);
    assert_eq!((words.len(), &again), (0, &deep), "nothing has happened");

    server.put("/a").body("other").expect(204);
    server.put("/d/new").body("x").expect(201);
    server.delete("/d/b").expect(204);
    server.delete("/f").expect(204);
    server.put("/gone").body("x").expect(201);
    server.delete("/gone").expect(204);
    server.moving("/d/e", "/moved").expect(201);
    server.delete("/d-x").expect(204);
    server.put("/d-x").body("again").expect(201);
    server.note("/d", "<x xmlns='urn:x'>1</x>");
    let (words, _) = all(&server, "/", &deep, "infinite", None);
    let moved = ["/moved/", "/moved/c"];
    let changed = ["/a", "/d-x", "/d/", "/d/new", "404 /d/b", "404 /d/e/", "404 /f/", "404 /gone"];
    assert_eq!(sorted(words), sorted(changed.iter().chain(&moved).map(|word| (*word).to_owned()).collect()));
    let (words, _) = all(&server, "/", &flat, "1", None);
    assert_eq!(sorted(words), ["/a", "/d-x", "/d/", "/moved/", "404 /f/", "404 /gone"]);
    let (words, _) = all(&server, "/d/", &of_d, "infinite", None);
    assert_eq!(sorted(words), ["/d/new", "404 /d/b", "404 /d/e/"]);

    let answer = asks(&server, "/", "", "1", None).expect(207).multistatus();
    assert_eq!(answer.of("/a").value("D:getetag"), server.get("/a").expect(200).tag());
    assert_eq!(answer.of("/d/").names(404), ["D:getcontentlength", "D:getetag"]);
}

/// What takes the place of something else is told in two pages: first that the one is gone, then what is there.
#[test]
fn what_came_in_the_place_of_a_folder_comes_behind_it() {
    let server = with_a_tree();
    let (_, token) = all(&server, "/", "", "infinite", None);
    server.delete("/d").expect(204);
    server.put("/d").body("a file").expect(201);
    let first = told(&asks(&server, "/", &token, "infinite", None).expect(207), "/");
    assert_eq!((first.words, first.goes_on), (vec!["404 /d/".to_owned()], true));
    let second = told(&asks(&server, "/", &first.token, "infinite", None).expect(207), "/");
    assert_eq!((second.words, second.goes_on), (vec!["/d".to_owned()], false));
    server.moving("/f", "/d").expect(204);
    let (words, token) = all(&server, "/", &second.token, "infinite", None);
    assert_eq!(words, ["404 /d", "404 /f/", "/d/", "/d/g"]);
    // A program's doings, which are found by a look.
    fs::remove_dir_all(server.local("d")).unwrap();
    fs::write(server.local("d"), "by a program").unwrap();
    let mut token = token;
    let mut words = Vec::new();
    eventually(LIMIT, "it is noticed", || {
        let (more, next) = all(&server, "/", &token, "infinite", None);
        (token, words) = (next, [words.clone(), more].concat());
        (words.last().map(String::as_str) == Some("/d")).then_some(())
    });
    assert!(words.contains(&"404 /d/".to_owned()), "{words:?}");
}

#[test]
fn pages_are_no_longer_than_is_wished_and_leave_nothing_out() {
    let server = with_a_tree();
    let everything = ["/a", "/d-x", "/d/", "/d/b", "/d/e/", "/d/e/c", "/f/", "/f/g"];
    for limit in 1..=9 {
        let (words, token) = all(&server, "/", "", "infinite", Some(limit));
        assert_eq!(sorted(words), everything, "{limit}");
        let (words, _) = all(&server, "/", "", "1", Some(limit));
        assert_eq!(sorted(words), ["/a", "/d-x", "/d/", "/f/"], "{limit}");
        server.moving("/d", "/m").expect(201);
        server.put("/m/b").body(limit.to_string()).expect(204);
        let (words, after) = all(&server, "/", &token, "infinite", Some(limit));
        assert!(words.starts_with(&["404 /d/".to_owned(), "/m/".to_owned()]), "{limit}: {words:?}");
        for wanted in ["/m/b", "/m/e/", "/m/e/c"] {
            assert!(words.iter().any(|word| word == wanted), "{limit}: {words:?}");
        }
        server.moving("/m", "/d").expect(201);
        let (words, _) = all(&server, "/", &after, "infinite", Some(limit));
        assert_eq!(sorted(words), ["/d/", "/d/b", "/d/e/", "/d/e/c", "404 /m/"], "{limit}");
    }
    // What changes between two pages of all members is told behind them.
    let first = told(&asks(&server, "/", "", "infinite", Some(3)).expect(207), "/");
    server.put(first.words[0].as_str()).body("meanwhile").expect_any(&[204, 405]);
    server.put("/d/e/c").body("meanwhile").expect(204);
    server.delete("/f").expect(204);
    let (words, token) = all(&server, "/", &first.token, "infinite", Some(3));
    assert!(words.contains(&"/d/e/c".to_owned()) && !words.contains(&"/f/g".to_owned()), "{words:?}");
    let (words, _) = all(&server, "/", &token, "infinite", None);
    assert!(words.contains(&"/d/e/c".to_owned()) && words.contains(&"404 /f/".to_owned()), "{words:?}");
}

#[test]
fn a_token_that_leads_nowhere_is_said_to_be_none() {
    let mut server = with_a_tree();
    let (_, token) = all(&server, "/", "", "infinite", None);
    let other = with_a_tree();
    let (_, foreign) = all(&other, "/", "", "infinite", None);
    let (_, of_d) = all(&server, "/d/", "", "infinite", None);
    let (head, view) = token.rsplit_once('.').unwrap();
    let (feed, number) = head.split_once('-').unwrap();
    let ahead = format!("{feed}-{}.{view}", number.parse::<u64>().unwrap() + 1000);
    for wrong in [
        "garbled",
        "data:,",
        "urn:uuid:11111111-1111-4111-8111-111111111111",
        &foreign,
        &of_d,
        &ahead,
        &token[1..],
        &token.to_uppercase(),
        &format!("{token}.l."),
        &format!("{token}."),
        &format!("{token} x"),
        &"x".repeat(20_000),
    ] {
        let answer = asks(&server, "/", wrong, "infinite", None).expect_any(&[403, 413]);
        if answer.status == 403 {
            answer.dav_error("D:valid-sync-token");
        }
    }
    // It holds over a restart, and not after a kill with which something may be lost.
    server.put("/a").body("before").expect(204);
    server.stop();
    server.start_again();
    assert_eq!(all(&server, "/", &token, "infinite", None).0, ["/a"]);
    let (_, last) = all(&server, "/", &token, "infinite", None);
    // Nobody knows any more what happened, once the state is gone.
    server.stop();
    fs::remove_dir_all(server.state()).unwrap();
    fs::create_dir(server.state()).unwrap();
    server.start_again();
    wait_until_complete(&server);
    asks(&server, "/", &last, "infinite", None).expect(403).dav_error("D:valid-sync-token");
}

#[test]
fn what_is_asked_wrongly_is_refused() {
    let server = with_a_tree();
    let body = |inner: &str| format!("<D:sync-collection xmlns:D='DAV:'>{inner}</D:sync-collection>");
    let (token, level, prop) = ("<D:sync-token/>", "<D:sync-level>1</D:sync-level>", "<D:prop/>");
    let good = body(&format!("{token}{level}{prop}"));
    for (target, body, status) in [
        ("/", good.clone(), 207),
        ("/d", good.clone(), 207),
        ("/", body(&format!("{level}{prop}")), 400),
        ("/", body(&format!("{token}{prop}")), 400),
        ("/", body(&format!("{token}{level}")), 400),
        ("/", body(&format!("{token}<D:sync-level>2</D:sync-level>{prop}")), 400),
        ("/", body(&format!("{token}{token}{level}{prop}")), 400),
        ("/", body(&format!("{token}{level}{prop}<D:limit><D:nresults>0</D:nresults></D:limit>")), 400),
        ("/", body(&format!("{token}{level}{prop}<D:limit><D:nresults>-1</D:nresults></D:limit>")), 400),
        ("/", body(&format!("{token}{level}{prop}<D:limit/>")), 400),
        ("/", "<D:sync-collection".to_owned(), 400),
        ("/", String::new(), 403),
        ("/", "<D:expand-property xmlns:D='DAV:'/>".to_owned(), 403),
        ("/a", good.clone(), 403),
        ("/a", String::new(), 403),
        ("/a/", good.clone(), 404),
        ("/none", good.clone(), 404),
        ("/", " ".repeat(600 << 10), 413),
    ] {
        let answer = server.request("REPORT", target).xml(&body).expect(status);
        if status == 403 {
            answer.dav_error("D:supported-report");
        }
    }
    for (depth, status) in [("0", 207), ("1", 400), ("infinity", 400), ("x", 400)] {
        server.request("REPORT", "/").depth(depth).xml(&good).expect(status);
    }
    server.request("REPORT", "/").xml("<!DOCTYPE x><x/>").expect(403).dav_error("D:no-external-entities");
    server.request("REPORT", "/?versions").xml(&good).expect(405);
    server.request("REPORT", "/").header("if-match", "\"none\"").xml(&good).expect(412);
    let huge =
        good.replace("<D:prop/>", "<D:prop/><D:limit><D:nresults>99999999999999999999999</D:nresults></D:limit>");
    assert_eq!(server.request("REPORT", "/").xml(huge).expect(207).multistatus().0.len(), 4);
}

#[test]
fn the_token_and_the_report_are_told_by_name() {
    let server = with_a_tree();
    let of_folder = server.properties("/d/", "<D:sync-token/><D:supported-report-set/>");
    assert_eq!(
        of_folder.found("D:supported-report-set").at(&["D:supported-report", "D:report"]).names(),
        ["D:sync-collection"]
    );
    let (_, token) = all(&server, "/d/", "", "infinite", None);
    assert_eq!(of_folder.value("D:sync-token"), token, "they are the same");
    server.put("/d/b").body("x").expect(204);
    assert_eq!(all(&server, "/d/", &of_folder.value("D:sync-token"), "1", None).0, ["/d/b"]);
    for depth in ["1", "infinity"] {
        let members = server.ask("/", depth, "<D:sync-token/>").expect(207).multistatus();
        let token = members.of("/d/").value("D:sync-token");
        assert_eq!(all(&server, "/d/", &token, "infinite", None).0.len(), 0);
        server.put("/d/b").body(depth).expect(204);
        assert_eq!(all(&server, "/d/", &token, "infinite", None).0, ["/d/b"]);
        let members = server.ask("/", depth, "<D:sync-token/>").expect(207).multistatus();
        assert_ne!(members.of("/d/").value("D:sync-token"), token, "it is not told from what was written before");
    }
    let of_file = server.properties("/a", "<D:sync-token/><D:supported-report-set/>");
    assert_eq!(of_file.names(404), ["D:sync-token"]);
    assert!(of_file.found("D:supported-report-set").nodes.is_empty());
    let by_all = server.propfind("/d", "0").expect(207).text();
    assert!(!by_all.contains("sync-token") && !by_all.contains("supported-report-set"), "{by_all}");
    let set = "<D:set><D:prop><D:sync-token>x</D:sync-token></D:prop></D:set>";
    let answer = server.proppatch("/d/", set).expect(207).multistatus();
    assert_eq!(answer.only().status_of("D:sync-token"), Some(403));
    assert!(server.options("/d/").expect(200).field("allow").split(", ").any(|method| method == "REPORT"));
}

/// RFC 6578 §5: a request may demand that nothing has happened in a folder since a token.
#[test]
fn a_request_may_demand_that_nothing_has_happened_since() {
    let server = with_a_tree();
    let token = |folder: &str| all(&server, folder, "", "infinite", None).1;
    let demanding =
        |request: Request, folder: &str, token: &str| request.header("if", format!("<{folder}> (<{token}>)"));
    let put = |path: &str, folder: &str, token: &str| demanding(server.put(path), folder, token).body("by a client");
    let (first, of_d) = (token("/"), token("/d/"));
    put("/d/new", "/", &first).expect(201);
    for path in ["/d/new", "/d/new2", "/new"] {
        put(path, "/", &first).expect(412);
    }
    put("/new", "/d/", &of_d).expect(412);
    // What happens elsewhere is nothing to it.
    let (first, of_d) = (token("/"), token("/d/"));
    server.put("/a").body("other").expect(204);
    put("/d/b", "/d/", &of_d).expect(204);
    put("/a", "/", &first).expect(412);
    // Nor does a token of another folder, or a part of all, or nonsense tell its state.
    let (first, of_d) = (token("/"), token("/d/"));
    let answer = asks(&server, "/", "", "infinite", Some(1)).expect(207);
    let part = told(&answer, "/").token;
    for (folder, wrong) in
        [("/", &*of_d), ("/d/", &first), ("/", &part), ("/", "data:,garbled"), ("/none/", &first), ("/a", &first)]
    {
        put("/x", folder, wrong).expect(412);
    }
    server.put("/x").header("if", format!("</> (Not <{first}>)")).body("").expect(412);
    server.put("/x").header("if", format!("</> (Not <{of_d}>)")).body("").expect(201);
    // It may be asked for by any method, and beside other states.
    let (first, of_d) = (token("/"), token("/d/"));
    demanding(server.get("/a"), "/", &first).expect(200);
    server.delete("/d/new").header("if", format!("</d/> (<{of_d}>) </d/new> ([\"0\"])")).expect(204);
    demanding(server.request("MOVE", "/d").header("destination", "/moved"), "/d/", &of_d).expect(412);
    let of_d = token("/d/");
    demanding(server.request("MOVE", "/d").header("destination", "/moved"), "/d/", &of_d).expect(201);
    demanding(server.get("/a"), "/", &first).expect(412);
}

/// What a program has saved a moment ago is found at the place that is to be changed, whether anybody has noticed it or not.
#[test]
fn what_a_program_saved_is_not_overwritten_by_a_token() {
    let server = with_a_tree();
    for (round, path) in ["/d/b", "/d/e/c", "/made"].into_iter().enumerate() {
        let (_, token) = all(&server, "/", "", "infinite", None);
        let text = format!("by a program, {round}");
        server.write(&path[1..], &text);
        server.put(path).header("if", format!("</> (<{token}>)")).body("by a client").expect(412);
        assert_eq!(server.read(&path[1..]), text);
        wait_until_complete(&server);
    }
}

/// Everybody signed in writes; in `/mine` alice alone, and in `/mine/secret` nobody.
const RULES: &str = "[[rules]]\npath = \"/\"\nwho = \"signed-in\"\nmay = \"write\"\n\
    [[rules]]\npath = \"/mine\"\nwho = \"everybody\"\nmay = \"none\"\n\
    [[rules]]\npath = \"/mine\"\nwho = \"user:alice\"\nmay = \"write\"\n\
    [[rules]]\npath = \"/mine/secret\"\nwho = \"user:alice\"\nmay = \"none\"\n";

#[test]
fn what_one_may_not_see_is_not_told() {
    let users = UsersFile::make(RULES);
    let server = Server::builder().value("--users", users.path().display()).start();
    fs::create_dir_all(server.local("mine/secret")).unwrap();
    server.write("mine/secret/s", "x");
    let by = |name: &str, request: Request| signed(request, name, Way::Token, &users);
    eventually(LIMIT, "the feed is complete", || {
        (by("alice", server.get("/?changes")).expect(200).json()["complete"] == true).then_some(())
    });
    let page = |name: &str, token: &str| {
        let mut page = told(&by(name, asks(&server, "/", token, "infinite", None)).expect(207), "/");
        while page.goes_on {
            let next = told(&by(name, asks(&server, "/", &page.token, "infinite", None)).expect(207), "/");
            page = Told { words: [page.words, next.words].concat(), ..next };
        }
        page
    };
    let (alice, bob) = (page("alice", ""), page("bob", ""));
    assert_eq!((alice.words, bob.words), (vec!["/mine/".to_owned()], vec![]));
    by("alice", server.put("/mine/f")).body("x").expect(201);
    by("alice", server.mkcol("/mine/n")).expect(201);
    by("alice", server.put("/mine/n/m")).body("x").expect(201);
    by("alice", server.put("/top")).body("x").expect(201);
    server.write("mine/secret/t", "x");
    by("alice", server.request("MOVE", "/mine/n")).header("destination", "/shown").expect(201);
    by("alice", server.request("MOVE", "/top")).header("destination", "/mine/hidden").expect(201);
    assert_eq!(
        sorted(page("alice", &alice.token).words),
        ["/mine/f", "/mine/hidden", "/shown/", "/shown/m", "404 /mine/n/", "404 /top"]
    );
    assert_eq!(sorted(page("bob", &bob.token).words), ["/shown/", "/shown/m", "404 /top"]);
    let text = by("bob", asks(&server, "/", &bob.token, "infinite", None)).expect(207).text();
    assert!(!text.contains("mine") && !text.contains("secret"), "{text}");
    // What the one was told is not what the other was.
    by("bob", asks(&server, "/", &alice.token, "infinite", None)).expect(403).dav_error("D:valid-sync-token");
    by("bob", asks(&server, "/mine/", "", "1", None)).expect(404);
    asks(&server, "/", "", "1", None).expect(401);
}

#[test]
fn what_a_link_leads_to_is_told_where_that_lies() {
    let server = with_a_tree_and(&["--follow-symlinks"]);
    symlink("d", server.local("to-d")).unwrap();
    eventually(LIMIT, "the link is noticed", || {
        let words = all(&server, "/", "", "1", None).0;
        words.contains(&"/to-d/".to_owned()).then_some(())
    });
    let (words, _) = all(&server, "/", "", "infinite", None);
    assert!(words.contains(&"403 D:sync-traversal-supported /to-d/".to_owned()), "{words:?}");
    assert!(!words.iter().any(|word| word.contains("/to-d/b")) && words.contains(&"/d/b".to_owned()), "{words:?}");
    // By the link itself it is followed as well as by its own path.
    let (words, token) = all(&server, "/to-d/", "", "infinite", None);
    assert_eq!(sorted(words), ["/to-d/b", "/to-d/e/", "/to-d/e/c"]);
    server.put("/d/b").body("x").expect(204);
    server.delete("/d/e").expect(204);
    assert_eq!(sorted(all(&server, "/to-d/", &token, "infinite", None).0), ["/to-d/b", "404 /to-d/e/"]);
    for limit in [1, 2] {
        assert_eq!(all(&server, "/to-d/", "", "infinite", Some(limit)).0, ["/to-d/b"]);
    }
}

/// A client that keeps a copy of a tree: of each URL the size and the tag.
struct Copy {
    level: &'static str,
    limit: Option<usize>,
    token: String,
    members: BTreeMap<String, (String, String)>,
    resets: usize,
}

impl Copy {
    fn of(level: &'static str, limit: Option<usize>) -> Self {
        Self { level, limit, token: String::new(), members: BTreeMap::new(), resets: 0 }
    }

    /// Brings the copy up to date. Where what happened is not known any more it begins again.
    fn follow(&mut self, server: &Server) {
        loop {
            let answer = asks(server, "/", &self.token, self.level, self.limit).expect_any(&[207, 403]);
            if answer.status == 403 {
                answer.dav_error("D:valid-sync-token");
                *self = Self { resets: self.resets + 1, ..Self::of(self.level, self.limit) };
                continue;
            }
            let page = told(&answer, "/");
            for response in answer.multistatus().0 {
                match response.status {
                    Some(404) => self.forget(&response.href),
                    Some(_) => {}
                    None => drop(self.members.insert(response.href.clone(), state_of(&response))),
                }
            }
            self.token = page.token;
            if !page.goes_on {
                return;
            }
        }
    }

    fn forget(&mut self, href: &str) {
        self.members.retain(|other, _| other != href && !(href.ends_with('/') && other.starts_with(href)));
    }
}

fn state_of(response: &crate::harness::dav::Response) -> (String, String) {
    let value = |name| match response.status_of(name) {
        Some(200) => response.value(name),
        _ => String::new(),
    };
    (value("D:getcontentlength"), value("D:getetag"))
}

/// What is there, as a PROPFIND tells it.
fn present(server: &Server, level: &str) -> BTreeMap<String, (String, String)> {
    let depth = if level == "1" { "1" } else { "infinity" };
    let answer = server.ask("/", depth, PROPERTIES).expect(207).multistatus();
    answer.0.iter().filter(|response| response.href != "/").map(|one| (one.href.clone(), state_of(one))).collect()
}

/// Of a file that was being written the tag may have been weak.
fn is_equal(copy: &BTreeMap<String, (String, String)>, there: &BTreeMap<String, (String, String)>) -> bool {
    let weak = |tag: &str| tag.starts_with("W/");
    copy.len() == there.len()
        && copy.iter().zip(there).all(|((href, (size, tag)), (other, (other_size, other_tag)))| {
            href == other && size == other_size && (tag == other_tag || weak(tag) || weak(other_tag))
        })
}

const PATHS: [&str; 10] = ["a", "b", "d", "d/a", "d/b", "d/e", "d/e/a", "f", "f/a", "f/e"];

fn by_a_client(server: &Server, dice: &mut Dice) -> String {
    let [path, other] = [(); 2].map(|()| PATHS[dice.below(PATHS.len() as u64) as usize]);
    let (at, to) = (format!("/{path}"), format!("/{other}"));
    let done = match dice.below(7) {
        0..=2 => server.put(&at).body(dice.below(1000).to_string()).send(),
        3 => server.mkcol(&at).send(),
        4 => server.delete(&at).send(),
        5 => server.copying(&at, &to).send(),
        _ => server.moving(&at, &to).send(),
    };
    format!("a client at {at} {to}: {}", done.status)
}

fn by_a_program(server: &Server, dice: &mut Dice) -> String {
    let [path, other] = [(); 2].map(|()| PATHS[dice.below(PATHS.len() as u64) as usize]);
    let (at, to) = (server.local(path), server.local(other));
    let done = match dice.below(6) {
        0 | 1 => fs::write(&at, format!("by a program {}", dice.below(1000))).is_ok(),
        2 => fs::remove_file(&at).is_ok(),
        3 => fs::remove_dir_all(&at).is_ok(),
        4 => !to.starts_with(&at) && fs::rename(&at, &to).is_ok(),
        _ => fs::create_dir_all(&at).and_then(|()| fs::write(at.join("a"), "made")).is_ok(),
    };
    format!("a program at {path} {other}: {done}")
}

/// After each step every copy is what is there, with what clients do at once and with what programs do when it was noticed.
#[test]
fn whoever_keeps_a_copy_has_what_is_there() {
    let mut server = Server::start();
    wait_until_complete(&server);
    let mut dice = Dice::shaken("whoever_keeps_a_copy_has_what_is_there");
    let mut copies: Vec<Copy> = [None, Some(1), Some(2), Some(3)]
        .iter()
        .flat_map(|limit| ["1", "infinite"].map(|level| Copy::of(level, *limit)))
        .collect();
    let mut done: Vec<String> = Vec::new();
    for _ in 0..if full() { 2000 } else { 150 } {
        let by_clients = match dice.below(30) {
            0 => {
                server.stop();
                server.start_again();
                wait_until_complete(&server);
                done.push("a restart".to_owned());
                true
            }
            1..=20 => {
                // Several at once, some of which the others take back.
                for _ in 0..=dice.below(4) {
                    done.push(by_a_client(&server, &mut dice));
                }
                true
            }
            _ => {
                done.push(by_a_program(&server, &mut dice));
                false
            }
        };
        let last = done.len().saturating_sub(12);
        for copy in &mut copies {
            copy.follow(&server);
            if by_clients && done.len() > 1 && done.iter().rev().take(5).all(|step| !step.contains("program")) {
                let there = present(&server, copy.level);
                assert!(
                    is_equal(&copy.members, &there),
                    "level {}, limit {:?}: {:#?}\n{:#?}\n{:#?}",
                    copy.level,
                    copy.limit,
                    copy.members,
                    there,
                    &done[last..]
                );
                continue;
            }
            let began = std::time::Instant::now();
            while !is_equal(&copy.members, &present(&server, copy.level)) {
                assert!(
                    began.elapsed() < LIMIT,
                    "level {}, limit {:?}: {:#?}\n{:#?}\n{:#?}",
                    copy.level,
                    copy.limit,
                    copy.members,
                    present(&server, copy.level),
                    &done[last..]
                );
                std::thread::sleep(Duration::from_millis(5));
                copy.follow(&server);
            }
        }
    }
    assert!(copies.iter().all(|copy| copy.resets == 0), "nobody had to begin again");
}
