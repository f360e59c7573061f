//! cadaver, the command line of neon: OPTIONS, PROPFIND and MOVE with a slash put at the end of names, LOCK and tagged `If`.

use super::{Drive, Scratch, Served, has_all, work_out};

#[test]
fn cadaver_works() {
    if !has_all("cadaver_works", &["cadaver"]) {
        return;
    }
    let served = Served::start();
    let mut drive = Cadaver { scratch: Scratch::new("cadaver"), url: served.url().to_owned() };
    work_out(&mut drive, &served);
}

/// It writes with the lock it holds, and after an outside change it is refused although it holds the lock.
#[test]
fn cadaver_saves_under_its_lock() {
    if !has_all("cadaver_saves_under_its_lock", &["cadaver"]) {
        return;
    }
    let served = Served::start();
    let drive = Cadaver { scratch: Scratch::new("cadaver"), url: served.url().to_owned() };
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

#[derive(Debug)]
struct Cadaver {
    scratch: Scratch,
    url: String,
}

impl Cadaver {
    #[track_caller]
    fn cadaver(&self, script: &str) -> super::program::Said {
        let mut command = self.scratch.command("cadaver");
        self.scratch.run(command.arg(&self.url), format!("{script}quit\n").as_bytes())
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
