//! What the transport has to defend: the speed of one large download, and how long small requests wait beside it.
//! Measured on loopback with one worker; two cores, Linux 6.18: 1.0 to 2.5 GB/s, and a 99th percentile of 2 to 6 ms. A task that wakes itself in
//! its data loop, instead of by the deferred waker of `yield_now`, shows here as 20 to 170 ms. Nothing here tests, it only counts.

#![allow(missing_docs, missing_debug_implementations, clippy::unwrap_used)]

use actix_http::{Payload, Request, Response, StatusCode};
use actix_web::body::BoxBody;
use actix_web::{HttpRequest, HttpResponse};
use noclobber::http::wire::body::{self, CopyBody, Part};
use noclobber::http::wire::rejection::Rejection;
use noclobber::http::wire::socket::Listener;
use noclobber::http::wire::source::FileBytes;
use noclobber::http::wire::transport::{self, Handler, TransportSettings};
use noclobber::os::open_file::OpenFile;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

const SIZE: u64 = 512 * 1024 * 1024;
const ROUNDS: usize = 5;

fn main() {
    let file = tempfile::tempfile().unwrap();
    let piece: Vec<u8> = (0..1_048_576u32).map(|byte| ((byte * 31) >> 3) as u8).collect();
    for offset in (0..SIZE).step_by(piece.len()) {
        file.write_all_at(&piece, offset).unwrap();
    }
    let source = Arc::new(Source(file));
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let (stop, stopped) = mpsc::unbounded_channel();
    let server = std::thread::spawn(move || {
        let settings = TransportSettings { workers: 1, ..TransportSettings::default() };
        let make = move || Ways(Arc::clone(&source));
        let serving = transport::serve(settings, vec![Listener::Tcp(socket)], make, stopped);
        actix_rt::System::new().block_on(serving).unwrap();
    });
    for way in ["send", "copy"] {
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            download(&mut TcpStream::connect(address).unwrap(), way);
            println!("{way}: {:.2} GB/s", SIZE as f64 / 1e9 / begun.elapsed().as_secs_f64());
        }
        for _ in 0..ROUNDS {
            println!("{way}: {}", beside(address, way));
        }
    }
    let _ = (stop.send(()), stop.send(()));
    server.join().unwrap();
}

/// Small requests on one connection, while another downloads.
fn beside(address: SocketAddr, way: &'static str) -> String {
    let over = Arc::new(AtomicBool::new(false));
    let until = Arc::clone(&over);
    let big = std::thread::spawn(move || {
        let mut wire = TcpStream::connect(address).unwrap();
        while !until.load(Ordering::Relaxed) {
            download(&mut wire, way);
        }
    });
    let mut wire = TcpStream::connect(address).unwrap();
    let begun = Instant::now();
    let mut times = Vec::new();
    while begun.elapsed() < Duration::from_secs(1) {
        let asked = Instant::now();
        wire.write_all(b"GET /small HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert!(wire.read(&mut [0; 4096]).unwrap() > 0);
        times.push(asked.elapsed());
    }
    over.store(true, Ordering::Relaxed);
    big.join().unwrap();
    times.sort();
    let at = |hundredths: usize| times[(times.len() - 1) * hundredths / 100];
    format!(
        "{} small requests in a second beside it; median {:?}, 99th {:?}, longest {:?}",
        times.len(),
        at(50),
        at(99),
        at(100)
    )
}

fn download(wire: &mut TcpStream, way: &str) {
    wire.write_all(format!("GET /{way} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
    let mut bytes = vec![0; 256 * 1024];
    let read = wire.read(&mut bytes).unwrap();
    let head = bytes[..read].windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let mut left = SIZE - (read - head) as u64;
    while left > 0 {
        let wanted = left.min(bytes.len() as u64) as usize;
        let read = wire.read(&mut bytes[..wanted]).unwrap();
        assert!(read > 0);
        left -= read as u64;
    }
}

#[derive(Debug)]
struct Source(File);

impl FileBytes for Source {
    fn open_file(&self) -> Option<OpenFile<'_>> {
        Some(OpenFile::new(self.0.as_fd()))
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(into, offset)
    }

    fn still_the_same(&self) -> bool {
        self.0.metadata().is_ok()
    }
}

struct Ways(Arc<Source>);

impl Handler for Ways {
    async fn early(&self, _: &Request) -> Result<(), Response<BoxBody>> {
        Ok(())
    }

    async fn handle(&self, request: HttpRequest, _: &mut Payload) -> HttpResponse {
        let source = Arc::clone(&self.0);
        if request.path() == "/send" {
            return body::file(&request, HttpResponse::Ok(), source, 0..SIZE);
        }
        HttpResponse::Ok().body(BoxBody::new(CopyBody::new(source, [Part::File(0..SIZE)])))
    }

    fn reject(&self, _: &Request, _: Rejection) -> Response<BoxBody> {
        Response::with_body(StatusCode::BAD_REQUEST, BoxBody::new(()))
    }
}
