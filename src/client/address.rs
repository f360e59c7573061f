//! Where the server is reached: the URL that a user gives, in the parts that requests are made of.

use std::str::FromStr;

use percent_encoding::percent_decode_str;
use url::{Host, Url};

/// The URL of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Whether it is reached by TLS.
    pub is_secure: bool,
    /// The name or the address as a socket wants it, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The host and, if it is not the usual one, the port, as they stand in a `Host` field.
    pub authority: String,
    /// The path from slash to slash, as it stands in a request.
    pub path: String,
    /// The user that the URL names.
    pub user: Option<String>,
}

impl FromStr for Address {
    type Err = &'static str;

    /// Takes the URL of a folder, with any of the schemes that programs have for WebDAV. The errors do not repeat it: it may hold a password.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WANTED: &str = "the URL of a folder on a server is wanted, like https://files.example.org/team/";
        let (scheme, rest) = text.split_once("://").ok_or(WANTED)?;
        let is_secure = match scheme.to_ascii_lowercase().as_str() {
            "http" | "dav" | "webdav" => false,
            "https" | "davs" | "webdavs" => true,
            _ => return Err(WANTED),
        };
        let scheme = if is_secure { "https" } else { "http" };
        let url = Url::parse(&format!("{scheme}://{rest}")).map_err(|_| WANTED)?;
        if url.password().is_some() {
            return Err(
                "a password does not belong into a URL, where others see it: it is asked for, read from standard input or taken \
                        from NOCLOBBER_PASSWORD",
            );
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(WANTED);
        }
        let host = match url.host().ok_or(WANTED)? {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        let shown = url.host_str().ok_or(WANTED)?;
        let authority = url.port().map_or_else(|| shown.to_owned(), |port| format!("{shown}:{port}"));
        let user = percent_decode_str(url.username()).decode_utf8().map_err(|_| WANTED)?;
        let slash = if url.path().ends_with('/') { "" } else { "/" };
        Ok(Self {
            is_secure,
            host,
            port: url.port_or_known_default().ok_or(WANTED)?,
            authority,
            path: format!("{}{slash}", url.path()),
            user: (!user.is_empty()).then(|| user.into_owned()),
        })
    }
}

impl Address {
    /// The absolute URL of a path on this server, as a client writes it.
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme(), self.authority)
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.is_secure { "https" } else { "http" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        for (text, url, host, port, user) in [
            ("http://127.0.0.1:4918", "http://127.0.0.1:4918/", "127.0.0.1", 4918, None),
            ("https://Files.example.org/a b", "https://files.example.org/a%20b/", "files.example.org", 443, None),
            ("davs://ada@files.example.org:443/", "https://files.example.org/", "files.example.org", 443, Some("ada")),
            ("webdav://a%40b@[::1]:80/x/", "http://[::1]/x/", "::1", 80, Some("a@b")),
        ] {
            let address: Address = text.parse().expect("an address");
            assert_eq!(address.url(&address.path), url, "{text}");
            assert_eq!((address.host.as_str(), address.port, address.user.as_deref()), (host, port, user), "{text}");
        }
        for text in
            ["", "nas", "nas:80", "ftp://a/", "http://", "http://a:x/", "http://a/?b", "http://a/#b", "http://a b/"]
        {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
        assert!("http://ada:secret@a/".parse::<Address>().expect_err("a password").contains("NOCLOBBER_PASSWORD"));
    }
}
