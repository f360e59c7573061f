//! The bodies of WebDAV: whatever they hold, what is kept of them is well-formed and stays what it is.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| noclobber::http::fuzzing::xml(bytes));
