//! What a file's name says about its bytes, and what a browser must not do with them: the media type, the sandbox for what can carry
//! script, and the name under which a download is saved. Files are what somebody uploaded: none of them may act in our name.

use std::fmt::Write as _;

use actix_web::http::header::HeaderValue;
use glob::{MatchOptions, Pattern};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use crate::model::path::SharePath;

/// For `X-Content-Type-Options`, on every answer: a browser takes the media type as it is said.
pub(crate) const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// For `Content-Security-Policy`, on a file that can carry script. It is shown with its own styles and pictures, runs nothing, sends no
/// form and loads nothing, and is of no origin.
const SANDBOX: HeaderValue =
    HeaderValue::from_static("sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:");

/// What stays as it is in `filename*` (`attr-char` of RFC 8187 §3.2).
const KEPT_IN_PARAMETER: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// The media type that goes by the end of a file's name. Text is said to be UTF-8; what nobody knows is bytes.
pub(crate) fn media_type(name: &[u8]) -> HeaderValue {
    let Some(guess) = extension(name).and_then(|extension| mime_guess::from_ext(extension).first_raw()) else {
        return HeaderValue::from_static("application/octet-stream");
    };
    if !is_text(guess) {
        return HeaderValue::from_static(guess);
    }
    HeaderValue::try_from(format!("{guess}; charset=utf-8")).expect("a media type is ASCII")
}

/// The pages that are programs and may act in our name, by their paths in the share.
#[derive(Clone, Debug, Default)]
pub struct TrustedPages(pub Vec<Pattern>);

impl TrustedPages {
    /// Whether the file at a path, of this media type, is one of them.
    pub(crate) fn include(&self, path: &SharePath, media_type: &HeaderValue) -> bool {
        let options = MatchOptions { require_literal_separator: true, ..MatchOptions::default() };
        let is_page =
            || [&b"text/html"[..], b"application/xhtml+xml"].iter().any(|page| media_type.as_bytes().starts_with(page));
        let path = || str::from_utf8(path.as_bytes()).ok();
        !self.0.is_empty()
            && is_page()
            && path().is_some_and(|path| self.0.iter().any(|glob| glob.matches_with(path, options)))
    }
}

/// A pattern of paths in the share: `*` and `?` stand for parts of a name, `**` for any number of folders.
///
/// # Errors
/// Says what is wrong with it.
pub fn trusted_pages(text: &str) -> Result<Pattern, String> {
    Pattern::new(text.trim_start_matches('/')).map_err(|error| error.to_string())
}

/// The `Content-Security-Policy` for a file of this media type, if it needs one.
pub(crate) fn policy(media_type: &HeaderValue) -> Option<HeaderValue> {
    can_carry_script(media_type).then_some(SANDBOX)
}

/// Whether a browser that shows a file of this media type might run what is in it.
pub(crate) fn can_carry_script(media_type: &HeaderValue) -> bool {
    let text = String::from_utf8_lossy(media_type.as_bytes()).to_ascii_lowercase();
    let essence = text.split(';').next().unwrap_or_default().trim();
    let Some((kind, subtype)) = essence.split_once('/') else { return true };
    let is_markup = subtype.contains("xml") || subtype.contains("html") || subtype.contains("xsl");
    match kind {
        _ if is_markup => true,
        "image" | "audio" | "video" | "font" => false,
        "text" => matches!(subtype, "x-component" | "x-scriptlet" | "scriptlet" | "mathml"),
        "application" => !matches!(
            subtype,
            // Shown as text or not at all. Everything else that a browser may come to show is not known to be harmless.
            "octet-stream"
                | "json"
                | "javascript"
                | "x-javascript"
                | "zip"
                | "gzip"
                | "x-gzip"
                | "x-tar"
                | "x-7z-compressed"
                | "zstd"
                | "wasm"
                | "toml"
                | "sql"
        ),
        _ => true,
    }
}

/// `Content-Disposition` for a download (RFC 6266): saved under this name, as far as ASCII can say it and then exactly.
pub(crate) fn attachment(name: &[u8]) -> HeaderValue {
    let text = String::from_utf8_lossy(name);
    let plain = in_ascii(&text);
    let mut value = format!("attachment; filename=\"{plain}\"");
    if plain != text {
        let exact: String = text.chars().map(|c| if is_unfit(c) { '_' } else { c }).collect();
        write!(value, "; filename*=UTF-8''{}", percent_encode(exact.as_bytes(), KEPT_IN_PARAMETER))
            .expect("a String takes everything");
    }
    HeaderValue::try_from(value).expect("only visible ASCII and spaces are left")
}

/// The name in ASCII: no quotes, nothing that would have to be escaped, and nothing that some browsers decode (RFC 6266 appendix D).
fn in_ascii(text: &str) -> String {
    let bytes = text.as_bytes();
    let is_escape = |at: usize| {
        let digits = bytes.get(at + 1..at + 3);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    text.char_indices()
        .map(|(at, c)| match c {
            '"' | '\\' => '_',
            '%' if is_escape(at) => '_',
            ' '..='~' => c,
            _ => '_',
        })
        .collect()
}

/// What no name of a file should hold on any system: it could end the header, or lead elsewhere.
fn is_unfit(c: char) -> bool {
    c.is_control() || matches!(c, '/' | '\\')
}

/// What stands behind the last dot, if something stands before it.
fn extension(name: &[u8]) -> Option<&str> {
    let dot = name.iter().rposition(|byte| *byte == b'.').filter(|dot| *dot > 0)?;
    str::from_utf8(&name[dot + 1..]).ok()
}

/// Whether a media type is text that does not itself say in which encoding. XML and JSON do, or have but one (RFC 7303 §3, RFC 8259 §8.1).
fn is_text(media_type: &str) -> bool {
    let Some((kind, subtype)) = media_type.split_once('/') else { return false };
    let says_it_itself = subtype == "xml" || subtype.ends_with("+xml");
    (kind == "text" && !says_it_itself)
        || matches!(subtype, "javascript" | "x-javascript" | "x-sh" | "x-httpd-php" | "sql" | "toml" | "x-yaml")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_end_of_the_name_says_the_media_type() {
        for (name, expected) in [
            (&b"a.txt"[..], "text/plain; charset=utf-8"),
            (b"A.TXT", "text/plain; charset=utf-8"),
            (b"a.html", "text/html; charset=utf-8"),
            (b"a.css", "text/css; charset=utf-8"),
            (b"a.md", "text/markdown; charset=utf-8"),
            (b"a.csv", "text/csv; charset=utf-8"),
            (b"a.js", "text/javascript; charset=utf-8"),
            (b"a.mjs", "application/javascript; charset=utf-8"),
            (b"a.json", "application/json"),
            (b"a.xml", "text/xml"),
            (b"a.svg", "image/svg+xml"),
            (b"a.xhtml", "application/xhtml+xml"),
            (b"a.png", "image/png"),
            (b"a.jpeg", "image/jpeg"),
            (b"a.webp", "image/webp"),
            (b"a.mp4", "video/mp4"),
            (b"a.flac", "audio/flac"),
            (b"a.woff2", "font/woff2"),
            (b"a.pdf", "application/pdf"),
            (b"a.wasm", "application/wasm"),
            (b"a.zip", "application/zip"),
            (b"a.tar.gz", "application/gzip"),
            (b"a.odt", "application/vnd.oasis.opendocument.text"),
            (b"\xff.txt", "text/plain; charset=utf-8"),
            (b"a", "application/octet-stream"),
            (b"a.", "application/octet-stream"),
            (b"a.\xff", "application/octet-stream"),
            (b".txt", "application/octet-stream"),
            (b"a.no-such-thing", "application/octet-stream"),
        ] {
            assert_eq!(media_type(name), expected, "{}", String::from_utf8_lossy(name));
        }
    }

    #[test]
    fn what_can_carry_script_is_kept_in_a_sandbox() {
        for name in
            ["a.html", "a.htm", "a.xhtml", "a.xht", "a.svg", "a.svgz", "a.xml", "a.xsl", "a.xslt", "a.pdf", "a.mht"]
        {
            let policy = policy(&media_type(name.as_bytes())).expect(name);
            assert!(policy.to_str().expect("ASCII").contains("sandbox"), "{name}");
        }
        for name in ["a.atom", "a.rss", "a.rdf", "a.mml", "a.htc", "a.swf", "a.hta", "a.mhtml", "a.shtml", "a.eml"] {
            let media_type = media_type(name.as_bytes());
            let is_never_shown = media_type == "application/octet-stream";
            assert!(is_never_shown || policy(&media_type).is_some(), "{name}: {media_type:?}");
        }
    }

    #[test]
    fn what_cannot_is_shown_as_it_is() {
        for name in [
            "a.txt", "a.md", "a.css", "a.js", "a.csv", "a.json", "a.rs", "a.png", "a.jpg", "a.gif", "a.webp", "a.avif",
            "a.ico", "a.mp3", "a.mp4", "a.webm", "a.woff2", "a.zip", "a.tar", "a",
        ] {
            let media_type = media_type(name.as_bytes());
            assert_eq!(policy(&media_type), None, "{name}: {media_type:?}");
        }
    }

    #[test]
    fn downloads_are_saved_under_their_names() {
        for (name, expected) in [
            (&b"plain.txt"[..], "attachment; filename=\"plain.txt\""),
            (b"two words (1).txt", "attachment; filename=\"two words (1).txt\""),
            (b"50% of it", "attachment; filename=\"50% of it\""),
            (b"it's", "attachment; filename=\"it's\""),
            ("naïve \"quote\".txt".as_bytes(), {
                "attachment; filename=\"na_ve _quote_.txt\"; filename*=UTF-8''na%C3%AFve%20%22quote%22.txt"
            }),
            ("日本.txt".as_bytes(), "attachment; filename=\"__.txt\"; filename*=UTF-8''%E6%97%A5%E6%9C%AC.txt"),
            (b"%41.txt", "attachment; filename=\"_41.txt\"; filename*=UTF-8''%2541.txt"),
            (b"a\\b", "attachment; filename=\"a_b\"; filename*=UTF-8''a_b"),
            (b"a\r\nSet-Cookie: x", "attachment; filename=\"a__Set-Cookie: x\"; filename*=UTF-8''a__Set-Cookie%3A%20x"),
            (b"caf\xe9", "attachment; filename=\"caf_\"; filename*=UTF-8''caf%EF%BF%BD"),
            (b"a;b='c'*", "attachment; filename=\"a;b='c'*\""),
            ("é;b='c'*".as_bytes(), "attachment; filename=\"_;b='c'*\"; filename*=UTF-8''%C3%A9%3Bb%3D%27c%27%2A"),
        ] {
            assert_eq!(attachment(name), expected, "{}", String::from_utf8_lossy(name));
        }
    }

    proptest! {
        #[test]
        fn every_name_gives_one_right_header(name: Vec<u8>) {
            let value = attachment(&name);
            let text = value.to_str().expect("ASCII");
            let rest = text.strip_prefix("attachment; filename=\"").expect("a name");
            let (plain, exact) = rest.split_once('"').expect("the name ends");
            prop_assert!(plain.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'\\'));
            if let Some(exact) = exact.strip_prefix("; filename*=UTF-8''") {
                prop_assert!(percent_encoding::percent_decode_str(exact).decode_utf8().is_ok());
            } else {
                prop_assert_eq!((exact, plain.as_bytes()), ("", &name[..]));
            }
            media_type(&name);
        }
    }
}
