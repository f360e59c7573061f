//! Looking and judging before a change: the loop of every change, and what a look has to find. In which order the reasons against a change are told
//! is in [`crate::model::verdict`].
//!
//! What is judged before an upload is judged again here under the mutex, in the instant before the swap.

use crate::model::path::SharePath;
use crate::model::verdict::{Change, Deed, Found};
use crate::store::local::commit::{Changed, Claim, Seen, Site, Swap};

use super::evidence::{AtName, Halt, Moment, found};
use super::lock_gate::ChangeUnderWay;
use super::outcome::{Forbidden, Outcome, Refusal};
use super::request_context::RequestContext;
use super::room::A_NAME;
use super::shared_folder::Share;

/// How often a change looks again before it gives up.
pub(super) const LOOKS_MAX: usize = 16;

/// How often large files are hashed for one change, which keep changing meanwhile.
pub(super) const HASHINGS_MAX: usize = 3;

/// A change of one name, as it is asked for.
#[derive(Clone, Copy)]
pub(super) struct Task<'a> {
    deed: Deed,
    /// Where what comes to the name is now: it may keep its own name, whatever that is.
    comes_from: Option<&'a SharePath>,
    /// Where the name was found a moment ago.
    found_at: Option<&'a Site>,
    /// Whether a folder comes there, with all that is in it.
    brings_folder: bool,
}

/// What a look found and the headers and locks allow to be changed, for as long as this is held.
pub(super) struct Looked<'a> {
    pub(super) claim: Claim<'a>,
    pub(super) seen: Seen,
    _under_way: ChangeUnderWay<'a>,
}

impl From<Deed> for Task<'_> {
    fn from(deed: Deed) -> Self {
        Self { deed, comes_from: None, found_at: None, brings_folder: false }
    }
}

impl<'a> Task<'a> {
    /// What is at `from` is copied there.
    pub(super) fn copy_of(from: &'a SharePath) -> Self {
        Self { comes_from: Some(from), ..Self::from(Deed::Copy) }
    }

    /// What is at `from` is moved there.
    pub(super) fn move_of(from: &'a SharePath) -> Self {
        Self { comes_from: Some(from), ..Self::from(Deed::MoveOnto) }
    }

    /// The same, of a folder or not.
    pub(super) fn bringing(self, brings_folder: bool) -> Self {
        Self { brings_folder, ..self }
    }

    /// The same, of a name that was found there a moment ago: its folder need not be looked for again.
    pub(super) fn found_at(self, site: &'a Site) -> Self {
        Self { found_at: Some(site), ..self }
    }

    /// The change of what was seen at a site.
    pub(super) fn at(self, site: &Site, seen: &Seen) -> Change {
        let is_its_own = |from: &SharePath| from.split().is_some_and(|(_, own)| own == site.name);
        let is_fit_name = site.name.may_be_made() || self.comes_from.is_some_and(is_its_own);
        let (is_mount_point, brings_folder) = (seen.is_mount_point(), self.brings_folder);
        Change { deed: self.deed, found: found(seen), is_mount_point, is_fit_name, brings_folder }
    }
}

impl Share {
    /// Judges whether the file system can hold a name that is to be made. Where it is not known to hold every name, an odd one is tried.
    pub(super) fn judge_new_name(&self, site: &Site) -> Outcome<()> {
        if !site.name.may_be_made() {
            return Err(Refusal::BadName.into());
        }
        self.judge_held(site)
    }

    /// As [`Share::judge_new_name`], for the name of something that there has been already.
    pub(super) fn judge_held(&self, site: &Site) -> Outcome<()> {
        Ok(self.tree.can_hold(site)?)
    }

    /// A folder that other file systems are mounted in does not go: they would be carried along.
    pub(super) fn judge_mounts(&self, site: &Site) -> Outcome<()> {
        if self.tree.holds_mounts(site)? { Err(Refusal::NotAllowed(Forbidden::HoldsMounts).into()) } else { Ok(()) }
    }

    /// The loop of every change: look, decide, swap; if the swap lost, look again.
    pub(super) fn look_until_done<'a, 't, T>(
        &'a self,
        path: &SharePath,
        request: &RequestContext,
        task: impl Into<Task<'t>>,
        mut swap: impl FnMut(&Claim<'a>, Seen) -> Outcome<(Swap<'a>, T)>,
    ) -> Outcome<(Changed<'a>, T)> {
        let task = task.into();
        let mut made_room = false;
        for _ in 0..LOOKS_MAX {
            let Looked { claim, seen, _under_way } = self.look_and_judge(path, request, task)?;
            match swap(&claim, seen) {
                Ok((Swap::Done(changed), also)) => return Ok((changed, also)),
                Ok((Swap::Lost, _)) => {}
                Ok((Swap::Busy, _)) => return Err(Refusal::OpenForWriting.into()),
                Ok((Swap::Spoilt, _)) => return Err(Refusal::ChangedMeanwhile.into()),
                Err(stop) if let (false, Some(full)) = (made_room, stop.full()) => {
                    let at = claim.site().parent.clone();
                    drop((_under_way, claim));
                    made_room = true;
                    if !self.tree.history().make_room(&at, A_NAME, full, request.now) {
                        return Err(stop);
                    }
                }
                Err(stop) => return Err(stop),
            }
        }
        Err(Refusal::ChangedMeanwhile.into())
    }

    /// Takes the mutex of a path, looks, and judges.
    pub(super) fn look_and_judge<'a, 't>(
        &'a self,
        path: &SharePath,
        request: &RequestContext,
        task: impl Into<Task<'t>>,
    ) -> Outcome<Looked<'a>> {
        let task = task.into();
        for _ in 0..=HASHINGS_MAX {
            let claim = match task.found_at.filter(|site| site.path == *path) {
                Some(site) => self.tree.claim_site(site),
                None => self.tree.claim(path),
            };
            let Some(mut claim) = claim.map_err(|error| self.stop(error, Refusal::NoParent))? else {
                return Err(Refusal::NotAllowed(Forbidden::Root).into());
            };
            claim.act_for(request.by.clone());
            let seen = claim.look()?;
            let under_way = self.locks.begin_change();
            let site = claim.site();
            let change = task.at(site, &seen);
            let (path, site, seen_there) = (&site.path, Some(site), Some(&seen));
            let name = AtName { change, path, site, seen: seen_there, request, identity: None };
            match self.judge(vec![name], Moment::Commit) {
                Ok(inside) => {
                    inside.into_iter().for_each(|inside| claim.require_inside(inside));
                    return Ok(Looked { claim, seen, _under_way: under_way });
                }
                Err(Halt::HashFirst(files)) => {
                    drop((under_way, claim));
                    self.hash_first(&files, request.now)?;
                }
                Err(Halt::Stop(stop)) => return Err(stop),
            }
        }
        Err(Refusal::ChangedMeanwhile.into())
    }

    /// Judges a change of the share's own folder, which is in no other.
    pub(super) fn judge_root(&self, request: &RequestContext, deed: Deed) -> Outcome<ChangeUnderWay<'_>> {
        let change =
            Change { deed, found: Found::Collection, is_mount_point: false, is_fit_name: true, brings_folder: false };
        let path = &SharePath::root();
        for _ in 0..=HASHINGS_MAX {
            let under_way = self.locks.begin_change();
            let name = AtName { change, path, site: None, seen: None, request, identity: None };
            match self.judge(vec![name], Moment::Commit) {
                Ok(_) => return Ok(under_way),
                Err(Halt::HashFirst(files)) => {
                    drop(under_way);
                    self.hash_first(&files, request.now)?;
                }
                Err(Halt::Stop(stop)) => return Err(stop),
            }
        }
        Err(Refusal::ChangedMeanwhile.into())
    }
}
