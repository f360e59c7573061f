//! A proxy that adds a header field to the requests of one method, and remembers what was asked and what was answered. It lets
//! a client be refused that never sends a condition itself. It changes nothing else but `Connection: close`, so that each
//! connection carries one request.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A running proxy; dropping it stops it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    upstream: String,
    sent: Arc<Mutex<Vec<(String, u16)>>>,
    stopped: Arc<AtomicBool>,
}

impl Proxy {
    /// A proxy to a server that adds this field to every request of this method.
    pub fn adding(upstream: &str, method: &str, field: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let proxy = Self { address, upstream: upstream.to_owned(), sent: Arc::default(), stopped: Arc::default() };
        let (sent, stopped) = (Arc::clone(&proxy.sent), Arc::clone(&proxy.stopped));
        let (upstream, method, field) = (upstream.to_owned(), method.to_owned(), field.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (sent, upstream, method, field) =
                    (Arc::clone(&sent), upstream.clone(), method.clone(), field.clone());
                std::thread::spawn(move || {
                    let Ok(line) = pass_on(client, &upstream, &method, &field) else { return };
                    sent.lock().expect("nobody panics with the list").push(line);
                });
            }
        });
        proxy
    }

    /// The address that a client is to use in place of the server's.
    pub fn url(&self, of_server: &str) -> String {
        of_server.replace(&self.upstream, &self.address.to_string())
    }

    /// The methods that were asked so far, each with the status of its answer.
    pub fn sent(&self) -> Vec<(String, u16)> {
        self.sent.lock().expect("nobody panics with the list").clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn pass_on(mut client: TcpStream, upstream: &str, method: &str, field: &str) -> io::Result<(String, u16)> {
    client.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut server = TcpStream::connect(upstream)?;
    server.set_read_timeout(Some(Duration::from_secs(30)))?;
    let (head, rest) = read_head(&mut client)?;
    let asked = head.split(' ').next().unwrap_or_default().to_owned();
    let mut lines: Vec<&str> = head.trim_end().split("\r\n").collect();
    lines.retain(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    lines.push("Connection: close");
    if asked == method {
        lines.push(field);
    }
    server.write_all(format!("{}\r\n\r\n", lines.join("\r\n")).as_bytes())?;
    server.write_all(&rest)?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    let uploading = std::thread::spawn(move || drop(io::copy(&mut from_client, &mut to_server)));
    let mut status = 0;
    while status < 200 {
        let (head, rest) = read_head(&mut server)?;
        status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(999);
        client.write_all(head.as_bytes())?;
        client.write_all(&rest)?;
    }
    let _ = io::copy(&mut server, &mut client);
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
    let _ = uploading.join();
    Ok((asked, status))
}

/// The head up to and with its empty line, and what was read beyond it.
pub fn read_head(from: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut read = Vec::new();
    loop {
        if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = read.split_off(at + 4);
            return Ok((String::from_utf8_lossy(&read).into_owned(), rest));
        }
        let mut bytes = [0; 8192];
        match from.read(&mut bytes)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => read.extend_from_slice(&bytes[..count]),
        }
    }
}
