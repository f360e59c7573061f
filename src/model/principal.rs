//! Who asks: the one for whom a request is made, and to whom a lock belongs.
//!
//! A value that is compared and remembered, never a proof: whether somebody is who they say is not found out here.

use std::sync::Arc;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Principal {
    /// Somebody who has not said who they are. All of them are one.
    Anonymous,
    /// A user, by name.
    Named(Arc<str>),
}

impl Principal {
    /// The user of this name.
    pub fn named(name: &str) -> Self {
        Self::Named(name.into())
    }
}
