//! Partial writes: a new version that is the one that is there with some bytes written over it or behind it. It is staged whole and committed like any
//! upload, so that a reader or a crash sees the old version or the new one.
//!
//! What the new bytes are written over is the very version that is displaced. If that is not there any more when its place is to be taken, the one
//! that is there by then is taken for the base, if the conditional headers allow it: of two that append at once both come to the file, whole.

use crate::model::dating::ASKED_AHEAD_MAX;
use crate::model::keep_rule::Room;
use crate::model::path::SharePath;
use crate::model::stamp::{Stamp, Timestamp};
use crate::model::update_range::UpdateRange;
use crate::model::verdict::Deed;
use crate::store::disk_error::DiskError;
use crate::store::handle::{File, Opened};
use crate::store::local::commit::Site;
use crate::store::local::staging::{NewBytes, Patch, Staging};

use super::dating::Dating;
use super::early::PATIENCE;
use super::judge::LOOKS_MAX;
use super::outcome::{Outcome, Refusal, Stop};
use super::relocate::CopyLimit;
use super::request_context::RequestContext;
use super::room::A_NAME;
use super::shared_folder::Share;
use super::stored::Stored;
use super::storing::Storing;
use super::upload::Upload;

/// A partial write, as it is asked for.
#[derive(Clone, Copy, Debug)]
pub struct PartialWrite<'a> {
    /// Where the bytes are written.
    pub range: UpdateRange,
    /// The bytes.
    pub bytes: PartBytes<'a>,
    /// The date that the client asks for.
    pub dated: Option<Timestamp>,
    /// How long the file may become, in bytes.
    pub size_max: Option<u64>,
}

/// The bytes of a partial write.
#[derive(Clone, Copy, Debug)]
pub enum PartBytes<'a> {
    /// These.
    InMemory(&'a [u8]),
    /// A complete upload, which becomes no file by itself.
    Uploaded(&'a Upload),
}

/// The version that a partial write begins with.
struct Base {
    site: Site,
    file: File,
    stamp: Stamp,
}

impl<'a> PartBytes<'a> {
    fn new_bytes(self) -> NewBytes<'a> {
        match self {
            Self::InMemory(bytes) => NewBytes::InMemory(bytes),
            Self::Uploaded(upload) => NewBytes::Staged(upload.staging()),
        }
    }
}

impl Share {
    /// Says early, from the headers alone, why a partial write of this length could not succeed now. The commit judges again.
    pub fn may_patch(
        &self,
        path: &SharePath,
        range: UpdateRange,
        announced: Option<u64>,
        request: &RequestContext,
    ) -> Outcome<()> {
        let base = self.base_of_patch(path, request)?;
        let length = announced.unwrap_or(0);
        range.start(base.stamp.size).ok_or(Refusal::NoSuchRange { size: base.stamp.size })?;
        self.has_room(&base.site, length, request.now)
    }

    /// Writes a part of the file at a path. Nothing is done if it is not wanted any more before the new version is complete.
    pub fn patch(
        &self,
        path: &SharePath,
        write: &PartialWrite<'_>,
        request: &RequestContext,
        limit: CopyLimit<'_>,
    ) -> Outcome<Stored> {
        let mut made_room = false;
        for _ in 0..LOOKS_MAX {
            match self.try_to_patch(path, write, request, limit, &mut made_room) {
                // What it was to begin with is not there any more.
                Err(Stop::Refusal(Refusal::ChangedMeanwhile)) => {}
                ended => return ended,
            }
        }
        Err(Refusal::ChangedMeanwhile.into())
    }

    fn try_to_patch(
        &self,
        path: &SharePath,
        write: &PartialWrite<'_>,
        request: &RequestContext,
        limit: CopyLimit<'_>,
        made_room: &mut bool,
    ) -> Outcome<Stored> {
        let base = self.base_of_patch(path, request)?;
        let path = &base.site.path;
        let staging = self.stage_patch(&base, write, request, limit, made_room)?;
        let dated = write.dated.filter(|dated| *dated <= request.now.plus(ASKED_AHEAD_MAX));
        let mtime = dated.unwrap_or_else(|| self.next_date(path, Some(base.stamp.mtime), request.now));
        let mut staged = staging.seal(Some(&base.file), mtime)?;
        let dating = dated.map_or(Dating::Ours, Dating::Asked);
        let storing =
            Storing { deed: Deed::Patch, dating, base: Some(&base.stamp), notes: &self.notes_of_a_file(path) };
        let stored = self.put_staged(&base.site, path, &mut staged, &storing, request)?;
        self.forget_refusal(path, request);
        self.tell_of_change(path, request.now);
        Ok(stored)
    }

    /// The file that is there, if the headers and locks let its content be changed now.
    fn base_of_patch(&self, path: &SharePath, request: &RequestContext) -> Outcome<Base> {
        let found = match self.judge_early(path, Deed::Patch, request, PATIENCE) {
            Err(Stop::Refusal(Refusal::NoParent)) => return Err(Refusal::NotFound.into()),
            found => found?,
        };
        let site = found.site;
        // Opened anew: the handle by which it was judged may have held a lease, and no handle holds two.
        match self.tree.read_consistent(&site.path, || self.tree.open_in(&site.parent, &site.name))? {
            Opened::File(file, status) => Ok(Base { stamp: status.stamp, site, file }),
            Opened::Nothing | Opened::Dir(_) | Opened::Link | Opened::Special => Err(Refusal::ChangedMeanwhile.into()),
        }
    }

    /// The new version, making room for it in the history when the disk is full, once: then it is begun anew.
    fn stage_patch(
        &self,
        base: &Base,
        write: &PartialWrite<'_>,
        request: &RequestContext,
        limit: CopyLimit<'_>,
        made_room: &mut bool,
    ) -> Outcome<Staging> {
        let Base { site, file, stamp } = base;
        let (size, new) = (stamp.size, write.bytes.new_bytes());
        let at = write.range.start(size).ok_or(Refusal::NoSuchRange { size })?;
        let becomes = write.range.size_after(size, new.len()).filter(|becomes| *becomes <= i64::MAX.unsigned_abs());
        let becomes = becomes.filter(|becomes| write.size_max.is_none_or(|max| *becomes <= max.max(size)));
        let becomes = becomes.ok_or(Refusal::TooLarge)?;
        // Zeros between the old end and the new bytes take no room, but whoever reads them goes through them all.
        self.has_room(site, becomes - size.min(becomes), request.now)?;
        limit.admits(becomes)?;
        let (patch, is_wanted) = (Patch { base: file, size, at, new }, &self.go_on(limit));
        let staged = match self.tree.stage_patched(site, stamp, &patch, is_wanted) {
            Err(error) if error.full().is_some() && !*made_room => {
                *made_room = true;
                let room = A_NAME + Room { bytes: becomes, files: 0 };
                let has_room = self.makes_room_after(&error, &site.parent, room, request.now);
                return Err(if has_room { Refusal::ChangedMeanwhile.into() } else { error.into() });
            }
            staged if *made_room => self.with_room_made(staged, &site.parent, request.now),
            staged => staged,
        };
        let gone = |error: DiskError| match self.stop_of_copy(error, limit) {
            Stop::Refusal(Refusal::NotFound) => Refusal::FolderChanged.into(),
            stop => stop,
        };
        staged.map_err(gone)?.ok_or_else(|| Refusal::ChangedMeanwhile.into())
    }
}
