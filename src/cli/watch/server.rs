//! A server that is asked what has changed, again and again (`?changes&wait=`). Where it is away for a while it is asked again later, from the same
//! place on, so that nothing is missed; where it cannot tell any more what happened since then, that is said.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use serde::Deserialize;

use super::halt::Halt;
use super::lines::Lines;
use crate::client::{Answer, Connection, Request, Route};
use crate::log::escaped;
use crate::model::cursor::Cursor;

/// For how long the server is to wait for something to happen, in seconds.
const WAIT: u64 = 30;

/// How long nothing may come from the server.
pub(super) const PATIENCE: Duration = Duration::from_secs(2 * WAIT);

/// How many changes are asked for at once.
const PAGE: usize = 500;

/// How long to wait before a server is asked again that is away: the first time, and at most.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// In what pieces, so that the wish for an end is heard.
const SLICE: Duration = Duration::from_millis(50);

const NDJSON: &str = "application/x-ndjson";

/// A server that is followed.
pub(super) struct Followed {
    route: Route,
    /// The secret of a link, by which somebody comes.
    link: Option<String>,
    connection: Option<Connection>,
    has_answered: bool,
    is_away: bool,
    pause: Duration,
}

/// Some changes, as the server told them.
struct Page {
    changes: Vec<String>,
    /// The line behind them.
    place: String,
    up_to: Cursor,
}

/// Why there is no page.
enum Trouble {
    /// The server cannot tell what happened since the place that it was asked with.
    Lost(String),
    /// It may be better in a moment.
    Passing(String),
    /// It will not.
    Lasting(String),
}

#[derive(Deserialize)]
struct Place {
    cursor: String,
}

#[derive(Deserialize)]
struct Problem {
    detail: String,
}

impl Followed {
    pub(super) fn new(route: Route, link: Option<String>) -> Self {
        Self { route, link, connection: None, has_answered: false, is_away: false, pause: PAUSE_MIN }
    }

    /// Prints what changes from a place on, or from now on, until that is not wanted any more.
    pub(super) fn follow(mut self, since: Option<Cursor>, lines: &mut Lines) -> Result<(), Halt> {
        let mut at = since;
        let mut lost: Option<String> = None;
        while !self.route.is_stopped() {
            let asked = Instant::now();
            match self.ask(at) {
                Ok(page) => {
                    self.is_there();
                    // Only now that the place is known from which on things are told is it time to look.
                    if let Some(why) = lost.take() {
                        lines.look_again(&self.route.address.path, &why)?;
                    }
                    page.changes.iter().try_for_each(|change| lines.change(change))?;
                    lines.place(&page.place, page.up_to)?;
                    // One that stops does not wait.
                    if page.changes.is_empty() && at.is_some() && asked.elapsed() < PAUSE_MIN {
                        self.rest(PAUSE_MIN);
                    }
                    at = Some(page.up_to);
                }
                Err(Trouble::Lost(why)) if !self.has_answered => return Err(Halt::LostPlace(why)),
                Err(Trouble::Lost(why)) => {
                    (at, lost) = (None, Some(why));
                    self.rest(PAUSE_MIN);
                }
                Err(Trouble::Passing(why)) if self.has_answered => self.is_not_there(&why),
                Err(Trouble::Passing(why) | Trouble::Lasting(why)) => {
                    let url = self.route.address.url(&self.route.address.path);
                    return Err(Halt::Fault(anyhow!("{url}: {why}")));
                }
            }
        }
        Ok(())
    }

    fn is_there(&mut self) {
        let url = self.route.address.url(&self.route.address.path);
        if !self.has_answered {
            eprintln!("noclobber: watching {}", escaped(&url));
        } else if self.is_away {
            eprintln!("noclobber: {} is there again", escaped(&url));
        }
        (self.has_answered, self.is_away, self.pause) = (true, false, PAUSE_MIN);
    }

    fn is_not_there(&mut self, why: &str) {
        if self.route.is_stopped() {
            return;
        }
        if !std::mem::replace(&mut self.is_away, true) {
            let url = self.route.address.url(&self.route.address.path);
            eprintln!("noclobber: {}: {}; it is tried again", escaped(&url), escaped(why));
        }
        self.rest(self.pause);
        self.pause = (2 * self.pause).min(PAUSE_MAX);
    }

    fn rest(&self, pause: Duration) {
        let until = Instant::now() + pause;
        while !self.route.is_stopped() && Instant::now() < until {
            thread::sleep(SLICE.min(pause));
        }
    }

    /// Asks what has happened since a place; without one, which place is now.
    fn ask(&mut self, at: Option<Cursor>) -> Result<Page, Trouble> {
        let mut path = format!("{}?changes&limit={PAGE}", self.route.address.path);
        if let Some(at) = at {
            path += &format!("&since={at}&wait={WAIT}");
        }
        if let Some(link) = &self.link {
            path += &format!("&link={link}");
        }
        let request = Request::new("GET", &path).field("Accept", NDJSON);
        let answer = self.answer(&request).map_err(|error| {
            let why = error.to_string();
            match why.contains("certificate") {
                true => Trouble::Lasting(format!("{why}; --cacert FILE says which certificates to trust")),
                false => Trouble::Passing(why),
            }
        })?;
        match answer.status {
            200 => page(&answer),
            _ => Err(self.refused(&answer, at.is_some())),
        }
    }

    /// The answer to a request, on the connection of the last one if that is still open.
    fn answer(&mut self, request: &Request) -> io::Result<Answer> {
        if let Some(mut kept) = self.connection.take()
            && kept.is_reusable()
            && let Ok(answer) = exchange(&mut kept, request)
        {
            self.connection = Some(kept);
            return Ok(answer);
        }
        if self.route.is_stopped() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let mut connection = Connection::open(&self.route)?;
        let answer = exchange(&mut connection, request)?;
        self.connection = Some(connection);
        Ok(answer)
    }

    fn refused(&self, answer: &Answer, has_place: bool) -> Trouble {
        let why = why(answer);
        match answer.status {
            401 if self.route.credentials.is_none() && self.link.is_none() => Trouble::Lasting(
                "the server asks for a user (401); --user NAME says which, or a token in NOCLOBBER_TOKEN".to_owned(),
            ),
            401 => Trouble::Lasting("the server does not let in who asks (401)".to_owned()),
            404 => Trouble::Lasting("no folder is there that whoever asks may see (404)".to_owned()),
            409 if has_place => Trouble::Lost(why),
            408 | 429 | 500.. => Trouble::Passing(why),
            300..=399 => Trouble::Lasting(format!(
                "it is somewhere else ({}, {})",
                answer.status,
                answer.field("location").unwrap_or("nobody knows where")
            )),
            _ => Trouble::Lasting(why),
        }
    }
}

fn exchange(connection: &mut Connection, request: &Request) -> io::Result<Answer> {
    connection.send(request)?;
    connection.answer(request.method)
}

/// What the server told.
fn page(answer: &Answer) -> Result<Page, Trouble> {
    let foreign = || Trouble::Lasting("no feed of changes is there: that is no noclobber, or an old one".to_owned());
    if answer.field("content-type") != Some(NDJSON) {
        return Err(foreign());
    }
    if answer.length != answer.body.len() as u64 {
        return Err(Trouble::Lasting("the server tells too much at once".to_owned()));
    }
    let text = std::str::from_utf8(&answer.body).map_err(|_| foreign())?;
    let mut changes: Vec<String> = text.lines().map(str::to_owned).collect();
    let place = changes.pop().ok_or_else(foreign)?;
    let Place { cursor } = serde_json::from_str(&place).map_err(|_| foreign())?;
    let up_to = Cursor::parse(&cursor).ok_or_else(foreign)?;
    Ok(Page { changes, place, up_to })
}

/// What the server says of its refusal (RFC 9457).
fn why(answer: &Answer) -> String {
    let status = answer.status;
    match serde_json::from_slice(&answer.body) {
        Ok(Problem { detail }) => format!("{detail} ({status})"),
        Err(_) => format!("the server answers {status}"),
    }
}
