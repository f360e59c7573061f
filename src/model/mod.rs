//! Floor 0: values. No input or output, no clock, nothing asynchronous, no HTTP library.

pub mod content_hash;
pub mod path;
pub mod precondition;
pub mod property;
pub mod stamp;
pub mod tag;
pub mod version;
