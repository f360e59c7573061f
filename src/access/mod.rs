//! Edge: who may do what. Every request passes [`Access::authorize`], for its own path and for every other that it names, and takes what its
//! principal may do along to the share, which judges by that under the mutex.

use crate::model::path::SharePath;
use crate::model::permissions::Permissions;
pub use crate::model::principal::Principal;
use crate::model::rights::Rights;

/// Who may do what. There are no users yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    anonymous: Permissions,
}

/// The answer no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not permitted")]
pub struct Denied;

impl Access {
    /// Whoever has not said who they are has these rights.
    pub fn for_anonymous(rights: Rights) -> Self {
        Self { anonymous: Permissions::everywhere(rights) }
    }

    /// What this principal may do.
    pub fn permissions(&self, principal: &Principal) -> Permissions {
        match principal {
            Principal::Anonymous => self.anonymous,
            Principal::Named(_) => Permissions::everywhere(Rights::empty()),
        }
    }

    /// Whether this principal has one of these rights at a path; always if none is asked for.
    pub fn authorize(&self, principal: &Principal, one_of: Rights, path: &SharePath) -> Result<(), Denied> {
        if one_of.is_empty() || self.permissions(principal).at(path).intersects(one_of) { Ok(()) } else { Err(Denied) }
    }
}
