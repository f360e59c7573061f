//! Parts of files (RFC 9110 §14): what is asked for, what is ignored, and what cannot be had. A resumed download is always of one
//! version.

use crate::harness::{Answer, Dice, Server};

/// The table of single ranges over ten bytes, each with what the standard makes of it.
#[test]
fn one_range_is_given_or_refused_or_ignored() {
    let server = Server::start();
    server.write("ten", "0123456789");
    for (range, status, content_range, body) in [
        ("bytes=0-0", 206, "bytes 0-0/10", "0"),
        ("bytes=2-4", 206, "bytes 2-4/10", "234"),
        ("Bytes=2-4", 206, "bytes 2-4/10", "234"),
        ("bytes=7-", 206, "bytes 7-9/10", "789"),
        ("bytes=7-99", 206, "bytes 7-9/10", "789"),
        ("bytes=-3", 206, "bytes 7-9/10", "789"),
        ("bytes=-99", 206, "bytes 0-9/10", "0123456789"),
        ("bytes=5-99999999999999999999999", 206, "bytes 5-9/10", "56789"),
        ("bytes=10-", 416, "bytes */10", ""),
        ("bytes=99999999999999999999999-", 416, "bytes */10", ""),
        ("bytes=-0", 416, "bytes */10", ""),
        ("bytes=5-4", 200, "", "0123456789"),
        ("bytes=", 200, "", "0123456789"),
        ("bytes=a-b", 200, "", "0123456789"),
        ("bytes=1", 200, "", "0123456789"),
        ("bytes=0-1,x", 200, "", "0123456789"),
        ("0-1", 200, "", "0123456789"),
        ("lines=1-2", 200, "", "0123456789"),
    ] {
        let answer = server.get("/ten").range(range).expect(status);
        assert_eq!(answer.header("content-range").unwrap_or_default(), content_range, "{range}");
        if status != 416 {
            assert_eq!(answer.text(), body, "{range}");
        }
    }
}

/// A part carries the validators of the whole, so that the rest can be asked for.
#[test]
fn a_part_has_the_validators_of_the_whole() {
    let server = Server::start();
    server.write("ten", "0123456789");
    let whole = server.get("/ten").expect(200);
    let part = server.get("/ten").range("bytes=1-2").expect(206);
    for name in ["etag", "last-modified", "content-type", "accept-ranges", "cache-control"] {
        assert_eq!(part.field(name), whole.field(name), "{name}");
    }
    assert_eq!(part.field("content-length"), "2");
}

/// HEAD has no parts, and neither has a file that is not there.
#[test]
fn a_range_counts_for_get_only() {
    let server = Server::start();
    server.write("ten", "0123456789");
    let head = server.head("/ten").range("bytes=1-2").expect(200);
    assert_eq!(head.field("content-length"), "10");
    server.get("/none").range("bytes=1-2").expect(404);
    let tag = head.tag();
    server.get("/ten").range("bytes=1-2").if_none_match(&tag).expect(304);
    server.get("/ten").range("bytes=99-").if_match("\"other\"").expect(412);
}

/// An empty file has no first byte.
#[test]
fn an_empty_file_has_no_parts() {
    let server = Server::start();
    server.write("empty", "");
    let answer = server.get("/empty").range("bytes=0-").expect_any(&[200, 416]);
    if answer.status == 416 {
        assert_eq!(answer.field("content-range"), "bytes */0");
    }
    assert_eq!(server.get("/empty").range("bytes=-5").expect(200).body, b"");
}

/// Several parts come in the order they were asked for, each with its place; those that cannot be had are left out.
#[test]
fn several_parts_come_in_one_answer() {
    let server = Server::start();
    let content = Dice::new(1).bytes(1000);
    server.write("a.bin", &content);
    let answer = server.get("/a.bin").range("bytes=500-599, 0-9,-5, 2000-").expect(206);
    assert!(answer.header("content-range").is_none());
    let parts = parts_of(&answer);
    let ranges: Vec<&str> = parts.iter().map(|(range, _)| range.as_str()).collect();
    assert_eq!(ranges, ["bytes 500-599/1000", "bytes 0-9/1000", "bytes 995-999/1000"]);
    assert_eq!(parts[0].1, content[500..600]);
    assert_eq!(parts[1].1, content[..10]);
    assert_eq!(parts[2].1, content[995..]);
    let length = answer.field("content-length").parse::<usize>().unwrap();
    assert_eq!(length, answer.body.len());
}

/// One part of several can be had: it need not be wrapped, but it is the right one.
#[test]
fn one_part_left_of_several() {
    let server = Server::start();
    server.write("ten", "0123456789");
    let answer = server.get("/ten").range("bytes=99-, 3-5").expect(206);
    match answer.header("content-range") {
        Some(range) => assert_eq!((range, answer.text().as_str()), ("bytes 3-5/10", "345")),
        None => assert_eq!(parts_of(&answer), [("bytes 3-5/10".to_owned(), b"345".to_vec())]),
    }
    server.get("/ten").range("bytes=99-, 100-").expect(416);
}

/// A request for thirteen hundred overlapping parts costs no more than the file itself.
#[test]
fn a_small_request_makes_no_large_answer() {
    let server = Server::start();
    let size = 64 * 1024;
    server.write("a.bin", Dice::new(2).bytes(size));
    let ranges: Vec<String> = (0..1300).map(|start| format!("{start}-")).collect();
    let answer = server.get("/a.bin").range(&format!("bytes={}", ranges.join(","))).expect_any(&[200, 206, 416]);
    assert!(answer.body.len() <= 2 * size, "{} bytes for a file of {size}", answer.body.len());
}

/// A download is resumed only if the file is still the one it began with; otherwise it begins anew.
#[test]
fn if_range_resumes_one_version_or_begins_anew() {
    let server = Server::start();
    server.write("ten", "0123456789");
    let whole = server.get("/ten").expect(200);
    let tag = whole.tag();
    let resumed = server.get("/ten").range("bytes=5-").header("If-Range", &tag).expect(206);
    assert_eq!(resumed.text(), "56789");
    for other in
        [format!("W/{tag}"), "\"other\"".to_owned(), "garbage".to_owned(), "Sun, 06 Nov 1994 08:49:37 GMT".to_owned()]
    {
        let anew = server.get("/ten").range("bytes=5-").header("If-Range", &other).expect(200);
        assert_eq!(anew.text(), "0123456789", "{other}");
    }
    server.put("/ten").body("abcdefghij").expect(204);
    let anew = server.get("/ten").range("bytes=5-").header("If-Range", &tag).expect(200);
    assert_eq!(anew.text(), "abcdefghij");
    server.get("/ten").range("bytes=99-").header("If-Range", "\"other\"").expect(200);
}

/// Ranges of a large file are exact to the byte wherever they begin and end.
#[test]
fn parts_of_a_large_file_are_exact() {
    let server = Server::start();
    let size = 3 * 1024 * 1024 + 5;
    let content = Dice::new(3).bytes(size);
    server.write("large.bin", &content);
    let mut dice = Dice::new(4);
    let mut connection = server.connect();
    for _ in 0..40 {
        let first = dice.below(size as u64) as usize;
        let last = first + dice.below((size - first) as u64) as usize;
        let answer = connection.send(&server.get("/large.bin").range(&format!("bytes={first}-{last}"))).expect(206);
        assert!(answer.body == content[first..=last], "{first}-{last}");
    }
}

/// The parts of a multipart/byteranges answer: Content-Range and bytes.
fn parts_of(answer: &Answer) -> Vec<(String, Vec<u8>)> {
    let media_type = answer.field("content-type");
    let boundary = media_type.strip_prefix("multipart/byteranges; boundary=").expect("several parts");
    let delimiter = format!("--{boundary}");
    let mut rest = answer.body.as_slice();
    let mut parts = Vec::new();
    loop {
        rest = &rest[find(rest, delimiter.as_bytes()).expect("a delimiter") + delimiter.len()..];
        if rest.starts_with(b"--") {
            return parts;
        }
        let head_end = find(rest, b"\r\n\r\n").expect("the end of a part's head");
        let head = String::from_utf8_lossy(&rest[..head_end]).to_ascii_lowercase();
        let range =
            head.lines().find_map(|line| line.strip_prefix("content-range: ")).expect("a Content-Range").to_owned();
        assert!(head.contains("content-type:"), "{head}");
        let body = &rest[head_end + 4..];
        let end = find(body, format!("\r\n{delimiter}").as_bytes()).expect("the end of a part");
        parts.push((range, body[..end].to_vec()));
        rest = &body[end..];
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
