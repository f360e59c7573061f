//! The field lines of a request's headers, as they came, and what is asked of several headers in one way.

use actix_web::http::header::{self, HeaderMap, HeaderName};

/// The raw field lines of a header, in the order they came.
pub(crate) fn lines<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a [u8]> {
    headers.get_all(name).map(|value| value.as_bytes()).collect()
}

/// A header's only line, as text.
pub(crate) fn text(headers: &HeaderMap, name: impl AsRef<str>) -> Option<&str> {
    headers.get(name.as_ref())?.to_str().ok()
}

/// Whether the body is coded, so that it is not what it says (`Content-Encoding`, RFC 9110 §8.4).
pub(crate) fn is_coded(headers: &HeaderMap) -> bool {
    let codings =
        headers.get_all(header::CONTENT_ENCODING).flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    codings.map(<[u8]>::trim_ascii).any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
}

/// The announced length of the body, in bytes.
pub(crate) fn announced_length(headers: &HeaderMap) -> Option<u64> {
    text(headers, header::CONTENT_LENGTH)?.trim().parse().ok()
}

/// Whether a preference was stated (RFC 7240), for instance `return=representation`.
pub(crate) fn prefers(headers: &HeaderMap, preference: &str) -> bool {
    let stated = headers.get_all("prefer").filter_map(|value| value.to_str().ok()).flat_map(|line| line.split(','));
    stated.map(|one| one.split(';').next().unwrap_or_default().trim()).any(|one| one.eq_ignore_ascii_case(preference))
}
