//! noclobber shares a folder over HTTP, and nobody's work is overwritten unseen.

pub mod model;
pub mod share;
pub mod store;
