//! The parsers of this room, as the fuzz targets call them: raw bytes in, and what must hold of whatever comes out is asserted here.
//! No part of the program, and of no use to anybody else.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

use super::digest::{self, Expected};
use super::range::{self, Ranges};
use crate::model::precondition::Validators;
use crate::model::stamp::Timestamp;
use crate::model::tag::EntityTag;

/// `Range` and `If-Range`; lines are parted by line breaks.
pub fn range(bytes: &[u8], size: u64) {
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    if let Ranges::Parts(parts) = range::parse(&lines, size) {
        assert!((1..=16).contains(&parts.len()));
        assert!(parts.iter().all(|part| part.start < part.end && part.end <= size));
        assert!(parts.iter().map(|part| u128::from(part.end - part.start)).sum::<u128>() <= u128::from(size));
    }
    let validators = Validators {
        shown: EntityTag::received(false, b"cur"),
        content: None,
        stamp: None,
        modified: Timestamp::new(784_111_777, 0),
        date_is_exact: true,
    };
    if range::if_range_holds(Some(bytes), &validators, Timestamp::new(784_111_778, 0)) {
        let text = String::from_utf8_lossy(bytes);
        assert!(text.trim() == "\"cur\"" || text.contains("08:49:37"), "{text}");
    }
}

/// `Content-Digest`, `Repr-Digest`, `OC-Checksum` and `Want-Repr-Digest`; the first byte chooses, and lines are parted by line breaks.
pub fn digests(bytes: &[u8]) {
    const NAMES: [&str; 4] = ["content-digest", "repr-digest", "oc-checksum", "want-repr-digest"];
    let Some((first, rest)) = bytes.split_first() else { return };
    let mut headers = HeaderMap::new();
    for line in rest.split(|byte| *byte == b'\n') {
        let Ok(value) = HeaderValue::from_bytes(line) else { return };
        headers.append(HeaderName::from_static(NAMES[usize::from(*first) % NAMES.len()]), value);
    }
    digest::wanted(&headers);
    let Ok(expected) = Expected::from_headers(&headers) else { return };
    let holds_for = |expected: Expected, contents: &[&[u8]]| {
        let mut checker = expected.checker();
        contents.iter().for_each(|content| checker.update(content));
        checker.finish().is_ok()
    };
    // Nothing holds its own digest, so these bytes are only right where any are: where there was nothing to check.
    assert_eq!(holds_for(expected.clone(), &[bytes]), holds_for(expected, &[bytes, b"more"]));
}
