//! The end of a connection.

use std::pin::Pin;
use std::task::Context;
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// The end of a connection: our side is closed, and for a while the client's is still heard.
#[derive(Debug)]
pub(super) struct Farewell {
    pub(super) begun: bool,
    /// Whether the client may still be sending.
    pub(super) waits: bool,
    pub(super) bytes_left: u64,
    pub(super) limit: Duration,
    pub(super) timer: Option<Pin<Box<Sleep>>>,
}

impl Farewell {
    pub(super) fn new(limit: Duration) -> Self {
        Self { begun: false, waits: false, bytes_left: 0, limit, timer: None }
    }

    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Begins; so many bytes are worth reading if something was left unread, and what is there already otherwise.
    pub(super) fn begin(&mut self, to_throw_away: Option<u64>) {
        self.begun = true;
        self.waits = to_throw_away.is_some();
        self.bytes_left = to_throw_away.unwrap_or(THROWN_AWAY_BYTES_MAX);
    }

    pub(super) fn has_thrown_away(&mut self, bytes: usize) {
        self.bytes_left = self.bytes_left.saturating_sub(bytes as u64);
    }

    pub(super) fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        let limit = self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + limit)));
        self.bytes_left == 0 || timer.as_mut().poll(cx).is_ready()
    }
}

/// How much is read away of what came ahead when a connection closes, in bytes.
pub(super) const THROWN_AWAY_BYTES_MAX: u64 = 256 * 1024;
