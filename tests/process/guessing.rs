//! Guessing from outside, at the pace that somebody may have: few guesses are computed.

use std::time::{Duration, Instant};

use crate::harness::Server;
use crate::harness::users::{UsersFile, basic, password_of};

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
