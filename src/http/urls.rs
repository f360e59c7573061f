//! The URLs of the share: where it is on its server, and what is where in it. One process serves one share at one place.

use std::fmt;
use std::sync::OnceLock;

use percent_encoding::percent_decode_str;

use crate::model::path::SharePath;
use crate::share::outcome::LockRoot;

/// Before the path in the share: empty, or a slash and names, without a slash at the end; percent-encoded.
static BASE: OnceLock<Box<str>> = OnceLock::new();

/// Where the share is besides, below its base: the name of a user follows, which is whatever the client was told to put there.
const OTHER_PLACE: &str = "/.noclobber/remote.php/dav/files/";

/// The path on the server below which everything is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BasePath(Box<str>);

impl fmt::Display for BasePath {
    /// Without a slash at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl BasePath {
    /// Reads a path like `/files`.
    ///
    /// # Errors
    /// Says what is wanted, if this is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wanted = || "a path is wanted that begins with a slash, like /files, and no percent sign in it".to_owned();
        let inside = text.strip_suffix('/').unwrap_or(text);
        if text == "/" {
            return Ok(Self::default());
        }
        match SharePath::parse_url(inside) {
            Ok(path) if !path.is_root() && !inside.contains(['%', '?', '#']) && !inside.contains("//") => {
                Ok(Self(path.to_url().into()))
            }
            _ => Err(wanted()),
        }
    }

    /// From now on, and once: this is where the share is.
    pub fn take_effect(self) {
        let _ = BASE.set(self.0);
    }
}

fn base() -> &'static str {
    BASE.get().map_or("", |base| base)
}

/// The path of the URL of what is at a path, without a slash at the end; the share itself has one.
pub(crate) fn of(path: &SharePath) -> String {
    [base(), &path.to_url()].concat()
}

/// As [`of`], with a slash at the end.
pub(crate) fn of_folder(path: &SharePath) -> String {
    [base(), &path.to_collection_url()].concat()
}

/// The path of everything here, without a slash at the end unless that is all: a cookie for `/files/` would not be sent to `/files`.
pub(crate) fn share() -> &'static str {
    if base().is_empty() { "/" } else { base() }
}

/// Of the root of a lock.
pub(crate) fn of_lock_root(root: &LockRoot) -> String {
    if root.is_collection { of_folder(&root.path) } else { of(&root.path) }
}

/// What stands behind the base in the path of a URL, a slash first; `None` where the URL leads elsewhere. What is behind the share's other
/// place is what has that place in front of it.
pub(crate) fn inside(url_path: &str) -> Option<&str> {
    let inside = behind(base(), url_path)?;
    match in_other_place(inside) {
        Some((_, "")) => Some("/"),
        Some((_, rest)) => Some(rest),
        None => Some(inside),
    }
}

/// The share's other place and what stands behind it: clients of Nextcloud know a user's files by such a URL, and find by it where chunks go. No
/// member of the share has such a path.
fn in_other_place(inside: &str) -> Option<(&str, &str)> {
    let from_user = inside.strip_prefix(OTHER_PLACE)?;
    let (user, rest) = from_user.split_at(from_user.find('/').unwrap_or(from_user.len()));
    (!user.is_empty()).then(|| (&inside[..inside.len() - rest.len()], rest))
}

/// The place by which a request came to the share: what it is told lies below that.
#[derive(Clone, Debug)]
pub(crate) struct View(Box<str>);

impl View {
    /// The one that a request came by.
    pub(crate) fn of(url_path: &str) -> Self {
        let other = behind(base(), url_path).and_then(in_other_place).map_or("", |(place, _)| place);
        Self([base(), other].concat().into())
    }

    /// Whether it is the place that all others know.
    pub(crate) fn is_usual(&self) -> bool {
        *self.0 == *base()
    }

    /// The path of the URL of what is at a path, without a slash at the end; the share itself has one.
    pub(crate) fn url(&self, path: &SharePath) -> String {
        [&*self.0, &path.to_url()].concat()
    }

    /// As [`View::url`], with a slash at the end.
    pub(crate) fn url_of_folder(&self, path: &SharePath) -> String {
        [&*self.0, &path.to_collection_url()].concat()
    }
}

/// Whether a folder of the server leads down to the share, and is not in it.
pub(crate) fn is_above(url_path: &str) -> bool {
    let folder = url_path.strip_suffix('/').unwrap_or(url_path);
    base().strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

fn behind<'a>(base: &str, url_path: &'a str) -> Option<&'a str> {
    let behind = url_path.strip_prefix(base).or_else(|| behind_as_decoded(base, url_path))?;
    match behind {
        "" if !base.is_empty() => Some("/"),
        behind => behind.starts_with('/').then_some(behind),
    }
}

/// Where the base is encoded otherwise than here: `%c3` is `%C3`, and `%66` is `f`.
fn behind_as_decoded<'a>(base: &str, url_path: &'a str) -> Option<&'a str> {
    let mut rest = url_path;
    for name in base.split('/').skip(1) {
        let from_name = rest.strip_prefix('/')?;
        let (written, behind) = from_name.split_at(from_name.find('/').unwrap_or(from_name.len()));
        if !percent_decode_str(written).eq(percent_decode_str(name)) {
            return None;
        }
        rest = behind;
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_path_is_read_as_it_is_meant() {
        let read = |text: &str| BasePath::parse(text).map(|base| base.0.to_string());
        for (text, base) in [("/files", "/files"), ("/files/", "/files"), ("/a/b c", "/a/b%20c"), ("/", "")] {
            assert_eq!(read(text).as_deref(), Ok(base), "{text}");
        }
        for wrong in ["", "files", "/a//b", "/../a", "/a?b", "/a%20b", "//", "/.noclobber"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_other_place_of_the_share() {
        for (url_path, inside_it, usual) in [
            ("/.noclobber/remote.php/dav/files/alice", Some("/"), false),
            ("/.noclobber/remote.php/dav/files/alice/", Some("/"), false),
            ("/.noclobber/remote.php/dav/files/a%40b/d/e", Some("/d/e"), false),
            ("/.noclobber/remote.php/dav/files/", Some("/.noclobber/remote.php/dav/files/"), true),
            ("/.noclobber/remote.php/dav/files//a", Some("/.noclobber/remote.php/dav/files//a"), true),
            ("/remote.php/dav/files/alice/a", Some("/remote.php/dav/files/alice/a"), true),
            ("/a/.noclobber/remote.php/dav/files/alice/a", Some("/a/.noclobber/remote.php/dav/files/alice/a"), true),
            (
                "/.noclobber/remote.php/dav/files/a/.noclobber/remote.php/dav/files/a/b",
                Some("/.noclobber/remote.php/dav/files/a/b"),
                false,
            ),
        ] {
            assert_eq!(inside(url_path), inside_it, "{url_path}");
            assert_eq!(View::of(url_path).is_usual(), usual, "{url_path}");
        }
        let (path, view) =
            (SharePath::parse_url("/d/e").expect("a path"), View::of("/.noclobber/remote.php/dav/files/al/x"));
        assert_eq!(view.url(&path), "/.noclobber/remote.php/dav/files/al/d/e");
        assert_eq!(view.url_of_folder(&SharePath::root()), "/.noclobber/remote.php/dav/files/al/");
        assert_eq!(View::of("/x").url_of_folder(&path), "/d/e/");
    }

    #[test]
    fn what_stands_behind_the_base() {
        for (base, url_path, expected) in [
            ("", "/a", Some("/a")),
            ("", "", None),
            ("/files", "/files", Some("/")),
            ("/files", "/files/", Some("/")),
            ("/files", "/files//a", Some("//a")),
            ("/files", "/%66iles/%66", Some("/%66")),
            ("/files", "/filesystem", None),
            ("/files", "/files%2Fa", None),
            ("/files", "/file", None),
            ("/files", "/Files/a", None),
            ("/files", "//files/a", None),
            ("/files", "/", None),
            ("/files", "", None),
            ("/files", "files/a", None),
            ("/a/%C3%BC%20b", "/a/%C3%BC%20b/c", Some("/c")),
            ("/a/%C3%BC%20b", "/a/%c3%bc%20b/c", Some("/c")),
            ("/a/%C3%BC%20b", "/a/u%CC%88%20b/c", None),
            ("/a/b", "/a", None),
            ("/a/b", "/a%2Fb", None),
        ] {
            assert_eq!(behind(base, url_path), expected, "{base} {url_path}");
        }
    }
}
