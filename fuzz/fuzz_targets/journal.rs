//! The records of the feed's journal, and the places in the feed that clients send back.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| noclobber::store::catalog::fuzzing::journal(bytes));
