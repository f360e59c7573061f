//! `noclobber doctor`: what the words say, where the password comes from, and the exit code (0 nothing fails, 1 something does, 2 bad usage,
//! or the server cannot be reached).

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::args::Examine;
use super::password::Password;
use crate::client::{Address, Trust};
use crate::doctor::report::{Report, Table};
use crate::doctor::{Patient, examine};
use crate::log::escaped;
use crate::os::process::leave_no_core;

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
        Some(user) => Some((user.clone(), password.map_or_else(|| Password::asked(&user), Ok)?.reveal())),
        None => None,
    };
    let trust = Trust { authorities: which.cacert.clone(), is_anybody: which.insecure };
    Ok(Patient { address, credentials, trust, large: which.large, is_quick: which.quick })
}

/// A reader that has gone away has seen enough; the scratch folder is removed nevertheless.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}
