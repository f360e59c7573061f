//! The addresses by which other machines reach this one.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use nix::ifaddrs::getifaddrs;

/// An address that is used for a while and then given up, so that its machine is not known again (`IFA_F_TEMPORARY`, RFC 8981).
const TEMPORARY: u8 = 0x01;

/// The addresses of this machine: those that last, and no further than a link reach. None where they cannot be told.
pub fn addresses_of_machine() -> Vec<IpAddr> {
    let of_v4 = getifaddrs().into_iter().flatten();
    let of_v4 = of_v4.filter_map(|found| Some(found.address?.as_sockaddr_in()?.ip()));
    let of_v4 = of_v4.filter(|address: &Ipv4Addr| !address.is_loopback() && !address.is_link_local());
    let of_v6 = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let mut addresses: Vec<IpAddr> = of_v4.map(IpAddr::V4).collect();
    addresses.extend(of_v6.lines().filter_map(lasting).map(IpAddr::V6));
    addresses.sort();
    addresses.dedup();
    addresses
}

/// The address of this machine on the way to everywhere else, which is the one that its neighbours are likeliest to reach. Nothing is sent.
pub fn address_towards_others() -> Option<IpAddr> {
    // An address for documents (RFC 5737), which is on no network of this machine.
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    let found = socket.local_addr().ok()?.ip();
    (!found.is_unspecified() && !found.is_loopback()).then_some(found)
}

/// The address of a line of `/proc/net/if_inet6`: the address, the interface, the length of the prefix, the scope and the flags, in hex.
fn lasting(line: &str) -> Option<Ipv6Addr> {
    let mut fields = line.split_ascii_whitespace();
    let address = u128::from_str_radix(fields.next()?, 16).ok()?;
    let scope = fields.nth(2)?;
    let flags = u8::from_str_radix(fields.next()?, 16).ok()?;
    (scope == "00" && flags & TEMPORARY == 0).then(|| address.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_last_are_told() {
        for (line, expected) in [
            ("20010db8000000000000000000000001 02 40 00 80     eth0", Some("2001:db8::1")),
            ("fd000000000000000000000000000001 02 40 00 00     eth0", Some("fd00::1")),
            ("20010db8000000000000000000000002 02 40 00 01     eth0", None),
            ("fe800000000000000000000000000001 02 40 20 80     eth0", None),
            ("00000000000000000000000000000001 01 80 10 80       lo", None),
            ("", None),
            ("20010db8", None),
            ("x 02 40 00 80 eth0", None),
        ] {
            assert_eq!(lasting(line), expected.map(|address| address.parse().expect("an address")), "{line}");
        }
    }
}
