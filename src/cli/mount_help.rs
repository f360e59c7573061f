//! How to connect: the steps for each system, with the traps that are known, filled in with the address of a server.
//! The text is `static/connecting.txt`; here it is only filled in. Nothing is connected to, and nothing is looked up.

use std::net::Ipv6Addr;
use std::str::FromStr;

/// The text, with names in braces where the address goes.
const TEXT: &str = include_str!("../../static/connecting.txt");

/// Where a server is reached: what is left of a URL that is safe to be put into commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    is_secure: bool,
    /// A name or an address, in brackets if it is one of IPv6.
    host: String,
    port: u16,
    /// From slash to slash.
    path: String,
}

impl Default for Address {
    /// Where noclobber listens if nothing is said.
    fn default() -> Self {
        Self { is_secure: false, host: "127.0.0.1".to_owned(), port: 4918, path: "/".to_owned() }
    }
}

impl FromStr for Address {
    type Err = &'static str;

    /// Takes `http://host:port/folder/`, with any of the schemes that programs have for WebDAV, or with none.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WANTED: &str = "the address of a server is wanted, like http://192.168.1.2:4918/";
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let is_secure = match scheme {
            "http" | "dav" | "webdav" => false,
            "https" | "davs" | "webdavs" => true,
            _ => return Err(WANTED),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let end_of_host = authority.rfind(']').map_or(0, |at| at + 1);
        let (host, port) = match authority[end_of_host..].split_once(':') {
            Some((name, port)) => {
                let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
                let port = port.parse().ok().filter(|_| is_number).ok_or(WANTED)?;
                (&authority[..end_of_host + name.len()], port)
            }
            None => (authority, if is_secure { 443 } else { 80 }),
        };
        let is_plain = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~%+@".contains(&byte));
        if !is_host(host) || !is_plain {
            return Err(WANTED);
        }
        let path = format!("/{}/", path.trim_matches('/'));
        Ok(Self { is_secure, host: host.to_owned(), port, path: path.replace("//", "/") })
    }
}

/// The steps, for a server at this address.
pub fn text(address: &Address) -> String {
    let Address { is_secure, host, port, path } = address;
    let secure = |yes: &str, no: &str| if *is_secure { yes.to_owned() } else { no.to_owned() };
    let usual = if *is_secure { 443 } else { 80 };
    let authority = if *port == usual { host.clone() } else { format!("{host}:{port}") };
    let url = |scheme: String| format!("{scheme}://{authority}{path}");
    let plain = url(secure("https", "http"));
    let below = path.trim_matches('/').replace('/', "\\");
    let below = if below.is_empty() { "DavWWWRoot" } else { &below };
    let unc = format!("\\\\{}{}@{port}\\{below}", name_in_unc(host), secure("@SSL", ""));
    let filled = [
        ("{url}", plain.clone()),
        ("{unslashed}", plain.trim_end_matches('/').to_owned()),
        ("{unc}", unc),
        ("{dav}", url(secure("davs", "dav"))),
        ("{webdav}", url(secure("webdavs", "webdav"))),
        ("{host}", host.clone()),
        ("{port}", port.to_string()),
        ("{path}", path.clone()),
        ("{secure}", secure(", secure connection", "")),
        ("{protocol}", secure("WebDAV (HTTPS)", "WebDAV (HTTP)")),
    ];
    filled.iter().fold(TEXT.to_owned(), |text, (name, value)| text.replace(name, value))
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok();
    }
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    !host.starts_with('-') && host.len() <= 253 && host.split('.').all(is_label)
}

/// Windows writes an IPv6 address in a UNC path as a name (`2001-db8--1.ipv6-literal.net`).
fn name_in_unc(host: &str) -> String {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => format!("{}.ipv6-literal.net", address.replace(':', "-")),
        None => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(is_secure: bool, host: &str, port: u16, path: &str) -> Result<Address, &'static str> {
        Ok(Address { is_secure, host: host.to_owned(), port, path: path.to_owned() })
    }

    #[test]
    fn addresses_are_read() {
        for (text, expected) in [
            ("http://127.0.0.1:4918/", address(false, "127.0.0.1", 4918, "/")),
            ("http://127.0.0.1:4918", address(false, "127.0.0.1", 4918, "/")),
            ("nas:8080", address(false, "nas", 8080, "/")),
            ("https://files.example.org/a/b", address(true, "files.example.org", 443, "/a/b/")),
            ("davs://files.example.org:8443//", address(true, "files.example.org", 8443, "/")),
            ("http://[::1]:80/", address(false, "[::1]", 80, "/")),
            ("http://[::1]", address(false, "[::1]", 80, "/")),
        ] {
            assert_eq!(text.parse(), expected, "{text}");
        }
        for text in [
            "",
            "/",
            "ftp://a/",
            "http://",
            "http://a:/",
            "http://a:+1/",
            "http://a:70000/",
            "http://a b/",
            "http://$(x)/",
            "http://-x/",
            "http://a/?b",
            "http://a/'b",
            "http://[x]/",
            "http://user@a/",
            "unix:/run/x",
            "http://a..b/",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn nothing_is_left_to_fill_in() {
        for address in ["http://127.0.0.1:4918/", "https://[2001:db8::1]:8443/a/b/"] {
            let text = text(&address.parse().expect("an address"));
            assert!(!text.contains(['{', '}']), "{text}");
            assert!(text.contains(address), "{text}");
        }
        let text = text(&"https://[2001:db8::1]:8443/a/b/".parse().expect("an address"));
        assert!(text.contains("\\\\2001-db8--1.ipv6-literal.net@SSL@8443\\a\\b\n"), "{text}");
        assert!(text.contains("davs://[2001:db8::1]:8443/a/b/\n"), "{text}");
    }
}
