//! A mounted folder as a client: plain reads and writes, as any program does them. A mount that hangs cannot be interrupted from
//! within, so a watch ends the program behind it when the time is up; the waiting call then fails, and the test with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::Drive;

/// A folder in which something is mounted.
#[derive(Debug)]
pub struct Mounted {
    root: PathBuf,
    _watch: Watch,
}

/// Ends a process when it is not dropped in time.
#[derive(Debug)]
struct Watch(#[allow(dead_code)] Sender<()>);

impl Mounted {
    /// The mount at `root`, which this process answers for, given so long.
    pub fn new(root: &Path, process: Pid, limit: Duration) -> Self {
        Self { root: root.to_owned(), _watch: Watch::over(process, limit) }
    }

    /// A path in it.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }
}

impl Watch {
    fn over(process: Pid, limit: Duration) -> Self {
        let (sender, receiver) = channel::<()>();
        std::thread::spawn(move || {
            if receiver.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                eprintln!("a mount took longer than {limit:?} and is cut off");
                let _ = kill_process(process, Signal::KILL);
            }
        });
        Self(sender)
    }
}

impl Drive for Mounted {
    fn make_folder(&mut self, path: &str) {
        fs::create_dir(self.path(path)).unwrap_or_else(|error| panic!("mkdir {path}: {error}"));
    }

    fn write(&mut self, path: &str, content: &[u8]) {
        fs::write(self.path(path), content).unwrap_or_else(|error| panic!("write {path}: {error}"));
    }

    fn read(&mut self, path: &str) -> Vec<u8> {
        fs::read(self.path(path)).unwrap_or_else(|error| panic!("read {path}: {error}"))
    }

    fn names(&mut self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(path)).unwrap_or_else(|error| panic!("list {path}: {error}"));
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }

    fn rename(&mut self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap_or_else(|error| panic!("rename {from} to {to}: {error}"));
    }

    fn remove(&mut self, path: &str) {
        fs::remove_file(self.path(path)).unwrap_or_else(|error| panic!("remove {path}: {error}"));
    }

    fn remove_folder(&mut self, path: &str) {
        fs::remove_dir_all(self.path(path)).unwrap_or_else(|error| panic!("remove {path} whole: {error}"));
    }
}
