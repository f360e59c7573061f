//! rclone, as a mount and as a copier with each vendor that changes what it sends. It sends no validator at all, and answers any
//! failed upload with a DELETE of the file that it failed to replace.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::cutting::{Cut, CuttingProxy};
use super::libraries::installed;
use super::mounted::Mounted;
use super::program::{PATIENCE, Running, can_mount};
use super::proxy::Proxy;
use super::served::{names_in, within};
use super::signed_in::{NAME, PASSWORD, WRONG};
use crate::harness::{Server, left_out};

use super::{BOTH, Drive, Scratch, Served, SignedIn, has_all, work_out};

#[test]
fn rclone_mounts() {
    if !(has_all("rclone_mounts", &["rclone", "fusermount3"]) && can_mount("rclone_mounts")) {
        return;
    }
    let served = Served::start();
    let scratch = Scratch::new("rclone-mount");
    work_out(&mut RcloneMount::start(&scratch, &served), &served);
}

#[test]
fn rclone_copies_to_any_other_server() {
    copies("rclone_copies_to_any_other_server", "other");
}

#[test]
fn rclone_copies_as_to_nextcloud() {
    copies("rclone_copies_as_to_nextcloud", "nextcloud");
}

#[test]
fn rclone_copies_as_to_owncloud() {
    copies("rclone_copies_as_to_owncloud", "owncloud");
}

#[test]
fn rclone_copies_as_to_itself() {
    copies("rclone_copies_as_to_itself", "rclone");
}

fn copies(test: &str, vendor: &'static str) {
    if !has_all(test, &["rclone"]) {
        return;
    }
    let served = Served::start();
    work_out(&mut Rclone::new(served.url(), vendor), &served);
}

/// Where the share is for clients of Nextcloud.
fn as_nextcloud(url: &str) -> String {
    format!("{url}.noclobber/remote.php/dav/files/me/")
}

/// The rclone that sends chunks (1.63 and later): the one of PyPI beside the build, or the one that is installed.
fn newest() -> PathBuf {
    let beside = installed("python").join("bin/rclone");
    if beside.exists() { beside } else { PathBuf::from("rclone") }
}

/// Whether there is an rclone that sends chunks; says so if not.
fn sends_chunks(test: &str) -> bool {
    if !has_all(test, &[newest().to_str().expect("plain")]) {
        return false;
    }
    let scratch = Scratch::new("rclone");
    let told = scratch.run(scratch.command(newest()).args(["help", "backend", "webdav"]), b"");
    let can = told.text().contains("nextcloud-chunk-size");
    if !can {
        left_out(test, "this rclone sends no chunks");
    }
    can
}

/// rclone for the server at this address, that sends what is larger than 5 MiB in chunks.
fn in_chunks(url: &str) -> Rclone {
    let mut rclone = Rclone { program: newest(), ..Rclone::new(&as_nextcloud(url), "nextcloud") };
    rclone.variables.push(("RCLONE_CONFIG_DAV_NEXTCLOUD_CHUNK_SIZE", "5Mi".to_owned()));
    rclone
}

/// Bytes of which no two pieces are the same.
fn large(bytes: usize) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"large");
    let mut large = vec![0; bytes];
    hasher.finalize_xof().fill(&mut large);
    large
}

#[test]
fn rclone_works_by_the_place_for_nextcloud() {
    if !has_all("rclone_works_by_the_place_for_nextcloud", &["rclone"]) {
        return;
    }
    let served = Served::own(Server::builder());
    work_out(&mut in_chunks(served.url()), &served);
}

/// 200 MB go over a connection that is cut at the first, the fifth and the ninth tenth, and last when the file is to be made of the chunks. What is
/// there in the end is the file that was sent, once.
#[test]
fn rclone_sends_chunks_over_a_connection_that_breaks() {
    if !sends_chunks("rclone_sends_chunks_over_a_connection_that_breaks") {
        return;
    }
    let served = Served::own(Server::builder());
    let all = large(200_000_000);
    // Each time it begins anew.
    let cuts = [20_000_000, 120_000_000, 300_000_000].map(|bytes| (bytes, Cut::Reset));
    let server = served.authority().parse().expect("an address");
    let proxy = CuttingProxy::new(server, cuts).and_at_the_answer_to("MOVE");
    let rclone = in_chunks(&proxy.url());
    let file = rclone.scratch.file("upload", &all);
    let words = ["copyto", "--ignore-times", "--retries", "4", file.to_str().unwrap(), "dav:large.bin"];
    rclone.rclone(&words, b"").well();
    served.expect("large.bin", &all);
    let cut: Vec<_> = proxy.requests().into_iter().filter_map(|request| request.cut).collect();
    assert_eq!(cut, [Cut::Reset, Cut::Reset, Cut::Reset, Cut::Answer], "it was cut as often as was meant");
    assert_eq!(names_in(&served.local(".noclobber/uploads")), [""; 0]);
}

/// The file has changed when it is to be made of the chunks, and a condition says so: it stays as it is. rclone takes the refusal for a broken file
/// that it must clear away, and that is refused as well.
#[test]
fn rclone_refused_at_the_end_of_its_chunks_does_not_get_to_delete() {
    if !sends_chunks("rclone_refused_at_the_end_of_its_chunks_does_not_get_to_delete") {
        return;
    }
    let served = Served::own(Server::builder());
    served.write("keep.bin", b"the other's work");
    let proxy = Proxy::adding(served.authority(), "MOVE", "If-Match: \"00000000000000000000000000000000\"");
    let rclone = in_chunks(&proxy.url(served.url()));
    rclone.copy("keep.bin", &large(12_000_000)).badly();
    let sent = proxy.sent();
    assert!(sent.contains(&("MOVE".to_owned(), 412)), "it was to be refused: {sent:?}");
    served.expect("keep.bin", b"the other's work");
    // Without the condition it takes the place of what is there, which is kept.
    in_chunks(served.url()).copy("keep.bin", &large(12_000_000)).well();
    served.expect("keep.bin", &large(12_000_000));
    served.expect_kept("keep.bin", b"the other's work");
}

/// The vendors that say a time: it is the file's on the disk, and rclone finds nothing to do the second time.
#[test]
fn a_time_that_rclone_brings_is_kept() {
    if !has_all("a_time_that_rclone_brings_is_kept", &["rclone"]) {
        return;
    }
    for vendor in ["nextcloud", "owncloud"] {
        let served = Served::start();
        let rclone = Rclone::new(served.url(), vendor);
        let source = rclone.scratch.folder("source");
        std::fs::write(source.join("a.txt"), "from long ago").unwrap();
        let file = std::fs::File::options().write(true).open(source.join("a.txt")).unwrap();
        let long_ago = std::time::UNIX_EPOCH + Duration::from_secs(1_580_702_706);
        file.set_modified(long_ago).unwrap();
        let sync =
            || rclone.rclone(&["sync", "--stats-one-line", "-v", source.to_str().unwrap(), "dav:copy"], b"").well();
        sync();
        served.expect("copy/a.txt", b"from long ago");
        let modified = std::fs::metadata(served.local("copy/a.txt")).unwrap().modified().unwrap();
        assert_eq!(modified, long_ago, "{vendor}");
        let again = sync();
        assert!(again.errors.contains("There was nothing to transfer"), "{vendor}: {again}");
    }
}

/// rclone compares checksums where it is told to, and takes a file without one for the same. So what has come from it, and what a local
/// program wrote, has both that it may ask for, and a change that leaves size and date as they were is seen.
#[test]
fn rclone_sees_changes_by_their_checksums() {
    if !has_all("rclone_sees_changes_by_their_checksums", &["rclone"]) {
        return;
    }
    for vendor in ["owncloud", "nextcloud"] {
        let served = Served::start();
        let rclone = Rclone::new(served.url(), vendor);
        let source = rclone.scratch.folder("source");
        let date = std::time::UNIX_EPOCH + Duration::from_secs(1_580_702_706);
        let write = |name: &str, content: &str| {
            std::fs::write(source.join(name), content).unwrap();
            std::fs::File::options().write(true).open(source.join(name)).unwrap().set_modified(date).unwrap();
        };
        let dated = |path: &str, content: &[u8]| {
            served.write(path, content);
            std::fs::File::options().write(true).open(served.local(path)).unwrap().set_modified(date).unwrap();
        };
        let sync = || {
            let words = ["sync", "--checksum", "--stats-one-line", "-v", source.to_str().unwrap(), "dav:copy"];
            rclone.rclone(&words, b"").well()
        };
        let check = || rclone.rclone(&["check", source.to_str().unwrap(), "dav:copy"], b"");
        write("a.txt", "one");
        write("b.txt", "two");
        sync();
        check().well();
        assert!(sync().errors.contains("There was nothing to transfer"), "{vendor}");
        // The source changes, and neither its size nor its date.
        write("a.txt", "ONE");
        check().badly();
        sync();
        served.expect("copy/a.txt", b"ONE");
        check().well();
        // A local program changes what lies on the server, and neither its size nor its date.
        dated("copy/b.txt", b"TWO");
        check().badly();
        sync();
        served.expect("copy/b.txt", b"two");
        // What came otherwise is compared, too.
        dated("copy/c.txt", b"three");
        write("c.txt", "THREE");
        check().badly();
        write("c.txt", "three");
        let said = check().well();
        assert!(!said.errors.contains("hashes could not be checked"), "{vendor}: {said}");
    }
}

/// rclone takes any refusal of an upload for a broken file that it must clear away. What was refused was ours; what is there is
/// the other's, and stays.
#[test]
fn rclone_refused_does_not_get_to_delete() {
    if !has_all("rclone_refused_does_not_get_to_delete", &["rclone"]) {
        return;
    }
    let served = Served::start();
    served.write("keep.txt", b"the other's work");
    // rclone sends no If-Match of its own, so one that is stale is put in on the way.
    let proxy = Proxy::adding(served.authority(), "PUT", "If-Match: \"00000000000000000000000000000000\"");
    let rclone = Rclone::new(&proxy.url(served.url()), "other");
    let said = rclone.copy("keep.txt", b"mine");
    let sent = proxy.sent();
    assert!(sent.contains(&("PUT".to_owned(), 412)), "the upload was to be refused: {sent:?}");
    let deletes: Vec<u16> = sent.iter().filter(|(method, _)| method == "DELETE").map(|(_, status)| *status).collect();
    assert!(
        !deletes.is_empty(),
        "rclone no longer deletes after a refusal, so this test shows nothing: {sent:?} {said}"
    );
    assert!(deletes.iter().all(|status| *status == 412), "the DELETE was let through: {sent:?}");
    served.expect("keep.txt", b"the other's work");
    said.badly();
}

/// A DELETE that no refused upload went before is nobody's mistake.
#[test]
fn rclone_may_delete_what_it_was_not_refused() {
    if !has_all("rclone_may_delete_what_it_was_not_refused", &["rclone"]) {
        return;
    }
    let served = Served::start();
    served.write("old.txt", b"no longer wanted");
    Rclone::new(served.url(), "other").rclone(&["deletefile", "dav:old.txt"], b"").well();
    served.expect_gone("old.txt");
    served.expect_kept("old.txt", b"no longer wanted");
    served.restore("old.txt", b"no longer wanted");
}

/// A local program has the file open for writing, so the upload is refused for another reason; the file is there afterwards all
/// the same, with what that program wrote.
#[test]
fn rclone_does_not_get_to_delete_what_a_local_program_writes() {
    if !has_all("rclone_does_not_get_to_delete_what_a_local_program_writes", &["rclone"]) {
        return;
    }
    let served = Served::start();
    served.write("busy.txt", b"being written");
    let held = std::fs::File::options().append(true).open(served.local("busy.txt")).unwrap();
    let rclone = Rclone::new(served.url(), "other");
    let said = rclone.copy("busy.txt", b"mine, from elsewhere");
    std::io::Write::write_all(&mut &held, b", and on").unwrap();
    drop(held);
    if said.status.success() {
        // It was let in, so what it replaced is kept, with all that the other wrote into it.
        served.expect("busy.txt", b"mine, from elsewhere");
        served.expect_kept("busy.txt", b"being written, and on");
    } else {
        served.expect("busy.txt", b"being written, and on");
    }
}

#[test]
fn rclone_signs_in() {
    if !has_all("rclone_signs_in", &["rclone"]) {
        return;
    }
    for over in BOTH {
        let signed = SignedIn::start(over);
        let refused = Rclone::signed_in(&signed, WRONG);
        refused.copy("kept.txt", b"mine").badly();
        refused.rclone(&["deletefile", "dav:kept.txt"], b"").badly();
        refused.rclone(&["purge", "dav:"], b"").badly();
        signed.has_refused();
        signed.work(&mut Rclone::signed_in(&signed, PASSWORD));
    }
}

/// A mount by rclone.
#[derive(Debug)]
struct RcloneMount<'a> {
    scratch: &'a Scratch,
    served: &'a Served,
    mounted: Mounted,
    running: Running,
}

impl<'a> RcloneMount<'a> {
    /// Starts one, and waits until it is there.
    #[track_caller]
    fn start(scratch: &'a Scratch, served: &'a Served) -> Self {
        let point = scratch.folder("mount");
        let mut command = scratch.command("rclone");
        configure(&mut command, served.url(), "other");
        command.args(["mount", "dav:"]).arg(&point).arg("--cache-dir").arg(scratch.folder("cache"));
        command.args(["-vv", "--vfs-cache-mode", "writes", "--vfs-write-back", "0s"]);
        let running = scratch.start("rclone", &mut command);
        let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let is_there = within(Duration::from_secs(30), || mounts().contains(&format!(" {} ", point.display())));
        assert!(is_there, "rclone did not mount: {}", running.log());
        let mounted = Mounted::new(&point, running.id(), Duration::from_secs(240));
        Self { scratch, served, mounted, running }
    }

    /// Unmounts, which ends rclone, and mounts again.
    #[track_caller]
    fn mount_again(&mut self) {
        let mut unmount = self.scratch.command("fusermount3");
        self.scratch.run(unmount.arg("-u").arg(self.scratch.path("mount")), b"").well();
        assert!(within(PATIENCE, || !self.running.is_running()), "rclone goes on: {}", self.running.log());
        *self = Self::start(self.scratch, self.served);
    }

    /// Waits until rclone has let go of a file, which is after the system has told whoever closed it; it uploads in between, and
    /// cannot bear that something is renamed meanwhile.
    #[track_caller]
    fn wait_for_release(&self, since: u64, path: &str) {
        let words = ["r", "w", "rw"].map(|how| format!("{{{path} ({how})}}: >Release"));
        let released = self.running.wait_for(since, &[&words[0], &words[1], &words[2]]);
        released.unwrap_or_else(|log| panic!("{path} is still open: {log}"));
    }
}

impl Drive for RcloneMount<'_> {
    fn make_folder(&mut self, path: &str) {
        self.mounted.make_folder(path);
    }

    fn write(&mut self, path: &str, content: &[u8]) {
        let since = self.running.log_length();
        self.mounted.write(path, content);
        self.wait_for_release(since, path);
    }

    fn read(&mut self, path: &str) -> Vec<u8> {
        let since = self.running.log_length();
        let content = self.mounted.read(path);
        self.wait_for_release(since, path);
        content
    }

    fn names(&mut self, path: &str) -> Vec<String> {
        self.mounted.names(path)
    }

    fn rename(&mut self, from: &str, to: &str) {
        self.mounted.rename(from, to);
        if self.mounted.path(to).is_dir() {
            // What lies in a renamed folder it goes on to ask for under the old name, from any server (rclone 1.60).
            self.mount_again();
        }
    }

    fn remove(&mut self, path: &str) {
        self.mounted.remove(path);
    }

    fn remove_folder(&mut self, path: &str) {
        self.mounted.remove_folder(path);
    }
}

/// rclone at its command line.
#[derive(Debug)]
pub struct Rclone {
    scratch: Scratch,
    program: PathBuf,
    url: String,
    vendor: &'static str,
    /// How it signs in, by variables.
    variables: Vec<(&'static str, String)>,
}

impl Rclone {
    /// rclone for the server at this address.
    pub fn new(url: &str, vendor: &'static str) -> Self {
        let (scratch, program) = (Scratch::new("rclone"), PathBuf::from("rclone"));
        Self { scratch, program, url: url.to_owned(), vendor, variables: Vec::new() }
    }

    #[track_caller]
    fn signed_in(signed: &SignedIn, password: &str) -> Self {
        let rclone = Self::new(signed.served().url(), "owncloud");
        // It wants passwords so that nobody reads them over one's shoulder.
        let obscured = rclone.rclone(&["obscure", password], b"").well().text();
        let mut variables = vec![("RCLONE_CONFIG_DAV_USER", NAME.to_owned())];
        variables.push(("RCLONE_CONFIG_DAV_PASS", obscured.trim().to_owned()));
        variables.extend(signed.certificate().map(|ca| ("RCLONE_CA_CERT", ca.display().to_string())));
        Self { variables, ..rclone }
    }

    /// Runs it with these words.
    #[track_caller]
    pub fn rclone(&self, words: &[&str], input: &[u8]) -> super::program::Said {
        let mut command = self.scratch.command(&self.program);
        configure(&mut command, &self.url, self.vendor);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.args(["--retries", "1", "--low-level-retries", "2"]).args(words);
        self.scratch.run(&mut command, input)
    }

    /// Copies these bytes to a path.
    #[track_caller]
    pub fn copy(&self, path: &str, content: &[u8]) -> super::program::Said {
        let file = self.scratch.file("upload", content);
        let file = file.to_str().expect("plain").to_owned();
        self.rclone(&["copyto", "--ignore-times", &file, &format!("dav:{path}")], b"")
    }
}

/// The remote `dav:` by variables alone, so that no file of settings is read or written.
pub fn configure(command: &mut Command, url: &str, vendor: &str) {
    command.env("RCLONE_CONFIG", "/notfound").env("RCLONE_CONFIG_DAV_TYPE", "webdav");
    command.env("RCLONE_CONFIG_DAV_URL", url).env("RCLONE_CONFIG_DAV_VENDOR", vendor);
    // For chunks it wants to know the share by another URL.
    command.env("RCLONE_CONFIG_DAV_NEXTCLOUD_CHUNK_SIZE", "0");
}

impl Drive for Rclone {
    fn make_folder(&mut self, path: &str) {
        self.rclone(&["mkdir", &format!("dav:{path}")], b"").well();
    }

    fn write(&mut self, path: &str, content: &[u8]) {
        self.copy(path, content).well();
    }

    fn read(&mut self, path: &str) -> Vec<u8> {
        self.rclone(&["cat", &format!("dav:{path}")], b"").well().output
    }

    fn names(&mut self, path: &str) -> Vec<String> {
        let said = self.rclone(&["lsf", &format!("dav:{path}")], b"").well();
        said.text().lines().map(|name| name.trim_end_matches('/').to_owned()).collect()
    }

    fn rename(&mut self, from: &str, to: &str) {
        let what =
            if self.rclone(&["lsf", &format!("dav:{from}")], b"").text().ends_with("/\n") { "move" } else { "moveto" };
        self.rclone(&[what, "--ignore-times", &format!("dav:{from}"), &format!("dav:{to}")], b"").well();
    }

    fn remove(&mut self, path: &str) {
        self.rclone(&["deletefile", &format!("dav:{path}")], b"").well();
    }

    fn remove_folder(&mut self, path: &str) {
        self.rclone(&["purge", &format!("dav:{path}")], b"").well();
    }
}
