//! The scratch folder: made with a name that nobody else has, and removed in the end, whatever happened in between.

use data_encoding::HEXLOWER;

use super::visit::Visit;
use crate::client::Request;
use crate::os::random;

/// What the name of every scratch folder begins with. No dot: some servers hide such names.
const NAME: &str = "noclobber-doctor-";

/// A path for one, in the folder of this path.
pub(super) fn new_path(base: &str) -> String {
    format!("{base}{NAME}{}/", HEXLOWER.encode(&random::bytes()[..8]))
}

/// Removes the folder and all in it; `false` if it is still there.
///
/// First as a whole. A server that refuses that, or stops at one of the names, is asked for each member by itself.
pub(super) fn remove(visit: &mut Visit) -> bool {
    visit.unlock_all();
    let folder = visit.folder.clone();
    if delete(visit, &folder) {
        return true;
    }
    remove_members(visit, &folder, 0);
    delete(visit, &folder)
}

fn delete(visit: &mut Visit, path: &str) -> bool {
    let answer = visit.send(&Request::new("DELETE", path));
    answer.is_ok_and(|answer| matches!(answer.status, 200 | 202 | 204 | 404 | 410))
}

/// The folders of the checks are two deep.
fn remove_members(visit: &mut Visit, folder: &str, depth: u32) {
    let members = visit.members(folder, "1", "<D:resourcetype/>").unwrap_or_default();
    for member in members {
        let path = member.path().to_owned();
        let is_inside = path.starts_with(folder) && path.len() > folder.len();
        if is_inside && !delete(visit, &path) && depth < 3 {
            remove_members(visit, &path, depth + 1);
            delete(visit, &path);
        }
    }
}
