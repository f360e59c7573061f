//! Edge: who may do what. Every request passes [`authorize`], for its own path and for every other that it names.
//!
//! There are no users yet, so everything is allowed; that is decided here and nowhere else.

use crate::model::path::SharePath;
pub use crate::model::principal::Principal;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// To see what is there, or was.
    Read,
    /// To change what is there.
    Write,
}

/// The answer no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not allowed to you")]
pub struct Denied;

/// Whether `principal` may do this to what is at `path`.
pub fn authorize(principal: &Principal, action: Action, path: &SharePath) -> Result<(), Denied> {
    let _ = path;
    match (principal, action) {
        (Principal::Anonymous | Principal::Named(_), Action::Read | Action::Write) => Ok(()),
    }
}
