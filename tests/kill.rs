//! The server is killed at every moment that matters: at random under load, and before every single call that changes the disk.
//! Afterwards every file is old or new and whole, every acknowledged write is there, and nothing stray is left.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{Dice, Server, eventually, full, heavy, left_out, report};
use crate::order::Tracer;

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
        for (number, known) in known.iter().enumerate() {
            let found = found_at(&server, number);
            let mut known = known.lock().unwrap();
            let allowed = known.acknowledged == found || known.in_flight.contains(&found);
            assert!(allowed, "after kill {kill}, file {number} has {found:?}: {known:?}");
            // What was not acknowledged may have become the truth; from here on it counts.
            known.acknowledged = found;
            known.in_flight.clear();
        }
        no_litter(&server, &format!("after kill {kill}"));
    }
    let kept = texts_kept(&server);
    let mut written = 0;
    for (number, known) in known.iter().enumerate() {
        let known = known.lock().unwrap();
        written += known.all.len();
        let lost: Vec<&u64> = known
            .all
            .iter()
            .filter(|text| !kept.contains(&(number, **text)) && known.acknowledged != Some(**text))
            .collect();
        assert!(lost.is_empty(), "acknowledged texts of file {number} that are nowhere: {lost:?}");
    }
    report(&format!("{kills} kills under load: {written} acknowledged writes, none lost, {:?}", begun.elapsed()));
    assert!(written > kills, "{written} writes are too few to tell");
}

/// Killed before every call that changes the disk, while one file is created.
#[test]
fn killed_at_every_step_of_a_create() {
    killed_at_every_step(
        "killed_at_every_step_of_a_create",
        |_| {},
        |server| server.put("/docs/a.txt").body(text(0, 2)),
        &[None, Some(2)],
    );
}

/// Killed before every call that changes the disk, while one file is replaced.
#[test]
fn killed_at_every_step_of_a_replace() {
    killed_at_every_step(
        "killed_at_every_step_of_a_replace",
        |folder| fs::write(folder.join("docs/a.txt"), text(0, 1)).unwrap(),
        |server| server.put("/docs/a.txt").body(text(0, 2)),
        &[Some(1), Some(2)],
    );
}

/// Killed before every call that changes the disk, while one file is deleted.
#[test]
fn killed_at_every_step_of_a_delete() {
    killed_at_every_step(
        "killed_at_every_step_of_a_delete",
        |folder| fs::write(folder.join("docs/a.txt"), text(0, 1)).unwrap(),
        |server| server.delete("/docs/a.txt"),
        &[Some(1), None],
    );
}

/// The calls that change what is on the disk. A kill between two of them finds the disk as a kill before the second.
const CALLS: [&str; 14] = [
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
];

fn killed_at_every_step(
    name: &str,
    prepare: impl Fn(&Path),
    act: impl Fn(&Server) -> crate::harness::Request,
    outcomes: &[Option<u64>; 2],
) {
    if !Tracer::can_trace() {
        return left_out(name, "strace cannot be had");
    }
    let _turn = heavy();
    let (mut points, mut seen) = (0, BTreeSet::new());
    for call in CALLS {
        for nth in 1.. {
            let folder = tempfile::Builder::new().prefix("noclobber-share-").tempdir_in(fast_place()).unwrap();
            fs::create_dir(folder.path().join("docs")).unwrap();
            prepare(folder.path());
            let mut server = Server::with("--no-watch").folder(folder.path()).start();
            let inject = format!("inject={call}:signal=KILL:when={nth}");
            let tracer = Tracer::attach(&server, &["-e", &format!("trace={call}"), "-e", &inject]);
            let answer = act(&server).try_send();
            let acknowledged = answer.is_ok_and(|answer| answer.expect_any(&[201, 204]).status < 300);
            let was_killed = !acknowledged || !still_runs(&mut server);
            drop(tracer);
            if server.is_running() {
                server.kill();
            } else {
                server.wait(Duration::from_secs(10));
            }
            server.start_again();
            let what = format!("killed before {call} number {nth}");
            let found = read_text(&server.local("docs/a.txt")).map(|(_, text)| text);
            seen.insert(found);
            assert!(outcomes.contains(&found), "{what}: {found:?}");
            assert!(!acknowledged || found == outcomes[1], "{what}: acknowledged, and yet {found:?}");
            // The old text is at the name or in the history, whatever happened.
            if let (Some(old), true) = (outcomes[0], found != outcomes[0]) {
                assert!(texts_kept(&server).contains(&(0, old)), "{what}: the old text is nowhere");
            }
            no_litter(&server, &what);
            assert_eq!(server.names("docs").len(), usize::from(found.is_some()), "{what}");
            // The server goes on from there.
            server.put("/docs/a.txt").body(text(0, 9)).expect_any(&[201, 204]);
            points += 1;
            if !was_killed {
                break;
            }
            assert!(nth < 60, "{call} is called without end");
        }
    }
    report(&format!("{name}: {points} points"));
    assert_eq!(seen.len(), 2, "both outcomes were met: {seen:?}");
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
    let strange: Vec<String> =
        server.names("").into_iter().filter(|name| !name.starts_with("file-") && name != "docs").collect();
    assert!(strange.is_empty(), "{when}: {strange:?}");
    let unsettled = eventually(Duration::from_secs(5), "the recovery", || {
        let unsettled = unsettled(server);
        (unsettled.is_empty() || when.is_empty()).then_some(unsettled)
    });
    assert!(unsettled.is_empty(), "{when}: {unsettled:?}");
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
