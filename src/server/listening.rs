//! The sockets that the server listens on.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::{fs, io};

use anyhow::{Context as _, bail};
use listenfd::ListenFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with, sockopt};
use rustls::ServerConfig;

use crate::config::{Config, Listen, Scheme};
use crate::http::wire::socket::Listener;

/// How many connections may wait to be taken, as far as the system lets them.
const BACKLOG: i32 = 4096;

/// What the server listens on.
#[derive(Debug, Default)]
pub(super) struct Listening {
    sockets: Vec<(Bound, Scheme)>,
    /// What a person is told of each.
    pub(super) addresses: Vec<String>,
}

/// A socket that is bound.
#[derive(Debug)]
enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listening {
    /// Where HTTPS is spoken.
    pub(super) fn encrypted(&self) -> io::Result<Vec<SocketAddr>> {
        let encrypted = self.sockets.iter().filter_map(|(bound, scheme)| match (bound, scheme) {
            (Bound::Tcp(socket), Scheme::Https) => Some(socket.local_addr()),
            _ => None,
        });
        encrypted.collect()
    }

    /// Where TCP is listened on, and what is spoken there. `[::]` that takes IPv4, too, counts as both.
    pub(super) fn of_tcp(&self) -> io::Result<Vec<(SocketAddr, Scheme)>> {
        let mut found = Vec::new();
        for (bound, scheme) in &self.sockets {
            let Bound::Tcp(socket) = bound else { continue };
            let address = socket.local_addr()?;
            found.push((address, *scheme));
            if address.ip() == Ipv6Addr::UNSPECIFIED && !sockopt::ipv6_v6only(socket)? {
                found.push((SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())), *scheme));
            }
        }
        Ok(found)
    }

    /// The sockets as the transport takes them, with how the handshake is made.
    pub(super) fn listeners(self, handshake: Option<&Arc<ServerConfig>>) -> Vec<Listener> {
        let listener = |(bound, scheme)| match (bound, scheme, handshake) {
            (Bound::Tcp(socket), Scheme::Https, Some(handshake)) => Listener::Tls(socket, Arc::clone(handshake)),
            (Bound::Tcp(socket), _, _) => Listener::Tcp(socket),
            (Bound::Unix(socket), _, _) => Listener::Unix(socket),
        };
        self.sockets.into_iter().map(listener).collect()
    }

    fn add(&mut self, bound: Bound, scheme: Scheme, address: String) {
        self.sockets.push((bound, scheme));
        self.addresses.push(address);
    }
}

pub(super) fn listen(config: &Config) -> anyhow::Result<Listening> {
    let mut listening = Listening::default();
    for listen in &config.listen {
        match listen {
            Listen::Tcp(said, address) => {
                let scheme = config.scheme(*said);
                let socket = match bind(*address, &config.listen) {
                    Err(error) if may_be_missing(&error, *address) && !listening.sockets.is_empty() => {
                        tracing::warn!("not listening on {address}: {error}");
                        continue;
                    }
                    bound => bound.with_context(|| format!("cannot listen on {address}"))?,
                };
                let url = format!("{scheme}://{}/", socket.local_addr()?);
                listening.add(Bound::Tcp(socket), scheme, url);
            }
            Listen::Unix(path) => {
                remove_stale_socket(path);
                let socket =
                    UnixListener::bind(path).with_context(|| format!("cannot listen on {}", path.display()))?;
                if let Some(user) = &config.user {
                    user.own(path).with_context(|| format!("cannot give {} to {user}", path.display()))?;
                }
                listening.add(Bound::Unix(socket), Scheme::Http, format!("unix:{}", path.display()));
            }
            Listen::Inherited => {
                let scheme = config.scheme(None);
                for bound in inherited()? {
                    let address = address_of(&bound, scheme, config.lets_somebody_in(scheme))?;
                    listening.add(bound, scheme, address);
                }
            }
        }
    }
    Ok(listening)
}

/// Listens on an address. Where the same port of every address of IPv4 is listened on, too, `[::]` is IPv6 alone, since it would be both otherwise.
fn bind(address: SocketAddr, all: &[Listen]) -> io::Result<TcpListener> {
    let of_v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
    let is_v4 = |listen: &Listen| matches!(listen, Listen::Tcp(_, other) if *other == of_v4);
    if address.ip() != Ipv6Addr::UNSPECIFIED || address.port() == 0 || !all.iter().any(is_v4) {
        return TcpListener::bind(address);
    }
    let socket = socket_with(AddressFamily::INET6, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_ipv6_v6only(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// Whether a machine without IPv6 says so.
fn may_be_missing(error: &io::Error, address: SocketAddr) -> bool {
    let says_so = error.raw_os_error() == Some(Errno::AFNOSUPPORT.raw_os_error());
    address.ip() == Ipv6Addr::UNSPECIFIED && (says_so || error.kind() == io::ErrorKind::AddrNotAvailable)
}

/// The sockets that whoever started the program has opened for it; at least one.
fn inherited() -> anyhow::Result<Vec<Bound>> {
    let mut handed_over = ListenFd::from_env();
    let sockets = (0..handed_over.len()).map(|at| match handed_over.take_tcp_listener(at) {
        Ok(socket) => Ok(socket.map(Bound::Tcp)),
        Err(_) => Ok(handed_over.take_unix_listener(at)?.map(Bound::Unix)),
    });
    let sockets: io::Result<Vec<_>> = sockets.filter_map(Result::transpose).collect();
    let sockets = sockets.context("what was handed over for --listen systemd is no socket that takes connections")?;
    if sockets.is_empty() {
        bail!(
            "--listen systemd, and no socket was handed over: LISTEN_FDS and LISTEN_PID are not set for this process"
        );
    }
    Ok(sockets)
}

/// Where a socket that was handed over listens. From other machines it is not reached unless that was said.
fn address_of(bound: &Bound, scheme: Scheme, may_be_open: bool) -> anyhow::Result<String> {
    match bound {
        Bound::Tcp(socket) => url_of(socket.local_addr()?, scheme, may_be_open),
        Bound::Unix(socket) => {
            let address = socket.local_addr()?;
            Ok(address.as_pathname().map_or("a Unix socket".to_owned(), |path| format!("unix:{}", path.display())))
        }
    }
}

fn url_of(address: SocketAddr, scheme: Scheme, may_be_open: bool) -> anyhow::Result<String> {
    if !may_be_open && !Listen::Tcp(None, address).is_local() {
        bail!(
            "the socket {address} can be reached from other machines: --users and --plain-passwords let users in there, and \
             --anonymous read, create or write says what everybody may do"
        );
    }
    Ok(format!("{scheme}://{address}/"))
}

/// A socket that nobody answers on is what an earlier server left.
fn remove_stale_socket(path: &Path) {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if is_socket && std::os::unix::net::UnixStream::connect(path).is_err() {
        let _ = fs::remove_file(path);
    }
}

pub(super) fn remove_sockets(listen: &[Listen]) {
    for listen in listen {
        if let Listen::Unix(path) = listen {
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_other_machines_reach_takes_a_word() {
        for (address, is_local) in [
            ("127.0.0.1:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("192.168.1.2:1", false),
        ] {
            let address = address.parse().expect("an address");
            assert_eq!(url_of(address, Scheme::Http, false).is_ok(), is_local, "{address}");
            assert_eq!(url_of(address, Scheme::Https, true).expect("told"), format!("https://{address}/"));
        }
    }
}
