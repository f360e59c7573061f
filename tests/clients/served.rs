//! The server that a client works against, and what its folder must hold afterwards. Uploads of a mount come when they come, so
//! everything here waits for what it wants, up to a limit, and says what was there instead.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::harness::Server;
use crate::harness::client::percent_encode;
use crate::harness::server::Options;

/// How long what a client wrote may take to be on the disk.
const ARRIVED_WITHIN: Duration = Duration::from_secs(20);

/// A server with a folder that starts empty.
///
/// With `CLIENTS_PEER=URL` and `CLIENTS_PEER_FOLDER=PATH` it is another server, already running, in place of ours: what fails
/// there too is the client's doing. What only noclobber keeps is then not asked for.
#[derive(Debug)]
pub struct Served {
    server: Option<Server>,
    url: String,
    folder: PathBuf,
}

impl Served {
    /// Starts one with nothing out of the ordinary.
    #[track_caller]
    pub fn start() -> Self {
        Self::with(Server::builder())
    }

    /// Starts one with these options.
    #[track_caller]
    pub fn with(options: Options) -> Self {
        if let Some(peer) = Self::peer() {
            return peer;
        }
        Self::own(options)
    }

    /// As [`Served::with`], but always our own, for what others are not set up for.
    #[track_caller]
    pub fn own(options: Options) -> Self {
        let server = options.start();
        let scheme = if server.greeting().contains("Listening on https:") { "https" } else { "http" };
        let url = format!("{scheme}://{}/", server.address());
        Self { url, folder: server.folder().to_owned(), server: Some(server) }
    }

    fn peer() -> Option<Self> {
        let (url, folder) = (std::env::var("CLIENTS_PEER").ok()?, std::env::var_os("CLIENTS_PEER_FOLDER")?);
        let folder = PathBuf::from(folder);
        for entry in fs::read_dir(&folder).expect("the peer's folder can be listed").flatten() {
            let path = entry.path();
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.expect("the peer's folder can be emptied");
        }
        Some(Self { server: None, url, folder })
    }

    /// Its address, with a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The address of a path.
    pub fn url_of(&self, path: &str) -> String {
        format!("{}{}", self.url, encoded(path))
    }

    /// Host and port, `127.0.0.1:4918`.
    pub fn authority(&self) -> &str {
        let rest = self.url.trim_start_matches("http://");
        rest.split('/').next().expect("a host")
    }

    /// The server, where it is ours.
    pub fn server(&self) -> Option<&Server> {
        self.server.as_ref()
    }

    /// A path as a local program sees it.
    pub fn local(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    /// Writes a file as a local program does, over whatever is there.
    #[track_caller]
    pub fn write(&self, path: &str, content: &[u8]) {
        fs::write(self.local(path), content).expect("a local program can write");
        // A peer may run as another user.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        fs::set_permissions(self.local(path), open).expect("its mode can be set");
    }

    /// What the disk holds of a file.
    #[track_caller]
    pub fn read(&self, path: &str) -> Vec<u8> {
        fs::read(self.local(path)).unwrap_or_else(|error| panic!("{path}: {error}; {}", self.around(path)))
    }

    /// Waits until the disk holds this content under this very name.
    #[track_caller]
    pub fn expect(&self, path: &str, content: &[u8]) {
        let holds = || fs::read(self.local(path)).is_ok_and(|found| found == content);
        if !within(ARRIVED_WITHIN, holds) {
            let found = fs::read(self.local(path)).map(|found| beginning(&found));
            let wanted = beginning(content);
            panic!("{path} on the disk: wanted {wanted:?} but found {found:?}; {}", self.around(path));
        }
    }

    /// Waits until the disk holds nothing under this name.
    #[track_caller]
    pub fn expect_gone(&self, path: &str) {
        let gone = || fs::symlink_metadata(self.local(path)).is_err_and(|error| error.kind() == ErrorKind::NotFound);
        assert!(within(ARRIVED_WITHIN, gone), "{path} is still on the disk; {}", self.around(path));
    }

    /// Waits until a folder on the disk holds these names and no others, byte for byte.
    #[track_caller]
    pub fn expect_names(&self, folder: &str, names: &[&str]) {
        let mut wanted: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        wanted.sort();
        if !within(ARRIVED_WITHIN, || names_in(&self.local(folder)) == wanted) {
            assert_eq!(names_in(&self.local(folder)), wanted, "the names on the disk in {folder:?}");
        }
    }

    /// Fails unless the history has this content under this name.
    #[track_caller]
    pub fn expect_kept(&self, path: &str, content: &[u8]) {
        let Some(server) = &self.server else { return };
        let kept = server.versions(&target(path)).0;
        let has = kept.iter().any(|version| version.content == content);
        let contents: Vec<_> = kept.iter().map(|version| beginning(&version.content)).collect();
        assert!(has, "the history of {path} has {contents:?}, not {:?}", beginning(content));
    }

    /// Brings this content back from the history, and finds it on the disk.
    #[track_caller]
    pub fn restore(&self, path: &str, content: &[u8]) {
        let Some(server) = &self.server else { return };
        let kept = server.versions(&target(path)).0;
        let version = kept.iter().find(|version| version.content == content).expect("it is in the history");
        let request = server.post(format!("{}?restore={}", target(path), version.id));
        let request = match server.head(target(path)).send() {
            answer if answer.status == 200 => request.if_match(answer.tag()),
            _ => request,
        };
        request.expect_any(&[201, 204]);
        self.expect(path, content);
    }

    fn around(&self, path: &str) -> String {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("beside it: {:?}", names_in(&self.local(folder)))
    }
}

/// A path as the target of a request.
pub fn target(path: &str) -> String {
    format!("/{}", encoded(path))
}

/// A path with every segment percent-encoded.
pub fn encoded(path: &str) -> String {
    path.split('/').map(|segment| percent_encode(segment.as_bytes())).collect::<Vec<_>>().join("/")
}

/// The names in a folder of the disk, sorted, without those that servers keep for themselves.
pub fn names_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| ![".noclobber", ".DAV"].contains(&name.as_str())).collect();
    names.sort();
    names
}

/// As much of a content as a message has room for.
fn beginning(content: &[u8]) -> String {
    let shown = String::from_utf8_lossy(&content[..content.len().min(100)]).into_owned();
    if content.len() > 100 { format!("{shown}… ({} bytes)", content.len()) } else { shown }
}

/// Whether a condition comes true within this time.
pub fn within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while !condition() {
        if begun.elapsed() >= limit {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}
