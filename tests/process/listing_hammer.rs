//! Programs that change a folder as fast as they can, in every way there is, against clients that list it: no listing shows a member as it was before a
//! call that had returned when the listing was asked for.

use std::collections::HashMap;
use std::fs::{self, File, FileTimes, OpenOptions};
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, CWD, OFlags, RenameFlags};

use crate::harness::{Server, full, heavy, report};

/// How many members each way of changing them has.
const SLOTS: usize = 8;

/// What a member looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Look {
    Absent,
    /// Its name, its size, and its date in seconds; what is `None` is not looked at.
    There(String, Option<u64>, Option<u64>),
}

/// A way of changing a member: how it looks after so many changes, and the call that makes the next change.
struct Way {
    name: &'static str,
    looks: fn(slot: usize, version: u64) -> Look,
    change: Box<dyn Fn(usize, u64) + Send + Sync>,
    begun: [AtomicU64; SLOTS],
    done: [AtomicU64; SLOTS],
}

fn date_of(version: u64) -> u64 {
    1_000_000_000 + version
}

fn name(way: &str, slot: usize) -> String {
    format!("{way}-{slot}")
}

/// All ways, of a folder and one beside it on the same disk.
fn ways(folder: &Path, beside: &Path, server: &Server) -> Vec<Way> {
    let (folder, beside) = (folder.to_owned(), beside.to_owned());
    let way = |name, looks, change: Box<dyn Fn(usize, u64) + Send + Sync>| {
        let (begun, done) = Default::default();
        Way { name, looks, change, begun, done }
    };
    let at = move |name: String| folder.join(name);
    let mut ways = Vec::new();
    let path = at.clone();
    ways.push(way("append", |slot, version| Look::There(name("append", slot), Some(version), None), {
        Box::new(move |slot, _| append(&path(name("append", slot)), b"x"))
    }));
    let path = at.clone();
    ways.push(way("cut", |slot, version| Look::There(name("cut", slot), Some(version % 50), None), {
        Box::new(move |slot, version| {
            OpenOptions::new().write(true).open(path(name("cut", slot))).unwrap().set_len(version % 50).unwrap();
        })
    }));
    let path = at.clone();
    ways.push(way("date", |slot, version| Look::There(name("date", slot), None, Some(date_of(version))), {
        Box::new(move |slot, version| {
            let date = UNIX_EPOCH + Duration::from_secs(date_of(version));
            File::open(path(name("date", slot))).unwrap().set_times(FileTimes::new().set_modified(date)).unwrap();
        })
    }));
    let path = at.clone();
    ways.push(way("rename", |slot, version| Look::There(format!("rename-{slot}-{version}"), Some(0), None), {
        Box::new(move |slot, version| {
            fs::rename(path(format!("rename-{slot}-{}", version - 1)), path(format!("rename-{slot}-{version}")))
                .unwrap();
        })
    }));
    let path = at.clone();
    ways.push(way("come", |slot, version| there_if(version % 2 == 0, name("come", slot), 0), {
        Box::new(move |slot, version| match version % 2 {
            0 => drop(File::create_new(path(name("come", slot))).unwrap()),
            _ => fs::remove_file(path(name("come", slot))).unwrap(),
        })
    }));
    let (path, other) = (at.clone(), beside.clone());
    ways.push(way("replace", |slot, version| Look::There(name("replace", slot), Some(version % 977), None), {
        Box::new(move |slot, version| {
            let new = other.join(name("new", slot));
            fs::write(&new, vec![b'x'; (version % 977) as usize]).unwrap();
            fs::rename(new, path(name("replace", slot))).unwrap();
        })
    }));
    let (path, other) = (at.clone(), beside.clone());
    ways.push(way("linked", |slot, version| Look::There(name("linked", slot), Some(version), None), {
        Box::new(move |slot, version| {
            let elsewhere = other.join(name("linked", slot));
            if version == 0 {
                File::create_new(path(name("linked", slot))).unwrap();
                fs::hard_link(path(name("linked", slot)), elsewhere).unwrap();
            } else {
                append(&elsewhere, b"x");
            }
        })
    }));
    let path = at.clone();
    ways.push(way("link", |slot, version| there_if(version % 2 == 0, name("link", slot), 3), {
        let target = beside.join("target");
        fs::write(&target, "abc").unwrap();
        Box::new(move |slot, version| match version % 2 {
            0 => fs::hard_link(&target, path(name("link", slot))).unwrap(),
            _ => fs::remove_file(path(name("link", slot))).unwrap(),
        })
    }));
    let (path, kept) = (at.clone(), Default::default());
    ways.push(way("nameless", nameless_looks, Box::new(move |slot, version| nameless(&path, slot, version, &kept))));
    let path = at.clone();
    ways.push(way("swap", |slot, version| Look::There(name("swap", slot), Some(1 + (version + 1) % 2), None), {
        Box::new(move |slot, version| {
            let (one, other) = (path(name("swap", slot)), path(name("swapped", slot)));
            if version == 0 {
                fs::write(one, "12").unwrap();
                fs::write(other, "1").unwrap();
            } else {
                rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
            }
        })
    }));
    let path = at.clone();
    ways.push(way("folder", |slot, version| Look::There(format!("folder-{slot}/"), None, Some(date_of(version))), {
        Box::new(move |slot, version| {
            let folder = path(name("folder", slot));
            fs::create_dir_all(&folder).unwrap();
            // What is made in a folder moves its date; here it is moved to one that is known.
            let date = UNIX_EPOCH + Duration::from_secs(date_of(version));
            File::open(folder).unwrap().set_times(FileTimes::new().set_modified(date)).unwrap();
        })
    }));
    let address = server.address();
    let connection = std::sync::Mutex::new(server.connect());
    ways.push(way("put", |slot, version| Look::There(name("put", slot), Some(version % 50), None), {
        Box::new(move |slot, version| {
            let target = format!("/h/{}", name("put", slot));
            let put = crate::harness::Request::new(address, "PUT", target).body(vec![b'x'; (version % 50) as usize]);
            connection.lock().unwrap().send(&put).expect_any(&[201, 204]);
        })
    }));
    ways
}

fn there_if(is_there: bool, name: String, size: u64) -> Look {
    if is_there { Look::There(name, Some(size), None) } else { Look::Absent }
}

fn append(path: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(bytes).unwrap();
}

fn nameless_looks(slot: usize, version: u64) -> Look {
    there_if(!version.is_multiple_of(3), name("nameless", slot), version % 3)
}

/// A file that is made without a name, gets one, and is written by whoever had it open before.
fn nameless(
    path: &impl Fn(String) -> PathBuf,
    slot: usize,
    version: u64,
    kept: &std::sync::Mutex<HashMap<usize, File>>,
) {
    let place = path(name("nameless", slot));
    let mut kept = kept.lock().unwrap();
    match version % 3 {
        0 if version == 0 => {}
        0 => fs::remove_file(place).unwrap(),
        1 => {
            let flags = OFlags::TMPFILE.bits().cast_signed();
            let folder = place.parent().unwrap();
            let file = OpenOptions::new().write(true).custom_flags(flags).open(folder).unwrap();
            file.write_at(b"1", 0).unwrap();
            let handle = format!("/proc/self/fd/{}", file.as_raw_fd());
            rustix::fs::linkat(CWD, &handle, CWD, &place, AtFlags::SYMLINK_FOLLOW).unwrap();
            kept.insert(slot, file);
        }
        _ => drop(kept.remove(&slot).unwrap().write_at(b"2", 1).unwrap()),
    }
}

/// What a listing shows: the size and the date of each name.
fn shown(body: &str) -> HashMap<&str, (Option<u64>, Option<u64>)> {
    let between = |text: &str, start: &str, end: &str| {
        let from = text.find(start)? + start.len();
        let text = &body[text.as_ptr() as usize - body.as_ptr() as usize + from..];
        Some(&text[..text.find(end)?])
    };
    let responses = body.split("<D:response>").skip(1);
    let one = |text| {
        let name = between(text, "<D:href>/h/", "</D:href>").expect("a name");
        let size = between(text, "<D:getcontentlength>", "<").map(|size| size.parse().expect("a number"));
        let date = between(text, "<D:getlastmodified>", "<").and_then(|date| httpdate::parse_http_date(date).ok());
        let date = date.map(|date| date.duration_since(UNIX_EPOCH).unwrap().as_secs());
        (name, (size, date))
    };
    responses.map(one).collect()
}

/// Makes changes in these ways in turn until it is over.
fn hammer(ways: &[&Way], is_over: &AtomicBool, changes: &AtomicUsize) {
    for round in 1_u64.. {
        for slot in 0..SLOTS {
            for way in ways {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                way.begun[slot].store(round, Ordering::SeqCst);
                (way.change)(slot, round);
                way.done[slot].store(round, Ordering::SeqCst);
                changes.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Way {
    /// Why what is shown of a slot is none of the looks that it had since the listing was asked for.
    fn stale(&self, slot: usize, before: u64, after: u64, shown: &Shown<'_>) -> Option<String> {
        let mut allowed = (before..=after).map(|version| (self.looks)(slot, version));
        // More looks than that are all of them.
        let fits = |look: &Look| match look {
            Look::Absent => !shown.keys().any(|shown| *shown == name(self.name, slot)),
            Look::There(name, size, date) => shown.get(name.as_str()).is_some_and(|(shown_size, shown_date)| {
                size.is_none_or(|size| Some(size) == *shown_size) && date.is_none_or(|date| Some(date) == *shown_date)
            }),
        };
        let of_it = || shown.iter().filter(|(shown, _)| shown.starts_with(&name(self.name, slot))).collect::<Vec<_>>();
        (!allowed.any(|look| fits(&look))).then(|| format!("{} {slot}: {before}..={after}, {:?}", self.name, of_it()))
    }
}

type Shown<'a> = HashMap<&'a str, (Option<u64>, Option<u64>)>;

/// What is stale of one listing, of all that was published before it was asked for.
fn check(ways: &[Way], server: &Server, connection: &mut crate::harness::Connection) -> Vec<String> {
    let read = |of: fn(&Way) -> &[AtomicU64; SLOTS]| -> Vec<[u64; SLOTS]> {
        ways.iter().map(|way| std::array::from_fn(|slot| of(way)[slot].load(Ordering::SeqCst))).collect()
    };
    let before = read(|way| &way.done);
    let asked = server.ask("/h/", "1", "<D:getcontentlength/><D:getlastmodified/>");
    let answer = connection.send(&asked).expect(207);
    let after = read(|way| &way.begun);
    let text = String::from_utf8(answer.body).expect("UTF-8");
    let shown = shown(&text);
    let mut stale = Vec::new();
    for (number, way) in ways.iter().enumerate() {
        for slot in 0..SLOTS {
            let (before, after) = (before[number][slot], after[number][slot]);
            // A rename while the folder is read may be met twice or not at all, by whoever reads it.
            if way.name == "rename" && after > before {
                continue;
            }
            stale.extend(way.stale(slot, before, after, &shown));
        }
    }
    stale
}

/// Every way at once.
#[test]
fn no_listing_is_staler_than_a_look_would_have_been() {
    let _turn = heavy();
    let listings_max = if full() { 100_000 } else { 2_000 };
    let server = Server::builder().option("--no-watch").option("--no-history").start();
    let (folder, beside) = (server.local("h"), server.local("beside"));
    fs::create_dir(&folder).unwrap();
    fs::create_dir(&beside).unwrap();
    let ways = ways(&folder, &beside, &server);
    for way in &ways {
        for slot in 0..SLOTS {
            if matches!(way.name, "append" | "cut" | "date" | "rename") {
                File::create(folder.join(match way.name {
                    "rename" => format!("rename-{slot}-0"),
                    other => name(other, slot),
                }))
                .unwrap();
            } else {
                (way.change)(slot, 0);
            }
            if way.name == "date" {
                (way.change)(slot, 0);
            }
        }
    }
    let (is_over, changes, listings) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let stale = std::sync::Mutex::new(Vec::new());
    let began = SystemTime::now();
    thread::scope(|scope| {
        // One program and one client: more would leave no processor to the server.
        let (of_client, of_program): (Vec<&Way>, Vec<&Way>) = ways.iter().partition(|way| way.name == "put");
        for ways in [of_client, of_program] {
            let (is_over, changes) = (&is_over, &changes);
            scope.spawn(move || hammer(&ways, is_over, changes));
        }
        let checkers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut connection = server.connect();
                    while listings.fetch_add(1, Ordering::Relaxed) < listings_max {
                        let found = check(&ways, &server, &mut connection);
                        if !found.is_empty() {
                            stale.lock().unwrap().push(found);
                        }
                    }
                })
            })
            .collect();
        let ended: Vec<_> = checkers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        is_over.store(true, Ordering::Relaxed);
        ended.into_iter().for_each(|ended| ended.expect("no panic"));
    });
    let stale = stale.into_inner().unwrap();
    let seconds = began.elapsed().unwrap().as_secs_f64();
    let rate = changes.load(Ordering::Relaxed) as f64 / seconds;
    report(&format!(
        "{listings_max} listings in {seconds:.1} s beside {rate:.0} changes a second: {} stale",
        stale.len()
    ));
    assert!(
        stale.is_empty(),
        "{} of {listings_max} listings are stale: {:?}",
        stale.len(),
        &stale[..stale.len().min(5)]
    );
    assert!(fs::metadata(folder.join("append-0")).unwrap().size() > 0, "something was changed");
}
