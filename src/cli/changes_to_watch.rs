//! What `noclobber watch` is told: the folder, from when on, and how a server is to be asked.

use std::ffi::OsString;
use std::path::PathBuf;

use super::password::Password;
use crate::model::cursor::Cursor;

/// What to watch.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(after_help = "\
Each line has the time, the kind of the change and the path, with tabs between them, and for what was moved the path from which it came:

  2026-03-01T09:30:00.120Z  replaced  /plans/budget.ods
  2026-03-01T09:30:04.031Z  moved     /plans/old/  /plans/2025/

The kinds: created, replaced, moved, deleted, restored, conflict-copy, properties, lock, uncertain (what is below the path may have changed and cannot
be told one by one), and look-again (something may have happened that cannot be told; why stands behind the path). The path of a folder
ends with a slash. Characters that would break or forge a line are escaped, like \\n or \\u{1b}, and a backslash is doubled.

With --json each line is an object, as ?changes tells it. Of a server an object with a cursor stands behind the changes: it is where --since
goes on.

Exit codes: 0 stopped on request, or nobody reads any more; 1 fault; 2 bad usage; 3 what happened since the place of --since cannot be told.")]
pub struct ChangesToWatch {
    #[allow(rustdoc::bare_urls, reason = "it is what the help says")]
    /// The folder on a server, like https://files.example.org/team/, or a folder on this machine. The URL may name a user (https://ada@…),
    /// never a password, and may be a link (…/?link=SECRET). A folder is looked at without a server, and who made a change is not told
    #[arg(value_name = "URL|FOLDER")]
    pub place: OsString,
    /// Begin with what has happened since then: a cursor, as --json and ?changes tell them [default: with what happens from now on]
    #[arg(long, value_name = "CURSOR", value_parser = cursor)]
    pub since: Option<Cursor>,
    /// Print JSON, one object a line
    #[arg(long)]
    pub json: bool,
    /// Who asks. The password is asked for, or read from standard input if that is no terminal, or taken from NOCLOBBER_PASSWORD. Without a
    /// user the token in NOCLOBBER_TOKEN says who asks, if there is one
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Trust the authorities in this file of PEM certificates, and not those of the machine
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub cacert: Option<PathBuf>,
    /// Take whatever certificate the server has; whoever stands between can then read the password
    #[arg(long)]
    pub insecure: bool,
}

/// What the variables say to prove who asks.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// The password of the user.
    pub password: Option<Password>,
    /// A token, which says by itself who asks.
    pub token: Option<Password>,
}

impl ChangesToWatch {
    /// The URL, if it is one.
    pub(super) fn url(&self) -> Option<&str> {
        self.place.to_str().filter(|place| place.contains("://"))
    }

    /// Whether it says what only a server can be told, and names none.
    pub(super) fn lacks_a_server(&self) -> bool {
        let is_for_server = self.since.is_some() || self.user.is_some() || self.cacert.is_some() || self.insecure;
        self.url().is_none() && is_for_server
    }
}

fn cursor(text: &str) -> Result<Cursor, &'static str> {
    Cursor::parse(text).ok_or("a cursor is wanted, just as --json or ?changes told it")
}
