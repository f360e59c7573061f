//! The doctor, against this server and through proxies that are each broken in one way: it fails on the lines that show it, and on no other.

use std::collections::BTreeSet;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;

use crate::harness::programs::StartProgram as _;
use crate::harness::{Server, has_program, left_out};

/// What stands in the head of a message: the first line and the fields.
type Lines = Vec<String>;

/// What a broken proxy does. It changes nothing that is not said here but `Connection: close`.
#[derive(Clone, Copy)]
struct Fault {
    /// Changes a request, or answers it.
    request: fn(&mut Lines) -> Option<&'static str>,
    /// Changes the answer to a request.
    answer: fn(&Lines, &mut Lines),
    /// Takes a body that breaks off for a whole one.
    is_truncating: bool,
}

const NONE: Fault = Fault { request: |_| None, answer: |_, _| {}, is_truncating: false };

#[test]
fn nothing_fails_against_this_server() {
    let server = Server::start();
    server.write("kept.txt", "kept");
    let report = examined(&format!("http://{}/", server.address()), &["--large", "3M"], 0);
    assert_eq!(failed(&report), BTreeSet::new(), "{report:#}");
    assert_eq!(report["counts"]["warn"], 0, "{report:#}");
    assert!(report["counts"]["ok"].as_u64() > Some(110), "{report:#}");
    assert_eq!(server.names(""), ["kept.txt"]);
    assert_eq!(server.read("kept.txt"), "kept");
}

#[test]
fn a_slow_upload_arrives_and_quick_leaves_it_out() {
    let server = Server::start();
    let report = json_of(&run(&["doctor", "--json", "--large=0", &format!("http://{}/", server.address())], None), 0);
    assert_eq!(outcome(&report, "body.slow"), "ok");
    assert_eq!(outcome(&report, "body.large"), "skip");
    let report = examined(&format!("http://{}/", server.address()), &[], 0);
    assert_eq!(outcome(&report, "body.slow"), "skip");
}

/// In a folder of the server, by a proxy that passes everything on: so what fails below is the proxy's fault, and not the test's.
#[test]
fn nothing_fails_through_a_proxy_that_changes_nothing() {
    let server = Server::start();
    server.write("below/kept.txt", "kept");
    let proxy = Proxy::start(server.address(), NONE);
    let report = examined(&format!("http://{}/below", proxy.address), &[], 0);
    assert_eq!(failed(&report), BTreeSet::new(), "{report:#}");
    assert_eq!(server.names("below"), ["kept.txt"]);
}

#[test]
fn weakened_tags_are_found() {
    let fault = Fault { answer: |_, lines| edit(lines, "etag", |tag| format!("W/{tag}")), ..NONE };
    fails_on(fault, &["tags.propfind", "tags.strong"], "gzip off");
}

#[test]
fn a_suffix_where_compression_is_offered_is_found() {
    let fault = Fault {
        answer: |asked, lines| {
            if field(asked, "accept-encoding").is_some_and(|codings| codings.contains("gzip")) {
                edit(lines, "etag", |tag| tag.trim_end_matches('"').to_owned() + "-gzip\"");
                lines.push("Content-Encoding: gzip".to_owned());
            }
        },
        ..NONE
    };
    fails_on(fault, &["tags.compression"], "DeflateAlterETag");
}

const NEEDS_IF_MATCH: [&str; 10] = [
    "body.expect-refused",
    "conditions.copy-wrong",
    "conditions.delete-wrong",
    "conditions.lock-wrong",
    "conditions.move-wrong",
    "conditions.proppatch-wrong",
    "conditions.put-match-any",
    "conditions.put-match-stale",
    "conditions.put-match-wrong",
    "range.match-wrong",
];

#[test]
fn a_dropped_if_match_is_found() {
    fails_on(Fault { request: |lines| drop_field(lines, "if-match"), ..NONE }, &NEEDS_IF_MATCH, "If-Match");
}

/// The answer is right, and what is there is not.
#[test]
fn a_refusal_that_is_none_is_found() {
    let fault = Fault {
        request: |lines| {
            let is_wrong = field(lines, "if-match").is_some_and(|tag| tag == "\"noclobber-doctor-made-this-up\"");
            if is_wrong { edit_name(lines, "if-match", "X-If-Match") } else { None }
        },
        answer: |asked, lines| {
            if field(asked, "x-if-match").is_some() {
                lines[0] = "HTTP/1.1 412 Precondition Failed".to_owned();
            }
        },
        ..NONE
    };
    let wanted = NEEDS_IF_MATCH
        .into_iter()
        .filter(|id| !["conditions.put-match-any", "conditions.put-match-stale", "range.match-wrong"].contains(id));
    fails_on(fault, &wanted.collect::<Vec<_>>(), "If-Match");
}

#[test]
fn an_ignored_if_none_match_is_found() {
    let fault = Fault {
        request: |lines| match field(lines, "if-none-match") {
            Some("*") => drop_field(lines, "if-none-match"),
            _ => None,
        },
        ..NONE
    };
    fails_on(fault, &["conditions.put-none-any", "name.forms"], "If-None-Match");
}

#[test]
fn a_stripped_if_is_found() {
    let wanted = [
        "if.copy-destination-wrong",
        "if.delete-wrong",
        "if.destination-wrong",
        "if.path-wrong",
        "if.tag-wrong",
        "if.token",
        "if.token-unlocked",
        "if.url-other",
        "if.url-wrong",
    ];
    fails_on(Fault { request: |lines| drop_field(lines, "if"), ..NONE }, &wanted, "pass If on");
}

const NEEDS_DESTINATION: [&str; 10] = [
    "conditions.move-right",
    "destination.depth-0",
    "destination.depth-infinity",
    "destination.encoded",
    "destination.overwrite-none",
    "destination.overwrite-t",
    "destination.url",
    "if.destination",
    "methods.copy",
    "methods.move",
];

#[test]
fn a_dropped_destination_is_found() {
    fails_on(Fault { request: |lines| drop_field(lines, "destination"), ..NONE }, &NEEDS_DESTINATION, "Destination");
}

/// As many servers do behind a proxy that puts its own name for the host that clients use.
#[test]
fn a_host_that_was_rewritten_is_found() {
    let fault = Fault {
        request: |lines| {
            edit(lines, "host", |_| "localhost".to_owned());
            let is_elsewhere = field(lines, "destination").is_some_and(|url| !url.starts_with("http://localhost/"));
            is_elsewhere.then_some("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        },
        ..NONE
    };
    fails_on(fault, &NEEDS_DESTINATION, "proxy_set_header Host $http_host");
}

#[test]
fn an_ignored_overwrite_is_found() {
    let wanted = ["destination.overwrite-f-copy", "destination.overwrite-f-move"];
    fails_on(Fault { request: |lines| drop_field(lines, "overwrite"), ..NONE }, &wanted, "Overwrite");
}

#[test]
fn chunks_that_are_refused_are_found() {
    let fault = Fault {
        request: |lines| {
            let answer = "HTTP/1.1 411 Length Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            field(lines, "transfer-encoding").is_some().then_some(answer)
        },
        ..NONE
    };
    fails_on(fault, &["body.chunked"], "proxy_request_buffering off");
}

#[test]
fn a_limit_for_bodies_is_found() {
    let fault = Fault {
        request: |lines| {
            let answer = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            let length: u64 = field(lines, "content-length")?.parse().ok()?;
            (length > 1_500_000).then_some(answer)
        },
        ..NONE
    };
    fails_on(fault, &["body.large"], "client_max_body_size 0");
}

#[test]
fn half_an_upload_that_is_kept_is_found() {
    fails_on(Fault { is_truncating: true, ..NONE }, &["body.cut", "body.cut-new"], "proxy_request_buffering on");
}

#[test]
fn a_password_is_asked_for_and_never_shown() {
    let server = Server::start();
    // "ada:s3cret-word", which the proxy repeats where something fails.
    let fault = Fault {
        request: |lines| {
            drop_field(lines, "if-match");
            let answer = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            (field(lines, "authorization") != Some("Basic YWRhOnMzY3JldC13b3Jk")).then_some(answer)
        },
        answer: |asked, lines| {
            lines.push(format!("X-Asked: {} (s3cret-word)", field(asked, "authorization").unwrap_or_default()));
        },
        ..NONE
    };
    let proxy = Proxy::start(server.address(), fault);
    let url = format!("http://{}/", proxy.address);
    let quick = ["doctor", "--json", "--quick", "--large=0", "--user", "ada", &url];
    for output in [run(&quick, Some("s3cret-word\n")), variable(&quick, "s3cret-word")] {
        let text = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
        assert!(!text.contains("s3cret") && !text.contains("YWRhOnMzY3JldC13b3Jk"), "{text}");
        assert!(text.contains("X-Asked: Basic (not shown) ((not shown))"), "{text}");
        assert_eq!(failed(&json_of(&output, 1)), NEEDS_IF_MATCH.into_iter().map(str::to_owned).collect());
    }
    let named = url.replace("http://", "http://ada@");
    for (words, password, said) in [
        (&quick[..], "wrong-word\n", "does not take this user with this password"),
        (&["doctor", named.as_str()], "wrong-word\n", "does not take this user with this password"),
        (&["doctor", url.as_str()], "", "--user NAME"),
    ] {
        let text = stderr_of(&run(words, Some(password)), 2);
        assert!(text.contains(said) && !text.contains("wrong-word"), "{text}");
    }
    assert_eq!(server.names(""), Vec::<String>::new());
}

#[test]
fn what_is_wrong_on_the_command_line_is_told_without_the_password() {
    for (words, said) in [
        (&["doctor", "http://ada:s3cret-word@127.0.0.1:1/"][..], "a password does not belong into a URL"),
        (&["doctor", "--password", "x", "http://127.0.0.1:1/"], "--password"),
        (&["doctor", "ftp://nas/"], "the URL of a folder"),
        (&["doctor", "--large", "much", "http://127.0.0.1:1/"], "64M"),
        (&["doctor", "--user", "a:b", "http://127.0.0.1:1/"], "no colon"),
        (&["doctor"], "URL"),
        (&["doctor", "http://127.0.0.1:1/"], "refused"),
    ] {
        let text = stderr_of(&run(words, Some("")), 2);
        assert!(text.contains(said) && !text.contains("s3cret"), "{words:?}: {text}");
    }
}

#[test]
fn a_folder_that_cannot_be_used_is_told() {
    let server = Server::start();
    server.write("file.txt", "a file");
    for (path, said) in [("missing/", "no such folder"), ("file.txt/", "file.txt")] {
        let text = stderr_of(&run(&["doctor", &format!("http://{}/{path}", server.address())], None), 2);
        assert!(text.contains(said), "{text}");
    }
    assert_eq!(server.names(""), ["file.txt"]);
}

#[test]
fn a_person_reads_lines_and_what_to_change() {
    let server = Server::start();
    let proxy = Proxy::start(server.address(), Fault { request: |lines| drop_field(lines, "overwrite"), ..NONE });
    let output = run(&["doctor", "--quick", "--large=0", &format!("http://{}/", proxy.address)], None);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    for line in [
        "\nDestination, Overwrite, Depth\n",
        "\n  ok    MOVE, Overwrite: T\n",
        "\n  FAIL  MOVE, Overwrite: F: answered 204, and ",
        "\n        -> the Overwrite header is not heeded",
        "\n  skip  a large upload: left out by --large 0\n",
        " checks: ",
        ", 2 failed, ",
    ] {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }
}

#[test]
fn whoever_ends_it_leaves_nothing_behind() {
    let server = Server::start();
    let mut child = start(&["doctor", "--large=0", &format!("http://{}/", server.address())], None);
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    assert!(lines.any(|line| line.expect("text").contains("a refusal comes before the body")));
    assert_eq!(server.names("").len(), 1);
    kill_process(Pid::from_child(&child), Signal::INT).expect("it can be signalled");
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    assert_eq!(child.wait().expect("it ends").code(), Some(1), "{rest:?}");
    assert!(rest.iter().any(|line| line.contains("stopped before the end")), "{rest:?}");
    assert_eq!(server.names(""), Vec::<String>::new());
}

/// By TLS: the certificate has to be signed by whom the user trusts, or be the very one that he names, and have the right name.
#[test]
fn certificates_are_looked_at_unless_the_user_says_no() {
    if !has_program("openssl") {
        return left_out("certificates_are_looked_at_unless_the_user_says_no", "openssl is not installed");
    }
    let server = Server::start();
    let home = tempfile::tempdir().unwrap();
    let (trusted, other) = (certificate(home.path(), "localhost"), certificate(home.path(), "elsewhere"));
    let url = |port: u16| format!("https://localhost:{port}/");
    let quick = ["doctor", "--json", "--quick", "--large=0"];
    let (right, wrong) = (tls(server.address(), &trusted), tls(server.address(), &other));
    let with = |more: &[&str], url: &str| run(&[&quick, more, &[url]].concat(), None);

    let report = json_of(&with(&["--cacert", &trusted], &url(right)), 0);
    assert_eq!((failed(&report), &report["insecure"]), (BTreeSet::new(), &Value::Bool(false)));
    let output = with(&["--insecure"], &url(wrong));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--insecure: the certificate is not looked at"));
    assert_eq!(json_of(&output, 0)["insecure"], true);
    for (more, port) in [(&[][..], right), (&["--cacert", &other], right), (&["--cacert", &other], wrong)] {
        let text = stderr_of(&with(more, &url(port)), 2);
        assert!(text.contains("certificate"), "{text}");
    }
    assert_eq!(server.names(""), Vec::<String>::new());
}

/// A file with a certificate that is signed by itself, and its key beside it.
fn certificate(home: &Path, name: &str) -> String {
    let file = home.join(format!("{name}.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", &format!("/CN={name}"), "-addext", &format!("subjectAltName=DNS:{name}"), "-keyout"])
        .arg(file.with_extension("key"))
        .arg("-out")
        .arg(&file)
        .run()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    file.to_str().unwrap().to_owned()
}

/// The port of something that takes TLS off, as long as the test runs.
fn tls(upstream: SocketAddr, certificate: &str) -> u16 {
    let chain = CertificateDer::pem_file_iter(certificate).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(Path::new(certificate).with_extension("key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("its address").port();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let config = Arc::clone(&config);
            std::thread::spawn(move || take_tls_off(client, upstream, config));
        }
    });
    port
}

fn take_tls_off(client: TcpStream, upstream: SocketAddr, config: Arc<ServerConfig>) -> io::Result<()> {
    let mut server = TcpStream::connect(upstream)?;
    let step = Some(Duration::from_millis(2));
    client.set_read_timeout(step)?;
    server.set_read_timeout(step)?;
    let mut client = StreamOwned::new(ServerConnection::new(config).map_err(io::Error::other)?, client);
    let mut bytes = [0; 64 * 1024];
    loop {
        match client.read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(count) => server.write_all(&bytes[..count])?,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        match server.read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(count) => client.write_all(&bytes[..count])?,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Through a proxy that is broken in one way, exactly these lines fail, and one of them says what to change.
#[track_caller]
fn fails_on(fault: Fault, wanted: &[&str], advice: &str) {
    let server = Server::start();
    let proxy = Proxy::start(server.address(), fault);
    let report = examined(&format!("http://{}/", proxy.address), &["--large", "2M"], 1);
    let wanted: BTreeSet<String> = wanted.iter().map(|id| (*id).to_owned()).collect();
    assert_eq!(failed(&report), wanted, "{:#}", Value::Array(lines_of(&report, "fail")));
    for line in lines_of(&report, "fail") {
        let lines_of = |what: &str| line["exchanges"][0][what].as_array().map_or(0, Vec::len);
        assert!(line["advice"].is_string() && lines_of("request") > 1 && lines_of("response") > 0, "{line:#}");
    }
    let is_advised = |line: &Value| line["advice"].as_str().is_some_and(|text| text.contains(advice));
    assert!(lines_of(&report, "fail").iter().any(is_advised), "{report:#}");
    assert_eq!(server.names(""), Vec::<String>::new());
}

#[track_caller]
fn examined(url: &str, more: &[&str], code: i32) -> Value {
    json_of(&run(&[&["doctor", "--json", "--quick", url], more].concat(), None), code)
}

fn lines_of(report: &Value, outcome: &str) -> Vec<Value> {
    let checks = report["checks"].as_array().expect("a list of checks");
    checks.iter().filter(|check| check["outcome"] == outcome).cloned().collect()
}

fn failed(report: &Value) -> BTreeSet<String> {
    lines_of(report, "fail").iter().map(|line| line["id"].as_str().expect("an id").to_owned()).collect()
}

fn outcome(report: &Value, id: &str) -> String {
    let checks = report["checks"].as_array().expect("a list of checks");
    let check = checks.iter().find(|check| check["id"] == id).expect("a check of this id");
    check["outcome"].as_str().expect("an outcome").to_owned()
}

fn command(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_noclobber"));
    command.args(words).env_remove("NOCLOBBER_PASSWORD");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn start(words: &[&str], input: Option<&str>) -> Child {
    let mut child = command(words).start().expect("it can be run");
    let mut stdin = child.stdin.take().expect("it is piped");
    let _ = stdin.write_all(input.unwrap_or_default().as_bytes());
    child
}

fn run(words: &[&str], input: Option<&str>) -> Output {
    start(words, input).wait_with_output().expect("it ends")
}

fn variable(words: &[&str], password: &str) -> Output {
    command(words).env("NOCLOBBER_PASSWORD", password).run().expect("it can be run")
}

#[track_caller]
fn json_of(output: &Output, code: i32) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{errors}\n{text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[track_caller]
fn stderr_of(output: &Output, code: i32) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(output.stdout.is_empty() || code != 2 || !text.is_empty(), "nothing was said");
    text
}

fn field<'a>(lines: &'a Lines, name: &str) -> Option<&'a str> {
    let found = lines.iter().skip(1).filter_map(|line| line.split_once(':'));
    found.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

fn drop_field(lines: &mut Lines, name: &str) -> Option<&'static str> {
    lines.retain(|line| !line.split_once(':').is_some_and(|(known, _)| known.eq_ignore_ascii_case(name)));
    None
}

fn edit(lines: &mut Lines, name: &str, change: impl Fn(&str) -> String) {
    for line in lines.iter_mut().skip(1) {
        if let Some((known, value)) = line.split_once(':')
            && known.eq_ignore_ascii_case(name)
        {
            *line = format!("{known}: {}", change(value.trim()));
        }
    }
}

fn edit_name(lines: &mut Lines, name: &str, other: &str) -> Option<&'static str> {
    for line in lines.iter_mut().skip(1) {
        if let Some((known, value)) = line.split_once(':')
            && known.eq_ignore_ascii_case(name)
        {
            *line = format!("{other}:{value}");
        }
    }
    None
}

/// A running proxy, one request a connection; dropping it stops it.
struct Proxy {
    address: SocketAddr,
    is_stopped: Arc<AtomicBool>,
}

impl Proxy {
    fn start(upstream: SocketAddr, fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let proxy = Self { address: listener.local_addr().expect("its address"), is_stopped: Arc::default() };
        let is_stopped = Arc::clone(&proxy.is_stopped);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if is_stopped.load(Ordering::SeqCst) {
                    return;
                }
                std::thread::spawn(move || pass_on(client, upstream, fault));
            }
        });
        proxy
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn pass_on(mut client: TcpStream, upstream: SocketAddr, fault: Fault) -> io::Result<()> {
    client.set_read_timeout(Some(Duration::from_secs(30)))?;
    let (mut asked, mut body) = read_head(&mut client)?;
    if let Some(answer) = (fault.request)(&mut asked) {
        client.write_all(answer.as_bytes())?;
        let _ = client.shutdown(Shutdown::Write);
        // What is still on its way would turn the end into a reset, and the answer would be lost.
        let _ = io::copy(&mut client, &mut io::sink());
        return Ok(());
    }
    let mut server = TcpStream::connect(upstream)?;
    server.set_read_timeout(Some(Duration::from_secs(30)))?;
    let length: Option<usize> = field(&asked, "content-length").and_then(|length| length.parse().ok());
    if fault.is_truncating
        && let Some(length) = length
        && field(&asked, "expect").is_none()
    {
        let _ = (&client).take((length - body.len()) as u64).read_to_end(&mut body);
        edit(&mut asked, "content-length", |_| body.len().to_string());
    }
    write_head(&mut server, &asked)?;
    server.write_all(&body)?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        let _ = io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    loop {
        let (mut lines, rest) = read_head(&mut server)?;
        let is_interim = lines[0].starts_with("HTTP/1.1 1");
        if is_interim {
            client.write_all(format!("{}\r\n\r\n", lines.join("\r\n")).as_bytes())?;
            client.write_all(&rest)?;
            continue;
        }
        (fault.answer)(&asked, &mut lines);
        write_head(&mut client, &lines)?;
        client.write_all(&rest)?;
        io::copy(&mut server, &mut client)?;
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
        return Ok(());
    }
}

fn write_head(to: &mut TcpStream, lines: &Lines) -> io::Result<()> {
    let mut lines = lines.clone();
    drop_field(&mut lines, "connection");
    lines.push("Connection: close".to_owned());
    to.write_all(format!("{}\r\n\r\n", lines.join("\r\n")).as_bytes())
}

/// The lines of a head, and what was read beyond it.
fn read_head(from: &mut TcpStream) -> io::Result<(Lines, Vec<u8>)> {
    let mut read = Vec::new();
    loop {
        if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = read.split_off(at + 4);
            let head = String::from_utf8_lossy(&read).into_owned();
            return Ok((head.trim_end().split("\r\n").map(str::to_owned).collect(), rest));
        }
        let mut bytes = [0; 8192];
        match from.read(&mut bytes)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => read.extend_from_slice(&bytes[..count]),
        }
    }
}
