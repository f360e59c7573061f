//! The local network: who is let in by `--lan`, what the start says of it, the code and the browser that sign in once, what is remembered, and
//! what other machines reach and see, from a network of their own.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mdns_sd::{ResolvedService, ServiceDaemon, ServiceEvent};
use noclobber::access::password::PasswordHash;
use noclobber::os::addresses::addresses_of_machine;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::harness::programs::StartProgram as _;
use crate::harness::server::Options;
use crate::harness::{Answer, Request, Server, canaries, eventually, has_program, is_root, left_out};

/// A server on this machine and on all its networks. The tests talk to it on this machine.
fn lan() -> Options {
    Server::with("--lan").value("--listen", "0.0.0.0:0")
}

fn started(options: Options) -> Server {
    let server = options.start();
    server.wait_until_it_says("Stop with Ctrl-C");
    server
}

/// What stands behind these words in the lines that are printed at the start.
fn said(server: &Server, words: &str) -> Vec<String> {
    let greeting = server.greeting();
    greeting.lines().filter_map(|line| line.strip_prefix(words)).map(str::to_owned).collect()
}

fn phrase(server: &Server) -> String {
    let said = said(server, "Pass phrase: ");
    assert_eq!(said.len(), 1, "{}", server.greeting());
    canaries::note(&said[0]);
    said[0].clone()
}

fn signed(request: Request, name: &str, password: &str) -> Request {
    request.header("Authorization", format!("Basic {}", STANDARD.encode(format!("{name}:{password}"))))
}

/// What the code says that was printed: the lines of blocks are made into a picture again, and that is read.
fn scanned(server: &Server) -> String {
    let greeting = server.greeting();
    let is_code = |line: &&str| line.chars().count() > 20 && line.chars().all(|c| "█▀▄ ".contains(c));
    let lines: Vec<Vec<char>> = greeting.lines().filter(is_code).map(|line| line.chars().collect()).collect();
    assert!(!lines.is_empty(), "{greeting}");
    const SCALE: usize = 4;
    let (width, height) = (lines[0].len() * SCALE, lines.len() * 2 * SCALE);
    let is_white = |x: usize, y: usize| {
        let (column, row) = (x / SCALE, y / SCALE);
        matches!((lines[row / 2][column], row % 2), ('█', _) | ('▀', 0) | ('▄', 1))
    };
    let picture = |x: usize, y: usize| if is_white(x, y) { 255 } else { 0 };
    let mut image = rqrr::PreparedImage::prepare_from_greyscale(width, height, picture);
    let found = image.detect_grids();
    assert_eq!(found.len(), 1, "{greeting}");
    found[0].decode().expect("it can be read").1
}

/// The path and the query of a URL.
fn target_of(url: &str) -> String {
    let rest = url.split_once("://").expect("a URL").1;
    let (_, target) = rest.split_once('/').expect("a path");
    canaries::note(target.split_once("sign-in=").map_or("", |(_, secret)| secret));
    format!("/{target}")
}

fn cookie_of(answer: &Answer) -> String {
    answer.field("set-cookie").split(';').next().expect("a pair").to_owned()
}

fn file_of_users(folder: &Path) -> PathBuf {
    let file = folder.join("users.toml");
    let hash = PasswordHash::of("secret of alice").expect("hashed");
    let mut made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file).expect("made");
    std::io::Write::write_all(&mut made, format!("[users.alice]\npassword = \"{}\"\n", hash.as_str()).as_bytes())
        .expect("written");
    file
}

/// A person reads at which addresses others reach the folder, by what name and pass phrase, and what plain HTTP means; and that is what holds.
#[test]
fn the_start_says_how_to_come_in() {
    let server = started(lan());
    let phrase = phrase(&server);
    assert_eq!(phrase.split('-').count(), 5, "{phrase}");
    assert_eq!(said(&server, "User: "), ["guest"]);
    let places = said(&server, "On the local network: ");
    for address in addresses_of_machine().iter().filter(|address| address.is_ipv4()) {
        assert!(places.iter().any(|place| place.starts_with(&format!("http://{address}:"))), "{places:?}");
    }
    let greeting = server.greeting();
    assert!(greeting.contains("plain HTTP") && greeting.contains("--tls"), "{greeting}");
    server.get("/").expect(401);
    signed(server.put("/a.txt").body("x"), "guest", &phrase).expect(201);
    signed(server.get("/a.txt"), "guest", &phrase).expect_body("x");
    for (name, password) in [("guest", "wrong"), ("guest", ""), ("admin", &*phrase), ("guest", &phrase.to_uppercase())]
    {
        signed(server.get("/a.txt"), name, password).expect(401);
    }
    // Another run has another.
    assert_ne!(self::phrase(&started(lan())), phrase);
}

/// What everybody may do is still said by its own word.
#[test]
fn everybody_else_may_what_was_said() {
    let server = started(lan().option("--anonymous=read"));
    server.write("a.txt", "x");
    server.get("/a.txt").expect_body("x");
    server.put("/a.txt").body("y").expect(401);
    signed(server.put("/a.txt").body("y"), "guest", &phrase(&server)).expect(204);
}

/// Whoever scans the code is signed in, and nobody after them. That the browser has a cookie from another run is no hindrance.
#[test]
fn the_code_signs_in_once() {
    const TEST: &str = "the_code_signs_in_once";
    if addresses_of_machine().is_empty() {
        return left_out(TEST, "this machine has no address on a network");
    }
    let server = started(lan());
    server.write("a.txt", "x");
    let url = scanned(&server);
    let place = url.split_once("?").expect("a query").0;
    assert!(said(&server, "On the local network: ").iter().any(|told| told == place), "{url}");
    let target = target_of(&url);
    assert!(!server.head(&target).expect(200).headers.iter().any(|(name, _)| name == "set-cookie"));
    let answer = server.get(&target).header("Cookie", "noclobber-session=of-another-run").expect(303);
    assert_eq!(answer.field("location"), "/");
    let cookie = cookie_of(&answer);
    server.get("/a.txt").header("Cookie", &cookie).expect_body("x");
    server.put("/a.txt").header("Cookie", &cookie).body("y").expect(204);
    let late = server.get(&target).expect(410);
    assert!(late.text().contains("<form") && late.header("set-cookie").is_none(), "{}", late.text());
    server.get("/?sign-in=AAAAAAAAAAAAAAAAAAAAAA").expect(410);
    server.get("/?sign-in=guess").expect(400);
    server.get("/a.txt").header("Cookie", "noclobber-session=of-another-run").expect(401);
}

/// Neither the pass phrase nor a secret is in the log, however closely it looks.
#[test]
fn no_secret_is_in_the_log() {
    const TEST: &str = "no_secret_is_in_the_log";
    if addresses_of_machine().is_empty() {
        return left_out(TEST, "this machine has no address on a network");
    }
    for options in [
        lan().value("--log-level", "trace"),
        lan().value("--log-format", "json"),
        lan().value("--log-format", "common"),
        lan().value("--log-format", "combined"),
    ] {
        let server = started(options);
        let (phrase, target) = (phrase(&server), target_of(&scanned(&server)));
        let secret = target.split_once("sign-in=").expect("a secret").1.to_owned();
        server.get(target.replace("sign-in", "sign%2Din")).expect(303);
        server.get(&target).expect(410);
        signed(server.get("/?sign-in"), "guest", &phrase).expect(200);
        server.post("/?sign-in").header("Content-Type", "application/json").body(json(&phrase)).expect(204);
        server.get("/last").expect(401);
        server.wait_for_log("/last");
        let log = server.log();
        assert!(!log.contains(&secret), "{log}");
        assert!(!log.contains(&phrase) && !log.contains(&STANDARD.encode(format!("guest:{phrase}"))), "{log}");
        if log.contains("] \"GET") {
            assert!(log.contains("/?sign-in=*** HTTP"), "{log}");
        }
    }
}

fn json(phrase: &str) -> String {
    serde_json::json!({ "name": "guest", "password": phrase }).to_string()
}

/// What is remembered is the same in the next run, and nobody else's to read.
#[test]
fn a_pass_phrase_is_remembered_where_that_was_asked_for() {
    let mut server = started(lan().option("--remember"));
    let first = phrase(&server);
    let file = server.state().join("lan/pass-phrase");
    assert_eq!(fs::read_to_string(&file).unwrap(), first);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(file.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    server.stop();
    server.start_again();
    server.wait_until_it_says("Stop with Ctrl-C");
    assert_eq!(phrase(&server), first);
    signed(server.get("/"), "guest", &first).expect(200);
    server.stop();
    server.start_again_with(lan());
    server.wait_until_it_says("Stop with Ctrl-C");
    assert_ne!(phrase(&server), first, "it was not asked for");
    server.stop();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let (status, printed) = lan().option("--remember").state(server.state()).start_in_vain();
    assert_eq!(status.code(), Some(2), "{printed}");
    assert!(printed.contains("can be read by others") && !printed.contains(&first), "{printed}");
}

/// Words that contradict each other, and passwords that last where all can read them.
#[test]
fn what_does_not_go_together_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let users = file_of_users(folder.path());
    let users = |options: Options| options.value("--users", users.display());
    for (options, words) in [
        (Server::with("--remember"), "--lan"),
        (users(lan()).option("--remember"), "--remember"),
        (users(lan()), "--tls"),
        (lan().option("--tls").value("--listen", "http://0.0.0.0:0"), "--plain-passwords"),
        (Server::with("--lan=yes"), "--lan"),
    ] {
        let (status, printed) = options.start_in_vain();
        assert_eq!(status.code(), Some(2), "{words}: {printed}");
        assert!(printed.contains(words), "{words}: {printed}");
    }
    // On this machine alone nobody comes from the network, and that is said.
    Server::with("--lan").start().wait_for_log("no address of --listen can be reached");
}

/// With a file of users they come in, and no guest.
#[test]
fn the_users_of_a_file_come_in_instead_of_a_guest() {
    let folder = tempfile::tempdir().unwrap();
    let users = file_of_users(folder.path());
    let server = started(lan().option("--plain-passwords").value("--users", users.display()));
    assert!(said(&server, "Pass phrase: ").is_empty() && said(&server, "User: ").is_empty(), "{}", server.greeting());
    signed(server.get("/"), "alice", "secret of alice").expect(200);
    signed(server.get("/"), "guest", "").expect(401);
    if !addresses_of_machine().is_empty() {
        assert!(!scanned(&server).contains("sign-in"));
    }
}

/// The browser that is opened is signed in, once; where none can be opened that is no reason not to serve.
#[test]
fn a_browser_is_opened_and_signed_in() {
    let folder = tempfile::tempdir().unwrap();
    let (program, told) = (folder.path().join("xdg-open"), folder.path().join("told"));
    let script = format!("#!/bin/sh\nprintf %s \"$1\" > {0}.new\n/bin/mv {0}.new {0}\n", told.display());
    crate::harness::programs::while_none_starts(|| fs::write(&program, script)).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let url_of = |options: Options| {
        let server = started(options.option("--open").environment("PATH", folder.path()));
        let url = eventually(Duration::from_secs(10), "a browser", || fs::read_to_string(&told).ok());
        fs::remove_file(&told).unwrap();
        (server, url)
    };
    let (server, url) = url_of(lan());
    assert!(url.starts_with(&format!("http://{}/?sign-in=", server.address())), "{url}");
    let cookie = cookie_of(&server.get(target_of(&url)).expect(303));
    server.get("/").header("Cookie", &cookie).expect(200);
    server.get(target_of(&url)).expect(410);
    let (server, url) = url_of(Server::builder());
    assert_eq!(url, format!("http://{}/", server.address()));

    let nowhere = folder.path().join("nowhere");
    let server = Server::with("--open").environment("PATH", nowhere).environment("BROWSER", "").start();
    server.wait_for_log("no browser can be opened");
    server.get("/").expect(200);
}

/// Two networks with a wire between them: a server in one, whoever looks at it in the other.
struct TwoNetworks {
    server: String,
    other: String,
}

const V4: &str = "198.18.7.1";
const V6: &str = "fd00:4918::1";

impl TwoNetworks {
    /// They are gone when this is.
    fn make() -> Result<Self, String> {
        if !is_root() || !has_program("ip") {
            return Err("a second network takes root and the program ip".to_owned());
        }
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = |what: &str| format!("nc-{}-{number}-{what}", std::process::id());
        let made = Self { server: name("a"), other: name("b") };
        let (a, b) = (made.server.as_str(), made.other.as_str());
        let (at_a, at_b) = (format!("{V4}/24"), "198.18.7.2/24");
        for words in [
            &["netns", "add", a][..],
            &["netns", "add", b],
            &["-n", a, "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", b],
            &["-n", a, "addr", "add", &at_a, "dev", "wire"],
            &["-n", a, "addr", "add", &format!("{V6}/64"), "dev", "wire", "nodad"],
            &["-n", b, "addr", "add", at_b, "dev", "wire"],
            &["-n", b, "addr", "add", "fd00:4918::2/64", "dev", "wire", "nodad"],
            &["-n", a, "link", "set", "lo", "up"],
            &["-n", a, "link", "set", "wire", "up"],
            &["-n", b, "link", "set", "lo", "up"],
            &["-n", b, "link", "set", "wire", "up"],
        ] {
            let done = Command::new("ip").args(words).run().map_err(|error| error.to_string())?;
            if !done.status.success() {
                return Err(format!("ip {words:?}: {}", String::from_utf8_lossy(&done.stderr)));
            }
        }
        Ok(made)
    }

    /// A server in its network with these options alone, and the folder that it serves.
    fn serve(&self, options: &[&str], folder: &Path) -> std::process::Child {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.server, env!("CARGO_BIN_EXE_noclobber"), "--no-state"]);
        command.args(options).arg(folder);
        for stream in [Command::stdin, Command::stdout, Command::stderr] {
            stream(&mut command, std::process::Stdio::null());
        }
        command.start().expect("the server starts")
    }

    /// Does something in the other network.
    fn beside<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        let network = fs::File::open(Path::new("/run/netns").join(&self.other)).expect("a network");
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                use std::os::fd::AsFd as _;
                move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).expect("moved");
                what()
            });
            thread.join().expect("it ends well")
        })
    }

    /// What is listened on in the server's network: the protocol, and the address and port in hex.
    fn listened_on(&self, child: &std::process::Child) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for protocol in ["tcp", "tcp6", "udp", "udp6"] {
            let table = fs::read_to_string(format!("/proc/{}/net/{protocol}", child.id())).unwrap_or_default();
            for line in table.lines().skip(1) {
                let fields: Vec<&str> = line.split_whitespace().collect();
                if protocol.starts_with("udp") || fields[3] == "0A" {
                    found.insert(format!("{protocol} {}", fields[1]));
                }
            }
        }
        found
    }
}

impl Drop for TwoNetworks {
    fn drop(&mut self) {
        for name in [&self.server, &self.other] {
            let _ = Command::new("ip").args(["netns", "del", name]).run();
        }
    }
}

/// A server that ends with the test.
struct Served(std::process::Child);

impl Served {
    fn stop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        assert_eq!(self.0.wait().expect("it ends").code(), Some(0));
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn connect(address: &str, port: u16) -> std::io::Result<TcpStream> {
    let address = SocketAddr::new(address.parse::<IpAddr>().expect("an address"), port);
    TcpStream::connect_timeout(&address, Duration::from_secs(5))
}

/// Where nothing was asked for, nothing of the server is there for other machines; with `--lan` what was announced is, and nothing else.
#[test]
fn other_machines_reach_what_was_announced_alone() {
    const TEST: &str = "other_machines_reach_what_was_announced_alone";
    let networks = match TwoNetworks::make() {
        Ok(networks) => networks,
        Err(why) => return left_out(TEST, &why),
    };
    let folder = tempfile::tempdir().unwrap();
    let set = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<BTreeSet<_>>();
    let mut plain = Served(networks.serve(&[], folder.path()));
    eventually(Duration::from_secs(20), "the server to listen", || {
        (networks.listened_on(&plain.0) == set(&["tcp 0100007F:1336"])).then_some(())
    });
    for address in [V4, V6] {
        let refused = networks.beside(|| connect(address, 4918)).expect_err("nobody is let in");
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused, "{address}");
    }
    assert_eq!(networks.listened_on(&plain.0), set(&["tcp 0100007F:1336"]));
    plain.stop();

    let mut lan = Served(networks.serve(&["--lan"], folder.path()));
    let everywhere = "tcp6 00000000000000000000000000000000:1336";
    let mdns = ["udp 00000000:14E9", "udp6 00000000000000000000000000000000:14E9"];
    let expected = set(&["tcp 00000000:1336", everywhere, mdns[0], mdns[1]]);
    eventually(Duration::from_secs(20), "the server to listen", || {
        (networks.listened_on(&lan.0) == expected).then_some(())
    });
    for address in [V4, V6] {
        let host = SocketAddr::new(address.parse().expect("an address"), 4918);
        networks.beside(|| Request::new(host, "GET", "/").expect(401));
    }
    assert_eq!(networks.listened_on(&lan.0), expected);
    lan.stop();
}

/// A service of this kind, as it comes and goes.
struct Seen {
    daemon: ServiceDaemon,
    events: mdns_sd::Receiver<ServiceEvent>,
}

impl Seen {
    fn look(kind: &str) -> Self {
        let daemon = ServiceDaemon::new().expect("a client");
        let events = daemon.browse(kind).expect("it looks");
        Self { daemon, events }
    }

    fn come(&self) -> ResolvedService {
        loop {
            match self.events.recv_timeout(Duration::from_secs(30)).expect("a service is seen") {
                ServiceEvent::ServiceResolved(service) => return *service,
                _ => continue,
            }
        }
    }

    fn go(&self) -> String {
        loop {
            match self.events.recv_timeout(Duration::from_secs(30)).expect("the service is seen to go") {
                ServiceEvent::ServiceRemoved(_, name) => return name,
                _ => continue,
            }
        }
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        let _ = self.daemon.shutdown();
    }
}

/// A machine beside sees the folder, by name, with the path and the user, and sees it go when the server ends.
#[test]
fn the_folder_is_announced_while_it_is_served() {
    const TEST: &str = "the_folder_is_announced_while_it_is_served";
    let networks = match TwoNetworks::make() {
        Ok(networks) => networks,
        Err(why) => return left_out(TEST, &why),
    };
    let folder = tempfile::tempdir().unwrap();
    let shared = folder.path().join("Fotos v1.2");
    fs::create_dir(&shared).unwrap();
    let state = folder.path().join("state");
    let state = ["--state", state.to_str().unwrap()];
    for (options, kinds, others) in [
        (
            &["--lan", "--base-path", "/files"][..],
            &["_webdav._tcp.local.", "_http._tcp.local."][..],
            "_webdavs._tcp.local.",
        ),
        (&["--lan", "--tls", state[0], state[1]], &["_webdavs._tcp.local."], "_webdav._tcp.local."),
    ] {
        let path = if options.contains(&"--tls") { "/" } else { "/files/" };
        networks.beside(|| {
            let seen: Vec<Seen> = kinds.iter().map(|kind| Seen::look(kind)).collect();
            let none = Seen::look(others);
            let mut served = Served(networks.serve(options, &shared));
            for (seen, kind) in seen.iter().zip(kinds) {
                let service = seen.come();
                let name = service.get_fullname().strip_suffix(&format!(".{kind}")).expect("of this kind").to_owned();
                assert!(name.replace('\\', "").starts_with("Fotos v1.2 on "), "{name}");
                assert_eq!(service.get_port(), 4918);
                assert_eq!(service.get_property_val_str("path"), Some(path));
                assert_eq!(service.get_property_val_str("u"), Some("guest"));
                assert!(service.get_hostname().ends_with(".local."), "{}", service.get_hostname());
                let addresses = service.get_addresses_v4();
                assert!(addresses.iter().all(|address| address.to_string() == V4), "{addresses:?}");
            }
            served.stop();
            for seen in &seen {
                assert!(seen.go().contains("Fotos"));
            }
            assert!(!none.events.try_iter().any(|event| matches!(event, ServiceEvent::ServiceFound(..))), "{others}");
        });
    }
}

/// What another program makes of the announcement: Avahi lists it, and takes it from the list when the server ends.
#[test]
fn avahi_lists_the_folder_while_it_is_served() {
    const TEST: &str = "avahi_lists_the_folder_while_it_is_served";
    if !["avahi-daemon", "avahi-browse", "dbus-daemon", "unshare"].iter().all(|program| has_program(program)) {
        return left_out(TEST, "avahi-daemon, avahi-browse, dbus-daemon or unshare is not installed");
    }
    let networks = match TwoNetworks::make() {
        Ok(networks) => networks,
        Err(why) => return left_out(TEST, &why),
    };
    let folder = tempfile::tempdir().unwrap();
    let shared = folder.path().join("Fotos");
    fs::create_dir(&shared).unwrap();
    // A machine of its own needs a place for its daemons, and another name.
    let script = "set -e; PATH=$PATH:/usr/sbin:/sbin; mount -t tmpfs tmpfs /run; mkdir -p /run/dbus /run/avahi-daemon
        printf '[server]\\nhost-name=beside\\n' > /run/avahi.conf
        dbus-daemon --system --fork
        avahi-daemon --file=/run/avahi.conf --no-drop-root --no-chroot --no-rlimits --daemonize
        exec avahi-browse --parsable --resolve _webdav._tcp";
    let mut browse = Command::new("ip");
    browse.args([
        "netns",
        "exec",
        &networks.other,
        "unshare",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "bash",
        "-c",
        script,
    ]);
    browse.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
    let mut browse = Served(browse.start().expect("it starts"));
    let (teller, told) = std::sync::mpsc::channel();
    let output = std::io::BufReader::new(browse.0.stdout.take().expect("a pipe"));
    std::thread::spawn(move || {
        std::io::BufRead::lines(output).map_while(Result::ok).for_each(|line| drop(teller.send(line)));
    });
    let line_with = |sign: &str| loop {
        let line = told.recv_timeout(Duration::from_secs(60)).expect("it is told");
        if line.starts_with(sign) && line.contains("Fotos") {
            return line;
        }
    };
    let mut server = Served(networks.serve(&["--lan"], &shared));
    let line = line_with("=;");
    assert!(line.contains(&format!(";{V4};4918;")) || line.contains(&format!(";{V6};4918;")), "{line}");
    assert!(line.contains("\"u=guest\"") && line.contains("\"path=/\""), "{line}");
    server.stop();
    line_with("-;");
}
