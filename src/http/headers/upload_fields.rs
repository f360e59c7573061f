//! The header fields of Resumable Uploads for HTTP (draft-ietf-httpbis-resumable-upload, revision 12): items of structured fields (RFC 9651
//! §3.3). A field that is none of its kind counts as not there.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use sfv::{BareItem, Item, Parser};

/// The version of the draft that is spoken here, by which clients and servers find out whether they mean the same.
pub(crate) const INTEROP_VERSION: u64 = 8;

/// Whether this is the end of the upload.
pub(crate) const COMPLETE: HeaderName = HeaderName::from_static("upload-complete");

/// How many bytes the server has, or the client believes that it has.
pub(crate) const OFFSET: HeaderName = HeaderName::from_static("upload-offset");

/// How many bytes the whole has.
pub(crate) const LENGTH: HeaderName = HeaderName::from_static("upload-length");

/// What the server takes.
pub(crate) const LIMIT: HeaderName = HeaderName::from_static("upload-limit");

/// Which version of the draft is spoken.
pub(crate) const INTEROP: HeaderName = HeaderName::from_static("upload-draft-interop-version");

/// The media type of a part of an upload.
pub(crate) const PARTIAL: &str = "application/partial-upload";

/// `Upload-Complete`.
pub(crate) fn complete(headers: &HeaderMap) -> Option<bool> {
    match item(headers, &COMPLETE)? {
        BareItem::Boolean(complete) => Some(complete),
        _ => None,
    }
}

/// `Upload-Offset`, in bytes.
pub(crate) fn offset(headers: &HeaderMap) -> Option<u64> {
    number(headers, &OFFSET)
}

/// `Upload-Length`, in bytes.
pub(crate) fn length(headers: &HeaderMap) -> Option<u64> {
    number(headers, &LENGTH)
}

/// Whether a client speaks the version of the draft that is spoken here: only then it is told anything before the answer.
pub(crate) fn speaks_the_draft(headers: &HeaderMap) -> bool {
    number(headers, &INTEROP) == Some(INTEROP_VERSION)
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    match item(headers, name)? {
        BareItem::Integer(number) => u64::try_from(i64::from(number)).ok(),
        _ => None,
    }
}

fn item(headers: &HeaderMap, name: &HeaderName) -> Option<BareItem> {
    let mut lines = headers.get_all(name).map(HeaderValue::as_bytes);
    let (line, None) = (lines.next()?, lines.next()) else { return None };
    let item: Item = Parser::new(line).parse().ok()?;
    Some(item.bare_item)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(name: HeaderName, lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name.clone(), HeaderValue::from_str(line).expect("a value"));
        }
        headers
    }

    #[test]
    fn whether_an_upload_is_complete() {
        for (lines, expected) in [
            (&["?1"][..], Some(true)),
            (&["?0"], Some(false)),
            (&[" ?1 "], Some(true)),
            (&["?1;a=1"], Some(true)),
            (&["1"], None),
            (&["true"], None),
            (&["?2"], None),
            (&["?1, ?1"], None),
            (&["?1", "?1"], None),
            (&[""], None),
            (&[], None),
        ] {
            assert_eq!(complete(&headers(COMPLETE, lines)), expected, "{lines:?}");
        }
    }

    #[test]
    fn offsets_and_lengths() {
        for (lines, expected) in [
            (&["0"][..], Some(0)),
            (&["100"], Some(100)),
            (&["999999999999999"], Some(999_999_999_999_999)),
            (&["1000000000000000"], None),
            (&["-1"], None),
            (&["1.0"], None),
            (&["\"1\""], None),
            (&["1", "1"], None),
            (&["1 1"], None),
        ] {
            assert_eq!(offset(&headers(OFFSET, lines)), expected, "{lines:?}");
            assert_eq!(length(&headers(LENGTH, lines)), expected, "{lines:?}");
        }
        assert!(speaks_the_draft(&headers(INTEROP, &["8"])));
        assert!(!speaks_the_draft(&headers(INTEROP, &["7"])) && !speaks_the_draft(&headers(INTEROP, &[])));
    }

    proptest! {
        #[test]
        fn any_value_is_read_or_passed_over(value in "[ -~]{0,40}") {
            let _ = (complete(&headers(COMPLETE, &[&value])), offset(&headers(OFFSET, &[&value])));
        }
    }
}
