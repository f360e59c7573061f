//! The door, where there are users: how whoever comes is known, by what they bring along.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::basic::{NameAndPassword, scheme};
use super::caller::{Caller, Recognized, Standing};
use super::credentials::{Credentials, Unproven};
use super::digest::{self, Nonces, Signed};
use super::invitations::Invitations;
use super::link::Link;
use super::links::{LinkInForce, Links};
use super::password::{PasswordHash, Verifier};
use super::sessions::{self, COOKIE, Sessions};
use super::throttle::Throttle;
use super::users::Users;
use super::verified::Verified;

/// What there is where users may sign in.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) users: Arc<Users>,
    pub(super) verified: Verified,
    pub(super) sessions: Sessions,
    pub(super) nonces: Nonces,
    pub(super) throttle: Throttle,
    pub(super) verifier: Verifier,
    pub(super) invitations: Invitations,
    pub(super) links: Arc<Links>,
}

impl Door {
    /// For these users, and the links of a file.
    pub(super) fn of(users: Arc<Users>, links: Option<PathBuf>) -> Self {
        Self {
            links: Links::open(links, &users),
            users,
            verified: Verified::default(),
            sessions: Sessions::default(),
            nonces: Nonces::default(),
            throttle: Throttle::default(),
            verifier: Verifier::start(),
            invitations: Invitations::default(),
        }
    }

    pub(super) fn recognize(
        &self,
        authorization: &[u8],
        credentials: &Credentials<'_>,
    ) -> Result<Recognized, Unproven> {
        let (scheme, rest) = scheme(authorization);
        let is = |name: &[u8]| scheme.eq_ignore_ascii_case(name);
        match () {
            () if is(b"basic") => {
                let verified = self.verified.find(authorization, Instant::now());
                Ok(verified.map_or(Recognized::NotYet, Recognized::Caller))
            }
            () if is(b"bearer") => self.users.find_token(rest).map(Recognized::Caller).ok_or(Unproven::Wrong),
            () if is(b"digest") => self.verify_digest(rest, credentials).map(Recognized::Caller),
            () => Err(Unproven::Wrong),
        }
    }

    /// Whoever has signed in, by a cookie.
    pub(super) fn recognize_cookie(
        &self,
        cookie: &[u8],
        credentials: &Credentials<'_>,
    ) -> Result<Option<Arc<Caller>>, Unproven> {
        let Some(secret) = sessions::secrets_in(cookie, COOKIE).next() else { return Ok(None) };
        if !credentials.is_private {
            return Err(Unproven::Unprotected);
        }
        self.sessions.find(secret, Instant::now()).map(Some).ok_or(Unproven::SessionOver)
    }

    /// Whoever has the secret of a link, where it takes nothing else.
    pub(super) fn recognize_link(&self, secret: &str) -> Result<Recognized, Unproven> {
        let found = self.links.find(secret).ok_or(Unproven::Wrong)?;
        let takes_more = found.record().password.is_some() || found.record().uses_left.is_some();
        Ok(if takes_more { Recognized::NotYet } else { Recognized::Caller(Arc::clone(found.caller())) })
    }

    pub(super) async fn come_by(
        &self,
        secret: &str,
        password: Option<String>,
        credentials: &Credentials<'_>,
    ) -> Result<Arc<Caller>, Unproven> {
        let found = self.links.find(secret).ok_or(Unproven::Wrong)?;
        self.enter(&found, password, credentials).await
    }

    /// Lets in whoever has the secret of a link, once it is known that the password is right and that it can be used once more. To ask what a
    /// server can do, or for a head, uses nothing up.
    pub(super) async fn enter(
        &self,
        found: &LinkInForce,
        password: Option<String>,
        credentials: &Credentials<'_>,
    ) -> Result<Arc<Caller>, Unproven> {
        let Link { id, password: hash, uses_left, .. } = found.record();
        if let Some(hash) = hash {
            let password = password.filter(|password| !password.is_empty()).ok_or(Unproven::LinkPassword)?;
            let about = format!("link:{id}");
            if !self.is_right(&about, password, Some(hash.clone()), credentials).await? {
                return Err(Unproven::LinkPassword);
            }
        }
        if *uses_left == Some(0) {
            return Err(Unproven::Wrong);
        }
        if uses_left.is_some() && !matches!(credentials.method, "HEAD" | "OPTIONS") {
            let id = Arc::clone(id);
            match self.links.change(move |file| Ok(file.count_use(&id))).await {
                Ok(true) => {}
                Ok(false) => return Err(Unproven::Wrong),
                Err(error) => {
                    tracing::error!("nobody comes by a link whose uses cannot be counted: {error}");
                    return Err(Unproven::Busy);
                }
            }
        }
        Ok(Arc::clone(found.caller()))
    }

    /// A digest takes no time to verify, but guessing is slowed all the same.
    fn verify_digest(&self, parameters: &[u8], credentials: &Credentials<'_>) -> Result<Arc<Caller>, Unproven> {
        let now = Instant::now();
        let admit = |address| self.throttle.admit(address, &digest::user_of(parameters), now);
        let guess = far(credentials).map(admit).transpose().map_err(|wait| Unproven::TooMany(wait.0))?;
        let request = Signed { method: credentials.method, target: credentials.target };
        let verified = digest::verify(&self.users, &self.nonces, parameters, request, now);
        match &verified {
            Ok(_) => guess.iter().for_each(|guess| self.throttle.was_right(guess)),
            // Nothing was found out about the password.
            Err(Unproven::Stale) => guess.iter().for_each(|guess| self.throttle.does_not_count(guess)),
            Err(_) => {}
        }
        verified
    }

    pub(super) async fn verify_password(
        &self,
        given: NameAndPassword,
        credentials: &Credentials<'_>,
    ) -> Result<Arc<Standing>, Unproven> {
        let (standing, hash) = self.users.find(&given.name).unzip();
        let is_right = self.is_right(&given.name, given.password, hash.flatten(), credentials).await?;
        standing.filter(|standing| is_right && !standing.has_ended()).ok_or(Unproven::Wrong)
    }

    /// Whether a password is right, for whatever is called so. Guesses are counted.
    async fn is_right(
        &self,
        about: &str,
        password: String,
        hash: Option<PasswordHash>,
        credentials: &Credentials<'_>,
    ) -> Result<bool, Unproven> {
        let far = far(credentials);
        let guess = far.map(|address| self.throttle.admit(address, about, Instant::now())).transpose();
        let guess = guess.map_err(|wait| Unproven::TooMany(wait.0))?;
        let answer = self.verifier.ask(password, hash, far.is_none()).map_err(|_| Unproven::Busy);
        let is_right = match answer {
            Ok(answer) => answer.await.map_err(|_| Unproven::Busy)?,
            Err(busy) => {
                guess.iter().for_each(|guess| self.throttle.does_not_count(guess));
                return Err(busy);
            }
        };
        if is_right {
            guess.iter().for_each(|guess| self.throttle.was_right(guess));
        }
        Ok(is_right)
    }
}

/// The address of a client that is not at this machine; all whose address is not known are one. Whoever sits at the machine is never locked out.
fn far(credentials: &Credentials<'_>) -> Option<IpAddr> {
    let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    (!credentials.is_near).then(|| credentials.address.map_or(unknown, |address| address.to_canonical()))
}
