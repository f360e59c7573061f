//! An open file, for who sends its bytes to a socket without a copy, or asks what of them can be had without waiting.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::io::ReadWriteFlags;

/// An open file of the operating system.
#[derive(Clone, Copy, Debug)]
pub struct OpenFile<'a>(BorrowedFd<'a>);

impl<'a> OpenFile<'a> {
    /// The file of this descriptor.
    pub fn new(file: BorrowedFd<'a>) -> Self {
        Self(file)
    }

    /// Reads at an offset what is in memory, without waiting for the disk; 0 at the end of the file. `None` if nothing is, or if the file
    /// system cannot tell (preadv2(2), `RWF_NOWAIT`). May read less than there is room for.
    pub fn read_at_once(self, offset: u64, into: &mut [u8]) -> Option<usize> {
        rustix::io::preadv2(self.0, &mut [io::IoSliceMut::new(into)], offset, ReadWriteFlags::NOWAIT).ok()
    }

    /// The descriptor, for the system calls of sockets.
    pub(crate) fn fd(self) -> BorrowedFd<'a> {
        self.0
    }
}
