//! What the wire refuses by itself, before any method hears of it.

use std::net::SocketAddr;

/// Why a request is not given to a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// The header fields together are larger than `header_bytes_max` of the settings, or the whole head is far too large (431).
    HeadersTooLarge,
    /// The path of the target is longer than `path_bytes_max` of the settings, or the request line alone larger than a head may be (414).
    TargetTooLong,
    /// The target holds a `#`, after which the parser drops everything: what is left may name something else (400).
    FragmentInTarget,
    /// What comes is no request (400).
    Malformed,
    /// The head does not come to its end in time (408).
    SlowHead,
    /// It came without TLS to an address that speaks it, which is this one (400).
    WithoutTls(SocketAddr),
}
