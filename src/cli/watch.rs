//! `noclobber watch`: what changes in a share, for scripts, one line a change. With a URL a server is asked; with a folder the folder is looked at,
//! whether a server has it or not.
//!
//! The exit code: 0 stopped on request, or nobody reads any more; 1 the server cannot be reached, or says no; 2 bad usage; 3 what happened since
//! the place of `--since` cannot be told.

mod folder;
mod halt;
mod lines;
mod server;

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::changes_to_watch::{ChangesToWatch, Secrets};
use super::password::Password;
use crate::client::{Address, Route, Trust};
use crate::log::escaped;
use crate::os::process::{leave_no_core, wait_until_nobody_reads};

use halt::Halt;
use lines::Lines;
use server::Followed;

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
