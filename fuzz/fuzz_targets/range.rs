//! `Range` and `If-Range`: whatever the lines say, the parts lie within the file, do not overlap, and are few.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u64, &[u8])| {
    let (size, bytes) = input;
    noclobber::http::fuzzing::range(bytes, size);
});
