//! Walks over the entries of the history, on every file system.

use std::ops::ControlFlow;

use crate::model::keep_rule::Room;
use crate::model::path::SharePath;
use crate::model::version::EntryName;

use super::super::disk::Disk;
use super::super::trees::{Pending, list};
use super::History;
use super::areas::{entries_of, folder_of, found, relative};
use super::found::{Found, Version};
use super::measure::room_of;
use super::mounts::Top;
use crate::store::disk_error::Result;
use crate::store::handle::Dir;
use crate::store::status::{Entry, Kind};

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
        let folder = folder_of(area, relative(below, &top.path));
        let Some(first) = found(self.disk.open_dir(&top.dir, &folder))? else { return Ok(()) };
        let mut todo = vec![(below.clone(), Pending::Open(first), Room::default())];
        while let Some((path, pending, own_room)) = todo.pop() {
            let walked = self.walk_folder(&path, pending, &mut todo).and_then(|place| match place {
                Some((place, room)) => each(&path, top, &place, own_room + room),
                None => Ok(()),
            });
            if let Err(error) = walked {
                self.notices.add_stuck_folder(&path, &error);
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
        let folder = entries_of(area, relative(path, &top.path));
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

fn entries(disk: &dyn Disk, dir: &Dir) -> Result<Vec<Version>> {
    let parse = |it: Entry| Some(Version { name: EntryName::parse(&it.name)?, entry: it.name, status: it.status });
    Ok(list(disk, dir)?.into_iter().filter_map(parse).collect())
}
