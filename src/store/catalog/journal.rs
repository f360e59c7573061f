//! What the index has come to know since it was last saved, on the way to the database.
//!
//! Every change is appended to a file as soon as it is known, with one write and no sync: a process that is killed loses none of
//! it, only a power cut may. It is read at the start and removed when the database has it. It never fails anybody: what
//! cannot be written is forgotten with the process, as everything in the index may be.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::codec;
use super::database::open_private;
use super::remembered::Remembered;

/// How many bytes of a record's hash stand behind it: a power cut may leave anything.
const CHECK_BYTES: usize = 8;

/// The journal of an index: numbered files beside the database, of which the last is written.
#[derive(Debug)]
pub(super) struct Journal {
    database: PathBuf,
    number: u64,
    file: Option<File>,
    /// How many bytes of the file are whole records.
    written: u64,
    /// How many bytes are in the files before it.
    before: u64,
    /// Whether something could not be written into the file: then nothing more is, until the next one is begun.
    is_broken_off: bool,
}

/// One change: what became known, or that it is to be forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Record {
    /// Of the file with this inode number.
    File(u64, Option<Remembered>),
    /// Of the lock with this token: the lock as it is written down.
    Lock(Box<str>, Option<Box<[u8]>>),
}

impl Journal {
    /// Opens the journal of this database, and gives the changes that were not saved, oldest first.
    pub(super) fn open(database: &Path) -> io::Result<(Self, Vec<Record>)> {
        let (number, file, written, before) = (0, None, 0, 0);
        let mut journal = Self { database: database.to_owned(), number, file, written, before, is_broken_off: false };
        let mut records = Vec::new();
        for number in journal.numbers()? {
            let bytes = fs::read(journal.path(number))?;
            journal.before += bytes.len() as u64;
            let mut rest = &*bytes;
            while let Some((record, behind)) = first_of(rest) {
                records.extend(codec::decode::<Record>(record));
                rest = behind;
            }
            journal.number = number + 1;
        }
        Ok((journal, records))
    }

    pub(super) fn append(&mut self, record: &Record) {
        if self.is_broken_off {
            return;
        }
        if self.file.is_none() {
            self.file = open_private(OpenOptions::new().append(true), &self.path(self.number)).ok();
        }
        let record = record.on_disk();
        if self.file.as_mut().is_some_and(|file| file.write_all(&record).is_ok()) {
            self.written += record.len() as u64;
            return;
        }
        // Half a record hides all behind it, so nothing comes behind it; and a full disk is not filled with empty files.
        self.is_broken_off = true;
        if self.written == 0 {
            let _ = fs::remove_file(self.path(self.number));
        }
    }

    /// How many bytes it takes on the disk.
    pub(super) fn bytes(&self) -> u64 {
        self.before + self.written
    }

    /// Whether everything that was appended since the last [`Journal::end_file`] is there.
    pub(super) fn is_whole(&self) -> bool {
        !self.is_broken_off
    }

    /// Begins another file; all up to the number that is given back may be removed once the database has what is in them.
    pub(super) fn end_file(&mut self) -> u64 {
        self.file = None;
        self.before += std::mem::take(&mut self.written);
        self.is_broken_off = false;
        self.number += 1;
        self.number
    }

    /// Removes the files before this number.
    pub(super) fn remove_before(&mut self, number: u64) {
        for old in self.numbers().into_iter().flatten().filter(|old| *old < number) {
            let _ = fs::remove_file(self.path(old));
        }
        self.before = 0;
    }

    fn path(&self, number: u64) -> PathBuf {
        let mut name = self.database.clone().into_os_string();
        name.push(format!(".journal-{number}"));
        name.into()
    }

    fn numbers(&self) -> io::Result<Vec<u64>> {
        let (Some(folder), Some(name)) = (self.database.parent(), self.database.file_name()) else {
            return Ok(Vec::new());
        };
        let begins = format!("{}.journal-", name.to_string_lossy());
        let mut numbers = Vec::new();
        for entry in fs::read_dir(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })? {
            let number = |name: &OsStr| name.to_str()?.strip_prefix(&begins)?.parse().ok();
            numbers.extend::<Option<u64>>(number(&entry?.file_name()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }
}

impl Record {
    /// The record behind its length, and a part of its hash behind it.
    fn on_disk(&self) -> Vec<u8> {
        let record = codec::encode(self);
        let length = u32::try_from(record.len()).expect("a lock is bounded");
        let check = blake3::hash(&record);
        [&length.to_le_bytes()[..], &record, &check.as_bytes()[..CHECK_BYTES]].concat()
    }
}

/// The record at the beginning, and what is behind it; `None` if there is none that is whole.
fn first_of(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (record, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let (check, rest) = rest.split_at_checked(CHECK_BYTES)?;
    (blake3::hash(record).as_bytes()[..CHECK_BYTES] == *check).then_some((record, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(token: &str, lock: Option<&[u8]>) -> Record {
        Record::Lock(token.into(), lock.map(Into::into))
    }

    #[test]
    fn what_was_not_saved_is_read_again_and_what_was_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = folder.path().join("index.redb");
        let (mut journal, records) = Journal::open(&database).expect("opened");
        assert!(records.is_empty());
        journal.append(&lock("one", Some(b"1")));
        let saved = journal.end_file();
        journal.append(&Record::File(2, None));
        journal.append(&lock("three", Some(b"")));
        journal.remove_before(saved);
        let (mut journal, records) = Journal::open(&database).expect("opened");
        assert_eq!(records, [Record::File(2, None), lock("three", Some(b""))]);
        let all = journal.end_file();
        journal.remove_before(all);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }

    #[test]
    fn what_a_power_cut_left_ends_the_reading_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = folder.path().join("index.redb");
        let (mut journal, _) = Journal::open(&database).expect("opened");
        journal.append(&lock("whole", Some(b"1")));
        journal.append(&lock("torn", Some(b"2")));
        let whole = fs::read(journal.path(0)).expect("the journal");
        for length in 0..whole.len() {
            fs::write(journal.path(0), &whole[..length]).expect("a write");
            assert!(Journal::open(&database).expect("opened").1.len() < 2, "cut at {length}");
        }
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(journal.path(0), &bytes).expect("a write");
            assert!(Journal::open(&database).expect("opened").1.len() < 2, "another bit at {at}");
        }
    }
}
