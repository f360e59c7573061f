//! What somebody may do to what is at a path.

use std::str::FromStr;

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

    /// The words for single rights, and for all of them together.
    const WORDS: [(&str, Self); 9] = [
        ("list", Self::LIST),
        ("read", Self::LOOK),
        ("create", Self::CREATE),
        ("overwrite", Self::OVERWRITE),
        ("delete", Self::DELETE),
        ("history", Self::HISTORY),
        ("write", Self::all()),
        ("drop", Self::CREATE),
        ("none", Self::empty()),
    ];

    /// Whether what is there is known to whoever has these rights: what one may not see is not there for them.
    pub fn see(self) -> bool {
        self.intersects(Self::LOOK)
    }

    /// The words for these rights, a word for each.
    pub fn words(self) -> Vec<&'static str> {
        if self.is_empty() {
            return vec!["none"];
        }
        let single = [("list", Self::LIST), ("read", Self::READ)].into_iter().chain(Self::WORDS[2..6].iter().copied());
        single.filter(|(_, right)| self.contains(*right)).map(|(word, _)| word).collect()
    }
}

/// The word is not that of a right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not the name of a right: those are list, read, create, overwrite, delete, history, and write, drop and none"
)]
pub struct UnknownRight(String);

impl FromStr for Rights {
    type Err = UnknownRight;

    /// `read` is looking around, since whoever may read a file may know that it is there; `write` is everything, `drop` is to make what is new and
    /// to see nothing.
    fn from_str(word: &str) -> Result<Self, UnknownRight> {
        let found = Self::WORDS.iter().find(|(known, _)| *known == word);
        found.map(|(_, rights)| *rights).ok_or_else(|| UnknownRight(word.escape_default().to_string()))
    }
}
