//! The folders that are watched: every one of the share, but noclobber's own and what links lead to.
//!
//! notify is told of each folder by itself and never walks, so that the history takes no watches and a link leads nowhere. A folder
//! is watched before its members are listed: what is made in it later brings an event, what was made before is found. All of them are reached
//! from the handle of the folder that is served, wherever its path may lead meanwhile.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use notify::event::EventKindMask;
use notify::{Config, ErrorKind, Event, PathOp, RecommendedWatcher, RecursiveMode, WatchPathConfig, Watcher};

use super::state::Reason;
use crate::model::path::{Name, SharePath};
use crate::os::open_folder::{self, FolderIdentity, OpenFolder};

/// How many folders notify is told of at once; between batches it takes in events.
const BATCH: usize = 512;

/// How long a watcher that is let go may take to give its watches back.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// A watcher and what it was set on.
#[derive(Debug)]
pub(super) struct Folders {
    watcher: RecommendedWatcher,
    /// The path that leads to the root by its handle.
    top: PathBuf,
    root: OpenFolder,
    /// Disconnected when the watcher's own thread has ended.
    alive: Receiver<()>,
}

impl Folders {
    /// Begins to watch, without any folder yet; `take_in` is called for every event, on a thread of the watcher's own, with what the paths in
    /// it begin with.
    pub(super) fn begin(
        root: OpenFolder,
        mut take_in: impl FnMut(&Path, notify::Result<Event>) + Send + 'static,
    ) -> Result<Self, Reason> {
        let top = root.path();
        let (lives, alive) = channel::<()>();
        let begin = top.clone();
        let handler = move |event| {
            let _lives_as_long_as_the_handler = &lives;
            take_in(&begin, event);
        };
        // That a program has closed what it wrote ends a change, and is all that tells of one made through a mapping.
        let kinds = EventKindMask::CORE | EventKindMask::ACCESS_CLOSE;
        let config = Config::default().with_follow_symlinks(false).with_event_kinds(kinds);
        let watcher =
            RecommendedWatcher::new(handler, config).map_err(|error| Reason::Unavailable(error.to_string()))?;
        Ok(Self { watcher, top, root, alive })
    }

    /// Whether this is the folder that is watched.
    pub(super) fn are_of(&self, folder: FolderIdentity) -> bool {
        self.root.identity() == folder
    }

    /// Those of the paths that are folders now and do not lie below another of them.
    pub(super) fn only_folders(&self, paths: &BTreeSet<SharePath>) -> Vec<SharePath> {
        topmost(paths).filter(|path| self.root.has_folder(as_path(path))).cloned().collect()
    }

    /// Watches these folders and all below them, for as long as it goes on.
    pub(super) fn watch_below(
        &mut self,
        mut to_visit: Vec<SharePath>,
        goes_on: impl Fn() -> bool,
    ) -> Result<(), Reason> {
        while !to_visit.is_empty() && goes_on() {
            let batch = to_visit.split_off(to_visit.len().saturating_sub(BATCH));
            self.watch(&batch)?;
            for folder in &batch {
                self.add_folders_in(folder, &mut to_visit);
            }
        }
        Ok(())
    }

    /// Lets all watches go, and waits until they are given back, so that the next watcher can have them.
    pub(super) fn end(self) {
        drop(self.watcher);
        // It ends by disconnecting; if it takes longer than that, nobody waits for it.
        let _ = self.alive.recv_timeout(ENDS_WITHIN);
    }

    /// A folder that has vanished, or that this user may not read, is left out: what it is now will be told by its parent.
    fn watch(&mut self, folders: &[SharePath]) -> Result<(), Reason> {
        let mut ops: Vec<_> = folders.iter().map(|folder| self.op(folder)).collect();
        while let Err(stopped) = self.watcher.update_paths(ops) {
            match stopped.source.kind {
                ErrorKind::MaxFilesWatch => return Err(Reason::TooFewWatches),
                _ if stopped.origin.is_none() => return Err(Reason::Unavailable(stopped.source.to_string())),
                _ => ops = stopped.remaining,
            }
        }
        Ok(())
    }

    /// A handle's path is a link; below it none is followed.
    fn op(&self, folder: &SharePath) -> PathOp {
        let config = WatchPathConfig::new(RecursiveMode::NonRecursive).with_dereference_symlinks(folder.is_root());
        PathOp::Watch(self.path_of(folder), config)
    }

    fn path_of(&self, folder: &SharePath) -> PathBuf {
        if folder.is_root() { self.top.clone() } else { self.top.join(as_path(folder)) }
    }

    /// Lists what cannot be listed as having no folders: the parent's events will tell why.
    fn add_folders_in(&self, folder: &SharePath, into: &mut Vec<SharePath>) {
        let names = self.root.folders_in(as_path(folder)).unwrap_or_default();
        let names = names.iter().filter_map(|name| Name::new(name.as_encoded_bytes()).ok());
        into.extend(names.filter(|name| !name.is_reserved()).map(|name| folder.join(&name)));
    }
}

/// The paths that do not lie below another of them.
fn topmost(paths: &BTreeSet<SharePath>) -> impl Iterator<Item = &SharePath> {
    paths.iter().filter(|path| {
        let mut above = std::iter::successors(path.split(), |(parent, _)| parent.split()).map(|(parent, _)| parent);
        !above.any(|parent| paths.contains(&parent))
    })
}

fn as_path(path: &SharePath) -> &Path {
    open_folder::as_path(path.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    /// The folder that was opened is watched, and not another one that has come to its path meanwhile.
    #[test]
    fn the_folder_that_was_opened_is_watched() {
        let made = tempfile::tempdir().expect("a folder can be made");
        let at = |path: &str| made.path().join(path);
        ["served/below", "other/below"].iter().for_each(|path| std::fs::create_dir_all(at(path)).expect("made"));
        let (tells, told) = channel();
        let root = std::fs::File::open(at("served")).expect("opened");
        let tell = move |begin: &Path, event: notify::Result<Event>| {
            let paths = event.into_iter().flat_map(|event| event.paths);
            paths.filter_map(|path| Some(path.strip_prefix(begin).ok()?.to_owned())).for_each(|path| {
                let _ = tells.send(path);
            });
        };
        let mut folders = Folders::begin(OpenFolder::of(root.as_fd()).expect("kept open"), tell).expect("a watcher");
        std::fs::rename(at("served"), at("aside")).expect("renamed");
        std::fs::rename(at("other"), at("served")).expect("renamed");
        folders.watch_below(vec![SharePath::root()], || true).expect("watched");
        std::fs::write(at("served/below/theirs"), "x").expect("written");
        for expected in ["ours", "below/ours"] {
            std::fs::write(at("aside").join(expected), "x").expect("written");
            let mut paths = std::iter::from_fn(|| told.recv_timeout(ENDS_WITHIN).ok());
            let is_told = paths.any(|path| {
                assert_ne!(path, Path::new("below/theirs"));
                path == Path::new(expected)
            });
            assert!(is_told, "{expected}");
        }
        folders.end();
    }

    #[test]
    fn a_folder_below_another_is_not_walked_twice() {
        let paths = |texts: &[&str]| -> BTreeSet<_> {
            texts.iter().map(|text| SharePath::parse_disk(text.as_bytes()).expect(text)).collect()
        };
        for (all, top) in [
            (&["a", "a-x", "a/b", "a/b/c"] as &[&str], &["a", "a-x"] as &[&str]),
            (&["a/b", "a/c"], &["a/b", "a/c"]),
            (&["", "a", "b/c"], &[""]),
            (&[], &[]),
        ] {
            assert_eq!(topmost(&paths(all)).cloned().collect::<BTreeSet<_>>(), paths(top), "{all:?}");
        }
    }
}
