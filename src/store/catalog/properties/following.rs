//! What happens to resources, and so to what is noted on them.

use crate::model::extent::Extent;
use crate::model::path::SharePath;
use crate::model::version::VersionId;

/// What has happened to resources, and happens to what is noted on them, too. What is noted on a resource that is displaced is set aside for
/// when the version that it has become comes back; without a version it is forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Following {
    /// They are no more: a resource and everything below it.
    Gone {
        /// Where they were.
        from: SharePath,
        /// What they have become.
        version: Option<VersionId>,
    },
    /// They lie elsewhere now, in place of what was there.
    Moved {
        /// Where they were.
        from: SharePath,
        /// Where they are.
        to: SharePath,
        /// What was there has become this.
        displaced: Option<VersionId>,
    },
    /// There is a copy of them, in place of what was there.
    Copied {
        /// The original.
        from: SharePath,
        /// The copy.
        to: SharePath,
        /// How far down.
        extent: Extent,
        /// What was there has become this.
        displaced: Option<VersionId>,
    },
    /// A version has come back, in place of what was there. If nothing was noted on the version, what is noted there is as after any other
    /// write, and stays.
    Back {
        /// The path it is a version of.
        of: SharePath,
        /// The version.
        version: VersionId,
        /// Where it is.
        to: SharePath,
        /// What was there has become this.
        displaced: Option<VersionId>,
        /// Whether it stays in the history, too, and its notes with it.
        stays: bool,
    },
}

impl Following {
    /// Where they are now, or were.
    pub fn path(&self) -> &SharePath {
        match self {
            Self::Gone { from, .. } => from,
            Self::Moved { to, .. } | Self::Copied { to, .. } | Self::Back { to, .. } => to,
        }
    }

    /// All paths that it is about.
    pub(super) fn paths(&self) -> [&SharePath; 2] {
        match self {
            Self::Gone { from, .. } => [from, from],
            Self::Moved { from, to, .. } | Self::Copied { from, to, .. } => [from, to],
            Self::Back { of, to, .. } => [of, to],
        }
    }

    /// Whether one of the two may change what the other is about.
    pub(super) fn is_about_the_same_as(&self, other: &Self) -> bool {
        let (ours, others) = (self.paths(), other.paths());
        ours.iter().any(|our| others.iter().any(|other| our.is_within(other) || other.is_within(our)))
    }
}
