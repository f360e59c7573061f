//! HTTP: what comes in over the wire, and what goes out. Knows the share, access and the model, never the disk.
//! The transport (this module's [`transport`], [`stream`], `turn`, `edge` and [`body`]) carries requests and answers; the verbs are plugged into it.

pub mod body;
mod change;
mod digest;
mod edge;
#[doc(hidden)]
pub mod fuzzing;
mod get;
mod hot;
mod listing;
mod media;
mod put;
mod range;
mod reply;
mod request;
pub mod stream;
mod structured;
pub mod transport;
mod turn;
pub mod verbs;
mod versions;
