//! The `If` header: whatever it says, it holds only for what it speaks of, and what is written of it says the same.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| noclobber::http::fuzzing::if_header(bytes));
