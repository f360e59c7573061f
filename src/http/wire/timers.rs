//! The times that a connection keeps: between two requests, for a head, and for a client that takes an answer.

use crate::http::wire::request_gate::RequestGate;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// Tells how long nothing has happened. Progress costs nothing: the timer is looked at only while something is waited for, and set again only
/// when it has gone off.
#[derive(Debug)]
pub(super) struct IdleTimeout {
    pub(super) limit: Duration,
    pub(super) since: Option<Instant>,
    pub(super) timer: Option<Pin<Box<Sleep>>>,
}

impl IdleTimeout {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, since: None, timer: None }
    }

    pub(super) fn progress(&mut self) {
        self.since = None;
    }

    /// Ready when nothing has moved for the whole limit.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = *self.since.get_or_insert_with(Instant::now) + self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        while timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

/// Tells that a reader takes too little of what it asked for. It has some patience; every wait for it takes from that, and every byte that it
/// takes gives some back. So a reader that pauses now and then, or has a slow line, is waited for; one that takes a byte now and then is not.
#[derive(Debug)]
pub(super) struct SlowReader {
    pub(super) patience: Duration,
    pub(super) rate_min: u64,
    pub(super) lost: Duration,
    pub(super) since: Option<Instant>,
    pub(super) timer: Option<Pin<Box<Sleep>>>,
}

impl SlowReader {
    pub(super) fn new(patience: Duration, rate_min: u64) -> Self {
        Self { patience, rate_min: rate_min.max(1), lost: Duration::ZERO, since: None, timer: None }
    }

    /// Whether the reader is waited for.
    pub(super) fn has_begun(&self) -> bool {
        self.since.is_some()
    }

    pub(super) fn progress(&mut self, bytes: usize) {
        if let Some(since) = self.since.take() {
            self.lost += since.elapsed();
        }
        if !self.lost.is_zero() {
            let milliseconds = (bytes as u64).saturating_mul(1000) / self.rate_min;
            self.lost = self.lost.saturating_sub(Duration::from_millis(milliseconds));
        }
    }

    /// Ready when there is no patience left.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = *self.since.get_or_insert_with(Instant::now) + self.patience.saturating_sub(self.lost);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

/// Tells that a head takes too long: the first one from the beginning of its connection, a later one from its first byte.
#[derive(Debug)]
pub(super) struct HeaderTimeout {
    pub(super) heads: u64,
    pub(super) limit: Duration,
    pub(super) timer: Option<Pin<Box<Sleep>>>,
}

impl HeaderTimeout {
    pub(super) fn head_complete(&mut self) {
        self.heads += 1;
        self.timer = None;
    }

    pub(super) fn poll(&mut self, turn: &RequestGate, cx: &mut Context<'_>) -> Poll<()> {
        let is_waited_for = if self.heads == 0 { turn.is_at_a_head() } else { turn.head_begun() };
        if !is_waited_for {
            return Poll::Pending;
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + self.limit)));
        timer.as_mut().poll(cx)
    }
}
