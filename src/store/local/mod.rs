//! The folder of this machine: the disk, the commit of one name, the history of what was displaced, and the uploads on their way.

pub mod commit;
pub mod dir_cache;
pub mod disk;
pub mod history;
pub mod lease;
pub mod name_lock;
mod naming;
pub mod os_disk;
pub mod place;
mod spelling;
pub mod staging;
pub mod touched;
mod trees;
mod unsynced;
