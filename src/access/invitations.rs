//! Invitations: a secret that begins a session of one user, once and soon. It stands in a URL that a person opens or scans, and so it is worth
//! nothing as soon as somebody has come with it. It is kept as a hash and in memory alone.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use data_encoding::BASE64URL_NOPAD;
use parking_lot::Mutex;

use crate::os::random;

/// How many there are at most; the oldest give way.
const INVITATIONS_MAX: usize = 16;

/// The invitations that nobody has come with.
#[derive(Default)]
pub(super) struct Invitations(Mutex<Vec<Invitation>>);

struct Invitation {
    hash: blake3::Hash,
    name: Arc<str>,
    until: Instant,
}

impl fmt::Debug for Invitations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Invitations")
    }
}

impl Invitations {
    /// A new one for this user, good for so long; gives its secret of 128 bits.
    pub(super) fn make(&self, name: &str, life: Duration, now: Instant) -> String {
        let secret = BASE64URL_NOPAD.encode(&random::bytes());
        let mut open = self.0.lock();
        open.retain(|invitation| now < invitation.until);
        if open.len() >= INVITATIONS_MAX {
            open.remove(0);
        }
        open.push(Invitation { hash: blake3::hash(secret.as_bytes()), name: name.into(), until: now + life });
        secret
    }

    /// Whom this secret lets in, for the first and last time.
    pub(super) fn take(&self, secret: &str, now: Instant) -> Option<Arc<str>> {
        let hash = blake3::hash(secret.as_bytes());
        let mut open = self.0.lock();
        open.retain(|invitation| now < invitation.until);
        // Hashes are compared in the same time wherever they differ.
        let at = open.iter().position(|invitation| invitation.hash == hash)?;
        Some(open.remove(at).name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_secs(600);

    #[test]
    fn it_is_good_once_and_soon() {
        let (invitations, now) = (Invitations::default(), Instant::now());
        let secrets: Vec<_> = (0..3).map(|_| invitations.make("guest", LIFE, now)).collect();
        assert!(secrets[0].len() >= 22 && secrets[0] != secrets[1], "{secrets:?}");
        assert_eq!(invitations.take(&secrets[0], now).as_deref(), Some("guest"));
        assert_eq!(invitations.take(&secrets[0], now), None);
        for wrong in ["", "guest", &secrets[1][1..], &secrets[1].to_lowercase()] {
            assert_eq!(invitations.take(wrong, now), None, "{wrong}");
        }
        assert_eq!(invitations.take(&secrets[1], now + LIFE - Duration::from_secs(1)).as_deref(), Some("guest"));
        assert_eq!(invitations.take(&secrets[2], now + LIFE), None);
        assert_eq!(invitations.take(&secrets[2], now), None, "it does not come back");
    }

    #[test]
    fn they_are_few() {
        let (invitations, now) = (Invitations::default(), Instant::now());
        let secrets: Vec<_> = (0..100).map(|_| invitations.make("guest", LIFE, now)).collect();
        assert_eq!(secrets.iter().filter(|secret| invitations.take(secret, now).is_some()).count(), INVITATIONS_MAX);
    }
}
