//! The long copies under way, by COPY, by a restored version, and by MOVE to another file system: how many there are at once, and that each ends
//! when its client has gone. Who waits for a turn holds no thread. No address takes all turns, as it cannot take all connections.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::http::ask::ask;
use crate::http::wire::crowd::NetworkAddress;
use crate::share::outcome::{Outcome, Refusal, Stop};
use crate::share::{CopyLimit, Share};

/// How long one waits for a turn: longer than it takes to see that a client has gone, whose turn that may be.
const TURN_WAIT: Duration = Duration::from_secs(60);

/// The copies of a share, made in turn.
#[derive(Debug)]
pub(crate) struct Copies {
    share: Arc<Share>,
    turns: Turns,
}

/// The turns of all workers.
#[derive(Debug)]
struct Turns {
    all: Arc<Semaphore>,
    per_address_max: usize,
    by_address: Mutex<HashMap<NetworkAddress, Weak<Semaphore>>>,
}

/// A turn; dropping it gives it back.
#[derive(Debug)]
struct CopyTurn {
    _of_all: OwnedSemaphorePermit,
    _of_address: Option<OwnedSemaphorePermit>,
}

/// Whoever waits for a copy. When it is dropped, nobody does.
#[derive(Debug, Default)]
struct Waiter {
    has_gone: Arc<AtomicBool>,
}

impl Copies {
    /// So many turns, of which one address may have half. Each copy holds a thread for as long as it takes.
    pub(crate) fn new(share: Arc<Share>, copies_max: usize) -> Self {
        Self { share, turns: Turns::new(copies_max) }
    }

    /// Asks the share for something that may take a copy: at once if it is short or needs none after all, otherwise in turn. The share is told
    /// whether anybody still waits for it.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        address: Option<IpAddr>,
        question: impl Fn(&Share, CopyLimit<'_>) -> Outcome<T> + Clone + Send + 'static,
    ) -> Outcome<T> {
        let again = question.clone();
        match ask(&self.share, move |share| question(share, CopyLimit::Short)).await {
            Err(Stop::Refusal(Refusal::CopyOutOfTurn)) => {}
            answer => return answer,
        }
        let peer = address.map(|address| SocketAddr::new(address, 0));
        let turn = self.turns.turn_within(TURN_WAIT, peer).await?;
        let waiter = Waiter::default();
        let has_gone = Arc::clone(&waiter.has_gone);
        ask(&self.share, move |share| {
            let _turn = turn;
            again(share, CopyLimit::WhileWanted(&|| !has_gone.load(Ordering::Relaxed)))
        })
        .await
    }
}

impl Turns {
    fn new(copies_max: usize) -> Self {
        let all = Arc::new(Semaphore::new(copies_max));
        Self { all, per_address_max: copies_max.div_ceil(2), by_address: Mutex::default() }
    }

    /// The next turn for a client, if it comes within this time.
    async fn turn_within(&self, limit: Duration, peer: Option<SocketAddr>) -> Outcome<CopyTurn> {
        timeout(limit, self.turn(peer)).await.map_err(|_| Refusal::CopyOutOfTurn.into())
    }

    async fn turn(&self, peer: Option<SocketAddr>) -> CopyTurn {
        let of_address = match NetworkAddress::of(peer) {
            Some(address) => Some(acquire(self.of(address)).await),
            None => None,
        };
        CopyTurn { _of_all: acquire(Arc::clone(&self.all)).await, _of_address: of_address }
    }

    /// The turns of an address, which are kept for as long as it has or wants one.
    fn of(&self, address: NetworkAddress) -> Arc<Semaphore> {
        let mut by_address = self.by_address.lock();
        if let Some(turns) = by_address.get(&address).and_then(Weak::upgrade) {
            return turns;
        }
        by_address.retain(|_, turns| turns.strong_count() > 0);
        let turns = Arc::new(Semaphore::new(self.per_address_max));
        by_address.insert(address, Arc::downgrade(&turns));
        turns
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.has_gone.store(true, Ordering::Relaxed);
    }
}

async fn acquire(turns: Arc<Semaphore>) -> OwnedSemaphorePermit {
    turns.acquire_owned().await.expect("it is never closed")
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn peer(address: &str) -> Option<SocketAddr> {
        Some(SocketAddr::new(address.parse().expect("an address"), 1))
    }

    /// A turn that is free now.
    fn turn(turns: &Turns, address: &str) -> Option<CopyTurn> {
        turns.turn(peer(address)).now_or_never()
    }

    #[test]
    fn no_address_has_all_turns() {
        let turns = Turns::new(4);
        let mut first: Vec<_> = (0..2).map(|_| turn(&turns, "192.0.2.1")).collect();
        assert!(first.iter().all(Option::is_some));
        assert!(turn(&turns, "192.0.2.1").is_none());
        let second: Vec<_> = (0..2).map(|_| turn(&turns, "192.0.2.2")).collect();
        assert!(second.iter().all(Option::is_some));
        for address in ["192.0.2.3", "127.0.0.1"] {
            assert!(turn(&turns, address).is_none(), "{address}: there is an end to them in all");
        }
        first.pop();
        assert!(turn(&turns, "192.0.2.3").is_some(), "one that is given back is the next one's");
    }

    /// Whoever waits too long for a turn is told to come back; whoever waits and leaves takes none.
    #[actix_rt::test]
    async fn nobody_waits_for_ever() {
        let turns = Turns::new(1);
        let only = turn(&turns, "192.0.2.1").expect("a turn");
        let refused = turns.turn_within(Duration::from_millis(1), peer("192.0.2.2")).await.map(drop);
        assert!(matches!(refused, Err(Stop::Refusal(Refusal::CopyOutOfTurn))), "{refused:?}");
        drop(only);
        assert!(turn(&turns, "192.0.2.3").is_some());
    }

    /// Behind a proxy on this machine there are many clients. Nothing is kept of addresses that have and want no turn.
    #[test]
    fn this_machine_has_all_turns() {
        let turns = Turns::new(4);
        let all: Vec<_> = (0..4).map(|_| turn(&turns, "127.0.0.1")).collect();
        assert!(all.iter().all(Option::is_some));
        drop(all);
        drop(turn(&turns, "192.0.2.1"));
        drop(turn(&turns, "192.0.2.2"));
        assert_eq!(turns.by_address.lock().len(), 1);
    }
}
