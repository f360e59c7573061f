//! Whether a read with a condition is answered as the condition says: what clients keep is neither fetched again nor taken for new.

use std::time::Duration;

use crate::client::Request;
use crate::doctor::check::{Check, Group};
use crate::doctor::finding::{Checked, fail, skip, warn};
use crate::doctor::visit::{OLD, Visit, WRONG_TAG};

use super::conditions::LONG_AGO;

const READS: &str =
    "what a client keeps is not compared: let the proxy pass the conditional headers on, and no compression between";

pub(super) const GROUP: Group = Group {
    title: "Conditions on reads",
    checks: &[
        Check { id: "reads.none-tag", title: "GET, If-None-Match with the tag is 304", advice: READS, run: none_tag },
        Check {
            id: "reads.none-tag-head",
            title: "HEAD, If-None-Match with the tag is 304",
            advice: READS,
            run: none_tag_head,
        },
        Check {
            id: "reads.none-other",
            title: "GET, If-None-Match with another tag is 200",
            advice: READS,
            run: none_other,
        },
        Check {
            id: "reads.match-wrong",
            title: "GET, If-Match with a wrong tag is 412",
            advice: READS,
            run: match_wrong,
        },
        Check { id: "reads.since", title: "GET, If-Modified-Since its date is 304", advice: READS, run: since },
        Check { id: "reads.since-old", title: "GET, If-Modified-Since long ago is 200", advice: READS, run: since_old },
        Check {
            id: "reads.unmodified-old",
            title: "GET, If-Unmodified-Since long ago is 412",
            advice: READS,
            run: unmodified_old,
        },
        Check { id: "reads.both", title: "GET, If-None-Match goes before If-Modified-Since", advice: READS, run: both },
    ],
};

/// A harmless difference is a warning: the client only reads more than it has to.
fn expect(visit: &mut Visit, request: &Request, status: u16, is_harmless: bool) -> Checked {
    let answer = visit.send(request)?;
    match answer.status {
        found if found == status && found != 200 => Ok(()),
        200 if status == 200 && (answer.body == OLD || request.method == "HEAD") => Ok(()),
        200 if status == 200 => Err(fail("the content is another one")),
        found if is_harmless => Err(warn(format!("answered {found} instead of {status}"))),
        found => Err(fail(format!("answered {found} instead of {status}"))),
    }
}

fn none_tag(visit: &mut Visit) -> Checked {
    with_tag(visit, "GET")
}

fn none_tag_head(visit: &mut Visit) -> Checked {
    with_tag(visit, "HEAD")
}

fn with_tag(visit: &mut Visit, method: &'static str) -> Checked {
    let path = visit.file("none-tag", OLD)?;
    let tag = visit.tag(&path)?.ok_or_else(|| skip("there is no ETag"))?;
    expect(visit, &Request::new(method, &path).field("If-None-Match", tag), 304, true)
}

fn none_other(visit: &mut Visit) -> Checked {
    let path = visit.file("none-other", OLD)?;
    expect(visit, &Request::new("GET", &path).field("If-None-Match", WRONG_TAG), 200, false)
}

fn match_wrong(visit: &mut Visit) -> Checked {
    let path = visit.file("match-wrong", OLD)?;
    expect(visit, &Request::new("GET", &path).field("If-Match", WRONG_TAG), 412, true)
}

/// A careful server takes no date for a version while its second is not over (RFC 9110 §8.8.2.2), nor that of a second in which it was started.
fn since(visit: &mut Visit) -> Checked {
    let mut path = visit.file("since", OLD)?;
    for round in 0..4 {
        if round == 2 {
            path = visit.file("since", OLD)?;
        }
        let head = visit.send(&Request::new("HEAD", &path))?;
        let date = head.field("last-modified").ok_or_else(|| skip("there is no Last-Modified"))?.to_owned();
        let answer = visit.send(&Request::new("GET", &path).field("If-Modified-Since", date))?;
        if answer.status == 304 {
            return Ok(());
        }
        visit.pause(Duration::from_millis(1100));
    }
    Err(warn("answered 200 instead of 304"))
}

fn since_old(visit: &mut Visit) -> Checked {
    let path = visit.file("since-old", OLD)?;
    expect(visit, &Request::new("GET", &path).field("If-Modified-Since", LONG_AGO), 200, false)
}

fn unmodified_old(visit: &mut Visit) -> Checked {
    let path = visit.file("unmodified-old", OLD)?;
    expect(visit, &Request::new("GET", &path).field("If-Unmodified-Since", LONG_AGO), 412, true)
}

/// A date that holds does not make a version known whose tag is another.
fn both(visit: &mut Visit) -> Checked {
    let path = visit.file("both", OLD)?;
    let head = visit.send(&Request::new("HEAD", &path))?;
    let date = head.field("last-modified").ok_or_else(|| skip("there is no Last-Modified"))?.to_owned();
    let request = Request::new("GET", &path).field("If-None-Match", WRONG_TAG).field("If-Modified-Since", date);
    expect(visit, &request, 200, false)
}
