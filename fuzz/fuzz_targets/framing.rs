//! Where heads and bodies in chunks end: however their bytes are cut, it is the same byte.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| noclobber::http::fuzzing::framing(bytes));
