//! What somebody may do, path by path: decided beforehand, and handed down with the request to whatever judges it.

use super::path::SharePath;
use super::rights::Rights;

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permissions {
    everywhere: Rights,
}

impl Default for Permissions {
    /// Everything, as a person at the machine may.
    fn default() -> Self {
        Self::everywhere(Rights::all())
    }
}

impl Permissions {
    /// The same rights at every path.
    pub const fn everywhere(rights: Rights) -> Self {
        Self { everywhere: rights }
    }

    /// What may be done at a path.
    pub fn at(&self, _path: &SharePath) -> Rights {
        self.everywhere
    }
}
