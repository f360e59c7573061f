//! Where things lie in the folder of noclobber's own, and on which file system: each has a history of its own, since a rename works within one
//! mount only. Folders are made here as they are needed.
//!
//! The entries of a path lie in a folder of the reserved name, below the folder that stands for the path:
//! `.noclobber/history/docs/report.odt/.noclobber/ENTRY`. No member of a folder can have that name, so nothing that a client calls a file is
//! ever taken for an entry, nor an entry for a folder of the share.

use std::sync::atomic::Ordering;

use crate::model::path::{Name, RESERVED, SharePath};

use super::super::disk::{Cause, Dir, DiskError, Kind, Result, Status};
use super::super::notice::Notice;
use super::super::spelling::FolderId;
use super::walk::list;
use super::{History, Running};

/// The file that stands in noclobber's own folder while a process may have commits under way.
pub(super) const RUNNING: &str = "running";

/// The folder in there for what is kept.
pub(super) const HISTORY: &str = "history";

/// The folder in there for what was displaced and is not kept, and, where entries of the share itself would lie, for unfinished uploads.
pub(super) const SWAP: &str = "swap";

/// The folder in there that notes, as folders of the same names, where other file systems in the share have a history.
pub(super) const MOUNTS: &str = "mounts";

/// A mount in the share: where its topmost folder is.
#[derive(Clone, Debug)]
pub(super) struct Top {
    pub(super) path: SharePath,
    pub(super) dir: Dir,
    pub(super) mount: u64,
    folder: FolderId,
}

/// Where the entries of one spelling of a path lie, from the top of its file system.
pub(super) struct EntryFolder {
    pub(super) path: SharePath,
    pub(super) folder: Box<[u8]>,
}

/// A file system in the share: one room, whatever mounts lead there.
#[derive(Clone, Debug)]
pub(super) struct FileSystem {
    pub(super) number: u64,
    /// Each has a history of its own.
    pub(super) tops: Vec<Top>,
}

impl History {
    pub(super) fn area(&self) -> &'static str {
        if self.keeps() { HISTORY } else { SWAP }
    }

    /// The folder that stands for a path, from the top of its file system.
    pub(super) fn folder_of(&self, area: &str, below_top: &[u8]) -> Vec<u8> {
        let mut path = format!("{RESERVED}/{area}").into_bytes();
        if !below_top.is_empty() {
            path.push(b'/');
            path.extend_from_slice(below_top);
        }
        path
    }

    /// The folder for the entries of a path, from the top of its file system.
    pub(super) fn entries_of(&self, area: &str, below_top: &[u8]) -> Box<[u8]> {
        [&*self.folder_of(area, below_top), b"/", RESERVED.as_bytes()].concat().into()
    }

    /// The names of the folders on the way to the entries of a path, from the top of its file system.
    pub(super) fn names_to(area: &str, below_top: &[u8]) -> impl Iterator<Item = Name> {
        let ends = [RESERVED, area].map(own_name);
        ends.into_iter().chain(names(below_top)).chain([own_name(RESERVED)])
    }

    /// The folders of noclobber's own, on every file system of the share that has one.
    pub(super) fn own_folders(&self) -> Result<Vec<Dir>> {
        let mut folders = Vec::new();
        for top in self.tops()? {
            folders.extend(found(self.disk.open_dir(&top.dir, RESERVED.as_bytes()))?);
        }
        Ok(folders)
    }

    /// The top of the share, and the top of every other file system in it on which anything was ever displaced. What is not mounted now is
    /// left out, and so is what is the same file system again.
    pub(super) fn tops(&self) -> Result<Vec<Top>> {
        let root = self.disk.root()?;
        let top = |path: SharePath, dir: Dir| {
            let Status { mount, device, stamp, .. } = self.disk.dir_status(&dir)?;
            Ok::<_, DiskError>(Top { path, dir, mount, folder: (device, stamp.id) })
        };
        let mut tops = vec![top(SharePath::root(), root.clone())?];
        let mount = tops[0].mount;
        let mounts = format!("{RESERVED}/{MOUNTS}").into_bytes();
        let Ok(noted) = self.disk.open_dir(&root, &mounts) else { return Ok(tops) };
        let mut todo = vec![(SharePath::root(), mount, noted)];
        while let Some((above, mount_above, noted)) = todo.pop() {
            for entry in list(&*self.disk, &noted).unwrap_or_default() {
                if entry.status.kind != Kind::Dir || entry.name.is_reserved() {
                    continue;
                }
                let path = above.join(&entry.name);
                let Ok(dir) = self.disk.open_dir(&root, path.as_bytes()) else { continue };
                let top = top(path.clone(), dir)?;
                let mount = top.mount;
                if mount != mount_above {
                    tops.push(top);
                }
                if let Ok(noted) = self.disk.open_dir(&noted, entry.name.as_bytes()) {
                    todo.push((path, mount, noted));
                }
            }
        }
        Ok(tops)
    }

    /// The file systems of the share, each with all its tops; a folder that is mounted at two places is one.
    pub(super) fn file_systems(&self) -> Result<Vec<FileSystem>> {
        let mut systems = Vec::<FileSystem>::new();
        for top in self.tops()? {
            let number = match self.disk.space(&top.dir) {
                Ok(space) => space.file_system,
                Err(error) => {
                    self.tell_once_of_folder(&top.path, &error);
                    continue;
                }
            };
            match systems.iter_mut().find(|system| system.number == number) {
                None => systems.push(FileSystem { number, tops: vec![top] }),
                Some(system) if system.tops.iter().any(|other| other.folder == top.folder) => {}
                Some(system) => system.tops.push(top),
            }
        }
        Ok(systems)
    }

    /// Whether a path is on a file system that has a history and is not mounted now: what is not found of it may be there.
    pub fn is_not_mounted(&self, path: &SharePath) -> Result<bool> {
        let root = self.disk.root()?;
        let mounts = format!("{RESERVED}/{MOUNTS}").into_bytes();
        let Some(mut noted) = found(self.disk.open_dir(&root, &mounts))? else { return Ok(false) };
        let (mut above, mut mount_above) = (SharePath::root(), self.disk.dir_status(&root)?.mount);
        for name in path.split().map(|(folder, _)| folder).iter().flat_map(SharePath::names) {
            let Some(inside) = found(self.disk.open_dir(&noted, name.as_bytes()))? else { return Ok(false) };
            above = above.join(&name);
            let Some(dir) = found(self.disk.open_dir(&root, above.as_bytes()))? else { return Ok(true) };
            let mount = self.disk.dir_status(&dir)?.mount;
            if mount == mount_above && self.is_empty(&noted, name.as_bytes()) {
                return Ok(true);
            }
            (noted, mount_above) = (inside, mount);
        }
        Ok(false)
    }

    /// Notes at the top of the share that another file system in it has a history, as folders of the same names.
    fn note_mount(&self, path: &SharePath) -> Result<()> {
        let mut dir = self.disk.root()?;
        for name in [RESERVED, MOUNTS].map(own_name).into_iter().chain(path.names()) {
            if self.make_dir(&dir, &name)? {
                self.disk.sync_dir(&dir)?;
            }
            dir = self.disk.open_dir(&dir, name.as_bytes())?;
        }
        Ok(())
    }

    /// The top of the mount that `path` lies on, and the folders that are there for its entries: one for each spelling.
    pub(super) fn where_all_entries_lie(&self, area: &str, path: &SharePath) -> Result<(Dir, Vec<EntryFolder>)> {
        let (top_path, top) = self.top_of(path, self.mount_of(path)?)?;
        let spellings = self.spellings(area, (&top_path, &top), path)?.into_iter();
        let folders = spellings.map(|path| {
            let folder = self.entries_of(area, relative(&path, &top_path));
            EntryFolder { path, folder }
        });
        Ok((top, folders.collect()))
    }

    /// The top of the mount that `path` lies on, and from there the folder for its entries, which may not be there.
    pub(super) fn where_entries_lie(&self, area: &str, path: &SharePath) -> Result<(Dir, Box<[u8]>)> {
        let (top_path, top) = self.top_of(path, self.mount_of(path)?)?;
        Ok((top, self.entries_of(area, relative(path, &top_path))))
    }

    /// The mount of the folder that `path` is in, or of the nearest one above that is there.
    fn mount_of(&self, path: &SharePath) -> Result<u64> {
        let root = self.disk.root()?;
        let mut above = path.split().map(|(parent, _)| parent);
        while let Some(folder) = above {
            if let Ok(dir) = self.disk.open_dir(&root, folder.as_bytes()) {
                return Ok(self.disk.dir_status(&dir)?.mount);
            }
            above = folder.split().map(|(parent, _)| parent);
        }
        Ok(self.disk.dir_status(&root)?.mount)
    }

    /// The topmost folder of the share that lies on `mount` above `path`. A rename works within one mount only, so each has a history of
    /// its own.
    pub(super) fn top_of(&self, path: &SharePath, mount: u64) -> Result<(SharePath, Dir)> {
        let root = self.disk.root()?;
        if self.disk.dir_status(&root)?.mount == mount {
            return Ok((SharePath::root(), root));
        }
        let mut above = SharePath::root();
        let mut dir = root.clone();
        let names: Vec<_> = path.split().map(|(parent, _)| parent.names().collect()).unwrap_or_default();
        for name in names {
            above = above.join(&name);
            let Some(next) = found(self.disk.open_dir(&dir, name.as_bytes()))? else { break };
            dir = next;
            if self.disk.dir_status(&dir)?.mount == mount {
                return Ok((above, dir));
            }
        }
        Ok((SharePath::root(), root))
    }

    /// Notes on the disk that commits may be under way from now on: once a process, in each folder of noclobber's own. Another file system may
    /// have come to the place of the one that was mounted here.
    pub(super) fn begin(&self, top_path: &SharePath, top: &Dir) -> Result<Running> {
        let id = |status: &Status| (status.device, status.stamp.id);
        let there = self.disk.look(top, &own_name(RESERVED))?;
        let mut begun = self.begun();
        if there.is_some_and(|there| begun.contains(&id(&there))) {
            return Ok(self.running.clone());
        }
        self.make_dir(top, &own_name(RESERVED))?;
        self.check_own_folder(top)?;
        let own = self.disk.open_dir(top, RESERVED.as_bytes())?;
        let own_id = id(&self.disk.dir_status(&own)?);
        match self.disk.create_named(&own, &own_name(RUNNING)) {
            Err(error) if error.cause != Cause::Exists => return Err(error),
            _ => {}
        }
        self.disk.sync_dir(&own)?;
        self.disk.sync_dir(top)?;
        if !top_path.is_root() {
            // Where the top of the share cannot be written the rest can all the same; its history is then not pruned.
            let _ = self.note_mount(top_path);
        }
        begun.insert(own_id);
        self.spare_is_due.store(true, Ordering::Relaxed);
        Ok(self.running.clone())
    }

    /// Fails if what has the name of noclobber's own folder on any file system of the share cannot be used for it.
    pub fn check_own_folders(&self) -> Result<()> {
        self.tops()?.iter().try_for_each(|top| self.check_own_folder(&top.dir))
    }

    /// Whoever owns the folder could take the history away, and whoever may write there as well. Where the file system keeps no owners they
    /// tell nothing.
    fn check_own_folder(&self, top: &Dir) -> Result<()> {
        let name = own_name(RESERVED);
        let Some(status) = self.disk.look(top, &name)? else { return Ok(()) };
        if status.kind != Kind::Dir {
            return Err(unusable(
                "something of this name is there that is no folder; noclobber keeps the history in a folder of this name",
            ));
        }
        let own = self.disk.open_dir(top, RESERVED.as_bytes())?;
        if status.uid != self.disk.user() && !self.gives_everything_to(&own, status.uid) {
            return Err(unusable(&format!(
                "the folder belongs to another user (number {}), who could take the history away",
                status.uid
            )));
        }
        if status.mode & 0o077 != 0
            && let Err(error) = self.disk.make_private(&own)
        {
            self.tell(Notice::Open { why: error.to_string() });
        }
        Ok(())
    }

    /// Whether a file that is made here belongs to that user, whoever makes it.
    fn gives_everything_to(&self, own: &Dir, user: u32) -> bool {
        let name = own_name("owner");
        let Ok(file) = self.disk.create_named(own, &name) else { return false };
        let status = self.disk.status(&file);
        let _ = self.disk.unlink(own, &name);
        status.is_ok_and(|status| status.uid == user)
    }

    /// Says whether it was made, or was there already.
    pub(super) fn make_dir(&self, at: &Dir, name: &Name) -> Result<bool> {
        match self.disk.make_dir(at, name, true) {
            Ok(()) => Ok(true),
            Err(error) if error.cause == Cause::Exists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Every folder that may hold entries of a path. The folder that the path names may be gone, so it does not tell on which file system
    /// they are.
    pub(super) fn places_in<'a>(
        &'a self,
        tops: &'a [Top],
        path: &'a SharePath,
    ) -> impl Iterator<Item = (Dir, Box<[u8]>)> + 'a {
        tops.iter().filter(|top| path.is_within(&top.path)).flat_map(|top| {
            let below_top = relative(path, &top.path);
            [HISTORY, SWAP].map(|area| (top.dir.clone(), self.entries_of(area, below_top)))
        })
    }
}

/// A name of noclobber's own.
pub(in super::super) fn own_name(text: &str) -> Name {
    Name::new(text.as_bytes()).expect("a plain word")
}

pub(super) fn names(joined: &[u8]) -> impl Iterator<Item = Name> + '_ {
    let parts = joined.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
    parts.map(|part| Name::new(part).expect("a part of a path that is clean"))
}

pub(in super::super) fn relative<'a>(path: &'a SharePath, top: &SharePath) -> &'a [u8] {
    let below = &path.as_bytes()[top.as_bytes().len()..];
    below.strip_prefix(b"/").unwrap_or(below)
}

pub(super) fn found(opened: Result<Dir>) -> Result<Option<Dir>> {
    match opened {
        Ok(dir) => Ok(Some(dir)),
        Err(DiskError { cause: Cause::NotFound | Cause::NotADirectory, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Something stands where a folder of noclobber's own should be. It is nothing that the client asked for, so it is never said to be missing.
pub(super) fn in_the_way(error: DiskError) -> DiskError {
    match error.cause {
        Cause::NotADirectory | Cause::Escapes => DiskError { cause: Cause::Failed, ..error },
        _ => error,
    }
}

fn unusable(why: &str) -> DiskError {
    DiskError { operation: "use", name: RESERVED.to_owned(), cause: Cause::Failed, message: why.to_owned() }
}
