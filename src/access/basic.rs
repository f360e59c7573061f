//! The credentials of Basic (RFC 7617).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use unicode_normalization::UnicodeNormalization as _;

use super::password::PASSWORD_BYTES_MAX;

/// A name and a password.
#[derive(PartialEq, Eq)]
pub(super) struct NameAndPassword {
    pub(super) name: String,
    pub(super) password: String,
}

impl NameAndPassword {
    /// Reads what stands behind the word `Basic`: split at the first colon, in UTF-8 (RFC 7617 §2.1), or
    /// in ISO 8859-1 by clients that do not know of that, such as npm's. Windows puts its domain and a backslash before
    /// the name, which no name of a user holds.
    pub(super) fn parse(encoded: &[u8]) -> Option<Self> {
        let bytes = STANDARD.decode(encoded.trim_ascii()).ok()?;
        let text =
            String::from_utf8(bytes).unwrap_or_else(|wrong| wrong.as_bytes().iter().copied().map(char::from).collect());
        let (name, password) = text.split_once(':')?;
        let name = name.rsplit('\\').next().unwrap_or(name);
        let is_fit = password.len() <= PASSWORD_BYTES_MAX && !text.contains(char::is_control);
        is_fit.then(|| Self { name: name.nfc().collect(), password: password.to_owned() })
    }
}

/// The scheme of an `Authorization`, in small letters, and what stands behind it (RFC 9110 §11.4).
impl NameAndPassword {
    /// Those of a whole `Authorization`, if it is one of Basic.
    pub(super) fn of_basic(authorization: &[u8]) -> Option<Self> {
        let (scheme, encoded) = scheme(authorization);
        (scheme == "basic").then(|| Self::parse(encoded))?
    }
}

pub(super) fn scheme(authorization: &[u8]) -> (String, &[u8]) {
    let end = authorization.iter().position(|byte| *byte == b' ').unwrap_or(authorization.len());
    let (scheme, rest) = authorization.split_at(end);
    (String::from_utf8_lossy(scheme).to_ascii_lowercase(), rest.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(encoded: &str) -> Option<(String, String)> {
        NameAndPassword::parse(encoded.as_bytes()).map(|both| (both.name, both.password))
    }

    #[test]
    fn credentials_are_split_at_the_first_colon_and_are_utf_8() {
        let both = |name: &str, password: &str| Some((name.to_owned(), password.to_owned()));
        let of = |text: &str| STANDARD.encode(text);
        // RFC 7617 §2 and §2.1.
        assert_eq!(parsed("QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), both("Aladdin", "open sesame"));
        assert_eq!(parsed("dGVzdDoxMjPCow=="), both("test", "123£"));
        assert_eq!(parsed(&of("a:b:c")), both("a", "b:c"));
        assert_eq!(parsed(&of("HOME\\alice:x")), both("alice", "x"));
        assert_eq!(parsed(&of("u\u{308}:x")), both("ü", "x"));
        assert_eq!(parsed(&STANDARD.encode(b"\xfc:gr\xfcn:")), both("ü", "grün:"));
        assert_eq!(parsed(&STANDARD.encode(b"\xfc:\x80")), None);
        for wrong in ["", "a", "****", &of("nocolon"), &of("a:b\u{7}"), &of(&format!("a:{}", "x".repeat(2000)))] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }
}
