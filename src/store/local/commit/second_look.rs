//! The second look at what was displaced: a program may have gone on writing into it.

use std::time::Duration;

use crate::model::path::Name;
use crate::model::stamp::Timestamp;
use crate::model::version::Ending;

use super::super::history::EntryFinder;
use super::super::trees::each_file;
use super::Tree;
use super::held::{HeldEntry, HeldWhat, MTIME_AHEAD, SECOND_LOOK, Sight};
use crate::store::disk_error::Result;
use crate::store::handle::{Dir, File, Opened};
use crate::store::lease::{Lease, Leased};
use crate::store::notice::Notice;
use crate::store::status::Kind;

/// What became of a displaced file or folder since it was first seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    /// Somebody has it open for writing.
    Busy,
    /// Somebody has written into it.
    Written,
    /// Nothing; and whether that is certain, by a lease.
    Quiet { leased: bool },
}

impl Tree {
    /// Looks again at what was displaced long enough ago: what a program wrote into it since is put beside the name, for as long as
    /// somebody has it open it is kept in sight, and otherwise it is settled.
    pub fn second_look(&self, now: Timestamp) {
        let due: Vec<_> = {
            let mut held = self.held.lock();
            // What is due later than anything that is held now would be was held before the clock was set back.
            let is_due = |held: &HeldEntry| held.due <= now || held.due > now.plus(SECOND_LOOK * 2);
            let (due, later) = std::mem::take(&mut *held).into_iter().partition(is_due);
            *held = later;
            due
        };
        let mut untidy = std::mem::take(&mut *self.untidy.lock());
        if due.is_empty() && untidy.is_empty() {
            return;
        }
        let finder = self.history.entry_finder();
        for held in due {
            match finder.as_ref().map_err(Clone::clone).and_then(|finder| self.look_again(&held, finder, now)) {
                Ok(Sight::Settled) => {}
                Ok(Sight::Gone) => untidy.push(held.path),
                Ok(Sight::Busy) => self.held.lock().push(HeldEntry { due: now.plus(SECOND_LOOK), ..held }),
                Err(error) => {
                    if !held.is_told {
                        self.notice(Notice::Postponed { path: held.path.clone(), why: error.to_string() });
                    }
                    self.held.lock().push(HeldEntry { due: now.plus(SECOND_LOOK), is_told: true, ..held });
                }
            }
        }
        untidy.sort_unstable();
        untidy.dedup();
        self.history.remove_empty_folders(&untidy);
    }

    fn look_again(&self, held: &HeldEntry, finder: &EntryFinder<'_>, now: Timestamp) -> Result<Sight> {
        // Thousands may be held at once, so none keeps its folder open.
        let Some((found, dir)) = finder.find(&held.path, &held.entry)? else { return Ok(Sight::Gone) };
        if let HeldWhat::Unsettled(verdict) = held.what {
            return self.settle_again(&found, verdict, now);
        }
        let (dir, name) = (&dir, found.version.entry.clone());
        let mut opened = None;
        let (since, lease) = match self.disk.open(dir, &name)? {
            Opened::File(..) if held.what == HeldWhat::Link => {
                return self.release_link(dir, &held.entry).map(|()| Sight::Gone);
            }
            Opened::File(file, _) => self.since_first_sight(held, opened.insert(file))?,
            // In the history nobody looks into it: it has only kept its tail.
            Opened::Dir(_) if !found.is_in_swap() => (Since::Quiet { leased: false }, None),
            Opened::Dir(_) => (self.since_taken_out(&self.disk.open_dir(dir, name.as_bytes())?, held)?, None),
            _ => return Ok(Sight::Gone),
        };
        let sight = match (since, held.what) {
            (Since::Busy, _) => Sight::Busy,
            (Since::Quiet { leased: false }, HeldWhat::Upload) => {
                self.rename_entry(dir, &held.entry, &held.entry.as_upload())?;
                Sight::Settled
            }
            (Since::Quiet { .. }, HeldWhat::Displaced | HeldWhat::Kept | HeldWhat::Link) if !found.is_in_swap() => {
                if held.entry.ending != Ending::Settled {
                    self.settle_entry_name(dir, &held.entry)?;
                }
                Sight::Settled
            }
            (Since::Written, _) | (_, HeldWhat::Kept | HeldWhat::Stranded) => {
                if self.put_beside(dir, &name, &held.path, now)? { Sight::Gone } else { self.strand(&found, now)? }
            }
            _ => {
                self.let_go_unseen(dir, &name, opened.as_ref())?;
                Sight::Gone
            }
        };
        drop(lease);
        Ok(sight)
    }

    /// Lets a file go of which somebody may still be reading.
    pub(super) fn let_go_unseen(&self, dir: &Dir, name: &Name, file: Option<&File>) -> Result<()> {
        let state = |file: &File| self.disk.status(file).map(|status| status.stamp);
        let before = file.map(state).transpose()?;
        self.history.let_go(dir, name)?;
        if let (Some(before), Some(file)) = (before, file) {
            self.touched.note(&before, &state(file)?);
        }
        Ok(())
    }

    fn since_first_sight(&self, held: &HeldEntry, file: &File) -> Result<(Since, Option<Box<dyn Lease>>)> {
        let lease = match self.disk.lease(file, Duration::ZERO)? {
            Leased::Busy => return Ok((Since::Busy, None)),
            Leased::Held(lease) => Some(lease),
            Leased::Unavailable => None,
        };
        let now = self.disk.status(file)?.stamp;
        let same = held.first_sight.is_some_and(|first_sight| now.same_content_as(&first_sight));
        Ok((if same { Since::Quiet { leased: lease.is_some() } } else { Since::Written }, lease))
    }

    /// As [`Tree::since_first_sight`], for all that is in a folder. It is asked only of folders that are to go.
    fn since_taken_out(&self, folder: &Dir, held: &HeldEntry) -> Result<Since> {
        let taken_out = held.entry.id.time().plus(MTIME_AHEAD);
        let mut since = Since::Quiet { leased: false };
        each_file(&*self.disk, folder.clone(), &mut |dir, entry| {
            if entry.status.kind != Kind::File || since == Since::Busy {
                return Ok(());
            }
            if entry.status.stamp.mtime > taken_out {
                since = Since::Written;
            } else if self.history.is_busy(dir, &entry.name)? {
                since = Since::Busy;
            }
            Ok(())
        })?;
        Ok(since)
    }

    /// How many displaced files are still to be looked at again.
    pub fn held(&self) -> usize {
        self.held.lock().len()
    }
}
