//! curl, which sends what it is told and `Expect: 100-continue` with it.

use super::served::encoded;
use super::signed_in::{KEPT, NAME, PASSWORD, WRONG};
use super::{BOTH, Drive, Scratch, Served, SignedIn, has_all, work_out};

#[test]
fn curl_works() {
    if !has_all("curl_works", &["curl"]) {
        return;
    }
    let served = Served::start();
    let mut drive = Curl::new(served.url());
    work_out(&mut drive, &served);
}

/// Uploads without a length, from a pipe.
#[test]
fn curl_uploads_from_a_pipe() {
    if !has_all("curl_uploads_from_a_pipe", &["curl"]) {
        return;
    }
    let served = Served::start();
    let drive = Curl::new(served.url());
    let content = vec![b'x'; 3_000_000];
    let mut command = drive.scratch.command("curl");
    command.args(["--silent", "--show-error", "--fail", "-T", "-"]).arg(served.url_of("piped.bin"));
    drive.scratch.run(&mut command, &content).well();
    served.expect("piped.bin", &content);
}

#[test]
fn curl_signs_in() {
    if !has_all("curl_signs_in", &["curl"]) {
        return;
    }
    for (over, scheme) in BOTH.into_iter().flat_map(|over| ["--basic", "--digest"].map(|scheme| (over, scheme))) {
        let signed = SignedIn::start(over);
        let refused = Curl::signed_in(&signed, scheme, WRONG);
        for words in [&["--upload-file", "/dev/null"][..], &["-X", "DELETE"], &["-X", "LOCK"], &[]] {
            assert_eq!(refused.status(words, KEPT), "401", "{over:?} {scheme} {words:?}");
        }
        signed.has_refused();
        let mut drive = Curl::signed_in(&signed, scheme, PASSWORD);
        signed.work(&mut drive);
        let file = drive.scratch.file("upload", "changed");
        let upload = ["--upload-file", file.to_str().expect("plain")];
        let stale = [&upload[..], &["-H", "If-Match: \"0\""]].concat();
        assert_eq!(drive.status(&stale, KEPT), "412", "{over:?} {scheme}");
        signed.is_unchanged();
        let fresh = format!("If-Match: {}", crate::harness::client::tag_of("kept"));
        assert_eq!(drive.status(&[&upload[..], &["-H", &fresh]].concat(), KEPT), "204", "{over:?} {scheme}");
        signed.served().expect(KEPT, b"changed");
    }
}

#[derive(Debug)]
struct Curl {
    scratch: Scratch,
    url: String,
    /// How it signs in.
    words: Vec<String>,
}

impl Curl {
    fn new(url: &str) -> Self {
        Self { scratch: Scratch::new("curl"), url: url.to_owned(), words: Vec::new() }
    }

    fn signed_in(signed: &SignedIn, scheme: &str, password: &str) -> Self {
        let mut words = vec![scheme.to_owned(), "--user".to_owned(), format!("{NAME}:{password}")];
        words.extend(signed.certificate().into_iter().flat_map(|ca| ["--cacert".to_owned(), ca.display().to_string()]));
        Self { words, ..Self::new(signed.served().url()) }
    }

    /// The status of the answer.
    #[track_caller]
    fn status(&self, words: &[&str], path: &str) -> String {
        let mut command = self.scratch.command("curl");
        command.args(["--silent", "--show-error", "--output", "/dev/null", "--write-out", "%{http_code}"]);
        self.scratch.run(command.args(&self.words).args(words).arg(self.url_of(path)), b"").well().text()
    }

    #[track_caller]
    fn curl(&self, words: &[&str], path: &str) -> Vec<u8> {
        let mut command = self.scratch.command("curl");
        command
            .args(["--silent", "--show-error", "--fail", "--path-as-is"])
            .args(&self.words)
            .args(words)
            .arg(self.url_of(path));
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
