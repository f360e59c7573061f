//! The server is killed at every moment that matters: at random under load, and before every single call that changes the disk.
//! Afterwards every file is old or new and whole, every acknowledged write is there, and nothing stray is left.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::order::Tracer;
use crate::harness::disk_images::{DiskImage, Kind};
use crate::harness::{Answer, Dice, Request, Server, eventually, full, heavy, left_out, report};

const FILES: usize = 6;

/// What a writer knows about its file: the text that was last acknowledged, and those it has sent since.
#[derive(Clone, Debug, Default)]
struct Known {
    acknowledged: Option<u64>,
    in_flight: Vec<Option<u64>>,
    /// Every text that was ever acknowledged: each is at the name or in the history.
    all: Vec<u64>,
}

/// `kill -9` at random instants under load, two hundred times, on one folder.
#[test]
fn killed_at_random_instants() {
    let _turn = heavy();
    let kills = if full() { 1000 } else { 200 };
    let mut dice = Dice::shaken("killed_at_random_instants");
    let folder = tempfile::Builder::new().prefix("noclobber-share-").tempdir_in(fast_place()).unwrap();
    let mut server = Server::on(folder.path());
    let known: Vec<Mutex<Known>> = (0..FILES).map(|_| Mutex::default()).collect();
    let begun = Instant::now();
    let mut next = 1;
    for kill in 0..kills {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for (number, known) in known.iter().enumerate() {
                let (server, done) = (&server, &done);
                scope.spawn(move || write_until(server, number, next, known, done));
            }
            std::thread::sleep(Duration::from_micros(dice.below(60_000)));
            server.signal(rustix::process::Signal::KILL);
            done.store(true, Ordering::Relaxed);
        });
        next += 100_000;
        server.wait(Duration::from_secs(10));
        server.start_again();
        check_after(&server, &known, &format!("kill {kill}"));
    }
    let written = all_are_kept(&server, &known);
    report(&format!("{kills} kills under load: {written} acknowledged writes, none lost, {:?}", begun.elapsed()));
    assert!(written > kills, "{written} writes are too few to tell");
}

/// The power is cut under load, in the two ways a journal can be found; the file system is mounted anew, and every acknowledged
/// write is there.
#[test]
fn power_cuts_under_load() {
    let _turn = heavy();
    let cuts = if full() { 50 } else { 4 };
    for kind in [Kind::Ext4, Kind::Xfs] {
        let disk = match DiskImage::mount(kind, 400) {
            Ok(disk) => disk,
            Err(why) => {
                left_out(&format!("power_cuts_under_load ({kind:?})"), &why);
                continue;
            }
        };
        let mut dice = Dice::shaken("power_cuts_under_load");
        let mut server = Server::with("--history-percent=90").folder(disk.path()).start();
        let known: Vec<Mutex<Known>> = (0..FILES).map(|_| Mutex::default()).collect();
        for cut in 0..cuts {
            let done = AtomicBool::new(false);
            let cutting = std::thread::scope(|scope| {
                for (number, known) in known.iter().enumerate() {
                    let (server, done) = (&server, &done);
                    scope.spawn(move || write_until(server, number, 1 + cut * 100_000, known, done));
                }
                std::thread::sleep(Duration::from_millis(50 + dice.below(300)));
                let cutting = disk.cut_power(cut % 2 == 0);
                done.store(true, Ordering::Relaxed);
                cutting
            });
            if let Err(why) = cutting {
                left_out(&format!("power_cuts_under_load ({kind:?})"), &why);
                break;
            }
            server.kill();
            disk.mount_again();
            server.start_again();
            check_after(&server, &known, &format!("cut {cut} on {kind:?}"));
        }
        let written = all_are_kept(&server, &known);
        report(&format!("{cuts} power cuts under load on {kind:?}: {written} acknowledged writes, none lost"));
    }
}

/// Each file is as it was acknowledged, or as was being asked when the end came; from here on, what is there counts.
#[track_caller]
fn check_after(server: &Server, known: &[Mutex<Known>], when: &str) {
    for (number, known) in known.iter().enumerate() {
        let found = found_at(server, number);
        let mut known = known.lock().unwrap();
        let allowed = known.acknowledged == found || known.in_flight.contains(&found);
        assert!(allowed, "after {when}, file {number} has {found:?}: {known:?}");
        known.acknowledged = found;
        known.in_flight.clear();
    }
    no_litter(server, &format!("after {when}"));
}

/// Every text that was ever acknowledged is at its name or in the history; gives how many there are.
#[track_caller]
fn all_are_kept(server: &Server, known: &[Mutex<Known>]) -> usize {
    let kept = texts_kept(server);
    let mut written = 0;
    for (number, known) in known.iter().enumerate() {
        let known = known.lock().unwrap();
        written += known.all.len();
        let is_lost = |text: &&u64| !kept.contains(&(number, **text)) && known.acknowledged != Some(**text);
        let lost: Vec<&u64> = known.all.iter().filter(is_lost).collect();
        assert!(lost.is_empty(), "acknowledged texts of file {number} that are nowhere: {lost:?}");
    }
    written
}

/// Tags are the same after a kill, for a file that is not hashed before it is answered, for a small one that a listing met before anybody
/// read it, for one that was read first, and for what a client stored a moment ago.
#[test]
fn tags_are_the_same_after_a_kill() {
    let mut server = Server::start();
    let large = Dice::new(1).bytes(9 << 20);
    let listed = |server: &Server| {
        let listing = server.get("/?json").expect(200).json();
        let entries = listing.as_array().or_else(|| listing["entries"].as_array()).expect("entries").clone();
        let tag =
            |entry: &serde_json::Value| Some((entry["name"].as_str()?.to_owned(), entry["etag"].as_str()?.to_owned()));
        entries.iter().filter_map(tag).collect::<BTreeMap<_, _>>()
    };
    for name in ["met.txt", "met-large.bin", "read.txt"] {
        server.write(name, if name.ends_with("bin") { &large[1..] } else { name.as_bytes() });
    }
    server.get("/read.txt").expect(200);
    let before = listed(&server);
    assert_eq!(before.len(), 3, "{before:?}");
    let stored = server.put("/large.bin").body(&large).expect(201).tag();
    let small = server.put("/small.txt").body("small").expect(201).tag();
    server.kill();
    server.start_again();
    let after = listed(&server);
    for (name, tag) in before {
        assert_eq!(after[&name], tag, "{name} in the listing");
        assert_eq!(server.get(format!("/{name}")).expect(200).tag(), tag, "{name}");
    }
    for (name, tag) in [("large.bin", stored), ("small.txt", small)] {
        assert_eq!(after[name], tag, "{name} in the listing");
        assert_eq!(server.head(format!("/{name}")).expect(200).tag(), tag, "{name}");
    }
    // What a killed process knew is in the database when the next one stops, and nothing stays beside it.
    server.stop();
    let left: Vec<_> = fs::read_dir(server.state()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["index.redb"], "{left:?}");
}

/// Killed before every call that changes the disk, while one file is created.
#[test]
fn killed_at_every_step_of_a_create() {
    at_every_step("killed_at_every_step_of_a_create", Ending::Killed, &CREATE);
}

/// Killed before every call that changes the disk, while one file is replaced.
#[test]
fn killed_at_every_step_of_a_replace() {
    at_every_step("killed_at_every_step_of_a_replace", Ending::Killed, &REPLACE);
}

/// Killed before every call that changes the disk, while one file is deleted.
#[test]
fn killed_at_every_step_of_a_delete() {
    at_every_step("killed_at_every_step_of_a_delete", Ending::Killed, &DELETE);
}

/// Killed before every call that changes the disk, while something is appended to one file.
#[test]
fn killed_at_every_step_of_a_patch() {
    at_every_step("killed_at_every_step_of_a_patch", Ending::Killed, &PATCH);
}

/// The disk fails once, at each of the calls, while something is appended to one file.
#[test]
fn failed_at_every_step_of_a_patch() {
    at_every_step("failed_at_every_step_of_a_patch", Ending::Failed, &PATCH);
}

/// The disk fails once, at each of the calls, while one file is created.
#[test]
fn failed_at_every_step_of_a_create() {
    at_every_step("failed_at_every_step_of_a_create", Ending::Failed, &CREATE);
}

/// The disk fails once, at each of the calls, while one file is replaced.
#[test]
fn failed_at_every_step_of_a_replace() {
    at_every_step("failed_at_every_step_of_a_replace", Ending::Failed, &REPLACE);
}

/// The disk fails once, at each of the calls, while one file is deleted.
#[test]
fn failed_at_every_step_of_a_delete() {
    at_every_step("failed_at_every_step_of_a_delete", Ending::Failed, &DELETE);
}

/// Killed before every call that changes the disk, while one file is replaced by an upload that comes in two parts.
#[test]
fn killed_at_every_step_of_a_resumed_upload() {
    at_every_step("killed_at_every_step_of_a_resumed_upload", Ending::Killed, &RESUME);
}

/// The disk fails once, at each of the calls, while one file is replaced by an upload that comes in two parts.
#[test]
fn failed_at_every_step_of_a_resumed_upload() {
    at_every_step("failed_at_every_step_of_a_resumed_upload", Ending::Failed, &RESUME);
}

/// Killed before every call that changes the disk, while one file is replaced by an upload that comes in two chunks.
#[test]
fn killed_at_every_step_of_an_upload_in_chunks() {
    at_every_step("killed_at_every_step_of_an_upload_in_chunks", Ending::Killed, &CHUNKS);
}

/// The disk fails once, at each of the calls, while one file is replaced by an upload that comes in two chunks.
#[test]
fn failed_at_every_step_of_an_upload_in_chunks() {
    at_every_step("failed_at_every_step_of_an_upload_in_chunks", Ending::Failed, &CHUNKS);
}

/// Killed before every call that changes the disk, while one file is moved over another.
#[test]
fn killed_at_every_step_of_a_move() {
    at_every_step("killed_at_every_step_of_a_move", Ending::Killed, &MOVE);
}

/// The disk fails once, at each of the calls, while one file is moved over another.
#[test]
fn failed_at_every_step_of_a_move() {
    at_every_step("failed_at_every_step_of_a_move", Ending::Failed, &MOVE);
}

/// One operation, and the text that the file may have afterwards: as before, or as asked.
struct Operation {
    method: &'static str,
    /// Whether it is an upload that goes on.
    goes_on: bool,
    outcomes: [Option<u64>; 2],
}

const CREATE: Operation = Operation { method: "PUT", goes_on: false, outcomes: [None, Some(2)] };
const REPLACE: Operation = Operation { method: "PUT", goes_on: false, outcomes: [Some(1), Some(2)] };
const PATCH: Operation = Operation { method: "PATCH", goes_on: false, outcomes: [Some(1), Some(2)] };
const DELETE: Operation = Operation { method: "DELETE", goes_on: false, outcomes: [Some(1), None] };
const RESUME: Operation = Operation { method: "PATCH", goes_on: true, outcomes: [Some(1), Some(2)] };
/// MKCOL, a PUT for each chunk, and the MOVE that makes the file of them.
const CHUNKS: Operation = Operation { method: "MKCOL", goes_on: true, outcomes: [Some(1), Some(2)] };
const MOVE: Operation = Operation { method: "MOVE", goes_on: false, outcomes: [Some(1), Some(2)] };

/// What a PATCH appends.
const APPENDED: &[u8] = b"and this";

/// What becomes of the server at the call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ending {
    Killed,
    Failed,
}

impl Ending {
    /// The calls that change what is on the disk. A kill between two of them finds the disk as a kill before the second. Those
    /// that sockets use too are not made to fail.
    fn calls(self) -> &'static [&'static str] {
        match self {
            Ending::Killed => &[
                "openat2",
                "openat",
                "mkdirat",
                "write",
                "pwrite64",
                "fallocate",
                "fchmod",
                "fchown",
                "fsync",
                "linkat",
                "renameat2",
                "unlinkat",
                "utimensat",
                "sendto",
            ],
            Ending::Failed => {
                &["openat2", "mkdirat", "pwrite64", "fallocate", "fchmod", "fsync", "linkat", "renameat2", "unlinkat"]
            }
        }
    }

    fn injection(self, call: &str, nth: u32) -> String {
        match self {
            Ending::Killed => format!("inject={call}:signal=KILL:when={nth}"),
            Ending::Failed => format!("inject={call}:error=EIO:when={nth}"),
        }
    }
}

fn at_every_step(name: &str, ending: Ending, operation: &Operation) {
    if !Tracer::can_trace() {
        return left_out(name, "strace cannot be had");
    }
    let _turn = heavy();
    let (mut points, mut seen) = (0, BTreeSet::new());
    for call in ending.calls() {
        for nth in 1.. {
            let what = format!("{ending:?} at {call} number {nth}");
            let (found, struck) = one_step(ending, operation, call, nth, &what);
            if !struck {
                break;
            }
            seen.insert(found);
            points += 1;
            assert!(nth < 120, "{call} is called without end");
        }
    }
    report(&format!("{name}: {points} points"));
    assert!(points >= 5, "{points} points are too few to be all");
    assert_eq!(seen.len(), 2, "both outcomes were met: {seen:?}");
}

/// Runs the operation with one call struck; gives what the file had in the end, and whether there was such a call at all.
fn one_step(ending: Ending, operation: &Operation, call: &str, nth: u32, what: &str) -> (Option<u64>, bool) {
    let folder = tempfile::Builder::new().prefix("noclobber-share-").tempdir_in(fast_place()).unwrap();
    fs::create_dir(folder.path().join("docs")).unwrap();
    if let Some(version) = operation.outcomes[0] {
        let old = folder.path().join("docs/a.txt");
        fs::write(&old, text(0, version)).unwrap();
        // Not as an upload is made, so that it has to be given this mode.
        fs::set_permissions(&old, fs::Permissions::from_mode(0o640)).unwrap();
    }
    if operation.method == "MOVE" {
        fs::write(folder.path().join("docs/b.txt"), text(0, 2)).unwrap();
    }
    let mut server = Server::with("--no-watch").folder(folder.path()).start();
    let tracer = Tracer::attach(&server, &["-e", &format!("trace={call}"), "-e", &ending.injection(call, nth)]);
    let (mut half_done, mut chunks) = (None, Vec::new());
    let answer = match operation.method {
        "PUT" => server.request("PUT", "/docs/a.txt").body(text(0, 2)).try_send(),
        "PATCH" if operation.goes_on => {
            begin_half(&server).and_then(|begun| match begun.header("location").filter(|_| begun.status == 201) {
                Some(url) => rest_of(&server, half_done.insert(url.to_owned()), HALF).try_send(),
                None => Ok(begun),
            })
        }
        "PATCH" => server
            .request("PATCH", "/docs/a.txt")
            .header("Content-Type", "application/x-sabredav-partialupdate")
            .header("X-Update-Range", "append")
            .body(APPENDED)
            .try_send(),
        "MKCOL" => in_chunks(&server, &mut chunks),
        "MOVE" => server.request("MOVE", "/docs/b.txt").header("Destination", "/docs/a.txt").try_send(),
        method => server.request(method, "/docs/a.txt").try_send(),
    };
    let acknowledged = answer.as_ref().is_ok_and(|answer| answer.status < 300);
    if let (Ending::Failed, Ok(answer)) = (ending, &answer) {
        assert!(acknowledged || answer.status >= 400, "{what}: {answer}");
    }
    assert!(ending == Ending::Killed || server.is_running(), "{what}: the server fell over:\n{}", server.log());
    let struck = match ending {
        Ending::Killed => !acknowledged || !still_runs(&mut server),
        Ending::Failed => tracer.stop().has_struck(),
    };
    if ending == Ending::Failed {
        check_outcome(&server, operation, acknowledged, what);
        server.put("/docs/other.txt").body(text(0, 5)).expect(201);
        server.delete("/docs/other.txt").expect(204);
    }
    if server.is_running() {
        server.kill();
    } else {
        server.wait(Duration::from_secs(10));
    }
    server.start_again();
    let found = check_outcome(&server, operation, acknowledged, what);
    no_litter(&server, what);
    let moves = operation.method == "MOVE";
    let source = server.local("docs/b.txt");
    let files = usize::from(found.is_some()) + usize::from(moves && source.exists());
    assert_eq!(server.names("docs").len(), files, "{what}: {:?}", server.names("docs"));
    if moves && (!acknowledged || source.exists()) {
        // It is at one of the two names, or at both if the end came in between; and at the first no more once that was confirmed.
        assert!(!acknowledged, "{what}: acknowledged, and yet it is where it was");
        assert!(found == Some(2) || source.exists(), "{what}: what was to be moved is nowhere");
        assert!(!source.exists() || read_text(&source) == Some((0, 2)), "{what}: the source is torn");
    }
    if let Some(url) = half_done.filter(|_| found != operation.outcomes[1]) {
        goes_on_if_left(&server, &url, what);
    }
    if operation.method == "MKCOL" && found != operation.outcomes[1] {
        chunks_are_left(&server, &chunks, what);
    }
    // The server goes on from there.
    server.put("/docs/a.txt").body(text(0, 9)).expect_any(&[201, 204]);
    (found, struck)
}

/// How much of an upload in two parts comes first, in bytes.
const HALF: usize = 20_000;

fn begin_half(server: &Server) -> std::io::Result<Answer> {
    server.put("/docs/a.txt").header("upload-complete", "?0").body(&text(0, 2)[..HALF]).try_send()
}

fn rest_of(server: &Server, url: &str, offset: usize) -> Request {
    let patch = server.request("PATCH", url).header("content-type", "application/partial-upload");
    let patch = patch.header("upload-complete", "?1").header("upload-offset", offset.to_string());
    patch.body(&text(0, 2)[offset..])
}

/// Where an upload in chunks comes.
const IN_CHUNKS: &str = "/.noclobber/remote.php/dav/uploads/user/up";

/// All of it, as far as it is acknowledged; tells which chunks were.
fn in_chunks(server: &Server, acknowledged: &mut Vec<&'static str>) -> std::io::Result<Answer> {
    let begun = server.request("MKCOL", IN_CHUNKS).try_send()?;
    if begun.status != 201 {
        return Ok(begun);
    }
    for name in ["00002", "00001"] {
        let put = chunk(server, name).try_send()?;
        if put.status != 201 {
            return Ok(put);
        }
        acknowledged.push(name);
    }
    all_chunks(server).try_send()
}

fn chunk(server: &Server, name: &str) -> Request {
    let text = text(0, 2);
    server.put(format!("{IN_CHUNKS}/{name}")).body(if name == "00001" { &text[..HALF] } else { &text[HALF..] })
}

fn all_chunks(server: &Server) -> Request {
    server.request("MOVE", format!("{IN_CHUNKS}/.file")).header("destination", "/docs/a.txt")
}

/// What was acknowledged of an upload in chunks that was cut short is there, and it ends as it should.
fn chunks_are_left(server: &Server, acknowledged: &[&str], what: &str) {
    let told = server.request("PROPFIND", IN_CHUNKS).header("depth", "1").expect_any(&[207, 404]);
    assert!(told.status == 207 || acknowledged.is_empty(), "{what}: {acknowledged:?} are lost");
    if told.status == 207 {
        let told = told.text();
        let is_there = |name: &str| told.contains(&format!("{IN_CHUNKS}/{name}<"));
        assert!(acknowledged.iter().all(|name| is_there(name)), "{what}: {acknowledged:?} of {told}");
        for name in ["00002", "00001"].into_iter().filter(|name| !is_there(name)) {
            chunk(server, name).expect(201);
        }
        all_chunks(server).expect_any(&[201, 204]);
        assert_eq!(read_text(&server.local("docs/a.txt")), Some((0, 2)), "{what}");
    }
}

/// What counted of an upload that was cut short still counts, and it ends as it should; unless it was cut short in its commit.
fn goes_on_if_left(server: &Server, url: &str, what: &str) {
    let told = server.head(url).expect_any(&[204, 404, 410]);
    if told.status == 204 {
        let counts: usize = told.field("upload-offset").parse().unwrap();
        assert!(counts >= HALF, "{what}: {counts} count");
        rest_of(server, url, counts).expect_any(&[201, 204]);
        assert_eq!(read_text(&server.local("docs/a.txt")), Some((0, 2)), "{what}");
    }
}

/// The file is as before or as asked, and what was there before is there or in the history.
fn check_outcome(server: &Server, operation: &Operation, acknowledged: bool, what: &str) -> Option<u64> {
    let found = match fs::read(server.local("docs/a.txt")) {
        // The next version is the first with something behind it.
        Ok(bytes) if operation.method == "PATCH" && bytes == [text(0, 1), APPENDED.into()].concat() => Some(2),
        _ => read_text(&server.local("docs/a.txt")).map(|(_, version)| version),
    };
    assert!(server.local("docs/a.txt").exists() == found.is_some(), "{what}: the file is torn");
    assert!(operation.outcomes.contains(&found), "{what}: {found:?}");
    assert!(!acknowledged || found == operation.outcomes[1], "{what}: acknowledged, and yet {found:?}");
    if let (Some(old), true) = (operation.outcomes[0], found != operation.outcomes[0]) {
        assert!(texts_kept(server).contains(&(0, old)), "{what}: the old text is nowhere");
    }
    found
}

/// Whether it outlived the request; a server that was killed on its last call takes a moment to be gone.
fn still_runs(server: &mut Server) -> bool {
    std::thread::sleep(Duration::from_millis(50));
    server.is_running()
}

/// Writes to one file, as fast as the answers come, until the server is gone.
fn write_until(server: &Server, number: usize, first: u64, known: &Mutex<Known>, done: &AtomicBool) {
    let Ok(mut connection) = crate::harness::Connection::open(server.address()) else { return };
    for version in first.. {
        let delete = version % 7 == 3;
        let request = server.request(if delete { "DELETE" } else { "PUT" }, format!("/file-{number}"));
        let request = if delete { request } else { request.body(text(number, version)) };
        known.lock().unwrap().in_flight.push((!delete).then_some(version));
        let Ok(answer) = connection.try_send(&request) else { return };
        // The end has come in the middle; what became of this one is not known.
        if answer.status >= 500 || answer.status == 403 {
            return;
        }
        let mut known = known.lock().unwrap();
        let _ = known.in_flight.pop();
        match (delete, answer.status) {
            (false, 201 | 204) => {
                known.acknowledged = Some(version);
                known.all.push(version);
            }
            (true, 204 | 404) => known.acknowledged = None,
            _ => panic!("{answer}"),
        }
        if done.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// After a restart there are the files, the history, and nothing else: no tail, no unfinished upload, no name of ours.
fn no_litter(server: &Server, when: &str) {
    let strange: Vec<String> = server
        .names("")
        .into_iter()
        .filter(|name| !name.starts_with("file-") && name != "docs" && name != "lost+found")
        .collect();
    assert!(strange.is_empty(), "{when}: {strange:?}");
    eventually(Duration::from_secs(5), &format!("{when}: {:?} to be settled", unsettled(server)), || {
        unsettled(server).is_empty().then_some(())
    });
}

fn unsettled(server: &Server) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![server.local(".noclobber")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let in_swap = path.components().any(|part| part.as_os_str() == "swap");
            match path.is_dir() {
                true => folders.push(path),
                false if in_swap || entry.file_name().to_string_lossy().contains('~') => found.push(path),
                false => {}
            }
        }
    }
    found
}

fn found_at(server: &Server, number: usize) -> Option<u64> {
    let path = server.local(format!("file-{number}"));
    path.exists().then(|| {
        let (of, version) = read_text(&path).unwrap_or_else(|| panic!("file {number} is torn"));
        assert_eq!(of, number, "the text of another file");
        version
    })
}

fn texts_kept(server: &Server) -> BTreeSet<(usize, u64)> {
    let mut texts = BTreeMap::new();
    for (path, content) in server.kept_files() {
        texts.insert(path, parse_text(&content));
    }
    texts.into_values().flatten().collect()
}

/// A text that says whose and which it is, of a size that takes several writes, and that is whole or is not.
fn text(number: usize, version: u64) -> Vec<u8> {
    let mut bytes = format!("{number} {version}\n").into_bytes();
    bytes.extend(Dice::new(version).bytes(500 + (version as usize % 5) * 20_000));
    bytes
}

fn read_text(path: &Path) -> Option<(usize, u64)> {
    parse_text(&fs::read(path).ok()?)
}

fn parse_text(bytes: &[u8]) -> Option<(usize, u64)> {
    let line = bytes.split(|byte| *byte == b'\n').next()?;
    let (number, version) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    let (number, version) = (number.parse().ok()?, version.parse().ok()?);
    (bytes == text(number, version)).then_some((number, version))
}

/// A kill is no power cut: what was written is there, on any file system; memory is the fastest.
fn fast_place() -> PathBuf {
    let shared = PathBuf::from("/dev/shm");
    if shared.is_dir() { shared } else { std::env::temp_dir() }
}
