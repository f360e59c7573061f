//! The body of a REPORT, and the sync-token in it.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| noclobber::http::fuzzing::report(bytes));
