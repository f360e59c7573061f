//! The words in a query: each means something to some methods. To the others it is no decoration but a mistake, and changes nothing.

use std::fs;
use std::path::Path;

use crate::harness::{Answer, Request, Server};

const METHODS: [&str; 15] = [
    "GET",
    "HEAD",
    "PUT",
    "DELETE",
    "MKCOL",
    "POST",
    "OPTIONS",
    "PROPFIND",
    "PROPPATCH",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "REPORT",
    "PATCH",
];

/// Every word, and the methods that take it.
const WORDS: [(&str, &[&str]); 7] = [
    ("download", &["GET", "HEAD"]),
    ("json", &["GET", "HEAD"]),
    ("versions", &["GET", "HEAD"]),
    ("version=ID", &["GET", "HEAD", "COPY"]),
    ("deleted", &["GET", "HEAD"]),
    ("restore=ID", &["POST"]),
    ("mkdirs", &["PUT"]),
];

/// Who asks to delete `/f?version=ID` does not mean the file that is at `/f` now.
#[test]
fn a_word_that_means_nothing_to_the_method_is_refused() {
    let stage = Stage::set();
    for (word, takers) in WORDS {
        for spelling in spellings(word) {
            for method in METHODS.into_iter().filter(|method| *method != "OPTIONS" && !takers.contains(method)) {
                for (target, other) in [("/f", "/x"), ("/d/", "/x/"), ("/none", "/x"), ("/d/m", "/f")] {
                    let answer = stage.request(method, &format!("{target}?{spelling}"), other).send();
                    assert_eq!(answer.status, 405, "{answer}");
                    if method != "HEAD" {
                        answer.problem();
                    }
                    let is_folder = target == "/d/";
                    let is_file = matches!(target, "/f" | "/d/m");
                    let none = word == "mkdirs" && is_folder || word == "deleted" && is_file;
                    allows_exactly(&answer, if none { &[] } else { takers });
                    stage.is_as_before(&answer);
                }
            }
        }
    }
}

/// A PUT that cannot be is told so before its body is asked for.
#[test]
fn a_word_is_refused_before_the_body_is_asked_for() {
    let stage = Stage::set();
    let answer = stage.server.put(stage.with_id("/f?version=ID")).body_when_asked("new").send();
    assert_eq!(answer.status, 405, "{answer}");
    assert!(answer.interim.is_empty(), "{answer}");
    stage.is_as_before(&answer);
}

/// The methods that take a word do what they do without it, or what the word asks for.
#[test]
fn a_word_is_taken_by_the_methods_it_is_for() {
    for (word, takers) in WORDS {
        for method in takers {
            for spelling in spellings(word) {
                let stage = Stage::set();
                let target = if matches!(word, "json" | "deleted") { "/d/" } else { "/f" };
                let answer = stage.request(method, &format!("{target}?{spelling}"), "/x").send();
                assert!([200, 201, 204].contains(&answer.status), "{answer}");
            }
        }
    }
}

/// `Allow` tells what is served at exactly this URL, in the answer to OPTIONS and in every 405: what it lists is not refused as a method, and
/// what it does not list is, or there is nothing.
#[test]
fn allow_lists_what_is_served_at_the_very_target() {
    for word in WORDS.iter().map(|(word, _)| *word).chain(["mkdirs&restore=ID", "download&version=ID", "deleted&deep"])
    {
        let mut stage = Stage::set();
        for target in ["/f", "/d/", "/d", "/none", "/"] {
            let allow = |answer: &Answer| answer.field("allow").split(", ").map(str::to_owned).collect::<Vec<_>>();
            let listed = allow(&stage.request("OPTIONS", &format!("{target}?{word}"), "/x").expect(200));
            for method in METHODS.into_iter().filter(|method| *method != "OPTIONS") {
                let answer = stage.request(method, &format!("{target}?{word}"), "/x").send();
                let is_listed = listed.iter().any(|listed| listed == method);
                let story = format!("{method} {target}?{word} of {listed:?}: {answer}");
                match answer.status {
                    405 => {
                        assert!(!is_listed, "{story}");
                        assert_eq!(allow(&answer), listed, "{story}");
                    }
                    404 => {}
                    _ => assert!(is_listed, "{story}"),
                }
                if answer.status < 400 && !matches!(method, "GET" | "HEAD") {
                    stage = Stage::set();
                }
            }
        }
    }
}

/// What contradicts itself, or cannot be read, is no wish that could be granted.
#[test]
fn words_that_contradict_each_other_are_refused() {
    let stage = Stage::set();
    for query in [
        "version=ID&restore=ID",
        "versions&version=ID",
        "json&version=ID",
        "mkdirs&version=ID",
        "download&json",
        "version=ID&version=2026-11-22T14-35-07.123456Z",
        "restore=2026-11-22T14-35-07.123456Z&%72estore=ID",
        "json=no",
        "mkdirs=0",
        "versions=ID",
        "limit=3",
        "before=ID",
        "after=a",
        "deep",
        "versions&limit=0",
        "versions&limit=many",
        "versions&before=yesterday",
        "versions&deep",
        "deleted&before=ID",
        "deleted&after=../x",
        "deleted&versions",
        "deleted&json",
    ] {
        for method in METHODS {
            let answer = stage.request(method, &format!("/f?{query}"), "/x").send();
            assert_eq!(answer.status, 400, "{answer}");
            stage.is_as_before(&answer);
        }
    }
    stage.server.get(stage.with_id("/f?version=ID&version=ID&download=1&download")).expect_body("old");
}

/// Programs add words of their own to get past caches.
#[test]
fn words_that_mean_nothing_here_are_ignored() {
    let stage = Stage::set();
    let server = &stage.server;
    server.get("/f?_=1732&nocache").expect_body("now");
    server.get("/f?").expect_body("now");
    server.put("/f?t=5&versionsx=1").body("newer").expect(204);
    for query in [
        "123",
        "_=1",
        "foo=bar",
        "q=versions",
        "json5",
        "deleted_at=1",
        "url=http://x/?json",
        "re%20store",
        "v;x",
        "_limit=1",
        "%24limit=2",
        "_version=3",
        "__json",
        "type=application/json;version=1",
        "ct=text/plain;version=0.0.4;charset=utf-8",
        "versionId=3&partNumber=1&uploads&X-Amz-SignedHeaders=host;range",
    ] {
        server.put(format!("/f?{query}")).body("newer").expect(204);
    }
    server.propfind("/d/?cachebuster", "1").expect(207);
    server.delete("/f?&&=&x=version=1").expect(204);
}

/// Whoever writes a word of the server's own not quite as it is means that word, and no change is made that it does not speak of. What only reads
/// is answered as without it.
#[test]
fn a_word_that_is_all_but_one_changes_nothing() {
    let stage = Stage::set();
    for (word, _) in WORDS {
        let (name, id) = word.split_once('=').unwrap_or((word, ""));
        let value = if id.is_empty() { String::new() } else { format!("={id}") };
        let first = name.as_bytes()[0];
        for spelling in [
            format!("{name};{value}"),
            format!(";{name}{value}"),
            format!("x=1;{name}{value}"),
            format!("?{name}{value}"),
            format!("{name}?{value}"),
            format!("+{name}{value}"),
            format!("{name}+{value}"),
            format!("%20{name}{value}"),
            format!("{name}%20{value}"),
            format!("{name}%00{value}"),
            format!("%26{name}{value}"),
            format!("%3F{name}{value}"),
            format!("{name}%3D{id}"),
            format!("%3b{name}%3D{id}"),
            format!("={name}{value}"),
            format!("%22{name}%22{value}"),
            format!("{name}%5B%5D{value}"),
            format!("{name}/{value}"),
            format!("{name}%26limit%3D1{value}"),
            format!("%25{first:02x}{}{value}", &name[1..]),
            format!("{};{value}", name.to_ascii_uppercase()),
            format!("a&%C2%A0{name}{value}&b"),
            format!("{name}:{id}"),
            format!("{name}%5B0%5D{value}"),
            format!("{name}+{id}"),
            format!("{name}/{id}"),
            format!("{name}.{value}"),
            format!("t=1?{name}{value}"),
        ] {
            for method in METHODS {
                let answer = stage.request(method, &format!("/f?{spelling}"), "/x").send();
                let story = format!("{method} ?{spelling}: {answer}");
                if matches!(method, "GET" | "HEAD" | "OPTIONS" | "PROPFIND" | "REPORT") {
                    assert!(matches!(answer.status, 200 | 207 | 403), "{story}");
                } else {
                    assert_eq!(answer.status, 400, "{story}");
                    assert!(answer.text().contains(&format!("?{name} ")), "{story}");
                }
                stage.is_as_before(&answer);
            }
        }
    }
}

/// A destination is a place for something new: no version of anything, and no option goes with it.
#[test]
fn a_destination_has_no_words() {
    let stage = Stage::set();
    for method in ["COPY", "MOVE"] {
        for (word, _) in WORDS {
            let answer = stage.request(method, "/d/m", &format!("/f?{word}")).expect(400);
            stage.is_as_before(&answer);
        }
    }
}

/// A version is copied like a file: under another name or over what is there, with the conditions of a COPY, which speak of its source.
#[test]
fn a_copy_of_a_version_copies_that_version() {
    let stage = Stage::set();
    let server = &stage.server;
    let version = stage.with_id("/f?version=ID");
    let tag = server.get(&version).expect_body("old").tag();
    stage.copy(&version, "/x").expect(201);
    server.get("/x").expect_body("old");
    server.get("/f").expect_body("now");
    stage.copy(&version, "/x").header("Overwrite", "F").expect(412);
    stage.copy(&version, "/x").if_match("\"other\"").expect(412);
    stage.copy(&version, "/x").if_none_match("*").expect(412);
    stage.copy(&version, "/nowhere/x").expect(409);
    stage.copy("/f?version=2001-01-01T00-00-00.000000Z", "/x").expect(404);
    stage.copy("/none?version=2001-01-01T00-00-00.000000Z", "/x").expect(404);
    stage.copy("/f?version=..", "/x").expect(404);
    server.put("/x").body("other").expect(204);
    stage.copy(&version, "/x").if_match(&tag).expect(204);
    server.get("/x").expect_body("old");
    assert_eq!(server.versions("/x").0[0].content, b"other", "what was there is kept");
    // Back to where it came from: a restore by another name.
    stage.copy(&version, "/f").expect(204);
    server.get("/f").expect_body("old");
    let folder = server.versions("/gone").0.remove(0);
    assert_eq!(folder.kind, "folder");
    stage.copy(&format!("/gone?version={}", folder.id), "/y").expect(400).problem();
    assert!(!server.local("y").exists());
}

/// A share with a file that has a version, a folder, and a folder that was deleted.
struct Stage {
    server: Server,
    id: String,
    before: Vec<String>,
}

impl Stage {
    fn set() -> Self {
        let server = Server::start();
        server.put("/f").body("old").expect(201);
        server.put("/f").body("now").expect(204);
        server.put("/d/m?mkdirs").body("member").expect(201);
        server.put("/gone/m?mkdirs").body("member").expect(201);
        server.delete("/gone/").expect(204);
        let id = server.versions("/f").0[0].id.clone();
        let before = everything(server.folder());
        Self { server, id, before }
    }

    fn with_id(&self, text: &str) -> String {
        text.replace("ID", &self.id)
    }

    fn copy(&self, from: &str, to: &str) -> Request {
        self.server.request("COPY", from).header("Destination", to)
    }

    /// A request that would be carried out if the target had no query.
    fn request(&self, method: &str, target: &str, other: &str) -> Request {
        let request = self.server.request(method, self.with_id(target));
        match method {
            "PUT" => request.body("new"),
            "COPY" | "MOVE" => request.header("Destination", self.with_id(other)),
            "LOCK" => request.xml(
                "<lockinfo xmlns='DAV:'><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>",
            ),
            "UNLOCK" => request.header("Lock-Token", "<urn:uuid:00000000-0000-4000-8000-000000000000>"),
            "PROPPATCH" => {
                request.xml("<propertyupdate xmlns='DAV:'><set><prop><a xmlns='b'>c</a></prop></set></propertyupdate>")
            }
            "PROPFIND" => request.depth("1"),
            _ => request,
        }
    }

    #[track_caller]
    fn is_as_before(&self, answer: &Answer) {
        assert_eq!(everything(self.server.folder()), self.before, "changed by {answer}");
    }
}

#[track_caller]
fn allows_exactly(answer: &Answer, methods: &[&str]) {
    let mut allowed: Vec<_> = answer.field("allow").split(", ").collect();
    let mut wanted = [&["OPTIONS"], methods].concat();
    allowed.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(allowed, wanted, "{answer}");
}

fn spellings(word: &str) -> [String; 4] {
    let (name, value) = word.split_once('=').map_or((word, ""), |(name, _)| (name, "=ID"));
    let first = format!("%{:02x}{}", name.as_bytes()[0], &name[1..]);
    let upper = name.to_ascii_uppercase();
    [word.to_owned(), format!("{first}{value}"), format!("{upper}{value}"), format!("x=1&{word}&y")]
}

/// All that is in a folder, noclobber's own too: paths and contents. What comes by itself is left out: the file by which the disk's clock
/// is read, and the room that is kept for removals.
fn everything(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut todo = vec![folder.to_owned()];
    while let Some(folder) = todo.pop() {
        let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        for path in paths.filter(|path| !path.ends_with(".noclobber/clock") && !path.ends_with(".noclobber/spare")) {
            let content = if path.is_dir() { "a folder".to_owned() } else { fs::read_to_string(&path).unwrap() };
            found.push(format!("{}: {content}", path.display()));
            if path.is_dir() {
                todo.push(path);
            }
        }
    }
    found.sort();
    found
}
