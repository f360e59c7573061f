//! What somebody may do to what is at a path.

use bitflags::bitflags;

bitflags! {
    /// What somebody may do to what is at a path.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Rights: u8 {
        /// See what is there: its name, its properties, and the names in a folder.
        const LIST = 1;
        /// Read the content of a file.
        const READ = 1 << 1;
        /// Make something where nothing is.
        const CREATE = 1 << 2;
        /// Replace a file, and change properties.
        const OVERWRITE = 1 << 3;
        /// Take something away, be it to another name.
        const DELETE = 1 << 4;
        /// See and read versions and what was deleted, and bring them back.
        const HISTORY = 1 << 5;
    }
}

impl Rights {
    /// What it takes to look around: [`Rights::LIST`] and [`Rights::READ`].
    pub const LOOK: Self = Self::LIST.union(Self::READ);

    /// What it takes to add to what is there: [`Rights::LOOK`] and [`Rights::CREATE`].
    pub const ADD: Self = Self::LOOK.union(Self::CREATE);
}
