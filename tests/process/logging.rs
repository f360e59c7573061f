//! The log: which lines it has, what they look like, and that nobody waits for it. A process has only one log, so each test
//! starts this binary once more, as a child that speaks, and looks at what it said.

use std::io::Read as _;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::harness::programs::StartProgram as _;
use noclobber::config::{self, ProgramTask};
use noclobber::log::{self, escaped};

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
        ("info", &["a fault", "a warning", "a library warns", "a request"]),
        ("debug", &["a fault", "a warning", "a library warns", "a request", "a decision", "no request at all"]),
        (
            "trace",
            &[
                "a fault",
                "a warning",
                "a library warns",
                "a request",
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
fn a_json_log_is_one_object_a_line() {
    if let Some(options) = role() {
        return speak(&options);
    }
    let said = child("a_json_log_is_one_object_a_line", &["--log-format", "json"]);
    let log = String::from_utf8(said.stderr).unwrap();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let request = lines.iter().find(|line| line["message"] == "a request").unwrap();
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
    let Ok(ProgramTask::Serve(config)) = config::read(words, Vec::new()) else { panic!("{options} is wrong") };
    log::start(config.log).unwrap()
}

fn speak(options: &str) {
    static WORKED_OUT: AtomicUsize = AtomicUsize::new(0);
    let guard = open(options);
    tracing::error!(target: "noclobber::share", "a fault");
    tracing::warn!(target: "noclobber::watch", "a warning");
    tracing::warn!(target: "mio::poll", "a library warns");
    tracing::info!(target: "mio::poll", "a library tells a story");
    tracing::info!(target: "noclobber::http", status = 412, path = %escaped("/a\x1b[2J\n\u{202e}b"), "a request");
    tracing::debug!(target: "noclobber::share", times = WORKED_OUT.fetch_add(1, Ordering::Relaxed), "a decision");
    tracing::error!(target: "actix_http::h1::dispatcher", "no request at all");
    tracing::trace!(target: "mio::poll", "a library chatters");
    drop(guard);
    println!("worked out: {}", WORKED_OUT.load(Ordering::Relaxed));
}

fn speak_much(options: &str) {
    let guard = open(options);
    for number in 0..100_000 {
        tracing::info!(target: "noclobber::http", number, "a request");
    }
    drop(guard);
}
