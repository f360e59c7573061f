//! What a request asks for: its method, path, query and conditions, taken out of the raw head once; and whether it may come from a page
//! that somebody else's server wrote.
//!
//! Everything here looks at the head alone. It decides nothing about files.

use std::net::{Ipv4Addr, Ipv6Addr};

use actix_http::RequestHead;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderName};

use crate::model::lock::{LockToken, Submitted};
use crate::model::path::SharePath;
use crate::model::precondition::{ConditionalFields, Header, Malformed, Precondition};
use crate::model::principal::{Client, Principal};

use super::dav_headers::{self, OwnHosts};
use super::if_header;
use super::query::Query;
use super::reply::Wrong;

/// The methods of HTTP and WebDAV that exist but are not served.
const KNOWN_METHODS: &[&str] = &["CONNECT", "TRACE", "PATCH", "REPORT", "SEARCH", "ACL"];

/// What is asked to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// GET or HEAD.
    Get,
    /// PUT.
    Put,
    /// DELETE.
    Delete,
    /// MKCOL.
    MakeCollection,
    /// PROPFIND.
    Propfind,
    /// PROPPATCH.
    Proppatch,
    /// COPY.
    Copy,
    /// MOVE.
    Move,
    /// LOCK.
    Lock,
    /// UNLOCK.
    Unlock,
    /// REPORT, of which there is none.
    Report,
    /// POST.
    Post,
    /// OPTIONS.
    Options,
    /// A method of HTTP or WebDAV that is not served.
    Unserved,
    /// Any other word.
    Unknown,
}

/// A request's target, taken apart.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// Where.
    pub(super) path: SharePath,
    /// Whether the URL ends in a slash.
    pub(super) names_a_collection: bool,
    /// The options in the query.
    pub(super) query: Query,
}

/// Why a request is turned away by its head alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unwelcome {
    /// The Host is none of ours (DNS rebinding).
    ForeignHost,
    /// A page of another origin makes the browser send it.
    CrossSite,
}

impl Verb {
    pub(super) fn of(method: &Method) -> Self {
        match method.as_str() {
            "GET" | "HEAD" => Self::Get,
            "PUT" => Self::Put,
            "DELETE" => Self::Delete,
            "MKCOL" => Self::MakeCollection,
            "PROPFIND" => Self::Propfind,
            "PROPPATCH" => Self::Proppatch,
            "COPY" => Self::Copy,
            "MOVE" => Self::Move,
            "LOCK" => Self::Lock,
            "UNLOCK" => Self::Unlock,
            "REPORT" => Self::Report,
            "POST" => Self::Post,
            "OPTIONS" => Self::Options,
            other if KNOWN_METHODS.contains(&other) => Self::Unserved,
            _ => Self::Unknown,
        }
    }

    /// How `Allow` lists it; nothing for what is not served.
    pub(super) fn listed(self) -> &'static str {
        match self {
            Self::Get => "GET, HEAD",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::MakeCollection => "MKCOL",
            Self::Propfind => "PROPFIND",
            Self::Proppatch => "PROPPATCH",
            Self::Copy => "COPY",
            Self::Move => "MOVE",
            Self::Lock => "LOCK",
            Self::Unlock => "UNLOCK",
            Self::Post => "POST",
            Self::Options => "OPTIONS",
            Self::Report | Self::Unserved | Self::Unknown => "",
        }
    }

    fn changes_something(self) -> bool {
        !matches!(self, Self::Get | Self::Options | Self::Propfind | Self::Report)
    }
}

impl Asked {
    pub(super) fn parse(head: &RequestHead) -> Result<Self, Wrong> {
        let url_path = head.uri.path();
        let query = head.uri.query().unwrap_or_default();
        Ok(Self {
            path: SharePath::parse_url(url_path).map_err(Wrong::Path)?,
            names_a_collection: SharePath::url_names_a_collection(url_path),
            query: Query::parse(query, Verb::of(&head.method)).map_err(Wrong::Query)?,
        })
    }
}

/// The conditional headers of RFC 9110, parsed from the raw field lines.
pub(super) fn conditional_headers(headers: &HeaderMap) -> Result<Precondition, Malformed> {
    Precondition::parse(&ConditionalFields {
        if_match: lines(headers, &header::IF_MATCH),
        if_none_match: lines(headers, &header::IF_NONE_MATCH),
        if_modified_since: lines(headers, &header::IF_MODIFIED_SINCE),
        if_unmodified_since: lines(headers, &header::IF_UNMODIFIED_SINCE),
    })
}

/// Everything that a request demands of the state it is to find: the conditional headers, the `If` header, and the lock tokens in it and
/// in `Lock-Token`, where Office puts the one it writes with.
pub(super) fn precondition(head: &RequestHead, asked: &Asked, own: &OwnHosts<'_>) -> Result<Precondition, Malformed> {
    let headers = &head.headers;
    let conditions = conditional_headers(headers)?;
    let token = dav_headers::lock_token(headers).map_err(|_| Malformed(Header::LockToken))?;
    let ifs = lines(headers, &HeaderName::from_static("if"));
    let held = match &token {
        // Office names the lock that it writes with here and nowhere else. One that is no more would protect nothing: it has to be there.
        Some(token) if ifs.is_empty() && matches!(Verb::of(&head.method), Verb::Put | Verb::Delete) => {
            format!("(<{token}>)")
        }
        _ => String::new(),
    };
    let ifs = if held.is_empty() { ifs } else { vec![held.as_bytes()] };
    let states = if_header::parse(&ifs, own).map_err(|_| Malformed(Header::If))?;
    let in_states = states.iter().flat_map(|states| states.tokens());
    let submitted = Submitted::new(client(head), in_states.chain(token.iter().map(LockToken::as_str)));
    let conditions = conditions.with_submitted(submitted);
    Ok(match states {
        Some(states) => conditions.with_states(states, asked.path.clone()),
        None => conditions,
    })
}

/// Where a request comes from.
pub(super) fn client(head: &RequestHead) -> Client {
    let address = head.peer_addr.map(|peer| peer.ip());
    Client::new(Principal::Anonymous, address, text(&head.headers, header::USER_AGENT))
}

/// The raw field lines of a header, in the order they came.
pub(super) fn lines<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a [u8]> {
    headers.get_all(name).map(|value| value.as_bytes()).collect()
}

/// A header's only line, as text.
pub(super) fn text(headers: &HeaderMap, name: impl AsRef<str>) -> Option<&str> {
    headers.get(name.as_ref())?.to_str().ok()
}

/// Whether the body is coded, so that it is not what it says (`Content-Encoding`, RFC 9110 §8.4).
pub(super) fn is_coded(headers: &HeaderMap) -> bool {
    headers.get_all(header::CONTENT_ENCODING).any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Whether a body was announced. `Content-Length: 0` is no body.
pub(super) fn announces_a_body(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING) || announced_length(headers).is_some_and(|length| length > 0)
}

/// The announced length of the body, in bytes.
pub(super) fn announced_length(headers: &HeaderMap) -> Option<u64> {
    text(headers, header::CONTENT_LENGTH)?.trim().parse().ok()
}

/// Whether a preference was stated (RFC 7240), for instance `return=representation`.
pub(super) fn prefers(headers: &HeaderMap, preference: &str) -> bool {
    let stated = headers.get_all("prefer").filter_map(|value| value.to_str().ok()).flat_map(|line| line.split(','));
    stated.map(|one| one.split(';').next().unwrap_or_default().trim()).any(|one| one.eq_ignore_ascii_case(preference))
}

/// The wall that stands in for a password on loopback, where every page that the browser shows can reach us: the Host must be one of
/// ours, and a change must not come from a page of another origin.
pub(super) fn welcome(head: &RequestHead, allowed_hosts: &[String]) -> Result<(), Unwelcome> {
    let authority = head.uri.authority().map(|authority| authority.as_str());
    let host = authority.or_else(|| text(&head.headers, header::HOST));
    if let Some(host) = host
        && !is_allowed(host, allowed_hosts)
    {
        return Err(Unwelcome::ForeignHost);
    }
    if !Verb::of(&head.method).changes_something() {
        return Ok(());
    }
    let site = text(&head.headers, "sec-fetch-site");
    if site.is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return Err(Unwelcome::CrossSite);
    }
    let Some(origin) = head.headers.get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default();
    let of_origin = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    if of_origin.is_some() && of_origin == host { Ok(()) } else { Err(Unwelcome::CrossSite) }
}

/// An address needs no permission: a page cannot make a name of its own resolve to one and still send the address.
pub(super) fn is_allowed(host: &str, allowed_hosts: &[String]) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        return address.split_once(']').is_some_and(|(address, port)| {
            address.parse::<Ipv6Addr>().is_ok() && (port.is_empty() || is_port(port.strip_prefix(':')))
        });
    }
    let (name, port) = match host.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (host, None),
    };
    if port.is_some() && !is_port(port) {
        return false;
    }
    name.parse::<Ipv4Addr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || allowed_hosts.iter().any(|allowed| name.eq_ignore_ascii_case(allowed) || host.eq_ignore_ascii_case(allowed))
}

fn is_port(text: Option<&str>) -> bool {
    text.is_some_and(|text| text.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_our_own_are_addresses_localhost_and_what_was_allowed() {
        let allowed = ["files.example".to_owned(), "nas:8080".to_owned()];
        for host in [
            "127.0.0.1",
            "127.0.0.1:4918",
            "[::1]",
            "[::1]:80",
            "localhost",
            "LOCALHOST:1",
            "files.example:80",
            "nas:8080",
        ] {
            assert!(is_allowed(host, &allowed), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:4918",
            "localhost.",
            "127.0.0.1.evil.example",
            "[::1",
            "[evil]",
            "nas",
            "localhost:x",
        ] {
            assert!(!is_allowed(host, &allowed), "{host}");
        }
    }
}
