//! HTTP: what comes in over the wire, and what goes out. Knows the share, access and the model, never the disk.
//! The transport (this module's [`transport`], [`stream`], [`turn`] and [`body`]) carries requests and answers; the verbs are plugged into it.

pub mod body;
mod digest;
mod listing;
mod media;
mod range;
pub mod stream;
mod structured;
pub mod transport;
pub mod turn;
