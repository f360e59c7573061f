//! `noclobber link`: links to files and folders of a share, made, listed and revoked by whoever runs the server.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::share_path::{on_disk, share_path};
use super::user::new_password;
use crate::access::Principal;
use crate::access::file::{AccessFile, user_name};
use crate::access::link::{Life, Link, LinkMay, LinkOwner, NewLink, Place};
use crate::access::link_file::{LinkFile, read_links};
use crate::config::{Anonymous, Config};
use crate::log::escaped;
use crate::model::rules::{Member, grants};
use crate::server::become_user;
use crate::server::startup_lines::say;
use crate::server::state::links_file_of_server;

/// What is to be done with links.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct LinkTask {
    /// Something else than to make one.
    #[command(subcommand)]
    pub other: Option<OtherLinkTask>,
    /// The file or folder inside the share that the link leads to
    #[arg(value_name = "PATH", required = true)]
    pub path: Option<PathBuf>,
    /// What the link lets do
    #[arg(long, value_enum, value_name = "MAY", default_value = "read")]
    pub may: LinkMay,
    /// How long it is good, like 30m, 12h, 7d or 4w, or never to end by itself
    #[arg(long, value_name = "TIME", default_value = "7d")]
    pub expires: Life,
    /// How often somebody can come by it [default: any number of times]
    #[arg(long, value_name = "N")]
    pub uses: Option<NonZeroU32>,
    /// Have it take a password, too, which is read from the terminal or standard input
    #[arg(long)]
    pub password: bool,
    /// Whose it is: what this user may not do any more, the link does not let do [default: nobody's, so that only revoking it ends it]
    #[arg(long = "as", value_name = "USER")]
    pub owner: Option<String>,
    #[allow(rustdoc::bare_urls, reason = "it is what the help says")]
    /// The address at which the share is reached, to print the link whole, like https://files.example.org/
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// The share.
    #[command(flatten)]
    pub of: ShareOfLinks,
}

/// What else is to be done with links.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum OtherLinkTask {
    /// List the links; their secrets are shown only when they are made
    List {
        /// The share.
        #[command(flatten)]
        of: ShareOfLinks,
    },
    /// Take a link away; it is good for nothing from the next request on
    Revoke {
        /// The link, as 'noclobber link list' shows it
        #[arg(value_name = "ID")]
        id: String,
        /// The share.
        #[command(flatten)]
        of: ShareOfLinks,
    },
}

/// The share whose links they are.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct ShareOfLinks {
    /// The folder that is shared [default: the one in the settings of the server, else the current one]
    #[arg(long, value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// The file of settings, if the server was started with --config; the variables of the server count, too
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the server keeps the index, if it was started with --state
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// The file of users and rules, if the server was started with --users
    #[arg(long, value_name = "FILE")]
    pub users: Option<PathBuf>,
}

impl LinkTask {
    /// The share that it is about.
    pub fn of(&self) -> &ShareOfLinks {
        match &self.other {
            None => &self.of,
            Some(OtherLinkTask::List { of } | OtherLinkTask::Revoke { of, .. }) => of,
        }
    }
}

/// Carries out a task on the links of a share that is served with these settings. A server that has the share heeds it from its next request on.
pub fn change_links(task: &LinkTask, config: &Config) -> anyhow::Result<()> {
    become_user(config)?;
    match &task.other {
        None => make(task, config),
        Some(OtherLinkTask::List { .. }) => list(config),
        Some(OtherLinkTask::Revoke { id, .. }) => revoke(id, config),
    }
}

fn make(task: &LinkTask, config: &Config) -> anyhow::Result<()> {
    let place = place(task, config)?;
    if task.may == LinkMay::Drop && !place.is_folder {
        bail!("a link that files are dropped by leads to a folder, and {} is none", place_in_words(&place));
    }
    let owner = task.owner.as_deref().map(|owner| user_who_may(owner, task.may, &place, config)).transpose()?;
    let password = if task.password { Some(new_password()?.1) } else { None };
    let (may, life, uses) = (task.may, task.expires, task.uses.map(NonZeroU32::get));
    let mut file = LinkFile::open(&links_file_of_server(config)?)?;
    let (secret, link) = file.add(NewLink { place, may, owner, life, uses, password }, Timestamp::now())?;
    file.commit()?;
    let path = format!("{}?link={secret}", String::from(link.place.clone()));
    match &task.url {
        Some(url) => say(&format!("{}{path}", url.trim_end_matches('/'))),
        None => say(&format!("{}{path}", config.base_path)),
    }
    eprintln!("{}", in_words(&link));
    if task.url.is_none() {
        eprintln!(
            "In front of it stands the address of the server, like https://files.example.org; --url has it printed whole."
        );
    }
    Ok(())
}

fn list(config: &Config) -> anyhow::Result<()> {
    let links = read_links(&links_file_of_server(config)?)?;
    if links.is_empty() {
        say("There are no links.");
    }
    for link in links {
        say(&in_words(&link));
    }
    Ok(())
}

fn revoke(id: &str, config: &Config) -> anyhow::Result<()> {
    let mut file = LinkFile::open(&links_file_of_server(config)?)?;
    file.revoke(id, None)?;
    file.commit()?;
    say(&format!("The link {} is good for nothing any more.", escaped(id)));
    Ok(())
}

fn place(task: &LinkTask, config: &Config) -> anyhow::Result<Place> {
    let path = share_path(&config.folder, task.path.as_deref())?;
    let there = on_disk(&config.folder, &path);
    let found =
        std::fs::symlink_metadata(&there).with_context(|| format!("{} cannot be linked to", there.display()))?;
    let place = Place::new(path, found.is_dir());
    if found.is_symlink() || !place.can_be_linked_to() {
        bail!(
            "no link can lead to {}: it is a symbolic link, or a name that some file system takes for none",
            there.display()
        );
    }
    Ok(place)
}

/// A user of the server who may do what the link is to let do.
fn user_who_may(name: &str, may: LinkMay, place: &Place, config: &Config) -> anyhow::Result<LinkOwner> {
    let name = user_name(name).map_err(anyhow::Error::msg)?;
    let file = config.users.as_ref().context("--as takes the file of users: --users names it, or --config")?;
    let AccessFile { users, rules } = AccessFile::read(file, config.anonymous.map(Anonymous::rights))?;
    let user = users.get(&name).with_context(|| format!("there is no user '{name}'"))?;
    let principal = Principal::Named(Arc::clone(&name));
    let given = grants(&rules, Member { principal: &principal, groups: &user.groups });
    if !given.at(&place.path).contains(may.rights()) {
        bail!("'{name}' may not do that there, and so nobody may by a link of that user; 'noclobber rules' says why");
    }
    Ok(LinkOwner { added: user.added.clone(), name })
}

fn place_in_words(place: &Place) -> String {
    escaped(&place.path.to_text()).to_string()
}

/// One line.
fn in_words(link: &Link) -> String {
    let now = Timestamp::now();
    let mut line = format!("{}  {}  {}", link.id, link.may.word(), place_in_words(&link.place));
    line += &link.owner.as_ref().map_or_else(String::new, |owner| format!("  as {owner}"));
    line += &match link.until {
        Some(until) if !link.is_good_at(now) => format!("  over since {until:.0}"),
        Some(until) => format!("  until {until:.0}"),
        None => "  without end".to_owned(),
    };
    line += &link.uses_left.map_or_else(String::new, |left| format!("  {left} times more"));
    if link.password.is_some() {
        line += "  with a password";
    }
    line
}
