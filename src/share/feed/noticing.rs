//! Noticing what others have changed: a look at a path, compared with what was told of it.
//!
//! The look takes the mutex of the name, so that no request changes it meanwhile; and if a folder above has moved or gone since, it is taken
//! again.

use std::sync::Arc;

use crate::model::author::Author;
use crate::model::change::{Before, Change, ChangeKind, Resource};
use crate::model::path::SharePath;
use crate::model::stamp::{Stamp, Timestamp};
use crate::model::tag::EntityTag;
use crate::store::catalog::changes::Known;
use crate::store::catalog::known_members::KnownMember;
use crate::store::disk_error::{Cause, DiskError, Result};
use crate::store::local::commit::{Claim, Site};
use crate::store::status::{Kind, Status};

use super::super::hints::Hint;
use super::super::shared_folder::Share;
use super::super::to_look_at::By;
use super::super::wakers::ServedFolder;

/// How often a look is taken again.
const LOOKS_MAX: usize = 16;

/// What is to be done about what a look finds.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    /// Who is thought to have changed it.
    pub(super) by: By,
    /// What it is to find something where nothing was known.
    pub(super) new_is: ChangeKind,
    /// Whether what is found where nothing was known is not told.
    pub(super) is_quiet: bool,
}

impl Finding {
    pub(super) fn by(by: By) -> Self {
        Self { by, new_is: ChangeKind::Created, is_quiet: false }
    }
}

/// What a look has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing that is to be looked into.
    Nothing,
    /// A folder that was known.
    Folder,
    /// One that was not.
    NewFolder,
}

/// What a look has found, and what holds it still.
struct Look<'a> {
    claim: Option<Claim<'a>>,
    there: Option<Status>,
    /// Whether a link leads there.
    is_linked: bool,
}

impl Share {
    /// Has looked at what a hint speaks of.
    pub(in crate::share) fn look_at_hint(&self, hint: &Hint) {
        let by = Some(Arc::new(Author::Program));
        match hint {
            Hint::Path(path) => self.to_look_at.path(path.clone(), by),
            Hint::Subtree(path) => self.to_look_at.below(path.clone(), by),
            Hint::Anywhere => self.to_look_at.below(SharePath::root(), by),
        }
    }

    /// Tells that a program has written into a file after that was displaced, and where that is now.
    pub(in crate::share) fn notice_conflict_copy(&self, copy: &SharePath, now: Timestamp) {
        let by = Some(Arc::new(Author::Program));
        let finding = Finding { by, new_is: ChangeKind::ConflictCopy, is_quiet: false };
        if self.notice(copy, &finding, now).is_err() {
            self.look_at_hint(&Hint::Path(copy.clone()));
        }
    }

    /// Looks at a path, and tells what is not as it was told.
    pub(super) fn notice(&self, path: &SharePath, finding: &Finding, now: Timestamp) -> Result<Found> {
        if path.is_root() {
            return Ok(Found::Folder);
        }
        // What is in a folder that is not there any more goes with it.
        let _ = self.folders_above_are_told(path, now);
        self.notice_by(path, finding, now, || self.tree.claim(path))
    }

    /// As [`Share::notice`], of a name in a folder that is open already.
    pub(super) fn notice_in(&self, site: &Site, finding: &Finding, now: Timestamp) -> Result<Found> {
        self.notice_by(&site.path, finding, now, || self.tree.claim_site(site))
    }

    fn notice_by<'a>(
        &'a self,
        path: &SharePath,
        finding: &Finding,
        now: Timestamp,
        claim: impl Fn() -> Result<Option<Claim<'a>>>,
    ) -> Result<Found> {
        for _ in 0..LOOKS_MAX {
            let since = self.changes.tree_changes();
            let look = self.look_at(
                path,
                match claim() {
                    Err(error) if is_nowhere(error.cause) => None,
                    claim => claim?,
                },
            )?;
            let path = look.claim.as_ref().map_or(path, |claim| &claim.site().path);
            let (known, _) = self.changes.known(path)?;
            let found = match (look.there.map(|status| status.kind), &known) {
                // What is in it is told where it is.
                _ if look.is_linked => Found::Nothing,
                (Some(Kind::Dir), Some(KnownMember::Folder)) => Found::Folder,
                (Some(Kind::Dir), _) => Found::NewFolder,
                _ => Found::Nothing,
            };
            let before = Before::known(known.as_ref());
            let Some((kind, resource, then)) = self.differs(path, known, &look, finding, now) else { return Ok(found) };
            let change = kind.map(|kind| {
                let (path, by) = (path.clone(), finding.by.clone());
                Change { at: now, path, kind, resource, before, displaced: None, by }
            });
            let is_told = change.is_some();
            if look.there.is_none() {
                self.is_still_served()?;
            }
            if self.changes.add_if_no_tree_changed(since, change, path, then) {
                drop(look);
                if is_told {
                    self.wakers.wake();
                }
                return Ok(found);
            }
        }
        Ok(Found::NewFolder)
    }

    /// Whether the folder that is served is still the one that the feed tells of. Where none is, or another, nothing in it has been deleted.
    pub(super) fn is_still_served(&self) -> Result<()> {
        let now = self.served_now()?;
        let served = self.feed_of.lock();
        if served.is_none_or(|served| served == now) {
            return Ok(());
        }
        let message = "another folder is served".to_owned();
        Err(DiskError { operation: "look at", name: String::new(), cause: Cause::NotFound, message })
    }

    /// Which folder is served now.
    pub(super) fn served_now(&self) -> Result<ServedFolder> {
        let status = self.tree.folder_status(&self.tree.top_afresh()?)?;
        Ok(ServedFolder { id: status.stamp.id, device: status.device })
    }

    /// What is at a name whose mutex is held: what a listing would show there.
    fn look_at<'a>(&'a self, path: &SharePath, claim: Option<Claim<'a>>) -> Result<Look<'a>> {
        let Some(claim) = claim else { return Ok(Look { claim: None, there: None, is_linked: false }) };
        let Site { parent, name, mount, .. } = claim.site();
        let itself = match self.tree.look_in(parent, name) {
            Err(error) if is_nowhere(error.cause) => None,
            looked => looked?,
        };
        // A name that cannot be looked at because its folder is gone is not there.
        let there = match itself {
            Some(status) if status.kind == Kind::Link || status.mount != *mount => {
                self.spelled_to_read(path).ok().and_then(|_| self.status_of(path).ok().flatten())
            }
            there => there,
        };
        let there = there.filter(|status| matches!(status.kind, Kind::File | Kind::Dir));
        let is_linked = itself.is_some_and(|status| status.kind == Kind::Link);
        Ok(Look { claim: Some(claim), there, is_linked })
    }

    /// In what a look differs from what is known, and what is known from then on. `None` if it does not; no kind if there is nothing to tell.
    fn differs(
        &self,
        path: &SharePath,
        known: Option<KnownMember>,
        look: &Look<'_>,
        finding: &Finding,
        now: Timestamp,
    ) -> Option<(Option<ChangeKind>, Resource, Known)> {
        let new_is = || (!finding.is_quiet).then(|| finding.new_is.clone());
        match (known, look.there) {
            (None, None) => None,
            (Some(KnownMember::Folder), Some(status)) if status.kind == Kind::Dir => None,
            (Some(KnownMember::File { .. }), None) => {
                Some((Some(ChangeKind::Deleted), Resource::GONE_FILE, Known::NoFile))
            }
            (Some(KnownMember::Folder), None) => Some((Some(ChangeKind::Deleted), Resource::Folder, Known::NoFolder)),
            (known, Some(status)) if status.kind == Kind::Dir => {
                let kind = if known.is_none() { new_is() } else { Some(ChangeKind::Replaced) };
                Some((kind, Resource::Folder, Known::Member(KnownMember::Folder)))
            }
            (None, Some(status)) if finding.is_quiet => {
                let member = self.known_file(path, status.stamp, None, now);
                Some((None, Resource::GONE_FILE, Known::Member(member)))
            }
            (None, Some(status)) => Some(self.found_file(path, new_is(), &status, now)),
            (Some(KnownMember::Folder), Some(status)) => {
                let (kind, resource, then) = self.found_file(path, Some(ChangeKind::Replaced), &status, now);
                let Known::Member(member) = then else { return Some((kind, resource, then)) };
                Some((kind, resource, Known::InPlaceOfFolder(member)))
            }
            (Some(KnownMember::File { stamp, is_settled, .. }), Some(status))
                if is_settled && stamp == status.stamp =>
            {
                None
            }
            (Some(KnownMember::File { stamp, tag, .. }), Some(status)) => {
                let (_, resource, then) = self.found_file(path, None, &status, now);
                let kind = self.became(&stamp, tag.as_ref(), &status.stamp, &resource);
                Some((kind, resource, then))
            }
        }
    }

    /// What has become of a file that was told in one state, and is in another; nothing if that is the same version.
    fn became(&self, before: &Stamp, told: Option<&EntityTag>, now: &Stamp, there: &Resource) -> Option<ChangeKind> {
        let Resource::File { tag, .. } = there else { return Some(ChangeKind::Replaced) };
        let is_same = before.size == now.size
            && match (told, tag) {
                (Some(told), Some(tag)) => told.strong_eq(tag),
                _ => false,
            };
        match is_same {
            false => Some(ChangeKind::Replaced),
            true if before.mtime != now.mtime => Some(ChangeKind::Properties),
            true => None,
        }
    }

    fn found_file(
        &self,
        path: &SharePath,
        kind: Option<ChangeKind>,
        status: &Status,
        now: Timestamp,
    ) -> (Option<ChangeKind>, Resource, Known) {
        // Which tag it has is chosen when it is shown, and this shows it to nobody yet.
        let tag = self.recall_tag(&status.stamp);
        let member = self.known_file(path, status.stamp, tag.clone(), now);
        (kind, Resource::File { size: Some(status.stamp.size), tag }, Known::Member(member))
    }
}

/// Whether nothing can be where a look ended so.
pub(super) fn is_nowhere(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::NotFound | Cause::NotADirectory | Cause::Escapes | Cause::Reserved | Cause::LongName | Cause::BadName
    )
}
