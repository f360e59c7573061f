//! One lock (RFC 4918 §6, §7), as a value, and the versions that it pins.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::lock_token::LockToken;
use super::path::SharePath;
use super::principal::Principal;
use super::rights::Rights;
use super::stamp::{Stamp, Timestamp};
use super::tag::EntityTag;

/// What one lock weighs on top of its texts, in bytes: the nodes and entries that hold it.
const WEIGHT_OF_ONE: usize = 512;

/// What one pin weighs on top of its texts, in bytes.
const WEIGHT_OF_PIN: usize = 64;

/// Whether others may lock the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// Nobody else may.
    Exclusive,
    /// Others may, by shared locks.
    Shared,
}

/// How far down a lock reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reach {
    /// Its root alone (`Depth: 0`). Of a collection: its properties, and which members it has.
    Itself,
    /// Its root and everything below (`Depth: infinity`).
    Below,
}

/// A write lock.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Lock {
    /// Its name.
    pub token: LockToken,
    /// What was locked.
    pub root: SharePath,
    /// Whether others may lock the same.
    pub scope: Scope,
    /// How far down it reaches.
    pub reach: Reach,
    /// What its holder says about itself: the inside of the `owner` element, as XML.
    pub owner: Option<Box<str>>,
    /// To whom it belongs.
    pub holder: Principal,
    /// From which address it was taken; `None` where there are none, on a Unix socket.
    pub taken_from: Option<IpAddr>,
    /// For how long it was granted, each time; `None` for ever.
    pub timeout: Option<Duration>,
    /// When it ends, unless it is refreshed.
    pub expires: Timestamp,
    /// The version of its root on which it was taken, or which was last written with it.
    pub pin: Option<EntityTag>,
    /// The versions that were last written with it below its root.
    pub pins_below: Pins,
    /// The state of the empty file that was made for it, if nothing was at its root.
    pub made: Option<Stamp>,
}

/// Versions of files by their paths, the one that was pinned last at the end. When there is no room for more, the first go.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Pins(pub(super) Vec<(SharePath, EntityTag)>);

impl Lock {
    /// Whether it still counts.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.expires > now
    }

    /// Whether `path` is its root, or lies within its reach.
    pub fn covers(&self, path: &SharePath) -> bool {
        match self.reach {
            Reach::Itself => *path == self.root,
            Reach::Below => path.is_within(&self.root),
        }
    }

    /// How long it has still to go.
    pub fn remaining(&self, now: Timestamp) -> Duration {
        self.expires.since(now)
    }

    /// What it takes to take it anew, and so to keep it or to give it back.
    pub fn needs(&self) -> Rights {
        if self.made.is_some() { Rights::CREATE } else { Rights::OVERWRITE }
    }

    /// Whether a file is the empty one that was made for it, in the state in which it was made.
    pub fn has_made(&self, path: &SharePath, stamp: &Stamp) -> bool {
        *path == self.root && self.made.is_some_and(|made| made.same_content_as(stamp))
    }

    /// Whether both cannot hold over one thing.
    pub(super) fn excludes(&self, scope: Scope) -> bool {
        self.scope == Scope::Exclusive || scope == Scope::Exclusive
    }

    pub(super) fn weight(&self) -> usize {
        // The path stands in the lock, in the order of roots, and twice where its other spellings are found.
        let texts =
            self.token.as_str().len() + 4 * self.root.as_bytes().len() + self.owner.as_ref().map_or(0, |o| o.len());
        WEIGHT_OF_ONE + texts + self.pins_below.weight()
    }

    /// The version that a file must have for a change that is made with it.
    pub fn pin_of(&self, path: &SharePath) -> Option<&EntityTag> {
        if *path == self.root { self.pin.as_ref() } else { self.pins_below.get(path) }
    }

    /// The versions that the files below a path must have for it to go with this lock.
    pub(super) fn pins_inside<'a>(
        &'a self,
        path: &'a SharePath,
    ) -> impl Iterator<Item = (&'a SharePath, &'a EntityTag)> {
        let own = self.pin.as_ref().map(|pin| (&self.root, pin));
        let below = self.pins_below.0.iter().map(|(pinned, pin)| (pinned, pin));
        own.into_iter().chain(below).filter(move |(pinned, _)| *pinned != path && pinned.is_within(path))
    }

    /// What counts as one address: of IPv6 the network, where one client has as many addresses as it likes.
    pub(super) fn counted_address(&self) -> Option<IpAddr> {
        self.taken_from.map(|address| match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(u128::from(address) >> 64 << 64)),
            address => address,
        })
    }
}

impl Pins {
    pub(super) fn get(&self, path: &SharePath) -> Option<&EntityTag> {
        self.0.iter().find(|(pinned, _)| pinned == path).map(|(_, tag)| tag)
    }

    /// The pinned paths that some file system takes for this one or for something below it, although they are spelt otherwise.
    pub(super) fn spelt_otherwise<'a>(&'a self, path: &'a SharePath) -> impl Iterator<Item = &'a SharePath> {
        let wanted = path.folded();
        let is_alike = move |pinned: &SharePath| {
            pinned.folded().strip_prefix(&*wanted).is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
        };
        self.0.iter().map(|(pinned, _)| pinned).filter(move |pinned| !pinned.is_within(path) && is_alike(pinned))
    }

    /// Pins a path, or takes its pin off. The oldest pins go while all of them weigh more than `most` bytes.
    pub(crate) fn set(&mut self, path: &SharePath, tag: Option<EntityTag>, most: usize) {
        self.0.retain(|(pinned, _)| pinned != path);
        self.0.extend(tag.map(|tag| (path.clone(), tag)));
        while self.weight() > most {
            self.0.remove(0);
        }
    }

    pub(super) fn weight(&self) -> usize {
        self.0.iter().map(|(path, tag)| WEIGHT_OF_PIN + path.as_bytes().len() + tag.opaque().len()).sum()
    }
}

/// When a lock ends that is granted now. One for ever ends with the calendar.
pub fn expiry(timeout: Option<Duration>, now: Timestamp) -> Timestamp {
    now.plus(timeout.unwrap_or(Duration::MAX))
}
