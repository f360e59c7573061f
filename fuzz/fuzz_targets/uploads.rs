//! The header fields of uploads that go on: those of the draft, and the metadata and checksums of tus.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| noclobber::http::fuzzing::uploads(bytes));
