//! Floor 1: what is stored. Synchronous. Knows the model and nothing else.

pub mod checksums;
pub mod commit;
mod database;
pub mod disk;
pub mod disk_error;
pub mod history;
pub mod index;
pub mod index_error;
mod journal;
pub mod lease;
mod naming;
pub mod notice;
pub mod os_disk;
pub mod path_mutex;
pub mod place;
pub mod properties;
pub mod remembered;
pub mod share_identity;
mod spelling;
pub mod staging;
pub mod touched;
mod trees;
mod unsaved;
