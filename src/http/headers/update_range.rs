//! Which part of a file a body is: `X-Update-Range` of SabreDAV's partial updates, and `Content-Range` of a PUT (RFC 9110 §14.5).
//!
//! Nothing is guessed: what cannot be read would put bytes where nobody meant them.

use actix_web::http::header::HeaderMap;

use crate::http::headers::range::number;
use crate::model::update_range::UpdateRange;

/// The media type of a body that is a part, in the manner of SabreDAV.
pub(crate) const MEDIA_TYPE: &str = "application/x-sabredav-partialupdate";

/// The header of a PATCH that says where its body goes.
pub(crate) const X_UPDATE_RANGE: &str = "x-update-range";

/// Which part of a file a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AskedPart {
    /// Where it goes.
    pub(crate) range: UpdateRange,
    /// How long it has to be, in bytes, where both ends are told.
    pub(crate) length: Option<u64>,
}

/// Why a part is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadPart {
    /// It cannot be read, or is told twice.
    Form,
    /// Its end lies before its beginning.
    Backwards,
}

impl AskedPart {
    /// Whether a body of this length can be this part.
    pub(crate) fn fits(&self, announced: u64) -> bool {
        self.length.is_none_or(|length| length == announced)
    }

    fn between(first: u64, last: u64) -> Result<Self, BadPart> {
        let length = last.checked_sub(first).ok_or(BadPart::Backwards)?.checked_add(1).ok_or(BadPart::Form)?;
        Ok(Self { range: UpdateRange::From(first), length: Some(length) })
    }
}

impl From<UpdateRange> for AskedPart {
    fn from(range: UpdateRange) -> Self {
        Self { range, length: None }
    }
}

/// Reads `X-Update-Range`: `append`, `bytes=FIRST-LAST`, `bytes=FIRST-` or `bytes=-COUNT`.
pub(crate) fn update_range(headers: &HeaderMap) -> Result<AskedPart, BadPart> {
    let line = only_line(headers, X_UPDATE_RANGE)?;
    if line.eq_ignore_ascii_case(b"append") {
        return Ok(UpdateRange::Append.into());
    }
    let (first, last) = ends(after_unit(line, b'=')?)?;
    match (number(first), number(last)) {
        (Some(first), Some(last)) => AskedPart::between(first, last),
        (Some(first), None) if last.is_empty() => Ok(UpdateRange::From(first).into()),
        (None, Some(back)) if first.is_empty() => Ok(UpdateRange::FromEnd(back).into()),
        _ => Err(BadPart::Form),
    }
}

/// Reads `Content-Range`: `bytes FIRST-LAST/SIZE`, where the size may be `*`. What the size is said to become is not asked for: of a file that comes in
/// parts the first has it already.
pub(crate) fn content_range(headers: &HeaderMap) -> Result<AskedPart, BadPart> {
    let rest = after_unit(only_line(headers, "content-range")?, b' ')?;
    let slash = rest.iter().position(|byte| *byte == b'/').ok_or(BadPart::Form)?;
    let (first, last) = ends(&rest[..slash])?;
    let (Some(first), Some(last)) = (number(first), number(last)) else { return Err(BadPart::Form) };
    // RFC 9110 §14.4: what ends before it begins, or behind the whole, is no range.
    let size_holds = match &rest[slash + 1..] {
        b"*" => true,
        size => number(size).ok_or(BadPart::Form)? > last,
    };
    if size_holds { AskedPart::between(first, last) } else { Err(BadPart::Form) }
}

fn only_line<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a [u8], BadPart> {
    let mut lines = headers.get_all(name);
    match (lines.next(), lines.next()) {
        (Some(line), None) => Ok(line.as_bytes().trim_ascii()),
        _ => Err(BadPart::Form),
    }
}

/// What stands behind `bytes` and a sign.
fn after_unit(line: &[u8], sign: u8) -> Result<&[u8], BadPart> {
    let at = line.iter().position(|byte| *byte == sign).ok_or(BadPart::Form)?;
    if line[..at].eq_ignore_ascii_case(b"bytes") { Ok(&line[at + 1..]) } else { Err(BadPart::Form) }
}

fn ends(text: &[u8]) -> Result<(&[u8], &[u8]), BadPart> {
    let dash = text.iter().position(|byte| *byte == b'-').ok_or(BadPart::Form)?;
    Ok((&text[..dash], &text[dash + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    fn headers(name: &'static str, lines: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(line).expect("a value"));
        }
        headers
    }

    fn update(value: &str) -> Result<AskedPart, BadPart> {
        update_range(&headers(X_UPDATE_RANGE, &[value.as_bytes()]))
    }

    fn content(value: &str) -> Result<AskedPart, BadPart> {
        content_range(&headers("content-range", &[value.as_bytes()]))
    }

    fn part(range: UpdateRange, length: Option<u64>) -> Result<AskedPart, BadPart> {
        Ok(AskedPart { range, length })
    }

    #[test]
    fn what_an_update_range_says() {
        use BadPart::{Backwards, Form};
        use UpdateRange::{Append, From, FromEnd};
        for (value, expected) in [
            ("append", part(Append, None)),
            (" Append ", part(Append, None)),
            ("bytes=0-3", part(From(0), Some(4))),
            ("BYTES=3-3", part(From(3), Some(1))),
            ("bytes=12-", part(From(12), None)),
            ("bytes=-4", part(FromEnd(4), None)),
            ("bytes=-0", part(FromEnd(0), None)),
            ("bytes=007-8", part(From(7), Some(2))),
            ("bytes=99999999999999999999-", part(From(u64::MAX), None)),
            ("bytes=4-3", Err(Backwards)),
            ("bytes=0-99999999999999999999", Err(Form)),
            ("bytes=", Err(Form)),
            ("bytes=-", Err(Form)),
            ("bytes=1", Err(Form)),
            ("bytes=--1", Err(Form)),
            ("bytes=1-2-3", Err(Form)),
            ("bytes=1-2,4-5", Err(Form)),
            ("bytes= 1-2", Err(Form)),
            ("bytes=1 -2", Err(Form)),
            ("bytes=+1-2", Err(Form)),
            ("bytes=0x1-2", Err(Form)),
            ("bytes 1-2/3", Err(Form)),
            ("lines=1-2", Err(Form)),
            ("appendix", Err(Form)),
            ("append, append", Err(Form)),
            ("", Err(Form)),
        ] {
            assert_eq!(update(value), expected, "{value:?}");
        }
        let twice: &[&[u8]] = &[b"append", b"append"];
        assert_eq!(update_range(&headers(X_UPDATE_RANGE, twice)), Err(Form), "nobody can tell which one is meant");
        assert_eq!(update_range(&HeaderMap::new()), Err(Form));
    }

    #[test]
    fn what_a_content_range_says() {
        use BadPart::{Backwards, Form};
        for (value, expected) in [
            ("bytes 0-3/10", part(UpdateRange::From(0), Some(4))),
            ("bytes 10-13/*", part(UpdateRange::From(10), Some(4))),
            ("Bytes 0-9/10", part(UpdateRange::From(0), Some(10))),
            ("bytes 0-9/9", Err(Form)),
            ("bytes 4-3/*", Err(Backwards)),
            ("bytes */10", Err(Form)),
            ("bytes 0-/10", Err(Form)),
            ("bytes -4/10", Err(Form)),
            ("bytes 0-3", Err(Form)),
            ("bytes=0-3/10", Err(Form)),
            ("bytes  0-3/10", Err(Form)),
            ("bytes 0-3/ten", Err(Form)),
            ("", Err(Form)),
        ] {
            assert_eq!(content(value), expected, "{value:?}");
        }
    }

    #[test]
    fn only_a_body_of_the_right_length_is_a_part_with_two_ends() {
        let both = update("bytes=2-5").expect("a part");
        assert!(both.fits(4) && !both.fits(3) && !both.fits(5) && !both.fits(0));
        assert!(update("append").expect("a part").fits(0));
    }

    proptest! {
        #[test]
        fn any_value_is_read_or_refused(value in "[ -~]{0,40}", near in "(bytes[= ])?[0-9]{0,22}-[0-9]{0,22}(/[0-9*]{0,4})?") {
            for value in [&value, &near] {
                let read = [update(value), content(value)];
                for part in read.into_iter().flatten() {
                    prop_assert!(part.length.is_none_or(|length| length > 0));
                }
            }
        }

        #[test]
        fn what_is_written_is_read(first in any::<u64>(), more in 0..u64::from(u32::MAX), size in any::<u64>()) {
            let last = first.saturating_add(more);
            if let Some(length) = (last - first).checked_add(1) {
                prop_assert_eq!(update(&format!("bytes={first}-{last}")), part(UpdateRange::From(first), Some(length)));
                let told = content(&format!("bytes {first}-{last}/{size}"));
                prop_assert_eq!(told.is_ok(), size > last);
            }
            prop_assert_eq!(update(&format!("bytes={first}-")), part(UpdateRange::From(first), None));
            prop_assert_eq!(update(&format!("bytes=-{first}")), part(UpdateRange::FromEnd(first), None));
        }
    }
}
