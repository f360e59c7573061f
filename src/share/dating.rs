//! The dates of versions: what the date of a file proves, and which date a new version gets. The rules are in [`crate::model::dating`], what was
//! told lately is in [`Dates`](super::dates::Dates).

use std::time::Duration;

use crate::model::dating::{AHEAD_MAX, Dated, VersionDate, next_date};
use crate::model::path::SharePath;
use crate::model::stamp::{Stamp, Timestamp};
use crate::store::catalog::remembered::DateKnown;
use crate::store::local::staging::Staged;
use crate::store::status::Kind;

use super::dates::{key, margin};
use super::outcome::Outcome;
use super::shared_folder::Share;

/// Whose the date of a new version is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dating {
    /// The client asks for this one.
    Asked(Timestamp),
    /// Ours: later than all that the name is known to have had.
    Ours,
}

impl Dating {
    /// Whether this is the date that was asked for, as far as the disk can keep it.
    pub(super) fn is_met(self, mtime: Timestamp, grain: Duration) -> bool {
        match self {
            Self::Asked(asked) => asked.since(mtime).max(mtime.since(asked)) <= grain.max(Duration::from_secs(1)),
            Self::Ours => false,
        }
    }
}

impl Share {
    /// The date of the version of this state that is at a path, and what it proves.
    pub(super) fn date_of(&self, path: &SharePath, stamp: &Stamp, known: DateKnown, now: Timestamp) -> VersionDate {
        let dated = self.dated(path, stamp);
        let folders_came = self.dates.folders_came(path);
        let told = self.dates.told_of_others(path, stamp, dated);
        let is_exact = match known {
            DateKnown::Shared => false,
            DateKnown::Exact(name) if name == key(path) => folders_came.is_none_or(|came| dated.date > came),
            _ => dated.is_exact(None, told),
        };
        let last_arrival = dated.arrived.map(|arrived| arrived.max(told.lately.unwrap_or(arrived)));
        let date = VersionDate { modified: stamp.mtime, is_exact, last_arrival, now: now.seconds() };
        self.tell_date(path, stamp, now);
        let date = if is_exact || last_arrival.is_some() { self.beneath_folders(path, date) } else { date };
        // What is older than the process is not believed anyway, and answers that tell of another version may still be on their way.
        if known == DateKnown::Unknown && !is_exact && dated.date > told.since {
            self.index.note_date(stamp, DateKnown::Shared);
        } else if known == DateKnown::Unknown && date.is_exact && dated.date + margin() < now.seconds() {
            self.index.note_date(stamp, DateKnown::Exact(key(path)));
        }
        date
    }

    /// Remembers that the version of this state that is at a path is told with its date.
    pub(super) fn tell_date(&self, path: &SharePath, stamp: &Stamp, now: Timestamp) {
        let grain = self.tree.time_grain(path);
        let is_settled = grain.is_zero() || now.since(stamp.ctime) > grain.saturating_mul(2);
        self.dates.tell(path, stamp, is_settled, now);
    }

    /// What is known of the date of a version that has just come to a path, in place of `replaced`.
    pub(super) fn date_that_came(
        &self,
        path: &SharePath,
        stamp: &Stamp,
        replaced: Option<&Stamp>,
        now: Timestamp,
    ) -> DateKnown {
        let date = stamp.mtime.seconds();
        let arrived = self.dated(path, stamp).arrived.unwrap_or_else(|| now.seconds());
        let dated = Dated { date, arrived: Some(arrived) };
        let replaced = replaced.map(|stamp| self.dated(path, stamp));
        let told = self.dates.told_of_others(path, stamp, dated);
        if dated.is_exact(replaced.as_ref(), told) { DateKnown::Exact(key(path)) } else { DateKnown::Shared }
    }

    fn dated(&self, path: &SharePath, stamp: &Stamp) -> Dated {
        Dated::of(stamp, self.tree.time_grain(path))
    }

    /// Another program may have moved a folder above, which does not show in the file. It shows in the folder, until something in it is made
    /// or removed: a change of its entries moves its mtime and its ctime alike, and its own new name moves the ctime alone.
    fn beneath_folders(&self, path: &SharePath, mut date: VersionDate) -> VersionDate {
        let mut above = path.split().map(|(parent, _)| parent);
        while let Some(folder) = above.filter(|folder| !folder.is_root()) {
            let came = match self.status_of(&folder) {
                Ok(Some(status)) if status.kind == Kind::Dir && status.stamp.ctime != status.stamp.mtime => {
                    status.stamp.ctime.seconds()
                }
                Ok(Some(_)) => i64::MIN,
                Ok(None) | Err(_) => i64::MAX,
            };
            date.is_exact &= date.modified.seconds() > came;
            date.last_arrival = date.last_arrival.map(|arrived| arrived.max(came));
            above = folder.split().map(|(parent, _)| parent);
        }
        date
    }

    /// The date that the server gives a new version at a path.
    pub(super) fn next_date(&self, path: &SharePath, displaced: Option<Timestamp>, now: Timestamp) -> Timestamp {
        next_date(self.latest_date(path, displaced, now), now, self.tree.time_grain(path))
    }

    /// The latest date that the name of a path is known to have been told with.
    fn latest_date(&self, path: &SharePath, displaced: Option<Timestamp>, now: Timestamp) -> Option<i64> {
        let was_told = |displaced: &Timestamp| *displaced <= now.plus(AHEAD_MAX);
        displaced.filter(was_told).map(Timestamp::seconds).max(self.dates.latest(path))
    }

    /// Moves the date of an upload to a later second than all that its name is known to have had, unless it is later already or the client
    /// asks for it.
    pub(super) fn date(
        &self,
        path: &SharePath,
        staged: &mut Staged,
        dating: Dating,
        displaced: Option<Timestamp>,
        now: Timestamp,
    ) -> Outcome<()> {
        let sealed = staged.sealed().mtime.seconds();
        let latest = self.latest_date(path, displaced, now);
        let is_later = latest.is_none_or(|latest| sealed > latest);
        if dating != Dating::Ours || is_later {
            return Ok(());
        }
        let date = self.next_date(path, displaced, now);
        if date.seconds() != sealed {
            staged.postpone(date)?;
        }
        Ok(())
    }
}
