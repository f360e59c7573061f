//! noclobber shares a folder over HTTP, and nobody's work is overwritten unseen.

pub mod access;
pub mod config;
pub mod http;
pub mod log;
pub mod model;
pub mod server;
pub mod share;
pub mod store;
pub mod watch;
