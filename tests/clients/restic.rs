//! restic through rclone: a repository of many small files that are made, listed, read back and deleted.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::program::Said;
use super::rclone::configure;
use super::{Scratch, Served, has_all};
use crate::harness::Dice;

#[test]
fn restic_backs_up_and_restores() {
    if !has_all("restic_backs_up_and_restores", &["restic", "rclone"]) {
        return;
    }
    let served = Served::start();
    let scratch = Scratch::new("restic");
    scratch.file("password", "secret");
    let source = scratch.folder("source/deep");
    let mut dice = Dice::new(7);
    for number in 0..60 {
        fs::write(source.join(format!("file {number} \u{fc}#%.bin")), dice.bytes(40_000)).unwrap();
    }
    restic(&scratch, &served, &["init"]).well();
    restic(&scratch, &served, &["backup", "source"]).well();
    fs::write(source.join("later.bin"), dice.bytes(3_000_000)).unwrap();
    restic(&scratch, &served, &["backup", "source"]).well();
    restic(&scratch, &served, &["check", "--read-data"]).well();
    restic(&scratch, &served, &["restore", "latest", "--target", "restored"]).well();
    let restored = scratch.path("restored").join(source.strip_prefix("/").unwrap());
    let restored = if restored.exists() { restored } else { scratch.path("restored/source/deep") };
    expect_same(&source, &restored);
    restic(&scratch, &served, &["forget", "--keep-last", "1", "--prune"]).well();
    restic(&scratch, &served, &["check"]).well();
    let locks = fs::read_dir(served.local("backup/locks")).unwrap().count();
    assert_eq!(locks, 0, "restic could not remove its own locks");
}

#[track_caller]
fn restic(scratch: &Scratch, served: &Served, words: &[&str]) -> Said {
    let mut command = scratch.command("restic");
    configure(&mut command, served.url(), "other");
    command.args(["-r", "rclone:dav:backup", "--password-file", "password", "--cache-dir", "cache"]).args(words);
    scratch.run_within(Duration::from_secs(120), &mut command, b"")
}

#[track_caller]
fn expect_same(wanted: &Path, found: &Path) {
    let mut count = 0;
    for entry in fs::read_dir(wanted).unwrap().flatten() {
        let read = fs::read(found.join(entry.file_name())).unwrap();
        assert!(read == fs::read(entry.path()).unwrap(), "{:?} came back changed", entry.file_name());
        count += 1;
    }
    assert_eq!(fs::read_dir(found).unwrap().count(), count);
}
