//! What a person who starts the server is told.

use std::fs;
use std::io::{self, Write as _};
use std::time::Duration;

use crate::config::{Anonymous, Config};
use crate::log::escaped;
use crate::share::Share;
use crate::store::abilities::Tier;

/// What a person who starts the server wants to know.
pub(super) fn say_what_is_served(config: &Config, share: &Share) {
    let folder = fs::canonicalize(&config.folder).unwrap_or_else(|_| config.folder.clone());
    say(&format!("noclobber {} shares {}", env!("CARGO_PKG_VERSION"), escaped(&folder.to_string_lossy())));
    let tier = share.abilities().tier();
    say(&format!("Tier {tier}: {}", meaning(tier)));
    if share.abilities().time_grain >= COARSE_GRAIN {
        say(
            "Times: this file system keeps them to the second or coarser, so small files are read again until that is over, and dates of what other programs save name no version",
        );
    }
    match config.history {
        Some(keep) => say(&format!(
            "History: on, in .noclobber/history; kept for {} days, in at most {} % of the disk",
            keep.age_max.as_secs() / 86_400,
            keep.percent_max
        )),
        None => say("History: off; what is replaced without a condition is gone"),
    }
    match config.anonymous {
        None => {}
        Some(Anonymous::Read) => say("Everybody who reaches it may read; nobody may change anything"),
        Some(Anonymous::Create) => {
            say("Everybody who reaches it may read and add; nobody may replace, change or remove anything")
        }
        Some(Anonymous::Write) => say("Everybody who reaches it may read and change everything"),
    }
    if config.require_preconditions {
        say("Preconditions: required; a change must name the version it replaces");
    }
}

/// From this grain of the disk's clock on a person is told of it.
const COARSE_GRAIN: Duration = Duration::from_secs(1);

fn meaning(tier: Tier) -> &'static str {
    match tier {
        Tier::A => {
            "nothing that another program saves here is overwritten unseen, not even by one that writes in place"
        }
        Tier::B => {
            "nothing that another program saves here is overwritten unseen; one that keeps a file open and writes on later is noticed within ten seconds only"
        }
        Tier::C => {
            "nothing that another program saves here is overwritten unseen, but a file that is replaced is missing for an instant to other programs"
        }
        Tier::D => {
            "clients never overwrite each other unseen; but this file system cannot take a name only if it is free, and what another program saves in the instant of a write here is destroyed"
        }
    }
}

/// Standard output that nobody reads is no reason to stop serving.
pub(crate) fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
