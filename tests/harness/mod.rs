//! What the tests stand on: a simulated disk, and later a server, a client and local programs.

#[allow(dead_code, reason = "the tests of the commit use the rest of it")]
pub(crate) mod sim_disk;
#[allow(dead_code, reason = "the tests of the commit use the rest of it")]
pub(crate) mod stranger;
