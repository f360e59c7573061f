//! The commit: the compare-and-swap of one name, and the only place where a name that a client can see is changed.
//!
//! [`Tree::claim`] takes the mutex of a name; [`Claim::look`] says what is there, with a lease on it; and one of the changes swaps
//! exactly that for something else, or says that it lost. What a change takes out of the tree becomes an entry of the history. It
//! decides nothing: whether a change is wanted is for the share to say, between the look and the swap.

// Beneath the tree: what is seen, what comes of a change, what is held.
mod held;
mod seen;
mod site;
mod swap;

// What is done in the tree, each in a file of its own.
mod claim;
mod copy;
mod entries;
mod looking;
mod patched;
mod recovery;
mod relocate;
mod replace;
mod second_look;

use std::borrow::Cow;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::model::path::{Name, SharePath};
use crate::model::stamp::FileId;

use super::dir_cache::{DirCache, Limits};
use super::disk::Disk;
use super::history::{History, KeepLimits};
use super::name_lock::PathMutexes;
use super::place::UploadFolder;
use super::spelling::spelled;
use super::staging::{Chunks, Mark, Note, Point, Staging, remove_lasting};
use super::touched::Touched;
use crate::store::disk_error::{Cause, Result};
use crate::store::handle::Dir;
use crate::store::notice::Notice;
use held::HeldEntry;

pub use super::spelling::LastLink;
pub use claim::Claim;
pub use copy::{CopyWish, Copying, FileCopy, FolderCopy, Included, StagedCopy};
pub use looking::HeldFile;
pub use relocate::{OnMismatches, Pair};
pub use seen::{Seen, SeenFile};
pub use site::{Inside, Site};
pub use swap::{Changed, OnMismatch, Swap};

/// The names that clients see, and what is needed to change them.
#[derive(Debug)]
pub struct Tree {
    disk: Arc<dyn Disk>,
    history: History,
    mutexes: PathMutexes,
    folders: DirCache,
    touched: Arc<Touched>,
    held: Mutex<Vec<HeldEntry>>,
    notices: Mutex<Vec<Notice>>,
    /// Paths whose folder in the history may be empty.
    untidy: Mutex<Vec<SharePath>>,
}

impl Tree {
    /// The tree of a share on this disk, without a history.
    pub fn on(disk: Arc<dyn Disk>) -> Self {
        Self {
            history: History::new(Arc::clone(&disk), None),
            folders: DirCache::new(Arc::clone(&disk), Limits::default()),
            disk,
            mutexes: PathMutexes::default(),
            touched: Arc::default(),
            held: Mutex::default(),
            notices: Mutex::default(),
            untidy: Mutex::default(),
        }
    }

    /// The same, with a history that keeps versions within these limits, if there are any.
    pub fn keeping(self, limits: Option<KeepLimits>) -> Self {
        Self { history: History::new(Arc::clone(&self.disk), limits), ..self }
    }

    /// The history.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// What was done here to files besides writing them.
    pub fn touched(&self) -> &Arc<Touched> {
        &self.touched
    }

    /// The counters by which a listing notices changes under way.
    pub fn mutexes(&self) -> &PathMutexes {
        &self.mutexes
    }

    /// The members of folders that are listed again and again.
    pub fn folders(&self) -> &DirCache {
        &self.folders
    }

    /// Finds the folder of a path. `None` for the share itself, which is in no folder.
    pub fn site(&self, path: &SharePath) -> Result<Option<Site>> {
        self.site_below(&self.disk.root()?, path)
    }

    /// The path that the disk itself has for what a path leads to: by it alone a file is known. [`Cause::Reserved`] if that is noclobber's own.
    pub fn spelled<'p>(&self, path: &'p SharePath, last: LastLink) -> Result<Cow<'p, SharePath>> {
        self.spelled_below(&self.disk.root()?, path, last)
    }

    fn spelled_below<'p>(&self, root: &Dir, path: &'p SharePath, last: LastLink) -> Result<Cow<'p, SharePath>> {
        spelled(&*self.disk, root, path, last, || self.history.own_folder_ids())
    }

    fn site_below(&self, root: &Dir, path: &SharePath) -> Result<Option<Site>> {
        let Some((parent_path, name)) = path.split() else { return Ok(None) };
        if path.as_bytes().is_ascii() {
            let parent = self.disk.open_dir(root, parent_path.as_bytes());
            let site = parent.and_then(|parent| self.site_in(parent, path, name));
            match site {
                Ok((site, true)) => return Ok(Some(site)),
                Err(error) if error.cause != Cause::NotFound => return Err(error),
                _ => {}
            }
        }
        let path = self.spelled_below(root, path, LastLink::Itself)?;
        let Some((parent_path, name)) = path.split() else { return Ok(None) };
        let parent = self.disk.open_dir(root, parent_path.as_bytes())?;
        Ok(Some(self.site_in(parent, &path, name)?.0))
    }

    /// The name in its folder, and whether no other path can lead there.
    fn site_in(&self, parent: Dir, path: &SharePath, name: Name) -> Result<(Site, bool)> {
        let status = self.disk.dir_status(&parent)?;
        let site = Site { path: path.clone(), parent, folder: status.stamp.id, mount: status.mount, name };
        Ok((site, self.disk.has_one_path(&status)))
    }

    /// Begins a file that nobody sees yet, for a folder. [`Cause::NotFound`] if that is not there any more.
    pub fn stage(&self, site: &Site) -> Result<Staging> {
        Staging::begin(&self.disk, (&site.parent, site.folder), || self.history.upload_folder(&site.path, site.mount))
    }

    /// Begins a file that nobody sees yet, for a folder, and that outlives the process: `what` is its name on the disk, what it is for, and how
    /// far it goes. It lies in the folder that comes back.
    pub fn stage_lasting(&self, site: &Site, what: (&str, &[u8], Mark)) -> Result<(Staging, Note, Dir)> {
        let uploads = self.history.upload_folder(&site.path, site.mount)?;
        let (staging, note) = Staging::begin_lasting(&self.disk, (&site.parent, site.folder), &uploads, what)?;
        Ok((staging, note, uploads.dir))
    }

    /// Takes up a lasting file in its folder: its name on the disk, how many bytes count, and the point at which it was left, if that is known.
    pub fn take_up_lasting(&self, dir: &Dir, what: (&str, u64, Option<Point>)) -> Result<(Staging, Note)> {
        let note = Note::open(&self.disk, dir, what.0)?;
        Ok((Staging::take_up(&self.disk, dir, what, self.folder_id(dir)?)?, note))
    }

    /// Which folder this is.
    pub fn folder_id(&self, dir: &Dir) -> Result<FileId> {
        Ok(self.disk.dir_status(dir)?.stamp.id)
    }

    /// Removes a lasting file, or what is left of one, from its folder.
    pub fn remove_lasting(&self, dir: &Dir, stem: &str) -> Result<()> {
        remove_lasting(&*self.disk, dir, stem)
    }

    /// The folder for uploads that belong to a path in the folder `at`, and the mount that it lies on.
    pub fn upload_folder(&self, path: &SharePath, at: &Dir) -> Result<(UploadFolder, u64)> {
        let mount = self.disk.dir_status(at)?.mount;
        Ok((self.history.upload_folder(path, mount)?, mount))
    }

    /// The uploads that come in chunks.
    pub fn chunks(&self) -> Chunks<'_> {
        Chunks::on(&self.disk)
    }

    /// Whether other file systems are mounted in the folder of this name.
    pub fn holds_mounts(&self, site: &Site) -> Result<bool> {
        self.disk.has_mounts_below(&site.parent, &site.name)
    }

    /// What a person should hear of, since this was last asked.
    pub fn take_notices(&self) -> Vec<Notice> {
        let mut notices = std::mem::take(&mut *self.notices.lock());
        notices.extend(self.history.take_notices());
        notices
    }

    /// Ends in good order: if no commit is under way and nothing is left to be looked at, the next start has nothing to recover.
    pub fn close(&self) -> Result<()> {
        self.history.ends_running()
    }

    /// Remembers something that a person should hear of.
    pub fn notice(&self, notice: Notice) {
        self.notices.lock().push(notice);
    }
}
