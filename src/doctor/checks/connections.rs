//! Whether connections stay in step, and what an answer tells of time.

use std::time::{Duration, SystemTime};

use crate::client::Request;
use crate::doctor::advice::{CLOCK, FRAMING, KEEP_ALIVE};
use crate::doctor::check::{Check, Group};
use crate::doctor::finding::{Checked, fail, note, skip, warn};
use crate::doctor::visit::{NEW, OLD, Visit, WRONG_TAG};

pub(super) const GROUP: Group = Group {
    title: "Connections and time",
    checks: &[
        Check { id: "connection.keep-alive", title: "a connection stays open", advice: KEEP_ALIVE, run: keep_alive },
        Check {
            id: "connection.refusal",
            title: "a refused upload leaves the connection in step",
            advice: FRAMING,
            run: refusal,
        },
        Check {
            id: "connection.no-content",
            title: "204 has no content, and says so",
            advice: FRAMING,
            run: no_content,
        },
        Check { id: "connection.clock", title: "the server's clock is right", advice: CLOCK, run: clock },
        Check {
            id: "connection.dates",
            title: "Last-Modified is there, and not in the future",
            advice: CLOCK,
            run: dates,
        },
    ],
};

/// How far clocks may be apart.
const APART_MAX: Duration = Duration::from_secs(2);

fn keep_alive(visit: &mut Visit) -> Checked {
    let path = visit.file("keep-alive", OLD)?;
    let mut connection = visit.connect()?;
    for method in ["HEAD", "GET", "PROPFIND", "GET"] {
        let request = Request::new(method, &path).field("Depth", "0");
        if !connection.is_reusable() {
            return Err(warn("it is closed after an answer").advise(KEEP_ALIVE));
        }
        connection.send(&request)?;
        let answer = connection.answer(method)?;
        visit.note(&request, &answer);
        if method == "GET" && answer.body != OLD {
            return Err(fail("the answers do not belong to the requests").advise(FRAMING));
        }
    }
    Ok(())
}

fn refusal(visit: &mut Visit) -> Checked {
    let path = visit.file("refusal", OLD)?;
    let mut connection = visit.connect()?;
    let body = [NEW, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"].concat();
    let put = Request::new("PUT", &path).field("If-Match", WRONG_TAG).body(body);
    connection.send(&put)?;
    let answer = connection.answer("PUT")?;
    visit.note(&put, &answer);
    if !answer.is_refusal() {
        return Err(skip("the upload was not refused"));
    }
    if !connection.is_reusable() {
        return Err(note("it is closed"));
    }
    let get = Request::new("GET", &path);
    connection.send(&get)?;
    let next = connection.answer("GET")?;
    visit.note(&get, &next);
    match next.body == OLD {
        true => Ok(()),
        false => Err(fail("the body of the refused upload was taken for the next request")),
    }
}

fn no_content(visit: &mut Visit) -> Checked {
    let path = visit.file("no-content", OLD)?;
    let answers = [visit.send(&Request::new("PUT", &path).body(NEW))?, visit.send(&Request::new("DELETE", &path))?];
    for answer in answers.iter().filter(|answer| answer.status == 204) {
        if let Some(coding) = answer.field("transfer-encoding") {
            return Err(fail(format!("204 with Transfer-Encoding: {coding}")));
        }
        if let Some(length) = answer.field("content-length") {
            let text = format!("204 with Content-Length: {length} (RFC 9110 §8.6)");
            return Err(if length == "0" { note(text) } else { fail(text) });
        }
    }
    Ok(())
}

fn clock(visit: &mut Visit) -> Checked {
    let before = SystemTime::now();
    let answer = visit.send(&Request::new("OPTIONS", &visit.folder.clone()))?;
    let after = SystemTime::now();
    let Some(date) = answer.field("date") else { return Err(warn("the answer has no Date")) };
    let Ok(told) = httpdate::parse_http_date(date) else { return Err(fail(format!("Date: {date} is no date"))) };
    // It is told in whole seconds, cut off.
    let ahead = told.duration_since(after).unwrap_or_default();
    let behind = before.duration_since(told + Duration::from_secs(1)).unwrap_or_default();
    let apart = ahead.max(behind);
    if apart <= APART_MAX {
        return Ok(());
    }
    let word = if ahead > behind { "ahead of" } else { "behind" };
    Err(warn(format!("{} s {word} the clock of this machine", apart.as_secs())).advise(CLOCK))
}

fn dates(visit: &mut Visit) -> Checked {
    let path = visit.file("dates", OLD)?;
    let answer = visit.send(&Request::new("GET", &path))?;
    let Some(modified) = answer.field("last-modified") else { return Err(warn("there is no Last-Modified")) };
    let Ok(changed) = httpdate::parse_http_date(modified) else {
        return Err(fail(format!("Last-Modified: {modified} is no date")));
    };
    let now = answer.field("date").and_then(|date| httpdate::parse_http_date(date).ok());
    match now {
        Some(now) if changed > now + APART_MAX => Err(warn(format!("Last-Modified: {modified} lies ahead of Date"))),
        _ => Ok(()),
    }
}
