//! All that comes on a connection: the parser is given one request at a time, whole, and how its bytes are cut changes nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| noclobber::http::fuzzing::connection(bytes));
