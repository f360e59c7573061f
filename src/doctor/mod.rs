//! The doctor: a client that proves through whatever stands between that conditions, tags, methods, bodies and names arrive as they were sent.
//!
//! It judges any WebDAV server, by what it answers and by what is there afterwards, in a scratch folder that it makes and removes. It knows
//! nothing of the share, the store or the server in this program, and would find the same about them over the network as anybody else.

mod advice;
mod check;
mod checks;
mod examination;
mod finding;
mod multistatus;
pub mod report;
mod scratch;
mod visit;

pub use examination::{Patient, Unreachable, examine};
