//! One examination from its beginning to its end: can the server be reached, the scratch folder, every check, and the folder is gone again.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::check::{Check, Group};
use super::checks;
use super::finding::{Finding, Outcome};
use super::report::{Line, Report};
use super::scratch;
use super::visit::Visit;
use crate::client::{Address, Answer, Request, Route, Trust};

/// How long nothing may come or go on a connection.
const PATIENCE: Duration = Duration::from_secs(30);

/// The server to be judged, and how it is reached.
#[derive(Clone)]
pub struct Patient {
    /// The folder in which the scratch folder is made.
    pub address: Address,
    /// The user and the password, if the server asks for them.
    pub credentials: Option<(String, String)>,
    /// Whom to trust where it is reached by TLS.
    pub trust: Trust,
    /// How large the large upload is, in bytes; 0: none.
    pub large: u64,
    /// Leaves out what takes long.
    pub is_quick: bool,
}

impl fmt::Debug for Patient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patient").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Why nothing could be examined.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unreachable(String);

/// Examines a server. Each line is told as soon as it is known; the report has them all.
///
/// Once `stop` is set no more is tried, and the scratch folder is removed.
///
/// # Errors
/// Where the server cannot be reached, or lets no scratch folder be made.
pub fn examine(patient: &Patient, stop: Arc<AtomicBool>, each: &mut dyn FnMut(&Line)) -> Result<Report, Unreachable> {
    let mut visit = arrive(patient, stop)?;
    let mut report = Report::of(&patient.address, patient.trust.is_anybody && patient.address.is_secure);
    let mut tell = |line: Line| {
        each(&line);
        report.lines.push(line);
    };
    for group in checks::GROUPS {
        for check in group.checks {
            if !visit.route.is_stopped() {
                tell(run(&mut visit, group, check));
            }
        }
    }
    let is_stopped = visit.route.is_stopped();
    tell(leave(&mut visit));
    report.is_stopped = is_stopped;
    Ok(report)
}

/// The first requests: they tell what stands against the whole visit.
fn arrive(patient: &Patient, stop: Arc<AtomicBool>) -> Result<Visit, Unreachable> {
    let encoded = patient.credentials.as_ref().map(|(user, password)| STANDARD.encode(format!("{user}:{password}")));
    let tls = match patient.address.is_secure {
        true => Some(patient.trust.config().map_err(|error| Unreachable(error.to_string()))?),
        false => None,
    };
    let route = Route {
        address: patient.address.clone(),
        program: "noclobber-doctor",
        credentials: encoded.as_ref().map(|encoded| format!("Basic {encoded}")),
        tls,
        patience: PATIENCE,
        stop,
    };
    let secrets = encoded.into_iter().chain(patient.credentials.iter().map(|(_, password)| password.clone()));
    let base = patient.address.path.clone();
    let mut visit = Visit::new(route, scratch::new_path(&base), secrets.collect());
    (visit.is_quick, visit.large) = (patient.is_quick, patient.large);
    let ask = |visit: &mut Visit, request: &Request| {
        visit.send(request).map_err(|finding| {
            let is_untrusted = finding.detail.contains("certificate");
            let hint = if is_untrusted { "; --cacert FILE says which certificates to trust" } else { "" };
            Unreachable(format!("{}: {}{hint}", visit.url(&request.path), finding.detail))
        })
    };
    let options = ask(&mut visit, &Request::new("OPTIONS", &base))?;
    visit.has_locks = options.list("dav").split(',').any(|class| class.trim() == "2");
    let folder = visit.folder.clone();
    let made = ask(&mut visit, &Request::new("MKCOL", &folder))?;
    if made.is_success() {
        visit.take_exchanges();
        return Ok(visit);
    }
    Err(Unreachable(format!("{}: {}", visit.url(&base), visit.cleaned(why_no_folder(&made, patient)))))
}

fn why_no_folder(made: &Answer, patient: &Patient) -> String {
    let offers = made.list("www-authenticate");
    let status = made.status;
    match status {
        401 if patient.credentials.is_none() => "the server asks for a user (401); --user NAME says which".to_owned(),
        401 if !offers.is_empty() && !offers.to_ascii_lowercase().contains("basic") => {
            format!("the server asks for other proof than a password by Basic (401, {offers})")
        }
        401 => "the server does not take this user with this password (401)".to_owned(),
        300..=399 => {
            let place = made.field("location").unwrap_or("elsewhere");
            format!("the server sends clients away ({status}), to {place}; give the URL that it really has")
        }
        403 => "no folder may be made here (403): the user has no right to write, or the server is not set up for it"
            .to_owned(),
        404 | 409 => format!("there is no such folder ({status})"),
        405 | 501 => format!(
            "MKCOL is not to be had here ({status}): this is no WebDAV server, or the method does not get through"
        ),
        _ => format!("the folder to try things in could not be made: MKCOL was answered {status}"),
    }
}

fn run(visit: &mut Visit, group: &Group, check: &Check) -> Line {
    visit.take_exchanges();
    let found = (check.run)(visit);
    let finding = found.err().unwrap_or(Finding { outcome: Outcome::Ok, detail: String::new(), advice: None });
    let exchanges = visit.take_exchanges();
    // What a check advises is for what it looks for; a warning is of something beside that.
    let advice = finding.advice.or((finding.outcome == Outcome::Fail).then_some(check.advice));
    Line {
        id: check.id,
        group: group.title,
        title: check.title,
        outcome: if visit.route.is_stopped() { Outcome::Skip } else { finding.outcome },
        detail: visit.cleaned(finding.detail),
        advice: advice.filter(|_| !visit.route.is_stopped()),
        exchanges: if finding.outcome == Outcome::Fail { exchanges } else { Vec::new() },
    }
}

/// Removes the folder, also where the user wanted an end.
fn leave(visit: &mut Visit) -> Line {
    visit.route.stop = Arc::default();
    visit.take_exchanges();
    let is_gone = scratch::remove(visit);
    let place = visit.cleaned(visit.url(&visit.folder));
    Line {
        id: "end.removed",
        group: "The end",
        title: "the folder it was tried in is removed",
        outcome: if is_gone { Outcome::Ok } else { Outcome::Warn },
        detail: if is_gone { String::new() } else { format!("it is still there: {place}") },
        advice: (!is_gone).then_some("remove it by hand; DELETE of a folder, or of a name in it, does not get through"),
        exchanges: visit.take_exchanges().into_iter().filter(|_| !is_gone).collect(),
    }
}
