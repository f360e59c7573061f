//! GNOME's gvfs by its command line, `gio`. It looks before it writes and sends `Overwrite` with PUT; a program that remembers the
//! tag of what it opened, as gedit does, has it sent as If-Match.

use std::process::Command;

use super::program::{Running, Said};
use super::served::encoded;
use super::session::Session;
use super::signed_in::{NAME, Over, PASSWORD, WRONG};
use super::{BOTH, Drive, Scratch, Served, SignedIn, has_all, work_out};
use crate::harness::left_out;

const NEEDED: &[&str] = &["gio", "dbus-run-session", "/usr/libexec/gvfsd", "/usr/libexec/gvfsd-dav"];

#[test]
fn gvfs_works() {
    if !has_all("gvfs_works", NEEDED) {
        return;
    }
    let served = Served::start();
    work_out(&mut Gio::mount(&served), &served);
}

#[test]
fn a_stale_save_through_gvfs_is_refused() {
    if !has_all("a_stale_save_through_gvfs_is_refused", NEEDED) {
        return;
    }
    let served = Served::start();
    let gio = Gio::mount(&served);
    served.write("draft.txt", b"one");
    let seen = gio.tag("draft.txt");
    let said = gio.save("draft.txt", &seen, b"two, from one").well();
    served.expect("draft.txt", b"two, from one");
    served.expect_kept("draft.txt", b"one");
    drop(said);

    let seen = gio.tag("draft.txt");
    served.write("draft.txt", b"the other's");
    let said = gio.save("draft.txt", &seen, b"mine, from two").badly();
    assert!(said.errors.contains("externally modified"), "{said}");
    served.expect("draft.txt", b"the other's");
}

/// A file that nobody touched is never called modified: its tag is the same however it is asked for.
#[test]
fn gvfs_finds_no_change_where_there_is_none() {
    if !has_all("gvfs_finds_no_change_where_there_is_none", NEEDED) {
        return;
    }
    let served = Served::start();
    let gio = Gio::mount(&served);
    for turn in 0..5 {
        let content = format!("turn {turn}");
        match turn {
            0 => drop(gio.gio(&["save", "--create", &gio.url("own.txt")], content.as_bytes()).well()),
            _ => drop(gio.save("own.txt", &gio.tag("own.txt"), content.as_bytes()).well()),
        }
        served.expect("own.txt", content.as_bytes());
    }
}

/// A new name that is taken is the server's to refuse.
#[test]
fn gvfs_renames_over_nothing() {
    if !has_all("gvfs_renames_over_nothing", NEEDED) {
        return;
    }
    let served = Served::start();
    let gio = Gio::mount(&served);
    served.write("there.txt", b"was here first");
    served.write("new.txt", b"second");
    gio.gio(&["rename", &gio.url("new.txt"), "there.txt"], b"").badly();
    served.expect("new.txt", b"second");
    served.expect("there.txt", b"was here first");
}

/// It asks for the password, and over HTTPS whether the certificate is right.
#[test]
fn gvfs_signs_in() {
    if !has_all("gvfs_signs_in", NEEDED) {
        return;
    }
    let mut libraries = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let speaks_tls = libraries.any(|folder| folder.path().join("gio/modules/libgiognutls.so").exists());
    for over in BOTH {
        if over == Over::Tls && !speaks_tls {
            left_out("gvfs_signs_in over HTTPS", "glib-networking is not installed");
            continue;
        }
        let signed = SignedIn::start(over);
        let says = |password: &str| format!("{}{password}\n", if over == Over::Tls { "1\n" } else { "" });
        let url = signed.served().url().replacen("http", "dav", 1).replace("://", &format!("://{NAME}@"));
        let (_refused, said) = Gio::try_to_mount(&url, &says(WRONG));
        said.badly();
        signed.has_refused();
        let (mut gio, said) = Gio::try_to_mount(&url, &says(PASSWORD));
        said.well();
        signed.work(&mut gio);
        let tag = gio.tag("kept.txt");
        gio.save("kept.txt", &tag, b"changed").well();
        signed.served().expect("kept.txt", b"changed");
        signed.served().write("kept.txt", b"by somebody else");
        gio.save("kept.txt", &tag, b"mine").badly();
        signed.served().expect("kept.txt", b"by somebody else");
    }
}

#[derive(Debug)]
struct Gio {
    url: String,
    moves: u32,
    _daemon: Running,
    session: Session,
}

impl Gio {
    #[track_caller]
    fn mount(served: &Served) -> Self {
        let (gio, said) = Self::try_to_mount(&served.url().replace("http:", "dav:"), "");
        said.well();
        gio
    }

    /// Mounts with this said to what it asks for.
    #[track_caller]
    fn try_to_mount(url: &str, input: &str) -> (Self, Said) {
        let session = Session::start(Scratch::new("gvfs"));
        let daemon = session.scratch().start("gvfsd", session.command("/usr/libexec/gvfsd").arg("--no-fuse"));
        let gio = Self { url: url.to_owned(), moves: 0, _daemon: daemon, session };
        let mut tries = 0;
        loop {
            let said = gio.gio(&["mount", &gio.url], input.as_bytes());
            tries += 1;
            // gvfsd may not have its name on the bus yet.
            if said.status.success() || said.errors.contains("Unauthorized") || tries == 10 {
                return (gio, said);
            }
            std::thread::sleep(std::time::Duration::from_millis(300));
        }
    }

    fn command(&self) -> Command {
        self.session.command("gio")
    }

    #[track_caller]
    fn gio(&self, words: &[&str], input: &[u8]) -> Said {
        self.session.scratch().run(self.command().args(words), input)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{}", self.url, encoded(path))
    }

    #[track_caller]
    fn tag(&self, path: &str) -> String {
        let said = self.gio(&["info", "--attributes=etag::value", &self.url(path)], b"").well();
        let text = said.text();
        let tag = text.lines().find_map(|line| line.trim().strip_prefix("etag::value: "));
        tag.unwrap_or_else(|| panic!("no tag: {said}")).to_owned()
    }

    #[track_caller]
    fn save(&self, path: &str, tag: &str, content: &[u8]) -> Said {
        self.gio(&["save", &format!("--etag={tag}"), &self.url(path)], content)
    }
}

impl Drive for Gio {
    fn make_folder(&mut self, path: &str) {
        self.gio(&["mkdir", &self.url(path)], b"").well();
    }

    fn write(&mut self, path: &str, content: &[u8]) {
        let file = self.session.scratch().file("upload", content);
        self.gio(&["copy", file.to_str().expect("plain"), &self.url(path)], b"").well();
    }

    fn read(&mut self, path: &str) -> Vec<u8> {
        self.gio(&["cat", &self.url(path)], b"").well().output
    }

    fn names(&mut self, path: &str) -> Vec<String> {
        let said = self.gio(&["list", &self.url(path)], b"").well();
        said.text().lines().map(str::to_owned).collect()
    }

    fn rename(&mut self, from: &str, to: &str) {
        self.gio(&["move", "--no-target-directory", &self.url(from), &self.url(to)], b"").well();
        self.moves += 1;
        if self.moves.is_multiple_of(20) {
            // gvfs 1.50 never lets go of the connection of a move, and stands still when it has 32 of them.
            self.gio(&["mount", "--unmount", &self.url], b"").well();
            self.gio(&["mount", &self.url], b"").well();
        }
    }

    fn remove(&mut self, path: &str) {
        self.gio(&["remove", &self.url(path)], b"").well();
    }

    fn remove_folder(&mut self, path: &str) {
        // It removes no folder that is not empty.
        for name in self.names(path) {
            let inside = format!("{path}/{name}");
            let kind = self.gio(&["info", "--attributes=standard::type", &self.url(&inside)], b"").well();
            match kind.text().contains("standard::type: 2") {
                true => self.remove_folder(&inside),
                false => self.remove(&inside),
            }
        }
        self.remove(path);
    }
}
