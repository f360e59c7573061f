//! A visit to a server: the way to it, the scratch folder there, and the few things that every check does.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::finding::{Checked, fail, skip, warn};
use super::multistatus::{Member, parse};
use crate::client::{Answer, Connection, Request, Route};

/// What a file holds before a check writes over it.
pub(super) const OLD: &[u8] = b"the old text\n";

/// What a check writes over it: as long as the old text, so that a tag made of size and seconds does not tell them apart.
pub(super) const NEW: &[u8] = b"the new text\n";

/// A tag that nothing here has.
pub(super) const WRONG_TAG: &str = "\"noclobber-doctor-made-this-up\"";

/// A token that no lock has.
pub(super) const WRONG_TOKEN: &str = "urn:uuid:6f1d2c3b-0000-4000-8000-d0c70d0c70d0";

/// How long a weak tag is waited to become strong: some servers give one in the first second.
const STRONG_WITHIN: Duration = Duration::from_millis(2500);

/// What was asked and answered.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Exchange {
    pub(super) request: Vec<String>,
    pub(super) response: Vec<String>,
}

/// A visit.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) route: Route,
    /// The scratch folder, as a path with a slash at its end.
    pub(super) folder: String,
    /// Whether the server says that it has locks.
    pub(super) has_locks: bool,
    pub(super) is_quick: bool,
    pub(super) large: u64,
    secrets: Vec<String>,
    idle: Option<Connection>,
    count: u32,
    is_never_strong: bool,
    locks: Vec<(String, String)>,
    exchanges: Vec<Exchange>,
}

impl Visit {
    pub(super) fn new(route: Route, folder: String, secrets: Vec<String>) -> Self {
        Self {
            route,
            folder,
            has_locks: false,
            is_quick: false,
            large: 0,
            secrets,
            idle: None,
            count: 0,
            is_never_strong: false,
            locks: Vec::new(),
            exchanges: Vec::new(),
        }
    }

    /// A path in the scratch folder that nothing has yet.
    pub(super) fn path(&mut self, stem: &str) -> String {
        self.count += 1;
        format!("{}{stem}-{}.txt", self.folder, self.count)
    }

    /// The absolute URL of a path.
    pub(super) fn url(&self, path: &str) -> String {
        self.route.address.url(path)
    }

    /// Sends a request, on the connection of the last one if that is open.
    pub(super) fn send(&mut self, request: &Request) -> Checked<Answer> {
        if let Some(mut idle) = self.idle.take()
            && idle.is_reusable()
        {
            match self.ask(&mut idle, request) {
                // Closed by the server in the very moment, so that it has not seen the request.
                Err(error) if is_closed(&error) => {}
                asked => {
                    self.idle = asked.is_ok().then_some(idle);
                    return self.told(request, asked);
                }
            }
        }
        let mut connection = match Connection::open(&self.route) {
            Ok(connection) => connection,
            refused => return self.told(request, refused.map(|_| unreachable!("it is refused"))),
        };
        let asked = self.ask(&mut connection, request);
        self.idle = asked.is_ok().then_some(connection);
        self.told(request, asked)
    }

    fn ask(&self, connection: &mut Connection, request: &Request) -> io::Result<Answer> {
        connection.send(request)?;
        connection.answer(request.method)
    }

    fn told(&mut self, request: &Request, asked: io::Result<Answer>) -> Checked<Answer> {
        match asked {
            Ok(answer) => {
                self.note(request, &answer);
                Ok(answer)
            }
            Err(error) => {
                let request = self.clean(request.shown(&self.route));
                self.exchanges.push(Exchange { response: vec![format!("(none: {error})")], request });
                Err(error.into())
            }
        }
    }

    /// A connection of its own.
    pub(super) fn connect(&self) -> Checked<Connection> {
        Ok(Connection::open(&self.route)?)
    }

    /// Remembers what was asked and answered, for the report.
    pub(super) fn note(&mut self, request: &Request, answer: &Answer) {
        let exchange =
            Exchange { request: self.clean(request.shown(&self.route)), response: self.clean(answer.shown()) };
        self.exchanges.push(exchange);
    }

    /// What was asked and answered since the last call.
    pub(super) fn take_exchanges(&mut self) -> Vec<Exchange> {
        std::mem::take(&mut self.exchanges)
    }

    /// Without what proves the user, should the server repeat it.
    fn clean(&self, mut lines: Vec<String>) -> Vec<String> {
        for line in &mut lines {
            self.secrets.iter().for_each(|secret| hide(line, secret));
        }
        lines
    }

    /// The same for one text.
    pub(super) fn cleaned(&self, mut text: String) -> String {
        self.secrets.iter().for_each(|secret| hide(&mut text, secret));
        text
    }

    /// Waits, unless the user wants an end.
    pub(super) fn pause(&self, time: Duration) {
        let begun = Instant::now();
        while begun.elapsed() < time && !self.route.is_stopped() {
            std::thread::sleep(Duration::from_millis(20).min(time));
        }
    }

    /// A new file with this content.
    pub(super) fn file(&mut self, stem: &str, content: &[u8]) -> Checked<String> {
        let path = self.path(stem);
        self.write(&path, content)?;
        Ok(path)
    }

    /// Writes what a check needs, which is not yet the check.
    pub(super) fn write(&mut self, path: &str, content: &[u8]) -> Checked<Answer> {
        let answer = self.send(&Request::new("PUT", path).body(content))?;
        match answer.is_success() {
            true => Ok(answer),
            false => {
                Err(skip(format!("the file to try it on could not be written: PUT was answered {}", answer.status)))
            }
        }
    }

    /// A new folder.
    pub(super) fn make_folder(&mut self, stem: &str) -> Checked<String> {
        self.count += 1;
        let path = format!("{}{stem}-{}/", self.folder, self.count);
        let answer = self.send(&Request::new("MKCOL", &path))?;
        match answer.is_success() {
            true => Ok(path),
            false => {
                Err(skip(format!("the folder to try it on could not be made: MKCOL was answered {}", answer.status)))
            }
        }
    }

    /// What is at a path now.
    pub(super) fn content(&mut self, path: &str) -> Checked<Option<Vec<u8>>> {
        let answer = self.send(&Request::new("GET", path))?;
        match answer.status {
            200 => Ok(Some(answer.body)),
            404 | 410 => Ok(None),
            status => Err(fail(format!("GET was answered {status}, so that nobody knows what is there"))),
        }
    }

    /// The entity tag of a file, as HEAD tells it.
    pub(super) fn tag(&mut self, path: &str) -> Checked<Option<String>> {
        let answer = self.send(&Request::new("HEAD", path))?;
        Ok(answer.field("etag").map(str::to_owned))
    }

    /// The entity tag of a file, which has to be a strong one to name a version.
    pub(super) fn strong_tag(&mut self, path: &str) -> Checked<String> {
        let begun = Instant::now();
        loop {
            let Some(tag) = self.tag(path)? else { return Err(skip("there is no ETag to name a version by")) };
            if !tag.starts_with("W/") {
                return Ok(tag);
            }
            if self.is_never_strong || begun.elapsed() > STRONG_WITHIN {
                self.is_never_strong = true;
                return Err(skip("the ETag is weak, and a weak one names no version"));
            }
            self.pause(Duration::from_millis(500));
        }
    }

    /// Fails unless each path holds what it has to, whatever was answered.
    pub(super) fn holds(&mut self, answered: u16, wanted: &[(&str, Option<&[u8]>)]) -> Checked {
        for (path, content) in wanted {
            let now = self.content(path)?;
            if now.as_deref() == *content {
                continue;
            }
            let happened = match (content, &now) {
                (Some(_), None) => "a file is gone that had to stay".to_owned(),
                (None, Some(_)) => "a file was made that must not be".to_owned(),
                (_, Some(now)) if now.is_empty() => "the file is empty now".to_owned(),
                _ => "the file was overwritten".to_owned(),
            };
            return Err(fail(format!("answered {answered}, and {happened}")));
        }
        Ok(())
    }

    /// Sends what has to be refused with one of these statuses, and looks whether each path still holds what it has to.
    pub(super) fn refuses(&mut self, request: &Request, statuses: &[u16], kept: &[(&str, Option<&[u8]>)]) -> Checked {
        let answer = self.send(request)?;
        self.holds(answer.status, kept)?;
        judge_refusal(request.method, &answer, statuses)
    }

    /// Sends what has to be done, and looks whether each path then holds what it has to.
    pub(super) fn accepts(&mut self, request: &Request, after: &[(&str, Option<&[u8]>)]) -> Checked<Answer> {
        let answer = self.send(request)?;
        if let 405 | 501 = answer.status {
            return Err(skip(format!("{} is not to be had here ({})", request.method, answer.status)));
        }
        if !answer.is_success() {
            return Err(fail(format!("answered {}, though nothing stands against it", answer.status)));
        }
        self.has_done(answer.status, after)?;
        Ok(answer)
    }

    /// Fails unless each path holds what was asked for.
    pub(super) fn has_done(&mut self, answered: u16, after: &[(&str, Option<&[u8]>)]) -> Checked {
        for (path, content) in after {
            if self.content(path)?.as_deref() != *content {
                return Err(fail(format!("answered {answered}, but what is there now is not what was asked for")));
            }
        }
        Ok(())
    }

    /// Locks a path, and gives the token.
    pub(super) fn lock(&mut self, path: &str) -> Checked<String> {
        if !self.has_locks {
            return Err(skip("the server says that it has no locks"));
        }
        let answer = self.send(&lock_request(path))?;
        let token = answer.field("lock-token").map(|value| value.trim_matches(['<', '>']).to_owned());
        match token {
            Some(token) if answer.is_success() => {
                self.locks.push((path.to_owned(), token.clone()));
                Ok(token)
            }
            _ => Err(skip(format!("nothing could be locked: LOCK was answered {}", answer.status))),
        }
    }

    /// Remembers a lock that is to be gone in the end.
    pub(super) fn remember_lock(&mut self, path: &str, token: &str) {
        self.locks.push((path.to_owned(), token.to_owned()));
    }

    /// Unlocks a path.
    pub(super) fn unlock(&mut self, path: &str, token: &str) -> Checked<Answer> {
        let answer = self.send(&Request::new("UNLOCK", path).field("Lock-Token", format!("<{token}>")))?;
        if answer.is_success() {
            self.locks.retain(|(_, known)| known != token);
        }
        Ok(answer)
    }

    /// Undoes whatever locks are left.
    pub(super) fn unlock_all(&mut self) {
        for (path, token) in std::mem::take(&mut self.locks) {
            let _ = self.unlock(&path, &token);
        }
    }

    /// What PROPFIND says of a path and, with depth 1, of what is in it.
    pub(super) fn members(&mut self, path: &str, depth: &str, properties: &str) -> Checked<Vec<Member>> {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><D:propfind xmlns:D=\"DAV:\"><D:prop>{properties}</D:prop></D:propfind>"
        );
        let request = Request::new("PROPFIND", path).field("Depth", depth).field("Content-Type", "application/xml");
        let answer = self.send(&request.body(body))?;
        match answer.status {
            207 => parse(&answer.body).map_err(fail),
            status => Err(fail(format!("PROPFIND was answered {status} instead of 207"))),
        }
    }
}

/// A LOCK for a few minutes.
pub(super) fn lock_request(path: &str) -> Request {
    const BODY: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?><D:lockinfo xmlns:D=\"DAV:\"><D:lockscope><D:exclusive/></D:lockscope>\
                        <D:locktype><D:write/></D:locktype><D:owner>noclobber doctor</D:owner></D:lockinfo>";
    let request = Request::new("LOCK", path).field("Depth", "0").field("Timeout", "Second-300");
    request.field("Content-Type", "application/xml").body(BODY)
}

fn is_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | BrokenPipe)
}

/// A refusal without harm: whether it has the status that says why.
pub(super) fn judge_refusal(method: &str, answer: &Answer, statuses: &[u16]) -> Checked {
    let wanted = Statuses(statuses);
    match answer.status {
        status if statuses.contains(&status) => Ok(()),
        status @ (405 | 501) => Err(skip(format!("{method} is not to be had here ({status})"))),
        status if answer.is_refusal() => Err(warn(format!("refused, but with {status} instead of {wanted}"))),
        status => Err(fail(format!("answered {status} instead of {wanted}"))),
    }
}

struct Statuses<'a>(&'a [u16]);

impl fmt::Display for Statuses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.0.iter().map(u16::to_string).collect();
        f.write_str(&texts.join(" or "))
    }
}

/// A very short secret would be found in everything.
fn hide(text: &mut String, secret: &str) {
    if secret.len() >= 4 && text.contains(secret) {
        *text = text.replace(secret, "(not shown)");
    }
}
