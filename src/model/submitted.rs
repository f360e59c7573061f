//! The lock tokens that came with a request, and who sent them.

use std::collections::BTreeSet;

use super::lock::Lock;
use super::lock_token::LockToken;
use super::principal::Principal;

/// The tokens that came with a request.
#[derive(Clone, Debug, Default)]
pub struct Submitted {
    tokens: BTreeSet<LockToken>,
}

impl Submitted {
    /// These tokens. What is no token of a lock is left out.
    pub fn new<'a>(tokens: impl IntoIterator<Item = &'a str>) -> Self {
        Self { tokens: tokens.into_iter().filter_map(LockToken::parse).collect() }
    }

    /// This token too.
    pub fn insert(&mut self, token: LockToken) {
        self.tokens.insert(token);
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Whether this lock's token came, from the one to whom it belongs (RFC 4918 §6.4).
    pub fn hold(&self, lock: &Lock, sender: &Principal) -> bool {
        self.tokens.contains(&lock.token) && *sender == lock.holder
    }
}
