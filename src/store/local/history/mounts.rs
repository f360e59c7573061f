//! The file systems of the share. Each has a history of its own, since a rename works within one mount only, and the top of the share notes
//! where those of the others are.

use crate::model::path::{RESERVED, SharePath};

use super::super::place::own_name;
use super::super::spelling::FolderId;
use super::super::trees::{is_empty_dir, list};
use super::History;
use super::areas::{HISTORY, MOUNTS, SWAP, ensure_dir, entries_of, found, relative};
use crate::store::disk_error::{DiskError, Result};
use crate::store::handle::Dir;
use crate::store::status::{Kind, Status};

/// A mount in the share: where its topmost folder is.
#[derive(Clone, Debug)]
pub(super) struct MountTop {
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
    pub(super) tops: Vec<MountTop>,
}

impl History {
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
    pub(super) fn tops(&self) -> Result<Vec<MountTop>> {
        let root = self.disk.root()?;
        let top = |path: SharePath, dir: Dir| {
            let Status { mount, device, stamp, .. } = self.disk.dir_status(&dir)?;
            Ok::<_, DiskError>(MountTop { path, dir, mount, folder: (device, stamp.id) })
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
                    self.notices.add_stuck_folder(&top.path, &error);
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
            if mount == mount_above && is_empty_dir(&*self.disk, &noted, name.as_bytes()) {
                return Ok(true);
            }
            (noted, mount_above) = (inside, mount);
        }
        Ok(false)
    }

    /// Notes at the top of the share that another file system in it has a history, as folders of the same names.
    pub(super) fn note_mount(&self, path: &SharePath) -> Result<()> {
        let mut dir = self.disk.root()?;
        for name in [RESERVED, MOUNTS].map(own_name).into_iter().chain(path.names()) {
            if ensure_dir(&*self.disk, &dir, &name)? {
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
            let folder = entries_of(area, relative(&path, &top_path));
            EntryFolder { path, folder }
        });
        Ok((top, folders.collect()))
    }

    /// The top of the mount that `path` lies on, and from there the folder for its entries, which may not be there.
    pub(super) fn where_entries_lie(&self, area: &str, path: &SharePath) -> Result<(Dir, Box<[u8]>)> {
        let (top_path, top) = self.top_of(path, self.mount_of(path)?)?;
        Ok((top, entries_of(area, relative(path, &top_path))))
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

    /// The topmost folder of the file system that `path` lies on, as far as that is in the share.
    pub(in super::super) fn mount_top(&self, path: &SharePath) -> Result<Dir> {
        Ok(self.top_of(path, self.mount_of(path)?)?.1)
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

    /// Every folder that may hold entries of a path. The folder that the path names may be gone, so it does not tell on which file system
    /// they are.
    pub(super) fn places_in<'a>(
        &'a self,
        tops: &'a [MountTop],
        path: &'a SharePath,
    ) -> impl Iterator<Item = (Dir, Box<[u8]>)> + 'a {
        tops.iter().filter(|top| path.is_within(&top.path)).flat_map(|top| {
            let below_top = relative(path, &top.path);
            [HISTORY, SWAP].map(|area| (top.dir.clone(), entries_of(area, below_top)))
        })
    }
}
