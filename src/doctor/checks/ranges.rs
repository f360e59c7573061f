//! Whether parts of a file are served as asked, and never parts of two versions as one.

use crate::client::{Answer, Request};
use crate::doctor::advice::RANGES;
use crate::doctor::check::{Check, Group};
use crate::doctor::finding::{Checked, fail, skip, warn};
use crate::doctor::visit::{Visit, WRONG_TAG};

pub(super) const GROUP: Group = Group {
    title: "Ranges",
    checks: &[
        Check { id: "range.first", title: "the first bytes", advice: RANGES, run: first },
        Check { id: "range.rest", title: "all from a byte on", advice: RANGES, run: rest },
        Check { id: "range.suffix", title: "the last bytes", advice: RANGES, run: suffix },
        Check { id: "range.beyond", title: "a range behind the end is 416", advice: RANGES, run: beyond },
        Check { id: "range.if-right", title: "If-Range with the right tag is 206", advice: RANGES, run: if_right },
        Check {
            id: "range.if-wrong",
            title: "If-Range with a wrong tag is the whole file",
            advice: RANGES,
            run: if_wrong,
        },
        Check {
            id: "range.match-wrong",
            title: "a range with a wrong If-Match is 412",
            advice: RANGES,
            run: match_wrong,
        },
    ],
};

const TEXT: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";

fn ask(visit: &mut Visit, range: &str) -> Checked<(Request, String)> {
    let path = visit.file("range", TEXT)?;
    Ok((Request::new("GET", &path).field("Range", format!("bytes={range}")), path))
}

fn is_part(answer: &Answer, from: usize, to: usize) -> Checked {
    let told = answer.field("content-range").unwrap_or("none");
    match answer.status {
        200 if answer.body == TEXT => {
            Err(warn("the whole file comes: broken downloads begin anew, and players cannot seek").advise(RANGES))
        }
        206 if told != format!("bytes {from}-{}/{}", to - 1, TEXT.len()) => Err(fail(format!("Content-Range: {told}"))),
        206 if answer.body == TEXT[from..to] => Ok(()),
        206 => Err(fail("other bytes came than were asked for")),
        status => Err(fail(format!("answered {status}"))),
    }
}

fn first(visit: &mut Visit) -> Checked {
    let (request, _) = ask(visit, "0-9")?;
    is_part(&visit.send(&request)?, 0, 10)
}

fn rest(visit: &mut Visit) -> Checked {
    let (request, _) = ask(visit, "30-")?;
    is_part(&visit.send(&request)?, 30, TEXT.len())
}

fn suffix(visit: &mut Visit) -> Checked {
    let (request, _) = ask(visit, "-5")?;
    is_part(&visit.send(&request)?, TEXT.len() - 5, TEXT.len())
}

fn beyond(visit: &mut Visit) -> Checked {
    let (request, _) = ask(visit, "100-200")?;
    let answer = visit.send(&request)?;
    let told = answer.field("content-range").unwrap_or("none");
    match answer.status {
        416 if told == format!("bytes */{}", TEXT.len()) => Ok(()),
        416 => Err(warn(format!("416 with Content-Range: {told} does not tell the length"))),
        200 if answer.body == TEXT => Err(warn("the whole file comes")),
        status => Err(fail(format!("answered {status}"))),
    }
}

fn if_right(visit: &mut Visit) -> Checked {
    let (request, path) = ask(visit, "0-9")?;
    let tag = visit.strong_tag(&path)?;
    is_part(&visit.send(&request.field("If-Range", tag))?, 0, 10)
}

fn if_wrong(visit: &mut Visit) -> Checked {
    let (request, _) = ask(visit, "0-9")?;
    let answer = visit.send(&request.field("If-Range", WRONG_TAG))?;
    match answer.status {
        200 if answer.body == TEXT => Ok(()),
        206 => Err(fail("a part comes: a download that goes on mixes two versions")),
        status => Err(fail(format!("answered {status}"))),
    }
}

fn match_wrong(visit: &mut Visit) -> Checked {
    let (request, _) = ask(visit, "0-9")?;
    let answer = visit.send(&request.field("If-Match", WRONG_TAG))?;
    match answer.status {
        412 => Ok(()),
        206 => Err(fail("a part comes: a download that goes on mixes two versions")),
        200 => Err(skip("neither the range nor the condition is heeded")),
        status => Err(warn(format!("answered {status}"))),
    }
}
