//! The entrance of an encrypted port: the handshake of TLS, which has a time, and of which only so many are under way. Where there are too many
//! the oldest goes, so that whoever begins them by the thousand and ends none keeps nobody out. Who speaks HTTP without TLS is told so.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::net::TcpStream;
use parking_lot::Mutex;
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::http::wire::farewell::THROWN_AWAY_BYTES_MAX;
use crate::http::wire::fast_path::Edge;
use crate::http::wire::rejection::Rejection;
use crate::http::wire::tls_socket::TlsSocket;

/// How much of a request line without TLS is looked at, in bytes.
const LINE_BYTES_MAX: usize = 1024;

/// What a handshake bears of a client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HandshakeLimits {
    /// How long it may take.
    pub(crate) time: Duration,
    /// How long a client that was told to come with TLS may take to hear it.
    pub(crate) linger_time: Duration,
}

/// The handshakes that are under way, of all workers.
#[derive(Debug)]
pub(crate) struct Handshakes {
    at_once_max: usize,
    under_way: Mutex<UnderWay>,
}

/// By the order in which they began.
#[derive(Debug, Default)]
struct UnderWay {
    begun: u64,
    each: BTreeMap<u64, Arc<Notify>>,
}

/// One of them; it is over when this is dropped.
#[derive(Debug)]
pub(crate) struct HandshakePermit {
    all: Arc<Handshakes>,
    number: u64,
    given_up: Arc<Notify>,
}

impl Handshakes {
    /// So many may be under way at once.
    pub(crate) fn new(at_once_max: usize) -> Arc<Self> {
        Arc::new(Self { at_once_max, under_way: Mutex::default() })
    }

    /// Begins one; the oldest ends where there are too many.
    pub(crate) fn begin(self: &Arc<Self>) -> HandshakePermit {
        let given_up = Arc::<Notify>::default();
        let mut under_way = self.under_way.lock();
        if under_way.each.len() >= self.at_once_max
            && let Some((_, oldest)) = under_way.each.pop_first()
        {
            oldest.notify_one();
        }
        let number = under_way.begun;
        under_way.begun += 1;
        under_way.each.insert(number, Arc::clone(&given_up));
        drop(under_way);
        HandshakePermit { all: Arc::clone(self), number, given_up }
    }
}

impl Drop for HandshakePermit {
    fn drop(&mut self) {
        self.all.under_way.lock().each.remove(&self.number);
    }
}

/// Lets a client in that makes the handshake in time. `stopped` ends it before.
///
/// # Errors
/// Where it does not, or has to give way to others. What came without TLS has been answered.
pub(crate) async fn shake_hands(
    tcp: TcpStream,
    config: Arc<ServerConfig>,
    edge: &dyn Edge,
    limits: HandshakeLimits,
    permit: HandshakePermit,
    stopped: impl Future<Output = ()>,
) -> io::Result<TlsSocket> {
    // Without this the client waits 40 ms for what follows the first of our messages.
    let _ = tcp.set_nodelay(true);
    tokio::select! {
        biased;
        () = permit.given_up.notified() => Err(io::Error::other("it gave way to others")),
        () = stopped => Err(io::Error::other("the server stops")),
        shaken = timeout(limits.time, shake(tcp, config, edge, limits)) => shaken?,
    }
}

async fn shake(
    mut tcp: TcpStream,
    config: Arc<ServerConfig>,
    edge: &dyn Edge,
    limits: HandshakeLimits,
) -> io::Result<TlsSocket> {
    let mut first = [0];
    tcp.peek(&mut first).await?;
    // A record of TLS begins with a small number.
    if first[0].is_ascii_alphabetic() {
        refuse_plain(&mut tcp, edge, limits).await?;
        return Err(io::Error::other("it came without TLS"));
    }
    let mut socket = TlsSocket::new(tcp, config)?;
    poll_fn(|cx| socket.poll_handshake(cx)).await?;
    Ok(socket)
}

/// Answers a request that came without TLS, so that the client can read it.
async fn refuse_plain(tcp: &mut TcpStream, edge: &dyn Edge, limits: HandshakeLimits) -> io::Result<()> {
    let (mut bytes, mut filled) = ([0; LINE_BYTES_MAX], 0);
    while filled < bytes.len() && !bytes[..filled].contains(&b'\n') {
        match tcp.read(&mut bytes[filled..]).await? {
            0 => break,
            read => filled += read,
        }
    }
    let line = bytes[..filled].split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
    let (here, peer): (SocketAddr, _) = (tcp.local_addr()?, tcp.peer_addr().ok());
    tcp.write_all(&edge.refuse(line, Rejection::WithoutTls(here), peer)).await?;
    tcp.shutdown().await?;
    // A connection that is closed with something unread is reset, and that may take the answer with it.
    let thrown_away = async {
        let mut left = THROWN_AWAY_BYTES_MAX;
        while left > 0 {
            match tcp.read(&mut bytes).await? {
                0 => break,
                read => left = left.saturating_sub(read as u64),
            }
        }
        io::Result::Ok(())
    };
    timeout(limits.linger_time, thrown_away).await?
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Waker};

    fn has_to_go(permit: &HandshakePermit) -> bool {
        pin!(permit.given_up.notified()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    /// Whoever comes is let in: the oldest gives way, and what has ended counts no more.
    #[test]
    fn the_oldest_gives_way() {
        let all = Handshakes::new(2);
        let (first, second) = (all.begin(), all.begin());
        assert!(!has_to_go(&first) && !has_to_go(&second));
        let third = all.begin();
        assert!(has_to_go(&first) && !has_to_go(&second) && !has_to_go(&third));
        drop(second);
        let fourth = all.begin();
        assert!(!has_to_go(&third) && !has_to_go(&fourth));
        drop((first, third, fourth));
        assert!(all.under_way.lock().each.is_empty());
    }
}
