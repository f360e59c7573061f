//! What is in a folder, to see whether it has changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Every file with its text and every folder, noclobber's own left out, and what is in a folder of one of these names.
pub fn tree(folder: &Path, left_out: &[&str]) -> BTreeMap<String, Option<String>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(inside) = folders.pop() {
        for entry in fs::read_dir(&inside).unwrap() {
            let path = entry.unwrap().path();
            if path.ends_with(".noclobber") || left_out.iter().any(|name| path.ends_with(name)) {
                continue;
            }
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            let text = path.is_file().then(|| fs::read_to_string(&path).unwrap());
            if text.is_none() {
                folders.push(path);
            }
            found.insert(name, text);
        }
    }
    found
}
