//! The history: what was displaced, as plain files in the shape of the tree, and the room it may take.
//!
//! It knows where a version belongs, lists and opens versions, and lets them go by the keep rule. It never touches a name that a client
//! sees; what it unlinks lies in the folder that is noclobber's own.

// Beneath the history: what it is made of.
mod areas;
mod clock;
mod found;
mod measure;
mod memory;
mod notices;

// What it can do, each in a file of its own.
mod census;
mod empty_folders;
mod find;
mod left_behind;
mod mounts;
mod own_folder;
mod pages;
mod placing;
mod prune;
mod release;
mod room;
mod spare;
mod spellings;
mod walk;
mod writers;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use crate::model::version::{EntryName, VersionId};

use super::disk::Disk;
use super::place::Running;
use super::spelling::FolderId;
use super::unsynced::Unsynced;
use crate::store::notice::Notice;

use areas::{HISTORY, SWAP};
use clock::Clock;
use memory::Memory;
use notices::Notices;

pub use find::EntryFinder;
pub use found::{FoundVersion, Version};
pub use pages::{KeptVersion, Page, PageRequest};

pub(super) use areas::relative;

/// What the history may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepLimits {
    /// Versions older than this are let go.
    pub age_max: Duration,
    /// All versions together take at most this many hundredths of the file system.
    pub percent_max: u8,
}

/// The history of a share, or the place where displaced files wait to be let go, where there is none.
#[derive(Debug)]
pub struct History {
    disk: Arc<dyn Disk>,
    limits: Option<KeepLimits>,
    /// The folders of noclobber's own in which this process has noted that commits may be under way.
    begun: Mutex<HashSet<FolderId>>,
    running: Running,
    /// Versions whose name could not be settled, so that it is none that could be told from their identifier.
    unsettled: Mutex<BTreeMap<VersionId, EntryName>>,
    /// Read while a folder of the history is being used, written while empty ones are removed.
    folders: RwLock<()>,
    /// Held while the keep rule is applied, which may take long. Nobody but who applies it waits for this.
    pruning: Mutex<()>,
    /// Held while room is made, and by whoever applies the keep rule for each version that goes, so that no two do it for the same room.
    making_room: Mutex<()>,
    memory: Mutex<Memory>,
    /// How often a place was asked for: after that the history may hold more.
    places: AtomicU64,
    /// Whether the spare room is to be set aside, because it never was, or was used.
    spare_is_due: AtomicBool,
    /// Folders that were made and may not be on the disk yet.
    unsynced: Unsynced,
    clock: Clock,
    notices: Notices,
}

impl History {
    /// The history of a share that keeps versions within `limits`; without limits nothing is kept.
    pub fn new(disk: Arc<dyn Disk>, limits: Option<KeepLimits>) -> Self {
        let clock = Clock::new(Arc::clone(&disk));
        Self {
            disk,
            limits,
            begun: Mutex::default(),
            running: Running::default(),
            unsettled: Mutex::default(),
            folders: RwLock::default(),
            pruning: Mutex::default(),
            making_room: Mutex::default(),
            memory: Mutex::default(),
            places: AtomicU64::new(0),
            spare_is_due: AtomicBool::new(true),
            unsynced: Unsynced::default(),
            clock,
            notices: Notices::default(),
        }
    }

    /// Whether displaced files are kept.
    pub fn keeps(&self) -> bool {
        self.limits.is_some()
    }

    /// The time by which versions are named and age.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What a person should hear of, since this was last asked.
    pub fn take_notices(&self) -> Vec<Notice> {
        self.notices.take()
    }

    /// The folder in noclobber's own that what is displaced goes to.
    fn area(&self) -> &'static str {
        if self.keeps() { HISTORY } else { SWAP }
    }
}
