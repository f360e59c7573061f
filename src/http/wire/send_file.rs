//! Files that a connection sends by itself: a response body puts a [`Job`] into the connection's [`Jobs`], and the connection carries it
//! out, by `sendfile` where the kernel can, otherwise through memory. The end of a file is withheld until every byte was read and the file
//! is known to be what was announced.

use crate::http::wire::source::{FileBytes, PIECE, changed, in_memory, read_at_once, read_fully, warm};
use bytes::Bytes;
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio::task::{JoinHandle, spawn_blocking};

/// How much is handed to one `sendfile`, and looked for in the page cache, or fetched, before that, in bytes; after it the other
/// connections of the worker have their turn.
pub(super) const WINDOW: u64 = 128 * 1024;

/// The end of every file is read into memory and checked before it is sent, so that it can be withheld, in bytes.
pub(super) const TAIL: u64 = 8 * 1024;

/// The one place of a connection where a response body puts the file that is to be sent.
#[derive(Clone, Debug, Default)]
pub struct Jobs(Rc<RefCell<Slot>>);

#[derive(Debug, Default)]
pub(super) enum Slot {
    #[default]
    Empty,
    Waiting(Job),
    Finished,
}

impl Jobs {
    /// Puts a job in place. The connection has one at a time, as it has one response at a time.
    pub(crate) fn put(&self, job: Job) {
        let before = self.0.replace(Slot::Waiting(job));
        debug_assert!(matches!(before, Slot::Empty), "one response at a time");
    }

    /// Says once that the job is finished; until then keeps the waker that is to be told.
    pub(crate) fn poll_finished(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut slot = self.0.borrow_mut();
        match &mut *slot {
            Slot::Waiting(job) => {
                job.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            Slot::Finished => {
                *slot = Slot::Empty;
                Poll::Ready(())
            }
            // Taken away by a failure: the connection is about to end, and nothing more will be asked of it.
            Slot::Empty => Poll::Pending,
        }
    }

    pub(super) fn waiting(&self) -> bool {
        matches!(&*self.0.borrow(), Slot::Waiting(_))
    }

    pub(super) fn take(&self) -> Option<Job> {
        let mut slot = self.0.borrow_mut();
        match std::mem::take(&mut *slot) {
            Slot::Waiting(job) => Some(job),
            other => {
                *slot = other;
                None
            }
        }
    }

    pub(super) fn put_back(&self, job: Job) {
        self.0.replace(Slot::Waiting(job));
    }

    pub(super) fn finish(&self, mut job: Job) {
        self.0.replace(Slot::Finished);
        if let Some(waker) = job.waker.take() {
            waker.wake();
        }
    }
}

/// A piece of a file on its way to the client.
#[derive(Debug)]
pub(crate) struct Job {
    pub(super) source: Arc<dyn FileBytes>,
    pub(super) position: u64,
    pub(super) end: u64,
    pub(super) copies: bool,
    pub(super) step: SendStep,
    pub(super) waker: Option<Waker>,
}

#[derive(Debug)]
pub(super) enum SendStep {
    /// Look what comes next.
    Choose,
    /// The blocking pool reads what is not in memory.
    Fetch(JoinHandle<io::Result<Fetched>>),
    /// The kernel sends up to here.
    Send { until: u64 },
    /// These bytes are sent from memory.
    Copy { piece: Bytes },
    /// Everything has been handed to the kernel.
    Done,
}

/// What the blocking pool brought.
#[derive(Debug)]
pub(super) enum Fetched {
    /// The page cache holds the file up to here.
    Window {
        until: u64,
    },
    Piece(Bytes),
}

impl Job {
    pub(crate) fn new(source: Arc<dyn FileBytes>, range: std::ops::Range<u64>) -> Self {
        Self { source, position: range.start, end: range.end, copies: false, step: SendStep::Choose, waker: None }
    }

    /// Decides what is sent next, and how.
    pub(super) fn choose(&mut self) -> io::Result<()> {
        let left = self.end - self.position;
        self.step = if left == 0 {
            SendStep::Done
        } else if left <= TAIL || self.copies {
            self.choose_piece(left.min(PIECE))?
        } else {
            self.choose_window((self.position + WINDOW).min(self.end - TAIL))?
        };
        Ok(())
    }

    pub(super) fn choose_piece(&self, wanted: u64) -> io::Result<SendStep> {
        if let Some(piece) = read_at_once(&*self.source, self.position, wanted)? {
            return self.check(piece);
        }
        let (source, position) = (Arc::clone(&self.source), self.position);
        Ok(SendStep::Fetch(spawn_blocking(move || read_fully(&*source, position, wanted).map(Fetched::Piece))))
    }

    pub(super) fn choose_window(&self, until: u64) -> io::Result<SendStep> {
        if in_memory(&*self.source, self.position)? && in_memory(&*self.source, until - 1)? {
            return Ok(SendStep::Send { until });
        }
        let (source, position) = (Arc::clone(&self.source), self.position);
        Ok(SendStep::Fetch(spawn_blocking(move || warm(&*source, position, until).map(|()| Fetched::Window { until }))))
    }

    pub(super) fn fetched(&mut self, fetched: Fetched) -> io::Result<()> {
        self.step = match fetched {
            Fetched::Window { until } => SendStep::Send { until },
            Fetched::Piece(piece) => self.check(piece)?,
        };
        Ok(())
    }

    /// Lets the end of the file go only if the file is still what was promised: every byte has been read by now.
    pub(super) fn check(&self, piece: Bytes) -> io::Result<SendStep> {
        let last = self.position + piece.len() as u64 >= self.end;
        if last && !self.source.still_the_same() {
            return Err(changed());
        }
        Ok(SendStep::Copy { piece })
    }

    pub(super) fn copy_instead(&mut self) {
        self.copies = true;
        self.step = SendStep::Choose;
    }

    pub(super) fn sent(&mut self, bytes: u64) {
        self.position += bytes;
        let finished = match &self.step {
            SendStep::Send { until } => self.position >= *until,
            SendStep::Copy { piece } => piece.is_empty(),
            SendStep::Choose | SendStep::Fetch(_) | SendStep::Done => false,
        };
        if finished {
            self.step = SendStep::Choose;
        }
    }
}
