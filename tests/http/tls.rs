//! HTTPS, with the program that people start: the certificate that is made and the one that is named, what is agreed on with clients, what they
//! are told who speak something else, and what handshakes may cost. That a connection inside TLS is as any other is told in `transport.rs`.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustls::{ClientConfig, ProtocolVersion};

use crate::harness::programs::StartProgram as _;
use crate::harness::server::Options;
use crate::harness::tls::{VERSIONS, trusting};
use crate::harness::{Connection, Server, eventually, has_program, heavy, is_root, left_out, report};

/// Where a server keeps the certificate that it made.
fn own_certificate(server: &Server) -> PathBuf {
    server.state().join("tls/certificate.pem")
}

fn connect(server: &Server) -> Connection {
    let config = Arc::new(trusting(&own_certificate(server), &VERSIONS));
    Connection::open_tls(server.address(), &config).expect("a handshake")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

/// A certificate and its key, made elsewhere.
struct Pair {
    folder: tempfile::TempDir,
}

impl Pair {
    fn new() -> Self {
        let pair = Self { folder: tempfile::tempdir().unwrap() };
        pair.renew();
        pair
    }

    fn certificate(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    /// Puts another in its place.
    fn renew(&self) {
        self.put(|_| {});
    }

    fn put(&self, shape: impl FnOnce(&mut CertificateParams)) {
        let mut about = CertificateParams::new(["localhost".to_owned()]).unwrap();
        shape(&mut about);
        let key = KeyPair::generate().unwrap();
        self.put_file(&self.certificate(), about.self_signed(&key).unwrap().pem());
        self.put_file(&self.key(), key.serialize_pem());
    }

    fn put_file(&self, path: &Path, text: impl AsRef<[u8]>) {
        let new = path.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(new, path).unwrap();
    }

    fn options(&self) -> Options {
        Server::builder().value("--tls-cert", self.certificate().display()).value("--tls-key", self.key().display())
    }

    fn trusted(&self) -> Arc<ClientConfig> {
        Arc::new(trusting(&self.certificate(), &VERSIONS))
    }
}

/// The certificate is made once, lies where nobody else can read it, and is told; a client that trusts it is served.
#[test]
fn a_certificate_is_made_once_and_kept() {
    let mut server = Server::with("--tls").start();
    server.wait_until_it_says(&format!("Listening on https://{}/", server.address()));
    let certificate = own_certificate(&server);
    server.wait_until_it_says(certificate.to_str().unwrap());
    let folder = certificate.parent().unwrap();
    assert_eq!((mode(folder), mode(&certificate), mode(&folder.join("key.pem"))), (0o700, 0o600, 0o600));
    let told = |server: &Server| {
        server.greeting().lines().find_map(|line| line.strip_prefix("Its SHA-256 fingerprint: ").map(str::to_owned))
    };
    let fingerprint = told(&server).expect("the fingerprint is told");
    server.write("a.txt", "x");
    connect(&server).send(&server.get("/a.txt")).expect_body("x");
    assert_eq!(server.stop().code(), Some(0));
    server.start_again();
    assert_eq!(told(&server), Some(fingerprint.clone()));
    connect(&server).send(&server.get("/a.txt")).expect_body("x");
    // It names what the machine is called by then, and whoever knows the old one is told that there is a new one.
    assert_eq!(server.stop().code(), Some(0));
    server.start_again_with(Server::with("--tls").value("--allow-host", "files.example.org"));
    assert_ne!(told(&server), Some(fingerprint));
    server.wait_for_log("it did not name files.example.org");
    connect(&server).send(&server.get("/a.txt").host("files.example.org")).expect_body("x");
}

#[test]
fn curl_is_served() {
    if !has_program("curl") {
        return left_out("curl_is_served", "curl is not installed");
    }
    let server = Server::with("--tls").start();
    server.write("a.txt", "hello");
    let url = format!("https://{}/a.txt", server.address());
    let curl =
        |words: &[&str]| Command::new("curl").args(["-sS", "--max-time", "20"]).args(words).arg(&url).run().unwrap();
    let certificate = own_certificate(&server);
    let certificate = certificate.to_str().unwrap();
    for version in ["1.2", "1.3"] {
        let output = curl(&["--cacert", certificate, "--tls-max", version]);
        assert_eq!(output.stdout, b"hello", "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(curl(&[]).status.code(), Some(60), "a certificate that nobody vouches for is not to be trusted");
}

/// TLS 1.3 and 1.2 are spoken, with HTTP/1.1 and nothing else.
#[test]
fn two_versions_and_one_protocol_are_spoken() {
    let server = Server::with("--tls").start();
    server.write("a.txt", "x");
    let config = |version| trusting(&own_certificate(&server), &[version]);
    for (version, name) in VERSIONS.into_iter().zip([ProtocolVersion::TLSv1_3, ProtocolVersion::TLSv1_2]) {
        for offered in [&[][..], &[&b"h2"[..], b"http/1.1"]] {
            let mut config = config(version);
            config.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
            let mut client = Connection::open_tls(server.address(), &Arc::new(config)).unwrap();
            let session = client.tls().session();
            assert_eq!(session.protocol_version(), Some(name));
            assert_eq!(session.alpn_protocol(), offered.last().copied());
            // By the long way, and at the edge.
            for _ in 0..3 {
                client.send(&server.get("/a.txt")).expect_body("x");
            }
        }
        let mut config = config(version);
        config.alpn_protocols = vec![b"h2".to_vec()];
        let error = Connection::open_tls(server.address(), &Arc::new(config)).expect_err("nothing in common");
        assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
    }
}

/// A client of TLS 1.1 is told by an alert (`protocol_version`, RFC 8446 §6.2).
#[test]
fn older_versions_are_refused() {
    let server = Server::with("--tls").start();
    // A ClientHello of TLS 1.1: one suite, one curve, and the algorithms of signatures that later versions have.
    let mut hello = vec![3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0xc0, 0x13, 1, 0, 0, 16, 0, 10, 0, 4, 0, 2, 0, 29, 0, 13, 0, 4, 0, 2, 4, 3]);
    let mut record = vec![22, 3, 1, 0, hello.len() as u8 + 4, 1, 0, 0, hello.len() as u8];
    record.extend(hello);
    let mut client = TcpStream::connect(server.address()).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    client.write_all(&record).unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert_eq!((answer[0], &answer[5..]), (21, &[2, 70][..]));
}

/// What is sent and fetched arrives as it was: whole, in parts, and when it was asked for.
#[test]
fn files_go_up_and_down() {
    let server = Server::with("--tls").start();
    let content: Vec<u8> = (0..24 * 1024 * 1024_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for version in VERSIONS {
        let config = Arc::new(trusting(&own_certificate(&server), &[version]));
        let mut client = Connection::open_tls(server.address(), &config).unwrap();
        client.send(&server.put("/big").body(&content)).expect_any(&[201, 204]);
        assert!(fs::read(server.local("big")).unwrap() == content);
        assert!(client.send(&server.get("/big")).expect(200).body == content);
        for (range, expected) in [
            ("bytes=0-0", &content[..1]),
            ("bytes=16383-32768", &content[16_383..32_769]),
            ("bytes=-70000", &content[content.len() - 70_000..]),
        ] {
            assert!(client.send(&server.get("/big").range(range)).expect(206).body == expected, "{range}");
        }
        let asked = client.send(&server.put("/asked").body_when_asked(&content[..100_000]));
        assert_eq!(asked.expect_any(&[201, 204]).interim, [100]);
        let early = client.send(&server.put("/asked").if_none_match("*").body_when_asked(&content));
        assert_eq!(early.expect(412).interim, [0_u16; 0]);
    }
    assert_eq!(fs::read(server.local("asked")).unwrap(), &content[..100_000]);
}

/// An answer that comes while the client still sends can be read, and the connection ends with `close_notify`; one that is broken off does not.
#[test]
fn an_early_answer_can_be_read_and_a_proper_end_is_told() {
    let server = Server::with("--tls").value("--upload-bytes-max", 1000).value("--keep-alive-seconds", 1).start();
    server.write("a.txt", "x");
    let mut client = connect(&server);
    let answer = client.send(&server.put("/big").body(vec![b'x'; 2 * 1024 * 1024]));
    assert_eq!(answer.expect(413).field("connection"), "close");
    assert!(client.ends_well());

    let mut client = connect(&server);
    client.send(&server.get("/a.txt").header("Connection", "close")).expect_body("x");
    assert!(client.ends_well());
    // The time between two requests is over.
    let mut client = connect(&server);
    client.send(&server.get("/a.txt")).expect_body("x");
    assert!(client.ends_well());
}

/// Heads have the same limits.
#[test]
fn heads_have_their_limits() {
    let server = Server::with("--tls").value("--header-seconds", 1).start();
    let mut client = connect(&server);
    client.send(&server.get("/").header("X-Long", vec![b'x'; 40_000])).expect(431);
    let mut client = connect(&server);
    client.write("GET / HTTP/1.1\r\nHost: local");
    client.answer("GET").expect(408);
}

/// A request without TLS gets an answer that says where to go, whatever host it names, and can read it although it goes on sending.
#[test]
fn who_comes_without_tls_is_told() {
    let server = Server::with("--tls").start();
    let url = format!("https://{}/", server.address());
    let answer = server.get("/a.txt").host("evil.example").expect(400);
    assert!(answer.text().contains(&url) && !answer.text().contains("evil"), "{answer}");
    assert_eq!(answer.field("connection"), "close");
    server.put("/a.txt").body(vec![b'x'; 200_000]).expect(400);
    assert!(server.head("/").expect(400).body.is_empty());
    assert_eq!(server.names(""), [""; 0]);
    connect(&server).send(&server.get("/")).expect(200);
}

/// And who comes with TLS to where there is none.
#[test]
fn who_comes_with_tls_to_a_plain_port_is_refused() {
    let server = Server::start();
    let pair = Pair::new();
    assert!(Connection::open_tls(server.address(), &pair.trusted()).is_err());
    server.get("/").expect(200);
    let log = server.log();
    assert!(!log.contains("ERROR") && !log.contains("WARN"), "{log}");
}

/// One address with TLS and one without; the answer is the same.
#[test]
fn an_address_says_whether_it_is_plain() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let server = Server::with("--tls").value("--listen", "http://127.0.0.1:0").value("--listen", "https://[::1]:0");
    let server = server.value("--listen", format!("unix:{}", socket.display())).start();
    server.wait_until_it_says("Stop with");
    let said = server.greeting();
    let addresses: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("Listening on ")).collect();
    assert!(addresses[0].starts_with("https://127.0.0.1:"), "{said}");
    let plain = addresses[1].strip_prefix("http://").and_then(|rest| rest.strip_suffix('/')).expect("plain");
    assert!(addresses[2].starts_with("https://[::1]:"), "{said}");
    assert_eq!(addresses[3], format!("unix:{}", socket.display()));
    crate::harness::Request::new(plain.parse().unwrap(), "GET", "/").expect(200);
    connect(&server).send(&server.get("/")).expect(200);
    let mut unix = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    unix.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    unix.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

/// A handshake that does not come to its end is cut, wherever it stops.
#[test]
fn a_slow_handshake_is_cut() {
    let server = Server::with("--tls").value("--handshake-seconds", 1).start();
    let mut begun = vec![22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];
    begun.extend([7; 100]);
    for bytes in [&b""[..], &begun[..1], &begun, b"GET / HT"] {
        let mut client = server.connect();
        client.write(bytes);
        assert!(client.is_closed_within(Duration::from_secs(20)), "{bytes:?}");
    }
    connect(&server).send(&server.get("/")).expect(200);
}

/// Handshakes that are begun by the thousand and never ended keep nobody out, and nothing of them stays.
#[test]
fn half_handshakes_keep_nobody_out() {
    let _turn = heavy();
    let server = Server::with("--tls").start();
    let config = Arc::new(trusting(&own_certificate(&server), &VERSIONS));
    for _ in 0..20 {
        Connection::open_tls(server.address(), &config).unwrap().send(&server.get("/")).expect(200);
    }
    let (files, memory) = (server.open_files(), server.memory("Anonymous"));
    let mut begun = vec![22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];
    begun.extend([7; 300]);
    let mut clients = Vec::new();
    for number in 0..2000 {
        let mut client = TcpStream::connect(server.address()).unwrap();
        // The oldest may have been closed by now.
        let _ = client.write_all(&begun[..1 + number % begun.len()]);
        clients.push(client);
        if number % 200 == 199 {
            let mut client = Connection::open_tls(server.address(), &config).expect("others are let in");
            client.send(&server.get("/")).expect(200);
        }
    }
    assert!(server.open_files() < files + 700, "{}", server.open_files());
    drop(clients);
    eventually(Duration::from_secs(5), "their files to be closed", || (server.open_files() <= files + 2).then_some(()));
    let more = server.memory("Anonymous").saturating_sub(memory);
    report(&format!("2,000 half handshakes: {} KiB more than before them", more / 1024));
    assert!(more < 24 * 1024 * 1024, "{more}");
}

/// A thousand clients that say nothing between two requests cost little.
#[test]
fn an_idle_client_costs_little() {
    let _turn = heavy();
    let server = Server::with("--tls").start();
    server.write("a.txt", "x");
    let config = Arc::new(trusting(&own_certificate(&server), &VERSIONS));
    let connect = || {
        let mut client = Connection::open_tls(server.address(), &config).unwrap();
        client.send(&server.get("/a.txt")).expect_body("x");
        client
    };
    let mut clients: Vec<_> = (0..50).map(|_| connect()).collect();
    let before = server.memory("Anonymous");
    clients.extend((0..1000).map(|_| connect()));
    let each = server.memory("Anonymous").saturating_sub(before) / 1000;
    report(&format!("an idle client with TLS: {each} bytes"));
    assert!(each < 48 * 1024, "{each}");
    for client in clients.iter_mut().step_by(100) {
        client.send(&server.get("/a.txt")).expect_body("x");
    }
}

/// The files are read again when they change, and no connection is dropped for it. What is not fit to be shown changes nothing.
#[test]
fn a_certificate_is_read_again_when_it_changes() {
    let pair = Pair::new();
    let server = pair.options().start();
    server.write("a.txt", "x");
    let old = pair.trusted();
    let open = |config: &Arc<ClientConfig>| Connection::open_tls(server.address(), config);
    let mut first = open(&old).unwrap();
    first.send(&server.get("/a.txt")).expect_body("x");

    pair.put_file(&pair.key(), "nothing");
    server.wait_for_log("the certificate from before is still shown");
    assert!(server.log().contains(pair.key().to_str().unwrap()), "{}", server.log());
    open(&old).unwrap().send(&server.get("/a.txt")).expect_body("x");

    pair.renew();
    server.wait_for_log("is shown from now on");
    open(&pair.trusted()).unwrap().send(&server.get("/a.txt")).expect_body("x");
    first.send(&server.get("/a.txt")).expect_body("x");
    // Whoever trusts the old one alone, and has no session from before, learns of it.
    let mut stranger = ClientConfig::clone(&old);
    stranger.resumption = rustls::client::Resumption::disabled();
    assert!(open(&Arc::new(stranger)).is_err());
}

/// A certificate that is not fit to be shown is wrong usage, and the text names the file.
#[test]
fn a_certificate_that_is_not_fit_is_told_at_the_start() {
    let pair = Pair::new();
    let other = Pair::new();
    let refused = |options: Options, words: &str| {
        let (status, printed) = options.start_in_vain();
        assert_eq!(status.code(), Some(2), "{printed}");
        assert!(printed.contains(words), "{words}: {printed}");
    };
    let with = |certificate: &Path, key: &Path| {
        Server::builder().value("--tls-cert", certificate.display()).value("--tls-key", key.display())
    };
    let (certificate, key) = (pair.certificate(), pair.key());
    refused(with(&certificate, &other.key()), other.key().to_str().unwrap());
    refused(with(Path::new("/nowhere/at/all.pem"), &key), "/nowhere/at/all.pem");
    refused(with(&certificate, Path::new("/nowhere/key.pem")), "/nowhere/key.pem");
    refused(with(&key, &key), "there is no certificate in");
    refused(with(&certificate, &certificate), &format!("the key in {}", certificate.display()));
    refused(Server::with("--listen=https://127.0.0.1:0"), "--tls");
    refused(Server::builder().value("--tls-cert", certificate.display()), "--tls-key");
    refused(Server::builder().value("--tls-key", key.display()), "--tls-cert");
    for mode in [0o640, 0o604] {
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        refused(with(&certificate, &key), &format!("the key {} can be read by others", key.display()));
    }
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    with(&certificate, &key).start();
    pair.put(|about| about.not_after = rcgen::date_time_ymd(2020, 2, 29));
    refused(with(&certificate, &key), "has expired on 2020-02-29");
}

/// A key that whoever serves may not read is told as one.
#[test]
fn a_key_that_cannot_be_read_is_told() {
    const TEST: &str = "a_key_that_cannot_be_read_is_told";
    if !is_root() {
        return left_out(TEST, "running as nobody takes root");
    }
    let pair = Pair::new();
    fs::set_permissions(pair.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(pair.certificate(), fs::Permissions::from_mode(0o644)).unwrap();
    let (status, printed) = pair.options().unprivileged().start_in_vain();
    assert_eq!(status.code(), Some(2), "{printed}");
    assert!(printed.contains(&format!("cannot read the key {}", pair.key().display())), "{printed}");
}

/// Where a share holds its user's home, the key lies where no request comes.
#[test]
fn a_key_is_never_shared() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::with("--tls").folder(home.path()).without_state().environment("HOME", home.path());
    let server = server.environment("XDG_STATE_HOME", "").start();
    let key = home.path().join(".noclobber/tls/key.pem");
    assert_eq!(mode(&key), 0o600);
    let config = Arc::new(trusting(&key.with_file_name("certificate.pem"), &VERSIONS));
    let mut client = Connection::open_tls(server.address(), &config).unwrap();
    client.send(&server.get("/.noclobber/tls/key.pem")).expect(404);
    assert!(!home.path().join(".local/state/noclobber/tls").exists());
}

/// A certificate needs a place where it can stay.
#[test]
fn a_certificate_that_could_not_stay_is_not_made() {
    let server = Server::with("--tls").without_state().environment("HOME", "").environment("XDG_STATE_HOME", "");
    let (status, printed) = server.start_in_vain();
    assert_eq!(status.code(), Some(2), "{printed}");
    assert!(printed.contains("--state"), "{printed}");
}
