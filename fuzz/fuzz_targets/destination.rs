//! `Destination`: whatever it says, it leads to a clean path of this share, to another server, or nowhere.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| noclobber::http::fuzzing::destination(bytes));
