//! Staging the new version that a patch makes of the one that is there.

use crate::model::stamp::Stamp;
use crate::store::disk_error::{Cause, Result};

use super::super::staging::{Patch, Staging};
use super::{Site, Tree};

impl Tree {
    /// Makes the version that a patch makes of the file at a site, which was in this state when it was opened; `None` if it is not any more. It ends
    /// with [`Cause::Unwanted`], and leaves nothing behind, when nobody wants it any more.
    pub fn stage_patched(
        &self,
        site: &Site,
        of: &Stamp,
        patch: &Patch<'_>,
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<Option<Staging>> {
        self.let_settle(of, &site.path)?;
        let mut staging = self.stage(site)?;
        match staging.write_patched(patch, is_wanted) {
            Err(error) if error.cause == Cause::InUse => return Ok(None),
            written => written?,
        }
        Ok(self.was_steady(patch.base, of)?.then_some(staging))
    }
}
