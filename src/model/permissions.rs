//! What somebody may do, as it is handed down with a request to whatever judges it.

use std::sync::Arc;

use parking_lot::RwLock;

use super::extent::Extent;
use super::grants::Grants;
use super::path::SharePath;
use super::rights::Rights;

/// What somebody may do, path by path. Whoever decides that may change it, and all who hold it judge by the new from then on: an upload that has
/// begun is committed by what holds at its commit.
#[derive(Clone, Debug)]
pub struct Permissions(Arc<RwLock<Grants>>);

impl Default for Permissions {
    /// Everything, as a person at the machine may.
    fn default() -> Self {
        Self::everywhere(Rights::all())
    }
}

impl From<Grants> for Permissions {
    fn from(grants: Grants) -> Self {
        Self(Arc::new(RwLock::new(grants)))
    }
}

impl Permissions {
    /// The same rights at every path.
    pub fn everywhere(rights: Rights) -> Self {
        Grants::everywhere(rights).into()
    }

    /// From now on, these hold instead.
    pub fn replace(&self, grants: Grants) {
        *self.0.write() = grants;
    }

    /// What may be done at a path.
    pub fn at(&self, path: &SharePath) -> Rights {
        self.0.read().at(path)
    }

    /// What may be done at a path, or there and everywhere below it.
    pub fn over(&self, extent: Extent, path: &SharePath) -> Rights {
        match extent {
            Extent::Itself => self.at(path),
            Extent::Tree => self.0.read().throughout(path),
        }
    }

    /// What may be done with every member of a folder and all that is below, where the same holds for all of them.
    pub fn throughout_if_the_same(&self, folder: &SharePath) -> Option<Rights> {
        let grants = self.0.read();
        grants.are_the_same_throughout(folder).then(|| grants.at(folder))
    }
}
