//! A client that is replayed: it sends what the real one sends, header for header, on one connection that it keeps. It promises to add nothing
//! but Host and what frames the body, and never mends an answer.

use crate::harness::{Answer, Connection, Request, Server};

/// A real client, as far as it shows on the wire.
pub(super) struct Client<'s> {
    server: &'s Server,
    connection: Connection,
    always: Vec<String>,
}

/// The body of a request, and how it is framed.
pub(super) enum Body<'b> {
    /// None, and no Content-Length.
    None,
    /// With its Content-Length, which may be 0.
    Whole(&'b str),
    /// In chunks, without a Content-Length.
    Chunked(&'b [&'b str]),
    /// Held back until the server answers 100.
    Expecting(&'b str),
}

impl<'s> Client<'s> {
    /// A client that sends these header fields (`Name: value`) with every request.
    pub(super) fn new(server: &'s Server, always: &[&str]) -> Self {
        let always = always.iter().map(|field| (*field).to_owned()).collect();
        Self { server, connection: server.connect(), always }
    }

    /// Sends a request line (`METHOD target`) with these header fields and a body, and gives the answer.
    #[track_caller]
    pub(super) fn send(&mut self, line: &str, fields: &[&str], body: Body<'_>) -> Answer {
        let (method, target) = line.split_once(' ').expect("a method and a target");
        let mut request: Request = self.server.request(method, target);
        for field in self.always.iter().map(String::as_str).chain(fields.iter().copied()) {
            let (name, value) = field.split_once(": ").expect("a name and a value");
            request = request.header(name, value);
        }
        let request = match body {
            Body::None => request,
            Body::Whole(body) => request.body(body),
            Body::Chunked(chunks) => request.chunks(chunks.iter().copied()),
            Body::Expecting(body) => request.body_when_asked(body),
        };
        let answer = self.connection.send(&request);
        // The connection is closed where the server did not want to read the body; a real client then opens another.
        if answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            self.connection = self.server.connect();
        }
        answer
    }

    /// Sends a request without a body.
    #[track_caller]
    pub(super) fn bare(&mut self, line: &str, fields: &[&str]) -> Answer {
        self.send(line, fields, Body::None)
    }

    /// A URL of the server, with its scheme and port.
    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address())
    }
}

/// The token in the Lock-Token field of the answer to a LOCK, without its brackets; the body has to name the same one.
#[track_caller]
pub(super) fn token_of(answer: &Answer) -> String {
    let field = answer.field("lock-token");
    let token = field.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).expect("brackets around a new token");
    assert_eq!(super::multistatus::Lock::of(answer).token, token, "{answer}");
    token.to_owned()
}
