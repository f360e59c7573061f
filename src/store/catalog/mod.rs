//! What is remembered beside the files, in one database: tags, locks, dead properties, checksums, and who
//! last changed what.

pub mod changes;
pub mod checksums;
mod codec;
mod database;
pub mod fuzzing;
pub mod index;
pub mod index_error;
mod journal;
pub mod known_members;
pub mod last_changes;
pub mod properties;
pub mod remembered;
mod unsaved;
