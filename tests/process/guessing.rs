//! Guessing from outside, at the pace and from as many addresses as somebody has: few guesses are computed, and little is remembered of them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::harness::users::{UsersFile, basic, password_of};
use crate::harness::{Server, heavy, report};

const RULES: &str = "[[rules]]\npath = \"/\"\nwho = \"signed-in\"\nmay = \"read\"\n";

fn behind_a_proxy(users: &UsersFile) -> Server {
    let server =
        Server::builder().value("--users", users.path().display()).value("--trusted-proxy", "127.0.0.1").start();
    server.write("f", "text");
    server
}

/// A thousand guesses in a minute from one address, at one user or at as many: at most ten are computed, all others are told to wait; and whoever
/// comes from elsewhere is let in meanwhile.
#[test]
fn of_a_thousand_guesses_a_minute_ten_are_computed() {
    let users = UsersFile::make(RULES);
    std::thread::scope(|scope| {
        for names in [1, 1000] {
            let users = &users;
            scope.spawn(move || {
                let server = behind_a_proxy(users);
                let from = |address: &str, name: &str, password: &str| {
                    let request =
                        server.get("/f").header("x-forwarded-for", address).header("x-forwarded-proto", "https");
                    request.header("authorization", basic(name, password)).send().status
                };
                let begun = Instant::now();
                let mut statuses = Vec::new();
                for guess in 0..1000_u32 {
                    let due = Duration::from_millis(60) * guess;
                    std::thread::sleep(due.saturating_sub(begun.elapsed()));
                    let name = if names == 1 { "alice".to_owned() } else { format!("user-{guess}") };
                    statuses.push(from("192.0.2.1", &name, &format!("guess {guess}")));
                    if guess % 100 == 0 {
                        assert_eq!(from("192.0.2.2", "bob", &password_of("bob")), 200);
                    }
                }
                let computed = statuses.iter().filter(|status| **status == 401).count();
                let told_to_wait = statuses.iter().filter(|status| **status == 429).count();
                // One more for each twelve seconds that a busy machine takes longer.
                let late = begun.elapsed().saturating_sub(Duration::from_secs(60)).as_secs().div_ceil(12);
                assert!((1..=10 + late).contains(&(computed as u64)), "{computed} were computed");
                assert_eq!(computed + told_to_wait, 1000, "{statuses:?}");
            });
        }
    });
}

/// As many addresses as there are, each with a name of its own: what is remembered of them has a bound.
#[test]
fn what_a_million_guessers_leave_behind_is_bounded() {
    const GUESSERS: u32 = 1_000_000;
    const IN_ONE_GO: u32 = 200;
    let _turn = heavy();
    let users = UsersFile::make(RULES);
    let server = behind_a_proxy(&users);
    let guess_all = |numbers: std::ops::Range<u32>| {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        let mut answers = 0;
        for first in numbers.step_by(IN_ONE_GO as usize) {
            let guess = |number: u32| {
                let [a, b, c] = [16, 8, 0].map(|shift| (number >> shift) & 0xff);
                format!(
                    "GET /f HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 10.{a}.{b}.{c}\r\nX-Forwarded-Proto: https\r\n\
                     Authorization: {}\r\n\r\n",
                    basic(&format!("user-{number}"), "guess")
                )
            };
            let requests: String = (first..first + IN_ONE_GO).map(guess).collect();
            stream.write_all(requests.as_bytes()).unwrap();
            let mut bytes = Vec::new();
            let count = |bytes: &[u8]| bytes.windows(9).filter(|window| window == b"HTTP/1.1 ").count();
            while count(&bytes) < IN_ONE_GO as usize || !bytes.ends_with(b"}") {
                let mut piece = [0; 65536];
                let read = stream.read(&mut piece).unwrap();
                assert!(read > 0, "{}", String::from_utf8_lossy(&bytes));
                bytes.extend_from_slice(&piece[..read]);
            }
            answers += count(&bytes);
        }
        answers
    };
    let begun = Instant::now();
    guess_all(GUESSERS..GUESSERS + 10_000);
    let before = server.memory("VmRSS");
    let quarter = GUESSERS / 4;
    let answers: usize = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|nth| scope.spawn(move || guess_all(nth * quarter..(nth + 1) * quarter))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(answers, GUESSERS as usize);
    let more = server.memory("VmRSS").saturating_sub(before);
    report(&format!("a million guessers: {} KiB more, within {:?}", more >> 10, begun.elapsed()));
    assert!(more <= 32 << 20, "{more} bytes more");
}
