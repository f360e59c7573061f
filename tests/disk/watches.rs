//! The watches of folders on real file systems: what other programs do is told when their call has returned, and what is not told is known.

use std::fs::{self, File, FileTimes, OpenOptions};
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use noclobber::store::handle::Dir;
use noclobber::store::local::disk::{Disk, FolderChange, WatchId};
use noclobber::store::local::os_disk::{Options, OsDisk};
use rustix::fs::{AtFlags, CWD, RenameFlags};
use tempfile::TempDir;

use crate::harness::programs::{StartProgram as _, open_disk};
use crate::harness::{Server, left_out};

struct Watched {
    _made: TempDir,
    folder: PathBuf,
    disk: OsDisk,
    dir: Dir,
    watch: WatchId,
}

impl Watched {
    /// A folder `d` that is watched, with a file and a folder in it; `None` where no watch is to be had.
    fn folder_in(place: &Path) -> Option<Self> {
        let made = tempfile::tempdir_in(place).unwrap();
        let folder = made.path().join("d");
        fs::create_dir_all(folder.join("sub")).unwrap();
        fs::create_dir(made.path().join("elsewhere")).unwrap();
        fs::write(folder.join("a"), "a").unwrap();
        let disk = open_disk(made.path(), Options::default()).unwrap();
        let dir = disk.open_dir(&disk.root().unwrap(), b"d").unwrap();
        let watch = disk.watch(&dir)?;
        Some(Self { _made: made, folder, disk, dir, watch })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What is told now, each name once.
    fn told(&self) -> Vec<String> {
        let mut told = Vec::new();
        self.disk.changes(&mut |change| {
            let word = match change {
                FolderChange::At(watch, name) => {
                    assert_eq!(watch, self.watch);
                    String::from_utf8_lossy(name).into_owned()
                }
                FolderChange::Ended(watch) => {
                    assert_eq!(watch, self.watch);
                    "(ended)".to_owned()
                }
                FolderChange::Lost => "(lost)".to_owned(),
            };
            if !told.contains(&word) {
                told.push(word);
            }
        });
        told
    }
}

/// Every way in which a program can change a member, with the names that are told of it.
#[test]
fn what_programs_do_is_told_when_their_call_returns() {
    for place in [std::env::temp_dir(), "/dev/shm".into()] {
        let Some(watched) = Watched::folder_in(&place) else {
            left_out("what_programs_do_is_told_when_their_call_returns", "no folder can be watched here");
            continue;
        };
        let path = |name: &str| watched.path(name);
        let outside = || watched.folder.join("../elsewhere");
        let early = OpenOptions::new().write(true).open(path("a")).unwrap();
        let nameless = OpenOptions::new().write(true).custom_flags(libc_tmpfile()).open(&watched.folder).unwrap();
        assert_eq!(watched.told(), [] as [&str; 0]);
        let expect = |what: &str, names: &[&str]| assert_eq!(watched.told(), names, "{what} in {}", place.display());

        early.write_at(b"b", 0).unwrap();
        expect("write", &["a"]);
        OpenOptions::new().append(true).open(path("a")).unwrap().write_all(b"c").unwrap();
        expect("append", &["a"]);
        early.set_len(1).unwrap();
        expect("truncate", &["a"]);
        File::open(path("a")).unwrap().set_times(FileTimes::new().set_modified(SystemTime::UNIX_EPOCH)).unwrap();
        expect("utimensat", &["a"]);
        fs::set_permissions(path("a"), fs::Permissions::from_mode(0o600)).unwrap();
        expect("chmod", &["a"]);
        fs::write(path("b"), "b").unwrap();
        expect("create", &["b"]);
        fs::rename(path("b"), path("a")).unwrap();
        expect("replace by rename", &["b", "a"]);
        fs::write(outside().join("x"), "x").unwrap();
        expect("elsewhere", &[]);
        fs::rename(outside().join("x"), path("x")).unwrap();
        expect("rename into the folder", &["x"]);
        rustix::fs::renameat_with(CWD, path("a"), CWD, path("x"), RenameFlags::EXCHANGE).unwrap();
        let mut both = watched.told();
        both.sort();
        assert_eq!(both, ["a", "x"], "exchange");
        fs::hard_link(path("a"), path("y")).unwrap();
        expect("link in", &["y"]);
        symlink("a", path("s")).unwrap();
        expect("symlink", &["s"]);
        fs::create_dir(path("f")).unwrap();
        expect("mkdir", &["f"]);
        fs::remove_dir(path("f")).unwrap();
        expect("rmdir", &["f"]);
        fs::remove_file(path("y")).unwrap();
        expect("unlink", &["y"]);
        fs::write(path("sub/inside"), "x").unwrap();
        expect("inside a folder", &[]);
        let place_of = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&nameless.as_fd()));
        rustix::fs::linkat(CWD, &place_of, CWD, path("n"), AtFlags::SYMLINK_FOLLOW).unwrap();
        assert!(watched.told().contains(&"n".to_owned()), "a nameless file gets a name");
        nameless.write_at(b"later", 0).unwrap();
        let inode = std::os::unix::fs::MetadataExt::ino(&nameless.metadata().unwrap());
        expect("a write by whoever had it open without a name", &[&format!("#{inode}")]);
    }
}

fn libc_tmpfile() -> i32 {
    rustix::fs::OFlags::TMPFILE.bits().cast_signed()
}

/// A watch is of a folder, whatever leads to it, and ends with it or when it is asked to.
#[test]
fn a_watch_is_of_one_folder_and_ends_with_it() {
    let Some(watched) = Watched::folder_in(&std::env::temp_dir()) else {
        return left_out("a_watch_is_of_one_folder_and_ends_with_it", "no folder can be watched here");
    };
    assert_eq!(watched.disk.watch(&watched.dir), Some(watched.watch));
    let moved = watched.folder.parent().unwrap().join("elsewhere/moved");
    fs::rename(&watched.folder, &moved).unwrap();
    fs::write(moved.join("b"), "b").unwrap();
    assert_eq!(watched.told(), ["b"], "its watch goes along");
    watched.disk.unwatch(watched.watch);
    fs::write(moved.join("c"), "c").unwrap();
    assert_eq!(watched.told(), ["(ended)"]);

    let watched = Watched::folder_in(&std::env::temp_dir()).unwrap();
    let Watched { disk, dir, folder, watch, .. } = watched;
    drop(dir);
    fs::remove_dir_all(&folder).unwrap();
    let mut ended = false;
    disk.changes(&mut |change| ended |= change == FolderChange::Ended(watch));
    assert!(ended, "it was removed");
}

/// More than the system keeps: that something was lost is told.
#[test]
fn that_word_was_lost_is_told() {
    let Some(watched) = Watched::folder_in(&std::env::temp_dir()) else {
        return left_out("that_word_was_lost_is_told", "no folder can be watched here");
    };
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    let files = ["a", "b"].map(|name| File::create(watched.path(name)).unwrap());
    for number in 0..=limit {
        // The same once more is told once, so they take turns.
        files[number % 2].write_at(b"x", 0).unwrap();
    }
    assert_eq!(watched.told(), ["a", "b", "(lost)"]);
    assert_eq!(watched.told(), [] as [&str; 0]);
}

/// In a user namespace that may have no watch: listings are read each time, and nobody is told anything wrong.
#[test]
fn a_server_without_a_watch_lists_what_is_there() {
    let limit = "echo 0 > /proc/sys/user/max_inotify_watches && exec \"$0\" \"$@\"";
    let tried = Command::new("unshare").args(["-Ur", "sh", "-c", limit, "true"]).run();
    if !tried.is_ok_and(|tried| tried.status.success()) {
        return left_out("a_server_without_a_watch_lists_what_is_there", "no user namespace is to be had");
    }
    let server = Server::builder().under(["unshare", "-Ur", "sh", "-c", limit]).option("--no-watch").start();
    for round in 0..6 {
        server.write(format!("{round}.txt"), "x".repeat(round));
        let told = server.propfind("/", "1").expect(207).multistatus();
        for earlier in 0..=round {
            let size = told.of(&format!("/{earlier}.txt")).value("D:getcontentlength");
            assert_eq!(size, earlier.to_string(), "round {round}");
        }
    }
}
