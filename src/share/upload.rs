//! Uploads: begun, written a piece at a time, and made the file at their path.

mod chunked;
mod held;
mod id;
mod resumable;

use std::borrow::Cow;

use crate::model::dating::ASKED_AHEAD_MAX;
use crate::model::keep_rule::Room;
use crate::model::path::SharePath;
use crate::model::stamp::Timestamp;
use crate::model::verdict::Deed;
use crate::store::handle::Dir;
use crate::store::local::commit::Site;
use crate::store::local::staging::{Staged, Staging};

use super::dating::Dating;
use super::early::FoundEarly;
use super::folders::FoldersAbove;
use super::outcome::{Outcome, Refusal, Stop};
use super::request_context::RequestContext;
use super::shared_folder::Share;
use super::stored::Stored;
use super::storing::{Replaced, Storing};

pub use chunked::{ChunkStart, ChunkUpload, ChunkedEnd};
pub use held::HeldUpload;
pub use id::{ChosenId, UploadId};
pub use resumable::UploadName;

/// What the file system takes besides, to note where the bytes are.
const SLACK: u64 = 64 << 10;

/// How far an upload that finds the disk full makes room ahead of the bytes that have come, in bytes.
const AHEAD: u64 = 16 << 20;

/// An upload that is being written.
#[derive(Debug)]
pub struct Upload {
    staging: Staging,
    /// The name that it is for, in its folder.
    site: Site,
    /// The file that it is to replace, where that was opened a moment ago.
    replaces: Option<Replaced>,
    /// What was made for it, and goes with it if it comes to nothing.
    folders: FoldersAbove,
    /// How long it is to become, if the client said so.
    announced: Option<u64>,
    /// Whether its bytes were there before it was begun: its path was spelled a moment ago, and is not spelled again. The commit finds the name
    /// under its mutex in any case.
    is_short: bool,
}

impl Upload {
    pub(super) fn staging(&self) -> &Staging {
        &self.staging
    }

    /// How many bytes have been written.
    pub fn written(&self) -> u64 {
        self.staging.written()
    }
}

impl Share {
    /// Begins an upload, setting the announced room aside; whether it can succeed is for the commit to say.
    pub fn begin_upload(&self, path: &SharePath, announced: Option<u64>, now: Timestamp) -> Outcome<Upload> {
        self.begin_upload_at(self.site_of_upload(path)?, announced, FoldersAbove::default(), now)
    }

    /// As [`Share::begin_upload`], if it could succeed now; makes the folders above where they are missing and that is asked for.
    pub fn begin_long_upload(
        &self,
        path: &SharePath,
        request: &RequestContext,
        announced: Option<u64>,
        make_parents: bool,
    ) -> Outcome<Upload> {
        // While it comes, what is there may go, and is not held open until then.
        let (found, folders) = self.judge_upload_making(path, request, announced, make_parents)?;
        self.begin_upload_at(found.site, announced, folders, request.now)
    }

    /// As [`Share::begin_long_upload`], for an upload whose body is there already. To judge early saves nothing any more, so one that has no
    /// condition is judged by the commit alone. `None` if the request asks for the content of a large file that has to be hashed first, and
    /// `can_wait` for that.
    pub fn begin_short_upload(
        &self,
        path: &SharePath,
        request: &RequestContext,
        bytes: u64,
        make_parents: bool,
        can_wait: bool,
    ) -> Outcome<Option<Upload>> {
        let begin = |site, folders, replaces| {
            let upload = self.begin_upload_at(site, None, folders, request.now)?;
            Ok(Some(Upload { is_short: true, replaces, ..upload }))
        };
        if make_parents || !request.is_unconditional() {
            let (found, folders) = self.judge_upload_making(path, request, Some(bytes), make_parents)?;
            return if found.is_to_be_hashed && can_wait {
                Ok(None)
            } else {
                begin(found.site, folders, found.replaces)
            };
        }
        let site = self.site_of_upload(path)?;
        self.has_room(&site, bytes, request.now)?;
        begin(site, FoldersAbove::default(), None)
    }

    /// Judges an upload by what is there, and makes the folders above where they are missing and that is asked for.
    fn judge_upload_making(
        &self,
        path: &SharePath,
        request: &RequestContext,
        announced: Option<u64>,
        make_parents: bool,
    ) -> Outcome<(FoundEarly, FoldersAbove)> {
        match self.judge_upload(path, request, announced) {
            Err(Stop::Refusal(Refusal::NoParent)) if make_parents => {
                self.may_put_with_parents(path, request, announced)?;
                let folders = self.make_parents(path, request)?;
                Ok((self.judge_upload(path, request, announced)?, folders))
            }
            judged => Ok((judged?, FoldersAbove::default())),
        }
    }

    pub(super) fn site_of_upload(&self, path: &SharePath) -> Outcome<Site> {
        self.site(path, Refusal::IsCollection)
    }

    fn begin_upload_at(
        &self,
        site: Site,
        announced: Option<u64>,
        folders: FoldersAbove,
        now: Timestamp,
    ) -> Outcome<Upload> {
        let mut staging = self.stage(&site, now)?;
        if let Some(bytes) = announced {
            staging.announce(&self.ahead, &site.parent, bytes);
        }
        Ok(Upload { staging, site, replaces: None, folders, announced, is_short: false })
    }

    /// Writes an upload on, making room in the history when the disk is full: for what has come, and a little ahead of an upload that goes
    /// on, but only if all of it will fit.
    pub fn write(&self, upload: &mut Upload, bytes: &[u8], now: Timestamp) -> Outcome<()> {
        self.write_making_room(&mut upload.staging, &upload.site.parent, upload.announced, bytes, now)
    }

    fn write_making_room(
        &self,
        staging: &mut Staging,
        at: &Dir,
        announced: Option<u64>,
        bytes: &[u8],
        now: Timestamp,
    ) -> Outcome<()> {
        match staging.write(bytes) {
            Err(error) if let Some(full) = error.full() => {
                let (written, come) = (staging.written(), bytes.len() as u64);
                // How long it will become is not always known.
                let rest = announced.map_or(come + written / 4, |all| all.saturating_sub(written)).max(come);
                let step = Room { bytes: rest.min(come.max(AHEAD)) + SLACK, files: 0 };
                let whole = Room { bytes: announced.map_or(come, |_| rest) + SLACK, files: 0 };
                let made_room = self.tree.history().make_room_for_a_step(at, step, whole, full, now);
                let written = staging.write(bytes);
                Ok(if made_room { self.with_room_made(written, at, now) } else { written }?)
            }
            written => Ok(written?),
        }
    }

    /// Makes a complete upload the file at a path, dated as the client asks, if it does and the date is no more than a day ahead of the clock.
    pub fn put(
        &self,
        path: &SharePath,
        upload: Upload,
        dated: Option<Timestamp>,
        request: &RequestContext,
    ) -> Outcome<Stored> {
        let Upload { staging, site, replaces, folders, is_short, .. } = upload;
        let path = &*match is_short {
            true => Cow::Borrowed(&site.path),
            false => self.spelled(path).map_err(Stop::of_an_arrival)?,
        };
        let replaces = match replaces {
            None => self.to_be_replaced(&site)?,
            opened => opened,
        };
        let (mut staged, dating) = self.seal_for(path, staging, replaces, dated, request.now)?;
        let stored = self.store(&site, path, &mut staged, dating, request)?;
        folders.keep();
        Ok(stored)
    }

    /// Gives a file that is written its date and brings it to the disk, to take the place of another if there is one.
    fn seal_for(
        &self,
        path: &SharePath,
        staging: Staging,
        replaces: Option<Replaced>,
        dated: Option<Timestamp>,
        now: Timestamp,
    ) -> Outcome<(Staged, Dating)> {
        let displaced = replaces.as_ref().map(|there| there.modified);
        let dated = dated.filter(|dated| *dated <= now.plus(ASKED_AHEAD_MAX));
        let mtime = dated.unwrap_or_else(|| self.next_date(path, displaced, now));
        let staged = staging.seal(replaces.as_ref().map(|there| &there.file), mtime)?;
        Ok((staged, dated.map_or(Dating::Ours, Dating::Asked)))
    }

    /// Makes a file that is complete the one at a path, as it is spelled on the disk, and tells whoever listens.
    fn store(
        &self,
        site: &Site,
        path: &SharePath,
        staged: &mut Staged,
        dating: Dating,
        request: &RequestContext,
    ) -> Outcome<Stored> {
        let storing = Storing { deed: Deed::Put, dating, base: None, notes: &self.notes_of_a_file(path) };
        let stored = self.put_staged(site, path, staged, &storing, request);
        let stored = stored.map_err(Stop::of_an_arrival)?;
        self.forget_refusal(path, request);
        self.tell_of_change(path, request.now);
        Ok(stored)
    }
}
