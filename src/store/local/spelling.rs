//! One file, one path: whatever spelling or link a client came by, everything that is kept by path (locks, properties, versions, uploads in
//! flight) goes by the path that the disk itself has.
//!
//! What a person reads as one name may be written in more than one way: composed or decomposed (NFC and NFD), in capitals where the file
//! system makes no difference, by a short name; and where links are followed, one folder has several paths. Each component is found as it
//! stands in its folder, and each link in its place is followed. Noclobber's own folder is known by what it is, and not by its name alone.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::ops::ControlFlow;

use unicode_normalization::UnicodeNormalization as _;

use crate::model::path::{Name, RESERVED, SharePath};
use crate::model::stamp::FileId;

use super::disk::{Disk, Folding};
use crate::store::disk_error::{Cause, DiskError, Result};
use crate::store::handle::Dir;
use crate::store::status::{Kind, Status};

/// How many links one path may lead over (the kernel has the same bound, path_resolution(7)).
const LINKS_MAX: usize = 40;

/// Whether a link at the end of a path is followed: it is to read, and never to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastLink {
    /// The path is that of what it leads to.
    Followed,
    /// The path is that of the link itself.
    Itself,
}

/// Which folder something is, whatever leads to it: its device and its inode.
pub(super) type FolderId = (u64, FileId);

/// The path that the disk has for what `path` leads to, as far as that is there; what is not there keeps the spelling that was asked for.
/// [`Cause::Reserved`] if it leads into noclobber's own folder. `own` gives the folders of noclobber's own on all the file systems of the share.
pub(super) fn spelled<'p>(
    disk: &dyn Disk,
    root: &Dir,
    path: &'p SharePath,
    last: LastLink,
    own: impl Fn() -> Result<Vec<FolderId>>,
) -> Result<Cow<'p, SharePath>> {
    if path.is_root() || disk.is_the_only_path(root, path)? {
        return Ok(Cow::Borrowed(path));
    }
    let top = disk.dir_status(root)?;
    let (dir, found, todo) = (root.clone(), SharePath::root(), path.names().map(SpellingStep::Into).collect());
    let walk = SpellingWalk { disk, root, dir, mount: top.mount, found, todo, links: 0 };
    // What leads out of the share is not there, whatever it is called.
    Ok(walk.end(last, own)?.map_or(Cow::Borrowed(path), Cow::Owned))
}

/// A path that is followed a step at a time.
struct SpellingWalk<'d> {
    disk: &'d dyn Disk,
    root: &'d Dir,
    /// Where it has come to.
    dir: Dir,
    /// The mount it lies on.
    mount: u64,
    /// The path of that.
    found: SharePath,
    todo: VecDeque<SpellingStep>,
    links: usize,
}

/// One step of a path.
enum SpellingStep {
    Into(Name),
    /// To the folder above, which only a link can ask for.
    Up,
}

impl SpellingWalk<'_> {
    /// Where it comes to; `None` if it leads out of the share.
    fn end(mut self, last: LastLink, own: impl Fn() -> Result<Vec<FolderId>>) -> Result<Option<SharePath>> {
        while let Some(step) = self.todo.pop_front() {
            let SpellingStep::Into(name) = step else {
                let Some((above, _)) = self.found.split() else { return Ok(None) };
                self.go_to(above)?;
                continue;
            };
            let (name, there) = spelling_in(self.disk, &self.dir, name)?;
            let is_last = self.todo.is_empty();
            if name.is_reserved() || there.is_some_and(|status| status.kind == Kind::Dir && self.is_own(&status, &own))
            {
                return Err(reserved(&name));
            }
            match there {
                Some(status) if status.kind == Kind::Dir && !is_last => {
                    match self.disk.open_dir(&self.dir, name.as_bytes()) {
                        Ok(dir) => self.dir = dir,
                        // One may pass through it, and not see what is in it.
                        Err(error) if error.cause == Cause::NotPermitted => return self.with_the_rest(&name).map(Some),
                        Err(error) => return Err(error),
                    }
                    self.mount = status.mount;
                    self.found = self.found.join(&name);
                }
                Some(status) if status.kind == Kind::Link && (!is_last || last == LastLink::Followed) => {
                    match self.disk.link_target(&self.dir, &name)? {
                        Some(target) if self.follow(&target) => {}
                        _ => return self.with_the_rest(&name).map(Some),
                    }
                }
                _ => return self.with_the_rest(&name).map(Some),
            }
        }
        Ok(Some(self.found.clone()))
    }

    /// Here it ends, or leads nowhere. What is not there keeps the spelling that was asked for.
    fn with_the_rest(&mut self, name: &Name) -> Result<SharePath> {
        let mut path = self.found.join(name);
        for step in self.todo.drain(..) {
            path = match step {
                SpellingStep::Into(name) if name.is_reserved() => return Err(reserved(&name)),
                SpellingStep::Into(name) => path.join(&name),
                SpellingStep::Up => path.split().map_or_else(SharePath::root, |(above, _)| above),
            };
        }
        Ok(path)
    }

    /// Goes on where a link leads; says whether that can be in the share.
    fn follow(&mut self, target: &[u8]) -> bool {
        self.links += 1;
        let steps: Option<Vec<_>> = target
            .split(|byte| *byte == b'/')
            .filter(|segment| !matches!(*segment, b"" | b"."))
            .map(|segment| {
                if segment == b".." { Some(SpellingStep::Up) } else { Name::new(segment).ok().map(SpellingStep::Into) }
            })
            .collect();
        let Some(steps) = steps.filter(|_| !target.starts_with(b"/") && self.links <= LINKS_MAX) else { return false };
        steps.into_iter().rev().for_each(|step| self.todo.push_front(step));
        true
    }

    fn go_to(&mut self, folder: SharePath) -> Result<()> {
        self.dir = self.disk.open_dir(self.root, folder.as_bytes())?;
        self.mount = self.disk.dir_status(&self.dir)?.mount;
        self.found = folder;
        Ok(())
    }

    /// Whether a folder is noclobber's own, by whatever name: a short one, or as the place where it is mounted once more.
    fn is_own(&self, folder: &Status, own: impl Fn() -> Result<Vec<FolderId>>) -> bool {
        let id = |status: &Status| (status.device, status.stamp.id);
        let own_name = Name::new(RESERVED.as_bytes()).expect("it is a name");
        let is_here =
            || self.disk.look(&self.dir, &own_name).is_ok_and(|own| own.is_some_and(|own| id(&own) == id(folder)));
        let is_mounted = || folder.mount != self.mount && own().is_ok_and(|own| own.contains(&id(folder)));
        !self.disk.has_one_path(folder) && (is_here() || is_mounted())
    }
}

/// A name as it stands in its folder, and what has it.
fn spelling_in(disk: &dyn Disk, dir: &Dir, name: Name) -> Result<(Name, Option<Status>)> {
    let forms: Vec<_> = std::iter::once(name.clone()).chain(normal_forms(&name)).collect();
    for form in forms {
        if let Some(status) = look(disk.look(dir, &form))? {
            return Ok(match other_name(disk, dir, &form, &status)? {
                Some(other) => {
                    let status = disk.look(dir, &other)?;
                    (other, status)
                }
                None => (form, Some(status)),
            });
        }
    }
    Ok((name, None))
}

/// The name that something stands by in its folder, if that is another than the one it was found by.
pub(super) fn other_name(disk: &dyn Disk, dir: &Dir, name: &Name, there: &Status) -> Result<Option<Name>> {
    let may_be_another = match disk.folding(dir) {
        Folding::Never => false,
        Folding::Always => true,
        Folding::Perhaps if !name.as_bytes().is_ascii() => true,
        Folding::Perhaps => match in_other_case(name) {
            // What exFAT through FUSE remembers of a name for a second may be gone, and is no answer: the folder itself tells.
            Some(other) => look(disk.look(dir, &other)).map_or(true, |there| there.is_some()),
            None => false,
        },
    };
    if !may_be_another {
        return Ok(None);
    }
    let (mut is_exact, mut alike) = (false, Vec::new());
    let folded = |name: &Name| name.folded(<[u8]>::to_vec);
    let wanted = folded(name);
    disk.names(dir, &mut |other| {
        is_exact = other == *name;
        if !is_exact && folded(&other) == wanted {
            alike.push(other);
        }
        if is_exact { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if is_exact || alike.len() == 1 {
        return Ok(alike.pop().filter(|_| !is_exact));
    }
    // Names that are taken for one in a way that is not known here.
    let mut same = None;
    disk.list(dir, &mut |entry| {
        let is_same = (entry.status.device, entry.status.stamp.id) == (there.device, there.stamp.id);
        same = is_same.then_some(entry.name);
        if is_same { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(same)
}

/// The name with capitals for small letters and the other way round, if it has any.
fn in_other_case(name: &Name) -> Option<Name> {
    let swap = |byte: &u8| if byte.is_ascii_alphabetic() { byte ^ 0x20 } else { *byte };
    let other: Box<[u8]> = name.as_bytes().iter().map(swap).collect();
    Name::new(other).ok().filter(|other| other != name)
}

/// The other ways to compose the letters of a name.
pub(super) fn normal_forms(name: &Name) -> impl Iterator<Item = Name> {
    let text = str::from_utf8(name.as_bytes()).ok().filter(|text| !text.is_ascii());
    let forms = text.map_or(Vec::new(), |text| vec![text.nfc().collect::<String>(), text.nfd().collect()]);
    forms
        .into_iter()
        .filter_map(|form| Name::new(form.into_bytes()).ok())
        .filter(|form| form != name)
        .collect::<Vec<_>>()
        .into_iter()
}

/// What cannot be a name there is nothing there.
pub(super) fn look(looked: Result<Option<Status>>) -> Result<Option<Status>> {
    match looked {
        Err(error)
            if matches!(error.cause, Cause::NotFound | Cause::NotADirectory | Cause::Escapes | Cause::LongName) =>
        {
            Ok(None)
        }
        looked => looked,
    }
}

fn reserved(name: &Name) -> DiskError {
    let message = "noclobber's own folder".to_owned();
    DiskError { operation: "open", name: name.to_text().into_owned(), cause: Cause::Reserved, message }
}
