//! A page of what has become of a folder: of each path at most one word. A path that went and came again as something else comes in the next page, so
//! that nobody has to guess which was first.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::model::cursor::Cursor;
use crate::model::path::SharePath;
use crate::model::permissions::Permissions;
use crate::model::rights::Rights;
use crate::model::sync_token::{SyncPlace, SyncToken, SyncView};
use crate::store::catalog::changes::LostPlace;

use super::super::outcome::Outcome;
use super::super::request_context::RequestContext;
use super::super::shared_folder::Share;
use super::super::walk::WalkReach;
use super::step::{Step, steps_of};

/// How many changes are looked at in one step.
const CHANGES_AT_ONCE: usize = 1000;

/// How many paths one page tells of that changed, and how much they may take, in bytes.
const PATHS_MAX: usize = 10_000;
const PATH_BYTES_MAX: usize = 4 << 20;

/// What a client wishes to be told.
#[derive(Clone, Debug)]
pub struct SyncWish {
    /// Of which folder.
    pub folder: SharePath,
    /// Of its members, or of all that is below it.
    pub reach: WalkReach,
    /// How many words at most: at least one.
    pub count_max: usize,
}

/// What is told at once.
#[derive(Debug)]
pub struct SyncPage {
    pub(super) wish: SyncWish,
    /// The path that the folder has on the disk.
    pub(super) place: SharePath,
    pub(super) view: SyncView,
    /// What changed.
    pub(super) told: Vec<(SharePath, Told)>,
    /// What is told of all below a folder, behind that.
    pub(super) below: Option<Below>,
    /// How far all of this goes.
    pub(super) cursor: Cursor,
    pub(super) end: SyncPlace,
    /// Whether there is more behind it.
    pub(super) goes_on: bool,
}

/// What is told of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// What is there, and so it is looked at.
    There,
    /// That what was there is gone.
    Gone { is_folder: bool },
}

/// All below a folder, from behind a path on.
#[derive(Clone, Debug)]
pub(super) struct Below {
    pub(super) top: SharePath,
    pub(super) after: Option<SharePath>,
    /// After which change it comes, and with which step of the next; none where all members are told for the first time.
    pub(super) of: Option<(u64, u8)>,
}

/// A page while it is gathered.
struct Gathering<'a> {
    wish: &'a SyncWish,
    place: &'a SharePath,
    told: BTreeMap<Box<[u8]>, (SharePath, Told)>,
    bytes: usize,
}

/// What came of a step.
enum Taken {
    Yes,
    /// It is for the next page.
    Full,
    Below(SharePath),
}

impl Share {
    /// What is to be told to whoever has a token, or none yet. Nothing of it is looked at.
    ///
    /// # Errors
    /// In it, why what happened since the token cannot be told.
    pub fn sync_page(
        &self,
        wish: &SyncWish,
        since: Option<&SyncToken>,
        request: &RequestContext,
    ) -> Outcome<Result<SyncPage, LostPlace>> {
        request.permissions.look_again();
        let place = self.place_to_read(&wish.folder, Rights::LIST, request)?.into_owned();
        let view = view_of(&place, &request.permissions);
        let below = |after, cursor| {
            let below = Some(Below { top: place.clone(), after, of: None });
            let (wish, place, end) = (wish.clone(), place.clone(), SyncPlace::Nothing);
            SyncPage { wish, place, view, told: Vec::new(), below, cursor, end, goes_on: false }
        };
        // What happens while all is told is told once more.
        let Some(since) = since else { return Ok(Ok(below(None, self.changes.end()))) };
        if since.view != view {
            return Ok(Err(LostPlace::Foreign));
        }
        if let SyncPlace::Members(after) = &since.place {
            let page = below(Some(after.clone()), since.cursor);
            return Ok(self.changes.check(since.cursor).map(|()| page));
        }
        Ok(self.page_of_changes(wish, &place, since, &request.permissions))
    }

    /// The token of a folder for whoever knows all that has happened before a place in the feed.
    pub fn sync_token(&self, folder: &SharePath, permissions: &Permissions, cursor: Cursor) -> SyncToken {
        let view = view_of(&self.place_of(folder), permissions);
        SyncToken { cursor, view, place: SyncPlace::Nothing }
    }

    fn page_of_changes(
        &self,
        wish: &SyncWish,
        place: &SharePath,
        since: &SyncToken,
        permissions: &Permissions,
    ) -> Result<SyncPage, LostPlace> {
        let mut page = Gathering { wish, place, told: BTreeMap::new(), bytes: 0 };
        let (mut cursor, mut done, mut after) = match &since.place {
            SyncPlace::Nothing | SyncPlace::Members(_) => (since.cursor, 0, None),
            SyncPlace::Steps(done) => (since.cursor, *done, None),
            SyncPlace::Below(done, after) => (since.cursor, *done, Some(after.clone())),
        };
        loop {
            let some = self.changes.after(cursor, CHANGES_AT_ONCE)?;
            let mut changes = some.changes.iter().peekable();
            while let Some(numbered) = changes.next() {
                for step in steps_of(numbered, place, permissions).into_iter().skip(done.into()) {
                    match page.take(step, after.is_some())? {
                        Taken::Yes => done += 1,
                        Taken::Full => return Ok(page.end(since.view, cursor, SyncPlace::Steps(done), None, true)),
                        Taken::Below(top) if after.as_ref().is_some_and(|after| !after.is_within(&top)) => {
                            return Err(LostPlace::Foreign);
                        }
                        Taken::Below(top) => {
                            let of = Some((cursor.number, done));
                            cursor.number = numbered.number;
                            let goes_on = some.goes_on || changes.peek().is_some();
                            let below = Below { top, after, of };
                            return Ok(page.end(since.view, cursor, SyncPlace::Nothing, Some(below), goes_on));
                        }
                    }
                }
                (cursor.number, done) = (numbered.number, 0);
                if after.take().is_some() {
                    // It was a place amid what a folder came with, and none did.
                    return Err(LostPlace::Foreign);
                }
            }
            if !some.goes_on {
                return Ok(page.end(since.view, cursor, SyncPlace::Nothing, None, false));
            }
        }
    }
}

impl Gathering<'_> {
    fn take(&mut self, step: Step, is_amid: bool) -> Result<Taken, LostPlace> {
        match step {
            Step::Below(top) if self.reaches_below() => Ok(self.take_below(top)),
            _ if is_amid => Err(LostPlace::Foreign),
            Step::Lost => Err(LostPlace::TooOld),
            Step::Gone { path, is_folder } if self.reaches(&path) => Ok(self.take_gone(path, is_folder)),
            Step::There { path, is_folder } if self.reaches(&path) => Ok(self.take_there(path, is_folder)),
            Step::Below(_) | Step::Gone { .. } | Step::There { .. } => Ok(Taken::Yes),
        }
    }

    fn take_gone(&mut self, path: SharePath, is_folder: bool) -> Taken {
        if self.is_below_what_is_gone(&path) {
            return Taken::Yes;
        }
        if is_folder {
            self.forget_below(&path);
        }
        match self.told.get_mut(path.as_bytes()) {
            Some((_, told)) => {
                // Whoever was told of a folder is told that it is gone, whatever came there since.
                if !matches!(told, Told::Gone { .. }) {
                    *told = Told::Gone { is_folder };
                }
                Taken::Yes
            }
            None => self.add(path, Told::Gone { is_folder }),
        }
    }

    fn take_there(&mut self, path: SharePath, is_folder: bool) -> Taken {
        if path == *self.place {
            return Taken::Yes;
        }
        if self.is_below_what_is_gone(&path) {
            return Taken::Full;
        }
        match self.told.get_mut(path.as_bytes()) {
            Some((_, told)) if is_folder || matches!(told, Told::Gone { is_folder: true }) => match told {
                Told::There => Taken::Yes,
                Told::Gone { .. } => Taken::Full,
            },
            // A file that was put in the place of another is that one, changed (RFC 6578 §3.5.1).
            Some((_, told)) => {
                *told = Told::There;
                Taken::Yes
            }
            None => self.add(path, Told::There),
        }
    }

    fn take_below(&self, top: SharePath) -> Taken {
        let is_told = self.below(&top).next().is_some()
            || matches!(self.told.get(top.as_bytes()), Some((_, Told::Gone { .. })))
            || self.is_below_what_is_gone(&top);
        if is_told || self.told.len() >= self.wish.count_max { Taken::Full } else { Taken::Below(top) }
    }

    fn add(&mut self, path: SharePath, told: Told) -> Taken {
        let bytes = self.bytes + 2 * path.as_bytes().len();
        let is_full = self.told.len() >= self.wish.count_max.min(PATHS_MAX) || bytes > PATH_BYTES_MAX;
        if is_full && !self.told.is_empty() {
            return Taken::Full;
        }
        self.bytes = bytes;
        self.told.insert(path.as_bytes().into(), (path, told));
        Taken::Yes
    }

    fn forget_below(&mut self, path: &SharePath) {
        let inside: Vec<Box<[u8]>> = self.below(path).cloned().collect();
        for inside in inside {
            self.told.remove(&inside);
            self.bytes -= 2 * inside.len();
        }
    }

    /// The paths below a folder: a slash comes right before a zero.
    fn below(&self, folder: &SharePath) -> impl Iterator<Item = &Box<[u8]>> {
        let [from, to] = [b"/", b"0"].map(|end| [folder.as_bytes(), end].concat());
        self.told.range::<[u8], _>((Bound::Included(&*from), Bound::Excluded(&*to))).map(|(path, _)| path)
    }

    fn is_below_what_is_gone(&self, path: &SharePath) -> bool {
        let mut above = path.lineage().skip(1);
        above.any(|above| matches!(self.told.get(above), Some((_, Told::Gone { .. }))))
    }

    fn reaches(&self, path: &SharePath) -> bool {
        self.reaches_below() || path.split().is_some_and(|(folder, _)| folder == *self.place)
    }

    fn reaches_below(&self) -> bool {
        self.wish.reach == WalkReach::Everything
    }

    fn end(self, view: SyncView, cursor: Cursor, end: SyncPlace, below: Option<Below>, goes_on: bool) -> SyncPage {
        let end = if end == SyncPlace::Steps(0) { SyncPlace::Nothing } else { end };
        let told = self.told.into_values().collect();
        let (wish, place) = (self.wish.clone(), self.place.clone());
        SyncPage { wish, place, view, told, below, cursor, end, goes_on }
    }
}

/// Which folder it is, and which paths in it may be listed.
pub(super) fn view_of(place: &SharePath, permissions: &Permissions) -> SyncView {
    let mut digest = blake3::Hasher::new();
    digest.update(&permissions.digest_of_listed(place));
    digest.update(place.as_bytes());
    let digest = digest.finalize();
    SyncView(std::array::from_fn(|at| digest.as_bytes()[at]))
}
