//! HTTP: what comes in over the wire, and what goes out. Knows the share, access and the model, never the disk.
//!
//! | room | what lives there |
//! |---|---|
//! | [`wire`] | connections: requests one after the other, bodies, times and bounds; knows no method and no status |
//! | [`request`] | the target, the host and the origin of a request |
//! | [`urls`] | where on its server the share is |
//! | [`headers`] | the request headers that need a parser of their own |
//! | [`xml`] | the bodies of WebDAV, read and written |
//! | [`router`] | from a request to its method, and one line in the log |
//! | [`context`] | what every method asks: access and conditions; [`callers`] finds out who asks; [`bodies`] has the bodies that are not stored |
//! | [`methods`] | one file a method |
//! | [`representations`] | what a GET or PROPFIND can show of a path besides its bytes |
//! | [`limits`] | work that is done in turn, and the least rate of bodies |
//! | [`reply`] | every status code |

mod access_log;
mod ask;
mod bodies;
mod callers;
pub(crate) mod clock;
pub mod context;
pub(crate) mod described_change;
mod event_steps;
#[doc(hidden)]
pub mod fuzzing;
mod headers;
mod limits;
pub mod media;
pub(crate) mod methods;
mod quirks;
pub(crate) mod reply;
pub mod representations;
pub mod request;
pub mod router;
pub mod settings;
mod small_files;
pub mod urls;
pub mod wire;
pub(crate) mod xml;
