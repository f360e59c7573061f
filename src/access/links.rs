//! The links in force: those of the file, read again whenever it has changed. What a link gives is never more than its owner may do at that moment.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use jiff::Timestamp;
use parking_lot::{Mutex, RwLock};

use crate::model::author::WayIn;
use crate::model::permissions::{Decides, Permissions};
use crate::model::principal::Principal;
use crate::os::locked_file::FileState;
use crate::os::random;

use super::caller::{Caller, Standing};
use super::link::Link;
use super::link_file::{LinkFile, LinkFileError, hash_of, read_links};
use super::password::PasswordHash;
use super::users::Users;

/// Why a link cannot be made, told or taken away.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Without users there are none: they would give nothing that not everybody has.
    #[error("there are no users, and so no links")]
    NoUsers,
    /// There is nothing to keep them in.
    #[error("links are kept in the state folder, and this server has none")]
    NoState,
    /// The password cannot be hashed.
    #[error("the password cannot be hashed: {0}")]
    Password(argon2::password_hash::Error),
    /// The file.
    #[error(transparent)]
    File(#[from] LinkFileError),
}

/// The links of a file.
#[derive(Debug)]
pub(super) struct Links {
    /// `None` where there is nothing to keep links in.
    path: Option<PathBuf>,
    users: Arc<Users>,
    in_force: RwLock<InForce>,
    known: Mutex<Known>,
    /// Changes are made one after the other, and each waits for the disk.
    changing: tokio::sync::Mutex<()>,
    hashing: tokio::sync::Mutex<()>,
    /// For the permissions, which ask whether something else holds.
    own: Weak<Self>,
}

#[derive(Debug, Default)]
struct InForce {
    /// By the hashes of their secrets.
    links: HashMap<[u8; 32], Arc<LinkInForce>>,
    /// By the hashes of the secrets of their visits.
    visits: HashMap<[u8; 32], Arc<Caller>>,
}

/// A link, and whoever comes by it.
pub(super) struct LinkInForce {
    link: Link,
    /// By what a browser is known that has opened it: one secret for all of them, who may do the same.
    visit: Arc<str>,
    /// What its owner may do; `None` if it is whoever runs the server.
    of_owner: Option<Permissions>,
    caller: Arc<Caller>,
}

/// What the links in force were made of.
#[derive(Debug, Default, PartialEq, Eq)]
struct Known {
    file: Option<FileState>,
    edition_of_users: Option<u64>,
    /// When the next of them ends.
    until: Option<Timestamp>,
}

impl fmt::Debug for LinkInForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkInForce").field("id", &self.link.id).finish_non_exhaustive()
    }
}

impl LinkInForce {
    /// The link.
    pub(super) fn record(&self) -> &Link {
        &self.link
    }

    /// The secret of a visit by it.
    pub(super) fn visit(&self) -> &str {
        &self.visit
    }

    /// Whoever comes by it.
    pub(super) fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }
}

impl Links {
    /// The links of a file, which may be missing.
    pub(super) fn open(path: Option<PathBuf>, users: &Arc<Users>) -> Arc<Self> {
        let (in_force, known, users) = (RwLock::default(), Mutex::default(), Arc::clone(users));
        Arc::new_cyclic(|own| Self {
            path,
            users,
            in_force,
            known,
            changing: tokio::sync::Mutex::default(),
            hashing: tokio::sync::Mutex::default(),
            own: Weak::clone(own),
        })
    }

    /// Hashes a password, one after the other, since each takes memory: those who wait for that keep nobody from revoking a link.
    ///
    /// # Errors
    /// What the library says.
    pub(super) async fn hash(&self, password: String) -> Result<PasswordHash, LinkError> {
        let _turn = self.hashing.lock().await;
        let hashed = tokio::task::spawn_blocking(move || PasswordHash::of(&password)).await;
        hashed.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic())).map_err(LinkError::Password)
    }

    /// Changes the file.
    ///
    /// # Errors
    /// That there is none, what the change says, and the disk. Nothing has changed then.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut LinkFile) -> Result<T, LinkError> + Send + 'static,
    ) -> Result<T, LinkError> {
        let path = self.path.clone().ok_or(LinkError::NoState)?;
        let _turn = self.changing.lock().await;
        let changed = tokio::task::spawn_blocking(move || {
            let mut file = LinkFile::open(&path)?;
            let done = change(&mut file)?;
            file.commit()?;
            Ok(done)
        });
        changed.await.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))
    }

    /// The link of this secret, if it is good.
    pub(super) fn find(&self, secret: &str) -> Option<Arc<LinkInForce>> {
        self.refresh();
        self.in_force.read().links.get(&hash_of(secret)).cloned()
    }

    /// Who makes a visit of this secret.
    pub(super) fn visitor(&self, secret: &[u8]) -> Option<Arc<Caller>> {
        self.in_force.read().visits.get(&hash_of(str::from_utf8(secret).ok()?)).cloned()
    }

    /// The links of an owner that are good.
    pub(super) fn of(&self, owner: &str) -> Vec<Link> {
        self.refresh();
        let in_force = self.in_force.read();
        let own = in_force.links.values().map(|found| &found.link).filter(|link| link.owner.as_deref() == Some(owner));
        own.cloned().collect()
    }

    /// Reads the file again if it has changed, and looks again at what the owners may do, and at the time.
    pub(super) fn refresh(&self) {
        self.users.refresh();
        let Some(path) = &self.path else { return };
        let now = Timestamp::now();
        let (file, edition_of_users) = (FileState::of(path).ok(), Some(self.users.edition()));
        let mut known = self.known.lock();
        let is_over = known.until.is_some_and(|until| until <= now);
        if known.file == file && known.edition_of_users == edition_of_users && !is_over {
            return;
        }
        match read_links(path) {
            Ok(links) => {
                let good: Vec<_> = links.into_iter().filter(|link| link.is_good_at(now)).collect();
                known.until = good.iter().filter_map(|link| link.until).min();
                self.put_in_force(good);
            }
            Err(bad) => {
                tracing::error!("{bad}; the links in force are those that were read before");
                known.until = self.end_those_that_are_over(now);
                if matches!(bad, LinkFileError::Disk { .. }) {
                    return;
                }
            }
        }
        (known.file, known.edition_of_users) = (file, edition_of_users);
    }

    fn put_in_force(&self, links: Vec<Link>) {
        let mut in_force = self.in_force.write();
        let mut before = std::mem::take(&mut *in_force).links;
        for link in links {
            let Some(hash) = decoded(&link.hash) else { continue };
            let Some(of_owner) = self.permissions_of_owner(&link) else { continue };
            let known = before.remove(&hash).filter(|known| {
                let is_same = known.link.is(&link) && is_same_owner(&known.of_owner, &of_owner);
                if !is_same {
                    known.caller.end();
                }
                is_same
            });
            let (caller, visit) = match known {
                Some(known) => (Arc::clone(&known.caller), Arc::clone(&known.visit)),
                None => (self.caller(&link, of_owner.as_ref()), BASE64URL_NOPAD.encode(&random::bytes()).into()),
            };
            in_force.visits.insert(hash_of(&visit), Arc::clone(&caller));
            in_force.links.insert(hash, Arc::new(LinkInForce { link, visit, of_owner, caller }));
        }
        before.values().for_each(|gone| gone.caller.end());
    }

    /// What the owner of a link may do; within, `None` if it is whoever runs the server. A link whose owner is gone is none.
    fn permissions_of_owner(&self, link: &Link) -> Option<Option<Permissions>> {
        let Some(owner) = &link.owner else { return Some(None) };
        self.users.permissions_of(owner, link.owner_added.as_deref()).map(Some)
    }

    fn caller(&self, link: &Link, of_owner: Option<&Permissions>) -> Arc<Caller> {
        let permissions = Permissions::decided_by(link.grants(), Weak::clone(&self.own) as Weak<dyn Decides>);
        let permissions = match of_owner {
            Some(of_owner) => permissions.as_far_as(of_owner),
            None => permissions,
        };
        let standing = Standing::new(Principal::Link(Arc::clone(&link.id)), permissions);
        Arc::new(Caller::new(&standing, WayIn::Link).that_comes_by_a_link(link.place.clone()))
    }

    /// Ends what is over; says when the next is.
    fn end_those_that_are_over(&self, now: Timestamp) -> Option<Timestamp> {
        let mut in_force = self.in_force.write();
        in_force.links.retain(|_, found| {
            let is_good = found.link.is_good_at(now);
            if !is_good {
                found.caller.end();
            }
            is_good
        });
        in_force.visits.retain(|_, caller| !caller.has_ended());
        in_force.links.values().filter_map(|found| found.link.until).min()
    }
}

impl Decides for Links {
    fn look_again(&self) {
        self.refresh();
    }
}

fn is_same_owner(one: &Option<Permissions>, other: &Option<Permissions>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => one.is(other),
        _ => false,
    }
}

fn decoded(hash: &str) -> Option<[u8; 32]> {
    HEXLOWER.decode(hash.as_bytes()).ok()?.try_into().ok()
}
