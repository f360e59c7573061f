//! What somebody may do, as it is handed down with a request to whatever judges it.

use std::fmt;
use std::sync::{Arc, Weak};

use parking_lot::RwLock;

use super::extent::Extent;
use super::grants::Grants;
use super::path::SharePath;
use super::rights::Rights;

/// Whoever decides what somebody may do.
pub trait Decides: Send + Sync + fmt::Debug {
    /// Looks whether something else holds now, and puts that into the permissions that it has given.
    fn look_again(&self);
}

/// What somebody may do, path by path. Whoever decides that may change it, and all who hold it judge by the new from then on: an upload that has
/// begun is committed by what holds at its commit.
#[derive(Clone, Debug)]
pub struct Permissions {
    grants: Arc<RwLock<Grants>>,
    /// What holds as well, if there is such a bound: nothing is permitted that is not permitted there.
    bound: Option<Arc<RwLock<Grants>>>,
    /// What is permitted besides.
    besides: Arc<[Self]>,
    decided_by: Option<Weak<dyn Decides>>,
}

impl Default for Permissions {
    /// Everything, as a person at the machine may.
    fn default() -> Self {
        Self::everywhere(Rights::all())
    }
}

impl From<Grants> for Permissions {
    fn from(grants: Grants) -> Self {
        Self { grants: Arc::new(RwLock::new(grants)), bound: None, besides: Arc::default(), decided_by: None }
    }
}

impl Permissions {
    /// The same rights at every path.
    pub fn everywhere(rights: Rights) -> Self {
        Grants::everywhere(rights).into()
    }

    /// These, for as long as whoever decides says nothing else.
    pub fn decided_by(grants: Grants, decides: Weak<dyn Decides>) -> Self {
        Self { decided_by: Some(decides), ..grants.into() }
    }

    /// These, as far as the others permit it, now and whenever something else holds there.
    pub fn as_far_as(self, others: &Self) -> Self {
        Self { bound: Some(Arc::clone(&others.grants)), ..self }
    }

    /// These, and the others besides.
    pub fn and(self, others: impl IntoIterator<Item = Self>) -> Self {
        Self { besides: self.besides.iter().cloned().chain(others).collect(), ..self }
    }

    /// Whether these are the same, and not only alike.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.grants, &other.grants)
    }

    /// Has whoever decides look whether something else holds now.
    pub fn look_again(&self) {
        if let Some(decides) = self.decided_by.as_ref().and_then(Weak::upgrade) {
            decides.look_again();
        }
        self.besides.iter().for_each(Self::look_again);
    }

    /// From now on, these hold instead.
    pub fn replace(&self, grants: Grants) {
        *self.grants.write() = grants;
    }

    /// What may be done at a path.
    pub fn at(&self, path: &SharePath) -> Rights {
        self.all(|grants| grants.at(path))
    }

    /// What may be done at one path or another, and no more.
    pub fn anywhere(&self) -> Rights {
        self.all(Grants::anywhere)
    }

    /// What may be done at a path, or there and everywhere below it.
    pub fn over(&self, extent: Extent, path: &SharePath) -> Rights {
        match extent {
            Extent::Itself => self.at(path),
            Extent::Tree => self.all(|grants| grants.throughout(path)),
        }
    }

    /// What may be done with every member of a folder and all that is below, where the same holds for all of them.
    pub fn throughout_if_the_same(&self, folder: &SharePath) -> Option<Rights> {
        let is_the_same = |grants: &RwLock<Grants>| grants.read().are_the_same_throughout(folder);
        let is_same = |these: &Self| is_the_same(&these.grants) && these.bound.iter().all(|bound| is_the_same(bound));
        (is_same(self) && self.besides.iter().all(is_same)).then(|| self.at(folder))
    }

    /// A digest of which paths in a folder may be listed: another one, where others may be. It is the same in another process.
    pub fn digest_of_listed(&self, folder: &SharePath) -> [u8; 32] {
        let of = |these: &Self| {
            let mut digest = blake3::Hasher::new();
            std::iter::once(&these.grants).chain(&these.bound).for_each(|grants| {
                digest.update(&grants.read().digest_of_listed(folder));
            });
            *digest.finalize().as_bytes()
        };
        // In which order permissions are given besides says nothing.
        let mut besides: Vec<_> = self.besides.iter().map(of).collect();
        besides.sort_unstable();
        let mut all = blake3::Hasher::new();
        all.update(&of(self));
        besides.iter().for_each(|besides| {
            all.update(besides);
        });
        *all.finalize().as_bytes()
    }

    /// What is left of what these grants give, and those that bound them; and what is given besides.
    fn all(&self, give: impl Fn(&Grants) -> Rights) -> Rights {
        let by = |these: &Self| {
            let given = give(&these.grants.read());
            these.bound.iter().fold(given, |left, bound| left & give(&bound.read()))
        };
        self.besides.iter().fold(by(self), |all, besides| all | by(besides))
    }
}
