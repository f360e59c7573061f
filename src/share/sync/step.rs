//! What a change comes to, for a client that keeps a copy of a folder: one step after the other, and always the same ones for the same change.

use crate::model::change::{Before, Change, ChangeKind};
use crate::model::path::SharePath;
use crate::model::permissions::Permissions;
use crate::store::catalog::changes::NumberedChange;

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// What was there is not any more: a folder, with all that was in it, or a file.
    Gone { path: SharePath, is_folder: bool },
    /// Something is there that was not, or is otherwise.
    There { path: SharePath, is_folder: bool },
    /// So is all below it.
    Below(SharePath),
    /// What has become of the folder itself cannot be told.
    Lost,
}

/// The steps of a change, as far as a client may see them that follows a folder.
pub(super) fn steps_of(numbered: &NumberedChange, folder: &SharePath, permissions: &Permissions) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut came: Option<SharePath> = None;
    for NumberedChange { change, .. } in numbered.shown(folder, permissions) {
        add(&mut steps, &change, folder, came.as_ref());
        came = (change.kind == ChangeKind::Created).then_some(change.path);
    }
    steps
}

/// `came` is what has just come from where it was not seen: what is below has come with it.
fn add(steps: &mut Vec<Step>, change: &Change, folder: &SharePath, came: Option<&SharePath>) {
    let (path, is_folder) = (&change.path, change.resource.is_folder());
    let gone = |path: &SharePath, is_folder| match path == folder {
        true => Step::Lost,
        false => Step::Gone { path: path.clone(), is_folder },
    };
    let there = || Step::There { path: path.clone(), is_folder };
    let below = |path: &SharePath| if path == folder { Step::Lost } else { Step::Below(path.clone()) };
    match &change.kind {
        // What is kept in a copy stays as it is.
        ChangeKind::Lock => {}
        ChangeKind::Deleted => steps.push(gone(path, is_folder)),
        ChangeKind::Properties => steps.push(there()),
        ChangeKind::Uncertain if came == Some(path) => steps.push(below(path)),
        ChangeKind::Uncertain => steps.extend([gone(path, true), there(), below(path)]),
        kind => {
            if let ChangeKind::Moved { from } = kind {
                steps.push(gone(from, is_folder));
            }
            match change.before {
                Before::Folder => steps.push(gone(path, true)),
                // The URL of a folder is another one than that of a file.
                Before::File if is_folder => steps.push(gone(path, false)),
                Before::File | Before::Nothing => {}
            }
            steps.push(there());
            if is_folder && matches!(kind, ChangeKind::Moved { .. }) {
                steps.push(below(path));
            }
        }
    }
}
