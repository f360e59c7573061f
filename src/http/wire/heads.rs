//! The head of a request while it comes: where it ends, what of it is too large, and what the parser must not see of it. A head is handed on
//! whole or not at all. Of what is understood otherwise than the parser would (a minor version above 1, `Upgrade`), a few bytes are put in
//! place of others; nothing is ever added or left out.

use std::io::BufRead as _;
use std::mem::MaybeUninit;

use httparse::Request;

use crate::http::wire::chunks::is_of_token;
use crate::http::wire::rejection::Rejection;

/// How many empty lines may come before a request line; one is what RFC 9112 §2.2 asks for.
const EMPTY_LINES_MAX: u8 = 4;

/// The longest request line, in bytes: no target that is longer can be parsed.
const LINE_BYTES_MAX: usize = 65_000;

/// As many fields as the parser takes of one head.
const FIELDS_MAX: usize = 96;

/// As many bytes as it takes.
const BYTES_MAX: usize = 128 * 1024 - 1;

/// What stands in a head in place of the word `upgrade`, which nobody here follows (RFC 9110 §7.8).
const IGNORED: &[u8; 7] = b"ignored";

/// How far a head has come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Head {
    bytes: usize,
    line_begins_at: usize,
    request_line: Option<(usize, usize)>,
    /// How much has been found to be the beginning of a head.
    parsed: usize,
    fields: usize,
    empty_lines: u8,
    has_fragment: bool,
}

/// What is known of a head after some more of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadSeen {
    /// It goes on.
    Begun,
    /// It ends after so many bytes. It may have to be refused all the same, in its turn.
    Complete(usize, Option<Rejection>),
    /// It is refused before its end, and nothing that follows can be a request.
    Refused(Rejection),
}

impl Head {
    /// How many bytes have been looked at.
    pub(crate) fn looked_at(&self) -> usize {
        self.bytes
    }

    /// Whether more has come than empty lines.
    pub(crate) fn has_begun(&self) -> bool {
        self.bytes > self.line_begins_at || self.request_line.is_some()
    }

    /// Looks at the bytes of a head from its beginning, of which some may have been looked at before.
    pub(crate) fn look(&mut self, bytes: &mut [u8], bytes_max: usize) -> HeadSeen {
        let bytes_max = bytes_max.min(BYTES_MAX);
        loop {
            let mut after = &bytes[self.bytes..];
            self.bytes += after.skip_until(b'\n').unwrap_or_default();
            let line = &mut bytes[self.line_begins_at..self.bytes];
            if !line.ends_with(b"\n") {
                return self.begun(bytes, bytes_max);
            }
            let is_empty = matches!(&*line, b"\n" | b"\r\n");
            match self.request_line {
                None if is_empty => {
                    self.empty_lines += 1;
                    if self.empty_lines > EMPTY_LINES_MAX {
                        return HeadSeen::Refused(Rejection::Malformed);
                    }
                }
                None => {
                    if line.len() > bytes_max.min(LINE_BYTES_MAX) {
                        return HeadSeen::Refused(Rejection::TargetTooLong);
                    }
                    self.has_fragment = line.contains(&b'#');
                    speak_our_version(line);
                    self.request_line = Some((self.line_begins_at, self.bytes));
                }
                Some(_) if self.bytes > bytes_max => return HeadSeen::Refused(Rejection::HeadersTooLarge),
                Some(_) if is_empty => {
                    let rejection = self.has_fragment.then_some(Rejection::FragmentInTarget);
                    return HeadSeen::Complete(self.bytes, rejection);
                }
                Some(_) => {
                    self.fields += 1;
                    if self.fields > FIELDS_MAX {
                        return HeadSeen::Refused(Rejection::HeadersTooLarge);
                    }
                    ignore_upgrade(line);
                }
            }
            self.line_begins_at = self.bytes;
        }
    }

    /// A head that is not complete. What cannot become one is not waited for.
    fn begun(&mut self, bytes: &[u8], bytes_max: usize) -> HeadSeen {
        match self.request_line {
            None if self.bytes - self.line_begins_at > bytes_max.min(LINE_BYTES_MAX) => {
                return HeadSeen::Refused(Rejection::TargetTooLong);
            }
            Some(_) if self.bytes > bytes_max => return HeadSeen::Refused(Rejection::HeadersTooLarge),
            _ => {}
        }
        let (lines, line) = bytes.split_at(self.line_begins_at);
        if self.request_line.is_none() {
            let method = line.split(|byte| *byte == b' ').next().unwrap_or_default();
            let is_method = matches!(method, b"\r") || method.iter().all(|byte| is_of_token(*byte));
            return if is_method { HeadSeen::Begun } else { HeadSeen::Refused(Rejection::Malformed) };
        }
        // Looked at again only where a line more is there: a head may come byte by byte.
        if self.parsed == lines.len() {
            return HeadSeen::Begun;
        }
        self.parsed = lines.len();
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        match Request::new(&mut []).parse_with_uninit_headers(lines, &mut fields) {
            Err(_) => HeadSeen::Refused(Rejection::Malformed),
            Ok(_) => HeadSeen::Begun,
        }
    }

    /// The request line, as far as it has come.
    pub(crate) fn line<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        self.request_line.map_or(&bytes[self.line_begins_at..], |(begin, end)| &bytes[begin..end])
    }
}

/// A higher minor version is served as the one that is spoken here (RFC 9112 §2.3, RFC 9110 §2.5).
fn speak_our_version(line: &mut [u8]) {
    let text = line.trim_ascii_end();
    if text.ends_with(b" HTTP/1.1") {
        return;
    }
    let at = text.len().saturating_sub(1);
    if text.len() >= 9 && text[..at].ends_with(b" HTTP/1.") && matches!(text[at], b'2'..=b'9') {
        line[at] = b'1';
    }
}

/// Puts another word in place of `Upgrade`, and of the option of that name in `Connection`: a protocol that is offered and not taken changes
/// nothing about a request (RFC 9110 §7.8).
fn ignore_upgrade(line: &mut [u8]) {
    let is = |name: &[u8]| line.len() > name.len() && line[..name.len()].eq_ignore_ascii_case(name);
    match line[0] {
        b'u' | b'U' if is(b"upgrade:") => line[..IGNORED.len()].copy_from_slice(IGNORED),
        b'c' | b'C' if is(b"connection:") => {
            for option in line[b"connection:".len()..].split_mut(|byte| *byte == b',') {
                let begin = option.len() - option.trim_ascii_start().len();
                if option.trim_ascii().eq_ignore_ascii_case(b"upgrade") {
                    option[begin..begin + IGNORED.len()].copy_from_slice(IGNORED);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at a head that comes in two pieces.
    fn look(bytes: &mut [u8], cut: usize, bytes_max: usize) -> (HeadSeen, Head) {
        let mut head = Head::default();
        let looked = match head.look(&mut bytes[..cut], bytes_max) {
            HeadSeen::Begun => head.look(bytes, bytes_max),
            looked => looked,
        };
        (looked, head)
    }

    /// However the bytes are cut, the same head is found.
    #[test]
    fn a_head_ends_at_its_empty_line() {
        for (text, length, fragment) in [
            (&b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /b"[..], 27, false),
            (b"GET / HTTP/1.1\nHost: a\n\nGET /b", 24, false),
            (b"\r\n\r\nGET / HTTP/1.1\r\n\r\nrest", 22, false),
            (b"\nGET / HTTP/1.1\n\r\nrest", 18, false),
            (b"DELETE /a#b HTTP/1.1\r\n\r\nrest", 24, true),
            (b"PUT /a HTTP/1.1\r\nX: #\r\n\r\n#", 25, false),
            (b"GET / HTTP/1.1\r\nX: \t \t\r\n\r\nrest", 26, false),
        ] {
            for cut in 0..=text.len() {
                let mut bytes = text.to_vec();
                let (looked, _) = look(&mut bytes, cut, 100);
                let rejection = fragment.then_some(Rejection::FragmentInTarget);
                assert_eq!(looked, HeadSeen::Complete(length, rejection), "{cut}: {}", text.escape_ascii());
                assert_eq!(bytes, text);
                let (looked, head) = look(&mut bytes[..cut.min(length - 1)], cut / 2, 100);
                assert_eq!(looked, HeadSeen::Begun, "{cut}: {}", text.escape_ascii());
                assert_eq!(head.looked_at(), cut.min(length - 1));
            }
        }
    }

    /// However the bytes are cut; and what is put in their place has as many.
    #[test]
    fn what_the_parser_would_take_otherwise_is_not_shown_to_it() {
        for (text, shown) in [
            ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("GET / HTTP/1.9\nHost: a\n\n", "GET / HTTP/1.1\nHost: a\n\n"),
            ("GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0\r\n\r\n"),
            ("GET / HTTP/1.10\r\n\r\n", "GET / HTTP/1.10\r\n\r\n"),
            ("GET / HTTP/2.2\r\n\r\n", "GET / HTTP/2.2\r\n\r\n"),
            ("GET /HTTP/1.2\r\n\r\n", "GET /HTTP/1.2\r\n\r\n"),
            ("GET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\n", "GET / HTTP/1.1\r\nignored: h2c\r\n\r\n"),
            ("GET / HTTP/1.1\r\nuPGRADE:websocket\r\n\r\n", "GET / HTTP/1.1\r\nignored:websocket\r\n\r\n"),
            (
                "GET / HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\n\r\n",
                "GET / HTTP/1.1\r\nConnection: keep-alive, ignored\r\n\r\n",
            ),
            (
                "GET / HTTP/1.1\r\nconnection:UPGRADE,close\r\n\r\n",
                "GET / HTTP/1.1\r\nconnection:ignored,close\r\n\r\n",
            ),
            (
                "GET /Upgrade: HTTP/1.1\r\nUpgrade-Insecure-Requests: 1\r\nX: upgrade\r\nConnection: upgraded\r\n\r\n",
                "GET /Upgrade: HTTP/1.1\r\nUpgrade-Insecure-Requests: 1\r\nX: upgrade\r\nConnection: upgraded\r\n\r\n",
            ),
        ] {
            // What the parser refuses may be refused before its end.
            let cuts = if text == shown && !text.contains("HTTP/1.1\r\n") { 0..=0 } else { 0..=text.len() };
            for cut in cuts {
                let mut bytes = text.as_bytes().to_vec();
                assert_eq!(look(&mut bytes, cut, 1000).0, HeadSeen::Complete(text.len(), None), "{cut}: {text:?}");
                assert_eq!(String::from_utf8(bytes).expect("only ASCII"), shown, "{cut}");
            }
        }
    }

    /// Whether it is complete or not, and wherever it is cut; a line that is too long by itself is told from fields that are.
    #[test]
    fn a_head_that_is_too_large_is_known() {
        let text = b"GET /1234567 HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
        for max in 0..text.len() {
            for cut in 0..=text.len() {
                let mut bytes = text.to_vec();
                let too_large = if max < 23 { Rejection::TargetTooLong } else { Rejection::HeadersTooLarge };
                let (looked, head) = look(&mut bytes, cut, max);
                assert_eq!(looked, HeadSeen::Refused(too_large), "{max}, {cut}");
                assert!(head.line(&bytes).starts_with(b"GET /1234567 HTTP/1.1\r\n"));
            }
        }
        let mut bytes = text.to_vec();
        assert_eq!(look(&mut bytes, 0, text.len()).0, HeadSeen::Complete(text.len(), None));
    }

    /// Nor byte by byte: what is no head is refused as soon as it shows.
    #[test]
    fn what_cannot_become_a_head_is_not_waited_for() {
        for text in ["\x16\x03\x01\x02", "\0\r\n", "(GET", "GET / HTTP/2.0\r\nHost", "GET / HTTP/1.1\r\nHost : a\r\nX"]
        {
            let (looked, _) = look(&mut text.as_bytes().to_vec(), 0, 1000);
            assert_eq!(looked, HeadSeen::Refused(Rejection::Malformed), "{text:?}");
        }
        for (count, is_fine) in [(96, true), (97, false), (500, false)] {
            for cut in [0, 30, 500] {
                let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(count));
                let too_large = HeadSeen::Refused(Rejection::HeadersTooLarge);
                let wanted = if is_fine { HeadSeen::Complete(many.len(), None) } else { too_large };
                assert_eq!(look(&mut many.into_bytes(), cut, 10_000).0, wanted, "{count}, {cut}");
            }
        }
        let large = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(BYTES_MAX));
        assert_eq!(look(&mut large.into_bytes(), 0, usize::MAX).0, HeadSeen::Refused(Rejection::HeadersTooLarge));
    }

    /// No client sends many empty lines, and none may keep a connection by them.
    #[test]
    fn empty_lines_are_counted() {
        for (lines, is_fine) in [(1, true), (4, true), (5, false), (5000, false)] {
            for line in ["\r\n", "\n"] {
                let mut bytes = line.repeat(lines).into_bytes();
                let (looked, head) = look(&mut bytes, lines / 2, 1000);
                let wanted = if is_fine { HeadSeen::Begun } else { HeadSeen::Refused(Rejection::Malformed) };
                assert_eq!(looked, wanted, "{lines}");
                assert!(!is_fine || !head.has_begun());
            }
        }
    }

    /// Bytes at random, of those that heads and chunks are made of.
    #[test]
    fn no_cut_changes_what_is_found() {
        let pieces =
            ["0", "1", "a", ";", "=", "\"", " ", "\r\n", "\n", "\r", ":", "GET / HTTP/1.1", "Host: a", "#", "\\"];
        let mut state = 1_u64;
        for _ in 0..20_000 {
            let mut text = Vec::new();
            for _ in 0..state % 12 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text.extend_from_slice(pieces[(state >> 33) as usize % pieces.len()].as_bytes());
            }
            state = state.wrapping_add(1);
            for cut in 0..=text.len() {
                crate::http::fuzzing::framing(&[&[cut as u8], &text[..]].concat());
            }
        }
    }
}
