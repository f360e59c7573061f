//! The bounds of the process: what it may still do with files and the network, that every thread is held to them, and what the start says.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::Duration;

use noclobber::os::confinement::{Confinement, Reach, places_of};
use rustix::process::Signal;

use crate::harness::programs::StartProgram as _;
use crate::harness::users::{UsersFile, Way, signed};
use crate::harness::{Server, eventually, left_out};

const EVERYBODY: &str = "[[rules]]\npath = \"/\"\nwho = \"signed-in\"\nmay = \"write\"\n";

/// Does something in a thread that may reach only these places; there is no way back for it.
#[track_caller]
fn confined_to<T: Send>(places: Vec<(PathBuf, Reach)>, does: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let bounds = Confinement::begin(places).expect("bounds");
            let done = does();
            drop(bounds);
            done
        });
        thread.join().expect("no panic")
    })
}

#[track_caller]
fn is_refused<T>(what: &str, outcome: io::Result<T>) {
    let error = outcome.err().unwrap_or_else(|| panic!("{what} is not refused"));
    let kinds = [io::ErrorKind::PermissionDenied, io::ErrorKind::CrossesDevices];
    assert!(kinds.contains(&error.kind()), "{what}: {error}");
}

/// Whether the kernel has no bounds for a process; told as left out.
fn cannot_be_confined(test: &str) -> bool {
    let can = std::thread::spawn(|| Confinement::begin([]).is_ok()).join().expect("no panic");
    if !can {
        left_out(test, "there is no Landlock here");
    }
    !can
}

#[test]
fn what_is_within_reach_can_be_done_and_nothing_else() {
    if cannot_be_confined("what_is_within_reach_can_be_done_and_nothing_else") {
        return;
    }
    let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (within, beyond) = (|name: &str| inside.path().join(name), |name: &str| outside.path().join(name));
    fs::create_dir(within("folder")).unwrap();
    fs::write(within("program"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(within("program"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(beyond("file"), "theirs").unwrap();
    symlink(beyond("file"), within("link")).unwrap();
    let listening = TcpListener::bind("127.0.0.1:0").unwrap();
    confined_to(vec![(inside.path().to_owned(), Reach::All)], || {
        fs::write(within("a"), "one").unwrap();
        fs::write(within("a"), "2").unwrap();
        fs::rename(within("a"), within("folder/a")).unwrap();
        fs::hard_link(within("folder/a"), within("b")).unwrap();
        assert_eq!(fs::read_to_string(within("b")).unwrap(), "2");
        symlink("b", within("to-b")).unwrap();
        assert_eq!(fs::read_dir(inside.path()).unwrap().count(), 5);
        fs::remove_file(within("folder/a")).unwrap();
        fs::remove_dir(within("folder")).unwrap();
        is_refused("running", Command::new(within("program")).run());

        is_refused("reading", fs::read(beyond("file")));
        is_refused("reading by a link", fs::read(within("link")));
        is_refused("listing", fs::read_dir(outside.path()));
        is_refused("writing", OpenOptions::new().append(true).open(beyond("file")));
        is_refused("making", File::create(beyond("new")));
        is_refused("making a folder", fs::create_dir(beyond("new")));
        is_refused("removing", fs::remove_file(beyond("file")));
        is_refused("moving out", fs::rename(within("b"), beyond("b")));
        is_refused("moving in", fs::rename(beyond("file"), within("file")));
        is_refused("linking in", fs::hard_link(beyond("file"), within("file")));
        assert!(beyond("file").metadata().is_ok(), "its status is anybody's to ask for");
        is_refused("connecting", TcpStream::connect(listening.local_addr().unwrap()));
        is_refused("listening", TcpListener::bind("127.0.0.1:0"));
    });
    assert_eq!(fs::read_to_string(beyond("file")).unwrap(), "theirs");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    assert!(TcpStream::connect(listening.local_addr().unwrap()).is_ok(), "another thread is free");
}

#[test]
fn each_reach_goes_as_far_as_it_says() {
    if cannot_be_confined("each_reach_goes_as_far_as_it_says") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, reach) in [("read", Reach::Read), ("append", Reach::Append), ("remove", Reach::Remove)] {
        let here = folder.path().join(name);
        fs::create_dir(&here).unwrap();
        fs::write(here.join("a"), "a").unwrap();
        confined_to(vec![(here.clone(), reach)], || {
            let append = |name: &str| OpenOptions::new().append(true).create(true).open(here.join(name));
            let outcomes = [
                ("read", fs::read(here.join("a")).map(drop)),
                ("list", fs::read_dir(&here).map(drop)),
                ("append", append("a").map(drop)),
                ("make", append("new").map(drop)),
                ("truncate", File::create(here.join("a")).map(drop)),
                ("make a folder", fs::create_dir(here.join("folder"))),
                ("rename", fs::rename(here.join("a"), here.join("b"))),
                ("remove", fs::remove_file(here.join("a"))),
            ];
            let may: &[&str] = match reach {
                Reach::Read => &["read"],
                Reach::Append => &["append", "make"],
                _ => &["remove"],
            };
            for (what, outcome) in outcomes {
                if may.contains(&what) {
                    outcome.unwrap_or_else(|error| panic!("{name}: {what}: {error}"));
                } else {
                    is_refused(&format!("{name}: {what}"), outcome);
                }
            }
        });
    }
}

/// A file that is replaced is found again: by its name, and by where a link has it.
#[test]
fn a_file_that_is_replaced_stays_within_reach() {
    if cannot_be_confined("a_file_that_is_replaced_stays_within_reach") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    for made in ["named", "real", "elsewhere"] {
        fs::create_dir(at(made)).unwrap();
        fs::write(at(made).join("file"), made).unwrap();
    }
    symlink("../real/file", at("named/link")).unwrap();
    let places = places_of(&at("named/link")).into_iter().map(|place| (place, Reach::Read)).collect();
    fs::write(at("real/new"), "newer").unwrap();
    let ((tell, told), (go, wait)) = (channel(), channel());
    std::thread::scope(|scope| {
        scope.spawn(move || {
            confined_to(places, move || {
                tell.send(fs::read_to_string(at("named/link")).unwrap()).unwrap();
                wait.recv().unwrap();
                tell.send(fs::read_to_string(at("named/link")).unwrap()).unwrap();
                assert_eq!(fs::read_to_string(at("named/file")).unwrap(), "named");
                is_refused("what lies elsewhere", fs::read(at("elsewhere/file")));
            });
        });
        assert_eq!(told.recv().expect("it can be read"), "real");
        fs::rename(at("real/new"), at("real/file")).unwrap();
        go.send(()).unwrap();
        assert_eq!(told.recv().expect("it can still be read"), "newer");
    });
    assert_eq!(places_of(Path::new("log")), [Path::new(".")]);
    assert_eq!(places_of(Path::new("/dev/null")), [Path::new("/dev/null")]);
    assert_eq!(places_of(Path::new("/nowhere/log")), [Path::new("/nowhere")]);
}

/// What the kernel does not hold anybody to is told, and is no reason not to go on. It holds a thread to sixteen bounds and no more.
#[test]
fn where_it_cannot_be_had_that_is_told() {
    if cannot_be_confined("where_it_cannot_be_had_that_is_told") {
        return;
    }
    let bounds = || Confinement::begin([(PathBuf::from("/"), Reach::All)]);
    let told = std::thread::spawn(move || (0..17).map(|_| bounds()).collect::<Vec<_>>()).join().unwrap();
    assert!(told[..16].iter().all(Result::is_ok));
    assert!(!told[16].as_ref().unwrap_err().to_string().is_empty());
}

/// How many threads the server has, and how many of them can gain no rights any more, which comes with the bounds.
fn threads_and_confined(server: &Server) -> (usize, usize) {
    let tasks = fs::read_dir(format!("/proc/{}/task", server.process_id())).unwrap();
    let status = |task: io::Result<fs::DirEntry>| fs::read_to_string(task.unwrap().path().join("status")).ok();
    let status: Vec<_> = tasks.filter_map(status).collect();
    (status.len(), status.iter().filter(|status| status.contains("NoNewPrivs:\t1")).count())
}

/// Of one thread that is not, all others could be made to do what they may not.
#[test]
fn every_thread_is_confined() {
    if cannot_be_confined("every_thread_is_confined") {
        return;
    }
    let (users, folder) = (UsersFile::make(EVERYBODY), tempfile::tempdir().unwrap());
    let log = folder.path().join("log");
    let options = Server::with("--open").environment("PATH", "/nowhere").environment("BROWSER", "");
    let options = options.value("--log-file", log.display()).value("--users", users.path().display());
    for tls in [true, false] {
        let server = if tls { options.clone().option("--tls").start() } else { options.clone().start() };
        server.wait_until_it_says("Confined to the folder and what is kept beside it (Landlock)");
        if !tls {
            signed(server.put("/a"), "bob", Way::Basic, &users).body("text").expect(201);
        }
        // The thread that opens the browser is not, and ends then.
        eventually(Duration::from_secs(10), "every thread to be confined", || {
            let (threads, confined) = threads_and_confined(&server);
            (threads > 4 && threads == confined).then_some(())
        });
    }

    let free = Server::with("--no-landlock").start();
    free.wait_until_it_says("Not confined to the folder: --no-landlock");
    free.put("/a").body("text").expect(201);
    assert_eq!(threads_and_confined(&free).1, 0);
}

/// What somebody else has put in the place of the file of users leads to no file that lies elsewhere, and lets nobody in by what was there before. The log is opened anew, and the socket is
/// removed at the end, by a server that may do nothing else beside its folder.
#[test]
fn a_server_goes_no_further_than_its_files() {
    if cannot_be_confined("a_server_goes_no_further_than_its_files") {
        return;
    }
    for is_confined in [true, false] {
        let (users, others) = (UsersFile::make(EVERYBODY), UsersFile::make(&EVERYBODY.replace("write", "none")));
        let places = tempfile::tempdir().unwrap();
        let (log, socket) = (places.path().join("log"), places.path().join("socket"));
        let options = Server::builder().value("--users", users.path().display()).value("--log-file", log.display());
        let options = options.value("--listen", "127.0.0.1:0").value("--listen", format!("unix:{}", socket.display()));
        let options = if is_confined { options } else { options.option("--no-landlock") };
        let mut server = options.start();
        server.write("f", "text");
        let get = || signed(server.get("/f"), "bob", Way::Basic, &users);
        get().expect(200);
        fs::rename(&log, places.path().join("log.1")).unwrap();
        server.signal(Signal::HUP);
        eventually(Duration::from_secs(10), "a new log", || log.exists().then_some(()));
        fs::remove_file(users.path()).unwrap();
        symlink(others.path(), users.path()).unwrap();
        get().expect(404);
        eventually(Duration::from_secs(10), "the log", || {
            let told = fs::read_to_string(&log).unwrap();
            told.contains(if is_confined { "so nobody may do anything" } else { "has changed" }).then_some(())
        });
        assert!(socket.exists());
        server.stop();
        assert!(!socket.exists());
    }
}

/// Where the file of users is out of reach, whoever is in the one that was read last may do nothing, and is let in again when it is back.
#[test]
fn users_whose_file_is_out_of_reach_may_do_nothing() {
    if cannot_be_confined("users_whose_file_is_out_of_reach_may_do_nothing") {
        return;
    }
    let users = UsersFile::make(EVERYBODY);
    let above = tempfile::tempdir().unwrap();
    let (folder, aside) = (above.path().join("users"), above.path().join("aside"));
    fs::create_dir(&folder).unwrap();
    let copy_to = |folder: &Path, text: &str| {
        fs::write(folder.join("users.toml"), text).unwrap();
        fs::set_permissions(folder.join("users.toml"), fs::Permissions::from_mode(0o600)).unwrap();
    };
    copy_to(&folder, &users.text());
    let server = Server::builder().value("--users", folder.join("users.toml").display()).start();
    server.write("f", "text");
    let statuses = || [Way::Basic, Way::Token].map(|way| signed(server.get("/f"), "bob", way, &users).send().status);
    assert_eq!(statuses(), [200, 200]);
    fs::rename(&folder, &aside).unwrap();
    fs::create_dir(&folder).unwrap();
    copy_to(&folder, &users.text().replace("[users.bob]", "[users.bobby]").replace("[[users.bob.", "[[users.bobby."));
    for _ in 0..3 {
        assert!(statuses().iter().all(|status| *status >= 400), "{:?}", statuses());
        assert!(signed(server.delete("/f"), "bob", Way::Basic, &users).send().status >= 400);
    }
    server.wait_for_log("so nobody may do anything");
    fs::remove_dir_all(&folder).unwrap();
    fs::rename(&aside, &folder).unwrap();
    assert_eq!(statuses(), [200, 200]);
}

/// A log whose name is a link to what is still to be made is made there.
#[test]
fn a_log_is_made_where_its_link_leads() {
    let (links, logs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    symlink(logs.path().join("log"), links.path().join("log")).unwrap();
    let server = Server::builder().value("--log-file", links.path().join("log").display()).start();
    server.get("/").expect(200);
    eventually(Duration::from_secs(10), "a line in the log", || {
        fs::read_to_string(logs.path().join("log")).ok().filter(|text| text.contains("method=")).map(drop)
    });
}
