//! How much room a file system has.

use crate::model::keep_rule::Room;

/// How much room a file system has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Altogether, in bytes.
    pub total: u64,
    /// Free for this user, in bytes.
    pub free: u64,
    /// How many inodes there are; 0 where the file system makes them as they are needed.
    pub files_total: u64,
    /// How many of them are free for this user.
    pub files_free: u64,
    /// Which file system it is: a number that all its folders share and no other's, whatever mounts and subvolumes there are.
    pub file_system: u64,
}

impl Space {
    /// What is free.
    pub fn free_room(&self) -> Room {
        Room { bytes: self.free, files: if self.files_total == 0 { u64::MAX } else { self.files_free } }
    }

    /// So many hundredths of the whole.
    pub fn percent(&self, percent: u8) -> Room {
        let part = |total: u64| total / 100 * u64::from(percent) + total % 100 * u64::from(percent) / 100;
        Room { bytes: part(self.total), files: if self.files_total == 0 { u64::MAX } else { part(self.files_total) } }
    }
}
