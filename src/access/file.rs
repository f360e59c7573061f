//! The file of users and rules: TOML, by itself or with the settings of the server.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;
use unicode_normalization::UnicodeNormalization as _;

use crate::model::path::Name;
use crate::model::rights::Rights;
use crate::model::rules::{Rule, RulePath, Who};
use crate::os::private_file::{self, ReadFile};

use super::password::PasswordHash;

/// The tables of a file that are about who may come in.
pub const TABLES: [&str; 2] = ["users", "rules"];

/// The longest name of a user, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// What a file of users and rules says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AccessFile {
    /// The users, by name.
    pub users: BTreeMap<Arc<str>, UserRecord>,
    /// The rules, in the order of the file.
    pub rules: Vec<Rule>,
}

/// What is noted of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserRecord {
    /// The hash of the password; without one nobody signs in with a password.
    pub password: Option<PasswordHash>,
    /// When the user was added, as it is written; `None` where nobody has written it.
    pub added: Option<Box<str>>,
    /// The groups.
    pub groups: Vec<Arc<str>>,
    /// What Digest is checked by, for users who have been given that: the hashes of name, realm and password.
    pub digest: Option<DigestHashes>,
    /// The bearer tokens.
    pub tokens: Vec<TokenRecord>,
}

/// The first hash of Digest (RFC 7616 §3.4.2), as small hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestHashes {
    /// By SHA-256.
    pub sha256: Box<str>,
    /// By MD5.
    pub md5: Box<str>,
}

/// A bearer token: what it is called, and its hash.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRecord {
    /// What it is for.
    pub name: String,
    /// Its BLAKE3 hash, as small hexadecimal digits.
    pub hash: String,
}

/// Why a file of users and rules cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {why}", path.display(), line.map_or(String::new(), |line| format!(":{line}")))]
pub struct BadAccessFile {
    /// Which file.
    pub path: PathBuf,
    /// Where in it, from 1 on.
    pub line: Option<usize>,
    /// Why.
    pub why: String,
    /// Why the disk did not give it, if that is why: it may be otherwise the next time.
    pub disk: Option<std::io::ErrorKind>,
}

#[derive(Deserialize)]
struct Tables {
    #[serde(default)]
    users: BTreeMap<Spanned<String>, UserTable>,
    #[serde(default)]
    rules: Vec<Spanned<RuleTable>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserTable {
    added: Option<toml::value::Datetime>,
    password: Option<Spanned<String>>,
    #[serde(default)]
    groups: Vec<String>,
    digest_sha256: Option<String>,
    digest_md5: Option<String>,
    #[serde(default)]
    tokens: Vec<TokenRecord>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleTable {
    path: Spanned<String>,
    who: Spanned<String>,
    may: Spanned<May>,
}

/// One word, or a list of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum May {
    One(String),
    Several(Vec<String>),
}

impl AccessFile {
    /// Reads a file. `for_everybody` is what everybody may do at the top of the share, where no rule says that. One that holds hashes and can be read by others than its owner is refused.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn read(path: &Path, for_everybody: Option<Rights>) -> Result<Self, BadAccessFile> {
        let bad = |line, why| BadAccessFile { path: path.to_owned(), line, why, disk: None };
        let cannot = |why: String| bad(None, format!("it cannot be read: {why}"));
        let ReadFile { bytes, is_open_to_others } = private_file::read(path)
            .map_err(|error| BadAccessFile { disk: Some(error.kind()), ..cannot(error.to_string()) })?;
        let text = String::from_utf8(bytes).map_err(|error| cannot(error.to_string()))?;
        let read = Self::parse(&text).map_err(|(at, why)| bad(Some(line_of(&text, at)), why))?;
        if is_open_to_others && read.holds_secrets() {
            let why = "others can read the secrets in it: chmod 600 makes it its owner's alone";
            return Err(bad(None, why.to_owned()));
        }
        read.with_what_goes_without_saying(for_everybody).map_err(|(line, why)| bad(line, why))
    }

    /// What a file would say of one user who may do everything.
    pub(super) fn of_one_user(name: &str, password: PasswordHash, for_everybody: Option<Rights>) -> Self {
        let user = UserRecord { password: Some(password), ..UserRecord::default() };
        let file = Self { users: BTreeMap::from([(Arc::from(name), user)]), rules: Vec::new() };
        file.with_what_goes_without_saying(for_everybody).expect("without rules none contradicts it")
    }

    /// Without any rule in the file whoever signs in may do everything.
    fn with_what_goes_without_saying(mut self, for_everybody: Option<Rights>) -> Result<Self, (Option<usize>, String)> {
        let top = RulePath::top();
        let of_everybody = self.rules.iter().find(|rule| rule.path == top && rule.who == Who::Everybody);
        if let (Some(rule), Some(_)) = (of_everybody, for_everybody) {
            let why = "--anonymous says already what everybody may do at the top of the share";
            return Err((rule.line, why.to_owned()));
        }
        if self.rules.is_empty() {
            self.rules.push(Rule { path: top.clone(), who: Who::SignedIn, rights: Rights::all(), line: None });
        }
        if let Some(rights) = for_everybody {
            self.rules.push(Rule { path: top, who: Who::Everybody, rights, line: None });
        }
        Ok(self)
    }

    /// Reads the text of a file. An error says at which byte.
    fn parse(text: &str) -> Result<Self, (usize, String)> {
        let tables: Tables = toml::from_str(text)
            .map_err(|error| (error.span().map_or(0, |span| span.start), error.message().to_owned()))?;
        only_known_tables(text)?;
        let mut users = BTreeMap::new();
        let mut folded_names = HashSet::new();
        for (name, table) in tables.users {
            let at = name.span().start;
            let name = user_name(name.get_ref()).map_err(|why| (at, why))?;
            let folded = Name::new(name.as_bytes()).map(|name| name.folded(<[u8]>::to_vec));
            if !folded_names.insert(folded.unwrap_or_default()) {
                return Err((at, format!("there is another user whose name some file system takes for '{name}'")));
            }
            users.insert(name, table.checked().map_err(|(place, why)| (place.unwrap_or(at), why))?);
        }
        let mut rules = Vec::new();
        let mut said = HashSet::new();
        for table in tables.rules {
            let line = line_of(text, table.span().start);
            let (at, path) = (table.get_ref().path.span().start, table.get_ref().path.get_ref().clone());
            let rule = table.into_inner().checked(line, &users)?;
            if !said.insert((rule.path.clone(), rule.who.clone())) {
                return Err((at, format!("there is another rule for {} at {path}", rule.who)));
            }
            rules.push(rule);
        }
        Ok(Self { users, rules })
    }

    /// Whether any rule is written in the file.
    pub fn has_rules(&self) -> bool {
        self.rules.iter().any(|rule| rule.line.is_some())
    }

    fn holds_secrets(&self) -> bool {
        let has_secret =
            |user: &UserRecord| user.password.is_some() || user.digest.is_some() || !user.tokens.is_empty();
        self.users.values().any(has_secret)
    }
}

impl UserTable {
    fn checked(self) -> Result<UserRecord, (Option<usize>, String)> {
        let password = match self.password {
            None => None,
            Some(text) => {
                Some(PasswordHash::parse(text.get_ref()).map_err(|why| (Some(text.span().start), why.to_owned()))?)
            }
        };
        let is_hex = |text: &str, digits: usize| {
            text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let digest = match (self.digest_sha256, self.digest_md5) {
            (None, None) => None,
            (Some(sha256), Some(md5)) if is_hex(&sha256, 64) && is_hex(&md5, 32) => {
                Some(DigestHashes { sha256: sha256.into(), md5: md5.into() })
            }
            _ => {
                let why = "digest_sha256 and digest_md5 go together, as 'noclobber user password --digest' writes them";
                return Err((None, why.to_owned()));
            }
        };
        if let Some(token) = self.tokens.iter().find(|token| !is_hex(&token.hash, 64)) {
            return Err((None, format!("the hash of the token '{}' is not one", token.name.escape_default())));
        }
        let groups = self.groups.iter().map(|group| Arc::from(group.as_str())).collect();
        let added = self.added.map(|time| time.to_string().into());
        Ok(UserRecord { password, added, groups, digest, tokens: self.tokens })
    }
}

impl RuleTable {
    fn checked(self, line: usize, users: &BTreeMap<Arc<str>, UserRecord>) -> Result<Rule, (usize, String)> {
        let at = |spanned: std::ops::Range<usize>| spanned.start;
        let path = RulePath::from_str(self.path.get_ref()).map_err(|why| (at(self.path.span()), why.to_string()))?;
        let who = Who::from_str(self.who.get_ref()).map_err(|why| (at(self.who.span()), why))?;
        match &who {
            Who::User(user) if !users.contains_key(user) => {
                return Err((at(self.who.span()), format!("there is no user '{}'", user.escape_default())));
            }
            Who::Group(group) if !users.values().any(|user| user.groups.contains(group)) => {
                return Err((at(self.who.span()), format!("nobody is in a group '{}'", group.escape_default())));
            }
            _ => {}
        }
        let place = at(self.may.span());
        let words = match self.may.into_inner() {
            May::One(word) => vec![word],
            May::Several(words) => words,
        };
        let mut rights = Rights::empty();
        for word in &words {
            rights |= word.parse().map_err(|why: crate::model::rights::UnknownRight| (place, why.to_string()))?;
        }
        Ok(Rule { path, who, rights, line: Some(line) })
    }
}

/// The name of a user, composed: letters, digits and a few signs, so that it is the same in a header, in a path and on a command line.
///
/// # Errors
/// Why it cannot be one.
pub fn user_name(text: &str) -> Result<Arc<str>, String> {
    let name: String = text.nfc().collect();
    let is_fit = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '@' | '+');
    let begins_well = name.chars().next().is_some_and(char::is_alphanumeric);
    if begins_well && name.len() <= NAME_BYTES_MAX && name.chars().all(is_fit) && !name.ends_with('.') {
        return Ok(name.into());
    }
    Err(format!(
        "'{}' cannot be the name of a user: it begins with a letter or a digit, and has letters, digits and . _ - @ + up to {NAME_BYTES_MAX} bytes",
        text.escape_default()
    ))
}

/// Settings are never tables, and a table whose name is misspelt must not count as left out.
fn only_known_tables(text: &str) -> Result<(), (usize, String)> {
    let keys: BTreeMap<Spanned<String>, toml::Value> = toml::from_str(text).unwrap_or_default();
    let is_table = |value: &toml::Value| {
        value.is_table() || value.as_array().is_some_and(|items| items.iter().any(toml::Value::is_table))
    };
    let is_unknown =
        |(key, value): &(&Spanned<String>, &toml::Value)| is_table(value) && !TABLES.contains(&key.get_ref().as_str());
    match keys.iter().find(is_unknown) {
        Some((key, _)) => {
            let name = key.get_ref().escape_default();
            Err((key.span().start, format!("'{name}' is no table of such a file: those are users and rules")))
        }
        None => Ok(()),
    }
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count()
}
