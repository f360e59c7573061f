//! The log: lines to standard error, as text or JSON, written by a thread of their own so that no request waits for a slow
//! terminal. When lines come faster than they can be written some are left out, and their number is told at the end. Where a
//! level is off nothing is formatted for it.

use std::fmt::{self, Write};
use std::io::IsTerminal;

use clap::ValueEnum;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// How many lines wait for a slow reader before more are left out.
const WAITING_LINES_MAX: usize = 16 * 1024;

/// What is logged, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// The least weighty line that is still written.
    pub level: LogLevel,
    /// What a line looks like.
    pub format: LogFormat,
}

/// The least weighty line that is still written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Nothing at all.
    Off,
    /// What went wrong.
    Error,
    /// And what may go wrong.
    Warn,
    /// And one line a request.
    Info,
    /// And how a request was decided.
    Debug,
    /// And everything else.
    Trace,
}

/// What a line of the log looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For a person.
    Text,
    /// One JSON object a line.
    Json,
}

/// Keeps the log open; dropping it writes what is waiting.
#[derive(Debug)]
#[must_use = "the log closes when this is dropped"]
pub struct LogGuard {
    // Taken in `drop`, so that what is waiting is written before the count is told.
    worker: Option<WorkerGuard>,
    left_out: ErrorCounter,
}

/// Opens the log of this process. Fails if it has one already.
pub fn start(log: Log) -> Result<LogGuard, TryInitError> {
    let builder = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(WAITING_LINES_MAX);
    let (writer, worker) = builder.thread_name("log").finish(std::io::stderr());
    let left_out = writer.error_counter();
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_target(false);
    let lines = match log.format {
        LogFormat::Text => lines.with_ansi(wants_colour()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(levels(log.level))).try_init()?;
    Ok(LogGuard { worker: Some(worker), left_out })
}

/// Shows a text that a stranger chose in one line, and such that it cannot move the cursor, change a colour, or turn the
/// direction of what follows: such characters become `\u{1b}`, and a backslash is doubled.
///
/// ```
/// assert_eq!(noclobber::log::escaped("a\x1b[2J\nb\\").to_string(), r"a\u{1b}[2J\nb\\");
/// assert_eq!(noclobber::log::escaped("Übersicht 2026.odt").to_string(), "Übersicht 2026.odt");
/// ```
pub fn escaped(text: &str) -> impl fmt::Display {
    LogText(text)
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        drop(self.worker.take());
        let lines = self.left_out.dropped_lines();
        if lines > 0 && takes_more() {
            eprintln!("{lines} lines of the log were left out: they came faster than they could be read");
        }
    }
}

struct LogText<'a>(&'a str);

impl fmt::Display for LogText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\\' | '\n' | '\r' | '\t' => c.escape_default().fmt(f),
            c if c.is_control() || turns_or_breaks_the_line(c) => c.escape_unicode().fmt(f),
            c => f.write_char(c),
        })
    }
}

/// The marks that change the direction of text, and the separators of lines and paragraphs.
fn turns_or_breaks_the_line(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether a line to standard error would not wait for a reader who has stopped reading.
fn takes_more() -> bool {
    let error = std::io::stderr();
    let mut waiting = [PollFd::new(&error, PollFlags::OUT)];
    poll(&mut waiting, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
}

/// What is ours at the level asked for; what the libraries say only where it warns, unless everything is wanted. The parser calls it an
/// error when a client sends what is no request; nobody outside may fill the log with that, so it is heard only by those who look closely.
fn levels(level: LogLevel) -> Targets {
    let (ours, others) = match level {
        LogLevel::Off => (LevelFilter::OFF, LevelFilter::OFF),
        LogLevel::Error => (LevelFilter::ERROR, LevelFilter::ERROR),
        LogLevel::Warn => (LevelFilter::WARN, LevelFilter::WARN),
        LogLevel::Info => (LevelFilter::INFO, LevelFilter::WARN),
        LogLevel::Debug => (LevelFilter::DEBUG, LevelFilter::WARN),
        LogLevel::Trace => (LevelFilter::TRACE, LevelFilter::TRACE),
    };
    let parser = if matches!(level, LogLevel::Debug | LogLevel::Trace) { others } else { LevelFilter::OFF };
    Targets::new().with_default(others).with_target("noclobber", ours).with_target("actix_http", parser)
}

fn wants_colour() -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stderr().is_terminal() && !unwanted
}
