//! Whether a token in an `If` header tells the present state of a folder (RFC 6578 §5): nothing that it would be told of has happened since.
//!
//! What programs do is known once it has been noticed. What the request is about to change is compared with what was told of it there and then, so
//! that nobody's work at that place is overwritten unseen.

use crate::model::path::SharePath;
use crate::model::permissions::Permissions;
use crate::model::state_list::StateLists;
use crate::model::sync_token::{SyncPlace, SyncToken};
use crate::store::catalog::known_members::KnownMember;
use crate::store::status::Kind;

use super::super::shared_folder::Share;
use super::page::view_of;
use super::step::steps_of;

/// How many changes are looked at; a token before more of them is not the present one.
const CHANGES_MAX: usize = 1000;

impl Share {
    /// Those tokens in a header that tell the present state of a folder, for a request that is about to change what is at these paths.
    pub(in crate::share) fn current_sync_tokens(
        &self,
        lists: &StateLists,
        folder: &SharePath,
        changing: &[&SharePath],
        permissions: &Permissions,
    ) -> Vec<Box<str>> {
        let asked: Vec<&str> = lists.tokens().filter(|token| SyncToken::looks_like_one(token)).collect();
        let mut inside = changing.iter().filter(|path| path.is_within(folder));
        if asked.is_empty() || !self.changes.is_filled() || !inside.all(|path| self.is_as_told(path)) {
            return Vec::new();
        }
        let is_current = |token: &&str| {
            SyncToken::parse(token).is_some_and(|token| self.nothing_happened_since(&token, folder, permissions))
        };
        asked.into_iter().filter(is_current).map(Into::into).collect()
    }

    fn nothing_happened_since(&self, token: &SyncToken, folder: &SharePath, permissions: &Permissions) -> bool {
        // Whoever was told a part of it does not know its state.
        if token.view != view_of(folder, permissions) || token.place != SyncPlace::Nothing {
            return false;
        }
        let Ok(since) = self.changes.after(token.cursor, CHANGES_MAX) else { return false };
        !since.goes_on && since.changes.iter().all(|change| steps_of(change, folder, permissions).is_empty())
    }

    /// Whether what is at a path is what was told of it last.
    fn is_as_told(&self, path: &SharePath) -> bool {
        let (Ok((known, _)), Ok(there)) = (self.changes.known(path), self.status_of(path)) else { return false };
        match (known, there) {
            (None, None) => true,
            (Some(KnownMember::Folder), Some(status)) => status.kind == Kind::Dir,
            (Some(KnownMember::File { stamp, is_settled, tag }), Some(status)) => {
                let is_that_version = || match (&tag, self.recall_tag(&status.stamp)) {
                    (Some(told), Some(now)) => stamp.size == status.stamp.size && told.strong_eq(&now),
                    _ => false,
                };
                is_settled && stamp == status.stamp || is_that_version()
            }
            _ => path.is_root(),
        }
    }
}
