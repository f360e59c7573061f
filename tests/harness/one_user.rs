//! A file of users for a server, made with the program as people make it, and removed when dropped.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::canaries;
use super::programs::StartProgram as _;
use super::server::Options;

/// A file with one user, who may do everything.
#[derive(Debug)]
pub struct OneUserFile {
    folder: TempDir,
}

impl OneUserFile {
    /// Adds this user, with these words besides (`--digest`).
    #[track_caller]
    pub fn with(name: &str, password: &str, words: &[&str]) -> Self {
        canaries::note(password);
        canaries::note(&format!("{name}:{password}"));
        let file = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        let mut command = Command::new(env!("CARGO_BIN_EXE_noclobber"));
        command.args(["user", "add", name]).args(words).arg("--users").arg(file.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).start().expect("the program can be run");
        let mut input = child.stdin.take().expect("a pipe");
        writeln!(input, "{password}").expect("it reads the password");
        drop(input);
        assert!(child.wait().expect("it ends").success(), "the user cannot be added");
        file
    }

    /// Where it lies.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("users.toml")
    }

    /// Its folder, which nobody else uses.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A server that lets in whom it names.
    pub fn options(&self) -> Options {
        Options::default().value("--users", self.path().display())
    }
}
