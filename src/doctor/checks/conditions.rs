//! Whether a write with a condition happens only if the condition holds, for each header and each method that changes something.

use std::time::Duration;

use crate::client::Request;
use crate::doctor::advice::{CONDITIONS, REFUSES_RIGHT};
use crate::doctor::check::{Check, Group};
use crate::doctor::finding::{Checked, Finding, fail, skip, warn};
use crate::doctor::visit::{NEW, OLD, Visit, WRONG_TAG, judge_refusal, lock_request};

pub(super) const GROUP: Group = Group {
    title: "Conditions on changes",
    checks: &[
        Check {
            id: "conditions.put-match",
            title: "PUT, If-Match with the right tag",
            advice: REFUSES_RIGHT,
            run: put_match,
        },
        Check {
            id: "conditions.put-match-list",
            title: "PUT, If-Match with a list that has the right tag",
            advice: REFUSES_RIGHT,
            run: put_match_list,
        },
        Check {
            id: "conditions.put-match-wrong",
            title: "PUT, If-Match with a wrong tag",
            advice: CONDITIONS,
            run: put_match_wrong,
        },
        Check {
            id: "conditions.put-match-stale",
            title: "PUT, If-Match with the tag of the version before",
            advice: CONDITIONS,
            run: put_match_stale,
        },
        Check {
            id: "conditions.put-match-any",
            title: "PUT, If-Match: * where nothing is",
            advice: CONDITIONS,
            run: put_match_any,
        },
        Check {
            id: "conditions.put-none-any",
            title: "PUT, If-None-Match: * where something is",
            advice: CONDITIONS,
            run: put_none_any,
        },
        Check {
            id: "conditions.put-none-any-new",
            title: "PUT, If-None-Match: * where nothing is",
            advice: REFUSES_RIGHT,
            run: put_none_any_new,
        },
        Check {
            id: "conditions.put-none-tag",
            title: "PUT, If-None-Match with the tag that is there",
            advice: CONDITIONS,
            run: put_none_tag,
        },
        Check {
            id: "conditions.put-date-old",
            title: "PUT, If-Unmodified-Since long ago",
            advice: CONDITIONS,
            run: put_date_old,
        },
        Check {
            id: "conditions.put-date",
            title: "PUT, If-Unmodified-Since its date",
            advice: REFUSES_RIGHT,
            run: put_date,
        },
        Check {
            id: "conditions.put-both",
            title: "PUT, If-Match goes before If-Unmodified-Since",
            advice: REFUSES_RIGHT,
            run: put_both,
        },
        Check {
            id: "conditions.delete-wrong",
            title: "DELETE, If-Match with a wrong tag",
            advice: CONDITIONS,
            run: delete_wrong,
        },
        Check {
            id: "conditions.delete-date-old",
            title: "DELETE, If-Unmodified-Since long ago",
            advice: CONDITIONS,
            run: delete_date_old,
        },
        Check {
            id: "conditions.delete-right",
            title: "DELETE, If-Match with the right tag",
            advice: REFUSES_RIGHT,
            run: delete_right,
        },
        Check {
            id: "conditions.copy-wrong",
            title: "COPY, If-Match with a wrong tag",
            advice: CONDITIONS,
            run: copy_wrong,
        },
        Check {
            id: "conditions.move-wrong",
            title: "MOVE, If-Match with a wrong tag",
            advice: CONDITIONS,
            run: move_wrong,
        },
        Check {
            id: "conditions.move-date-old",
            title: "MOVE, If-Unmodified-Since long ago",
            advice: CONDITIONS,
            run: move_date_old,
        },
        Check {
            id: "conditions.move-right",
            title: "MOVE, If-Match with the right tag",
            advice: REFUSES_RIGHT,
            run: move_right,
        },
        Check {
            id: "conditions.proppatch-wrong",
            title: "PROPPATCH, If-Match with a wrong tag",
            advice: CONDITIONS,
            run: proppatch_wrong,
        },
        Check {
            id: "conditions.mkcol-any",
            title: "MKCOL, If-Match: * where nothing is",
            advice: CONDITIONS,
            run: mkcol_any,
        },
        Check {
            id: "conditions.lock-wrong",
            title: "LOCK, If-Match with a wrong tag",
            advice: CONDITIONS,
            run: lock_wrong,
        },
    ],
};

/// A date before any file of a scratch folder.
pub(super) const LONG_AGO: &str = "Sat, 29 Oct 1994 19:43:31 GMT";

const NAMESPACE: &str = "http://example.org/doctor/";

/// A PROPPATCH that sets a property of ours.
pub(super) fn proppatch(path: &str) -> Request {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><D:propertyupdate xmlns:D=\"DAV:\" xmlns:n=\"{NAMESPACE}\"><D:set><D:prop>\
         <n:mark>set</n:mark></D:prop></D:set></D:propertyupdate>"
    );
    Request::new("PROPPATCH", path).field("Content-Type", "application/xml").body(body)
}

/// Whether the property of [`proppatch`] is there.
pub(super) fn has_property(visit: &mut Visit, path: &str) -> Checked<bool> {
    let members = visit.members(path, "0", &format!("<n:mark xmlns:n=\"{NAMESPACE}\"/>"))?;
    Ok(members.first().is_some_and(|member| member.value(NAMESPACE, "mark") == Some("set")))
}

fn put(path: &str) -> Request {
    Request::new("PUT", path).body(NEW)
}

/// A file, and a PUT to it that has to be refused.
fn put_refused(visit: &mut Visit, name: &'static str, value: &str) -> Checked {
    let path = visit.file("put-refused", OLD)?;
    visit.refuses(&put(&path).field(name, value), &[412], &[(&path, Some(OLD))])
}

fn put_match(visit: &mut Visit) -> Checked {
    let path = visit.file("put-match", OLD)?;
    let tag = visit.strong_tag(&path)?;
    visit.accepts(&put(&path).field("If-Match", tag), &[(&path, Some(NEW))]).map(drop)
}

fn put_match_list(visit: &mut Visit) -> Checked {
    let path = visit.file("put-match-list", OLD)?;
    let tag = visit.strong_tag(&path)?;
    let list = format!("\"a,b\", {tag}, {WRONG_TAG}");
    visit.accepts(&put(&path).field("If-Match", list), &[(&path, Some(NEW))]).map(drop)
}

fn put_match_wrong(visit: &mut Visit) -> Checked {
    put_refused(visit, "If-Match", WRONG_TAG)
}

/// Two people have read the same version, and the first has saved.
fn put_match_stale(visit: &mut Visit) -> Checked {
    let path = visit.file("put-match-stale", b"what both have read, which is longer\n")?;
    let tag = visit.strong_tag(&path)?;
    visit.write(&path, OLD)?;
    visit.refuses(&put(&path).field("If-Match", tag), &[412], &[(&path, Some(OLD))])
}

fn put_match_any(visit: &mut Visit) -> Checked {
    let path = visit.path("put-match-any");
    visit.refuses(&put(&path).field("If-Match", "*"), &[412], &[(&path, None)])
}

fn put_none_any(visit: &mut Visit) -> Checked {
    put_refused(visit, "If-None-Match", "*")
}

fn put_none_any_new(visit: &mut Visit) -> Checked {
    let path = visit.path("put-none-any");
    visit.accepts(&put(&path).field("If-None-Match", "*"), &[(&path, Some(NEW))]).map(drop)
}

fn put_none_tag(visit: &mut Visit) -> Checked {
    let path = visit.file("put-none-tag", OLD)?;
    let tag = visit.strong_tag(&path)?;
    visit.refuses(&put(&path).field("If-None-Match", tag), &[412], &[(&path, Some(OLD))])
}

fn put_date_old(visit: &mut Visit) -> Checked {
    put_refused(visit, "If-Unmodified-Since", LONG_AGO)
}

/// A careful server believes a date only when its second is over, and it was not the one in which the server was started.
fn put_date(visit: &mut Visit) -> Checked {
    let mut last = 0;
    for _ in 0..3 {
        let path = visit.file("put-date", OLD)?;
        visit.pause(Duration::from_millis(1100));
        let head = visit.send(&Request::new("HEAD", &path))?;
        let date = head.field("last-modified").ok_or_else(|| skip("there is no Last-Modified"))?.to_owned();
        last = visit.send(&put(&path).field("If-Unmodified-Since", date))?.status;
        if (200..300).contains(&last) {
            return Ok(());
        }
    }
    Err(warn(format!("answered {last}: who names a version by its date is refused")))
}

fn put_both(visit: &mut Visit) -> Checked {
    let path = visit.file("put-both", OLD)?;
    let tag = visit.strong_tag(&path)?;
    let request = put(&path).field("If-Match", tag).field("If-Unmodified-Since", LONG_AGO);
    let answer = visit.send(&request)?;
    match answer.status {
        200..=299 => Ok(()),
        412 => Err(warn("the date is looked at too (RFC 9110 §13.2.2); no harm, but who sends both is refused")),
        status => Err(fail(format!("answered {status}"))),
    }
}

fn delete_refused(visit: &mut Visit, name: &'static str, value: &str) -> Checked {
    let path = visit.file("delete-refused", OLD)?;
    visit.refuses(&Request::new("DELETE", &path).field(name, value), &[412], &[(&path, Some(OLD))])
}

fn delete_wrong(visit: &mut Visit) -> Checked {
    delete_refused(visit, "If-Match", WRONG_TAG)
}

fn delete_date_old(visit: &mut Visit) -> Checked {
    delete_refused(visit, "If-Unmodified-Since", LONG_AGO)
}

fn delete_right(visit: &mut Visit) -> Checked {
    let path = visit.file("delete-right", OLD)?;
    let tag = visit.strong_tag(&path)?;
    visit.accepts(&Request::new("DELETE", &path).field("If-Match", tag), &[(&path, None)]).map(drop)
}

fn transfer(visit: &mut Visit, method: &'static str) -> Checked<(Request, String, String)> {
    let from = visit.file("from", OLD)?;
    let to = visit.path("to");
    let request = Request::new(method, &from).field("Destination", visit.url(&to));
    Ok((request, from, to))
}

fn transfer_refused(visit: &mut Visit, method: &'static str, name: &'static str, value: &str) -> Checked {
    let (request, from, to) = transfer(visit, method)?;
    visit.refuses(&request.field(name, value), &[412], &[(&from, Some(OLD)), (&to, None)])
}

fn copy_wrong(visit: &mut Visit) -> Checked {
    transfer_refused(visit, "COPY", "If-Match", WRONG_TAG)
}

fn move_wrong(visit: &mut Visit) -> Checked {
    transfer_refused(visit, "MOVE", "If-Match", WRONG_TAG)
}

fn move_date_old(visit: &mut Visit) -> Checked {
    transfer_refused(visit, "MOVE", "If-Unmodified-Since", LONG_AGO)
}

fn move_right(visit: &mut Visit) -> Checked {
    let (request, from, to) = transfer(visit, "MOVE")?;
    let tag = visit.strong_tag(&from)?;
    visit.accepts(&request.field("If-Match", tag), &[(&from, None), (&to, Some(OLD))]).map(drop)
}

fn proppatch_wrong(visit: &mut Visit) -> Checked {
    let path = visit.file("proppatch-wrong", OLD)?;
    let answer = visit.send(&proppatch(&path).field("If-Match", WRONG_TAG))?;
    if answer.status == 207 && !has_property(visit, &path)? {
        return Err(skip("no property can be set here"));
    }
    if has_property(visit, &path).unwrap_or(false) {
        return Err(fail(format!("answered {}, and the property was set", answer.status)));
    }
    judge_refusal("PROPPATCH", &answer, &[412])
}

/// A folder has no tag, so that only `*` can be tried.
fn mkcol_any(visit: &mut Visit) -> Checked {
    let path = visit.path("mkcol-any").replace(".txt", "/");
    let answer = visit.send(&Request::new("MKCOL", &path).field("If-Match", "*"))?;
    match answer.is_success() {
        true => Err(warn(format!("answered {}: the folder was made; clients hardly ever ask so", answer.status))),
        false => judge_refusal("MKCOL", &answer, &[412]),
    }
}

fn lock_wrong(visit: &mut Visit) -> Checked {
    let path = visit.file("lock-wrong", OLD)?;
    if !visit.has_locks {
        return Err(skip("the server says that it has no locks"));
    }
    let answer = visit.send(&lock_request(&path).field("If-Match", WRONG_TAG))?;
    let token = answer.field("lock-token").map(|token| token.trim_matches(['<', '>']).to_owned());
    if let Some(token) = token {
        visit.remember_lock(&path, &token);
        visit.unlock(&path, &token)?;
        return Err(not_the_version(answer.status));
    }
    judge_refusal("LOCK", &answer, &[412])
}

fn not_the_version(status: u16) -> Finding {
    fail(format!("answered {status}, and a version was locked that the client has not seen"))
}
