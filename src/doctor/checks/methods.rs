//! Whether each method reaches the server, and does what it is for.

use crate::client::Request;
use crate::doctor::advice::{DEPTH, METHODS, REFERENCES};
use crate::doctor::check::{Check, Group};
use crate::doctor::finding::{Checked, fail, note, skip, warn};
use crate::doctor::multistatus::{Member, parse};
use crate::doctor::visit::{NEW, OLD, Visit, lock_request};

pub(super) const GROUP: Group = Group {
    title: "Methods",
    checks: &[
        Check { id: "methods.options", title: "OPTIONS says DAV: 1, 2", advice: METHODS, run: options },
        Check { id: "methods.put", title: "PUT makes and replaces a file", advice: METHODS, run: put },
        Check { id: "methods.head", title: "HEAD tells the length, without content", advice: METHODS, run: head },
        Check { id: "methods.propfind", title: "PROPFIND with Depth 0", advice: METHODS, run: propfind },
        Check { id: "methods.depth", title: "PROPFIND with Depth 1 lists the members", advice: DEPTH, run: depth },
        Check {
            id: "methods.href",
            title: "what PROPFIND names is below the URL asked",
            advice: REFERENCES,
            run: href,
        },
        Check { id: "methods.proppatch", title: "PROPPATCH sets a property", advice: METHODS, run: proppatch },
        Check { id: "methods.mkcol", title: "MKCOL makes a folder, and none twice", advice: METHODS, run: mkcol },
        Check { id: "methods.copy", title: "COPY", advice: METHODS, run: copy },
        Check { id: "methods.move", title: "MOVE", advice: METHODS, run: move_ },
        Check { id: "methods.delete", title: "DELETE", advice: METHODS, run: delete },
        Check { id: "methods.lock", title: "LOCK keeps others out, UNLOCK lets them in", advice: METHODS, run: lock },
        Check { id: "methods.lock-new", title: "LOCK of a free name", advice: METHODS, run: lock_new },
    ],
};

fn options(visit: &mut Visit) -> Checked {
    let answer = visit.send(&Request::new("OPTIONS", &visit.folder.clone()))?;
    let dav = answer.list("dav");
    let has = |wanted: &str| dav.split(',').any(|class| class.trim() == wanted);
    match (answer.is_success(), has("1"), has("2")) {
        (false, ..) => Err(fail(format!("OPTIONS was answered {}", answer.status))),
        (_, false, _) => Err(fail(format!(
            "DAV: {}: clients take it for no WebDAV server",
            if dav.is_empty() { "(none)" } else { &dav }
        ))),
        (_, _, false) => {
            Err(warn(format!("DAV: {dav}: no locks, so macOS mounts it read-only and Office opens files read-only")))
        }
        _ => Ok(()),
    }
}

fn put(visit: &mut Visit) -> Checked {
    let path = visit.path("put");
    for content in [OLD, NEW] {
        let answer = visit.send(&Request::new("PUT", &path).body(content))?;
        if !answer.is_success() {
            return Err(fail(format!("PUT was answered {}", answer.status)));
        }
        if visit.content(&path)?.as_deref() != Some(content) {
            return Err(fail(format!("PUT was answered {}, but GET gives something else", answer.status)));
        }
    }
    Ok(())
}

fn head(visit: &mut Visit) -> Checked {
    let path = visit.file("head", OLD)?;
    let answer = visit.send(&Request::new("HEAD", &path))?;
    // What follows on the same connection tells whether content came after all.
    let next = visit.content(&path)?;
    match answer.field("content-length").map(str::to_owned) {
        _ if answer.status != 200 => Err(fail(format!("HEAD was answered {}", answer.status))),
        _ if next.as_deref() != Some(OLD) => Err(fail("what follows on the connection is not the next answer")),
        None => Err(warn("no Content-Length: programs do not know the size")),
        Some(length) if length != OLD.len().to_string() => {
            Err(fail(format!("Content-Length: {length} for {} bytes", OLD.len())))
        }
        Some(_) => Ok(()),
    }
}

const ALL: &str = "<D:resourcetype/><D:getcontentlength/>";

fn propfind(visit: &mut Visit) -> Checked {
    let path = visit.file("propfind", OLD)?;
    let members = visit.members(&path, "0", ALL)?;
    match members.as_slice() {
        [one] if one.value("DAV:", "getcontentlength") == Some(&OLD.len().to_string()) => Ok(()),
        [_] => Err(fail("getcontentlength is not the length of the file")),
        several => Err(fail(format!("{} resources instead of one", several.len()))),
    }
}

/// A folder with a file and a folder in it; what PROPFIND says of it.
fn listing(visit: &mut Visit) -> Checked<(String, Vec<Member>)> {
    let folder = visit.make_folder("listing")?;
    visit.write(&format!("{folder}file.txt"), OLD)?;
    visit.send(&Request::new("MKCOL", &format!("{folder}below/")))?;
    visit.write(&format!("{folder}below/deep.txt"), OLD)?;
    let members = visit.members(&folder, "1", ALL)?;
    Ok((folder, members))
}

fn depth(visit: &mut Visit) -> Checked {
    let (_, members) = listing(visit)?;
    let mut names: Vec<String> = members.iter().map(|m| String::from_utf8_lossy(&m.name()).into_owned()).collect();
    names.sort();
    let ends = |at: usize, end: &str| names.get(at).is_some_and(|name| name.ends_with(end));
    match names.len() {
        3 if ends(1, "/below") && ends(2, "/file.txt") => Ok(()),
        count => Err(fail(format!("{count} resources instead of the folder and its two members"))),
    }
}

fn href(visit: &mut Visit) -> Checked {
    let (folder, members) = listing(visit)?;
    for member in members {
        let is_absolute = member.href.contains("://");
        let origin = visit.url("/");
        let begins_right =
            |href: &str| href.get(..origin.len()).is_some_and(|start| start.eq_ignore_ascii_case(&origin));
        if is_absolute && !begins_right(&member.href) {
            return Err(fail(format!("{} is not on {origin}", member.href)));
        }
        if !member.name().starts_with(folder.trim_end_matches('/').as_bytes()) {
            return Err(fail(format!("{} is not below {folder}", member.href)));
        }
    }
    Ok(())
}

fn proppatch(visit: &mut Visit) -> Checked {
    let path = visit.file("proppatch", OLD)?;
    let answer = visit.send(&super::conditions::proppatch(&path))?;
    if answer.status != 207 && !answer.is_success() {
        return Err(fail(format!("PROPPATCH was answered {}", answer.status)));
    }
    let told = parse(&answer.body).ok().and_then(|members| members.first()?.properties.first().map(|p| p.status));
    if let Some(status @ 400..) = told {
        return Err(warn(format!("the property is refused ({status}): clients cannot keep dates or marks")));
    }
    match super::conditions::has_property(visit, &path)? {
        true => Ok(()),
        false => Err(warn("the property was taken, but is not there")),
    }
}

fn mkcol(visit: &mut Visit) -> Checked {
    let folder = visit.make_folder("mkcol")?;
    let twice = visit.send(&Request::new("MKCOL", &folder))?;
    let orphan = visit.send(&Request::new("MKCOL", &format!("{folder}missing/below/")))?;
    match (twice.status, orphan.status) {
        (405, 409) => Ok(()),
        (twice, _) if twice < 400 => Err(fail(format!("a folder that is there is made again ({twice})"))),
        (_, orphan) if orphan < 400 => {
            Err(warn(format!("a folder is made in a missing one ({orphan} instead of 409)")))
        }
        (twice, orphan) => Err(note(format!("refused with {twice} and {orphan}"))),
    }
}

fn copy(visit: &mut Visit) -> Checked {
    transfer(visit, "COPY", Some(OLD))
}

fn move_(visit: &mut Visit) -> Checked {
    transfer(visit, "MOVE", None)
}

fn transfer(visit: &mut Visit, method: &'static str, left: Option<&[u8]>) -> Checked {
    let from = visit.file("from", OLD)?;
    let to = visit.path("to");
    let request = Request::new(method, &from).field("Destination", visit.url(&to));
    let answer = visit.send(&request)?;
    if !answer.is_success() {
        return Err(fail(format!("{method} was answered {}", answer.status)));
    }
    visit.has_done(answer.status, &[(&from, left), (&to, Some(OLD))])
}

fn delete(visit: &mut Visit) -> Checked {
    let path = visit.file("delete", OLD)?;
    let answer = visit.send(&Request::new("DELETE", &path))?;
    if !answer.is_success() {
        return Err(fail(format!("DELETE was answered {}", answer.status)));
    }
    visit.has_done(answer.status, &[(&path, None)])
}

fn lock(visit: &mut Visit) -> Checked {
    let path = visit.file("lock", OLD)?;
    if !visit.has_locks {
        return Err(skip("the server says that it has no locks"));
    }
    let token = visit.lock(&path).map_err(|finding| fail(finding.detail))?;
    visit.refuses(&Request::new("PUT", &path).body(NEW), &[423], &[(&path, Some(OLD))])?;
    let unlocked = visit.unlock(&path, &token)?;
    if !unlocked.is_success() {
        return Err(fail(format!("UNLOCK was answered {}", unlocked.status)));
    }
    let answer = visit.send(&Request::new("PUT", &path).body(NEW))?;
    if answer.is_success() { Ok(()) } else { Err(fail(format!("unlocked, and yet PUT is answered {}", answer.status))) }
}

fn lock_new(visit: &mut Visit) -> Checked {
    let path = visit.path("lock-new");
    if !visit.has_locks {
        return Err(skip("the server says that it has no locks"));
    }
    let answer = visit.send(&lock_request(&path))?;
    let Some(token) = answer.field("lock-token").map(|token| token.trim_matches(['<', '>']).to_owned()) else {
        return Err(warn(format!(
            "LOCK was answered {} without a Lock-Token: davfs2 and Office cannot make files",
            answer.status
        )));
    };
    visit.remember_lock(&path, &token);
    visit.unlock(&path, &token)?;
    match answer.status {
        201 => Ok(()),
        status => Err(warn(format!("answered {status} instead of 201: davfs2 then takes the file for another's"))),
    }
}
