//! The header fields of tus 1.0: numbers, metadata in base 64, and the checksum of a part.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The version of the protocol that is spoken here.
pub(crate) const VERSION: &str = "1.0.0";

/// By which a client and a server say which version they speak.
pub(crate) const RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");

/// Until when an upload is kept.
pub(crate) const EXPIRES: HeaderName = HeaderName::from_static("upload-expires");

/// What a client says of the file.
pub(crate) const METADATA: HeaderName = HeaderName::from_static("upload-metadata");

/// What the bytes of a part come to.
pub(crate) const CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");

/// The media type of a part.
pub(crate) const PART: &str = "application/offset+octet-stream";

/// How many pairs there may be in metadata.
const PAIRS_MAX: usize = 64;

/// Whether a client speaks the version that is spoken here.
pub(crate) fn speaks(headers: &HeaderMap) -> bool {
    only(headers, &RESUMABLE).is_some_and(|version| version == VERSION.as_bytes())
}

/// A number of bytes, in digits alone.
pub(crate) fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    let text = str::from_utf8(only(headers, name)?).ok()?;
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

/// The pairs of `Upload-Metadata`: a key, a space, and a value in base 64, which may be missing; `None` if they cannot be read, or a key comes
/// twice.
pub(crate) fn metadata(headers: &HeaderMap) -> Option<Vec<(String, Vec<u8>)>> {
    let line = match headers.get_all(METADATA).collect::<Vec<_>>()[..] {
        [] => return Some(Vec::new()),
        [line] => str::from_utf8(line.as_bytes()).ok()?,
        _ => return None,
    };
    let mut pairs: Vec<(String, Vec<u8>)> = Vec::new();
    for pair in line.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
        let is_new = pairs.iter().all(|(known, _)| known != key);
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) || !is_new || pairs.len() == PAIRS_MAX {
            return None;
        }
        pairs.push((key.to_owned(), STANDARD.decode(value.trim()).ok()?));
    }
    Some(pairs)
}

/// `Upload-Checksum`: the name of an algorithm, and a digest. `Ok(None)` where there is none, `Err` where it cannot be read.
pub(crate) fn checksum(headers: &HeaderMap) -> Result<Option<(String, Vec<u8>)>, ()> {
    if !headers.contains_key(CHECKSUM) {
        return Ok(None);
    }
    let line = only(headers, &CHECKSUM).and_then(|line| str::from_utf8(line).ok()).ok_or(())?;
    let (algorithm, digest) = line.trim().split_once(' ').ok_or(())?;
    Ok(Some((algorithm.to_owned(), STANDARD.decode(digest.trim()).map_err(|_| ())?)))
}

fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    match headers.get_all(name).map(HeaderValue::as_bytes).collect::<Vec<_>>()[..] {
        [line] => Some(line),
        _ => None,
    }
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
    fn the_table_of_metadata() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.as_bytes().to_vec());
        for (lines, expected) in [
            (&[][..], Some(vec![])),
            (&["filename YS50eHQ="], Some(vec![pair("filename", "a.txt")])),
            (&["a YQ==,b,c Yw=="], Some(vec![pair("a", "a"), pair("b", ""), pair("c", "c")])),
            (&["a YQ==, b "], Some(vec![pair("a", "a"), pair("b", "")])),
            (&[""], Some(vec![])),
            (&["a YQ==,a Yg=="], None),
            (&["a b c"], None),
            (&["a YQ"], None),
            (&["a *"], None),
            (&["a YQ==", "b Yg=="], None),
        ] {
            assert_eq!(metadata(&headers(METADATA, lines)), expected, "{lines:?}");
        }
    }

    #[test]
    fn numbers_are_digits_alone() {
        for (line, expected) in [
            ("0", Some(0)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("+1", None),
            ("-1", None),
            ("1.0", None),
            ("", None),
            ("0x1", None),
        ] {
            assert_eq!(number(&headers(EXPIRES, &[line]), &EXPIRES), expected, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_value_is_read_or_refused(value in "[ -~]{0,60}") {
            let _ = (metadata(&headers(METADATA, &[&value])), checksum(&headers(CHECKSUM, &[&value])));
        }
    }
}
