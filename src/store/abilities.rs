//! What the file system of a share can do, and how much can be promised there.

use std::fmt;
use std::time::Duration;

/// What the share's file system was found to be able to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// Read leases can be had (on files of the server's own user).
    pub lease: bool,
    /// Two names can be exchanged in one step.
    pub exchange: bool,
    /// A rename can be told to take a name only if it is free.
    pub no_replace: bool,
    /// A file can be given one more name, if that is free.
    pub link: bool,
    /// A file can be written before it has a name, and be given one.
    pub nameless: bool,
    /// How coarse the file system's clock is: zero if two states that were looked at never share a timestamp.
    pub time_grain: Duration,
}

/// The grain where the clock is another machine's, or not known.
pub const COARSEST_GRAIN: Duration = Duration::from_secs(3);

/// How much a share on this file system can promise; docs/commit.md tells what each tier can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Not even a way to take a name only if it is free: replacing looks, and renames over.
    D,
    /// No exchange: replacing takes the old file out, verifies it, and puts the new one in.
    C,
    /// Exchange, but no lease.
    B,
    /// Exchange and lease.
    A,
}

impl Abilities {
    /// The tier they amount to.
    pub fn tier(&self) -> Tier {
        match (self.exchange && self.no_replace, self.lease) {
            (true, true) => Tier::A,
            (true, false) => Tier::B,
            (false, _) if self.takes_free_names() => Tier::C,
            (false, _) => Tier::D,
        }
    }

    /// Whether a file can be given a name only if that is free.
    pub fn takes_free_names(&self) -> bool {
        self.no_replace || self.link
    }

    /// The same with no more than `tier` needs.
    pub fn at_most(self, tier: Tier) -> Self {
        Self {
            lease: self.lease && tier >= Tier::A,
            exchange: self.exchange && tier >= Tier::B,
            no_replace: self.no_replace && tier >= Tier::C,
            link: self.link && tier >= Tier::C,
            // What has no name gets one by a link.
            nameless: self.nameless && tier >= Tier::C,
            ..self
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
