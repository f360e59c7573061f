//! Where a name is: its folder, resolved once, and what it is called in there.

use crate::model::path::{Name, SharePath};
use crate::model::stamp::{FileId, Stamp};

use crate::store::handle::Dir;

/// Where a name is: its folder, resolved once, and what it is called in there.
#[derive(Clone, Debug)]
pub struct Site {
    /// The path it was resolved from.
    pub path: SharePath,
    /// The folder.
    pub parent: Dir,
    /// Which folder that is.
    pub folder: FileId,
    /// The mount it lies on.
    pub mount: u64,
    /// The name in it.
    pub name: Name,
}

impl Site {
    /// The same place, with the name in another spelling.
    pub(super) fn called(self, name: &Name) -> Self {
        let folder = self.path.split().map_or_else(SharePath::root, |(folder, _)| folder);
        Self { path: folder.join(name), name: name.clone(), ..self }
    }
}

/// A file in a folder that was seen: the folder goes only with this state of it.
#[derive(Clone, Debug)]
pub struct Inside {
    /// Its path.
    pub path: SharePath,
    /// The state.
    pub stamp: Stamp,
}
