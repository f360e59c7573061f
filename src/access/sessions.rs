//! Sessions: whoever has signed in on a page, or has opened a link there, is known by a cookie, whose secret is kept as a hash and in memory alone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use data_encoding::BASE64URL_NOPAD;
use quick_cache::sync::Cache;

use super::caller::Caller;
use crate::os::random;

/// The name of the cookie of whoever has signed in.
pub const COOKIE: &str = "noclobber-session";

/// The name of the cookie of whoever has opened a link.
pub const LINK_COOKIE: &str = "noclobber-link";

/// How long a session lasts that is not used.
const UNUSED_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How often its end is put off.
const PUT_OFF_AFTER: Duration = Duration::from_secs(60);

/// How many sessions there are at most.
const SESSIONS_MAX: usize = 4096;

/// The sessions.
#[derive(Debug)]
pub(super) struct Sessions(Cache<[u8; 32], Session>);

#[derive(Clone, Debug)]
struct Session {
    caller: Arc<Caller>,
    until: Instant,
}

impl Default for Sessions {
    fn default() -> Self {
        Self(Cache::new(SESSIONS_MAX))
    }
}

impl Sessions {
    /// Begins a session of this caller; gives its secret.
    pub(super) fn begin(&self, caller: Arc<Caller>, now: Instant) -> String {
        let secret = BASE64URL_NOPAD.encode(&random::bytes());
        self.0.insert(key_of(secret.as_bytes()), Session { caller, until: now + UNUSED_MAX });
        secret
    }

    /// Whose session it is.
    pub(super) fn find(&self, secret: &[u8], now: Instant) -> Option<Arc<Caller>> {
        let key = key_of(secret);
        let Session { caller, until } = self.0.get(&key)?;
        if now >= until || caller.has_ended() {
            self.0.remove(&key);
            return None;
        }
        if until < now + UNUSED_MAX - PUT_OFF_AFTER {
            self.0.insert(key, Session { caller: Arc::clone(&caller), until: now + UNUSED_MAX });
        }
        Some(caller)
    }

    /// Ends it.
    pub(super) fn end(&self, secret: &[u8]) {
        self.0.remove(&key_of(secret));
    }
}

/// The secrets in a `Cookie` (RFC 6265 §4.2) that are called so, in their order.
pub(super) fn secrets_in<'a>(cookie: &'a [u8], name: &str) -> impl Iterator<Item = &'a [u8]> {
    let pairs = cookie.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    pairs.filter_map(move |pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

fn key_of(secret: &[u8]) -> [u8; 32] {
    *blake3::hash(secret).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_found_among_others() {
        for (cookie, secret) in [
            ("noclobber-session=abc", Some("abc")),
            ("a=b; noclobber-session=abc; c=d", Some("abc")),
            ("a=b;noclobber-session=abc", Some("abc")),
            ("xnoclobber-session=abc", None),
            ("noclobber-sessions=abc", None),
            ("noclobber-link=abc", None),
            ("", None),
        ] {
            assert_eq!(secrets_in(cookie.as_bytes(), COOKIE).next(), secret.map(str::as_bytes), "{cookie}");
        }
    }
}
