//! The keys of what was set aside.

use crate::model::path::SharePath;
use crate::model::version::VersionId;

/// What stands in a key for the version.
pub(super) fn version_part(key: &[u8]) -> &[u8] {
    let end = key.iter().enumerate().filter(|(_, byte)| **byte == 0).nth(1);
    &key[..end.map_or(key.len(), |(at, _)| at + 1)]
}

/// What the keys of all that was noted on a version begin with.
pub(super) fn version_key(path: &SharePath, version: &VersionId) -> Vec<u8> {
    [version.as_str().as_bytes(), b"\0", path.as_bytes(), b"\0"].concat()
}

/// What such a beginning stands for.
pub(super) fn version_of(begin: &[u8]) -> Option<(SharePath, VersionId)> {
    let mut parts = begin.split(|byte| *byte == 0);
    let (version, path) = (parts.next()?, parts.next()?);
    Some((SharePath::parse_disk(path).ok()?, VersionId::parse(str::from_utf8(version).ok()?)?))
}
