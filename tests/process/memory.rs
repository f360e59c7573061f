//! How much memory a connection, a stalled transfer and a long listing cost, measured on the running server. The bounds are those
//! of the promise; the figures are printed.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::harness::programs::StartProgram as _;
use crate::harness::{Connection, Request, Server, eventually, heavy, left_out, report};

const KIBIBYTE: u64 = 1024;

/// Ten thousand clients have asked for something once and now keep their connections.
#[test]
fn idle_connections_are_cheap() {
    if let Ok(task) = std::env::var("NOCLOBBER_TEST_CROWD") {
        return be_a_crowd(&task);
    }
    let _turn = heavy();
    let count = 10_000;
    let server = Server::builder().value("--connections-max", 20_000).value("--keep-alive-seconds", 600).start();
    server.write("a.txt", "text");
    warm_up(&server);
    let before = server.memory("Anonymous");
    let Some(crowd) = Crowd::start(server.address(), count) else {
        return left_out("idle_connections_are_cheap", "so many connections cannot be had here");
    };
    let each = server.memory("Anonymous").saturating_sub(before) / count;
    report(&format!("{count} idle connections: {each} bytes each"));
    server.get("/a.txt").expect_body("text");
    drop(crowd);
    assert!(each <= 24 * KIBIBYTE, "{each} bytes each");
}

/// A thousand clients have begun to download a large file and stopped reading.
#[test]
fn stalled_downloads_are_cheap() {
    let _turn = heavy();
    let server = Server::builder().value("--connections-max", 20_000).start();
    File::create(server.local("large.bin")).unwrap().set_len(64 << 20).unwrap();
    warm_up(&server);
    let before = server.memory("Anonymous");
    let mut crowd: Vec<Connection> = (0..1000).map(|_| server.connect()).collect();
    for connection in &mut crowd {
        connection.write(server.get("/large.bin").head());
    }
    for connection in &mut crowd {
        assert!(connection.is_answered_within(Duration::from_secs(30)));
    }
    let each = settled_memory(&server).saturating_sub(before) / 1000;
    report(&format!("1,000 stalled downloads: {each} bytes each"));
    server.get("/").expect(200);
    assert!(each <= 32 * KIBIBYTE, "{each} bytes each");
}

/// Small files are served from memory, each at about its size, and those with equal bytes once.
#[test]
fn small_files_in_memory_take_little_more_than_their_bytes() {
    let _turn = heavy();
    const FILES: u64 = 5000;
    for (are_equal, each_max) in [(true, 2 * KIBIBYTE), (false, 6 * KIBIBYTE)] {
        let server = Server::with("--no-watch").start();
        for number in 0..FILES {
            let content = format!("{:04096}", if are_equal { 0 } else { number });
            server.write(format!("{number}.bin"), content);
        }
        warm_up(&server);
        let before = settled_memory(&server);
        let mut connection = server.connect();
        for round in 0..2 {
            for number in 0..FILES {
                let answer = connection.send(&server.get(format!("/{number}.bin")));
                assert_eq!(answer.body.len(), 4096, "{round} {number}");
            }
        }
        let each = settled_memory(&server).saturating_sub(before) / FILES;
        report(&format!(
            "{FILES} {} files of 4 KiB in memory: {each} bytes each",
            if are_equal { "equal" } else { "different" }
        ));
        assert!(each <= each_max, "{each} bytes each");
    }
}

/// A file comes in sixteen chunks at once, and is made of them. Its bytes are written twice at most: as chunks, and as the file.
#[test]
fn an_upload_in_chunks_takes_little_memory_and_one_copy() {
    let _turn = heavy();
    const CHUNK: usize = 24 << 20;
    let server = Server::start();
    warm_up(&server);
    let url = "/.noclobber/remote.php/dav/uploads/me/large";
    let all = (16 * CHUNK) as u64;
    let written = server.bytes_written();
    let before = server.memory("Anonymous");
    server.mkcol(url).header("oc-total-length", all.to_string()).expect(201);
    let largest = AtomicU64::new(0);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                largest.fetch_max(server.memory("Anonymous"), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let send = |number: usize| server.put(format!("{url}/{number}")).body(vec![number as u8; CHUNK]).expect(201);
        let sending: Vec<_> = (1..=16).map(|number| scope.spawn(move || send(number))).collect();
        let sent: Vec<bool> = sending.into_iter().map(|sending| sending.join().is_ok()).collect();
        let made = std::panic::catch_unwind(|| {
            server.request("MOVE", format!("{url}/.file")).header("destination", "/large.bin").expect(201)
        });
        done.store(true, Ordering::Relaxed);
        assert!(sent.iter().all(|sent| *sent) && made.is_ok());
    });
    let file = fs::read(server.local("large.bin")).unwrap();
    assert!(
        file.len() as u64 == all
            && file.chunks(CHUNK).enumerate().all(|(at, chunk)| chunk == vec![at as u8 + 1; CHUNK])
    );
    let (grown, written) = (largest.into_inner().saturating_sub(before), server.bytes_written() - written);
    report(&format!("an upload of 384 MiB in 16 chunks: {grown} bytes of memory, {written} written"));
    assert!(grown <= 32 << 20, "{grown} bytes of memory");
    assert!(written <= 2 * all + (4 << 20), "{written} bytes written of {all}");
}

/// A thousand clients upload slowly.
#[test]
fn slow_uploads_are_cheap() {
    let _turn = heavy();
    let server = Server::builder()
        .value("--connections-max", 20_000)
        .value("--uploads-max", 2000)
        .value("--body-idle-seconds", 600)
        .start();
    warm_up(&server);
    let before = server.memory("Anonymous");
    let mut crowd: Vec<Connection> = (0..1000)
        .map(|number| {
            let mut connection = server.connect();
            connection.write(server.put(format!("/{number}")).header("Content-Length", "10000000").head());
            connection
        })
        .collect();
    let piece = vec![b'x'; 50_000];
    for _ in 0..4 {
        crowd.iter_mut().for_each(|connection| connection.write(&piece));
    }
    let each = settled_memory(&server).saturating_sub(before) / 1000;
    report(&format!("1,000 slow uploads: {each} bytes each"));
    server.get("/").expect(200);
    assert!(each <= 320 * KIBIBYTE, "{each} bytes each");
}

/// A folder of a hundred thousand files is listed, for programs and for people. What the server remembers of the files has a bound
/// of its own; the listing itself holds none of them, where no watch is to be had and so no folder is kept.
#[test]
fn a_large_folder_is_listed_in_bounded_memory() {
    let _turn = heavy();
    let limit = "echo 0 > /proc/sys/user/max_inotify_watches && exec \"$0\" \"$@\"";
    let without_watches = ["unshare", "-Ur", "sh", "-c", limit];
    let tried = Command::new(without_watches[0]).args(&without_watches[1..]).arg("true").run();
    if !tried.is_ok_and(|tried| tried.status.success()) {
        return left_out("a_large_folder_is_listed_in_bounded_memory", "no user namespace is to be had");
    }
    let grown = list_a_large_folder(Server::with("--no-watch").under(without_watches).start());
    report(&format!(
        "listing 100,000 entries: {} KiB more at most the first time, {} the second, {} with the page, {} with PROPFIND",
        grown.first, grown.second, grown.page, grown.properties
    ));
    assert!(grown.first <= 64 * 1024, "{} KiB with what is remembered of each file", grown.first);
    assert!(grown.second <= grown.first + 24 * 1024, "{} KiB when it is listed again", grown.second);
    assert!(grown.page <= grown.first + 24 * 1024, "{} KiB with the page", grown.page);
    assert!(grown.properties <= grown.first + 24 * 1024, "{} KiB with PROPFIND", grown.properties);
}

/// A folder that is listed again and again is kept, and all that is kept of folders takes no more than 64 MiB.
#[test]
fn a_large_folder_is_kept_in_bounded_memory() {
    let _turn = heavy();
    let grown = list_a_large_folder(Server::with("--no-watch").start());
    report(&format!("listing 100,000 entries that are kept: {} KiB more at most", grown.properties));
    assert!(grown.properties <= (64 + 24 + 64) * 1024, "{} KiB", grown.properties);
}

/// By how many KiB the memory has grown at most, after one listing after the other.
struct Grown {
    first: u64,
    second: u64,
    page: u64,
    properties: u64,
}

fn list_a_large_folder(server: Server) -> Grown {
    warm_up(&server);
    for number in 0..100_000 {
        File::create(server.local(format!("a-file-with-a-name-of-some-length-{number:06}.txt"))).unwrap();
    }
    let before = server.memory("VmHWM");
    let grown = |server: &Server| server.memory("VmHWM").saturating_sub(before) / KIBIBYTE;
    let listing = server.get("/?json").expect(200);
    assert_eq!(listing.json()["entries"].as_array().map(Vec::len), Some(100_001));
    let first = grown(&server);
    server.get("/?json").expect(200);
    let second = grown(&server);
    let page = server.get("/").expect(200);
    assert!(page.text().matches("<a ").count() > 100_000, "all are in the page");
    let page = grown(&server);
    let found = server.request("PROPFIND", "/").header("Depth", "1").expect(207);
    assert!(found.text().matches("<D:response>").count() > 100_000, "all are in the answer");
    Grown { first, second, page, properties: grown(&server) }
}

/// Uploads and downloads of hundreds of megabytes pass through, and the memory stays what it was.
#[test]
fn large_files_pass_through() {
    let _turn = heavy();
    let server = Server::with("--no-history").start();
    warm_up(&server);
    server.put("/warm.bin").body(vec![b'x'; 8 << 20]).expect(201);
    let before = server.memory("VmHWM");
    let body = vec![b'x'; 200 << 20];
    server.put("/large.bin").body(&body).expect(201);
    assert!(server.get("/large.bin").expect(200).body == body);
    let grown = server.memory("VmHWM").saturating_sub(before);
    report(&format!("200 MiB up and down: {grown} bytes more at most"));
    assert!(grown <= 16 * 1024 * KIBIBYTE, "{grown} bytes");
}

/// The clients of `idle_connections_are_cheap`, which starts itself again in a process that holds them.
fn be_a_crowd(task: &str) {
    let (address, count) = task.split_once(' ').unwrap();
    let address: SocketAddr = address.parse().unwrap();
    let request = Request::new(address, "GET", "/a.txt");
    let mut crowd = Vec::new();
    for _ in 0..count.parse::<usize>().unwrap() {
        let Ok(mut connection) = Connection::open(address) else { break };
        let Ok(answer) = connection.try_send(&request) else { break };
        assert_eq!(answer.status, 200);
        crowd.push(connection);
    }
    let mut output = std::io::stdout();
    writeln!(output, "connected {}", crowd.len()).unwrap();
    let _ = std::io::stdin().lines().count();
}

/// A process that holds many connections until it is dropped.
struct Crowd(Child);

impl Crowd {
    fn start(address: SocketAddr, count: u64) -> Option<Self> {
        let test = crate::whole_name!("idle_connections_are_cheap");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &test, "--nocapture"])
            .env("NOCLOBBER_TEST_CROWD", format!("{address} {count}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .start()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut said = lines.filter_map(|line| line.strip_prefix("connected ")?.parse::<u64>().ok());
        let connected = said.next();
        let crowd = Self(child);
        (connected == Some(count)).then_some(crowd)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Lets the server make what it makes once: threads, pools, buffers.
fn warm_up(server: &Server) {
    let mut connections: Vec<Connection> = (0..50).map(|_| server.connect()).collect();
    for connection in &mut connections {
        connection.send(&server.get("/")).expect(200);
        connection.send(&server.put("/warm.txt").body("x")).expect_any(&[201, 204]);
    }
    fs::read_dir(server.folder()).unwrap().count();
}

/// The memory when it no longer grows.
fn settled_memory(server: &Server) -> u64 {
    let mut last = 0;
    eventually(Duration::from_secs(60), "the memory to settle", || {
        std::thread::sleep(Duration::from_millis(300));
        let now = server.memory("Anonymous");
        let settled = now.abs_diff(last) < 64 * KIBIBYTE;
        last = now;
        settled.then_some(now)
    })
}
