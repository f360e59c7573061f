//! Walking over a folder and all that is below it, a folder at a time, within bounds. Memory grows neither with a folder nor with the depth, but
//! with the folders that wait to be read, and so much is bounded.

use std::collections::HashSet;
use std::ops::ControlFlow;

use crate::model::path::SharePath;

use crate::store::status::Kind;

use super::listing::{ListedMember, Tags};
use super::outcome::{Outcome, Refusal, Stop};
use super::request_context::RequestContext;
use super::shared_folder::Share;

/// How much the paths of the folders may take that wait to be read, in bytes.
const WAITING_BYTES_MAX: usize = 16 << 20;

/// What one of them takes besides, in bytes.
const WAITING_ONE: usize = 64;

/// A walk that is to be made.
#[derive(Clone, Debug)]
pub struct Walk {
    /// The folder whose members are met first.
    pub top: SharePath,
    /// Whether all that is below is met, or the members alone.
    pub reach: WalkReach,
    /// Whether the tags of files are told.
    pub tags: Tags,
    /// How many files and folders are met at most.
    pub members_max: usize,
}

/// How far a walk goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalkReach {
    /// To the members of the folder.
    Members,
    /// To everything below it.
    Everything,
}

/// A folder on the way, whose members are being met.
#[derive(Clone, Debug)]
pub struct WalkedFolder {
    /// Its path, as the walk came to it.
    pub path: SharePath,
    /// The path by which all is kept that belongs to it.
    pub place: SharePath,
}

/// How a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalkEnd {
    /// Nothing was left out, or whoever was told of the members wanted no more.
    Whole,
    /// There is more than was to be met.
    CutShort,
}

/// The folders that wait to be read.
struct ToVisit {
    folders: Vec<SharePath>,
    bytes: usize,
}

impl ToVisit {
    fn push(&mut self, folder: SharePath) -> Outcome<()> {
        self.bytes += weight(&folder);
        if self.bytes > WAITING_BYTES_MAX {
            // What leaves folders out must not look whole.
            return Err(Refusal::Overloaded.into());
        }
        self.folders.push(folder);
        Ok(())
    }

    fn pop(&mut self) -> Option<SharePath> {
        let folder = self.folders.pop()?;
        self.bytes = self.bytes.saturating_sub(weight(&folder));
        Some(folder)
    }
}

fn weight(folder: &SharePath) -> usize {
    WAITING_ONE + folder.as_bytes().len()
}

impl Share {
    /// Calls `each` for every file and folder that a walk meets, with the folder that it is in, until it breaks. Which of them the client hears of
    /// is for [`Share::list`] to say.
    pub fn walk(
        &self,
        walk: &Walk,
        request: &RequestContext,
        each: &mut dyn FnMut(&WalkedFolder, ListedMember) -> Outcome<ControlFlow<()>>,
    ) -> Outcome<WalkEnd> {
        let mut waiting = ToVisit { folders: vec![walk.top.clone()], bytes: 0 };
        let (mut entered, mut met) = (HashSet::new(), 0);
        while let Some(path) = waiting.pop() {
            let folder = WalkedFolder { place: self.place_of(&path), path };
            let mut end: Option<Result<WalkEnd, Stop>> = None;
            let listed = self.list(&folder.path, walk.tags, request, &mut |member| {
                // A folder that links lead to is entered by one of them: they may go in a circle.
                let mut is_new = || member.linked.is_none_or(|linked| entered.insert(linked));
                if walk.reach == WalkReach::Everything
                    && member.kind == Kind::Dir
                    && is_new()
                    && let Err(stop) = waiting.push(folder.path.join(&member.name))
                {
                    end = Some(Err(stop));
                    return ControlFlow::Break(());
                }
                if !matches!(member.kind, Kind::Dir | Kind::File) {
                    return ControlFlow::Continue(());
                }
                if met == walk.members_max {
                    end = Some(Ok(WalkEnd::CutShort));
                    return ControlFlow::Break(());
                }
                met += 1;
                match each(&folder, member) {
                    Ok(ControlFlow::Continue(())) => ControlFlow::Continue(()),
                    Ok(ControlFlow::Break(())) => {
                        end = Some(Ok(WalkEnd::Whole));
                        ControlFlow::Break(())
                    }
                    Err(stop) => {
                        end = Some(Err(stop));
                        ControlFlow::Break(())
                    }
                }
            });
            if let Some(end) = end {
                return end;
            }
            match listed {
                // A folder deeper down that cannot be read, or is gone by now, is left out (RFC 4918 §9.1).
                Err(_) if folder.path != walk.top => {}
                listed => listed?,
            }
        }
        Ok(WalkEnd::Whole)
    }
}
