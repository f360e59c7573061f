//! The request line and what says for whom a request is and from where it comes: the target with its query, the host, the origin.

pub(crate) mod conditions;
pub mod forwarded;
pub mod host;
pub(crate) mod method;
pub mod origin;
pub(crate) mod query;
pub(crate) mod service_url;
pub(crate) mod site_check;
pub(crate) mod target;
