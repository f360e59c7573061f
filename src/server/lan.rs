//! Sharing on the local network: who is let in, what a person is told of that, with a code to scan, and the announcement. Nothing of it is
//! written to the log.

use std::io::{self, IsTerminal as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

use super::announcement::{Announced, Announcement, name_of};
use super::listening::Listening;
use super::pass_phrase::pass_phrase;
use super::startup_lines::say;
use crate::access::Access;
use crate::config::{Config, Lan, Scheme};
use crate::http::request::host::names_of_machine;
use crate::http::urls;
use crate::model::path::SharePath;
use crate::os::addresses::{address_towards_others, addresses_of_machine};
use crate::os::process;

/// What the user is called who is made for it: a name that tells nothing, as it is announced.
const GUEST: &str = "guest";

/// How long the code can be scanned.
const CODE_LIFE: Duration = Duration::from_secs(600);

/// How long the browser may take that is opened here.
const BROWSER_LIFE: Duration = Duration::from_secs(120);

/// The user who is made for the local network.
#[derive(Debug)]
pub(super) struct Guest {
    phrase: String,
}

impl Guest {
    /// The guest, if one was asked for.
    pub(super) fn of(config: &Config) -> anyhow::Result<Option<Self>> {
        let Some(Lan::Guest(which)) = &config.lan else { return Ok(None) };
        Ok(Some(Self { phrase: pass_phrase(config, which)? }))
    }

    /// The name and the pass phrase.
    pub(super) fn credentials(&self) -> (&'static str, &str) {
        (GUEST, &self.phrase)
    }
}

/// Says how the share is reached on the local network and announces it, if that was asked for.
pub(super) fn share_on_lan(
    config: &Config,
    listening: &Listening,
    access: &Access,
    guest: Option<&Guest>,
) -> anyhow::Result<Option<Announcement>> {
    if config.lan.is_none() {
        return Ok(None);
    }
    let sockets: Vec<_> = listening.of_tcp()?.into_iter().filter(|(address, _)| !address.ip().is_loopback()).collect();
    let scheme = if sockets.iter().any(|(_, scheme)| *scheme == Scheme::Https) { Scheme::Https } else { Scheme::Http };
    let host = names_of_machine(&process::host_name()).into_iter().find(|name| name.ends_with(".local"));
    let path = urls::of_folder(&SharePath::root());
    let reached = reached(&sockets);
    if sockets.is_empty() {
        tracing::warn!("--lan: no address of --listen can be reached from other machines");
    } else {
        say_where(&reached, host.as_deref(), &path);
    }
    say_who(guest, &sockets);
    if let Some((address, scheme)) = to_scan(&reached, scheme) {
        let secret = guest.and_then(|_| access.invite(GUEST, CODE_LIFE));
        say_code(&url(scheme, address, &path, secret.as_deref()), guest.is_some());
    }
    let listening: Vec<_> = sockets.iter().filter(|(_, spoken)| *spoken == scheme).map(|(at, _)| *at).collect();
    let Some(host) = host.filter(|_| !listening.is_empty()) else { return Ok(None) };
    let folder = std::fs::canonicalize(&config.folder).unwrap_or_else(|_| config.folder.clone());
    let folder = folder.file_name().map_or_else(|| "/".into(), |name| name.to_string_lossy());
    let machine = host.trim_end_matches(".local");
    let user = guest.map(|_| GUEST);
    let what =
        Announced { name: name_of(&folder, machine), host: &host, listening: &listening, scheme, path: &path, user };
    match Announcement::begin(&what) {
        Ok(announcement) => Ok(Some(announcement)),
        Err(error) => {
            tracing::warn!("the folder is not announced on the local network: {error}");
            Ok(None)
        }
    }
}

/// A browser that is to be opened on the share, by a thread that was started before this one was confined: what it starts is not.
pub(super) struct Browser {
    url: mpsc::Sender<String>,
    opened: JoinHandle<io::Result<()>>,
}

impl Browser {
    /// Makes ready to open it.
    pub(super) fn start() -> Self {
        let (url, told) = mpsc::channel::<String>();
        let opened = thread::spawn(move || told.recv().map_or(Ok(()), open::that_detached));
        Self { url, opened }
    }

    /// Opens it; where there is a guest, it is signed in.
    pub(super) fn open(self, listening: &Listening, access: &Access, guest: Option<&Guest>) -> anyhow::Result<()> {
        let Some((address, scheme)) = listening.of_tcp()?.into_iter().next() else {
            tracing::warn!("--open: no browser reaches a Unix socket");
            return Ok(());
        };
        let secret = guest.and_then(|_| access.invite(GUEST, BROWSER_LIFE));
        let url = url(scheme, from_here(address), &urls::of_folder(&SharePath::root()), secret.as_deref());
        let _ = self.url.send(url);
        if let Ok(Err(error)) = self.opened.join() {
            tracing::warn!("--open: no browser can be opened: {error}");
        }
        Ok(())
    }
}

/// How this machine reaches what listens there.
fn from_here(address: SocketAddr) -> SocketAddr {
    let here = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        other => other,
    };
    SocketAddr::new(here, address.port())
}

/// The addresses at which others reach these sockets.
fn reached(sockets: &[(SocketAddr, Scheme)]) -> Vec<(SocketAddr, Scheme)> {
    let of_machine = addresses_of_machine();
    let mut reached = Vec::new();
    for (socket, scheme) in sockets {
        let ip = socket.ip();
        let is_meant = |address: &&IpAddr| {
            if ip.is_unspecified() { address.is_ipv4() == ip.is_ipv4() } else { **address == ip }
        };
        let found = of_machine.iter().filter(is_meant);
        reached.extend(found.map(|address| (SocketAddr::new(*address, socket.port()), *scheme)));
    }
    reached
}

/// The address that a phone is likeliest to reach.
fn to_scan(reached: &[(SocketAddr, Scheme)], scheme: Scheme) -> Option<(SocketAddr, Scheme)> {
    let mut fit = reached.iter().filter(|(_, spoken)| *spoken == scheme).peekable();
    let first = fit.peek().copied().copied();
    let towards_others = address_towards_others();
    fit.find(|(address, _)| Some(address.ip()) == towards_others).copied().or(first)
}

fn url(scheme: Scheme, address: SocketAddr, path: &str, secret: Option<&str>) -> String {
    let query = secret.map_or_else(String::new, |secret| format!("?sign-in={secret}"));
    format!("{scheme}://{address}{path}{query}")
}

fn say_where(reached: &[(SocketAddr, Scheme)], host: Option<&str>, path: &str) {
    if reached.is_empty() {
        say("On the local network: not reached now, as this machine has no address there");
        return;
    }
    for (address, scheme) in reached {
        say(&format!("On the local network: {}", url(*scheme, *address, path, None)));
    }
    let mut ports: Vec<_> = reached.iter().map(|(address, scheme)| (*scheme, address.port())).collect();
    ports.dedup();
    for (scheme, port) in ports.into_iter().filter(|_| host.is_some()) {
        say(&format!("On the local network: {scheme}://{}:{port}{path}", host.unwrap_or_default()));
    }
}

fn say_who(guest: Option<&Guest>, sockets: &[(SocketAddr, Scheme)]) {
    let is_plain = sockets.iter().any(|(_, scheme)| *scheme == Scheme::Http);
    match guest {
        Some(guest) => {
            say(&format!("User: {GUEST}"));
            say(&format!("Pass phrase: {}", guest.phrase));
        }
        None => say("The users of the file come in, with their passwords"),
    }
    if is_plain {
        say(
            "This is plain HTTP: whoever can read the traffic of this network can read the pass phrase and all files that are sent, and come in; --tls encrypts both",
        );
    }
}

fn say_code(url: &str, signs_in: bool) {
    let Some(code) = code(url) else { return };
    if signs_in {
        say(&format!("Whoever scans this first is signed in, within {} minutes:", CODE_LIFE.as_secs() / 60));
    } else {
        say("To be scanned:");
    }
    // On a terminal the code is white on black whatever its colours are, since not every phone reads a code the other way round.
    let (before, behind) = if io::stdout().is_terminal() { ("\x1b[97;40m", "\x1b[0m") } else { ("", "") };
    code.lines().for_each(|line| say(&format!("{before}{line}{behind}")));
}

/// The code of a URL, in blocks of which the full ones are white.
fn code(url: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(url, EcLevel::L).ok()?;
    Some(code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build())
}
