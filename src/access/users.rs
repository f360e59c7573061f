//! The users and rules in force: those of the file, read again whenever it has changed. A file that cannot be used leaves the old ones in force.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::model::grants::Grants;
use crate::model::principal::Principal;
use crate::model::rights::Rights;
use crate::model::rules::{Member, grants};

use super::caller::{Caller, Standing, Way};
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
    /// Whoever has not said who they are.
    unnamed: Arc<Standing>,
}

#[derive(Debug, Default)]
struct InForce {
    users: BTreeMap<Arc<str>, User>,
    /// Who has a bearer token of this hash.
    tokens: HashMap<[u8; 32], Arc<Caller>>,
}

#[derive(Debug)]
struct User {
    record: UserRecord,
    standing: Arc<Standing>,
}

impl Users {
    /// Reads the file.
    pub(super) fn open(path: PathBuf, for_everybody: Option<Rights>) -> Result<Self, BadAccessFile> {
        let state = FileState::of(&path).ok();
        let file = AccessFile::read(&path, for_everybody)?;
        let users = Self { path, for_everybody, state: Mutex::new(state), ..Self::of(AccessFile::default()) };
        users.put_in_force(file);
        Ok(users)
    }

    /// With what would stand in a file, where there is none.
    pub(super) fn of(file: AccessFile) -> Self {
        let unnamed = Standing::new(Principal::Anonymous, Grants::everywhere(Rights::empty()));
        let (path, in_force, state) = (PathBuf::new(), RwLock::default(), Mutex::new(None));
        let users = Self { path, for_everybody: None, in_force, state, unnamed };
        users.put_in_force(file);
        users
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
        match AccessFile::read(&self.path, self.for_everybody).map(|file| self.put_in_force(file)) {
            Ok(()) => tracing::info!("{} has changed: its users and rules are in force", self.path.display()),
            Err(bad) => tracing::error!("{bad}; the users and rules in force are those that were read before"),
        }
        *known = Some(state);
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

    /// Whether any user may sign in by Digest.
    pub(super) fn have_digests(&self) -> bool {
        self.in_force.read().users.values().any(|user| user.record.digest.is_some())
    }

    /// Who has this bearer token.
    pub(super) fn find_token(&self, token: &[u8]) -> Option<Arc<Caller>> {
        self.in_force.read().tokens.get(blake3::hash(token).as_bytes()).cloned()
    }

    fn put_in_force(&self, file: AccessFile) {
        let AccessFile { users: records, rules } = file;
        let of = |principal: &Principal, groups: &[Arc<str>]| grants(&rules, Member { principal, groups });
        let mut in_force = self.in_force.write();
        let mut before = std::mem::take(&mut *in_force);
        self.unnamed.may(of(&Principal::Anonymous, &[]));
        for (name, record) in records {
            let principal = Principal::Named(Arc::clone(&name));
            let grants = of(&principal, &record.groups);
            let same = before.users.remove(&name).filter(|user| {
                let is_same = user.record.password == record.password && user.record.digest == record.digest;
                if !is_same {
                    user.standing.end();
                }
                is_same
            });
            let standing = same.map(|user| user.standing);
            let standing =
                standing.unwrap_or_else(|| Standing::new(principal.clone(), Grants::everywhere(Rights::empty())));
            standing.may(grants.clone());
            for token in &record.tokens {
                let Some(hash) = decoded(&token.hash) else { continue };
                let same = before.tokens.remove(&hash).filter(|caller| *caller.principal() == principal);
                let caller = same.unwrap_or_else(|| {
                    let standing = Standing::new(principal.clone(), Grants::everywhere(Rights::empty()));
                    Arc::new(Caller::new(&standing, Way::Token))
                });
                caller.permissions().replace(grants.clone());
                in_force.tokens.insert(hash, caller);
            }
            in_force.users.insert(name, User { record, standing });
        }
        before.users.values().for_each(|user| user.standing.end());
        before.tokens.values().for_each(|caller| caller.end());
    }
}

fn decoded(hash: &str) -> Option<[u8; 32]> {
    data_encoding::HEXLOWER.decode(hash.as_bytes()).ok()?.try_into().ok()
}
