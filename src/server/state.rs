//! The state of a share on the disk: its folder, and the index in it, opened at the start.
//!
//! Locks and properties are lasting, so a state that cannot be had is no reason to serve without it: the server says why and does not start.
//! Only what is no index at all is set aside and begun anew.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::access::link_file::LINKS_FILE;
use crate::config::{Certificate, Config, StateFolder, WrongSetting};
use crate::model::path::RESERVED;
use crate::model::stamp::Timestamp;
use crate::os::account;
use crate::share::{INDEX, IndexError, Share, ShareIdentity};
use crate::store::catalog::index::Index;

/// The folder of a certificate, in that of the state.
const TLS: &str = "tls";

/// The folder of a pass phrase, in that of the state.
const LAN: &str = "lan";

/// Opens the index of a share, in memory if that was asked for.
pub(super) fn open_index(config: &Config, share: &ShareIdentity, now: Timestamp) -> anyhow::Result<Index> {
    let Some(folder) = state_folder(config)? else {
        if config.state != StateFolder::Memory {
            tracing::warn!("there is no folder for the index; it is kept in memory and gone when the server stops");
        }
        return Ok(Index::in_memory());
    };
    if let StateFolder::In(given) = &config.state
        && lies_in(given, &config.folder)?
    {
        bail!(
            "the state would lie in the folder that is shared, where everybody could read and replace it: {}\n\
             --state names a folder outside of it; without --state one is found",
            given.display()
        );
    }
    make_private(&folder)
        .with_context(|| format!("cannot keep the state in {}; --state names another folder", folder.display()))?;
    let error = match Share::open_index(&folder, share) {
        Err(IndexError::Broken(_, error)) => error,
        opened => return Ok(opened?),
    };
    let (file, aside) = (folder.join(INDEX), folder.join(format!("{INDEX}.broken-{}", now.seconds())));
    fs::rename(&file, &aside).with_context(|| format!("cannot set the broken index {} aside", file.display()))?;
    tracing::error!(
        "the index {} is broken ({error}); it is set aside as {} and begun anew. The locks and properties in it are lost",
        file.display(),
        aside.display()
    );
    Ok(Share::open_index(&folder, share)?)
}

/// Opens the index that a server of the share has left, for a change without the server. None is begun, and a broken one is not set aside: that
/// is the server's to do and to tell. One that is missing where it was said to be is an error: its locks would not be heeded.
pub(super) fn open_index_that_is_there(config: &Config, share: &ShareIdentity) -> anyhow::Result<Index> {
    let Some(folder) = state_folder(config)? else { return Ok(Index::in_memory()) };
    let file = folder.join(INDEX);
    let is_there = file.try_exists().map_err(|error| IndexError::Unavailable(file.clone(), error.into()));
    match is_there.and_then(|is_there| is_there.then(|| Share::open_index(&folder, share)).transpose()) {
        Ok(Some(index)) => Ok(index),
        Ok(None) if matches!(config.state, StateFolder::In(_)) => {
            bail!(
                "there is no index {}\nnothing was changed; --no-state does without locks and properties",
                file.display()
            )
        }
        Ok(None) => {
            tracing::warn!(
                "there is no index {}: locks are not heeded, and properties that clients have set do not come back; --state or --config names \
                 what the server was started with",
                file.display()
            );
            Ok(Index::in_memory())
        }
        Err(error) => Err(error).context("nothing was changed; --no-state does without locks and properties"),
    }
}

/// The folder of the index: the one that was given, or one that is called by where the share lies. If that would be in the share, where clients
/// come to, it is one in noclobber's own folder, where they do not.
fn state_folder(config: &Config) -> anyhow::Result<Option<PathBuf>> {
    Ok(match &config.state {
        StateFolder::In(folder) => Some(folder.clone()),
        StateFolder::Memory => None,
        StateFolder::Beneath(base) => {
            let folder = fs::canonicalize(&config.folder)
                .with_context(|| format!("cannot tell where {} lies", config.folder.display()))?;
            let identity = blake3::hash(folder.as_os_str().as_bytes()).to_hex();
            let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let found = base.join(format!("{name}-{}", &identity[..16]));
            Some(if lies_in(&found, &folder)? { folder.join(RESERVED).join("state") } else { found })
        }
    })
}

/// The file of the links to a share, in the folder of its state; `None` where there is none.
pub(crate) fn links_file(config: &Config) -> anyhow::Result<Option<PathBuf>> {
    Ok(state_folder(config)?.map(|folder| folder.join(LINKS_FILE)))
}

/// As [`links_file`], where a server has kept its state; from here on the process is whoever that belongs to, and not root.
pub(crate) fn links_file_of_server(config: &Config) -> anyhow::Result<PathBuf> {
    let file = links_file(config)?.context("there is no folder to keep links in: --state names that of the server")?;
    let folder = file.parent().unwrap_or(Path::new("."));
    let found = fs::metadata(folder).with_context(|| {
        format!("no server keeps its state in {}: start it first, or name its --state or --config", folder.display())
    })?;
    account::give_up_root(found.uid(), found.gid())
        .with_context(|| format!("cannot become the owner of {}", folder.display()))?;
    Ok(file)
}

/// Makes the folders outside of the share in which something will be kept. What is wrong with one of them is told when it is used.
pub(super) fn make_folders(config: &Config) -> Vec<PathBuf> {
    let tls = match &config.certificate {
        Some(Certificate::Made(beneath)) => tls_folder(config, beneath.as_deref()).ok(),
        Some(Certificate::Files { .. }) | None => None,
    };
    let folders = state_folder(config).ok().flatten().into_iter().chain(tls);
    folders
        .filter(|folder| lies_in(folder, &config.folder).is_ok_and(|is_inside| !is_inside))
        .inspect(|folder| drop(make_private(folder)))
        .collect()
}

/// The folder in which a certificate is kept that is made here. If it would be in the share it is one in noclobber's own folder.
pub(super) fn tls_folder(config: &Config, beneath: Option<&Path>) -> anyhow::Result<PathBuf> {
    let Some(beneath) = beneath else {
        let why = "--tls has no folder to keep the certificate in: there is no HOME; --state names one, or --tls-cert and --tls-key a \
                   certificate";
        return Err(WrongSetting(why.to_owned()).into());
    };
    secret_folder(config, beneath, TLS)
}

/// As [`tls_folder`], for a pass phrase.
pub(super) fn lan_folder(config: &Config, beneath: Option<&Path>) -> anyhow::Result<PathBuf> {
    let Some(beneath) = beneath else {
        let why = "--remember has no folder to keep the pass phrase in: there is no HOME; --state names one";
        return Err(WrongSetting(why.to_owned()).into());
    };
    secret_folder(config, beneath, LAN)
}

fn secret_folder(config: &Config, beneath: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let folder = std::path::absolute(beneath.join(name))?;
    Ok(if lies_in(&folder, &config.folder)? {
        fs::canonicalize(&config.folder)?.join(RESERVED).join(name)
    } else {
        folder
    })
}

/// Whether a folder, which may not be there yet, is the other one or lies in it, by whatever path.
pub(super) fn lies_in(folder: &Path, other: &Path) -> anyhow::Result<bool> {
    let identity = |found: &Metadata| (found.dev(), found.ino());
    let other = fs::metadata(other).map(|found| identity(&found));
    let Ok(other) = other else { return Ok(false) };
    let folder = std::path::absolute(folder).with_context(|| format!("cannot tell where {} lies", folder.display()))?;
    let place = place_of(&folder);
    Ok(place.ancestors().any(|above| fs::metadata(above).is_ok_and(|found| identity(&found) == other)))
}

/// Where an absolute path leads once the folders that are missing on its way have been made: the links that are there are followed, and `..`
/// behind a folder that is still to be made leads to the one above it.
fn place_of(path: &Path) -> PathBuf {
    let mut place = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                place.pop();
            }
            component => {
                place.push(component);
                if let Ok(real) = fs::canonicalize(&place) {
                    place = real;
                }
            }
        }
    }
    place
}

/// Makes the folder, which nobody but its owner may enter. One that was there before and holds nothing else is closed to others.
fn make_private(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let found = fs::metadata(folder)?;
    let is_open = found.permissions().mode() & 0o077 != 0;
    if is_open && found.uid() == rustix::process::geteuid().as_raw() && holds_only_state(folder)? {
        fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    }
    Ok(())
}

fn holds_only_state(folder: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if !name.as_bytes().starts_with(INDEX.as_bytes()) && name != TLS && name != LAN && name != LINKS_FILE {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A way that leads into the share only once folders on it have been made, or that goes by a link, is seen for what it is before anything is
    /// made.
    #[test]
    fn where_the_state_would_lie_is_known_before_it_is_made() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |path: &str| folder.path().join(path);
        fs::create_dir_all(at("share/inside")).expect("made");
        fs::create_dir_all(at("beside")).expect("made");
        symlink("share/inside", at("link")).expect("linked");
        symlink("../beside", at("share/out")).expect("linked");
        let table = [
            ("share", true),
            ("share/state", true),
            ("share/new/state", true),
            ("beside/../share/state", true),
            ("new/../share", true),
            ("new/../share/state", true),
            ("new/newer/../../share/inside/state", true),
            ("new/../link/state", true),
            ("link/../state", true),
            ("link/new/../state", true),
            ("share/out/state", false),
            ("share/out/../state", false),
            ("share/new/../../state", false),
            ("share/../state", false),
            ("shared/state", false),
            ("new/../beside", false),
        ];
        for (path, expected) in table {
            assert_eq!(lies_in(&at(path), &at("share")).expect("told"), expected, "{path}");
        }
        assert!(!at("new").exists());
    }
}
