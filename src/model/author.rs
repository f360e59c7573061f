//! Who made a change, and by which way in; and how that is written in the name of a version.
//!
//! Where nobody can know who it was there is no author: a wrong name would be worse than none.

use std::fmt;

use data_encoding::BASE32_DNSSEC;
use serde::{Deserialize, Serialize};

use super::principal::Principal;

/// Who made a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Author {
    /// Somebody who came to the server, or used its command line.
    Client {
        /// Who that was.
        principal: Principal,
        /// How that was known.
        way_in: WayIn,
    },
    /// Another program, which wrote into the folder behind the server's back.
    Program,
}

/// By what somebody was known who asked for something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WayIn {
    /// By nothing: nobody has signed in.
    Anonymous,
    /// By a name and a password (`Basic`, RFC 7617).
    Password,
    /// By a digest of them (RFC 7616).
    Digest,
    /// By a token (RFC 6750).
    Token,
    /// By the session of somebody who signed in on a page.
    Session,
    /// By the word of a trusted proxy.
    Proxy,
    /// By being at the machine, with the command line.
    CommandLine,
    /// By a link.
    Link,
}

/// What stands before a name that is written in base 32.
const ENCODED: char = '=';

/// The word for a link.
const LINK: &str = "link";

/// The word for another program.
const PROGRAM: &str = "program";

impl WayIn {
    /// The word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Password => "password",
            Self::Digest => "digest",
            Self::Token => "token",
            Self::Session => "session",
            Self::Proxy => "proxy",
            Self::CommandLine => "command",
            Self::Link => LINK,
        }
    }

    fn of_word(word: &str) -> Option<Self> {
        let without_a_name =
            [Self::Anonymous, Self::Password, Self::Digest, Self::Token, Self::Session, Self::Proxy, Self::CommandLine];
        without_a_name.into_iter().find(|way_in| way_in.word() == word)
    }
}

impl Author {
    /// Somebody who came to the server this way. Whoever has a link came by that, however it was shown.
    pub fn client(principal: Principal, way_in: WayIn) -> Self {
        let way_in = if matches!(principal, Principal::Link(_)) { WayIn::Link } else { way_in };
        Self::Client { principal, way_in }
    }

    /// The user; none of somebody who has not signed in, and of a program.
    pub fn user(&self) -> Option<&str> {
        match self {
            Self::Client { principal: Principal::Named(name), .. } => Some(name),
            _ => None,
        }
    }

    /// The word for the way in, or for a program.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Client { way_in, .. } => way_in.word(),
            Self::Program => PROGRAM,
        }
    }

    /// The identifier of the link by which somebody came, if it was one.
    pub fn link_id(&self) -> Option<&str> {
        match self {
            Self::Client { principal: Principal::Link(id), .. } => Some(id),
            _ => None,
        }
    }

    /// As it stands in the name of a file: words with a space between. No file system changes them: whatever is not a small letter, a digit or
    /// one of a few signs is written in base 32.
    pub fn to_words(&self) -> String {
        let mut words = self.word().to_owned();
        if let Some(name) = self.link_id().or_else(|| self.user()) {
            words.push(' ');
            words.push_str(&to_word(name));
        }
        words
    }

    /// Reads those words; `None` if they are not exactly those that are written for somebody.
    pub fn parse_words(text: &str) -> Option<Self> {
        let (word, name) = text.split_once(' ').map_or((text, None), |(word, name)| (word, Some(name)));
        let name = match name {
            Some(name) => Some(of_word(name)?),
            None => None,
        };
        let author = match (word, name) {
            (PROGRAM, _) => Self::Program,
            (LINK, id) => Self::client(Principal::Link(id?.into()), WayIn::Link),
            (word, Some(user)) => Self::client(Principal::named(&user), WayIn::of_word(word)?),
            (word, None) => Self::client(Principal::Anonymous, WayIn::of_word(word)?),
        };
        (author.to_words() == text).then_some(author)
    }
}

impl fmt::Display for Author {
    /// For a person. Names are as they are: whoever shows them escapes them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Client { principal, way_in } = self else { return f.write_str("another program") };
        match (principal, way_in) {
            (Principal::Named(user), _) => write!(f, "{user} ({})", way_in.word()),
            (Principal::Link(id), _) => write!(f, "somebody by the link {id}"),
            (Principal::Anonymous, WayIn::CommandLine) => f.write_str("somebody at the server's command line"),
            (Principal::Anonymous, _) => f.write_str("somebody who had not signed in"),
        }
    }
}

fn to_word(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-' | '@' | '+');
    // Some file systems take no dot at the end of a name.
    if !name.is_empty() && name.chars().all(is_plain) && !name.ends_with('.') {
        return name.to_owned();
    }
    format!("{ENCODED}{}", BASE32_DNSSEC.encode(name.as_bytes()))
}

fn of_word(word: &str) -> Option<String> {
    match word.strip_prefix(ENCODED) {
        None => Some(word.to_owned()),
        Some(encoded) => String::from_utf8(BASE32_DNSSEC.decode(encoded.as_bytes()).ok()?).ok(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn by(user: Option<&str>, way_in: WayIn) -> Author {
        Author::client(user.map_or(Principal::Anonymous, Principal::named), way_in)
    }

    fn by_link(id: &str) -> Author {
        Author::client(Principal::Link(id.into()), WayIn::Session)
    }

    #[test]
    fn usual_names_are_read_as_they_stand() {
        for (author, words) in [
            (Author::Program, "program"),
            (by(None, WayIn::Anonymous), "anonymous"),
            (by(None, WayIn::CommandLine), "command"),
            (by(Some("alice"), WayIn::Password), "password alice"),
            (by(Some("ann@example.org"), WayIn::Token), "token ann@example.org"),
            (by(Some("Ann"), WayIn::Session), "session =85n6s"),
            (by_link("album"), "link album"),
            (by_link("my album"), "link =dlsi0obcc9qmq"),
        ] {
            assert_eq!(author.to_words(), words);
            assert_eq!(Author::parse_words(words), Some(author));
        }
        for foreign in
            ["", " ", "somebody", "link", "password ", "password a b", "password =1", "password =85N6S", "program a"]
        {
            assert_eq!(Author::parse_words(foreign), None, "{foreign:?}");
        }
    }

    proptest! {
        /// A name cannot forge another author, and comes back from a disk that folds the case.
        #[test]
        fn whatever_the_names_are_they_come_back(user in prop::option::of("\\PC{0,20}"), link in prop::option::of(any::<String>())) {
            let author = link.map_or_else(|| by(user.as_deref(), WayIn::Digest), |id| by_link(&id));
            let words = author.to_words();
            prop_assert!(words.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'/' && !byte.is_ascii_uppercase()));
            prop_assert_eq!(Author::parse_words(&words), Some(author));
        }
    }
}
