//! The moves that the tests of the commit walk through: every kind of source to every kind of target, on every tier.
//!
//! They ask the tree itself, as the share does: claim both names, look at both, judge, and look again if the move lost. What must hold at
//! the target is judged as for an upload; what must hold at the source is judged here.

use std::sync::Arc;
use std::time::Duration;

use noclobber::model::extent::Extent;
use noclobber::model::path::SharePath;
use noclobber::store::abilities::Tier;
use noclobber::store::disk_error::{Cause, DiskError};
use noclobber::store::handle::File;
use noclobber::store::local::commit::{
    CopyWish, Copying, OnMismatch, OnMismatches, Pair, Seen, StagedCopy, Swap, Tree,
};
use noclobber::store::local::disk::Disk;
use noclobber::store::local::history::{History, KeepLimits};

use super::explore::Story;
use super::invariants::{Answer, Asked, Broken, End, judge};
use super::sim_disk::{Features, SimDisk};
use super::stories::{BEFORE, UPLOAD, share_path};
use super::stranger::Act;

/// Where the file or folder is.
pub const FROM: &str = "s/b";

/// Where it is to be.
pub const TO: &str = "d/a";

/// The file in the folder that is moved.
pub const FROM_INSIDE: &str = "s/b/x";

/// The file in the folder that is replaced, or that has come.
pub const TO_INSIDE: &str = "d/a/x";

/// How often a move looks again before it gives up.
const LOOKS_MAX: usize = 16;

/// What is moved to what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// A file to where nothing is.
    FileToFree,
    /// The same, with `If-Match` on the source.
    NamedFileToFree,
    /// A file over another.
    FileOverFile,
    /// The same, where both are named.
    NamedFileOverNamedFile,
    /// A file over a folder with a file in it.
    FileOverFolder,
    /// A folder with a file in it to where nothing is.
    FolderToFree,
    /// A folder over a file.
    FolderOverFile,
    /// A folder over a folder.
    FolderOverFolder,
    /// A file over another name of the same file.
    FileOverItself,
}

/// A move on a tier.
#[derive(Clone, Debug)]
pub struct Moving {
    /// What is moved to what.
    pub what: Move,
    /// What the disk can do.
    pub features: Features,
    /// Whether displaced files are kept.
    pub keeps: bool,
    /// Whether the folders of the history are there already.
    pub short: bool,
    /// Whether files can have a second name.
    pub links: bool,
    /// Whether it goes the way of a file that comes to another file system: by a copy.
    pub by_copy: bool,
}

impl Move {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::FileToFree,
        Self::NamedFileToFree,
        Self::FileOverFile,
        Self::NamedFileOverNamedFile,
        Self::FileOverFolder,
        Self::FolderToFree,
        Self::FolderOverFile,
        Self::FolderOverFolder,
        Self::FileOverItself,
    ];

    /// Whether a folder is moved.
    pub fn moves_folder(self) -> bool {
        matches!(self, Self::FolderToFree | Self::FolderOverFile | Self::FolderOverFolder)
    }

    fn has_target(self) -> bool {
        !matches!(self, Self::FileToFree | Self::NamedFileToFree | Self::FolderToFree)
    }

    fn replaces_folder(self) -> bool {
        matches!(self, Self::FileOverFolder | Self::FolderOverFolder)
    }

    fn names(self) -> bool {
        matches!(self, Self::NamedFileToFree | Self::NamedFileOverNamedFile)
    }

    fn on_mismatches(self) -> OnMismatches {
        let on_mismatch = if self.names() { OnMismatch::Undo } else { OnMismatch::Accept };
        OnMismatches { source: on_mismatch, target: on_mismatch }
    }

    /// The file by which the source is judged.
    pub fn source(self) -> &'static str {
        if self.moves_folder() { FROM_INSIDE } else { FROM }
    }

    /// The file by which the target is judged: the one that was there, or else the one that comes.
    pub fn target(self) -> &'static str {
        if self.replaces_folder() || self == Self::FolderToFree { TO_INSIDE } else { TO }
    }

    /// Where the file that moves is in the end.
    pub fn arrives(self) -> &'static str {
        if self.moves_folder() { TO_INSIDE } else { TO }
    }

    /// What the judged file of the target holds before.
    fn before(self) -> Option<&'static str> {
        match self {
            Self::FileOverItself => Some(UPLOAD),
            _ => self.has_target().then_some(BEFORE),
        }
    }
}

impl Moving {
    /// A move on a disk of this tier, from the beginning.
    pub fn of(what: Move, tier: Tier) -> Self {
        Self { what, features: Features::of(tier), keeps: true, short: false, links: true, by_copy: false }
    }

    /// The same where the history of both paths is there.
    pub fn short(what: Move, tier: Tier) -> Self {
        Self { short: true, ..Self::of(what, tier) }
    }

    /// The same with the history off.
    pub fn without_history(self) -> Self {
        Self { keeps: false, ..self }
    }

    /// The same where a file has one name.
    pub fn without_links(self) -> Self {
        Self { links: false, ..self }
    }

    /// The same by a copy, as to another file system.
    pub fn by_copy(self) -> Self {
        Self { by_copy: true, ..self }
    }

    /// Whether the disk is one of this tier.
    pub fn is_on(&self, tier: Tier) -> bool {
        self.tier() == tier
    }

    fn tier(&self) -> Tier {
        self.features.abilities.tier()
    }

    /// A tree on this disk, after whatever recovery it needs.
    pub fn tree(&self, disk: &SimDisk) -> Tree {
        let limits = KeepLimits { age_max: Duration::from_secs(86_400), percent_max: 90 };
        Tree::on(Arc::new(disk.clone())).keeping(self.keeps.then_some(limits))
    }

    /// What moved stands at the target, although nobody may have been told: without a history nobody is owed what it replaced.
    fn disown_if_moved(&self, disk: &SimDisk) {
        if !self.keeps && disk.bytes_at(self.what.arrives()).as_deref() == Some(UPLOAD.as_bytes()) {
            disk.disown(BEFORE.as_bytes());
            disk.disown_what_was_taken_at(|path| path.starts_with("d/"));
        }
    }

    fn asked(&self) -> Asked {
        let arrives = self.what.target() == self.what.arrives();
        let exchanged =
            !self.what.moves_folder() && !self.what.replaces_folder() && self.tier() != Tier::C && self.links;
        Asked {
            path: self.what.target(),
            upload: arrives.then_some(UPLOAD),
            before: self.what.before(),
            conditional: self.what.names() && self.what.has_target(),
            takes_out: !exchanged,
            source: Some(self.what.source()),
            renames_over: self.tier() == Tier::D,
        }
    }

    /// Displaces something from both paths, so that there is a history, and forgets it.
    fn warm_up(&self, disk: &SimDisk, tree: &Tree) {
        for (at, text) in [(TO, "earlier there"), (FROM, "earlier here")] {
            disk.place(at, text);
            let claim = tree.claim(&share_path(at)).expect("claimed").expect("no root");
            let swap = claim.remove(claim.look().expect("seen"), OnMismatch::Accept, disk.now());
            assert!(matches!(swap, Ok(Swap::Done(_))), "nobody is about");
            disk.advance(Duration::from_secs(11));
            if !self.keeps {
                disk.disown(text.as_bytes());
            }
        }
        tree.second_look(disk.now());
        for at in [TO, FROM] {
            disk.forget_newest(at);
        }
    }

    /// What is wrong at the source, and with what has moved.
    fn judge_source(&self, disk: &SimDisk, end: &End) -> Vec<Broken> {
        let mut broken = Vec::new();
        let mut tell = |invariant, found: String| broken.push(Broken { invariant, found });
        let text = |bytes: &Option<Vec<u8>>| {
            bytes.as_ref().map_or("nothing".to_owned(), |bytes| String::from_utf8_lossy(bytes).into_owned())
        };
        let (here, there) = (disk.bytes_at(self.what.source()), disk.bytes_at(self.what.arrives()));
        let is_moved = |bytes: &Option<Vec<u8>>| bytes.as_deref() == Some(UPLOAD.as_bytes());
        let unsure = disk.failed_to_sync_a_folder();
        let state = format!("{} here, {} there after {:?}", text(&here), text(&there), end.answer);
        let done = end.answer == Some(Answer::Done);
        let itself = self.what == Move::FileOverItself;
        let leaves_all = |act: &Act| {
            matches!(act, Act::Find { .. } | Act::OpenOrLeave { .. } | Act::Close { .. } | Act::Chmod { .. })
        };
        if end.acts.iter().all(leaves_all) {
            let moved = here.is_none() && is_moved(&there);
            let stayed = is_moved(&here) && (itself || !is_moved(&there));
            let twice = is_moved(&here) && is_moved(&there) && !self.what.moves_folder();
            let right = match (&end.answer, end.crash) {
                (Some(Answer::Done), _) => moved,
                (None, Some(_)) => moved || stayed || twice,
                (_, Some(_)) => stayed,
                _ if unsure => moved || stayed || twice,
                _ => stayed,
            };
            if !right {
                tell("whole", state.clone());
            }
        }
        let newest = disk.account().newest.get(self.what.source()).cloned().flatten();
        let visible = disk.visible_contents();
        // What is written in place at the one name of a file is at the other, too.
        if end.crash.is_some() || self.what.moves_folder() || itself {
            return broken;
        }
        if matches!(end.answer, Some(Answer::Refused(_))) && here != newest {
            tell("I3 at the source", format!("{state}, {} is the newest", text(&newest)));
        }
        let account = disk.account();
        let owed = |bytes: &&Vec<u8>| account.owed.contains(*bytes) && !account.disowned.contains(*bytes);
        let of_a_stranger = newest.as_ref().filter(|bytes| !is_moved(&Some(bytes.to_vec()))).filter(owed);
        if let Some(newest) = of_a_stranger
            && done
            && !visible.iter().any(|(_, bytes)| bytes == newest)
        {
            tell("hidden", format!("{state}, {} is the newest", text(&Some(newest.clone()))));
        }
        broken
    }
}

/// Asks the tree for a move, as the share does.
pub fn relocate(
    tree: &Tree,
    disk: &SimDisk,
    (from, to): (&SharePath, &SharePath),
    (source, target): (Option<&str>, Option<&str>),
    by_copy: bool,
) -> std::result::Result<(), Answer> {
    let on_mismatch = |named: Option<&str>| if named.is_some() { OnMismatch::Undo } else { OnMismatch::Accept };
    let on_mismatches = OnMismatches { source: on_mismatch(source), target: on_mismatch(target) };
    for _ in 0..LOOKS_MAX {
        let mut copy = if by_copy { Some(stage_copy(tree, from, to)?) } else { None };
        let pair = tree.claim_two(from, to).map_err(fault)?.expect("not the share itself");
        let (at, there) = look(&pair).map_err(fault)?;
        let refused = |why: &str| Err(Answer::Refused(why.to_owned()));
        if matches!(at, Seen::Nothing) {
            return refused("404");
        }
        for (seen, named) in [(&at, source), (&there, target)] {
            match (seen, named) {
                (Seen::Busy(_), _) => return refused("423"),
                (Seen::File(file), Some(named)) if content(disk, &file.file).map_err(fault)? != named.as_bytes() => {
                    return refused("412");
                }
                (Seen::Nothing | Seen::Collection(_), Some(_)) => return refused("412"),
                _ => {}
            }
        }
        let moved = match &mut copy {
            Some(copy) => pair.relocate_copy(at, there, copy, on_mismatches, disk.now()),
            None => pair.relocate(at, there, on_mismatches, disk.now()),
        };
        match moved.map_err(fault)? {
            Swap::Done(_) => return Ok(()),
            Swap::Lost => {}
            Swap::Busy => return refused("423"),
            Swap::Spoilt => return refused("409"),
        }
    }
    Err(Answer::Refused("409".to_owned()))
}

fn stage_copy(tree: &Tree, from: &SharePath, to: &SharePath) -> std::result::Result<StagedCopy, Answer> {
    let site = tree.site(to).map_err(fault)?.expect("not the share itself");
    match tree.stage_copy(from, &site, &CopyWish::everything(Extent::Tree)).map_err(fault)? {
        Copying::Ready(copy) => Ok(*copy),
        Copying::Busy => Err(Answer::Refused("423".to_owned())),
        Copying::Nothing | Copying::Link | Copying::Special => Err(Answer::Refused("404".to_owned())),
    }
}

fn fault(error: DiskError) -> Answer {
    match error.cause {
        Cause::NotFound if error.operation == "open_dir" => Answer::Refused("409".to_owned()),
        _ => Answer::Fault(error.to_string()),
    }
}

fn look(pair: &Pair<'_>) -> std::result::Result<(Seen, Seen), DiskError> {
    Ok((pair.source().look()?, pair.target().look()?))
}

fn content(disk: &SimDisk, file: &File) -> std::result::Result<Vec<u8>, DiskError> {
    let mut bytes = vec![0; 64];
    let count = disk.read(file, 0, &mut bytes)?;
    bytes.truncate(count);
    Ok(bytes)
}

impl Story for Moving {
    type Server = Tree;

    fn name(&self) -> String {
        let history = if self.keeps { "" } else { ", no history" };
        let links = if self.links { "" } else { ", no links" };
        let by_copy = if self.by_copy { ", by a copy" } else { "" };
        format!("{:?} on tier {}{history}{links}{by_copy}", self.what, self.tier())
    }

    fn set_up(&self) -> (SimDisk, Tree) {
        let disk = SimDisk::new(self.features.clone());
        disk.place_folder("d");
        disk.place_folder("s");
        let tree = self.tree(&disk);
        if self.short {
            self.warm_up(&disk, &tree);
        }
        disk.place(self.what.source(), UPLOAD);
        disk.is_to_be_moved(self.what.source());
        if self.what == Move::FileOverItself {
            disk.act(&Act::link(FROM, TO));
        } else if self.what.has_target() {
            disk.place(self.what.target(), BEFORE);
        }
        disk.set_links(self.links);
        (disk, tree)
    }

    fn start(&self, disk: &SimDisk) -> Tree {
        let tree = self.tree(disk);
        tree.recover(disk.now()).expect("nothing fails at the start");
        self.disown_if_moved(disk);
        tree
    }

    fn operate(&self, disk: &SimDisk, tree: &Tree) -> Answer {
        let named = self.what.names();
        let target = (named && self.what.has_target()).then_some(BEFORE);
        let paths = (&share_path(FROM), &share_path(TO));
        match relocate(tree, disk, paths, (named.then_some(UPLOAD), target), self.by_copy) {
            Ok(()) => Answer::Done,
            Err(answer) => answer,
        }
    }

    fn look_again(&self, disk: &SimDisk, tree: &Tree) {
        tree.second_look(disk.now());
    }

    fn owe(&self, disk: &SimDisk) {
        if !self.keeps {
            // Nobody is owed what a client replaced while the history is off.
            disk.disown(BEFORE.as_bytes());
            disk.disown_what_was_taken_at(|path| path.starts_with("d/"));
        }
    }

    fn judge(&self, disk: &SimDisk, end: &End) -> Vec<Broken> {
        if matches!(end.answer, Some(Answer::Fault(_))) {
            self.disown_if_moved(disk);
        }
        let mut broken = if self.what == Move::FileOverItself { vec![] } else { judge(disk, &self.asked(), end) };
        broken.extend(self.judge_source(disk, end));
        broken
    }

    fn is_known(&self, broken: &Broken, end: &End) -> bool {
        let in_place = end.acts.iter().any(|act| matches!(act, Act::Write { .. } | Act::WriteAndClose { .. }));
        match (broken.invariant, self.tier()) {
            ("carried" | "I3p" | "raised", _) => end.acts.len() + usize::from(end.failed) >= 2,
            // One replaces the source, and another removes it from the target before the source's own name is taken away: it is kept as a
            // version of the source, since nobody else has it any more.
            ("hidden", _) => end.acts.len() >= 2,
            ("I1s", Tier::B | Tier::C) | ("I3", Tier::B) => in_place,
            ("I1s", Tier::A) => in_place && self.what.replaces_folder(),
            // Where a second name is refused, the long way is gone. A copy that is taken back leaves its name for an instant.
            ("I8", _) => self.asked().takes_out || self.by_copy || end.failed,
            _ => false,
        }
    }
}
