//! What the date of a version proves: when it names the version, and what each conditional header may conclude from it.
//!
//! A date is told in whole seconds, and any program may set it as it likes; a date is no order. What no program sets is when a file came to
//! be as it is at its name (its ctime): its *arrival*. No date is told that lies ahead of the time of telling, so whatever was told of
//! earlier versions of a name is not later than the arrival of the present one; and what is told within [`FRESH`] of its date is remembered
//! by the share for as long as its process lives. So a date is *exact*, which means that no other version of the name was told with it, as
//! the first table says.
//!
//! | how a version came to its name | its date is exact |
//! |---|---|
//! | uploaded, restored, made by LOCK: the server dates it later than all that it knows of the name, at most 2 s ahead | if that can be had |
//! | written in place or saved by a program, and dated at its arrival | if no other version was told lately with this date or a later one, and it is dated after the second in which the share was opened |
//! | the same, from before the share was opened | if an earlier process found it so, and the index says it |
//! | dated as a client asks (`X-OC-Mtime`, `Win32LastModifiedTime`, `lastmodified`), moved or copied with its date | if that is later than the arrival and the date of what it replaces, and than all that was told lately |
//! | put there by a program with an older date (`mv`, `cp -p`, `rsync -t`, `tar x`, `touch -d`) | never |
//! | in a folder that was moved, copied or restored | if it is dated after that |
//! | by a program, on a disk whose clock is coarse (a second or more) or another machine's | never |
//!
//! | header | what it takes |
//! |---|---|
//! | `If-Modified-Since` (304) | the date is equal, and exact |
//! | `If-Range` | the date is equal, and exact, and its second is over |
//! | `If-Unmodified-Since`, on a change | the date is equal, and exact, and does not lie ahead of the clock |
//! | `If-Unmodified-Since`, on a read | that; or nothing is known to have come, or to have been told of others, since the second before it |
//! | any, where it is no date | a change is refused by `If-Unmodified-Since`; otherwise it is ignored |

use std::time::Duration;

use super::stamp::{Stamp, Timestamp};

/// For how long after its second a date that is told counts as told lately. A version that arrives later than this after its date has an
/// older date than others may have been told with.
pub const FRESH: Duration = Duration::from_secs(3);

/// How far ahead of the clock the server itself dates a version, to tell two of one second apart.
pub const AHEAD_MAX: Duration = Duration::from_secs(2);

/// How far ahead of the clock a client may ask for a date: clocks and time zones are set wrong, by less than a day.
pub const ASKED_AHEAD_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// From this grain on the arrival that a disk tells may be another's, or be forgotten when it is mounted anew.
const GRAIN_OF_A_TRUE_CLOCK: Duration = Duration::from_secs(1);

/// When a version is dated, and when it arrived at its name, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dated {
    /// Its date.
    pub date: i64,
    /// When it came to be as it is; `None` where the disk's clock cannot be relied on.
    pub arrived: Option<i64>,
}

/// What is known of the dates that other versions of a name were told with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToldOfOthers {
    /// The latest date that they were told with lately, in seconds.
    pub lately: Option<i64>,
    /// The second in which this began to be remembered: of what was told in it or before, nothing is known.
    pub since: i64,
}

/// The date of the version that is there, as the conditional headers judge it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionDate {
    /// When it was last changed.
    pub modified: Timestamp,
    /// Whether no other version of the name was told with the same date.
    pub is_exact: bool,
    /// The latest second in which something came to the name, or was told of another version, as far as is known; `None` where that is not
    /// known.
    pub last_arrival: Option<i64>,
    /// When this was found out, in seconds.
    pub now: i64,
}

impl Dated {
    /// The dates of a file in this state, on a disk whose clock has this grain.
    pub fn of(stamp: &Stamp, grain: Duration) -> Self {
        let arrived = (grain < GRAIN_OF_A_TRUE_CLOCK).then(|| stamp.ctime.seconds());
        Self { date: stamp.mtime.seconds(), arrived }
    }

    /// Whether no other version of the name can have been told with this date. `told` is what is remembered of other versions, `replaced` what
    /// was there before, where that is known.
    pub fn is_exact(&self, replaced: Option<&Self>, told: ToldOfOthers) -> bool {
        let Some(arrived) = self.arrived else { return false };
        // One that lay ahead of the clock until now was never told.
        let was_told = |older: &&Self| older.date <= arrived;
        let is_later = told.lately.is_none_or(|told| self.date > told)
            && replaced.filter(was_told).is_none_or(|older| self.date > older.date);
        // All that was told with this date, or a later one, before the arrival was told lately, and is remembered by this process.
        let is_remembered = self.date > told.since && self.date + FRESH.as_secs() as i64 >= arrived;
        // All that was told of earlier versions was told before the one that is replaced arrived.
        let is_after = replaced.and_then(|older| older.arrived).is_some_and(|older| self.date > older);
        is_later && (is_remembered || is_after)
    }
}

/// The date of a version that the server dates itself: now, or the second after `latest`, the latest date that the name is known to have
/// had, but for one that lies further ahead, which nobody was told. It lies at most [`AHEAD_MAX`] ahead of the clock; where that cannot be had it is now. `grain` is what the disk rounds dates to.
pub fn next_date(latest: Option<i64>, now: Timestamp, grain: Duration) -> Timestamp {
    let was_told = now.seconds()..=now.plus(AHEAD_MAX).seconds();
    let Some(latest) = latest.filter(|latest| was_told.contains(latest)) else { return now };
    let step = i64::try_from(grain.as_secs()).unwrap_or(1).max(1);
    let later = Timestamp::new((latest.div_euclid(step) + 1).saturating_mul(step), 0);
    if later <= now.plus(AHEAD_MAX) { later } else { now }
}

/// The date as it is told now: what lies ahead of the clock is told as the clock's time (RFC 9110 §8.8.2.1).
pub fn told(modified: Timestamp, now: Timestamp) -> Timestamp {
    modified.min(now)
}

impl VersionDate {
    /// A date that names no version.
    pub fn unknown(modified: Timestamp, now: Timestamp) -> Self {
        Self { modified, is_exact: false, last_arrival: None, now: now.seconds() }
    }

    /// Whether a client that has the version of this date has the one that is there (`If-Modified-Since`, RFC 9110 §13.1.3: the date is taken
    /// as an opaque validator).
    pub fn is_named_by(&self, date: i64) -> bool {
        self.is_exact && self.modified.seconds() == date
    }

    /// As [`VersionDate::is_named_by`], for a client that goes on with what it has of it (`If-Range`, RFC 9110 §13.1.5).
    pub fn is_strongly_named_by(&self, date: i64) -> bool {
        self.is_named_by(date) && date < self.now
    }

    /// Whether a client that has read the version of this date may change the one that is there (`If-Unmodified-Since`, RFC 9110 §13.1.4). A
    /// later date than its own tells nothing: clocks go back, and what is there now may have come with another file system.
    pub fn is_named_for_a_change_by(&self, date: i64) -> bool {
        self.is_named_by(date) && date <= self.now
    }

    /// Whether nothing is known to have changed here since this date, for a read (`If-Unmodified-Since`, RFC 9110 §13.1.4).
    pub fn is_unmodified_since(&self, date: i64) -> bool {
        // The disk's clock may be a tick behind.
        let arrived_before = self.last_arrival.is_some_and(|arrived| date > arrived + 1);
        self.is_named_by(date) || (arrived_before && date > self.modified.seconds())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_GRAIN: Duration = Duration::ZERO;

    fn dated(date: i64, arrived: i64) -> Dated {
        Dated { date, arrived: Some(arrived) }
    }

    #[test]
    fn when_a_date_names_a_version() {
        // How it came there, the version, what was there before, what was told lately of others, and whether the date is exact. What is
        // told is remembered since 80.
        for (how, version, replaced, told, exact) in [
            ("uploaded where nothing is known to have been", dated(100, 100), None, None, true),
            ("uploaded over an older version", dated(100, 100), Some(dated(90, 90)), None, true),
            ("uploaded, and on the disk a while later", dated(100, 130), Some(dated(90, 90)), None, true),
            ("uploaded where nothing was, on the disk a while later", dated(100, 130), None, None, false),
            (
                "uploaded in the second of the other, and dated later",
                dated(101, 100),
                Some(dated(100, 100)),
                Some(100),
                true,
            ),
            ("uploaded in the second of one that was deleted", dated(100, 100), None, Some(100), false),
            ("the third of one second", dated(100, 100), Some(dated(102, 100)), Some(102), false),
            ("written by a program", dated(100, 100), None, None, true),
            ("saved under another name, and renamed at once", dated(100, 101), None, None, true),
            ("written in a second in which another was told", dated(100, 100), None, Some(100), false),
            ("written after the clock was set back", dated(100, 100), None, Some(500), false),
            ("moved here with its old date", dated(50, 100), None, None, false),
            ("moved here with its old date, over a still older one", dated(50, 100), Some(dated(40, 60)), None, false),
            ("dated as asked, older than what it replaces", dated(50, 100), Some(dated(90, 90)), None, false),
            ("dated as asked, as what it replaces", dated(90, 100), Some(dated(90, 90)), None, false),
            ("dated as asked, later than what it replaces came there", dated(95, 100), Some(dated(90, 90)), None, true),
            ("dated as asked, when others were told later dates", dated(95, 100), Some(dated(90, 90)), Some(96), false),
            (
                "dated as asked, earlier than what it replaces came there",
                dated(95, 200),
                Some(dated(90, 150)),
                None,
                false,
            ),
            ("dated as asked where nothing was", dated(50, 100), None, None, false),
            ("uploaded over one that was dated far ahead", dated(100, 100), Some(dated(900, 90)), None, true),
            ("dated ahead as asked", dated(500, 100), Some(dated(90, 90)), None, true),
            ("dated before the epoch", dated(-5, 100), None, None, false),
            ("written by a program before the share was opened", dated(70, 70), None, None, false),
            ("written by a program in the second in which it was opened", dated(80, 80), None, None, false),
            ("written by a program in the second after", dated(81, 81), None, None, true),
            ("uploaded where nothing is, in the second in which it was opened", dated(80, 80), None, None, false),
            ("uploaded where nothing is, and dated a second later", dated(81, 80), None, None, true),
            ("uploaded over one that an earlier process knew", dated(80, 80), Some(dated(70, 70)), None, true),
            ("uploaded over one of the second in which it was opened", dated(81, 80), Some(dated(80, 80)), None, true),
            (
                "dated as asked, later than what an earlier process knew",
                dated(75, 100),
                Some(dated(70, 70)),
                None,
                true,
            ),
            ("on a disk without a clock of its own", Dated { date: 100, arrived: None }, None, None, false),
        ] {
            let told = ToldOfOthers { lately: told, since: 80 };
            assert_eq!(version.is_exact(replaced.as_ref(), told), exact, "{how}");
        }
    }

    #[test]
    fn what_each_header_concludes() {
        let date =
            |is_exact, last_arrival| VersionDate { modified: Timestamp::new(100, 9), is_exact, last_arrival, now: 200 };
        // The date of the header; for an exact date, for one that others may have had, and for an exact one that arrived at 150:
        // If-Modified-Since, and If-Unmodified-Since on a read and on a change.
        for (header, exact, shared, arrived_late) in [
            (99, (false, false, false), (false, false, false), (false, false, false)),
            (100, (true, true, true), (false, false, false), (true, true, true)),
            (101, (false, false, false), (false, false, false), (false, false, false)),
            (102, (false, true, false), (false, true, false), (false, false, false)),
            (151, (false, true, false), (false, true, false), (false, false, false)),
            (152, (false, true, false), (false, true, false), (false, true, false)),
        ] {
            let concludes = |date: VersionDate| {
                (date.is_named_by(header), date.is_unmodified_since(header), date.is_named_for_a_change_by(header))
            };
            assert_eq!(concludes(date(true, Some(100))), exact, "{header}, exact");
            assert_eq!(concludes(date(false, Some(100))), shared, "{header}, shared");
            assert_eq!(concludes(date(true, Some(150))), arrived_late, "{header}, arrived late");
            assert_eq!(concludes(date(false, None)), (false, false, false), "{header}, nothing known");
        }
        assert!(!VersionDate { now: 99, ..date(true, Some(100)) }.is_named_for_a_change_by(100), "ahead of the clock");
        assert!(date(true, Some(100)).is_strongly_named_by(100));
        assert!(!VersionDate { now: 100, ..date(true, Some(100)) }.is_strongly_named_by(100), "its second is not over");
    }

    #[test]
    fn the_server_dates_a_version_later_by_a_whole_second_but_not_far_ahead() {
        let at = Timestamp::new;
        let seconds = Duration::from_secs;
        for (latest, grain, expected) in [
            (None, NO_GRAIN, at(100, 5)),
            (Some(99), NO_GRAIN, at(100, 5)),
            (Some(100), NO_GRAIN, at(101, 0)),
            (Some(101), NO_GRAIN, at(102, 0)),
            (Some(102), NO_GRAIN, at(100, 5)),
            (Some(9_000_000_000), NO_GRAIN, at(100, 5)),
            (Some(100), seconds(1), at(101, 0)),
            (Some(100), seconds(2), at(102, 0)),
            (Some(101), seconds(2), at(102, 0)),
        ] {
            assert_eq!(next_date(latest, at(100, 5), grain), expected, "{latest:?} {grain:?}");
        }
    }

    #[test]
    fn no_date_is_told_ahead_of_the_clock() {
        let at = Timestamp::new;
        assert_eq!(told(at(99, 0), at(100, 5)), at(99, 0));
        assert_eq!(told(at(101, 0), at(100, 5)), at(100, 5));
        assert_eq!(told(at(-5, 0), at(100, 5)), at(-5, 0));
    }
}
