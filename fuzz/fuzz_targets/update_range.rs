//! `X-Update-Range` and `Content-Range` of a part that is written: what is read has a place in the file, or is told to have none.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u64, &[u8])| {
    let (size, bytes) = input;
    noclobber::http::fuzzing::update_range(bytes, size);
});
