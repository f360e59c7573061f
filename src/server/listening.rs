//! The sockets that the server listens on.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;

use anyhow::Context as _;

use crate::config::Listen;
use crate::http::wire::socket::Listener;

pub(super) fn listen(wanted: &[Listen]) -> anyhow::Result<(Vec<Listener>, Vec<String>)> {
    let mut listeners = Vec::new();
    let mut addresses = Vec::new();
    for listen in wanted {
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
                addresses.push(format!("unix:{}", path.display()));
                listeners.push(Listener::Unix(socket));
            }
        }
    }
    Ok((listeners, addresses))
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
