//! What a request brings along to say who makes it, and why that is not believed.

use std::net::IpAddr;
use std::time::Duration;

/// What a request brings along to say who makes it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Credentials<'a> {
    /// `Authorization`.
    pub authorization: Option<&'a [u8]>,
    /// `Cookie`.
    pub cookie: Option<&'a [u8]>,
    /// The secret of a link, from the query.
    pub link: Option<&'a str>,
    /// The address of the client; none on a Unix socket.
    pub address: Option<IpAddr>,
    /// Whether it comes from this machine, and through no proxy.
    pub is_near: bool,
    /// The method of the request.
    pub method: &'a str,
    /// Its target as it was sent.
    pub target: &'a str,
    /// Whether nobody on the way can read what it brings along, or that does not matter.
    pub is_private: bool,
}

/// Why it is not known who makes a request that says who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// The credentials are not right, whatever is wrong about them.
    #[error("the credentials are not right")]
    Wrong,
    /// They were made for a nonce that is not good any more, or has come before (RFC 7616 §3.3).
    #[error("the nonce is not good any more")]
    Stale,
    /// The session is over.
    #[error("the session is over")]
    SessionOver,
    /// There were too many wrong ones lately.
    #[error("too many wrong credentials came; the next are looked at in {} s", .0.as_secs().max(1))]
    TooMany(Duration),
    /// The link takes a password, too.
    #[error("the link takes a password")]
    LinkPassword,
    /// Too many are waiting to be verified.
    #[error("too many are signing in at once")]
    Busy,
    /// They came by a connection that others can read.
    #[error("credentials are not taken over a connection that others can read")]
    Unprotected,
}

/// The realm of every name and password.
pub const REALM: &str = "noclobber";

/// By what a digest is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestAlgorithm {
    /// SHA-256.
    Sha256,
    /// MD5, which is all that some clients know.
    Md5,
}
