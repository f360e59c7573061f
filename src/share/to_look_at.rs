//! What the feed has still to look at: paths, and folders with all that is below them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::model::author::Author;
use crate::model::path::SharePath;

/// How many paths, and how many folders, wait at most. Where there are more the whole share is looked at.
const WAITING_MAX: usize = 4096;

/// Whoever is thought to have made the changes that a look finds.
pub(super) type By = Option<Arc<Author>>;

/// What is to be looked at.
#[derive(Debug, Default)]
pub(super) struct ToLookAt {
    waiting: Mutex<Waiting>,
    came: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    paths: HashMap<SharePath, By>,
    folders: HashMap<SharePath, By>,
    /// Whether something that was taken out is being looked at.
    is_under_way: bool,
    stops: bool,
}

/// What is to be done next.
#[derive(Debug)]
pub(super) enum Next {
    /// Look at these paths.
    Paths(HashMap<SharePath, By>),
    /// Look at all below this folder.
    Below(SharePath, By),
    /// Nothing, until the time that was given was over.
    Nothing,
    /// Nothing any more.
    Stop,
}

impl ToLookAt {
    pub(super) fn path(&self, path: SharePath, by: By) {
        let mut waiting = self.waiting.lock();
        if waiting.folders.contains_key(&SharePath::root()) {
            return;
        }
        if waiting.paths.len() >= WAITING_MAX && !waiting.paths.contains_key(&path) {
            return waiting.everywhere(&self.came, by);
        }
        merge(&mut waiting.paths, path, by);
        self.came.notify_one();
    }

    pub(super) fn below(&self, folder: SharePath, by: By) {
        let mut waiting = self.waiting.lock();
        if folder.is_root() || waiting.folders.len() >= WAITING_MAX {
            return waiting.everywhere(&self.came, by);
        }
        if !waiting.folders.contains_key(&SharePath::root()) {
            merge(&mut waiting.folders, folder, by);
        }
        self.came.notify_one();
    }

    /// Waits for something to do, about so long at most.
    pub(super) fn next(&self, longest: Duration) -> Next {
        let mut waiting = self.waiting.lock();
        waiting.is_under_way = false;
        loop {
            if waiting.stops {
                return Next::Stop;
            }
            if let Some(next) = waiting.take() {
                waiting.is_under_way = true;
                return next;
            }
            if self.came.wait_for(&mut waiting, longest).timed_out() {
                return Next::Nothing;
            }
        }
    }

    /// The paths that wait, for whoever is at a folder and that for long.
    pub(super) fn take_paths(&self) -> HashMap<SharePath, By> {
        std::mem::take(&mut self.waiting.lock().paths)
    }

    /// Whether nothing waits, nor is being looked at.
    pub(super) fn is_done(&self) -> bool {
        let waiting = self.waiting.lock();
        waiting.paths.is_empty() && waiting.folders.is_empty() && !waiting.is_under_way
    }

    pub(super) fn stop(&self) {
        self.waiting.lock().stops = true;
        self.came.notify_all();
    }

    pub(super) fn stops(&self) -> bool {
        self.waiting.lock().stops
    }
}

impl Waiting {
    /// Has the whole share looked at: of single paths nothing needs to be known.
    fn everywhere(&mut self, came: &Condvar, by: By) {
        self.paths.clear();
        self.folders.retain(|folder, _| folder.is_root());
        merge(&mut self.folders, SharePath::root(), by);
        came.notify_one();
    }

    fn take(&mut self) -> Option<Next> {
        if !self.paths.is_empty() {
            return Some(Next::Paths(std::mem::take(&mut self.paths)));
        }
        let folder = self.folders.keys().next()?.clone();
        let by = self.folders.remove(&folder)?;
        Some(Next::Below(folder, by))
    }
}

/// Adds a place. Of two who are thought to have changed it the client is believed, who is known; and where one cannot be known none is.
fn merge(places: &mut HashMap<SharePath, By>, path: SharePath, by: By) {
    match places.entry(path) {
        Entry::Vacant(vacant) => drop(vacant.insert(by)),
        Entry::Occupied(mut waiting) => match (waiting.get().as_deref(), by.as_deref()) {
            (_, None) => drop(waiting.insert(None)),
            (Some(Author::Program), Some(_)) => drop(waiting.insert(by)),
            (Some(one), Some(other)) if one != other && *other != Author::Program => drop(waiting.insert(None)),
            _ => {}
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> SharePath {
        SharePath::parse_disk(text.as_bytes()).expect(text)
    }

    #[test]
    fn paths_come_before_folders_and_too_many_are_the_whole_share() {
        let to_look_at = ToLookAt::default();
        to_look_at.below(path("d"), None);
        to_look_at.path(path("a"), None);
        assert!(!to_look_at.is_done());
        assert!(matches!(to_look_at.next(Duration::ZERO), Next::Paths(paths) if paths.len() == 1));
        assert!(matches!(to_look_at.next(Duration::ZERO), Next::Below(folder, _) if folder == path("d")));
        assert!(!to_look_at.is_done(), "it is being looked at");
        assert!(matches!(to_look_at.next(Duration::ZERO), Next::Nothing));
        assert!(to_look_at.is_done());
        for number in 0..=WAITING_MAX {
            to_look_at.path(path(&number.to_string()), None);
        }
        assert!(matches!(to_look_at.next(Duration::ZERO), Next::Below(folder, _) if folder.is_root()));
        assert!(matches!(to_look_at.next(Duration::ZERO), Next::Nothing));
        to_look_at.stop();
        assert!(matches!(to_look_at.next(Duration::from_secs(60)), Next::Stop));
    }
}
