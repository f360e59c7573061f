//! The tests, in one binary: a file for each behaviour, and one harness for all.

mod crash;
mod harness;
mod sim_disk;
mod strangers;
