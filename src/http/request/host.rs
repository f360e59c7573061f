//! The `Host` of a request: what is one by the grammar, and which are ours. It is the wall against DNS rebinding: a page can make a name of
//! its own lead to this machine, and the browser then takes us for the page's own server, but the name stays the page's.

use std::net::{Ipv4Addr, Ipv6Addr};

/// A host and the port that may follow it (RFC 9110 §7.2, RFC 3986 §3.2.2 and §3.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Host<'a> {
    /// A name, an IPv4 address, or an address in brackets; empty where there is none.
    name: &'a str,
}

impl<'a> Host<'a> {
    /// Reads `uri-host [ ":" port ]`; `None` if this is none. A port may be empty, and is at most 65535.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let end = match text.starts_with('[') {
            true => text.find(']')? + 1,
            false => text.find(':').unwrap_or(text.len()),
        };
        let (name, port) = text.split_at(end);
        let is_name = match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
            Some(address) => address.parse::<Ipv6Addr>().is_ok() || is_future_address(address),
            None => is_registered_name(name),
        };
        let is_port = match port.strip_prefix(':') {
            None => port.is_empty(),
            Some(digits) => {
                digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits.is_empty() || digits.parse::<u16>().is_ok())
            }
        };
        (is_name && is_port).then_some(Self { name })
    }

    /// Whether it names nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.name.is_empty()
    }

    /// Whether it is one of this server's. An address always is: a page cannot make a name of its own resolve to one and still send the
    /// address. Of names `localhost` is, and those that the server was told of.
    pub(crate) fn is_ours(&self, own_names: &[String]) -> bool {
        let inside = self.name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        match inside {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => {
                self.name.parse::<Ipv4Addr>().is_ok()
                    || self.name.eq_ignore_ascii_case("localhost")
                    || own_names.iter().any(|own| self.name.eq_ignore_ascii_case(own))
            }
        }
    }
}

/// The names under which a machine is known that calls itself so: that name, its first label, and what that is called on the local network
/// (RFC 6762 §3).
pub fn names_of_machine(name: &str) -> Vec<String> {
    let name = name.to_ascii_lowercase();
    let label = name.split('.').next().unwrap_or_default().to_owned();
    let names = [name, format!("{label}.local"), label];
    names
        .into_iter()
        .filter(|name| !name.starts_with('.') && Host::parse(name).is_some_and(|host| !host.is_empty()))
        .collect()
}

/// `reg-name`: letters, digits, some signs, and escapes.
fn is_registered_name(name: &str) -> bool {
    let mut rest = name.bytes();
    while let Some(byte) = rest.next() {
        let is_right = match byte {
            b'%' => {
                rest.next().is_some_and(|digit| digit.is_ascii_hexdigit())
                    && rest.next().is_some_and(|digit| digit.is_ascii_hexdigit())
            }
            byte => is_plain(byte),
        };
        if !is_right {
            return false;
        }
    }
    true
}

/// `IPvFuture`.
fn is_future_address(address: &str) -> bool {
    let Some((version, rest)) = address.strip_prefix(['v', 'V']).and_then(|rest| rest.split_once('.')) else {
        return false;
    };
    let is_version = !version.is_empty() && version.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_version && !rest.is_empty() && rest.bytes().all(|byte| is_plain(byte) || byte == b':')
}

/// `unreserved / sub-delims`.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_ours(host: &str) -> Option<bool> {
        Host::parse(host).map(|host| host.is_ours(&["files.example".to_owned()]))
    }

    #[test]
    fn the_table_of_hosts() {
        for (host, expected) in [
            ("127.0.0.1", Some(true)),
            ("127.0.0.1:4918", Some(true)),
            ("192.168.1.2:80", Some(true)),
            ("[::1]", Some(true)),
            ("[::1]:80", Some(true)),
            ("[::ffff:127.0.0.1]:", Some(true)),
            ("localhost", Some(true)),
            ("LOCALHOST:1", Some(true)),
            ("localhost:", Some(true)),
            ("localhost:00080", Some(true)),
            ("localhost:65535", Some(true)),
            ("files.example:80", Some(true)),
            ("Files.Example", Some(true)),
            ("evil.example", Some(false)),
            ("evil.example:4918", Some(false)),
            ("files.example.evil", Some(false)),
            ("localhost.", Some(false)),
            ("127.0.0.1.evil.example", Some(false)),
            ("127.1", Some(false)),
            ("2130706433", Some(false)),
            ("nas", Some(false)),
            ("localhos%74", Some(false)),
            ("a,b;c=d", Some(false)),
            ("[v1.a:b]:80", Some(false)),
            ("", Some(false)),
            (":80", Some(false)),
            ("[::1", None),
            ("[evil]", None),
            ("[]", None),
            ("[v.a]", None),
            ("[vx.a]", None),
            ("[v1.]", None),
            ("[127.0.0.1]", None),
            ("[::1%25eth0]", None),
            ("[::1]x", None),
            ("[::1]80", None),
            ("[::1]]", None),
            ("::1", None),
            ("localhost:x", None),
            ("localhost:+80", None),
            ("localhost:-80", None),
            ("localhost: 80", None),
            ("localhost:65536", None),
            ("localhost:80:80", None),
            (" localhost", None),
            ("local host", None),
            ("user@localhost", None),
            ("localhost/", None),
            ("local\\host", None),
            ("évil.example", None),
            ("%", None),
            ("a%2", None),
            ("a%g0", None),
            ("\"a\"", None),
        ] {
            assert_eq!(is_ours(host), expected, "{host:?}");
        }
    }

    #[test]
    fn a_machine_has_three_names() {
        assert_eq!(names_of_machine("Nas"), ["nas", "nas.local", "nas"]);
        assert_eq!(names_of_machine("nas.home.lan"), ["nas.home.lan", "nas.local", "nas"]);
        for none in ["", ".", "a b", "é"] {
            assert_eq!(names_of_machine(none), [""; 0], "{none:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_the_parser_stumble(host in "(\\[|\\]|:|%|[0-9a-fv.]|\\PC){0,40}") {
            if let Some(parsed) = Host::parse(&host) {
                prop_assert!(host.is_ascii() && host.starts_with(parsed.name));
            }
        }
    }
}
