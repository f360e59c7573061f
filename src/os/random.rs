//! Random bytes that nobody can guess.

use rustix::rand::{GetRandomFlags, getrandom};

/// Sixteen of them (getrandom(2)).
///
/// # Panics
/// If the kernel has none, which it has from its start on.
pub fn bytes() -> [u8; 16] {
    let mut bytes = [0; 16];
    assert_eq!(getrandom(&mut bytes, GetRandomFlags::empty()), Ok(bytes.len()), "the kernel has random bytes");
    bytes
}
