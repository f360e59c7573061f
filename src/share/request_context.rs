//! What is known of the request for which something is done: made once for it, and handed down to whatever judges or changes for its sake.

use std::sync::Arc;

use crate::model::author::Author;
use crate::model::lock::Lock;
use crate::model::lock_token::LockToken;
use crate::model::permissions::Permissions;
use crate::model::precondition::Precondition;
use crate::model::principal::{Client, Principal};
use crate::model::stamp::Timestamp;
use crate::model::submitted::Submitted;

/// Who asks, what they may do, what they demand of the state that is to be found, and when.
#[derive(Clone, Debug, Default)]
pub struct RequestContext {
    /// Who asks.
    pub client: Client,
    /// Who is noted to have made a change; `None` where nobody is told from anybody.
    pub by: Option<Arc<Author>>,
    /// What they may do.
    pub permissions: Permissions,
    /// The lock tokens that came along.
    pub tokens: Submitted,
    /// The conditional headers.
    pub precondition: Precondition,
    /// The time. Whoever has waited for something since goes on with a later one ([`RequestContext::at`]): an old one looks like a clock that was
    /// set back.
    pub now: Timestamp,
}

impl RequestContext {
    /// A request of somebody who has not said who they are, may do everything, and submits no tokens.
    pub fn new(precondition: Precondition, now: Timestamp) -> Self {
        Self { precondition, now, ..Self::default() }
    }

    /// As [`RequestContext::new`], of whoever demands nothing.
    pub fn unconditional(now: Timestamp) -> Self {
        Self::new(Precondition::default(), now)
    }

    /// The same request, at a later time.
    pub fn at(self, now: Timestamp) -> Self {
        Self { now, ..self }
    }

    /// The same request, which demands this instead.
    pub fn demanding(&self, precondition: Precondition) -> Self {
        Self {
            client: self.client.clone(),
            by: self.by.clone(),
            permissions: self.permissions.clone(),
            tokens: self.tokens.clone(),
            precondition,
            now: self.now,
        }
    }

    /// The same request, with this token too.
    pub fn with_token(mut self, token: &LockToken) -> Self {
        self.tokens.insert(token.clone());
        self
    }

    /// What a COPY or MOVE demands of its destination: the `If` header and the locks speak of that too, the conditional headers only of the
    /// source.
    pub fn for_the_target(&self, may_replace: bool) -> Self {
        self.demanding(self.precondition.for_the_target(may_replace))
    }

    /// The same request, only for where nothing is (`Overwrite: F`).
    pub fn that_only_creates(self) -> Self {
        Self { precondition: self.precondition.that_only_creates(), ..self }
    }

    /// What a request demands that only reads: `If-Match` and `If`. `If-None-Match` at most spares it an answer.
    pub fn that_must_match(&self) -> Self {
        self.demanding(self.precondition.that_must_match())
    }

    /// `If` alone, without the locks that were submitted by it.
    pub fn of_states_alone(&self) -> Self {
        Self { tokens: Submitted::default(), ..self.demanding(self.precondition.of_states_alone()) }
    }

    /// For whom it is made.
    pub fn principal(&self) -> &Principal {
        &self.client.principal
    }

    /// Whether any lock token came along.
    pub fn has_tokens(&self) -> bool {
        !self.tokens.is_empty()
    }

    /// Whether this lock's token came, from the one to whom it belongs (RFC 4918 §6.4).
    pub fn holds(&self, lock: &Lock) -> bool {
        self.tokens.hold(lock, self.principal())
    }

    /// Whether it demands nothing of the state that is to be found, and submits no token.
    pub fn is_unconditional(&self) -> bool {
        self.precondition.is_empty() && !self.has_tokens()
    }
}
