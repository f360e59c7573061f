//! Many at once: clients in processes of their own, and local programs that save into the same file. Every acknowledged write is
//! accounted for, and so is every local one. Whoever lost was told.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::harness::client::tag_of;
use crate::harness::disk_images::{DiskImage, Kind};
use crate::harness::programs::StartProgram as _;
use crate::harness::{Connection, Dice, Request, Server, eventually, full, heavy, left_out, report};

/// The size of a counter's file: large enough for a torn read to show.
const COUNTER_BYTES: usize = 4096;

/// Many processes add one to the same number, each from what it has just read. No addition is lost, and no read is torn.
#[test]
fn no_increment_is_lost() {
    if let Ok(task) = std::env::var("NOCLOBBER_TEST_CLIENT") {
        return be_a_client(&task);
    }
    let _turn = heavy();
    let (clients, increments) = (64, 2000);
    let server = Server::start();
    server.write("counter", counter(0));
    let begun = Instant::now();
    let tally = increment_in_processes(&server, clients, increments);
    let value = read_counter(&server.get("/counter").expect(200).body).expect("the counter is whole");
    report(&format!(
        "{clients} clients x {increments} increments: {} answered 2xx, {} refused, final value {value}, {} torn, {} with a second tag, {:?}",
        tally.written,
        tally.refused,
        tally.torn,
        tally.retagged,
        begun.elapsed()
    ));
    assert_eq!(value, tally.written, "the number of 2xx");
    assert_eq!((tally.torn, tally.strange), (0, 0), "torn reads, and other answers");
    assert_eq!(tally.written + tally.refused, clients * increments);
    assert_eq!(
        tally.retagged, 0,
        "reads that showed another tag than the one that the version was given when it was written"
    );
    assert!(tally.written >= increments, "somebody gets through at every turn");
    let left: Vec<String> = server.names("");
    assert_eq!(left, ["counter"]);
}

/// The same on every tier that a file system may allow.
#[test]
fn no_increment_is_lost_on_lower_tiers() {
    let _turn = heavy();
    for tier in ["B", "C"] {
        let server = Server::builder().value("--force-tier", tier).start();
        server.write("counter", counter(0));
        let tally = increment_in_processes(&server, 8, 100);
        let value = read_counter(&server.get("/counter").expect(200).body).expect("the counter is whole");
        assert_eq!(value, tally.written, "tier {tier}: the number of 2xx");
        assert_eq!((tally.torn, tally.strange), (0, 0), "tier {tier}: torn reads, and other answers");
        assert_eq!(tally.retagged, 0, "tier {tier}: reads that showed a second tag of a version");
    }
}

/// Thirty-two clients want to create the same file, a hundred times over. One of them does.
#[test]
fn a_name_is_created_once() {
    for (options, what, names) in [
        (Server::builder(), "tier A", 100),
        (Server::builder().value("--force-tier", "B"), "tier B", 20),
        (Server::builder().value("--force-tier", "C"), "tier C", 20),
    ] {
        let server = options.start();
        let created: Vec<AtomicUsize> = (0..names).map(|_| AtomicUsize::new(0)).collect();
        let winners: Vec<AtomicUsize> = (0..names).map(|_| AtomicUsize::new(usize::MAX)).collect();
        std::thread::scope(|scope| {
            for client in 0..32 {
                let (server, created, winners) = (&server, &created, &winners);
                scope.spawn(move || {
                    let mut connection = server.connect();
                    for name in 0..names {
                        let request = server.put(format!("/{name}")).if_none_match("*").body(format!("by {client}"));
                        if connection.send(&request).expect_any(&[201, 412]).status == 201 {
                            created[name].fetch_add(1, Ordering::Relaxed);
                            winners[name].store(client, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        for name in 0..names {
            assert_eq!(created[name].load(Ordering::Relaxed), 1, "{what}: how often {name} was created");
            assert_eq!(
                server.read(name.to_string()),
                format!("by {}", winners[name].load(Ordering::Relaxed)),
                "{what}"
            );
        }
        assert!(server.kept_files().is_empty(), "{what}: {:?}", server.kept_files());
    }
}

/// Thirty-two writers hold one tag. One of them writes; the others are told.
#[test]
fn one_winner_per_tag() {
    let server = Server::start();
    let mut tag = server.put("/a.txt").body("first").expect(201).tag();
    for round in 0..10 {
        let answers = at_once(32, |number| {
            server.put("/a.txt").if_match(&tag).body(format!("{round} {number}")).expect_any(&[204, 412])
        });
        let winners: Vec<usize> = (0..32).filter(|number| answers[*number].status == 204).collect();
        assert_eq!(winners.len(), 1, "round {round}");
        server.get("/a.txt").expect_body(format!("{round} {}", winners[0]));
        tag = answers[winners[0]].tag();
        for refused in answers.iter().filter(|answer| answer.status == 412) {
            refused.problem();
        }
    }
}

/// Sixty-four writers name no version. All of them succeed, and sixty-three of their texts are in the history.
#[test]
fn every_text_of_many_writers_is_kept() {
    let server = Server::start();
    at_once(64, |number| server.put("/a.txt").body(format!("text {number}")).expect_any(&[201, 204]));
    let kept: BTreeSet<String> =
        server.versions("/a.txt").0.iter().map(|version| String::from_utf8(version.content.clone()).unwrap()).collect();
    let last = server.get("/a.txt").expect(200).text();
    assert_eq!(kept.len(), 63);
    assert!(!kept.contains(&last));
}

/// A reader asks again and again while others replace and delete: it sees whole versions, each with its own tag, and none that was
/// refused.
#[test]
fn a_reader_sees_whole_versions_only() {
    for tier in ["A", "B", "C"] {
        let server = match tier {
            "A" => Server::start(),
            lower => Server::builder().value("--force-tier", lower).start(),
        };
        server.put("/a.bin").body(version_bytes(0)).expect(201);
        let done = AtomicBool::new(false);
        let reads: usize = std::thread::scope(|scope| {
            let readers: Vec<_> = (0..4)
                .map(|reader| {
                    let (server, done) = (&server, &done);
                    scope.spawn(move || {
                        let mut connection = server.connect();
                        let (mut reads, mut named) = (0, 0);
                        while !done.load(Ordering::Relaxed) {
                            let answer = if reader % 2 == 0 {
                                connection.send(&server.get("/a.bin"))
                            } else {
                                connection.send(&server.head("/a.bin"))
                            };
                            let answer = answer.expect(200);
                            if reader % 2 == 0 {
                                let tag = answer.tag();
                                // On a coarse clock what is replaced while it is looked at is shown, but not named.
                                assert!(tag == tag_of(&answer.body) || tag.starts_with("W/"), "tier {tier}: {tag}");
                                named += usize::from(!tag.starts_with("W/"));
                                let number = u32::from_le_bytes(std::array::from_fn(|at| answer.body[at]));
                                assert!(answer.body == version_bytes(number), "tier {tier}: torn");
                                assert!(number < 1_000_000, "tier {tier}: a refused version was shown");
                            }
                            reads += 1;
                        }
                        if reader % 2 == 0 { named } else { reads }
                    })
                })
                .collect();
            let writer = scope.spawn(|| {
                let mut connection = server.connect();
                for number in 1..=150 {
                    connection.send(&server.put("/a.bin").body(version_bytes(number))).expect(204);
                    connection
                        .send(&server.put("/a.bin").if_match("\"stale\"").body(version_bytes(1_000_000 + number)))
                        .expect(412);
                }
            });
            let written = writer.join();
            // However it ended: readers that nobody stops would hang the test instead of failing it.
            done.store(true, Ordering::Relaxed);
            written.unwrap();
            readers.into_iter().map(|reader| reader.join().unwrap()).sum()
        });
        assert!(reads > 100, "tier {tier}: {reads} reads are too few to tell");
    }
}

/// Puts and deletes of one name from all sides: at the end every acknowledged text is at the name or in the history.
#[test]
fn puts_and_deletes_lose_nothing() {
    let server = Server::start();
    let acknowledged: Vec<String> = at_once(8, |client| {
        let mut connection = server.connect();
        let mut mine = Vec::new();
        for number in 0..30 {
            let text = format!("text {client} {number}");
            connection.send(&server.put("/a.txt").body(&text)).expect_any(&[201, 204]);
            mine.push(text);
            if number % 3 == 0 {
                connection.send(&server.delete("/a.txt")).expect_any(&[204, 404]);
            }
        }
        mine
    })
    .concat();
    let mut found: BTreeSet<String> =
        server.versions("/a.txt").0.iter().map(|version| String::from_utf8(version.content.clone()).unwrap()).collect();
    found.extend(fs::read_to_string(server.local("a.txt")));
    let lost: Vec<&String> = acknowledged.iter().filter(|text| !found.contains(*text)).collect();
    assert!(lost.is_empty(), "{lost:?}");
    assert_eq!(found.len(), acknowledged.len());
}

#[test]
fn a_local_program_that_saves_by_rename_loses_nothing_on_this_disk() {
    local_program("a_local_program_that_saves_by_rename_loses_nothing_on_this_disk", None, Saving::ByRename);
}

#[test]
fn a_local_program_that_writes_in_place_loses_nothing_on_this_disk() {
    local_program("a_local_program_that_writes_in_place_loses_nothing_on_this_disk", None, Saving::InPlace);
}

#[test]
fn a_local_program_that_saves_by_rename_loses_nothing_on_ext4() {
    local_program("a_local_program_that_saves_by_rename_loses_nothing_on_ext4", Some(Kind::Ext4), Saving::ByRename);
}

#[test]
fn a_local_program_that_writes_in_place_loses_nothing_on_ext4() {
    local_program("a_local_program_that_writes_in_place_loses_nothing_on_ext4", Some(Kind::Ext4), Saving::InPlace);
}

#[test]
fn a_local_program_that_saves_by_rename_loses_nothing_on_tmpfs() {
    local_program("a_local_program_that_saves_by_rename_loses_nothing_on_tmpfs", Some(Kind::Tmpfs), Saving::ByRename);
}

#[test]
fn a_local_program_that_writes_in_place_loses_nothing_on_tmpfs() {
    local_program("a_local_program_that_writes_in_place_loses_nothing_on_tmpfs", Some(Kind::Tmpfs), Saving::InPlace);
}

#[test]
fn a_local_program_that_saves_by_rename_loses_nothing_on_xfs() {
    local_program("a_local_program_that_saves_by_rename_loses_nothing_on_xfs", Some(Kind::Xfs), Saving::ByRename);
}

#[test]
fn a_local_program_that_writes_in_place_loses_nothing_on_xfs() {
    local_program("a_local_program_that_writes_in_place_loses_nothing_on_xfs", Some(Kind::Xfs), Saving::InPlace);
}

#[test]
fn a_local_program_that_saves_by_rename_loses_nothing_on_btrfs() {
    local_program("a_local_program_that_saves_by_rename_loses_nothing_on_btrfs", Some(Kind::Btrfs), Saving::ByRename);
}

#[test]
fn a_local_program_that_writes_in_place_loses_nothing_on_btrfs() {
    local_program("a_local_program_that_writes_in_place_loses_nothing_on_btrfs", Some(Kind::Btrfs), Saving::InPlace);
}

/// What the lower tiers still promise: who saves by rename loses nothing.
#[test]
fn a_local_program_that_saves_by_rename_loses_nothing_on_lower_tiers() {
    let _turn = heavy();
    for tier in ["B", "C"] {
        let server = Server::builder().value("--force-tier", tier).start();
        contend(&server, Saving::ByRename, &format!("tier {tier}"));
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Saving {
    ByRename,
    InPlace,
}

/// A local program and HTTP clients save into one file as fast as they can. Every version that either of them saved is at the name,
/// in the history, in a conflict copy, or was replaced by the local program itself, which knows what it replaced.
fn local_program(name: &str, kind: Option<Kind>, saving: Saving) {
    let _turn = heavy();
    let disk = match kind.map(|kind| DiskImage::mount(kind, 400)).transpose() {
        Ok(disk) => disk,
        Err(why) => return left_out(name, &why),
    };
    let options = Server::builder().value("--history-percent", 90);
    let options = if let Some(disk) = &disk { options.folder(disk.path()) } else { options };
    let server = options.start();
    let place = kind.map_or("this disk".to_owned(), |kind| format!("{kind:?}"));
    contend(&server, saving, &place);
}

fn contend(server: &Server, saving: Saving, place: &str) {
    let path = server.write("a.txt", text_of("begin"));
    let done = AtomicBool::new(false);
    let seconds = if full() { 20 } else { 3 };
    let (local, remote) = std::thread::scope(|scope| {
        let program = scope.spawn(|| match saving {
            Saving::ByRename => save_by_rename(&path, &done),
            Saving::InPlace => save_in_place(&path, &done),
        });
        let clients: Vec<_> = (0..4)
            .map(|client| {
                scope.spawn({
                    let done = &done;
                    move || replace_what_was_read(server, client, done)
                })
            })
            .collect();
        std::thread::sleep(Duration::from_secs(seconds));
        done.store(true, Ordering::Relaxed);
        let local = program.join().unwrap();
        let remote: Vec<Remote> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        (local, remote)
    });
    let uploads: Vec<String> = remote.iter().flat_map(|client| client.written.iter().cloned()).collect();
    let refused: usize = remote.iter().map(|client| client.refused).sum();
    let broken_off: usize = remote.iter().map(|client| client.broken_off).sum();
    report(&format!(
        "local program {saving:?} on {place}: {} local versions, {} uploads, {refused} refused, {broken_off} reads broken off",
        local.saved.len(),
        uploads.len()
    ));
    assert!(local.saved.len() > 20, "{} local versions are too few to tell", local.saved.len());
    let missing = |server: &Server| -> (usize, usize) {
        let found = everything_found(server);
        let lost = |name: &&String| !found.contains(*name) && !local.replaced.contains(*name);
        (local.saved.iter().filter(lost).count(), uploads.iter().filter(lost).count())
    };
    let mut last = (0, 0);
    // What was written late into a displaced version comes to light with the second look, ten seconds later.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(25) {
        last = missing(server);
        if last == (0, 0) {
            break;
        }
        std::thread::sleep(Duration::from_millis(250));
    }
    assert_eq!(last, (0, 0), "{place}, {saving:?}: local versions and acknowledged uploads that are nowhere");
    // Nothing is left half done, and the file is one whole version.
    let text = server.read("a.txt");
    assert!(name_in(&text).is_some(), "{text:?}");
    eventually(Duration::from_secs(15), "the name to be free again", || {
        let tag = server.get("/a.txt").expect(200).tag();
        (server.put("/a.txt").if_match(tag).body(text_of("end")).send().status == 204).then_some(())
    });
}

/// What a local program did: the versions that it saved, and those that it replaced by its own doing.
#[derive(Default)]
struct Local {
    saved: Vec<String>,
    replaced: BTreeSet<String>,
}

#[derive(Default)]
struct Remote {
    written: Vec<String>,
    refused: usize,
    broken_off: usize,
}

/// Saves as editors do, by a new file and a rename. It exchanges instead of renaming over, to see what it replaced.
fn save_by_rename(path: &Path, done: &AtomicBool) -> Local {
    let mut local = Local::default();
    let mut dice = Dice::shaken("save_by_rename");
    let beside = path.with_file_name("beside.tmp");
    while !done.load(Ordering::Relaxed) {
        let name = format!("local-{}", local.saved.len());
        fs::write(&beside, text_of(&name)).unwrap();
        match renameat_with(CWD, &beside, CWD, path, RenameFlags::EXCHANGE) {
            Ok(()) => {
                local.saved.push(name);
                let replaced = fs::read_to_string(&beside).unwrap();
                local.replaced.extend(name_in(&replaced).map(str::to_owned));
            }
            // On tier C the name is missing for an instant; a program that saves then creates it.
            Err(_) => {
                if renameat_with(CWD, &beside, CWD, path, RenameFlags::NOREPLACE).is_ok() {
                    local.saved.push(name);
                }
            }
        }
        let _ = fs::remove_file(&beside);
        std::thread::sleep(Duration::from_micros(dice.below(400)));
    }
    local
}

/// Saves by writing over the bytes that are there. It reads them first through the same handle, to see what it replaced.
fn save_in_place(path: &Path, done: &AtomicBool) -> Local {
    let mut local = Local::default();
    let mut dice = Dice::shaken("save_in_place");
    while !done.load(Ordering::Relaxed) {
        let name = format!("local-{}", local.saved.len());
        let Ok(mut file) = File::options().read(true).write(true).open(path) else { continue };
        std::thread::sleep(Duration::from_micros(dice.below(200)));
        let mut before = String::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_string(&mut before).unwrap();
        file.write_all_at(text_of(&name).as_bytes(), 0).unwrap();
        drop(file);
        local.replaced.extend(name_in(&before).map(str::to_owned));
        local.saved.push(name);
        std::thread::sleep(Duration::from_micros(500 + dice.below(3000)));
    }
    local
}

/// A file that is written into while it is being sent has no one version; then the server breaks off, and the client asks again.
fn replace_what_was_read(server: &Server, client: usize, done: &AtomicBool) -> Remote {
    let mut remote = Remote::default();
    let mut connection = server.connect();
    let mut number = 0;
    while !done.load(Ordering::Relaxed) {
        let Ok(read) = connection.try_send(&server.get("/a.txt")) else {
            remote.broken_off += 1;
            connection = server.connect();
            continue;
        };
        let read = read.expect(200);
        let Some(tag) = read.header("etag").filter(|tag| !tag.starts_with("W/")) else { continue };
        assert!(name_in(&read.text()).is_some(), "a torn read: {read}");
        let name = format!("upload-{client}-{number}");
        number += 1;
        let answer = connection.send(&server.put("/a.txt").if_match(tag).body(text_of(&name)));
        match answer.status {
            204 => remote.written.push(name),
            412 | 423 | 503 => remote.refused += 1,
            _ => panic!("{answer}"),
        }
    }
    remote
}

/// The names of all versions that can be found: in the folder, conflict copies among them, and in what noclobber keeps.
fn everything_found(server: &Server) -> BTreeSet<String> {
    let in_folder = server.names("").into_iter().filter_map(|name| fs::read(server.local(name)).ok());
    let kept = server.kept_files().into_iter().map(|(_, content)| content);
    in_folder.chain(kept).filter_map(|content| name_in(&String::from_utf8_lossy(&content)).map(str::to_owned)).collect()
}

/// A text of always the same length that carries a name, twice, so that a torn one is known.
fn text_of(name: &str) -> String {
    format!("{name:<100}\n{}\n{name:<100}\n", "-".repeat(300))
}

fn name_in(text: &str) -> Option<&str> {
    let name = text.lines().next()?.trim_end();
    (text == text_of(name)).then_some(name)
}

fn version_bytes(number: u32) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().to_vec();
    let size = 1000 + (number as usize % 7) * 30_000;
    bytes.extend(Dice::new(number.into()).bytes(size));
    bytes
}

fn at_once<T: Send>(count: usize, act: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let barrier = std::sync::Barrier::new(count);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|number| {
                let (barrier, act) = (&barrier, &act);
                scope.spawn(move || {
                    barrier.wait();
                    act(number)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// What the client processes of `no_increment_is_lost` came to, together.
#[derive(Debug, Default)]
struct Tally {
    written: u64,
    refused: u64,
    torn: u64,
    retagged: u64,
    strange: u64,
}

fn increment_in_processes(server: &Server, clients: u64, increments: u64) -> Tally {
    let processes: Vec<_> = (0..clients)
        .map(|_| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", &crate::whole_name!("no_increment_is_lost"), "--nocapture"])
                .env("NOCLOBBER_TEST_CLIENT", format!("{} {increments}", server.address()))
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .start()
                .unwrap()
        })
        .collect();
    let mut tally = Tally::default();
    for process in processes {
        let output = process.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("tally "))
            .unwrap_or_else(|| panic!("a client failed: {text}"));
        let numbers: Vec<u64> = line.split(' ').map(|number| number.parse().unwrap()).collect();
        tally.written += numbers[0];
        tally.refused += numbers[1];
        tally.torn += numbers[2];
        tally.retagged += numbers[3];
        tally.strange += numbers[4];
    }
    tally
}

/// One client of `no_increment_is_lost`, which starts itself again in a process for each.
fn be_a_client(task: &str) {
    let (address, increments) = task.split_once(' ').unwrap();
    let address: SocketAddr = address.parse().unwrap();
    let mut connection = Connection::open(address).unwrap();
    let mut tally = Tally::default();
    for _ in 0..increments.parse::<u64>().unwrap() {
        let read = connection.send(&Request::new(address, "GET", "/counter")).expect(200);
        let tag = read.tag();
        let Some(value) = read_counter(&read.body) else {
            tally.torn += 1;
            continue;
        };
        tally.retagged += u64::from(tag != tag_of(&read.body));
        let answer = connection.send(&Request::new(address, "PUT", "/counter").if_match(&tag).body(counter(value + 1)));
        match answer.status {
            204 => tally.written += 1,
            412 if answer.header("etag").is_some() => tally.refused += 1,
            _ => tally.strange += 1,
        }
    }
    let line =
        format!("\ntally {} {} {} {} {}\n", tally.written, tally.refused, tally.torn, tally.retagged, tally.strange);
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}

fn counter(value: u64) -> Vec<u8> {
    format!("{value:031}\n").repeat(COUNTER_BYTES / 32).into_bytes()
}

fn read_counter(bytes: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(bytes).ok()?;
    let value = text.lines().next()?.parse().ok()?;
    (bytes == counter(value)).then_some(value)
}

/// Uploads to many names at once share what they can and mix up nothing.
#[test]
fn many_names_at_once() {
    let server = Server::start();
    let written: BTreeMap<PathBuf, String> = at_once(16, |client| {
        let mut connection = server.connect();
        let mut last = BTreeMap::new();
        for number in 0..40 {
            let (path, text) = (format!("{}-{client}", number % 5), format!("text {client} {number}"));
            connection.send(&server.put(format!("/{path}")).body(&text)).expect_any(&[201, 204]);
            last.insert(PathBuf::from(path), text);
        }
        last
    })
    .into_iter()
    .flatten()
    .collect();
    for (path, text) in written {
        assert_eq!(server.read(path), text);
    }
    assert_eq!(server.kept_files().len(), 16 * 35);
}
