//! Hints that wait until their path has settled, so that a program which saves in many small steps is not looked at after each.
//!
//! Values alone: the time is an argument. Nothing is ever lost in here; when too many paths wait at once they become one hint that
//! speaks of all the share.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::model::path::SharePath;
use crate::share::Hint;

/// How long nothing may happen at a path until it has settled.
const QUIET: Duration = Duration::from_millis(100);

/// How long a hint waits at most, however much goes on happening.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// How many paths wait at once before they are no longer told apart.
const PATHS_MAX: usize = 4096;

/// The hints that wait.
#[derive(Debug, Default)]
pub(super) struct Settling {
    places: HashMap<SharePath, Waiting>,
    anywhere: Option<Times>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    times: Times,
    reach: HintReach,
}

/// When the first and the last event of a path came.
#[derive(Clone, Copy, Debug)]
struct Times {
    first: Instant,
    last: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum HintReach {
    Path,
    Subtree,
}

impl Settling {
    /// Takes in what happened just now.
    pub(super) fn take_in(&mut self, hint: Hint, now: Instant) {
        let (path, reach) = match hint {
            Hint::Path(path) => (path, HintReach::Path),
            Hint::Subtree(path) => (path, HintReach::Subtree),
            Hint::Anywhere => return self.take_in_anywhere(now),
        };
        if self.anywhere.is_some() || (self.places.len() == PATHS_MAX && !self.places.contains_key(&path)) {
            return self.take_in_anywhere(now);
        }
        let waiting = self.places.entry(path).or_insert(Waiting { times: Times { first: now, last: now }, reach });
        waiting.times.last = now;
        waiting.reach = waiting.reach.max(reach);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty() && self.anywhere.is_none()
    }

    /// Whether a hint of a path below this one waits.
    #[cfg(test)]
    pub(super) fn waits_within(&self, folder: &SharePath) -> bool {
        self.places.keys().any(|path| path != folder && path.is_within(folder))
    }

    /// When the next of them will have settled, if nothing more happens. Something new never makes it earlier.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let places = self.places.values().map(|waiting| waiting.times.due());
        places.chain(self.anywhere.map(|times| times.due())).min()
    }

    /// Takes out the hints that have settled.
    pub(super) fn settled(&mut self, now: Instant) -> Vec<Hint> {
        if self.anywhere.is_some_and(|times| times.due() <= now) {
            self.anywhere = None;
            return vec![Hint::Anywhere];
        }
        let settled = self.places.extract_if(|_, waiting| waiting.times.due() <= now);
        settled.map(|(path, waiting)| waiting.reach.hint(path)).collect()
    }

    /// What is known of single paths is no longer needed. The wait counts from the first of them.
    fn take_in_anywhere(&mut self, now: Instant) {
        let waiting = self.places.drain().map(|(_, waiting)| waiting.times);
        let first = waiting.chain(self.anywhere).map(|times| times.first).min();
        self.anywhere = Some(Times { first: first.unwrap_or(now), last: now });
    }
}

impl Times {
    fn due(self) -> Instant {
        (self.last + QUIET).min(self.first + WAIT_MAX)
    }
}

impl HintReach {
    fn hint(self, path: SharePath) -> Hint {
        match self {
            Self::Path => Hint::Path(path),
            Self::Subtree => Hint::Subtree(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> SharePath {
        SharePath::parse_disk(text.as_bytes()).expect(text)
    }

    fn at(hint: &str) -> Hint {
        match hint {
            "*" => Hint::Anywhere,
            hint => match hint.strip_suffix('/') {
                Some(folder) => Hint::Subtree(path(folder)),
                None => Hint::Path(path(hint)),
            },
        }
    }

    /// Plays events (milliseconds, hint) and gives the hints with the moment at which each came out.
    fn play(events: &[(u64, &str)]) -> Vec<(u64, Hint)> {
        let began = Instant::now();
        let moment = |ms| began + Duration::from_millis(ms);
        let mut settling = Settling::default();
        let mut came_out = Vec::new();
        let last = events.last().map_or(0, |(ms, _)| *ms);
        for ms in 0..=last + 2000 {
            for (_, hint) in events.iter().filter(|(when, _)| *when == ms) {
                let due = settling.next_due();
                settling.take_in(at(hint), moment(ms));
                assert!(due.is_none_or(|due| settling.next_due() >= Some(due)), "{ms}: {hint} made it earlier");
            }
            let is_due = settling.next_due().is_some_and(|due| due <= moment(ms));
            let settled = settling.settled(moment(ms));
            assert_eq!(is_due, !settled.is_empty(), "{ms}: {settled:?}");
            came_out.extend(settled.into_iter().map(|hint| (ms, hint)));
        }
        assert!(settling.is_empty() && settling.next_due().is_none());
        came_out.sort_by_key(|(ms, hint)| (*ms, format!("{hint:?}")));
        came_out
    }

    #[test]
    fn a_path_settles_when_it_was_quiet_for_a_while_or_has_waited_long_enough() {
        let restless: Vec<_> = (0..=30).map(|step| (step * 50, "a")).collect();
        type Rows<'a> = &'a [(u64, &'a str)];
        let rows: &[(&str, Rows<'_>, Rows<'_>)] = &[
            ("one event", &[(0, "a")], &[(100, "a")]),
            ("more of one path wait together", &[(0, "a"), (60, "a"), (120, "a")], &[(220, "a")]),
            ("a pause ends it", &[(0, "a"), (101, "a")], &[(100, "a"), (201, "a")]),
            ("each path by itself", &[(0, "a"), (50, "b")], &[(100, "a"), (150, "b")]),
            ("never longer than a second", &restless, &[(1000, "a"), (1600, "a")]),
            ("a subtree swallows its path", &[(0, "a"), (10, "a/"), (20, "a")], &[(120, "a/")]),
            ("but not what lies in it", &[(0, "a/"), (0, "a/b")], &[(100, "a/b"), (100, "a/")]),
            ("anywhere swallows all", &[(0, "a"), (10, "b/"), (20, "*"), (30, "c")], &[(130, "*")]),
            ("and counts from the first", &[(0, "a"), (90, "*"), (180, "b"), (270, "*")], &[(370, "*")]),
        ];
        for (why, events, expected) in rows {
            let expected: Vec<_> = expected.iter().map(|(ms, hint)| (*ms, at(hint))).collect();
            let found = play(events);
            assert_eq!(found, expected, "{why}");
        }
    }

    #[test]
    fn too_many_paths_become_one_hint_of_everything() {
        let now = Instant::now();
        let mut settling = Settling::default();
        for number in 0..PATHS_MAX {
            settling.take_in(Hint::Path(path(&number.to_string())), now);
        }
        settling.take_in(Hint::Path(path("0")), now);
        assert!(settling.anywhere.is_none(), "one that waits already is no more");
        settling.take_in(Hint::Path(path("one more")), now + Duration::from_millis(950));
        assert!(settling.places.is_empty());
        assert_eq!(settling.next_due(), Some(now + WAIT_MAX), "it has waited since the first of them");
        assert_eq!(settling.settled(now + WAIT_MAX), [Hint::Anywhere]);
        assert!(settling.is_empty());
    }
}
