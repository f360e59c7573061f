//! Clients that need another answer than the standard has for them, known by what they call themselves (`User-Agent`).

use actix_http::RequestHead;

use crate::http::headers::field;

/// The drives of Windows.
const WINDOWS: [&str; 2] = ["Microsoft-WebDAV-MiniRedir/", "DavClnt"];

/// Old versions of Office.
const OLD_OFFICE: [&str; 2] = ["Microsoft Data Access", "Microsoft Office"];

/// The drives of macOS.
const MACOS: [&str; 2] = ["WebDAVFS/", "WebDAVLib/"];

/// rclone, in all its releases.
const RCLONE: [&str; 1] = ["rclone/"];

/// What is peculiar to the client of a request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Quirks {
    /// It is a drive of Windows, which asks for all properties and means its own.
    pub(crate) are_of_windows: bool,
    /// It stumbles over the root of a lock, so that is left out.
    pub(crate) stumble_over_lock_roots: bool,
    /// It takes 409 to an UNLOCK for a file that is gone, and forgets it.
    pub(crate) forget_on_conflict: bool,
    /// Of two schemes of authentication it takes the wrong one, or none.
    pub(crate) are_confused_by_two_schemes: bool,
    /// It deletes what it could not PUT, whatever went wrong, its own condition too.
    pub(crate) delete_after_failure: bool,
}

impl Quirks {
    /// Those of the client that calls itself so.
    pub(crate) fn of(head: &RequestHead) -> Self {
        let agent = field::text(&head.headers, "user-agent").unwrap_or_default();
        let is_one_of = |beginnings: &[&str]| beginnings.iter().any(|beginning| agent.starts_with(beginning));
        let are_of_windows = is_one_of(&WINDOWS);
        Self {
            are_of_windows,
            stumble_over_lock_roots: is_one_of(&OLD_OFFICE),
            forget_on_conflict: is_one_of(&MACOS),
            are_confused_by_two_schemes: are_of_windows || is_one_of(&OLD_OFFICE) || is_one_of(&MACOS),
            delete_after_failure: are_of_windows || is_one_of(&RCLONE),
        }
    }
}
