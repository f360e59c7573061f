//! The primitives on real file systems: each guarantee of the seam, on a disk and in memory, and what each file system is
//! found to be able to do. Nothing here knows about commits.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::Write as _;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use noclobber::model::path::Name;
use noclobber::model::stamp::Timestamp;
use noclobber::store::abilities::{Abilities, Tier};
use noclobber::store::disk_error::Cause;
use noclobber::store::handle::{Dir, File, Opened};
use noclobber::store::lease::Leased;
use noclobber::store::local::disk::Disk;
use noclobber::store::local::os_disk::{FolderLock, FollowLinks, Options, OsDisk};
use noclobber::store::status::Kind;
use rustix::fs::{CWD, FileType, Gid, Mode, RenameFlags, Uid, XattrFlags};
use tempfile::TempDir;

use crate::harness::disk_images::{self, DiskImage};
use crate::harness::programs::{self, StartProgram as _, open_disk, while_none_starts};
use crate::harness::{eventually, is_root, left_out, report};

/// As long as anything that must not wait may take on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(2);

struct Share {
    folder: TempDir,
    disk: OsDisk,
}

impl Share {
    fn in_place(place: &Path, options: Options) -> Self {
        let folder = tempfile::Builder::new().prefix("share-").tempdir_in(place).unwrap();
        let disk = open_disk(folder.path(), options).unwrap();
        Self { folder, disk }
    }

    fn new() -> Self {
        Self::in_place(&std::env::temp_dir(), Options::default())
    }

    fn following() -> Self {
        Self::in_place(&std::env::temp_dir(), Options { links: FollowLinks::Inside, ..Options::default() })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn save(&self, name: &str, text: &str) {
        while_none_starts(|| fs::write(self.path(name), text)).unwrap();
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn root(&self) -> Dir {
        self.disk.root().unwrap()
    }

    fn open(&self, path: &str) -> Opened {
        self.disk.open_path(&self.root(), path.as_bytes()).unwrap()
    }

    fn file(&self, path: &str) -> File {
        let Opened::File(file, _) = self.open(path) else { panic!("{path} is no file") };
        file
    }

    /// A nameless file of this text, finished.
    fn staged(&self, text: &str) -> File {
        let file = self.disk.create_nameless(&self.root()).unwrap();
        self.disk.write(&file, 0, text.as_bytes()).unwrap();
        self.disk.finish_writing(file).unwrap()
    }

    fn names(&self) -> HashSet<String> {
        names(&self.disk, &self.root())
    }
}

fn names(disk: &OsDisk, dir: &Dir) -> HashSet<String> {
    let mut names = HashSet::new();
    disk.list(dir, &mut |entry| {
        assert!(names.insert(entry.name.to_text().into_owned()), "{:?} is listed twice", entry.name);
        ControlFlow::Continue(())
    })
    .unwrap();
    names
}

/// A disk and a memory: the machine's folder for temporary files and `/dev/shm`.
fn places() -> Vec<PathBuf> {
    let mut places = vec![std::env::temp_dir()];
    if Path::new("/dev/shm").is_dir() {
        places.push("/dev/shm".into());
    } else {
        left_out("os_disk on tmpfs", "there is no /dev/shm");
    }
    places
}

fn shares() -> impl Iterator<Item = Share> {
    places().into_iter().map(|place| Share::in_place(&place, Options::default()))
}

fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).unwrap()
}

fn read(disk: &OsDisk, file: &File) -> String {
    let mut bytes = vec![0; 1024];
    let length = disk.read(file, 0, &mut bytes).unwrap();
    String::from_utf8(bytes[..length].to_vec()).unwrap()
}

#[track_caller]
fn cause<T: std::fmt::Debug>(result: Result<T, noclobber::store::disk_error::DiskError>) -> Cause {
    result.expect_err("it should have failed").cause
}

/// An image to try things on; `None`, and a word why, where it cannot be had.
fn image(test: &str, mounted: Result<DiskImage, String>) -> Option<DiskImage> {
    mounted.map_err(|why| left_out(test, &why)).ok()
}

/// A file system mounted for a test, and unmounted when it ends.
struct Mounted {
    at: TempDir,
}

impl Mounted {
    /// `None`, and a word why, where it cannot be had.
    fn new(test: &str, arguments: &[&OsStr]) -> Option<Self> {
        if !is_root() {
            left_out(test, "mounting takes root");
            return None;
        }
        let at = tempfile::Builder::new().prefix("mounted-").tempdir().unwrap();
        let mount = Command::new("mount").args(arguments).arg(at.path()).run();
        match mount {
            Ok(output) if output.status.success() => Some(Self { at }),
            Ok(output) => {
                left_out(test, String::from_utf8_lossy(&output.stderr).trim());
                None
            }
            Err(error) => {
                left_out(test, &error.to_string());
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.at.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily, so that a handle that is still open does not leave it there.
        let _ = Command::new("umount").arg("--lazy").arg(self.at.path()).stderr(Stdio::null()).run_to_end();
    }
}

// What a file system can do.

#[test]
fn a_native_file_system_gives_tier_a_and_finds_nothing_new_in_it() {
    for place in places() {
        let folder = tempfile::tempdir_in(&place).unwrap();
        let kind = rustix::fs::statfs(folder.path()).unwrap().f_type as u32;
        if ![0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994].contains(&kind) {
            left_out("tier A", &format!("{} is neither ext4, xfs, btrfs nor tmpfs", place.display()));
            continue;
        }
        let before = folder.path().metadata().unwrap();
        let abilities = open_disk(folder.path(), Options::default()).unwrap().top_abilities();
        let after = folder.path().metadata().unwrap();
        assert!(abilities.lease && abilities.exchange && abilities.no_replace && abilities.nameless, "{abilities:?}");
        assert_eq!(abilities.tier(), Tier::A);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert_eq!(
            (before.mtime(), before.mtime_nsec(), before.ctime(), before.ctime_nsec()),
            (after.mtime(), after.mtime_nsec(), after.ctime(), after.ctime_nsec()),
            "not even for an instant"
        );
        if kernel() >= (6, 13) {
            assert_eq!(abilities.time_grain, Duration::ZERO);
        } else {
            left_out("a time grain of zero", "the kernel is older than 6.13");
        }
    }
}

fn kernel() -> (u32, u32) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split('.').map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap(), numbers.next().unwrap())
}

#[test]
fn no_more_is_shown_and_done_than_the_tier_that_was_asked_for() {
    let tiers = [
        (Tier::A, true, true, true),
        (Tier::B, false, true, true),
        (Tier::C, false, false, true),
        (Tier::D, false, false, false),
    ];
    for (tier, lease, exchange, free_names) in tiers {
        let share = Share::in_place(&std::env::temp_dir(), Options { at_most: Some(tier), ..Options::default() });
        let can = share.disk.top_abilities();
        assert_eq!((can.tier(), can.lease, can.exchange), (tier, lease, exchange));
        share.save("a", "one");
        share.save("b", "two");
        let leased = share.disk.lease(&share.file("a"), Duration::ZERO).unwrap();
        assert_eq!(matches!(leased, Leased::Held(_)), lease, "{leased:?}");
        let exchanged = share.disk.exchange((&share.root(), &name("a")), (&share.root(), &name("b")));
        assert_eq!(exchanged.map_err(|error| error.cause), if exchange { Ok(()) } else { Err(Cause::Unsupported) });
        let (root, file) = (share.root(), share.file("a"));
        let done = if free_names { Ok(()) } else { Err(Cause::Unsupported) };
        let linked = share.disk.link(&file, &root, &name("c")).map_err(|error| error.cause);
        let renamed = share.disk.rename_new((&root, &name("a")), (&root, &name("d"))).map_err(|error| error.cause);
        assert_eq!((linked, renamed), (done, done));
    }
}

#[test]
fn a_read_only_file_system_is_judged_by_its_type() {
    let Some(mounted) = image("a_read_only_file_system_is_judged_by_its_type", DiskImage::tmpfs("size=1m,ro")) else {
        return;
    };
    let disk = open_disk(mounted.path(), Options::default()).unwrap();
    assert_eq!(disk.top_abilities().tier(), Tier::A);
    let root = disk.root().unwrap();
    assert_eq!(cause(disk.create_nameless(&root)), Cause::ReadOnly);
    assert_eq!(cause(disk.make_dir(&root, &name("d"), false)), Cause::ReadOnly);
}

#[test]
fn a_full_disk_says_so_when_room_is_reserved_and_when_bytes_are_written() {
    let Some(mounted) = image("a_full_disk_says_so", DiskImage::tmpfs("size=1m")) else { return };
    let disk = open_disk(mounted.path(), Options::default()).unwrap();
    let root = disk.root().unwrap();
    let file = disk.create_nameless(&root).unwrap();
    assert_eq!(cause(disk.reserve(&file, 0..8 << 20)), Cause::NoSpace);
    let error = disk.write(&file, 0, &vec![7; 2 << 20]).unwrap_err();
    assert_eq!(error.cause, Cause::NoSpace);
    assert_eq!(error.to_string(), "write \"\": No space left on device");
    let space = disk.space(&root).unwrap();
    assert_eq!(space.total, 1 << 20);
    assert!(space.free < 1 << 20, "{space:?}");
}

#[test]
fn an_overlay_gives_no_lease() {
    let layers = tempfile::tempdir_in("/dev/shm").unwrap();
    for layer in ["lower", "upper", "work"] {
        fs::create_dir(layers.path().join(layer)).unwrap();
    }
    fs::write(layers.path().join("lower/a"), "one").unwrap();
    let of = |layer: &str| layers.path().join(layer).display().to_string();
    let layers = format!("lowerdir={},upperdir={},workdir={}", of("lower"), of("upper"), of("work"));
    let arguments = ["-t", "overlay", "-o", &layers, "overlay"].map(OsStr::new);
    let Some(mounted) = Mounted::new("an_overlay_gives_no_lease", &arguments) else { return };
    let disk = open_disk(mounted.path(), Options::default()).unwrap();
    assert_eq!(disk.top_abilities().tier(), Tier::B, "{:?}", disk.top_abilities());
    let root = disk.root().unwrap();
    let Opened::File(file, _) = disk.open_path(&root, b"a").unwrap() else { panic!() };
    assert!(matches!(disk.lease(&file, Duration::ZERO), Ok(Leased::Unavailable)));

    let outside = Share::in_place(mounted.path().parent().unwrap(), Options::default());
    let nested = outside.path("nested");
    fs::create_dir(&nested).unwrap();
    assert!(Command::new("mount").arg("--bind").arg(mounted.path()).arg(&nested).run_to_end().unwrap().success());
    let leased = outside.disk.lease(&outside.file("nested/a"), Duration::ZERO).map(|leased| format!("{leased:?}"));
    let crossed = outside.disk.rename_new((&outside.root(), &name("nested")), (&outside.root(), &name("n")));
    let top = outside.disk.dir_status(&outside.root()).unwrap();
    let within = outside.disk.look(&outside.root(), &name("nested")).unwrap().unwrap();
    assert!(Command::new("umount").arg(&nested).run_to_end().unwrap().success());
    assert_eq!(leased.unwrap(), "Unavailable", "nor does one that is mounted inside a share that gives them");
    assert_eq!(cause(crossed), Cause::MountPoint, "a mount point cannot be renamed");
    assert_ne!(top.mount, within.mount);
}

fn abilities_of(mounted: &Path) -> (Abilities, OsDisk) {
    let disk = open_disk(mounted, Options::default()).unwrap();
    assert!(!mounted.join(".noclobber").exists(), "what was tried is gone again");
    (disk.top_abilities(), disk)
}

#[test]
fn xfs_and_btrfs_give_tier_a_and_share_blocks() {
    for kind in [disk_images::Kind::Xfs, disk_images::Kind::Btrfs] {
        let test = format!("xfs_and_btrfs_give_tier_a_and_share_blocks on {kind:?}");
        let Some(mounted) = image(&test, DiskImage::mount(kind, 0)) else { continue };
        let (abilities, disk) = abilities_of(mounted.path());
        assert_eq!(abilities.tier(), Tier::A, "{kind:?}: {abilities:?}");
        assert!(abilities.nameless);
        let root = disk.root().unwrap();
        let (one, other) = (disk.create_nameless(&root).unwrap(), disk.create_nameless(&root).unwrap());
        disk.write(&one, 0, &[7; 8192]).unwrap();
        disk.share_blocks(&one, &other).unwrap();
        assert_eq!(disk.status(&other).unwrap().stamp.size, 8192);
    }
}

#[test]
fn subvolumes_count_as_mounts_of_their_own() {
    let test = "subvolumes_count_as_mounts_of_their_own";
    let Some(mounted) = image(test, DiskImage::mount(disk_images::Kind::Btrfs, 0)) else { return };
    let made = Command::new("btrfs").args(["subvolume", "create"]).arg(mounted.path().join("sub")).run();
    if !made.is_ok_and(|output| output.status.success()) {
        return left_out(test, "btrfs does not work here");
    }
    let (_, disk) = abilities_of(mounted.path());
    let root = disk.root().unwrap();
    let sub = disk.open_dir(&root, b"sub").unwrap();
    fs::write(mounted.path().join("sub/a"), "one").unwrap();
    let (top, inner) = (disk.dir_status(&root).unwrap(), disk.dir_status(&sub).unwrap());
    assert_ne!(top.mount, inner.mount);
    assert_eq!(disk.look(&sub, &name("a")).unwrap().unwrap().mount, inner.mount);
    assert_eq!(cause(disk.rename_new((&sub, &name("a")), (&root, &name("a")))), Cause::OtherMount);
}

#[test]
fn ext2_is_tried_and_nothing_is_left_of_it() {
    let test = "ext2_is_tried_and_nothing_is_left_of_it";
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
    let made = Command::new("mkfs.ext4").args(["-q", "-I", "128"]).arg(&image).stderr(Stdio::null()).run_to_end();
    if !made.is_ok_and(|status| status.success()) {
        return left_out(test, "mkfs.ext4 does not work here");
    }
    let arguments = [OsStr::new("-o"), OsStr::new("loop"), image.as_os_str()];
    let Some(mounted) = Mounted::new(test, &arguments) else { return };
    let (abilities, _) = abilities_of(mounted.path());
    // Inodes of 128 bytes keep no birth, so that it might be the ext2 driver, and whole seconds only.
    assert_eq!(abilities.tier(), Tier::A, "{abilities:?}");
    assert_eq!(abilities.time_grain, Duration::from_secs(2));
}

#[test]
fn a_file_system_in_user_space_is_tier_c() {
    let test = "a_file_system_in_user_space_is_tier_c";
    let behind = tempfile::tempdir().unwrap();
    let at = tempfile::tempdir().unwrap();
    let mounted = Command::new("bindfs").arg(behind.path()).arg(at.path()).stderr(Stdio::null()).run_to_end();
    if !mounted.is_ok_and(|status| status.success()) {
        return left_out(test, "bindfs is not installed, or may not mount");
    }
    let mounted = Mounted { at };
    let (abilities, disk) = abilities_of(mounted.path());
    assert!(!abilities.lease, "{abilities:?}");
    assert!(abilities.takes_free_names());
    assert_eq!(abilities.time_grain, Duration::from_secs(3));
    assert_eq!(abilities.tier() == Tier::C, !abilities.exchange);
    drop(disk);
}

// The share's folder.

#[test]
fn the_root_is_found_again_after_the_folder_was_replaced() {
    let above = tempfile::tempdir().unwrap();
    let (folder, aside) = (above.path().join("share"), above.path().join("aside"));
    fs::create_dir(&folder).unwrap();
    let disk = open_disk(&folder, Options::default()).unwrap();
    assert_eq!(disk.lock_share().unwrap(), FolderLock::Held);
    let first = disk.dir_status(&disk.root().unwrap()).unwrap().stamp.id;

    fs::rename(&folder, &aside).unwrap();
    let gone = eventually(Duration::from_secs(5), "the root to be missed", || disk.root().err());
    assert_eq!(gone.cause, Cause::NotFound);
    assert!(gone.to_string().ends_with("share\": No such file or directory"), "{gone}");

    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("new"), "").unwrap();
    let root = disk.root().expect("it is looked for at once while it is missing");
    assert_ne!(disk.dir_status(&root).unwrap().stamp.id, first);
    assert_eq!(names(&disk, &root), HashSet::from(["new".to_owned()]));

    let second = open_disk(&folder, Options::default()).unwrap();
    assert_eq!(cause(second.lock_share()), Cause::InUse, "the lock has moved with it");
    let old = open_disk(&aside, Options::default()).unwrap();
    // A program that another test starts just now has every descriptor for an instant.
    let is_locked = eventually(Duration::from_secs(5), "the lock to leave the old folder", || old.lock_share().ok());
    assert_eq!(is_locked, FolderLock::Held);
}

#[test]
fn the_bare_mount_point_is_not_taken_for_the_share() {
    let test = "the_bare_mount_point_is_not_taken_for_the_share";
    let Some(mounted) = image(test, DiskImage::tmpfs("size=1m")) else { return };
    let disk = open_disk(mounted.path(), Options::default()).unwrap();
    let held = disk.root().unwrap();
    assert!(Command::new("umount").arg("--lazy").arg(mounted.path()).run_to_end().unwrap().success());
    let gone = eventually(Duration::from_secs(5), "the root to be missed", || disk.root().err());
    assert_eq!(gone.cause, Cause::NotFound, "{gone}");
    let arguments = ["-t", "tmpfs", "tmpfs"];
    assert!(Command::new("mount").args(arguments).arg(mounted.path()).run_to_end().unwrap().success());
    let root = disk.root().expect("what is mounted there now is the share");
    assert_ne!(disk.dir_status(&held).unwrap().mount, disk.dir_status(&root).unwrap().mount);
}

#[test]
fn a_folder_that_is_missing_or_a_file_is_no_share() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    for path in ["missing", "file", "file/below"] {
        let error = open_disk(&folder.path().join(path), Options::default()).unwrap_err();
        assert_eq!(error.cause, Cause::NotFound, "{error}");
    }
}

#[test]
fn a_share_has_one_server() {
    for share in shares() {
        assert_eq!(share.disk.lock_share().unwrap(), FolderLock::Held);
        assert_eq!(share.disk.lock_share().unwrap(), FolderLock::Held, "asking twice is no harm");
        let second = open_disk(share.folder.path(), Options::default()).unwrap();
        let error = second.lock_share().unwrap_err();
        assert_eq!(error.cause, Cause::InUse);
        assert!(error.to_string().contains("another process is serving this folder already"), "{error}");
        let Share { folder, disk } = share;
        drop(disk);
        assert_eq!(second.lock_share().unwrap(), FolderLock::Held, "the lock ends with its disk");
        drop(folder);
    }
}

// Looking and opening.

#[test]
fn each_kind_of_thing_is_told_apart_and_only_files_are_opened() {
    for share in shares() {
        share.save("file", "one");
        fs::create_dir(share.path("folder")).unwrap();
        symlink("file", share.path("link")).unwrap();
        let _listener = UnixListener::bind(share.path("socket")).unwrap();
        make_fifo(&share.path("pipe"));
        let root = share.root();
        let kinds = [
            ("file", Kind::File),
            ("folder", Kind::Dir),
            ("link", Kind::Link),
            ("socket", Kind::Special),
            ("pipe", Kind::Special),
        ];
        for (path, kind) in kinds {
            assert_eq!(share.disk.look(&root, &name(path)).unwrap().unwrap().kind, kind, "{path}");
            assert_eq!(share.disk.look_path(&root, path.as_bytes()).unwrap().unwrap().kind, kind, "{path}");
        }
        assert!(matches!(share.open("file"), Opened::File(..)));
        assert!(matches!(share.open("folder"), Opened::Dir(status) if status.kind == Kind::Dir));
        assert!(matches!(share.open(""), Opened::Dir(_)));
        assert!(matches!(share.open("link"), Opened::Link));
        assert!(matches!(share.open("socket"), Opened::Special));
        assert!(matches!(share.open("pipe"), Opened::Special));
        assert!(matches!(share.open("none"), Opened::Nothing));
        assert!(matches!(share.open("none/below"), Opened::Nothing));
        assert!(matches!(share.open("file/below"), Opened::Nothing));
        assert_eq!(share.disk.look(&root, &name("none")).unwrap(), None);
        assert_eq!(share.disk.look_path(&root, b"file/below").unwrap(), None);
        assert_eq!(cause(share.disk.open_dir(&root, b"none")), Cause::NotFound);
        assert_eq!(cause(share.disk.open_dir(&root, b"file")), Cause::NotADirectory);
    }
}

fn make_fifo(path: &Path) {
    rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o666), 0).unwrap();
}

#[test]
fn a_pipe_neither_blocks_nor_is_touched() {
    let share = Share::new();
    make_fifo(&share.path("pipe"));
    let path = share.path("pipe");
    // Waits until somebody opens the pipe for reading.
    let writer = thread::spawn(move || fs::OpenOptions::new().write(true).open(path).map(drop));
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(100) {
        assert!(matches!(share.open("pipe"), Opened::Special));
    }
    assert!(begun.elapsed() < AT_ONCE);
    assert!(!writer.is_finished(), "the writer must not notice");
    drop(fs::OpenOptions::new().read(true).custom_flags(0o4000).open(share.path("pipe")).unwrap());
    writer.join().unwrap().unwrap();
}

#[test]
fn a_file_that_turns_into_a_pipe_is_not_waited_for() {
    let share = Share::new();
    share.save("a", "one");
    make_fifo(&share.path("b"));
    swapping(&share.path("a"), &share.path("b"), || {
        let begun = Instant::now();
        for _ in 0..20_000 {
            match share.open("a") {
                Opened::File(file, status) => {
                    assert_eq!(status.kind, Kind::File);
                    assert_eq!(read(&share.disk, &file), "one");
                }
                Opened::Special => {}
                other => panic!("{other:?}"),
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(30));
    });
}

/// Swaps two names again and again while `meanwhile` runs, and stops even if that fails.
fn swapping(one: &Path, other: &Path, meanwhile: impl FnOnce()) {
    struct StopWhenDropped<'flag>(&'flag AtomicBool);
    impl Drop for StopWhenDropped<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _stop = StopWhenDropped(&is_over);
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                swap(one, other);
            }
        });
        meanwhile();
    });
}

fn swap(one: &Path, other: &Path) {
    rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
}

#[test]
fn an_opened_file_tells_its_state_and_its_bytes() {
    for share in shares() {
        share.save("a", "hello");
        fs::set_permissions(share.path("a"), fs::Permissions::from_mode(0o640)).unwrap();
        fs::hard_link(share.path("a"), share.path("b")).unwrap();
        let Opened::File(file, status) = share.open("a") else { panic!() };
        let truth = fs::metadata(share.path("a")).unwrap();
        assert_eq!(status.stamp.id.inode, truth.ino());
        assert_eq!((status.stamp.size, status.links, status.mode), (5, 2, 0o640));
        assert_eq!((status.uid, status.gid), (truth.uid(), truth.gid()));
        assert_eq!(status.stamp.mtime, Timestamp::from_system(truth.modified().unwrap()));
        assert_eq!(status.stamp.ctime, Timestamp::new(truth.ctime(), truth.ctime_nsec() as u32));
        assert_eq!(status.born, truth.created().ok().map(Timestamp::from_system));
        assert_eq!(status.stamp.id.generation as i64, status.born.unwrap_or_default().nanoseconds());
        let root = share.root();
        assert_eq!(share.disk.status(&file).unwrap(), status);
        assert_eq!(share.disk.look_path(&root, b"a").unwrap(), Some(status));
        assert_eq!(share.disk.look(&root, &name("b")).unwrap(), Some(status));
        assert_eq!(share.disk.dir_status(&root).unwrap().mount, status.mount);

        let mut bytes = [0; 3];
        assert_eq!(share.disk.read(&file, 1, &mut bytes).unwrap(), 3);
        assert_eq!(&bytes, b"ell");
        assert_eq!(share.disk.read(&file, 5, &mut bytes).unwrap(), 0, "its end");
        fs::remove_file(share.path("a")).unwrap();
        share.save("a", "another");
        assert_eq!(read(&share.disk, &file), "hello", "a handle stays with its file");
        assert_ne!(share.disk.look_path(&root, b"a").unwrap().unwrap().stamp.id, status.stamp.id);
    }
}

#[test]
fn a_path_of_any_length_is_followed() {
    let share = Share::new();
    let path = "d/".repeat(3000) + "f";
    assert!(matches!(share.open(&path), Opened::Nothing));
    assert_eq!(share.disk.look_path(&share.root(), path.as_bytes()).unwrap(), None);
    assert_eq!(cause(share.disk.open_dir(&share.root(), path.as_bytes())), Cause::NotFound);
}

#[test]
fn every_descriptor_is_closed_on_exec() {
    let share = Share::new();
    share.save("a", "one");
    fs::create_dir(share.path("d")).unwrap();
    share.disk.lock_share().unwrap();
    let root = share.root();
    let file = share.file("a");
    let nameless = share.disk.create_nameless(&root).unwrap();
    let named = share.disk.create_named(&root, &name("b")).unwrap();
    let finished = share.staged("x");
    let dir = share.disk.open_dir(&root, b"d").unwrap();
    let handles = [&root.0, &file.0, &nameless.0, &named.0, &finished.0, &dir.0];
    for handle in handles {
        let fd = handle.fd().unwrap();
        assert!(rustix::io::fcntl_getfd(fd).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    }
    // Those that are not handed out: the lock and /proc/self/fd.
    let mut inner = 0;
    for entry in fs::read_dir("/proc/self/fd").unwrap() {
        let entry = entry.unwrap();
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        if target != share.folder.path() {
            continue;
        }
        inner += 1;
        let number = entry.file_name().into_string().unwrap();
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim().to_owned();
        assert_ne!(u32::from_str_radix(&flags, 8).unwrap() & 0o2_000_000, 0, "{target:?}");
    }
    assert_eq!(inner, 2, "the root and the lock");
}

// Links.

/// A share with a secret beside it, and links of every kind in it.
fn with_links(share: &Share) -> TempDir {
    let outside = tempfile::tempdir_in(share.folder.path().parent().unwrap()).unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    fs::create_dir_all(share.path("docs/deep")).unwrap();
    share.save("docs/a", "inside");
    let out = Path::new("..").join(outside.path().file_name().unwrap());
    for (target, link) in [
        (PathBuf::from("docs/a"), "leaf"),
        ("docs".into(), "folder"),
        ("../../docs/a".into(), "docs/deep/up"),
        (share.path("docs/a"), "absolute"),
        ("nowhere".into(), "dangling"),
        ("loop".into(), "loop"),
        (out.join("secret"), "out"),
        (outside.path().join("secret"), "far-out"),
        (out, "out-folder"),
        ("/proc/self/root".into(), "magic"),
        ("..".into(), "above"),
    ] {
        symlink(target, share.path(link)).unwrap();
    }
    outside
}

const LINKS: [&str; 11] = [
    "leaf",
    "folder",
    "docs/deep/up",
    "absolute",
    "dangling",
    "loop",
    "out",
    "far-out",
    "out-folder",
    "magic",
    "above",
];

#[test]
fn links_are_not_followed_unless_asked() {
    for share in shares() {
        let outside = with_links(&share);
        let root = share.root();
        for link in LINKS {
            assert!(matches!(share.open(link), Opened::Link), "{link}");
            assert_eq!(cause(share.disk.open_dir(&root, link.as_bytes())), Cause::Escapes, "{link}");
            assert_eq!(share.disk.look_path(&root, link.as_bytes()).unwrap().unwrap().kind, Kind::Link);
        }
        for path in ["folder/a", "out-folder/secret", "magic/etc/passwd", "loop/a"] {
            assert!(matches!(share.open(path), Opened::Link), "{path}");
            let parent = path.rsplit_once('/').unwrap().0;
            assert_eq!(cause(share.disk.open_dir(&root, parent.as_bytes())), Cause::Escapes);
        }
        for path in ["..", "../x", "docs/../..", "/etc"] {
            assert_eq!(cause(share.disk.open_dir(&root, path.as_bytes())), Cause::Escapes, "{path}");
            assert!(matches!(share.open(path), Opened::Link), "{path}");
        }
        drop(outside);
    }
}

#[test]
fn links_that_stay_inside_are_followed_when_asked() {
    let share = Share::following();
    let outside = with_links(&share);
    let root = share.root();
    for path in ["leaf", "folder/a", "docs/deep/up", "folder/deep/up"] {
        assert_eq!(read(&share.disk, &share.file(path)), "inside", "{path}");
        assert_eq!(share.disk.look_path(&root, path.as_bytes()).unwrap().unwrap().kind, Kind::File, "{path}");
    }
    let deep = share.disk.open_dir(&root, b"folder/deep").unwrap();
    let opened = share.disk.open(&deep, &name("up")).unwrap();
    assert!(matches!(opened, Opened::File(..)), "a link that leads up and down again: {opened:?}");
    assert_eq!(share.disk.look(&deep, &name("up")).unwrap().unwrap().kind, Kind::Link, "look looks at the link");

    for path in ["absolute", "dangling", "loop", "out", "far-out", "out-folder", "out-folder/secret", "magic", "above"]
    {
        assert!(matches!(share.open(path), Opened::Link), "{path}");
        assert!(share.disk.open_dir(&root, path.as_bytes()).is_err(), "{path}");
    }
    assert_eq!(cause(share.disk.open_dir(&root, b"out-folder")), Cause::Escapes);
    assert_eq!(cause(share.disk.open_dir(&root, b"dangling")), Cause::NotFound);

    let mut kinds = Vec::new();
    let mut note = |entry: noclobber::store::status::Entry| {
        kinds.push((entry.name.to_text().into_owned(), entry.status.kind));
        ControlFlow::Continue(())
    };
    share.disk.list(&root, &mut note).unwrap();
    share.disk.list(&deep, &mut note).unwrap();
    for (link, kind) in [("leaf", Kind::File), ("folder", Kind::Dir), ("up", Kind::File), ("out", Kind::Link)] {
        assert!(kinds.contains(&(link.to_owned(), kind)), "{link}: {kinds:?}");
    }
    drop(outside);
}

#[test]
fn a_folder_that_is_swapped_for_a_link_never_leads_out() {
    for share in [Share::new(), Share::following()] {
        let outside = tempfile::tempdir_in(share.folder.path().parent().unwrap()).unwrap();
        fs::write(outside.path().join("a"), "secret").unwrap();
        fs::create_dir(share.path("d")).unwrap();
        share.save("d/a", "inside");
        symlink(outside.path(), share.path("l")).unwrap();
        let root = share.root();
        swapping(&share.path("d"), &share.path("l"), || {
            for _ in 0..10_000 {
                if let Opened::File(file, _) = share.open("d/a") {
                    assert_eq!(read(&share.disk, &file), "inside");
                }
                if let Ok(dir) = share.disk.open_dir(&root, b"d") {
                    let Opened::File(file, _) = share.disk.open(&dir, &name("a")).unwrap() else { panic!() };
                    assert_eq!(read(&share.disk, &file), "inside");
                }
            }
        });
    }
}

// Listing.

#[test]
fn a_hundred_thousand_entries_are_listed_once_each() {
    let place = places().pop().unwrap();
    let share = Share::in_place(&place, Options::default());
    let wanted: HashSet<String> = (0..100_000).map(|number| format!("file-{number}")).collect();
    for name in &wanted {
        fs::File::create(share.path(name)).unwrap();
    }
    // More listings at once than there are cores to help them.
    thread::scope(|scope| {
        let listings: Vec<_> = (0..3).map(|_| scope.spawn(|| share.names())).collect();
        assert!(listings.into_iter().all(|listing| listing.join().unwrap() == wanted));
    });
    for until in [1, 10, 1_024, 2_000, 50_000] {
        let mut seen = 0;
        let counted = share.disk.list(&share.root(), &mut |entry| {
            assert_eq!(entry.status.kind, Kind::File);
            seen += 1;
            if seen == until { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        counted.unwrap();
        assert_eq!(seen, until, "it stops when told to");
    }
}

#[test]
fn two_listings_of_one_handle_do_not_disturb_each_other_and_what_vanishes_is_left_out() {
    for share in shares() {
        for number in 0..2_000 {
            share.save(&number.to_string(), "");
        }
        let root = share.root();
        let (mut outer, mut inner) = (0, 0);
        share
            .disk
            .list(&root, &mut |_| {
                if outer == 0 {
                    inner = names(&share.disk, &root).len();
                    for number in 0..1_000 {
                        fs::remove_file(share.path(&number.to_string())).unwrap();
                    }
                }
                outer += 1;
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(inner, 2_000);
        assert!((1_000..=1_001).contains(&outer), "{outer}");
    }
}

#[test]
fn names_that_are_no_text_are_listed_and_opened() {
    let share = Share::new();
    let odd = Name::new(&b"\xff\n\x1b"[..]).unwrap();
    fs::write(share.folder.path().join(<OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(odd.as_bytes())), "odd")
        .unwrap();
    let mut found = None;
    share
        .disk
        .list(&share.root(), &mut |entry| {
            found = Some(entry.name);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(found.as_ref(), Some(&odd));
    let Opened::File(file, _) = share.disk.open(&share.root(), &odd).unwrap() else { panic!() };
    assert_eq!(read(&share.disk, &file), "odd");
}

// Making, writing, naming.

#[test]
fn a_nameless_file_takes_a_free_name_and_never_one_that_is_taken() {
    for share in shares() {
        share.save("taken", "old");
        let root = share.root();
        let staged = share.staged("new");
        assert_eq!(share.names(), HashSet::from(["taken".to_owned()]), "it has no name yet");
        let error = share.disk.link(&staged, &root, &name("taken")).unwrap_err();
        assert_eq!((error.cause, error.to_string().as_str()), (Cause::Exists, "link \"taken\": File exists"));
        assert_eq!(share.text("taken"), "old");
        share.disk.link(&staged, &root, &name("free")).unwrap();
        assert_eq!(share.text("free"), "new");
        share.disk.link(&staged, &root, &name("more")).unwrap();
        assert_eq!(share.disk.status(&staged).unwrap().links, 2);
        drop(share.staged("dropped"));
        assert_eq!(share.names().len(), 3);
    }
}

#[test]
fn a_file_made_by_name_takes_a_free_name_only() {
    for share in shares() {
        share.save("taken", "old");
        symlink("elsewhere", share.path("link")).unwrap();
        let root = share.root();
        for taken in ["taken", "link"] {
            assert_eq!(cause(share.disk.create_named(&root, &name(taken))), Cause::Exists);
        }
        let file = share.disk.create_named(&root, &name("free")).unwrap();
        share.disk.write(&file, 0, b"new").unwrap();
        let file = share.disk.finish_writing(file).unwrap();
        assert_eq!(read(&share.disk, &file), "new");
        assert_eq!(share.text("taken"), "old");
        assert!(!share.path("elsewhere").exists());
    }
}

#[test]
fn a_finished_file_can_be_read_and_linked_but_not_written() {
    for share in shares() {
        let file = share.disk.create_nameless(&share.root()).unwrap();
        share.disk.write(&file, 0, b"hello").unwrap();
        let clone = file.clone();
        assert_eq!(cause(share.disk.finish_writing(file)), Cause::InUse, "the writing handle would stay open");
        let file = share.disk.finish_writing(clone).unwrap();
        assert_eq!(read(&share.disk, &file), "hello");
        assert!(share.disk.write(&file, 0, b"x").is_err());
        share.disk.sync_file(&file).unwrap();
        share.disk.link(&file, &share.root(), &name("a")).unwrap();
        share.disk.sync_dir(&share.root()).unwrap();
        assert_eq!(share.text("a"), "hello");
        programs::have_started();
        let leased = share.disk.lease(&file, Duration::ZERO).unwrap();
        assert!(matches!(leased, Leased::Held(_)), "{leased:?}");
    }
}

#[test]
fn bytes_land_where_they_belong() {
    for share in shares() {
        let file = share.disk.create_nameless(&share.root()).unwrap();
        share.disk.reserve(&file, 0..0).unwrap();
        share.disk.reserve(&file, 0..3 << 20).unwrap();
        assert_eq!(share.disk.status(&file).unwrap().stamp.size, 0, "room is no size");
        let bytes: Vec<u8> = (0..3 << 20).map(|at: u32| (at % 251) as u8).collect();
        share.disk.write(&file, 1 << 20, &bytes[1 << 20..]).unwrap();
        share.disk.write(&file, 0, &bytes[..1 << 20]).unwrap();
        share.disk.write(&file, 7, b"").unwrap();
        share.disk.link(&file, &share.root(), &name("a")).unwrap();
        assert!(fs::read(share.path("a")).unwrap() == bytes);
    }
}

#[test]
fn a_file_beyond_what_the_file_system_holds_is_too_large() {
    let share = Share::new();
    let file = share.disk.create_nameless(&share.root()).unwrap();
    let error = share.disk.write(&file, i64::MAX as u64 - 1, b"ab").unwrap_err();
    assert!([Cause::TooLarge, Cause::Failed].contains(&error.cause), "{error}");
    if rustix::fs::statfs(share.folder.path()).unwrap().f_type as u32 == 0xEF53 {
        assert_eq!(cause(share.disk.write(&file, 1 << 60, b"x")), Cause::TooLarge);
    } else {
        left_out("a_file_beyond_what_the_file_system_holds_is_too_large", "not on ext4");
    }
}

#[test]
fn a_write_past_the_limit_on_file_sizes_does_not_end_the_process() {
    // In a process of its own, since the limit holds for a whole process.
    if std::env::var_os("NOCLOBBER_TEST_LIMITED").is_none() {
        let test = &crate::whole_name!("a_write_past_the_limit_on_file_sizes_does_not_end_the_process");
        let mut child = Command::new(std::env::current_exe().unwrap());
        let output = child.args(["--exact", test]).env("NOCLOBBER_TEST_LIMITED", "1").run().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        return assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
    }
    let share = Share::new();
    let file = share.disk.create_nameless(&share.root()).unwrap();
    let limit = rustix::process::Rlimit { current: Some(4096), maximum: Some(4096) };
    rustix::process::setrlimit(rustix::process::Resource::Fsize, limit).unwrap();
    assert_eq!(cause(share.disk.write(&file, 0, &[7; 8192])), Cause::TooLarge);
}

#[test]
fn a_new_file_is_shut_by_the_umask() {
    let share = Share::new();
    let root = share.root();
    let umask = fs::read_to_string("/proc/self/status").unwrap();
    let umask = umask.lines().find_map(|line| line.strip_prefix("Umask:")).unwrap().trim().to_owned();
    let left = 0o777 & !u32::from_str_radix(&umask, 8).unwrap();
    let nameless = share.disk.create_nameless(&root).unwrap();
    let named = share.disk.create_named(&root, &name("f")).unwrap();
    assert_eq!(share.disk.status(&nameless).unwrap().mode, 0o666 & left);
    assert_eq!(share.disk.status(&named).unwrap().mode, 0o666 & left);
    share.disk.make_dir(&root, &name("open"), false).unwrap();
    share.disk.make_dir(&root, &name("private"), true).unwrap();
    assert_eq!(share.disk.look(&root, &name("open")).unwrap().unwrap().mode, left);
    assert_eq!(share.disk.look(&root, &name("private")).unwrap().unwrap().mode, 0o700 & left);
}

/// Permissions that were asked for hold whatever the umask takes and the folder's default list says.
#[test]
fn a_new_file_or_folder_has_the_permissions_that_were_asked_for() {
    let made = tempfile::tempdir().unwrap();
    let options = Options { file_mode: Some(0o666), dir_mode: Some(0o1777), ..Options::default() };
    let disk = OsDisk::open(made.path(), options).unwrap();
    let root = disk.root().unwrap();
    let dir_of = |text: &str| disk.look(&root, &name(text)).unwrap().unwrap().mode;
    let nameless = disk.create_nameless(&root).unwrap();
    let named = disk.create_named(&root, &name("f")).unwrap();
    assert_eq!(disk.status(&nameless).unwrap().mode, 0o666);
    assert_eq!(disk.status(&named).unwrap().mode, 0o666);
    disk.make_dir(&root, &name("open"), false).unwrap();
    disk.make_dir(&root, &name("private"), true).unwrap();
    assert_eq!(dir_of("open"), 0o1777);
    assert_eq!(dir_of("private"), 0o700, "noclobber's own");
    fs::set_permissions(made.path(), Permissions::from_mode(0o2755)).unwrap();
    disk.make_dir(&root, &name("hands on"), false).unwrap();
    assert_eq!(dir_of("hands on"), 0o3777, "a folder that hands its group on has folders that do");
    assert_eq!(disk.make_dir(&root, &name("open"), false).unwrap_err().cause, Cause::Exists);
}

#[test]
fn renames_keep_to_what_they_promise() {
    for share in shares() {
        let root = share.root();
        let at = |text: &str| name(text);
        share.save("a", "a");
        share.save("b", "b");
        share.disk.make_dir(&root, &at("d"), false).unwrap();
        let d = share.disk.open_dir(&root, b"d").unwrap();

        let error = share.disk.rename_new((&root, &at("a")), (&root, &at("b"))).unwrap_err();
        assert_eq!((error.cause, error.to_string().as_str()), (Cause::Exists, "rename \"a\": File exists"));
        share.disk.rename_new((&root, &at("a")), (&d, &at("a"))).unwrap();
        assert_eq!((share.text("d/a"), share.text("b")), ("a".into(), "b".into()));

        share.disk.exchange((&d, &at("a")), (&root, &at("b"))).unwrap();
        assert_eq!((share.text("d/a"), share.text("b")), ("b".into(), "a".into()));
        assert_eq!(cause(share.disk.exchange((&d, &at("a")), (&root, &at("none")))), Cause::NotFound);
        assert_eq!(cause(share.disk.exchange((&d, &at("none")), (&root, &at("b")))), Cause::NotFound);
        assert_eq!((share.text("d/a"), share.text("b")), ("b".into(), "a".into()), "nothing has moved");

        share.disk.rename_over((&d, &at("a")), (&root, &at("b"))).unwrap();
        assert_eq!(share.text("b"), "b");
        assert!(!share.path("d/a").exists());
        assert_eq!(cause(share.disk.rename_over((&root, &at("b")), (&root, &at("d")))), Cause::IsADirectory);
        assert_eq!(cause(share.disk.rename_new((&root, &at("none")), (&root, &at("c")))), Cause::NotFound);
    }
}

#[test]
fn nothing_is_renamed_or_linked_across_file_systems() {
    let places = places();
    let [one, other] = [&places[0], &places[places.len() - 1]].map(|place| Share::in_place(place, Options::default()));
    if one.folder.path().metadata().unwrap().dev() == other.folder.path().metadata().unwrap().dev() {
        return left_out("nothing_is_renamed_or_linked_across_file_systems", "there is only one here");
    }
    one.save("a", "one");
    let (from, to) = (one.root(), other.root());
    assert_eq!(cause(one.disk.rename_new((&from, &name("a")), (&to, &name("a")))), Cause::OtherMount);
    assert_eq!(cause(one.disk.link(&one.staged("x"), &to, &name("a"))), Cause::OtherMount);
    assert_eq!(
        cause(one.disk.share_blocks(&one.file("a"), &other.disk.create_nameless(&to).unwrap())),
        Cause::Unsupported
    );
    assert_eq!(other.names().len(), 0);
}

#[test]
fn folders_are_made_and_removed_and_told_from_files() {
    for share in shares() {
        let root = share.root();
        share.disk.make_dir(&root, &name("d"), false).unwrap();
        assert_eq!(cause(share.disk.make_dir(&root, &name("d"), false)), Cause::Exists);
        share.save("d/a", "one");
        assert_eq!(cause(share.disk.remove_dir(&root, &name("d"))), Cause::NotEmpty);
        assert_eq!(cause(share.disk.unlink(&root, &name("d"))), Cause::IsADirectory);
        let d = share.disk.open_dir(&root, b"d").unwrap();
        assert_eq!(cause(share.disk.remove_dir(&d, &name("a"))), Cause::NotADirectory);
        share.disk.unlink(&d, &name("a")).unwrap();
        assert_eq!(cause(share.disk.unlink(&d, &name("a"))), Cause::NotFound);
        share.disk.remove_dir(&root, &name("d")).unwrap();
        assert_eq!(cause(share.disk.create_named(&d, &name("a"))), Cause::NotFound, "a folder that is gone");
        // Some file systems make a nameless file there all the same, but it can take no name.
        let nameless = share.disk.create_nameless(&d).and_then(|file| share.disk.link(&file, &d, &name("a")));
        assert_eq!(cause(nameless), Cause::NotFound);
        assert_eq!(names(&share.disk, &root).len(), 0);
    }
}

#[test]
fn another_user_is_told_what_is_not_permitted() {
    let test = "another_user_is_told_what_is_not_permitted";
    if !is_root() {
        return left_out(test, "it takes root to make a file that cannot be removed");
    }
    let share = Share::new();
    share.save("a", "one");
    let fixed = |how: &str| Command::new("chattr").arg(how).arg(share.path("a")).stderr(Stdio::null()).run_to_end();
    if !fixed("+i").is_ok_and(|status| status.success()) {
        return left_out(test, "chattr does not work here");
    }
    let removed = share.disk.unlink(&share.root(), &name("a"));
    let exchanged = share
        .disk
        .link(&share.staged("two"), &share.root(), &name("b"))
        .and_then(|()| share.disk.exchange((&share.root(), &name("a")), (&share.root(), &name("b"))));
    fixed("-i").unwrap();
    assert_eq!(cause(removed), Cause::NotPermitted);
    assert_eq!(cause(exchanged), Cause::NotPermitted);
    assert_eq!(share.text("a"), "one");
}

// Attributes and times.

#[test]
fn attributes_are_copied_without_the_bits_that_lend_rights() {
    for share in shares() {
        share.save("a", "one");
        let path = share.path("a");
        if is_root() {
            rustix::fs::chownat(
                CWD,
                &path,
                Some(Uid::from_raw(1234)),
                Some(Gid::from_raw(4321)),
                rustix::fs::AtFlags::empty(),
            )
            .unwrap();
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o6751)).unwrap();
        rustix::fs::setxattr(&path, c"user.colour", b"blue", XattrFlags::empty()).unwrap();
        rustix::fs::setxattr(&path, c"user.empty", b"", XattrFlags::empty()).unwrap();
        let from = share.file("a");
        let to = share.disk.create_nameless(&share.root()).unwrap();
        share.disk.copy_attributes(&from, &to).unwrap();
        let (source, target) = (share.disk.status(&from).unwrap(), share.disk.status(&to).unwrap());
        assert_eq!(source.mode, 0o6751);
        assert_eq!(target.mode, 0o751, "neither set-user-ID nor set-group-ID");
        assert_eq!((target.uid, target.gid), (source.uid, source.gid));
        assert_eq!(attribute(&to, "user.colour").as_deref(), Some(&b"blue"[..]));
        assert_eq!(attribute(&to, "user.empty").as_deref(), Some(&b""[..]));
    }
}

#[test]
fn a_list_that_cannot_be_copied_leaves_the_file_to_its_owner() {
    let test = "a_list_that_cannot_be_copied_leaves_the_file_to_its_owner";
    let Some(mounted) = Mounted::new(test, &["-t", "ramfs", "ramfs"].map(OsStr::new)) else { return };
    let share = Share::new();
    share.save("a", "one");
    let list = access_list(6, (1234, 6), 0, 6, 4);
    if rustix::fs::setxattr(share.path("a"), c"system.posix_acl_access", &list, XattrFlags::empty()).is_err() {
        return left_out(test, "there are no access control lists here");
    }
    let from = share.file("a");
    assert_eq!(share.disk.status(&from).unwrap().mode, 0o664, "the group's bits are the list's mask");
    let without_lists = open_disk(mounted.path(), Options::default()).unwrap();
    let to = without_lists.create_named(&without_lists.root().unwrap(), &name("a")).unwrap();
    without_lists.copy_attributes(&from, &to).unwrap();
    assert_eq!(without_lists.status(&to).unwrap().mode, 0o600);
}

/// Runs one test again as a user who may do little, with a folder of root's. Gives the folder in that other run.
fn as_nobody(test: &str) -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("NOCLOBBER_TEST_FOLDER") {
        return Some(folder.into());
    }
    if !is_root() {
        left_out(test, "it takes root to become another user");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(folder.path().join("a"), "one").unwrap();
    fs::set_permissions(folder.path().join("a"), fs::Permissions::from_mode(0o664)).unwrap();
    fs::write(folder.path().join("closed"), "one").unwrap();
    fs::set_permissions(folder.path().join("closed"), fs::Permissions::from_mode(0o600)).unwrap();
    // A copy, since the folders above the real one may be closed to others.
    let program = folder.path().join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mut child = Command::new(&program);
    child.args(["--exact", &crate::whole_name!(test)]).env("NOCLOBBER_TEST_FOLDER", folder.path());
    let output = child.current_dir("/").uid(65534).gid(65534).run().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
    None
}

#[test]
fn a_file_that_may_not_be_written_keeps_its_attributes_too() {
    let Some(_) = as_nobody("a_file_that_may_not_be_written_keeps_its_attributes_too") else { return };
    let share = Share::new();
    share.save("a", "one");
    rustix::fs::setxattr(share.path("a"), c"user.colour", b"blue", XattrFlags::empty()).unwrap();
    fs::set_permissions(share.path("a"), fs::Permissions::from_mode(0o444)).unwrap();
    let to = share.disk.create_nameless(&share.root()).unwrap();
    share.disk.copy_attributes(&share.file("a"), &to).unwrap();
    assert_eq!(share.disk.status(&to).unwrap().mode, 0o444);
    assert_eq!(attribute(&to, "user.colour").as_deref(), Some(&b"blue"[..]));
}

#[test]
fn the_files_of_another_user_are_read_and_neither_leased_nor_widened() {
    let Some(folder) = as_nobody("the_files_of_another_user_are_read_and_neither_leased_nor_widened") else { return };
    let disk = open_disk(&folder, Options::default()).unwrap();
    assert_eq!(disk.top_abilities().tier(), Tier::A, "where nothing can be tried the type decides");
    let root = disk.root().unwrap();
    assert_eq!(cause(disk.create_nameless(&root)), Cause::NotPermitted);
    assert_eq!(cause(disk.open_path(&root, b"closed")), Cause::NotReadable);
    let Opened::File(from, status) = disk.open_path(&root, b"a").unwrap() else { panic!() };
    assert_eq!(read(&disk, &from), "one");
    assert!(matches!(disk.lease(&from, Duration::ZERO), Ok(Leased::Unavailable)));

    let share = Share::new();
    let to = share.disk.create_nameless(&share.root()).unwrap();
    share.disk.copy_attributes(&from, &to).unwrap();
    let copied = share.disk.status(&to).unwrap();
    assert_eq!((copied.uid, copied.gid), (65534, 65534), "neither may be given away");
    assert_eq!((status.mode, copied.mode), (0o664, 0o644), "the new group gets no more than the others had");
}

fn attribute(file: &File, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 4096];
    let length = rustix::fs::fgetxattr(file.0.fd().unwrap(), name, &mut *value).ok()?;
    Some(value[..length].to_vec())
}

/// An access control list as the kernel keeps it (acl(5)): the owner, one user, the group, the mask, the others.
fn access_list(owner: u16, user: (u32, u16), group: u16, mask: u16, others: u16) -> Vec<u8> {
    let mut bytes = 2u32.to_le_bytes().to_vec();
    let nobody = u32::MAX;
    for (tag, rights, id) in
        [(1u16, owner, nobody), (2, user.1, user.0), (4, group, nobody), (0x10, mask, nobody), (0x20, others, nobody)]
    {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(rights.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

#[test]
fn access_control_lists_are_copied_and_an_inherited_one_is_taken_off() {
    for share in shares() {
        let list = access_list(6, (1234, 6), 4, 6, 0);
        let folder = share.folder.path();
        if rustix::fs::setxattr(folder, c"system.posix_acl_default", &list, XattrFlags::empty()).is_err() {
            left_out("access control lists", &format!("{} has none", folder.display()));
            continue;
        }
        share.save("with", "one");
        share.save("without", "one");
        fs::set_permissions(share.path("with"), fs::Permissions::from_mode(0o660)).unwrap();
        rustix::fs::removexattr(share.path("without"), c"system.posix_acl_access").unwrap();
        fs::set_permissions(share.path("without"), fs::Permissions::from_mode(0o664)).unwrap();
        for (source, mode) in [("with", 0o660), ("without", 0o664)] {
            let from = share.file(source);
            let to = share.disk.create_nameless(&share.root()).unwrap();
            assert!(attribute(&to, "system.posix_acl_access").is_some(), "the folder gives each new file one");
            share.disk.copy_attributes(&from, &to).unwrap();
            assert_eq!(share.disk.status(&to).unwrap().mode, mode, "{source}");
            let (wanted, is) = (attribute(&from, "system.posix_acl_access"), attribute(&to, "system.posix_acl_access"));
            assert_eq!(wanted, is, "{source}");
            assert_eq!(is.is_some(), source == "with");
        }
    }
}

#[test]
fn the_time_of_a_file_is_set_and_nothing_else() {
    for share in shares() {
        let file = share.disk.create_nameless(&share.root()).unwrap();
        share.disk.write(&file, 0, b"x").unwrap();
        let before = share.disk.status(&file).unwrap();
        let wanted = Timestamp::new(1_000_000_000, 123_456_789);
        let looked = |file: &File| rustix::fs::fstat(file.0.fd().unwrap()).unwrap().st_atime;
        let last_access = looked(&file);
        share.disk.set_mtime(&file, wanted).unwrap();
        let after = share.disk.status(&file).unwrap();
        assert_eq!(after.stamp.mtime, wanted);
        assert_eq!(looked(&file), last_access);
        assert_ne!(after.stamp.ctime, before.stamp.ctime, "that it was set can be seen");
        assert_eq!((after.stamp.id, after.stamp.size, after.mode), (before.stamp.id, before.stamp.size, before.mode));
    }
}

#[test]
fn the_clock_is_the_file_systems_own() {
    for share in shares() {
        for round in 0..100 {
            share.save("a", &round.to_string());
            let written = share.disk.look(&share.root(), &name("a")).unwrap().unwrap().stamp.ctime;
            let clock = share.disk.clock(&share.root()).unwrap();
            assert!(clock >= written, "what was seen is never later than the clock");
            let system = Timestamp::from_system(SystemTime::now());
            assert!(system.plus(Duration::from_millis(20)) >= clock && system.since(clock) < AT_ONCE);
        }
        assert!(share.names().len() == 1);
    }
}

// Leases.

fn lease(share: &Share, path: &str, patience: Duration) -> Leased {
    programs::have_started();
    share.disk.lease(&share.file(path), patience).unwrap()
}

#[test]
fn a_lease_is_refused_while_somebody_has_the_file_open_for_writing() {
    for share in shares() {
        share.save("a", "one");
        let writer = fs::OpenOptions::new().append(true).open(share.path("a")).unwrap();
        let begun = Instant::now();
        assert!(matches!(lease(&share, "a", Duration::ZERO), Leased::Busy));
        assert!(matches!(lease(&share, "a", Duration::from_millis(60)), Leased::Busy));
        let waited = begun.elapsed();
        assert!(waited >= Duration::from_millis(60) && waited < AT_ONCE, "{waited:?}");
        let closing = thread::spawn(move || {
            thread::sleep(Duration::from_millis(50));
            drop(writer);
        });
        let held = lease(&share, "a", Duration::from_secs(30));
        assert!(matches!(held, Leased::Held(_)), "whoever is patient gets it: {held:?}");
        closing.join().unwrap();
    }
}

#[test]
fn a_writer_waits_for_the_lease_and_can_be_seen_waiting() {
    for share in shares() {
        share.save("a", "one");
        let Leased::Held(held) = lease(&share, "a", Duration::ZERO) else { panic!() };
        assert!(held.is_unbroken());
        let reader = fs::File::open(share.path("a")).unwrap();
        fs::rename(share.path("a"), share.path("b")).unwrap();
        assert!(held.is_unbroken(), "readers and renames do not break it");
        let path = share.path("b");
        let writer = thread::spawn(move || {
            let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
            file.write_all(b" more").unwrap();
        });
        eventually(AT_ONCE, "the lease to be broken", || (!held.is_unbroken()).then_some(()));
        assert!(!held.is_unbroken(), "and it stays so");
        assert!(!writer.is_finished());
        assert_eq!(share.text("b"), "one");
        drop(held);
        writer.join().unwrap();
        assert_eq!(share.text("b"), "one more", "dropping the lease lets the writer go on");
        drop(reader);
    }
}

#[test]
fn a_writer_that_does_not_wait_breaks_the_lease_too() {
    for share in shares() {
        share.save("a", "one");
        let Leased::Held(held) = lease(&share, "a", Duration::ZERO) else { panic!() };
        let refused = fs::OpenOptions::new().write(true).custom_flags(0o4000).open(share.path("a")).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::WouldBlock);
        assert!(!held.is_unbroken());
    }
}

#[test]
fn a_handle_that_has_held_a_lease_gets_no_other() {
    for share in shares() {
        share.save("a", "one");
        let file = share.file("a");
        let writer = fs::OpenOptions::new().append(true).open(share.path("a")).unwrap();
        assert!(matches!(share.disk.lease(&file, Duration::ZERO), Ok(Leased::Busy)));
        drop(writer);
        programs::have_started();
        let held = share.disk.lease(&file, Duration::ZERO).unwrap();
        assert!(matches!(held, Leased::Held(_)), "it held none before: {held:?}");
        assert_eq!(cause(share.disk.lease(&file, Duration::ZERO)), Cause::Failed);
        drop(held);
        assert_eq!(cause(share.disk.lease(&file.clone(), Duration::ZERO)), Cause::Failed);
        let other = share.file("a");
        assert!(matches!(share.disk.lease(&other, Duration::ZERO), Ok(Leased::Held(_))));
    }
}

#[test]
fn a_lease_keeps_its_file_open_and_ends_when_dropped() {
    let share = Share::new();
    share.save("a", "one");
    let file = share.file("a");
    let Leased::Held(held) = share.disk.lease(&file, Duration::ZERO).unwrap() else { panic!() };
    drop(file);
    let open = || fs::OpenOptions::new().write(true).custom_flags(0o4000).open(share.path("a"));
    assert!(open().is_err(), "it is held although the handle is gone");
    drop(held);
    assert!(open().is_ok());
}

#[test]
fn a_file_mapped_for_writing_cannot_be_leased() {
    let share = Share::new();
    share.save("a", "one");
    let script = "import mmap,sys\nf=open(sys.argv[1],'r+b')\nm=mmap.mmap(f.fileno(),0)\nf.close()\nprint('mapped',flush=True)\nsys.stdin.read()";
    let child = Command::new("python3")
        .args(["-c", script])
        .arg(share.path("a"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .start();
    let Ok(mut child) = child else {
        return left_out("a_file_mapped_for_writing_cannot_be_leased", "python3 is not installed");
    };
    let mut word = [0; 6];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut word).unwrap();
    let leased = lease(&share, "a", Duration::ZERO);
    drop(child.stdin.take());
    child.wait().unwrap();
    assert!(matches!(leased, Leased::Busy), "{leased:?}");
    assert!(matches!(lease(&share, "a", Duration::ZERO), Leased::Held(_)));
}

// Sharing blocks, and what no disk does.

#[test]
fn blocks_that_cannot_be_shared_are_said_to_be_unsupported() {
    for share in shares() {
        share.save("a", "one");
        let to = share.disk.create_nameless(&share.root()).unwrap();
        match share.disk.share_blocks(&share.file("a"), &to) {
            Ok(()) => assert_eq!(read(&share.disk, &to), "one"),
            Err(error) => assert_eq!(error.cause, Cause::Unsupported, "{error}"),
        }
    }
}

#[test]
fn without_syncing_everything_else_is_the_same() {
    let share = Share::in_place(&std::env::temp_dir(), Options { syncs: false, ..Options::default() });
    let file = share.staged("one");
    share.disk.sync_file(&file).unwrap();
    share.disk.link(&file, &share.root(), &name("a")).unwrap();
    share.disk.sync_dir(&share.root()).unwrap();
    assert_eq!(share.text("a"), "one");
}

#[test]
fn the_root_costs_next_to_nothing() {
    let share = Share::new();
    let batch = |_| {
        let begun = Instant::now();
        for _ in 0..10_000 {
            std::hint::black_box(share.disk.root().unwrap());
        }
        begun.elapsed() / 10_000
    };
    // The best of many, since other tests run beside it.
    let each = (0..20).map(batch).min().unwrap();
    assert!(each < Duration::from_micros(1), "less than a look at the disk: {each:?}");
    report(&format!("Disk::root takes {each:?}"));
}

#[test]
fn a_descriptor_is_given_back_when_its_handle_is_dropped() {
    let share = Share::new();
    share.save("a", "one");
    let file = share.file("a");
    let number = file.0.fd().unwrap().as_fd().as_raw_fd();
    let inode = fs::metadata(share.path("a")).unwrap().ino();
    drop(file);
    let still = fs::metadata(format!("/proc/self/fd/{number}")).is_ok_and(|found| found.ino() == inode);
    assert!(!still);
}
