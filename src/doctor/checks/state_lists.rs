//! Whether the `If` header of WebDAV is heeded (RFC 4918 §10.4): tags and tokens, for the target and for other resources.

use crate::client::Request;
use crate::doctor::advice::STATE_LISTS;
use crate::doctor::check::{Check, Group};
use crate::doctor::finding::Checked;
use crate::doctor::visit::{NEW, OLD, Visit, WRONG_TAG, WRONG_TOKEN};

macro_rules! check {
    ($id:literal, $title:literal, $run:ident) => {
        Check { id: $id, title: $title, advice: STATE_LISTS, run: $run }
    };
}

pub(super) const GROUP: Group = Group {
    title: "State lists (If)",
    checks: &[
        check!("if.tag", "PUT with the right tag", tag),
        check!("if.tag-wrong", "PUT with a wrong tag", tag_wrong),
        check!("if.not", "PUT with Not and a token that nothing has", not),
        check!("if.token-unlocked", "PUT with a token where no lock is", token_unlocked),
        check!("if.token", "PUT to a locked file with its token", token),
        check!("if.token-wrong", "PUT to a locked file with a wrong token", token_wrong),
        check!("if.token-tag-wrong", "PUT to a locked file with its token and a wrong tag", token_tag_wrong),
        check!("if.url", "PUT with the right tag for its own URL", url),
        check!("if.url-wrong", "PUT with a wrong tag for its own URL", url_wrong),
        check!("if.path-wrong", "PUT with a wrong tag for its own path", path_wrong),
        check!("if.url-other", "PUT with a wrong tag for another URL", url_other),
        check!("if.delete-wrong", "DELETE with a wrong tag", delete_wrong),
        check!("if.destination", "MOVE with the right tag of what it replaces", destination),
        check!("if.destination-wrong", "MOVE with a wrong tag of what it replaces", destination_wrong),
        check!("if.copy-destination-wrong", "COPY with a wrong tag of what it replaces", copy_destination_wrong),
    ],
};

fn put(path: &str, states: impl Into<String>) -> Request {
    Request::new("PUT", path).field("If", states).body(NEW)
}

fn refused(visit: &mut Visit, states: impl FnOnce(&Visit, &str) -> String) -> Checked {
    let path = visit.file("if-refused", OLD)?;
    let states = states(visit, &path);
    visit.refuses(&put(&path, states), &[412], &[(&path, Some(OLD))])
}

fn tag(visit: &mut Visit) -> Checked {
    let path = visit.file("if-tag", OLD)?;
    let tag = visit.strong_tag(&path)?;
    visit.accepts(&put(&path, format!("([{tag}])")), &[(&path, Some(NEW))]).map(drop)
}

fn tag_wrong(visit: &mut Visit) -> Checked {
    refused(visit, |_, _| format!("([{WRONG_TAG}])"))
}

fn not(visit: &mut Visit) -> Checked {
    let path = visit.file("if-not", OLD)?;
    visit.accepts(&put(&path, "(Not <DAV:no-lock>)"), &[(&path, Some(NEW))]).map(drop)
}

fn token_unlocked(visit: &mut Visit) -> Checked {
    refused(visit, |_, _| format!("(<{WRONG_TOKEN}>)"))
}

fn token(visit: &mut Visit) -> Checked {
    let path = visit.file("if-token", OLD)?;
    let token = visit.lock(&path)?;
    let accepted = visit.accepts(&put(&path, format!("(<{token}>)")), &[(&path, Some(NEW))]);
    visit.unlock(&path, &token)?;
    accepted.map(drop)
}

fn token_wrong(visit: &mut Visit) -> Checked {
    let path = visit.file("if-token-wrong", OLD)?;
    let token = visit.lock(&path)?;
    let refused = visit.refuses(&put(&path, format!("(<{WRONG_TOKEN}>)")), &[412, 423], &[(&path, Some(OLD))]);
    visit.unlock(&path, &token)?;
    refused
}

fn token_tag_wrong(visit: &mut Visit) -> Checked {
    let path = visit.file("if-token-tag-wrong", OLD)?;
    let token = visit.lock(&path)?;
    let states = format!("(<{token}> [{WRONG_TAG}])");
    let refused = visit.refuses(&put(&path, states), &[412, 423], &[(&path, Some(OLD))]);
    visit.unlock(&path, &token)?;
    refused
}

fn url(visit: &mut Visit) -> Checked {
    let path = visit.file("if-url", OLD)?;
    let tag = visit.strong_tag(&path)?;
    let states = format!("<{}> ([{tag}])", visit.url(&path));
    visit.accepts(&put(&path, states), &[(&path, Some(NEW))]).map(drop)
}

fn url_wrong(visit: &mut Visit) -> Checked {
    refused(visit, |visit, path| format!("<{}> ([{WRONG_TAG}])", visit.url(path)))
}

fn path_wrong(visit: &mut Visit) -> Checked {
    refused(visit, |_, path| format!("<{path}> ([{WRONG_TAG}])"))
}

fn url_other(visit: &mut Visit) -> Checked {
    let other = visit.file("if-other", OLD)?;
    refused(visit, |visit, _| format!("<{}> ([{WRONG_TAG}])", visit.url(&other)))
}

fn delete_wrong(visit: &mut Visit) -> Checked {
    let path = visit.file("if-delete", OLD)?;
    let request = Request::new("DELETE", &path).field("If", format!("([{WRONG_TAG}])"));
    visit.refuses(&request, &[412], &[(&path, Some(OLD))])
}

/// A file, another that it is to replace, and the request that does it.
fn replacing(visit: &mut Visit, method: &'static str) -> Checked<(Request, String, String)> {
    let from = visit.file("if-from", NEW)?;
    let to = visit.file("if-to", OLD)?;
    let request = Request::new(method, &from).field("Destination", visit.url(&to)).field("Overwrite", "T");
    Ok((request, from, to))
}

fn destination(visit: &mut Visit) -> Checked {
    let (request, from, to) = replacing(visit, "MOVE")?;
    let tag = visit.strong_tag(&to)?;
    let states = format!("<{}> ([{tag}])", visit.url(&to));
    visit.accepts(&request.field("If", states), &[(&from, None), (&to, Some(NEW))]).map(drop)
}

fn destination_wrong(visit: &mut Visit) -> Checked {
    replacing_refused(visit, "MOVE")
}

fn copy_destination_wrong(visit: &mut Visit) -> Checked {
    replacing_refused(visit, "COPY")
}

fn replacing_refused(visit: &mut Visit, method: &'static str) -> Checked {
    let (request, from, to) = replacing(visit, method)?;
    let states = format!("<{}> ([{WRONG_TAG}])", visit.url(&to));
    visit.refuses(&request.field("If", states), &[412], &[(&from, Some(NEW)), (&to, Some(OLD))])
}
