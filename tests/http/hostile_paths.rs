//! Paths that are meant to lead out of the folder, in every spelling, with every method, and while the folder is being changed.
//! Never a byte from outside, never a byte to outside, and never a fault.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::harness::{Answer, Connection, Request, Server};

const SECRET: &str = "nobody may read this";
const METHODS: [&str; 8] = ["GET", "HEAD", "PUT", "DELETE", "MKCOL", "OPTIONS", "POST", "PROPFIND"];

/// A share with something beside it that must stay as it is.
struct Beside {
    server: Server,
    place: tempfile::TempDir,
    before: Vec<(PathBuf, String)>,
}

impl Beside {
    fn start(words: &[&str]) -> Self {
        let place = tempfile::tempdir().unwrap();
        for (path, content) in [("outside/secret", SECRET), ("secret", SECRET), ("share/docs/a.txt", "inside")] {
            let path = place.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let options = words.iter().fold(Server::builder(), |options, word| options.option(*word));
        let server = options.folder(place.path().join("share")).start();
        let before = outside(place.path());
        Self { server, place, before }
    }

    #[track_caller]
    fn check(&self) {
        assert_eq!(outside(self.place.path()), self.before, "something outside the share was changed");
    }
}

/// Everything outside the share: paths, contents and times.
fn outside(place: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![place.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            let path = entry.path();
            if path == place.join("share") {
                continue;
            }
            let metadata = entry.metadata().unwrap();
            let content = if metadata.is_file() { fs::read_to_string(&path).unwrap() } else { String::new() };
            found.push((
                path.clone(),
                format!("{content} {:?} {:?}", metadata.modified().unwrap(), metadata.permissions()),
            ));
            if metadata.is_dir() {
                folders.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Two thousand paths that would leave the share if any part of the server decoded, joined or cleaned them carelessly.
#[test]
fn no_spelling_leads_out_of_the_share() {
    let share = Beside::start(&[]);
    let host = share.server.address();
    let ups = [
        "..",
        "%2e%2e",
        ".%2e",
        "%2E.",
        "%252e%252e",
        "..%00",
        "%c0%ae%c0%ae",
        "%uff0e%uff0e",
        "..;",
        "...",
        "%2e%2e%20",
    ];
    let separators = ["/", "%2f", "%5c", "\\", "//", "%252f", ";/", "/./"];
    let targets = ["outside/secret", "secret", "etc/hostname"];
    let mut tried = 0;
    let mut connection = Connection::open(host).unwrap();
    for prefix in ["/", "/docs/", "/none/"] {
        for up in ups {
            for separator in separators {
                for target in targets {
                    for depth in 1..=3 {
                        let path = format!("{prefix}{}{target}", format!("{up}{separator}").repeat(depth));
                        let method = METHODS[tried % METHODS.len()];
                        for method in [method, "GET"] {
                            let answer = patiently(&mut connection, request(&share.server, method, &path));
                            check_hostile(&answer);
                        }
                        tried += 1;
                    }
                }
            }
        }
    }
    assert!(tried >= 2000, "{tried}");
    share.check();
}

/// The classics, each with every method.
#[test]
fn the_classics_of_path_traversal() {
    let share = Beside::start(&[]);
    let classics: &[&[u8]] = &[
        b"/../secret",
        b"/%2e%2e/secret",
        b"/docs/../../secret",
        b"/docs/%2e%2e%2f%2e%2e%2fsecret",
        b"/..%2fsecret",
        b"/..%5csecret",
        b"/.%00./secret",
        b"/docs/a.txt%00.png",
        b"/%00",
        b"/%",
        b"/%2",
        b"/%zz",
        b"/docs//a.txt",
        b"//docs/a.txt",
        b"//evil.example/%2f..",
        b"/docs/./a.txt",
        b"/docs/.",
        b"/docs/..",
        b"/./",
        b"/..",
        b"/docs%2fa.txt",
        b"/docs%5ca.txt",
        b"/c:/windows/win.ini",
        b"/foo/c:/windows/win.ini",
        b"/%5c%5cserver%5cshare",
        b"/proc/self/environ",
        b"/docs/a.txt/..",
        b"/docs/a.txt/../../../secret",
        b"/%c0%af..%c0%afsecret",
        b"/%ef%bc%8f..%ef%bc%8fsecret",
        b"/%e2%88%95..%e2%88%95secret",
        b"/docs/\x7f",
        b"/%0d%0aX-Injected:%20yes",
        b"/%1b%5b31m",
        b"http://127.0.0.1/../secret",
        b"/a?restore=../../secret",
        b"/docs/a.txt?version=../../../../secret",
        b"/docs/a.txt?version=%2e%2e%2f%2e%2e%2fsecret",
    ];
    for path in classics {
        for method in METHODS {
            let answer = request_bytes(&share.server, method, path).try_send();
            let Ok(answer) = answer else { continue };
            check_hostile(&answer);
            assert!(answer.header("x-injected").is_none(), "{answer}");
            assert!(
                answer.header("location").is_none_or(|place| place.starts_with('/') && !place.starts_with("//")),
                "{answer}"
            );
        }
    }
    // Whatever is no clean path is refused, not mended.
    for path in ["/docs/../docs/a.txt", "/docs/./a.txt", "/docs%2fa.txt", "/%zz", "/docs/a.txt%00"] {
        share.server.get(path).expect_any(&[400, 404]);
    }
    share.check();
}

/// Request targets that are no paths at all.
#[test]
fn targets_that_are_no_paths() {
    let share = Beside::start(&[]);
    let host = share.server.address();
    for line in [
        "GET  HTTP/1.1".to_owned(),
        "GET HTTP/1.1".to_owned(),
        "GET * HTTP/1.1".to_owned(),
        "DELETE * HTTP/1.1".to_owned(),
        "GET docs/a.txt HTTP/1.1".to_owned(),
        "GET ../secret HTTP/1.1".to_owned(),
        "GET /docs/a b.txt HTTP/1.1".to_owned(),
        "CONNECT example.com:443 HTTP/1.1".to_owned(),
        "GET example.com:443 HTTP/1.1".to_owned(),
        "GET /\u{e9} HTTP/1.1".to_owned(),
        format!("GET /{} HTTP/1.1", "a".repeat(65_000)),
        format!("GET /{} HTTP/1.1", "a/".repeat(30_000)),
        format!("PUT /{} HTTP/1.1", "%41".repeat(10_000)),
        "GET /docs/a.txt HTTP/9.9".to_owned(),
        "\0\0\0\0".to_owned(),
        "GET /docs/a.txt".to_owned(),
    ] {
        let mut connection = Connection::open(host).unwrap();
        if connection.try_write(format!("{line}\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n").as_bytes()).is_err() {
            continue;
        }
        connection.finish_writing();
        let Ok(answer) = connection.try_answer("GET") else { continue };
        assert!(
            answer.status >= 400 && (answer.status < 500 || matches!(answer.status, 501 | 505)),
            "{line:.60}: {answer}"
        );
    }
    share.server.get("/docs/a.txt").expect_body("inside");
    share.check();
}

/// A fragment has no place in a request: `DELETE /docs/#1` must not be taken for `DELETE /docs/`.
#[test]
fn a_fragment_deletes_nothing() {
    let share = Beside::start(&[]);
    share.server.delete("/docs/#ment").expect_any(&[400, 404]);
    share.server.put("/docs/a.txt#ment").body("x").expect_any(&[400, 404]);
    share.server.get("/docs/a.txt").expect_body("inside");
}

/// Links are not followed: not as the last name, not on the way, not to inside, not to outside, not in a circle.
#[test]
fn links_are_not_followed() {
    let share = Beside::start(&[]);
    for (name, target) in LINKS {
        symlink(target, share.server.local(name)).unwrap();
    }
    for (name, _) in LINKS {
        for below in ["", "/", "/secret", "/a.txt", "/self/root/etc/hostname", "/new.txt"] {
            for method in METHODS {
                let answer = request(&share.server, method, &format!("/{name}{below}")).send();
                check_hostile(&answer);
                let refused = answer.status >= 400 || method == "OPTIONS";
                assert!(refused || (method == "DELETE" && below.is_empty()), "{answer}");
                restore_link(&share.server.local(name));
            }
        }
    }
    share.server.get("/docs/a.txt").expect_body("inside");
    share.check();
}

/// Told to follow links, the server follows them inside the folder and no further.
#[test]
fn links_are_followed_inside_only_when_asked() {
    let share = Beside::start(&["--follow-symlinks"]);
    for (name, target) in LINKS {
        symlink(target, share.server.local(name)).unwrap();
    }
    share.server.get("/inside/a.txt").expect_body("inside");
    share.server.get("/inside-file").expect_body("inside");
    for name in ["up", "up-file", "absolute", "absolute-file", "proc", "loop", "dangling"] {
        for below in ["", "/secret", "/self/root/etc/hostname"] {
            for method in ["GET", "HEAD", "PUT", "MKCOL"] {
                let answer = request(&share.server, method, &format!("/{name}{below}")).send();
                check_hostile(&answer);
                assert!(answer.status >= 400, "{answer}");
            }
        }
    }
    share.check();
}

/// While requests come in, a local program exchanges a folder with a link that leads outside, as fast as it can.
#[test]
fn a_link_swapped_in_at_full_speed_leads_nowhere() {
    for words in [&[][..], &["--follow-symlinks"]] {
        let share = Beside::start(words);
        fs::write(share.server.local("docs/secret"), "harmless").unwrap();
        symlink("../outside", share.server.local("flip")).unwrap();
        let done = AtomicBool::new(false);
        let (flips, requests) = std::thread::scope(|scope| {
            let flipping = scope.spawn(|| {
                let mut flips = 0_u64;
                while !done.load(Ordering::Relaxed) {
                    let (one, other) = (share.server.local("docs"), share.server.local("flip"));
                    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
                    flips += 1;
                }
                flips
            });
            let begun = Instant::now();
            let mut requests = 0_u64;
            let mut connection = share.server.connect();
            while begun.elapsed() < Duration::from_secs(2) {
                let (method, path) = [
                    ("GET", "/docs/secret"),
                    ("PUT", "/docs/secret"),
                    ("PUT", "/docs/new"),
                    ("DELETE", "/docs/new"),
                    ("MKCOL", "/docs/folder"),
                    ("DELETE", "/docs/folder"),
                    ("GET", "/docs/?json"),
                ][requests as usize % 7];
                let answer = patiently(&mut connection, request(&share.server, method, path));
                assert!(!answer.text().contains(SECRET), "{answer}");
                assert!(answer.status < 500, "{answer}");
                requests += 1;
            }
            done.store(true, Ordering::Relaxed);
            (flipping.join().unwrap(), requests)
        });
        assert!(flips > 1000 && requests > 100, "{flips} flips and {requests} requests are too few to tell");
        share.check();
    }
}

/// A folder is deleted while a local program plants links in it: what they lead to is never touched.
#[test]
fn deleting_a_folder_follows_no_link() {
    let share = Beside::start(&["--no-history"]);
    for round in 0..20 {
        let folder = format!("tree-{round}");
        fs::create_dir(share.server.local(&folder)).unwrap();
        symlink("../../outside", share.server.local(format!("{folder}/link"))).unwrap();
        symlink(share.place.path().join("secret"), share.server.local(format!("{folder}/file"))).unwrap();
        share.server.delete(format!("/{folder}/")).expect(204);
    }
    share.check();
}

/// An answer never says where on the machine the share lies.
#[test]
fn no_answer_tells_where_the_folder_is() {
    let share = Beside::start(&[]);
    let place = share.place.path().file_name().unwrap().to_str().unwrap().to_owned();
    for (method, path) in [
        ("GET", "/none"),
        ("GET", "/"),
        ("PUT", "/none/a"),
        ("DELETE", "/"),
        ("GET", "/docs/a.txt/x"),
        ("PUT", "/docs"),
    ] {
        let answer = request(&share.server, method, path).send();
        let headers = format!("{:?}", answer.headers);
        assert!(!answer.text().contains(&place) && !headers.contains(&place), "{answer}");
    }
}

/// Names as long as they can be work; longer ones are refused.
#[test]
fn names_that_are_too_long() {
    let share = Beside::start(&[]);
    share.server.put(format!("/{}", "n".repeat(255))).body("x").expect(201);
    share.server.put(format!("/{}", "n".repeat(256))).body("x").expect_any(&[400, 403, 404, 414]);
    share.server.get(format!("/{}", "n".repeat(256))).expect_any(&[400, 404, 414]);
    share.server.mkcol(format!("/{}", "n".repeat(256))).expect_any(&[400, 403, 404, 414]);
}

/// Names in the log cannot move the cursor or forge a line.
#[test]
fn names_are_escaped_in_the_log() {
    let share = Beside::start(&[]);
    share.server.get("/%1b%5b31mred").send();
    share.server.put("/forged%0aline").body("x").send();
    let _ = share.server.get("/docs/").header("User-Agent", "\u{1b}[31m").try_send();
    share.server.get("/docs/a.txt").send();
    share.server.wait_for_log("/docs/a.txt");
    let log = share.server.log();
    assert!(!log.contains('\u{1b}'), "{log}");
    assert!(!log.lines().any(|line| line.starts_with("line")), "{log}");
}

const LINKS: [(&str, &str); 9] = [
    ("inside", "docs"),
    ("inside-file", "docs/a.txt"),
    ("up", "../outside"),
    ("up-file", "../secret"),
    ("absolute", "/etc"),
    ("absolute-file", "/etc/hostname"),
    ("proc", "/proc"),
    ("loop", "loop"),
    ("dangling", "new.txt"),
];

/// A link itself may be deleted; put it back for the next try.
fn restore_link(path: &Path) {
    if path.symlink_metadata().is_err() {
        let name = path.file_name().unwrap().to_str().unwrap();
        let (_, target) = LINKS.iter().find(|(known, _)| *known == name).unwrap();
        symlink(target, path).unwrap();
    }
}

fn request(server: &Server, method: &str, path: &str) -> Request {
    request_bytes(server, method, path.as_bytes())
}

fn request_bytes(server: &Server, method: &str, path: &[u8]) -> Request {
    let request = server.request(method, path);
    if method == "PUT" { request.body("uploaded") } else { request }
}

/// Sends on a kept connection, and on a new one where a refusal has closed it.
#[track_caller]
fn patiently(connection: &mut Connection, request: Request) -> Answer {
    if let Ok(answer) = connection.try_send(&request) {
        if answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            *connection = Connection::open(connection.stream().peer_addr().unwrap()).unwrap();
        }
        return answer;
    }
    *connection = Connection::open(request.address()).unwrap();
    connection.send(&request)
}

#[track_caller]
fn check_hostile(answer: &Answer) {
    assert!(!answer.text().contains(SECRET), "{answer}");
    assert!(answer.status < 500 || answer.status == 501, "{answer}");
}
