//! The seam to the disk: its primitives, each with its exact guarantee.
//!
//! The real one is `OsDisk`; the tests bring a simulated one, on which every call can fail, crash, or be followed by a
//! stranger's write. So whatever the commit does to the disk, it does through here, one call a step. A call takes a directory
//! handle and one name, never a path string (but for [`Disk::open_dir`], which resolves beneath its starting point).

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use crate::model::path::{Name, SharePath};
use crate::model::stamp::Timestamp;
use crate::store::abilities::Abilities;
use crate::store::handle::{Dir, File, Opened};
use crate::store::lease::Leased;
use crate::store::space::Space;
use crate::store::status::{Entry, Status};

use crate::store::disk_error::Result;

/// Whether a folder takes names for one that are written in different ways: capitals for small letters, composed characters for
/// decomposed ones, short names for long ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folding {
    /// It never does.
    Never,
    /// It may: other spellings of a name have to be tried.
    Perhaps,
    /// Its file system does, and may know more spellings than one can think of.
    Always,
}

/// A folder that is being watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchId(pub i32);

/// What has happened in the folders that are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FolderChange<'a> {
    /// Something may be otherwise at this name. Where it is `#` and a number, that may also be the inode number of a file which had no name when it
    /// was opened, whatever it is called now.
    At(WatchId, &'a [u8]),
    /// The watch has ended by itself: the folder was removed, or its file system unmounted.
    Ended(WatchId),
    /// Word was lost: anything may be otherwise in all of them.
    Lost,
}

/// The primitives. Every one is a single step as far as other programs and crashes are concerned, except where it says otherwise.
pub trait Disk: Send + Sync + fmt::Debug {
    /// What the file system of the share's top can do.
    fn top_abilities(&self) -> Abilities;

    /// What the file system can do that a folder is on. One that is mounted in the share is tried when this is first asked of it.
    fn abilities(&self, at: &Dir) -> Result<Abilities>;

    /// Whether anything that was looked at lies on another mount than the share's top.
    fn has_other_mounts(&self) -> bool;

    /// The top of the share. Fails with [`Cause::NotFound`](crate::store::disk_error::Cause::NotFound) while the folder is not there (it was removed or unmounted).
    fn root(&self) -> Result<Dir>;

    /// As [`Disk::root`], which may go by what it saw a moment ago; this always looks, so that no change goes to a folder that is gone.
    fn root_afresh(&self) -> Result<Dir>;

    /// Opens the directory that `path` (names joined by slashes; empty: `from` itself) leads to, never leaving the share
    /// (`openat2` with `RESOLVE_BENEATH`), nor following links unless the share does.
    fn open_dir(&self, from: &Dir, path: &[u8]) -> Result<Dir>;

    /// Looks at a directory by its handle.
    fn dir_status(&self, dir: &Dir) -> Result<Status>;

    /// Looks at one name, not following a link; `None` where nothing has it.
    fn look(&self, at: &Dir, name: &Name) -> Result<Option<Status>>;

    /// Looks at what a whole path beneath `from` names, by the walk of [`Disk::open_path`]; `None` where that finds nothing, or leads out
    /// of the share or over a link that is not to be followed. Nothing is opened.
    fn look_path(&self, from: &Dir, path: &[u8]) -> Result<Option<Status>>;

    /// Whether what a path leads to has no other path: it lies on the mount of the share's top, which takes names as they are, and no links
    /// are followed.
    fn has_one_path(&self, found: &Status) -> bool;

    /// Whether no other path beneath `from` can lead to the same as `path`: it is there just as it is written, or its folder is, and by
    /// [`Disk::has_one_path`] that has no other.
    fn is_the_only_path(&self, from: &Dir, path: &SharePath) -> Result<bool>;

    /// Whether a folder takes names for one that are written in different ways.
    fn folding(&self, dir: &Dir) -> Folding;

    /// Where a link leads that is to be followed, as it is written; `None` where none is followed, or this is none.
    fn link_target(&self, at: &Dir, name: &Name) -> Result<Option<Box<[u8]>>>;

    /// Calls `each` for every name in a directory, in no order, until it breaks. Nothing is looked at. Not a single step.
    fn names(&self, dir: &Dir, each: &mut dyn FnMut(Name) -> std::ops::ControlFlow<()>) -> Result<()>;

    /// Opens a regular file for reading, without waiting and without touching anything that is not a regular file.
    fn open(&self, at: &Dir, name: &Name) -> Result<Opened>;

    /// As [`Disk::open`], for a whole path beneath `from`, in one step.
    fn open_path(&self, from: &Dir, path: &[u8]) -> Result<Opened>;

    /// Looks at an open file.
    fn status(&self, file: &File) -> Result<Status>;

    /// Reads from an open file; 0 at its end.
    fn read(&self, file: &File, offset: u64, into: &mut [u8]) -> Result<usize>;

    /// Calls `each` for every entry of a directory, in no order, until it says [`std::ops::ControlFlow::Break`]. Memory does not
    /// grow with the directory. Entries that vanish on the way are left out. Not a single step.
    fn list(&self, dir: &Dir, each: &mut dyn FnMut(Entry) -> std::ops::ControlFlow<()>) -> Result<()>;

    /// What [`Disk::list`] would tell of one name; `None` where nothing has it.
    fn entry(&self, dir: &Dir, name: &Name) -> Result<Option<Entry>>;

    /// Begins to watch the members of a directory (inotify(7)); the same watch for each way to the same directory. `None` where none is to be
    /// had, or the system would not be told of what is changed there: behind another program, by another machine, in a layer below.
    ///
    /// Not told even so is what changes a file without its name: a write by another of its names, through a mapping, by `io_submit(2)`, by
    /// its handle or as a loop device; and what happens inside a folder in the directory, which moves that folder's dates.
    fn watch(&self, dir: &Dir) -> Option<WatchId>;

    /// Ends a watch. What was told of it before may still come.
    fn unwatch(&self, watch: WatchId);

    /// Calls `each` for all that had happened in the watched directories when this was called, in order, and perhaps for some of what has happened
    /// since. Each change is told once, so that one thread at a time has to ask.
    fn changes(&self, each: &mut dyn FnMut(FolderChange<'_>));

    /// Begins a file without a name on the file system of `at`, open for writing (`O_TMPFILE`). [`Cause::Unsupported`](crate::store::disk_error::Cause::Unsupported) where
    /// that is not to be had.
    fn create_nameless(&self, at: &Dir) -> Result<File>;

    /// Begins a file of this name, open for writing; [`Cause::Exists`](crate::store::disk_error::Cause::Exists) if the name is taken (`O_EXCL`).
    fn create_named(&self, at: &Dir, name: &Name) -> Result<File>;

    /// Opens a file of noclobber's own once more, to write it on and to read it; [`Cause::NotFound`](crate::store::disk_error::Cause::NotFound)
    /// if no regular file has the name.
    fn open_to_write(&self, at: &Dir, name: &Name) -> Result<File>;

    /// Cuts a file that is being written to so many bytes, or makes it as long with zeros (ftruncate(2)).
    fn cut(&self, file: &File, bytes: u64) -> Result<()>;

    /// Sets room aside for these bytes of a file, so that a full disk says so now (`fallocate` with `KEEP_SIZE`). Does nothing where that is
    /// not to be had.
    fn reserve(&self, file: &File, bytes: Range<u64>) -> Result<()>;

    /// Writes all of `bytes` at `offset`. Not a single step.
    fn write(&self, file: &File, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Makes `to` share all of `from`'s blocks (`FICLONE`); [`Cause::Unsupported`](crate::store::disk_error::Cause::Unsupported) where they must be copied.
    fn share_blocks(&self, from: &File, to: &File) -> Result<()>;

    /// Gives `to` the mode (without set-user-ID and set-group-ID), owner, access control list and user attributes of `from`, as
    /// far as this user may. Not a single step, and done before anybody sees `to`.
    fn copy_attributes(&self, from: &File, to: &File) -> Result<()>;

    /// As [`Disk::copy_attributes`], of one directory to another.
    fn copy_dir_attributes(&self, from: &Dir, to: &Dir) -> Result<()>;

    /// Gives `to` the group of a folder that hands its group on (set-group-ID, inode(7)), as far as this user may; else does nothing.
    fn inherit_group(&self, folder: &Dir, to: &File) -> Result<()>;

    /// As [`Disk::inherit_group`], for a folder, which then hands it on as well.
    fn inherit_dir_group(&self, folder: &Dir, to: &Dir) -> Result<()>;

    /// Sets the modification time of a directory.
    fn set_dir_mtime(&self, dir: &Dir, mtime: Timestamp) -> Result<()>;

    /// Sets the modification time.
    fn set_mtime(&self, file: &File, mtime: Timestamp) -> Result<()>;

    /// Sets the permissions, the lower nine mode bits.
    fn set_permissions(&self, file: &File, bits: u32) -> Result<()>;

    /// Brings an open file's bytes and metadata to the disk. After an error the handle must not be synced again.
    fn sync_file(&self, file: &File) -> Result<()>;

    /// Brings a directory's names to the disk.
    fn sync_dir(&self, dir: &Dir) -> Result<()>;

    /// Brings all that changed on the file system of `dir` to the disk (syncfs(2)): some count what was removed as free only then.
    fn sync_file_system(&self, dir: &Dir) -> Result<()>;

    /// Turns a file that was written into one that is only read, closing the writing handle for good, so that a lease on it can
    /// be had.
    fn finish_writing(&self, file: File) -> Result<File>;

    /// Gives an open file one more name, if it is free; [`Cause::Exists`](crate::store::disk_error::Cause::Exists) if not. [`Cause::Unsupported`](crate::store::disk_error::Cause::Unsupported) where there are no links.
    fn link(&self, file: &File, at: &Dir, name: &Name) -> Result<()>;

    /// Renames, if the new name is free; [`Cause::Exists`](crate::store::disk_error::Cause::Exists) if not (`RENAME_NOREPLACE`). [`Cause::Unsupported`](crate::store::disk_error::Cause::Unsupported) where that is not to be
    /// had.
    fn rename_new(&self, from: (&Dir, &Name), to: (&Dir, &Name)) -> Result<()>;

    /// Renames over whatever has the new name. Only for file systems that have no better.
    fn rename_over(&self, from: (&Dir, &Name), to: (&Dir, &Name)) -> Result<()>;

    /// Exchanges two names in one step; [`Cause::NotFound`](crate::store::disk_error::Cause::NotFound) if either is missing (`RENAME_EXCHANGE`).
    fn exchange(&self, one: (&Dir, &Name), other: (&Dir, &Name)) -> Result<()>;

    /// Makes a directory; [`Cause::Exists`](crate::store::disk_error::Cause::Exists) if the name is taken. `private`: mode 0700, else as the umask has it.
    fn make_dir(&self, at: &Dir, name: &Name, private: bool) -> Result<()>;

    /// Takes the rights to a directory from everybody but its owner (mode 0700).
    fn make_private(&self, dir: &Dir) -> Result<()>;

    /// The user this process acts as (geteuid(2)).
    fn user(&self) -> u32;

    /// Removes a name of a file.
    fn unlink(&self, at: &Dir, name: &Name) -> Result<()>;

    /// Removes an empty directory.
    fn remove_dir(&self, at: &Dir, name: &Name) -> Result<()>;

    /// Whether other file systems are mounted below the folder of this name: a rename would take them along.
    fn has_mounts_below(&self, at: &Dir, name: &Name) -> Result<bool>;

    /// Asks for a read lease, again and again until `patience` runs out. Never twice on a handle that held one.
    fn lease(&self, file: &File, patience: Duration) -> Result<Leased>;

    /// How much room there is where `dir` lies.
    fn space(&self, dir: &Dir) -> Result<Space>;

    /// What the file system's own clock says at `dir`: the time a change made now would carry.
    fn clock(&self, dir: &Dir) -> Result<Timestamp>;

    /// Lets so much of the clock's time pass.
    fn wait(&self, while_: Duration);
}
