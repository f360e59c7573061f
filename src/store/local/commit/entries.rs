//! What becomes of an entry of the history that a commit has made: settled, held for a second look, put back, or put beside its name.

use std::sync::Arc;

use crate::model::author::Author;
use crate::model::path::{NAME_BYTES_MAX, Name, SharePath};
use crate::model::stamp::{FileId, Stamp, Timestamp};
use crate::model::version::{Ending, EntryName, conflict_name};

use super::super::history::{FoundVersion, Version};
use super::super::naming;
use super::Tree;
use super::held::{HeldEntry, HeldWhat, SECOND_LOOK, Sight, Verdict};
use super::site::Site;
use super::swap::{failed, failure, leads_nowhere, unsure};
use crate::store::disk_error::{Cause, DiskError, Result};
use crate::store::handle::Dir;
use crate::store::notice::Notice;
use crate::store::status::{Kind, Status};

/// How often an exchange is undone before what is held is put beside the name.
const UNDO_MAX: usize = 4;

/// How many conflict copies of one name may be made in one second.
const COPIES_MAX: u32 = 1000;

/// Where names are shorter than usual, those of conflict copies are cut down to this, in bytes.
const COPY_NAME_BYTES_MIN: usize = 40;

/// What stands at the private name after an exchange was undone.
#[derive(Debug)]
pub(super) enum Back {
    /// What had been put in last, as it should.
    Ours(Status),
    /// The same as before: the public name had been removed.
    NameGone,
    /// The newest of all: the bound was reached.
    Newest,
}

impl Tree {
    /// Exchanges back until what comes out is what was last put in.
    pub(super) fn exchange_back(&self, site: &Site, dir: &Dir, private: &Name, upload: FileId) -> Result<Back> {
        let mut placed = upload;
        for _ in 0..UNDO_MAX {
            let puts_in = self.must_look(dir, private)?.stamp.id;
            match self.disk.exchange((dir, private), (&site.parent, &site.name)) {
                Err(error) if error.cause == Cause::NotFound => return Ok(Back::NameGone),
                swapped => swapped?,
            }
            let came_out = self.must_look(dir, private)?;
            if came_out.stamp.id == placed {
                return Ok(Back::Ours(came_out));
            }
            placed = puts_in;
        }
        Ok(Back::Newest)
    }

    /// Gives what is held after an exchange was undone its place. Says whether it is the upload, untouched as far as the name goes.
    pub(super) fn keep_what_is_held(
        &self,
        site: &Site,
        dir: &Dir,
        entry: &EntryName,
        back: &Back,
        upload: FileId,
        now: Timestamp,
    ) -> Result<bool> {
        let private = entry.to_name();
        match back {
            Back::Ours(status) if status.stamp.id == upload => Ok(true),
            Back::Newest if self.put_beside(dir, &private, &site.path, now)? => Ok(false),
            // Where its folder is gone meanwhile, what was last put in is kept like anything else.
            Back::Newest | Back::Ours(_) | Back::NameGone => {
                let status = self.must_look(dir, &private)?;
                self.adopt(dir, entry, &site.path, &status, HeldWhat::Kept, now);
                Ok(false)
            }
        }
    }

    /// Makes an entry a settled version, to be looked at once more. If the rename fails the tail stays, and recovery settles it. Without
    /// a history the tail tells recovery what nobody asked to go from what was to go.
    pub(super) fn adopt(
        &self,
        dir: &Dir,
        entry: &EntryName,
        path: &SharePath,
        status: &Status,
        what: HeldWhat,
        now: Timestamp,
    ) {
        let keeps_tail = what == HeldWhat::Kept && !self.history.keeps();
        let mut entry = entry.clone();
        if what == HeldWhat::Kept {
            // The name was taken, or given up, while its mutex was held here.
            entry = entry.displaced_by(Some(Arc::new(Author::Program)));
        }
        let settled = if keeps_tail { None } else { self.settle_entry_name(dir, &entry).ok() };
        let renamed = settled.is_some();
        let entry = settled.unwrap_or(entry);
        if !renamed {
            self.history.could_not_settle(&entry);
        }
        if renamed
            && let Ok(Some(now)) = self.disk.look(dir, &entry.to_name())
            && now.stamp.same_content_as(&status.stamp)
        {
            self.touched.note(&status.stamp, &now.stamp);
        }
        if status.kind == Kind::File || !self.history.keeps() || !renamed {
            self.hold(entry, path, status.stamp, what, now);
        }
    }

    /// A change is done and could not be brought to the disk. What it displaced keeps its tail, which recovery may need, until it is looked at
    /// again.
    pub(super) fn leave_displaced(
        &self,
        entry: &EntryName,
        path: &SharePath,
        out: &Status,
        now: Timestamp,
        error: DiskError,
    ) -> DiskError {
        self.hold(entry.clone(), path, out.stamp, HeldWhat::Displaced, now);
        unsure(error)
    }

    /// A change could not be undone whole. It is tried again soon, and at the next start; until then nobody can say what is at the name.
    pub(super) fn leave_unsettled(
        &self,
        entry: &EntryName,
        path: &SharePath,
        now: Timestamp,
        error: DiskError,
    ) -> DiskError {
        self.hold_until(now, entry.clone(), path, None, HeldWhat::Unsettled(Verdict::Undone));
        failure(error)
    }

    pub(super) fn hold(&self, entry: EntryName, path: &SharePath, first_sight: Stamp, what: HeldWhat, now: Timestamp) {
        self.hold_until(now.plus(SECOND_LOOK), entry, path, Some(first_sight), what);
    }

    pub(super) fn hold_until(
        &self,
        due: Timestamp,
        entry: EntryName,
        path: &SharePath,
        first_sight: Option<Stamp>,
        what: HeldWhat,
    ) {
        let _running = self.history.running();
        self.held.lock().push(HeldEntry {
            entry,
            path: path.clone(),
            first_sight,
            what,
            due,
            is_told: false,
            _running,
        });
    }

    /// What cannot be put beside its name, since the folder of that is gone, is a version; or waits, where nothing is kept.
    pub(super) fn strand(&self, found: &FoundVersion, now: Timestamp) -> Result<Sight> {
        let Version { name, status, .. } = &found.version;
        if found.is_in_swap() {
            self.hold(name.clone(), &found.path, status.stamp, HeldWhat::Stranded, now);
        } else if name.ending != Ending::Settled {
            self.settle_entry_name(&found.dir(&*self.disk)?, name)?;
        }
        Ok(Sight::Settled)
    }

    /// Removes one name of a file that has another, as one that was to be moved does; a file that has none is kept.
    pub(super) fn release_link(&self, dir: &Dir, entry: &EntryName) -> Result<()> {
        match self.disk.look(dir, &entry.to_name())? {
            Some(status) if status.links > 1 => self.history.let_go(dir, &entry.to_name()),
            Some(_) => self.rename_entry(dir, entry, &entry.as_upload()),
            None => Ok(()),
        }
    }

    /// Gives an entry its final name, which says who displaced it where the file system holds a name of that kind.
    pub(super) fn settle_entry_name(&self, dir: &Dir, entry: &EntryName) -> Result<EntryName> {
        let settled = EntryName::settled(entry.id.clone());
        let named = settled.clone().displaced_by(entry.by.clone());
        match self.rename_entry(dir, entry, &named) {
            Err(error) if named != settled && matches!(error.cause, Cause::LongName | Cause::BadName) => {
                self.rename_entry(dir, entry, &settled).map(|()| settled)
            }
            renamed => renamed.map(|()| named),
        }
    }

    pub(super) fn rename_entry(&self, dir: &Dir, entry: &EntryName, to: &EntryName) -> Result<()> {
        naming::move_within(&*self.disk, (dir, &entry.to_name()), (dir, &to.to_name()))
    }

    /// Puts an entry of the history beside the name it belongs to, as a conflict copy. Where its folder is gone it stays where it is, and that is
    /// said.
    pub(super) fn put_beside(&self, dir: &Dir, private: &Name, path: &SharePath, now: Timestamp) -> Result<bool> {
        let site = match self.site(path) {
            Ok(Some(site)) => site,
            Ok(None) => return Ok(false),
            Err(error) if leads_nowhere(&error) => return Ok(false),
            Err(error) => return Err(error),
        };
        let (mut attempt, mut bytes_max) = (1, NAME_BYTES_MAX);
        while attempt <= COPIES_MAX {
            let name = conflict_name(&site.name, now, attempt, bytes_max);
            match naming::take(&*self.disk, (dir, private), (&site.parent, &name)) {
                Err(error) if error.cause == Cause::Exists => {
                    attempt += 1;
                    continue;
                }
                // Some file systems hold shorter names (eCryptfs: 143 bytes).
                Err(error) if error.cause == Cause::LongName && bytes_max > COPY_NAME_BYTES_MIN => {
                    bytes_max = name.as_bytes().len().min(bytes_max) - 1;
                    continue;
                }
                renamed => renamed?,
            }
            self.sync_both(dir, &site)?;
            let parent = path.split().map(|(parent, _)| parent).unwrap_or_else(SharePath::root);
            self.notice(Notice::ConflictCopy { of: path.clone(), copy: parent.join(&name) });
            return Ok(true);
        }
        Err(failed("conflict copy", &site.name, "there are too many already"))
    }

    /// What came out first, then what is shown.
    pub(super) fn sync_both(&self, dir: &Dir, site: &Site) -> Result<()> {
        self.disk.sync_dir(dir)?;
        self.disk.sync_dir(&site.parent)
    }

    pub(super) fn must_look(&self, dir: &Dir, name: &Name) -> Result<Status> {
        self.disk.look(dir, name)?.ok_or_else(|| failed("look", name, "an entry of the history has gone"))
    }
}
