//! Uploads that come in chunks: each has a folder of its own, in which every chunk is a file that is there whole or not at all, and a note of what
//! the upload is for.
//!
//! A chunk counts once its file has its name, which it gets after it was synced. A folder without a note that can be read is no upload, and goes at
//! the next start.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::super::disk::Disk;
use super::super::place::{Running, UploadFolder, own_name};
use super::super::trees::remove_tree;
use super::lasting::{CHECK_BYTES, PURPOSE_BYTES_MAX, check, lost, read_all};
use super::{OwnName, Staging, sweep, unfinished_name};
use crate::model::path::Name;
use crate::store::disk_error::{Cause, DiskError, Result};
use crate::store::handle::{Dir, Opened};
use crate::store::status::Kind;

/// What the names of the folders of uploads in chunks begin with.
const CHUNKED: &str = "chunked-";

/// The note in such a folder.
const NOTE: &str = "note";

/// What the names of chunks begin with.
const CHUNK: &str = "chunk-";

/// An upload in chunks that an earlier process left.
#[derive(Debug)]
pub struct LeftChunks {
    /// What its folder is called, without what all these names begin with.
    pub folder: Box<str>,
    /// What it is for, as it was noted.
    pub purpose: Vec<u8>,
    /// What its chunks are called, and how long they are, in bytes.
    pub chunks: Vec<(Box<str>, u64)>,
}

/// The uploads in chunks on a disk.
#[derive(Clone, Copy, Debug)]
pub struct Chunks<'a> {
    disk: &'a Arc<dyn Disk>,
}

impl<'a> Chunks<'a> {
    pub(in super::super) fn on(disk: &'a Arc<dyn Disk>) -> Self {
        Self { disk }
    }

    /// Makes the folder of an upload that begins, with a note of what it is for.
    pub fn make(self, uploads: &UploadFolder, folder: &str, purpose: &[u8]) -> Result<()> {
        let name = folder_name(folder);
        self.disk.make_dir(&uploads.dir, &name, true)?;
        let made = self.note(&uploads.dir, folder, purpose).and_then(|()| self.disk.sync_dir(&uploads.dir));
        if made.is_err() {
            let _ = remove_tree(&**self.disk, &uploads.dir, &name);
        }
        made
    }

    /// Notes what an upload is for, in place of what was noted before.
    pub fn note(self, uploads: &Dir, folder: &str, purpose: &[u8]) -> Result<()> {
        if purpose.len() > PURPOSE_BYTES_MAX {
            return Err(DiskError { cause: Cause::TooLarge, ..lost(folder) });
        }
        let (dir, unfinished) = (self.open(uploads, folder)?, unfinished_name());
        let file = self.disk.create_named(&dir, &unfinished)?;
        let length = (purpose.len() as u32).to_le_bytes();
        let noted = self
            .disk
            .write(&file, 0, &[&check(&[&length, purpose, folder.as_bytes()])[..], &length, purpose].concat())
            .and_then(|()| self.disk.sync_file(&file))
            .and_then(|()| self.disk.rename_over((&dir, &unfinished), (&dir, &own_name(NOTE))));
        if noted.is_err() {
            let _ = self.disk.unlink(&dir, &unfinished);
        }
        noted.and_then(|()| self.disk.sync_dir(&dir))
    }

    /// Begins a chunk of an upload.
    pub fn begin(self, uploads: &Dir, folder: &str) -> Result<Staging> {
        let dir = self.open(uploads, folder)?;
        let (name, id) = (unfinished_name(), self.disk.dir_status(&dir)?.stamp.id);
        let file = self.disk.create_named(&dir, &name)?;
        let own_name = OwnName { disk: Arc::clone(self.disk), dir, name, id, sweep: true, running: Running::default() };
        let (disk, hasher) = (Arc::clone(self.disk), blake3::Hasher::new());
        let own_name = Some(own_name);
        Ok(Staging { disk, file, own_name, folder: id, hasher, written: 0, heir_of: None, aside: None, lasts: true })
    }

    /// Reads a chunk of so many bytes from its beginning, a piece at a time.
    pub fn read<E: From<DiskError>>(
        self,
        (uploads, folder): (&Dir, &str),
        (chunk, bytes): (&str, u64),
        each: &mut dyn FnMut(&[u8]) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let Opened::File(file, _) = self.disk.open(&self.open(uploads, folder)?, &chunk_name(chunk))? else {
            return Err(lost(folder).into());
        };
        let (mut buffer, mut at) = (vec![0; 256 << 10], 0);
        while at < bytes {
            let wanted = buffer.len().min(usize::try_from(bytes - at).unwrap_or(usize::MAX));
            let count = self.disk.read(&file, at, &mut buffer[..wanted])?;
            if count == 0 {
                return Err(lost(folder).into());
            }
            each(&buffer[..count])?;
            at += count as u64;
        }
        Ok(())
    }

    /// Removes an upload with its chunks: first its note, so that what is left of it after a crash is none.
    pub fn remove(self, uploads: &Dir, folder: &str) -> Result<()> {
        let gone = |removed| match removed {
            Err(DiskError { cause: Cause::NotFound, .. }) => Ok(()),
            removed => removed,
        };
        gone(self.open(uploads, folder).and_then(|dir| self.disk.unlink(&dir, &own_name(NOTE))))?;
        gone(remove_tree(&**self.disk, uploads, &folder_name(folder)))
    }

    /// The uploads that an earlier process left. What is none is removed, and so are the chunks that had not come whole.
    pub(in super::super) fn left_in(self, uploads: &Dir) -> Result<Vec<LeftChunks>> {
        let mut folders = Vec::new();
        self.disk.list(uploads, &mut |entry| {
            let name = entry.name.to_text();
            if let (Some(folder), Kind::Dir) = (name.strip_prefix(CHUNKED), entry.status.kind) {
                folders.push(folder.to_owned());
            }
            ControlFlow::Continue(())
        })?;
        folders.sort_unstable();
        let mut left = Vec::new();
        for folder in folders {
            match self.read_left(uploads, &folder)? {
                Some(found) => left.push(found),
                // What cannot be removed now is at the next start.
                None => drop(remove_tree(&**self.disk, uploads, &folder_name(&folder))),
            }
        }
        Ok(left)
    }

    fn read_left(self, uploads: &Dir, folder: &str) -> Result<Option<LeftChunks>> {
        let dir = self.open(uploads, folder)?;
        let Some(purpose) = self.read_note(&dir, folder)? else { return Ok(None) };
        let _ = sweep(&**self.disk, &dir);
        let mut chunks = Vec::new();
        self.disk.list(&dir, &mut |entry| {
            if let (Some(chunk), Kind::File) = (entry.name.to_text().strip_prefix(CHUNK), entry.status.kind) {
                chunks.push((chunk.into(), entry.status.stamp.size));
            }
            ControlFlow::Continue(())
        })?;
        Ok(Some(LeftChunks { folder: folder.into(), purpose, chunks }))
    }

    /// What an upload is for; `None` if that cannot be read.
    fn read_note(self, dir: &Dir, folder: &str) -> Result<Option<Vec<u8>>> {
        let disk = &**self.disk;
        let Opened::File(file, _) = disk.open(dir, &own_name(NOTE))? else { return Ok(None) };
        let mut head = [0; CHECK_BYTES + 4];
        if !read_all(disk, &file, 0, &mut head)? {
            return Ok(None);
        }
        let (said, length) = head.split_at(CHECK_BYTES);
        let bytes = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
        let mut purpose = vec![0; bytes.min(PURPOSE_BYTES_MAX)];
        let is_whole = read_all(disk, &file, head.len() as u64, &mut purpose)?
            && check(&[length, &purpose, folder.as_bytes()]) == said;
        Ok(is_whole.then_some(purpose))
    }

    fn open(self, uploads: &Dir, folder: &str) -> Result<Dir> {
        self.disk.open_dir(uploads, folder_name(folder).as_bytes())
    }
}

impl Staging {
    /// Brings a chunk that has come whole to the disk.
    pub fn sync_chunk(&self) -> Result<()> {
        self.disk.cut(&self.file, self.written)?;
        self.disk.sync_file(&self.file)
    }

    /// Gives a chunk that was synced its name, in place of the one that had it.
    pub fn name_chunk(&mut self, chunk: &str) -> Result<()> {
        let Some(own) = &mut self.own_name else { return Ok(()) };
        self.disk.rename_over((&own.dir, &own.name), (&own.dir, &chunk_name(chunk)))?;
        own.sweep = false;
        Ok(())
    }

    /// Brings the name of a chunk to the disk.
    pub fn sync_chunk_name(&self) -> Result<()> {
        self.own_name.as_ref().map_or(Ok(()), |own| self.disk.sync_dir(&own.dir))
    }
}

fn folder_name(folder: &str) -> Name {
    own_name(&format!("{CHUNKED}{folder}"))
}

fn chunk_name(chunk: &str) -> Name {
    own_name(&format!("{CHUNK}{chunk}"))
}
