//! The sockets of this system, TCP, Unix, and TCP with TLS on it, as one type, and every call that is made of them. What another system does otherwise is here.

use crate::http::wire::tls_socket::TlsSocket;
use crate::os::open_file::OpenFile;
use actix_rt::net::{TcpStream, UnixStream};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags};
use rustls::ServerConfig;
use std::io::{self, IoSlice};
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead as _, AsyncWrite as _, Interest, ReadBuf};

/// How much may be on its way to a client on this machine, in bytes; the kernel doubles it. Left to itself it lets that grow to
/// megabytes, which a network may need; here it only outgrows the processor's caches (a download of 1 GiB then takes 1.2 times as long,
/// measured).
const LOCAL_BUFFER: usize = 208 * 1024;

/// Either kind of socket, so that everything above is one type.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(TlsSocket),
}

impl Socket {
    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
            Self::Tls(socket) => socket.tcp().as_fd(),
        }
    }

    /// Whether it encrypts what is sent.
    pub(super) fn is_encrypted(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    fn try_write(&self, write: impl FnOnce(BorrowedFd<'_>) -> Result<usize, Errno>) -> io::Result<usize> {
        let write = || write(self.fd()).map_err(io::Error::from);
        match self {
            Self::Tcp(socket) => socket.try_io(Interest::WRITABLE, write),
            Self::Unix(socket) => socket.try_io(Interest::WRITABLE, write),
            Self::Tls(socket) => socket.tcp().try_io(Interest::WRITABLE, write),
        }
    }

    /// Sends what the kernel takes at once. `more`: other bytes follow at once, and both may leave in one segment.
    pub(super) fn try_send(&mut self, bytes: &[u8], more: bool) -> io::Result<usize> {
        if let Self::Tls(socket) = self {
            return socket.try_send(bytes, &[], more);
        }
        let flags = if more { SendFlags::NOSIGNAL | SendFlags::MORE } else { SendFlags::NOSIGNAL };
        self.try_write(|socket| rustix::net::send(socket, bytes, flags))
    }

    /// Lets the kernel send so many bytes of a file at most, from an offset on; 0 at the end of the file.
    ///
    /// # Errors
    /// `InvalidInput` if the kernel cannot send files of this kind by itself (sendfile(2)), or encrypted; otherwise what became of the connection.
    pub(super) fn try_send_file(&self, file: OpenFile<'_>, mut offset: u64, bytes_max: u64) -> io::Result<usize> {
        if self.is_encrypted() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.try_write(|socket| rustix::fs::sendfile(socket, file.fd(), Some(&mut offset), bytes_max as usize))
    }

    /// Bounds what may be on its way to a client on this machine.
    pub(super) fn bound_local_buffer(&self) {
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(self.fd(), LOCAL_BUFFER);
    }

    /// Sends two pieces by one call.
    pub(super) fn try_send_both(&mut self, one: &[u8], other: &[u8]) -> io::Result<usize> {
        if let Self::Tls(socket) = self {
            return socket.try_send(one, other, false);
        }
        self.try_write(|socket| {
            if other.is_empty() {
                return rustix::net::send(socket, one, SendFlags::NOSIGNAL);
            }
            let pieces = [IoSlice::new(one), IoSlice::new(other)];
            rustix::net::sendmsg(socket, &pieces, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL)
        })
    }

    /// Whether something that was taken to be sent has not been given to the kernel.
    pub(super) fn has_unsent(&self) -> bool {
        matches!(self, Self::Tls(socket) if socket.has_unsent())
    }

    /// Sends of that what the kernel takes at once.
    pub(super) fn try_flush(&mut self) -> io::Result<usize> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => Ok(0),
            Self::Tls(socket) => socket.try_flush(),
        }
    }

    /// What was said to follow at once does not.
    pub(super) fn wait_no_longer(&mut self) {
        if let Self::Tls(socket) = self {
            socket.wait_no_longer();
        }
    }

    /// Puts behind everything else that nothing follows, where that takes a word.
    pub(super) fn say_end(&mut self) {
        if let Self::Tls(socket) = self {
            socket.say_end();
        }
    }

    /// Closes our side. What was taken to be sent has left.
    pub(super) fn shut_down(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Unix(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(socket) => {
                let shut = rustix::net::shutdown(socket.tcp(), rustix::net::Shutdown::Write);
                Poll::Ready(shut.map_err(io::Error::from))
            }
        }
    }

    /// Reads what has come; nothing means that the client has closed its side.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(socket) => Pin::new(socket).poll_read(cx, into),
            Self::Unix(socket) => Pin::new(socket).poll_read(cx, into),
            Self::Tls(socket) => socket.poll_read(cx, into),
        }
    }

    pub(super) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(socket) => socket.poll_write_ready(cx),
            Self::Unix(socket) => socket.poll_write_ready(cx),
            Self::Tls(socket) => socket.tcp().poll_write_ready(cx),
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
    /// TCP with TLS on it.
    Tls(TcpListener, Arc<ServerConfig>),
    /// A Unix socket; the caller removes its file at the end.
    Unix(UnixListener),
}
