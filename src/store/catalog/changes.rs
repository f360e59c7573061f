//! The journal of the feed: the last changes of the tree, in the order in which they were told, and what was known of each member when it was.
//!
//! What is new waits in memory until it is saved, and lies in the database of the index then; both are written in one step, so that what is known is
//! always what was told. A process that is killed loses what it told last: the places in the feed that it gave out meanwhile mean nothing
//! afterwards. Losing all of it costs a walk over the share, never a file.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redb::{ReadableDatabase as _, ReadableTable as _, TableDefinition};
use serde::{Deserialize, Serialize};

use super::codec::{decode, encode};
use super::database::{StateDatabase, failed, table_if_any};
use super::known_members::{self, InLayers, KnownMember, Layer, Layers, MEMBERS, TreeChange};
use crate::model::change::Change;
use crate::model::cursor::{Cursor, FeedId};
use crate::model::path::{Name, SharePath};
use crate::model::stamp::Timestamp;
use crate::os::random;
use crate::store::disk_error::DiskError;

/// The number of a change to the change.
const CHANGES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("changes");

/// What is to be known of the feed itself.
const FEED: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("feed");

/// The key of that: another one for every change of what a record of a change is, so that the feed begins anew behind records of another form.
const STATE: &str = "state-2";

/// How many of the last changes stay in memory.
const RECENT_MAX: usize = 8192;

/// How many changes, and how many members, wait to be saved. Where there are more the feed begins anew.
const UNSAVED_MAX: usize = 100_000;

/// How many layers of members there may be before it is time to save.
const LAYERS_MAX: usize = 64;

/// How many folders are remembered as known, without asking the database.
const FOLDERS_MAX: usize = 4096;

/// How many ranges of lost numbers are told apart.
const LOST_MAX: usize = 100;

/// How many numbers are set aside for a process: as many as it may give out before it saves again.
const RESERVED: u64 = 1 << 32;

/// How many changes are let go at once for their age.
const AGED_AT_ONCE: usize = 10_000;

/// Which folder it is, wherever it lies, as [`ShareIdentity`](crate::store::share_identity::ShareIdentity) has it.
type FolderId = [u8; 16];

/// How many changes the journal keeps, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct JournalLimits {
    /// How many.
    pub count: u64,
    /// How long.
    pub age: Duration,
}

impl Default for JournalLimits {
    fn default() -> Self {
        Self { count: 100_000, age: Duration::from_secs(30 * 24 * 3600) }
    }
}

/// A change, and its place in the feed.
#[derive(Clone, Debug)]
pub struct NumberedChange {
    /// Its number: greater than that of every earlier one. Not every number is there.
    pub number: u64,
    /// The change.
    pub change: Change,
}

/// Some changes, one after the other.
#[derive(Clone, Debug, Default)]
pub struct ChangesAfter {
    /// The changes.
    pub changes: Vec<Arc<NumberedChange>>,
    /// Whether there are more behind them.
    pub goes_on: bool,
}

/// What a change does to what is known.
#[derive(Clone, Debug)]
pub enum Known {
    /// What was known stays.
    AsBefore,
    /// This is there now.
    Member(KnownMember),
    /// This is there now, where a folder was with all that was below it.
    InPlaceOfFolder(KnownMember),
    /// Nothing is there, where a file was.
    NoFile,
    /// Nothing is there, where a folder was with all that was below it.
    NoFolder,
    /// The file at another path is here now, if it can be said what it is.
    FileFrom(SharePath, Option<KnownMember>),
    /// What was known of another path, and of all below it, is known of this one.
    FolderFrom(SharePath),
}

/// Why what happened since a place in the feed cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LostPlace {
    /// It is a place in another feed: that of another share, or of this one before its state was lost.
    #[error("this is a place in another feed")]
    Foreign,
    /// Nothing has happened up to there yet.
    #[error("nothing has come so far yet")]
    Ahead,
    /// What came next is not kept any more.
    #[error("what happened since then is not known any more")]
    TooOld,
    /// The database cannot be read now.
    #[error("what happened since then cannot be read now")]
    Unreadable,
}

/// The journal.
pub struct ChangeJournal {
    database: Arc<StateDatabase>,
    state: Mutex<State>,
    /// Held by a save, so that none writes what is older than what another has written.
    saving: Mutex<()>,
    limits: JournalLimits,
    went_on: bool,
}

struct State {
    feed: FeedId,
    folder: Option<FolderId>,
    /// The newest changes; all that are not saved are among them.
    recent: VecDeque<Arc<NumberedChange>>,
    /// The number of the next change.
    next: u64,
    /// The number of the first that is not saved.
    unsaved: u64,
    /// A place before this number is too old.
    oldest: u64,
    /// Numbers that earlier processes may have given to changes that they did not save, in order.
    lost: Vec<Range<u64>>,
    /// The first number that is not set aside for this process.
    reserved: u64,
    members: Layers,
    /// How often trees have moved or gone.
    tree_changes: u64,
    /// Some of the folders that are known, as long as no tree has moved or gone.
    folders: HashSet<SharePath>,
    /// Whether every member is known.
    is_filled: bool,
    /// Whether what is in the database is to be forgotten.
    begins_anew: bool,
    /// Whether something other than changes is to be saved.
    is_changed: bool,
}

/// What is saved of the feed itself.
#[derive(Serialize, Deserialize)]
pub(super) struct SavedState {
    feed: FeedId,
    folder: Option<FolderId>,
    next: u64,
    oldest: u64,
    reserved: u64,
    lost: Vec<Range<u64>>,
    is_filled: bool,
    /// Whether the process that saved it has ended in good order.
    is_closed: bool,
}

/// What is to be written in one step.
struct Batch {
    state: SavedState,
    changes: Vec<Arc<NumberedChange>>,
    members: Arc<Vec<Layer>>,
    begins_anew: bool,
}

impl ChangeJournal {
    /// The journal in this database.
    pub(super) fn new(database: Arc<StateDatabase>, folder: Option<FolderId>, limits: JournalLimits) -> Self {
        let saved = database.with_what_there_is(|database| {
            let Some(table) = table_if_any(&database.begin_read()?, FEED)? else { return Ok(None) };
            Ok(table.get(STATE)?.and_then(|state| decode::<SavedState>(state.value())))
        });
        // What was brought back from a backup is another folder: what happened to that since is not known.
        let saved = saved.ok().flatten().flatten().filter(|saved| saved.folder == folder);
        let went_on = saved.as_ref().is_some_and(|saved| saved.is_closed);
        let state = saved.map_or_else(|| State::begin(folder), State::after);
        Self { database, state: Mutex::new(state), saving: Mutex::default(), limits, went_on }
    }

    /// Adds a change, and what is known from it on. Says its number.
    pub fn add(&self, change: Change, known: Known) -> u64 {
        let mut state = self.state.lock();
        state.learn(&change.path, known);
        state.push(change)
    }

    /// Changes what is known of a path, with nothing to tell.
    pub fn learn(&self, path: &SharePath, known: Known) {
        self.state.lock().learn(path, known);
    }

    /// Whether the process before has saved all that it told.
    pub fn went_on(&self) -> bool {
        self.went_on
    }

    /// As [`ChangeJournal::add`], unless trees have moved or gone since they were counted: then what was seen may not be there any more.
    pub fn add_if_no_tree_changed(&self, since: u64, change: Option<Change>, path: &SharePath, known: Known) -> bool {
        let mut state = self.state.lock();
        if state.tree_changes != since {
            return false;
        }
        state.learn(path, known);
        change.map(|change| state.push(change));
        true
    }

    /// How often trees have moved or gone.
    pub fn tree_changes(&self) -> u64 {
        self.state.lock().tree_changes
    }

    /// What is known of a path; and whether the database alone knows it. Fails while that cannot be asked.
    pub fn known(&self, path: &SharePath) -> Result<(Option<KnownMember>, bool), DiskError> {
        let path = match self.state.lock().look_up(path) {
            InLayers::Known(member) => return Ok((member, false)),
            InLayers::Saved(path) => path,
        };
        let loaded = self.database.with_what_there_is(|database| {
            let Some(table) = table_if_any(&database.begin_read()?, MEMBERS)? else { return Ok(None) };
            known_members::load(&table, &path)
        });
        let loaded = loaded.map_err(unreadable)?;
        Ok((loaded.flatten(), true))
    }

    /// Whether it is known that a folder is at a path.
    pub fn knows_folder(&self, path: &SharePath) -> Result<bool, DiskError> {
        let since = {
            let state = self.state.lock();
            if path.is_root() || state.folders.contains(path) {
                return Ok(true);
            }
            state.tree_changes
        };
        let is_known = matches!(self.known(path)?.0, Some(KnownMember::Folder));
        let mut state = self.state.lock();
        if is_known && state.tree_changes == since {
            if state.folders.len() >= FOLDERS_MAX {
                state.folders.clear();
            }
            state.folders.insert(path.clone());
        }
        Ok(is_known)
    }

    /// The names of members of a folder that the database knows, from behind `after` on.
    pub fn saved_names(&self, folder: &SharePath, after: Option<&Name>, count: usize) -> Result<Vec<Name>, DiskError> {
        let names = self.database.with_what_there_is(|database| {
            let Some(table) = table_if_any(&database.begin_read()?, MEMBERS)? else { return Ok(Vec::new()) };
            known_members::saved_names(&table, folder, after, count)
        });
        Ok(names.map_err(unreadable)?.unwrap_or_default())
    }

    /// Whether every member is known, so that whatever is not was made since.
    pub fn is_filled(&self) -> bool {
        self.state.lock().is_filled
    }

    /// From now on every member is known. What happened before cannot be told of all of them.
    pub fn now_filled(&self) {
        let mut state = self.state.lock();
        state.is_filled = true;
        state.is_changed = true;
        state.next += 1;
        state.oldest = state.next;
    }

    /// From now on it is another feed: nothing is known, and no place in the old one means anything.
    pub fn begin_anew(&self) {
        self.state.lock().begin_anew(None);
    }

    /// The place behind the last change.
    pub fn end(&self) -> Cursor {
        self.state.lock().end()
    }

    /// Whether what happened since a place can be told.
    pub fn check(&self, cursor: Cursor) -> Result<(), LostPlace> {
        self.state.lock().check(cursor)
    }

    /// The changes behind a place, at most `count`, if all of them are in memory.
    ///
    /// # Errors
    /// Why what happened since then cannot be told.
    pub fn in_memory_after(&self, cursor: Cursor, count: usize) -> Result<Option<ChangesAfter>, LostPlace> {
        let state = self.state.lock();
        state.check(cursor)?;
        let is_there = cursor.number + 1 >= state.first_in_memory() || state.oldest >= state.first_in_memory();
        Ok(is_there.then(|| state.recent_after(cursor.number, count)))
    }

    /// The changes behind a place, at most `count`.
    ///
    /// # Errors
    /// Why what happened since then cannot be told.
    pub fn after(&self, cursor: Cursor, count: usize) -> Result<ChangesAfter, LostPlace> {
        if let Some(changes) = self.in_memory_after(cursor, count)? {
            return Ok(changes);
        }
        let (saved_until, oldest_recent) = {
            let state = self.state.lock();
            (state.unsaved, state.first_in_memory())
        };
        let loaded = self.load(cursor.number + 1..oldest_recent.min(saved_until), count + 1);
        let mut changes = loaded.map_err(|_| LostPlace::Unreadable)?;
        let goes_on = changes.len() > count;
        changes.truncate(count);
        let last = changes.last().map_or(oldest_recent - 1, |last| last.number);
        let state = self.state.lock();
        // What was let go meanwhile may be missing.
        state.check(cursor)?;
        if goes_on {
            return Ok(ChangesAfter { changes, goes_on });
        }
        let more = state.recent_after(last.max(oldest_recent - 1), count - changes.len());
        changes.extend(more.changes);
        Ok(ChangesAfter { changes, goes_on: more.goes_on })
    }

    /// How much waits to be saved.
    pub fn unsaved(&self) -> usize {
        let state = self.state.lock();
        state.waiting() + state.members.len() + state.members.layers() * UNSAVED_MAX / LAYERS_MAX
    }

    /// Saves what is new. A process that is killed from now on has not ended in good order.
    pub fn save(&self, now: Timestamp) -> Result<(), redb::Error> {
        self.save_as(false, now)
    }

    /// As [`ChangeJournal::save`], at the end: the next process goes on where this one has ended.
    pub fn close(&self) -> Result<(), redb::Error> {
        // Nothing is let go for its age.
        self.save_as(true, Timestamp::default())
    }

    fn save_as(&self, is_closed: bool, now: Timestamp) -> Result<(), redb::Error> {
        let _saving = self.saving.lock();
        let Some(batch) = self.state.lock().begin_save(is_closed) else { return Ok(()) };
        let written = self.write(&batch, now);
        let Batch { state: saved, members, .. } = batch;
        // Who could not write it takes it back.
        drop(members);
        let mut state = self.state.lock();
        match written {
            Ok(oldest) => state.saved(&saved, oldest),
            Err(_) => state.not_saved(),
        }
        written.map(drop)
    }

    /// Writes a batch, and lets go what is too old or too much. Says the number of the oldest change that is kept.
    fn write(&self, batch: &Batch, now: Timestamp) -> Result<u64, redb::Error> {
        self.database.with(|database| {
            let writing = database.begin_write()?;
            let mut oldest = batch.state.oldest;
            {
                let mut changes = writing.open_table(CHANGES)?;
                let mut members = writing.open_table(MEMBERS)?;
                if batch.begins_anew {
                    changes.retain(|_, _| false)?;
                    members.retain(|_, _| false)?;
                }
                for numbered in &batch.changes {
                    changes.insert(numbered.number, &*encode(&numbered.change))?;
                }
                batch.members.iter().try_for_each(|layer| layer.write(&mut members))?;
                oldest = oldest.max(self.let_go(&mut changes, batch.state.next, now)?);
                let mut feed = writing.open_table(FEED)?;
                feed.insert(STATE, &*encode(&batch.state.since(oldest)))?;
            }
            writing.commit()?;
            Ok(oldest)
        })
    }

    /// Lets go what is too old or too much. Says behind which number all is kept.
    fn let_go(
        &self,
        changes: &mut redb::Table<'_, u64, &'static [u8]>,
        next: u64,
        now: Timestamp,
    ) -> Result<u64, redb::Error> {
        use redb::ReadableTableMetadata as _;
        let mut oldest = 0;
        let is_old =
            |change: &[u8]| decode::<Change>(change).is_none_or(|change| now.since(change.at) > self.limits.age);
        let too_many = changes.len()?.saturating_sub(self.limits.count);
        for gone in 0..too_many.max(AGED_AT_ONCE as u64) {
            let Some(first) = changes.first()? else { break };
            let number = first.0.value();
            if gone >= too_many && !is_old(first.1.value()) {
                break;
            }
            drop(first);
            changes.remove(number)?;
            oldest = (number + 1).min(next);
        }
        Ok(oldest)
    }

    /// The saved changes of these numbers, at most `count`.
    fn load(&self, numbers: Range<u64>, count: usize) -> Result<Vec<Arc<NumberedChange>>, redb::Error> {
        if numbers.is_empty() {
            return Ok(Vec::new());
        }
        let loaded = self.database.with_what_there_is(|database| {
            let Some(table) = table_if_any(&database.begin_read()?, CHANGES)? else { return Ok(Vec::new()) };
            let mut changes = Vec::new();
            for row in table.range(numbers)?.take(count) {
                let (number, change) = row?;
                let numbered = |change| Arc::new(NumberedChange { number: number.value(), change });
                changes.extend(decode(change.value()).map(numbered));
            }
            Ok(changes)
        });
        Ok(loaded?.unwrap_or_default())
    }
}

impl State {
    /// A feed that begins.
    fn begin(folder: Option<FolderId>) -> Self {
        let mut feed = [0; 10];
        feed.copy_from_slice(&random::bytes()[..10]);
        Self {
            feed: FeedId(feed),
            folder,
            recent: VecDeque::new(),
            next: 1,
            unsaved: 1,
            oldest: 1,
            lost: Vec::new(),
            reserved: u64::MAX,
            members: Layers::default(),
            tree_changes: 0,
            folders: HashSet::new(),
            is_filled: false,
            begins_anew: true,
            is_changed: true,
        }
    }

    /// The feed goes on.
    fn after(saved: SavedState) -> Self {
        let SavedState { feed, folder, next, oldest, reserved, mut lost, is_filled, is_closed } = saved;
        let mut oldest = oldest;
        let next = if is_closed {
            next
        } else {
            lost.push(next..reserved);
            reserved
        };
        lost.retain(|lost| lost.end > oldest);
        if lost.len() > LOST_MAX {
            oldest = lost.remove(0).end;
        }
        let begun = Self::begin(folder);
        Self { feed, next, unsaved: next, oldest, lost, is_filled, begins_anew: false, ..begun }
    }

    /// The number of the first change that is in memory, with all behind it.
    fn first_in_memory(&self) -> u64 {
        self.recent.front().map_or(self.next, |first| first.number)
    }

    fn end(&self) -> Cursor {
        Cursor { feed: self.feed, number: self.next - 1 }
    }

    fn check(&self, cursor: Cursor) -> Result<(), LostPlace> {
        match cursor.number {
            _ if cursor.feed != self.feed => Err(LostPlace::Foreign),
            number if number >= self.next => Err(LostPlace::Ahead),
            number if number + 1 < self.oldest => Err(LostPlace::TooOld),
            // The last of them was given to no change: it is where the next process began.
            number if self.lost.iter().any(|lost| lost.contains(&number) && number + 1 != lost.end) => {
                Err(LostPlace::TooOld)
            }
            _ => Ok(()),
        }
    }

    fn push(&mut self, change: Change) -> u64 {
        if self.recent.len() >= RECENT_MAX && self.recent.front().is_some_and(|first| first.number < self.unsaved) {
            self.recent.pop_front();
        }
        let number = self.next;
        self.next += 1;
        self.recent.push_back(Arc::new(NumberedChange { number, change }));
        number
    }

    fn learn(&mut self, path: &SharePath, known: Known) {
        match known {
            Known::AsBefore => {}
            Known::Member(member) => self.members.set(path.clone(), Some(member)),
            Known::NoFile => self.members.set(path.clone(), None),
            Known::NoFolder => {
                self.tree_changed();
                self.members.change_tree(TreeChange::Gone(path.clone()));
            }
            Known::InPlaceOfFolder(member) => {
                self.learn(path, Known::NoFolder);
                self.members.set(path.clone(), Some(member));
            }
            Known::FileFrom(from, member) => {
                self.members.set(from, None);
                self.members.set(path.clone(), member);
            }
            Known::FolderFrom(from) => {
                self.tree_changed();
                self.members.change_tree(TreeChange::Moved { from, to: path.clone() });
            }
        }
    }

    fn tree_changed(&mut self) {
        self.tree_changes += 1;
        self.folders.clear();
    }

    fn look_up(&self, path: &SharePath) -> InLayers {
        match self.members.look_up(path) {
            InLayers::Saved(_) if self.begins_anew => InLayers::Known(None),
            found => found,
        }
    }

    /// The changes in memory behind this number.
    fn recent_after(&self, number: u64, count: usize) -> ChangesAfter {
        let from = self.recent.partition_point(|change| change.number <= number);
        let changes = self.recent.range(from..).take(count).map(Arc::clone).collect();
        ChangesAfter { changes, goes_on: self.recent.len() - from > count }
    }

    /// Which folder it is then is for the next process to find out.
    fn begin_anew(&mut self, folder: Option<FolderId>) {
        *self = Self { tree_changes: self.tree_changes + 1, ..Self::begin(folder) };
    }

    /// How many changes wait to be saved.
    fn waiting(&self) -> usize {
        self.recent.len() - self.recent.partition_point(|change| change.number < self.unsaved)
    }

    /// What is to be written; `None` where there is nothing.
    fn begin_save(&mut self, is_closed: bool) -> Option<Batch> {
        if self.waiting() > UNSAVED_MAX || self.members.len() > UNSAVED_MAX || self.next >= self.reserved {
            self.begin_anew(self.folder);
        }
        if !(is_closed || self.is_changed || self.begins_anew || self.waiting() > 0 || self.members.len() > 0) {
            return None;
        }
        let from = self.recent.len() - self.waiting();
        let changes = self.recent.range(from..).map(Arc::clone).collect();
        let state = SavedState {
            feed: self.feed,
            folder: self.folder,
            next: self.next,
            oldest: self.oldest,
            reserved: if is_closed { self.next } else { self.next + RESERVED },
            lost: self.lost.clone(),
            is_filled: self.is_filled,
            is_closed,
        };
        self.is_changed = false;
        Some(Batch { state, changes, members: self.members.begin_save(), begins_anew: self.begins_anew })
    }

    fn saved(&mut self, saved: &SavedState, oldest: u64) {
        self.members.saved();
        self.begins_anew = false;
        self.unsaved = saved.next;
        self.reserved = saved.reserved;
        self.oldest = self.oldest.max(oldest);
        while self.recent.len() > RECENT_MAX && self.recent.front().is_some_and(|first| first.number < self.unsaved) {
            self.recent.pop_front();
        }
    }

    fn not_saved(&mut self) {
        self.members.not_saved();
        self.is_changed = true;
    }
}

impl SavedState {
    /// The same, of a journal of which all before this number was let go.
    fn since(&self, oldest: u64) -> Self {
        Self { feed: self.feed, lost: self.lost.clone(), oldest, ..*self }
    }
}

/// What it is to whoever asked that the database cannot be read.
fn unreadable(error: redb::Error) -> DiskError {
    failed("read what was told", error)
}

impl fmt::Debug for ChangeJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("ChangeJournal").field("feed", &state.feed).field("next", &state.next).finish_non_exhaustive()
    }
}
