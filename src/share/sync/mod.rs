//! Following a folder (RFC 6578): what is in it, and then what has become of it since. Both come in pages as large as the client wishes.
//!
//! A change is told as it was: what went, what came, and what came with a folder ([`step`]). A page gathers what changed of each path
//! ([`page`]), and what is there is looked at when it is told ([`telling`]), so that it is never older than the token that comes with it. All that is
//! in a folder is met in one order ([`ordered`]), so that a token can say how far it was told. An `If` header may ask
//! for a token ([`current`]).

mod current;
mod ordered;
mod page;
mod step;
mod telling;

pub use page::{SyncPage, SyncWish};
pub use telling::{SyncMember, Synced};
