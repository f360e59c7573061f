//! Names that are written in more than one way: what a person reads as one name, Unicode can spell composed (NFC) and decomposed (NFD).
//!
//! A path is found in whichever spelling it has on the disk, so that two systems which spell differently share one file and never make two.
//! Only what is missing as it was asked for is looked for otherwise, and a name in ASCII has one spelling.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization as _;

use crate::model::path::{Name, SharePath};

use super::disk::{Cause, Dir, Disk, Result};

/// The path as it is spelled on the disk, as far as it is there; what is not there keeps the spelling that was asked for.
pub(super) fn spelled<'p>(disk: &dyn Disk, root: &Dir, path: &'p SharePath) -> Result<Cow<'p, SharePath>> {
    if path.as_bytes().is_ascii() || is_there(disk, root, path)? {
        return Ok(Cow::Borrowed(path));
    }
    let mut found = SharePath::root();
    for name in path.names() {
        found = found.join(&spelling_there(disk, root, &found, name)?);
    }
    Ok(Cow::Owned(found))
}

fn spelling_there(disk: &dyn Disk, root: &Dir, folder: &SharePath, name: Name) -> Result<Name> {
    if name.as_bytes().is_ascii() || is_there(disk, root, &folder.join(&name))? {
        return Ok(name);
    }
    for other in other_spellings(&name) {
        if is_there(disk, root, &folder.join(&other))? {
            return Ok(other);
        }
    }
    Ok(name)
}

fn other_spellings(name: &Name) -> impl Iterator<Item = Name> {
    let text = str::from_utf8(name.as_bytes()).unwrap_or_default();
    let forms = [text.nfc().collect::<String>(), text.nfd().collect()];
    forms
        .into_iter()
        .filter_map(|form| Name::new(form.into_bytes()).ok())
        .filter(|form| form != name)
        .collect::<Vec<_>>()
        .into_iter()
}

fn is_there(disk: &dyn Disk, root: &Dir, path: &SharePath) -> Result<bool> {
    match disk.look_path(root, path.as_bytes()) {
        Ok(status) => Ok(status.is_some()),
        Err(error) if matches!(error.cause, Cause::NotFound | Cause::NotADirectory | Cause::LongName) => Ok(false),
        Err(error) => Err(error),
    }
}
