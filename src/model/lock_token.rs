//! The name of a lock (RFC 4918 §6.5).

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest lock token, in bytes.
pub const TOKEN_BYTES_MAX: usize = 1024;

/// The name of a lock: a URI, unique for ever (RFC 4918 §6.5).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Box<str>", into = "Box<str>")]
pub struct LockToken(Arc<str>);

/// A text is not the name of a lock.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a lock token is a URI")]
pub struct NotAToken;

impl TryFrom<Box<str>> for LockToken {
    type Error = NotAToken;

    fn try_from(text: Box<str>) -> Result<Self, NotAToken> {
        Self::parse(&text).ok_or(NotAToken)
    }
}

impl From<LockToken> for Box<str> {
    fn from(token: LockToken) -> Self {
        token.as_str().into()
    }
}

impl LockToken {
    /// The token that is made of 16 random bytes: a version 4 UUID (RFC 9562 §5.4).
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid().urn().to_string().into())
    }

    /// Parses a URI of any scheme, without angle brackets around it. `None` if it is none, or longer than [`TOKEN_BYTES_MAX`].
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once(':')?;
        let begins_well = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
        let is_scheme = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let is_rest = !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"".contains(&byte));
        let is_right = begins_well && is_scheme && is_rest && text.len() <= TOKEN_BYTES_MAX;
        is_right.then(|| Self(text.into()))
    }

    /// The URI.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LockToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for LockToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_a_random_uuid() {
        assert_eq!(LockToken::from_random([0; 16]).as_str(), "urn:uuid:00000000-0000-4000-8000-000000000000");
        assert_eq!(LockToken::from_random([0xff; 16]).as_str(), "urn:uuid:ffffffff-ffff-4fff-bfff-ffffffffffff");
        let counted = LockToken::from_random(std::array::from_fn(|at| at as u8));
        assert_eq!(counted.as_str(), "urn:uuid:00010203-0405-4607-8809-0a0b0c0d0e0f");
        assert_eq!(LockToken::parse(counted.as_str()), Some(counted));
    }

    #[test]
    fn a_token_is_a_uri_of_any_scheme() {
        for right in ["urn:uuid:1", "opaquelocktoken:a-b/c", "http://h/x?y#z", "a+b-c.d:e", "A:%20"] {
            assert!(LockToken::parse(right).is_some(), "{right}");
        }
        let long = format!("a:{}", "b".repeat(TOKEN_BYTES_MAX));
        for wrong in ["", "a", ":a", "a:", "1a:b", "a b:c", "a:b c", "a:<b>", "<a:b>", "a:\"b\"", "a:é", "a:\n", &long]
        {
            assert!(LockToken::parse(wrong).is_none(), "{wrong:?}");
        }
    }
}
