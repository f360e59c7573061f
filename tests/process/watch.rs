//! `noclobber watch`: each change is a line, whatever the names are and however often the server goes away; and it ends as scripts need it to.

use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::harness::programs::StartProgram as _;
use crate::harness::users::{UsersFile, password_of, token_of};
use crate::harness::{Server, eventually};

/// So long may a machine that is busy with other tests take.
const LIMIT: Duration = Duration::from_secs(60);

/// Everybody signed in writes, and what is in `/mine` is not for bob to see.
const RULES: &str = "[[rules]]\npath = \"/\"\nwho = \"signed-in\"\nmay = \"write\"\n\
    [[rules]]\npath = \"/mine\"\nwho = \"user:bob\"\nmay = \"none\"\n";

/// The program while it watches.
struct Watching {
    child: Child,
    lines: Receiver<String>,
    errors: Arc<Mutex<String>>,
    /// Ends when all of its errors have come.
    listening: Option<JoinHandle<()>>,
}

impl Watching {
    /// Starts it, and waits until it tells of what happens from now on.
    #[track_caller]
    fn start(words: &[&str]) -> Self {
        Self::start_with(words, &[])
    }

    #[track_caller]
    fn start_with(words: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut watching = Self::begin(words, variables);
        eventually(LIMIT, "it watches", || {
            let has_ended = watching.child.try_wait().unwrap();
            assert!(has_ended.is_none(), "{has_ended:?} {}", watching.errors());
            watching.errors().contains("watching ").then_some(())
        });
        watching
    }

    fn begin(words: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = command(words, variables).start().expect("it can be run");
        let errors: Arc<Mutex<String>> = Arc::default();
        let (stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let collected = Arc::clone(&errors);
        let listening = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = stderr.read(&mut bytes) {
                collected.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        let (send, lines) = channel();
        std::thread::spawn(move || {
            // Whoever wants no more lines closes the pipe.
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| send.send(line)).ok();
        });
        Self { child, lines, errors, listening: Some(listening) }
    }

    fn errors(&self) -> String {
        self.errors.lock().unwrap().clone()
    }

    #[track_caller]
    fn line(&self) -> String {
        self.lines.recv_timeout(LIMIT).unwrap_or_else(|error| panic!("{error}: {}", self.errors()))
    }

    /// The next line without its time: kind and path, and what else there is.
    #[track_caller]
    fn words(&self) -> String {
        let line = self.line();
        let (at, words) = line.split_once('\t').unwrap_or_else(|| panic!("{line}"));
        assert!(at.starts_with("20") && at.ends_with('Z'), "{line}");
        words.to_owned()
    }

    #[track_caller]
    fn json(&self) -> Value {
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    #[track_caller]
    fn ends_with(mut self, code: i32) -> String {
        let status = eventually(LIMIT, "it ends", || self.child.try_wait().unwrap());
        self.listening.take().expect("it ends once").join().expect("no panic");
        assert_eq!(status.code(), Some(code), "{}", self.errors());
        self.errors()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(words: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_noclobber"));
    command.arg("watch").args(words).env_remove("NOCLOBBER_PASSWORD").env_remove("NOCLOBBER_TOKEN");
    command.envs(variables.iter().copied()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it where it ends by itself; gives what it says.
#[track_caller]
fn refused(words: &[&str], variables: &[(&str, &str)], code: i32) -> String {
    let watching = Watching::begin(words, variables);
    watching.ends_with(code)
}

fn url(server: &Server) -> String {
    format!("http://{}/", server.address())
}

/// A server that comes again where it was, unlike those that the tests have otherwise.
fn server_to_restart() -> (Server, String) {
    let port = free_port();
    let server = Server::builder().value("--listen", format!("127.0.0.1:{port}")).start();
    // The first start makes a feed of what is there, and begins it anew when it is known.
    eventually(LIMIT, "the feed is complete", || {
        (server.get("/?changes").expect(200).json()["complete"] == true).then_some(())
    });
    (server, format!("http://127.0.0.1:{port}/"))
}

/// A port on which nobody listens, and that the system gives to nobody who wants any (ip(7), `ip_local_port_range`), not even while the server is
/// away.
fn free_port() -> u16 {
    static TRIED: AtomicU16 = AtomicU16::new(0);
    loop {
        let port = 20_000 + (std::process::id() % 100) as u16 * 100 + TRIED.fetch_add(1, Ordering::Relaxed) % 100;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

#[test]
fn nothing_is_missed_while_the_server_is_away() {
    let (mut server, url) = server_to_restart();
    let watching = Watching::start(&[&url]);
    server.put("/before").body("1").expect(201);
    assert_eq!(watching.words(), "created\t/before");
    server.put("/just-before").body("1").expect(201);
    server.stop();
    server.write("meanwhile", "by a program");
    eventually(LIMIT, "it is told that the server is away", || watching.errors().contains("tried again").then_some(()));
    server.start_again();
    assert_eq!(watching.words(), "created\t/just-before");
    assert_eq!(watching.words(), "created\t/meanwhile");
    server.mkcol("/folder").expect(201);
    server.request("MOVE", "/folder").header("destination", "/moved").expect(201);
    assert_eq!(watching.words(), "created\t/folder/");
    assert_eq!(watching.words(), "moved\t/moved/\t/folder/");
    watching.signal(Signal::TERM);
    let errors = watching.ends_with(0);
    assert_eq!(errors.matches("is there again").count(), 1, "{errors}");
}

/// What a server told in the second before it was killed is lost, and so is the place behind it. Whoever watches is told so, and goes on.
#[test]
fn a_place_that_is_lost_on_the_way_is_said_to_be() {
    let (mut server, url) = server_to_restart();
    let watching = Watching::start(&["--json", &url]);
    let begin = watching.json();
    assert!(begin["cursor"].is_string(), "{begin}");
    server.put("/a").body("1").expect(201);
    assert_eq!(watching.json()["path"], "/a");
    // Another state is another feed, whatever the killed one has saved.
    server.kill();
    fs::remove_dir_all(server.state()).unwrap();
    fs::create_dir(server.state()).unwrap();
    server.start_again();
    let told = eventually(LIMIT, "the word to look again", || {
        let line = watching.json();
        (line["kind"] == "look-again").then_some(line)
    });
    assert_eq!(told["path"], "/");
    assert!(told["why"].as_str().unwrap().contains("cursor"), "{told}");
    let anew = watching.json();
    assert!(anew["cursor"].is_string() && anew["cursor"] != begin["cursor"], "{anew}");
    eventually(LIMIT, "the feed is complete", || {
        (server.get("/?changes").expect(200).json()["complete"] == true).then_some(())
    });
    server.put("/b").body("1").expect(201);
    eventually(LIMIT, "what comes then", || (watching.json()["path"] == "/b").then_some(()));
}

/// What is printed is what `?changes` tells, and it goes on from there.
#[test]
fn json_is_what_changes_tells() {
    let (server, _) = server_to_restart();
    server.mkcol("/d").expect(201);
    let begin = server.get("/d/?changes").expect(200).json()["cursor"].as_str().unwrap().to_owned();
    server.put("/d/a").body("1").expect(201);
    server.put("/beside").body("1").expect(201);
    server.put("/d/a").body("22").expect(204);
    let page = server.get(format!("/d/?changes&since={begin}")).expect(200).json();
    let place = format!("{}d/", url(&server));
    let watching = Watching::start(&["--json", "--since", &begin, &place]);
    assert_eq!([watching.json(), watching.json()].as_slice(), page["changes"].as_array().unwrap().as_slice());
    assert_eq!(watching.json()["cursor"], page["cursor"]);
    server.put("/d/a").body("333").expect(204);
    assert_eq!(watching.json()["size"], 3);
    watching.signal(Signal::INT);
    watching.ends_with(0);
}

/// A name is a part of its line, whatever is in it: none makes another line, and none changes what the terminal shows.
#[test]
fn no_name_forges_a_line() {
    let server = Server::start();
    let (by_server, by_folder) =
        (Watching::start(&[&url(&server)]), Watching::start(&[server.folder().to_str().unwrap()]));
    server.write("a\n2026-01-01T00:00:00Z\tdeleted\t\x1b[2Jb\\", "text");
    for watching in [by_server, by_folder] {
        assert_eq!(watching.words(), r"created	/a\n2026-01-01T00:00:00Z\tdeleted\t\u{1b}[2Jb\\");
    }
}

/// A folder is watched whether a server has it or not; that leaves nothing in it, and keeps no server from having it.
#[test]
fn a_folder_is_watched_without_a_server_and_beside_one() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("there"), "already").unwrap();
    let watching = Watching::start(&[folder.path().to_str().unwrap()]);
    fs::write(folder.path().join("new"), "1").unwrap();
    assert_eq!(watching.words(), "created\t/new");
    fs::create_dir(folder.path().join("d")).unwrap();
    assert_eq!(watching.words(), "created\t/d/");
    fs::remove_file(folder.path().join("there")).unwrap();
    assert_eq!(watching.words(), "deleted\t/there");
    assert!(!folder.path().join(".noclobber").exists());
    let server = Server::on(folder.path());
    server.put("/by-a-client").body("1").expect(201);
    assert_eq!(watching.words(), "created\t/by-a-client");
    let beside = Watching::start(&["--json", folder.path().to_str().unwrap()]);
    server.put("/d/deep").body("1").expect(201);
    let told = beside.json();
    assert_eq!(
        (&told["kind"], &told["path"], &told["by"]),
        (&"created".into(), &"/d/deep".into(), &Value::Null),
        "{told}"
    );
    assert_eq!(watching.words(), "created\t/d/deep");
    for watching in [watching, beside] {
        watching.signal(Signal::TERM);
        watching.ends_with(0);
    }
}

/// As with `| head -1`: it ends when nobody reads any more, also where nothing happens that would be written.
#[test]
fn it_ends_when_nobody_reads_any_more() {
    let server = Server::start();
    for place in [url(&server), server.folder().to_str().unwrap().to_owned()] {
        let mut child = command(&[&place], &[]).start().unwrap();
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        errors.read_line(&mut line).unwrap();
        assert!(line.contains("watching"), "{line}");
        drop(child.stdout.take());
        let status = eventually(LIMIT, "it ends", || child.try_wait().unwrap());
        line.clear();
        errors.read_to_string(&mut line).unwrap();
        assert_eq!((status.code(), line.as_str()), (Some(0), ""), "{place}");
    }
}

#[test]
fn what_is_no_feed_is_said_to_be_none() {
    let server = Server::start();
    server.write("file", "text");
    let url = url(&server);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (words, code, told) in [
        (&[format!("http://{nobody}/")][..], 1, "refused"),
        (&[format!("{url}none")], 1, "404"),
        (&[format!("{url}file")], 1, "404"),
        (&["/nowhere/at/all".to_owned()], 1, "/nowhere/at/all"),
        (&[format!("ftp://{nobody}/")], 1, "URL"),
        (&["--since=garbled".to_owned(), url.clone()], 2, "a cursor is wanted"),
        (&["--since=aaaaaaaaaaaaaaaa-1".to_owned(), ".".to_owned()], 2, "--since"),
        (&["--since=aaaaaaaaaaaaaaaa-1".to_owned(), url.clone()], 3, "another feed"),
        (&[], 2, "URL|FOLDER"),
    ] {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let said = refused(&words, &[], code);
        assert!(said.contains(told), "{words:?}: {said}");
    }
    // A server that has no feed answers with a page.
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut peer, _) = other.accept().unwrap();
        let _ = peer.read(&mut [0; 4096]);
        peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi").unwrap();
    });
    let said = refused(&[&format!("http://{address}/")], &[], 1);
    assert!(said.contains("no feed"), "{said}");
}

#[test]
fn a_server_is_told_who_asks() {
    let users = UsersFile::make(RULES);
    let server = Server::builder().value("--users", users.path().display()).start();
    let url = url(&server);
    let password = password_of("bob");
    let token = token_of("bob");
    let said = refused(&[&url], &[], 1);
    assert!(said.contains("--user NAME"), "{said}");
    for (words, variables) in
        [(&["--user=bob", &url][..], [("NOCLOBBER_PASSWORD", "wrong")]), (&[&url], [("NOCLOBBER_TOKEN", "nc_wrong")])]
    {
        let said = refused(words, &variables, 1);
        assert!(said.contains("401") && !said.contains("wrong"), "{said}");
    }
    let by_password = Watching::start_with(&["--user", "bob", &url], &[("NOCLOBBER_PASSWORD", &password)]);
    let named = url.replace("http://", "http://bob@");
    let by_url = Watching::start_with(&[&named], &[("NOCLOBBER_PASSWORD", &password)]);
    let by_token = Watching::start_with(&[&url], &[("NOCLOBBER_TOKEN", &token)]);
    let folder = server.folder().to_owned();
    fs::create_dir(folder.join("mine")).unwrap();
    fs::write(folder.join("mine/secret"), "1").unwrap();
    fs::write(folder.join("all"), "1").unwrap();
    for watching in [by_password, by_url, by_token] {
        assert_eq!(watching.words(), "created\t/all");
    }
    let made = server
        .post("/?links")
        .header("authorization", format!("Bearer {}", token_of("alice")))
        .body(r#"{"may": "read"}"#)
        .expect(201);
    let link = made.json()["href"].as_str().unwrap().to_owned();
    let by_link = Watching::start(&[&format!("{}{link}", url.trim_end_matches('/'))]);
    fs::write(folder.join("mine/other"), "1").unwrap();
    assert_eq!(by_link.words(), "created\t/mine/other", "a link gives what its owner may");
}

#[test]
fn a_certificate_is_looked_at() {
    let server = Server::with("--tls").start();
    let certificate = server.state().join("tls/certificate.pem");
    let url = format!("https://{}/", server.address());
    let said = refused(&[&url], &[], 1);
    assert!(said.contains("--cacert"), "{said}");
    let by_authority = Watching::start(&["--cacert", certificate.to_str().unwrap(), &url]);
    let by_anybody = Watching::start(&["--insecure", &url]);
    write(server.folder(), "file");
    for watching in [by_authority, by_anybody] {
        assert_eq!(watching.words(), "created\t/file");
    }
}

fn write(folder: &Path, name: &str) {
    fs::write(folder.join(name), "text").unwrap();
}
