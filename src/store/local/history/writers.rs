//! Who has a file of the history open for writing, and would write where nobody reads any more.

use std::time::Duration;

use crate::model::keep_rule::YOUNG_UNSEEN;
use crate::model::path::Name;
use crate::model::stamp::Timestamp;

use super::super::trees::each_file;
use super::History;
use super::found::FoundVersion;
use crate::store::disk_error::Result;
use crate::store::handle::{Dir, Opened};
use crate::store::lease::Leased;
use crate::store::status::Kind;

/// Whether somebody has a file open for writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Writers {
    /// Nobody has.
    None,
    /// The disk cannot say.
    Unseen,
    /// Somebody has.
    Some,
}

impl Writers {
    pub(super) fn of(leased: &Leased) -> Self {
        match leased {
            Leased::Held(_) => Self::None,
            Leased::Unavailable => Self::Unseen,
            Leased::Busy => Self::Some,
        }
    }
}

impl History {
    /// Whether it is a file that somebody has open for writing, or a folder with such a file in it, as far as can be told.
    pub fn is_busy(&self, dir: &Dir, name: &Name) -> Result<bool> {
        Ok(self.writers(dir, name)? == Writers::Some)
    }

    /// Who has a file open for writing, or a file in a folder.
    pub(super) fn writers(&self, dir: &Dir, name: &Name) -> Result<Writers> {
        match self.disk.open(dir, name)? {
            Opened::File(file, _) => Ok(Writers::of(&self.disk.lease(&file, Duration::ZERO)?)),
            Opened::Dir(_) => {
                let mut writers = Writers::None;
                each_file(&*self.disk, self.disk.open_dir(dir, name.as_bytes())?, &mut |dir, entry| {
                    if entry.status.kind == Kind::File && writers != Writers::Some {
                        writers = writers.max(self.writers(dir, &entry.name)?);
                    }
                    Ok(())
                })?;
                Ok(writers)
            }
            _ => Ok(Writers::None),
        }
    }
}

/// Whether somebody may be about to write into a version. Where nobody can say who has it open, that is so while it is young.
pub(super) fn is_in_use(writers: Writers, found: &FoundVersion, now: Timestamp) -> bool {
    match writers {
        Writers::None => false,
        Writers::Unseen => now.since(found.version.name.id.time()) <= YOUNG_UNSEEN,
        Writers::Some => true,
    }
}
