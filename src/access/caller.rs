//! Who asks, once that is known, and what they may do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::model::author::{Author, WayIn};
use crate::model::grants::Grants;
use crate::model::path::SharePath;
use crate::model::permissions::Permissions;
use crate::model::principal::Principal;
use crate::model::rights::Rights;

use super::link::Place;

/// A principal and what it may do, for as long as it may: all callers who have proved to be it share one.
#[derive(Debug)]
pub(super) struct Standing {
    principal: Principal,
    permissions: Permissions,
    has_ended: AtomicBool,
}

/// Who asks, and by which way they came in. All callers of one user share a standing.
#[derive(Clone, Debug)]
pub struct Caller {
    standing: Arc<Standing>,
    /// Those of the standing, and what else is permitted.
    permissions: Permissions,
    author: Arc<Author>,
    can_sign_in: bool,
    /// Where the link leads by which it comes.
    place: Option<Place>,
}

/// Whether it is known who makes a request.
#[derive(Clone, Debug)]
pub enum Recognized {
    /// It is.
    Caller(Arc<Caller>),
    /// It says who it is, and that is still to be verified.
    NotYet,
}

/// The answer no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Whoever signs in may be permitted to.
    #[error("that takes somebody who has signed in")]
    SignIn,
    /// What one may not see is not there.
    #[error("nothing is there for this caller")]
    NotThere,
    /// What is there may not be changed or read.
    #[error("this is not permitted")]
    NotPermitted,
}

impl Standing {
    /// A principal that may do this.
    pub(super) fn new(principal: Principal, permissions: Permissions) -> Arc<Self> {
        Arc::new(Self { principal, permissions, has_ended: AtomicBool::new(false) })
    }

    /// From now on, this is what it may do.
    pub(super) fn may(&self, grants: Grants) {
        self.permissions.replace(grants);
    }

    /// Ends it: whoever still has it may do nothing any more.
    pub(super) fn end(&self) {
        self.has_ended.store(true, Ordering::Release);
        self.may(Grants::everywhere(Rights::empty()));
    }

    /// Whether it has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }
}

impl Caller {
    /// A caller of this standing, who came this way.
    pub(super) fn new(standing: &Arc<Standing>, way_in: WayIn) -> Self {
        let author = Arc::new(Author::client(standing.principal.clone(), way_in));
        let permissions = standing.permissions.clone();
        Self { standing: Arc::clone(standing), permissions, author, can_sign_in: false, place: None }
    }

    /// This caller, who may do besides what these others may, who have come by links. Whoever has not said who they are is the first of them.
    pub(crate) fn with(self: Arc<Self>, others: Vec<Arc<Self>>) -> Arc<Self> {
        let mut all = others;
        if all.is_empty() {
            return self;
        }
        let first = if self.can_sign_in { std::mem::replace(&mut all[0], self) } else { self };
        let place = first.place.as_ref().or_else(|| all.iter().find_map(|other| other.place.as_ref())).cloned();
        let permissions = first.permissions.clone().and(all.iter().map(|other| other.permissions.clone()));
        Arc::new(Self { permissions, place, ..Self::clone(&first) })
    }

    /// One who has not said who they are, where somebody could.
    pub(super) fn that_can_sign_in(self) -> Self {
        Self { can_sign_in: true, ..self }
    }

    /// One who comes by a link that leads there.
    pub(super) fn that_comes_by_a_link(self, place: Place) -> Self {
        Self { place: Some(place), ..self }
    }

    /// Where the link leads by which it comes.
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// Who it is.
    pub fn principal(&self) -> &Principal {
        &self.standing.principal
    }

    /// Who makes a change that this caller asks for.
    pub fn author(&self) -> &Arc<Author> {
        &self.author
    }

    /// What it may do: shared, so that what changes holds for requests that have begun.
    pub fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// Ends the standing: whoever still has it may do nothing any more.
    pub(super) fn end(&self) {
        self.standing.end();
    }

    /// Whether the standing is over.
    pub fn has_ended(&self) -> bool {
        self.standing.has_ended()
    }

    /// Whether it might be permitted more if it said who it is.
    pub fn can_sign_in(&self) -> bool {
        self.can_sign_in
    }

    /// Whether this caller has one of these rights at a path; always if none is asked for.
    pub fn authorize(&self, one_of: Rights, path: &SharePath) -> Result<(), Denied> {
        let rights = self.permissions().at(path);
        match () {
            () if one_of.is_empty() || rights.intersects(one_of) => Ok(()),
            () if self.can_sign_in => Err(Denied::SignIn),
            () if rights.see() || self.is_told_of(path) => Err(Denied::NotPermitted),
            () => Err(Denied::NotThere),
        }
    }

    /// Whether no more than what the link says itself is told by a refusal: that something is where it leads, and that nothing else is reached.
    fn is_told_of(&self, path: &SharePath) -> bool {
        self.place.as_ref().is_some_and(|place| *path == place.path || !path.is_within(&place.path))
    }
}
