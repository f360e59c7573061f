//! The log: which lines it has, what they look like, and that nobody waits for it. A process has only one log, so each test
//! starts this binary once more, as a child that speaks, and looks at what it said.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::harness::eventually;
use crate::harness::programs::StartProgram as _;
use crate::harness::server::Server;
use noclobber::cli::{self, ProgramTask};
use noclobber::log::{self, RequestLine, escaped};

/// Tells the child what to do; without it, a test is the parent.
const ROLE: &str = "LOGGING_TEST_OPTIONS";

#[test]
fn the_log_has_the_lines_of_its_level() {
    if let Some(options) = role() {
        return speak(&options);
    }
    for (level, wanted) in [
        ("off", &[][..]),
        ("error", &["a fault"]),
        ("warn", &["a fault", "a warning", "a library warns"]),
        ("info", &["a fault", "a warning", "a library warns", "GET"]),
        ("debug", &["a fault", "a warning", "a library warns", "GET", "a decision", "no request at all"]),
        (
            "trace",
            &[
                "a fault",
                "a warning",
                "a library warns",
                "GET",
                "a decision",
                "no request at all",
                "a library tells",
                "a library chatters",
            ],
        ),
    ] {
        let said = child("the_log_has_the_lines_of_its_level", &["--log-level", level]);
        let log = String::from_utf8(said.stderr).unwrap();
        assert_eq!(log.lines().count(), wanted.len(), "{level}: {log}");
        for line in wanted {
            assert!(log.contains(line), "{level}: no '{line}' in {log}");
        }
        // What a line would have said was worked out only where there is a line.
        let worked_out = if ["debug", "trace"].contains(&level) { 1 } else { 0 };
        let told = String::from_utf8(said.stdout).unwrap();
        assert!(told.contains(&format!("worked out: {worked_out}\n")), "{level}: {told}");
    }
}

#[test]
fn a_fault_of_the_disk_is_logged_with_the_request_and_its_cause() {
    let server = Server::with("--no-sync").start();
    server.put("/sub/f%20%C3%A9.txt?mkdirs").body("zero").expect(201);
    server.put("/sub/f%20%C3%A9.txt").body("one").expect(204);
    let history = server.local(".noclobber/history");
    std::fs::remove_dir_all(&history).unwrap();
    std::fs::write(&history, "no folder").unwrap();
    server.put("/sub/f%20%C3%A9.txt").body("two").expect(500);
    server.wait_for_log("PUT /sub/f%20%C3%A9.txt: ");
    let log = server.log();
    let line = log.lines().find(|line| line.contains("PUT /sub/f%20%C3%A9.txt: ")).unwrap();
    assert!(line.contains("ERROR") && line.contains("history"), "{line}");
    assert_eq!(server.read("sub/f é.txt"), "one");
}

#[test]
fn a_json_log_is_one_object_a_line() {
    if let Some(options) = role() {
        return speak(&options);
    }
    let said = child("a_json_log_is_one_object_a_line", &["--log-format", "json"]);
    let log = String::from_utf8(said.stderr).unwrap();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let request = lines.iter().find(|line| line["method"] == "GET").unwrap();
    assert_eq!(request["level"], "INFO");
    assert_eq!(request["status"], 412);
    assert_eq!(request["path"], r"/a\u{1b}[2J\n\u{202e}b");
    assert!(request["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')), "{request}");
}

#[test]
fn a_hostile_name_stays_in_its_line() {
    if let Some(options) = role() {
        return speak(&options);
    }
    let said = child("a_hostile_name_stays_in_its_line", &[]);
    let log = String::from_utf8(said.stderr).unwrap();
    assert!(log.contains(r"path=/a\u{1b}[2J\n\u{202e}b"), "{log}");
    assert!(!log.contains('\x1b') && !log.contains('\u{202e}'), "{log}");
    for (name, shown) in [
        ("plain name.txt", "plain name.txt"),
        ("Ünïcödé 漢字 🙂", "Ünïcödé 漢字 🙂"),
        (r"back\slash", r"back\\slash"),
        ("\0\x07\t\r\n\x7f\u{9b}", r"\u{0}\u{7}\t\r\n\u{7f}\u{9b}"),
        ("\u{200f}\u{2028}\u{2069}", r"\u{200f}\u{2028}\u{2069}"),
    ] {
        assert_eq!(escaped(name).to_string(), shown);
    }
}

/// Standard error leads to somebody who does not read. The speaker goes on, and ends.
#[test]
fn nobody_waits_for_a_reader_who_does_not_read() {
    if let Some(options) = role() {
        return speak_much(&options);
    }
    let begun = Instant::now();
    let mut child = command("nobody_waits_for_a_reader_who_does_not_read", &[]).start().unwrap();
    let status = crate::harness::eventually(Duration::from_secs(60), "the end of the speaker", || {
        child.try_wait().expect("a child can be waited for")
    });
    assert!(status.success(), "after {:?}", begun.elapsed());
    let mut log = Vec::new();
    child.stderr.take().unwrap().read_to_end(&mut log).unwrap();
    assert!(log.len() > 4096, "the log holds {} bytes", log.len());
}

/// A log that cannot be written is no reason not to go on, or to end as if something were wrong; it is told how much is missing, where it can be.
#[test]
fn what_cannot_be_written_ends_nothing() {
    if let Some(options) = role() {
        return speak_much(&options);
    }
    let test = "what_cannot_be_written_ends_nothing";
    let mut unheard = command(test, &[]).start().unwrap();
    drop(unheard.stderr.take());
    let status = eventually(Duration::from_secs(60), "the end of the speaker", || unheard.try_wait().unwrap());
    assert!(status.success(), "a reader who has gone: {status}");

    // Everything is lost there, and a word about it is none of what was said.
    let said = child(test, &["--log-file", "/dev/full"]);
    let told = String::from_utf8(said.stderr).unwrap();
    assert!(told.contains(&format!("{} lines of the log were left out", 3 * MUCH)), "{told}");
}

/// Of a reader who reads again the log tells how many lines it has left out, and it leaves out none but those.
#[test]
fn what_is_left_out_is_counted() {
    if let Some(options) = role() {
        return speak_much(&options);
    }
    let mut child = command("what_is_left_out_is_counted", &["--log-format", "json"]).start().unwrap();
    let mut told = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(told.any(|line| line.unwrap().contains("said all")), "the speaker ended early");
    let (mut lines, mut left_out) = (0, 0);
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line: serde_json::Value = serde_json::from_str(&line.unwrap()).expect("whole lines");
        match line["lines"].as_u64() {
            Some(count) => left_out += count,
            None => lines += 1,
        }
    }
    assert!(child.wait().unwrap().success());
    assert!(left_out > 0 && lines > 0, "{lines} lines, and {left_out} left out");
    assert_eq!(lines + left_out, 3 * MUCH);
}

/// Requests as other servers log them, however they were answered, and nothing else in the file; and a file that was renamed is let go.
#[test]
fn a_file_has_the_requests_as_other_servers_write_them() {
    let folder = tempfile::tempdir().unwrap();
    let (file, renamed) = (folder.path().join("log"), folder.path().join("log.1"));
    let started = || Server::builder().value("--log-format", "combined").value("--log-file", file.display());
    let server = started().start();
    server.write("f", "text");
    let asked = |path: &str| server.get(path).header("User-Agent", "a \"b\"").header("Referer", "http://c/");
    // The first two are answered from the disk, the others from memory.
    for _ in 0..4 {
        asked("/f").expect(200);
    }
    asked("/f?versions").expect(200);
    server.head("/f").expect(200);
    server.put("/new").body("new").expect(201);
    asked("/none").expect(404);
    let rest = |line: &str| {
        let (time, rest) = line.strip_prefix("127.0.0.1 - - [").expect(line).split_once("] ").expect(line);
        jiff::fmt::strtime::parse("%d/%b/%Y:%H:%M:%S %z", time).expect(time);
        rest.to_owned()
    };
    let lines = |file: &Path, count: usize| {
        eventually(Duration::from_secs(10), &format!("{count} lines in {}", file.display()), || {
            let text = std::fs::read_to_string(file).ok()?;
            (text.lines().count() >= count).then(|| text.lines().map(rest).collect::<Vec<_>>())
        })
    };
    let tail = r#" "http://c/" "a \x22b\x22""#;
    let found = lines(&file, 8);
    for line in &found[..4] {
        assert_eq!(*line, format!(r#""GET /f HTTP/1.1" 200 4{tail}"#));
    }
    assert!(found[4].starts_with(r#""GET /f?versions HTTP/1.1" 200 "#), "{}", found[4]);
    assert!(found[5].starts_with(r#""HEAD /f HTTP/1.1" 200 0 "-" "#), "{}", found[5]);
    assert!(found[6].starts_with(r#""PUT /new HTTP/1.1" 201 0 "-" "#), "{}", found[6]);
    assert!(found[7].starts_with(r#""GET /none HTTP/1.1" 404 "#) && found[7].ends_with(tail), "{}", found[7]);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o640);
    assert!(!server.log().contains("GET"), "{}", server.log());

    std::fs::rename(&file, &renamed).unwrap();
    server.get("/f").expect(200);
    assert_eq!(lines(&renamed, 9).len(), 9);
    server.signal(Signal::HUP);
    eventually(Duration::from_secs(10), "a new file", || file.exists().then_some(()));
    server.get("/f").expect(200);
    assert_eq!((lines(&file, 1).len(), lines(&renamed, 9).len()), (1, 9));
    drop(server);
    let server = started().start();
    server.get("/f").expect(404);
    assert_eq!(lines(&file, 2).len(), 2, "a log goes on where it was");

    let share = tempfile::tempdir().unwrap();
    for name in ["log", "none/log"] {
        let inside = Server::builder().folder(share.path()).value("--log-file", share.path().join(name).display());
        let (status, said) = inside.start_in_vain();
        assert!(status.code() == Some(1) && said.contains("outside of it"), "{status}: {said}");
        let nowhere = Server::builder().value("--log-file", folder.path().join("none/log").display());
        let (status, said) = nowhere.start_in_vain();
        assert!(status.code() == Some(1) && said.contains("cannot log to"), "{status}: {said}");
    }
}

fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// This test once more, in a process of its own, with these options of the program.
fn command(test: &str, options: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this binary is there"));
    command.args(["--exact", &crate::whole_name!(test), "--nocapture"]);
    command.env(ROLE, options.join(" ")).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[track_caller]
fn child(test: &str, options: &[&str]) -> Output {
    let said = command(test, options).run().unwrap();
    assert!(
        said.status.success(),
        "{}{}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );
    said
}

fn open(options: &str) -> log::LogGuard {
    let words = std::iter::once("noclobber").chain(options.split_whitespace());
    let Ok(ProgramTask::Serve(config)) = cli::read(words, Vec::new()) else { panic!("{options} is wrong") };
    log::start(&config.log).unwrap()
}

fn speak(options: &str) {
    static WORKED_OUT: AtomicUsize = AtomicUsize::new(0);
    let guard = open(options);
    tracing::error!(target: "noclobber::share", "a fault");
    tracing::warn!(target: "noclobber::watch", "a warning");
    tracing::warn!(target: "mio::poll", "a library warns");
    tracing::info!(target: "mio::poll", "a library tells a story");
    if let Some(requests) = log::requests() {
        requests.write(&request("/a\x1b[2J\n\u{202e}b"));
    }
    tracing::debug!(target: "noclobber::share", times = WORKED_OUT.fetch_add(1, Ordering::Relaxed), "a decision");
    tracing::error!(target: "actix_http::h1::dispatcher", "no request at all");
    tracing::trace!(target: "mio::poll", "a library chatters");
    drop(guard);
    println!("worked out: {}", WORKED_OUT.load(Ordering::Relaxed));
}

fn request(path: &str) -> RequestLine<'_> {
    RequestLine {
        method: "GET",
        path,
        query: None,
        version: "HTTP/1.1",
        status: 412,
        outcome: "refused",
        bytes: 0,
        took: Duration::from_micros(1),
        peer: None,
        user: None,
        referer: None,
        user_agent: None,
        change: None,
    }
}

/// How many lines each of two workers writes, and somebody who is none.
const MUCH: u64 = 40_000;

/// Says when it has said everything, and goes on for a moment.
fn speak_much(options: &str) {
    let guard = open(options);
    let requests = log::requests().expect("requests are logged");
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..MUCH).for_each(|_| requests.write(&request("/a"))));
        }
        (0..MUCH).for_each(|number| tracing::info!(target: "noclobber::http", number, "an event"));
    });
    println!("said all");
    std::thread::sleep(Duration::from_millis(500));
    drop(guard);
}
