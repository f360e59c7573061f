//! Which parts of a file a request asks for: `Range` and `If-Range` (RFC 9110 §13.1.5, §14), and how several parts are put together.
//! Parts never overlap, so that an answer is never larger than the file and its few headings. A header that is not right is ignored, never
//! refused: the client then gets the whole file, which it can use.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

use actix_web::http::header::HeaderValue;
use bytes::Bytes;

use crate::http::wire::body::Part;
use crate::model::http_date;
use crate::model::tag::EntityTag;
use crate::model::validators::Validators;

/// The most parts of one answer. A request that would need more gets the whole file (RFC 9110 §14.2, §17.15).
const PARTS_MAX: usize = 16;

/// What a `Range` header comes to for a file of a known size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ranges {
    /// The whole file, as if there were no such header.
    Whole,
    /// These parts, at least one, in the order they were asked for. They lie within the file, are not empty and do not overlap.
    Parts(Vec<Range<u64>>),
    /// The header is right, and the file has none of what it asks for.
    Unsatisfiable,
}

/// Reads the field lines of `Range`.
///
/// Parts that overlap or touch become one, at the place of the first of them.
pub(crate) fn parse(lines: &[&[u8]], size: u64) -> Ranges {
    // The field is no list of lines: with two of them nobody can tell which one is meant.
    let [line] = lines else { return Ranges::Whole };
    let Some(members) = members_of(line) else { return Ranges::Whole };
    if size == 0 && members.iter().any(|member| matches!(member, RangeSpec::Suffix(length) if *length > 0)) {
        // Satisfiable, yet `Content-Range` cannot say where the nothing lies (RFC 9110 §14.1.2).
        return Ranges::Whole;
    }
    let parts = coalesce(members.iter().filter_map(|member| member.within(size)));
    match parts.len() {
        0 => Ranges::Unsatisfiable,
        1..=PARTS_MAX => Ranges::Parts(parts),
        _ => Ranges::Whole,
    }
}

/// Whether `If-Range` lets the `Range` beside it count: there is none, or it names exactly the version that is there.
///
/// A tag is compared strongly. A date has to be equal, and its second has to be over, so that no other version can have had it
/// (RFC 9110 §8.8.2.2, §13.1.5).
pub(crate) fn if_range_holds(value: Option<&[u8]>, validators: &Validators) -> bool {
    let Some(value) = value else { return true };
    let value = value.trim_ascii();
    if value.iter().take(3).any(|byte| *byte == b'"') {
        return strong_tag(value).is_some_and(|tag| validators.strongly_match(&tag));
    }
    http_date::parse(value).is_some_and(|date| validators.date.is_strongly_named_by(date))
}

/// `Content-Range` for a part that is sent.
pub(crate) fn content_range(part: &Range<u64>, size: u64) -> HeaderValue {
    ascii(format!("bytes {}-{}/{size}", part.start, part.end - 1))
}

/// `Content-Range` for an answer that says there is no such part.
pub(crate) fn unsatisfied_range(size: u64) -> HeaderValue {
    ascii(format!("bytes */{size}"))
}

/// The body of an answer with several parts, and its media type. Each part repeats the media type of the file (RFC 9110 §14.6).
pub(crate) fn multipart(parts: &[Range<u64>], size: u64, media_type: &HeaderValue) -> (HeaderValue, Vec<Part>) {
    // Nobody can have put into the file what was drawn only now.
    let boundary = format!("{:016x}{:016x}", draw(), draw());
    let mut pieces = Vec::with_capacity(parts.len() * 2 + 1);
    for part in parts {
        let mut heading = format!("\r\n--{boundary}\r\nContent-Type: ").into_bytes();
        heading.extend_from_slice(media_type.as_bytes());
        heading.extend_from_slice(b"\r\nContent-Range: ");
        heading.extend_from_slice(content_range(part, size).as_bytes());
        heading.extend_from_slice(b"\r\n\r\n");
        pieces.push(Part::Bytes(Bytes::from(heading)));
        pieces.push(Part::File(part.clone()));
    }
    pieces.push(Part::Bytes(Bytes::from(format!("\r\n--{boundary}--\r\n"))));
    (ascii(format!("multipart/byteranges; boundary={boundary}")), pieces)
}

/// One member of a range set, with numbers beyond `u64` brought down to its end.
#[derive(Clone, Copy, Debug)]
enum RangeSpec {
    /// From this byte to the end.
    From(u64),
    /// From this byte to that one, both counted.
    Closed(u64, u64),
    /// So many bytes at the end.
    Suffix(u64),
}

impl RangeSpec {
    fn parse(text: &[u8]) -> Option<Self> {
        let dash = text.iter().position(|byte| *byte == b'-')?;
        let (first, last) = (&text[..dash], &text[dash + 1..]);
        match (first.is_empty(), last.is_empty()) {
            (true, true) => None,
            (true, false) => Some(Self::Suffix(number(last)?)),
            (false, true) => Some(Self::From(number(first)?)),
            (false, false) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::Closed(first, last))
            }
        }
    }

    /// The bytes it means; `None` if the file has none of them.
    fn within(self, size: u64) -> Option<Range<u64>> {
        let part = match self {
            Self::From(first) => first..size,
            Self::Closed(first, last) => first..last.saturating_add(1).min(size),
            Self::Suffix(length) => size.saturating_sub(length)..size,
        };
        (part.start < part.end).then_some(part)
    }
}

/// A decimal number; one beyond `u64` is as large as any that a file could have.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let add = |value: u64, digit: &u8| value.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    is_number.then(|| text.iter().fold(0, add))
}

/// The members of `bytes=…`; `None` if the unit is another or a single member is wrong.
fn members_of(line: &[u8]) -> Option<Vec<RangeSpec>> {
    let line = line.trim_ascii();
    let equals = line.iter().position(|byte| *byte == b'=')?;
    if !line[..equals].eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    let members = line[equals + 1..].split(|byte| *byte == b',').map(trim).filter(|member| !member.is_empty());
    let members = members.map(RangeSpec::parse).collect::<Option<Vec<_>>>()?;
    (!members.is_empty()).then_some(members)
}

/// Makes one part of those that overlap or touch. Costs no more than sorting them.
fn coalesce(parts: impl Iterator<Item = Range<u64>>) -> Vec<Range<u64>> {
    let mut sorted: Vec<(usize, Range<u64>)> = parts.enumerate().collect();
    sorted.sort_unstable_by_key(|(_, part)| part.start);
    let mut merged: Vec<(usize, Range<u64>)> = Vec::new();
    for (place, part) in sorted {
        match merged.last_mut() {
            Some((first, last)) if part.start <= last.end => {
                *first = place.min(*first);
                last.end = last.end.max(part.end);
            }
            _ => merged.push((place, part)),
        }
    }
    merged.sort_unstable_by_key(|(place, _)| *place);
    merged.into_iter().map(|(_, part)| part).collect()
}

/// A strong tag that is all there is in `value`.
fn strong_tag(value: &[u8]) -> Option<EntityTag> {
    let opaque = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let is_right = opaque.iter().all(|byte| matches!(byte, 0x21 | 0x23..=0x7e | 0x80..));
    is_right.then(|| EntityTag::received(false, opaque))
}

/// Optional whitespace is spaces and tabs alone (RFC 9110 §5.6.3).
fn trim(text: &[u8]) -> &[u8] {
    let is_text = |byte: &u8| !matches!(byte, b' ' | b'\t');
    let first = text.iter().position(is_text).unwrap_or(text.len());
    let end = text.iter().rposition(is_text).map_or(first, |last| last + 1);
    &text[first..end]
}

fn draw() -> u64 {
    RandomState::new().hash_one(())
}

fn ascii(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("digits, letters and punctuation")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::dating::VersionDate;
    use crate::model::stamp::Timestamp;
    use proptest::prelude::*;

    fn parts(parts: &[(u64, u64)]) -> Ranges {
        Ranges::Parts(parts.iter().map(|(start, end)| *start..*end).collect())
    }

    #[test]
    fn what_ten_bytes_have_of_what_is_asked_for() {
        use Ranges::{Unsatisfiable, Whole};
        for (line, expected) in [
            ("bytes=0-0", parts(&[(0, 1)])),
            ("bytes=2-4", parts(&[(2, 5)])),
            ("BYTES=2-4", parts(&[(2, 5)])),
            (" bytes=2-4\t", parts(&[(2, 5)])),
            ("bytes=007-08", parts(&[(7, 9)])),
            ("bytes=7-", parts(&[(7, 10)])),
            ("bytes=9-9", parts(&[(9, 10)])),
            ("bytes=7-99", parts(&[(7, 10)])),
            ("bytes=0-", parts(&[(0, 10)])),
            ("bytes=-3", parts(&[(7, 10)])),
            ("bytes=-10", parts(&[(0, 10)])),
            ("bytes=-99", parts(&[(0, 10)])),
            ("bytes=-99999999999999999999999", parts(&[(0, 10)])),
            ("bytes=5-99999999999999999999999", parts(&[(5, 10)])),
            ("bytes=5-18446744073709551615", parts(&[(5, 10)])),
            ("bytes=0-1,5-6", parts(&[(0, 2), (5, 7)])),
            ("bytes=5-6 ,\t0-1", parts(&[(5, 7), (0, 2)])),
            ("bytes=,,0-1, ,5-6,", parts(&[(0, 2), (5, 7)])),
            ("bytes=99-,3-5,-0", parts(&[(3, 6)])),
            // Overlapping and touching ones become one, at the place of the first.
            ("bytes=8-9,2-4,3-6", parts(&[(8, 10), (2, 7)])),
            ("bytes=3-6,8-9,2-4", parts(&[(2, 7), (8, 10)])),
            ("bytes=0-1,2-3", parts(&[(0, 4)])),
            ("bytes=0-,1-,2-,-1", parts(&[(0, 10)])),
            // Right, and yet nothing is there.
            ("bytes=10-", Unsatisfiable),
            ("bytes=10-20", Unsatisfiable),
            ("bytes=-0", Unsatisfiable),
            ("bytes=-000", Unsatisfiable),
            ("bytes=18446744073709551615-", Unsatisfiable),
            ("bytes=99999999999999999999999-", Unsatisfiable),
            ("bytes=99999999999999999999998-99999999999999999999999", Unsatisfiable),
            ("bytes=99999999999999999999999-99999999999999999999998", Unsatisfiable),
            ("bytes=10-,-0,11-12", Unsatisfiable),
            // Not right: the whole of it is ignored.
            ("bytes=5-4", Whole),
            ("bytes=18446744073709551615-18446744073709551614", Whole),
            ("bytes=", Whole),
            ("bytes=,", Whole),
            ("bytes=-", Whole),
            ("bytes=a-b", Whole),
            ("bytes=1", Whole),
            ("bytes=1-2-3", Whole),
            ("bytes=--1", Whole),
            ("bytes=+1-2", Whole),
            ("bytes=1 - 2", Whole),
            ("bytes=0x1-2", Whole),
            ("bytes=0-1,x", Whole),
            ("bytes=99-,5-4", Whole),
            ("bytes = 0-1", Whole),
            ("bytes 0-1", Whole),
            ("0-1", Whole),
            ("", Whole),
            ("=0-1", Whole),
            ("lines=1-2", Whole),
        ] {
            assert_eq!(parse(&[line.as_bytes()], 10), expected, "{line}");
        }
        assert_eq!(parse(&[], 10), Whole);
        assert_eq!(parse(&[b"bytes=0-1", b"bytes=0-1"], 10), Whole);
        assert_eq!(parse(&[b"bytes=0-1\xff"], 10), Whole);
        assert_eq!(parse(&[b"bytes=0-1\x0b,2-3"], 10), Whole);
    }

    #[test]
    fn an_empty_file_has_no_first_byte() {
        for (line, expected) in [
            ("bytes=0-", Ranges::Unsatisfiable),
            ("bytes=0-0", Ranges::Unsatisfiable),
            ("bytes=-0", Ranges::Unsatisfiable),
            ("bytes=-5", Ranges::Whole),
            ("bytes=0-,-5", Ranges::Whole),
        ] {
            assert_eq!(parse(&[line.as_bytes()], 0), expected, "{line}");
        }
    }

    #[test]
    fn a_file_as_large_as_can_be() {
        assert_eq!(parse(&[b"bytes=-1"], u64::MAX), parts(&[(u64::MAX - 1, u64::MAX)]));
        assert_eq!(parse(&[b"bytes=0-18446744073709551615"], u64::MAX), parts(&[(0, u64::MAX)]));
    }

    #[test]
    fn too_many_parts_are_the_whole_file() {
        let many = |count: u64| {
            let members: Vec<String> = (0..count).map(|at| format!("{0}-{0}", at * 2)).collect();
            parse(&[format!("bytes={}", members.join(",")).as_bytes()], 10_000)
        };
        assert!(matches!(many(16), Ranges::Parts(parts) if parts.len() == 16));
        assert_eq!(many(17), Ranges::Whole);
        assert_eq!(many(1300), Ranges::Whole);
    }

    fn version(tag: &[u8], seconds: i64) -> Validators {
        let modified = Timestamp::new(seconds, 900_000_000);
        let date = VersionDate { modified, is_exact: true, last_arrival: Some(seconds), now: seconds + 1 };
        Validators { shown: EntityTag::received(false, tag), content: None, stamp: None, date }
    }

    #[test]
    fn if_range_holds_for_exactly_this_version() {
        const AT: i64 = 784_111_777;
        let current = version(b"cur", AT);
        for (value, expected) in [
            ("\"cur\"", true),
            (" \"cur\" ", true),
            ("\"old\"", false),
            ("W/\"cur\"", false),
            ("\"cur", false),
            ("\"cur\"x", false),
            ("\"cur\", \"cur\"", false),
            ("cur", false),
            ("", false),
            ("\"", false),
            ("*", false),
            ("Sun, 06 Nov 1994 08:49:37 GMT", true),
            ("Sunday, 06-Nov-94 08:49:37 GMT", true),
            ("Sun Nov  6 08:49:37 1994", true),
            ("Sun, 06 Nov 1994 08:49:38 GMT", false),
            ("Sun, 06 Nov 1994 08:49:36 GMT", false),
            ("Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT", false),
            ("yesterday", false),
        ] {
            assert_eq!(if_range_holds(Some(value.as_bytes()), &current), expected, "{value}");
        }
        assert!(if_range_holds(None, &current));
        assert!(!if_range_holds(Some(b"\"cur\xff"), &current));

        let date = Some(&b"Sun, 06 Nov 1994 08:49:37 GMT"[..]);
        let young = Validators { date: VersionDate { now: AT, ..current.date }, ..current.clone() };
        assert!(!if_range_holds(date, &young), "its second is not over");
        let shared = Validators { date: VersionDate { is_exact: false, ..current.date }, ..current.clone() };
        assert!(!if_range_holds(date, &shared), "another version had this date");
        let unsettled = Validators { shown: EntityTag::received(true, b"cur"), ..current };
        assert!(!if_range_holds(Some(b"\"cur\""), &unsettled), "a file that is being written");
    }

    #[test]
    fn several_parts_are_put_together_as_the_standard_says() {
        let media_type = HeaderValue::from_static("text/plain; charset=utf-8");
        let (outer, pieces) = multipart(&[500..600, 0..10], 1000, &media_type);
        let boundary =
            outer.to_str().expect("ASCII").strip_prefix("multipart/byteranges; boundary=").expect("a boundary");
        assert!(boundary.len() <= 70 && boundary.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        let text: String = pieces
            .iter()
            .map(|piece| match piece {
                Part::Bytes(bytes) => String::from_utf8_lossy(bytes).replace(boundary, "B"),
                Part::File(part) => format!("<{}..{}>", part.start, part.end),
            })
            .collect();
        assert_eq!(
            text,
            "\r\n--B\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes 500-599/1000\r\n\r\n<500..600>\
             \r\n--B\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes 0-9/1000\r\n\r\n<0..10>\r\n--B--\r\n"
        );
        let again = multipart(&[500..600, 0..10], 1000, &media_type).0;
        assert_ne!(again, outer);
        assert_eq!(unsatisfied_range(0), "bytes */0");
    }

    /// What the standard says of one member, without any of the care for cost.
    fn plainly(first: Option<u64>, last: Option<u64>, size: u64) -> Vec<u64> {
        let is_in = |at: &u64| match (first, last) {
            (Some(first), Some(last)) => (first..=last).contains(at),
            (Some(first), None) => *at >= first,
            (None, Some(length)) => *at >= size.saturating_sub(length),
            (None, None) => false,
        };
        (0..size).filter(is_in).collect()
    }

    proptest! {
        #[test]
        fn any_bytes_give_parts_that_lie_within_the_file(line: Vec<u8>, size: u64) {
            assert_sound(&parse(&[&line], size), size);
        }

        #[test]
        fn near_misses_give_parts_that_lie_within_the_file(set in "[-0-9, ax]{0,60}", size in 0..200u64) {
            assert_sound(&parse(&[format!("bytes={set}").as_bytes()], size), size);
        }

        #[test]
        fn parts_hold_what_the_standard_says(
            members in prop::collection::vec((prop::option::of(0..40u64), 0..40u64), 1..8),
            size in 1..32u64,
        ) {
            let text = |(first, last): &(Option<u64>, u64)| match first {
                Some(first) => format!("{first}-{}", first + last),
                None => format!("-{last}"),
            };
            let line = format!("bytes={}", members.iter().map(text).collect::<Vec<_>>().join(", "));
            let mut expected: Vec<u64> = members
                .iter()
                .flat_map(|(first, last)| plainly(*first, Some(first.unwrap_or(0) + last), size))
                .collect();
            expected.sort_unstable();
            expected.dedup();
            let mut found: Vec<u64> = match parse(&[line.as_bytes()], size) {
                Ranges::Parts(parts) => parts.into_iter().flatten().collect(),
                Ranges::Unsatisfiable => Vec::new(),
                Ranges::Whole => panic!("{line} is right"),
            };
            found.sort_unstable();
            prop_assert_eq!(found, expected, "{}", line);
        }
    }

    fn assert_sound(ranges: &Ranges, size: u64) {
        let Ranges::Parts(parts) = ranges else { return };
        assert!((1..=PARTS_MAX).contains(&parts.len()));
        assert!(parts.iter().all(|part| part.start < part.end && part.end <= size));
        assert!(parts.iter().map(|part| u128::from(part.end - part.start)).sum::<u128>() <= u128::from(size));
    }
}
