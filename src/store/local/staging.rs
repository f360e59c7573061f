//! An upload that is being written, and one that is complete.
//!
//! A [`Staging`] has no name, or one that only noclobber knows, so a client that goes away leaves nothing: dropping it is enough.
//! [`Staging::seal`] brings it to the disk and makes it a [`Staged`], which nobody writes any more and which a commit gives its name.

mod ahead;
mod chunks;
mod lasting;
mod patch;
mod tree;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::model::content_hash::ContentHash;
use crate::model::path::Name;
use crate::model::stamp::{FileId, Stamp, Timestamp};

use super::disk::Disk;
use super::naming;
use super::place::{Running, UploadFolder, VersionFolder};
use super::trees::remove_tree;
use crate::store::disk_error::{Cause, DiskError, Result};
use crate::store::handle::{Dir, File};
use crate::store::lease::{Lease, Leased};
use crate::store::status::Kind;

pub use ahead::RoomAhead;
pub use chunks::{Chunks, LeftChunks};
pub use lasting::{Left, Mark, Note, Point, lasting_in, remove_lasting};
pub use patch::{NewBytes, Patch};
pub use tree::StagedTree;

use ahead::Aside;

/// What the names of unfinished uploads begin with, where they need one.
pub const UNFINISHED: &str = "unfinished-";

/// What the names of uploads begin with that outlive the process.
const LASTING: &str = "lasting-";

/// An upload that is being written.
#[derive(Debug)]
pub struct Staging {
    disk: Arc<dyn Disk>,
    file: File,
    own_name: Option<OwnName>,
    folder: FileId,
    hasher: blake3::Hasher,
    written: u64,
    /// The folder whose group it is to have, if that hands its group on.
    heir_of: Option<Dir>,
    aside: Option<Aside>,
    /// Whether it outlives the process, and its file may be longer than what was written.
    lasts: bool,
}

/// An upload that is complete, on the disk, and read-only from now on.
#[derive(Debug)]
pub struct Staged {
    disk: Arc<dyn Disk>,
    file: File,
    own_name: Option<OwnName>,
    folder: FileId,
    hash: ContentHash,
    sealed: Stamp,
    /// The state of the file whose attributes it has.
    looks_like: Option<Stamp>,
    was_leased: bool,
}

/// Folders that were made for an upload. Dropping it removes those that are empty still, unless the upload is in its place.
#[derive(Debug, Default)]
pub struct NewFolders {
    made: Vec<NewFolder>,
}

#[derive(Debug)]
struct NewFolder {
    disk: Arc<dyn Disk>,
    at: Dir,
    name: Name,
    id: FileId,
}

/// A name that no client sees. While nobody else can have come by the file, dropping removes the name.
#[derive(Debug)]
struct OwnName {
    disk: Arc<dyn Disk>,
    dir: Dir,
    name: Name,
    id: FileId,
    sweep: bool,
    running: Running,
}

impl Staging {
    /// Begins an upload for the folder `parent`, which is `folder`.
    ///
    /// `uploads` gives the folder for uploads that need a name, where the file system has no nameless files.
    pub fn begin(
        disk: &Arc<dyn Disk>,
        (parent, folder): (&Dir, FileId),
        uploads: impl FnOnce() -> Result<UploadFolder>,
    ) -> Result<Self> {
        let (file, own_name) = if disk.abilities(parent)?.nameless {
            (disk.create_nameless(parent)?, None)
        } else {
            let (UploadFolder { dir, running }, name) = (uploads()?, unfinished_name());
            let file = disk.create_named(&dir, &name)?;
            let id = match disk.status(&file) {
                Ok(status) => status.stamp.id,
                Err(error) => {
                    let _ = disk.unlink(&dir, &name);
                    return Err(error);
                }
            };
            (file, Some(OwnName { disk: Arc::clone(disk), dir, name, id, sweep: true, running }))
        };
        let hasher = blake3::Hasher::new();
        let disk = Arc::clone(disk);
        Ok(Self { disk, file, own_name, folder, hasher, written: 0, heir_of: None, aside: None, lasts: false })
    }

    /// Sets room aside, as bytes come, for an upload of `announced` bytes to the file system on which `parent` lies.
    pub fn announce(&mut self, all: &Arc<RoomAhead>, parent: &Dir, announced: u64) {
        self.aside = Aside::new(all, &self.disk, parent, announced);
    }

    /// Lets it have the group of the folder that it is for, if that hands its group on: what is copied there is at home there.
    pub fn inherits_from(&mut self, folder: &Dir) {
        self.heir_of = Some(folder.clone());
    }

    /// Writes on. After an error nothing of `bytes` counts as written, and the same call may be tried again.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.disk.write(&self.file, self.written, bytes)?;
        self.hasher.update(bytes);
        self.written += bytes.len() as u64;
        if let Some(aside) = &mut self.aside {
            aside.go_on(&self.file, self.written);
        }
        Ok(())
    }

    /// Takes the whole content of another file, sharing its blocks where the file system can. Shared or not, what is hashed is what this file
    /// has: somebody may be writing to the other one. It ends with [`Cause::Unwanted`] when nobody wants it any more.
    pub fn copy_from(&mut self, source: &File, is_wanted: &dyn Fn() -> bool) -> Result<()> {
        let shared = self.written == 0 && self.disk.share_blocks(source, &self.file).is_ok();
        let mut buffer = vec![0; 256 << 10];
        loop {
            must_be_wanted(is_wanted)?;
            let from = if shared { &self.file } else { source };
            let count = self.disk.read(from, self.written, &mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            if shared {
                self.hasher.update(&buffer[..count]);
                self.written += count as u64;
            } else {
                self.write(&buffer[..count])?;
            }
        }
    }

    /// How many bytes have been written.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Gives it the attributes of the file that it is to replace and its modification time, brings it to the disk, once, and
    /// closes the writing handle.
    pub fn seal(mut self, like: Option<&File>, mtime: Timestamp) -> Result<Staged> {
        let mut looks_like = None;
        if self.lasts {
            self.disk.cut(&self.file, self.written)?;
        }
        if let Some(like) = like {
            looks_like = Some(self.disk.status(like)?.stamp);
            self.disk.copy_attributes(like, &self.file)?;
        }
        if let Some(folder) = &self.heir_of {
            self.disk.inherit_group(folder, &self.file)?;
        }
        self.disk.set_mtime(&self.file, mtime)?;
        self.disk.sync_file(&self.file)?;
        let hash = ContentHash::finish(&self.hasher);
        let file = self.disk.finish_writing(self.file)?;
        let sealed = self.disk.status(&file)?.stamp;
        // From now on it is the commit's, which takes its name away.
        if let Some(own) = self.own_name.as_mut().filter(|_| self.lasts) {
            own.sweep = true;
        }
        Ok(Staged {
            disk: self.disk,
            file,
            own_name: self.own_name,
            folder: self.folder,
            hash,
            sealed,
            looks_like,
            was_leased: false,
        })
    }
}

impl Staged {
    /// The file, read-only.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Which file it is.
    pub fn id(&self) -> FileId {
        self.sealed.id
    }

    /// The folder it was staged for.
    pub fn folder(&self) -> FileId {
        self.folder
    }

    /// The hash of its bytes.
    pub fn hash(&self) -> &ContentHash {
        &self.hash
    }

    /// Its state when it was sealed, before it had a name that anybody could see.
    pub fn sealed(&self) -> &Stamp {
        &self.sealed
    }

    /// Takes the attributes of the file that it is to replace, unless it has those of this very state: they may have been changed since.
    pub fn look_like(&mut self, file: &File, stamp: &Stamp) -> Result<()> {
        if self.looks_like.is_some_and(|like| (like.id, like.ctime) == (stamp.id, stamp.ctime)) {
            return Ok(());
        }
        self.disk.copy_attributes(file, &self.file)?;
        self.disk.sync_file(&self.file)?;
        self.sealed = self.disk.status(&self.file)?.stamp;
        self.looks_like = Some(*stamp);
        Ok(())
    }

    /// Moves its modification time to a later second, because what it replaces has come to have the same.
    pub fn postpone(&mut self, mtime: Timestamp) -> Result<()> {
        self.disk.set_mtime(&self.file, mtime)?;
        self.disk.sync_file(&self.file)?;
        self.sealed = self.disk.status(&self.file)?.stamp;
        Ok(())
    }

    /// A lease from before it can be seen: unbroken afterwards, it proves that nobody has opened it for writing. To be had once, since a
    /// second one on the same handle proves nothing.
    pub fn lease_once(&mut self) -> Option<Box<dyn Lease>> {
        if std::mem::replace(&mut self.was_leased, true) {
            return None;
        }
        match self.disk.lease(&self.file, Duration::ZERO) {
            Ok(Leased::Held(lease)) => Some(lease),
            _ => None,
        }
    }

    /// Gives it a name of noclobber's own, in place of the one it may have had. Dropping it removes that name.
    pub fn name_privately(&mut self, place: &VersionFolder<'_>, name: &Name) -> Result<()> {
        self.give(&place.dir, name)?;
        self.own_name = Some(self.own_name_at(place, name, true));
        Ok(())
    }

    /// Gives it a name that clients see, if that is free. From now on its own name, if it had one, is gone.
    pub fn name_publicly(&mut self, dir: &Dir, name: &Name) -> Result<()> {
        self.give(dir, name)
    }

    /// Gives it a name that clients see, over whatever has it. Only for file systems that have no better.
    pub fn name_over(&mut self, dir: &Dir, name: &Name) -> Result<()> {
        if self.own_name.is_none() {
            return Err(DiskError {
                operation: "rename",
                name: name.to_text().into_owned(),
                cause: Cause::Unsupported,
                message: "a file without a name cannot be renamed".to_owned(),
            });
        }
        if let Some(own) = &mut self.own_name {
            self.disk.rename_over((&own.dir, &own.name), (dir, name))?;
        }
        self.gave_up_its_name();
        Ok(())
    }

    /// Its own name is about to be exchanged with one that clients see: from now on dropping it removes nothing.
    pub fn may_be_seen(&mut self) {
        self.set_sweep(false);
    }

    /// The exchange did not take place: nobody can have come by it.
    pub fn was_not_seen(&mut self) {
        self.set_sweep(true);
    }

    /// What stands at its own name now is not this file, but what came out of the tree, or nothing.
    pub fn gave_up_its_name(&mut self) {
        self.set_sweep(false);
        self.own_name = None;
    }

    /// Its own name leads to it again, after an exchange was undone. Somebody may have come by it meanwhile.
    pub fn took_back_its_name(&mut self, place: &VersionFolder<'_>, name: &Name) {
        self.own_name = Some(self.own_name_at(place, name, false));
    }

    fn own_name_at(&self, place: &VersionFolder<'_>, name: &Name, sweep: bool) -> OwnName {
        let (disk, dir, running) = (Arc::clone(&self.disk), place.dir.clone(), place.running());
        OwnName { disk, dir, name: name.clone(), id: self.sealed.id, sweep, running }
    }

    fn set_sweep(&mut self, sweep: bool) {
        if let Some(own) = &mut self.own_name {
            own.sweep = sweep;
        }
    }

    fn give(&mut self, dir: &Dir, name: &Name) -> Result<()> {
        let can = self.disk.abilities(dir)?;
        match &mut self.own_name {
            None => self.disk.link(&self.file, dir, name)?,
            Some(_) if can.link && !can.no_replace => {
                self.disk.link(&self.file, dir, name)?;
                // Dropping it removes the name; if that fails the next start does, since the upload has its place already.
                self.own_name = None;
            }
            Some(own) => {
                naming::take(&*self.disk, (&own.dir, &own.name), (dir, name))?;
                own.sweep = false;
                self.own_name = None;
            }
        }
        Ok(())
    }
}

impl Drop for OwnName {
    /// Removes the name if it still leads to the upload. What cannot be removed now is swept at the next start.
    fn drop(&mut self) {
        if !self.sweep {
            return;
        }
        // A name of no version is nobody else's, and not every file system knows a file again by its number (FUSE).
        let is_own = [UNFINISHED, LASTING].iter().any(|word| self.name.as_bytes().starts_with(word.as_bytes()));
        let removed = self.disk.look(&self.dir, &self.name).and_then(|there| match there {
            Some(status) if is_own || status.stamp.id == self.id => self.disk.unlink(&self.dir, &self.name),
            _ => Ok(()),
        });
        if removed.is_err() {
            self.running.clone().stays();
        }
    }
}

impl NewFolders {
    /// One more, inside of the ones before it.
    pub fn add(&mut self, disk: &Arc<dyn Disk>, at: &Dir, name: &Name) -> Result<()> {
        match disk.look(at, name) {
            Ok(Some(status)) => {
                let (disk, at, name) = (Arc::clone(disk), at.clone(), name.clone());
                self.made.push(NewFolder { disk, at, name, id: status.stamp.id });
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(error) => {
                let _ = disk.remove_dir(at, name);
                Err(error)
            }
        }
    }

    /// They stay.
    pub fn keep(mut self) {
        self.made.clear();
    }
}

impl Drop for NewFolders {
    fn drop(&mut self) {
        for NewFolder { disk, at, name, id } in self.made.drain(..).rev() {
            // Whoever has put something in meanwhile keeps it.
            if disk.look(&at, &name).is_ok_and(|it| it.is_some_and(|it| it.stamp.id == id)) {
                let _ = disk.remove_dir(&at, &name);
            }
        }
    }
}

/// Whether the file system of `swap`, a folder for uploads, can hold this name: in a folder that nobody sees it is tried. What a file system
/// refuses is told by [`Cause::BadName`] or [`Cause::LongName`].
pub fn try_name(disk: &Arc<dyn Disk>, swap: UploadFolder, name: &Name) -> Result<()> {
    let target = swap.dir.clone();
    let folder = StagedTree::begin(disk, swap, &target)?;
    match disk.create_named(&folder.folder(b"", false)?, name) {
        // The folder is there, so that is said of the name (exFAT).
        Err(error) if error.cause == Cause::NotFound => Err(DiskError { cause: Cause::BadName, ..error }),
        tried => tried.map(drop),
    }
}

/// Removes what unfinished uploads of an earlier run left in the folder `swap`, as far as it can be.
pub fn sweep(disk: &dyn Disk, swap: &Dir) -> Result<()> {
    let mut left = Vec::new();
    disk.list(swap, &mut |entry| {
        if entry.name.as_bytes().starts_with(UNFINISHED.as_bytes()) {
            left.push(entry);
        }
        std::ops::ControlFlow::Continue(())
    })?;
    let mut swept = Ok(());
    for entry in &left {
        let removed = match entry.status.kind {
            Kind::Dir => remove_tree(disk, swap, &entry.name),
            _ => disk.unlink(swap, &entry.name),
        };
        swept = swept.and(removed);
    }
    swept
}

/// [`Cause::Unwanted`] if nobody wants any more what is being copied.
pub(super) fn must_be_wanted(is_wanted: &dyn Fn() -> bool) -> Result<()> {
    if is_wanted() {
        return Ok(());
    }
    let message = "nobody waits for it any more".to_owned();
    Err(DiskError { operation: "copy", name: String::new(), cause: Cause::Unwanted, message })
}

/// Unique among the uploads of this process; those of an earlier one are swept before the first is begun.
fn unfinished_name() -> Name {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    Name::new(format!("{UNFINISHED}{number}").into_bytes()).expect("letters and digits")
}
