//! `noclobber restore`: a version comes back while no server has the share.

use std::sync::Arc;

use anyhow::bail;

use super::args::RestoreVersion;
use super::share_path::share_path;
use crate::config::{Config, StateFolder};
use crate::http::clock::now;
use crate::log::escaped;
use crate::model::author::{Author, WayIn};
use crate::model::principal::Principal;
use crate::model::version::VersionId;
use crate::server::become_user;
use crate::server::explain::explain;
use crate::server::housekeeping::close;
use crate::server::open_log::open_log;
use crate::server::open_share::{Purpose, open_disk, open_share};
use crate::server::startup_lines::say;
use crate::share::{CopyLimit, RequestContext};

/// Brings a version back, while no server has the share; what is there now goes into the history. Locks are heeded and properties come back as
/// by a server with these settings, where the index is that they speak of.
pub fn restore(which: &RestoreVersion, config: &Config) -> anyhow::Result<()> {
    become_user(config)?;
    let _log = open_log(config)?;
    let path = share_path(&config.folder, Some(&which.path))?;
    let Some(id) = VersionId::parse(&which.version) else {
        bail!("{} is not the name of a version", escaped(&which.version))
    };
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    if config.state == StateFolder::Memory && !which.no_state {
        tracing::warn!(
            "neither HOME nor XDG_STATE_HOME says where the index is: locks are not heeded, and properties that clients have set do not come \
             back; --state names it"
        );
    }
    let share = open_share(config, open_disk(config, Purpose::Restore)?)?;
    let by = Author::client(Principal::Anonymous, WayIn::CommandLine);
    let request = RequestContext { by: Some(Arc::new(by)), ..RequestContext::unconditional(now()) };
    let restored = share.restore(&path, &id, true, &request, CopyLimit::UNLIMITED);
    close(&share);
    match restored.map_err(explain)?.and_then(|stored| stored.displaced) {
        Some(displaced) => {
            say(&format!("{} is back. What was there is kept as {}.", escaped(&path.to_text()), displaced.as_str()))
        }
        None => say(&format!("{} is back.", escaped(&path.to_text()))),
    }
    Ok(())
}
