//! How many connections each client address has: none of them may take all that there are. Whoever comes over a Unix socket or from this machine
//! may, for behind that there is often a proxy with many clients. Of IPv6 the first 64 bits are one address, since a client has all the others.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;

/// The connections of all workers, by client address.
#[derive(Debug)]
pub(crate) struct Crowd {
    each_max: usize,
    counts: Mutex<HashMap<NetworkAddress, usize>>,
}

/// What counts as one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum NetworkAddress {
    V4([u8; 4]),
    V6(u64),
}

/// One connection's place, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    crowd: Arc<Crowd>,
    address: Option<NetworkAddress>,
}

impl NetworkAddress {
    /// The address of a client; `None` if it is on this machine.
    pub(crate) fn of(peer: Option<SocketAddr>) -> Option<Self> {
        match peer?.ip().to_canonical() {
            ip if ip.is_loopback() => None,
            IpAddr::V4(ip) => Some(Self::V4(ip.octets())),
            IpAddr::V6(ip) => Some(Self::V6((u128::from(ip) >> 64) as u64)),
        }
    }
}

impl Crowd {
    /// A crowd of which each address may have so many connections.
    pub(crate) fn new(each_max: usize) -> Arc<Self> {
        Arc::new(Self { each_max, counts: Mutex::default() })
    }

    /// A place for a connection; `None` if its client has as many as it may.
    pub(crate) fn enter(self: &Arc<Self>, peer: Option<SocketAddr>) -> Option<ConnectionPermit> {
        let address = NetworkAddress::of(peer);
        if let Some(address) = address {
            let mut counts = self.counts.lock();
            let count = counts.entry(address).or_default();
            if *count >= self.each_max {
                return None;
            }
            *count += 1;
        }
        Some(ConnectionPermit { crowd: Arc::clone(self), address })
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        let mut counts = self.crowd.counts.lock();
        let Some(count) = counts.get_mut(&address) else { return };
        *count -= 1;
        if *count == 0 {
            counts.remove(&address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(crowd: &Arc<Crowd>, address: &str) -> Option<ConnectionPermit> {
        crowd.enter(Some(SocketAddr::new(address.parse().expect("an address"), 1)))
    }

    #[test]
    fn an_address_has_no_more_than_its_places() {
        let crowd = Crowd::new(2);
        let first = enter(&crowd, "192.0.2.1").expect("a first place");
        let _second = enter(&crowd, "::ffff:192.0.2.1").expect("a second place");
        assert!(enter(&crowd, "192.0.2.1").is_none());
        let _other = enter(&crowd, "192.0.2.2").expect("another address");
        drop(first);
        assert!(enter(&crowd, "192.0.2.1").is_some());
    }

    /// Who has one address of a network of IPv6 has them all.
    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let crowd = Crowd::new(1);
        let _place = enter(&crowd, "2001:db8::1").expect("a place");
        assert!(enter(&crowd, "2001:db8::2:3").is_none());
        assert!(enter(&crowd, "2001:db8:0:1::1").is_some());
    }

    /// A proxy on this machine has many clients. Nothing is counted of them, and nothing is kept of those who have gone.
    #[test]
    fn this_machine_has_as_many_as_there_are() {
        let crowd = Crowd::new(1);
        for address in ["127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1"] {
            let places: Vec<_> = (0..10).map(|_| enter(&crowd, address).expect("a place")).collect();
            assert_eq!(places.len(), 10);
        }
        let _unix = [crowd.enter(None).expect("a place"), crowd.enter(None).expect("a place")];
        drop(enter(&crowd, "192.0.2.1").expect("a place"));
        assert!(crowd.counts.lock().is_empty());
    }
}
