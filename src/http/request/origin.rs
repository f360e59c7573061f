//! Which pages a browser may let act here: the wall that stands in for a password on loopback, where every page that the browser shows can
//! reach us, and the words with which a page that is allowed to is let through (CORS, Fetch Standard §3.2 and §3.7).
//!
//! Pages of this server and extensions of the browser may change things; other pages only if their origin was allowed. What a page reads
//! is kept from it by the browser, which is told so with every answer.

use actix_http::RequestHead;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::http::headers::field;

/// Who may have an answer shown, run or measured in a page, whatever asked for it (Fetch Standard §3.7).
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// The methods that an allowed page may send.
const METHODS: &str =
    "OPTIONS, GET, HEAD, PUT, PATCH, DELETE, MKCOL, PROPFIND, PROPPATCH, REPORT, COPY, MOVE, LOCK, UNLOCK, POST";

/// What an allowed page may send besides what every page may. What it asks for by name is added.
const REQUEST_HEADERS: &str = "Accept, Authorization, Brief, Cache-Control, Content-Digest, Content-Type, Depth, Destination, If, If-Match, \
     If-Modified-Since, If-None-Match, If-Range, If-Unmodified-Since, Lock-Token, OC-Checksum, OC-Total-Length, Overwrite, Pragma, Prefer, \
     Range, Repr-Digest, Timeout, Want-Repr-Digest, X-Expected-Entity-Length, X-OC-Mtime, X-Requested-With, X-Update-Range";

/// What an allowed page may read besides what every page may.
const ANSWER_HEADERS: &str = "Accept-Ranges, Allow, Content-Disposition, Content-Length, Content-Location, Content-Range, DAV, Date, ETag, \
     Link, Location, Lock-Token, MS-Author-Via, Noclobber-Displaced, OC-Checksum, Preference-Applied, Repr-Digest, Retry-After, \
     Tus-Checksum-Algorithm, Tus-Extension, Tus-Max-Size, Tus-Resumable, Tus-Version, Upload-Complete, Upload-Expires, Upload-Length, \
     Upload-Limit, Upload-Metadata, Upload-Offset, Want-Repr-Digest, X-OC-Mtime";

/// How long a browser need not ask again, in seconds.
const MAX_AGE: &str = "3600";

/// Whether a change comes from a page that may not make it: a page of another site, as far as the browser says.
///
/// A page cannot say something else of itself: `Origin` and `Sec-Fetch-Site` are the browser's. Programs that are no browser send neither.
pub(crate) fn is_foreign(head: &RequestHead, host: Option<&str>, allowed: &[String]) -> bool {
    let origins = field::lines(&head.headers, &header::ORIGIN);
    let sites = field::lines(&head.headers, &HeaderName::from_static("sec-fetch-site"));
    let origin = match origins[..] {
        [] => None,
        [origin] => Some(str::from_utf8(origin).unwrap_or_default()),
        _ => return true,
    };
    if origin.is_some_and(|origin| is_allowed(origin, allowed)) {
        return false;
    }
    let is_same_origin = match sites[..] {
        [] | [b"none"] => false,
        [b"same-origin"] => true,
        _ => return true,
    };
    let Some(origin) = origin else { return false };
    match origin.split_once("://") {
        // A proxy in front may have changed the host; the browser has compared what it sees itself.
        Some(("http" | "https", authority)) => {
            !is_same_origin && !host.is_some_and(|host| host.eq_ignore_ascii_case(authority))
        }
        Some((scheme, _)) => !is_of_an_extension(scheme),
        None => true,
    }
}

/// Whether a page of another site wants to show this as a part of itself. A browser keeps it from reading what it shows, and not from finding out
/// whether there is something, and how many frames a page has.
pub(crate) fn is_in_foreign_frame(head: &RequestHead) -> bool {
    let word = |name| field::text(&head.headers, name).unwrap_or_default();
    matches!(word("sec-fetch-site"), "cross-site" | "same-site")
        && matches!(word("sec-fetch-dest"), "iframe" | "frame" | "fencedframe" | "object" | "embed")
}

/// Says with an answer who may use it: every page of this server and, if the request comes from one, a page that is allowed to.
pub(crate) fn describe(head: &RequestHead, headers: &mut HeaderMap, allowed: &[String]) {
    for (name, value) in to_others(allowed) {
        headers.append(name, value);
    }
    let origin = head.headers.get(header::ORIGIN).filter(|origin| {
        let text = str::from_utf8(origin.as_bytes());
        text.is_ok_and(|origin| is_allowed(origin, allowed))
    });
    let Some(origin) = origin else { return };
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(ANSWER_HEADERS));
    if head.method == Method::OPTIONS && head.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, request_headers(head));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
        if head.headers.contains_key("access-control-request-private-network") {
            let name = HeaderName::from_static("access-control-allow-private-network");
            headers.insert(name, HeaderValue::from_static("true"));
        }
    }
}

/// What is said to whoever is not an allowed page.
pub(crate) fn to_others(allowed: &[String]) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = vec![
        (RESOURCE_POLICY, HeaderValue::from_static("same-origin")),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN")),
    ];
    if !allowed.is_empty() {
        headers.push((header::VARY, HeaderValue::from_static("Origin")));
    }
    headers
}

/// An origin as browsers write it (RFC 6454 §6.2): scheme, host, and the port if it is not the usual one.
///
/// # Errors
/// Says what is wanted, if this is none.
pub fn parse(text: &str) -> Result<String, String> {
    let wanted = || "an origin is wanted, like https://editor.example or app://notes, without a path".to_owned();
    let text = text.trim_end_matches('/').to_ascii_lowercase();
    let (scheme, authority) = text.split_once("://").ok_or_else(wanted)?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let is_host = crate::http::request::host::Host::parse(authority).is_some_and(|host| !host.is_empty());
    if !is_scheme || !is_host {
        return Err(wanted());
    }
    let usual = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => ":",
    };
    let authority = authority.strip_suffix(usual).unwrap_or(authority).trim_end_matches(':');
    Ok(format!("{scheme}://{authority}"))
}

fn is_allowed(origin: &str, allowed: &[String]) -> bool {
    allowed.iter().any(|allowed| allowed == origin)
}

/// Browsers give their extensions schemes of their own (`chrome-extension`, `moz-extension`, `safari-web-extension`), which no server can
/// have its pages under.
fn is_of_an_extension(scheme: &str) -> bool {
    scheme == "extension" || scheme.ends_with("-extension")
}

fn request_headers(head: &RequestHead) -> HeaderValue {
    let known = |name: &str| REQUEST_HEADERS.split(", ").any(|known| known.eq_ignore_ascii_case(name));
    let asked = head.headers.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS).filter_map(|line| line.to_str().ok());
    let asked = asked.flat_map(|line| line.split(',')).map(str::trim);
    let more = asked.filter(|name| HeaderName::try_from(*name).is_ok() && !known(name));
    let all = more.fold(REQUEST_HEADERS.to_owned(), |all, name| all + ", " + name);
    HeaderValue::try_from(all).unwrap_or(HeaderValue::from_static(REQUEST_HEADERS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_written_as_browsers_write_them() {
        for (text, expected) in [
            ("https://editor.example", Some("https://editor.example")),
            ("HTTPS://Editor.Example:443/", Some("https://editor.example")),
            ("http://editor.example:80", Some("http://editor.example")),
            ("http://editor.example:8080", Some("http://editor.example:8080")),
            ("https://editor.example:80", Some("https://editor.example:80")),
            ("http://[::1]:3000", Some("http://[::1]:3000")),
            ("http://[::1]", Some("http://[::1]")),
            ("app://obsidian.md", Some("app://obsidian.md")),
            ("capacitor://localhost", Some("capacitor://localhost")),
            ("chrome-extension://abc", Some("chrome-extension://abc")),
            ("*", None),
            ("null", None),
            ("", None),
            ("editor.example", None),
            ("https://", None),
            ("https://:443", None),
            ("https://a/b", None),
            ("https://a?b", None),
            ("https://user@a", None),
            ("https://*.example", Some("https://*.example")),
            ("file:///", None),
            ("1x://a", None),
            ("https://a b", None),
        ] {
            assert_eq!(parse(text).ok().as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn the_table_of_pages() {
        let allowed = ["https://editor.example".to_owned()];
        for (origin, site, is_let_through) in [
            (&[][..], &[][..], true),
            (&[], &["none"], true),
            (&[], &["same-origin"], true),
            (&[], &["same-site"], false),
            (&[], &["cross-site"], false),
            (&[], &["other"], false),
            (&[], &["none", "none"], false),
            (&["http://nas:4918"], &[], true),
            (&["https://NAS:4918"], &[], true),
            (&["http://nas"], &[], false),
            (&["http://evil.example"], &[], false),
            (&["http://evil.example"], &["none"], false),
            (&["http://nas:4918"], &["cross-site"], false),
            (&["https://proxy.example"], &["same-origin"], true),
            (&["null"], &[], false),
            (&["null"], &["same-origin"], false),
            (&["file://"], &["none"], false),
            (&["chrome-extension://abc"], &[], true),
            (&["moz-extension://abc"], &["none"], true),
            (&["safari-web-extension://abc"], &["same-origin"], true),
            (&["chrome-extension://abc"], &["cross-site"], false),
            (&["https://editor.example"], &["cross-site"], true),
            (&["https://editor.example"], &[], true),
            (&["https://editor.example", "https://editor.example"], &[], false),
            (&["https://editor.example "], &[], false),
            (&["https://editor.example.evil"], &["cross-site"], false),
        ] {
            let mut head = RequestHead::default();
            for (name, values) in [(header::ORIGIN, origin), (HeaderName::from_static("sec-fetch-site"), site)] {
                for value in values {
                    head.headers.append(name.clone(), HeaderValue::from_static(value));
                }
            }
            assert_eq!(!is_foreign(&head, Some("nas:4918"), &allowed), is_let_through, "{origin:?} {site:?}");
        }
    }
}
