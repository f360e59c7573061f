//! Floor 1: what is stored. Synchronous. Knows the model and nothing else.
//!
//! [`local`] is the folder itself, [`catalog`] what is remembered beside it; neither uses the other.

pub mod catalog;
pub mod disk_error;
pub mod local;
pub mod notice;
pub mod share_identity;
