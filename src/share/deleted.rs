//! What was in a folder and is no more: the names that have versions in the history and nothing in the tree.
//!
//! The walk goes in the order of the names, so that it can go on where it ended. It holds a bounded number of names, however many there are
//! and however deep they lie.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use crate::model::path::{Name, SharePath};
use crate::model::rights::Rights;
use crate::store::disk_error::Cause;
use crate::store::local::commit::LastLink;
use crate::store::local::history::PageRequest;
use crate::store::status::Kind;

use super::outcome::{Outcome, Refusal, Stop};
use super::request_context::RequestContext;
use super::shared_folder::Share;
use super::versions::KeptAt;

/// How many names are looked at before the walk ends for now.
const LOOKED_AT_MAX: usize = 5000;

/// How many names are held at once, all folders on the way down together, and how many of one folder at least.
const HELD_MAX: usize = 10_000;
const HELD_OF_ONE_MIN: usize = 16;

/// What is asked of the names in a folder that are no more.
#[derive(Clone, Debug)]
pub struct DeletedWish {
    /// Whether everything below is meant, or the folder's own members.
    pub deep: bool,
    /// The path inside the folder behind which to begin.
    pub after: Option<SharePath>,
    /// How many at most.
    pub count: usize,
}

/// How a walk over what is no more ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Walked {
    /// There is no more.
    Whole,
    /// There may be more behind this path inside the folder.
    UpTo(SharePath),
}

/// A folder on the way down.
struct Level {
    folder: SharePath,
    names: VecDeque<Name>,
    /// The last name that was taken from it.
    after: Option<Name>,
    goes_on: bool,
}

impl Level {
    fn new(folder: SharePath, after: Option<Name>) -> Self {
        Self { folder, names: VecDeque::new(), after, goes_on: true }
    }
}

impl Share {
    /// Calls `each` for what was in a folder and is no more, with its newest version, and with `None` for every other name that it looks
    /// at, until it breaks.
    pub fn deleted(
        &self,
        folder: &SharePath,
        wish: &DeletedWish,
        request: &RequestContext,
        each: &mut dyn FnMut(Option<KeptAt>) -> ControlFlow<()>,
    ) -> Outcome<Walked> {
        let folder = &*self.place_to_read(folder, Rights::HISTORY, request)?;
        self.must_be_or_have_been(folder)?;
        let mut levels = begin(folder, wish);
        let (mut looked_at, mut found) = (0, 0);
        while let Some((folder_there, name)) = self.next_name(&mut levels)? {
            let path = folder_there.join(&name);
            // Where the walk goes on is told, too: it is never at a name that is not.
            if !request.permissions.at(&path).contains(Rights::HISTORY) {
                if each(None).is_break() {
                    break;
                }
                continue;
            }
            looked_at += 1;
            let newest = self.what_is_no_more(&path, each)?;
            found += usize::from(newest.is_some());
            if each(newest).is_break() {
                break;
            }
            if wish.deep {
                levels.push(Level::new(path.clone(), None));
            }
            if found == wish.count || looked_at == LOOKED_AT_MAX {
                let inside = inside(&path, folder);
                return Ok(Walked::UpTo(inside));
            }
        }
        Ok(Walked::Whole)
    }

    /// A file has no members; of what is nothing, not even in the history, there is nothing to tell.
    fn must_be_or_have_been(&self, folder: &SharePath) -> Outcome<()> {
        match self.kind_of(folder)? {
            Some(Kind::Dir) => Ok(()),
            Some(Kind::File | Kind::Special) => Err(Refusal::NotACollection.into()),
            Some(Kind::Link) => Err(Refusal::NotFound.into()),
            None if self.tree.history().names(folder, None, 1)?.items.is_empty() => Err(Refusal::NotFound.into()),
            None => Ok(()),
        }
    }

    /// The next name in order, with the folder it is in.
    fn next_name(&self, levels: &mut Vec<Level>) -> Outcome<Option<(SharePath, Name)>> {
        let held: usize = levels.iter().map(|level| level.names.len()).sum();
        let mut depth = levels.len();
        while let Some(level) = levels.last_mut() {
            if level.names.is_empty() && level.goes_on {
                let count = (HELD_MAX.saturating_sub(held) / 2).max(HELD_OF_ONE_MIN);
                match self.tree.history().names(&level.folder, level.after.as_ref(), count) {
                    Ok(page) => (level.names, level.goes_on) = (page.items.into(), page.goes_on),
                    // A folder below that cannot be read stops nothing.
                    Err(_) if depth > 1 => level.goes_on = false,
                    Err(error) => return Err(error.into()),
                }
            }
            match level.names.pop_front() {
                Some(name) => {
                    level.after = Some(name.clone());
                    return Ok(Some((level.folder.clone(), name)));
                }
                None => {
                    levels.pop();
                    depth -= 1;
                }
            }
        }
        Ok(None)
    }

    /// The newest version of a path at which nothing is; `None` also for what cannot be looked at, which stops nothing.
    fn what_is_no_more(
        &self,
        path: &SharePath,
        each: &mut dyn FnMut(Option<KeptAt>) -> ControlFlow<()>,
    ) -> Outcome<Option<KeptAt>> {
        match self.kind_of(path) {
            Ok(None) => {}
            Err(stop @ Stop::Refusal(Refusal::ShareGone)) => return Err(stop),
            Ok(Some(_)) | Err(_) => return Ok(None),
        }
        let page = self.tree.history().versions(path, PageRequest { before: None, count: 1 }, &mut || each(None));
        let newest = page.ok().and_then(|page| page.items.into_iter().next());
        Ok(newest.map(|version| KeptAt { path: path.clone(), version }))
    }

    /// What is at a path; a file that is being replaced may be missing for an instant.
    fn kind_of(&self, path: &SharePath) -> Outcome<Option<Kind>> {
        let look = || {
            let spelled = self.tree.spelled(path, LastLink::Itself)?;
            self.status_of(&spelled)
        };
        match self.tree.read_consistent(path, look) {
            Ok(status) => Ok(status.map(|status| status.kind)),
            Err(error) if matches!(error.cause, Cause::NotFound | Cause::NotADirectory | Cause::Escapes) => {
                self.tree.top().map_err(|_| Refusal::ShareGone)?;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The folders on the way to where the walk begins: each goes on behind the name that leads down from it.
fn begin(folder: &SharePath, wish: &DeletedWish) -> Vec<Level> {
    let mut levels = Vec::new();
    let mut above = folder.clone();
    for name in wish.after.iter().flat_map(SharePath::names) {
        levels.push(Level::new(above.clone(), Some(name.clone())));
        above = above.join(&name);
        if !wish.deep {
            return levels;
        }
    }
    levels.push(Level::new(above, None));
    levels
}

fn inside(path: &SharePath, folder: &SharePath) -> SharePath {
    let above = folder.names().count();
    path.names().skip(above).fold(SharePath::root(), |inside, name| inside.join(&name))
}
