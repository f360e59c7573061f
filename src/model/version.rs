//! What a kept version is called, and what a conflict copy is called.
//!
//! A version's name is its identifier: the time at which it was displaced; and behind that who displaced it, where there are users. So that
//! lives and goes with the version, and costs nothing. While a commit is under way the entry carries a tail instead that tells recovery what was
//! expected to be displaced, and by which upload.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::author::Author;
use super::path::Name;
use super::stamp::{FileId, Timestamp};

/// The identifier of a version: when it was displaced, to the microsecond.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Box<str>", into = "Box<str>")]
pub struct VersionId(Box<str>);

/// The name of an entry in the history, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryName {
    /// The version it is, or will be.
    pub id: VersionId,
    /// Who displaced it. While a commit is under way it does not stand in the name.
    pub by: Option<Arc<Author>>,
    /// What stands behind the identifier.
    pub ending: Ending,
}

/// What stands behind the identifier in the name of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Nothing: a version, settled.
    Settled,
    /// An upload that was visible for an instant and then refused.
    Upload,
    /// A commit was under way.
    Tail(Tail),
}

/// The tail of an entry while a commit is under way. The two files are given by the digests of their identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// What was done.
    pub act: Act,
    /// The file that was expected at the name.
    pub expected: Box<str>,
    /// The file that was to replace it; empty for a removal.
    pub upload: Box<str>,
}

/// What a commit does, as far as recovery has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// The upload and the displaced file are exchanged.
    Exchange,
    /// The displaced file is taken out, then the upload is put in.
    TakeOut,
    /// The displaced file is taken out, and nothing takes its place.
    Remove,
}

/// How long the name of a version may be, in bytes: as long as eCryptfs takes it.
const NAME_BYTES_MAX: usize = 143;

impl TryFrom<Box<str>> for VersionId {
    type Error = &'static str;

    fn try_from(text: Box<str>) -> Result<Self, &'static str> {
        Self::parse(&text).ok_or("this is not the identifier of a version")
    }
}

impl From<VersionId> for Box<str> {
    fn from(id: VersionId) -> Self {
        id.0
    }
}

impl VersionId {
    /// The identifier of what is displaced now.
    pub fn at(now: Timestamp) -> Self {
        Self(now.format("%Y-%m-%dT%H-%M-%S%.6fZ").into())
    }

    /// Checks a text, in whichever case it is: some file systems write every name in small letters.
    pub fn parse(text: &str) -> Option<Self> {
        let shape = b"dddd-dd-ddTdd-dd-dd.ddddddZ";
        let text = &*text.to_ascii_uppercase();
        let fits = text.len() == shape.len()
            && text
                .bytes()
                .zip(shape)
                .all(|(byte, kind)| if *kind == b'd' { byte.is_ascii_digit() } else { byte == *kind });
        (fits && parse_time(text).is_some()).then(|| Self(text.into()))
    }

    /// The identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// When the version was displaced.
    pub fn time(&self) -> Timestamp {
        parse_time(&self.0).unwrap_or_default()
    }
}

impl EntryName {
    /// The name of a version that is settled.
    pub fn settled(id: VersionId) -> Self {
        Self { id, by: None, ending: Ending::Settled }
    }

    /// The same, displaced by somebody. Of whose name is too long for that of a file it is not known.
    #[must_use]
    pub fn displaced_by(self, by: Option<Arc<Author>>) -> Self {
        let id_bytes = self.id.as_str().len();
        let by = by.filter(|by| id_bytes + " ".len() + by.to_words().len() <= NAME_BYTES_MAX);
        Self { by, ..self }
    }

    /// The name of an upload that was visible for an instant, and would have been this version.
    #[must_use]
    pub fn as_upload(&self) -> Self {
        Self { id: self.id.clone(), by: None, ending: Ending::Upload }
    }

    /// The name while a commit is under way.
    pub fn under_way(id: VersionId, act: Act, expected: FileId, upload: Option<FileId>) -> Self {
        let upload = upload.map_or_else(String::new, |upload| upload.digest()).into();
        Self { id, by: None, ending: Ending::Tail(Tail { act, expected: expected.digest().into(), upload }) }
    }

    /// Takes a name in the history apart, in whichever case it is; `None` if it is no entry but a stranger's file.
    pub fn parse(name: &Name) -> Option<Self> {
        let text = &*str::from_utf8(name.as_bytes()).ok()?.to_ascii_lowercase();
        let (id, rest) = text.split_at_checked(27)?;
        let id = VersionId::parse(id)?;
        let (by, ending) = match rest {
            "" => (None, Ending::Settled),
            " (upload)" => (None, Ending::Upload),
            _ => match rest.strip_prefix(' ') {
                Some(words) => (Some(Arc::new(Author::parse_words(words)?)), Ending::Settled),
                None => (None, Ending::Tail(Tail::parse(rest)?)),
            },
        };
        Some(Self { id, by, ending })
    }

    /// The name where the disk has written it in small letters.
    pub fn to_lowercase_name(&self) -> Name {
        Name::new(self.to_name().as_bytes().to_ascii_lowercase()).expect("as good as in capitals")
    }

    /// The name on the disk.
    pub fn to_name(&self) -> Name {
        let ending = match &self.ending {
            Ending::Settled => self.by.as_ref().map_or_else(String::new, |by| format!(" {}", by.to_words())),
            Ending::Upload => " (upload)".to_owned(),
            Ending::Tail(tail) => tail.to_text(),
        };
        Name::new(format!("{}{ending}", self.id.as_str()).into_bytes()).expect("digits, letters and punctuation")
    }
}

impl Tail {
    fn parse(text: &str) -> Option<Self> {
        let inner = text.strip_prefix('~')?;
        let at = inner.find(['-', '+', '!'])?;
        let act = match inner.as_bytes()[at] {
            b'-' => Act::Exchange,
            b'+' => Act::TakeOut,
            _ => Act::Remove,
        };
        Some(Self { act, expected: inner[..at].into(), upload: inner[at + 1..].into() })
    }

    fn to_text(&self) -> String {
        let sign = match self.act {
            Act::Exchange => '-',
            Act::TakeOut => '+',
            Act::Remove => '!',
        };
        format!("~{}{sign}{}", self.expected, self.upload)
    }
}

/// What a conflict copy of `name` is called: `report (conflict 2026-11-22 14.35.07).odt`, from the second attempt on with a number.
/// The stem is cut, at a character, so that the whole takes at most `bytes_max`, as far as that is possible.
pub fn conflict_name(name: &Name, now: Timestamp, attempt: u32, bytes_max: usize) -> Name {
    let bytes = name.as_bytes();
    let dot = bytes.iter().rposition(|byte| *byte == b'.').filter(|at| *at > 0 && bytes.len() - at <= 32);
    let (stem, extension) = bytes.split_at(dot.unwrap_or(bytes.len()));
    let count = if attempt > 1 { format!(" {attempt}") } else { String::new() };
    let middle = format!(" (conflict {}{count})", now.format("%Y-%m-%d %H.%M.%S"));
    let mut room = stem.len().min(bytes_max.saturating_sub(middle.len() + extension.len()));
    while room > 0 && room < stem.len() && stem[room] & 0b1100_0000 == 0b1000_0000 {
        room -= 1;
    }
    Name::new([&stem[..room], middle.as_bytes(), extension].concat())
        .expect("made of a name's own bytes, and short enough")
}

fn parse_time(text: &str) -> Option<Timestamp> {
    let civil = jiff::civil::DateTime::strptime("%Y-%m-%dT%H-%M-%S%.fZ", text).ok()?;
    let time = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    Some(Timestamp::new(time.as_second(), time.subsec_nanosecond().unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::super::author::WayIn;
    use super::super::principal::Principal;
    use super::*;

    fn by(user: &str, way_in: WayIn) -> Option<Arc<Author>> {
        Some(Arc::new(Author::client(Principal::named(user), way_in)))
    }

    fn name(text: &str) -> Name {
        Name::new(text.as_bytes()).expect(text)
    }

    #[test]
    fn an_identifier_says_when() {
        let now = Timestamp::new(1_795_358_107, 123_456_789);
        let id = VersionId::at(now);
        assert_eq!(id.as_str(), "2026-11-22T14-35-07.123456Z");
        assert_eq!(id.time(), Timestamp::new(1_795_358_107, 123_456_000));
        assert_eq!(VersionId::parse(id.as_str()).as_ref(), Some(&id));
        assert_eq!(VersionId::parse("2026-11-22t14-35-07.123456z"), Some(id));
        for bad in ["", "2026-11-22", "2026-13-22T14-35-07.123456Z", "2026-11-22T14-35-07.12345/Z"] {
            assert_eq!(VersionId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn names_of_entries_come_back() {
        let id = || VersionId::at(Timestamp::new(5, 0));
        let (one, other) = (FileId { inode: 1, generation: 2 }, FileId { inode: 3, generation: 4 });
        for entry in [
            EntryName::settled(id()),
            EntryName::settled(id()).displaced_by(Some(Arc::new(Author::Program))),
            EntryName::settled(id()).displaced_by(by("Änne.B", WayIn::Password)),
            EntryName { id: id(), by: None, ending: Ending::Upload },
            EntryName::under_way(id(), Act::Exchange, one, Some(other)),
            EntryName::under_way(id(), Act::TakeOut, one, Some(other)),
            EntryName::under_way(id(), Act::Remove, one, None),
        ] {
            let written = entry.to_name();
            for folded in [str::to_owned, str::to_ascii_lowercase, str::to_ascii_uppercase] {
                let folded = name(&folded(&written.to_text()));
                assert_eq!(EntryName::parse(&folded).as_ref(), Some(&entry), "{folded:?}");
            }
        }
        let tail = EntryName::under_way(id(), Act::Remove, one, None);
        assert_eq!(tail.clone().displaced_by(by("alice", WayIn::Token)).to_name(), tail.to_name());
        for foreign in ["2026-11-22T14-35-07.123456Z (copy)", "2026-11-22T14-35-07.123456Z  password alice"] {
            assert_eq!(EntryName::parse(&name(foreign)), None, "{foreign}");
        }
        for foreign in ["report.odt", "2026-11-22T14-35-07.123456Z.txt", "é026-11-22T14-35-07.123456Z"] {
            assert_eq!(EntryName::parse(&name(foreign)), None, "{foreign}");
        }
    }

    /// A name that no file can have would cost the version its place; so it is left out.
    #[test]
    fn who_displaced_a_version_never_makes_its_name_too_long() {
        let version = || EntryName::settled(VersionId::at(Timestamp::new(5, 0)));
        for (user, is_kept) in [("a".repeat(64), true), ("é".repeat(32), true), ("A".repeat(66), false)] {
            let named = version().displaced_by(by(&user, WayIn::Password));
            assert_eq!(named.by.is_some(), is_kept, "{user}");
            assert!(named.to_name().as_bytes().len() <= NAME_BYTES_MAX);
            assert_eq!(EntryName::parse(&named.to_name()), Some(named));
        }
    }

    #[test]
    fn a_conflict_copy_keeps_its_extension_and_fits() {
        let now = Timestamp::new(1_795_358_107, 0);
        for (from, to) in [
            ("report.odt", "report (conflict 2026-11-22 14.35.07).odt"),
            ("Makefile", "Makefile (conflict 2026-11-22 14.35.07)"),
            (".profile", ".profile (conflict 2026-11-22 14.35.07)"),
        ] {
            assert_eq!(conflict_name(&name(from), now, 1, 255), name(to));
        }
        assert_eq!(conflict_name(&name("a.b"), now, 2, 255), name("a (conflict 2026-11-22 14.35.07 2).b"));
        let long = name(&format!("{}.txt", "é".repeat(125)));
        for (bytes_max, expected) in [(255, 255), (143, 143), (40, 39), (0, 35)] {
            let copy = conflict_name(&long, now, 1, bytes_max);
            assert!(str::from_utf8(copy.as_bytes()).is_ok());
            assert_eq!(copy.as_bytes().len(), expected, "{bytes_max}");
        }
    }
}
