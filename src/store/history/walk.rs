//! Walks over the history, and over a folder tree that is kept in it.

use std::ops::ControlFlow;

use crate::model::keep_rule::{KeptContent, Room};
use crate::model::path::{Name, SharePath};
use crate::model::version::EntryName;

use super::super::disk::{Cause, Dir, Disk, DiskError, Entry, Kind, Result, Status};
use super::super::naming;
use super::layout::{Top, found, own_name, relative};
use super::{Found, History, Version};

impl History {
    /// All entries of an area of the history below a path, on every file system.
    pub(super) fn walk(&self, area: &str, below: &SharePath) -> Result<Vec<Found>> {
        let mut all = Vec::new();
        self.each_place(area, below, &mut |path, top, place, room| {
            self.find_entries(area, top, path, place, room, &mut all)
        })?;
        Ok(all)
    }

    /// Calls `each` for the folder of every path's entries below a path, on every file system: with the path, the file system, and what the
    /// folders take that are there for that path.
    pub(super) fn each_place(
        &self,
        area: &str,
        below: &SharePath,
        each: &mut dyn FnMut(&SharePath, &Top, &Dir, Room) -> Result<()>,
    ) -> Result<()> {
        for top in self.tops()? {
            if below.is_within(&top.path) {
                for below in self.spellings(area, (&top.path, &top.dir), below)? {
                    self.each_place_of(area, &top, &below, each)?;
                }
            } else if top.path.is_within(below) {
                self.each_place_of(area, &top, &top.path, each)?;
            }
        }
        Ok(())
    }

    /// All entries of an area of the history of one file system.
    pub(super) fn walk_top(&self, area: &str, top: &Top) -> Result<Vec<Found>> {
        let mut all = Vec::new();
        self.each_place_of(area, top, &top.path, &mut |path, top, place, room| {
            self.find_entries(area, top, path, place, room, &mut all)
        })?;
        Ok(all)
    }

    fn each_place_of(
        &self,
        area: &str,
        top: &Top,
        below: &SharePath,
        each: &mut dyn FnMut(&SharePath, &Top, &Dir, Room) -> Result<()>,
    ) -> Result<()> {
        let folder = self.folder_of(area, relative(below, &top.path));
        let Some(first) = found(self.disk.open_dir(&top.dir, &folder))? else { return Ok(()) };
        let mut todo = vec![(below.clone(), Pending::Open(first), Room::default())];
        while let Some((path, pending, own_room)) = todo.pop() {
            let walked = self.walk_folder(&path, pending, &mut todo).and_then(|place| match place {
                Some((place, room)) => each(&path, top, &place, own_room + room),
                None => Ok(()),
            });
            if let Err(error) = walked {
                self.tell_once_of_folder(&path, &error);
            }
        }
        Ok(())
    }

    /// The folder of the entries of one path, with the room it takes; the folders of its members are still to be walked.
    fn walk_folder(
        &self,
        path: &SharePath,
        folder: Pending,
        todo: &mut Vec<(SharePath, Pending, Room)>,
    ) -> Result<Option<(Dir, Room)>> {
        let Some(dir) = found(folder.open(&*self.disk))? else { return Ok(None) };
        let mut of_entries = None;
        self.disk.list(&dir, &mut |entry| {
            let (is_folder, room) = (entry.status.kind == Kind::Dir, room_of(&entry.status));
            if is_folder && entry.name.is_reserved() {
                of_entries = Some((entry.name, room));
            } else if is_folder {
                todo.push((path.join(&entry.name), Pending::In(dir.clone(), entry.name), room));
            }
            ControlFlow::Continue(())
        })?;
        let Some((name, room)) = of_entries else { return Ok(None) };
        Ok(found(self.disk.open_dir(&dir, name.as_bytes()))?.map(|place| (place, room)))
    }

    /// The entries of one path, the oldest first.
    fn find_entries(
        &self,
        area: &str,
        top: &Top,
        path: &SharePath,
        place: &Dir,
        folders: Room,
        all: &mut Vec<Found>,
    ) -> Result<()> {
        let folder = self.entries_of(area, relative(path, &top.path));
        let mut versions = entries(&*self.disk, place)?;
        versions.sort_by(|one, other| one.name.id.cmp(&other.name.id));
        let last = versions.len().saturating_sub(1);
        all.extend(versions.into_iter().enumerate().map(|(number, version)| Found {
            top: top.dir.clone(),
            folder: folder.clone(),
            path: path.clone(),
            version,
            folders: if number == last { folders } else { Room::default() },
        }));
        Ok(())
    }
}

pub(super) fn list(disk: &dyn Disk, dir: &Dir) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    disk.list(dir, &mut |entry| {
        entries.push(entry);
        ControlFlow::Continue(())
    })?;
    Ok(entries)
}

pub(super) fn entries(disk: &dyn Disk, dir: &Dir) -> Result<Vec<Version>> {
    let parse = |it: Entry| Some(Version { name: EntryName::parse(&it.name)?, entry: it.name, status: it.status });
    Ok(list(disk, dir)?.into_iter().filter_map(parse).collect())
}

/// A folder that is still to be walked. It is opened when it is its turn, so that a wide tree does not hold a handle for each folder.
enum Pending {
    Open(Dir),
    In(Dir, Name),
}

impl Pending {
    pub(super) fn open(self, disk: &dyn Disk) -> Result<Dir> {
        match self {
            Self::Open(dir) => Ok(dir),
            Self::In(parent, name) => disk.open_dir(&parent, name.as_bytes()),
        }
    }
}

/// What a version takes, and what is in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    pub(super) room: Room,
    pub(super) content: KeptContent,
    /// Whether all of it belongs to whom the top belongs to.
    pub(super) has_one_owner: bool,
}

/// Measures a folder tree, and fails if any part of it cannot be looked at.
pub(super) fn measure_tree(disk: &dyn Disk, top: Dir) -> Result<Measured> {
    let itself = disk.dir_status(&top)?;
    let mut tree = Measured { room: room_of(&itself), content: KeptContent::Folders, has_one_owner: true };
    let mut todo = vec![Pending::Open(top)];
    while let Some(pending) = todo.pop() {
        let dir = pending.open(disk)?;
        for Entry { name, status, .. } in list(disk, &dir)? {
            if status.kind == Kind::Dir {
                todo.push(Pending::In(dir.clone(), name));
            } else if status.kind != Kind::File || status.stamp.size > 0 {
                tree.content = KeptContent::Bytes;
            } else if tree.content == KeptContent::Folders {
                tree.content = KeptContent::Empty;
            }
            tree.has_one_owner &= status.uid == itself.uid;
            // What has another name gives nothing back.
            if status.kind == Kind::Dir || status.links <= 1 {
                tree.room += room_of(&status);
            }
        }
    }
    Ok(tree)
}

fn room_of(status: &Status) -> Room {
    Room { bytes: status.allocated, files: 1 }
}

/// Calls `each` for all in a tree that is no folder, with the folder it lies in.
pub(in super::super) fn each_file(
    disk: &dyn Disk,
    top: Dir,
    each: &mut dyn FnMut(&Dir, &Entry) -> Result<()>,
) -> Result<()> {
    let mut todo = vec![Pending::Open(top)];
    while let Some(pending) = todo.pop() {
        let dir = pending.open(disk)?;
        for entry in list(disk, &dir)? {
            match entry.status.kind {
                Kind::Dir => todo.push(Pending::In(dir.clone(), entry.name)),
                _ => each(&dir, &entry)?,
            }
        }
    }
    Ok(())
}

/// Removes a tree with all that is in it.
pub(in super::super) fn remove_tree(disk: &dyn Disk, at: &Dir, name: &Name) -> Result<()> {
    remove_all(disk, at, name, &|dir, file| disk.unlink(dir, file))
}

/// Removes a tree of folders; [`Cause::NotEmpty`] if there is anything else in it, which stays.
pub(super) fn remove_folders(disk: &dyn Disk, at: &Dir, name: &Name) -> Result<()> {
    remove_all(disk, at, name, &|_, file| {
        let message = "something was made in it".to_owned();
        Err(DiskError { operation: "remove", name: file.to_text().into_owned(), cause: Cause::NotEmpty, message })
    })
}

/// However deep the tree is: every folder in it is first moved up to the top, so that neither the stack nor the number of open folders grows
/// with the depth.
fn remove_all(disk: &dyn Disk, at: &Dir, name: &Name, file: &dyn Fn(&Dir, &Name) -> Result<()>) -> Result<()> {
    let top = disk.open_dir(at, name.as_bytes())?;
    let mut todo = Vec::new();
    let mut moved = 0_u64;
    each_entry(disk, &top, file, &mut |folder| {
        todo.push(folder);
        Ok(())
    })?;
    while let Some(folder) = todo.pop() {
        let dir = disk.open_dir(&top, folder.as_bytes())?;
        each_entry(disk, &dir, file, &mut |inner| {
            loop {
                let higher = own_name(&format!("removed-{moved}"));
                moved += 1;
                match naming::move_within(disk, (&dir, &inner), (&top, &higher)) {
                    Err(error) if error.cause == Cause::Exists => continue,
                    renamed => renamed?,
                }
                todo.push(higher);
                return Ok(());
            }
        })?;
        drop(dir);
        disk.remove_dir(&top, &folder)?;
    }
    drop(top);
    disk.remove_dir(at, name)
}

fn each_entry(
    disk: &dyn Disk,
    dir: &Dir,
    file: &dyn Fn(&Dir, &Name) -> Result<()>,
    folder: &mut dyn FnMut(Name) -> Result<()>,
) -> Result<()> {
    for entry in list(disk, dir)? {
        match entry.status.kind {
            Kind::Dir => folder(entry.name)?,
            _ => file(dir, &entry.name)?,
        }
    }
    Ok(())
}
