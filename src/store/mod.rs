//! Floor 1: what is stored. Synchronous. Knows the model and nothing else.
//!
//! [`local`] is the folder itself, [`catalog`] what is remembered beside it; neither uses the other. What any store tells of is here: [`status`],
//! [`handle`]s, [`lease`]s, [`space`] and [`abilities`].

pub mod abilities;
pub mod catalog;
pub mod disk_error;
pub mod handle;
pub mod lease;
pub mod local;
pub mod notice;
pub mod share_identity;
pub mod space;
pub mod status;
