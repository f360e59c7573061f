//! How a version goes: only if it is what was found, and nobody is about to write into it.

use std::time::Duration;

use parking_lot::MutexGuard;

use crate::model::keep_rule::KeptContent;
use crate::model::path::Name;
use crate::model::stamp::Timestamp;
use crate::model::version::Ending;

use super::super::naming;
use super::super::trees::{remove_folders, remove_tree};
use super::History;
use super::empty_folders::remove_empty;
use super::found::{FoundVersion, Version};
use super::measure::measure_tree;
use super::memory::Going;
use super::writers::{Writers, is_in_use};
use crate::store::disk_error::{Cause, DiskError, Result};
use crate::store::handle::{Dir, Opened};
use crate::store::lease::Leased;
use crate::store::status::Kind;

/// Nobody else lets a version go while this is held.
struct ReleaseGuard<'a>(#[expect(dead_code, reason = "it is held")] Option<MutexGuard<'a, ()>>);

impl History {
    /// Whether somebody may be about to write into it, which would be nowhere else then, or it cannot even be opened.
    pub(super) fn is_held_fast(&self, found: &FoundVersion, now: Timestamp) -> bool {
        let writers = found.dir(&*self.disk).and_then(|dir| self.writers(&dir, &found.version.entry));
        writers.map(|writers| is_in_use(writers, found, now)).unwrap_or_else(|error| {
            self.notices.add_stuck(found, &error);
            true
        })
    }

    /// Lets a version go if it is what was found, and nobody is about to write into it; says whether it went.
    pub(super) fn let_found_go(
        &self,
        found: &FoundVersion,
        content: KeptContent,
        going: Going,
        now: Timestamp,
    ) -> bool {
        let went = self.let_version_go(found, content, going, now).unwrap_or_else(|error| {
            self.notices.add_stuck(found, &error);
            false
        });
        if went {
            self.memory.lock().forget(found, going);
            self.notices.forget(found);
            let _alone = self.folders.write();
            remove_empty(&*self.disk, &found.top, &found.folder);
        }
        went
    }

    /// Whoever makes room has his turn. Whoever applies the keep rule waits for it, and has none where he chose by what is no longer there.
    fn turn(&self, going: Going) -> Option<ReleaseGuard<'_>> {
        if going == Going::ForRoom {
            return Some(ReleaseGuard(None));
        }
        let alone = self.making_room.lock();
        self.memory.lock().none_departed().then_some(ReleaseGuard(Some(alone)))
    }

    /// The last look is one under a lease: who opens it for writing from then on waits, and shows in the lease.
    fn let_version_go(&self, found: &FoundVersion, content: KeptContent, going: Going, now: Timestamp) -> Result<bool> {
        let (dir, Version { entry, status: seen, .. }) = (found.dir(&*self.disk)?, &found.version);
        match self.disk.open(&dir, entry)? {
            Opened::Nothing => Ok(false),
            Opened::File(file, _) => {
                let Some(_turn) = self.turn(going) else { return Ok(false) };
                let leased = self.disk.lease(&file, Duration::ZERO)?;
                let is_seen = self.disk.status(&file)?.stamp == seen.stamp;
                let is_left_alone = !matches!(&leased, Leased::Held(lease) if !lease.is_unbroken());
                let goes = is_seen && is_left_alone && !is_in_use(Writers::of(&leased), found, now);
                if goes {
                    self.disk.unlink(&dir, entry)?;
                }
                Ok(goes)
            }
            Opened::Dir(status) => {
                let goes = status.stamp == seen.stamp && !is_in_use(self.writers(&dir, entry)?, found, now);
                let Some(turn) = self.turn(going).filter(|_| goes) else { return Ok(false) };
                self.let_folder_go(found, &dir, content, turn, now)
            }
            Opened::Link | Opened::Special => {
                let Some(_turn) = self.turn(going) else { return Ok(false) };
                self.let_go(&dir, entry).map(|()| true)
            }
        }
    }

    /// A folder goes in many steps. So it is no version any more before the first: who brings it back has all of it or nothing, and nothing is
    /// removed from what has come back. With the first step the turn is over. A program that is in it may make a file there at any time.
    fn let_folder_go(
        &self,
        found: &FoundVersion,
        dir: &Dir,
        content: KeptContent,
        turn: ReleaseGuard<'_>,
        now: Timestamp,
    ) -> Result<bool> {
        let Version { name, entry, .. } = &found.version;
        let going = name.as_upload().to_name();
        if name.ending == Ending::Upload {
            drop(turn);
            return self.remove_folder(dir, entry, content);
        }
        naming::move_within(&*self.disk, (dir, entry), (dir, &going))?;
        drop(turn);
        let is_used = self.writers(dir, &going).map(|writers| is_in_use(writers, found, now));
        let went = match is_used {
            Ok(false) => self.remove_folder(dir, &going, content),
            used => used.map(|_| false),
        };
        let is_whole = matches!(went, Ok(false)) || matches!(content, KeptContent::Empty | KeptContent::Folders);
        if is_whole && !matches!(went, Ok(true)) {
            naming::move_within(&*self.disk, (dir, &going), (dir, entry))?;
        }
        went
    }

    /// Removes a folder unless it holds more than it did; says whether it is gone.
    fn remove_folder(&self, dir: &Dir, name: &Name, content: KeptContent) -> Result<bool> {
        let is = |content| {
            let folder = self.disk.open_dir(dir, name.as_bytes())?;
            Ok::<_, DiskError>(measure_tree(&*self.disk, folder)?.content == content)
        };
        match content {
            KeptContent::Bytes | KeptContent::SameAsNext => self.let_go(dir, name).map(|()| true),
            KeptContent::Empty if is(KeptContent::Empty)? => self.let_go(dir, name).map(|()| true),
            KeptContent::Folders if is(KeptContent::Folders)? => match remove_folders(&*self.disk, dir, name) {
                Err(error) if error.cause == Cause::NotEmpty => Ok(false),
                removed => removed.map(|()| true),
            },
            KeptContent::Empty | KeptContent::Folders => Ok(false),
        }
    }

    /// Removes an entry that is not wanted any more: a file, or a tree.
    pub fn let_go(&self, dir: &Dir, name: &Name) -> Result<()> {
        match self.disk.look(dir, name)? {
            None => Ok(()),
            Some(status) if status.kind == Kind::Dir => remove_tree(&*self.disk, dir, name),
            Some(_) => self.disk.unlink(dir, name),
        }
    }
}
