//! One history for all spellings of a name. An entry lies where its path was spelled when it was displaced, so that a commit which was broken off
//! is settled at just that name. Whoever looks for what there is of a path looks at every spelling of it, composed and decomposed.
//!
//! Where upper and lower case make no difference the folders of the history are found in any case, as the files are.

use std::collections::HashSet;

use unicode_normalization::UnicodeNormalization as _;

use crate::model::path::{Name, SharePath};

use super::super::spelling::{look, normal_forms, other_name};
use super::History;
use super::areas::{entries_of, folder_of, names, relative};
use crate::store::disk_error::{DiskError, Result};
use crate::store::handle::Dir;
use crate::store::status::Kind;

impl History {
    /// The spellings of a path that there is a folder for in an area of the history of one file system; that of the path itself comes first.
    pub(super) fn spellings(
        &self,
        area: &str,
        (top_path, top): (&SharePath, &Dir),
        path: &SharePath,
    ) -> Result<Vec<SharePath>> {
        let below_top = relative(path, top_path);
        if below_top.is_ascii() {
            return Ok(vec![path.clone()]);
        }
        let mut spelled = vec![top_path.clone()];
        for name in names(below_top) {
            let forms: Vec<_> = std::iter::once(name.clone()).chain(normal_forms(&name)).collect();
            let mut longer = Vec::new();
            // Some file systems take all of them for one.
            let mut seen = HashSet::new();
            for (above, form) in spelled.iter().flat_map(|above| forms.iter().map(move |form| (above, form))) {
                let path = above.join(form);
                let below_top = relative(&path, top_path);
                for folder in [&*folder_of(area, below_top), &*entries_of(area, below_top)] {
                    let there = look(self.disk.look_path(top, folder))?.filter(|status| status.kind == Kind::Dir);
                    if let Some(status) = there {
                        if seen.insert((status.device, status.stamp.id)) {
                            longer.push(path.clone());
                        }
                        break;
                    }
                }
            }
            spelled = longer;
        }
        Ok(spelled)
    }

    /// Whether a name is in a folder of the history, written in another way that its file system takes for the same.
    pub(super) fn is_there_as_another(&self, dir: &Dir, name: &Name) -> Result<bool> {
        let Some(there) = look(self.disk.look(dir, name))? else { return Ok(false) };
        Ok(other_name(&*self.disk, dir, name, &there)?.is_some())
    }

    /// Whether a name in a folder of the history is the one by which all its spellings there are told: the first of them.
    pub(super) fn is_first_spelling(&self, dirs: &[Dir], name: &Name) -> Result<bool> {
        let is = |dir: &Dir, name: &Name| Ok::<_, DiskError>(look(self.disk.look(dir, name))?.map(|it| it.stamp.id));
        for other in normal_forms(name).filter(|other| other < name) {
            for dir in dirs {
                let there = is(dir, &other)?;
                if there.is_some() && there != is(dir, name)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

/// The path by which all its spellings are one.
pub(super) fn composed(path: &SharePath) -> Vec<u8> {
    match str::from_utf8(path.as_bytes()) {
        Ok(text) if !text.is_ascii() => text.nfc().collect::<String>().into_bytes(),
        _ => path.as_bytes().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_thinned_by_the_name_in_all_its_spellings() {
        let key = |path: &str| composed(&SharePath::parse_disk(path.as_bytes()).expect("a path"));
        assert_eq!(key("De\u{301}/f"), key("D\u{e9}/f"));
        assert_eq!(key("D/u\u{308}"), key("D/\u{fc}"));
        assert_ne!(key("D/u"), key("D/\u{fc}"));
        let no_text = SharePath::parse_disk(b"a/\xff").expect("a path");
        assert_eq!(composed(&no_text), b"a/\xff");
    }
}
