//! The disk: what the system's calls do, on every kind of file system, and how full, coarse or poor ones are got along with.

mod grains;
mod half_done_uploads;
mod least;
mod mounts;
mod os_disk;
mod permissions;
mod restarts;
pub mod room;
mod watches;
