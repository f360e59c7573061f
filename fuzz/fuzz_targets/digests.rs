//! The digest fields: whatever they say, no content is taken for right that they do not name.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| noclobber::http::fuzzing::digests(bytes));
