//! `noclobber user`: the users of a file, and their passwords and tokens. Passwords come from the terminal or from standard input, never from the
//! command line, which everybody on the machine can read.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use data_encoding::BASE64URL_NOPAD;

use crate::access::digest::hashes_of;
use crate::access::edit::{AccessEdit, NewDigest};
use crate::access::file::{AccessFile, user_name};
use crate::access::password::{PASSWORD_BYTES_MAX, PasswordHash, may_be_a_password};
use crate::log::escaped;
use crate::os::process::leave_no_core;
use crate::os::random;
use crate::server::startup_lines::say;

/// The file of users and rules.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct UsersFile {
    /// The file of users and rules; that of the server's --users, or of its --config
    #[arg(long, visible_alias = "config", value_name = "FILE", env = "NOCLOBBER_USERS", hide_env_values = true)]
    pub users: PathBuf,
}

/// What is to be done with the users.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum UserTask {
    /// Add a user, who signs in with a password
    Add {
        /// The name: letters, digits and . _ - @ +
        name: String,
        /// A group that the user is in; may be given more than once
        #[arg(long = "group", value_name = "GROUP")]
        groups: Vec<String>,
        /// Let the user sign in by Digest, too: what is kept for that is as good as the password
        #[arg(long)]
        digest: bool,
        /// The file.
        #[command(flatten)]
        file: UsersFile,
    },
    /// List the users
    List {
        /// The file.
        #[command(flatten)]
        file: UsersFile,
    },
    /// Remove a user, and the rules that are for this user alone
    Remove {
        /// The name
        name: String,
        /// The file.
        #[command(flatten)]
        file: UsersFile,
    },
    /// Give a user another password
    Password {
        /// The name
        name: String,
        /// Let the user sign in by Digest, too: what is kept for that is as good as the password
        #[arg(long)]
        digest: bool,
        /// The file.
        #[command(flatten)]
        file: UsersFile,
    },
    /// Make a bearer token for a user, and print it: it is not shown again
    Token {
        /// The name of the user
        name: String,
        /// What the token is for
        called: String,
        /// The file.
        #[command(flatten)]
        file: UsersFile,
    },
    /// Take a bearer token from a user
    Revoke {
        /// The name of the user
        name: String,
        /// What the token is for
        called: String,
        /// The file.
        #[command(flatten)]
        file: UsersFile,
    },
}

/// Carries out a task. A server that has the file heeds it from its next request on.
pub fn change_users(task: &UserTask) -> anyhow::Result<()> {
    leave_no_core();
    match task {
        UserTask::Add { name, groups, digest, file } => {
            user_name(name).map_err(anyhow::Error::msg)?;
            let (password, digest) = password_of_user(name, *digest)?;
            change(&file.users, |edit| edit.add(name, &password, digest.as_ref(), groups))?;
            say(&format!("{} may come in.", escaped(name)));
        }
        UserTask::List { file } => list(&file.users)?,
        UserTask::Remove { name, file } => {
            change(&file.users, |edit| edit.remove(name))?;
            say(&format!("{} may not come in any more.", escaped(name)));
        }
        UserTask::Password { name, digest, file } => {
            let (password, digest) = password_of_user(name, *digest)?;
            change(&file.users, |edit| edit.set_password(name, &password, digest.as_ref()))?;
            say(&format!("{} has another password.", escaped(name)));
        }
        UserTask::Token { name, called, file } => {
            let token = format!("nc_{}", BASE64URL_NOPAD.encode(&[random::bytes(), random::bytes()].concat()));
            change(&file.users, |edit| edit.add_token(name, called, &token))?;
            say(&token);
        }
        UserTask::Revoke { name, called, file } => {
            change(&file.users, |edit| edit.remove_token(name, called))?;
            say(&format!("The token '{}' is good for nothing any more.", escaped(called)));
        }
    }
    Ok(())
}

fn change(path: &Path, change: impl FnOnce(&mut AccessEdit) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut edit = AccessEdit::open(path)?;
    change(&mut edit)?;
    edit.commit()
}

fn list(path: &Path) -> anyhow::Result<()> {
    for (name, user) in AccessFile::read(path, None)?.users {
        let mut line = name.to_string();
        if !user.groups.is_empty() {
            line += &format!("  in {}", user.groups.join(", "));
        }
        let tokens: Vec<&str> = user.tokens.iter().map(|token| token.name.as_str()).collect();
        for (has_it, word) in [
            (user.password.is_none(), "no password".to_owned()),
            (user.digest.is_some(), "Digest".to_owned()),
            (!tokens.is_empty(), format!("tokens: {}", tokens.join(", "))),
        ] {
            if has_it {
                line += &format!("  {word}");
            }
        }
        say(&escaped(&line).to_string());
    }
    Ok(())
}

fn password_of_user(name: &str, with_digest: bool) -> anyhow::Result<(PasswordHash, Option<NewDigest>)> {
    let (password, hash) = new_password()?;
    Ok((hash, with_digest.then(|| hashes_of(name, &password))))
}

/// Reads a password, from the terminal or from standard input; with its hash.
pub(super) fn new_password() -> anyhow::Result<(String, PasswordHash)> {
    let password = ask_for_password()?;
    if !may_be_a_password(&password) {
        bail!("a password has at least one letter, no control characters, and at most {PASSWORD_BYTES_MAX} bytes");
    }
    let hash = PasswordHash::of(&password).map_err(|error| anyhow::anyhow!("cannot hash the password: {error}"))?;
    Ok((password, hash))
}

/// Twice from a terminal, which does not show it; the first line of anything else.
fn ask_for_password() -> anyhow::Result<String> {
    if io::stdin().is_terminal() {
        let password = rpassword::prompt_password("Password: ").context("cannot read the password")?;
        if rpassword::prompt_password("The same again: ").context("cannot read the password")? != password {
            bail!("the two are not the same");
        }
        return Ok(password);
    }
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context("cannot read the password from standard input")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
