//! The copies that the tests of the commit walk through: files and folders, to every kind of target, on every tier.
//!
//! They ask the tree itself, as the share does: stage the copy, claim the target, look, and put the copy there. The source must never change,
//! and the target is as it was or a whole copy.

use std::collections::BTreeMap;
use std::time::Duration;

use noclobber::model::extent::Extent;
use noclobber::store::abilities::Tier;
use noclobber::store::disk_error::{Cause, DiskError};
use noclobber::store::local::commit::{CopyWish, Copying, OnMismatch, Seen, Swap, Tree};

use super::explore::Story;
use super::invariants::{Answer, Broken, End, judge};
use super::moves::{Move, Moving};
use super::sim_disk::SimDisk;
use super::stories::{BEFORE, UPLOAD, share_path};
use super::stranger::Act;

/// Where the file or folder is.
pub const FROM: &str = "s/b";

/// Where the copy is to be.
pub const TO: &str = "d/a";

/// How often a copy looks again before it gives up.
const LOOKS_MAX: usize = 16;

/// What is copied to what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file to where nothing is.
    FileToFree,
    /// A file over another.
    FileOverFile,
    /// A file over a folder.
    FileOverFolder,
    /// A folder, with a folder and two files in it, to where nothing is.
    FolderToFree,
    /// A folder over a file.
    FolderOverFile,
    /// A folder over another.
    FolderOverFolder,
    /// A folder without what is in it.
    FolderAlone,
}

/// A copy on a tier.
#[derive(Clone, Debug)]
pub struct Duplicating {
    /// What is copied to what.
    pub what: Kind,
    like: Moving,
    blocks: bool,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::FileToFree,
        Self::FileOverFile,
        Self::FileOverFolder,
        Self::FolderToFree,
        Self::FolderOverFile,
        Self::FolderOverFolder,
        Self::FolderAlone,
    ];

    fn copies_folder(self) -> bool {
        !matches!(self, Self::FileToFree | Self::FileOverFile | Self::FileOverFolder)
    }

    fn extent(self) -> Extent {
        if self == Self::FolderAlone { Extent::Itself } else { Extent::Tree }
    }

    /// What the folders hold before, from their tops.
    fn source(self) -> Vec<(&'static str, &'static str)> {
        if self.copies_folder() { vec![("s/b/x", UPLOAD), ("s/b/in/y", "YY")] } else { vec![(FROM, UPLOAD)] }
    }

    fn target(self) -> Vec<(&'static str, &'static str)> {
        match self {
            Self::FileOverFile | Self::FolderOverFile => vec![(TO, BEFORE)],
            Self::FileOverFolder | Self::FolderOverFolder => vec![("d/a/x", BEFORE), ("d/a/old", "OO")],
            _ => vec![],
        }
    }

    fn arrives(self) -> Vec<(&'static str, &'static str)> {
        match self {
            Self::FolderAlone => vec![],
            kind if kind.copies_folder() => vec![("d/a/x", UPLOAD), ("d/a/in/y", "YY")],
            _ => vec![(TO, UPLOAD)],
        }
    }
}

impl Duplicating {
    /// A copy on a disk of this tier.
    pub fn of(what: Kind, tier: Tier) -> Self {
        Self { what, like: Moving::of(Move::FileToFree, tier), blocks: true }
    }

    /// The same where blocks cannot be shared.
    pub fn without_shared_blocks(self) -> Self {
        Self { blocks: false, ..self }
    }

    fn ask(&self, disk: &SimDisk, tree: &Tree) -> std::result::Result<(), Answer> {
        let fault = |error: DiskError| match error.cause {
            Cause::NotFound if error.operation == "open_dir" => Answer::Refused("409".to_owned()),
            _ => Answer::Fault(error.to_string()),
        };
        let refused = |why: &str| Err(Answer::Refused(why.to_owned()));
        let (from, to) = (share_path(FROM), share_path(TO));
        let site = tree.site(&to).map_err(fault)?.expect("not the share itself");
        let mut copy = match tree.stage_copy(&from, &site, &CopyWish::everything(self.what.extent())).map_err(fault)? {
            Copying::Ready(copy) => copy,
            Copying::Nothing => return refused("404"),
            _ => return refused("423"),
        };
        for _ in 0..LOOKS_MAX {
            let claim = tree.claim(&to).map_err(fault)?.expect("not the share itself");
            let seen = claim.look().map_err(fault)?;
            if matches!(seen, Seen::Busy(_)) {
                return refused("423");
            }
            match claim.put_copy(seen, &mut copy, OnMismatch::Accept, disk.now()).map_err(fault)? {
                Swap::Done(_) => return Ok(()),
                Swap::Lost => {}
                Swap::Busy => return refused("423"),
                Swap::Spoilt => return refused("409"),
            }
        }
        refused("409")
    }
}

impl Story for Duplicating {
    type Server = Tree;

    fn name(&self) -> String {
        format!("COPY {:?} on tier {}", self.what, self.like.features.abilities.tier())
    }

    fn set_up(&self) -> (SimDisk, Tree) {
        let mut features = self.like.features.clone();
        features.reflinks = self.blocks;
        let disk = SimDisk::new(features);
        disk.place_folder("d");
        disk.place_folder("s");
        for (path, bytes) in self.what.source().into_iter().chain(self.what.target()) {
            disk.place(path, bytes);
        }
        if self.what.copies_folder() {
            disk.place_other("s/b/link", noclobber::store::status::Kind::Link);
            disk.place_other("s/b/pipe", noclobber::store::status::Kind::Special);
            disk.place("s/b/.noclobber/history/x", "not to be copied");
        }
        let tree = self.like.tree(&disk);
        (disk, tree)
    }

    fn start(&self, disk: &SimDisk) -> Tree {
        self.like.start(disk)
    }

    fn operate(&self, disk: &SimDisk, tree: &Tree) -> Answer {
        match self.ask(disk, tree) {
            Ok(()) => Answer::Done,
            Err(answer) => answer,
        }
    }

    fn look_again(&self, disk: &SimDisk, tree: &Tree) {
        tree.second_look(disk.now());
    }

    fn owe(&self, _: &SimDisk) {}

    fn judge(&self, disk: &SimDisk, end: &End) -> Vec<Broken> {
        let mut broken = Vec::new();
        let mut tell = |invariant, found: String| broken.push(Broken { invariant, found });
        let all = |below: &str| -> BTreeMap<String, String> {
            let inside = |path: &str| path == below || path.starts_with(&format!("{below}/"));
            let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
            let visible = disk.visible_contents().into_iter().filter(|(path, _)| inside(path));
            visible.map(|(path, bytes)| (path, text(bytes))).collect()
        };
        let map = |files: Vec<(&str, &str)>| -> BTreeMap<String, String> {
            files.into_iter().map(|(path, bytes)| (path.to_owned(), bytes.to_owned())).collect()
        };
        let (here, there) = (all(FROM), all(TO));
        let unsure = disk.failed_to_sync_a_folder();
        let (old, new) = (there == map(self.what.target()), there == map(self.what.arrives()));
        let quiet = end.acts.is_empty();
        if quiet && here != map(self.what.source()) {
            tell("source", format!("{here:?}"));
        }
        let right = match (&end.answer, end.crash) {
            (Some(Answer::Done), _) => new,
            (None, _) => old || new,
            _ => old || new && unsure,
        };
        if quiet && !right {
            tell("whole", format!("{there:?} after {:?}", end.answer));
        }
        let everywhere = disk.contents_everywhere();
        let folders = disk.folders();
        let stray =
            |path: &str| path.starts_with(".noclobber/") && (path.contains('~') || path.contains("/unfinished-"));
        if end.restarted || !end.failed {
            let left = everywhere.iter().map(|(path, _)| path).chain(&folders).find(|path| stray(path));
            left.into_iter().for_each(|path| tell("stray", path.clone()));
        }
        if disk.open_handles() > 0 {
            tell("leak", disk.open_handles().to_string());
        }
        if matches!(end.crash, None | Some(super::sim_disk::Crash::Kill)) {
            disk.lost().into_iter().for_each(|bytes| tell("I1", String::from_utf8_lossy(&bytes).into_owned()));
        }
        // What a stranger saves in the source is in the copy whole, or not at all; what he saves at the target is the newest, or kept.
        let known = [UPLOAD, BEFORE, "YY", "OO", "xA", "yA", "cA", "wA", "vA"];
        if let Some((path, bytes)) = there.iter().find(|(_, bytes)| !known.contains(&bytes.as_str())) {
            tell("torn", format!("{path}: {bytes}"));
        }
        broken
    }

    fn is_known(&self, _: &Broken, _: &End) -> bool {
        false
    }
}
