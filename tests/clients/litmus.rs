//! litmus, the test suite of WebDAV itself: all of its 104 tests, on what the file system offers and on the fallbacks for less.

use std::time::Duration;

use super::signed_in::{NAME, Over, PASSWORD};
use super::{BOTH, Scratch, Served, SignedIn, has_all};
use crate::harness::{Server, report};

/// How many tests litmus 0.13 has.
pub const TESTS: u32 = 104;

#[test]
fn litmus_passes() {
    run("litmus_passes", None);
}

#[test]
fn litmus_passes_on_tier_b() {
    run("litmus_passes_on_tier_b", Some("B"));
}

#[test]
fn litmus_passes_on_tier_c() {
    run("litmus_passes_on_tier_c", Some("C"));
}

/// With a user. Over TLS one of the tests is left out by litmus itself.
#[test]
fn litmus_passes_signed_in() {
    let test = "litmus_passes_signed_in";
    if !has_all(test, &["litmus"]) {
        return;
    }
    for over in BOTH {
        let signed = SignedIn::start(over);
        let tests = if over == Over::Tls { TESTS - 1 } else { TESTS };
        passes(test, &Scratch::new("litmus"), &[signed.served().url(), NAME, PASSWORD], tests);
    }
}

#[track_caller]
fn run(test: &str, tier: Option<&str>) {
    if !has_all(test, &["litmus"]) {
        return;
    }
    let options = tier.map_or_else(Server::builder, |tier| Server::builder().value("--force-tier", tier));
    let served = Served::with(options);
    let scratch = Scratch::new("litmus");
    passes(test, &scratch, &[served.url()], TESTS);
}

/// Runs it with these words, the address first, and fails unless so many tests pass and none warns.
#[track_caller]
pub fn passes(test: &str, scratch: &Scratch, words: &[&str], tests: u32) {
    let mut command = scratch.command("litmus");
    command.env("TESTS", "basic copymove props locks http").arg("-k").args(words);
    let said = scratch.run_within(Duration::from_secs(120), &mut command, b"");
    let text = said.text();
    let unwanted: Vec<&str> = lines_of(&text).into_iter().filter(|line| line.contains("FAIL")).collect();
    let warnings: Vec<&str> = lines_of(&text).into_iter().filter(|line| line.contains("WARNING")).collect();
    let (ran, passed) = counted(&text);
    report(&format!("{test}: {passed} of {ran} passed, warnings: {warnings:?}"));
    assert!(unwanted.is_empty(), "{unwanted:#?}\n{text}");
    assert_eq!((ran, passed), (tests, tests), "{said}");
    assert!(warnings.is_empty(), "{warnings:#?}");
}

/// The lines as a terminal shows them: each test is written over its own announcement.
fn lines_of(text: &str) -> Vec<&str> {
    text.split(['\n', '\r']).map(str::trim).filter(|line| !line.is_empty()).collect()
}

/// How many tests were run and passed, by the summaries: `<- summary for `basic': of 16 tests run: 16 passed, 0 failed.`
fn counted(text: &str) -> (u32, u32) {
    let number = |words: &str, before: &str| {
        let head = words.split_once(before).map_or("", |(head, _)| head);
        head.rsplit(' ').next().and_then(|number| number.parse::<u32>().ok()).unwrap_or(0)
    };
    let summaries = lines_of(text).into_iter().filter(|line| line.contains("<- summary for"));
    summaries.fold((0, 0), |(ran, passed), line| (ran + number(line, " tests run"), passed + number(line, " passed,")))
}

#[test]
fn the_summaries_are_read() {
    let text = "-> running `basic':\n 0. init.... \r 0. init... pass\n<- summary for `basic': of 16 tests run: 15 passed, 1 failed. 93.8%\n\
                <- summary for `http': of 4 tests run: 4 passed, 0 failed. 100.0%\n";
    assert_eq!(counted(text), (20, 19));
}
