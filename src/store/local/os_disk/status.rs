//! What statx(2) says of a file, in our words.

use rustix::fs::{FileType, Statx, StatxFlags, StatxTimestamp};

use crate::model::stamp::Timestamp;
use crate::store::status::Kind;

/// `STATX_MNT_ID_UNIQUE`: since Linux 6.8 a mount has a number that is not used again, and since 5.8 one that may be.
const UNIQUE_MOUNT: StatxFlags = StatxFlags::from_bits_retain(0x4000);

/// What is asked of every file: the mount tells a rename that cannot work, the birth tells an inode's reuse.
pub(super) const ASKED: StatxFlags =
    StatxFlags::BASIC_STATS.union(StatxFlags::BTIME).union(StatxFlags::MNT_ID).union(UNIQUE_MOUNT);

/// The number of the mount that something was found on; where Linux tells none, that of its device.
pub(super) fn mount_number(found: &Statx) -> u64 {
    if found.stx_mask & (UNIQUE_MOUNT | StatxFlags::MNT_ID).bits() != 0 {
        return found.stx_mnt_id;
    }
    device_of((found.stx_dev_major, found.stx_dev_minor))
}

pub(super) fn device_of((major, minor): (u32, u32)) -> u64 {
    u64::from(major) << 52 ^ u64::from(minor) << 32
}

pub(super) fn kind_of(found: &Statx) -> Kind {
    match FileType::from_raw_mode(found.stx_mode.into()) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Dir,
        FileType::Symlink => Kind::Link,
        _ => Kind::Special,
    }
}

pub(super) fn timestamp(time: StatxTimestamp) -> Timestamp {
    Timestamp::new(time.tv_sec, time.tv_nsec)
}
