//! One request in the making: method, path, fields and what follows.

use super::route::Route;

/// What follows the head.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    None,
    /// With its `Content-Length`.
    Whole(Vec<u8>),
    /// Without a `Content-Length`.
    Chunked(Vec<u8>),
    /// Nothing but its length is told in the head; what follows is written by hand.
    Announced(u64),
    /// As `Announced`, but in chunks.
    AnnouncedChunked,
}

/// A request.
#[derive(Clone, Debug)]
#[must_use = "a request is only sent by a connection"]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    /// As it stands in the request line.
    pub(crate) path: String,
    fields: Vec<(&'static str, String)>,
    pub(crate) body: Body,
}

impl Request {
    pub(crate) fn new(method: &'static str, path: &str) -> Self {
        Self { method, path: path.to_owned(), fields: Vec::new(), body: Body::None }
    }

    pub(crate) fn field(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Body::Whole(body.into());
        self
    }

    pub(crate) fn framed(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// The head up to and with the empty line.
    pub(crate) fn head(&self, route: &Route) -> Vec<u8> {
        let mut head = self.lines(route, false).join("\r\n");
        head.push_str("\r\n\r\n");
        head.into_bytes()
    }

    /// The lines of the head, for a report: what proves the user is left out.
    pub(crate) fn shown(&self, route: &Route) -> Vec<String> {
        self.lines(route, true)
    }

    fn lines(&self, route: &Route, is_hidden: bool) -> Vec<String> {
        let mut lines = vec![
            format!("{} {} HTTP/1.1", self.method, self.path),
            format!("Host: {}", route.address.authority),
            format!("User-Agent: {}/{}", route.program, env!("CARGO_PKG_VERSION")),
        ];
        let credentials = route.credentials.as_ref().map(|known| if is_hidden { "(not shown)" } else { known });
        lines.extend(credentials.map(|value| format!("Authorization: {value}")));
        lines.extend(self.fields.iter().map(|(name, value)| format!("{name}: {value}")));
        match &self.body {
            Body::None => {}
            Body::Whole(body) => lines.push(format!("Content-Length: {}", body.len())),
            Body::Announced(length) => lines.push(format!("Content-Length: {length}")),
            Body::Chunked(_) | Body::AnnouncedChunked => lines.push("Transfer-Encoding: chunked".to_owned()),
        }
        lines
    }
}
