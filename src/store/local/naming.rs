//! Taking a name that is free, by the best way that the file system has.
//!
//! What has the name is never destroyed where a rename refuses to replace or a file can be linked. Where neither is to be had, the
//! name is looked at and then renamed to: what another program saves in between is destroyed, which the documentation says. Nothing
//! here decides which name is wanted.

use crate::model::path::Name;

use super::disk::Disk;
use crate::store::disk_error::{Cause, DiskError, Result};
use crate::store::handle::{Dir, Opened};

/// Renames something out of noclobber's own folder to a name that other programs may take too; [`Cause::Exists`] if it is taken.
pub(super) fn take(disk: &dyn Disk, from: (&Dir, &Name), to: (&Dir, &Name)) -> Result<()> {
    let can = disk.abilities(to.0)?;
    if can.no_replace {
        return disk.rename_new(from, to);
    }
    if can.link
        && let Opened::File(file, _) = disk.open(from.0, from.1)?
    {
        disk.link(&file, to.0, to.1)?;
        // A crash before this leaves both names, and recovery removes this one.
        return disk.unlink(from.0, from.1);
    }
    look_and_rename(disk, from, to)
}

/// Renames something to a name in noclobber's own folder, where nobody else takes names; [`Cause::Exists`] if it is taken.
pub(super) fn move_within(disk: &dyn Disk, from: (&Dir, &Name), to: (&Dir, &Name)) -> Result<()> {
    if disk.abilities(to.0)?.no_replace { disk.rename_new(from, to) } else { look_and_rename(disk, from, to) }
}

/// The look and the rename are two steps. A folder that takes the name in between is destroyed only if it is empty.
fn look_and_rename(disk: &dyn Disk, from: (&Dir, &Name), to: (&Dir, &Name)) -> Result<()> {
    let taken = |message: &str| DiskError {
        operation: "rename",
        name: to.1.to_text().into_owned(),
        cause: Cause::Exists,
        message: message.to_owned(),
    };
    if disk.look(to.0, to.1)?.is_some() {
        return Err(taken("the name is taken"));
    }
    match disk.rename_over(from, to) {
        Err(DiskError { cause: Cause::NotEmpty | Cause::NotADirectory | Cause::IsADirectory, message, .. }) => {
            Err(taken(&message))
        }
        renamed => renamed,
    }
}
