//! What the tests stand on: a simulated disk, and later a server, a client and local programs.

pub(crate) mod explore;
pub(crate) mod invariants;
#[allow(dead_code, reason = "the tests of the commit use the rest of it")]
pub(crate) mod sim_disk;
pub(crate) mod stories;
#[allow(dead_code, reason = "the tests of the commit use the rest of it")]
pub(crate) mod stranger;
