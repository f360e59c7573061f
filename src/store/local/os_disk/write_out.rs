//! Brings an upload to the disk while it is still coming (sync_file_range(2)), so that the sync at its end finds little left to do: a
//! client that has sent its last byte does not wait for gigabytes. The second file with `unsafe` in it, since rustix does not wrap the call.

use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

/// How much is handed to the disk at a time, in bytes. What is shorter is synced quickly anyway.
const STRETCH: u64 = 8 << 20;

/// The whole stretches that a write of these bytes completes, if what lies before them has been written.
pub(super) fn completed(written: Range<u64>) -> Option<Range<u64>> {
    let (start, end) = (written.start / STRETCH * STRETCH, written.end / STRETCH * STRETCH);
    (start < end).then_some(start..end)
}

/// Begins to write these bytes of a file to the disk, and waits for none of them. Where a file system cannot do so, or a container may not
/// ask for it, nothing is lost: the sync at the end is what counts.
pub(super) fn begin(file: BorrowedFd<'_>, bytes: Range<u64>) -> Result<(), Errno> {
    match sync_file_range(file, bytes) {
        Ok(()) | Err(Errno::INVAL | Errno::SPIPE | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => Ok(()),
        Err(errno) => Err(errno),
    }
}

#[allow(unsafe_code, reason = "rustix does not wrap sync_file_range")]
fn sync_file_range(file: BorrowedFd<'_>, bytes: Range<u64>) -> Result<(), Errno> {
    let (offset, length) = (bytes.start.cast_signed(), (bytes.end - bytes.start).cast_signed());
    // SAFETY: the descriptor is open for as long as it is borrowed, and no pointer is taken or given.
    match unsafe { libc::sync_file_range(file.as_raw_fd(), offset, length, libc::SYNC_FILE_RANGE_WRITE) } {
        0 => Ok(()),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_is_handed_over_when_its_last_byte_is_written() {
        const MIB: u64 = 1 << 20;
        for (written, expected) in [
            (0..0, None),
            (0..8 * MIB - 1, None),
            (0..8 * MIB, Some(0..8 * MIB)),
            (8 * MIB - 1..8 * MIB + 1, Some(0..8 * MIB)),
            (8 * MIB..8 * MIB + 1, None),
            (9 * MIB..33 * MIB, Some(8 * MIB..32 * MIB)),
        ] {
            assert_eq!(completed(written.clone()), expected, "{written:?}");
        }
    }
}
