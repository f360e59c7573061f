//! Making folders: by themselves, and those above something that is to come.

use std::sync::Arc;

use crate::model::change::Before;
use crate::model::path::SharePath;
use crate::model::precondition::Precondition;
use crate::model::verdict::Deed;
use crate::store::catalog::properties::Following;
use crate::store::disk_error::{Cause, DiskError};
use crate::store::local::commit::Swap;
use crate::store::local::staging::NewFolders;

use super::outcome::{Outcome, Refusal, Stop};
use super::properties::PropertyUpdate;
use super::request_context::RequestContext;
use super::shared_folder::Share;
use super::to_look_at::ToLookAt;

/// Folders that were made above something that is to come, and go again with it if it comes to nothing: then they are looked at, and that they went
/// is told.
#[derive(Debug, Default)]
pub struct FoldersAbove {
    made: NewFolders,
    paths: Vec<SharePath>,
    to_look_at: Option<Arc<ToLookAt>>,
}

impl FoldersAbove {
    /// They stay.
    pub(super) fn keep(mut self) {
        std::mem::take(&mut self.made).keep();
        self.to_look_at = None;
    }
}

impl Drop for FoldersAbove {
    fn drop(&mut self) {
        drop(std::mem::take(&mut self.made));
        if let Some(to_look_at) = &self.to_look_at {
            self.paths.drain(..).for_each(|path| to_look_at.path(path, None));
        }
    }
}

impl Share {
    /// Makes a folder, with these properties from the beginning: all of it or nothing.
    pub fn make_collection(
        &self,
        path: &SharePath,
        amendments: &[PropertyUpdate],
        request: &RequestContext,
    ) -> Outcome<()> {
        self.make_folder(path, amendments, Deed::MakeCollection, request)
    }

    fn make_folder(
        &self,
        path: &SharePath,
        amendments: &[PropertyUpdate],
        deed: Deed,
        request: &RequestContext,
    ) -> Outcome<()> {
        if path.is_root() {
            return Err(Refusal::Exists { is_collection: true }.into());
        }
        let path = &*self.spelled(path)?;
        self.look_until_done(path, request, deed, |claim, _| {
            // What is to be noted comes first: if it cannot be, nothing is made (RFC 5689 §3).
            if !amendments.is_empty() {
                self.begin_notes(path, amendments)?;
            }
            let swap = claim.make_collection();
            let (is_made, made) = (matches!(swap, Ok(Swap::Done(_))), self.as_made(path).into_owned());
            if is_made {
                self.note_folder_made(&made);
                self.tell_folder(&made, Before::Nothing, false, None, request);
            }
            if is_made && !amendments.is_empty() {
                if made != *path {
                    self.let_notes_follow(Following::Moved { from: path.clone(), to: made, displaced: None });
                }
            } else if is_made || !amendments.is_empty() {
                // What another program removed here may have left notes behind; and where nothing was made, nothing is noted.
                let from = if is_made { made } else { path.clone() };
                self.let_notes_follow(Following::Gone { from, version: None });
            }
            Ok((swap?, ()))
        })
        .map_err(Stop::of_an_arrival)?;
        self.tell_of_change(path, request.now);
        Ok(())
    }

    /// Makes every folder above a path that is not there yet. If one cannot be made, none stays.
    pub fn make_parents(&self, path: &SharePath, request: &RequestContext) -> Outcome<FoldersAbove> {
        self.make_folders_above(path, Deed::MakeCollection, request)
    }

    /// As [`Share::make_parents`]; those above something that comes back come back too, whatever they are called.
    pub(super) fn make_folders_above(
        &self,
        path: &SharePath,
        deed: Deed,
        request: &RequestContext,
    ) -> Outcome<FoldersAbove> {
        let mine = request.demanding(Precondition::default());
        let to_look_at = Some(Arc::clone(&self.to_look_at));
        let mut folders = FoldersAbove { made: NewFolders::default(), paths: Vec::new(), to_look_at };
        let Some((parent, _)) = path.split() else { return Ok(folders) };
        let mut above = SharePath::root();
        for name in parent.names() {
            above = above.join(&name);
            let site = self.site_of_upload(&above)?;
            match self.make_folder(&above, &[], deed, &mine) {
                // What one may not see may be there; if it is not, the next cannot be made.
                Err(Stop::Refusal(Refusal::Exists { is_collection: true } | Refusal::NotFree | Refusal::NotSeen)) => {}
                Err(Stop::Refusal(Refusal::Exists { is_collection: false })) => return Err(Refusal::NoParent.into()),
                // It is there, and goes again.
                Err(Stop::Fault(fault)) if fault.cause == Cause::Unsure => {
                    self.tree.was_made(&mut folders.made, &site)?;
                    return Err(Stop::Fault(DiskError { cause: Cause::Failed, ..fault }));
                }
                made => {
                    made?;
                    self.tree.was_made(&mut folders.made, &site)?;
                    folders.paths.push(above.clone());
                }
            }
        }
        Ok(folders)
    }
}
