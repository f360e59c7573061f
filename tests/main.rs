//! All tests in one binary: a folder for each kind, a file for each behaviour; one that is not listed makes `no_test_file_is_forgotten` fail.
//! A test tells a short story and its name is the sentence; the harness removes plumbing, never meaning.
//! A test that cannot run on a machine prints `left out: NAME: why`; it never passes silently.

// Nobody outside sees these items, and a test that cannot go on may as well unwrap.
#![allow(missing_docs, missing_debug_implementations, unreachable_pub, clippy::unwrap_used)]

use std::fs;
use std::path::Path;

mod harness;

mod clients;
mod commit;
mod disk;
mod http;
mod process;
mod promise;
mod replays;
mod source;
mod webdav;

/// Every file in `tests/` is a module of this binary; one that is not would look like tests that pass.
#[test]
fn no_test_file_is_forgotten() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut forgotten = Vec::new();
    let mut folders = vec![(folder.clone(), folder.join("main.rs"))];
    while let Some((folder, index)) = folders.pop() {
        let listed = fs::read_to_string(&index).unwrap_or_default();
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let module = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let has_rust = path.is_dir() && fs::read_dir(&path).unwrap().flatten().any(|it| is_rust(&it.path()));
            if path == index || !(is_rust(&path) || has_rust) {
                continue;
            }
            if !listed
                .lines()
                .any(|line| [format!("mod {module};"), format!("pub mod {module};")].contains(&line.to_owned()))
            {
                forgotten.push(path.clone());
            }
            if has_rust {
                folders.push((path.clone(), path.join("mod.rs")));
            }
        }
    }
    assert!(forgotten.is_empty(), "forgotten by the file above: {forgotten:?}");
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}
