//! The tests, in one binary: a file for each behaviour, and one harness for all.

mod harness;
mod sim_disk;
