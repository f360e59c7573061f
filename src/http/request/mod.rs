//! The request line and what says for whom a request is and from where it comes: the target with its query, the host, the origin.

pub mod host;
pub mod origin;
pub(crate) mod query;
pub(crate) mod target;
