//! The words in a query that mean something here: which of them a method takes, and which go together. One table says so.
//!
//! A word of this table that means nothing to the method is refused, since whoever asks to delete `/f?version=ID` does not mean the file
//! that is at `/f` now. Words that stand in no table are ignored, as programs add some to get past caches.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::model::path::SharePath;
use crate::model::version::VersionId;

use super::request::Verb;

/// The options in a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    /// `?download`: to be saved, not shown.
    pub(super) download: bool,
    /// `?json`: a listing for programs.
    pub(super) json: bool,
    /// `?mkdirs`: the folders above are made where they are missing.
    pub(super) make_parents: bool,
    /// `?versions`: the history of the path.
    pub(super) versions: bool,
    /// `?version=ID`: a version from the history.
    pub(super) version: Option<Named>,
    /// `?restore=ID`: the version to bring back.
    pub(super) restore: Option<Named>,
    /// `?deleted`: what was in a folder and is no more.
    pub(super) deleted: bool,
    /// `?deep`: everything below, too.
    pub(super) deep: bool,
    /// `?limit=N`: how many versions, or names, at most.
    pub(super) limit: Option<usize>,
    /// `?before=ID`: only versions that are older.
    pub(super) before: Option<VersionId>,
    /// `?after=PATH`: only what comes behind it in the order of the names.
    pub(super) after: Option<SharePath>,
    /// The methods that take all of these; `None` where there is no such word, so that it is the path alone that tells.
    pub(super) taken_by: Option<&'static [Verb]>,
}

/// A version that a query names; without an identifier where it cannot be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named(pub(super) Option<VersionId>);

/// Why a query is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadQuery {
    /// A word has a value that it cannot have, or none where it needs one.
    #[error("what stands behind ?{0} is none of its values")]
    Value(&'static str),
    /// A word is there without any that it belongs to.
    #[error("?{0} means something only beside ?{1}")]
    Alone(&'static str, &'static str),
    /// A word comes twice, and each time means something else.
    #[error("?{0} comes more than once")]
    Twice(&'static str),
    /// Two words contradict each other.
    #[error("?{0} and ?{1} do not go together")]
    Contradiction(&'static str, &'static str),
    /// The method does nothing with the word.
    #[error("this method does nothing with ?{word}")]
    Method {
        /// The word.
        word: &'static str,
        /// The methods that take all the words of the query.
        taken_by: &'static [Verb],
    },
}

/// A word, and what is to be known of it.
struct Word {
    name: &'static str,
    /// The methods to which it means something.
    verbs: &'static [Verb],
    /// The words of which it needs one beside it; none where it means something by itself.
    belongs_to: &'static [&'static str],
    /// The other words that it goes together with.
    beside: &'static [&'static str],
    /// Takes note of it, as its value stands in the query; `false` where that is none.
    set: fn(&mut Query, &str) -> bool,
}

/// Every word that means something. OPTIONS takes all of them, to tell what is served there.
const WORDS: &[Word] = &[
    Word {
        name: "download",
        verbs: &[Verb::Get],
        belongs_to: &[],
        beside: &["version"],
        set: |query, value| stands_alone(value, &mut query.download),
    },
    Word {
        name: "json",
        verbs: &[Verb::Get],
        belongs_to: &[],
        beside: &["versions", "limit", "before"],
        set: |query, value| stands_alone(value, &mut query.json),
    },
    Word {
        name: "mkdirs",
        verbs: &[Verb::Put, Verb::Post],
        belongs_to: &[],
        beside: &["restore"],
        set: |query, value| stands_alone(value, &mut query.make_parents),
    },
    Word {
        name: "versions",
        verbs: &[Verb::Get],
        belongs_to: &[],
        beside: &["json", "limit", "before"],
        set: |query, value| stands_alone(value, &mut query.versions),
    },
    Word {
        name: "version",
        verbs: &[Verb::Get, Verb::Copy],
        belongs_to: &[],
        beside: &["download"],
        set: |query, value| {
            query.version = Some(Named(VersionId::parse(&decoded(value))));
            true
        },
    },
    Word {
        name: "restore",
        verbs: &[Verb::Post],
        belongs_to: &[],
        beside: &["mkdirs"],
        set: |query, value| {
            query.restore = Some(Named(VersionId::parse(&decoded(value))));
            true
        },
    },
    Word {
        name: "deleted",
        verbs: &[Verb::Get],
        belongs_to: &[],
        beside: &["deep", "limit", "after"],
        set: |query, value| stands_alone(value, &mut query.deleted),
    },
    Word {
        name: "deep",
        verbs: &[Verb::Get],
        belongs_to: &["deleted"],
        beside: &["deleted", "limit", "after"],
        set: |query, value| stands_alone(value, &mut query.deep),
    },
    Word {
        name: "limit",
        verbs: &[Verb::Get],
        belongs_to: &["versions", "deleted"],
        beside: &["versions", "deleted", "json", "before", "deep", "after"],
        set: |query, value| {
            query.limit = decoded(value).parse().ok().filter(|limit| *limit > 0);
            query.limit.is_some()
        },
    },
    Word {
        name: "before",
        verbs: &[Verb::Get],
        belongs_to: &["versions"],
        beside: &["versions", "json", "limit"],
        set: |query, value| {
            query.before = VersionId::parse(&decoded(value));
            query.before.is_some()
        },
    },
    Word {
        name: "after",
        verbs: &[Verb::Get],
        belongs_to: &["deleted"],
        beside: &["deleted", "deep", "limit"],
        set: |query, value| {
            // Decoded as a path is: names need not be UTF-8.
            query.after = SharePath::parse_url(&format!("/{value}")).ok().filter(|after| !after.is_root());
            query.after.is_some()
        },
    },
];

fn stands_alone(value: &str, set: &mut bool) -> bool {
    *set = matches!(&*decoded(value), "" | "1" | "true");
    *set
}

impl Query {
    /// Reads a query, for a method that has to do something with every word of it that means something at all.
    pub(super) fn parse(text: &str, verb: Verb) -> Result<Self, BadQuery> {
        let mut query = Self::default();
        let mut words = Vec::new();
        for pair in text.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Some(word) = Word::named(&decoded(name)) else { continue };
            let mut with_it = query.clone();
            if !(word.set)(&mut with_it, value) {
                return Err(BadQuery::Value(word.name));
            }
            if !words.iter().any(|other: &&Word| other.name == word.name) {
                words.push(word);
            } else if with_it != query {
                return Err(BadQuery::Twice(word.name));
            }
            query = with_it;
        }
        query.taken_by = taken_by(&words)?;
        let refuses = |word: &&&Word| !matches!(verb, Verb::Options | Verb::Unknown) && !word.verbs.contains(&verb);
        match (query.taken_by, words.iter().find(refuses)) {
            (Some(taken_by), Some(word)) => Err(BadQuery::Method { word: word.name, taken_by }),
            _ => Ok(query),
        }
    }
}

impl Word {
    fn named(name: &str) -> Option<&'static Self> {
        WORDS.iter().find(|word| word.name.eq_ignore_ascii_case(name))
    }

    fn goes_with(&self, other: &Self) -> bool {
        self.name == other.name || self.beside.contains(&other.name)
    }
}

/// The methods that take all of these words: those of the word that the fewest take.
fn taken_by(words: &[&'static Word]) -> Result<Option<&'static [Verb]>, BadQuery> {
    for word in words {
        if let Some(other) = words.iter().find(|other| !word.goes_with(other)) {
            return Err(BadQuery::Contradiction(word.name, other.name));
        }
        if let Some(needed) = word.belongs_to.first()
            && !words.iter().any(|other| word.belongs_to.contains(&other.name))
        {
            return Err(BadQuery::Alone(word.name, needed));
        }
    }
    Ok(words.iter().map(|word| word.verbs).min_by_key(|verbs| verbs.len()))
}

fn decoded(text: &str) -> Cow<'_, str> {
    percent_decode_str(text).decode_utf8_lossy()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "2026-11-22T14-35-07.123456Z";

    #[test]
    fn words_that_go_together_are_taken_by_what_the_narrower_is_taken_by() {
        for word in WORDS {
            assert!(!word.verbs.is_empty());
            assert!(word.belongs_to.iter().all(|name| word.beside.contains(name)), "{}", word.name);
            for other in word.beside.iter().map(|name| Word::named(name).expect(name)) {
                assert!(other.goes_with(word), "{} and {} agree on it", word.name, other.name);
                let (few, many) = if word.verbs.len() < other.verbs.len() { (word, other) } else { (other, word) };
                assert!(few.verbs.iter().all(|verb| many.verbs.contains(verb)), "{} and {}", word.name, other.name);
            }
        }
    }

    #[test]
    fn queries_are_read() {
        let query = |change: fn(&mut Query), taken_by| {
            let mut query = Query { taken_by, ..Query::default() };
            change(&mut query);
            Ok(query)
        };
        const GET: Option<&[Verb]> = Some(&[Verb::Get]);
        for (verb, text, expected) in [
            (Verb::Get, "", query(|_| {}, None)),
            (Verb::Get, "junk=1&&=&x", query(|_| {}, None)),
            (Verb::Delete, "_=1732", query(|_| {}, None)),
            (Verb::Get, "json", query(|query| query.json = true, GET)),
            (Verb::Get, "json=", query(|query| query.json = true, GET)),
            (Verb::Get, "j%73on=1&JSON=1&json", query(|query| query.json = true, GET)),
            (Verb::Get, "json=0", Err(BadQuery::Value("json"))),
            (Verb::Get, "versions=2026-11-22", Err(BadQuery::Value("versions"))),
            (Verb::Get, "version=2026-11-22T14-35-07.123456Z&version=b", Err(BadQuery::Twice("version"))),
            (
                Verb::Get,
                "version=&version",
                query(|query| query.version = Some(Named(None)), Some(&[Verb::Get, Verb::Copy])),
            ),
            (Verb::Get, "limit=5", Err(BadQuery::Alone("limit", "versions"))),
            (Verb::Put, "deep", Err(BadQuery::Alone("deep", "deleted"))),
            (Verb::Get, "versions&limit=0", Err(BadQuery::Value("limit"))),
            (Verb::Get, "versions&limit=-1", Err(BadQuery::Value("limit"))),
            (Verb::Get, "versions&before=1", Err(BadQuery::Value("before"))),
            (Verb::Get, "versions&after=a", Err(BadQuery::Contradiction("versions", "after"))),
            (Verb::Get, "deleted&after=..", Err(BadQuery::Value("after"))),
            (Verb::Get, "deleted&after=", Err(BadQuery::Value("after"))),
            (Verb::Delete, "deleted&limit=5", Err(BadQuery::Method { word: "deleted", taken_by: &[Verb::Get] })),
            (Verb::Get, "json&version=a", Err(BadQuery::Contradiction("json", "version"))),
            (Verb::Delete, "restore=a&version=b", Err(BadQuery::Contradiction("restore", "version"))),
            (Verb::Options, "mkdirs", query(|query| query.make_parents = true, Some(&[Verb::Put, Verb::Post]))),
            (Verb::Delete, "junk&json", Err(BadQuery::Method { word: "json", taken_by: &[Verb::Get] })),
            (Verb::Copy, "download&version=a", Err(BadQuery::Method { word: "download", taken_by: &[Verb::Get] })),
            (Verb::Put, "restore=a&mkdirs", Err(BadQuery::Method { word: "restore", taken_by: &[Verb::Post] })),
        ] {
            assert_eq!(Query::parse(text, verb), expected, "{verb:?} {text}");
        }
        let version = Query::parse(&format!("download&%76ersion={ID}"), Verb::Get).expect("the two go together");
        assert_eq!(version.version, Some(Named(VersionId::parse(ID))));
        assert!(version.download);
        let deleted = Query::parse("deleted&after=a%ff/b&deep&limit=7", Verb::Get).expect("they go together");
        assert_eq!(deleted.after, SharePath::parse_disk(b"a\xff/b").ok());
        assert_eq!((deleted.deep, deleted.limit), (true, Some(7)));
    }
}
