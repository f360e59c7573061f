//! `noclobber rules`: what somebody may do at a path, and which line says so.

use std::sync::Arc;

use anyhow::{Context as _, bail};

use super::user::UsersFile;
use crate::access::Principal;
use crate::access::file::{AccessFile, user_name};
use crate::model::path::SharePath;
use crate::model::rules::{Member, deciding, grants};
use crate::server::startup_lines::say;

/// What is asked about the rules.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct AskRules {
    /// The path inside the share, beginning with a slash
    #[arg(value_name = "PATH")]
    pub path: String,
    /// For whom [default: everybody who has not signed in]
    #[arg(long = "as", value_name = "USER")]
    pub user: Option<String>,
    /// The file.
    #[command(flatten)]
    pub file: UsersFile,
}

/// Prints what holds at a path.
pub fn show_rules(asked: &AskRules) -> anyhow::Result<()> {
    let AccessFile { users, rules } = AccessFile::read(&asked.file.users, None)?;
    let inside =
        asked.path.strip_prefix('/').context("the path begins with a slash, which is the folder that is shared")?;
    let path = SharePath::parse_disk(inside.strip_suffix('/').unwrap_or(inside).as_bytes())?;
    let (principal, groups): (_, &[Arc<str>]) = match &asked.user {
        None => (Principal::Anonymous, &[]),
        Some(name) => {
            let name = user_name(name).map_err(anyhow::Error::msg)?;
            let Some((name, user)) = users.get_key_value(&name) else { bail!("there is no user '{name}'") };
            (Principal::Named(Arc::clone(name)), &user.groups)
        }
    };
    let member = Member { principal: &principal, groups };
    say(&grants(&rules, member).at(&path).words().join(", "));
    let deciding = deciding(&rules, member, &path);
    if deciding.is_empty() {
        say("No rule speaks of it.");
    }
    for rule in deciding {
        let place = match rule.line {
            Some(line) => format!("{}:{line}", asked.file.users.display()),
            None => "without any rule".to_owned(),
        };
        say(&format!("{place}: {} may {} at {}", rule.who, rule.rights.words().join(", "), rule.path));
    }
    Ok(())
}
