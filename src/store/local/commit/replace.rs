//! Swapping the file that was seen for an upload: three ways, by what the file system can do.

use std::time::Duration;

use crate::model::path::Name;
use crate::model::stamp::Timestamp;
use crate::model::version::{Act, EntryName};

use super::super::place::VersionFolder;
use super::super::staging::{Staged, Staging};
use super::claim::Claim;
use super::held::HeldWhat;
use super::seen::{SeenFile, is_broken};
use super::swap::{Changed, HeldLease, OnMismatch, Swap, Why, failure, unsure};
use crate::store::disk_error::{Cause, Result};
use crate::store::handle::Opened;
use crate::store::lease::{Lease, Leased};
use crate::store::status::Status;

impl<'a> Claim<'a> {
    /// Swaps the file that was seen for an upload.
    pub fn replace(
        &self,
        seen: SeenFile,
        upload: &mut Staged,
        on_mismatch: OnMismatch,
        now: Timestamp,
    ) -> Result<Swap<'a>> {
        let abilities = self.tree.disk.abilities(&self.site.parent)?;
        let place = self.tree.history.place(&self.site.path, self.site.mount, now)?;
        if abilities.exchange && abilities.no_replace {
            self.exchange_in(&place, seen, upload, on_mismatch, now)
        } else if abilities.takes_free_names() {
            self.take_out_put_in(&place, seen, upload, on_mismatch, now)
        } else {
            self.rename_over(&place, seen, upload, now)
        }
    }

    /// Tier A and B. The upload is linked at the name in the history that the displaced version will have, and the two are exchanged.
    pub(super) fn exchange_in(
        &self,
        place: &VersionFolder<'_>,
        seen: SeenFile,
        upload: &mut Staged,
        on_mismatch: OnMismatch,
        now: Timestamp,
    ) -> Result<Swap<'a>> {
        let tree = self.tree;
        let expected = seen.status;
        let mut lease = seen.lease;
        let entry = self.free_entry(place, now, |id| {
            EntryName::under_way(id, Act::Exchange, expected.stamp.id, Some(upload.id()))
        })?;
        let private = entry.to_name();
        let change = tree.mutexes.begin_write(&self.site.name);
        upload.name_privately(place, &private)?;
        // Not needed for safety: it makes a lost exchange, and the refused upload that others then see for an instant, rare.
        let now_there = tree.disk.look(&self.site.parent, &self.site.name)?;
        if now_there.is_none_or(|status| status.stamp.id != expected.stamp.id) {
            return Ok(Swap::Lost);
        }
        let upload_lease = upload.lease_once();
        upload.may_be_seen();
        if let Err(error) = tree.disk.exchange((&place.dir, &private), (&self.site.parent, &self.site.name)) {
            upload.was_not_seen();
            return if error.cause == Cause::NotFound { Ok(Swap::Lost) } else { Err(error) };
        }
        upload.gave_up_its_name();
        let out = match self.confirm_exchange(place, &entry, &expected, &mut lease, on_mismatch) {
            Ok(Ok(out)) => out,
            Ok(Err(why)) => return self.undo_exchange(place, &entry, upload, why, now),
            Err(error) => return self.undo_exchange(place, &entry, upload, Why::Lost, now).and(Err(error)),
        };
        drop(lease);
        let stamp = self.stamp_if_unwritten(upload, &upload_lease);
        tree.adopt(&place.dir, &entry, &self.site.path, &out, HeldWhat::Displaced, now);
        let (displaced, lease) = (Some(entry.id), HeldLease(upload_lease));
        Ok(Swap::Done(Changed { displaced, stamp, lease, _under_way: Some(change), ..Changed::default() }))
    }

    /// Steps 6 to 8: what came out is what was seen, both folders are on the disk, and after that nobody waits to write.
    pub(super) fn confirm_exchange(
        &self,
        place: &VersionFolder<'_>,
        entry: &EntryName,
        expected: &Status,
        lease: &mut Option<Box<dyn Lease>>,
        on_mismatch: OnMismatch,
    ) -> Result<std::result::Result<Status, Why>> {
        let out = self.tree.must_look(&place.dir, &entry.to_name())?;
        if let Some(why) = self.reason_to_undo(place, entry, &out, expected, lease, on_mismatch)? {
            return Ok(Err(why));
        }
        self.sync(place)?;
        Ok(if is_broken(lease) { Err(Why::Busy) } else { Ok(out) })
    }

    pub(super) fn undo_exchange(
        &self,
        place: &VersionFolder<'_>,
        entry: &EntryName,
        upload: &mut Staged,
        why: Why,
        now: Timestamp,
    ) -> Result<Swap<'a>> {
        let tree = self.tree;
        let private = entry.to_name();
        let (site, id) = (&self.site, upload.id());
        let back = tree.exchange_back(site, &place.dir, &private, id);
        let upload_is_out = back
            .and_then(|back| tree.keep_what_is_held(site, &place.dir, entry, &back, id, now))
            .map_err(|error| tree.leave_unsettled(entry, &site.path, now, error))?;
        if upload_is_out {
            upload.took_back_its_name(place, &private);
            tree.hold(entry.clone(), &self.site.path, *upload.sealed(), HeldWhat::Upload, now);
        }
        self.sync(place).map_err(failure)?;
        Ok(match why {
            Why::Busy => Swap::Busy,
            Why::Lost if upload_is_out && self.is_untouched(place, &private, upload)? => Swap::Lost,
            Why::Lost => Swap::Spoilt,
        })
    }

    /// Whether an upload that was visible for an instant was not written, and nobody can be about to.
    pub(super) fn is_untouched(&self, place: &VersionFolder<'_>, private: &Name, upload: &Staged) -> Result<bool> {
        let disk = &self.tree.disk;
        let Opened::File(file, _) = disk.open(&place.dir, private)? else { return Ok(false) };
        let leased = disk.lease(&file, Duration::ZERO)?;
        let status = disk.status(&file)?;
        Ok(!matches!(leased, Leased::Busy) && status.stamp.same_content_as(upload.sealed()))
    }

    /// Tier C. The old file is taken out, verified, and the upload put in by no-replace: nothing is destroyed, but the name is missing
    /// for an instant.
    pub(super) fn take_out_put_in(
        &self,
        place: &VersionFolder<'_>,
        seen: SeenFile,
        upload: &mut Staged,
        on_mismatch: OnMismatch,
        now: Timestamp,
    ) -> Result<Swap<'a>> {
        let expected = seen.status;
        let mut lease = seen.lease;
        let entry = self.free_entry(place, now, |id| {
            EntryName::under_way(id, Act::TakeOut, expected.stamp.id, Some(upload.id()))
        })?;
        let change = self.tree.mutexes.begin_write(&self.site.name);
        let Some(out) = self.take_out(place, &entry, now)? else { return Ok(Swap::Lost) };
        let undone = |why| self.put_back(place, &entry, why, now);
        match self.reason_to_undo(place, &entry, &out, &expected, &mut lease, on_mismatch) {
            Ok(None) => {}
            Ok(Some(why)) => return undone(why),
            Err(error) => return undone(Why::Lost).and(Err(error)),
        }
        match upload.name_publicly(&self.site.parent, &self.site.name) {
            Ok(()) => {}
            Err(error) if error.cause == Cause::Exists => {
                self.tree.adopt(&place.dir, &entry, &self.site.path, &out, HeldWhat::Kept, now);
                self.sync(place).map_err(failure)?;
                return Ok(Swap::Spoilt);
            }
            Err(error) => return undone(Why::Lost).and(Err(error)),
        }
        let shown = self.sync(place);
        shown.map_err(|error| self.tree.leave_displaced(&entry, &self.site.path, &out, now, error))?;
        let stamp = self.stamp_if_unwritten(upload, &None);
        self.tree.adopt(&place.dir, &entry, &self.site.path, &out, HeldWhat::Displaced, now);
        Ok(Swap::Done(Changed { displaced: Some(entry.id), stamp, _under_way: Some(change), ..Changed::default() }))
    }

    /// Tier D, where a name cannot be taken only if it is free. The version that was seen is copied into the history, and the upload is
    /// renamed over it. What a program saves between the last look and the rename is destroyed; the documentation names this window.
    pub(super) fn rename_over(
        &self,
        place: &VersionFolder<'_>,
        seen: SeenFile,
        upload: &mut Staged,
        now: Timestamp,
    ) -> Result<Swap<'a>> {
        let disk = &self.tree.disk;
        let kept = if self.tree.history.keeps() { Some(self.keep_copy(place, &seen, now)?) } else { None };
        let change = self.tree.mutexes.begin_write(&self.site.name);
        let there = disk.look(&self.site.parent, &self.site.name);
        if !matches!(&there, Ok(Some(status)) if status.stamp.same_content_as(&seen.status.stamp)) {
            if let Some(kept) = kept {
                self.tree.history.let_go(&place.dir, &kept.to_name())?;
            }
            return there.map(|_| Swap::Lost);
        }
        upload.name_over(&self.site.parent, &self.site.name)?;
        self.sync(place).map_err(unsure)?;
        let (displaced, stamp) = (kept.map(|entry| entry.id), self.stamp_if_unwritten(upload, &None));
        Ok(Swap::Done(Changed { displaced, stamp, _under_way: Some(change), ..Changed::default() }))
    }

    /// Copies a file into the history and brings the copy to the disk, since the rename destroys the only name of the original.
    pub(super) fn keep_copy(&self, place: &VersionFolder<'_>, seen: &SeenFile, now: Timestamp) -> Result<EntryName> {
        let tree = self.tree;
        let uploads = || tree.history.upload_folder(&self.site.path, self.site.mount);
        let mut copy = Staging::begin(&tree.disk, (&self.site.parent, self.site.folder), uploads)?;
        copy.copy_from(&seen.file, &|| true)?;
        let mut copy = copy.seal(Some(&seen.file), seen.status.stamp.mtime)?;
        let mut entry = self.free_entry(place, now, EntryName::settled)?;
        match copy.name_privately(place, &entry.to_name()) {
            Err(error) if entry.by.is_some() && matches!(error.cause, Cause::LongName | Cause::BadName) => {
                entry = entry.displaced_by(None);
                copy.name_privately(place, &entry.to_name())?;
            }
            named => named?,
        }
        copy.gave_up_its_name();
        place.sync(&*tree.disk)?;
        Ok(entry)
    }
}
