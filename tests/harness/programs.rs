//! Starts other programs, and keeps that apart from files that tests write. Between its fork and its exec a child has a copy of every file that
//! the tests have open: a file that was just written and closed still has a writer for that instant, gets no lease, and shows a weak tag.

use std::io;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Mutex, PoisonError, RwLock};

use noclobber::store::disk_error::Result;
use noclobber::store::local::os_disk::{Options, OsDisk};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

/// The variables of the tests themselves: noclobber would take them for settings that are written wrong.
const OF_TESTS: [&str; 4] = ["NOCLOBBER_FULL", "NOCLOBBER_SEED", "NOCLOBBER_TEST_GRAIN", "NOCLOBBER_TEST_SEED"];

/// Held by whoever starts a program, until it is that program.
static STARTING: RwLock<()> = RwLock::new(());

/// Held by whoever waits for that, so that everybody comes to his turn however many programs are started.
static QUEUE: Mutex<()> = Mutex::new(());

/// How every test starts a program; `architecture.rs` holds them to it.
pub trait StartProgram {
    /// As [`Command::spawn`].
    fn start(&mut self) -> io::Result<Child>;
    /// As [`Command::output`].
    fn run(&mut self) -> io::Result<Output>;
    /// As [`Command::status`].
    fn run_to_end(&mut self) -> io::Result<ExitStatus>;
}

impl StartProgram for Command {
    fn start(&mut self) -> io::Result<Child> {
        if self.get_program() == env!("CARGO_BIN_EXE_noclobber") {
            OF_TESTS.iter().for_each(|variable| {
                self.env_remove(variable);
            });
        }
        let queue = QUEUE.lock();
        let _starting = STARTING.write().unwrap_or_else(PoisonError::into_inner);
        drop(queue);
        let child = self.spawn()?;
        wait_until_begun(&child);
        Ok(child)
    }

    fn run(&mut self) -> io::Result<Output> {
        self.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).start()?.wait_with_output()
    }

    fn run_to_end(&mut self) -> io::Result<ExitStatus> {
        self.start()?.wait()
    }
}

/// Waits until the child runs its program. When `spawn` returns, the child may still be inside execve(2), which lets the copies go just before it
/// ends; a signal that stops a process is heeded only behind that.
fn wait_until_begun(child: &Child) {
    let pid = Pid::from_child(child);
    // A child that has ended already has let everything go.
    if kill_process(pid, Signal::STOP).is_ok() {
        let stopped_or_ended = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let _ = waitid(WaitId::Pid(pid), stopped_or_ended);
        let _ = kill_process(pid, Signal::CONT);
    }
}

/// Writes a file, from opening it to closing it, while no program starts: nobody sees another writer. The work starts none and sends no request.
pub fn while_none_starts<T>(work: impl FnOnce() -> T) -> T {
    let queue = QUEUE.lock();
    let _none_starts = STARTING.read().unwrap_or_else(PoisonError::into_inner);
    drop(queue);
    work()
}

/// As [`OsDisk::open`], which tries leases on a file that it has just written.
pub fn open_disk(folder: &Path, options: Options) -> Result<OsDisk> {
    while_none_starts(|| OsDisk::open(folder, options))
}

/// Waits until nobody has a copy of a file that was closed before. Every request does.
pub fn have_started() {
    while_none_starts(|| ());
}
