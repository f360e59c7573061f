//! The members of a folder that is listed again and again, page by page: what was once written of a page need not be written again while nothing on
//! it is otherwise.
//!
//! It is had only where the client may see every member, by the path that the disk has. Where members differ in what a client may do
//! with them it hears of each as of any other listing ([`Share::list`]).

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::model::path::{Name, SharePath};
use crate::model::rights::Rights;
use crate::model::stamp::Timestamp;
use crate::store::local::dir_cache::{Effort as ListingEffort, KnownMembers, Page};

use super::listing::{Found, ListedFolder, ListedMember, Tags, Told};
use super::outcome::Outcome;
use super::request_context::RequestContext;
use super::shared_folder::Share;

/// A folder whose members are remembered.
pub struct PagedListing<'a> {
    folder: ListedFolder<'a>,
    itself: ListedMember,
    known: KnownMembers,
    rights: Rights,
    now: Timestamp,
}

impl Share {
    /// The folder at a path, if its members are remembered from now on or were before, and the client may see all of them.
    pub fn paged<'a>(
        &'a self,
        path: &'a SharePath,
        tags: Tags,
        request: &'a RequestContext,
    ) -> Outcome<Option<PagedListing<'a>>> {
        let folder = ListedFolder::open(self, path, tags, request)?.for_telling();
        let Some(rights) = folder.rights_of_all() else { return Ok(None) };
        let known = self.tree.folders().members(&folder.dir, &folder.status, request.now)?;
        Ok(known.map(|known| PagedListing::new(folder, known, rights, path, request)))
    }

    /// As [`Share::paged`], where the members are remembered already and that takes no more than so much.
    pub fn paged_at_hand<'a>(
        &'a self,
        path: &'a SharePath,
        tags: Tags,
        effort: ListingEffort,
        request: &'a RequestContext,
    ) -> Option<PagedListing<'a>> {
        if self.tree.folders().is_empty() {
            return None;
        }
        let folder = ListedFolder::open(self, path, tags, request).ok()?;
        let rights = folder.rights_of_all()?;
        let known = self.tree.folders().members_at_hand(&folder.dir, &folder.status, effort, request.now)?;
        Some(PagedListing::new(folder, known, rights, path, request))
    }
}

impl fmt::Debug for PagedListing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PagedListing").field("itself", &self.itself).finish_non_exhaustive()
    }
}

impl<'a> PagedListing<'a> {
    fn new(
        folder: ListedFolder<'a>,
        known: KnownMembers,
        rights: Rights,
        path: &SharePath,
        request: &RequestContext,
    ) -> Self {
        let name = path.split().map_or_else(|| Name::new(*b"share").expect("letters"), |(_, name)| name);
        let itself = ListedMember::new(name, &folder.status, None, request.now);
        Self { folder, itself, known, rights, now: request.now }
    }

    /// The folder itself.
    pub fn itself(&self) -> &ListedMember {
        &self.itself
    }

    /// What the client may do with every member.
    pub fn rights(&self) -> Rights {
        self.rights
    }

    /// The members, in pages.
    pub fn pages(&self) -> &[Arc<Page>] {
        self.known.pages()
    }

    /// What was written of the folder itself, in this form.
    pub fn written(&self, form: &[u8]) -> Option<Bytes> {
        self.known.forms().find(form, self.now)
    }

    /// Keeps what was written of the folder itself.
    pub fn keep(&self, form: &[u8], bytes: &Bytes) -> bool {
        self.known.keep(self.known.forms(), form, bytes, self.now)
    }

    /// What was written of a page, in this form.
    pub fn written_of(&self, page: &Page, form: &[u8]) -> Option<Bytes> {
        page.forms().find(form, self.now)
    }

    /// Keeps what was written of a page, if there is room for it.
    pub fn keep_of(&self, page: &Page, form: &[u8], bytes: &Bytes) -> bool {
        self.known.keep(page.forms(), form, bytes, self.now)
    }

    /// Calls `each` for what the client is told of the members on a page. Says whether all of that lasts: it will be told again as long as the page is
    /// the same.
    pub fn tell(&self, page: &Page, each: &mut dyn FnMut(ListedMember) -> Outcome<()>) -> Outcome<bool> {
        let mut all_last = true;
        for entry in page.entries() {
            let Told { member, lasts } = self.folder.tell(Cow::Borrowed(entry), Found::InMemory)?;
            all_last &= lasts;
            member.map_or(Ok(()), &mut *each)?;
        }
        Ok(all_last)
    }

    /// Takes note of what was kept of its pages.
    pub fn has_kept(&self) {
        self.folder.share.tree.folders().weigh_again(&self.known);
    }
}
