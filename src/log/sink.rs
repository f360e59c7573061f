//! Where the lines of the log go, and the thread that writes them: nobody who has something to say waits for a slow terminal or disk.
//!
//! Lines are put into buffers in memory, one for each worker, so that workers do not wait for each other, and one for everybody else. When lines
//! come faster than they can be written, whole ones are left out and counted, and the log tells how many.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, OnceLock};
use std::thread::{Thread, park, park_timeout};
use std::time::Duration;

use parking_lot::Mutex;

use crate::os::log_file::{open_to_append, wait_for_standard_error};

/// How much may wait in one buffer before lines are left out, in bytes.
const WAITING_BYTES_MAX: usize = 1 << 20;

/// At how much the writer is woken though it lets lines gather, in bytes.
const MUCH_BYTES: usize = 128 << 10;

/// How long lines gather after some were written. The first after a pause is written at once.
const GATHERING: Duration = Duration::from_millis(20);

/// How long the end of the log waits for a slow reader.
const END_TIME_MAX: Duration = Duration::from_secs(1);

/// Takes lines, and has them written.
#[derive(Debug)]
pub(super) struct Sink {
    /// What everybody says who is no worker.
    others: Lines,
    workers: Mutex<Vec<Arc<Lines>>>,
    left_out: AtomicU64,
    /// How many lines the writer has taken, and is writing.
    being_written: AtomicU64,
    /// Whether the writer sleeps until it is woken, or is about to.
    sleeps: AtomicBool,
    ends: AtomicBool,
    is_to_reopen: AtomicBool,
    writer: OnceLock<Thread>,
}

/// Whole lines that wait to be written.
#[derive(Debug, Default)]
pub(super) struct Lines(Mutex<Vec<u8>>);

/// The writer of a sink. [`Writer::end`] waits for it.
#[derive(Debug)]
pub(super) struct Writer {
    sink: Arc<Sink>,
    ended: Receiver<()>,
}

/// What lines are written to: a file, or else standard error.
#[derive(Debug)]
struct Outlet {
    file: Option<(PathBuf, File)>,
    /// Whether the last line was written in part only.
    is_cut: bool,
}

impl Sink {
    /// Begins to write to a file, or else to standard error.
    ///
    /// # Errors
    /// Where the file cannot be opened, or no thread can be had.
    pub(super) fn open(file: Option<&Path>) -> io::Result<(Arc<Self>, Writer)> {
        let file = file.map(|path| Ok::<_, io::Error>((path.to_owned(), open_to_append(path)?))).transpose()?;
        let mut outlet = Outlet { file, is_cut: false };
        let sink = Arc::new(Self {
            others: Lines::default(),
            workers: Mutex::default(),
            left_out: AtomicU64::new(0),
            being_written: AtomicU64::new(0),
            sleeps: AtomicBool::new(false),
            ends: AtomicBool::new(false),
            is_to_reopen: AtomicBool::new(false),
            writer: OnceLock::new(),
        });
        let (end, ended) = channel::<()>();
        let written = Arc::clone(&sink);
        let thread = std::thread::Builder::new().name("log".to_owned()).spawn(move || {
            written.write_until_it_ends(&mut outlet);
            drop(end);
        })?;
        let _ = sink.writer.set(thread.thread().clone());
        Ok((Arc::clone(&sink), Writer { sink, ended }))
    }

    /// The buffer of one more worker, for as long as it has it.
    pub(super) fn lines_of_worker(&self) -> Arc<Lines> {
        let lines = Arc::new(Lines::default());
        self.workers.lock().push(Arc::clone(&lines));
        lines
    }

    /// Takes a line into the buffer of a worker: what `write` puts behind what is there.
    pub(super) fn put(&self, lines: &Lines, write: impl FnOnce(&mut Vec<u8>)) {
        let mut waiting = lines.0.lock();
        let before = waiting.len();
        if before > WAITING_BYTES_MAX {
            drop(waiting);
            self.left_out.fetch_add(1, Ordering::Relaxed);
            return;
        }
        write(&mut waiting);
        let has_become_much = before < MUCH_BYTES && waiting.len() >= MUCH_BYTES;
        drop(waiting);
        if self.sleeps.load(Ordering::Relaxed) && self.sleeps.swap(false, Ordering::Relaxed) || has_become_much {
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }

    fn write_until_it_ends(&self, outlet: &mut Outlet) {
        let mut taken = Vec::new();
        loop {
            let ends = self.ends.load(Ordering::Acquire);
            if self.is_to_reopen.swap(false, Ordering::Acquire) {
                outlet.reopen();
            }
            let written = self.write_what_waits(outlet, &mut taken);
            if ends && written != Written::All {
                return;
            }
            match written {
                Written::All => self.tell_what_was_left_out(outlet),
                Written::NotAll => {}
                Written::Nothing => {
                    // Whoever puts something in after this look finds it asleep, and wakes it.
                    self.sleeps.store(true, Ordering::Relaxed);
                    if self.waiting_lines() == 0 {
                        park();
                    }
                    self.sleeps.store(false, Ordering::Relaxed);
                    continue;
                }
            }
            if !ends {
                park_timeout(GATHERING);
            }
        }
    }

    fn waiting_lines(&self) -> u64 {
        let workers = self.workers.lock().clone();
        let all = workers.iter().map(Arc::as_ref).chain([&self.others]);
        all.map(|lines| count_lines(&lines.0.lock())).sum()
    }

    fn write_what_waits(&self, outlet: &mut Outlet, taken: &mut Vec<u8>) -> Written {
        let workers = self.workers.lock().clone();
        let mut written = Written::Nothing;
        for lines in workers.iter().map(Arc::as_ref).chain([&self.others]) {
            std::mem::swap(&mut *lines.0.lock(), taken);
            if !taken.is_empty() {
                self.being_written.store(count_lines(taken), Ordering::Relaxed);
                let lost = outlet.write(taken);
                self.left_out.fetch_add(lost, Ordering::Relaxed);
                self.being_written.store(0, Ordering::Relaxed);
                taken.clear();
                written = if lost > 0 || written == Written::NotAll { Written::NotAll } else { Written::All };
            }
        }
        drop(workers);
        // A worker that has ended has left its buffer behind.
        self.workers.lock().retain(|lines| Arc::strong_count(lines) > 1 || !lines.0.lock().is_empty());
        written
    }

    /// The line about it is written at once: if it is not, the count stays.
    fn tell_what_was_left_out(&self, outlet: &mut Outlet) {
        let lines = self.left_out.load(Ordering::Relaxed);
        if lines == 0 {
            return;
        }
        tracing::error!(
            lines,
            "lines of the log were left out: they came faster than they could be written, or could not be"
        );
        let told = std::mem::take(&mut *self.others.0.lock());
        let lost = outlet.write(&told);
        if lost == 0 {
            self.left_out.fetch_sub(lines, Ordering::Relaxed);
        } else {
            // It is none of those that somebody had to say.
            self.left_out.fetch_add(lost - 1, Ordering::Relaxed);
        }
    }
}

/// What became of the lines that waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    /// There were none.
    Nothing,
    All,
    NotAll,
}

impl io::Write for &Sink {
    /// Takes whole lines of somebody who is no worker.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.put(&self.others, |out| out.extend_from_slice(lines));
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Writer {
    /// Opens the file anew before more is written.
    pub(super) fn reopen(&self) {
        self.sink.is_to_reopen.store(true, Ordering::Release);
        self.sink.wake();
    }

    /// Has written what waits, and ends. A slow reader is not waited for for long: gives how many lines were left out without a word about it.
    pub(super) fn end(&self) -> u64 {
        self.sink.ends.store(true, Ordering::Release);
        self.sink.wake();
        let waited = self.ended.recv_timeout(END_TIME_MAX);
        let being_written = match waited {
            Err(RecvTimeoutError::Timeout) => self.sink.being_written.load(Ordering::Relaxed),
            _ => 0,
        };
        self.sink.left_out.load(Ordering::Relaxed) + being_written + self.sink.waiting_lines()
    }
}

impl Outlet {
    /// Gives how many lines could not be written. Nobody else can be told of the error: this is where it would be told.
    fn write(&mut self, lines: &[u8]) -> u64 {
        if self.is_cut {
            self.is_cut = !self.write_all(b"\n").is_empty();
        }
        let rest = if self.is_cut { lines } else { self.write_all(lines) };
        if let Some(last) = lines[..lines.len() - rest.len()].last() {
            self.is_cut = *last != b'\n';
        }
        count_lines(rest)
    }

    /// Gives what could not be written.
    fn write_all<'l>(&mut self, lines: &'l [u8]) -> &'l [u8] {
        let mut rest = lines;
        while !rest.is_empty() {
            match self.write_some(rest) {
                Ok(0) => break,
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait_for_standard_error(),
                Err(_) => break,
            }
        }
        rest
    }

    fn write_some(&mut self, lines: &[u8]) -> io::Result<usize> {
        match &mut self.file {
            Some((_, file)) => file.write(lines),
            None => io::stderr().write(lines),
        }
    }

    fn reopen(&mut self) {
        let Some((path, file)) = &mut self.file else { return };
        match open_to_append(path) {
            Ok(anew) => *file = anew,
            Err(error) => tracing::error!("cannot open {} anew: {error}", path.display()),
        }
    }
}

fn count_lines(lines: &[u8]) -> u64 {
    lines.iter().filter(|byte| **byte == b'\n').count() as u64
}
