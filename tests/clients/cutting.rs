//! A proxy that cuts connections: each time so many bytes of uploads in all have passed, the connection on which the last of them came ends. It tells
//! what was asked on each connection and how far that came. It changes nothing but `Connection: close`, so that each carries one request.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::proxy::read_head;
use crate::harness::eventually;

/// A running proxy; dropping it stops it.
#[derive(Debug)]
pub struct CuttingProxy {
    address: SocketAddr,
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    stopped: AtomicBool,
}

#[derive(Debug)]
struct State {
    upstream: SocketAddr,
    /// After how many bytes the next cuts are.
    cuts: VecDeque<(u64, Cut)>,
    /// How many bytes of bodies have passed.
    passed: u64,
    /// The method of which the next answer does not arrive.
    unanswered: Option<&'static str>,
    requests: Vec<Passed>,
}

/// How a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// What has passed arrives, and then the end.
    End,
    /// What has passed and was not read is lost with it (RST).
    Reset,
    /// Nothing passes any more until it is told to go on; then it is cut.
    Hold,
    /// The answer has come, and does not arrive.
    Answer,
}

/// What passed on a connection.
#[derive(Clone, Debug, Default)]
pub struct Passed {
    /// The method that was asked.
    pub method: String,
    /// The offset that the client named.
    pub offset: Option<u64>,
    /// How many bytes of its body passed, with the frames of chunks where there are such.
    pub bytes: u64,
    /// Whether its body came in chunks.
    pub in_chunks: bool,
    /// The status of its answer; 0 if there was none.
    pub status: u16,
    /// The last offset that the server told, of this upload or before its answer.
    pub told: Option<u64>,
    /// How it was cut.
    pub cut: Option<Cut>,
}

impl CuttingProxy {
    /// A proxy to a server that cuts when so many bytes have passed in all.
    pub fn new(upstream: SocketAddr, cuts: impl IntoIterator<Item = (u64, Cut)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let cuts = cuts.into_iter().collect();
        let state = State { upstream, cuts, passed: 0, unanswered: None, requests: Vec::new() };
        let inner = Arc::new(Inner { state: Mutex::new(state), stopped: AtomicBool::new(false) });
        let of_thread = Arc::clone(&inner);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if of_thread.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let inner = Arc::clone(&of_thread);
                std::thread::spawn(move || drop(inner.pass_on(client)));
            }
        });
        Self { address, inner }
    }

    /// It cuts besides when the server answers this method, once, so that nobody hears the answer.
    pub fn and_at_the_answer_to(self, method: &'static str) -> Self {
        self.inner.state().unanswered = Some(method);
        self
    }

    /// The address that a client is to use in place of the server's.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// From now on it leads to this server.
    pub fn leads_to(&self, upstream: SocketAddr) {
        self.inner.state().upstream = upstream;
    }

    /// Waits until it holds a connection.
    pub fn wait_until_it_holds(&self) {
        eventually(Duration::from_secs(60), "the proxy holds a connection", || {
            self.inner.state().requests.iter().any(|passed| passed.cut == Some(Cut::Hold)).then_some(())
        });
    }

    /// Cuts what it holds.
    pub fn lets_go(&self) {
        for passed in &mut self.inner.state().requests {
            if passed.cut == Some(Cut::Hold) {
                passed.cut = Some(Cut::Reset);
            }
        }
    }

    /// What passed, in the order in which it was asked.
    pub fn requests(&self) -> Vec<Passed> {
        self.inner.state().requests.clone()
    }
}

impl Drop for CuttingProxy {
    fn drop(&mut self) {
        self.inner.stopped.store(true, Ordering::SeqCst);
        self.lets_go();
        let _ = TcpStream::connect(self.address);
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pass_on(self: &Arc<Self>, mut client: TcpStream) -> io::Result<()> {
        let (head, rest) = read_head(&mut client)?;
        let passed = Passed {
            method: head.split(' ').next().unwrap_or_default().to_owned(),
            offset: field(&head, "upload-offset").and_then(|value| value.parse().ok()),
            in_chunks: field(&head, "transfer-encoding").is_some(),
            ..Passed::default()
        };
        let (upstream, at) = {
            let mut state = self.state();
            state.requests.push(passed);
            (state.upstream, state.requests.len() - 1)
        };
        let mut server = TcpStream::connect(upstream)?;
        server.write_all(closing(&head).as_bytes())?;
        let (to_client, from_server) = (client.try_clone()?, server.try_clone()?);
        let inner = Arc::clone(self);
        let answering = std::thread::spawn(move || drop(inner.pass_back(at, from_server, to_client)));
        let cut = self.pass_body(at, &rest, &mut client, &mut server);
        match cut {
            Some(Cut::End) => {
                // The server may still say how far it has come, to nobody.
                let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Write));
            }
            Some(_) => {
                for stream in [&client, &server] {
                    rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO))?;
                }
                let _ = client.shutdown(Shutdown::Both);
                let _ = server.shutdown(Shutdown::Read);
                drop((client, server));
            }
            None => drop(server.shutdown(Shutdown::Write)),
        }
        let _ = answering.join();
        Ok(())
    }

    /// Passes a body on until it ends or is cut.
    fn pass_body(&self, at: usize, rest: &[u8], client: &mut TcpStream, server: &mut TcpStream) -> Option<Cut> {
        if self.passes(at, rest, server) {
            return self.cut(at);
        }
        let mut bytes = [0; 64 << 10];
        loop {
            match client.read(&mut bytes) {
                Ok(count @ 1..) if self.passes(at, &bytes[..count], server) => return self.cut(at),
                Ok(1..) => {}
                Ok(0) | Err(_) => return None,
            }
        }
    }

    /// Passes bytes of a body on; whether that is to be cut now.
    fn passes(&self, at: usize, bytes: &[u8], server: &mut TcpStream) -> bool {
        let mut state = self.state();
        let until = state.cuts.front().map_or(u64::MAX, |(until, _)| *until);
        let room = usize::try_from(until - state.passed.min(until)).unwrap_or(usize::MAX);
        let count = bytes.len().min(room);
        state.passed += count as u64;
        state.requests[at].bytes += count as u64;
        drop(state);
        let _ = server.write_all(&bytes[..count]);
        count < bytes.len()
    }

    fn cut(&self, at: usize) -> Option<Cut> {
        let mut state = self.state();
        let cut = state.cuts.pop_front().map(|(_, cut)| cut);
        state.requests[at].cut = cut;
        drop(state);
        if cut == Some(Cut::Hold) {
            eventually(Duration::from_secs(60), "the proxy was told to go on", || {
                (self.state().requests[at].cut != Some(Cut::Hold)).then_some(())
            });
        }
        cut
    }

    fn pass_back(&self, at: usize, mut server: TcpStream, mut client: TcpStream) -> io::Result<()> {
        loop {
            let (head, rest) = read_head(&mut server)?;
            let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(999);
            if let Some(told) = field(&head, "upload-offset").and_then(|value| value.parse().ok()) {
                self.state().requests[at].told = Some(told);
            }
            if status >= 200 && self.keeps_the_answer(at) {
                return client.shutdown(Shutdown::Both);
            }
            client.write_all(head.as_bytes())?;
            if status >= 200 {
                self.state().requests[at].status = status;
                client.write_all(&rest)?;
                break;
            }
            // What follows an interim response is the next head.
            assert!(rest.is_empty() || rest.starts_with(b"HTTP/"), "the answer follows");
            if !rest.is_empty() {
                return self.pass_rest(at, &rest, server, client);
            }
        }
        io::copy(&mut server, &mut client)?;
        client.shutdown(Shutdown::Write)
    }

    fn keeps_the_answer(&self, at: usize) -> bool {
        let mut state = self.state();
        let keeps = state.unanswered.is_some_and(|method| method == state.requests[at].method);
        if keeps {
            state.unanswered = None;
            state.requests[at].cut = Some(Cut::Answer);
        }
        keeps
    }

    /// Two heads came at once.
    fn pass_rest(&self, at: usize, rest: &[u8], mut server: TcpStream, mut client: TcpStream) -> io::Result<()> {
        let text = String::from_utf8_lossy(rest).into_owned();
        for head in text.split_inclusive("\r\n\r\n").filter(|head| head.starts_with("HTTP/")) {
            let status: u16 = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(999);
            let mut state = self.state();
            state.requests[at].told =
                field(head, "upload-offset").and_then(|value| value.parse().ok()).or(state.requests[at].told);
            if status >= 200 {
                state.requests[at].status = status;
            }
        }
        client.write_all(rest)?;
        if self.state().requests[at].status == 0 {
            return self.pass_back(at, server, client);
        }
        io::copy(&mut server, &mut client)?;
        client.shutdown(Shutdown::Write)
    }
}

/// A head that asks for the connection to end with its answer.
fn closing(head: &str) -> String {
    let lines = head.trim_end().split("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let lines: Vec<_> = lines.chain(["Connection: close"]).collect();
    format!("{}\r\n\r\n", lines.join("\r\n"))
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
