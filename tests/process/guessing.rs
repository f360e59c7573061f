//! Guessing from outside, at the pace that somebody may have: few guesses are computed.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::harness::users::{UsersFile, basic, password_of};
use crate::harness::{Server, full, left_out};

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

/// Guesses at one user from so many addresses, each of which guesses once: few are computed, and the memory does not grow with the addresses.
fn memory_does_not_grow_with(addresses: u32) {
    const AT_ONCE: u32 = 100;
    const GROWTH_MAX: u64 = 16 << 20;
    let users = UsersFile::make(RULES);
    let server = Server::builder()
        .value("--users", users.path().display())
        .value("--trusted-proxy", "127.0.0.1")
        .value("--log-level", "error")
        .start();
    server.write("f", "text");
    let mut connection = TcpStream::connect(server.address()).unwrap();
    let mut answers = BufReader::new(connection.try_clone().unwrap());
    let credentials = basic("alice", "a guess");
    let mut guess_from = |first: u32, count: u32| {
        let mut requests = String::new();
        for address in (first..first + count).map(|number| std::net::Ipv4Addr::from(0x0b00_0000 + number)) {
            write!(
                requests,
                "GET /f HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {address}\r\nX-Forwarded-Proto: https\r\n\
                 Authorization: {credentials}\r\n\r\n"
            )
            .unwrap();
        }
        connection.write_all(requests.as_bytes()).unwrap();
        let statuses: Vec<u16> = (0..count).map(|_| status_of_next(&mut answers)).collect();
        assert!(statuses.iter().all(|status| [401, 429].contains(status)), "{statuses:?}");
        statuses.iter().filter(|status| **status == 401).count()
    };
    let begun = Instant::now();
    // The tables are full behind these.
    let filling = 40_000;
    let mut computed: usize = (0..filling / AT_ONCE).map(|turn| guess_from(turn * AT_ONCE, AT_ONCE)).sum();
    let before = server.memory("VmRSS");
    for first in (filling..addresses).step_by(AT_ONCE as usize) {
        computed += guess_from(first, AT_ONCE);
    }
    let after = server.memory("VmRSS");
    assert!(after < before + GROWTH_MAX, "{before} bytes became {after}");
    // Thirty at once, and one in six seconds.
    let at_most = 30 + begun.elapsed().as_secs() / 6 + 1;
    assert!((1..=at_most).contains(&(computed as u64)), "{computed} were computed");
    println!(
        "figure: {addresses} addresses guessed, {computed} guesses were computed; {before} bytes of memory became {after}"
    );
}

/// Reads an answer to its end.
fn status_of_next(answers: &mut impl BufRead) -> u16 {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(answers.read_line(&mut head).unwrap() > 0, "the connection was closed: {head}");
    }
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |text| text.parse().unwrap());
    answers.read_exact(&mut vec![0; length]).unwrap();
    head[9..12].parse().unwrap()
}

#[test]
fn a_hundred_thousand_addresses_leave_the_memory_as_it_is() {
    memory_does_not_grow_with(100_000);
}

#[test]
fn a_million_addresses_leave_the_memory_as_it_is() {
    if !full() {
        return left_out("a_million_addresses_leave_the_memory_as_it_is", "it takes minutes; NOCLOBBER_FULL=1 runs it");
    }
    memory_does_not_grow_with(1_000_000);
}
