//! Paths that a person gives on the command line.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::model::path::SharePath;

/// A path on the command line: inside the share, or given from where the user stands.
pub(super) fn share_path(folder: &Path, path: Option<&Path>) -> anyhow::Result<SharePath> {
    let Some(path) = path else { return Ok(SharePath::root()) };
    let inside = match path.strip_prefix(folder) {
        Ok(inside) => inside,
        Err(_) => path.strip_prefix("/").unwrap_or(path),
    };
    let inside = inside.strip_prefix("./").unwrap_or(inside);
    let bytes = std::os::unix::ffi::OsStrExt::as_bytes(inside.as_os_str());
    let bytes = bytes.strip_suffix(b"/").unwrap_or(bytes);
    SharePath::parse_disk(bytes).with_context(|| format!("{} is not a path inside the share", path.display()))
}

/// Where a path of the share lies.
pub(super) fn on_disk(folder: &Path, path: &SharePath) -> PathBuf {
    folder.join(<OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(path.as_bytes()))
}
