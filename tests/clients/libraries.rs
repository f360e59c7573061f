//! The libraries that other programs reach a server with: `webdav` of npm (Obsidian and many web apps) and `webdav4` of Python.
//! `tests/run.sh` puts them beside the build, into `clients/npm` and `clients/python`.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::scripted::Scripted;
use super::signed_in::{NAME, PASSWORD, WRONG};
use super::{BOTH, Scratch, Served, SignedIn, has_all, work_out, work_out_without};

#[test]
fn npm_webdav_works() {
    let served = Served::start();
    let Some(mut drive) = npm("npm_webdav_works", &served) else { return };
    work_out(&mut drive, &served);
}

/// The one condition it knows: not over what is there.
#[test]
fn npm_webdav_creates_only_what_is_not_there() {
    let served = Served::start();
    let Some(mut drive) = npm("npm_webdav_creates_only_what_is_not_there", &served) else { return };
    let create = json!({"do": "create", "path": "once.txt", "content": "b25l"});
    assert_eq!(drive.ask(&create)["created"], true);
    served.expect("once.txt", b"one");
    assert_eq!(drive.ask(&create)["created"], false);
}

/// Its UNLOCK names the token without brackets.
#[test]
fn npm_webdav_locks_and_unlocks() {
    let served = Served::start();
    let Some(mut drive) = npm("npm_webdav_locks_and_unlocks", &served) else { return };
    served.write("locked.txt", b"text");
    drive.ask(&json!({"do": "lock_and_unlock", "path": "locked.txt"}));
    drive.ask(&json!({"do": "write", "path": "locked.txt", "content": "dHdv"}));
    served.expect("locked.txt", b"two");
}

/// It writes the password in ISO 8859-1.
#[test]
fn npm_webdav_signs_in() {
    for over in BOTH {
        let signed = SignedIn::start(over);
        let variables: Vec<_> = signed.certificate().map(|ca| ("NODE_EXTRA_CA_CERTS", ca)).into_iter().collect();
        let sign_in = |password: &str| {
            let words = [signed.served().url(), NAME, password];
            npm_with("npm_webdav_signs_in", &words, |command| {
                command.envs(variables.clone());
            })
        };
        let Some(mut refused) = sign_in(WRONG) else { return };
        for act in
            [json!({"do": "write", "path": "kept.txt", "content": "eA=="}), json!({"do": "remove", "path": "kept.txt"})]
        {
            let answer = refused.try_ask(&act);
            assert_eq!((&answer["ok"], &answer["status"]), (&json!(false), &json!(401)), "{act}: {answer}");
        }
        signed.has_refused();
        signed.work(&mut sign_in(PASSWORD).expect("it was there a moment ago"));
    }
}

#[test]
fn python_webdav4_works() {
    let served = Served::start();
    let python = installed("python").join("bin/python");
    if !has_all("python_webdav4_works", &[python.to_str().expect("plain")]) {
        return;
    }
    let scratch = Scratch::new("webdav4");
    let mut command = scratch.command(&python);
    command.arg(script("webdav4_drive.py")).arg(served.url());
    let mut drive = Scripted::start(scratch, &mut command);
    // It puts a path into an address as it is, and refuses one that was encoded before.
    work_out_without(&mut drive, &served, |letter| "#?%".contains(letter));
}

fn npm(test: &str, served: &Served) -> Option<Scripted> {
    npm_with(test, &[served.url()], |_| {})
}

fn npm_with(test: &str, words: &[&str], set_up: impl FnOnce(&mut std::process::Command)) -> Option<Scripted> {
    let modules = installed("npm").join("node_modules");
    if !has_all(test, &["node", modules.join("webdav").to_str().expect("plain")]) {
        return None;
    }
    let scratch = Scratch::new("npm-webdav");
    // Node looks for a module beside the script that asks for it.
    std::os::unix::fs::symlink(&modules, scratch.path("node_modules")).expect("a symbolic link");
    std::fs::copy(script("npm_webdav.mjs"), scratch.path("drive.mjs")).expect("the script can be copied");
    let mut command = scratch.command("node");
    command.args(["--preserve-symlinks", "drive.mjs"]).args(words);
    set_up(&mut command);
    Some(Scripted::start(scratch, &mut command))
}

/// Where `tests/run.sh` puts what comes from elsewhere: beside the build.
pub fn installed(what: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("clients").join(what)
}

/// A script of ours beside this file.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}
