//! Whether names arrive as they were sent, and two names never become one file.

use percent_encoding::percent_decode_str;

use crate::client::Request;
use crate::doctor::advice::{NAMES, SLASHES};
use crate::doctor::check::{Check, Group};
use crate::doctor::finding::{Checked, fail, note, warn};
use crate::doctor::visit::{NEW, OLD, Visit};

/// A name that has to come back as it was sent; where the second, if there is one, is asked for, nothing may be found.
macro_rules! name {
    ($id:literal, $title:literal, $name:literal, $other:literal) => {
        Check { id: $id, title: $title, advice: NAMES, run: |visit| there_and_back(visit, $name, $other) }
    };
}

pub(super) const GROUP: Group = Group {
    title: "Names",
    checks: &[
        name!("name.space", "a space", "a%20b.txt", "a+b.txt"),
        name!("name.plus", "+", "a+b.txt", "a%20b.txt"),
        name!("name.percent", "%, which must not be decoded twice", "100%2541.txt", "100A.txt"),
        name!("name.hash", "#", "a%23b.txt", "a"),
        name!("name.question", "?", "a%3Fb.txt", "a"),
        name!("name.ampersand", "&", "a&b.txt", "a%26amp;b.txt"),
        name!("name.semicolon", ";", "a;b.txt", "a"),
        name!("name.umlaut", "ü, composed (NFC)", "%C3%BC.txt", ""),
        name!("name.umlaut-nfd", "ü, decomposed (NFD), as macOS has it", "u%CC%88.txt", ""),
        name!("name.emoji", "an emoji", "%F0%9F%90%9F.txt", ""),
        name!("name.dot-at-end", "a dot at the end", "a.", "a"),
        name!("name.dot-file", "a dot at the beginning", ".a", "a"),
        name!("name.tilde", "~", "~a.txt", ""),
        name!("name.apostrophe", "'", "it's.txt", ""),
        name!("name.quotes", "double quotes", "%22a%22.txt", ""),
        name!("name.brackets", "brackets", "%5Ba%5D.txt", ""),
        name!("name.colon", ":", "a:b.txt", "b.txt"),
        name!("name.backslash", "a backslash", "a%5Cb.txt", "a/b.txt"),
        Check { id: "name.long", title: "200 letters", advice: NAMES, run: long },
        Check { id: "name.forms", title: "ü in both forms is two files, or one by both", advice: NAMES, run: forms },
        Check {
            id: "name.encoded-slash",
            title: "a%2Fb is not the file b in the folder a",
            advice: SLASHES,
            run: encoded_slash,
        },
        Check {
            id: "name.double-slash",
            title: "a//b is refused, or one file all along",
            advice: SLASHES,
            run: double_slash,
        },
    ],
};

fn there_and_back(visit: &mut Visit, name: &str, other: &str) -> Checked {
    let folder = visit.make_folder("name")?;
    let path = format!("{folder}{name}");
    let answer = visit.send(&Request::new("PUT", &path).body(OLD))?;
    if !answer.is_success() {
        return Err(warn(format!("the name is refused ({})", answer.status)).advise(NAMES));
    }
    if visit.content(&path)?.as_deref() != Some(OLD) {
        return Err(fail("what was written is not found by its name"));
    }
    if !other.is_empty() && visit.content(&format!("{folder}{other}")).is_ok_and(|found| found.is_some()) {
        return Err(fail(format!("it is found as {other}, too")));
    }
    listed(visit, &folder, &path)?;
    let deleted = visit.send(&Request::new("DELETE", &path))?;
    visit.has_done(deleted.status, &[(&path, None)])
}

fn long(visit: &mut Visit) -> Checked {
    there_and_back(visit, &"letters-".repeat(25), "")
}

/// PROPFIND tells the name, and what it tells leads to the file.
fn listed(visit: &mut Visit, folder: &str, path: &str) -> Checked {
    let Ok(members) = visit.members(folder, "1", "<D:resourcetype/>") else { return Ok(()) };
    let is_folder = |name: &[u8]| name.len() < folder.len();
    let found: Vec<_> = members.iter().filter(|member| !is_folder(&member.name())).collect();
    let [member] = found.as_slice() else {
        return Err(fail(format!("PROPFIND lists {} files instead of one", found.len())));
    };
    let wanted: Vec<u8> = percent_decode_str(path).collect();
    if member.name() != wanted {
        return Err(fail(format!("PROPFIND calls it {}", member.href)));
    }
    match visit.content(member.path())?.as_deref() {
        Some(OLD) => Ok(()),
        _ => Err(fail(format!("PROPFIND calls it {}, where nothing is found", member.href))),
    }
}

fn forms(visit: &mut Visit) -> Checked {
    let folder = visit.make_folder("forms")?;
    let (composed, decomposed) = (format!("{folder}%C3%BC.txt"), format!("{folder}u%CC%88.txt"));
    visit.write(&composed, OLD)?;
    let answer = visit.send(&Request::new("PUT", &decomposed).field("If-None-Match", "*").body(NEW))?;
    let now = (visit.content(&composed)?, visit.content(&decomposed)?);
    match (now.0.as_deref(), now.1.as_deref()) {
        (Some(OLD), Some(NEW)) => Ok(()),
        (Some(OLD), Some(OLD) | None) if answer.is_refusal() => Err(note("one file by both")),
        _ => Err(fail(format!("answered {}, and one has overwritten the other", answer.status))),
    }
}

fn encoded_slash(visit: &mut Visit) -> Checked {
    let folder = visit.make_folder("slash")?;
    let inside = format!("{folder}b.txt");
    visit.write(&inside, OLD)?;
    let encoded = format!("{}%2Fb.txt", folder.trim_end_matches('/'));
    let read = visit.send(&Request::new("GET", &encoded))?;
    let written = visit.send(&Request::new("PUT", &encoded).body(NEW))?;
    visit.holds(written.status, &[(&inside, Some(OLD))])?;
    match read.status {
        200 if read.body == OLD => Err(warn("it reads the file b in the folder a").advise(SLASHES)),
        _ => Ok(()),
    }
}

fn double_slash(visit: &mut Visit) -> Checked {
    let folder = visit.make_folder("double")?;
    let (double, single) = (format!("{folder}/b.txt"), format!("{folder}b.txt"));
    let answer = visit.send(&Request::new("PUT", &double).body(OLD))?;
    if !answer.is_success() {
        return visit.holds(answer.status, &[(&single, None)]);
    }
    match visit.content(&double)?.as_deref() {
        Some(OLD) => Ok(()),
        _ => Err(warn(format!("answered {}, but by that name nothing is found", answer.status))),
    }
}
