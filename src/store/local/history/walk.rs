//! Walks over the entries of the history, on every file system.

use std::ops::ControlFlow;

use crate::model::keep_rule::Room;
use crate::model::path::SharePath;
use crate::model::version::EntryName;

use super::super::disk::Disk;
use super::super::trees::{Pending, list};
use super::History;
use super::areas::{entries_of, folder_of, found, relative};
use super::found::{FoundVersion, Version};
use super::measure::room_of;
use super::mounts::MountTop;
use crate::store::disk_error::Result;
use crate::store::handle::Dir;
use crate::store::status::{Entry, Kind};

/// What a folder that is still to be walked is.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// It stands for a folder of the share, and takes this room itself.
    Folder(Room),
    /// The folders of the entries of that one's members are in it. So much is free when the last of them goes.
    Members(Room),
    /// The entries of a path are in it. So much is free when the last of them goes.
    Entries(Room),
}

impl History {
    /// All entries of an area of the history below a path, on every file system.
    pub(super) fn walk(&self, area: &str, below: &SharePath) -> Result<Vec<FoundVersion>> {
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
        each: &mut dyn FnMut(&SharePath, &MountTop, &Dir, Room) -> Result<()>,
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
    pub(super) fn walk_top(&self, area: &str, top: &MountTop) -> Result<Vec<FoundVersion>> {
        let mut all = Vec::new();
        self.each_place_of(area, top, &top.path, &mut |path, top, place, room| {
            self.find_entries(area, top, path, place, room, &mut all)
        })?;
        Ok(all)
    }

    fn each_place_of(
        &self,
        area: &str,
        top: &MountTop,
        below: &SharePath,
        each: &mut dyn FnMut(&SharePath, &MountTop, &Dir, Room) -> Result<()>,
    ) -> Result<()> {
        let below_top = relative(below, &top.path);
        let mut todo = Vec::new();
        if let Some(entries) = found(self.disk.open_dir(&top.dir, &entries_of(area, below_top)))? {
            let room = room_of(&self.disk.dir_status(&entries)?);
            todo.push((below.clone(), Pending::Open(entries), Step::Entries(room)));
        }
        if let Some(folder) = found(self.disk.open_dir(&top.dir, &folder_of(area, below_top)))? {
            // That of the whole area stays.
            let own = if *below == top.path { Room::default() } else { room_of(&self.disk.dir_status(&folder)?) };
            todo.push((below.clone(), Pending::Open(folder), Step::Folder(own)));
        }
        while let Some((path, pending, step)) = todo.pop() {
            let walked = found(pending.open(&*self.disk)).and_then(|dir| match (dir, step) {
                (None, _) => Ok(()),
                (Some(dir), Step::Entries(room)) => each(&path, top, &dir, room),
                (Some(dir), Step::Members(room)) => self.walk_members(&path, &dir, room, &mut todo),
                (Some(dir), Step::Folder(room)) => self.walk_folder(&path, &dir, room, &mut todo),
            });
            if let Err(error) = walked {
                self.notices.add_stuck_folder(&path, &error);
            }
        }
        Ok(())
    }

    /// What is still to be walked in a folder that stands for one of the share. It goes with the entries of its members if nothing else is in it.
    fn walk_folder(
        &self,
        path: &SharePath,
        dir: &Dir,
        own: Room,
        todo: &mut Vec<(SharePath, Pending, Step)>,
    ) -> Result<()> {
        let before = todo.len();
        let mut of_members = None;
        self.disk.list(dir, &mut |entry| {
            if entry.status.kind == Kind::Dir {
                let room = room_of(&entry.status);
                if entry.name.is_reserved() {
                    of_members = Some((entry.name, room));
                } else {
                    let folder = Pending::In(dir.clone(), entry.name.clone());
                    todo.push((path.join(&entry.name), folder, Step::Folder(room)));
                }
            }
            ControlFlow::Continue(())
        })?;
        if let Some((name, room)) = of_members {
            let room = if todo.len() == before { room + own } else { room };
            todo.push((path.clone(), Pending::In(dir.clone(), name), Step::Members(room)));
        }
        Ok(())
    }

    /// The folders of the entries of a folder's members, which are still to be walked. Theirs goes with the only one.
    fn walk_members(
        &self,
        path: &SharePath,
        dir: &Dir,
        own: Room,
        todo: &mut Vec<(SharePath, Pending, Step)>,
    ) -> Result<()> {
        let before = todo.len();
        self.disk.list(dir, &mut |entry| {
            if entry.status.kind == Kind::Dir {
                let step = Step::Entries(room_of(&entry.status));
                todo.push((path.join(&entry.name), Pending::In(dir.clone(), entry.name), step));
            }
            ControlFlow::Continue(())
        })?;
        if let [(.., Step::Entries(room))] = &mut todo[before..] {
            *room += own;
        }
        Ok(())
    }

    /// The entries of one path, the oldest first.
    fn find_entries(
        &self,
        area: &str,
        top: &MountTop,
        path: &SharePath,
        place: &Dir,
        folders: Room,
        all: &mut Vec<FoundVersion>,
    ) -> Result<()> {
        let folder = entries_of(area, relative(path, &top.path));
        let mut versions = entries(&*self.disk, place)?;
        versions.sort_by(|one, other| one.name.id.cmp(&other.name.id));
        let last = versions.len().saturating_sub(1);
        all.extend(versions.into_iter().enumerate().map(|(number, version)| FoundVersion {
            top: top.dir.clone(),
            folder: folder.clone(),
            path: path.clone(),
            version,
            folders: if number == last { folders } else { Room::default() },
        }));
        Ok(())
    }
}

fn entries(disk: &dyn Disk, dir: &Dir) -> Result<Vec<Version>> {
    let parse = |it: Entry| Some(Version { name: EntryName::parse(&it.name)?, entry: it.name, status: it.status });
    Ok(list(disk, dir)?.into_iter().filter_map(parse).collect())
}
