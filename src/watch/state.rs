//! How far a watch has come, and why it does not notice everything.

use std::fmt;

/// How far a watch has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum WatchState {
    /// Watches are being set: some hints come already.
    #[default]
    Setting,
    /// What other programs do is noticed.
    Watching,
    /// Some of it is not.
    Degraded(Reason),
}

/// Why not all that other programs do is noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The system gives this user no more watches; the folders that have one go on being watched.
    TooFewWatches,
    /// Events were lost; the watches are set anew.
    EventsLost,
    /// The system gives no watcher at all; it is asked again later.
    Unavailable(String),
    /// The shared folder itself is not there at the moment.
    FolderGone,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFewWatches => {
                f.write_str("the system's limit of watches is reached (fs.inotify.max_user_watches)")
            }
            Self::EventsLost => f.write_str("events came faster than they could be taken in"),
            Self::Unavailable(why) => write!(f, "no watcher can be had: {why}"),
            Self::FolderGone => f.write_str("the folder is not there"),
        }
    }
}
