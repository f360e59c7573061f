//! The headers of WebDAV that are more than a word: `Depth`, `Overwrite`, `Destination`, `Timeout`, `Lock-Token`, and those that clients
//! made up (`X-OC-Mtime`, `X-Expected-Entity-Length`, `Brief`). Each is read from the raw field lines into a value.
//!
//! What cannot be read is an error wherever a guess could change the wrong thing, and is left out where it is only a wish.

use std::time::Duration;

use actix_web::http::header::HeaderMap;

use crate::http::headers::field;
use crate::http::urls;
use crate::model::lock_token::LockToken;
use crate::model::path::{PathError, SharePath};
use crate::model::stamp::Timestamp;

/// How long a lock is granted where the client does not say: several builds of Office never refresh theirs, and give a file up after
/// minutes.
pub(crate) const TIMEOUT_DEFAULT: Duration = Duration::from_secs(600);

/// The shortest time for which a lock is granted, whatever was asked: old builds of Office refresh no sooner.
pub(crate) const TIMEOUT_MIN: Duration = Duration::from_secs(180);

/// The longest time for which a lock is granted: clients that are still there refresh it, and nobody waits for longer for one that is not.
pub(crate) const TIMEOUT_MAX: Duration = Duration::from_secs(3600);

/// The schemes by which clients name what is on a server like this.
const SCHEMES: [&str; 6] = ["http", "https", "dav", "davs", "webdav", "webdavs"];

/// A header that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the header {0} cannot be read")]
pub(crate) struct BadHeader(pub(crate) &'static str);

/// How far down a request reaches (RFC 4918 §10.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// `0`: the resource itself.
    Zero,
    /// `1`: and its members.
    One,
    /// `infinity`: and everything below.
    Infinity,
}

/// The `Depth` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DepthHeader {
    pub(crate) depth: Depth,
    /// Whether the resource itself is left out (`1,noroot`, the older spelling of `Prefer: depth-noroot`).
    pub(crate) without_root: bool,
}

/// Whether what is at the destination may be replaced (RFC 4918 §10.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overwrite {
    /// `T`, or nothing said.
    Allow,
    /// `F`.
    Forbid,
}

/// Where a URL in a header leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UrlTarget {
    /// Into this share.
    Here {
        path: SharePath,
        /// Whether the URL ends in a slash.
        has_trailing_slash: bool,
    },
    /// To something that is not served by HTTP.
    Elsewhere,
}

/// Why a URL in a header leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadUrl {
    /// There is no such header.
    #[error("it is missing")]
    Missing,
    /// It is neither an absolute URI nor an absolute path, or carries a query or a fragment, or comes more than once.
    #[error("it is not the URL of a file or a folder")]
    Form,
    /// Its path is none of a share.
    #[error("its path holds {0}")]
    Path(#[from] PathError),
}

impl Depth {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "0" => Some(Self::Zero),
            "1" => Some(Self::One),
            other => other.eq_ignore_ascii_case("infinity").then_some(Self::Infinity),
        }
    }
}

/// `Depth`; `None` where there is none.
pub(crate) fn depth(headers: &HeaderMap) -> Result<Option<DepthHeader>, BadHeader> {
    let Some(text) = only_text(headers, "Depth")? else { return Ok(None) };
    let (depth, without_root) = match text.split_once(',') {
        Some((depth, noroot)) if noroot.trim().eq_ignore_ascii_case("noroot") => (depth.trim_end(), true),
        Some(_) => return Err(BadHeader("Depth")),
        None => (text, false),
    };
    match Depth::parse(depth) {
        None => Err(BadHeader("Depth")),
        Some(Depth::Zero) if without_root => Err(BadHeader("Depth")),
        Some(depth) => Ok(Some(DepthHeader { depth, without_root })),
    }
}

/// `Depth` of a request that changes something, where nothing is ever left out; `None` where there is none.
pub(crate) fn depth_of_change(headers: &HeaderMap) -> Result<Option<Depth>, BadHeader> {
    match depth(headers)? {
        Some(DepthHeader { without_root: true, .. }) => Err(BadHeader("Depth")),
        asked => Ok(asked.map(|asked| asked.depth)),
    }
}

pub(crate) fn overwrite(headers: &HeaderMap) -> Result<Overwrite, BadHeader> {
    match only_text(headers, "Overwrite")? {
        None | Some("T" | "t") => Ok(Overwrite::Allow),
        Some("F" | "f") => Ok(Overwrite::Forbid),
        Some(_) => Err(BadHeader("Overwrite")),
    }
}

/// `Destination`.
///
/// A `?` or `#` that is not escaped is an error: whoever forgot to escape it in a name would otherwise write over another file, the one
/// whose name ends there.
pub(crate) fn destination(headers: &HeaderMap) -> Result<UrlTarget, BadUrl> {
    match headers.get_all("destination").collect::<Vec<_>>()[..] {
        [] => Err(BadUrl::Missing),
        [value] => place(str::from_utf8(value.as_bytes()).map_err(|_| BadUrl::Form)?.trim_ascii()),
        _ => Err(BadUrl::Form),
    }
}

/// For how long a lock is granted: the first entry of `Timeout` that can be read, no less than [`TIMEOUT_MIN`] and no more than
/// [`TIMEOUT_MAX`]. `Infinite` is granted the most there is; [`TIMEOUT_DEFAULT`] where nothing can be read.
pub(crate) fn timeout(headers: &HeaderMap) -> Duration {
    let lines = headers.get_all("timeout").filter_map(|value| value.to_str().ok());
    let asked = lines.flat_map(|line| line.split(',')).find_map(|entry| asked_timeout(entry.trim()));
    asked.map_or(TIMEOUT_DEFAULT, |asked| asked.clamp(TIMEOUT_MIN, TIMEOUT_MAX))
}

/// `Lock-Token`, with and without the angle brackets that belong around it; `None` where there is none.
pub(crate) fn lock_token(headers: &HeaderMap) -> Result<Option<LockToken>, BadHeader> {
    let Some(text) = only_text(headers, "Lock-Token")? else { return Ok(None) };
    let bare = match text.strip_prefix('<') {
        Some(rest) => rest.strip_suffix('>').ok_or(BadHeader("Lock-Token"))?,
        None => text,
    };
    LockToken::parse(bare.trim_ascii()).map(Some).ok_or(BadHeader("Lock-Token"))
}

/// `X-OC-Mtime`: the date that an upload is to have, in seconds since 1970, or before it with a minus sign, with decimals or without.
/// Anything else is as if it were not there, hexadecimal numbers too, and so is what no disk can keep.
pub(crate) fn asked_mtime(headers: &HeaderMap) -> Option<Timestamp> {
    let text = only_text(headers, "X-OC-Mtime").ok()??;
    let (digits, is_before) = text.strip_prefix('-').map_or((text, false), |digits| (digits, true));
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(decimals) {
        return None;
    }
    let seconds: i64 = whole.parse().ok().filter(|seconds| *seconds < i64::MAX / 1_000_000_000)?;
    let nanoseconds: i64 = format!("{decimals:0<9}")[..9].parse().ok()?;
    let distance = seconds * 1_000_000_000 + nanoseconds;
    Timestamp::from_nanoseconds(if is_before { -distance } else { distance }).that_a_disk_keeps()
}

/// How many bytes the body is to have as the client believes, besides `Content-Length`: `X-Expected-Entity-Length` of those that send it in
/// chunks, and `OC-Total-Length` of ownCloud's. `None` where there is neither; two that differ cannot both be read.
pub(crate) fn expected_length(headers: &HeaderMap) -> Result<Option<u64>, BadHeader> {
    let mut expected = None;
    for name in ["X-Expected-Entity-Length", "OC-Total-Length"] {
        let Some(length) = length(headers, name)? else { continue };
        if expected.replace(length).is_some_and(|other| other != length) {
            return Err(BadHeader(name));
        }
    }
    Ok(expected)
}

/// How many bytes the chunks of an upload are to have together: `OC-Total-Length`, of Nextcloud's clients.
pub(crate) fn length_of_all_chunks(headers: &HeaderMap) -> Result<Option<u64>, BadHeader> {
    length(headers, "OC-Total-Length")
}

fn length(headers: &HeaderMap, name: &'static str) -> Result<Option<u64>, BadHeader> {
    let Some(text) = only_text(headers, name)? else { return Ok(None) };
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number).map(Some).ok_or(BadHeader(name))
}

/// Whether the client wants to hear of failures alone: `Prefer: return=minimal`, or `Brief: t` (RFC 8144 §2 and appendix A).
pub(crate) fn prefers_minimal(headers: &HeaderMap) -> bool {
    field::prefers(headers, "return=minimal")
        || only_text(headers, "Brief").is_ok_and(|brief| brief.is_some_and(|word| word.eq_ignore_ascii_case("t")))
}

/// Whether the resource itself is to be left out of what lies below it: `Prefer: depth-noroot`, or an older spelling of it.
pub(crate) fn prefers_no_root(headers: &HeaderMap, depth: Option<DepthHeader>) -> bool {
    field::prefers(headers, "depth-noroot") || depth.is_some_and(|depth| depth.without_root)
}

/// Where an absolute URI or an absolute path leads.
///
/// The path alone says where: a proxy in front may have changed the scheme, the host and the port that this server sees of the request, and
/// clients know one server by several names. What lies on another server cannot be told from that, and is not asked for in practice.
pub(crate) fn place(text: &str) -> Result<UrlTarget, BadUrl> {
    if text.chars().any(char::is_control) {
        return Err(BadUrl::Form);
    }
    if text.starts_with('/') {
        return place_here(text);
    }
    let (scheme, rest) = text.split_once(':').ok_or(BadUrl::Form)?;
    let begins_well = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
    let is_scheme = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if !begins_well || !is_scheme || rest.is_empty() {
        return Err(BadUrl::Form);
    }
    if !SCHEMES.iter().any(|known| known.eq_ignore_ascii_case(scheme)) {
        return Ok(UrlTarget::Elsewhere);
    }
    let rest = rest.strip_prefix("//").ok_or(BadUrl::Form)?;
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if host.is_empty() || host.starts_with(':') || host.contains(char::is_whitespace) {
        return Err(BadUrl::Form);
    }
    place_here(if path.is_empty() { "/" } else { path })
}

fn place_here(url_path: &str) -> Result<UrlTarget, BadUrl> {
    if url_path.contains(['?', '#']) {
        return Err(BadUrl::Form);
    }
    let Some(url_path) = urls::inside(url_path) else { return Ok(UrlTarget::Elsewhere) };
    let path = SharePath::parse_url(url_path)?;
    Ok(UrlTarget::Here { path, has_trailing_slash: SharePath::url_names_a_collection(url_path) })
}

fn asked_timeout(entry: &str) -> Option<Duration> {
    if entry.eq_ignore_ascii_case("infinite") {
        return Some(Duration::MAX);
    }
    let (word, digits) = entry.split_at_checked("Second-".len())?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let is_seconds = word.eq_ignore_ascii_case("Second-") && is_number;
    // More than any number holds is a long time.
    is_seconds.then(|| Duration::from_secs(digits.parse().unwrap_or(u64::MAX)))
}

/// The only field line of a header as text; `None` where there is none.
fn only_text<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, BadHeader> {
    let mut values = headers.get_all(name);
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|_| values.next().is_none()).ok_or(BadHeader(name))?;
    Ok(Some(text.trim_ascii()))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let value = HeaderValue::from_bytes(value.as_bytes()).expect("no line breaks in a row");
            headers.append(HeaderName::from_static(name), value);
        }
        headers
    }

    fn here(path: &str, has_trailing_slash: bool) -> Result<UrlTarget, BadUrl> {
        let path = SharePath::parse_disk(path.as_bytes()).expect("a clean path");
        Ok(UrlTarget::Here { path, has_trailing_slash })
    }

    #[test]
    fn depths() {
        let asked = |depth, without_root| Ok(Some(DepthHeader { depth, without_root }));
        for (value, expected) in [
            ("0", asked(Depth::Zero, false)),
            ("1", asked(Depth::One, false)),
            (" 1 ", asked(Depth::One, false)),
            ("infinity", asked(Depth::Infinity, false)),
            ("Infinity", asked(Depth::Infinity, false)),
            ("1,noroot", asked(Depth::One, true)),
            ("1, NoRoot", asked(Depth::One, true)),
            ("infinity,noroot", asked(Depth::Infinity, true)),
            ("0,noroot", Err(BadHeader("Depth"))),
            ("2", Err(BadHeader("Depth"))),
            ("01", Err(BadHeader("Depth"))),
            ("", Err(BadHeader("Depth"))),
            ("infinite", Err(BadHeader("Depth"))),
            ("1,1", Err(BadHeader("Depth"))),
        ] {
            assert_eq!(depth(&headers(&[("depth", value)])), expected, "{value:?}");
        }
        assert_eq!(depth(&headers(&[])), Ok(None), "its absence can be told");
        assert_eq!(depth_of_change(&headers(&[])), Ok(None));
        assert_eq!(depth_of_change(&headers(&[("depth", "infinity")])), Ok(Some(Depth::Infinity)));
        for value in ["1,noroot", "infinity,noroot", "2", ""] {
            assert_eq!(depth_of_change(&headers(&[("depth", value)])), Err(BadHeader("Depth")), "{value:?}");
        }
        assert_eq!(depth(&headers(&[("depth", "0"), ("depth", "1")])), Err(BadHeader("Depth")), "two of them");
    }

    #[test]
    fn overwrites() {
        for (value, expected) in [
            ("T", Ok(Overwrite::Allow)),
            ("t", Ok(Overwrite::Allow)),
            ("F", Ok(Overwrite::Forbid)),
            ("f", Ok(Overwrite::Forbid)),
            ("", Err(BadHeader("Overwrite"))),
            ("true", Err(BadHeader("Overwrite"))),
            ("T, F", Err(BadHeader("Overwrite"))),
        ] {
            assert_eq!(overwrite(&headers(&[("overwrite", value)])), expected, "{value:?}");
        }
        assert_eq!(overwrite(&headers(&[])), Ok(Overwrite::Allow));
        assert_eq!(overwrite(&headers(&[("overwrite", "T"), ("overwrite", "F")])), Err(BadHeader("Overwrite")));
    }

    #[test]
    fn destinations() {
        for (value, expected) in [
            ("/a", here("a", false)),
            ("/a/", here("a", true)),
            ("/", here("", true)),
            ("/a%20b/%C3%A9", here("a b/é", false)),
            ("/a b", here("a b", false)),
            ("/é", here("é", false)),
            ("/a%23b%3Fc", here("a#b?c", false)),
            ("http://files.example/a", here("a", false)),
            ("HTTP://Files.Example/a", here("a", false)),
            ("https://files.example/a", here("a", false)),
            ("http://files.example:8080/a", here("a", false)),
            ("https://files.example.:443/a", here("a", false)),
            ("http://me:secret@files.example/a/", here("a", true)),
            ("dav://files.example/a", here("a", false)),
            ("http://127.0.0.1:4918/a", here("a", false)),
            ("http://[::1]:4918/a", here("a", false)),
            ("http://files.example", here("", true)),
            ("  /a  ", here("a", false)),
            ("https://files.example@other.example:1/a", here("a", false)),
            ("http://files.example:x/a", here("a", false)),
            ("http://[::2]/a", here("a", false)),
            ("http://é.example/é", here("é", false)),
            ("//a", here("a", false)),
            ("//files.example/a", here("files.example/a", false)),
            ("/a//b//", here("a/b", true)),
            ("http://files.example//a///b", here("a/b", false)),
            ("ftp://files.example/a", Ok(UrlTarget::Elsewhere)),
            ("urn:x", Ok(UrlTarget::Elsewhere)),
            ("", Err(BadUrl::Form)),
            ("a", Err(BadUrl::Form)),
            ("a/b", Err(BadUrl::Form)),
            ("http:/a", Err(BadUrl::Form)),
            ("http:///a", Err(BadUrl::Form)),
            ("http://:80/a", Err(BadUrl::Form)),
            ("http:", Err(BadUrl::Form)),
            ("1http://files.example/a", Err(BadUrl::Form)),
            ("/a?b", Err(BadUrl::Form)),
            ("/a#b", Err(BadUrl::Form)),
            ("http://files.example?b", Err(BadUrl::Form)),
            ("http://files.example/a#", Err(BadUrl::Form)),
            ("http://me@/a", Err(BadUrl::Form)),
            ("http://files example/a", Err(BadUrl::Form)),
            ("/a\tb", Err(BadUrl::Form)),
            ("/a/../b", Err(BadUrl::Path(PathError::DotSegment))),
            ("//../b", Err(BadUrl::Path(PathError::DotSegment))),
            ("http://files.example/%2e%2e/b", Err(BadUrl::Path(PathError::DotSegment))),
            ("/a%2Fb", Err(BadUrl::Path(PathError::BadByte))),
            ("/a%0", Err(BadUrl::Path(PathError::BadEscape))),
            ("/.noclobber/history", Err(BadUrl::Path(PathError::Reserved))),
        ] {
            assert_eq!(destination(&headers(&[("destination", value)])), expected, "{value:?}");
        }
        assert_eq!(destination(&headers(&[])), Err(BadUrl::Missing));
        assert_eq!(destination(&headers(&[("destination", "/a"), ("destination", "/a")])), Err(BadUrl::Form));
    }

    #[test]
    fn timeouts() {
        let seconds = Duration::from_secs;
        for (value, expected) in [
            ("Second-1800", seconds(1800)),
            ("second-600", seconds(600)),
            ("Second-180", seconds(180)),
            ("Second-1", TIMEOUT_MIN),
            ("Second-0", TIMEOUT_MIN),
            ("Second-3600", seconds(3600)),
            ("Second-4100000000", TIMEOUT_MAX),
            ("Second-99999999999999999999999999", TIMEOUT_MAX),
            ("Infinite", TIMEOUT_MAX),
            ("infinite", TIMEOUT_MAX),
            ("Infinite, Second-4100000000", TIMEOUT_MAX),
            ("Extend-1, Second-700, Infinite", seconds(700)),
            ("Second-, Second--1, Second-+300, Second-400", seconds(400)),
            (" , ,Second-500", seconds(500)),
            ("Minute-5", TIMEOUT_DEFAULT),
            ("", TIMEOUT_DEFAULT),
            ("Second-0x200", TIMEOUT_DEFAULT),
            ("é", TIMEOUT_DEFAULT),
        ] {
            assert_eq!(timeout(&headers(&[("timeout", value)])), expected, "{value:?}");
        }
        assert_eq!(timeout(&headers(&[])), TIMEOUT_DEFAULT);
        assert_eq!(timeout(&headers(&[("timeout", "x"), ("timeout", "Second-900")])), seconds(900));
    }

    #[test]
    fn lock_tokens() {
        for (value, expected) in [
            ("<urn:uuid:1>", Some("urn:uuid:1")),
            ("urn:uuid:1", Some("urn:uuid:1")),
            (" < opaquelocktoken:a-b > ", Some("opaquelocktoken:a-b")),
            ("<urn:uuid:1", None),
            ("urn:uuid:1>", None),
            ("<>", None),
            ("", None),
            ("nothing", None),
            ("<a:b> <a:c>", None),
        ] {
            let expected = expected.map(LockToken::parse).ok_or(BadHeader("Lock-Token"));
            assert_eq!(lock_token(&headers(&[("lock-token", value)])), expected, "{value:?}");
        }
        assert_eq!(lock_token(&headers(&[])), Ok(None));
    }

    #[test]
    fn dates_that_uploads_ask_for() {
        for (value, expected) in [
            ("1580702706", Some(Timestamp::new(1_580_702_706, 0))),
            ("1580702706.5", Some(Timestamp::new(1_580_702_706, 500_000_000))),
            ("1580702706.0123456789", Some(Timestamp::new(1_580_702_706, 12_345_678))),
            ("0", Some(Timestamp::new(0, 0))),
            ("0x5E37A6B2", None),
            ("5E37A6B2", None),
            ("1e9", None),
            ("-1", Some(Timestamp::new(-1, 0))),
            ("-1.5", Some(Timestamp::new(-2, 500_000_000))),
            ("-2147483648", Some(Timestamp::new(-2_147_483_648, 0))),
            ("-2147483649", None),
            ("--1", None),
            ("-", None),
            ("+1", None),
            ("1.", None),
            (".5", None),
            ("1.5.5", None),
            ("", None),
            ("99999999999999999999", None),
            ("9223372036854775807", None),
            ("Thu, 01 Jan 1970 00:00:00 GMT", None),
        ] {
            assert_eq!(asked_mtime(&headers(&[("x-oc-mtime", value)])), expected, "{value:?}");
        }
        assert_eq!(asked_mtime(&headers(&[("x-oc-mtime", "1"), ("x-oc-mtime", "2")])), None);
    }

    #[test]
    fn lengths_that_are_expected() {
        let expected = |value| expected_length(&headers(&[("x-expected-entity-length", value)]));
        assert_eq!(expected("5"), Ok(Some(5)));
        assert_eq!(expected_length(&headers(&[])), Ok(None));
        for bad in ["", "-5", "+5", "5 5", "0x5", "99999999999999999999"] {
            assert_eq!(expected(bad), Err(BadHeader("X-Expected-Entity-Length")), "{bad:?}");
        }
        let both =
            |one, other| expected_length(&headers(&[("x-expected-entity-length", one), ("oc-total-length", other)]));
        assert_eq!(both("5", "5"), Ok(Some(5)));
        assert_eq!(both("5", "6"), Err(BadHeader("OC-Total-Length")));
        assert_eq!(expected_length(&headers(&[("oc-total-length", "7")])), Ok(Some(7)));
        assert_eq!(expected_length(&headers(&[("oc-total-length", "")])), Err(BadHeader("OC-Total-Length")));
    }

    #[test]
    fn preferences_in_old_and_new_words() {
        for (field, minimal, no_root) in [
            (("prefer", "return=minimal"), true, false),
            (("brief", "t"), true, false),
            (("brief", "T"), true, false),
            (("brief", "f"), false, false),
            (("prefer", "respond-async, depth-noroot"), false, true),
            (("depth", "1,noroot"), false, true),
            (("prefer", "return=representation"), false, false),
        ] {
            let headers = headers(&[field]);
            let depth = depth(&headers).expect("a right depth");
            assert_eq!((prefers_minimal(&headers), prefers_no_root(&headers, depth)), (minimal, no_root), "{field:?}");
        }
    }

    proptest! {
        #[test]
        fn a_path_that_is_written_as_a_destination_comes_back(name in "[^/\\x00]{1,40}", slash: bool) {
            let Ok(path) = SharePath::parse_disk(name.as_bytes()) else { return Ok(()) };
            let url = if slash { path.to_collection_url() } else { path.to_url() };
            for written in [url.clone(), format!("https://files.example:81{url}"), url.replace('/', "//")] {
                prop_assert_eq!(place(&written), Ok(UrlTarget::Here { path: path.clone(), has_trailing_slash: slash }));
            }
        }

        #[test]
        fn nothing_that_stands_in_a_header_makes_them_stumble(value in "\\PC{0,60}") {
            let names = ["depth", "overwrite", "destination", "timeout", "lock-token", "x-oc-mtime", "brief"];
            let fields: Vec<_> = names.into_iter().map(|name| (name, value.as_str())).collect();
            let headers = headers(&fields);
            prop_assert!((TIMEOUT_MIN..=TIMEOUT_MAX).contains(&timeout(&headers)));
            let _ = (depth(&headers), overwrite(&headers), lock_token(&headers), asked_mtime(&headers));
            let _ = destination(&headers);
        }
    }
}
