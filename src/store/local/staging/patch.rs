//! A new version that is an old one with some bytes written over it or behind it.

use std::ops::Range;

use super::{Staging, must_be_wanted};
use crate::store::disk_error::{Cause, DiskError, Result};
use crate::store::handle::File;

/// How many bytes are copied at once.
const BUFFER_BYTES: usize = 256 << 10;

/// The bytes that are written.
#[derive(Clone, Copy, Debug)]
pub enum NewBytes<'a> {
    /// These.
    InMemory(&'a [u8]),
    /// What an upload has come to.
    Staged(&'a Staging),
}

/// What a version is made from: the `size` bytes of another, with new ones written over it from `at` on. Where that is behind its end, there are zeros
/// in between.
#[derive(Clone, Copy, Debug)]
pub struct Patch<'a> {
    /// The file that is there.
    pub base: &'a File,
    /// How long it is.
    pub size: u64,
    /// Where the new bytes begin.
    pub at: u64,
    /// The new bytes.
    pub new: NewBytes<'a>,
}

/// Where a stretch of the new version comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Base,
    Nothing,
    New,
}

impl NewBytes<'_> {
    /// How many there are.
    pub fn len(&self) -> u64 {
        match self {
            Self::InMemory(bytes) => bytes.len() as u64,
            Self::Staged(upload) => upload.written,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads from `offset` on, no further than there are any.
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<usize> {
        match self {
            Self::InMemory(bytes) => {
                let rest = &bytes[offset.min(bytes.len() as u64) as usize..];
                let count = rest.len().min(into.len());
                into[..count].copy_from_slice(&rest[..count]);
                Ok(count)
            }
            Self::Staged(upload) => upload.disk.read(&upload.file, offset, into),
        }
    }
}

impl Patch<'_> {
    /// The stretches of the new version, one after the other. No bytes change nothing, wherever they would begin.
    fn stretches(&self) -> Vec<(Range<u64>, Source)> {
        let Self { size, at, .. } = *self;
        let (end, length) = (at.saturating_add(self.new.len()), self.new.len());
        let all = if length == 0 {
            vec![(0..size, Source::Base)]
        } else {
            vec![
                (0..at.min(size), Source::Base),
                (size..at, Source::Nothing),
                (at..end, Source::New),
                (end..size, Source::Base),
            ]
        };
        all.into_iter().filter(|(stretch, _)| !stretch.is_empty()).collect()
    }
}

impl Staging {
    /// Becomes the version that a patch makes, sharing the blocks of the other where the file system can. What is hashed is what this file has:
    /// somebody may be writing to the other one. It ends with [`Cause::Unwanted`] when nobody wants it any more, and with [`Cause::InUse`] if the
    /// other has become shorter.
    pub fn write_patched(&mut self, patch: &Patch<'_>, is_wanted: &dyn Fn() -> bool) -> Result<()> {
        let shares = self.disk.share_blocks(patch.base, &self.file).is_ok();
        let mut buffer = vec![0; BUFFER_BYTES];
        for (stretch, source) in patch.stretches() {
            let mut offset = stretch.start;
            while offset < stretch.end {
                must_be_wanted(is_wanted)?;
                let wanted = buffer.len().min(usize::try_from(stretch.end - offset).unwrap_or(usize::MAX));
                let piece = &mut buffer[..wanted];
                let count = match source {
                    Source::New => patch.new.read(offset - stretch.start, piece)?,
                    Source::Base if shares => self.disk.read(&self.file, offset, piece)?,
                    Source::Base => self.disk.read(patch.base, offset, piece)?,
                    Source::Nothing => {
                        piece.fill(0);
                        wanted
                    }
                };
                if count == 0 {
                    return Err(became_shorter());
                }
                // What nothing is written to between others is zero.
                if source == Source::New || source == Source::Base && !shares {
                    self.disk.write(&self.file, offset, &buffer[..count])?;
                }
                self.hasher.update(&buffer[..count]);
                offset += count as u64;
            }
            self.written = stretch.end;
        }
        Ok(())
    }
}

fn became_shorter() -> DiskError {
    let message = "it became shorter while it was copied".to_owned();
    DiskError { operation: "copy", name: String::new(), cause: Cause::InUse, message }
}
