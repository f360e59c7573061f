//! A small HTTP/1.1 client over a plain socket. It sends exactly what it is told, right or wrong, byte for byte, and reads one
//! answer at a time. It never repeats a request, follows a redirect or mends anything.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::canaries;
use super::programs;
use super::server::Server;
use super::tls::TlsStream;
use rustls::ClientConfig;
use std::sync::Arc;

/// How long an answer may take before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A request in the making; nothing is sent before [`Request::send`] or [`Request::expect`].
#[derive(Clone, Debug)]
#[must_use = "a request is sent by `expect` or `send`"]
pub struct Request {
    address: SocketAddr,
    method: String,
    target: Vec<u8>,
    headers: Vec<(String, Vec<u8>)>,
    host: Option<String>,
    body: Body,
}

#[derive(Clone, Debug)]
enum Body {
    None,
    Whole(Vec<u8>),
    /// Announced with `Expect: 100-continue`, and sent only when the server asks for it.
    WhenAsked(Vec<u8>),
    Chunked(Vec<Vec<u8>>),
}

/// What the server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The final status.
    pub status: u16,
    /// The header fields in their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The content, without framing.
    pub body: Vec<u8>,
    /// The interim statuses that came first, such as 100.
    pub interim: Vec<u16>,
    /// The request that was answered, for messages.
    pub request: String,
}

/// One connection, kept alive.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    read: Vec<u8>,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
}

impl Stream {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.tcp(),
        }
    }

    fn set_patience(&self, limit: Duration) -> io::Result<()> {
        self.tcp().set_read_timeout(Some(limit))
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes),
            Self::Tls(stream) => stream.write_all(bytes),
        }
    }

    /// A read that is interrupted is none: a process that was stopped for a moment goes on.
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match self {
                Self::Plain(stream) => stream.read(bytes),
                Self::Tls(stream) => stream.read(bytes),
            };
            match read {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }
}

impl Request {
    /// A request of any method for any target, as raw as they are given.
    pub fn new(address: SocketAddr, method: &str, target: impl AsRef<[u8]>) -> Self {
        Self {
            address,
            method: method.to_owned(),
            target: target.as_ref().to_vec(),
            headers: Vec::new(),
            host: Some(address.to_string()),
            body: Body::None,
        }
    }

    /// Where it goes.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Adds a header field.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Names the version that is meant.
    pub fn if_match(self, tag: impl AsRef<[u8]>) -> Self {
        self.header("If-Match", tag)
    }

    /// Names the version that is not meant; `*` for none at all.
    pub fn if_none_match(self, tag: impl AsRef<[u8]>) -> Self {
        self.header("If-None-Match", tag)
    }

    /// Asks for a part.
    pub fn range(self, range: &str) -> Self {
        self.header("Range", range)
    }

    /// Replaces the Host field.
    pub fn host(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }

    /// Sends no Host field of its own.
    pub fn without_host(mut self) -> Self {
        self.host = None;
        self
    }

    /// The content, with its Content-Length.
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = Body::Whole(body.as_ref().to_vec());
        self
    }

    /// The content, sent only when the server has answered `100 Continue`.
    pub fn body_when_asked(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = Body::WhenAsked(body.as_ref().to_vec());
        self
    }

    /// The content in chunks, without a Content-Length.
    pub fn chunks<C: AsRef<[u8]>>(mut self, chunks: impl IntoIterator<Item = C>) -> Self {
        self.body = Body::Chunked(chunks.into_iter().map(|chunk| chunk.as_ref().to_vec()).collect());
        self
    }

    /// Sends it on a connection of its own and gives the answer, whatever it is.
    #[track_caller]
    pub fn send(self) -> Answer {
        let what = self.to_string();
        match self.try_send() {
            Ok(answer) => answer,
            Err(error) => panic!("{what}: {error}"),
        }
    }

    /// As [`Request::send`], but a connection that breaks is an answer too.
    pub fn try_send(self) -> io::Result<Answer> {
        Connection::open(self.address)?.try_send(&self)
    }

    /// Sends it and fails unless the answer has this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Answer {
        self.send().expect(status)
    }

    /// Sends it and fails unless the answer has one of these statuses.
    #[track_caller]
    pub fn expect_any(self, statuses: &[u16]) -> Answer {
        self.send().expect_any(statuses)
    }

    /// Sends it and fails unless the answer is 200 with this content.
    #[track_caller]
    pub fn expect_body(self, body: impl AsRef<[u8]>) -> Answer {
        self.send().expect_body(body)
    }

    /// The request line and the header fields, up to and with the empty line.
    pub fn head(&self) -> Vec<u8> {
        let mut head = Vec::new();
        head.extend_from_slice(self.method.as_bytes());
        head.push(b' ');
        head.extend_from_slice(&self.target);
        head.extend_from_slice(b" HTTP/1.1\r\n");
        if let Some(host) = &self.host {
            head.extend_from_slice(format!("Host: {host}\r\n").as_bytes());
        }
        for (name, value) in &self.headers {
            head.extend_from_slice(name.as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value);
            head.extend_from_slice(b"\r\n");
        }
        match &self.body {
            Body::None => {}
            Body::Whole(body) => head.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes()),
            Body::WhenAsked(body) => {
                head.extend_from_slice(format!("Content-Length: {}\r\nExpect: 100-continue\r\n", body.len()).as_bytes())
            }
            Body::Chunked(_) => head.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        }
        head.extend_from_slice(b"\r\n");
        head
    }
}

impl std::fmt::Display for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, text(&self.target[..self.target.len().min(200)]))?;
        self.headers.iter().try_for_each(|(name, value)| write!(f, " [{name}: {}]", text(value)))
    }
}

impl Connection {
    /// Connects.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream: Stream::Plain(stream), read: Vec::new() })
    }

    /// Connects, and makes the handshake of TLS.
    pub fn open_tls(address: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let Stream::Plain(stream) = Self::open(address)?.stream else { unreachable!("just opened") };
        Ok(Self { stream: Stream::Tls(Box::new(TlsStream::open(stream, config)?)), read: Vec::new() })
    }

    /// Connects from another address of this machine.
    pub fn open_from(here: std::net::Ipv4Addr, address: SocketAddr) -> io::Result<Self> {
        use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        bind(&socket, &SocketAddr::from((here, 0)))?;
        connect(&socket, &address)?;
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream: Stream::Plain(stream), read: Vec::new() })
    }

    /// Sends a request and gives its answer.
    #[track_caller]
    pub fn send(&mut self, request: &Request) -> Answer {
        match self.try_send(request) {
            Ok(answer) => answer,
            Err(error) => panic!("{request}: {error}"),
        }
    }

    /// As [`Connection::send`], but a connection that breaks is an answer too.
    ///
    /// A server may answer before it has read the content, and close; so a failed write does not keep us from reading.
    pub fn try_send(&mut self, request: &Request) -> io::Result<Answer> {
        programs::have_started();
        self.stream.write_all(&request.head())?;
        let mut early = None;
        match &request.body {
            Body::None => {}
            Body::Whole(body) => drop(self.stream.write_all(body)),
            Body::Chunked(chunks) => drop(self.stream.write_all(&chunked(chunks))),
            Body::WhenAsked(body) => {
                let first = self.read_one(&request.method, &request.to_string())?;
                if first.status != 100 {
                    return Ok(first);
                }
                early = Some(first.status);
                drop(self.stream.write_all(body));
            }
        }
        let mut answer = self.read_final(&request.method, &request.to_string())?;
        answer.interim.splice(0..0, early);
        Ok(answer)
    }

    /// Writes raw bytes.
    #[track_caller]
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_write(bytes.as_ref()).expect("the server takes the bytes");
    }

    /// Writes raw bytes, or says why not.
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<()> {
        programs::have_started();
        self.stream.write_all(bytes)
    }

    /// Says that nothing more will be written; the answer can still be read.
    pub fn finish_writing(&mut self) {
        match &mut self.stream {
            Stream::Plain(stream) => drop(stream.shutdown(Shutdown::Write)),
            Stream::Tls(stream) => stream.finish_writing(),
        }
    }

    /// Breaks it off, as a program does that ends in the middle of something: the server's side is told at once.
    pub fn break_off(self) {
        rustix::net::sockopt::set_socket_linger(self.stream.tcp(), Some(Duration::ZERO)).expect("a socket can be told");
    }

    /// Reads the next final answer, to a request of this method.
    #[track_caller]
    pub fn answer(&mut self, method: &str) -> Answer {
        self.read_final(method, "raw").expect("an answer")
    }

    /// As [`Connection::answer`], but a connection that breaks is an answer too.
    pub fn try_answer(&mut self, method: &str) -> io::Result<Answer> {
        self.read_final(method, "raw")
    }

    /// Whether the server closes the connection within this time, having sent nothing more.
    pub fn is_closed_within(&mut self, limit: Duration) -> bool {
        let _ = self.stream.set_patience(limit);
        let closed = match self.stream.read(&mut [0; 1]) {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        };
        let _ = self.stream.set_patience(PATIENCE);
        closed
    }

    /// Whether an answer begins to arrive within this time.
    pub fn is_answered_within(&mut self, limit: Duration) -> bool {
        if !self.read.is_empty() {
            return true;
        }
        let _ = self.stream.set_patience(limit);
        let filled = self.fill();
        let _ = self.stream.set_patience(PATIENCE);
        filled.is_ok()
    }

    /// Reads up to so many raw bytes, fewer where the server closes.
    pub fn read_raw(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.read.len() < count {
            match self.fill() {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(error),
            }
        }
        let count = count.min(self.read.len());
        Ok(self.read.drain(..count).collect())
    }

    /// Whether nothing more comes, and the server says so: in TLS, by `close_notify`.
    pub fn ends_well(&mut self) -> bool {
        self.read.is_empty() && matches!(self.stream.read(&mut [0; 1]), Ok(0))
    }

    /// The socket itself.
    pub fn stream(&self) -> &TcpStream {
        self.stream.tcp()
    }

    /// What was agreed on in TLS.
    #[track_caller]
    pub fn tls(&self) -> &TlsStream {
        let Stream::Tls(stream) = &self.stream else { panic!("a plain connection") };
        stream
    }

    fn read_final(&mut self, method: &str, request: &str) -> io::Result<Answer> {
        let mut interim = Vec::new();
        loop {
            let answer = self.read_one(method, request)?;
            if answer.status >= 200 {
                canaries::look_at(&answer);
                return Ok(Answer { interim, ..answer });
            }
            interim.push(answer.status);
        }
    }

    fn read_one(&mut self, method: &str, request: &str) -> io::Result<Answer> {
        let head_end = loop {
            if let Some(at) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            self.fill()?;
        };
        let head: Vec<u8> = self.read.drain(..head_end).collect();
        let head = String::from_utf8_lossy(&head);
        let mut lines = head.trim_end().split("\r\n");
        let status_line = lines.next().unwrap_or_default();
        let status = status_line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status: u16 = status.ok_or_else(|| broken(&format!("a status line, not {status_line:?}")))?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut answer = Answer { status, headers, body: Vec::new(), interim: Vec::new(), request: request.to_owned() };
        if method == "HEAD" || status < 200 || matches!(status, 204 | 304) {
            return Ok(answer);
        }
        answer.body = match (answer.header("transfer-encoding"), answer.header("content-length")) {
            (Some(_), _) => self.read_chunks()?,
            (None, Some(length)) => {
                let length = length.parse().map_err(|_| broken("a number as Content-Length"))?;
                self.read_exactly(length)?
            }
            (None, None) => self.read_to_end()?,
        };
        Ok(answer)
    }

    fn read_chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let size_line = self.read_line()?;
            let size = usize::from_str_radix(size_line.split(';').next().unwrap_or_default().trim(), 16)
                .map_err(|_| broken("a chunk size"))?;
            body.append(&mut self.read_exactly(size)?);
            if size > 0 {
                self.read_line()?;
                continue;
            }
            while !self.read_line()?.is_empty() {}
            return Ok(body);
        }
    }

    fn read_line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = self.read.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.read.drain(..at + 2).collect();
                return Ok(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            self.fill()?;
        }
    }

    fn read_exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.read.len() < count {
            self.fill()?;
        }
        let rest = self.read.split_off(count);
        Ok(std::mem::replace(&mut self.read, rest))
    }

    fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        loop {
            match self.fill() {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(std::mem::take(&mut self.read)),
                Err(error) => return Err(error),
            }
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut bytes = [0; 64 * 1024];
        match self.stream.read(&mut bytes)? {
            0 => Err(io::Error::new(ErrorKind::UnexpectedEof, "the server closed the connection")),
            count => {
                self.read.extend_from_slice(&bytes[..count]);
                Ok(())
            }
        }
    }
}

impl Answer {
    /// Fails unless this is the status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert!(self.status == status, "wanted {status} but got {self}");
        self
    }

    /// Fails unless this is one of the statuses.
    #[track_caller]
    pub fn expect_any(self, statuses: &[u16]) -> Self {
        assert!(statuses.contains(&self.status), "wanted one of {statuses:?} but got {self}");
        self
    }

    /// Fails unless this is 200 with this content.
    #[track_caller]
    pub fn expect_body(self, body: impl AsRef<[u8]>) -> Self {
        let answer = self.expect(200);
        assert!(answer.body == body.as_ref(), "{}: wanted {:?} but got {answer}", answer.request, text(body.as_ref()));
        answer
    }

    /// The first header field of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// A header field that has to be there.
    #[track_caller]
    pub fn field(&self, name: &str) -> &str {
        match self.header(name) {
            Some(value) => value,
            None => panic!("no {name} in {self}"),
        }
    }

    /// The ETag, which has to be there, quotes and all.
    #[track_caller]
    pub fn tag(&self) -> String {
        self.field("etag").to_owned()
    }

    /// The ETag, which has to be a strong content tag.
    #[track_caller]
    pub fn content_tag(&self) -> String {
        let tag = self.tag();
        assert!(is_content_tag(&tag), "wanted a content tag in {self}");
        tag
    }

    /// The content as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The content as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("no JSON ({error}) in {self}"),
        }
    }

    /// The problem document of a refusal (RFC 9457), its status the real one.
    #[track_caller]
    pub fn problem(&self) -> serde_json::Value {
        let media_type = self.field("content-type");
        assert!(media_type.starts_with("application/problem+json"), "wanted a problem document in {self}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "the status in the document is not the real one: {self}");
        for member in ["type", "title", "detail"] {
            assert!(problem[member].is_string(), "no {member} in {self}");
        }
        problem
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} for {}\n{:?}\n", self.status, self.request, self.headers)?;
        let shown = &self.body[..self.body.len().min(600)];
        let plain = |byte: &u8| if byte.is_ascii_graphic() || b" \n".contains(byte) { char::from(*byte) } else { '.' };
        write!(f, "{}", shown.iter().map(plain).collect::<String>())?;
        if shown.len() < self.body.len() { write!(f, "… ({} bytes)", self.body.len()) } else { Ok(()) }
    }
}

impl Server {
    /// GET of a target.
    pub fn get(&self, target: impl AsRef<[u8]>) -> Request {
        self.request("GET", target)
    }

    /// HEAD of a target.
    pub fn head(&self, target: impl AsRef<[u8]>) -> Request {
        self.request("HEAD", target)
    }

    /// PUT to a target.
    pub fn put(&self, target: impl AsRef<[u8]>) -> Request {
        self.request("PUT", target)
    }

    /// DELETE of a target.
    pub fn delete(&self, target: impl AsRef<[u8]>) -> Request {
        self.request("DELETE", target)
    }

    /// MKCOL of a target.
    pub fn mkcol(&self, target: impl AsRef<[u8]>) -> Request {
        self.request("MKCOL", target)
    }

    /// OPTIONS of a target.
    pub fn options(&self, target: impl AsRef<[u8]>) -> Request {
        self.request("OPTIONS", target)
    }

    /// POST to a target.
    pub fn post(&self, target: impl AsRef<[u8]>) -> Request {
        self.request("POST", target)
    }

    /// Any method to any target.
    pub fn request(&self, method: &str, target: impl AsRef<[u8]>) -> Request {
        Request::new(self.address(), method, target)
    }

    /// A connection of its own.
    #[track_caller]
    pub fn connect(&self) -> Connection {
        Connection::open(self.address()).expect("the server accepts")
    }

    /// What the history keeps of a path, newest first.
    #[track_caller]
    pub fn versions(&self, target: &str) -> Versions {
        let listing = self.get(format!("{target}?versions")).expect(200).json();
        let list = listing["versions"].as_array().expect("a list of versions").clone();
        let kept = list.iter().map(|version| {
            let id = version["id"].as_str().expect("the id of a version").to_owned();
            let kind = version["kind"].as_str().expect("the kind of a version").to_owned();
            let content = match kind.as_str() {
                "file" => self.get(format!("{target}?version={id}")).expect(200).body,
                _ => Vec::new(),
            };
            Version { id, kind, size: version["size"].as_u64(), content }
        });
        Versions(kept.collect())
    }
}

/// What the history keeps of one path.
#[derive(Debug)]
pub struct Versions(pub Vec<Version>);

/// One version in the history.
#[derive(Debug)]
pub struct Version {
    /// Its name in the history.
    pub id: String,
    /// `file` or `folder`.
    pub kind: String,
    /// Its size, as the list says.
    pub size: Option<u64>,
    /// Its bytes, as `?version=` brings them.
    pub content: Vec<u8>,
}

impl Versions {
    /// Fails unless these are the contents, newest first.
    #[track_caller]
    pub fn expect<const N: usize>(self, contents: [&str; N]) -> Self {
        let found: Vec<String> = self.0.iter().map(|version| text(&version.content)).collect();
        assert_eq!(found, contents);
        for version in &self.0 {
            assert_eq!(version.size, Some(version.content.len() as u64), "the size of {}", version.id);
        }
        self
    }
}

/// Whether a tag has the form `"<32 hex digits>"`.
pub fn is_content_tag(tag: &str) -> bool {
    let opaque = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap_or_default();
    opaque.len() == 32 && opaque.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

/// The content tag that these bytes must have: the first 128 bits of their BLAKE3.
pub fn tag_of(content: impl AsRef<[u8]>) -> String {
    format!("\"{}\"", &blake3::hash(content.as_ref()).to_hex()[..32])
}

/// Percent-encodes every byte that is not plainly harmless, for one segment of a path.
pub fn percent_encode(segment: &[u8]) -> String {
    segment.iter().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(*byte)),
            _ => write!(encoded, "%{byte:02X}").expect("a string takes all"),
        }
        encoded
    })
}

fn chunked(chunks: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

fn broken(wanted: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("wanted {wanted}"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
