//! All tests in one binary, a file for each behaviour; a file that is not listed here makes `no_test_file_is_forgotten` fail.
//! A test tells a short story and its name is the sentence; the harness removes plumbing, never meaning.
//! A test that cannot run on a machine prints `left out: NAME: why`; it never passes silently.

// Nobody outside sees these items, and a test that cannot go on may as well unwrap.
#![allow(missing_docs, missing_debug_implementations, unreachable_pub, clippy::unwrap_used)]

mod harness;

mod after_refusals;
mod aliases;
mod architecture;
mod at_once;
mod cli;
mod clients;
mod collections;
mod commit_model;
mod conditions;
mod connection;
mod copies;
mod copying;
mod crash;
mod cross_site;
mod dates;
mod dav_bombs;
mod dav_if;
mod dav_locks;
mod dav_model;
mod dav_moves;
mod dav_properties;
mod disk_refusals;
mod grains;
mod harness_itself;
mod hashing;
mod history;
mod hostile_paths;
mod kill;
mod least;
mod limits;
mod logging;
mod memory;
mod model;
mod moving;
mod moving_at_once;
mod order;
mod os_disk;
mod outside_changes;
mod query_words;
mod race;
mod ranges;
mod reading;
mod refusals;
mod replays;
mod request_targets;
mod restarts;
mod room;
mod sessions;
mod sim_disk;
mod soak;
mod start;
mod state;
mod strangers;
mod transport;
mod watching;
mod writing;

/// Every file in `tests/` is a module of this binary; one that is not would look like tests that pass.
#[test]
fn no_test_file_is_forgotten() {
    let listed = include_str!("main.rs");
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(module) = name.strip_suffix(".rs") else { continue };
        assert!(
            module == "main" || listed.contains(&format!("\nmod {module};\n")),
            "{name} is forgotten in tests/main.rs"
        );
    }
}
