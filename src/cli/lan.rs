//! What `--lan` and `--remember` come to.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use super::usage_error::UsageError;
use crate::config::{Lan, Listen, PassPhrase};

/// The port where nothing else is said.
const PORT: u16 = 4918;

/// Every address of the machine.
pub(super) fn everywhere() -> Vec<Listen> {
    let addresses = [SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)), SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT))];
    addresses.map(|address| Listen::Tcp(None, address)).into()
}

/// Who comes in from the local network. What is remembered is kept beneath this folder.
pub(super) fn lan(
    is_asked_for: bool,
    is_remembered: bool,
    has_users: bool,
    kept_in: Option<&Path>,
) -> Result<Option<Lan>, UsageError> {
    let wrong = |why: &str| Err(UsageError::Setting(why.to_owned()));
    match (is_asked_for, is_remembered, has_users) {
        (false, false, _) => Ok(None),
        (false, true, _) => wrong("--remember is about the pass phrase of --lan, which is not there"),
        (true, true, true) => wrong(
            "--remember is about the pass phrase of a guest, and with a file of users there is none: who is in the file comes in",
        ),
        (true, false, true) => Ok(Some(Lan::Users)),
        (true, false, false) => Ok(Some(Lan::Guest(PassPhrase::OfThisRun))),
        (true, true, false) => Ok(Some(Lan::Guest(PassPhrase::Kept(kept_in.map(Path::to_owned))))),
    }
}
