//! Who asks: the principal for whom a request is made and to whom a lock belongs, and the client program that it comes from.
//!
//! Values that are compared and remembered, never a proof: whether somebody is who they say is not found out here.

use core::net::IpAddr;
use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// How much of what a program calls itself tells it from others, in bytes.
const PROGRAM_BYTES_MAX: usize = 128;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Principal {
    /// Somebody who has not said who they are. All of them are one.
    Anonymous,
    /// A user, by name.
    Named(Arc<str>),
    /// Whoever has a link, by its identifier.
    Link(Arc<str>),
}

/// Where a request comes from, as far as can be told. What one client was refused, or has taken, is held against that client and no other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Client {
    /// For whom it asks.
    pub principal: Principal,
    /// The address of the machine, or of the proxy in front; none on a Unix socket.
    pub address: Option<IpAddr>,
    /// What the program calls itself (`User-Agent`, RFC 9110 §10.1.5).
    pub program: Option<Arc<str>>,
}

impl Default for Client {
    /// Somebody, from nowhere.
    fn default() -> Self {
        Self { principal: Principal::Anonymous, address: None, program: None }
    }
}

impl Client {
    /// The client at this address that calls itself so.
    pub fn new(principal: Principal, address: Option<IpAddr>, program: Option<&str>) -> Self {
        let program = program.map(|text| &text[..text.floor_char_boundary(PROGRAM_BYTES_MAX)]);
        Self { principal, address: address.map(|address| address.to_canonical()), program: program.map(Arc::from) }
    }
}

impl Principal {
    /// The word for it in what is logged; none for somebody who has not said who they are. No user has a name like that of a link.
    pub fn name(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Anonymous => None,
            Self::Named(name) => Some(Cow::Borrowed(name)),
            Self::Link(id) => Some(Cow::Owned(format!("link:{id}"))),
        }
    }

    /// The user of this name.
    pub fn named(name: &str) -> Self {
        Self::Named(name.into())
    }
}
