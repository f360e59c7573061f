//! What a file system can do: known by its type, tried where that is not enough. The folder finds nothing new afterwards; a
//! nameless file is tried with wherever one can be had. Where nothing may be made, the type alone decides.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, ResolveFlags, StatFs, StatxFlags};
use rustix::io::Errno;
use rustix::path::DecInt;

use super::super::disk::Folding;
use super::super::lease;
use crate::model::path::RESERVED;
use crate::store::abilities::{Abilities, COARSEST_GRAIN};

/// How often a file is written and looked at to learn how coarse the clock is.
const GRAIN_ROUNDS: usize = 64;

/// How many of the rounds must be quick for distinct times to mean anything, and how quick: well below a tick of the clock.
const QUICK_ROUNDS_MIN: usize = 32;
const QUICK: Duration = Duration::from_micros(500);

/// The grain of a kernel that stamps by the tick: one of them is 10 ms at most.
const GRAIN_TICK: Duration = Duration::from_millis(10);

/// The grain of file systems that keep whole or even seconds.
const GRAIN_SECONDS: Duration = Duration::from_secs(2);

/// What a file system's type (statfs(2)) tells about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    /// ext4, xfs, btrfs, tmpfs: can do everything.
    Native,
    /// An overlay: gives leases that do not see writable mappings.
    Overlay,
    /// FAT and exFAT: can do something, and keep coarse times.
    Coarse,
    /// Another one on a disk of this machine.
    Local,
    /// Through the network, through another program, or not known: what others do there the kernel does not see.
    Foreign,
}

/// What was found out.
pub(super) struct Probed {
    pub(super) abilities: Abilities,
    /// Whether it is what the type promises, since nothing could be made to try it with.
    pub(super) is_guess: bool,
}

/// Finds out what the file system of `root` can do. `handles` is `/proc/self/fd`.
pub(super) fn probe(root: BorrowedFd<'_>, handles: BorrowedFd<'_>) -> Probed {
    let family = Family::of(root);
    let nameless = make(root, c".", OFlags::TMPFILE);
    if matches!(nameless, Err(Errno::ACCESS | Errno::PERM | Errno::ROFS | Errno::NOSPC | Errno::DQUOT)) {
        return Probed { abilities: guess(family, root, handles), is_guess: true };
    }
    let tried =
        if family.does_everything() { Some(ProbeNames::known(handles)) } else { ProbeNames::tried(root, family) };
    let is_guess = tried.is_none();
    let mut names = tried.unwrap_or_default();
    let has_nameless = nameless.is_ok();
    let (time_grain, lease) = match nameless.ok().or(names.sample.take()) {
        Some(sample) => (family.grain(&sample), family.leases() && gives_lease(sample, handles)),
        None => (family.grain_untried(root), false),
    };
    let ProbeNames { exchange, no_replace, link, .. } = names;
    // What has no name gets one by a link.
    let abilities = Abilities { lease, exchange, no_replace, link, nameless: has_nameless && link, time_grain };
    Probed { abilities, is_guess }
}

/// Whether a lease on this very file would see every writer.
pub(super) fn leases_are_sound(file: BorrowedFd<'_>) -> bool {
    Family::of(file).leases()
}

/// Whether the kernel is told of all that is changed there, but for what it tells nobody: nothing happens behind its back.
pub(super) fn tells_changes(folder: BorrowedFd<'_>) -> bool {
    !matches!(Family::of(folder), Family::Overlay | Family::Foreign)
}

/// Whether one mount of this file system may hold several trees, between which nothing can be renamed or linked.
pub(super) fn has_subvolumes(root: BorrowedFd<'_>) -> bool {
    rustix::fs::fstatfs(root).is_ok_and(|found| matches!(found.f_type as u32, BTRFS | BCACHEFS))
}

/// A number for a file system. btrfs has a device number for each of its subvolumes, and puts the number of the subvolume into the second half of
/// what it calls itself (`btrfs_statfs` in the kernel's fs/btrfs/super.c); others with one room have one device number.
pub(super) fn file_system(dir: BorrowedFd<'_>, found: &StatFs) -> rustix::io::Result<u64> {
    if found.f_type as u32 == BTRFS {
        return Ok(rustix::fs::fstatvfs(dir)?.f_fsid << 32 | 1);
    }
    Ok(rustix::fs::fstat(dir)?.st_dev << 1)
}

/// Whether the folder takes names for one that are written in different ways, as far as its file system's type tells.
pub(super) fn folding(dir: BorrowedFd<'_>) -> Folding {
    let Ok(found) = rustix::fs::fstatfs(dir) else { return Folding::Perhaps };
    match found.f_type as u32 {
        XFS | BTRFS => Folding::Never,
        EXT if !kernel_folds("ext4") => Folding::Never,
        TMPFS if !kernel_folds("tmpfs") => Folding::Never,
        F2FS if !kernel_folds("f2fs") => Folding::Never,
        FAT | EXFAT | NTFS3 => Folding::Always,
        _ => Folding::Perhaps,
    }
}

/// Whether this file system can be told to fold, which is said of single folders (`chattr +F`).
fn kernel_folds(file_system: &str) -> bool {
    let path = format!("/sys/fs/{file_system}/features/casefold");
    rustix::fs::access(path, rustix::fs::Access::EXISTS).is_ok()
}

const EXT: u32 = 0xEF53;
const XFS: u32 = 0x5846_5342;
const BTRFS: u32 = 0x9123_683E;
const TMPFS: u32 = 0x0102_1994;
const OVERLAY: u32 = 0x794C_7630;
const FAT: u32 = 0x4D44;
const EXFAT: u32 = 0x2011_BAB0;
const BCACHEFS: u32 = 0xCA45_1A4E;
const F2FS: u32 = 0xF2F5_2010;
const ZFS: u32 = 0x2FC1_2FC1;
const NTFS3: u32 = 0x7366_746E;
const HFS_PLUS: u32 = 0x482B;
const JFS: u32 = 0x3153_464A;
const UDF: u32 = 0x1501_3346;
const ISO: u32 = 0x9660;
const SQUASHFS: u32 = 0x7371_7368;
const EROFS: u32 = 0xE0F5_E1E2;
const NILFS: u32 = 0x3434;
const UBIFS: u32 = 0x2405_1905;
const RAMFS: u32 = 0x8584_58F6;

impl Family {
    fn of(file: BorrowedFd<'_>) -> Self {
        let Ok(found) = rustix::fs::fstatfs(file) else { return Self::Foreign };
        match found.f_type as u32 {
            // ext2 has the same number and can do less; of the two only ext4 keeps the time of birth.
            EXT if !keeps_birth(file) => Self::Local,
            EXT | XFS | BTRFS | TMPFS => Self::Native,
            OVERLAY => Self::Overlay,
            FAT | EXFAT => Self::Coarse,
            BCACHEFS | F2FS | ZFS | NTFS3 | HFS_PLUS | JFS | UDF | ISO | SQUASHFS | EROFS | NILFS | UBIFS | RAMFS => {
                Self::Local
            }
            _ => Self::Foreign,
        }
    }

    fn does_everything(self) -> bool {
        matches!(self, Self::Native | Self::Overlay)
    }

    fn leases(self) -> bool {
        matches!(self, Self::Native | Self::Coarse | Self::Local)
    }

    fn grain(self, sample: &OwnedFd) -> Duration {
        match self {
            Self::Native | Self::Overlay | Self::Local => measure_grain(sample).unwrap_or(GRAIN_TICK),
            Self::Coarse => GRAIN_SECONDS,
            Self::Foreign => COARSEST_GRAIN,
        }
    }

    /// The grain where nothing can be written: since Linux 6.13 a state that was looked at keeps its time to itself.
    fn grain_untried(self, root: BorrowedFd<'_>) -> Duration {
        match self {
            Self::Coarse => GRAIN_SECONDS,
            Self::Foreign => COARSEST_GRAIN,
            _ if keeps_whole_seconds(root) => GRAIN_SECONDS,
            Self::Native if kernel_is_at_least(6, 13) => Duration::ZERO,
            Self::Native | Self::Overlay | Self::Local => GRAIN_TICK,
        }
    }
}

/// What the type promises, where nothing can be made to try it with.
fn guess(family: Family, root: BorrowedFd<'_>, handles: BorrowedFd<'_>) -> Abilities {
    let everything = family.does_everything();
    Abilities {
        lease: family.leases() && leases_are_enabled(),
        exchange: everything && knows_exchange(handles),
        no_replace: everything,
        link: everything,
        nameless: everything,
        time_grain: family.grain_untried(root),
    }
}

/// What can be done with names.
#[derive(Default)]
struct ProbeNames {
    exchange: bool,
    no_replace: bool,
    link: bool,
    /// A file that was made for trying, where there is more to try with it.
    sample: Option<OwnedFd>,
}

impl ProbeNames {
    fn known(handles: BorrowedFd<'_>) -> Self {
        Self { exchange: knows_exchange(handles), no_replace: true, link: true, sample: None }
    }

    /// Tries them in a private folder, since the kernel asks the file system only for names that are there.
    fn tried(root: BorrowedFd<'_>, family: Family) -> Option<Self> {
        let folder = TrialFolder::make(root)?;
        let at = folder.fd.as_fd();
        let made = OFlags::CREATE | OFlags::EXCL;
        let (Ok(one), Ok(other)) = (make(at, c"one", made), make(at, c"other", made)) else { return None };
        let exchange = rustix::fs::renameat_with(at, c"one", at, c"other", RenameFlags::EXCHANGE).is_ok()
            && inode_at(at, c"one").is_some_and(|inode| inode_of(&other) == Some(inode))
            && inode_at(at, c"other").is_some_and(|inode| inode_of(&one) == Some(inode));
        let no_replace = rustix::fs::renameat_with(at, c"one", at, c"third", RenameFlags::NOREPLACE).is_ok();
        let link = rustix::fs::linkat(at, c"other", at, c"fourth", AtFlags::empty()).is_ok();
        drop(other);
        // Where files are removed by another machine or program, one that is still open would keep the folder from going.
        let sample = (family != Family::Foreign).then_some(one);
        Some(Self { exchange, no_replace, link, sample })
    }
}

/// A folder of our own to try names in; gone again when it is dropped.
struct TrialFolder<'root> {
    root: BorrowedFd<'root>,
    reserved: OwnedFd,
    name: String,
    fd: OwnedFd,
    /// The name is this process's, not this folder's.
    _alone: MutexGuard<'static, ()>,
}

/// Held while a trial folder is there.
static TRYING: Mutex<()> = Mutex::new(());

impl<'root> TrialFolder<'root> {
    fn make(root: BorrowedFd<'root>) -> Option<Self> {
        let alone = TRYING.lock();
        let name = format!("trial-{}", std::process::id());
        let private = Mode::from_raw_mode(0o700);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = |at: BorrowedFd<'_>, name: &str| {
            rustix::fs::openat2(at, name, flags, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS).ok()
        };
        made_or_there(rustix::fs::mkdirat(root, RESERVED, private))?;
        let folder = open(root, RESERVED).and_then(|reserved| {
            made_or_there(rustix::fs::mkdirat(&reserved, &name, private))?;
            let fd = open(reserved.as_fd(), &name)?;
            Some((reserved, fd))
        });
        let Some((reserved, fd)) = folder else {
            let _ = rustix::fs::unlinkat(root, RESERVED, AtFlags::REMOVEDIR);
            return None;
        };
        let folder = Self { root, reserved, name, fd, _alone: alone };
        // What a process of the same number left when it was killed.
        folder.clear();
        Some(folder)
    }

    fn clear(&self) {
        for name in [c"one", c"other", c"third", c"fourth"] {
            let _ = rustix::fs::unlinkat(&self.fd, name, AtFlags::empty());
        }
    }
}

impl Drop for TrialFolder<'_> {
    fn drop(&mut self) {
        self.clear();
        let _ = rustix::fs::unlinkat(&self.reserved, &self.name, AtFlags::REMOVEDIR);
        // Stays if the history is in it.
        let _ = rustix::fs::unlinkat(self.root, RESERVED, AtFlags::REMOVEDIR);
    }
}

fn made_or_there(made: Result<(), Errno>) -> Option<()> {
    matches!(made, Ok(()) | Err(Errno::EXIST)).then_some(())
}

fn make(at: BorrowedFd<'_>, name: &std::ffi::CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(at, name, flags | OFlags::RDWR | OFlags::CLOEXEC, Mode::from_raw_mode(0o600))
}

fn inode_at(at: BorrowedFd<'_>, name: &std::ffi::CStr) -> Option<u64> {
    rustix::fs::statx(at, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::INO).ok().map(|found| found.stx_ino)
}

fn inode_of(file: &OwnedFd) -> Option<u64> {
    rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::INO).ok().map(|found| found.stx_ino)
}

/// Whether the system knows of exchanging at all: only then does it look for the names. It says nothing about a file system.
fn knows_exchange(handles: BorrowedFd<'_>) -> bool {
    // All names in /proc/self/fd are numbers, so neither of these can be there.
    let tried = rustix::fs::renameat_with(handles, c"one", handles, c"other", RenameFlags::EXCHANGE);
    !matches!(tried, Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP))
}

fn gives_lease(sample: OwnedFd, handles: BorrowedFd<'_>) -> bool {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let name = DecInt::from_fd(&sample);
    let Ok(reading) = rustix::fs::openat(handles, name.as_c_str(), flags, Mode::empty()) else { return false };
    // As long as it is open for writing there is none to be had.
    drop(sample);
    lease::can_be_had(reading.as_fd())
}

/// Writes and looks in turn. Times that are always distinct mean that a state that was looked at keeps its time to itself, if
/// the rounds were so quick that a clock that ticks would have shown.
fn measure_grain(sample: &OwnedFd) -> Option<Duration> {
    let (mut last, mut quick, mut distinct, mut whole_seconds) = (None, 0, true, true);
    for _ in 0..GRAIN_ROUNDS {
        let began = Instant::now();
        rustix::io::pwrite(sample, b"x", 0).ok()?;
        let found = rustix::fs::statx(sample, c"", AtFlags::EMPTY_PATH, StatxFlags::MTIME | StatxFlags::CTIME).ok()?;
        quick += usize::from(began.elapsed() < QUICK);
        let mtime = (found.stx_mtime.tv_sec, found.stx_mtime.tv_nsec);
        let ctime = (found.stx_ctime.tv_sec, found.stx_ctime.tv_nsec);
        distinct &= last.is_none_or(|(m, c)| m != mtime && c != ctime);
        whole_seconds &= mtime.1 == 0 || ctime.1 == 0;
        last = Some((mtime, ctime));
    }
    Some(match (whole_seconds, distinct && quick >= QUICK_ROUNDS_MIN) {
        (true, _) => GRAIN_SECONDS,
        (false, true) => Duration::ZERO,
        (false, false) => GRAIN_TICK,
    })
}

fn keeps_birth(file: BorrowedFd<'_>) -> bool {
    rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::BTIME)
        .is_ok_and(|found| found.stx_mask & StatxFlags::BTIME.bits() != 0)
}

fn keeps_whole_seconds(root: BorrowedFd<'_>) -> bool {
    rustix::fs::statx(root, c"", AtFlags::EMPTY_PATH, StatxFlags::CTIME).is_ok_and(|found| found.stx_ctime.tv_nsec == 0)
}

fn leases_are_enabled() -> bool {
    read_line("/proc/sys/fs/leases-enable").is_none_or(|line| line != "0")
}

fn kernel_is_at_least(major: u32, minor: u32) -> bool {
    let Some(release) = read_line("/proc/sys/kernel/osrelease") else { return false };
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse::<u32>().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (major, minor)
}

fn read_line(path: &str) -> Option<String> {
    let file = rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut bytes = [0; 128];
    let length = rustix::io::read(&file, &mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes[..length]).trim().to_owned())
}
