//! nginx, Apache and Caddy in front of the server, each with the very configuration that README gives for it: only ports and files are put in their
//! places. The doctor finds nothing wrong through them, and nothing that a client says of itself comes through.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, KeyPair};
use rustls::ClientConfig;

use super::litmus;
use super::program::{Running, Scratch, has_all};
use super::served::within;
use crate::harness::one_user::OneUserFile;
use crate::harness::tls::{VERSIONS, trusting};
use crate::harness::{Answer, Connection, Request, Server};

const PASSWORD: &str = "grün:Tür";
/// What clients and proxies call the site.
const SITE: &str = "files.example.org";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Nginx,
    Apache,
    Caddy,
}

#[test]
fn nothing_fails_behind_nginx() {
    nothing_fails_behind("nothing_fails_behind_nginx", Kind::Nginx);
}

#[test]
fn nothing_fails_behind_apache() {
    nothing_fails_behind("nothing_fails_behind_apache", Kind::Apache);
}

#[test]
fn nothing_fails_behind_caddy() {
    nothing_fails_behind("nothing_fails_behind_caddy", Kind::Caddy);
}

#[test]
fn what_a_client_says_of_itself_does_not_get_through_nginx() {
    nothing_gets_through("what_a_client_says_of_itself_does_not_get_through_nginx", Kind::Nginx);
}

#[test]
fn what_a_client_says_of_itself_does_not_get_through_apache() {
    nothing_gets_through("what_a_client_says_of_itself_does_not_get_through_apache", Kind::Apache);
}

#[test]
fn what_a_client_says_of_itself_does_not_get_through_caddy() {
    nothing_gets_through("what_a_client_says_of_itself_does_not_get_through_caddy", Kind::Caddy);
}

/// The proxy asks for the password, and tells the name.
#[test]
fn the_user_of_nginx_has_signed_in() {
    the_proxy_names_the_user(
        "the_user_of_nginx_has_signed_in",
        Kind::Nginx,
        "proxy_set_header Remote-User \"\";",
        "proxy_set_header Remote-User $remote_user;",
        "auth_basic here; auth_basic_user_file PASSWORDS;",
    );
}

#[test]
fn the_user_of_apache_has_signed_in() {
    the_proxy_names_the_user(
        "the_user_of_apache_has_signed_in",
        Kind::Apache,
        "RequestHeader unset Remote-User",
        "RequestHeader set Remote-User expr=%{REMOTE_USER}",
        "AuthType Basic\nAuthName here\nAuthUserFile PASSWORDS\nRequire valid-user",
    );
}

/// Over TLS one of the tests is left out by litmus itself.
#[test]
fn litmus_passes_behind_nginx() {
    let test = "litmus_passes_behind_nginx";
    if !has_all(test, &["nginx", "litmus"]) {
        return;
    }
    for (tls, tests) in [(true, litmus::TESTS - 1), (false, litmus::TESTS)] {
        let change = move |text: String| if tls { text } else { text.replace(" ssl;", ";") };
        let site = Site::start(Kind::Nginx, if tls { &[] } else { &["--plain-passwords"] }, change);
        let scheme = if tls { "https" } else { "http" };
        let url = format!("{scheme}://{}/files/", site.address);
        litmus::passes(test, &site.scratch, &[&url, "alice", PASSWORD], tests);
    }
}

/// A server below `/files`, and the proxy in front of it.
struct Site {
    address: SocketAddr,
    certificate: PathBuf,
    _proxy: Running,
    server: Server,
    scratch: Scratch,
    users: OneUserFile,
}

impl Site {
    /// By README, with these words more for the server, and with this change to what README says.
    #[track_caller]
    fn start(kind: Kind, words: &[&str], change: impl FnOnce(String) -> String) -> Self {
        let users = OneUserFile::with("alice", PASSWORD, &[]);
        let options = words_of_readme().into_iter().chain(words.iter().map(|word| (*word).to_owned()));
        let server = options.fold(users.options(), |options, word| options.option(word)).start();
        let scratch = Scratch::new("proxy");
        let (certificate, key) = make_certificate(&scratch);
        let address = free_address();
        let text = change(block_of_readme(kind.language()));
        let text = text
            .replace("127.0.0.1:4918", &server.address().to_string())
            .replace("/etc/ssl/files.example.org.pem", certificate.to_str().expect("plain"))
            .replace("/etc/ssl/files.example.org.key", key.to_str().expect("plain"))
            .replace("PASSWORDS", scratch.path("passwords").to_str().expect("plain"));
        let text = kind.whole(&scratch, &text, address.port());
        let file = scratch.file(kind.file_name(), text);
        let mut command = scratch.command(kind.program());
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").args(kind.arguments()).arg(&file);
        let mut proxy = scratch.start("proxy", &mut command);
        let listens = within(Duration::from_secs(30), || TcpStream::connect(address).is_ok() || !proxy.is_running());
        assert!(listens && proxy.is_running(), "{kind:?} does not start: {}", proxy.log());
        Self { address, certificate, _proxy: proxy, server, scratch, users }
    }

    fn client(&self) -> Client {
        Client { address: self.address, config: Arc::new(trusting(&self.certificate, &VERSIONS)) }
    }
}

/// A client that speaks TLS with the proxy.
struct Client {
    address: SocketAddr,
    config: Arc<ClientConfig>,
}

impl Client {
    fn request(&self, method: &str, target: &str) -> Request {
        Request::new(self.address, method, target).host(SITE)
    }

    /// Signed in at the server.
    fn signed(&self, method: &str, target: &str) -> Request {
        self.request(method, target).header("Authorization", basic(PASSWORD))
    }

    #[track_caller]
    fn send(&self, request: Request) -> Answer {
        Connection::open_tls(self.address, &self.config).expect("a handshake").send(&request)
    }
}

fn basic(password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("alice:{password}")))
}

#[track_caller]
fn nothing_fails_behind(test: &str, kind: Kind) {
    if !has_all(test, &[kind.program()]) {
        return;
    }
    let site = Site::start(kind, &[], |text| text);
    let mut doctor = site.scratch.command(env!("CARGO_BIN_EXE_noclobber"));
    doctor.args(["doctor", "--quick", "--large", "3M", "--user", "alice", "--cacert"]).arg(&site.certificate);
    doctor.arg(format!("https://{}/files/", site.address)).env("NOCLOBBER_PASSWORD", PASSWORD);
    site.scratch.run_within(Duration::from_secs(240), &mut doctor, b"").well();
    assert_eq!(site.server.names(""), [""; 0]);

    // What is told leads on, and a client may name the site as it knows it.
    let client = site.client();
    client.send(client.signed("PUT", "/files/a%20b.txt").body("x")).expect(201);
    let moved =
        client.signed("MOVE", "/files/a%20b.txt").header("Destination", format!("https://{SITE}/files/%C3%BC.txt"));
    assert_eq!(client.send(moved).expect(201).field("location"), "/files/%C3%BC.txt");
    for folder in ["/files", "/files/"] {
        let told = client.send(client.signed("PROPFIND", folder).header("Depth", "1")).expect(207).text();
        let hrefs = ["/files/", "/files/%C3%BC.txt"].map(|href| told.contains(&format!("<D:href>{href}</D:href>")));
        assert_eq!(hrefs, [true, true], "{told}");
        let page = client.send(client.signed("GET", folder).header("Accept", "text/html")).expect(200).text();
        assert!(page.contains("href=\"/files/%C3%BC.txt\""), "{page}");
    }
    let outside = client.signed("COPY", "/files/%C3%BC.txt").header("Destination", format!("https://{SITE}/b.txt"));
    client.send(outside).expect(502);
    assert_eq!(site.server.names(""), ["ü.txt"]);
}

/// What a client may say to seem to be somebody else, somewhere else.
const LIES: [(&str, &str); 6] = [
    ("X-Forwarded-For", "203.0.113.9"),
    ("X-Forwarded-Host", "evil.example"),
    ("X-Forwarded-Proto", "http"),
    ("Forwarded", "for=203.0.113.9;proto=http;host=evil.example"),
    ("Remote-User", "alice"),
    ("Remote_User", "alice"),
];

#[track_caller]
fn nothing_gets_through(test: &str, kind: Kind) {
    if !has_all(test, &[kind.program()]) {
        return;
    }
    let socket = tempfile::tempdir().unwrap();
    let socket = socket.path().join("http.sock");
    let at_socket = format!("unix:{}", socket.display());
    for (words, by_socket) in [
        (&["--user-header", "Remote-User"][..], false),
        (&["--user-header", "Remote-User", "--listen", &at_socket, "--trusted-proxy", "unix"], true),
    ] {
        let change = |text: String| if by_socket { kind.by_socket(&text, &socket) } else { text };
        let site = Site::start(kind, words, change);
        site.server.write("a.txt", "x");
        let client = site.client();
        let lying = |request: Request| LIES.iter().fold(request, |request, (name, value)| request.header(name, value));
        client.send(lying(client.request("GET", "/files/a.txt"))).expect(401);
        for (name, value) in LIES {
            client.send(client.request("PUT", "/files/a.txt").header(name, value).body("y")).expect(401);
        }
        client.send(lying(client.signed("GET", "/files/a.txt"))).expect_body("x");
        // Nor does it get anything away that the proxy says.
        let hop = "close, X-Forwarded-For, X-Forwarded-Proto, Remote-User";
        client
            .send(lying(client.request("GET", "/files/a.txt").header("Connection", hop)))
            .expect_any(&[400, 401, 403]);
        site.server.wait_for_log("status=200");
        let log = site.server.log();
        assert!(log.contains("peer=127.0.0.1") && !log.contains("203.0.113"), "{log}");
        let foreign = client.signed("GET", "/files/a.txt").host("evil.example");
        let answer = client.send(foreign);
        let by_proxy = kind == Kind::Caddy;
        assert!(by_socket || by_proxy || answer.status == 421, "{answer}");
    }
}

#[track_caller]
fn the_proxy_names_the_user(test: &str, kind: Kind, line: &str, becomes: &str, asks: &str) {
    if !has_all(test, &[kind.program()]) {
        return;
    }
    assert!(section_of_readme().contains(becomes), "README says how: {becomes}");
    let change = |text: String| {
        assert!(text.contains(line), "{text}");
        text.replace(line, &format!("{becomes}\n{asks}"))
    };
    let site = Site::start(kind, &["--user-header", "Remote-User"], change);
    // "secret", by SHA-1.
    site.scratch.file("passwords", "alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\nbob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n");
    site.server.write("a.txt", "x");
    let client = site.client();
    let ask = |who: &str, lie: bool| {
        let request = client.request("GET", "/files/a.txt");
        let request = request.header("Authorization", format!("Basic {}", STANDARD.encode(who)));
        client.send(if lie { request.header("Remote-User", "alice") } else { request }).status
    };
    assert_eq!((ask("alice:secret", false), ask("alice:secret", true)), (200, 200));
    assert_eq!((ask("alice:wrong", false), ask("alice:wrong", true)), (401, 401));
    // The proxy knows Bob, and the file of users does not.
    assert_eq!((ask("bob:secret", false), ask("bob:secret", true)), (401, 401));
    assert!(site.users.path().exists());
}

impl Kind {
    fn program(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Apache => "apache2",
            Self::Caddy => "caddy",
        }
    }

    /// How README marks its block.
    fn language(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Apache => "apache",
            Self::Caddy => "caddyfile",
        }
    }

    fn file_name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx.conf",
            Self::Apache => "apache.conf",
            Self::Caddy => "Caddyfile",
        }
    }

    /// What goes before the name of its file.
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Nginx => &["-c"],
            Self::Apache => &["-DFOREGROUND", "-f"],
            Self::Caddy => &["run", "--adapter", "caddyfile", "--config"],
        }
    }

    /// As README says it of a Unix socket.
    fn by_socket(self, text: &str, socket: &Path) -> String {
        let (line, by_socket) = match self {
            Self::Nginx => ("proxy_pass http://127.0.0.1:4918;", "proxy_pass http://unix:/run/noclobber/http.sock;"),
            Self::Apache => (
                "ProxyPass /files http://127.0.0.1:4918/files nocanon timeout=3600",
                "ProxyPass /files unix:/run/noclobber/http.sock|http://localhost/files nocanon timeout=3600",
            ),
            Self::Caddy => {
                ("reverse_proxy @files 127.0.0.1:4918", "reverse_proxy @files unix//run/noclobber/http.sock")
            }
        };
        assert!(text.contains(line) && section_of_readme().contains(by_socket), "{by_socket}");
        text.replace(line, &by_socket.replace("/run/noclobber/http.sock", socket.to_str().expect("plain")))
    }

    /// A whole configuration around what README says, which keeps everything in its folder.
    fn whole(self, scratch: &Scratch, text: &str, port: u16) -> String {
        let home = scratch.folder("proxy").display().to_string();
        match self {
            Self::Nginx => {
                let temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
                let temp: String = temp.iter().map(|what| format!("{what}_temp_path {home}/{what};\n")).collect();
                let text = text.replace("listen 443", &format!("listen 127.0.0.1:{port}"));
                let user = if crate::harness::is_root() { "user root;" } else { "" };
                format!(
                    "daemon off; {user} pid {home}/pid; error_log {home}/error.log;\nevents {{}}\n\
                     http {{\naccess_log off;\ngzip on; gzip_types *; gzip_min_length 1;\n{temp}{text}}}\n"
                )
            }
            Self::Apache => {
                let names = ["mpm_event", "authn_core", "authn_file", "authz_core", "authz_user", "auth_basic", "env"];
                let names = names.into_iter().chain([
                    "ssl",
                    "proxy",
                    "proxy_http",
                    "headers",
                    "reqtimeout",
                    "deflate",
                    "filter",
                ]);
                let modules: String = names
                    .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
                    .collect();
                let text = text.replace("*:443", &format!("127.0.0.1:{port}"));
                format!(
                    "ServerRoot {home}\nServerName localhost\nPidFile {home}/pid\nErrorLog {home}/error.log\nMutex file:{home}\n\
                     Listen 127.0.0.1:{port}\n{modules}SetOutputFilter DEFLATE\n{text}"
                )
            }
            Self::Caddy => {
                let sites = [SITE, "localhost", "127.0.0.1"].map(|name| format!("https://{name}:{port}")).join(", ");
                let (certificate, key) = (scratch.path("certificate.pem"), scratch.path("key.pem"));
                let tls = format!("{sites} {{\n\ttls {} {}\n", certificate.display(), key.display());
                let text = text.replace(&format!("{SITE} {{\n"), &tls);
                format!("{{\n\tadmin off\n\tauto_https disable_redirects\n\tstorage file_system {home}\n}}\n{text}")
            }
        }
    }
}

fn make_certificate(scratch: &Scratch) -> (PathBuf, PathBuf) {
    let about = CertificateParams::new([SITE, "localhost", "127.0.0.1"].map(str::to_owned)).expect("names");
    let key = KeyPair::generate().expect("a key");
    let certificate = about.self_signed(&key).expect("a certificate");
    (scratch.file("certificate.pem", certificate.pem()), scratch.file("key.pem", key.serialize_pem()))
}

/// An address that was free a moment ago.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

fn section_of_readme() -> String {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("README.md");
    let section = readme.split("\n## Behind a proxy\n").nth(1).expect("the section");
    section.split("\n## ").next().expect("its end").to_owned()
}

/// The first block of this language there.
#[track_caller]
fn block_of_readme(language: &str) -> String {
    let section = section_of_readme();
    let block = section.split(&format!("\n```{language}\n")).nth(1).unwrap_or_else(|| panic!("no block of {language}"));
    block.split("```").next().expect("its end").to_owned()
}

/// The words of README for the server, between the file of users and the folder.
fn words_of_readme() -> Vec<String> {
    let line = block_of_readme("sh");
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[..3], ["noclobber", "--users", "users.toml"], "{line}");
    words[3..words.len() - 1].iter().map(|word| (*word).to_owned()).collect()
}
