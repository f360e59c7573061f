//! The words in a query that mean something here: which of them a method takes, where, and which go together. One table says so.
//!
//! A word of this table that means nothing to the method is refused, since whoever asks to delete `/f?version=ID` does not mean the file
//! that is at `/f` now. One that is written not quite as it stands here is refused where something would be changed. Words that stand in no
//! table are ignored, as programs add some to get past caches.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::percent_decode_str;

use crate::http::request::method::{Allowed, DavMethod};
use crate::model::cursor::Cursor;
use crate::model::path::SharePath;
use crate::model::version::VersionId;

/// How often a name is decoded to find a word in it: no more, since each round goes over all of it again.
const DECODED_AT_MOST: usize = 3;

/// The shortest secret of an invitation.
const SECRET_BYTES_MIN: usize = 16;

/// The word whose value is one.
const SIGN_IN: &str = "sign-in";

/// The word whose value is the secret of a link. It says who asks and not what for, and so goes together with every other.
const LINK: &str = "link";

/// The options in a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query {
    /// `?download`: to be saved, not shown.
    pub(crate) download: bool,
    /// `?json`: a listing for programs.
    pub(crate) json: bool,
    /// `?mkdirs`: the folders above are made where they are missing.
    pub(crate) make_parents: bool,
    /// `?versions`: the history of the path.
    pub(crate) versions: bool,
    /// `?version=ID`: a version from the history.
    pub(crate) version: Option<Named>,
    /// `?sign-in`: a name and a password become a session.
    pub(crate) sign_in: bool,
    /// `?sign-in=SECRET`: an invitation becomes one.
    pub(crate) invitation: Option<Invitation>,
    /// `?sign-out`: the session ends.
    pub(crate) sign_out: bool,
    /// `?link=SECRET`: who asks has a link.
    pub(crate) link: Option<LinkSecret>,
    /// `?links`: the links that lead here.
    pub(crate) links: bool,
    /// `?revoke=ID`: the link to take away.
    pub(crate) revoke: Option<Box<str>>,
    /// `?restore=ID`: the version to bring back.
    pub(crate) restore: Option<Named>,
    /// `?deleted`: what was in a folder and is no more.
    pub(crate) deleted: bool,
    /// `?changes`: what has happened in a folder.
    pub(crate) changes: bool,
    /// `?events`: what happens there, as it does.
    pub(crate) events: bool,
    /// `?since=CURSOR`: behind which place in the feed.
    pub(crate) since: Option<Since>,
    /// `?wait=SECONDS`: for how long to wait for something to happen.
    pub(crate) wait: Option<u64>,
    /// `?deep`: everything below, too.
    pub(crate) deep: bool,
    /// `?limit=N`: how many versions, or names, at most.
    pub(crate) limit: Option<usize>,
    /// `?before=ID`: only versions that are older.
    pub(crate) before: Option<VersionId>,
    /// `?after=PATH`: only what comes behind it in the order of the names.
    pub(crate) after: Option<SharePath>,
    /// What takes all of these; `None` where there is no such word, so that it is the path alone that tells.
    pub(crate) taken: Option<TakenWord>,
}

/// What takes the words of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TakenWord {
    /// The word that the fewest methods take.
    word: &'static str,
    by: &'static [DavMethod],
    /// Where none of them is served.
    never: &'static [Allowed],
}

/// A version that a query names; without an identifier where it cannot be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named(pub(crate) Option<VersionId>);

/// A place in the feed that a query names; none where it cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Since(pub(crate) Option<Cursor>);

/// The secret of an invitation, which no log shows.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Invitation(pub(crate) Box<str>);

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Invitation")
    }
}

/// The secret of a link, or what stands for it, which no log shows. Two that differ are none.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct LinkSecret(pub(crate) Box<str>);

impl fmt::Debug for LinkSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkSecret")
    }
}

/// Why a query is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadQuery {
    /// A word has a value that it cannot have, or none where it needs one.
    #[error("what stands behind ?{0} is none of its values")]
    Value(&'static str),
    /// A word is there without any that it belongs to.
    #[error("?{0} means something only beside ?{1}")]
    Alone(&'static str, &'static str),
    /// A word comes twice, and each time means something else.
    #[error("?{0} comes more than once")]
    Twice(&'static str),
    /// A word stands there not quite as it is.
    #[error("?{0} is written otherwise there than it is; write it as it is, or leave it out")]
    Misspelt(&'static str),
    /// Two words contradict each other.
    #[error("?{0} and ?{1} do not go together")]
    Contradiction(&'static str, &'static str),
}

/// A word, and what is to be known of it.
struct Word {
    name: &'static str,
    /// The methods to which it means something.
    methods: &'static [DavMethod],
    /// Those to which it means something by itself.
    alone: &'static [DavMethod],
    /// Where it means nothing to any of these.
    never: &'static [Allowed],
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
        methods: &[DavMethod::Get],
        alone: &[DavMethod::Get],
        never: &[],
        belongs_to: &[],
        beside: &["version"],
        set: |query, value| stands_alone(value, &mut query.download),
    },
    Word {
        name: "json",
        methods: &[DavMethod::Get],
        alone: &[DavMethod::Get],
        never: &[],
        belongs_to: &[],
        beside: &["versions", "limit", "before"],
        set: |query, value| stands_alone(value, &mut query.json),
    },
    Word {
        name: "mkdirs",
        methods: &[DavMethod::Put, DavMethod::Post],
        alone: &[DavMethod::Put],
        never: &[
            Allowed::OnCollections,
            Allowed::OnLinkedFiles,
            Allowed::OnLinkedCollections,
            Allowed::OnNoCollection,
            Allowed::Nowhere,
        ],
        belongs_to: &[],
        beside: &["restore"],
        set: |query, value| stands_alone(value, &mut query.make_parents),
    },
    Word {
        name: SIGN_IN,
        methods: &[DavMethod::Get, DavMethod::Post],
        alone: &[DavMethod::Get, DavMethod::Post],
        never: &[],
        belongs_to: &[],
        beside: &[],
        set: |query, value| {
            query.sign_in = true;
            let secret = decoded(value);
            let is_secret = secret.len() >= SECRET_BYTES_MIN && secret.bytes().all(is_of_secret);
            query.invitation = is_secret.then(|| Invitation(Box::from(&*secret)));
            is_secret || stands_alone(value, &mut query.sign_in)
        },
    },
    Word {
        name: "sign-out",
        methods: &[DavMethod::Post],
        alone: &[DavMethod::Post],
        never: &[],
        belongs_to: &[],
        beside: &[],
        set: |query, value| stands_alone(value, &mut query.sign_out),
    },
    Word {
        name: "links",
        methods: &[DavMethod::Get, DavMethod::Post],
        alone: &[DavMethod::Get, DavMethod::Post],
        never: &[],
        belongs_to: &[],
        beside: &[],
        set: |query, value| stands_alone(value, &mut query.links),
    },
    Word {
        name: "revoke",
        methods: &[DavMethod::Post],
        alone: &[DavMethod::Post],
        never: &[],
        belongs_to: &[],
        beside: &[],
        set: |query, value| {
            let id = decoded(value);
            query.revoke = (!id.is_empty()).then(|| Box::from(&*id));
            query.revoke.is_some()
        },
    },
    Word {
        name: "versions",
        methods: &[DavMethod::Get],
        alone: &[DavMethod::Get],
        never: &[],
        belongs_to: &[],
        beside: &["json", "limit", "before"],
        set: |query, value| stands_alone(value, &mut query.versions),
    },
    Word {
        name: "version",
        methods: &[DavMethod::Get, DavMethod::Copy],
        alone: &[DavMethod::Get, DavMethod::Copy],
        never: &[],
        belongs_to: &[],
        beside: &["download"],
        set: |query, value| {
            query.version = Some(Named(VersionId::parse(&decoded(value))));
            true
        },
    },
    Word {
        name: "restore",
        methods: &[DavMethod::Post],
        alone: &[DavMethod::Post],
        never: &[],
        belongs_to: &[],
        beside: &["mkdirs"],
        set: |query, value| {
            query.restore = Some(Named(VersionId::parse(&decoded(value))));
            true
        },
    },
    Word {
        name: "deleted",
        methods: &[DavMethod::Get],
        alone: &[DavMethod::Get],
        never: &[Allowed::OnFiles, Allowed::OnLinkedFiles],
        belongs_to: &[],
        beside: &["deep", "limit", "after"],
        set: |query, value| stands_alone(value, &mut query.deleted),
    },
    Word {
        name: "changes",
        methods: &[DavMethod::Get],
        alone: &[DavMethod::Get],
        never: &[Allowed::OnFiles, Allowed::OnLinkedFiles],
        belongs_to: &[],
        beside: &["since", "wait", "limit"],
        set: |query, value| stands_alone(value, &mut query.changes),
    },
    Word {
        name: "events",
        methods: &[DavMethod::Get],
        alone: &[DavMethod::Get],
        never: &[Allowed::OnFiles, Allowed::OnLinkedFiles],
        belongs_to: &[],
        beside: &["since"],
        set: |query, value| stands_alone(value, &mut query.events),
    },
    Word {
        name: "since",
        methods: &[DavMethod::Get],
        alone: &[DavMethod::Get],
        never: &[],
        belongs_to: &["changes", "events"],
        beside: &["changes", "events", "wait", "limit"],
        set: |query, value| {
            query.since = Some(Since(Cursor::parse(&decoded(value))));
            true
        },
    },
    Word {
        name: "wait",
        methods: &[DavMethod::Get],
        alone: &[DavMethod::Get],
        never: &[],
        belongs_to: &["changes"],
        beside: &["changes", "since", "limit"],
        set: |query, value| {
            let digits = decoded(value);
            let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
            query.wait = digits.parse().ok().filter(|_| is_number);
            query.wait.is_some()
        },
    },
    Word {
        name: "deep",
        methods: &[DavMethod::Get],
        alone: &[DavMethod::Get],
        never: &[],
        belongs_to: &["deleted"],
        beside: &["deleted", "limit", "after"],
        set: |query, value| stands_alone(value, &mut query.deep),
    },
    Word {
        name: "limit",
        methods: &[DavMethod::Get],
        alone: &[DavMethod::Get],
        never: &[],
        belongs_to: &["versions", "deleted", "changes"],
        beside: &["versions", "deleted", "json", "before", "deep", "after", "changes", "since", "wait"],
        set: |query, value| {
            let digits = decoded(value);
            let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
            query.limit = digits.parse().ok().filter(|limit| is_number && *limit > 0);
            query.limit.is_some()
        },
    },
    Word {
        name: "before",
        methods: &[DavMethod::Get],
        alone: &[DavMethod::Get],
        never: &[],
        belongs_to: &["versions"],
        beside: &["versions", "json", "limit"],
        set: |query, value| {
            query.before = VersionId::parse(&decoded(value));
            query.before.is_some()
        },
    },
    Word {
        name: "after",
        methods: &[DavMethod::Get],
        alone: &[DavMethod::Get],
        never: &[],
        belongs_to: &["deleted"],
        beside: &["deleted", "deep", "limit"],
        set: |query, value| {
            // Decoded as a path is: names need not be UTF-8.
            query.after = SharePath::parse_url(&format!("/{value}")).ok().filter(|after| !after.is_root());
            query.after.is_some()
        },
    },
];

/// As base64url has them (RFC 4648 §5).
fn is_of_secret(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

fn stands_alone(value: &str, set: &mut bool) -> bool {
    *set = matches!(&*decoded(value), "" | "1" | "true");
    *set
}

impl Query {
    pub(crate) fn parse(text: &str) -> Result<Self, BadQuery> {
        let mut query = Self::default();
        // Each word with what it says by itself: what the others say is not looked at again for each.
        let mut said: Vec<(&Word, Self)> = Vec::new();
        for pair in text.split('&') {
            let (name, value) = name_and_value(pair);
            let name = decoded(name);
            if name.eq_ignore_ascii_case(LINK) {
                query.set_link(&decoded(value));
                continue;
            }
            let Some(word) = Word::named(&name) else { continue };
            let mut alone = Self::default();
            if !(word.set)(&mut alone, value) {
                return Err(BadQuery::Value(word.name));
            }
            match said.iter().find(|(other, _)| other.name == word.name) {
                Some((_, first)) if *first != alone => return Err(BadQuery::Twice(word.name)),
                Some(_) => {}
                None => {
                    (word.set)(&mut query, value);
                    said.push((word, alone));
                }
            }
        }
        let words: Vec<&Word> = said.iter().map(|(word, _)| *word).collect();
        query.taken = taken(&words)?;
        Ok(query)
    }

    /// The link by which a request says who makes it: none where somebody is only about to sign in by it, who has still to prove more.
    pub(crate) fn shown_link(&self) -> Option<&LinkSecret> {
        self.link.as_ref().filter(|_| !self.sign_in)
    }

    fn set_link(&mut self, secret: &str) {
        let is_another = self.link.as_ref().is_some_and(|LinkSecret(known)| **known != *secret);
        self.link = Some(LinkSecret(if is_another { "".into() } else { secret.into() }));
    }

    /// The word that means nothing to a method, if there is one. OPTIONS takes all of them, to tell what is served.
    pub(crate) fn means_nothing_to(&self, method: DavMethod) -> Option<&'static str> {
        let taken = self.taken.filter(|taken| !taken.by.contains(&method))?;
        (!matches!(method, DavMethod::Options | DavMethod::Unknown)).then_some(taken.word)
    }
}

impl TakenWord {
    /// The methods that take all the words where this is.
    pub(crate) fn served(self, there: Allowed) -> &'static [DavMethod] {
        if self.never.contains(&there) { &[] } else { self.by }
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

/// What takes all of these words: what takes the one that the fewest take.
fn taken(words: &[&'static Word]) -> Result<Option<TakenWord>, BadQuery> {
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
    let is_alone = words.len() == 1;
    let narrowest = words.iter().min_by_key(|word| (word.methods.len(), word.never.is_empty()));
    Ok(narrowest.map(|word| {
        let by = if is_alone { word.alone } else { word.methods };
        TakenWord { word: word.name, by, never: word.never }
    }))
}

/// The word that stands in a query not quite as it is, if there is one. Where something is to be changed, another change may be meant, or none.
pub(crate) fn misspelt(text: &str) -> Option<&'static str> {
    let is_foreign = |pair: &&str| Word::named(&decoded(name_and_value(pair).0)).is_none();
    text.split('&').filter(is_foreign).flat_map(names_in).find_map(word_in)
}

/// The names in a part of a query by any convention: what stands in front of `=`, at the beginning and behind each `;` and `?`. A value with a
/// slash is a media type or a URL, and all that follows belongs to it.
fn names_in(part: &str) -> impl Iterator<Item = &str> {
    let mut goes_on = true;
    part.split([';', '?']).map_while(move |piece| {
        let (name, value) = name_and_value(piece.trim_start_matches('='));
        std::mem::replace(&mut goes_on, !decoded(value).contains('/')).then_some(name)
    })
}

/// The word of the table that a name is but for what stands around it: blanks, marks, brackets, an index, and encodings of all of them. What
/// begins with `_`, `$` or `-`, or goes on with a letter, a digit or one of these, is another name.
fn word_in(name: &str) -> Option<&'static str> {
    let mut plain = Cow::Borrowed(name);
    for _ in 0..DECODED_AT_MOST {
        plain = Cow::Owned(decoded(&plain).into_owned());
    }
    let is_of_name = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '$' | '-');
    plain.split(['&', ';', '?']).find_map(|piece| {
        let inner = piece.trim_start_matches(|letter| !is_of_name(letter));
        let name = inner.split(|letter| !is_of_name(letter) && letter != '.').next()?;
        Word::named(name.trim_end_matches('.')).map(|word| word.name)
    })
}

/// The query as it may be logged: without what stands beside the word of an invitation or of a link, however that is written.
pub(crate) fn without_secrets(text: &str) -> Cow<'_, str> {
    let told_by = |pair: &str| {
        let mut plain = Cow::Borrowed(pair);
        for _ in 0..DECODED_AT_MOST {
            plain = Cow::Owned(decoded(&plain).to_ascii_lowercase());
        }
        [SIGN_IN, LINK].into_iter().find(|word| plain.contains(word) && plain.len() >= word.len() + SECRET_BYTES_MIN)
    };
    if text.split('&').all(|pair| told_by(pair).is_none()) {
        return Cow::Borrowed(text);
    }
    let shown = |pair| told_by(pair).map_or(Cow::Borrowed(pair), |word| Cow::Owned(format!("{word}=***")));
    Cow::Owned(text.split('&').map(shown).collect::<Vec<_>>().join("&"))
}

/// A query without the secret of a link, for a URL that is shown; empty if nothing is left.
pub(crate) fn without_link(text: &str) -> String {
    let is_link = |pair: &&str| decoded(name_and_value(pair).0).eq_ignore_ascii_case(LINK);
    text.split('&').filter(|pair| !is_link(pair)).collect::<Vec<_>>().join("&")
}

fn name_and_value(pair: &str) -> (&str, &str) {
    pair.split_once('=').unwrap_or((pair, ""))
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
            assert!(!word.methods.is_empty());
            assert!(word.belongs_to.iter().all(|name| word.beside.contains(name)), "{}", word.name);
            for other in word.beside.iter().map(|name| Word::named(name).expect(name)) {
                assert!(other.goes_with(word), "{} and {} agree on it", word.name, other.name);
                let (few, many) = if word.methods.len() < other.methods.len() { (word, other) } else { (other, word) };
                assert!(
                    few.methods.iter().all(|method| many.methods.contains(method)),
                    "{} and {}",
                    word.name,
                    other.name
                );
            }
        }
    }

    #[test]
    fn no_secret_is_logged() {
        const SECRET: &str = "cX_vO1rQ5o2NnPz0c8v-zw";
        for written in [
            "sign-in=SECRET",
            "SIGN-IN=SECRET",
            "s%69gn-in=SECRET",
            "sign%2Din=SECRET",
            "a=1;sign-in=SECRET",
            "sign-in:SECRET",
            "sign-in%3DSECRET",
            "sign-in%253DSECRET%2526a",
            "?sign-in=SECRET",
            "sign-in=SECRET&sign-in=SECRET",
            "link=SECRET",
            "L%49NK=SECRET&sign-in=SECRET",
            "json?link%253DSECRET",
        ] {
            let logged = without_secrets(&format!("a=b&{written}&c")).replace(SECRET, "told");
            let logged = without_secrets(&written.replace("SECRET", SECRET)).into_owned() + &logged;
            assert!(!logged.contains(SECRET), "{written}: {logged}");
            assert!(logged.contains("sign-in=***") || logged.contains("link=***"), "{written}: {logged}");
        }
        for plain in
            ["", "sign-in", "sign-in&json", "sign-out", "versions&limit=2", "v=1&w=sign", "links", "link=short"]
        {
            assert_eq!(without_secrets(plain), plain);
        }
        assert!(Query::parse(&format!("sign-in={SECRET}")).is_ok_and(|query| query.invitation.is_some()));
        assert!(!format!("{:?}", Query::parse(&format!("sign-in={SECRET}"))).contains(SECRET));
        assert!(Query::parse("sign-in").is_ok_and(|query| query.sign_in && query.invitation.is_none()));
        assert_eq!(Query::parse("sign-in=short"), Err(BadQuery::Value("sign-in")));
    }

    #[test]
    fn queries_are_read() {
        let query = |change: fn(&mut Query)| {
            let mut query = Query::default();
            change(&mut query);
            Ok(query)
        };
        for (text, expected) in [
            ("", query(|_| {})),
            ("junk=1&&=&x", query(|_| {})),
            ("_=1732", query(|_| {})),
            ("json", query(|query| query.json = true)),
            ("json=", query(|query| query.json = true)),
            ("j%73on=1&JSON=1&json", query(|query| query.json = true)),
            ("json=0", Err(BadQuery::Value("json"))),
            ("versions=2026-11-22", Err(BadQuery::Value("versions"))),
            ("version=2026-11-22T14-35-07.123456Z&version=b", Err(BadQuery::Twice("version"))),
            ("version=&version", query(|query| query.version = Some(Named(None)))),
            ("limit=5", Err(BadQuery::Alone("limit", "versions"))),
            ("deep", Err(BadQuery::Alone("deep", "deleted"))),
            ("versions&limit=0", Err(BadQuery::Value("limit"))),
            ("versions&limit=-1", Err(BadQuery::Value("limit"))),
            ("versions&limit=+1", Err(BadQuery::Value("limit"))),
            ("versions&before=1", Err(BadQuery::Value("before"))),
            ("versions&after=a", Err(BadQuery::Contradiction("versions", "after"))),
            ("deleted&after=..", Err(BadQuery::Value("after"))),
            ("deleted&after=", Err(BadQuery::Value("after"))),
            ("json&version=a", Err(BadQuery::Contradiction("json", "version"))),
            ("restore=a&version=b", Err(BadQuery::Contradiction("restore", "version"))),
            ("mkdirs", query(|query| query.make_parents = true)),
            ("link=a&json", query(|query| (query.link, query.json) = (Some(LinkSecret("a".into())), true))),
            ("link=a&l%69nk=a", query(|query| query.link = Some(LinkSecret("a".into())))),
            ("link=a&link=b", query(|query| query.link = Some(LinkSecret("".into())))),
            (
                "link=a&version",
                query(|query| (query.link, query.version) = (Some(LinkSecret("a".into())), Some(Named(None)))),
            ),
            ("link", query(|query| query.link = Some(LinkSecret("".into())))),
            ("revoke=", Err(BadQuery::Value("revoke"))),
        ] {
            let read = Query::parse(text).map(|read| Query { taken: None, ..read });
            assert_eq!(read, expected, "{text}");
        }
        let version = Query::parse(&format!("download&%76ersion={ID}")).expect("the two go together");
        assert_eq!(version.version, Some(Named(VersionId::parse(ID))));
        assert!(version.download);
        let deleted = Query::parse("deleted&after=a%ff/b&deep&limit=7").expect("they go together");
        assert_eq!(deleted.after, SharePath::parse_disk(b"a\xff/b").ok());
        assert_eq!((deleted.deep, deleted.limit), (true, Some(7)));
    }

    #[test]
    fn a_url_that_is_shown_has_no_secret() {
        for (text, left) in [
            ("link=a", ""),
            ("json&link=a", "json"),
            ("LINK=a&json=1&l%69nk=b&x", "json=1&x"),
            ("links&linked=1", "links&linked=1"),
            ("", ""),
        ] {
            assert_eq!(without_link(text), left);
        }
    }

    #[test]
    fn words_that_are_all_but_one_of_these_are_told_from_foreign_ones() {
        for (text, word) in [
            ("versions;", Some("versions")),
            ("versions%20", Some("versions")),
            ("+versions", Some("versions")),
            ("?versions", Some("versions")),
            ("version%3Da", Some("version")),
            (";version=a", Some("version")),
            ("x;version=a", Some("version")),
            ("=version", Some("version")),
            ("%252576ersion=a", Some("version")),
            ("json&%E2%80%8Bdeep", Some("deep")),
            ("versions%26limit%3D3", Some("versions")),
            ("x%3D1%26version%3Da", Some("version")),
            ("version:abc", Some("version")),
            ("version%3Aabc", Some("version")),
            ("version%5B0%5D=abc", Some("version")),
            ("version[]", Some("version")),
            ("version+abc", Some("version")),
            ("version/abc", Some("version")),
            ("version,abc", Some("version")),
            ("versions.", Some("versions")),
            (".versions", Some("versions")),
            ("version%ff=abc", Some("version")),
            ("t=1?version=a", Some("version")),
            ("t=1?versions", Some("versions")),
            ("t=1?%76ersions", Some("versions")),
            ("t=1??+VERSIONS;", Some("versions")),
            ("t=1;version=a", Some("version")),
            ("json&limit;=1", Some("limit")),
            ("version/abc;type=text/plain", Some("version")),
            ("x;version=a;type=text/plain", Some("version")),
            ("%2525252576ersion=a", None),
            ("_limit=1", None),
            ("%24limit=2", None),
            ("_version=3", None),
            ("__json", None),
            ("-json", None),
            ("json_", None),
            ("version.minor=1", None),
            ("filter[version]=1", None),
            ("type=application/json;version=1", None),
            ("type=application%2Fjson;version=1", None),
            ("ct=text/plain;version=0.0.4;charset=utf-8", None),
            ("response-content-type=text/plain;version=1", None),
            ("next=%2Ff%3Fversion%3D1", None),
            ("q=a%26version%3D1", None),
            ("versionId=1&partNumber=2&uploads&uploadId=3", None),
            ("X-Amz-Credential=a/b/c&X-Amz-SignedHeaders=host;range", None),
            ("VERSIONS", None),
            ("version", None),
            ("123", None),
            ("_=1", None),
            ("foo=bar", None),
            ("x=version=1", None),
            ("x%3Dversion", None),
            ("q=versions", None),
            ("versionsx", None),
            ("json5", None),
            ("deleted_at=1", None),
            ("url=http://x/?json", None),
            ("%ff&%&%%&;;", None),
        ] {
            assert_eq!(misspelt(text), word, "{text}");
        }
    }

    /// Which methods take all the words of a query, and where.
    #[test]
    fn the_table_of_words_and_methods() {
        use Allowed::{OnCollections, OnFiles, OnNothing};
        for (text, methods, never) in [
            ("json", &[DavMethod::Get][..], None),
            ("download", &[DavMethod::Get], None),
            ("versions&limit=5&json", &[DavMethod::Get], None),
            ("version=a", &[DavMethod::Get, DavMethod::Copy], None),
            ("download&version=a", &[DavMethod::Get], None),
            ("restore=a", &[DavMethod::Post], None),
            ("restore=a&mkdirs", &[DavMethod::Post], None),
            ("mkdirs&restore=a", &[DavMethod::Post], None),
            ("mkdirs", &[DavMethod::Put], Some(OnCollections)),
            ("deleted", &[DavMethod::Get], Some(OnFiles)),
            ("limit=7&deep&deleted", &[DavMethod::Get], Some(OnFiles)),
        ] {
            let query = Query::parse(text).expect(text);
            for there in [OnFiles, OnCollections, OnNothing] {
                let wanted = if never == Some(there) { &[] } else { methods };
                assert_eq!(query.taken.map(|taken| taken.served(there)), Some(wanted), "{text} {there:?}");
            }
            for method in [
                DavMethod::Get,
                DavMethod::Put,
                DavMethod::Post,
                DavMethod::Copy,
                DavMethod::Delete,
                DavMethod::Propfind,
                DavMethod::Report,
            ] {
                assert_eq!(query.means_nothing_to(method).is_some(), !methods.contains(&method), "{text} {method:?}");
            }
            assert_eq!(query.means_nothing_to(DavMethod::Options), None, "{text}");
        }
        assert_eq!(Query::parse("x=1&y").map(|query| query.taken), Ok(None));
    }
}
