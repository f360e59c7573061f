//! `noclobber doctor`: what the words say, where the password comes from, and the exit code (0 nothing fails, 1 something does, 2 bad usage,
//! or the server cannot be reached).

use std::ffi::OsString;
use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::args::Examine;
use crate::doctor::address::Address;
use crate::doctor::report::{Report, Table};
use crate::doctor::{Patient, Trust, examine};
use crate::log::escaped;
use crate::os::process::leave_no_core;

/// The variable that may hold the password.
const PASSWORD: &str = "NOCLOBBER_PASSWORD";

/// A password, which nothing shows.
#[derive(Clone)]
pub struct Password(String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// Examines a server and prints what was found.
pub fn doctor(which: &Examine, password: Option<Password>) -> ExitCode {
    leave_no_core();
    match print(which, password) {
        Ok(report) => ExitCode::from(u8::from(!report.is_well())),
        Err(error) => {
            eprintln!("noclobber: {}", escaped(&format!("{error:#}")));
            ExitCode::from(2)
        }
    }
}

fn print(which: &Examine, password: Option<Password>) -> anyhow::Result<Report> {
    let patient = patient(which, password)?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The second time it ends at once; the first time the scratch folder is removed before.
        flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))?;
        flag::register(signal, Arc::clone(&stop))?;
    }
    if patient.trust.is_anybody && patient.address.is_secure {
        eprintln!(
            "noclobber: --insecure: the certificate is not looked at, so anybody in between may answer and read the password"
        );
    }
    if which.json {
        let report = examine(&patient, stop, &mut |_| {})?;
        say(&report.json()?);
        return Ok(report);
    }
    say(&format!("{}, tried in a folder of its own", patient.address.url(&patient.address.path)));
    let mut table = Table::default();
    let report = examine(&patient, stop, &mut |line| say(&table.row(line)))?;
    say(&report.summary());
    Ok(report)
}

fn patient(which: &Examine, password: Option<Password>) -> anyhow::Result<Patient> {
    let address: Address = which.url.parse().map_err(anyhow::Error::msg)?;
    let user = which.user.clone().or_else(|| address.user.clone());
    let credentials = match user {
        Some(user) if user.contains(':') => anyhow::bail!("the name of a user has no colon"),
        Some(user) => Some((user.clone(), password.map_or_else(|| ask(&user), |given| Ok(given.0))?)),
        None => None,
    };
    let trust = Trust { authorities: which.cacert.clone(), is_anybody: which.insecure };
    Ok(Patient { address, credentials, trust, large: which.large, is_quick: which.quick })
}

/// The password of the variable, for whoever reads the variables.
pub(super) fn password_in(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Option<Password> {
    let found = variables.into_iter().find(|(name, _)| name == PASSWORD);
    found.and_then(|(_, value)| value.into_string().ok()).filter(|value| !value.is_empty()).map(Password)
}

/// Asks at the terminal, or takes the first line of standard input.
fn ask(user: &str) -> io::Result<String> {
    if io::stdin().is_terminal() {
        return rpassword::prompt_password(format!("Password of {}: ", escaped(user)));
    }
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// A reader that has gone away has seen enough; the scratch folder is removed nevertheless.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}
