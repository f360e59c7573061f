//! Clients that cannot be run here, replayed header for header against the built program: Windows, Office, macOS and the others, each also
//! with a file that changes behind its back. What the client reads out of an answer is what is checked of it.
//! Nothing here is a unit of the server; a sequence that passes is one that the client would get through.

mod client;
mod linux;
mod macos;
mod multistatus;
mod office;
mod rules;
mod sync;
mod windows;
