//! The names in a folder at which something may be otherwise than it was last seen.

use std::collections::HashSet;

use crate::model::path::Name;

/// How many names are told apart. Where there are more the whole folder is looked at.
const NAMES_MAX: usize = 4096;

/// With fewer names than this a look at each is never worse than one at all members.
const NAMES_MIN: usize = 16;

/// What is to be looked at again.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    is_all: bool,
    names: HashSet<Box<[u8]>>,
}

impl Dirty {
    /// At this name.
    pub(super) fn add(&mut self, name: &[u8]) {
        if self.is_all || self.names.contains(name) {
            return;
        }
        if self.names.len() == NAMES_MAX {
            self.add_all();
        } else {
            self.names.insert(name.into());
        }
    }

    /// At every name.
    pub(super) fn add_all(&mut self) {
        (self.is_all, self.names) = (true, HashSet::new());
    }

    /// Whether that is so of every name.
    pub(super) fn is_all(&self) -> bool {
        self.is_all
    }

    /// How many names.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether one look at all members of a folder with so many is needed, or cheaper.
    pub(super) fn is_for_a_whole_look(&self, members: usize) -> bool {
        self.is_all || self.names.len() > members / 2 + NAMES_MIN
    }

    /// The names; what no member can be called is left out, as it is from listings.
    pub(super) fn names(&self) -> impl Iterator<Item = Name> {
        self.names.iter().filter_map(|name| Name::new(&**name).ok())
    }

    /// The inode numbers of files that were written by whoever had opened them before they had a name. A file may be called so, too.
    pub(super) fn nameless(&self) -> HashSet<u64> {
        let number = |name: &[u8]| std::str::from_utf8(name.strip_prefix(b"#")?).ok()?.parse().ok();
        self.names.iter().filter_map(|name| number(name)).collect()
    }
}
