//! `noclobber history`: what is kept, for a person or as JSON.

use std::io::{self, Write as _};

use super::args::ShowHistory;
use super::program_task::plain;
use super::share_path::share_path;
use crate::http::representations::versions::Listed;
use crate::log::escaped;
use crate::model::path::SharePath;
use crate::server::explain::explain;
use crate::server::open_share::{Purpose, open_disk, open_share};
use crate::share::{KeptAt, KeptVersion, Kind, PageRequest, Share};

/// How many versions the command line reads at once.
const PAGE: usize = 10_000;

/// Prints the versions that are kept of a path and everything below it.
pub fn show_history(which: &ShowHistory) -> anyhow::Result<()> {
    let config = plain(&which.folder)?;
    let share = open_share(&config, open_disk(&config, Purpose::Look)?)?;
    let path = share_path(&which.folder, which.path.as_deref())?;
    let mut out = io::stdout().lock();
    if which.json {
        return print_json(&mut out, &share, &path);
    }
    let count = each_version(&share, &path, |KeptAt { path, version }| {
        let (id, size, by) = (version.id.as_str(), describe_size(version), describe_author(version));
        // The path is last: whatever it is called, it is taken for nothing else.
        writeln!(out, "{id}  {size:>12}  {by:<20}  {}", escaped(&path.to_text()))?;
        Ok(())
    })?;
    if count == 0 {
        writeln!(out, "Nothing is kept of {}.", escaped(&path.to_text()))?;
    }
    Ok(())
}

/// One array, a version a line.
fn print_json(out: &mut impl io::Write, share: &Share, path: &SharePath) -> anyhow::Result<()> {
    write!(out, "[")?;
    let mut separator = "\n";
    let count = each_version(share, path, |version| {
        write!(out, "{separator}{}", serde_json::to_string(&Listed::with_path(version))?)?;
        separator = ",\n";
        Ok(())
    })?;
    writeln!(out, "{}]", if count == 0 { "" } else { "\n" })?;
    Ok(())
}

/// Calls `each` for the versions of a path and of all below, the newest first, and says how many there were. No more than a page of them is
/// held at once.
fn each_version(
    share: &Share,
    path: &SharePath,
    mut each: impl FnMut(&KeptAt) -> anyhow::Result<()>,
) -> anyhow::Result<usize> {
    let (mut count, mut before) = (0, None);
    loop {
        let page = share.versions_below(path, PageRequest { before, count: PAGE }).map_err(explain)?;
        page.items.iter().try_for_each(&mut each)?;
        count += page.items.len();
        before = page.items.last().map(|last| (last.version.id.clone(), last.path.clone()));
        if !page.goes_on {
            return Ok(count);
        }
    }
}

/// Who displaced it, where that is known.
fn describe_author(version: &KeptVersion) -> String {
    version.displaced_by.as_ref().map_or_else(|| "-".to_owned(), |by| escaped(&by.to_string()).to_string())
}

fn describe_size(version: &KeptVersion) -> String {
    if version.kind == Kind::File { version.size.to_string() } else { "folder".to_owned() }
}
