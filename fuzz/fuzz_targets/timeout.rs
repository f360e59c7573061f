//! `Timeout` and its small siblings: whatever they say, a lock is granted for a while that is neither too short nor too long.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| noclobber::http::fuzzing::timeout(bytes));
