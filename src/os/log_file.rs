//! What the log is written to: a file that other programs may rename, or standard error, which may be a terminal, a pipe or anything else.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// The permissions of a file that is made: names of files and addresses of people are in it.
const MODE: u32 = 0o640;

/// Opens a file to write at its end, and makes it if it is not there.
///
/// # Errors
/// As open(2) has them.
pub fn open_to_append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(MODE).open(path)
}

/// Whether a line to standard error would not wait for a reader who has stopped reading.
pub fn standard_error_takes_more() -> bool {
    wait(Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))
}

/// Waits until standard error takes more: whoever started this process may have made it one that does not wait by itself (`O_NONBLOCK`).
pub fn wait_for_standard_error() {
    wait(None);
}

fn wait(at_most: Option<&Timespec>) -> bool {
    let error = io::stderr();
    let mut standard_error = [PollFd::new(&error, PollFlags::OUT)];
    // One that nobody reads any more (POLLERR) takes nothing, and is not waited for.
    poll(&mut standard_error, at_most).is_ok() && standard_error[0].revents() == PollFlags::OUT
}
