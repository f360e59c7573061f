//! A D-Bus session of its own, which GNOME's and KDE's programs need. What is started in it ends with it.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use super::Scratch;
use super::program::wait;
use crate::harness::programs::StartProgram as _;

/// A running session; dropping it ends it.
#[derive(Debug)]
pub struct Session {
    child: Child,
    address: String,
    // Last, since it ends what was left behind.
    scratch: Scratch,
}

impl Session {
    /// Starts one.
    #[track_caller]
    pub fn start(scratch: Scratch) -> Self {
        let mut command = scratch.command("dbus-run-session");
        // It stays for as long as its input is open.
        command.args(["--", "sh", "-c", "echo \"$DBUS_SESSION_BUS_ADDRESS\"; read -r _"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.start().expect("dbus-run-session can be run");
        let output = child.stdout.take().expect("a pipe");
        let (sender, receiver) = channel();
        std::thread::spawn(move || sender.send(BufReader::new(output).lines().next()));
        let line = receiver.recv_timeout(Duration::from_secs(30)).ok().flatten();
        let address = line.and_then(Result::ok).expect("the session says its address");
        Self { child, address, scratch }
    }

    /// Its folder.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// A program in the session.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.scratch.command(program);
        command.env("DBUS_SESSION_BUS_ADDRESS", &self.address);
        command
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.child.stdin = None;
        if wait(&mut self.child, Duration::from_secs(5)).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
