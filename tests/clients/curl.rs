//! curl, which sends what it is told and `Expect: 100-continue` with it.

use super::served::encoded;
use super::{Drive, Scratch, Served, has_all, work_out};

#[test]
fn curl_works() {
    if !has_all("curl_works", &["curl"]) {
        return;
    }
    let served = Served::start();
    let mut drive = Curl { scratch: Scratch::new("curl"), url: served.url().to_owned() };
    work_out(&mut drive, &served);
}

/// Uploads without a length, from a pipe.
#[test]
fn curl_uploads_from_a_pipe() {
    if !has_all("curl_uploads_from_a_pipe", &["curl"]) {
        return;
    }
    let served = Served::start();
    let drive = Curl { scratch: Scratch::new("curl"), url: served.url().to_owned() };
    let content = vec![b'x'; 3_000_000];
    let mut command = drive.scratch.command("curl");
    command.args(["--silent", "--show-error", "--fail", "-T", "-"]).arg(served.url_of("piped.bin"));
    drive.scratch.run(&mut command, &content).well();
    served.expect("piped.bin", &content);
}

#[derive(Debug)]
struct Curl {
    scratch: Scratch,
    url: String,
}

impl Curl {
    #[track_caller]
    fn curl(&self, words: &[&str], path: &str) -> Vec<u8> {
        let mut command = self.scratch.command("curl");
        command.args(["--silent", "--show-error", "--fail", "--path-as-is"]).args(words).arg(self.url_of(path));
        self.scratch.run(&mut command, b"").well().output
    }

    fn url_of(&self, path: &str) -> String {
        format!("{}{}", self.url, encoded(path))
    }
}

impl Drive for Curl {
    fn make_folder(&mut self, path: &str) {
        self.curl(&["-X", "MKCOL"], path);
    }

    fn write(&mut self, path: &str, content: &[u8]) {
        let file = self.scratch.file("upload", content);
        self.curl(&["-H", "Expect: 100-continue", "-T", file.to_str().expect("plain")], path);
    }

    fn read(&mut self, path: &str) -> Vec<u8> {
        self.curl(&[], path)
    }

    fn names(&mut self, path: &str) -> Vec<String> {
        let answer = self.curl(&["-X", "PROPFIND", "-H", "Depth: 1"], &format!("{path}/"));
        let answer = String::from_utf8(answer).expect("UTF-8");
        let hrefs = answer.split("href>").skip(1).step_by(2).map(|rest| rest.split('<').next().unwrap_or_default());
        let names = hrefs.filter_map(|href| href.trim_end_matches('/').rsplit('/').next());
        let decoded = names.map(|name| {
            let name = name.replace("&amp;", "&").replace("&apos;", "'").replace("&#39;", "'");
            percent_encoding::percent_decode_str(&name).decode_utf8().expect("UTF-8").into_owned()
        });
        decoded.skip(1).collect()
    }

    fn rename(&mut self, from: &str, to: &str) {
        let destination = format!("Destination: {}", self.url_of(to));
        self.curl(&["-X", "MOVE", "-H", &destination, "-H", "Overwrite: T"], from);
    }

    fn remove(&mut self, path: &str) {
        self.curl(&["-X", "DELETE"], path);
    }

    fn remove_folder(&mut self, path: &str) {
        self.curl(&["-X", "DELETE"], path);
    }
}
