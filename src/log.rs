//! The log: lines to standard error or to a file, written by a thread of their own so that no request waits for a slow terminal. When lines come
//! faster than they can be written some are left out, and their number is told. Where a level is off nothing is formatted for it.
//!
//! What happens is told by `tracing`. The line about a request is not: it is written by [`RequestLog`], straight into a buffer of the worker.

mod escaped;
mod request_line;
mod sink;

use std::cell::OnceCell;
use std::io::{self, IsTerminal, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use clap::ValueEnum;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::os::log_file::standard_error_takes_more;

pub use escaped::escaped;
pub use request_line::{ChangeLine, RequestLine};

use request_line::LineForm;
use sink::{Lines, Sink, Writer};

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The least weighty line that is still written.
    pub level: LogLevel,
    /// What a line looks like.
    pub format: LogFormat,
    /// The file to write to, instead of standard error.
    pub file: Option<PathBuf>,
}

/// The least weighty line that is still written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
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
    /// Requests in the Common Log Format, all else for a person.
    Common,
    /// Requests in the Combined Log Format, which has the Referer and the User-Agent too, all else for a person.
    Combined,
}

/// The log of requests.
#[derive(Debug)]
pub struct RequestLog {
    sink: Arc<Sink>,
    form: LineForm,
}

/// Keeps the log open; dropping it writes what is waiting.
#[derive(Debug)]
#[must_use = "the log closes when this is dropped"]
pub struct LogGuard {
    writers: Vec<Writer>,
}

/// The target of the lines that say who changed what.
const AUDIT: &str = "audit";

/// The log of requests of this process.
static REQUESTS: OnceLock<RequestLog> = OnceLock::new();

/// Opens the log of this process.
///
/// # Errors
/// Where the file cannot be opened, or the process has a log already.
pub fn start(log: &Log) -> io::Result<LogGuard> {
    let (requests, writer) = Sink::open(log.file.as_deref())?;
    let mut writers = vec![writer];
    let for_programs = matches!(log.format, LogFormat::Common | LogFormat::Combined);
    let mut events = Arc::clone(&requests);
    // A program that reads the file knows no other lines.
    if for_programs && log.file.is_some() {
        let (standard_error, writer) = Sink::open(None)?;
        events = standard_error;
        writers.push(writer);
    }
    let in_colour = log.file.is_none() && wants_colour();
    let lines = tracing_subscriber::fmt::layer().with_writer(events).with_target(false);
    let lines = match log.format {
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
        LogFormat::Text | LogFormat::Common | LogFormat::Combined => lines.with_ansi(in_colour).boxed(),
    };
    let set_up = tracing_subscriber::registry().with(lines.with_filter(levels(log.level))).try_init();
    set_up.map_err(io::Error::other)?;
    if log.level >= LogLevel::Info {
        let form = match log.format {
            LogFormat::Text => LineForm::Text { in_colour },
            LogFormat::Json => LineForm::Json,
            LogFormat::Common => LineForm::Common,
            LogFormat::Combined => LineForm::Combined,
        };
        let _ = REQUESTS.set(RequestLog { sink: requests, form });
    }
    Ok(LogGuard { writers })
}

/// The log of requests, if they are logged.
pub fn requests() -> Option<&'static RequestLog> {
    REQUESTS.get()
}

impl RequestLog {
    /// Logs a request. It is for the workers: each thread that asks has a buffer from then on.
    pub fn write(&self, line: &RequestLine<'_>) {
        thread_local! {
            static LINES: OnceCell<Arc<Lines>> = const { OnceCell::new() };
        }
        LINES.with(|lines| {
            let lines = lines.get_or_init(|| self.sink.lines_of_worker());
            self.sink.put(lines, |out| line.write(self.form, out));
        });
        // Those forms have no place for it.
        if let (LineForm::Common | LineForm::Combined, Some(change)) = (self.form, &line.change) {
            tell_of_change(line, change);
        }
    }
}

/// The audit line, where the line about the request cannot be it.
fn tell_of_change(line: &RequestLine<'_>, change: &ChangeLine<'_>) {
    let shown = |text: Option<&str>| text.map(|text| escaped(text).to_string());
    tracing::info!(
        target: AUDIT,
        method = shown(Some(line.method)),
        path = shown(Some(line.path)),
        status = line.status,
        outcome = line.outcome,
        peer = line.peer.map(tracing::field::display),
        user = shown(line.user),
        way_in = change.way_in,
        destination = shown(change.destination),
        restores = shown(change.restores),
        displaced = shown(change.displaced),
    );
}

impl LogGuard {
    /// Opens the file anew, which may have been renamed since.
    pub fn reopen(&self) {
        self.writers.iter().for_each(Writer::reopen);
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        let lines: u64 = self.writers.iter().map(Writer::end).sum();
        if lines > 0 && standard_error_takes_more() {
            // The reader may be gone.
            let _ = writeln!(io::stderr(), "{lines} lines of the log were left out: they could not be written");
        }
    }
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
    Targets::new()
        .with_default(others)
        .with_target("noclobber", ours)
        .with_target(AUDIT, ours)
        .with_target("actix_http", parser)
}

fn wants_colour() -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stderr().is_terminal() && !unwanted
}
