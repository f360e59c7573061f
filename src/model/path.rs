//! Where something lies in the share: a path proven clean as text, and one component of it.
//!
//! A [`SharePath`] holds no `..`, no NUL, no empty segment, no slash that was encoded, and not the reserved name. It says
//! nothing about what is on the disk: links are met, and refused, by whoever opens it.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, percent_encode};
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization as _;

/// The folder at the top of the share that is noclobber's own. Reserved at every depth, in every spelling that some file system takes for it.
pub const RESERVED: &str = ".noclobber";

/// The longest name of one file or folder, in bytes (`NAME_MAX`).
pub const NAME_BYTES_MAX: usize = 255;

/// What stays as it is in a generated URL: the unreserved characters of RFC 3986 §2.3.
const KEPT_IN_URL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The same, and the slashes between the names.
const KEPT_IN_PATH: &AsciiSet = &KEPT_IN_URL.remove(b'/');

/// One component of a path: not empty, no slash, no NUL, neither `.` nor `..`, at most [`NAME_BYTES_MAX`] bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<[u8]>);

/// A path inside the share, as the bytes of its components; the share itself is the empty path.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Box<[u8]>", into = "Box<[u8]>")]
pub struct SharePath {
    joined: Box<[u8]>,
}

/// Why a text is not a path inside the share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// A percent sign is not followed by two hex digits (RFC 3986 §2.1).
    #[error("a percent sign without two hexadecimal digits behind it")]
    BadEscape,
    /// The path of a URL does not begin with a slash.
    #[error("no slash at its beginning")]
    NoSlash,
    /// A name is empty.
    #[error("an empty name")]
    EmptyName,
    /// A segment is `.` or `..`.
    #[error("a dot segment")]
    DotSegment,
    /// A segment holds a NUL or a slash once it is decoded.
    #[error("a byte that no file name can hold")]
    BadByte,
    /// A segment is longer than [`NAME_BYTES_MAX`].
    #[error("a name longer than {NAME_BYTES_MAX} bytes")]
    LongName,
    /// A segment is the reserved name.
    #[error("a reserved name")]
    Reserved,
}

impl Name {
    /// Checks the bytes of one component, as they are on the disk.
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Result<Self, PathError> {
        let bytes = bytes.into();
        match &*bytes {
            b"" => Err(PathError::EmptyName),
            b"." | b".." => Err(PathError::DotSegment),
            name if name.len() > NAME_BYTES_MAX => Err(PathError::LongName),
            name if name.iter().any(|byte| matches!(byte, 0 | b'/')) => Err(PathError::BadByte),
            _ => Ok(Self(bytes)),
        }
    }

    /// The bytes as they are on the disk.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is the folder of noclobber's own, or some file system would take it for that.
    pub fn is_reserved(&self) -> bool {
        // Nothing takes a letter for a dot, and a listing asks for every name.
        let begins_otherwise = self.0.first().is_some_and(|first| first.is_ascii_graphic() && *first != b'.');
        !begins_otherwise && self.folded(|folded| folded == RESERVED.as_bytes())
    }

    /// Gives the name as all names are that some file system takes for this one: small letters, composed and in their plain form, without
    /// what is not seen and without dots and blanks at the end. Two names that merely look alike may be one here.
    ///
    /// Takes no memory for ASCII: a listing asks for every name.
    pub fn folded<T>(&self, give: impl FnOnce(&[u8]) -> T) -> T {
        let Ok(text) = str::from_utf8(&self.0) else { return give(&self.0) };
        let text = text.trim_end_matches(is_dropped_at_the_end);
        if text.is_ascii() {
            let folded = &mut [0; NAME_BYTES_MAX][..text.len()];
            folded.copy_from_slice(text.as_bytes());
            folded.make_ascii_lowercase();
            return give(folded);
        }
        // By way of the capitals, which more letters share: the two small sigmas, the sharp s and two of them.
        let seen = text.nfkd().filter(|c| !is_ignorable(*c));
        let folded: String = seen.flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfkc().collect();
        give(folded.trim_end_matches(is_dropped_at_the_end).as_bytes())
    }

    /// Whether a client may make something of this name: UTF-8, no control characters.
    ///
    /// Names that are on the disk already are read and deleted whatever they are; making them is refused, since clients cannot show,
    /// type or list them (XML 1.0 has no way to write most control characters). What other systems cannot name, such as a backslash or a
    /// colon on Windows, is a name here.
    pub fn may_be_made(&self) -> bool {
        str::from_utf8(&self.0).is_ok_and(|text| !text.chars().any(char::is_control))
    }

    /// Whether every file system can hold it. Some refuse the signs that Windows refuses, what stands for its devices, dots and blanks at an
    /// end, and letters that they have no code for.
    pub fn is_portable(&self) -> bool {
        let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !br#"<>:"|?*\"#.contains(byte);
        let ends_well = !matches!(*self.0, [b' ', ..] | [.., b' ' | b'.']);
        let stem = self.0.split(|byte| *byte == b'.').next().unwrap_or_default().to_ascii_uppercase();
        let is_device = matches!(&*stem, b"CON" | b"PRN" | b"AUX" | b"NUL")
            || matches!(&*stem, [b'C', b'O', b'M', b'0'..=b'9'] | [b'L', b'P', b'T', b'0'..=b'9']);
        self.0.iter().all(is_plain) && ends_well && !is_device
    }

    /// The name as text for a person: bytes that are not UTF-8 become U+FFFD.
    pub fn to_text(&self) -> Cow<'_, str> {
        str::from_utf8(&self.0).map_or_else(|_| String::from_utf8_lossy(&self.0), Cow::Borrowed)
    }

    /// The name as one segment of a URL, in pieces.
    pub fn to_url(&self) -> PercentEncode<'_> {
        percent_encode(&self.0, KEPT_IN_URL)
    }
}

impl TryFrom<Box<[u8]>> for SharePath {
    type Error = PathError;

    fn try_from(bytes: Box<[u8]>) -> Result<Self, PathError> {
        Self::parse_disk(&bytes)
    }
}

impl From<SharePath> for Box<[u8]> {
    fn from(path: SharePath) -> Self {
        path.joined
    }
}

impl SharePath {
    /// The share itself.
    pub fn root() -> Self {
        Self { joined: Box::default() }
    }

    /// Parses the path of a URL, still percent-encoded, beginning with a slash. A slash at the end is allowed; whether it was
    /// there is the caller's to know ([`SharePath::url_names_a_collection`]).
    ///
    /// Each segment is decoded exactly once, after the split at slashes (RFC 3986 §2.4). Slashes beside each other count as one, also at the
    /// beginning: clients that put a base URL and a path together write them, and no file system knows a name without a letter.
    pub fn parse_url(url_path: &str) -> Result<Self, PathError> {
        let inner = url_path.strip_prefix('/').ok_or(PathError::NoSlash)?;
        let segments = inner.split('/').filter(|segment| !segment.is_empty());
        Self::of_names(segments.map(|segment| Name::new(decode_once(segment)?)))
    }

    /// Whether a URL's path ends in a slash, so that it names a collection.
    pub fn url_names_a_collection(url_path: &str) -> bool {
        url_path.ends_with('/')
    }

    /// Parses components joined by slashes, as they are on the disk, without a slash at either end.
    pub fn parse_disk(joined: &[u8]) -> Result<Self, PathError> {
        if joined.is_empty() {
            return Ok(Self::root());
        }
        Self::of_names(joined.split(|byte| *byte == b'/').map(Name::new))
    }

    fn of_names(names: impl Iterator<Item = Result<Name, PathError>>) -> Result<Self, PathError> {
        let mut joined = Vec::new();
        let mut is_reserved = false;
        for name in names {
            let name = name?;
            is_reserved |= name.is_reserved();
            if !joined.is_empty() {
                joined.push(b'/');
            }
            joined.extend_from_slice(name.as_bytes());
        }
        if is_reserved { Err(PathError::Reserved) } else { Ok(Self { joined: joined.into() }) }
    }

    /// This path with one more component.
    pub fn join(&self, name: &Name) -> Self {
        let mut joined = self.joined.to_vec();
        if !joined.is_empty() {
            joined.push(b'/');
        }
        joined.extend_from_slice(name.as_bytes());
        Self { joined: joined.into() }
    }

    /// The folder that holds it and its name in there; `None` for the share itself.
    pub fn split(&self) -> Option<(SharePath, Name)> {
        if self.is_root() {
            return None;
        }
        let (parent, name) = match self.joined.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (&self.joined[..slash], &self.joined[slash + 1..]),
            None => (&[][..], &self.joined[..]),
        };
        Some((Self { joined: parent.into() }, Name(name.into())))
    }

    /// The components from the top.
    pub fn names(&self) -> impl Iterator<Item = Name> + '_ {
        self.joined.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).map(|name| Name(name.into()))
    }

    /// Where this would be if `from`, in which it lies, were at `to`.
    pub fn moved(&self, from: &SharePath, to: &SharePath) -> Self {
        let inside = self.joined.get(from.joined.len()..).unwrap_or_default();
        let inside = inside.strip_prefix(b"/").unwrap_or(inside);
        let names = inside.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).map(|name| Name(name.into()));
        names.fold(to.clone(), |path, name| path.join(&name))
    }

    /// Whether this is the share itself.
    pub fn is_root(&self) -> bool {
        self.joined.is_empty()
    }

    /// Whether this is `other` or lies below it.
    pub fn is_within(&self, other: &SharePath) -> bool {
        other.is_root()
            || (self.joined.starts_with(&other.joined)
                && matches!(self.joined.get(other.joined.len()), None | Some(b'/')))
    }

    /// The bytes of this path and of each folder above it, from the bottom up; the last is the share itself, which is empty.
    pub fn lineage(&self) -> impl Iterator<Item = &[u8]> {
        let first = &*self.joined;
        std::iter::successors(Some(first), |path| {
            let above = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
            (!path.is_empty()).then(|| &path[..above])
        })
    }

    /// The path with all its names folded ([`Name::folded`]): two paths that some file system takes for one are the same here.
    pub fn folded(&self) -> Box<[u8]> {
        if self.is_its_own_folded() {
            return self.joined.clone();
        }
        let mut joined = Vec::with_capacity(self.joined.len());
        for name in self.names() {
            if !joined.is_empty() {
                joined.push(b'/');
            }
            name.folded(|folded| joined.extend_from_slice(folded));
        }
        joined.into()
    }

    /// Whether folding would change nothing, as far as that is seen at a glance: most names are small letters.
    fn is_its_own_folded(&self) -> bool {
        let is_plain = |byte: &u8| matches!(byte, b'!'..=b'~') && !byte.is_ascii_uppercase();
        let ends_in_a_dot = self.joined.ends_with(b".") || self.joined.windows(2).any(|pair| pair == b"./");
        self.joined.iter().all(is_plain) && !ends_in_a_dot
    }

    /// The components joined by slashes; empty for the share itself.
    pub fn as_bytes(&self) -> &[u8] {
        &self.joined
    }

    /// The path of its URL, percent-encoded, without a slash at the end (the share itself is `/`).
    pub fn to_url(&self) -> String {
        format!("/{}", percent_encode(&self.joined, KEPT_IN_PATH))
    }

    /// The path of its URL with a slash at the end.
    pub fn to_collection_url(&self) -> String {
        if self.is_root() { "/".to_owned() } else { self.to_url() + "/" }
    }

    /// The path as text for a person, beginning with a slash.
    pub fn to_text(&self) -> String {
        format!("/{}", String::from_utf8_lossy(&self.joined))
    }
}

/// What FAT and its kin leave out at the end of a name.
fn is_dropped_at_the_end(c: char) -> bool {
    matches!(c, '.' | ' ')
}

/// What file systems that fold leave out of a name: the code points that Unicode calls `Default_Ignorable_Code_Point`.
fn is_ignorable(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
    )
}

fn decode_once(segment: &str) -> Result<Vec<u8>, PathError> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes().iter();
    while let Some(&byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<&u8>| byte.and_then(|b| (*b as char).to_digit(16)).ok_or(PathError::BadEscape);
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push((high << 4 | low) as u8);
    }
    Ok(bytes)
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_text())
    }
}

impl fmt::Debug for SharePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_folded_name_by_name() {
        for text in
            ["", "a", "a/b.c/d", "A/b", "a./b", "a/b.", "a/.b", "a /b", "a/ü", "Ü/a", "a-_~!/$", "..a/b..c", "a/b. "]
        {
            let path = SharePath::parse_disk(text.as_bytes()).expect(text);
            let names: Vec<Vec<u8>> = path.names().map(|name| name.folded(<[u8]>::to_vec)).collect();
            assert_eq!(*path.folded(), names.join(&b'/'), "{text}");
        }
    }

    #[test]
    fn a_portable_name_is_one_that_every_file_system_holds() {
        for name in ["a", "report (final) v2.odt", ".hidden", "CONTENTS", "a.con", "com", "com10", "~$x"] {
            assert!(Name::new(name.as_bytes()).expect(name).is_portable(), "{name}");
        }
        for name in [
            "a:b",
            "a?",
            "*",
            "a|b",
            "\"",
            "<",
            "a\\b",
            "a.",
            "a ",
            " a",
            "con",
            "Aux.txt",
            "LPT1",
            "\t",
            "caf\u{e9}",
            "\u{1f600}",
        ] {
            assert!(!Name::new(name.as_bytes()).expect(name).is_portable(), "{name}");
        }
    }

    #[test]
    fn good_paths_are_decoded_once() {
        for (url, bytes) in [
            ("/", &b""[..]),
            ("/a", b"a"),
            ("/a/", b"a"),
            ("/a/b%20c", b"a/b c"),
            ("/%2525", b"%25"),
            ("/%C3%A9", "é".as_bytes()),
            ("/%ff", b"\xff"),
            ("/...", b"..."),
            ("/a;b=c", b"a;b=c"),
            ("/a%5Cb", b"a\\b"),
            ("/a\\b", b"a\\b"),
            ("//", b""),
            ("///", b""),
            ("//a", b"a"),
            ("//a.example/b", b"a.example/b"),
            ("/a//b", b"a/b"),
            ("/a///b//", b"a/b"),
        ] {
            let path = SharePath::parse_url(url).expect(url);
            assert_eq!(path.as_bytes(), bytes, "{url}");
            assert_eq!(SharePath::parse_url(&path.to_url()), Ok(path), "{url} comes back");
        }
    }

    #[test]
    fn hostile_paths_are_refused() {
        for (url, error) in [
            ("", PathError::NoSlash),
            ("a", PathError::NoSlash),
            ("*", PathError::NoSlash),
            ("a//b", PathError::NoSlash),
            ("//..", PathError::DotSegment),
            ("/a//..//b", PathError::DotSegment),
            ("/.//", PathError::DotSegment),
            ("//.noclobber//a", PathError::Reserved),
            ("/..", PathError::DotSegment),
            ("/a/../b", PathError::DotSegment),
            ("/%2e%2E/etc", PathError::DotSegment),
            ("/.", PathError::DotSegment),
            ("/a%2fb", PathError::BadByte),
            ("/a%00", PathError::BadByte),
            ("/%zz", PathError::BadEscape),
            ("/%2", PathError::BadEscape),
            ("/%+1a", PathError::BadEscape),
            ("/.noclobber", PathError::Reserved),
            ("/a/.NoClobber/b", PathError::Reserved),
            ("/.noclobber.", PathError::Reserved),
            ("/.noclobber%20.%20", PathError::Reserved),
            ("/.noclob%E2%80%8Cber", PathError::Reserved),
            ("/%EF%BB%BF.noclobber", PathError::Reserved),
            ("/.n%EF%BD%8Fclobber", PathError::Reserved),
        ] {
            assert_eq!(SharePath::parse_url(url), Err(error), "{url}");
        }
        assert_eq!(SharePath::parse_url(&format!("/{}", "x".repeat(256))), Err(PathError::LongName));
    }

    #[test]
    fn names_that_some_file_system_takes_for_one_fold_to_one() {
        let folded = |text: &str| Name::new(text.as_bytes()).expect(text).folded(<[u8]>::to_vec);
        for (one, other) in [
            ("a.TXT", "A.txt"),
            ("\u{e9}", "e\u{301}"),
            ("\u{212a}", "k"),
            ("Å", "a\u{30a}"),
            ("Straße", "STRASSE"),
            ("ὀδός", "ὈΔΌΣ"),
            ("a", "a.. "),
            ("a\u{200c}b", "AB"),
            ("ａ", "a"),
        ] {
            assert_eq!(folded(one), folded(other), "{one} {other}");
        }
        for (one, other) in [("a", "b"), ("a.b", "ab"), (".a", "a"), ("e", "é")] {
            assert_ne!(folded(one), folded(other), "{one} {other}");
        }
    }

    #[test]
    fn a_lineage_ends_at_the_share_itself() {
        let path = SharePath::parse_disk(b"a/b b/c").expect("a clean path");
        assert_eq!(path.lineage().collect::<Vec<_>>(), [&b"a/b b/c"[..], b"a/b b", b"a", b""]);
        assert_eq!(SharePath::root().lineage().collect::<Vec<_>>(), [b""]);
    }

    #[test]
    fn within_goes_by_whole_segments() {
        let path = |text: &str| SharePath::parse_disk(text.as_bytes()).expect(text);
        assert!(path("admin/a").is_within(&path("admin")));
        assert!(path("admin").is_within(&path("admin")));
        assert!(!path("admin_backup").is_within(&path("admin")));
        assert!(path("x").is_within(&SharePath::root()));
    }
}
