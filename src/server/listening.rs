//! The sockets that the server listens on.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::{fs, io};

use anyhow::{Context as _, bail};
use listenfd::ListenFd;

use crate::config::{Config, Listen};
use crate::http::wire::socket::Listener;

pub(super) fn listen(config: &Config) -> anyhow::Result<(Vec<Listener>, Vec<String>)> {
    let mut listeners = Vec::new();
    let mut addresses = Vec::new();
    for listen in &config.listen {
        match listen {
            Listen::Tcp(address) => {
                let socket = TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
                addresses.push(format!("http://{}/", socket.local_addr()?));
                listeners.push(Listener::Tcp(socket));
            }
            Listen::Unix(path) => {
                remove_stale_socket(path);
                let socket =
                    UnixListener::bind(path).with_context(|| format!("cannot listen on {}", path.display()))?;
                if let Some(user) = &config.user {
                    user.own(path).with_context(|| format!("cannot give {} to {user}", path.display()))?;
                }
                addresses.push(format!("unix:{}", path.display()));
                listeners.push(Listener::Unix(socket));
            }
            Listen::Inherited => {
                for listener in inherited()? {
                    addresses.push(address_of(
                        &listener,
                        config.anonymous.is_some() || config.users.is_some() && config.plain_passwords,
                    )?);
                    listeners.push(listener);
                }
            }
        }
    }
    Ok((listeners, addresses))
}

/// The sockets that whoever started the program has opened for it; at least one.
fn inherited() -> anyhow::Result<Vec<Listener>> {
    let mut handed_over = ListenFd::from_env();
    let sockets = (0..handed_over.len()).map(|at| match handed_over.take_tcp_listener(at) {
        Ok(socket) => Ok(socket.map(Listener::Tcp)),
        Err(_) => Ok(handed_over.take_unix_listener(at)?.map(Listener::Unix)),
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
fn address_of(listener: &Listener, may_be_open: bool) -> anyhow::Result<String> {
    match listener {
        Listener::Tcp(socket) => url_of(socket.local_addr()?, may_be_open),
        Listener::Unix(socket) => {
            let address = socket.local_addr()?;
            Ok(address.as_pathname().map_or("a Unix socket".to_owned(), |path| format!("unix:{}", path.display())))
        }
    }
}

fn url_of(address: SocketAddr, may_be_open: bool) -> anyhow::Result<String> {
    if !may_be_open && !Listen::Tcp(address).is_local() {
        bail!(
            "the socket {address} can be reached from other machines: --users and --plain-passwords let users in there, and \
             --anonymous read, create or write says what everybody may do"
        );
    }
    Ok(format!("http://{address}/"))
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
            assert_eq!(url_of(address, false).is_ok(), is_local, "{address}");
            assert!(url_of(address, true).is_ok(), "{address}");
        }
    }
}
