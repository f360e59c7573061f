//! HTTP: what comes in over the wire, and what goes out. Knows the share, access and the model, never the disk.
//! The transport (this module's [`transport`], [`stream`], `turn`, `edge` and [`body`]) carries requests and answers; the verbs are plugged into it.

mod attempt;
pub mod body;
mod change;
mod chunks;
mod clock;
mod copies;
mod crowd;
mod dav_headers;
mod digest;
mod edge;
#[doc(hidden)]
pub mod fuzzing;
mod get;
mod hashing;
mod heads;
pub mod host;
mod hot;
mod if_header;
mod listing;
mod live;
mod lock;
pub mod media;
pub mod origin;
mod pace;
mod propfind;
mod proppatch;
mod put;
mod query;
mod range;
mod relocate;
mod reply;
mod request;
pub mod stream;
mod structured;
pub mod transport;
mod turn;
pub mod verbs;
pub(crate) mod versions;
mod walks;
pub(crate) mod xml;
