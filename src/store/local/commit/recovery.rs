//! Settling what an interrupted commit has left: step R of the protocol (docs/commit.md).

use std::time::Duration;

use crate::model::path::SharePath;
use crate::model::stamp::Timestamp;
use crate::model::version::{Act, Ending};

use super::super::history::{FoundVersion, Version};
use super::super::naming;
use super::Tree;
use super::held::{HeldWhat, MTIME_AHEAD, Sight, Verdict};
use super::swap::leads_nowhere;
use crate::store::disk_error::Result;
use crate::store::handle::Dir;
use crate::store::notice::Notice;
use crate::store::status::Kind;

/// Two changes that lie no further apart may have one date: the clock of most file systems ticks.
const CLOCK_TICK: Duration = Duration::from_millis(10);

/// From this grain on a disk's clock cannot tell what was written from what was renamed.
const GRAIN_OF_WHOLE_SECONDS: Duration = Duration::from_secs(1);

/// What a person hears of late words that a start has found.
const WRITTEN_LATE: &str = "what a program wrote into a displaced file is put beside it";

impl Tree {
    /// Settles what an earlier process left when it was killed in the middle of commits, or ended while displaced files were still to be looked
    /// at.
    pub fn recover(&self, now: Timestamp) -> Result<()> {
        if !self.history.was_left_running()? {
            return Ok(());
        }
        self.history.sweep_uploads()?;
        for found in self.history.left_behind()? {
            let path = found.path.clone();
            match self.settle(&found, Verdict::Unknown, now) {
                Ok(how) => self.tell_recovered(path, how),
                Err(error) => {
                    self.notice(Notice::Postponed { path: path.clone(), why: error.to_string() });
                    let Version { name, status, .. } = found.version;
                    self.hold(name, &path, status.stamp, HeldWhat::Unsettled(Verdict::Unknown), now);
                }
            }
        }
        Ok(())
    }

    /// Step R once more, for what it could not do before. No change of the name is under way meanwhile.
    pub(super) fn settle_again(&self, found: &FoundVersion, verdict: Verdict, now: Timestamp) -> Result<Sight> {
        let claim = match self.claim(&found.path) {
            Err(error) if leads_nowhere(&error) => None,
            claimed => claimed?,
        };
        let _change = claim.as_ref().map(|claim| self.mutexes.begin_write(&claim.site.name));
        let how = self.settle(found, verdict, now)?;
        self.tell_recovered(found.path.clone(), how);
        Ok(Sight::Gone)
    }

    /// Step R of the protocol, for one entry. Says what a person should hear.
    pub(super) fn settle(
        &self,
        found: &FoundVersion,
        verdict: Verdict,
        now: Timestamp,
    ) -> Result<Option<&'static str>> {
        if found.version.name.ending == Ending::Settled && !found.is_in_swap() {
            return self.look_at_version(found, now);
        }
        self.settle_entry(found, verdict, now).map(Some)
    }

    pub(super) fn settle_entry(&self, found: &FoundVersion, verdict: Verdict, now: Timestamp) -> Result<&'static str> {
        let dir = found.dir(&*self.disk)?;
        let Ending::Tail(tail) = &found.version.name.ending else { return self.let_go_later(found, &dir, now) };
        let entry = &found.version.name;
        let private = found.version.entry.clone();
        let digest = found.version.status.stamp.id.digest();
        if *digest == *tail.upload {
            self.release_link(&dir, entry)?;
            return Ok("an upload that was not answered is kept in the history");
        }
        let site = match self.site(&found.path) {
            Ok(site) => site,
            Err(error) if leads_nowhere(&error) => None,
            Err(error) => return Err(error),
        };
        let at_name = match &site {
            Some(site) => self.disk.look(&site.parent, &site.name)?,
            None => None,
        };
        if at_name.is_some_and(|status| status.stamp.id == found.version.status.stamp.id) {
            self.history.let_go(&dir, &private)?;
            return Ok("a second name of the file that is there is removed");
        }
        let expected = *digest == *tail.expected && verdict == Verdict::Unknown;
        if let Some(site) = &site {
            let was_taken_out = tail.act == Act::TakeOut || (tail.act == Act::Remove && !expected);
            if at_name.is_none() && was_taken_out {
                naming::take(&*self.disk, (&dir, &private), (&site.parent, &site.name))?;
                self.sync_both(&dir, site)?;
                return Ok("the file that a broken-off change had taken out is back");
            }
            let upload_is_there = at_name.filter(|status| *status.stamp.id.digest() == *tail.upload);
            if let (false, Act::Exchange, Some(upload)) = (expected, tail.act, upload_is_there) {
                let back = self.exchange_back(site, &dir, &private, upload.stamp.id)?;
                if self.keep_what_is_held(site, &dir, entry, &back, upload.stamp.id, now)? {
                    self.release_link(&dir, entry)?;
                }
                self.sync_both(&dir, site)?;
                return Ok("an upload that had not been answered is taken back");
            }
        }
        if found.is_in_swap() {
            let upload_is_there = at_name.is_some_and(|status| *status.stamp.id.digest() == *tail.upload);
            if found.version.status.kind == Kind::File && found.version.status.links > 1 {
                self.history.let_go(&dir, &private)?;
                return Ok("one name of a file that has another is removed");
            }
            let was_to_go = if tail.act == Act::Remove { at_name.is_none() } else { upload_is_there };
            if expected && was_to_go {
                return self.let_go_later(found, &dir, now);
            }
            if !self.put_beside(&dir, &private, &found.path, now)? {
                self.strand(found, now)?;
            }
            return Ok("a file that nobody asked to go is put beside its name");
        }
        if self.was_written_late(found)? && self.put_beside(&dir, &private, &found.path, now)? {
            return Ok(WRITTEN_LATE);
        }
        self.settle_entry_name(&dir, entry)?;
        Ok("a displaced version is kept in the history")
    }

    /// What was displaced while there was no history is let go after a second look, as it would have been.
    pub(super) fn let_go_later(&self, found: &FoundVersion, dir: &Dir, now: Timestamp) -> Result<&'static str> {
        if self.was_written_late(found)? {
            if !self.put_beside(dir, &found.version.entry, &found.path, now)? {
                self.strand(found, now)?;
            }
            return Ok(WRITTEN_LATE);
        }
        let Version { name, status, .. } = &found.version;
        self.hold(name.clone(), &found.path, status.stamp, HeldWhat::Left, now);
        Ok("what was displaced while no history was kept is let go")
    }

    /// What an earlier process displaced in its last moments is a version, and its second look is still to come.
    pub(super) fn look_at_version(&self, found: &FoundVersion, now: Timestamp) -> Result<Option<&'static str>> {
        let Version { name, entry, status } = &found.version;
        if status.kind != Kind::File {
            return Ok(None);
        }
        if self.shows_late_words(found) && self.put_beside(&found.dir(&*self.disk)?, entry, &found.path, now)? {
            return Ok(Some(WRITTEN_LATE));
        }
        self.hold(name.clone(), &found.path, status.stamp, HeldWhat::Displaced, now);
        Ok(None)
    }

    /// Whether the last that befell a displaced file is that somebody wrote into it: to be renamed moves its ctime and not its mtime. Within a tick
    /// of the clock the two cannot be told apart, and what was written just before it was displaced looks the same; nor can they where the
    /// disk keeps whole seconds, or has no ctime. A date that a client or a program gave to it lies before or after both.
    pub(super) fn shows_late_words(&self, found: &FoundVersion) -> bool {
        let (stamp, displaced) = (&found.version.status.stamp, found.version.name.id.time());
        let tells_ctime = self.time_grain(&found.path) < GRAIN_OF_WHOLE_SECONDS;
        let ends_with_words = tells_ctime && stamp.mtime == stamp.ctime && stamp.mtime > displaced.plus(CLOCK_TICK);
        ends_with_words || stamp.mtime > displaced.plus(MTIME_AHEAD) && stamp.mtime <= stamp.ctime
    }

    pub(super) fn was_written_late(&self, found: &FoundVersion) -> Result<bool> {
        if found.version.status.kind != Kind::File {
            return Ok(false);
        }
        let is_dated_late = found.version.status.stamp.mtime > found.version.name.id.time().plus(MTIME_AHEAD);
        if is_dated_late || self.shows_late_words(found) {
            return Ok(true);
        }
        self.history.is_busy(&found.dir(&*self.disk)?, &found.version.entry)
    }

    pub(super) fn tell_recovered(&self, path: SharePath, how: Option<&'static str>) {
        how.into_iter().for_each(|how| self.notice(Notice::Recovered { path: path.clone(), how }));
    }
}
