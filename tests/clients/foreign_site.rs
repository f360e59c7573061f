//! A web site of somebody else: it shows the page with the attack, sends browsers on, and has the same files as the share under no protection at all,
//! so that a test sees which attempts a browser really makes.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::libraries::script;

/// A file of the share: its name, its media type, and what is in it.
pub type File = (&'static str, &'static str, &'static [u8]);

/// A running site; dropping it ends it.
#[derive(Debug)]
pub struct ForeignSite {
    address: SocketAddr,
    changes: Arc<Mutex<Vec<String>>>,
    is_over: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct Asked {
    method: String,
    target: String,
    origin: String,
    authorization: String,
}

impl ForeignSite {
    /// Starts one that has these files, for everybody or for whoever comes with any password.
    pub fn start(files: &'static [File], wants_password: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (changes, is_over) = (Arc::<Mutex<Vec<String>>>::default(), Arc::new(AtomicBool::new(false)));
        let (seen, ends) = (Arc::clone(&changes), Arc::clone(&is_over));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ends.load(Ordering::Relaxed) {
                    return;
                }
                let seen = Arc::clone(&seen);
                std::thread::spawn(move || serve(&stream, files, wants_password, &seen));
            }
        });
        Self { address, changes, is_over }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What it was asked to change by whoever it lets in, each as the method and the target.
    pub fn changes(&self) -> Vec<String> {
        self.changes.lock().expect("nobody panics with them").clone()
    }
}

impl Drop for ForeignSite {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(stream: &TcpStream, files: &[File], wants_password: bool, changes: &Mutex<Vec<String>>) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
    let Some(asked) = read(stream) else { return };
    let is_let_in = !wants_password || !asked.authorization.is_empty();
    let answer = answer(&asked, files, is_let_in, changes);
    let _ = (&*stream).write_all(&answer);
}

/// The head of a request. Its body is read and forgotten.
fn read(stream: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ');
    let mut asked = Asked { method: words.next()?.to_owned(), target: words.next()?.to_owned(), ..Asked::default() };
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "origin" => asked.origin = value.to_owned(),
            "authorization" => asked.authorization = value.to_owned(),
            _ => {}
        }
    }
    reader.take(length).read_to_end(&mut Vec::new()).ok()?;
    Some(asked)
}

fn answer(asked: &Asked, files: &[File], is_let_in: bool, changes: &Mutex<Vec<String>>) -> Vec<u8> {
    let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
    let to = || percent_decode_str(query.trim_start_matches("to=")).decode_utf8_lossy().into_owned();
    let html = "Content-Type: text/html; charset=utf-8\r\n";
    match path {
        "/attack" => whole("200 OK", html, b"<!doctype html><body><script src=/attack.js></script>"),
        "/attack.js" => whole("200 OK", "Content-Type: text/javascript\r\n", &script_of_attack()),
        "/redirect" => whole("307 Sent On", &format!("Location: {}\r\n{}", to(), open_to(asked)), b""),
        "/reporting" => {
            let policy = format!("Content-Security-Policy: img-src 'none'; report-uri {}\r\n{html}", to());
            whole("200 OK", &policy, b"<img src=x>")
        }
        _ if asked.method == "OPTIONS" => whole("204 Yes", &open_to(asked), b""),
        _ if !is_let_in => whole("401 Who", &format!("WWW-Authenticate: Basic realm=\"x\"\r\n{}", open_to(asked)), b""),
        _ if asked.method != "GET" => {
            changes.lock().expect("nobody panics with them").push(format!("{} {}", asked.method, asked.target));
            whole("200 OK", &(open_to(asked) + html), b"canary: changed")
        }
        _ => match files.iter().find(|(name, ..)| path[1..] == **name) {
            Some((_, kind, content)) => {
                whole("200 OK", &format!("Content-Type: {kind}\r\n{}", open_to(asked)), content)
            }
            None => whole("404 None", &open_to(asked), b""),
        },
    }
}

fn script_of_attack() -> Vec<u8> {
    std::fs::read(script("attack.js")).expect("it lies beside this file")
}

/// Lets every page do everything.
fn open_to(asked: &Asked) -> String {
    let origin = &asked.origin;
    format!(
        "Access-Control-Allow-Origin: {origin}\r\nAccess-Control-Allow-Credentials: true\r\nTiming-Allow-Origin: *\r\n\
         Access-Control-Allow-Methods: PUT, DELETE, MOVE, COPY, MKCOL, PROPPATCH, LOCK, UNLOCK, POST, PATCH, PROPFIND, REPORT\r\n\
         Access-Control-Allow-Headers: Depth, Destination, Lock-Token, Content-Type\r\nAccess-Control-Allow-Private-Network: true\r\n"
    )
}

fn whole(status: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}
