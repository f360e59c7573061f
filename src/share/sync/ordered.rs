//! All that is in a folder, in one order, from behind any path on: a folder comes right before what is in it, and its members by their names. Of a
//! folder no more names are held than there is room for; where there are more it is read again.

use std::collections::{BinaryHeap, VecDeque};
use std::ops::ControlFlow;

use crate::model::path::{Name, SharePath};
use crate::store::status::Kind;

use super::super::listing::{ListedMember, Tags};
use super::super::outcome::{Outcome, Refusal, Stop};
use super::super::request_context::RequestContext;
use super::super::shared_folder::Share;
use super::super::walk::WalkReach;

/// How much the names may take that are held, in bytes.
const HELD_BYTES_MAX: usize = 4 << 20;

/// What one of them takes besides, in bytes.
const HELD_ONE: usize = 48;

/// A walk in that order.
pub(super) struct OrderedWalk<'a> {
    pub(super) share: &'a Share,
    /// The folder.
    pub(super) top: SharePath,
    pub(super) reach: WalkReach,
    pub(super) tags: Tags,
    pub(super) request: &'a RequestContext,
}

/// A folder whose members are being met.
struct Level {
    folder: SharePath,
    /// The next names.
    names: VecDeque<Name>,
    /// The last one that was taken from them, or from behind which on they are wanted.
    last: Option<Name>,
    /// Whether no more follow.
    is_whole: bool,
}

impl Level {
    fn behind(folder: SharePath, last: Option<Name>) -> Self {
        Self { folder, names: VecDeque::new(), last, is_whole: false }
    }

    fn held(&self) -> usize {
        self.names.iter().map(weight).sum()
    }
}

impl OrderedWalk<'_> {
    /// Calls `each` for every file and folder that comes behind `after`, until it breaks.
    pub(super) fn go(
        &self,
        after: Option<&SharePath>,
        each: &mut dyn FnMut(&SharePath, ListedMember) -> Outcome<ControlFlow<()>>,
    ) -> Outcome<ControlFlow<()>> {
        let mut levels = self.levels_behind(after)?;
        while let Some(level) = levels.last() {
            if level.names.is_empty() {
                let held: usize = levels.iter().map(Level::held).sum();
                let level = levels.last_mut().expect("there is one");
                if level.is_whole || !self.read_on(level, HELD_BYTES_MAX.saturating_sub(held))? {
                    levels.pop();
                    continue;
                }
            }
            let level = levels.last_mut().expect("there is one");
            let Some(name) = level.names.pop_front() else { continue };
            let path = level.folder.join(&name);
            level.last = Some(name);
            let Some(member) = left_out(self.share.member(&path, self.tags, self.request))?.flatten() else { continue };
            let enters = self.enters(&member);
            if each(&path, member)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            if enters {
                levels.push(Level::behind(path, None));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The folders from the top down to the path behind which it goes on, as far as they are there.
    fn levels_behind(&self, after: Option<&SharePath>) -> Outcome<Vec<Level>> {
        let mut folder = self.top.clone();
        let mut levels = Vec::new();
        let inside = after.map(|after| after.moved(&self.top, &SharePath::root()));
        for name in inside.iter().flat_map(SharePath::names) {
            let path = folder.join(&name);
            levels.push(Level::behind(folder, Some(name)));
            let member = left_out(self.share.member(&path, Tags::Omit, self.request))?.flatten();
            if !member.is_some_and(|member| self.enters(&member)) {
                return Ok(levels);
            }
            folder = path;
        }
        levels.push(Level::behind(folder, None));
        Ok(levels)
    }

    /// What is in a folder that a link leads to is told where that lies.
    fn enters(&self, member: &ListedMember) -> bool {
        self.reach == WalkReach::Everything && member.kind == Kind::Dir && member.linked.is_none()
    }

    /// Reads the next names of a folder. Says whether there are some.
    fn read_on(&self, level: &mut Level, bytes_max: usize) -> Outcome<bool> {
        let Some(place) = self.open(&level.folder)? else { return Ok(false) };
        let (mut held, mut bytes) = (BinaryHeap::new(), 0);
        level.is_whole = true;
        let listed = self.share.tree.names(&place, &mut |name| {
            if level.last.as_ref().is_none_or(|last| name > *last) {
                bytes += weight(&name);
                held.push(name);
            }
            while bytes > bytes_max && held.len() > 1 {
                bytes -= held.pop().as_ref().map_or(0, weight);
                level.is_whole = false;
            }
            ControlFlow::Continue(())
        });
        if left_out(listed.map_err(Stop::from))?.is_none() {
            return Ok(false);
        }
        level.names = held.into_sorted_vec().into();
        Ok(!level.names.is_empty())
    }

    fn open(&self, folder: &SharePath) -> Outcome<Option<crate::store::handle::Dir>> {
        let place = self.share.spelled_to_read(folder);
        let Some(place) = left_out(place)? else { return Ok(None) };
        left_out(self.share.tree.open_folder(&place).map_err(|error| self.share.stop(error, Refusal::NotFound)))
    }
}

fn weight(name: &Name) -> usize {
    HELD_ONE + name.as_bytes().len()
}

/// What is not there, or is not to be seen, is left out as in any listing. Whatever else fails must not look as if nothing were there.
pub(super) fn left_out<T>(found: Outcome<T>) -> Outcome<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(Stop::Refusal(
            Refusal::NotFound
            | Refusal::NotSeen
            | Refusal::NotPermitted
            | Refusal::NotACollection
            | Refusal::NotReadable { .. },
        )) => Ok(None),
        Err(stop) => Err(stop),
    }
}
