//! Measuring a folder tree that is kept in the history.

use crate::model::keep_rule::{KeptContent, Room};

use super::super::disk::Disk;
use super::super::trees::{Pending, list};
use crate::store::disk_error::Result;
use crate::store::handle::Dir;
use crate::store::status::{Entry, Kind, Status};

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

pub(super) fn room_of(status: &Status) -> Room {
    Room { bytes: status.allocated, files: 1 }
}
