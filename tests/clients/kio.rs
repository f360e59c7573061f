//! KDE's KIO by its command line, `kioclient5`, without a screen. It names itself Mozilla, asks for HTML, and never locks.

use super::program::Said;
use super::served::encoded;
use super::session::Session;
use super::{Drive, Scratch, Served, has_all, work_out};

#[test]
fn kio_works() {
    if !has_all("kio_works", &["kioclient5", "dbus-run-session"]) {
        return;
    }
    let served = Served::start();
    let session = Session::start(Scratch::new("kio"));
    work_out(&mut Kio { session, url: served.url().replace("http:", "webdav:") }, &served);
}

#[derive(Debug)]
struct Kio {
    session: Session,
    url: String,
}

impl Kio {
    #[track_caller]
    fn kio(&self, words: &[&str]) -> Said {
        let mut command = self.session.command("kioclient5");
        command.env("QT_QPA_PLATFORM", "offscreen").args(["--noninteractive", "--overwrite"]).args(words);
        self.session.scratch().run(&mut command, b"")
    }

    fn url(&self, path: &str) -> String {
        format!("{}{}", self.url, encoded(path))
    }

    /// A local name, as an address, so that nothing in it is taken for more than a name.
    fn local(&self, path: &str) -> String {
        format!("file://{}", encoded(self.session.scratch().path(path).to_str().expect("UTF-8")))
    }
}

impl Drive for Kio {
    fn make_folder(&mut self, path: &str) {
        // Its `mkdir` sends nothing, so an empty folder is copied in under its own name.
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        self.session.scratch().folder("empty");
        let folder = self.session.scratch().folder(&format!("empty/{name}"));
        self.kio(&["copy", &self.local(&format!("empty/{name}")), &self.url(above)]).well();
        std::fs::remove_dir(folder).expect("it is ours");
    }

    fn write(&mut self, path: &str, content: &[u8]) {
        self.session.scratch().file("upload", content);
        self.kio(&["copy", &self.local("upload"), &self.url(path)]).well();
    }

    fn read(&mut self, path: &str) -> Vec<u8> {
        self.kio(&["cat", &self.url(path)]).well().output
    }

    fn names(&mut self, path: &str) -> Vec<String> {
        let said = self.kio(&["ls", &self.url(path)]).well();
        said.text().lines().filter(|name| !["", "."].contains(name)).map(str::to_owned).collect()
    }

    fn rename(&mut self, from: &str, to: &str) {
        if self.kio(&["move", &self.url(from), &self.url(to)]).status.success() {
            return;
        }
        // Its move sends `Overwrite: F` whatever it is told, so over a file it takes two steps.
        self.kio(&["copy", &self.url(from), &self.url(to)]).well();
        self.remove(from);
    }

    fn remove(&mut self, path: &str) {
        self.kio(&["remove", &self.url(path)]).well();
    }

    fn remove_folder(&mut self, path: &str) {
        self.kio(&["remove", &self.url(path)]).well();
    }
}
