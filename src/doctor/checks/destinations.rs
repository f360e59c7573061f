//! Whether COPY and MOVE understand the `Destination` that clients send, and heed `Overwrite` and `Depth`.

use crate::client::Request;
use crate::doctor::advice::{DEPTH, DESTINATION, OVERWRITE};
use crate::doctor::check::{Check, Group};
use crate::doctor::finding::{Checked, fail, warn};
use crate::doctor::visit::{NEW, OLD, Visit, judge_refusal};

pub(super) const GROUP: Group = Group {
    title: "Destination, Overwrite, Depth",
    checks: &[
        Check {
            id: "destination.url",
            title: "Destination as a URL, as clients write it",
            advice: DESTINATION,
            run: url,
        },
        Check { id: "destination.path", title: "Destination as a path", advice: DESTINATION, run: path },
        Check {
            id: "destination.encoded",
            title: "Destination with an encoded name",
            advice: DESTINATION,
            run: encoded,
        },
        Check { id: "destination.orphan", title: "MOVE into a missing folder", advice: DESTINATION, run: orphan },
        Check {
            id: "destination.overwrite-f-move",
            title: "MOVE, Overwrite: F",
            advice: OVERWRITE,
            run: overwrite_f_move,
        },
        Check {
            id: "destination.overwrite-f-copy",
            title: "COPY, Overwrite: F",
            advice: OVERWRITE,
            run: overwrite_f_copy,
        },
        Check { id: "destination.overwrite-t", title: "MOVE, Overwrite: T", advice: OVERWRITE, run: overwrite_t },
        Check {
            id: "destination.overwrite-none",
            title: "MOVE without Overwrite replaces",
            advice: OVERWRITE,
            run: overwrite_none,
        },
        Check { id: "destination.depth-0", title: "COPY of a folder, Depth: 0", advice: DEPTH, run: depth_0 },
        Check {
            id: "destination.depth-infinity",
            title: "COPY of a folder, Depth: infinity",
            advice: DEPTH,
            run: depth_infinity,
        },
    ],
};

fn to(visit: &mut Visit, method: &'static str, destination: impl FnOnce(&Visit, &str) -> String) -> Checked {
    let from = visit.file("from", OLD)?;
    let to = visit.path("to");
    let destination = destination(visit, &to);
    visit.accepts(&Request::new(method, &from).field("Destination", destination), &[(&to, Some(OLD))]).map(drop)
}

fn url(visit: &mut Visit) -> Checked {
    to(visit, "MOVE", |visit, path| visit.url(path))
}

/// RFC 4918 §10.3 allows it; few clients send it.
fn path(visit: &mut Visit) -> Checked {
    to(visit, "COPY", |_, path| path.to_owned()).map_err(|finding| warn(finding.detail))
}

fn encoded(visit: &mut Visit) -> Checked {
    let from = visit.file("from", OLD)?;
    let to = visit.path("to").replace(".txt", "%20%25%2B%23%3F%C3%BC.txt");
    let request = Request::new("MOVE", &from).field("Destination", visit.url(&to));
    visit.accepts(&request, &[(&from, None), (&to, Some(OLD))]).map(drop)
}

fn orphan(visit: &mut Visit) -> Checked {
    let from = visit.file("from", OLD)?;
    let to = format!("{}missing/below.txt", visit.folder);
    let request = Request::new("MOVE", &from).field("Destination", visit.url(&to));
    let answer = visit.send(&request)?;
    if answer.is_success() && visit.content(&to)?.as_deref() == Some(OLD) {
        return Err(warn(format!(
            "answered {}: the missing folder was made (RFC 4918 §9.9.4 wants 409)",
            answer.status
        )));
    }
    visit.holds(answer.status, &[(&from, Some(OLD)), (&to, None)])?;
    judge_refusal("MOVE", &answer, &[409])
}

fn replacing(visit: &mut Visit, method: &'static str) -> Checked<(Request, String, String)> {
    let from = visit.file("from", NEW)?;
    let to = visit.file("to", OLD)?;
    let request = Request::new(method, &from).field("Destination", visit.url(&to));
    Ok((request, from, to))
}

fn overwrite_f(visit: &mut Visit, method: &'static str) -> Checked {
    let (request, from, to) = replacing(visit, method)?;
    visit.refuses(&request.field("Overwrite", "F"), &[412], &[(&from, Some(NEW)), (&to, Some(OLD))])
}

fn overwrite_f_move(visit: &mut Visit) -> Checked {
    overwrite_f(visit, "MOVE")
}

fn overwrite_f_copy(visit: &mut Visit) -> Checked {
    overwrite_f(visit, "COPY")
}

fn overwrite_t(visit: &mut Visit) -> Checked {
    let (request, from, to) = replacing(visit, "MOVE")?;
    visit.accepts(&request.field("Overwrite", "T"), &[(&from, None), (&to, Some(NEW))]).map(drop)
}

/// No Overwrite means T (RFC 4918 §10.6); macOS renames so.
fn overwrite_none(visit: &mut Visit) -> Checked {
    let (request, from, to) = replacing(visit, "MOVE")?;
    visit.accepts(&request, &[(&from, None), (&to, Some(NEW))]).map(drop)
}

fn depth(visit: &mut Visit, depth: &str, member: Option<&[u8]>) -> Checked {
    let from = visit.make_folder("tree")?;
    visit.write(&format!("{from}member.txt"), OLD)?;
    let to = from.replace("/tree-", "/tree-copy-");
    let request = Request::new("COPY", &from).field("Destination", visit.url(&to)).field("Depth", depth);
    let answer = visit.accepts(&request, &[])?;
    if visit.content(&format!("{to}member.txt"))?.as_deref() == member {
        return Ok(());
    }
    let what = if member.is_some() { "the member is not in the copy" } else { "the members were copied, too" };
    Err(fail(format!("answered {}, but {what}", answer.status)))
}

fn depth_0(visit: &mut Visit) -> Checked {
    depth(visit, "0", None)
}

fn depth_infinity(visit: &mut Visit) -> Checked {
    depth(visit, "infinity", Some(OLD))
}
