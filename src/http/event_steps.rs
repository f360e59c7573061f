//! What streams of events tell of the feed, step by step. Whoever sees the same of a folder is told the same, so that the text of a step is made once
//! for all of them, and is in memory once.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::http::described_change::DescribedChange;
use crate::model::change::ChangeKind;
use crate::model::cursor::Cursor;
use crate::model::path::SharePath;
use crate::model::permissions::Permissions;
use crate::model::rights::Rights;
use crate::share::{ChangesAfter, LostPlace, NumberedChange, Share};

/// How many changes there are in a step that many streams tell, and in one that is made for one stream.
const SHARED_MAX: usize = 8192;
const OWN_MAX: usize = 500;

/// About how many bytes of text there are in a step at most: paths may be long.
const TEXT_MAX: usize = 8 << 20;

/// Where more bytes of text than this are held, a step has no more than so many changes.
const HELD_MAX: usize = 64 << 20;
const SHORT_MAX: usize = 100;

/// How many steps are kept for others, and of how many bytes: those that many streams tell one after the other, in a few folders.
const RECENT_MAX: usize = 32;
const RECENT_BYTES_MAX: usize = 4 << 20;

/// Whoever is told what was made for others longer ago is behind them, and goes on at once.
const BEHIND: Duration = Duration::from_millis(250);

/// The steps that were made last.
#[derive(Default)]
pub(crate) struct EventSteps {
    recent: Mutex<VecDeque<Recent>>,
    /// Taken by those who may read from the disk, so that one does and the others find what was made of it. Nobody waits for it who answers requests.
    reading: Mutex<()>,
    held: Arc<AtomicUsize>,
}

/// What is told from one place in the feed to another.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// The events, as they are sent.
    pub(crate) text: Bytes,
    /// The place behind it.
    pub(crate) to: Cursor,
    /// Whether there was more already.
    pub(crate) goes_on: bool,
}

/// Who is told the same: whoever asks about this folder, has these rights everywhere in it, and has heard of all before this place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SharedStep {
    folder: SharePath,
    rights: Rights,
    from: Cursor,
}

/// A step that was made for others.
struct Recent {
    of: SharedStep,
    step: Step,
    made: Instant,
}

/// From where the changes are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadFrom {
    /// From memory alone.
    Memory,
    /// From the disk, if they are not in memory any more.
    Disk,
}

/// A text, counted for as long as anybody holds it.
struct Held {
    text: String,
    held: Arc<AtomicUsize>,
}

impl EventSteps {
    /// The step from a place in the feed on, of what somebody may see of a folder; `None` where memory does not reach as far back.
    ///
    /// # Errors
    /// Why what happened since then cannot be told.
    pub(crate) fn after(
        &self,
        share: &Share,
        from: Cursor,
        (folder, permissions): (&SharePath, &Permissions),
        read_from: ReadFrom,
    ) -> Result<Option<Step>, LostPlace> {
        let load = |count_max| match read_from {
            ReadFrom::Memory => share.changes_in_memory_after(from, self.count_max(count_max)),
            ReadFrom::Disk => share.changes_after(from, self.count_max(count_max)).map(Some),
        };
        let Some(rights) = permissions.throughout_if_the_same(folder) else {
            return Ok(load(OWN_MAX)?.map(|some| self.step(from, some, folder, permissions)));
        };
        let wanted = SharedStep { folder: folder.clone(), rights, from };
        let _turn = (read_from == ReadFrom::Disk).then(|| self.reading.lock());
        share.check_place(from)?;
        if let Some(step) = self.made(&wanted, share) {
            return Ok(Some(step));
        }
        let Some(mut some) = load(SHARED_MAX)? else { return Ok(None) };
        self.end_with_others(&mut some, &wanted);
        let is_empty = some.changes.is_empty();
        let step = self.step(from, some, folder, &Permissions::everywhere(rights));
        if !is_empty {
            self.keep(wanted, step.clone());
        }
        Ok(Some(step))
    }

    /// What was made for others who are told the same.
    fn made(&self, wanted: &SharedStep, share: &Share) -> Option<Step> {
        let recent = self.recent.lock();
        let Recent { step, made, .. } = recent.iter().find(|recent| recent.of == *wanted)?;
        let is_behind = made.elapsed() > BEHIND && step.to != share.feed_end();
        Some(Step { goes_on: step.goes_on || is_behind, ..step.clone() })
    }

    fn keep(&self, of: SharedStep, step: Step) {
        let mut recent = self.recent.lock();
        recent.push_front(Recent { of, step, made: Instant::now() });
        let sums = recent.iter().scan(0, |sum, recent| {
            *sum += recent.step.text.len();
            Some(*sum)
        });
        let kept = sums.take_while(|sum| *sum <= RECENT_BYTES_MAX).count();
        recent.truncate(kept.clamp(1, RECENT_MAX));
    }

    /// Ends where a step of others ends, if one does: streams that were opened at different times come to the same place so, and tell the same from
    /// there on.
    fn end_with_others(&self, some: &mut ChangesAfter, wanted: &SharedStep) {
        let recent = self.recent.lock();
        let others = recent.iter().filter(|recent| recent.of.is_beside(wanted));
        let Some(end) = others.map(|other| other.step.to.number).max() else { return };
        let within = some.changes.partition_point(|change| change.number <= end);
        if within > 0 {
            cut(some, within);
        }
    }

    fn count_max(&self, most: usize) -> usize {
        if self.held.load(Ordering::Relaxed) < HELD_MAX { most } else { SHORT_MAX }
    }

    fn step(&self, from: Cursor, mut some: ChangesAfter, folder: &SharePath, permissions: &Permissions) -> Step {
        let sums = some.changes.iter().scan(0, |sum, numbered| {
            *sum += text_of(numbered);
            Some(*sum)
        });
        let fitting = sums.take_while(|sum| *sum <= TEXT_MAX).count();
        cut(&mut some, fitting.max(1));
        let mut latest = Coalesced::default();
        let mut to = from;
        for numbered in &some.changes {
            to.number = numbered.number;
            numbered.shown(folder, permissions).into_iter().for_each(|change| latest.add(change));
        }
        let mut text = String::new();
        for change in latest.changes.iter().flatten() {
            let described = serde_json::to_string(&DescribedChange::new(change)).expect("texts and numbers are JSON");
            text += &event("change", Cursor { number: change.number, ..from }, &described);
        }
        self.held.fetch_add(text.len(), Ordering::Relaxed);
        let text = Bytes::from_owner(Held { text, held: Arc::clone(&self.held) });
        Step { text, to, goes_on: some.goes_on }
    }
}

impl fmt::Debug for EventSteps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSteps").field("held", &self.held).finish_non_exhaustive()
    }
}

impl SharedStep {
    /// Whether it is of the same folder, for those who see the same of it, in the same feed.
    fn is_beside(&self, other: &Self) -> bool {
        self.folder == other.folder && self.rights == other.rights && self.from.feed == other.from.feed
    }
}

/// Leaves the first of the changes; the others come in the next step.
fn cut(some: &mut ChangesAfter, count: usize) {
    some.goes_on |= count < some.changes.len();
    some.changes.truncate(count);
}

/// About how many bytes are told of a change: its paths once as text and once as a URL, and what is around them.
fn text_of(numbered: &NumberedChange) -> usize {
    let moved_from = match &numbered.change.kind {
        ChangeKind::Moved { from } => from.as_bytes().len(),
        _ => 0,
    };
    (numbered.change.path.as_bytes().len() + moved_from) * 4 + 400
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.held.fetch_sub(self.text.len(), Ordering::Relaxed);
    }
}

/// One event; the data is one line.
pub(crate) fn event(kind: &str, at: Cursor, data: &str) -> String {
    format!("id: {at}\nevent: {kind}\ndata: {data}\n\n")
}

/// Changes, of which a later one of the same file takes the place of an earlier one.
#[derive(Default)]
struct Coalesced {
    changes: Vec<Option<NumberedChange>>,
    /// Where the last change of the content of a file is.
    latest: HashMap<SharePath, usize>,
}

impl Coalesced {
    fn add(&mut self, mut numbered: NumberedChange) {
        let change = &mut numbered.change;
        match change.kind {
            ChangeKind::Properties | ChangeKind::Lock => {}
            ChangeKind::Created
            | ChangeKind::Replaced
            | ChangeKind::Restored
            | ChangeKind::ConflictCopy
            | ChangeKind::Deleted
                if !change.resource.is_folder() =>
            {
                let before = self.latest.insert(change.path.clone(), self.changes.len());
                let before = before.and_then(|at| self.changes[at].take());
                if change.kind == ChangeKind::Replaced
                    && before.is_some_and(|before| before.change.kind == ChangeKind::Created)
                {
                    change.kind = ChangeKind::Created;
                }
            }
            // What comes before a change of many paths is told before it.
            _ => self.latest.clear(),
        }
        self.changes.push(Some(numbered));
    }
}
