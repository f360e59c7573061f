//! What is done now and then while a share is served, what a person hears of it, and the end.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::certificates::Certificates;
use super::explain::explain;
use crate::http::clock::now;
use crate::log::escaped;
use crate::share::Share;
use crate::store::notice::Notice;

/// How often displaced files are looked at again, where it is time.
const TICK: Duration = Duration::from_secs(1);

/// How often what is remembered is saved.
const SAVE: Duration = Duration::from_secs(5);

/// How often the keep rule is applied.
const PRUNE: Duration = Duration::from_secs(600);

/// The thread that does what is to be done now and then.
pub(super) struct Housekeeping {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Housekeeping {
    pub(super) fn start(share: Arc<Share>, certificates: Option<Arc<Certificates>>) -> Self {
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn(move || {
            // The keep rule is applied at once: a server that never runs for long applies it too.
            let began = Instant::now();
            share.keep_time(now(), began.elapsed());
            prune(&share);
            let mut cannot_save = false;
            let (mut saved, mut pruned) = (Instant::now(), Instant::now());
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                share.keep_time(now(), began.elapsed());
                tell(share.tick(now()));
                certificates.iter().for_each(|certificates| certificates.look());
                if saved.elapsed() >= SAVE {
                    save(&share, &mut cannot_save);
                    saved = Instant::now();
                }
                if pruned.elapsed() >= PRUNE {
                    prune(&share);
                    pruned = Instant::now();
                }
            }
        });
        Self { stop, thread }
    }

    pub(super) fn stop(self) {
        drop(self.stop);
        let _ = self.thread.join();
    }
}

pub(crate) fn close(share: &Share) {
    tell(share.tick(now()));
    save(share, &mut false);
    if let Err(stop) = share.close() {
        tracing::warn!("{}", explain(stop));
    }
}

/// Saves what is remembered; says once that it cannot be, and once that it can be again.
fn save(share: &Share, cannot: &mut bool) {
    match share.save_index() {
        Ok(()) if std::mem::take(cannot) => tracing::info!("what is remembered is saved again"),
        Err(error) if !std::mem::replace(cannot, true) => {
            tracing::warn!("what is remembered cannot be saved now: {error}; it is tried again");
        }
        _ => {}
    }
}

fn prune(share: &Share) {
    match share.prune(now()) {
        Ok(0) => {}
        Ok(count) => tracing::info!("the history let {count} versions go"),
        Err(stop) => tracing::warn!("the history cannot be pruned: {}", explain(stop)),
    }
}

pub(crate) fn tell(notices: Vec<Notice>) {
    for notice in notices {
        match notice {
            Notice::ConflictCopy { of, copy } => tracing::warn!(
                "a program went on writing into {} after it was replaced; what it wrote is in {}",
                escaped(&of.to_text()),
                escaped(&copy.to_text())
            ),
            Notice::Recovered { path, how } => {
                tracing::warn!("after an interruption, {}: {how}", escaped(&path.to_text()))
            }
            Notice::NotNoted { path, why } => tracing::warn!("{}: {why}", escaped(&path.to_text())),
            Notice::Stuck { path, why } => {
                tracing::warn!(
                    "the history of {}: {why}; what is there stays, and is not tried again",
                    escaped(&path.to_text())
                );
            }
            Notice::GaveRoom { versions, bytes } => {
                tracing::warn!("the disk is full: the history gave {versions} versions, {bytes} bytes");
            }
            Notice::Open { why } => {
                tracing::warn!("others may look into .noclobber, and that cannot be changed: {why}");
            }
            Notice::Postponed { path, why } => tracing::warn!("{}: {why}; it is tried again", escaped(&path.to_text())),
        }
    }
}
