//! Dates of HTTP: what is read as one is written as one, of the same second.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| noclobber::http::fuzzing::dates(bytes));
