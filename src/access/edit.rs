//! Changes of the file of users and rules: under a lock, so that two changes never undo each other, and with all that else is written in it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use data_encoding::HEXLOWER;
use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, value};

use super::file::{AccessFile, user_name};
use super::password::PasswordHash;
use crate::os::locked_file::LockedFile;

/// A file of users and rules, held for a change.
#[derive(Debug)]
pub struct AccessEdit {
    path: PathBuf,
    file: LockedFile,
    document: DocumentMut,
}

/// What Digest is checked by, as it is written in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDigest {
    /// By SHA-256.
    pub sha256: String,
    /// By MD5.
    pub md5: String,
}

impl AccessEdit {
    /// Opens a file for a change, and makes it if it is missing. Waits for others who change it.
    ///
    /// # Errors
    /// Where it cannot be read or written, or is no TOML.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let mut file =
            LockedFile::open(path).with_context(|| format!("cannot open {} for a change", path.display()))?;
        let text = file.text().with_context(|| format!("cannot read {}", path.display()))?;
        let document = text.parse().with_context(|| format!("{} is no TOML", path.display()))?;
        Ok(Self { path: path.to_owned(), file, document })
    }

    /// Adds a user.
    ///
    /// # Errors
    /// Where there is one of that name, or it cannot be one.
    pub fn add(
        &mut self,
        name: &str,
        password: &PasswordHash,
        digest: Option<&NewDigest>,
        groups: &[String],
    ) -> anyhow::Result<()> {
        let name = checked(name)?;
        if self.user(&name).is_some() {
            bail!("there is a user '{name}' already");
        }
        let mut user = Table::new();
        user["added"] = value(now()?);
        if !groups.is_empty() {
            user["groups"] = value(groups.iter().collect::<Array>());
        }
        set_password(&mut user, password, digest);
        let users = self.document.entry("users").or_insert_with(|| {
            let mut users = Table::new();
            users.set_implicit(true);
            Item::Table(users)
        });
        let users = users.as_table_mut().context("'users' is no table")?;
        users.insert(&name, Item::Table(user));
        Ok(())
    }

    /// Removes a user, and the rules that are for that user alone.
    ///
    /// # Errors
    /// Where there is none of that name.
    pub fn remove(&mut self, name: &str) -> anyhow::Result<()> {
        let name = checked(name)?;
        let users = self.document.get_mut("users").and_then(Item::as_table_like_mut);
        let Some(removed) = users.and_then(|users| users.remove(&name)) else { bail!("there is no user '{name}'") };
        if let Item::Table(removed) = removed {
            self.keep_comment(&removed);
        }
        let own = format!("user:{name}");
        if let Some(rules) = self.document.get_mut("rules").and_then(Item::as_array_of_tables_mut) {
            rules.retain(|rule| rule.get("who").and_then(Item::as_str) != Some(&own));
        }
        Ok(())
    }

    /// Gives a user another password.
    ///
    /// # Errors
    /// Where there is none of that name.
    pub fn set_password(
        &mut self,
        name: &str,
        password: &PasswordHash,
        digest: Option<&NewDigest>,
    ) -> anyhow::Result<()> {
        set_password(self.existing(name)?, password, digest);
        Ok(())
    }

    /// Gives a user a bearer token, of which only the hash is kept.
    ///
    /// # Errors
    /// Where there is no such user, or a token that is called so.
    pub fn add_token(&mut self, name: &str, called: &str, token: &str) -> anyhow::Result<()> {
        let user = self.existing(name)?;
        let tokens = user.entry("tokens").or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
        let tokens = tokens.as_array_of_tables_mut().context("'tokens' is no list of tables")?;
        if tokens.iter().any(|token| is_called(token, called)) {
            bail!("there is a token called '{called}' already");
        }
        let mut entry = Table::new();
        entry["name"] = value(called);
        entry["hash"] = value(HEXLOWER.encode(blake3::hash(token.as_bytes()).as_bytes()));
        tokens.push(entry);
        Ok(())
    }

    /// Takes a bearer token from a user.
    ///
    /// # Errors
    /// Where there is no such user or token.
    pub fn remove_token(&mut self, name: &str, called: &str) -> anyhow::Result<()> {
        let tokens = self.existing(name)?.get_mut("tokens").and_then(Item::as_array_of_tables_mut);
        let Some(tokens) = tokens else { bail!("there is no token called '{called}'") };
        let before = tokens.len();
        tokens.retain(|token| !is_called(token, called));
        if tokens.len() == before {
            bail!("there is no token called '{called}'");
        }
        Ok(())
    }

    /// Puts the changed file in the place of the old one: whole, on the disk, and with the same owner and permissions.
    ///
    /// # Errors
    /// Where what it says cannot be used, or it cannot be written. Nothing has changed then.
    pub fn commit(self) -> anyhow::Result<()> {
        let check = |new: &Path| AccessFile::read(new, None).map(drop).map_err(|bad| anyhow::anyhow!("{}", bad.why));
        let replaced = self.file.replace(&self.document.to_string(), check);
        replaced.with_context(|| format!("cannot change {}: nothing was changed", self.path.display()))
    }

    /// What is written above a table that goes, which may be about more than that, stays: above the next one.
    fn keep_comment(&mut self, gone: &Table) {
        let comment = gone.decor().prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default().to_owned();
        if !comment.contains('#') {
            return;
        }
        let behind = |table: &&mut Table| table.position() > gone.position();
        let (mut users, mut rules) = (None, None);
        for (key, item) in self.document.iter_mut() {
            match (key.get(), item) {
                ("users", Item::Table(table)) => users = Some(table),
                ("rules", Item::ArrayOfTables(tables)) => rules = Some(tables),
                _ => {}
            }
        }
        let users = users.into_iter().flat_map(|users| users.iter_mut()).filter_map(|(_, user)| user.as_table_mut());
        let rules = rules.into_iter().flat_map(|rules| rules.iter_mut());
        match users.chain(rules).filter(behind).min_by_key(|table| table.position()) {
            Some(next) => {
                let own = next.decor().prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default();
                let both = format!("{}{own}", comment.trim_start_matches('\n'));
                next.decor_mut().set_prefix(both);
            }
            None => {
                let both = format!("{}{comment}", self.document.trailing().as_str().unwrap_or_default());
                self.document.set_trailing(both);
            }
        }
    }

    fn user(&mut self, name: &str) -> Option<&mut Table> {
        self.document.get_mut("users")?.as_table_mut()?.get_mut(name)?.as_table_mut()
    }

    fn existing(&mut self, name: &str) -> anyhow::Result<&mut Table> {
        let name = checked(name)?;
        self.user(&name).with_context(|| format!("there is no user '{name}'"))
    }
}

fn checked(name: &str) -> anyhow::Result<Arc<str>> {
    user_name(name).map_err(anyhow::Error::msg)
}

fn is_called(token: &Table, called: &str) -> bool {
    token.get("name").and_then(Item::as_str) == Some(called)
}

fn set_password(user: &mut Table, password: &PasswordHash, digest: Option<&NewDigest>) {
    user["password"] = value(password.as_str());
    match digest {
        Some(NewDigest { sha256, md5 }) => {
            user["digest_sha256"] = value(sha256);
            user["digest_md5"] = value(md5);
        }
        None => {
            user.remove("digest_sha256");
            user.remove("digest_md5");
        }
    }
}

/// The time, to the second.
fn now() -> anyhow::Result<toml_edit::Datetime> {
    format!("{:.0}", jiff::Timestamp::now()).parse().context("the clock shows no time that TOML knows")
}
