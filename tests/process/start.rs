//! Starting and stopping: what the terminal says, what is refused, that a large tree is served at once, and that stopping waits for
//! who is in the middle of something, but not for ever.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::harness::client::tag_of;
use crate::harness::{Request, Server, eventually, heavy, is_root, left_out, report};

/// The user of that name, and its group.
const NOBODY: u32 = 65534;

/// A tree of a hundred thousand files is served at once; the watches are set up behind it.
#[test]
fn a_large_tree_is_served_at_once() {
    let _turn = heavy();
    let place = ["/dev/shm", "/tmp"].into_iter().find(|place| Path::new(place).is_dir()).unwrap();
    let folder = tempfile::Builder::new().prefix("noclobber-share-").tempdir_in(place).unwrap();
    let folders = 20_000;
    for number in 0..folders {
        let below = folder.path().join(format!("{:03}/{number}", number % 100));
        fs::create_dir_all(&below).unwrap();
        for file in 0..5 {
            File::create(below.join(format!("{file}.txt"))).unwrap();
        }
    }
    let begun = Instant::now();
    let server = Server::on(folder.path());
    server.get("/007/107/3.txt").expect_body("");
    let (took, watches) = (begun.elapsed(), watches(&server));
    report(&format!(
        "a tree of 100,000 files in {folders} folders: first answer after {took:?}, {watches} watches set by then"
    ));
    assert!(watches < folders, "all watches were set before the first answer");
    assert!(took < Duration::from_secs(5), "{took:?}");
    eventually(Duration::from_secs(60), "the watches to be set", || (self::watches(&server) > folders).then_some(()));
    // And they work: a change in the depth is told to an upload in flight.
    fs::write(folder.path().join("042/142/0.txt"), "old").unwrap();
    std::thread::sleep(Duration::from_millis(1200));
    let mut upload = server.connect();
    let tag = tag_of("old");
    upload.write(server.put("/042/142/0.txt").if_match(&tag).header("Content-Length", "1000000").head());
    assert!(!upload.is_answered_within(Duration::from_millis(300)));
    fs::write(folder.path().join("042/142/0.txt"), "new").unwrap();
    assert!(upload.is_answered_within(Duration::from_secs(10)), "not told of the change");
    upload.answer("PUT").expect(412);
}

/// The terminal says where to go, what is served, what is promised, and how to stop.
#[test]
fn the_terminal_says_what_there_is_to_know() {
    let server = Server::start();
    server.wait_until_it_says(&format!("Listening on http://{}/", server.address()));
    for words in [server.folder().to_str().unwrap(), "ier A", "istory", "Ctrl-C"] {
        server.wait_until_it_says(words);
    }
}

/// Stopped on request, it says so by its exit status; what it was told wrongly is another one.
#[test]
fn the_exit_status_says_why() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::start();
        server.put("/a.txt").body("x").expect(201);
        server.signal(signal);
        assert_eq!(server.wait(Duration::from_secs(15)).code(), Some(0), "{signal:?}");
    }
    for word in ["--unheard-of", "--history-days=many", "--listen=nowhere", "--force-tier=Z"] {
        let (status, printed) = Server::with(word).start_in_vain();
        assert_eq!(status.code(), Some(2), "{word}: {printed}");
        assert!(!printed.is_empty(), "{word}");
    }
    let (status, printed) = Server::builder().folder("/nowhere/at/all").start_in_vain();
    assert!(matches!(status.code(), Some(1 | 2)), "{printed}");
    assert!(printed.contains("/nowhere/at/all"), "{printed}");
}

/// One share, one server: the second is refused, says why, and the first goes on. A crash leaves no lock behind.
#[test]
fn a_second_server_is_refused() {
    let mut first = Server::start();
    first.put("/a.txt").body("x").expect(201);
    let (status, printed) = Server::builder().folder(first.folder()).start_in_vain();
    assert_eq!(status.code(), Some(1), "{printed}");
    assert!(printed.to_lowercase().contains("already"), "{printed}");
    first.get("/a.txt").expect_body("x");
    first.kill();
    first.start_again();
    first.get("/a.txt").expect_body("x");
}

/// Nobody is let in from other machines by accident.
#[test]
fn beyond_loopback_takes_a_word() {
    let (status, printed) = Server::builder().value("--listen", "0.0.0.0:0").start_in_vain();
    assert!(status.code().is_some_and(|code| code > 0), "{printed}");
    assert!(printed.contains("--anonymous"), "{printed}");
}

/// Root opens the ports, and somebody else serves: every thread, with no way back and nothing of root's.
#[test]
fn another_user_serves_once_the_ports_are_open() {
    const TEST: &str = "another_user_serves_once_the_ports_are_open";
    if !is_root() {
        return left_out(TEST, "becoming another user takes root");
    }
    let folder = tempfile::tempdir().unwrap();
    chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let secret = folder.path().join("of-root");
    fs::write(&secret, "secret").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let run = tempfile::tempdir().unwrap();
    chown(run.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let socket = run.path().join("socket");
    let server = Server::with("--user=nobody").option("--no-state").without_state().folder(folder.path());
    let mut server = server.option(format!("--listen=unix:{}", socket.display())).start();
    server.put("/a.txt").body("x").expect(201);
    server.put("/a.txt").body("y").expect(204);
    server.versions("/a.txt").expect(["x"]);
    server.get("/of-root").expect(403);
    assert_eq!(fs::metadata(folder.path().join("a.txt")).unwrap().uid(), NOBODY);
    for thread in fs::read_dir(format!("/proc/{}/task", server.process_id())).unwrap() {
        let status = fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
        let numbers = |name: &str| field(name).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert!(numbers("Uid:").iter().chain(&numbers("Gid:")).all(|id| *id == NOBODY.to_string()), "{status}");
        assert!(!numbers("Groups:").contains(&"0".to_owned()), "{status}");
        assert_eq!(u64::from_str_radix(&field("CapEff:"), 16), Ok(0), "{status}");
    }
    assert_eq!(fs::metadata(&socket).unwrap().uid(), NOBODY, "whoever serves may be reached as who serves");
    assert_eq!(server.stop().code(), Some(0));
    assert!(!socket.exists());
}

#[test]
fn who_is_not_root_serves_as_nobody_else() {
    const TEST: &str = "who_is_not_root_serves_as_nobody_else";
    if !is_root() {
        return left_out(TEST, "running as nobody takes root");
    }
    let (status, printed) = Server::with("--user=root").unprivileged().start_in_vain();
    assert_eq!(status.code(), Some(1), "{printed}");
    assert!(printed.contains("cannot become the user root"), "{printed}");
    let (status, printed) = Server::with("--user=no-such-user").start_in_vain();
    assert_eq!(status.code(), Some(2), "{printed}");
    assert!(printed.contains("no user of this name"), "{printed}");
}

/// Sockets that are open before the program starts, as systemd has them: whoever connects meanwhile waits, and is answered.
#[test]
fn sockets_that_are_handed_over_are_served() {
    let made = tempfile::tempdir().unwrap();
    let path = made.path().join("socket");
    let (tcp, unix) = (TcpListener::bind("127.0.0.1:0").unwrap(), UnixListener::bind(&path).unwrap());
    let mut early = TcpStream::connect(tcp.local_addr().unwrap()).unwrap();
    early.write_all(b"OPTIONS / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    for socket in [tcp.as_fd(), unix.as_fd()] {
        rustix::io::fcntl_setfd(socket, rustix::io::FdFlags::empty()).unwrap();
    }
    let script = format!(
        "exec 3<&{} 4<&{}; export LISTEN_FDS=2 LISTEN_PID=$$; exec \"$0\" \"$@\"",
        tcp.as_raw_fd(),
        unix.as_raw_fd()
    );
    let mut server = Server::with("--listen=systemd").under(["bash", "-c", &script]).start();
    let mut answer = String::new();
    early.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    Request::new(tcp.local_addr().unwrap(), "PUT", "/a.txt").body("x").expect(201);
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(b"GET /a.txt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nx"), "{answer}");
    assert_eq!(server.stop().code(), Some(0));
    assert!(path.exists(), "a socket that was handed over is not the server's to remove");
}

/// Whoever waits for sockets that nobody hands over would wait for ever.
#[test]
fn sockets_that_are_not_handed_over_are_missed() {
    let (status, printed) = Server::with("--listen=systemd").start_in_vain();
    assert_eq!(status.code(), Some(1), "{printed}");
    assert!(printed.contains("LISTEN_FDS"), "{printed}");
    let script = "exec 3</dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$0\" \"$@\"";
    let (status, printed) = Server::with("--listen=systemd").under(["bash", "-c", script]).start_in_vain();
    assert_eq!(status.code(), Some(1), "{printed}");
    assert!(printed.contains("no socket"), "{printed}");
}

/// A tier that cannot be had is refused at the start, where it was required.
#[test]
fn a_tier_that_cannot_be_had_is_refused() {
    let (status, printed) = Server::builder().value("--require-tier", "A").value("--force-tier", "C").start_in_vain();
    assert!(status.code().is_some_and(|code| code > 0), "{printed}");
    assert!(printed.contains("ier"), "{printed}");
    Server::builder().value("--require-tier", "B").value("--force-tier", "B").start();
}

/// Asked to stop in the middle of an upload, the server lets it come to its end.
#[test]
fn stopping_waits_for_an_upload() {
    let mut server = Server::start();
    let mut upload = server.connect();
    upload.write(server.put("/a.txt").header("Content-Length", "8").head());
    upload.write("half");
    std::thread::sleep(Duration::from_millis(200));
    server.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(500));
    upload.write("half");
    upload.answer("PUT").expect(201);
    assert_eq!(server.wait(Duration::from_secs(15)).code(), Some(0));
    assert_eq!(server.read("a.txt"), "halfhalf");
}

/// It does not wait for ever; what did not come to its end was never there.
#[test]
fn stopping_does_not_wait_for_ever() {
    let mut server = Server::start();
    server.put("/a.txt").body("old").expect(201);
    let mut upload = server.connect();
    upload.write(server.put("/a.txt").header("Content-Length", "8").head());
    upload.write("half");
    std::thread::sleep(Duration::from_millis(200));
    let begun = Instant::now();
    server.signal(Signal::TERM);
    assert_eq!(server.wait(Duration::from_secs(20)).code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert_eq!(server.read("a.txt"), "old");
    assert_eq!(server.names(""), ["a.txt"]);
}

/// With nothing to wait for it stops at once, idle connections or not.
#[test]
fn stopping_is_quick() {
    let mut server = Server::start();
    let mut idle = server.connect();
    idle.send(&server.get("/")).expect(200);
    let begun = Instant::now();
    server.stop();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

/// It listens on a socket of the file system as well.
#[test]
fn a_unix_socket_is_served() {
    let place = tempfile::tempdir().unwrap();
    let socket = place.path().join("socket");
    let mut server = Server::builder().value("--listen", format!("unix:{}", socket.display())).start();
    server.write("a.txt", "text");
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(b"GET /a.txt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("text"), "{answer}");
    let mut upload = UnixStream::connect(&socket).unwrap();
    upload
        .write_all(b"PUT /b.txt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx")
        .unwrap();
    let mut answer = String::new();
    upload.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    // A socket left behind by a crash is no hindrance.
    server.kill();
    server.start_again();
    UnixStream::connect(&socket).unwrap();
}

/// Settings come from the command line, from variables and from a file; they mean the same.
#[test]
fn settings_come_from_everywhere() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("noclobber.toml");
    fs::write(&file, "require-preconditions = true\n").unwrap();
    for options in [
        Server::with("--require-preconditions"),
        Server::builder().environment("NOCLOBBER_REQUIRE_PRECONDITIONS", "true"),
        Server::builder().value("--config", file.display()),
    ] {
        let server = options.start();
        server.write("a.txt", "old");
        server.put("/a.txt").body("new").expect(428);
    }
    fs::write(&file, "# a comment\nrequire-precondition = true\n").unwrap();
    let (status, printed) = Server::builder().value("--config", file.display()).start_in_vain();
    assert_eq!(status.code(), Some(2), "{printed}");
    assert!(printed.contains("noclobber.toml") && printed.contains('2'), "{printed}");
}

/// One line for each request, for people or for programs.
#[test]
fn the_log_has_a_line_for_each_request() {
    let server = Server::start();
    server.put("/a.txt").body("x").expect(201);
    server.wait_for_log("/a.txt");
    let log = server.log();
    let line = log.lines().find(|line| line.contains("/a.txt")).unwrap();
    assert!(line.contains("PUT") && line.contains("201"), "{line}");

    let server = Server::builder().value("--log-format", "json").start();
    server.get("/none.txt").expect(404);
    server.wait_for_log("/none.txt");
    let log = server.log();
    for line in log.lines().filter(|line| !line.is_empty()) {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}

/// The promise holds on the lower tiers too, as far as it goes without other programs.
#[test]
fn the_lower_tiers_keep_the_promise_among_clients() {
    for tier in ["B", "C"] {
        let server = Server::builder().value("--force-tier", tier).start();
        server.wait_until_it_says(&format!("ier {tier}"));
        let tag = server.put("/a.txt").body("one").expect(201).tag();
        server.put("/a.txt").if_none_match("*").body("x").expect(412);
        server.put("/a.txt").if_match(&tag).body("two").expect(204);
        server.put("/a.txt").if_match(&tag).body("three").expect(412);
        server.write("a.txt", "local");
        server.put("/a.txt").if_match(tag_of("two")).body("x").expect(412);
        server.put("/a.txt").body("four").expect(204);
        server.delete("/a.txt").if_match(&tag).expect(412);
        server.delete("/a.txt").expect(204);
        server.versions("/a.txt").expect(["four", "local", "one"]);
        assert!(server.names("").is_empty(), "tier {tier}");
    }
}

/// How many watches the server has set, as the kernel counts them.
fn watches(server: &Server) -> usize {
    let folder = format!("/proc/{}/fdinfo", server.process_id());
    let files = fs::read_dir(folder).unwrap().flatten().filter_map(|entry| fs::read_to_string(entry.path()).ok());
    files.map(|text| text.lines().filter(|line| line.starts_with("inotify wd:")).count()).sum()
}

/// What has the name of noclobber's own folder and cannot be used for it is told of at the start, and nothing is served. Whoever could take
/// the history away, because the folder is his, is nobody to keep it with.
#[test]
fn a_start_says_what_is_in_the_way_of_the_history() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

    let folder = || tempfile::Builder::new().prefix("noclobber-share-").tempdir().unwrap();
    let in_vain = |folder: &Path| {
        let (status, said) = Server::builder().folder(folder).start_in_vain();
        assert!(!status.success(), "{said}");
        said
    };
    let with_file = folder();
    fs::write(with_file.path().join(".noclobber"), "a file").unwrap();
    assert!(in_vain(with_file.path()).contains("is no folder"));
    let with_link = folder();
    symlink("/tmp", with_link.path().join(".noclobber")).unwrap();
    assert!(in_vain(with_link.path()).contains("is no folder"));
    if crate::harness::is_root() {
        let foreign = folder();
        let own = foreign.path().join(".noclobber");
        fs::create_dir(&own).unwrap();
        fs::set_permissions(&own, fs::Permissions::from_mode(0o777)).unwrap();
        chown(&own, Some(65_534), Some(65_534)).unwrap();
        assert!(in_vain(foreign.path()).contains("belongs to another user"));
        assert_eq!(fs::read_dir(&own).unwrap().count(), 0);
    }
    // What is the server's own is closed to others.
    let open = folder();
    let own = open.path().join(".noclobber");
    fs::create_dir(&own).unwrap();
    fs::set_permissions(&own, fs::Permissions::from_mode(0o755)).unwrap();
    let server = Server::on(open.path());
    assert_eq!(fs::metadata(&own).unwrap().mode() & 0o777, 0o700);
    // What comes into the way later is no missing file.
    eventually(Duration::from_secs(10), "the folder to go", || fs::remove_dir_all(&own).ok());
    fs::write(&own, "a file").unwrap();
    server.put("/a.txt").body("one").expect(201);
    let refused = server.put("/a.txt").body("two").send();
    assert!(refused.status >= 500, "{refused}");
    server.get("/a.txt").expect_body("one");
}
