//! The methods of HTTP and WebDAV: each reads what its request says, asks the share, and says what came of it.

pub(crate) mod attempt;
pub(crate) mod changes;
pub(crate) mod copy_move;
pub(crate) mod delete;
pub(crate) mod events;
pub(crate) mod get;
pub(crate) mod links;
pub(crate) mod lock;
pub(crate) mod mkcol;
pub(crate) mod options;
mod patch;
pub(crate) mod propfind;
pub(crate) mod proppatch;
pub(crate) mod put;
pub(crate) mod report;
pub(crate) mod restore;
pub(crate) mod sign_in;
pub(crate) mod uploads;
