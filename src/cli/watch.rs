//! `noclobber watch`: what changes in a share, for scripts, one line a change. With a URL a server is asked; with a folder the folder is looked at,
//! whether a server has it or not.
//!
//! The exit code: 0 stopped on request, or nobody reads any more; 1 the server cannot be reached, or says no; 2 bad usage; 3 what happened since
//! the place of `--since` cannot be told.

mod folder;
mod lines;
mod server;

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::CommandFactory as _;
use clap::error::ErrorKind;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::args::Cli;
use super::password::Password;
use super::usage_error::UsageError;
use crate::client::{Address, Route, Trust};
use crate::log::escaped;
use crate::model::cursor::Cursor;
use crate::os::process::{leave_no_core, wait_until_nobody_reads};

use lines::Lines;
use server::Followed;

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
    pub cacert: Option<std::path::PathBuf>,
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

/// Why it ends before somebody wants it to.
#[derive(Debug)]
enum Halt {
    /// What happened since the place that was given cannot be told.
    LostPlace(String),
    /// Anything else.
    Fault(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Halt {
    fn from(fault: E) -> Self {
        Self::Fault(fault.into())
    }
}

impl ChangesToWatch {
    /// The URL, if it is one.
    fn url(&self) -> Option<&str> {
        self.place.to_str().filter(|place| place.contains("://"))
    }

    /// Sees to it that a folder comes without what is for servers.
    pub(super) fn check(&self) -> Result<(), UsageError> {
        let is_for_server = self.since.is_some() || self.user.is_some() || self.cacert.is_some() || self.insecure;
        if self.url().is_some() || !is_for_server {
            return Ok(());
        }
        let text = "--since, --user, --cacert and --insecure are for servers: a folder is told of from now on";
        Err(Cli::command().error(ErrorKind::ArgumentConflict, text).into())
    }
}

/// Prints what changes until that is not wanted any more.
pub fn watch(which: &ChangesToWatch, secrets: Secrets) -> ExitCode {
    leave_no_core();
    let stop = Arc::new(AtomicBool::new(false));
    match print(which, secrets, &stop) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) if stop.load(Ordering::SeqCst) => ExitCode::SUCCESS,
        Err(Halt::LostPlace(why)) => {
            eprintln!("noclobber: --since: {}", escaped(&why));
            ExitCode::from(3)
        }
        Err(Halt::Fault(fault)) if is_nobody_reading(&fault) => ExitCode::SUCCESS,
        Err(Halt::Fault(fault)) => {
            eprintln!("noclobber: {}", escaped(&format!("{fault:#}")));
            ExitCode::FAILURE
        }
    }
}

fn print(which: &ChangesToWatch, secrets: Secrets, stop: &Arc<AtomicBool>) -> Result<(), Halt> {
    for signal in [SIGINT, SIGTERM] {
        // The second time it ends at once.
        flag::register_conditional_shutdown(signal, 1, Arc::clone(stop))?;
        flag::register(signal, Arc::clone(stop))?;
    }
    let mut lines = Lines::new(which.json);
    let Some(url) = which.url() else {
        stop_when_nobody_reads(stop);
        return folder::watch(Path::new(&which.place), stop, &mut lines);
    };
    let server = followed(url, which, secrets, stop)?;
    stop_when_nobody_reads(stop);
    server.follow(which.since, &mut lines)
}

/// Where nothing changes nothing is written, and so it would not show that nobody reads it.
fn stop_when_nobody_reads(stop: &Arc<AtomicBool>) {
    let stop = Arc::clone(stop);
    thread::spawn(move || {
        wait_until_nobody_reads();
        stop.store(true, Ordering::SeqCst);
    });
}

fn is_nobody_reading(fault: &anyhow::Error) -> bool {
    fault.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// The server that a URL names, and the way to it.
fn followed(url: &str, which: &ChangesToWatch, secrets: Secrets, stop: &Arc<AtomicBool>) -> anyhow::Result<Followed> {
    let (url, link) = match url.split_once("?link=") {
        Some((url, link)) => (url, Some(link)),
        None => (url, None),
    };
    if link.is_some_and(|link| !link.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))) {
        anyhow::bail!("what stands behind ?link= is not the secret of a link");
    }
    let address: Address = url.parse().map_err(anyhow::Error::msg)?;
    let trust = Trust { authorities: which.cacert.clone(), is_anybody: which.insecure };
    let tls = if address.is_secure { Some(trust.config()?) } else { None };
    if trust.is_anybody && address.is_secure {
        eprintln!(
            "noclobber: --insecure: the certificate is not looked at, so anybody in between may answer and read the password"
        );
    }
    let credentials = credentials(which.user.clone().or_else(|| address.user.clone()), secrets)?;
    let stop = Arc::clone(stop);
    let route = Route { address, program: "noclobber-watch", credentials, tls, patience: server::PATIENCE, stop };
    Ok(Followed::new(route, link.map(str::to_owned)))
}

/// The value of `Authorization`.
fn credentials(user: Option<String>, secrets: Secrets) -> anyhow::Result<Option<String>> {
    match user {
        Some(user) if user.contains(':') => anyhow::bail!("the name of a user has no colon"),
        Some(user) => {
            let password = secrets.password.map_or_else(|| Password::asked(&user), Ok)?.reveal();
            Ok(Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))))
        }
        None => {
            let token = secrets.token.map(Password::reveal);
            if token.as_ref().is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic())) {
                anyhow::bail!("what is in NOCLOBBER_TOKEN is not a token");
            }
            Ok(token.map(|token| format!("Bearer {token}")))
        }
    }
}

fn cursor(text: &str) -> Result<Cursor, &'static str> {
    Cursor::parse(text).ok_or("a cursor is wanted, just as --json or ?changes told it")
}
