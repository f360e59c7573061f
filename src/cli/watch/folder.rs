//! A folder on this machine, watched in this process: it is only looked at, so that a server may have it, or begin to, meanwhile. Nothing is kept
//! of it, and who has changed something cannot be known.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use super::super::program_task::plain;
use super::halt::Halt;
use super::lines::Lines;
use crate::http::described_change::DescribedChange;
use crate::log::escaped;
use crate::model::change::Change;
use crate::server::feed_keeper::FeedKeeper;
use crate::server::open_log::open_log;
use crate::server::open_share::{Purpose, open_disk, open_share};
use crate::share::{LostPlace, NumberedChange, Share};
use crate::watch::{self, WatchState};

/// How long nothing is looked for at most.
const SLICE: Duration = Duration::from_millis(200);

/// How many changes are told at once.
const STEP: usize = 500;

/// Prints what changes in a folder until that is not wanted any more.
pub(super) fn watch(folder: &Path, stop: &AtomicBool, lines: &mut Lines) -> Result<(), Halt> {
    let config = plain(folder).map_err(anyhow::Error::from)?;
    let _log = open_log(&config)?;
    let share = Arc::new(open_share(&config, open_disk(&config, Purpose::Look)?)?);
    let (wake, woken) = mpsc::sync_channel(1);
    share.on_change(Box::new(move || {
        // One that waits already is enough.
        let _ = wake.try_send(());
    }));
    let watch = watch::start(Arc::clone(&share), folder);
    let feed = FeedKeeper::start(Arc::clone(&share));
    // Until then it is not known what is new.
    let is_known = || share.feed_is_complete() && watch.state() != WatchState::Setting;
    while !is_known() && !stop.load(Ordering::SeqCst) {
        let _ = woken.recv_timeout(SLICE);
    }
    if !stop.load(Ordering::SeqCst) {
        eprintln!("noclobber: watching {}", escaped(&folder.to_string_lossy()));
    }
    let told = tell(&share, &woken, stop, lines);
    drop(watch);
    feed.stop();
    told
}

fn tell(share: &Share, woken: &Receiver<()>, stop: &AtomicBool, lines: &mut Lines) -> Result<(), Halt> {
    let mut at = share.feed_end();
    let mut goes_on = false;
    while !stop.load(Ordering::SeqCst) {
        match share.changes_after(at, STEP) {
            Ok(some) => {
                for numbered in &some.changes {
                    let change = serde_json::to_string(&DescribedChange::new(&by_nobody(numbered)));
                    lines.change(&change.expect("texts and numbers are JSON"))?;
                    at.number = numbered.number;
                }
                goes_on = some.goes_on;
            }
            Err(LostPlace::Unreadable) => {}
            // Another folder is there now, or more happened than is kept.
            Err(lost) => {
                at = share.feed_end();
                lines.look_again("/", &lost.to_string())?;
            }
        }
        if !goes_on {
            let _ = woken.recv_timeout(SLICE);
        }
    }
    Ok(())
}

/// Whoever changed it may have been a program, or somebody by a server.
fn by_nobody(numbered: &NumberedChange) -> NumberedChange {
    let change = Change { by: None, ..numbered.change.clone() };
    NumberedChange { number: numbered.number, change }
}
