//! What happened in the store that a person should hear of. Nothing is decided by it.

use crate::model::path::SharePath;

/// Something that happened in the tree or in the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// What clients note on files did not follow what happened to them.
    NotNoted {
        /// The path.
        path: SharePath,
        /// Why not.
        why: String,
    },
    /// What a program wrote into a displaced file was put beside it.
    ConflictCopy {
        /// The file that was displaced.
        of: SharePath,
        /// The copy.
        copy: SharePath,
    },
    /// An entry that an interrupted commit had left was settled.
    Recovered {
        /// The path it belongs to.
        path: SharePath,
        /// What was done about it.
        how: &'static str,
    },
    /// An entry could not be looked at or settled now; it is tried again later.
    Postponed {
        /// The path it belongs to.
        path: SharePath,
        /// Why not.
        why: String,
    },
    /// An entry of the history, or all below a path, cannot be handled: it stays, and nothing else waits for it.
    Stuck {
        /// The path it belongs to.
        path: SharePath,
        /// Why not.
        why: String,
    },
    /// Versions were let go to make room.
    GaveRoom {
        /// How many.
        versions: usize,
        /// How many bytes they took.
        bytes: u64,
    },
    /// Others may look into the folder of noclobber's own, and that cannot be changed.
    Open {
        /// Why not.
        why: String,
    },
}
