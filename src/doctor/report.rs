//! What an examination found: lines for a person, or one JSON object for a program.

use std::fmt::Write as _;

use serde::Serialize;

pub use super::finding::Outcome;
use super::visit::Exchange;
use crate::client::Address;
use crate::log::escaped;

/// What one check found.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// The name of the check for programs.
    pub id: &'static str,
    /// Its subject.
    pub group: &'static str,
    /// What holds if it is well.
    pub title: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// What was seen.
    pub detail: String,
    /// What to change.
    pub advice: Option<&'static str>,
    /// What was asked and answered, where it failed.
    pub(super) exchanges: Vec<Exchange>,
}

/// All that was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was examined.
    pub url: String,
    /// Whether certificates were not looked at.
    pub insecure: bool,
    /// Whether the user wanted an end before the end.
    #[serde(rename = "stopped")]
    pub is_stopped: bool,
    /// The checks in their order.
    #[serde(rename = "checks")]
    pub lines: Vec<Line>,
}

impl Report {
    pub(super) fn of(address: &Address, insecure: bool) -> Self {
        Self { url: address.url(&address.path), insecure, is_stopped: false, lines: Vec::new() }
    }

    /// Whether nothing fails.
    pub fn is_well(&self) -> bool {
        !self.is_stopped && self.count(Outcome::Fail) == 0
    }

    /// How many checks ended like this.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.lines.iter().filter(|line| line.outcome == outcome).count()
    }

    /// The last line, for a person.
    pub fn summary(&self) -> String {
        let count = |outcome| self.count(outcome);
        let mut text = format!("\n{} checks: {} ok", self.lines.len(), count(Outcome::Ok));
        for (outcome, word) in
            [(Outcome::Fail, "failed"), (Outcome::Warn, "to be warned of"), (Outcome::Skip, "left out")]
        {
            if count(outcome) > 0 {
                let _ = write!(text, ", {} {word}", count(outcome));
            }
        }
        if self.is_stopped {
            text.push_str("; stopped before the end");
        }
        text
    }

    /// One JSON object.
    pub fn json(&self) -> serde_json::Result<String> {
        #[derive(Serialize)]
        struct Counts {
            ok: usize,
            warn: usize,
            skip: usize,
            fail: usize,
        }
        #[derive(Serialize)]
        struct Whole<'a> {
            #[serde(flatten)]
            report: &'a Report,
            counts: Counts,
        }
        let counts = Counts {
            ok: self.count(Outcome::Ok),
            warn: self.count(Outcome::Warn),
            skip: self.count(Outcome::Skip),
            fail: self.count(Outcome::Fail),
        };
        serde_json::to_string_pretty(&Whole { report: self, counts })
    }
}

/// The lines for a person, each with the heading of its group before the first.
#[derive(Debug, Default)]
pub struct Table {
    group: &'static str,
}

impl Table {
    /// What to print for a check. What a server sent cannot move the cursor.
    pub fn row(&mut self, line: &Line) -> String {
        let mut text = String::new();
        if self.group != line.group {
            let _ = writeln!(text, "\n{}", line.group);
            self.group = line.group;
        }
        let outcome = match line.outcome {
            Outcome::Ok => "ok",
            Outcome::Warn => "warn",
            Outcome::Skip => "skip",
            Outcome::Fail => "FAIL",
        };
        let _ = write!(text, "  {outcome:<4}  {}", line.title);
        if !line.detail.is_empty() {
            let _ = write!(text, ": {}", escaped(&line.detail));
        }
        if let Some(advice) = line.advice {
            let _ = write!(text, "\n        -> {advice}");
        }
        text
    }
}
