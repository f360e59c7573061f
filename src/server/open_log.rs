//! Opening the log where it was asked for.

use anyhow::{Context as _, bail};

use super::state;
use crate::config::Config;
use crate::log::{self, LogGuard};

pub(crate) fn open_log(config: &Config) -> anyhow::Result<LogGuard> {
    let Some(file) = &config.log.file else { return Ok(log::start(&config.log)?) };
    if state::lies_in(file, &config.folder).with_context(|| format!("cannot log to {}", file.display()))? {
        bail!(
            "the log would lie in the folder that is shared, where everybody could read and replace it: {}\n\
             --log-file names a file outside of it",
            file.display()
        );
    }
    log::start(&config.log).with_context(|| format!("cannot log to {}", file.display()))
}
