//! The file of links: JSON in the state folder of a share, changed under a lock.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::os::locked_file::LockedFile;
use crate::os::private_file::{self, ReadFile};
use crate::os::random;

use super::link::{Link, NewLink};

/// How it is called, in the state folder.
pub const LINKS_FILE: &str = "links.json";

/// How many links a user has at most.
pub const LINKS_OF_USER_MAX: usize = 100;

/// How large the file is at most that links of users are added to, in bytes. Whoever runs the server adds more.
const BYTES_MAX: usize = 16 << 20;

/// How large it is at most, in bytes.
const READ_BYTES_MAX: u64 = 64 << 20;

/// How many bytes of chance an identifier has.
const ID_BYTES: usize = 4;

/// A file of links, held for a change.
#[derive(Debug)]
pub struct LinkFile {
    path: PathBuf,
    file: LockedFile,
    links: Vec<Link>,
}

/// Why links cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum LinkFileError {
    /// The disk.
    #[error("{}: {error}", path.display())]
    Disk {
        /// Which file.
        path: PathBuf,
        /// What it says.
        error: io::Error,
    },
    /// It is not what is written here.
    #[error("{}: these are no links: {why}", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// There are too many.
    #[error("there are as many links already as there may be: revoke some")]
    TooMany,
    /// There is none of that name, for whoever asks.
    #[error("there is no such link")]
    Unknown,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    links: Vec<Link>,
}

#[derive(Serialize)]
struct ContentRef<'a> {
    links: &'a [Link],
}

/// The links of a file; none if it is missing.
///
/// # Errors
/// Why it cannot be used: also where others than its owner can read it.
pub fn read_links(path: &Path) -> Result<Vec<Link>, LinkFileError> {
    match private_file::read_at_most(path, READ_BYTES_MAX) {
        Ok(ReadFile { is_open_to_others: true, .. }) => Err(open_to_others(path)),
        Ok(ReadFile { bytes, .. }) => parse(path, &bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(LinkFileError::Disk { path: path.to_owned(), error }),
    }
}

fn open_to_others(path: &Path) -> LinkFileError {
    let why = "others can read or write it: chmod 600 makes it its owner's alone".to_owned();
    LinkFileError::Content { path: path.to_owned(), why }
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<Link>, LinkFileError> {
    if bytes.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    let content: Result<Content, _> = serde_json::from_slice(bytes);
    content
        .map(|content| content.links)
        .map_err(|error| LinkFileError::Content { path: path.to_owned(), why: error.to_string() })
}

impl LinkFile {
    /// Opens the file for a change, and makes it if it is missing. Waits for others who change it.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn open(path: &Path) -> Result<Self, LinkFileError> {
        let disk = |error| LinkFileError::Disk { path: path.to_owned(), error };
        let mut file = LockedFile::open(path).map_err(disk)?;
        if file.is_open_to_others().map_err(disk)? {
            return Err(open_to_others(path));
        }
        let text = file.text().map_err(disk)?;
        Ok(Self { path: path.to_owned(), file, links: parse(path, text.as_bytes())? })
    }

    /// Adds a link; gives its secret, which is noted nowhere. Those that are over are forgotten; those that are used up stay, since whoever has come by
    /// them may still be there.
    ///
    /// # Errors
    /// That there are too many, of its owner or in all.
    pub fn add(&mut self, new: NewLink, now: Timestamp) -> Result<(String, Link), LinkFileError> {
        self.links.retain(|link| link.is_good_at(now));
        let secret = BASE64URL_NOPAD.encode(&random::bytes());
        let NewLink { place, may, owner, life, uses, password } = new;
        let (owner, owner_added) = owner.map(|owner| (owner.name, owner.added)).unzip();
        let (id, hash, until) = (self.free_id(), HEXLOWER.encode(&hash_of(&secret)).into(), life.end(now));
        let owner_added = owner_added.flatten();
        let link = Link { id, hash, place, may, owner, owner_added, until, uses_left: uses, password };
        self.links.push(link.clone());
        let of_owner = self.links.iter().filter(|other| other.owner == link.owner).count();
        if link.owner.is_some() && (of_owner > LINKS_OF_USER_MAX || self.to_text().len() > BYTES_MAX) {
            return Err(LinkFileError::TooMany);
        }
        Ok((secret, link))
    }

    /// Takes a link away that this owner has; any link, if none is named.
    ///
    /// # Errors
    /// That there is none.
    pub fn revoke(&mut self, id: &str, owner: Option<&str>) -> Result<(), LinkFileError> {
        let is_meant = |link: &Link| *link.id == *id && (owner.is_none() || link.owner.as_deref() == owner);
        let before = self.links.len();
        self.links.retain(|link| !is_meant(link));
        if self.links.len() == before { Err(LinkFileError::Unknown) } else { Ok(()) }
    }

    /// Counts that somebody comes by a link; `false` if nobody can any more.
    pub fn count_use(&mut self, id: &str) -> bool {
        match self.links.iter_mut().find(|link| *link.id == *id) {
            Some(Link { uses_left: Some(left), .. }) if *left > 0 => {
                *left -= 1;
                true
            }
            Some(Link { uses_left: Some(_), .. }) | None => false,
            Some(_) => true,
        }
    }

    /// Puts the changed file in the place of the old one, on the disk.
    ///
    /// # Errors
    /// What the disk says. Nothing has changed then.
    pub fn commit(self) -> Result<(), LinkFileError> {
        let text = self.to_text();
        let Self { path, file, .. } = self;
        file.replace(&text, |_| Ok::<(), io::Error>(())).map_err(|error| LinkFileError::Disk { path, error })
    }

    fn to_text(&self) -> String {
        serde_json::to_string_pretty(&ContentRef { links: &self.links }).expect("links are plain values") + "\n"
    }

    fn free_id(&self) -> Arc<str> {
        loop {
            let id: Arc<str> = HEXLOWER_PERMISSIVE.encode(&random::bytes()[..ID_BYTES]).into();
            if self.links.iter().all(|link| link.id != id) {
                return id;
            }
        }
    }
}

/// By what a secret is known again.
pub(super) fn hash_of(secret: &str) -> [u8; 32] {
    *blake3::hash(secret.as_bytes()).as_bytes()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::access::link::{Life, LinkMay, LinkOwner, Place};
    use crate::model::path::SharePath;

    fn owner_of(name: &str) -> LinkOwner {
        LinkOwner { name: name.into(), added: None }
    }

    fn wanted(owner: Option<&str>, uses: Option<u32>) -> NewLink {
        let place = Place::new(SharePath::parse_disk(b"docs").expect("a path"), true);
        NewLink { place, may: LinkMay::Read, owner: owner.map(owner_of), life: Life::default(), uses, password: None }
    }

    #[test]
    fn links_are_made_used_and_revoked() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(LINKS_FILE);
        assert_eq!(read_links(&path).expect("none"), []);
        let mut ids = Vec::new();
        for (owner, uses) in [(Some("alice"), None), (Some("bob"), Some(2)), (None, None)] {
            let mut file = LinkFile::open(&path).expect("opened");
            let (secret, link) = file.add(wanted(owner, uses), Timestamp::now()).expect("added");
            file.commit().expect("written");
            assert_eq!(BASE64URL_NOPAD.decode(secret.as_bytes()).expect("a secret").len(), 16, "128 bits");
            assert!(!fs::read_to_string(&path).expect("read").contains(&secret), "it is noted nowhere");
            ids.push(link.id);
        }
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        let mut file = LinkFile::open(&path).expect("opened");
        assert!((0..5).all(|_| file.count_use(&ids[0])) && !file.count_use("none"));
        assert_eq!([file.count_use(&ids[1]), file.count_use(&ids[1]), file.count_use(&ids[1])], [true, true, false]);
        assert!(matches!(file.revoke(&ids[0], Some("bob")), Err(LinkFileError::Unknown)), "it is alice's");
        assert!(matches!(file.revoke(&ids[2], Some("bob")), Err(LinkFileError::Unknown)), "it is nobody's");
        file.revoke(&ids[0], Some("alice")).expect("her own");
        file.revoke(&ids[2], None).expect("any");
        assert!(matches!(file.revoke(&ids[2], None), Err(LinkFileError::Unknown)));
        file.commit().expect("written");
        let left = read_links(&path).expect("read");
        assert_eq!(left.iter().map(|link| (&link.id, link.uses_left)).collect::<Vec<_>>(), [(&ids[1], Some(0))]);
    }

    #[test]
    fn what_is_over_is_forgotten_and_the_rest_is_bounded() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut file = LinkFile::open(&folder.path().join(LINKS_FILE)).expect("opened");
        let now = Timestamp::now();
        let week = Life::default().end(now).expect("a week from now");
        for _ in 0..LINKS_OF_USER_MAX {
            file.add(wanted(Some("bob"), None), now).expect("added");
        }
        assert!(matches!(file.add(wanted(Some("bob"), None), now), Err(LinkFileError::TooMany)));
        file.links.pop();
        file.add(wanted(Some("alice"), None), now).expect("others have their own");
        let long = SharePath::parse_disk("+".repeat(250).as_bytes()).expect("a path");
        let long = (0..14).fold(long.clone(), |path, _| long.names().fold(path, |path, name| path.join(&name)));
        let long =
            |owner: Option<LinkOwner>| NewLink { place: Place::new(long.clone(), true), owner, ..wanted(None, None) };
        let many = (0..20).map(|nth| owner_of(&format!("user-{nth}"))).flat_map(|owner| vec![owner; LINKS_OF_USER_MAX]);
        let full = many.map(|owner| file.add(long(Some(owner)), now)).find(Result::is_err).expect("it is full once");
        assert!(matches!(full, Err(LinkFileError::TooMany)));
        file.add(long(None), now).expect("whoever runs the server is not kept from it");
        file.add(wanted(None, None), week).expect("the others are over");
        assert_eq!(file.links.len(), 1);
    }

    #[test]
    fn a_file_that_others_can_read_or_that_is_broken_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(LINKS_FILE);
        for (text, mode, is_good) in [
            ("{\"links\":[]}", 0o600, true),
            ("", 0o600, true),
            ("{\"links\":[]}", 0o644, false),
            ("{\"links\":[", 0o600, false),
            ("{\"links\":[{}]}", 0o600, false),
            ("{\"lynx\":[]}", 0o600, false),
        ] {
            fs::write(&path, text).expect("written");
            fs::set_permissions(&path, Permissions::from_mode(mode)).expect("set");
            assert_eq!(read_links(&path).is_ok(), is_good, "{text} {mode:o}");
        }
    }
}
