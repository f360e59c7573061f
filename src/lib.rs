//! noclobber shares a folder over HTTP, and nobody's work is overwritten unseen.

pub mod http;
pub mod model;
pub mod store;
