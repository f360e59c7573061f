//! Telling files that have no name yet, as uploads are while they are written, from files that a person has called so.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::path::Path;

/// How many names are remembered.
const NAMES_MAX: usize = 4096;

/// Names of nameless files that were looked for and are nobody's. An upload is four events of the same name, and a look takes longer than to
/// take in an event.
#[derive(Debug, Default)]
pub(super) struct NamelessFiles {
    nobodys: BTreeSet<Box<[u8]>>,
}

impl NamelessFiles {
    /// Whether this is a file that is being written before it has a name (`O_TMPFILE`, open(2)): the kernel calls it `#` and its inode, and
    /// nothing has that name.
    pub(super) fn contain(&mut self, path: &Path) -> bool {
        let name = path.file_name().map_or(&[][..], |name| name.as_encoded_bytes());
        let is_number = |digits: &[u8]| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        if !name.strip_prefix(b"#").is_some_and(is_number) {
            return false;
        }
        let bytes = path.as_os_str().as_encoded_bytes();
        if self.nobodys.contains(bytes) {
            return true;
        }
        let is_nobodys = path.symlink_metadata().is_err();
        if is_nobodys {
            if self.nobodys.len() == NAMES_MAX {
                self.nobodys.clear();
            }
            self.nobodys.insert(bytes.into());
        }
        is_nobodys
    }

    /// A name was made or removed, which may be that of a folder with names in it.
    pub(super) fn came_or_went(&mut self, path: &Path) {
        let bytes = path.as_os_str().as_encoded_bytes();
        self.nobodys.remove(bytes);
        let below = [bytes, b"/"].concat();
        let in_it = self
            .nobodys
            .range::<[u8], _>((Bound::Included(&*below), Bound::Unbounded))
            .take_while(|name| name.starts_with(&below));
        for name in in_it.cloned().collect::<Vec<_>>() {
            self.nobodys.remove(&name);
        }
    }

    /// Anything may have happened.
    pub(super) fn clear(&mut self) {
        self.nobodys.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn only_a_number_that_no_file_is_called_is_nameless() {
        let made = tempfile::tempdir().expect("a folder can be made");
        fs::write(made.path().join("#12"), "a file that is called so").expect("it can be written");
        let mut files = NamelessFiles::default();
        for (name, expected) in
            [("#11", true), ("#11", true), ("#12", false), ("#", false), ("#x", false), ("11", false)]
        {
            assert_eq!(files.contain(&made.path().join(name)), expected, "{name}");
        }
    }

    #[test]
    fn what_came_since_is_looked_for_again() {
        let made = tempfile::tempdir().expect("a folder can be made");
        let at = |name: &str| made.path().join(name);
        let beside = ["a!/#11", "a/#12", "a0/#11", "#11"];
        for came in ["a/b/#11", "a/b", "a"] {
            let mut files = NamelessFiles::default();
            assert!(files.contain(&at("a/b/#11")));
            assert!(beside.iter().all(|name| files.contain(&at(name))));
            fs::create_dir_all(at("a/b")).expect("a folder can be made");
            fs::write(at("a/b/#11"), "a file that is called so").expect("it can be written");
            assert!(files.contain(&at("a/b/#11")), "no event has told of it");
            files.came_or_went(&at(came));
            assert!(!files.contain(&at("a/b/#11")), "{came}");
            let kept = files.nobodys.len();
            assert_eq!(kept, if came == "a" { 3 } else { 4 }, "{came}: what lies beside it is remembered");
            fs::remove_dir_all(at("a")).expect("it can be removed");
        }
    }

    #[test]
    fn no_more_than_some_are_remembered() {
        let mut files = NamelessFiles::default();
        for number in 0..=NAMES_MAX {
            assert!(files.contain(Path::new(&format!("/nowhere/#{number}"))));
            assert!(files.nobodys.len() <= NAMES_MAX);
        }
    }
}
