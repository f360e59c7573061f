//! The disk as Linux gives it: each primitive of [`Disk`] by as few system calls as it takes.
//!
//! Every path is resolved beneath a directory handle (`openat2`), pipes and devices are never opened, and every descriptor is
//! closed on exec. It holds no lock over anything but its own root, and remembers nothing about the files.

mod attributes;
mod errno;
mod file_systems;
mod handle;
mod mounts;
mod probe;
mod resolver;
mod share_lock;
mod status;
mod top;
mod walk;
mod watches;
mod write_out;

use std::ops::{ControlFlow, Range};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, FallocateFlags, Mode, OFlags, RenameFlags, Statx, StatxAttributes, StatxFlags};
use rustix::io::{Errno, retry_on_intr};
use rustix::path::DecInt;

use super::disk::{Disk, FolderChange, Folding, WatchId};
use super::lease;
use crate::model::path::{Name, SharePath};
use crate::model::stamp::{FileId, Stamp, Timestamp};
use crate::store::abilities::{Abilities, Tier};
use crate::store::disk_error::{Cause, DiskError, Result};
use crate::store::handle::{Dir, File, Opened};
use crate::store::lease::Leased;
use crate::store::share_identity::ShareIdentity;
use crate::store::space::Space;
use crate::store::status::{Entry, Kind, Status};
use errno::{failed, failed_to_resolve, no_name, reached, refused};
use file_systems::FileSystems;
use handle::{Handle, create, fd, handle_of, openat_again, set_mode_of_new_dir, set_mtime_of, sync};
use resolver::Resolver;
use status::{ASKED, device_of, kind_of, mount_number, timestamp};
use top::{Top, mount_of};
use watches::Watches;

pub use resolver::FollowLinks;
pub use share_lock::FolderLock;

/// How an [`OsDisk`] is to behave.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether links are followed.
    pub links: FollowLinks,
    /// The highest tier to show, whatever the file system could do.
    pub at_most: Option<Tier>,
    /// The grain of the clock to show and to keep, whatever the file system could do.
    pub time_grain: Option<Duration>,
    /// Whether syncing really syncs. Without it a power cut loses what was answered; it is for measuring.
    pub syncs: bool,
    /// The permissions of new files; `None`: 0666 without what the umask takes, or what the folder's default list says.
    pub file_mode: Option<u32>,
    /// The permissions of new folders that clients see; `None`: 0777 in the same way.
    pub dir_mode: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            links: FollowLinks::Never,
            at_most: None,
            time_grain: None,
            syncs: true,
            file_mode: None,
            dir_mode: None,
        }
    }
}

/// A folder on a Linux file system.
#[derive(Debug)]
pub struct OsDisk {
    options: Options,
    top: Top,
    /// Those that are mounted inside.
    others: FileSystems,
    resolver: Resolver,
    watches: Watches,
}

impl OsDisk {
    /// Opens the folder and finds out what its file system can do.
    ///
    /// Nothing new is left in the folder. On file systems whose abilities are not known beforehand, some names are tried for an
    /// instant in a private folder below `.noclobber`.
    pub fn open(folder: &Path, options: Options) -> Result<Self> {
        lease::ignore_lease_signal();
        lease::ignore_size_signal();
        let (top, resolver) = (Top::open(folder)?, Resolver { links: options.links });
        Ok(Self { options, top, others: FileSystems::default(), resolver, watches: Watches::default() })
    }

    /// Locks the folder, so that only one process serves it. Fails with [`Cause::InUse`] if another one does already, or serves a folder in
    /// it or above it. What is above a folder that may not be read is not found out, nor is another place where a part of it is mounted.
    /// The lock ends with this value.
    pub fn lock_share(&self) -> Result<FolderLock> {
        self.top.lock()
    }

    /// Which share this is, for what is kept of it elsewhere.
    pub fn share_identity(&self) -> Result<ShareIdentity> {
        self.top.identity()
    }

    fn follows(&self) -> bool {
        self.resolver.follows()
    }

    /// Opens a regular file by three calls. Looking first keeps pipes and devices from being opened, but for one that takes
    /// the place of a regular file in between; that one is not waited for, and is closed untouched.
    fn open_at(&self, from: &Dir, path: &[u8]) -> Result<Opened> {
        let failed = |errno| failed_to_resolve("open", path, errno);
        // A link on the way may lead anywhere, so that only a name in this very folder is looked at without a walk.
        let guard =
            |at| rustix::fs::statx(at, path, AtFlags::NO_AUTOMOUNT | AtFlags::SYMLINK_NOFOLLOW, StatxFlags::TYPE);
        if path.contains(&b'/') {
            return self.open_warily(from, path);
        }
        match guard(fd(&from.0)?) {
            Ok(found) if kind_of(&found) == Kind::File => {}
            Err(Errno::NOENT) => return Ok(Opened::Nothing),
            _ => return self.open_warily(from, path),
        }
        match self.resolver.resolve(from, path, self.reading_flags()) {
            Ok(opened) => {
                let status = self.status_of(opened.as_fd()).map_err(failed)?;
                if status.kind == Kind::File {
                    return Ok(Opened::File(Handle::file(opened), status));
                }
            }
            Err(Errno::NOENT | Errno::NOTDIR | Errno::NXIO | Errno::LOOP | Errno::XDEV | Errno::IO | Errno::STALE) => {}
            Err(errno) => return Err(failed(errno)),
        }
        self.open_warily(from, path)
    }

    /// Finds out what a name is by a handle that opens nothing (`O_PATH`), and opens that if it is a regular file.
    fn open_warily(&self, from: &Dir, path: &[u8]) -> Result<Opened> {
        let failed = |errno| failed_to_resolve("open", path, errno);
        let flags = if self.follows() { OFlags::PATH } else { OFlags::PATH | OFlags::NOFOLLOW };
        // A handle that opens nothing may be had of a name that the kernel only remembers: its status tells whether that is still there. If it is
        // not, something else may have just come in its place.
        let look = || {
            let found = self.resolver.resolve(from, path, flags)?;
            match self.status_of(found.as_fd()) {
                Ok(status) => Ok(Some((found, status))),
                Err(Errno::NOENT) => Ok(None),
                Err(errno) => Err(errno),
            }
        };
        let found = match afresh(look) {
            Ok(None) => afresh(look),
            found => found,
        };
        let (found, status) = match found {
            Ok(Some(found)) => found,
            Err(Errno::LOOP | Errno::XDEV) => return Ok(Opened::Link),
            Ok(None) | Err(Errno::NOENT | Errno::NOTDIR) => return self.nothing_or_link(from, path),
            Err(errno) => return Err(failed(errno)),
        };
        Ok(match status.kind {
            Kind::Dir => Opened::Dir(status),
            Kind::Link => Opened::Link,
            Kind::Special => Opened::Special,
            Kind::File => {
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
                Opened::File(Handle::file(self.open_again(found.as_fd(), flags).map_err(failed)?), status)
            }
        })
    }

    /// Nothing lies at the end of this path; a link that leads nowhere may.
    fn nothing_or_link(&self, from: &Dir, path: &[u8]) -> Result<Opened> {
        if !self.follows() {
            return Ok(Opened::Nothing);
        }
        let found = self.resolver.resolve(from, path, OFlags::PATH | OFlags::NOFOLLOW);
        let is_link = found.is_ok_and(|found| self.status_of(found.as_fd()).is_ok_and(|it| it.kind == Kind::Link));
        Ok(if is_link { Opened::Link } else { Opened::Nothing })
    }

    fn reading_flags(&self) -> OFlags {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        if self.follows() { flags } else { flags | OFlags::NOFOLLOW }
    }

    fn open_again(&self, fd: BorrowedFd<'_>, flags: OFlags) -> std::result::Result<OwnedFd, Errno> {
        openat_again(self.top.handles.as_fd(), DecInt::from_fd(fd).as_c_str(), flags)
    }

    /// What a listing tells of a name; nothing if it has vanished meanwhile.
    fn entry_of(&self, dir: &Dir, name: Name) -> Result<Option<Entry>> {
        let status = match self.look_with(dir, &name, AtFlags::empty()) {
            Ok(Some(status)) => status,
            Ok(None) => return Ok(None),
            Err(error) if error.cause == Cause::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if status.kind != Kind::Link || !self.follows() {
            return Ok(Some(Entry { name, status, is_linked: false }));
        }
        let target = self.resolver.resolve(dir, name.as_bytes(), OFlags::PATH);
        let target = target.and_then(|target| self.status_of(target.as_fd()));
        let is_linked = target.is_ok();
        Ok(Some(Entry { name, status: target.unwrap_or(status), is_linked }))
    }

    fn look_with(&self, at: &Dir, name: &Name, also: AtFlags) -> Result<Option<Status>> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | also;
        let at = fd(&at.0)?;
        match afresh(|| rustix::fs::statx(at, name.as_bytes(), flags, ASKED)) {
            Ok(found) => Ok(Some(self.status_from(&found, || {
                let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                rustix::fs::openat(at, name.as_bytes(), flags, Mode::empty()).ok()
            }))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(failed("look at", name.as_bytes(), errno)),
        }
    }

    fn rename(
        &self,
        operation: &'static str,
        from: (&Dir, &Name),
        to: (&Dir, &Name),
        flags: RenameFlags,
    ) -> Result<()> {
        let (one, other) = (fd(&from.0.0)?, fd(&to.0.0)?);
        match rustix::fs::renameat_with(one, from.1.as_bytes(), other, to.1.as_bytes(), flags) {
            Ok(()) => Ok(()),
            Err(Errno::INVAL)
                if self.look(from.0, from.1).is_ok_and(|it| it.is_some_and(|it| it.kind == Kind::Dir)) =>
            {
                Err(DiskError { cause: Cause::WithinItself, ..failed(operation, from.1.as_bytes(), Errno::INVAL) })
            }
            Err(errno) => Err(self.in_use_or_mounted(failed(operation, from.1.as_bytes(), errno), &[from, to])),
        }
    }

    /// `EBUSY` is said of what is in use, and of a mount point (rename(2), unlink(2), rmdir(2)).
    fn in_use_or_mounted(&self, error: DiskError, names: &[(&Dir, &Name)]) -> DiskError {
        let is_mount_point = |(dir, name): &(&Dir, &Name)| {
            self.look(dir, name).is_ok_and(|status| status.is_some_and(|status| status.is_mount_point))
        };
        if error.cause == Cause::InUse && names.iter().any(is_mount_point) {
            return DiskError { cause: Cause::MountPoint, ..error };
        }
        error
    }

    fn status_of(&self, fd: BorrowedFd<'_>) -> std::result::Result<Status, Errno> {
        // Another program or machine may keep the files: what the kernel remembers of them may be a second old.
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC;
        let again = || rustix::io::fcntl_dupfd_cloexec(fd, 0).ok();
        rustix::fs::statx(fd, c"", flags, ASKED).map(|found| self.status_from(&found, again))
    }

    /// What was `found`, and where: `open` opens it, if its file system was not met before.
    fn status_from(&self, found: &Statx, open: impl FnOnce() -> Option<OwnedFd>) -> Status {
        let has = |flag: StatxFlags| found.stx_mask & flag.bits() != 0;
        let born = has(StatxFlags::BTIME).then(|| timestamp(found.stx_btime));
        let device = device_of((found.stx_dev_major, found.stx_dev_minor));
        let mount = mount_number(found);
        let has_subvolumes =
            if self.top.is_on(mount) { self.top.has_subvolumes() } else { self.others.has_subvolumes(found, open) };
        Status {
            kind: kind_of(found),
            stamp: Stamp {
                id: FileId {
                    inode: found.stx_ino,
                    generation: born.map_or(0, |born| born.nanoseconds().cast_unsigned()),
                },
                size: found.stx_size,
                mtime: self.in_grains(timestamp(found.stx_mtime)),
                ctime: self.in_grains(timestamp(found.stx_ctime)),
            },
            mode: u32::from(found.stx_mode) & 0o7777,
            uid: found.stx_uid,
            gid: found.stx_gid,
            links: found.stx_nlink,
            allocated: found.stx_blocks.saturating_mul(512),
            mount: mount_of(mount, device, has_subvolumes),
            device,
            is_mount_point: found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT),
            born,
        }
    }

    /// Whether leases can be had where a file lies.
    fn gives_leases(&self, file: BorrowedFd<'_>) -> bool {
        let found = rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, ASKED);
        match found.map(|found| mount_number(&found)) {
            Ok(mount) if self.top.is_on(mount) => self.top_abilities().lease,
            Ok(mount) if let Some(abilities) = self.others.tried(mount) => self.shown(abilities).lease,
            _ => self.options.at_most.is_none_or(|tier| tier >= Tier::A) && probe::leases_are_sound(file),
        }
    }

    /// What is to be shown of what a file system can do.
    fn shown(&self, abilities: Abilities) -> Abilities {
        let abilities = self.options.at_most.map_or(abilities, |tier| abilities.at_most(tier));
        Abilities { time_grain: self.options.time_grain.unwrap_or(abilities.time_grain), ..abilities }
    }

    /// A time as a clock of the forced grain would have kept it.
    fn in_grains(&self, time: Timestamp) -> Timestamp {
        let Some(grain) = self.options.time_grain.and_then(|grain| i64::try_from(grain.as_nanos()).ok()) else {
            return time;
        };
        Timestamp::from_nanoseconds(time.nanoseconds().div_euclid(grain) * grain)
    }
}

impl Disk for OsDisk {
    fn root(&self) -> Result<Dir> {
        self.top.root()
    }

    fn root_afresh(&self) -> Result<Dir> {
        self.top.root_afresh()
    }

    fn top_abilities(&self) -> Abilities {
        self.shown(self.top.abilities())
    }

    fn abilities(&self, at: &Dir) -> Result<Abilities> {
        let (raw, handle) = (fd(&at.0)?, handle_of(&at.0)?);
        let failed = |errno| failed("find out what can be done in", b"", errno);
        let mount = match handle.mount.get() {
            Some(mount) => *mount,
            None => {
                let found = rustix::fs::statx(raw, c"", AtFlags::EMPTY_PATH, ASKED).map_err(failed)?;
                *handle.mount.get_or_init(|| mount_number(&found))
            }
        };
        if self.top.is_on(mount) {
            return Ok(self.top_abilities());
        }
        self.others.abilities(mount, raw, self.top.handles.as_fd()).map(|found| self.shown(found)).map_err(failed)
    }

    fn has_other_mounts(&self) -> bool {
        !self.others.is_empty()
    }

    fn open_dir(&self, from: &Dir, path: &[u8]) -> Result<Dir> {
        if path.is_empty() {
            return Ok(from.clone());
        }
        let (from, path) = self.resolver.within_reach(from, path)?;
        let opened = self
            .resolver
            .resolve(&from, path, OFlags::RDONLY | OFlags::DIRECTORY)
            .map_err(|errno| failed_to_resolve("open", path, errno))?;
        Ok(Dir(self.resolver.handle(opened, &from, path)))
    }

    fn dir_status(&self, dir: &Dir) -> Result<Status> {
        self.status_of(fd(&dir.0)?).map_err(|errno| failed("look at", b"", errno))
    }

    fn look(&self, at: &Dir, name: &Name) -> Result<Option<Status>> {
        self.look_with(at, name, AtFlags::STATX_FORCE_SYNC)
    }

    fn look_path(&self, from: &Dir, path: &[u8]) -> Result<Option<Status>> {
        if path.is_empty() {
            return self.dir_status(from).map(Some);
        }
        let (from, path) = match self.resolver.within_reach(from, path) {
            Ok(reached) => reached,
            Err(error) if matches!(error.cause, Cause::NotFound | Cause::NotADirectory | Cause::Escapes) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        // No link can be on the way to a name in this very folder.
        if !self.follows() && !path.contains(&b'/') {
            return self.look_with(
                &from,
                &Name::new(path).map_err(|error| no_name(path, error))?,
                AtFlags::STATX_FORCE_SYNC,
            );
        }
        let flags = if self.follows() { OFlags::PATH } else { OFlags::PATH | OFlags::NOFOLLOW };
        match afresh(|| self.resolver.resolve(&from, path, flags).and_then(|found| self.status_of(found.as_fd()))) {
            Ok(status) => Ok(Some(status)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => Ok(None),
            Err(errno) => Err(failed_to_resolve("look at", path, errno)),
        }
    }

    fn has_one_path(&self, found: &Status) -> bool {
        !self.follows() && self.top.has_one_path(found)
    }

    fn is_the_only_path(&self, from: &Dir, path: &SharePath) -> Result<bool> {
        let look = |path: &[u8]| match self.look_path(from, path) {
            Err(error) if error.cause == Cause::LongName => Ok(None),
            looked => looked,
        };
        if let Some(status) = look(path.as_bytes())? {
            return Ok(self.has_one_path(&status));
        }
        let Some((parent, _)) = path.split().filter(|_| path.as_bytes().is_ascii()) else { return Ok(false) };
        Ok(look(parent.as_bytes())?.is_some_and(|folder| folder.kind == Kind::Dir && self.has_one_path(&folder)))
    }

    fn folding(&self, dir: &Dir) -> Folding {
        fd(&dir.0).map_or(Folding::Perhaps, probe::folding)
    }

    fn link_target(&self, at: &Dir, name: &Name) -> Result<Option<Box<[u8]>>> {
        if !self.follows() {
            return Ok(None);
        }
        match rustix::fs::readlinkat(fd(&at.0)?, name.as_bytes(), Vec::new()) {
            Ok(target) => Ok(Some(target.into_bytes().into())),
            Err(Errno::INVAL | Errno::NOENT) => Ok(None),
            Err(errno) => Err(failed("read the link", name.as_bytes(), errno)),
        }
    }

    fn names(&self, dir: &Dir, each: &mut dyn FnMut(Name) -> ControlFlow<()>) -> Result<()> {
        walk::names(dir, each)
    }

    fn open(&self, at: &Dir, name: &Name) -> Result<Opened> {
        self.open_at(at, name.as_bytes())
    }

    fn open_path(&self, from: &Dir, path: &[u8]) -> Result<Opened> {
        if path.is_empty() {
            return self.dir_status(from).map(Opened::Dir);
        }
        match reached(self.resolver.within_reach(from, path))? {
            Some((from, path)) => self.open_at(&from, path),
            None => Ok(Opened::Nothing),
        }
    }

    fn status(&self, file: &File) -> Result<Status> {
        self.status_of(fd(&file.0)?).map_err(|errno| failed("look at", b"", errno))
    }

    fn read(&self, file: &File, offset: u64, into: &mut [u8]) -> Result<usize> {
        let file = fd(&file.0)?;
        retry_on_intr(|| rustix::io::pread(file, &mut *into, offset)).map_err(|errno| failed("read", b"", errno))
    }

    fn list(&self, dir: &Dir, each: &mut dyn FnMut(Entry) -> ControlFlow<()>) -> Result<()> {
        walk::walk(dir, &|name| self.entry_of(dir, name), each)
    }

    fn entry(&self, dir: &Dir, name: &Name) -> Result<Option<Entry>> {
        self.entry_of(dir, name.clone())
    }

    fn watch(&self, dir: &Dir) -> Option<WatchId> {
        self.watches.begin(fd(&dir.0).ok()?)
    }

    fn unwatch(&self, watch: WatchId) {
        self.watches.end(watch);
    }

    fn changes(&self, each: &mut dyn FnMut(FolderChange<'_>)) {
        self.watches.changes(each);
    }

    fn create_nameless(&self, at: &Dir) -> Result<File> {
        match create(fd(&at.0)?, b".", OFlags::TMPFILE, self.options.file_mode) {
            Ok(fd) => Ok(Handle::file(fd)),
            // What ext4 says of a folder that was removed.
            Err(Errno::PERM) if self.dir_status(at).is_ok_and(|status| status.links == 0) => {
                Err(failed("create a nameless file in", b"", Errno::NOENT))
            }
            // What kernels and file systems say that do not know O_TMPFILE (open(2)).
            Err(errno @ (Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOSYS)) => {
                Err(DiskError { cause: Cause::Unsupported, ..failed("create a nameless file in", b"", errno) })
            }
            Err(errno) => Err(failed("create a nameless file in", b"", errno)),
        }
    }

    fn create_named(&self, at: &Dir, name: &Name) -> Result<File> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let created = create(fd(&at.0)?, name.as_bytes(), flags, self.options.file_mode);
        created.map(Handle::file).map_err(|errno| failed("create", name.as_bytes(), errno))
    }

    fn open_to_write(&self, at: &Dir, name: &Name) -> Result<File> {
        let failed = |errno| failed("open", name.as_bytes(), errno);
        // What is a pipe is not waited for, and turned away below.
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let at = fd(&at.0)?;
        let opened = retry_on_intr(|| rustix::fs::openat(at, name.as_bytes(), flags, Mode::empty())).map_err(failed)?;
        match self.status_of(opened.as_fd()).map_err(failed)?.kind {
            Kind::File => Ok(Handle::file(opened)),
            _ => Err(failed(Errno::NOENT)),
        }
    }

    fn cut(&self, file: &File, bytes: u64) -> Result<()> {
        let file = fd(&file.0)?;
        retry_on_intr(|| rustix::fs::ftruncate(file, bytes)).map_err(|errno| failed("cut", b"", errno))
    }

    fn reserve(&self, file: &File, bytes: Range<u64>) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let file = fd(&file.0)?;
        let length = bytes.end - bytes.start;
        match retry_on_intr(|| rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, bytes.start, length)) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            Err(errno) => Err(failed("reserve room for", b"", errno)),
        }
    }

    fn write(&self, file: &File, mut offset: u64, mut bytes: &[u8]) -> Result<()> {
        let file = fd(&file.0)?;
        let whole = offset..offset + bytes.len() as u64;
        while !bytes.is_empty() {
            match retry_on_intr(|| rustix::io::pwrite(file, bytes, offset)) {
                Ok(0) => return Err(failed("write", b"", Errno::IO)),
                Ok(written) => {
                    bytes = &bytes[written..];
                    offset += written as u64;
                }
                Err(errno) => return Err(failed("write", b"", errno)),
            }
        }
        match write_out::completed(whole).filter(|_| self.options.syncs) {
            Some(stretch) => write_out::begin(file, stretch).map_err(|errno| failed("write", b"", errno)),
            None => Ok(()),
        }
    }

    fn share_blocks(&self, from: &File, to: &File) -> Result<()> {
        match rustix::fs::ioctl_ficlone(fd(&to.0)?, fd(&from.0)?) {
            Ok(()) => Ok(()),
            // None of them says more than that the blocks cannot be shared (ioctl_ficlonerange(2)).
            Err(
                errno @ (Errno::XDEV | Errno::INVAL | Errno::PERM | Errno::OPNOTSUPP | Errno::NOTTY | Errno::TXTBSY),
            ) => Err(DiskError { cause: Cause::Unsupported, ..failed("share the blocks of", b"", errno) }),
            Err(errno) => Err(failed("share the blocks of", b"", errno)),
        }
    }

    fn copy_attributes(&self, from: &File, to: &File) -> Result<()> {
        attributes::copy(fd(&from.0)?, fd(&to.0)?).map_err(|errno| failed("copy the attributes of", b"", errno))
    }

    fn copy_dir_attributes(&self, from: &Dir, to: &Dir) -> Result<()> {
        attributes::copy(fd(&from.0)?, fd(&to.0)?).map_err(|errno| failed("copy the attributes of", b"", errno))
    }

    fn inherit_group(&self, folder: &Dir, to: &File) -> Result<()> {
        attributes::inherit_group(fd(&folder.0)?, fd(&to.0)?)
            .map_err(|errno| failed("copy the attributes of", b"", errno))
    }

    fn inherit_dir_group(&self, folder: &Dir, to: &Dir) -> Result<()> {
        attributes::inherit_group(fd(&folder.0)?, fd(&to.0)?)
            .map_err(|errno| failed("copy the attributes of", b"", errno))
    }

    fn set_dir_mtime(&self, dir: &Dir, mtime: Timestamp) -> Result<()> {
        set_mtime_of(&dir.0, mtime)
    }

    fn set_mtime(&self, file: &File, mtime: Timestamp) -> Result<()> {
        set_mtime_of(&file.0, mtime)
    }

    fn set_permissions(&self, file: &File, bits: u32) -> Result<()> {
        let mode = Mode::from_raw_mode(bits & 0o777);
        rustix::fs::fchmod(fd(&file.0)?, mode).map_err(|errno| failed("set the permissions of", b"", errno))
    }

    fn sync_file(&self, file: &File) -> Result<()> {
        if !self.options.syncs {
            return Ok(());
        }
        sync(fd(&file.0)?).map_err(|errno| failed("sync", b"", errno))
    }

    fn sync_dir(&self, dir: &Dir) -> Result<()> {
        if !self.options.syncs {
            return Ok(());
        }
        match sync(fd(&dir.0)?) {
            // Some file systems have nothing to sync in a directory, and say so (fsync(2)).
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(errno) => Err(failed("sync a folder", b"", errno)),
        }
    }

    fn sync_file_system(&self, dir: &Dir) -> Result<()> {
        rustix::fs::syncfs(fd(&dir.0)?).map_err(|errno| failed("sync a file system", b"", errno))
    }

    fn finish_writing(&self, file: File) -> Result<File> {
        if Arc::strong_count(&file.0) != 1 {
            let message = "the handle it was written with is still held elsewhere";
            return Err(refused("finish writing", b"", Cause::InUse, message));
        }
        let reading = self.open_again(fd(&file.0)?, OFlags::RDONLY | OFlags::NOCTTY);
        reading.map(Handle::file).map_err(|errno| failed("finish writing", b"", errno))
    }

    fn link(&self, file: &File, at: &Dir, name: &Name) -> Result<()> {
        if !self.abilities(at)?.link {
            return Err(refused("link", name.as_bytes(), Cause::Unsupported, "not to be had here"));
        }
        // By its place in /proc, since linking an open file by its descriptor alone needs a privilege (linkat(2)).
        let (file, at) = (DecInt::from_fd(fd(&file.0)?), fd(&at.0)?);
        rustix::fs::linkat(&self.top.handles, file.as_c_str(), at, name.as_bytes(), AtFlags::SYMLINK_FOLLOW)
            .map_err(|errno| failed("link", name.as_bytes(), errno))
    }

    fn rename_new(&self, from: (&Dir, &Name), to: (&Dir, &Name)) -> Result<()> {
        if !self.abilities(to.0)?.no_replace {
            return Err(refused("rename", from.1.as_bytes(), Cause::Unsupported, "not to be had here"));
        }
        self.rename("rename", from, to, RenameFlags::NOREPLACE)
    }

    fn rename_over(&self, from: (&Dir, &Name), to: (&Dir, &Name)) -> Result<()> {
        self.rename("rename", from, to, RenameFlags::empty())
    }

    fn exchange(&self, one: (&Dir, &Name), other: (&Dir, &Name)) -> Result<()> {
        if !self.abilities(other.0)?.exchange {
            return Err(refused("exchange", one.1.as_bytes(), Cause::Unsupported, "not to be had here"));
        }
        self.rename("exchange", one, other, RenameFlags::EXCHANGE)
    }

    fn make_dir(&self, at: &Dir, name: &Name, private: bool) -> Result<()> {
        let (at, name) = (fd(&at.0)?, name.as_bytes());
        let wanted = self.options.dir_mode.filter(|_| !private);
        let mode = wanted.unwrap_or(if private { 0o700 } else { 0o777 });
        let made = rustix::fs::mkdirat(at, name, Mode::from_raw_mode(mode));
        let made = made.and_then(|()| match wanted.map(|mode| set_mode_of_new_dir(at, name, mode)) {
            Some(Err(errno)) => rustix::fs::unlinkat(at, name, AtFlags::REMOVEDIR).and(Err(errno)),
            _ => Ok(()),
        });
        made.map_err(|errno| failed("make the folder", name, errno))
    }

    fn make_private(&self, dir: &Dir) -> Result<()> {
        rustix::fs::fchmod(fd(&dir.0)?, Mode::RWXU).map_err(|errno| failed("make private", b"", errno))
    }

    fn user(&self) -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn unlink(&self, at: &Dir, name: &Name) -> Result<()> {
        rustix::fs::unlinkat(fd(&at.0)?, name.as_bytes(), AtFlags::empty())
            .map_err(|errno| self.in_use_or_mounted(failed("remove", name.as_bytes(), errno), &[(at, name)]))
    }

    fn remove_dir(&self, at: &Dir, name: &Name) -> Result<()> {
        match rustix::fs::unlinkat(fd(&at.0)?, name.as_bytes(), AtFlags::REMOVEDIR) {
            Ok(()) => Ok(()),
            // Both words are allowed for it (rmdir(2)).
            Err(Errno::EXIST) => Err(failed("remove the folder", name.as_bytes(), Errno::NOTEMPTY)),
            Err(errno) => {
                Err(self.in_use_or_mounted(failed("remove the folder", name.as_bytes(), errno), &[(at, name)]))
            }
        }
    }

    fn has_mounts_below(&self, at: &Dir, name: &Name) -> Result<bool> {
        let failed = |errno| failed("look for mounts in", name.as_bytes(), errno);
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        let folder = rustix::fs::openat(fd(&at.0)?, name.as_bytes(), flags | OFlags::CLOEXEC, Mode::empty());
        let folder = folder.map_err(failed)?;
        mounts::any_below(self.top.handles.as_fd(), folder.as_fd()).map_err(failed)
    }

    fn lease(&self, file: &File, patience: Duration) -> Result<Leased> {
        let raw = fd(&file.0)?;
        if !self.gives_leases(raw) {
            return Ok(Leased::Unavailable);
        }
        let handle = handle_of(&file.0)?;
        if handle.leased.load(Ordering::Relaxed) {
            return Err(refused("lease", b"", Cause::Failed, "this handle has held a lease before"));
        }
        let leased = lease::take(file, patience);
        handle.leased.store(matches!(leased, Leased::Held(_)), Ordering::Relaxed);
        Ok(leased)
    }

    fn space(&self, dir: &Dir) -> Result<Space> {
        let dir = fd(&dir.0)?;
        let failed = |errno| failed("look for room in", b"", errno);
        let found = rustix::fs::fstatfs(dir).map_err(failed)?;
        let block = u64::try_from(found.f_frsize).unwrap_or_default();
        Ok(Space {
            total: found.f_blocks.saturating_mul(block),
            free: found.f_bavail.saturating_mul(block),
            files_total: found.f_files,
            files_free: found.f_ffree,
            file_system: probe::file_system(dir, &found).map_err(failed)?,
        })
    }

    fn clock(&self, dir: &Dir) -> Result<Timestamp> {
        match self.create_nameless(dir).and_then(|file| self.status(&file)) {
            Ok(status) => Ok(status.stamp.ctime),
            // Where nothing can be made there is no better clock than the system's.
            Err(_) => Ok(Timestamp::from_system(SystemTime::now())),
        }
    }

    fn wait(&self, while_: Duration) {
        std::thread::sleep(while_);
    }
}

/// Looks once more where a name was remembered as something else than it is by now: a file system behind another program (FUSE) says so by an
/// error, and what was remembered is forgotten with it.
fn afresh<T>(look: impl Fn() -> std::result::Result<T, Errno>) -> std::result::Result<T, Errno> {
    match look() {
        Err(Errno::IO | Errno::STALE) => look(),
        looked => looked,
    }
}
