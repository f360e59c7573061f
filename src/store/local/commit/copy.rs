//! The commit of copies: COPY, and MOVE of a file to another file system.
//!
//! [`Tree::stage_copy`] makes the copy where nobody sees it, with no mutex held, however long that takes; [`Claim::put_copy`] makes it appear,
//! whole and in one step, in place of what was seen. What was changed while it was being copied is copied again, and then given up.

use std::fmt;
use std::time::Duration;

use crate::model::extent::Extent;
use crate::model::keep_rule::Room;
use crate::model::path::{Name, SharePath};
use crate::model::stamp::{FileId, Stamp, Timestamp};

use super::super::history::relative;
use super::super::spelling::LastLink;
use super::super::staging::{Staged, StagedTree, Staging, must_be_wanted};
use super::super::trees::each_entry;
use super::Tree;
use super::claim::Claim;
use super::relocate::Entered;
use super::relocate::{OnMismatches, Pair};
use super::seen::Seen;
use super::site::Site;
use super::swap::{Changed, HeldLease, OnMismatch, Swap, failed, failure};
use crate::store::disk_error::{Cause, DiskError, Result};
use crate::store::handle::{Dir, File, Opened};
use crate::store::status::{Entry, Kind, Status};

/// How often a file is copied that changes meanwhile.
const ATTEMPTS_MAX: usize = 3;

/// How much the paths of folders that are still to be copied may take, in bytes.
const PENDING_BYTES_MAX: usize = 16 << 20;

/// What the content of a file is counted in, in bytes: the blocks of most file systems.
const BLOCK: u64 = 4096;

/// What the folders of noclobber's own take that may have to be made for a copy, and the name of it.
const OWN_FOLDERS: Room = Room { bytes: 3 * BLOCK, files: 3 };

/// How many folders that were left out are told of.
const LEFT_OUT_MAX: usize = 1000;

/// What is to be copied of what is at a path.
pub struct CopyWish<'a> {
    /// How much of a folder.
    pub extent: Extent,
    /// Asked before each piece: a copy that nobody wants any more ends.
    pub is_wanted: &'a dyn Fn() -> bool,
    /// Whether a member of a folder is in the copy, by its path, and whether a link leads there.
    pub is_included: &'a dyn Fn(&SharePath, bool) -> Included,
}

/// Whether something is in a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Included {
    /// It is.
    Yes,
    /// It is not, as if it were not there.
    No,
    /// It may not be, and so nothing is copied.
    Refused,
}

impl CopyWish<'_> {
    /// All of it, for as long as it takes.
    pub fn everything(extent: Extent) -> Self {
        Self { extent, is_wanted: &|| true, is_included: &|_, _| Included::Yes }
    }
}

impl fmt::Debug for CopyWish<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyWish").field("extent", &self.extent).finish_non_exhaustive()
    }
}

/// A copy that nobody sees yet.
#[derive(Debug)]
pub enum StagedCopy {
    /// Of a file.
    File(FileCopy),
    /// Of a folder.
    Folder(FolderCopy),
}

/// A copy of a folder with what is in it.
#[derive(Debug)]
pub struct FolderCopy {
    tree: StagedTree,
    /// Folders that are served and were not copied, since links lead to them, perhaps back up: a thousand of them at most.
    pub left_out: Vec<SharePath>,
}

/// A copy of a file, which is committed like an upload.
#[derive(Debug)]
pub struct FileCopy {
    /// The copy.
    pub staged: Staged,
    /// The state of the file that it is a copy of.
    pub of: Stamp,
}

/// What came of staging a copy.
#[derive(Debug)]
pub enum Copying {
    /// It is complete, and on the disk.
    Ready(Box<StagedCopy>),
    /// Nothing is there to be copied.
    Nothing,
    /// A file was written again and again while it was being copied.
    Busy,
    /// A link that is not followed.
    Link,
    /// A pipe, a socket or a device.
    Special,
}

/// What a copy of a folder has of one of its members.
enum Copied {
    /// Nothing: it is none that is served.
    Nothing,
    /// Nothing: a link leads to this folder.
    LinkedFolder,
    /// A folder, with its own members.
    Folder,
    /// A file, if it is one.
    File,
}

/// What became of one file in a folder.
#[derive(Debug, PartialEq, Eq)]
enum CopiedMember {
    Copied,
    /// It has gone meanwhile, or is none that is served.
    LeftOut,
    Busy,
}

impl Tree {
    /// Makes a copy of what is at `source` for the name `target`, on the file system of the latter.
    ///
    /// A copy has the content, the attributes and the date of its source. Of a folder everything that is served is copied: files, folders
    /// with their attributes, and files that a followed link leads to; other links, pipes and devices, and noclobber's own folder are not.
    /// Which folders links lead to is told.
    /// It takes memory for the folders that are still to be copied, and no more than [`Cause::TooLarge`] allows. It ends with
    /// [`Cause::Unwanted`], and leaves nothing behind, when nobody wants it any more.
    pub fn stage_copy(&self, source: &SharePath, target: &Site, wish: &CopyWish<'_>) -> Result<Copying> {
        let root = self.disk.root()?;
        let open = || match self.site_below(&root, source)? {
            Some(site) => self.disk.open(&site.parent, &site.name),
            None => self.disk.dir_status(&root).map(Opened::Dir),
        };
        for _ in 0..ATTEMPTS_MAX {
            match self.read_consistent(source, open)? {
                Opened::Nothing => return Ok(Copying::Nothing),
                Opened::Link => return Ok(Copying::Link),
                Opened::Special => return Ok(Copying::Special),
                Opened::Dir(_) => return self.stage_folder(source, target, wish),
                Opened::File(file, status) => {
                    let uploads = || self.history.upload_folder(&target.path, target.mount);
                    let mut staging = Staging::begin(&self.disk, (&target.parent, target.folder), uploads)?;
                    self.let_settle(&status.stamp, source)?;
                    staging.copy_from(&file, wish.is_wanted)?;
                    staging.inherits_from(&target.parent);
                    if self.was_steady(&file, &status.stamp)? {
                        let staged = staging.seal(Some(&file), status.stamp.mtime)?;
                        let copy = StagedCopy::File(FileCopy { staged, of: status.stamp });
                        return Ok(Copying::Ready(Box::new(copy)));
                    }
                }
            }
        }
        Ok(Copying::Busy)
    }

    fn stage_folder(&self, source: &SharePath, target: &Site, wish: &CopyWish<'_>) -> Result<Copying> {
        let disk = &self.disk;
        let top = disk.open_dir(&disk.root()?, source.as_bytes())?;
        let tree = StagedTree::begin(disk, self.history.upload_folder(&target.path, target.mount)?, &target.parent)?;
        let mut todo = vec![source.clone()];
        let (mut todo_bytes, mut left_out) = (0, Vec::new());
        while let Some(folder) = todo.pop() {
            let inside = relative(&folder, source);
            todo_bytes -= inside.len();
            let from = match disk.open_dir(&top, inside) {
                // It has gone meanwhile.
                Err(error) if error.cause == Cause::NotFound && !inside.is_empty() => {
                    tree.take_away_folder(inside)?;
                    continue;
                }
                opened => opened.map_err(|error| at(inside, error))?,
            };
            let to = tree.folder(inside, false)?;
            let mount = disk.dir_status(&from)?.mount;
            let mut busy = false;
            if wish.extent == Extent::Tree {
                each_entry(&**disk, &from, &mut |entry| {
                    must_be_wanted(wish.is_wanted)?;
                    let path = folder.join(&entry.name);
                    match self.what_is_copied(&from, mount, &path, &entry, wish)? {
                        _ if busy => {}
                        Copied::Nothing => {}
                        Copied::LinkedFolder => left_out.extend((left_out.len() < LEFT_OUT_MAX).then_some(path)),
                        Copied::Folder => {
                            todo_bytes += relative(&path, source).len();
                            if todo_bytes > PENDING_BYTES_MAX {
                                return Err(too_many(&entry.name));
                            }
                            // At once, so that nothing is made in a folder after it has its date.
                            tree.folder(relative(&path, source), true)?;
                            todo.push(path);
                        }
                        Copied::File => {
                            let copied = self.copy_member(&tree, &path, (&from, &to), &entry.name, wish.is_wanted);
                            busy = copied.map_err(|error| at(relative(&path, source), error))? == CopiedMember::Busy;
                        }
                    }
                    Ok(())
                })?;
            }
            if busy {
                return Ok(Copying::Busy);
            }
            tree.finish_folder(&from, &to)?;
        }
        Ok(Copying::Ready(Box::new(StagedCopy::Folder(FolderCopy { tree, left_out }))))
    }

    /// How much room a copy of what is at `source` takes, where no blocks are shared. It takes as much memory as the copy does, and ends as it
    /// does when nobody wants it any more.
    pub fn room_for_copy(&self, source: &SharePath, wish: &CopyWish<'_>) -> Result<Room> {
        let disk = &self.disk;
        let root = disk.root()?;
        let mut room = OWN_FOLDERS;
        let top = match disk.look_path(&root, source.as_bytes())? {
            Some(status) if status.kind == Kind::Dir => disk.open_dir(&root, source.as_bytes())?,
            Some(status) => return Ok(room + room_of_a_file(&status)),
            None => return Ok(room),
        };
        let mut todo = if wish.extent == Extent::Tree { vec![source.clone()] } else { Vec::new() };
        room += Room { bytes: BLOCK, files: 1 };
        let mut todo_bytes = 0;
        while let Some(folder) = todo.pop() {
            let inside = relative(&folder, source);
            todo_bytes -= inside.len();
            let from = disk.open_dir(&top, inside)?;
            let mount = disk.dir_status(&from)?.mount;
            each_entry(&**disk, &from, &mut |entry| {
                must_be_wanted(wish.is_wanted)?;
                let path = folder.join(&entry.name);
                match self.what_is_copied(&from, mount, &path, &entry, wish)? {
                    Copied::Nothing | Copied::LinkedFolder => {}
                    Copied::Folder => {
                        todo_bytes += relative(&path, source).len();
                        if todo_bytes > PENDING_BYTES_MAX {
                            return Err(too_many(&entry.name));
                        }
                        room += Room { bytes: BLOCK.max(entry.status.allocated), files: 1 };
                        todo.push(path);
                    }
                    Copied::File => room += room_of_a_file(&entry.status),
                }
                Ok(())
            })?;
        }
        Ok(room)
    }

    /// What a copy of a folder has of one of its members.
    fn what_is_copied(
        &self,
        dir: &Dir,
        mount: u64,
        path: &SharePath,
        entry: &Entry,
        wish: &CopyWish<'_>,
    ) -> Result<Copied> {
        let is_elsewhere = entry.is_linked || entry.status.mount != mount;
        let is_folder = |status: Status| status.kind == Kind::Dir;
        if entry.name.is_reserved() || is_elsewhere && self.spelled(path, LastLink::Followed).is_err() {
            return Ok(Copied::Nothing);
        }
        match (wish.is_included)(path, entry.is_linked) {
            Included::Yes => {}
            Included::No => return Ok(Copied::Nothing),
            Included::Refused => return Err(not_readable(&entry.name)),
        }
        Ok(if entry.is_linked && is_folder(entry.status) {
            Copied::LinkedFolder
        // A link to a folder is none: it may lead back up.
        } else if is_folder(entry.status) && self.disk.look(dir, &entry.name)?.is_some_and(is_folder) {
            Copied::Folder
        } else {
            Copied::File
        })
    }

    fn copy_member(
        &self,
        tree: &StagedTree,
        path: &SharePath,
        (from, to): (&Dir, &Dir),
        name: &Name,
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<CopiedMember> {
        for _ in 0..ATTEMPTS_MAX {
            let opened = self.read_consistent(path, || self.disk.open(from, name))?;
            let Opened::File(file, status) = opened else { return Ok(CopiedMember::LeftOut) };
            self.let_settle(&status.stamp, path)?;
            tree.copy_file((&file, &status), to, name, is_wanted)?;
            if self.was_steady(&file, &status.stamp)? {
                return Ok(CopiedMember::Copied);
            }
            tree.take_away(to, name)?;
        }
        Ok(CopiedMember::Busy)
    }

    /// Waits until a change made from now on would show in the stamp, where the clock is coarse that dates what is at a path.
    pub(super) fn let_settle(&self, stamp: &Stamp, path: &SharePath) -> Result<()> {
        let grain = self.time_grain(path);
        if !grain.is_zero() && self.clock(path)?.since(stamp.mtime.max(stamp.ctime)) <= grain {
            self.disk.wait(grain);
        }
        Ok(())
    }

    /// Whether nobody has written into a file since it had this stamp, nor can have without being noticed.
    pub(super) fn was_steady(&self, file: &File, before: &Stamp) -> Result<bool> {
        // Whoever has it mapped writable shows in the stamp late. A program that merely has it open does no harm.
        let lease = self.disk.lease(file, Duration::ZERO)?;
        let unchanged = self.disk.status(file)?.stamp == *before;
        drop(lease);
        Ok(unchanged)
    }
}

impl<'a> Claim<'a> {
    /// Gives a copy this name, in place of what was seen. A file over a file is an upload; anything else that is to be replaced is taken out
    /// first, and put back if the copy cannot take its place.
    pub fn put_copy(
        &self,
        seen: Seen,
        copy: &mut StagedCopy,
        on_mismatch: OnMismatch,
        now: Timestamp,
    ) -> Result<Swap<'a>> {
        match (seen, &mut *copy) {
            (Seen::Nothing, StagedCopy::File(file)) => self.create(&mut file.staged),
            (Seen::File(seen), StagedCopy::File(file)) => self.replace(seen, &mut file.staged, on_mismatch, now),
            (Seen::Nothing, StagedCopy::Folder(_)) => {
                let change = self.tree.mutexes.begin_write(&self.site.name);
                match self.enter_copy(copy)? {
                    Entered::Done(dirs) => self.tree.sync_all(&dirs)?,
                    _ => return Ok(Swap::Lost),
                }
                Ok(Swap::Done(Changed { _under_way: Some(change), ..Changed::default() }))
            }
            (seen, _) => {
                let incoming = copy.id();
                let lease = match &mut *copy {
                    StagedCopy::File(file) => file.staged.lease_once(),
                    StagedCopy::Folder(_) => None,
                };
                let mut swap = self.take_out_then(seen, incoming, on_mismatch, now, &mut |_| self.enter_copy(copy))?;
                // What was copied is known, also where it took the place of a folder.
                if let (Swap::Done(changed), StagedCopy::File(file)) = (&mut swap, &*copy) {
                    changed.stamp = self.stamp_if_unwritten(&file.staged, &lease);
                    changed.lease = HeldLease(lease);
                }
                Ok(swap)
            }
        }
    }

    /// Fails if nothing may be changed where this is. It is asked before the first of two steps, so that the second does not fail.
    fn must_be_removable(&self, now: Timestamp) -> Result<()> {
        let (disk, history) = (&self.tree.disk, &self.tree.history);
        if disk.abilities(&self.site.parent)?.nameless {
            disk.create_nameless(&self.site.parent)?;
        }
        history.place(&self.site.path, self.site.mount, now).map(drop)
    }

    /// Undoes a copy that was put here: it becomes a version, and what it had displaced comes back. Says whether all is as it was, or as
    /// programs have changed it since: they may have made the copy their own, and then it stays.
    fn take_back(&self, changed: &Changed<'_>, copy: &StagedCopy, replaces: bool, now: Timestamp) -> Result<bool> {
        if replaces && changed.displaced.is_none() {
            return Err(failed(
                "move",
                &self.site.name,
                "the source stays, and nothing is kept of what was at the target",
            ));
        }
        let copied = self.look()?;
        let is_untouched = match (&copied, copy) {
            (Seen::File(seen), StagedCopy::File(file)) => seen.status.stamp.same_content_as(file.staged.sealed()),
            _ => false,
        };
        if !is_untouched || !matches!(self.remove(copied, OnMismatch::Undo, now)?, Swap::Done(_)) {
            return Ok(false);
        }
        let displaced = match &changed.displaced {
            Some(id) => self.tree.history.find_displaced(&self.site.path, id)?,
            None => None,
        };
        displaced.map_or(Ok(()), |version| self.bring_back(&version).map(drop))?;
        Ok(true)
    }

    /// Whether the name leads to this file.
    fn leads_to(&self, file: FileId) -> Result<bool> {
        let there = self.tree.disk.look(&self.site.parent, &self.site.name)?;
        Ok(there.is_some_and(|there| there.stamp.id == file))
    }

    fn enter_copy(&self, copy: &mut StagedCopy) -> Result<Entered> {
        let (dir, name) = (&self.site.parent, &self.site.name);
        let (named, dirs) = match copy {
            StagedCopy::File(file) => (file.staged.name_publicly(dir, name), vec![dir.clone()]),
            // First where it was made: a tree that is at both places after a power cut would be swept from both.
            StagedCopy::Folder(FolderCopy { tree, .. }) => {
                (tree.name_publicly(dir, name), vec![tree.made_in().clone(), dir.clone()])
            }
        };
        match named {
            Ok(()) => Ok(Entered::Done(dirs)),
            Err(error) if error.cause == Cause::Exists => Ok(Entered::Lost),
            Err(error) => Err(error),
        }
    }
}

impl<'a> Pair<'a> {
    /// Moves a file to another file system: its copy takes the target's name, and then the source is removed like by a DELETE, so that it
    /// is a version of the source's path. If it has changed since it was copied, [`Swap::Lost`]: copy it again.
    pub fn relocate_copy(
        &self,
        source: Seen,
        target: Seen,
        copy: &mut StagedCopy,
        on_mismatches: OnMismatches,
        now: Timestamp,
    ) -> Result<Swap<'a>> {
        let (Seen::File(seen), StagedCopy::File(file)) = (&source, &*copy) else { return Ok(Swap::Lost) };
        if seen.status.stamp != file.of {
            return Ok(Swap::Lost);
        }
        self.source().must_be_removable(now)?;
        let (of, replaces) = (file.of, !matches!(target, Seen::Nothing));
        let at_source = self.source().tree.mutexes.begin_write(&self.source().site.name);
        let mut changed = match self.target().put_copy(target, copy, on_mismatches.target, now)? {
            Swap::Done(changed) => changed,
            swap => return Ok(swap),
        };
        let removed = self.source().remove(source, OnMismatch::Undo, now);
        // Whatever else has the source's name by now came later, and stays. The file that was copied does not: it has been written into, or
        // is about to be, and nobody may believe it moved.
        if !matches!(removed, Ok(Swap::Done(_))) && self.source().leads_to(of.id).map_err(failure)? {
            let is_as_before = self.target().take_back(&changed, copy, replaces, now).map_err(failure)?;
            return if is_as_before { removed } else { removed.and(Ok(Swap::Spoilt)) };
        }
        removed.map_err(failure)?;
        changed._under_way_too = Some(at_source);
        Ok(Swap::Done(changed))
    }
}

impl StagedCopy {
    fn id(&self) -> FileId {
        match self {
            Self::File(file) => file.staged.id(),
            Self::Folder(folder) => folder.tree.id(),
        }
    }
}

/// What cannot be read in a folder is told by its path in there.
fn at(inside: &[u8], error: DiskError) -> DiskError {
    match error.cause {
        Cause::NotReadable => DiskError { name: String::from_utf8_lossy(inside).into_owned(), ..error },
        _ => error,
    }
}

fn room_of_a_file(status: &Status) -> Room {
    let bytes = if status.kind == Kind::File { status.stamp.size.next_multiple_of(BLOCK) } else { 0 };
    Room { bytes, files: 1 }
}

fn not_readable(name: &Name) -> DiskError {
    let message = "whoever asked may not read it".to_owned();
    DiskError { operation: "copy", name: name.to_text().into_owned(), cause: Cause::NotReadable, message }
}

fn too_many(name: &Name) -> DiskError {
    let message = "too many folders are in one folder to be copied at once".to_owned();
    DiskError { operation: "copy", name: name.to_text().into_owned(), cause: Cause::TooLarge, message }
}
