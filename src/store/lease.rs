//! Read leases: proofs that nobody is writing a file.

use std::fmt;

/// What became of asking for a read lease.
pub enum Leased {
    /// Nobody has the file open for writing or mapped writable, and whoever wants to will wait for [`Lease`] to be dropped.
    Held(Box<dyn Lease>),
    /// Somebody has it open for writing, and still did when patience ran out.
    Busy,
    /// This file can have no lease: the file system gives none, or the file is somebody else's.
    Unavailable,
}

/// A read lease (`F_SETLEASE`, fcntl(2)); dropping it lets the waiting writers go on.
pub trait Lease: Send {
    /// Whether nobody waits to write. Once false it stays false.
    fn is_unbroken(&self) -> bool;
}

impl fmt::Debug for Leased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Held(_) => "Held",
            Self::Busy => "Busy",
            Self::Unavailable => "Unavailable",
        })
    }
}
