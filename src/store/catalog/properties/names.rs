//! Where something is noted, known without the disk.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::following::Following;
use super::keys::{version_key, version_part};

/// Where something is noted, as hashes: each path of a row with all paths above it, and each version that something was set aside for. What is
/// no more may still be among them. It is known without the disk.
#[derive(Debug, Default)]
pub(super) struct NotedNames(pub(super) HashSet<u64>);

impl NotedNames {
    /// Something is noted at a path: so it is at that, and below each above it.
    pub(super) fn note(&mut self, path: &[u8]) {
        self.0.insert(hash_of(path));
        self.0.insert(hash_of(b""));
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        self.0.extend(slashes.map(|(at, _)| hash_of(&path[..at])));
    }

    /// Something was set aside under a key.
    pub(super) fn note_version(&mut self, key: &[u8]) {
        self.0.insert(hash_of(version_part(key)));
    }

    pub(super) fn are_of_any(&self, what: &Following) -> bool {
        match what {
            Following::Back { of, version, .. } => self.0.contains(&hash_of(&version_key(of, version))),
            _ => what.paths().iter().any(|path| self.0.contains(&hash_of(path.as_bytes()))),
        }
    }
}

pub(super) fn hash_of(name: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}
