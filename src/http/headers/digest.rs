//! What clients say their bytes come to (`Content-Digest`, `Repr-Digest`, `OC-Checksum`), and what we say of ours when they ask
//! (`Want-Repr-Digest`; RFC 9530). Nothing is computed that nobody sent or asked for, and what cannot be understood is never taken for
//! right. The digest that was found is not told: that would make an oracle of it.

use std::fmt;

use actix_web::http::header::{HeaderMap, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use md5::Md5;
use sfv::BareItem;
use sha1::Sha1;
use sha2::digest::DynDigest;
use sha2::{Sha256, Sha512};

use crate::http::headers::structured;

/// How many checksums `OC-Checksum` may carry. Nobody sends more than one of each kind.
const CHECKSUMS_MAX: usize = 16;

/// The digests that a request carries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expected {
    claims: Vec<SentDigest>,
}

/// A header whose digests cannot be what any bytes come to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {wrong}")]
pub(crate) struct Invalid {
    pub(crate) field: Field,
    /// What is wrong with it.
    pub(crate) wrong: DigestError,
}

/// What is wrong with a header that carries digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DigestError {
    /// It cannot be read.
    #[error("cannot be read")]
    Form,
    /// A digest is longer or shorter than this algorithm makes them.
    #[error("has a digest of the wrong length for {0}")]
    Length(Algorithm),
}

/// The bytes that came are not those that the client spoke of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes that came do not have the {algorithm} digest that {field} names")]
pub(crate) struct Mismatch {
    pub(crate) field: Field,
    pub(crate) algorithm: Algorithm,
    /// The digest that the client sent, as it is written in that header.
    pub(crate) provided: String,
}

/// A header that carries digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    ContentDigest,
    ReprDigest,
    /// `OC-Checksum`, of the ownCloud clients.
    OcChecksum,
}

/// An algorithm that is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Sha256,
    Sha512,
    /// SHA-1, in `OC-Checksum` alone.
    Sha1,
    /// MD5, in `OC-Checksum` alone.
    Md5,
}

/// The algorithms of `OC-Checksum` that clients compare; rclone takes either for its own.
const COMPARED: [Algorithm; 2] = [Algorithm::Sha1, Algorithm::Md5];

/// The algorithms that the checksum of a part may have in tus, which asks for SHA-1.
const PART_ALGORITHMS: [(&str, Algorithm); 4] =
    [("sha1", Algorithm::Sha1), ("sha256", Algorithm::Sha256), ("sha512", Algorithm::Sha512), ("md5", Algorithm::Md5)];

/// The names of those algorithms.
pub(crate) fn part_algorithms() -> String {
    PART_ALGORITHMS.map(|(name, _)| name).join(",")
}

impl Expected {
    /// Reads the digests that a request carries. Algorithms that are not known are left out.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Result<Self, Invalid> {
        let mut claims = Vec::new();
        for field in [Field::ContentDigest, Field::ReprDigest, Field::OcChecksum] {
            let lines: Vec<&[u8]> = headers.get_all(field.key()).map(HeaderValue::as_bytes).collect();
            if !lines.is_empty() {
                claims.extend(field.read(&lines).map_err(|wrong| Invalid { field, wrong })?);
            }
        }
        Ok(Self { claims })
    }

    /// Whether anything is said of the whole of which a part is sent.
    pub(crate) fn speaks_of_the_whole(&self) -> bool {
        self.claims.iter().any(|claim| claim.field != Field::ContentDigest)
    }

    /// Reads what a request says of its content alone, and not of the whole that it is a part of (`Content-Digest`).
    pub(crate) fn of_content(headers: &HeaderMap) -> Result<Self, Invalid> {
        let mut all = Self::from_headers(headers)?;
        all.claims.retain(|claim| claim.field == Field::ContentDigest);
        Ok(all)
    }

    /// One digest of a part, by the name of its algorithm in tus; `None` if it cannot be one.
    pub(crate) fn of_part(algorithm: &str, digest: Vec<u8>) -> Option<Self> {
        let (_, algorithm) = PART_ALGORITHMS.into_iter().find(|(name, _)| *name == algorithm)?;
        Some(Self { claims: vec![SentDigest::new(Field::ContentDigest, algorithm, digest).ok()?] })
    }

    /// Begins to check. Each algorithm runs once, however many headers name it. Who sends one checksum may compare another later: so both
    /// that clients compare run where `OC-Checksum` was sent.
    pub(crate) fn checker(self) -> Checker {
        let has_checksums = self.claims.iter().any(|claim| claim.field == Field::OcChecksum);
        let mut running: Vec<RunningDigest> = Vec::new();
        let compared = COMPARED.iter().filter(|_| has_checksums);
        for algorithm in self.claims.iter().map(|claim| &claim.algorithm).chain(compared) {
            if !running.iter().any(|running| running.algorithm == *algorithm) {
                running.push(RunningDigest::new(*algorithm));
            }
        }
        Checker { claims: self.claims, running, has_checksums }
    }
}

/// Compares the bytes that come with the digests that were sent.
#[derive(Debug)]
pub(crate) struct Checker {
    claims: Vec<SentDigest>,
    running: Vec<RunningDigest>,
    has_checksums: bool,
}

impl Checker {
    /// Works out the checksums of bytes of which nobody has said anything.
    pub(crate) fn of_checksums() -> Self {
        Self {
            claims: Vec::new(),
            running: COMPARED.iter().copied().map(RunningDigest::new).collect(),
            has_checksums: true,
        }
    }

    /// Whether nothing was said of the bytes, so that they need not come here.
    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// Takes the next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.running.iter_mut().for_each(|running| running.state.update(bytes));
    }

    /// Whether all digests are right, now that all bytes have come; and the checksums as ownCloud's clients are told them, if there were any.
    pub(crate) fn finish(self) -> Result<Option<String>, Mismatch> {
        let found: Vec<_> =
            self.running.into_iter().map(|running| (running.algorithm, running.state.finalize())).collect();
        for claim in self.claims {
            if !found.iter().any(|(algorithm, digest)| *algorithm == claim.algorithm && **digest == *claim.digest) {
                return Err(claim.into());
            }
        }
        let texts = [Algorithm::Sha1, Algorithm::Md5, Algorithm::Sha256].into_iter().filter_map(|wanted| {
            let (_, digest) = found.iter().find(|(algorithm, _)| *algorithm == wanted)?;
            Some(format!("{}:{}", wanted.of_checksums(), HEXLOWER.encode(digest)))
        });
        Ok(self.has_checksums.then(|| texts.collect::<Vec<_>>().join(" ")))
    }
}

/// The algorithm that `Want-Repr-Digest` likes best, of those that a `Repr-Digest` may use here. The header is only a wish: if it cannot be
/// read, nobody wished for anything (RFC 9530 §4).
pub(crate) fn wanted(headers: &HeaderMap) -> Option<Algorithm> {
    let lines: Vec<&[u8]> = headers.get_all("want-repr-digest").map(HeaderValue::as_bytes).collect();
    let members = structured::dictionary(&lines)?;
    let weight = |wish: Algorithm| match structured::item(&members, wish.key()?) {
        Some(BareItem::Integer(weight)) => Some(i64::from(*weight)).filter(|weight| (1..=10).contains(weight)),
        _ => None,
    };
    // SHA-256 comes last, so that it wins where both are liked as well: it is the one that everybody has.
    let wishes = [Algorithm::Sha512, Algorithm::Sha256].into_iter().filter_map(|wish| Some((weight(wish)?, wish)));
    wishes.max_by_key(|(weight, _)| *weight).map(|(_, wish)| wish)
}

/// Computes a `Repr-Digest` for an answer.
#[derive(Debug)]
pub(crate) struct ReprDigest(RunningDigest);

impl ReprDigest {
    /// Begins with no bytes.
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        Self(RunningDigest::new(algorithm))
    }

    /// Takes the next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.state.update(bytes);
    }

    /// The value of the header.
    pub(crate) fn finish(self) -> HeaderValue {
        let RunningDigest { algorithm, state } = self.0;
        let text = format!("{algorithm}=:{}:", STANDARD.encode(state.finalize()));
        HeaderValue::try_from(text).expect("letters, digits and punctuation")
    }
}

impl Field {
    /// The header's name, in small letters.
    fn key(self) -> &'static str {
        match self {
            Self::ContentDigest => "content-digest",
            Self::ReprDigest => "repr-digest",
            Self::OcChecksum => "oc-checksum",
        }
    }

    fn read(self, lines: &[&[u8]]) -> Result<Vec<SentDigest>, DigestError> {
        match self {
            Self::ContentDigest | Self::ReprDigest => self.read_dictionary(lines),
            Self::OcChecksum => self.read_checksums(lines),
        }
    }

    fn read_dictionary(self, lines: &[&[u8]]) -> Result<Vec<SentDigest>, DigestError> {
        let members = structured::dictionary(lines).ok_or(DigestError::Form)?;
        let mut claims = Vec::new();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let Some(key) = algorithm.key().filter(|key| members.contains_key(*key)) else { continue };
            let Some(BareItem::ByteSequence(digest)) = structured::item(&members, key) else {
                return Err(DigestError::Form);
            };
            claims.push(SentDigest::new(self, algorithm, digest.clone())?);
        }
        Ok(claims)
    }

    /// `SHA1:<hex>`, and the like; several stand side by side, at most [`CHECKSUMS_MAX`].
    fn read_checksums(self, lines: &[&[u8]]) -> Result<Vec<SentDigest>, DigestError> {
        let mut claims = Vec::new();
        for line in lines {
            for checksum in str::from_utf8(line).map_err(|_| DigestError::Form)?.split_ascii_whitespace() {
                let (name, digits) = checksum.split_once(':').ok_or(DigestError::Form)?;
                let algorithm = match name.to_ascii_uppercase().as_str() {
                    "SHA1" => Algorithm::Sha1,
                    "MD5" => Algorithm::Md5,
                    "SHA256" => Algorithm::Sha256,
                    _ => continue,
                };
                if claims.len() == CHECKSUMS_MAX {
                    return Err(DigestError::Form);
                }
                claims.push(SentDigest::new(
                    self,
                    algorithm,
                    HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).map_err(|_| DigestError::Form)?,
                )?);
            }
        }
        Ok(claims)
    }
}

impl Algorithm {
    /// What a digest field calls it (RFC 9530 §5), where it may be used there.
    fn key(self) -> Option<&'static str> {
        match self {
            Self::Sha256 => Some("sha-256"),
            Self::Sha512 => Some("sha-512"),
            Self::Sha1 | Self::Md5 => None,
        }
    }

    /// What `OC-Checksum` calls it.
    fn of_checksums(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
            Self::Sha1 => "SHA1",
            Self::Md5 => "MD5",
        }
    }

    fn digest_bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
            Self::Sha1 => 20,
            Self::Md5 => 16,
        }
    }
}

/// One digest that the client sent.
#[derive(Clone, Debug)]
struct SentDigest {
    field: Field,
    algorithm: Algorithm,
    digest: Vec<u8>,
}

impl SentDigest {
    fn new(field: Field, algorithm: Algorithm, digest: Vec<u8>) -> Result<Self, DigestError> {
        if digest.len() != algorithm.digest_bytes() {
            return Err(DigestError::Length(algorithm));
        }
        Ok(Self { field, algorithm, digest })
    }
}

impl From<SentDigest> for Mismatch {
    fn from(claim: SentDigest) -> Self {
        let provided = match claim.field {
            Field::ContentDigest | Field::ReprDigest => format!(":{}:", STANDARD.encode(&claim.digest)),
            Field::OcChecksum => HEXLOWER.encode(&claim.digest),
        };
        Self { field: claim.field, algorithm: claim.algorithm, provided }
    }
}

/// A digest that is being computed.
struct RunningDigest {
    algorithm: Algorithm,
    state: Box<dyn DynDigest + Send>,
}

impl RunningDigest {
    fn new(algorithm: Algorithm) -> Self {
        let state: Box<dyn DynDigest + Send> = match algorithm {
            Algorithm::Sha256 => Box::new(Sha256::default()),
            Algorithm::Sha512 => Box::new(Sha512::default()),
            Algorithm::Sha1 => Box::new(Sha1::default()),
            Algorithm::Md5 => Box::new(Md5::default()),
        };
        Self { algorithm, state }
    }
}

impl fmt::Debug for RunningDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunningDigest({})", self.algorithm)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ContentDigest => "Content-Digest",
            Self::ReprDigest => "Repr-Digest",
            Self::OcChecksum => "OC-Checksum",
        })
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha256 => "sha-256",
            Self::Sha512 => "sha-512",
            Self::Sha1 => "sha1",
            Self::Md5 => "md5",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderName;
    use proptest::prelude::*;

    const CONTENT: &[u8] = b"{\"hello\": \"world\"}\n";
    const SHA_256: &str = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";
    const SHA_512: &str =
        "sha-512=:YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qg==:";
    const SHA_256_OF_NOTHING: &str = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name.parse::<HeaderName>().expect(name), HeaderValue::from_str(value).expect(value));
        }
        headers
    }

    fn check(lines: &[(&str, &str)], content: &[u8]) -> Result<(), Mismatch> {
        checksums(lines, content).map(|_| ())
    }

    fn checksums(lines: &[(&str, &str)], content: &[u8]) -> Result<Option<String>, Mismatch> {
        let mut checker = Expected::from_headers(&headers(lines)).expect("they can be read").checker();
        content.chunks(7).for_each(|piece| checker.update(piece));
        checker.finish()
    }

    /// rclone sends one and compares the other.
    #[test]
    fn who_sends_one_checksum_is_told_both() {
        const SHA_1: &str = "SHA1:a9993e364706816aba3e25717850c26c9cd0d89d";
        const MD_5: &str = "MD5:900150983cd24fb0d6963f7d28e17f72";
        const SHA_256: &str = "SHA256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let both = format!("{SHA_1} {MD_5}");
        for (sent, told) in [
            (&[("OC-Checksum", SHA_1)][..], Some(both.clone())),
            (&[("OC-Checksum", MD_5)], Some(both.clone())),
            (&[("OC-Checksum", &format!("{MD_5} {SHA_1}"))], Some(both.clone())),
            (&[("OC-Checksum", SHA_256)], Some(format!("{both} {SHA_256}"))),
            (&[("OC-Checksum", "ADLER32:024d0127")], None),
            (&[("Repr-Digest", "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:")], None),
            (&[], None),
        ] {
            assert_eq!(checksums(sent, b"abc"), Ok(told), "{sent:?}");
        }
        let mut checker = Checker::of_checksums();
        checker.update(b"abc");
        assert_eq!(checker.finish(), Ok(Some(both)));
    }

    #[test]
    fn the_vectors_of_the_standard() {
        for field in ["Content-Digest", "Repr-Digest"] {
            for digest in [SHA_256, SHA_512, &format!("{SHA_256}, {SHA_512}")] {
                assert_eq!(check(&[(field, digest)], CONTENT), Ok(()), "{field}: {digest}");
                assert!(check(&[(field, digest)], b"other").is_err(), "{field}: {digest}");
            }
            assert_eq!(check(&[(field, SHA_256_OF_NOTHING)], b""), Ok(()));
        }
        for (algorithm, expected) in [(Algorithm::Sha256, SHA_256), (Algorithm::Sha512, SHA_512)] {
            let mut running = ReprDigest::new(algorithm);
            CONTENT.chunks(5).for_each(|piece| running.update(piece));
            assert_eq!(running.finish(), expected);
        }
        assert_eq!(ReprDigest::new(Algorithm::Sha256).finish(), SHA_256_OF_NOTHING);
    }

    #[test]
    fn one_wrong_digest_among_right_ones_is_found() {
        let wrong = SHA_256_OF_NOTHING.strip_prefix("sha-256=").expect("a digest");
        for lines in [
            &[("Content-Digest", SHA_256), ("Repr-Digest", SHA_256_OF_NOTHING)][..],
            &[("Repr-Digest", SHA_512), ("Repr-Digest", SHA_256_OF_NOTHING)],
            &[("Repr-Digest", SHA_256), ("Repr-Digest", SHA_256_OF_NOTHING)],
            &[("OC-Checksum", "MD5:d91c1a1c5a0d5a0a6a1f0c9a3a8e2f00"), ("Repr-Digest", SHA_256_OF_NOTHING)],
        ] {
            let mismatch = check(lines, CONTENT).expect_err("one is wrong");
            assert_eq!(mismatch.field, Field::ReprDigest);
            assert_eq!((mismatch.algorithm, mismatch.provided.as_str()), (Algorithm::Sha256, wrong));
        }
    }

    #[test]
    fn checksums_of_owncloud_clients() {
        let (sha1, md5) = ("aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d", "5d41402abc4b2a76b9719d911017c592");
        for checksum in [
            format!("SHA1:{sha1}"),
            format!("sha1:{}", sha1.to_uppercase()),
            format!("MD5:{md5}"),
            format!("SHA1:{sha1} MD5:{md5} ADLER32:062c0215"),
            "SHA256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824".to_owned(),
        ] {
            assert_eq!(check(&[("OC-Checksum", &checksum)], b"hello"), Ok(()), "{checksum}");
            let mismatch = check(&[("OC-Checksum", &checksum)], b"hullo").expect_err("they differ");
            assert_eq!(mismatch.field, Field::OcChecksum);
        }
        let mismatch = check(&[("OC-Checksum", &format!("MD5:{}", md5.to_uppercase()))], b"").expect_err("they differ");
        assert_eq!(mismatch.provided, md5);
    }

    #[test]
    fn what_is_not_known_is_not_checked() {
        for line in [
            ("Repr-Digest", "crc32c=:AAAAAA==:"),
            ("Repr-Digest", "blake3=:AAAAAA==:, md5=:AAAA:;x=1"),
            ("Repr-Digest", ""),
            ("OC-Checksum", "ADLER32:062c0215"),
            ("OC-Checksum", "SHA3-256:00"),
            ("OC-Checksum", ""),
            ("Digest", "sha-256=AAAA"),
            ("Content-MD5", "AAAA"),
        ] {
            let expected = Expected::from_headers(&headers(&[line])).expect("it can be read");
            assert!(expected.claims.is_empty(), "{line:?}");
            assert_eq!(expected.checker().finish(), Ok(None));
        }
        let both = format!("crc32c=:AAAAAA==:, {SHA_256}");
        assert!(check(&[("Repr-Digest", &both)], b"other").is_err());
    }

    #[test]
    fn what_cannot_be_right_is_refused_at_once() {
        use DigestError::{Form, Length};
        for (field, value, wrong) in [
            ("Content-Digest", "sha-256", Form),
            ("Content-Digest", "sha-256=1", Form),
            ("Content-Digest", "sha-256=RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=", Form),
            ("Content-Digest", "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=", Form),
            ("Content-Digest", "SHA-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:", Form),
            ("Content-Digest", "sha-256=:RK_0qy18MlBSVnWgjwz6lZEWjP_lF5HF9bvEF8FabDg=:", Form),
            ("Content-Digest", "sha-256=:AAAA:,", Form),
            ("Content-Digest", "sha-256=::", Length(Algorithm::Sha256)),
            ("Repr-Digest", "sha-256=:AAAA:", Length(Algorithm::Sha256)),
            ("Repr-Digest", "sha-512=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:", Length(Algorithm::Sha512)),
            ("OC-Checksum", "5d41402abc4b2a76b9719d911017c592", Form),
            ("OC-Checksum", "MD5:5d41402abc4b2a76b9719d911017c59", Form),
            ("OC-Checksum", "MD5:5d41402abc4b2a76b9719d911017c59g", Form),
            ("OC-Checksum", "MD5:", Length(Algorithm::Md5)),
            ("OC-Checksum", "SHA1:5d41402abc4b2a76b9719d911017c592", Length(Algorithm::Sha1)),
            ("OC-Checksum", &"MD5:5d41402abc4b2a76b9719d911017c592 ".repeat(CHECKSUMS_MAX + 1), Form),
        ] {
            let invalid = Expected::from_headers(&headers(&[(field, value)])).expect_err(value);
            assert_eq!((invalid.field.to_string().as_str(), invalid.wrong), (field, wrong), "{value}");
        }
    }

    #[test]
    fn the_algorithm_that_is_liked_best() {
        use Algorithm::{Sha256, Sha512};
        for (value, expected) in [
            ("sha-256=10", Some(Sha256)),
            ("sha-512=1", Some(Sha512)),
            ("sha-256=3, sha-512=10", Some(Sha512)),
            ("sha-512=3, sha-256=10", Some(Sha256)),
            ("sha-512=5, sha-256=5", Some(Sha256)),
            ("md5=10, sha-512=1", Some(Sha512)),
            ("sha-256=0, sha-512=1", Some(Sha512)),
            ("sha-256=0", None),
            ("sha-256=11", None),
            ("sha-256=-1", None),
            ("sha-256=1.5", None),
            ("sha-256", None),
            ("md5=10, sha=10", None),
            ("sha-256=10,", None),
            ("sha-256;q=1", None),
            ("", None),
        ] {
            assert_eq!(wanted(&headers(&[("Want-Repr-Digest", value)])), expected, "{value}");
        }
        assert_eq!(wanted(&HeaderMap::new()), None);
    }

    proptest! {
        #[test]
        fn any_value_is_read_or_refused(value in "[ -~]{0,80}", near in "(sha-256|sha-512|MD5|SHA1)[=:][:A-Za-z0-9/+=, ]{0,90}") {
            for name in ["content-digest", "repr-digest", "oc-checksum", "want-repr-digest"] {
                for value in [&value, &near] {
                    let headers = headers(&[(name, value)]);
                    if let Ok(expected) = Expected::from_headers(&headers) {
                        let nothing_to_check = expected.claims.is_empty();
                        prop_assert_eq!(expected.checker().finish().is_ok(), nothing_to_check);
                    }
                    wanted(&headers);
                }
            }
        }
    }
}
