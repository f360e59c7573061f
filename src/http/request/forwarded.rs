//! What a proxy in front says of the client behind it: `Forwarded` (RFC 7239), or the `X-Forwarded-` fields that came before it. It counts where the
//! proxy is trusted, and from anywhere else it is not there.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use actix_http::RequestHead;
use actix_web::http::header::{HeaderMap, HeaderName};
use ipnet::IpNet;

use crate::http::headers::field;

/// A proxy that is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustedProxy {
    /// Whatever has an address in this network.
    Net(IpNet),
    /// Whatever comes by a Unix socket.
    Unix,
}

/// Where a request comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The address of the client; none where it is not known.
    pub(crate) address: Option<IpAddr>,
    /// Whether the client speaks TLS, to a proxy or to us; `None` where a proxy does not say.
    pub(crate) is_https: Option<bool>,
    /// The host as the client named it to the proxy.
    pub(crate) host: Option<String>,
    /// Whether a trusted proxy stands between.
    pub(crate) is_by_proxy: bool,
    /// Whether the address is the client's, and not that of a proxy that does not say for whom it asks.
    pub(crate) is_told: bool,
}

impl FromStr for TrustedProxy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "unix" {
            return Ok(Self::Unix);
        }
        let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        net.map(Self::Net)
            .map_err(|_| "an address or a network is wanted, like 127.0.0.1 or 10.0.0.0/8, or unix".to_owned())
    }
}

impl TrustedProxy {
    fn is(&self, peer: Option<IpAddr>) -> bool {
        match (self, peer) {
            (Self::Net(net), Some(address)) => net.contains(&address.to_canonical()),
            (Self::Unix, None) => true,
            (Self::Net(_), None) | (Self::Unix, Some(_)) => false,
        }
    }
}

/// Where a request comes from that this peer has sent, over TLS or not.
pub(crate) fn origin(head: &RequestHead, is_encrypted: bool, trusted: &[TrustedProxy]) -> Origin {
    let peer = head.peer_addr.as_ref().map(SocketAddr::ip);
    let is_trusted = |address: Option<IpAddr>| trusted.iter().any(|proxy| proxy.is(address));
    if !is_trusted(peer) {
        return Origin { address: peer, is_https: Some(is_encrypted), host: None, is_by_proxy: false, is_told: true };
    }
    let tells = [forwarded(&head.headers), x_forwarded(&head.headers)].into_iter().flatten();
    let tells = tells.map(|told| told.client_behind(peer, is_trusted)).reduce(Origin::agreed_with);
    tells.unwrap_or(Origin { address: peer, is_by_proxy: true, ..Origin::default() })
}

impl Origin {
    /// A proxy writes one of the two forms, and many hand on the other as the client has sent it: what they do not both say is not known.
    fn agreed_with(self, other: Self) -> Self {
        let is_same = self.address == other.address;
        Self {
            address: self.address.filter(|_| is_same),
            is_https: self.is_https.filter(|_| self.is_https == other.is_https),
            host: self.host.filter(|host| other.host.as_ref() == Some(host)),
            is_by_proxy: true,
            is_told: self.is_told && other.is_told && is_same,
        }
    }
}

/// What the proxies tell, the nearest last.
#[derive(Default)]
struct Told {
    /// The clients of each of them; `None` of one that is hidden or unknown.
    nodes: Vec<Option<IpAddr>>,
    proto: Option<String>,
    host: Option<String>,
}

impl Told {
    /// The nearest that is no proxy of ours is the client; what stands before it anybody can have written.
    fn client_behind(self, peer: Option<IpAddr>, is_trusted: impl Fn(Option<IpAddr>) -> bool) -> Origin {
        let mut address = peer;
        for node in self.nodes.iter().rev() {
            address = *node;
            if address.is_none_or(|address| !is_trusted(Some(address))) {
                break;
            }
        }
        let is_told = !self.nodes.is_empty() && address.is_some();
        let is_https = self.proto.map(|proto| proto == "https");
        Origin { address, is_https, host: self.host, is_by_proxy: true, is_told }
    }
}

/// `Forwarded`; `None` where there is none. A line whose quotation marks do not pair tells nothing: an open one would swallow what the proxy adds.
/// Of what the last proxy tells all counts; of others their clients alone.
fn forwarded(headers: &HeaderMap) -> Option<Told> {
    let lines = field::lines(headers, &HeaderName::from_static("forwarded"));
    if lines.is_empty() {
        return None;
    }
    let is_whole = |line: &&[u8]| line.iter().filter(|byte| **byte == b'"').count() % 2 == 0 && !line.contains(&b'\\');
    if !lines.iter().all(is_whole) {
        return Some(Told::default());
    }
    let mut told = Told::default();
    for line in lines {
        for element in split_outside_quotes(str::from_utf8(line).unwrap_or_default(), ',') {
            let mut node = None;
            (told.proto, told.host) = (None, None);
            for pair in split_outside_quotes(element, ';') {
                let Some((name, value)) = pair.split_once('=') else { continue };
                let value = value.trim().trim_matches('"').to_owned();
                match name.trim().to_ascii_lowercase().as_str() {
                    "for" => node = node_address(&value),
                    "proto" => told.proto = Some(value.to_ascii_lowercase()),
                    "host" => told.host = Some(value),
                    _ => {}
                }
            }
            told.nodes.push(node);
        }
    }
    Some(told)
}

/// The fields with `X-`; `None` where there are none.
fn x_forwarded(headers: &HeaderMap) -> Option<Told> {
    let all = |name: &'static str| {
        let lines = field::lines(headers, &HeaderName::from_static(name));
        let texts = lines.into_iter().map(|line| str::from_utf8(line).unwrap_or_default());
        texts.flat_map(|line| line.split(',')).map(|item| item.trim().to_owned()).collect::<Vec<_>>()
    };
    let told = Told {
        nodes: all("x-forwarded-for").iter().map(|node| node_address(node)).collect(),
        proto: all("x-forwarded-proto").pop().map(|proto| proto.to_ascii_lowercase()),
        host: all("x-forwarded-host").pop(),
    };
    let is_there = !told.nodes.is_empty() || told.proto.is_some() || told.host.is_some();
    is_there.then_some(told)
}

/// The address of a node: alone, with a port, or in brackets (RFC 7239 §6).
fn node_address(node: &str) -> Option<IpAddr> {
    let inside = node.strip_prefix('[').and_then(|node| node.split(']').next());
    if let Some(inside) = inside {
        return inside.parse().ok();
    }
    node.parse().ok().or_else(|| node.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

fn split_outside_quotes(text: &str, mark: char) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    text.split(move |c| {
        is_quoted ^= c == '"';
        c == mark && !is_quoted
    })
    .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    fn seen(peer: Option<&str>, fields: &[(&'static str, &'static str)]) -> Origin {
        let mut head = RequestHead::default();
        head.peer_addr = peer.map(|peer| peer.parse().expect("an address"));
        for (name, value) in fields {
            head.headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let trusted = ["10.0.0.0/8", "127.0.0.1", "unix"].map(|proxy| proxy.parse().expect("a proxy"));
        origin(&head, false, &trusted)
    }

    #[test]
    fn what_a_stranger_says_is_not_there() {
        let fields = [("x-forwarded-for", "10.0.0.9"), ("forwarded", "for=127.0.0.1;proto=https;host=evil")];
        let of_stranger = seen(Some("192.0.2.1:5"), &fields);
        let expected =
            Origin { address: "192.0.2.1".parse().ok(), is_https: Some(false), is_told: true, ..Origin::default() };
        assert_eq!(of_stranger, expected);
    }

    #[test]
    fn the_nearest_that_is_no_proxy_is_the_client() {
        for (fields, address, is_https, host) in [
            (&[][..], Some("10.0.0.1"), None, None),
            (&[("x-forwarded-for", "192.0.2.7")], Some("192.0.2.7"), None, None),
            (&[("x-forwarded-for", "6.6.6.6, 192.0.2.7, 10.0.0.2")], Some("192.0.2.7"), None, None),
            (&[("x-forwarded-for", "127.0.0.1, 192.0.2.7")], Some("192.0.2.7"), None, None),
            (&[("x-forwarded-for", "nonsense")], None, None, None),
            (
                &[("x-forwarded-proto", "http, HTTPS"), ("x-forwarded-host", "a, b")],
                Some("10.0.0.1"),
                Some(true),
                Some("b"),
            ),
            (
                &[("forwarded", "for=6.6.6.6;proto=http, for=\"[2001:db8::1]:80\";proto=https;host=\"a;b,c\"")],
                Some("2001:db8::1"),
                Some(true),
                Some("a;b,c"),
            ),
            (
                &[("forwarded", "for=192.0.2.7"), ("x-forwarded-for", "6.6.6.6"), ("x-forwarded-proto", "https")],
                None,
                None,
                None,
            ),
            (
                &[
                    ("forwarded", "for=127.0.0.1;proto=http;host=a"),
                    ("x-forwarded-for", "192.0.2.7"),
                    ("x-forwarded-proto", "https"),
                    ("x-forwarded-host", "b"),
                ],
                None,
                None,
                None,
            ),
            (
                &[
                    ("forwarded", "for=192.0.2.7;proto=https;host=a"),
                    ("x-forwarded-for", "6.6.6.6, 192.0.2.7"),
                    ("x-forwarded-proto", "https"),
                    ("x-forwarded-host", "a"),
                ],
                Some("192.0.2.7"),
                Some(true),
                Some("a"),
            ),
            (&[("forwarded", "for=6.6.6.6;x=\", for=192.0.2.7;proto=https")], Some("10.0.0.1"), None, None),
            (&[("forwarded", "for=_hidden, for=10.0.0.2")], None, None, None),
        ] {
            let expected = Origin {
                address: address.map(|address| address.parse().expect("an address")),
                is_https,
                host: host.map(str::to_owned),
                is_by_proxy: true,
                is_told: address.is_some_and(|address| address != "10.0.0.1"),
            };
            assert_eq!(seen(Some("10.0.0.1:5"), fields), expected, "{fields:?}");
        }
        assert_eq!(seen(None, &[("x-forwarded-for", "192.0.2.7")]).address, "192.0.2.7".parse().ok());
        assert!(!seen(None, &[]).is_told && !seen(Some("127.0.0.1:5"), &[("x-forwarded-proto", "https")]).is_told);
    }
}
