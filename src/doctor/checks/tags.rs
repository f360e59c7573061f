//! Whether entity tags arrive as the server made them, and whether they tell versions apart.

use crate::client::{Answer, Request};
use crate::doctor::advice::{CACHE, COMPRESSION, TAG_OF_VERSIONS, TAGS};
use crate::doctor::check::{Check, Group};
use crate::doctor::finding::{Checked, fail, note, skip, warn};
use crate::doctor::visit::{NEW, OLD, Visit};

pub(super) const GROUP: Group = Group {
    title: "Entity tags",
    checks: &[
        Check { id: "tags.get", title: "GET tells an ETag in quotes", advice: TAGS, run: get },
        Check { id: "tags.strong", title: "the ETag is strong", advice: TAGS, run: strong },
        Check { id: "tags.head", title: "HEAD tells the same ETag", advice: TAGS, run: head },
        Check { id: "tags.put", title: "PUT tells the same ETag", advice: TAGS, run: put },
        Check { id: "tags.propfind", title: "PROPFIND tells the same ETag", advice: TAGS, run: propfind },
        Check {
            id: "tags.versions",
            title: "two versions in one moment have two ETags",
            advice: TAG_OF_VERSIONS,
            run: versions,
        },
        Check {
            id: "tags.compression",
            title: "the ETag is the same where compression is offered",
            advice: COMPRESSION,
            run: compression,
        },
        Check {
            id: "tags.properties",
            title: "PROPPATCH and LOCK leave the ETag",
            advice: TAG_OF_VERSIONS,
            run: properties,
        },
        Check { id: "tags.fresh", title: "GET tells of a change at once", advice: CACHE, run: fresh },
    ],
};

fn get(visit: &mut Visit) -> Checked {
    let path = visit.file("tag", OLD)?;
    let answer = visit.send(&Request::new("GET", &path))?;
    let Some(tag) = answer.field("etag") else { return Err(fail("no ETag: there is nothing to name a version by")) };
    let opaque = tag.strip_prefix("W/").unwrap_or(tag);
    let inner = opaque.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match inner {
        Some(inner) if !inner.contains(['"', ' ']) => Ok(()),
        _ => Err(fail(format!("{tag} is not in quotes (RFC 9110 §8.8.3)"))),
    }
}

fn strong(visit: &mut Visit) -> Checked {
    let path = visit.file("strong", OLD)?;
    let first = visit.tag(&path)?.ok_or_else(|| skip("there is no ETag"))?;
    if !first.starts_with("W/") {
        return Ok(());
    }
    match visit.strong_tag(&path) {
        Ok(_) => Err(warn("it is weak in the first moments after a change: who saves twice in a second is refused")),
        Err(_) => Err(fail(format!("{first} is weak: no If-Match can hold (RFC 9110 §13.1.1)"))),
    }
}

fn same(wanted: Option<&str>, found: Option<&str>, from: &str) -> Checked {
    match (wanted, found) {
        (None, _) => Err(skip("GET tells no ETag")),
        (Some(wanted), None) => Err(fail(format!("GET tells {wanted}, {from} none"))),
        (Some(wanted), Some(found)) if wanted == found => Ok(()),
        (Some(wanted), Some(found)) => Err(fail(format!("GET tells {wanted}, {from} {found}"))),
    }
}

/// GET of a file whose tag will not change from weak to strong any more.
fn settled(visit: &mut Visit, path: &str) -> Checked<Answer> {
    let _ = visit.strong_tag(path);
    visit.send(&Request::new("GET", path))
}

fn head(visit: &mut Visit) -> Checked {
    let path = visit.file("head-tag", OLD)?;
    let get = settled(visit, &path)?;
    let head = visit.tag(&path)?;
    same(get.field("etag"), head.as_deref(), "HEAD")
}

fn put(visit: &mut Visit) -> Checked {
    let path = visit.path("put-tag");
    let put = visit.write(&path, OLD)?;
    let get = visit.send(&Request::new("GET", &path))?;
    if put.field("etag").is_none() && get.field("etag").is_some() {
        return Err(warn("PUT tells none: clients have to ask again, and may be told of another's version then"));
    }
    same(get.field("etag"), put.field("etag"), "PUT")
}

fn propfind(visit: &mut Visit) -> Checked {
    let path = visit.file("propfind-tag", OLD)?;
    let get = settled(visit, &path)?;
    let members = visit.members(&path, "0", "<D:getetag/>")?;
    let found = members.first().and_then(|member| member.value("DAV:", "getetag"));
    same(get.field("etag"), found, "PROPFIND")
}

/// Two texts of one length, as fast as they can be written. A tag of size and seconds does not tell them apart.
fn versions(visit: &mut Visit) -> Checked {
    let path = visit.path("versions");
    let mut last: Option<String> = None;
    for content in [OLD, NEW, OLD, NEW] {
        visit.write(&path, content)?;
        let tag = visit.tag(&path)?.ok_or_else(|| skip("there is no ETag"))?;
        if !tag.starts_with("W/") && last.as_ref() == Some(&tag) {
            return Err(fail(format!(
                "{tag} stands for two versions: a change in the same moment is overwritten unseen"
            )));
        }
        last = Some(tag);
    }
    Ok(())
}

fn compression(visit: &mut Visit) -> Checked {
    let text = "All work and no play makes a text that is easy to compress.\n".repeat(1100);
    let path = visit.file("compressible", text.as_bytes())?;
    let plain = settled(visit, &path)?;
    let asked = visit.send(&Request::new("GET", &path).field("Accept-Encoding", "gzip, br, zstd, deflate"))?;
    let (Some(plain_tag), coded_tag) = (plain.field("etag"), asked.field("etag")) else {
        return Err(skip("there is no ETag"));
    };
    let coding = asked.list("content-encoding");
    if coding.is_empty() || coding == "identity" {
        return match coded_tag == Some(plain_tag) && asked.body == text.as_bytes() {
            true => Ok(()),
            false => {
                Err(fail(format!("{plain_tag} becomes {} though nothing is compressed", coded_tag.unwrap_or("none"))))
            }
        };
    }
    let Some(coded_tag) = coded_tag else { return Err(fail(format!("compressed by {coding}, and the ETag is gone"))) };
    if coded_tag == plain_tag {
        return Err(fail(format!("compressed by {coding} with the very ETag of the plain text (RFC 9110 §8.8.3)")));
    }
    if coded_tag.starts_with("W/") {
        return Err(fail(format!("compressed by {coding}, and {plain_tag} becomes {coded_tag}: no If-Match can hold")));
    }
    let answer = visit.send(&Request::new("PUT", &path).field("If-Match", coded_tag).body(NEW))?;
    if !answer.is_success() {
        let text = format!(
            "compressed by {coding}, {plain_tag} becomes {coded_tag}, and that is refused in If-Match ({})",
            answer.status
        );
        return Err(fail(text));
    }
    match asked.list("vary").to_ascii_lowercase().contains("accept-encoding") {
        true => Err(note(format!("compressed by {coding}; {coded_tag} is known in If-Match"))),
        false => Err(warn(format!("compressed by {coding} without Vary: Accept-Encoding")).advise(COMPRESSION)),
    }
}

fn properties(visit: &mut Visit) -> Checked {
    let path = visit.file("properties", OLD)?;
    let before = visit.strong_tag(&path)?;
    visit.send(&super::conditions::proppatch(&path))?;
    if let Ok(token) = visit.lock(&path) {
        visit.unlock(&path, &token)?;
    }
    match visit.tag(&path)? {
        Some(after) if after == before => Ok(()),
        after => Err(warn(format!("{before} becomes {}: others take it for a change", after.unwrap_or_default()))),
    }
}

fn fresh(visit: &mut Visit) -> Checked {
    let path = visit.file("fresh", OLD)?;
    for content in [NEW, OLD] {
        visit.content(&path)?;
        visit.write(&path, content)?;
        let now = visit.send(&Request::new("GET", &path))?;
        if now.body != content {
            return Err(fail("GET gives what was there before the last PUT"));
        }
    }
    visit.send(&Request::new("DELETE", &path))?;
    if visit.content(&path)?.is_some() { Err(fail("GET gives what was deleted")) } else { Ok(()) }
}
