//! One connection, plain or by TLS. Nothing on it waits for ever, and whoever writes learns when the server has answered already.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;

use super::answer::{Answer, Framing};
use super::request::{Body, Request};
use super::route::Route;

/// How long one call of the system may take, so that the wish for an end is heard.
const SLICE: Duration = Duration::from_millis(200);

/// How long it may take until a server takes a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// The most bytes of a head.
const HEAD_BYTES_MAX: usize = 256 * 1024;

/// The most bytes of a content that are kept; more is only counted.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How many bytes are written before it is looked whether the server has answered.
const PIECE: usize = 64 * 1024;

/// Whether all was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    All,
    /// The server has answered, or has closed, before all was written.
    Cut,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Secure(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// A connection to a server.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Stream,
    route: Route,
    read: Vec<u8>,
    is_open: bool,
    has_ended: bool,
}

impl Connection {
    /// Connects; with TLS up to the end of the handshake.
    pub(crate) fn open(route: &Route) -> io::Result<Self> {
        let address = &route.address;
        let mut last = io::Error::other("the name has no address");
        for found in (address.host.as_str(), address.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&found, CONNECT_WITHIN) {
                // Where nobody listens the system may have given the very port to this end of it.
                Ok(stream) if stream.local_addr()? == found => last = io::ErrorKind::ConnectionRefused.into(),
                Ok(stream) => return Self::over(stream, route),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn over(mut socket: TcpStream, route: &Route) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        let stream = match &route.tls {
            None => Stream::Plain(socket),
            Some(config) => {
                socket.set_read_timeout(Some(CONNECT_WITHIN))?;
                socket.set_write_timeout(Some(CONNECT_WITHIN))?;
                let name = ServerName::try_from(route.address.host.clone()).map_err(io::Error::other)?;
                let mut session = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
                while session.is_handshaking() {
                    session.complete_io(&mut socket)?;
                }
                Stream::Secure(Box::new(StreamOwned::new(session, socket)))
            }
        };
        let connection = Self { stream, route: route.clone(), read: Vec::new(), is_open: true, has_ended: false };
        connection.socket().set_read_timeout(Some(SLICE))?;
        connection.socket().set_write_timeout(Some(SLICE))?;
        Ok(connection)
    }

    /// Whether another request may be sent on it.
    pub(crate) fn is_reusable(&mut self) -> bool {
        self.is_open && self.read.is_empty() && !self.has_answer()
    }

    /// Sends a request with its body, as far as the server takes it.
    pub(crate) fn send(&mut self, request: &Request) -> io::Result<Sent> {
        let mut bytes = request.head(&self.route);
        match &request.body {
            Body::None | Body::Announced(_) | Body::AnnouncedChunked => {}
            Body::Whole(body) => bytes.extend_from_slice(body),
            Body::Chunked(body) => {
                body.chunks(PIECE).for_each(|piece| bytes.extend_from_slice(&chunk(piece)));
                bytes.extend_from_slice(&chunk(b""));
            }
        }
        self.write(&bytes)
    }

    /// Writes bytes until the server answers.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<Sent> {
        let mut rest = bytes;
        let mut moved = Instant::now();
        while !rest.is_empty() {
            if rest.len() < bytes.len() && self.has_answer() {
                return Ok(Sent::Cut);
            }
            match self.stream.write(&rest[..rest.len().min(PIECE)]) {
                Ok(0) => return Ok(Sent::Cut),
                Ok(count) => (rest, moved) = (&rest[count..], Instant::now()),
                Err(error) if is_early(&error) => self.go_on(moved, "the server takes no more bytes")?,
                // It may have answered before it closed.
                Err(error) if is_broken(&error) => return Ok(Sent::Cut),
                Err(error) => return Err(error),
            }
        }
        self.stream.flush().or_else(|error| if is_early(&error) || is_broken(&error) { Ok(()) } else { Err(error) })?;
        Ok(Sent::All)
    }

    /// Whether the server has sent anything, or has closed.
    pub(crate) fn has_answer(&mut self) -> bool {
        if !self.read.is_empty() || self.has_ended {
            return true;
        }
        let _ = self.socket().set_nonblocking(true);
        let _ = self.fill();
        let _ = self.socket().set_nonblocking(false);
        !self.read.is_empty() || self.has_ended
    }

    /// Waits for the first bytes of an answer; `false` if none have come by then.
    pub(crate) fn wait(&mut self, limit: Duration) -> bool {
        let begun = Instant::now();
        while !self.has_answer() {
            if begun.elapsed() > limit || self.route.is_stopped() {
                return false;
            }
            let _ = self.fill();
        }
        true
    }

    /// Reads one answer, be it an interim one.
    pub(crate) fn next_answer(&mut self, method: &str, each: &mut dyn FnMut(&[u8])) -> io::Result<Answer> {
        let (mut answer, length) = loop {
            match Answer::parse(&self.read)? {
                Some(parsed) => break parsed,
                None if self.read.len() > HEAD_BYTES_MAX => return Err(io::Error::other("a head without an end")),
                None => self.read_more("no answer came")?,
            }
        };
        self.read.drain(..length);
        let framing = answer.framing(method)?;
        let mut count = 0;
        let mut body = Vec::new();
        let mut take = |bytes: &[u8]| {
            count += bytes.len() as u64;
            body.extend_from_slice(&bytes[..bytes.len().min(BODY_BYTES_MAX - body.len())]);
            each(bytes);
        };
        match framing {
            Framing::Nothing => {}
            Framing::Length(length) => self.take_exactly(length, &mut take)?,
            Framing::Chunks => self.take_chunks(&mut take)?,
            Framing::Close => self.take_to_end(&mut take)?,
        }
        self.is_open &= answer.status < 200 || answer.keeps_open(framing);
        (answer.body, answer.length) = (body, count);
        Ok(answer)
    }

    /// Reads the final answer to a request of this method.
    pub(crate) fn answer(&mut self, method: &str) -> io::Result<Answer> {
        self.answer_with(method, &mut |_| {})
    }

    /// As `answer`, and hands on the content as it comes.
    pub(crate) fn answer_with(&mut self, method: &str, each: &mut dyn FnMut(&[u8])) -> io::Result<Answer> {
        loop {
            let answer = self.next_answer(method, each)?;
            if answer.status >= 200 {
                return Ok(answer);
            }
        }
    }

    fn take_exactly(&mut self, length: u64, take: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let mut rest = length;
        while rest > 0 {
            if self.read.is_empty() {
                self.read_more("the content stopped")?;
            }
            let count = self.read.len().min(usize::try_from(rest).unwrap_or(usize::MAX));
            take(&self.read[..count]);
            self.read.drain(..count);
            rest -= count as u64;
        }
        Ok(())
    }

    fn take_chunks(&mut self, take: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        loop {
            let (length, size) = loop {
                match httparse::parse_chunk_size(&self.read) {
                    Ok(httparse::Status::Complete(parsed)) => break parsed,
                    Ok(httparse::Status::Partial) => self.read_more("the content stopped")?,
                    Err(_) => return Err(io::Error::other("a chunk without a size")),
                }
            };
            self.read.drain(..length);
            if size == 0 {
                while !self.line()?.is_empty() {}
                return Ok(());
            }
            self.take_exactly(size, take)?;
            self.line()?;
        }
    }

    fn take_to_end(&mut self, take: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        loop {
            take(&self.read);
            self.read.clear();
            match self.read_more("the content stopped") {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.read.windows(2).position(|two| two == b"\r\n") {
                let mut line: Vec<u8> = self.read.drain(..at + 2).collect();
                line.truncate(at);
                return Ok(line);
            }
            self.read_more("the content stopped")?;
        }
    }

    /// Waits until there is more to read.
    fn read_more(&mut self, otherwise: &str) -> io::Result<()> {
        let (begun, had) = (Instant::now(), self.read.len());
        loop {
            match self.fill() {
                Ok(()) => {}
                Err(error) if is_early(&error) => {}
                Err(error) => return Err(error),
            }
            if self.read.len() > had {
                return Ok(());
            }
            if self.has_ended {
                return Err(io::Error::new(
                    ErrorKind::UnexpectedEof,
                    format!("{otherwise}: the connection was closed"),
                ));
            }
            self.go_on(begun, otherwise)?;
        }
    }

    /// Reads what is there.
    fn fill(&mut self) -> io::Result<()> {
        let mut bytes = [0; 32 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => self.has_ended = true,
            Ok(count) => self.read.extend_from_slice(&bytes[..count]),
            Err(error) if is_early(&error) => return Err(error),
            Err(error) => {
                self.has_ended = true;
                // TLS that ends without saying so is an end all the same.
                if error.kind() != ErrorKind::UnexpectedEof {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn go_on(&self, since: Instant, otherwise: &str) -> io::Result<()> {
        if self.route.is_stopped() {
            return Err(io::Error::new(ErrorKind::ConnectionAborted, "stopped"));
        }
        if since.elapsed() > self.route.patience {
            let text = format!("{otherwise} within {} s", self.route.patience.as_secs());
            return Err(io::Error::new(ErrorKind::TimedOut, text));
        }
        Ok(())
    }

    fn socket(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(socket) => socket,
            Stream::Secure(stream) => &stream.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(bytes),
            Self::Secure(stream) => stream.read(bytes),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Secure(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Secure(stream) => stream.flush(),
        }
    }
}

/// A piece of a chunked body; an empty one ends it.
pub(crate) fn chunk(piece: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{:x}\r\n", piece.len()).into_bytes();
    bytes.extend_from_slice(piece);
    bytes.extend_from_slice(b"\r\n");
    bytes
}

fn is_early(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn is_broken(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted)
}
