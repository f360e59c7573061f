//! Secrets that the tests know, and where they must not be: in no log, no answer and no file of any server that the tests start. Who learns a secret
//! notes it here; whoever takes an answer, or stops a server, looks.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::RwLock;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::Answer;
use super::client::percent_encode;

/// What is shorter may stand anywhere.
const BYTES_MIN: usize = 8;

/// As much of a file or a body is looked at, in bytes: what is larger is somebody's content.
const LOOKED_AT_MAX: usize = 4 << 20;

static NOTED: RwLock<BTreeSet<String>> = RwLock::new(BTreeSet::new());

/// From now on this secret is to be nowhere: as it is, nor as it is encoded on its way.
pub fn note(secret: &str) {
    if secret.len() < BYTES_MIN || NOTED.read().expect("nobody panics with them").contains(secret) {
        return;
    }
    let forms =
        [secret.to_owned(), percent_encode(secret.as_bytes()), STANDARD.encode(secret), URL_SAFE_NO_PAD.encode(secret)];
    NOTED.write().expect("nobody panics with them").extend(forms);
}

/// A secret that stands in these bytes.
pub fn found_in(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LOOKED_AT_MAX)]);
    NOTED.read().expect("nobody panics with them").iter().find(|secret| text.contains(secret.as_str())).cloned()
}

/// Fails if a secret stands there.
#[track_caller]
pub fn are_not_in(place: &str, bytes: &[u8]) {
    if let Some(secret) = found_in(bytes) {
        panic!("the secret {secret:?} stands in {place}");
    }
}

/// Fails if a secret stands in a file below this folder.
#[track_caller]
pub fn are_not_below(folder: &Path) {
    let mut folders = vec![folder.to_owned()];
    while let Some(inside) = folders.pop() {
        for entry in fs::read_dir(inside).into_iter().flatten().flatten() {
            let (path, kind) = (entry.path(), entry.file_type());
            match kind {
                Ok(kind) if kind.is_dir() => folders.push(path),
                // The pass phrase that the next run is to have as well.
                Ok(_) if path.ends_with("lan/pass-phrase") => {}
                Ok(kind) if kind.is_file() && entry.metadata().is_ok_and(|data| data.len() <= LOOKED_AT_MAX as u64) => {
                    are_not_in(&path.display().to_string(), &fs::read(&path).unwrap_or_default());
                }
                _ => {}
            }
        }
    }
}

/// Notes the session that an answer begins, and fails if a secret stands anywhere else in it.
#[track_caller]
pub fn look_at(answer: &Answer) {
    for (name, value) in &answer.headers {
        let is_cookie = name == "set-cookie";
        let cookie = ["noclobber-session=", "noclobber-link="].into_iter().find_map(|name| value.strip_prefix(name));
        match cookie.filter(|_| is_cookie) {
            Some(cookie) => note(cookie.split(';').next().unwrap_or_default()),
            None => are_not_in(&format!("the field {name} of the answer to {}", answer.request), value.as_bytes()),
        }
    }
    are_not_in(&format!("the answer to {}", answer.request), &answer.body);
}
