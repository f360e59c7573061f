//! One answer: its head, parsed, and its content without framing.

use std::io;

/// The most fields of a head that are looked at.
const FIELDS_MAX: usize = 256;

/// What a server answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    reason: String,
    fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// How long the content was; `body` may hold less of it.
    pub(crate) length: u64,
}

/// How the end of the content is told (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Nothing,
    Length(u64),
    Chunks,
    Close,
}

impl Answer {
    /// Parses a head, and says how many bytes it takes; `None` if it has not all come.
    pub(super) fn parse(bytes: &[u8]) -> io::Result<Option<(Self, usize)>> {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut head = httparse::Response::new(&mut fields);
        let parsed = head.parse(bytes).map_err(|error| io::Error::other(format!("no answer of HTTP/1.1: {error}")))?;
        let httparse::Status::Complete(length) = parsed else { return Ok(None) };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let answer = Self {
            status: head.code.unwrap_or_default(),
            reason: head.reason.unwrap_or_default().to_owned(),
            fields: head.headers.iter().map(|field| (field.name.to_owned(), text(field.value))).collect(),
            body: Vec::new(),
            length: 0,
        };
        Ok(Some((answer, length)))
    }

    /// The first field of this name.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// All fields of this name as one list.
    pub(crate) fn list(&self, name: &str) -> String {
        let values = self.fields.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        values.map(|(_, value)| value.trim()).collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(crate) fn is_refusal(&self) -> bool {
        self.status >= 400
    }

    /// The lines of the head, for a report.
    pub(crate) fn shown(&self) -> Vec<String> {
        let mut lines = vec![format!("{} {}", self.status, self.reason).trim_end().to_owned()];
        lines.extend(self.fields.iter().map(|(name, value)| format!("{name}: {value}")));
        lines
    }

    pub(super) fn framing(&self, method: &str) -> io::Result<Framing> {
        if method == "HEAD" || self.status < 200 || matches!(self.status, 204 | 304) {
            return Ok(Framing::Nothing);
        }
        if let Some(coding) = self.field("transfer-encoding") {
            let is_chunked = coding.to_ascii_lowercase().ends_with("chunked");
            return Ok(if is_chunked { Framing::Chunks } else { Framing::Close });
        }
        match self.field("content-length") {
            Some(length) => {
                length.parse().map(Framing::Length).map_err(|_| io::Error::other("a Content-Length that is no number"))
            }
            None => Ok(Framing::Close),
        }
    }

    /// Whether another request may follow on the connection.
    pub(super) fn keeps_open(&self, framing: Framing) -> bool {
        let is_closed = self.list("connection").to_ascii_lowercase().contains("close");
        framing != Framing::Close && !is_closed
    }
}
