//! Telling a page: what is there is looked at now, so that it is no older than the token that is told at the end.

use std::ops::ControlFlow;

use crate::model::path::SharePath;
use crate::model::rights::Rights;
use crate::model::sync_token::{SyncPlace, SyncToken};
use crate::store::status::Kind;

use super::super::listing::{ListedMember, Tags};
use super::super::outcome::Outcome;
use super::super::request_context::RequestContext;
use super::super::shared_folder::Share;
use super::super::walk::WalkReach;
use super::ordered::{OrderedWalk, left_out};
use super::page::{Below, SyncPage, Told};

/// What a client is told of a path.
#[derive(Debug)]
pub enum SyncMember {
    /// This is there.
    There(ListedMember),
    /// A link leads to a folder: what is in that is not told here.
    NotEntered,
    /// A folder, with all that was in it, or a file, is not there any more.
    Gone {
        /// Whether it was a folder.
        is_folder: bool,
    },
}

/// What was told.
#[derive(Clone, Debug)]
pub struct Synced {
    /// With what to ask for what comes next.
    pub token: SyncToken,
    /// Whether there is more already.
    pub goes_on: bool,
}

/// Called with the path by which the client comes to a member, until it breaks.
type Each<'a> = &'a mut dyn FnMut(&SharePath, SyncMember) -> Outcome<ControlFlow<()>>;

impl Share {
    /// Tells a page.
    pub fn tell_sync(&self, page: &SyncPage, tags: Tags, request: &RequestContext, each: Each<'_>) -> Outcome<Synced> {
        request.permissions.look_again();
        let token = |cursor, place| SyncToken { cursor, view: page.view, place };
        let whole = Synced { token: token(page.cursor, page.end.clone()), goes_on: page.goes_on };
        for (place, told) in &page.told {
            let path = page.as_asked(place);
            let goes_on = match told {
                Told::Gone { is_folder } if may_be_told([&path, place], request) => {
                    each(&path, SyncMember::Gone { is_folder: *is_folder })?
                }
                Told::Gone { .. } => ControlFlow::Continue(()),
                Told::There => self.tell_what_is_there(page, &path, place, tags, request, each)?,
            };
            if goes_on.is_break() {
                return Ok(whole);
            }
        }
        let Some(Below { top, after, of }) = &page.below else { return Ok(whole) };
        let (mut last, mut left) = (None, page.wish.count_max.saturating_sub(page.told.len()));
        let top = page.as_asked(top);
        let walk = OrderedWalk { share: self, top, reach: page.wish.reach, tags, request };
        let after = after.as_ref().map(|after| page.as_asked(after));
        let ended = walk.go(after.as_ref(), &mut |path, member| {
            if left == 0 {
                return Ok(ControlFlow::Break(()));
            }
            left -= 1;
            last = Some(path.clone());
            each(path, page.shown(member))
        })?;
        let Some(last) = last.filter(|_| ended.is_break()) else { return Ok(whole) };
        let last = page.as_on_disk(&last);
        let token = match of {
            None => token(page.cursor, SyncPlace::Members(last)),
            Some((number, step)) => {
                let mut cursor = page.cursor;
                cursor.number = *number;
                token(cursor, SyncPlace::Below(*step, last))
            }
        };
        Ok(Synced { token, goes_on: true })
    }

    fn tell_what_is_there(
        &self,
        page: &SyncPage,
        path: &SharePath,
        place: &SharePath,
        tags: Tags,
        request: &RequestContext,
        each: Each<'_>,
    ) -> Outcome<ControlFlow<()>> {
        match left_out(self.member(path, tags, request))?.flatten() {
            Some(member) => each(path, page.shown(member)),
            None => {
                // That it is gone is told when it is noticed.
                self.to_look_at.path(place.clone(), None);
                Ok(ControlFlow::Continue(()))
            }
        }
    }
}

impl SyncPage {
    fn shown(&self, member: ListedMember) -> SyncMember {
        let is_entered = self.wish.reach == WalkReach::Members || member.kind != Kind::Dir || member.linked.is_none();
        if is_entered { SyncMember::There(member) } else { SyncMember::NotEntered }
    }

    /// The path by which the client comes to what is at a place.
    fn as_asked(&self, place: &SharePath) -> SharePath {
        place.moved(&self.place, &self.wish.folder)
    }

    fn as_on_disk(&self, path: &SharePath) -> SharePath {
        path.moved(&self.wish.folder, &self.place)
    }
}

fn may_be_told(paths: [&SharePath; 2], request: &RequestContext) -> bool {
    paths.into_iter().all(|path| request.permissions.at(path).contains(Rights::LIST))
}
