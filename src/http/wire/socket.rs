//! The sockets of this system, TCP and Unix as one type, and every call that is made of them. What another system does otherwise is here.

use crate::os::open_file::OpenFile;
use actix_rt::net::{TcpStream, UnixStream};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags};
use std::io::{self, IoSlice};
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::Interest;

/// How much may be on its way to a client on this machine, in bytes; the kernel doubles it. Left to itself it lets that grow to
/// megabytes, which a network may need; here it only outgrows the processor's caches (a download of 1 GiB then takes 1.2 times as long,
/// measured).
const LOCAL_BUFFER: usize = 208 * 1024;

/// Either kind of socket, so that everything above is one type.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
        }
    }

    fn try_write(&self, write: impl FnOnce(BorrowedFd<'_>) -> Result<usize, Errno>) -> io::Result<usize> {
        let write = || write(self.fd()).map_err(io::Error::from);
        match self {
            Self::Tcp(socket) => socket.try_io(Interest::WRITABLE, write),
            Self::Unix(socket) => socket.try_io(Interest::WRITABLE, write),
        }
    }

    /// Sends what the kernel takes at once. `more`: other bytes follow at once, and both may leave in one segment.
    pub(super) fn try_send(&self, bytes: &[u8], more: bool) -> io::Result<usize> {
        let flags = if more { SendFlags::NOSIGNAL | SendFlags::MORE } else { SendFlags::NOSIGNAL };
        self.try_write(|socket| rustix::net::send(socket, bytes, flags))
    }

    /// Lets the kernel send so many bytes of a file at most, from an offset on; 0 at the end of the file.
    ///
    /// # Errors
    /// `InvalidInput` if the kernel cannot send files of this kind by itself (sendfile(2)); otherwise what became of the connection.
    pub(super) fn try_send_file(&self, file: OpenFile<'_>, mut offset: u64, bytes_max: u64) -> io::Result<usize> {
        self.try_write(|socket| rustix::fs::sendfile(socket, file.fd(), Some(&mut offset), bytes_max as usize))
    }

    /// Bounds what may be on its way to a client on this machine.
    pub(super) fn bound_local_buffer(&self) {
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(self.fd(), LOCAL_BUFFER);
    }

    /// Sends two pieces by one call.
    pub(super) fn try_send_both(&self, one: &[u8], other: &[u8]) -> io::Result<usize> {
        self.try_write(|socket| {
            if other.is_empty() {
                return rustix::net::send(socket, one, SendFlags::NOSIGNAL);
            }
            let pieces = [IoSlice::new(one), IoSlice::new(other)];
            rustix::net::sendmsg(socket, &pieces, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL)
        })
    }

    pub(super) fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.try_read(into),
            Self::Unix(socket) => socket.try_read(into),
        }
    }

    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(socket) => socket.poll_read_ready(cx),
            Self::Unix(socket) => socket.poll_read_ready(cx),
        }
    }

    pub(super) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(socket) => socket.poll_write_ready(cx),
            Self::Unix(socket) => socket.poll_write_ready(cx),
        }
    }

    /// Makes the close that follows a reset: the client must not take what it has for the whole, and what waits in the kernel goes.
    pub(super) fn reset_when_closed(&self) {
        let _ = rustix::net::sockopt::set_socket_linger(self.fd(), Some(Duration::ZERO));
    }
}

/// A socket that is already bound.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket; the caller removes its file at the end.
    Unix(UnixListener),
}
