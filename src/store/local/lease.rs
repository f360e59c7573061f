//! Read leases (`F_SETLEASE`, fcntl(2)), and the two signals that must not end the process. One of the three files with `unsafe` in
//! them, since rustix wraps neither. A lease is taken once on a handle, held as long as its [`Lease`] lives, and never armed again.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::store::handle::File;
use crate::store::lease::{Lease, Leased};

/// How long the first wait for a writer to close is; each next one is twice as long.
const WAIT_MIN: Duration = Duration::from_millis(2);

/// How long a wait for a writer to close is at most.
const WAIT_MAX: Duration = Duration::from_millis(10);

/// Ignores SIGIO, which the kernel sends to the holder of a lease when somebody waits for it, and which ends the process by
/// default. Nothing is missed: the commit asks the lease itself.
pub fn ignore_lease_signal() {
    ignore(libc::SIGIO);
}

/// Ignores SIGXFSZ, which a write past the limit on file sizes sends, and which ends the process by default. The write fails
/// with `EFBIG` all the same.
pub fn ignore_size_signal() {
    ignore(libc::SIGXFSZ);
}

/// Asks for a read lease on an open file, again and again until `patience` runs out.
///
/// The handle must be open for reading only and must never have held a lease: arming a broken one again would hide the break.
pub(super) fn take(file: &File, patience: Duration) -> Leased {
    let Some(fd) = file.0.fd() else { return Leased::Unavailable };
    let began = Instant::now();
    let mut wait = WAIT_MIN;
    loop {
        match control(fd, libc::F_SETLEASE, libc::F_RDLCK) {
            Ok(_) => return Leased::Held(Box::new(ReadLease { file: file.clone() })),
            Err(libc::EINTR) => continue,
            Err(libc::EAGAIN) => {}
            Err(_) => return Leased::Unavailable,
        }
        let left = patience.saturating_sub(began.elapsed());
        if left.is_zero() {
            return Leased::Busy;
        }
        sleep(wait.min(left));
        wait = (wait * 2).min(WAIT_MAX);
    }
}

/// Whether a read lease can be had on this open file just now; it is given back at once.
pub(super) fn can_be_had(fd: BorrowedFd<'_>) -> bool {
    let taken = control(fd, libc::F_SETLEASE, libc::F_RDLCK).is_ok();
    let asked = control(fd, libc::F_GETLEASE, 0) == Ok(libc::F_RDLCK);
    let given_back = control(fd, libc::F_SETLEASE, libc::F_UNLCK).is_ok();
    taken && asked && given_back
}

/// Keeps the file open, since closing it would drop the lease.
struct ReadLease {
    file: File,
}

impl Lease for ReadLease {
    fn is_unbroken(&self) -> bool {
        // While somebody waits, and ever after, the kernel says F_UNLCK.
        self.file.0.fd().is_some_and(|fd| control(fd, libc::F_GETLEASE, 0) == Ok(libc::F_RDLCK))
    }
}

impl Drop for ReadLease {
    fn drop(&mut self) {
        if let Some(fd) = self.file.0.fd() {
            // It fails only if the kernel has taken the lease away already.
            let _ = control(fd, libc::F_SETLEASE, libc::F_UNLCK);
        }
    }
}

/// One `fcntl` with a number for its argument; the error is the errno.
#[allow(unsafe_code, reason = "rustix does not wrap F_SETLEASE and F_GETLEASE")]
fn control(fd: BorrowedFd<'_>, command: libc::c_int, argument: libc::c_int) -> Result<libc::c_int, libc::c_int> {
    // SAFETY: the descriptor is open for as long as it is borrowed, and neither command takes or gives a pointer.
    let answer = unsafe { libc::fcntl(fd.as_raw_fd(), command, argument) };
    if answer >= 0 { Ok(answer) } else { Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)) }
}

#[allow(unsafe_code, reason = "signal dispositions have no safe wrapper here")]
fn ignore(signal: libc::c_int) {
    // SAFETY: SIG_IGN runs no code of ours, and nothing else in this process handles these signals.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}
