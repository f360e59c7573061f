//! A TCP socket with TLS on it: what is written is encrypted, what is read was. It holds no buffer of its own while nothing is under way, for
//! records are made and opened in memory of the worker; only what the socket did not take, and a record that has not come whole, is kept.
//! An end without `close_notify` is an end like any other: every body says by itself where it ends.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use actix_rt::net::TcpStream;
use bytes::{Buf as _, BytesMut};
use rustls::ServerConfig;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic};
use tokio::io::{AsyncRead as _, ReadBuf};

/// The largest content of a record, in bytes (RFC 8446 §5.1).
const RECORD: usize = 16 * 1024;

/// The largest record there is, with all that is around its content, in bytes (RFC 5246 §6.2.3).
const RECORD_WITH_FRAME: usize = RECORD + 2048 + 5;

/// How much is encrypted, or taken from the socket, at once, in bytes.
const AT_ONCE: usize = 64 * 1024;

/// How much of a message of the session itself, with the frames around its parts, may have come without its end, in bytes. No client's comes
/// near.
const MESSAGE_BYTES_MAX: usize = 32 * 1024;

thread_local! {
    /// The worker's memory for records.
    static ROOM: RefCell<Room> = RefCell::default();
}

#[derive(Debug, Default)]
struct Room {
    incoming: Vec<u8>,
    outgoing: Records,
    content: Vec<u8>,
}

/// A TCP socket that speaks TLS.
pub(crate) struct TlsSocket {
    tcp: TcpStream,
    session: Box<UnbufferedServerConnection>,
    /// The beginning of a record whose rest has not come.
    begun: BytesMut,
    /// What has been decrypted and was not asked for yet; of one record at most, or of what came with the handshake.
    decrypted: BytesMut,
    /// What has been encrypted and was not taken by the socket.
    unsent: BytesMut,
    /// Whether what is unsent may wait for what follows it at once.
    waits_for_more: bool,
    /// Whether nothing more comes.
    ended: bool,
    /// Whether we have said that nothing more comes from us.
    said_end: bool,
}

impl TlsSocket {
    /// Waits for a client to begin a handshake.
    pub(crate) fn new(tcp: TcpStream, config: Arc<ServerConfig>) -> io::Result<Self> {
        let session = UnbufferedServerConnection::new(config).map_err(io::Error::other)?;
        Ok(Self {
            tcp,
            session: Box::new(session),
            begun: BytesMut::new(),
            decrypted: BytesMut::new(),
            unsent: BytesMut::new(),
            waits_for_more: false,
            ended: false,
            said_end: false,
        })
    }

    /// The socket underneath.
    pub(crate) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// Takes a step of the handshake; ready when it is complete.
    ///
    /// # Errors
    /// Where the client speaks something else, or has gone. It is told what was wrong, as far as it listens.
    pub(crate) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_flush(cx))?;
            if !self.session.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if self.ended {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            ready!(self.poll_take(cx, &mut ReadBuf::new(&mut [])))?;
        }
    }

    /// Reads what has been decrypted. Nothing means the end.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        loop {
            if !self.decrypted.is_empty() {
                let bytes = self.decrypted.len().min(into.remaining());
                into.put_slice(&self.decrypted[..bytes]);
                self.decrypted.advance(bytes);
                if self.decrypted.is_empty() {
                    self.decrypted = BytesMut::new();
                }
            }
            if into.filled().len() > before || into.remaining() == 0 || self.ended {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_take(cx, into))?;
        }
    }

    /// Encrypts these bytes, one behind the other, and sends what the socket takes. Tells how much of them is in its care: what it could not
    /// send leaves with [`TlsSocket::try_flush`], and before that it takes no more. `more`: other bytes follow at once.
    pub(super) fn try_send(&mut self, one: &[u8], other: &[u8], more: bool) -> io::Result<usize> {
        if self.has_unsent() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        ROOM.with_borrow_mut(|Room { outgoing, content, .. }| {
            outgoing.clear();
            outgoing.append(&self.unsent);
            let one = &one[..one.len().min(AT_ONCE)];
            let other = &other[..other.len().min(AT_ONCE - one.len())];
            // A head and the beginning of its body share a record.
            let shared = if one.is_empty() { 0 } else { other.len().min(RECORD - one.len() % RECORD) };
            if shared > 0 {
                content.clear();
                content.extend_from_slice(one);
                content.extend_from_slice(&other[..shared]);
                self.encrypt(content, outgoing)?;
            } else {
                self.encrypt(one, outgoing)?;
            }
            self.encrypt(&other[shared..], outgoing)?;
            let sent = if more { 0 } else { self.send_at_once(outgoing.as_slice())? };
            self.waits_for_more = more;
            self.unsent = BytesMut::from(&outgoing.as_slice()[sent..]);
            Ok(one.len() + other.len())
        })
    }

    /// Whether something is to be sent before anything else is taken.
    pub(super) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty() && !self.waits_for_more
    }

    /// What was to follow at once does not: what waits for it is to be sent.
    pub(super) fn wait_no_longer(&mut self) {
        self.waits_for_more = false;
    }

    /// Sends of what waits as much as the socket takes.
    ///
    /// # Errors
    /// `WouldBlock` if it takes nothing.
    pub(super) fn try_flush(&mut self) -> io::Result<usize> {
        let sent = self.tcp.try_write(&self.unsent)?;
        self.unsent.advance(sent);
        if self.unsent.is_empty() {
            self.unsent = BytesMut::new();
        }
        Ok(sent)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.has_unsent() {
            match self.try_flush() {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(self.tcp.poll_write_ready(cx))?,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Puts the word that nothing more follows behind what waits to be sent (`close_notify`, RFC 8446 §6.1).
    pub(super) fn say_end(&mut self) {
        if std::mem::replace(&mut self.said_end, true) {
            return;
        }
        self.waits_for_more = false;
        ROOM.with_borrow_mut(|Room { outgoing, .. }| {
            outgoing.clear();
            // A session that has failed has said so.
            if self.write_records(outgoing, |session, room| session.queue_close_notify(room)).is_ok() {
                self.unsent.extend_from_slice(outgoing.as_slice());
            }
        });
    }

    fn send_at_once(&self, bytes: &[u8]) -> io::Result<usize> {
        match self.tcp.try_write(bytes) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(0),
            sent => sent,
        }
    }

    fn encrypt(&mut self, content: &[u8], outgoing: &mut Records) -> io::Result<()> {
        if content.is_empty() {
            return Ok(());
        }
        self.write_records(outgoing, |session, room| session.encrypt(content, room))
    }

    /// Lets the session write records. What it has to say by itself (new keys) comes before them.
    fn write_records(
        &mut self,
        outgoing: &mut Records,
        write: impl Fn(&mut WriteTraffic<'_, ServerConnectionData>, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> io::Result<()> {
        loop {
            match self.session.process_tls_records(&mut self.begun).state.map_err(io::Error::other)? {
                ConnectionState::EncodeTlsData(mut said) => outgoing.put(|room| encoded(said.encode(room)))?,
                ConnectionState::TransmitTlsData(said) => said.done(),
                ConnectionState::WriteTraffic(mut session) => {
                    return outgoing.put(|room| encrypted(write(&mut session, room)));
                }
                _ => return Err(io::ErrorKind::BrokenPipe.into()),
            }
        }
    }

    /// Takes from the socket what has come, and opens the records in it.
    fn poll_take(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ROOM.with_borrow_mut(|Room { incoming, .. }| {
            let begun = self.begun.len();
            let wanted = into.remaining().clamp(RECORD_WITH_FRAME, AT_ONCE);
            if incoming.len() < begun + wanted {
                incoming.resize(begun + AT_ONCE, 0);
            }
            let mut read = ReadBuf::new(&mut incoming[begun..begun + wanted]);
            ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut read))?;
            let read = read.filled().len();
            incoming[..begun].copy_from_slice(&self.begun);
            self.ended |= read == 0;
            Poll::Ready(self.open(&mut incoming[..begun + read], into))
        })
    }

    /// Opens the records in these bytes, and keeps what is left of them.
    fn open(&mut self, incoming: &mut [u8], into: &mut ReadBuf<'_>) -> io::Result<()> {
        let mut at = 0;
        loop {
            let UnbufferedStatus { mut discard, state } = self.session.process_tls_records(&mut incoming[at..]);
            let goes_on = match state {
                Ok(ConnectionState::ReadTraffic(mut records)) => {
                    while let Some(record) = records.next_record() {
                        let record = record.map_err(io::Error::other)?;
                        discard += record.discard;
                        let fits = record.payload.len().min(into.remaining());
                        into.put_slice(&record.payload[..fits]);
                        self.decrypted.extend_from_slice(&record.payload[fits..]);
                    }
                    true
                }
                Ok(ConnectionState::EncodeTlsData(mut said)) => {
                    say(&mut self.unsent, &mut said)?;
                    true
                }
                Ok(ConnectionState::TransmitTlsData(said)) => {
                    said.done();
                    true
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.ended = true;
                    true
                }
                Ok(_) => false,
                Err(error) => {
                    self.ended = true;
                    self.say_why(&mut incoming[at..]);
                    let _ = self.try_flush();
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
            };
            at += discard;
            if !goes_on {
                break;
            }
        }
        self.begun = BytesMut::from(&incoming[at..]);
        // More than one record that has not come whole is a message that does not come to its end.
        if self.begun.len() > MESSAGE_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(())
    }

    /// After an error: what the session has to tell the client of it (an alert, RFC 8446 §6.2).
    fn say_why(&mut self, incoming: &mut [u8]) {
        while let Ok(ConnectionState::EncodeTlsData(mut said)) = self.session.process_tls_records(incoming).state {
            let _ = say(&mut self.unsent, &mut said);
        }
    }
}

impl fmt::Debug for TlsSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSocket").field("tcp", &self.tcp).finish_non_exhaustive()
    }
}

/// How much was written, or how much room it takes.
type Written = io::Result<Result<usize, usize>>;

fn encoded(encoded: Result<usize, EncodeError>) -> Written {
    match encoded {
        Err(EncodeError::InsufficientSize(size)) => Ok(Err(size.required_size)),
        Err(error) => Err(io::Error::other(error)),
        Ok(written) => Ok(Ok(written)),
    }
}

fn encrypted(encrypted: Result<usize, EncryptError>) -> Written {
    match encrypted {
        Err(EncryptError::InsufficientSize(size)) => Ok(Err(size.required_size)),
        Err(error) => Err(io::Error::other(error)),
        Ok(written) => Ok(Ok(written)),
    }
}

/// Puts what the session has to say by itself behind what is there.
fn say(unsent: &mut BytesMut, said: &mut EncodeTlsData<'_, ServerConnectionData>) -> io::Result<()> {
    let mut records = Records::default();
    records.put(|room| encoded(said.encode(room)))?;
    unsent.extend_from_slice(records.as_slice());
    Ok(())
}

/// Records one behind the other, in memory that is used again.
#[derive(Debug, Default)]
struct Records {
    room: Vec<u8>,
    filled: usize,
}

impl Records {
    fn clear(&mut self) {
        self.filled = 0;
    }

    fn as_slice(&self) -> &[u8] {
        &self.room[..self.filled]
    }

    fn append(&mut self, bytes: &[u8]) {
        self.make_room(bytes.len());
        self.room[self.filled..][..bytes.len()].copy_from_slice(bytes);
        self.filled += bytes.len();
    }

    fn make_room(&mut self, bytes: usize) {
        if self.room.len() < self.filled + bytes {
            self.room.resize(self.filled + bytes, 0);
        }
    }

    /// Lets one be written behind the others, with as much room as it takes.
    fn put(&mut self, mut write: impl FnMut(&mut [u8]) -> Written) -> io::Result<()> {
        loop {
            match write(&mut self.room[self.filled..])? {
                Ok(written) => {
                    self.filled += written;
                    return Ok(());
                }
                Err(required) => self.make_room(required),
            }
        }
    }
}
