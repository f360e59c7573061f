//! The users and rules in force: those of the file, read again whenever it has changed. A file that cannot be used leaves the old ones in force.

use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};

use crate::model::author::WayIn;
use crate::model::grants::Grants;
use crate::model::permissions::{Decides, Permissions};
use crate::model::principal::Principal;
use crate::model::rights::Rights;
use crate::model::rules::{Member, grants};

use super::caller::{Caller, Standing};
use super::file::{AccessFile, BadAccessFile, DigestHashes, UserRecord};
use super::password::PasswordHash;
use crate::os::locked_file::FileState;

/// The users and rules of a file.
#[derive(Debug)]
pub(super) struct Users {
    /// Empty where there is no file.
    path: PathBuf,
    /// What everybody may do at the top of the share, where the file does not say it.
    for_everybody: Option<Rights>,
    in_force: RwLock<InForce>,
    state: Mutex<Option<FileState>>,
    /// Whether nobody may do anything, since the file may not be read.
    is_shut: AtomicBool,
    /// How often users and rules were put in force.
    edition: AtomicU64,
    /// Whoever has not said who they are.
    unnamed: Arc<Standing>,
    /// For the permissions, which ask whether something else holds.
    own: Weak<Self>,
}

#[derive(Debug, Default)]
struct InForce {
    /// Whether the file has any rule of its own.
    has_rules: bool,
    users: BTreeMap<Arc<str>, User>,
    /// Who has a bearer token of this hash.
    tokens: HashMap<[u8; 32], Arc<Caller>>,
}

#[derive(Debug)]
struct User {
    record: UserRecord,
    standing: Arc<Standing>,
    /// What the user may do, whatever the password.
    permissions: Permissions,
}

impl Users {
    /// Reads the file.
    pub(super) fn open(path: PathBuf, for_everybody: Option<Rights>) -> Result<Arc<Self>, BadAccessFile> {
        let state = FileState::of(&path).ok();
        let file = AccessFile::read(&path, for_everybody)?;
        let users = Self::begin(path, for_everybody, state);
        users.put_in_force(file);
        Ok(users)
    }

    /// With what would stand in a file, where there is none.
    pub(super) fn of(file: AccessFile) -> Arc<Self> {
        let users = Self::begin(PathBuf::new(), None, None);
        users.put_in_force(file);
        users
    }

    fn begin(path: PathBuf, for_everybody: Option<Rights>, state: Option<FileState>) -> Arc<Self> {
        Arc::new_cyclic(|own: &Weak<Self>| {
            let unnamed = Standing::new(Principal::Anonymous, nothing_yet(own));
            let (in_force, state, own) = (RwLock::default(), Mutex::new(state), Weak::clone(own));
            Self {
                path,
                for_everybody,
                in_force,
                state,
                is_shut: AtomicBool::new(false),
                edition: AtomicU64::new(0),
                unnamed,
                own,
            }
        })
    }

    /// Whoever has not said who they are.
    pub(super) fn unnamed(&self) -> &Arc<Standing> {
        &self.unnamed
    }

    /// Reads the file again if it has changed. One look at its status.
    pub(super) fn refresh(&self) {
        if self.path.as_os_str().is_empty() {
            return;
        }
        let Ok(state) = FileState::of(&self.path) else {
            if self.state.lock().take().is_some() {
                tracing::error!(
                    "{} is gone: the users and rules in force are those that were read last",
                    self.path.display()
                );
            }
            return;
        };
        if *self.state.lock() == Some(state) {
            return;
        }
        let mut known = self.state.lock();
        if *known == Some(state) {
            return;
        }
        match AccessFile::read(&self.path, self.for_everybody).map(|file| self.replace(file)) {
            Ok(()) => tracing::info!("{} has changed: its users and rules are in force", self.path.display()),
            Err(bad) => {
                if bad.disk == Some(ErrorKind::PermissionDenied) {
                    self.shut(&bad);
                } else {
                    tracing::error!("{bad}; the users and rules in force are those that were read before");
                }
                if bad.disk.is_some() {
                    *known = None;
                    return;
                }
            }
        }
        *known = Some(state);
    }

    /// Nobody may do anything until the file can be read: whoever put one there that may not be read has changed what it says, and be it that a
    /// user is gone.
    fn shut(&self, bad: &BadAccessFile) {
        if self.is_shut.swap(true, Ordering::AcqRel) {
            return;
        }
        tracing::error!("{bad}; so nobody may do anything until it can be");
        let nothing = || Grants::everywhere(Rights::empty());
        let in_force = self.in_force.read();
        self.unnamed.may(nothing());
        for user in in_force.users.values() {
            user.standing.may(nothing());
            user.permissions.replace(nothing());
        }
        in_force.tokens.values().for_each(|caller| caller.permissions().replace(nothing()));
    }

    /// The standing of a user, and the hash of the password.
    pub(super) fn find(&self, name: &str) -> Option<(Arc<Standing>, Option<PasswordHash>)> {
        let in_force = self.in_force.read();
        in_force.users.get(name).map(|user| (Arc::clone(&user.standing), user.record.password.clone()))
    }

    /// The standing of a user who may sign in by Digest, and by what that is checked.
    pub(super) fn find_digest(&self, name: &str) -> Option<(Arc<Standing>, DigestHashes)> {
        let in_force = self.in_force.read();
        let user = in_force.users.get(name)?;
        Some((Arc::clone(&user.standing), user.record.digest.clone()?))
    }

    /// What a user may do, for as long as there is that user, who was added then.
    pub(super) fn permissions_of(&self, name: &str, added: Option<&str>) -> Option<Permissions> {
        let in_force = self.in_force.read();
        let user = in_force.users.get(name).filter(|user| user.record.added.as_deref() == added)?;
        Some(user.permissions.clone())
    }

    /// When a user was added, as it is noted.
    pub(super) fn added(&self, name: &str) -> Option<Box<str>> {
        self.in_force.read().users.get(name)?.record.added.clone()
    }

    /// How often something else was put in force.
    pub(super) fn edition(&self) -> u64 {
        self.edition.load(Ordering::Acquire)
    }

    /// Whether any user may sign in by Digest.
    pub(super) fn have_digests(&self) -> bool {
        self.in_force.read().users.values().any(|user| user.record.digest.is_some())
    }

    /// Who has this bearer token.
    pub(super) fn find_token(&self, token: &[u8]) -> Option<Arc<Caller>> {
        self.in_force.read().tokens.get(blake3::hash(token).as_bytes()).cloned()
    }

    /// Puts what was read anew in force. Without rules whoever signs in may do everything, which a file that is half written must not say: if there
    /// were rules, then nobody may do anything until there are some again.
    fn replace(&self, mut file: AccessFile) {
        if self.in_force.read().has_rules && !file.has_rules() {
            let path = self.path.display();
            tracing::error!(
                "{path}: it has no rules any more, so nobody may do anything; to let users do everything, start anew"
            );
            file.rules.clear();
        }
        self.put_in_force(file);
    }

    fn put_in_force(&self, file: AccessFile) {
        self.is_shut.store(false, Ordering::Release);
        let has_rules = file.has_rules() || file.rules.is_empty();
        let AccessFile { users: records, rules } = file;
        let of = |principal: &Principal, groups: &[Arc<str>]| grants(&rules, Member { principal, groups });
        let mut in_force = self.in_force.write();
        let mut before = std::mem::take(&mut *in_force);
        in_force.has_rules = has_rules;
        self.unnamed.may(of(&Principal::Anonymous, &[]));
        for (name, record) in records {
            let principal = Principal::Named(Arc::clone(&name));
            let grants = of(&principal, &record.groups);
            let known = before.users.remove(&name);
            let permissions = known.as_ref().map_or_else(|| nothing_yet(&self.own), |user| user.permissions.clone());
            permissions.replace(grants.clone());
            let same = known.filter(|user| {
                let is_same = user.record.password == record.password && user.record.digest == record.digest;
                if !is_same {
                    user.standing.end();
                }
                is_same
            });
            let standing = same.map(|user| user.standing);
            let standing = standing.unwrap_or_else(|| Standing::new(principal.clone(), nothing_yet(&self.own)));
            standing.may(grants.clone());
            for token in &record.tokens {
                let Some(hash) = decoded(&token.hash) else { continue };
                let same = before.tokens.remove(&hash).filter(|caller| *caller.principal() == principal);
                let caller = same.unwrap_or_else(|| {
                    let standing = Standing::new(principal.clone(), nothing_yet(&self.own));
                    Arc::new(Caller::new(&standing, WayIn::Token))
                });
                caller.permissions().replace(grants.clone());
                in_force.tokens.insert(hash, caller);
            }
            in_force.users.insert(name, User { record, standing, permissions });
        }
        for user in before.users.values() {
            user.standing.end();
            user.permissions.replace(Grants::everywhere(Rights::empty()));
        }
        before.tokens.values().for_each(|caller| caller.end());
        self.edition.fetch_add(1, Ordering::Release);
    }
}

/// Nothing, until it is said what.
fn nothing_yet(users: &Weak<Users>) -> Permissions {
    Permissions::decided_by(Grants::everywhere(Rights::empty()), Weak::clone(users) as Weak<dyn Decides>)
}

impl Decides for Users {
    fn look_again(&self) {
        self.refresh();
    }
}

fn decoded(hash: &str) -> Option<[u8; 32]> {
    data_encoding::HEXLOWER.decode(hash.as_bytes()).ok()?.try_into().ok()
}
