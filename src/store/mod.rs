//! Floor 1: the disk. Synchronous. Knows the model and nothing else.

pub mod disk;
pub mod lease;
pub mod os_disk;
