//! The rights of one principal, path by path. What holds at a path holds for everything below it, as far as nothing else is said there.

use std::collections::{BTreeMap, HashMap};

use super::path::SharePath;
use super::rights::Rights;

/// The rights of one principal at every path.
///
/// A file system may take two spellings for one name: what is said of the one holds for the other, too, as far as it takes rights away. So no right
/// is gained by writing a name otherwise, and none is given at a name that only looks like the one that was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grants {
    everywhere: Rights,
    /// As the paths were written. Empty if the same holds everywhere.
    exact: HashMap<Box<[u8]>, Rights>,
    /// Whether what is said of a path holds for that path alone, and nothing for what is below.
    is_of_files: bool,
    /// By their folded names, with what is left where several are alike.
    folded: BTreeMap<Box<[u8]>, Rights>,
}

impl Grants {
    /// The same rights at every path.
    pub fn everywhere(rights: Rights) -> Self {
        Self { everywhere: rights, exact: HashMap::new(), is_of_files: false, folded: BTreeMap::new() }
    }

    /// These rights at the path of a file, and none anywhere else: not below either, should a folder come to be there.
    pub fn of_file(path: SharePath, rights: Rights) -> Self {
        Self { is_of_files: true, ..Self::by_path([(path, rights)]) }
    }

    /// These rights at these paths, and none where none of them leads to.
    pub fn by_path(rights: impl IntoIterator<Item = (SharePath, Rights)>) -> Self {
        let mut all = Self::everywhere(Rights::empty());
        for (path, rights) in rights {
            if path.is_root() {
                all.everywhere = rights;
                continue;
            }
            all.folded.entry(path.folded()).and_modify(|others| *others &= rights).or_insert(rights);
            all.exact.insert(path.as_bytes().into(), rights);
        }
        all
    }

    /// The rights at a path.
    pub fn at(&self, path: &SharePath) -> Rights {
        if self.exact.is_empty() {
            return self.everywhere;
        }
        if self.is_of_files {
            return self.exact.get(path.as_bytes()).copied().unwrap_or(Rights::empty());
        }
        let exact = path.lineage().find_map(|above| self.exact.get(above)).copied().unwrap_or(self.everywhere);
        exact & self.at_folded(&path.folded())
    }

    /// The rights that hold at a path and everywhere below it.
    pub fn throughout(&self, path: &SharePath) -> Rights {
        if self.is_of_files {
            return Rights::empty();
        }
        self.below(&path.folded()).fold(self.at(path), |left, rights| left & rights)
    }

    /// The rights that hold at one path or another.
    pub fn anywhere(&self) -> Rights {
        self.exact.values().fold(self.everywhere, |all, rights| all | *rights)
    }

    /// Whether the same holds at a path and everywhere below it.
    pub fn are_the_same_throughout(&self, path: &SharePath) -> bool {
        let is_at_file = self.is_of_files && self.exact.contains_key(path.as_bytes());
        self.exact.is_empty() || !is_at_file && self.below(&path.folded()).next().is_none()
    }

    /// A digest of which paths in a folder may be listed.
    pub fn digest_of_listed(&self, folder: &SharePath) -> [u8; 32] {
        let mut digest = blake3::Hasher::new();
        let mut add = |path: &[u8], rights: Rights| {
            digest.update(&(path.len() as u64).to_le_bytes());
            digest.update(path);
            digest.update(&[u8::from(rights.contains(Rights::LIST))]);
        };
        add(b"", self.at(folder));
        add(b"", if self.is_of_files { Rights::LIST } else { Rights::empty() });
        self.folded_below(&folder.folded()).for_each(|(path, rights)| add(path, rights));
        *digest.finalize().as_bytes()
    }

    fn at_folded(&self, folded: &[u8]) -> Rights {
        let mut above = folded;
        while !above.is_empty() {
            if let Some(rights) = self.folded.get(above) {
                return *rights;
            }
            above = &above[..above.iter().rposition(|byte| *byte == b'/').unwrap_or(0)];
        }
        self.everywhere
    }

    /// What is said of the paths below a folded one.
    fn below(&self, folded: &[u8]) -> impl Iterator<Item = Rights> {
        self.folded_below(folded).map(|(_, rights)| rights)
    }

    fn folded_below(&self, folded: &[u8]) -> impl Iterator<Item = (&[u8], Rights)> {
        let first = if folded.is_empty() { Vec::new() } else { [folded, b"/"].concat() };
        let from = self.folded.range::<[u8], _>((std::ops::Bound::Included(&*first), std::ops::Bound::Unbounded));
        from.take_while(move |(path, _)| path.starts_with(&first)).map(|(path, rights)| (&**path, *rights))
    }
}
