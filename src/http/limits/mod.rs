//! Work that clients can ask for and that is done in turn: uploads, hashing, copies, walks through folders. Who waits for a turn
//! holds no thread.

pub(crate) mod copies;
pub(crate) mod event_streams;
pub(crate) mod hashing;
pub(crate) mod held_bytes;
pub(crate) mod pace;
pub(crate) mod patches;
pub(crate) mod walks;
