//! What the server can still reach while it serves: the folder that is shared, and what is kept beside it.

use std::path::{Path, PathBuf};

use super::startup_lines::say;
use super::state;
use crate::config::{Certificate, Config, Listen};
use crate::os::confinement::{Confinement, NotConfined, Reach, places_of};

/// Where the system tells about itself: what is mounted, which network addresses there are, how many cores are for this process.
const OF_THE_SYSTEM: [&str; 4] = ["/proc/self", "/proc/sys", "/sys/fs", "/sys/devices/system/cpu"];

/// The bounds of the process, as far as it was to have any.
pub(super) struct Bounds(Option<Result<Confinement, NotConfined>>);

impl Bounds {
    /// Confines this thread and all that it starts.
    pub(super) fn set(config: &Config) -> Self {
        Self(config.confined.then(|| Confinement::begin(places(config))))
    }

    /// Tells whoever has started the server.
    pub(super) fn say(&self) {
        match &self.0 {
            Some(Ok(_)) => say("Confined to the folder and what is kept beside it (Landlock)"),
            Some(Err(why)) => say(&format!("Not confined to the folder: {why}")),
            None => say("Not confined to the folder: --no-landlock"),
        }
    }
}

fn places(config: &Config) -> Vec<(PathBuf, Reach)> {
    let mut places = vec![(config.folder.clone(), Reach::All)];
    let mut add = |found: Vec<PathBuf>, reach| places.extend(found.into_iter().map(|place| (place, reach)));
    add(state::make_folders(config), Reach::All);
    // What is read again when it has changed.
    add(config.users.iter().flat_map(|file| places_of(file)).collect(), Reach::Read);
    if let Some(Certificate::Files { certificate, key }) = &config.certificate {
        add([certificate, key].into_iter().flat_map(|file| places_of(file)).collect(), Reach::Read);
    }
    // What is opened anew when it was renamed.
    add(config.log.file.iter().flat_map(|file| places_of(file)).collect(), Reach::Append);
    // What is removed at the end.
    let sockets = config.listen.iter().filter_map(|listen| match listen {
        Listen::Unix(socket) => Some(socket.parent().filter(|folder| !folder.as_os_str().is_empty())),
        Listen::Tcp(..) | Listen::Inherited => None,
    });
    add(sockets.map(|folder| folder.unwrap_or(Path::new(".")).to_owned()).collect(), Reach::Remove);
    add(OF_THE_SYSTEM.map(PathBuf::from).to_vec(), Reach::Read);
    places
}
