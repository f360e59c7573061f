//! A check, as data: what it is called, what it does, and what to change where it fails.

use super::finding::Checked;
use super::visit::Visit;

/// One question to the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Check {
    /// Its name for programs: `group.name`.
    pub(super) id: &'static str,
    /// What holds if it ends well, in a few words.
    pub(super) title: &'static str,
    /// What to change where it does not.
    pub(super) advice: &'static str,
    pub(super) run: fn(&mut Visit) -> Checked,
}

/// Checks of one subject.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    pub(super) title: &'static str,
    pub(super) checks: &'static [Check],
}
