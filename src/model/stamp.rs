//! The cheap identity of a file's state, and the times it is made of.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A moment, in nanoseconds since 1970-01-01 00:00:00 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Timestamp(i64);

/// Which file this is, whatever it is called: the inode number and what tells its reuse apart.
///
/// The generation is the file's birth time, which one `statx` brings along with the rest; it is 0 where the file system
/// keeps none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FileId {
    /// The inode number.
    pub inode: u64,
    /// The birth time in nanoseconds, or 0.
    pub generation: u64,
}

/// The cheap identity of a file's state: if it is the same, nothing was written in between (see *Validators* in the design for
/// when that may be relied on).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// Which file.
    pub id: FileId,
    /// Its size in bytes.
    pub size: u64,
    /// When its content was last changed, as any program may set it.
    pub mtime: Timestamp,
    /// When anything about it was last changed, which no program can set.
    pub ctime: Timestamp,
}

impl Timestamp {
    /// From whole seconds and the nanoseconds on top. Times outside 1677..2262 are clamped.
    pub fn new(seconds: i64, nanoseconds: u32) -> Self {
        Self(seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds.into()))
    }

    /// From nanoseconds since the epoch.
    pub fn from_nanoseconds(nanoseconds: i64) -> Self {
        Self(nanoseconds)
    }

    /// The same, unless it is older than what the disks of Linux can keep (13 December 1901).
    pub fn that_a_disk_keeps(self) -> Option<Self> {
        (self.seconds() >= i64::from(i32::MIN)).then_some(self)
    }

    /// The clock's time.
    pub fn from_system(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self(after.as_nanos().try_into().unwrap_or(i64::MAX)),
            Err(before) => Self(-i64::try_from(before.duration().as_nanos()).unwrap_or(i64::MAX)),
        }
    }

    /// This moment in UTC, in a format of `strftime`.
    pub fn format(self, format: &str) -> String {
        let time =
            jiff::Timestamp::from_nanosecond(self.0.into()).expect("jiff knows more years than 64 bits of nanoseconds");
        time.strftime(format).to_string()
    }

    /// This moment as RFC 3339 has it, to the microsecond.
    pub fn rfc_3339(self) -> String {
        self.format("%Y-%m-%dT%H:%M:%S%.6fZ")
    }

    /// Nanoseconds since the epoch.
    pub fn nanoseconds(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down: what an HTTP date can say.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// The nanoseconds on top of [`Timestamp::seconds`].
    pub fn subsecond_nanoseconds(self) -> u32 {
        self.0.rem_euclid(1_000_000_000) as u32
    }

    /// This moment and a while.
    pub fn plus(self, while_: Duration) -> Self {
        Self(self.0.saturating_add(while_.as_nanos().try_into().unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is not.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0).max(0) as u64)
    }
}

impl FileId {
    /// Sixteen hex digits that stand for this file in the tail of a history entry.
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.inode.to_le_bytes()).update(&self.generation.to_le_bytes());
        hasher.finalize().to_hex()[..16].to_owned()
    }
}

impl Stamp {
    /// Sixteen bytes that stand for this state; what a stamp tag is made of.
    pub fn digest(&self) -> [u8; 16] {
        let hash = blake3::hash(&self.to_bytes());
        std::array::from_fn(|at| hash.as_bytes()[at])
    }

    /// Whether this is the same file with the same content as far as can be told after a rename, which moves the ctime.
    pub fn same_content_as(&self, other: &Stamp) -> bool {
        self.id == other.id && self.size == other.size && self.mtime == other.mtime
    }

    /// The stamp as bytes, which digests of it are made from.
    pub fn to_bytes(&self) -> [u8; 40] {
        let mut bytes = [0; 40];
        let fields = [self.id.inode, self.id.generation, self.size, self.mtime.0 as u64, self.ctime.0 as u64];
        for (place, field) in bytes.chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_moment_can_be_written() {
        for (time, expected) in [
            (Timestamp::new(0, 1_000), "1970-01-01T00:00:00.000001Z"),
            (Timestamp(i64::MIN), "1677-09-21T00:12:43.145224Z"),
            (Timestamp(i64::MAX), "2262-04-11T23:47:16.854775Z"),
        ] {
            assert_eq!(time.rfc_3339(), expected);
        }
    }

    #[test]
    fn seconds_are_rounded_down_on_both_sides_of_the_epoch() {
        assert_eq!(Timestamp::new(10, 900_000_000).seconds(), 10);
        assert_eq!(Timestamp::new(-1, 1).seconds(), -1);
        assert_eq!(Timestamp::from_system(UNIX_EPOCH - Duration::from_nanos(1)), Timestamp::new(-1, 999_999_999));
    }
}
