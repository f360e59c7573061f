//! Opening a share, to serve it, to change it once, or to look at it.

use std::sync::Arc;

use anyhow::{Context as _, bail};

use super::explain::explain;
use super::housekeeping::tell;
use super::state;
use crate::config::{Config, Keep};
use crate::http::clock::now;
use crate::os::process;
use crate::share::{Cause, JournalLimits, Share, ShareSettings};
use crate::store::catalog::index::Index;
use crate::store::catalog::properties::PropertyLimits;
use crate::store::local::commit::Tree;
use crate::store::local::history::KeepLimits;
use crate::store::local::os_disk::{FolderLock, FollowLinks, Options, OsDisk};

/// What a share is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Serve,
    /// One change, while nobody serves it.
    Restore,
    /// To list what another process may be serving.
    Look,
}

/// The disk of a share, which no other process serves meanwhile.
pub(crate) struct LockedDisk {
    disk: OsDisk,
    purpose: Purpose,
    /// `None` if it is only looked at.
    lock: Option<FolderLock>,
}

/// Opens the disk of a share, as far as that takes more than the folder itself: what is above it is locked, too.
pub(crate) fn open_disk(config: &Config, purpose: Purpose) -> anyhow::Result<LockedDisk> {
    if let Some(mask) = config.umask {
        process::set_umask(mask);
    }
    let folder = &config.folder;
    let links = if config.follow_symlinks { FollowLinks::Inside } else { FollowLinks::Never };
    let (at_most, time_grain) = (config.force_tier, config.force_time_grain);
    let options = Options {
        links,
        at_most,
        time_grain,
        syncs: config.sync,
        file_mode: config.file_mode,
        dir_mode: config.dir_mode,
    };
    let disk = OsDisk::open(folder, options).with_context(|| format!("cannot share {}", folder.display()))?;
    let lock = (purpose != Purpose::Look).then(|| lock_share(&disk, purpose)).transpose()?;
    Ok(LockedDisk { disk, purpose, lock })
}

pub(crate) fn open_share(config: &Config, disk: LockedDisk) -> anyhow::Result<Share> {
    let LockedDisk { disk, purpose, lock } = disk;
    let folder = &config.folder;
    if lock == Some(FolderLock::Unavailable) {
        tracing::warn!(
            "the file system of {} has no file locks: that no second noclobber serves it is for you to see to",
            folder.display()
        );
    }
    let tier = crate::store::local::disk::Disk::top_abilities(&disk).tier();
    if let Some(required) = config.require_tier
        && tier < required
    {
        bail!("{} lies on a file system of tier {tier}, and tier {required} is required", folder.display());
    }
    let settings = ShareSettings {
        keep: config.history.map(|Keep { age_max, percent_max }| KeepLimits { age_max, percent_max }),
        require_preconditions: config.require_preconditions,
        tag_threshold: config.limits.tag_threshold,
        hashing_max: config.limits.hashing_max.get(),
        syncs: config.sync,
        root_locks: config.root_locks,
        journal: JournalLimits { count: config.limits.feed_changes_max.get(), age: config.limits.feed_age_max },
        properties: PropertyLimits { all_bytes_max: config.limits.properties_bytes_max, ..PropertyLimits::default() },
    };
    let index = match purpose {
        Purpose::Serve => state::open_index(config, &disk.share_identity()?, now())?,
        Purpose::Restore => state::open_index_that_is_there(config, &disk.share_identity()?)?,
        Purpose::Look => return Ok(Share::open_read_only(Tree::on(Arc::new(disk)), Index::in_memory(), settings)),
    };
    let share = Share::open(Tree::on(Arc::new(disk)), index, settings, now()).map_err(explain)?;
    tell(share.tick(now()));
    Ok(share)
}

fn lock_share(disk: &OsDisk, purpose: Purpose) -> anyhow::Result<FolderLock> {
    match disk.lock_share() {
        Ok(lock) => Ok(lock),
        Err(error) if error.cause == Cause::InUse && purpose == Purpose::Restore => {
            Err(error).context("nothing was changed; a server that runs brings a version back by POST with ?restore=ID")
        }
        Err(error) => Err(error.into()),
    }
}
