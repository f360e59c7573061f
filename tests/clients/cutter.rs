//! A proxy that breaks connections off: each time so many bytes have come from the client since the last time, and once when the server has
//! answered a MOVE, so that nobody hears of it. It changes nothing else.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A running proxy; dropping it stops it.
#[derive(Debug)]
pub struct Cutter {
    address: SocketAddr,
    upstream: String,
    plan: Arc<Mutex<Plan>>,
    stopped: Arc<AtomicBool>,
}

/// When connections are still to be broken off.
#[derive(Debug)]
struct Plan {
    /// After how many bytes, the next one last.
    cuts: Vec<u64>,
    come: u64,
    move_is_left: bool,
}

impl Cutter {
    /// A proxy to a server that breaks off after each of these numbers of bytes, and once behind a MOVE.
    pub fn start<const N: usize>(upstream: &str, cuts: [u64; N]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let plan = Plan { cuts: cuts.into_iter().rev().collect(), come: 0, move_is_left: true };
        let (plan, stopped) = (Arc::new(Mutex::new(plan)), Arc::new(AtomicBool::new(false)));
        let cutter = Self { address, upstream: upstream.to_owned(), plan, stopped };
        let (upstream, plan, stopped) =
            (cutter.upstream.clone(), Arc::clone(&cutter.plan), Arc::clone(&cutter.stopped));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (upstream, plan) = (upstream.clone(), Arc::clone(&plan));
                std::thread::spawn(move || pass_on(client, &upstream, &plan));
            }
        });
        cutter
    }

    /// The address that a client is to use in place of the server's.
    pub fn url(&self, of_server: &str) -> String {
        of_server.replace(&self.upstream, &self.address.to_string())
    }

    /// How often it is still to break off.
    pub fn cuts_left(&self) -> usize {
        let plan = self.plan.lock().expect("nobody panics with the plan");
        plan.cuts.len() + usize::from(plan.move_is_left)
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

impl Plan {
    /// Whether it is to break off now that so many bytes have come.
    fn cuts_after(&mut self, bytes: usize) -> bool {
        self.come += bytes as u64;
        let is_due = self.cuts.last().is_some_and(|cut| self.come >= *cut);
        if is_due {
            self.cuts.pop();
            self.come = 0;
        }
        is_due
    }
}

fn pass_on(mut client: TcpStream, upstream: &str, plan: &Mutex<Plan>) -> io::Result<()> {
    let mut server = TcpStream::connect(upstream)?;
    let limit = Some(Duration::from_secs(60));
    client.set_read_timeout(limit)?;
    server.set_read_timeout(limit)?;
    let (mut to_client, mut from_server) = (client.try_clone()?, server.try_clone()?);
    let hides_answer = Arc::new(AtomicBool::new(false));
    let hides = Arc::clone(&hides_answer);
    let answering = std::thread::spawn(move || -> io::Result<()> {
        let mut bytes = vec![0; 64 << 10];
        loop {
            let count = from_server.read(&mut bytes)?;
            let is_over = count == 0 || hides.load(Ordering::SeqCst);
            if is_over || to_client.write_all(&bytes[..count]).is_err() {
                let _ = to_client.shutdown(Shutdown::Both);
                return from_server.shutdown(Shutdown::Both);
            }
        }
    });
    let mut bytes = vec![0; 64 << 10];
    loop {
        let count = client.read(&mut bytes).unwrap_or(0);
        let mut plan = plan.lock().expect("nobody panics with the plan");
        if bytes[..count].starts_with(b"MOVE ") && plan.move_is_left {
            plan.move_is_left = false;
            hides_answer.store(true, Ordering::SeqCst);
        }
        let is_over = count == 0 || plan.cuts_after(count);
        drop(plan);
        if is_over || server.write_all(&bytes[..count]).is_err() {
            let _ = client.shutdown(Shutdown::Both);
            let _ = server.shutdown(Shutdown::Both);
            let _ = answering.join();
            return Ok(());
        }
    }
}
