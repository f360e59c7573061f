//! Edge: who may do what. Every request passes [`Access`], which tells who makes it; and [`Caller::authorize`], for its own path and for every
//! other that it names. What its caller may do it takes along to the share, which judges by that under the mutex.

mod basic;
mod caller;
mod credentials;
pub mod digest;
pub mod edit;
pub mod file;
mod invitations;
pub mod password;
mod sessions;
mod throttle;
mod users;
mod verified;

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::model::author::WayIn;
use crate::model::permissions::Permissions;
pub use crate::model::principal::Principal;
use crate::model::rights::Rights;

use basic::{NameAndPassword, scheme};
use caller::Standing;
pub use caller::{Caller, Denied};
pub use credentials::{Credentials, DigestAlgorithm, REALM, Unproven};
use digest::{Nonces, Signed};
use file::{AccessFile, BadAccessFile};
use invitations::Invitations;
use password::{PasswordHash, Verifier};
pub use sessions::COOKIE;
use sessions::Sessions;
use throttle::Throttle;
use users::Users;
use verified::Verified;

/// Whether it is known who makes a request.
#[derive(Clone, Debug)]
pub enum Recognized {
    /// It is.
    Caller(Arc<Caller>),
    /// It says who it is, and that is still to be verified.
    NotYet,
}

/// Who may come in, and who may do what.
#[derive(Debug)]
pub struct Access {
    /// Whoever has not said who they are.
    unnamed: Arc<Caller>,
    /// `None` if there are no users.
    door: Option<Door>,
}

/// What there is where users may sign in.
#[derive(Debug)]
struct Door {
    users: Arc<Users>,
    verified: Verified,
    sessions: Sessions,
    nonces: Nonces,
    throttle: Throttle,
    verifier: Verifier,
    invitations: Invitations,
}

impl Access {
    /// Without users: whoever can reach the server has these rights.
    pub fn for_anonymous(rights: Rights) -> Self {
        let standing = Standing::new(Principal::Anonymous, Permissions::everywhere(rights));
        Self { unnamed: Arc::new(Caller::new(&standing, WayIn::Anonymous)), door: None }
    }

    /// With the users and rules of a file; `for_everybody` is what everybody may do, as far as no rule says it.
    ///
    /// # Errors
    /// Why the file cannot be used.
    pub fn of_file(path: PathBuf, for_everybody: Option<Rights>) -> Result<Self, BadAccessFile> {
        Ok(Self::of_users(Users::open(path, for_everybody)?))
    }

    /// With one user, who is made for this run and may do everything; `for_everybody` is what everybody may do.
    pub fn of_one_user(name: &str, password: PasswordHash, for_everybody: Option<Rights>) -> Self {
        Self::of_users(Users::of(AccessFile::of_one_user(name, password, for_everybody)))
    }

    fn of_users(users: Arc<Users>) -> Self {
        let unnamed = Arc::new(Caller::new(users.unnamed(), WayIn::Anonymous).that_can_sign_in());
        let door = Door {
            users,
            verified: Verified::default(),
            sessions: Sessions::default(),
            nonces: Nonces::default(),
            throttle: Throttle::default(),
            verifier: Verifier::start(),
            invitations: Invitations::default(),
        };
        Self { unnamed, door: Some(door) }
    }

    /// Whoever has not said who they are.
    pub fn unnamed(&self) -> Arc<Caller> {
        Arc::clone(&self.unnamed)
    }

    /// Whether there are users who may sign in.
    pub fn has_users(&self) -> bool {
        self.door.is_some()
    }

    /// A nonce for whoever is to sign in by Digest, if any user may.
    pub fn nonce(&self) -> Option<String> {
        let door = self.door.as_ref().filter(|door| door.users.have_digests())?;
        Some(door.nonces.give(Instant::now()))
    }

    /// Who makes a request, as far as that is known without waiting.
    ///
    /// # Errors
    /// Why that is not believed.
    pub fn recognize(&self, credentials: &Credentials<'_>) -> Result<Recognized, Unproven> {
        let Some(door) = &self.door else { return Ok(Recognized::Caller(Arc::clone(&self.unnamed))) };
        door.users.refresh();
        if let Some(authorization) = credentials.authorization {
            if !credentials.is_private {
                return Err(Unproven::Unprotected);
            }
            return door.recognize(authorization, credentials);
        }
        match credentials.cookie.and_then(sessions::secret_in) {
            Some(_) if !credentials.is_private => Err(Unproven::Unprotected),
            Some(secret) => {
                door.sessions.find(secret, Instant::now()).map(Recognized::Caller).ok_or(Unproven::SessionOver)
            }
            None => Ok(Recognized::Caller(Arc::clone(&self.unnamed))),
        }
    }

    /// Verifies what could not be recognized at once.
    ///
    /// # Errors
    /// Why it is not believed.
    pub async fn verify(&self, credentials: &Credentials<'_>) -> Result<Arc<Caller>, Unproven> {
        let (Some(door), Some(authorization)) = (&self.door, credentials.authorization) else {
            return Err(Unproven::Wrong);
        };
        let (_, encoded) = scheme(authorization);
        let given = NameAndPassword::parse(encoded).ok_or(Unproven::Wrong)?;
        let standing = door.verify_password(given, credentials).await?;
        let caller = Arc::new(Caller::new(&standing, WayIn::Password));
        door.verified.remember(authorization, &caller, Instant::now());
        Ok(caller)
    }

    /// Who makes a request of which a trusted proxy says that this user makes it.
    ///
    /// # Errors
    /// That there is no such user.
    pub fn by_word_of_a_proxy(&self, name: &str) -> Result<Arc<Caller>, Unproven> {
        let door = self.door.as_ref().ok_or(Unproven::Wrong)?;
        door.users.refresh();
        let (standing, _) = door.users.find(name).ok_or(Unproven::Wrong)?;
        Ok(Arc::new(Caller::new(&standing, WayIn::Proxy)))
    }

    /// Begins a session of whoever has this name and password; gives the secret for the cookie.
    ///
    /// # Errors
    /// Why it is not believed.
    pub async fn sign_in(
        &self,
        name: String,
        password: String,
        credentials: &Credentials<'_>,
    ) -> Result<String, Unproven> {
        let door = self.door.as_ref().ok_or(Unproven::Wrong)?;
        if !credentials.is_private {
            return Err(Unproven::Unprotected);
        }
        let standing = door.verify_password(NameAndPassword { name, password }, credentials).await?;
        Ok(door.sessions.begin(&standing, Instant::now()))
    }

    /// Invites this user to come without a password, once and within that time; gives the secret to come with. `None` if there are no users.
    pub fn invite(&self, name: &str, life: Duration) -> Option<String> {
        self.door.as_ref().map(|door| door.invitations.make(name, life, Instant::now()))
    }

    /// Begins a session of whoever was invited by this secret, which is worth nothing from then on; gives the secret for the cookie. `None` if
    /// nobody was, or has come already, or is not there any more.
    ///
    /// # Errors
    /// That others can read what it brings along.
    pub fn accept(&self, secret: &str, credentials: &Credentials<'_>) -> Result<Option<String>, Unproven> {
        let Some(door) = &self.door else { return Ok(None) };
        if !credentials.is_private {
            return Err(Unproven::Unprotected);
        }
        let now = Instant::now();
        let standing = door.invitations.take(secret, now).and_then(|name| door.users.find(&name));
        Ok(standing.map(|(standing, _)| door.sessions.begin(&standing, now)))
    }

    /// Ends the session of this cookie.
    pub fn sign_out(&self, cookie: &[u8]) {
        if let (Some(door), Some(secret)) = (&self.door, sessions::secret_in(cookie)) {
            door.sessions.end(secret);
        }
    }
}

impl Door {
    fn recognize(&self, authorization: &[u8], credentials: &Credentials<'_>) -> Result<Recognized, Unproven> {
        if let Some(caller) = self.verified.find(authorization, Instant::now()) {
            return Ok(Recognized::Caller(caller));
        }
        match scheme(authorization) {
            (scheme, _) if scheme == "basic" => Ok(Recognized::NotYet),
            (scheme, token) if scheme == "bearer" => {
                self.users.find_token(token).map(Recognized::Caller).ok_or(Unproven::Wrong)
            }
            (scheme, parameters) if scheme == "digest" => {
                self.verify_digest(parameters, credentials).map(Recognized::Caller)
            }
            _ => Err(Unproven::Wrong),
        }
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

    async fn verify_password(
        &self,
        given: NameAndPassword,
        credentials: &Credentials<'_>,
    ) -> Result<Arc<Standing>, Unproven> {
        let far = far(credentials);
        let guess = far.map(|address| self.throttle.admit(address, &given.name, Instant::now())).transpose();
        let guess = guess.map_err(|wait| Unproven::TooMany(wait.0))?;
        let (standing, hash) = self.users.find(&given.name).unzip();
        let answer = self.verifier.ask(given.password, hash.flatten(), far.is_none()).map_err(|_| Unproven::Busy);
        let is_right = match answer {
            Ok(answer) => answer.await.map_err(|_| Unproven::Busy)?,
            Err(busy) => {
                guess.iter().for_each(|guess| self.throttle.does_not_count(guess));
                return Err(busy);
            }
        };
        match standing.filter(|standing| is_right && !standing.has_ended()) {
            Some(standing) => {
                guess.iter().for_each(|guess| self.throttle.was_right(guess));
                Ok(standing)
            }
            None => Err(Unproven::Wrong),
        }
    }
}

/// The address of a client that is not at this machine; all whose address is not known are one. Whoever sits at the machine is never locked out.
fn far(credentials: &Credentials<'_>) -> Option<IpAddr> {
    let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    (!credentials.is_near).then(|| credentials.address.map_or(unknown, |address| address.to_canonical()))
}
