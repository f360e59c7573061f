//! What the operating system grants to a process, and what it calls the machine.

use std::io;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// Lets the process open as many files as the system allows it: every connection is one, and every download another.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::warn!("cannot raise the limit of open files from {:?} to {:?}: {error}", limit.current, limit.maximum);
    }
}

/// Lets the process leave no core dump, in which secrets would lie that it has in its memory. A limit of one byte holds for programs that take
/// core dumps through a pipe as well, which heed no other (core(5); `do_coredump` in Linux).
pub fn leave_no_core() {
    if let Err(error) = setrlimit(Resource::Core, Rlimit { current: Some(1), maximum: Some(1) }) {
        tracing::warn!("a crash may leave a core dump, in which secrets lie: {error}");
    }
}

/// Says which permissions new files and folders do not get (umask(2)).
pub fn set_umask(mask: u32) {
    umask(Mode::from_raw_mode(mask));
}

/// Lets everything else go before what this thread does (setpriority(2)).
pub fn give_way_to_others() {
    let _ = rustix::process::setpriority_process(None, 10);
}

/// Waits until nobody can read any more what is written to standard output (poll(2)): the reader of a pipe has closed it, or a terminal is gone.
/// Of anything else that never comes.
pub fn wait_until_nobody_reads() {
    let output = io::stdout();
    loop {
        let mut watched = [PollFd::new(&output, PollFlags::empty())];
        match poll(&mut watched, None) {
            Ok(_) if watched[0].revents().intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL) => return,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            // It cannot be known, and shows when something is written.
            Err(_) => loop {
                std::thread::park();
            },
        }
    }
}

/// What the machine is called on its network (uname(2)).
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Does something for each SIGHUP, which otherwise ends the process.
///
/// # Errors
/// Where the signal cannot be caught.
pub fn on_hangup(then: impl Fn() + 'static) -> io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    actix_rt::spawn(async move {
        while hangup.recv().await.is_some() {
            then();
        }
    });
    Ok(())
}

/// Asks a server to stop: the first word lets requests in flight end, the second does not.
pub type StopSignals = mpsc::UnboundedReceiver<()>;

/// Speaks a word of [`StopSignals`] for each SIGTERM and each SIGINT (Ctrl-C).
///
/// # Errors
/// Where the signals cannot be caught.
pub fn stop_on_signals() -> io::Result<StopSignals> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (speak, stop) = mpsc::unbounded_channel();
    actix_rt::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if speak.send(()).is_err() {
                return;
            }
        }
    });
    Ok(stop)
}
