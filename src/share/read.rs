//! Reading: what is at a path, and the bytes of one version of it.

use std::io;
use std::sync::Arc;

use crate::model::content_hash::ContentHash;
use crate::model::path::{Name, SharePath};
use crate::model::rights::Rights;
use crate::model::stamp::{Stamp, Timestamp};
use crate::os::open_file::OpenFile;
use crate::store::disk_error::{Cause, DiskError};
use crate::store::handle::{Dir, File, Opened};
use crate::store::local::commit::HeldFile;
use crate::store::local::name_lock::CounterSlot;
use crate::store::local::touched::Touched;
use crate::store::status::{Kind, Status};

use super::hints::HintSlot;
use super::identity::{Effort, Identity};
use super::outcome::{Current, Forbidden, Outcome, Refusal, Stop};
use super::request_context::RequestContext;
use super::shared_folder::Share;

/// What is at a path, opened.
#[derive(Debug)]
pub enum OpenResource {
    /// A folder, last changed then.
    Collection(Timestamp),
    /// A file: its bytes, and which version they are.
    File(Box<Content>, Box<Identity>),
}

/// What is at a path, as far as it decides what may be done there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occupant {
    /// A file.
    File,
    /// A folder.
    Collection,
    /// A link that is followed, to a file.
    LinkedFile,
    /// A link that is followed, to a folder.
    LinkedCollection,
    /// Nothing: the name is free.
    Nothing,
    /// Nothing, and the folder that it would lie in is missing.
    NoParent,
    /// What is neither served nor replaced: a link that leads nowhere, or is not followed, a pipe, a device; or something below a file.
    Unserved,
}

/// A path, prepared to be looked at often.
#[derive(Clone, Debug)]
pub struct Spot {
    path: SharePath,
    /// The folder that it lies in, and its name there.
    folder: SharePath,
    name: Name,
    slot: Option<CounterSlot>,
    hints: HintSlot,
    hints_so_far: u64,
}

impl Spot {
    /// The path.
    pub fn path(&self) -> &SharePath {
        &self.path
    }
}

/// A folder that was found at its path a moment ago, open: several looks at what lies in it take one walk to it.
#[derive(Debug)]
pub struct FoundFolder {
    path: SharePath,
    dir: Dir,
}

/// The bytes of one version of a file: opened once, so that they cannot become another's.
#[derive(Clone, Debug)]
pub struct Content {
    touched: Arc<Touched>,
    file: HeldFile,
    stamp: Stamp,
    /// The hash of a small one, if it is known.
    hash: Option<ContentHash>,
    /// Whether it is told with a strong tag.
    is_strong: bool,
    /// Its checksums, if they are known.
    checksums: Option<Arc<str>>,
}

impl Content {
    /// How many bytes there are.
    pub fn size(&self) -> u64 {
        self.stamp.size
    }

    /// The checksums that came with its upload, or were worked out, as ownCloud's clients are told them.
    pub fn checksums(&self) -> Option<&str> {
        self.checksums.as_deref()
    }

    /// The state in which it was opened.
    pub fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// The open file as the operating system knows it, where it does.
    pub fn open_file(&self) -> Option<OpenFile<'_>> {
        self.file.handle().0.fd().map(OpenFile::new)
    }

    /// Reads; 0 at the end.
    pub fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.file.read(offset, into).map_err(io::Error::other)
    }

    /// Reads all of it, a piece at a time; an error if it has become shorter.
    pub fn read_all(&self, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let mut piece = vec![0; self.size().clamp(1, 128 << 10) as usize];
        let mut offset = 0;
        while offset < self.size() {
            let wanted = (self.size() - offset).min(piece.len() as u64) as usize;
            let count = self.read_at(offset, &mut piece[..wanted])?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            each(&piece[..count]);
            offset += count as u64;
        }
        Ok(())
    }

    /// Whether nothing at all about the file has changed since it was identified.
    pub fn is_exactly_unchanged(&self) -> bool {
        self.file.status().is_ok_and(|status| status.stamp == self.stamp)
    }

    /// Whether no program has written into the file since it was opened, as far as its tag promises. A program that writes can put the date
    /// back, and only the ctime tells of it. What takes the last name of a file moves that, too, and a rename and a new link do: those of the
    /// server are known, and of others a small file is hashed again.
    pub fn is_unchanged(&self) -> bool {
        let Ok(status) = self.file.status() else { return false };
        status.stamp.same_content_as(&self.stamp)
            && (status.stamp.ctime == self.stamp.ctime
                || !self.is_strong
                || status.links == 0
                || self.touched.explains(&self.stamp, &status.stamp)
                || self.has_the_same_hash())
    }

    fn has_the_same_hash(&self) -> bool {
        let Some(hash) = self.hash else { return false };
        let mut hasher = blake3::Hasher::new();
        let read = self.read_all(|piece| {
            hasher.update(piece);
        });
        read.is_ok() && ContentHash::finish(&hasher) == hash
    }
}

impl Share {
    /// Opens what is at a path, for an answer to a reader. Hashes a small file that is not known yet.
    pub fn read(&self, path: &SharePath, request: &RequestContext) -> Outcome<OpenResource> {
        self.read_with(path, Effort::HashSmall, request)
    }

    /// As [`Share::read`], but the content of a file is hashed whatever its size.
    pub fn read_hashed(&self, path: &SharePath, request: &RequestContext) -> Outcome<OpenResource> {
        self.read_with(path, Effort::Hash, request)
    }

    /// As [`Share::read`], if that needs no waiting, no hashing and nothing of the database; `None` otherwise.
    pub fn read_now(&self, path: &SharePath, request: &RequestContext) -> Option<Outcome<OpenResource>> {
        // Where one file may have several paths, finding the right one takes its time.
        if !self.tree.has_one_path_each(&self.tree.top().ok()?).ok()? {
            return None;
        }
        let path = &*self.place_to_read(path, Rights::LOOK, request).ok()?;
        let opened = self.tree.try_read_consistent(self.tree.slot(path), || self.tree.open(path))?;
        match opened {
            Ok(Opened::File(file, status)) => {
                if self.is_permitted(path, Rights::READ, request).is_err() {
                    return None;
                }
                let identity = self.recall_now(path, &status.stamp, Effort::HashSmall, request.now)?;
                let checksums = self.checksums.of_now(&identity.validators.shown)?;
                Some(Ok(self.content(file, identity, checksums)))
            }
            opened => Some(self.answer(path, opened, Effort::HashSmall, request)),
        }
    }

    /// Whether a folder is at a path, and not a file.
    pub fn is_collection(&self, path: &SharePath, request: &RequestContext) -> Outcome<bool> {
        let place = self.place_to_read(path, Rights::all(), request)?;
        match self.status_of(&place).map_err(|error| self.stop(error, Refusal::NotFound))? {
            Some(status) if status.kind == Kind::Link => Err(Refusal::NotFound.into()),
            Some(status) => Ok(status.kind == Kind::Dir),
            None => Err(Refusal::NotFound.into()),
        }
    }

    /// What is at a path, as far as it decides what may be done there. The share itself and a mount point are folders like others, though they
    /// are not deleted, moved or replaced: clients take what is allowed at the root for what is allowed in the share.
    pub fn occupant(&self, path: &SharePath, request: &RequestContext) -> Outcome<Occupant> {
        let path = self.spelled(path)?;
        self.is_permitted(&path, Rights::LOOK, request)?;
        let site = match self.tree.site(&path) {
            Ok(Some(site)) => site,
            Ok(None) => return Ok(Occupant::Collection),
            Err(error) if error.cause == Cause::NotADirectory => return Ok(Occupant::Unserved),
            Err(error) => {
                return match self.stop(error, Refusal::NoParent) {
                    Stop::Refusal(Refusal::NoParent) => Ok(Occupant::NoParent),
                    stop => Err(stop),
                };
            }
        };
        let found = self.tree.look_in(&site.parent, &site.name);
        Ok(match found.map_err(|error| self.stop(error, Refusal::NotFound))?.map(|status| status.kind) {
            None => Occupant::Nothing,
            Some(Kind::File) => Occupant::File,
            Some(Kind::Dir) => Occupant::Collection,
            Some(Kind::Special) => Occupant::Unserved,
            Some(Kind::Link) => {
                let target = self.status_of(&*self.place_to_read(&path, Rights::LOOK, request)?);
                match target.map_err(|error| self.stop(error, Refusal::NotFound))?.map(|status| status.kind) {
                    Some(Kind::File) => Occupant::LinkedFile,
                    Some(Kind::Dir) => Occupant::LinkedCollection,
                    Some(Kind::Link | Kind::Special) | None => Occupant::Unserved,
                }
            }
        })
    }

    /// A path that is going to be looked at again and again. `None` if what it leads to has another one: that may come to be another file's.
    /// The share itself is none.
    pub fn spot(&self, path: &SharePath) -> Option<Spot> {
        let (folder, name) = path.split()?;
        let is_its_own = self.spelled_to_read(path).is_ok_and(|own| *own == *path);
        let hints = self.hints.slot(path);
        let hints_so_far = self.hints.so_far(hints);
        is_its_own.then(|| Spot { slot: self.tree.slot(path), path: path.clone(), folder, name, hints, hints_so_far })
    }

    /// Whether the file at a path is still in exactly this state, no change of it is under way, and the watcher has not spoken of it since.
    /// Nothing is left open.
    pub fn is_still(&self, spot: &Spot, stamp: &Stamp) -> bool {
        self.is_still_there(spot, stamp, || self.status_of(&spot.path))
    }

    /// As [`Share::is_still`], for one of several requests that have all been there since before `found` was asked for first: the folder is
    /// found at its path once for all of them that follow each other in it.
    pub fn is_still_among(&self, found: &mut Option<FoundFolder>, spot: &Spot, stamp: &Stamp) -> bool {
        *found = found.take().filter(|found| found.path == spot.folder).or_else(|| self.find_folder(&spot.folder));
        let Some(FoundFolder { dir, .. }) = &*found else { return self.is_still(spot, stamp) };
        self.is_still_there(spot, stamp, || self.tree.look_in(dir, &spot.name))
    }

    fn is_still_there(
        &self,
        spot: &Spot,
        stamp: &Stamp,
        look: impl FnOnce() -> Result<Option<Status>, DiskError>,
    ) -> bool {
        if self.hints.so_far(spot.hints) != spot.hints_so_far {
            return false;
        }
        let looked = self.tree.try_read_consistent(spot.slot, look);
        matches!(looked, Some(Ok(Some(status))) if status.stamp == *stamp && status.kind == Kind::File)
    }

    /// Opens a folder to look into it; `None` where that fails, or would keep something that is mounted in the share from being unmounted.
    fn find_folder(&self, path: &SharePath) -> Option<FoundFolder> {
        let dir = self.tree.open_folder(path).ok()?;
        let has_one_path_each = self.tree.has_one_path_each(&dir).ok()?;
        has_one_path_each.then(|| FoundFolder { path: path.clone(), dir })
    }

    /// Reads all of what was identified, a piece at a time; says whether it was that version to the end. Where its stamp was not settled, another
    /// may have come that looks the same: the content alone tells then.
    pub fn read_identified(&self, content: &Content, identity: &Identity, mut each: impl FnMut(&[u8])) -> bool {
        let mut hasher = blake3::Hasher::new();
        let whole = content.read_all(|piece| {
            hasher.update(piece);
            each(piece);
        });
        let is_this = identity.is_settled() || identity.hash == Some(ContentHash::finish(&hasher));
        whole.is_ok() && is_this && content.is_exactly_unchanged()
    }

    /// What a version is, for a client that was refused.
    pub fn describe(&self, identity: &Identity) -> Current {
        identity.current()
    }

    /// Whether a file is small enough to be hashed for an answer.
    pub fn is_cheap_to_hash(&self, content: &Content) -> bool {
        content.size() <= self.settings.tag_threshold
    }

    fn read_with(&self, path: &SharePath, effort: Effort, request: &RequestContext) -> Outcome<OpenResource> {
        let path = &*self.place_to_read(path, Rights::LOOK, request)?;
        let opened = self.tree.read_consistent(path, || self.tree.open(path));
        self.answer(path, opened, effort, request)
    }

    fn answer(
        &self,
        path: &SharePath,
        opened: Result<Opened, DiskError>,
        effort: Effort,
        request: &RequestContext,
    ) -> Outcome<OpenResource> {
        match opened.map_err(|error| self.stop(error, Refusal::NotFound))? {
            Opened::Nothing if self.tree.top().is_err() => Err(Refusal::ShareGone.into()),
            Opened::Nothing | Opened::Link => Err(Refusal::NotFound.into()),
            Opened::Special => Err(Refusal::NotAllowed(Forbidden::Special).into()),
            Opened::Dir(_) if !request.permissions.at(path).contains(Rights::LIST) => Err(Refusal::NotPermitted.into()),
            Opened::Dir(status) => Ok(OpenResource::Collection(status.stamp.mtime)),
            Opened::File(..) if !request.permissions.at(path).contains(Rights::READ) => {
                Err(Refusal::NotPermitted.into())
            }
            Opened::File(file, status) => {
                let identity = self.identify(path, &file, &status, effort, request.now)?;
                let checksums = self.checksums(&identity.validators.shown);
                Ok(self.content(file, identity, checksums))
            }
        }
    }

    /// The state is the one that was identified, not the one that was opened: a program may have saved in between.
    fn content(&self, file: File, identity: Identity, checksums: Option<Arc<str>>) -> OpenResource {
        let content = Content { checksums, ..self.content_of(file, &identity) };
        OpenResource::File(Box::new(content), Box::new(identity))
    }

    pub(super) fn content_of(&self, file: File, identity: &Identity) -> Content {
        Content {
            touched: Arc::clone(self.tree.touched()),
            file: self.tree.keep_open(file),
            stamp: identity.stamp,
            hash: identity.hash.filter(|_| identity.stamp.size <= self.settings.tag_threshold),
            is_strong: !identity.validators.shown.is_weak(),
            checksums: None,
        }
    }
}
