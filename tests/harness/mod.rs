//! What the tests share: a server they start, a client that says exactly what it is told to, and file systems to try it on.
//! Removes plumbing, never meaning. Nothing here decides what is right.

// A harness offers more than any one test takes.
#![allow(dead_code, unused_imports)]

pub mod canaries;
pub mod client;
pub mod copies;
pub mod dav;
pub mod disk_images;
pub mod explore;
pub mod invariants;
pub mod moves;
pub mod one_user;
pub mod programs;
pub mod server;
pub mod sim_disk;
pub mod stories;
pub mod stranger;
pub mod tls;
pub mod tree;
pub mod turns;
pub mod users;

pub use client::{Answer, Connection, Request};
pub use server::Server;

use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Says that a test cannot run on this machine, past the runner's capturing of the output, so that it can be counted.
pub fn left_out(name: &str, why: &str) {
    let line = format!("left out: {name}: {why}\n");
    let _ = std::io::stdout().write_all(line.as_bytes());
}

/// Prints a figure past the runner's capturing of the output.
pub fn report(line: &str) {
    let _ = std::io::stdout().write_all(format!("figure: {line}\n").as_bytes());
}

/// Whether the tests run as root, who may mount and change owners.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether the full sizes were asked for (`NOCLOBBER_FULL=1`) rather than the quick ones.
pub fn full() -> bool {
    std::env::var_os("NOCLOBBER_FULL").is_some_and(|value| value == "1")
}

/// Waits its turn among the tests that load the machine: two of them at once would measure each other.
pub fn heavy() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a busy machine may take for what is soon done otherwise.
const BUSY_MAX: Duration = Duration::from_secs(60);

/// Waits until `condition` gives something. It should within `limit`; where the machine is busy with other things it takes longer, and only what
/// has not come after a minute is taken for what never comes.
#[track_caller]
pub fn eventually<T>(limit: Duration, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let (begun, limit) = (Instant::now(), limit.max(BUSY_MAX));
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(begun.elapsed() < limit, "still waiting after {limit:?} for: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a program is installed.
pub fn has_program(name: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).chain(["/usr/sbin".into(), "/sbin".into()]).any(|folder| folder.join(name).is_file())
}

/// Numbers that look random and come from a seed, so that a failing run can be had again (splitmix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Dice of a seed from `NOCLOBBER_SEED` or from the clock, which is printed with the name of the test.
    pub fn shaken(test: &str) -> Self {
        let given = std::env::var("NOCLOBBER_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            u64::from(now.subsec_nanos()) ^ now.as_secs()
        });
        report(&format!("{test}: NOCLOBBER_SEED={seed}"));
        Self(seed)
    }

    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit
    }

    /// So many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count + 8);
        while bytes.len() < count {
            bytes.extend_from_slice(&self.roll().to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }
}

/// The whole name of a test of this module, by which the binary runs it alone (`--exact`).
#[macro_export]
macro_rules! whole_name {
    ($test:expr) => {
        format!("{}::{}", module_path!().split_once("::").expect("a test lies in a module").1, $test)
    };
}
