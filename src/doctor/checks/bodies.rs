//! Whether uploads arrive whole whatever their form, and not at all where they break off.

use std::time::{Duration, Instant};

use crate::client::{Answer, Body, Connection, Request, Sent, chunk};
use crate::doctor::advice::{ATOMIC, CHUNKED, CONTENT_RANGE, EXPECT, LARGE, SLOW};
use crate::doctor::check::{Check, Group};
use crate::doctor::finding::{Checked, fail, note, skip, warn};
use crate::doctor::visit::{NEW, OLD, Visit, WRONG_TAG, judge_refusal};

pub(super) const GROUP: Group = Group {
    title: "Uploads",
    checks: &[
        Check { id: "body.empty", title: "an empty file", advice: CHUNKED, run: empty },
        Check { id: "body.chunked", title: "an upload in chunks, without a length", advice: CHUNKED, run: chunked },
        Check { id: "body.expect", title: "Expect: 100-continue is answered", advice: EXPECT, run: expect },
        Check {
            id: "body.expect-refused",
            title: "a refusal comes before the body",
            advice: EXPECT,
            run: expect_refused,
        },
        Check { id: "body.large", title: "a large upload", advice: LARGE, run: large },
        Check { id: "body.slow", title: "a slow upload", advice: SLOW, run: slow },
        Check {
            id: "body.meanwhile",
            title: "readers see the old file while a new one arrives",
            advice: ATOMIC,
            run: meanwhile,
        },
        Check { id: "body.cut", title: "an upload that breaks off leaves the old file", advice: ATOMIC, run: cut },
        Check {
            id: "body.cut-chunked",
            title: "one in chunks that breaks off leaves the old file",
            advice: ATOMIC,
            run: cut_chunked,
        },
        Check { id: "body.cut-new", title: "one that breaks off makes no file", advice: ATOMIC, run: cut_new },
        Check {
            id: "body.content-range",
            title: "a part of a file is not taken for the whole",
            advice: CONTENT_RANGE,
            run: content_range,
        },
    ],
};

/// How long a server may think about `Expect: 100-continue`.
const EXPECT_WITHIN: Duration = Duration::from_secs(5);

/// How many bytes are announced of an upload that breaks off in the middle.
const CUT: usize = 1024 * 1024;

/// How long it is looked whether an upload that broke off leaves something.
const LOOKED_FOR: Duration = Duration::from_millis(1500);

fn done(visit: &mut Visit, answer: &Answer, path: &str, content: &[u8]) -> Checked {
    if !answer.is_success() {
        return Err(fail(format!("answered {}", answer.status)));
    }
    match visit.content(path)? {
        Some(now) if now == content => Ok(()),
        Some(now) => {
            Err(fail(format!("answered {}, but {} of {} bytes are there", answer.status, now.len(), content.len())))
        }
        None => Err(fail(format!("answered {}, but no file is there", answer.status))),
    }
}

fn empty(visit: &mut Visit) -> Checked {
    let path = visit.path("empty");
    let answer = visit.send(&Request::new("PUT", &path).body(""))?;
    done(visit, &answer, &path, b"")
}

fn chunked(visit: &mut Visit) -> Checked {
    let path = visit.path("chunked");
    let content = pattern(0).repeat(3);
    let answer = visit.send(&Request::new("PUT", &path).framed(Body::Chunked(content.clone())))?;
    done(visit, &answer, &path, &content)
}

fn expecting(path: &str, content: &[u8]) -> Request {
    Request::new("PUT", path).field("Expect", "100-continue").framed(Body::Announced(content.len() as u64))
}

fn expect(visit: &mut Visit) -> Checked {
    let path = visit.path("expect");
    let request = expecting(&path, NEW);
    let mut connection = visit.connect()?;
    connection.send(&request)?;
    let is_answered = connection.wait(EXPECT_WITHIN);
    if is_answered {
        let first = connection.next_answer("PUT", &mut |_| {})?;
        if first.status != 100 {
            visit.note(&request, &first);
            return Err(fail(format!("answered {} instead of 100", first.status)));
        }
    }
    connection.write(NEW)?;
    let answer = connection.answer("PUT")?;
    visit.note(&request, &answer);
    done(visit, &answer, &path, NEW)?;
    let late = format!("nothing came within {} s; clients wait for nothing", EXPECT_WITHIN.as_secs());
    if is_answered { Ok(()) } else { Err(warn(late).advise(EXPECT)) }
}

fn expect_refused(visit: &mut Visit) -> Checked {
    let path = visit.file("expect-refused", OLD)?;
    let request = expecting(&path, NEW).field("If-Match", WRONG_TAG);
    let mut connection = visit.connect()?;
    connection.send(&request)?;
    let mut asked_for_body = true;
    if connection.wait(EXPECT_WITHIN) {
        let first = connection.next_answer("PUT", &mut |_| {})?;
        asked_for_body = first.status < 200;
        if !asked_for_body {
            visit.note(&request, &first);
            visit.holds(first.status, &[(&path, Some(OLD))])?;
            return judge_refusal("PUT", &first, &[412]);
        }
    }
    connection.write(NEW)?;
    let answer = connection.answer("PUT")?;
    visit.note(&request, &answer);
    visit.holds(answer.status, &[(&path, Some(OLD))])?;
    judge_refusal("PUT", &answer, &[412])?;
    match asked_for_body {
        true => Err(warn("refused only when the whole body had been sent").advise(EXPECT)),
        false => Ok(()),
    }
}

/// Some bytes that no compression makes smaller, another for each number.
fn pattern(number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..8192).flat_map(next).collect()
}

fn large(visit: &mut Visit) -> Checked {
    let size = visit.large;
    if size == 0 {
        return Err(skip("left out by --large 0"));
    }
    let path = visit.path("large");
    let request = Request::new("PUT", &path).framed(Body::Announced(size));
    let mut connection = visit.connect()?;
    let mut sent = connection.send(&request)?;
    let (mut left, mut number) = (size, 0);
    while left > 0 && sent == Sent::All {
        let piece = pattern(number);
        let count = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        sent = connection.write(&piece[..count])?;
        (left, number) = (left - count as u64, number + 1);
    }
    let answer = connection.answer("PUT")?;
    visit.note(&request, &answer);
    if !answer.is_success() {
        return Err(fail(format!("{size} bytes were answered {}", answer.status)));
    }
    compare_large(visit, &path, size)?;
    visit.send(&Request::new("DELETE", &path)).map(drop)
}

fn compare_large(visit: &mut Visit, path: &str, size: u64) -> Checked {
    let request = Request::new("GET", path);
    let mut connection = visit.connect()?;
    connection.send(&request)?;
    let (mut number, mut is_same) = (0, true);
    let mut wanted = Vec::new();
    let answer = connection.answer_with("GET", &mut |mut bytes| {
        while !bytes.is_empty() {
            if wanted.is_empty() {
                wanted = pattern(number);
                number += 1;
            }
            let count = bytes.len().min(wanted.len());
            is_same &= bytes[..count] == wanted[..count];
            wanted.drain(..count);
            bytes = &bytes[count..];
        }
    })?;
    visit.note(&request, &answer);
    match is_same && answer.length == size {
        true => Ok(()),
        false => Err(fail(format!("{size} bytes were sent, and other {} came back", answer.length))),
    }
}

fn slow(visit: &mut Visit) -> Checked {
    if visit.is_quick {
        return Err(skip("left out by --quick"));
    }
    let path = visit.path("slow");
    let content = b"slow and slow and slow and slow.".to_vec();
    let request = Request::new("PUT", &path).framed(Body::Announced(content.len() as u64));
    let mut connection = visit.connect()?;
    connection.send(&request)?;
    let begun = Instant::now();
    for piece in content.chunks(3) {
        if connection.has_answer() {
            break;
        }
        connection.write(piece)?;
        visit.pause(Duration::from_secs(1));
    }
    let took = begun.elapsed().as_secs();
    let answer = connection.answer("PUT").map_err(|error| fail(format!("cut off after {took} s: {error}")))?;
    visit.note(&request, &answer);
    done(visit, &answer, &path, &content)
}

/// Half of an upload, on a connection that is still open.
fn half(visit: &mut Visit, path: &str, is_chunked: bool) -> Checked<Connection> {
    let body = if is_chunked { Body::AnnouncedChunked } else { Body::Announced(CUT as u64) };
    let request = Request::new("PUT", path).framed(body);
    let mut connection = visit.connect()?;
    connection.send(&request)?;
    for number in 0..8 {
        let piece = pattern(number);
        let piece = if is_chunked { chunk(&piece) } else { piece };
        if connection.write(&piece)? == Sent::Cut {
            let answer = connection.answer("PUT")?;
            visit.note(&request, &answer);
            return Err(skip(format!("the upload was answered {} before its end", answer.status)));
        }
    }
    Ok(connection)
}

fn meanwhile(visit: &mut Visit) -> Checked {
    let path = visit.file("meanwhile", OLD)?;
    let connection = half(visit, &path, false)?;
    let looked = look_on(visit, &path, Some(OLD), Duration::from_millis(600), "while an upload arrives");
    drop(connection);
    looked
}

fn cut(visit: &mut Visit) -> Checked {
    let path = visit.file("cut", OLD)?;
    drop(half(visit, &path, false)?);
    look_on(visit, &path, Some(OLD), LOOKED_FOR, "after an upload broke off")
}

fn cut_chunked(visit: &mut Visit) -> Checked {
    let path = visit.file("cut-chunked", OLD)?;
    let connection = half(visit, &path, true);
    match connection {
        Ok(connection) => drop(connection),
        Err(finding) => return Err(finding),
    }
    look_on(visit, &path, Some(OLD), LOOKED_FOR, "after an upload broke off")
}

fn cut_new(visit: &mut Visit) -> Checked {
    let path = visit.path("cut-new");
    drop(half(visit, &path, false)?);
    look_on(visit, &path, None, LOOKED_FOR, "after an upload broke off")
}

/// Looks for a while whether a path holds what it has to.
fn look_on(visit: &mut Visit, path: &str, wanted: Option<&[u8]>, time: Duration, when: &str) -> Checked {
    let begun = Instant::now();
    while begun.elapsed() < time {
        let request = Request::new("GET", path);
        let mut connection = visit.connect()?;
        connection.send(&request)?;
        // A server may announce the new length with the old bytes.
        let found = connection.answer("GET").map_err(|error| fail(format!("{when} GET breaks: {error}")))?;
        visit.note(&request, &found);
        let is_wanted = match wanted {
            Some(content) => found.status == 200 && found.body == content,
            None => matches!(found.status, 404 | 410),
        };
        if !is_wanted {
            let what = match found.status {
                200 => format!("{} bytes of the new file are there", found.length),
                status => format!("GET is answered {status}"),
            };
            return Err(fail(format!("{when} {what}")));
        }
        visit.pause(Duration::from_millis(150));
    }
    Ok(())
}

fn content_range(visit: &mut Visit) -> Checked {
    let path = visit.file("content-range", OLD)?;
    let answer = visit.send(&Request::new("PUT", &path).field("Content-Range", "bytes 0-2/13").body("THE"))?;
    let mut patched = OLD.to_vec();
    patched[..3].copy_from_slice(b"THE");
    match visit.content(&path)? {
        Some(now) if now == OLD && answer.is_refusal() => Ok(()),
        Some(now) if now == patched && answer.is_success() => Err(note("it is put in its place")),
        Some(now) => {
            Err(fail(format!("answered {}, and {} bytes of {} are left", answer.status, now.len(), OLD.len())))
        }
        None => Err(fail(format!("answered {}, and the file is gone", answer.status))),
    }
}
