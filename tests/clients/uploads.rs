//! The clients of uploads that go on: npm's `tus-js-client` and PyPI's `tuspy`, and curl for the draft of the IETF, told by a script what its man page
//! says. Each has its connection cut at every tenth of the file, the server killed on the way, and the file changed by somebody else meanwhile.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::cutting::{Cut, CuttingProxy, Passed};
use super::libraries::{installed, script};
use super::{Scratch, has_all};
use crate::harness::client::tag_of;
use crate::harness::{Server, canaries, heavy};

/// How long the file is, in bytes.
const LENGTH: usize = 200_000_000;

/// How long one upload may take, on a machine that is busy with other tests.
const LIMIT: Duration = Duration::from_secs(240);

/// What a server may have written and not yet brought to the disk when it is killed, as its documents say; in bytes.
const UNSYNCED_MAX: u64 = 64 << 20;

/// What a server may have received and not taken in when the connection ends, in bytes.
const ON_ITS_WAY_MAX: u64 = 256 << 10;

/// Who uploads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Uploader {
    TusJs,
    TusPy,
    Curl,
}

#[test]
fn tus_js_client_goes_on() {
    goes_on(Uploader::TusJs, "tus_js_client_goes_on");
}

#[test]
fn tuspy_goes_on() {
    goes_on(Uploader::TusPy, "tuspy_goes_on");
}

#[test]
fn curl_goes_on_by_the_draft() {
    goes_on(Uploader::Curl, "curl_goes_on_by_the_draft");
}

fn goes_on(uploader: Uploader, test: &str) {
    let Some(uploads) = Uploads::new(uploader, test) else { return };
    let _heavy = heavy();
    uploads.cut_at_every_tenth();
    uploads.the_server_is_killed();
    uploads.somebody_else_was_faster();
}

/// A file, and who uploads it.
#[derive(Debug)]
struct Uploads {
    uploader: Uploader,
    scratch: Scratch,
    file: PathBuf,
    content: Vec<u8>,
}

impl Uploads {
    fn new(uploader: Uploader, test: &str) -> Option<Self> {
        let modules = installed("npm").join("node_modules");
        let python = installed("python").join("bin/python");
        let needed = match uploader {
            Uploader::TusJs => vec!["node".to_owned(), modules.join("tus-js-client").display().to_string()],
            Uploader::TusPy => {
                vec![python.display().to_string(), module_of_python("tusclient").display().to_string()]
            }
            Uploader::Curl => vec!["curl".to_owned()],
        };
        if !has_all(test, &needed.iter().map(String::as_str).collect::<Vec<_>>()) {
            return None;
        }
        let scratch = Scratch::new("uploads");
        if uploader == Uploader::TusJs {
            // Node looks for a module beside the script that asks for it.
            std::os::unix::fs::symlink(&modules, scratch.path("node_modules")).expect("a symbolic link");
            std::fs::copy(script("tus_js.mjs"), scratch.path("upload.mjs")).expect("the script can be copied");
        }
        let mut content = vec![0; LENGTH];
        blake3::Hasher::new().update(test.as_bytes()).finalize_xof().fill(&mut content);
        let file = scratch.file("upload", &content);
        Some(Self { uploader, scratch, file, content })
    }

    /// Every other cut loses what was on its way.
    fn cut_at_every_tenth(&self) {
        let server = Server::start();
        let tenths =
            (1..10).map(|tenth| (tenth * LENGTH as u64 / 10, if tenth % 2 == 0 { Cut::Reset } else { Cut::End }));
        let proxy = CuttingProxy::new(server.address(), tenths);
        let ended = self.upload(&proxy.url(), "cut.bin", &[("if-none-match", "*")]);
        assert_eq!(ended, json!({"ok": true}), "{:#?}", proxy.requests());
        self.is_there(&server, "cut.bin");
        let requests = proxy.requests();
        assert_eq!(requests.iter().filter(|request| request.cut.is_some()).count(), 9, "{requests:#?}");
        Self::nothing_was_sent_twice(&requests);
        assert_eq!(server.names(".noclobber/uploads"), [""; 0]);
    }

    fn the_server_is_killed(&self) {
        let mut server = Server::start();
        let proxy = CuttingProxy::new(server.address(), [(LENGTH as u64 * 6 / 10, Cut::Hold)]);
        let url = proxy.url();
        let ended = std::thread::scope(|scope| {
            let uploading = scope.spawn(|| self.upload(&url, "killed.bin", &[]));
            proxy.wait_until_it_holds();
            server.kill();
            server.start_again();
            proxy.leads_to(server.address());
            proxy.lets_go();
            uploading.join().expect("the upload ends")
        });
        let requests = proxy.requests();
        assert_eq!(ended, json!({"ok": true}), "{requests:#?}");
        self.is_there(&server, "killed.bin");
        let killed = requests.iter().position(|request| request.cut.is_some()).expect("it was cut");
        let told = requests[killed..].iter().find_map(|request| request.told.filter(|_| request.method == "HEAD"));
        let passed = requests[killed].offset.unwrap_or(0) + requests[killed].bytes;
        let told = told.expect("it asks how far it has come");
        assert!(told + UNSYNCED_MAX + (1 << 20) >= passed, "{told} of {passed} were left: {requests:#?}");
        assert!(told >= requests[killed].told.unwrap_or(0), "less than was told before: {requests:#?}");
    }

    /// The file that it is to replace changes while it comes: nothing is overwritten, whenever its client hears of it.
    fn somebody_else_was_faster(&self) {
        for by_program in [false, true] {
            let server = Server::start();
            server.put("/shared.bin").body("first").expect(201);
            let proxy = CuttingProxy::new(server.address(), [(LENGTH as u64 / 2, Cut::Hold)]);
            let (url, first) = (proxy.url(), tag_of("first"));
            let ended = std::thread::scope(|scope| {
                let uploading = scope.spawn(|| self.upload(&url, "shared.bin", &[("if-match", &first)]));
                proxy.wait_until_it_holds();
                if by_program {
                    server.write("shared.bin", "second");
                } else {
                    server.put("/shared.bin").if_match(&first).body("second").expect(204);
                }
                proxy.lets_go();
                uploading.join().expect("the upload ends")
            });
            assert_eq!(
                (&ended["ok"], &ended["status"]),
                (&json!(false), &json!(412)),
                "{ended} {:#?}",
                proxy.requests()
            );
            assert_eq!(server.read("shared.bin"), "second");
            if self.uploader == Uploader::Curl {
                self.finishes_under_another_name(&server, ended["url"].as_str().expect("it was told where"));
            }
        }
    }

    /// What was sent is not sent again.
    fn finishes_under_another_name(&self, server: &Server, url: &str) {
        let counts = server.head(url).expect(412).field("upload-offset").parse::<usize>().expect("a number");
        assert!(counts >= LENGTH / 2 - (8 << 20), "{counts}");
        let rest = server
            .request("PATCH", url)
            .header("content-type", "application/partial-upload")
            .header("upload-offset", counts.to_string())
            .header("upload-complete", "?1")
            .header("destination", "/other.bin")
            .header("if-none-match", "*");
        rest.body(&self.content[counts..]).expect(201);
        self.is_there(server, "other.bin");
    }

    #[track_caller]
    fn is_there(&self, server: &Server, path: &str) {
        let found = std::fs::read(server.local(path)).expect("the file is there");
        assert!(found == self.content, "{path} has other bytes, {} of {LENGTH}", found.len());
    }

    /// Whoever goes on does so where the server said that it is, and that is behind all that had arrived.
    #[track_caller]
    fn nothing_was_sent_twice(requests: &[Passed]) {
        let mut came: Option<&Passed> = None;
        let mut told_before = 0;
        for request in requests.iter().filter(|request| request.bytes > 0) {
            let begins = request.offset.unwrap_or(0);
            assert!(begins >= told_before, "{begins} was told {told_before}: {requests:#?}");
            if let Some(came) = came.filter(|came| came.cut == Some(Cut::End)) {
                let arrived = came.offset.unwrap_or(0) + came.bytes;
                // The frames of chunks are no bytes of the file.
                let frames = if came.in_chunks { came.bytes / 100 + 1024 } else { 0 };
                let is_behind = begins + frames + ON_ITS_WAY_MAX >= arrived;
                assert!(begins <= arrived && is_behind, "{begins} of {arrived}: {requests:#?}");
            }
            told_before = told_before.max(request.told.unwrap_or(0));
            came = Some(request);
        }
    }

    /// Uploads the file through a proxy; says how that ended.
    #[track_caller]
    fn upload(&self, url: &str, name: &str, conditions: &[(&str, &str)]) -> Value {
        let endpoint = format!("{url}.noclobber/tus/");
        let pairs = conditions.iter().map(|(key, value)| format!("{key}={value}"));
        let pairs: Vec<_> = std::iter::once(format!("filename={name}")).chain(pairs).collect();
        match self.uploader {
            Uploader::TusJs => {
                let mut command = self.scratch.command("node");
                self.said(command.args(["--preserve-symlinks", "upload.mjs", &endpoint]).arg(&self.file).args(pairs))
            }
            Uploader::TusPy => {
                let mut command = self.scratch.command(installed("python").join("bin/python"));
                let piece = (LENGTH / 4).to_string();
                command.arg(script("tus_py.py")).arg(&endpoint).arg(&self.file).arg(piece).args(pairs);
                self.said(&mut command)
            }
            Uploader::Curl => self.upload_by_curl(url, name, conditions),
        }
    }

    #[track_caller]
    fn said(&self, command: &mut std::process::Command) -> Value {
        let said = self.scratch.run_within(LIMIT, command, b"").well().text();
        let line = said.lines().last().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {said}"))
    }

    /// As a script does it that follows the draft: all at once, and where that breaks it asks how far it has come and sends the rest.
    fn upload_by_curl(&self, url: &str, name: &str, conditions: &[(&str, &str)]) -> Value {
        let heads = self.scratch.path("heads");
        let fields = conditions.iter().flat_map(|(key, value)| ["-H".to_owned(), format!("{key}: {value}")]);
        let begin = ["-H", "Upload-Complete: ?1", "-H", "Upload-Draft-Interop-Version: 8", "-T"].map(str::to_owned);
        let begin: Vec<_> = fields.chain(begin).chain([self.file.display().to_string()]).collect();
        let mut status = self.curl(&begin, &format!("{url}{name}"), &heads);
        let Some(place) = location(&heads) else {
            return json!({"ok": false, "why": "it was not told where to go on"});
        };
        canaries::note(place.rsplit('/').next().expect("a name"));
        let upload = format!("{}{place}", url.trim_end_matches('/'));
        for _ in 0..60 {
            match status {
                200..300 => return json!({"ok": true}),
                0 => {}
                status => return json!({"ok": false, "status": status, "url": place}),
            }
            std::thread::sleep(Duration::from_millis(100));
            let asked = self.curl(&["--head".to_owned()], &upload, &heads);
            status = asked;
            let Some(offset) = field_in(&heads, "upload-offset").filter(|_| (200..300).contains(&asked)) else {
                continue;
            };
            let rest = self.rest_from(offset.parse().expect("a number"));
            let patch = [
                "-X",
                "PATCH",
                "-H",
                "Content-Type: application/partial-upload",
                "-H",
                "Upload-Complete: ?1",
                "-H",
                &format!("Upload-Offset: {offset}"),
                "-T",
                rest.to_str().expect("plain"),
            ];
            status = self.curl(&patch.map(str::to_owned), &upload, &heads);
        }
        json!({"ok": false, "why": "it was tried for too long"})
    }

    fn rest_from(&self, offset: usize) -> PathBuf {
        self.scratch.file("rest", &self.content[offset..])
    }

    /// The status of the last answer, or 0 if there was none.
    #[track_caller]
    fn curl(&self, words: &[String], url: &str, heads: &Path) -> u16 {
        let _ = std::fs::remove_file(heads);
        let mut command = self.scratch.command("curl");
        command.args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code} %{exitcode}", "--dump-header"]);
        let said = self.scratch.run_within(LIMIT, command.arg(heads).args(words).arg(url), b"").text();
        let (status, ended) = said.trim().split_once(' ').expect("two numbers");
        // An interim response is no answer.
        if ended == "0" { status.parse().expect("a number") } else { 0 }
    }
}

/// Where a module of Python lies, if it is there.
fn module_of_python(name: &str) -> PathBuf {
    let lib = installed("python").join("lib");
    let versions = std::fs::read_dir(&lib).into_iter().flatten().flatten().map(|version| version.path());
    let mut places = versions.map(|version| version.join("site-packages").join(name));
    places.find(|place| place.is_dir()).unwrap_or_else(|| lib.join(name))
}

fn location(heads: &Path) -> Option<String> {
    field_in(heads, "location").filter(|url| url.contains("/.noclobber/uploads/"))
}

/// The last value of a field in the heads that curl has kept.
fn field_in(heads: &Path, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(heads).ok()?;
    let mut found =
        text.lines().filter_map(|line| line.split_once(':')).filter(|(found, _)| found.eq_ignore_ascii_case(name));
    found.next_back().map(|(_, value)| value.trim().to_owned())
}
