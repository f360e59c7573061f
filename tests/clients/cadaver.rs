//! cadaver, the command line of neon: OPTIONS, PROPFIND and MOVE with a slash put at the end of names, LOCK and tagged `If`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use super::signed_in::{NAME, Over, PASSWORD, WRONG};
use super::{BOTH, Drive, Scratch, Served, SignedIn, has_all, work_out};

#[test]
fn cadaver_works() {
    if !has_all("cadaver_works", &["cadaver"]) {
        return;
    }
    let served = Served::start();
    let mut drive = Cadaver::new(served.url());
    work_out(&mut drive, &served);
}

/// It writes with the lock it holds, and after an outside change it is refused although it holds the lock.
#[test]
fn cadaver_saves_under_its_lock() {
    if !has_all("cadaver_saves_under_its_lock", &["cadaver"]) {
        return;
    }
    let served = Served::start();
    let drive = Cadaver::new(served.url());
    drive.scratch.file("mine", "mine, under the lock");
    served.write("locked.txt", b"before");
    drive.say("lock locked.txt\nput mine locked.txt\ndiscover locked.txt\nunlock locked.txt\n");
    served.expect("locked.txt", b"mine, under the lock");
    served.expect_kept("locked.txt", b"before");

    let mut command = drive.scratch.command("cadaver");
    let mut cadaver = drive.scratch.start("cadaver", command.arg(&drive.url));
    let locked = cadaver.type_line("lock locked.txt", &["succeeded", "failed"]);
    assert!(locked.contains("succeeded"), "{locked}");
    served.write("locked.txt", b"outside");
    let saved = cadaver.type_line("put mine locked.txt", &["succeeded", "failed"]);
    assert!(saved.contains("412"), "{saved}");
    served.expect("locked.txt", b"outside");
}

#[test]
fn cadaver_signs_in() {
    if !has_all("cadaver_signs_in", &["cadaver", "setsid", "script"]) {
        return;
    }
    for over in BOTH {
        let signed = SignedIn::start(over);
        if over == Over::Plain {
            // It then asks for a name and a password, and is given none.
            Cadaver::signed_in(&signed, over, WRONG).cadaver("");
            signed.has_refused();
        }
        signed.work(&mut Cadaver::signed_in(&signed, over, PASSWORD));
    }
}

#[derive(Debug)]
struct Cadaver {
    scratch: Scratch,
    url: String,
    /// Whether it asks on a terminal whether the certificate is right; there is no other way to tell it.
    asks: bool,
}

impl Cadaver {
    fn new(url: &str) -> Self {
        Self { scratch: Scratch::new("cadaver"), url: url.to_owned(), asks: false }
    }

    /// It reads name and password from a file in its home.
    fn signed_in(signed: &SignedIn, over: Over, password: &str) -> Self {
        let cadaver = Self { asks: over == Over::Tls, ..Self::new(signed.served().url()) };
        let login = format!("machine 127.0.0.1 login {NAME} password {password}\n");
        let file = cadaver.scratch.file("home/.netrc", login);
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("its mode can be set");
        cadaver
    }

    #[track_caller]
    fn cadaver(&self, script: &str) -> super::program::Said {
        let script = format!("{script}quit\n");
        if self.asks {
            let mut command = self.scratch.command("script");
            command.env("TERM", "dumb").args(["-q", "-e", "-c", &format!("cadaver {}", self.url), "/dev/null"]);
            return self.scratch.run(&mut command, format!("y\n{script}").as_bytes());
        }
        // Without a terminal, on which it would ask for a password.
        let mut command: Command = self.scratch.command("setsid");
        self.scratch.run(command.args(["-w", "cadaver"]).arg(&self.url), script.as_bytes())
    }

    /// Runs a script in which nothing may fail; cadaver says so in words alone.
    #[track_caller]
    fn say(&self, script: &str) -> String {
        let said = self.cadaver(script);
        let text = said.text();
        assert!(
            !text.contains("failed")
                && !text.contains("is not a collection")
                && !text.contains("not found")
                && !text.contains("error"),
            "{script}: {said}"
        );
        text
    }
}

/// A word of cadaver's command line.
fn quoted(path: &str) -> String {
    format!("\"{}\"", path.replace('\\', "\\\\").replace('"', "\\\""))
}

impl Drive for Cadaver {
    fn make_folder(&mut self, path: &str) {
        self.say(&format!("mkcol {}\n", quoted(path)));
    }

    fn write(&mut self, path: &str, content: &[u8]) {
        self.scratch.file("upload", content);
        self.say(&format!("put upload {}\n", quoted(path)));
    }

    fn read(&mut self, path: &str) -> Vec<u8> {
        let _ = std::fs::remove_file(self.scratch.path("download"));
        self.say(&format!("get {} download\n", quoted(path)));
        std::fs::read(self.scratch.path("download")).expect("what cadaver brought")
    }

    fn names(&mut self, path: &str) -> Vec<String> {
        let listed = self.say(&format!("ls {}\n", quoted(path)));
        // A line of the list: the name, spaces, the size, and the day.
        let lines = listed.lines().filter(|line| line.starts_with("        "));
        lines.filter_map(|line| name_of(line.trim())).collect()
    }

    fn rename(&mut self, from: &str, to: &str) {
        self.say(&format!("move {} {}\n", quoted(from), quoted(to)));
    }

    fn remove(&mut self, path: &str) {
        self.say(&format!("delete {}\n", quoted(path)));
    }

    fn remove_folder(&mut self, path: &str) {
        self.say(&format!("rmcol {}\n", quoted(path)));
    }
}

/// The name in a line such as `two  words.txt          12  Nov 22 19:30`.
fn name_of(line: &str) -> Option<String> {
    let mut rest = line;
    for _ in 0..4 {
        rest = rest.rsplit_once(char::is_whitespace)?.0.trim_end();
    }
    Some(rest.to_owned())
}
