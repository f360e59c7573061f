//! Digest (RFC 7616), for users who have been given it on purpose: the server has to keep what is as good as their password.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use md5::Md5;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use unicode_normalization::UnicodeNormalization as _;

use super::caller::{Caller, Standing};
use super::credentials::{DigestAlgorithm, REALM, Unproven};
use super::edit::NewDigest;
use super::password::composed;
use super::users::Users;
use crate::model::author::WayIn;
use crate::os::random;

/// How long a nonce is good for.
const NONCE_LIFE: Duration = Duration::from_secs(600);

/// How many nonces are remembered that are in use.
const NONCES_MAX: usize = 4096;

/// How far requests may overtake each other, counted in requests.
const WINDOW: u32 = 64;

/// The nonces that were given out.
pub(super) struct Nonces {
    key: [u8; 32],
    begun: Instant,
    used: Mutex<UsedNonces>,
}

/// What has come with the nonces that are in use. What is forgotten is not good any more.
#[derive(Default)]
struct UsedNonces {
    /// By the nonce, with when it was given, in milliseconds.
    counts: HashMap<[u8; 32], (Used, u128)>,
    /// Nonces that were given up to then are not good any more.
    forgotten_up_to: Option<u128>,
}

/// Which counts (`nc`) have come with a nonce: the highest, and of those just below it a bit for each.
#[derive(Clone, Copy, Debug, Default)]
struct Used {
    highest: u32,
    below: u64,
}

impl fmt::Debug for Nonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonces")
    }
}

impl Default for Nonces {
    fn default() -> Self {
        let key = [random::bytes(), random::bytes()].concat().try_into().expect("two halves");
        Self { key, begun: Instant::now(), used: Mutex::default() }
    }
}

impl Nonces {
    /// A new nonce: a time and a secret about it, so that nothing is kept until it is used.
    pub(super) fn give(&self, now: Instant) -> String {
        let mut bytes = now.duration_since(self.begun).as_millis().to_le_bytes().to_vec();
        bytes.extend_from_slice(&random::bytes());
        let seal = blake3::keyed_hash(&self.key, &bytes);
        bytes.extend_from_slice(&seal.as_bytes()[..16]);
        HEXLOWER.encode(&bytes)
    }

    /// Whether a nonce is one of ours, and whether it is still good.
    fn is_good(&self, nonce: &str, now: Instant) -> Option<bool> {
        let bytes: [u8; 48] = HEXLOWER.decode(nonce.as_bytes()).ok()?.try_into().ok()?;
        let (text, seal) = bytes.split_at(32);
        if blake3::keyed_hash(&self.key, text).as_bytes()[..16] != *seal {
            return None;
        }
        let given = u128::from_le_bytes(*text.first_chunk()?);
        let age = now.duration_since(self.begun).as_millis().saturating_sub(given);
        Some(age <= NONCE_LIFE.as_millis())
    }

    /// Whether a count comes with a nonce of ours for the first time.
    fn is_new(&self, nonce: &str, count: u32) -> bool {
        let given = HEXLOWER.decode(nonce.as_bytes()).ok().and_then(|bytes| bytes.first_chunk().copied());
        let given = u128::from_le_bytes(given.unwrap_or_default());
        self.used.lock().take(*blake3::hash(nonce.as_bytes()).as_bytes(), given, count)
    }
}

impl UsedNonces {
    fn take(&mut self, nonce: [u8; 32], given: u128, count: u32) -> bool {
        if self.forgotten_up_to.is_some_and(|forgotten| given <= forgotten) {
            return false;
        }
        if self.counts.len() >= NONCES_MAX && !self.counts.contains_key(&nonce) {
            self.forget_the_older_half();
        }
        self.counts.entry(nonce).or_insert((Used::default(), given)).0.take(count)
    }

    fn forget_the_older_half(&mut self) {
        let mut times: Vec<u128> = self.counts.values().map(|(_, given)| *given).collect();
        times.sort_unstable();
        let middle = times[times.len() / 2];
        self.counts.retain(|_, (_, given)| *given > middle);
        self.forgotten_up_to = Some(middle);
    }
}

impl Used {
    fn take(&mut self, count: u32) -> bool {
        if count > self.highest {
            let step = count - self.highest;
            self.below = if step > WINDOW { 0 } else { self.below.checked_shl(step).unwrap_or(0) };
            if self.highest != 0 && step <= WINDOW {
                self.below |= 1 << (step - 1);
            }
            self.highest = count;
            return true;
        }
        let back = self.highest - count;
        if back == 0 || back > WINDOW || count == 0 {
            return false;
        }
        let bit = 1 << (back - 1);
        let is_new = self.below & bit == 0;
        self.below |= bit;
        is_new
    }
}

/// A request that is to be proved by Digest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signed<'a> {
    pub(super) method: &'a str,
    /// The target as it was sent.
    pub(super) target: &'a str,
}

/// Whether the parameters of an `Authorization: Digest` prove who makes a request.
pub(super) fn verify(
    users: &Users,
    nonces: &Nonces,
    parameters: &[u8],
    request: Signed<'_>,
    now: Instant,
) -> Result<Arc<Caller>, Unproven> {
    let parameters = str::from_utf8(parameters).ok().and_then(parameters_of).ok_or(Unproven::Wrong)?;
    let get = |name: &str| parameters.get(name).map(String::as_str).ok_or(Unproven::Wrong);
    let algorithm = match parameters.get("algorithm").map(|name| name.to_ascii_lowercase()).as_deref() {
        None | Some("md5") => DigestAlgorithm::Md5,
        Some("sha-256") => DigestAlgorithm::Sha256,
        Some(_) => return Err(Unproven::Wrong),
    };
    if get("realm")? != REALM || get("qop")? != "auth" || get("uri")? != request.target {
        return Err(Unproven::Wrong);
    }
    let name: String = get("username")?.rsplit('\\').next().unwrap_or_default().nfc().collect();
    let (nonce, count, cnonce, response) = (get("nonce")?, get("nc")?, get("cnonce")?, get("response")?);
    let is_good = nonces.is_good(nonce, now).ok_or(Unproven::Stale)?;
    let (standing, hashes): (Arc<Standing>, _) = users.find_digest(&name).ok_or(Unproven::Wrong)?;
    let of_password = match algorithm {
        DigestAlgorithm::Sha256 => &hashes.sha256,
        DigestAlgorithm::Md5 => &hashes.md5,
    };
    let of_request = algorithm.hash(&format!("{}:{}", request.method, request.target));
    let expected = algorithm.hash(&format!("{of_password}:{nonce}:{count}:{cnonce}:auth:{of_request}"));
    if !is_equal(expected.as_bytes(), response.to_ascii_lowercase().as_bytes()) {
        return Err(Unproven::Wrong);
    }
    let count = u32::from_str_radix(count, 16).map_err(|_| Unproven::Wrong)?;
    if !is_good || !nonces.is_new(nonce, count) {
        return Err(Unproven::Stale);
    }
    Ok(Arc::new(Caller::new(&standing, WayIn::Digest)))
}

/// The name of the user in the parameters; empty where there is none.
pub(super) fn user_of(parameters: &[u8]) -> String {
    let parameters = str::from_utf8(parameters).ok().and_then(parameters_of);
    parameters.and_then(|mut parameters| parameters.remove("username")).unwrap_or_default()
}

/// What Digest is checked by for a user with this password.
pub fn hashes_of(name: &str, password: &str) -> NewDigest {
    let text = format!("{}:{REALM}:{}", name.nfc().collect::<String>(), composed(password));
    NewDigest { sha256: DigestAlgorithm::Sha256.hash(&text), md5: DigestAlgorithm::Md5.hash(&text) }
}

impl DigestAlgorithm {
    fn hash(self, text: &str) -> String {
        match self {
            Self::Sha256 => HEXLOWER.encode(&Sha256::digest(text)),
            Self::Md5 => HEXLOWER.encode(&Md5::digest(text)),
        }
    }
}

/// Takes as long wherever they differ.
fn is_equal(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |differs, (one, other)| differs | (one ^ other)) == 0
}

/// The parameters of a scheme (RFC 9110 §11.2): `name=token` or `name="text"`, each once.
fn parameters_of(text: &str) -> Option<HashMap<String, String>> {
    let mut parameters = HashMap::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, behind) = rest.split_once('=')?;
        let (value, behind) = match behind.trim_start().strip_prefix('"') {
            Some(quoted) => quoted_text(quoted)?,
            None => {
                let end = behind.find(',').unwrap_or(behind.len());
                (behind[..end].trim().to_owned(), &behind[end..])
            }
        };
        if parameters.insert(name.trim().to_ascii_lowercase(), value).is_some() {
            return None;
        }
        rest = behind.trim_start();
        rest = match rest.strip_prefix(',') {
            Some(next) => next.trim_start(),
            None if rest.is_empty() => rest,
            None => return None,
        };
    }
    Some(parameters)
}

/// What stands up to the closing quotation mark, and what comes behind that.
fn quoted_text(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            _ => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7616 §3.9.1.
    #[test]
    fn the_hashes_are_those_of_the_standard() {
        for (algorithm, expected) in [
            (DigestAlgorithm::Sha256, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
            (DigestAlgorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
        ] {
            let of_password = algorithm.hash("Mufasa:http-auth@example.org:Circle of Life");
            let of_request = algorithm.hash("GET:/dir/index.html");
            let (nonce, cnonce) =
                ("7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ");
            let response = algorithm.hash(&format!("{of_password}:{nonce}:00000001:{cnonce}:auth:{of_request}"));
            assert_eq!(response, expected);
        }
    }

    #[test]
    fn a_count_comes_once_in_whatever_order() {
        let mut used = Used::default();
        let taken: Vec<bool> =
            [1, 2, 2, 5, 3, 3, 4, 5, 1, 0, 100, 37, 36, 36, 101, 100].map(|count| used.take(count)).into();
        let expected =
            [true, true, false, true, true, false, true, false, false, false, true, true, true, false, true, false];
        assert_eq!(taken, expected);
        assert!(!Used { highest: 500, below: 0 }.take(400), "what is too far back cannot be told from what has come");
    }

    #[test]
    fn what_is_forgotten_is_not_good_any_more() {
        let (nonces, now) = (Nonces::default(), Instant::now());
        let first = nonces.give(now);
        assert!(nonces.is_new(&first, 1));
        for nth in 1..3 * NONCES_MAX as u64 {
            let nonce = nonces.give(now + Duration::from_millis(nth));
            assert!(nonces.is_new(&nonce, 1));
        }
        assert!(!nonces.is_new(&first, 1) && !nonces.is_new(&first, 2));
        assert!(nonces.used.lock().counts.len() <= NONCES_MAX);
    }

    #[test]
    fn a_nonce_is_ours_and_good_for_a_while() {
        let (nonces, now) = (Nonces::default(), Instant::now());
        let nonce = nonces.give(now);
        assert_eq!(nonces.is_good(&nonce, now), Some(true));
        assert_eq!(nonces.is_good(&nonce, now + NONCE_LIFE * 2), Some(false));
        assert_eq!(Nonces::default().is_good(&nonce, now), None);
        assert_eq!(nonces.is_good("", now), None);
        assert_eq!(nonces.is_good(&nonce[2..], now), None);
    }

    #[test]
    fn parameters_are_read_as_they_are_written() {
        let read =
            parameters_of(r#"username="a \"b\"", realm="x, y" ,nc=00000001, Qop=auth,uri="/a,b""#).expect("read");
        let of = |name: &str| read.get(name).map(String::as_str);
        assert_eq!(of("username"), Some(r#"a "b""#));
        assert_eq!(
            (of("realm"), of("nc"), of("qop"), of("uri")),
            (Some("x, y"), Some("00000001"), Some("auth"), Some("/a,b"))
        );
        for wrong in [r#"a="b"#, r#"a="b"c"#, "a", "a=1,a=2", r#"a="\"#] {
            assert_eq!(parameters_of(wrong), None, "{wrong}");
        }
    }
}
