//! davfs2, a mount that takes locks and sends If-Match. Only one of it runs at a time. Its three traps: the cache folder must be
//! writable to its own user, new kernels need a large `buf_size`, and it asks for a name and a password on its input.

use std::fs;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::Pid;

use super::mounted::Mounted;
use super::program::Said;
use super::program::can_mount;
use super::served::within;
use super::signed_in::{NAME, PASSWORD, WRONG};
use super::{BOTH, Drive, Scratch, Served, SignedIn, has_all, work_out};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

#[test]
fn davfs2_works() {
    if !(has_all("davfs2_works", &["mount.davfs"]) && can_mount("davfs2_works")) {
        return;
    }
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let served = Served::start();
    let scratch = Scratch::new("davfs2");
    let mut drive = mount(&scratch, &served);
    work_out(&mut drive, &served);
}

/// The other's work stays, and ours is not lost either: davfs2 puts it into its lost+found.
#[test]
fn a_stale_save_through_davfs2_is_refused() {
    let name = "a_stale_save_through_davfs2_is_refused";
    if !(has_all(name, &["mount.davfs"]) && can_mount(name)) {
        return;
    }
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let served = Served::start();
    served.write("report.txt", b"the first draft");
    let scratch = Scratch::new("davfs2");
    let drive = mount(&scratch, &served);
    let mut file = fs::File::options().read(true).write(true).open(drive.path("report.txt")).unwrap();
    let mut seen = String::new();
    file.read_to_string(&mut seen).unwrap();
    assert_eq!(seen, "the first draft");
    served.write("report.txt", b"what the other one wrote meanwhile");
    file.rewind().unwrap();
    file.write_all(b"MINE, from the first draft").unwrap();
    drop(file);
    let found = || contents_of(&drive.path("lost+found")).contains(&"MINE, from the first draft".to_owned());
    let is_kept_aside = within(Duration::from_secs(20), found);
    served.expect("report.txt", b"what the other one wrote meanwhile");
    assert!(is_kept_aside, "lost+found has {:?}", contents_of(&drive.path("lost+found")));
    if let Some(server) = served.server() {
        server.wait_for_log("status=412");
    }
}

/// An editor's way of saving: a new file beside the old one, then moved over it. The one that was there is kept.
#[test]
fn what_davfs2_moves_over_is_kept() {
    if !(has_all("what_davfs2_moves_over_is_kept", &["mount.davfs"]) && can_mount("what_davfs2_moves_over_is_kept")) {
        return;
    }
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let served = Served::start();
    served.write("notes.txt", b"old");
    let scratch = Scratch::new("davfs2");
    let mut drive = mount(&scratch, &served);
    assert_eq!(drive.read("notes.txt"), b"old");
    served.write("notes.txt", b"changed by somebody else");
    fs::write(drive.path(".notes.txt.swp"), "mine").unwrap();
    fs::rename(drive.path(".notes.txt.swp"), drive.path("notes.txt")).unwrap();
    served.expect("notes.txt", b"mine");
    served.expect_kept("notes.txt", b"changed by somebody else");
    served.restore("notes.txt", b"changed by somebody else");
}

#[test]
fn davfs2_signs_in() {
    if !(has_all("davfs2_signs_in", &["mount.davfs"]) && can_mount("davfs2_signs_in")) {
        return;
    }
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    for over in BOTH {
        let signed = SignedIn::start(over);
        let trust = signed.certificate().map_or(String::new(), |ca| format!("trust_ca_cert {}\n", ca.display()));
        let try_to_mount = |scratch: &Scratch, password: &str| {
            let settings = format!("ask_auth 1\n{trust}");
            try_to_mount(scratch, signed.served(), &settings, &format!("{NAME}\n{password}\n"))
        };
        try_to_mount(&Scratch::new("davfs2"), WRONG).badly();
        signed.has_refused();
        let scratch = Scratch::new("davfs2");
        try_to_mount(&scratch, PASSWORD).well();
        signed.work(&mut mounted(&scratch));
    }
}

#[track_caller]
pub fn mount(scratch: &Scratch, served: &Served) -> Mounted {
    try_to_mount(scratch, served, "ask_auth 0\n", "\n\n").well();
    mounted(scratch)
}

#[track_caller]
fn mounted(scratch: &Scratch) -> Mounted {
    let point = scratch.folder("mount");
    let process = process_of(&point).expect("mount.davfs stays in the background");
    Mounted::new(&point, process, Duration::from_secs(240))
}

/// Mounts with these settings besides, and this said to what it asks for.
#[track_caller]
fn try_to_mount(scratch: &Scratch, served: &Served, settings: &str, input: &str) -> Said {
    let (cache, point) = (scratch.folder("cache"), scratch.folder("mount"));
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).unwrap();
    let settings = format!(
        "{settings}use_locks 1\ncache_dir {}\ndelay_upload 0\ndir_refresh 1\nfile_refresh 1\nbuf_size 256\n",
        cache.display()
    );
    let settings = scratch.file("davfs2.conf", settings);
    let mut command = scratch.command("mount.davfs");
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.arg(served.url()).arg(&point).arg("-o").arg(format!("conf={},uid=0,gid=0,rw", settings.display()));
    scratch.run(&mut command, input.as_bytes())
}

/// The daemon of a mount: it is the process whose command line ends as we wrote it.
fn process_of(point: &Path) -> Option<Pid> {
    let point = point.display().to_string();
    let mut found = None;
    within(Duration::from_secs(5), || {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        found = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()).find(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut words = line.split(|byte| *byte == 0);
            words.next().is_some_and(|first| first.ends_with(b"mount.davfs"))
                && words.any(|word| word == point.as_bytes())
        });
        found.is_some()
    });
    found.and_then(Pid::from_raw)
}

fn contents_of(folder: &PathBuf) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| fs::read_to_string(entry.path()).ok()).collect()
}
