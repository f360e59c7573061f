//! Uploads that outlive their connection and the process: the bytes in a file with a name, and beside it a note of what they are for and how
//! many of them count.
//!
//! Bytes count once a note says so, and a note says so only after they were synced: whatever happens then, they are there. What lies in the file
//! behind them is cut off when it is taken up again. Two places in the note are written in turn, so one of them is always whole.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::super::disk::Disk;
use super::super::naming;
use super::super::place::{Running, UploadFolder};
use super::{LASTING, OwnName, Staged, Staging, must_be_wanted, unfinished_name};
use crate::model::content_hash::ContentHash;
use crate::model::path::Name;
use crate::model::stamp::FileId;
use crate::store::disk_error::{Cause, DiskError, Result};
use crate::store::handle::{Dir, File, Opened};
use crate::store::status::Kind;

/// What the name of a note ends with.
const NOTE: &str = ".note";

/// How long what an upload is for may be as it is noted, in bytes.
pub(super) const PURPOSE_BYTES_MAX: usize = 64 << 10;

/// A place in a note: when it was written in turn, how far the upload goes, how long it is to become, and a digest of these.
const PLACE_BYTES: usize = 40;

/// Where in a note it stands what the upload is for: behind the two places.
const PURPOSE_AT: u64 = 2 * PLACE_BYTES as u64;

/// How long the digest is that tells what was written whole, in bytes.
pub(super) const CHECK_BYTES: usize = 16;

/// How far an upload goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// How many bytes count.
    pub offset: u64,
    /// How many it is to have in all, if that is known.
    pub length: Option<u64>,
}

/// The note beside a lasting upload.
#[derive(Debug)]
pub struct Note {
    disk: Arc<dyn Disk>,
    stem: Box<str>,
    file: File,
    turn: u64,
    /// What it says.
    mark: Mark,
}

/// A lasting upload that an earlier process left.
#[derive(Debug)]
pub struct Left {
    /// What it is called on the disk.
    pub stem: Box<str>,
    /// What it is for, as it was noted.
    pub purpose: Vec<u8>,
    /// How far it goes.
    pub mark: Mark,
}

impl Staging {
    /// Begins an upload for the folder `parent`, which is `folder`, that lasts; its name on the disk is made of `stem`.
    pub fn begin_lasting(
        disk: &Arc<dyn Disk>,
        (parent, folder): (&Dir, FileId),
        uploads: &UploadFolder,
        (stem, purpose, mark): (&str, &[u8], Mark),
    ) -> Result<(Self, Note)> {
        let name = bytes_name(stem);
        let can = disk.abilities(parent)?;
        // Begun in the folder that it is for it has the group and the access list that a file there gets.
        let file = if can.nameless && can.link {
            let file = disk.create_nameless(parent)?;
            disk.link(&file, &uploads.dir, &name)?;
            file
        } else {
            disk.create_named(&uploads.dir, &name)?
        };
        let staging = Self::lasting(disk, file, (&uploads.dir, name), folder)?;
        match Note::make(disk, uploads, stem, purpose, mark) {
            Ok(note) => Ok((staging, note)),
            Err(error) => {
                let _ = disk.unlink(&uploads.dir, &bytes_name(stem));
                Err(error)
            }
        }
    }

    /// Takes up an upload that lasts, as far as it counts, for the folder `folder`. It is read for its hash, unless it was left at this `point`.
    pub fn take_up(
        disk: &Arc<dyn Disk>,
        dir: &Dir,
        (stem, offset, point): (&str, u64, Option<Point>),
        folder: FileId,
    ) -> Result<Self> {
        let name = bytes_name(stem);
        let file = disk.open_to_write(dir, &name)?;
        let status = disk.status(&file)?;
        // With another name it is the file of a commit that was cut short, and with fewer bytes it is not what was left.
        if status.links > 1 || status.stamp.size < offset {
            return Err(lost(stem));
        }
        disk.cut(&file, offset)?;
        let mut staging = Self::lasting(disk, file, (dir, name), folder)?;
        match point.filter(|point| point.written == offset) {
            Some(point) => (staging.written, staging.hasher) = (point.written, point.hasher),
            None => staging.hash_what_is_there(offset)?,
        }
        Ok(staging)
    }

    fn lasting(disk: &Arc<dyn Disk>, file: File, (dir, name): (&Dir, Name), folder: FileId) -> Result<Self> {
        let id = disk.status(&file)?.stamp.id;
        // It is looked for at every start, whether or not one says that something was left.
        let running = Running::default();
        let own_name = OwnName { disk: Arc::clone(disk), dir: dir.clone(), name, id, sweep: false, running };
        let (hasher, disk) = (blake3::Hasher::new(), Arc::clone(disk));
        let own_name = Some(own_name);
        Ok(Self { disk, file, own_name, folder, hasher, written: 0, heir_of: None, aside: None, lasts: true })
    }

    fn hash_what_is_there(&mut self, bytes: u64) -> Result<()> {
        let mut buffer = vec![0; 256 << 10];
        while self.written < bytes {
            let wanted = buffer.len().min(usize::try_from(bytes - self.written).unwrap_or(usize::MAX));
            let count = self.disk.read(&self.file, self.written, &mut buffer[..wanted])?;
            if count == 0 {
                return Err(lost(""));
            }
            self.hasher.update(&buffer[..count]);
            self.written += count as u64;
        }
        Ok(())
    }

    /// Reads what has been written, from its beginning, a piece at a time.
    pub fn read_through(&self, each: &mut dyn FnMut(&[u8])) -> Result<()> {
        let mut buffer = vec![0; 256 << 10];
        let mut at = 0;
        while at < self.written {
            let wanted = buffer.len().min(usize::try_from(self.written - at).unwrap_or(usize::MAX));
            let count = self.disk.read(&self.file, at, &mut buffer[..wanted])?;
            if count == 0 {
                return Err(lost(""));
            }
            each(&buffer[..count]);
            at += count as u64;
        }
        Ok(())
    }

    /// As far as it goes now, to come back to.
    pub fn point(&self) -> Point {
        Point { written: self.written, hasher: self.hasher.clone() }
    }

    /// Forgets what was written since.
    pub fn back_to(&mut self, point: Point) -> Result<()> {
        self.disk.cut(&self.file, point.written)?;
        (self.written, self.hasher) = (point.written, point.hasher);
        Ok(())
    }

    /// Brings what was written to the disk, so that it may count.
    pub fn sync(&self) -> Result<()> {
        self.disk.sync_file(&self.file)
    }

    /// Says for which folder it is now: since it was begun that may have been replaced, or another may be meant.
    pub fn comes_into(&mut self, parent: &Dir, folder: FileId) {
        if self.folder != folder {
            self.heir_of = Some(parent.clone());
            self.folder = folder;
        }
    }

    /// Takes the whole content of an upload on another file system, as long as that is wanted.
    pub fn copy_lasting(&mut self, lasting: &Self, is_wanted: &dyn Fn() -> bool) -> Result<()> {
        let mut buffer = vec![0; 256 << 10];
        while self.written < lasting.written {
            must_be_wanted(is_wanted)?;
            let wanted = buffer.len().min(usize::try_from(lasting.written - self.written).unwrap_or(usize::MAX));
            let count = self.disk.read(&lasting.file, self.written, &mut buffer[..wanted])?;
            if count == 0 {
                return Err(lost(""));
            }
            self.write(&buffer[..count])?;
        }
        Ok(())
    }
}

/// A point in an upload that can be come back to.
#[derive(Clone, Debug)]
pub struct Point {
    written: u64,
    hasher: blake3::Hasher,
}

impl Staged {
    /// After it was refused: goes back to where it lay as an upload that lasts, to be finished in another way. Its bytes are copied if somebody may
    /// have come by the file, and then it fails if they are not what they were.
    pub fn goes_back(mut self, dir: &Dir, stem: &str) -> Result<()> {
        let name = bytes_name(stem);
        match &mut self.own_name {
            Some(own) if own.sweep && own.name == name => own.sweep = false,
            Some(own) if own.sweep => {
                naming::move_within(&*self.disk, (&own.dir, &own.name), (dir, &name))?;
                own.sweep = false;
            }
            _ => self.is_copied_to(dir, &name)?,
        }
        self.disk.sync_dir(dir)
    }

    fn is_copied_to(&self, dir: &Dir, name: &Name) -> Result<()> {
        let unfinished = unfinished_name();
        let file = self.disk.create_named(dir, &unfinished)?;
        let own = OwnName {
            disk: Arc::clone(&self.disk),
            dir: dir.clone(),
            name: unfinished.clone(),
            id: self.disk.status(&file)?.stamp.id,
            sweep: true,
            running: Running::default(),
        };
        let mut copy = Staging {
            disk: Arc::clone(&self.disk),
            file,
            own_name: Some(own),
            folder: self.folder,
            hasher: blake3::Hasher::new(),
            written: 0,
            heir_of: None,
            aside: None,
            lasts: true,
        };
        copy.copy_from(&self.file, &|| true)?;
        if ContentHash::finish(&copy.hasher) != self.hash {
            return Err(lost(""));
        }
        copy.sync()?;
        naming::move_within(&*self.disk, (dir, &unfinished), (dir, name))?;
        if let Some(own) = &mut copy.own_name {
            own.sweep = false;
        }
        Ok(())
    }
}

impl Note {
    /// Writes the note of an upload that begins, whole before it has its name.
    fn make(disk: &Arc<dyn Disk>, uploads: &UploadFolder, stem: &str, purpose: &[u8], mark: Mark) -> Result<Self> {
        if purpose.len() > PURPOSE_BYTES_MAX {
            return Err(DiskError { cause: Cause::TooLarge, ..lost(stem) });
        }
        let unfinished = unfinished_name();
        let dir = &uploads.dir;
        let file = disk.create_named(dir, &unfinished)?;
        let note = Self { disk: Arc::clone(disk), stem: stem.into(), file, turn: 1, mark };
        let written = note.write_whole(purpose, mark).and_then(|()| {
            naming::move_within(&**disk, (dir, &unfinished), (dir, &note_name(stem)))?;
            disk.sync_dir(dir)
        });
        if let Err(error) = written {
            let _ = disk.unlink(dir, &unfinished);
            let _ = disk.unlink(dir, &note_name(stem));
            return Err(error);
        }
        Ok(note)
    }

    fn write_whole(&self, purpose: &[u8], mark: Mark) -> Result<()> {
        let place = place(0, mark, &self.stem);
        let length = (purpose.len() as u32).to_le_bytes();
        let check = check(&[&length, purpose, self.stem.as_bytes()]);
        self.disk.write(&self.file, 0, &[&place[..], &place, &check, &length, purpose].concat())?;
        self.disk.sync_file(&self.file)
    }

    /// Notes how far the upload goes. What it counts has to be on the disk.
    pub fn acknowledge(&mut self, mark: Mark) -> Result<()> {
        if mark == self.mark {
            return Ok(());
        }
        let at = self.turn % 2 * PLACE_BYTES as u64;
        self.disk.write(&self.file, at, &place(self.turn, mark, &self.stem))?;
        self.disk.sync_file(&self.file)?;
        self.turn += 1;
        self.mark = mark;
        Ok(())
    }

    /// Opens the note of an upload that was left.
    pub fn open(disk: &Arc<dyn Disk>, dir: &Dir, stem: &str) -> Result<Self> {
        let file = disk.open_to_write(dir, &note_name(stem))?;
        let (turn, mark) = read_places(&**disk, &file, stem)?.ok_or_else(|| lost(stem))?;
        Ok(Self { disk: Arc::clone(disk), stem: stem.into(), file, turn: turn + 1, mark })
    }
}

/// Removes a lasting upload, or what is left of one.
pub fn remove_lasting(disk: &dyn Disk, dir: &Dir, stem: &str) -> Result<()> {
    let removed = [bytes_name(stem), note_name(stem)].map(|name| match disk.unlink(dir, &name) {
        Err(error) if error.cause == Cause::NotFound => Ok(()),
        removed => removed,
    });
    removed.into_iter().collect()
}

/// The lasting uploads in a folder for uploads. What is none, or has lost its bytes or its note, is removed.
pub fn lasting_in(disk: &dyn Disk, dir: &Dir) -> Result<Vec<Left>> {
    let mut stems = Vec::new();
    disk.list(dir, &mut |entry| {
        let name = entry.name.to_text().into_owned();
        let stem = name.strip_prefix(LASTING).map(|stem| stem.strip_suffix(NOTE).unwrap_or(stem).to_owned());
        if let (Some(stem), Kind::File) = (stem, entry.status.kind) {
            stems.push(stem);
        }
        ControlFlow::Continue(())
    })?;
    stems.sort_unstable();
    stems.dedup();
    let mut left = Vec::new();
    for stem in stems {
        match read_note(disk, dir, &stem)? {
            Some(note) => left.push(note),
            // What cannot be removed now is at the next start.
            None => drop(remove_lasting(disk, dir, &stem)),
        }
    }
    Ok(left)
}

/// Reads a note whose bytes are there; `None` if it cannot be used.
fn read_note(disk: &dyn Disk, dir: &Dir, stem: &str) -> Result<Option<Left>> {
    let Some(bytes) = disk.look(dir, &bytes_name(stem))? else { return Ok(None) };
    let Opened::File(file, _) = disk.open(dir, &note_name(stem))? else { return Ok(None) };
    let Some((_, mark)) = read_places(disk, &file, stem)? else { return Ok(None) };
    if bytes.links > 1 || bytes.stamp.size < mark.offset {
        return Ok(None);
    }
    let mut head = [0; CHECK_BYTES + 4];
    if !read_all(disk, &file, PURPOSE_AT, &mut head)? {
        return Ok(None);
    }
    let (said, length) = head.split_at(CHECK_BYTES);
    let bytes = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
    let mut purpose = vec![0; bytes.min(PURPOSE_BYTES_MAX)];
    let is_whole = read_all(disk, &file, PURPOSE_AT + head.len() as u64, &mut purpose)?
        && check(&[length, &purpose, stem.as_bytes()]) == said;
    Ok(is_whole.then(|| Left { stem: stem.into(), purpose, mark }))
}

/// The later of the two places that are whole, and when it was written in turn.
fn read_places(disk: &dyn Disk, file: &File, stem: &str) -> Result<Option<(u64, Mark)>> {
    let mut both = [0; 2 * PLACE_BYTES];
    if !read_all(disk, file, 0, &mut both)? {
        return Ok(None);
    }
    let places = both.chunks(PLACE_BYTES).filter_map(|bytes| read_place(bytes, stem));
    Ok(places.max_by_key(|(turn, _)| *turn))
}

fn place(turn: u64, mark: Mark, stem: &str) -> [u8; PLACE_BYTES] {
    let mut place = [0; PLACE_BYTES];
    place[..8].copy_from_slice(&turn.to_le_bytes());
    place[8..16].copy_from_slice(&mark.offset.to_le_bytes());
    place[16..24].copy_from_slice(&mark.length.unwrap_or(u64::MAX).to_le_bytes());
    let check = check(&[&place[..24], stem.as_bytes()]);
    place[24..].copy_from_slice(&check);
    place
}

fn read_place(bytes: &[u8], stem: &str) -> Option<(u64, Mark)> {
    let number = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let (turn, offset, length) = (number(0)?, number(8)?, number(16)?);
    let mark = Mark { offset, length: Some(length).filter(|length| *length != u64::MAX) };
    (place(turn, mark, stem) == bytes).then_some((turn, mark))
}

pub(super) fn read_all(disk: &dyn Disk, file: &File, mut at: u64, mut into: &mut [u8]) -> Result<bool> {
    while !into.is_empty() {
        let count = disk.read(file, at, into)?;
        if count == 0 {
            return Ok(false);
        }
        at += count as u64;
        into = &mut into[count..];
    }
    Ok(true)
}

pub(super) fn check(parts: &[&[u8]]) -> [u8; CHECK_BYTES] {
    let mut hasher = blake3::Hasher::new();
    parts.iter().for_each(|part| {
        hasher.update(part);
    });
    hasher.finalize().as_bytes()[..CHECK_BYTES].try_into().expect("it is longer")
}

fn bytes_name(stem: &str) -> Name {
    Name::new(format!("{LASTING}{stem}").as_bytes()).expect("a plain word")
}

fn note_name(stem: &str) -> Name {
    Name::new(format!("{LASTING}{stem}{NOTE}").as_bytes()).expect("a plain word")
}

pub(super) fn lost(stem: &str) -> DiskError {
    let message = "the bytes of this upload are not what was left".to_owned();
    DiskError { operation: "take up", name: stem.to_owned(), cause: Cause::NotFound, message }
}
