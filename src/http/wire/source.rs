//! An open file as a response body needs it: its bytes at an offset, at once or from the disk, and whether it is still the version that
//! was announced.

use crate::os::open_file::OpenFile;
use bytes::{Bytes, BytesMut};
use std::fmt;
use std::io;

/// How much is copied at once where the kernel cannot send the file itself, in bytes.
pub(super) const PIECE: u64 = 64 * 1024;

/// An open file, as the bodies need it.
pub trait FileBytes: Send + Sync + fmt::Debug {
    /// The file as the operating system knows it: `sendfile` and reads that do not wait go to it. `None` if it does not.
    fn open_file(&self) -> Option<OpenFile<'_>>;

    /// Reads at an offset; zero bytes mean the end. May wait for the disk, and is called in the blocking pool only.
    ///
    /// # Errors
    /// What the disk says.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize>;

    /// Whether the file is still the version whose tag and length were announced. One `fstat`: called on the worker.
    fn still_the_same(&self) -> bool;
}

/// Reads what can be read without waiting for the disk; nothing if that is not all that was wanted.
pub(crate) fn read_at_once(source: &dyn FileBytes, offset: u64, wanted: u64) -> io::Result<Option<Bytes>> {
    let Some(file) = source.open_file() else { return Ok(None) };
    let mut bytes = BytesMut::zeroed(wanted as usize);
    match file.read_at_once(offset, &mut bytes) {
        Some(0) => Err(cut_short()),
        // A short read is no end: the rest may just not be in memory.
        Some(read) => {
            bytes.truncate(read);
            Ok(Some(bytes.freeze()))
        }
        None => Ok(None),
    }
}

/// The file is shorter than what was announced.
pub(crate) fn cut_short() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was sent")
}

/// The file was written to while it was sent.
pub(crate) fn changed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the file was changed in place while it was sent")
}

/// Whether the byte at this offset can be read without waiting for the disk. If that cannot be told, somebody else must wait for it.
pub(super) fn in_memory(source: &dyn FileBytes, offset: u64) -> io::Result<bool> {
    match source.open_file().and_then(|file| file.read_at_once(offset, &mut [0])) {
        Some(0) => Err(cut_short()),
        found => Ok(found.is_some()),
    }
}

/// Reads a window for the sake of the page cache. Runs in the blocking pool.
pub(super) fn warm(source: &dyn FileBytes, mut position: u64, until: u64) -> io::Result<()> {
    let mut scratch = vec![0; PIECE as usize];
    while position < until {
        let wanted = (until - position).min(PIECE) as usize;
        match source.read_at(position, &mut scratch[..wanted])? {
            0 => return Err(cut_short()),
            read => position += read as u64,
        }
    }
    Ok(())
}

/// Reads exactly so many bytes. Runs in the blocking pool.
pub(crate) fn read_fully(source: &dyn FileBytes, position: u64, wanted: u64) -> io::Result<Bytes> {
    let mut bytes = vec![0; wanted as usize];
    let mut filled = 0;
    while filled < bytes.len() {
        match source.read_at(position + filled as u64, &mut bytes[filled..])? {
            0 => return Err(cut_short()),
            read => filled += read,
        }
    }
    Ok(bytes.into())
}
