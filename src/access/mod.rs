//! Edge: who may do what. Every request passes [`Access`], which tells who makes it; and [`Caller::authorize`], for its own path and for every
//! other that it names. What its caller may do it takes along to the share, which judges by that under the mutex.

mod basic;
mod caller;
mod credentials;
pub mod digest;
mod door;
pub mod edit;
pub mod file;
mod invitations;
pub mod link;
pub mod link_file;
mod links;
pub mod password;
mod sessions;
mod throttle;
mod users;
mod verified;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::model::author::WayIn;
use crate::model::path::SharePath;
use crate::model::permissions::Permissions;
pub use crate::model::principal::Principal;
use crate::model::rights::Rights;

use basic::NameAndPassword;
use caller::Standing;
pub use caller::{Caller, Denied, Recognized};
pub use credentials::{Credentials, DigestAlgorithm, REALM, Unproven};
use door::Door;
use file::{AccessFile, BadAccessFile};
use link::{Link, LinkOwner, NewLink, Place};
use link_file::LinkFile;
pub use links::LinkError;
use password::PasswordHash;
pub use sessions::{COOKIE, LINK_COOKIE};
use users::Users;

/// Who may come in, and who may do what.
#[derive(Debug)]
pub struct Access {
    /// Whoever has not said who they are.
    unnamed: Arc<Caller>,
    /// `None` if there are no users.
    door: Option<Door>,
}

/// How a browser visits by a link.
pub struct Visit {
    /// The secret for the cookie.
    pub secret: String,
    /// Where the link leads.
    pub place: Place,
}

impl fmt::Debug for Visit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visit").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Access {
    /// Without users: whoever can reach the server has these rights.
    pub fn for_anonymous(rights: Rights) -> Self {
        let standing = Standing::new(Principal::Anonymous, Permissions::everywhere(rights));
        Self { unnamed: Arc::new(Caller::new(&standing, WayIn::Anonymous)), door: None }
    }

    /// With the users and rules of a file; `for_everybody` is what everybody may do, as far as no rule says it. Links are kept in that other file,
    /// if there is one.
    ///
    /// # Errors
    /// Why the file cannot be used.
    pub fn of_file(
        path: PathBuf,
        for_everybody: Option<Rights>,
        links: Option<PathBuf>,
    ) -> Result<Self, BadAccessFile> {
        Ok(Self::of_users(Users::open(path, for_everybody)?, links))
    }

    /// As [`Access::of_file`], with one user, who is made for this run and may do everything.
    pub fn of_one_user(
        name: &str,
        password: PasswordHash,
        for_everybody: Option<Rights>,
        links: Option<PathBuf>,
    ) -> Self {
        Self::of_users(Users::of(AccessFile::of_one_user(name, password, for_everybody)), links)
    }

    fn of_users(users: Arc<Users>, links: Option<PathBuf>) -> Self {
        let unnamed = Arc::new(Caller::new(users.unnamed(), WayIn::Anonymous).that_can_sign_in());
        Self { unnamed, door: Some(Door::of(users, links)) }
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

    /// Puts in force what has changed about users and links. To be called before a request is recognized, and after it has come; costs a look at
    /// the status of two files.
    pub fn look_again(&self) {
        self.door.iter().for_each(|door| door.links.refresh());
    }

    /// Who makes a request, as far as that is known without waiting, by what [`Access::look_again`] has found.
    ///
    /// # Errors
    /// Why that is not believed.
    pub fn recognize(&self, credentials: &Credentials<'_>) -> Result<Recognized, Unproven> {
        let Some(door) = &self.door else { return Ok(Recognized::Caller(Arc::clone(&self.unnamed))) };
        let has_any = credentials.link.is_some() || credentials.authorization.is_some();
        if has_any && !credentials.is_private {
            return Err(Unproven::Unprotected);
        }
        match (credentials.link, credentials.authorization) {
            (Some(secret), _) => door.recognize_link(secret),
            (None, Some(authorization)) => door.recognize(authorization, credentials),
            (None, None) => {
                let known = credentials.cookie.map(|cookie| door.recognize_cookie(cookie, credentials)).transpose()?;
                Ok(Recognized::Caller(known.flatten().unwrap_or_else(|| Arc::clone(&self.unnamed))))
            }
        }
    }

    /// Verifies what could not be recognized at once.
    ///
    /// # Errors
    /// Why it is not believed.
    pub async fn verify(&self, credentials: &Credentials<'_>) -> Result<Arc<Caller>, Unproven> {
        let door = self.door.as_ref().ok_or(Unproven::Wrong)?;
        let authorization = credentials.authorization.unwrap_or_default();
        let given = NameAndPassword::of_basic(authorization);
        if let Some(secret) = credentials.link {
            return door.come_by(secret, given.map(|given| given.password), credentials).await;
        }
        let given = given.ok_or(Unproven::Wrong)?;
        let caller = match door.links.find(&given.name) {
            Some(link) if link.record().uses_left.is_some() => {
                return door.enter(&link, Some(given.password), credentials).await;
            }
            Some(link) => door.enter(&link, Some(given.password), credentials).await?,
            None => Arc::new(Caller::new(&door.verify_password(given, credentials).await?, WayIn::Password)),
        };
        door.verified.remember(authorization, &caller, Instant::now());
        Ok(caller)
    }

    /// Lets a browser visit by a link; gives the secret for the cookie, and where the link leads.
    ///
    /// # Errors
    /// Why it is not believed.
    pub async fn visit(
        &self,
        secret: &str,
        password: Option<String>,
        credentials: &Credentials<'_>,
    ) -> Result<Visit, Unproven> {
        let door = self.door.as_ref().ok_or(Unproven::Wrong)?;
        if !credentials.is_private {
            return Err(Unproven::Unprotected);
        }
        door.come_by(secret, password, credentials).await?;
        self.stay(secret).ok_or(Unproven::Wrong)
    }

    /// As [`Access::visit`], for whoever has come by this very link already: nothing is proven here.
    pub fn stay(&self, secret: &str) -> Option<Visit> {
        let found = self.door.as_ref()?.links.find(secret)?;
        Some(Visit { secret: found.visit().to_owned(), place: found.record().place.clone() })
    }

    /// Who visits by a link that leads to a path, by the cookies of a browser.
    pub fn visitors(&self, credentials: &Credentials<'_>, path: &SharePath) -> Vec<Arc<Caller>> {
        let cookie = credentials.cookie.filter(|_| credentials.is_private).unwrap_or_default();
        let leads_there = |caller: &Arc<Caller>| caller.place().is_some_and(|place| path.is_within(&place.path));
        self.visits(cookie).filter(leads_there).collect()
    }

    /// Where the links lead by which a browser visits.
    pub fn places_visited(&self, cookie: &[u8]) -> Vec<Place> {
        self.visits(cookie).filter_map(|caller| caller.place().cloned()).collect()
    }

    fn visits(&self, cookie: &[u8]) -> impl Iterator<Item = Arc<Caller>> {
        let door = self.door.as_ref();
        let known = move |secret: &[u8]| door.and_then(|door| door.links.visitor(secret));
        sessions::secrets_in(cookie, LINK_COOKIE).filter_map(known)
    }

    /// Makes a link of this user, which takes this password if there is one; gives its secret.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn make_link(
        &self,
        owner: Arc<str>,
        new: NewLink,
        password: Option<String>,
    ) -> Result<(String, Link), LinkError> {
        let door = self.door.as_ref().ok_or(LinkError::NoUsers)?;
        let password = match password {
            Some(password) => Some(door.links.hash(password).await?),
            None => None,
        };
        let owner = Some(LinkOwner { added: door.users.added(&owner), name: owner });
        self.change_links(move |file| Ok(file.add(NewLink { owner, password, ..new }, Timestamp::now())?)).await
    }

    /// The links of a user that are good.
    ///
    /// # Errors
    /// That there can be none.
    pub fn links_of(&self, owner: &str) -> Result<Vec<Link>, LinkError> {
        Ok(self.door.as_ref().ok_or(LinkError::NoUsers)?.links.of(owner))
    }

    /// Takes a link away from whoever has it.
    ///
    /// # Errors
    /// That this user has none of this name, or why it cannot be taken away.
    pub async fn revoke_link(&self, id: Box<str>, owner: Arc<str>) -> Result<(), LinkError> {
        self.change_links(move |file| Ok(file.revoke(&id, Some(&owner))?)).await
    }

    async fn change_links<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut LinkFile) -> Result<T, LinkError> + Send + 'static,
    ) -> Result<T, LinkError> {
        self.door.as_ref().ok_or(LinkError::NoUsers)?.links.change(change).await
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
        Ok(door.sessions.begin(Arc::new(Caller::new(&standing, WayIn::Session)), Instant::now()))
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
        Ok(standing.map(|(standing, _)| door.sessions.begin(Arc::new(Caller::new(&standing, WayIn::Session)), now)))
    }

    /// Ends the session of this cookie.
    pub fn sign_out(&self, cookie: &[u8]) {
        let Some(door) = &self.door else { return };
        sessions::secrets_in(cookie, COOKIE).for_each(|secret| door.sessions.end(secret));
    }
}
