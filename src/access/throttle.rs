//! Guessing is slowed, for each address and for each user: each may be wrong a few times, and then a few times a minute. What is remembered is
//! bounded, however many addresses there are.

use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use quick_cache::sync::Cache;

/// How often one address may be wrong at once; and how soon it may be wrong once more.
const FOR_AN_ADDRESS: Allowance = Allowance { at_once: 5, once_in: Duration::from_secs(12) };

/// How often all addresses may be wrong about one user.
const FOR_A_USER: Allowance = Allowance { at_once: 30, once_in: Duration::from_secs(6) };

/// How many addresses, and how many users, are remembered.
const REMEMBERED_MAX: usize = 16_384;

#[derive(Clone, Copy, Debug)]
struct Allowance {
    at_once: u32,
    once_in: Duration,
}

/// How much of an allowance is used up, as the instant at which all of it is there again.
#[derive(Clone, Copy, Debug)]
struct Used {
    until: Instant,
}

/// Who was wrong lately.
#[derive(Debug)]
pub(super) struct Throttle {
    addresses: Cache<IpAddr, Used>,
    users: Cache<[u8; 16], Used>,
    /// Which users were right from which addresses: what others guess does not keep them out there.
    at_home: Cache<(IpAddr, [u8; 16]), ()>,
    /// Looks and takes are one step.
    turn: Mutex<()>,
}

/// A guess that was let through, and is given back if it was right.
#[derive(Debug)]
pub(super) struct Guess {
    address: IpAddr,
    user: [u8; 16],
}

/// Wait so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wait(pub(super) Duration);

impl Allowance {
    /// Takes one, or says how long to wait for it.
    fn take(self, used: Option<Used>, now: Instant) -> Result<Used, Wait> {
        let until = used.map_or(now, |used| used.until.max(now)) + self.once_in;
        let most = now + self.once_in * self.at_once;
        if until <= most { Ok(Used { until }) } else { Err(Wait(until - most)) }
    }

    fn give_back(self, used: Used) -> Used {
        Used { until: used.until.checked_sub(self.once_in).unwrap_or(used.until) }
    }
}

impl Default for Throttle {
    fn default() -> Self {
        Self {
            addresses: Cache::new(REMEMBERED_MAX),
            users: Cache::new(REMEMBERED_MAX),
            at_home: Cache::new(REMEMBERED_MAX),
            turn: Mutex::new(()),
        }
    }
}

impl Throttle {
    /// Lets a guess through, or says how long to wait. Who asks from this machine is not asked.
    pub(super) fn admit(&self, address: IpAddr, user: &str, now: Instant) -> Result<Guess, Wait> {
        let (address, user) = (counted(address), key_of(user));
        let _turn = self.turn.lock();
        let of_address = FOR_AN_ADDRESS.take(self.addresses.get(&address), now)?;
        if self.at_home.get(&(address, user)).is_none() {
            let of_user = FOR_A_USER.take(self.users.get(&user), now)?;
            self.users.insert(user, of_user);
        }
        self.addresses.insert(address, of_address);
        Ok(Guess { address, user })
    }

    /// It was right, and so it does not count; where it came from this user is at home.
    pub(super) fn was_right(&self, guess: &Guess) {
        self.does_not_count(guess);
        self.at_home.insert((guess.address, guess.user), ());
    }

    /// It was none.
    pub(super) fn does_not_count(&self, guess: &Guess) {
        let _turn = self.turn.lock();
        if let Some(used) = self.addresses.get(&guess.address) {
            self.addresses.insert(guess.address, FOR_AN_ADDRESS.give_back(used));
        }
        if let Some(used) = self.users.get(&guess.user) {
            self.users.insert(guess.user, FOR_A_USER.give_back(used));
        }
    }
}

/// What counts as one address: of IPv6 the network, where one client has as many addresses as it likes.
fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(u128::from(address) >> 64 << 64)),
        address => address,
    }
}

/// Names are as long as a client likes; what is remembered of one is not.
fn key_of(user: &str) -> [u8; 16] {
    let hash = blake3::hash(user.as_bytes());
    *hash.as_bytes().first_chunk().expect("a hash is longer")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    #[test]
    fn an_address_may_be_wrong_a_few_times_and_then_a_few_times_a_minute() {
        let (throttle, begun) = (Throttle::default(), Instant::now());
        let mut computed = Vec::new();
        for guess in 0..1000 {
            let now = begun + Duration::from_millis(60 * guess);
            if throttle.admit(address(1), &format!("user {guess}"), now).is_ok() {
                computed.push(guess);
            }
        }
        assert!(computed.len() <= 10, "{} guesses of a minute were let through", computed.len());
        assert_eq!(throttle.admit(address(2), "user", begun).err(), None, "another address is not concerned");
    }

    #[test]
    fn a_user_is_guessed_at_no_faster_by_many_addresses() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let let_through = (0..10_000).filter(|guess| throttle.admit(address(*guess), "alice", now).is_ok()).count();
        assert_eq!(let_through, 30);
        assert!(throttle.admit(address(1), "bob", now).is_ok());
    }

    #[test]
    fn others_guesses_do_not_keep_a_user_out_where_they_were_right_before() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let guess = throttle.admit(address(7), "alice", now).expect("let through");
        throttle.was_right(&guess);
        (100..1000).for_each(|other| drop(throttle.admit(address(other), "alice", now)));
        assert!(throttle.admit(address(8), "alice", now).is_err());
        assert!(throttle.admit(address(7), "alice", now).is_ok());
    }

    #[test]
    fn who_is_right_is_never_slowed() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for _ in 0..1000 {
            let guess = throttle.admit(address(1), "alice", now).expect("let through");
            throttle.was_right(&guess);
        }
    }

    #[test]
    fn what_is_remembered_of_a_million_addresses_is_bounded() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for guess in 0..1_000_000 {
            let _ = throttle.admit(address(guess), &guess.to_string(), now);
        }
        assert!(throttle.addresses.len() <= REMEMBERED_MAX && throttle.users.len() <= REMEMBERED_MAX);
    }

    #[test]
    fn one_network_of_ipv6_is_one_address() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let at = |low: u64| IpAddr::V6(Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(low)));
        let let_through = (0..1000).filter(|low| throttle.admit(at(*low), &low.to_string(), now).is_ok()).count();
        assert_eq!(let_through, 5);
    }
}
